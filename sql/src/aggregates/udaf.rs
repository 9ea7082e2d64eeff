//! The DataFusion side of an aggregate: a function whose name is its identity.
//!
//! ```text
//! sum(int8)<20>1700:2490372                           arguments and result, as type codes
//! string_agg(text,text)<25,25>25;distinct;order=20al  DISTINCT; sorted by a bigint, ascending,
//!                                                     NULLs last
//! ```
//!
//! DISTINCT and ORDER BY are ours, not DataFusion's: the rows are kept until the end, sent to other
//! nodes as lists, and sorted there, so that an aggregate gives the same on one node and on many.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use satsuma_common::{Array, Datum, PgType, SqlResult, arrow_types};

use super::library::{self, AggregateDefinition, MakeGroups, Transition, Types};
use super::sorted::SortedAccumulator;
use crate::functions::columns::{Reader, to_scalar};
use crate::functions::error::{to_datafusion, unexpected_value};
use crate::functions::udf::{parse_type_code, type_code};
use crate::interrupt;
use crate::operators::keys::compare_values;
use crate::value_size;

/// What an accumulator of a window gave: one result for each row of it, and of some aggregates
/// every one is as large as all rows before it.
#[derive(Debug, Default)]
struct Given {
    results: usize,
    bytes: usize,
}

impl Given {
    /// Results between two looks at whether they are still wanted.
    const LOOK_UP_AFTER: usize = 1024;
    /// So many are in memory together, about.
    const BATCH: usize = 8192;

    fn add(&mut self, result: &ScalarValue) -> SqlResult<()> {
        self.results += 1;
        self.bytes += result.size();
        value_size::check_batch(self.bytes)?;
        if self.results.is_multiple_of(Self::BATCH) {
            self.bytes = 0;
        }
        match self.results.is_multiple_of(Self::LOOK_UP_AFTER) {
            true => interrupt::check(),
            false => Ok(()),
        }
    }
}

/// How the rows of an aggregate are sorted by one more argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub ty: PgType,
    pub ascending: bool,
    pub nulls_first: bool,
}

#[derive(Debug)]
pub struct PgAggregate {
    name: String,
    definition: Arc<AggregateDefinition>,
    types: Types,
    distinct: bool,
    order: Vec<SortKey>,
    signature: Signature,
}

