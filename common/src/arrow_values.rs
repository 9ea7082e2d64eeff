//! Values in and out of Arrow columns, by the mapping of [`crate::arrow_types`].
//!
//! Reading is tolerant: an expression may yield `Utf8` where a column has `Utf8View`, or a wider
//! integer; the value is what counts. Writing always produces the mapped type.

use std::sync::Arc;

use arrow::array::{
    Array as ArrowArray, ArrayRef, AsArray, BinaryBuilder, BinaryViewBuilder, BooleanBuilder,
    Date32Builder, Decimal128Builder, FixedSizeBinaryBuilder, FixedSizeListArray, Float32Builder,
    Float64Array, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    IntervalMonthDayNanoBuilder, ListArray, NullArray, NullBufferBuilder, StringViewBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::arrow_types;
use crate::datum::{Array, Datum, Interval};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::inet::Inet;
use crate::numeric::Numeric;
use crate::types::PgType;

/// The value at `row` of a column that holds values of type `ty`.
pub fn datum_at(array: &dyn ArrowArray, row: usize, ty: &PgType) -> SqlResult<Datum> {
    if row >= array.len() {
        return Err(SqlError::internal(format!("row {row} of a column of {}", array.len())));
    }
    if array.is_null(row) {
        return Ok(Datum::Null);
    }
    let value = match array.data_type() {
        DataType::Null => Datum::Null,
        DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
        DataType::Int8 => integer(i64::from(array.as_primitive::<Int8Type>().value(row)), ty)?,
        DataType::Int16 => integer(i64::from(array.as_primitive::<Int16Type>().value(row)), ty)?,
        DataType::Int32 => integer(i64::from(array.as_primitive::<Int32Type>().value(row)), ty)?,
        DataType::Int64 => integer(array.as_primitive::<Int64Type>().value(row), ty)?,
        DataType::UInt8 => integer(i64::from(array.as_primitive::<UInt8Type>().value(row)), ty)?,
        DataType::UInt16 => integer(i64::from(array.as_primitive::<UInt16Type>().value(row)), ty)?,
        DataType::UInt32 => integer(i64::from(array.as_primitive::<UInt32Type>().value(row)), ty)?,
        DataType::UInt64 => {
            let value = array.as_primitive::<UInt64Type>().value(row);
            match ty {
                PgType::Numeric(_) => Datum::Numeric(Numeric::from(i128::from(value))),
                _ => integer(i64::try_from(value).map_err(|_| out_of_range(ty))?, ty)?,
            }
        }
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row)), ty),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), ty),
        DataType::Decimal128(_, scale) => {
            let coefficient = array.as_primitive::<Decimal128Type>().value(row);
            let value = Numeric::from_i128(coefficient, i32::from(*scale));
            Datum::Numeric(value.ok_or_else(|| out_of_range(ty))?)
        }
        DataType::Utf8 => Datum::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Datum::Text(array.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Datum::Text(array.as_string_view().value(row).to_owned()),
        DataType::Binary => binary(array.as_binary::<i32>().value(row), ty)?,
        DataType::LargeBinary => binary(array.as_binary::<i64>().value(row), ty)?,
        DataType::BinaryView => binary(array.as_binary_view().value(row), ty)?,
        DataType::FixedSizeBinary(_) => binary(array.as_fixed_size_binary().value(row), ty)?,
        DataType::Date32 => Datum::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            Datum::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            Datum::Time(array.as_primitive::<Time64NanosecondType>().value(row) / 1000)
        }
        DataType::Timestamp(unit, _) => Datum::Timestamp(micros(array, row, *unit)),
        DataType::Interval(unit) => Datum::Interval(interval(array, row, *unit)),
        DataType::FixedSizeList(_, 2) => {
            let list = array.as_fixed_size_list();
            let pair = list.value(row);
            let pair = pair
                .as_primitive_opt::<Float64Type>()
                .ok_or_else(|| unexpected(array.data_type(), ty))?;
            Datum::Point(pair.value(0), pair.value(1))
        }
        DataType::List(item) => {
            let element = match ty {
                PgType::Array(element) => element.as_ref().clone(),
                _ => arrow_types::pg_type(item),
            };
            let values = array.as_list::<i32>().value(row);
            let values = (0..values.len())
                .map(|at| datum_at(values.as_ref(), at, &element))
                .collect::<SqlResult<_>>()?;
            Datum::Array(Array { element, values })
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.normalized_keys()[row];
            return datum_at(dictionary.values().as_ref(), key, ty);
        }
        other => return Err(unexpected(other, ty)),
    };
    Ok(value)
}

