//! Tables are analyzed by themselves when the number of their rows has changed enough, as
//! PostgreSQL's autovacuum does. The leader looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use satsuma_common::TableId;

use crate::catalog::{SettingScope, State, Table};
use crate::cluster::Cluster;
use crate::session::units;
use crate::system_relations::{ShardSizes, size_of_relation};

/// Where `autovacuum_naptime` says nothing else.
const EVERY: Duration = Duration::from_secs(60);
/// How often that setting is looked at.
const TICK: Duration = Duration::from_secs(1);
/// `autovacuum_analyze_threshold`: rows.
const THRESHOLD: u64 = 50;
/// `autovacuum_analyze_scale_factor`: one part in so many.
const PART: u64 = 10;

/// How many rows a table had when it was analyzed last, as far as this leader knows.
type Analyzed = BTreeMap<TableId, u64>;

pub async fn run(cluster: Weak<Cluster>) {
    let mut analyzed = Analyzed::new();
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let state = cluster.catalog.snapshot();
        let is_time = looked.elapsed() >= naptime(&state);
        if !is_time || !is_on(&state) || !cluster.catalog.leadership().is_self {
            continue;
        }
        looked = Instant::now();
        cluster.refresh_sizes().await;
        let state = cluster.catalog.snapshot();
        for (table, rows) in due(&state, &cluster.sizes(), &mut analyzed) {
            analyze(&cluster, &state, table).await;
            analyzed.insert(table, rows);
        }
    }
}

fn is_on(state: &State) -> bool {
    state.setting(SettingScope::System, "autovacuum") != Some("off")
}

fn naptime(state: &State) -> Duration {
    let setting = state.setting(SettingScope::System, "autovacuum_naptime");
    let seconds = setting.and_then(|text| units::parse_seconds(text).ok());
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(EVERY, Duration::from_secs)
}

/// Tables to be analyzed, with their rows now. What was analyzed by somebody else, or by a leader
/// before this one, is taken to be as it was then.
fn due(state: &State, sizes: &ShardSizes, analyzed: &mut Analyzed) -> Vec<(TableId, u64)> {
    analyzed.retain(|table, _| state.table(*table).is_some());
    let rows = |table: &Table| size_of_relation(state, table, sizes).rows;
    let temporary = |table: &Table| table.shape.schema_name.starts_with("pg_temp_");
    let mut due = Vec::new();
    for table in state.tables().filter(|table| !temporary(table)) {
        let (id, rows) = (table.id(), rows(table));
        let before = match analyzed.get(&id) {
            Some(before) => *before,
            None if state.statistics(id).is_some() => {
                analyzed.insert(id, rows);
                continue;
            }
            None => 0,
        };
        if rows.abs_diff(before) > THRESHOLD + before / PART {
            due.push((id, rows));
        }
    }
    due
}

async fn analyze(cluster: &Arc<Cluster>, state: &State, id: TableId) {
    let Some(table) = state.table(id) else { return };
    let shape = &table.shape;
    let quoted = crate::catalog::quote_identifier;
    let sql = format!("ANALYZE {}.{}", quoted(&shape.schema_name), quoted(&shape.name));
    match crate::session::run_detached(cluster.clone(), &sql).await {
        Ok(()) => tracing::info!(table = %shape.name, "analyzed"),
        Err(error) => tracing::debug!(table = %shape.name, %error, "not analyzed"),
    }
}
