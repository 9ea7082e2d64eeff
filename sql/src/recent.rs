//! What was made lately, of what comes again and again.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// At most so many values by their keys; what was not asked for longest goes first.
#[derive(Debug)]
pub struct Recent<K, V> {
    most: usize,
    known: Mutex<Known<K, V>>,
}

#[derive(Debug)]
struct Known<K, V> {
    now: u64,
    /// With the last use.
    values: BTreeMap<K, (u64, V)>,
    /// Last use to key.
    ages: BTreeMap<u64, K>,
}

impl<K: Ord + Clone, V: Clone> Recent<K, V> {
    pub fn new(most: usize) -> Self {
        let known = Known { now: 0, values: BTreeMap::new(), ages: BTreeMap::new() };
        Self { most, known: Mutex::new(known) }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let known = &mut *self.known.lock();
        let (used, value) = known.values.get_mut(key)?;
        known.now += 1;
        known.ages.remove(used);
        *used = known.now;
        known.ages.insert(known.now, key.clone());
        Some(value.clone())
    }

    pub fn put(&self, key: K, value: V) {
        let known = &mut *self.known.lock();
        known.now += 1;
        if let Some((used, _)) = known.values.insert(key.clone(), (known.now, value)) {
            known.ages.remove(&used);
        }
        known.ages.insert(known.now, key);
        if known.values.len() > self.most
            && let Some((_, oldest)) = known.ages.pop_first()
        {
            known.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_goes() {
        let recent = Recent::new(2);
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!(recent.get(&"a"), Some(1));
        recent.put("c", 3);
        assert_eq!(
            [recent.get(&"a"), recent.get(&"b"), recent.get(&"c")],
            [Some(1), None, Some(3)]
        );
        recent.put("a", 4);
        assert_eq!([recent.get(&"a"), recent.get(&"c")], [Some(4), Some(3)]);
    }
}