fn integer(value: i64, ty: &PgType) -> SqlResult<Datum> {
    Ok(match ty {
        PgType::Int2 => Datum::Int2(value.try_into().map_err(|_| out_of_range(ty))?),
        PgType::Int4 => Datum::Int4(value.try_into().map_err(|_| out_of_range(ty))?),
        PgType::Numeric(_) => Datum::Numeric(Numeric::from_i64(value)),
        PgType::Float4 => Datum::Float4(value as f32),
        PgType::Float8 => Datum::Float8(value as f64),
        PgType::Oid
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Regprocedure
        | PgType::Regnamespace
        | PgType::Regrole => Datum::Oid(value.try_into().map_err(|_| out_of_range(ty))?),
        _ => Datum::Int8(value),
    })
}

fn float(value: f64, ty: &PgType) -> Datum {
    match ty {
        PgType::Float4 => Datum::Float4(value as f32),
        _ => Datum::Float8(value),
    }
}

fn binary(bytes: &[u8], ty: &PgType) -> SqlResult<Datum> {
    let corrupted = || {
        SqlError::new(SqlState::DATA_CORRUPTED, format!("stored value of type {ty} is malformed"))
    };
    Ok(match ty {
        PgType::Numeric(_) => Datum::Numeric(Numeric::from_sortable(bytes).ok_or_else(corrupted)?),
        PgType::Inet | PgType::Cidr => {
            Datum::Inet(Inet::from_sortable(bytes).ok_or_else(corrupted)?)
        }
        PgType::Uuid => Datum::Uuid(bytes.try_into().map_err(|_| corrupted())?),
        _ => Datum::Bytea(bytes.to_vec()),
    })
}

fn micros(array: &dyn ArrowArray, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => {
            array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000)
        }
        TimeUnit::Millisecond => {
            array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1000)
        }
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => {
            array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000)
        }
    }
}

fn interval(array: &dyn ArrowArray, row: usize, unit: IntervalUnit) -> Interval {
    match unit {
        IntervalUnit::YearMonth => Interval {
            months: array.as_primitive::<IntervalYearMonthType>().value(row),
            ..Interval::default()
        },
        IntervalUnit::DayTime => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            Interval { days: value.days, micros: i64::from(value.milliseconds) * 1000, months: 0 }
        }
        IntervalUnit::MonthDayNano => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            interval_from_arrow(value)
        }
    }
}

pub fn interval_from_arrow(value: IntervalMonthDayNano) -> Interval {
    Interval { months: value.months, days: value.days, micros: value.nanoseconds / 1000 }
}

/// An error when the time part is too long for Arrow's nanoseconds (292 years).
pub fn interval_to_arrow(value: Interval) -> SqlResult<IntervalMonthDayNano> {
    let nanoseconds = value
        .micros
        .checked_mul(1000)
        .ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
    Ok(IntervalMonthDayNano { months: value.months, days: value.days, nanoseconds })
}

fn out_of_range(ty: &PgType) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{ty} out of range"))
}

fn unexpected(layout: &DataType, ty: &PgType) -> SqlError {
    SqlError::internal(format!("a column of {layout} cannot hold {ty}"))
}

/// A column of values of `ty`.
pub fn array_from_datums(values: &[Datum], ty: &PgType) -> SqlResult<ArrayRef> {
    let mut builder = DatumBuilder::new(ty, values.len());
    for value in values {
        builder.append(value)?;
    }
    builder.finish()
}

