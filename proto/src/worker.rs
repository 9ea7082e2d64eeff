//! What a coordinator asks of a worker.
//!
//! [`Worker`] has two implementations: the worker itself, called in process by `satsuma up`, and
//! the gRPC client. Errors arrive as the [`SqlError`] that the user will see, except for
//! [`STALE_PLACEMENT`] and [`CHANGED_SINCE_SNAPSHOT`], which the session answers by trying again.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use satsuma_common::table::{ConstraintModes, ConstraintRef, TableShape};
use satsuma_common::{
    Epoch, Generation, GroupId, Lsn, NodeId, Oid, ShardId, SqlResult, SqlState, TableId, Timestamp,
    TxnId,
};
use tokio_util::sync::CancellationToken;

use crate::copy::{CopyReply, CopyRequest};
use crate::report::{PlanStyle, ReportWanted};

/// `transaction_resolution_unknown`: a commit was under way, and may have been carried out.
pub const OUTCOME_UNKNOWN: SqlState = SqlState::TRANSACTION_RESOLUTION_UNKNOWN;

/// The request names a group that this worker does not hold, or an old generation or table
/// version: plan again on a fresh catalog snapshot.
pub const STALE_PLACEMENT: SqlState = SqlState(*b"SA001");
/// A row was changed by a transaction that committed after the statement's snapshot. The row's
/// lock is now held: under READ COMMITTED run the statement again with a new snapshot.
pub const CHANGED_SINCE_SNAPSHOT: SqlState = SqlState(*b"SA002");

/// The request speaks of a [`Program`] that this worker does not know (any more): send it along.
pub const UNKNOWN_PROGRAM: SqlState = SqlState(*b"SA003");

/// Rows in the order they were produced. Ends after the first error.
pub type BatchStream = BoxStream<'static, SqlResult<RecordBatch>>;

/// One statement's view and bounds, sent with every request that reads or writes rows.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementContext {
    pub txn: TxnId,
    /// Rows committed at or before this moment are visible, and the transaction's own writes.
    pub snapshot: Timestamp,
    /// Counts the transaction's statements from 1; a repeated attempt has a new number. Writes
    /// of a failed statement are undone with [`TxnAction::UndoStatement`].
    pub statement: u32,
    /// How long to wait for one row lock; `None` waits until the statement ends.
    pub lock_timeout: Option<Duration>,
    /// What is left of `statement_timeout`.
    pub timeout: Option<Duration>,
    /// Bytes that the fragment may hold in memory before it spills or fails.
    pub memory_limit: u64,
    /// IANA name of the session's TimeZone, for casts that depend on it.
    pub time_zone: String,
    /// `now()`: the start of the transaction, microseconds since 1970-01-01 UTC.
    pub now_micros: i64,
    /// Which foreign keys wait for the end of the transaction.
    pub constraints: ConstraintModes,
    /// The transaction has written or locked rows, maybe at other nodes: one that has restarted
    /// since it began may have lost them, and must not answer as if there were none.
    pub has_written: bool,
    /// Rows are written anew as they are: what they refer to was looked at when they came.
    pub rewrites: bool,
}

/// A shard group as the coordinator believes it to be placed, with the group's shards that the
/// request touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRef {
    pub group: GroupId,
    pub generation: Generation,
    pub shards: Vec<TableShard>,
}

/// A table's shard in a group, and the version of the table's shape that was planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableShard {
    pub table: TableId,
    pub shard: ShardId,
    pub version: u64,
}

/// A logical plan over table scans, as `satsuma_sql::codec` writes it. Each scan names a table;
/// the worker binds it to the table's shard in the group at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub plan: Bytes,
    pub mode: FragmentMode,
    /// Constants that the plan was written without, as `satsuma_sql::codec` writes them: `$1`,
    /// `$2`, ... of the plan.
    pub constants: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FragmentMode {
    /// The plan's rows.
    #[default]
    Rows,
    /// The plan's root is an aggregate: run it in partial mode and give its accumulator states,
    /// as `satsuma_sql::split_aggregate` lays them out.
    PartialAggregate,
}

/// Run one fragment on each of several groups. The results follow each other in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRequest {
    pub context: StatementContext,
    pub groups: Vec<GroupRef>,
    pub fragment: Fragment,
    /// Schema of the result, as the coordinator expects it.
    pub schema: SchemaRef,
    /// What the fragment reads beside its groups' shards, by number from 0. With any, the request
    /// goes to [`Worker::query_over`].
    pub inputs: Vec<Input>,
    pub report: Option<ReportWanted>,
}

