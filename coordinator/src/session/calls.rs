//! Functions that act on the cluster: `SELECT create_distributed_table(..)` and its relatives.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use satsuma_common::{
    Datum, PgType, ShardId, SqlError, SqlResult, SqlState, arrow_types, arrow_values,
};
use satsuma_sql::bound::{BoundCall, BoundQuery, OutputColumn};
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};

use super::ClusterSession;
use super::utility::rows_of;
use super::{backup, commands, nodes, rebalance};
use crate::catalog::Table;
use crate::ddl::{
    DistributeArguments, Redistribution, alter_distributed_table, create_distributed_table,
    create_reference_table, isolate_tenant, refuse_distributed, split_shard, undistribute_table,
};
use crate::executor::Scope;
use crate::session_api::{ExecuteOptions, Execution};
use crate::system_relations::GLOBAL_PID_NODE;

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

pub(super) fn column(name: &str, ty: PgType) -> OutputColumn {
    OutputColumn::new(name, ty)
}

/// Columns of a call's result.
pub fn columns(call: &BoundCall) -> SqlResult<Vec<OutputColumn>> {
    if call.name == "satsuma_backup" {
        return Ok(backup::columns());
    }
    let one = |ty| vec![column(&call.column, ty)];
    let known = nodes::columns(&call.name)
        .or_else(|| rebalance::columns(&call.name))
        .or_else(|| commands::columns(&call.name));
    if let Some(mut columns) = known {
        if let [only] = columns.as_mut_slice() {
            only.name = call.column.clone();
        }
        return Ok(columns);
    }
    Ok(match call.name.as_str() {
        "pg_cancel_backend" | "pg_terminate_backend" | "pg_reload_conf" => one(PgType::Bool),
        "isolate_tenant_to_new_shard" => one(PgType::Int8),
        name if name.starts_with("pg_try_advisory") => one(PgType::Bool),
        "pg_advisory_unlock" | "pg_advisory_unlock_shared" => one(PgType::Bool),
        _ => one(PgType::Void),
    })
}

/// Runs a call that is a statement of its own.
pub async fn call(
    session: &mut ClusterSession,
    call: &BoundCall,
    scope: &Arc<Scope>,
    options: &ExecuteOptions,
) -> SqlResult<Execution> {
    if call.name == "satsuma_backup" {
        return backup::backup(session).await;
    }
    let rows = match &call.each {
        None => answer(session, call, &Arguments::evaluate(session, call).await?).await?,
        Some(plan) => {
            // All rows first: the calls may change what they are read from.
            let arguments = Arguments::evaluate_each(session, call, plan, scope).await?;
            let mut rows = Vec::new();
            for arguments in &arguments {
                if options.interrupt.fired() {
                    return Err(options.interrupt.error());
                }
                rows.extend(answer(session, call, arguments).await?);
            }
            rows
        }
    };
    session.finish_statement(options).await?;
    rows_of(columns(call)?.into(), &rows, "SELECT")
}

/// Rows of a call that another statement reads.
pub async fn rows(session: &mut ClusterSession, call: &BoundCall) -> SqlResult<RecordBatch> {
    if call.name == "satsuma_backup" {
        return Err(SqlError::unsupported("satsuma_backup() cannot be called here")
            .hint("Call it in a SELECT of its own."));
    }
    let rows = answer(session, call, &Arguments::evaluate(session, call).await?).await?;
    batch_of(&columns(call)?, &rows)
}

