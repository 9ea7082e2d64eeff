use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use satsuma_common::SqlState;
use satsuma_common::table::{ConstraintRef, ForeignKeyAction, Timing};
use satsuma_proto::worker::{Change, RowSource, TxnAction};

use super::fixture::*;

both_ways! {
    children_need_their_parent
    parents_with_children_stay
    a_parent_is_held_while_a_child_is_added
}

fn delete_where(table: satsuma_common::TableId, id: i64) -> Change {
    let plan = LogicalPlanBuilder::from(scan(table))
        .filter(col("id").eq(lit(id)))
        .unwrap()
        .project(vec![col("__key")])
        .unwrap()
        .build()
        .unwrap();
    Change::Delete { rows: RowSource::Fragment(fragment(&plan)) }
}

/// UPDATE campaigns SET id = id + 500 WHERE id = ...
fn renumber_campaign(id: i64) -> Change {
    let plan = LogicalPlanBuilder::from(scan(CAMPAIGNS))
        .filter(col("id").eq(lit(id)))
        .unwrap()
        .project(vec![
            col("__key"),
            col("company_id"),
            (col("id") + lit(500i64)).alias("new_id"),
            col("name"),
        ])
        .unwrap()
        .build()
        .unwrap();
    Change::Update { rows: RowSource::Fragment(fragment(&plan)) }
}

async fn children_need_their_parent(f: &Fixture) {
    f.fill().await;
    let error = f.run(G1, ADS, insert(ad_rows(&[(1, 103, Some(99), None, None)]))).await;
    let error = error.unwrap_err();
    assert_eq!(error.state(), SqlState::FOREIGN_KEY_VIOLATION);
    assert_eq!(
        error.message(),
        "insert or update on table \"ads\" violates foreign key constraint \"ads_campaign_fk\""
    );
    assert_eq!(
        error.fields().detail.as_deref(),
        Some("Key (company_id, campaign_id)=(1, 99) is not present in table \"campaigns\".")
    );
    let error = f.run(G1, ADS, insert(ad_rows(&[(1, 103, None, Some(3), None)]))).await;
    assert_eq!(
        error.unwrap_err().fields().detail.as_deref(),
        Some("Key (kind)=(3) is not present in table \"kinds\".")
    );
    // NULL refers to nothing.
    f.run(G1, ADS, insert(ad_rows(&[(1, 103, None, None, None)]))).await.unwrap();
}

async fn parents_with_children_stay(f: &Fixture) {
    f.fill().await;
    let error = f.run(G1, CAMPAIGNS, delete_where(CAMPAIGNS, 11)).await.unwrap_err();
    assert_eq!(error.state(), SqlState::FOREIGN_KEY_VIOLATION);
    assert_eq!(
        error.message(),
        "update or delete on table \"campaigns\" violates foreign key constraint \
         \"ads_campaign_fk\" on table \"ads\""
    );
    assert_eq!(
        error.fields().detail.as_deref(),
        Some("Key (company_id, id)=(1, 11) is still referenced from table \"ads\".")
    );
    assert!(f.run(G1, CAMPAIGNS, renumber_campaign(11)).await.is_err());
    // Children of a reference table's row are in any group.
    assert!(f.run(REFERENCE, KINDS, delete_where(KINDS, 1)).await.is_err());
    f.run(G1, ADS, delete_where(ADS, 102)).await.unwrap();
    f.run(G1, CAMPAIGNS, delete_where(CAMPAIGNS, 11)).await.unwrap();
    f.run(REFERENCE, KINDS, delete_where(KINDS, 2)).await.unwrap();
}

