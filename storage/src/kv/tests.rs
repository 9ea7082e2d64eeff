use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Batch, Kv, frame};
use crate::disk::Disk;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::error::{Result, StorageError};
use crate::seeds::for_each_seed_on_all_cores;

type Map = BTreeMap<Vec<u8>, Bytes>;

const DIR: &str = "/kv";

fn open(disk: &FaultyDisk) -> Result<Kv> {
    Kv::open(Arc::new(disk.clone()), Path::new(DIR))
}

fn set(key: &str, value: u8) -> (Vec<u8>, Option<Bytes>) {
    (key.as_bytes().to_vec(), Some(vec![value].into()))
}

fn entries(kv: &Kv) -> Map {
    kv.scan(b"").unwrap().into_iter().collect()
}

/// As an engine writes: manifests again and again, segments once, and later they go.
fn any_batch(chance: &mut Chance) -> Batch {
    let entry = |chance: &mut Chance| {
        let key = vec![b"mshtg"[chance.below(5) as usize], chance.below(12) as u8];
        let most = if chance.below(10) == 0 { 5000 } else { 120 };
        let value: Vec<u8> = (0..chance.below(most)).map(|_| chance.number() as u8).collect();
        (key, (chance.below(5) > 0).then(|| value.into()))
    };
    (0..1 + chance.below(8)).map(|_| entry(chance)).collect()
}

