//! Fragments that were decoded and optimised lately: the same statement comes again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use satsuma_proto::worker::{Fragment, FragmentMode};

use super::bind::Template;

const MOST: usize = 256;
/// Longer plans are seldom the same twice.
const LONGEST: usize = 64 << 10;

/// By the fragment's bytes; what was not asked for longest goes first.
#[derive(Default)]
pub(crate) struct Templates(Mutex<Known>);

#[derive(Default)]
struct Known {
    now: u64,
    templates: BTreeMap<(Bytes, bool), (u64, Arc<Template>)>,
    /// Last use to key.
    ages: BTreeMap<u64, (Bytes, bool)>,
}

fn key(fragment: &Fragment) -> (Bytes, bool) {
    (fragment.plan.clone(), fragment.mode == FragmentMode::PartialAggregate)
}

impl Templates {
    pub fn get(&self, fragment: &Fragment) -> Option<Arc<Template>> {
        let known = &mut *self.0.lock();
        known.now += 1;
        let key = key(fragment);
        let (used, template) = known.templates.get_mut(&key)?;
        known.ages.remove(used);
        *used = known.now;
        known.ages.insert(known.now, key);
        Some(template.clone())
    }

    pub fn put(&self, fragment: &Fragment, template: Arc<Template>) {
        if fragment.plan.len() > LONGEST {
            return;
        }
        let known = &mut *self.0.lock();
        known.now += 1;
        // Its own copy: the message that brought it may be larger.
        let key = (Bytes::copy_from_slice(&fragment.plan), key(fragment).1);
        if let Some((used, _)) = known.templates.insert(key.clone(), (known.now, template)) {
            known.ages.remove(&used);
        }
        known.ages.insert(known.now, key);
        if known.templates.len() > MOST
            && let Some((_, oldest)) = known.ages.pop_first()
        {
            known.templates.remove(&oldest);
        }
    }
}
