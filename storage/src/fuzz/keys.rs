//! Keys: their order is that of the values, and they give equal values back.

use std::cmp::Ordering;
use std::net::IpAddr;

use satsuma_common::datum::{Array, Inet, Interval, Numeric};
use satsuma_common::key::{KeyEncoder, prefix_end};
use satsuma_common::types::NumericMod;
use satsuma_common::{Datum, Oid, PgType};

use super::input::Input;

/// One of every form that values have in rows, keys and columns.
pub(super) const TYPES: &[PgType] = &[
    PgType::Bool,
    PgType::Int2,
    PgType::Int4,
    PgType::Int8,
    PgType::Float4,
    PgType::Float8,
    PgType::Numeric(None),
    PgType::Numeric(Some(NumericMod { precision: 20, scale: 2 })),
    PgType::Text,
    PgType::Bpchar(Some(4)),
    PgType::Bytea,
    PgType::Date,
    PgType::Time,
    PgType::Timestamptz,
    PgType::Interval,
    PgType::Uuid,
    PgType::Inet,
    PgType::Oid,
    PgType::Enum(Oid(70_000)),
    PgType::Point,
    PgType::Void,
];
/// Of these, those that have an order.
const ORDERED: &[PgType] = TYPES.split_at(TYPES.len() - 2).0;

/// Types of up to three columns, two rows of them, and bytes to be read as a key.
pub fn keys(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let columns = 1 + input.byte() % 3;
    let types: Vec<PgType> = (0..columns).map(|_| ty(&mut input, ORDERED)).collect();
    let encoder = KeyEncoder::new(types.clone()).expect("types that have an order");
    let rows: [Vec<Datum>; 2] =
        [(); 2].map(|()| types.iter().map(|ty| value(&mut input, ty)).collect());
    let keys = rows.each_ref().map(|row| encoder.encode(row).expect("values of these types"));
    let expected = types.iter().zip(rows[0].iter().zip(&rows[1]));
    let expected = expected.map(|(ty, (a, b))| compare(ty, a, b)).find(|order| order.is_ne());
    let expected = expected.unwrap_or(Ordering::Equal);
    assert_eq!(keys[0].cmp(&keys[1]), expected, "{types:?} {rows:?} {keys:?}");
    for (row, key) in rows.iter().zip(&keys) {
        let again = encoder.decode(key).expect("a key that was written");
        for (ty, (value, again)) in types.iter().zip(row.iter().zip(&again)) {
            assert!(compare(ty, value, again).is_eq(), "{ty}: {value:?} came back as {again:?}");
        }
        assert_eq!(&encoder.encode(&again).expect("values that were read"), key);
        let prefix = encoder.encode(&row[..1]).expect("a value");
        assert!(key.starts_with(&prefix));
        assert!(prefix_end(&prefix).is_none_or(|end| *key < end));
    }
    let any = input.rest();
    if let Ok(values) = encoder.decode(any) {
        let key = encoder.encode(&values).expect("values that were read");
        let again = encoder.decode(&key).expect("a key that was written");
        for (ty, (value, again)) in types.iter().zip(values.iter().zip(&again)) {
            assert!(compare(ty, value, again).is_eq(), "{ty}: {value:?} came back as {again:?}");
        }
    }
}

/// One of the scalars, or an array of it, or an array of arrays.
pub(super) fn ty(input: &mut Input<'_>, scalars: &[PgType]) -> PgType {
    let choice = input.byte();
    let scalar = scalars[usize::from(choice) % scalars.len()].clone();
    (0..choice / 112).fold(scalar, |element, _| PgType::Array(Box::new(element)))
}

