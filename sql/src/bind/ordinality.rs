//! Positions of the elements of a list: WITH ORDINALITY.

use datafusion::functions_nested as nested;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Cast, Expr};
use datafusion::prelude::lit;
use satsuma_common::{PgType, arrow_types};

/// The list 1, 2, .. as long as `list`.
pub(super) fn positions_of(list: Expr) -> Expr {
    let length = Expr::ScalarFunction(ScalarFunction::new_udf(
        nested::length::array_length_udf(),
        vec![list],
    ));
    let field = arrow_types::field_ref("length", &PgType::Int8, true);
    let length = Expr::Cast(Cast::new_from_field(Box::new(length), field));
    Expr::ScalarFunction(ScalarFunction::new_udf(
        nested::range::gen_series_udf(),
        vec![lit(1i64), length],
    ))
}
