//! A bounded map that forgets what was not used lately.
//!
//! Entries live in two generations. When the young one is full it becomes the old one, and what
//! the old one still held is gone; an entry that is found in the old one moves to the young one.
//! Finding and adding cost a hash look-up or two, and no order is kept.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    /// Keeps at least the `capacity / 2` and at most the `capacity` entries used last.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation: (capacity / 2).max(1) }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(found) = self.young.get(key) {
            return Some(found.clone());
        }
        let (key, found) = self.old.remove_entry(key)?;
        self.insert(key, found.clone());
        Some(found)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(8);
        recent.insert(0, "kept");
        for key in 1..100 {
            recent.insert(key, "passing");
            assert_eq!(recent.get(&0), Some("kept"));
            assert!(recent.len() <= 9, "{}", recent.len());
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&99), Some("passing"));
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
        recent.clear();
        assert!(recent.is_empty());
    }
}
