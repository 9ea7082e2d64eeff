//! A transaction's uncommitted DDL: a private catalog, and the commands that made it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use satsuma_common::table::TableShape;
use satsuma_common::{NodeId, Oid, ShardId, SqlResult, TableId};

use crate::catalog::{Command, Outcome, Shared, State, apply};

/// Applied to the real catalog at commit, all or nothing. Shards that the DDL needs exist at
/// workers before that; shards it does away with exist until after.
#[derive(Clone)]
pub struct Overlay {
    /// The catalog that it was made of.
    base: Arc<State>,
    state: Arc<State>,
    commands: Vec<Command>,
    created: Vec<(NodeId, ShardId)>,
    dropped: Vec<(NodeId, ShardId)>,
    /// The shape that the workers know, of tables where that is not the base's. An index changes
    /// a shape without a new version.
    told: BTreeMap<TableId, Shared<TableShape>>,
}

impl Overlay {
    pub fn new(state: Arc<State>) -> Self {
        Self {
            base: state.clone(),
            state,
            commands: Vec::new(),
            created: Vec::new(),
            dropped: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// The catalog as this transaction sees it.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Version of the catalog that the overlay was made of.
    pub fn base(&self) -> u64 {
        self.base.version()
    }

    /// Labels that the transaction has added to enum types.
    pub fn new_labels(&self) -> BTreeSet<(Oid, String)> {
        if !self.commands.iter().any(|command| matches!(command, Command::AlterEnum(_))) {
            return BTreeSet::new();
        }
        let mut types: BTreeMap<Oid, Vec<String>> =
            self.base.enums().map(|ty| (ty.oid, ty.labels.clone())).collect();
        let mut new = BTreeSet::new();
        for command in &self.commands {
            let (Command::CreateEnum(ty) | Command::AlterEnum(ty)) = command else { continue };
            let before = types.insert(ty.oid, ty.labels.clone());
            // A renamed label is as old as it was.
            let added = before.filter(|before| before.len() < ty.labels.len());
            let added = added.map(|before| ty.labels.iter().filter(move |it| !before.contains(it)));
            new.extend(added.into_iter().flatten().map(|label| (ty.oid, label.clone())));
        }
        new
    }

    /// Whether the transaction has made this table.
    pub fn is_new(&self, table: TableId) -> bool {
        self.base.table(table).is_none() && self.state.table(table).is_some()
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

    /// Makes the overlay of a newer catalog. Refused when that has changed an object which the
    /// commands touch.
    pub fn rebase(&mut self, base: Arc<State>) -> SqlResult<()> {
        if base.version() == self.base.version() {
            return Ok(());
        }
        let state = if self.commands.is_empty() {
            base.clone()
        } else {
            let mut state = State::clone(&base);
            let commands = self.commands.clone();
            apply(&mut state, Command::Batch { base: self.base.version(), commands })
                .into_result()?;
            Arc::new(state)
        };
        self.base = base;
        self.state = state;
        Ok(())
    }

    /// A table's shape as its workers know it.
    pub fn told_shape(&self, table: TableId) -> Option<&TableShape> {
        let base = || self.base.table(table).map(|table| &*table.shape);
        self.told.get(&table).map(|shape| &**shape).or_else(base)
    }

    /// The workers know the present shape of the table.
    pub fn table_told(&mut self, table: TableId) {
        if let Some(table) = self.state.table(table) {
            self.told.insert(table.id(), table.shape.clone());
        }
    }

    /// The workers know this shape of its table.
    pub fn shape_told(&mut self, shape: Shared<TableShape>) {
        self.told.insert(shape.table, shape);
    }

    /// Tables whose workers know another shape than the present one.
    pub fn untold(&self) -> Vec<TableId> {
        self.state
            .tables_changed_since(&self.base)
            .filter(|table| self.told_shape(table.id()) != Some(&*table.shape))
            .map(|table| table.id())
            .collect()
    }

    /// Tables whose workers know a shape that is not committed: altered ones, and new ones.
    pub fn told(&self) -> impl Iterator<Item = TableId> + '_ {
        self.told.keys().copied()
    }

    pub fn shard_created(&mut self, node: NodeId, shard: ShardId) {
        self.created.push((node, shard));
    }

    pub fn shard_dropped(&mut self, node: NodeId, shard: ShardId) {
        self.dropped.push((node, shard));
    }
}
