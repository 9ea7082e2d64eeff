//! Memory of queries: each has its own bound, shared fairly among its operators, and all of them
//! together stay within the node's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;

/// Memory of all queries of a node.
#[derive(Debug)]
pub struct NodeMemory {
    limit: usize,
    used: AtomicUsize,
}

impl NodeMemory {
    pub fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: AtomicUsize::new(0) }
    }

    /// Bytes that all queries may hold together.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Without asking: for what an operator has allocated already.
    fn note(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    fn give_back(&self, bytes: usize) {
        let less = |used: usize| Some(used.saturating_sub(bytes));
        // The closure never declines.
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

/// Memory of one query.
#[derive(Debug)]
pub struct QueryPool {
    own: FairSpillPool,
    node: Arc<NodeMemory>,
}

impl QueryPool {
    pub fn new(limit: u64, node: Arc<NodeMemory>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(node.limit);
        Self { own: FairSpillPool::new(limit), node }
    }
}

impl std::fmt::Display for QueryPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.own)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.node.note(additional);
        self.own.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.node.give_back(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !self.node.take(additional) {
            return Err(resources_datafusion_err!(
                "The queries of this node use all of its {} bytes.",
                self.node.limit
            ));
        }
        self.own.try_grow(reservation, additional).inspect_err(|_| self.node.give_back(additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

/// A part of a pool, shared fairly among its own operators.
#[derive(Debug)]
pub struct SharePool {
    own: FairSpillPool,
    /// What is used of the whole.
    taken: MemoryReservation,
}

impl SharePool {
    /// `limit` in bytes.
    pub fn new(limit: usize, of: &Arc<dyn MemoryPool>) -> Self {
        Self { own: FairSpillPool::new(limit), taken: MemoryConsumer::new("share").register(of) }
    }
}

impl std::fmt::Display for SharePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.own)
    }
}

impl MemoryPool for SharePool {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.taken.grow(additional);
        self.own.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.taken.shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        self.taken.try_grow(additional).inspect_err(|_| self.own.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

/// What a plan runs in. Its functions are in the plan already. Unlike [`TaskContext::default`] it
/// makes no other environment first, which would take longer than many a query.
pub fn task_context(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> Arc<TaskContext> {
    let (id, none) = (None, String::new());
    Arc::new(TaskContext::new(
        id,
        none,
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        runtime,
    ))
}

/// The environment with another pool of memory.
pub fn with_pool(base: &RuntimeEnv, memory_pool: Arc<dyn MemoryPool>) -> Arc<RuntimeEnv> {
    Arc::new(RuntimeEnv {
        memory_pool,
        disk_manager: base.disk_manager.clone(),
        cache_manager: base.cache_manager.clone(),
        object_store_registry: base.object_store_registry.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_from_the_whole_as_it_is_used() {
        let whole: Arc<dyn MemoryPool> =
            Arc::new(QueryPool::new(1000, Arc::new(NodeMemory::new(1000))));
        let share: Arc<dyn MemoryPool> = Arc::new(SharePool::new(400, &whole));
        let inside = MemoryConsumer::new("inside").register(&share);
        assert!(inside.try_grow(500).is_err(), "beyond the share");
        assert_eq!(whole.reserved(), 0);
        inside.try_grow(300).unwrap();
        assert_eq!(whole.reserved(), 300);
        let outside = MemoryConsumer::new("outside").register(&whole);
        outside.try_grow(650).unwrap();
        assert!(inside.try_grow(80).is_err(), "beyond the whole");
        assert_eq!((share.reserved(), whole.reserved()), (300, 950));
        drop((inside, outside));
        assert_eq!((share.reserved(), whole.reserved()), (0, 0));
    }

    #[test]
    fn queries_together_stay_within_the_node() {
        let node = Arc::new(NodeMemory::new(1000));
        let pools: Vec<Arc<dyn MemoryPool>> = (0..2)
            .map(|_| Arc::new(QueryPool::new(800, node.clone())) as Arc<dyn MemoryPool>)
            .collect();
        let first = MemoryConsumer::new("a").register(&pools[0]);
        let second = MemoryConsumer::new("b").register(&pools[1]);
        assert!(first.try_grow(900).is_err(), "beyond the query's bound");
        assert_eq!(node.used.load(Ordering::SeqCst), 0);
        first.try_grow(700).unwrap();
        assert!(second.try_grow(400).is_err(), "beyond the node's bound");
        second.try_grow(300).unwrap();
        drop(first);
        second.try_grow(400).unwrap();
        drop(second);
        assert_eq!(node.used.load(Ordering::SeqCst), 0);
    }
}
