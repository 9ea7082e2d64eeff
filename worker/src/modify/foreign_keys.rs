//! Foreign keys, looked at when all rows of a statement are in.
//!
//! ```text
//! rows that refer      parent row must exist; it is held KEY SHARE until the transaction ends
//! parent rows gone     CASCADE, SET NULL, SET DEFAULT: change the children, which may go on
//!                      from there
//!                      RESTRICT, NO ACTION: there must be no children left
//! ```
//!
//! Both tables are in one group, or one of them is a reference table, of which this worker has a
//! copy. Rows are looked at as they are now, not as the snapshot sees them: a row that was
//! committed a moment ago counts. The parent's row lock makes that safe: whoever adds a child
//! holds KEY SHARE, whoever takes the parent away holds FOR UPDATE.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::DataType;
use futures::future::BoxFuture;
use satsuma_common::index::IndexMethod;
use satsuma_common::key::KeyEncoder;
use satsuma_common::row::ColumnBuilder;
use satsuma_common::table::{ForeignKey, ForeignKeyAction, TableShape};
use satsuma_common::{
    ColumnId, Datum, Oid, ShardId, SqlError, SqlResult, SqlState, Timestamp, TxnId, arrow_types,
    details,
};
use satsuma_sql::engine_error::arrow_to_sql;
use satsuma_sql::row_checks::row_values;
use satsuma_storage::index::Probe;
use satsuma_storage::{
    Engine, KeyRange, LockWait, ReadView, RowLockMode, RowLocks, ScanOptions, StorageError,
    TableMeta, WriteContext,
};

use super::rows;
use super::writer::Writer;
use crate::error;
use crate::local::Shared;
use crate::placement::PlacedTable;

/// With this many removed keys or fewer, children are sought key by key where an index helps.
const FEW_KEYS: usize = 32;

/// What a statement has to make good or check at its end.
#[derive(Default)]
pub(super) struct Pending {
    /// Keys that parents must have, by child table and position of the foreign key in its shape.
    references: BTreeMap<(ShardId, usize), References>,
    /// Parent rows that are gone or have another key.
    parents: Vec<ParentChange>,
    /// NO ACTION keys whose removed parents must have no children in the end.
    checks: Vec<(ForeignKey, ParentChange)>,
}

#[derive(Clone)]
pub(super) struct References {
    pub child: PlacedTable,
    pub parent: PlacedTable,
    pub key: ForeignKey,
    /// Each parent key in words, as the first row that refers to it has it, for the error.
    pub wanted: BTreeMap<Vec<u8>, String>,
}

#[derive(Clone)]
pub(super) struct ParentChange {
    pub parent: PlacedTable,
    /// The rows as they were.
    old: RecordBatch,
    /// And as they are, for an update.
    new: Option<RecordBatch>,
}

impl References {
    /// The error of a row that refers to a key which no parent has.
    fn violation(&self, missing: &[u8]) -> SqlError {
        let detail = self.wanted.get(missing).map(String::as_str).unwrap_or_default();
        refused(&self.key, &self.child.meta.shape)
            .detail(format!("Key {detail} is not present in table \"{}\".", self.key.target_name))
    }
}

impl Pending {
    /// New rows of a child table. With `old`, only those whose key is another than it was.
    pub fn refers(
        &mut self,
        (shared, txn): (&Shared, TxnId),
        child: &PlacedTable,
        new: &RecordBatch,
        old: Option<&RecordBatch>,
    ) -> SqlResult<()> {
        for (position, key) in child.meta.shape.foreign_keys.iter().enumerate() {
            if key.full {
                refuse_mixed(key, &child.meta.shape, new)?;
            }
            let parent = parent_of(shared, txn, child, key)?;
            let wanted = references(key, &child.meta.shape, &parent.meta, new)?;
            let before = match old {
                Some(old) => Some(references(key, &child.meta.shape, &parent.meta, old)?),
                None => None,
            };
            let pending =
                self.references.entry((child.shard, position)).or_insert_with(|| References {
                    child: child.clone(),
                    parent,
                    key: key.clone(),
                    wanted: BTreeMap::new(),
                });
            for (row, wanted) in wanted.into_iter().enumerate() {
                let Some(wanted) = wanted else { continue };
                let same = before.as_ref().is_some_and(|old| old[row].as_ref() == Some(&wanted));
                if !same && let Entry::Vacant(vacant) = pending.wanted.entry(wanted) {
                    let values = row_values(&child.meta.shape, new, row);
                    vacant.insert(details::key(&child.meta.shape, &key.columns, &values));
                }
            }
        }
        Ok(())
    }