impl PgAggregate {
    pub fn new(
        definition: Arc<AggregateDefinition>,
        arguments: Vec<PgType>,
        result: PgType,
        distinct: bool,
        order: Vec<SortKey>,
    ) -> Self {
        let codes: Vec<_> = arguments.iter().map(type_code).collect();
        let mut name =
            format!("{}<{}>{}", definition.signature.key(), codes.join(","), type_code(&result));
        if distinct {
            name.push_str(";distinct");
        }
        for key in &order {
            let direction = if key.ascending { 'a' } else { 'd' };
            let nulls = if key.nulls_first { 'f' } else { 'l' };
            name.push_str(&format!(";order={}{direction}{nulls}", type_code(&key.ty)));
        }
        let types = Types { arguments, result };
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name, definition, types, distinct, order, signature }
    }

    /// The instance that a name stands for.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut parts = name.split(';');
        let head = parts.next()?;
        let key_end = head.rfind(")<")? + 1;
        let definition = library::by_key(&head[..key_end])?;
        let (arguments, result) = head[key_end..].strip_prefix('<')?.split_once('>')?;
        let arguments = arguments
            .split(',')
            .filter(|code| !code.is_empty())
            .map(parse_type_code)
            .collect::<Option<Vec<_>>>()?;
        let result = parse_type_code(result)?;
        let mut distinct = false;
        let mut order = Vec::new();
        for part in parts {
            if part == "distinct" {
                distinct = true;
                continue;
            }
            let key = part.strip_prefix("order=")?;
            let (rest, nulls) = key.split_at_checked(key.len().checked_sub(1)?)?;
            let (code, direction) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
            order.push(SortKey {
                ty: parse_type_code(code)?,
                ascending: direction == "a",
                nulls_first: nulls == "f",
            });
        }
        Some(Self::new(definition, arguments, result, distinct, order))
    }

    /// Whether the same rows in another order may give another value.
    pub fn depends_on_order(&self) -> bool {
        let sums_floats = [PgType::Float4, PgType::Float8].contains(&self.types.result);
        let is_in_order = self.distinct || !self.order.is_empty();
        // Its keys are in order; only of a key that comes twice the last value counts.
        let by_key = self.definition.signature.key().starts_with("jsonb_object_agg(");
        !is_in_order && (self.definition.sorts && !by_key || sums_floats)
    }

    fn collects(&self) -> bool {
        self.distinct || !self.order.is_empty()
    }

    fn input_types(&self) -> Vec<PgType> {
        let keys = self.order.iter().map(|key| key.ty.clone());
        self.types.arguments.iter().cloned().chain(keys).collect()
    }

    fn state_types(&self) -> Vec<PgType> {
        if self.collects() {
            return self.input_types().into_iter().map(|ty| PgType::Array(Box::new(ty))).collect();
        }
        (self.definition.state)(&self.types)
    }

    fn transition(&self) -> Box<dyn Transition> {
        if !self.collects() {
            return (self.definition.make)(&self.types);
        }
        Box::new(Collected {
            definition: self.definition.clone(),
            types: self.types.clone(),
            distinct: self.distinct,
            order: self.order.clone(),
            rows: Vec::new(),
        })
    }

    fn rows(&self) -> RowAccumulator {
        let groups = self.definition.groups.filter(|_| !self.collects());
        RowAccumulator {
            transition: self.transition(),
            groups: groups.map(|make| (make, self.types.clone())),
            strict: self.definition.strict,
            arguments: self.types.arguments.len(),
            inputs: self.input_types(),
            states: self.state_types(),
            result: self.types.result.clone(),
            given: Given::default(),
        }
    }
}

by_name!(PgAggregate);

