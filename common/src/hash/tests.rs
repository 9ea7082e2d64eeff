use super::*;
use crate::arrow_values::array_from_datums;
use crate::text::{TextContext, input};

/// `type|value|hash`, by PostgreSQL 15 through each type's own hash function.
const ORACLE: &str = include_str!("oracle.golden");

#[test]
fn worker_hash_of_five() {
    assert_eq!(partition_hash(&Datum::Int8(5), &PgType::Int8), Some(-1330264708));
}

#[test]
fn hashes_are_postgresql_s() {
    let context = TextContext::default();
    for line in ORACLE.lines() {
        let (ty, rest) = line.split_once('|').unwrap();
        let (text, expected) = rest.rsplit_once('|').unwrap();
        let ty = PgType::parse_name(ty).unwrap();
        let value = input(&ty, text, &context).unwrap();
        let expected = Some(expected.parse().unwrap());
        assert_eq!(partition_hash(&value, &ty), expected, "{line}");
        let column = array_from_datums(&[value, Datum::Null], &ty).unwrap();
        assert_eq!(partition_hash_array(&column, &ty).unwrap(), [expected, None], "{line}");
    }
}

#[test]
fn integers_of_all_widths_agree() {
    for value in [0i16, 1, -1, i16::MIN, i16::MAX] {
        let narrow = partition_hash(&Datum::Int2(value), &PgType::Int2);
        assert_eq!(narrow, partition_hash(&Datum::Int4(value.into()), &PgType::Int4));
        assert_eq!(narrow, partition_hash(&Datum::Int8(value.into()), &PgType::Int8));
    }
}

#[test]
fn what_has_no_hash_has_none() {
    assert_eq!(partition_hash(&Datum::Null, &PgType::Int8), None);
    assert_eq!(partition_hash(&Datum::Text("{}".into()), &PgType::Json), None);
}
