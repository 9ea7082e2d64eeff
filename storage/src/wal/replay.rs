//! Reading the log back at start.
//!
//! ```text
//! frame checks out                          a record
//! head does, payload does not               damage, of one record whose shards the notes tell
//! no head, but a later one in the file      damage, of the records up to there
//! nothing after it knows it to be durable   a torn tail: cut
//! ```
//!
//! A record was durable when a later head says so, or when a later file was begun. Which shards
//! are concerned by records whose heads are lost is told by a later frame's tally ([`scope`]), even
//! one that is torn: such a frame is left where it is, behind what its file is taken to have, or,
//! where its file begins with it, becomes a record that changes nothing. Each start tells the same
//! losses.
//!
//! [`scope`]: super::scope

use std::path::{Path, PathBuf};

use super::frame::{self, FILE_HEADER, FRAME_HEAD, FileHeader, Head, LogKey};
use super::record::Record;
use super::scope::{Notes, Recent, Scope};
use super::writer::WRITE_BYTES;
use crate::disk::Disk;
use crate::error::{Result, StorageError};

/// Where the log ends: what the writer goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub next_lsn: u64,
    /// The last file, and where in it the next frame goes.
    pub tail: Option<(PathBuf, u64)>,
    /// Every file with its first LSN, in order.
    pub files: Vec<(u64, PathBuf)>,
    pub key: LogKey,
    pub recent: Recent,
}

/// What the log says. Records come in order; a loss comes once it is known whom it concerns, which
/// may be after later records.
#[derive(Debug)]
pub enum Found<'a> {
    Record { lsn: u64, payload: &'a [u8] },
    Lost(Lost),
}

/// Records that were durable and cannot be read.
#[derive(Clone, Debug)]
pub struct Lost {
    pub first: u64,
    pub last: u64,
    pub scope: Scope,
    /// Names file and offset.
    pub error: StorageError,
}

/// What the store knows of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The first record that is needed.
    pub from: u64,
    /// Every record before this one was durable.
    pub durable_before: u64,
}

/// Hands every record that is needed to `tell`, and losses among them, and cuts a torn tail.
pub fn replay(
    disk: &dyn Disk,
    dir: &Path,
    key: LogKey,
    known: Known,
    tell: impl FnMut(Found<'_>) -> Result<()>,
) -> Result<Replayed> {
    let io = |e: std::io::Error| StorageError::io(dir, &e);
    let mut files = Vec::new();
    for path in disk.list(dir).map_err(io)? {
        if let Some(first) = first_lsn_of(&path) {
            files.push((first, path));
        }
    }
    files.sort();
    let (recent, gaps, last_lost, explained) = (Recent::default(), Vec::new(), 0, 0);
    let Known { from, durable_before } = known;
    let floor = durable_before.max(from);
    Replay { disk, dir, key, from, floor, tell, files, recent, gaps, last_lost, explained }.run()
}

struct Replay<'a, F> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    key: LogKey,
    from: u64,
    /// No LSN below this one is given again.
    floor: u64,
    tell: F,
    files: Vec<(u64, PathBuf)>,
    recent: Recent,
    /// Losses of which it is not known yet whom they concern.
    gaps: Vec<Gap>,
    last_lost: u64,
    /// The last record whose notes told whom a loss concerns.
    explained: u64,
}

struct Gap {
    first: u64,
    last: u64,
    error: StorageError,
}

/// How a file ends.
struct End {
    next_lsn: u64,
    at: usize,
    is_torn: bool,
}

