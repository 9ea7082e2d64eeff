//! Operators of the engine.

use datafusion::physical_plan::InputOrderMode;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::sorts::sort::SortExec;

use super::expression::expression;
use super::joins;
use super::measure::{Measure, Plan, seen};
use super::printer::{Operator, Operators};

/// Operators that PostgreSQL does not show.
pub(super) fn is_plumbing(name: &str) -> bool {
    matches!(
        name,
        "ProjectionExec"
            | "CoalesceBatchesExec"
            | "CoalescePartitionsExec"
            | "CooperativeExec"
            | "StoppableExec"
            | "RepartitionExec"
            | "BufferExec"
            | "OutputRequirementExec"
            | "BarrierExec"
            | "SharedExec"
            | "SmallBatchesExec"
            | "UnknownRowsExec"
    )
}

pub(super) fn is_limit(plan: &Plan) -> bool {
    plan.is::<GlobalLimitExec>() || plan.is::<LocalLimitExec>()
}

/// With `measure`, the plan has been run.
pub(super) fn describe(plan: &Plan, measure: Option<&Measure>, own: &dyn Operators) -> Operator {
    if let Some(join) = joins::describe(plan, own) {
        return join;
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return of_aggregate(aggregate, measure);
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return of_sort(sort, measure);
    }
    let title = match plan.name() {
        "CrossJoinExec" => "Nested Loop",
        "UnionExec" | "InterleaveExec" => "Append",
        "WindowAggExec" | "BoundedWindowAggExec" => "WindowAgg",
        "PlaceholderRowExec" | "EmptyExec" => "Result",
        "UnnestExec" | "SeriesExec" => "ProjectSet",
        "RecursiveQueryExec" => "Recursive Union",
        "WorkTableExec" => "WorkTable Scan",
        "SortPreservingMergeExec" => "Gather Merge",
        "DataSourceExec" => "Values Scan",
        _ if is_limit(plan) => "Limit",
        other => other.strip_suffix("Exec").unwrap_or(other),
    };
    Operator { title: title.into(), ..Operator::default() }
}

fn of_aggregate(aggregate: &AggregateExec, measure: Option<&Measure>) -> Operator {
    let keys: Vec<_> =
        aggregate.group_expr().expr().iter().map(|(key, _)| expression(key)).collect();
    let sorted = *aggregate.input_order_mode() == InputOrderMode::Sorted;
    let kind = match (keys.is_empty(), sorted) {
        (true, _) => "Aggregate",
        (false, true) => "GroupAggregate",
        (false, false) => "HashAggregate",
    };
    let finishes = |mode| matches!(mode, AggregateMode::Final | AggregateMode::FinalPartitioned);
    let here = finishes(*aggregate.mode()) && first_phase(aggregate.input()).is_some();
    let mut properties = Vec::new();
    if !keys.is_empty() {
        properties.push(format!("Group Key: {}", keys.join(", ")));
    }
    if let (Some(measure), "HashAggregate") = (measure, kind) {
        let metrics = aggregate_metrics(aggregate);
        let spills = metrics.spill_count().unwrap_or(0);
        // Not every kind of it counts: the groups are there in any case.
        let groups = usize::try_from(measure.bytes()).unwrap_or(usize::MAX);
        let memory = kilobytes(sum(&metrics, "peak_mem_used").max(groups));
        let disk = match metrics.spilled_bytes() {
            Some(bytes @ 1..) => format!("  Disk Usage: {}", kilobytes(bytes)),
            _ => String::new(),
        };
        properties.push(format!("Batches: {}  Memory Usage: {memory}{disk}", spills + 1));
    }
    let title = if here { format!("Finalize {kind}") } else { kind.into() };
    Operator { title, properties, is_finish: here, ..Operator::default() }
}

fn aggregate_metrics(aggregate: &AggregateExec) -> MetricsSet {
    datafusion::physical_plan::ExecutionPlan::metrics(aggregate).unwrap_or_default()
}

/// The first phase of an aggregate that is finished above it, in the same plan.
fn first_phase(plan: &Plan) -> Option<&AggregateExec> {
    let (plan, _) = seen(plan);
    match (plan.downcast_ref::<AggregateExec>(), &plan.children()[..]) {
        (Some(aggregate), _) => (*aggregate.mode() == AggregateMode::Partial).then_some(aggregate),
        (None, [child]) if is_plumbing(plan.name()) => first_phase(child),
        _ => None,
    }
}

fn of_sort(sort: &SortExec, measure: Option<&Measure>) -> Operator {
    let keys: Vec<_> = sort
        .expr()
        .iter()
        .map(|key| {
            let direction = if key.options.descending { " DESC" } else { "" };
            let nulls = match (key.options.descending, key.options.nulls_first) {
                (false, true) => " NULLS FIRST",
                (true, false) => " NULLS LAST",
                (false, false) | (true, true) => "",
            };
            format!("{}{direction}{nulls}", expression(&key.expr))
        })
        .collect();
    let mut properties = vec![format!("Sort Key: {}", keys.join(", "))];
    if let Some(measure) = measure {
        let spilled = datafusion::physical_plan::ExecutionPlan::metrics(sort)
            .and_then(|metrics| metrics.spilled_bytes());
        let memory = kilobytes(usize::try_from(measure.bytes()).unwrap_or(usize::MAX));
        properties.push(match (spilled, sort.fetch()) {
            (Some(bytes @ 1..), _) => {
                format!("Sort Method: external merge  Disk: {}", kilobytes(bytes))
            }
            (_, Some(_)) => format!("Sort Method: top-N heapsort  Memory: {memory}"),
            (_, None) => format!("Sort Method: quicksort  Memory: {memory}"),
        });
    }
    Operator { title: "Sort".into(), properties, tells_disk: true, ..Operator::default() }
}

pub(super) fn sum(metrics: &MetricsSet, name: &str) -> usize {
    metrics.sum_by_name(name).map_or(0, |sum| sum.as_usize())
}

pub(super) fn kilobytes(bytes: usize) -> String {
    format!("{}kB", bytes.div_ceil(1024))
}
