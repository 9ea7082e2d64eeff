//! Casts of whole columns: loops over Arrow arrays for the common ones, row by row for the rest.

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use datafusion::logical_expr::ColumnarValue;
use satsuma_common::types::round_timestamp;
use satsuma_common::{Datum, PgType, SqlResult, TimeType, arrow_types};

use super::CastKind;
use super::convert::{self, float4};
use super::datetime::timestamp_of_date;
use crate::functions::columns::{self, Reader};
use crate::functions::error::{out_of_range, unexpected_value};
use crate::functions::library::Call;
use crate::functions::vector::{array_of, columnar, text_to, text_to_text, unary};
use crate::interrupt;

/// The body behind every cast: `call` names both types.
pub fn cast(args: &[ColumnarValue], call: &Call, kind: CastKind) -> SqlResult<ColumnarValue> {
    let ([value], [from]) = (args, call.arguments.as_slice()) else {
        return Err(unexpected_value("a cast"));
    };
    match fast(value, from, &call.result, kind) {
        Some(result) => result,
        None => by_row(value, from, call, kind),
    }
}

fn by_row(
    value: &ColumnarValue,
    from: &PgType,
    call: &Call,
    kind: CastKind,
) -> SqlResult<ColumnarValue> {
    let (array, scalar) = array_of(value)?;
    let reader = Reader::new(&array, from);
    let rows = array.len();
    let mut results = Vec::with_capacity(rows);
    interrupt::for_rows(rows, |row| {
        results.push(convert::convert(reader.get(row)?, from, &call.result, kind, &call.context)?);
        Ok(())
    })?;
    columnar(columns::collect(&call.result, results)?, scalar)
}

/// Casts worth a loop of their own.
fn fast(
    value: &ColumnarValue,
    from: &PgType,
    to: &PgType,
    kind: CastKind,
) -> Option<SqlResult<ColumnarValue>> {
    let ty = || arrow_types::data_type(to);
    Some(match (from, to) {
        (PgType::Int8, PgType::Int4) => unary::<Int64Type, Int32Type>(value, ty(), |v| {
            v.try_into().map_err(|_| out_of_range(to))
        }),
        (PgType::Int8, PgType::Int2) => unary::<Int64Type, Int16Type>(value, ty(), |v| {
            v.try_into().map_err(|_| out_of_range(to))
        }),
        (PgType::Int4, PgType::Int2) => unary::<Int32Type, Int16Type>(value, ty(), |v| {
            v.try_into().map_err(|_| out_of_range(to))
        }),
        (PgType::Float8, PgType::Float4) => unary::<Float64Type, Float32Type>(value, ty(), float4),
        (PgType::Float8, PgType::Int4) => {
            unary::<Float64Type, Int32Type>(value, ty(), |v| match convert::from_float(v, to)? {
                Datum::Int4(v) => Ok(v),
                _ => Err(unexpected_value("integer")),
            })
        }
        (PgType::Float8, PgType::Int8) => {
            unary::<Float64Type, Int64Type>(value, ty(), |v| match convert::from_float(v, to)? {
                Datum::Int8(v) => Ok(v),
                _ => Err(unexpected_value("bigint")),
            })
        }
        (PgType::Numeric(Some(m)), PgType::Int8) if arrow_types::fits_decimal128(*m) => {
            let unit = 10i128.pow(m.scale as u32);
            unary::<Decimal128Type, Int64Type>(value, ty(), |v| {
                round_half_away(v, unit).try_into().map_err(|_| out_of_range(to))
            })
        }
        (PgType::Numeric(Some(m)), PgType::Int4) if arrow_types::fits_decimal128(*m) => {
            let unit = 10i128.pow(m.scale as u32);
            unary::<Decimal128Type, Int32Type>(value, ty(), |v| {
                round_half_away(v, unit).try_into().map_err(|_| out_of_range(to))
            })
        }
        (PgType::Numeric(Some(m)), PgType::Float8)
            if arrow_types::fits_decimal128(*m) && m.scale <= 22 =>
        {
            // Both are exact in double below 2^53, so that the quotient is rounded once.
            let unit = 10f64.powi(i32::from(m.scale));
            let scale = m.scale as i8;
            unary::<Decimal128Type, Float64Type>(value, ty(), |v| {
                if v.unsigned_abs() < (1 << 53) {
                    return Ok(v as f64 / unit);
                }
                Ok(crate::functions::layout::numeric_from_decimal(v, scale).to_f64())
            })
        }
        (PgType::Text | PgType::Varchar(None), PgType::Int4) => {
            text_to::<Int32Type>(value, DataType::Int32, |v| {
                match convert::input(v, to, &Default::default())? {
                    Datum::Int4(v) => Ok(v),
                    _ => Err(unexpected_value("integer")),
                }
            })
        }
        (PgType::Text | PgType::Varchar(None), PgType::Int8) => {
            text_to::<Int64Type>(value, DataType::Int64, |v| {
                match convert::input(v, to, &Default::default())? {
                    Datum::Int8(v) => Ok(v),
                    _ => Err(unexpected_value("bigint")),
                }
            })
        }
        (PgType::Text | PgType::Varchar(_), PgType::Varchar(Some(_)) | PgType::Bpchar(Some(_))) => {
            text_to_text(value, |text, out| {
                if let Datum::Text(fitted) = convert::fit(Datum::Text(text.into()), to, kind)? {
                    out.push_str(&fitted);
                }
                Ok(())
            })
        }
        (PgType::Date, PgType::Timestamp) => {
            unary::<Date32Type, TimestampMicrosecondType>(value, ty(), timestamp_of_date)
        }
        (from, PgType::Precise(TimeType::Timestamp | TimeType::Timestamptz, digits))
            if from.without_precision() == to.without_precision() =>
        {
            type Micros = TimestampMicrosecondType;
            unary::<Micros, Micros>(value, ty(), |v| Ok(round_timestamp(v, *digits)))
        }
        (PgType::Bpchar(_), PgType::Text | PgType::Varchar(None)) => {
            text_to_text(value, |text, out| {
                out.push_str(text.trim_end_matches(' '));
                Ok(())
            })
        }
        _ => return None,
    })
}

/// `value / unit`, half away from zero.
fn round_half_away(value: i128, unit: i128) -> i128 {
    let (quotient, remainder) = (value / unit, value % unit);
    if remainder.unsigned_abs() * 2 >= unit.unsigned_abs() && unit > 1 {
        quotient + value.signum()
    } else {
        quotient
    }
}
