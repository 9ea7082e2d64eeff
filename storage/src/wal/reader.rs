//! Reading the log while it is written: what a copy of a shard group follows.

use std::path::Path;
use std::sync::Arc;

use satsuma_common::Lsn;

use super::Wal;
use super::frame::{self, FILE_HEADER, FRAME_HEADER, FrameError, MAX_PAYLOAD};
use crate::disk::DiskFile;
use crate::error::{Result, StorageError};

/// A place in the log. The files from there on must be kept: see [`crate::Engine`]'s pins.
#[derive(Debug)]
pub struct LogReader {
    /// The next record.
    next: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: Arc<dyn DiskFile>,
    path: std::path::PathBuf,
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
    pub fn next(&mut self, wal: &Wal, upto: Lsn) -> Result<Option<(Lsn, Vec<u8>)>> {
        while self.next <= upto.0 {
            let open = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(open_file(wal, self.next)?),
            };
            match open.take()? {
                Some((lsn, _)) if lsn < self.next => {}
                Some((lsn, payload)) if lsn == self.next => {
                    self.next += 1;
                    return Ok(Some((Lsn(lsn), payload)));
                }
                Some(_) => return Err(open.corrupt("LSN is out of order")),
                None if holds(wal, &open.path, self.next) => {
                    return Err(open.corrupt("a durable record is missing"));
                }
                // The record is in the next file.
                None => self.open = None,
            }
        }
        Ok(None)
    }
}

impl Open {
    /// The frame at the present place; `None` at the end of the file.
    fn take(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        if !self.reaches(FRAME_HEADER)? {
            return Ok(None);
        }
        let mut bytes = vec![0; FRAME_HEADER];
        self.read(&mut bytes, self.at)?;
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if len == 0 {
            return Ok(None);
        }
        if len > MAX_PAYLOAD || !self.reaches(FRAME_HEADER + len)? {
            return Err(self.corrupt("frame length is out of bounds"));
        }
        bytes.resize(FRAME_HEADER + len, 0);
        let start = self.at + FRAME_HEADER as u64;
        self.read(&mut bytes[FRAME_HEADER..], start)?;
        let (lsn, payload) = match frame::take(&bytes) {
            Ok(frame) => (frame.lsn, frame.payload.to_vec()),
            Err(FrameError::End) => return Ok(None),
            Err(FrameError::Bad(reason)) => return Err(self.corrupt(reason)),
        };
        if lsn != self.lsn {
            return Err(self.corrupt("LSN is out of order"));
        }
        self.at += frame::size(len);
        self.lsn += 1;
        Ok(Some((lsn, payload)))
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
        StorageError::corrupt(&self.path, self.at, reason)
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

/// Whether the record is in this file: no later file starts at or before it.
fn holds(wal: &Wal, path: &Path, lsn: u64) -> bool {
    let files = wal.files();
    files.iter().rev().find(|(first, _)| *first <= lsn).is_some_and(|(_, found)| found == path)
}
