//! What an index is made of, and the entries that a row has in it.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use bytes::Bytes;
use satsuma_common::index::{IndexMethod, IndexShape};
use satsuma_common::key::{KeyEncoder, prefix_end};
use satsuma_common::row::source::ColumnSource;
use satsuma_common::table::TableShape;
use satsuma_common::{Oid, SqlError, arrow_types};

use super::{documents, networks};
use crate::engine::TableMeta;
use crate::error::{Result, StorageError};
use crate::shard::KeyRange;

/// Works out what is SQL in an index: key expressions and the predicate.
pub trait IndexExpressions: Send + Sync + std::fmt::Debug {
    /// Evaluates them on rows, whose first columns are the table's.
    fn evaluate(
        &self,
        table: &TableShape,
        index: &IndexShape,
        rows: &RecordBatch,
    ) -> std::result::Result<Evaluated, SqlError>;
}

/// The keys of some rows.
#[derive(Debug)]
pub struct Evaluated {
    /// Of each key of the index, in its type.
    pub keys: Vec<ArrayRef>,
    /// Which rows the predicate is true of; `None`: of all.
    pub included: Option<BooleanArray>,
}

/// For engines whose indexes have no expressions: others fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExpressions;

impl IndexExpressions for NoExpressions {
    fn evaluate(
        &self,
        _table: &TableShape,
        index: &IndexShape,
        _rows: &RecordBatch,
    ) -> std::result::Result<Evaluated, SqlError> {
        Err(SqlError::internal(format!("expressions of index {} are not known", index.name)))
    }
}

/// Where to look in an index. Candidates are the rows that have, for each clause, an entry in one
/// of its ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub index: Oid,
    pub clauses: Vec<Vec<KeyRange>>,
}

/// The entries of one row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RowKeys {
    /// None: the predicate leaves the row out.
    pub entries: Vec<Vec<u8>>,
    /// One of the keys is NULL.
    pub has_null: bool,
}

/// An index of a table, ready to work out entries.
#[derive(Debug)]
pub struct TableIndex {
    pub shape: IndexShape,
    /// Tells definitions apart whose entries are not the same.
    pub(crate) fingerprint: u32,
    encoder: Option<KeyEncoder>,
    /// Positions of the keys, where nothing has to be evaluated.
    plain: Option<Vec<usize>>,
}

/// First byte of the entry of a row whose keys are not known.
pub(crate) const UNKNOWN: u8 = 0;

impl TableIndex {
    pub fn new(shape: IndexShape, table: &TableShape) -> Result<Self> {
        let encoder = match shape.method {
            IndexMethod::Ordered => {
                Some(KeyEncoder::new(shape.keys.iter().map(|key| key.ty.clone()))?)
            }
            IndexMethod::Documents | IndexMethod::Networks => None,
        };
        let identity = (shape.method, &shape.keys, &shape.predicate);
        let identity = postcard::to_stdvec(&identity)
            .map_err(|e| StorageError::corrupt("index definition", 0, e.to_string()))?;
        let fingerprint = crc32c::crc32c(&identity);
        Ok(Self { plain: shape.plain_positions(table), encoder, fingerprint, shape })
    }

    /// Encodes values of an ordered index's first keys: the prefix of entries that have them.
    pub fn encoder(&self) -> Option<&KeyEncoder> {
        self.encoder.as_ref()
    }

    /// Whether SQL has to be evaluated to know a row's entries.
    pub fn has_expressions(&self) -> bool {
        self.plain.is_none()
    }

    pub(crate) fn plain_positions(&self) -> Option<&[usize]> {
        self.plain.as_deref()
    }

    /// The entries of each row; `rows` starts with the table's columns.
    pub fn keys_of_batch(
        &self,
        table: &TableShape,
        rows: &RecordBatch,
        expressions: &dyn IndexExpressions,
    ) -> Result<Vec<RowKeys>> {
        let evaluated = match &self.plain {
            Some(positions) => {
                let column = |at: &usize| {
                    let missing = StorageError::corrupt("index", 0, "an indexed column is missing");
                    rows.columns().get(*at).cloned().ok_or(missing)
                };
                let keys = positions.iter().map(column).collect::<Result<_>>()?;
                Evaluated { keys, included: None }
            }
            None => expressions.evaluate(table, &self.shape, rows)?,
        };
        self.keys_of_values(rows.num_rows(), &evaluated)
    }

    fn keys_of_values(&self, rows: usize, evaluated: &Evaluated) -> Result<Vec<RowKeys>> {
        let mut sources = Vec::with_capacity(evaluated.keys.len());
        for (array, key) in evaluated.keys.iter().zip(&self.shape.keys) {
            if array.data_type() != &arrow_types::data_type(&key.ty) || array.len() != rows {
                return Err(satsuma_common::row::RowError::Mismatch(key.ty.to_string()).into());
            }
            sources.push(ColumnSource::new(array)?);
        }
        let included = |row: usize| {
            evaluated.included.as_ref().is_none_or(|held| held.is_valid(row) && held.value(row))
        };
        (0..rows)
            .map(|row| {
                if !included(row) {
                    return Ok(RowKeys::default());
                }
                let values = sources
                    .iter()
                    .map(|source| source.value(row))
                    .collect::<std::result::Result<Vec<_>, _>>()?;
                let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
                self.keys_of_physical(&values)
            })
            .collect()
    }

