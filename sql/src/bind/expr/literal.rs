//! Literals and arrays written out.

use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, DateTimeField, Value, ValueWithSpan};

use super::{Binder, Context};
use crate::casts::{self, CastKind};
use crate::functions::Typed;
use crate::operators;

impl Binder<'_> {
    pub fn literal(&self, value: &ValueWithSpan) -> SqlResult<Typed> {
        let position = self.position(value.span);
        match &value.value {
            Value::Number(digits, _) => {
                Typed::number(digits).map_err(|error| self.at(error, position))
            }
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => Ok(Typed::unknown(text)),
            Value::DollarQuotedString(quoted) => Ok(Typed::unknown(&quoted.value)),
            Value::Boolean(value) => Ok(Typed {
                expr: Expr::Literal(ScalarValue::Boolean(Some(*value)), None),
                ty: PgType::Bool,
            }),
            Value::Null => Ok(Typed::unknown_null()),
            Value::Placeholder(text) => {
                self.parameter(text).map_err(|error| self.at(error, position))
            }
            Value::SingleQuotedByteStringLiteral(_) | Value::HexStringLiteral(_) => {
                Err(self.at(SqlError::unsupported("type bit is not supported"), position))
            }
            other => Err(self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!("syntax error at or near \"{other}\""),
                ),
                position,
            )),
        }
    }

    /// `INTERVAL '..' [field [TO field]]`.
    pub fn interval(&self, interval: &ast::Interval) -> SqlResult<Typed> {
        let ast::Expr::Value(value) = interval.value.as_ref() else {
            return Err(self.not_postgresql(interval.value.as_ref()));
        };
        let position = self.position(value.span);
        let text = match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text.clone(),
            other => {
                return Err(self.at(
                    SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!("syntax error at or near \"{other}\""),
                    ),
                    position,
                ));
            }
        };
        let text = match (&interval.leading_field, &interval.last_field) {
            (None, _) => Some(text),
            (Some(field), None) => with_unit(&text, field),
            (Some(_), Some(_)) => Some(text).filter(|text| !is_number(text)),
        };
        let text = text.ok_or_else(|| {
            self.at(
                SqlError::unsupported(format!("interval {interval} is not supported"))
                    .hint("Write the units into the string: interval '1 day 2 hours'."),
                position,
            )
        })?;
        self.cast_at(Typed::unknown(text), &PgType::Interval, CastKind::Explicit, position)
    }

    /// `ARRAY[..]`, its elements cast to `element` where that is given by a cast around it.
    pub fn array(
        &self,
        elements: &[ast::Expr],
        element: Option<&PgType>,
        cx: Context<'_>,
    ) -> SqlResult<Typed> {
        let bound: Vec<Typed> =
            elements.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<_>>()?;
        if bound.iter().any(|typed| typed.ty.is_array()) {
            return Err(SqlError::unsupported("multidimensional arrays are not supported"));
        }
        let Some(ty) = element else {
            if bound.is_empty() {
                let error = SqlError::new(
                    SqlState::INDETERMINATE_DATATYPE,
                    "cannot determine type of empty array",
                );
                return Err(error
                    .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
            }
            let types = bound.iter().zip(elements).map(|(typed, e)| (&typed.ty, self.start(e)));
            let ty = self.common_type(types, "ARRAY")?;
            let items = bound
                .into_iter()
                .zip(elements)
                .map(|(typed, e)| self.cast_at(typed, &ty, CastKind::Implicit, self.start(e)))
                .collect::<SqlResult<_>>()?;
            return operators::array(items, &self.env);
        };
        if bound.is_empty() {
            let array_type = PgType::Array(Box::new(ty.clone()));
            return casts::cast(Typed::unknown("{}"), &array_type, CastKind::Explicit, &self.env);
        }
        let items = bound
            .into_iter()
            .zip(elements)
            .map(|(typed, e)| self.cast_at(typed, ty, CastKind::Explicit, self.start(e)))
            .collect::<SqlResult<_>>()?;
        operators::array(items, &self.env)
    }
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

/// A bare number gets the field as its unit; other texts only where the field cuts nothing off.
fn with_unit(text: &str, field: &DateTimeField) -> Option<String> {
    let unit = match field {
        DateTimeField::Year => "year",
        DateTimeField::Month => "month",
        DateTimeField::Day => "day",
        DateTimeField::Hour => "hour",
        DateTimeField::Minute => "minute",
        DateTimeField::Second => return Some(second(text)),
        _ => return None,
    };
    // A fraction would be cut off.
    text.trim().parse::<i64>().ok().map(|n| format!("{n} {unit}"))
}

fn second(text: &str) -> String {
    if is_number(text) { format!("{} seconds", text.trim()) } else { text.to_string() }
}
