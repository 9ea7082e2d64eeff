use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::datum::{Array, Inet, Interval};
use crate::types::NumericMod;

/// Every pair of `values`, given in ascending order, must have keys in that order.
fn check_order(ty: PgType, values: &[Datum]) {
    let encoder = KeyEncoder::new([ty.clone()]).unwrap();
    let keys: Vec<_> =
        values.iter().map(|v| encoder.encode(std::slice::from_ref(v)).unwrap()).collect();
    for (i, a) in keys.iter().enumerate() {
        for (j, b) in keys.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&j), "{ty}: {:?} {:?}", values[i], values[j]);
        }
        let decoded = encoder.decode(a).unwrap();
        assert_eq!(&encoder.encode(&decoded).unwrap(), a, "{ty}: {:?}", values[i]);
    }
}

fn text(s: &str) -> Datum {
    Datum::Text(s.into())
}

#[test]
fn keys_order_as_postgresql_does() {
    use Datum as D;
    check_order(PgType::Bool, &[D::Bool(false), D::Bool(true), D::Null]);
    let ints = [i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX];
    let ints: Vec<_> = ints.into_iter().map(D::Int8).chain([D::Null]).collect();
    check_order(PgType::Int8, &ints);
    check_order(PgType::Int2, &[D::Int2(i16::MIN), D::Int2(-1), D::Int2(0), D::Int2(i16::MAX)]);
    let floats = [f64::NEG_INFINITY, -1.5, -1e-300, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
    let floats: Vec<_> = floats.into_iter().map(D::Float8).chain([D::Null]).collect();
    check_order(PgType::Float8, &floats);
    let texts = ["", "\u{1}", "a", "a\u{1}", "aa", "b", "ß", "\u{10000}"].map(text);
    check_order(PgType::Text, &texts);
    let bytes = [&b""[..], b"\0", b"\0\0", b"\0\xff", b"\x01", b"a", b"a\0b", b"ab"];
    check_order(PgType::Bytea, &bytes.map(|b| D::Bytea(b.to_vec())));
    let numbers =
        ["-Infinity", "-1e30", "-2", "-1.5", "0", "0.001", "1.5", "10", "1e30", "Infinity", "NaN"];
    check_order(PgType::Numeric(None), &numbers.map(|n| D::Numeric(Numeric::parse(n).unwrap())));
    let cents = PgType::Numeric(Some(NumericMod { precision: 20, scale: 2 }));
    let numbers = ["-100.01", "-0.01", "0", "0.01", "99999.99"];
    check_order(cents, &numbers.map(|n| D::Numeric(Numeric::parse(n).unwrap())));
    let interval = |months, days, micros| D::Interval(Interval { months, days, micros });
    let day = MICROS_PER_DAY;
    check_order(
        PgType::Interval,
        &[
            interval(i32::MIN, i32::MIN, -day * 100_000),
            interval(i32::MIN, 0, 0),
            interval(0, -1, 0),
            interval(0, 0, -1),
            interval(0, 0, 0),
            interval(0, 1, 1),
            interval(1, 0, 0),
            interval(0, i32::MAX, 1),
            interval(i32::MAX, 0, 0),
            interval(i32::MAX, i32::MAX, day * 100_000),
        ],
    );
    let encoder = KeyEncoder::new([PgType::Interval]).unwrap();
    let month = encoder.encode(&[interval(1, 0, 0)]).unwrap();
    assert_eq!(month, encoder.encode(&[interval(0, 29, day)]).unwrap());
    let nets = ["10.0.0.0/8", "10.0.0.0", "10.1.2.3/16", "11.0.0.0", "::/0"];
    let nets = nets.map(|n| D::Inet(Inet::parse(n).unwrap()));
    let encoder = KeyEncoder::new([PgType::Inet]).unwrap();
    for net in &nets {
        let key = encoder.encode(std::slice::from_ref(net)).unwrap();
        assert_eq!(&encoder.decode(&key).unwrap()[0], net);
    }
    let array = |values: &[Option<i32>]| {
        let values = values.iter().map(|v| v.map_or(D::Null, D::Int4)).collect();
        D::Array(Array { element: PgType::Int4, values })
    };
    check_order(
        PgType::Array(Box::new(PgType::Int4)),
        &[
            array(&[]),
            array(&[Some(1)]),
            array(&[Some(1), Some(0)]),
            array(&[Some(1), None]),
            array(&[Some(2)]),
            array(&[None]),
        ],
    );
}

#[test]
fn equal_values_have_equal_keys() {
    let numeric = KeyEncoder::new([PgType::Numeric(None)]).unwrap();
    let key = |s| numeric.encode(&[Datum::Numeric(Numeric::parse(s).unwrap())]).unwrap();
    assert_eq!(key("1.0"), key("1.000"));
    let padded = KeyEncoder::new([PgType::Bpchar(Some(5))]).unwrap();
    assert_eq!(padded.encode(&[text("ab  ")]), padded.encode(&[text("ab")]));
    let float = KeyEncoder::new([PgType::Float8]).unwrap();
    assert_eq!(float.encode(&[Datum::Float8(-0.0)]), float.encode(&[Datum::Float8(0.0)]));
    assert_eq!(float.encode(&[Datum::Float8(-f64::NAN)]), float.encode(&[Datum::Float8(f64::NAN)]));
}

#[test]
fn types_without_order_are_refused() {
    for ty in [PgType::Json, PgType::Jsonb, PgType::Point, PgType::Array(Box::new(PgType::Point))] {
        assert!(matches!(KeyEncoder::new([ty]), Err(KeyError::NoOrder(_))));
    }
}

#[test]
fn prefixes_end_above_their_keys() {
    assert_eq!(prefix_end(&[1, 2]), Some(vec![1, 3]));
    assert_eq!(prefix_end(&[1, 0xff]), Some(vec![2]));
    assert_eq!(prefix_end(&[0xff, 0xff]), None);
    assert_eq!(prefix_end(&[]), None);
    assert_eq!(row_id(&row_id_key(77)), Some(77));
}

fn datum(ty: &PgType) -> BoxedStrategy<Datum> {
    match ty {
        PgType::Int4 => any::<i32>().prop_map(Datum::Int4).boxed(),
        PgType::Text => "[a-c\u{0}é]{0,4}".prop_map(Datum::Text).boxed(),
        _ => any::<f64>().prop_map(Datum::Float8).boxed(),
    }
}

fn order(a: &Datum, b: &Datum) -> Ordering {
    match (a, b) {
        (Datum::Null, Datum::Null) => Ordering::Equal,
        (Datum::Null, _) => Ordering::Greater,
        (_, Datum::Null) => Ordering::Less,
        (Datum::Int4(a), Datum::Int4(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.cmp(b),
        (Datum::Float8(a), Datum::Float8(b)) => {
            a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
        _ => unreachable!("columns have one type"),
    }
}

fn row() -> impl Strategy<Value = Vec<Datum>> {
    let column = |ty: PgType| prop_oneof![1 => Just(Datum::Null), 6 => datum(&ty)];
    (column(PgType::Text), column(PgType::Float8), column(PgType::Int4))
        .prop_map(|(a, b, c)| vec![a, b, c])
}

proptest! {
    #[test]
    fn composite_keys_keep_order_and_prefixes(a in row(), b in row()) {
        let encoder = KeyEncoder::new([PgType::Text, PgType::Float8, PgType::Int4]).unwrap();
        let (ka, kb) = (encoder.encode(&a).unwrap(), encoder.encode(&b).unwrap());
        let expected = a.iter().zip(&b).map(|(a, b)| order(a, b)).find(|o| o.is_ne());
        prop_assert_eq!(ka.cmp(&kb), expected.unwrap_or(Ordering::Equal));
        let prefix = encoder.encode(&a[..1]).unwrap();
        prop_assert!(ka.starts_with(&prefix));
        let end = prefix_end(&prefix).unwrap();
        let inside = kb >= prefix && kb < end;
        prop_assert_eq!(inside, order(&a[0], &b[0]).is_eq());
        prop_assert_eq!(encoder.encode(&encoder.decode(&ka).unwrap()).unwrap(), ka);
    }

    #[test]
    fn wrong_bytes_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        for ty in [PgType::Int8, PgType::Text, PgType::Numeric(None), PgType::Inet, PgType::Interval,
                   PgType::Array(Box::new(PgType::Text))] {
            let _ = KeyEncoder::new([ty]).unwrap().decode(&bytes);
        }
    }
}
