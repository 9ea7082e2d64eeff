//! Joins whose right side depends on the left side's rows: LATERAL, correlated subqueries.
//!
//! A correlated plan holds `OuterReferenceColumn`s. Column names are unique in a statement, so
//! the references that a join resolves are those its left side has as columns; others are left
//! for a join further out. Three ways, the cheapest that fits:
//!
//! 1. *graft*: the right side computes something from one row (a table function): put the left
//!    side where that row was;
//! 2. *pull up*: the right side refers outwards in filters only: move these into the join's
//!    condition;
//! 3. *push down* the set of distinct outer values as a relation of its own into the right side,
//!    until no reference is left, and join on these values. This works for every operator, after
//!    Neumann and Kemper, "Unnesting Arbitrary Queries" (BTW 2015).

use std::sync::Arc;

use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, JoinType, NullEquality};
use datafusion::logical_expr::expr::{GroupingSet, WindowFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, Limit, LogicalPlan, Projection, RecursiveQuery, Sort,
    TableScan, Window,
};
use datafusion::prelude::{lit, when};
use satsuma_common::{SqlError, SqlResult};

use super::binder::Binder;
use super::clause::Clause;
use super::plan::{self, df};

/// The outer columns that a plan refers to, each once.
pub fn outer_columns(plan: &LogicalPlan) -> SqlResult<Vec<Column>> {
    let mut found: Vec<Column> = Vec::new();
    plan::visit_expressions(plan, &mut |expr| {
        if let Expr::OuterReferenceColumn(_, column) = expr
            && !found.contains(column)
        {
            found.push(column.clone());
        }
    })?;
    Ok(found)
}

fn has_outer(expr: &Expr) -> bool {
    expr.contains_outer()
}

/// Outer references to `columns` as plain columns of the join's left side.
fn resolve(expr: Expr, columns: &[Column]) -> SqlResult<Expr> {
    plan::replace(expr, |node| {
        Ok(match node {
            Expr::OuterReferenceColumn(_, column) if columns.contains(column) => {
                Some(Expr::Column(column.clone()))
            }
            _ => None,
        })
    })
}

/// The outer values as a relation: what to read, and which column stands for which reference.
struct Domain {
    plan: LogicalPlan,
    columns: Vec<(Column, Column)>,
    /// Inside the recursive terms of queries that were pushed down: what is read there in place
    /// of their work tables.
    work_tables: Vec<WorkTable>,
}

/// The rows of a recursive query's last step, which have the outer values beside them.
#[derive(Clone)]
struct WorkTable {
    /// What the query's own plan scans.
    replaces: String,
    rows: LogicalPlan,
    map: Vec<(Column, Column)>,
}

/// A plan without references to the domain, which yields the domain's columns beside its own.
struct Pushed {
    plan: LogicalPlan,
    /// Reference to column.
    map: Vec<(Column, Column)>,
}

impl Pushed {
    fn columns(&self) -> Vec<Expr> {
        self.map.iter().map(|(_, column)| Expr::Column(column.clone())).collect()
    }

    fn rewrite(&self, expr: Expr) -> SqlResult<Expr> {
        plan::replace(expr, |node| {
            Ok(match node {
                Expr::OuterReferenceColumn(_, column) => self
                    .map
                    .iter()
                    .find(|(reference, _)| reference == column)
                    .map(|(_, own)| Expr::Column(own.clone())),
                _ => None,
            })
        })
    }

    fn rewrite_all(&self, exprs: Vec<Expr>) -> SqlResult<Vec<Expr>> {
        exprs.into_iter().map(|expr| self.rewrite(expr)).collect()
    }
}

