//! A worker with two groups of two co-located tables, and a reference table.
//!
//! ```text
//!            g1       g2       g9 (reference)
//! campaigns  s101     s102
//! ads        s201     s202
//! kinds                        s301
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableSource};
use futures::StreamExt;
use satsuma_common::table::{Column, ForeignKey, ForeignKeyAction, TableShape, Timing};
use satsuma_common::{
    ColumnId, Generation, GroupId, NodeId, PgType, ShardId, SqlResult, TableId, Timestamp, TxnId,
};
use satsuma_proto::worker::{
    Change, Fragment, FragmentMode, GroupRef, ModifyReply, ModifyRequest, OnConflict, QueryRequest,
    RowSource, ShardAction, StatementContext, TableShard, Worker,
};
use satsuma_proto::{RemoteWorker, WorkerServer};
use satsuma_sql::catalog_view::{Distribution, TableInfo};
use satsuma_sql::codec;
use satsuma_sql::table::ScanSource;
use tokio_util::sync::CancellationToken;

use crate::{LocalWorker, Settings};

pub const CAMPAIGNS: TableId = TableId(16384);
pub const ADS: TableId = TableId(16390);
pub const KINDS: TableId = TableId(16400);
pub const G1: GroupId = GroupId(1);
pub const G2: GroupId = GroupId(2);
pub const REFERENCE: GroupId = GroupId(9);

pub struct Fixture {
    pub local: LocalWorker,
    /// The same worker, perhaps over the network.
    pub worker: Arc<dyn Worker>,
    clock: AtomicU64,
    pub dir: tempfile::TempDir,
    _server: Option<tokio::task::JoinHandle<()>>,
}

/// Runs each test in process and over a socket.
macro_rules! both_ways {
    ($($name:ident)*) => {
        mod local {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::tests::fixture::Fixture::local().await).await;
            })*
        }
        mod remote {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::tests::fixture::Fixture::remote().await).await;
            })*
        }
    };
}
pub(super) use both_ways;

pub fn settings() -> Settings {
    Settings { threads: Some(2), memory_limit: 64 << 20, ..Settings::default() }
}

fn column(id: u16, name: &str, ty: PgType, not_null: bool) -> Column {
    Column { id: ColumnId(id), name: name.into(), ty, not_null, missing: None }
}

fn shape(table: TableId, name: &str, columns: Vec<Column>, key: &[u16]) -> TableShape {
    TableShape {
        table,
        version: 1,
        schema_name: "public".into(),
        name: name.into(),
        columns,
        primary_key: key.iter().map(|id| ColumnId(*id)).collect(),
        primary_key_name: Some(format!("{name}_pkey")),
        checks: vec![],
        foreign_keys: vec![],
        referenced_by: vec![],
        indexes: Vec::new(),
    }
}

pub struct Actions {
    pub on_delete: ForeignKeyAction,
    pub on_update: ForeignKeyAction,
    pub timing: Timing,
}

pub fn campaigns(actions: &Actions) -> TableShape {
    let columns = vec![
        column(1, "company_id", PgType::Int8, true),
        column(2, "id", PgType::Int8, true),
        column(3, "name", PgType::Text, true),
    ];
    let mut shape = shape(CAMPAIGNS, "campaigns", columns, &[1, 2]);
    shape.referenced_by = vec![campaign_key(actions)];
    shape
}

pub fn ads(actions: &Actions) -> TableShape {
    let columns = vec![
        column(1, "company_id", PgType::Int8, true),
        column(2, "id", PgType::Int8, true),
        column(3, "campaign_id", PgType::Int8, false),
        column(4, "kind", PgType::Int8, false),
        column(5, "cost", PgType::Int8, false),
    ];
    let mut shape = shape(ADS, "ads", columns, &[1, 2]);
    shape.foreign_keys = vec![campaign_key(actions), kind_key()];
    shape
}

pub fn kinds() -> TableShape {
    let columns =
        vec![column(1, "id", PgType::Int8, true), column(2, "label", PgType::Text, false)];
    let mut shape = shape(KINDS, "kinds", columns, &[1]);
    shape.referenced_by = vec![kind_key()];
    shape
}

fn campaign_key(actions: &Actions) -> ForeignKey {
    ForeignKey {
        name: "ads_campaign_fk".into(),
        table: ADS,
        table_name: "ads".into(),
        columns: vec![ColumnId(1), ColumnId(3)],
        target: CAMPAIGNS,
        target_name: "campaigns".into(),
        target_columns: vec![ColumnId(1), ColumnId(2)],
        on_delete: actions.on_delete,
        on_update: actions.on_update,
        set_on_delete: Vec::new(),
        defaults: Vec::new(),
        full: false,
        timing: actions.timing,
    }
}

