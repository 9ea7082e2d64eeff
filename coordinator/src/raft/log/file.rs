//! The log in segment files.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use protobuf::Message;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

use super::memory::truncate;
use super::record::{self, Found, Item};
use super::{Recovered, Stable};
use crate::raft::directory::{replace_file, sync_directory};
use crate::raft::error::RaftError;

const SEGMENT_MAGIC: &[u8; 8] = b"SATCLOG1";
const SNAPSHOT_MAGIC: &[u8; 8] = b"SATSNAP1";
const SNAPSHOT: &str = "snapshot.bin";
/// Segments are filled with zeros up to here when made, so that a later `fdatasync` has no file
/// size to write.
const SEGMENT_BYTES: u64 = if cfg!(test) { 64 << 10 } else { 1 << 20 };

/// One segment and what it holds.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// Highest entry index in it; 0 without entries.
    last_index: u64,
}

/// See the [module](super).
#[derive(Debug)]
pub struct FileLog {
    directory: PathBuf,
    /// Older ones first.
    sealed: VecDeque<Segment>,
    active: Segment,
    file: File,
    /// Bytes used of `file`.
    length: u64,
    number: u64,
    hard_state: HardState,
    members: Option<ConfState>,
    /// Items of the next frame.
    buffer: Vec<u8>,
    /// A write failed: what is on disk is unknown, nothing more is accepted.
    failed: bool,
}

impl FileLog {
    /// Opens the log in `directory`, making it if needed.
    pub fn open(directory: &Path) -> Result<(Self, Recovered), RaftError> {
        fs::create_dir_all(directory)?;
        let mut recovered =
            Recovered { snapshot: read_snapshot(directory)?, ..Recovered::default() };
        let mut numbers = segment_numbers(directory)?;
        let mut last_is_whole = false;
        if let Some(number) = numbers.last()
            && is_unfinished(&segment_path(directory, *number))?
        {
            last_is_whole = true;
            // Another one will follow: then it could not be told from a damaged one.
            fs::remove_file(segment_path(directory, *number))?;
            sync_directory(directory)?;
            numbers.pop();
        }
        let mut sealed = VecDeque::new();
        for (position, number) in numbers.iter().enumerate() {
            let path = segment_path(directory, *number);
            // Nothing is torn that was finished before another segment was begun.
            let is_last = position + 1 == numbers.len() && !last_is_whole;
            let last_index = replay(&path, is_last, &mut recovered)?;
            sealed.push_back(Segment { path, last_index });
        }
        connect(directory, &mut recovered)?;
        let number = numbers.last().copied().unwrap_or(0) + 1;
        let hard_state = recovered.hard_state.clone();
        let members = recovered.conf_state.clone();
        let (active, file) = create_segment(directory, number)?;
        let mut log = Self {
            directory: directory.into(),
            sealed,
            active,
            file,
            length: SEGMENT_MAGIC.len() as u64,
            number,
            hard_state,
            members,
            buffer: Vec::new(),
            failed: false,
        };
        log.push_preamble()?;
        log.flush()?;
        Ok((log, recovered))
    }

    /// Hard state and members at the head of a segment: older segments may go.
    fn push_preamble(&mut self) -> Result<(), RaftError> {
        record::push_hard_state(&mut self.buffer, &self.hard_state)?;
        if let Some(members) = &self.members {
            record::push_members(&mut self.buffer, members)?;
        }
        Ok(())
    }

    /// Writes the buffer as a frame behind what is there, durably.
    fn flush(&mut self) -> Result<(), RaftError> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed").into());
        }
        let frame = record::frame(&self.buffer);
        self.buffer.clear();
        let outcome =
            self.file.write_all_at(&frame, self.length).and_then(|()| self.file.sync_data());
        self.length += frame.len() as u64;
        self.failed = outcome.is_err();
        Ok(outcome?)
    }

    fn roll(&mut self) -> Result<(), RaftError> {
        self.number += 1;
        let (segment, file) = create_segment(&self.directory, self.number)?;
        self.sealed.push_back(std::mem::replace(&mut self.active, segment));
        self.file = file;
        self.length = SEGMENT_MAGIC.len() as u64;
        self.push_preamble()
    }
}

impl Stable for FileLog {
    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        sync: bool,
    ) -> Result<(), RaftError> {
        if self.length >= SEGMENT_BYTES {
            self.roll()?;
        }
        for entry in entries {
            record::push_entry(&mut self.buffer, entry)?;
            self.active.last_index = self.active.last_index.max(entry.index);
        }
        if let Some(state) = hard_state {
            self.hard_state = state.clone();
        }
        // A commit index alone waits for the next frame: it can be worked out again.
        if entries.is_empty() && !sync {
            return Ok(());
        }
        record::push_hard_state(&mut self.buffer, &self.hard_state)?;
        self.flush()
    }

    fn save_members(&mut self, members: &ConfState) -> Result<(), RaftError> {
        record::push_members(&mut self.buffer, members)?;
        self.members = Some(members.clone());
        self.flush()
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot, keep_from: u64) -> Result<(), RaftError> {
        let payload = snapshot.write_to_bytes()?;
        let mut bytes = Vec::with_capacity(payload.len() + 12);
        bytes.extend_from_slice(SNAPSHOT_MAGIC);
        bytes.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        replace_file(&self.directory, SNAPSHOT, &bytes)?;
        self.members = Some(snapshot.get_metadata().get_conf_state().clone());
        self.roll()?;
        self.flush()?;
        // In an order in which a crash leaves no gap: old entries from the front, all of them
        // from the back.
        let mut freed = false;
        loop {
            let segment = match self.sealed.front() {
                Some(_) if keep_from == u64::MAX => self.sealed.pop_back(),
                Some(oldest) if oldest.last_index < keep_from => self.sealed.pop_front(),
                _ => None,
            };
            let Some(segment) = segment else { break };
            fs::remove_file(&segment.path)?;
            freed = true;
        }
        if freed {
            sync_directory(&self.directory)?;
        }
        Ok(())
    }
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("log-{number:020}.seg"))
}

