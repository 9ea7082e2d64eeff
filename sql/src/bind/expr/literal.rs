//! Literals and arrays written out.

use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, TimeType};
use sqlparser::ast::{self, DateTimeField, Value, ValueWithSpan};

use super::{Binder, Context};
use crate::bind::types;
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
        let unsupported = || {
            let error = SqlError::unsupported(format!("interval {interval} is not supported"))
                .hint("Write the units into the string: interval '1 day 2 hours'.");
            self.at(error, position)
        };
        let (text, kept) = match &interval.leading_field {
            None => (text, None),
            Some(first) => {
                let last = interval.last_field.as_ref();
                qualified(&text, first, last).ok_or_else(unsupported)?
            }
        };
        // Of the first field, only seconds have a precision, and one number for it.
        let precision = match (interval.leading_precision, interval.fractional_seconds_precision) {
            (None, precision) => precision,
            (Some(precision), None) if interval.leading_field == Some(DateTimeField::Second) => {
                Some(precision)
            }
            _ => {
                let message = "syntax error at or near \"(\"";
                return Err(self.at(SqlError::new(SqlState::SYNTAX_ERROR, message), position));
            }
        };
        let rounded = types::precise(TimeType::Interval, precision);
        let value = self.cast_at(Typed::unknown(text), &rounded, CastKind::Explicit, position)?;
        let value = self.cast_at(value, &PgType::Interval, CastKind::Explicit, position)?;
        match kept {
            None => Ok(value),
            Some(field) => self.call("date_trunc", vec![Typed::text(field), value], position),
        }
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

/// The text of `INTERVAL '..' first TO last`, and the field below which it is cut off. A bare
/// number is of the last field.
fn qualified(
    text: &str,
    first: &DateTimeField,
    last: Option<&DateTimeField>,
) -> Option<(String, Option<&'static str>)> {
    use DateTimeField::{Day, Hour, Minute, Month, Second, Year};
    let fits = matches!(
        (first, last),
        (_, None)
            | (Year, Some(Month))
            | (Day, Some(Hour | Minute | Second))
            | (Hour, Some(Minute | Second))
            | (Minute, Some(Second))
    );
    let unit = match last.unwrap_or(first) {
        Year => "year",
        Month => "month",
        Day => "day",
        Hour => "hour",
        Minute => "minute",
        Second => "second",
        _ => return None,
    };
    let text = text.trim();
    let text = if is_number(text) {
        format!("{text} {unit}")
    } else if matches!((first, last), (Minute, Some(Second))) && text.matches(':').count() == 1 {
        // Minutes and seconds, where else it would be hours and minutes.
        let minutes = text.split(':').next()?;
        let at = minutes.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        format!("{}00:{}", &text[..at], &text[at..])
    } else {
        text.to_owned()
    };
    fits.then_some((text, (unit != "second").then_some(unit)))
}
