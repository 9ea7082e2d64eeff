//! Whether a query does more than read.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::SqlResult;
use sqlparser::ast;

use crate::bound::Bound;
use crate::engine_error::to_sql;
use crate::lock_rows::LockRows;
use crate::parse::Statement;

/// Volatile functions that change nothing.
const HARMLESS: [&str; 5] =
    ["random", "gen_random_uuid", "uuid_generate_v4", "clock_timestamp", "timeofday"];

/// Whether the statement only gives rows: run late, or not to its end, nobody misses anything. A
/// query that locks rows, or calls what may act (`nextval`), is not of this kind.
pub fn only_reads(bound: &Bound) -> SqlResult<bool> {
    match bound {
        Bound::CopyTo { statement, .. } => only_reads(statement),
        Bound::Query(query) => Ok(!LockRows::is_in(&query.plan)? && !acts(&query.plan)?),
        Bound::WithChanges { changes, statement } => {
            for change in changes {
                if !only_reads(change)? {
                    return Ok(false);
                }
            }
            only_reads(statement)
        }
        Bound::Insert(_)
        | Bound::Update(_)
        | Bound::Delete(_)
        | Bound::Merge(_)
        | Bound::Truncate { .. }
        | Bound::CopyFrom(_)
        | Bound::Call(_)
        | Bound::Explain { .. } => Ok(false),
        Bound::Utility(statement) => Ok(is_show(statement)),
    }
}

fn is_show(statement: &Statement) -> bool {
    let Statement::Sql(statement) = statement else { return false };
    matches!(statement.as_ref(), ast::Statement::ShowVariable { .. })
}

fn acts(plan: &LogicalPlan) -> SqlResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= expr.is_volatile_node() && !is_harmless(expr);
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })
    .map_err(to_sql)?;
    Ok(found)
}

fn is_harmless(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if HARMLESS.contains(&call.func.name()))
}
