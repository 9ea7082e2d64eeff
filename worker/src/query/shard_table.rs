//! One shard as DataFusion's planner sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use satsuma_common::TableId;
use satsuma_storage::{Engine, ReadView, ScanOptions};

use super::index_scan::IndexScanExec;
use super::pruning;
use super::shard_scan::ShardScanExec;
use crate::index::{self, IndexEvaluator};
use crate::placement::PlacedTable;

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
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
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

/// A shard at a snapshot. Filters narrow what is read and stay above the scan.
#[derive(Debug)]
pub(crate) struct ShardTable {
    pub engine: Arc<Engine>,
    pub indexes: Arc<IndexEvaluator>,
    pub placed: PlacedTable,
    pub view: ReadView,
    /// Live rows, estimated.
    pub rows: u64,
    pub schema: SchemaRef,
}

impl ShardTable {
    /// Conditions on the table's columns, to be shown.
    fn physical<'a>(
        &self,
        conditions: impl Iterator<Item = &'a Expr>,
    ) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let schema = DFSchema::try_from(self.schema.clone())?;
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
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(self.rows).unwrap_or(usize::MAX));
        Some(statistics)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let key_range = pruning::key_range(&self.placed.meta, filters)?;
        let path =
            index::choose(&self.engine, &self.indexes, &self.placed, filters, key_range.as_ref());
        let options = ScanOptions {
            projection: projection.cloned(),
            key_range,
            limit: limit.filter(|_| filters.is_empty()),
            ..ScanOptions::default()
        };
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let (engine, placed) = (self.engine.clone(), self.placed.clone());
        if let Some(path) = path {
            let conditions = path.conditions.iter().chain(&path.implied);
            let conditions = self.physical(conditions)?;
            let scan =
                IndexScanExec::new(engine, placed, self.view, options, schema, path, conditions);
            return Ok(Arc::new(scan));
        }
        Ok(Arc::new(ShardScanExec::new(engine, placed, self.view, options, schema, self.rows)))
    }
}
