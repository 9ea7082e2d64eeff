//! The timestamp oracle: moments that order all transactions of the cluster.
//!
//! The Raft leader hands them out: its clock in microseconds, strictly increasing. How far it may
//! go (the ceiling) is in the catalog before it goes there, so that a new leader, which starts
//! above the ceiling, starts above everything that was ever handed out.
//!
//! ```text
//!   alone       timestamp() = one compare-and-swap
//!   leader      waiting callers -> ReadIndex (does a quorum still follow?) -> timestamps
//!   follower    waiting callers -> one RPC -> leader, as above
//! ```
//!
//! With other coordinators in the group every batch is confirmed by a quorum: a deposed leader
//! that has not noticed could otherwise hand out a snapshot that misses what its successor
//! committed. Followers never keep timestamps for later for the same reason.
//!
//! A timestamp comes with the version of the catalog that was committed before it, and is given to
//! nobody before this coordinator knows that version: what was defined through another coordinator
//! is there for every statement that begins later.

mod issuer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use issuer::Issuer;
use satsuma_common::{SqlError, SqlResult, SqlState, Timestamp};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use crate::catalog::Command;
use crate::raft::{Catalog, Leadership, TimestampReply, TimestampRequest};

/// How far ahead of need the ceiling is raised, in microseconds.
const WINDOW: u64 = 10_000_000;
/// A timestamp this far beyond the clock cannot come from this oracle, in microseconds.
const MAX_AHEAD: u64 = 3_600_000_000;
/// Callers whose timestamps may travel together, and that may wait.
const MAX_BATCH: usize = 1024;
/// Without a leader for this long, give up.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

/// Microseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2)
    })
}

/// Handle to the oracle; clones share it.
#[derive(Clone)]
pub struct Oracle(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    clock: Clock,
    issuer: Issuer,
    /// Term in which this coordinator, as leader, has opened the issuer.
    term: Mutex<Option<u64>>,
    /// Highest timestamp that is known to be below the leader's next.
    seen: AtomicU64,
    /// The ceiling comes near.
    low: Notify,
    asks: mpsc::Sender<Ask>,
}

/// One caller of a coordinator that is not alone.
struct Ask {
    observe: Timestamp,
    answer: oneshot::Sender<SqlResult<Timestamp>>,
}

impl Oracle {
    /// Starts the oracle of a coordinator. Must be called within a tokio runtime.
    pub fn start(catalog: Catalog, clock: Clock) -> Self {
        let (asks, asked) = mpsc::channel(MAX_BATCH);
        let oracle = Self(Arc::new(Inner {
            catalog,
            clock,
            issuer: Issuer::default(),
            term: Mutex::new(None),
            seen: AtomicU64::new(0),
            low: Notify::new(),
            asks,
        }));
        tokio::spawn(answer(Arc::downgrade(&oracle.0), asked));
        tokio::spawn(keep_ahead(Arc::downgrade(&oracle.0)));
        oracle
    }

    /// A timestamp at once, if this coordinator is alone: no wait, no disk, no lock. Call
    /// [`Oracle::timestamp`] when there is none.
    pub fn try_timestamp(&self) -> Option<Timestamp> {
        if !self.0.catalog.is_alone() {
            return None;
        }
        let now = (self.0.clock)();
        let issued = self.0.issuer.issue(now, 1)?;
        if self.0.issuer.ceiling().saturating_sub(issued.0) < WINDOW / 2 {
            self.0.low.notify_one();
        }
        Some(issued)
    }

    /// A timestamp above all that were handed out or observed before this call, anywhere.
    pub async fn timestamp(&self) -> SqlResult<Timestamp> {
        if let Some(issued) = self.try_timestamp() {
            return Ok(issued);
        }
        self.ask(Timestamp(0)).await
    }

    /// A worker committed at `seen`: from now on every timestamp of the cluster is above it.
    pub async fn observe(&self, seen: Timestamp) -> SqlResult<()> {
        if self.0.catalog.is_alone() && seen.0 <= self.0.issuer.ceiling() {
            self.0.issuer.observe(seen);
            return Ok(());
        }
        if !self.0.catalog.is_alone() && seen.0 <= self.0.seen.load(Ordering::Acquire) {
            return Ok(());
        }
        self.ask(seen).await.map(|_| ())
    }

    async fn ask(&self, observe: Timestamp) -> SqlResult<Timestamp> {
        self.0.catalog.check_member()?;
        let (answer, answered) = oneshot::channel();
        self.0.asks.send(Ask { observe, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Serves another coordinator. 57P03 unless this one leads.
    pub async fn serve(&self, request: TimestampRequest) -> SqlResult<TimestampReply> {
        if request.count as usize > MAX_BATCH {
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, "too many timestamps"));
        }
        self.0.lead(request).await
    }
}

impl Inner {
    /// Hands out timestamps as the leader, once it is sure to be.
    async fn lead(&self, request: TimestampRequest) -> SqlResult<TimestampReply> {
        self.check_observed(request.observe)?;
        let term = self.open().await?;
        loop {
            let catalog = self.catalog.read().await?.version();
            if self.leading_term() != Some(term) {
                return Err(not_leader());
            }
            if request.observe.0 <= self.issuer.ceiling() {
                self.issuer.observe(request.observe);
                if let Some(first) = self.issuer.issue((self.clock)(), request.count) {
                    return Ok(TimestampReply { first, catalog });
                }
            }
            self.raise(request.observe.0 + u64::from(request.count)).await?;
        }
    }

