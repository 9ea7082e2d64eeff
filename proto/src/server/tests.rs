//! The client against the server over a real socket, with a worker that only remembers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking::Gate;
use satsuma_common::{
    Generation, GroupId, Lsn, NodeId, SqlResult, SqlState, TableId, Timestamp, TxnId,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::client::RemoteWorker;
use crate::copy::{CopyReply, CopyRequest};
use crate::report::PlanStyle;
use crate::worker::*;

mod parking {
    /// Opens once; those who wait pass when it does.
    #[derive(Default)]
    pub struct Gate(tokio::sync::Notify);

    impl Gate {
        pub async fn pass(&self) {
            self.0.notified().await;
        }

        pub fn open(&self) {
            self.0.notify_waiters();
        }
    }
}

#[derive(Default)]
struct Recorder {
    gate: Gate,
    waiting: AtomicUsize,
    aborted: std::sync::Mutex<Vec<TxnId>>,
    streamed: Arc<AtomicUsize>,
}

struct Count<'a>(&'a AtomicUsize);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn numbers(from: i64, count: i64) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    RecordBatch::try_from_iter([("n", values)]).unwrap()
}

#[async_trait]
impl Worker for Recorder {
    fn node(&self) -> Option<NodeId> {
        Some(NodeId(7))
    }

    async fn query(&self, request: QueryRequest) -> SqlResult<BatchStream> {
        if request.groups.is_empty() {
            return Err(SqlError::new(STALE_PLACEMENT, "stale").detail("no group"));
        }
        let streamed = self.streamed.clone();
        Ok(futures::stream::iter(0..1000)
            .map(move |i| {
                streamed.fetch_add(1, Ordering::SeqCst);
                match i {
                    999 => Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")),
                    _ => Ok(numbers(i * 100_000, 100_000)),
                }
            })
            .boxed())
    }

    /// Gives back the rows that it is sent, with the number of their input.
    async fn query_over(
        &self,
        _: QueryRequest,
        inputs: crate::worker::InputStream,
    ) -> SqlResult<BatchStream> {
        Ok(inputs.map(|rows| Ok(rows?.rows)).boxed())
    }

    async fn explain(&self, _: QueryRequest, _: PlanStyle) -> SqlResult<Vec<String>> {
        Ok(vec!["Result".into()])
    }

    /// One that commits waits to be stopped, and it is too late then.
    async fn modify_unless(
        &self,
        request: ModifyRequest,
        stop: CancellationToken,
    ) -> SqlResult<ModifyReply> {
        if request.commit {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _count = Count(&self.waiting);
            stop.cancelled().await;
            return Ok(ModifyReply { commit_ts: Some(Timestamp(7)), ..ModifyReply::default() });
        }
        match request.change {
            Change::Insert { rows: RowSource::Batches(returned), .. } => {
                let count = returned.iter().map(|batch| batch.num_rows() as u64).sum();
                Ok(ModifyReply { count, returned, commit_ts: None })
            }
            _ => Err(SqlError::unsupported("no").constraint("c")),
        }
    }

    async fn read_key(&self, request: KeyRead) -> SqlResult<Option<Bytes>> {
        Ok(Some(request.key))
    }

    async fn load(
        &self,
        _: LoadRequest,
        mut rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
    ) -> SqlResult<u64> {
        let mut count = 0;
        while let Some(item) = rows.next().await {
            count += item?.1.num_rows() as u64;
        }
        Ok(count)
    }

    async fn lock(&self, _: LockRequest) -> SqlResult<Vec<Vec<u8>>> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _count = Count(&self.waiting);
        self.gate.pass().await;
        Ok(vec![])
    }

    async fn advisory(&self, _: AdvisoryRequest) -> SqlResult<bool> {
        Ok(true)
    }

    async fn locks(&self, _: u32) -> SqlResult<Locks> {
        Ok(Locks::default())
    }

    async fn cancel_wait(&self, _: TxnId, _: String) -> SqlResult<()> {
        Ok(())
    }

    async fn transact(&self, txn: TxnId, action: TxnAction) -> SqlResult<TxnReply> {
        match action {
            TxnAction::Abort => self.aborted.lock().unwrap().push(txn),
            TxnAction::CommitOnePhase(_) => self.gate.open(),
            _ => {}
        }
        Ok(TxnReply { timestamp: Some(txn.start), pending: false })
    }

    async fn shards(&self, _: ShardAction) -> SqlResult<ShardReply> {
        Ok(ShardReply::default())
    }

    async fn copy(&self, _: CopyRequest) -> SqlResult<CopyReply> {
        Ok(CopyReply::default())
    }

    async fn status(&self) -> SqlResult<WorkerStatus> {
        Ok(WorkerStatus {
            cluster: None,
            node: None,
            directory: "d".into(),
            lsn: Lsn(1),
            prepared: vec![],
        })
    }

    async fn join(&self, _: Membership) -> SqlResult<WorkerStatus> {
        self.status().await
    }
}