/// Rows from elsewhere that a fragment reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub schema: SchemaRef,
    /// Each row is for one group: a last column of the batches, UInt32 and not in `schema`, is
    /// the group's position in the request. Otherwise every group reads all rows.
    pub by_group: bool,
}

/// Some rows of an input, of all inputs of a request in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRows {
    pub input: usize,
    pub rows: RecordBatch,
}

/// The rows of all inputs. The worker takes them as fast as they come and keeps on disk what is
/// too much for its memory, so that no sender waits for another. An error fails the query.
pub type InputStream = BoxStream<'static, SqlResult<InputRows>>;

/// Change rows of one table in one group.
#[derive(Clone, Debug, PartialEq)]
pub struct ModifyRequest {
    pub context: StatementContext,
    /// Holds the target's shard, and the shards of every table that a fragment reads.
    pub group: GroupRef,
    pub table: TableId,
    pub change: Change,
    /// Send back the changed rows: the new row (the old one for DELETE) and then the extra
    /// columns of the source.
    pub returning: bool,
    /// The statement is the whole transaction and touches this group alone: commit it too. After
    /// an error the transaction is over, except after [`CHANGED_SINCE_SNAPSHOT`] and
    /// [`STALE_PLACEMENT`]: its writes are undone, its locks stay, and it waits for the next
    /// attempt or its end.
    pub commit: bool,
    /// The statement goes to few groups, one after the other; it has a part of
    /// [`ShardLocks::all_rows`] in each.
    pub in_turn: bool,
}

/// What to do. Row batches hold the table's columns in the order of its shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Insert {
        rows: RowSource,
        on_conflict: OnConflict,
    },
    /// Rows are the key of the row to replace (column [`KEY_COLUMN`]), the table's columns as
    /// they shall be, then any extra columns for RETURNING. A key that occurs twice is updated
    /// once, as in PostgreSQL.
    Update {
        rows: RowSource,
    },
    /// Rows are [`KEY_COLUMN`], then any extra columns for RETURNING.
    Delete {
        rows: RowSource,
    },
    /// Rows as for `Update`, whose new form belongs to another group: they are taken away here,
    /// and inserted there by a request of its own. To foreign keys this is an update.
    MoveOut {
        rows: RowSource,
    },
    Truncate,
}

/// Name of the hidden scan column that identifies a row within its shard: the encoded primary
/// key, or a hidden row id. Arrow type Binary. Always the last column of a scan's full schema.
pub const KEY_COLUMN: &str = "__key";

/// Where the rows of a change come from.
#[derive(Clone, Debug, PartialEq)]
pub enum RowSource {
    Batches(Vec<RecordBatch>),
    /// Evaluated at the worker, on the group of the change.
    Fragment(Fragment),
    /// For INSERT: rows as `satsuma_common::row` encodes them, under the version of the table's
    /// shape that the request names.
    Encoded(Vec<Bytes>),
    /// For UPDATE and DELETE: the row with a key, as it is when its lock is held.
    Keyed(KeyedRow),
}

/// A row to change by its primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRow {
    /// The encoded primary key.
    pub key: Bytes,
    /// READ COMMITTED: a row that was changed since the snapshot is taken as it is now, as if the
    /// snapshot had been taken when the row's lock was had. Otherwise it is
    /// [`CHANGED_SINCE_SNAPSHOT`].
    pub newest: bool,
    /// For UPDATE.
    pub assignments: Option<Assignments>,
}

/// What an UPDATE sets: a program that the worker keeps, and this execution's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignments {
    pub id: ProgramId,
    /// Sent where the worker may not know it yet; without it, an unknown one is
    /// [`UNKNOWN_PROGRAM`].
    pub program: Option<Program>,
    /// In their physical form ([`satsuma_common::row::value`]); `None` is NULL.
    pub params: Vec<Option<Bytes>>,
}

/// Names a program for as long as its coordinator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId {
    /// Drawn at random when the coordinator started.
    pub origin: u64,
    pub number: u64,
}

