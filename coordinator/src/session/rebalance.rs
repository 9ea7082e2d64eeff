//! Functions that move shards: `rebalance_table_shards` and its relatives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use satsuma_common::table::TableShape;
use satsuma_common::{
    ColocationId, Datum, MoveId, NodeId, PgType, ShardId, SqlError, SqlResult, SqlState,
};
use satsuma_sql::bound::OutputColumn;

use super::ClusterSession;
use super::calls::{Arguments, column};
use crate::catalog::{
    ColocationKind, Command, Job, Move, MoveKind, MovePhase, Node, NodeChange, Outcome, State,
    Task, TaskState,
};
use crate::cluster::Cluster;
use crate::ddl::rows::qualified;
use crate::rebalance::{
    MOVES_PER_NODE, Planned, Strategy, Wanted, copy_references, missing_references, plan,
    start_move, wait_for_job, wait_for_move,
};
use crate::session_api::{Notice, Severity};

/// Moves that one statement has under way at once.
const MOST_MOVES: usize = 4;

type Rows = Vec<Vec<Datum>>;

/// Columns of a function's result; `None` for one that is not of this module.
pub fn columns(name: &str) -> Option<Vec<OutputColumn>> {
    let list = |columns: &[(&str, PgType)]| {
        columns.iter().map(|(name, ty)| column(name, ty.clone())).collect::<Vec<_>>()
    };
    let job = || {
        list(&[
            ("job_id", PgType::Int8),
            ("state", PgType::Text),
            ("job_type", PgType::Name),
            ("description", PgType::Text),
            ("started_at", PgType::Timestamptz),
            ("finished_at", PgType::Timestamptz),
        ])
    };
    Some(match name {
        "rebalance_table_shards"
        | "citus_move_shard_placement"
        | "citus_drain_node"
        | "citus_rebalance_stop"
        | "citus_rebalance_wait"
        | "citus_job_wait"
        | "citus_job_cancel"
        | "replicate_reference_tables"
        | "citus_cleanup_orphaned_resources" => list(&[(name, PgType::Void)]),
        "citus_rebalance_start" => list(&[(name, PgType::Int8)]),
        "get_rebalance_table_shards_plan" => list(&[
            ("table_name", PgType::Regclass),
            ("shardid", PgType::Int8),
            ("shard_size", PgType::Int8),
            ("sourcename", PgType::Text),
            ("sourceport", PgType::Int4),
            ("targetname", PgType::Text),
            ("targetport", PgType::Int4),
        ]),
        "get_rebalance_progress" => list(&[
            ("sessionid", PgType::Int4),
            ("table_name", PgType::Regclass),
            ("shardid", PgType::Int8),
            ("shard_size", PgType::Int8),
            ("sourcename", PgType::Text),
            ("sourceport", PgType::Int4),
            ("targetname", PgType::Text),
            ("targetport", PgType::Int4),
            ("progress", PgType::Int8),
            ("source_shard_size", PgType::Int8),
            ("target_shard_size", PgType::Int8),
            ("operation_type", PgType::Text),
            ("source_lsn", PgType::Text),
            ("target_lsn", PgType::Text),
            ("status", PgType::Text),
        ]),
        "citus_job_list" => job(),
        "citus_rebalance_status" | "citus_job_status" => {
            job().into_iter().chain(list(&[("details", PgType::Jsonb)])).collect()
        }
        _ => return None,
    })
}

