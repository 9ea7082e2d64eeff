//! Sums and averages of decimals, of all groups side by side, that no decimal is sure to hold.
//!
//! A sum is a coefficient of 128 bits as long as it fits, which is nearly always, and what went
//! beyond as a number of any length. `sum(a * b)` is a sum of products here where the product's
//! type has more digits than a decimal: most products fit all the same.

use std::collections::BTreeMap;

use datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array,
};
use datafusion::arrow::datatypes::{Decimal128Type, Int64Type};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{EmitTo, Expr, GroupsAccumulator};
use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, PgType, SqlResult, arrow_types};

use super::AggregateCall;
use super::library::{Builder, Transition, Types};
use super::sums::numeric_average;
use crate::functions::columns::{Reader, collect};
use crate::functions::error::{to_datafusion, unexpected_value};
use crate::functions::{Typed, layout, udf::PgScalar};

/// The aggregate that stands for `sum(a * b)`. Nobody calls it by name.
pub(super) const SUM_OF_PRODUCTS: &str = "sum#product";

pub(super) fn install(b: &mut Builder) {
    b.with(
        &format!("{SUM_OF_PRODUCTS}(numeric,numeric) numeric"),
        |_| vec![PgType::Numeric(None)],
        |_| Box::new(SumOfProducts(None)),
        |d| d.groups = Some(|types| groups(types, false)),
    );
}

/// Columns for the sums, where the arguments are decimals.
pub(super) fn groups(types: &Types, average: bool) -> Option<Box<dyn GroupsAccumulator>> {
    let scales = types.arguments.iter().map(decimal_scale).collect::<Option<Vec<_>>>()?;
    Some(Box::new(WideSums { scales, average, ..WideSums::default() }))
}

fn decimal_scale(ty: &PgType) -> Option<i8> {
    match ty {
        // One that is rounded to hundreds shows no digits behind the point, not two fewer.
        PgType::Numeric(Some(m)) if arrow_types::fits_decimal128(*m) && m.scale >= 0 => {
            i8::try_from(m.scale).ok()
        }
        _ => None,
    }
}

/// What `sum` multiplies, where its argument is a product of two decimals.
pub(super) fn factors(call: &AggregateCall) -> Option<[Typed; 2]> {
    let [Typed { expr: Expr::ScalarFunction(product), .. }] = call.args.as_slice() else {
        return None;
    };
    let function = product.func.inner().downcast_ref::<PgScalar>()?;
    if call.distinct || function.definition().signature.key() != "numeric_mul(numeric,numeric)" {
        return None;
    }
    let factor = |at: usize| {
        let ty = function.arguments().get(at)?;
        decimal_scale(ty)?;
        Some(Typed::new(product.args.get(at)?.clone(), ty.clone()))
    };
    Some([factor(0)?, factor(1)?])
}

#[derive(Debug)]
struct SumOfProducts(Option<Numeric>);

impl SumOfProducts {
    fn add(&mut self, value: Numeric) -> SqlResult<()> {
        self.0 = Some(match &self.0 {
            Some(sum) => sum.add(&value)?,
            None => value,
        });
        Ok(())
    }
}

impl Transition for SumOfProducts {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        match args {
            [Datum::Numeric(a), Datum::Numeric(b)] => self.add(a.mul(b)?),
            _ => Err(unexpected_value("factors")),
        }
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        match state {
            [Datum::Numeric(sum)] => self.add(sum.clone()),
            _ => Ok(()),
        }
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.0.clone().map_or(Datum::Null, Datum::Numeric))
    }
}

#[derive(Default)]
struct WideSums {
    /// Of the arguments: one, or two that are multiplied.
    scales: Vec<i8>,
    /// avg, else sum.
    average: bool,
    /// Coefficients.
    sums: Vec<i128>,
    /// What did not fit, by group.
    beyond: BTreeMap<usize, Numeric>,
    /// Rows of each group; zero makes the result NULL.
    counts: Vec<i64>,
}

impl WideSums {
    fn scale(&self) -> i32 {
        self.scales.iter().map(|scale| i32::from(*scale)).sum()
    }

    fn resize(&mut self, total: usize) {
        self.sums.resize(total, 0);
        self.counts.resize(total, 0);
    }

