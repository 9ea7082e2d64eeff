//! Optimized plans of statements that came lately: those that differ in the constants of their
//! conditions alone ([`satsuma_sql::lift`]) have one plan.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::LogicalPlan;
use parking_lot::Mutex;
use satsuma_sql::catalog_view::TableInfo;
use satsuma_sql::functions::is_session_bound;
use satsuma_sql::table::{Scan, ScanSource};

const MOST: usize = 256;

/// By what they were made of; what was not asked for longest goes first.
#[derive(Default)]
pub(super) struct Plans(Mutex<Known>);

#[derive(Default)]
struct Known {
    now: u64,
    plans: BTreeMap<u64, Entry>,
    /// Last use to key.
    ages: BTreeMap<u64, u64>,
}

struct Entry {
    shape: Shape,
    optimized: LogicalPlan,
    used: u64,
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
        let known = &mut *self.0.lock();
        let entry = known.plans.get_mut(&shape.hash).filter(|entry| entry.shape.is(shape))?;
        known.now += 1;
        known.ages.remove(&entry.used);
        entry.used = known.now;
        known.ages.insert(known.now, shape.hash);
        Some(entry.optimized.clone())
    }

    pub fn put(&self, shape: Shape, optimized: LogicalPlan) {
        let known = &mut *self.0.lock();
        known.now += 1;
        let (hash, used) = (shape.hash, known.now);
        if let Some(before) = known.plans.insert(hash, Entry { shape, optimized, used }) {
            known.ages.remove(&before.used);
        }
        known.ages.insert(used, hash);
        if known.plans.len() > MOST
            && let Some((_, oldest)) = known.ages.pop_first()
        {
            known.plans.remove(&oldest);
        }
    }
}
