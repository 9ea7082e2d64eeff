//! Writing, under locks, into a transaction's buffer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use satsuma_common::row::RowError;
use satsuma_common::{Oid, ShardId, Timestamp, TxnId};

use super::unique::UniqueEntries;
use super::{Engine, Held, RowBytes, TableMeta};
use crate::delta::Version;
use crate::error::{Result, StorageError};
use crate::lock::{LockKey, LockMode, LockWait, RowLockMode, TableLockMode};
use crate::shard::Shard;
use crate::txn::{Own, Phase, Txn};

/// Stands for the primary key among unique indexes.
pub const PRIMARY_KEY: Oid = Oid(0);

/// Longest row with its key, so that one always fits a log record.
const MAX_ROW: usize = 32 << 20;

/// The statement that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteContext {
    pub txn: TxnId,
    /// Counts the transaction's statements from 1.
    pub statement: u32,
    pub snapshot: Timestamp,
    /// How long to wait for one lock; `None` without end.
    pub lock_timeout: Option<Duration>,
}

/// What an insertion does about a key that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// [`StorageError::UniqueViolation`].
    Fail,
    /// Leave the proposed row out.
    Skip,
    /// Leave it out, lock the existing row and report it, for DO UPDATE.
    Report,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Which input rows went in, and their keys.
    pub rows: Vec<usize>,
    pub keys: Vec<Bytes>,
    /// With [`ConflictPolicy::Report`].
    pub conflicts: Vec<Conflict>,
}

/// A proposed row whose key is taken. The existing row is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The input row.
    pub row: usize,
    pub key: Bytes,
    pub existing: RowBytes,
    /// The existing row is this statement's own: DO UPDATE would change a row a second time.
    pub same_statement: bool,
    /// The existing row is newer than the statement's snapshot.
    pub above_snapshot: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Which inputs changed a row; the others found none, or one that this statement had changed
    /// already.
    pub rows: Vec<usize>,
    /// The rows as they were, one for each of `rows`.
    pub old: Vec<RowBytes>,
}

/// How to lock rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLocks {
    pub mode: RowLockMode,
    pub wait: LockWait,
    /// Leave out rows that cannot be had at once.
    pub skip_locked: bool,
    /// Look at the newest version, whatever the snapshot (foreign keys).
    pub newest: bool,
    /// A row that was deleted after the snapshot does not exist, instead of being an error.
    pub skip_deleted: bool,
    /// Stop when so many rows are locked.
    pub limit: Option<usize>,
}

