//! Subqueries in expressions: bound in place, and turned into joins where the expression is put
//! into a plan.
//!
//! Between the two they stand in the expression as DataFusion's own nodes, of which this module
//! means:
//!
//! - `ScalarSubquery`: its value. Without outer references it stays: it is run first and becomes
//!   a constant. With them it becomes a left join;
//! - `Exists`: whether it has rows. A semi or anti join in WHERE, else a mark join;
//! - `InSubquery`: whether `expr` is true of some row, in three-valued logic. The row's columns
//!   are `LambdaVariable`s in `expr`.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema, JoinType};
use datafusion::logical_expr::expr::{Exists, InSubquery, LambdaVariable};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Limit, LogicalPlan, Operator, Projection, Subquery,
};
use datafusion::prelude::{lit, when};
use datafusion::scalar::ScalarValue;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, arrow_types};
use sqlparser::ast;

use super::binder::Binder;
use super::decorrelate::{outer_columns, pull_up, value_or_default};
use super::expr::Context;
use super::plan::{self, df};
use super::query::Rows;
use super::scope::outer_reference_to_self;
use crate::functions::{self, Typed};

impl Binder<'_> {
    fn subquery_rows(&self, query: &ast::Query, cx: Context<'_>) -> SqlResult<Rows> {
        if !cx.clause.allows_subqueries() {
            return Err(cx.clause.no_subqueries());
        }
        cx.scope.asked_from.set(cx.clause);
        self.query(query, Some(cx.scope), cx.ctes)
    }

    pub fn scalar_subquery(&self, query: &ast::Query, cx: Context<'_>) -> SqlResult<Typed> {
        let rows = self.subquery_rows(query, cx)?;
        let [column] = rows.columns.as_slice() else {
            // At the parenthesis before the query.
            let position = self.query_position(query).saturating_sub(1);
            return Err(self.at(too_many_columns(), position));
        };
        let ty = column.ty.clone();
        Ok(Typed { expr: Expr::ScalarSubquery(subquery(rows.plan)), ty })
    }

    /// `(a, b) = (SELECT ..)`: each field compared with a column of the same row.
    pub fn compare_row_with_subquery(
        &self,
        left: &[ast::Expr],
        op: &str,
        query: &ast::Query,
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let rows = self.subquery_rows(query, cx)?;
        if rows.columns.len() != left.len() {
            return Err(self.at(column_count(rows.columns.len(), left.len()), position));
        }
        let left = left.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<Vec<_>>>()?;
        let right = rows
            .columns
            .iter()
            .map(|column| {
                let one = vec![Expr::Column(column.column.clone())];
                Ok(Typed {
                    expr: Expr::ScalarSubquery(subquery(plan::project(rows.plan.clone(), one)?)),
                    ty: column.ty.clone(),
                })
            })
            .collect::<SqlResult<Vec<_>>>()?;
        self.compare_typed_rows(left, op, right, position)
    }

    pub fn exists(&self, query: &ast::Query, negated: bool, cx: Context<'_>) -> SqlResult<Typed> {
        let mut rows = self.subquery_rows(query, cx)?;
        if rows.columns.is_empty() {
            // Joins need a column on each side.
            let one = lit(true).alias(self.fresh("row").name);
            rows.plan = plan::project(rows.plan, vec![one])?;
        }
        let exists = Exists { subquery: subquery(rows.plan), negated: false };
        let expr = Expr::Exists(exists);
        Ok(Typed::bool(if negated { Expr::Not(Box::new(expr)) } else { expr }))
    }

    pub fn in_subquery(
        &self,
        value: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(value);
        let test = self.quantified_subquery(value, "=", query, false, position, cx)?;
        Ok(if negated { Typed::bool(Expr::Not(Box::new(test.expr))) } else { test })
    }

    /// `value op ANY (SELECT ..)`, or ALL.
    pub fn quantified_subquery(
        &self,
        value: &ast::Expr,
        op: &str,
        query: &ast::Query,
        all: bool,
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let rows = self.subquery_rows(query, cx)?;
        let fields = super::expr::row(value).unwrap_or(std::slice::from_ref(value));
        if rows.columns.len() != fields.len() {
            return Err(self.at(column_count(rows.columns.len(), fields.len()), position));
        }
        let left = fields.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<Vec<_>>>()?;
        let right = rows
            .columns
            .iter()
            .map(|column| {
                let ty = match column.ty {
                    PgType::Unknown => PgType::Text,
                    ref ty => ty.clone(),
                };
                let name = column.column.name.clone();
                let field = arrow_types::field_ref(&name, &ty, true);
                Typed { expr: Expr::LambdaVariable(LambdaVariable::new(name, Some(field))), ty }
            })
            .collect();
        let test = self.compare_typed_rows_any(left, op, right, position)?;
        let test = if all { Expr::Not(Box::new(test)) } else { test };
        let any = Expr::InSubquery(InSubquery {
            expr: Box::new(test),
            subquery: subquery(rows.plan),
            negated: false,
        });
        Ok(Typed::bool(if all { Expr::Not(Box::new(any)) } else { any }))
    }

    fn compare_typed_rows_any(
        &self,
        mut left: Vec<Typed>,
        op: &str,
        mut right: Vec<Typed>,
        position: u32,
    ) -> SqlResult<Expr> {
        let test = match (left.len(), left.pop(), right.pop()) {
            (1, Some(left), Some(right)) => self.operate(op, left, right, position)?,
            (_, Some(last_left), Some(last_right)) => {
                left.push(last_left);
                right.push(last_right);
                self.compare_typed_rows(left, op, right, position)?
            }
            _ => return Err(SqlError::internal("comparison of no columns")),
        };
        self.boolean(test, "a comparison with a subquery", position)
    }

    /// `ARRAY(SELECT ..)`, in the order of the rows.
    pub fn array_subquery(&self, query: &ast::Query, cx: Context<'_>) -> SqlResult<Typed> {
        let rows = self.subquery_rows(query, cx)?;
        let [column] = rows.columns.as_slice() else {
            // At the parenthesis before the query.
            let position = self.query_position(query).saturating_sub(1);
            return Err(self.at(too_many_columns(), position));
        };
        let value = self.resolve_unknown(Typed {
            expr: Expr::Column(column.column.clone()),
            ty: column.ty.clone(),
        })?;
        let ty = PgType::Array(Box::new(value.ty.clone()));
        let number = plan::row_number(Vec::new(), self.sorted_by(&rows)?)?;
        let position = Expr::Column(plan::output_column(&number));
        let numbered = plan::window(rows.plan.clone(), vec![number])?;
        let value_name = self.fresh("item");
        let key_name = self.fresh("position");
        let numbered = plan::project(
            numbered,
            vec![value.expr.clone().alias(&value_name.name), position.alias(&key_name.name)],
        )?;
        let collected = functions::collect_array(
            Expr::Column(value_name),
            vec![Expr::Column(key_name).sort(true, false)],
        );
        let output = plan::output_column(&collected);
        let aggregated = plan::aggregate(numbered, Vec::new(), vec![collected])?;
        let empty = crate::casts::cast(
            Typed::unknown("{}"),
            &ty,
            crate::casts::CastKind::Explicit,
            &self.env,
        )?;
        let name = self.fresh("array");
        let value = df(when(Expr::Column(output.clone()).is_null(), empty.expr)
            .otherwise(Expr::Column(output)))?;
        let one = plan::project(aggregated, vec![value.alias(&name.name)])?;
        Ok(Typed { expr: Expr::ScalarSubquery(subquery(one)), ty })
    }

    /// Filters by a condition whose subqueries become joins.
    pub fn filter(&self, mut plan: LogicalPlan, condition: Expr) -> SqlResult<LogicalPlan> {
        let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let width = columns.len();
        let mut rest = Vec::new();
        for part in split_conjunction_owned(condition) {
            let (negated, part) = without_not(part);
            match part {
                Expr::Exists(Exists { subquery, .. }) => {
                    let kind = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
                    plan = self.dependent_join(plan, owned(subquery), kind, None)?;
                }
                // A negated one must tell false from unknown: see `mark_any`.
                Expr::InSubquery(any) if !negated => {
                    let (attached, test) = self.attach_one(plan, *any.expr)?;
                    let on = Some(bind_row(test)?);
                    let right = owned(any.subquery);
                    plan = self.dependent_join(attached, right, JoinType::LeftSemi, on)?;
                }
                Expr::InSubquery(any) if is_never_null(&any, &plan) => {
                    let (attached, test) = self.attach_one(plan, *any.expr)?;
                    let on = Some(bind_row(test)?);
                    let right = owned(any.subquery);
                    plan = self.dependent_join(attached, right, JoinType::LeftAnti, on)?;
                }
                other => rest.push(if negated { Expr::Not(Box::new(other)) } else { other }),
            }
        }
        // Those first that ask for nothing more, in one node: a plan is not to be as deep as its
        // conditions are many.
        let (more, own): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(super::setop::contains_subquery);
        if !own.is_empty() {
            plan = plan::filter(plan, super::expr::operator::all(own))?;
        }
        let mut attached = Attached { plan: Some(plan), values: Vec::new() };
        for part in more {
            let part = self.attach_within(&mut attached, part)?;
            attached.plan = Some(plan::filter(attached.take()?, part)?);
        }
        let plan = attached.take()?;
        if plan.schema().fields().len() == width { Ok(plan) } else { plan::project(plan, columns) }
    }

    pub fn attach_one(&self, plan: LogicalPlan, expr: Expr) -> SqlResult<(LogicalPlan, Expr)> {
        let (plan, mut exprs) = self.attach(plan, vec![expr])?;
        let expr = exprs.pop().ok_or_else(|| SqlError::internal("an expression went missing"))?;
        Ok((plan, expr))
    }

    /// Joins what the expressions' subqueries need to `plan`, and gives the expressions over it.
    pub fn attach(
        &self,
        plan: LogicalPlan,
        exprs: Vec<Expr>,
    ) -> SqlResult<(LogicalPlan, Vec<Expr>)> {
        let mut plan = Attached { plan: Some(plan), values: Vec::new() };
        let mut attached = Vec::with_capacity(exprs.len());
        for expr in exprs {
            attached.push(self.attach_within(&mut plan, expr)?);
        }
        Ok((plan.take()?, attached))
    }

    fn attach_within(&self, plan: &mut Attached, expr: Expr) -> SqlResult<Expr> {
        plan::replace(expr, |node| {
            if let Some((_, value)) = plan.values.iter().find(|(known, _)| known == node) {
                return Ok(Some(value.clone()));
            }
            let (joined, value) = match node {
                Expr::ScalarSubquery(scalar) => {
                    if outer_columns(&scalar.subquery)?.is_empty() {
                        return Ok(None);
                    }
                    self.join_scalar(plan.take()?, owned(scalar.clone()))?
                }
                Expr::Exists(exists) => {
                    self.join_mark(plan.take()?, owned(exists.subquery.clone()), None)?
                }
                Expr::InSubquery(any) => {
                    let test = self.attach_within(plan, (*any.expr).clone())?;
                    self.mark_any(plan.take()?, owned(any.subquery.clone()), test)?
                }
                _ => return Ok(None),
            };
            plan.plan = Some(joined);
            plan.values.push((node.clone(), value.clone()));
            Ok(Some(value))
        })
    }

    /// `x op ANY (rows)`: true if a row passes, else unknown if one may, else false.
    fn mark_any(
        &self,
        plan: LogicalPlan,
        rows: LogicalPlan,
        test: Expr,
    ) -> SqlResult<(LogicalPlan, Expr)> {
        let test = bind_row(test)?;
        let (plan, passes) = self.join_mark(plan, rows.clone(), Some(test.clone()))?;
        let (plan, may_pass) = self.join_mark(plan, rows, Some(Expr::IsNull(Box::new(test))))?;
        let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
        let value = df(when(passes, lit(true)).when(may_pass, unknown).otherwise(lit(false)))?;
        Ok((plan, value))
    }

    fn join_mark(
        &self,
        plan: LogicalPlan,
        rows: LogicalPlan,
        on: Option<Expr>,
    ) -> SqlResult<(LogicalPlan, Expr)> {
        let columns = plan.schema().columns();
        let joined = self.dependent_join(plan, rows, JoinType::LeftMark, on)?;
        let mark = joined
            .schema()
            .columns()
            .pop()
            .ok_or_else(|| SqlError::internal("a mark join without a mark"))?;
        let name = self.fresh("exists");
        let mut exprs: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
        exprs.push(Expr::Column(mark).alias(&name.name));
        Ok((plan::project(joined, exprs)?, Expr::Column(name)))
    }

    /// Left join of a correlated subquery of one column and at most one row per outer row.
    fn join_scalar(&self, plan: LogicalPlan, rows: LogicalPlan) -> SqlResult<(LogicalPlan, Expr)> {
        // Rows are counted per outer row, after the join: what no outer row asks for may be many.
        let (rows, collected) = match yields_at_most_one(&rows) {
            true => (rows, false),
            false => (self.collected(rows)?, true),
        };
        let (plan, value) = self.join_one_row(plan, rows)?;
        if !collected {
            return Ok((plan, value));
        }
        let rows = Typed { expr: super::lists::length_of(value.clone()), ty: PgType::Int8 };
        let index = self.call("at_most_one_row", vec![rows], 0)?;
        Ok((plan, super::lists::element_of(value, index.expr)))
    }

    /// Left join of a correlated subquery whose shape says that it yields at most one row.
    fn join_one_row(&self, plan: LogicalPlan, rows: LogicalPlan) -> SqlResult<(LogicalPlan, Expr)> {
        let column = first_column(&rows)?;
        if let Some(joined) = self.join_scalar_aggregate(&plan, &rows)? {
            return Ok(joined);
        }
        let joined = self.dependent_join(plan, rows, JoinType::Left, None)?;
        let output = joined
            .schema()
            .columns()
            .into_iter()
            .find(|candidate| candidate.name == column.name)
            .unwrap_or(column);
        Ok((joined, Expr::Column(output)))
    }

    /// The subquery's values as one array.
    fn collected(&self, rows: LogicalPlan) -> SqlResult<LogicalPlan> {
        let all = functions::collect_array(Expr::Column(first_column(&rows)?), Vec::new());
        let output = plan::output_column(&all);
        let aggregated = plan::aggregate(rows, Vec::new(), vec![all])?;
        let name = self.fresh("values");
        plan::project(aggregated, vec![Expr::Column(output).alias(&name.name)])
    }

    /// The common case: one aggregate over rows that the outer row selects by equality. Grouped
    /// by the compared values, it is joined once.
    fn join_scalar_aggregate(
        &self,
        plan: &LogicalPlan,
        rows: &LogicalPlan,
    ) -> SqlResult<Option<(LogicalPlan, Expr)>> {
        let LogicalPlan::Projection(Projection { expr, input, .. }) = rows else {
            return Ok(None);
        };
        let LogicalPlan::Aggregate(aggregate) = input.as_ref() else { return Ok(None) };
        let [value] = expr.as_slice() else { return Ok(None) };
        let refers = |e: &Expr| e.contains_outer();
        if !aggregate.group_expr.is_empty()
            || refers(value)
            || aggregate.aggr_expr.iter().any(refers)
        {
            return Ok(None);
        }
        let Some((source, conditions)) = pull_up(aggregate.input.as_ref().clone())? else {
            return Ok(None);
        };
        // Outer columns must be this plan's: those of a query further out stay references.
        let own = plan.schema().clone();
        let mut keys = Vec::new();
        let mut tests = Vec::new();
        for condition in conditions {
            // A condition on the outer row alone decides whether there are any rows for it.
            if condition.column_refs().is_empty() {
                tests.push(outer_reference_to_self(condition, &own)?);
                continue;
            }
            match key_pair(condition) {
                Some(pair) => keys.push(pair),
                None => return Ok(None),
            }
        }
        let mut group = Vec::new();
        let mut named = Vec::new();
        for (outer, inner) in keys {
            let name = self.fresh("key");
            tests.push(outer_reference_to_self(outer, &own)?.eq(Expr::Column(name.clone())));
            named.push(inner.alias(&name.name));
            group.push(Expr::Column(name));
        }
        let source = plan::extend(source, named)?;
        let group_columns: Vec<Expr> = group.clone();
        let grouped = plan::aggregate(source, group, aggregate.aggr_expr.clone())?;
        let marker = self.fresh("found");
        let mut exprs: Vec<Expr> = group_columns;
        // Names given to aggregates here are unique beside the outer plan's.
        let mut outputs = Vec::new();
        for aggregate in &aggregate.aggr_expr {
            let output = plan::output_column(aggregate);
            let name = self.fresh("aggregate");
            exprs.push(Expr::Column(output.clone()).alias(&name.name));
            outputs.push((output, name, aggregate));
        }
        exprs.push(lit(true).alias(&marker.name));
        let grouped = plan::project(grouped, exprs)?;
        let joined =
            plan::join(plan.clone(), grouped, JoinType::Left, tests.into_iter().reduce(Expr::and))?;
        let value = plan::replace(value.clone().unalias(), |node| {
            let Expr::Column(column) = node else { return Ok(None) };
            match outputs.iter().find(|(output, _, _)| output == column) {
                Some((_, name, aggregate)) => {
                    value_or_default(name, aggregate, &marker, &joined).map(Some)
                }
                None => Ok(None),
            }
        })?;
        Ok(Some((joined, value)))
    }
}

