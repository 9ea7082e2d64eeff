//! Unique indexes: no two rows have the same entry.
//!
//! Whoever adds an entry holds a lock on it until its transaction ends, so that of two that add
//! the same one the second waits, and then finds the first one's row. Whoever takes an entry away
//! holds the row's own lock in its strongest mode: a transaction that finds the entry taken waits
//! for that lock, and looks again. Entries are compared as the newest version of a row has them,
//! or the transaction's own.

use std::sync::Arc;

use bytes::Bytes;
use satsuma_common::{Oid, ShardId, Timestamp, TxnId};

use super::write::Writing;
use super::{ConflictPolicy, Engine, LockedRow, WriteContext};
use crate::delta::Version;
use crate::error::{Result, StorageError};
use crate::index::{Indexing, RowKeys, TableIndex};
use crate::lock::{LockKey, LockWait, RowLockMode};
use crate::shard::{ReadView, Shard};
use crate::txn::{Own, ShardWrites};

/// First byte of the lock of an entry; keys of rows begin otherwise.
const ENTRY_LOCK: u8 = 0xfe;

/// The entries in a table's unique indexes that some rows must have for themselves.
pub(super) struct UniqueEntries {
    indexes: Vec<(Arc<TableIndex>, Vec<Option<Vec<u8>>>)>,
}

impl UniqueEntries {
    /// Evaluates all indexes' expressions on encoded rows, so that they fail here and not later.
    pub fn of<R: AsRef<[u8]>>(indexing: &Indexing, rows: &[R]) -> Result<Self> {
        let mut indexes = Vec::new();
        for index in indexing.table.indexes() {
            if !index.shape.unique && !index.has_expressions() {
                continue;
            }
            let keys = index.keys_of_rows(&indexing.table, rows, &*indexing.expressions)?;
            if index.shape.unique {
                let entries = keys.into_iter().map(|keys| unique_entry(index, keys)).collect();
                indexes.push((index.clone(), entries));
            }
        }
        Ok(Self { indexes })
    }

    /// Each index in which the row has an entry of its own.
    pub fn of_row(&self, row: usize) -> impl Iterator<Item = (&Arc<TableIndex>, &[u8])> {
        self.indexes
            .iter()
            .filter_map(move |(index, entries)| Some((index, entries.get(row)?.as_deref()?)))
    }
}

/// The entry that no other row may have; `None`: the row is not in the index, or has a NULL.
fn unique_entry(index: &TableIndex, keys: RowKeys) -> Option<Vec<u8>> {
    if keys.has_null && !index.shape.nulls_not_distinct {
        return None;
    }
    keys.entries.into_iter().next()
}

fn entry_lock(index: Oid, entry: &[u8]) -> Bytes {
    let mut lock = Vec::with_capacity(entry.len() + 5);
    lock.push(ENTRY_LOCK);
    lock.extend_from_slice(&index.0.to_be_bytes());
    lock.extend_from_slice(entry);
    lock.into()
}

