//! Comparisons: brought to one type on both sides, then DataFusion's own, so that pruning, joins
//! and push-down see them.
//!
//! A constant takes the column's type where it can be exactly that, rather than the other way
//! round. Types whose Arrow order is not PostgreSQL's are compared by [`super::keys`].

use std::convert::Infallible;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit, not as df_not};
use satsuma_common::{Datum, NumericMod, PgType, SqlResult, arrow_types};

use super::keys;
use crate::casts::datetime::{date_of_timestamp, timestamp_of_date};
use crate::casts::{self, CastKind};
use crate::functions::error::unexpected_value;
use crate::functions::library::Builder;
use crate::functions::{FunctionEnv, Typed};

const OPERATORS: [(&str, Operator); 6] = [
    ("=", Operator::Eq),
    ("<>", Operator::NotEq),
    ("<", Operator::Lt),
    ("<=", Operator::LtEq),
    (">", Operator::Gt),
    (">=", Operator::GtEq),
];

/// Types that compare with each other without a cast in the statement's own terms.
const FAMILIES: &[&[&str]] = &[
    &["int2", "int4", "int8"],
    &["float4", "float8"],
    &["date", "timestamp", "timestamptz"],
    &["name", "text"],
];

const ALONE: &[&str] = &[
    "bool",
    "bytea",
    "bpchar",
    "\"char\"",
    "numeric",
    "time",
    "interval",
    "uuid",
    "jsonb",
    "inet",
    "oid",
    "anyarray",
    "anyenum",
    "record",
    "regclass",
    "regtype",
    "regproc",
    "regnamespace",
    "regrole",
];

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        for (name, op) in OPERATORS {
            for family in FAMILIES {
                for left in *family {
                    for right in *family {
                        add(b, name, op, left, right);
                    }
                }
            }
            for ty in ALONE {
                // regclass and its relatives compare as oid.
                if !ty.starts_with("reg") {
                    add(b, name, op, ty, ty);
                }
            }
        }
    });
}

fn add(b: &mut Builder, name: &str, op: Operator, left: &str, right: &str) {
    b.rewrite(&format!("{name}({left},{right}) bool"), move |args, _, env| {
        let Ok([left, right]) = <[Typed; 2]>::try_from(args) else {
            return Err(unexpected_value("a comparison"));
        };
        compare(op, left, right, env)
    });
}

/// `left op right` for operands that have a comparison, `op` also IS [NOT] DISTINCT FROM.
pub fn compare(op: Operator, left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    if let Some(expr) = with_float_zero(op, &left, &right) {
        return Ok(Typed::bool(expr));
    }
    let (left, op, right) = match in_whole_days(op, &left, &right) {
        Some((date, op, day)) => (date, op, day),
        None => (left, op, right),
    };
    let (left, right) = comparable(op, left, right, env)?;
    Ok(Typed::bool(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
}

/// Both operands as expressions of one Arrow type whose order decides the comparison.
fn comparable(
    op: Operator,
    left: Typed,
    right: Typed,
    env: &FunctionEnv,
) -> SqlResult<(Expr, Expr)> {
    let (left, right) = unify(left, right, env)?;
    let equality = matches!(
        op,
        Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
    );
    if equality {
        if matches!(left.ty, PgType::Enum(_)) {
            return Ok((left.expr, right.expr));
        }
        if left.ty == right.ty && keys::is_padded(&left) && keys::is_padded(&right) {
            return Ok((left.expr, right.expr));
        }
        if let Some(padded) = padded_to_column(&left, &right) {
            return Ok((left.expr, padded));
        }
        if let Some(padded) = padded_to_column(&right, &left) {
            return Ok((padded, right.expr));
        }
    }
    if is_plain_float(&left)
        && is_plain_float(&right)
        && (is_constant(&left) || is_constant(&right))
    {
        // Zero was dealt with; any other constant equals just itself.
        let normal = |value: Typed| match keys::ordering_key(&value, env) {
            Some(key) if is_constant(&value) => fold(key),
            _ => value.expr,
        };
        return Ok((normal(left), normal(right)));
    }
    let key = |value: Typed| match keys::ordering_key(&value, env) {
        Some(key) => fold(key),
        None => value.expr,
    };
    Ok((key(left), key(right)))
}

/// Evaluates a key of a constant at once, so that a plan shows a constant.
fn fold(expr: Expr) -> Expr {
    crate::functions::fold_constant(expr)
}

fn is_constant(value: &Typed) -> bool {
    matches!(value.expr, Expr::Literal(..))
}

fn is_plain_float(value: &Typed) -> bool {
    matches!(value.ty, PgType::Float4 | PgType::Float8)
}

/// Equality of a `char(n)` column with a constant: pad the constant, not trim the column.
fn padded_to_column(column: &Typed, constant: &Typed) -> Option<Expr> {
    let PgType::Bpchar(Some(n)) = column.ty else { return None };
    if is_constant(column) || !matches!(column.expr, Expr::Column(_)) {
        return None;
    }
    let Expr::Literal(ScalarValue::Utf8View(Some(text)), _) = &constant.expr else { return None };
    let text = text.trim_end_matches(' ');
    let missing = (n as usize).saturating_sub(text.chars().count());
    Some(lit(ScalarValue::Utf8View(Some(format!("{text}{}", " ".repeat(missing))))))
}

/// A date compared with a constant timestamp, as a comparison with a constant date: it needs no
/// conversion of the column, which may be pruned by.
fn in_whole_days(op: Operator, left: &Typed, right: &Typed) -> Option<(Typed, Operator, Typed)> {
    let (date, op, at) = match (&left.ty, &right.ty) {
        (PgType::Date, PgType::Timestamp) => (left, op, right),
        (PgType::Timestamp, PgType::Date) => (right, op.swap()?, left),
        _ => return None,
    };
    if is_constant(date) {
        return None;
    }
    let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), _), _) = fold(at.expr.clone())
    else {
        return None;
    };
    let day = date_of_timestamp(at).ok()?;
    // Whether the day begins then.
    let is_start = timestamp_of_date(day).ok()? == at;
    let op = match op {
        Operator::Lt if !is_start => Operator::LtEq,
        Operator::GtEq if !is_start => Operator::Gt,
        Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => op,
        _ if is_start => op,
        _ => return None,
    };
    Some((date.clone(), op, Typed::constant(Datum::Date(day), PgType::Date).ok()?))
}