/// A column of one value.
pub fn array_of_one(value: &Datum, ty: &PgType) -> SqlResult<ArrayRef> {
    array_from_datums(std::slice::from_ref(value), ty)
}

/// A column of `len` NULLs.
pub fn null_array(ty: &PgType, len: usize) -> ArrayRef {
    arrow::array::new_null_array(&arrow_types::data_type(ty), len)
}

/// Builds a column of one type, value by value.
pub struct DatumBuilder {
    pub(crate) ty: PgType,
    pub(crate) column: ColumnBuilder,
    /// Holds one value while it is put into its stored form.
    pub(crate) scratch: Scratch,
}

#[derive(Default)]
pub(crate) struct Scratch {
    pub bytes: Vec<u8>,
    pub text: String,
}

impl Scratch {
    /// The order-preserving form of a number.
    pub(crate) fn numeric(&mut self, value: &Numeric) -> &[u8] {
        self.bytes.clear();
        value.append_sortable(&mut self.bytes);
        &self.bytes
    }

    /// The order-preserving form of an address.
    pub(crate) fn inet(&mut self, value: &Inet) -> &[u8] {
        self.bytes.clear();
        value.append_sortable(&mut self.bytes);
        &self.bytes
    }
}

/// The Arrow builder behind a [`DatumBuilder`].
pub(crate) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Decimal(Decimal128Builder),
    /// numeric and inet in their order-preserving forms.
    Sortable(BinaryBuilder),
    Text(StringViewBuilder),
    Bytea(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Point {
        values: Vec<f64>,
        nulls: NullBufferBuilder,
    },
    Oid(UInt32Builder),
    List {
        offsets: Vec<i32>,
        nulls: NullBufferBuilder,
        items: Box<DatumBuilder>,
    },
    Void(usize),
}

macro_rules! each_builder {
    ($self:expr, $builder:ident => $common:expr, $($rest:tt)*) => {
        match $self {
            ColumnBuilder::Bool($builder) => $common,
            ColumnBuilder::Int2($builder) => $common,
            ColumnBuilder::Int4($builder) => $common,
            ColumnBuilder::Int8($builder) => $common,
            ColumnBuilder::Float4($builder) => $common,
            ColumnBuilder::Float8($builder) => $common,
            ColumnBuilder::Decimal($builder) => $common,
            ColumnBuilder::Sortable($builder) => $common,
            ColumnBuilder::Text($builder) => $common,
            ColumnBuilder::Bytea($builder) => $common,
            ColumnBuilder::Date($builder) => $common,
            ColumnBuilder::Time($builder) => $common,
            ColumnBuilder::Timestamp($builder) => $common,
            ColumnBuilder::Interval($builder) => $common,
            ColumnBuilder::Uuid($builder) => $common,
            ColumnBuilder::Oid($builder) => $common,
            $($rest)*
        }
    };
}

impl ColumnBuilder {
    fn new(ty: &PgType, capacity: usize) -> Self {
        match arrow_types::data_type(ty) {
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(capacity)),
            DataType::Int16 => Self::Int2(Int16Builder::with_capacity(capacity)),
            DataType::Int32 => Self::Int4(Int32Builder::with_capacity(capacity)),
            DataType::Int64 => Self::Int8(Int64Builder::with_capacity(capacity)),
            DataType::Float32 => Self::Float4(Float32Builder::with_capacity(capacity)),
            DataType::Float64 => Self::Float8(Float64Builder::with_capacity(capacity)),
            layout @ DataType::Decimal128(_, _) => {
                Self::Decimal(Decimal128Builder::with_capacity(capacity).with_data_type(layout))
            }
            DataType::Binary => {
                Self::Sortable(BinaryBuilder::with_capacity(capacity, capacity * 10))
            }
            DataType::BinaryView => Self::Bytea(BinaryViewBuilder::with_capacity(capacity)),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(capacity)),
            DataType::Time64(_) => Self::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            layout @ DataType::Timestamp(_, _) => Self::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(capacity).with_data_type(layout),
            ),
            DataType::Interval(_) => {
                Self::Interval(IntervalMonthDayNanoBuilder::with_capacity(capacity))
            }
            DataType::FixedSizeBinary(width) => {
                Self::Uuid(FixedSizeBinaryBuilder::with_capacity(capacity, width))
            }
            DataType::FixedSizeList(_, _) => Self::Point {
                values: Vec::with_capacity(capacity * 2),
                nulls: NullBufferBuilder::new(capacity),
            },
            DataType::UInt32 => Self::Oid(UInt32Builder::with_capacity(capacity)),
            DataType::List(_) => {
                let element = match ty {
                    PgType::Array(element) => element.as_ref(),
                    other => other,
                };
                let mut offsets = Vec::with_capacity(capacity + 1);
                offsets.push(0);
                Self::List {
                    offsets,
                    nulls: NullBufferBuilder::new(capacity),
                    items: Box::new(DatumBuilder::new(element, capacity)),
                }
            }
            DataType::Null => Self::Void(0),
            _ => Self::Text(StringViewBuilder::with_capacity(capacity)),
        }
    }
}