/// Runs a function of this module.
pub async fn call(
    session: &mut ClusterSession,
    name: &str,
    arguments: &Arguments,
) -> SqlResult<Rows> {
    let nothing = || vec![vec![Datum::Null]];
    let cluster = session.cluster.clone();
    match name {
        "rebalance_table_shards" => {
            transfer_mode(arguments.text(4)?)?;
            let wanted =
                wanted(session, arguments, (Some(1), Some(2), Some(3)), Some(5), Some(6), None)?;
            session.require_owner_of(wanted.colocation)?;
            let planned = planned(session, &wanted).await?;
            run_moves(session, planned).await?;
            Ok(nothing())
        }
        "get_rebalance_table_shards_plan" => {
            let positions = (Some(1), Some(2), Some(3));
            let wanted = wanted(session, arguments, positions, Some(4), Some(5), Some(6))?;
            let planned = planned(session, &wanted).await?;
            Ok(plan_rows(session, &planned))
        }
        "get_rebalance_progress" => {
            cluster.refresh_sizes().await;
            Ok(progress_rows(session))
        }
        "citus_rebalance_start" => start_job(session, arguments).await,
        "citus_rebalance_stop" => {
            session.require_owner_of(None)?;
            let Some(job) = running_job(&session.state()) else {
                return Err(SqlError::internal("no ongoing rebalance that can be stopped"));
            };
            cluster.catalog.propose(Command::CancelJob { job }).await?;
            Ok(nothing())
        }
        "citus_rebalance_wait" => {
            match running_job(&session.state()) {
                Some(job) => drop(wait_for_job(&cluster, job).await?),
                None => session.notice(Notice::warning(
                    SqlState::WARNING,
                    "no ongoing rebalance that can be waited on",
                )),
            }
            Ok(nothing())
        }
        "citus_job_wait" => {
            let job = wait_for_job(&cluster, job_id(arguments)?).await?;
            match arguments.text(1)? {
                Some(status) if status != job.state() => Err(SqlError::internal(format!(
                    "Job reached terminal state \"{}\" instead of desired state \"{status}\"",
                    job.state()
                ))),
                _ => Ok(nothing()),
            }
        }
        "citus_job_cancel" => {
            let job = job_id(arguments)?;
            if session.state().job(job).is_none() {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("no job found for job with jobid {job}"),
                ));
            }
            cluster.catalog.propose(Command::CancelJob { job }).await?;
            Ok(nothing())
        }
        "citus_job_list" => Ok(session.state().jobs().map(job_row).collect()),
        "citus_job_status" => {
            let id = job_id(arguments)?;
            let state = session.state();
            let jobs = state.jobs().filter(|job| job.id == id);
            Ok(jobs.map(|job| detailed_row(&state, job)).collect())
        }
        "citus_rebalance_status" => {
            let state = session.state();
            let last = state.jobs().last();
            Ok(last.map(|job| detailed_row(&state, job)).into_iter().collect())
        }
        "citus_move_shard_placement" => {
            move_one(session, arguments).await?;
            Ok(nothing())
        }
        "citus_drain_node" => {
            transfer_mode(arguments.text(2)?)?;
            drain(session, arguments).await?;
            Ok(nothing())
        }
        "replicate_reference_tables" => {
            let nodes: Vec<_> = session.state().workers().map(|node| node.id).collect();
            for node in nodes {
                copy_references(&cluster, node).await?;
            }
            Ok(nothing())
        }
        "citus_cleanup_orphaned_resources" => Ok(nothing()),
        other => Err(SqlError::unsupported(format!("{other}() is not supported yet"))),
    }
}

fn transfer_mode(mode: Option<String>) -> SqlResult<()> {
    match mode.as_deref() {
        // Every move is online.
        None | Some("auto" | "force_logical" | "block_writes") => Ok(()),
        Some(other) => Err(SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input value for enum citus.shard_transfer_mode: \"{other}\""),
        )),
    }
}

/// Reads the arguments that planning functions share; the first one is always the table.
fn wanted(
    session: &ClusterSession,
    arguments: &Arguments,
    (threshold, most_moves, excluded): (Option<usize>, Option<usize>, Option<usize>),
    drain_only: Option<usize>,
    strategy: Option<usize>,
    improvement: Option<usize>,
) -> SqlResult<Wanted> {
    let text = |at: Option<usize>| at.map_or(Ok(None), |at| arguments.text(at));
    let number = |at: Option<usize>| at.map_or(Ok(None), |at| arguments.float(at));
    let mut chosen = strategy_of(text(strategy)?)?;
    if let Some(threshold) = number(threshold)? {
        chosen.threshold = not_negative("threshold", threshold)?;
    }
    if let Some(improvement) = number(improvement)? {
        chosen.improvement_threshold = not_negative("improvement_threshold", improvement)?;
    }
    let most_moves = match most_moves.map_or(Ok(None), |at| arguments.integer(at))? {
        Some(most) => usize::try_from(most).unwrap_or(0),
        None => 1_000_000,
    };
    let drain_only = drain_only.map_or(Ok(None), |at| arguments.boolean(at))?.unwrap_or(false);
    Ok(Wanted {
        strategy: chosen,
        colocation: table_argument(session, arguments)?,
        most_moves,
        excluded: shard_list(text(excluded)?)?,
        drain_only,
    })
}

