//! Gives every node its locus, bottom up, and cuts the plan where rows must travel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, FetchType, Join, Limit, LogicalPlan, Projection, SkipType, Sort, TableScan,
    Union, Window, lit,
};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::codec::FunctionLookup;
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::table::{Scan, ScanSource};

use super::choice::Choice;
use super::estimate::{self, Size};
use super::known::Columns;
use super::locus::{GroupSet, Hashed, Locus, hash_class};
use super::order::{self, Tree};
use super::remote::{RemoteAggregate, RemoteScan, Target};
use super::topology::{PlaceKind, Topology};
use super::{join, movement, pruning, reduce};

/// Distributes an optimized plan. In the answer, scans of user tables are inside remote leaves
/// only. `functions` are those that workers know; an expression that uses another stays at the
/// coordinator.
pub fn distribute(
    plan: LogicalPlan,
    topology: &dyn Topology,
    functions: &dyn FunctionLookup,
) -> SqlResult<LogicalPlan> {
    let estimator = Distributor { topology, functions, exchanges: false };
    let size_of = |plan: &LogicalPlan| Ok(estimator.place(plan.clone())?.size);
    let plan = reduce::reduce(plan, &size_of, topology.exchange_cost())?;
    let distributor = Distributor { topology, functions, exchanges: true };
    distributor.place(plan)?.gather()
}

/// The target of a plan that need not be cut at all, for changes that run where their rows are:
/// the groups, or `None` when some part of the plan must run elsewhere.
pub fn single_fragment(
    plan: &LogicalPlan,
    topology: &dyn Topology,
    functions: &dyn FunctionLookup,
) -> SqlResult<Option<Hashed>> {
    let distributor = Distributor { topology, functions, exchanges: false };
    Ok(match distributor.place(plan.clone())?.locus {
        Locus::Hashed(hashed) => Some(hashed),
        Locus::Anywhere | Locus::Replicated | Locus::Coordinator => None,
    })
}

/// Whether every worker can compute the plan's rows from its own copies of reference tables.
pub fn is_replicated(
    plan: &LogicalPlan,
    topology: &dyn Topology,
    functions: &dyn FunctionLookup,
) -> SqlResult<bool> {
    let distributor = Distributor { topology, functions, exchanges: false };
    Ok(distributor.place(plan.clone())?.locus == Locus::Replicated)
}

/// A plan and where its rows are. Unless that is the coordinator, the plan has no remote leaf.
#[derive(Clone)]
pub(super) struct Placed {
    pub plan: LogicalPlan,
    pub locus: Locus,
    pub size: Size,
}

impl Placed {
    /// The same rows at the coordinator.
    pub fn gather(self) -> SqlResult<LogicalPlan> {
        self.gather_as(None)
    }

    /// The same, and why.
    pub fn gather_as(self, choice: Option<Arc<Choice>>) -> SqlResult<LogicalPlan> {
        let target = match self.locus {
            Locus::Anywhere | Locus::Coordinator => return Ok(self.plan),
            Locus::Replicated => Target::AnyWorker,
            Locus::Hashed(hashed) => target(&hashed.groups),
        };
        Ok(RemoteScan::new(self.plan, target)?.chosen(choice).into_plan())
    }
}

fn target(groups: &GroupSet) -> Target {
    Target::Groups(groups.0.iter().copied().collect())
}

struct Distributor<'a> {
    topology: &'a dyn Topology,
    functions: &'a dyn FunctionLookup,
    /// Whether rows may travel to workers.
    exchanges: bool,
}

