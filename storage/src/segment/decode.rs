//! Chunks to Arrow columns, a whole selection of rows at a time.
//!
//! Loops are specialised by the width of codes and values, and strings are copied all at once where
//! most of a block is wanted. What has no loop of its own (arrays) goes value by value.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, BinaryArray, BooleanArray, NullArray, StringArray, StringViewArray,
    UInt32Array, make_array,
};
use arrow::array::{BinaryViewArray, GenericByteArray};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{BinaryType, ByteArrayType, DataType};
use satsuma_common::row::{ColumnBuilder, Physical};

use super::SegmentError;
use super::column::{Chunk, Payload, bit, code};
use super::strings::Strings;

type Result<T> = std::result::Result<T, SegmentError>;

/// Which rows of a block are wanted, by their places in it, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    Range(Range<u32>),
    Rows(Vec<u32>),
}

impl Selection {
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Rows(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of the `i`th selected row.
    pub fn place(&self, i: usize) -> u32 {
        match self {
            Self::Range(range) => range.start + i as u32,
            Self::Rows(rows) => rows[i],
        }
    }

    /// The part of it from `start` on, `len` rows.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        match self {
            Self::Range(range) => {
                let start = range.start + start as u32;
                Self::Range(start..start + len as u32)
            }
            Self::Rows(rows) => Self::Rows(rows[start..start + len].to_vec()),
        }
    }

    /// The rows of it at which `mask` is set.
    pub fn filter(&self, mask: &BooleanBuffer) -> Self {
        Self::Rows(mask.set_indices().map(|i| self.place(i)).collect())
    }

    fn end(&self) -> usize {
        match self {
            Self::Range(range) => range.end as usize,
            Self::Rows(rows) => rows.last().map_or(0, |row| *row as usize + 1),
        }
    }

    /// Calls `each` with every place.
    fn map<T>(&self, mut each: impl FnMut(usize) -> T) -> Vec<T> {
        match self {
            Self::Range(range) => range.clone().map(|row| each(row as usize)).collect(),
            Self::Rows(rows) => rows.iter().map(|row| each(*row as usize)).collect(),
        }
    }
}

/// The distinct values of a chunk and which of them each selected row has.
pub struct Dictionary {
    /// Without NULLs.
    pub values: ArrayRef,
    /// NULL where the row is.
    pub codes: UInt32Array,
}

impl Dictionary {
    pub fn decode(&self) -> Result<ArrayRef> {
        take(self.values.as_ref(), &self.codes, None).map_err(malformed)
    }
}

fn malformed(error: arrow::error::ArrowError) -> SegmentError {
    SegmentError::new(format!("values are malformed: {error}"))
}

/// Reads a chunk of a segment. What it answers with has nothing of the segment's own bytes: pages of
/// those may turn out to be unreadable at any time.
pub struct Decoder<'a> {
    pub chunk: Chunk<'a>,
}

