use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use satsuma_common::row::{Layouts, RowDecoder, RowEncoder};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{ColumnId, Datum, PgType, TableId, Timestamp};

use super::column::{Chunk, Kind, encode, encode_keys};
use super::*;
use crate::error::StorageError;
use crate::shard::{CompareOp, Predicate};

fn shape() -> TableShape {
    let columns = [PgType::Int8, PgType::Text, PgType::Float8, PgType::Bool];
    TableShape {
        table: TableId(1),
        version: 1,
        schema_name: "public".into(),
        name: "t".into(),
        columns: columns
            .into_iter()
            .enumerate()
            .map(|(i, ty)| Column {
                id: ColumnId(i as u16 + 1),
                name: format!("c{i}"),
                ty,
                not_null: false,
                missing: None,
            })
            .collect(),
        primary_key: vec![ColumnId(1)],
        primary_key_name: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}

fn decoder() -> RowDecoder {
    RowDecoder::new(Arc::new(shape()), Arc::new(Layouts::of(&shape())))
}

fn stored(n: i64, ts: u64) -> StoredRow {
    let text = match n % 7 {
        0 => Datum::Null,
        n => Datum::Text(format!("value {n}")),
    };
    let row = [Datum::Int8(n), text, Datum::Float8(n as f64 / 3.0), Datum::Bool(n % 2 == 0)];
    let key = satsuma_common::key::row_id_key(n as u64).into();
    let row = RowEncoder::new(&shape()).encode(&row).unwrap().into();
    StoredRow { key, ts: Timestamp(ts), row }
}

fn segment(rows: &[StoredRow]) -> Vec<u8> {
    let mut writer = SegmentWriter::new(decoder());
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(writer.push(row.clone()).unwrap(), i as u32);
    }
    writer.finish().unwrap()
}

fn open(bytes: Vec<u8>) -> Result<Segment, StorageError> {
    Segment::open(1, "s".into(), Bytes::from(bytes), Marks::default())
}

#[test]
fn rows_are_found_by_key_over_blocks() {
    let rows: Vec<_> = (0..40_000).map(|n| stored(n * 2, 10 + n as u64 % 3)).collect();
    let segment = open(segment(&rows)).unwrap();
    assert_eq!(segment.footer().blocks.len(), 3);
    assert!(segment.size() < 40_000 * 24, "{} bytes", segment.size());
    for n in [0, 1, 16_383, 16_384, 39_999] {
        let found = segment.find(&rows[n].key).unwrap();
        assert_eq!(found, n as u32..n as u32 + 1);
        assert_eq!(segment.row(n as u32).unwrap(), rows[n]);
        assert_eq!(segment.timestamp(n as u32).unwrap(), rows[n].ts);
    }
    for missing in [1u64, 32_767, 80_000] {
        assert!(segment.find(&missing.to_be_bytes()).unwrap().is_empty());
    }
    assert!(segment.row(40_000).is_err());
}

#[test]
fn versions_of_a_key_are_found_together() {
    let mut rows: Vec<_> = (0..BLOCK_ROWS as i64 - 1).map(|n| stored(n, 1)).collect();
    rows.extend((1..4).map(|ts| stored(50_000, ts)));
    rows.push(stored(60_000, 1));
    let segment = open(segment(&rows)).unwrap();
    let first = BLOCK_ROWS as u32 - 1;
    assert_eq!(segment.find(&rows[first as usize].key).unwrap(), first..first + 3);
}

#[test]
fn blocks_that_cannot_match_are_told() {
    let rows: Vec<_> = (0..40_000).map(|n| stored(n, 1)).collect();
    let segment = open(segment(&rows)).unwrap();
    let matching = |op, value| {
        let test = prune::Test::new(&Predicate { column: 0, op, value }, &PgType::Int8).unwrap();
        let blocks = &segment.footer().blocks;
        blocks.iter().map(|b| test.may_match(&b.columns[0], b.rows)).collect::<Vec<_>>()
    };
    assert_eq!(matching(CompareOp::Eq, Datum::Int8(20_000)), [false, true, false]);
    assert_eq!(matching(CompareOp::Less, Datum::Int8(16_384)), [true, false, false]);
    assert_eq!(matching(CompareOp::LessOrEq, Datum::Int8(16_384)), [true, true, false]);
    assert_eq!(matching(CompareOp::Greater, Datum::Int8(39_999)), [false, false, false]);
    assert_eq!(matching(CompareOp::NotEq, Datum::Int8(5)), [true, true, true]);
    assert_eq!(matching(CompareOp::IsNull, Datum::Null), [false, false, false]);
    assert_eq!(matching(CompareOp::Eq, Datum::Null), [false, false, false]);
}

#[test]
fn flipped_bits_are_errors_that_name_the_place() {
    let rows: Vec<_> = (0..200).map(|n| stored(n, 5)).collect();
    let good = segment(&rows);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let result = open(bytes).and_then(|segment| {
            (0..200).map(|row| segment.row(row)).collect::<Result<Vec<_>, _>>()
        });
        assert!(matches!(result, Err(StorageError::Corrupt { .. })), "bit {bit}");
    }
    for len in 0..good.len() {
        assert!(open(good[..len].to_vec()).is_err());
    }
}

#[test]
fn a_dictionary_has_no_more_entries_than_rows() {
    // No codes, ends without bytes: nothing but the number of entries says how many there are.
    let chunk = |entries: u32| {
        let head = [&[2, 0], &entries.to_le_bytes()[..], &[0]].concat();
        [&head[..], &[0], &[0; 17]].concat()
    };
    assert!(Chunk::open(Kind::Bytes, 3, &chunk(3)).is_ok());
    assert!(Chunk::open(Kind::Bytes, 3, &chunk(u32::MAX)).is_err());
}