impl Distributor<'_> {
    fn place(&self, plan: LogicalPlan) -> SqlResult<Placed> {
        if let LogicalPlan::TableScan(scan) = plan {
            return self.scan(scan);
        }
        if self.exchanges && order::is_within(&plan) {
            return self.joins(&plan);
        }
        let inputs = plan
            .inputs()
            .into_iter()
            .map(|input| self.place(input.clone()))
            .collect::<SqlResult<Vec<_>>>()?;
        self.above(&plan, inputs)
    }

    /// A tree of inner joins: in the best order, or else as it is written.
    fn joins(&self, plan: &LogicalPlan) -> SqlResult<Placed> {
        let Tree { inputs, equalities } = Tree::of(plan);
        let inputs =
            inputs.into_iter().map(|input| self.place(input)).collect::<SqlResult<Vec<_>>>()?;
        if order::is_open(&inputs, &equalities)
            && let Some(placed) = self.in_order(plan, inputs.clone(), equalities)?
        {
            return Ok(placed);
        }
        self.as_written(plan, &mut inputs.into_iter())
    }

    fn as_written(
        &self,
        plan: &LogicalPlan,
        inputs: &mut impl Iterator<Item = Placed>,
    ) -> SqlResult<Placed> {
        if !order::is_within(plan) {
            return inputs.next().ok_or_else(|| SqlError::internal("a join lacks an input"));
        }
        let below = plan
            .inputs()
            .into_iter()
            .map(|input| self.as_written(input, inputs))
            .collect::<SqlResult<Vec<_>>>()?;
        self.above(plan, below)
    }

    /// `None` where some input is joined with no other.
    fn in_order(
        &self,
        plan: &LogicalPlan,
        mut parts: Vec<Placed>,
        mut equalities: Vec<(Expr, Expr)>,
    ) -> SqlResult<Option<Placed>> {
        let wanted = plan.schema().columns();
        while parts.len() > 1 {
            let mut best: Option<(f64, usize, usize, Join)> = None;
            for (one, other) in (1..parts.len()).flat_map(|one| (0..one).map(move |at| (at, one))) {
                // A table is made of the left side.
                let (left, right) = match parts[one].size.rows <= parts[other].size.rows {
                    true => (one, other),
                    false => (other, one),
                };
                let join = order::joined(&parts[left], &parts[right], &equalities)?;
                let Some(join) = join else { continue };
                let cost = self.cost(&join, &parts[left], &parts[right]);
                if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                    best = Some((cost, left, right, join));
                }
            }
            let Some((_, left, right, join)) = best else { return Ok(None) };
            equalities.retain(|equality| !join.on.iter().any(|on| order::is_same(equality, on)));
            let mut sides = vec![parts.remove(left.max(right)), parts.remove(left.min(right))];
            if left < right {
                sides.reverse();
            }
            let joined = self.above(&LogicalPlan::Join(join), sides)?;
            let columns = order::needed(&joined.plan, &wanted, &equalities);
            parts.push(self.with_columns(joined, columns)?);
        }
        match parts.pop() {
            Some(all) if equalities.is_empty() => self.with_columns(all, wanted).map(Some),
            _ => Ok(None),
        }
    }

    /// Bytes of a join's rows, and of those that travel for it.
    fn cost(&self, join: &Join, left: &Placed, right: &Placed) -> f64 {
        let plan = LogicalPlan::Join(join.clone());
        let rows = estimate::size(&plan, &[&left.size, &right.size]).rows;
        let travel = match join::locus(join, &left.locus, &right.locus) {
            Some(_) => 0.0,
            None => movement::cost(join, left, right, self.topology),
        };
        rows * estimate::width(plan.schema()) + travel
    }

    /// The rows with these of their columns, in this order.
    fn with_columns(&self, rows: Placed, columns: Vec<Column>) -> SqlResult<Placed> {
        if rows.plan.schema().columns() == columns {
            return Ok(rows);
        }
        let columns = columns.into_iter().map(Expr::Column).collect();
        let projection = Projection::try_new(columns, Arc::new(rows.plan.clone()));
        self.above(&LogicalPlan::Projection(projection.map_err(to_sql)?), vec![rows])
    }

    /// A node over inputs that have their places.
    fn above(&self, plan: &LogicalPlan, inputs: Vec<Placed>) -> SqlResult<Placed> {
        let plan = with_inputs(plan, inputs.iter().map(|input| input.plan.clone()).collect())?;
        let sizes: Vec<&Size> = inputs.iter().map(|input| &input.size).collect();
        let size = estimate::size(&plan, &sizes);
        let mut choice = None;
        if self.can_travel(&plan)? {
            if let Some(locus) = self.stays(&plan, &inputs) {
                return Ok(Placed { plan, locus, size });
            }
            if let (true, [rows]) = (self.exchanges, inputs.as_slice())
                && let Some(moved) = movement::by_key(rows, &meeting_keys(&plan), self.topology)?
            {
                let plan = with_inputs(&plan, vec![moved.plan.clone()])?;
                if let Some(locus) = self.stays(&plan, &[moved]) {
                    return Ok(Placed { plan, locus, size });
                }
            }
            if let Some(plan) = split(&plan, &inputs)? {
                return Ok(Placed { plan, locus: Locus::Coordinator, size });
            }
            if let (true, LogicalPlan::Join(node), [left, right]) =
                (self.exchanges, &plan, inputs.as_slice())
            {
                let meeting = movement::meeting(node, left, right, self.topology)?;
                if let Some((left, right, locus)) = meeting.on_workers {
                    let plan = with_inputs(&plan, vec![left.plan, right.plan])?;
                    return Ok(Placed { plan, locus, size });
                }
                choice = Some(meeting.choice);
            }
        } else if inputs.is_empty() {
            return Ok(Placed { plan, locus: Locus::Coordinator, size });
        }
        let gathered = inputs
            .into_iter()
            .map(|input| input.gather_as(choice.clone()))
            .collect::<SqlResult<_>>()?;
        let plan = with_inputs(&plan, gathered)?;
        Ok(Placed { plan, locus: Locus::Coordinator, size })
    }

    fn scan(&self, scan: TableScan) -> SqlResult<Placed> {
        let mut size = Size::new(estimate::UNKNOWN_ROWS);
        let locus = match scan.source.downcast_ref::<ScanSource>().map(|source| &source.scan) {
            Some(Scan::Table(info)) => {
                if let Some(rows) = self.topology.rows(info.shape.table) {
                    size = Size::new(rows as f64);
                    if let Some(statistics) = self.topology.statistics(info.shape.table) {
                        size.columns = Columns::of_scan(&scan, &info.shape, &statistics, size.rows);
                    }
                }
                let place = self.topology.place(info.shape.table).ok_or_else(|| {
                    SqlError::new(
                        SqlState::UNDEFINED_TABLE,
                        format!("relation \"{}\" does not exist", info.shape.name),
                    )
                })?;
                match &place.kind {
                    PlaceKind::Reference => Locus::Replicated,
                    PlaceKind::Single => Locus::Hashed(Hashed {
                        colocation: place.colocation,
                        groups: GroupSet(place.groups.iter().map(|(_, group)| *group).collect()),
                        columns: BTreeSet::new(),
                        key: None,
                    }),
                    PlaceKind::Hash { column, ty } => {
                        let name = info.shape.column(*column).map(|column| column.name.as_str());
                        let is_key = |expr: &Expr| match expr {
                            Expr::Column(column) => Some(column.name.as_str()) == name,
                            _ => false,
                        };
                        let output = scan
                            .projected_schema
                            .fields()
                            .iter()
                            .position(|field| Some(field.name().as_str()) == name);
                        let groups = pruning::groups(&place, ty, &scan.filters, &is_key);
                        // With statistics, the filter itself says how many rows are left.
                        if size.columns.is_empty() {
                            let part = groups.0.len() as f64 / place.groups.len().max(1) as f64;
                            size.rows = (size.rows * part).max(1.0);
                        }
                        Locus::Hashed(Hashed {
                            colocation: place.colocation,
                            groups,
                            columns: output.into_iter().collect(),
                            key: Some(hash_class(ty)),
                        })
                    }
                }
            }
            Some(Scan::System(_) | Scan::Exchanged(_) | Scan::Returned(_)) | None => {
                Locus::Coordinator
            }
            Some(Scan::Input) => Locus::Anywhere,
        };
        let plan = LogicalPlan::TableScan(scan);
        match locus {
            // A filter may call what only the coordinator knows: it is repeated above the scan.
            Locus::Hashed(_) | Locus::Replicated if !self.can_travel(&plan)? => {
                let LogicalPlan::TableScan(scan) = plan else {
                    return Err(SqlError::internal("a scan turned into something else"));
                };
                self.scan(TableScan { filters: Vec::new(), ..scan })
            }
            locus => Ok(Placed { plan, locus, size }),
        }
    }

    /// Whether workers know everything that the node itself (not its inputs) computes with.
    fn can_travel(&self, plan: &LogicalPlan) -> SqlResult<bool> {
        let mut known = true;
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                known &= match expr {
                    Expr::ScalarFunction(call) => self.functions.scalar(call.name()).is_some(),
                    Expr::AggregateFunction(call) => {
                        self.functions.aggregate(call.func.name()).is_some()
                    }
                    Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::SetComparison(_) => false,
                    _ => true,
                };
                Ok(if known { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        })
        .map_err(to_sql)?;
        Ok(known)
    }

    /// The node's locus if it gives the right rows where its inputs are.
    fn stays(&self, plan: &LogicalPlan, inputs: &[Placed]) -> Option<Locus> {
        if inputs.iter().any(|input| input.locus == Locus::Coordinator) {
            return None;
        }
        match plan {
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Some(Locus::Anywhere),
            LogicalPlan::Join(node) => match inputs {
                [left, right] => join::locus(node, &left.locus, &right.locus),
                _ => None,
            },
            LogicalPlan::Union(node) => union_locus(node, inputs),
            LogicalPlan::RecursiveQuery(_) | LogicalPlan::Extension(_) => None,
            _ => match inputs {
                [input] if input.locus.is_whole() => {
                    Some(input.locus.clone().map_columns(|column| carried(plan, column)))
                }
                [Placed { locus: Locus::Hashed(hashed), .. }] => {
                    row_local(plan, hashed).then(|| {
                        Locus::Hashed(hashed.clone()).map_columns(|column| carried(plan, column))
                    })
                }
                _ => None,
            },
        }
    }
}

