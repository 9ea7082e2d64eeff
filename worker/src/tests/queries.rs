use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{JoinType, LogicalPlan, LogicalPlanBuilder, col, lit};
use futures::{StreamExt, TryStreamExt};
use satsuma_common::{Generation, SqlState};
use satsuma_proto::report::{PlanStyle, ReportWanted};
use satsuma_proto::worker::{FragmentMode, QueryRequest, STALE_PLACEMENT};
use satsuma_sql::split_aggregate::SplitAggregate;

use super::fixture::*;

both_ways! {
    joins_and_filters_run_on_every_group
    reference_tables_are_read_in_every_group
    partial_aggregates_give_states
    old_placements_are_stale
    malformed_fragments_are_errors
    a_reader_that_goes_away_stops_the_query
    time_runs_out
    plans_are_explained
    little_memory_means_spilling
}

fn join() -> LogicalPlan {
    LogicalPlanBuilder::from(scan(ADS))
        .join(
            scan(CAMPAIGNS),
            JoinType::Inner,
            (
                vec!["ads.company_id", "ads.campaign_id"],
                vec!["campaigns.company_id", "campaigns.id"],
            ),
            None,
        )
        .unwrap()
        .filter(col("ads.cost").gt(lit(4i64)))
        .unwrap()
        .project(vec![col("ads.id"), col("campaigns.name"), col("ads.cost")])
        .unwrap()
        .build()
        .unwrap()
}

async fn joins_and_filters_run_on_every_group(f: &Fixture) {
    f.fill().await;
    assert_eq!(
        f.rows(&join(), &[G1, G2]).await.unwrap(),
        ["100|green|9", "100|red|5", "102|blue|7"]
    );
    assert_eq!(f.rows(&join(), &[G2]).await.unwrap(), ["100|green|9"]);
    // The key path: one row by its primary key.
    let one = LogicalPlanBuilder::from(scan(ADS))
        .filter(col("company_id").eq(lit(1i64)).and(col("id").eq(lit(102i64))))
        .unwrap()
        .project(vec![col("cost")])
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(f.rows(&one, &[G1]).await.unwrap(), ["7"]);
}

async fn reference_tables_are_read_in_every_group(f: &Fixture) {
    f.fill().await;
    let plan = LogicalPlanBuilder::from(scan(ADS))
        .join(scan(KINDS), JoinType::Inner, (vec!["ads.kind"], vec!["kinds.id"]), None)
        .unwrap()
        .project(vec![col("ads.id"), col("kinds.label")])
        .unwrap()
        .build()
        .unwrap();
    let mut request = query(&f.begin(), &plan, &[G1, G2]);
    for group in &mut request.groups {
        group.shards.extend(group_ref(REFERENCE).shards);
    }
    let mut rows = f.worker.query(request).await.unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = rows.next().await {
        lines.extend(lines_of(&batch.unwrap()));
    }
    lines.sort();
    assert_eq!(lines, ["100|text", "100|text", "102|video"]);
}

async fn partial_aggregates_give_states(f: &Fixture) {
    f.fill().await;
    let plan = LogicalPlanBuilder::from(scan(ADS))
        .aggregate(
            Vec::<datafusion::logical_expr::Expr>::new(),
            vec![sum(col("cost")), count(col("cost"))],
        )
        .unwrap()
        .build()
        .unwrap();
    let LogicalPlan::Aggregate(aggregate) = &plan else { panic!() };
    let split = SplitAggregate::new(aggregate).await.unwrap();
    let mut request = query(&f.begin(), &plan, &[G1, G2]);
    request.fragment.mode = FragmentMode::PartialAggregate;
    request.schema = split.state_schema();
    let mut states = f.worker.query(request).await.unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = states.next().await {
        lines.extend(lines_of(&batch.unwrap()));
    }
    // Of all groups together.
    assert_eq!(lines, ["21|3"]);
}

async fn old_placements_are_stale(f: &Fixture) {
    f.fill().await;
    let mut old = query(&f.begin(), &scan(ADS), &[G1]);
    old.groups[0].generation = Generation(0);
    let mut altered = query(&f.begin(), &scan(ADS), &[G1]);
    altered.groups[0].shards[1].version = 2;
    let mut moved = query(&f.begin(), &scan(ADS), &[G1]);
    moved.groups[0].shards[1].shard = satsuma_common::ShardId(202);
    let mut unnamed = query(&f.begin(), &scan(ADS), &[G1]);
    unnamed.groups[0].shards.pop();
    for request in [old, altered, moved, unnamed] {
        let error = match f.worker.query(request).await {
            Err(error) => error,
            Ok(mut rows) => rows.next().await.unwrap().unwrap_err(),
        };
        assert_eq!(error.state(), STALE_PLACEMENT);
    }
}

async fn malformed_fragments_are_errors(f: &Fixture) {
    f.fill().await;
    let whole = fragment(&join()).plan;
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        let mut request = query(&f.begin(), &join(), &[G1]);
        request.fragment.plan = whole.slice(..cut);
        let outcome = match f.worker.query(request).await {
            Err(error) => Err(error),
            Ok(mut rows) => rows.next().await.unwrap_or_else(|| panic!("cut at {cut}")),
        };
        assert!(outcome.is_err(), "cut at {cut}");
    }
}

