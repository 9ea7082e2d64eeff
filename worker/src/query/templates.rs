//! Fragments that were decoded and optimised lately: the next execution starts from there.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use satsuma_common::{Recent, SqlResult};
use satsuma_proto::worker::{Fragment, FragmentMode};

use super::bind::Template;
use super::runtime::QueryRuntime;

/// Templates that are kept.
const KEPT: usize = 512;
/// Plans larger than this hold rows, most likely, and do not come again.
const MAX_BYTES: usize = 32 << 10;

pub(crate) struct Templates(Mutex<Recent<(Bytes, FragmentMode), Arc<Template>>>);

impl Default for Templates {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(KEPT)))
    }
}

impl Templates {
    pub fn known(&self, fragment: &Fragment) -> Option<Arc<Template>> {
        if fragment.plan.len() > MAX_BYTES {
            return None;
        }
        self.0.lock().get(&(fragment.plan.clone(), fragment.mode))
    }

    /// Decodes a fragment that reads tables alone, and keeps what comes of it.
    pub async fn decode(
        &self,
        fragment: &Fragment,
        queries: &QueryRuntime,
    ) -> SqlResult<Arc<Template>> {
        let template = Arc::new(Template::decode(fragment, queries, None).await?);
        if fragment.plan.len() <= MAX_BYTES {
            // A copy: the bytes of the request are part of a larger message.
            let plan = Bytes::copy_from_slice(&fragment.plan);
            self.0.lock().insert((plan, fragment.mode), template.clone());
        }
        Ok(template)
    }
}
