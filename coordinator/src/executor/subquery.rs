//! Uncorrelated scalar subqueries are run first and become constants, as PostgreSQL's InitPlans
//! do. Constants prune shards and travel to workers; subqueries do neither.

use std::collections::HashMap;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use satsuma_common::SqlResult;
use satsuma_sql::engine_error::to_sql;

/// The uncorrelated scalar subqueries of a plan's own expressions, each once.
pub fn uncorrelated(plan: &LogicalPlan) -> SqlResult<Vec<Subquery>> {
    let mut found: Vec<Subquery> = Vec::new();
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(subquery) = expr
                    && subquery.outer_ref_columns.is_empty()
                    && !found.contains(subquery)
                {
                    found.push(subquery.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(to_sql)?;
    Ok(found)
}

/// The plan with each of these subqueries replaced by its value.
pub fn replace(
    plan: LogicalPlan,
    values: &HashMap<Subquery, ScalarValue>,
) -> SqlResult<LogicalPlan> {
    plan.transform_up(|node| {
        let names = NamePreserver::new(&node);
        let replaced = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|expr| match &expr {
                Expr::ScalarSubquery(subquery) => Ok(match values.get(subquery) {
                    Some(value) => Transformed::yes(Expr::Literal(value.clone(), None)),
                    None => Transformed::no(expr),
                }),
                _ => Ok(Transformed::no(expr)),
            })?;
            Ok(replaced.update_data(|expr| name.restore(expr)))
        })?;
        if replaced.transformed {
            Ok(Transformed::yes(replaced.data.recompute_schema()?))
        } else {
            Ok(replaced)
        }
    })
    .map(|transformed| transformed.data)
    .map_err(to_sql)
}
