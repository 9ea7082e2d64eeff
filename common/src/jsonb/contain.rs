//! Containment and order of jsonb values.

use std::cmp::Ordering;

use crate::numeric::Numeric;

use super::scan::{Elements, Kind, Members, kind, unquote};

/// `whole @> part`
pub fn contains(whole: &str, part: &str) -> bool {
    match (kind(whole), kind(part)) {
        (Kind::Object, Kind::Object) => object_contains(whole, part),
        (Kind::Array, Kind::Array) => array_contains(whole, part),
        // A scalar is an array of itself, but does not contain a real array.
        (Kind::Array, scalar) if scalar.is_scalar() => has_scalar(whole, part),
        (a, b) if a.is_scalar() && b.is_scalar() => scalars_equal(whole, part),
        _ => false,
    }
}

fn object_contains(whole: &str, part: &str) -> bool {
    // Both are sorted alike: one pass over the larger.
    let mut members = Members::new(whole);
    Members::new(part).all(|(key, wanted)| {
        members.any(|(candidate, value)| candidate == key && nested_contains(value, wanted))
    })
}

/// Inside a document an array no longer contains a scalar by itself.
fn nested_contains(value: &str, wanted: &str) -> bool {
    match (kind(value), kind(wanted)) {
        (Kind::Object, Kind::Object) => object_contains(value, wanted),
        (Kind::Array, Kind::Array) => array_contains(value, wanted),
        (a, b) if a.is_scalar() && b.is_scalar() => scalars_equal(value, wanted),
        _ => false,
    }
}

fn array_contains(whole: &str, part: &str) -> bool {
    Elements::new(part).all(|wanted| {
        if kind(wanted).is_scalar() {
            has_scalar(whole, wanted)
        } else {
            Elements::new(whole).any(|element| nested_contains(element, wanted))
        }
    })
}

fn has_scalar(array: &str, wanted: &str) -> bool {
    Elements::new(array).any(|element| scalars_equal(element, wanted))
}

fn scalars_equal(a: &str, b: &str) -> bool {
    a == b
        || (kind(a) == Kind::Number
            && kind(b) == Kind::Number
            && compare_numbers(a, b) == Ordering::Equal)
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    match (Numeric::parse(a), Numeric::parse(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// The order of the jsonb b-tree: Object > Array > Boolean > Number > String > Null, containers
/// by size first.
pub fn compare(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    // At the top a scalar is stored as an array of one that sorts before a real one.
    match (kind(a), kind(b)) {
        (x, Kind::Array) if x.is_scalar() => 1.cmp(&Elements::new(b).count()).then(Ordering::Less),
        (Kind::Array, y) if y.is_scalar() => {
            Elements::new(a).count().cmp(&1).then(Ordering::Greater)
        }
        _ => compare_nested(a, b),
    }
}

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Null => 0,
        Kind::String => 1,
        Kind::Number => 2,
        Kind::Boolean => 3,
        Kind::Array => 4,
        Kind::Object => 5,
    }
}

fn compare_nested(a: &str, b: &str) -> Ordering {
    let (x, y) = (kind(a), kind(b));
    if x != y {
        return rank(x).cmp(&rank(y));
    }
    match x {
        Kind::Null => Ordering::Equal,
        Kind::String => unquote(a).as_bytes().cmp(unquote(b).as_bytes()),
        Kind::Number => compare_numbers(a, b),
        Kind::Boolean => (a == "true").cmp(&(b == "true")),
        Kind::Array => {
            let by_size = Elements::new(a).count().cmp(&Elements::new(b).count());
            by_size.then_with(|| {
                first_difference(Elements::new(a).zip(Elements::new(b)), |(a, b)| {
                    compare_nested(a, b)
                })
            })
        }
        Kind::Object => {
            let by_size = Members::new(a).count().cmp(&Members::new(b).count());
            by_size.then_with(|| {
                first_difference(Members::new(a).zip(Members::new(b)), |((ka, va), (kb, vb))| {
                    let by_key = unquote(ka).as_bytes().cmp(unquote(kb).as_bytes());
                    by_key.then_with(|| compare_nested(va, vb))
                })
            })
        }
    }
}

fn first_difference<T>(
    pairs: impl Iterator<Item = T>,
    compare: impl Fn(T) -> Ordering,
) -> Ordering {
    pairs.map(compare).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}