    pub fn removed(&mut self, parent: &PlacedTable, old: RecordBatch) {
        self.parents.push(ParentChange { parent: parent.clone(), old, new: None });
    }

    /// Updated rows of a table that others refer to.
    pub fn replaced(
        &mut self,
        parent: &PlacedTable,
        old: RecordBatch,
        new: RecordBatch,
    ) -> SqlResult<()> {
        if !parent.meta.shape.referenced_by.is_empty() {
            self.parents.push(ParentChange { parent: parent.clone(), old, new: Some(new) });
        }
        Ok(())
    }
}

impl<'a> Writer<'a> {
    pub(super) async fn settle_foreign_keys(&mut self) -> SqlResult<()> {
        while let Some(change) = self.pending.parents.pop() {
            for key in change.parent.meta.shape.referenced_by.clone() {
                if let Some(change) = change.of(&key)? {
                    self.act(&key, &change).await?;
                }
            }
        }
        let verifier = self.verifier();
        for (place, references) in std::mem::take(&mut self.pending.references) {
            if self.defers(&references.key) {
                self.shared.deferred.refers(&self.write, place, references);
                continue;
            }
            if let Some(missing) = verifier.missing(&references).await?.first() {
                return Err(references.violation(missing));
            }
        }
        for (key, change) in std::mem::take(&mut self.pending.checks) {
            if !self.defers(&key) {
                verifier.check_unreferenced(&key, &change, true).await?;
            } else if let Some(change) = verifier.still_referenced(&key, &change).await? {
                self.shared.deferred.removed(&self.write, key, change);
            }
        }
        Ok(())
    }

    fn verifier(&self) -> Verifier<'a> {
        Verifier { shared: self.shared, write: self.write }
    }

    /// What a foreign key of another table does about changed rows of its target.
    fn act<'s>(
        &'s mut self,
        key: &'s ForeignKey,
        change: &'s ParentChange,
    ) -> BoxFuture<'s, SqlResult<()>> {
        Box::pin(async move {
            let action = if change.new.is_none() { key.on_delete } else { key.on_update };
            match action {
                ForeignKeyAction::NoAction => {
                    self.pending.checks.push((key.clone(), change.clone()));
                    Ok(())
                }
                ForeignKeyAction::Restrict => {
                    self.verifier().check_unreferenced(key, change, false).await
                }
                ForeignKeyAction::Cascade
                | ForeignKeyAction::SetNull
                | ForeignKeyAction::SetDefault => {
                    for child in self.shared.placements.related(
                        key.table,
                        change.parent.group,
                        self.write.txn,
                    )? {
                        let children = self.verifier().children(key, change, child).await?;
                        self.change_children(key, change, action, children).await?;
                    }
                    if action == ForeignKeyAction::SetDefault {
                        // A default may be the very key that is gone.
                        self.verifier().check_unreferenced(key, change, true).await?;
                    }
                    Ok(())
                }
            }
        })
    }

    async fn change_children(
        &mut self,
        key: &ForeignKey,
        change: &ParentChange,
        action: ForeignKeyAction,
        children: Children,
    ) -> SqlResult<()> {
        let Children { table, keys, rows, parents } = children;
        if keys.is_empty() {
            return Ok(());
        }
        let cascades = action == ForeignKeyAction::Cascade;
        match &change.new {
            None if cascades => {
                self.delete(&table, &keys).await?;
            }
            new => {
                let shape = &table.meta.shape;
                let mut columns = rows.columns().to_vec();
                let pairs = key.columns.iter().zip(&key.target_columns);
                for (number, (column, target)) in pairs.enumerate() {
                    if !key.sets(*column, new.is_none()) {
                        continue;
                    }
                    let at = position(shape, *column)?;
                    columns[at] = match new {
                        Some(new) if cascades => {
                            let from = position(&change.parent.meta.shape, *target)?;
                            let values =
                                take(new.column(from), &parents, None).map_err(arrow_to_sql)?;
                            cast(&values, columns[at].data_type()).map_err(arrow_to_sql)?
                        }
                        _ if action == ForeignKeyAction::SetDefault => {
                            let value = key.defaults.get(number).ok_or_else(|| {
                                SqlError::internal(format!("key {} has no defaults", key.name))
                            })?;
                            repeated(value.as_deref(), columns[at].data_type(), keys.len())?
                        }
                        _ => new_null_array(columns[at].data_type(), keys.len()),
                    };
                }
                let fields: Vec<_> = rows
                    .schema_ref()
                    .fields()
                    .iter()
                    .map(|field| field.as_ref().clone().with_nullable(true))
                    .collect();
                let schema = Arc::new(arrow::datatypes::Schema::new(fields));
                let rows = RecordBatch::try_new(schema, columns).map_err(arrow_to_sql)?;
                self.update(&table, &keys, &rows).await?;
            }
        }
        Ok(())
    }
}

