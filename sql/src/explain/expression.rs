//! Physical expressions in PostgreSQL's words.

use std::sync::Arc;

use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, IsNotNullExpr, IsNullExpr,
    LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::scalar::ScalarValue;
use satsuma_common::inet::Inet;

use crate::functions::display_name;

/// Conditions as one.
pub fn conjunction(terms: &[String]) -> String {
    match terms {
        [one] => one.clone(),
        many => format!("({})", many.join(" AND ")),
    }
}

/// Functions that no user wrote: values in another form, to be compared or stored.
const OURS: [&str; 2] = ["assign", "equality_key"];

/// The expression as PostgreSQL would write it, where it has the same parts.
pub fn expression(expr: &Arc<dyn PhysicalExpr>) -> String {
    if let Some(column) = expr.downcast_ref::<Column>() {
        readable(column.name())
    } else if let Some(literal) = expr.downcast_ref::<Literal>() {
        constant(literal.value())
    } else if let Some(guarded) = guarded(expr) {
        guarded.to_string()
    } else if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let (left, right) = (expression(binary.left()), expression(binary.right()));
        let op = binary.op().to_string();
        let op = if op == "!=" { "<>".to_string() } else { op };
        format!("({left} {op} {right})")
    } else if let Some(not) = expr.downcast_ref::<NotExpr>() {
        format!("(NOT {})", expression(not.arg()))
    } else if let Some(test) = expr.downcast_ref::<IsNullExpr>() {
        format!("({} IS NULL)", expression(test.arg()))
    } else if let Some(test) = expr.downcast_ref::<IsNotNullExpr>() {
        format!("({} IS NOT NULL)", expression(test.arg()))
    } else if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let op = match (like.negated(), like.case_insensitive()) {
            (false, false) => "~~",
            (true, false) => "!~~",
            (false, true) => "~~*",
            (true, true) => "!~~*",
        };
        format!("({} {op} {})", expression(like.expr()), expression(like.pattern()))
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        expression(cast.expr())
    } else if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        let name = display_name(call.fun().name());
        let types = call.fun().name().split_once('(').map_or("", |(_, types)| types);
        let types = types.trim_end_matches(')').split(',').chain(std::iter::repeat("text"));
        let args: Vec<_> = call
            .args()
            .iter()
            .zip(types)
            .map(|(arg, ty)| match expression(arg).strip_suffix("'::text") {
                Some(text) if ty == "jsonb" => format!("{text}'::jsonb"),
                _ => expression(arg),
            })
            .collect();
        match (call.fun().name().starts_with("operator "), &args[..]) {
            (_, [value]) if OURS.contains(&name) => value.clone(),
            (_, [left, right]) if name == "textcat" => format!("({left} || {right})"),
            (true, [left, right]) => format!("({left} {name} {right})"),
            (true, [operand]) => format!("({name} {operand})"),
            _ => format!("{name}({})", args.join(", ")),
        }
    } else {
        without_positions(&expr.to_string())
    }
}

/// What AND joins, each once: conditions that guard others are in front of each of them
/// (`operators/logic.rs`).
pub fn conjuncts<'a>(
    conditions: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>,
) -> Vec<String> {
    let mut terms = Vec::new();
    let mut rest: Vec<_> = conditions.into_iter().collect();
    rest.reverse();
    while let Some(next) = rest.pop() {
        let both = next.downcast_ref::<BinaryExpr>().filter(|test| *test.op() == Operator::And);
        match (both, guarded(next)) {
            (Some(both), _) => rest.extend([both.right(), both.left()]),
            (_, Some(Guarded { positive: true, and: true, operands })) => {
                rest.extend(operands.into_iter().rev());
            }
            _ if next.is::<DynamicFilterPhysicalExpr>() => {}
            _ => {
                let term = expression(next);
                if !terms.contains(&term) {
                    terms.push(term);
                }
            }
        }
    }
    terms
}

