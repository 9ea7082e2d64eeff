//! Reading the log back at start.

use std::path::{Path, PathBuf};

use super::frame::{self, FILE_HEADER, FrameError};
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
}

/// Hands every record from `from` on to `apply`, in order, and cuts a torn tail.
///
/// A frame that does not check out is a torn tail when nothing after it was written with the
/// knowledge that it was durable; else it is damage, and an error.
pub fn replay(
    disk: &dyn Disk,
    dir: &Path,
    from: u64,
    mut apply: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<Replayed> {
    let io = |e: std::io::Error| StorageError::io(dir, &e);
    let mut files = Vec::new();
    for path in disk.list(dir).map_err(io)? {
        if let Some(first) = first_lsn_of(&path) {
            files.push((first, path));
        }
    }
    files.sort();
    let mut next_lsn = None;
    let mut tail = None;
    let mut index = 0;
    while index < files.len() {
        let (first, path) = files[index].clone();
        let bytes = disk.read(&path).map_err(|e| StorageError::io(&path, &e))?;
        match frame::read_file_header(&bytes) {
            Ok(header) if header == first && next_lsn.is_none_or(|next| next == first) => {}
            Ok(_) => {
                return Err(StorageError::corrupt(&path, 0, "log files do not follow each other"));
            }
            // Headers are synced before records follow: a file that was being started.
            Err(_)
                if index + 1 == files.len()
                    && next_lsn.is_none_or(|next| next == first)
                    && frame::take(bytes.get(FILE_HEADER..).unwrap_or_default()).is_err()
                    && !holds_durable(&bytes, first) =>
            {
                remove(disk, dir, &path)?;
                files.pop();
                break;
            }
            Err(reason) => return Err(StorageError::corrupt(&path, 0, reason)),
        }
        let mut lsn = first;
        let mut at = FILE_HEADER;
        loop {
            match frame::take(&bytes[at.min(bytes.len())..]) {
                Ok(frame) if frame.lsn == lsn => {
                    if lsn >= from {
                        apply(lsn, frame.payload).map_err(|e| at_offset(e, &path, at))?;
                    }
                    lsn += 1;
                    at += frame.size;
                }
                Ok(_) => {
                    return damaged_or_cut(
                        disk,
                        dir,
                        &files,
                        index,
                        at,
                        lsn,
                        "LSN is out of order",
                        &bytes,
                    );
                }
                Err(FrameError::End) => {
                    // Zeros end a file, unless it goes on after them.
                    if holds_durable(bytes.get(at..).unwrap_or_default(), lsn) {
                        return Err(StorageError::corrupt(&path, at as u64, "a record is missing"));
                    }
                    break;
                }
                Err(FrameError::Bad(reason)) => {
                    return damaged_or_cut(disk, dir, &files, index, at, lsn, reason, &bytes);
                }
            }
        }
        next_lsn = Some(lsn);
        tail = Some((path, at as u64));
        index += 1;
        if files.get(index).is_some_and(|(first, _)| *first != lsn) {
            let path = &files[index].1;
            return Err(StorageError::corrupt(path, 0, "log files do not follow each other"));
        }
    }
    if let Some((path, at)) = &tail {
        cut(disk, path, *at)?;
    }
    Ok(Replayed { next_lsn: next_lsn.unwrap_or(from), tail, files })
}

#[allow(clippy::too_many_arguments, reason = "one call's state, split off for reading")]
fn damaged_or_cut(
    disk: &dyn Disk,
    dir: &Path,
    files: &[(u64, PathBuf)],
    index: usize,
    at: usize,
    lsn: u64,
    reason: &str,
    bytes: &[u8],
) -> Result<Replayed> {
    let path = &files[index].1;
    if durable_after(disk, files, index, at, lsn, bytes)? {
        return Err(StorageError::corrupt(path, at as u64, reason));
    }
    tracing::warn!(file = %path.display(), offset = at, lsn, reason, "cut a torn tail of the log");
    cut(disk, path, at as u64)?;
    for (_, later) in &files[index + 1..] {
        remove(disk, dir, later)?;
    }
    Ok(Replayed {
        next_lsn: lsn,
        tail: Some((path.clone(), at as u64)),
        files: files[..=index].to_vec(),
    })
}

/// Whether any intact frame past `at` says that the record `lsn` was durable.
fn durable_after(
    disk: &dyn Disk,
    files: &[(u64, PathBuf)],
    index: usize,
    at: usize,
    lsn: u64,
    bytes: &[u8],
) -> Result<bool> {
    if holds_durable(bytes.get(at..).unwrap_or_default(), lsn) {
        return Ok(true);
    }
    for (_, path) in &files[index + 1..] {
        let bytes = disk.read(path).map_err(|e| StorageError::io(path, &e))?;
        if holds_durable(&bytes, lsn) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_durable(bytes: &[u8], lsn: u64) -> bool {
    (0..bytes.len()).step_by(8).any(|at| {
        // Length and LSN are looked at before the checksum, which costs a pass over the bytes.
        let plausible = bytes.get(at..at + frame::FRAME_HEADER).is_some_and(|header| {
            header[..4] != [0; 4]
                && u64::from_le_bytes(header[16..24].try_into().unwrap_or_default()) >= lsn
        });
        plausible
            && frame::take(&bytes[at..]).is_ok_and(|frame| frame.durable >= lsn && frame.lsn > lsn)
    })
}

/// Drops what follows the last record, so that it cannot come back after the next append.
fn cut(disk: &dyn Disk, path: &Path, at: u64) -> Result<()> {
    let io = |e: std::io::Error| StorageError::io(path, &e);
    let file = disk.open(path).map_err(io)?;
    if file.len().map_err(io)? > at {
        file.set_len(at).map_err(io)?;
        file.sync().map_err(io)?;
    }
    Ok(())
}

fn remove(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<()> {
    disk.remove(path).map_err(|e| StorageError::io(path, &e))?;
    disk.sync_dir(dir).map_err(|e| StorageError::io(dir, &e))
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
    path.file_name()?.to_str()?.strip_suffix(".wal")?.parse().ok()
}
