//! The element of an array type, where types are stored or sent: how deep arrays nest has a
//! bound, so that damaged or hostile bytes are an error and not the end of the stack.
//!
//! PostgreSQL's arrays have at most six dimensions. What could not be read is not written either.

use std::cell::Cell;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PgType;

/// An array of arrays of arrays, so many of them.
pub(super) const MOST_NESTED: usize = 32;
const TOO_DEEP: &str = "arrays are nested too deep";

thread_local! {
    /// Arrays around the type that is being read.
    static AROUND: Cell<usize> = const { Cell::new(0) };
}

/// One array more around, until it is dropped.
struct Around;

impl Around {
    fn enter() -> Option<Self> {
        let around = AROUND.get() + 1;
        (around <= MOST_NESTED).then(|| {
            AROUND.set(around);
            Self
        })
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        AROUND.set(AROUND.get() - 1);
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Box<PgType>, D::Error> {
    let _around = Around::enter().ok_or_else(|| D::Error::custom(TOO_DEEP))?;
    Box::deserialize(deserializer)
}

pub(super) fn serialize<S: Serializer>(element: &PgType, serializer: S) -> Result<S::Ok, S::Error> {
    let elements = std::iter::successors(Some(element), |ty| match ty {
        PgType::Array(element) => Some(element),
        _ => None,
    });
    if elements.take(MOST_NESTED + 1).count() > MOST_NESTED {
        return Err(S::Error::custom(TOO_DEEP));
    }
    element.serialize(serializer)
}