impl DatumBuilder {
    pub fn new(ty: &PgType, capacity: usize) -> Self {
        Self {
            ty: ty.clone(),
            column: ColumnBuilder::new(ty, capacity),
            scratch: Scratch::default(),
        }
    }

    pub fn ty(&self) -> &PgType {
        &self.ty
    }

    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        each_builder!(&self.column, builder => builder.len(),
            ColumnBuilder::Point { values, .. } => values.len() / 2,
            ColumnBuilder::List { offsets, .. } => offsets.len() - 1,
            ColumnBuilder::Void(count) => *count,
        )
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn append_null(&mut self) {
        each_builder!(&mut self.column, builder => builder.append_null(),
            ColumnBuilder::Point { values, nulls } => {
                values.extend([0.0, 0.0]);
                nulls.append_null();
            }
            ColumnBuilder::List { offsets, nulls, .. } => {
                let last = offsets.last().copied().unwrap_or(0);
                offsets.push(last);
                nulls.append_null();
            }
            ColumnBuilder::Void(count) => *count += 1,
        );
    }

    /// An error when `value` is not of the builder's type (integers may be narrower or wider as
    /// long as they fit) or does not fit its modifier; the builder is no use any more then.
    pub fn append(&mut self, value: &Datum) -> SqlResult<()> {
        if value.is_null() {
            self.append_null();
            return Ok(());
        }
        let Self { ty, column, scratch } = self;
        let ty = &*ty;
        let mismatch = || SqlError::internal(format!("a value {value:?} is not of type {ty}"));
        let out_of_range = || out_of_range(ty);
        match (column, value) {
            (ColumnBuilder::Bool(builder), Datum::Bool(value)) => builder.append_value(*value),
            (ColumnBuilder::Int2(builder), value) => {
                let value = as_integer(value).ok_or_else(mismatch)?;
                builder.append_value(value.try_into().map_err(|_| out_of_range())?);
            }
            (ColumnBuilder::Int4(builder), value) => {
                let value = as_integer(value).ok_or_else(mismatch)?;
                builder.append_value(value.try_into().map_err(|_| out_of_range())?);
            }
            (ColumnBuilder::Int8(builder), value) => {
                builder.append_value(as_integer(value).ok_or_else(mismatch)?);
            }
            (ColumnBuilder::Oid(builder), Datum::Oid(value)) => builder.append_value(*value),
            (ColumnBuilder::Oid(builder), value) => {
                let value = as_integer(value).ok_or_else(mismatch)?;
                builder.append_value(value.try_into().map_err(|_| out_of_range())?);
            }
            (ColumnBuilder::Float4(builder), Datum::Float4(value)) => builder.append_value(*value),
            (ColumnBuilder::Float8(builder), Datum::Float8(value)) => builder.append_value(*value),
            (ColumnBuilder::Float8(builder), Datum::Float4(value)) => {
                builder.append_value(f64::from(*value));
            }
            (ColumnBuilder::Decimal(builder), Datum::Numeric(value)) => {
                builder.append_value(decimal128(value, ty)?);
            }
            (ColumnBuilder::Decimal(builder), value) => {
                let value = Numeric::from_i64(as_integer(value).ok_or_else(mismatch)?);
                builder.append_value(decimal128(&value, ty)?);
            }
            (ColumnBuilder::Sortable(builder), Datum::Numeric(value)) => {
                builder.append_value(match ty {
                    PgType::Numeric(Some(modifier)) => {
                        scratch.numeric(&value.with_modifier(*modifier)?)
                    }
                    _ => scratch.numeric(value),
                });
            }
            (ColumnBuilder::Sortable(builder), Datum::Inet(value)) => {
                builder.append_value(scratch.inet(value));
            }
            (ColumnBuilder::Sortable(builder), value) => {
                let value = as_integer(value).ok_or_else(mismatch)?;
                builder.append_value(scratch.numeric(&Numeric::from_i64(value)));
            }
            (ColumnBuilder::Text(builder), Datum::Text(value)) => builder.append_value(value),
            (ColumnBuilder::Bytea(builder), Datum::Bytea(value)) => builder.append_value(value),
            (ColumnBuilder::Date(builder), Datum::Date(value)) => builder.append_value(*value),
            (ColumnBuilder::Time(builder), Datum::Time(value)) => builder.append_value(*value),
            (ColumnBuilder::Timestamp(builder), Datum::Timestamp(value)) => {
                builder.append_value(*value);
            }
            (ColumnBuilder::Interval(builder), Datum::Interval(value)) => {
                builder.append_value(interval_to_arrow(*value)?);
            }
            (ColumnBuilder::Uuid(builder), Datum::Uuid(value)) => {
                builder.append_value(value).map_err(|_| mismatch())?;
            }
            (ColumnBuilder::Point { values, nulls }, Datum::Point(x, y)) => {
                values.extend([*x, *y]);
                nulls.append_non_null();
            }
            (ColumnBuilder::List { offsets, nulls, items }, Datum::Array(array)) => {
                for element in &array.values {
                    items.append(element)?;
                }
                offsets.push(i32::try_from(items.len()).map_err(|_| too_many_elements())?);
                nulls.append_non_null();
            }
            (ColumnBuilder::Void(count), _) => *count += 1,
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    /// The column; the builder is empty afterwards.
    pub fn finish(&mut self) -> SqlResult<ArrayRef> {
        use arrow::array::ArrayBuilder;
        let invalid = |error: arrow::error::ArrowError| SqlError::internal(error.to_string());
        Ok(each_builder!(&mut self.column, builder => ArrayBuilder::finish(builder),
            ColumnBuilder::Point { values, nulls } => {
                let values = Arc::new(Float64Array::from(std::mem::take(values)));
                let item = Arc::new(Field::new("item", DataType::Float64, false));
                let array = FixedSizeListArray::try_new(item, 2, values, nulls.finish());
                Arc::new(array.map_err(invalid)?)
            }
            ColumnBuilder::List { offsets, nulls, items } => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let values = items.finish()?;
                let item = Arc::new(Field::new("item", values.data_type().clone(), true));
                let offsets = OffsetBuffer::new(offsets.into());
                let array = ListArray::try_new(item, offsets, values, nulls.finish());
                Arc::new(array.map_err(invalid)?)
            }
            ColumnBuilder::Void(count) => Arc::new(NullArray::new(std::mem::take(count))),
        ))
    }
}

pub(crate) fn too_many_elements() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many array elements in one batch")
}

