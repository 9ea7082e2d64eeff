//! Sequence values at one coordinator: blocks from the catalog, handed out one by one.
//!
//! Sessions share a block, so values come in order as long as one coordinator serves the
//! sequence. What is left of a block when the coordinator stops is a gap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_common::{SequenceId, SqlError, SqlResult};

use crate::catalog::{Command, Outcome, Position, SequenceBlock, State, allocate};
use crate::raft::Catalog;
use crate::waiting::wait_for;

/// Values taken from the catalog at a time: what is left of them at a stop is a gap.
const BLOCK: u64 = 32;
/// While blocks last for less than this, each is twice as long as the one before.
const SHORT: Duration = Duration::from_secs(1);
const LONGEST_BLOCK: u64 = 1024;

pub struct Sequences {
    catalog: Catalog,
    blocks: Mutex<BTreeMap<SequenceId, Block>>,
}

struct Block {
    block: SequenceBlock,
    used: u64,
    since: Instant,
}

impl Sequences {
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, blocks: Mutex::default() }
    }

    /// The catalog without anybody's uncommitted definitions.
    pub fn committed(&self) -> Arc<State> {
        self.catalog.snapshot()
    }

    /// The next value, from the present block if it is still valid.
    fn take(&self, sequence: SequenceId) -> Option<i64> {
        let state = self.catalog.snapshot();
        let epoch = state.sequence_position(sequence)?.epoch;
        let mut blocks = self.blocks.lock();
        let block = blocks.get_mut(&sequence).filter(|block| block.block.epoch == epoch)?;
        let value = block.block.value(block.used)?;
        block.used += 1;
        Some(value)
    }

    /// Whether so many values are left of the present block.
    pub fn has(&self, sequence: SequenceId, count: u64) -> bool {
        let blocks = self.blocks.lock();
        blocks.get(&sequence).is_some_and(|held| held.block.count - held.used >= count)
    }

    /// Where the sequence stands: at the last value of the last block that was handed out or, if
    /// this coordinator has that block, at the last value that was drawn from it.
    pub fn at(&self, sequence: SequenceId) -> Option<Position> {
        let position = self.catalog.snapshot().sequence_position(sequence)?;
        let blocks = self.blocks.lock();
        let drawn = blocks.get(&sequence).and_then(|Block { block, used, .. }| {
            let is_last = block.epoch == position.epoch
                && block.value(block.count.checked_sub(1)?) == Some(position.last_value);
            block.value(used.checked_sub(1)?).filter(|_| is_last)
        });
        Some(Position { last_value: drawn.unwrap_or(position.last_value), ..position })
    }

    /// How many values to take after the present block.
    fn block_length(&self, sequence: SequenceId) -> u64 {
        match self.blocks.lock().get(&sequence) {
            Some(last) if last.since.elapsed() < SHORT => {
                (2 * last.block.count).clamp(BLOCK, LONGEST_BLOCK)
            }
            _ => BLOCK,
        }
    }

    /// `nextval`.
    pub async fn next(&self, sequence: SequenceId) -> SqlResult<i64> {
        loop {
            if let Some(value) = self.take(sequence) {
                return Ok(value);
            }
            let cached = self.catalog.snapshot().sequence(sequence).map_or(1, |found| found.cache);
            let count = self.block_length(sequence).max(u64::try_from(cached).unwrap_or(1));
            let command = Command::AllocateSequence { sequence, count };
            match self.catalog.propose(command).await?.into_result()? {
                Outcome::Sequence(block) => {
                    let mut blocks = self.blocks.lock();
                    // Two sessions may have asked at once: the rest of the other's block is a
                    // gap unless it is the older one, which is used up first.
                    let keep = blocks.get(&sequence).is_some_and(|present| {
                        present.block.epoch == block.epoch && present.used < present.block.count
                    });
                    if keep {
                        if let Some(value) = block.value(0) {
                            return Ok(value);
                        }
                    } else {
                        blocks.insert(sequence, Block { block, used: 0, since: Instant::now() });
                    }
                }
                _ => return Err(SqlError::internal("the catalog did not answer with a block")),
            }
        }
    }

    /// `nextval` for callers that cannot wait asynchronously.
    pub fn next_blocking(self: &Arc<Self>, sequence: SequenceId) -> SqlResult<i64> {
        match self.take(sequence) {
            Some(value) => Ok(value),
            None => {
                let sequences = self.clone();
                wait_for(async move { sequences.next(sequence).await })
            }
        }
    }

    /// `setval`: blocks handed out before are void.
    pub fn set_blocking(
        self: &Arc<Self>,
        sequence: SequenceId,
        value: i64,
        is_called: bool,
    ) -> SqlResult<i64> {
        let sequences = self.clone();
        wait_for(async move {
            let command = Command::SetSequence { sequence, value, is_called };
            sequences.catalog.propose(command).await?.into_result()?;
            Ok(value)
        })
    }
}

/// Sequences that a transaction has made or started over and not committed: it alone draws from
/// them, and where they stand is told to the catalog at commit.
#[derive(Clone, Debug, Default)]
pub struct PrivateSequences(Arc<Mutex<BTreeMap<SequenceId, Position>>>);

impl PrivateSequences {
    /// `nextval` on the transaction's own catalog; `None` when the sequence is not private.
    pub fn next(&self, own: &State, committed: &State, id: SequenceId) -> Option<SqlResult<i64>> {
        let sequence = own.sequence(id)?;
        let mut positions = self.0.lock();
        let position = Self::position(&mut positions, own, committed, id)?;
        let block = match allocate(sequence, position, 1) {
            Ok(block) => block,
            Err(rejection) => return Some(Err(rejection.into())),
        };
        block.value(0).map(Ok)
    }

    /// `setval`; `false` when the sequence is not private.
    pub fn set(
        &self,
        (own, committed): (&State, &State),
        id: SequenceId,
        value: i64,
        is_called: bool,
    ) -> bool {
        let mut positions = self.0.lock();
        match Self::position(&mut positions, own, committed, id) {
            Some(position) => {
                (position.last_value, position.is_called) = (value, is_called);
                true
            }
            None => false,
        }
    }

    /// Where a private sequence stands.
    pub fn at(&self, own: &State, committed: &State, id: SequenceId) -> Option<Position> {
        Self::position(&mut self.0.lock(), own, committed, id).copied()
    }

    fn position<'a>(
        positions: &'a mut BTreeMap<SequenceId, Position>,
        own: &State,
        committed: &State,
        id: SequenceId,
    ) -> Option<&'a mut Position> {
        let defined = own.sequence_position(id)?;
        if committed.sequence_position(id).is_some_and(|known| known.epoch >= defined.epoch) {
            return None;
        }
        let position = positions.entry(id).or_insert(defined);
        if position.epoch != defined.epoch {
            *position = defined;
        }
        Some(position)
    }

    /// What the catalog must hear at commit.
    pub fn commands(&self, own: &State) -> Vec<Command> {
        let positions = self.0.lock();
        let stands = |(id, position): (&SequenceId, &Position)| {
            let defined = own.sequence_position(*id)?;
            (defined.epoch == position.epoch && defined != *position).then_some(
                Command::SetSequence {
                    sequence: *id,
                    value: position.last_value,
                    is_called: position.is_called,
                },
            )
        };
        positions.iter().filter_map(stands).collect()
    }
}