/// Arrow tells -0 from 0. Against a constant zero the comparison says which it means; against
/// any other constant there is nothing to tell.
fn with_float_zero(op: Operator, left: &Typed, right: &Typed) -> Option<Expr> {
    let zero = |value: &Typed| match &value.expr {
        Expr::Literal(ScalarValue::Float64(Some(v)), _) => *v == 0.0,
        Expr::Literal(ScalarValue::Float32(Some(v)), _) => *v == 0.0,
        Expr::Literal(ScalarValue::Int16(Some(v)), _) => *v == 0,
        Expr::Literal(ScalarValue::Int32(Some(v)), _) => *v == 0,
        Expr::Literal(ScalarValue::Int64(Some(v)), _) => *v == 0,
        _ => false,
    };
    let (column, op) = if zero(right) && is_plain_float(left) && !is_constant(left) {
        (left, op)
    } else if zero(left) && is_plain_float(right) && !is_constant(right) {
        (right, op.swap()?)
    } else {
        return None;
    };
    let (minus, plus) = match column.ty {
        PgType::Float4 => (lit(-0f32), lit(0f32)),
        _ => (lit(-0f64), lit(0f64)),
    };
    let column = column.expr.clone();
    Some(match op {
        Operator::Eq => column.clone().gt_eq(minus).and(column.lt_eq(plus)),
        Operator::NotEq => column.clone().lt(minus).or(column.gt(plus)),
        Operator::Lt => column.lt(minus),
        Operator::LtEq => column.lt_eq(plus),
        Operator::Gt => column.gt(plus),
        Operator::GtEq => column.gt_eq(minus),
        _ => return None,
    })
}

