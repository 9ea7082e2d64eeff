//! Assignments, to whole columns and to parts: `a[2] = 5`, `a[2:3] = '{1,2}'`, `j['k'] = '1'`.
//!
//! A part is assigned by a function of the column's value: the one before the statement, or the
//! one that an assignment to another part has made of it. INSERT begins with NULL.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, AccessExpr, Assignment, AssignmentTarget, Subscript};

use super::{Binder, column_at, is_default};
use crate::bind::expr::{Context, row};
use crate::bind::names;
use crate::bind::plan;
use crate::casts::CastKind;
use crate::catalog_view::TableInfo;
use crate::functions::Typed;
use crate::parse::{self, Source};

/// What a statement assigns to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'n> {
    pub index: usize,
    /// The text of its subscripts.
    pub part: Option<&'n str>,
    pub position: u32,
}

impl Target<'_> {
    pub fn whole(index: usize) -> Self {
        Self { index, part: None, position: 0 }
    }
}

/// A value on the right side, and where it stands.
enum Assigned {
    Default,
    Value(Typed, u32),
}

/// Which part of a value subscripts name, in types.
enum Part {
    Element {
        index: Typed,
        ty: PgType,
    },
    /// Bounds that are left out are NULL, and noted so.
    Slice {
        bounds: [Typed; 2],
        given: [bool; 2],
    },
    /// Of jsonb: the way to it, and whether that begins with a number.
    Path {
        path: Typed,
        in_array: bool,
    },
}

