//! Durable commits, beside what the disk does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use divan::{Bencher, counter::ItemsCount};
use satsuma_common::table::TableShape;
use satsuma_common::{PgType, ShardId};
use satsuma_storage::{ConflictPolicy, Engine, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{points, store};

const WRITERS: [usize; 4] = [1, 8, 32, 128];
/// Of each writer in one run.
const COMMITS: usize = 20;

struct Table {
    engine: Arc<Engine>,
    runtime: Runtime,
    shape: TableShape,
    shard: ShardId,
    next: Arc<AtomicI64>,
    _dir: TempDir,
}

impl Table {
    fn new() -> Self {
        let dir = store::directory();
        let runtime = store::runtime(2);
        let engine = store::open(dir.path(), Options::default());
        let shape = store::shape(1, PgType::Text);
        let shard = runtime.block_on(store::create(&engine, &shape));
        Self { engine, runtime, shape, shard, next: Arc::default(), _dir: dir }
    }

    /// Each writer inserts a row and commits, again and again.
    fn run(&self, writers: usize) {
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..writers)
                .map(|_| {
                    let (engine, shape) = (self.engine.clone(), self.shape.clone());
                    let (shard, next) = (self.shard, self.next.clone());
                    tokio::spawn(async move {
                        for _ in 0..COMMITS {
                            let id = next.fetch_add(1, Ordering::Relaxed);
                            let (context, row) =
                                (store::begin(), points::batch(&shape, id..id + 1));
                            let policy = ConflictPolicy::Fail;
                            engine.insert(&context, shard, &row, policy).await.expect("a row");
                            store::commit(&engine, &context).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a writer");
            }
        });
    }
}

#[divan::bench(args = WRITERS, sample_count = 20, sample_size = 1)]
fn durable_commits(bencher: Bencher, writers: usize) {
    let table = Table::new();
    bencher.counter(ItemsCount::new(writers * COMMITS)).bench(|| table.run(writers));
}

/// 4 KiB written and synced in a file that has them already, as the log does it.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn fdatasync_of_the_disk(bencher: Bencher) {
    const FILE: u64 = 1 << 20;
    let dir = store::directory();
    let file = File::create(dir.path().join("file")).expect("a file");
    file.write_all_at(&vec![0; FILE as usize], 0).expect("room on the disk");
    file.sync_all().expect("a disk that syncs");
    let mut at = 0;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        file.write_all_at(&[7; 4096], at % FILE).expect("room on the disk");
        file.sync_data().expect("a disk that syncs");
        at += 4096;
    });
}

/// What commits cost in CPU: of this process, its writers and its log.
pub fn print_cpu() {
    let Some(_) = cpu() else { return };
    println!("durable commits        commits/s    CPU us each    commits a sync");
    for writers in WRITERS {
        let table = Table::new();
        let (start, before, synced) = (Instant::now(), cpu(), table.engine.stats().wal.syncs);
        let mut commits = 0;
        while start.elapsed() < Duration::from_secs(2) {
            table.run(writers);
            commits += writers * COMMITS;
        }
        let (elapsed, after) = (start.elapsed(), cpu());
        let used = after.zip(before).map_or(Duration::ZERO, |(after, before)| after - before);
        let syncs = table.engine.stats().wal.syncs - synced;
        println!(
            "{writers:>4} writers {:>21.0} {:>14.1} {:>17.1}",
            commits as f64 / elapsed.as_secs_f64(),
            used.as_secs_f64() * 1e6 / commits as f64,
            commits as f64 / syncs.max(1) as f64,
        );
    }
    println!();
}

/// CPU time of this process so far, in the kernel's ticks of 10 ms.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