impl Binder<'_> {
    /// Joins `left` with `right`, which may refer to left's columns. Right columns that `on` uses
    /// are yielded by `right`.
    pub fn dependent_join(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        join_type: JoinType,
        on: Option<Expr>,
    ) -> SqlResult<LogicalPlan> {
        let mut references = outer_columns(&right)?;
        references.retain(|column| left.schema().has_column(column));
        // DataFusion's semi, anti and mark joins always have a condition.
        let existence =
            matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
        let on = if existence { on.or_else(|| Some(lit(true))) } else { on };
        if references.is_empty() {
            return plan::join(left, right, join_type, on);
        }
        let is_inner = join_type == JoinType::Inner
            || join_type == JoinType::Left && on.is_none() && is_one_row(&right);
        if is_inner && ends_in_one_row(&right) {
            let columns = left.schema().columns();
            let grafted = graft(&right, left, &columns, &references)?;
            return match on {
                Some(on) => plan::filter(grafted, on),
                None => Ok(grafted),
            };
        }
        if let Some((right, conditions)) = pull_up(right.clone())? {
            let mut all = conditions
                .into_iter()
                .map(|condition| resolve(condition, &references))
                .collect::<SqlResult<Vec<_>>>()?;
            all.extend(on.clone());
            let rest = outer_columns(&right)?;
            if !rest.iter().any(|column| references.contains(column)) {
                return plan::join(left, right, join_type, conjunction(all));
            }
        }
        self.join_by_domain(left, right, join_type, on, references)
    }

    fn join_by_domain(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        join_type: JoinType,
        on: Option<Expr>,
        references: Vec<Column>,
    ) -> SqlResult<LogicalPlan> {
        if plan::is_volatile(&left)? {
            return Err(SqlError::unsupported(
                "a correlated subquery over volatile functions is not supported",
            ));
        }
        for column in &references {
            let field = df(left.schema().field_from_column(column))?;
            if plan::aggregates_in_any_order(&left, field.data_type())? {
                return Err(SqlError::unsupported(
                    "a correlated subquery over a value that depends on the order of rows is not \
                     supported",
                )
                .hint(
                    "Give the aggregate below it an ORDER BY, or store its rows in a temporary \
                     table first.",
                ));
            }
        }
        let columns: Vec<(Column, Column)> =
            references.into_iter().map(|column| (column, self.fresh("outer"))).collect();
        let exprs = columns
            .iter()
            .map(|(reference, own)| Expr::Column(reference.clone()).alias(&own.name))
            .collect();
        let domain = Domain {
            plan: plan::distinct(plan::project(left.clone(), exprs)?),
            columns,
            work_tables: Vec::new(),
        };
        let pushed = self.push_down(right, &domain)?;
        let keys = pushed
            .map
            .iter()
            .map(|(reference, own)| (Expr::Column(reference.clone()), Expr::Column(own.clone())))
            .collect();
        plan::join_keys(left, pushed.plan, join_type, keys, on, NullEquality::NullEqualsNull)
    }

    /// A reading of the domain with column names of its own.
    fn instance(&self, domain: &Domain) -> SqlResult<Pushed> {
        let map: Vec<(Column, Column)> = domain
            .columns
            .iter()
            .map(|(reference, _)| (reference.clone(), self.fresh("outer")))
            .collect();
        let exprs = domain
            .columns
            .iter()
            .zip(&map)
            .map(|((_, own), (_, fresh))| Expr::Column(own.clone()).alias(&fresh.name))
            .collect();
        Ok(Pushed { plan: plan::project(domain.plan.clone(), exprs)?, map })
    }

    fn depends(&self, plan: &LogicalPlan, domain: &Domain) -> SqlResult<bool> {
        let outer = outer_columns(plan)?;
        if outer.iter().any(|column| domain.columns.iter().any(|(r, _)| r == column)) {
            return Ok(true);
        }
        let mut reads = false;
        df(plan.apply(|node| {
            reads |= work_table(node, domain).is_some();
            Ok(if reads { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        }))?;
        Ok(reads)
    }

    #[recursive::recursive]
    fn push_down(&self, plan: LogicalPlan, domain: &Domain) -> SqlResult<Pushed> {
        if !self.depends(&plan, domain)? {
            let own = self.instance(domain)?;
            let joined = match &plan {
                LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => own.plan,
                _ => plan::join(own.plan, plan, JoinType::Inner, None)?,
            };
            return Ok(Pushed { plan: joined, map: own.map });
        }
        if let Some(table) = work_table(&plan, domain) {
            return Ok(Pushed { plan: table.rows.clone(), map: table.map.clone() });
        }
        match plan {
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let input = self.push_down(Arc::unwrap_or_clone(input), domain)?;
                let mut exprs = Vec::with_capacity(expr.len());
                for expr in expr {
                    let name = df_name(&expr);
                    exprs.push(keep_name(input.rewrite(expr)?, name));
                }
                exprs.extend(input.columns());
                Ok(Pushed { plan: plan::project(input.plan, exprs)?, map: input.map })
            }
            LogicalPlan::Filter(node) => {
                let input = self.push_down(Arc::unwrap_or_clone(node.input), domain)?;
                let predicate = input.rewrite(node.predicate)?;
                Ok(Pushed { plan: plan::filter(input.plan, predicate)?, map: input.map })
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.push_down(Arc::unwrap_or_clone(input), domain)?;
                Ok(Pushed { plan: plan::distinct(input.plan), map: input.map })
            }
            // The order of a subquery's rows means something under a LIMIT only.
            LogicalPlan::Sort(Sort { input, fetch: None, .. }) => {
                self.push_down(Arc::unwrap_or_clone(input), domain)
            }
            LogicalPlan::Limit(node) => self.push_limit(node, domain),
            LogicalPlan::Aggregate(node) => self.push_aggregate(node, domain),
            LogicalPlan::Window(Window { input, window_expr, .. }) => {
                let input = self.push_down(Arc::unwrap_or_clone(input), domain)?;
                let mut renamed = Vec::new();
                let mut windows = Vec::new();
                for expr in window_expr {
                    let before = plan::output_column(&expr);
                    let expr = partition_by_domain(input.rewrite(expr)?, &input);
                    renamed.push(Expr::Column(plan::output_column(&expr)).alias(before.name));
                    windows.push(expr);
                }
                let columns: Vec<Expr> =
                    input.plan.schema().columns().into_iter().map(Expr::Column).collect();
                let windowed = plan::window(input.plan, windows)?;
                let exprs = columns.into_iter().chain(renamed).collect();
                Ok(Pushed { plan: plan::project(windowed, exprs)?, map: input.map })
            }
            LogicalPlan::Join(node) => self.push_join(node, domain),
            LogicalPlan::Union(node) => {
                let mut inputs = Vec::with_capacity(node.inputs.len());
                let mut map = Vec::new();
                let names: Vec<Column> = node.schema.columns();
                for input in node.inputs {
                    let columns = input.schema().columns();
                    let pushed = self.push_down(Arc::unwrap_or_clone(input), domain)?;
                    if map.is_empty() {
                        map = pushed
                            .map
                            .iter()
                            .map(|(reference, _)| (reference.clone(), self.fresh("outer")))
                            .collect();
                    }
                    let own = columns
                        .into_iter()
                        .zip(&names)
                        .map(|(column, name)| Expr::Column(column).alias(&name.name));
                    let outer =
                        pushed.map.iter().zip(&map).map(|((_, own), (_, name))| {
                            Expr::Column(own.clone()).alias(&name.name)
                        });
                    let exprs = own.chain(outer).collect();
                    inputs.push(Arc::new(plan::project(pushed.plan, exprs)?));
                }
                let union = df(datafusion::logical_expr::Union::try_new_with_loose_types(inputs))?;
                Ok(Pushed { plan: LogicalPlan::Union(union), map })
            }
            LogicalPlan::Unnest(node) => {
                let input = self.push_down(Arc::unwrap_or_clone(node.input), domain)?;
                Ok(Pushed { plan: plan::unnest(input.plan, node.exec_columns)?, map: input.map })
            }
            LogicalPlan::RecursiveQuery(node) => self.push_recursive(node, domain),
            other => Err(SqlError::unsupported(format!(
                "a correlated subquery with {} is not supported",
                kind(&other)
            ))),
        }
    }

    /// Recursion for all outer values at once: the rows of each step tell theirs, and meet only
    /// rows of the same.
    fn push_recursive(&self, node: RecursiveQuery, domain: &Domain) -> SqlResult<Pushed> {
        let RecursiveQuery { name, static_term, recursive_term, is_distinct, schema } = node;
        let own = static_term.schema().columns();
        let first = self.push_down(Arc::unwrap_or_clone(static_term), domain)?;
        let map: Vec<(Column, Column)> = first
            .map
            .iter()
            .map(|(reference, _)| (reference.clone(), self.fresh("outer")))
            .collect();
        let outer = |pushed: &Pushed| -> Vec<Expr> {
            let named = pushed.map.iter().zip(&map);
            named.map(|((_, from), (_, to))| rename(from, to)).collect()
        };
        let exprs = own.iter().cloned().map(Expr::Column).chain(outer(&first)).collect();
        let first = plan::project(first.plan, exprs)?;

        let fields: Vec<_> = first
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let table = format!("{name}_{}", self.number());
        let fields = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
        let source = provider_as_source(Arc::new(CteWorkTable::new(&table, fields)));
        let scan = plan::scan(&table, source)?;
        let read: Vec<Column> = scan.schema().columns();
        // The step reads the rows under the names that the old work table had.
        let before = schema.fields().iter().map(|field| Column::new(Some(&name), field.name()));
        let (values, outers) = read.split_at(own.len());
        let mut exprs: Vec<Expr> = before.zip(values).map(|(old, new)| rename(new, &old)).collect();
        let mut seen = Vec::new();
        for ((reference, _), column) in map.iter().zip(outers) {
            let fresh = self.fresh("outer");
            exprs.push(rename(column, &fresh));
            seen.push((reference.clone(), fresh));
        }
        let rows = plan::project(scan, exprs)?;
        let mut work_tables = domain.work_tables.clone();
        work_tables.push(WorkTable { replaces: name, rows, map: seen });
        let within =
            Domain { plan: domain.plan.clone(), columns: domain.columns.clone(), work_tables };
        let columns = recursive_term.schema().columns();
        let step = self.push_down(Arc::unwrap_or_clone(recursive_term), &within)?;
        let exprs = columns.into_iter().map(Expr::Column).chain(outer(&step)).collect();
        let step = plan::project(step.plan, exprs)?;
        let query =
            df(RecursiveQuery::try_new(table, Arc::new(first), Arc::new(step), is_distinct))?;
        Ok(Pushed { plan: LogicalPlan::RecursiveQuery(query), map })
    }

    /// The first rows per outer value.
    fn push_limit(&self, node: Limit, domain: &Domain) -> SqlResult<Pushed> {
        let skip = self.known_count(node.skip.map(|skip| *skip), Clause::Offset)?.unwrap_or(0);
        let fetch = self.known_count(node.fetch.map(|fetch| *fetch), Clause::Limit)?;
        let (input, order) = match Arc::unwrap_or_clone(node.input) {
            LogicalPlan::Sort(sort) => (sort.input, sort.expr),
            other => (Arc::new(other), Vec::new()),
        };
        let input = self.push_down(Arc::unwrap_or_clone(input), domain)?;
        let order = order
            .into_iter()
            .map(|key| Ok(key.with_expr(input.rewrite(key.expr.clone())?)))
            .collect::<SqlResult<Vec<_>>>()?;
        let number = plan::row_number(input.columns(), order)?;
        let upto = fetch.map(|fetch| skip.saturating_add(fetch));
        Ok(Pushed { plan: plan::keep_rows(input.plan, number, skip, upto)?, map: input.map })
    }

    fn push_aggregate(&self, node: Aggregate, domain: &Domain) -> SqlResult<Pushed> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = node;
        if let [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] = group_expr.as_slice() {
            let sets = sets.clone();
            return self.push_grouping_sets(
                Arc::unwrap_or_clone(input),
                sets,
                aggr_expr,
                &schema.columns(),
                domain,
            );
        }
        let scalar = group_expr.is_empty();
        let input = self.push_down(Arc::unwrap_or_clone(input), domain)?;
        // Names of aggregates change with their arguments: give the old ones back.
        let before: Vec<Column> = schema.columns();
        let mut group = input.rewrite_all(group_expr)?;
        let groups = group.len();
        group.extend(input.columns());
        let aggregates = input.rewrite_all(aggr_expr)?;
        let outer = input.columns();
        let grouped = plan::aggregate(input.plan, group, aggregates.clone())?;
        let after: Vec<Column> = grouped.schema().columns();
        let mut exprs = Vec::new();
        for (index, name) in before.iter().enumerate() {
            let position = if index < groups { index } else { index + outer.len() };
            exprs.push(rename(&after[position], name));
        }
        if !scalar {
            exprs.extend(outer);
            return Ok(Pushed { plan: plan::project(grouped, exprs)?, map: input.map });
        }
        self.with_missing(grouped, exprs, outer, &before, &aggregates, domain)
    }

    /// An aggregate without GROUP BY gives a row for outer values without rows, too. `named` are
    /// the aggregation's columns under the names of `columns`, the last of which are aggregates.
    fn with_missing(
        &self,
        grouped: LogicalPlan,
        mut named: Vec<Expr>,
        outer: Vec<Expr>,
        columns: &[Column],
        aggregates: &[Expr],
        domain: &Domain,
    ) -> SqlResult<Pushed> {
        named.extend(outer.iter().cloned());
        let marker = self.fresh("found");
        named.push(lit(true).alias(&marker.name));
        let grouped = plan::project(grouped, named)?;
        let all = self.instance(domain)?;
        let keys = all.columns().into_iter().zip(outer).collect();
        let joined = plan::join_keys(
            all.plan.clone(),
            grouped,
            JoinType::Left,
            keys,
            None,
            NullEquality::NullEqualsNull,
        )?;
        let groups = columns.len().saturating_sub(aggregates.len());
        let mut exprs: Vec<Expr> =
            columns[..groups].iter().map(|column| Expr::Column(column.clone())).collect();
        for (column, aggregate) in columns[groups..].iter().zip(aggregates) {
            let value = value_or_default(column, aggregate, &marker, &joined)?;
            exprs.push(value.alias_qualified(column.relation.clone(), &column.name));
        }
        exprs.extend(all.columns());
        Ok(Pushed { plan: plan::project(joined, exprs)?, map: all.map })
    }

    /// GROUPING SETS, each with the outer values beside its own keys. The empty set gives a row
    /// for outer values without rows.
    fn push_grouping_sets(
        &self,
        input: LogicalPlan,
        sets: Vec<Vec<Expr>>,
        aggr_expr: Vec<Expr>,
        before: &[Column],
        domain: &Domain,
    ) -> SqlResult<Pushed> {
        let input = self.push_down(input, domain)?;
        let sets =
            sets.into_iter().map(|set| input.rewrite_all(set)).collect::<SqlResult<Vec<_>>>()?;
        let empty = sets.iter().filter(|set| set.is_empty()).count();
        let aggregates = input.rewrite_all(aggr_expr)?;
        let tells_sets = aggregates.iter().any(|aggregate| match aggregate {
            Expr::AggregateFunction(call) => call.func.name() == "grouping",
            _ => false,
        });
        if empty > 1 || (empty == 1 && tells_sets) {
            return Err(SqlError::unsupported(
                "a correlated subquery with several empty grouping sets, or with GROUPING, is not \
                 supported",
            ));
        }
        // Keys stand in the order of their first occurrence, before and after.
        let mut keys: Vec<&Expr> = Vec::new();
        for key in sets.iter().flatten() {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let outer = input.columns();
        let extended: Vec<Vec<Expr>> =
            sets.iter().map(|set| set.iter().chain(&outer).cloned().collect()).collect();
        let mut after_keys: Vec<&Expr> = Vec::new();
        for key in extended.iter().flatten() {
            if !after_keys.contains(&key) {
                after_keys.push(key);
            }
        }
        let group = vec![Expr::GroupingSet(GroupingSet::GroupingSets(extended.clone()))];
        let grouped = plan::aggregate(input.plan, group, aggregates.clone())?;
        let after: Vec<Column> = grouped.schema().columns();
        let mut exprs = Vec::new();
        for (index, name) in before.iter().enumerate() {
            let position = match keys.get(index) {
                Some(key) => after_keys.iter().position(|after| after == key),
                // The number of the set and the aggregates follow the keys.
                None => Some(index - keys.len() + after_keys.len()),
            };
            let column = position.and_then(|position| after.get(position)).ok_or_else(|| {
                SqlError::internal("a grouping key was lost while a subquery was decorrelated")
            })?;
            exprs.push(rename(column, name));
        }
        if empty == 0 {
            exprs.extend(outer);
            return Ok(Pushed { plan: plan::project(grouped, exprs)?, map: input.map });
        }
        self.with_missing(grouped, exprs, outer, before, &aggregates, domain)
    }

    fn push_join(&self, node: Join, domain: &Domain) -> SqlResult<Pushed> {
        let Join { left, right, on, filter, join_type, null_equality, .. } = node;
        let own_condition = on.iter().any(|(l, r)| has_outer(l) || has_outer(r))
            || filter.as_ref().is_some_and(has_outer);
        let (left, right) = (Arc::unwrap_or_clone(left), Arc::unwrap_or_clone(right));
        let left_depends = self.depends(&left, domain)?;
        let right_depends = self.depends(&right, domain)?;
        let keeps_left = matches!(
            join_type,
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
        );
        let sides = match join_type {
            JoinType::Inner if right_depends && !left_depends => (own_condition, true),
            JoinType::Inner => (true, right_depends),
            _ if keeps_left => (true, right_depends),
            JoinType::Right => (left_depends, true),
            _ => (true, true),
        };
        if !keeps_left && !matches!(join_type, JoinType::Inner | JoinType::Right | JoinType::Full) {
            return Err(SqlError::unsupported(format!(
                "a correlated subquery below a {join_type} join is not supported"
            )));
        }
        let mut others = Vec::new();
        let (left, right, map, same) = match sides {
            (true, false) => {
                let left = self.push_down(left, domain)?;
                (left.plan, right, left.map, Vec::new())
            }
            (false, _) => {
                let right = self.push_down(right, domain)?;
                (left, right.plan, right.map, Vec::new())
            }
            (true, true) => {
                let left = self.push_down(left, domain)?;
                let right = self.push_down(right, domain)?;
                let same = left
                    .map
                    .iter()
                    .zip(&right.map)
                    .map(|((_, l), (_, r))| not_distinct(l, r))
                    .collect();
                // A side whose rows may be missing does not tell the outer values of the result.
                match join_type {
                    JoinType::Right => (left.plan, right.plan, right.map, same),
                    JoinType::Full => {
                        others = right.map;
                        (left.plan, right.plan, left.map, same)
                    }
                    _ => (left.plan, right.plan, left.map, same),
                }
            }
        };
        let pushed = Pushed { plan: plan::one_row(), map };
        let keys = on
            .into_iter()
            .map(|(l, r)| Ok((pushed.rewrite(l)?, pushed.rewrite(r)?)))
            .collect::<SqlResult<Vec<_>>>()?;
        let mut tests: Vec<Expr> = same;
        if let Some(filter) = filter {
            tests.push(pushed.rewrite(filter)?);
        }
        let joined =
            plan::join_keys(left, right, join_type, keys, conjunction(tests), null_equality)?;
        if others.is_empty() {
            return Ok(Pushed { plan: joined, map: pushed.map });
        }
        let mut values = Vec::new();
        let mut map = Vec::new();
        for ((reference, left), (_, right)) in pushed.map.into_iter().zip(others) {
            let missing = Expr::IsNull(Box::new(Expr::Column(left.clone())));
            let value = when(missing, Expr::Column(right)).otherwise(Expr::Column(left));
            let own = self.fresh("outer");
            values.push(df(value)?.alias(&own.name));
            map.push((reference, own));
        }
        Ok(Pushed { plan: plan::extend(joined, values)?, map })
    }
}

