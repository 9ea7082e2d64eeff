//! The present moment: settings, sessions, sizes.

use std::collections::BTreeSet;

use satsuma_common::datetime::TimeZone;
use satsuma_common::datum::Interval;
use satsuma_common::inet::Inet;
use satsuma_common::{Array, Datum, Oid, PgType, SqlResult, TxnId};

use super::rows::{Rows, row};
use super::surroundings::{RunningSession, size_of_relation};
use super::{Fill, Source};
use crate::catalog::{DATABASE_OID, Role, is_member, is_superuser};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_settings" => settings,
        "pg_cursors" => cursors,
        "pg_prepared_statements" => prepared_statements,
        "pg_stat_activity" => activity,
        "pg_stat_ssl" => encryption,
        "citus_stat_activity" | "citus_dist_stat_activity" => citus_activity,
        "citus_stat_statements" => citus_statements,
        "citus_stat_tenants" => citus_tenants,
        "pg_stat_user_tables" | "pg_stat_all_tables" => table_statistics,
        "pg_stat_user_indexes" | "pg_stat_all_indexes" => index_statistics,
        "pg_stat_database" => database_statistics,
        "pg_timezone_names" => time_zones,
        _ => return None,
    })
}

fn settings(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for setting in source.around.settings() {
        let (min, max) = setting.bounds.unzip();
        row!(
            rows,
            name = &setting.name,
            setting = &setting.value,
            unit = setting.unit,
            min_val = min,
            max_val = max,
            enumvals = setting.choices,
            category = if setting.name.contains('.') { "Customized Options" } else { "" },
            short_desc = &setting.description,
            context = setting.context,
            vartype = setting.kind,
            source = match &setting.value {
                value if *value != setting.reset_value => "session",
                value if *value != setting.boot_value => "client",
                _ => "default",
            },
            boot_val = &setting.boot_value,
            reset_val = &setting.reset_value,
            pending_restart = false,
        )?;
    }
    Ok(())
}

fn prepared_statements(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for prepared in source.around.prepared_statements() {
        let types = prepared.parameters.iter().map(|oid| Datum::Oid(oid.0)).collect();
        let types = Datum::Array(Array { element: PgType::Regtype, values: types });
        row!(
            rows,
            name = &prepared.name,
            statement = &prepared.statement,
            prepare_time = moment(Some(prepared.prepared_micros)),
            parameter_types = types,
            from_sql = prepared.from_sql,
            generic_plans = 0i64,
            custom_plans = 0i64,
        )?;
    }
    Ok(())
}

fn cursors(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for cursor in source.around.cursors() {
        row!(
            rows,
            name = &cursor.name,
            statement = &cursor.statement,
            is_holdable = cursor.is_holdable,
            is_binary = cursor.is_binary,
            is_scrollable = cursor.is_scrollable,
            creation_time = moment(Some(cursor.created_micros)),
        )?;
    }
    Ok(())
}

pub(super) fn moment(micros: Option<i64>) -> Datum {
    micros.map_or(Datum::Null, Datum::Timestamp)
}

/// What both views of sessions say.
fn session_values(source: &Source<'_>, session: &RunningSession) -> Vec<(&'static str, Datum)> {
    use super::rows::Value;
    let address = session.client_address.map(Inet::host_address);
    let role = source.state.role_by_name(&session.user);
    if !may_see(source, role) {
        return vec![
            ("datid", DATABASE_OID.datum()),
            ("datname", (&source.state.cluster().database).datum()),
            ("pid", session.process_id.datum()),
            ("usesysid", role.map(|role| role.oid).datum()),
            ("usename", (&session.user).datum()),
            ("query", "<insufficient privilege>".datum()),
        ];
    }
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
        ("state_change", moment(Some(session.state_changed))),
        ("state", (&session.state).datum()),
        ("query", (&session.query).datum()),
        ("backend_type", "client backend".datum()),
    ]
}

/// Whether who looks is told what a session of this role does.
fn may_see(source: &Source<'_>, role: Option<&Role>) -> bool {
    let Some(viewer) = source.around.role() else { return true };
    let all = source.state.role_by_name("pg_read_all_stats");
    let mut roles = role.into_iter().chain(all);
    roles.any(|role| is_member(source.state, viewer, role.oid))
        || is_superuser(source.state, viewer)
}