impl Decoder<'_> {
    /// The selected rows as a column of `data_type`, which must be the type the chunk was made of.
    pub fn decode(&self, data_type: &DataType, rows: &Selection) -> Result<ArrayRef> {
        self.check(rows)?;
        if let Some(dictionary) = self.dictionary(data_type, rows)? {
            return dictionary.decode();
        }
        let nulls = || self.nulls(rows);
        match (&self.chunk.payload, data_type) {
            (Payload::Bools(bits), DataType::Boolean) => {
                let values = match rows {
                    Selection::Range(range) => {
                        let buffer = Buffer::from_slice_ref(bits);
                        let bits = BooleanBuffer::new(buffer, range.start as usize, range.len());
                        BooleanBuffer::new(bits.sliced(), 0, range.len())
                    }
                    Selection::Rows(_) => BooleanBuffer::collect_bool(rows.len(), |i| {
                        bit(bits, rows.place(i) as usize)
                    }),
                };
                Ok(Arc::new(BooleanArray::new(values, nulls())))
            }
            (_, DataType::Null) => Ok(Arc::new(NullArray::new(rows.len()))),
            (Payload::Plain { values, width }, _) => {
                fixed(data_type, plain(values, *width, rows), rows.len(), nulls())
            }
            (Payload::Offset { base, divisor, code_width, codes, width }, _) => {
                let codes = Codes { codes, width: *code_width };
                let buffer = match width {
                    2 => offsets(
                        codes,
                        rows,
                        *base as i16,
                        *divisor as i16,
                        i16::wrapping_mul,
                        i16::wrapping_add,
                    ),
                    4 => offsets(
                        codes,
                        rows,
                        *base as i32,
                        *divisor as i32,
                        i32::wrapping_mul,
                        i32::wrapping_add,
                    ),
                    8 => offsets(
                        codes,
                        rows,
                        *base as i64,
                        *divisor as i64,
                        i64::wrapping_mul,
                        i64::wrapping_add,
                    ),
                    16 => offsets(
                        codes,
                        rows,
                        *base,
                        i128::from(*divisor),
                        i128::wrapping_mul,
                        i128::wrapping_add,
                    ),
                    _ => return Err(SegmentError::new("values of an unknown width")),
                };
                fixed(data_type, buffer, rows.len(), nulls())
            }
            (_, DataType::Utf8View) => {
                let array: StringArray = self.strings(rows)?;
                Ok(Arc::new(StringViewArray::from(&array)))
            }
            (_, DataType::BinaryView) => {
                let array: BinaryArray = self.strings(rows)?;
                Ok(Arc::new(BinaryViewArray::from(&array)))
            }
            (_, DataType::Binary) => Ok(Arc::new(self.strings::<BinaryType>(rows)?)),
            _ => self.one_by_one(data_type, rows),
        }
    }

    /// `None` where the chunk has no dictionary, or `data_type` is no string.
    pub fn dictionary(&self, data_type: &DataType, rows: &Selection) -> Result<Option<Dictionary>> {
        let Payload::Dictionary { code_width, codes, entries } = &self.chunk.payload else {
            return Ok(None);
        };
        self.check(rows)?;
        let count = entries.len();
        let all = Selection::Range(0..count as u32);
        let values: ArrayRef = match data_type {
            DataType::Utf8View => {
                let array: StringArray = self.array(entries, &all, None)?;
                Arc::new(StringViewArray::from(&array))
            }
            DataType::BinaryView => {
                let array: BinaryArray = self.array(entries, &all, None)?;
                Arc::new(BinaryViewArray::from(&array))
            }
            DataType::Binary => Arc::new(self.array::<BinaryType>(entries, &all, None)?),
            _ => return Ok(None),
        };
        let whole = |code| u32::try_from(code).unwrap_or(u32::MAX);
        let codes = Codes { codes, width: *code_width }.map(rows, whole);
        // A NULL's code may be anything, but within the entries.
        if codes.iter().any(|code| *code as usize >= count) {
            return Err(SegmentError::new("dictionary code is out of bounds"));
        }
        let codes = UInt32Array::new(ScalarBuffer::from(codes), self.nulls(rows));
        Ok(Some(Dictionary { values, codes }))
    }

    fn check(&self, rows: &Selection) -> Result<()> {
        match rows.end() <= self.chunk.rows() {
            true => Ok(()),
            false => Err(SegmentError::new("row is out of bounds")),
        }
    }

    fn nulls(&self, rows: &Selection) -> Option<NullBuffer> {
        let nulls = self.chunk.nulls?;
        let valid =
            BooleanBuffer::collect_bool(rows.len(), |i| !bit(nulls, rows.place(i) as usize));
        let nulls = NullBuffer::new(valid);
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn strings<T: ByteArrayType<Offset = i32>>(
        &self,
        rows: &Selection,
    ) -> Result<GenericByteArray<T>> {
        let nulls = self.nulls(rows);
        match &self.chunk.payload {
            Payload::Strings(strings) => self.array(strings, rows, nulls),
            Payload::Template(template) => {
                let rows = (0..rows.len()).map(|i| rows.place(i) as usize);
                let (values, ends) = template.values(rows)?;
                byte_array(&ends, Buffer::from_vec(values), nulls)
            }
            _ => Err(SegmentError::new("chunk has an encoding that does not fit")),
        }
    }

    /// Strings one after another: those of a range at once, others one by one.
    fn array<T: ByteArrayType<Offset = i32>>(
        &self,
        strings: &Strings<'_>,
        rows: &Selection,
        nulls: Option<NullBuffer>,
    ) -> Result<GenericByteArray<T>> {
        if let Selection::Range(range) = rows
            && let Some((bytes, ends)) = strings.slice(range.start as usize..range.end as usize)?
        {
            return byte_array(&ends, Buffer::from_slice_ref(bytes), nulls);
        }
        let mut values = Vec::with_capacity(rows.len() * 16);
        let mut ends = Vec::with_capacity(rows.len());
        let mut from = 0;
        for i in 0..rows.len() {
            // Strings lie one behind the other: together they are no longer than what is stored.
            from = strings.append(rows.place(i) as usize, from, &mut values)?;
            ends.push(values.len());
        }
        byte_array(&ends, Buffer::from_vec(values), nulls)
    }

    fn one_by_one(&self, data_type: &DataType, rows: &Selection) -> Result<ArrayRef> {
        let row_error = |error: satsuma_common::row::RowError| SegmentError::new(error.to_string());
        let mut builder = ColumnBuilder::new(data_type, rows.len());
        for i in 0..rows.len() {
            let value = self.chunk.value(rows.place(i) as usize)?;
            builder.push(value.as_deref()).map_err(row_error)?;
        }
        builder.finish().map_err(row_error)
    }
}

