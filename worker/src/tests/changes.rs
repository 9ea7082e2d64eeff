use datafusion::logical_expr::{LogicalPlanBuilder, TableSource, col, lit};
use satsuma_common::SqlState;
use satsuma_common::table::{Check, ForeignKeyAction, Timing};
use satsuma_proto::worker::{
    CHANGED_SINCE_SNAPSHOT, Change, OnConflict, RowSource, ShardAction, TxnAction,
};
use satsuma_sql::table::{INPUT, ScanSource};
use std::sync::Arc;

use super::fixture::*;

both_ways! {
    inserts_updates_and_deletes_return_their_rows
    nulls_and_taken_keys_are_named
    checks_name_the_row
    on_conflict_skips_or_updates
    a_key_that_occurs_twice_is_updated_once
    truncate_empties_one_shard
    inserts_from_a_fragment
    a_row_changed_meanwhile_is_told
    failed_autocommit_leaves_nothing
    loads_are_checked_like_inserts
}

fn update_costs(cost: i64) -> Change {
    let plan = LogicalPlanBuilder::from(scan(ADS))
        .filter(col("cost").is_not_null())
        .unwrap()
        .project(vec![
            col("__key"),
            col("company_id"),
            col("id"),
            col("campaign_id"),
            col("kind"),
            lit(cost).alias("cost"),
            col("cost").alias("before"),
        ])
        .unwrap()
        .build()
        .unwrap();
    Change::Update { rows: RowSource::Fragment(fragment(&plan)) }
}

fn delete_ad(id: i64) -> Change {
    let plan = LogicalPlanBuilder::from(scan(ADS))
        .filter(col("id").eq(lit(id)))
        .unwrap()
        .project(vec![col("__key")])
        .unwrap()
        .build()
        .unwrap();
    Change::Delete { rows: RowSource::Fragment(fragment(&plan)) }
}

fn returned(reply: &satsuma_proto::worker::ModifyReply) -> Vec<String> {
    let mut lines: Vec<_> = reply.returned.iter().flat_map(lines_of).collect();
    lines.sort();
    lines
}

async fn inserts_updates_and_deletes_return_their_rows(f: &Fixture) {
    f.fill().await;
    let reply = f.run(G1, ADS, update_costs(50)).await.unwrap();
    assert_eq!(reply.count, 2);
    assert_eq!(returned(&reply), ["1|100|10|1|50|5", "1|102|11|2|50|7"]);
    let reply = f.run(G1, ADS, delete_ad(102)).await.unwrap();
    assert_eq!((reply.count, returned(&reply)), (1, vec!["1|102|11|2|50".to_string()]));
    assert_eq!(f.all(ADS, &[G1]).await, ["1|100|10|1|50", "1|101|10|null|null"]);
    assert_eq!(f.all(ADS, &[G2]).await, ["2|100|10|1|9"]);
}

async fn nulls_and_taken_keys_are_named(f: &Fixture) {
    f.fill().await;
    let error = f.run(G1, CAMPAIGNS, insert(campaign_rows(&[(1, 12, "new"), (1, 11, "again")])));
    let error = error.await.unwrap_err();
    assert_eq!(error.state(), SqlState::UNIQUE_VIOLATION);
    assert_eq!(
        error.message(),
        "duplicate key value violates unique constraint \"campaigns_pkey\""
    );
    let fields = error.fields();
    assert_eq!(fields.detail.as_deref(), Some("Key (company_id, id)=(1, 11) already exists."));
    assert_eq!(fields.table.as_deref(), Some("campaigns"));
    assert_eq!(fields.constraint.as_deref(), Some("campaigns_pkey"));

    let names: arrow::array::StringViewArray = [Some("ok"), None].into_iter().collect();
    let whole = campaign_rows(&[(1, 20, ""), (1, 21, "")]);
    let mut columns = whole.columns().to_vec();
    columns[2] = Arc::new(names);
    let batch = arrow::array::RecordBatch::try_new(whole.schema(), columns).unwrap();
    let error = f.run(G1, CAMPAIGNS, insert(batch)).await.unwrap_err();
    assert_eq!(error.state(), SqlState::NOT_NULL_VIOLATION);
    assert_eq!(
        error.message(),
        "null value in column \"name\" of relation \"campaigns\" violates not-null constraint"
    );
    assert_eq!(error.fields().detail.as_deref(), Some("Failing row contains (1, 21, null)."));
    assert_eq!(f.all(CAMPAIGNS, &[G1]).await, ["1|10|red", "1|11|blue"]);
}

