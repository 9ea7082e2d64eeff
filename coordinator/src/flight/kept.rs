//! Results of statements that have run already and wait to be fetched.
//!
//! A statement that changes something runs when a client asks for its FlightInfo: stock drivers
//! count on that, and may never fetch what it gave. Its ticket fetches the result, once. What
//! nobody fetches is forgotten, the oldest first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_common::{SqlError, SqlResult, SqlState};

use super::run::Finished;

/// Results that may wait.
const MOST: usize = 1000;
/// Bytes of rows that may wait. The newest result waits whatever its size.
const MOST_BYTES: usize = 64 << 20;
/// How long a result waits.
const PATIENCE: Duration = Duration::from_secs(300);

pub type ResultId = [u8; 16];

struct Waiting {
    id: ResultId,
    finished: Finished,
    bytes: usize,
    since: Instant,
}

#[derive(Default)]
pub struct Kept(Mutex<VecDeque<Waiting>>);

impl Kept {
    pub fn put(&self, id: ResultId, finished: Finished) {
        let bytes = finished.batches.iter().map(|batch| batch.get_array_memory_size()).sum();
        let mut waiting = self.0.lock();
        waiting.push_back(Waiting { id, finished, bytes, since: Instant::now() });
        let mut total: usize = waiting.iter().map(|waiting| waiting.bytes).sum();
        while waiting.len() > 1
            && let Some(oldest) = waiting.front()
            && (waiting.len() > MOST || total > MOST_BYTES || oldest.since.elapsed() > PATIENCE)
        {
            total -= oldest.bytes;
            waiting.pop_front();
        }
    }

    pub fn take(&self, id: ResultId) -> SqlResult<Finished> {
        let mut waiting = self.0.lock();
        let found = waiting.iter().position(|waiting| waiting.id == id);
        let found = found.and_then(|at| waiting.remove(at));
        found.map(|waiting| waiting.finished).ok_or_else(|| {
            SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "the statement's result is gone",
            )
            .detail("The statement has run. Its result is handed out once, within five minutes.")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::Schema;

    use super::super::run::Report;
    use super::*;

    fn finished() -> Finished {
        Finished { schema: Arc::new(Schema::empty()), batches: vec![], report: Report::default() }
    }

    #[test]
    fn a_result_is_fetched_once_and_forgotten_when_others_come() {
        let kept = Kept::default();
        kept.put([1; 16], finished());
        kept.put([2; 16], finished());
        assert!(kept.take([2; 16]).is_ok());
        assert_eq!(
            kept.take([2; 16]).err().map(|e| e.state().as_str().to_owned()),
            Some("55000".into())
        );
        for _ in 0..MOST {
            kept.put([3; 16], finished());
        }
        assert!(kept.take([1; 16]).is_err());
    }
}
