//! Rows that travel to the workers of a task: the inputs of its plan.
//!
//! ```text
//!   Join                                       Join
//!     Scan b                         ->          Scan b
//!     Exchange by hash of a.v                    Projection (the names of the exchanged plan)
//!       '- RemoteScan a                            Scan input 0        input 0: RemoteScan a
//! ```
//!
//! While a plan is being placed, an [`Exchange`] is a leaf of it that holds the other plan
//! inside. When the plan becomes a task, [`cut`] puts scans in the place of these leaves.

use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use satsuma_common::{GroupId, HashRange, PgType, SqlError, SqlResult};
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::table::{ScanSource, renamed_scan};

use super::choice::Choice;

/// Rows that a task's plan reads beside its groups' shards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// A distributed plan; its rows come to the coordinator.
    pub plan: LogicalPlan,
    pub spread: Spread,
    pub choice: Arc<Choice>,
}

/// Which groups of the task get which rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Spread {
    /// Every group reads all rows.
    Copies,
    /// Each row goes to the group whose range holds the hash of `key` as a value of `ty`; to the
    /// first group when it is NULL. A row of a group that the task does not run on is dropped.
    ByHash { key: Expr, ty: PgType, ranges: Arc<[(HashRange, GroupId)]> },
}

/// An input in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exchange {
    pub input: Input,
    schema: DFSchemaRef,
}

impl Exchange {
    pub fn new(plan: LogicalPlan, spread: Spread, choice: Arc<Choice>) -> Self {
        let schema = plan.schema().clone();
        Self { input: Input { plan, spread, choice }, schema }
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

super::remote::leaf_node!(
    Exchange,
    "Exchange",
    |node| &node.schema,
    |node| match &node.input.spread {
        Spread::Copies => "copies".to_owned(),
        Spread::ByHash { key, .. } => format!("by hash of {key}"),
    }
);

/// The plan with its exchanges as scans of inputs, and the inputs in the order of their numbers.
pub fn cut(plan: LogicalPlan) -> SqlResult<(LogicalPlan, Vec<Input>)> {
    let mut inputs = Vec::new();
    let plan = plan
        .transform_down(|node| {
            let LogicalPlan::Extension(Extension { node: extension }) = &node else {
                return Ok(Transformed::no(node));
            };
            let Some(exchange) = extension.as_any().downcast_ref::<Exchange>() else {
                return Ok(Transformed::no(node));
            };
            let number = inputs.len();
            let source = |schema| {
                ScanSource::exchanged(u32::try_from(number).unwrap_or(u32::MAX), schema) as _
            };
            let name = format!("__exchange{number}");
            let scan = renamed_scan(&name, source, extension.schema())?;
            inputs.push(exchange.input.clone());
            Ok(Transformed::yes(scan))
        })
        .map_err(to_sql)?
        .data;
    if inputs.len() > MAX_INPUTS {
        return Err(SqlError::unsupported("a query joins too many tables that are not co-located"));
    }
    Ok((plan, inputs))
}

/// More joins than these in one task is no query that anybody writes.
const MAX_INPUTS: usize = 1024;
