//! Shard groups on their way from or to this worker: the steps that a move's driver asks for.
//!
//! Each group that is moving has a slot with what is open for it. Steps of one group follow each
//! other. A step of a later attempt first does away with what earlier ones left; one of an earlier
//! attempt is refused. What nobody asks for any more is let go: a hold after [`HOLD_LEASE`], the
//! rest after [`IDLE`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex as SyncMutex;
use satsuma_common::{
    GroupId, MoveId, NodeId, ShardId, SqlError, SqlResult, SqlState, Timestamp, TxnId,
};
use satsuma_proto::copy::{CopyAction, CopyReply, CopyRequest, ShardSum, Watermark};
use satsuma_storage::{CopyReader, CopyWriter, SnapshotReader, StorageError};
use tokio::sync::Mutex;

use crate::error;
use crate::local::Shared;

/// A hold ends by itself when its driver is silent for so long, unless the group is fenced.
const HOLD_LEASE: Duration = Duration::from_secs(5);
/// An open copy is closed when it is not asked for in so long.
const IDLE: Duration = Duration::from_secs(120);
/// How long a drop waits for statements that still read the group.
const READERS: Duration = Duration::from_secs(30);

/// Every group that is moving.
#[derive(Default)]
pub(crate) struct Copies {
    slots: SyncMutex<BTreeMap<GroupId, Arc<Mutex<Slot>>>>,
    backups: SyncMutex<BTreeMap<(GroupId, MoveId), Backup>>,
}

struct Slot {
    attempt: (MoveId, u64),
    reader: Option<CopyReader>,
    writer: Option<CopyWriter>,
    hold: Option<(TxnId, Vec<ShardId>)>,
    /// The hold stays until its driver, or the next one, ends it.
    is_fenced: bool,
    asked: Instant,
}

/// A group that is read for a backup, until nobody asks for more in [`IDLE`].
struct Backup {
    reader: Option<SnapshotReader>,
    asked: Instant,
}

/// A step of a backup; `None` when the request is of a move.
async fn back_up(shared: &Arc<Shared>, request: &CopyRequest) -> Option<SqlResult<CopyReply>> {
    let key = (request.group, request.movement);
    let mut reply = CopyReply::default();
    let mut reader = match &request.action {
        CopyAction::Snapshot { snapshot } => {
            let opened = SnapshotReader::open(&shared.engine, request.group, *snapshot).await;
            match opened {
                Ok(reader) => reader,
                Err(error) => return Some(Err(failed(error))),
            }
        }
        CopyAction::Next => {
            let mut backups = shared.copies.backups.lock();
            backups.retain(|_, backup| backup.asked.elapsed() < IDLE);
            let backup = backups.get_mut(&key)?;
            match backup.reader.take() {
                Some(reader) => reader,
                None => return Some(Err(not_open())),
            }
        }
        _ => return None,
    };
    let first = matches!(request.action, CopyAction::Snapshot { .. });
    if first {
        reply.shards = reader.shards().to_vec();
    } else {
        let read = tokio::task::spawn_blocking(move || {
            let chunk = reader.next_chunk();
            (reader, chunk)
        });
        let chunk;
        (reader, chunk) = match read.await {
            Ok(read) => read,
            Err(error) => return Some(Err(abandoned(error))),
        };
        match chunk {
            Ok(Some(bytes)) => reply.chunk = bytes.into(),
            Ok(None) => {
                shared.copies.backups.lock().remove(&key);
                return Some(Ok(reply));
            }
            Err(error) => return Some(Err(failed(error))),
        }
    }
    let backup = Backup { reader: Some(reader), asked: Instant::now() };
    shared.copies.backups.lock().insert(key, backup);
    Some(Ok(reply))
}

