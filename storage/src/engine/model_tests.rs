//! The engine against a map of versions, through a disk that loses what was not synced.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use satsuma_common::{Generation, GroupId, ShardId, Timestamp, TxnId};

use super::index_tests::{self, indexed_shape};
use super::tests::{batch, key, txn};
use super::*;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::seeds::for_each_seed_on_all_cores;
use crate::shard::{KeyRange, ReadView, ScanOptions};
use crate::wal::WalOptions;

const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];
const KEYS: i64 = 24;

type Place = (ShardId, i64);
type Write = (Place, Option<String>);
/// Transactions of which nobody knows whether they were committed.
type InDoubt = Vec<Vec<Write>>;
type Versions = Vec<(Timestamp, Option<String>)>;

/// Versions by shard and key, oldest first.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<Place, Versions>);

impl Model {
    fn get(&self, at: (ShardId, i64), snapshot: Timestamp) -> Option<&String> {
        let versions = self.0.get(&at)?;
        versions.iter().rev().find(|(ts, _)| *ts <= snapshot)?.1.as_ref()
    }

    fn rows(&self, shard: ShardId, snapshot: Timestamp) -> Vec<(i64, String)> {
        let get = |id| Some((id, self.get((shard, id), snapshot)?.clone()));
        (0..KEYS).filter_map(get).collect()
    }

    fn commit(&mut self, ts: Timestamp, writes: &[Write]) {
        for (at, value) in writes {
            let versions = self.0.entry(*at).or_default();
            assert!(versions.last().is_none_or(|(last, _)| *last <= ts));
            versions.push((ts, value.clone()));
        }
    }
}

struct World {
    seed: u64,
    chance: Chance,
    disk: FaultyDisk,
    engine: Arc<Engine>,
    model: Model,
    /// Prepared transactions, with what they will have written.
    prepared: BTreeMap<TxnId, Vec<Write>>,
    /// Outcomes that the engine has taken and may yet forget, as their decider keeps them: the
    /// moment of a commit, `None` for an abort.
    decided: BTreeMap<TxnId, Option<Timestamp>>,
    now: u64,
    oldest: u64,
    /// The disk is full or has lost a write, and works otherwise.
    disk_limps: bool,
    has_power: bool,
    /// Of so many transactions that are open at once, the one that writes: each has keys of its own.
    lane: Option<(i64, i64)>,
}

fn options(seed: u64) -> Options {
    let wal = WalOptions { file_bytes: 4096, zero_ahead: 1024, batch_bytes: 1 << 20 };
    Options {
        wal,
        maintenance: false,
        bulk_rows: 2,
        // Segments, and so their indexes, in files or in the store.
        small_segment: if seed.is_multiple_of(2) { 300 } else { 32 << 10 },
        expressions: Arc::new(index_tests::FirstDigit),
        ..Options::default()
    }
}

fn open(disk: &FaultyDisk, seed: u64) -> Result<Arc<Engine>> {
    Engine::open(Path::new("/data"), Arc::new(disk.clone()), options(seed))
}

impl World {
    async fn new(seed: u64) -> Self {
        let disk = FaultyDisk::default();
        let engine = open(&disk, seed).unwrap();
        let shards = SHARDS.map(|shard| (shard, GroupId(shard.0), Generation(1)));
        engine.create_shards(&indexed_shape(), &shards).await.unwrap();
        Self {
            seed,
            chance: Chance::new(seed),
            disk,
            engine,
            model: Model::default(),
            prepared: BTreeMap::new(),
            decided: BTreeMap::new(),
            now: 1000,
            oldest: 0,
            disk_limps: false,
            has_power: true,
            lane: None,
        }
    }

    /// A key that the transaction at work may have.
    fn any_key(&mut self) -> i64 {
        let (lanes, lane) = self.lane.unwrap_or((1, 0));
        self.chance.below((KEYS / lanes) as u64) as i64 * lanes + lane
    }

    /// Longer than a sector of the disk, and than what the log tells of its records, or not.
    fn any_value(&mut self) -> String {
        let value = format!("v{}", self.chance.below(1 << 30));
        match self.chance.below(12) {
            0 => format!("{value}{}", "x".repeat(self.chance.below(6000) as usize)),
            _ => value,
        }
    }

