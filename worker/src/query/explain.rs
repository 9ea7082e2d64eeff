//! Physical plans in PostgreSQL's words.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::scalar::ScalarValue;
use satsuma_common::index::IndexMethod;
use satsuma_common::inet::Inet;
use satsuma_sql::functions::display_name;

use super::condition::Condition;
use super::index_join::IndexJoinExec;
use super::index_scan::IndexScanExec;
use super::network_join::NetworkJoinExec;
use super::shard_scan::{REMOVED, ShardScanExec};

type Plan = Arc<dyn ExecutionPlan>;

/// The plan, one operator or property a line, as PostgreSQL indents them. With `analyze`, the
/// plan has been run and operators tell what they did.
pub(crate) fn render(plan: &Plan, analyze: bool) -> Vec<String> {
    let mut lines = Vec::new();
    Printer { analyze, lines: &mut lines }.node(plan, None, 0);
    lines
}

struct Printer<'a> {
    analyze: bool,
    lines: &'a mut Vec<String>,
}

impl Printer<'_> {
    /// `filter` is a condition that a node above puts on this one's rows.
    fn node(&mut self, plan: &Plan, filter: Option<&FilterExec>, depth: usize) {
        if let Some(found) = plan.downcast_ref::<FilterExec>()
            && filter.is_none()
            && let [child] = plan.children()[..]
        {
            return self.node(child, Some(found), depth);
        }
        if is_plumbing(plan.name())
            && let [child] = plan.children()[..]
        {
            return self.node(child, filter, depth);
        }
        let Description { title, properties } = describe(plan);
        let answered = plan.downcast_ref::<IndexScanExec>().map(texts).unwrap_or_default();
        let measured: &dyn ExecutionPlan = match filter {
            Some(filter) => filter,
            None => plan.as_ref(),
        };
        let arrow = if depth == 0 { String::new() } else { indent(depth, "->  ") };
        let actual = if self.analyze { actual(measured) } else { String::new() };
        self.lines.push(format!("{arrow}{title}{actual}"));
        let inner = if depth == 0 { "  ".to_string() } else { " ".repeat(6 * depth + 2) };
        for property in properties {
            self.lines.push(format!("{inner}{property}"));
        }
        if self.analyze
            && let Some(bytes @ 1..) = plan.metrics().and_then(|metrics| metrics.spilled_bytes())
        {
            self.lines.push(format!("{inner}Disk Usage: {}kB", bytes.div_ceil(1024)));
        }
        if let Some(filter) = filter {
            let mut conditions = conjuncts([filter.predicate()]);
            conditions.retain(|condition| !answered.contains(condition));
            if !conditions.is_empty() {
                self.lines.push(format!("{inner}Filter: {}", conjunction(&conditions)));
            }
            if self.analyze
                && let (Some(all), Some(kept)) = (rows(plan.as_ref()), rows(measured))
                && all > kept
            {
                self.lines.push(format!("{inner}Rows Removed by Filter: {}", all - kept));
            }
        }
        if let Some(scan) = plan.downcast_ref::<ShardScanExec>() {
            let (by_key, rest): (Vec<_>, Vec<_>) =
                scan.conditions().iter().cloned().partition(|c| is_by_key(scan, c.shown()));
            if let Some(condition) = conditions(&by_key) {
                self.lines.push(format!("{inner}Index Cond: {condition}"));
            }
            if let Some(condition) = conditions(&rest) {
                self.lines.push(format!("{inner}Filter: {condition}"));
            }
            if self.analyze
                && let Some(removed @ 1..) = removed(scan)
            {
                self.lines.push(format!("{inner}Rows Removed by Filter: {removed}"));
            }
        }
        if let Some(scan) = plan.downcast_ref::<IndexScanExec>()
            && let Some(placed) = scan.placed()
            && is_bitmap(scan)
        {
            let (name, shard) = (&scan.path().name, placed.shard.0);
            self.lines.push(indent(depth + 1, &format!("->  Bitmap Index Scan on {name}_{shard}")));
            let inner = " ".repeat(6 * (depth + 1) + 2);
            self.lines.push(format!("{inner}Index Cond: {}", index_condition(scan)));
        }
        let hashes = plan.is::<HashJoinExec>() || plan.is::<NetworkJoinExec>();
        match (hashes, &plan.children()[..]) {
            // The side that is hashed comes second, under a node of its own.
            (true, [hashed, probing]) => {
                self.node(probing, None, depth + 1);
                self.lines.push(indent(depth + 1, "->  Hash"));
                self.node(hashed, None, depth + 2);
            }
            (_, children) => {
                for child in children {
                    self.node(child, None, depth + 1);
                }
            }
        }
        if let Some(join) = plan.downcast_ref::<IndexJoinExec>() {
            let (index, placed) = join.probed();
            let (name, shard) = (&placed.meta.shape.name, placed.shard.0);
            let title = format!("->  Index Scan using {index}_{shard} on {name}_{shard} {name}");
            self.lines.push(indent(depth + 1, &title));
            let inner = " ".repeat(6 * (depth + 1) + 2);
            self.lines.push(format!("{inner}Index Cond: {}", expression(join.condition())));
        }
    }
}

