//! `satsuma backup` and `satsuma restore`.
//!
//! ```text
//! backup.json          format, moment, length and checksum of the catalog, chunks per group,
//!                      checksum
//! catalog.bin          the catalog
//! group-17.chunks      (u32 length, chunk)*
//! ```
//!
//! Chunks carry checksums of their own. `backup.json` is written last: a directory without it is
//! not a backup.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use satsuma_common::{GroupId, NodeId, SqlError, SqlResult, SqlState, Timestamp};
use satsuma_coordinator::catalog::State;
use satsuma_coordinator::raft;
use satsuma_proto::worker::Membership;
use satsuma_worker::restore::Restore;
use serde::{Deserialize, Serialize};

use crate::process::{self, Failure};
use crate::shell::client::{Client, Server};

const FORMAT: u32 = 2;
const SUMMARY: &str = "backup.json";
const CATALOG: &str = "catalog.bin";
/// No chunk is longer.
const MAX_CHUNK: usize = 256 << 20;

/// Where to read the cluster, and where to put the backup.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupOptions {
    /// Directory to write to; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    #[command(flatten)]
    pub server: Server,
}

/// Which backup, and where the data directories go.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreOptions {
    /// Directory of the backup
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Where to make `coordinator`, `worker-1`, `worker-2`, ...; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Summary {
    format: u32,
    /// Microseconds since 1970.
    snapshot: u64,
    catalog_bytes: u64,
    catalog_crc32c: u32,
    /// Chunks by group.
    groups: BTreeMap<u64, u64>,
    /// CRC32C of this as JSON without spaces, with a 0 here.
    crc32c: u32,
}

impl Summary {
    fn checksum(&self) -> SqlResult<u32> {
        let bare = Self { groups: self.groups.clone(), crc32c: 0, ..*self };
        let text = serde_json::to_vec(&bare).map_err(|error| damaged(error.to_string()))?;
        Ok(crc32c::crc32c(&text))
    }
}

fn io(path: &Path, error: &std::io::Error) -> SqlError {
    SqlError::new(SqlState::IO_ERROR, format!("{}: {error}", path.display()))
}

fn damaged(reason: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::DATA_CORRUPTED, format!("the backup is damaged: {}", reason.into()))
}

/// What is said of damage, with the name of the file that has it.
fn in_file(name: &str, error: SqlError) -> SqlError {
    match error.state() {
        SqlState::DATA_CORRUPTED => SqlError::new(
            SqlState::DATA_CORRUPTED,
            format!("backup file {name} is damaged: {}", error.message()),
        ),
        _ => error,
    }
}

/// Makes a directory that holds nothing yet.
fn fresh(directory: &Path) -> SqlResult<()> {
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        let message = format!("directory \"{}\" is not empty", directory.display());
        return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
    }
    fs::create_dir_all(directory).map_err(|error| io(directory, &error))
}

/// Writes a file durably.
fn write_file(path: &Path, bytes: &[u8]) -> SqlResult<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| io(path, &error))
}

pub fn backup(options: &BackupOptions) -> Result<(), Failure> {
    fresh(&options.to)?;
    let summary = process::runtime()?.block_on(async {
        let mut client = Client::connect(&options.server, None).await?;
        let mut writer = Writer::new(&options.to);
        client.stream("SELECT * FROM satsuma_backup()", |batch| writer.take(batch)).await?;
        client.close().await;
        writer.finish()
    })?;
    let chunks: u64 = summary.groups.values().sum();
    println!("backed up {} shard groups in {chunks} chunks", summary.groups.len());
    Ok(())
}

/// Sorts the parts of a backup into files.
struct Writer {
    directory: PathBuf,
    summary: Summary,
    open: Option<(u64, PathBuf, BufWriter<File>)>,
    is_whole: bool,
}

impl Writer {
    fn new(directory: &Path) -> Self {
        let summary = Summary { format: FORMAT, ..Summary::default() };
        Self { directory: directory.into(), summary, open: None, is_whole: false }
    }

    fn take(&mut self, batch: &RecordBatch) -> SqlResult<()> {
        let [parts, chunks] = batch.columns() else {
            return Err(SqlError::internal("a backup of another shape"));
        };
        for row in 0..batch.num_rows() {
            let part = text_at(parts, row).unwrap_or_default();
            self.part(&part, bytes_at(chunks, row).unwrap_or_default())?;
        }
        Ok(())
    }

    fn part(&mut self, part: &str, bytes: &[u8]) -> SqlResult<()> {
        match part.split_once(' ') {
            None if part == "snapshot" => {
                let moment = bytes.try_into().map(u64::from_le_bytes);
                self.summary.snapshot = moment.map_err(|_| damaged("no moment"))?;
            }
            None if part == "catalog" => {
                self.summary.catalog_bytes = bytes.len() as u64;
                self.summary.catalog_crc32c = crc32c::crc32c(bytes);
                write_file(&self.directory.join(CATALOG), bytes)?;
            }
            None if part == "end" => self.is_whole = true,
            Some(("group", number)) => {
                let group = number.parse().map_err(|_| damaged("a group without number"))?;
                self.chunk(group, bytes)?;
            }
            _ => return Err(SqlError::internal(format!("a part of unknown kind: {part}"))),
        }
        Ok(())
    }

    fn chunk(&mut self, group: u64, bytes: &[u8]) -> SqlResult<()> {
        if self.open.as_ref().is_none_or(|(of, _, _)| *of != group) {
            self.close()?;
            let path = self.directory.join(chunk_file(group));
            let file = File::create(&path).map_err(|error| io(&path, &error))?;
            self.open = Some((group, path, BufWriter::new(file)));
        }
        let length = u32::try_from(bytes.len()).map_err(|_| damaged("a chunk is too long"))?;
        if let Some((_, path, file)) = &mut self.open {
            file.write_all(&length.to_le_bytes())
                .and_then(|()| file.write_all(bytes))
                .map_err(|error| io(path, &error))?;
            *self.summary.groups.entry(group).or_default() += 1;
        }
        Ok(())
    }

