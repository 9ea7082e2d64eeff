//! What a prepared statement keeps between its executions: its bound form and its key path.
//!
//! Names, types and defaults are bound once and hold until the catalog changes, or what names
//! stand for in the session. A statement that depends on settings or the time, or that is
//! prepared among a transaction's own definitions, is bound at every execution.
//!
//! A name that this coordinator does not know may have been given through another one a moment
//! ago: before the client hears of it, the catalog is read again.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use parking_lot::Mutex;
use satsuma_common::{Datum, PgType, SqlError, SqlResult};
use satsuma_sql::bound::{Bound, OutputColumn};
use satsuma_sql::effects;
use satsuma_sql::parse::Parsed;

use super::params::Params;
use super::{ClusterSession, unhurried};
use crate::keypath::{self, KeyStatement};

/// What [`crate::session_api::Prepared::plan`] holds.
pub(super) struct Planned {
    pub parsed: Parsed,
    pub params: Vec<PgType>,
    /// What the client was told of the result.
    columns: Option<Arc<[OutputColumn]>>,
    ready: Mutex<Option<Arc<Ready>>>,
}

/// A statement that can be run, its parameters still open.
pub(super) struct Ready {
    pub bound: Bound,
    pub key: Option<KeyStatement>,
    /// May call `set_config`.
    pub sets_config: bool,
    /// What it was bound on; `None`: on a catalog of the session's own.
    stamp: Option<Stamp>,
    /// Whether it means the same at another time and under other settings.
    lasts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    catalog: u64,
    naming: u64,
}

impl Planned {
    pub fn new(
        parsed: Parsed,
        params: Vec<PgType>,
        columns: Option<Arc<[OutputColumn]>>,
        ready: Ready,
    ) -> Self {
        Self { parsed, params, columns, ready: Mutex::new(Some(Arc::new(ready))) }
    }

    /// Whether it is one of those that run without a plan.
    pub fn is_utility(&self) -> bool {
        let ready = self.ready.lock();
        ready.as_ref().is_some_and(|ready| matches!(ready.bound, Bound::Utility(_)))
    }

    pub fn only_reads(&self) -> SqlResult<bool> {
        let ready = self.ready.lock().clone();
        ready.map_or(Ok(false), |ready| effects::only_reads(&ready.bound))
    }

    /// 0A000 when the result is no longer what the client was told.
    fn check_result(&self, now: Option<&[OutputColumn]>) -> SqlResult<()> {
        let described = |columns: &[OutputColumn]| -> Vec<(String, PgType)> {
            columns.iter().map(|column| (column.name.clone(), column.ty.clone())).collect()
        };
        if self.columns.as_deref().map(described) == now.map(described) {
            return Ok(());
        }
        // Clients that prepare anew then look for the routine: its name is in no language.
        Err(SqlError::unsupported("cached plan must not change result type")
            .routine("RevalidateCachedQuery"))
    }
}

impl ClusterSession {
    /// `None` while the session sees a catalog of its own.
    fn stamp(&self) -> Option<Stamp> {
        if self.has_overlay() {
            return None;
        }
        let catalog = self.cluster.catalog.snapshot().version();
        Some(Stamp { catalog, naming: self.settings.naming() })
    }

    /// Binds a statement, and finds its key path. Answers with the types of its parameters.
    pub(super) fn make_ready(
        &self,
        parsed: &Parsed,
        param_types: Option<&[Option<PgType>]>,
        param_values: &[ScalarValue],
    ) -> SqlResult<(Ready, Vec<PgType>)> {
        let stamp = self.stamp();
        let (bound, params, lasts) = self.bind_lasting(parsed, param_types, param_values)?;
        let key = keypath::recognise(&bound, &params, &self.cluster.programs);
        let sets_config = parsed.text.to_ascii_lowercase().contains("set_config");
        Ok((Ready { bound, key, sets_config, stamp, lasts }, params))
    }

    /// As [`Self::make_ready`], on the newest catalog where the present one does not do.
    pub(super) async fn make_ready_anywhere(
        &mut self,
        parsed: &Parsed,
        param_types: Option<&[Option<PgType>]>,
    ) -> SqlResult<(Ready, Vec<PgType>)> {
        let version = self.cluster.catalog.snapshot().version();
        match unhurried(&parsed.text, || self.make_ready(parsed, param_types, &[])) {
            Err(error) if may_be_behind(&error) && !self.cluster.catalog.is_alone() => {
                self.catch_up().await?;
                if self.cluster.catalog.snapshot().version() == version {
                    return Err(error);
                }
                unhurried(&parsed.text, || self.make_ready(parsed, param_types, &[]))
            }
            made => made,
        }
    }

    /// Whether the catalog has changed since the statement was bound.
    pub(super) fn is_outdated(&self, ready: &Ready) -> bool {
        // What names stand for may have been changed by the statement itself: `set_config`.
        let catalog = |stamp: Option<Stamp>| stamp.map(|stamp| stamp.catalog);
        match (catalog(self.stamp()), catalog(ready.stamp)) {
            (Some(now), Some(bound)) => now != bound,
            _ => false,
        }
    }

    /// The statement as the session would bind it now.
    pub(super) fn ready(
        &self,
        planned: &Planned,
        params: &[Datum],
        result_may_change: bool,
    ) -> SqlResult<Arc<Ready>> {
        let known = planned.ready.lock().clone();
        if let Some(known) = known
            && (matches!(known.bound, Bound::Utility(_))
                || known.lasts && known.stamp.is_some() && known.stamp == self.stamp())
        {
            return Ok(known);
        }
        let params = Params::new(params, &planned.params)?;
        let (ready, _) = self.make_ready(&planned.parsed, Some(params.types()), params.values())?;
        if !result_may_change && !matches!(ready.bound, Bound::Utility(_)) {
            let columns = self.columns_of(&ready.bound, &planned.parsed)?;
            planned.check_result(columns.as_deref())?;
        }
        let ready = Arc::new(ready);
        if ready.lasts && ready.stamp.is_some() {
            *planned.ready.lock() = Some(ready.clone());
        }
        Ok(ready)
    }
}

/// Errors of binding that another catalog may not give: of names, signatures and privileges.
fn may_be_behind(error: &SqlError) -> bool {
    matches!(&error.state().0[..2], b"42" | b"3F")
}
