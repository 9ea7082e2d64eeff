//! `SELECT .. FOR UPDATE` in a plan: rows that must be locked before they go on.
//!
//! The node stands above the query's ORDER BY and below its LIMIT, as PostgreSQL's LockRows does.
//! It has no operator: the session takes it out before anything is optimized, runs what is below
//! it, locks the rows in their order, and puts the rows that it got in its place.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchemaRef};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use satsuma_common::{SqlResult, TableId};

use crate::bound::LockStrength;
use crate::engine_error::to_sql;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockRows {
    pub input: Arc<LogicalPlan>,
    pub tables: Vec<LockedTable>,
}

/// A table of FROM whose rows are locked. The columns are the input's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockedTable {
    pub table: TableId,
    pub strength: LockStrength,
    pub wait: LockWait,
    /// The row's key.
    pub key: Column,
    /// The value that decides the shard, where there is one.
    pub distribution: Option<Column>,
}

/// What to do about a row that somebody else has locked; the one that wins comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockWait {
    Wait,
    SkipLocked,
    NoWait,
}

impl LockRows {
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref::<Self>(),
            _ => None,
        }
    }

    /// The strength of the first in the plan or its subqueries; `None` when no rows are locked.
    pub fn first_strength(plan: &LogicalPlan) -> SqlResult<Option<LockStrength>> {
        let mut found = None;
        plan.apply_with_subqueries(|node| {
            found = Self::of(node).and_then(|rows| rows.tables.first()).map(|table| table.strength);
            let more = found.is_none();
            Ok(if more { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
        .map_err(to_sql)?;
        Ok(found)
    }

    /// Whether there is one in the plan or its subqueries.
    pub fn is_in(plan: &LogicalPlan) -> SqlResult<bool> {
        Self::first_strength(plan).map(|strength| strength.is_some())
    }
}

impl PartialOrd for LockRows {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for LockRows {
    fn name(&self) -> &str {
        "LockRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockRows")
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> EngineResult<Self> {
        match (inputs.pop(), inputs.is_empty(), expressions.is_empty()) {
            (Some(input), true, true) => {
                Ok(Self { input: Arc::new(input), tables: self.tables.clone() })
            }
            _ => Err(DataFusionError::Internal("LockRows has one input".into())),
        }
    }
}
