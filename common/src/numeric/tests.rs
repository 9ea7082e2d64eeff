use std::cmp::Ordering;

use super::*;

fn n(text: &str) -> Numeric {
    text.parse().unwrap()
}

#[test]
fn text_round_trips_with_its_scale() {
    for text in [
        "0",
        "0.00",
        "-1.50",
        "123456789012345678901234567890123456789012.5",
        "NaN",
        "Infinity",
        "-Infinity",
        "0.000000000000000000000000000000000000000000001",
        "99999999999999999999999999999999999999",
        "170141183460469231731687303715884105728",
    ] {
        assert_eq!(n(text).to_string(), text);
    }
    assert_eq!(n(" 1e3 ").to_string(), "1000");
    assert_eq!(n("1.5e-3").to_string(), "0.0015");
    assert_eq!(n("1.").to_string(), "1");
    for bad in ["", ".", "1e", "--1", "1 2", "-nan", "0x10", "1_000"] {
        assert_eq!(Numeric::parse(bad), Err(NumericError::Syntax(bad.into())));
    }
    assert_eq!(Numeric::parse("1e131072"), Err(NumericError::Overflow));
    assert!(Numeric::parse("1e131071").is_ok());
    assert_eq!(Numeric::parse("1e-16384"), Err(NumericError::Overflow));
}

#[test]
fn equal_numbers_hash_alike() {
    use std::collections::hash_map::DefaultHasher;
    let hash = |value: &Numeric| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(n("1.0"), n("1.00"));
    assert_eq!(hash(&n("100.0")), hash(&n("1e2")));
    assert_eq!(Numeric::NAN, Numeric::NAN);
}

#[test]
fn modifier_checks_the_field() {
    let modifier = NumericMod { precision: 5, scale: 2 };
    assert_eq!(n("123.456").with_modifier(modifier).unwrap().to_string(), "123.46");
    let error: SqlError = n("1000").with_modifier(modifier).unwrap_err().into();
    assert_eq!(error.message(), "numeric field overflow");
    assert_eq!(
        error.fields().detail.as_deref(),
        Some("A field with precision 5, scale 2 must round to an absolute value less than 10^3.")
    );
    let coarse = NumericMod { precision: 2, scale: -3 };
    assert_eq!(n("12345").with_modifier(coarse).unwrap().to_string(), "12000");
    assert!(n("99999").with_modifier(coarse).is_err());
}

/// A number from everyday to extreme, some of them more than 38 digits long.
fn random_value() -> impl proptest::strategy::Strategy<Value = Numeric> {
    use proptest::prelude::*;
    prop_oneof![
        (any::<i128>(), 0i32..60).prop_map(|(c, s)| Numeric::from_i128(c, s).unwrap()),
        (-10_000i128..10_000, -80i32..80).prop_map(|(c, s)| Numeric::from_i128(c, s).unwrap()),
        ("[1-9][0-9]{0,60}", 0usize..90, any::<bool>()).prop_map(|(digits, scale, negative)| {
            let sign = if negative { "-" } else { "" };
            n(&format!("{sign}{digits}e-{scale}"))
        }),
        Just(Numeric::NAN),
        Just(Numeric::INFINITY),
        Just(Numeric::NEG_INFINITY),
    ]
}

