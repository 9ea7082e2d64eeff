//! Rows handed to a plan from outside: the changed rows for RETURNING, a file's rows for COPY, what
//! a modifying WITH query returned.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::bound::{Bound, BoundOnConflict, Returning};
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::table::{Scan, ScanSource};

use super::modify::{nullable, returned_rows};

/// The plan with its input scan reading `rows`.
pub fn feed(plan: LogicalPlan, rows: Vec<RecordBatch>) -> SqlResult<LogicalPlan> {
    feed_scans(plan, |scan| matches!(scan, Scan::Input).then(|| rows.clone()))
}

/// The statement with its scans of what WITH queries returned reading `returned`, by number.
pub fn feed_returned(statement: Bound, returned: &[Vec<RecordBatch>]) -> SqlResult<Bound> {
    let plan = |plan: LogicalPlan| {
        feed_scans(plan, |scan| match scan {
            Scan::Returned(number) => returned.get(*number as usize).cloned(),
            _ => None,
        })
    };
    let returning = |given: Option<Returning>| {
        given.map(|given| SqlResult::Ok(Returning { plan: plan(given.plan)?, ..given })).transpose()
    };
    Ok(match statement {
        Bound::Query(mut query) => {
            query.plan = plan(query.plan)?;
            Bound::Query(query)
        }
        Bound::Insert(mut insert) => {
            insert.source = plan(insert.source)?;
            insert.returning = returning(insert.returning)?;
            if let BoundOnConflict::DoUpdate { plan: update, .. } = &mut insert.on_conflict
                && reads_returned(update)?
            {
                return Err(SqlError::unsupported(
                    "ON CONFLICT DO UPDATE cannot read what a WITH query returned",
                ));
            }
            Bound::Insert(insert)
        }
        Bound::Update(mut update) => {
            update.source = plan(update.source)?;
            update.located = update.located.map(plan).transpose()?;
            update.returning = returning(update.returning)?;
            Bound::Update(update)
        }
        Bound::Delete(mut delete) => {
            delete.source = plan(delete.source)?;
            delete.located = delete.located.map(plan).transpose()?;
            delete.returning = returning(delete.returning)?;
            Bound::Delete(delete)
        }
        other => other,
    })
}

fn reads_returned(plan: &LogicalPlan) -> SqlResult<bool> {
    reads(plan, |scan| matches!(scan, Scan::Returned(_)))
}

/// Whether it reads more than it was given.
pub fn reads_relations(plan: &LogicalPlan) -> SqlResult<bool> {
    reads(plan, |scan| matches!(scan, Scan::Table(_) | Scan::System(_)))
}

fn reads(plan: &LogicalPlan, wanted: impl Fn(&Scan) -> bool) -> SqlResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let source = scan.source.downcast_ref::<ScanSource>();
            found |= source.is_some_and(|source| wanted(&source.scan));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    Ok(found)
}

fn feed_scans(
    plan: LogicalPlan,
    rows_of: impl Fn(&Scan) -> Option<Vec<RecordBatch>>,
) -> SqlResult<LogicalPlan> {
    let fed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let source = scan.source.downcast_ref::<ScanSource>();
        let Some(rows) = source.and_then(|source| rows_of(&source.scan)) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let schema = nullable(&scan.source.schema());
        let rows = returned_rows(rows, &schema).map_err(from_sql)?;
        let table = MemTable::try_new(schema, vec![rows])?;
        let source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
    });
    fed.map(|transformed| transformed.data).map_err(to_sql)
}
