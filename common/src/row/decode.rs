//! Rows to Arrow batches and datums.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::RowError;
use super::builder::ColumnBuilder;
use super::layout::{Layout, Layouts};
use super::value::{Physical, decode_value};
use crate::datum::Datum;
use crate::table::TableShape;

/// Reads rows of any version as rows of one shape.
#[derive(Clone, Debug)]
pub struct RowDecoder {
    shape: Arc<TableShape>,
    layouts: Arc<Layouts>,
    schema: SchemaRef,
}

impl RowDecoder {
    pub fn new(shape: Arc<TableShape>, layouts: Arc<Layouts>) -> Self {
        let schema = shape.arrow_schema();
        Self { shape, layouts, schema }
    }

    pub fn shape(&self) -> &Arc<TableShape> {
        &self.shape
    }

    /// Schema of the table's columns and then the hidden key.
    pub fn schema_with_key(&self) -> SchemaRef {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(KEY_COLUMN, DataType::Binary, false)));
        Arc::new(Schema::new(fields))
    }

    /// The value of the column at `position` of the shape.
    pub fn datum(&self, row: &[u8], position: usize) -> Result<Datum, RowError> {
        let column = self.column(position)?;
        match self.bytes(row, position)? {
            Some(bytes) => decode_value(bytes, &column.ty),
            None => Ok(Datum::Null),
        }
    }

    /// Every value, in the shape's order.
    pub fn datums(&self, row: &[u8]) -> Result<Vec<Datum>, RowError> {
        (0..self.shape.columns.len()).map(|position| self.datum(row, position)).collect()
    }

    /// The physical bytes of the column at `position` of the shape; `None` is NULL.
    pub fn bytes<'a>(
        &'a self,
        row: &'a [u8],
        position: usize,
    ) -> Result<Option<&'a [u8]>, RowError> {
        let (layout, body) = self.layouts.split(row)?;
        let column = self.column(position)?;
        match layout.position(column.id) {
            Some(at) => layout.value(body, at),
            None => Ok(column.missing.as_deref()),
        }
    }

    /// The row was written under the shape's own version, and every value in it is one of its
    /// column's type. For rows that come from elsewhere.
    pub fn check(&self, row: &[u8]) -> Result<(), RowError> {
        let (layout, body) = self.layouts.split(row)?;
        if layout.version != self.shape.version {
            return Err(RowError::UnknownLayout(layout.version));
        }
        layout.check_length(body)?;
        for (position, (_, ty)) in layout.columns.iter().enumerate() {
            let Some(value) = layout.value(body, position)? else { continue };
            match layout.physical(position) {
                Physical::Fixed(_) | Physical::Null => {}
                Physical::Bool if value == [0] || value == [1] => {}
                Physical::Bool => return Err(RowError::Mismatch(ty.to_string())),
                Physical::Utf8 => {
                    std::str::from_utf8(value).map_err(|_| RowError::Utf8)?;
                }
                Physical::Bytes | Physical::List(_) => {
                    decode_value(value, ty)?;
                }
            }
        }
        Ok(())
    }

    fn column(&self, position: usize) -> Result<&crate::table::Column, RowError> {
        let count = self.shape.columns.len();
        self.shape.columns.get(position).ok_or(RowError::ColumnCount(position, count))
    }

    /// A builder of batches of these columns; position `columns.len()` is the hidden key.
    pub fn batch_builder(
        &self,
        projection: Option<&[usize]>,
        capacity: usize,
    ) -> Result<RowBatchBuilder, RowError> {
        let count = self.shape.columns.len();
        let all: Vec<usize> = (0..=count).collect();
        let positions = projection.unwrap_or(&all).to_vec();
        if let Some(bad) = positions.iter().find(|position| **position > count) {
            return Err(RowError::ColumnCount(*bad, count));
        }
        let full = self.schema_with_key();
        let fields: Vec<_> = positions.iter().map(|p| full.field(*p).clone()).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut builder = RowBatchBuilder {
            decoder: self.clone(),
            positions,
            schema,
            columns: Vec::new(),
            rows: 0,
            capacity,
            current: None,
        };
        builder.reset();
        Ok(builder)
    }
}

/// Name of the hidden key column.
pub const KEY_COLUMN: &str = "__key";

/// Collects rows into a batch of some columns of the shape.
#[derive(Debug)]
pub struct RowBatchBuilder {
    decoder: RowDecoder,
    positions: Vec<usize>,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    capacity: usize,
    /// The layout of the latest row and where each projected column lies in it.
    current: Option<(Arc<Layout>, Vec<Option<usize>>)>,
}

impl RowBatchBuilder {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends a row with its key.
    pub fn push(&mut self, key: &[u8], row: &[u8]) -> Result<(), RowError> {
        let (layout, body) = self.decoder.layouts.split(row)?;
        if !self.current.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, layout)) {
            let columns = &self.decoder.shape.columns;
            let places = self
                .positions
                .iter()
                .map(|p| columns.get(*p).and_then(|column| layout.position(column.id)))
                .collect();
            self.current = Some((layout.clone(), places));
        }
        let Some((layout, places)) = &self.current else { return Err(RowError::Truncated) };
        let shape = &self.decoder.shape;
        for ((position, place), builder) in self.positions.iter().zip(places).zip(&mut self.columns)
        {
            let value = match (shape.columns.get(*position), place) {
                (None, _) => Some(key),
                (Some(_), Some(place)) => layout.value(body, *place)?,
                (Some(column), None) => column.missing.as_deref(),
            };
            builder.push(value)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Appends `rows` rows column by column: `fill` is called with each projected position and its
    /// builder, and must add that many values.
    pub fn append<E: From<RowError>>(
        &mut self,
        rows: usize,
        mut fill: impl FnMut(usize, &mut ColumnBuilder) -> Result<(), E>,
    ) -> Result<(), E> {
        let expected = self.rows + rows;
        for (position, builder) in self.positions.iter().zip(&mut self.columns) {
            fill(*position, builder)?;
            if builder.len() != expected {
                return Err(RowError::ColumnCount(builder.len(), expected).into());
            }
        }
        self.rows = expected;
        Ok(())
    }

    /// The rows so far as a batch; the builder starts anew.
    pub fn finish(&mut self) -> Result<RecordBatch, RowError> {
        let rows = self.rows;
        let columns = std::mem::take(&mut self.columns);
        self.reset();
        let columns =
            columns.into_iter().map(ColumnBuilder::finish).collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| RowError::Malformed(e.to_string()))
    }

    fn reset(&mut self) {
        self.rows = 0;
        self.columns = self
            .schema
            .fields()
            .iter()
            .map(|field| ColumnBuilder::new(field.data_type(), self.capacity))
            .collect();
    }
}
