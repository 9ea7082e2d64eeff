//! Batches, overlays, decisions, sequences and repeated requests.

use satsuma_common::{ColumnId, NodeId, PgType, SequenceId, SqlState, Timestamp, TxnId};

use super::*;
use crate::catalog::*;

/// CREATE TABLE and create_distributed_table in one transaction, as commands on an overlay.
fn transaction(state: &mut State, name: &str) -> (u64, Vec<Command>) {
    let base = state.version();
    let mut ids = reserve(state, IdRequest { oids: 3, local_shards: 1, ..IdRequest::default() });
    let mut overlay = state.clone();
    let mut commands = Vec::new();
    let mut run = |overlay: &mut State, command: Command| {
        accept(overlay, command.clone());
        commands.push(command);
    };
    let (def, indexes) = table_def(&mut ids, name);
    let table = def.shape.table;
    let local = plan(&overlay, &request(TableDistribution::Local, ColocateWith::Default))
        .and_then(|plan| plan.commands(&overlay, &mut ids))
        .expect("local");
    run(&mut overlay, Command::CreateTable { def, placement: local.placement, indexes });
    let hash = request(TableDistribution::Hash(ColumnId(1)), ColocateWith::Default);
    let distributed = plan(&overlay, &hash).expect("plan");
    let mut ids = reserve(state, distributed.ids(&overlay));
    let placed = distributed.commands(&overlay, &mut ids).expect("commands");
    if let Some(colocation) = placed.colocation {
        run(&mut overlay, colocation);
    }
    run(&mut overlay, Command::PlaceTable { table, placement: placed.placement });
    (base, commands)
}

fn commit(state: &mut State, (base, commands): (u64, Vec<Command>)) -> Outcome {
    let outcome = apply(state, Command::Batch { base, commands });
    assert_eq!(check_invariants(state), Ok(()));
    outcome
}

#[test]
fn a_batch_does_all_or_nothing() {
    let mut state = cluster(2);
    let (base, mut commands) = transaction(&mut state, "t");
    commands.push(Command::DropSchema { oid: satsuma_common::Oid(1) });
    let before = state.fingerprint();
    assert!(matches!(commit(&mut state, (base, commands)), Outcome::Rejected(_)));
    assert_eq!(state.fingerprint(), before);
}

/// A participant asked for the outcome and was told that there is none.
#[test]
fn a_batch_whose_transaction_was_aborted_changes_nothing() {
    let mut state = cluster(2);
    let txn = TxnId { start: Timestamp(1), coordinator: NodeId(1) };
    let (base, mut commands) = transaction(&mut state, "t");
    let commit = Some(Timestamp(50));
    commands.push(Command::Decide { txn, outcome: commit });
    let mut decided = state.clone();
    let Outcome::Batch(outcomes) = self::commit(&mut decided, (base, commands.clone())) else {
        panic!("refused");
    };
    assert_eq!(outcomes.last(), Some(&Outcome::Decided(commit)));

    accept(&mut state, Command::Decide { txn, outcome: None });
    let before = state.fingerprint();
    let Outcome::Rejected(refused) = self::commit(&mut state, (base, commands)) else {
        panic!("committed");
    };
    assert_eq!(refused.state(), SqlState::SERIALIZATION_FAILURE);
    assert_eq!(state.fingerprint(), before);
}

#[test]
fn transactions_on_different_tables_do_not_meet() {
    let mut state = cluster(2);
    create_distributed(&mut state, "first");
    let one = transaction(&mut state, "one");
    let two = transaction(&mut state, "two");
    assert!(matches!(commit(&mut state, one), Outcome::Batch(_)));
    assert!(matches!(commit(&mut state, two), Outcome::Batch(_)));
}

#[test]
fn the_second_to_change_a_table_tries_again() {
    let mut state = cluster(2);
    let table = create_distributed(&mut state, "t");
    let base = state.version();
    let rename = |state: &State, name: &str| {
        let mut def = state.table(table).expect("t").def().clone();
        def.shape.make_mut().name = name.into();
        vec![Command::AlterTable(def)]
    };
    let (one, two) = (rename(&state, "a"), rename(&state, "b"));
    assert!(matches!(commit(&mut state, (base, one)), Outcome::Batch(_)));
    let Outcome::Rejected(refused) = commit(&mut state, (base, two)) else { panic!("lost") };
    assert_eq!(refused.state(), SqlState::SERIALIZATION_FAILURE);
    assert_eq!(state.table(table).map(|t| t.shape.name.as_str()), Some("a"));
}

/// A placement that is only being filled stops none.
#[test]
fn a_moved_group_stops_a_batch_that_laid_shards_there() {
    let late = |placement| {
        let mut state = cluster(2);
        let table = create_distributed(&mut state, "t");
        let group = state.table(table).expect("t").shards()[0].group;
        let pending = transaction(&mut state, "late");
        let added = Command::AddPlacement { group, node: NodeId(3), state: placement };
        accept(&mut state, added);
        commit(&mut state, pending)
    };
    let Outcome::Rejected(refused) = late(PlacementState::Finalized) else { panic!("committed") };
    assert_eq!(refused.state(), SqlState::SERIALIZATION_FAILURE);
    assert!(!matches!(late(PlacementState::Inactive), Outcome::Rejected(_)));
}

