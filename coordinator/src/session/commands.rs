//! Commands for every worker, node or shard of a table: `run_command_on_workers` and its relatives.
//!
//! Workers know no SQL, and every coordinator answers for the whole cluster. A command for a worker
//! is thus a query that runs once for it, in a session of its own as in Citus; what would change
//! something is refused, because it would be done as often as there are workers. A shard is read
//! under its name (`clicks_102008`).

use futures::TryStreamExt;
use satsuma_common::{Datum, PgType, SqlError, SqlResult};
use satsuma_sql::bound::OutputColumn;

use super::ClusterSession;
use super::calls::{Arguments, column};
use crate::catalog::shard_name;
use crate::session_api::{ExecuteOptions, Execution, Rows, Session};
use crate::value_io::ValueWriter;

/// Columns of a function's result; `None` for one that is not of this module.
pub fn columns(name: &str) -> Option<Vec<OutputColumn>> {
    let node = || vec![column("nodename", PgType::Text), column("nodeport", PgType::Int4)];
    let mut columns = match name {
        "run_command_on_workers" => node(),
        "run_command_on_coordinator" | "run_command_on_all_nodes" => {
            vec![column("nodeid", PgType::Int4)]
        }
        "run_command_on_shards" => vec![column("shardid", PgType::Int8)],
        "run_command_on_placements" => {
            let mut columns = node();
            columns.push(column("shardid", PgType::Int8));
            columns
        }
        _ => return None,
    };
    columns.push(column("success", PgType::Bool));
    columns.push(column("result", PgType::Text));
    Some(columns)
}

pub async fn call(
    session: &ClusterSession,
    name: &str,
    arguments: &Arguments,
) -> SqlResult<Vec<Vec<Datum>>> {
    let state = session.state();
    let on_shards = matches!(name, "run_command_on_shards" | "run_command_on_placements");
    let Some(command) = arguments.text(usize::from(on_shards))? else { return Ok(Vec::new()) };
    let node_of = |node: &crate::catalog::Node| {
        vec![Datum::Text(node.host.clone()), Datum::Int4(i32::from(node.port))]
    };
    let mut wanted: Vec<(Vec<Datum>, String)> = Vec::new();
    if on_shards {
        let table = arguments.table(0, &state)?;
        for (shard, group) in state.shards_of(&table) {
            let command = command.replace("%s", &shard_name(&table, shard));
            let id = Datum::Int8(i64::try_from(shard.id.0).unwrap_or(i64::MAX));
            if name == "run_command_on_shards" {
                wanted.push((vec![id], command));
                continue;
            }
            for node in group.finalized().filter_map(|node| state.node(node)) {
                let mut row = node_of(node);
                row.push(id.clone());
                wanted.push((row, command.clone()));
            }
        }
    } else {
        let nodes = state.nodes().filter(|node| match name {
            "run_command_on_workers" => node.is_worker() && node.is_active,
            "run_command_on_coordinator" => node.id == session.cluster.node,
            _ => node.is_active,
        });
        for node in nodes {
            let row = match name {
                "run_command_on_workers" => node_of(node),
                _ => vec![Datum::Int4(i32::try_from(node.id.0).unwrap_or(i32::MAX))],
            };
            wanted.push((row, command.clone()));
        }
    }
    let mut rows = Vec::with_capacity(wanted.len());
    for (mut row, command) in wanted {
        let (success, result) = match run(session, &command).await {
            Ok(result) => (true, result),
            Err(error) => (false, format!("ERROR:  {}", error.message())),
        };
        row.extend([Datum::Bool(success), Datum::Text(result)]);
        rows.push(row);
    }
    Ok(rows)
}

/// The only value that a query answers; nothing where it has no rows.
async fn run(caller: &ClusterSession, command: &str) -> SqlResult<String> {
    let mut session = ClusterSession::detached(caller.cluster.clone(), &caller.role)?;
    let answer = run_in(&mut session, command).await;
    session.close().await;
    answer
}

async fn run_in(session: &mut ClusterSession, command: &str) -> SqlResult<String> {
    let prepared = session.prepare(command, None).await?;
    if !session.only_reads(&prepared)? {
        return Err(SqlError::unsupported(
            "only queries can be run on nodes and shards: give other statements to a coordinator",
        ));
    }
    let options = ExecuteOptions { ends_batch: true, ..ExecuteOptions::default() };
    match session.execute(&prepared, Vec::new(), options).await? {
        Execution::Rows(rows) => only_value(session, rows).await,
        Execution::Command(tag) => Ok(tag),
        Execution::Empty => Ok(String::new()),
        Execution::CopyIn(_) | Execution::CopyOut(_) => {
            Err(SqlError::unsupported("COPY cannot be run on nodes and shards"))
        }
    }
}

async fn only_value(session: &ClusterSession, rows: Rows) -> SqlResult<String> {
    let single =
        |what: &str| SqlError::unsupported(format!("expected a single {what} in query target"));
    let [only] = &rows.columns[..] else { return Err(single("column")) };
    let (settings, only) = (session.text_settings(), only.clone());
    let mut batches = rows.stream;
    let mut value: Option<Vec<u8>> = None;
    while let Some(batch) = batches.try_next().await? {
        if batch.num_rows() + usize::from(value.is_some()) > 1 {
            return Err(single("row"));
        }
        if batch.num_rows() == 1 {
            let mut text = Vec::new();
            let column = ValueWriter::new(batch.column(0), &only.ty, &settings);
            if !column.is_null(0) {
                column.write_text(0, &mut text)?;
            }
            value = Some(text);
        }
    }
    String::from_utf8(value.unwrap_or_default())
        .map_err(|_| SqlError::internal("value's text is not UTF-8"))
}