fn kind_key() -> ForeignKey {
    ForeignKey {
        name: "ads_kind_fk".into(),
        table: ADS,
        table_name: "ads".into(),
        columns: vec![ColumnId(4)],
        target: KINDS,
        target_name: "kinds".into(),
        target_columns: vec![ColumnId(1)],
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        set_on_delete: Vec::new(),
        defaults: Vec::new(),
        full: false,
        timing: Timing::NotDeferrable,
    }
}

impl Fixture {
    pub async fn local() -> Self {
        let none = Actions {
            on_delete: ForeignKeyAction::NoAction,
            on_update: ForeignKeyAction::NoAction,
            timing: Timing::NotDeferrable,
        };
        Self::with_actions(&none, false).await
    }

    pub async fn remote() -> Self {
        let none = Actions {
            on_delete: ForeignKeyAction::NoAction,
            on_update: ForeignKeyAction::NoAction,
            timing: Timing::NotDeferrable,
        };
        Self::with_actions(&none, true).await
    }

    pub async fn with_actions(actions: &Actions, remote: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = LocalWorker::open(dir.path(), settings()).unwrap();
        let generation = Generation(1);
        for (shape, shards) in [
            (campaigns(actions), vec![(ShardId(101), G1), (ShardId(102), G2)]),
            (ads(actions), vec![(ShardId(201), G1), (ShardId(202), G2)]),
            (kinds(), vec![(ShardId(301), REFERENCE)]),
        ] {
            let shards = shards.into_iter().map(|(s, g)| (s, g, generation)).collect();
            local.shards(ShardAction::Create { shape, shards }).await.unwrap();
        }
        let (worker, server): (Arc<dyn Worker>, _) = match remote {
            false => (Arc::new(local.clone()), None),
            true => {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap().to_string();
                let grace = std::time::Duration::from_secs(10);
                let server = WorkerServer::new(Arc::new(local.clone()), grace);
                let server = tokio::spawn(async move {
                    server.serve(listener, CancellationToken::new()).await.unwrap();
                });
                (Arc::new(RemoteWorker::new(&address).unwrap()), Some(server))
            }
        };
        Self { local, worker, clock: AtomicU64::new(1000), dir, _server: server }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(10, Ordering::SeqCst))
    }

    /// What the coordinator's oracle does when it learns of a commit.
    pub fn observe(&self, at: Timestamp) {
        self.clock.fetch_max(at.0 + 1, Ordering::SeqCst);
    }

    /// The first statement of a new transaction.
    pub fn begin(&self) -> StatementContext {
        let start = self.now();
        StatementContext {
            txn: TxnId { start, coordinator: NodeId(1) },
            snapshot: start,
            statement: 1,
            lock_timeout: None,
            timeout: None,
            memory_limit: 32 << 20,
            time_zone: "UTC".into(),
            now_micros: 0,
            constraints: Default::default(),
            has_written: false,
            rewrites: false,
        }
    }

    /// The next statement of a READ COMMITTED transaction.
    pub fn next(&self, context: &StatementContext) -> StatementContext {
        StatementContext {
            snapshot: self.now(),
            statement: context.statement + 1,
            ..context.clone()
        }
    }

    pub async fn modify(
        &self,
        context: &StatementContext,
        group: GroupId,
        table: TableId,
        change: Change,
        commit: bool,
    ) -> SqlResult<ModifyReply> {
        let request = ModifyRequest {
            context: context.clone(),
            group: group_ref(group),
            table,
            change,
            returning: true,
            commit,
            in_turn: false,
        };
        let reply = self.worker.modify(request).await?;
        if let Some(at) = reply.commit_ts {
            self.observe(at);
        }
        Ok(reply)
    }

    /// In a transaction of its own.
    pub async fn run(
        &self,
        group: GroupId,
        table: TableId,
        change: Change,
    ) -> SqlResult<ModifyReply> {
        self.modify(&self.begin(), group, table, change, true).await
    }

    /// Two campaigns and three ads in g1, one of each in g2, two kinds.
    pub async fn fill(&self) {
        let first = campaign_rows(&[(1, 10, "red"), (1, 11, "blue")]);
        self.run(G1, CAMPAIGNS, insert(first)).await.unwrap();
        let second = campaign_rows(&[(2, 10, "green")]);
        self.run(G2, CAMPAIGNS, insert(second)).await.unwrap();
        let kinds = kind_rows(&[(1, "text"), (2, "video")]);
        self.run(REFERENCE, KINDS, insert(kinds)).await.unwrap();
        let first = ad_rows(&[
            (1, 100, Some(10), Some(1), Some(5)),
            (1, 101, Some(10), None, None),
            (1, 102, Some(11), Some(2), Some(7)),
        ]);
        self.run(G1, ADS, insert(first)).await.unwrap();
        self.run(G2, ADS, insert(ad_rows(&[(2, 100, Some(10), Some(1), Some(9))]))).await.unwrap();
    }

    /// Rows of the plan on these groups, as sorted lines of text.
    pub async fn rows(&self, plan: &LogicalPlan, groups: &[GroupId]) -> SqlResult<Vec<String>> {
        self.rows_in(&self.begin(), plan, groups).await
    }

    pub async fn rows_in(
        &self,
        context: &StatementContext,
        plan: &LogicalPlan,
        groups: &[GroupId],
    ) -> SqlResult<Vec<String>> {
        let mut stream = self.worker.query(query(context, plan, groups)).await?;
        let mut lines = Vec::new();
        while let Some(batch) = stream.next().await {
            lines.extend(lines_of(&batch?));
        }
        lines.sort();
        Ok(lines)
    }

    /// Everything in a table, without the hidden key.
    pub async fn all(&self, table: TableId, groups: &[GroupId]) -> Vec<String> {
        let columns = scan(table).schema().columns();
        let columns = columns[..columns.len() - 1].iter().cloned();
        let plan = LogicalPlanBuilder::from(scan(table))
            .project(columns.map(datafusion::logical_expr::Expr::Column))
            .unwrap()
            .build()
            .unwrap();
        self.rows(&plan, groups).await.unwrap()
    }
}

