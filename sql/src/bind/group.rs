//! Grouping: the aggregate node, and what may stand above it.
//!
//! Expressions are bound as if there were no grouping. Here their aggregates and grouping
//! expressions become columns of the aggregate node; a column that remains is an error (42803),
//! unless the table's primary key is grouped by.

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{lit, when};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use super::binder::Binder;
use super::decorrelate::outer_columns;
use super::expr::Context;
use super::expr::function::Arguments;
use super::plan;
use super::scope::{Scope, position_of};
use super::select::{Grouping, Item};
use crate::functions::Typed;
use crate::operators;

pub fn contains_aggregate(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_)))).unwrap_or(true)
}

/// What the aggregate node yields for the expressions below it.
struct Above<'b> {
    /// Grouping expression, and what it is above.
    groups: Vec<(Expr, Expr)>,
    aggregates: Vec<(Expr, Column)>,
    /// Columns that depend on a grouped primary key; grouped by as well.
    dependent: Vec<Column>,
    allow_dependent: bool,
    below: &'b LogicalPlan,
}

/// Grouping expressions in place: below, in the aggregate, and above it.
struct Named {
    plan: LogicalPlan,
    /// What is grouped by.
    columns: Vec<Column>,
    /// What each grouping expression is above the aggregate.
    values: Vec<Expr>,
    /// Aggregates that give a value of each group that is grouped by key.
    representatives: Vec<Expr>,
}

/// `grouping(a, b + 1)` over what these are below the aggregate.
fn name_grouping_arguments(aggregate: Expr, exprs: &[Expr], columns: &[Column]) -> SqlResult<Expr> {
    match aggregate {
        Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
            for arg in &mut call.params.args {
                let index = exprs.iter().position(|expr| expr == arg).ok_or_else(|| {
                    SqlError::new(
                        SqlState::GROUPING_ERROR,
                        "arguments to GROUPING must be grouping expressions of the associated \
                         query level",
                    )
                })?;
                *arg = Expr::Column(columns[index].clone());
            }
            Ok(Expr::AggregateFunction(call))
        }
        other => Ok(other),
    }
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_constant(&cast.expr),
        _ => false,
    }
}

fn is_column(expr: &Expr, column: &Column) -> bool {
    matches!(expr, Expr::Column(own) if own == column)
}