impl RowLocks {
    /// Waits for every row, as the snapshot sees it.
    pub fn new(mode: RowLockMode, wait: LockWait) -> Self {
        Self { mode, wait, skip_locked: false, newest: false, skip_deleted: false, limit: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedRow {
    /// The input key.
    pub row: usize,
    /// Whether the newest version is a row. Locks on keys without a row are kept too.
    pub exists: bool,
}

impl Engine {
    /// Inserts rows: the table's columns in the shape's order, further columns are ignored.
    pub async fn insert(
        &self,
        context: &WriteContext,
        shard: ShardId,
        rows: &RecordBatch,
        policy: ConflictPolicy,
    ) -> Result<Inserted> {
        self.insert_unless(context, shard, rows, policy, &[]).await
    }

    /// The same, where `policy` is for conflicts in the unique indexes `arbiters` alone, and others
    /// fail. [`PRIMARY_KEY`] stands for the primary key; without arbiters all count.
    pub async fn insert_unless(
        &self,
        context: &WriteContext,
        shard: ShardId,
        rows: &RecordBatch,
        policy: ConflictPolicy,
        arbiters: &[Oid],
    ) -> Result<Inserted> {
        let write = self.begin_write(context, shard).await?;
        let encoded = write.table.encoder.encode_batch(rows)?;
        let keys = match &write.table.key {
            Some(key) => Some(key.encode_batch(rows, &write.table.key_positions)?),
            None => None,
        };
        let rows = encoded.into_iter().map(Bytes::from).collect();
        write.insert(rows, keys, policy, arbiters).await
    }

    /// Inserts rows that are encoded already. They must be sound, and of the table's present
    /// shape: see [`satsuma_common::row::RowDecoder::check`].
    pub async fn insert_rows(
        &self,
        context: &WriteContext,
        shard: ShardId,
        rows: Vec<Bytes>,
        policy: ConflictPolicy,
        arbiters: &[Oid],
    ) -> Result<Inserted> {
        let write = self.begin_write(context, shard).await?;
        let keys = match &write.table.key {
            Some(_) => Some(rows.iter().map(|row| write.table.key_of(row)).collect::<Result<_>>()?),
            None => None,
        };
        write.insert(rows, keys, policy, arbiters).await
    }

    /// Changes the row with this key to what `change` makes of it, or deletes it where that is
    /// `None`; its key stays. Answers with the row as it was, or `None` where there is none.
    ///
    /// `newest` takes the row as it is once its lock is held, as if the statement's snapshot had
    /// been taken then. Without it, a row that was changed after the snapshot is an error as in
    /// [`Self::update`].
    pub async fn change_row<E: From<StorageError>>(
        &self,
        context: &WriteContext,
        shard: ShardId,
        key: &[u8],
        newest: bool,
        mode: RowLockMode,
        change: impl FnOnce(&TableMeta, &[u8]) -> std::result::Result<Option<Bytes>, E>,
    ) -> std::result::Result<Option<RowBytes>, E> {
        let write = self.begin_write(context, shard).await?;
        let key = Bytes::copy_from_slice(key);
        write.lock(&key, mode, LockWait::Wait(context.lock_timeout)).await?;
        let old = match (write.own(&key)?, newest) {
            (Some(Own::Row(row)), _) => Some(row),
            (Some(Own::Deleted), _) => None,
            (None, true) => write.shard.newest(&key)?.and_then(|version| version.row),
            (None, false) => write.unchanged(&key)?,
        };
        let Some(old) = old else { return Ok(None) };
        let Some(new) = change(&write.table, &old)? else {
            write.put(key, None)?;
            return Ok(Some(old));
        };
        let indexing = write.indexing();
        let unique = UniqueEntries::of(&indexing, std::slice::from_ref(&new))?;
        write.claim_changed(&indexing, &unique, 0, (&key, None), &old).await?;
        write.put(key.clone(), Some(new))?;
        write.note_entries(&unique, 0, &key);
        Ok(Some(old))
    }

    /// Replaces the rows with these keys; `rows` holds the table's columns as they shall be, in
    /// the shape's order. Fails with [`StorageError::ChangedSinceSnapshot`] on a row that was
    /// changed after the statement's snapshot, with its lock held.
    pub async fn update<K: AsRef<[u8]> + Sync>(
        &self,
        context: &WriteContext,
        shard: ShardId,
        keys: &[K],
        rows: &RecordBatch,
    ) -> Result<Changed> {
        let write = self.begin_write(context, shard).await?;
        let encoded = write.table.encoder.encode_batch(rows)?;
        if encoded.len() != keys.len() {
            return Err(RowError::ColumnCount(encoded.len(), keys.len()).into());
        }
        let new_keys = match &write.table.key {
            Some(key) => Some(key.encode_batch(rows, &write.table.key_positions)?),
            None => None,
        };
        let indexing = write.indexing();
        let unique = UniqueEntries::of(&indexing, &encoded)?;
        write.lock_in_order(keys, RowLockMode::NoKeyUpdate).await?;
        let mut changed = Changed::default();
        for (index, (key, row)) in keys.iter().zip(encoded).enumerate() {
            let key = Bytes::copy_from_slice(key.as_ref());
            let new_key = new_keys.as_ref().map(|keys| &keys[index]).filter(|new| **new != key);
            let mode = match new_key {
                Some(_) => RowLockMode::Update,
                None => RowLockMode::NoKeyUpdate,
            };
            let Some(old) = write.lock_and_find(&key, mode).await? else { continue };
            let moved = new_key.map(|new| Bytes::copy_from_slice(new));
            let keys = (&key, moved.as_ref());
            write.claim_changed(&indexing, &unique, index, keys, &old).await?;
            let written = moved.unwrap_or_else(|| key.clone());
            match new_key {
                None => write.put(key, Some(row.into()))?,
                Some(new_key) => {
                    let new_key = Bytes::copy_from_slice(new_key);
                    if write.claim(&new_key, ConflictPolicy::Fail).await?.is_some() {
                        let (row, key) = (index, new_key.to_vec());
                        let index = None;
                        return Err(StorageError::UniqueViolation { shard, row, index, key });
                    }
                    write.put(key, None)?;
                    write.put(new_key, Some(row.into()))?;
                }
            }
            write.note_entries(&unique, index, &written);
            changed.rows.push(index);
            changed.old.push(old);
        }
        Ok(changed)
    }

    /// Deletes the rows with these keys; changed rows as in [`Self::update`].
    pub async fn delete<K: AsRef<[u8]> + Sync>(
        &self,
        context: &WriteContext,
        shard: ShardId,
        keys: &[K],
    ) -> Result<Changed> {
        let write = self.begin_write(context, shard).await?;
        write.lock_in_order(keys, RowLockMode::Update).await?;
        let mut changed = Changed::default();
        for (index, key) in keys.iter().enumerate() {
            let key = Bytes::copy_from_slice(key.as_ref());
            let Some(old) = write.lock_and_find(&key, RowLockMode::Update).await? else { continue };
            write.put(key, None)?;
            changed.rows.push(index);
            changed.old.push(old);
        }
        Ok(changed)
    }

    /// Removes every row. Snapshots from before still see them.
    pub async fn truncate(&self, context: &WriteContext, shard: ShardId) -> Result<()> {
        let txn = self.open_txn(context.txn)?;
        let (shard, _) = self.shard_and_table(shard)?;
        shard.check()?;
        self.lock_for(context, &txn, shard.id, TableLockMode::AccessExclusive).await?;
        let mut state = txn.state.lock();
        if state.phase != Phase::Open {
            return Err(StorageError::NotOpen(txn.id));
        }
        state.truncate(shard.id, context.statement);
        Ok(())
    }

    /// Locks rows. A row that was changed after the snapshot is an error as in [`Self::update`],
    /// unless `newest` asks for rows as they are now.
    pub async fn lock_rows<K: AsRef<[u8]> + Sync>(
        &self,
        context: &WriteContext,
        shard: ShardId,
        keys: &[K],
        request: RowLocks,
    ) -> Result<Vec<LockedRow>> {
        let RowLocks { mode, wait, skip_locked, newest, skip_deleted, limit } = request;
        let write = self.begin_work(context, shard, TableLockMode::RowShare).await?;
        let wait = if skip_locked { LockWait::NoWait } else { wait };
        let mut locked = Vec::with_capacity(keys.len());
        let mut found = 0;
        for (row, key) in keys.iter().enumerate() {
            if limit.is_some_and(|limit| found >= limit) {
                break;
            }
            let key = Bytes::copy_from_slice(key.as_ref());
            match write.lock(&key, mode, wait).await {
                Err(StorageError::LockNotAvailable) if skip_locked => continue,
                other => other?,
            }
            let exists = match (write.own(&key)?, newest) {
                (Some(own), _) => matches!(own, Own::Row(_)),
                (None, true) => write.shard.newest(&key)?.is_some_and(|v| v.row.is_some()),
                (None, false) if skip_deleted && write.is_deleted(&key)? => false,
                (None, false) => write.unchanged(&key)?.is_some(),
            };
            found += usize::from(exists);
            locked.push(LockedRow { row, exists });
        }
        Ok(locked)
    }

    /// Locks the shard as a whole; answers whether it had to wait.
    pub async fn lock_shard(
        &self,
        context: &WriteContext,
        shard: ShardId,
        mode: TableLockMode,
        wait: LockWait,
    ) -> Result<bool> {
        let txn = self.open_txn(context.txn)?;
        self.meta.read().check_known(shard)?;
        self.lock(&txn, LockKey { shard, row: None }, mode.into(), wait).await
    }

    /// Takes an advisory lock for the transaction, or for its session, which goes by the id of a
    /// transaction that never commits. `false`: somebody has it, and `wait` says not to wait.
    pub async fn lock_advisory(
        &self,
        (txn, session): (TxnId, TxnId),
        for_session: bool,
        key: &LockKey,
        mode: RowLockMode,
        wait: LockWait,
    ) -> Result<bool> {
        let owner = self.open_txn(if for_session { session } else { txn })?;
        let wait = match self.locks.acquire_for(txn, session, owner.id, key, mode, wait) {
            Ok(wait) => wait,
            Err(StorageError::LockNotAvailable) => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(wait) = wait {
            wait.granted().await?;
        }
        self.release_if_ended(&owner)?;
        Ok(true)
    }

    /// `false`: the session does not hold it.
    pub fn unlock_advisory(&self, session: TxnId, key: &LockKey, mode: RowLockMode) -> bool {
        self.locks.release_one(session, key, mode)
    }

    /// Opens the transaction, if it is not yet, so that it can be committed even when it comes to
    /// write nothing.
    pub fn begin(&self, txn: TxnId) -> Result<()> {
        self.open_txn(txn).map(drop)
    }

    /// Forgets the writes of the last statement, whose first number this is. Locks stay.
    pub fn undo_statement(&self, txn: TxnId, statement: u32) -> Result<()> {
        self.undo(txn, |written| written >= statement)
    }

    /// Forgets the writes of every statement above `statement`, and lets go of the rows that only
    /// those locked (ROLLBACK TO SAVEPOINT).
    pub fn rollback_to(&self, txn: TxnId, statement: u32) -> Result<()> {
        self.undo(txn, |written| written > statement)?;
        let Some(open) = self.txns.lock().get(&txn).cloned() else { return Ok(()) };
        let kept = open.state.lock().locks_until(statement);
        if let Some(kept) = kept {
            self.locks.release_rows_after(txn, kept);
        }
        Ok(())
    }

    fn undo(&self, txn: TxnId, gone: impl Fn(u32) -> bool) -> Result<()> {
        let Some(txn) = self.txns.lock().get(&txn).cloned() else { return Ok(()) };
        let mut state = txn.state.lock();
        if state.phase != Phase::Open {
            return Err(StorageError::NotOpen(txn.id));
        }
        state.undo(gone);
        Ok(())
    }

    /// That what a transaction may have written here is still here: it is known, or has begun since
    /// the start of this process.
    pub fn check_kept(&self, id: TxnId) -> Result<()> {
        if self.is_older(id) && !self.txns.lock().contains_key(&id) {
            return Err(StorageError::NoSuchTransaction(id));
        }
        Ok(())
    }

    /// Whether it began before this process could know of it.
    fn is_older(&self, id: TxnId) -> bool {
        id.start < Timestamp(self.oldest_transaction.load(Ordering::Acquire))
    }

    fn open_txn(&self, id: TxnId) -> Result<Arc<Txn>> {
        self.wal.check()?;
        let mut txns = self.txns.lock();
        let is_new = !txns.contains_key(&id);
        if is_new && (self.is_older(id) || self.aborted.lock().get(&id).is_some()) {
            return Err(StorageError::NoSuchTransaction(id));
        }
        let txn = txns.entry(id).or_insert_with(|| Arc::new(Txn::new(id))).clone();
        drop(txns);
        if txn.state.lock().phase != Phase::Open {
            return Err(StorageError::NotOpen(id));
        }
        Ok(txn)
    }

    /// Returns when memory has room for more rows.
    pub(super) async fn await_room(&self) -> Result<()> {
        self.pressure.wait(|| self.wal.logged()).await
    }

    pub(super) async fn begin_write<'a>(
        &'a self,
        context: &'a WriteContext,
        shard: ShardId,
    ) -> Result<Writing<'a>> {
        self.begin_work(context, shard, TableLockMode::RowExclusive).await
    }

    async fn begin_work<'a>(
        &'a self,
        context: &'a WriteContext,
        shard: ShardId,
        mode: TableLockMode,
    ) -> Result<Writing<'a>> {
        self.await_room().await?;
        let held = self.snapshots.hold(context.snapshot)?;
        let txn = self.open_txn(context.txn)?;
        self.shard(shard)?.check()?;
        txn.state.lock().takes_locks(context.statement, || self.locks.count(txn.id));
        self.lock_for(context, &txn, shard, mode).await?;
        // Looked up again: the wait may have been for a change of the table.
        let (shard, table) = self.shard_and_table(shard)?;
        // Others take its place, and whoever made them is done: what is written here is lost.
        if self.meta.read().retired.contains_key(&shard.id)
            && !self.has_locked_shard(txn.id, shard.id)
        {
            return Err(StorageError::NoSuchShard(shard.id));
        }
        Ok(Writing { engine: self, context, txn, shard, table, _held: held })
    }

