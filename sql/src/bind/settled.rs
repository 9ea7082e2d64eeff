//! Literals of stored expressions whose value depends on the moment or the session: `'now'`, or a
//! timestamptz without zone. PostgreSQL reads a literal when the expression is parsed, and stores
//! what it read; so the text that is stored here has that value, too.

use std::ops::ControlFlow;

use satsuma_common::PgType;
use satsuma_common::text::TextContext;
use sqlparser::ast::{self, Value};

use super::expr::operator::unnested;
use super::{BindContext, types};
use crate::casts::{convert, text};

/// Writes the values of such literals in place of them: of those that the expression casts, and of
/// the whole where it is a literal that will be a `to`.
pub fn settle_literals(expr: &mut ast::Expr, to: Option<&PgType>, context: &BindContext<'_>) {
    if let (Some(to), ast::Expr::Value(_)) = (to, unnested(expr))
        && let Some(literal) = innermost(expr)
    {
        settle(literal, to, context);
        return;
    }
    let _ = ast::visit_expressions_mut(expr, |expr| {
        settle_cast(expr, context);
        ControlFlow::<()>::Continue(())
    });
}

/// The same for all expressions of a query.
pub fn settle_query(query: &mut ast::Query, context: &BindContext<'_>) {
    let _ = ast::visit_expressions_mut(query, |expr| {
        settle_cast(expr, context);
        ControlFlow::<()>::Continue(())
    });
}

/// `'now'::timestamp` and `timestamp 'now'`.
fn settle_cast(expr: &mut ast::Expr, context: &BindContext<'_>) {
    let (data_type, literal) = match expr {
        ast::Expr::TypedString(typed) => (&typed.data_type, Some(&mut typed.value)),
        ast::Expr::Cast { expr, data_type, .. } => (&*data_type, innermost(expr)),
        _ => return,
    };
    if let (Some(literal), Ok(ty)) = (literal, types::data_type(data_type, context.catalog)) {
        settle(literal, &ty, context);
    }
}

fn innermost(expr: &mut ast::Expr) -> Option<&mut ast::ValueWithSpan> {
    match expr {
        ast::Expr::Nested(inner) => innermost(inner),
        ast::Expr::Value(value) => Some(value),
        _ => None,
    }
}

fn settle(literal: &mut ast::ValueWithSpan, ty: &PgType, context: &BindContext<'_>) {
    if !convert::input_depends_on_session(ty) {
        return;
    }
    let (Value::SingleQuotedString(written) | Value::EscapedStringLiteral(written)) =
        &mut literal.value
    else {
        return;
    };
    let bare = ty.without_modifier();
    let (here, elsewhere) = (context.env.settings.context(), TextContext::default());
    let Ok(value) = text::input(written, &bare, &here) else { return };
    if text::input(written, &bare, &elsewhere).is_ok_and(|other| other == value) {
        return;
    }
    if let Ok(settled) = text::output(&value, &bare, &elsewhere) {
        literal.value = Value::SingleQuotedString(settled);
    }
}
