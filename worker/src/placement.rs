//! Which shards are here, and whether a request still speaks of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use satsuma_common::{GroupId, ShardId, SqlResult, TableId, TxnId};
use satsuma_proto::worker::GroupRef;
use satsuma_storage::{Engine, TableMeta};

use crate::error::{self, stale};

/// A table's shard in a group, with what reads its rows.
#[derive(Clone, Debug)]
pub(crate) struct PlacedTable {
    pub shard: ShardId,
    pub group: GroupId,
    pub meta: Arc<TableMeta>,
}

/// The shards of a group that a request names, all present and of the expected versions.
#[derive(Clone, Debug)]
pub(crate) struct PlacedGroup {
    pub group: GroupId,
    pub tables: BTreeMap<TableId, PlacedTable>,
    /// Counts those who read the group.
    _reading: Arc<()>,
}

impl PlacedGroup {
    pub fn table(&self, table: TableId) -> SqlResult<&PlacedTable> {
        self.tables
            .get(&table)
            .ok_or_else(|| stale(format!("{table} was not named in {}", self.group)))
    }

    pub fn shards(&self) -> Vec<ShardId> {
        self.tables.values().map(|table| table.shard).collect()
    }
}

/// Every shard of this worker by table. Follows the engine: see [`Placements::refresh`].
#[derive(Debug)]
pub(crate) struct Placements {
    engine: Arc<Engine>,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    shards: BTreeMap<TableId, Vec<Placed>>,
    /// One reference is ours, the others are held by whoever reads the group.
    readers: BTreeMap<GroupId, Arc<()>>,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    shard: ShardId,
    group: GroupId,
    /// Another shard of the group is to take its place.
    retired: bool,
}

impl Placements {
    pub fn new(engine: Arc<Engine>) -> Self {
        let placements = Self { engine, known: RwLock::default() };
        placements.refresh();
        placements
    }

    /// After shards were created or dropped.
    pub fn refresh(&self) {
        let mut known = self.known.write();
        let before = std::mem::take(&mut *known);
        for info in self.engine.shards() {
            known.shards.entry(info.table).or_default().push(Placed {
                shard: info.shard,
                group: info.group,
                retired: info.retired,
            });
            let readers = known.readers.entry(info.group);
            readers.or_insert_with(|| before.readers.get(&info.group).cloned().unwrap_or_default());
        }
    }

    /// An error when the group's placement has changed since the request was planned.
    pub fn still(&self, request: &GroupRef) -> SqlResult<()> {
        let group = request.group;
        let known = self.engine.generation(group);
        if known != Some(request.generation) {
            // What this worker knows of the group may be lost to damage.
            self.engine.check_group(group).map_err(error::storage)?;
        }
        match known {
            Some(generation) if generation == request.generation => Ok(()),
            Some(generation) => {
                Err(stale(format!("{group} is at {generation}, not {}", request.generation)))
            }
            None => Err(stale(format!("{group} is not on this worker"))),
        }
    }

    /// Waits until nobody reads the group any more, but not for ever.
    pub async fn readers_gone(&self, group: GroupId, patience: Duration) {
        let Some(readers) = self.known.read().readers.get(&group).map(Arc::downgrade) else {
            return;
        };
        let started = tokio::time::Instant::now();
        while readers.strong_count() > 1 && started.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resolves a group of a request, or says that the coordinator's view of it is old.
    pub fn group(&self, request: &GroupRef) -> SqlResult<PlacedGroup> {
        let group = request.group;
        self.still(request)?;
        let known = self.known.read();
        let reading = known.readers.get(&group).cloned().unwrap_or_default();
        let mut tables = BTreeMap::new();
        for named in &request.shards {
            let shards = known.shards.get(&named.table).map(Vec::as_slice).unwrap_or_default();
            // A reference table's copy belongs to every group.
            let one_group = shards.windows(2).all(|pair| pair[0].group == pair[1].group);
            let of = match shards.iter().find(|placed| placed.shard == named.shard) {
                Some(placed) if one_group || placed.group == group => placed.group,
                _ => {
                    self.engine.check_group(group).map_err(error::storage)?;
                    return Err(stale(format!(
                        "{} of {} is not in {group} here",
                        named.shard, named.table
                    )));
                }
            };
            let meta = self.meta(named.table, named.shard)?;
            if meta.shape.version != named.version {
                let version = meta.shape.version;
                return Err(stale(format!("{} is at version {version}", named.table)));
            }
            tables.insert(named.table, PlacedTable { shard: named.shard, group: of, meta });
        }
        Ok(PlacedGroup { group, tables, _reading: reading })
    }

    /// The shards that rows of `group` can refer to or be referred to from: the shard of the same
    /// group, else, where one side is a reference table, every shard here. Of a table that is
    /// being rewritten, the transaction that does it finds the new shards, and others the old
    /// ones, where they wait for its lock.
    pub fn related(
        &self,
        table: TableId,
        group: GroupId,
        txn: TxnId,
    ) -> SqlResult<Vec<PlacedTable>> {
        let found: Vec<_> = {
            let known = self.known.read();
            let mut all = known.shards.get(&table).cloned().unwrap_or_default();
            if let Some(old) = all.iter().find(|placed| placed.retired) {
                // Nobody holds those that the same transaction made, or that are about to go.
                let rewrites = self.engine.has_locked_shard(txn, old.shard)
                    || !self.engine.is_defined(old.shard);
                all.retain(|placed| placed.retired != rewrites);
            }
            match all.iter().find(|placed| placed.group == group) {
                Some(same) => vec![*same],
                None => all,
            }
        };
        found
            .into_iter()
            .map(|Placed { shard, group, .. }| {
                Ok(PlacedTable { shard, group, meta: self.meta(table, shard)? })
            })
            .collect()
    }

    fn meta(&self, table: TableId, shard: ShardId) -> SqlResult<Arc<TableMeta>> {
        self.engine
            .table_of_shard(shard)
            .ok_or_else(|| stale(format!("{table} is not on this worker")))
    }
}