async fn checks_name_the_row(f: &Fixture) {
    f.fill().await;
    let none = ForeignKeyAction::NoAction;
    let mut shape =
        campaigns(&Actions { on_delete: none, on_update: none, timing: Timing::NotDeferrable });
    let check =
        |name: &str, condition: &str| Check { name: name.into(), condition: condition.into() };
    shape.checks = vec![check("short_name", "length(name) < 6"), check("id_check", "id > 0")];
    f.worker.shards(ShardAction::Alter { shape, by: None }).await.unwrap();
    let rows = [(1, 12, "pink"), (1, 13, "magenta"), (1, -1, "turquoise")];
    let error = f.run(G1, CAMPAIGNS, insert(campaign_rows(&rows))).await.unwrap_err();
    assert_eq!(error.state(), SqlState::CHECK_VIOLATION);
    assert_eq!(
        error.message(),
        "new row for relation \"campaigns\" violates check constraint \"short_name\""
    );
    assert_eq!(error.fields().detail.as_deref(), Some("Failing row contains (1, 13, magenta)."));
    assert_eq!(error.fields().constraint.as_deref(), Some("short_name"));
    let error = f.run(G1, CAMPAIGNS, insert(campaign_rows(&rows[2..]))).await.unwrap_err();
    assert_eq!(error.fields().constraint.as_deref(), Some("id_check"));
    f.run(G1, CAMPAIGNS, insert(campaign_rows(&rows[..1]))).await.unwrap();
}

async fn on_conflict_skips_or_updates(f: &Fixture) {
    f.fill().await;
    let rows = || RowSource::Batches(vec![campaign_rows(&[(1, 11, "cyan"), (1, 12, "pink")])]);
    let skip =
        Change::Insert { rows: rows(), on_conflict: OnConflict::DoNothing { arbiters: vec![] } };
    let reply = f.run(G1, CAMPAIGNS, skip).await.unwrap();
    assert_eq!((reply.count, returned(&reply)), (1, vec!["1|12|pink".to_string()]));

    // SET name = excluded.name WHERE the name is not pink.
    let pair = ["company_id", "id", "name", "x_company_id", "x_id", "x_name"];
    let types = campaign_rows(&[(1, 1, "")]).schema();
    let fields: Vec<_> = pair
        .iter()
        .enumerate()
        .map(|(at, name)| types.field(at % 3).clone().with_name(*name))
        .collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let source: Arc<dyn TableSource> = ScanSource::input(schema);
    let pink = datafusion::scalar::ScalarValue::Utf8View(Some("pink".into()));
    let plan = LogicalPlanBuilder::scan(INPUT, source, None)
        .unwrap()
        .filter(col("name").not_eq(lit(pink)))
        .unwrap()
        .project(vec![col("company_id"), col("id"), col("x_name").alias("name")])
        .unwrap()
        .build()
        .unwrap();
    let update = Change::Insert {
        rows: rows(),
        on_conflict: OnConflict::DoUpdate { arbiters: vec![], fragment: fragment(&plan) },
    };
    let reply = f.run(G1, CAMPAIGNS, update.clone()).await.unwrap();
    assert_eq!((reply.count, returned(&reply)), (1, vec!["1|11|cyan".to_string()]));
    assert_eq!(f.all(CAMPAIGNS, &[G1]).await, ["1|10|red", "1|11|cyan", "1|12|pink"]);

    let twice = RowSource::Batches(vec![campaign_rows(&[(1, 13, "a"), (1, 13, "b")])]);
    let Change::Insert { on_conflict, .. } = update else { panic!() };
    let error = f.run(G1, CAMPAIGNS, Change::Insert { rows: twice, on_conflict }).await;
    assert_eq!(error.unwrap_err().state(), SqlState::CARDINALITY_VIOLATION);
}

async fn a_key_that_occurs_twice_is_updated_once(f: &Fixture) {
    f.fill().await;
    let Change::Update { rows: RowSource::Fragment(once) } = update_costs(1) else { panic!() };
    drop(once);
    let plan = LogicalPlanBuilder::from(scan(ADS))
        .filter(col("id").eq(lit(100i64)))
        .unwrap()
        .project(vec![
            col("__key"),
            col("company_id"),
            col("id"),
            col("campaign_id"),
            col("kind"),
            lit(1i64).alias("cost"),
        ])
        .unwrap()
        .build()
        .unwrap();
    let twice = LogicalPlanBuilder::from(plan.clone()).union(plan).unwrap().build().unwrap();
    let change = Change::Update { rows: RowSource::Fragment(fragment(&twice)) };
    assert_eq!(f.run(G1, ADS, change).await.unwrap().count, 1);
}