    fn close(&mut self) -> SqlResult<()> {
        let Some((_, path, file)) = self.open.take() else { return Ok(()) };
        let file = file.into_inner().map_err(|error| io(&path, error.error()))?;
        file.sync_all().map_err(|error| io(&path, &error))
    }

    fn finish(mut self) -> SqlResult<Summary> {
        self.close()?;
        if !self.is_whole {
            return Err(SqlError::new(
                SqlState::CONNECTION_FAILURE,
                "the backup ended before it was whole",
            ));
        }
        self.summary.crc32c = self.summary.checksum()?;
        let text = serde_json::to_vec_pretty(&self.summary)
            .map_err(|error| SqlError::internal(error.to_string()))?;
        write_file(&self.directory.join(SUMMARY), &text)?;
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| io(&self.directory, &error))?;
        Ok(self.summary)
    }
}

fn chunk_file(group: u64) -> String {
    format!("group-{group}.chunks")
}

fn text_at(column: &ArrayRef, row: usize) -> Option<String> {
    match column.data_type() {
        DataType::Utf8View => Some(column.as_string_view().value(row).to_owned()),
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).to_owned()),
        _ => None,
    }
}

fn bytes_at(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    match column.data_type() {
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        _ => None,
    }
}

pub fn restore(options: &RestoreOptions) -> Result<(), Failure> {
    fresh(&options.data_dir)?;
    let restored = process::runtime()?.block_on(restore_all(&options.from, &options.data_dir));
    if restored.is_err() {
        // It was empty. What is there of a cluster would look like one.
        let _ = fs::remove_dir_all(&options.data_dir);
    }
    let workers = restored?;
    println!("restored a coordinator and {workers} workers to {}", options.data_dir.display());
    Ok(())
}

async fn restore_all(from: &Path, to: &Path) -> SqlResult<usize> {
    let (summary, state) = read_backup(from)?;
    let mut workers = BTreeMap::new();
    let mut directories = BTreeMap::new();
    for (number, node) in (1..).zip(state.workers()) {
        let restore = Restore::new(&to.join(format!("worker-{number}")))?;
        directories.insert(node.id, restore.directory().to_owned());
        workers.insert(node.id, restore);
    }
    let coordinator = NodeId(1);
    let cluster = uuid::Uuid::new_v4().to_string();
    let state = state.restored(&cluster, coordinator, &directories, Timestamp(summary.snapshot));
    for group in state.groups() {
        for node in group.finalized() {
            let worker =
                workers.get(&node).ok_or_else(|| damaged("a shard group is on no worker"))?;
            if let Some(chunks) = summary.groups.get(&group.id.0) {
                let chunks = read_chunks(from, group.id, *chunks)?;
                let filled = worker.fill(group.id, chunks).await;
                filled.map_err(|error| in_file(&chunk_file(group.id.0), error))?;
            }
            let tables: Vec<_> = state
                .tables_in(group.colocation)
                .filter_map(|table| {
                    let shard = table.shards().iter().find(|shard| shard.group == group.id)?;
                    let shape = satsuma_common::table::TableShape::clone(&table.shape);
                    Some((shape, shard.id))
                })
                .collect();
            worker.settle(group.id, group.generation, group.epoch, &tables).await?;
        }
    }
    let count = workers.len();
    for (node, worker) in workers {
        let cluster = cluster.clone();
        worker.finish(Membership { cluster, node, coordinators: Vec::new() })?;
    }
    raft::backup::found(&to.join("coordinator"), coordinator, &state)
        .map_err(|error| SqlError::new(SqlState::IO_ERROR, error.to_string()))?;
    Ok(count)
}

fn read_backup(from: &Path) -> SqlResult<(Summary, State)> {
    let path = from.join(SUMMARY);
    let text = fs::read(&path).map_err(|error| io(&path, &error))?;
    let summary: Summary =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if summary.format != FORMAT {
        return Err(SqlError::unsupported(format!(
            "the backup has format {}, this program reads format {FORMAT}",
            summary.format
        )));
    }
    if summary.crc32c != summary.checksum()? {
        return Err(damaged("the checksum of backup.json does not match"));
    }
    let path = from.join(CATALOG);
    let catalog = fs::read(&path).map_err(|error| io(&path, &error))?;
    let fits = catalog.len() as u64 == summary.catalog_bytes
        && crc32c::crc32c(&catalog) == summary.catalog_crc32c;
    if !fits {
        return Err(damaged("the catalog's checksum does not match"));
    }
    let state = raft::backup::import(&catalog).map_err(|error| damaged(error.to_string()))?;
    Ok((summary, state))
}

fn read_chunks(
    from: &Path,
    group: GroupId,
    count: u64,
) -> SqlResult<impl Iterator<Item = SqlResult<Vec<u8>>>> {
    let path = from.join(chunk_file(group.0));
    let file = File::open(&path).map_err(|error| io(&path, &error))?;
    let mut file = BufReader::new(file);
    let broken = |reason| SqlError::new(SqlState::DATA_CORRUPTED, reason);
    let unread = move |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => broken("it is cut off"),
        _ => io(&path, &error),
    };
    Ok((0..count).map(move |_| {
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(&unread)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_CHUNK {
            return Err(broken("a chunk is too long"));
        }
        let mut chunk = vec![0; length];
        file.read_exact(&mut chunk).map_err(&unread)?;
        Ok(chunk)
    }))
}
