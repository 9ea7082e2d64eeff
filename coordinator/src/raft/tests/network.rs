//! Three members in one thread, over a network that drops messages and members that crash.
//!
//! Raft draws its election timeouts at random, so that runs differ; every run must hold.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use raft::eraftpb::Message;
use satsuma_common::NodeId;

use crate::catalog::{Command, CoordinatorAddress, IdRequest, Outcome, RequestId};
use crate::raft::{Core, Envelope, MemoryLog};

const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

#[derive(Default)]
struct Member {
    disk: MemoryLog,
    /// `None` while it is down.
    core: Option<Core<MemoryLog>>,
}

struct Cluster {
    members: BTreeMap<NodeId, Member>,
    network: VecDeque<Message>,
    /// Members that nobody reaches.
    cut_off: Vec<NodeId>,
    /// First oid that each acknowledged request got.
    acknowledged: BTreeMap<u64, u32>,
    next_request: u64,
    /// One message in so many is lost; 0 loses none.
    lose_one_in: u64,
    /// Decides which ones.
    dice: u64,
}

impl Cluster {
    fn new(lose_one_in: u64) -> Self {
        let members = MEMBERS
            .iter()
            .map(|id| (*id, Member { disk: MemoryLog::default(), core: None }))
            .collect();
        let mut cluster = Self {
            members,
            network: VecDeque::new(),
            cut_off: Vec::new(),
            acknowledged: BTreeMap::new(),
            next_request: 1,
            lose_one_in,
            dice: 1,
        };
        for id in MEMBERS {
            cluster.start(id);
        }
        cluster
    }

    fn start(&mut self, id: NodeId) {
        let member = self.members.entry(id).or_default();
        let recovered = member.disk.recover();
        let mut core =
            Core::open(id, &MEMBERS, member.disk.clone(), recovered).expect("core opens");
        core.snapshot_every(20);
        member.core = Some(core);
    }

    fn crash(&mut self, id: NodeId) {
        self.members.get_mut(&id).expect("member").core = None;
    }

    fn leader(&self) -> Option<NodeId> {
        self.members
            .iter()
            .filter(|(id, _)| !self.cut_off.contains(id))
            .filter_map(|(id, member)| Some((*id, member.core.as_ref()?.leadership())))
            .filter(|(_, leadership)| leadership.is_self)
            .max_by_key(|(_, leadership)| leadership.term)
            .map(|(id, _)| id)
    }

    /// Proposes request `number` (again) at the leader.
    fn propose(&mut self, number: u64) {
        self.propose_command(number, Command::Reserve(IdRequest::oids(1)));
    }

    fn propose_command(&mut self, number: u64, command: Command) {
        let Some(leader) = self.leader() else { return };
        let request = RequestId { node: NodeId(9), boot: 1, number };
        let entry = Envelope { request, floor: 1, command }.encode().expect("encoded");
        if let Some(core) = &mut self.members.get_mut(&leader).expect("leader").core {
            core.propose(entry);
        }
    }

    fn round(&mut self) {
        for member in self.members.values_mut() {
            let Some(core) = &mut member.core else { continue };
            let network = &mut self.network;
            let progress = core.advance(&mut |message| network.push_back(message));
            for (request, outcome) in progress.expect("the disk works").applied {
                let Some(Outcome::Ids(mut ids)) = outcome else { continue };
                let oid = ids.oid().expect("oid").0;
                let known = self.acknowledged.entry(request.number).or_insert(oid);
                assert_eq!(*known, oid, "members disagree on request {}", request.number);
            }
        }
        for message in std::mem::take(&mut self.network) {
            self.dice =
                self.dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let lost = self.lose_one_in != 0 && (self.dice >> 33).is_multiple_of(self.lose_one_in);
            let ends = [message.from, message.to].map(|id| NodeId(id as u32));
            if lost || ends.iter().any(|id| self.cut_off.contains(id)) {
                continue;
            }
            if let Some(core) = self.members.get_mut(&ends[1]).and_then(|m| m.core.as_mut()) {
                core.step(message);
            }
        }
    }

    fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for member in self.members.values_mut() {
                if let Some(core) = &mut member.core {
                    core.tick();
                    core.follow_catalog();
                }
            }
            for _ in 0..4 {
                self.round();
            }
        }
    }

    fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if done(self) {
                return;
            }
            self.run(1);
        }
        panic!("{what} did not come");
    }

    /// A cluster with a catalog that names its members.
    fn founded() -> Self {
        let mut cluster = Self::new(0);
        cluster.run_until("a leader", |cluster| cluster.leader().is_some());
        let command = Command::Bootstrap {
            cluster: "tests".into(),
            database: "d".into(),
            superuser: "s".into(),
            verifier: None,
            coordinators: MEMBERS.map(address).into(),
        };
        cluster.propose_command(1_000_000, command);
        cluster.run(20);
        assert!(cluster.leading().state().is_bootstrapped());
        cluster
    }

    fn leading(&self) -> &Core<MemoryLog> {
        let leader = self.leader().expect("a leader");
        self.members[&leader].core.as_ref().expect("it is up")
    }

    /// Proposes until the request is acknowledged.
    fn commit(&mut self) -> u32 {
        let number = self.next_request;
        self.next_request += 1;
        for _ in 0..200 {
            self.propose(number);
            self.run(10);
            if let Some(oid) = self.acknowledged.get(&number) {
                return *oid;
            }
        }
        panic!("request {number} was not committed");
    }

    /// Everybody up and connected: all come to the same state, with all that was acknowledged.
    fn settle(&mut self) {
        self.cut_off.clear();
        self.lose_one_in = 0;
        for id in MEMBERS {
            if self.members[&id].core.is_none() {
                self.start(id);
            }
        }
        self.commit();
        self.run_until("agreement", |cluster| {
            let mut states = cluster.members.values().filter_map(|member| {
                let core = member.core.as_ref()?;
                Some((core.applied(), core.state().fingerprint()))
            });
            let first = states.next();
            first.is_some() && states.all(|state| Some(state) == first)
        });
        let core = self.members[&NodeId(1)].core.as_ref().expect("up");
        let mut oids: Vec<_> = self.acknowledged.values().collect();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), self.acknowledged.len(), "an id was given out twice");
        let given = core.state().counters().oid - crate::catalog::FIRST_USER_OID;
        assert_eq!(given as usize, self.acknowledged.len(), "a request counted twice or never");
    }
}

fn address(node: NodeId) -> CoordinatorAddress {
    CoordinatorAddress { node, host: "h".into(), port: 1, grpc: format!("h:{node}") }
}

#[test]
fn a_member_that_never_came_has_no_vote() {
    let mut cluster = Cluster::founded();
    cluster.propose_command(1_000_001, Command::AddCoordinator(address(NodeId(20))));
    cluster.run(200);
    let leading = cluster.leading();
    assert!(leading.state().node(NodeId(20)).is_some());
    assert_eq!(leading.voters().len(), 3);
    // Once it is there, and not before.
    cluster.start(NodeId(20));
    cluster.run_until("a fourth vote", |cluster| cluster.leading().voters().contains(&20));
    cluster.commit();
}

#[test]
fn a_new_member_comes_after_the_log_began_anew() {
    let mut cluster = Cluster::founded();
    for _ in 0..60 {
        cluster.commit();
    }
    for _ in 0..1500 {
        let number = cluster.next_request;
        cluster.next_request += 1;
        cluster.propose(number);
        cluster.run(1);
    }
    cluster.propose_command(1_000_001, Command::AddCoordinator(address(NodeId(20))));
    cluster.start(NodeId(20));
    cluster.run_until("a fourth vote", |cluster| cluster.leading().voters().contains(&20));
    let agrees = |cluster: &Cluster| {
        let fourth = cluster.members[&NodeId(20)].core.as_ref().expect("up");
        fourth.state().digest() == cluster.leading().state().digest()
    };
    cluster.run_until("agreement", agrees);
}

#[test]
fn a_leader_that_goes_is_followed_at_once() {
    let mut cluster = Cluster::founded();
    let first = cluster.leader().expect("a leader");
    cluster.members.get_mut(&first).and_then(|m| m.core.as_mut()).expect("up").hand_over();
    cluster.run(3);
    assert!(cluster.leader().is_some_and(|leader| leader != first));
    cluster.commit();
}

#[test]
fn three_members_elect_and_agree() {
    let mut cluster = Cluster::new(0);
    cluster.run_until("a leader", |cluster| cluster.leader().is_some());
    for _ in 0..50 {
        cluster.commit();
    }
    cluster.settle();
}

