//! Conditions on addresses that an index of networks can answer.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use satsuma_common::inet::Inet;
use satsuma_storage::KeyRange;
use satsuma_storage::index::{NetworkTest, network_probe};

/// The ranges for a condition on `network`; `None` when it is none of them.
pub(super) fn ranges(condition: &Expr, network: &Expr) -> Option<Vec<KeyRange>> {
    let (test, given) = comparison(condition, network)?;
    let Expr::Literal(value, _) = given else { return None };
    Some(network_probe(test, &inet(value)?))
}

/// How the condition compares `network`, and with what.
fn comparison<'a>(condition: &'a Expr, network: &Expr) -> Option<(NetworkTest, &'a Expr)> {
    match condition {
        Expr::ScalarFunction(call) => {
            let [left, right] = &call.args[..] else { return None };
            let (is_left, given) = if uncast(left) == network {
                (true, right)
            } else if uncast(right) == network {
                (false, left)
            } else {
                return None;
            };
            let name = call.func.name().strip_prefix("operator ")?;
            let test = match (name.strip_suffix("(inet,inet)")?, is_left) {
                (">>" | ">>=", true) | ("<<" | "<<=", false) => NetworkTest::Holds,
                ("<<" | "<<=", true) | (">>" | ">>=", false) => NetworkTest::Within,
                ("&&", _) => NetworkTest::Overlaps,
                _ => return None,
            };
            Some((test, given))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let given = if uncast(left) == network {
                right
            } else if uncast(right) == network {
                left
            } else {
                return None;
            };
            Some((NetworkTest::Equals, given))
        }
        _ => None,
    }
}

/// cidr is taken as inet without a change of its value.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        other => other,
    }
}

pub(crate) fn inet(value: &ScalarValue) -> Option<Inet> {
    match value {
        ScalarValue::Binary(Some(bytes)) | ScalarValue::BinaryView(Some(bytes)) => {
            Inet::from_sortable(bytes)
        }
        _ => None,
    }
}
