//! Reading the log while it is written: what a copy of a shard group follows.

use std::path::PathBuf;
use std::sync::Arc;

use satsuma_common::Lsn;

use super::frame::{self, FILE_HEADER, FRAME_HEAD, Head};
use super::{Scope, Wal};
use crate::disk::DiskFile;
use crate::error::{Result, StorageError};

/// A place in the log. The files from there on must be kept: see [`crate::Engine`]'s pins.
#[derive(Debug)]
pub struct LogReader {
    /// The next record.
    next: u64,
    open: Option<Open>,
}

/// What the log has at a place.
#[derive(Debug)]
pub enum Logged {
    Record(Vec<u8>),
    /// A record that is damaged, and which shards it is about.
    Damaged(Scope, StorageError),
}

#[derive(Debug)]
struct Open {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    len: u64,
    at: u64,
    /// LSN of the frame at `at`.
    lsn: u64,
}

impl LogReader {
    pub fn new(from: Lsn) -> Self {
        Self { next: from.0.max(1), open: None }
    }

    /// The first record that has not been read.
    pub fn position(&self) -> Lsn {
        Lsn(self.next)
    }

    /// The next record, if it is not above `upto`, which must be durable.
    pub fn next(&mut self, wal: &Wal, upto: Lsn) -> Result<Option<(Lsn, Logged)>> {
        while self.next <= upto.0 {
            // What stands in a file behind its last record was never durable.
            let open = match self.open.take() {
                Some(open) if wal.holds(&open.path, self.next) => self.open.insert(open),
                _ => self.open.insert(open_file(wal, self.next)?),
            };
            match open.take(wal, self.next)? {
                Some((lsn, _)) if lsn < self.next => {}
                Some((lsn, logged)) if lsn == self.next => {
                    self.next += 1;
                    return Ok(Some((Lsn(lsn), logged)));
                }
                Some(_) => return Err(open.corrupt("LSN is out of order")),
                None => return Err(open.corrupt("a durable record is missing")),
            }
        }
        Ok(None)
    }
}

impl Open {
    /// The frame at the present place; `None` at the end of the file. Records before `wanted` need
    /// not be there.
    fn take(&mut self, wal: &Wal, wanted: u64) -> Result<Option<(u64, Logged)>> {
        let mut bytes = vec![0; FRAME_HEAD];
        if !self.reaches(FRAME_HEAD)? {
            return Ok(None);
        }
        self.read(&mut bytes, self.at)?;
        let Some(head) = Head::take(wal.key(), &bytes).filter(|head| head.lsn == self.lsn) else {
            return self.pass(wal, wanted, frame::no_head(&bytes));
        };
        if !self.reaches(head.len())? {
            return Err(self.corrupt("frame is cut off"));
        }
        bytes.resize(head.len(), 0);
        self.read(&mut bytes, self.at)?;
        let logged = match head.payload(&bytes) {
            Ok(payload) => Logged::Record(payload.to_vec()),
            Err(reason) => {
                let scope = head.notes(&bytes).map_or(Scope::Any, |notes| notes.scope);
                Logged::Damaged(scope, self.corrupt(reason))
            }
        };
        self.at += head.size() as u64;
        self.lsn += 1;
        Ok(Some((head.lsn, logged)))
    }

    /// Goes on behind damage, if what is lost there is not wanted.
    fn pass(&mut self, wal: &Wal, wanted: u64, reason: &str) -> Result<Option<(u64, Logged)>> {
        let len = self.file.len().map_err(|e| StorageError::io(&self.path, &e))?;
        let mut rest = vec![0; usize::try_from(len - self.at).unwrap_or(0)];
        self.read(&mut rest, self.at)?;
        match frame::find_head(wal.key(), &rest, 0, self.lsn + 1) {
            None => Ok(None),
            Some((place, head)) if head.lsn <= wanted => {
                self.at += place as u64;
                self.lsn = head.lsn;
                self.take(wal, wanted)
            }
            Some(_) => Err(self.corrupt(reason)),
        }
    }

    /// Whether so many bytes follow the present place; files grow while they are read.
    fn reaches(&mut self, bytes: usize) -> Result<bool> {
        let end = self.at + bytes as u64;
        if end > self.len {
            self.len = self.file.len().map_err(|e| StorageError::io(&self.path, &e))?;
        }
        Ok(end <= self.len)
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.file.read_at(buffer, at).map_err(|e| StorageError::io(&self.path, &e))
    }

    fn corrupt(&self, reason: &str) -> StorageError {
        StorageError::corrupt(&self.path, self.at, format!("record {}: {reason}", self.lsn))
    }
}

/// Opens the file that has the record.
fn open_file(wal: &Wal, lsn: u64) -> Result<Open> {
    let files = wal.files();
    let (first, path) = files
        .iter()
        .rev()
        .find(|(first, _)| *first <= lsn)
        .ok_or_else(|| StorageError::corrupt("wal", 0, format!("record {lsn} is gone")))?;
    let io = |e: std::io::Error| StorageError::io(path, &e);
    let file = wal.disk().open(path).map_err(io)?;
    let len = file.len().map_err(io)?;
    Ok(Open { file, path: path.clone(), len, at: FILE_HEADER as u64, lsn: *first })
}