impl Binder<'_> {
    /// One row of each set of equal ones.
    pub fn distinct_rows(
        &self,
        plan: LogicalPlan,
        columns: &[(Column, PgType)],
    ) -> SqlResult<LogicalPlan> {
        let exprs = columns
            .iter()
            .map(|(column, ty)| Typed { expr: Expr::Column(column.clone()), ty: ty.clone() })
            .collect::<Vec<_>>();
        if exprs.iter().all(|value| operators::grouping_key(value).is_none()) {
            return Ok(plan::distinct(plan));
        }
        let items = vec![None; exprs.len()];
        let grouping = Grouping { exprs, items, ..Grouping::default() };
        let own = grouping.exprs.iter().map(|value| value.expr.clone()).collect();
        let named = self.name_groups(plan, &grouping, own)?;
        let group = named.columns.into_iter().map(Expr::Column).collect();
        let grouped = plan::aggregate(named.plan, group, named.representatives)?;
        let output = named
            .values
            .into_iter()
            .zip(columns)
            .map(|(value, (column, _))| match value {
                Expr::Column(own) if own == *column => Expr::Column(own),
                other => other.alias_qualified(column.relation.clone(), &column.name),
            })
            .collect();
        plan::project(grouped, output)
    }

    /// Puts the aggregate node over `plan` if the query has one, with HAVING, and rewrites the
    /// items to what is above it.
    pub fn group(
        &self,
        plan: LogicalPlan,
        grouping: &Grouping,
        having: Option<Expr>,
        items: &mut [Item],
        scope: &Scope<'_>,
    ) -> SqlResult<LogicalPlan> {
        let mut aggregates: Vec<Expr> = Vec::new();
        let of_subqueries = scope.aggregates.take();
        let exprs = items.iter().map(|item| &item.value.expr).chain(having.as_ref());
        for expr in exprs.chain(of_subqueries.iter().map(|(_, aggregate)| aggregate)) {
            collect_aggregates(expr, &mut aggregates)?;
        }
        if aggregates.is_empty() && !grouping.present && having.is_none() {
            return Ok(plan);
        }
        // Subqueries within grouping expressions and arguments are joined below.
        let group_exprs: Vec<Expr> = grouping.exprs.iter().map(|g| g.expr.clone()).collect();
        let (plan, mut attached_groups) = self.attach(plan, group_exprs.clone())?;
        let plan = self.expand_sets(plan, attached_groups.iter_mut().collect())?;
        let (plan, attached_aggregates) = self.attach(plan, aggregates.clone())?;
        let named = self.name_groups(plan, grouping, attached_groups)?;
        let Named { plan, columns: group_columns, values, representatives } = named;
        let attached_aggregates = attached_aggregates
            .into_iter()
            .map(|aggregate| name_grouping_arguments(aggregate, &group_exprs, &group_columns))
            .collect::<SqlResult<Vec<_>>>()?;

        let mut above = Above {
            groups: group_exprs.into_iter().zip(values).collect(),
            aggregates: aggregates
                .into_iter()
                .zip(attached_aggregates.iter().map(plan::output_column))
                .collect(),
            dependent: Vec::new(),
            allow_dependent: !grouping.explicit,
            below: &plan,
        };
        for (index, item) in items.iter_mut().enumerate() {
            let expr = std::mem::take(&mut item.value.expr);
            let key = grouping.items.iter().position(|key| *key == Some(index));
            item.value.expr = match key.and_then(|key| above.groups.get(key)) {
                Some((_, value)) => value.clone(),
                None => self.above(expr, &mut above, scope)?,
            };
        }
        let having = match having {
            Some(having) => Some(self.above(having, &mut above, scope)?),
            None => None,
        };
        let of_subqueries = of_subqueries
            .into_iter()
            .map(|(column, aggregate)| {
                Ok(self.above(aggregate, &mut above, scope)?.alias(column.name))
            })
            .collect::<SqlResult<Vec<_>>>()?;
        let mut group: Vec<Expr> = group_columns.into_iter().map(Expr::Column).collect();
        if grouping.explicit {
            let sets = grouping
                .sets
                .iter()
                .map(|set| set.iter().map(|index| group[*index].clone()).collect())
                .collect();
            group = vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))];
        } else {
            group.extend(above.dependent.iter().cloned().map(Expr::Column));
        }
        drop(above);
        let mut all_aggregates = attached_aggregates;
        for one in representatives {
            if !all_aggregates.contains(&one) {
                all_aggregates.push(one);
            }
        }
        if group.is_empty() && all_aggregates.is_empty() {
            // One group, of which nothing is asked.
            all_aggregates.push(count_udaf().call(vec![lit(1i64)]));
        }
        let plan = plan::aggregate(plan, group, all_aggregates)?;
        let plan = plan::extend(plan, of_subqueries)?;
        match having {
            Some(having) => self.filter(plan, having),
            None => Ok(plan),
        }
    }

    /// Grouping expressions as columns: computed ones below the aggregate. Values whose Arrow
    /// equality is not PostgreSQL's are grouped by a key, and stand above as one of the group.
    fn name_groups(
        &self,
        plan: LogicalPlan,
        grouping: &Grouping,
        exprs: Vec<Expr>,
    ) -> SqlResult<Named> {
        let mut computed = Vec::new();
        let mut columns = Vec::with_capacity(exprs.len());
        let mut values = Vec::with_capacity(exprs.len());
        let mut representatives = Vec::new();
        for (expr, typed) in exprs.into_iter().zip(&grouping.exprs) {
            let value = Typed { expr: expr.clone(), ty: typed.ty.clone() };
            match (operators::grouping_key(&value), expr) {
                (None, Expr::Column(column)) if !columns.contains(&column) => {
                    values.push(Expr::Column(column.clone()));
                    columns.push(column);
                }
                (None, other) => {
                    let column = self.fresh("group");
                    computed.push(other.alias(&column.name));
                    values.push(Expr::Column(column.clone()));
                    columns.push(column);
                }
                (Some(key), expr) => {
                    let column = self.fresh("key");
                    computed.push(key.alias(&column.name));
                    let one = max(expr);
                    let output = Expr::Column(plan::output_column(&one));
                    let key = Expr::Column(column.clone());
                    let is_zero = match typed.ty {
                        PgType::Float4 => Some(key.clone().eq(lit(0.0f32))),
                        PgType::Float8 => Some(key.clone().eq(lit(0.0f64))),
                        _ => None,
                    };
                    values.push(plan::df(match is_zero {
                        // Other floats are their own keys, and the maximum of nothing but
                        // -Infinity is DataFusion's least finite number.
                        Some(is_zero) => when(is_zero, output).otherwise(key),
                        // NULL in a grouping set without this key.
                        None => when(key.is_not_null(), output).end(),
                    })?);
                    representatives.push(one);
                    columns.push(column);
                }
            }
        }
        Ok(Named { plan: plan::extend(plan, computed)?, columns, values, representatives })
    }

    fn above(&self, expr: Expr, above: &mut Above<'_>, scope: &Scope<'_>) -> SqlResult<Expr> {
        plan::replace(expr, |node| {
            // A constant is what it is, whether or not a constant is grouped by.
            let group = above.groups.iter().find(|(group, _)| group == node);
            if let Some((_, column)) = group.filter(|(group, _)| !is_constant(group)) {
                return Ok(Some(column.clone()));
            }
            match node {
                Expr::AggregateFunction(_) => {
                    let found = above.aggregates.iter().find(|(known, _)| known == node);
                    Ok(found.map(|(_, column)| Expr::Column(column.clone())))
                }
                Expr::Column(column) => {
                    self.grouped(column, above, scope, None)?;
                    Ok(None)
                }
                Expr::ScalarSubquery(subquery) => {
                    self.grouped_outer(&subquery.subquery, above, scope)?;
                    Ok(None)
                }
                Expr::Exists(exists) => {
                    self.grouped_outer(&exists.subquery.subquery, above, scope)?;
                    Ok(None)
                }
                Expr::InSubquery(any) => {
                    self.grouped_outer(&any.subquery.subquery, above, scope)?;
                    Ok(None)
                }
                _ => Ok(None),
            }
        })
    }

    /// A subquery may refer to grouped columns only.
    fn grouped_outer(
        &self,
        subquery: &LogicalPlan,
        above: &mut Above<'_>,
        scope: &Scope<'_>,
    ) -> SqlResult<()> {
        for column in outer_columns(subquery)? {
            if above.below.schema().has_column(&column) {
                let message = format!(
                    "subquery uses ungrouped column \"{}\" from outer query",
                    user_name(&column, scope)
                );
                self.grouped(&column, above, scope, Some(message))?;
            }
        }
        Ok(())
    }

    fn grouped(
        &self,
        column: &Column,
        above: &mut Above<'_>,
        scope: &Scope<'_>,
        message: Option<String>,
    ) -> SqlResult<()> {
        if above.groups.iter().any(|(group, _)| is_column(group, column))
            || above.dependent.contains(column)
        {
            return Ok(());
        }
        if above.allow_dependent && depends_on_groups(column, above, scope) {
            above.dependent.push(column.clone());
            return Ok(());
        }
        let message = message.unwrap_or_else(|| {
            format!(
                "column \"{}\" must appear in the GROUP BY clause or be used in an aggregate \
                 function",
                user_name(column, scope)
            )
        });
        let error = SqlError::new(SqlState::GROUPING_ERROR, message);
        Err(self.at(error, position_of(column).unwrap_or(0)))
    }

    /// `GROUPING(a, b)`: a bit per argument, set where the row's set does not have it.
    pub fn grouping(
        &self,
        arguments: &Arguments<'_>,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<Typed> {
        let args = self
            .bare_values(arguments, cx)?
            .into_iter()
            .map(|typed| typed.expr)
            .collect::<Vec<_>>();
        if self.level_of_call(&args, cx, position)? > 0 {
            return Err(self.at(
                SqlError::unsupported("GROUPING of an outer query's columns is not supported")
                    .hint("Call it in the outer query."),
                position,
            ));
        }
        let call = datafusion::functions_aggregate::grouping::grouping_udaf().call(args);
        Ok(Typed { expr: call, ty: PgType::Int4 })
    }
}

