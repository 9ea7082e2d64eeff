//! Random histories whose log is damaged afterwards: a shard has all of its rows, or refuses; it is
//! the same after every further start; and one that no damaged record is about does not refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use satsuma_common::{ShardId, Timestamp, TxnId};

use super::damage_tests::{Rows, context, scan};
use super::loss_tests::{create, frames, load, open_small};
use super::tests::{batch, key, txn};
use super::*;
use crate::disk::Disk;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::seeds::for_each_seed_on_all_cores;
use crate::wal::Scope;
use crate::wal::frame::{FRAME_HEAD, Head};

/// Made by the last records that were acknowledged: what knows those before it to be durable.
const LAST: ShardId = ShardId(9);

#[test]
fn whatever_the_log_loses_a_shard_is_whole_or_refuses() {
    for_each_seed_on_all_cores(0..600, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(lose_by_chance(seed));
    });
}

async fn lose_by_chance(seed: u64) {
    let mut history = History::new(seed);
    for step in 0..20 + history.chance.below(60) {
        history.step(step).await;
    }
    history.end().await.damaged_and_started().await;
}

/// A row that was written, and of which transaction.
type Written = BTreeMap<TxnId, Vec<(ShardId, (i64, String))>>;

struct History {
    chance: Chance,
    disk: FaultyDisk,
    engine: Arc<Engine>,
    present: Vec<ShardId>,
    prepared: Vec<(TxnId, Timestamp)>,
}

impl History {
    fn new(seed: u64) -> Self {
        let disk = FaultyDisk::default();
        let engine = open_small(&disk).unwrap();
        let (chance, present, prepared) = (Chance::new(seed), Vec::new(), Vec::new());
        Self { chance, disk, engine, present, prepared }
    }

    /// Some values are longer than what a tally reaches over.
    fn value(&mut self) -> String {
        let filler = if self.chance.below(8) == 0 { self.chance.below(9000) } else { 0 };
        format!("v{}", "x".repeat(filler as usize))
    }

    async fn insert(&mut self, start: u64, shard: ShardId, id: i64) -> (i64, String) {
        let row = (id, self.value());
        let rows = batch(&[(id, row.1.as_str())]);
        self.engine.insert(&context(start), shard, &rows, ConflictPolicy::Fail).await.unwrap();
        row
    }

    async fn commit(&self, start: u64) {
        self.engine.commit(txn(start), Timestamp(0)).await.unwrap();
    }

    async fn prepare(&mut self, start: u64) {
        let id = txn(start);
        self.prepared.push((id, self.engine.prepare(id).await.unwrap()));
    }

    async fn step(&mut self, step: u64) {
        let start = 1000 + step * 10;
        let shard = ShardId(1 + self.chance.below(6));
        let is_here = self.present.contains(&shard);
        let id = step as i64;
        match self.chance.below(18) {
            0 if is_here && self.prepared.is_empty() => {
                self.engine.drop_shards(&[shard]).await.unwrap();
                self.present.retain(|id| *id != shard);
            }
            1 if is_here => self.engine.seal(&[self.engine.shard(shard).unwrap()]).unwrap(),
            2 if self.chance.below(4) == 0 => self.engine.checkpoint().unwrap(),
            3 if is_here => {
                self.insert(start, shard, 1000 + id).await;
                self.prepare(start).await;
            }
            4 if !self.prepared.is_empty() => self.decide(start).await,
            5 if is_here && self.prepared.is_empty() => {
                self.engine.truncate(&context(start), shard).await.unwrap();
                self.commit(start).await;
            }
            6 if is_here => {
                let gone: Vec<_> = (0..id).step_by(3).map(key).collect();
                self.engine.delete(&context(start), shard, &gone).await.unwrap();
                self.commit(start).await;
            }
            7 if !self.present.is_empty() => {
                for shard in self.present.clone() {
                    self.insert(start, shard, id).await;
                }
                self.commit(start).await;
            }
            8 if is_here => {
                load(&self.engine, start, shard, 2000 + id * 10..2005 + id * 10).await;
                match self.chance.coin() {
                    true => self.commit(start).await,
                    false => self.prepare(start).await,
                }
            }
            9 | 10 if !self.present.is_empty() => {
                self.disk.hold_syncs(Some(Path::new("/data/wal")));
                let (_, commits) = self.commits(start, 3000 + id * 10).await;
                self.disk.hold_syncs(None);
                for commit in commits {
                    commit.await.unwrap().unwrap();
                }
            }
            // What is here is not made again.
            11 if is_here => create(&self.engine, &[shard]).await,
            _ if is_here => {
                self.insert(start, shard, id).await;
                self.commit(start).await;
            }
            _ => {
                create(&self.engine, &[shard]).await;
                self.present.push(shard);
            }
        }
    }

