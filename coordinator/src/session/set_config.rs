//! `SELECT set_config(..), ..`: calls with constant arguments take effect when their statement
//! begins, and are their results from then on.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::SqlResult;
use satsuma_sql::bound::Bound;
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::functions::display_name;

use super::ClusterSession;

impl ClusterSession {
    /// The statement with its calls of `set_config` carried out.
    pub(super) fn apply_set_config(&mut self, bound: Bound) -> SqlResult<Bound> {
        match bound {
            Bound::Query(mut query) => {
                query.plan = self.set_config_in(query.plan)?;
                Ok(Bound::Query(query))
            }
            other => Ok(other),
        }
    }

    fn set_config_in(&mut self, plan: LogicalPlan) -> SqlResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let done = expr.transform_up(|expr| {
                    let value = match (arguments(&expr), setting_read(&expr)) {
                        (Some((setting, value, local)), _) => {
                            self.set_config(&setting, &value, local).map_err(from_sql)?
                        }
                        // In turn, so that it is the value before or after, as it is written.
                        (None, Some(setting)) => match self.settings.show(&setting) {
                            Ok(value) => value,
                            Err(_) => return Ok(Transformed::no(expr)),
                        },
                        (None, None) => return Ok(Transformed::no(expr)),
                    };
                    Ok(Transformed::yes(Expr::Literal(ScalarValue::Utf8View(Some(value)), None)))
                })?;
                Ok(done.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|transformed| transformed.data)
        .map_err(to_sql)
    }

    fn set_config(&mut self, setting: &str, value: &str, local: bool) -> SqlResult<String> {
        self.set_value(setting, value.to_owned(), local)?;
        self.settings.show(setting)
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(scalar, _) => scalar.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

/// What a call of `current_setting` with a constant reads.
fn setting_read(expr: &Expr) -> Option<String> {
    let Expr::ScalarFunction(call) = expr else { return None };
    if display_name(call.name()) != "current_setting" {
        return None;
    }
    text(call.args.first()?)
}

/// Setting, value and `is_local` of a call of `set_config` with constants.
fn arguments(expr: &Expr) -> Option<(String, String, bool)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    if display_name(call.name()) != "set_config" {
        return None;
    }
    match call.args.as_slice() {
        [setting, value, Expr::Literal(ScalarValue::Boolean(Some(local)), _)] => {
            Some((text(setting)?, text(value)?, *local))
        }
        _ => None,
    }
}
