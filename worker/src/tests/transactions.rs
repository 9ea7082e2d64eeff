use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{SqlError, SqlResult, SqlState, Timestamp, TxnId};
use satsuma_proto::worker::{
    LockRequest, LockTarget, LockWait, Membership, Outcomes, Registration, RowLockMode, TxnAction,
    Worker,
};

use tokio_util::sync::CancellationToken;

use super::fixture::*;
use crate::LocalWorker;
use crate::recovery::{Pace, resolve};

both_ways! {
    nothing_is_seen_before_the_commit
    statements_and_savepoints_are_undone
    two_phases_commit_or_abort
    a_participant_that_wrote_nothing_commits
    a_reader_waits_for_a_prepared_transaction
    row_locks_wait_skip_or_fail
    a_cancelled_wait_holds_up_nobody
}

async fn nothing_is_seen_before_the_commit(f: &Fixture) {
    let first = f.begin();
    f.modify(&first, G1, CAMPAIGNS, insert(campaign_rows(&[(1, 10, "red")])), false).await.unwrap();
    assert!(f.all(CAMPAIGNS, &[G1]).await.is_empty());
    let second = f.next(&first);
    let own = f.rows_in(&second, &scan_names(), &[G1]).await.unwrap();
    assert_eq!(own, ["red"]);
    let before = f.begin();
    let at = f.worker.transact(first.txn, TxnAction::CommitOnePhase(f.now())).await.unwrap();
    f.observe(at.timestamp.unwrap());
    assert_eq!(f.all(CAMPAIGNS, &[G1]).await, ["1|10|red"]);
    // A snapshot from before the commit does not see it now either.
    assert!(f.rows_in(&before, &scan_names(), &[G1]).await.unwrap().is_empty());
}

fn scan_names() -> datafusion::logical_expr::LogicalPlan {
    use datafusion::logical_expr::{LogicalPlanBuilder, col};
    let plan = LogicalPlanBuilder::from(scan(CAMPAIGNS)).project(vec![col("name")]);
    plan.unwrap().build().unwrap()
}

async fn statements_and_savepoints_are_undone(f: &Fixture) {
    let mut context = f.begin();
    for id in 1..=4 {
        let row = insert(campaign_rows(&[(1, id, "x")]));
        f.modify(&context, G1, CAMPAIGNS, row, false).await.unwrap();
        context = f.next(&context);
    }
    f.worker.transact(context.txn, TxnAction::UndoStatement(4)).await.unwrap();
    f.worker.transact(context.txn, TxnAction::RollbackTo(2)).await.unwrap();
    let at = f.worker.transact(context.txn, TxnAction::CommitOnePhase(f.now())).await.unwrap();
    f.observe(at.timestamp.unwrap());
    assert_eq!(f.all(CAMPAIGNS, &[G1]).await, ["1|1|x", "1|2|x"]);
}

/// Rows in both groups, prepared.
async fn prepared(f: &Fixture, id: i64) -> (TxnId, Timestamp) {
    let context = f.begin();
    f.modify(&context, G1, CAMPAIGNS, insert(campaign_rows(&[(1, id, "p")])), false).await.unwrap();
    f.modify(&context, G2, CAMPAIGNS, insert(campaign_rows(&[(2, id, "p")])), false).await.unwrap();
    let reply = f.worker.transact(context.txn, TxnAction::Prepare).await.unwrap();
    (context.txn, reply.timestamp.unwrap())
}

async fn two_phases_commit_or_abort(f: &Fixture) {
    let (txn, lowest) = prepared(f, 1).await;
    assert_eq!(f.worker.status().await.unwrap().prepared, [txn]);
    f.worker.transact(txn, TxnAction::Commit(lowest)).await.unwrap();
    f.observe(lowest);
    // A repeated message changes nothing.
    f.worker.transact(txn, TxnAction::Commit(lowest)).await.unwrap();
    let (txn, _) = prepared(f, 2).await;
    f.worker.transact(txn, TxnAction::Abort).await.unwrap();
    f.worker.transact(txn, TxnAction::Abort).await.unwrap();
    assert!(f.worker.status().await.unwrap().prepared.is_empty());
    assert_eq!(f.all(CAMPAIGNS, &[G1, G2]).await, ["1|1|p", "2|1|p"]);
    // What was never opened here cannot be prepared.
    assert!(f.worker.transact(f.begin().txn, TxnAction::Prepare).await.is_err());
}

