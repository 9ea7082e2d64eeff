//! Functions that act on the cluster: `SELECT create_distributed_table(..)` and its relatives.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, arrow_types, arrow_values};
use satsuma_sql::bound::{BoundCall, OutputColumn};
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};

use super::ClusterSession;
use super::utility::rows_of;
use crate::catalog::{Command, NodeChange, Table};
use crate::ddl::{DistributeArguments, create_distributed_table, create_reference_table};
use crate::session_api::{ExecuteOptions, Execution};

/// Rows of plain values under their columns.
pub fn batch_of(columns: &[OutputColumn], rows: &[Vec<Datum>]) -> SqlResult<RecordBatch> {
    let fields: Vec<_> =
        columns.iter().map(|column| arrow_types::field(&column.name, &column.ty, true)).collect();
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let values: Vec<Datum> =
                rows.iter().map(|row| row.get(at).cloned().unwrap_or(Datum::Null)).collect();
            arrow_values::array_from_datums(&values, &column.ty)
        })
        .collect::<SqlResult<Vec<_>>>()?;
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    RecordBatch::try_new(schema, arrays).map_err(arrow_to_sql)
}

fn column(name: &str, ty: PgType) -> OutputColumn {
    OutputColumn { name: name.into(), ty, origin: None }
}

/// Citus's global process ids are the node's id times this, and the process id.
const GLOBAL_PID_NODE: i64 = 10_000_000_000;

/// Columns of a call's result.
pub fn columns(call: &BoundCall) -> SqlResult<Vec<OutputColumn>> {
    let one = |ty| vec![column(&call.column, ty)];
    Ok(match call.name.as_str() {
        "citus_add_node" | "master_add_node" => one(PgType::Int4),
        "pg_cancel_backend" | "pg_terminate_backend" => one(PgType::Bool),
        name if name.starts_with("pg_try_advisory") => one(PgType::Bool),
        "pg_advisory_unlock" | "pg_advisory_unlock_shared" => one(PgType::Bool),
        "run_command_on_workers" => vec![
            column("nodename", PgType::Text),
            column("nodeport", PgType::Int4),
            column("success", PgType::Bool),
            column("result", PgType::Text),
        ],
        "citus_get_active_worker_nodes" | "master_get_active_worker_nodes" => {
            vec![column("node_name", PgType::Text), column("node_port", PgType::Int8)]
        }
        _ => one(PgType::Void),
    })
}

