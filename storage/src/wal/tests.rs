use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use satsuma_common::{GroupId, Lsn, ShardId};

use super::*;
use crate::disk::Disk;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::error::{Result, StorageError};

const DIR: &str = "/wal";

fn options() -> WalOptions {
    WalOptions { file_bytes: 2000, zero_ahead: 512, batch_bytes: 600 }
}

const KEY: LogKey = LogKey(0xfeed);

fn read(disk: &FaultyDisk) -> Result<(Replayed, Vec<Vec<u8>>)> {
    let (replayed, records, lost) = read_damaged(disk)?;
    assert!(lost.is_empty(), "{lost:?}");
    assert!((1..).zip(&records).all(|(expected, (lsn, _))| expected == *lsn));
    Ok((replayed, records.into_iter().map(|(_, payload)| payload).collect()))
}

type Records = Vec<(u64, Vec<u8>)>;

fn read_damaged(disk: &FaultyDisk) -> Result<(Replayed, Records, Vec<Lost>)> {
    let (mut records, mut losses) = (Vec::new(), Vec::new());
    let replayed = replay(disk, Path::new(DIR), KEY, from(1), |found| {
        match found {
            Found::Record { lsn, payload } => records.push((lsn, payload.to_vec())),
            Found::Lost(lost) => losses.push(lost),
        }
        Ok(())
    })?;
    Ok((replayed, records, losses))
}

fn from(first: u64) -> Known {
    Known { from: first, durable_before: first }
}

fn open(disk: &FaultyDisk) -> Result<(Wal, Vec<Vec<u8>>)> {
    let (replayed, records) = read(disk)?;
    Ok((Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options())?, records))
}

fn entry(scope: Scope, payload: &[u8]) -> Entry {
    Entry { scope, payload: payload.to_vec() }
}

/// The shard with the record's number.
fn scope(lsn: u64) -> Scope {
    let (group, shard) = (GroupId(lsn), ShardId(lsn));
    Scope::Shards(vec![Concern { group, shard, effect: Effect::Rows }])
}

/// Appends and waits for the answer.
fn append(wal: &Wal, payload: &[u8]) -> Result<Lsn> {
    append_about(wal, Scope::none(), payload)
}

fn append_about(wal: &Wal, scope: Scope, payload: &[u8]) -> Result<Lsn> {
    let (done, answer) = mpsc::channel();
    wal.append(
        vec![entry(scope, payload)],
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
                        let entries = vec![entry(Scope::Any, bytes)];
                        let done: Durable =
                            Box::new(move |written| done.send(written.is_ok()).unwrap());
                        match chance.below(3) {
                            0 => wal.append_here(entries, done),
                            _ => wal.append(entries, done),
                        }
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
fn who_is_alone_writes_by_himself_and_nobody_waits_for_another() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    let here = |payload: &[u8]| {
        let (done, answer) = mpsc::channel();
        let done: Durable = Box::new(move |written| {
            let _ = done.send((written.map(|one| one.last), std::thread::current().id()));
        });
        wal.append_here(vec![entry(Scope::none(), payload)], done);
        answer
    };
    let me = std::thread::current().id();
    // How quick the disk is, is not known before.
    let (first, by) = here(b"one").recv().unwrap();
    assert!(first.unwrap() == Lsn(1) && by != me);
    // It may have been slow once, and the other thread takes a moment to let go.
    let by_me = (2..200).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        here(b"next").recv().unwrap().1 == me
    });
    assert!(by_me);

    disk.hold_syncs(Some(Path::new(DIR)));
    let (done, busy) = mpsc::channel();
    wal.append(vec![entry(Scope::none(), b"long")], Box::new(move |_| done.send(()).unwrap()));
    while !disk.holds_a_sync() {
        std::thread::yield_now();
    }
    let last = here(b"last");
    assert!(last.try_recv().is_err());
    disk.hold_syncs(None);
    busy.recv().unwrap();
    let (written, by) = last.recv().unwrap();
    assert!(by != me);
    drop(wal);
    let (_, records) = open(&disk.crash(1)).unwrap();
    assert_eq!(records.len() as u64, written.unwrap().0);
    assert_eq!(records.last().unwrap(), b"last");
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

