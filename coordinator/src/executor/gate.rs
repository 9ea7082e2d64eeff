//! The order in which transactions come to the shards of a table.
//!
//! Whoever locks several shards of a table, or rows in them, does it in one order: by the worker
//! that has them, and there by group. So definitions and statements never wait for each other.
//!
//! - Few groups are gone to one after the other.
//! - New rows go to many at once, behind a lock of the first: whoever has that one, or waits for
//!   it, is in nobody's way at the others.
//! - Changes of rows that are there would meet others' at many, whichever come first where. They
//!   lock all shards before, so that one at a time goes on, until its transaction ends (Citus has
//!   the same rule).

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{GroupId, NodeId, SqlError, SqlResult, TableId};
use satsuma_proto::worker::{
    GroupRef, LockRequest, LockTarget, LockWait, RowLockMode, ShardLocks, TableLockMode,
};

use super::Scope;
use crate::catalog::{Group, Table};
use crate::txn::Transaction;

/// Up to so many groups are gone to in turn: that takes no longer than a lock of the first.
pub const FEW: usize = 2;

/// When it is a group's turn.
pub fn turn(group: &Group) -> (Option<NodeId>, GroupId) {
    (group.finalized().next(), group.id)
}

/// The way of a statement to shards of one table.
pub struct Gate<'a> {
    pub scope: &'a Scope,
    pub txn: &'a mut Transaction,
    pub table: &'a Table,
}

impl Gate<'_> {
    /// Before new rows go to many groups at once. Also locks what the rows refer to, where that
    /// is first locked.
    pub async fn first(&mut self, groups: &BTreeSet<GroupId>) -> SqlResult<()> {
        let targets: BTreeSet<TableId> =
            self.table.shape.foreign_keys.iter().map(|key| key.target).collect();
        let state = self.scope.state.clone();
        for target in targets.into_iter().filter(|target| *target != self.table.id()) {
            let Some(target) = state.table(target) else { continue };
            let same = target.shards().iter().any(|shard| groups.contains(&shard.group));
            let of_target = target.shards().iter().map(|shard| shard.group);
            let groups = of_target.filter(|group| !same || groups.contains(group)).collect();
            let mode = TableLockMode::RowShare;
            Gate { scope: self.scope, txn: &mut *self.txn, table: target }
                .lock(&groups, 1, mode, None)
                .await?;
        }
        self.lock(groups, 1, TableLockMode::RowExclusive, None).await
    }

    /// Before rows that are there are changed in many groups at once.
    pub async fn alone(&mut self, groups: &BTreeSet<GroupId>) -> SqlResult<()> {
        let mode = TableLockMode::RowExclusive;
        self.lock(groups, usize::MAX, mode, Some(RowLockMode::Update)).await
    }

    /// Before rows are written that come one after the other, to whatever group.
    pub async fn all(&mut self, groups: &BTreeSet<GroupId>) -> SqlResult<()> {
        self.lock(groups, usize::MAX, TableLockMode::RowExclusive, None).await
    }

    /// Locks the first `most` of these, with one message to each worker that has some.
    async fn lock(
        &mut self,
        groups: &BTreeSet<GroupId>,
        most: usize,
        mode: TableLockMode,
        all_rows: Option<RowLockMode>,
    ) -> SqlResult<()> {
        let tables = BTreeMap::from([(self.table.id(), self.table.shape.version)]);
        let groups = groups.iter().map(|group| self.scope.group(*group));
        let mut groups = groups.collect::<SqlResult<Vec<_>>>()?;
        groups.sort_unstable_by_key(|group| turn(group));
        groups.truncate(most);
        for of_worker in groups.chunk_by(|a, b| turn(a).0 == turn(b).0) {
            let refs = of_worker.iter().map(|group| self.scope.group_ref(group, &tables));
            let mut others = refs.collect::<SqlResult<Vec<GroupRef>>>()?;
            let group = others.remove(0);
            let node = turn(of_worker[0]).0;
            let node = node
                .ok_or_else(|| SqlError::internal(format!("group {} has no copy", group.group)))?;
            let worker = self.scope.worker(node)?;
            self.txn.touch_to_lock(node, &worker);
            let request = LockRequest {
                context: self.scope.statement.clone(),
                group,
                table: self.table.id(),
                target: LockTarget::Shards(ShardLocks { others, mode, all_rows }),
                wait: LockWait::Wait,
                limit: None,
                skip_deleted: false,
                in_turn: false,
            };
            worker.lock(request).await?;
        }
        Ok(())
    }
}
