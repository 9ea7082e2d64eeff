//! Key expressions and predicates of indexes, bound once for each shape of a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use parking_lot::RwLock;
use satsuma_common::index::{IndexShape, IndexedValue};
use satsuma_common::table::TableShape;
use satsuma_common::{Oid, PgType, SqlError, SqlResult, TableId};
use satsuma_sql::bind::ExpressionUse;
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};
use satsuma_storage::index::{Evaluated, IndexExpressions};

use crate::modify::condition;

/// An index's keys and predicate over the table's columns, which are named without relation.
#[derive(Debug)]
pub(crate) struct BoundIndex {
    version: u64,
    shape: IndexShape,
    pub keys: Vec<(Expr, PgType)>,
    pub predicate: Option<Expr>,
    physical_keys: Vec<Arc<dyn PhysicalExpr>>,
    physical_predicate: Option<Arc<dyn PhysicalExpr>>,
}

#[derive(Debug, Default)]
pub(crate) struct IndexEvaluator(RwLock<BTreeMap<(TableId, Oid), Arc<BoundIndex>>>);

impl IndexEvaluator {
    pub fn bound(&self, table: &TableShape, index: &IndexShape) -> SqlResult<Arc<BoundIndex>> {
        let at = (table.table, index.id);
        if let Some(known) = self.0.read().get(&at)
            && known.version == table.version
            && known.shape == *index
        {
            return Ok(known.clone());
        }
        let bound = Arc::new(bind(table, index)?);
        self.0.write().insert(at, bound.clone());
        Ok(bound)
    }
}

fn bind(table: &TableShape, index: &IndexShape) -> SqlResult<BoundIndex> {
    let schema = DFSchema::try_from(table.arrow_schema()).map_err(to_sql)?;
    let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let physical =
        |expr: &Expr| create_physical_expr(expr, &schema, &props, &planning).map_err(to_sql);
    let keys = index
        .keys
        .iter()
        .map(|key| {
            let expr = match &key.value {
                IndexedValue::Column(id) => {
                    let column = table.column(*id);
                    let gone = || SqlError::internal("an indexed column is gone");
                    datafusion::prelude::ident(&column.ok_or_else(gone)?.name)
                }
                IndexedValue::Expression(text) => {
                    condition::bind_constant(text, ExpressionUse::Index, table)?
                }
            };
            Ok((normal(expr), key.ty.clone()))
        })
        .collect::<SqlResult<Vec<_>>>()?;
    let predicate = match &index.predicate {
        Some(text) => {
            Some(normal(condition::bind_constant(text, ExpressionUse::IndexPredicate, table)?))
        }
        None => None,
    };
    Ok(BoundIndex {
        version: table.version,
        shape: index.clone(),
        physical_keys: keys.iter().map(|(expr, _)| physical(expr)).collect::<SqlResult<_>>()?,
        physical_predicate: predicate.as_ref().map(physical).transpose()?,
        keys,
        predicate,
    })
}

/// The expression as it compares with others: columns without relation, constants without
/// metadata, no names.
pub(super) fn normal(expr: Expr) -> Expr {
    let plain = expr.clone().transform_up(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(datafusion::prelude::ident(column.name)),
            Expr::Literal(value, Some(_)) => Transformed::yes(Expr::Literal(value, None)),
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            other => Transformed::no(other),
        })
    });
    plain.map_or(expr, |transformed| transformed.data)
}

impl IndexExpressions for IndexEvaluator {
    fn evaluate(
        &self,
        table: &TableShape,
        index: &IndexShape,
        rows: &RecordBatch,
    ) -> Result<Evaluated, SqlError> {
        let bound = self.bound(table, index)?;
        let columns: Vec<_> = (0..table.columns.len()).collect();
        let rows = rows.project(&columns).map_err(arrow_to_sql)?;
        let evaluate = |expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch| {
            let value = expr.evaluate(rows).map_err(to_sql)?;
            value.into_array(rows.num_rows()).map_err(to_sql)
        };
        let Some(predicate) = &bound.physical_predicate else {
            let keys = bound.physical_keys.iter().map(|key| evaluate(key, &rows));
            return Ok(Evaluated { keys: keys.collect::<SqlResult<_>>()?, included: None });
        };
        let included = evaluate(predicate, &rows)?;
        let included = included
            .as_boolean_opt()
            .ok_or_else(|| SqlError::internal("an index predicate is not boolean"))?
            .clone();
        // Keys are evaluated where the predicate holds: elsewhere they may fail.
        let held: Vec<Option<u32>> = {
            let mut next = 0;
            let mut place = |row: usize| {
                let holds = arrow::array::Array::is_valid(&included, row) && included.value(row);
                holds.then(|| {
                    next += 1;
                    next - 1
                })
            };
            (0..rows.num_rows()).map(&mut place).collect()
        };
        let chosen = arrow::compute::filter_record_batch(&rows, &included).map_err(arrow_to_sql)?;
        let places = arrow::array::UInt32Array::from(held);
        let keys = bound.physical_keys.iter().map(|key| {
            let values = evaluate(key, &chosen)?;
            arrow::compute::take(&values, &places, None).map_err(arrow_to_sql)
        });
        Ok(Evaluated { keys: keys.collect::<SqlResult<_>>()?, included: Some(included) })
    }
}
