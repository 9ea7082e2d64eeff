//! LIMIT and OFFSET as numbers. What they count by is computed before the plan is optimized: rules
//! and operators take literals only, and a negative count has errors of its own.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan};
use satsuma_common::{SqlError, SqlResult, SqlState};

use crate::engine_error::{from_sql, to_sql};
use crate::known_value;

/// The plan with every count computed; 2201W and 2201X for negative ones.
pub fn settle(plan: LogicalPlan) -> SqlResult<LogicalPlan> {
    let mut limited = false;
    plan.apply_with_subqueries(|node| {
        limited |= matches!(node, LogicalPlan::Limit(_));
        Ok(if limited { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(to_sql)?;
    if !limited {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Limit(Limit { skip, fetch, input }) = node else {
            return Ok(Transformed::no(node));
        };
        let skip = count(skip, &OFFSET).map_err(from_sql)?;
        let fetch = count(fetch, &LIMIT).map_err(from_sql)?;
        Ok(Transformed::yes(LogicalPlan::Limit(Limit { skip, fetch, input })))
    })
    .map(|transformed| transformed.data)
    .map_err(to_sql)
}

/// What a count is of, and the SQLSTATE of negative ones.
type Clause = (&'static str, SqlState);

const LIMIT: Clause = ("LIMIT", SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE);
const OFFSET: Clause = ("OFFSET", SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE);

/// `None` is no limit: not given, or NULL.
fn count(expr: Option<Box<Expr>>, (name, negative): &Clause) -> SqlResult<Option<Box<Expr>>> {
    let Some(expr) = expr else { return Ok(None) };
    match known_value::compute(&expr)? {
        ScalarValue::Int64(Some(n)) if n < 0 => {
            Err(SqlError::new(*negative, format!("{name} must not be negative")))
        }
        value if value.is_null() => Ok(None),
        value => Ok(Some(Box::new(Expr::Literal(value, None)))),
    }
}
