//! UNION, INTERSECT, EXCEPT and VALUES.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, LogicalPlan, Union, Values};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, arrow_types};
use sqlparser::ast::{self, SetExpr, SetOperator, SetQuantifier};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::plan;
use super::query::{Rows, RowsColumn, Unknowns};
use super::scope::Scope;
use super::window::NamedWindows;
use crate::casts::{self, CastKind};
use crate::functions::Typed;
use crate::operators;

impl Binder<'_> {
    #[allow(clippy::too_many_arguments, reason = "the parts of the syntax node")]
    #[recursive::recursive]
    pub fn set_operation(
        &self,
        left: &SetExpr,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
        unknowns: Unknowns,
    ) -> SqlResult<Rows> {
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            _ => return Err(self.not_postgresql(right)),
        };
        let name = match op {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
            SetOperator::Minus => return Err(self.not_postgresql(right)),
        };
        super::row_locks::refuse_in_operand(left)?;
        super::row_locks::refuse_in_operand(right)?;
        let left_rows = self.body(left, outer, ctes, Unknowns::Keep)?.exact()?;
        let right_rows = self.body(right, outer, ctes, Unknowns::Keep)?.exact()?;
        let position = right_rows.columns.first().map_or(0, |column| column.position);
        if left_rows.columns.len() != right_rows.columns.len() {
            return Err(self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!("each {name} query must have the same number of columns"),
                ),
                position,
            ));
        }
        let mut types = Vec::with_capacity(left_rows.columns.len());
        for (l, r) in left_rows.columns.iter().zip(&right_rows.columns) {
            let both_unknown = l.ty == PgType::Unknown && r.ty == PgType::Unknown;
            types.push(if both_unknown && unknowns == Unknowns::Keep {
                PgType::Unknown
            } else {
                self.common_type([(&l.ty, l.position), (&r.ty, r.position)].into_iter(), name)?
            });
        }
        let names: Vec<String> = left_rows.columns.iter().map(|c| c.name.clone()).collect();
        let typmods: Vec<i32> = left_rows
            .columns
            .iter()
            .zip(&right_rows.columns)
            .map(|(l, r)| if l.typmod == r.typmod { l.typmod } else { -1 })
            .collect();
        let left = self.as_types(left_rows, &types)?;
        let right = self.as_types(right_rows, &types)?;
        if op != SetOperator::Union || !all {
            for ty in &types {
                self.comparable(ty, position)?;
            }
        }
        let mut rows = match op {
            SetOperator::Union => {
                let inputs = vec![Arc::new(left), Arc::new(right)];
                let plan = LogicalPlan::Union(plan::df(Union::try_new_with_loose_types(inputs))?);
                let rows = self.named_output(plan, names, types)?;
                if all { rows } else { self.distinct_output(rows)? }
            }
            _ => {
                let kind = match op {
                    SetOperator::Intersect => JoinType::LeftSemi,
                    _ => JoinType::LeftAnti,
                };
                self.matching(left, right, kind, all, names, types)?
            }
        };
        for (column, typmod) in rows.columns.iter_mut().zip(typmods) {
            column.typmod = typmod;
        }
        Ok(rows)
    }

    /// INTERSECT and EXCEPT: equal rows are paired one to one, NULLs being equal.
    fn matching(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        kind: JoinType,
        all: bool,
        names: Vec<String>,
        types: Vec<PgType>,
    ) -> SqlResult<Rows> {
        let rows = self.named_output(left, names, types.clone())?;
        let rows = if all { rows } else { self.distinct_output(rows)? };
        let columns = rows.columns.clone();
        let keyed = |plan: &LogicalPlan| -> Vec<Expr> {
            plan.schema()
                .columns()
                .into_iter()
                .zip(&types)
                .map(|(column, ty)| {
                    let value = Typed { expr: Expr::Column(column), ty: ty.clone() };
                    operators::grouping_key(&value).unwrap_or(value.expr)
                })
                .collect()
        };
        let (mut left_keys, mut right_keys) = (keyed(&rows.plan), keyed(&right));
        let (mut left, mut right) = (rows.plan, right);
        if all {
            // The n-th of equal rows on one side goes with the n-th on the other.
            for (side, keys) in [(&mut left, &mut left_keys), (&mut right, &mut right_keys)] {
                let number = plan::row_number(keys.clone(), Vec::new())?;
                let output = Expr::Column(plan::output_column(&number));
                let windowed = plan::window(std::mem::take(side), vec![number])?;
                let name = self.fresh("number");
                let width = windowed.schema().fields().len() - 1;
                let mut exprs: Vec<Expr> =
                    windowed.schema().columns().into_iter().take(width).map(Expr::Column).collect();
                exprs.push(output.alias(&name.name));
                *side = plan::project(windowed, exprs)?;
                keys.push(Expr::Column(name));
            }
        }
        let keys = left_keys.into_iter().zip(right_keys).collect();
        let joined = plan::join_keys(left, right, kind, keys, None, NullEquality::NullEqualsNull)?;
        Rows { plan: joined, columns, order: Vec::new(), arrival: Vec::new() }.exact()
    }

    fn distinct_output(&self, rows: Rows) -> SqlResult<Rows> {
        let typed: Vec<_> = rows.columns.iter().map(|c| (c.column.clone(), c.ty.clone())).collect();
        Ok(Rows { plan: self.distinct_rows(rows.plan, &typed)?, ..rows })
    }

    /// The branch's columns cast to the common types, under fresh names.
    fn as_types(&self, rows: Rows, types: &[PgType]) -> SqlResult<LogicalPlan> {
        let mut exprs = Vec::with_capacity(types.len());
        for (column, ty) in rows.columns.iter().zip(types) {
            let value = Typed { expr: Expr::Column(column.column.clone()), ty: column.ty.clone() };
            let cast = self
                .cast_column(value, ty, &rows.plan)
                .map_err(|error| self.at(error, column.position))?;
            exprs.push(cast.alias(self.fresh(&column.name).name));
        }
        plan::project(rows.plan, exprs)
    }

    /// Casts a branch's column. One that is an untyped literal or parameter is read back from the
    /// plan, so that its text goes through the type's input and not through a cast of text.
    pub fn cast_column(&self, value: Typed, ty: &PgType, plan: &LogicalPlan) -> SqlResult<Expr> {
        if value.ty == PgType::Unknown
            && *ty != PgType::Unknown
            && let (Expr::Column(column), LogicalPlan::Projection(projection)) = (&value.expr, plan)
        {
            let source = projection.expr.iter().find(|e| e.qualified_name().1 == column.name);
            if let Some(source @ (Expr::Alias(_) | Expr::Literal(..))) = source {
                let inner = source.clone().unalias();
                if matches!(inner, Expr::Literal(..) | Expr::Placeholder(_)) {
                    let typed = Typed { expr: inner, ty: PgType::Unknown };
                    return Ok(self.cast_at(typed, ty, CastKind::Implicit, 0)?.expr);
                }
            }
        }
        Ok(self.cast_at(value, ty, CastKind::Implicit, 0)?.expr)
    }

    fn named_output(
        &self,
        plan: LogicalPlan,
        names: Vec<String>,
        types: Vec<PgType>,
    ) -> SqlResult<Rows> {
        let columns = plan
            .schema()
            .columns()
            .into_iter()
            .zip(names)
            .zip(types)
            .map(|((column, name), ty)| RowsColumn {
                name,
                column,
                ty,
                origin: None,
                typmod: -1,
                position: 0,
            })
            .collect();
        Ok(Rows { plan, columns, order: Vec::new(), arrival: Vec::new() })
    }

    /// `VALUES (..), (..)`: columns named `column1` and on.
    pub fn values(
        &self,
        rows: &[&[ast::Expr]],
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
        unknowns: Unknowns,
    ) -> SqlResult<Rows> {
        let width = rows.first().map_or(0, |row| row.len());
        let scope = Scope::new(outer, Vec::new());
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Values);
        let mut bound: Vec<Vec<Typed>> = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                let position = row.first().map_or(0, |e| self.start(e));
                return Err(self.at(
                    SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        "VALUES lists must all be the same length",
                    ),
                    position,
                ));
            }
            bound.push(
                row.iter()
                    .map(|e| {
                        if super::dml::is_default(e) {
                            return Err(self.at(
                                SqlError::new(
                                    SqlState::SYNTAX_ERROR,
                                    "DEFAULT is not allowed in this context",
                                ),
                                self.start(e),
                            ));
                        }
                        self.expr(e, cx)
                    })
                    .collect::<SqlResult<_>>()?,
            );
        }
        let mut types = Vec::with_capacity(width);
        for index in 0..width {
            let all_unknown = bound.iter().all(|row| row[index].ty == PgType::Unknown);
            types.push(if all_unknown && unknowns == Unknowns::Keep {
                PgType::Unknown
            } else {
                let column = bound
                    .iter()
                    .zip(rows)
                    .map(|(row, written)| (&row[index].ty, self.start(&written[index])));
                self.common_type(column, "VALUES")?
            });
        }
        let mut exprs: Vec<Vec<Expr>> = Vec::with_capacity(bound.len());
        for (row, written) in bound.into_iter().zip(rows) {
            let mut cast = Vec::with_capacity(width);
            for ((value, ty), e) in row.into_iter().zip(&types).zip(written.iter()) {
                let value = match ty {
                    PgType::Unknown => value,
                    _ => casts::cast(value, ty, CastKind::Implicit, &self.env)
                        .map_err(|error| self.at(error, self.start(e)))?,
                };
                cast.push(value.expr);
            }
            exprs.push(cast);
        }
        let plan = self.values_plan(exprs, &types)?;
        let names = (1..=width).map(|n| format!("column{n}")).collect();
        self.named_output(plan, names, types)
    }

    /// Rows of expressions as a plan with fresh column names. Rows that hold subqueries or outer
    /// references are projections, united.
    pub fn values_plan(
        &self,
        mut rows: Vec<Vec<Expr>>,
        types: &[PgType],
    ) -> SqlResult<LogicalPlan> {
        let names: Vec<String> = types.iter().map(|_| self.fresh("column").name).collect();
        let plain = |e: &Expr| !e.contains_outer() && !contains_subquery(e);
        if rows.len() > 1 && rows.iter().flatten().all(plain) {
            // A plan that travels brings its VALUES under these names, whatever they were.
            let fields: Vec<_> = types
                .iter()
                .enumerate()
                .map(|(index, ty)| {
                    let name = format!("column{}", index + 1);
                    datafusion::arrow::datatypes::Field::new(name, arrow_types::data_type(ty), true)
                })
                .collect();
            let schema = plan::df(DFSchema::try_from(Schema::new(fields)))?;
            let plan = LogicalPlan::Values(Values { schema: Arc::new(schema), values: rows });
            let own = plan.schema().columns().into_iter().map(Expr::Column);
            let named = own.zip(&names).map(|(column, name)| column.alias(name)).collect();
            return plan::project(plan, named);
        }
        let row_plan = |row: Vec<Expr>| {
            let (plan, row) = self.attach(plan::one_row(), row)?;
            let named = row.into_iter().zip(&names).map(|(e, name)| e.alias(name)).collect();
            plan::project(plan, named)
        };
        if rows.len() == 1
            && let Some(row) = rows.pop()
        {
            return row_plan(row);
        }
        let inputs = rows
            .into_iter()
            .map(|row| row_plan(row).map(Arc::new))
            .collect::<SqlResult<Vec<_>>>()?;
        Ok(LogicalPlan::Union(plan::df(Union::try_new_with_loose_types(inputs))?))
    }
}

pub(super) fn contains_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| {
        Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))
    })
    .unwrap_or(true)
}