/// A plan that subqueries are joined to, and what each is then. One that stands in an expression
/// several times is joined once.
struct Attached {
    plan: Option<LogicalPlan>,
    values: Vec<(Expr, Expr)>,
}

impl Attached {
    fn take(&mut self) -> SqlResult<LogicalPlan> {
        self.plan.take().ok_or_else(|| SqlError::internal("a plan went missing"))
    }
}

pub(super) fn subquery(plan: LogicalPlan) -> Subquery {
    Subquery { subquery: Arc::new(plan), outer_ref_columns: Vec::new(), spans: Default::default() }
}

fn first_column(rows: &LogicalPlan) -> SqlResult<Column> {
    let column = rows.schema().columns().into_iter().next();
    column.ok_or_else(|| SqlError::internal("a scalar subquery without a column"))
}

fn owned(subquery: Subquery) -> LogicalPlan {
    Arc::unwrap_or_clone(subquery.subquery)
}

fn without_not(expr: Expr) -> (bool, Expr) {
    match expr {
        Expr::Not(inner) => {
            let (negated, expr) = without_not(*inner);
            (!negated, expr)
        }
        other => (false, other),
    }
}

/// The subquery's columns in a comparison as columns of the joined plan.
fn bind_row(test: Expr) -> SqlResult<Expr> {
    plan::replace(test, |node| {
        Ok(match node {
            Expr::LambdaVariable(variable) => {
                Some(Expr::Column(Column::new_unqualified(&variable.name)))
            }
            _ => None,
        })
    })
}