/// Expressions over one row of a table and parameters. Belongs to one version of the shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A projection over a scan of handed-in rows (`satsuma_sql::codec`), whose columns are the
    /// `inputs` and then the parameters.
    pub plan: Bytes,
    /// Columns that the expressions use, as positions in the shape.
    pub inputs: Vec<u32>,
    /// Columns that the expressions are assigned to, in their order.
    pub targets: Vec<u32>,
}

/// The row of a table with a primary key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRead {
    pub context: StatementContext,
    /// Holds the table's shard.
    pub group: GroupRef,
    pub table: TableId,
    /// The encoded primary key.
    pub key: Bytes,
}

/// INSERT .. ON CONFLICT. `arbiters` are the unique indexes whose conflicts count, with
/// [`PRIMARY_KEY`] for the primary key; none: all of them.
#[derive(Clone, Debug, PartialEq)]
pub enum OnConflict {
    /// 23505.
    Fail,
    DoNothing {
        arbiters: Vec<Oid>,
    },
    /// The fragment maps an input of the existing row's columns followed by the proposed row's
    /// columns to the table's columns as they shall be; a row that its WHERE drops stays as is.
    DoUpdate {
        arbiters: Vec<Oid>,
        fragment: Fragment,
    },
}

impl OnConflict {
    pub fn arbiters(&self) -> &[Oid] {
        match self {
            Self::Fail => &[],
            Self::DoNothing { arbiters } | Self::DoUpdate { arbiters, .. } => arbiters,
        }
    }
}

/// Stands for the primary key among unique indexes.
pub const PRIMARY_KEY: Oid = Oid(0);

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ModifyReply {
    /// Rows changed.
    pub count: u64,
    pub returned: Vec<RecordBatch>,
    /// When `commit` was asked for.
    pub commit_ts: Option<Timestamp>,
}

/// Bulk insertion into one or more shards of one table: batches of the table's columns, each
/// tagged with its group. A further column [`LINE_COLUMN`] of `UInt32` tells the line of a file
/// that each row comes from, 0 where that is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadRequest {
    pub context: StatementContext,
    pub table: TableId,
    pub groups: Vec<GroupRef>,
}

pub const LINE_COLUMN: &str = "line of the file";

/// Steps of a transaction at one worker. The worker is one participant, however many groups of
/// it the transaction touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnAction {
    /// Carry out the checks that were put off, and make the writes durable, undecided; answers
    /// with the lowest allowed commit timestamp.
    Prepare,
    /// Commit a prepared transaction at the given moment. Unknown transactions are ignored: a
    /// repeated message.
    Commit(Timestamp),
    /// Prepare and commit at once, at the given moment or later.
    CommitOnePhase(Timestamp),
    Abort,
    /// Forget the writes of the last statement, which began with this number; locks stay.
    UndoStatement(u32),
    /// Forget the writes of every statement with a number above this one (ROLLBACK TO).
    RollbackTo(u32),
    /// Carry out checks that were put off, all of them or those of some constraints, as the
    /// statement with this number.
    CheckDeferred {
        statement: u32,
        only: Option<Vec<ConstraintRef>>,
    },
    /// Answers whether checks of the table's rows wait for the end of the transaction.
    PendingOn(TableId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TxnReply {
    /// For Prepare the lowest allowed commit timestamp; for a commit the moment of the commit.
    pub timestamp: Option<Timestamp>,
    /// For PendingOn.
    pub pending: bool,
}

/// Lock rows or whole shards for the transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct LockRequest {
    pub context: StatementContext,
    pub group: GroupRef,
    pub table: TableId,
    pub target: LockTarget,
    pub wait: LockWait,
    /// Stop when so many rows are locked.
    pub limit: Option<u32>,
    /// A row that was deleted after the snapshot is left out, instead of being
    /// [`CHANGED_SINCE_SNAPSHOT`].
    pub skip_deleted: bool,
    /// As in [`ModifyRequest`].
    pub in_turn: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LockTarget {
    /// Encoded row keys, and how strongly.
    Rows(Vec<Vec<u8>>, RowLockMode),
    /// The table's shard as a whole.
    Shard(TableLockMode),
    /// The same and more.
    Shards(ShardLocks),
}

/// The table's shards in the request's group and in others, locked one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardLocks {
    pub others: Vec<GroupRef>,
    pub mode: TableLockMode,
    /// Also what stands for all rows of a shard, so that those who change rows in many shards at
    /// once do it one by one ([`RowLockMode::Update`]), and not beside those who go to few in
    /// turn ([`RowLockMode::Share`]). It keeps out nobody else.
    pub all_rows: Option<RowLockMode>,
}