impl<F: FnMut(Found<'_>) -> Result<()>> Replay<'_, F> {
    fn run(mut self) -> Result<Replayed> {
        let mut next_lsn = None;
        let mut tail = None;
        let mut begins = false;
        // Bytes of the last file that stay, and the torn frame that they end with.
        let (mut kept, mut torn) = (0, None);
        let mut last = Vec::new();
        let mut index = 0;
        while let Some((first, path)) = self.files.get(index).cloned() {
            let mut bytes = self.disk.read(&path).map_err(|e| StorageError::io(&path, &e))?;
            let is_last = index + 1 == self.files.len();
            match frame::read_file_header(&bytes) {
                FileHeader::First(found) if found == first => {}
                FileHeader::First(_) => return Err(out_of_order(&path)),
                FileHeader::Foreign => {
                    let reason = "log format is not known to this program";
                    return Err(StorageError::corrupt(&path, 0, reason));
                }
                // Headers are synced before records follow: a file that was being started. Its
                // name says that all before it was durable.
                FileHeader::Damaged
                    if is_last
                        && frame::find_head(self.key, &bytes, FILE_HEADER, first).is_none() =>
                {
                    self.begin_file(first)?;
                    bytes = frame::file_header(first).to_vec();
                }
                // It says nothing that the name does not say.
                FileHeader::Damaged => {
                    tracing::error!(file = %path.display(), "header of a log file is damaged");
                }
            }
            let expected = next_lsn.unwrap_or(self.from);
            if next_lsn.is_some_and(|next| first < next) {
                return Err(out_of_order(&path));
            }
            if first > expected {
                self.lose(expected, first - 1, None, (&path, 0), "the file before it is missing")?;
            }
            let end = self.file(index, &bytes)?;
            next_lsn = Some(end.next_lsn);
            tail = Some((path.clone(), end.at as u64));
            kept = end.at;
            index += 1;
            if end.is_torn {
                // It may be all that knows a record before it to be durable, or whose that was.
                begins = self.last_lost >= first || self.explained == end.next_lsn;
                if let Some(head) = Head::take(self.key, &bytes[end.at..]).filter(|_| begins) {
                    kept += head.told();
                    torn = bytes.get(end.at..kept).map(|told| (head, told.to_vec()));
                }
                last = bytes;
                break;
            }
            last = bytes;
        }
        let mut next = next_lsn.unwrap_or(self.from);
        let is_missing = tail.is_none() && self.from > 1;
        if next < self.floor || is_missing {
            let floor = self.floor.max(next + 1);
            let (reason, (path, at)) = match &tail {
                Some((path, at)) => ("durable records are missing", (path.clone(), *at as usize)),
                None => ("the log is missing", (self.dir.to_owned(), 0)),
            };
            self.lose(next, floor - 1, None, (&path, at), reason)?;
            next = floor;
            begins = true;
        }
        begins &= self.files.last().is_none_or(|(first, _)| *first < next);
        if let Some((path, at)) = &mut tail {
            // Where a file follows, all may stay.
            if !begins {
                last.truncate(kept);
            }
            settle(self.disk, path, self.key, &last)?;
            if let Some((head, told)) = torn.filter(|_| !begins) {
                *at += self.void(path, *at, &head, &told)?;
                next += 1;
            }
        }
        if begins {
            let path = self.begin_file(next)?;
            self.files.push((next, path.clone()));
            tail = Some((path, FILE_HEADER as u64));
        }
        for Gap { first, last, error } in std::mem::take(&mut self.gaps) {
            (self.tell)(Found::Lost(Lost { first, last, scope: Scope::Any, error }))?;
        }
        Ok(Replayed { next_lsn: next, tail, files: self.files, key: self.key, recent: self.recent })
    }

    /// Gives a torn frame a record that changes nothing, and answers with its size. Its notes stay
    /// as they are: the next record would be written over them. A file begins with it, so that its
    /// head is within one sector of the disk.
    fn void(&mut self, path: &Path, at: u64, head: &Head, told: &[u8]) -> Result<u64> {
        let notes = &told[FRAME_HEAD..];
        let mut frame = Vec::new();
        frame::put(&mut frame, self.key, head.lsn, head.durable, notes, &Record::nothing()?);
        let write = || {
            let file = self.disk.open(path)?;
            file.write_at(&frame, at)?;
            file.sync()
        };
        write().map_err(|e| StorageError::io(path, &e))?;
        let size = frame.len() as u64;
        let scope = Notes::decode(notes).map_or(Scope::Any, |notes| notes.scope);
        self.recent.found(&scope, size);
        Ok(size)
    }

    fn begin_file(&self, first: u64) -> Result<PathBuf> {
        let path = self.dir.join(file_name(first));
        let begin = || {
            let file = self.disk.create(&path)?;
            file.write_at(&frame::file_header(first), 0)?;
            file.sync()?;
            self.disk.sync_dir(self.dir)
        };
        begin().map_err(|e| StorageError::io(&path, &e))?;
        Ok(path)
    }

    fn file(&mut self, index: usize, bytes: &[u8]) -> Result<End> {
        let (first, path) = self.files[index].clone();
        // A file is durable as a whole before the next one begins.
        let upto = self.files.get(index + 1).map(|(next, _)| *next - 1);
        let mut durable = upto;
        let (mut lsn, mut at) = (first, FILE_HEADER);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let head = Head::take(self.key, rest).filter(|head| head.lsn == lsn);
            let notes = head.and_then(|head| head.notes(rest));
            self.explain(lsn, notes.as_ref())?;
            if upto.is_some_and(|upto| lsn > upto) {
                return Ok(End { next_lsn: lsn, at, is_torn: false });
            }
            let (reason, next) = match &head {
                Some(head) => {
                    let scope = notes.map(|notes| notes.scope);
                    let next = (at + head.size(), lsn + 1);
                    match head.payload(rest) {
                        Ok(payload) => {
                            if lsn >= self.from {
                                let told = (self.tell)(Found::Record { lsn, payload });
                                told.map_err(|e| at_offset(e, &path, at))?;
                            }
                            self.recent.found(&scope.unwrap_or(Scope::Any), head.size() as u64);
                            (at, lsn) = next;
                            continue;
                        }
                        Err(reason) => (reason, Some((next, scope))),
                    }
                }
                None => {
                    let later = frame::find_head(self.key, bytes, at + 8, lsn + 1);
                    let later = later.map(|(at, head)| (at, head.lsn));
                    let later = later.filter(|(_, lsn)| upto.is_none_or(|upto| *lsn <= upto + 1));
                    (frame::no_head(rest), later.map(|later| (later, None)))
                }
            };
            let Some((next, scope)) = next else {
                let is_torn = upto.is_none() && rest.iter().any(|byte| *byte != 0);
                if is_torn {
                    warn_torn(&path, at, lsn, reason);
                }
                if let Some(last) = upto {
                    self.lose(lsn, last, None, (&path, at), reason)?;
                    lsn = last + 1;
                }
                return Ok(End { next_lsn: lsn, at, is_torn });
            };
            let known = *durable.get_or_insert_with(|| last_durable(self.key, bytes, at));
            if known < lsn && lsn >= self.floor {
                warn_torn(&path, at, lsn, reason);
                return Ok(End { next_lsn: lsn, at, is_torn: true });
            }
            self.lose(lsn, next.1 - 1, scope, (&path, at), reason)?;
            (at, lsn) = next;
        }
    }

    /// Records that were durable cannot be read.
    fn lose(
        &mut self,
        first: u64,
        last: u64,
        scope: Option<Scope>,
        (path, at): (&Path, usize),
        reason: &str,
    ) -> Result<()> {
        match &scope {
            Some(scope) => self.recent.found(scope, 0),
            // The next tally reaches back to here.
            None => self.recent = Recent::default(),
        }
        self.last_lost = self.last_lost.max(last);
        if last < self.from {
            // Files that go do not go in order where the power does.
            tracing::info!(file = %path.display(), offset = at, first, last, reason, "not needed");
            return Ok(());
        }
        tracing::error!(file = %path.display(), offset = at, first, last, reason, "log is damaged");
        let first = first.max(self.from);
        let error = StorageError::corrupt(path, at as u64, format!("record {first}: {reason}"));
        match scope {
            Some(scope) => (self.tell)(Found::Lost(Lost { first, last, scope, error })),
            None => {
                self.gaps.push(Gap { first, last, error });
                Ok(())
            }
        }
    }

    /// Whom gaps concern, by the first notes behind them with a tally: no later one reaches back
    /// further.
    fn explain(&mut self, lsn: u64, notes: Option<&Notes>) -> Result<()> {
        let tells = |notes: &&Notes| !self.gaps.is_empty() && !notes.tally.is_empty();
        let Some(notes) = notes.filter(tells) else { return Ok(()) };
        for Gap { first, mut last, error } in std::mem::take(&mut self.gaps) {
            if let Some((from, scope)) = notes.tell(lsn, first, last) {
                let error = error.clone();
                (self.tell)(Found::Lost(Lost { first: from, last, scope, error }))?;
                last = from - 1;
                self.explained = lsn;
            }
            if first <= last {
                (self.tell)(Found::Lost(Lost { first, last, scope: Scope::Any, error }))?;
            }
        }
        self.recent = Recent::told(&notes.tally);
        Ok(())
    }
}

