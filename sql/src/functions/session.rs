//! Functions that hold on to the session: the catalog's, sequences, names of objects.
//!
//! They are evaluated where they were bound, at the coordinator. Their names cannot be found in
//! the registry, so that a plan that holds one does not travel unnoticed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use satsuma_common::{Datum, Oid, PgType, SqlError, SqlResult, SqlState, arrow_types};

use super::columns::{Reader, collect};
use super::env::{CatalogFunction, Privileged, SequenceAccess};
use super::error::{from_datafusion, to_datafusion, unexpected_value};
use super::library::Builder;
use super::vector::array_of;
use super::{FunctionEnv, Typed};
use crate::casts::text::text;
use crate::catalog_view::CatalogView;
use crate::interrupt;

type Body = Arc<dyn Fn(&[Datum]) -> SqlResult<Datum> + Send + Sync>;

/// A function whose body holds the session.
pub struct SessionCall {
    name: String,
    arguments: Vec<PgType>,
    result: PgType,
    signature: Signature,
    /// The body sees NULLs; else one makes the result NULL.
    called_on_null: bool,
    body: Body,
}

impl SessionCall {
    /// The expression that calls `body` with `args`; a NULL among them makes the result NULL.
    fn expr(
        name: &str,
        args: Vec<Typed>,
        result: PgType,
        volatility: Volatility,
        body: Body,
    ) -> Typed {
        Self::build(name, args, result, (volatility, false), body)
    }

    /// As [`Self::expr`], of a stable function whose body sees NULLs.
    pub(super) fn on_nulls(
        name: &str,
        args: Vec<Typed>,
        result: PgType,
        body: impl Fn(&[Datum]) -> SqlResult<Datum> + Send + Sync + 'static,
    ) -> Typed {
        Self::build(name, args, result, (Volatility::Stable, true), Arc::new(body))
    }

    fn build(
        name: &str,
        args: Vec<Typed>,
        result: PgType,
        (volatility, called_on_null): (Volatility, bool),
        body: Body,
    ) -> Typed {
        let (arguments, exprs) = args.into_iter().map(|arg| (arg.ty, arg.expr)).unzip();
        let call = Self {
            name: name.into(),
            arguments,
            result: result.clone(),
            signature: Signature::user_defined(volatility),
            called_on_null,
            body,
        };
        let udf = Arc::new(ScalarUDF::new_from_impl(call));
        Typed::new(Expr::ScalarFunction(ScalarFunction::new_udf(udf, exprs)), result)
    }

    fn call(&self, args: &[ColumnarValue], rows: usize) -> SqlResult<ColumnarValue> {
        let volatile = self.signature.volatility == Volatility::Volatile;
        let constant = !volatile && args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = args.iter().map(array_of).collect::<SqlResult<Vec<_>>>()?;
        let mut results = Vec::with_capacity(rows);
        interrupt::for_rows(if constant { 1 } else { rows }, |row| {
            let mut values = Vec::with_capacity(args.len());
            for ((array, scalar), ty) in arrays.iter().zip(&self.arguments) {
                let reader = Reader::new(array, ty);
                values.push(reader.get(if *scalar { 0 } else { row.min(array.len() - 1) })?);
            }
            let null = !self.called_on_null && values.iter().any(Datum::is_null);
            results.push(if null { Datum::Null } else { (self.body)(&values)? });
            Ok(())
        })?;
        let array = collect(&self.result, results)?;
        if constant {
            return ScalarValue::try_from_array(&array, 0)
                .map(ColumnarValue::Scalar)
                .map_err(from_datafusion);
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl std::fmt::Debug for SessionCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for SessionCall {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.arguments == other.arguments && self.result == other.result
    }
}

impl Eq for SessionCall {}

impl Hash for SessionCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.arguments.hash(state);
    }
}

impl ScalarUDFImpl for SessionCall {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_types::data_type(&self.result))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(arrow_types::field_ref(self.name.as_str(), &self.result, true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.call(&args.args, args.number_rows).map_err(to_datafusion)
    }
}

