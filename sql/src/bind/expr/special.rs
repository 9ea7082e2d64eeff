//! Constructs with a syntax of their own: CASE, CAST, EXTRACT, SUBSTRING, TRIM.

use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, CaseWhen, CeilFloorKind, DateTimeField, TrimWhereField};

use super::{Binder, Context};
use crate::bind::clause::Clause;
use crate::bind::expr::operator::unnested;
use crate::bind::names;
use crate::bind::select::contains_set;
use crate::casts::{self, CastKind};
use crate::functions::Typed;
use crate::operators;
use crate::parse::dialect::SIMILAR;

impl Binder<'_> {
    pub fn case(
        &self,
        operand: Option<&ast::Expr>,
        conditions: &[CaseWhen],
        else_result: Option<&ast::Expr>,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let operand = match operand {
            Some(operand) => Some(self.resolved(operand, cx)?),
            None => None,
        };
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for CaseWhen { condition, result } in conditions {
            let when = match &operand {
                Some(operand) => {
                    let value = self.expr(condition, cx)?;
                    self.operate("=", operand.clone(), value, self.start(condition))?.expr
                }
                None => self.test(condition, "CASE/WHEN", cx)?,
            };
            whens.push(when);
            results.push((self.expr(result, cx)?, self.start(result)));
        }
        if let Some(result) = else_result {
            results.push((self.expr(result, cx)?, self.start(result)));
        }
        for (when, CaseWhen { condition, .. }) in whens.iter().zip(conditions) {
            if contains_set(when) {
                let message = "argument of CASE/WHEN must not return a set";
                let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message);
                return Err(self.at(error, self.start(condition)));
            }
        }
        for (result, position) in &results {
            self.refuse_set(&result.expr, "CASE", *position)?;
        }
        let (results, ty) = self.unify(results, "CASE")?;
        let mut results = results.into_iter();
        let branches = whens.into_iter().zip(results.by_ref()).collect();
        Ok(operators::case(branches, results.next(), ty))
    }

    /// Refuses calls that return sets where only some of the values are computed.
    pub fn refuse_set(&self, expr: &Expr, construct: &str, position: u32) -> SqlResult<()> {
        if !contains_set(expr) {
            return Ok(());
        }
        let message = format!("set-returning functions are not allowed in {construct}");
        Err(self.at(Clause::no_sets_within(message), position))
    }

    /// Brings values to their common type. `what` as in `CASE types integer and text cannot be
    /// matched`.
    pub fn unify(&self, values: Vec<(Typed, u32)>, what: &str) -> SqlResult<(Vec<Expr>, PgType)> {
        let ty = self.common_type(values.iter().map(|(v, at)| (&v.ty, *at)), what)?;
        let exprs = values
            .into_iter()
            .map(|(value, at)| Ok(self.cast_at(value, &ty, CastKind::Implicit, at)?.expr))
            .collect::<SqlResult<Vec<_>>>()?;
        Ok((exprs, ty))
    }

    /// The type that all of these can be brought to; the error stands at the first that cannot.
    pub fn common_type<'t>(
        &self,
        types: impl Iterator<Item = (&'t PgType, u32)>,
        what: &str,
    ) -> SqlResult<PgType> {
        let (types, positions): (Vec<PgType>, Vec<u32>) =
            types.map(|(ty, position)| (ty.clone(), position)).unzip();
        let error = match casts::common_type(&types) {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        // To be told is the first value that does not go with those before it.
        let fails = |count: &usize| casts::common_type(&types[..*count]).is_err();
        let counts: Vec<usize> = (1..=types.len()).collect();
        let first = counts.partition_point(|count| !fails(count));
        let mut error = casts::common_type(&types[..=first]).err().unwrap_or(error);
        let fields = error.fields_mut();
        fields.message = match fields.message.strip_prefix("types ") {
            Some(rest) => format!("{what} types {rest}"),
            None => format!("{what} {}", fields.message),
        };
        Err(self.at(error, positions[first]))
    }

    /// `CAST(value AS type)`, `value::type`.
    pub fn cast_syntax(
        &self,
        value: &ast::Expr,
        data_type: &ast::DataType,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let ty = self.data_type(data_type)?;
        if let (ast::Expr::Array(array), PgType::Array(element)) = (unnested(value), &ty) {
            return self.array(&array.elem, Some(element), cx);
        }
        let typed = self.expr(value, cx)?;
        let position = match typed.ty {
            PgType::Unknown => self.start(value),
            _ => self.cast_position(value),
        };
        let typed = self.text_of_vector(typed, &ty, cx, position)?;
        self.cast_at(typed, &ty, CastKind::Explicit, position)
    }

    pub fn extract(
        &self,
        field: &DateTimeField,
        value: &ast::Expr,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let name = match field {
            DateTimeField::Custom(ident) => names::fold(ident),
            other => other.to_string().to_lowercase(),
        };
        let position = self.start(value);
        let value = self.expr(value, cx)?;
        self.call("extract", vec![Typed::text(name), value], position)
    }

    pub fn rounding(
        &self,
        name: &str,
        value: &ast::Expr,
        field: &CeilFloorKind,
        cx: Context<'_>,
        whole: &ast::Expr,
    ) -> SqlResult<Typed> {
        if *field != CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) {
            return Err(self.not_postgresql(whole));
        }
        let position = self.start(whole);
        let value = self.expr(value, cx)?;
        self.call(name, vec![value], position)
    }

    pub fn substring(
        &self,
        name: &str,
        value: &ast::Expr,
        from: Option<&ast::Expr>,
        length: Option<&ast::Expr>,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        if let (ast::Expr::BinaryOp { left, op, right }, None, None) = (value, from, length)
            && *op == ast::BinaryOperator::Custom(SIMILAR.into())
            && let ast::Expr::Tuple(pattern) = right.as_ref()
        {
            let args = std::iter::once(left.as_ref()).chain(pattern);
            let args = args.map(|arg| self.expr(arg, cx)).collect::<SqlResult<_>>()?;
            return self.call(name, args, 0);
        }
        let mut args = vec![self.expr(value, cx)?];
        match (from, length) {
            (None, Some(length)) => {
                args.push(Typed::int4(1));
                args.push(self.expr(length, cx)?);
            }
            _ => {
                for arg in [from, length].into_iter().flatten() {
                    args.push(self.expr(arg, cx)?);
                }
            }
        }
        self.call(name, args, 0)
    }

    pub fn trim(
        &self,
        side: Option<TrimWhereField>,
        what: Option<&ast::Expr>,
        value: &ast::Expr,
        characters: Option<&[ast::Expr]>,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let name = trim_name(side);
        let position = self.start(value);
        let mut args = vec![self.expr(value, cx)?];
        for what in what.into_iter().chain(characters.into_iter().flatten()) {
            args.push(self.expr(what, cx)?);
        }
        self.call(name, args, position)
    }
}

pub(in crate::bind) fn trim_name(side: Option<TrimWhereField>) -> &'static str {
    match side {
        None | Some(TrimWhereField::Both) => "btrim",
        Some(TrimWhereField::Leading) => "ltrim",
        Some(TrimWhereField::Trailing) => "rtrim",
    }
}
