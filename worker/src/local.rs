//! The worker, called in process.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use satsuma_common::{
    GroupId, NodeId, Oid, ShardId, SqlError, SqlResult, SqlState, TableId, TxnId,
};
use satsuma_proto::copy::{CopyReply, CopyRequest};
use satsuma_proto::report::{PlanStyle, ReportWanted};
use satsuma_proto::worker::{
    AdvisoryRequest, BatchStream, Change, Fragment, Input, InputStream, KeyRead, LoadRequest,
    LockRequest, Locks, Membership, ModifyReply, ModifyRequest, Outcomes, QueryRequest, RowSource,
    ShardAction, ShardReply, ShardStatus, StatementContext, TxnAction, TxnReply, Worker,
    WorkerStatus,
};
use satsuma_sql::explain::Style;
use satsuma_storage::disk::{Disk, RealDisk};
use satsuma_storage::{Engine, Options, ReadView};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::busy::Busy;
use crate::copy::{self, Copies};
use crate::error;
use crate::index::IndexEvaluator;
use crate::load;
use crate::locks;
use crate::membership::Remembered;
use crate::modify::{self, CheckCache, Deferred, Programs};
use crate::placement::{PlacedGroup, Placements};
use crate::query::{Execution, Joins, QueryRuntime, Reporter, Source, Spools, Template, render};
use crate::recovery::{self, Pace};

/// Rows of a change that are written on the caller's thread; more go to the query threads.
const FEW_ROWS: usize = 256;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads for queries; `None`: one per core.
    pub threads: Option<usize>,
    /// Bytes that all queries together may hold in memory.
    pub memory_limit: u64,
    pub storage: Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads: None, memory_limit: 2 << 30, storage: Options::default() }
    }
}

/// What all requests of a worker share.
pub(crate) struct Shared {
    pub engine: Arc<Engine>,
    pub placements: Placements,
    pub queries: Arc<QueryRuntime>,
    pub checks: CheckCache,
    pub programs: Programs,
    pub busy: Arc<Busy>,
    pub deferred: Deferred,
    pub copies: Copies,
    pub admission: Admission,
    pub membership: Remembered,
}

/// A worker on a data directory of its own.
#[derive(Clone)]
pub struct LocalWorker {
    shared: Arc<Shared>,
}

/// What a statement sees: its snapshot, and what its transaction wrote before it.
pub(crate) fn view(context: &StatementContext) -> ReadView {
    ReadView::own(context.snapshot, context.txn).before(context.statement)
}

impl LocalWorker {
    /// Opens the data directory, which is made when it is not there.
    pub fn open(dir: &Path, settings: Settings) -> SqlResult<Self> {
        Self::open_on(dir, settings, Arc::new(RealDisk))
    }

