//! Value expressions: which operator, function or cast each piece of syntax is.

pub(super) mod access;
pub(super) mod column;
pub(super) mod function;
mod literal;
mod named_arguments;
pub(super) mod operator;
pub(super) mod special;
mod vectors;

use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, BinaryOperator, Spanned, UnaryOperator};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::scope::Scope;
use super::types;
use super::window::NamedWindows;
use crate::casts::{self, CastKind};
use crate::functions::{self, Typed};
use crate::operators::Logic;
use crate::outline;
pub(super) use operator::row;

/// Operators chained deeper than this are refused, as PostgreSQL refuses by stack depth.
const MAX_DEPTH: u32 = 5_000;
/// Deepest expression, after long chains became flat.
const MAX_HEIGHT: usize = 500;

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) struct Context<'s> {
    pub scope: &'s Scope<'s>,
    pub ctes: &'s Ctes<'s>,
    pub windows: &'s NamedWindows,
    pub clause: Clause,
    pub within: Within,
    pub depth: u32,
}

/// The call that an expression is an argument of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    Nothing,
    Aggregate,
    Window,
}

impl<'s> Context<'s> {
    pub fn new(
        scope: &'s Scope<'s>,
        ctes: &'s Ctes<'s>,
        windows: &'s NamedWindows,
        clause: Clause,
    ) -> Self {
        Self { scope, ctes, windows, clause, within: Within::Nothing, depth: 0 }
    }

    pub fn clause(self, clause: Clause) -> Self {
        Self { clause, ..self }
    }

    pub fn within(self, within: Within) -> Self {
        Self { within, ..self }
    }

