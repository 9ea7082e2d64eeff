//! Record batches on the wire: Arrow IPC, the schema once, each batch of bounded size.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, FixedSizeListArray, GenericByteViewArray, ListArray,
    RecordBatch, StringViewArray, StructArray, make_array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{ByteViewType, DataType, Schema, SchemaRef};
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow::ipc::reader::RecordBatchDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{MessageHeader, root_as_message};
use bytes::Bytes;
use satsuma_common::arrow_size::batch_bytes;

use crate::error::WireError;
use crate::pb::types as pb;

/// What a message of rows should weigh: large enough to make the frame's cost small, small
/// enough that several streams share a connection fairly.
const TARGET_BYTES: usize = 1 << 20;
/// The most that one batch may weigh on the wire. A single row can be large.
pub const MAX_BATCH_BYTES: usize = 256 << 20;
/// The most rows in one batch. A batch of constants can be small in bytes and long.
const MAX_BATCH_ROWS: i64 = 1 << 24;
/// The most bytes of a schema message.
const MAX_SCHEMA_BYTES: usize = 16 << 20;

/// An Arrow IPC schema message.
pub fn encode_schema(schema: &Schema) -> Bytes {
    let mut tracker = DictionaryTracker::new(false);
    let options = IpcWriteOptions::default();
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        schema,
        &mut tracker,
        &options,
    );
    encoded.ipc_message.into()
}

pub fn decode_schema(bytes: &[u8]) -> Result<SchemaRef, WireError> {
    if bytes.len() > MAX_SCHEMA_BYTES {
        return Err(WireError::TooLarge { limit: MAX_SCHEMA_BYTES });
    }
    // The Arrow reader asserts on what it does not know.
    let schema = contained(|| try_schema_from_flatbuffer_bytes(bytes).map_err(arrow_error))?;
    for field in schema.fields() {
        supported(field.data_type())?;
    }
    Ok(Arc::new(schema))
}

/// The batch as one or more messages of about [`TARGET_BYTES`].
pub fn encode_batch(batch: &RecordBatch) -> Result<Vec<pb::Batch>, WireError> {
    for field in batch.schema_ref().fields() {
        supported(field.data_type())?;
    }
    let parts = (batch_bytes(batch) / TARGET_BYTES + 1).min(batch.num_rows().max(1));
    let rows = batch.num_rows().div_ceil(parts).max(1);
    let mut messages = Vec::with_capacity(parts);
    let mut start = 0;
    loop {
        let len = rows.min(batch.num_rows() - start);
        messages.push(encode_slice(&batch.slice(start, len))?);
        start += len;
        if start >= batch.num_rows() {
            return Ok(messages);
        }
    }
}

fn encode_slice(batch: &RecordBatch) -> Result<pb::Batch, WireError> {
    let columns: Vec<_> = batch.columns().iter().map(compact).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(batch.schema(), columns, &options)
        .map_err(arrow_error)?;
    let (_, encoded) = IpcDataGenerator::default()
        .encode(
            &batch,
            &mut DictionaryTracker::new(false),
            &IpcWriteOptions::default(),
            &mut IpcWriteContext::default(),
        )
        .map_err(arrow_error)?;
    if encoded.arrow_data.len() > MAX_BATCH_BYTES {
        return Err(WireError::TooLarge { limit: MAX_BATCH_BYTES });
    }
    Ok(pb::Batch { header: encoded.ipc_message.into(), body: encoded.arrow_data.into() })
}

pub fn decode_batch(schema: &SchemaRef, batch: pb::Batch) -> Result<RecordBatch, WireError> {
    if batch.body.len() > MAX_BATCH_BYTES || batch.header.len() > MAX_BATCH_BYTES {
        return Err(WireError::TooLarge { limit: MAX_BATCH_BYTES });
    }
    let message =
        root_as_message(&batch.header).map_err(|error| WireError::Arrow(error.to_string()))?;
    if message.header_type() != MessageHeader::RecordBatch {
        return Err(WireError::Unknown("batch header"));
    }
    let record = message.header_as_record_batch().ok_or(WireError::Missing("batch header"))?;
    if record.compression().is_some() {
        return Err(WireError::Unknown("batch compression"));
    }
    if !(0..=MAX_BATCH_ROWS).contains(&record.length()) {
        return Err(WireError::OutOfRange("batch length"));
    }
    for buffer in record.buffers().into_iter().flatten() {
        let end = buffer.offset().checked_add(buffer.length());
        let inside = end.is_some_and(|end| end as u64 <= batch.body.len() as u64);
        if buffer.offset() < 0 || buffer.length() < 0 || !inside {
            return Err(WireError::OutOfRange("batch buffer"));
        }
    }
    for node in record.nodes().into_iter().flatten() {
        if !(0..=i64::from(i32::MAX)).contains(&node.length())
            || !(0..=node.length()).contains(&node.null_count())
        {
            return Err(WireError::OutOfRange("batch column length"));
        }
    }
    let body = Buffer::from(batch.body.clone());
    let (dictionaries, version) = (HashMap::new(), message.version());
    contained(|| {
        RecordBatchDecoder::try_new(&body, record, schema.clone(), &dictionaries, &version)
            .map_err(arrow_error)?
            .with_require_alignment(false)
            .read_record_batch()
            .map_err(arrow_error)
    })
}