/// As of a process that is started again, with what it wrote before still in memory.
#[test]
fn what_a_failed_sync_did_not_store_is_stored_by_the_next_start() {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, b"one").unwrap();
    disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
    append(&wal, b"two").unwrap_err();
    drop(wal);
    let (wal, found) = open(&disk).unwrap();
    assert_eq!(found, [b"one", b"two"]);
    append(&wal, b"three").unwrap();
    drop(wal);
    for seed in 0..16 {
        let (_, found) = open(&disk.crash(seed)).unwrap();
        assert_eq!(found, [&b"one"[..], b"two", b"three"]);
    }
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

/// A log of some files, whose records are about the shards with their numbers.
fn filled() -> (FaultyDisk, Vec<PathBuf>) {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    for lsn in 1..=50 {
        append_about(&wal, scope(lsn), &[lsn as u8; 100]).unwrap();
    }
    drop(wal);
    let paths = disk.paths();
    assert!(paths.len() >= 3, "{paths:?}");
    (disk, paths)
}

/// That what is missing is told, with the shards that it was about and no others, again at the
/// next start, and that the log goes on.
fn check_losses(disk: &FaultyDisk, path: &Path, what: &str) -> usize {
    let (_, records, losses) = read_damaged(disk).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(records.iter().all(|(lsn, bytes)| *bytes == [*lsn as u8; 100]), "{what}");
    let found: Vec<u64> = records.iter().map(|(lsn, _)| *lsn).collect();
    let missing: Vec<u64> = (1..=50).filter(|lsn| !found.contains(lsn)).collect();
    let lost: Vec<u64> = losses.iter().flat_map(|lost| lost.first..=lost.last).collect();
    assert_eq!(lost, missing, "{what}");
    for lost in &losses {
        let StorageError::Corrupt { path: at, offset, .. } = &lost.error else {
            panic!("{what}: {}", lost.error)
        };
        assert!(at == path && *offset >= frame::FILE_HEADER as u64, "{what}: {}", lost.error);
        let scopes: Vec<_> = (lost.first..=lost.last).map(scope).collect();
        assert_eq!(lost.scope, scope::union(scopes.iter()), "{what}");
    }
    let (replayed, again, _) = read_damaged(disk).unwrap();
    assert_eq!(again, records, "{what}");
    let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options()).unwrap();
    assert_eq!(append_about(&wal, scope(51), &[51; 100]).unwrap(), Lsn(51), "{what}");
    drop(wal);
    assert_eq!(read_damaged(disk).unwrap().1.len(), records.len() + 1, "{what}");
    missing.len()
}

#[test]
fn a_flipped_bit_in_the_middle_costs_one_record_and_tells_whose_it_was() {
    let (disk, paths) = filled();
    let len = disk.read(&paths[0]).unwrap().len() as u64;
    let mut most = 0;
    for bit in (0..len * 8).step_by(37) {
        let copy = disk.crash(0);
        copy.flip(&paths[0], bit);
        most = most.max(check_losses(&copy, &paths[0], &format!("bit {bit}")));
    }
    assert_eq!(most, 1);
}

#[test]
fn a_bad_page_in_the_middle_costs_the_records_in_it_and_tells_whose_they_were() {
    let (disk, paths) = filled();
    let len = disk.read(&paths[1]).unwrap().len() as u64;
    let mut most = 0;
    for (page, filler) in (0..len.div_ceil(512)).flat_map(|page| [(page, 0), (page, 0xa5)]) {
        let copy = disk.crash(0);
        let file = copy.open(&paths[1]).unwrap();
        let from = page * 512;
        file.write_at(&vec![filler; 512.min(len - from) as usize], from).unwrap();
        file.sync().unwrap();
        most = most.max(check_losses(&copy, &paths[1], &format!("page {page} {filler:#x}")));
    }
    assert!(most > 1, "{most}");
}

#[test]
fn a_missing_file_is_a_loss() {
    for missing in [0..1, 1..2, 0..5] {
        let (disk, paths) = filled();
        paths[missing].iter().for_each(|path| disk.remove(path).unwrap());
        let (_, records, losses) = read_damaged(&disk).unwrap();
        let lost: u64 = losses.iter().map(|lost| lost.last - lost.first + 1).sum();
        assert_eq!((records.len() as u64 + lost, losses.is_empty()), (50, false));
        // A tally reaches over these small files.
        assert!(losses.iter().all(|lost| lost.scope != Scope::Any), "{losses:?}");
    }
}