/// The arrow of a node at this depth stands under the text of the one above it.
fn indent(depth: usize, arrow: &str) -> String {
    format!("{}{arrow}", " ".repeat(6 * depth - 4))
}

struct Description {
    title: String,
    properties: Vec<String>,
}

/// What a join looks at beyond the condition that it finds candidates by.
fn join_filter(found_by: &Arc<dyn PhysicalExpr>, whole: &Arc<dyn PhysicalExpr>) -> Option<String> {
    let found_by = expression(found_by);
    let rest = conjuncts([whole]).into_iter();
    let rest: Vec<_> = rest.filter(|condition| *condition != found_by).collect();
    (!rest.is_empty()).then(|| format!("Join Filter: {}", conjunction(&rest)))
}

/// Operators that PostgreSQL does not show.
fn is_plumbing(name: &str) -> bool {
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

fn describe(plan: &Plan) -> Description {
    let mut properties = Vec::new();
    let title = if let Some(scan) = plan.downcast_ref::<ShardScanExec>() {
        scan_title(scan)
    } else if let Some(scan) = plan.downcast_ref::<IndexScanExec>() {
        let kind = if is_bitmap(scan) { "Recheck Cond" } else { "Index Cond" };
        properties.push(format!("{kind}: {}", index_condition(scan)));
        index_scan_title(scan)
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let keys: Vec<_> =
            aggregate.group_expr().expr().iter().map(|(expr, _)| expression(expr)).collect();
        if keys.is_empty() {
            "Aggregate".into()
        } else {
            properties.push(format!("Group Key: {}", keys.join(", ")));
            "HashAggregate".into()
        }
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
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
        properties.push(format!("Sort Key: {}", keys.join(", ")));
        if let Some(limit) = sort.fetch() {
            properties.push(format!("Sort Method: top-{limit} heapsort"));
        }
        "Sort".into()
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let keys: Vec<_> = join
            .on()
            .iter()
            .map(|(left, right)| format!("({} = {})", expression(right), expression(left)))
            .collect();
        properties.push(format!("Hash Cond: {}", conjunction(&keys)));
        if let Some(filter) = join.filter() {
            properties.push(format!("Join Filter: {}", expression(filter.expression())));
        }
        format!("Hash {}", join_words(*join.join_type()))
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        let keys: Vec<_> = join
            .on()
            .iter()
            .map(|(left, right)| format!("({} = {})", expression(left), expression(right)))
            .collect();
        properties.push(format!("Merge Cond: {}", conjunction(&keys)));
        format!("Merge {}", join_words(join.join_type()))
    } else if let Some(join) = plan.downcast_ref::<IndexJoinExec>() {
        properties.extend(join_filter(join.condition(), join.filter()));
        "Nested Loop".into()
    } else if let Some(join) = plan.downcast_ref::<NetworkJoinExec>() {
        properties.push(format!("Hash Cond: {}", expression(join.condition())));
        properties.extend(join_filter(join.condition(), join.filter()));
        "Hash Join".into()
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        if let Some(filter) = join.filter() {
            properties.push(format!("Join Filter: {}", expression(filter.expression())));
        }
        match join_words(*join.join_type()).strip_suffix(" Join") {
            Some(kind) => format!("Nested Loop {kind} Join"),
            None => "Nested Loop".into(),
        }
    } else {
        match plan.name() {
            "CrossJoinExec" => "Nested Loop",
            "UnionExec" | "InterleaveExec" => "Append",
            "WindowAggExec" | "BoundedWindowAggExec" => "WindowAgg",
            "PlaceholderRowExec" | "EmptyExec" => "Result",
            "UnnestExec" | "SeriesExec" => "ProjectSet",
            "RecursiveQueryExec" => "Recursive Union",
            "WorkTableExec" => "WorkTable Scan",
            "DataSourceExec" | "InputExec" => "Values Scan",
            "SpoolExec" => "Function Scan on read_intermediate_result intermediate_result",
            _ if plan.is::<GlobalLimitExec>() || plan.is::<LocalLimitExec>() => "Limit",
            other => other.strip_suffix("Exec").unwrap_or(other),
        }
        .to_string()
    };
    Description { title, properties }
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
        Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
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

fn join_words(join: JoinType) -> &'static str {
    match join {
        JoinType::Inner => "Join",
        JoinType::Left => "Left Join",
        JoinType::Right => "Right Join",
        JoinType::Full => "Full Join",
        JoinType::LeftSemi | JoinType::RightSemi => "Semi Join",
        JoinType::LeftAnti | JoinType::RightAnti => "Anti Join",
        JoinType::LeftMark | JoinType::RightMark => "Mark Join",
    }
}

fn conjunction(terms: &[String]) -> String {
    match terms {
        [one] => one.clone(),
        many => format!("({})", many.join(" AND ")),
    }
}

fn rows(plan: &dyn ExecutionPlan) -> Option<usize> {
    plan.metrics()?.output_rows()
}

/// ` (actual time=0.000..1.234 rows=5 loops=1)`
fn actual(plan: &dyn ExecutionPlan) -> String {
    let metrics = plan.metrics();
    let nanos = metrics.as_ref().and_then(|metrics| metrics.elapsed_compute()).unwrap_or_default();
    let rows = metrics.and_then(|metrics| metrics.output_rows()).unwrap_or_default();
    format!(" (actual time=0.000..{:.3} rows={rows} loops=1)", nanos as f64 / 1e6)
}

/// The expression as PostgreSQL would write it, where it has the same parts.
fn expression(expr: &Arc<dyn PhysicalExpr>) -> String {
    if let Some(column) = expr.downcast_ref::<Column>() {
        without_positions(column.name())
    } else if let Some(literal) = expr.downcast_ref::<Literal>() {
        constant(literal.value())
    } else if let Some(guarded) = guarded(expr) {
        guarded.to_string()
    } else if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let (left, right) = (expression(binary.left()), expression(binary.right()));
        let op = binary.op().to_string();
        let op = if op == "!=" { "<>".to_string() } else { op };
        format!("({left} {op} {right})")
    } else if let Some(not) = expr.downcast_ref::<NotExpr>() {
        format!("(NOT {})", expression(not.arg()))
    } else if let Some(test) = expr.downcast_ref::<IsNullExpr>() {
        format!("({} IS NULL)", expression(test.arg()))
    } else if let Some(test) = expr.downcast_ref::<IsNotNullExpr>() {
        format!("({} IS NOT NULL)", expression(test.arg()))
    } else if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let op = match (like.negated(), like.case_insensitive()) {
            (false, false) => "~~",
            (true, false) => "!~~",
            (false, true) => "~~*",
            (true, true) => "!~~*",
        };
        format!("({} {op} {})", expression(like.expr()), expression(like.pattern()))
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        expression(cast.expr())
    } else if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        let name = display_name(call.fun().name());
        let types = call.fun().name().split_once('(').map_or("", |(_, types)| types);
        let types = types.trim_end_matches(')').split(',').chain(std::iter::repeat("text"));
        let args: Vec<_> = call
            .args()
            .iter()
            .zip(types)
            .map(|(arg, ty)| match expression(arg).strip_suffix("'::text") {
                Some(text) if ty == "jsonb" => format!("{text}'::jsonb"),
                _ => expression(arg),
            })
            .collect();
        match (call.fun().name().starts_with("operator "), &args[..]) {
            (_, [left, right]) if name == "textcat" => format!("({left} || {right})"),
            (true, [left, right]) => format!("({left} {name} {right})"),
            (true, [operand]) => format!("({name} {operand})"),
            _ => format!("{name}({})", args.join(", ")),
        }
    } else {
        without_positions(&expr.to_string())
    }
}

