//! Subscripts: of arrays (from 1), points (`[0]`, `[1]`) and jsonb.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, AccessExpr, Spanned, Subscript};

use super::{Binder, Context};
use crate::bind::names::fold;
use crate::casts::CastKind;
use crate::functions::{self, Typed};
use crate::parse;

impl Binder<'_> {
    pub fn access(
        &self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let is_spread =
            |it: &&AccessExpr| matches!(it, AccessExpr::Dot(f) if parse::is_all_fields(f));
        if chain.iter().any(|it| is_spread(&it)) {
            let error = SqlError::unsupported("row expansion via \"*\" is not supported here");
            return Err(self.at(error, self.start(root)));
        }
        // `t.a[1]` parses as t, then field a, then the subscript. `(t).a` is the same column, unless
        // t is a column itself.
        let relation = match root {
            ast::Expr::Identifier(relation) => Some(relation),
            ast::Expr::Nested(inner) => match inner.as_ref() {
                ast::Expr::Identifier(relation) => {
                    cx.scope.column(relation, 0)?.is_none().then_some(relation)
                }
                _ => None,
            },
            _ => None,
        };
        let (mut value, chain) = match (relation, chain) {
            (Some(relation), [AccessExpr::Dot(ast::Expr::Identifier(column)), rest @ ..]) => {
                (self.compound(&[relation.clone(), column.clone()], cx)?, rest)
            }
            _ => (self.expr(root, cx)?, chain),
        };
        let position = self.start(root);
        for access in chain {
            value = match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    self.element(value, index, position, cx)?
                }
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride: None,
                }) => {
                    self.slice(value, lower_bound.as_ref(), upper_bound.as_ref(), position, cx)?
                }
                AccessExpr::Subscript(Subscript::Slice { .. }) => {
                    return Err(self.not_postgresql(root));
                }
                AccessExpr::Dot(field) => self.field(&value, field)?,
            };
        }
        Ok(value)
    }

    /// `(row).name`.
    fn field(&self, value: &Typed, field: &ast::Expr) -> SqlResult<Typed> {
        let position = self.position(field.span());
        let name = match field {
            ast::Expr::Identifier(name) => fold(name),
            other => return Err(self.not_postgresql(other)),
        };
        // One function gives rows that are no call of `record`: its columns are known.
        if let (PgType::Record, Some(index)) =
            (&value.ty, ["x", "n"].iter().position(|f| *f == name))
            && functions::records::fields(value).is_none()
        {
            let args = vec![value.clone(), Typed::int4(index as i32)];
            return self.call("_pg_expandarray field", args, position);
        }
        let fields = functions::records::fields(value).ok_or_else(|| {
            let message = format!(
                "column notation .{name} applied to type {}, which is not a composite type",
                value.ty
            );
            self.at(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message), position)
        })?;
        let found = fields.into_iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| value).ok_or_else(|| {
            let message = format!("could not identify column \"{name}\" in record data type");
            self.at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), position)
        })
    }

    fn element(
        &self,
        value: Typed,
        index: &ast::Expr,
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let at = self.start(index);
        let index = self.expr(index, cx)?;
        match &value.ty {
            PgType::Array(_) => {
                let mut index = self.cast_at(index, &PgType::Int4, CastKind::Assignment, at)?;
                if self.is_vector(&value, cx) {
                    index = self.subscript_of_vector(index, at)?;
                }
                self.call("array_element", vec![value, index], position)
            }
            PgType::Point => {
                let index = self.cast_at(index, &PgType::Int4, CastKind::Assignment, at)?;
                self.call("point_element", vec![value, index], position)
            }
            PgType::Name => {
                let index = self.cast_at(index, &PgType::Int4, CastKind::Assignment, at)?;
                self.call("name_element", vec![value, index], position)
            }
            PgType::Jsonb => self.operate("->", value, index, position),
            other => Err(self.at(not_subscriptable(other), position)),
        }
    }

    fn slice(
        &self,
        value: Typed,
        lower: Option<&ast::Expr>,
        upper: Option<&ast::Expr>,
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        if !value.ty.is_array() {
            return Err(self.at(not_subscriptable(&value.ty), position));
        }
        let bound = |bound: Option<&ast::Expr>, end: i32| match bound {
            Some(expr) => {
                let typed = self.expr(expr, cx)?;
                let at = self.start(expr);
                let typed = self.cast_at(typed, &PgType::Int4, CastKind::Assignment, at)?;
                match self.is_vector(&value, cx) {
                    true => self.subscript_of_vector(typed, at),
                    false => Ok(typed),
                }
            }
            None => Ok(Typed::int4(end)),
        };
        let (lower, upper) = (bound(lower, i32::MIN)?, bound(upper, i32::MAX)?);
        let args = vec![value, lower, upper];
        self.call("array_slice", args, position)
    }
}

pub(in crate::bind) fn not_composite(ty: &PgType) -> SqlError {
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("type {ty} is not composite"))
}

fn not_subscriptable(ty: &PgType) -> SqlError {
    SqlError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("cannot subscript type {ty} because it does not support subscripting"),
    )
}