/// Strings that end at these places of `values`.
fn byte_array<T: ByteArrayType<Offset = i32>>(
    ends: &[usize],
    values: Buffer,
    nulls: Option<NullBuffer>,
) -> Result<GenericByteArray<T>> {
    let in_range = ends.iter().all(|end| i32::try_from(*end).is_ok());
    if !in_range || !ends.is_sorted() {
        return Err(SegmentError::new("string offset is out of bounds"));
    }
    let ends = std::iter::once(0).chain(ends.iter().map(|end| *end as i32)).collect::<Vec<_>>();
    let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
    GenericByteArray::try_new(ends, values, nulls).map_err(malformed)
}

/// Little-endian codes of one width.
#[derive(Clone, Copy)]
struct Codes<'a> {
    codes: &'a [u8],
    width: usize,
}

impl Codes<'_> {
    fn map<T>(self, rows: &Selection, each: impl Fn(u64) -> T) -> Vec<T> {
        match self.width {
            0 => rows.map(|_| each(0)),
            1 => self.of::<1, T>(rows, |bytes| each(u64::from(bytes[0]))),
            2 => self.of::<2, T>(rows, |bytes| each(u64::from(u16::from_le_bytes(bytes)))),
            3 => self.of::<3, T>(rows, |bytes| each(widened(bytes))),
            4 => self.of::<4, T>(rows, |bytes| each(u64::from(u32::from_le_bytes(bytes)))),
            5 => self.of::<5, T>(rows, |bytes| each(widened(bytes))),
            6 => self.of::<6, T>(rows, |bytes| each(widened(bytes))),
            8 => self.of::<8, T>(rows, |bytes| each(u64::from_le_bytes(bytes))),
            width => rows.map(|row| each(code(self.codes, width, row))),
        }
    }

    fn of<const W: usize, T>(self, rows: &Selection, each: impl Fn([u8; W]) -> T) -> Vec<T> {
        let (codes, _) = self.codes.as_chunks::<W>();
        match rows {
            Selection::Range(range) => codes[range.start as usize..range.end as usize]
                .iter()
                .map(|bytes| each(*bytes))
                .collect(),
            Selection::Rows(rows) => rows.iter().map(|row| each(codes[*row as usize])).collect(),
        }
    }
}

fn widened<const W: usize>(bytes: [u8; W]) -> u64 {
    let mut wide = [0; 8];
    wide[..W].copy_from_slice(&bytes);
    u64::from_le_bytes(wide)
}

/// A whole number that codes are turned into.
trait Number: arrow::datatypes::ArrowNativeType {
    fn of_code(code: u64) -> Self;
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Number for $ty {
            fn of_code(code: u64) -> Self {
                code as Self
            }
        }
    )*};
}
numbers!(i16 i32 i64 i128);

fn offsets<T: Number>(
    codes: Codes<'_>,
    rows: &Selection,
    base: T,
    divisor: T,
    times: impl Fn(T, T) -> T,
    plus: impl Fn(T, T) -> T,
) -> Buffer {
    let values = if divisor == T::of_code(1) {
        codes.map(rows, |code| plus(base, T::of_code(code)))
    } else {
        codes.map(rows, |code| plus(base, times(T::of_code(code), divisor)))
    };
    Buffer::from_vec(values)
}

fn plain(values: &[u8], width: usize, rows: &Selection) -> Buffer {
    let mut out = MutableBuffer::new(rows.len() * width);
    match rows {
        Selection::Range(range) => {
            out.extend_from_slice(
                &values[range.start as usize * width..range.end as usize * width],
            );
        }
        Selection::Rows(rows) => {
            for row in rows {
                let at = *row as usize * width;
                out.extend_from_slice(&values[at..at + width]);
            }
        }
    }
    out.into()
}