async fn a_parent_is_held_while_a_child_is_added(f: &Fixture) {
    f.fill().await;
    let adding = f.begin();
    let child = insert(ad_rows(&[(2, 101, Some(10), None, None)]));
    f.modify(&adding, G2, ADS, child, false).await.unwrap();
    let deleting = f.begin();
    let delete = f.modify(&deleting, G2, CAMPAIGNS, delete_where(CAMPAIGNS, 10), true);
    let mut delete = Box::pin(delete);
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut delete).await;
    assert!(early.is_err(), "the parent went while a child was being added");
    let commit = TxnAction::CommitOnePhase(f.now());
    f.worker.transact(adding.txn, commit).await.unwrap();
    let error = delete.await.unwrap_err();
    assert_eq!(error.state(), SqlState::FOREIGN_KEY_VIOLATION);
}

async fn with(on_delete: ForeignKeyAction, on_update: ForeignKeyAction) -> Fixture {
    let f = Fixture::with_actions(
        &Actions { on_delete, on_update, timing: Timing::NotDeferrable },
        false,
    )
    .await;
    f.fill().await;
    f
}

#[tokio::test]
async fn cascade_follows_the_parent() {
    let f = with(ForeignKeyAction::Cascade, ForeignKeyAction::Cascade).await;
    let reply = f.run(G1, CAMPAIGNS, renumber_campaign(11)).await.unwrap();
    assert_eq!(reply.count, 1);
    assert_eq!(f.all(ADS, &[G1]).await, ["1|100|10|1|5", "1|101|10|null|null", "1|102|511|2|7"]);
    let reply = f.run(G1, CAMPAIGNS, delete_where(CAMPAIGNS, 10)).await.unwrap();
    assert_eq!(reply.count, 1);
    assert_eq!(f.all(ADS, &[G1, G2]).await, ["1|102|511|2|7", "2|100|10|1|9"]);
}

#[tokio::test]
async fn set_null_respects_not_null() {
    // company_id is part of the key and of the primary key: it may not become NULL.
    let f = with(ForeignKeyAction::SetNull, ForeignKeyAction::Restrict).await;
    let error = f.run(G1, CAMPAIGNS, delete_where(CAMPAIGNS, 10)).await.unwrap_err();
    assert_eq!(error.state(), SqlState::NOT_NULL_VIOLATION);
    assert!(f.run(G1, CAMPAIGNS, renumber_campaign(11)).await.is_err());
    assert_eq!(f.all(CAMPAIGNS, &[G1]).await.len(), 2);
}

#[tokio::test]
async fn no_action_looks_at_the_end_of_the_statement() {
    let f = with(ForeignKeyAction::NoAction, ForeignKeyAction::NoAction).await;
    // Parent and child go in one transaction, child first.
    let first = f.begin();
    f.modify(&first, G1, ADS, delete_where(ADS, 102), false).await.unwrap();
    let second = f.next(&first);
    f.modify(&second, G1, CAMPAIGNS, delete_where(CAMPAIGNS, 11), true).await.unwrap();
    assert_eq!(f.all(CAMPAIGNS, &[G1]).await, ["1|10|red"]);
}

async fn deferred() -> Fixture {
    let actions = Actions {
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        timing: Timing::Deferred,
    };
    let f = Fixture::with_actions(&actions, true).await;
    f.fill().await;
    f
}

/// An ad of a campaign, which is the one in the error.
fn ad_of(campaign: i64) -> Change {
    insert(ad_rows(&[(1, 103, Some(campaign), None, None)]))
}

fn campaign(id: i64) -> Change {
    insert(campaign_rows(&[(1, id, "new")]))
}