impl AggregateUDFImpl for PgAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_types::data_type(&self.types.result))
    }

    fn return_field(&self, _: &[FieldRef]) -> Result<FieldRef> {
        Ok(arrow_types::field_ref(self.name.as_str(), &self.types.result, true))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if self.distinct || self.order.is_empty() {
            return Ok(Box::new(self.rows()));
        }
        let (definition, types) = (self.definition.clone(), self.types.clone());
        Ok(Box::new(SortedAccumulator::new(definition, types, self.order.clone())))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types = self.state_types();
        Ok(types
            .iter()
            .enumerate()
            .map(|(i, ty)| arrow_types::field_ref(format!("{}[{i}]", args.name), ty, true))
            .collect())
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        !self.collects() && self.definition.groups.is_some_and(|make| make(&self.types).is_some())
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.definition
            .groups
            .and_then(|make| make(&self.types))
            .ok_or_else(|| to_datafusion(unexpected_value(&self.name)))
    }

    fn create_sliding_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SlidingAccumulator {
            inner: self.rows(),
            definition: self.definition.clone(),
            types: self.types.clone(),
            rows: VecDeque::new(),
            counted: 0,
            running: None,
            given: Given::default(),
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// One group's accumulator over a [`Transition`].
#[derive(Debug)]
struct RowAccumulator {
    transition: Box<dyn Transition>,
    /// What adds up columns.
    groups: Option<(MakeGroups, Types)>,
    strict: bool,
    /// How many of the inputs are arguments; the rest are sort keys.
    arguments: usize,
    inputs: Vec<PgType>,
    states: Vec<PgType>,
    result: PgType,
    given: Given,
}

impl RowAccumulator {
    /// Calls `f` with each row that counts.
    fn each_row(
        &self,
        values: &[ArrayRef],
        mut f: impl FnMut(Vec<Datum>) -> SqlResult<()>,
    ) -> SqlResult<()> {
        let readers: Vec<_> =
            values.iter().zip(&self.inputs).map(|(array, ty)| Reader::new(array, ty)).collect();
        let rows = values.first().map_or(0, |array| array.len());
        for row in 0..rows {
            if self.strict && readers.iter().take(self.arguments).any(|r| r.is_null(row)) {
                continue;
            }
            f(readers.iter().map(|r| r.get(row)).collect::<SqlResult<_>>()?)?;
        }
        Ok(())
    }

    /// The state of a batch's rows, where they are added up as columns: that is much faster than
    /// row by row, unless they are few, as in the frames of windows.
    fn of_batch(&self, values: &[ArrayRef]) -> Result<Option<Vec<ArrayRef>>> {
        const FEW: usize = 16;
        let rows = values.first().map_or(0, |array| array.len());
        let Some((make, types)) = self.groups.as_ref().filter(|_| rows > FEW) else {
            return Ok(None);
        };
        let Some(mut group) = make(types) else { return Ok(None) };
        group.update_batch(values, &vec![0; rows], None, 1)?;
        group.state(EmitTo::All).map(Some)
    }

    fn update(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        let mut rows = Vec::new();
        self.each_row(values, |row| {
            rows.push(row);
            Ok(())
        })?;
        rows.iter().try_for_each(|row| self.transition.update(row))
    }

    fn merge(&mut self, states: &[ArrayRef]) -> SqlResult<()> {
        let readers: Vec<_> =
            states.iter().zip(&self.states).map(|(array, ty)| Reader::new(array, ty)).collect();
        let rows = states.first().map_or(0, |array| array.len());
        for row in 0..rows {
            let state: Vec<Datum> = readers.iter().map(|r| r.get(row)).collect::<SqlResult<_>>()?;
            self.transition.merge(&state)?;
        }
        Ok(())
    }
}

impl Accumulator for RowAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match self.of_batch(values)? {
            Some(state) => self.merge(&state),
            None => self.update(values),
        }
        .map_err(to_datafusion)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.transition.finish().map_err(to_datafusion)?;
        let result = to_scalar(&self.result, value).map_err(to_datafusion)?;
        self.given.add(&result).map_err(to_datafusion)?;
        Ok(result)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.transition.heap_size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.transition.state().map_err(to_datafusion)?;
        state
            .into_iter()
            .zip(&self.states)
            .map(|(value, ty)| to_scalar(ty, value).map_err(to_datafusion))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(states).map_err(to_datafusion)
    }
}

/// Over a window frame whose start moves: keeps the frame's rows. Those that leave are taken back
/// where the aggregate can do that; else it starts anew.
#[derive(Debug)]
struct SlidingAccumulator {
    inner: RowAccumulator,
    definition: Arc<AggregateDefinition>,
    types: Types,
    /// Rows of the frame; `None` for those that do not count.
    rows: VecDeque<Option<Vec<Datum>>>,
    /// How many of them count.
    counted: usize,
    /// What all of these were brought to.
    running: Option<Box<dyn Transition>>,
    given: Given,
}

impl SlidingAccumulator {
    fn push(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        let readers: Vec<_> = values
            .iter()
            .zip(&self.inner.inputs)
            .map(|(array, ty)| Reader::new(array, ty))
            .collect();
        for row in 0..values.first().map_or(0, |array| array.len()) {
            if self.inner.strict && readers.iter().any(|r| r.is_null(row)) {
                self.rows.push_back(None);
                continue;
            }
            let values = readers.iter().map(|r| r.get(row)).collect::<SqlResult<Vec<_>>>()?;
            if let Some(running) = &mut self.running {
                running.update(&values)?;
            }
            self.rows.push_back(Some(values));
            self.counted += 1;
        }
        Ok(())
    }

    fn pop(&mut self) -> SqlResult<()> {
        let Some(values) = self.rows.pop_front().flatten() else { return Ok(()) };
        self.counted -= 1;
        // Without rows an aggregate is what it was before the first one.
        let keeps = match &mut self.running {
            Some(running) => self.counted > 0 && running.retract(&values)?,
            None => false,
        };
        if !keeps {
            self.running = None;
        }
        Ok(())
    }