#[test]
fn a_log_that_is_gone_is_a_loss() {
    let (disk, paths) = filled();
    paths.iter().for_each(|path| disk.remove(path).unwrap());
    let mut lost = 0;
    let replayed = replay(&disk, Path::new(DIR), KEY, from(51), |found| {
        lost += u64::from(matches!(found, Found::Lost(Lost { scope: Scope::Any, .. })));
        Ok(())
    });
    assert_eq!((replayed.unwrap().next_lsn, lost), (52, 1));
}

#[test]
fn what_the_store_knows_to_be_durable_is_not_given_again() {
    let (disk, paths) = filled();
    let whole = read(&disk).unwrap().0;
    let (last, end) = whole.tail.unwrap();
    assert_eq!(Some(&last), paths.last());
    disk.flip(&last, (end - 9) * 8);
    let replayed = |from, durable_before| {
        let mut losses = Vec::new();
        let known = Known { from, durable_before };
        let replayed = replay(&disk, Path::new(DIR), KEY, known, |found| {
            if let Found::Lost(lost) = found {
                losses.push((lost.first, lost.last));
            }
            Ok(())
        });
        (replayed.unwrap(), losses)
    };
    // Nothing needs the record, but its number was given.
    let (first, losses) = replayed(51, 51);
    assert_eq!((first.next_lsn, losses.len()), (51, 0));
    let (again, losses) = replayed(51, 51);
    assert_eq!((again.next_lsn, losses.len()), (51, 0));
    // Nor is it a torn tail where somebody does.
    assert_eq!(replayed(30, 51).1, [(50, 50)]);
}

