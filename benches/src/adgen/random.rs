//! Random numbers that stay the same: SplitMix64 (Steele, Lea, Flood 2014) and integer Zipf
//! weights. Library generators may change their output between versions, and floating-point
//! powers differ between platforms; a data set that is compared byte for byte may not.

/// A stream of random numbers. Each purpose has its own, so that asking for more rows of one
/// table leaves the others as they were.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64, stream: &str) -> Self {
        // FNV-1a of the name.
        let name = stream.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut random = Self { state: name ^ seed.wrapping_mul(0xd605_bbb5_8c8a_bc03) };
        random.bits();
        random
    }

    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`; 0 for an empty range.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Ranks `0..n`, rank r with weight 1/(r+1).
pub struct Zipf {
    /// Running sums of the weights, in units of 2^-32.
    cumulative: Vec<u64>,
}

impl Zipf {
    pub fn new(ranks: usize) -> Self {
        let mut sum = 0;
        let cumulative = (1..=ranks as u64)
            .map(|rank| {
                sum += (1 << 32) / rank;
                sum
            })
            .collect();
        Self { cumulative }
    }

    pub fn pick(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0);
        let point = random.below(total);
        self.cumulative.partition_point(|&sum| sum <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        let mut random = Random { state: 0 };
        // First outputs of SplitMix64 with seed 0, as published with its reference code.
        assert_eq!(random.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.bits(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn zipf_prefers_low_ranks_and_reaches_all() {
        let zipf = Zipf::new(10);
        let mut random = Random::new(1, "zipf");
        let mut counts = [0_u32; 10];
        for _ in 0..20_000 {
            counts[zipf.pick(&mut random)] += 1;
        }
        assert!(counts.is_sorted_by(|a, b| a > b), "{counts:?}");
        // 1 / H(10) = 0.341 of the draws go to the first rank.
        assert!((6_400..7_300).contains(&counts[0]), "{counts:?}");
    }
}
