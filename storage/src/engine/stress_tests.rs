//! Transfers between accounts, while others add them up and the deltas are sealed underneath.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::tests::{batch, key, shape, txn};
use super::*;
use crate::disk::RealDisk;
use crate::disk::faulty::Chance;
use crate::shard::{ReadView, ScanOptions};

const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];
const ACCOUNTS: i64 = 20;
const EACH: i64 = 100;

struct Bank {
    engine: Arc<Engine>,
    clock: AtomicU64,
    done: AtomicBool,
}

impl Bank {
    fn tick(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn observe(&self, ts: Timestamp) {
        self.clock.fetch_max(ts.0, Ordering::SeqCst);
    }

    /// Balances by shard and account.
    fn balances(&self, view: &ReadView) -> Result<Vec<i64>> {
        let mut balances = Vec::new();
        for shard in SHARDS {
            for batch in self.engine.scan(shard, view, &ScanOptions::default())? {
                let batch = batch?;
                let values = batch.column(1).as_string_view();
                balances.extend(values.iter().flatten().map(|v| v.parse::<i64>().unwrap()));
            }
        }
        Ok(balances)
    }

    /// Moves money between two accounts, of one shard or two, in one phase or two.
    async fn transfer(&self, chance: &mut Chance) -> Result<()> {
        let start = self.tick();
        let id = txn(start.0);
        let result = self.try_transfer(id, chance).await;
        if result.is_err() {
            self.engine.abort(id).await?;
        }
        result
    }

    async fn try_transfer(&self, id: TxnId, chance: &mut Chance) -> Result<()> {
        let snapshot = self.tick();
        self.engine.begin_read(&SHARDS, snapshot, Some(id)).await?;
        let amount = chance.below(10) as i64;
        let mut place = || (SHARDS[chance.below(2) as usize], chance.below(ACCOUNTS as u64) as i64);
        let (from, to) = (place(), place());
        let view = ReadView::own(snapshot, id);
        for (statement, ((shard, account), change)) in
            [(from, -amount), (to, amount)].into_iter().enumerate()
        {
            let row = self.engine.get(shard, &key(account), &view)?.unwrap();
            let decoder = self.engine.table(shape().table).unwrap();
            let satsuma_common::Datum::Text(balance) = decoder.decoder().datum(&row, 1)? else {
                panic!("a balance is text")
            };
            let balance = (balance.parse::<i64>().unwrap() + change).to_string();
            let context = WriteContext {
                txn: id,
                statement: statement as u32 + 1,
                snapshot,
                lock_timeout: None,
            };
            let row = batch(&[(account, &balance)]);
            self.engine.update(&context, shard, &[key(account)], &row).await?;
        }
        if chance.coin() {
            let at_least = self.tick();
            self.observe(self.engine.commit(id, at_least).await?);
        } else {
            let prepared = self.engine.prepare(id).await?;
            self.observe(prepared);
            tokio::task::yield_now().await;
            self.engine.commit_prepared(id, self.tick()).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sums_hold_while_rows_move_between_layers() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { maintenance: false, ..Options::default() };
    let engine = Engine::open(dir.path(), Arc::new(RealDisk), options.clone()).unwrap();
    let shards = SHARDS.map(|shard| (shard, GroupId(shard.0), Generation(1)));
    engine.create_shards(&shape(), &shards).await.unwrap();
    let bank = Arc::new(Bank { engine, clock: AtomicU64::new(100), done: AtomicBool::new(false) });
    let each = EACH.to_string();
    let rows: Vec<_> = (0..ACCOUNTS).map(|account| (account, each.as_str())).collect();
    for shard in SHARDS {
        let context =
            WriteContext { txn: txn(1), statement: 1, snapshot: Timestamp(1), lock_timeout: None };
        bank.engine.insert(&context, shard, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
    }
    bank.observe(bank.engine.commit(txn(1), Timestamp(1)).await.unwrap());

    let upkeep = std::thread::spawn({
        let bank = bank.clone();
        move || {
            let mut rounds = 0;
            while !bank.done.load(Ordering::SeqCst) {
                rounds += 1;
                bank.engine.checkpoint().unwrap();
                for shard in SHARDS {
                    bank.engine.merge(&bank.engine.shard(shard).unwrap()).unwrap();
                }
                // Readers take their snapshots within the last thousand ticks.
                let oldest = bank.clock.load(Ordering::SeqCst).saturating_sub(1000);
                bank.engine.set_oldest_snapshot(Timestamp(oldest));
            }
            rounds
        }
    });
    let mut tasks = Vec::new();
    for worker in 0..6 {
        let bank = bank.clone();
        tasks.push(tokio::spawn(async move {
            let mut chance = Chance::new(worker);
            let mut committed = 0;
            while !bank.done.load(Ordering::SeqCst) {
                match bank.transfer(&mut chance).await {
                    Ok(()) => committed += 1,
                    Err(
                        StorageError::ChangedSinceSnapshot { .. } | StorageError::Deadlock { .. },
                    ) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            committed
        }));
    }
    for _ in 0..2 {
        let bank = bank.clone();
        tasks.push(tokio::spawn(async move {
            while !bank.done.load(Ordering::SeqCst) {
                let snapshot = bank.tick();
                bank.engine.begin_read(&SHARDS, snapshot, None).await.unwrap();
                for _ in 0..2 {
                    let balances = bank.balances(&ReadView::new(snapshot)).unwrap();
                    assert_eq!(balances.len(), 2 * ACCOUNTS as usize, "at {snapshot}");
                    assert_eq!(balances.iter().sum::<i64>(), 2 * ACCOUNTS * EACH, "at {snapshot}");
                    tokio::task::yield_now().await;
                }
            }
            0
        }));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    bank.done.store(true, Ordering::SeqCst);
    let mut committed = 0;
    for task in tasks {
        committed += task.await.unwrap();
    }
    assert!(committed > 100, "{committed}");
    assert!(upkeep.join().unwrap() > 2);
    assert_eq!(bank.engine.stats().locks, 0);
    let last = bank.tick();
    bank.engine.close();
    drop(bank);
    let engine = Engine::open(dir.path(), Arc::new(RealDisk), options).unwrap();
    let bank = Bank { engine, clock: AtomicU64::new(last.0), done: AtomicBool::new(true) };
    let balances = bank.balances(&ReadView::new(last)).unwrap();
    assert_eq!(balances.iter().sum::<i64>(), 2 * ACCOUNTS * EACH);
}