#[test]
fn damage_before_what_is_needed_is_no_loss() {
    let (disk, paths) = filled();
    disk.flip(&paths[0], (frame::FILE_HEADER as u64 + 2) * 8);
    disk.flip(&paths[0], 600 * 8);
    assert_eq!(read_damaged(&disk).unwrap().2.len(), 2);
    let mut records = 0;
    replay(&disk, Path::new(DIR), KEY, from(20), |found| {
        assert!(matches!(found, Found::Record { lsn: 20.., .. }), "{found:?}");
        records += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(records, 31);
}

/// The log's heads, with their places.
fn heads(disk: &FaultyDisk) -> Vec<(PathBuf, usize, frame::Head)> {
    let mut heads = Vec::new();
    for path in disk.paths() {
        let bytes = disk.read(&path).unwrap();
        let mut at = frame::FILE_HEADER;
        while let Some((place, head)) = frame::find_head(KEY, &bytes, at, 0) {
            heads.push((path.clone(), place, head));
            at = place + head.size();
        }
    }
    heads
}

fn overwrite(disk: &FaultyDisk, path: &Path, at: usize, bytes: &[u8]) {
    let file = disk.open(path).unwrap();
    file.write_at(bytes, at as u64).unwrap();
    file.sync().unwrap();
}

/// A log whose last record was being written: its head and notes are on the disk. The head of the
/// one before it is damaged.
fn torn_behind_damage(last: u64) -> FaultyDisk {
    let (disk, _) = filled();
    let heads = heads(&disk);
    for (path, at, head) in heads.iter().filter(|(_, _, head)| head.lsn >= last) {
        match head.lsn == last {
            true => {
                disk.open(path).unwrap().set_len((at + head.told() + 40) as u64).unwrap();
                disk.open(path).unwrap().sync().unwrap();
            }
            false if *at == frame::FILE_HEADER => disk.remove(path).unwrap(),
            false => {}
        }
    }
    disk.sync_dir(Path::new(DIR)).unwrap();
    let lost = heads.iter().find(|(_, _, head)| head.lsn == last - 1).unwrap();
    overwrite(&disk, &lost.0, lost.1, &[0x5a; frame::FRAME_HEAD]);
    disk
}

/// What a copy reads of a log: the records that are there.
fn follow(wal: &Wal) -> Vec<u64> {
    let mut found = Vec::new();
    let mut from = 1;
    let nothing = record::Record::nothing().unwrap();
    while from <= wal.durable().0 {
        let mut reader = LogReader::new(Lsn(from));
        while let Ok(Some((lsn, Logged::Record(bytes)))) = reader.next(wal, wal.durable()) {
            assert!(bytes == [lsn.0 as u8; 100] || bytes == nothing);
            found.push(lsn.0);
        }
        from = reader.position().0 + 1;
    }
    found
}

/// That a start finds the record lost and tells whose it was, and those up to it whole; answers
/// with how the log goes on.
fn check_lost(disk: &FaultyDisk, lost: u64, what: &str) -> Replayed {
    let (replayed, mut records, losses) = read_damaged(disk).unwrap();
    let told: Vec<_> = losses.iter().map(|l| (l.first, l.last, &l.scope)).collect();
    assert_eq!(told, [(lost, lost, &scope(lost))], "{what}");
    records.retain(|(lsn, _)| *lsn < lost);
    assert_eq!(records.len() as u64, lost - 1, "{what}");
    replayed
}

fn open_replayed(disk: &FaultyDisk, replayed: Replayed) -> Wal {
    Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options()).unwrap()
}

#[test]
fn whose_a_lost_record_was_is_told_at_every_start_whatever_becomes_of_it() {
    let (mut begun, mut voided) = (0, 0);
    for last in 2..=50 {
        let torn = torn_behind_damage(last);
        // The power goes again at every point of the start.
        for left in 0.. {
            let disk = torn.crash(0);
            let power_off_after = Some(disk.operations() + left);
            disk.set_faults(Faults { power_off_after, ..Faults::default() });
            let is_whole = read_damaged(&disk).is_ok();
            let what = format!("record {last}, {left} operations");
            let mut disk = disk.crash(left);
            for round in 0..3 {
                check_lost(&disk, last - 1, &what);
                disk = disk.crash(round);
            }
            let replayed = check_lost(&disk, last - 1, &what);
            // The torn record's number is given again, or its place is taken.
            let next = replayed.next_lsn;
            begun += u64::from(replayed.files.last().unwrap().0 == last && next == last);
            voided += u64::from(next == last + 1);
            assert!(next == last || next == last + 1, "{what}");
            let wal = open_replayed(&disk, replayed);
            for lsn in next..next + 3 {
                append_about(&wal, scope(lsn), &[lsn as u8; 100]).unwrap();
            }
            let rest: Vec<_> = (1..last - 1).chain(last..next + 3).collect();
            assert_eq!(follow(&wal), rest, "{what}");
            drop(wal);
            // The next tally tells of it, too.
            let disk = disk.crash(0);
            let first = heads(&disk).into_iter().rfind(|(_, _, head)| head.lsn == next).unwrap();
            overwrite(&disk, &first.0, first.1, &[0x5a; frame::FRAME_HEAD]);
            let (_, records, losses) = read_damaged(&disk).unwrap();
            assert_eq!(records.len() as u64, next, "{what}");
            for lost in losses {
                let scopes: Vec<_> = (lost.first..=lost.last).map(scope).collect();
                assert_eq!(lost.scope, scope::union(scopes.iter()), "{what}");
            }
            if is_whole {
                break;
            }
        }
    }
    assert!(begun > 49 && voided > 5, "{begun} {voided}");
}

#[test]
fn whose_a_lost_record_was_is_told_when_the_power_goes_while_the_next_is_written() {
    for last in 2..=50 {
        let torn = torn_behind_damage(last);
        for left in 0.. {
            let disk = torn.crash(0);
            let replayed = check_lost(&disk, last - 1, "the start");
            let next = replayed.next_lsn;
            let wal = open_replayed(&disk, replayed);
            let power_off_after = Some(disk.operations() + left);
            disk.set_faults(Faults { power_off_after, ..Faults::default() });
            let is_written = append_about(&wal, scope(next), &[next as u8; 600]).is_ok();
            drop(wal);
            for seed in 0..8 {
                check_lost(&disk.crash(seed), last - 1, &format!("record {last}, {left} left"));
            }
            if is_written {
                break;
            }
        }
    }
}

#[test]
fn a_loss_that_the_next_tally_does_not_tell_of_is_told_at_once() {
    let disk = FaultyDisk::default();
    let (replayed, _) = read(&disk).unwrap();
    let options = WalOptions { file_bytes: 1 << 20, ..options() };
    let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options).unwrap();
    for lsn in 1..=400 {
        append_about(&wal, scope(lsn), &[lsn as u8; 100]).unwrap();
    }
    drop(wal);
    for (path, at, head) in heads(&disk) {
        if head.lsn % 200 < 150 {
            overwrite(&disk, &path, at, &[0x5a; frame::FRAME_HEAD]);
        }
    }
    let mut told = Vec::new();
    replay(&disk, Path::new(DIR), KEY, from(1), |found| {
        told.push(match found {
            Found::Record { lsn, .. } => (lsn, None),
            Found::Lost(lost) => (lost.last, Some(lost.scope == Scope::Any)),
        });
        Ok(())
    })
    .unwrap();
    let at = |lsn| told.iter().position(|one| *one == (lsn, None)).unwrap();
    for first in [150, 350] {
        let [(reached, Some(false)), (before, Some(true))] = told[at(first) - 2..at(first)] else {
            panic!("{told:?}");
        };
        assert!(reached == first - 1 && before < reached && before > reached - 130, "{told:?}");
    }
}

