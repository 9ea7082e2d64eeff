//! Which query an aggregate is one of: the innermost whose columns its arguments use.
//!
//! ```sql
//! SELECT g, (SELECT sum(o.x) + max(i.y) FROM i) FROM o GROUP BY g
//! ```
//!
//! `sum(o.x)` is over the rows of `o`. It is computed where those are grouped, under a column of
//! its own; within the subquery it is a reference to that column, as to any of an outer query's.
//! Arguments are what FILTER and ORDER BY within the call say, too. An aggregate that uses no
//! column is one of the query that it stands in.

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{SqlError, SqlResult, SqlState, arrow_types};

use super::binder::Binder;
use super::decorrelate::outer_columns;
use super::expr::{Context, Within};
use super::plan;
use super::scope::{Reference, Scope, position_of, span};
use crate::functions::{AggregateCall, Typed};

/// The innermost levels that expressions refer to, counted outwards from where they stand.
#[derive(Default)]
struct Levels {
    column: Option<usize>,
    /// And what of the aggregates found is of that level.
    aggregate: Option<(usize, Column)>,
}

impl Levels {
    fn of<'e>(exprs: impl IntoIterator<Item = &'e Expr>, scope: &Scope<'_>) -> SqlResult<Self> {
        let mut levels = Self::default();
        for expr in exprs {
            plan::df(expr.apply(|node| {
                match node {
                    Expr::Column(_) => levels.column = Some(0),
                    Expr::OuterReferenceColumn(_, column) => levels.add(column, scope),
                    Expr::ScalarSubquery(subquery) => levels.add_of(&subquery.subquery, scope)?,
                    Expr::Exists(exists) => levels.add_of(&exists.subquery.subquery, scope)?,
                    Expr::InSubquery(any) => levels.add_of(&any.subquery.subquery, scope)?,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            }))?;
        }
        Ok(levels)
    }

    fn add(&mut self, column: &Column, scope: &Scope<'_>) {
        match scope.level_of(column) {
            Some(Reference::Aggregate(level)) => {
                if self.aggregate.as_ref().is_none_or(|(known, _)| level < *known) {
                    self.aggregate = Some((level, column.clone()));
                }
            }
            Some(Reference::Column(level)) => {
                self.column = Some(self.column.map_or(level, |known| known.min(level)));
            }
            None => self.column = Some(0),
        }
    }

    fn add_of(
        &mut self,
        subquery: &LogicalPlan,
        scope: &Scope<'_>,
    ) -> datafusion::error::Result<()> {
        let columns = outer_columns(subquery)
            .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
        columns.iter().for_each(|column| self.add(column, scope));
        Ok(())
    }

    /// The level of an aggregate with such arguments.
    fn aggregate(&self) -> usize {
        let called = self.aggregate.as_ref().map(|(level, _)| *level);
        self.column.into_iter().chain(called).min().unwrap_or(0)
    }
}

impl Binder<'_> {
    /// How many queries further out the aggregate belongs, whose arguments are of this one.
    pub fn aggregate_level(
        &self,
        call: &AggregateCall,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<usize> {
        let direct = call.args.iter().map(|arg| &arg.expr);
        let keys = call.order_by.iter().map(|key| &key.value.expr).chain(&call.filter);
        let (direct, aggregated): (Vec<_>, Vec<_>) = match call.within_group {
            true => (direct.collect(), keys.collect()),
            false => (Vec::new(), direct.chain(keys).collect()),
        };
        let level = self.level_of_call(aggregated, cx, position)?;
        let direct = Levels::of(direct, cx.scope)?;
        if direct.column.is_some_and(|column| column < level) {
            return Err(self.at(
                SqlError::new(
                    SqlState::GROUPING_ERROR,
                    "outer-level aggregate cannot contain a lower-level variable in its direct \
                     arguments",
                ),
                position,
            ));
        }
        Ok(level)
    }

    /// The level of a call with these arguments, which may not be within another of its level,
    /// nor where that level has no aggregates.
    pub fn level_of_call<'e>(
        &self,
        arguments: impl IntoIterator<Item = &'e Expr>,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<usize> {
        let nested =
            || SqlError::new(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested");
        let levels = Levels::of(arguments, cx.scope)?;
        let level = levels.aggregate();
        if let Some((_, inner)) = levels.aggregate.filter(|(inner, _)| *inner == level) {
            return Err(self.at(nested(), position_of(&inner).unwrap_or(position)));
        }
        let clause = match level {
            0 if cx.within == Within::Aggregate => return Err(self.at(nested(), position)),
            0 => cx.clause,
            _ => cx.scope.outwards(level).asked_from.get(),
        };
        match clause.allows_aggregates() {
            true => Ok(level),
            false => Err(self.at(clause.no_aggregates(), position)),
        }
    }

    /// The arguments as those of the query that the call is one of.
    pub fn of_level(
        &self,
        call: AggregateCall,
        level: usize,
        scope: &Scope<'_>,
    ) -> SqlResult<AggregateCall> {
        if level == 0 {
            return Ok(call);
        }
        let owner = scope.outwards(level);
        let AggregateCall { mut args, distinct, filter, mut order_by, within_group } = call;
        for value in args.iter_mut().chain(order_by.iter_mut().map(|key| &mut key.value)) {
            value.expr = owner.own(std::mem::take(&mut value.expr))?;
        }
        let filter = filter.map(|filter| owner.own(filter)).transpose()?;
        Ok(AggregateCall { args, distinct, filter, order_by, within_group })
    }

    /// What stands for the aggregate here, noted at its own level if that is further out.
    pub fn placed(
        &self,
        aggregate: Typed,
        name: &str,
        level: usize,
        scope: &Scope<'_>,
        position: u32,
    ) -> Typed {
        if level == 0 {
            return aggregate;
        }
        let mut noted = scope.outwards(level).aggregates.borrow_mut();
        let known = noted.iter().find(|(_, known)| *known == aggregate.expr);
        let mut column = match known {
            Some((column, _)) => column.clone(),
            None => {
                let column = self.fresh(&plan::safe_name(name));
                noted.push((column.clone(), aggregate.expr));
                column
            }
        };
        if position > 0 {
            column.spans.add_span(span(position));
        }
        let field = arrow_types::field_ref(&column.name, &aggregate.ty, true);
        Typed { expr: Expr::OuterReferenceColumn(field, column), ty: aggregate.ty }
    }

    /// Whether a value has aggregates of the query that it stands in, in subqueries or not.
    pub fn has_aggregate(&self, expr: &Expr, scope: &Scope<'_>) -> SqlResult<bool> {
        let inner = Levels::of([expr], scope)?.aggregate;
        Ok(super::group::contains_aggregate(expr) || inner.is_some_and(|(level, _)| level == 0))
    }
}
