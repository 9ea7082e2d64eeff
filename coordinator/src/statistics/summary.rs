//! The arithmetic of statistics, over sorted values of a sample.

use crate::catalog::ColumnStatistics;

use super::TARGET;

/// A sample, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampled {
    /// Rows of the whole table.
    pub rows: f64,
    pub taken: usize,
    pub nulls: usize,
    /// Values too wide to be kept.
    pub wide: usize,
}

/// A run of equal values: where it starts, and how long it is.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    count: usize,
}

/// `values` are sorted, each with what it is compared by.
pub fn summarise(
    values: &[(Vec<u8>, String)],
    sampled: &Sampled,
    statistics: &mut ColumnStatistics,
) {
    let mut runs: Vec<Run> = Vec::new();
    for (at, (key, _)) in values.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if values[run.start].0 == *key => run.count += 1,
            _ => runs.push(Run { start: at, count: 1 }),
        }
    }
    statistics.distinct = distinct(&runs, sampled);
    // The most common first; among equals the smaller.
    let mut common: Vec<Run> = runs.iter().copied().filter(|run| run.count > 1).collect();
    common.sort_by(|a, b| b.count.cmp(&a.count).then(a.start.cmp(&b.start)));
    common.truncate(TARGET);
    let all = common.len() == runs.len() && sampled.wide == 0 && statistics.distinct > 0.0;
    if !all {
        let counts: Vec<usize> = common.iter().map(|run| run.count).collect();
        common.truncate(significant(&counts, statistics.distinct, sampled));
    }
    let share = |count: usize| (count as f64 / sampled.taken as f64) as f32;
    statistics.common =
        common.iter().map(|run| (values[run.start].1.clone(), share(run.count))).collect();
    let is_common = |run: &Run| common.iter().any(|other| other.start == run.start);
    let others: Vec<Run> = runs.iter().copied().filter(|run| !is_common(run)).collect();
    statistics.bounds = bounds(values, &others);
}

/// Different values of the whole table, after Haas and Stokes.
fn distinct(runs: &[Run], sampled: &Sampled) -> f32 {
    let repeated = runs.iter().filter(|run| run.count > 1).count();
    let present = (sampled.taken - sampled.nulls) as f64;
    let nulls = sampled.nulls as f64 / sampled.taken as f64;
    if repeated == 0 {
        // All differ here, so that they are taken to differ everywhere.
        return -(1.0 - nulls) as f32;
    }
    let estimate = if sampled.wide == 0 && repeated == runs.len() {
        runs.len() as f64
    } else {
        let once = (runs.len() - repeated + sampled.wide) as f64;
        let seen = once + repeated as f64;
        let all = sampled.rows * (1.0 - nulls);
        let estimate = match all > 0.0 {
            true => present * seen / ((present - once) + once * present / all),
            false => 0.0,
        };
        (estimate.clamp(seen, all.max(seen)) + 0.5).floor()
    };
    // Where they are many, they are taken to grow with the table.
    if estimate > 0.1 * sampled.rows {
        return -(estimate / sampled.rows) as f32;
    }
    estimate as f32
}

/// How many of the counts, which fall, are more common than the rest beyond chance: by two
/// standard deviations of what a sample of a table gives (a hypergeometric distribution).
fn significant(counts: &[usize], distinct: f32, sampled: &Sampled) -> usize {
    let (taken, rows) = (sampled.taken as f64, sampled.rows);
    if taken >= rows || rows <= 1.0 {
        return counts.len();
    }
    let distinct = f64::from(distinct);
    let distinct = if distinct < 0.0 { -distinct * rows } else { distinct };
    let nulls = sampled.nulls as f64 / taken;
    let mut kept = counts.len();
    while kept > 0 {
        let (last, before) = (counts[kept - 1] as f64, &counts[..kept - 1]);
        let sum: usize = before.iter().sum();
        let rest = (1.0 - sum as f64 / taken - nulls).clamp(0.0, 1.0);
        let others = distinct - before.len() as f64;
        let expected = if others > 1.0 { rest / others } else { rest };
        let all = rows * last / taken;
        let variance = taken * all * (rows - all) * (rows - taken) / (rows * rows * (rows - 1.0));
        if last > expected * taken + 2.0 * variance.sqrt() + 0.5 {
            break;
        }
        kept -= 1;
    }
    kept
}

/// Values at equal distances among those of `runs`, with the first and the last.
fn bounds(values: &[(Vec<u8>, String)], runs: &[Run]) -> Vec<String> {
    let wanted = runs.len().min(TARGET + 1);
    if wanted < 2 {
        return Vec::new();
    }
    let total: usize = runs.iter().map(|run| run.count).sum();
    let (mut run, mut passed) = (0, 0);
    (0..wanted)
        .map(|at| {
            let place = at * (total - 1) / (wanted - 1);
            while passed + runs[run].count <= place {
                passed += runs[run].count;
                run += 1;
            }
            values[runs[run].start].1.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use satsuma_common::PgType;

    use super::*;

    fn described(
        values: impl IntoIterator<Item = u32>,
        nulls: usize,
        rows: f64,
    ) -> ColumnStatistics {
        let mut values: Vec<_> = values
            .into_iter()
            .map(|value| (value.to_be_bytes().to_vec(), value.to_string()))
            .collect();
        values.sort();
        let sampled = Sampled { rows, taken: values.len() + nulls, nulls, wide: 0 };
        let mut statistics = ColumnStatistics {
            ty: PgType::Int4,
            null_fraction: 0.0,
            average_width: 4,
            distinct: 0.0,
            common: Vec::new(),
            bounds: Vec::new(),
        };
        summarise(&values, &sampled, &mut statistics);
        statistics
    }

    #[test]
    fn keys_are_as_many_as_rows() {
        let keys = described(0..1000, 0, 1_000_000.0);
        assert_eq!(keys.distinct, -1.0);
        assert!(keys.common.is_empty());
        assert_eq!(keys.bounds.len(), 101);
        assert_eq!((keys.bounds[0].as_str(), keys.bounds[100].as_str()), ("0", "999"));
        assert_eq!(described(0..750, 250, 1000.0).distinct, -0.75);
    }

    #[test]
    fn few_kinds_are_all_common() {
        let kinds = described((0..1000).map(|n| if n % 10 == 0 { 7 } else { n % 3 }), 0, 10_000.0);
        assert_eq!(kinds.distinct, 4.0);
        let values: Vec<_> = kinds.common.iter().map(|(value, _)| value.as_str()).collect();
        assert_eq!(values, ["0", "1", "2", "7"]);
        assert!((kinds.common[3].1 - 0.1).abs() < 1e-6);
        assert!(kinds.bounds.is_empty());
    }

    #[test]
    fn one_common_value_among_many_stands_out() {
        let skewed =
            described((0..3000u32).map(|n| if n % 2 == 0 { 5 } else { n % 997 }), 0, 300_000.0);
        assert_eq!(skewed.common.first().map(|(value, _)| value.as_str()), Some("5"));
        assert!(skewed.common.len() < 20, "{}", skewed.common.len());
        assert!((400.0..2000.0).contains(&skewed.distinct), "{}", skewed.distinct);
        assert!(
            skewed
                .bounds
                .windows(2)
                .all(|pair| { pair[0].parse::<u32>().unwrap() <= pair[1].parse::<u32>().unwrap() })
        );
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let one = described([3], 0, 1.0);
        assert_eq!((one.distinct, one.bounds.len(), one.common.len()), (-1.0, 0, 0));
    }
}
