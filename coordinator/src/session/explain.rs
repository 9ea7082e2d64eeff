//! EXPLAIN in the shape that Citus gives it: the coordinator's operators, then one task of many
//! with its worker's plan.

use std::sync::Arc;

use datafusion::logical_expr::{Extension, LogicalPlan};
use futures::stream::StreamExt;
use satsuma_common::{Datum, PgType, SqlError, SqlResult};
use satsuma_proto::worker::{Fragment, FragmentMode, QueryRequest};
use satsuma_sql::bound::{Bound, ExplainFormat, ExplainOptions, OutputColumn};
use satsuma_sql::codec;

use super::ClusterSession;
use super::utility::rows_of;
use crate::executor::Scope;
use crate::planner::{RemoteAggregate, RemoteScan, RemoteTask, Target, scanned_tables};
use crate::session_api::{ExecuteOptions, Execution};

pub fn columns() -> Vec<OutputColumn> {
    vec![OutputColumn { name: "QUERY PLAN".into(), ty: PgType::Text, origin: None }]
}

pub async fn explain(
    session: &mut ClusterSession,
    statement: &Bound,
    options: &ExplainOptions,
    scope: &Arc<Scope>,
    execute: &ExecuteOptions,
) -> SqlResult<Execution> {
    if options.format == ExplainFormat::Json {
        return Err(SqlError::unsupported("EXPLAIN (FORMAT JSON) is not supported yet")
            .hint("Leave the format out for text."));
    }
    let (plan, target) = match statement {
        Bound::Query(query) => (query.plan.clone(), None),
        Bound::Insert(insert) => (insert.source.clone(), Some(("Insert", &insert.table))),
        Bound::Update(update) => (update.source.clone(), Some(("Update", &update.table))),
        Bound::Delete(delete) => (delete.source.clone(), Some(("Delete", &delete.table))),
        _ => {
            return Err(SqlError::unsupported("EXPLAIN of this statement is not supported"));
        }
    };
    let executor = session.cluster.executor.clone();
    let plan = executor.distribute(crate::executor::lock_rows::without_locks(plan)?, scope).await?;
    let mut lines = Lines { lines: Vec::new(), scope: scope.clone(), analyze: options.analyze };
    let depth = match target {
        Some((verb, table)) => {
            lines.push(0, &format!("{verb} on {}", table.shape.name));
            1
        }
        None => 0,
    };
    lines.node(&plan, depth).await?;
    if options.analyze {
        if target.is_some() {
            return Err(SqlError::unsupported("EXPLAIN ANALYZE of a change is not supported yet"));
        }
        let started = std::time::Instant::now();
        let (_, mut rows) = executor.run_distributed(plan, scope).await?;
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            count += batch?.num_rows();
        }
        lines.lines.push(format!("Rows: {count}"));
        let elapsed_ms = started.elapsed().as_secs_f64() * 1000.0;
        lines.lines.push(format!("Execution Time: {elapsed_ms:.3} ms"));
    }
    session.finish_statement(execute).await?;
    let rows: Vec<Vec<Datum>> =
        lines.lines.into_iter().map(|line| vec![Datum::Text(line)]).collect();
    rows_of(columns().into(), &rows, "EXPLAIN")
}

struct Lines {
    lines: Vec<String>,
    scope: Arc<Scope>,
    analyze: bool,
}

impl Lines {
    /// PostgreSQL's layout: children six columns further in, behind an arrow.
    fn push(&mut self, depth: usize, text: &str) {
        let line = match depth {
            0 => text.to_owned(),
            depth => format!("{}->  {text}", " ".repeat(2 + (depth - 1) * 6)),
        };
        self.lines.push(line);
    }

    /// A property of the node above it.
    fn property(&mut self, depth: usize, text: &str) {
        self.lines.push(format!("{}{text}", " ".repeat(2 + depth * 6)));
    }