/// The highest LSN that a head from `at` on knows to be durable.
fn last_durable(key: LogKey, bytes: &[u8], mut at: usize) -> u64 {
    let mut durable = 0;
    while let Some((place, head)) = frame::find_head(key, bytes, at, 0) {
        durable = durable.max(head.durable);
        at = place + head.size();
    }
    durable
}

fn warn_torn(path: &Path, offset: usize, lsn: u64, reason: &str) {
    tracing::warn!(file = %path.display(), offset, lsn, reason, "cut a torn tail of the log");
}

fn out_of_order(path: &Path) -> StorageError {
    StorageError::corrupt(path, 0, "log files do not follow each other")
}

/// Makes a file durable as it was read up to an end, and drops what it has behind that, so that it
/// cannot come back after the next append.
///
/// What an earlier process wrote and failed to sync is read, but no later sync stores it: what no
/// frame knows to be durable is written once more.
fn settle(disk: &dyn Disk, path: &Path, key: LogKey, bytes: &[u8]) -> Result<()> {
    let io = |e: std::io::Error| StorageError::io(path, &e);
    let file = disk.open(path).map_err(io)?;
    if file.len().map_err(io)? > bytes.len() as u64 {
        file.set_len(bytes.len() as u64).map_err(io)?;
    }
    let mut at = first_unsure(key, bytes);
    for piece in bytes[at..].chunks(WRITE_BYTES) {
        file.write_at(piece, at as u64).map_err(io)?;
        at += piece.len();
    }
    // The rest counts as durable from now on.
    file.sync().map_err(io)
}

/// Where the first frame is that none behind it knows to be durable.
fn first_unsure(key: LogKey, bytes: &[u8]) -> usize {
    let durable = last_durable(key, bytes, FILE_HEADER);
    let mut at = FILE_HEADER.min(bytes.len());
    while let Some((place, head)) = frame::find_head(key, bytes, at, 0) {
        if head.lsn > durable {
            break;
        }
        at = (place + head.size()).min(bytes.len());
    }
    at
}

fn at_offset(error: StorageError, path: &Path, at: usize) -> StorageError {
    match error {
        StorageError::Corrupt { reason, .. } => StorageError::corrupt(path, at as u64, reason),
        StorageError::Row(error) => StorageError::corrupt(path, at as u64, error.to_string()),
        other => other,
    }
}

pub fn file_name(first_lsn: u64) -> String {
    format!("{first_lsn:020}.wal")
}

fn first_lsn_of(path: &Path) -> Option<u64> {
    let number: u64 = path.file_name()?.to_str()?.strip_suffix(".wal")?.parse().ok()?;
    (1..u64::MAX).contains(&number).then_some(number)
}