pub(super) fn value(input: &mut Input<'_>, ty: &PgType) -> Datum {
    let form = input.byte();
    if form.is_multiple_of(11) {
        return Datum::Null;
    }
    let text = |input: &mut Input<'_>| {
        Datum::Text(String::from_utf8_lossy(input.bytes(usize::from(form % 8))).into_owned())
    };
    match ty {
        PgType::Bool => Datum::Bool(form.is_multiple_of(2)),
        PgType::Int2 => Datum::Int2(i16::from_le_bytes(input.array())),
        PgType::Int4 => Datum::Int4(i32::from_le_bytes(input.array())),
        PgType::Int8 => Datum::Int8(i64::from_le_bytes(input.array())),
        PgType::Float4 => Datum::Float4(f32::from_le_bytes(input.array())),
        PgType::Float8 => Datum::Float8(f64::from_le_bytes(input.array())),
        PgType::Numeric(modifier) => Datum::Numeric(numeric(input, *modifier, form)),
        PgType::Bytea => Datum::Bytea(input.bytes(usize::from(form % 8)).to_vec()),
        PgType::Date => Datum::Date(i32::from_le_bytes(input.array())),
        PgType::Time => Datum::Time(i64::from_le_bytes(input.array())),
        PgType::Timestamptz => Datum::Timestamp(i64::from_le_bytes(input.array())),
        PgType::Interval => Datum::Interval(Interval {
            months: i32::from_le_bytes(input.array()),
            days: i32::from_le_bytes(input.array()),
            // Stored in nanoseconds.
            micros: i64::from_le_bytes(input.array()) / 1000,
        }),
        PgType::Uuid => Datum::Uuid(input.array()),
        PgType::Inet => {
            let address = match form % 2 {
                0 => IpAddr::from(input.array::<4>()),
                _ => IpAddr::from(input.array::<16>()),
            };
            let bits = if address.is_ipv4() { 32 } else { 128 };
            Datum::Inet(Inet::new(address, input.byte() % (bits + 1)).expect("a prefix that fits"))
        }
        PgType::Oid => Datum::Oid(u32::from_le_bytes(input.array())),
        PgType::Array(element) => {
            let values = (0..form % 4).map(|_| value(input, element)).collect();
            Datum::Array(Array { element: (**element).clone(), values })
        }
        _ => text(input),
    }
}

fn numeric(input: &mut Input<'_>, modifier: Option<NumericMod>, form: u8) -> Numeric {
    let coefficient = i128::from_le_bytes(input.array());
    if let Some(modifier) = modifier {
        let most = 10i128.pow(u32::from(modifier.precision));
        let number = Numeric::from_i128(coefficient % most, i32::from(modifier.scale));
        return number.expect("a scale that fits");
    }
    let scale = u16::from_le_bytes(input.array());
    match form % 8 {
        0 => Numeric::NAN,
        1 => Numeric::INFINITY,
        2 => Numeric::NEG_INFINITY,
        3..=5 => Numeric::from_i128(coefficient, i32::from(scale % 41)).expect("a small scale"),
        _ => {
            let digits: Vec<i16> =
                coefficient.to_le_bytes().iter().map(|byte| i16::from(*byte) * 39).collect();
            let weight = i32::from(i16::from_le_bytes(input.array()) / 8);
            let number =
                Numeric::from_base10000(form & 8 != 0, weight, &digits, u32::from(scale % 400));
            number.unwrap_or(Numeric::ONE)
        }
    }
}

/// PostgreSQL's order, NULLs last.
fn compare(ty: &PgType, a: &Datum, b: &Datum) -> Ordering {
    let float = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    match (a, b) {
        (Datum::Null, _) | (_, Datum::Null) => a.is_null().cmp(&b.is_null()),
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Int2(a), Datum::Int2(b)) => a.cmp(b),
        (Datum::Int4(a), Datum::Int4(b)) | (Datum::Date(a), Datum::Date(b)) => a.cmp(b),
        (Datum::Int8(a), Datum::Int8(b))
        | (Datum::Time(a), Datum::Time(b))
        | (Datum::Timestamp(a), Datum::Timestamp(b)) => a.cmp(b),
        (Datum::Float4(a), Datum::Float4(b)) => float(f64::from(*a), f64::from(*b)),
        (Datum::Float8(a), Datum::Float8(b)) => float(*a, *b),
        (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) if matches!(ty, PgType::Bpchar(_)) => {
            a.trim_end_matches(' ').as_bytes().cmp(b.trim_end_matches(' ').as_bytes())
        }
        (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::Bytea(a), Datum::Bytea(b)) => a.cmp(b),
        (Datum::Interval(a), Datum::Interval(b)) => span(a).cmp(&span(b)),
        (Datum::Uuid(a), Datum::Uuid(b)) => a.cmp(b),
        (Datum::Inet(a), Datum::Inet(b)) => a.cmp(b),
        (Datum::Oid(a), Datum::Oid(b)) => a.cmp(b),
        (Datum::Array(a), Datum::Array(b)) => {
            let element = &a.element;
            let pairs = a.values.iter().zip(&b.values);
            let differs = pairs.map(|(a, b)| compare(element, a, b)).find(|order| order.is_ne());
            differs.unwrap_or_else(|| a.values.len().cmp(&b.values.len()))
        }
        _ => unreachable!("values of one type"),
    }
}

fn span(interval: &Interval) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * 86_400_000_000 + i128::from(interval.micros)
}
