//! Transactions as the coordinator that runs them sees them.
//!
//! ```text
//!  begin        id and start from the oracle; nothing is sent
//!  statements   a snapshot each (or one for all), writes buffered at workers under locks
//!  commit       nobody wrote:     nothing to do
//!               one participant:  CommitOnePhase, the worker names the moment
//!               several, or DDL:  Prepare all -> decide in the catalog's log -> Commit all
//! ```
//!
//! The decision is one entry of the replicated log: whoever dies, a participant that asks is
//! told the same. The client is answered once the decision stands and the participants were told;
//! those that could not be reached hold readers up until they have heard of it. Telling waits for
//! no disk: the decision stays in the catalog until it is durable at all participants.

mod deferred;
mod overlay;
mod two_phase;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use satsuma_common::table::ConstraintModes;
use satsuma_common::{NodeId, ShardId, SqlError, SqlResult, SqlState, TableId, Timestamp, TxnId};
use satsuma_proto::worker::{OUTCOME_UNKNOWN, ShardAction, TxnAction, Worker};

pub use overlay::Overlay;
use two_phase::{Effect, Event, Fate, TwoPhase};

use crate::catalog::{Command, Outcome};
use crate::cluster::Cluster;
use crate::sequences::PrivateSequences;
use crate::snapshots::Kept;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
}

pub struct Transaction {
    /// `None`: no statement has asked anything of the database yet.
    start: Option<Start>,
    pub isolation: Isolation,
    read_only: bool,
    /// Begun by BEGIN, as opposed to by a statement on its own.
    pub is_block: bool,
    /// `now()`: microseconds since 1970-01-01 UTC.
    pub now_micros: i64,
    /// Of the last statement; those of REPEATABLE READ share that of the first.
    snapshot: Option<Timestamp>,
    /// Number of the statement under way, from 1.
    statement: u32,
    /// Workers that hold writes or locks of this transaction.
    participants: BTreeMap<NodeId, Arc<dyn Worker>>,
    /// Some of them were sent writes.
    writes: bool,
    /// Among them to tables with constraints whose checks can wait.
    may_put_off: bool,
    /// Uncommitted DDL.
    overlay: Option<Overlay>,
    /// What the statement under way began with: its first number, and the DDL until then.
    began: (u32, Option<Overlay>),
    /// Tables whose shards this transaction has locked as a whole.
    locked: BTreeSet<TableId>,
    /// Tables that were truncated, by which statement.
    truncated: BTreeMap<TableId, u32>,
    pub sequences: PrivateSequences,
    /// What SET CONSTRAINTS has said.
    constraints: ConstraintModes,
    savepoints: Vec<Savepoint>,
}

struct Start {
    id: TxnId,
    /// Workers keep what its snapshots see.
    _kept: Kept,
    /// The moment of the statement that began it, until one sees it.
    unseen: Option<Timestamp>,
}

struct Savepoint {
    name: String,
    /// Statements with a higher number came after it.
    statement: u32,
    overlay: Option<Overlay>,
    constraints: ConstraintModes,
    read_only: bool,
}

impl Transaction {
    pub fn new(isolation: Isolation, read_only: bool, is_block: bool) -> Self {
        Self {
            start: None,
            isolation,
            read_only,
            is_block,
            now_micros: crate::clock::now_micros(),
            snapshot: None,
            statement: 0,
            participants: BTreeMap::new(),
            writes: false,
            may_put_off: false,
            overlay: None,
            began: (0, None),
            locked: BTreeSet::new(),
            truncated: BTreeMap::new(),
            sequences: PrivateSequences::default(),
            constraints: ConstraintModes::default(),
            savepoints: Vec::new(),
        }
    }