    /// Keys that prepared transactions hold.
    fn is_held(&self, at: (ShardId, i64)) -> bool {
        self.prepared.values().flatten().any(|(held, _)| *held == at)
    }

    /// A transaction's writes, made but not committed. `None`: the power went.
    async fn write(&mut self, id: TxnId) -> Result<Vec<Write>> {
        let mut writes: BTreeMap<(ShardId, i64), Option<String>> = BTreeMap::new();
        for statement in 1..=self.chance.below(5) as u32 {
            let shard = SHARDS[self.chance.below(2) as usize];
            let context = WriteContext {
                txn: id,
                statement,
                snapshot: Timestamp(self.now),
                lock_timeout: Some(std::time::Duration::ZERO),
            };
            let shard_is_held = (0..KEYS).any(|id| self.is_held((shard, id)));
            if self.chance.below(12) == 0 && !shard_is_held && self.lane.is_none() {
                self.engine.truncate(&context, shard).await?;
                let mine = writes.keys().filter(|at| at.0 == shard).map(|at| at.1);
                let live: Vec<_> = self.model.rows(shard, Timestamp(u64::MAX));
                let gone: Vec<_> = mine.chain(live.into_iter().map(|row| row.0)).collect();
                writes.extend(gone.into_iter().map(|id| ((shard, id), None)));
                continue;
            }
            if self.chance.below(4) == 0 {
                self.load(&context, shard, &mut writes).await?;
                continue;
            }
            let at = (shard, self.any_key());
            if self.is_held(at) {
                continue;
            }
            let latest = self.model.get(at, Timestamp(u64::MAX));
            let exists = writes.get(&at).map_or(latest.is_some(), Option::is_some);
            let value = self.any_value();
            let row = batch(&[(at.1, &value)]);
            let undo = self.chance.below(6) == 0;
            let change = match (exists, self.chance.below(3)) {
                (true, 0) => {
                    assert_eq!(self.engine.delete(&context, shard, &[key(at.1)]).await?.rows, [0]);
                    None
                }
                (true, _) => {
                    let keys = [key(at.1)];
                    assert_eq!(self.engine.update(&context, shard, &keys, &row).await?.rows, [0]);
                    Some(value)
                }
                (false, _) => {
                    self.engine.insert(&context, shard, &row, ConflictPolicy::Fail).await?;
                    Some(value)
                }
            };
            if undo {
                self.engine.undo_statement(id, statement)?;
            } else {
                writes.insert(at, change);
            }
        }
        if self.chance.below(3) == 0 {
            self.check_own(id, &writes)?;
        }
        Ok(writes.into_iter().collect())
    }

    /// Rows that are not there yet, at once; sometimes with one that is, which must fail.
    async fn load(
        &mut self,
        context: &WriteContext,
        shard: ShardId,
        writes: &mut BTreeMap<Place, Option<String>>,
    ) -> Result<()> {
        let mut rows = BTreeMap::new();
        let mut taken = false;
        for _ in 0..1 + self.chance.below(6) {
            let id = self.any_key();
            if self.is_held((shard, id)) {
                continue;
            }
            let latest = self.model.get((shard, id), Timestamp(u64::MAX));
            let exists = writes.get(&(shard, id)).map_or(latest.is_some(), Option::is_some);
            if !exists || self.chance.below(20) == 0 {
                taken |= exists;
                rows.insert(id, self.any_value());
            }
        }
        let mut load = self.engine.bulk_load(*context);
        // Not in the order of keys.
        let shuffled: Vec<_> = rows.iter().rev().map(|(id, value)| (*id, &value[..])).collect();
        let result = match load.add(shard, &batch(&shuffled)).await {
            Ok(()) => load.finish().await,
            Err(error) => Err(error),
        };
        let undo = self.chance.below(6) == 0;
        match result {
            Err(BulkError { error: StorageError::UniqueViolation { .. }, row }) => {
                assert!(taken && row.is_some(), "seed {}", self.seed);
                return self.engine.undo_statement(context.txn, context.statement);
            }
            Err(failed) => return Err(failed.error),
            Ok(count) => assert_eq!((count, taken), (rows.len() as u64, false)),
        }
        if undo {
            self.engine.undo_statement(context.txn, context.statement)?;
        } else {
            writes.extend(rows.into_iter().map(|(id, value)| ((shard, id), Some(value))));
        }
        Ok(())
    }