/// Whether the column's table has its whole primary key grouped by.
fn depends_on_groups(column: &Column, above: &Above<'_>, scope: &Scope<'_>) -> bool {
    let entry = scope
        .entries
        .iter()
        .find(|entry| entry.table.is_some() && entry.columns.iter().any(|c| c.column == *column));
    let Some((entry, table)) = entry.and_then(|e| Some((e, e.table.as_ref()?))) else {
        return false;
    };
    let key = &table.shape.primary_key;
    !key.is_empty()
        && key.iter().all(|id| {
            entry.columns.iter().any(|candidate| {
                candidate.origin.is_some_and(|(_, column)| column == *id)
                    && above.groups.iter().any(|(group, _)| is_column(group, &candidate.column))
            })
        })
}

fn collect_aggregates(expr: &Expr, found: &mut Vec<Expr>) -> SqlResult<()> {
    use datafusion::common::tree_node::TreeNodeRecursion;
    plan::df(expr.apply(|node| {
        if matches!(node, Expr::AggregateFunction(_)) {
            if !found.contains(node) {
                found.push(node.clone());
            }
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    }))
    .map(|_| ())
}

/// What the user calls a column of the plan.
fn user_name(column: &Column, scope: &Scope<'_>) -> String {
    for entry in scope.entries.iter().filter(|entry| !entry.alias.is_empty()) {
        if let Some(found) = entry.columns.iter().find(|c| c.column == *column) {
            return format!("{}.{}", entry.alias, found.name);
        }
    }
    for entry in &scope.entries {
        if let Some(found) = entry.columns.iter().find(|c| c.column == *column) {
            return found.name.clone();
        }
    }
    column.name.clone()
}