    /// To be called by statements that ask something of the database, before they do. BEGIN does
    /// not: what others commit between it and the first statement, that statement sees.
    pub async fn start(&mut self, cluster: &Cluster) -> SqlResult<()> {
        let start = cluster.oracle.timestamp().await?;
        if !self.is_block {
            self.now_micros = i64::try_from(start.0).unwrap_or(i64::MAX);
        }
        self.start = Some(Start {
            id: TxnId { start, coordinator: cluster.node },
            _kept: cluster.snapshots.keep(start),
            unseen: Some(start),
        });
        Ok(())
    }

    /// `None` before [`Self::start`].
    pub fn id(&self) -> Option<TxnId> {
        self.start.as_ref().map(|start| start.id)
    }

    pub fn known_id(&self) -> SqlResult<TxnId> {
        self.id().ok_or_else(|| SqlError::internal("the transaction has not begun"))
    }

    /// The statement that began the transaction is over.
    pub fn statement_ended(&mut self) {
        if let Some(start) = &mut self.start {
            start.unseen = None;
        }
    }

    /// A statement that only locks settles no snapshot: the next one sees what the locks waited
    /// for.
    pub fn forget_snapshot(&mut self, before: Option<Timestamp>) {
        self.snapshot = before;
    }

    pub fn snapshot(&self) -> Option<Timestamp> {
        self.snapshot
    }

    /// The moment that the next statement sees, and the statement's number.
    pub async fn next_statement(&mut self, cluster: &Cluster) -> SqlResult<(Timestamp, u32)> {
        let (snapshot, statement) = self.next_step(cluster).await?;
        self.began = (statement, self.overlay.clone());
        Ok((snapshot, statement))
    }

    /// As [`Self::next_statement`], for a statement that goes on: it sees what it wrote so far,
    /// and is undone as a whole.
    pub async fn next_step(&mut self, cluster: &Cluster) -> SqlResult<(Timestamp, u32)> {
        self.statement = self.statement.checked_add(1).ok_or_else(|| {
            SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many statements in a transaction")
        })?;
        let unseen = self.start.as_mut().and_then(|start| start.unseen.take());
        let snapshot = match (self.isolation, self.snapshot, unseen) {
            (Isolation::RepeatableRead, Some(snapshot), _) => snapshot,
            // One question less.
            (_, _, Some(start)) => start,
            (_, _, None) => cluster.oracle.timestamp().await?,
        };
        self.snapshot = Some(snapshot);
        Ok((snapshot, self.statement))
    }

    pub fn statement(&self) -> u32 {
        self.statement
    }

    /// Whether a statement has seen the database: the isolation level is settled.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// To be called before anything that writes is sent to the worker.
    pub fn touch(&mut self, node: NodeId, worker: &Arc<dyn Worker>) {
        self.writes = true;
        self.touch_to_lock(node, worker);
    }