/// Brings both sides to one type.
fn unify(left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<(Typed, Typed)> {
    if left.ty == right.ty {
        return Ok((left, right));
    }
    let (l, r) = (left.ty.without_modifier(), right.ty.without_modifier());
    if let (PgType::Numeric(a), PgType::Numeric(b)) = (&left.ty, &right.ty) {
        let (a, b) = (*a, *b);
        return unify_numerics(left, a, right, b, env);
    }
    if l == r {
        return Ok((left, right));
    }
    if let Some(constant) = exactly(&right, &l, env) {
        return Ok((left, constant));
    }
    if let Some(constant) = exactly(&left, &r, env) {
        return Ok((constant, right));
    }
    let common = comparison_type(l, r)?;
    Ok((
        casts::cast(left, &common, CastKind::Implicit, env)?,
        casts::cast(right, &common, CastKind::Implicit, env)?,
    ))
}

/// The type in which two values are compared. `"char"`, which CASE and UNION do not match with
/// other strings, is compared as text.
pub(super) fn comparison_type(left: PgType, right: PgType) -> SqlResult<PgType> {
    let is_text = |ty: &PgType| casts::can_coerce(ty, &PgType::Text, CastKind::Implicit);
    let both_text = is_text(&left) && is_text(&right);
    match casts::common_type(&[left, right]) {
        Err(_) if both_text => Ok(PgType::Text),
        common => common,
    }
}

/// A constant as `ty`, if it is exactly a value of that type: integers only.
fn exactly(value: &Typed, ty: &PgType, env: &FunctionEnv) -> Option<Typed> {
    if !is_constant(value) || !value.ty.is_integer() || !ty.is_integer() {
        return None;
    }
    let constant = casts::cast(value.clone(), ty, CastKind::Explicit, env).ok()?;
    is_constant(&constant).then_some(constant)
}

fn unify_numerics(
    left: Typed,
    a: Option<NumericMod>,
    right: Typed,
    b: Option<NumericMod>,
    env: &FunctionEnv,
) -> SqlResult<(Typed, Typed)> {
    let fits = arrow_types::fits_decimal128;
    let (Some(a), Some(b)) = (a.filter(|m| fits(*m)), b.filter(|m| fits(*m))) else {
        // One is of the variable form: both are compared by key, which reads either.
        let bare = |value: Typed| match &value.ty {
            PgType::Numeric(Some(m)) if fits(*m) => {
                casts::cast(value, &PgType::Numeric(None), CastKind::Implicit, env)
            }
            _ => Ok(Typed::new(value.expr, PgType::Numeric(None))),
        };
        return Ok((bare(left)?, bare(right)?));
    };
    for (constant, other, swapped) in [(&right, &left, false), (&left, &right, true)] {
        let modifier = if swapped { b } else { a };
        if !is_constant(other)
            && let Some(Ok(Datum::Numeric(value))) = constant.as_constant()
            && let Ok(fitted) = value.with_modifier(modifier)
            && fitted == value
        {
            let constant = Typed::constant(Datum::Numeric(fitted), other.ty.clone())?;
            let other = other.clone();
            return Ok(if swapped { (constant, other) } else { (other, constant) });
        }
    }
    let scale = a.scale.max(b.scale);
    let integer = (a.precision as i16 - a.scale).max(b.precision as i16 - b.scale);
    let precision = (integer + scale) as u16;
    let common = if precision <= 38 {
        PgType::Numeric(Some(NumericMod { precision, scale }))
    } else {
        PgType::Numeric(None)
    };
    Ok((
        casts::cast(left, &common, CastKind::Implicit, env)?,
        casts::cast(right, &common, CastKind::Implicit, env)?,
    ))
}

/// `left IS [NOT] DISTINCT FROM right`: there must be an `=` for the types.
pub fn distinct(left: Typed, right: Typed, negated: bool, env: &FunctionEnv) -> SqlResult<Typed> {
    let op = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
    let equal = super::binary("=", left.clone(), right.clone(), env)?;
    // Read the operands back as the comparison has them: of one type, keyed where needed.
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = equal.expr {
        return Ok(Typed::bool(Expr::BinaryExpr(BinaryExpr::new(left, op, right))));
    }
    // A comparison with a float zero has another shape.
    let nulls = |value: &Typed| value.expr.clone().is_null();
    let same = equal.expr.is_true().or(nulls(&left).and(nulls(&right)));
    Ok(Typed::bool(if negated { same } else { df_not(same) }))
}

/// `value [NOT] IN (list)`.
pub fn in_list(
    value: Typed,
    list: Vec<Typed>,
    negated: bool,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    let mut comparisons = Vec::with_capacity(list.len());
    for item in list {
        comparisons.push(super::binary("=", value.clone(), item, env)?.expr);
    }
    let any = any(as_lists(comparisons));
    Ok(Typed::bool(match any {
        any if !negated => any,
        Expr::InList(list) => Expr::InList(InList { negated: true, ..list }),
        any => df_not(any),
    }))
}

/// Equalities of one expression become one IN list, which is flat however many they are; other
/// comparisons stay.
fn as_lists(comparisons: Vec<Expr>) -> Vec<Expr> {
    let mut tests: Vec<Expr> = Vec::new();
    for comparison in comparisons {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = comparison else {
            tests.push(comparison);
            continue;
        };
        let list = tests.iter_mut().find_map(|test| match test {
            Expr::InList(list) if list.expr == left => Some(list),
            _ => None,
        });
        match list {
            Some(list) => list.list.push(*right),
            None => tests.push(Expr::InList(InList::new(left, vec![*right], false))),
        }
    }
    tests
}

/// True if some test is, as a balanced tree: its depth grows with the logarithm of their number.
pub fn any(tests: Vec<Expr>) -> Expr {
    let Ok(one) = balanced::<_, Infallible>(tests, |a, b| Ok(a.or(b)));
    one.unwrap_or_else(|| lit(false))
}

/// True if all tests are, as a balanced tree.
pub fn all(tests: Vec<Expr>) -> Expr {
    let Ok(one) = balanced::<_, Infallible>(tests, |a, b| Ok(a.and(b)));
    one.unwrap_or_else(|| lit(true))
}

/// What associates, as a balanced tree.
pub(super) fn balanced<T, E>(
    mut parts: Vec<T>,
    combine: impl Fn(T, T) -> Result<T, E>,
) -> Result<Option<T>, E> {
    while parts.len() > 1 {
        let mut rest = parts.into_iter();
        let mut pairs = Vec::new();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => combine(left, right)?,
                None => left,
            });
        }
        parts = pairs;
    }
    Ok(parts.pop())
}