struct Served {
    worker: Arc<Recorder>,
    address: String,
    /// Of its own, so that its connections can be cut by ending it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Served {
    fn cut(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn serve() -> Served {
    serve_at("127.0.0.1:0", Arc::new(Recorder::default()))
}

fn serve_at(address: &str, worker: Arc<Recorder>) -> Served {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = WorkerServer::new(worker.clone(), Duration::from_millis(100));
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        server.serve(listener, CancellationToken::new()).await.unwrap();
    });
    Served { worker, address, runtime: Some(runtime) }
}

fn txn(start: u64) -> TxnId {
    TxnId { start: Timestamp(start), coordinator: NodeId(1) }
}

fn context(start: u64) -> StatementContext {
    StatementContext {
        txn: txn(start),
        snapshot: Timestamp(1),
        statement: 1,
        lock_timeout: None,
        timeout: None,
        memory_limit: 1,
        time_zone: "UTC".into(),
        now_micros: 0,
        constraints: Default::default(),
        has_written: false,
        rewrites: false,
    }
}

fn group() -> GroupRef {
    GroupRef { group: GroupId(1), generation: Generation(1), shards: vec![] }
}

fn insert(batches: Vec<RecordBatch>) -> ModifyRequest {
    ModifyRequest {
        context: context(5),
        group: group(),
        table: TableId(1),
        change: Change::Insert { rows: RowSource::Batches(batches), on_conflict: OnConflict::Fail },
        returning: true,
        commit: false,
        in_turn: false,
    }
}

fn lock(start: u64) -> LockRequest {
    LockRequest {
        context: context(start),
        group: group(),
        table: TableId(1),
        target: LockTarget::Rows(vec![vec![1]], RowLockMode::Update),
        wait: LockWait::Wait,
        limit: None,
        skip_deleted: false,
        in_turn: false,
    }
}

fn query(groups: Vec<GroupRef>) -> QueryRequest {
    let fragment = Fragment { plan: Bytes::new(), mode: FragmentMode::Rows, constants: Vec::new() };
    let schema = numbers(0, 1).schema();
    QueryRequest { context: context(5), groups, fragment, schema, inputs: Vec::new(), report: None }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not happen within five seconds");
}

#[tokio::test]
async fn small_and_large_calls_share_the_stream() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    let large: Vec<_> = (0..10).map(|i| numbers(i * 100_000, 100_000)).collect();
    let large_call = remote.modify(insert(large));
    let small_calls = futures::future::join_all(
        (0..1000).map(|start| remote.transact(txn(start), TxnAction::Prepare)),
    );
    let (large_reply, small_replies) = tokio::join!(large_call, small_calls);
    let reply = large_reply.unwrap();
    assert_eq!(reply.count, 1_000_000);
    assert_eq!(reply.returned.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000_000);
    for (start, reply) in small_replies.into_iter().enumerate() {
        assert_eq!(reply.unwrap().timestamp, Some(Timestamp(start as u64)));
    }
}

#[tokio::test]
async fn errors_keep_their_fields() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    let mut request = insert(vec![]);
    request.change = Change::Truncate;
    let error = remote.modify(request).await.unwrap_err();
    assert_eq!(error, SqlError::unsupported("no").constraint("c"));
    let error = remote.query(query(vec![])).await.err().unwrap();
    assert_eq!(error, SqlError::new(STALE_PLACEMENT, "stale").detail("no group"));
}