    fn leading_term(&self) -> Option<u64> {
        let leadership = self.catalog.leadership();
        leadership.is_self.then_some(leadership.term)
    }

    /// Opens the issuer for the present term, above everything that an earlier leader may have
    /// handed out.
    async fn open(&self) -> SqlResult<u64> {
        let term = self.leading_term().ok_or_else(not_leader)?;
        let mut opened = self.term.lock().await;
        if *opened == Some(term) {
            return Ok(term);
        }
        self.issuer.close();
        *opened = None;
        // All that earlier leaders committed, ceilings included, is in this state.
        let state = self.catalog.read().await?;
        self.issuer.observe(state.timestamp_ceiling());
        self.raise(0).await?;
        if self.leading_term() != Some(term) {
            self.issuer.close();
            return Err(not_leader());
        }
        *opened = Some(term);
        Ok(term)
    }

    /// Raises the ceiling to a window above the clock, the last timestamp and `need`.
    async fn raise(&self, need: u64) -> SqlResult<()> {
        let from = (self.clock)().max(self.issuer.last()).max(need);
        let ceiling = from.saturating_add(WINDOW);
        let ceiling = Timestamp(ceiling);
        self.catalog.propose(Command::RaiseTimestampCeiling { ceiling }).await?;
        self.issuer.raise(ceiling.0);
        Ok(())
    }

    /// A broken worker must not push the clock of the cluster into the far future.
    fn check_observed(&self, seen: Timestamp) -> SqlResult<()> {
        let newest = (self.clock)().max(self.issuer.last()).max(self.issuer.ceiling());
        if seen.0 > newest.saturating_add(MAX_AHEAD) {
            return Err(SqlError::internal(format!(
                "commit timestamp {seen} is in the far future"
            )));
        }
        Ok(())
    }

    async fn ask_leader(
        &self,
        leadership: Leadership,
        request: TimestampRequest,
    ) -> SqlResult<TimestampReply> {
        match leadership.leader {
            _ if leadership.is_self => self.lead(request).await,
            Some(leader) => {
                let reply = self.catalog.peers().timestamps(leader, request).await;
                reply
                    .map_err(|error| SqlError::new(SqlState::CANNOT_CONNECT_NOW, error.to_string()))
            }
            None => Err(not_leader()),
        }
    }

    /// The first timestamp of a batch, once the catalog that it belongs to is known here.
    async fn fetch_known(&self, request: TimestampRequest) -> SqlResult<Timestamp> {
        let TimestampReply { first, catalog } = self.fetch(request).await?;
        let mut versions = self.catalog.versions();
        let known = versions.wait_for(|version| *version >= catalog);
        match tokio::time::timeout(PATIENCE, known).await {
            Ok(Ok(_)) => Ok(first),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(SqlError::new(
                SqlState::CANNOT_CONNECT_NOW,
                "this coordinator does not keep up with the others",
            )),
        }
    }

    /// Timestamps for a batch of callers, from wherever the leader is.
    async fn fetch(&self, request: TimestampRequest) -> SqlResult<TimestampReply> {
        let deadline = Instant::now() + PATIENCE;
        let mut leaders = self.catalog.watch_leadership();
        loop {
            let leadership = *leaders.borrow_and_update();
            let outcome = tokio::select! {
                outcome = self.ask_leader(leadership, request) => outcome,
                // Whoever was asked does not lead any more, and may never answer.
                Ok(()) = leaders.changed() => Err(not_leader()),
            };
            match outcome {
                Err(error)
                    if error.state() == SqlState::CANNOT_CONNECT_NOW
                        && Instant::now() < deadline
                        && !self.catalog.leadership().is_cut_off =>
                {
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// Answers callers in batches: whoever waits while one is under way shares the next.
async fn answer(inner: std::sync::Weak<Inner>, mut asked: mpsc::Receiver<Ask>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while asked.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let Some(inner) = inner.upgrade() else { return };
        let observe = batch.iter().map(|ask| ask.observe).max().unwrap_or_default();
        let request = TimestampRequest { count: batch.len() as u32, observe };
        match inner.fetch_known(request).await {
            Ok(first) => {
                let last = first.0 + batch.len() as u64 - 1;
                inner.seen.fetch_max(last, Ordering::AcqRel);
                for (ask, timestamp) in batch.drain(..).zip(first.0..) {
                    let _ = ask.answer.send(Ok(Timestamp(timestamp)));
                }
            }
            Err(error) => {
                for ask in batch.drain(..) {
                    let _ = ask.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Raises the ceiling before it is reached, while timestamps are asked for.
async fn keep_ahead(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let wait = tokio::time::timeout(Duration::from_secs(1), strong.low.notified()).await;
        if wait.is_ok()
            && strong.leading_term().is_some()
            && let Err(error) = strong.raise(0).await
        {
            tracing::warn!(%error, "cannot raise the timestamp ceiling");
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn not_leader() -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the coordinators have no leader")
}

fn stopped() -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the timestamp oracle is shutting down")
}
