//! Sequence values at one coordinator: blocks from the catalog, handed out one by one.
//!
//! Sessions share a block, so values come in order as long as one coordinator serves the
//! sequence. What is left of a block when the coordinator stops is a gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::{SequenceId, SqlError, SqlResult};

use crate::catalog::{Command, Outcome, SequenceBlock};
use crate::raft::Catalog;
use crate::waiting::wait_for;

/// Values taken from the catalog at a time.
const BLOCK: u64 = 32;

pub struct Sequences {
    catalog: Catalog,
    blocks: Mutex<BTreeMap<SequenceId, Block>>,
}

struct Block {
    block: SequenceBlock,
    used: u64,
}

impl Sequences {
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, blocks: Mutex::default() }
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

    /// `nextval`.
    pub async fn next(&self, sequence: SequenceId) -> SqlResult<i64> {
        loop {
            if let Some(value) = self.take(sequence) {
                return Ok(value);
            }
            let cached = self.catalog.snapshot().sequence(sequence).map_or(1, |found| found.cache);
            let count = BLOCK.max(u64::try_from(cached).unwrap_or(1));
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
                        blocks.insert(sequence, Block { block, used: 0 });
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
