//! Between Arrow arrays and rows of [`Datum`]: how bodies that work on one row at a time are
//! driven over batches.

use datafusion::arrow::array::{Array as _, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use satsuma_common::arrow_values::{DatumBuilder, datum_at};
use satsuma_common::{Datum, PgType, SqlResult};

use super::error::from_datafusion;

/// Reads rows of an Arrow array as values of a PostgreSQL type.
pub struct Reader<'a> {
    array: &'a ArrayRef,
    ty: &'a PgType,
}

impl<'a> Reader<'a> {
    pub fn new(array: &'a ArrayRef, ty: &'a PgType) -> Self {
        Self { array, ty }
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row) || self.array.data_type() == &DataType::Null
    }

    pub fn get(&self, row: usize) -> SqlResult<Datum> {
        datum_at(self.array.as_ref(), row, self.ty)
    }
}

/// Collects values into the array that holds `ty`.
pub fn collect(ty: &PgType, values: impl IntoIterator<Item = Datum>) -> SqlResult<ArrayRef> {
    let values = values.into_iter();
    let mut builder = DatumBuilder::new(ty, values.size_hint().0);
    for value in values {
        builder.append(&value)?;
    }
    builder.finish()
}

/// One value as a scalar of the layout of `ty`.
pub fn to_scalar(ty: &PgType, value: Datum) -> SqlResult<ScalarValue> {
    let array = collect(ty, [value])?;
    ScalarValue::try_from_array(&array, 0).map_err(from_datafusion)
}

pub fn from_scalar(ty: &PgType, value: &ScalarValue) -> SqlResult<Datum> {
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let array = value.to_array().map_err(from_datafusion)?;
    datum_at(array.as_ref(), 0, ty)
}
