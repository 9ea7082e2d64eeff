//! Operators, comparisons of rows, IN, BETWEEN, pattern matching and quantified comparisons.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::InList;
use datafusion::prelude::lit;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, BinaryOperator, UnaryOperator, ValueWithSpan};
use sqlparser::tokenizer::Span;

use super::{Binder, Context};
use crate::bind::names;
use crate::functions::Typed;
use crate::operators::{self, Connective, Logic, Truth};
use crate::parse::VARIADIC;

impl Binder<'_> {
    pub fn binary(
        &self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        match op {
            // `f(name := value)` outside an argument list.
            BinaryOperator::Assignment => Err(self.not_postgresql(right)),
            BinaryOperator::Overlaps => self.overlaps(left, right, cx),
            _ => {
                let position = self.operator_position(left);
                let name = self.operator_name(op, position)?;
                if let (Some(left), Some(right)) = (row(left), row(right)) {
                    return self.compare_rows(left, &name, right, position, cx);
                }
                if let ast::Expr::Subquery(query) = unnested(right)
                    && let Some(left) = row(left)
                {
                    return self.compare_row_with_subquery(left, &name, query, position, cx);
                }
                let (l, r) = (self.expr(left, cx)?, self.expr(right, cx)?);
                let types = [l.ty.clone(), r.ty.clone()];
                operators::binary(&name, l, r, &self.env).map_err(|error| {
                    let values = [left, right].into_iter().zip(&types);
                    let position = self.blame(&error, values, position);
                    self.at(error, position)
                })
            }
        }
    }

    /// `(start, end or length) OVERLAPS (..)`.
    fn overlaps(&self, left: &ast::Expr, right: &ast::Expr, cx: Context<'_>) -> SqlResult<Typed> {
        let position = self.start(left);
        let mut ends = Vec::with_capacity(4);
        for (period, side) in [(left, "left"), (right, "right")] {
            let Some([start, end]) = row(period) else {
                let message =
                    format!("wrong number of parameters on {side} side of OVERLAPS expression");
                return Err(self.at(SqlError::new(SqlState::SYNTAX_ERROR, message), position));
            };
            let (start, mut end) = (self.expr(start, cx)?, self.expr(end, cx)?);
            if *end.ty.without_precision() == PgType::Interval {
                end = self.operate("+", start.clone(), end, position)?;
            }
            ends.extend([start, end]);
        }
        self.call("overlaps", ends, position)
    }

    /// Where an error of a call or operator stands: a literal that does not parse, or that names
    /// no relation, is to blame itself.
    pub fn blame<'e>(
        &self,
        error: &SqlError,
        values: impl Iterator<Item = (&'e ast::Expr, &'e PgType)>,
        position: u32,
    ) -> u32 {
        let by_value = error.state() == SqlState::UNDEFINED_TABLE;
        if !by_value && !error.state().as_str().starts_with("22") {
            return position;
        }
        values
            .filter(|(value, ty)| **ty == PgType::Unknown && !is_null(value))
            .map(|(value, _)| self.start(value))
            .next()
            .unwrap_or(position)
    }

    /// Applies an operator by name.
    pub fn operate(
        &self,
        name: &str,
        left: Typed,
        right: Typed,
        position: u32,
    ) -> SqlResult<Typed> {
        operators::binary(name, left, right, &self.env).map_err(|error| self.at(error, position))
    }

    /// AND, OR, NOT and truth tests, as far as they go. A chain is bound flat.
    #[recursive::recursive]
    pub fn logic(&self, expr: &ast::Expr, what: &str, cx: Context<'_>) -> SqlResult<Logic> {
        let cx = cx.deeper()?;
        let test = |truth, value: &ast::Expr, what| {
            self.logic(value, what, cx).map(|operand| Logic::test(truth, operand))
        };
        match expr {
            ast::Expr::Nested(inner) => self.logic(inner, what, cx),
            ast::Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.logical(left, right, Connective::And, cx)
            }
            ast::Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                self.logical(left, right, Connective::Or, cx)
            }
            ast::Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Ok(Logic::negation(self.logic(expr, "NOT", cx)?))
            }
            ast::Expr::IsTrue(value) => test(Truth::True, value, "IS TRUE"),
            ast::Expr::IsNotTrue(value) => test(Truth::NotTrue, value, "IS NOT TRUE"),
            ast::Expr::IsFalse(value) => test(Truth::False, value, "IS FALSE"),
            ast::Expr::IsNotFalse(value) => test(Truth::NotFalse, value, "IS NOT FALSE"),
            ast::Expr::IsUnknown(value) => test(Truth::Unknown, value, "IS UNKNOWN"),
            ast::Expr::IsNotUnknown(value) => test(Truth::NotUnknown, value, "IS NOT UNKNOWN"),
            other => {
                let typed = self.expr(other, cx)?;
                self.boolean(typed, what, self.start(other)).map(Logic::leaf)
            }
        }
    }

    fn logical(
        &self,
        left: &ast::Expr,
        right: &ast::Expr,
        connective: Connective,
        cx: Context<'_>,
    ) -> SqlResult<Logic> {
        let (name, op) = match connective {
            Connective::And => ("AND", BinaryOperator::And),
            Connective::Or => ("OR", BinaryOperator::Or),
        };
        let mut operands = vec![right];
        let mut rest = left;
        while let ast::Expr::BinaryOp { left, op: same, right } = rest
            && *same == op
        {
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        operands.reverse();
        let bound = operands
            .into_iter()
            .map(|operand| self.logic(operand, name, cx))
            .collect::<SqlResult<Vec<_>>>()?;
        Ok(Logic::chain(connective, bound))
    }

    pub fn unary(
        &self,
        op: &UnaryOperator,
        operand: &ast::Expr,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        // A minus before a number is part of the literal: -9223372036854775808 is a bigint, and
        // another minus before that makes a numeric.
        if *op == UnaryOperator::Minus
            && let Some((digits, negative, span)) = signed_number(operand)
        {
            let sign = if negative { "" } else { "-" };
            let position = self.position(span);
            return Typed::number(&format!("{sign}{digits}")).map_err(|e| self.at(e, position));
        }
        let name = match op {
            UnaryOperator::Minus => "-",
            UnaryOperator::Plus => "+",
            UnaryOperator::BitwiseNot => "~",
            UnaryOperator::PGSquareRoot => "|/",
            UnaryOperator::PGCubeRoot => "||/",
            UnaryOperator::PGAbs => "@",
            UnaryOperator::AtDashAt => "@-@",
            UnaryOperator::DoubleAt => "@@",
            UnaryOperator::Hash => "#",
            _ => return Err(self.not_postgresql(operand)),
        };
        let start = self.start(operand);
        let position = start.saturating_sub(1);
        let value = self.expr(operand, cx)?;
        operators::unary(name, value, &self.env).map_err(|error| self.at(error, position))
    }

    /// An operator before its operand that the grammar has no word for, of which there is none.
    pub fn prefixed(
        &self,
        prefix: &ast::Ident,
        operand: &ast::Expr,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.ident_position(prefix);
        if prefix.value == VARIADIC {
            return Err(self.at(syntax_error_at(&prefix.value), position));
        }
        if prefix.value.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return Err(SqlError::unsupported(format!(
                "string literals with prefix {prefix} are not supported"
            ))
            .at(position));
        }
        let value = self.expr(operand, cx)?;
        operators::unary(&prefix.value, value, &self.env).map_err(|error| self.at(error, position))
    }

    fn operator_name(&self, op: &BinaryOperator, position: u32) -> SqlResult<String> {
        let unknown = || self.at(syntax_error_at(&op.to_string()), position);
        Ok(match op {
            BinaryOperator::NotEq => "<>".into(),
            BinaryOperator::PGCustomBinaryOperator(parts) => {
                parts.last().cloned().ok_or_else(unknown)?
            }
            BinaryOperator::Custom(name) => name.clone(),
            BinaryOperator::Overlaps => {
                return Err(
                    self.at(SqlError::unsupported("operator OVERLAPS is not supported"), position)
                );
            }
            BinaryOperator::Xor
            | BinaryOperator::Spaceship
            | BinaryOperator::DuckIntegerDivide
            | BinaryOperator::MyIntegerDivide
            | BinaryOperator::Match
            | BinaryOperator::Regexp => return Err(unknown()),
            other => other.to_string(),
        })
    }

    pub fn null_test(&self, value: &ast::Expr, negated: bool, cx: Context<'_>) -> SqlResult<Typed> {
        if let Some(fields) = row(value) {
            // A row is null when all of its fields are, and not null when none is.
            let tests = fields
                .iter()
                .map(|field| self.null_test(field, negated, cx).map(|typed| typed.expr))
                .collect::<SqlResult<Vec<_>>>()?;
            return Ok(Typed::bool(all(tests)));
        }
        let value = self.expr(value, cx)?;
        let test = |value: Expr| if negated { value.is_not_null() } else { value.is_null() };
        Ok(Typed::bool(match crate::functions::records::fields(&value) {
            Some(fields) => all(fields.into_iter().map(|(_, field)| test(field.expr)).collect()),
            None => test(value.expr),
        }))
    }

    pub fn distinct_from(
        &self,
        left: &ast::Expr,
        right: &ast::Expr,
        negated: bool,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(left);
        if let (Some(left), Some(right)) = (row(left), row(right)) {
            if left.len() != right.len() {
                return Err(self.at(unequal_rows(), position));
            }
            let same = left
                .iter()
                .zip(right)
                .map(|(l, r)| self.distinct_from(l, r, true, cx).map(|typed| typed.expr))
                .collect::<SqlResult<Vec<_>>>()?;
            let same = all(same);
            return Ok(Typed::bool(if negated { same } else { Expr::Not(Box::new(same)) }));
        }
        let left = self.expr(left, cx)?;
        let right = self.expr(right, cx)?;
        operators::distinct(left, right, negated, &self.env).map_err(|e| self.at(e, position))
    }

    pub fn between(
        &self,
        value: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(value);
        let typed = self.expr(value, cx)?;
        let bounds = [(low, self.expr(low, cx)?), (high, self.expr(high, cx)?)];
        let compared = |operator: &str, (written, bound): &(&ast::Expr, Typed)| {
            let result = operators::binary(operator, typed.clone(), bound.clone(), &self.env);
            result.map(|test| test.expr).map_err(|error| {
                let operands = [(value, &typed.ty), (*written, &bound.ty)].into_iter();
                let position = self.blame(&error, operands, position);
                self.at(error, position)
            })
        };
        let [low, high] = &bounds;
        Ok(Typed::bool(match negated {
            false => compared(">=", low)?.and(compared("<=", high)?),
            true => compared("<", low)?.or(compared(">", high)?),
        }))
    }

    pub fn in_list(
        &self,
        value: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(value);
        if let Some(fields) = row(value) {
            let mut tests = Vec::with_capacity(list.len());
            for item in list {
                let Some(item) = row(item) else {
                    return Err(self.at(unequal_rows(), position));
                };
                tests.push(self.compare_rows(fields, "=", item, position, cx)?.expr);
            }
            return Ok(Typed::bool(any(tests).negate_if(negated)));
        }
        let value = self.expr(value, cx)?;
        let items = list.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<Vec<_>>>()?;
        let types: Vec<PgType> = items.iter().map(|item| item.ty.clone()).collect();
        operators::in_list(value, items, negated, &self.env).map_err(|error| {
            let position = self.blame(&error, list.iter().zip(&types), position);
            self.at(error, position)
        })
    }

    /// `(a, b) = (c, d)` and its relatives.
    pub fn compare_rows(
        &self,
        left: &[ast::Expr],
        op: &str,
        right: &[ast::Expr],
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let left = left.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<Vec<_>>>()?;
        let right = right.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<Vec<_>>>()?;
        self.compare_typed_rows(left, op, right, position)
    }

    pub fn compare_typed_rows(
        &self,
        left: Vec<Typed>,
        op: &str,
        right: Vec<Typed>,
        position: u32,
    ) -> SqlResult<Typed> {
        if left.len() != right.len() {
            return Err(self.at(unequal_rows(), position));
        }
        if left.is_empty() {
            return Err(
                self.at(SqlError::unsupported("cannot compare rows of zero length"), position)
            );
        }
        let pairs: Vec<_> = left.into_iter().zip(right).collect();
        let each = |op: &str| {
            pairs
                .iter()
                .map(|(l, r)| self.operate(op, l.clone(), r.clone(), position).map(|t| t.expr))
                .collect::<SqlResult<Vec<_>>>()
        };
        let test = match op {
            "=" => all(each("=")?),
            "<>" => any(each("<>")?),
            "<" | "<=" | ">" | ">=" => {
                // a < c OR (a = c AND (b < d)): the last pair takes the operator itself.
                let strict = each(&op[..1])?;
                let equal = each("=")?;
                let mut last = each(op)?;
                let mut test = last.pop().unwrap_or_else(|| lit(true));
                for (strict, equal) in strict.into_iter().zip(equal).rev().skip(1) {
                    test = strict.or(equal.and(test));
                }
                test
            }
            _ => {
                return Err(self.at(
                    SqlError::unsupported(format!(
                        "could not determine interpretation of row comparison operator {op}"
                    )),
                    position,
                ));
            }
        };
        Ok(Typed::bool(test))
    }

    /// LIKE and ILIKE, by the operator's name.
    pub fn pattern_match(
        &self,
        op: &str,
        any: bool,
        value: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ValueWithSpan>,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(value);
        if any {
            let value = self.expr(value, cx)?;
            let array = self.expr(pattern, cx)?;
            return self.compare_with_array(value, op, array, false, position);
        }
        // `x LIKE ALL (..)` parses as a call.
        if let ast::Expr::Function(call) = pattern
            && let Some((all, array)) = self.quantified_pattern(call)
        {
            let value = self.expr(value, cx)?;
            let array = self.expr(array, cx)?;
            return self.compare_with_array(value, op, array, all, position);
        }
        let value = self.expr(value, cx)?;
        let pattern = self.expr(pattern, cx)?;
        let escape = match escape {
            Some(escape) => Some(self.literal(escape)?),
            None => None,
        };
        let (negated, insensitive) = (op.starts_with('!'), op.ends_with('*'));
        operators::like(value, pattern, escape, negated, insensitive, &self.env)
            .map_err(|error| self.at(error, position))
    }

    fn quantified_pattern<'e>(&self, call: &'e ast::Function) -> Option<(bool, &'e ast::Expr)> {
        let all = match names::last(&call.name).ok()?.as_str() {
            "any" | "some" => false,
            "all" => true,
            _ => return None,
        };
        let ast::FunctionArguments::List(list) = &call.args else { return None };
        match list.args.as_slice() {
            [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array))] => Some((all, array)),
            _ => None,
        }
    }

    pub fn similar_to(
        &self,
        negated: bool,
        value: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ValueWithSpan>,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(value);
        let value = self.expr(value, cx)?;
        let mut args = vec![self.expr(pattern, cx)?];
        if let Some(escape) = escape {
            args.push(self.literal(escape)?);
        }
        let pattern = self.call("similar_to_escape", args, position)?;
        self.operate(if negated { "!~" } else { "~" }, value, pattern, position)
    }

    /// `x op ANY (array or subquery)`, `x op ALL (..)`.
    pub fn quantified(
        &self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        all: bool,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let position = self.operator_position(left);
        let name = self.operator_name(op, position)?;
        if let ast::Expr::Subquery(query) = unnested(right) {
            return self.quantified_subquery(left, &name, query, all, position, cx);
        }
        let left = self.expr(left, cx)?;
        let right = self.expr(right, cx)?;
        self.compare_with_array(left, &name, right, all, position)
    }

    fn compare_with_array(
        &self,
        left: Typed,
        op: &str,
        array: Typed,
        all: bool,
        position: u32,
    ) -> SqlResult<Typed> {
        operators::quantified(op, left, array, all, &self.env)
            .map_err(|error| self.at(error, position))
    }
}