/// A wait for a lock, as PostgreSQL names it.
fn wait_values(
    source: &Source<'_>,
    session: &RunningSession,
    waiting: &BTreeSet<TxnId>,
) -> Vec<(&'static str, Datum)> {
    let text = |text: &str| Datum::Text(text.into());
    let waits = session.txn.is_some_and(|txn| waiting.contains(&txn));
    let is_seen = may_see(source, source.state.role_by_name(&session.user));
    match (waits, session.state.as_str()) {
        _ if !is_seen => Vec::new(),
        (true, _) => vec![("wait_event_type", text("Lock")), ("wait_event", text("tuple"))],
        (false, "active") => Vec::new(),
        (false, _) => {
            vec![("wait_event_type", text("Client")), ("wait_event", text("ClientRead"))]
        }
    }
}

fn activity(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let sessions = source.around.sessions();
    let waiting = super::locks::waiting(source.around)?;
    for session in sessions {
        let mut values = session_values(source, &session);
        values.extend(wait_values(source, &session, &waiting));
        rows.push(values)?;
    }
    Ok(())
}

fn encryption(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for session in source.around.sessions() {
        let encryption = session.encryption.as_ref();
        row!(
            rows,
            pid = session.process_id,
            ssl = encryption.is_some(),
            version = encryption.map(|it| it.version.to_owned()),
            cipher = encryption.map(|it| it.cipher.clone()),
            bits = encryption.map(|it| it.bits),
        )?;
    }
    Ok(())
}

fn citus_activity(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let waiting = super::locks::waiting(source.around)?;
    for session in source.around.all_sessions()? {
        let mut values = session_values(source, &session);
        values.extend(wait_values(source, &session, &waiting));
        values.push(("global_pid", Datum::Int8(super::locks::global_pid(&session))));
        values.push(("nodeid", super::locks::node_id(&session)));
        values.push(("is_worker_query", Datum::Bool(false)));
        rows.push(values)?;
    }
    Ok(())
}

fn citus_statements(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (query_id, user, query, calls) in source.around.statements() {
        let role = source.state.role_by_name(&user);
        let is_seen = may_see(source, role);
        row!(
            rows,
            queryid = is_seen.then_some(query_id),
            userid = role.map(|role| role.oid),
            dbid = DATABASE_OID,
            query = if is_seen { &query } else { "<insufficient privilege>" },
            executor = "adaptive",
            calls = i64::try_from(calls).unwrap_or(i64::MAX),
        )?;
    }
    Ok(())
}

/// For those who may see everybody's statements.
fn citus_tenants(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    if !may_see(source, None) {
        return Ok(());
    }
    for tenant in source.around.tenants()? {
        let node = source.state.group(tenant.group).map(|group| group.primary.0);
        let (this, last) = (tenant.this_period, tenant.last_period);
        let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        row!(
            rows,
            nodeid = node.map(|node| node as i32),
            colocation_id = tenant.colocation.0 as i32,
            tenant_attribute = &tenant.attribute,
            read_count_in_this_period = count(this.reads),
            read_count_in_last_period = count(last.reads),
            query_count_in_this_period = count(this.statements),
            query_count_in_last_period = count(last.statements),
            cpu_usage_in_this_period = this.seconds,
            cpu_usage_in_last_period = last.seconds,
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

/// Scans are not counted: what is NULL is not known, where 0 would call an index unused.
fn index_statistics(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for index in source.state.indexes() {
        let Some(table) = source.state.table(index.table) else { continue };
        row!(
            rows,
            relid = Oid(index.table.0),
            indexrelid = index.oid,
            schemaname = &table.shape.schema_name,
            relname = &table.shape.name,
            indexrelname = &index.name,
        )?;
    }
    Ok(())
}

/// Sessions of this coordinator; what PostgreSQL counts beside them is not counted.
fn database_statistics(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    row!(
        rows,
        datid = DATABASE_OID,
        datname = &source.state.cluster().database,
        numbackends = i32::try_from(source.around.sessions().len()).unwrap_or(i32::MAX),
    )
}

fn time_zones(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let now = crate::clock::now_micros();
    for (name, zone) in TimeZone::all() {
        let micros = i64::from(zone.offset_at(now)) * 1_000_000;
        row!(
            rows,
            name = name,
            abbrev = zone.abbreviation_at(now),
            utc_offset = Datum::Interval(Interval { months: 0, days: 0, micros }),
            is_dst = zone.is_summer_at(now),
        )?;
    }
    Ok(())
}
