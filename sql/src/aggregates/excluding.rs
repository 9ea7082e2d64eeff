//! Frames with EXCLUDE: the frame's rows without the current one, its peers, or both. The function
//! is computed anew for each row, over what is left of its frame.
//!
//! ```text
//! sum(x) FILTER (WHERE f) OVER (ORDER BY k ROWS .. EXCLUDE TIES)
//!   -> "exclude ties 1 filtered sum(int4)<23>20"(x, f, k) OVER (ORDER BY k ROWS ..)
//! ```
//!
//! The name is the function's identity, as it is of every other that travels.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::function::{
    AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    AggregateUDF, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use crate::functions::error::{to_datafusion, unexpected_value};
use crate::functions::registry;
use crate::parse::Exclude;

/// What is computed of the rows that are left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    Aggregate(Arc<AggregateUDF>),
    First,
    Last,
    /// Of the value and a number, from 1.
    Nth,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Excluding {
    name: String,
    exclude: Exclude,
    over: Over,
    /// How many of the arguments are the function's; then comes the filter, and what the window is
    /// sorted by.
    arguments: usize,
    filtered: bool,
    signature: Signature,
}

impl Excluding {
    pub fn new(exclude: Exclude, over: Over, arguments: usize, filtered: bool) -> Self {
        let mode = match exclude {
            Exclude::CurrentRow => "row",
            Exclude::Group => "group",
            Exclude::Ties => "ties",
        };
        let function = match &over {
            Over::Aggregate(udaf) => udaf.name(),
            Over::First => "first_value",
            Over::Last => "last_value",
            Over::Nth => "nth_value",
        };
        let filter = if filtered { "filtered" } else { "all" };
        let name = format!("exclude {mode} {arguments} {filter} {function}");
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name, exclude, over, arguments, filtered, signature }
    }

    /// The instance that a name stands for.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("exclude ")?.splitn(4, ' ');
        let exclude = match parts.next()? {
            "row" => Exclude::CurrentRow,
            "group" => Exclude::Group,
            "ties" => Exclude::Ties,
            _ => return None,
        };
        let arguments = parts.next()?.parse().ok()?;
        let filtered = parts.next()? == "filtered";
        let over = match parts.next()? {
            "first_value" => Over::First,
            "last_value" => Over::Last,
            "nth_value" => Over::Nth,
            aggregate => Over::Aggregate(registry().udaf(aggregate).ok()?),
        };
        Some(Self::new(exclude, over, arguments, filtered))
    }

    pub fn into_udwf(self) -> Arc<WindowUDF> {
        Arc::new(WindowUDF::new_from_impl(self))
    }
}

impl WindowUDFImpl for Excluding {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let inputs = args.input_fields().get(..self.arguments).unwrap_or_default();
        let field = match (&self.over, inputs.first()) {
            (Over::Aggregate(udaf), _) => udaf.return_field(inputs)?,
            (_, Some(value)) => value.clone(),
            (_, None) => return Err(to_datafusion(unexpected_value(&self.name))),
        };
        let field = field.as_ref().clone().with_name(args.name()).with_nullable(true);
        Ok(Arc::new(field))
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let fields = args.input_fields().get(..self.arguments).unwrap_or_default().to_vec();
        Ok(Box::new(Frames { function: self.clone(), fields, row: 0, peers: Vec::new() }))
    }
}

/// One partition's frames, in the order of its rows.
#[derive(Debug)]
struct Frames {
    function: Excluding,
    fields: Vec<FieldRef>,
    /// The current row.
    row: usize,
    /// Rows that are equal in the window's order, filled at the first row.
    peers: Vec<Range<usize>>,
}

impl Frames {
    /// The frame's rows that count for the current one.
    fn kept(&self, frame: &Range<usize>) -> Vec<Range<usize>> {
        let row = self.row;
        let at = self.peers.partition_point(|peers| peers.end <= row);
        let peers = self.peers.get(at).cloned().unwrap_or(row..row + 1);
        let cuts = match self.function.exclude {
            Exclude::CurrentRow => [row..row + 1, 0..0],
            Exclude::Group => [peers, 0..0],
            Exclude::Ties => [peers.start..row, row + 1..peers.end],
        };
        let mut kept = vec![frame.clone()];
        for cut in cuts {
            kept = kept
                .into_iter()
                .flat_map(|part| {
                    [part.start..part.end.min(cut.start), part.start.max(cut.end)..part.end]
                })
                .filter(|part| part.start < part.end)
                .collect();
        }
        kept
    }

    fn aggregate(
        &self,
        udaf: &AggregateUDF,
        values: &[ArrayRef],
        kept: &[Range<usize>],
    ) -> Result<ScalarValue> {
        let arguments = self.function.arguments;
        let mut accumulator = udaf.accumulator(AccumulatorArgs {
            return_field: udaf.return_field(&self.fields)?,
            schema: &Schema::empty(),
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: udaf.name(),
            is_distinct: false,
            exprs: &[],
            expr_fields: &self.fields,
        })?;
        for part in kept {
            let slice = |array: &ArrayRef| array.slice(part.start, part.len());
            let mut rows: Vec<ArrayRef> = values.iter().take(arguments).map(slice).collect();
            if self.function.filtered
                && let Some(filter) = values.get(arguments)
            {
                let filter = slice(filter);
                let holds = filter.as_boolean();
                let held = rows.iter().map(|array| compute::filter(array, holds));
                rows = held.collect::<std::result::Result<_, _>>()?;
            }
            accumulator.update_batch(&rows)?;
        }
        accumulator.evaluate()
    }
}

impl PartitionEvaluator for Frames {
    fn uses_window_frame(&self) -> bool {
        true
    }

    /// Called once for each row, in order.
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let function = &self.function;
        let rows = values.first().map_or(0, |array| array.len());
        if self.row == 0 {
            let keys = values.get(function.arguments + usize::from(function.filtered)..);
            self.peers = match keys {
                Some(keys) if !keys.is_empty() && rows > 0 => compute::partition(keys)?.ranges(),
                _ => std::iter::once(0..rows).collect(),
            };
        }
        let kept = self.kept(range);
        let value = |row: Option<usize>| match (row, values.first()) {
            (Some(row), Some(array)) => ScalarValue::try_from_array(array, row),
            (None, Some(array)) => ScalarValue::try_from(array.data_type()),
            (_, None) => Err(to_datafusion(unexpected_value(&function.name))),
        };
        let result = match &function.over {
            Over::Aggregate(udaf) => self.aggregate(udaf, values, &kept),
            Over::First => value(kept.first().map(|part| part.start)),
            Over::Last => value(kept.last().map(|part| part.end - 1)),
            Over::Nth => {
                let number =
                    values.get(1).map(|array| ScalarValue::try_from_array(array, self.row));
                match number.transpose()? {
                    Some(ScalarValue::Int64(Some(n))) => {
                        let n = usize::try_from(n).unwrap_or(usize::MAX);
                        value(kept.iter().cloned().flatten().nth(n.saturating_sub(1)))
                    }
                    _ => value(None),
                }
            }
        };
        self.row += 1;
        result
    }
}