fn not_negative(name: &str, threshold: f64) -> SqlResult<f64> {
    if threshold.is_nan() || threshold < 0.0 {
        let message = format!("{name} must not be negative");
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(threshold.min(1000.0))
}

fn strategy_of(name: Option<String>) -> SqlResult<Strategy> {
    match name {
        None => Ok(Strategy::BY_DISK_SIZE),
        Some(name) => Strategy::by_name(&name).ok_or_else(|| {
            SqlError::internal(format!("could not find rebalance strategy with name {name}"))
        }),
    }
}

fn table_argument(
    session: &ClusterSession,
    arguments: &Arguments,
) -> SqlResult<Option<ColocationId>> {
    let state = session.state();
    if arguments.integer(0)?.is_none() {
        return Ok(None);
    }
    let table = arguments.table(0, &state)?;
    let kind = state.colocation(table.colocation()).map(|colocation| colocation.kind);
    match kind {
        Some(ColocationKind::Hash | ColocationKind::Single) => Ok(Some(table.colocation())),
        Some(ColocationKind::Reference) => Err(moves_no_reference(&table.shape)),
        _ => Err(SqlError::internal(format!("table {} is not distributed", table.shape.name))),
    }
}

fn moves_no_reference(table: &TableShape) -> SqlError {
    SqlError::unsupported(format!(
        "table {} is a reference table, moving shard of a reference table is not supported",
        qualified(table)
    ))
}

/// `{102008,102009}`.
fn shard_list(text: Option<String>) -> SqlResult<BTreeSet<ShardId>> {
    let Some(text) = text else { return Ok(BTreeSet::new()) };
    let malformed = || {
        SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{text}\""),
        )
    };
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(malformed)?;
    inner
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| item.parse().map(ShardId).map_err(|_| malformed()))
        .collect()
}

async fn planned(session: &ClusterSession, wanted: &Wanted) -> SqlResult<Vec<Planned>> {
    check_takers(&session.state(), None)?;
    session.cluster.refresh_sizes().await;
    Ok(plan(&session.state(), &session.cluster.sizes(), wanted))
}

/// An error where no node but `leaving` takes shards, in Citus's words.
fn check_takers(state: &State, leaving: Option<NodeId>) -> SqlResult<()> {
    let takes = |node: &Node| node.is_active && node.should_have_shards && Some(node.id) != leaving;
    match state.workers().any(takes) {
        true => Ok(()),
        false => Err(SqlError::internal(
            "Shard replication factor (1) cannot be greater than number of nodes with \
             should_have_shards=true (0).",
        )),
    }
}

fn address(state: &State, node: NodeId) -> (String, u16) {
    state.node(node).map_or_else(Default::default, |node| (node.host.clone(), node.port))
}

/// A row for each shard that moves along.
fn plan_rows(session: &ClusterSession, planned: &[Planned]) -> Rows {
    let state = session.state();
    let sizes = session.cluster.sizes();
    let mut rows = Vec::new();
    for planned in planned {
        let Some(group) = state.group(planned.group) else { continue };
        let (source, target) = (address(&state, planned.source), address(&state, planned.target));
        for table in state.tables_in(group.colocation) {
            let Some(shard) = table.shards().iter().find(|shard| shard.group == group.id) else {
                continue;
            };
            let size = sizes.get(&(shard.id, planned.source)).map_or(0, |size| size.bytes);
            rows.push(vec![
                Datum::Oid(table.id().0),
                int8(shard.id.0),
                int8(size),
                Datum::Text(source.0.clone()),
                Datum::Int4(i32::from(source.1)),
                Datum::Text(target.0.clone()),
                Datum::Int4(i32::from(target.1)),
            ]);
        }
    }
    rows
}

/// A row for each shard that is moving.
fn progress_rows(session: &ClusterSession) -> Rows {
    let state = session.state();
    let sizes = session.cluster.sizes();
    let mut rows = Vec::new();
    for movement in state.moves().filter(|movement| !movement.phase.is_over()) {
        let Some(group) = state.group(movement.group) else { continue };
        let (source, target) = (address(&state, movement.source), address(&state, movement.target));
        let (progress, status) = shown_phase(movement);
        for table in state.tables_in(group.colocation) {
            let Some(shard) = table.shards().iter().find(|shard| shard.group == group.id) else {
                continue;
            };
            let size = |node| sizes.get(&(shard.id, node)).map_or(0, |size| size.bytes);
            let (at_source, at_target) = (size(movement.source), size(movement.target));
            rows.push(vec![
                Datum::Int4(0),
                Datum::Oid(table.id().0),
                int8(shard.id.0),
                int8(at_source),
                Datum::Text(source.0.clone()),
                Datum::Int4(i32::from(source.1)),
                Datum::Text(target.0.clone()),
                Datum::Int4(i32::from(target.1)),
                Datum::Int8(progress),
                int8(at_source),
                int8(at_target),
                Datum::Text(match movement.kind {
                    MoveKind::Move => "move".into(),
                    MoveKind::Copy => "copy".into(),
                }),
                Datum::Null,
                Datum::Null,
                Datum::Text(status.into()),
            ]);
        }
    }
    rows
}

