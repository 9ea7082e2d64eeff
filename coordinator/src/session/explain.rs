//! EXPLAIN in the shape that Citus gives it: the coordinator's operators, then one task of many
//! with its worker's plan.

use std::sync::Arc;
use std::time::Instant;

use datafusion::logical_expr::{Extension, LogicalPlan};
use futures::stream::StreamExt;
use satsuma_common::{Datum, PgType, SqlError, SqlResult};
use satsuma_proto::worker::{Fragment, FragmentMode, QueryRequest};
use satsuma_sql::bound::{Bound, ExplainFormat, ExplainOptions, OutputColumn};
use satsuma_sql::codec;

use super::utility::rows_of;
use super::{ClusterSession, explain_format};
use crate::executor::{Scope, Traffic};
use crate::planner::{
    Input, RemoteAggregate, RemoteScan, RemoteTask, Spread, Target, scanned_tables,
};
use crate::session_api::{ExecuteOptions, Execution};

pub fn columns(format: ExplainFormat) -> Vec<OutputColumn> {
    let ty = if format == ExplainFormat::Json { PgType::Json } else { PgType::Text };
    vec![OutputColumn::new("QUERY PLAN", ty)]
}

pub async fn explain(
    session: &mut ClusterSession,
    statement: &Bound,
    options: &ExplainOptions,
    scope: &Arc<Scope>,
    execute: &ExecuteOptions,
) -> SqlResult<Execution> {
    let (plan, target) = match statement {
        Bound::Query(query) => (query.plan.clone(), None),
        Bound::Insert(insert) => (insert.source.clone(), Some(("Insert", &insert.table))),
        Bound::Update(update) => (update.source.clone(), Some(("Update", &update.table))),
        Bound::Delete(delete) => (delete.source.clone(), Some(("Delete", &delete.table))),
        _ => {
            return Err(SqlError::unsupported("EXPLAIN of this statement is not supported"));
        }
    };
    if options.analyze {
        crate::executor::refuse_unpopulated(&plan, &scope.state)?;
    }
    let executor = session.cluster.executor.clone();
    let plan = executor.distribute(crate::executor::lock_rows::without_locks(plan)?, scope).await?;
    let traffic = Arc::new(Traffic::default());
    let mut lines = Lines {
        lines: Vec::new(),
        scope: scope.clone(),
        analyze: options.analyze,
        traffic: traffic.clone(),
    };
    let started = Instant::now();
    let mut run = None;
    // Workers show their part of a query by itself: what went between is known only of the whole.
    if options.analyze && target.is_none() {
        let metered = Scope { traffic: Some(traffic), ..scope.as_ref().clone() };
        let (_, mut rows) = executor.run_distributed(plan.clone(), &Arc::new(metered)).await?;
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            count += batch?.num_rows() as u64;
        }
        run = Some((count, started.elapsed()));
    }
    let depth = match target {
        Some((verb, table)) => {
            lines.push(0, &format!("{verb} on {}", table.shape.name));
            1
        }
        None => 0,
    };
    lines.node(&plan, depth).await?;
    if options.analyze && target.is_some() {
        let started = Instant::now();
        let count = session.change(statement, scope).await?;
        run = Some((count, started.elapsed()));
    }
    if let Some((count, elapsed)) = run {
        lines.lines.push(format!("Rows: {count}"));
        if options.summary {
            let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
            lines.lines.push(format!("Execution Time: {elapsed_ms:.3} ms"));
        }
    }
    session.finish_statement(execute).await?;
    let rows: Vec<Vec<Datum>> = match options.format {
        ExplainFormat::Text => {
            lines.lines.into_iter().map(|line| vec![Datum::Text(line)]).collect()
        }
        ExplainFormat::Json => vec![vec![Datum::Text(explain_format::json(&lines.lines))]],
        ExplainFormat::Yaml => vec![vec![Datum::Text(explain_format::yaml(&lines.lines))]],
        ExplainFormat::Xml => vec![vec![Datum::Text(explain_format::xml(&lines.lines))]],
    };
    rows_of(columns(options.format).into(), &rows, "EXPLAIN")
}

struct Lines {
    lines: Vec<String>,
    scope: Arc<Scope>,
    analyze: bool,
    /// Of the query that was run, if it was.
    traffic: Arc<Traffic>,
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
        if self.analyze {
            let meter = self.traffic.of(task);
            for (what, bytes) in [("received from", meter.received()), ("sent to", meter.sent())] {
                if bytes > 0 {
                    self.property(depth, &format!("Tuple data {what} nodes: {bytes} bytes"));
                }
            }
        }
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
            fragment: Fragment { plan: codec::encode(&task.plan)?, mode, constants: Vec::new() },
            schema: task.plan.schema().inner().clone(),
            inputs: task.inputs.iter().map(described).collect(),
        };
        // The inputs are not there to be measured with.
        let analyze = self.analyze && task.inputs.is_empty();
        let plan = assignment.worker.explain(request, analyze).await?;
        for (number, line) in plan.into_iter().enumerate() {
            let lead = if number == 0 { "->  " } else { "    " };
            self.lines.push(format!("{inner}{lead}{line}"));
        }
        for input in &task.inputs {
            self.input(input, count, depth + 1).await?;
        }
        Ok(())
    }

    /// Rows that travel to the task's workers, in the words that Citus has for it.
    async fn input(&mut self, input: &Input, tasks: usize, depth: usize) -> SqlResult<()> {
        match &input.spread {
            Spread::Copies => self.push(depth, "Broadcast"),
            Spread::ByHash { key, .. } => {
                self.push(depth, "MapMergeJob");
                self.property(depth, &format!("Partition Key: {}", readable(key)));
                self.property(depth, &format!("Merge Task Count: {tasks}"));
            }
        }
        Box::pin(self.node(&input.plan, depth + 1)).await
    }
}

fn described(input: &Input) -> satsuma_proto::worker::Input {
    satsuma_proto::worker::Input {
        schema: input.plan.schema().inner().clone(),
        by_group: matches!(input.spread, Spread::ByHash { .. }),
    }
}

/// A column's name without the qualifier that the planner gave it.
fn readable(expr: &datafusion::logical_expr::Expr) -> String {
    match expr {
        datafusion::logical_expr::Expr::Column(column) => column.name.clone(),
        datafusion::logical_expr::Expr::Cast(cast) => readable(&cast.expr),
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