    /// What the transaction sees of itself.
    fn check_own(&self, id: TxnId, writes: &BTreeMap<Place, Option<String>>) -> Result<()> {
        let view = ReadView::own(Timestamp(self.now), id);
        for shard in SHARDS {
            let mut expected: BTreeMap<i64, String> =
                self.model.rows(shard, Timestamp(self.now)).into_iter().collect();
            for ((at, key), value) in writes {
                match value {
                    Some(value) if *at == shard => drop(expected.insert(*key, value.clone())),
                    None if *at == shard => drop(expected.remove(key)),
                    _ => {}
                }
            }
            let mut found = BTreeMap::new();
            for batch in self.engine.scan(shard, &view, &ScanOptions::default())? {
                let batch = batch?;
                let ids = batch.column(0).as_primitive::<Int64Type>();
                let names = batch.column(1).as_string_view();
                for row in 0..batch.num_rows() {
                    let again = found.insert(ids.value(row), names.value(row).to_owned());
                    assert!(again.is_none(), "seed {}", self.seed);
                }
            }
            assert_eq!(found, expected, "seed {} {shard}", self.seed);
            for (probe, matches) in index_tests::probes('2', '7', '1') {
                let found = index_tests::seen(&self.engine, shard, &view, &probe)?;
                let found: Vec<_> = found.into_iter().filter(|row| matches(&row.1)).collect();
                let rows = expected.iter().map(|(id, name)| (*id, name.clone()));
                let rows: Vec<_> = rows.filter(|row| matches(&row.1)).collect();
                assert_eq!(found, rows, "seed {} {shard} {probe:?}", self.seed);
            }
            for id in 0..KEYS {
                let row = self.engine.get(shard, &key(id), &view)?;
                assert_eq!(row.is_some(), expected.contains_key(&id), "seed {}", self.seed);
            }
        }
        Ok(())
    }

    /// One operation; an error says that the power went, and what was being committed.
    async fn step(&mut self) -> Result<(), InDoubt> {
        self.now += 10;
        match self.chance.below(22) {
            0 => self.went(self.engine.checkpoint())?,
            1 => {
                let shard = self.engine.shard(SHARDS[self.chance.below(2) as usize]).unwrap();
                self.went(self.engine.seal(&[shard]))?;
            }
            2 => {
                let shard = self.engine.shard(SHARDS[self.chance.below(2) as usize]).unwrap();
                self.went(self.engine.merge(&shard).map(drop))?;
            }
            3 => {
                self.oldest += self.chance.below(self.now - self.oldest);
                let held = self.prepared.keys().map(|txn| txn.start.0).min();
                self.oldest = self.oldest.min(held.unwrap_or(u64::MAX));
                self.engine.set_oldest_snapshot(Timestamp(self.oldest));
            }
            4 => self.decide_one().await?,
            5..8 => self.check(),
            8 | 9 => self.several().await?,
            _ => self.transaction().await?,
        }
        Ok(())
    }

