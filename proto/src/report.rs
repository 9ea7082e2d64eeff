//! What a worker did for a query, told after its rows when somebody asks: EXPLAIN ANALYZE.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a written plan tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanStyle {
    /// The columns of every operator.
    pub verbose: bool,
    /// Of a plan that was run, how long its operators took.
    pub timing: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The plan as it was run, laid out like the answer of [`crate::worker::Worker::explain`].
    pub plan: Vec<String>,
    /// From the request to the plan, and from there to the last row.
    pub planning: Duration,
    pub execution: Duration,
    /// What did not fit into memory, in bytes.
    pub spilled: u64,
}

/// No plan that anybody reads is longer.
const MAX_LINES: usize = 1 << 14;
const MAX_BYTES: usize = 1 << 20;

impl Report {
    /// With no more of the plan than travels.
    pub fn bounded(mut self) -> Self {
        let mut bytes = 0;
        let kept = self.plan.iter().take(MAX_LINES).take_while(|line| {
            bytes += line.len();
            bytes <= MAX_BYTES
        });
        let kept = kept.count();
        self.plan.truncate(kept);
        self
    }
}

/// The wish for a report, and the place for it: whoever runs the query puts it there before the
/// rows end. Copies are the same place.
#[derive(Clone, Debug, Default)]
pub struct ReportWanted {
    pub style: PlanStyle,
    place: Arc<Mutex<Option<Report>>>,
}

impl ReportWanted {
    pub fn new(style: PlanStyle) -> Self {
        Self { style, place: Arc::default() }
    }

    pub fn put(&self, report: Report) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.bounded());
    }

    pub fn take(&self) -> Option<Report> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The same wish, whatever has come of it.
impl PartialEq for ReportWanted {
    fn eq(&self, other: &Self) -> bool {
        self.style == other.style
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_no_longer_than_anybody_reads() {
        let plan =
            |lines, line: &str| Report { plan: vec![line.into(); lines], ..Report::default() };
        assert_eq!(plan(MAX_LINES + 1, "").bounded().plan.len(), MAX_LINES);
        assert_eq!(plan(3, &"x".repeat(MAX_BYTES / 2)).bounded().plan.len(), 2);
        assert_eq!(plan(2, "Seq Scan").bounded(), plan(2, "Seq Scan"));
    }
}
