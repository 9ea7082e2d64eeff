//! Table scans in logical plans: which table, and what the binder knows of it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{TableProviderFilterPushDown, TableSource, TableType};
use satsuma_common::TableId;

use crate::catalog_view::{SystemRelation, TableInfo};

/// Name of the scan that stands for rows handed to a fragment from outside: the changed rows for
/// RETURNING, the existing and proposed rows for ON CONFLICT, the file's rows for COPY.
pub const INPUT: &str = "__input";

/// Name of the hidden column that identifies a row within its shard; the last of a scan.
pub const KEY_COLUMN: &str = "__key";

/// What a `TableScan` reads.
#[derive(Clone, Debug)]
pub enum Scan {
    Table(Arc<TableInfo>),
    System(Arc<SystemRelation>),
    /// [`INPUT`].
    Input,
}

/// The source of every `TableScan` in our plans.
#[derive(Clone, Debug)]
pub struct ScanSource {
    pub scan: Scan,
    schema: SchemaRef,
}

impl ScanSource {
    /// Scan of a user table: its columns, then [`KEY_COLUMN`].
    pub fn table(info: Arc<TableInfo>) -> Arc<Self> {
        let mut fields: Vec<_> = info.shape.arrow_schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(KEY_COLUMN, DataType::Binary, false)));
        Arc::new(Self { scan: Scan::Table(info), schema: Arc::new(Schema::new(fields)) })
    }

    pub fn system(relation: Arc<SystemRelation>) -> Arc<Self> {
        let fields: Vec<_> = relation
            .columns
            .iter()
            .map(|(name, ty)| satsuma_common::arrow_types::field(name, ty, true))
            .collect();
        Arc::new(Self { scan: Scan::System(relation), schema: Arc::new(Schema::new(fields)) })
    }

    /// Scan of rows handed in, of the given schema.
    pub fn input(schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { scan: Scan::Input, schema })
    }

    pub fn table_id(&self) -> Option<TableId> {
        match &self.scan {
            Scan::Table(info) => Some(info.shape.table),
            Scan::System(_) | Scan::Input => None,
        }
    }
}

impl TableSource for ScanSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Scans use filters to skip what cannot match; the filter stays above them.
    fn supports_filters_pushdown(
        &self,
        filters: &[&datafusion::logical_expr::Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        let answer = match self.scan {
            Scan::Table(_) => TableProviderFilterPushDown::Inexact,
            Scan::System(_) | Scan::Input => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![answer; filters.len()])
    }
}
