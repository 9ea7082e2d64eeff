//! Casts between types: which there are, and the expression that does one.
//!
//! - [`matrix`]: PostgreSQL's `pg_cast`: from, to, and how willingly;
//! - [`convert`]: one value to another type;
//! - [`column`]: whole columns, with fast paths;
//! - [`enums`]: texts that must be labels.
//!
//! Constants are converted at bind time. Where DataFusion's cast is exact (widening), it is used,
//! so that the optimizer can move it to the constant's side of a comparison.

pub mod column;
pub mod convert;
pub mod datetime;
pub mod enums;
pub mod matrix;
pub mod text;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Cast, Expr};
use satsuma_common::{Datum, NumericMod, PgType, SqlError, SqlResult, SqlState, arrow_types};

use crate::functions::chain::PgChain;
use crate::functions::library::{self, Builder};
use crate::functions::typed::literal;
use crate::functions::udf::{PgScalar, call_expr, plain_field};
use crate::functions::{FunctionEnv, Typed};

pub use matrix::can_coerce;

/// How willingly a value changes its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastKind {
    /// An operand or argument.
    Implicit,
    /// A value stored into a column.
    Assignment,
    /// `CAST(x AS t)`, `x::t`.
    Explicit,
}

pub(crate) fn install(builder: &mut Builder) {
    builder.columns("cast(any) any", |args, call| column::cast(args, call, CastKind::Explicit));
    builder.columns("assign(any) any", |args, call| column::cast(args, call, CastKind::Assignment));
    enums::install(builder);
    builder.with_settings(|b| {
        b.columns("cast_in_session(any) any", |args, call| {
            column::cast(args, call, CastKind::Explicit)
        });
        b.columns("assign_in_session(any) any", |args, call| {
            column::cast(args, call, CastKind::Assignment)
        });
    });
}

/// Converts `value` to exactly `to`, modifiers included.
pub fn cast(value: Typed, to: &PgType, kind: CastKind, env: &FunctionEnv) -> SqlResult<Typed> {
    if value.ty == *to {
        return Ok(value);
    }
    if value.ty == PgType::Unknown {
        return resolve_unknown(value, to, kind, env);
    }
    if *to == PgType::Unknown {
        return Ok(value);
    }
    if !can_coerce(&value.ty, to, kind) {
        return Err(cannot_cast(&value.ty, to, kind));
    }
    convert_expr(value, to, kind, env)
}

/// Converts an argument to a parameter's type: as [`cast`], but a value that already is of the
/// type up to its modifier keeps it, and an integer becomes a numeric just wide enough.
pub(crate) fn coerce_argument(value: Typed, to: &PgType, env: &FunctionEnv) -> SqlResult<Typed> {
    if value.ty != PgType::Unknown && value.ty.without_modifier() == *to {
        return Ok(value);
    }
    if *to == PgType::Text && matches!(value.ty, PgType::Varchar(_)) {
        return Ok(Typed::new(value.expr, PgType::Text));
    }
    match (to, &value.ty) {
        (PgType::Numeric(None), PgType::Unknown) => {
            let value = cast(value, to, CastKind::Implicit, env)?;
            Ok(narrow_numeric_constant(value))
        }
        (PgType::Numeric(None), ty) if ty.is_integer() => {
            cast(value.clone(), &integer_as_numeric(ty), CastKind::Implicit, env)
        }
        _ => cast(value, to, CastKind::Implicit, env),
    }
}

/// A numeric constant as Decimal128 where it fits, so that comparisons and arithmetic stay there.
fn narrow_numeric_constant(value: Typed) -> Typed {
    if value.ty != PgType::Numeric(None) {
        return value;
    }
    let narrowed = || -> Option<Typed> {
        let Datum::Numeric(number) = value.as_constant()?.ok()? else { return None };
        let ty = PgType::Numeric(crate::functions::typed::decimal_modifier(&number));
        Typed::constant(Datum::Numeric(number), ty).ok()
    };
    narrowed().unwrap_or(value)
}

/// `numeric(p,0)` that holds every value of an integer type.
pub(crate) fn integer_as_numeric(ty: &PgType) -> PgType {
    let precision = match ty {
        PgType::Int2 => 5,
        PgType::Int4 => 10,
        _ => 19,
    };
    PgType::Numeric(Some(NumericMod { precision, scale: 0 }))
}

fn cannot_cast(from: &PgType, to: &PgType, kind: CastKind) -> SqlError {
    let error = SqlError::new(
        SqlState::CANNOT_COERCE,
        format!("cannot cast type {} to {}", from.without_modifier(), to.without_modifier()),
    );
    if kind < CastKind::Explicit && can_coerce(from, to, CastKind::Explicit) {
        return error.hint("You might need an explicit cast.");
    }
    error
}

