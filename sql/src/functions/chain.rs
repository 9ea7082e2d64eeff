//! Long chains of calls, each the first argument of the next, as one call.
//!
//! ```text
//! +(-(+(a, b), c), d)    ->    chain[+ - +](a, b, c, d)
//! ```
//!
//! What is deep is walked, named, copied and dropped by recursion, and names and types of parts
//! are asked for again and again: `a + a + ..` of a thousand terms took minutes to plan, or all of
//! a thread's stack. All arguments of our calls are evaluated anyway, so a chain means the same.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use satsuma_common::arrow_types;

use super::error::to_datafusion;
use super::udf::PgScalar;

/// Calls within each other that are left as they are.
const SHORT: usize = 32;
/// Steps that a name may ask for.
const MOST_STEPS: usize = 100_000;
const PREFIX: &str = "chain\n";
/// Types that a step may cast to.
const NUMBERS: [DataType; 5] =
    [DataType::Int16, DataType::Int32, DataType::Int64, DataType::Float32, DataType::Float64];

/// Calls in a row, each over the value of the one before.
#[derive(Debug)]
pub struct PgChain {
    name: String,
    steps: Vec<Step>,
    signature: Signature,
}

#[derive(Clone, Debug)]
enum Step {
    /// The value so far is the first argument, and `more` follow.
    Call {
        function: Arc<PgScalar>,
        more: usize,
    },
    Cast(DataType),
}

impl Step {
    /// `2 operator +(int4,int4)`, as names have it after the number of repetitions.
    fn name(&self) -> String {
        match self {
            Self::Call { function, more } => format!("{more} {}", function.name()),
            Self::Cast(to) => format!("cast {to}"),
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        let (first, rest) = name.split_once(' ')?;
        if first == "cast" {
            let to = NUMBERS.iter().find(|number| number.to_string() == rest)?;
            return Some(Self::Cast(to.clone()));
        }
        let function = Arc::new(PgScalar::by_name(rest)?);
        Some(Self::Call { function, more: first.parse().ok().filter(|more| *more < MOST_STEPS)? })
    }
}

impl PgChain {
    fn new(steps: Vec<Step>) -> Self {
        let mut name = PREFIX.to_owned();
        let mut names = steps.iter().map(Step::name).peekable();
        while let Some(step) = names.next() {
            let mut count = 1;
            while names.next_if_eq(&step).is_some() {
                count += 1;
            }
            name.push_str(&format!("{count} {step}\n"));
        }
        let volatility = steps.iter().fold(Volatility::Immutable, |volatility, step| match step {
            Step::Call { function, .. } => volatility.max(function.definition().volatility),
            Step::Cast(_) => volatility,
        });
        Self { name, steps, signature: Signature::user_defined(volatility) }
    }

    /// The chain that a name stands for.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for line in name.strip_prefix(PREFIX)?.lines() {
            let (count, step) = line.split_once(' ')?;
            let count = count.parse().ok().filter(|count| steps.len() + count <= MOST_STEPS)?;
            steps.extend(std::iter::repeat_n(Step::by_name(step)?, count));
        }
        matches!(steps.last()?, Step::Call { .. }).then(|| Self::new(steps))
    }

    pub fn functions(&self) -> impl Iterator<Item = &PgScalar> {
        self.steps.iter().filter_map(|step| match step {
            Step::Call { function, .. } => Some(function.as_ref()),
            Step::Cast(_) => None,
        })
    }

    fn last(&self) -> Result<&PgScalar> {
        match self.steps.last() {
            Some(Step::Call { function, .. }) => Ok(function),
            _ => internal_err!("a chain without a call"),
        }
    }
}