    fn add(&mut self, group: usize, coefficient: i128) -> SqlResult<()> {
        match self.sums[group].checked_add(coefficient) {
            Some(sum) => self.sums[group] = sum,
            None => {
                let full = std::mem::replace(&mut self.sums[group], coefficient);
                self.add_beyond(group, &self.number(full)?)?;
            }
        }
        Ok(())
    }

    fn add_beyond(&mut self, group: usize, value: &Numeric) -> SqlResult<()> {
        let beyond = self.beyond.entry(group).or_default();
        *beyond = beyond.add(value)?;
        Ok(())
    }

    fn number(&self, coefficient: i128) -> SqlResult<Numeric> {
        Numeric::from_i128(coefficient, self.scale()).ok_or_else(|| unexpected_value("a sum"))
    }

    fn add_product(&mut self, group: usize, a: i128, b: i128) -> SqlResult<()> {
        match a.checked_mul(b) {
            Some(product) => self.add(group, product),
            None => {
                let (left, right) = (self.scales[0], self.scales[1]);
                let factor = layout::numeric_from_decimal;
                self.add_beyond(group, &factor(a, left).mul(&factor(b, right))?)
            }
        }
    }

    /// The sums of the groups that leave, and their counts.
    fn take(&mut self, emit_to: EmitTo) -> SqlResult<(Vec<Numeric>, Vec<i64>)> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let staying = self.beyond.split_off(&sums.len());
        let left = std::mem::take(&mut self.beyond);
        self.beyond = staying.into_iter().map(|(at, rest)| (at - sums.len(), rest)).collect();
        let numbers = sums.iter().enumerate().map(|(group, sum)| {
            let sum = self.number(*sum)?;
            match left.get(&group) {
                Some(rest) => Ok(sum.add(rest)?),
                None => Ok(sum),
            }
        });
        Ok((numbers.collect::<SqlResult<_>>()?, counts))
    }

    fn each_row(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let decimals = |at: usize| -> Result<&Decimal128Array> {
            match values.get(at).and_then(|array| array.as_primitive_opt::<Decimal128Type>()) {
                Some(decimals) => Ok(decimals),
                None => internal_err!("a sum of what is no decimal"),
            }
        };
        let first = decimals(0)?;
        let second = if self.scales.len() > 1 { Some(decimals(1)?) } else { None };
        for (row, group) in groups.iter().enumerate() {
            let counts = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if !counts || first.is_null(row) || second.is_some_and(|array| array.is_null(row)) {
                continue;
            }
            match second {
                None => self.add(*group, first.value(row)),
                Some(second) => self.add_product(*group, first.value(row), second.value(row)),
            }
            .map_err(to_datafusion)?;
            self.counts[*group] += 1;
        }
        Ok(())
    }

    fn merge(&mut self, values: &[ArrayRef], groups: &[usize]) -> SqlResult<()> {
        let sums = Reader::new(&values[0], &PgType::Numeric(None));
        let counts = values.get(1).and_then(|array| array.as_primitive_opt::<Int64Type>());
        for (row, group) in groups.iter().enumerate() {
            if sums.is_null(row) {
                continue;
            }
            let Datum::Numeric(sum) = sums.get(row)? else { return Err(unexpected_value("a sum")) };
            match sum.to_i128(self.scale()) {
                Some(coefficient) => self.add(*group, coefficient)?,
                None => self.add_beyond(*group, &sum)?,
            }
            self.counts[*group] += counts.map_or(1, |counts| counts.value(row));
        }
        Ok(())
    }

    fn present(sums: Vec<Numeric>, counts: &[i64]) -> SqlResult<ArrayRef> {
        let sums = sums.into_iter().zip(counts).map(|(sum, count)| match count {
            0 => Datum::Null,
            _ => Datum::Numeric(sum),
        });
        collect(&PgType::Numeric(None), sums.collect::<Vec<_>>())
    }
}

