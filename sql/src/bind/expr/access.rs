//! Subscripts: of arrays (from 1), points (`[0]`, `[1]`) and jsonb.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, AccessExpr, Spanned, Subscript};

use super::{Binder, Context};
use crate::casts::CastKind;
use crate::functions::Typed;

impl Binder<'_> {
    pub fn access(
        &self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        // `t.a[1]` parses as t, then field a, then the subscript.
        let (mut value, chain) = match (root, chain) {
            (
                ast::Expr::Identifier(relation),
                [AccessExpr::Dot(ast::Expr::Identifier(column)), rest @ ..],
            ) => (self.compound(&[relation.clone(), column.clone()], cx)?, rest),
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
                AccessExpr::Dot(field) => {
                    return Err(self.at(
                        SqlError::new(
                            SqlState::WRONG_OBJECT_TYPE,
                            format!(
                                "column notation .{field} applied to type {}, which is not a \
                                 composite type",
                                value.ty
                            ),
                        ),
                        self.position(field.span()),
                    ));
                }
            };
        }
        Ok(value)
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
                let index = self.cast_at(index, &PgType::Int4, CastKind::Assignment, at)?;
                self.call("array_element", vec![value, index], position)
            }
            PgType::Point => {
                let index = self.cast_at(index, &PgType::Int4, CastKind::Assignment, at)?;
                self.call("point_element", vec![value, index], position)
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
                self.cast_at(typed, &PgType::Int4, CastKind::Assignment, self.start(expr))
            }
            None => Ok(Typed::int4(end)),
        };
        let args = vec![value, bound(lower, i32::MIN)?, bound(upper, i32::MAX)?];
        self.call("array_slice", args, position)
    }
}

fn not_subscriptable(ty: &PgType) -> SqlError {
    SqlError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("cannot subscript type {ty} because it does not support subscripting"),
    )
}