/// Carries out a step, to its end even when the caller goes away.
pub(crate) async fn copy(shared: Arc<Shared>, request: CopyRequest) -> SqlResult<CopyReply> {
    if let Some(answer) = back_up(&shared, &request).await {
        return answer;
    }
    let step = tokio::spawn(async move {
        let slot = slot_of(&shared, &request);
        let mut slot = slot.lock().await;
        slot.enter(&shared, &request)?;
        slot.step(&shared, request.group, request.action).await
    });
    step.await.map_err(|_| SqlError::internal("a step of a move failed unexpectedly"))?
}

fn slot_of(shared: &Arc<Shared>, request: &CopyRequest) -> Arc<Mutex<Slot>> {
    let group = request.group;
    let mut slots = shared.copies.slots.lock();
    if let Some(slot) = slots.get(&group) {
        return slot.clone();
    }
    let slot = Arc::new(Mutex::new(Slot {
        attempt: (request.movement, request.attempt),
        reader: None,
        writer: None,
        hold: None,
        is_fenced: false,
        asked: Instant::now(),
    }));
    slots.insert(group, slot.clone());
    tokio::spawn(watch(Arc::downgrade(shared), group));
    slot
}

/// Lets go of what a driver has forgotten.
async fn watch(shared: std::sync::Weak<Shared>, group: GroupId) {
    loop {
        tokio::time::sleep(HOLD_LEASE / 5).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(slot) = shared.copies.slots.lock().get(&group).cloned() else { return };
        let mut slot = slot.lock().await;
        let silent = slot.asked.elapsed();
        if silent >= HOLD_LEASE && !slot.is_fenced {
            slot.release(&shared);
        }
        if silent >= IDLE && slot.hold.is_none() {
            slot.reader = None;
            slot.writer = None;
            shared.copies.slots.lock().remove(&group);
            return;
        }
    }
}