impl GroupsAccumulator for WideSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        self.each_row(values, group_indices, opt_filter)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        self.merge(values, group_indices).map_err(to_datafusion)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = self.take(emit_to).map_err(to_datafusion)?;
        if !self.average {
            return Self::present(sums, &counts).map_err(to_datafusion);
        }
        let averages = sums.iter().zip(counts).map(|(sum, count)| numeric_average(sum, count));
        averages
            .collect::<SqlResult<Vec<_>>>()
            .and_then(|averages| collect(&PgType::Numeric(None), averages))
            .map_err(to_datafusion)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.take(emit_to).map_err(to_datafusion)?;
        let mut state = vec![Self::present(sums, &counts).map_err(to_datafusion)?];
        if self.average {
            state.push(std::sync::Arc::new(Int64Array::from(counts)));
        }
        Ok(state)
    }

    /// Each row as a group of its own.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values.first().map_or(0, |array| array.len())).collect();
        let mut each =
            Self { scales: self.scales.clone(), average: self.average, ..Self::default() };
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>()
            + self.counts.capacity() * size_of::<i64>()
            + self.beyond.len() * 128
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use satsuma_common::NumericMod;

    fn decimal(precision: u16, scale: i16) -> PgType {
        PgType::Numeric(Some(NumericMod { precision, scale }))
    }

    fn column(ty: &PgType, values: &[&str]) -> ArrayRef {
        let datums = values.iter().map(|value| match *value {
            "" => Datum::Null,
            text => Datum::Numeric(text.parse().unwrap()),
        });
        collect(ty, datums.collect::<Vec<_>>()).unwrap()
    }

    fn texts(array: &ArrayRef) -> Vec<String> {
        let reader = Reader::new(array, &PgType::Numeric(None));
        let text = |row| match reader.get(row).unwrap() {
            Datum::Null => String::new(),
            Datum::Numeric(value) => value.to_string(),
            other => format!("{other:?}"),
        };
        (0..array.len()).map(text).collect()
    }

    fn made(arguments: &[PgType], average: bool) -> Box<dyn GroupsAccumulator> {
        let types = Types { arguments: arguments.to_vec(), result: PgType::Numeric(None) };
        groups(&types, average).unwrap()
    }

    #[test]
    fn sums_beyond_every_decimal_are_exact() {
        let ty = decimal(38, 2);
        let most = "999999999999999999999999999999999999.99";
        let values = column(&ty, &[most, "1.5", "", most, most, "-2.25"]);
        let mut parts = made(std::slice::from_ref(&ty), false);
        parts.update_batch(&[values], &[0, 1, 2, 0, 0, 1], None, 3).unwrap();
        let state = parts.state(EmitTo::All).unwrap();
        let mut whole = made(std::slice::from_ref(&ty), false);
        whole.merge_batch(&state, &[0, 1, 2], 3).unwrap();
        whole.merge_batch(&state, &[0, 0, 2], 3).unwrap();
        assert_eq!(
            texts(&whole.evaluate(EmitTo::First(1)).unwrap()),
            ["5999999999999999999999999999999999999.19"]
        );
        assert_eq!(texts(&whole.evaluate(EmitTo::All).unwrap()), ["-0.75", ""]);
    }

    #[test]
    fn products_are_added_whatever_their_size() {
        let (a, b) = (decimal(38, 4), decimal(20, 2));
        let left = column(&a, &["9999999999999999999999999999999999.9999", "2.5000", "", "1.0000"]);
        let right = column(&b, &["999999999999999999.99", "-1.10", "3.00", "7.00"]);
        let mut sums = made(&[a, b], false);
        let filter = BooleanArray::from(vec![true, true, true, false]);
        sums.update_batch(&[left, right], &[0, 1, 1, 1], Some(&filter), 2).unwrap();
        assert_eq!(
            texts(&sums.evaluate(EmitTo::All).unwrap()),
            ["9999999999999999999899999999999999999900000000000000.000001", "-2.750000"]
        );
    }

    #[test]
    fn averages_have_the_scale_of_a_division() {
        let ty = decimal(30, 2);
        let mut averages = made(std::slice::from_ref(&ty), true);
        let values = column(&ty, &["1.00", "2.00", "2.00"]);
        averages.update_batch(&[values], &[0, 0, 0], None, 2).unwrap();
        let state = averages.state(EmitTo::All).unwrap();
        let mut whole = made(std::slice::from_ref(&ty), true);
        whole.merge_batch(&state, &[0, 1], 2).unwrap();
        assert_eq!(texts(&whole.evaluate(EmitTo::All).unwrap()), ["1.6666666666666667", ""]);
    }
}
