//! Ranges of the partition hash, cut as Citus cuts them.

use serde::{Deserialize, Serialize};

/// A range of int32 hash tokens, inclusive at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashRange {
    low: i32,
    high: i32,
}

impl HashRange {
    /// Every token.
    pub const FULL: Self = Self { low: i32::MIN, high: i32::MAX };

    /// `None` when `low > high`.
    pub fn new(low: i32, high: i32) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    pub fn low(self) -> i32 {
        self.low
    }

    pub fn high(self) -> i32 {
        self.high
    }

    pub fn contains(self, token: i32) -> bool {
        self.low <= token && token <= self.high
    }

    /// `count` ranges that tile the token space in order, each `2^32 / count` wide except that
    /// the last takes the remainder. `count` is at least 1.
    pub fn tile(count: u32) -> Vec<Self> {
        let count = i64::from(count.max(1));
        let width = (1i64 << 32) / count;
        (0..count)
            .map(|index| {
                let low = i64::from(i32::MIN) + index * width;
                let high = if index == count - 1 { i64::from(i32::MAX) } else { low + width - 1 };
                Self { low: low as i32, high: high as i32 }
            })
            .collect()
    }

    /// Whether `ranges`, in order, cover every token exactly once.
    pub fn tiles(ranges: &[Self]) -> bool {
        let Some((first, last)) = ranges.first().zip(ranges.last()) else { return false };
        first.low == i32::MIN
            && last.high == i32::MAX
            && ranges
                .windows(2)
                .all(|pair| pair[0].high.checked_add(1).is_some_and(|next| next == pair[1].low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_tiles_the_space() {
        for count in [1, 2, 3, 4, 7, 32, 33, 1000, 64000] {
            let ranges = HashRange::tile(count);
            assert_eq!(ranges.len(), count as usize);
            assert!(HashRange::tiles(&ranges), "{count}");
        }
    }

    #[test]
    fn thirty_two_shards_match_citus() {
        let ranges = HashRange::tile(32);
        assert_eq!((ranges[0].low(), ranges[0].high()), (i32::MIN, -2013265921));
        // worker_hash(5::bigint) falls into the seventh shard, 102014 of the first table.
        assert_eq!(ranges.iter().position(|range| range.contains(-1330264708)), Some(6));
    }

    #[test]
    fn gaps_and_overlaps_do_not_tile() {
        let half = HashRange::new(i32::MIN, 0).unwrap();
        assert!(!HashRange::tiles(&[half]));
        assert!(!HashRange::tiles(&[half, HashRange::new(0, i32::MAX).unwrap()]));
        assert!(!HashRange::tiles(&[half, HashRange::new(2, i32::MAX).unwrap()]));
        assert!(HashRange::new(1, 0).is_none());
    }
}