#[tokio::test]
async fn a_request_that_is_meant_for_another_node_is_refused() {
    let served = serve().await;
    let remote = RemoteWorker::of_node(&served.address, NodeId(7)).unwrap();
    remote.transact(txn(1), TxnAction::Prepare).await.unwrap();
    remote.modify(insert(vec![numbers(0, 1)])).await.unwrap();
    let other = RemoteWorker::of_node(&served.address, NodeId(8)).unwrap();
    let refused = [
        other.transact(txn(2), TxnAction::Prepare).await.err(),
        other.modify(insert(vec![numbers(0, 1)])).await.err(),
        other.query(query(vec![])).await.err(),
        other.query_over(query(vec![]), futures::stream::empty().boxed()).await.err(),
        other.status().await.err(),
    ];
    for error in refused {
        let error = error.expect("refused");
        assert_eq!(error.state(), SqlState::CONNECTION_FAILURE);
        let message = "another worker answers at the address of node 8";
        assert!(error.message().ends_with(message), "{error}");
    }
}

#[tokio::test]
async fn a_blocked_call_does_not_block_the_one_that_frees_it() {
    let served = serve().await;
    let remote = Arc::new(RemoteWorker::new(&served.address).unwrap());
    let blocked = tokio::spawn({
        let remote = remote.clone();
        async move { remote.lock(lock(1)).await }
    });
    until(|| served.worker.waiting.load(Ordering::SeqCst) == 1).await;
    remote.transact(txn(2), TxnAction::CommitOnePhase(Timestamp(1))).await.unwrap();
    blocked.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_call_stops_at_the_worker() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    let call = tokio::time::timeout(Duration::from_millis(100), remote.lock(lock(1)));
    assert!(call.await.is_err());
    until(|| served.worker.waiting.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_commit_that_is_stopped_tells_what_became_of_it() {
    let mut served = serve().await;
    let remote = Arc::new(RemoteWorker::new(&served.address).unwrap());
    let request = ModifyRequest { commit: true, ..insert(vec![]) };
    let stop = CancellationToken::new();
    let commit = |stop: CancellationToken| {
        let (remote, request) = (remote.clone(), request.clone());
        tokio::spawn(async move { remote.modify_unless(request, stop).await })
    };
    let stopped = commit(stop.clone());
    until(|| served.worker.waiting.load(Ordering::SeqCst) == 1).await;
    stop.cancel();
    assert_eq!(stopped.await.unwrap().unwrap().commit_ts, Some(Timestamp(7)));

    let lost = commit(CancellationToken::new());
    until(|| served.worker.waiting.load(Ordering::SeqCst) == 1).await;
    served.cut();
    let error = lost.await.unwrap().unwrap_err();
    assert_eq!(error.state(), OUTCOME_UNKNOWN);
    // What was never sent was not committed.
    let refused = commit(CancellationToken::new()).await.unwrap().unwrap_err();
    assert_eq!(refused.state(), SqlState::CONNECTION_FAILURE);
}

#[tokio::test]
async fn results_stream_at_the_readers_pace_and_end_with_the_error() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    let mut rows = remote.query(query(vec![group()])).await.unwrap();
    let first = rows.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ahead = served.worker.streamed.load(Ordering::SeqCst);
    assert!(ahead < 100, "the worker ran {ahead} batches ahead");
    // The stalled result holds up nobody.
    remote.transact(txn(1), TxnAction::Prepare).await.unwrap();
    let mut sum = first.num_rows();
    let error = loop {
        match rows.next().await.unwrap() {
            Ok(batch) => sum += batch.num_rows(),
            Err(error) => break error,
        }
    };
    assert_eq!((sum, error.state()), (99_900_000, SqlState::DIVISION_BY_ZERO));
    assert!(rows.next().await.is_none());
}

#[tokio::test]
async fn loads_count_or_fail_as_a_whole() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    let request = LoadRequest { context: context(6), table: TableId(1), groups: vec![group()] };
    let good = futures::stream::iter((0..50).map(|i| Ok((GroupId(1), numbers(i, 10_000)))));
    assert_eq!(remote.load(request.clone(), good.boxed()).await.unwrap(), 500_000);
    let none = futures::stream::iter([]);
    assert_eq!(remote.load(request.clone(), none.boxed()).await.unwrap(), 0);
    let failure = SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, "missing data");
    let bad = futures::stream::iter([Ok((GroupId(1), numbers(0, 10))), Err(failure.clone())]);
    assert_eq!(remote.load(request, bad.boxed()).await.unwrap_err(), failure);
}

