//! Rows of a system relation, built by column name.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use satsuma_common::arrow_values::DatumBuilder;
use satsuma_common::{Array, Datum, Oid, PgType, SqlError, SqlResult, arrow_types};

use super::layout::Layout;

/// Collects rows; columns that a row does not name are NULL.
pub struct Rows<'a> {
    layout: &'a Layout,
    columns: Vec<DatumBuilder>,
    /// Where the last row that named it had each column: the next one mostly has it there, too.
    places: Vec<usize>,
    count: usize,
}

impl<'a> Rows<'a> {
    pub fn new(layout: &'a Layout) -> Self {
        let columns =
            layout.columns.iter().map(|column| DatumBuilder::new(&column.ty, 0)).collect();
        Self { layout, columns, places: vec![0; layout.columns.len()], count: 0 }
    }

    /// Adds a row. Naming a column that is not there, or leaving out one that must not be NULL,
    /// is an error of this module.
    pub fn push(&mut self, values: Vec<(&str, Datum)>) -> SqlResult<()> {
        let mut named = 0;
        let places = self.columns.iter_mut().zip(&mut self.places);
        for (column, (builder, place)) in self.layout.columns.iter().zip(places) {
            let is_it = |(name, _): &(&str, Datum)| *name == column.name;
            if !values.get(*place).is_some_and(is_it)
                && let Some(found) = values.iter().position(is_it)
            {
                *place = found;
            }
            match values.get(*place).filter(|value| is_it(value)) {
                Some((_, value)) => {
                    named += 1;
                    builder.append(value)?;
                }
                None if column.not_null => {
                    return Err(wrong(self.layout, &format!("has no {}", column.name)));
                }
                None => builder.append_null(),
            }
        }
        if named != values.len() {
            let known = |name: &str| self.layout.columns.iter().any(|column| column.name == name);
            let unknown = values.iter().find(|(name, _)| !known(name));
            let unknown = unknown.map_or("twice the same", |(name, _)| *name);
            return Err(wrong(self.layout, &format!("names {unknown}")));
        }
        self.count += 1;
        Ok(())
    }

    pub fn finish(mut self) -> SqlResult<RecordBatch> {
        let fields: Vec<_> = self
            .layout
            .columns
            .iter()
            .map(|column| arrow_types::field(column.name, &column.ty, true))
            .collect();
        let arrays: Vec<ArrayRef> =
            self.columns.iter_mut().map(DatumBuilder::finish).collect::<SqlResult<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| SqlError::internal(error.to_string()))
    }
}

fn wrong(layout: &Layout, what: &str) -> SqlError {
    SqlError::internal(format!("a row of {} {what}", layout.name))
}

/// A value as its column has it.
pub trait Value {
    fn datum(self) -> Datum;
}

macro_rules! values {
    ($($ty:ty => |$value:ident| $datum:expr;)*) => {
        $(impl Value for $ty {
            fn datum(self) -> Datum {
                let $value = self;
                $datum
            }
        })*
    };
}

values! {
    Datum => |value| value;
    bool => |value| Datum::Bool(value);
    i16 => |value| Datum::Int2(value);
    i32 => |value| Datum::Int4(value);
    i64 => |value| Datum::Int8(value);
    f32 => |value| Datum::Float4(value);
    f64 => |value| Datum::Float8(value);
    Oid => |value| Datum::Oid(value.0);
    &str => |value| Datum::Text(value.to_owned());
    String => |value| Datum::Text(value);
    &String => |value| Datum::Text(value.clone());
    char => |value| Datum::Text(value.to_string());
    Vec<i16> => |value| array(PgType::Int2, value);
    Vec<Oid> => |value| array(PgType::Oid, value);
    Vec<String> => |value| array(PgType::Text, value);
    Vec<f32> => |value| array(PgType::Float4, value);
}

impl<V: Value> Value for Option<V> {
    fn datum(self) -> Datum {
        self.map_or(Datum::Null, Value::datum)
    }
}

fn array<V: Value>(element: PgType, values: Vec<V>) -> Datum {
    Datum::Array(Array { element, values: values.into_iter().map(Value::datum).collect() })
}

/// `row!(rows, name = value, ...)` adds a row.
macro_rules! row {
    ($rows:expr, $($name:ident = $value:expr),* $(,)?) => {
        $rows.push(vec![
            $((stringify!($name), $crate::system_relations::rows::Value::datum($value))),*
        ])
    };
}
pub(super) use row;