fn shown_phase(movement: &Move) -> (i64, &'static str) {
    match movement.phase {
        MovePhase::Copying => (1, "Copying Data"),
        MovePhase::CatchingUp => (1, "Catching Up"),
        MovePhase::Switching => (1, "Final Catchup"),
        MovePhase::Switched => (2, "Completing"),
        MovePhase::Done => (2, "Completed"),
        MovePhase::Aborted => (2, "Aborted"),
    }
}

fn int8(value: u64) -> Datum {
    Datum::Int8(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Moves that were started and are not waited for any more are given up.
struct CancelOnDrop {
    cluster: Arc<Cluster>,
    moves: BTreeSet<MoveId>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let moves = std::mem::take(&mut self.moves);
        if moves.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let cluster = self.cluster.clone();
            runtime.spawn(async move {
                for id in moves {
                    if let Err(error) = cluster.catalog.propose(Command::CancelMove { id }).await {
                        tracing::debug!(movement = %id, %error, "a move was not cancelled");
                    }
                }
            });
        }
    }
}

/// Makes the moves, some at a time, in about this order.
async fn run_moves(session: &mut ClusterSession, planned: Vec<Planned>) -> SqlResult<()> {
    let cluster = session.cluster.clone();
    let targets: BTreeSet<NodeId> = planned.iter().map(|planned| planned.target).collect();
    for target in targets {
        copy_references(&cluster, target).await?;
    }
    let mut waiting: std::collections::VecDeque<Planned> = planned.into();
    let mut busy: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut started = CancelOnDrop { cluster: cluster.clone(), moves: BTreeSet::new() };
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < MOST_MOVES {
            let is_free = |node: &NodeId| busy.get(node).copied().unwrap_or(0) < MOVES_PER_NODE;
            let next = waiting.iter().position(|p| is_free(&p.source) && is_free(&p.target));
            let Some(next) = next.and_then(|at| waiting.remove(at)) else { break };
            let state = session.state();
            let (source, target) = (address(&state, next.source), address(&state, next.target));
            session.notice(Notice::plain(format!(
                "Moving shard {} from {}:{} to {}:{} ...",
                next.shard.0, source.0, source.1, target.0, target.1
            )));
            let command = Command::StartMove {
                group: next.group,
                source: next.source,
                target: next.target,
                kind: MoveKind::Move,
            };
            let id = start_move(&cluster, command).await?;
            started.moves.insert(id);
            for node in [next.source, next.target] {
                *busy.entry(node).or_default() += 1;
            }
            let cluster = cluster.clone();
            running.push(async move { (id, next, wait_for_move(&cluster, id).await) });
        }
        let Some((id, done, result)) = running.next().await else { return Ok(()) };
        started.moves.remove(&id);
        result?;
        for node in [done.source, done.target] {
            if let Some(count) = busy.get_mut(&node) {
                *count -= 1;
            }
        }
    }
}

