//! Long work inside one call of plain code: it leaves its thread to others, and ends when its
//! query does.
//!
//! Operators of a plan yield between batches. A function over the rows of one batch is a single
//! call, which nothing can stop from outside, and which keeps a thread from all other tasks for as
//! long as it takes: 100 000 logarithms of `numeric` are a minute and a half. So such calls look
//! up from their work now and then.

use std::any::Any;
use std::sync::Once;
use std::time::{Duration, Instant};

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::future::{BoxFuture, FutureExt};
use satsuma_common::{SqlError, SqlResult, SqlState};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

/// How long the tasks that share the thread are kept waiting.
pub(crate) const TURN: Duration = Duration::from_millis(10);
/// Rows after which the time is looked at, at most.
const MOST_ROWS: usize = 1024;

tokio::task_local! {
    static STOP: CancellationToken;
}

/// Runs a query, whose calls end with 57014 after `stop` was cancelled. DataFusion's tasks for it
/// are among it.
pub async fn stopped_by<T>(stop: CancellationToken, work: impl Future<Output = T>) -> T {
    static TASKS: Once = Once::new();
    TASKS.call_once(|| {
        if set_join_set_tracer(&Inherited).is_err() {
            tracing::warn!("tasks of queries are traced by others: they may stop late");
        }
    });
    STOP.scope(stop, work).await
}

/// The same for plain code.
pub fn call_stopped_by<T>(stop: CancellationToken, work: impl FnOnce() -> T) -> T {
    STOP.sync_scope(stop, work)
}

/// 57014 once nobody waits for the query any more.
pub fn check() -> SqlResult<()> {
    match STOP.try_with(CancellationToken::is_cancelled) {
        Ok(true) => Err(stopped()),
        Ok(false) | Err(_) => Ok(()),
    }
}

/// What ends the query that this is called for, if something can.
pub fn signal() -> Option<CancellationToken> {
    STOP.try_with(CancellationToken::clone).ok()
}

/// The error of a query that nobody waits for.
pub fn stopped() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// Runs what may take long where it keeps no other task of the runtime waiting.
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Calls `work` for each row, however long it takes.
pub fn for_rows(rows: usize, mut work: impl FnMut(usize) -> SqlResult<()>) -> SqlResult<()> {
    let started = Instant::now();
    let mut row = 0;
    let mut pace = Pace::default();
    while row < rows {
        if started.elapsed() >= TURN {
            return apart(|| {
                while row < rows {
                    row = pace.run(row, rows, &mut work)?;
                }
                Ok(())
            });
        }
        row = pace.run(row, rows, &mut work)?;
    }
    Ok(())
}

/// How many rows to take before looking up: few where each takes long.
struct Pace {
    rows: usize,
    looked: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: 1, looked: Instant::now() }
    }
}

impl Pace {
    /// Does a few rows from `row` on, and gives the one to go on with.
    fn run(
        &mut self,
        row: usize,
        rows: usize,
        work: &mut impl FnMut(usize) -> SqlResult<()>,
    ) -> SqlResult<usize> {
        check()?;
        let end = rows.min(row + self.rows);
        for row in row..end {
            work(row)?;
        }
        let now = Instant::now();
        self.rows = match now - self.looked > TURN / 4 {
            true => (self.rows / 2).max(1),
            false => (self.rows * 2).min(MOST_ROWS),
        };
        self.looked = now;
        Ok(end)
    }
}

/// Hands the signal on to the tasks that operators spawn.
struct Inherited;

type Boxed = Box<dyn Any + Send>;

impl JoinSetTracer for Inherited {
    fn trace_future(&self, task: BoxFuture<'static, Boxed>) -> BoxFuture<'static, Boxed> {
        match STOP.try_with(Clone::clone) {
            Ok(stop) => STOP.scope(stop, task).boxed(),
            Err(_) => task,
        }
    }

    fn trace_block(
        &self,
        work: Box<dyn FnOnce() -> Boxed + Send>,
    ) -> Box<dyn FnOnce() -> Boxed + Send> {
        match STOP.try_with(Clone::clone) {
            Ok(stop) => Box::new(move || STOP.sync_scope(stop, work)),
            Err(_) => work,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_turn() {
        for rows in [0, 1, 2, 3, 1000, 5000] {
            let mut seen = Vec::new();
            let all = for_rows(rows, |row| {
                seen.push(row);
                Ok(())
            });
            all.unwrap();
            assert!(seen.into_iter().eq(0..rows));
        }
    }

    /// On one thread: the others wait, or not.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_and_a_signal_stops_it() {
        let stop = CancellationToken::new();
        let work = stopped_by(stop.clone(), async {
            for_rows(100_000, |_| {
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            })
        });
        let (started, long) = (Instant::now(), tokio::spawn(work));
        tokio::task::yield_now().await;
        tokio::spawn(async move { stop.cancel() }).await.unwrap();
        let error = long.await.unwrap().unwrap_err();
        assert_eq!(error.state(), SqlState::QUERY_CANCELED);
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