/// A coordinator counts every worker that it sent a change to, whatever came of it.
async fn a_participant_that_wrote_nothing_commits(f: &Fixture) {
    let failed = |start| {
        let mut context = f.begin();
        context.txn.start = Timestamp(start);
        context
    };
    for (start, last) in [
        (1, TxnAction::CommitOnePhase(f.now())),
        (2, TxnAction::Prepare),
        (3, TxnAction::UndoStatement(1)),
    ] {
        let context = failed(start);
        let mut stale = satsuma_proto::worker::ModifyRequest {
            context: context.clone(),
            group: group_ref(G1),
            table: CAMPAIGNS,
            change: insert(campaign_rows(&[(1, 1, "x")])),
            returning: false,
            commit: false,
            in_turn: false,
        };
        stale.group.generation.0 += 1;
        f.worker.modify(stale).await.unwrap_err();
        f.worker.transact(context.txn, last).await.unwrap();
    }
    f.worker.transact(failed(2).txn, TxnAction::Commit(f.now())).await.unwrap();
    assert!(f.worker.status().await.unwrap().prepared.is_empty());
}

async fn a_reader_waits_for_a_prepared_transaction(f: &Fixture) {
    let (txn, lowest) = prepared(f, 1).await;
    f.observe(lowest);
    let later = f.begin();
    let plan = scan_names();
    let mut read = Box::pin(f.rows_in(&later, &plan, &[G1]));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut read).await.is_err());
    f.worker.transact(txn, TxnAction::Commit(lowest)).await.unwrap();
    assert_eq!(read.await.unwrap(), ["p"]);
}

async fn row_locks_wait_skip_or_fail(f: &Fixture) {
    f.fill().await;
    let keys = campaign_keys(f).await;
    let lock = |context: &satsuma_proto::worker::StatementContext, wait| LockRequest {
        context: context.clone(),
        group: group_ref(G1),
        table: CAMPAIGNS,
        target: LockTarget::Rows(keys.clone(), RowLockMode::Update),
        wait,
        limit: None,
        skip_deleted: false,
        in_turn: false,
    };
    let (first, second) = (f.begin(), f.begin());
    let one = LockRequest {
        target: LockTarget::Rows(keys[..1].to_vec(), RowLockMode::Update),
        ..lock(&first, LockWait::Wait)
    };
    assert_eq!(f.worker.lock(one).await.unwrap(), keys[..1]);
    let error = f.worker.lock(lock(&second, LockWait::NoWait)).await.unwrap_err();
    assert_eq!(error.state(), SqlState::LOCK_NOT_AVAILABLE);
    assert_eq!(error.message(), "could not obtain lock on row in relation \"campaigns\"");
    assert_eq!(f.worker.lock(lock(&second, LockWait::SkipLocked)).await.unwrap(), keys[1..]);
    let mut limited = lock(&second, LockWait::Wait);
    limited.context.lock_timeout = Some(Duration::from_millis(50));
    let error = f.worker.lock(limited).await.unwrap_err();
    assert_eq!(error.message(), "canceling statement due to lock timeout");
    f.worker.transact(first.txn, TxnAction::Abort).await.unwrap();
    assert_eq!(f.worker.lock(lock(&second, LockWait::Wait)).await.unwrap(), keys);
}

