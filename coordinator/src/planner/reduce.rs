//! Aggregates that a join looks into by their keys read only the rows with keys that the other side
//! can have.
//!
//! ```text
//!   Join part.k = sums.k                     Join part.k = sums.k
//!     Scan part [brand = 'x']                  Scan part [brand = 'x']
//!     Aggregate sum(q) by k         ->         Aggregate sum(q) by k
//!       Scan lines                               LeftSemi Join k = part.k
//!                                                  Scan lines
//!                                                  Scan part [brand = 'x']
//! ```
//!
//! That is what becomes of a correlated subquery: written, it computes a group for each row of the
//! outer query; decorrelated, it would compute all groups that there are. A group goes or stays as
//! a whole, by its key, so that what remains of an aggregate is what it was. The keys are read from
//! one filtered scan below the other side: it has at least those that arrive at the join.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, NullEquality};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, JoinConstraint, JoinType, LogicalPlan, Projection,
};
use satsuma_common::SqlResult;
use satsuma_sql::engine_error::{from_sql, to_sql};

use super::distribute::with_inputs;
use super::estimate::{Size, width};

/// Keys are worth reading twice when they are at most such a part of the rows that they select.
const WORTH: f64 = 0.1;
/// What the keys are called in the plan.
const KEY: &str = "reducing_key";

/// Estimates a plan.
pub(super) type SizeOf<'a> = &'a dyn Fn(&LogicalPlan) -> SqlResult<Size>;

/// The plan with its aggregates reduced where that saves more than `least` bytes of their input.
pub(super) fn reduce(plan: LogicalPlan, size_of: SizeOf<'_>, least: f64) -> SqlResult<LogicalPlan> {
    let reduced = plan.transform_up(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        let reducer = Reducer { size_of, least };
        let (left, right) = reducer.sides(join).map_err(from_sql)?;
        if left.is_none() && right.is_none() {
            return Ok(Transformed::no(node));
        }
        let left = left.unwrap_or_else(|| join.left.as_ref().clone());
        let right = right.unwrap_or_else(|| join.right.as_ref().clone());
        with_inputs(&node, vec![left, right]).map(Transformed::yes).map_err(from_sql)
    });
    reduced.map(|reduced| reduced.data).map_err(to_sql)
}

struct Reducer<'a> {
    size_of: SizeOf<'a>,
    least: f64,
}

/// A scan that has all keys.
struct Keys {
    plan: LogicalPlan,
    column: Column,
    rows: f64,
}

