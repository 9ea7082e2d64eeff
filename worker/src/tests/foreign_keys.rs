use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use satsuma_common::SqlState;
use satsuma_common::table::ForeignKeyAction;
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
    let f = Fixture::with_actions(&Actions { on_delete, on_update }, false).await;
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