/// Whether the comparison cannot be unknown: a plain `=` of columns that are not nullable.
fn is_never_null(any: &InSubquery, plan: &LogicalPlan) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = any.expr.as_ref() else {
        return false;
    };
    let own = match left.as_ref() {
        Expr::Column(column) => {
            plan.schema().field_from_column(column).is_ok_and(|field| !field.is_nullable())
        }
        Expr::Literal(value, _) => !value.is_null(),
        _ => false,
    };
    let inner = match right.as_ref() {
        Expr::LambdaVariable(variable) => any
            .subquery
            .subquery
            .schema()
            .field_with_unqualified_name(&variable.name)
            .is_ok_and(|field| !field.is_nullable()),
        _ => false,
    };
    own && inner
}

/// `outer = inner` taken apart.
fn key_pair(condition: Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return None;
    };
    let only_outer = |e: &Expr| e.contains_outer() && e.column_refs().is_empty();
    if only_outer(&left) && !right.contains_outer() {
        Some((*left, *right))
    } else if only_outer(&right) && !left.contains_outer() {
        Some((*right, *left))
    } else {
        None
    }
}

/// Whether the plan's shape says that it has no second row.
fn yields_at_most_one(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(node) => yields_at_most_one(&node.input),
        LogicalPlan::Filter(node) => yields_at_most_one(&node.input),
        LogicalPlan::Sort(node) => yields_at_most_one(&node.input),
        LogicalPlan::Aggregate(node) => node.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Limit(Limit { fetch: Some(fetch), .. }) => {
            matches!(fetch.as_ref(), Expr::Literal(ScalarValue::Int64(Some(0..=1)), _))
        }
        _ => false,
    }
}

fn too_many_columns() -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "subquery must return only one column")
}

fn column_count(have: usize, want: usize) -> SqlError {
    let message =
        if have > want { "subquery has too many columns" } else { "subquery has too few columns" };
    SqlError::new(SqlState::SYNTAX_ERROR, message)
}
