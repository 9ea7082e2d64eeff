//! Aggregates with an ORDER BY: rows are kept as the columns they came in, and sorted once, or
//! searched for the few that the aggregate wants.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, BooleanArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{
    SortColumn, SortOptions, concat, filter, is_not_null, lexsort_to_indices,
};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;
use satsuma_common::{Datum, PgType, SqlResult, arrow_types};

use super::library::{AggregateDefinition, Types};
use super::udaf::SortKey;
use crate::functions::columns::{Reader, to_scalar};
use crate::functions::error::to_datafusion;
use crate::interrupt;

/// One group's rows: arguments, then sort keys.
#[derive(Debug)]
pub struct SortedAccumulator {
    definition: Arc<AggregateDefinition>,
    types: Types,
    order: Vec<SortKey>,
    /// By input.
    columns: Vec<Vec<ArrayRef>>,
    bytes: usize,
}

impl SortedAccumulator {
    pub fn new(definition: Arc<AggregateDefinition>, types: Types, order: Vec<SortKey>) -> Self {
        let columns = vec![Vec::new(); types.arguments.len() + order.len()];
        Self { definition, types, order, columns, bytes: 0 }
    }

    fn inputs(&self) -> impl Iterator<Item = &PgType> {
        self.types.arguments.iter().chain(self.order.iter().map(|key| &key.ty))
    }

    fn push(&mut self, values: &[ArrayRef]) {
        for (column, array) in self.columns.iter_mut().zip(values) {
            self.bytes += array.get_array_memory_size();
            column.push(array.clone());
        }
    }

    /// All values of an input.
    fn column(&self, input: usize) -> Result<ArrayRef> {
        let arrays: Vec<_> = self.columns[input].iter().map(AsRef::as_ref).collect();
        Ok(concat(&arrays)?)
    }

    fn is_empty(&self) -> bool {
        self.columns.first().is_none_or(Vec::is_empty)
    }

    fn sort_columns(&self) -> Result<Vec<SortColumn>> {
        let first_key = self.types.arguments.len();
        self.order
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let (descending, nulls_first) = (!key.ascending, key.nulls_first);
                let options = Some(SortOptions { descending, nulls_first });
                Ok(SortColumn { values: self.column(first_key + at)?, options })
            })
            .collect()
    }
}

/// Rows in order: those at these places of it, or all.
fn rows_at(keys: &[SortColumn], wanted: Option<Vec<usize>>) -> Result<Vec<u32>> {
    match (keys, wanted) {
        (_, None) => Ok(lexsort_to_indices(keys, None)?.values().to_vec()),
        (_, Some(places)) if places.is_empty() => Ok(Vec::new()),
        ([key], Some(places))
            if key.values.null_count() == 0 && *key.values.data_type() == DataType::Float64 =>
        {
            Ok(select_floats(key, &places))
        }
        (_, Some(places)) => {
            let order = lexsort_to_indices(keys, None)?;
            Ok(places.into_iter().map(|place| order.value(place)).collect())
        }
    }
}

/// The rows at ascending places of the order of floats, without sorting the others.
fn select_floats(key: &SortColumn, places: &[usize]) -> Vec<u32> {
    let descending = key.options.is_some_and(|options| options.descending);
    // Integers in the order of `f64::total_cmp`.
    let ordered = |value: f64| {
        let bits = value.to_bits().cast_signed();
        let ascending = bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed();
        if descending { !ascending } else { ascending }
    };
    let values = key.values.as_primitive::<Float64Type>().values();
    let mut rows: Vec<(i64, u32)> = values.iter().map(|value| ordered(*value)).zip(0..).collect();
    let mut found = Vec::with_capacity(places.len());
    let (mut rest, mut before) = (&mut rows[..], 0);
    for place in places {
        let (_, (_, row), above) = rest.select_nth_unstable(place - before);
        found.push(*row);
        (rest, before) = (above, place + 1);
    }
    found
}

