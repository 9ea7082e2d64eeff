//! Prepared transactions without an outcome: whoever coordinated them may be gone, so the
//! coordinators are asked. What they answer is durable at their side, so asking twice is safe.
//!
//! First they are only asked: a transaction whose coordinator is still at work on it is left to
//! it. After some patience the question decides, so that a coordinator which hangs holds up nobody
//! for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use satsuma_common::{SqlResult, TxnId};
use satsuma_proto::worker::Outcomes;
use satsuma_storage::Engine;
use tokio::time::Instant;

use crate::error;

/// Questions under way.
const ASKED_AT_ONCE: usize = 32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How often to look.
    pub every: Duration,
    /// How long a prepared transaction is left alone: most have their outcome by then.
    pub quiet: Duration,
    /// How long it is left to a coordinator that says that it is at work on it.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(100),
            quiet: Duration::from_millis(200),
            patience: Duration::from_secs(5),
        }
    }
}

/// What to do about a transaction that has been prepared for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wait,
    /// Ask, and leave open what its coordinator is at work on.
    Ask,
    /// Ask, and abort what is not decided.
    Force,
}

impl Pace {
    fn step(&self, age: Duration) -> Step {
        if age < self.quiet {
            Step::Wait
        } else if age < self.patience {
            Step::Ask
        } else {
            Step::Force
        }
    }
}

/// Runs until dropped. What was prepared before the start is asked for at once.
pub(crate) async fn resolve(
    engine: Arc<Engine>,
    outcomes: impl Fn() -> Option<Arc<dyn Outcomes>>,
    pace: Pace,
) {
    let before = Instant::now().checked_sub(pace.quiet).unwrap_or_else(Instant::now);
    let mut seen: BTreeMap<TxnId, Instant> =
        engine.prepared().into_iter().map(|(txn, _)| (txn, before)).collect();
    loop {
        let prepared: Vec<_> = engine.prepared().into_iter().map(|(txn, _)| txn).collect();
        seen.retain(|txn, _| prepared.binary_search(txn).is_ok());
        let steps = prepared.into_iter().map(|txn| {
            let since = *seen.entry(txn).or_insert_with(Instant::now);
            (txn, pace.step(since.elapsed()))
        });
        let due: Vec<_> = steps.filter(|(_, step)| *step != Step::Wait).collect();
        if let Some(outcomes) = outcomes() {
            // Together: each may have to wait for a coordinator that does not answer.
            let asked = stream::iter(due).for_each_concurrent(ASKED_AT_ONCE, |(txn, step)| {
                let (engine, outcomes) = (&engine, &outcomes);
                async move {
                    if let Err(error) = resolve_one(engine, &**outcomes, txn, step).await {
                        tracing::warn!(%txn, %error, "no outcome yet for a prepared transaction");
                    }
                }
            });
            asked.await;
        }
        tokio::time::sleep(pace.every).await;
    }
}

async fn resolve_one(
    engine: &Arc<Engine>,
    outcomes: &dyn Outcomes,
    txn: TxnId,
    step: Step,
) -> SqlResult<()> {
    let outcome = match step {
        Step::Force => Some(outcomes.outcome(txn).await?),
        Step::Ask | Step::Wait => outcomes.peek_outcome(txn).await?,
    };
    match outcome {
        None => return Ok(()),
        Some(Some(at)) => engine.commit_prepared(txn, at).await,
        Some(None) => engine.abort(txn).await,
    }
    .map_err(error::storage)?;
    tracing::info!(%txn, "outcome of a prepared transaction learned");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_transaction_is_left_alone_then_asked_for_then_decided() {
        let pace = Pace::default();
        assert_eq!(pace.step(Duration::ZERO), Step::Wait);
        assert_eq!(pace.step(pace.quiet), Step::Ask);
        assert_eq!(pace.step(pace.patience), Step::Force);
    }
}
