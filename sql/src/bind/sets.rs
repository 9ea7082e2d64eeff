//! Set-returning functions, as lists that the plan unnests.

use datafusion::functions_nested as nested;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Cast, Expr};
use datafusion::prelude::lit;
use satsuma_common::{PgType, SqlResult, arrow_types};

use crate::functions::{FunctionEnv, Typed};

/// A set-returning function called: one list per output column, all of one length per row.
#[derive(Clone, Debug)]
pub(super) struct SetFunction {
    pub columns: Vec<SetColumn>,
    /// The function names its only output column, so that an alias does not.
    pub named: bool,
}

#[derive(Clone, Debug)]
pub(super) struct SetColumn {
    pub name: String,
    /// The element's type.
    pub ty: PgType,
    pub list: Expr,
}

/// `None`: no set-returning function of that name.
pub(super) fn set_function(
    name: &str,
    args: Vec<Typed>,
    _env: &FunctionEnv,
) -> SqlResult<Option<SetFunction>> {
    if name != "unnest" {
        return Ok(None);
    }
    let mut columns = Vec::with_capacity(args.len());
    for arg in args {
        let PgType::Array(element) = &arg.ty else {
            return Err(crate::functions::undefined(name, &[arg.ty]));
        };
        let ty = element.as_ref().clone();
        columns.push(SetColumn { name: "unnest".into(), ty, list: arg.expr });
    }
    Ok(Some(SetFunction { columns, named: false }))
}

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