fn as_integer(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int2(value) => Some(i64::from(*value)),
        Datum::Int4(value) => Some(i64::from(*value)),
        Datum::Int8(value) => Some(*value),
        Datum::Oid(value) => Some(i64::from(*value)),
        _ => None,
    }
}

/// The coefficient of `value` in a Decimal128 column of type `ty`.
pub(crate) fn decimal128(value: &Numeric, ty: &PgType) -> SqlResult<i128> {
    let PgType::Numeric(Some(modifier)) = ty else {
        return Err(SqlError::internal(format!("{ty} is not held as decimal")));
    };
    if value.is_nan() {
        return Err(SqlError::unsupported("NaN is not supported in columns of numeric(p,s)")
            .hint("Use numeric without precision and scale."));
    }
    let rounded = value.with_modifier(*modifier)?;
    rounded.to_i128(i32::from(modifier.scale)).ok_or_else(|| out_of_range(ty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NumericMod;

    fn round_trip(ty: &PgType, values: &[Datum]) {
        let array = array_from_datums(values, ty).unwrap();
        assert_eq!(array.data_type(), &arrow_types::data_type(ty));
        assert_eq!(array.len(), values.len());
        for (row, value) in values.iter().enumerate() {
            assert_eq!(datum_at(array.as_ref(), row, ty).unwrap(), *value, "{ty}");
        }
    }

    #[test]
    fn every_layout_round_trips() {
        let numeric = |text: &str| Datum::Numeric(text.parse().unwrap());
        let decimal = PgType::Numeric(Some(NumericMod { precision: 20, scale: 4 }));
        let wide = PgType::Numeric(Some(NumericMod { precision: 60, scale: 4 }));
        round_trip(&PgType::Bool, &[Datum::Bool(true), Datum::Null, Datum::Bool(false)]);
        round_trip(&PgType::Int2, &[Datum::Int2(-1), Datum::Null]);
        round_trip(&PgType::Int4, &[Datum::Int4(-1), Datum::Null]);
        round_trip(&PgType::Int8, &[Datum::Int8(i64::MIN), Datum::Null]);
        round_trip(&PgType::Float4, &[Datum::Float4(1.5), Datum::Null]);
        round_trip(&PgType::Float8, &[Datum::Float8(f64::INFINITY), Datum::Null]);
        round_trip(&PgType::Numeric(None), &[numeric("1.50"), Datum::Null, numeric("NaN")]);
        round_trip(&decimal, &[numeric("-12.3456"), Datum::Null]);
        round_trip(&wide, &[numeric("1e50"), Datum::Null]);
        round_trip(&PgType::Text, &[Datum::Text("héllo".into()), Datum::Null]);
        round_trip(&PgType::Bytea, &[Datum::Bytea(vec![0, 255]), Datum::Null]);
        round_trip(&PgType::Date, &[Datum::Date(i32::MAX), Datum::Null]);
        round_trip(&PgType::Time, &[Datum::Time(1), Datum::Null]);
        round_trip(&PgType::Timestamptz, &[Datum::Timestamp(i64::MIN), Datum::Null]);
        let interval = Interval { months: 1, days: -2, micros: 3 };
        round_trip(&PgType::Interval, &[Datum::Interval(interval), Datum::Null]);
        round_trip(&PgType::Uuid, &[Datum::Uuid([7; 16]), Datum::Null]);
        let inet = Datum::Inet(Inet::parse("10.1.2.3/8").unwrap());
        round_trip(&PgType::Inet, &[inet, Datum::Null]);
        round_trip(&PgType::Point, &[Datum::Point(1.0, -2.0), Datum::Null]);
        round_trip(&PgType::Oid, &[Datum::Oid(u32::MAX), Datum::Null]);
        let array = Array { element: PgType::Int4, values: vec![Datum::Int4(1), Datum::Null] };
        let empty = Array { element: PgType::Int4, values: vec![] };
        let ty = PgType::Array(Box::new(PgType::Int4));
        round_trip(&ty, &[Datum::Array(array), Datum::Null, Datum::Array(empty)]);
    }

    #[test]
    fn values_that_do_not_fit_are_errors() {
        let mut small = DatumBuilder::new(&PgType::Int2, 1);
        assert!(small.append(&Datum::Int4(70000)).is_err());
        assert!(small.append(&Datum::Text("1".into())).is_err());
        assert!(small.append(&Datum::Int8(7)).is_ok());
        assert_eq!(small.len(), 1);
        let modifier = NumericMod { precision: 3, scale: 1 };
        let mut decimal = DatumBuilder::new(&PgType::Numeric(Some(modifier)), 1);
        assert!(decimal.append(&Datum::Numeric("123.4".parse().unwrap())).is_err());
    }
}