/// What is read in place of a scan of a work table.
fn work_table<'d>(plan: &LogicalPlan, domain: &'d Domain) -> Option<&'d WorkTable> {
    let LogicalPlan::TableScan(TableScan { table_name, .. }) = plan else { return None };
    domain.work_tables.iter().find(|table| table.replaces == table_name.table())
}

fn not_distinct(left: &Column, right: &Column) -> Expr {
    use datafusion::logical_expr::{BinaryExpr, Operator};
    Expr::BinaryExpr(BinaryExpr::new(
        Box::new(Expr::Column(left.clone())),
        Operator::IsNotDistinctFrom,
        Box::new(Expr::Column(right.clone())),
    ))
}

/// An aggregate's column after a left join: what it is of no rows where nothing was joined.
pub fn value_or_default(
    column: &Column,
    aggregate: &Expr,
    marker: &Column,
    joined: &LogicalPlan,
) -> SqlResult<Expr> {
    let value = Expr::Column(column.clone());
    let Expr::AggregateFunction(call) = aggregate else { return Ok(value) };
    let (_, field) = df(joined.schema().qualified_field_from_column(column))?;
    let default = df(call.func.default_value(field.data_type()))?;
    if default.is_null() {
        return Ok(value);
    }
    let missing = Expr::IsNull(Box::new(Expr::Column(marker.clone())));
    df(when(missing, Expr::Literal(default, None)).otherwise(value))
}

