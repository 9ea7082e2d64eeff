//! Rows handed to a plan from outside: the changed rows for RETURNING, a file's rows for COPY.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use satsuma_common::SqlResult;
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::table::{Scan, ScanSource};

use super::modify::{nullable, returned_rows};

/// The plan with its input scan reading `rows`.
pub fn feed(plan: LogicalPlan, rows: Vec<RecordBatch>) -> SqlResult<LogicalPlan> {
    let fed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let is_input = scan
            .source
            .downcast_ref::<ScanSource>()
            .is_some_and(|source| matches!(source.scan, Scan::Input));
        if !is_input {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        let schema = nullable(&scan.source.schema());
        let rows = returned_rows(rows.clone(), &schema).map_err(from_sql)?;
        let table = MemTable::try_new(schema, vec![rows])?;
        let source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
    });
    fed.map(|transformed| transformed.data).map_err(to_sql)
}
