//! The DataFusion side of a definition: a scalar function whose name is its identity.
//!
//! `lower(text)` names the body with that signature. Where the signature leaves types open, or an
//! operator is meant, the name says more:
//!
//! ```text
//! array_append(anycompatiblearray,anycompatible)<1007,23>1007    arguments and result, as oids
//! operator -(int4,int4)                                          an operator's body
//! variadic concat(variadic any)<1007>25                          the last is an array of more
//! ```

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use satsuma_common::{Datum, PgType, SqlResult, arrow_types};

use super::columns::{self, Reader};
use super::env::Settings;
use super::error::to_datafusion;
use super::library::{self, Body, Call, Definition};
use crate::{interrupt, value_size};

const OPERATOR: &str = "operator ";
const VARIADIC: &str = "variadic ";

/// One definition, for arguments of certain types.
#[derive(Clone)]
pub struct PgScalar {
    name: String,
    definition: Arc<Definition>,
    arguments: Vec<PgType>,
    /// The last argument is an array of those that the body is called with.
    spreads: bool,
    result: PgType,
    signature: Signature,
}

impl PgScalar {
    pub fn new(
        definition: Arc<Definition>,
        operator: bool,
        arguments: Vec<PgType>,
        result: PgType,
    ) -> Self {
        let mut name = String::new();
        if operator {
            name.push_str(OPERATOR);
        }
        name.push_str(&definition.signature.key());
        if definition.signature.is_polymorphic() || definition.signature.variadic {
            let codes: Vec<_> = arguments.iter().map(type_code).collect();
            name.push_str(&format!("<{}>{}", codes.join(","), type_code(&result)));
        }
        let signature = Signature::user_defined(definition.volatility);
        Self { name, definition, arguments, spreads: false, result, signature }
    }

    /// The call of a variadic definition with VARIADIC.
    pub fn spreading(definition: Arc<Definition>, arguments: Vec<PgType>, result: PgType) -> Self {
        let mut call = Self::new(definition, false, arguments, result);
        call.name.insert_str(0, VARIADIC);
        call.spreads = true;
        call
    }

