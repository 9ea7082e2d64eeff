//! Chains of AND and OR as balanced trees. The grammar nests `a OR b OR ..` as deeply as it is
//! long, and statements are visited, copied and dropped recursively.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Value, VisitMut, VisitorMut};

/// How long a chain may be that is left as it is.
const SHORT: usize = 16;

/// Balances every long chain of AND and OR. It means the same, and reads the same when written.
pub fn balance(statement: &mut impl VisitMut) {
    let _ = statement.visit(&mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::BinaryOp { op, .. } = expr else { return ControlFlow::Continue(()) };
        let op = op.clone();
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) && length(expr, &op) > SHORT {
            let whole = std::mem::replace(expr, Expr::value(Value::Null));
            if let Some(balanced) = balanced(operands(whole, &op), &op) {
                *expr = balanced;
            }
        }
        ControlFlow::Continue(())
    }
}

fn length(mut expr: &Expr, connective: &BinaryOperator) -> usize {
    let mut length = 1;
    while let Expr::BinaryOp { left, op, .. } = expr
        && op == connective
    {
        length += 1;
        expr = left;
    }
    length
}

fn operands(expr: Expr, connective: &BinaryOperator) -> Vec<Expr> {
    let (mut operands, mut rest) = (Vec::new(), expr);
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == *connective => {
                operands.push(*right);
                rest = *left;
            }
            first => {
                operands.push(first);
                operands.reverse();
                return operands;
            }
        }
    }
}

fn balanced(mut operands: Vec<Expr>, op: &BinaryOperator) -> Option<Expr> {
    while operands.len() > 1 {
        let mut rest = operands.into_iter();
        let mut pairs = Vec::new();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => {
                    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
                }
                None => left,
            });
        }
        operands = pairs;
    }
    operands.pop()
}