    /// Whether things go on after what was done in the background, or was taken back: they do when
    /// the disk did not let a file be written, and power and log are there.
    fn went(&self, result: Result<()>) -> Result<(), InDoubt> {
        match result {
            Err(_) if !self.disk_limps || self.engine.wal.check().is_err() => Err(Vec::new()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Transactions that commit at once: the log writes the first one alone and the rest together.
    async fn several(&mut self) -> Result<(), InDoubt> {
        let lanes = 2 + self.chance.below(3) as i64;
        let mut open = Vec::new();
        for lane in 0..lanes {
            self.now += 1;
            self.lane = Some((lanes, lane));
            open.push((txn(self.now), self.write(txn(self.now)).await));
        }
        self.lane = None;
        self.disk.hold_syncs(Some(Path::new("/data/wal")));
        let mut commits = Vec::new();
        for (id, writes) in open {
            let Ok(writes) = writes else {
                let _ = self.engine.abort(id).await;
                continue;
            };
            let (engine, now) = (self.engine.clone(), Timestamp(self.now));
            let commit = tokio::spawn(async move { engine.commit(id, now).await });
            while !self.disk.holds_a_sync() && !commit.is_finished() {
                tokio::task::yield_now().await;
            }
            commits.push((commit, writes));
        }
        tokio::task::yield_now().await;
        self.disk.hold_syncs(None);
        let (mut in_doubt, mut has_failed) = (Vec::new(), false);
        for (commit, writes) in commits {
            match commit.await.unwrap() {
                Ok(ts) => {
                    self.now = self.now.max(ts.0);
                    self.model.commit(ts, &writes);
                }
                Err(StorageError::NoSuchTransaction(_)) => {}
                Err(_) => {
                    has_failed = true;
                    in_doubt.push(writes);
                }
            }
        }
        if has_failed { Err(in_doubt) } else { self.went(self.engine.wal.check()) }
    }

    async fn transaction(&mut self) -> Result<(), InDoubt> {
        let id = txn(self.now);
        let writes = match self.write(id).await {
            Ok(writes) => writes,
            Err(error) => {
                let _ = self.engine.abort(id).await;
                return self.went(Err(error));
            }
        };
        match self.chance.below(8) {
            0 => {
                let _ = self.engine.abort(id).await;
            }
            1 | 2 => match self.engine.prepare(id).await {
                Ok(_) => {
                    self.prepared.insert(id, writes);
                }
                Err(StorageError::NoSuchTransaction(_)) => {}
                Err(_) => return Err(vec![writes]),
            },
            _ => match self.engine.commit(id, Timestamp(self.now)).await {
                Ok(ts) => {
                    assert!(ts.0 >= self.now);
                    self.now = ts.0;
                    self.model.commit(ts, &writes);
                }
                Err(StorageError::NoSuchTransaction(_)) => {}
                Err(_) => return Err(vec![writes]),
            },
        }
        Ok(())
    }

    async fn decide_one(&mut self) -> Result<(), InDoubt> {
        let Some(id) = self.prepared.keys().next().copied() else { return Ok(()) };
        let writes = self.prepared[&id].clone();
        let commit = self.chance.coin();
        self.now += 10;
        let ts = Timestamp(self.now);
        let decided = match commit {
            true => self.engine.commit_prepared(id, ts).await,
            false => self.engine.abort(id).await,
        };
        if decided.is_err() {
            return Err(Vec::new());
        }
        self.prepared.remove(&id);
        self.decided.insert(id, commit.then_some(ts));
        if commit {
            self.model.commit(ts, &writes);
        }
        if self.chance.coin() {
            let unfinished = self.engine.settled().await.map_err(|_| Vec::new())?;
            self.decided.retain(|id, _| unfinished.contains(id));
        }
        Ok(())
    }

    /// Everything as the model has it, at some snapshot.
    fn check(&mut self) {
        let snapshot = Timestamp(self.oldest + self.chance.below(self.now - self.oldest + 1));
        for shard in SHARDS {
            let expected = self.model.rows(shard, snapshot);
            let (low, high) = (self.chance.below(24) as i64, self.chance.below(24) as i64);
            for (low, high) in [(0, KEYS), (low.min(high), low.max(high))] {
                let options = ScanOptions {
                    batch_rows: 1 + self.chance.below(5) as usize,
                    key_range: Some(KeyRange {
                        from: std::ops::Bound::Included(key(low)),
                        to: std::ops::Bound::Excluded(key(high)),
                    }),
                    ..ScanOptions::default()
                };
                let mut found = Vec::new();
                for batch in self.engine.scan(shard, &ReadView::new(snapshot), &options).unwrap() {
                    let batch = batch.unwrap();
                    let ids = batch.column(0).as_primitive::<Int64Type>();
                    let names = batch.column(1).as_string_view();
                    let rows =
                        (0..batch.num_rows()).map(|i| (ids.value(i), names.value(i).to_owned()));
                    found.extend(rows);
                }
                found.sort();
                let expected: Vec<_> =
                    expected.iter().filter(|row| (low..high).contains(&row.0)).cloned().collect();
                assert_eq!(found, expected, "seed {} {shard} at {snapshot}", self.seed);
            }
            self.check_indexes(shard, snapshot, &expected);
            for id in 0..KEYS {
                let row = self.engine.get(shard, &key(id), &ReadView::new(snapshot)).unwrap();
                let expected = self.model.get((shard, id), snapshot);
                assert_eq!(row.is_some(), expected.is_some(), "seed {} {shard} {id}", self.seed);
            }
        }
    }

    /// What an index finds, and the condition then lets through, is what a scan of everything finds.
    fn check_indexes(&mut self, shard: ShardId, snapshot: Timestamp, rows: &[(i64, String)]) {
        let mut digit = || char::from(b'0' + self.chance.below(10) as u8);
        let (low, high, first) = (digit(), digit(), digit());
        for (probe, matches) in index_tests::probes(low, high, first) {
            let found = index_tests::found(&self.engine, shard, snapshot, &probe);
            let expected: Vec<_> = rows.iter().filter(|row| matches(&row.1)).cloned().collect();
            let seed = self.seed;
            assert!(found.iter().all(|row| rows.contains(row)), "seed {seed} {shard} {probe:?}");
            let found: Vec<_> = found.into_iter().filter(|row| matches(&row.1)).collect();
            assert_eq!(found, expected, "seed {seed} {shard} at {snapshot} {probe:?}");
        }
    }

    /// Power comes back, or the process. `in_doubt` was being committed or prepared when it went.
    async fn restart(&mut self, in_doubt: InDoubt) {
        let seed = self.chance.number();
        if self.has_power && self.chance.coin() {
            // The process ends alone: what it wrote is read, whether it was synced or not.
            self.disk.set_faults(Faults::default());
            self.engine.close();
            self.engine = open(&FaultyDisk::default(), 0).unwrap();
        } else {
            self.disk = self.disk.crash(seed);
        }
        self.engine = open(&self.disk, self.seed)
            .unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        self.engine.set_oldest_snapshot(Timestamp(self.oldest));
        // A decision that was not acknowledged may have been made all the same; it is told again.
        let found: Vec<_> = self.engine.prepared().into_iter().map(|(id, _)| id).collect();
        for id in self.prepared.keys().copied().collect::<Vec<_>>() {
            if found.contains(&id) {
                continue;
            }
            let writes = self.prepared.remove(&id).unwrap();
            self.adopt(&writes);
        }
        for id in found {
            match (self.prepared.contains_key(&id), self.decided.get(&id)) {
                (true, _) => {}
                (false, Some(Some(ts))) => self.engine.commit_prepared(id, *ts).await.unwrap(),
                (false, _) => self.engine.abort(id).await.unwrap(),
            }
        }
        // They were logged in this order: what was torn takes those behind it along.
        let adopted: Vec<bool> = in_doubt.iter().map(|writes| self.adopt(writes)).collect();
        let has_row = |writes: &[Write]| writes.iter().any(|(_, value)| value.is_some());
        let told = adopted.iter().zip(&in_doubt).filter(|(_, writes)| has_row(writes));
        assert!(told.map(|(adopted, _)| !adopted).is_sorted(), "seed {}", self.seed);
        self.check();
    }

    /// Writes that may be there, whole, or not at all: whether they are.
    fn adopt(&mut self, writes: &[Write]) -> bool {
        let newest = |(shard, id): (ShardId, i64)| {
            self.engine.newest(shard, &key(id)).unwrap().map(|version| version.ts)
        };
        // It was the last thing that happened.
        let ts =
            writes.iter().filter_map(|(at, _)| newest(*at).filter(|ts| ts.0 >= self.now)).max();
        if let Some(ts) = ts {
            self.now = self.now.max(ts.0);
            self.model.commit(ts, writes);
        }
        ts.is_some()
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    for _ in 0..4 {
        let mut faults = Faults::default();
        let kind = world.chance.below(8);
        match kind {
            0 => {}
            1 => faults.fail_sync = Some(1 + world.chance.below(40)),
            2 => faults.capacity = Some(world.disk.used() + world.chance.below(6000)),
            _ => {
                let left = world.chance.below(120);
                faults.power_off_after = Some(world.disk.operations() + left);
            }
        }
        world.disk_limps = matches!(kind, 1 | 2);
        world.has_power = kind < 3;
        world.disk.set_faults(faults);
        let mut in_doubt = Vec::new();
        for _ in 0..60 {
            if let Err(writes) = world.step().await {
                in_doubt = writes;
                break;
            }
        }
        world.restart(in_doubt).await;
    }
}

#[test]
fn the_engine_is_a_map_of_versions_whatever_happens() {
    for_each_seed_on_all_cores(0..2000, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(seed));
    });
}