    pub fn open_on(dir: &Path, settings: Settings, disk: Arc<dyn Disk>) -> SqlResult<Self> {
        let storage =
            Options { expressions: Arc::new(IndexEvaluator::default()), ..settings.storage };
        let engine = Engine::open(dir, disk.clone(), storage).map_err(error::storage)?;
        let threads = settings.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let queries = QueryRuntime::new(threads, settings.memory_limit, &dir.join("spill"))?;
        let shared = Shared {
            placements: Placements::new(engine.clone()),
            queries: Arc::new(queries),
            checks: CheckCache::default(),
            programs: Programs::default(),
            busy: Arc::default(),
            deferred: Deferred::default(),
            copies: Copies::default(),
            admission: Admission::default(),
            membership: Remembered::open(dir, disk)?,
            engine,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Identity of the data directory.
    pub fn directory(&self) -> &str {
        self.shared.engine.identity()
    }

    pub fn membership(&self) -> Option<Membership> {
        self.shared.membership.get()
    }

    /// 08004 for a request that is meant for another node.
    fn check_node(&self, node: NodeId) -> SqlResult<()> {
        match self.membership() {
            Some(own) if own.node != node => Err(SqlError::new(
                SqlState::CONNECTION_REJECTED,
                format!("this is node {}, not node {}", own.node.0, node.0),
            )),
            _ => Ok(()),
        }
    }

    /// Fragments that are running now.
    pub fn active_queries(&self) -> usize {
        self.shared.queries.active_queries()
    }

    /// Stops taking writes. What was acknowledged is on disk already.
    pub fn close(&self) {
        self.shared.engine.close();
    }

    /// Asks for the outcomes of prepared transactions that nobody finishes, until the task is
    /// aborted. For a worker in the coordinator's own process; [`crate::server`] does it by itself.
    pub fn recover(&self, outcomes: Arc<dyn Outcomes>) -> tokio::task::JoinHandle<()> {
        let known = move || Some(outcomes.clone());
        tokio::spawn(recovery::resolve(self.shared.engine.clone(), known, Pace::default()))
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.shared.admission
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }
}

impl Shared {
    /// Runs the fragment on groups as the statement sees them.
    pub async fn run_fragment(
        &self,
        context: &StatementContext,
        fragment: &Fragment,
        groups: Vec<PlacedGroup>,
        schema: Option<SchemaRef>,
    ) -> SqlResult<BatchStream> {
        self.run_over(context, fragment, groups, schema, Beside::default()).await
    }

    /// The same, with what a query may bring.
    async fn run_over(
        &self,
        context: &StatementContext,
        fragment: &Fragment,
        groups: Vec<PlacedGroup>,
        schema: Option<SchemaRef>,
        beside: Beside,
    ) -> SqlResult<BatchStream> {
        let Beside { inputs, report } = beside;
        let report = report.map(Reporter::new);
        let template = match Template::known(fragment, &self.queries)? {
            Some(template) => template,
            None => {
                // Plans are decoded where stacks are deep and nobody waits for the thread.
                let (queries, fragment) = (self.queries.clone(), fragment.clone());
                let decode = async move { Template::of(&fragment, &queries).await };
                self.on_cpu(decode).await?
            }
        };
        self.begin_read(context, &groups).await?;
        let execution = Execution {
            engine: self.engine.clone(),
            runtime: self.queries.clone(),
            template,
            view: view(context),
            inputs: Arc::new(inputs),
            groups,
            schema,
            memory_limit: context.memory_limit,
            timeout: context.timeout,
            report,
        };
        execution.start()
    }

    /// From the first request that may write on, the transaction is known here: it can be
    /// committed although nothing came of it.
    pub fn begin(&self, context: &StatementContext) -> SqlResult<()> {
        self.engine.begin(context.txn).map_err(error::storage)
    }

    async fn begin_read(
        &self,
        context: &StatementContext,
        groups: &[PlacedGroup],
    ) -> SqlResult<()> {
        let shards: Vec<_> = groups.iter().flat_map(PlacedGroup::shards).collect();
        self.begin_read_of(context, &shards).await
    }

    pub async fn begin_read_of(
        &self,
        context: &StatementContext,
        shards: &[ShardId],
    ) -> SqlResult<()> {
        if context.has_written {
            self.engine.check_kept(context.txn).map_err(error::storage)?;
        }
        let waited = self.engine.await_access(context.txn, shards, context.lock_timeout).await;
        if waited.map_err(error::storage)? {
            return Err(error::stale("the table was locked"));
        }
        let begun = self.engine.begin_read(shards, context.snapshot, Some(context.txn));
        begun.await.map_err(error::storage)
    }

    /// Before a transaction commits. One that cannot is ended here: whoever asked may be gone.
    async fn check_or_abort(self: &Arc<Self>, txn: TxnId) -> SqlResult<()> {
        let checked = {
            let _at_work = self.busy.enter(txn);
            self.deferred.finish(self, txn).await
        };
        if let Err(failure) = checked {
            self.engine.abort(txn).await.map_err(error::storage)?;
            return Err(failure);
        }
        Ok(())
    }

    /// Runs work on the query threads. It stops when the caller goes away.
    pub async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl Future<Output = SqlResult<T>> + Send + 'static,
    ) -> SqlResult<T> {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_on(work, &self.queries.handle()?);
        match tasks.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(failure)) => Err(crate::query::panicked(failure)),
            None => Err(SqlError::internal("a task vanished")),
        }
    }
}

/// 57014 when the statement's time is up.
pub(crate) async fn within<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = SqlResult<T>>,
) -> SqlResult<T> {
    let Some(timeout) = timeout else { return work.await };
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"))
    })
}

/// Whether a change is quick enough for the thread that received it.
pub(crate) fn is_small(change: &Change) -> bool {
    let few = |rows: &RowSource| match rows {
        RowSource::Batches(batches) => {
            batches.iter().map(RecordBatch::num_rows).sum::<usize>() <= FEW_ROWS
        }
        RowSource::Encoded(rows) => rows.len() <= FEW_ROWS,
        RowSource::Keyed(_) => true,
        RowSource::Fragment(_) => false,
    };
    match change {
        Change::Insert { rows, .. }
        | Change::Update { rows }
        | Change::Delete { rows }
        | Change::MoveOut { rows } => few(rows),
        Change::Truncate => true,
    }
}

#[async_trait]
impl Worker for LocalWorker {
    fn node(&self) -> Option<NodeId> {
        self.shared.membership.node()
    }

