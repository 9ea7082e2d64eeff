//! A map in memory that knows what a power cut would leave of it, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Batch, Kv};
use crate::disk::faulty::Chance;
use crate::error::Result;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Clones are the same map.
#[derive(Clone, Debug, Default)]
pub struct MemoryKv {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    now: Map,
    durable: Map,
    unflushed: Vec<Batch>,
}

impl MemoryKv {
    /// The map after a power cut: what was flushed, and some first batches of what was not.
    pub fn crash(&self, seed: u64) -> Self {
        let inner = self.inner.lock();
        let mut map = inner.durable.clone();
        let survive = Chance::new(seed).below(inner.unflushed.len() as u64 + 1) as usize;
        for batch in &inner.unflushed[..survive] {
            put(&mut map, batch);
        }
        let inner = Inner { now: map.clone(), durable: map, unflushed: Vec::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }
}

fn put(map: &mut Map, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.inner.lock().now.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let inner = self.inner.lock();
        let from = inner.now.range(prefix.to_vec()..);
        let inside = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(inside.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut inner = self.inner.lock();
        put(&mut inner.now, &batch);
        inner.unflushed.push(batch);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.durable = inner.now.clone();
        inner.unflushed.clear();
        Ok(())
    }
}