fn rename(from: &Column, to: &Column) -> Expr {
    if from == to {
        return Expr::Column(from.clone());
    }
    Expr::Column(from.clone()).alias_qualified(to.relation.clone(), &to.name)
}

fn df_name(expr: &Expr) -> Column {
    let (relation, name) = expr.qualified_name();
    Column { relation, name, spans: Default::default() }
}

/// The expression under the name it had before it was rewritten.
fn keep_name(expr: Expr, name: Column) -> Expr {
    if df_name(&expr) == name {
        expr
    } else {
        expr.unalias().alias_qualified(name.relation, name.name)
    }
}

fn partition_by_domain(expr: Expr, input: &Pushed) -> Expr {
    match expr {
        Expr::WindowFunction(window) => {
            let WindowFunction { fun, mut params } = *window;
            params.partition_by.extend(input.columns());
            Expr::WindowFunction(Box::new(WindowFunction { fun, params }))
        }
        other => other,
    }
}

fn kind(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Values(_) => "VALUES",
        _ => "this operation",
    }
}

/// Whether the plan is projections, filters and unnests over a single empty row.
fn ends_in_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(node) => ends_in_one_row(&node.input),
        LogicalPlan::Filter(node) => ends_in_one_row(&node.input),
        LogicalPlan::Unnest(node) => ends_in_one_row(&node.input),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// Whether the plan is projections of a single empty row.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(node) => is_one_row(&node.input),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// `plan` with `left` in place of its single row, and left's columns carried along.
