//! sum and avg.
//!
//! | argument | sum | avg | state |
//! |---|---|---|---|
//! | int2, int4 | bigint, checked | numeric | int8; numeric(38,0) and a count |
//! | int8 | numeric(38,0) | numeric | numeric(38,0) |
//! | numeric(p<=28,s) | numeric(38,s) | numeric | numeric(38,s) |
//! | other numeric | numeric | numeric | numeric (decimals: wide_sums.rs) |
//! | float4, float8 | the same | double | itself |
//! | interval | interval | interval | interval |

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray,
};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use satsuma_common::datum::Interval;
use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, NumericMod, PgType, SqlResult, arrow_types};

use super::library::{Builder, Transition, Types};
use super::wide_sums;
use crate::functions::columns::collect;
use crate::functions::error::{out_of_range, to_datafusion, unexpected_value};
use crate::functions::layout;

const WIDE_INTEGER: PgType = PgType::Numeric(Some(NumericMod { precision: 38, scale: 0 }));

/// Arguments of up to this precision sum up in Decimal128: 10^10 rows fit.
const SUMMED_PRECISION: u16 = 28;

pub(crate) fn install(b: &mut Builder) {
    for ty in ["int2", "int4"] {
        b.with(
            &format!("sum({ty}) int8"),
            |_| vec![PgType::Int8],
            |_| boxed(SumInteger(None)),
            |d| {
                d.groups = Some(sum_groups);
            },
        );
    }
    for ty in ["int8", "numeric"] {
        b.with(
            &format!("sum({ty}) numeric"),
            |t| vec![t.result.clone()],
            |_| boxed(SumNumeric::default()),
            |d| {
                d.result = |arguments, _| sum_type(arguments.first());
                d.groups = Some(sum_groups);
            },
        );
    }
    b.with(
        "sum(float8) float8",
        |_| vec![PgType::Float8],
        |_| boxed(SumFloat(None)),
        |d| {
            d.groups = Some(sum_groups);
        },
    );
    b.simple("sum(float4) float4", |_| vec![PgType::Float4], |_| boxed(SumFloat4(None)));
    b.simple("sum(interval) interval", |_| vec![PgType::Interval], |_| boxed(SumInterval::sum()));
    for ty in ["int2", "int4", "int8", "numeric"] {
        let state = |t: &Types| vec![sum_type(t.arguments.first()), PgType::Int8];
        b.with(
            &format!("avg({ty}) numeric"),
            state,
            |_| boxed(Average::default()),
            |d| {
                d.groups = Some(average_groups);
            },
        );
    }
    for ty in ["float4", "float8"] {
        b.with(
            &format!("avg({ty}) float8"),
            |_| vec![PgType::Float8, PgType::Int8],
            |_| boxed(AverageFloat::default()),
            |d| d.groups = Some(average_groups),
        );
    }
    b.simple(
        "avg(interval) interval",
        |_| vec![PgType::Interval, PgType::Int8],
        |_| boxed(SumInterval::average()),
    );
}

fn boxed(transition: impl Transition + 'static) -> Box<dyn Transition> {
    Box::new(transition)
}

/// The type that a sum of numerics or integers is kept in.
fn sum_type(argument: Option<&PgType>) -> PgType {
    match argument {
        Some(PgType::Int2 | PgType::Int4 | PgType::Int8) => WIDE_INTEGER,
        Some(PgType::Numeric(Some(m)))
            if arrow_types::fits_decimal128(*m) && m.precision <= SUMMED_PRECISION =>
        {
            PgType::Numeric(Some(NumericMod { precision: 38, scale: m.scale }))
        }
        _ => PgType::Numeric(None),
    }
}

fn integer(value: &Datum) -> SqlResult<i64> {
    match value {
        Datum::Int2(v) => Ok(i64::from(*v)),
        Datum::Int4(v) => Ok(i64::from(*v)),
        Datum::Int8(v) => Ok(*v),
        _ => Err(unexpected_value("an integer")),
    }
}

fn numeric(value: &Datum) -> SqlResult<Numeric> {
    match value {
        Datum::Numeric(v) => Ok(v.clone()),
        other => Ok(Numeric::from(integer(other)?)),
    }
}

fn float(value: &Datum) -> SqlResult<f64> {
    match value {
        Datum::Float4(v) => Ok(f64::from(*v)),
        Datum::Float8(v) => Ok(*v),
        _ => Err(unexpected_value("a float")),
    }
}

#[derive(Debug)]
struct SumInteger(Option<i64>);