    async fn decide(&mut self, at_least: u64) {
        let one = self.chance.below(self.prepared.len() as u64) as usize;
        let (txn, ts) = self.prepared.swap_remove(one);
        match self.chance.below(4) {
            0 => self.engine.abort(txn).await.unwrap(),
            _ => {
                let ts = ts.max(Timestamp(at_least));
                self.engine.commit_prepared(txn, ts).await.unwrap();
            }
        }
        self.engine.settled().await.unwrap();
    }

    /// Transactions that commit while the log is held: it writes the first one, and the others
    /// together.
    async fn commits(
        &mut self,
        start: u64,
        id: i64,
    ) -> (Written, Vec<tokio::task::JoinHandle<Result<Timestamp>>>) {
        let (mut written, mut commits) = (Written::new(), Vec::new());
        for number in 0..2 + self.chance.below(5) {
            let txn = txn(start + number);
            for _ in 0..1 + self.chance.below(2) {
                let shard = self.present[self.chance.below(self.present.len() as u64) as usize];
                let rows = written.entry(txn).or_default();
                if rows.iter().all(|(other, _)| *other != shard) {
                    let row = self.insert(txn.start.0, shard, id + number as i64).await;
                    written.entry(txn).or_default().push((shard, row));
                }
            }
            let engine = self.engine.clone();
            let commit = tokio::spawn(async move { engine.commit(txn, Timestamp(0)).await });
            while !self.disk.holds_a_sync() && !commit.is_finished() {
                tokio::task::yield_now().await;
            }
            commits.push(commit);
        }
        tokio::task::yield_now().await;
        (written, commits)
    }

    /// Ends it in order, or by a power cut while transactions commit.
    async fn end(mut self) -> Ended {
        create(&self.engine, &[LAST]).await;
        self.present.push(LAST);
        for (start, id) in [(9000, 0), (9010, 1)] {
            self.insert(start, LAST, id).await;
            self.commit(start).await;
        }
        let rows = |shard: &ShardId| (*shard, scan(&self.engine, *shard).unwrap());
        let expected: BTreeMap<_, _> = self.present.iter().map(rows).collect();
        let frames: Vec<_> = frames(&self.disk).into_iter().map(|one| self.frame(one)).collect();
        let last = frames.iter().map(|frame| frame.head.lsn).max().unwrap();
        let mut in_doubt = Written::new();
        let disk = match self.chance.coin() {
            true => {
                self.engine.close();
                self.disk
            }
            false => {
                self.disk.hold_syncs(Some(Path::new("/data/wal")));
                let (written, commits) = self.commits(9100, 9100).await;
                // The others are on their way when the first one is durable.
                if self.chance.coin() {
                    self.disk.hold_syncs(None);
                    for commit in commits.into_iter().take(1) {
                        commit.await.unwrap().unwrap();
                    }
                }
                in_doubt = written;
                let seed = self.chance.number();
                let cut = self.disk.crash(seed);
                self.disk.hold_syncs(None);
                self.engine.close();
                cut
            }
        };
        Ended { chance: self.chance, disk, expected, in_doubt, frames, last }
    }

    fn frame(&self, (path, at, head): (PathBuf, usize, Head)) -> Frame {
        let scope = head.notes(&self.disk.read(&path).unwrap()[at..]).unwrap().scope;
        Frame { path, at, head, scope }
    }
}

/// A record's place in the log, and whom it is about.
#[derive(Clone)]
struct Frame {
    path: PathBuf,
    at: usize,
    head: Head,
    scope: Scope,
}

/// A directory that nobody has open.
struct Ended {
    chance: Chance,
    disk: FaultyDisk,
    expected: BTreeMap<ShardId, Rows>,
    /// What may be there too, each whole.
    in_doubt: Written,
    /// The log's frames up to `last`, the last one that was acknowledged.
    frames: Vec<Frame>,
    last: u64,
}

