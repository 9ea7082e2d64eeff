//! Why a plan is what it is, for EXPLAIN: the ways that were compared, with what they would cost.

use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan};
use satsuma_sql::table::{Scan, ScanSource};

use super::distribute::Placed;
use super::exchange::Exchange;
use super::join::key_position;
use super::locus::Locus;
use super::remote::{RemoteAggregate, RemoteScan};

/// What a remote leaf or an exchange is there for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The sides of a join come together.
    Join {
        taken: Candidate,
        /// The cheapest first.
        others: Vec<Candidate>,
        left: Relations,
        right: Relations,
        apart: Apart,
    },
    /// Rows are grouped in the tasks and once more at the coordinator: in no key is what places
    /// them, which are these columns.
    TwoPhases { placed_by: Vec<String> },
    /// Rows that weigh `bytes` are brought to those of the same key: more than `most` do not meet
    /// at the coordinator.
    ByKey { bytes: u64, most: u64 },
}

/// A way to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    pub way: Way,
    /// Bytes that go over the network.
    pub travel: u64,
    /// These, and what else counts, in bytes.
    pub cost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    AtCoordinator,
    CopyLeft { nodes: u64 },
    CopyRight { nodes: u64 },
    LeftByHash,
    RightByHash,
    BothByHash,
}

/// The tables that rows come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Relations(pub Vec<String>);

/// Why a join cannot be where its sides are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Apart {
    /// One side is what the coordinator computed.
    LeftAtCoordinator,
    RightAtCoordinator,
    Colocations,
    /// Columns that are compared with a distribution column, or with none, and are none.
    LeftKey(String),
    RightKey(String),
    NoKey,
    /// A side that is on every node has rows that are wanted though they match nothing.
    Copies,
}

/// Names beyond these tell no more.
const MAX_NAMES: usize = 4;

impl Relations {
    pub fn of(plan: &LogicalPlan) -> Self {
        let mut names = Vec::new();
        collect(plan, &mut names);
        Self(names)
    }
}

fn collect(plan: &LogicalPlan, names: &mut Vec<String>) {
    if names.len() > MAX_NAMES {
        return;
    }
    match plan {
        LogicalPlan::TableScan(scan) => {
            let source = scan.source.downcast_ref::<ScanSource>().map(|source| &source.scan);
            let name = match source {
                Some(Scan::Table(info)) => info.shape.name.clone(),
                Some(Scan::System(relation)) => relation.name.clone(),
                Some(Scan::Input | Scan::Exchanged(_) | Scan::Returned(_)) | None => return,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        LogicalPlan::Extension(Extension { node }) => {
            let node = node.as_any();
            if let Some(exchange) = node.downcast_ref::<Exchange>() {
                return collect(&exchange.input.plan, names);
            }
            let scan = node.downcast_ref::<RemoteScan>().map(|scan| &scan.task);
            let task = scan.or(node.downcast_ref::<RemoteAggregate>().map(|node| &node.task));
            if let Some(task) = task {
                collect(&task.plan, names);
                task.inputs.iter().for_each(|input| collect(&input.plan, names));
            }
        }
        _ => plan.inputs().into_iter().for_each(|input| collect(input, names)),
    }
}

impl Apart {
    pub(super) fn of(join: &Join, left: &Placed, right: &Placed) -> Self {
        let (one, other) = match (&left.locus, &right.locus) {
            (Locus::Coordinator, _) => return Self::LeftAtCoordinator,
            (_, Locus::Coordinator) => return Self::RightAtCoordinator,
            (Locus::Hashed(one), Locus::Hashed(other)) => (one, other),
            _ => return Self::Copies,
        };
        if one.colocation != other.colocation {
            return Self::Colocations;
        }
        let mut apart = Self::NoKey;
        for (left_key, right_key) in &join.on {
            let placed = |side: &LogicalPlan, key, columns: &std::collections::BTreeSet<usize>| {
                key_position(side.schema(), key).is_some_and(|at| columns.contains(&at))
            };
            let by_left = placed(&join.left, left_key, &one.columns);
            let by_right = placed(&join.right, right_key, &other.columns);
            match (by_left, by_right) {
                (true, false) => apart = Self::RightKey(name(right_key)),
                (false, true) => apart = Self::LeftKey(name(left_key)),
                _ => {}
            }
        }
        apart
    }
}

/// A column's name without the qualifier that the planner gave it.
pub fn name(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Cast(cast) => name(&cast.expr),
        Expr::Alias(alias) => name(&alias.expr),
        other => other.to_string(),
    }
}