    async fn lock_for(
        &self,
        context: &WriteContext,
        txn: &Txn,
        shard: ShardId,
        mode: TableLockMode,
    ) -> Result<()> {
        let wait = LockWait::Wait(context.lock_timeout);
        self.lock(txn, LockKey { shard, row: None }, mode.into(), wait).await.map(drop)
    }

    /// Answers whether it had to wait.
    pub(super) async fn lock(
        &self,
        txn: &Txn,
        key: LockKey,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<bool> {
        let (shard, is_shard) = (key.shard, key.row.is_none());
        let wait = self.locks.acquire(txn.id, &key, mode, wait)?;
        let waited = wait.is_some();
        if let Some(wait) = wait {
            wait.granted().await?;
        }
        self.release_if_ended(txn)?;
        if is_shard {
            // The wait may have been for the group to move away.
            self.meta.read().check_fence(&[shard])?;
        }
        Ok(waited)
    }

    /// The transaction may have ended while a statement of it waited.
    fn release_if_ended(&self, txn: &Txn) -> Result<()> {
        let phase = txn.state.lock().phase;
        if phase == Phase::Ended {
            self.locks.release(txn.id);
            return Err(StorageError::NotOpen(txn.id));
        }
        Ok(())
    }
}

/// A statement at work on one shard.
pub(super) struct Writing<'a> {
    pub(super) engine: &'a Engine,
    pub(super) context: &'a WriteContext,
    pub(super) txn: Arc<Txn>,
    pub(super) shard: Arc<Shard>,
    pub(super) table: Arc<TableMeta>,
    /// Keeps tombstones that tell of changes after the snapshot.
    _held: Held,
}

