//! Live connections by process id: where cancel requests find their statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::NodeId;

use crate::session_api::{Interrupt, InterruptReason};

/// Holds the interrupt of the statement that a connection runs, if it runs one.
#[derive(Debug, Default)]
pub struct CancelSlot(Mutex<Option<Interrupt>>);

impl CancelSlot {
    pub fn begin(&self, interrupt: Interrupt) {
        *self.0.lock() = Some(interrupt);
    }

    pub fn end(&self) {
        *self.0.lock() = None;
    }

    /// An idle connection ignores it, as in PostgreSQL.
    pub fn cancel(&self, reason: InterruptReason) {
        if let Some(interrupt) = self.0.lock().as_ref() {
            interrupt.fire(reason);
        }
    }
}

struct Entry {
    key: Vec<u8>,
    slot: Arc<CancelSlot>,
}

#[derive(Default)]
struct Entries {
    /// What every process id of this coordinator begins with: they are unique in the cluster.
    base: i32,
    last_id: i32,
    by_id: BTreeMap<i32, Entry>,
}

/// All connections of this process.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Entries>>);

/// Process ids of one coordinator.
const IDS: i32 = 1 << 20;

impl Registry {
    /// Of the coordinator with this id.
    pub fn of(node: NodeId) -> Self {
        let base = i32::try_from(node.0 % 2047).unwrap_or(0) * IDS;
        Self(Arc::new(Mutex::new(Entries { base, ..Entries::default() })))
    }

    /// Gives a new connection its process id and slot; the guard takes it off again.
    pub fn register(&self) -> Registration {
        let slot = Arc::new(CancelSlot::default());
        let mut entries = self.0.lock();
        let mut id = entries.last_id;
        loop {
            id = if id == IDS - 1 { 1 } else { id + 1 };
            if !entries.by_id.contains_key(&(entries.base + id)) {
                break;
            }
        }
        entries.last_id = id;
        let id = entries.base + id;
        entries.by_id.insert(id, Entry { key: Vec::new(), slot: slot.clone() });
        Registration { registry: self.clone(), id, slot }
    }

    /// Stops what `id` runs, if the key is right. Nobody learns whether it was.
    pub fn cancel(&self, id: i32, key: &[u8]) {
        let entries = self.0.lock();
        if let Some(entry) = entries.by_id.get(&id)
            && !entry.key.is_empty()
            && same(&entry.key, key)
        {
            entry.slot.cancel(InterruptReason::UserRequest);
        }
    }
}

/// Equality whose time does not depend on where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// One connection's place in the registry.
pub struct Registration {
    registry: Registry,
    pub id: i32,
    pub slot: Arc<CancelSlot>,
}

impl Registration {
    /// From now on a cancel request with `key` is honoured.
    pub fn set_key(&self, key: Vec<u8>) {
        if let Some(entry) = self.registry.0.lock().by_id.get_mut(&self.id) {
            entry.key = key;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.0.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_cancels_and_only_a_running_statement() {
        let registry = Registry::default();
        let connection = registry.register();
        let interrupt = Interrupt::new();
        registry.cancel(connection.id, b"");
        connection.set_key(b"key!".to_vec());
        registry.cancel(connection.id, b"key!");
        connection.slot.begin(interrupt.clone());
        registry.cancel(connection.id, b"yek!");
        registry.cancel(connection.id + 1, b"key!");
        assert!(!interrupt.fired());
        registry.cancel(connection.id, b"key!");
        assert!(interrupt.fired());
        drop(connection);
        assert!(registry.0.lock().by_id.is_empty());
    }
}