    /// The entries of a row whose keys have these values, in their physical form.
    pub(crate) fn keys_of_physical(&self, values: &[Option<&[u8]>]) -> Result<RowKeys> {
        let has_null = values.iter().any(Option::is_none);
        let entries = match (self.shape.method, &self.encoder) {
            (IndexMethod::Ordered, Some(encoder)) => {
                vec![encoder.encode_physical(values.iter().copied())?]
            }
            (IndexMethod::Ordered, None) => Vec::new(),
            (IndexMethod::Documents, _) => match values {
                [Some(document)] => documents::entries(document),
                _ => Vec::new(),
            },
            (IndexMethod::Networks, _) => match values {
                [Some(address)] => networks::entry(address).into_iter().collect(),
                _ => Vec::new(),
            },
        };
        Ok(RowKeys { entries, has_null })
    }

    /// The entries of encoded rows.
    pub(crate) fn keys_of_rows<R: AsRef<[u8]>>(
        &self,
        table: &TableMeta,
        rows: &[R],
        expressions: &dyn IndexExpressions,
    ) -> Result<Vec<RowKeys>> {
        if self.plain.is_some() {
            let keys = rows.iter().map(|row| self.keys_of_row(table, row.as_ref(), expressions));
            return keys.collect();
        }
        let batch = batch_of(table, rows.iter().map(AsRef::as_ref))?;
        self.keys_of_batch(&table.shape, &batch, expressions)
    }

    /// The entries of a stored row.
    pub(crate) fn keys_of_row(
        &self,
        table: &TableMeta,
        row: &[u8],
        expressions: &dyn IndexExpressions,
    ) -> Result<RowKeys> {
        if let Some(positions) = &self.plain {
            let decoder = table.decoder();
            let values = positions
                .iter()
                .map(|position| decoder.bytes(row, *position))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            return self.keys_of_physical(&values);
        }
        let rows = batch_of(table, [row])?;
        let keys = self.keys_of_batch(&table.shape, &rows, expressions)?;
        Ok(keys.into_iter().next().unwrap_or_default())
    }

    /// The entries of stored rows. One whose keys cannot be worked out has the entry that is a
    /// candidate for every probe.
    pub(crate) fn entries_of_rows(
        &self,
        table: &TableMeta,
        rows: &[Bytes],
        expressions: &dyn IndexExpressions,
    ) -> Vec<Vec<Vec<u8>>> {
        if self.plain.is_none()
            && let Ok(keys) = self.keys_of_rows(table, rows, expressions)
        {
            return keys.into_iter().map(|keys| keys.entries).collect();
        }
        let known = |row: &Bytes| self.keys_of_row(table, row, expressions);
        rows.iter()
            .map(|row| known(row).map_or_else(|_| vec![vec![UNKNOWN]], |keys| keys.entries))
            .collect()
    }
}

/// Stored rows as a batch of the table's columns.
fn batch_of<'a>(
    table: &TableMeta,
    rows: impl IntoIterator<Item = &'a [u8]>,
) -> Result<RecordBatch> {
    let columns: Vec<_> = (0..table.shape.columns.len()).collect();
    let mut builder = table.decoder().batch_builder(Some(&columns), 16)?;
    for row in rows {
        builder.push(&[], row)?;
    }
    Ok(builder.finish()?)
}

/// A range as half-open bounds. Where it ends with a key, entries that start with that key are in.
pub(crate) fn half_open(range: &KeyRange) -> (Cow<'_, [u8]>, Option<Cow<'_, [u8]>>) {
    let from = match &range.from {
        Bound::Included(from) | Bound::Excluded(from) => Cow::Borrowed(&from[..]),
        // Entries whose keys are not known are asked for on their own.
        Bound::Unbounded => Cow::Owned(vec![UNKNOWN + 1]),
    };
    let to = match &range.to {
        Bound::Included(to) => prefix_end(to).map(Cow::Owned),
        Bound::Excluded(to) => Some(Cow::Borrowed(&to[..])),
        Bound::Unbounded => None,
    };
    (from, to)
}

/// The ranges of a probe by clause, with that of the rows that are always candidates.
pub(crate) fn with_unknown(clause: &[KeyRange]) -> Vec<KeyRange> {
    let unknown = KeyRange::prefix(vec![UNKNOWN]);
    std::iter::once(unknown).chain(clause.iter().cloned()).collect()
}

/// How a table's indexes are worked out.
#[derive(Clone, Debug)]
pub(crate) struct Indexing {
    pub table: Arc<TableMeta>,
    pub expressions: Arc<dyn IndexExpressions>,
}
