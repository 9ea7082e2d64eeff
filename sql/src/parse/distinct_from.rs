//! `a IS DISTINCT FROM b AND c`: the parser takes `b AND c` for the right side, PostgreSQL takes
//! `b`. Trees with IS DISTINCT FROM are put right here, bottom up: what a right side swallowed
//! goes back above it, as far up as its operator binds less tightly than what it is below.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, VisitMut, visit_expressions_mut};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Whether the tokens have the operator at all; most statements do not.
pub fn occurs(tokens: &[TokenWithSpan]) -> bool {
    let is = |token: &TokenWithSpan, keyword| matches!(&token.token, Token::Word(word) if word.keyword == keyword);
    tokens.windows(2).any(|pair| {
        is(&pair[1], Keyword::DISTINCT) && (is(&pair[0], Keyword::IS) || is(&pair[0], Keyword::NOT))
    })
}

pub fn regroup<T: VisitMut>(node: &mut T) {
    let done: ControlFlow<()> = visit_expressions_mut(node, |expr| {
        regroup_one(expr);
        ControlFlow::Continue(())
    });
    debug_assert!(done.is_continue());
}

fn regroup_one(expr: &mut Expr) {
    let swallowed = match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => is_logical(right),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => is_logical(expr),
        Expr::BinaryOp { op: BinaryOperator::And, right, .. } => {
            is_binary(right, &BinaryOperator::Or)
        }
        _ => false,
    };
    if !swallowed {
        return;
    }
    match std::mem::replace(expr, nothing()) {
        Expr::IsDistinctFrom(left, mut right) => {
            wrap(leftmost(&mut right, is_logical), |own| Expr::IsDistinctFrom(left, own));
            *expr = *right;
        }
        Expr::IsNotDistinctFrom(left, mut right) => {
            wrap(leftmost(&mut right, is_logical), |own| Expr::IsNotDistinctFrom(left, own));
            *expr = *right;
        }
        Expr::UnaryOp { op, expr: mut operand } => {
            wrap(leftmost(&mut operand, is_logical), |own| Expr::UnaryOp { op, expr: own });
            *expr = *operand;
        }
        Expr::BinaryOp { left, op, mut right } => {
            let place = leftmost(&mut right, |expr| is_binary(expr, &BinaryOperator::Or));
            wrap(place, |own| Expr::BinaryOp { left, op, right: own });
            *expr = *right;
        }
        other => *expr = other,
    }
}

fn nothing() -> Expr {
    Expr::value(sqlparser::ast::Value::Null)
}

fn wrap(place: &mut Expr, with: impl FnOnce(Box<Expr>) -> Expr) {
    let own = std::mem::replace(place, nothing());
    *place = with(Box::new(own));
}

fn is_binary(expr: &Expr, wanted: &BinaryOperator) -> bool {
    matches!(expr, Expr::BinaryOp { op, .. } if op == wanted)
}

fn is_logical(expr: &Expr) -> bool {
    is_binary(expr, &BinaryOperator::And) || is_binary(expr, &BinaryOperator::Or)
}

/// The leftmost operand below operators that `descend` accepts.
fn leftmost(mut expr: &mut Expr, descend: impl Fn(&Expr) -> bool) -> &mut Expr {
    while descend(expr) {
        match expr {
            Expr::BinaryOp { left, .. } => expr = left,
            _ => break,
        }
    }
    expr
}

#[cfg(test)]
mod tests {
    use crate::parse::parse_expression;

    fn grouped(text: &str) -> String {
        /// Parentheses around every logical operation.
        fn show(expr: &super::Expr) -> String {
            use super::Expr;
            match expr {
                Expr::BinaryOp { left, op, right } => {
                    format!("({} {op} {})", show(left), show(right))
                }
                Expr::UnaryOp { op, expr } => format!("({op} {})", show(expr)),
                Expr::IsDistinctFrom(left, right) => {
                    format!("({} <> {})", show(left), show(right))
                }
                Expr::IsNotDistinctFrom(left, right) => {
                    format!("({} == {})", show(left), show(right))
                }
                Expr::Nested(inner) => show(inner),
                other => other.to_string(),
            }
        }
        show(&parse_expression(text).unwrap().0)
    }

    #[test]
    fn it_binds_tighter_than_and_or_and_not() {
        for (text, expected) in [
            ("a IS DISTINCT FROM b AND c", "((a <> b) AND c)"),
            ("a IS NOT DISTINCT FROM b OR c AND d", "((a == b) OR (c AND d))"),
            ("a AND b IS DISTINCT FROM c OR d", "((a AND (b <> c)) OR d)"),
            ("a OR b IS DISTINCT FROM c AND d", "(a OR ((b <> c) AND d))"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a <> b)) AND c)"),
            (
                "a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e",
                "(((a <> b) AND (c <> d)) OR e)",
            ),
            ("a IS DISTINCT FROM (b AND c)", "(a <> (b AND c))"),
            ("a IS DISTINCT FROM b + 1 AND c", "((a <> (b + 1)) AND c)"),
            ("(a IS DISTINCT FROM b OR c) AND d", "(((a <> b) OR c) AND d)"),
        ] {
            assert_eq!(grouped(text), expected, "{text}");
        }
    }
}
