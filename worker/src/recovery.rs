//! Prepared transactions without an outcome: whoever coordinated them may be gone, so the
//! coordinators are asked. What they answer is durable at their side, so asking twice is safe.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{SqlResult, TxnId};
use satsuma_proto::worker::Outcomes;
use satsuma_storage::Engine;
use tokio::time::Instant;

use crate::error;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How often to look.
    pub every: Duration,
    /// How long a prepared transaction is left to its coordinator.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { every: Duration::from_millis(500), patience: Duration::from_secs(3) }
    }
}

/// Runs until dropped. What was prepared before the start is asked for at once.
pub(crate) async fn resolve(
    engine: Arc<Engine>,
    outcomes: impl Fn() -> Option<Arc<dyn Outcomes>>,
    pace: Pace,
) {
    let long_ago = Instant::now().checked_sub(pace.patience).unwrap_or_else(Instant::now);
    let mut seen: BTreeMap<TxnId, Instant> =
        engine.prepared().into_iter().map(|(txn, _)| (txn, long_ago)).collect();
    loop {
        let prepared: Vec<_> = engine.prepared().into_iter().map(|(txn, _)| txn).collect();
        seen.retain(|txn, _| prepared.contains(txn));
        for txn in prepared {
            let since = *seen.entry(txn).or_insert_with(Instant::now);
            if since.elapsed() < pace.patience {
                continue;
            }
            let Some(outcomes) = outcomes() else { break };
            if let Err(error) = resolve_one(&engine, &*outcomes, txn).await {
                tracing::warn!(%txn, %error, "no outcome yet for a prepared transaction");
            }
        }
        tokio::time::sleep(pace.every).await;
    }
}

async fn resolve_one(engine: &Arc<Engine>, outcomes: &dyn Outcomes, txn: TxnId) -> SqlResult<()> {
    match outcomes.outcome(txn).await? {
        Some(at) => engine.commit_prepared(txn, at).await,
        None => engine.abort(txn).await,
    }
    .map_err(error::storage)?;
    tracing::info!(%txn, "outcome of a prepared transaction learned");
    Ok(())
}