/// A column of one value, which is in the row codec's form.
fn repeated(value: Option<&[u8]>, ty: &DataType, rows: usize) -> SqlResult<ArrayRef> {
    let malformed = |error| SqlError::internal(format!("a default is not a value: {error}"));
    let mut builder = ColumnBuilder::new(ty, rows);
    for _ in 0..rows {
        builder.push(value).map_err(malformed)?;
    }
    builder.finish().map_err(malformed)
}

/// Looks at rows as they are now, for a transaction.
pub(super) struct Verifier<'a> {
    pub shared: &'a Arc<Shared>,
    pub write: WriteContext,
}

impl Verifier<'_> {
    /// The wanted keys that no parent has. The others' parents are held until the transaction
    /// ends.
    async fn missing(&self, references: &References) -> SqlResult<Vec<Vec<u8>>> {
        let References { parent, key, wanted, .. } = references;
        let keys: Vec<_> = wanted.keys().collect();
        let wait = LockWait::Wait(self.write.lock_timeout);
        let mode = RowLockMode::KeyShare;
        let engine = &self.shared.engine;
        let locked = match TargetKey::of(key, &parent.meta)?.index {
            None => {
                let request = RowLocks { newest: true, ..RowLocks::new(mode, wait) };
                engine.lock_rows(&self.write, parent.shard, &keys, request).await
            }
            Some(index) => {
                engine.lock_rows_by(&self.write, parent.shard, index, &keys, (mode, wait)).await
            }
        };
        let missing = locked.map_err(error::storage)?.into_iter().filter(|locked| !locked.exists);
        Ok(missing.filter_map(|locked| keys.get(locked.row).map(|key| (*key).clone())).collect())
    }

    /// A check that was put off: rows which have changed or gone since then refer to nothing.
    pub async fn check_late(&self, references: &References) -> SqlResult<()> {
        let mut references = references.clone();
        let child = &mut references.child;
        if let Some(now) = self.shared.engine.table_of_shard(child.shard) {
            child.meta = now;
        }
        references.parent = parent_of(self.shared, self.write.txn, child, &references.key)?;
        let missing = self.missing(&references).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let References { child, parent, key, .. } = &references;
        let old = rows_of_keys(key, &parent.meta, &missing)?;
        let change = ParentChange { parent: parent.clone(), old, new: None };
        let children = self.children(key, &change, child.clone()).await?;
        let first = children.parents.values().iter().min();
        match first.and_then(|row| missing.get(usize::try_from(*row).ok()?)) {
            Some(missing) => Err(references.violation(missing)),
            None => Ok(()),
        }
    }

    /// The changed rows that children refer to, each with the table of such a child.
    async fn referenced(
        &self,
        key: &ForeignKey,
        change: &ParentChange,
    ) -> SqlResult<BTreeMap<usize, PlacedTable>> {
        let mut referenced = BTreeMap::new();
        let group = change.parent.group;
        for child in self.shared.placements.related(key.table, group, self.write.txn)? {
            let children = self.children(key, change, child).await?;
            for row in children.parents.values() {
                let row = usize::try_from(*row).unwrap_or_default();
                referenced.entry(row).or_insert_with(|| children.table.clone());
            }
        }
        Ok(referenced)
    }

    /// The part of the change that has children; `None` when there is none. Those that come later
    /// look for their parents themselves.
    async fn still_referenced(
        &self,
        key: &ForeignKey,
        change: &ParentChange,
    ) -> SqlResult<Option<ParentChange>> {
        let referenced: Vec<_> = self.referenced(key, change).await?.into_keys().collect();
        if referenced.is_empty() {
            return Ok(None);
        }
        let old = rows::take(&change.old, &referenced)?;
        Ok(Some(ParentChange { parent: change.parent.clone(), old, new: None }))
    }

    /// With `unless_back`, keys that exist again count as never removed (NO ACTION).
    pub async fn check_unreferenced(
        &self,
        key: &ForeignKey,
        change: &ParentChange,
        unless_back: bool,
    ) -> SqlResult<()> {
        let parent = &change.parent;
        for (row, child) in self.referenced(key, change).await? {
            if unless_back && self.exists(key, parent, &change.old, row)? {
                continue;
            }
            let shape = &parent.meta.shape;
            let values = row_values(&parent.meta.shape, &change.old, row);
            let values = details::key(shape, &key.target_columns, &values);
            let child = &child.meta.shape;
            return Err(SqlError::new(
                SqlState::FOREIGN_KEY_VIOLATION,
                format!(
                    "update or delete on table \"{}\" violates foreign key constraint \"{}\" \
                     on table \"{}\"",
                    shape.name, key.name, child.name
                ),
            )
            .detail(format!("Key {values} is still referenced from table \"{}\".", child.name))
            .table(&child.schema_name, &child.name)
            .constraint(&key.name));
        }
        Ok(())
    }

    /// Whether there is a row now with the key that this one had.
    fn exists(
        &self,
        key: &ForeignKey,
        table: &PlacedTable,
        batch: &RecordBatch,
        row: usize,
    ) -> SqlResult<bool> {
        let target = TargetKey::of(key, &table.meta)?;
        let keys = target.of_rows(&table.meta, &batch.slice(row, 1))?;
        let Some(Some(key)) = keys.first() else { return Ok(false) };
        let engine = &self.shared.engine;
        match target.index {
            None => {
                let view = ReadView::own(Timestamp(u64::MAX), self.write.txn);
                engine.get(table.shard, key, &view).map(|row| row.is_some())
            }
            Some(index) => engine.entry_exists(self.write.txn, table.shard, index, key),
        }
        .map_err(error::storage)
    }

    /// Rows of a child's shard that refer to one of the changed rows.
    async fn children(
        &self,
        key: &ForeignKey,
        change: &ParentChange,
        child: PlacedTable,
    ) -> SqlResult<Children> {
        let search = Search {
            engine: self.shared.engine.clone(),
            view: ReadView::own(Timestamp(u64::MAX), self.write.txn),
            key: key.clone(),
            parent: change.parent.clone(),
            old: change.old.clone(),
            child,
        };
        self.shared.on_cpu(async move { search.run() }).await
    }
}

