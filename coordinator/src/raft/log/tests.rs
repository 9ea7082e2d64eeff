use std::fs;
use std::path::{Path, PathBuf};

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

use super::*;

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, data: vec![index as u8; 40].into(), ..Entry::default() }
}

fn hard_state(term: u64, commit: u64) -> HardState {
    HardState { term, commit, vote: 1, ..HardState::default() }
}

fn members() -> ConfState {
    ConfState { voters: vec![1, 2, 3], ..ConfState::default() }
}

fn last_segment(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).expect("directory");
    let mut paths: Vec<_> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths.pop().expect("a segment")
}

#[test]
fn what_was_appended_is_found_again() {
    let home = tempfile::tempdir().expect("directory");
    let (mut log, empty) = FileLog::open(home.path()).expect("new log");
    assert_eq!(empty, Recovered::default());
    log.save_members(&members()).expect("members");
    log.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(&hard_state(1, 1)), true)
        .expect("append");
    // A new leader overwrites the tail.
    log.append(&[entry(2, 2)], Some(&hard_state(2, 2)), true).expect("overwrite");
    drop(log);
    for _ in 0..2 {
        let (_, recovered) = FileLog::open(home.path()).expect("reopened");
        assert_eq!(recovered.entries, [entry(1, 1), entry(2, 2)]);
        assert_eq!(recovered.hard_state, hard_state(2, 2));
        assert_eq!(recovered.conf_state, Some(members()));
    }
}

#[test]
fn a_snapshot_frees_older_segments() {
    let home = tempfile::tempdir().expect("directory");
    let (mut log, _) = FileLog::open(home.path()).expect("new log");
    for index in 1..=100 {
        let mut entry = entry(index, 1);
        entry.data = vec![7; 64 << 10].into();
        log.append(&[entry], Some(&hard_state(1, index)), true).expect("append");
    }
    let segments = || fs::read_dir(home.path()).expect("directory").count();
    let before = segments();
    assert!(before > 4, "{before}");
    let mut snapshot = Snapshot::default();
    snapshot.mut_metadata().index = 95;
    snapshot.mut_metadata().term = 1;
    snapshot.mut_metadata().set_conf_state(members());
    snapshot.set_data(b"state".to_vec().into());
    log.save_snapshot(&snapshot, 90).expect("snapshot");
    assert!(segments() < before);
    drop(log);
    let (_, recovered) = FileLog::open(home.path()).expect("reopened");
    assert_eq!(recovered.snapshot, Some(snapshot));
    assert_eq!(recovered.conf_state, Some(members()));
    assert!(recovered.entries.first().expect("entries").index <= 90);
    assert_eq!(recovered.entries.last().expect("entries").index, 100);
}

/// A crash may leave any prefix of the last write. Whatever was synced before is there; what was
/// being written is there whole or not at all.
#[test]
fn a_torn_end_is_cut_at_every_byte() {
    let home = tempfile::tempdir().expect("directory");
    let (mut log, _) = FileLog::open(home.path()).expect("new log");
    log.append(&[entry(1, 1), entry(2, 1)], Some(&hard_state(1, 2)), true).expect("append");
    let before = log_length(home.path());
    log.append(&[entry(3, 1), entry(4, 1)], Some(&hard_state(1, 4)), true).expect("append");
    let after = log_length(home.path());
    drop(log);
    let path = last_segment(home.path());
    let whole = fs::read(&path).expect("segment");
    for cut in before..=after {
        let torn = tempfile::tempdir().expect("directory");
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        fs::write(torn.path().join(path.file_name().expect("name")), bytes).expect("write");
        let (mut log, recovered) = FileLog::open(torn.path()).expect("torn log");
        // The last bytes of a frame may be zeros anyhow.
        let whole = whole[cut..after].iter().all(|byte| *byte == 0);
        let expected = if whole { 4 } else { 2 };
        assert_eq!(recovered.entries.len(), expected, "cut at {cut}");
        assert_eq!(recovered.hard_state.commit, expected as u64);
        // Life goes on, and the cut does not come back.
        let next = entry(expected as u64 + 1, 2);
        log.append(&[next], Some(&hard_state(2, 2)), true).expect("append");
        drop(log);
        let (_, recovered) = FileLog::open(torn.path()).expect("reopened");
        assert_eq!(recovered.entries.len(), expected + 1);
    }
}

/// A crash may come while the next segment is made, and again while the log is opened.
#[test]
fn a_segment_that_was_not_finished_is_made_again() {
    for begun in [&b""[..], b"SATC", &[0; 100], b"SATC\0\0\0\0\0\0"] {
        let home = tempfile::tempdir().expect("directory");
        let (mut log, _) = FileLog::open(home.path()).expect("new log");
        log.append(&[entry(1, 1)], Some(&hard_state(1, 1)), true).expect("append");
        drop(log);
        for _ in 0..3 {
            let last = last_segment(home.path());
            let name = last.file_stem().and_then(|name| name.to_str()).expect("name");
            let number: u64 = name.trim_start_matches("log-").parse().expect("number");
            fs::write(home.path().join(format!("log-{:020}.seg", number + 1)), begun)
                .expect("write");
            let (log, recovered) = FileLog::open(home.path()).expect("opened");
            assert_eq!(recovered.entries.len(), 1);
            drop(log);
        }
    }
}

fn log_length(directory: &Path) -> usize {
    let bytes = fs::read(last_segment(directory)).expect("segment");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn damage_before_good_frames_is_an_error_that_names_its_place() {
    let home = tempfile::tempdir().expect("directory");
    let (mut log, _) = FileLog::open(home.path()).expect("new log");
    log.append(&[entry(1, 1)], Some(&hard_state(1, 0)), true).expect("append");
    let damaged = log_length(home.path()) - 20;
    log.append(&[entry(2, 1)], Some(&hard_state(1, 1)), true).expect("append");
    drop(log);
    let path = last_segment(home.path());
    let mut bytes = fs::read(&path).expect("segment");
    bytes[damaged] ^= 0x40;
    fs::write(&path, bytes).expect("write");
    let error = FileLog::open(home.path()).expect_err("damage").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains("offset"), "{error}");
}

#[test]
fn a_damaged_snapshot_is_an_error() {
    let home = tempfile::tempdir().expect("directory");
    let (mut log, _) = FileLog::open(home.path()).expect("new log");
    let mut snapshot = Snapshot::default();
    snapshot.mut_metadata().index = 5;
    snapshot.set_data(vec![9; 100].into());
    log.save_snapshot(&snapshot, 6).expect("snapshot");
    drop(log);
    let path = home.path().join("snapshot.bin");
    let good = fs::read(&path).expect("snapshot");
    for at in [0, 9, 40, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("write");
        assert!(matches!(FileLog::open(home.path()), Err(RaftError::Damaged { .. })), "at {at}");
    }
    fs::write(&path, &good[..7]).expect("write");
    assert!(FileLog::open(home.path()).is_err());
}
