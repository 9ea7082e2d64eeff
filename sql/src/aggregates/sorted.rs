//! Aggregates with an ORDER BY: rows are kept as the columns they came in, and sorted once.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, BooleanArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{
    SortColumn, SortOptions, concat, filter, is_not_null, lexsort_to_indices,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;
use satsuma_common::{PgType, arrow_types};

use super::library::{AggregateDefinition, Types};
use super::udaf::SortKey;
use crate::functions::columns::{Reader, to_scalar};
use crate::functions::error::to_datafusion;

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
            let keys = self
                .order
                .iter()
                .enumerate()
                .map(|(at, key)| {
                    let (descending, nulls_first) = (!key.ascending, key.nulls_first);
                    let options = Some(SortOptions { descending, nulls_first });
                    Ok(SortColumn { values: self.column(first_key + at)?, options })
                })
                .collect::<Result<Vec<_>>>()?;
            let order = lexsort_to_indices(&keys, None)?;
            let arguments =
                (0..first_key).map(|at| self.column(at)).collect::<Result<Vec<ArrayRef>>>()?;
            let readers: Vec<_> = arguments
                .iter()
                .zip(&self.types.arguments)
                .map(|(array, ty)| Reader::new(array, ty))
                .collect();
            for row in order.values() {
                let row = *row as usize;
                let values = readers.iter().map(|reader| reader.get(row));
                let values = values.collect::<satsuma_common::SqlResult<Vec<_>>>();
                values.and_then(|values| transition.update(&values)).map_err(to_datafusion)?;
            }
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
