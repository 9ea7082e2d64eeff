//! A copy whose target loses power: what was acknowledged is there, and another copy takes the place
//! of what was not.

use std::collections::BTreeSet;
use std::path::Path;

use satsuma_common::{GroupId, ShardId, Timestamp};

use super::super::damage_tests::{Rows, context, scan};
use super::super::loss_tests::{create, open_small};
use super::super::tests::{batch, key, txn};
use super::super::*;
use crate::disk::Disk;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::seeds::for_each_seed_on_all_cores;

const SHARD: ShardId = ShardId(1);
const GROUP: GroupId = GroupId(1);

async fn put(engine: &Arc<Engine>, start: u64, rows: &[(i64, String)]) {
    let rows: Vec<_> = rows.iter().map(|(id, name)| (*id, name.as_str())).collect();
    let context = context(start);
    engine.insert(&context, SHARD, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
    engine.commit(context.txn, Timestamp(0)).await.unwrap();
}

/// A copy's chunks, with the rows that are there when each has been written.
async fn chunks(chance: &mut Chance) -> Vec<(Vec<u8>, Rows)> {
    let engine = open_small(&FaultyDisk::default()).unwrap();
    create(&engine, &[SHARD]).await;
    for segment in 0..3 {
        let mut name = || format!("v{:x}", chance.number());
        let rows: Vec<_> = (0..200).map(|id| (segment * 1000 + id, name())).collect();
        put(&engine, 100 + segment as u64, &rows).await;
        engine.seal(&[engine.shard(SHARD).unwrap()]).unwrap();
    }
    let gone: Vec<_> = (1000..1050).map(key).collect();
    engine.delete(&context(200), SHARD, &gone).await.unwrap();
    engine.commit(txn(200), Timestamp(0)).await.unwrap();
    let mut reader = CopyReader::open(&engine, GROUP).unwrap();
    let mut chunks = Vec::new();
    for round in 0..4 {
        while let Some(chunk) = reader.next_chunk().unwrap() {
            chunks.push((chunk, scan(&engine, SHARD).unwrap()));
        }
        put(&engine, 300 + round, &[(5000 + round as i64, "later".into())]).await;
        while engine.wal.applied() < engine.lsn() {
            tokio::task::yield_now().await;
        }
    }
    chunks
}

async fn receive(engine: &Arc<Engine>, chunks: &[(Vec<u8>, Rows)]) -> Result<(), usize> {
    let mut writer = CopyWriter::new(engine, GROUP);
    for (number, (chunk, _)) in chunks.iter().enumerate() {
        writer.write(chunk).await.map_err(|_| number)?;
    }
    Ok(())
}

async fn lose_power(seed: u64) {
    let mut chance = Chance::new(seed);
    let chunks = chunks(&mut chance).await;
    let whole = &chunks.last().unwrap().1;
    let disk = FaultyDisk::default();
    let engine = open_small(&disk).unwrap();
    let power_off_after = Some(disk.operations() + chance.below(120));
    disk.set_faults(Faults { power_off_after, ..Faults::default() });
    let acknowledged = receive(&engine, &chunks).await.err().unwrap_or(chunks.len());
    let seed = chance.number();
    let disk = disk.crash(seed);
    drop(engine);

    let engine = open_small(&disk).unwrap();
    let ids = |rows: &Rows| -> BTreeSet<i64> { rows.iter().map(|(id, _)| *id).collect() };
    match (scan(&engine, SHARD), acknowledged) {
        (Ok(found), 0) => assert!(found.is_empty() || found.len() >= 550, "{}", found.len()),
        (Err(StorageError::NoSuchShard(_)), 0) => {}
        (Ok(found), chunk) => {
            assert!(ids(&found).is_superset(&ids(&chunks[chunk - 1].1)));
            assert!(found.iter().all(|row| whole.contains(row)));
        }
        (Err(error), _) => panic!("{error}"),
    }
    engine.drop_shards(&[SHARD]).await.unwrap();
    receive(&engine, &chunks).await.unwrap();
    assert_eq!(scan(&engine, SHARD).unwrap(), *whole);
    let disk = disk.crash(seed);
    drop(engine);
    let engine = open_small(&disk).unwrap();
    assert_eq!(scan(&engine, SHARD).unwrap(), *whole);
}

#[test]
fn a_copy_that_was_acknowledged_survives_power_cuts() {
    for_each_seed_on_all_cores(0..120, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(lose_power(seed));
    });
}

#[tokio::test]
async fn a_copy_that_cannot_be_stored_leaves_no_files() {
    let chunks = chunks(&mut Chance::new(1)).await;
    let mut failures = 0;
    for number in 1..40 {
        let disk = FaultyDisk::default();
        let engine = open_small(&disk).unwrap();
        disk.set_faults(Faults { fail_sync: Some(number), ..Faults::default() });
        let failed = receive(&engine, &chunks).await.is_err();
        let unnamed = engine.store.kv.scan(b"m").unwrap().is_empty();
        if failed && unnamed {
            failures += 1;
            let left = disk.list(Path::new("/data/seg")).unwrap();
            assert!(left.is_empty(), "sync {number}: {left:?}");
        }
    }
    assert!(failures > 3, "{failures}");
}
