//! Which way the planner took, and why no cheaper one, in words: for EXPLAIN (VERBOSE).

use datafusion::common::tree_node::TreeNodeRecursion;
use satsuma_common::{SqlResult, TableId};
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::table::{Scan, ScanSource};

use crate::catalog::State;
use crate::planner::choice::{Apart, Candidate, Choice, Relations, Way};
use crate::planner::{PlaceKind, RemoteTask, Target, Topology};
use crate::system_relations::citus::size_pretty;

/// Properties of the node that stands for the choice.
pub(super) fn lines(choice: &Choice) -> Vec<String> {
    match choice {
        Choice::Join { taken, others, left, right, apart } => {
            let (left, right) = (names(left, "the left side"), names(right, "the right side"));
            let told = |candidate: &Candidate| told(candidate, &left, &right);
            let mut lines = vec![format!("Way: {}", told(taken))];
            if !others.is_empty() {
                let others: Vec<_> = others.iter().map(told).collect();
                lines.push(format!("Instead: {}", others.join("; ")));
            }
            lines.push(format!("Not Co-located: {}", reason(apart, &left, &right)));
            lines
        }
        Choice::TwoPhases { placed_by } => {
            let why = match &placed_by[..] {
                [] => "no grouping key is a distribution column".into(),
                columns => format!("no grouping key is {}", columns.join(" or ")),
            };
            vec![
                "Way: in each task, then at the coordinator".into(),
                format!("Not in One Phase: {why}"),
            ]
        }
        Choice::ByKey { bytes, most } => vec![
            format!("Way: to the rows of the same key ({} of rows)", size_pretty(*bytes)),
            format!("Instead: at the coordinator, up to {}", size_pretty(*most)),
        ],
    }
}

fn names(relations: &Relations, nothing: &str) -> String {
    match &relations.0[..] {
        [] => nothing.into(),
        [one] => one.clone(),
        many => format!("({})", many.join(", ")),
    }
}

fn told(candidate: &Candidate, left: &str, right: &str) -> String {
    let copies = |of: &str, nodes| match nodes {
        1 => format!("copies of {of} on 1 node"),
        _ => format!("copies of {of} on {nodes} nodes"),
    };
    let way = match candidate.way {
        Way::AtCoordinator => "both sides at the coordinator".into(),
        Way::CopyLeft { nodes } => copies(left, nodes),
        Way::CopyRight { nodes } => copies(right, nodes),
        Way::LeftByHash => format!("{left} by hash to {right}"),
        Way::RightByHash => format!("{right} by hash to {left}"),
        Way::BothByHash => "both sides by hash".into(),
    };
    let (travel, cost) = (size_pretty(candidate.travel), size_pretty(candidate.cost));
    format!("{way} (network {travel}, cost {cost})")
}

fn reason(apart: &Apart, left: &str, right: &str) -> String {
    match apart {
        Apart::LeftAtCoordinator => format!("{left} is at the coordinator"),
        Apart::RightAtCoordinator => format!("{right} is at the coordinator"),
        Apart::Colocations => format!("{left} and {right} are in different co-location groups"),
        Apart::LeftKey(key) => format!("{key} is not the distribution column of {left}"),
        Apart::RightKey(key) => format!("{key} is not the distribution column of {right}"),
        Apart::NoKey => "the condition does not compare distribution columns".into(),
        Apart::Copies => {
            "rows that match nothing are wanted once, of a side that every node has".into()
        }
    }
}

/// Which shards of a task's tables are read, and for what reason: a property of the task's scan.
pub(super) fn shards(task: &RemoteTask, state: &State) -> SqlResult<Option<String>> {
    let Target::Groups(groups) = &task.target else { return Ok(None) };
    let mut found = None;
    task.plan
        .apply_with_subqueries(|node| {
            if let datafusion::logical_expr::LogicalPlan::TableScan(scan) = node
                && let Some(source) = scan.source.downcast_ref::<ScanSource>()
                && let Scan::Table(info) = &source.scan
                && let Some((column, all)) = placed_by(info.shape.table, state)
            {
                found = Some((format!("{}.{column}", info.shape.name), all));
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(to_sql)?;
    Ok(found.map(|(column, all)| match groups.len() {
        some if some < all => format!("Shards: {some} of {all}, by conditions on {column}"),
        _ => format!("Shards: {all} of {all}, no condition on {column} leaves one out"),
    }))
}

/// The distribution column of a table, and how many shards it has.
fn placed_by(table: TableId, state: &State) -> Option<(String, usize)> {
    let place = state.place(table)?;
    let PlaceKind::Hash { column, .. } = place.kind else { return None };
    let name = state.table(table)?.shape.column(column)?.name.clone();
    Some((name, place.groups.len()))
}