#[test]
fn a_lost_leader_is_replaced_and_catches_up_by_snapshot() {
    let mut cluster = Cluster::new(0);
    cluster.run_until("a leader", |cluster| cluster.leader().is_some());
    let first = cluster.leader().expect("leader");
    cluster.commit();
    cluster.crash(first);
    cluster.run_until("another leader", |cluster| cluster.leader().is_some_and(|id| id != first));
    for _ in 0..1500 {
        let number = cluster.next_request;
        cluster.next_request += 1;
        cluster.propose(number);
        cluster.run(1);
    }
    cluster.settle();
}

#[test]
fn a_leader_without_majority_commits_and_confirms_nothing() {
    let mut cluster = Cluster::new(0);
    cluster.run_until("a leader", |cluster| cluster.leader().is_some());
    let old = cluster.leader().expect("leader");
    cluster.commit();
    cluster.cut_off = vec![old];
    let core = cluster.members.get_mut(&old).and_then(|m| m.core.as_mut()).expect("core");
    let before = core.applied();
    let request = RequestId { node: NodeId(9), boot: 1, number: 1000 };
    let command = Command::Reserve(IdRequest::oids(1));
    core.propose(Envelope { request, floor: 1, command }.encode().expect("encoded"));
    core.read_index(77);
    for _ in 0..100 {
        let core = cluster.members.get_mut(&old).and_then(|m| m.core.as_mut()).expect("core");
        core.tick();
        let progress = core.advance(&mut |_| {}).expect("advance");
        assert!(progress.reads.is_empty(), "a stale read was confirmed");
        assert!(progress.applied.is_empty());
    }
    let core = cluster.members[&old].core.as_ref().expect("core");
    assert_eq!(core.applied(), before);
    assert!(!core.leadership().is_self, "still believes to lead");
    assert!(core.leadership().is_cut_off, "still waits for a leader");
    cluster.commit();
    let knows = |cluster: &Cluster, id: &NodeId| {
        let core = cluster.members[id].core.as_ref();
        core.is_some_and(|core| core.leadership().is_cut_off)
    };
    let cut_off: Vec<_> = MEMBERS.into_iter().filter(|id| knows(&cluster, id)).collect();
    assert_eq!(cut_off, [old]);
    cluster.settle();
    assert!(!knows(&cluster, &old));
}

#[derive(Clone, Debug)]
enum Fault {
    Commit,
    Propose,
    Run(usize),
    Crash(usize),
    Restart(usize),
    CutOff(usize),
    Heal,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::Commit),
        4 => Just(Fault::Propose),
        4 => (1usize..60).prop_map(Fault::Run),
        1 => (0usize..3).prop_map(Fault::Crash),
        2 => (0usize..3).prop_map(Fault::Restart),
        1 => (0usize..3).prop_map(Fault::CutOff),
        2 => Just(Fault::Heal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_members_agree_and_lose_nothing(
        lose_one_in in prop_oneof![Just(0u64), 3u64..20],
        faults in proptest::collection::vec(fault(), 1..60),
    ) {
        let mut cluster = Cluster::new(lose_one_in);
        cluster.run(60);
        for fault in faults {
            match fault {
                // With everybody there, progress is certain.
                Fault::Commit if lose_one_in == 0 && cluster.cut_off.is_empty()
                    && cluster.members.values().all(|member| member.core.is_some()) => {
                    cluster.commit();
                }
                Fault::Commit | Fault::Propose => {
                    // Proposed twice: a client that does not hear tries again.
                    let number = cluster.next_request;
                    cluster.next_request += 1;
                    cluster.propose(number);
                    cluster.run(3);
                    cluster.propose(number);
                }
                Fault::Run(ticks) => cluster.run(ticks),
                Fault::Crash(index) => cluster.crash(MEMBERS[index]),
                Fault::Restart(index) => {
                    if cluster.members[&MEMBERS[index]].core.is_none() {
                        cluster.start(MEMBERS[index]);
                    }
                }
                Fault::CutOff(index) => cluster.cut_off = vec![MEMBERS[index]],
                Fault::Heal => cluster.cut_off.clear(),
            }
        }
        cluster.settle();
    }
}
