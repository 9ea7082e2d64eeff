//! Conditions on jsonb documents that an index of their tokens can answer.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use satsuma_storage::KeyRange;
use satsuma_storage::index::{Wanted, document_probe};

/// The clauses of a probe for a condition on `document`; `None` when tokens do not help.
pub(super) fn clauses(condition: &Expr, document: &Expr) -> Option<Vec<Vec<KeyRange>>> {
    match condition {
        Expr::ScalarFunction(call) => {
            let [left, right] = &call.args[..] else { return None };
            match call.func.name() {
                "operator @>(jsonb,jsonb)" if left == document => {
                    document_probe(&Wanted::Contains(&text(right)?))
                }
                "operator <@(jsonb,jsonb)" if right == document => {
                    document_probe(&Wanted::Contains(&text(left)?))
                }
                "operator ?(jsonb,text)" if left == document => {
                    document_probe(&Wanted::HasKey(&text(right)?))
                }
                "operator ?|(jsonb,_text)" if left == document => {
                    document_probe(&Wanted::HasAnyKey(&texts(right)?))
                }
                "operator ?&(jsonb,_text)" if left == document => {
                    document_probe(&Wanted::HasAllKeys(&texts(right)?))
                }
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (field, given) = match text(right) {
                Some(given) => (left, given),
                None => (right, text(left)?),
            };
            document_probe(&Wanted::TextAt(&path(field, document)?, &given))
        }
        _ => None,
    }
}

/// The keys of `document -> k1 ->> k2`.
fn path(field: &Expr, document: &Expr) -> Option<Vec<String>> {
    let Expr::ScalarFunction(call) = field else { return None };
    let [whole, key] = &call.args[..] else { return None };
    match call.func.name() {
        "operator ->>(jsonb,text)" => {
            let mut path = Vec::new();
            way(whole, document, &mut path)?;
            path.push(text(key)?);
            Some(path)
        }
        _ => None,
    }
}

fn way(value: &Expr, document: &Expr, path: &mut Vec<String>) -> Option<()> {
    if value == document {
        return Some(());
    }
    let Expr::ScalarFunction(call) = value else { return None };
    let [whole, key] = &call.args[..] else { return None };
    if call.func.name() != "operator ->(jsonb,text)" {
        return None;
    }
    way(whole, document, path)?;
    path.push(text(key)?);
    Some(())
}

fn text(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    value.try_as_str().flatten().map(str::to_owned)
}

fn texts(expr: &Expr) -> Option<Vec<String>> {
    let Expr::Literal(ScalarValue::List(list), _) = expr else { return None };
    let values = list.iter().next()??;
    let values = arrow::array::AsArray::as_string_view_opt(&values)?;
    Some(values.iter().flatten().map(str::to_owned).collect())
}
