use std::sync::Arc;

use super::*;
use crate::datum::{Array, Datum, Inet, Interval, Numeric};
use crate::ids::{ColumnId, TableId};
use crate::table::{Column, TableShape};
use crate::types::{NumericMod, PgType};

fn shape(version: u64, columns: &[(u16, PgType)]) -> TableShape {
    TableShape {
        table: TableId(1),
        version,
        schema_name: "public".into(),
        name: "t".into(),
        columns: columns
            .iter()
            .map(|(id, ty)| Column {
                id: ColumnId(*id),
                name: format!("c{id}"),
                ty: ty.clone(),
                not_null: false,
                missing: None,
            })
            .collect(),
        primary_key: Vec::new(),
        primary_key_name: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}

fn decoder(shape: &TableShape) -> RowDecoder {
    RowDecoder::new(Arc::new(shape.clone()), Arc::new(Layouts::of(shape)))
}

fn every_type() -> Vec<(PgType, Datum)> {
    let money = PgType::Numeric(Some(NumericMod { precision: 10, scale: 2 }));
    let texts = PgType::Array(Box::new(PgType::Text));
    let items = vec![Datum::Text("a".into()), Datum::Null, Datum::Text(String::new())];
    let points = PgType::Array(Box::new(PgType::Point));
    vec![
        (PgType::Bool, Datum::Bool(true)),
        (PgType::Int2, Datum::Int2(-2)),
        (PgType::Int4, Datum::Int4(i32::MIN)),
        (PgType::Int8, Datum::Int8(1 << 40)),
        (PgType::Float4, Datum::Float4(-1.5)),
        (PgType::Float8, Datum::Float8(f64::INFINITY)),
        (money, Datum::Numeric(Numeric::parse("-12345.67").unwrap())),
        (PgType::Numeric(None), Datum::Numeric(Numeric::parse("1e50").unwrap())),
        (PgType::Text, Datum::Text("grüße, a string that is not inlined".into())),
        (PgType::Jsonb, Datum::Text("{\"a\": 1}".into())),
        (PgType::Bytea, Datum::Bytea(vec![0, 255, 0])),
        (PgType::Date, Datum::Date(-1)),
        (PgType::Time, Datum::Time(86_399_999_999)),
        (PgType::Timestamp, Datum::Timestamp(i64::MIN)),
        (PgType::Timestamptz, Datum::Timestamp(i64::MAX)),
        (PgType::Interval, Datum::Interval(Interval { months: -1, days: 40, micros: -7 })),
        (PgType::Uuid, Datum::Uuid([7; 16])),
        (PgType::Inet, Datum::Inet(Inet::parse("10.1.2.3/8").unwrap())),
        (PgType::Point, Datum::Point(-0.5, 1e300)),
        (PgType::Oid, Datum::Oid(u32::MAX)),
        (texts, Datum::Array(Array { element: PgType::Text, values: items })),
        (
            points,
            Datum::Array(Array { element: PgType::Point, values: vec![Datum::Point(1.0, 2.0)] }),
        ),
    ]
}

#[test]
fn every_type_goes_through_rows_and_arrow() {
    let values = every_type();
    let columns: Vec<_> =
        values.iter().enumerate().map(|(i, (ty, _))| (i as u16 + 1, ty.clone())).collect();
    let shape = shape(300, &columns);
    let encoder = RowEncoder::new(&shape);
    let full: Vec<_> = values.iter().map(|(_, datum)| datum.clone()).collect();
    let nulls = vec![Datum::Null; full.len()];
    let rows = [&full, &nulls, &full].map(|row| encoder.encode(row).unwrap());
    let decoder = decoder(&shape);
    let mut builder = decoder.batch_builder(None, 1).unwrap();
    for (row, datums) in rows.iter().zip([&full, &nulls, &full]) {
        assert_eq!(&decoder.datums(row).unwrap(), datums);
        builder.push(b"key", row).unwrap();
    }
    let batch = builder.finish().unwrap();
    assert_eq!(batch.num_columns(), full.len() + 1);
    assert_eq!(encoder.encode_batch(&batch).unwrap(), rows);
    assert_eq!(encoder.encode_batch(&batch.slice(1, 2)).unwrap(), rows[1..]);
}

#[test]
fn rows_of_older_shapes_read_as_the_newest() {
    let old = shape(1, &[(1, PgType::Int4), (2, PgType::Text), (3, PgType::Int8)]);
    let row = RowEncoder::new(&old)
        .encode(&[Datum::Int4(1), Datum::Text("gone".into()), Datum::Int8(3)])
        .unwrap();
    let mut new = shape(2, &[(3, PgType::Int8), (1, PgType::Int4), (4, PgType::Text)]);
    new.columns[2].missing = encode_value(&Datum::Text("added".into()), &PgType::Text).unwrap();
    let mut layouts = Layouts::of(&new);
    let unknown = RowDecoder::new(Arc::new(new.clone()), Arc::new(layouts.clone()));
    assert_eq!(unknown.datum(&row, 0), Err(RowError::UnknownLayout(1)));
    layouts.add(&old);
    let decoder = RowDecoder::new(Arc::new(new), Arc::new(layouts));
    let expected = [Datum::Int8(3), Datum::Int4(1), Datum::Text("added".into())];
    assert_eq!(decoder.datums(&row).unwrap(), expected);
}

#[test]
fn damaged_rows_are_errors() {
    let values = every_type();
    let columns: Vec<_> =
        values.iter().enumerate().map(|(i, (ty, _))| (i as u16 + 1, ty.clone())).collect();
    let shape = shape(1, &columns);
    let datums: Vec<_> = values.into_iter().map(|(_, datum)| datum).collect();
    let row = RowEncoder::new(&shape).encode(&datums).unwrap();
    let decoder = decoder(&shape);
    for len in 0..row.len() {
        let _ = decoder.datums(&row[..len]);
        let mut builder = decoder.batch_builder(None, 1).unwrap();
        let _ = builder.push(b"", &row[..len]);
    }
    for at in 0..row.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = row.clone();
            bad[at] ^= flip;
            let _ = decoder.datums(&bad);
            let mut builder = decoder.batch_builder(None, 1).unwrap();
            if builder.push(b"", &bad).is_ok() {
                let _ = builder.finish();
            }
        }
    }
}

#[test]
fn varints_are_bounded() {
    for n in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, n);
        assert_eq!(take_varint(&mut &bytes[..]), Ok(n));
    }
    assert!(take_varint(&mut &[0xff; 11][..]).is_err());
    assert!(take_varint(&mut &[0x80][..]).is_err());
}