/// Whether a node over rows that are spread gives, shard group by shard group, the rows it would
/// give over all of them.
fn row_local(plan: &LogicalPlan, input: &Hashed) -> bool {
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Unnest(_) => true,
        LogicalPlan::Aggregate(Aggregate { input: rows, group_expr, .. }) => {
            contains_distribution_column(rows, group_expr, input)
        }
        LogicalPlan::Window(Window { input: rows, window_expr, .. }) => {
            window_expr.iter().all(|expr| match unaliased(expr) {
                Expr::WindowFunction(call) => {
                    let WindowFunction { params, .. } = call.as_ref();
                    contains_distribution_column(rows, &params.partition_by, input)
                }
                _ => false,
            })
        }
        _ => false,
    }
}

fn contains_distribution_column(rows: &LogicalPlan, keys: &[Expr], input: &Hashed) -> bool {
    keys.iter().any(|key| match unaliased(key) {
        Expr::Column(column) => rows
            .schema()
            .maybe_index_of_column(column)
            .is_some_and(|index| input.columns.contains(&index)),
        _ => false,
    })
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// Output positions of `plan` that carry input column `index` of its one input unchanged.
fn carried(plan: &LogicalPlan, index: usize) -> Vec<usize> {
    let is_input = |rows: &LogicalPlan, expr: &Expr| match unaliased(expr) {
        Expr::Column(column) => rows.schema().maybe_index_of_column(column) == Some(index),
        _ => false,
    };
    let positions = |rows: &LogicalPlan, exprs: &[Expr]| {
        exprs
            .iter()
            .enumerate()
            .filter(|(_, expr)| is_input(rows, expr))
            .map(|(position, _)| position)
            .collect()
    };
    match plan {
        LogicalPlan::Projection(node) => positions(&node.input, &node.expr),
        LogicalPlan::Aggregate(node) => positions(&node.input, &node.group_expr),
        LogicalPlan::Unnest(node) => {
            let (qualifier, field) = node.input.schema().qualified_field(index);
            let unchanged = !node.list_type_columns.iter().any(|(at, _)| *at == index)
                && !node.struct_type_columns.contains(&index);
            node.schema
                .index_of_column_by_name(qualifier, field.name())
                .filter(|_| unchanged)
                .into_iter()
                .collect()
        }
        // These give their input's columns first, in order.
        _ => vec![index],
    }
}

/// A union stays where its inputs are if they are all the same rows everywhere, or all spread
/// over the same co-location.
fn union_locus(node: &Union, inputs: &[Placed]) -> Option<Locus> {
    let (first, rest) = inputs.split_first()?;
    match &first.locus {
        Locus::Hashed(hashed) => {
            let mut all = hashed.clone();
            for input in rest {
                let Locus::Hashed(other) = &input.locus else { return None };
                if other.colocation != all.colocation {
                    return None;
                }
                if other.key != all.key {
                    all.key = None;
                    all.columns.clear();
                }
                // A group outside an input's own set holds none of its rows: its predicates
                // are still in the plan.
                all.groups = all.groups.union(&other.groups);
                all.columns = all.columns.intersection(&other.columns).copied().collect();
            }
            debug_assert!(all.columns.iter().all(|c| *c < node.schema.fields().len()));
            Some(Locus::Hashed(all))
        }
        locus => rest.iter().all(|input| input.locus == *locus).then(|| locus.clone()),
    }
}

/// Columns each of which would do to bring rows together for an operator that cannot do part of
/// its work before: windows, and aggregates whose states are all their values.
fn meeting_keys(plan: &LogicalPlan) -> Vec<&Expr> {
    match plan {
        LogicalPlan::Aggregate(node) if node.aggr_expr.iter().any(collects) => {
            node.group_expr.iter().map(unaliased).collect()
        }
        LogicalPlan::Window(node) => {
            let partitions: Vec<&[Expr]> = node
                .window_expr
                .iter()
                .map(|expr| match unaliased(expr) {
                    Expr::WindowFunction(call) => call.params.partition_by.as_slice(),
                    _ => &[],
                })
                .collect();
            let Some((first, rest)) = partitions.split_first() else { return Vec::new() };
            let shared = |key: &&Expr| rest.iter().all(|keys| keys.contains(key));
            first.iter().filter(shared).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether an aggregate keeps every value, or every distinct one, until the end.
fn collects(expr: &Expr) -> bool {
    match unaliased(expr) {
        Expr::AggregateFunction(call) => {
            let name = call.func.name();
            call.params.distinct
                || !call.params.order_by.is_empty()
                || ["array_agg", "string_agg", "json", "percentile", "mode"]
                    .iter()
                    .any(|start| name.starts_with(start))
        }
        _ => false,
    }
}

/// Nodes that do part of their work where the rows are and the rest at the coordinator.
fn split(plan: &LogicalPlan, inputs: &[Placed]) -> SqlResult<Option<LogicalPlan>> {
    let [Placed { locus: Locus::Hashed(hashed), plan: rows, .. }] = inputs else {
        return Ok(None);
    };
    let target = target(&hashed.groups);
    let above = match plan {
        LogicalPlan::Aggregate(node) => {
            let column = |at: &usize| rows.schema().field(*at).name().clone();
            let placed_by = hashed.columns.iter().map(column).collect();
            let grouped = !node.group_expr.is_empty();
            let choice = grouped.then(|| Arc::new(Choice::TwoPhases { placed_by }));
            RemoteAggregate::new(node.clone(), target)?.chosen(choice).into_plan()
        }
        LogicalPlan::Sort(Sort { fetch: Some(_), .. }) => {
            with_inputs(plan, vec![RemoteScan::new(plan.clone(), target)?.into_plan()])?
        }
        LogicalPlan::Limit(node) => match limit_before_gathering(node, rows)? {
            Some(first) => with_inputs(plan, vec![RemoteScan::new(first, target)?.into_plan()])?,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(above))
}

/// The first `skip + fetch` rows of each shard group are enough for a limit above them.
fn limit_before_gathering(node: &Limit, rows: &LogicalPlan) -> SqlResult<Option<LogicalPlan>> {
    let (SkipType::Literal(skip), FetchType::Literal(Some(fetch))) =
        (node.get_skip_type().map_err(to_sql)?, node.get_fetch_type().map_err(to_sql)?)
    else {
        return Ok(None);
    };
    let first = i64::try_from(skip.saturating_add(fetch)).unwrap_or(i64::MAX);
    Ok(Some(LogicalPlan::Limit(Limit {
        skip: None,
        fetch: Some(Box::new(lit(first))),
        input: Arc::new(rows.clone()),
    })))
}

pub(super) fn with_inputs(plan: &LogicalPlan, inputs: Vec<LogicalPlan>) -> SqlResult<LogicalPlan> {
    if inputs.is_empty() {
        return Ok(plan.clone());
    }
    let rebuilt: EngineResult<LogicalPlan> = plan.with_new_exprs(plan.expressions(), inputs);
    rebuilt.map_err(to_sql)
}

/// Every table that a plan scans, with its current shape's version.
pub fn scanned_tables(plan: &LogicalPlan) -> SqlResult<BTreeMap<satsuma_common::TableId, u64>> {
    let mut tables = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<ScanSource>()
            && let Scan::Table(info) = &source.scan
        {
            tables.insert(info.shape.table, info.shape.version);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    Ok(tables)
}