fn put(map: &mut Map, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

#[test]
fn entries_survive_and_batches_remove() {
    let disk = FaultyDisk::default();
    let kv = open(&disk).unwrap();
    kv.write(vec![set("a1", 7), set("a2", 7), set("b", 7)]).unwrap();
    kv.write(vec![(b"a1".to_vec(), None), set("b", 1), set("b", 2)]).unwrap();
    kv.flush().unwrap();
    for kv in [kv, open(&disk).unwrap()] {
        assert_eq!(kv.scan(b"a").unwrap(), [(b"a2".to_vec(), Bytes::from_static(&[7]))]);
        assert_eq!(kv.get(b"a1").unwrap(), None);
        assert_eq!(kv.get(b"b").unwrap().unwrap()[..], [2]);
    }
}

/// What was flushed is there, and of what was not some first batches, wherever the power is cut:
/// also while files go, while it is opened, and while the disk is full now and then.
#[test]
fn what_was_flushed_survives_power_cuts() {
    for_each_seed_on_all_cores(0..1500, |seed| {
        let mut chance = Chance::new(seed);
        let mut disk = FaultyDisk::default();
        let mut possible = vec![Map::new()];
        for _ in 0..4 {
            let most = [40, 400][chance.below(2) as usize];
            let off = disk.operations() + chance.below(most);
            let faults = Faults { power_off_after: Some(off), ..Faults::default() };
            disk.set_faults(faults.clone());
            let mut is_whole = false;
            while let Ok(kv) = open(&disk) {
                let found = entries(&kv);
                // What a process wrote is there after its end without a cut.
                let from = if is_whole { possible.len() - 1 } else { 0 };
                assert!(possible[from..].contains(&found), "{seed}");
                possible = vec![found];
                for _ in 0..chance.below(most) {
                    let room = (chance.below(4) == 0).then(|| disk.used() + chance.below(3000));
                    disk.set_faults(Faults { capacity: room, ..faults.clone() });
                    let batch = any_batch(&mut chance);
                    let mut next = possible.last().cloned().unwrap_or_default();
                    put(&mut next, &batch);
                    match kv.write(batch) {
                        Ok(()) => possible.push(next),
                        Err(_) if disk.operations() >= off => {
                            // One that fails with the power may be there.
                            possible.push(next);
                            break;
                        }
                        Err(_) => {}
                    }
                    if chance.below(3) == 0 {
                        if kv.flush().is_err() {
                            break;
                        }
                        possible.drain(..possible.len() - 1);
                    }
                }
                is_whole = disk.operations() < off;
                if !is_whole {
                    break;
                }
            }
            disk = disk.crash(chance.number());
        }
        assert!(possible.contains(&entries(&open(&disk).unwrap())));
    });
}

#[test]
fn a_flipped_bit_is_told_or_makes_no_difference() {
    let told = std::sync::atomic::AtomicUsize::new(0);
    for_each_seed_on_all_cores(0..1000, |seed| {
        let mut chance = Chance::new(seed);
        let (disk, mut map) = (FaultyDisk::default(), Map::new());
        for _ in 0..1 + chance.below(3) {
            let kv = open(&disk).unwrap();
            for _ in 0..chance.below(60) {
                let batch = any_batch(&mut chance);
                put(&mut map, &batch);
                kv.write(batch).unwrap();
                if chance.below(4) == 0 {
                    kv.flush().unwrap();
                }
            }
            kv.flush().unwrap();
        }
        let paths = disk.paths();
        let path = &paths[chance.below(paths.len() as u64) as usize];
        let bits = disk.read(path).unwrap().len() as u64 * 8;
        disk.flip(path, chance.below(bits));
        match open(&disk) {
            Ok(kv) => assert_eq!(entries(&kv), map),
            Err(StorageError::Corrupt { .. }) => {
                told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Err(error) => panic!("{error}"),
        }
    });
    assert!(told.into_inner() > 500);
}

#[test]
fn a_file_that_is_missing_is_told() {
    let disk = FaultyDisk::default();
    let kv = open(&disk).unwrap();
    for number in 0..200 {
        let value = Some(vec![number; 300].into());
        kv.write(vec![(vec![number], value)]).unwrap();
    }
    kv.flush().unwrap();
    let paths = disk.paths();
    assert!(paths.len() > 5, "{paths:?}");
    for path in &paths {
        for is_removed in [true, false] {
            let disk = disk.crash(0);
            if is_removed {
                disk.remove(path).unwrap();
            } else {
                let zeros = vec![0; disk.read(path).unwrap().len()];
                disk.open(path).unwrap().write_at(&zeros, 0).unwrap();
            }
            let found = open(&disk);
            assert!(matches!(found, Err(StorageError::Corrupt { .. })), "{}", path.display());
            let left = disk.paths().len() + usize::from(is_removed);
            assert_eq!(left, paths.len(), "nothing is removed that may be looked into");
        }
    }
}

#[test]
fn files_have_at_most_twice_what_lives_and_a_little() {
    let (disk, mut chance) = (FaultyDisk::default(), Chance::new(1));
    let mut kv = open(&disk).unwrap();
    for round in 0..2000 {
        kv.write(any_batch(&mut chance)).unwrap();
        kv.flush().unwrap();
        if round % 300 == 0 {
            kv = open(&disk).unwrap();
        }
        let live: u64 = entries(&kv).iter().map(|(k, v)| (k.len() + v.len() + 8) as u64).sum();
        assert!(disk.used() < 2 * live + 60_000, "{} {live}", disk.used());
    }
    let all = kv.scan(b"").unwrap();
    kv.write(all.into_iter().map(|(key, _)| (key, None)).collect()).unwrap();
    for _ in 0..20 {
        kv.write(vec![set("x", 1)]).unwrap();
        kv.flush().unwrap();
    }
    assert!(disk.used() < 40_000, "{}", disk.used());
}

#[test]
fn nothing_is_stored_after_a_failed_sync() {
    let disk = FaultyDisk::default();
    let kv = open(&disk).unwrap();
    kv.write(vec![set("a", 1)]).unwrap();
    disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
    assert!(kv.flush().is_err());
    assert!(kv.flush().is_err() && kv.check().is_err());
    assert!(kv.write(vec![set("a", 2)]).is_err());
    // The next process reads what was not stored, and builds on it.
    assert_eq!(entries(&open(&disk).unwrap()), entries(&kv));
    assert_eq!(entries(&open(&disk.crash(0)).unwrap()), entries(&kv));
}

#[test]
fn a_full_disk_costs_nothing_that_was_written() {
    let disk = FaultyDisk::default();
    let kv = open(&disk).unwrap();
    kv.write(vec![set("a", 1)]).unwrap();
    for room in [0, 10, 40] {
        disk.set_faults(Faults { capacity: Some(disk.used() + room), ..Faults::default() });
        let large = Some(vec![3; 2000].into());
        assert!(kv.write(vec![(b"b".to_vec(), large)]).is_err());
        kv.flush().unwrap();
        assert_eq!(kv.get(b"b").unwrap(), None);
        assert_eq!(entries(&open(&disk.crash(room)).unwrap()), entries(&kv));
        disk.set_faults(Faults::default());
        kv.write(vec![set("a", room as u8)]).unwrap();
        kv.flush().unwrap();
        assert_eq!(entries(&open(&disk.crash(room)).unwrap()), entries(&kv));
    }
}

proptest! {
    #[test]
    fn frames_are_read_as_they_were_written(
        batch in proptest::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..5),
        number: u64,
        sum: u64,
        tail: Vec<u8>,
    ) {
        let entries = batch.iter().map(|(key, value)| (&key[..], value.as_deref()));
        let mut bytes = frame::encode(number, sum, entries).unwrap();
        let len = bytes.len();
        bytes.extend(tail);
        let entries = batch.into_iter().map(|(key, value)| (key, value.map(Bytes::from))).collect();
        prop_assert_eq!(frame::decode(&bytes), Some(frame::Frame { number, sum, entries, len }));
        prop_assert_eq!(frame::decode(&bytes[..len - 1]), None);
    }
}