impl Slot {
    fn enter(&mut self, shared: &Shared, request: &CopyRequest) -> SqlResult<()> {
        let attempt = (request.movement, request.attempt);
        if attempt < self.attempt {
            return Err(SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("a later attempt has taken over the move of {}", request.group),
            ));
        }
        if attempt > self.attempt {
            self.release(shared);
            self.reader = None;
            self.writer = None;
            self.attempt = attempt;
        }
        self.asked = Instant::now();
        Ok(())
    }

    fn release(&mut self, shared: &Shared) {
        if let Some((holder, _)) = self.hold.take() {
            shared.engine.release_group(holder);
        }
        self.is_fenced = false;
    }

    async fn step(
        &mut self,
        shared: &Arc<Shared>,
        group: GroupId,
        action: CopyAction,
    ) -> SqlResult<CopyReply> {
        let engine = &shared.engine;
        let mut reply = CopyReply::default();
        match action {
            CopyAction::Begin { generation } => {
                self.writer = None;
                engine.drop_group(group, generation).await.map_err(failed)?;
                shared.placements.refresh();
                self.writer = Some(CopyWriter::new(engine, group));
            }
            CopyAction::Open => {
                let engine = engine.clone();
                let opened = tokio::task::spawn_blocking(move || CopyReader::open(&engine, group));
                let reader = opened.await.map_err(abandoned)?.map_err(failed)?;
                self.describe(&reader, &mut reply);
                self.reader = Some(reader);
            }
            CopyAction::Next => {
                let mut reader = self.reader.take().ok_or_else(not_open)?;
                let read = tokio::task::spawn_blocking(move || {
                    let chunk = reader.next_chunk();
                    (reader, chunk)
                });
                let (reader, chunk) = read.await.map_err(abandoned)?;
                reply.chunk = chunk.map_err(failed)?.unwrap_or_default().into();
                self.describe(&reader, &mut reply);
                self.reader = Some(reader);
            }
            CopyAction::Write { chunk } => {
                let mut writer = self.writer.take().ok_or_else(not_open)?;
                // Writes and syncs files: not on a thread that answers requests.
                let runtime = tokio::runtime::Handle::current();
                let write = tokio::task::spawn_blocking(move || {
                    let written = runtime.block_on(writer.write(&chunk));
                    (writer, written)
                });
                let (writer, written) = write.await.map_err(abandoned)?;
                written.map_err(failed)?;
                self.writer = Some(writer);
                shared.placements.refresh();
            }
            CopyAction::Checksum { snapshot } => {
                let engine = engine.clone();
                let sums = shared
                    .on_cpu(async move { engine.checksum(group, snapshot).await.map_err(failed) });
                let shown = sums.await?.into_iter().map(|sum| ShardSum {
                    shard: sum.shard,
                    rows: sum.rows,
                    sum: sum.sum,
                });
                reply.sums = shown.collect();
            }
            CopyAction::Hold { timeout } => {
                let holder = holder(group);
                let held = engine.hold_group(group, holder, timeout).await.map_err(failed)?;
                self.hold = Some((holder, held));
                reply.end = engine.lsn();
            }
            CopyAction::Snapshot { .. } => return Err(not_open()),
            CopyAction::Release => self.release(shared),
            CopyAction::Fence { generation, leaving } => {
                let Some((_, held)) = &self.hold else { return Err(not_open()) };
                // Before anything is durable: the hold must outlast its driver from here on.
                self.is_fenced = true;
                let mark = match leaving {
                    true => engine.fence_group(group, generation, held).await,
                    false => engine.share_group(group, generation, held).await,
                };
                let mark = mark.map_err(failed)?;
                reply.watermark =
                    Watermark { read: mark.read, commit: mark.commit, horizon: mark.horizon };
            }
            CopyAction::Activate { generation, epoch, watermark, shapes, shards } => {
                let here = engine.shards_of(group);
                if self.writer.is_none() || !shards.iter().all(|shard| here.contains(shard)) {
                    return Err(not_open());
                }
                engine.observe(satsuma_storage::Watermark {
                    read: watermark.read,
                    commit: watermark.commit,
                    horizon: watermark.horizon,
                });
                for shape in &shapes {
                    let known = engine.shape(shape.table);
                    if known.is_none_or(|known| known.version != shape.version) {
                        engine.alter_table(shape).await.map_err(failed)?;
                    }
                }
                engine.set_generation(group, generation, epoch).await.map_err(failed)?;
                self.writer = None;
                shared.placements.refresh();
            }
            CopyAction::Drop { generation } => {
                self.reader = None;
                self.writer = None;
                shared.placements.readers_gone(group, READERS).await;
                engine.drop_group(group, generation).await.map_err(failed)?;
                self.release(shared);
                shared.placements.refresh();
            }
        }
        Ok(reply)
    }

    fn describe(&self, reader: &CopyReader, reply: &mut CopyReply) {
        let progress = reader.progress();
        reply.position = progress.position;
        reply.end = progress.end;
        (reply.bytes, reply.sent) = (progress.bytes, progress.sent);
        reply.shards = reader.shards();
    }
}

/// Younger than every transaction: where they wait for each other, the hold gives way.
fn holder(group: GroupId) -> TxnId {
    TxnId { start: Timestamp(u64::MAX - group.0), coordinator: NodeId(0) }
}

/// What the driver acts on is the state: 55P03 for a hold that did not come, 55000 for a copy
/// that has to start again.
fn failed(failure: StorageError) -> SqlError {
    match failure {
        StorageError::LockTimeout | StorageError::Deadlock { .. } => SqlError::new(
            SqlState::LOCK_NOT_AVAILABLE,
            "transactions on the shard group did not end in time",
        ),
        StorageError::CopyBroken(_) => {
            SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, failure.to_string())
        }
        other => error::storage(other),
    }
}

fn not_open() -> SqlError {
    SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the step does not follow from what this worker knows of the move",
    )
}

fn abandoned(_: tokio::task::JoinError) -> SqlError {
    SqlError::internal("a step of a move was abandoned")
}