/// Runs a call.
pub async fn call(
    session: &mut ClusterSession,
    call: &BoundCall,
    options: &ExecuteOptions,
) -> SqlResult<Execution> {
    let arguments = Arguments::evaluate(session, call).await?;
    if let Some(answer) = advisory(session, call, &arguments).await? {
        session.finish_statement(options).await?;
        return rows_of(columns(call)?.into(), &[vec![answer]], "SELECT");
    }
    let columns: Arc<[OutputColumn]> = columns(call)?.into();
    let rows: Vec<Vec<Datum>> = match call.name.as_str() {
        "create_distributed_table" => {
            session.writable("create_distributed_table()")?;
            let mut ddl = session.ddl().await?;
            let request = DistributeArguments {
                table: arguments.table(0, &ddl.state())?,
                column: arguments.text(1)?,
                colocate_with: arguments.text(3)?,
                shard_count: arguments.integer(4)?,
            };
            arguments.distribution_type(2)?;
            create_distributed_table(&mut ddl, request).await?;
            vec![vec![Datum::Null]]
        }
        "create_reference_table" => {
            session.writable("create_reference_table()")?;
            let mut ddl = session.ddl().await?;
            let table = arguments.table(0, &ddl.state())?;
            create_reference_table(&mut ddl, &table).await?;
            vec![vec![Datum::Null]]
        }
        "citus_add_node" | "master_add_node" => {
            vec![vec![add_node(session, &arguments).await?]]
        }
        "citus_remove_node" | "master_remove_node" => {
            let node = arguments.node(session)?;
            session.cluster.catalog.propose(Command::RemoveNode { node }).await?.into_result()?;
            vec![vec![Datum::Null]]
        }
        "citus_disable_node" | "citus_activate_node" => {
            let node = arguments.node(session)?;
            let change = NodeChange::Active(call.name == "citus_activate_node");
            let command = Command::ChangeNode { node, change };
            session.cluster.catalog.propose(command).await?.into_result()?;
            vec![vec![Datum::Null]]
        }
        "citus_set_node_property" => {
            let node = arguments.node(session)?;
            if arguments.text(2)?.as_deref() != Some("shouldhaveshards") {
                return Err(SqlError::internal(
                    "only the 'shouldhaveshards' property can be set using this function",
                ));
            }
            let change = NodeChange::ShouldHaveShards(arguments.boolean(3)?.unwrap_or(true));
            let command = Command::ChangeNode { node, change };
            session.cluster.catalog.propose(command).await?.into_result()?;
            vec![vec![Datum::Null]]
        }
        "citus_set_coordinator_host" => vec![vec![Datum::Null]],
        "citus_get_active_worker_nodes" | "master_get_active_worker_nodes" => session
            .state()
            .workers()
            .filter(|node| node.is_active)
            .map(|node| vec![Datum::Text(node.host.clone()), Datum::Int8(i64::from(node.port))])
            .collect(),
        "pg_cancel_backend" | "pg_terminate_backend" => {
            let process = arguments.integer(0)?.unwrap_or(0);
            // A global id has the coordinator's node id in front.
            let process = process % GLOBAL_PID_NODE;
            let terminate = call.name == "pg_terminate_backend";
            let known = match i32::try_from(process) {
                Ok(process) => session.cluster.interrupt(process, terminate).await,
                Err(_) => false,
            };
            if !known {
                session.notice(crate::session_api::Notice::warning(
                    SqlState::WARNING,
                    format!("PID {process} is not a PostgreSQL backend process"),
                ));
            }
            vec![vec![Datum::Bool(known)]]
        }
        "pg_sleep" => {
            let seconds = arguments.float(0)?.unwrap_or(0.0).clamp(0.0, 31_536_000.0);
            tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
            vec![vec![Datum::Null]]
        }
        "truncate_local_data_after_distributing_table" => vec![vec![Datum::Null]],
        other => {
            return Err(SqlError::unsupported(format!("{other}() is not supported yet")));
        }
    };
    session.finish_statement(options).await?;
    rows_of(columns, &rows, "SELECT")
}

/// What a call of the family of advisory locks answers; `None` for all others.
async fn advisory(
    session: &mut ClusterSession,
    call: &BoundCall,
    arguments: &Arguments,
) -> SqlResult<Option<Datum>> {
    let given: Vec<Datum> = call
        .arguments
        .iter()
        .zip(&arguments.values)
        .filter(|(given, _)| given.is_some())
        .map(|(_, value)| value.clone())
        .collect();
    let answer = session.own_locks.call(&call.name, &given).await?;
    if answer == Some(Datum::Bool(false)) && call.name.starts_with("pg_advisory_unlock") {
        let mode = if call.name.ends_with("_shared") { "ShareLock" } else { "ExclusiveLock" };
        session.notice(crate::session_api::Notice::warning(
            SqlState::WARNING,
            format!("you don't own a lock of type {mode}"),
        ));
    }
    Ok(answer)
}

/// Adds a worker that is already running. Answers with its node id.
async fn add_node(session: &mut ClusterSession, arguments: &Arguments) -> SqlResult<Datum> {
    let (host, port) = arguments.address()?;
    let probe = crate::catalog::Node {
        id: satsuma_common::NodeId(0),
        group: 0,
        role: crate::catalog::NodeRole::Worker,
        host: host.clone(),
        port,
        grpc_address: None,
        directory: None,
        is_active: true,
        should_have_shards: true,
    };
    let worker = session.cluster.workers.probe(&probe)?;
    let node = crate::membership::add(&session.cluster, worker.as_ref(), host, port).await?;
    Ok(Datum::Int4(i32::try_from(node.0).unwrap_or(i32::MAX)))
}

/// A call's arguments, computed.
struct Arguments {
    name: String,
    values: Vec<Datum>,
}

