//! PostgreSQL's operators over DataFusion's expressions. Those of arrays, JSON, networks and
//! regular expressions are with the functions of their family.
//!
//! | file | what |
//! |---|---|
//! | `arithmetic` | + - * / % and bits of numbers: checked, exact |
//! | `compare` | = <> < <= > >=, IN, IS DISTINCT FROM |
//! | `datetime` | + - * / of dates, times, intervals |
//! | `quantified` | ANY and ALL of an array |
//! | `keys` | order-preserving keys of types whose Arrow order is not PostgreSQL's |
//! | `logic` | AND, OR, NOT, CASE: nothing is evaluated that PostgreSQL would not |
//! | `text` | concatenation and LIKE |

pub mod arithmetic;
pub mod compare;
pub mod datetime;
pub mod keys;
pub mod logic;
pub mod pattern;
pub mod quantified;
pub mod text;

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use crate::functions::library::{self, Builder};
use crate::functions::signature::{Choice, choose_operator};
use crate::functions::{self, FunctionEnv, Typed};

pub use compare::{all, any, distinct, in_list};
pub use keys::{grouping_key, ordering_key};
pub use logic::{Connective, Logic, Truth, case, condition};
pub use quantified::quantified;
pub use text::like;

/// Adds every operator to the library.
pub(crate) fn install(builder: &mut Builder) {
    arithmetic::install(builder);
    compare::install(builder);
    datetime::install(builder);
    text::install(builder);
    functions::install_operators(builder);
}

/// `left op right`.
pub fn binary(op: &str, left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let op = if op == "!=" { "<>" } else { op };
    call(op, vec![left, right], env)
}

/// `op operand`.
pub fn unary(op: &str, operand: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let typed = call(op, vec![operand], env)?;
    // So that -1 is a constant like any other.
    Ok(Typed::new(functions::fold_constant(typed.expr), typed.ty))
}

fn call(op: &str, operands: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    let types: Vec<PgType> = operands.iter().map(|operand| operand.ty.clone()).collect();
    let candidates: Vec<_> = library::operators()
        .named(op)
        .iter()
        .filter(|definition| definition.signature.parameters.len() == operands.len())
        .cloned()
        .collect();
    match choose_operator(&candidates, &types) {
        Choice::One(definition) => functions::apply(&definition, true, operands, env),
        Choice::None => Err(SqlError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("operator does not exist: {}", call_text(op, &types)),
        )
        .hint(match types.as_slice() {
            [_] => {
                "No operator matches the given name and argument type. You might need to add an \
                 explicit type cast."
            }
            _ => {
                "No operator matches the given name and argument types. You might need to add \
                 explicit type casts."
            }
        })),
        Choice::Ambiguous => Err(SqlError::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("operator is not unique: {}", call_text(op, &types)),
        )
        .hint(
            "Could not choose a best candidate operator. You might need to add explicit type \
             casts.",
        )),
    }
}

/// `integer + text`, `- text`.
fn call_text(op: &str, types: &[PgType]) -> String {
    match types {
        [left, right] => {
            format!("{} {op} {}", left.without_modifier(), right.without_modifier())
        }
        [operand] => format!("{op} {}", operand.without_modifier()),
        _ => op.into(),
    }
}

/// `ARRAY[a, b, ..]`.
pub fn array(items: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    let (items, element) = functions::special::unified("ARRAY", items, env)?;
    let ty = PgType::Array(Box::new(element.clone()));
    let constants: Option<SqlResult<Vec<_>>> = items.iter().map(Typed::as_constant).collect();
    if let Some(values) = constants {
        let values = satsuma_common::Array { element, values: values? };
        return Typed::constant(satsuma_common::Datum::Array(values), ty);
    }
    functions::call_known("make_array(variadic anyelement)", items, env)
}
