use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use proptest::prelude::*;
use satsuma_common::Lsn;

use super::*;
use crate::disk::Disk;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::error::{Result, StorageError};

const DIR: &str = "/wal";

fn options() -> WalOptions {
    WalOptions { file_bytes: 2000, zero_ahead: 512, batch_bytes: 600 }
}

fn read(disk: &FaultyDisk) -> Result<(Replayed, Vec<Vec<u8>>)> {
    let mut records = Vec::new();
    let replayed = replay(disk, Path::new(DIR), 1, |lsn, payload| {
        assert_eq!(lsn, records.len() as u64 + 1);
        records.push(payload.to_vec());
        Ok(())
    })?;
    Ok((replayed, records))
}

fn open(disk: &FaultyDisk) -> Result<(Wal, Vec<Vec<u8>>)> {
    let (replayed, records) = read(disk)?;
    Ok((Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options())?, records))
}

/// Appends and waits for the answer.
fn append(wal: &Wal, payload: &[u8]) -> Result<Lsn> {
    let (done, answer) = mpsc::channel();
    wal.append(
        vec![payload.to_vec()],
        Box::new(move |written| {
            let _ = done.send(written.map(|written| written.last));
        }),
    );
    answer.recv().unwrap()
}

fn payload(n: usize, chance: &mut Chance) -> Vec<u8> {
    let mut bytes = (n as u64).to_le_bytes().to_vec();
    bytes.extend((0..chance.below(300)).map(|_| chance.number() as u8));
    bytes
}

#[test]
fn a_thousand_power_cuts_lose_nothing_that_was_acknowledged() {
    for seed in 0..1000 {
        let mut chance = Chance::new(seed);
        let mut disk = FaultyDisk::default();
        let mut written: Vec<Vec<u8>> = Vec::new();
        let mut acknowledged = 0;
        for _ in 0..3 {
            let (wal, found) = open(&disk).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert!(found.len() >= acknowledged, "seed {seed}: lost {acknowledged:?}");
            assert!(written.starts_with(&found), "seed {seed}: something else came back");
            written = found;
            let power_off_after = Some(disk.operations() + chance.below(60));
            disk.set_faults(Faults { power_off_after, ..Faults::default() });
            acknowledged = written.len();
            for _ in 0..25 {
                // Several at once make a batch.
                let batch: Vec<_> = (0..=chance.below(3))
                    .map(|n| payload(written.len() + n as usize, &mut chance))
                    .collect();
                let answers: Vec<_> = batch
                    .iter()
                    .map(|bytes| {
                        let (done, answer) = mpsc::channel();
                        wal.append(
                            vec![bytes.clone()],
                            Box::new(move |written| done.send(written.is_ok()).unwrap()),
                        );
                        answer
                    })
                    .collect();
                written.extend(batch);
                for answer in answers {
                    acknowledged += usize::from(answer.recv().unwrap());
                }
            }
            drop(wal);
            disk = disk.crash(chance.number());
        }
    }
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, b"one").unwrap();
    disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
    assert!(matches!(append(&wal, b"two"), Err(StorageError::Poisoned(_))));
    assert!(matches!(append(&wal, b"three"), Err(StorageError::Poisoned(_))));
    assert!(wal.check().is_err());
    drop(wal);
    let (_, records) = open(&disk.crash(1)).unwrap();
    assert_eq!(records, [b"one"]);
}

#[test]
fn a_record_that_could_not_be_read_again_is_refused() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    let error = append(&wal, &vec![1; frame::MAX_PAYLOAD + 1]).unwrap_err();
    assert!(matches!(error, StorageError::RecordTooLong(_)), "{error}");
    assert_eq!(append(&wal, b"next").unwrap(), Lsn(1));
    drop(wal);
    assert_eq!(open(&disk).unwrap().1, [b"next"]);
}

#[test]
fn a_full_disk_fails_the_record_and_not_the_log() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, &[1; 100]).unwrap();
    disk.set_faults(Faults { capacity: Some(700), ..Faults::default() });
    let error = append(&wal, &[2; 1000]).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(append(&wal, &[3; 100]).unwrap(), Lsn(2));
    disk.set_faults(Faults::default());
    assert_eq!(append(&wal, &[4; 1000]).unwrap(), Lsn(3));
    drop(wal);
    let (_, records) = open(&disk).unwrap();
    assert_eq!(records, [vec![1; 100], vec![3; 100], vec![4; 1000]]);
}

/// A log of three files.
fn filled() -> (FaultyDisk, Vec<PathBuf>) {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    for n in 0..50u8 {
        append(&wal, &[n; 100]).unwrap();
    }
    drop(wal);
    let paths = disk.paths();
    assert!(paths.len() >= 3, "{paths:?}");
    (disk, paths)
}

#[test]
fn damage_in_the_middle_is_an_error_that_names_file_and_offset() {
    let (disk, paths) = filled();
    let len = disk.read(&paths[0]).unwrap().len() as u64;
    for bit in (0..len * 8).step_by(37) {
        let copy = disk.crash(0);
        copy.flip(&paths[0], bit);
        match read(&copy) {
            Err(StorageError::Corrupt { path, .. }) => assert_eq!(path, paths[0], "bit {bit}"),
            Err(other) => panic!("bit {bit}: {other}"),
            // Bytes that mean nothing: padding, and the zeros past the last record.
            Ok((_, records)) => assert_eq!(records.len(), 50, "bit {bit}"),
        }
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let (disk, paths) = filled();
    disk.remove(&paths[1]).unwrap();
    assert!(matches!(read(&disk), Err(StorageError::Corrupt { .. })));
}

#[test]
fn old_files_go_when_nothing_needs_them() {
    let (disk, paths) = filled();
    let (wal, _) = open(&disk).unwrap();
    wal.truncate(Lsn(1)).unwrap();
    assert_eq!(disk.paths(), paths);
    wal.truncate(Lsn(u64::MAX)).unwrap();
    assert_eq!(disk.paths(), paths[paths.len() - 1..]);
    append(&wal, b"more").unwrap();
    drop(wal);
    let mut last = 0;
    replay(&disk, Path::new(DIR), 1, |lsn, _| {
        last = lsn;
        Ok(())
    })
    .unwrap();
    assert_eq!(last, 51);
}

proptest! {
    #[test]
    fn wrong_bytes_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = record::Record::decode(&bytes);
        let _ = frame::take(&bytes);
        let _ = frame::read_file_header(&bytes);
    }
}