async fn campaign_keys(f: &Fixture) -> Vec<Vec<u8>> {
    use arrow::array::AsArray;
    use futures::StreamExt;
    let mut rows = f.worker.query(query(&f.begin(), &scan(CAMPAIGNS), &[G1])).await.unwrap();
    let mut keys = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        let column = batch.column(3).as_binary::<i32>();
        keys.extend(column.iter().flatten().map(<[u8]>::to_vec));
    }
    keys.sort();
    keys
}

async fn a_cancelled_wait_holds_up_nobody(f: &Fixture) {
    f.fill().await;
    let row = || insert(campaign_rows(&[(1, 50, "x")]));
    let holder = f.begin();
    f.modify(&holder, G1, CAMPAIGNS, row(), false).await.unwrap();
    // Waits for the same key, and is dropped: an autocommit statement leaves no lock.
    let waiting = f.run(G1, CAMPAIGNS, row());
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    // The same for one that is asked to stop, which answers.
    let stop = CancellationToken::new();
    let request = satsuma_proto::worker::ModifyRequest {
        context: f.begin(),
        group: group_ref(G1),
        table: CAMPAIGNS,
        change: row(),
        returning: false,
        commit: true,
        in_turn: false,
    };
    let waiting = f.worker.modify_unless(request, stop.clone());
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    assert_eq!(answer.unwrap_err().state(), SqlState::QUERY_CANCELED);
    f.worker.transact(holder.txn, TxnAction::Abort).await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(5), f.run(G1, CAMPAIGNS, row()));
    next.await.expect("nobody holds the key").unwrap();
}

/// Coordinators that committed one transaction and know of no other.
struct Decided(TxnId, Timestamp);

#[async_trait::async_trait]
impl Outcomes for Decided {
    async fn outcome(&self, txn: TxnId) -> SqlResult<Option<Timestamp>> {
        Ok((txn == self.0).then_some(self.1))
    }

    async fn peek_outcome(&self, txn: TxnId) -> SqlResult<Option<Option<Timestamp>>> {
        self.outcome(txn).await.map(Some)
    }

    async fn now(&self) -> SqlResult<Timestamp> {
        Ok(self.1)
    }

    async fn register(&self, _: Registration) -> SqlResult<Membership> {
        Err(SqlError::unsupported("not here"))
    }
}

#[tokio::test]
async fn prepared_transactions_survive_a_restart_and_learn_their_outcome() {
    let f = Fixture::local().await;
    let (committed, at) = prepared(&f, 1).await;
    let (lost, _) = prepared(&f, 2).await;
    let unprepared = f.begin();
    let row = insert(campaign_rows(&[(1, 3, "u")]));
    f.modify(&unprepared, G1, CAMPAIGNS, row, false).await.unwrap();
    f.observe(at);

    let dir = f.dir.path().to_owned();
    let later = f.begin();
    let request = query(&later, &scan_names(), &[G1, G2]);
    let Fixture { local, worker, dir: _dir, .. } = f;
    local.close();
    drop((local, worker));
    let again = reopen(&dir).await;
    let status = again.status().await.unwrap();
    assert_eq!(status.prepared, [committed, lost]);

    // A reader waits; the outcomes let it go on.
    let mut read = Box::pin(again.query(request));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut read).await.is_err());
    let outcomes: Arc<dyn Outcomes> = Arc::new(Decided(committed, at));
    let engine = again.engine().clone();
    let task = tokio::spawn(resolve(engine, move || Some(outcomes.clone()), Pace::default()));
    let mut rows = read.await.unwrap();
    let mut names = Vec::new();
    while let Some(batch) = futures::StreamExt::next(&mut rows).await {
        names.extend(lines_of(&batch.unwrap()));
    }
    assert_eq!(names, ["p", "p"]);
    assert!(again.status().await.unwrap().prepared.is_empty());
    task.abort();
}

/// The old worker's background threads let go of the directory in their own time.
async fn reopen(dir: &std::path::Path) -> LocalWorker {
    for _ in 0..100 {
        match LocalWorker::open(dir, settings()) {
            Ok(worker) => return worker,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    LocalWorker::open(dir, settings()).unwrap()
}