/// PostgreSQL's four row lock strengths, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowLockMode {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

/// PostgreSQL's table lock modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableLockMode {
    AccessShare,
    /// Whoever locks rows.
    RowShare,
    /// Writers.
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    /// Schema changes, TRUNCATE, DROP.
    AccessExclusive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    Wait,
    /// 55P03 at once.
    NoWait,
    /// Leave out what is locked.
    SkipLocked,
}

/// What is locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockedThing {
    /// A row by its encoded key.
    Row(ShardId, Vec<u8>),
    Shard(ShardId),
    /// An advisory lock by its encoded name.
    Advisory(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    Row(RowLockMode),
    Table(TableLockMode),
}

/// A lock that is held or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockEntry {
    pub txn: TxnId,
    pub thing: LockedThing,
    pub mode: LockMode,
    pub granted: bool,
}

/// `waiter` cannot go on before `holder` lets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitEdge {
    /// Number of the wait at its worker; a later wait has another one.
    pub wait: u64,
    pub waiter: TxnId,
    pub holder: TxnId,
    pub thing: LockedThing,
}

/// A worker's locks.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Locks {
    pub entries: Vec<LockEntry>,
    pub waits: Vec<WaitEdge>,
}

/// An advisory lock, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisoryRequest {
    pub txn: TxnId,
    /// The id of a transaction that never commits: it holds what the session holds.
    pub session: TxnId,
    /// Hold it for the session; else until the transaction ends.
    pub for_session: bool,
    pub name: Vec<u8>,
    pub shared: bool,
    pub action: AdvisoryAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisoryAction {
    /// Wait for it, so long at most.
    Wait(Option<Duration>),
    Try,
    /// Of the session's locks.
    Unlock,
}

/// Life of shards on one worker. Every action is idempotent and durable when answered.
#[derive(Clone, Debug, PartialEq)]
pub enum ShardAction {
    Create {
        shape: TableShape,
        shards: Vec<(ShardId, GroupId, Generation)>,
    },
    /// A new shape of a table whose shards are here.
    Alter {
        shape: TableShape,
        /// Whose it is, until its commit; `None`: it stands.
        by: Option<TxnId>,
    },
    /// The shape that the catalog has, and that stands. Tells a worker that was left with another
    /// one by a coordinator that died; nothing happens while a transaction holds the table.
    Restore {
        shape: TableShape,
    },
    /// Refused by any node but this one: another one's shards are not known to be of no use.
    Drop {
        node: NodeId,
        shards: Vec<ShardId>,
    },
    /// The worker learns a group's present generation and epoch; older requests become stale.
    SetGeneration {
        group: GroupId,
        generation: Generation,
        epoch: Epoch,
    },
    /// Builds indexes that the table's shape has, over the rows that are there, anew where they
    /// were built before. 23505 when a unique one does not hold for the newest rows and the
    /// transaction's own; the caller holds the shards' locks.
    BuildIndexes {
        table: TableId,
        indexes: Vec<Oid>,
        txn: TxnId,
    },
    List,
    /// No statement of this coordinator will read below this snapshot any more. Told again and
    /// again; not durable.
    OldestSnapshot {
        coordinator: NodeId,
        snapshot: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShardReply {
    /// For `List`: every shard of this worker.
    pub shards: Vec<ShardStatus>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShardStatus {
    pub shard: ShardId,
    pub table: TableId,
    pub group: GroupId,
    /// Live rows, estimated.
    pub rows: u64,
    /// Bytes on disk and in the delta.
    pub bytes: u64,
    /// Of its group, as this worker knows it.
    pub generation: Generation,
    /// Whose definition the table's shape is, until its commit.
    pub defined_by: Option<TxnId>,
    /// Bytes of each index, beside those.
    pub indexes: Vec<(Oid, u64)>,
}

/// What a worker is told when the cluster takes it in: at its registration, or when a user adds
/// it with `citus_add_node`. The worker remembers it durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Identity of the cluster. A worker belongs to one for life.
    pub cluster: String,
    pub node: NodeId,
    /// `host:port` of the coordinators' gRPC ports, to ask for outcomes.
    pub coordinators: Vec<String>,
}

/// How a worker announces itself to a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub host: String,
    pub port: u16,
    /// Identity of the data directory: the same directory is the same node, wherever it listens.
    pub directory: String,
    /// The cluster that it belongs to already, and which node of it it is.
    pub member: Option<(String, NodeId)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The cluster that it belongs to; `None` like `node`.
    pub cluster: Option<String>,
    /// `None` until a coordinator has accepted this worker.
    pub node: Option<NodeId>,
    /// Identity of the data directory, made at its first start.
    pub directory: String,
    pub lsn: Lsn,
    /// Transactions that are prepared and still need their outcome. That of every other one is
    /// durable at the worker.
    pub prepared: Vec<TxnId>,
}

#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// The node that the worker knows itself to be; `None` before it belongs to a cluster.
    fn node(&self) -> Option<NodeId>;