/// Child rows, and which of the changed parent rows each refers to.
struct Children {
    table: PlacedTable,
    keys: BinaryArray,
    /// The table's columns.
    rows: RecordBatch,
    parents: UInt64Array,
}

/// Batches of rows.
type Rows = Box<dyn Iterator<Item = Result<RecordBatch, StorageError>>>;

struct Search {
    engine: Arc<Engine>,
    view: ReadView,
    key: ForeignKey,
    parent: PlacedTable,
    old: RecordBatch,
    child: PlacedTable,
}

impl Search {
    fn run(self) -> SqlResult<Children> {
        let parent_keys = self.parent_keys()?;
        let width = self.child.meta.shape.columns.len();
        let mut found = Vec::new();
        let (mut keys, mut parents) = (Vec::new(), Vec::new());
        for scan in self.scans(parent_keys.len())? {
            for batch in scan {
                let batch = batch.map_err(error::storage)?;
                let refers =
                    references(&self.key, &self.child.meta.shape, &self.parent.meta, &batch)?;
                let mut hits = Vec::new();
                for (row, refers) in refers.into_iter().enumerate() {
                    if let Some(parent) = refers.and_then(|key| parent_keys.get(&key)) {
                        hits.push(row);
                        parents.push(*parent as u64);
                    }
                }
                if hits.is_empty() {
                    continue;
                }
                let batch = rows::take(&batch, &hits)?;
                keys.push(batch.column(width).clone());
                let columns: Vec<_> = (0..width).collect();
                found.push(batch.project(&columns).map_err(arrow_to_sql)?);
            }
        }
        let schema = self.child.meta.shape.arrow_schema();
        let rows = match found.first() {
            Some(first) => concat_batches(first.schema_ref(), &found).map_err(arrow_to_sql)?,
            None => RecordBatch::new_empty(schema),
        };
        let keys: Vec<&dyn Array> = keys.iter().map(AsRef::as_ref).collect();
        let keys = match keys.is_empty() {
            true => BinaryArray::from_iter_values(std::iter::empty::<&[u8]>()),
            false => {
                let keys = arrow::compute::concat(&keys).map_err(arrow_to_sql)?;
                arrow::array::AsArray::as_binary::<i32>(&keys).clone()
            }
        };
        Ok(Children { table: self.child, keys, rows, parents: parents.into() })
    }