    async fn node(&mut self, plan: &LogicalPlan, depth: usize) -> SqlResult<()> {
        if let LogicalPlan::Extension(Extension { node }) = plan {
            if let Some(scan) = node.as_any().downcast_ref::<RemoteScan>() {
                return self.task(&scan.task, FragmentMode::Rows, depth).await;
            }
            if let Some(node) = node.as_any().downcast_ref::<RemoteAggregate>() {
                let grouped = !node.aggregate.group_expr.is_empty();
                self.push(depth, if grouped { "HashAggregate" } else { "Aggregate" });
                if grouped {
                    let keys: Vec<String> =
                        node.aggregate.group_expr.iter().map(readable).collect();
                    self.property(depth, &format!("Group Key: {}", keys.join(", ")));
                }
                return self.task(&node.task, FragmentMode::PartialAggregate, depth + 1).await;
            }
        }
        let below = match label(plan) {
            Some(label) => {
                self.push(depth, &label);
                depth + 1
            }
            None => depth,
        };
        for input in plan.inputs() {
            Box::pin(self.node(input, below)).await?;
        }
        Ok(())
    }

    async fn task(&mut self, task: &RemoteTask, mode: FragmentMode, depth: usize) -> SqlResult<()> {
        let count = task.task_count();
        self.push(depth, "Custom Scan (Citus Adaptive)");
        self.property(depth, &format!("Task Count: {count}"));
        let shown = if count == 1 { "All".into() } else { format!("One of {count}") };
        self.property(depth, &format!("Tasks Shown: {shown}"));
        self.lines.push(format!("{}->  Task", " ".repeat(2 + depth * 6)));
        let first = match &task.target {
            Target::Groups(groups) => Target::Groups(groups.iter().take(1).copied().collect()),
            Target::AnyWorker => Target::AnyWorker,
        };
        let tables = scanned_tables(&task.plan)?;
        let Some(assignment) = self.scope.assign(&first, &tables)?.into_iter().next() else {
            return Ok(());
        };
        let inner = " ".repeat(8 + depth * 6);
        if let Some(node) = self.scope.state.node(assignment.node) {
            self.lines.push(format!(
                "{inner}Node: host={} port={} dbname={}",
                node.host,
                node.port,
                self.scope.state.cluster().database
            ));
        }
        let request = QueryRequest {
            context: self.scope.statement.clone(),
            groups: assignment.groups,
            fragment: Fragment { plan: codec::encode(&task.plan)?, mode },
            schema: task.plan.schema().inner().clone(),
        };
        let plan = assignment.worker.explain(request, self.analyze).await?;
        for (number, line) in plan.into_iter().enumerate() {
            let lead = if number == 0 { "->  " } else { "    " };
            self.lines.push(format!("{inner}{lead}{line}"));
        }
        Ok(())
    }
}

/// A column's name without the qualifier that the planner gave it.
fn readable(expr: &datafusion::logical_expr::Expr) -> String {
    match expr {
        datafusion::logical_expr::Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    }
}

/// A coordinator's operator in PostgreSQL's words; `None` for one that PostgreSQL does not show.
fn label(plan: &LogicalPlan) -> Option<String> {
    Some(match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => return None,
        LogicalPlan::Filter(_) => "Result".into(),
        LogicalPlan::Sort(_) => "Sort".into(),
        LogicalPlan::Limit(_) => "Limit".into(),
        LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => "Aggregate".into(),
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => "HashAggregate".into(),
        LogicalPlan::Window(_) => "WindowAgg".into(),
        LogicalPlan::Join(node) if node.on.is_empty() => "Nested Loop".into(),
        LogicalPlan::Join(node) => match node.join_type {
            datafusion::common::JoinType::Inner => "Hash Join".into(),
            other => format!("Hash {other} Join"),
        },
        LogicalPlan::Union(_) => "Append".into(),
        LogicalPlan::Values(_) => "Values Scan".into(),
        LogicalPlan::EmptyRelation(_) => "Result".into(),
        LogicalPlan::TableScan(scan) => format!("Function Scan on {}", scan.table_name.table()),
        LogicalPlan::Unnest(_) => "ProjectSet".into(),
        LogicalPlan::RecursiveQuery(_) => "Recursive Union".into(),
        other => other.display().to_string(),
    })
}