impl Accumulator for SortedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let arguments = values.iter().take(self.types.arguments.len());
        let mut counts: Option<BooleanArray> = None;
        for argument in arguments.filter(|array| self.definition.strict && array.null_count() > 0) {
            let present = is_not_null(argument)?;
            counts = Some(match counts {
                Some(counts) => datafusion::arrow::compute::and(&counts, &present)?,
                None => present,
            });
        }
        match counts {
            None => self.push(values),
            Some(counts) => {
                let kept = values.iter().map(|array| Ok(filter(array, &counts)?));
                self.push(&kept.collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut transition = (self.definition.make)(&self.types);
        if !self.is_empty() {
            let first_key = self.types.arguments.len();
            let arguments =
                (0..first_key).map(|at| self.column(at)).collect::<Result<Vec<ArrayRef>>>()?;
            let readers: Vec<_> = arguments
                .iter()
                .zip(&self.types.arguments)
                .map(|(array, ty)| Reader::new(array, ty))
                .collect();
            let values = |row: usize| -> SqlResult<Vec<Datum>> {
                readers.iter().map(|reader| reader.get(row)).collect()
            };
            let keys = self.sort_columns()?;
            let rows = keys.first().map_or(0, |key| key.values.len());
            let wanted = match rows {
                0 => Some(Vec::new()),
                _ => values(0)
                    .and_then(|first| transition.wants(&first, rows))
                    .map_err(to_datafusion)?,
            };
            let rows = interrupt::apart(|| rows_at(&keys, wanted))?;
            let update = |at: usize| transition.update(&values(rows[at] as usize)?);
            interrupt::for_rows(rows.len(), update).map_err(to_datafusion)?;
        }
        let value = transition.finish().map_err(to_datafusion)?;
        to_scalar(&self.types.result, value).map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }

    /// A list for every input.
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inputs()
            .enumerate()
            .map(|(input, ty)| {
                let DataType::List(field) =
                    arrow_types::data_type(&PgType::Array(Box::new(ty.clone())))
                else {
                    return internal_err!("an array is no list");
                };
                let values = match self.is_empty() {
                    true => datafusion::arrow::array::new_empty_array(field.data_type()),
                    false => self.column(input)?,
                };
                let offsets = OffsetBuffer::from_lengths([values.len()]);
                let list = ListArray::try_new(field, offsets, values, None)?;
                Ok(ScalarValue::List(Arc::new(list)))
            })
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) =
            states.iter().map(|state| state.as_list_opt::<i32>()).collect::<Option<Vec<_>>>()
        else {
            return internal_err!("the state of a sorted aggregate is no list");
        };
        for row in 0..states.first().map_or(0, |state| state.len()) {
            let values: Vec<ArrayRef> = lists.iter().map(|list| list.value(row)).collect();
            let same = values.windows(2).all(|pair| pair[0].len() == pair[1].len());
            if !same || values.len() != self.columns.len() {
                return internal_err!("the state of a sorted aggregate is uneven");
            }
            if values.first().is_some_and(|values| !values.is_empty()) {
                self.push(&values);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Float64Array;

    use super::*;

    #[test]
    fn selected_floats_are_those_of_a_sort() {
        let values = vec![3.5, -0.25, f64::INFINITY, 0.0, -7.0, f64::NAN, 2.0, -1e300, 2.0, 1e-9];
        for descending in [false, true] {
            let options = Some(SortOptions { descending, nulls_first: false });
            let key = SortColumn { values: Arc::new(Float64Array::from(values.clone())), options };
            let order = lexsort_to_indices(std::slice::from_ref(&key), None).unwrap();
            let sorted: Vec<f64> = order.values().iter().map(|row| values[*row as usize]).collect();
            for places in [vec![0], vec![9], vec![4, 5], vec![0, 3, 8, 9], (0..10).collect()] {
                let rows = rows_at(std::slice::from_ref(&key), Some(places.clone())).unwrap();
                let found = rows.iter().map(|row| values[*row as usize].to_bits());
                let expected = places.iter().map(|place| sorted[*place].to_bits());
                assert!(found.eq(expected), "{places:?} {descending}");
            }
        }
    }
}