#[tokio::test]
async fn a_commit_looks_for_parents_of_deferred_keys() {
    let f = deferred().await;
    let before = f.all(ADS, &[G1]).await;
    for action in [TxnAction::Prepare, TxnAction::CommitOnePhase(f.now())] {
        let orphan = f.begin();
        f.modify(&orphan, G1, ADS, ad_of(12), false).await.unwrap();
        let error = f.worker.transact(orphan.txn, action).await.unwrap_err();
        assert_eq!(error.state(), SqlState::FOREIGN_KEY_VIOLATION);
        assert_eq!(
            error.fields().detail.as_deref(),
            Some("Key (company_id, campaign_id)=(1, 12) is not present in table \"campaigns\".")
        );
        // It has ended, and holds no lock.
        assert_eq!(f.all(ADS, &[G1]).await, before);
        f.run(G1, ADS, ad_of(10)).await.unwrap();
        f.run(G1, ADS, delete_where(ADS, 103)).await.unwrap();
    }
    // What commits at once cannot wait.
    assert!(f.run(G1, ADS, ad_of(12)).await.is_err());
    let first = f.begin();
    f.modify(&first, G1, ADS, ad_of(12), false).await.unwrap();
    f.modify(&f.next(&first), G1, CAMPAIGNS, campaign(12), false).await.unwrap();
    f.worker.transact(first.txn, TxnAction::CommitOnePhase(f.now())).await.unwrap();
    assert_eq!(f.all(ADS, &[G1]).await.len(), before.len() + 1);
}

#[tokio::test]
async fn rows_that_are_gone_again_are_not_checked() {
    let f = deferred().await;
    let first = f.begin();
    f.modify(&first, G1, ADS, ad_of(12), false).await.unwrap();
    let second = f.next(&first);
    f.modify(&second, G1, ADS, delete_where(ADS, 103), false).await.unwrap();
    let third = f.next(&second);
    f.modify(&third, G1, ADS, ad_of(13), false).await.unwrap();
    f.worker.transact(first.txn, TxnAction::UndoStatement(third.statement)).await.unwrap();
    f.worker.transact(first.txn, TxnAction::CommitOnePhase(f.now())).await.unwrap();
}

#[tokio::test]
async fn parents_may_go_before_their_children() {
    let f = deferred().await;
    let first = f.begin();
    f.modify(&first, G1, CAMPAIGNS, delete_where(CAMPAIGNS, 11), false).await.unwrap();
    let pending = |table| f.worker.transact(first.txn, TxnAction::PendingOn(table));
    assert!(pending(CAMPAIGNS).await.unwrap().pending);
    assert!(!pending(ADS).await.unwrap().pending);
    f.modify(&f.next(&first), G1, ADS, delete_where(ADS, 102), false).await.unwrap();
    f.worker.transact(first.txn, TxnAction::Prepare).await.unwrap();
    f.worker.transact(first.txn, TxnAction::Commit(f.now())).await.unwrap();
    let second = f.begin();
    f.modify(&second, G1, CAMPAIGNS, delete_where(CAMPAIGNS, 10), false).await.unwrap();
    let error = f.worker.transact(second.txn, TxnAction::Prepare).await.unwrap_err();
    assert_eq!(
        error.fields().detail.as_deref(),
        Some("Key (company_id, id)=(1, 10) is still referenced from table \"ads\".")
    );
}

#[tokio::test]
async fn checks_that_were_carried_out_come_back_with_a_savepoint() {
    let f = deferred().await;
    let first = f.begin();
    f.modify(&first, G1, ADS, ad_of(12), false).await.unwrap();
    let named = |name: &str, statement| TxnAction::CheckDeferred {
        statement,
        only: Some(vec![ConstraintRef { table: ADS, name: name.into() }]),
    };
    let act = |action| f.worker.transact(first.txn, action);
    act(named("ads_kind_fk", 2)).await.unwrap();
    assert!(act(named("ads_campaign_fk", 2)).await.is_err());
    assert!(act(TxnAction::PendingOn(ADS)).await.unwrap().pending);
    let third = f.next(&f.next(&first));
    f.modify(&third, G1, CAMPAIGNS, campaign(12), false).await.unwrap();
    act(TxnAction::CheckDeferred { statement: 4, only: None }).await.unwrap();
    assert!(!act(TxnAction::PendingOn(ADS)).await.unwrap().pending);
    act(TxnAction::RollbackTo(1)).await.unwrap();
    assert!(act(TxnAction::PendingOn(ADS)).await.unwrap().pending);
    assert!(act(TxnAction::CommitOnePhase(f.now())).await.is_err());
}