/// Literals are parsed by the type's input function; parameters take the type on.
fn resolve_unknown(
    value: Typed,
    to: &PgType,
    kind: CastKind,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    match value.expr {
        Expr::Literal(ref scalar, _) => {
            if scalar.is_null() {
                return Typed::null(to.clone());
            }
            let text = match scalar {
                ScalarValue::Utf8View(Some(text)) | ScalarValue::Utf8(Some(text)) => text,
                _ => return Err(crate::functions::error::unexpected_value("untyped literal")),
            };
            if convert::input_depends_on_session(to) {
                env.note_session_dependence();
            }
            let bare = to.without_modifier();
            let parsed = convert::resolve_names(text, &bare, env.catalog.as_ref())
                .unwrap_or_else(|| convert::input(text, &bare, &env.settings.context()))?;
            enums::check(&parsed, &bare, env.catalog.as_ref())?;
            let fitted = convert::fit(parsed, to, kind)?;
            Typed::constant(fitted, to.clone())
        }
        Expr::Placeholder(Placeholder { id, field: None }) => {
            // A parameter has the bare type; its modifier is applied to the value.
            let bare = to.without_modifier();
            let bare = match &env.parameters {
                Some(parameters) => parameters.infer(&id, &bare)?,
                None => bare,
            };
            let field = arrow_types::field_ref(id.as_str(), &bare, true);
            let typed =
                Typed::new(Expr::Placeholder(Placeholder::new_with_field(id, Some(field))), bare);
            if typed.ty == *to { Ok(typed) } else { cast(typed, to, kind, env) }
        }
        // The column of a subquery that was never given a type is text.
        _ => cast(Typed::new(value.expr, PgType::Text), to, CastKind::Explicit, env),
    }
}

/// The conversion of an expression of known type. The cast exists.
fn convert_expr(value: Typed, to: &PgType, kind: CastKind, env: &FunctionEnv) -> SqlResult<Typed> {
    if matrix::is_relabelling(&value.ty, to) {
        return Ok(relabel(value, to));
    }
    if let Some(checked) = enums::cast(&value, to, env) {
        return checked;
    }
    let uses_settings = convert::depends_on_session(&value.ty, to);
    if uses_settings {
        env.note_session_dependence();
    }
    if let Some(names) = convert::name_cast(&value, to, env) {
        return names;
    }
    if let Some(constant) = value.as_constant() {
        let converted = constant
            .and_then(|v| convert::convert(v, &value.ty, to, kind, &env.settings.context()));
        // An error is raised when and if the expression is evaluated.
        if let Ok(converted) = converted {
            return Typed::constant(converted, to.clone());
        }
    } else if matrix::is_native(&value.ty, to) {
        let cast = Cast::new_from_field(Box::new(value.expr), plain_field(to));
        return Ok(Typed::new(Expr::Cast(cast), to.clone()));
    }
    let key = match (kind, uses_settings) {
        (CastKind::Explicit, false) => "cast(any)",
        (CastKind::Explicit, true) => "cast_in_session(any)",
        (_, false) => "assign(any)",
        (_, true) => "assign_in_session(any)",
    };
    let definition = library::functions()
        .by_key(key)
        .ok_or_else(|| crate::functions::error::unexpected_value(key))?;
    let expr =
        call_expr(definition, false, vec![value.ty], to.clone(), vec![value.expr], &env.settings);
    Ok(Typed::new(expr, to.clone()))
}

/// The same bytes under another type's name.
fn relabel(value: Typed, to: &PgType) -> Typed {
    let expr = match value.expr {
        Expr::Literal(scalar, _) => literal(scalar, to),
        expr => expr,
    };
    Typed::new(expr, to.clone())
}

/// The first of these that has no type in common with those before it.
pub fn unmatched(types: &[PgType]) -> Option<usize> {
    (0..types.len()).find(|at| common_type(&types[..=*at]).is_err())
}

/// The type that all of these can be brought to: for UNION, CASE, VALUES, ARRAY and their like.
/// The error's text names the two types that do not match, and the caller adds the construct.
pub fn common_type(types: &[PgType]) -> SqlResult<PgType> {
    let mut known = types.iter().filter(|ty| **ty != PgType::Unknown);
    let Some(first) = known.next() else { return Ok(PgType::Text) };
    let mut chosen = first.clone();
    let mut same = true;
    for ty in known {
        if *ty == chosen {
            continue;
        }
        same = same && *ty == *first;
        let (bare, other) = (chosen.without_modifier(), ty.without_modifier());
        if bare == other {
            chosen = bare;
            continue;
        }
        if bare.category() != other.category() {
            return Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("types {bare} and {other} cannot be matched"),
            ));
        }
        if !bare.is_preferred()
            && can_coerce(&bare, &other, CastKind::Implicit)
            && !can_coerce(&other, &bare, CastKind::Implicit)
        {
            chosen = ty.clone();
        } else if !can_coerce(&other, &bare, CastKind::Implicit) {
            return Err(SqlError::new(
                SqlState::CANNOT_COERCE,
                format!("could not convert type {other} to {bare}"),
            ));
        }
    }
    if !same {
        return Ok(chosen.without_modifier());
    }
    // What has no type yet becomes a value of the bare type.
    let is_whole = types.iter().all(|ty| *ty != PgType::Unknown);
    Ok(if is_whole { chosen } else { chosen.without_precision().clone() })
}

/// Whether evaluating the expression may raise an error other than overflow: a division, a cast
/// that parses, a function that checks its arguments.
pub fn is_fallible(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(match e {
            Expr::ScalarFunction(call) => {
                let function = call.func.inner();
                let own = function.downcast_ref::<PgScalar>();
                let chain = function.downcast_ref::<PgChain>();
                own.into_iter()
                    .chain(chain.iter().flat_map(|chain| chain.functions()))
                    .any(|own| own.definition().fallible)
            }
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// A literal or parameter that nothing gave a type is text.
pub(crate) fn relabel_unknown(value: Typed) -> Typed {
    match value.ty {
        PgType::Unknown => Typed::new(value.expr, PgType::Text),
        _ => value,
    }
}