/// AND or OR whose operands are evaluated one after the other: `CASE WHEN a IS NOT TRUE THEN 0 ..
/// ELSE z END > 0`, or its negation, `<= 0`.
struct Guarded<'a> {
    positive: bool,
    and: bool,
    operands: Vec<&'a Arc<dyn PhysicalExpr>>,
}

fn guarded(expr: &Arc<dyn PhysicalExpr>) -> Option<Guarded<'_>> {
    let test = expr.downcast_ref::<BinaryExpr>()?;
    let case = test.left().downcast_ref::<CaseExpr>()?;
    let positive = match test.op() {
        Operator::Gt => true,
        Operator::LtEq => false,
        _ => return None,
    };
    if integer(test.right())? != 0 {
        return None;
    }
    let and = integer(&case.when_then_expr().first()?.1)? == 0;
    let mut operands = Vec::new();
    for (when, _) in case.when_then_expr() {
        let when = when.downcast_ref::<BinaryExpr>()?;
        if !matches!(when.op(), Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
            return None;
        }
        operands.push(when.left());
    }
    operands.extend(case.else_expr());
    Some(Guarded { positive, and, operands })
}

impl std::fmt::Display for Guarded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operands: Vec<_> = self.operands.iter().map(|operand| expression(operand)).collect();
        let all = operands.join(if self.and { " AND " } else { " OR " });
        if self.positive { write!(f, "({all})") } else { write!(f, "(NOT ({all}))") }
    }
}

fn integer(expr: &Arc<dyn PhysicalExpr>) -> Option<i16> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int16(value) => *value,
        _ => None,
    }
}

fn constant(value: &ScalarValue) -> String {
    use datafusion::arrow::datatypes::DataType;
    if value.is_null() {
        return "NULL".into();
    }
    match value.data_type() {
        ty if ty.is_numeric() => value.to_string(),
        DataType::Boolean => value.to_string(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            format!("'{}'::text", value.to_string().replace('\'', "''"))
        }
        DataType::Binary => {
            let bytes = match value {
                ScalarValue::Binary(bytes) => bytes.as_deref(),
                _ => None,
            };
            match bytes.and_then(Inet::from_sortable) {
                Some(inet) => format!("'{inet}'::inet"),
                None => format!("'{value}'"),
            }
        }
        _ => format!("'{value}'"),
    }
}

/// A column's name. Those of aggregates are written by the engine, and again as the states of the
/// first phase.
pub(super) fn readable(name: &str) -> String {
    let name = without_positions(name).replace("count(Int64(1))", "count(*)");
    let find = |clause: &&str| name.find(*clause);
    if let Some(frame) = [" ROWS BETWEEN ", " RANGE BETWEEN "].iter().find_map(find) {
        let before = [" PARTITION BY [", " ORDER BY ["].iter().filter_map(find).min();
        // As PostgreSQL does.
        return format!("{} OVER (?)", &name[..before.unwrap_or(frame).min(frame)]);
    }
    match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((aggregate, _)) if aggregate.ends_with(')') => format!("PARTIAL {aggregate}"),
        _ => name,
    }
}

/// DataFusion writes columns as `name@3`, the binder calls computed ones `name#3`.
pub(super) fn without_positions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after_name = out.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
        if matches!(c, '@' | '#') && after_name && rest.peek().is_some_and(char::is_ascii_digit) {
            while rest.peek().is_some_and(char::is_ascii_digit) {
                rest.next();
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_engine_are_not_shown() {
        for (name, expected) in [
            ("v", "v"),
            ("key#4", "key"),
            ("count(Int64(1))", "count(*)"),
            ("count(Int64(1))[count]", "PARTIAL count(*)"),
            ("a[1]", "a[1]"),
            (
                "rank() ORDER BY [v ASC] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                "rank() OVER (?)",
            ),
            ("sum(v) ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "sum(v) OVER (?)"),
            ("array_agg(v) ORDER BY [v ASC]", "array_agg(v) ORDER BY [v ASC]"),
        ] {
            assert_eq!(readable(name), expected);
        }
    }
}