#[test]
fn foreign_keys_are_known_at_both_ends_and_follow_renames() {
    let mut state = cluster(2);
    let parent = create_distributed(&mut state, "companies");
    let child = create_distributed(&mut state, "campaigns");
    let mut def = state.table(child).expect("child").def().clone();
    let key = foreign_key("campaigns_company_id_fkey", &def, state.table(parent).expect("parent"));
    let oid = reserve(&mut state, IdRequest::oids(1)).oid().expect("oid");
    def.constraint_oids.insert(key.name.clone(), oid);
    def.shape.make_mut().foreign_keys.push(key.clone());
    accept(&mut state, Command::AlterTable(def));
    assert_eq!(state.table(parent).expect("parent").shape.referenced_by, [key]);

    let refused = apply(&mut state, Command::DropTable { table: parent });
    assert!(matches!(refused, Outcome::Rejected(Rejection::Dependents { .. })));

    let mut def = state.table(parent).expect("parent").def().clone();
    def.shape.make_mut().name = "firms".into();
    accept(&mut state, Command::AlterTable(def));
    let key = &state.table(child).expect("child").shape.foreign_keys[0];
    assert_eq!(key.target_name, "firms");

    accept(&mut state, Command::DropTable { table: child });
    assert!(state.table(parent).expect("parent").shape.referenced_by.is_empty());
    accept(&mut state, Command::DropTable { table: parent });
}

#[test]
fn the_first_decision_stands() {
    let mut state = cluster(0);
    let txn = |start| TxnId { start: Timestamp(start), coordinator: NodeId(1) };
    let decide = |txn, outcome| Command::Decide { txn, outcome };
    let commit = Some(Timestamp(50));
    assert_eq!(accept(&mut state, decide(txn(1), commit)), Outcome::Decided(commit));
    assert_eq!(accept(&mut state, decide(txn(1), None)), Outcome::Decided(commit));
    assert_eq!(accept(&mut state, decide(txn(2), None)), Outcome::Decided(None));
    assert_eq!(accept(&mut state, decide(txn(2), commit)), Outcome::Decided(None));
    // Forgetting never turns an abort into a commit.
    accept(&mut state, Command::ForgetDecisions { txns: vec![txn(1), txn(2)] });
    assert_eq!(state.decisions().iter().count(), 1);
    accept(&mut state, Command::AdvanceDecisionHorizon { horizon: Timestamp(10) });
    assert_eq!(state.decisions().iter().count(), 0);
    assert_eq!(accept(&mut state, decide(txn(2), commit)), Outcome::Decided(None));
}

#[test]
fn sequences_give_blocks_without_duplicates() {
    let mut state = cluster(0);
    let id = SequenceId(reserve(&mut state, IdRequest::oids(1)).oid().expect("oid").0);
    let sequence = Sequence {
        id,
        name: "s".into(),
        schema: PUBLIC_SCHEMA_OID,
        owner: SUPERUSER_OID,
        ty: PgType::Int8,
        start: 1,
        increment: 2,
        min: 1,
        max: 8,
        cache: 1,
        cycle: false,
        owned_by: None,
    };
    accept(&mut state, Command::CreateSequence(sequence.clone()));
    let mut next =
        |count| match apply(&mut state, Command::AllocateSequence { sequence: id, count }) {
            Outcome::Sequence(block) => (0..).map_while(|index| block.value(index)).collect(),
            Outcome::Rejected(rejection) => {
                assert_eq!(
                    rejection.to_string(),
                    "nextval: reached maximum value of sequence \"s\" (8)"
                );
                vec![]
            }
            other => panic!("{other:?}"),
        };
    assert_eq!(next(2), [1, 3]);
    assert_eq!(next(10), [5, 7]);
    assert_eq!(next(1), [0i64; 0]);
    let epoch = |state: &State| state.sequence_position(id).expect("position").epoch;
    let before = epoch(&state);
    accept(&mut state, Command::SetSequence { sequence: id, value: 3, is_called: false });
    assert!(epoch(&state) > before);
    let outcome = accept(&mut state, Command::AllocateSequence { sequence: id, count: 1 });
    assert!(matches!(outcome, Outcome::Sequence(block) if block.first == 3));
    let beyond = Command::SetSequence { sequence: id, value: 9, is_called: true };
    assert!(matches!(apply(&mut state, beyond), Outcome::Rejected(_)));
}

#[test]
fn a_request_counts_once() {
    let mut state = cluster(0);
    let request = |boot, number| RequestId { node: NodeId(1), boot, number };
    let reserve = || Command::Reserve(IdRequest::oids(1));
    assert!(apply_once(&mut state, request(7, 2), 1, reserve()).is_some());
    assert!(apply_once(&mut state, request(7, 2), 1, reserve()).is_none());
    assert!(apply_once(&mut state, request(7, 1), 1, reserve()).is_some());
    assert!(apply_once(&mut state, request(7, 5), 4, reserve()).is_some());
    assert!(apply_once(&mut state, request(7, 3), 4, reserve()).is_none(), "below the floor");
    assert!(apply_once(&mut state, request(8, 1), 1, reserve()).is_some(), "a new life");
    assert!(apply_once(&mut state, request(7, 9), 1, reserve()).is_none(), "an old life");
    assert_eq!(state.counters().oid, FIRST_USER_OID + 4);
}