#[test]
fn what_was_torn_does_not_come_back_behind_the_next_record() {
    let disk = FaultyDisk::default();
    let open = || {
        let (replayed, records) = read(&disk).unwrap();
        let options = WalOptions { file_bytes: 1 << 20, zero_ahead: 8, ..options() };
        let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options);
        (wal.unwrap(), records)
    };
    // Nobody knows of any of them to be durable.
    let entries = [[1; 100], [2; 100], [3; 100]].map(|payload| entry(Scope::none(), &payload));
    let (wal, _) = open();
    wal.append(entries.into(), Box::new(|_| {}));
    wal.sync().unwrap();
    drop(wal);
    let (path, at, head) = heads(&disk).remove(0);
    disk.flip(&path, (at + head.told()) as u64 * 8);
    let (wal, records) = open();
    assert_eq!(records, [[0; 0]; 0]);
    append(&wal, &[4; 100]).unwrap();
    drop(wal);
    assert_eq!(open().1, [[4; 100]]);
}

#[test]
fn a_log_that_ends_where_a_file_is_full_goes_on_in_the_next() {
    for missing in [0, 1, 7, 8, 9] {
        let disk = FaultyDisk::default();
        let file_bytes = frame::FILE_HEADER as u64 + 3 * frame::size(6, 100) + missing;
        let open = || {
            let (replayed, records) = read(&disk).unwrap();
            let options = WalOptions { file_bytes, zero_ahead: 8, ..options() };
            let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), replayed, options);
            (wal.unwrap(), records.len() as u64)
        };
        let mut reader = LogReader::new(Lsn(1));
        for lsn in 1..=20 {
            let (wal, found) = open();
            assert_eq!(found, lsn - 1);
            append(&wal, &[lsn as u8; 100]).unwrap();
            let (read, logged) = reader.next(&wal, Lsn(lsn)).unwrap().unwrap();
            assert!(read == Lsn(lsn) && matches!(logged, Logged::Record(_)), "{logged:?}");
            assert!(reader.next(&wal, Lsn(lsn)).unwrap().is_none());
            assert_eq!(follow(&wal), Vec::from_iter(1..=lsn));
        }
        assert!(disk.paths().len() > 3, "{:?}", disk.paths());
    }
}

/// A record that was being written, full of what looks like frames that know it to be durable.
fn torn_among_heads(len: usize, key: LogKey) -> FaultyDisk {
    let disk = FaultyDisk::default();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, b"one").unwrap();
    drop(wal);
    let mut payload = Vec::new();
    while payload.len() < len {
        frame::put(&mut payload, key, 1 << 40, 1 << 39, &[], b"fake");
    }
    let path = disk.paths().remove(0);
    let file = disk.open(&path).unwrap();
    let at = read(&disk).unwrap().0.tail.unwrap().1;
    let mut frame = Vec::new();
    frame::put(&mut frame, KEY, 2, 1, &[0; 8], &payload);
    frame[9] ^= 1;
    file.write_at(&frame, at).unwrap();
    disk
}

#[test]
fn rows_that_look_like_frames_are_none_and_cost_no_time() {
    let disk = torn_among_heads(8 << 20, LogKey(1));
    let started = std::time::Instant::now();
    assert_eq!(read(&disk).unwrap().1, [b"one"], "a torn tail");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    // The test's frames are good ones, but for the key.
    let disk = torn_among_heads(1000, KEY);
    assert_eq!(read_damaged(&disk).unwrap().2.len(), 1);
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
    replay(&disk, Path::new(DIR), KEY, from(30), |found| {
        if let Found::Record { lsn, .. } = found {
            last = lsn;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(last, 51);
}

proptest! {
    #[test]
    fn wrong_bytes_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = record::Record::decode(&bytes);
        let _ = frame::Head::take(KEY, &bytes);
        let _ = scope::Notes::decode(&bytes);
        let _ = frame::read_file_header(&bytes);
    }
}