async fn answer(
    session: &mut ClusterSession,
    call: &BoundCall,
    arguments: &Arguments,
) -> SqlResult<Vec<Vec<Datum>>> {
    if is_for_superusers(&call.name) {
        session.require_superuser(&call.name)?;
    }
    if let Some(answer) = advisory(session, call, arguments).await? {
        return Ok(vec![vec![answer]]);
    }
    let rows: Vec<Vec<Datum>> = match call.name.as_str() {
        name if nodes::columns(name).is_some() => nodes::call(session, name, arguments).await?,
        name if commands::columns(name).is_some() => {
            commands::call(session, name, arguments).await?
        }
        name if rebalance::columns(name).is_some() => {
            rebalance::call(session, name, arguments).await?
        }
        "create_distributed_table" | "create_distributed_table_concurrently" => {
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
        "isolate_tenant_to_new_shard" => {
            session.writable("isolate_tenant_to_new_shard()")?;
            let table = arguments.table(0, &session.state())?;
            session.require_owner_of(Some(table.colocation()))?;
            let mut ddl = session.ddl().await?;
            let tenant = arguments.text(1)?.ok_or_else(|| {
                SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "tenant id cannot be NULL")
            })?;
            let option = arguments.text(2)?.unwrap_or_default();
            let cascades = option.eq_ignore_ascii_case("cascade");
            let shard = isolate_tenant(&mut ddl, &table, &tenant, cascades).await?;
            vec![vec![Datum::Int8(i64::try_from(shard.0).unwrap_or(i64::MAX))]]
        }
        "citus_split_shard_by_split_points" => {
            session.writable("citus_split_shard_by_split_points()")?;
            let shard = arguments.integer(0)?.and_then(|id| u64::try_from(id).ok()).unwrap_or(0);
            if let Some((table, _)) = session.state().shard(ShardId(shard)) {
                session.require_owner_of(Some(table.colocation()))?;
            }
            let points = arguments.numbers(1)?;
            let nodes = arguments.numbers(2)?;
            let nodes: Vec<_> = nodes
                .into_iter()
                .map(|id| satsuma_common::NodeId(u32::try_from(id).unwrap_or(0)))
                .collect();
            let mut ddl = session.ddl().await?;
            split_shard(&mut ddl, ShardId(shard), &points, &nodes).await?;
            vec![vec![Datum::Null]]
        }
        "create_reference_table" => {
            session.writable("create_reference_table()")?;
            let mut ddl = session.ddl().await?;
            let table = arguments.table(0, &ddl.state())?;
            create_reference_table(&mut ddl, &table).await?;
            vec![vec![Datum::Null]]
        }
        "undistribute_table" => {
            session.writable("undistribute_table()")?;
            let mut ddl = session.ddl().await?;
            let table = arguments.table(0, &ddl.state())?;
            let cascade = arguments.boolean(1)?.unwrap_or(false);
            undistribute_table(&mut ddl, &table, cascade).await?;
            vec![vec![Datum::Null]]
        }
        "alter_distributed_table" | "update_distributed_table_colocation" => {
            session.writable("alter_distributed_table()")?;
            let mut ddl = session.ddl().await?;
            let table = arguments.table(0, &ddl.state())?;
            let change = match call.name.as_str() {
                "alter_distributed_table" => Redistribution {
                    column: arguments.text(1)?,
                    shard_count: arguments.integer(2)?,
                    colocate_with: arguments.text(3)?,
                    cascade_to_colocated: arguments.boolean(4)?,
                },
                _ => Redistribution {
                    colocate_with: arguments.text(1)?,
                    ..Redistribution::default()
                },
            };
            alter_distributed_table(&mut ddl, &table, &change).await?;
            vec![vec![Datum::Null]]
        }
        "pg_cancel_backend" | "pg_terminate_backend" => {
            let process = arguments.integer(0)?.unwrap_or(0);
            // A global id has the coordinator's node id in front.
            let process = process % GLOBAL_PID_NODE;
            let terminate = call.name == "pg_terminate_backend";
            let known = match i32::try_from(process) {
                Ok(process) => {
                    session.require_signal(process, terminate).await?
                        && session.cluster.interrupt(process, terminate).await
                }
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
        "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" => {
            let seconds = arguments.seconds_to_sleep()?.clamp(0.0, 31_536_000.0);
            tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
            vec![vec![Datum::Null]]
        }
        "citus_stat_statements_reset" => {
            session.cluster.statement_statistics.reset();
            vec![vec![Datum::Null]]
        }
        "citus_stat_tenants_reset" => {
            session.cluster.tenant_statistics.reset();
            vec![vec![Datum::Null]]
        }
        // Every coordinator and worker knows local tables: there is nothing to add.
        "citus_add_local_table_to_metadata" => {
            let table = arguments.table(0, &session.state())?;
            session.require_owner(&table)?;
            refuse_distributed(&table)?;
            vec![vec![Datum::Null]]
        }
        "pg_reload_conf" => {
            session.notice(crate::session_api::Notice::plain(
                "settings of ALTER SYSTEM are those of sessions that start after it",
            ));
            vec![vec![Datum::Bool(true)]]
        }
        "truncate_local_data_after_distributing_table" => {
            session.require_owner(&*arguments.table(0, &session.state())?)?;
            vec![vec![Datum::Null]]
        }
        other => {
            return Err(SqlError::unsupported(format!("{other}() is not supported yet")));
        }
    };
    Ok(rows)
}

/// Functions that change the cluster itself.
fn is_for_superusers(name: &str) -> bool {
    let is_about_nodes = name.contains("_node") && !name.contains("get_active_worker_nodes");
    let others = [
        "citus_set_coordinator_host",
        "citus_stat_statements_reset",
        "citus_stat_tenants_reset",
        "citus_job_cancel",
        "pg_reload_conf",
        "replicate_reference_tables",
    ];
    is_about_nodes || others.contains(&name) || name.starts_with("run_command_on")
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

/// A call's arguments, computed.
pub(super) struct Arguments {
    name: String,
    values: Vec<Datum>,
}

impl Arguments {
    async fn evaluate(session: &ClusterSession, call: &BoundCall) -> SqlResult<Self> {
        if call.arguments.iter().all(Option::is_none) {
            return Ok(Self {
                name: call.name.clone(),
                values: vec![Datum::Null; call.arguments.len()],
            });
        }
        let one_row = LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: true,
            schema: Arc::new(datafusion::common::DFSchema::empty()),
        });
        let plan = Self::over(one_row, call)?;
        let rows = session.cluster.executor.run_local(&plan).await?;
        Self::of_rows(&rows, call)?.pop().ok_or_else(|| SqlError::internal("arguments have no row"))
    }

    /// Those of a call for each row of `plan`.
    async fn evaluate_each(
        session: &mut ClusterSession,
        call: &BoundCall,
        plan: &LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<Vec<Self>> {
        let plan = Self::over(plan.clone(), call)?;
        let query = BoundQuery { plan, columns: Vec::new() };
        let rows = session.rows(&query, scope).await?;
        let rows = session.cluster.executor.kept(rows).await?;
        Self::of_rows(&rows, call)
    }

    /// The given arguments as columns, with a column in any case.
    fn over(rows: LogicalPlan, call: &BoundCall) -> SqlResult<LogicalPlan> {
        let given = call.arguments.iter().flatten().enumerate();
        let mut expressions: Vec<Expr> =
            given.map(|(at, expr)| expr.clone().alias(format!("a{at}"))).collect();
        if expressions.is_empty() {
            expressions.push(lit(true).alias("row"));
        }
        LogicalPlanBuilder::from(rows)
            .project(expressions)
            .and_then(LogicalPlanBuilder::build)
            .map_err(to_sql)
    }

    fn of_rows(rows: &[RecordBatch], call: &BoundCall) -> SqlResult<Vec<Self>> {
        let mut all = Vec::new();
        for batch in rows {
            let schema = batch.schema();
            for row in 0..batch.num_rows() {
                let mut columns = batch.columns().iter().zip(schema.fields());
                let values = call.arguments.iter().map(|argument| {
                    let given = argument.as_ref().and_then(|_| columns.next());
                    let Some((array, field)) = given else { return Ok(Datum::Null) };
                    arrow_values::datum_at(array.as_ref(), row, &arrow_types::pg_type(field))
                });
                let values = values.collect::<SqlResult<_>>()?;
                all.push(Self { name: call.name.clone(), values });
            }
        }
        Ok(all)
    }

    /// Parameters of the form that was called.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn text(&self, at: usize) -> SqlResult<Option<String>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Text(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.mismatch(at, "text", other)),
        }
    }

    pub(super) fn integer(&self, at: usize) -> SqlResult<Option<i64>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Int2(value)) => Ok(Some(i64::from(*value))),
            Some(Datum::Int4(value)) => Ok(Some(i64::from(*value))),
            Some(Datum::Int8(value)) => Ok(Some(*value)),
            Some(Datum::Oid(value)) => Ok(Some(i64::from(*value))),
            Some(other) => Err(self.mismatch(at, "integer", other)),
        }
    }

    pub(super) fn float(&self, at: usize) -> SqlResult<Option<f64>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Float4(value)) => Ok(Some(f64::from(*value))),
            Some(Datum::Float8(value)) => Ok(Some(*value)),
            Some(other) => Err(self.mismatch(at, "double precision", other)),
        }
    }

    /// The first argument: seconds, an interval, or the moment to wait for.
    fn seconds_to_sleep(&self) -> SqlResult<f64> {
        const SECOND: f64 = 1e6;
        const DAY: f64 = 86_400.0;
        match self.values.first() {
            Some(Datum::Interval(interval)) => {
                let days = f64::from(interval.months) * 30.0 + f64::from(interval.days);
                Ok(interval.micros as f64 / SECOND + days * DAY)
            }
            Some(Datum::Timestamp(moment)) => {
                Ok(moment.saturating_sub(crate::clock::now_micros()) as f64 / SECOND)
            }
            _ => Ok(self.float(0)?.unwrap_or(0.0)),
        }
    }

    pub(super) fn boolean(&self, at: usize) -> SqlResult<Option<bool>> {
        match self.values.get(at) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.mismatch(at, "boolean", other)),
        }
    }

    /// `{1,2}`.
    fn numbers(&self, at: usize) -> SqlResult<Vec<i32>> {
        let text = self.text(at)?.unwrap_or_default();
        let malformed = || {
            SqlError::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("malformed array literal: \"{text}\""),
            )
        };
        let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let items = inner.ok_or_else(malformed)?.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(|item| item.trim_matches('"').parse().map_err(|_| malformed()))
            .collect()
    }

    fn mismatch(&self, at: usize, wanted: &str, found: &Datum) -> SqlError {
        SqlError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("argument {} of {}() must be {wanted}, not {found:?}", at + 1, self.name),
        )
    }

    /// The table that a `regclass` argument names.
    pub(super) fn table(&self, at: usize, state: &crate::catalog::State) -> SqlResult<Arc<Table>> {
        let oid = self.integer(at)?.ok_or_else(|| {
            SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "relation cannot be NULL")
        })?;
        let oid = u32::try_from(oid).unwrap_or(0);
        match state.table_arc(satsuma_common::TableId(oid)) {
            Some(table) if !state.is_materialized(satsuma_common::Oid(oid)) => Ok(table),
            _ => match state.relation(satsuma_common::Oid(oid)) {
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

    pub(super) fn address(&self) -> SqlResult<(String, u16)> {
        let host = self.text(0)?.ok_or_else(|| {
            SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "node name cannot be NULL")
        })?;
        let port = self.integer(1)?.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "node port must be 0 to 65535")
        })?;
        Ok((host, port))
    }

    pub(super) fn node(&self, session: &ClusterSession) -> SqlResult<satsuma_common::NodeId> {
        let (host, port) = self.address()?;
        let state = session.state();
        let node = state.node_at(&host, port);
        node.map(|node| node.id)
            .ok_or_else(|| SqlError::internal(format!("node at \"{host}:{port}\" does not exist")))
    }
}
