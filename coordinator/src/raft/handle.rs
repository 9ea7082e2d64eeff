//! The catalog as the rest of the coordinator holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use raft::eraftpb::Message;
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState};
use tokio::sync::{Semaphore, oneshot, watch};

use super::core::{Core, Leadership, Standing};
use super::directory::Directory;
use super::driver::{Driver, Event, TICK};
use super::envelope::{Envelope, MAX_ENTRY_BYTES};
use super::error::RaftError;
use super::log::{FileLog, Recovered, Stable};
use super::peers::{PeerError, Peers, Reports};
use crate::catalog::{Command, Outcome, Rejection, RequestId, State};

/// Events that may wait for the driver.
const QUEUE: usize = 16 << 10;
/// Proposals under way at once, all sessions together.
const MAX_PROPOSALS: usize = 4096;
/// A proposal that is not heard of is made again: the leader may have lost it.
const PROPOSE_AGAIN: Duration = Duration::from_millis(700);
/// Without a leader for this long, give up: elections take a second or two. Whoever is cut off
/// gives up sooner: others wait for the rows that its transactions have locked.
const PATIENCE: Duration = Duration::from_secs(10);
/// At a start, when the others may still be on their way.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// How long a leader that stops waits for another one to lead.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct CatalogConfig {
    pub node: NodeId,
    /// All coordinators, this one included.
    pub members: Vec<NodeId>,
}

/// Handle to the replicated catalog. Clones share it; the member stops with the last one.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    node: NodeId,
    boot: u64,
    events: SyncSender<Event>,
    published: Arc<Published>,
    peers: Arc<dyn Peers>,
    proposals: Semaphore,
    is_new: bool,
    /// Identity of the data directory.
    directory_id: Option<String>,
    /// Held until the member stops.
    directory: Mutex<Option<Directory>>,
    driver: Mutex<Option<std::thread::JoinHandle<Result<(), RaftError>>>>,
}

/// What the driver tells everybody.
pub(super) struct Published {
    node: NodeId,
    boot: u64,
    /// And the index of the last entry that is in it.
    state: RwLock<(Arc<State>, u64)>,
    version: watch::Sender<u64>,
    leadership: watch::Sender<Leadership>,
    members: AtomicUsize,
    /// Alone in the group, and the log has been replayed: the state is always the newest.
    alone: AtomicBool,
    next_request: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Outcome>>>,
    /// Ids of the group's members.
    group: RwLock<Vec<u64>>,
    standing: watch::Sender<Standing>,
    stopped: AtomicBool,
}

/// What became of an entry that was offered to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offered {
    Taken,
    Refused,
    /// Lost on the way, or only its answer.
    Unknown,
}

/// Somebody waits for the outcome of a proposal, until this is dropped: the record of applied ones
/// need not reach back to it any more.
struct Waits {
    published: Arc<Published>,
    number: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.published.waiting.lock().remove(&self.number);
    }
}

impl Published {
    fn new(node: NodeId, boot: u64, state: State, applied: u64) -> Self {
        Self {
            node,
            boot,
            version: watch::Sender::new(state.version()),
            state: RwLock::new((Arc::new(state), applied)),
            leadership: watch::Sender::new(Leadership::default()),
            members: AtomicUsize::new(0),
            alone: AtomicBool::new(false),
            next_request: AtomicU64::new(1),
            waiting: Mutex::new(BTreeMap::new()),
            group: RwLock::default(),
            standing: watch::Sender::default(),
            stopped: AtomicBool::new(false),
        }
    }