async fn truncate_empties_one_shard(f: &Fixture) {
    f.fill().await;
    f.run(G1, ADS, Change::Truncate).await.unwrap();
    assert_eq!(f.all(ADS, &[G1, G2]).await, ["2|100|10|1|9"]);
}

async fn inserts_from_a_fragment(f: &Fixture) {
    f.fill().await;
    // Reads what was there before: it does not chase its own rows.
    let plan = LogicalPlanBuilder::from(scan(CAMPAIGNS))
        .project(vec![col("company_id"), (col("id") + lit(1000i64)).alias("id"), col("name")])
        .unwrap()
        .build()
        .unwrap();
    let rows = RowSource::Fragment(fragment(&plan));
    let change = Change::Insert { rows, on_conflict: OnConflict::Fail };
    assert_eq!(f.run(G1, CAMPAIGNS, change).await.unwrap().count, 2);
    assert_eq!(
        f.all(CAMPAIGNS, &[G1]).await,
        ["1|1010|red", "1|1011|blue", "1|10|red", "1|11|blue"]
    );
}

async fn a_row_changed_meanwhile_is_told(f: &Fixture) {
    f.fill().await;
    let early = f.begin();
    f.run(G1, ADS, update_costs(50)).await.unwrap();
    let error = f.modify(&early, G1, ADS, update_costs(60), true).await.unwrap_err();
    assert_eq!(error.state(), CHANGED_SINCE_SNAPSHOT);
    // The next attempt of the same transaction, on a new snapshot, goes through.
    let again = f.next(&early);
    let reply = f.modify(&again, G1, ADS, update_costs(60), true).await.unwrap();
    assert_eq!(returned(&reply), ["1|100|10|1|60|50", "1|102|11|2|60|50"]);
}

async fn failed_autocommit_leaves_nothing(f: &Fixture) {
    f.fill().await;
    let context = f.begin();
    let rows = campaign_rows(&[(1, 12, "new"), (1, 11, "again")]);
    f.modify(&context, G1, CAMPAIGNS, insert(rows), true).await.unwrap_err();
    // The transaction is over: nothing to commit, no lock held.
    let commit = TxnAction::CommitOnePhase(f.now());
    assert!(f.worker.transact(context.txn, commit).await.is_err());
    f.run(G1, CAMPAIGNS, insert(campaign_rows(&[(1, 12, "later")]))).await.unwrap();
}

async fn loads_are_checked_like_inserts(f: &Fixture) {
    use futures::StreamExt;
    use satsuma_proto::worker::LoadRequest;
    f.fill().await;
    let load = |context: &satsuma_proto::worker::StatementContext| LoadRequest {
        context: context.clone(),
        table: CAMPAIGNS,
        groups: vec![group_ref(G1), group_ref(G2)],
    };
    let batches = |last: i64| {
        let first = (0..5000).map(|id| (1, 100 + id, "x")).collect::<Vec<_>>();
        let rows = vec![
            Ok((G1, campaign_rows(&first))),
            Ok((G2, campaign_rows(&[(2, 11, "y")]))),
            Ok((G1, campaign_rows(&[(1, last, "z")]))),
        ];
        futures::stream::iter(rows).boxed()
    };
    let context = f.begin();
    let error = f.worker.load(load(&context), batches(100)).await.unwrap_err();
    assert_eq!(
        error.fields().detail.as_deref(),
        Some("Key (company_id, id)=(1, 100) already exists.")
    );
    f.worker.transact(context.txn, TxnAction::Abort).await.unwrap();

    let context = f.begin();
    assert_eq!(f.worker.load(load(&context), batches(99)).await.unwrap(), 5002);
    assert_eq!(f.all(CAMPAIGNS, &[G1, G2]).await.len(), 3);
    let at = f.worker.transact(context.txn, TxnAction::CommitOnePhase(f.now())).await.unwrap();
    f.observe(at.timestamp.unwrap());
    assert_eq!(f.all(CAMPAIGNS, &[G1, G2]).await.len(), 5005);
}