/// Every pair of a table's rows with itself, three times over: endless for a test.
fn endless() -> LogicalPlan {
    let named = |name: &str| {
        LogicalPlanBuilder::from(scan(CAMPAIGNS))
            .project(vec![col("campaigns.id").alias(name)])
            .unwrap()
            .build()
            .unwrap()
    };
    let mut plan = LogicalPlanBuilder::from(named("a"));
    for name in ["b", "c"] {
        plan = plan.cross_join(named(name)).unwrap();
    }
    plan.build().unwrap()
}

async fn many_campaigns(f: &Fixture) {
    let rows: Vec<_> = (0..20_000).map(|id| (1, id, "x")).collect();
    f.run(G1, CAMPAIGNS, insert(campaign_rows(&rows))).await.unwrap();
}

async fn a_reader_that_goes_away_stops_the_query(f: &Fixture) {
    many_campaigns(f).await;
    let threads = |f: &Fixture| f.local.active_queries();
    let mut rows = f.worker.query(query(&f.begin(), &endless(), &[G1])).await.unwrap();
    rows.next().await.unwrap().unwrap();
    assert_eq!(threads(f), 1);
    drop(rows);
    for _ in 0..200 {
        if threads(f) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the query went on");
}

async fn time_runs_out(f: &Fixture) {
    many_campaigns(f).await;
    let mut context = f.begin();
    context.timeout = Some(Duration::from_millis(200));
    let mut rows = f.worker.query(query(&context, &endless(), &[G1])).await.unwrap();
    let error = loop {
        match rows.next().await.expect("an error ends the rows") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.state(), SqlState::QUERY_CANCELED);
    assert_eq!(error.message(), "canceling statement due to statement timeout");
}

async fn plans_are_explained(f: &Fixture) {
    f.fill().await;
    let lines =
        f.worker.explain(query(&f.begin(), &join(), &[G1]), PlanStyle::default()).await.unwrap();
    assert_eq!(
        lines,
        [
            "Hash Join",
            concat!(
                "  Hash Cond: ((campaigns.company_id = ads.company_id) ",
                "AND (campaigns.id = ads.campaign_id))"
            ),
            "  ->  Seq Scan on campaigns_101 campaigns",
            "  ->  Hash",
            "        ->  Seq Scan on ads_201 ads",
            "              Filter: (cost > 4)",
        ]
    );

    let one = LogicalPlanBuilder::from(scan(ADS))
        .filter(col("company_id").eq(lit(1i64)))
        .unwrap()
        .build()
        .unwrap();
    let wanted = ReportWanted::new(PlanStyle { verbose: true, timing: true });
    let request = QueryRequest { report: Some(wanted.clone()), ..query(&f.begin(), &one, &[G1]) };
    let rows: Vec<_> = f.worker.query(request).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    let report = wanted.take().expect("a report");
    let lines = report.plan;
    assert!(report.execution > Duration::ZERO && report.spilled == 0);
    assert!(
        lines[0].starts_with("Index Scan using ads_pkey_201 on ads_201 ads (actual time="),
        "{lines:?}"
    );
    assert!(lines[0].ends_with("rows=3 loops=1)"), "{lines:?}");
    assert!(lines[1].starts_with("  Output: ads.company_id, ads.id"), "{lines:?}");
    assert_eq!(lines[2], "  Index Cond: (company_id = 1)");
}

async fn little_memory_means_spilling(f: &Fixture) {
    let pad = "x".repeat(80);
    let names: Vec<_> = (0..40_000).map(|id| format!("{id} {pad}")).collect();
    let rows: Vec<_> = names.iter().zip(0..).map(|(name, id)| (1, id, name.as_str())).collect();
    f.run(G1, CAMPAIGNS, insert(campaign_rows(&rows))).await.unwrap();
    let mut context = f.begin();
    context.memory_limit = 4 << 20;

    // Groups spill: each comes once all the same.
    let groups = LogicalPlanBuilder::from(scan(CAMPAIGNS))
        .aggregate(vec![col("name")], vec![count(col("id"))])
        .unwrap()
        .build()
        .unwrap();
    let lines = f.rows_in(&context, &groups, &[G1]).await.unwrap();
    assert_eq!(lines.len(), rows.len());
    assert!(lines.iter().all(|line| line.ends_with("|1")));

    // A hash table cannot: the join is done again by sorting both sides.
    let other = LogicalPlanBuilder::from(scan(CAMPAIGNS))
        .project(vec![col("name").alias("other")])
        .unwrap()
        .build()
        .unwrap();
    let join = LogicalPlanBuilder::from(scan(CAMPAIGNS))
        .join(other, JoinType::Inner, (vec!["campaigns.name"], vec!["other"]), None)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(f.rows_in(&context, &join, &[G1]).await.unwrap().len(), rows.len());
    let wanted = ReportWanted::new(PlanStyle { timing: true, ..PlanStyle::default() });
    let request = QueryRequest { report: Some(wanted.clone()), ..query(&context, &join, &[G1]) };
    f.worker.query(request).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    let report = wanted.take().expect("a report");
    assert!(report.spilled > 0);
    let plan = report.plan.join("\n");
    assert!(plan.starts_with("Merge Join (actual time="), "{plan}");
    assert!(plan.contains("Sort Method: external merge  Disk: "), "{plan}");
    assert_eq!(f.rows(&join, &[G1]).await.unwrap().len(), rows.len());
}
