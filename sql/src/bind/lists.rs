//! Lists that plans hold: their lengths, elements, and positions (WITH ORDINALITY).

use datafusion::functions_nested as nested;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Cast, Expr};
use datafusion::prelude::lit;
use satsuma_common::{PgType, arrow_types};

/// The list 1, 2, .. as long as the longest of `lists`.
pub(super) fn positions_of_longest(lists: Vec<Expr>) -> Expr {
    let longest = match lists.len() {
        1 => lists.into_iter().map(length_of).next(),
        _ => {
            let lengths = lists.into_iter().map(length_of).collect();
            let greatest = datafusion::functions::core::greatest();
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(greatest, lengths)))
        }
    };
    let arguments = vec![lit(1i64), longest.unwrap_or_else(|| lit(0i64))];
    Expr::ScalarFunction(ScalarFunction::new_udf(nested::range::gen_series_udf(), arguments))
}

/// How many elements, as a bigint.
pub(super) fn length_of(list: Expr) -> Expr {
    let length = ScalarFunction::new_udf(nested::length::array_length_udf(), vec![list]);
    let field = arrow_types::field_ref("length", &PgType::Int8, true);
    Expr::Cast(Cast::new_from_field(Box::new(Expr::ScalarFunction(length)), field))
}

/// The element at an index from 1.
pub(super) fn element_of(list: Expr, index: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(
        nested::extract::array_element_udf(),
        vec![list, index],
    ))
}