pub fn query(context: &StatementContext, plan: &LogicalPlan, groups: &[GroupId]) -> QueryRequest {
    QueryRequest {
        context: context.clone(),
        groups: groups.iter().map(|group| group_ref(*group)).collect(),
        fragment: fragment(plan),
        schema: Arc::new(plan.schema().as_arrow().clone()),
        inputs: Vec::new(),
        report: None,
    }
}

pub fn lines_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let cells: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            cells.join("|")
        })
        .collect()
}

pub fn group_ref(group: GroupId) -> GroupRef {
    let tables = match group {
        REFERENCE => vec![(KINDS, 301)],
        group => vec![(CAMPAIGNS, 100 + group.0), (ADS, 200 + group.0)],
    };
    let shards = tables
        .into_iter()
        .map(|(table, shard)| TableShard { table, shard: ShardId(shard), version: 1 })
        .collect();
    GroupRef { group, generation: Generation(1), shards }
}

fn source(table: TableId) -> Arc<ScanSource> {
    let none = Actions {
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        timing: Timing::NotDeferrable,
    };
    let shape = match table {
        CAMPAIGNS => campaigns(&none),
        ADS => ads(&none),
        _ => kinds(),
    };
    let count = shape.columns.len();
    ScanSource::table(Arc::new(TableInfo {
        shape: Arc::new(shape),
        defaults: vec![None; count],
        generated: vec![None; count],
        identity: vec![None; count],
        distribution: Distribution::Hash(ColumnId(1)),
    }))
}

/// A scan of a table under its name, with the hidden key.
pub fn scan(table: TableId) -> LogicalPlan {
    let source = source(table);
    let name = match table {
        CAMPAIGNS => "campaigns",
        ADS => "ads",
        _ => "kinds",
    };
    let source: Arc<dyn TableSource> = source;
    LogicalPlanBuilder::scan(name, source, None).unwrap().build().unwrap()
}

pub fn fragment(plan: &LogicalPlan) -> Fragment {
    Fragment { plan: codec::encode(plan).unwrap(), mode: FragmentMode::Rows, constants: Vec::new() }
}

pub fn insert(rows: RecordBatch) -> Change {
    let rows = RowSource::Batches(vec![rows]);
    Change::Insert { rows, on_conflict: OnConflict::Fail }
}

fn ints(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

pub fn campaign_rows(rows: &[(i64, i64, &str)]) -> RecordBatch {
    let names: StringViewArray = rows.iter().map(|row| Some(row.2)).collect();
    batch(vec![
        ("company_id", ints(rows.iter().map(|row| Some(row.0)))),
        ("id", ints(rows.iter().map(|row| Some(row.1)))),
        ("name", Arc::new(names)),
    ])
}

pub type Ad = (i64, i64, Option<i64>, Option<i64>, Option<i64>);

pub fn ad_rows(rows: &[Ad]) -> RecordBatch {
    batch(vec![
        ("company_id", ints(rows.iter().map(|row| Some(row.0)))),
        ("id", ints(rows.iter().map(|row| Some(row.1)))),
        ("campaign_id", ints(rows.iter().map(|row| row.2))),
        ("kind", ints(rows.iter().map(|row| row.3))),
        ("cost", ints(rows.iter().map(|row| row.4))),
    ])
}

pub fn kind_rows(rows: &[(i64, &str)]) -> RecordBatch {
    let labels: StringViewArray = rows.iter().map(|row| Some(row.1)).collect();
    batch(vec![("id", ints(rows.iter().map(|row| Some(row.0)))), ("label", Arc::new(labels))])
}
