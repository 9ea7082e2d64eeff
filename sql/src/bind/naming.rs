//! Names of result columns that the statement does not name: PostgreSQL's `FigureColname`.

use sqlparser::ast::{AccessExpr, Expr, FunctionArguments, SelectItem, SetExpr};

use super::expr::special::trim_name;
use super::names::{fold, last};

pub const UNNAMED: &str = "?column?";

pub fn output_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| UNNAMED.into(), |(name, _)| name)
}

/// The name of a query's first column.
fn first_column(body: &SetExpr) -> Option<(String, u8)> {
    match body {
        SetExpr::Select(select) => match select.projection.first()? {
            // Within a query it is that column's, named or not.
            SelectItem::UnnamedExpr(expr) => Some((output_name(expr), 2)),
            SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), 2)),
            _ => None,
        },
        SetExpr::Query(query) => first_column(&query.body),
        SetExpr::SetOperation { left, .. } => first_column(left),
        SetExpr::Values(_) => Some(("column1".into(), 2)),
        _ => None,
    }
}

/// A name and how good it is: a type's name (1) gives way to a better one of the operand.
fn figure(expr: &Expr) -> Option<(String, u8)> {
    let named = |name: &str| Some((name.to_string(), 2));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), 2)),
        Expr::CompoundIdentifier(parts) => Some((fold(parts.last()?), 2)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(field) => Some(field),
                AccessExpr::Subscript(_) => None,
            });
            figure(field.unwrap_or(root))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Function(call) => {
            let name = last(&call.name).ok()?;
            match &call.args {
                FunctionArguments::Subquery(_) => named("array"),
                _ => Some((name, 2)),
            }
        }
        Expr::Cast { expr: operand, data_type, .. } => match figure(operand) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some((type_name(data_type), 1)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), 1)),
        Expr::Interval(_) => Some(("interval".into(), 1)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".into(), 1)),
        },
        Expr::Exists { negated: false, .. } => named("exists"),
        Expr::Array(_) => named("array"),
        Expr::Subquery(query) => first_column(&query.body),
        Expr::BinaryOp { op: sqlparser::ast::BinaryOperator::Overlaps, .. } => named("overlaps"),
        Expr::IsNormalized { negated: false, .. } => named("is_normalized"),
        Expr::AtTimeZone { .. } => named("timezone"),
        Expr::Extract { .. } => named("extract"),
        Expr::Ceil { .. } => named("ceil"),
        Expr::Floor { .. } => named("floor"),
        Expr::Position { .. } => named("position"),
        Expr::Substring { shorthand, .. } => named(if *shorthand { "substr" } else { "substring" }),
        Expr::Overlay { .. } => named("overlay"),
        Expr::Trim { trim_where, .. } => named(trim_name(*trim_where)),
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => None,
        Expr::Tuple(_) => named("row"),
        _ => None,
    }
}

/// The name of a type as the grammar gives it: `int4` for integer, `float8` for double precision.
fn type_name(ty: &sqlparser::ast::DataType) -> String {
    use sqlparser::ast::{ArrayElemTypeDef, DataType, TimezoneInfo};
    match ty {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => type_name(element),
        DataType::Custom(name, _) => last(name).unwrap_or_default(),
        DataType::Bool | DataType::Boolean => "bool".into(),
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".into(),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".into(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".into(),
        DataType::Real | DataType::Float4 => "float4".into(),
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => "float8".into(),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".into(),
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => {
            "varchar".into()
        }
        DataType::Char(_) | DataType::Character(_) => "bpchar".into(),
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            "timestamptz".into()
        }
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timetz".into(),
        DataType::Time(..) => "time".into(),
        DataType::Interval { .. } => "interval".into(),
        other => other.to_string().to_lowercase(),
    }
}
