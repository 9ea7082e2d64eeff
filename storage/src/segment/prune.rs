//! Whether a block can hold rows that satisfy a condition, by its smallest and largest values.

use satsuma_common::PgType;
use satsuma_common::key::KeyEncoder;

use super::footer::ColumnChunk;
use crate::shard::{CompareOp, Predicate};

/// A condition, ready to be held against blocks.
#[derive(Clone, Debug)]
pub struct Test {
    op: CompareOp,
    /// The value as a key of one column; `None` for NULL.
    value: Option<Vec<u8>>,
}

impl Test {
    /// `None` where the condition cannot be told from bounds.
    pub fn new(predicate: &Predicate, ty: &PgType) -> Option<Self> {
        let op = predicate.op;
        if matches!(op, CompareOp::IsNull | CompareOp::IsNotNull) {
            return Some(Self { op, value: None });
        }
        // Labels of an enum do not order as the enum does.
        if matches!(ty, PgType::Enum(_)) && op != CompareOp::Eq {
            return None;
        }
        let value = match &predicate.value {
            value if value.is_null() => None,
            value => {
                let encoder = KeyEncoder::new([ty.clone()]).ok()?;
                Some(encoder.encode(std::slice::from_ref(value)).ok()?)
            }
        };
        Some(Self { op, value })
    }

    /// `false`: no row of the block satisfies the condition.
    pub fn may_match(&self, chunk: &ColumnChunk, rows: u32) -> bool {
        match self.op {
            CompareOp::IsNull => return chunk.nulls > 0,
            CompareOp::IsNotNull => return chunk.nulls < rows,
            _ if chunk.nulls == rows => return false,
            _ => {}
        }
        let Some(value) = &self.value else { return false };
        let Some((min, max)) = &chunk.bounds else { return true };
        match self.op {
            CompareOp::Eq => min <= value && value <= max,
            CompareOp::NotEq => !(min == value && max == value),
            CompareOp::Less => min < value,
            CompareOp::LessOrEq => min <= value,
            CompareOp::Greater => max > value,
            CompareOp::GreaterOrEq => max >= value,
            CompareOp::IsNull | CompareOp::IsNotNull => true,
        }
    }
}