    /// The instance that a name stands for.
    pub fn by_name(name: &str) -> Option<Self> {
        if let Some(spread) = name.strip_prefix(VARIADIC) {
            let call = Self::by_name(spread)?;
            return Some(Self::spreading(call.definition, call.arguments, call.result));
        }
        let (operator, rest) = match name.strip_prefix(OPERATOR) {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let library = if operator { library::operators() } else { library::functions() };
        let key_end = rest.rfind(')')? + 1;
        let definition = library.by_key(&rest[..key_end])?.clone();
        let types = &rest[key_end..];
        let (arguments, result) = if types.is_empty() {
            definition.signature.resolve(&definition.signature.exact_types()?)?
        } else {
            let (arguments, result) = types.strip_prefix('<')?.split_once('>')?;
            let arguments = arguments
                .split(',')
                .filter(|code| !code.is_empty())
                .map(parse_type_code)
                .collect::<Option<_>>()?;
            (arguments, parse_type_code(result)?)
        };
        Some(Self::new(definition, operator, arguments, result))
    }

    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    pub fn arguments(&self) -> &[PgType] {
        &self.arguments
    }

    pub fn result(&self) -> &PgType {
        &self.result
    }

    pub(crate) fn call(&self, args: &[ColumnarValue], rows: usize) -> SqlResult<ColumnarValue> {
        let (values, settings) = match args.split_last() {
            Some((last, values)) if self.definition.uses_settings => {
                let text = match last {
                    ColumnarValue::Scalar(scalar) => scalar.clone(),
                    ColumnarValue::Array(array) => ScalarValue::try_from_array(array, 0)
                        .map_err(super::error::from_datafusion)?,
                };
                let text = text.try_as_str().flatten().unwrap_or_default().to_string();
                (values, Settings::decode(&text)?)
            }
            _ => (args, Settings::default()),
        };
        let call = Call {
            arguments: self.arguments.clone(),
            result: self.result.clone(),
            context: settings.context(),
            settings,
            rows,
        };
        let value = match &self.definition.body {
            Body::Columns(body) => {
                interrupt::check()?;
                body(values, &call)
            }
            Body::Row(body) => self.call_rows(values, &call, body),
            Body::Rewrite(_) => Err(super::error::unexpected_value(&self.name)),
        }?;
        value_size::check_constant(&value)?;
        Ok(value)
    }

    fn call_rows(
        &self,
        values: &[ColumnarValue],
        call: &Call,
        body: &library::RowBody,
    ) -> SqlResult<ColumnarValue> {
        let constant = self.definition.volatility != Volatility::Volatile
            && values.iter().all(|v| matches!(v, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { call.rows };
        // A scalar stays one row long, and is read from row 0 for every row.
        let mut arrays: Vec<(ArrayRef, bool)> = Vec::with_capacity(values.len());
        for value in values {
            arrays.push(match value {
                ColumnarValue::Array(array) => (array.clone(), false),
                ColumnarValue::Scalar(scalar) => {
                    (scalar.to_array().map_err(super::error::from_datafusion)?, true)
                }
            });
        }
        let readers: Vec<(Reader<'_>, bool)> = arrays
            .iter()
            .zip(&self.arguments)
            .map(|((array, scalar), ty)| (Reader::new(array, ty), *scalar))
            .collect();
        // Scalars are read once, not for every row.
        let mut row_values = Vec::with_capacity(readers.len());
        for (reader, scalar) in &readers {
            let first = *scalar && rows > 0;
            row_values.push(if first { reader.get(0)? } else { Datum::Null });
        }
        let mut results = Vec::with_capacity(rows);
        let mut bytes = 0;
        interrupt::for_rows(rows, |row| {
            for (slot, (reader, scalar)) in row_values.iter_mut().zip(&readers) {
                let source = if *scalar { 0 } else { row };
                if self.definition.strict && reader.is_null(source) {
                    results.push(Datum::Null);
                    return Ok(());
                }
                if !*scalar {
                    *slot = reader.get(row)?;
                }
            }
            let result = match self.spreads {
                true => self.call_spread(&row_values, call, body)?,
                false => body(&row_values, call)?,
            };
            bytes += value_size::of(&result);
            value_size::check_batch(bytes)?;
            results.push(result);
            Ok(())
        })?;
        let array = columns::collect(&self.result, results)?;
        if constant {
            let scalar =
                ScalarValue::try_from_array(&array, 0).map_err(super::error::from_datafusion)?;
            return Ok(ColumnarValue::Scalar(scalar));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl PgScalar {
    /// Calls the body with the last value's elements in its place. No array makes no call, except
    /// of format, which has values besides.
    fn call_spread(
        &self,
        values: &[Datum],
        call: &Call,
        body: &library::RowBody,
    ) -> SqlResult<Datum> {
        let Some((last, before)) = values.split_last() else {
            return Err(super::error::unexpected_value(&self.name));
        };
        let more = match last {
            Datum::Array(array) => array.values.as_slice(),
            Datum::Null if self.definition.signature.name == "format" => &[],
            Datum::Null => return Ok(Datum::Null),
            _ => return Err(super::error::unexpected_value(&self.name)),
        };
        if self.definition.strict && more.iter().any(Datum::is_null) {
            return Ok(Datum::Null);
        }
        let mut arguments = self.arguments[..before.len()].to_vec();
        if let Some(PgType::Array(element)) = self.arguments.last() {
            arguments.extend(more.iter().map(|_| element.as_ref().clone()));
        }
        let call = Call {
            arguments,
            result: call.result.clone(),
            settings: call.settings.clone(),
            context: call.settings.context(),
            rows: call.rows,
        };
        body(&[before, more].concat(), &call)
    }
}

impl std::fmt::Debug for PgScalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

by_name!(PgScalar);

impl ScalarUDFImpl for PgScalar {
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

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arguments = args.arg_fields.len() - usize::from(self.definition.uses_settings);
        if arguments != self.arguments.len() {
            return exec_err!("{} was given {arguments} arguments", self.name);
        }
        let nullable =
            !self.definition.total || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(arrow_types::field_ref(self.name.as_str(), &self.result, nullable))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = self.call(&args.args, args.number_rows).map_err(to_datafusion)?;
        if let ColumnarValue::Array(array) = &value
            && array.len() != args.number_rows
        {
            return internal_err!(
                "{} gave {} rows for {}",
                self.name,
                array.len(),
                args.number_rows
            );
        }
        Ok(value)
    }

    /// NULL arguments of strict functions need no evaluation.
    fn is_strict(&self) -> bool {
        self.definition.strict
    }
}

/// The expression that calls `definition` with arguments already of the right types.
pub fn call_expr(
    definition: &Arc<Definition>,
    operator: bool,
    arguments: Vec<PgType>,
    result: PgType,
    args: Vec<Expr>,
    settings: &Settings,
) -> Expr {
    call_of(PgScalar::new(definition.clone(), operator, arguments, result), args, settings)
}

/// The expression that is a call of `function`.
pub fn call_of(function: PgScalar, mut args: Vec<Expr>, settings: &Settings) -> Expr {
    if function.definition.uses_settings {
        args.push(Expr::Literal(ScalarValue::Utf8View(Some(settings.encode())), None));
    }
    let udf = ScalarUDF::new_from_impl(function);
    let call = datafusion::logical_expr::expr::ScalarFunction::new_udf(Arc::new(udf), args);
    super::chain::collapse(Expr::ScalarFunction(call))
}

/// `23`, `1700:1310734`: an oid and a modifier. `e23000` is the enum of that oid.
pub fn type_code(ty: &PgType) -> String {
    match ty {
        PgType::Enum(oid) => format!("e{}", oid.0),
        PgType::Array(element) => format!("[{}", type_code(element)),
        _ => match ty.typmod() {
            -1 => ty.oid().to_string(),
            typmod => format!("{}:{typmod}", ty.oid()),
        },
    }
}

pub fn parse_type_code(code: &str) -> Option<PgType> {
    if let Some(element) = code.strip_prefix('[') {
        return Some(PgType::Array(Box::new(parse_type_code(element)?)));
    }
    if let Some(oid) = code.strip_prefix('e') {
        return Some(PgType::Enum(satsuma_common::Oid(oid.parse().ok()?)));
    }
    let (oid, typmod) = match code.split_once(':') {
        Some((oid, typmod)) => (oid, typmod.parse().ok()?),
        None => (code, -1),
    };
    Some(PgType::from_oid(oid.parse().ok()?)?.with_typmod(typmod))
}

/// An unnamed nullable field of a type: what casts of DataFusion's own carry.
pub fn plain_field(ty: &PgType) -> FieldRef {
    Arc::new(Field::new("", arrow_types::data_type(ty), true))
}