    fn deeper(self) -> SqlResult<Self> {
        if self.depth >= MAX_DEPTH {
            return Err(SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            ));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl Binder<'_> {
    /// Binds an expression. An untyped literal or parameter stays of type unknown.
    pub fn expr(&self, expr: &ast::Expr, cx: Context<'_>) -> SqlResult<Typed> {
        let typed = self.expression(expr, cx.deeper()?)?;
        if cx.depth == 0 {
            self.refuse_deep(&typed.expr)?;
        }
        Ok(typed)
    }

    /// Plans are copied and dropped recursively, on stacks that bear so much.
    fn refuse_deep(&self, expr: &Expr) -> SqlResult<()> {
        match outline::expression::height(expr) > MAX_HEIGHT {
            true => {
                Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded"))
            }
            false => Ok(()),
        }
    }

    #[recursive::recursive]
    fn expression(&self, expr: &ast::Expr, cx: Context<'_>) -> SqlResult<Typed> {
        match expr {
            ast::Expr::Nested(inner) => self.expr(inner, cx),
            ast::Expr::Value(value) => self.literal(value),
            ast::Expr::TypedString(typed) => {
                let ty = self.data_type(&typed.data_type)?;
                let position = self.position(typed.value.span);
                let text = self.literal(&typed.value)?;
                self.cast_at(text, &ty, CastKind::Explicit, position)
            }
            ast::Expr::Interval(interval) => self.interval(interval),
            ast::Expr::Prefixed { prefix, value } => self.prefixed(prefix, value, cx),
            ast::Expr::Identifier(ident) => self.column(ident, cx),
            ast::Expr::CompoundIdentifier(parts) => self.compound(parts, cx),
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                self.access(root, access_chain, cx)
            }
            ast::Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. }
            | ast::Expr::UnaryOp { op: UnaryOperator::Not, .. }
            | ast::Expr::IsTrue(_)
            | ast::Expr::IsNotTrue(_)
            | ast::Expr::IsFalse(_)
            | ast::Expr::IsNotFalse(_)
            | ast::Expr::IsUnknown(_)
            | ast::Expr::IsNotUnknown(_) => {
                self.logic(expr, "a condition", cx).map(|logic| Typed::bool(logic.value()))
            }
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right, cx),
            ast::Expr::UnaryOp { op, expr } => self.unary(op, expr, cx),
            ast::Expr::Cast { kind, expr: value, data_type, format, .. } => {
                if format.is_some()
                    || !matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon)
                {
                    return Err(self.not_postgresql(expr));
                }
                self.cast_syntax(value, data_type, cx)
            }
            ast::Expr::IsNull(value) => self.null_test(value, false, cx),
            ast::Expr::IsNotNull(value) => self.null_test(value, true, cx),
            ast::Expr::IsDistinctFrom(left, right) => self.distinct_from(left, right, false, cx),
            ast::Expr::IsNotDistinctFrom(left, right) => self.distinct_from(left, right, true, cx),
            ast::Expr::Between { expr: value, negated, low, high } => {
                self.between(value, *negated, low, high, cx)
            }
            ast::Expr::InList { expr: value, list, negated } => {
                self.in_list(value, list, *negated, cx)
            }
            ast::Expr::InSubquery { expr: value, subquery, negated } => {
                self.in_subquery(value, subquery, *negated, cx)
            }
            ast::Expr::Like { negated, any, expr: value, pattern, escape_char } => {
                let op = if *negated { "!~~" } else { "~~" };
                self.pattern_match(op, *any, value, pattern, escape_char.as_ref(), cx)
            }
            ast::Expr::ILike { negated, any, expr: value, pattern, escape_char } => {
                let op = if *negated { "!~~*" } else { "~~*" };
                self.pattern_match(op, *any, value, pattern, escape_char.as_ref(), cx)
            }
            ast::Expr::SimilarTo { negated, expr: value, pattern, escape_char } => {
                self.similar_to(*negated, value, pattern, escape_char.as_ref(), cx)
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, false, cx)
            }
            ast::Expr::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, true, cx)
            }
            ast::Expr::Exists { subquery, negated } => self.exists(subquery, *negated, cx),
            ast::Expr::Subquery(query) => self.scalar_subquery(query, cx),
            ast::Expr::Function(call) => self.function(call, cx),
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), cx)
            }
            ast::Expr::AtTimeZone { timestamp, time_zone } => {
                let position = self.operator_position(timestamp.as_ref());
                let zone = self.expr(time_zone, cx)?;
                let value = self.expr(timestamp, cx)?;
                self.call("timezone", vec![zone, value], position)
            }
            ast::Expr::Extract { field, expr: value, .. } => self.extract(field, value, cx),
            ast::Expr::Ceil { expr: value, field } => self.rounding("ceil", value, field, cx, expr),
            ast::Expr::Floor { expr: value, field } => {
                self.rounding("floor", value, field, cx, expr)
            }
            ast::Expr::Position { expr: part, r#in } => {
                let whole = self.expr(r#in, cx)?;
                let part = self.expr(part, cx)?;
                self.call("position", vec![whole, part], self.start(expr))
            }
            ast::Expr::Substring {
                expr: value, substring_from, substring_for, shorthand, ..
            } => {
                let name = if *shorthand { "substr" } else { "substring" };
                let (from, length) = (substring_from.as_deref(), substring_for.as_deref());
                let typed = self.substring(name, value, from, length, cx);
                typed.map_err(|error| self.at(error, self.start(expr)))
            }
            ast::Expr::Overlay { expr: value, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![
                    self.expr(value, cx)?,
                    self.expr(overlay_what, cx)?,
                    self.expr(overlay_from, cx)?,
                ];
                if let Some(length) = overlay_for {
                    args.push(self.expr(length, cx)?);
                }
                self.call("overlay", args, self.start(expr))
            }
            ast::Expr::Trim { trim_where, trim_what, expr: value, trim_characters } => {
                self.trim(*trim_where, trim_what.as_deref(), value, trim_characters.as_deref(), cx)
            }
            ast::Expr::Collate { expr: value, collation } => {
                let position = self.operator_position(value.as_ref());
                let typed = self.expr(value, cx)?;
                self.check_collation(collation, position)?;
                Ok(typed)
            }
            ast::Expr::Array(array) => {
                let typed = self.array(&array.elem, None, cx);
                typed.map_err(|error| self.at(error, self.start(expr)))
            }
            ast::Expr::Tuple(fields) => {
                let fields = fields
                    .iter()
                    .enumerate()
                    .map(|(index, field)| Ok((format!("f{}", index + 1), self.expr(field, cx)?)))
                    .collect::<SqlResult<Vec<_>>>()?;
                functions::records::record(fields, false, &self.env)
                    .map_err(|error| self.at(error, self.start(expr)))
            }
            ast::Expr::GroupingSets(_) | ast::Expr::Cube(_) | ast::Expr::Rollup(_) => {
                Err(SqlError::new(
                    SqlState::GROUPING_ERROR,
                    "grouping sets are allowed in GROUP BY only",
                )
                .at(self.start(expr)))
            }
            ast::Expr::IsNormalized { expr: value, form, negated } => {
                let form = form.as_ref().map_or_else(|| "NFC".to_string(), ToString::to_string);
                let args = vec![self.expr(value, cx)?, Typed::text(form)];
                let typed = self.call("is_normalized", args, self.start(expr))?;
                Ok(if *negated { Typed::bool(Expr::Not(Box::new(typed.expr))) } else { typed })
            }
            other => Err(self.not_postgresql(other)),
        }
    }

    /// As [`Self::expr`], with what is still of unknown type taken as text.
    pub fn resolved(&self, expr: &ast::Expr, cx: Context<'_>) -> SqlResult<Typed> {
        let typed = self.expr(expr, cx)?;
        self.resolve_unknown(typed)
    }

    pub fn resolve_unknown(&self, typed: Typed) -> SqlResult<Typed> {
        match typed.ty {
            PgType::Unknown => casts::cast(typed, &PgType::Text, CastKind::Implicit, &self.env),
            _ => Ok(typed),
        }
    }

    /// A condition: must be boolean. `what` as in `argument of WHERE must be type boolean`.
    pub fn condition(&self, expr: &ast::Expr, what: &str, cx: Context<'_>) -> SqlResult<Expr> {
        self.read_logic(expr, what, cx, Logic::value)
    }

    /// A condition whose reader takes NULL for false.
    pub fn test(&self, expr: &ast::Expr, what: &str, cx: Context<'_>) -> SqlResult<Expr> {
        self.read_logic(expr, what, cx, Logic::passes)
    }

    /// The condition of a filter or join.
    pub fn qualification(&self, expr: &ast::Expr, what: &str, cx: Context<'_>) -> SqlResult<Expr> {
        self.read_logic(expr, what, cx, Logic::qualification)
    }

    fn read_logic(
        &self,
        expr: &ast::Expr,
        what: &str,
        cx: Context<'_>,
        read: fn(Logic) -> Expr,
    ) -> SqlResult<Expr> {
        let condition = read(self.logic(expr, what, cx)?);
        self.refuse_deep(&condition)?;
        Ok(condition)
    }

    pub fn boolean(&self, typed: Typed, what: &str, position: u32) -> SqlResult<Expr> {
        match typed.ty {
            PgType::Bool => Ok(typed.expr),
            PgType::Unknown => {
                let cast = casts::cast(typed, &PgType::Bool, CastKind::Implicit, &self.env);
                cast.map(|typed| typed.expr).map_err(|error| error.at(position))
            }
            other => Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {what} must be type boolean, not type {other}"),
            )
            .at(position)),
        }
    }

    pub fn data_type(&self, ty: &ast::DataType) -> SqlResult<PgType> {
        let position = match ty {
            ast::DataType::Custom(name, _) => self.position(name.span()),
            _ => 0,
        };
        types::data_type(ty, self.catalog).map_err(|error| self.at(error, position))
    }

    pub fn cast_at(
        &self,
        value: Typed,
        to: &PgType,
        kind: CastKind,
        position: u32,
    ) -> SqlResult<Typed> {
        let is_literal = value.ty == PgType::Unknown;
        casts::cast(value, to, kind, &self.env).map_err(|error| {
            // A value that does not fit is found when the statement runs: it has no place in the
            // text, as long as its literal could be read.
            let at_run_time = !is_literal && error.state().as_str().starts_with("22")
                || error.state() == SqlState::STRING_DATA_RIGHT_TRUNCATION
                || error.message() == "numeric field overflow";
            if at_run_time { error } else { self.at(error, position) }
        })
    }

    /// A scalar function of the library; that it exists is known.
    pub fn call(&self, name: &str, args: Vec<Typed>, position: u32) -> SqlResult<Typed> {
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        match functions::scalar(name, args, &self.env).map_err(|error| self.at(error, position))? {
            Some(typed) => Ok(typed),
            None => Err(self.at(functions::undefined(name, &types), position)),
        }
    }

    /// Puts a position on an error that has none; 0 is no position.
    pub fn at(&self, error: SqlError, position: u32) -> SqlError {
        if position == 0 { error } else { error.at(position) }
    }

    /// Position where an expression starts.
    pub fn start(&self, expr: &ast::Expr) -> u32 {
        let span = expr.span();
        match expr {
            // Their spans begin with the first argument.
            ast::Expr::Substring { .. }
            | ast::Expr::Trim { .. }
            | ast::Expr::Overlay { .. }
            | ast::Expr::Position { .. }
            | ast::Expr::Ceil { .. }
            | ast::Expr::Floor { .. }
            | ast::Expr::Array(_) => self.position_of_opening_word(span),
            _ => self.position(span),
        }
    }

    fn check_collation(&self, collation: &ast::ObjectName, position: u32) -> SqlResult<()> {
        crate::bind::check_collation(collation).map_err(|error| self.at(error, position))
    }

    /// Syntax that the parser takes from other databases.
    pub fn not_postgresql(&self, what: &(impl std::fmt::Display + Spanned)) -> SqlError {
        let text = what.to_string();
        let word = text.split_whitespace().next().unwrap_or_default();
        self.at(
            SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{word}\"")),
            self.position(what.span()),
        )
    }
}
