//! What an execution tells of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_proto::report::{PlanStyle, Report, ReportWanted};
use satsuma_sql::explain::{Plan, Style, measured};

use super::explain::render;
use super::groups::GroupsExec;
use super::spool::{SpoolExec, Spools};

/// A plan whose operators will tell what they did when it is run.
pub(crate) fn watched(plan: Plan) -> datafusion::error::Result<Plan> {
    measured(plan, &Ok)
}

pub(crate) fn style(style: PlanStyle) -> Style {
    Style { analyze: true, timing: style.timing, verbose: style.verbose }
}

/// Of one execution.
#[derive(Clone)]
pub(crate) struct Reporter {
    wanted: ReportWanted,
    began: Instant,
}

impl Reporter {
    /// The execution begins now.
    pub fn new(wanted: ReportWanted) -> Self {
        Self { wanted, began: Instant::now() }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The plan was there after `planning`, and has been run.
    pub fn finished(&self, plan: &Plan, planning: Duration, inputs: &Spools) {
        self.wanted.put(Report {
            plan: render(plan, style(self.wanted.style)),
            planning,
            execution: self.began.elapsed().saturating_sub(planning),
            spilled: spilled(plan) + inputs.spilled(),
        });
    }
}

/// Bytes that operators have written to disk, without those of the inputs' rows.
pub(crate) fn spilled(plan: &Plan) -> u64 {
    if let Some(groups) = plan.downcast_ref::<GroupsExec>() {
        return groups.ran().map_or(0, |ran| ran.lock().spilled);
    }
    let own = match plan.is::<SpoolExec>() {
        true => 0,
        false => plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0) as u64,
    };
    own + plan.children().into_iter().map(spilled).sum::<u64>()
}

/// Plans that were run one after the other.
#[derive(Default)]
pub(crate) struct Ran {
    pub spilled: u64,
    pub slowest: Option<(Duration, Plan)>,
}

impl Ran {
    pub fn add(&mut self, took: Duration, plan: Plan) {
        self.spilled += spilled(&plan);
        if self.slowest.as_ref().is_none_or(|(longest, _)| took > *longest) {
            self.slowest = Some((took, plan));
        }
    }
}

/// Adds a plan to those that were run when it is dropped.
pub(crate) struct Running {
    ran: Arc<Mutex<Ran>>,
    plan: Plan,
    began: Instant,
}

impl Running {
    pub fn new(ran: Arc<Mutex<Ran>>, plan: Plan) -> Self {
        Self { ran, plan, began: Instant::now() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ran.lock().add(self.began.elapsed(), self.plan.clone());
    }
}