    /// To be called before the worker is asked for a lock.
    pub fn touch_to_lock(&mut self, node: NodeId, worker: &Arc<dyn Worker>) {
        self.participants.entry(node).or_insert_with(|| worker.clone());
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// 25001 where it may not be left any more.
    pub fn set_read_only(&mut self, read_only: bool) -> SqlResult<()> {
        let refused = |text: &str| Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, text));
        match self.read_only && !read_only {
            true if !self.savepoints.is_empty() => {
                refused("cannot set transaction read-write mode inside a read-only transaction")
            }
            true if self.has_snapshot() => {
                refused("transaction read-write mode must be set before any query")
            }
            _ => {
                self.read_only = read_only;
                Ok(())
            }
        }
    }

    /// 25001 where it is settled.
    pub fn set_isolation(&mut self, isolation: Isolation) -> SqlResult<()> {
        let refused = |text: &str| Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, text));
        if self.isolation == isolation {
            return Ok(());
        }
        if self.has_snapshot() {
            return refused("SET TRANSACTION ISOLATION LEVEL must be called before any query");
        }
        if !self.savepoints.is_empty() {
            return refused(
                "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
            );
        }
        self.isolation = isolation;
        Ok(())
    }

    /// Whether a worker holds something of it.
    pub fn has_participants(&self) -> bool {
        !self.participants.is_empty()
    }

    pub fn has_written(&self) -> bool {
        !self.participants.is_empty() || self.overlay.is_some()
    }

    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    /// The transaction's private catalog, made of the present one at first use.
    pub fn overlay_mut(&mut self, cluster: &Cluster) -> &mut Overlay {
        self.overlay.get_or_insert_with(|| Overlay::new(cluster.catalog.snapshot()))
    }

    /// Puts the transaction's DDL on top of the present catalog.
    pub fn rebase(&mut self, cluster: &Cluster) -> SqlResult<()> {
        match self.overlay.as_mut() {
            Some(overlay) => overlay.rebase(cluster.catalog.snapshot()),
            None => Ok(()),
        }
    }

    pub fn has_locked(&self, table: TableId) -> bool {
        self.locked.contains(&table)
    }

    pub fn table_locked(&mut self, table: TableId) {
        self.locked.insert(table);
    }

    /// The statement under way has emptied these tables.
    pub fn truncated(&mut self, tables: impl Iterator<Item = TableId>) {
        self.truncated.extend(tables.map(|table| (table, self.statement)));
    }

    /// Whether the table was made or emptied since the last savepoint: what a rollback to it
    /// leaves of the table holds none of the rows that come now.
    pub fn is_fresh(&self, table: TableId) -> bool {
        let last = self.savepoints.last();
        let before = last.and_then(|savepoint| savepoint.overlay.as_ref());
        let is_new = |overlay: &Overlay| overlay.is_new(table);
        let made = self.overlay.as_ref().is_some_and(is_new) && !before.is_some_and(is_new);
        let since = last.map_or(0, |savepoint| savepoint.statement);
        made || self.truncated.get(&table).is_some_and(|statement| *statement > since)
    }

    /// A statement of a transaction block failed. Without a savepoint to go back to nothing of
    /// the transaction can remain, and nobody need wait for its client to end it.
    pub async fn fail(&mut self, cluster: &Cluster) -> SqlResult<()> {
        if !self.savepoints.is_empty() {
            return self.undo_statement(cluster).await;
        }
        let overlay = self.overlay.take();
        self.abort(cluster, overlay).await;
        self.participants.clear();
        Ok(())
    }

    /// The statement under way failed and will be tried again, or came after a savepoint: its
    /// writes and definitions are forgotten, its locks stay.
    pub async fn undo_statement(&mut self, cluster: &Cluster) -> SqlResult<()> {
        let (first, overlay) = self.began.clone();
        self.truncated.retain(|_, statement| *statement < first);
        self.restore_overlay(cluster, overlay).await;
        self.tell_all(TxnAction::UndoStatement(first)).await
    }

    /// Goes back to an earlier state of the transaction's DDL.
    async fn restore_overlay(&mut self, cluster: &Cluster, overlay: Option<Overlay>) {
        let undone = std::mem::replace(&mut self.overlay, overlay);
        let Some(undone) = undone else { return };
        let kept = self.overlay.as_ref();
        if kept.is_some_and(|kept| kept.commands().len() == undone.commands().len()) {
            return;
        }
        let made = kept.map_or(&[][..], Overlay::created);
        let only = undone.created().iter().filter(|shard| !made.contains(shard)).copied();
        drop_shards(cluster, only.collect()).await;
        restore_shapes(cluster, self.id(), &undone, kept).await;
    }

    pub fn savepoint(&mut self, name: &str) {
        self.savepoints.push(Savepoint {
            name: name.into(),
            statement: self.statement,
            overlay: self.overlay.clone(),
            constraints: self.constraints.clone(),
            read_only: self.read_only,
        });
    }

    pub fn release(&mut self, name: &str) -> SqlResult<()> {
        let index = self.savepoint_index(name)?;
        self.read_only = self.savepoints[index].read_only;
        self.savepoints.truncate(index);
        Ok(())
    }

    /// ROLLBACK TO: the savepoint itself stays. Answers with the last statement before it.
    pub async fn rollback_to(&mut self, cluster: &Cluster, name: &str) -> SqlResult<u32> {
        let index = self.savepoint_index(name)?;
        self.savepoints.truncate(index + 1);
        let savepoint = &self.savepoints[index];
        let (statement, overlay) = (savepoint.statement, savepoint.overlay.clone());
        self.constraints = savepoint.constraints.clone();
        self.read_only = savepoint.read_only;
        self.truncated.retain(|_, truncated| *truncated <= statement);
        self.restore_overlay(cluster, overlay).await;
        self.tell_all(TxnAction::RollbackTo(statement)).await?;
        Ok(statement)
    }

    fn savepoint_index(&self, name: &str) -> SqlResult<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SAVEPOINT_SPECIFICATION,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
    }

    async fn tell_all(&self, action: TxnAction) -> SqlResult<()> {
        if self.participants.is_empty() {
            return Ok(());
        }
        let id = self.known_id()?;
        let answers = self.participants.values().map(|worker| worker.transact(id, action.clone()));
        join_all(answers).await.into_iter().try_for_each(|answer| answer.map(|_| ()))
    }

    /// Makes everything durable and visible, or nothing. One that has begun comes to its end even
    /// when its caller goes away.
    pub async fn commit(self, cluster: &Arc<Cluster>) -> SqlResult<()> {
        if !self.has_written() {
            return Ok(());
        }
        let cluster = cluster.clone();
        let end = tokio::spawn(async move { self.carry_through(&cluster).await });
        end.await.unwrap_or_else(|failure| Err(SqlError::internal(failure.to_string())))
    }

    async fn carry_through(mut self, cluster: &Arc<Cluster>) -> SqlResult<()> {
        let overlay = self.overlay.take();
        match (self.participants.len(), overlay) {
            (_, None) if !self.writes => self.let_go(cluster).await,
            (1, None) => self.commit_one_phase(cluster).await,
            (_, overlay) => self.commit_two_phase(cluster, overlay).await,
        }
    }

    /// Nothing was written: there is nothing to make durable, and locks need only go.
    async fn let_go(self, cluster: &Cluster) -> SqlResult<()> {
        self.abort(cluster, None).await;
        Ok(())
    }

    async fn commit_one_phase(self, cluster: &Arc<Cluster>) -> SqlResult<()> {
        let at_least = match cluster.oracle.timestamp().await {
            Ok(moment) => moment,
            Err(error) => {
                self.abort(cluster, None).await;
                return Err(error);
            }
        };
        let Some(worker) = self.participants.values().next() else { return Ok(()) };
        match worker.transact(self.known_id()?, TxnAction::CommitOnePhase(at_least)).await {
            Ok(reply) => committed_at(cluster, reply.timestamp).await,
            Err(error) => {
                // If it was lost on the way, its locks must not stay. A worker that has committed
                // knows of no such transaction any more.
                let cluster = cluster.clone();
                tokio::spawn(async move { self.abort(&cluster, None).await });
                Err(error)
            }
        }
    }

    /// Carries out what [`TwoPhase`] asks for. The client is answered when the decision stands;
    /// participants that have not heard of it hold readers up until they have.
    async fn commit_two_phase(
        self,
        cluster: &Arc<Cluster>,
        overlay: Option<Overlay>,
    ) -> SqlResult<()> {
        let nodes = self.participants.keys().copied().collect();
        let moment = match cluster.oracle.timestamp().await {
            Ok(moment) => moment,
            Err(error) => {
                self.abort(cluster, overlay).await;
                return Err(error);
            }
        };
        let (mut machine, mut effects) = TwoPhase::start(nodes, moment);
        let mut failure = None;
        while machine.fate() == Fate::Open {
            let done = effects.iter().map(|effect| self.carry_out(cluster, &overlay, *effect));
            let mut next = Vec::new();
            for (event, error) in join_all(done).await {
                failure = failure.or(error);
                next.extend(machine.step(event));
            }
            effects = next;
        }
        let moment = match machine.fate() {
            Fate::Committed(moment) => moment,
            Fate::Aborted => {
                self.abort(cluster, overlay).await;
                return Err(failure.unwrap_or_else(taken_for_dead));
            }
            Fate::Open | Fate::Unknown => return Err(failure.unwrap_or_else(taken_for_dead)),
        };
        // Before the locks go that keep others out of them: a writer that has waited must find
        // these shards gone, instead of writing to what nobody reads any more.
        if let Some(overlay) = overlay {
            drop_shards(cluster, overlay.dropped().to_vec()).await;
        }
        // Checks that look at the newest committed rows (foreign keys, taken keys) do not wait for an
        // outcome that is still on its way: the client's next statement must come after it.
        self.tell(cluster, machine, effects).await;
        committed_at(cluster, Some(moment)).await
    }

    /// Tells the participants of the commit.
    async fn tell(self, cluster: &Cluster, mut machine: TwoPhase, effects: Vec<Effect>) {
        let mut effects = effects;
        while !effects.is_empty() {
            let done = effects.iter().map(|effect| self.carry_out(cluster, &None, *effect));
            let events = join_all(done).await.into_iter();
            effects = events.flat_map(|(event, _)| machine.step(event)).collect();
        }
    }

    async fn carry_out(
        &self,
        cluster: &Cluster,
        overlay: &Option<Overlay>,
        effect: Effect,
    ) -> (Event, Option<SqlError>) {
        let send = |node: NodeId, action| async move {
            match self.participants.get(&node) {
                Some(worker) => worker.transact(self.known_id()?, action).await,
                None => Err(SqlError::internal(format!("node {node} takes no part"))),
            }
        };
        match effect {
            Effect::Prepare(node) => match send(node, TxnAction::Prepare).await {
                Ok(reply) => (Event::Prepared(node, reply.timestamp.unwrap_or_default()), None),
                Err(error) => (Event::Refused(node), Some(error)),
            },
            Effect::Decide(moment) => match self.decide(cluster, moment, overlay.as_ref()).await {
                Ok(decided) => (Event::Decided(decided), None),
                Err(error) if may_have_been_logged(&error) => (Event::DecisionUnknown, Some(error)),
                Err(error) => (Event::Rejected, Some(error)),
            },
            Effect::Commit(node, at) => match send(node, TxnAction::Commit(at)).await {
                Ok(_) => (Event::Told(node), None),
                Err(error) => (Event::NotTold(node), Some(error)),
            },
            Effect::Abort(node) => match send(node, TxnAction::Abort).await {
                Ok(_) => (Event::Told(node), None),
                Err(error) => (Event::NotTold(node), Some(error)),
            },
            Effect::Forget => {
                if let Some(id) = self.id() {
                    cluster.forget_decision(id, self.participants.keys().copied().collect());
                }
                (Event::Forgotten, None)
            }
        }
    }

    /// Writes the decision, and the DDL with it, as one entry of the catalog's log.
    async fn decide(
        &self,
        cluster: &Cluster,
        moment: Timestamp,
        overlay: Option<&Overlay>,
    ) -> SqlResult<Option<Timestamp>> {
        let decision = Command::Decide { txn: self.known_id()?, outcome: Some(moment) };
        let outcome = match overlay {
            None => cluster.catalog.propose(decision).await?.into_result()?,
            Some(overlay) => {
                let mut batch = overlay.commands().to_vec();
                batch.extend(self.sequences.commands(overlay.state()));
                batch.push(decision);
                let base = overlay.base();
                let command = Command::Batch { base, commands: batch };
                match cluster.catalog.propose(command).await?.into_result()? {
                    Outcome::Batch(outcomes) => {
                        outcomes.into_iter().next_back().unwrap_or(Outcome::Done)
                    }
                    outcome => outcome,
                }
            }
        };
        match outcome {
            Outcome::Decided(decided) => Ok(decided),
            _ => Err(SqlError::internal("the catalog answered a decision with something else")),
        }
    }

    /// Nothing of it remains. Workers that cannot be told forget it on their own.
    pub async fn rollback(mut self, cluster: &Cluster) {
        let overlay = self.overlay.take();
        self.abort(cluster, overlay).await;
    }

    async fn abort(&self, cluster: &Cluster, overlay: Option<Overlay>) {
        // While the locks are held: nobody reads by the shape that goes.
        if let Some(overlay) = &overlay {
            drop_shards(cluster, overlay.created().to_vec()).await;
            restore_shapes(cluster, self.id(), overlay, None).await;
        }
        let Some(id) = self.id() else { return };
        let told = self
            .participants
            .iter()
            .map(|(node, worker)| cluster.untold.abort(*node, worker.as_ref(), id));
        join_all(told).await;
    }
}

