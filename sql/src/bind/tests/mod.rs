//! Statements bound and executed on small tables in memory, against PostgreSQL 15's answers.
//!
//! `golden/*.txt` hold statements and what PostgreSQL says to them; `golden/regenerate.sh` asks a
//! server. The tables are those of `golden/schema.sql`, here in [`world`].

mod golden;
mod plans;
mod world;

use datafusion::common::tree_node::Transformed;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, TableScan, TableScanBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use satsuma_common::{PgType, SqlError, SqlResult};

use super::{BindContext, bind};
use crate::bound::{Bound, BoundQuery, OutputColumn};
use crate::functions::FunctionEnv;
use crate::functions::error::from_datafusion;
use crate::parse;
use crate::table::{Scan, ScanSource};
use world::World;

/// A result as psql prints it unaligned.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub columns: Vec<OutputColumn>,
    pub rows: Vec<Vec<String>>,
}

pub fn bind_one(sql: &str, env: &FunctionEnv) -> SqlResult<(Bound, Vec<PgType>)> {
    bind_with(sql, env, &[])
}

pub fn bind_with(
    sql: &str,
    env: &FunctionEnv,
    param_types: &[Option<PgType>],
) -> SqlResult<(Bound, Vec<PgType>)> {
    let parsed = parse::parse(sql)?;
    let catalog = env.catalog.clone();
    let context = BindContext {
        catalog: catalog.as_ref(),
        env,
        param_types: Some(param_types),
        param_values: &[],
    };
    bind(&parsed[0], &context)
}

/// Binds and runs a query.
pub fn answer(sql: &str, world: &World) -> SqlResult<Answer> {
    let query = match bind_one(sql, &world.env)?.0 {
        Bound::Query(query) => query,
        other => return Err(SqlError::internal(format!("no query: {other:?}"))),
    };
    let BoundQuery { plan, columns, .. } = query;
    let rows = run(plan, &columns, world)?;
    Ok(Answer { columns, rows })
}

/// Runs a plan whose scans read the world's tables.
pub fn run(
    plan: LogicalPlan,
    columns: &[OutputColumn],
    world: &World,
) -> SqlResult<Vec<Vec<String>>> {
    let plan = plan
        .transform_up_with_subqueries(|node| {
            Ok(match node {
                LogicalPlan::TableScan(TableScan { table_name, source, projection, .. })
                    if source.downcast_ref::<ScanSource>().is_some() =>
                {
                    let ours = source.downcast_ref::<ScanSource>();
                    let provider = match ours.map(|source| &source.scan) {
                        Some(Scan::Table(info)) => world.rows(&info.shape.name),
                        _ => None,
                    };
                    let provider = provider.ok_or_else(|| {
                        datafusion::error::DataFusionError::Plan("no rows".into())
                    })?;
                    let scan = TableScanBuilder::new(table_name, provider_as_source(provider))
                        .with_projection(projection)
                        .build()?;
                    Transformed::yes(LogicalPlan::TableScan(scan))
                }
                other => Transformed::no(other),
            })
        })
        .map_err(from_datafusion)?
        .data;
    let config = SessionConfig::new().with_target_partitions(2).with_batch_size(3);
    let context = SessionContext::new_with_config(config);
    let runtime = tokio_runtime();
    let batches = runtime
        .block_on(async { DataFrame::new(context.state(), plan).collect().await })
        .map_err(from_datafusion)?;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(columns.len());
            for (array, column) in batch.columns().iter().zip(columns) {
                let value =
                    satsuma_common::arrow_values::datum_at(array.as_ref(), row, &column.ty)?;
                cells.push(if value.is_null() {
                    "NULL".into()
                } else {
                    crate::casts::convert::output(
                        &value,
                        &column.ty,
                        &world.env.settings.context(),
                    )?
                });
            }
            rows.push(cells);
        }
    }
    Ok(rows)
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