/// Batches of one schema, in one message. `MAX_BATCH_BYTES` bounds each, not their sum.
pub fn encode_batches(batches: &[RecordBatch]) -> Result<pb::Batches, WireError> {
    let Some(first) = batches.first() else { return Ok(pb::Batches::default()) };
    let mut encoded = Vec::with_capacity(batches.len());
    for batch in batches {
        if batch.schema_ref().fields() != first.schema_ref().fields() {
            return Err(WireError::Arrow("batches of different schemas".into()));
        }
        encoded.extend(encode_batch(batch)?);
    }
    Ok(pb::Batches { schema: encode_schema(first.schema_ref()), batches: encoded })
}

pub fn decode_batches(batches: pb::Batches) -> Result<Vec<RecordBatch>, WireError> {
    if batches.batches.is_empty() {
        return Ok(Vec::new());
    }
    let schema = decode_schema(&batches.schema)?;
    batches.batches.into_iter().map(|batch| decode_batch(&schema, batch)).collect()
}

/// Types that never occur in PostgreSQL's mapping are refused instead of half-handled.
fn supported(data_type: &DataType) -> Result<(), WireError> {
    match data_type {
        DataType::Dictionary(_, _)
        | DataType::RunEndEncoded(_, _)
        | DataType::Union(_, _)
        | DataType::Map(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => Err(WireError::UnsupportedColumn(data_type.to_string())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            supported(item.data_type())
        }
        DataType::Struct(fields) => {
            fields.iter().try_for_each(|field| supported(field.data_type()))
        }
        _ => Ok(()),
    }
}

/// A slice of strings keeps the whole array's buffers: copy what it uses when that is much less.
fn compact(array: &ArrayRef) -> ArrayRef {
    fn wasteful<T: ByteViewType + ?Sized>(array: &GenericByteViewArray<T>) -> bool {
        let held: usize = array.data_buffers().iter().map(Buffer::len).sum();
        held > 1024 && held / 2 > array.total_buffer_bytes_used()
    }
    match array.data_type() {
        DataType::Utf8View => {
            let views: &StringViewArray = array.as_string_view();
            if wasteful(views) { Arc::new(views.gc()) } else { array.clone() }
        }
        DataType::BinaryView => {
            let views: &BinaryViewArray = array.as_binary_view();
            if wasteful(views) { Arc::new(views.gc()) } else { array.clone() }
        }
        DataType::List(field) => {
            let list: &ListArray = array.as_list();
            let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            let values = list.values().slice(first as usize, (last - first) as usize);
            let offsets = list.value_offsets().iter().map(|offset| offset - first).collect();
            let offsets = arrow::buffer::OffsetBuffer::new(offsets);
            let values = compact(&values);
            ListArray::try_new(field.clone(), offsets, values, list.nulls().cloned())
                .map_or_else(|_| array.clone(), |list| Arc::new(list) as ArrayRef)
        }
        DataType::FixedSizeList(field, size) => {
            let list: &FixedSizeListArray = array.as_fixed_size_list();
            let values = compact(list.values());
            FixedSizeListArray::try_new(field.clone(), *size, values, list.nulls().cloned())
                .map_or_else(|_| array.clone(), |list| Arc::new(list) as ArrayRef)
        }
        DataType::Struct(fields) => {
            let rows: &StructArray = array.as_struct();
            let columns = rows.columns().iter().map(compact).collect();
            StructArray::try_new(fields.clone(), columns, rows.nulls().cloned())
                .map_or_else(|_| make_array(array.to_data()), |rows| Arc::new(rows) as ArrayRef)
        }
        _ => array.clone(),
    }
}

fn arrow_error(error: arrow::error::ArrowError) -> WireError {
    WireError::Arrow(error.to_string())
}

/// Runs a decoder that may panic on bytes it does not expect.
fn contained<T>(decode: impl FnOnce() -> Result<T, WireError>) -> Result<T, WireError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(WireError::Arrow("undecodable bytes".into())))
}

#[cfg(test)]
mod tests;
