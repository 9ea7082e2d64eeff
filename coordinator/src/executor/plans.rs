//! Optimized plans of statements that came lately: those that differ in the constants of their
//! conditions alone ([`satsuma_sql::lift`]) have one plan.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::LogicalPlan;
use satsuma_sql::catalog_view::TableInfo;
use satsuma_sql::functions::is_session_bound;
use satsuma_sql::recent::Recent;
use satsuma_sql::table::{Scan, ScanSource};

const MOST: usize = 256;

/// By what they were made of. Of two shapes with one hash the later one stays.
pub(super) struct Plans(Recent<u64, Arc<(Shape, LogicalPlan)>>);

impl Default for Plans {
    fn default() -> Self {
        Self(Recent::new(MOST))
    }
}

/// A plan without constants, to be looked up.
#[derive(Clone)]
pub(super) struct Shape {
    pub plan: LogicalPlan,
    /// Of its scans, in order: plans do not compare these.
    tables: Vec<Arc<TableInfo>>,
    hash: u64,
}

impl Shape {
    /// `None` where two plans that look the same may mean different things.
    pub fn of(plan: LogicalPlan) -> EngineResult<Option<Self>> {
        let mut tables = Vec::new();
        let mut comparable = true;
        plan.apply_with_subqueries(|node| {
            match node {
                LogicalPlan::Extension(_) => comparable = false,
                LogicalPlan::TableScan(scan) => {
                    match scan.source.downcast_ref::<ScanSource>().map(|source| &source.scan) {
                        Some(Scan::Table(info)) => tables.push(info.clone()),
                        _ => comparable = false,
                    }
                }
                _ => {}
            }
            node.apply_expressions(|expr| {
                // Its functions know their session, which their names do not tell.
                comparable &= !is_session_bound(expr);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        let mut hasher = DefaultHasher::new();
        plan.hash(&mut hasher);
        let hash = hasher.finish();
        Ok(comparable.then_some(Self { plan, tables, hash }))
    }

    fn is(&self, other: &Self) -> bool {
        self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(|(one, other)| Arc::ptr_eq(one, other))
            && self.plan == other.plan
    }
}

impl Plans {
    /// The optimized plan of a shape.
    pub fn get(&self, shape: &Shape) -> Option<LogicalPlan> {
        let known = self.0.get(&shape.hash).filter(|known| known.0.is(shape))?;
        Some(known.1.clone())
    }

    pub fn put(&self, shape: Shape, optimized: LogicalPlan) {
        self.0.put(shape.hash, Arc::new((shape, optimized)));
    }
}
