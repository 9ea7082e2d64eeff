//! A recognised statement, and what it needs of its table.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use satsuma_common::hash::partition_hash;
use satsuma_common::key::KeyEncoder;
use satsuma_common::row::{Layouts, RowDecoder, RowEncoder};
use satsuma_common::{Datum, GroupId, SequenceId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::OnConflict;
use satsuma_sql::bound::OutputColumn;
use satsuma_sql::catalog_view::{Distribution, TableInfo};

use super::cell::{Cell, Values};
use super::programs::SharedProgram;
use crate::catalog::{Colocation, State, Table};

#[derive(Debug)]
pub struct KeyStatement {
    pub table: KeyTable,
    pub action: KeyAction,
}

#[derive(Debug)]
pub enum KeyAction {
    Select {
        key: Vec<Cell>,
        /// Columns of the table, as positions.
        output: Vec<usize>,
        columns: Arc<[OutputColumn]>,
    },
    Insert {
        /// A cell for every column of the table.
        rows: Vec<Vec<Cell>>,
        asked: Asked,
        on_conflict: OnConflict,
        returning: Option<Returned>,
    },
    Update {
        key: Vec<Cell>,
        program: Arc<SharedProgram>,
        /// With their types.
        params: Vec<(Cell, satsuma_common::PgType)>,
        returning: Option<Returned>,
    },
    Delete {
        key: Vec<Cell>,
        returning: Option<Returned>,
    },
}

/// What the cells of an INSERT ask the session for, which it may have to wait for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// So many values of each sequence, and nothing else.
    Values(BTreeMap<SequenceId, u64>),
    Anything,
}

/// RETURNING of plain columns.
#[derive(Debug)]
pub struct Returned {
    pub output: Vec<usize>,
    pub columns: Arc<[OutputColumn]>,
}

/// A table with what reads and writes its rows, under one version of its shape.
#[derive(Debug)]
pub struct KeyTable {
    pub info: Arc<TableInfo>,
    encoder: RowEncoder,
    decoder: RowDecoder,
    key: Option<KeyEncoder>,
    key_positions: Vec<usize>,
    /// Position of the distribution column.
    distribution: Option<usize>,
}

/// Where a row lives: the group, and the place of its shard among the table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub group: GroupId,
    pub index: usize,
}

impl KeyTable {
    /// `None` for a table whose keys or distribution the key path does not know.
    pub fn new(info: Arc<TableInfo>) -> Option<Self> {
        let shape = &info.shape;
        let key_positions = shape.key_positions();
        let key = match shape.primary_key.is_empty() {
            true => None,
            false => {
                let types = key_positions.iter().map(|at| shape.columns[*at].ty.clone());
                Some(KeyEncoder::new(types).ok()?)
            }
        };
        let distribution = match info.distribution {
            Distribution::Hash(column) => Some(shape.position(column)?),
            Distribution::Single | Distribution::Reference => None,
        };
        let layouts = Arc::new(Layouts::of(shape));
        Some(Self {
            encoder: RowEncoder::new(shape),
            decoder: RowDecoder::new(shape.clone(), layouts),
            key,
            key_positions,
            distribution,
            info,
        })
    }

    /// Positions of the primary key's columns, in key order; none without a primary key.
    pub fn key_positions(&self) -> &[usize] {
        &self.key_positions
    }

    /// Position of the distribution column.
    pub fn distribution(&self) -> Option<usize> {
        self.distribution
    }

    /// The encoded key and the value of the distribution column. `None`: a value is NULL, which
    /// equals nothing.
    pub fn key(&self, cells: &[Cell], values: &Values<'_>) -> SqlResult<Option<(Vec<u8>, Datum)>> {
        let shape = &self.info.shape;
        let mut key = Vec::with_capacity(cells.len());
        let mut distribution = Datum::Null;
        for (cell, position) in cells.iter().zip(&self.key_positions) {
            let value = values.get(cell, &shape.columns[*position].ty)?;
            if value.is_null() {
                return Ok(None);
            }
            if self.distribution == Some(*position) {
                distribution = value.clone();
            }
            key.push(value);
        }
        let encoder = self
            .key
            .as_ref()
            .ok_or_else(|| SqlError::internal("a key of a table that has none"))?;
        let key = encoder.encode(&key).map_err(|error| SqlError::internal(error.to_string()))?;
        Ok(Some((key, distribution)))
    }

    /// The encoded row and the value of its distribution column.
    pub fn row(&self, cells: &[Cell], values: &Values<'_>) -> SqlResult<(Vec<u8>, Datum)> {
        let columns = &self.info.shape.columns;
        let row = cells
            .iter()
            .zip(columns)
            .map(|(cell, column)| values.get(cell, &column.ty))
            .collect::<SqlResult<Vec<_>>>()?;
        let encoded =
            self.encoder.encode(&row).map_err(|error| SqlError::internal(error.to_string()))?;
        let distribution = self.distribution.and_then(|at| row.into_iter().nth(at));
        Ok((encoded, distribution.unwrap_or(Datum::Null)))
    }

    /// Encoded rows by where they go, in the order of groups. `note` gets each row's place and
    /// value of the distribution column.
    pub fn routed(
        &self,
        rows: &[Vec<Cell>],
        values: &Values<'_>,
        state: &State,
        table: &Table,
        note: &dyn Fn(Target, &Datum),
    ) -> SqlResult<Vec<(Target, Vec<Bytes>)>> {
        let mut routed: Vec<(Target, Vec<Bytes>)> = Vec::new();
        for cells in rows {
            let (row, distribution) = self.row(cells, values)?;
            let target = self.target(state, table, &distribution)?;
            note(target, &distribution);
            match routed.iter_mut().find(|(known, _)| *known == target) {
                Some((_, rows)) => rows.push(row.into()),
                None => routed.push((target, vec![row.into()])),
            }
        }
        routed.sort_by_key(|(target, _)| *target);
        Ok(routed)
    }

    /// The group of a row whose distribution column has this value.
    pub fn target(&self, state: &State, table: &Table, value: &Datum) -> SqlResult<Target> {
        let colocation: &Colocation = state.colocation(table.colocation()).ok_or_else(|| {
            SqlError::internal(format!("table {} has no co-location", table.id()))
        })?;
        let index = match self.distribution {
            None => 0,
            Some(_) if value.is_null() => return Err(self.null_distribution()),
            Some(position) => partition_hash(value, &self.info.shape.columns[position].ty)
                .and_then(|token| colocation.position_of(token))
                .ok_or_else(|| {
                    SqlError::internal(format!("no shard of table {} holds the row", table.id()))
                })?,
        };
        let (_, group) = colocation
            .groups
            .get(index)
            .ok_or_else(|| SqlError::internal(format!("table {} has no shards", table.id())))?;
        Ok(Target { group: *group, index })
    }

    fn null_distribution(&self) -> SqlError {
        let shape = &self.info.shape;
        SqlError::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            format!(
                "the partition column of table {}.{} cannot be NULL",
                shape.schema_name, shape.name
            ),
        )
    }

    /// The columns `output` of rows.
    pub fn batch(&self, rows: &[Bytes], output: &[usize]) -> SqlResult<RecordBatch> {
        let malformed = |error: satsuma_common::row::RowError| {
            SqlError::new(SqlState::DATA_CORRUPTED, error.to_string())
        };
        let mut builder =
            self.decoder.batch_builder(Some(output), rows.len()).map_err(malformed)?;
        for row in rows {
            builder.push(&[], row).map_err(malformed)?;
        }
        builder.finish().map_err(malformed)
    }
}