fn segment_numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> = name
            .to_str()
            .and_then(|name| name.strip_prefix("log-")?.strip_suffix(".seg")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn create_segment(directory: &Path, number: u64) -> io::Result<(Segment, File)> {
    let path = segment_path(directory, number);
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path)?;
    file.write_all(SEGMENT_MAGIC)?;
    let zeros = vec![0; 64 << 10];
    let mut length = SEGMENT_MAGIC.len() as u64;
    while length < SEGMENT_BYTES {
        file.write_all(&zeros)?;
        length += zeros.len() as u64;
    }
    file.sync_all()?;
    sync_directory(directory)?;
    Ok((Segment { path, last_index: 0 }, file))
}

/// Adds a segment's records to `recovered`; answers with the highest entry index in it.
fn replay(path: &Path, is_last: bool, recovered: &mut Recovered) -> Result<u64, RaftError> {
    let bytes = fs::read(path)?;
    let damaged = |offset: usize, reason| RaftError::Damaged {
        path: path.into(),
        offset: offset as u64,
        reason,
    };
    if bytes.get(..SEGMENT_MAGIC.len()) != Some(SEGMENT_MAGIC.as_slice()) {
        return Err(damaged(0, "not a log segment"));
    }
    let mut last_index = 0;
    let mut at = SEGMENT_MAGIC.len();
    loop {
        match record::read(&bytes, at) {
            Found::Frame(items, next) => {
                for item in items {
                    last_index = last_index.max(add(item, recovered).map_err(|r| damaged(at, r))?);
                }
                at = next;
            }
            Found::End | Found::Bad(_) if record::any_after(&bytes, at) => {
                return Err(damaged(at, "a bad frame before good ones"));
            }
            Found::End => return Ok(last_index),
            Found::Bad(_) if is_last => {
                tracing::warn!(path = %path.display(), offset = at, "torn end of log cut");
                return cut(path, at).map(|()| last_index).map_err(RaftError::from);
            }
            Found::Bad(reason) => return Err(damaged(at, reason)),
        }
    }
}

/// Whether a crash came while the segment was made: nothing is in it yet.
fn is_unfinished(path: &Path) -> io::Result<bool> {
    let bytes = fs::read(path)?;
    let written = bytes.iter().zip(SEGMENT_MAGIC).take_while(|(there, byte)| there == byte).count();
    Ok(written < SEGMENT_MAGIC.len() && bytes[written..].iter().all(|byte| *byte == 0))
}

/// Adds an item to what is known; answers with the index of an entry.
fn add(item: Item, recovered: &mut Recovered) -> Result<u64, &'static str> {
    match item {
        Item::Entry(entry) => {
            let index = entry.index;
            truncate(&mut recovered.entries, index);
            let expected = recovered.entries.last().map(|entry| entry.index + 1);
            if expected.is_some_and(|expected| expected != index) {
                return Err("entries are missing");
            }
            recovered.entries.push(entry);
            return Ok(index);
        }
        Item::HardState(state) => recovered.hard_state = state,
        Item::Members(members) => recovered.conf_state = Some(members),
    }
    Ok(0)
}

/// Cuts a torn end off, so that the segment is whole when it is no longer the last.
fn cut(path: &Path, at: usize) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(at as u64)?;
    file.sync_all()
}

/// Entries that the snapshot covers may have a gap to it; entries after it may not.
fn connect(directory: &Path, recovered: &mut Recovered) -> Result<(), RaftError> {
    let covered = recovered.snapshot.as_ref().map_or(0, |s| s.get_metadata().index);
    let reason = "the log does not begin where the snapshot ends";
    let gap = || RaftError::Damaged { path: directory.into(), offset: 0, reason };
    match recovered.entries.first() {
        Some(first) if first.index > covered + 1 => return Err(gap()),
        Some(_) if recovered.entries.last().is_some_and(|last| last.index < covered) => {
            recovered.entries.clear();
        }
        _ => {}
    }
    if let Some(snapshot) = &recovered.snapshot {
        let metadata = snapshot.get_metadata();
        let state = &mut recovered.hard_state;
        if metadata.index > state.commit || recovered.conf_state.is_none() {
            recovered.conf_state = Some(metadata.get_conf_state().clone());
        }
        state.commit = state.commit.max(metadata.index);
        state.term = state.term.max(metadata.term);
    }
    let last = recovered.entries.last().map_or(covered, |entry| entry.index);
    if recovered.hard_state.commit > last {
        return Err(gap());
    }
    Ok(())
}

fn read_snapshot(directory: &Path) -> Result<Option<Snapshot>, RaftError> {
    let path = directory.join(SNAPSHOT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = |reason| RaftError::Damaged { path: path.clone(), offset: 0, reason };
    let body = bytes.strip_prefix(SNAPSHOT_MAGIC).ok_or_else(|| damaged("not a snapshot"))?;
    let (crc, payload) = body.split_at_checked(4).ok_or_else(|| damaged("incomplete snapshot"))?;
    if crc != crc32c::crc32c(payload).to_le_bytes() {
        return Err(damaged("checksum mismatch"));
    }
    Ok(Some(Snapshot::parse_from_bytes(payload)?))
}
