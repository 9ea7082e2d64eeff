//! CHECK conditions: SQL text to an expression over the table's columns.

use datafusion::logical_expr::Expr;
use satsuma_common::table::TableShape;
use satsuma_common::{SqlError, SqlResult};

pub(super) fn bind(condition: &str, shape: &TableShape) -> SqlResult<Expr> {
    let _ = condition;
    Err(SqlError::unsupported("CHECK constraints are not supported yet")
        .table(&shape.schema_name, &shape.name))
}