    async fn query(&self, request: QueryRequest) -> SqlResult<BatchStream> {
        let shared = &self.shared;
        let groups = placed(shared, &request)?;
        let QueryRequest { context, fragment, schema, report, .. } = request;
        let beside = Beside { report, ..Beside::default() };
        let run = shared.run_over(&context, &fragment, groups, Some(schema), beside);
        within(context.timeout, run).await
    }

    async fn query_over(&self, request: QueryRequest, rows: InputStream) -> SqlResult<BatchStream> {
        let groups = placed(&self.shared, &request)?;
        let shared = self.shared.clone();
        let timeout = request.context.timeout;
        let run = async move {
            let QueryRequest { context, fragment, schema, inputs, report, .. } = request;
            let ids = groups.iter().map(|group| group.group).collect();
            let inputs = spool(&shared, inputs, ids, rows, context.memory_limit).await?;
            let beside = Beside { inputs, report };
            shared.run_over(&context, &fragment, groups, Some(schema), beside).await
        };
        // The answer's stream is there at once: who sends the inputs may be waiting for it.
        let run = futures::stream::once(within(timeout, run));
        Ok(futures::TryStreamExt::try_flatten(run).boxed())
    }

    async fn explain(&self, request: QueryRequest, style: PlanStyle) -> SqlResult<Vec<String>> {
        let shared = self.shared.clone();
        let timeout = request.context.timeout;
        let work = self.shared.on_cpu(async move { explain(&shared, request, style).await });
        within(timeout, work).await
    }

    async fn modify_unless(
        &self,
        request: ModifyRequest,
        stop: CancellationToken,
    ) -> SqlResult<ModifyReply> {
        self.shared.admission.pass().await?;
        modify::modify(self.shared.clone(), request, stop).await
    }

    async fn read_key(&self, request: KeyRead) -> SqlResult<Option<Bytes>> {
        let timeout = request.context.timeout;
        within(timeout, modify::read(&self.shared, request)).await
    }

    async fn load(
        &self,
        request: LoadRequest,
        rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
    ) -> SqlResult<u64> {
        self.shared.admission.pass().await?;
        let timeout = request.context.timeout;
        let work = load::load(self.shared.clone(), request, rows);
        within(timeout, self.shared.on_cpu(work)).await
    }

    async fn lock(&self, request: LockRequest) -> SqlResult<Vec<Vec<u8>>> {
        self.shared.admission.pass().await?;
        let timeout = request.context.timeout;
        within(timeout, locks::lock(&self.shared, request)).await
    }

    async fn advisory(&self, request: AdvisoryRequest) -> SqlResult<bool> {
        self.shared.admission.pass().await?;
        locks::advisory(&self.shared, request).await
    }

    async fn locks(&self, rows: u32) -> SqlResult<Locks> {
        Ok(locks::list(&self.shared, rows))
    }

    async fn cancel_wait(&self, victim: TxnId, detail: String) -> SqlResult<()> {
        self.shared.engine.cancel_wait(victim, &detail);
        Ok(())
    }

    async fn transact(&self, txn: TxnId, action: TxnAction) -> SqlResult<TxnReply> {
        self.shared.busy.idle(txn).await;
        let Shared { engine, deferred, .. } = self.shared.as_ref();
        if matches!(action, TxnAction::Prepare | TxnAction::CommitOnePhase(_)) {
            self.shared.check_or_abort(txn).await?;
        }
        let timestamp = match action {
            TxnAction::Prepare => engine.prepare(txn).await.map(Some),
            TxnAction::Commit(at) => engine.commit_prepared(txn, at).await.map(|()| Some(at)),
            TxnAction::CommitOnePhase(at) => engine.commit(txn, at).await.map(Some),
            TxnAction::Abort => {
                deferred.forget(txn);
                engine.abort(txn).await.map(|()| None)
            }
            TxnAction::UndoStatement(statement) => {
                deferred.undo(txn, statement.saturating_sub(1));
                engine.undo_statement(txn, statement).map(|()| None)
            }
            TxnAction::RollbackTo(statement) => {
                deferred.undo(txn, statement);
                engine.rollback_to(txn, statement).map(|()| None)
            }
            TxnAction::CheckDeferred { statement, only } => {
                let _at_work = self.shared.busy.enter(txn);
                deferred.settle(&self.shared, txn, only.as_deref(), statement).await?;
                Ok(None)
            }
            TxnAction::PendingOn(table) => {
                let pending = deferred.is_pending_on(txn, table);
                return Ok(TxnReply { pending, ..TxnReply::default() });
            }
        };
        let timestamp = timestamp.map_err(error::storage)?;
        Ok(TxnReply { timestamp, ..TxnReply::default() })
    }