impl Writing<'_> {
    /// Without `keys` the rows get hidden ones.
    async fn insert(
        &self,
        rows: Vec<Bytes>,
        keys: Option<Vec<Vec<u8>>>,
        policy: ConflictPolicy,
        arbiters: &[Oid],
    ) -> Result<Inserted> {
        let known = |index: &Oid| *index == PRIMARY_KEY || self.table.index(*index).is_some();
        if let Some(gone) = arbiters.iter().find(|index| !known(index)) {
            return Err(StorageError::NoSuchIndex(*gone));
        }
        let policy_of = |index: Oid| match arbiters.is_empty() || arbiters.contains(&index) {
            true => policy,
            false => ConflictPolicy::Fail,
        };
        // A row that conflicts by an arbiter conflicts by no other index.
        let passes: &[Option<bool>] = match arbiters {
            [] => &[None],
            _ => &[Some(true), Some(false)],
        };
        let indexing = self.indexing();
        let unique = UniqueEntries::of(&indexing, &rows)?;
        let mut keys = keys.map(Vec::into_iter);
        let mut inserted = Inserted::default();
        for (index, row) in rows.into_iter().enumerate() {
            let key = match &mut keys {
                Some(keys) => Bytes::from(keys.next().unwrap_or_default()),
                None => self.shard.new_row_key(),
            };
            let mut taken = None;
            for arbiter in passes {
                let is_due = |of: Oid| arbiter.is_none_or(|is_it| arbiters.contains(&of) == is_it);
                if taken.is_none() && keys.is_some() && is_due(PRIMARY_KEY) {
                    let policy = policy_of(PRIMARY_KEY);
                    let existing = self.claim(&key, policy).await?;
                    taken = existing.map(|row| (None, key.to_vec(), policy, (key.clone(), row)));
                }
                // Until its own key is claimed, a row that is there under that key is another one.
                let own = [&key];
                let is_claimed = keys.is_none() || arbiter != &Some(true) || is_due(PRIMARY_KEY);
                let mine = if is_claimed { &own[..] } else { &[] };
                for (of, entry) in unique.of_row(index).filter(|(of, _)| is_due(of.shape.id)) {
                    if taken.is_some() {
                        break;
                    }
                    let policy = policy_of(of.shape.id);
                    let existing = self.claim_entry(&indexing, of, entry, mine, policy).await?;
                    taken = existing.map(|row| (Some(of.shape.id), entry.to_vec(), policy, row));
                }
            }
            if let Some((of, entry, policy, (key, existing))) = taken {
                match policy {
                    ConflictPolicy::Fail => {
                        let (shard, row) = (self.shard.id, index);
                        let (index, key) = (of, entry);
                        return Err(StorageError::UniqueViolation { shard, row, index, key });
                    }
                    ConflictPolicy::Skip => {}
                    ConflictPolicy::Report => inserted.conflicts.push(Conflict {
                        row: index,
                        same_statement: self.wrote(&key)?,
                        above_snapshot: existing.ts > self.context.snapshot,
                        existing: existing.row.unwrap_or_default(),
                        key,
                    }),
                }
                continue;
            }
            self.put(key.clone(), Some(row))?;
            self.note_entries(&unique, index, &key);
            inserted.rows.push(index);
            inserted.keys.push(key);
        }
        Ok(inserted)
    }

    pub(super) async fn lock(&self, key: &Bytes, mode: RowLockMode, wait: LockWait) -> Result<()> {
        let key = LockKey { shard: self.shard.id, row: Some(key.clone()) };
        self.engine.lock(&self.txn, key, mode.into(), wait).await.map(drop)
    }

    /// The transaction's own view of the key.
    pub(super) fn own(&self, key: &[u8]) -> Result<Option<Own>> {
        let state = self.txn.state.lock();
        match state.shards.get(&self.shard.id) {
            Some(writes) => writes.view(key, None),
            None => Ok(None),
        }
    }

    fn wrote(&self, key: &[u8]) -> Result<bool> {
        let state = self.txn.state.lock();
        let Some(writes) = state.shards.get(&self.shard.id) else { return Ok(false) };
        let statement = self.context.statement;
        Ok(writes.written_by(key, statement)
            || writes.find_loaded(key, None)?.is_some_and(|(_, by)| by == statement))
    }

    /// Takes a key for a new row: waits for whoever holds it, and answers with the row that has
    /// it already.
    async fn claim(&self, key: &Bytes, policy: ConflictPolicy) -> Result<Option<Version>> {
        // A row that nobody is changing answers without a lock, unless it is to be changed.
        if policy != ConflictPolicy::Report {
            let row = LockKey { shard: self.shard.id, row: Some(key.clone()) };
            if !self.engine.locks.is_changing(&row)
                && let Some(version) = self.shard.newest(key)?.filter(|v| v.row.is_some())
                && self.own(key)?.is_none()
                && !self.engine.locks.is_changing(&row)
            {
                return Ok(Some(version));
            }
        }
        let wait = LockWait::Wait(self.context.lock_timeout);
        self.lock(key, RowLockMode::Update, wait).await?;
        self.wait_for_loaders(key).await?;
        Ok(match self.own(key)? {
            Some(Own::Row(row)) => Some(Version { ts: Timestamp(0), row: Some(row) }),
            Some(Own::Deleted) => None,
            None => self.shard.newest(key)?.filter(|version| version.row.is_some()),
        })
    }

    /// Locks rows by their keys, where they come in another order: two that change the same rows do
    /// not wait for each other, however they found them.
    async fn lock_in_order<K: AsRef<[u8]>>(&self, keys: &[K], mode: RowLockMode) -> Result<()> {
        if keys.is_sorted_by_key(AsRef::as_ref) {
            return Ok(());
        }
        let mut keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        keys.sort_unstable();
        for key in keys {
            let wait = LockWait::Wait(self.context.lock_timeout);
            self.lock(&Bytes::copy_from_slice(key), mode, wait).await?;
        }
        Ok(())
    }

    /// Locks a row that is to change, and finds it: `None` when there is none, or when this
    /// statement has changed it already.
    async fn lock_and_find(&self, key: &Bytes, mode: RowLockMode) -> Result<Option<RowBytes>> {
        self.lock(key, mode, LockWait::Wait(self.context.lock_timeout)).await?;
        if self.wrote(key)? {
            return Ok(None);
        }
        match self.own(key)? {
            Some(Own::Row(row)) => Ok(Some(row)),
            Some(Own::Deleted) => Ok(None),
            None => self.unchanged(key),
        }
    }

    fn is_deleted(&self, key: &[u8]) -> Result<bool> {
        Ok(self.shard.newest(key)?.is_some_and(|version| version.row.is_none()))
    }

    /// The committed row, which must be as the snapshot sees it.
    fn unchanged(&self, key: &[u8]) -> Result<Option<RowBytes>> {
        let Some(version) = self.shard.newest(key)? else { return Ok(None) };
        if version.ts > self.context.snapshot {
            let key = key.to_vec();
            return Err(StorageError::ChangedSinceSnapshot { shard: self.shard.id, key });
        }
        Ok(version.row)
    }

    fn put(&self, key: Bytes, row: Option<Bytes>) -> Result<()> {
        let len = row.as_ref().map(|row| key.len() + row.len());
        if let Some(len) = len.filter(|len| *len > MAX_ROW) {
            return Err(RowError::TooLong(len).into());
        }
        let mut state = self.txn.state.lock();
        if state.phase != Phase::Open {
            return Err(StorageError::NotOpen(self.txn.id));
        }
        let limit = self.engine.options.transaction_bytes;
        if state.bytes as u64 > limit {
            return Err(StorageError::TransactionTooLarge { limit });
        }
        state.write(self.shard.id, self.context.statement, key, row);
        Ok(())
    }
}