impl Writing<'_> {
    pub(super) fn indexing(&self) -> Indexing {
        self.engine.indexing(self.table.clone())
    }

    /// Takes the entries that a changed row shall have, where they are others than it had. `keys`
    /// are its key and the one that it moves to.
    pub(super) async fn claim_changed(
        &self,
        indexing: &Indexing,
        unique: &UniqueEntries,
        row: usize,
        (key, moved): (&Bytes, Option<&Bytes>),
        old: &[u8],
    ) -> Result<()> {
        if self.keeps_entries(indexing, unique, row, old)? {
            return Ok(());
        }
        let wait = LockWait::Wait(self.context.lock_timeout);
        self.lock(key, RowLockMode::Update, wait).await?;
        let mine: Vec<&Bytes> = [key].into_iter().chain(moved).collect();
        for (of, entry) in unique.of_row(row) {
            let policy = ConflictPolicy::Fail;
            if self.claim_entry(indexing, of, entry, &mine, policy).await?.is_some() {
                let (shard, index) = (self.shard.id, Some(of.shape.id));
                let key = entry.to_vec();
                return Err(StorageError::UniqueViolation { shard, row, index, key });
            }
        }
        Ok(())
    }

    /// Whether the row's old version has all the entries that its new one shall have.
    fn keeps_entries(
        &self,
        indexing: &Indexing,
        unique: &UniqueEntries,
        row: usize,
        old: &[u8],
    ) -> Result<bool> {
        for (index, entries) in &unique.indexes {
            let keys = index.keys_of_row(&indexing.table, old, &*indexing.expressions)?;
            if unique_entry(index, keys).as_ref() != entries.get(row).and_then(Option::as_ref) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes an entry for a row: waits for whoever is about to take or leave it. Answers with the
    /// row that has it already. `mine` are keys of the row itself.
    pub(super) async fn claim_entry(
        &self,
        indexing: &Indexing,
        index: &TableIndex,
        entry: &[u8],
        mine: &[&Bytes],
        policy: ConflictPolicy,
    ) -> Result<Option<(Bytes, Version)>> {
        let wait = LockWait::Wait(self.context.lock_timeout);
        let lock = entry_lock(index.shape.id, entry);
        let mut is_locked = false;
        loop {
            let Some((key, version)) = self.holder(indexing, index, entry, &lock, mine)? else {
                if is_locked {
                    return Ok(None);
                }
                self.lock(&lock, RowLockMode::Update, wait).await?;
                is_locked = true;
                continue;
            };
            let row = LockKey { shard: self.shard.id, row: Some(key.clone()) };
            let mode = match policy {
                ConflictPolicy::Report => RowLockMode::Update,
                ConflictPolicy::Fail | ConflictPolicy::Skip => RowLockMode::KeyShare,
            };
            let unlocked = policy != ConflictPolicy::Report
                && (self.own(&key)?.is_some() || !self.engine.locks.is_changing(&row));
            if !unlocked {
                self.lock(&key, mode, wait).await?;
                // It may have changed while this waited.
                match self.holder(indexing, index, entry, &lock, mine)? {
                    Some(again) if again.0 == key => return Ok(Some(again)),
                    _ => continue,
                }
            }
            return Ok(Some((key, version)));
        }
    }

    /// The row that has the entry now.
    fn holder(
        &self,
        indexing: &Indexing,
        index: &TableIndex,
        entry: &[u8],
        lock: &[u8],
        mine: &[&Bytes],
    ) -> Result<Option<(Bytes, Version)>> {
        let mut keys = self.own_claims(lock);
        for segment in self.own_segments() {
            keys.extend(self.engine.loaded_with_entry(indexing, index, &segment, entry)?);
        }
        keys.extend(self.engine.keys_with_entry(&self.shard, indexing, index, entry)?);
        for key in keys {
            if mine.contains(&&key) {
                continue;
            }
            let version = match self.own(&key)? {
                Some(Own::Row(row)) => Some(Version { ts: Timestamp(0), row: Some(row) }),
                Some(Own::Deleted) => None,
                None => self.shard.newest(&key)?,
            };
            let Some(version) = version else { continue };
            let Some(row) = &version.row else { continue };
            let keys = index.keys_of_row(&indexing.table, row, &*indexing.expressions)?;
            if unique_entry(index, keys).as_deref() == Some(entry) {
                return Ok(Some((key, version)));
            }
        }
        Ok(None)
    }

    fn own_claims(&self, lock: &[u8]) -> Vec<Bytes> {
        let state = self.txn.state.lock();
        let writes = state.shards.get(&self.shard.id);
        writes.map(|writes| writes.claims(lock)).unwrap_or_default()
    }

    /// Remembers that the transaction's row has these entries. To be called once it is written.
    pub(super) fn note_entries(&self, unique: &UniqueEntries, row: usize, key: &Bytes) {
        if unique.indexes.is_empty() {
            return;
        }
        let mut state = self.txn.state.lock();
        for (index, entry) in unique.of_row(row) {
            state.claim(self.shard.id, entry_lock(index.shape.id, entry), key.clone());
        }
    }
}

impl Engine {
    /// Locks the rows that have these entries in a unique index, as they are now: as
    /// [`Self::lock_rows`] does by primary key.
    pub async fn lock_rows_by<K: AsRef<[u8]> + Sync>(
        &self,
        context: &WriteContext,
        shard: ShardId,
        index: Oid,
        entries: &[K],
        (mode, wait): (RowLockMode, LockWait),
    ) -> Result<Vec<LockedRow>> {
        let write = self.begin_write(context, shard).await?;
        let index = write.table.index(index).ok_or(StorageError::NoSuchIndex(index))?.clone();
        let indexing = write.indexing();
        let mut locked = Vec::with_capacity(entries.len());
        for (row, entry) in entries.iter().enumerate() {
            let entry = entry.as_ref();
            let lock = entry_lock(index.shape.id, entry);
            let mut found = write.holder(&indexing, &index, entry, &lock, &[])?;
            while let Some((key, _)) = found {
                write.lock(&key, mode, wait).await?;
                // It may have changed while this waited.
                found = write.holder(&indexing, &index, entry, &lock, &[])?;
                if found.as_ref().is_some_and(|(again, _)| *again == key) {
                    break;
                }
            }
            locked.push(LockedRow { row, exists: found.is_some() });
        }
        Ok(locked)
    }

    /// Whether a row has this entry now, as `txn` sees it.
    pub fn entry_exists(
        &self,
        txn: TxnId,
        shard: ShardId,
        index: Oid,
        entry: &[u8],
    ) -> Result<bool> {
        let (shard, table) = self.shard_and_table(shard)?;
        let index = table.index(index).ok_or(StorageError::NoSuchIndex(index))?.clone();
        let indexing = self.indexing(table);
        let view = ReadView::own(Timestamp(u64::MAX), txn);
        let lock = entry_lock(index.shape.id, entry);
        let own = |own: &ShardWrites| (own.claims(&lock), own.loaded_segments(None));
        let (mut keys, loaded) = self.with_own(shard.id, &view, own).unwrap_or_default();
        for segment in loaded {
            keys.extend(self.loaded_with_entry(&indexing, &index, &segment, entry)?);
        }
        keys.extend(self.keys_with_entry(&shard, &indexing, &index, entry)?);
        for key in &keys {
            let Some(row) = self.get(shard.id, key, &view)? else { continue };
            let keys = index.keys_of_row(&indexing.table, &row, &*indexing.expressions)?;
            if unique_entry(&index, keys).as_deref() == Some(entry) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Remembers the entries of rows that a transaction wrote before their table had the index.
    pub(super) fn claim_own_rows(
        &self,
        shard: &Shard,
        indexing: &Indexing,
        index: &TableIndex,
        txn: TxnId,
    ) -> Result<()> {
        let Some(txn) = self.txns.lock().get(&txn).cloned() else { return Ok(()) };
        let mut state = txn.state.lock();
        let Some(writes) = state.shards.get(&shard.id) else { return Ok(()) };
        let mut claims = Vec::new();
        for (key, own) in writes.overlay(None) {
            let Own::Row(row) = own else { continue };
            let keys = index.keys_of_row(&indexing.table, &row, &*indexing.expressions)?;
            if let Some(entry) = unique_entry(index, keys) {
                claims.push((entry_lock(index.shape.id, &entry), key));
            }
        }
        for (lock, key) in claims {
            state.claim(shard.id, lock, key);
        }
        Ok(())
    }
}