impl Reducer<'_> {
    /// What the sides become, where that is something else.
    fn sides(&self, join: &Join) -> SqlResult<(Option<LogicalPlan>, Option<LogicalPlan>)> {
        let (mut left, mut right) = (None, None);
        if join.null_aware {
            return Ok((None, None));
        }
        let nulls = join.null_equality;
        for (left_key, right_key) in &join.on {
            let (Expr::Column(left_key), Expr::Column(right_key)) = (left_key, right_key) else {
                continue;
            };
            if right.is_none() && !shows_unmatched_right(join.join_type) {
                right = self.side((&join.right, right_key), (&join.left, left_key), nulls)?;
            }
            if left.is_none() && !shows_unmatched_right(join.join_type.swap()) {
                left = self.side((&join.left, left_key), (&join.right, right_key), nulls)?;
            }
        }
        Ok((left, right))
    }

    /// `side` with the aggregate that `key` comes from reduced to what `other_key` can be.
    fn side(
        &self,
        (side, key): (&LogicalPlan, &Column),
        (other, other_key): (&LogicalPlan, &Column),
        nulls: NullEquality,
    ) -> SqlResult<Option<LogicalPlan>> {
        if !has_aggregate(side, key) {
            return Ok(None);
        }
        match self.keys(other, other_key)? {
            Some(keys) => self.reduced(side, key, &keys, nulls),
            None => Ok(None),
        }
    }

    fn reduced(
        &self,
        plan: &LogicalPlan,
        key: &Column,
        keys: &Keys,
        nulls: NullEquality,
    ) -> SqlResult<Option<LogicalPlan>> {
        let Some((input, below)) = origin(plan, key) else { return Ok(None) };
        let input = match plan {
            LogicalPlan::Aggregate(_) => self.with_keys(input, &below, keys, nulls)?,
            _ => self.reduced(input, &below, keys, nulls)?,
        };
        input.map(|input| with_inputs(plan, vec![input])).transpose()
    }

    /// The rows of `input` with a key that `keys` has. NULL is a key where the join takes it for one.
    fn with_keys(
        &self,
        input: &LogicalPlan,
        column: &Column,
        keys: &Keys,
        nulls: NullEquality,
    ) -> SqlResult<Option<LogicalPlan>> {
        let all = (self.size_of)(input)?;
        let column = Expr::Column(column.clone());
        let key = Expr::Column(keys.column.clone());
        let same_type = column.get_type(input.schema()).map_err(to_sql)?
            == key.get_type(keys.plan.schema()).map_err(to_sql)?;
        let selected = all.columns.distinct(&column, all.rows).unwrap_or(all.rows);
        if !same_type
            || keys.rows > selected * WORTH
            || all.rows * width(input.schema()) < self.least
        {
            return Ok(None);
        }
        let keys = Projection::try_new(vec![key.alias(KEY)], Arc::new(keys.plan.clone()));
        let join = Join::try_new(
            Arc::new(input.clone()),
            Arc::new(LogicalPlan::Projection(keys.map_err(to_sql)?)),
            vec![(column, Expr::Column(Column::new_unqualified(KEY)))],
            None,
            JoinType::LeftSemi,
            JoinConstraint::On,
            nulls,
            false,
        );
        join.map(|join| Some(LogicalPlan::Join(join))).map_err(to_sql)
    }

    /// The smallest filtered scan that has every value of a column of `plan`.
    fn keys(&self, plan: &LogicalPlan, column: &Column) -> SqlResult<Option<Keys>> {
        match plan {
            LogicalPlan::TableScan(_) | LogicalPlan::Filter(_) if is_filtered_scan(plan) => {
                let rows = (self.size_of)(plan)?.rows;
                Ok(Some(Keys { plan: plan.clone(), column: column.clone(), rows }))
            }
            LogicalPlan::Join(join) => self.keys_of_join(join, column),
            _ => match origin(plan, column) {
                Some((input, below)) => self.keys(input, &below),
                None => Ok(None),
            },
        }
    }

    /// Of a side whose rows decide which there are, and of what it must be equal to.
    fn keys_of_join(&self, join: &Join, column: &Column) -> SqlResult<Option<Keys>> {
        let (from_left, from_right, must_match) = match join.join_type {
            JoinType::Inner => (true, true, true),
            JoinType::LeftSemi => (true, false, true),
            JoinType::RightSemi => (false, true, true),
            JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => (true, false, false),
            JoinType::Right | JoinType::RightAnti | JoinType::RightMark => (false, true, false),
            JoinType::Full => return Ok(None),
        };
        let is_left = from_left && join.left.schema().has_column(column);
        let is_right = !is_left && from_right && join.right.schema().has_column(column);
        let (own, other) = match (is_left, is_right) {
            (true, _) => (&join.left, &join.right),
            (_, true) => (&join.right, &join.left),
            _ => return Ok(None),
        };
        let mut best = self.keys(own, column)?;
        for (left, right) in &join.on {
            let (own_key, other_key) = if is_left { (left, right) } else { (right, left) };
            if let (true, Expr::Column(own_key), Expr::Column(other_key)) =
                (must_match, own_key, other_key)
                && own_key == column
                && let Some(keys) = self.keys(other, other_key)?
                && best.as_ref().is_none_or(|best| keys.rows < best.rows)
            {
                best = Some(keys);
            }
        }
        Ok(best)
    }
}

/// Whether this gives some rows of a table, the same whenever it is asked. What a scan filters by
/// may stand above it once more.
fn is_filtered_scan(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => {
            !scan.filters.is_empty() && !scan.filters.iter().any(Expr::is_volatile)
        }
        LogicalPlan::Filter(filter) => {
            !filter.predicate.is_volatile() && is_filtered_scan(&filter.input)
        }
        _ => false,
    }
}

/// Whether the column is a key of an aggregate below nodes that take its groups as they are.
fn has_aggregate(plan: &LogicalPlan, column: &Column) -> bool {
    match origin(plan, column) {
        Some((input, below)) => {
            matches!(plan, LogicalPlan::Aggregate(_)) || has_aggregate(input, &below)
        }
        None => false,
    }
}

/// The input of a node that drops or keeps rows by themselves, or all of a group, and the column of
/// it that `column` is.
fn origin<'a>(plan: &'a LogicalPlan, column: &Column) -> Option<(&'a LogicalPlan, Column)> {
    let at = plan.schema().maybe_index_of_column(column)?;
    match plan {
        LogicalPlan::Projection(node) => Some((&node.input, as_column(node.expr.get(at)?)?)),
        LogicalPlan::SubqueryAlias(node) => {
            let (qualifier, field) = node.input.schema().qualified_field(at);
            Some((&node.input, Column::new(qualifier.cloned(), field.name())))
        }
        LogicalPlan::Filter(node) => {
            let fixed = !node.predicate.is_volatile();
            fixed.then(|| (node.input.as_ref(), column.clone()))
        }
        LogicalPlan::Aggregate(node) => Some((&node.input, as_column(node.group_expr.get(at)?)?)),
        _ => None,
    }
}

fn as_column(expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Column(column) => Some(column.clone()),
        Expr::Alias(alias) => as_column(&alias.expr),
        _ => None,
    }
}

/// Whether rows of the right side that match nothing are in the result, or in what it shows.
fn shows_unmatched_right(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Right | JoinType::Full | JoinType::RightAnti | JoinType::RightMark => true,
        JoinType::Inner
        | JoinType::Left
        | JoinType::LeftSemi
        | JoinType::LeftAnti
        | JoinType::LeftMark
        | JoinType::RightSemi => false,
    }
}
