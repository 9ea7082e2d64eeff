//! A transaction's uncommitted DDL: a private catalog, and the commands that made it.

use std::sync::Arc;

use satsuma_common::{NodeId, ShardId, SqlResult, TableId};

use crate::catalog::{Command, Outcome, State, apply};

/// Applied to the real catalog at commit, all or nothing. Shards that the DDL needs exist at
/// workers before that; shards it does away with exist until after.
#[derive(Clone)]
pub struct Overlay {
    base: u64,
    state: Arc<State>,
    commands: Vec<Command>,
    created: Vec<(NodeId, ShardId)>,
    dropped: Vec<(NodeId, ShardId)>,
    altered: Vec<TableId>,
}

impl Overlay {
    pub fn new(state: Arc<State>) -> Self {
        Self {
            base: state.version(),
            state,
            commands: Vec::new(),
            created: Vec::new(),
            dropped: Vec::new(),
            altered: Vec::new(),
        }
    }

    /// The catalog as this transaction sees it.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Version of the catalog that the overlay was made of.
    pub fn base(&self) -> u64 {
        self.base
    }

    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Shards made at workers for this transaction.
    pub fn created(&self) -> &[(NodeId, ShardId)] {
        &self.created
    }

    /// Shards to drop once the transaction is committed.
    pub fn dropped(&self) -> &[(NodeId, ShardId)] {
        &self.dropped
    }

    /// Applies a command to the private catalog; a refusal changes nothing.
    pub fn apply(&mut self, command: Command) -> SqlResult<Outcome> {
        let mut state = State::clone(&self.state);
        let outcome = apply(&mut state, command.clone()).into_result()?;
        self.state = Arc::new(state);
        self.commands.push(command);
        Ok(outcome)
    }

    /// Tables whose workers know a shape that is not committed.
    pub fn altered(&self) -> &[TableId] {
        &self.altered
    }

    pub fn table_altered(&mut self, table: TableId) {
        self.altered.push(table);
    }

    pub fn shard_created(&mut self, node: NodeId, shard: ShardId) {
        self.created.push((node, shard));
    }

    pub fn shard_dropped(&mut self, node: NodeId, shard: ShardId) {
        self.dropped.push((node, shard));
    }
}
