//! `citus_stat_tenants`: which tenants this coordinator's statements were about, in this period
//! and the last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_common::{ColocationId, GroupId};

use crate::planner::Tenants;

/// Of a period.
pub const PERIOD: Duration = Duration::from_secs(60);
/// Tenants that are remembered; the one with the least score makes room for a new one.
const MOST_TENANTS: usize = 1000;
/// Longer names of tenants are cut, in bytes.
const MOST_BYTES: usize = 256;

/// What a statement did, as far as it is known while it runs.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub tenants: Tenants,
    pub changes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub reads: u32,
    /// Reads and changes.
    pub statements: u32,
    /// How long they took together, in seconds.
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TenantEntry {
    pub colocation: ColocationId,
    /// Where its rows were last.
    pub group: GroupId,
    pub attribute: String,
    pub this_period: Counts,
    pub last_period: Counts,
    /// Statements, each of which counts half as much with every period that ends.
    pub score: f64,
}

#[derive(Debug)]
pub struct TenantStatistics {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How many periods have ended.
    period: u64,
    tenants: BTreeMap<(ColocationId, String), TenantEntry>,
}

impl TenantStatistics {
    pub fn new(now: Instant) -> Self {
        Self { began: now, inner: Mutex::default() }
    }

    /// Counts a statement that asked for this tenant's rows and has just ended.
    pub fn record(
        &self,
        (colocation, group): (ColocationId, GroupId),
        mut attribute: String,
        changes: bool,
        took: Duration,
        now: Instant,
    ) {
        attribute.truncate(attribute.floor_char_boundary(MOST_BYTES));
        let mut inner = self.inner.lock();
        inner.advance(self.period(now));
        let name = (colocation, attribute);
        if !inner.tenants.contains_key(&name) && inner.tenants.len() >= MOST_TENANTS {
            inner.make_room();
        }
        let attribute = name.1.clone();
        let entry = inner.tenants.entry(name).or_insert_with(|| TenantEntry {
            colocation,
            group,
            attribute,
            this_period: Counts::default(),
            last_period: Counts::default(),
            score: 0.0,
        });
        entry.group = group;
        entry.score += 1.0;
        let counts = &mut entry.this_period;
        counts.reads = counts.reads.saturating_add(u32::from(!changes));
        counts.statements = counts.statements.saturating_add(1);
        counts.seconds += took.as_secs_f64();
    }

    pub fn entries(&self, now: Instant) -> Vec<TenantEntry> {
        let mut inner = self.inner.lock();
        inner.advance(self.period(now));
        inner.tenants.values().cloned().collect()
    }

    /// `citus_stat_tenants_reset()`.
    pub fn reset(&self) {
        self.inner.lock().tenants.clear();
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / PERIOD.as_secs()
    }
}

impl Inner {
    /// Nobody is remembered who asked for nothing in this period and the last.
    fn advance(&mut self, period: u64) {
        let ended = period.saturating_sub(self.period);
        if ended == 0 {
            return;
        }
        self.period = period;
        self.tenants.retain(|_, entry| {
            let this = std::mem::take(&mut entry.this_period);
            entry.last_period = if ended == 1 { this } else { Counts::default() };
            entry.score *= 0.5_f64.powi(ended.try_into().unwrap_or(i32::MAX));
            entry.last_period.statements > 0
        });
    }

    fn make_room(&mut self) {
        let least = self.tenants.iter().min_by(|(_, a), (_, b)| a.score.total_cmp(&b.score));
        if let Some(name) = least.map(|(name, _)| name.clone()) {
            self.tenants.remove(&name);
        }
    }
}

/// The same tenants as several coordinators saw them, the busiest `most` first.
pub fn merged(all: impl IntoIterator<Item = TenantEntry>, most: usize) -> Vec<TenantEntry> {
    let mut sums: BTreeMap<(ColocationId, String), TenantEntry> = BTreeMap::new();
    for entry in all {
        let name = (entry.colocation, entry.attribute.clone());
        match sums.get_mut(&name) {
            Some(sum) => {
                sum.this_period.add(entry.this_period);
                sum.last_period.add(entry.last_period);
                sum.score += entry.score;
            }
            None => {
                sums.insert(name, entry);
            }
        }
    }
    let mut sums: Vec<_> = sums.into_values().collect();
    sums.sort_by(|a, b| b.score.total_cmp(&a.score));
    sums.truncate(most);
    sums
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.reads = self.reads.saturating_add(other.reads);
        self.statements = self.statements.saturating_add(other.statements);
        self.seconds += other.seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: (ColocationId, GroupId) = (ColocationId(1), GroupId(7));

    fn counts(reads: u32, statements: u32, seconds: f64) -> Counts {
        Counts { reads, statements, seconds }
    }

    #[test]
    fn statements_count_in_their_period() {
        let start = Instant::now();
        let statistics = TenantStatistics::new(start);
        let took = Duration::from_millis(500);
        statistics.record(PLACE, "5".into(), false, took, start);
        statistics.record(PLACE, "5".into(), true, took, start + PERIOD / 2);
        let seen = statistics.entries(start + PERIOD / 2);
        assert_eq!(seen[0].this_period, counts(1, 2, 1.0));
        assert_eq!(seen[0].last_period, Counts::default());

        let seen = statistics.entries(start + PERIOD);
        assert_eq!(
            (seen[0].this_period, seen[0].last_period),
            (Counts::default(), counts(1, 2, 1.0))
        );
        assert_eq!(seen[0].score, 1.0);
        assert!(statistics.entries(start + 2 * PERIOD).is_empty());
    }

    #[test]
    fn nothing_is_left_of_periods_before_the_last() {
        let start = Instant::now();
        let statistics = TenantStatistics::new(start);
        statistics.record(PLACE, "5".into(), false, Duration::ZERO, start);
        assert!(statistics.entries(start + 5 * PERIOD).is_empty());
    }

    #[test]
    fn the_least_asked_for_makes_room() {
        let start = Instant::now();
        let statistics = TenantStatistics::new(start);
        for number in 0..=MOST_TENANTS {
            for _ in 0..=usize::from(number != 3) {
                statistics.record(PLACE, number.to_string(), false, Duration::ZERO, start);
            }
        }
        let seen = statistics.entries(start);
        assert_eq!(seen.len(), MOST_TENANTS);
        assert!(seen.iter().all(|entry| entry.attribute != "3"));
    }

    #[test]
    fn coordinators_are_summed() {
        let start = Instant::now();
        let (one, other) = (TenantStatistics::new(start), TenantStatistics::new(start));
        one.record(PLACE, "a".into(), false, Duration::from_secs(1), start);
        for statistics in [&one, &other] {
            statistics.record(PLACE, "b".into(), true, Duration::from_secs(1), start);
        }
        let all = one.entries(start).into_iter().chain(other.entries(start));
        let shown = merged(all, 1);
        assert_eq!(shown.len(), 1);
        assert_eq!((shown[0].attribute.as_str(), shown[0].this_period), ("b", counts(0, 2, 2.0)));
    }
}