    /// The removed keys, and the row each was in.
    fn parent_keys(&self) -> SqlResult<BTreeMap<Vec<u8>, usize>> {
        let target = TargetKey::of(&self.key, &self.parent.meta)?;
        let keys = target.of_rows(&self.parent.meta, &self.old)?;
        Ok(keys.into_iter().enumerate().filter_map(|(row, key)| Some((key?, row))).collect())
    }

    /// Where in the child's shard to look: all of it, or the places that an index tells, or its
    /// primary key, when it starts with columns of the foreign key.
    fn scans(&self, removed: usize) -> SqlResult<Vec<Rows>> {
        let shard = self.child.shard;
        let scan = |key_range: Option<KeyRange>| -> SqlResult<Rows> {
            let options = ScanOptions { key_range, ..ScanOptions::default() };
            let rows = self.engine.scan(shard, &self.view, &options).map_err(error::storage)?;
            Ok(Box::new(rows))
        };
        if removed > FEW_KEYS {
            return Ok(vec![scan(None)?]);
        }
        let shared = |columns: &[ColumnId]| -> Vec<usize> {
            let place = |id: &ColumnId| self.key.columns.iter().position(|column| column == id);
            columns.iter().map_while(place).collect()
        };
        let shape = &self.child.meta.shape;
        let by_key = shared(&shape.primary_key);
        let by_index = shape
            .indexes
            .iter()
            .filter(|index| index.method == IndexMethod::Ordered && index.predicate.is_none())
            .filter_map(|index| Some((index.id, shared(&index.columns()?))))
            .max_by_key(|(_, shared)| shared.len());
        if let Some((index, shared)) = by_index
            && shared.len() > by_key.len()
        {
            let probe = Probe { index, clauses: vec![self.prefixes(&shared)?] };
            let options = ScanOptions::default();
            let rows = self.engine.index_scan(shard, &self.view, &probe, &options);
            return Ok(vec![Box::new(rows.map_err(error::storage)?)]);
        }
        match by_key.is_empty() {
            true => Ok(vec![scan(None)?]),
            false => self.prefixes(&by_key)?.into_iter().map(|range| scan(Some(range))).collect(),
        }
    }