async fn move_one(session: &mut ClusterSession, arguments: &Arguments) -> SqlResult<()> {
    transfer_mode(arguments.text(arguments.len() - 1)?)?;
    let cluster = session.cluster.clone();
    let state = session.state();
    let shard = arguments.integer(0)?.and_then(|id| u64::try_from(id).ok()).unwrap_or(0);
    let Some((table, placed)) = state.shard(ShardId(shard)) else {
        return Err(SqlError::internal(format!("could not find valid entry for shard {shard}")));
    };
    session.require_owner_of(Some(table.colocation()))?;
    let by_id = arguments.len() == BY_ID;
    let source = match by_id {
        true => Some(node_of(&state, arguments, 1)?),
        false => node_at(&state, arguments, 1)?,
    };
    let source = source.ok_or_else(|| {
        SqlError::internal("Moving shards from a non-existing node is not supported")
    })?;
    let target = match by_id {
        true => Some(node_of(&state, arguments, 2)?),
        false => node_at(&state, arguments, 3)?,
    };
    let target = target.ok_or_else(|| {
        let (host, port) = (arguments.text(3).ok().flatten(), arguments.integer(4).ok().flatten());
        let (host, port) = (host.unwrap_or_default(), port.unwrap_or_default());
        SqlError::internal("Moving shards to a non-existing node is not supported")
            .hint(format!("Add the target node via SELECT citus_add_node('{host}', {port});"))
    })?;
    if !target.is_active {
        return Err(SqlError::internal("Moving shards to a non-active node is not supported")
            .hint(format!(
                "Activate the target node via SELECT citus_activate_node('{}', {});",
                target.host, target.port
            )));
    }
    let group =
        state.group(placed.group).ok_or_else(|| SqlError::internal("the shard's group is gone"))?;
    if state.reference_colocation().is_some_and(|reference| reference.id == group.colocation) {
        return Err(moves_no_reference(&table.shape));
    }
    if source.id == target.id {
        return Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "cannot move shard to the same node",
        ));
    }
    if group.placement(source.id).is_none() && group.placement(target.id).is_some() {
        session.notice(Notice::warning(
            SqlState::WARNING,
            format!("shard is already present on node {}:{}", target.host, target.port),
        ));
        return Ok(());
    }
    if group.placement(source.id).is_none() {
        return Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("could not find placement matching \"{}:{}\"", source.host, source.port),
        )
        .hint("Confirm the placement still exists and try again."));
    }
    if group.placement(target.id).is_some() {
        return Err(SqlError::internal(format!("shard {shard} already exists in the target node")));
    }
    copy_references(&cluster, target.id).await?;
    let command = Command::StartMove {
        group: group.id,
        source: source.id,
        target: target.id,
        kind: MoveKind::Move,
    };
    let id = start_move(&cluster, command).await?;
    let mut started = CancelOnDrop { cluster: cluster.clone(), moves: [id].into() };
    let result = wait_for_move(&cluster, id).await;
    started.moves.clear();
    result
}

/// Parameters of `citus_move_shard_placement` where nodes are named by their ids.
const BY_ID: usize = 4;

/// The worker that an argument names by its id.
fn node_of<'a>(state: &'a State, arguments: &Arguments, at: usize) -> SqlResult<&'a Node> {
    let id = arguments.integer(at)?.unwrap_or(0);
    let node = u32::try_from(id).ok().and_then(|id| state.node(NodeId(id)));
    node.filter(|node| node.is_worker())
        .ok_or_else(|| SqlError::internal(format!("node {id} not found")))
}

fn node_at<'a>(state: &'a State, arguments: &Arguments, at: usize) -> SqlResult<Option<&'a Node>> {
    let host = arguments.text(at)?.unwrap_or_default();
    let port = arguments.integer(at + 1)?.and_then(|port| u16::try_from(port).ok());
    Ok(port.and_then(|port| state.node_at(&host, port)).filter(|node| node.is_worker()))
}

/// No shards from now on, and those that are there leave.
async fn drain(session: &mut ClusterSession, arguments: &Arguments) -> SqlResult<()> {
    let (host, port) = arguments.address()?;
    let node = session.state().node_at(&host, port).map(|node| node.id).ok_or_else(|| {
        SqlError::new(SqlState::NO_DATA_FOUND, format!("node {host}:{port} not found"))
    })?;
    check_takers(&session.state(), Some(node))?;
    let change = NodeChange::ShouldHaveShards(false);
    session.cluster.catalog.propose(Command::ChangeNode { node, change }).await?;
    let wanted = Wanted {
        strategy: strategy_of(arguments.text(3)?)?,
        colocation: None,
        most_moves: usize::MAX,
        excluded: BTreeSet::new(),
        drain_only: true,
    };
    let planned = planned(session, &wanted).await?;
    run_moves(session, planned.into_iter().filter(|planned| planned.source == node).collect()).await
}