#[tokio::test]
async fn inputs_arrive_whole_or_fail_the_query() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    let schema = numbers(0, 1).schema();
    let inputs = vec![Input { schema, by_group: false }];
    let request = QueryRequest { inputs, ..query(vec![group()]) };
    let part = |rows| Ok(InputRows { input: 0, rows });
    let good = futures::stream::iter((0..50).map(move |i| part(numbers(i, 10_000))));
    let rows = remote.query_over(request.clone(), good.boxed()).await.unwrap();
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 500_000);
    let failure = SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    let bad = futures::stream::iter([part(numbers(0, 10)), Err(failure.clone())]);
    let rows = remote.query_over(request.clone(), bad.boxed()).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap_err(), failure);
    let unknown = futures::stream::iter([Ok(InputRows { input: 1, rows: numbers(0, 10) })]);
    let rows = remote.query_over(request, unknown.boxed()).await.unwrap();
    assert!(rows.try_collect::<Vec<_>>().await.is_err());
}

#[tokio::test]
async fn a_lost_connection_is_08006_and_the_next_call_reconnects() {
    let mut served = serve().await;
    let remote = Arc::new(RemoteWorker::new(&served.address).unwrap());
    let blocked = tokio::spawn({
        let remote = remote.clone();
        async move { remote.lock(lock(1)).await }
    });
    until(|| served.worker.waiting.load(Ordering::SeqCst) == 1).await;
    served.cut();
    let error = blocked.await.unwrap().unwrap_err();
    assert_eq!(error.state(), SqlState::CONNECTION_FAILURE);
    let expected = format!("connection to the remote node {} failed", served.address);
    assert!(error.message().starts_with(&expected), "{error}");
    let error = remote.status().await.unwrap_err();
    assert_eq!(error.state(), SqlState::CONNECTION_FAILURE);

    let _again = serve_at(&served.address, served.worker.clone());
    let mut answer = remote.status().await;
    for _ in 0..100 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = remote.status().await;
    }
    assert_eq!(answer.unwrap().directory, "d");
}

#[tokio::test]
async fn transactions_of_a_gone_coordinator_are_aborted_unless_prepared() {
    let served = serve().await;
    let remote = RemoteWorker::new(&served.address).unwrap();
    for start in [1, 2, 3] {
        let mut request = insert(vec![]);
        request.context.txn = txn(start);
        remote.modify(request).await.unwrap();
    }
    remote.transact(txn(2), TxnAction::Prepare).await.unwrap();
    remote.transact(txn(3), TxnAction::CommitOnePhase(Timestamp(1))).await.unwrap();
    drop(remote);
    until(|| !served.worker.aborted.lock().unwrap().is_empty()).await;
    assert_eq!(*served.worker.aborted.lock().unwrap(), [txn(1)]);
}

#[tokio::test]
async fn whoever_speaks_another_protocol_is_turned_away() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let served = serve().await;
    for hello in
        [&b"SATSUMA\xff------------"[..], b"SELECT 1 FROM clicks;", b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut socket = tokio::net::TcpStream::connect(&served.address).await.unwrap();
        socket.write_all(hello).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, after an HTTP/2 frame at most.
        let read = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer));
        let _ = read.await.expect("the server let go of the socket");
        assert!(answer.len() < 100, "{answer:?}");
    }
    RemoteWorker::new(&served.address).unwrap().status().await.unwrap();
}

#[tokio::test]
async fn what_is_under_way_at_the_stop_is_answered() {
    let worker = Arc::new(Recorder::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let server = WorkerServer::new(worker.clone(), Duration::from_millis(100));
    let server = tokio::spawn(server.serve(listener, stop.clone()));
    let remote = Arc::new(RemoteWorker::new(&address).unwrap());
    let blocked = tokio::spawn({
        let remote = remote.clone();
        async move { remote.lock(lock(1)).await }
    });
    until(|| worker.waiting.load(Ordering::SeqCst) == 1).await;
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.gate.open();
    blocked.await.unwrap().unwrap();
    server.await.unwrap().unwrap();
}