/// Whether a proposal that failed like this may yet be applied, or has been.
fn may_have_been_logged(error: &SqlError) -> bool {
    error.state() == OUTCOME_UNKNOWN || error.state() == SqlState::CANNOT_CONNECT_NOW
}

fn taken_for_dead() -> SqlError {
    SqlError::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not commit: the transaction was taken for dead and aborted",
    )
}

/// Workers that were told a shape which did not come to be are told the one that stands: that of
/// the definitions that are kept, or of the catalog.
async fn restore_shapes(
    cluster: &Cluster,
    txn: Option<TxnId>,
    undone: &Overlay,
    kept: Option<&Overlay>,
) {
    let state = kept.map_or_else(|| cluster.catalog.snapshot(), |kept| kept.state().clone());
    let changed = undone.told().filter(|table| {
        kept.is_none_or(|kept| kept.told_shape(*table) != undone.told_shape(*table))
    });
    for table in changed.filter_map(|table| state.table(table)) {
        // An earlier definition of the transaction's own does not stand yet either.
        let is_own = kept.is_some_and(|kept| kept.told().any(|id| id == table.id()));
        let by = txn.filter(|_| is_own);
        let shape = kept.and_then(|kept| kept.told_shape(table.id())).unwrap_or(&table.shape);
        let nodes: BTreeSet<NodeId> =
            state.shards_of(table).flat_map(|(_, group)| group.finalized()).collect();
        for node in nodes.into_iter().filter_map(|node| state.node(node)) {
            let shape = shape.clone();
            let told = match cluster.workers.client(node) {
                Ok(worker) => worker.shards(ShardAction::Alter { shape, by }).await.map(|_| ()),
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::warn!(node = %node.id, %error, "a table's shape was not restored");
            }
        }
    }
}

