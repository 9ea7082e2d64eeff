//! Leaves of the coordinator's plan whose rows come from workers.

use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::{Aggregate, Extension, LogicalPlan};
use satsuma_common::{GroupId, SqlResult};

use super::choice::Choice;
use super::exchange::{Input, Spread, cut};

/// A plan to run on workers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteTask {
    /// Scans user tables and inputs only.
    pub plan: LogicalPlan,
    pub target: Target,
    pub inputs: Vec<Input>,
    /// Why its rows come to the coordinator, where there was something to choose.
    pub choice: Option<Arc<Choice>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Once on each group; the results are the union.
    Groups(Vec<GroupId>),
    /// Once, on any worker: reference tables only.
    AnyWorker,
}

impl RemoteTask {
    /// `plan` has exchanges where it reads rows from elsewhere.
    fn new(plan: LogicalPlan, target: Target) -> SqlResult<Self> {
        let (plan, inputs) = cut(plan)?;
        Ok(Self { plan, target, inputs, choice: None })
    }

    /// For plans as text: `tasks=32`, and how its inputs are spread.
    fn summary(&self) -> String {
        let mut text = format!("tasks={}", self.task_count());
        for input in &self.inputs {
            text.push_str(match &input.spread {
                Spread::Copies => ", copies of (",
                Spread::ByHash { .. } => ", by hash (",
            });
            text.push_str(&format!("{})", input.plan.display_indent()));
        }
        text
    }

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
    pub fn new(plan: LogicalPlan, target: Target) -> SqlResult<Self> {
        let schema = plan.schema().clone();
        Ok(Self { task: RemoteTask::new(plan, target)?, schema })
    }

    pub fn chosen(mut self, choice: Option<Arc<Choice>>) -> Self {
        self.task.choice = choice;
        self
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
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
    pub fn new(aggregate: Aggregate, target: Target) -> SqlResult<Self> {
        let plan = LogicalPlan::Aggregate(aggregate.clone());
        Ok(Self { task: RemoteTask::new(plan, target)?, aggregate })
    }

    pub fn chosen(mut self, choice: Option<Arc<Choice>>) -> Self {
        self.task.choice = choice;
        self
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

/// Leaves: no inputs, no expressions of their own, no order among themselves.
macro_rules! leaf_node {
    ($name:ident, $label:literal, $schema:expr, $detail:expr) => {
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                (self == other).then_some(std::cmp::Ordering::Equal)
            }
        }

        impl datafusion::logical_expr::UserDefinedLogicalNodeCore for $name {
            fn name(&self) -> &str {
                $label
            }

            fn inputs(&self) -> Vec<&datafusion::logical_expr::LogicalPlan> {
                Vec::new()
            }

            fn schema(&self) -> &datafusion::common::DFSchemaRef {
                let schema: fn(&Self) -> &datafusion::common::DFSchemaRef = $schema;
                schema(self)
            }

            fn expressions(&self) -> Vec<datafusion::logical_expr::Expr> {
                Vec::new()
            }

            fn fmt_for_explain(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let detail: fn(&Self) -> String = $detail;
                write!(f, "{}: {}", $label, detail(self))
            }

            fn with_exprs_and_inputs(
                &self,
                expressions: Vec<datafusion::logical_expr::Expr>,
                inputs: Vec<datafusion::logical_expr::LogicalPlan>,
            ) -> datafusion::error::Result<Self> {
                if expressions.is_empty() && inputs.is_empty() {
                    Ok(self.clone())
                } else {
                    Err(datafusion::error::DataFusionError::Internal(
                        concat!($label, " is a leaf").into(),
                    ))
                }
            }
        }
    };
}

pub(super) use leaf_node;

leaf_node!(RemoteScan, "RemoteScan", |node| &node.schema, |node| node.task.summary());
leaf_node!(RemoteAggregate, "RemoteAggregate", |node| &node.aggregate.schema, |node| node
    .task
    .summary());