/// The digits of a number, and whether the signs and parentheses around it make it negative.
fn signed_number(expr: &ast::Expr) -> Option<(&str, bool, Span)> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => Some((digits, false, value.span)),
            _ => None,
        },
        ast::Expr::Nested(inner) => signed_number(inner),
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let (digits, negative, span) = signed_number(expr)?;
            Some((digits, !negative, span))
        }
        _ => None,
    }
}

fn syntax_error_at(text: &str) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{text}\""))
}

fn is_null(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Value(value) if value.value == ast::Value::Null)
}

fn unequal_rows() -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions")
}

/// The fields of a row constructor.
pub(in crate::bind) fn row(expr: &ast::Expr) -> Option<&[ast::Expr]> {
    match expr {
        ast::Expr::Tuple(fields) => Some(fields),
        ast::Expr::Nested(inner) => match inner.as_ref() {
            inner @ (ast::Expr::Tuple(_) | ast::Expr::Nested(_)) => row(inner),
            _ => None,
        },
        _ => None,
    }
}

/// Without parentheses around.
pub(in crate::bind) fn unnested(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

pub(in crate::bind) use crate::operators::{all, any};

trait NegateIf {
    fn negate_if(self, negate: bool) -> Self;
}

impl NegateIf for Expr {
    fn negate_if(self, negate: bool) -> Self {
        match self {
            expr if !negate => expr,
            Expr::InList(list) => Expr::InList(InList { negated: !list.negated, ..list }),
            expr => Expr::Not(Box::new(expr)),
        }
    }
}
