//! Segments: one chunk of any type, or a whole image.

use arrow::array::{Array, ArrayRef};
use bytes::Bytes;
use satsuma_common::row::ColumnBuilder;
use satsuma_common::{Datum, PgType, arrow_types};

use super::input::Input;
use super::keys::{TYPES, ty};
use crate::segment::column::{Chunk, Kind};
use crate::segment::decode::Decoder;
use crate::segment::footer::{Footer, Place, TRAILER};
use crate::segment::{BLOCK_ROWS, Marks, Segment, Selection, prune};
use crate::shard::{CompareOp, Predicate};

/// The first byte says whether a chunk follows (even: type, rows as u16, the chunk) or a segment.
pub fn segment(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.byte().is_multiple_of(2) {
        let ty = ty(&mut input, TYPES);
        let rows = usize::from(u16::from_le_bytes(input.array())) % (BLOCK_ROWS + 1);
        let bytes = Bytes::copy_from_slice(input.rest());
        let data_type = arrow_types::data_type(&ty);
        if let Ok(chunk) = Chunk::open(Kind::of(&data_type), rows, &bytes) {
            decode(&Decoder { chunk }, &ty);
        }
    } else {
        image(input.rest());
    }
}

/// Every way of reading a column.
fn decode(decoder: &Decoder<'_>, ty: &PgType) {
    let data_type = arrow_types::data_type(ty);
    let chunk = decoder.chunk;
    let rows = chunk.rows() as u32;
    let selections = [
        Selection::Range(0..rows),
        Selection::Range(rows / 3..rows - rows / 4),
        Selection::Rows((0..rows).step_by(3).collect()),
        Selection::Range(0..rows + 1),
    ];
    for (number, selection) in selections.iter().enumerate() {
        let _ = decoder.dictionary(&data_type, selection);
        let Ok(array) = decoder.decode(&data_type, selection) else { continue };
        assert!(number < 3, "rows that are not there were read");
        assert_eq!(array.data_type(), &data_type);
        array.to_data().validate_full().expect("a column that Arrow accepts");
        if let Some(expected) = value_by_value(chunk, ty, selection) {
            assert_eq!(array.to_data(), expected.to_data(), "{ty}: {selection:?}");
        }
    }
    for row in 0..=chunk.rows() {
        let _ = chunk.compare(row, b"\x02\x03between");
    }
    let _ = chunk.plain_values(0..chunk.rows());
}

fn value_by_value(chunk: Chunk<'_>, ty: &PgType, rows: &Selection) -> Option<ArrayRef> {
    let mut builder = ColumnBuilder::new(&arrow_types::data_type(ty), rows.len());
    for i in 0..rows.len() {
        let value = chunk.value(rows.place(i) as usize).ok()?;
        builder.push(value.as_deref()).ok()?;
    }
    builder.finish().ok()
}

fn image(bytes: &[u8]) {
    let open = |bytes: &[u8]| {
        Segment::open(1, "fuzz".into(), Bytes::copy_from_slice(bytes), Marks::default())
    };
    let _ = open(bytes);
    let Some(bytes) = with_checksums(bytes) else { return };
    if let Ok(segment) = open(&bytes) {
        read(&segment);
    }
}

fn read(segment: &Segment) {
    let types: Vec<PgType> = segment.layout().columns.iter().map(|(_, ty)| ty.clone()).collect();
    let mut ascending = segment.ascending();
    for (number, block) in segment.footer().blocks.iter().enumerate() {
        if let Ok(keys) = segment.key_decoder(number) {
            decode(&keys, &PgType::Numeric(None));
            decode(&keys, &PgType::Bytea);
        }
        let _ = segment.timestamps(number).map(|stamps| segment.stamp(&stamps, 0));
        for (column, ty) in types.iter().enumerate() {
            if let Ok(decoder) = segment.decoder(number, column) {
                decode(&decoder, ty);
            }
            for op in [CompareOp::Eq, CompareOp::Less, CompareOp::IsNull] {
                let predicate = Predicate { column, op, value: Datum::Int8(7) };
                if let Some(test) = prune::Test::new(&predicate, ty) {
                    let _ = test.may_match(&block.columns[column], block.rows);
                }
            }
        }
        let middle: Bytes = [&block.first_key[..], &block.last_key].concat().into();
        let range = (std::ops::Bound::Excluded(middle.clone()), std::ops::Bound::Included(middle));
        let _ = segment.places_in(number, &range);
        for key in [&block.first_key, &block.last_key] {
            let _ = segment.find(key);
            let _ = ascending.has(key);
        }
        let last = block.first_row + block.rows - 1;
        for row in [block.first_row, last, last.saturating_add(1)] {
            let _ = (segment.row(row), segment.key(row), segment.timestamp(row));
        }
    }
}

/// The same with right checksums of the footer and of every chunk; `None` where no footer is found.
fn with_checksums(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut image = bytes.to_vec();
    let at = image.len().checked_sub(TRAILER)?;
    let (body, trailer) = image.split_at_mut(at);
    let len = u32::from_le_bytes(trailer[4..8].try_into().ok()?) as usize;
    let start = body.len().checked_sub(len)?;
    trailer[..4].copy_from_slice(&crc32c::crc32c(&body[start..]).to_le_bytes());
    let mut footer = Footer::decode(&image).ok()?;
    image.truncate(start);
    let mend = |place: &mut Place| {
        let from = place.offset as usize;
        place.crc = crc32c::crc32c(&image[from..from + place.len as usize]);
    };
    for block in &mut footer.blocks {
        mend(&mut block.keys);
        mend(&mut block.timestamps);
        block.columns.iter_mut().for_each(|chunk| mend(&mut chunk.place));
    }
    footer.encode(&mut image).ok()?;
    Some(image)
}
