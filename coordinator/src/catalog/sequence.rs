//! Sequence values: blocks handed out to coordinators. Gaps are allowed, duplicates are not.

use satsuma_common::SequenceId;
use serde::{Deserialize, Serialize};

use super::objects::Sequence;
use super::rejection::Rejection;

/// Where a sequence stands. Apart from its definition, because it changes far more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub last_value: i64,
    /// Whether `last_value` has been handed out.
    pub is_called: bool,
    /// Grows with every setval, RESTART and ALTER SEQUENCE: blocks of an older epoch are void.
    pub epoch: u64,
}

impl Position {
    pub fn start(sequence: &Sequence) -> Self {
        Self { last_value: sequence.start, is_called: false, epoch: 1 }
    }
}

/// Values `first, first + increment, ...`, `count` of them, for one coordinator to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceBlock {
    pub sequence: SequenceId,
    pub first: i64,
    pub increment: i64,
    pub count: u64,
    pub epoch: u64,
}

impl SequenceBlock {
    /// The block's value at `index`, `None` beyond its end.
    pub fn value(&self, index: u64) -> Option<i64> {
        if index >= self.count {
            return None;
        }
        let offset = i128::from(self.increment) * i128::from(index);
        i64::try_from(i128::from(self.first) + offset).ok()
    }
}

/// Takes up to `count` values. A block never wraps around: after the last value before the limit
/// it is shorter, and the next block of a cycling sequence starts over.
pub fn allocate(
    sequence: &Sequence,
    position: &mut Position,
    count: u64,
) -> Result<SequenceBlock, Rejection> {
    let increment = i128::from(sequence.increment);
    let (min, max) = (i128::from(sequence.min), i128::from(sequence.max));
    let last = i128::from(position.last_value);
    let mut first = if position.is_called { last + increment } else { last };
    if first > max || first < min {
        let ascending = sequence.increment > 0;
        if !sequence.cycle {
            return Err(Rejection::SequenceLimit {
                name: sequence.name.clone(),
                limit: if ascending { sequence.max } else { sequence.min },
                maximum: ascending,
            });
        }
        first = if ascending { min } else { max };
    }
    let room = if increment > 0 { (max - first) / increment } else { (first - min) / -increment };
    let count = i128::from(count.max(1)).min(room + 1);
    let last = first + increment * (count - 1);
    let narrow = |value: i128| i64::try_from(value).map_err(|_| Rejection::Malformed("sequence"));
    position.last_value = narrow(last)?;
    position.is_called = true;
    Ok(SequenceBlock {
        sequence: sequence.id,
        first: narrow(first)?,
        increment: sequence.increment,
        count: u64::try_from(count).map_err(|_| Rejection::Malformed("sequence"))?,
        epoch: position.epoch,
    })
}
