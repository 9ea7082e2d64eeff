//! This crate's operators in PostgreSQL's words.

use std::sync::Arc;

use datafusion::logical_expr::Operator as Operation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_plan::ExecutionPlan;
use satsuma_common::index::IndexMethod;
use satsuma_sql::explain::{
    Child, Inputs, Node, Operator, Operators, Plan, Style, conjunction, conjuncts, expression, tree,
};

use super::condition::Condition;
use super::groups::GroupsExec;
use super::index_join::IndexJoinExec;
use super::index_scan::IndexScanExec;
use super::network_join::NetworkJoinExec;
use super::shard_scan::{REMOVED, ShardScanExec};

/// The plan, one operator or property a line, as PostgreSQL indents them.
pub(crate) fn render(plan: &Plan, style: Style) -> Vec<String> {
    tree(plan, style, &Workers).lines()
}

struct Workers;

impl Operators for Workers {
    fn relation(&self, plan: &Plan) -> Option<String> {
        let scan = plan.downcast_ref::<ShardScanExec>().and_then(ShardScanExec::placed);
        let placed = scan.or(plan.downcast_ref::<IndexScanExec>().and_then(IndexScanExec::placed));
        match placed {
            Some(placed) => Some(placed.meta.shape.name.clone()),
            None => (plan.name() == "SpoolExec").then(|| "intermediate_result".into()),
        }
    }

    fn describe(&self, plan: &Plan, style: Style) -> Option<Operator> {
        if let Some(scan) = plan.downcast_ref::<ShardScanExec>() {
            return Some(of_scan(scan, style));
        }
        if let Some(scan) = plan.downcast_ref::<IndexScanExec>() {
            return Some(of_index_scan(scan));
        }
        if let Some(join) = plan.downcast_ref::<IndexJoinExec>() {
            let (index, placed) = join.probed();
            let (name, shard) = (&placed.meta.shape.name, placed.shard.0);
            let title = format!("Index Scan using {index}_{shard} on {name}_{shard} {name}");
            let mut probed = Node::new(title);
            probed.properties.push(format!("Index Cond: {}", expression(join.condition())));
            return Some(Operator {
                title: "Nested Loop".into(),
                properties: join_filter(join.condition(), join.filter()).into_iter().collect(),
                more: vec![Child::Node(probed)],
                ..Operator::default()
            });
        }
        if let Some(join) = plan.downcast_ref::<NetworkJoinExec>() {
            let mut properties = vec![format!("Hash Cond: {}", expression(join.condition()))];
            properties.extend(join_filter(join.condition(), join.filter()));
            let inputs = Inputs::Hashed;
            return Some(Operator {
                title: "Hash Join".into(),
                properties,
                inputs,
                ..Operator::default()
            });
        }
        if let Some(groups) = plan.downcast_ref::<GroupsExec>() {
            return Some(Operator {
                title: "Append".into(),
                properties: vec![format!("Tasks Run in Turn: {}", groups.count())],
                more: groups
                    .slowest()
                    .map(|plan| Child::Node(tree(&plan, style, self)))
                    .into_iter()
                    .collect(),
                ..Operator::default()
            });
        }
        let title = match plan.name() {
            "SpoolExec" => "Function Scan on read_intermediate_result intermediate_result",
            "InputExec" => "Values Scan",
            _ => return None,
        };
        Some(Operator { title: title.into(), ..Operator::default() })
    }
}

fn of_scan(scan: &ShardScanExec, style: Style) -> Operator {
    let mut properties = Vec::new();
    let (by_key, rest): (Vec<_>, Vec<_>) =
        scan.conditions().iter().cloned().partition(|c| is_by_key(scan, c.shown()));
    properties.extend(conditions(&by_key).map(|condition| format!("Index Cond: {condition}")));
    properties.extend(conditions(&rest).map(|condition| format!("Filter: {condition}")));
    if style.analyze
        && let Some(removed @ 1..) = removed(scan)
    {
        // What operators above told the scan while it ran is not among its conditions.
        let by = if properties.is_empty() { "Dynamic Filter" } else { "Filter" };
        properties.push(format!("Rows Removed by {by}: {removed}"));
    }
    Operator { title: scan_title(scan), properties, ..Operator::default() }
}

