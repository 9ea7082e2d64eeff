//! From a physical plan to a tree of nodes.

use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::expression::{conjunction, conjuncts};
use super::measure::{Measure, Plan, seen};
use super::operators::{self, is_limit, is_plumbing, kilobytes};
use super::origin::{qualified, qualified_column};
use super::{Child, Node, Style};

/// Describes the operators that are not the engine's.
pub trait Operators {
    fn describe(&self, plan: &Plan, style: Style) -> Option<Operator>;

    /// The relation that an operator reads, as its columns are qualified.
    fn relation(&self, plan: &Plan) -> Option<String>;
}

/// An operator without what is below it.
#[derive(Debug, Default)]
pub struct Operator {
    pub title: String,
    pub properties: Vec<String>,
    /// Conditions that it looks at itself: a filter above it does not show them again.
    pub answered: Vec<String>,
    pub inputs: Inputs,
    /// Below the inputs.
    pub more: Vec<Child>,
    /// The second phase of an aggregate whose first is below it.
    pub is_finish: bool,
    /// Says itself what it has written to disk.
    pub tells_disk: bool,
}

/// How the inputs of an operator stand below it.
#[derive(Debug, Default)]
pub enum Inputs {
    #[default]
    InOrder,
    /// The first is hashed: it comes second, under a node of its own.
    Hashed,
}

/// The plan as a tree.
pub fn tree(plan: &Plan, style: Style, own: &dyn Operators) -> Node {
    Printer { style, own }.node(plan, Above::default())
}

struct Printer<'a> {
    style: Style,
    own: &'a dyn Operators,
}

/// What nodes that are not shown do with a node's rows, from the top down.
#[derive(Clone, Copy, Default)]
struct Above<'a> {
    filter: Option<(&'a FilterExec, Option<&'a Measure>)>,
    projection: Option<&'a ProjectionExec>,
    /// The rows end early.
    limit: Limit,
    /// The second phase of an aggregate comes next.
    is_finished: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Limit {
    #[default]
    None,
    /// By a node that is not shown.
    Hidden,
    Shown,
}

impl Above<'_> {
    fn limited_by(&mut self, plan: &Plan) {
        if plan.fetch().is_some() && self.limit == Limit::None && !is_limit(plan) {
            self.limit = Limit::Hidden;
        }
    }
}

impl Printer<'_> {
    fn node(&self, plan: &Plan, mut above: Above<'_>) -> Node {
        let (plan, measure) = seen(plan);
        let measure = measure.map(AsRef::as_ref);
        above.limited_by(plan);
        if let ([child], Some(filter), None) =
            (&plan.children()[..], plan.downcast_ref::<FilterExec>(), above.filter)
        {
            return self.node(child, Above { filter: Some((filter, measure)), ..above });
        }
        if let ([child], true) = (&plan.children()[..], is_plumbing(plan.name())) {
            let projection = above.projection.or(plan.downcast_ref());
            return self.node(child, Above { projection, ..above });
        }
        let shown = self.shown(plan, measure, above);
        match above.limit {
            Limit::Hidden => {
                let last = above.filter.map_or(measure, |(_, measure)| measure);
                let mut limit = Node::new(format!("Limit{}", self.actual(last)));
                limit.properties.extend(output_of(&shown));
                limit.with([shown])
            }
            Limit::None | Limit::Shown => shown,
        }
    }

    fn shown(&self, plan: &Plan, measure: Option<&Measure>, above: Above<'_>) -> Node {
        let own = self.own.describe(plan, self.style);
        let operator = own.unwrap_or_else(|| operators::describe(plan, measure, self.own));
        let Operator { title, properties, answered, inputs, more, is_finish, tells_disk } =
            operator;
        let title = match above.is_finished {
            true => format!("Partial {title}"),
            false => title,
        };
        let last = above.filter.map_or(measure, |(_, measure)| measure);
        let mut node = Node::new(title + &self.actual(last));
        if self.style.verbose {
            node.properties.extend(output(plan, above, self.own));
        }
        node.properties.extend(properties);
        if let Some((filter, kept)) = above.filter {
            let mut conditions = conjuncts([filter.predicate()]);
            conditions.retain(|condition| !answered.contains(condition));
            let by = if conditions.is_empty() { "Dynamic Filter" } else { "Filter" };
            if !conditions.is_empty() {
                node.properties.push(format!("Filter: {}", conjunction(&conditions)));
            }
            if let (Some(all), Some(kept)) = (measure, kept)
                && let Some(removed @ 1..) = all.rows().checked_sub(kept.rows())
            {
                node.properties.push(format!("Rows Removed by {by}: {removed}"));
            }
        }
        let already = tells_disk || node.properties.iter().any(|line| line.contains("Disk Usage"));
        if measure.is_some()
            && !already
            && let Some(bytes @ 1..) = plan.metrics().and_then(|metrics| metrics.spilled_bytes())
        {
            node.properties.push(format!("Disk Usage: {}", kilobytes(bytes)));
        }
        let limit = if is_limit(plan) || passes_limits(plan) { Limit::Shown } else { Limit::None };
        let below = Above { limit, is_finished: is_finish, ..Above::default() };
        match (inputs, &plan.children()[..]) {
            (Inputs::Hashed, [hashed, probing]) => {
                let hash = self.hash(plan, hashed, measure.is_some());
                node = node.with([self.node(probing, below), hash]);
            }
            (_, children) => {
                node = node.with(children.iter().map(|child| self.node(child, below)));
            }
        }
        node.children.extend(more);
        node
    }

    fn hash(&self, join: &Plan, hashed: &Plan, analyze: bool) -> Node {
        let below = self.node(hashed, Above::default());
        let actual = below.title.find(" (actual ").map_or("", |at| &below.title[at..]);
        let mut hash = Node::new(format!("Hash{actual}"));
        hash.properties.extend(output_of(&below));
        if analyze && let Some(metrics) = join.metrics() {
            let memory = kilobytes(operators::sum(&metrics, "build_mem_used"));
            hash.properties.push(format!("Batches: 1  Memory Usage: {memory}"));
        }
        hash.with([below])
    }

    fn actual(&self, measure: Option<&Measure>) -> String {
        match measure {
            Some(measure) if self.style.analyze => measure.actual(self.style.timing),
            _ => String::new(),
        }
    }
}

/// Whether a limit that stands above is this operator's, too.
fn passes_limits(plan: &Plan) -> bool {
    plan.name() == "SortPreservingMergeExec" && plan.fetch().is_some()
}

/// The columns that come out, if there are any.
fn output(plan: &Plan, above: Above<'_>, own: &dyn Operators) -> Option<String> {
    let columns: Vec<_> = match above.projection {
        Some(projection) => {
            let columns = projection.expr().iter();
            columns.map(|column| qualified(&column.expr, projection.input(), own)).collect()
        }
        None => {
            let schema = plan.schema();
            let columns = schema.fields().iter().enumerate();
            columns.map(|(at, field)| qualified_column(field.name(), at, plan, own)).collect()
        }
    };
    (!columns.is_empty()).then(|| format!("{OUTPUT}{}", columns.join(", ")))
}

const OUTPUT: &str = "Output: ";

/// What comes out of a node is what comes out of this one below it.
fn output_of(below: &Node) -> Option<String> {
    below.properties.first().filter(|property| property.starts_with(OUTPUT)).cloned()
}
