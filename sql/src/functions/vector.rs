//! Loops over Arrow arrays for bodies that work on columns: scalars stay scalars, NULL in gives
//! NULL out, and the closure runs only where all inputs are there.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray,
    StringViewArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use satsuma_common::{SqlError, SqlResult, SqlState};

use super::error::{from_arrow as sql_error, from_datafusion, to_arrow as arrow_error};
use crate::interrupt;

fn wrong_layout(data_type: &DataType) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, format!("unexpected Arrow type {data_type}"))
}

/// An argument as an array: one row long if it is a scalar.
pub fn array_of(value: &ColumnarValue) -> SqlResult<(ArrayRef, bool)> {
    match value {
        ColumnarValue::Array(array) => Ok((array.clone(), false)),
        ColumnarValue::Scalar(scalar) => Ok((scalar.to_array().map_err(from_datafusion)?, true)),
    }
}

/// A scalar again if it came from scalars.
pub fn columnar(array: ArrayRef, scalar: bool) -> SqlResult<ColumnarValue> {
    if scalar {
        let value = ScalarValue::try_from_array(&array, 0).map_err(from_datafusion)?;
        return Ok(ColumnarValue::Scalar(value));
    }
    Ok(ColumnarValue::Array(array))
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> SqlResult<&PrimitiveArray<T>> {
    array.as_primitive_opt::<T>().ok_or_else(|| wrong_layout(array.data_type()))
}

fn text(array: &ArrayRef) -> SqlResult<&StringViewArray> {
    array.as_string_view_opt().ok_or_else(|| wrong_layout(array.data_type()))
}

/// One primitive argument. `data_type` is the result's, for types with parameters.
pub fn unary<A, R>(
    value: &ColumnarValue,
    data_type: DataType,
    f: impl Fn(A::Native) -> SqlResult<R::Native>,
) -> SqlResult<ColumnarValue>
where
    A: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
{
    let (array, scalar) = array_of(value)?;
    let result: PrimitiveArray<R> =
        primitive::<A>(&array)?.try_unary(|v| f(v).map_err(arrow_error)).map_err(sql_error)?;
    columnar(Arc::new(result.with_data_type(data_type)), scalar)
}

/// Two primitive arguments.
pub fn binary<A, B, R>(
    left: &ColumnarValue,
    right: &ColumnarValue,
    data_type: DataType,
    f: impl Fn(A::Native, B::Native) -> SqlResult<R::Native>,
) -> SqlResult<ColumnarValue>
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
{
    let (left, left_scalar) = array_of(left)?;
    let (right, right_scalar) = array_of(right)?;
    let (a, b) = (primitive::<A>(&left)?, primitive::<B>(&right)?);
    let null =
        |rows| Arc::new(PrimitiveArray::<R>::new_null(rows).with_data_type(data_type.clone()));
    let result: PrimitiveArray<R> = match (left_scalar, right_scalar) {
        (false, true) if b.is_null(0) => return Ok(ColumnarValue::Array(null(a.len()))),
        (true, false) if a.is_null(0) => return Ok(ColumnarValue::Array(null(b.len()))),
        (false, true) => {
            let right = b.value(0);
            a.try_unary(|left| f(left, right).map_err(arrow_error)).map_err(sql_error)?
        }
        (true, false) => {
            let left = a.value(0);
            b.try_unary(|right| f(left, right).map_err(arrow_error)).map_err(sql_error)?
        }
        _ => datafusion::arrow::compute::try_binary(a, b, |left, right| {
            f(left, right).map_err(arrow_error)
        })
        .map_err(sql_error)?,
    };
    columnar(Arc::new(result.with_data_type(data_type.clone())), left_scalar && right_scalar)
}

/// A text and a primitive.
pub fn text_and<B, R>(
    left: &ColumnarValue,
    right: &ColumnarValue,
    data_type: DataType,
    f: impl Fn(&str, B::Native) -> SqlResult<R::Native>,
) -> SqlResult<ColumnarValue>
where
    B: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
{
    let (left, left_scalar) = array_of(left)?;
    let (right, right_scalar) = array_of(right)?;
    let (a, b) = (text(&left)?, primitive::<B>(&right)?);
    let rows = if left_scalar { b.len() } else { a.len() };
    let mut builder = PrimitiveArray::<R>::builder(rows).with_data_type(data_type);
    for row in 0..rows {
        let (i, j) = (if left_scalar { 0 } else { row }, if right_scalar { 0 } else { row });
        if a.is_null(i) || b.is_null(j) {
            builder.append_null();
        } else {
            builder.append_value(f(a.value(i), b.value(j))?);
        }
    }
    columnar(Arc::new(builder.finish()), left_scalar && right_scalar)
}

/// Text to text.
pub fn text_to_text(
    value: &ColumnarValue,
    f: impl Fn(&str, &mut String) -> SqlResult<()>,
) -> SqlResult<ColumnarValue> {
    let (array, scalar) = array_of(value)?;
    let strings = text(&array)?;
    let mut builder = StringViewBuilder::with_capacity(strings.len());
    let mut buffer = String::new();
    interrupt::for_rows(strings.len(), |row| {
        if strings.is_null(row) {
            builder.append_null();
            return Ok(());
        }
        buffer.clear();
        f(strings.value(row), &mut buffer)?;
        builder.append_value(&buffer);
        Ok(())
    })?;
    columnar(Arc::new(builder.finish()), scalar)
}

/// Text to a primitive.
pub fn text_to<R: ArrowPrimitiveType>(
    value: &ColumnarValue,
    data_type: DataType,
    f: impl Fn(&str) -> SqlResult<R::Native>,
) -> SqlResult<ColumnarValue> {
    let (array, scalar) = array_of(value)?;
    let mut builder = PrimitiveArray::<R>::builder(array.len()).with_data_type(data_type);
    for value in text(&array)? {
        match value {
            Some(value) => builder.append_value(f(value)?),
            None => builder.append_null(),
        }
    }
    columnar(Arc::new(builder.finish()), scalar)
}

/// Two texts to a boolean.
pub fn texts_to_bool(
    left: &ColumnarValue,
    right: &ColumnarValue,
    mut f: impl FnMut(&str, &str) -> SqlResult<bool>,
) -> SqlResult<ColumnarValue> {
    let (left, left_scalar) = array_of(left)?;
    let (right, right_scalar) = array_of(right)?;
    let (a, b) = (text(&left)?, text(&right)?);
    let rows = if left_scalar { b.len() } else { a.len() };
    let at = |array: &StringViewArray, scalar: bool, row: usize| {
        let row = if scalar { 0 } else { row };
        (!array.is_null(row)).then_some(row)
    };
    let mut result = Vec::with_capacity(rows);
    interrupt::for_rows(rows, |row| {
        result.push(match (at(a, left_scalar, row), at(b, right_scalar, row)) {
            (Some(i), Some(j)) => Some(f(a.value(i), b.value(j))?),
            _ => None,
        });
        Ok(())
    })?;
    columnar(Arc::new(BooleanArray::from(result)), left_scalar && right_scalar)
}

/// Two texts to a text or NULL, written without copies of the inputs.
pub fn texts_to_text(
    left: &ColumnarValue,
    right: &ColumnarValue,
    f: impl Fn(&str, &str, &mut String) -> SqlResult<bool>,
) -> SqlResult<ColumnarValue> {
    let (left, left_scalar) = array_of(left)?;
    let (right, right_scalar) = array_of(right)?;
    let (a, b) = (text(&left)?, text(&right)?);
    let rows = if left_scalar { b.len() } else { a.len() };
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut buffer = String::new();
    interrupt::for_rows(rows, |row| {
        let i = if left_scalar { 0 } else { row };
        let j = if right_scalar { 0 } else { row };
        if a.is_null(i) || b.is_null(j) {
            builder.append_null();
            return Ok(());
        }
        buffer.clear();
        if f(a.value(i), b.value(j), &mut buffer)? {
            builder.append_value(&buffer);
        } else {
            builder.append_null();
        }
        Ok(())
    })?;
    columnar(Arc::new(builder.finish()), left_scalar && right_scalar)
}