fn of_index_scan(scan: &IndexScanExec) -> Operator {
    let kind = if is_bitmap(scan) { "Recheck Cond" } else { "Index Cond" };
    let bitmap = scan.placed().filter(|_| is_bitmap(scan)).map(|placed| {
        let (name, shard) = (&scan.path().name, placed.shard.0);
        let mut node = Node::new(format!("Bitmap Index Scan on {name}_{shard}"));
        node.properties.push(format!("Index Cond: {}", index_condition(scan)));
        Child::Node(node)
    });
    Operator {
        title: index_scan_title(scan),
        properties: vec![format!("{kind}: {}", index_condition(scan))],
        answered: texts(scan),
        more: bitmap.into_iter().collect(),
        ..Operator::default()
    }
}

/// What a join looks at beyond the condition that it finds candidates by.
fn join_filter(found_by: &Arc<dyn PhysicalExpr>, whole: &Arc<dyn PhysicalExpr>) -> Option<String> {
    let found_by = expression(found_by);
    let rest = conjuncts([whole]).into_iter();
    let rest: Vec<_> = rest.filter(|condition| *condition != found_by).collect();
    (!rest.is_empty()).then(|| format!("Join Filter: {}", conjunction(&rest)))
}

/// A scan's conditions as one.
fn conditions(conditions: &[Arc<Condition>]) -> Option<String> {
    let terms = conjuncts(conditions.iter().map(|condition| condition.shown()));
    (!terms.is_empty()).then(|| conjunction(&terms))
}

/// Whether a condition compares a column of the primary key, by which the scan goes.
fn is_by_key(scan: &ShardScanExec, condition: &Arc<dyn PhysicalExpr>) -> bool {
    let (Some(placed), Some(_)) = (scan.placed(), scan.key_range()) else { return false };
    let Some(comparison) = condition.downcast_ref::<BinaryExpr>() else { return false };
    let compares = matches!(
        comparison.op(),
        Operation::Eq | Operation::Lt | Operation::LtEq | Operation::Gt | Operation::GtEq
    );
    let (left, right) = (comparison.left(), comparison.right());
    let column = left.downcast_ref::<Column>().or(right.downcast_ref::<Column>());
    let constant = [left, right].iter().any(|side| side.downcast_ref::<Literal>().is_some());
    let shape = &placed.meta.shape;
    let of_key = column.and_then(|column| shape.column_named(column.name()));
    compares && constant && of_key.is_some_and(|column| shape.primary_key.contains(&column.id))
}

fn removed(scan: &ShardScanExec) -> Option<usize> {
    scan.metrics()?.sum_by_name(REMOVED).map(|removed| removed.as_usize())
}

fn scan_title(scan: &ShardScanExec) -> String {
    let Some(placed) = scan.placed() else { return "Seq Scan".into() };
    let (name, shard) = (&placed.meta.shape.name, placed.shard.0);
    match scan.key_range() {
        Some(_) => {
            let shape = &placed.meta.shape;
            let key = shape.primary_key_name.clone().unwrap_or_else(|| format!("{name}_pkey"));
            format!("Index Scan using {key}_{shard} on {name}_{shard} {name}")
        }
        None => format!("Seq Scan on {name}_{shard} {name}"),
    }
}

/// PostgreSQL looks up jsonb tokens in a bitmap, and reads the rows after it.
fn is_bitmap(scan: &IndexScanExec) -> bool {
    scan.path().method == IndexMethod::Documents
}

fn index_scan_title(scan: &IndexScanExec) -> String {
    let Some(placed) = scan.placed() else { return "Index Scan".into() };
    let (name, shard) = (&placed.meta.shape.name, placed.shard.0);
    if is_bitmap(scan) {
        return format!("Bitmap Heap Scan on {name}_{shard} {name}");
    }
    format!("Index Scan using {}_{shard} on {name}_{shard} {name}", scan.path().name)
}

fn index_condition(scan: &IndexScanExec) -> String {
    let conditions: Vec<_> = scan.answered().iter().map(expression).collect();
    conjunction(&conditions)
}

/// The conditions that need not be shown again in a filter.
fn texts(scan: &IndexScanExec) -> Vec<String> {
    scan.conditions().iter().map(expression).collect()
}