    async fn query(&self, request: QueryRequest) -> SqlResult<BatchStream>;

    /// The same for a request with inputs. The fragment starts when all rows are there.
    async fn query_over(
        &self,
        request: QueryRequest,
        inputs: InputStream,
    ) -> SqlResult<BatchStream>;

    /// The physical plan of the fragment on the first group, laid out as PostgreSQL prints a plan
    /// of its own: the root at the margin, properties two columns in, children behind `->`.
    async fn explain(&self, request: QueryRequest, style: PlanStyle) -> SqlResult<Vec<String>>;

    async fn modify(&self, request: ModifyRequest) -> SqlResult<ModifyReply> {
        self.modify_unless(request, CancellationToken::new()).await
    }

    /// The same until `stop`. A request that commits answers even so: with 57014 when nothing was
    /// committed, and with its reply when it is too late to stop.
    async fn modify_unless(
        &self,
        request: ModifyRequest,
        stop: CancellationToken,
    ) -> SqlResult<ModifyReply>;

    /// The row as the statement sees it, encoded under the version of the shape that the request
    /// names; `None` where there is none.
    async fn read_key(&self, request: KeyRead) -> SqlResult<Option<Bytes>>;

    /// Answers with the number of rows. `rows` pairs each batch with the group it belongs to.
    async fn load(
        &self,
        request: LoadRequest,
        rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
    ) -> SqlResult<u64>;

    /// Answers with the keys that were locked (all, unless `SkipLocked`).
    async fn lock(&self, request: LockRequest) -> SqlResult<Vec<Vec<u8>>>;

    /// Takes an advisory lock, or gives it back. `false`: not to be had, or not held.
    async fn advisory(&self, request: AdvisoryRequest) -> SqlResult<bool>;

    /// Who waits for whom and, unless `rows` is 0, what is locked: of rows that nobody waits for
    /// at most `rows`.
    async fn locks(&self, rows: u32) -> SqlResult<Locks>;

    /// Ends the waits of a transaction that was chosen as a deadlock's victim with 40P01.
    async fn cancel_wait(&self, victim: TxnId, detail: String) -> SqlResult<()>;

    async fn transact(&self, txn: TxnId, action: TxnAction) -> SqlResult<TxnReply>;

    async fn shards(&self, action: ShardAction) -> SqlResult<ShardReply>;

    /// A step of a shard group's move, on either side.
    async fn copy(&self, request: CopyRequest) -> SqlResult<CopyReply>;

    async fn status(&self) -> SqlResult<WorkerStatus>;

    /// Take the worker into the cluster, or tell it where the coordinators are now. A worker that
    /// already belongs to another node id refuses with 55000.
    async fn join(&self, membership: Membership) -> SqlResult<WorkerStatus>;
}

/// What a worker asks of the coordinators.
#[async_trait]
pub trait Outcomes: Send + Sync + 'static {
    /// The fate of a prepared transaction: `Some(ts)` committed then, `None` aborted. Asking
    /// decides: a transaction without a decision is aborted by the question.
    async fn outcome(&self, txn: TxnId) -> SqlResult<Option<Timestamp>>;

    /// The same without deciding anything; `None` when nothing is decided yet.
    async fn peek_outcome(&self, txn: TxnId) -> SqlResult<Option<Option<Timestamp>>>;

    /// A moment of the cluster's clock: transactions that began before this call began before it.
    async fn now(&self) -> SqlResult<Timestamp>;

    /// Announce a worker that was started with `--coordinator`. Idempotent: a known directory
    /// keeps its node id, and its address is brought up to date.
    async fn register(&self, worker: Registration) -> SqlResult<Membership>;
}
