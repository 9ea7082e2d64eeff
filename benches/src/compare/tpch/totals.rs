//! Sums over the queries: of those that answered all, and, where some did not, over the queries
//! that everybody answered.

use std::time::Duration;

use super::PART;
use crate::compare::figures::{Contender, Failure, Figure, Figures, Run};
use crate::compare::report;

const TOTAL: &str = "TPC-H total";

pub fn add(figures: &mut Figures, queries: &[String]) {
    let contenders = contenders(figures, queries);
    let unanswered = |contender: &Contender| -> Vec<&str> {
        let missing = queries.iter().filter(|query| of(figures, *contender, query).is_none());
        missing.map(String::as_str).collect()
    };
    let missing: Vec<_> = contenders.iter().map(unanswered).collect();
    let is_shared =
        |query: &&String| missing.iter().all(|missing| !missing.contains(&query.as_str()));
    let shared: Vec<_> = queries.iter().filter(is_shared).cloned().collect();
    let mut sums = Vec::new();
    for (contender, missing) in contenders.iter().zip(&missing) {
        let total = match missing.as_slice() {
            [] => Ok(sum(figures, *contender, queries)),
            missing => Err(Failure::Failed(format!("nothing for {}", missing.join(", ")))),
        };
        sums.push((TOTAL.to_owned(), *contender, total));
    }
    if !shared.is_empty() && shared.len() < queries.len() {
        let name = format!("{TOTAL} of the {} that all answered", shared.len());
        let of_shared = |contender| (name.clone(), contender, Ok(sum(figures, contender, &shared)));
        sums.extend(contenders.iter().copied().map(of_shared));
    }
    let mut names: Vec<String> = Vec::new();
    for (name, contender, total) in sums {
        match total {
            Ok(run) => figures.add(PART, &name, 1, contender, run),
            Err(failure) => figures.fail(PART, &name, 1, contender, failure),
        }
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    for name in names {
        report::print(figures, PART, &name, 1);
    }
}

/// Who was asked, in order.
fn contenders(figures: &Figures, queries: &[String]) -> Vec<Contender> {
    let mut found = Vec::new();
    for figure in figures.0.iter().filter(|f| f.part == PART && queries.contains(&f.workload)) {
        if !found.contains(&figure.contender) {
            found.push(figure.contender);
        }
    }
    found
}

/// A contender's figure for a query, if it is worth something.
fn of<'a>(figures: &'a Figures, contender: Contender, query: &str) -> Option<&'a Figure> {
    let asked = |f: &&Figure| f.part == PART && f.contender == contender && f.workload == query;
    figures.0.iter().find(asked).filter(|figure| figure.is_measured())
}

/// All queries as one operation.
fn sum(figures: &Figures, contender: Contender, queries: &[String]) -> Run {
    let mut total = Run {
        operations: 1,
        elapsed: Duration::ZERO,
        latency: Duration::ZERO,
        cpu: Duration::ZERO,
        memory: 0,
    };
    for figure in queries.iter().filter_map(|query| of(figures, contender, query)) {
        let summary = figure.summary();
        total.elapsed += Duration::from_secs_f64(summary.latency_ms / 1e3);
        total.cpu += Duration::from_secs_f64(summary.cpu_us / 1e6);
        total.memory = total.memory.max((summary.memory_mb * f64::from(1 << 20)) as u64);
    }
    Run { latency: total.elapsed, ..total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::servers::ServerKind;

    fn run(ms: u64) -> Run {
        let elapsed = Duration::from_millis(ms);
        Run { operations: 1, elapsed, latency: elapsed, cpu: elapsed, memory: ms << 20 }
    }

    #[test]
    fn totals_are_of_medians_and_compare_what_all_answered() {
        let mut figures = Figures::default();
        let (postgres, duckdb) = (ServerKind::Postgres, ServerKind::DuckDb);
        for ms in [10, 90, 20] {
            figures.add(PART, "Q01", 1, postgres, run(ms));
        }
        figures.fail(PART, "Q02", 1, postgres, Failure::TimedOut(Duration::from_secs(9)));
        figures.add(PART, "Q01", 1, duckdb, run(5));
        figures.add(PART, "Q02", 1, duckdb, run(7));
        add(&mut figures, &["Q01".into(), "Q02".into()]);
        let found = |server: ServerKind, name: &str| {
            let is = |f: &&Figure| f.contender == server.into() && f.workload == name;
            figures.0.iter().find(is).expect("a total")
        };
        let lacking = Failure::Failed("nothing for Q02".into());
        assert_eq!(found(postgres, TOTAL).failure, Some(lacking));
        let all = found(duckdb, TOTAL);
        assert_eq!((all.runs[0].elapsed, all.runs[0].memory), (Duration::from_millis(12), 7 << 20));
        assert_eq!(figures.ratio(all, postgres), None);
        let shared = found(duckdb, "TPC-H total of the 1 that all answered");
        assert_eq!(figures.ratio(shared, postgres), Some(4.0));
    }
}
