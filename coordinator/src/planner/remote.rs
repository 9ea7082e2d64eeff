//! Leaves of the coordinator's plan whose rows come from workers.

use std::cmp::Ordering;
use std::fmt;

use datafusion::common::DFSchemaRef;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{
    Aggregate, Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore,
};
use satsuma_common::GroupId;

/// A plan to run on workers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteTask {
    /// Scans user tables only.
    pub plan: LogicalPlan,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Once on each group; the results are the union.
    Groups(Vec<GroupId>),
    /// Once, on any worker: reference tables only.
    AnyWorker,
}

impl RemoteTask {
    pub fn task_count(&self) -> usize {
        match &self.target {
            Target::Groups(groups) => groups.len(),
            Target::AnyWorker => 1,
        }
    }
}

/// The rows of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteScan {
    pub task: RemoteTask,
    schema: DFSchemaRef,
}

impl RemoteScan {
    pub fn new(plan: LogicalPlan, target: Target) -> Self {
        let schema = plan.schema().clone();
        Self { task: RemoteTask { plan, target }, schema }
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: std::sync::Arc::new(self) })
    }
}

/// The results of an aggregate whose task gives accumulator states: the task's plan is the
/// aggregate itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteAggregate {
    pub task: RemoteTask,
    pub aggregate: Aggregate,
}

impl RemoteAggregate {
    pub fn new(aggregate: Aggregate, target: Target) -> Self {
        let plan = LogicalPlan::Aggregate(aggregate.clone());
        Self { task: RemoteTask { plan, target }, aggregate }
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: std::sync::Arc::new(self) })
    }
}

/// Leaves: no inputs, no expressions of their own, no order among themselves.
macro_rules! leaf_node {
    ($name:ident, $label:literal, $schema:expr) => {
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                (self == other).then_some(Ordering::Equal)
            }
        }

        impl UserDefinedLogicalNodeCore for $name {
            fn name(&self) -> &str {
                $label
            }

            fn inputs(&self) -> Vec<&LogicalPlan> {
                Vec::new()
            }

            fn schema(&self) -> &DFSchemaRef {
                let schema: fn(&Self) -> &DFSchemaRef = $schema;
                schema(self)
            }

            fn expressions(&self) -> Vec<Expr> {
                Vec::new()
            }

            fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}: tasks={}", $label, self.task.task_count())
            }

            fn with_exprs_and_inputs(
                &self,
                expressions: Vec<Expr>,
                inputs: Vec<LogicalPlan>,
            ) -> EngineResult<Self> {
                if expressions.is_empty() && inputs.is_empty() {
                    Ok(self.clone())
                } else {
                    Err(DataFusionError::Internal(concat!($label, " is a leaf").into()))
                }
            }
        }
    };
}

leaf_node!(RemoteScan, "RemoteScan", |node| &node.schema);
leaf_node!(RemoteAggregate, "RemoteAggregate", |node| &node.aggregate.schema);