impl Transition for SumInteger {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args.iter().filter(|arg| !arg.is_null()) {
            let sum = self.0.unwrap_or(0).checked_add(integer(arg)?);
            self.0 = Some(sum.ok_or_else(|| out_of_range(&PgType::Int8))?);
        }
        Ok(())
    }

    fn retract(&mut self, args: &[Datum]) -> SqlResult<bool> {
        for arg in args.iter().filter(|arg| !arg.is_null()) {
            let sum = self.0.unwrap_or(0).checked_sub(integer(arg)?);
            self.0 = Some(sum.ok_or_else(|| out_of_range(&PgType::Int8))?);
        }
        Ok(true)
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        self.update(state)
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.0.map_or(Datum::Null, Datum::Int8))
    }
}

/// An exact sum, from which values can be taken back.
#[derive(Debug, Default)]
struct ExactSum {
    sum: Numeric,
    count: i64,
    /// How many of the values have as many digits after the point as the sum.
    widest: i64,
}

impl ExactSum {
    fn add(&mut self, value: &Numeric) -> SqlResult<()> {
        let before = if self.count == 0 { None } else { self.sum.scale() };
        self.sum = self.sum.add(value)?;
        self.count += 1;
        self.widest = match value.scale() == self.sum.scale() {
            true if before == self.sum.scale() => self.widest + 1,
            true => 1,
            false => self.widest,
        };
        Ok(())
    }

    /// `false` where the sum of the others is not known by this: of infinities, and where it would
    /// have fewer digits.
    fn retract(&mut self, value: &Numeric) -> SqlResult<bool> {
        let (Some(scale), Some(of_sum)) = (value.scale(), self.sum.scale()) else {
            return Ok(false);
        };
        if scale == of_sum {
            if self.widest == 1 && scale > 0 {
                return Ok(false);
            }
            self.widest -= 1;
        }
        self.sum = self.sum.sub(value)?;
        self.count -= 1;
        Ok(true)
    }
}

#[derive(Debug, Default)]
struct SumNumeric(ExactSum);

impl Transition for SumNumeric {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        args.iter().filter(|arg| !arg.is_null()).try_for_each(|arg| self.0.add(&numeric(arg)?))
    }

    fn retract(&mut self, args: &[Datum]) -> SqlResult<bool> {
        retract_numbers(&mut self.0, args)
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        self.update(state)
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(if self.0.count == 0 { Datum::Null } else { Datum::Numeric(self.0.sum.clone()) })
    }
}

fn retract_numbers(sum: &mut ExactSum, args: &[Datum]) -> SqlResult<bool> {
    for arg in args.iter().filter(|arg| !arg.is_null()) {
        if !sum.retract(&numeric(arg)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds, and tells an overflow from an infinity that came in.
fn add_floats(a: f64, b: f64) -> SqlResult<f64> {
    let sum = a + b;
    if sum.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(out_of_range(&PgType::Float8));
    }
    Ok(sum)
}

#[derive(Debug)]
struct SumFloat(Option<f64>);

impl Transition for SumFloat {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args.iter().filter(|arg| !arg.is_null()) {
            let value = float(arg)?;
            self.0 = Some(match self.0 {
                Some(sum) => add_floats(sum, value)?,
                None => value,
            });
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        self.update(state)
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.0.map_or(Datum::Null, Datum::Float8))
    }
}

/// In single precision throughout, as PostgreSQL does it.
#[derive(Debug)]
struct SumFloat4(Option<f32>);

impl Transition for SumFloat4 {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args {
            let Datum::Float4(value) = arg else { continue };
            let sum = self.0.map_or(*value, |sum| sum + value);
            if sum.is_infinite() && value.is_finite() && self.0.is_some_and(f32::is_finite) {
                return Err(out_of_range(&PgType::Float4));
            }
            self.0 = Some(sum);
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        self.update(state)
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.0.map_or(Datum::Null, Datum::Float4))
    }
}

#[derive(Debug, Default)]
struct Average(ExactSum);

/// The quotient with the display scale that PostgreSQL gives a division.
pub(super) fn numeric_average(sum: &Numeric, count: i64) -> SqlResult<Datum> {
    if count == 0 {
        return Ok(Datum::Null);
    }
    Ok(Datum::Numeric(sum.div(&Numeric::from(count))?))
}

impl Transition for Average {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        args.iter().filter(|arg| !arg.is_null()).try_for_each(|arg| self.0.add(&numeric(arg)?))
    }

    fn retract(&mut self, args: &[Datum]) -> SqlResult<bool> {
        retract_numbers(&mut self.0, args)
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![Datum::Numeric(self.0.sum.clone()), Datum::Int8(self.0.count)])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Numeric(sum), Datum::Int8(count)] = state {
            self.0.sum = self.0.sum.add(sum)?;
            self.0.count += count;
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        numeric_average(&self.0.sum, self.0.count)
    }
}

#[derive(Debug, Default)]
struct AverageFloat {
    sum: f64,
    count: i64,
}