    pub fn state(&self, state: &State, applied: u64) {
        *self.state.write() = (Arc::new(state.clone()), applied);
        let version = state.version();
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    /// Who is in the group, and whether this one still belongs to it.
    pub fn group(&self, state: &State, group: Vec<u64>) {
        if state.was_removed(self.node) {
            let is_in = group.contains(&u64::from(self.node.0));
            self.standing(if is_in { Standing::Removed } else { Standing::Gone });
        }
        let mut known = self.group.write();
        if *known != group {
            *known = group;
        }
    }

    pub fn standing(&self, now: Standing) {
        let before = *self.standing.borrow();
        if before == Standing::Member && matches!(now, Standing::Removed | Standing::Gone) {
            tracing::error!(node = %self.node, "{}", Rejection::CoordinatorRemoved);
        }
        self.standing.send_if_modified(|known| std::mem::replace(known, now.max(before)) < now);
    }

    pub fn leadership(&self, now: Leadership, members: usize) {
        self.members.store(members, Ordering::Release);
        if members != 1 {
            self.alone.store(false, Ordering::Release);
        }
        self.leadership.send_if_modified(|known| std::mem::replace(known, now) != now);
    }

    pub fn applied(&self, request: RequestId, outcome: Option<Outcome>) {
        if request.node != self.node || request.boot != self.boot {
            return;
        }
        let Some(outcome) = outcome else { return };
        if let Some(waiting) = self.waiting.lock().remove(&request.number) {
            let _ = waiting.send(outcome);
        }
    }

    pub fn stopped(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waiting.lock().clear();
        self.leadership
            .send_modify(|known| *known = Leadership { term: known.term, ..Leadership::default() });
    }
}

impl Catalog {
    /// Joins the group with the log in a directory. Ready for use after [`Catalog::ready`].
    pub fn open(
        config: &CatalogConfig,
        directory: Directory,
        peers: Arc<dyn Peers>,
    ) -> Result<Self, RaftError> {
        let (log, recovered) = FileLog::open(&directory.path().join("raft"))?;
        let boot = directory.boot;
        Self::start(config, boot, log, recovered, peers, Some(directory))
    }

    /// The same over any log.
    pub(super) fn start<L: Stable + 'static>(
        config: &CatalogConfig,
        boot: u64,
        log: L,
        recovered: Recovered,
        peers: Arc<dyn Peers>,
        directory: Option<Directory>,
    ) -> Result<Self, RaftError> {
        let core = Core::open(config.node, &config.members, log, recovered)?;
        let published =
            Arc::new(Published::new(config.node, boot, core.state().clone(), core.applied()));
        let (events, received) = sync_channel(QUEUE);
        peers.attach(Reports::new(events.clone()));
        let driver = Driver::new(core, received, peers.clone(), published.clone());
        let thread =
            std::thread::Builder::new().name("catalog-raft".into()).spawn(move || driver.run())?;
        Ok(Self(Arc::new(Inner {
            node: config.node,
            boot,
            events,
            published,
            peers,
            proposals: Semaphore::new(MAX_PROPOSALS),
            is_new: directory.as_ref().is_some_and(|directory| directory.is_new),
            directory_id: directory.as_ref().map(|directory| directory.id.clone()),
            directory: Mutex::new(directory),
            driver: Mutex::new(Some(thread)),
        })))
    }

    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// Whether this is the data directory's first start.
    pub fn is_new(&self) -> bool {
        self.0.is_new
    }

    /// The state as this member has it: maybe behind the leader's, never wrong.
    pub fn snapshot(&self) -> Arc<State> {
        self.0.published.state.read().0.clone()
    }

    /// The same, and the index of the last entry of the log that is in it.
    pub fn applied(&self) -> (Arc<State>, u64) {
        self.0.published.state.read().clone()
    }