    /// The changed rows' values of these columns of the key, as ranges of a key that starts with
    /// them.
    fn prefixes(&self, shared: &[usize]) -> SqlResult<Vec<KeyRange>> {
        let shape = &self.child.meta.shape;
        let mut types = Vec::new();
        let mut columns = Vec::new();
        for at in shared {
            let ty = &shape.columns[position(shape, self.key.columns[*at])?].ty;
            let from = position(&self.parent.meta.shape, self.key.target_columns[*at])?;
            let values = cast_to(self.old.column(from), &arrow_types::data_type(ty))?;
            types.push(ty.clone());
            columns.push(values);
        }
        let encoder = KeyEncoder::new(types).map_err(no_key)?;
        let prefixes = encode(&encoder, columns)?;
        let distinct: BTreeSet<_> = prefixes.into_iter().flatten().collect();
        Ok(distinct.into_iter().map(KeyRange::prefix).collect())
    }
}

/// For each row the parent's key that it refers to; `None` where one of the columns is NULL.
fn references(
    key: &ForeignKey,
    child: &TableShape,
    parent: &TableMeta,
    batch: &RecordBatch,
) -> SqlResult<Vec<Option<Vec<u8>>>> {
    let target = TargetKey::of(key, parent)?;
    let mut columns = Vec::with_capacity(target.columns.len());
    for id in &target.columns {
        let at = key.target_columns.iter().position(|target| target == id);
        let at = at.ok_or_else(|| not_a_key(key))?;
        let ty = &parent.shape.columns[position(&parent.shape, *id)?].ty;
        let values = batch.column(position(child, key.columns[at])?);
        columns.push(cast_to(values, &arrow_types::data_type(ty))?);
    }
    encode(target.encoder, columns)
}

/// 23503 for a row of which some columns of a MATCH FULL key are NULL, and some are not.
fn refuse_mixed(key: &ForeignKey, child: &TableShape, rows: &RecordBatch) -> SqlResult<()> {
    let columns = key.columns.iter().map(|id| Ok(rows.column(position(child, *id)?)));
    let columns = columns.collect::<SqlResult<Vec<_>>>()?;
    let is_mixed = |row: usize| {
        let nulls = columns.iter().filter(|column| column.is_null(row)).count();
        nulls > 0 && nulls < columns.len()
    };
    match (0..rows.num_rows()).any(is_mixed) {
        true => Err(refused(key, child)
            .detail("MATCH FULL does not allow mixing of null and nonnull key values.")),
        false => Ok(()),
    }
}

/// 23503 for a row of a child.
fn refused(key: &ForeignKey, child: &TableShape) -> SqlError {
    let (table, name) = (&child.name, &key.name);
    SqlError::new(
        SqlState::FOREIGN_KEY_VIOLATION,
        format!("insert or update on table \"{table}\" violates foreign key constraint \"{name}\""),
    )
    .table(&child.schema_name, table)
    .constraint(name)
}

/// The key of the parent table that a foreign key refers to: the primary key, or a unique index.
struct TargetKey<'a> {
    index: Option<Oid>,
    encoder: &'a KeyEncoder,
    /// In the order of the encoded key.
    columns: Vec<ColumnId>,
}

impl<'a> TargetKey<'a> {
    fn of(key: &ForeignKey, parent: &'a TableMeta) -> SqlResult<Self> {
        let wanted: BTreeSet<_> = key.target_columns.iter().copied().collect();
        let same = |columns: &[ColumnId]| {
            columns.len() == key.target_columns.len()
                && columns.iter().copied().collect::<BTreeSet<_>>() == wanted
        };
        if let Some(encoder) = parent.key_encoder()
            && same(&parent.shape.primary_key)
        {
            let columns = parent.shape.primary_key.clone();
            return Ok(Self { index: None, encoder, columns });
        }
        let unique = parent.indexes().iter().filter(|index| index.shape.is_plain_unique());
        let found = unique.filter_map(|index| {
            let columns = index.shape.columns().filter(|columns| same(columns))?;
            Some(Self { index: Some(index.shape.id), encoder: index.encoder()?, columns })
        });
        found.into_iter().next().ok_or_else(|| not_a_key(key))
    }