impl Transition for AverageFloat {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args.iter().filter(|arg| !arg.is_null()) {
            self.sum = add_floats(self.sum, float(arg)?)?;
            self.count += 1;
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![Datum::Float8(self.sum), Datum::Int8(self.count)])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Float8(sum), Datum::Int8(count)] = state {
            self.sum = add_floats(self.sum, *sum)?;
            self.count += count;
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        let average = self.sum / self.count as f64;
        Ok(if self.count == 0 { Datum::Null } else { Datum::Float8(average) })
    }
}

#[derive(Debug)]
struct SumInterval {
    sum: Interval,
    count: i64,
    average: bool,
}

impl SumInterval {
    fn sum() -> Self {
        Self { sum: Interval::default(), count: 0, average: false }
    }

    fn average() -> Self {
        Self { average: true, ..Self::sum() }
    }

    fn add(&mut self, value: Interval, count: i64) -> SqlResult<()> {
        let range = || out_of_range(&PgType::Interval);
        self.sum = Interval {
            months: self.sum.months.checked_add(value.months).ok_or_else(range)?,
            days: self.sum.days.checked_add(value.days).ok_or_else(range)?,
            micros: self.sum.micros.checked_add(value.micros).ok_or_else(range)?,
        };
        self.count += count;
        Ok(())
    }
}

impl Transition for SumInterval {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        match args {
            [Datum::Interval(value)] => self.add(*value, 1),
            _ => Ok(()),
        }
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        if self.average {
            return Ok(vec![Datum::Interval(self.sum), Datum::Int8(self.count)]);
        }
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        match state {
            [Datum::Interval(sum), Datum::Int8(count)] => self.add(*sum, *count),
            other => self.update(other),
        }
    }

    fn finish(&self) -> SqlResult<Datum> {
        if self.count == 0 {
            return Ok(Datum::Null);
        }
        if self.average {
            return crate::operators::datetime::divide(self.sum, self.count as f64)
                .map(Datum::Interval);
        }
        Ok(Datum::Interval(self.sum))
    }
}

/// Sums of all groups side by side, in `T`'s native type.
struct Groups<T: ArrowPrimitiveType> {
    sums: Vec<T::Native>,
    /// Rows of each group; zero makes the result NULL.
    counts: Vec<i64>,
    argument: PgType,
    /// The type of the sums.
    sum: PgType,
    /// avg, else sum.
    average: bool,
    add: fn(T::Native, T::Native) -> SqlResult<T::Native>,
    finish: fn(T::Native, i64, &PgType) -> SqlResult<Datum>,
}

impl<T: ArrowPrimitiveType> Groups<T> {
    fn add_values(
        &mut self,
        values: impl Iterator<Item = Option<T::Native>>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize(total, T::Native::default());
        self.counts.resize(total, 0);
        for (row, (value, group)) in values.zip(groups).enumerate() {
            let Some(value) = value else { continue };
            if filter.is_some_and(|f| f.is_null(row) || !f.value(row)) {
                continue;
            }
            self.sums[*group] = (self.add)(self.sums[*group], value).map_err(to_datafusion)?;
            self.counts[*group] += 1;
        }
        Ok(())
    }

    /// The arguments, widened to the type of the sums.
    fn widened(&self, array: &ArrayRef) -> Result<PrimitiveArray<T>> {
        let widened: ArrayRef = match (&self.argument, array.data_type()) {
            // Only the coefficient counts; the scale is the same.
            (PgType::Numeric(_), DataType::Decimal128(_, _)) => array.clone(),
            (_, _) if T::DATA_TYPE == Decimal128Type::DATA_TYPE => {
                let coefficients: PrimitiveArray<Decimal128Type> = match array.data_type() {
                    DataType::Int16 => array.as_primitive::<Int16Type>().unary(i128::from),
                    DataType::Int32 => array.as_primitive::<Int32Type>().unary(i128::from),
                    DataType::Int64 => array.as_primitive::<Int64Type>().unary(i128::from),
                    other => return internal_err!("sum of {other}"),
                };
                Arc::new(coefficients)
            }
            _ => match array.data_type() {
                DataType::Int16 => {
                    let wide: Int64Array = array.as_primitive::<Int16Type>().unary(i64::from);
                    Arc::new(wide)
                }
                DataType::Int32 => {
                    let wide: Int64Array = array.as_primitive::<Int32Type>().unary(i64::from);
                    Arc::new(wide)
                }
                DataType::Float32 => {
                    let wide: PrimitiveArray<Float64Type> =
                        array.as_primitive::<Float32Type>().unary(f64::from);
                    Arc::new(wide)
                }
                _ => array.clone(),
            },
        };
        match widened.as_primitive_opt::<T>() {
            Some(values) => Ok(values.clone()),
            None => internal_err!("sum of {}", array.data_type()),
        }
    }