/// What AND joins, each once: conditions that guard others are in front of each of them
/// (`sql/src/operators/logic.rs`).
fn conjuncts<'a>(conditions: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Vec<String> {
    let mut terms = Vec::new();
    let mut rest: Vec<_> = conditions.into_iter().collect();
    rest.reverse();
    while let Some(next) = rest.pop() {
        let both = next.downcast_ref::<BinaryExpr>().filter(|test| *test.op() == Operator::And);
        match (both, guarded(next)) {
            (Some(both), _) => rest.extend([both.right(), both.left()]),
            (_, Some(Guarded { positive: true, and: true, operands })) => {
                rest.extend(operands.into_iter().rev());
            }
            _ => {
                let term = expression(next);
                if !terms.contains(&term) {
                    terms.push(term);
                }
            }
        }
    }
    terms
}

/// AND or OR whose operands are evaluated one after the other: `CASE WHEN a IS NOT TRUE THEN 0 ..
/// ELSE z END > 0`, or its negation, `<= 0`.
struct Guarded<'a> {
    positive: bool,
    and: bool,
    operands: Vec<&'a Arc<dyn PhysicalExpr>>,
}

fn guarded(expr: &Arc<dyn PhysicalExpr>) -> Option<Guarded<'_>> {
    let test = expr.downcast_ref::<BinaryExpr>()?;
    let case = test.left().downcast_ref::<CaseExpr>()?;
    let positive = match test.op() {
        Operator::Gt => true,
        Operator::LtEq => false,
        _ => return None,
    };
    if integer(test.right())? != 0 {
        return None;
    }
    let and = integer(&case.when_then_expr().first()?.1)? == 0;
    let mut operands = Vec::new();
    for (when, _) in case.when_then_expr() {
        let when = when.downcast_ref::<BinaryExpr>()?;
        if !matches!(when.op(), Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
            return None;
        }
        operands.push(when.left());
    }
    operands.extend(case.else_expr());
    Some(Guarded { positive, and, operands })
}