    /// Versions as they become visible in [`Catalog::snapshot`].
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.0.published.version.subscribe()
    }

    pub fn leadership(&self) -> Leadership {
        *self.0.published.leadership.borrow()
    }

    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.0.published.leadership.subscribe()
    }

    /// Whether this coordinator is the whole group, replayed: nobody else can change anything.
    pub fn is_alone(&self) -> bool {
        self.0.published.alone.load(Ordering::Acquire)
    }

    pub(crate) fn peers(&self) -> &Arc<dyn Peers> {
        &self.0.peers
    }

    /// Identity of the data directory, where there is one.
    pub fn directory(&self) -> Option<&String> {
        self.0.directory_id.as_ref()
    }

    /// Another coordinator knows this node by another data directory.
    pub(super) fn disowned(&self) {
        self.0.published.standing(Standing::OtherDirectory);
    }

    /// Whether a node takes part in the group, as far as this member knows.
    pub(super) fn is_in_group(&self, node: NodeId) -> bool {
        self.0.published.group.read().contains(&u64::from(node.0))
    }

    /// 57P03 where the cluster goes on without this coordinator.
    pub fn check_member(&self) -> SqlResult<()> {
        match *self.0.published.standing.borrow() {
            Standing::Removed | Standing::Gone => Err(SqlError::new(
                SqlState::CANNOT_CONNECT_NOW,
                Rejection::CoordinatorRemoved.to_string(),
            )
            .hint("Connect to another coordinator.")),
            Standing::Member | Standing::OtherDirectory => Ok(()),
        }
    }

    /// Waits until there is a leader and the log has been replayed. 08004 when the others will
    /// have nothing to do with this one: it was removed, or has lost what it had promised them.
    pub async fn ready(&self) -> SqlResult<()> {
        let mut standing = self.0.published.standing.subscribe();
        let refused = |standing: &Standing| *standing >= Standing::Gone;
        let standing = tokio::select! {
            biased;
            Ok(standing) = standing.wait_for(refused) => *standing,
            confirmed = self.confirm(START_PATIENCE) => {
                confirmed?;
                Standing::Member
            }
        };
        match standing {
            Standing::OtherDirectory => return Err(Rejection::OtherDirectory(self.0.node.0).into()),
            Standing::Gone => return Err(Rejection::CoordinatorRemoved.into()),
            Standing::Member | Standing::Removed => {}
        }
        let published = &self.0.published;
        let alone = published.members.load(Ordering::Acquire) == 1 && self.leadership().is_self;
        published.alone.store(alone, Ordering::Release);
        Ok(())
    }

    /// The state, with everything that was committed anywhere before this call.
    pub async fn read(&self) -> SqlResult<Arc<State>> {
        if !self.is_alone() {
            tokio::select! {
                confirmed = self.confirm(PATIENCE) => confirmed?,
                () = self.cut_off() => return Err(no_leader()),
            }
        }
        Ok(self.snapshot())
    }

    /// Resolves when this member is cut off from the others.
    async fn cut_off(&self) {
        let mut leaders = self.watch_leadership();
        if leaders.wait_for(|now| now.is_cut_off).await.is_err() {
            std::future::pending().await
        }
    }

    /// Proves that this member's state is no older than the call, and that a leader exists.
    async fn confirm(&self, patience: Duration) -> SqlResult<()> {
        let (answer, confirmed) = oneshot::channel();
        self.send(Event::Read(answer)).await?;
        match tokio::time::timeout(patience, confirmed).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(no_leader()),
        }
    }

    /// Proposes a command and waits until it has been applied here. A refusal is an error.
    ///
    /// 08007 when it is unknown whether the command was or will be applied.
    pub async fn propose(&self, command: Command) -> SqlResult<Outcome> {
        let _permit = self.0.proposals.acquire().await.map_err(|_| stopped())?;
        let (entry, mut waiting, _waits) = self.enter(command)?;
        self.pursue(&entry, &mut waiting).await?.into_result()
    }

    /// Numbers a command and waits for it from now on.
    fn enter(&self, command: Command) -> SqlResult<(Vec<u8>, oneshot::Receiver<Outcome>, Waits)> {
        let published = &self.0.published;
        let (answer, waiting) = oneshot::channel();
        let (number, floor) = {
            let mut all = published.waiting.lock();
            let number = published.next_request.fetch_add(1, Ordering::Relaxed);
            all.insert(number, answer);
            (number, all.keys().next().copied().unwrap_or(number))
        };
        let waits = Waits { published: published.clone(), number };
        let request = RequestId { node: self.0.node, boot: self.0.boot, number };
        let entry = Envelope { request, floor, command }.encode()?;
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the change to the catalog is too large",
            )
            .detail(format!("It takes {} bytes; the limit is {MAX_ENTRY_BYTES}.", entry.len())));
        }
        Ok((entry, waiting, waits))
    }

    /// Proposals whose outcome somebody waits for.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.published.waiting.lock().len()
    }

    async fn pursue(
        &self,
        entry: &[u8],
        waiting: &mut oneshot::Receiver<Outcome>,
    ) -> SqlResult<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        let mut sent = false;
        while Instant::now() < deadline && !self.leadership().is_cut_off {
            let offered = self.offer(entry).await?;
            sent |= offered != Offered::Refused;
            let patience = if offered == Offered::Taken { PROPOSE_AGAIN } else { TICK };
            match tokio::time::timeout(patience, &mut *waiting).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(_)) => return Err(if sent { unknown() } else { stopped() }),
                Err(_) => {}
            }
        }
        Err(if sent { unknown() } else { no_leader() })
    }

    /// Offers an entry to the leader, wherever it is.
    async fn offer(&self, entry: &[u8]) -> SqlResult<Offered> {
        let leadership = self.leadership();
        match leadership.leader {
            Some(leader) if leader == self.0.node => {
                let (answer, taken) = oneshot::channel();
                self.send(Event::Propose(entry.to_vec(), Some(answer))).await?;
                match taken.await {
                    Ok(true) => Ok(Offered::Taken),
                    Ok(false) | Err(_) => Ok(Offered::Refused),
                }
            }
            Some(leader) => {
                let mut leaders = self.watch_leadership();
                let offer = self.0.peers.propose(leader, entry.to_vec().into());
                tokio::select! {
                    answer = offer => Ok(match answer {
                        Ok(()) => Offered::Taken,
                        Err(PeerError::NotLeader(_)) => Offered::Refused,
                        Err(PeerError::Unreachable(_) | PeerError::Refused(..)) => Offered::Unknown,
                    }),
                    // Another one leads, or nobody: this one may never answer.
                    Ok(_) = leaders.wait_for(|now| now.leader != Some(leader)) => {
                        Ok(Offered::Unknown)
                    }
                }
            }
            None => Ok(Offered::Refused),
        }
    }

    /// An entry that another coordinator offers; false if this one does not lead.
    pub async fn offer_from_peer(&self, entry: Vec<u8>) -> SqlResult<bool> {
        if entry.len() > MAX_ENTRY_BYTES || Envelope::decode(&entry).is_err() {
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, "malformed catalog entry"));
        }
        let (answer, taken) = oneshot::channel();
        self.send(Event::Propose(entry, Some(answer))).await?;
        Ok(taken.await.unwrap_or(false))
    }

    /// A Raft message from another coordinator. Dropped when too many wait.
    pub fn receive(&self, message: Message) {
        let _ = self.0.events.try_send(Event::Message(Box::new(message)));
    }

    /// Queues an event, waiting while the queue is full.
    async fn send(&self, event: Event) -> SqlResult<()> {
        let mut event = event;
        loop {
            match self.0.events.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(stopped()),
                Err(TrySendError::Full(back)) => event = back,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets another coordinator lead, so that nobody has to find out that this one is gone.
    pub async fn hand_over(&self) {
        let mut leaders = self.watch_leadership();
        let deadline = Instant::now() + HAND_OVER_PATIENCE;
        let is_follower = |now: &Leadership| !now.is_self;
        while !is_follower(&leaders.borrow_and_update()) && Instant::now() < deadline {
            if self.is_alone() || self.send(Event::HandOver).await.is_err() {
                return;
            }
            let _ = tokio::time::timeout(2 * TICK, leaders.wait_for(is_follower)).await;
        }
    }

    /// Stops the member, waits for it and lets go of the data directory. What was acknowledged is
    /// on disk anyway.
    pub fn stop(&self) {
        let _ = self.0.events.send(Event::Stop);
        if let Some(thread) = self.0.driver.lock().take() {
            let _ = thread.join();
        }
        self.0.directory.lock().take();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.events.try_send(Event::Stop);
    }
}

fn stopped() -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the catalog is shutting down")
}

fn no_leader() -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the coordinators have no leader")
        .hint("A majority of the coordinators must be running and reach each other.")
}

fn unknown() -> SqlError {
    SqlError::new(
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        "it is unknown whether the change was made",
    )
    .hint("The coordinators lost their leader. Look before trying again.")
}
