//! Reports.

use std::time::Duration;

use super::micros;
use crate::pb::worker as pb;
use crate::report::{PlanStyle, Report, ReportWanted};

impl From<PlanStyle> for pb::PlanStyle {
    fn from(style: PlanStyle) -> Self {
        Self { verbose: style.verbose, timing: style.timing }
    }
}

impl From<pb::PlanStyle> for PlanStyle {
    fn from(style: pb::PlanStyle) -> Self {
        Self { verbose: style.verbose, timing: style.timing }
    }
}

impl From<pb::PlanStyle> for ReportWanted {
    fn from(style: pb::PlanStyle) -> Self {
        Self::new(style.into())
    }
}

impl From<Report> for pb::Report {
    fn from(report: Report) -> Self {
        let report = report.bounded();
        Self {
            planning_micros: micros(report.planning),
            execution_micros: micros(report.execution),
            spilled: report.spilled,
            plan: report.plan,
        }
    }
}

/// Whatever a peer says is a report: times and sizes are only shown.
impl From<pb::Report> for Report {
    fn from(report: pb::Report) -> Self {
        let plan = report.plan.into_iter().map(|line| line.replace(char::is_control, " "));
        Self {
            plan: plan.collect(),
            planning: Duration::from_micros(report.planning_micros),
            execution: Duration::from_micros(report.execution_micros),
            spilled: report.spilled,
        }
        .bounded()
    }
}