/// The call, with what it makes a long chain of in one.
pub fn collapse(call: Expr) -> Expr {
    if !is_long(&call) {
        return call;
    }
    // From the last step to the first.
    let (mut steps, mut args) = (Vec::new(), Vec::new());
    let mut rest = call;
    loop {
        rest = match rest {
            Expr::Cast(Cast { expr, field }) if is_step(&expr) && is_number(&field) => {
                steps.push(Step::Cast(field.data_type().clone()));
                *expr
            }
            Expr::ScalarFunction(ScalarFunction { func, args: mut own }) if !own.is_empty() => {
                let impl_ = func.inner();
                if let Some(function) = impl_.downcast_ref::<PgScalar>() {
                    let function = Arc::new(function.clone());
                    steps.push(Step::Call { function, more: own.len() - 1 });
                } else if let Some(chain) = impl_.downcast_ref::<PgChain>() {
                    steps.extend(chain.steps.iter().rev().cloned());
                } else {
                    break args.push(Expr::ScalarFunction(ScalarFunction { func, args: own }));
                }
                args.extend(own.drain(1..).rev());
                match own.pop() {
                    Some(first) => first,
                    None => break,
                }
            }
            first => break args.push(first),
        };
    }
    steps.reverse();
    args.reverse();
    let function = Arc::new(ScalarUDF::new_from_impl(PgChain::new(steps)));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

fn is_long(call: &Expr) -> bool {
    let mut node = call;
    for _ in 0..SHORT {
        node = match node {
            Expr::Cast(cast) if is_number(&cast.field) => &cast.expr,
            Expr::ScalarFunction(call) if call.func.inner().is::<PgScalar>() => {
                match call.args.first() {
                    Some(first) => first,
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    is_step(node)
}

/// Whether a chain goes on below.
fn is_step(node: &Expr) -> bool {
    match node {
        Expr::ScalarFunction(call) => {
            let function = call.func.inner();
            !call.args.is_empty() && (function.is::<PgScalar>() || function.is::<PgChain>())
        }
        _ => false,
    }
}

fn is_number(field: &FieldRef) -> bool {
    NUMBERS.contains(field.data_type()) && field.metadata().is_empty()
}

by_name!(PgChain);

impl ScalarUDFImpl for PgChain {
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
        Ok(arrow_types::data_type(self.last()?.result()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let calls = self.steps.iter().map(|step| match step {
            Step::Call { more, .. } => *more,
            Step::Cast(_) => 0,
        });
        if calls.sum::<usize>() + 1 != args.arg_fields.len() {
            return internal_err!("a chain was given {} arguments", args.arg_fields.len());
        }
        let nullable = self.functions().any(|function| !function.definition().total)
            || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(arrow_types::field_ref("chain", self.last()?.result(), nullable))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut args = args.args.into_iter();
        let Some(mut value) = args.next() else { return internal_err!("a chain of nothing") };
        for step in &self.steps {
            value = match step {
                Step::Call { function, more } => {
                    let mut values = vec![value];
                    values.extend(args.by_ref().take(*more));
                    if values.len() != more + 1 {
                        return internal_err!("a chain of too few");
                    }
                    function.call(&values, rows).map_err(to_datafusion)?
                }
                Step::Cast(to) => value.cast_to(to, None)?,
            };
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::FunctionRegistry;
    use datafusion::logical_expr::col;
    use satsuma_common::PgType;

    use super::*;
    use crate::functions::Typed;

    #[test]
    fn long_chains_are_flat_and_known_by_their_name() {
        let env = crate::functions::tests::env();
        let operand = |at: usize| match at % 40 {
            0 => Typed::new(col("b"), PgType::Int8),
            _ => Typed::new(col("a"), PgType::Int4),
        };
        let sum = (1..500).fold(operand(1), |sum, at| {
            let op = if at % 3 == 0 { "-" } else { "+" };
            crate::operators::binary(op, sum, operand(at), &env).unwrap()
        });
        assert!(crate::outline::expression::height(&sum.expr) < 2 * SHORT);
        let mut node = &sum.expr;
        let chain = loop {
            node = match node {
                Expr::Cast(cast) => &cast.expr,
                Expr::ScalarFunction(call) if call.func.inner().is::<PgChain>() => break call,
                Expr::ScalarFunction(call) => &call.args[0],
                other => panic!("no chain below {other}"),
            };
        };
        let known = crate::functions::registry().udf(chain.func.name()).unwrap();
        assert_eq!(known.as_ref(), chain.func.as_ref());
        for wrong in ["chain\n", "chain\n1 cast Int32\n", "chain\n9999999999 1 x\n", "chain\nx"] {
            assert!(PgChain::by_name(wrong).is_none(), "{wrong}");
        }
    }
}
