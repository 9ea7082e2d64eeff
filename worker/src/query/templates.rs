//! Fragments that were decoded and optimised lately: the same statement comes again and again.

use std::sync::Arc;

use bytes::Bytes;
use satsuma_proto::worker::{Fragment, FragmentMode};
use satsuma_sql::recent::Recent;

use super::bind::Template;

const MOST: usize = 256;
/// Longer plans are seldom the same twice.
const LONGEST: usize = 64 << 10;

/// By the fragment's bytes.
pub(crate) struct Templates(Recent<(Bytes, bool), Arc<Template>>);

impl Default for Templates {
    fn default() -> Self {
        Self(Recent::new(MOST))
    }
}

fn key(plan: Bytes, mode: FragmentMode) -> (Bytes, bool) {
    (plan, mode == FragmentMode::PartialAggregate)
}

impl Templates {
    pub fn get(&self, fragment: &Fragment) -> Option<Arc<Template>> {
        self.0.get(&key(fragment.plan.clone(), fragment.mode))
    }

    pub fn put(&self, fragment: &Fragment, template: Arc<Template>) {
        if fragment.plan.len() <= LONGEST {
            // Its own copy: the message that brought it may be larger.
            self.0.put(key(Bytes::copy_from_slice(&fragment.plan), fragment.mode), template);
        }
    }
}
