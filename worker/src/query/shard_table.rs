//! The shards of one table as DataFusion's planner sees them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use satsuma_common::TableId;
use satsuma_sql::engine_error::from_sql;
use satsuma_storage::{Engine, KeyRange, ReadView, ScanOptions};

use super::condition::{self, Condition};
use super::index_scan::IndexScanExec;
use super::pruning;
use super::shard_scan::{Reading, ShardScanExec};
use crate::error;
use crate::index::{self, IndexEvaluator, IndexPath};
use crate::placement::PlacedTable;

/// Rows that are worth a thread of their own.
pub(super) const ROWS_PER_PARTITION: u64 = 32 << 10;
/// Of rows under conditions, one in so many is expected to remain.
const EXPECTED_SHARE: u64 = 5;

/// A table before a shard is chosen: what a decoded fragment's scans are bound to.
#[derive(Debug)]
pub(crate) struct TableSlot {
    pub table: TableId,
    pub schema: SchemaRef,
}

#[async_trait]
impl TableProvider for TableSlot {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(format!("{} was not bound to a shard", self.table)))
    }
}

/// Shards of a table at a snapshot. Filters are evaluated where the rows are.
#[derive(Debug)]
pub(crate) struct ShardTable {
    pub engine: Arc<Engine>,
    pub indexes: Arc<IndexEvaluator>,
    /// At least one.
    pub shards: Vec<PlacedTable>,
    pub view: ReadView,
    pub schema: SchemaRef,
    /// Threads that may read them at the same time.
    pub threads: usize,
}

impl ShardTable {
    /// Live rows, estimated.
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(|placed| self.engine.rows(placed.shard)).sum()
    }

    /// The same of the part of the primary key that filters leave, and that part.
    pub fn rows_under(&self, filters: &[Expr]) -> Result<(u64, Option<KeyRange>)> {
        let Some(first) = self.shards.first() else { return Ok((0, None)) };
        let Some(range) = pruning::key_range(&first.meta, filters)? else {
            return Ok((self.rows(), None));
        };
        let rows = self.shards.iter().map(|p| self.engine.rows_within(p.shard, &range));
        let rows = rows.sum::<Result<u64, _>>().map_err(|e| from_sql(error::storage(e)))?;
        Ok((rows, Some(range)))
    }

    pub fn is_in_one_shard(&self) -> bool {
        self.shards.len() == 1
    }

    /// The rows that an index finds, each looked at again.
    fn by_index(
        &self,
        path: IndexPath,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let every_column: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.cloned().unwrap_or(every_column);
        let mut read = projection.clone();
        for condition in self.physical(filters.iter(), &self.schema)? {
            let mut needed: Vec<_> =
                collect_columns(&condition).iter().map(|column| column.index()).collect();
            needed.sort_unstable();
            for column in needed {
                if !read.contains(&column) {
                    read.push(column);
                }
            }
        }
        let schema = Arc::new(self.schema.project(&read)?);
        let predicate = conjunction(self.physical(filters.iter(), &schema)?);
        let shown = path.conditions.iter().chain(&path.implied);
        let shown = self.physical(shown, &self.schema)?;
        let options = ScanOptions { projection: Some(read.clone()), ..ScanOptions::default() };
        let (engine, shards) = (self.engine.clone(), self.shards.clone());
        let scan = IndexScanExec::new(engine, shards, self.view, options, schema, path, shown);
        let wanted = (read.len() > projection.len()).then(|| (0..projection.len()).collect());
        let filter = FilterExecBuilder::new(predicate, Arc::new(scan)).apply_projection(wanted)?;
        Ok(Arc::new(filter.build()?))
    }

    /// Conditions on the table's columns, over columns of a schema.
    fn physical<'a>(
        &self,
        conditions: impl Iterator<Item = &'a Expr>,
        schema: &SchemaRef,
    ) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let schema = DFSchema::try_from(schema.clone())?;
        let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        conditions.map(|expr| create_physical_expr(expr, &schema, &props, &planning)).collect()
    }
}

#[async_trait]
impl TableProvider for ShardTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = usize::try_from(self.rows()).unwrap_or(usize::MAX);
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(rows);
        Some(statistics)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(first) = self.shards.first() else {
            return Err(DataFusionError::Internal("a table was bound to no shard".into()));
        };
        let shape = &first.meta.shape;
        let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let every_column: Vec<usize> = (0..self.schema.fields().len()).collect();
        let (mut conditions, mut predicates) = (Vec::new(), Vec::new());
        for filter in filters.iter().cloned().flat_map(split_conjunction_owned) {
            let expr = create_physical_expr(&filter, &schema, &props, &planning)?;
            predicates.extend(condition::bounds(&expr, &every_column, shape));
            let condition = Condition::new(shape.clone(), expr, Some, false)?;
            conditions.extend(condition.map(Arc::new));
        }
        let (within, key_range) = self.rows_under(filters)?;
        let by_key = key_range.is_some();
        let rows = match conditions.len() {
            0 => within,
            1 if by_key => within,
            _ => within.div_ceil(EXPECTED_SHARE),
        };
        let shards = &self.shards;
        let path = index::choose(&self.engine, &self.indexes, shards, filters, key_range.as_ref());
        if let Some(path) = path {
            return self.by_index(path, projection, filters);
        }
        let options = ScanOptions {
            projection: projection.cloned(),
            key_range,
            predicates,
            limit,
            ..ScanOptions::default()
        };
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let worth = usize::try_from(within / ROWS_PER_PARTITION).unwrap_or(usize::MAX);
        let reading = Reading {
            engine: self.engine.clone(),
            shards: self.shards.clone(),
            view: self.view,
            options,
            conditions,
            schema,
            rows,
            partitions: worth.clamp(1, self.threads.max(1)),
        };
        Ok(Arc::new(ShardScanExec::new(reading)))
    }
}
