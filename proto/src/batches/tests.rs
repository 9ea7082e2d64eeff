use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, NullArray, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int32Type, Schema};

use super::*;

fn sample(rows: i64) -> RecordBatch {
    let text: StringViewArray =
        (0..rows).map(|i| (i % 7 != 0).then(|| format!("a rather long string {i}"))).collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..rows).map(|i| (i % 5 != 0).then(|| (0..i % 4).map(|v| Some(v as i32)))),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("text", Arc::new(text)),
        ("list", Arc::new(lists)),
        ("nothing", Arc::new(NullArray::new(rows as usize))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

#[test]
fn large_batches_are_split_and_come_back_whole() {
    let batch = sample(100_000);
    let parts = encode_batch(&batch).unwrap();
    assert!(parts.len() > 3);
    assert!(parts.iter().all(|part| part.body.len() < 2 * TARGET_BYTES));
    let schema = decode_schema(&encode_schema(batch.schema_ref())).unwrap();
    let decoded: Vec<_> =
        parts.into_iter().map(|part| decode_batch(&schema, part).unwrap()).collect();
    assert_eq!(concat_batches(&schema, &decoded).unwrap(), batch);
}

#[test]
fn a_slice_sends_only_its_own_bytes() {
    let batch = sample(100_000).slice(50_000, 3);
    let parts = encode_batch(&batch).unwrap();
    assert_eq!(parts.len(), 1);
    assert!(parts[0].body.len() < 4096, "{}", parts[0].body.len());
    let decoded = decode_batch(&batch.schema(), parts.into_iter().next().unwrap()).unwrap();
    assert_eq!(decoded, batch);
}

#[test]
fn batches_without_rows_or_columns_survive() {
    let empty = sample(0);
    assert_eq!(
        decode_batches(encode_batches(std::slice::from_ref(&empty)).unwrap()).unwrap(),
        [empty]
    );
    assert!(decode_batches(encode_batches(&[]).unwrap()).unwrap().is_empty());
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(42));
    let counted =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let decoded = decode_batches(encode_batches(&[counted]).unwrap()).unwrap();
    assert_eq!(decoded[0].num_rows(), 42);
}

#[test]
fn dictionaries_are_refused() {
    let ty = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let batch = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("d", ty, true)])));
    assert!(matches!(encode_batch(&batch), Err(WireError::UnsupportedColumn(_))));
}

/// Every single-byte change and every cut gives a batch or an error, never a panic.
#[test]
fn damaged_bytes_are_errors() {
    let batch = sample(20);
    let schema = batch.schema();
    let message = encode_batch(&batch).unwrap().remove(0);
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for position in 0..message.header.len() {
        for flip in [1u8, 0x80, 0xff] {
            let mut header = message.header.to_vec();
            header[position] ^= flip;
            let damaged = pb::Batch { header: header.into(), body: message.body.clone() };
            if let Ok(decoded) = decode_batch(&schema, damaged) {
                assert!(decoded.num_rows() as i64 <= MAX_BATCH_ROWS);
            }
        }
    }
    for len in 0..message.body.len() {
        let cut = pb::Batch { header: message.header.clone(), body: message.body.slice(..len) };
        let _ = decode_batch(&schema, cut);
    }
    let encoded = encode_schema(&schema);
    for position in 0..encoded.len() {
        let mut bytes = encoded.to_vec();
        bytes[position] ^= 0x55;
        let _ = decode_schema(&bytes);
    }
    std::panic::set_hook(quiet);
    assert!(decode_schema(b"nonsense").is_err());
}