    async fn shards(&self, action: ShardAction) -> SqlResult<ShardReply> {
        let engine = &self.shared.engine;
        match action {
            ShardAction::Create { shape, shards } => engine.create_shards(&shape, &shards).await,
            ShardAction::Alter { shape, by: None } => engine.alter_table(&shape).await,
            ShardAction::Alter { shape, by: Some(txn) } => engine.define_table(&shape, txn).await,
            ShardAction::Restore { shape } => engine.restore_shape(&shape).await,
            ShardAction::Drop { node, shards } => {
                self.check_node(node)?;
                engine.drop_shards(&shards).await
            }
            ShardAction::SetGeneration { group, generation, epoch } => {
                engine.set_generation(group, generation, epoch).await
            }
            ShardAction::OldestSnapshot { coordinator, snapshot } => {
                let coordinators = self.membership().map_or(1, |m| m.coordinators.len());
                engine.report_snapshots(coordinator, snapshot, coordinators);
                return Ok(ShardReply::default());
            }
            ShardAction::BuildIndexes { table, indexes, txn } => {
                return self.build_indexes(table, indexes, txn).await;
            }
            ShardAction::List => {
                let shards = engine.shards().into_iter().map(|info| ShardStatus {
                    shard: info.shard,
                    table: info.table,
                    group: info.group,
                    rows: info.rows,
                    bytes: info.bytes,
                    generation: info.generation,
                    defined_by: info.defined_by,
                    indexes: info.indexes,
                });
                return Ok(ShardReply { shards: shards.collect() });
            }
        }
        .map_err(error::storage)?;
        self.shared.placements.refresh();
        Ok(ShardReply::default())
    }

    async fn copy(&self, request: CopyRequest) -> SqlResult<CopyReply> {
        copy::copy(self.shared.clone(), request).await
    }

    async fn status(&self) -> SqlResult<WorkerStatus> {
        let engine = &self.shared.engine;
        let prepared = engine.settled().await.map_err(error::storage)?;
        let (cluster, node) = match self.membership() {
            Some(Membership { cluster, node, .. }) => (Some(cluster), Some(node)),
            None => (None, None),
        };
        Ok(WorkerStatus {
            cluster,
            node,
            directory: engine.identity().to_string(),
            lsn: engine.lsn(),
            prepared,
        })
    }

    async fn join(&self, membership: Membership) -> SqlResult<WorkerStatus> {
        self.shared.membership.set(membership)?;
        self.status().await
    }
}

impl LocalWorker {
    async fn build_indexes(
        &self,
        table: TableId,
        indexes: Vec<Oid>,
        txn: TxnId,
    ) -> SqlResult<ShardReply> {
        let engine = self.shared.engine.clone();
        let work = async move {
            engine.build_indexes(table, &indexes, txn).map_err(|failure| {
                match engine.shape(table) {
                    Some(shape) => modify::duplicates(&shape, failure),
                    None => error::storage(failure),
                }
            })
        };
        self.shared.on_cpu(work).await?;
        Ok(ShardReply::default())
    }
}

/// What comes with a query, and what is wanted of it beside its rows.
#[derive(Default)]
struct Beside {
    inputs: Spools,
    report: Option<ReportWanted>,
}

/// Takes the rows in on the query threads, which may write to disk.
async fn spool(
    shared: &Shared,
    inputs: Vec<Input>,
    groups: Vec<GroupId>,
    rows: InputStream,
    memory_limit: u64,
) -> SqlResult<Spools> {
    let queries = shared.queries.clone();
    let collect =
        async move { Spools::collect(inputs, &groups, rows, &queries, memory_limit).await };
    shared.on_cpu(collect).await
}

fn placed(shared: &Shared, request: &QueryRequest) -> SqlResult<Vec<PlacedGroup>> {
    request.groups.iter().map(|group| shared.placements.group(group)).collect()
}

async fn explain(
    shared: &Shared,
    request: QueryRequest,
    style: PlanStyle,
) -> SqlResult<Vec<String>> {
    let groups = placed(shared, &request)?;
    let group = groups.first().ok_or_else(|| error::malformed("nothing to explain on no group"))?;
    let context = &request.context;
    let template = Template::of(&request.fragment, &shared.queries).await?;
    let ids: Vec<GroupId> = groups.iter().map(|group| group.group).collect();
    let inputs = request.inputs.clone();
    let inputs = Spools::empty(inputs, &ids, &shared.queries, context.memory_limit);
    let groups = std::slice::from_ref(group);
    let source = Source {
        engine: &shared.engine,
        groups,
        view: view(context),
        threads: 1,
        joins: Joins::InMemory,
        inputs: &Arc::new(inputs),
    };
    let plan = template.bind(&source, &shared.queries).await?;
    Ok(render(&plan, Style { verbose: style.verbose, ..Style::default() }))
}