fn round_trip(kind: Kind, values: &[Option<Vec<u8>>]) -> usize {
    let values: Vec<_> = values.iter().map(|v| v.as_deref()).collect();
    let bytes = encode(kind, &values).unwrap();
    let chunk = Chunk::open(kind, values.len(), &bytes).unwrap();
    for (i, value) in values.iter().enumerate() {
        assert_eq!(chunk.value(i).unwrap().as_deref(), *value, "row {i}");
    }
    if let Some(plain) = chunk.plain_values(0..values.len()) {
        assert_eq!(plain, values.iter().flatten().copied().collect::<Vec<_>>().concat());
    }
    assert!(chunk.value(values.len()).is_err());
    bytes.len()
}

#[test]
fn encodings_are_small_where_they_can_be() {
    let numbers = |f: &dyn Fn(i64) -> i64| -> Vec<_> {
        (0..1000).map(|n| Some(f(n).to_le_bytes().to_vec())).collect()
    };
    assert!(round_trip(Kind::Signed(8), &numbers(&|_| -7)) < 40);
    assert!(
        round_trip(
            Kind::Signed(8),
            &numbers(&|n| 1_700_000_000_000_000 + n % 200 * 86_400_000_000)
        ) < 1040
    );
    assert!(
        round_trip(Kind::Signed(8), &numbers(&|n| if n == 0 { i64::MIN } else { i64::MAX })) < 8040
    );
    let texts: Vec<_> = (0..1000).map(|n| Some(format!("state {}", n % 5).into_bytes())).collect();
    assert!(round_trip(Kind::Bytes, &texts) < 1100);
    let urls: Vec<_> = (0..1000)
        .map(|n| Some(format!("http://site-{}.example/page/{}", n % 7, n * n).into_bytes()))
        .collect();
    let plain: usize = urls.iter().flatten().map(Vec::len).sum();
    assert!(round_trip(Kind::Text, &urls) < plain / 2);
    // Ends near a line take two bytes, not four.
    assert!(round_trip(Kind::Bytes, &urls) < plain + 2100);
    let addresses: Vec<_> = (0..1000u32)
        .map(|n| {
            let address = (0x0a00_0000 + n * 7).to_be_bytes();
            Some([&[2], &address[..], &[32], &address[..]].concat())
        })
        .collect();
    assert!(round_trip(Kind::Bytes, &addresses) < 2100);
    // Few kinds are seen wherever they stand: one after the other, together, at chance places.
    let kinds = |place: &dyn Fn(u64) -> u64| -> Vec<_> {
        let kind = |n| format!("{:016x}", (place(n) % 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..16_000).map(|n| Some(kind(n).into_bytes())).collect()
    };
    for place in [&|n| n, &|n| n / 16, &|n| n * n % 7919] as [&dyn Fn(u64) -> u64; 3] {
        assert!(round_trip(Kind::Text, &kinds(place)) < 16_000 * 3);
    }
}

#[test]
fn keys_lose_what_they_have_in_common() {
    let keys: Vec<_> =
        (0..1000u64).map(|n| [(n / 300).to_be_bytes(), n.to_be_bytes()].concat()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let bytes = encode_keys(&keys).unwrap();
    assert!(bytes.len() < 3100);
    let chunk = Chunk::open(Kind::Bytes, 1000, &bytes).unwrap();
    assert_eq!(chunk.value(777).unwrap().as_deref(), Some(keys[777]));
    let strings: [&[u8]; 5] =
        [b"", keys[3], &keys[777][..15], keys[777], &[keys[777], b"x"].concat()];
    for to in strings {
        for row in [3, 776, 777, 778] {
            assert_eq!(chunk.compare(row, to).unwrap(), keys[row].cmp(to));
        }
    }
}

proptest! {
    #[test]
    fn columns_round_trip(
        ints in proptest::collection::vec(proptest::option::of(any::<i64>()), 1..50),
        small in proptest::collection::vec(proptest::option::of(-9i64..9), 1..50),
        texts in proptest::collection::vec(proptest::option::of("[ab]{0,3}"), 1..50),
        long in proptest::collection::vec(proptest::option::of("(key|é|[\\x00-\\xff])[a-c]{0,40}"), 40..90),
        bools in proptest::collection::vec(proptest::option::of(any::<bool>()), 1..50),
    ) {
        for ints in [ints, small] {
            let values: Vec<_> = ints.iter().map(|v| v.map(|v| v.to_le_bytes().to_vec())).collect();
            for kind in [Kind::Signed(8), Kind::Unsigned(8), Kind::Opaque(8)] {
                round_trip(kind, &values);
            }
        }
        let texts: Vec<_> = texts.into_iter().map(|v| v.map(String::into_bytes)).collect();
        round_trip(Kind::Bytes, &texts);
        let long: Vec<_> = long.into_iter().map(|v| v.map(String::into_bytes)).collect();
        round_trip(Kind::Bytes, &long);
        round_trip(Kind::Text, &long);
        let bools: Vec<_> = bools.into_iter().map(|v| v.map(|v| vec![u8::from(v)])).collect();
        round_trip(Kind::Bool, &bools);
    }

    #[test]
    fn wrong_chunks_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..80), rows in 0usize..20) {
        for kind in [Kind::Bool, Kind::Signed(8), Kind::Opaque(16), Kind::Bytes, Kind::Text] {
            if let Ok(chunk) = Chunk::open(kind, rows, &bytes) {
                for row in 0..rows {
                    let _ = chunk.value(row);
                }
                let _ = chunk.plain_values(0..rows);
            }
        }
    }
}