impl std::fmt::Display for Guarded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operands: Vec<_> = self.operands.iter().map(|operand| expression(operand)).collect();
        let all = operands.join(if self.and { " AND " } else { " OR " });
        if self.positive { write!(f, "({all})") } else { write!(f, "(NOT ({all}))") }
    }
}

fn integer(expr: &Arc<dyn PhysicalExpr>) -> Option<i16> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int16(value) => *value,
        _ => None,
    }
}

fn constant(value: &ScalarValue) -> String {
    use datafusion::arrow::datatypes::DataType;
    if value.is_null() {
        return "NULL".into();
    }
    match value.data_type() {
        ty if ty.is_numeric() => value.to_string(),
        DataType::Boolean => value.to_string(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            format!("'{}'::text", value.to_string().replace('\'', "''"))
        }
        DataType::Binary => {
            let bytes = match value {
                ScalarValue::Binary(bytes) => bytes.as_deref(),
                _ => None,
            };
            match bytes.and_then(Inet::from_sortable) {
                Some(inet) => format!("'{inet}'::inet"),
                None => format!("'{value}'"),
            }
        }
        _ => format!("'{value}'"),
    }
}

/// DataFusion writes columns as `name@3`, the binder calls computed ones `name#3`.
fn without_positions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after_name = out.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
        if matches!(c, '@' | '#') && after_name && rest.peek().is_some_and(char::is_ascii_digit) {
            while rest.peek().is_some_and(char::is_ascii_digit) {
                rest.next();
            }
        } else {
            out.push(c);
        }
    }
    out
}
