//! The present moment: settings, sessions, sizes.

use satsuma_common::inet::Inet;
use satsuma_common::{Datum, Oid, SqlResult};

use super::rows::{Rows, row};
use super::surroundings::{RunningSession, size_of_relation};
use super::{Fill, Source};
use crate::catalog::DATABASE_OID;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_settings" => settings,
        "pg_stat_activity" => activity,
        "citus_stat_activity" | "citus_dist_stat_activity" => citus_activity,
        "citus_stat_statements" => citus_statements,
        "pg_stat_user_tables" | "pg_stat_all_tables" => table_statistics,
        _ => return None,
    })
}

fn settings(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for setting in source.around.settings() {
        row!(
            rows,
            name = &setting.name,
            setting = &setting.value,
            category = if setting.name.contains('.') { "Customized Options" } else { "" },
            short_desc = &setting.description,
            context = "user",
            vartype = "string",
            source = if setting.value == setting.reset_value { "default" } else { "session" },
            boot_val = &setting.reset_value,
            reset_val = &setting.reset_value,
            pending_restart = false,
        )?;
    }
    Ok(())
}

fn moment(micros: Option<i64>) -> Datum {
    micros.map_or(Datum::Null, Datum::Timestamp)
}

/// What both views of sessions say.
fn session_values(source: &Source<'_>, session: &RunningSession) -> Vec<(&'static str, Datum)> {
    use super::rows::Value;
    let address = session.client_address.map(Inet::host_address);
    let role = source.state.role_by_name(&session.user);
    vec![
        ("datid", DATABASE_OID.datum()),
        ("datname", (&source.state.cluster().database).datum()),
        ("pid", session.process_id.datum()),
        ("usesysid", role.map(|role| role.oid).datum()),
        ("usename", (&session.user).datum()),
        ("application_name", (&session.application_name).datum()),
        ("client_addr", address.map_or(Datum::Null, Datum::Inet)),
        ("client_port", session.client_port.map(i32::from).datum()),
        ("backend_start", moment(Some(session.started))),
        ("xact_start", moment(session.transaction_started)),
        ("query_start", moment(session.query_started)),
        ("state_change", moment(session.query_started)),
        ("state", (&session.state).datum()),
        ("query", (&session.query).datum()),
        ("backend_type", "client backend".datum()),
    ]
}

fn activity(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for session in source.around.sessions() {
        rows.push(session_values(source, &session))?;
    }
    Ok(())
}

fn citus_activity(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let coordinator = source.state.nodes().find(|node| !node.is_worker());
    let node = coordinator.map_or(0, |node| node.id.0 as i32);
    for session in source.around.sessions() {
        let mut values = session_values(source, &session);
        // Citus's global process id: node id and process id in one number.
        let global = i64::from(node) * 10_000_000_000 + i64::from(session.process_id);
        values.push(("global_pid", Datum::Int8(global)));
        values.push(("nodeid", Datum::Int4(node)));
        values.push(("is_worker_query", Datum::Bool(false)));
        rows.push(values)?;
    }
    Ok(())
}

fn citus_statements(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (query_id, user, query, calls) in source.around.statements() {
        let role = source.state.role_by_name(&user);
        row!(
            rows,
            queryid = query_id,
            userid = role.map(|role| role.oid),
            dbid = DATABASE_OID,
            query = &query,
            executor = "adaptive",
            calls = i64::try_from(calls).unwrap_or(i64::MAX),
        )?;
    }
    Ok(())
}

fn table_statistics(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let sizes = source.around.shard_sizes();
    for table in source.state.tables() {
        let live = size_of_relation(source.state, table, &sizes).rows as i64;
        row!(
            rows,
            relid = Oid(table.id().0),
            schemaname = &table.shape.schema_name,
            relname = &table.shape.name,
            n_live_tup = live,
        )?;
    }
    Ok(())
}
