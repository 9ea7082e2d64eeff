//! Runs in files: `<segment>-<index>-<definition>-<part>.idx`, the last part `.idx-end`.
//!
//! No manifest names them. A run is whole when its last part is there, which is written when the
//! others are durable; what is left of one that is not is written over.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use satsuma_common::Oid;

use super::store::Store;
use crate::error::{Result, StorageError};
use crate::index::{Indexing, Run, RunBuilder, TableIndex};
use crate::segment::{Marks, Segment};

const PART: &str = "idx";
const LAST_PART: &str = "idx-end";

fn part_file(dir: &Path, segment: u64, index: &TableIndex, part: usize, last: bool) -> PathBuf {
    let (id, definition) = (index.shape.id.0, index.fingerprint);
    let extension = if last { LAST_PART } else { PART };
    dir.join(format!("{segment:016x}-{id:08x}-{definition:08x}-{part}.{extension}"))
}

/// The segment and the index that a file is about.
fn owner(path: &Path) -> Option<(u64, Oid)> {
    let extension = path.extension()?.to_str()?;
    if !matches!(extension, PART | LAST_PART) {
        return None;
    }
    let mut parts = path.file_stem()?.to_str()?.split('-');
    let segment = u64::from_str_radix(parts.next()?, 16).ok()?;
    let index = u32::from_str_radix(parts.next()?, 16).ok()?;
    Some((segment, Oid(index)))
}

pub(super) fn part_in_memory(bytes: Vec<u8>) -> Result<Segment> {
    Segment::open(0, PathBuf::from("index"), Bytes::from(bytes), Marks::default())
}

impl Store {
    /// The run of a segment, if its files are whole.
    pub fn open_run(&self, segment: &Segment, index: &TableIndex) -> Result<Option<Run>> {
        let mut parts = Vec::new();
        loop {
            let at = parts.len();
            let last = part_file(&self.dir, segment.id, index, at, true);
            match self.open_part(&last) {
                Ok(Some(part)) => {
                    parts.push(part);
                    return Ok(Some(Run::new(parts)));
                }
                Ok(None) => {}
                Err(error) => return Ok(damaged(&error)),
            }
            match self.open_part(&part_file(&self.dir, segment.id, index, at, false)) {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => return Ok(None),
                Err(error) => return Ok(damaged(&error)),
            }
        }
    }

    fn open_part(&self, path: &Path) -> Result<Option<Segment>> {
        match self.disk.map(path) {
            Ok(bytes) => Segment::open(0, path.to_owned(), bytes, Marks::default()).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io(path, &error)),
        }
    }

    pub fn build_run(
        &self,
        segment: &Segment,
        index: &TableIndex,
        indexing: &Indexing,
        goes_on: impl Fn() -> Result<()>,
    ) -> Result<Run> {
        let mut builder = RunBuilder::new(segment, index, indexing);
        let mut parts = Vec::new();
        loop {
            goes_on()?;
            let bytes = builder.part()?;
            let last = builder.is_done();
            if last && !parts.is_empty() {
                self.sync_names()?;
            }
            let path = part_file(&self.dir, segment.id, index, parts.len(), last);
            // A file of that name may be mapped: it is unlinked, never written over.
            self.remove(&path)?;
            self.write_file(&path, &bytes)?;
            let part = self.open_part(&path)?;
            let gone = || StorageError::corrupt(&path, 0, "a file that was just written is gone");
            parts.push(part.ok_or_else(gone)?);
            if last {
                return Ok(Run::new(parts));
            }
        }
    }

    /// Removes the files of runs, by segment and index.
    pub fn remove_runs(&self, mut chosen: impl FnMut(u64, Oid) -> bool) -> Result<()> {
        let files = self.disk.list(&self.dir).map_err(|e| StorageError::io(&self.dir, &e))?;
        for path in files {
            if owner(&path).is_some_and(|(segment, index)| chosen(segment, index)) {
                self.remove(&path)?;
            }
        }
        Ok(())
    }
}

/// A run follows from its segment: it is made again.
fn damaged(error: &StorageError) -> Option<Run> {
    tracing::warn!(%error, "an index file cannot be read and is made again");
    None
}