async fn start_job(session: &mut ClusterSession, arguments: &Arguments) -> SqlResult<Rows> {
    transfer_mode(arguments.text(2)?)?;
    session.require_owner_of(None)?;
    if let Some(job) = running_job(&session.state()) {
        return Err(SqlError::internal(format!("A rebalance is already running as job {job}"))
            .detail("A rebalance was already scheduled as background job")
            .hint("To monitor progress, run: SELECT * FROM citus_rebalance_status();"));
    }
    let wanted = Wanted {
        strategy: strategy_of(arguments.text(0)?)?,
        colocation: None,
        most_moves: usize::MAX,
        excluded: BTreeSet::new(),
        drain_only: arguments.boolean(1)?.unwrap_or(false),
    };
    let planned = planned(session, &wanted).await?;
    if planned.is_empty() {
        session.notice(Notice::plain("No moves available for rebalancing"));
        return Ok(vec![vec![Datum::Null]]);
    }
    let state = session.state();
    let targets: BTreeSet<NodeId> = planned.iter().map(|planned| planned.target).collect();
    let copies = targets.iter().filter_map(|node| missing_references(&state, *node));
    let copies = copies.filter_map(|command| match command {
        Command::StartMove { group, source, target, kind } => {
            let shard = state.shards_in(group).first().copied().unwrap_or(ShardId(group.0));
            Some((group, shard, source, target, kind))
        }
        _ => None,
    });
    let moves = planned.iter().map(|p| (p.group, p.shard, p.source, p.target, MoveKind::Move));
    let tasks: Vec<Task> = copies
        .chain(moves)
        .map(|(group, shard, source, target, kind)| Task {
            group,
            shard,
            source,
            target,
            kind,
            state: TaskState::Runnable,
            movement: None,
            message: None,
        })
        .collect();
    let command = Command::StartJob {
        description: "Rebalance all colocation groups".into(),
        started_micros: crate::clock::now_micros(),
        tasks,
    };
    let Outcome::Job(job) = session.cluster.catalog.propose(command).await? else {
        return Err(SqlError::internal("the catalog did not answer with a job"));
    };
    let notice = SqlError::new(
        SqlState::SUCCESSFUL_COMPLETION,
        format!("Scheduled {} moves as job {job}", planned.len()),
    )
    .detail("Rebalance scheduled as background job")
    .hint("To monitor progress, run: SELECT * FROM citus_rebalance_status();");
    session.notice(Notice::new(Severity::Notice, notice));
    Ok(vec![vec![int8(job)]])
}

fn running_job(state: &State) -> Option<u64> {
    state.jobs().filter(|job| !job.is_over()).last().map(|job| job.id)
}

fn job_id(arguments: &Arguments) -> SqlResult<u64> {
    let id = arguments
        .integer(0)?
        .ok_or_else(|| SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "job id cannot be NULL"))?;
    Ok(u64::try_from(id).unwrap_or(0))
}

fn job_row(job: &Job) -> Vec<Datum> {
    vec![
        int8(job.id),
        Datum::Text(job.state().into()),
        Datum::Text("rebalance".into()),
        Datum::Text(job.description.clone()),
        Datum::Timestamp(job.started_micros),
        job.finished_micros.map_or(Datum::Null, Datum::Timestamp),
    ]
}

fn detailed_row(state: &State, job: &Job) -> Vec<Datum> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tasks = Vec::new();
    for (number, task) in (1..).zip(&job.tasks) {
        let shown = match task.state {
            TaskState::Runnable => "runnable",
            TaskState::Running => "running",
            TaskState::Done => "done",
            TaskState::Failed => "error",
            TaskState::Cancelled => "cancelled",
        };
        *counts.entry(shown).or_default() += 1;
        if matches!(task.state, TaskState::Running | TaskState::Failed) {
            let (source, target) = (address(state, task.source), address(state, task.target));
            tasks.push(serde_json::json!({
                "state": shown,
                "command": format!(
                    "SELECT pg_catalog.citus_move_shard_placement({},'{}',{},'{}',{},'auto')",
                    task.shard.0, source.0, source.1, target.0, target.1
                ),
                "message": task.message.clone().unwrap_or_default(),
                "task_id": number,
            }));
        }
    }
    let details = serde_json::json!({ "tasks": tasks, "task_state_counts": counts });
    let details = jsonb_text(&details);
    job_row(job).into_iter().chain([Datum::Text(details)]).collect()
}

/// As PostgreSQL prints jsonb: keys by length and then bytes, a blank after colons and commas.
fn jsonb_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| (name.len(), (*name).clone()));
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(name, value)| {
                    let name = serde_json::Value::String(name.clone());
                    format!("{name}: {}", jsonb_text(value))
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        serde_json::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(jsonb_text).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}
