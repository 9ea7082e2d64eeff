//! What the key-value store says of shards, tables and the last checkpoint.
//!
//! ```text
//! c                checkpoint
//! d <shard>        records that damage of the log has cost the shard
//! f <group>        the group is served elsewhere
//! g <group>        generation and epoch
//! h <shard>        group, table, LSN of its creation
//! m <shard>        manifest: segments, marks, LSN up to which the log is in them
//! p <table>        whose definition its shape is, until its commit
//! r <shard>        shape and layouts of a shard that is being rewritten
//! s <segment>      a small segment's bytes
//! t <table>        shape and layouts
//! ```
//!
//! Numbers in keys are big endian; values are postcard behind a format byte and a CRC32C. A value
//! that is longer than the store takes goes on under its key with a part's number behind it.

use std::path::{Path, PathBuf};

use satsuma_common::row::Layouts;
use satsuma_common::table::TableShape;
use satsuma_common::{Epoch, Generation, GroupId, Lsn, ShardId, TableId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Result, StorageError};
use crate::kv::{Batch, Kv};
use crate::segment::Marks;

const FORMAT: u8 = 2;

pub const CHECKPOINT: &[u8] = b"c";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Changes of shards and shapes up to this LSN are in the store.
    pub meta_lsn: u64,
    pub last_commit: u64,
    /// Records below this LSN are not needed any more.
    pub log_from: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardHeader {
    pub group: GroupId,
    pub table: TableId,
    pub created: u64,
}

/// Records of a shard that were durable and cannot be read: it refuses until it is dropped,
/// whatever becomes of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    pub group: GroupId,
    /// LSN of the shard's creation; 0: that is lost, too.
    pub created: u64,
    /// LSN of the last of the records.
    pub last: u64,
    /// What is known of the shard beside its rows is as it was.
    pub only_rows: bool,
    pub file: String,
    pub offset: u64,
    pub reason: String,
}

impl Loss {
    /// Of rows up to a record.
    pub fn of_rows(group: GroupId, created: Lsn, last: Lsn, error: &StorageError) -> Self {
        let (file, offset, reason) = match error {
            StorageError::Corrupt { path, offset, reason } => {
                (path.display().to_string(), *offset, reason.clone())
            }
            other => (String::new(), 0, other.to_string()),
        };
        Self { group, created: created.0, last: last.0, only_rows: true, file, offset, reason }
    }

    pub fn error(&self) -> StorageError {
        StorageError::corrupt(&self.file, self.offset, self.reason.clone())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub generation: Generation,
    pub epoch: Epoch,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    pub shape: TableShape,
    pub layouts: Layouts,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// LSN of the shard's creation: a shard that was dropped and came again is another one.
    pub created: u64,
    /// Records up to this LSN are in the segments and marks.
    pub sealed: u64,
    pub next_row_id: u64,
    /// Moments of TRUNCATEs.
    pub truncations: Vec<u64>,
    pub segments: Vec<SegmentRef>,
    pub marks: MarksPlace,
    /// Records beyond `sealed` whose segments are among these, or were and have been merged.
    pub attached: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    pub id: u64,
    pub size: u64,
    pub in_file: bool,
    /// When all its rows were committed; 0: they have timestamps of their own.
    pub committed: u64,
}

/// Marks of the segments, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MarksPlace {
    Here(Vec<Marks>),
    /// In a file with this number.
    File(u64),
}

impl Default for MarksPlace {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

pub fn shard_key(kind: u8, shard: ShardId) -> Vec<u8> {
    numbered(kind, shard.0)
}

pub fn group_key(group: GroupId) -> Vec<u8> {
    numbered(b'g', group.0)
}

pub fn fence_key(group: GroupId) -> Vec<u8> {
    numbered(b'f', group.0)
}

pub fn table_key(table: TableId) -> Vec<u8> {
    numbered(b't', u64::from(table.0))
}

pub fn pending_key(table: TableId) -> Vec<u8> {
    numbered(b'p', u64::from(table.0))
}

pub fn segment_key(id: u64) -> Vec<u8> {
    numbered(b's', id)
}

fn numbered(kind: u8, number: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number in a key of this module.
pub fn number_of(key: &[u8]) -> Option<u64> {
    key.get(1..)?.try_into().ok().map(u64::from_be_bytes)
}

pub fn segment_file(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.seg"))
}

pub fn marks_file(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.marks"))
}

/// The number of a segment or marks file.
pub fn file_number(path: &Path) -> Option<u64> {
    let extension = path.extension()?.to_str()?;
    if !matches!(extension, "seg" | "marks") {
        return None;
    }
    u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok()
}

pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(value)
        .map_err(|e| StorageError::corrupt("manifest", 0, format!("cannot be written: {e}")))?;
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(FORMAT);
    out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// Adds a value to a batch.
pub fn put<T: Serialize>(batch: &mut Batch, key: Vec<u8>, value: &T) -> Result<()> {
    batch.push((key, Some(encode(value)?.into())));
    Ok(())
}

/// The value under a key.
pub fn get<T: DeserializeOwned>(kv: &Kv, key: &[u8]) -> Result<Option<T>> {
    let Some(bytes) = kv.get(key)? else { return Ok(None) };
    decode(&name_of(key), &bytes).map(Some)
}

fn name_of(key: &[u8]) -> String {
    let kind = key.first().copied().map_or(' ', char::from);
    format!("kv/{kind}{}", number_of(key).unwrap_or(0))
}

pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let bad = |reason: &str| StorageError::corrupt(what, 0, reason);
    let (header, body) = bytes.split_at_checked(5).ok_or_else(|| bad("cut off"))?;
    if header[0] != FORMAT {
        return Err(bad("format is not known to this program"));
    }
    if header[1..] != crc32c::crc32c(body).to_le_bytes() {
        return Err(bad("checksum does not match"));
    }
    postcard::from_bytes(body).map_err(|e| bad(&e.to_string()))
}

/// Every record of one kind, by the number in its key.
pub fn all<T: DeserializeOwned>(kv: &Kv, kind: u8) -> Result<Vec<(u64, T)>> {
    each(kv, kind)?.into_iter().map(|(number, value)| Ok((number, value?))).collect()
}

/// The same where one that is damaged must not take the others with it.
pub fn each<T: DeserializeOwned>(kv: &Kv, kind: u8) -> Result<Vec<(u64, Result<T>)>> {
    let found = kv.scan(&[kind])?.into_iter();
    let found =
        found.filter_map(|(key, value)| Some((number_of(&key)?, decode(&name_of(&key), &value))));
    Ok(found.collect())
}
