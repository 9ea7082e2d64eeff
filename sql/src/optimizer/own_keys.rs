//! Keys that aggregates have, and no others.
//!
//! DataFusion notes in schemas which columns determine which, and drops what it can by that: keys of
//! GROUP BY and ORDER BY, DISTINCT, joins. An aggregate hands on what its input knew and makes more
//! of it: where one column of a join's side determines the others of that side, the aggregate says
//! that it determines the whole row, and even that it occurs once. What is left here is what an
//! aggregate knows by itself: its groups are all different.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    DFSchemaRef, Dependency, FunctionalDependence, FunctionalDependencies, Result,
};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Stands before the rules that believe in keys.
#[derive(Debug)]
pub(super) struct OwnKeys;

impl OptimizerRule for OwnKeys {
    fn name(&self) -> &str {
        "own_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        corrected(plan)
    }
}

#[recursive::recursive]
fn corrected(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let below = plan.map_children(corrected)?;
    let changed = below.transformed;
    let plan = match below.data {
        LogicalPlan::Aggregate(mut node) if changed || knows_keys(node.input.schema()) => {
            let keys = keys(&node);
            if node.schema.functional_dependencies() == &keys && !changed {
                return Ok(Transformed::no(LogicalPlan::Aggregate(node)));
            }
            // The constructors of aggregates ask their inputs.
            node.schema = with_keys(&node.schema, keys)?;
            LogicalPlan::Aggregate(node)
        }
        other if changed => without_keys(other)?,
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(plan))
}

fn knows_keys(schema: &DFSchemaRef) -> bool {
    !schema.functional_dependencies().is_empty()
}

/// The groups of an aggregate: each occurs once.
fn keys(node: &Aggregate) -> FunctionalDependencies {
    let groups = node.group_expr.len();
    if groups == 0 || node.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
        return FunctionalDependencies::empty();
    }
    let fields = node.schema.fields();
    let nullable = fields.iter().take(groups).any(|field| field.is_nullable());
    let all = (0..fields.len()).collect();
    let key = FunctionalDependence::new((0..groups).collect(), all, nullable);
    FunctionalDependencies::new(vec![key.with_mode(Dependency::Single)])
}

/// What stands above a corrected aggregate and has a schema of its own.
fn without_keys(mut plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = match &mut plan {
        LogicalPlan::Projection(node) => &mut node.schema,
        LogicalPlan::Join(node) => &mut node.schema,
        LogicalPlan::Window(node) => &mut node.schema,
        LogicalPlan::Unnest(node) => &mut node.schema,
        _ => return Ok(plan),
    };
    *schema = with_keys(schema, FunctionalDependencies::empty())?;
    Ok(plan)
}

fn with_keys(schema: &DFSchemaRef, keys: FunctionalDependencies) -> Result<DFSchemaRef> {
    Ok(Arc::new(schema.as_ref().clone().with_functional_dependencies(keys)?))
}
