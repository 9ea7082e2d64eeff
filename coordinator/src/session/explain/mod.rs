//! EXPLAIN in the shape that Citus gives it: the coordinator's operators, then one task of many
//! with its worker's plan.
//!
//! With ANALYZE the statement is run once, and whoever works on it watches itself: the task that
//! is shown is the slowest worker's.

mod format;
mod tasks;
mod ways;

use std::sync::Arc;
use std::time::{Duration, Instant};

use satsuma_common::{Datum, PgType, SqlError, SqlResult};
use satsuma_proto::report::PlanStyle;
use satsuma_sql::bound::{Bound, ExplainFormat, ExplainOptions, OutputColumn};
use satsuma_sql::explain::{Node, Style, tree};

use super::ClusterSession;
use super::utility::rows_of;
use crate::executor::{Scope, Traffic};
use crate::session_api::{ExecuteOptions, Execution};
use tasks::Tasks;

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
    let lines = lines(session, statement, options, scope).await?;
    session.finish_statement(execute).await?;
    let rows: Vec<Vec<Datum>> = match options.format {
        ExplainFormat::Text => lines.into_iter().map(|line| vec![Datum::Text(line)]).collect(),
        ExplainFormat::Json => vec![vec![Datum::Text(format::json(&lines))]],
        ExplainFormat::Yaml => vec![vec![Datum::Text(format::yaml(&lines))]],
        ExplainFormat::Xml => vec![vec![Datum::Text(format::xml(&lines))]],
    };
    rows_of(columns(options.format).into(), &rows, "EXPLAIN")
}

async fn lines(
    session: &mut ClusterSession,
    statement: &Bound,
    options: &ExplainOptions,
    scope: &Arc<Scope>,
) -> SqlResult<Vec<String>> {
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
    let began = Instant::now();
    let plan = executor.distribute(crate::executor::lock_rows::without_locks(plan)?, scope).await?;
    let planning = began.elapsed();
    let style = PlanStyle { verbose: options.verbose, timing: options.timing };
    let traffic = Arc::new(Traffic::new(style));
    let began = Instant::now();
    let (physical, analyze) = match (options.analyze, target) {
        (true, None) => {
            let metered = Scope { traffic: Some(traffic.clone()), ..scope.as_ref().clone() };
            (executor.analyze(plan.clone(), &Arc::new(metered)).await?, true)
        }
        // What changes rows is done at the workers, and not as this plan.
        _ => (executor.physical(plan.clone(), scope).await?, false),
    };
    let mut execution = began.elapsed();
    traffic.settled().await;
    let tasks = Tasks::of(&physical, &plan, (&traffic, options.summary), scope).await?;
    let style = Style { analyze, timing: options.timing, verbose: options.verbose };
    let mut root = tree(&physical, style, &tasks);
    if let Some((verb, table)) = target {
        let mut title = format!("{verb} on {}", table.shape.name);
        if options.analyze {
            let began = Instant::now();
            let count = session.change(statement, scope).await?;
            execution = began.elapsed();
            let time = match options.timing {
                true => format!("time=0.000..{:.3} ", millis(execution)),
                false => String::new(),
            };
            title += &format!(" (actual {time}rows={count} loops=1)");
        }
        root = Node::new(title).with([root]);
    }
    let mut lines = root.lines();
    if options.summary {
        lines.push(format!("Planning Time: {:.3} ms", millis(planning)));
        if options.analyze {
            lines.push(format!("Execution Time: {:.3} ms", millis(execution)));
        }
    }
    Ok(lines)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
