//! The order in which a statement comes to the shards of a table.
//!
//! Definitions lock a table's shard groups one after the other, by their ids; statements go to all
//! of theirs at once. So that these do not wait for each other, a statement that goes to several
//! groups waits at the first of them before it goes to the rest. Statements that change rows of
//! several groups, whichever come first where, would also wait for each other's rows: one at a time
//! passes, until its transaction ends (Citus has the same rule).

use satsuma_common::{SqlResult, TableId};
use satsuma_proto::worker::{
    GroupRef, LockRequest, LockTarget, LockWait, RowLockMode, TableLockMode,
};

use super::Scope;
use crate::txn::Transaction;

/// Who passes beside others of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// New rows, which nobody else waits for.
    Shared,
    /// Changes of rows that are there.
    OneByOne,
}

/// The key of no row.
const NO_ROW: Vec<u8> = Vec::new();

/// Where to wait before going to all of these groups; `None` if there is only one.
pub fn before<'a>(groups: impl IntoIterator<Item = &'a GroupRef>) -> Option<GroupRef> {
    let mut groups = groups.into_iter();
    let mut first = groups.next()?;
    let mut are_several = false;
    for group in groups {
        are_several |= group.group != first.group;
        if group.group < first.group {
            first = group;
        }
    }
    are_several.then(|| first.clone())
}

/// Waits at the table's shard in the group.
pub async fn pass(
    gate: Gate,
    scope: &Scope,
    txn: &mut Transaction,
    table: TableId,
    group: GroupRef,
) -> SqlResult<()> {
    let Some(node) = scope.group(group.group)?.finalized().next() else { return Ok(()) };
    let worker = scope.worker(node)?;
    txn.touch_to_lock(node, &worker);
    let request = LockRequest {
        context: scope.statement.clone(),
        group,
        table,
        target: match gate {
            Gate::Shared => LockTarget::Shard(TableLockMode::RowExclusive),
            Gate::OneByOne => LockTarget::Rows(vec![NO_ROW], RowLockMode::Update),
        },
        wait: LockWait::Wait,
        limit: None,
        skip_deleted: false,
    };
    worker.lock(request).await.map(drop)
}