    fn sums_array(&self, sums: Vec<T::Native>, counts: &[i64]) -> ArrayRef {
        let values = sums.into_iter().zip(counts).map(|(sum, count)| (*count > 0).then_some(sum));
        let array = PrimitiveArray::<T>::from_iter(values);
        Arc::new(array.with_data_type(arrow_types::data_type(&self.sum)))
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = self.widened(&values[0])?;
        self.add_values(values.iter(), group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        let Some(sums) = values[0].as_primitive_opt::<T>() else {
            return internal_err!("state of a sum as {}", values[0].data_type());
        };
        let before = self.counts.clone();
        self.add_values(sums.iter(), group_indices, None, total_num_groups)?;
        if self.average {
            // The counts are the other node's, not the number of states.
            self.counts = before;
            self.counts.resize(total_num_groups, 0);
            let counts = values[1].as_primitive::<Int64Type>();
            for (count, group) in counts.iter().zip(group_indices) {
                self.counts[*group] += count.unwrap_or(0);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        if !self.average {
            return Ok(self.sums_array(sums, &counts));
        }
        let finished = sums
            .into_iter()
            .zip(counts)
            .map(|(sum, count)| (self.finish)(sum, count, &self.sum))
            .collect::<SqlResult<Vec<_>>>()
            .map_err(to_datafusion)?;
        let result = match self.sum {
            PgType::Float8 => PgType::Float8,
            _ => PgType::Numeric(None),
        };
        collect(&result, finished).map_err(to_datafusion)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let mut state = vec![self.sums_array(sums, &counts)];
        if self.average {
            state.push(Arc::new(Int64Array::from(counts)));
        }
        Ok(state)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = self.widened(&values[0])?;
        let kept = |row: usize| opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let sums = PrimitiveArray::<T>::from_iter(
            values.iter().enumerate().map(|(row, value)| value.filter(|_| kept(row))),
        )
        .with_data_type(arrow_types::data_type(&self.sum));
        let mut state: Vec<ArrayRef> = Vec::with_capacity(2);
        if self.average {
            let counts = (0..sums.len()).map(|row| i64::from(sums.is_valid(row)));
            let counts = Int64Array::from_iter_values(counts);
            state.push(Arc::new(sums));
            state.push(Arc::new(counts));
        } else {
            state.push(Arc::new(sums));
        }
        Ok(state)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.counts.capacity() * size_of::<i64>()
    }
}

fn add_wide(a: i128, b: i128) -> SqlResult<i128> {
    a.checked_add(b).ok_or_else(|| out_of_range(&PgType::Numeric(None)))
}

fn wide_groups(types: &Types, average: bool) -> Option<Box<dyn GroupsAccumulator>> {
    let argument = types.arguments.first()?.clone();
    let sum = sum_type(Some(&argument));
    if sum == PgType::Numeric(None) {
        return wide_sums::groups(types, average);
    }
    Some(Box::new(Groups::<Decimal128Type> {
        sums: Vec::new(),
        counts: Vec::new(),
        argument,
        sum,
        average,
        add: add_wide,
        finish: |sum, count, ty| {
            let PgType::Numeric(Some(m)) = ty else { return Err(unexpected_value("avg")) };
            numeric_average(&layout::numeric_from_decimal(sum, m.scale as i8), count)
        },
    }))
}

fn float_groups(types: &Types, average: bool) -> Option<Box<dyn GroupsAccumulator>> {
    Some(Box::new(Groups::<Float64Type> {
        sums: Vec::new(),
        counts: Vec::new(),
        argument: types.arguments.first()?.clone(),
        sum: PgType::Float8,
        average,
        add: add_floats,
        finish: |sum, count, _| {
            Ok(if count == 0 { Datum::Null } else { Datum::Float8(sum / count as f64) })
        },
    }))
}

fn sum_groups(types: &Types) -> Option<Box<dyn GroupsAccumulator>> {
    match types.arguments.first()? {
        PgType::Int2 | PgType::Int4 => Some(Box::new(Groups::<Int64Type> {
            sums: Vec::new(),
            counts: Vec::new(),
            argument: types.arguments.first()?.clone(),
            sum: PgType::Int8,
            average: false,
            add: |a, b| a.checked_add(b).ok_or_else(|| out_of_range(&PgType::Int8)),
            finish: |_, _, _| Err(unexpected_value("sum")),
        })),
        PgType::Float8 => float_groups(types, false),
        _ => wide_groups(types, false),
    }
}

fn average_groups(types: &Types) -> Option<Box<dyn GroupsAccumulator>> {
    match types.arguments.first()? {
        PgType::Float4 | PgType::Float8 => float_groups(types, true),
        _ => wide_groups(types, true),
    }
}