impl Ended {
    async fn damaged_and_started(mut self) {
        let places = if self.chance.below(3) == 0 { 1 + self.chance.below(3) } else { 1 };
        let mut concerned = Some(BTreeSet::new());
        for _ in 0..places {
            let Some(damaged) = self.damage() else { return };
            concerned = concerned.zip(self.concerned(damaged)).map(|(all, some)| &all | &some);
        }
        // The power goes in the middle of the next start, too.
        if self.chance.coin() {
            let power_off_after = Some(self.disk.operations() + self.chance.below(120));
            self.disk.set_faults(Faults { power_off_after, ..Faults::default() });
            drop(open_small(&self.disk));
            self.cut();
        }
        let engine = open_small(&self.disk).unwrap();
        let before = self.verdicts(&engine);
        if places == 1
            && let Some(concerned) = concerned
        {
            let refusing = before.iter().filter(|(_, rows)| rows.is_none());
            for (shard, _) in refusing {
                assert!(concerned.contains(shard), "{shard} is none of {concerned:?}");
            }
        }
        drop(engine);
        self.cut();
        let engine = open_small(&self.disk).unwrap();
        assert_eq!(self.verdicts(&engine), before);
        let undecided: Vec<_> = engine.prepared().into_iter().map(|(txn, _)| txn).collect();
        for txn in undecided {
            engine.abort(txn).await.unwrap();
        }
        engine.checkpoint().unwrap();
        assert_eq!(self.verdicts(&engine), before);
        engine.close();
        drop(engine);
        let engine = open_small(&self.disk).unwrap();
        assert_eq!(self.verdicts(&engine), before);
    }

    fn cut(&mut self) {
        let seed = self.chance.number();
        self.disk = self.disk.crash(seed);
    }

    /// Damages the log where something behind it knows it to be durable, and tells where.
    fn damage(&mut self) -> Option<(PathBuf, Range<usize>)> {
        let one = self.chance.below(self.frames.len() as u64) as usize;
        let Frame { path, at, head, .. } = self.frames[one].clone();
        if head.lsn + 1 >= self.last {
            return None;
        }
        let knows = self.frames.iter().find(|frame| frame.head.lsn == self.last - 1)?;
        let from = at + self.chance.below(head.size() as u64) as usize;
        if self.chance.coin() {
            self.disk.flip(&path, from as u64 * 8 + self.chance.below(8));
            return Some((path, from..from + 1));
        }
        let most = if knows.path == path { knows.at - from } else { 512 };
        let len = most.min(FRAME_HEAD + self.chance.below(700) as usize);
        let filler = [0, 0xff, 0x5a][self.chance.below(3) as usize];
        let file = self.disk.open(&path).unwrap();
        file.write_at(&vec![filler; len], from as u64).unwrap();
        file.sync().unwrap();
        Some((path, from..from + len))
    }

    /// The shards that damaged records are about; `None`: it may be any.
    fn concerned(&self, (path, damaged): (PathBuf, Range<usize>)) -> Option<BTreeSet<ShardId>> {
        let mut all = BTreeSet::new();
        for frame in self.frames.iter().filter(|frame| frame.path == path) {
            let end = frame.at + frame.head.size();
            match &frame.scope {
                _ if end <= damaged.start || frame.at >= damaged.end => {}
                Scope::Any => return None,
                Scope::Shards(shards) => all.extend(shards.iter().map(|concern| concern.shard)),
            }
        }
        Some(all)
    }

    /// The rows of each shard, as they should be; `None` of those that refuse.
    fn verdicts(&self, engine: &Engine) -> BTreeMap<ShardId, Option<Rows>> {
        let mut verdicts = BTreeMap::new();
        let mut came: BTreeMap<TxnId, bool> = BTreeMap::new();
        for (shard, expected) in &self.expected {
            let found = match scan(engine, *shard) {
                Ok(found) => found,
                Err(StorageError::Corrupt { .. }) => {
                    verdicts.insert(*shard, None);
                    continue;
                }
                Err(error) => panic!("{shard}: {error}"),
            };
            let mut rows = expected.clone();
            for (txn, written) in &self.in_doubt {
                for (_, row) in written.iter().filter(|(of, _)| of == shard) {
                    let is_here = found.contains(row);
                    assert_eq!(*came.entry(*txn).or_insert(is_here), is_here, "{shard}: {txn:?}");
                    rows.extend(is_here.then(|| row.clone()));
                }
            }
            rows.sort();
            assert!(found == rows, "{shard}: {:?}", (ids(&found), ids(&rows)));
            verdicts.insert(*shard, Some(found));
        }
        verdicts
    }
}

fn ids(rows: &Rows) -> Vec<(i64, usize)> {
    rows.iter().map(|(id, value)| (*id, value.len())).collect()
}