fn graft(
    plan: &LogicalPlan,
    left: LogicalPlan,
    columns: &[Column],
    references: &[Column],
) -> SqlResult<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(node) => {
            let input = graft(&node.input, left, columns, references)?;
            let mut exprs: Vec<Expr> = columns.iter().cloned().map(Expr::Column).collect();
            for expr in &node.expr {
                let name = df_name(expr);
                exprs.push(keep_name(resolve(expr.clone(), references)?, name));
            }
            plan::project(input, exprs)
        }
        LogicalPlan::Filter(node) => {
            let input = graft(&node.input, left, columns, references)?;
            plan::filter(input, resolve(node.predicate.clone(), references)?)
        }
        LogicalPlan::Unnest(node) => {
            let input = graft(&node.input, left, columns, references)?;
            plan::unnest(input, node.exec_columns.clone())
        }
        _ => Ok(left),
    }
}

/// The plan without the filters that refer outwards, and these filters. `None` where references
/// stand elsewhere.
pub fn pull_up(plan: LogicalPlan) -> SqlResult<Option<(LogicalPlan, Vec<Expr>)>> {
    if outer_columns(&plan)?.is_empty() {
        return Ok(Some((plan, Vec::new())));
    }
    match plan {
        LogicalPlan::Filter(node) => {
            let Some((input, mut conditions)) = pull_up(Arc::unwrap_or_clone(node.input))? else {
                return Ok(None);
            };
            let (outer, own): (Vec<_>, Vec<_>) =
                split_conjunction_owned(node.predicate).into_iter().partition(has_outer);
            conditions.extend(outer);
            let plan = match conjunction(own) {
                Some(own) => plan::filter(input, own)?,
                None => input,
            };
            Ok(Some((plan, conditions)))
        }
        LogicalPlan::Projection(Projection { mut expr, input, .. }) => {
            if expr.iter().any(has_outer) {
                return Ok(None);
            }
            let Some((input, conditions)) = pull_up(Arc::unwrap_or_clone(input))? else {
                return Ok(None);
            };
            for condition in &conditions {
                for column in plan::columns_of(condition) {
                    let kept = expr.iter().any(|e| df_name(e) == column);
                    if !kept {
                        expr.push(Expr::Column(column));
                    }
                }
            }
            Ok(Some((plan::project(input, expr)?, conditions)))
        }
        LogicalPlan::Sort(Sort { input, fetch: None, .. }) => pull_up(Arc::unwrap_or_clone(input)),
        LogicalPlan::Join(Join { left, right, on, filter, join_type, null_equality, .. }) => {
            let condition_refers = on.iter().any(|(l, r)| has_outer(l) || has_outer(r))
                || filter.as_ref().is_some_and(has_outer);
            let both = join_type == JoinType::Inner;
            let left_only =
                matches!(join_type, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti);
            if condition_refers || !(both || left_only) {
                return Ok(None);
            }
            if left_only && !outer_columns(&right)?.is_empty() {
                return Ok(None);
            }
            let Some((left, mut conditions)) = pull_up(Arc::unwrap_or_clone(left))? else {
                return Ok(None);
            };
            let Some((right, more)) = pull_up(Arc::unwrap_or_clone(right))? else {
                return Ok(None);
            };
            conditions.extend(more);
            let joined = plan::join_keys(left, right, join_type, on, filter, null_equality)?;
            Ok(Some((joined, conditions)))
        }
        _ => Ok(None),
    }
}