fn fixed(
    data_type: &DataType,
    buffer: Buffer,
    len: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let Physical::Fixed(width) = Physical::of_arrow(data_type) else {
        return Err(SegmentError::new("column has values of another type"));
    };
    if buffer.len() != len * width {
        return Err(SegmentError::new("value of another width"));
    }
    let data = match data_type {
        DataType::FixedSizeList(item, 2) => {
            let points = ArrayData::builder(item.data_type().clone())
                .len(len * 2)
                .add_buffer(buffer)
                .build()
                .map_err(malformed)?;
            ArrayData::builder(data_type.clone()).len(len).add_child_data(points)
        }
        other => ArrayData::builder(other.clone()).len(len).add_buffer(buffer),
    };
    Ok(make_array(data.nulls(nulls).build().map_err(malformed)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::segment::column::{Kind, encode};

    /// The decoded column of every selection against the chunk's values taken one by one.
    fn check(data_type: &DataType, values: &[Option<Vec<u8>>]) {
        let kind = Kind::of(data_type);
        let values: Vec<_> = values.iter().map(|v| v.as_deref()).collect();
        let bytes = bytes::Bytes::from(encode(kind, &values).unwrap());
        let chunk = Chunk::open(kind, values.len(), &bytes).unwrap();
        let decoder = Decoder { chunk };
        let len = values.len() as u32;
        let selections = [
            Selection::Range(0..len),
            Selection::Range(len / 3..len - len / 4),
            Selection::Rows((0..len).step_by(3).collect()),
            Selection::Rows(Vec::new()),
        ];
        for rows in selections {
            let array = decoder.decode(data_type, &rows).unwrap();
            let expected = decoder.one_by_one(data_type, &rows).unwrap();
            assert_eq!(array.data_type(), data_type);
            assert_eq!(array.to_data(), expected.to_data(), "{data_type} {rows:?}");
        }
    }

    proptest! {
        #[test]
        fn selections_decode_to_the_values(
            ints in proptest::collection::vec(proptest::option::of(any::<i64>()), 1..60),
            small in proptest::collection::vec(-9i64..9, 1..60),
            texts in proptest::collection::vec(proptest::option::of("[aé]{0,20}"), 1..60),
            few in proptest::collection::vec(proptest::option::of("[ab]{1}"), 8..60),
            same in proptest::collection::vec("a[b-z]{3}", 1..90),
            long in proptest::collection::vec(proptest::option::of("(http://é|x)[a-c]{0,40}"), 40..90),
        ) {
            let small: Vec<_> = small.into_iter().map(|v| Some(v * 1000)).collect();
            for ints in [ints, small] {
                let wide: Vec<_> = ints.iter().map(|v| v.map(|v| i128::from(v).to_le_bytes().to_vec())).collect();
                check(&DataType::Decimal128(38, 4), &wide);
                check(&DataType::FixedSizeBinary(16), &wide);
                let long: Vec<_> = ints.iter().map(|v| v.map(|v| v.to_le_bytes().to_vec())).collect();
                check(&DataType::Int64, &long);
                check(&DataType::Float64, &long);
                let half: Vec<_> = ints.iter().map(|v| v.map(|v| (v as i32).to_le_bytes().to_vec())).collect();
                check(&DataType::Int32, &half);
                check(&DataType::Date32, &half);
                let short: Vec<_> = ints.iter().map(|v| v.map(|v| (v as i16).to_le_bytes().to_vec())).collect();
                check(&DataType::Int16, &short);
                let bools: Vec<_> = ints.iter().map(|v| v.map(|v| vec![u8::from(v > 0)])).collect();
                check(&DataType::Boolean, &bools);
            }
            let mut mostly = same.clone();
            mostly[0] = long[0].clone().unwrap_or_default();
            let [same, mostly] = [same, mostly].map(|texts| texts.into_iter().map(Some).collect());
            for texts in [texts, few, same, mostly, long] {
                let texts: Vec<_> = texts.into_iter().map(|v| v.map(String::into_bytes)).collect();
                for ty in [DataType::Utf8View, DataType::BinaryView, DataType::Binary] {
                    check(&ty, &texts);
                }
            }
        }

        #[test]
        fn wrong_chunks_are_errors(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            encoding in 0u8..7,
            rows in 0usize..20,
        ) {
            let bytes: bytes::Bytes = [encoding, 0].into_iter().chain(bytes).collect::<Vec<_>>().into();
            for ty in [DataType::Boolean, DataType::Int64, DataType::Decimal128(9, 2), DataType::Utf8View, DataType::Binary] {
                if let Ok(chunk) = Chunk::open(Kind::of(&ty), rows, &bytes) {
                    let decoder = Decoder { chunk };
                    let _ = decoder.decode(&ty, &Selection::Range(0..rows as u32));
                    let _ = decoder.decode(&ty, &Selection::Rows((0..rows as u32).collect()));
                    let _ = decoder.decode(&ty, &Selection::Range(0..rows as u32 + 1));
                }
            }
        }
    }

    #[test]
    fn strings_that_are_not_utf8_are_an_error() {
        let values: [Option<&[u8]>; 3] = [Some(b"a"), Some(&[0xc3]), Some(&[0xa9])];
        let bytes = bytes::Bytes::from(encode(Kind::Bytes, &values).unwrap());
        let chunk = Chunk::open(Kind::Bytes, 3, &bytes).unwrap();
        let decoder = Decoder { chunk };
        assert!(decoder.decode(&DataType::Utf8View, &Selection::Range(0..3)).is_err());
        assert!(decoder.decode(&DataType::Utf8View, &Selection::Range(0..1)).is_ok());
    }
}
