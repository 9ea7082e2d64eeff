//! Rows by their encoded form: read, inserted, changed and deleted without a plan.

use bytes::Bytes;
use satsuma_common::{SqlError, SqlResult};
use satsuma_proto::worker::{KeyRead, KeyedRow, OnConflict, RowSource};
use satsuma_storage::{ConflictPolicy, RowLockMode, StorageError};

use super::{Statement, constraints, rows};
use crate::error::{self, malformed};
use crate::local::{Shared, view};

/// The row that a key has for the statement.
pub(crate) async fn read(shared: &Shared, request: KeyRead) -> SqlResult<Option<Bytes>> {
    let group = shared.placements.group(&request.group)?;
    let target = group.table(request.table)?;
    let context = &request.context;
    let engine = &shared.engine;
    shared.begin_read_of(context, &[target.shard]).await?;
    let row = engine.get(target.shard, &request.key, &view(context)).map_err(error::storage)?;
    row.map(|row| target.meta.current(&row)).transpose().map_err(error::storage)
}

/// Why a row was not changed.
enum Failure {
    Storage(StorageError),
    Statement(SqlError),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Storage(error) => error::storage(error),
            Failure::Statement(error) => error,
        }
    }
}

impl Statement<'_> {
    pub(super) async fn insert_encoded(
        &mut self,
        encoded: Vec<Bytes>,
        on_conflict: OnConflict,
    ) -> SqlResult<()> {
        self.writer.enter(self.target).await?;
        let meta = &self.target.meta;
        for row in &encoded {
            meta.decoder().check(row).map_err(|error| malformed(error.to_string()))?;
        }
        let policy = match &on_conflict {
            OnConflict::Fail => Some(ConflictPolicy::Fail),
            OnConflict::DoNothing { .. } => Some(ConflictPolicy::Skip),
            OnConflict::DoUpdate { .. } => None,
        };
        let shape = &meta.shape;
        let plain = shape.checks.is_empty()
            && shape.foreign_keys.is_empty()
            && !encoded.iter().any(|row| rows::has_forbidden_null(meta, row));
        let (Some(policy), true) = (policy, plain) else {
            let batch = rows::decode_unchecked(meta, &encoded)?;
            return self.insert_rows(RowSource::Batches(vec![batch]), on_conflict).await;
        };
        let write = &self.writer.write;
        let kept = self.returning.then(|| encoded.clone());
        let inserted = match self
            .shared
            .engine
            .insert_rows(write, self.target.shard, encoded.clone(), policy, on_conflict.arbiters())
            .await
        {
            Ok(inserted) => inserted,
            Err(failure) => {
                return Err(constraints::named(meta, &rows::decode(meta, &encoded)?, failure));
            }
        };
        self.reply.count += inserted.rows.len() as u64;
        if let Some(kept) = kept {
            self.returned(&rows::decode(meta, &kept)?, &inserted.rows)?;
        }
        Ok(())
    }

    pub(super) async fn update_keyed(&mut self, row: KeyedRow) -> SqlResult<()> {
        let assignments =
            row.assignments.as_ref().ok_or_else(|| malformed("an update assigns nothing"))?;
        let meta = &self.target.meta;
        let program = self.shared.programs.get(assignments, &meta.shape)?;
        let mut new = None;
        let changed = self
            .shared
            .engine
            .change_row(
                &self.writer.write,
                self.target.shard,
                &row.key,
                row.newest,
                RowLockMode::NoKeyUpdate,
                |present, old| {
                    if present.shape.version != meta.shape.version {
                        let error = error::stale("the table changed while its row was waited for");
                        return Err(Failure::Statement(error));
                    }
                    let row = program
                        .new_row(meta, old, &assignments.params)
                        .map_err(Failure::Statement)?;
                    new = Some(row.clone());
                    Ok::<_, Failure>(Some(row))
                },
            )
            .await;
        let old = match (changed, &new) {
            (Ok(old), _) => old,
            (Err(Failure::Storage(failure)), Some(new)) => {
                let row = rows::decode_unchecked(meta, std::slice::from_ref(new))?;
                return Err(constraints::named(meta, &row, failure));
            }
            (Err(failure), _) => return Err(failure.into()),
        };
        let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
        self.reply.count += 1;
        let shape = &meta.shape;
        let related = !shape.foreign_keys.is_empty() || !shape.referenced_by.is_empty();
        if !shape.checks.is_empty() || rows::has_forbidden_null(meta, &new) {
            let row = rows::decode_unchecked(meta, std::slice::from_ref(&new))?;
            self.writer.check(self.target, &row)?;
        }
        if related {
            let (old, new) =
                (rows::decode(meta, &[old])?, rows::decode(meta, std::slice::from_ref(&new))?);
            self.writer.replaced(self.target, old, new)?;
        }
        if self.returning {
            self.returned(&rows::decode(meta, &[new])?, &[0])?;
        }
        Ok(())
    }

    pub(super) async fn delete_keyed(&mut self, row: KeyedRow) -> SqlResult<()> {
        self.writer.enter(self.target).await?;
        let deleted = self
            .shared
            .engine
            .change_row(
                &self.writer.write,
                self.target.shard,
                &row.key,
                row.newest,
                RowLockMode::Update,
                |_, _| Ok::<_, Failure>(None),
            )
            .await?;
        let Some(old) = deleted else { return Ok(()) };
        self.reply.count += 1;
        let meta = &self.target.meta;
        if self.returning || !meta.shape.referenced_by.is_empty() {
            let old = rows::decode(meta, &[old])?;
            if !meta.shape.referenced_by.is_empty() {
                self.writer.pending.removed(self.target, old.clone());
            }
            self.returned(&old, &[0])?;
        }
        Ok(())
    }
}