    fn result(&mut self) -> SqlResult<ScalarValue> {
        let running = match &self.running {
            Some(running) => running,
            None => {
                let mut running = (self.definition.make)(&self.types);
                for row in self.rows.iter().flatten() {
                    running.update(row)?;
                }
                self.running.insert(running)
            }
        };
        let result = to_scalar(&self.types.result, running.finish()?)?;
        self.given.add(&result)?;
        Ok(result)
    }
}

impl Accumulator for SlidingAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.push(values).map_err(to_datafusion)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.result().map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.len() * self.types.arguments.len() * size_of::<Datum>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = values.first().map_or(0, |array| array.len()).min(self.rows.len());
        (0..leaving).try_for_each(|_| self.pop()).map_err(to_datafusion)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

/// DISTINCT: all rows, until the end.
#[derive(Debug)]
struct Collected {
    definition: Arc<AggregateDefinition>,
    types: Types,
    distinct: bool,
    order: Vec<SortKey>,
    rows: Vec<Vec<Datum>>,
}

impl Collected {
    fn compare(&self, a: &[Datum], b: &[Datum]) -> SqlResult<Ordering> {
        let arguments = self.types.arguments.len();
        for (i, key) in self.order.iter().enumerate() {
            let (x, y) = (&a[arguments + i], &b[arguments + i]);
            let ordering = match (x.is_null(), y.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if key.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if key.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    let ordering = compare_values(x, y, &key.ty)?;
                    if key.ascending { ordering } else { ordering.reverse() }
                }
            };
            if ordering.is_ne() {
                return Ok(ordering);
            }
        }
        if self.distinct { self.compare_arguments(a, b) } else { Ok(Ordering::Equal) }
    }

    fn compare_arguments(&self, a: &[Datum], b: &[Datum]) -> SqlResult<Ordering> {
        for ((x, y), ty) in a.iter().zip(b).zip(&self.types.arguments) {
            let ordering = compare_values(x, y, ty)?;
            if ordering.is_ne() {
                return Ok(ordering);
            }
        }
        Ok(Ordering::Equal)
    }
}

impl Transition for Collected {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        self.rows.push(args.to_vec());
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        let keys = self.order.iter().map(|key| &key.ty);
        Ok(self
            .types
            .arguments
            .iter()
            .chain(keys)
            .enumerate()
            .map(|(i, ty)| {
                let values = self.rows.iter().map(|row| row[i].clone()).collect();
                Datum::Array(Array { element: ty.clone(), values })
            })
            .collect())
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        let columns: Vec<&Array> = state
            .iter()
            .map(|column| match column {
                Datum::Array(array) => Ok(array),
                _ => Err(unexpected_value("collected rows")),
            })
            .collect::<SqlResult<_>>()?;
        let rows = columns.first().map_or(0, |column| column.values.len());
        for row in 0..rows {
            let values = columns
                .iter()
                .map(|column| column.values.get(row).cloned())
                .collect::<Option<_>>()
                .ok_or_else(|| unexpected_value("collected rows"))?;
            self.rows.push(values);
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        let mut rows: Vec<&Vec<Datum>> = self.rows.iter().collect();
        let mut failed = None;
        rows.sort_by(|a, b| {
            self.compare(a, b).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                Ordering::Equal
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let mut transition = (self.definition.make)(&self.types);
        let arguments = self.types.arguments.len();
        let mut previous: Option<&Vec<Datum>> = None;
        for row in rows {
            let repeated = match previous {
                Some(before) if self.distinct => self.compare_arguments(before, row)?.is_eq(),
                _ => false,
            };
            if !repeated {
                transition.update(&row[..arguments])?;
            }
            previous = Some(row);
        }
        transition.finish()
    }

    fn heap_size(&self) -> usize {
        self.rows.len() * (size_of::<Vec<Datum>>() + 2 * size_of::<Datum>())
    }
}