    /// The keys of the parent's own rows; `None` where a column is NULL.
    fn of_rows(&self, parent: &TableMeta, rows: &RecordBatch) -> SqlResult<Vec<Option<Vec<u8>>>> {
        let columns = self
            .columns
            .iter()
            .map(|id| Ok(rows.column(position(&parent.shape, *id)?).clone()))
            .collect::<SqlResult<Vec<_>>>()?;
        encode(self.encoder, columns)
    }
}

impl ParentChange {
    /// The rows whose key that `key` refers to is gone; `None` when there are none.
    fn of(&self, key: &ForeignKey) -> SqlResult<Option<Self>> {
        let Some(new) = &self.new else { return Ok(Some(self.clone())) };
        let target = TargetKey::of(key, &self.parent.meta)?;
        let before = target.of_rows(&self.parent.meta, &self.old)?;
        let after = target.of_rows(&self.parent.meta, new)?;
        let moved: Vec<_> = (0..before.len()).filter(|row| before[*row] != after[*row]).collect();
        if moved.is_empty() {
            return Ok(None);
        }
        let (old, new) = (rows::take(&self.old, &moved)?, Some(rows::take(new, &moved)?));
        Ok(Some(Self { parent: self.parent.clone(), old, new }))
    }
}

/// Rows of the parent that have these keys, and NULL in every other column.
fn rows_of_keys(key: &ForeignKey, parent: &TableMeta, keys: &[Vec<u8>]) -> SqlResult<RecordBatch> {
    let target = TargetKey::of(key, parent)?;
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let mut row = vec![Datum::Null; parent.shape.columns.len()];
        let values = target.encoder.decode(key).map_err(no_key)?;
        for (column, value) in target.columns.iter().zip(values) {
            row[position(&parent.shape, *column)?] = value;
        }
        rows.push(row);
    }
    rows::of_datums(&parent.shape, rows)
}

/// Keys of rows; `None` where a column is NULL.
fn encode(encoder: &KeyEncoder, columns: Vec<ArrayRef>) -> SqlResult<Vec<Option<Vec<u8>>>> {
    let positions: Vec<_> = (0..columns.len()).collect();
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|column| ("k", column, true)),
    )
    .map_err(arrow_to_sql)?;
    let keys = encoder.encode_batch(&batch, &positions).map_err(no_key)?;
    let complete = |row: usize| batch.columns().iter().all(|column| column.is_valid(row));
    Ok(keys.into_iter().enumerate().map(|(row, key)| complete(row).then_some(key)).collect())
}

fn cast_to(values: &ArrayRef, data_type: &arrow::datatypes::DataType) -> SqlResult<ArrayRef> {
    if values.data_type() == data_type {
        return Ok(values.clone());
    }
    cast(values, data_type).map_err(arrow_to_sql)
}

fn parent_of(
    shared: &Shared,
    txn: TxnId,
    child: &PlacedTable,
    key: &ForeignKey,
) -> SqlResult<PlacedTable> {
    let mut parents = shared.placements.related(key.target, child.group, txn)?;
    match (parents.pop(), parents.is_empty()) {
        (Some(parent), true) => Ok(parent),
        // Such a key may be there from before its table is distributed.
        _ => Err(SqlError::unsupported(
            "foreign keys from reference tables and local tables to distributed tables are not \
             supported",
        )
        .detail(format!(
            "Constraint \"{}\" of table \"{}\" refers to table \"{}\".",
            key.name, child.meta.shape.name, key.target_name
        ))
        .hint(
            "Distribute the table by the column that refers to the other's distribution column.",
        )),
    }
}

fn position(shape: &TableShape, column: ColumnId) -> SqlResult<usize> {
    shape.position(column).ok_or_else(|| {
        SqlError::internal(format!("table \"{}\" has no column {column}", shape.name))
    })
}

fn not_a_key(key: &ForeignKey) -> SqlError {
    SqlError::unsupported(format!(
        "foreign key \"{}\" does not refer to a unique key of \"{}\"",
        key.name, key.target_name
    ))
}

fn no_key(failure: satsuma_common::key::KeyError) -> SqlError {
    SqlError::internal(failure.to_string())
}
