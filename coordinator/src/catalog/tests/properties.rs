//! Random histories: whatever is applied, the invariants hold, and every member agrees.

use proptest::prelude::*;
use satsuma_common::{ColumnId, NodeId, Oid, TableId, Timestamp, TxnId};

use super::*;
use crate::catalog::*;

/// A step of a history; numbers pick among what is there.
#[derive(Clone, Debug)]
enum Step {
    AddNode(u16),
    RemoveNode(usize),
    Create(u8),
    Distribute(usize, u8),
    Rename(usize, u8),
    AddColumn(usize),
    Reference(usize, usize),
    Drop(usize),
    AddPlacement(usize, usize),
    Move(usize, usize),
    Advance(usize, u8),
    Decide(u64, bool),
    Horizon(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<usize>;
    prop_oneof![
        (0u16..6).prop_map(Step::AddNode),
        index().prop_map(Step::RemoveNode),
        (0u8..8).prop_map(Step::Create),
        (index(), 0u8..5).prop_map(|(table, how)| Step::Distribute(table, how)),
        (index(), 0u8..8).prop_map(|(table, name)| Step::Rename(table, name)),
        index().prop_map(Step::AddColumn),
        (index(), index()).prop_map(|(from, to)| Step::Reference(from, to)),
        index().prop_map(Step::Drop),
        (index(), index()).prop_map(|(group, node)| Step::AddPlacement(group, node)),
        (index(), index()).prop_map(|(group, node)| Step::Move(group, node)),
        (index(), 0u8..8).prop_map(|(movement, phase)| Step::Advance(movement, phase)),
        (0u64..20, any::<bool>()).prop_map(|(txn, commit)| Step::Decide(txn, commit)),
        (0u64..20).prop_map(Step::Horizon),
    ]
}

fn pick<T>(items: Vec<T>, index: usize) -> Option<T> {
    let count = items.len();
    items.into_iter().nth(index.checked_rem(count)?)
}

/// The commands that a step comes to. Some will be refused.
fn commands(state: &mut State, step: &Step) -> Option<Vec<Command>> {
    let tables: Vec<TableId> = state.tables().map(Table::id).collect();
    let workers: Vec<NodeId> = state.workers().map(|node| node.id).collect();
    let groups: Vec<_> = state.groups().map(|group| group.id).collect();
    let def = |state: &State, index| {
        let table = pick(tables.clone(), index)?;
        Some(state.table(table)?.def().clone())
    };
    Some(match *step {
        Step::AddNode(port) => vec![add_node(9701 + port)],
        Step::RemoveNode(index) => vec![Command::RemoveNode { node: pick(workers, index)? }],
        Step::Create(name) => {
            let mut ids = reserve(state, IdRequest::oids(3));
            let (def, indexes) = table_def(&mut ids, &format!("t{name}"));
            let local = request(TableDistribution::Local, ColocateWith::Default);
            let plan = plan(state, &local).ok()?;
            let mut ids = reserve(state, plan.ids(state));
            let placement = plan.commands(state, &mut ids).ok()?.placement;
            vec![Command::CreateTable { def, placement, indexes }]
        }
        Step::Distribute(index, how) => {
            let table = pick(tables, index)?;
            let hash = TableDistribution::Hash(ColumnId(1));
            let mut request = match how {
                0 => request(TableDistribution::Reference, ColocateWith::Default),
                1 => request(TableDistribution::SingleShard, ColocateWith::Default),
                2 => request(hash, ColocateWith::None),
                3 => request(TableDistribution::Local, ColocateWith::Default),
                _ => request(hash, ColocateWith::Default),
            };
            request.shard_count = 3;
            let plan = plan(state, &request).ok()?;
            let mut ids = reserve(state, plan.ids(state));
            let placed = plan.commands(state, &mut ids).ok()?;
            let place = Command::PlaceTable { table, placement: placed.placement };
            placed.colocation.into_iter().chain([place]).collect()
        }
        Step::Rename(index, name) => {
            let mut def = def(state, index)?;
            def.shape.make_mut().name = format!("t{name}");
            vec![Command::AlterTable(def)]
        }
        Step::AddColumn(index) => {
            let mut def = def(state, index)?;
            let id = def.next_column.0;
            let ty = satsuma_common::PgType::Text;
            def.shape.make_mut().columns.push(column(id, &format!("c{id}"), ty, false));
            def.next_column = ColumnId(id + 1);
            def.defaults.push(None);
            def.generated.push(None);
            def.identity.push(None);
            vec![Command::AlterTable(def)]
        }
        Step::Reference(from, to) => {
            let mut def = def(state, from)?;
            let target = state.table(pick(tables, to)?)?;
            let name = format!("fk{}", state.version());
            let key = foreign_key(&name, &def, target);
            def.constraint_oids.insert(name, Oid(900_000));
            def.shape.make_mut().foreign_keys.push(key);
            vec![Command::AlterTable(def)]
        }
        Step::Drop(index) => vec![Command::DropTable { table: pick(tables, index)? }],
        Step::AddPlacement(group, node) => vec![Command::AddPlacement {
            group: pick(groups, group)?,
            node: pick(workers, node)?,
            state: PlacementState::Finalized,
        }],
        Step::Move(index, node) => {
            let group = pick(groups, index)?;
            let source = state.group(group)?.primary;
            let (target, kind) = (pick(workers, node)?, MoveKind::Move);
            vec![Command::StartMove { group, source, target, kind }]
        }
        Step::Advance(index, phase) => {
            let id = pick(state.moves().map(|m| m.id).collect(), index)?;
            let phase = match phase {
                0 => MovePhase::CatchingUp,
                1 => MovePhase::Switching,
                2 => MovePhase::Switched,
                3 => MovePhase::Done,
                4 => MovePhase::Aborted,
                5 => return Some(vec![Command::ResumeMove { id }]),
                6 => return Some(vec![Command::CancelMove { id }]),
                _ => return Some(vec![Command::ForgetMoves { ids: vec![id] }]),
            };
            let movement = state.movement(id)?;
            let (attempt, shards) = (movement.attempt, state.shards_in(movement.group));
            vec![Command::AdvanceMove { id, attempt, phase, shards, reason: None }]
        }
        Step::Decide(start, commit) => {
            let txn = TxnId { start: Timestamp(start), coordinator: NodeId(1) };
            vec![Command::Decide { txn, outcome: commit.then_some(Timestamp(start + 100)) }]
        }
        Step::Horizon(at) => vec![Command::AdvanceDecisionHorizon { horizon: Timestamp(at) }],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// One member applies each step; a second replays the commands one after another, with a
    /// restart from a snapshot in the middle.
    #[test]
    fn histories_keep_the_invariants_and_replay_alike(
        steps in proptest::collection::vec(step(), 1..60),
        restart in 0usize..60,
    ) {
        let mut leader = cluster(2);
        let mut follower = leader.clone();
        for (number, step) in steps.iter().enumerate() {
            let commands = commands(&mut leader, step);
            // What planning reserved, the follower sees as well.
            follower.counters = leader.counters.clone();
            let Some(commands) = commands else { continue };
            let batch = Command::Batch { base: leader.version(), commands };
            let ours = apply(&mut leader, batch.clone());
            if number == restart {
                let bytes = postcard::to_stdvec(&follower).expect("snapshot");
                follower = postcard::from_bytes(&bytes).expect("snapshot read back");
            }
            let theirs = apply(&mut follower, batch);
            prop_assert_eq!(ours, theirs);
            prop_assert_eq!(check_invariants(&leader), Ok(()));
            prop_assert_eq!(leader.fingerprint(), follower.fingerprint());
        }
        prop_assert_eq!(&leader, &follower);
    }
}