/// Whether the expression can only be evaluated in this session, not on a worker.
pub fn is_session_bound(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(match e {
            Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<SessionCall>().is_some(),
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// The sequences that `nextval` draws from, one for each call, when the expression asks the session
/// for nothing else.
pub fn drawn_sequences(expr: &Expr) -> Option<Vec<Oid>> {
    let mut drawn = Vec::new();
    let asks_more = expr.exists(|e| {
        let Expr::ScalarFunction(call) = e else { return Ok(false) };
        let Some(asked) = call.func.inner().downcast_ref::<SessionCall>() else { return Ok(false) };
        Ok(match (asked.name.as_str(), call.args.as_slice()) {
            (NEXTVAL, [Expr::Literal(ScalarValue::UInt32(Some(sequence)), _)]) => {
                drawn.push(Oid(*sequence));
                false
            }
            _ => true,
        })
    });
    (!asks_more.unwrap_or(true)).then_some(drawn)
}

const NEXTVAL: &str = "nextval";

pub(crate) fn install(b: &mut Builder) {
    for (function, signature) in CatalogFunction::ALL {
        let function = *function;
        let name = signature.split('(').next().unwrap_or_default();
        b.rewrite(signature, move |args, result, env| {
            let catalog = env.catalog_functions.clone();
            let acts = matches!(
                function,
                CatalogFunction::SetConfig
                    | CatalogFunction::CancelBackend
                    | CatalogFunction::CancelGlobal
                    | CatalogFunction::TerminateGlobal
                    | CatalogFunction::TerminateBackendIn
                    | CatalogFunction::TerminateGlobalIn
                    | CatalogFunction::TerminateBackend
            );
            let volatility = if acts { Volatility::Volatile } else { Volatility::Stable };
            env.note_session_dependence();
            let body: Body = Arc::new(move |args| catalog.call(function, args));
            Ok(SessionCall::expr(name, args, result.clone(), volatility, body))
        });
    }
    privileges(b);
    sequences(b);
    advisory_locks(b);
}

fn privileges(b: &mut Builder) {
    for of in Privileged::ALL {
        for signature in of.signatures() {
            b.rewrite(&signature, move |args, result, env| {
                let catalog = env.catalog_functions.clone();
                env.note_session_dependence();
                let body: Body = Arc::new(move |args| catalog.privilege(of, args));
                Ok(SessionCall::expr(of.function(), args, result.clone(), Volatility::Stable, body))
            });
        }
    }
}

/// Advisory locks by one bigint or two integers.
fn advisory_locks(b: &mut Builder) {
    const LOCKS: [(&str, &str); 10] = [
        ("pg_advisory_lock", "void"),
        ("pg_advisory_lock_shared", "void"),
        ("pg_advisory_xact_lock", "void"),
        ("pg_advisory_xact_lock_shared", "void"),
        ("pg_try_advisory_lock", "bool"),
        ("pg_try_advisory_lock_shared", "bool"),
        ("pg_try_advisory_xact_lock", "bool"),
        ("pg_try_advisory_xact_lock_shared", "bool"),
        ("pg_advisory_unlock", "bool"),
        ("pg_advisory_unlock_shared", "bool"),
    ];
    let mut add = |name: &'static str, arguments: &str, result: &str| {
        b.rewrite(&format!("{name}({arguments}) {result}"), move |args, result, env| {
            let catalog = env.catalog_functions.clone();
            env.note_session_dependence();
            let body: Body = Arc::new(move |args| catalog.advisory(name, args));
            Ok(SessionCall::expr(name, args, result.clone(), Volatility::Volatile, body))
        });
    };
    for (name, result) in LOCKS {
        add(name, "int8", result);
        add(name, "int4,int4", result);
    }
    add("pg_advisory_unlock_all", "", "void");
    b.called_on_null(|b| {
        b.rewrite("format_type(oid,int4) text", |args, result, env| {
            let catalog = env.catalog.clone();
            let body: Body = Arc::new(move |args| Ok(format_type(args, catalog.as_ref())));
            let stable = (Volatility::Stable, true);
            Ok(SessionCall::build("format_type", args, result.clone(), stable, body))
        });
    });
}

fn format_type(args: &[Datum], catalog: &dyn CatalogView) -> Datum {
    let Some(Datum::Oid(oid)) = args.first() else { return Datum::Null };
    if *oid == 0 {
        return Datum::Text("-".into());
    }
    let typmod = match args.get(1) {
        Some(Datum::Int4(typmod)) => Some(*typmod),
        _ => None,
    };
    if let Some(pseudo) = satsuma_common::types::PseudoType::by_oid(*oid) {
        return Datum::Text(pseudo.sql_name.into());
    }
    let Some(ty) = PgType::from_oid(*oid) else {
        let name = catalog.oid_name(&PgType::Regtype, *oid);
        return Datum::Text(name.unwrap_or_else(|| "???".into()));
    };
    Datum::Text(match (&ty, typmod) {
        // bpchar with a modifier of none is not char(1).
        (PgType::Bpchar(_), Some(-1)) => "bpchar".into(),
        (_, Some(typmod)) => ty.with_typmod(typmod).to_string(),
        (_, None) => ty.to_string(),
    })
}

type SequenceBody = fn(&dyn SequenceAccess, &[Datum]) -> SqlResult<i64>;

fn sequences(b: &mut Builder) {
    let add = |b: &mut Builder, signature: &'static str, f: SequenceBody| {
        let name = signature.split('(').next().unwrap_or_default();
        b.rewrite(signature, move |args, _, env| {
            let sequences = env.sequences.clone();
            let body: Body = Arc::new(move |args| f(sequences.as_ref(), args).map(Datum::Int8));
            Ok(SessionCall::expr(name, args, PgType::Int8, Volatility::Volatile, body))
        });
    };
    fn oid(value: &Datum) -> SqlResult<Oid> {
        match value {
            Datum::Oid(oid) => Ok(Oid(*oid)),
            _ => Err(unexpected_value("a sequence")),
        }
    }
    fn int8(value: &Datum) -> SqlResult<i64> {
        match value {
            Datum::Int8(value) => Ok(*value),
            _ => Err(unexpected_value("bigint")),
        }
    }
    add(b, "nextval(regclass) int8", |s, args| s.next_value(oid(&args[0])?));
    add(b, "currval(regclass) int8", |s, args| s.current_value(oid(&args[0])?));
    add(b, "lastval() int8", |s, _| s.last_value());
    add(b, "setval(regclass,int8) int8", |s, args| {
        s.set_value(oid(&args[0])?, int8(&args[1])?, true)
    });
    add(b, "setval(regclass,int8,bool) int8", |s, args| {
        let called = matches!(args[2], Datum::Bool(true));
        s.set_value(oid(&args[0])?, int8(&args[1])?, called)
    });
}

/// `regclass` and its relatives to and from text, for values that are not constants.
pub(crate) fn name_cast(value: Typed, to: &PgType, env: &FunctionEnv) -> SqlResult<Typed> {
    let catalog = env.catalog.clone();
    env.note_session_dependence();
    if to.is_string() {
        let from = value.ty.clone();
        if let Some(Ok(constant)) = value.as_constant() {
            let name = match constant {
                Datum::Oid(oid) => Datum::Text(object_name(catalog.as_ref(), &from, oid)),
                _ => Datum::Null,
            };
            let name = crate::casts::convert::fit(name, to, crate::casts::CastKind::Explicit)?;
            return Typed::constant(name, to.clone());
        }
        let own = from.clone();
        let body: Body = Arc::new(move |args| match &args[0] {
            Datum::Oid(oid) => Ok(Datum::Text(object_name(catalog.as_ref(), &own, *oid))),
            _ => Err(unexpected_value("an object name")),
        });
        let name = format!("{from}out");
        return Ok(SessionCall::expr(&name, vec![value], to.clone(), Volatility::Stable, body));
    }
    let ty = to.clone();
    let env = env.clone();
    let body: Body = Arc::new(move |args| {
        crate::casts::convert::resolve_names(text(&args[0])?, &ty, env.catalog.as_ref())
            .unwrap_or_else(|| Err(SqlError::new(SqlState::UNDEFINED_OBJECT, "no such object")))
    });
    let name = format!("{to}in");
    Ok(SessionCall::expr(&name, vec![value], to.clone(), Volatility::Stable, body))
}

/// What `regclass` and its relatives print: the name, or the number of what does not exist.
pub fn object_name(
    catalog: &dyn crate::catalog_view::CatalogView,
    ty: &PgType,
    oid: u32,
) -> String {
    if oid == 0 {
        return "-".into();
    }
    let builtin = || match ty {
        PgType::Regtype => PgType::from_oid(oid).map(|ty| ty.to_string()),
        _ => None,
    };
    catalog.oid_name(ty, oid).or_else(builtin).unwrap_or_else(|| oid.to_string())
}