proptest::proptest! {
    #[test]
    fn sortable_form_round_trips_and_keeps_order(a in random_value(), b in random_value()) {
        let (ea, eb) = (a.to_sortable(), b.to_sortable());
        let decoded = Numeric::from_sortable(&ea).unwrap();
        assert_eq!(decoded.to_string(), a.to_string());
        assert_eq!(sortable_key(&ea).cmp(sortable_key(&eb)), a.cmp(&b), "{a} {b}");
        if a.cmp(&b) != Ordering::Equal {
            assert_eq!(ea.cmp(&eb), a.cmp(&b), "{a} {b}");
        }
    }

    #[test]
    fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..30)) {
        if let Some(value) = Numeric::from_sortable(&bytes) {
            let _ = value.to_string();
        }
    }

    #[test]
    fn wire_digits_round_trip(a in random_value()) {
        if let (Some((weight, digits)), Some(scale)) = (a.base10000(), a.scale()) {
            let back =
                Numeric::from_base10000(a.is_negative(), weight, &digits, scale).unwrap();
            assert_eq!(back.to_string(), a.to_string());
        }
    }

    #[test]
    fn addition_and_subtraction_cancel(a in random_value(), b in random_value()) {
        if a.is_finite() && b.is_finite() {
            assert_eq!(a.add(&b).unwrap().sub(&b).unwrap(), a);
        }
    }

    #[test]
    fn quotient_and_remainder_rebuild_the_dividend(a in random_value(), b in random_value()) {
        if a.is_finite() && b.is_finite() && !b.is_zero() {
            let whole = a.div_trunc(&b).unwrap().mul(&b).unwrap();
            assert_eq!(whole.add(&a.rem(&b).unwrap()).unwrap(), a);
        }
    }
}

/// `operation|a|b|result`, the results computed by PostgreSQL 15.
const ORACLE: &str = include_str!("oracle.golden");

fn apply(operation: &str, a: &Numeric, b: &str) -> Result<String> {
    let number = || n(b);
    let count = || b.parse::<i32>().unwrap();
    let value = match operation {
        "+" => a.add(&number())?,
        "-" => a.sub(&number())?,
        "*" => a.mul(&number())?,
        "/" => a.div(&number())?,
        "%" => a.rem(&number())?,
        "div" => a.div_trunc(&number())?,
        "power" => a.power(&number())?,
        // SQL's log takes the base first.
        "log" => number().log(a)?,
        "gcd" => a.gcd(&number())?,
        "lcm" => a.lcm(&number())?,
        "cmp" => return Ok((a.cmp(&number()) as i32).to_string()),
        "sqrt" => a.sqrt()?,
        "exp" => a.exp()?,
        "ln" => a.ln()?,
        "log10" => a.log10()?,
        "ceil" => a.ceil(),
        "floor" => a.floor(),
        "sign" => a.sign(),
        "abs" => a.abs(),
        "trim_scale" => a.trim_scale(),
        "min_scale" => return Ok(a.min_scale().map_or("null".into(), |s| s.to_string())),
        "int8" => return Ok(a.to_i64()?.to_string()),
        "float8" => Numeric::from_f64(a.to_f64()),
        "round" => a.round_clamped(count()),
        "trunc" => a.trunc_clamped(count()),
        other => panic!("unknown operation {other}"),
    };
    Ok(value.to_string())
}

#[test]
fn results_are_postgresql_s() {
    let mut wrong = Vec::new();
    for line in ORACLE.lines() {
        let mut parts = line.splitn(4, '|');
        let mut next = || parts.next().unwrap();
        let (operation, a, b, expected) = (next(), n(next()), next(), next());
        let actual = apply(operation, &a, b).unwrap_or_else(|error| {
            let error = SqlError::from(error);
            format!("ERROR {} {}", error.state(), error.message())
        });
        if actual != expected {
            wrong.push(format!("{operation} {a} {b}\n  is {actual}\n not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// `num` (to_char) or `to_number`, value, template, result; by PostgreSQL 15.
const TEMPLATES: &str = include_str!("template.golden");

#[test]
fn templates_are_postgresql_s() {
    let mut wrong = Vec::new();
    for line in TEMPLATES.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (value, template, expected) = (fields[1], fields[2], fields[3]);
        let actual = match fields[0] {
            "num" => n(value).to_char(template),
            _ => Numeric::from_char(value, template).map(|value| value.to_string()),
        };
        let actual =
            actual.unwrap_or_else(|error| format!("ERROR {} {}", error.state(), error.message()));
        if actual != expected {
            wrong.push(format!("{value} {template:?}\n  is {actual:?}\n not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
