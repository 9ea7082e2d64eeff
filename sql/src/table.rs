//! Table scans in logical plans: which table, and what the binder knows of it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableProviderFilterPushDown, TableSource,
    TableType,
};
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
    /// Rows from elsewhere that travel with the fragment, by number: its n-th input.
    Exchanged(u32),
    /// What RETURNING gave of the statement's n-th modifying WITH query.
    Returned(u32),
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

    /// Scan of a fragment's n-th input.
    pub fn exchanged(number: u32, schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { scan: Scan::Exchanged(number), schema })
    }

    /// Scan of what the n-th modifying WITH query returned.
    pub fn returned(number: u32, schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { scan: Scan::Returned(number), schema })
    }

    pub fn table_id(&self) -> Option<TableId> {
        match &self.scan {
            Scan::Table(info) => Some(info.shape.table),
            Scan::System(_) | Scan::Input | Scan::Exchanged(_) | Scan::Returned(_) => None,
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
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        let answer = match self.scan {
            Scan::Table(_) => TableProviderFilterPushDown::Inexact,
            Scan::System(_) | Scan::Input | Scan::Exchanged(_) | Scan::Returned(_) => {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(vec![answer; filters.len()])
    }
}

/// A scan under the names of a plan that it stands for. A scan's columns have one qualifier, a
/// plan's may have several: the scan is of columns `c0`, `c1`, .., and a projection renames them.
pub fn renamed_scan(
    name: &str,
    source: impl FnOnce(SchemaRef) -> Arc<dyn TableSource>,
    schema: &DFSchemaRef,
) -> datafusion::error::Result<LogicalPlan> {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| field.as_ref().clone().with_name(format!("c{at}")))
        .collect();
    let source = source(Arc::new(Schema::new(fields)));
    let scan = LogicalPlanBuilder::scan(name, source, None)?.build()?;
    let exprs = schema.iter().enumerate().map(|(at, (qualifier, field))| {
        let column = Expr::Column(Column::new(Some(name), format!("c{at}")));
        match qualifier {
            Some(qualifier) => column.alias_qualified(Some(qualifier.clone()), field.name()),
            None => column.alias(field.name()),
        }
    });
    let projection =
        Projection::try_new_with_schema(exprs.collect(), Arc::new(scan), schema.clone())?;
    Ok(LogicalPlan::Projection(projection))
}