impl Binder<'_> {
    /// Puts what SET says into the values of a row, and gives the columns that it assigns to.
    pub(super) fn assignments(
        &self,
        assignments: &[Assignment],
        table: &TableInfo,
        values: &mut [Expr],
        cx: Context<'_>,
    ) -> SqlResult<Vec<usize>> {
        let (mut whole, mut parts): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for assignment in assignments {
            for (target, value) in self.assignment(assignment, table, cx)? {
                let index = target.index;
                let column = column_at(table, index)?;
                if whole.contains(&index) || target.part.is_none() && parts.contains(&index) {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!("multiple assignments to same column \"{}\"", column.name),
                    ));
                }
                let new = match (target.part, value) {
                    (None, Assigned::Default) => self.default_or_null(table, index)?,
                    (None, Assigned::Value(value, at)) => self.assign(value, table, index, at)?,
                    (Some(_), Assigned::Default) => {
                        return Err(self.at(default_of_part(), target.position));
                    }
                    (Some(_), Assigned::Value(value, at)) => {
                        let expr = std::mem::take(&mut values[index]);
                        let current = Typed { expr, ty: column.ty.clone() };
                        self.assign_part(current, value, table, target, at, cx)?
                    }
                };
                values[index] = new;
                if target.part.is_some() { &mut parts } else { &mut whole }.push(index);
            }
        }
        whole.extend(parts);
        Ok(whole)
    }

    /// `column = value`, or `(a, b) = (..)`.
    fn assignment<'a>(
        &self,
        assignment: &'a Assignment,
        table: &TableInfo,
        cx: Context<'_>,
    ) -> SqlResult<Vec<(Target<'a>, Assigned)>> {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => {
                let target = self.assignment_target(name, table)?;
                let value = self.assigned_value(&assignment.value, table, target, cx)?;
                Ok(vec![(target, value)])
            }
            AssignmentTarget::Tuple(names) => {
                let targets = names
                    .iter()
                    .map(|name| self.assignment_target(name, table))
                    .collect::<SqlResult<Vec<_>>>()?;
                self.assign_row(&targets, &assignment.value, table, cx)
            }
        }
    }

    fn assign_row<'a>(
        &self,
        targets: &[Target<'a>],
        value: &ast::Expr,
        table: &TableInfo,
        cx: Context<'_>,
    ) -> SqlResult<Vec<(Target<'a>, Assigned)>> {
        let position = self.start(value);
        let mismatch = || {
            self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "number of columns does not match number of values",
                ),
                position,
            )
        };
        if let ast::Expr::Subquery(query) = value {
            cx.scope.asked_from.set(cx.clause);
            let rows = self.query(query, Some(cx.scope), cx.ctes)?.exact()?;
            if rows.columns.len() != targets.len() {
                return Err(mismatch());
            }
            return targets
                .iter()
                .zip(&rows.columns)
                .map(|(target, column)| {
                    // Unnamed columns of one row have names that the next subquery has, too.
                    let name = self.fresh("assigned").name;
                    let one = vec![Expr::Column(column.column.clone()).alias(name)];
                    let one = plan::project(rows.plan.clone(), one)?;
                    let value = Typed {
                        expr: Expr::ScalarSubquery(crate::bind::subquery::subquery(one)),
                        ty: column.ty.clone(),
                    };
                    self.check_writable(table, target.index, false)?;
                    Ok((*target, Assigned::Value(value, position)))
                })
                .collect();
        }
        let call_args: Vec<ast::Expr>;
        let fields = match (row(value), value) {
            (Some(fields), _) => fields,
            (None, ast::Expr::Function(call)) if names::last(&call.name)? == "row" => {
                call_args =
                    self.arguments(call)?.values.into_iter().map(|arg| arg.into_owned()).collect();
                call_args.as_slice()
            }
            (None, other) if targets.len() == 1 => std::slice::from_ref(other),
            _ => {
                return Err(self.at(
                    SqlError::unsupported(
                        "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() \
                         expression",
                    ),
                    position,
                ));
            }
        };
        if fields.len() != targets.len() {
            return Err(mismatch());
        }
        targets
            .iter()
            .zip(fields)
            .map(|(target, field)| Ok((*target, self.assigned_value(field, table, *target, cx)?)))
            .collect()
    }

    /// The column that a statement names, and what of it.
    pub(super) fn assignment_target<'n>(
        &self,
        name: &'n ast::ObjectName,
        table: &TableInfo,
    ) -> SqlResult<Target<'n>> {
        let mut parts = names::parts(name)?;
        let part = parts.last().and_then(|last| parse::subscripts(last));
        if part.is_some() {
            parts.pop();
        }
        match parts.as_slice() {
            [ident] => {
                let index = self.column_index(table, ident)?;
                Ok(Target { index, part, position: self.ident_position(ident) })
            }
            [first, ..] => {
                let error = self.column_index(table, first).err().unwrap_or_else(|| {
                    SqlError::unsupported(format!("cannot assign to field of column \"{first}\""))
                });
                Err(error)
            }
            [] => Err(SqlError::internal("assignment without a target")),
        }
    }

    fn assigned_value(
        &self,
        value: &ast::Expr,
        table: &TableInfo,
        target: Target<'_>,
        cx: Context<'_>,
    ) -> SqlResult<Assigned> {
        if is_default(value) {
            return Ok(Assigned::Default);
        }
        self.check_writable(table, target.index, false)?;
        Ok(Assigned::Value(self.expr(value, cx)?, self.start(value)))
    }

    fn default_or_null(&self, table: &TableInfo, index: usize) -> SqlResult<Expr> {
        if table.generated.get(index).is_some_and(Option::is_some) {
            return Ok(Typed::null(column_at(table, index)?.ty.clone())?.expr);
        }
        Ok(self.default_value(table, index)?.expr)
    }

    /// A column's value with a part of it replaced.
    pub(super) fn assign_part(
        &self,
        current: Typed,
        value: Typed,
        table: &TableInfo,
        target: Target<'_>,
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Expr> {
        let column = column_at(table, target.index)?;
        let part = self.part_named(&column.ty, target, cx)?;
        let ty = match &part {
            Part::Element { ty, .. } => ty,
            Part::Slice { .. } => &column.ty,
            Part::Path { .. } => &PgType::Jsonb,
        };
        let from = value.ty.without_modifier();
        let value = self.cast_at(value, ty, CastKind::Assignment, position).map_err(|error| {
            if error.state() != SqlState::CANNOT_COERCE {
                return error;
            }
            let message = format!(
                "subscripted assignment to \"{}\" requires type {} but expression is of type \
                 {from}",
                column.name,
                ty.without_modifier()
            );
            let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message)
                .hint("You will need to rewrite or cast the expression.");
            self.at(error, target.position)
        })?;
        let new = match part {
            Part::Element { index, .. } => {
                self.call("array element assigned", vec![current, index, value], 0)?
            }
            Part::Slice { bounds: [lower, upper], given: [from, to] } => {
                let given = [from, to].map(|given| Typed::bool(datafusion::prelude::lit(given)));
                let [from, to] = given;
                let args = vec![current, lower, from, upper, to, value];
                self.call("array slice assigned", args, 0)?
            }
            Part::Path { path, in_array } => {
                let in_array = Typed::bool(datafusion::prelude::lit(in_array));
                self.call("jsonb part assigned", vec![current, path, in_array, value], 0)?
            }
        };
        self.assign(new, table, target.index, 0)
    }

    /// The type of what subscripts name, for a value that is cast elsewhere.
    pub(super) fn type_of_part(
        &self,
        table: &TableInfo,
        target: Target<'_>,
        cx: Context<'_>,
    ) -> SqlResult<PgType> {
        let column = column_at(table, target.index)?;
        Ok(match self.part_named(&column.ty, target, cx)? {
            Part::Element { ty, .. } => ty,
            Part::Slice { .. } => column.ty.clone(),
            Part::Path { .. } => PgType::Jsonb,
        })
    }

    fn part_named(&self, ty: &PgType, target: Target<'_>, cx: Context<'_>) -> SqlResult<Part> {
        let text = format!("x{}", target.part.unwrap_or_default());
        let (parsed, _) = parse::parse_expression(&text)?;
        let ast::Expr::CompoundFieldAccess { access_chain, .. } = &parsed else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error in subscripts"));
        };
        let chain = access_chain
            .iter()
            .map(|access| match access {
                AccessExpr::Subscript(subscript) => Ok(subscript),
                AccessExpr::Dot(_) => Err(SqlError::unsupported("cannot assign to a field here")),
            })
            .collect::<SqlResult<Vec<_>>>()?;
        let binder = self.for_rewritten_text(Arc::new(Source::new(&text)));
        match ty {
            PgType::Array(element) => match chain.as_slice() {
                [one] => binder.part_of_array(element, one, cx),
                _ => Err(SqlError::unsupported("arrays of several dimensions are not supported")),
            },
            PgType::Jsonb => binder.part_of_jsonb(&chain, target.position, cx),
            other => {
                let message = format!(
                    "cannot subscript type {} because it does not support subscripting",
                    other.without_modifier()
                );
                let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message);
                Err(self.at(error, target.position))
            }
        }
    }

    fn part_of_array(
        &self,
        element: &PgType,
        subscript: &Subscript,
        cx: Context<'_>,
    ) -> SqlResult<Part> {
        let bound = |expr: &ast::Expr| {
            let typed = self.expr(expr, cx)?;
            let from = typed.ty.clone();
            self.cast_at(typed, &PgType::Int4, CastKind::Assignment, 0).map_err(|error| match error
                .state()
            {
                SqlState::CANNOT_COERCE => SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!("array subscript must have type integer, not {from}"),
                ),
                _ => error,
            })
        };
        match subscript {
            Subscript::Index { index } => {
                Ok(Part::Element { index: bound(index)?, ty: element.clone() })
            }
            Subscript::Slice { lower_bound, upper_bound, stride: None } => {
                let given = [lower_bound.is_some(), upper_bound.is_some()];
                let of = |expr: &Option<ast::Expr>| match expr {
                    Some(expr) => bound(expr),
                    None => Typed::null(PgType::Int4),
                };
                Ok(Part::Slice { bounds: [of(lower_bound)?, of(upper_bound)?], given })
            }
            Subscript::Slice { .. } => {
                Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \":\""))
            }
        }
    }

    fn part_of_jsonb(
        &self,
        chain: &[&Subscript],
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Part> {
        let steps = PgType::Array(Box::new(PgType::Text));
        let mut path = self.cast_at(Typed::unknown("{}"), &steps, CastKind::Explicit, 0)?;
        let mut in_array = false;
        for (depth, subscript) in chain.iter().enumerate() {
            let Subscript::Index { index } = subscript else {
                let error = SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    "jsonb subscript does not support slices",
                );
                return Err(self.at(error, position));
            };
            let mut step = self.expr(index, cx)?;
            match step.ty.without_modifier() {
                PgType::Int2 | PgType::Int4 => {
                    in_array |= depth == 0;
                    step = self.cast_at(step, &PgType::Int4, CastKind::Implicit, 0)?;
                }
                PgType::Unknown
                | PgType::Text
                | PgType::Varchar(_)
                | PgType::Bpchar(_)
                | PgType::Name => {}
                other => {
                    return Err(SqlError::new(
                        SqlState::DATATYPE_MISMATCH,
                        format!("subscript type {other} is not supported"),
                    )
                    .hint("jsonb subscript must be coercible to either integer or text."));
                }
            }
            let step = self.cast_at(step, &PgType::Text, CastKind::Explicit, 0)?;
            path = self.call("array_append", vec![path, step], 0)?;
        }
        Ok(Part::Path { path, in_array })
    }
}

pub(super) fn default_of_part() -> SqlError {
    SqlError::unsupported("cannot set an array element to DEFAULT")
}
