use super::*;
use crate::text::{TextContext, input};
use crate::types::PgType;

#[test]
fn malformed_input_is_refused() {
    let state = |ty: &str, bytes: &[u8]| {
        let ty = PgType::parse_name(ty).unwrap();
        binary_input(&ty, bytes).unwrap_err().state().to_string()
    };
    assert_eq!(state("int4", &[0, 0, 0]), "08P01");
    assert_eq!(state("int4", &[0, 0, 0, 0, 0]), "22P03");
    assert_eq!(state("numeric", &[0, 0, 0, 0, 0x12, 0x34, 0, 0]), "22P03");
    assert_eq!(state("numeric", &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]), "22P03");
    assert_eq!(state("inet", &[2, 33, 0, 4, 1, 2, 3, 4]), "22P03");
    assert_eq!(state("text", &[0xff]), "22021");
    assert_eq!(state("jsonb", b"\x01{bad"), "22P02");
    assert_eq!(state("int4[]", &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 23]), "54000");
    assert_eq!(state("\"char\"", &[0xc3]), "0A000");
    assert_eq!(state("\"char\"", b"ab"), "22P03");
}

#[test]
fn everything_in_the_text_tables_round_trips() {
    let context = TextContext::default();
    for (ty, text) in [
        ("bool", "t"),
        ("int2", "-5"),
        ("numeric", "-12345.67890"),
        ("numeric", "NaN"),
        ("numeric", "1e40"),
        ("jsonb", "{\"a\": [1, null]}"),
        ("date", "infinity"),
        ("date", "2001-02-03"),
        ("timestamptz", "2001-02-03 04:05:06.789+00"),
        ("timestamp", "-infinity"),
        ("interval", "1 year 2 mons -3 days 04:05:06"),
        ("inet", "10.1.2.3/8"),
        ("cidr", "2001:db8::/32"),
        ("point", "(1,2)"),
        ("text[]", "{a,NULL,\"b c\"}"),
        ("int8[]", "{}"),
        ("uuid", "01234567-89ab-cdef-0123-456789abcdef"),
    ] {
        let ty = PgType::parse_name(ty).unwrap();
        let value = input(&ty, text, &context).unwrap();
        let mut bytes = Vec::new();
        binary_output(&ty, &value, &mut bytes).unwrap();
        assert_eq!(binary_input(&ty, &bytes).unwrap(), value, "{ty} {text}");
        for len in 0..bytes.len() {
            let _ = binary_input(&ty, &bytes[..len]);
        }
    }
}

/// `type, text, hex` of what PostgreSQL 15's send functions give.
const ORACLE: &str = include_str!("oracle.golden");

#[test]
fn wire_bytes_are_postgresql_s() {
    use crate::arrow_values::{DatumBuilder, array_of_one, datum_at};
    let context = TextContext::default();
    for line in ORACLE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let ty = PgType::parse_name(fields[0]).unwrap();
        let value = input(&ty, fields[1], &context).unwrap();
        let mut bytes = Vec::new();
        binary_output(&ty, &value, &mut bytes).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, fields[2], "{line}");
        // From an Arrow column, and back into one.
        let column = array_of_one(&value, &ty).unwrap();
        let mut from_column = Vec::new();
        binary_output_row(column.as_ref(), 0, &ty, &mut from_column).unwrap();
        assert_eq!(from_column, bytes, "{line}");
        let mut builder = DatumBuilder::new(&ty, 1);
        append_binary(&mut builder, &bytes).unwrap();
        let back = datum_at(builder.finish().unwrap().as_ref(), 0, &ty).unwrap();
        let mut again = Vec::new();
        binary_output(&ty, &back, &mut again).unwrap();
        assert_eq!(again, bytes, "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn hostile_bytes_do_not_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        pick in 0usize..100,
    ) {
        let scalars: Vec<PgType> = PgType::builtin().collect();
        let scalar = scalars[pick % scalars.len()].clone();
        let context = TextContext::default();
        for ty in [scalar.clone(), PgType::Array(Box::new(scalar))] {
            if let Ok(value) = binary_input(&ty, &bytes) {
                crate::text::to_text(&ty, &value, &context).unwrap();
                let _ = crate::hash::partition_hash(&value, &ty);
                let _ = crate::arrow_values::array_of_one(&value, &ty);
            }
        }
    }
}
