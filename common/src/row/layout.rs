//! Which columns a row holds, and where.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::value::Physical;
use super::{RowError, take_varint};
use crate::ids::ColumnId;
use crate::table::TableShape;
use crate::types::PgType;

/// The columns of rows written under one version of a table's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Columns", into = "Columns")]
pub struct Layout {
    pub version: u64,
    pub columns: Vec<(ColumnId, PgType)>,
    /// Per column: its physical form and where its slot starts, from the start of the slots.
    slots: Vec<(Physical, usize)>,
    bitmap_len: usize,
    slots_len: usize,
}

/// What of a layout is stored; the rest follows from it.
#[derive(Clone, Serialize, Deserialize)]
struct Columns {
    version: u64,
    columns: Vec<(ColumnId, PgType)>,
}

impl From<Columns> for Layout {
    fn from(columns: Columns) -> Self {
        Self::new(columns.version, columns.columns)
    }
}

impl From<Layout> for Columns {
    fn from(layout: Layout) -> Self {
        Self { version: layout.version, columns: layout.columns }
    }
}

impl Layout {
    pub fn new(version: u64, columns: Vec<(ColumnId, PgType)>) -> Self {
        let mut slots = Vec::with_capacity(columns.len());
        let mut at = 0;
        for (_, ty) in &columns {
            let physical = Physical::of(ty);
            let width = physical.slot_width();
            slots.push((physical, at));
            at += width;
        }
        Self { version, bitmap_len: columns.len().div_ceil(8), columns, slots, slots_len: at }
    }

    pub fn of(shape: &TableShape) -> Self {
        let columns = shape.columns.iter().map(|column| (column.id, column.ty.clone())).collect();
        Self::new(shape.version, columns)
    }

    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|(column, _)| *column == id)
    }

    pub fn physical(&self, position: usize) -> &Physical {
        &self.slots[position].0
    }

    pub(super) fn bitmap_len(&self) -> usize {
        self.bitmap_len
    }

    pub(super) fn slots_len(&self) -> usize {
        self.slots_len
    }

    pub(super) fn slot(&self, position: usize) -> usize {
        self.slots[position].1
    }

    /// The bytes of the value at `position` in `body` (a row past its version); `None` is NULL.
    pub(super) fn value<'a>(
        &self,
        body: &'a [u8],
        position: usize,
    ) -> Result<Option<&'a [u8]>, RowError> {
        let byte = *body.get(position / 8).ok_or(RowError::Truncated)?;
        if byte & (1 << (position % 8)) != 0 {
            return Ok(None);
        }
        let slots = body.get(self.bitmap_len..).ok_or(RowError::Truncated)?;
        let (physical, at) = &self.slots[position];
        let width = physical.slot_width();
        let slot = slots.get(*at..*at + width).ok_or(RowError::Truncated)?;
        if physical.fixed_width().is_some() {
            return Ok(Some(slot));
        }
        let end = u32_le(slot)? as usize;
        let start = match self.previous_variable(position) {
            Some(previous) => {
                let at = self.slots[previous].1;
                u32_le(slots.get(at..at + 4).ok_or(RowError::Truncated)?)? as usize
            }
            None => 0,
        };
        let tail = slots.get(self.slots_len..).ok_or(RowError::Truncated)?;
        tail.get(start..end).ok_or(RowError::Truncated).map(Some)
    }

    /// The body ends where its last variable-width value does.
    pub(super) fn check_length(&self, body: &[u8]) -> Result<(), RowError> {
        let tail = self.bitmap_len + self.slots_len;
        let end = match self.previous_variable(self.slots.len()) {
            Some(last) => {
                let at = self.bitmap_len + self.slots[last].1;
                u32_le(body.get(at..at + 4).ok_or(RowError::Truncated)?)? as usize
            }
            None => 0,
        };
        if tail.checked_add(end) == Some(body.len()) { Ok(()) } else { Err(RowError::Truncated) }
    }

    fn previous_variable(&self, position: usize) -> Option<usize> {
        (0..position).rev().find(|&i| self.slots[i].0.fixed_width().is_none())
    }
}

fn u32_le(bytes: &[u8]) -> Result<u32, RowError> {
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| RowError::Truncated)
}

/// The layouts of every shape version that a table's rows may have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layouts(BTreeMap<u64, Arc<Layout>>);

impl Layouts {
    pub fn of(shape: &TableShape) -> Self {
        let mut layouts = Self::default();
        layouts.add(shape);
        layouts
    }

    /// Remembers the columns of `shape`. Rows of older versions stay readable.
    pub fn add(&mut self, shape: &TableShape) {
        self.0.insert(shape.version, Arc::new(Layout::of(shape)));
    }

    pub fn merge(&mut self, other: &Self) {
        for (version, layout) in &other.0 {
            self.0.insert(*version, layout.clone());
        }
    }

    pub fn get(&self, version: u64) -> Option<&Arc<Layout>> {
        self.0.get(&version)
    }

    /// The layout of `row`, and the row past its version.
    pub fn split<'a, 'b>(&'a self, row: &'b [u8]) -> Result<(&'a Arc<Layout>, &'b [u8]), RowError> {
        let mut body = row;
        let version = take_varint(&mut body)?;
        let layout = self.0.get(&version).ok_or(RowError::UnknownLayout(version))?;
        Ok((layout, body))
    }
}