/// Later snapshots, anywhere in the cluster, must see what is answered to the client as done. 08007
/// when that cannot be had: the commit stands all the same, and must not be tried again.
pub async fn committed_at(cluster: &Cluster, moment: Option<Timestamp>) -> SqlResult<()> {
    match moment {
        Some(moment) => cluster.oracle.observe(moment).await.map_err(|error| {
            SqlError::new(
                OUTCOME_UNKNOWN,
                "the transaction was committed, but statements may not see it yet",
            )
            .detail(error.message())
            .hint("Look before trying again.")
        }),
        None => Ok(()),
    }
}

/// Drops shards that the catalog does not know. One that a dead worker keeps is dropped when it
/// comes back and is compared with the catalog.
async fn drop_shards(cluster: &Cluster, shards: Vec<(NodeId, ShardId)>) {
    let mut by_node: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
    for (node, shard) in shards {
        by_node.entry(node).or_default().push(shard);
    }
    let state = cluster.catalog.snapshot();
    for (node, shards) in by_node {
        let Some(node) = state.node(node) else { continue };
        let dropped = match cluster.workers.client(node) {
            Ok(worker) => {
                worker.shards(ShardAction::Drop { node: node.id, shards }).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            tracing::warn!(node = %node.id, %error, "shards were left behind on a worker");
        }
    }
}