impl Arguments {
    async fn evaluate(session: &ClusterSession, call: &BoundCall) -> SqlResult<Self> {
        let expressions: Vec<Expr> = call
            .arguments
            .iter()
            .enumerate()
            .filter_map(|(at, argument)| {
                argument.as_ref().map(|expr| expr.clone().alias(format!("a{at}")))
            })
            .collect();
        let mut values = vec![Datum::Null; call.arguments.len()];
        if !expressions.is_empty() {
            let one_row = LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: true,
                schema: Arc::new(datafusion::common::DFSchema::empty()),
            });
            let plan = LogicalPlanBuilder::from(one_row)
                .project(expressions)
                .and_then(LogicalPlanBuilder::build)
                .map_err(to_sql)?;
            let rows = session.cluster.executor.run_local(&plan).await?;
            let row = rows.iter().find(|batch| batch.num_rows() == 1);
            let row = row.ok_or_else(|| SqlError::internal("arguments have no row"))?;
            let given = (0..).zip(&call.arguments).filter_map(|(at, a)| a.as_ref().map(|_| at));
            for (at, (array, field)) in given.zip(row.columns().iter().zip(row.schema().fields())) {
                let at: usize = at;
                let ty = arrow_types::pg_type(field);
                values[at] = arrow_values::datum_at(array.as_ref(), 0, &ty)?;
            }
        }
        Ok(Self { name: call.name.clone(), values })
    }

    fn text(&self, at: usize) -> SqlResult<Option<String>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Text(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.mismatch(at, "text", other)),
        }
    }

    fn integer(&self, at: usize) -> SqlResult<Option<i64>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Int2(value)) => Ok(Some(i64::from(*value))),
            Some(Datum::Int4(value)) => Ok(Some(i64::from(*value))),
            Some(Datum::Int8(value)) => Ok(Some(*value)),
            Some(Datum::Oid(value)) => Ok(Some(i64::from(*value))),
            Some(other) => Err(self.mismatch(at, "integer", other)),
        }
    }

    fn float(&self, at: usize) -> SqlResult<Option<f64>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Float8(value)) => Ok(Some(*value)),
            Some(other) => Err(self.mismatch(at, "double precision", other)),
        }
    }

    fn boolean(&self, at: usize) -> SqlResult<Option<bool>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.mismatch(at, "boolean", other)),
        }
    }

    fn mismatch(&self, at: usize, wanted: &str, found: &Datum) -> SqlError {
        SqlError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("argument {} of {}() must be {wanted}, not {found:?}", at + 1, self.name),
        )
    }

    /// The table that a `regclass` argument names.
    fn table(&self, at: usize, state: &crate::catalog::State) -> SqlResult<Arc<Table>> {
        let oid = self.integer(at)?.ok_or_else(|| {
            SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "relation cannot be NULL")
        })?;
        let oid = u32::try_from(oid).unwrap_or(0);
        match state.table_arc(satsuma_common::TableId(oid)) {
            Some(table) => Ok(table),
            None => match state.relation(satsuma_common::Oid(oid)) {
                Some(relation) => {
                    let name = state.relation_name(relation).map_or("", |(_, name)| name);
                    Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("{name} is not a regular, foreign or partitioned table"),
                    ))
                }
                None => Err(SqlError::new(
                    SqlState::UNDEFINED_TABLE,
                    format!("relation with OID {oid} does not exist"),
                )),
            },
        }
    }

    fn distribution_type(&self, at: usize) -> SqlResult<()> {
        match self.text(at)?.as_deref() {
            None | Some("hash") => Ok(()),
            Some("append" | "range") => {
                Err(SqlError::unsupported("append and range distribution are not supported")
                    .hint("Distribute by hash."))
            }
            Some(other) => Err(SqlError::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("invalid input value for enum distribution_type: \"{other}\""),
            )),
        }
    }

    fn address(&self) -> SqlResult<(String, u16)> {
        let host = self.text(0)?.ok_or_else(|| {
            SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "node name cannot be NULL")
        })?;
        let port = self.integer(1)?.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "node port must be 0 to 65535")
        })?;
        Ok((host, port))
    }

    fn node(&self, session: &ClusterSession) -> SqlResult<satsuma_common::NodeId> {
        let (host, port) = self.address()?;
        let state = session.state();
        let node = state.node_at(&host, port);
        node.map(|node| node.id)
            .ok_or_else(|| SqlError::internal(format!("node at \"{host}:{port}\" does not exist")))
    }
}
