//! Functions that add, remove and change workers.

use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{Datum, NodeId, PgType, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::Worker;
use satsuma_sql::bound::OutputColumn;

use super::ClusterSession;
use super::calls::{Arguments, column};
use crate::catalog::{Command, CoordinatorAddress, Node, NodeChange};
use crate::membership;
use crate::rebalance;

/// How long a worker may take to say who it is.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

type Rows = Vec<Vec<Datum>>;

/// Columns of a function's result; `None` for one that is not of this module.
pub fn columns(name: &str) -> Option<Vec<OutputColumn>> {
    let one = |ty| vec![column(name, ty)];
    Some(match name {
        "citus_add_node" | "citus_add_inactive_node" | "citus_activate_node" => one(PgType::Int4),
        "citus_remove_node"
        | "citus_disable_node"
        | "citus_update_node"
        | "citus_set_node_property"
        | "citus_set_coordinator_host"
        | "satsuma_add_coordinator"
        | "satsuma_update_coordinator"
        | "satsuma_remove_coordinator" => one(PgType::Void),
        "citus_check_connection_to_node" => one(PgType::Bool),
        "citus_get_active_worker_nodes" => {
            vec![column("node_name", PgType::Text), column("node_port", PgType::Int8)]
        }
        "satsuma_coordinators" => vec![
            column("nodeid", PgType::Int4),
            column("host", PgType::Text),
            column("port", PgType::Int4),
            column("grpc_address", PgType::Text),
            column("is_leader", PgType::Bool),
        ],
        "satsuma_catalog_digest" => vec![
            column("nodeid", PgType::Int4),
            column("applied", PgType::Int8),
            column("digest", PgType::Text),
        ],
        "citus_check_cluster_node_health" => vec![
            column("from_nodename", PgType::Text),
            column("from_nodeport", PgType::Int4),
            column("to_nodename", PgType::Text),
            column("to_nodeport", PgType::Int4),
            column("result", PgType::Bool),
        ],
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
    match name {
        "citus_add_node" | "citus_add_inactive_node" => {
            let (host, port) = arguments.address()?;
            let worker = session.cluster.workers.probe(&Node::worker_at(&host, port))?;
            let activate = name == "citus_add_node";
            let cluster = session.cluster.clone();
            let node = membership::add(&cluster, worker.as_ref(), host, port, activate).await?;
            Ok(vec![vec![number(node)]])
        }
        "citus_remove_node" => {
            let node = arguments.node(session)?;
            let removed = session.state().node(node).cloned();
            session.cluster.catalog.propose(Command::RemoveNode { node }).await?;
            settle_references(session).await;
            if let Some(removed) = removed {
                membership::dismiss(&session.cluster, &removed).await;
            }
            Ok(nothing())
        }
        "citus_disable_node" => {
            let node = arguments.node(session)?;
            change(session, node, NodeChange::Active(false)).await?;
            settle_references(session).await;
            Ok(nothing())
        }
        "citus_activate_node" => {
            let node = arguments.node(session)?;
            membership::activate(&session.cluster, node).await?;
            Ok(vec![vec![number(node)]])
        }
        "citus_update_node" => {
            update(session, arguments).await?;
            Ok(nothing())
        }
        "citus_set_node_property" => {
            let node = arguments.node(session)?;
            if arguments.text(2)?.as_deref() != Some("shouldhaveshards") {
                return Err(SqlError::internal(
                    "only the 'shouldhaveshards' property can be set using this function",
                ));
            }
            let should = arguments.boolean(3)?.unwrap_or(true);
            change(session, node, NodeChange::ShouldHaveShards(should)).await?;
            Ok(nothing())
        }
        "satsuma_add_coordinator" => {
            let command = Command::AddCoordinator(coordinator_address(arguments)?);
            session.cluster.catalog.propose(command).await?;
            Ok(nothing())
        }
        "satsuma_update_coordinator" => {
            let address = coordinator_address(arguments)?;
            session.cluster.catalog.propose(Command::UpdateCoordinator(address)).await?;
            Ok(nothing())
        }
        "satsuma_remove_coordinator" => {
            let node = coordinator_id(arguments)?;
            session.cluster.catalog.propose(Command::RemoveCoordinator { node }).await?;
            Ok(nothing())
        }
        "citus_set_coordinator_host" => Ok(nothing()),
        "citus_get_active_worker_nodes" => Ok(session
            .state()
            .workers()
            .filter(|node| node.is_active)
            .map(|node| vec![Datum::Text(node.host.clone()), Datum::Int8(i64::from(node.port))])
            .collect()),
        "satsuma_coordinators" => {
            let leader = session.cluster.catalog.leadership().leader;
            let state = session.state();
            let coordinators = state.nodes().filter(|node| !node.is_worker());
            let row = |node: &Node| {
                vec![
                    number(node.id),
                    Datum::Text(node.host.clone()),
                    Datum::Int4(i32::from(node.port)),
                    Datum::Text(node.grpc_address.clone().unwrap_or_default()),
                    Datum::Bool(Some(node.id) == leader),
                ]
            };
            Ok(coordinators.map(row).collect())
        }
        "satsuma_catalog_digest" => {
            let (state, applied) = session.cluster.catalog.applied();
            Ok(vec![vec![
                number(session.cluster.node),
                Datum::Int8(i64::try_from(applied).unwrap_or(i64::MAX)),
                Datum::Text(format!("{:016x}", state.digest())),
            ]])
        }
        "citus_check_connection_to_node" => {
            let host = arguments.text(0)?.unwrap_or_default();
            let port = arguments.integer(1)?.unwrap_or(5432);
            let port = u16::try_from(port).unwrap_or_default();
            let worker = session.cluster.workers.probe(&Node::worker_at(&host, port));
            Ok(vec![vec![Datum::Bool(answers(worker).await)]])
        }
        "citus_check_cluster_node_health" => Ok(health(session).await),
        other => Err(SqlError::unsupported(format!("{other}() is not supported yet"))),
    }
}

fn number(node: NodeId) -> Datum {
    Datum::Int4(i32::try_from(node.0).unwrap_or(i32::MAX))
}

async fn change(session: &ClusterSession, node: NodeId, change: NodeChange) -> SqlResult<()> {
    session.cluster.catalog.propose(Command::ChangeNode { node, change }).await.map(drop)
}

/// The remaining copies of reference tables learn that there are fewer.
async fn settle_references(session: &ClusterSession) {
    let reference = session.state().reference_colocation().map(|colocation| colocation.id);
    if let Some(colocation) = reference {
        rebalance::settle(&session.cluster, colocation).await;
    }
}

/// The same worker at another address. It must be that worker, where it can be asked.
async fn update(session: &ClusterSession, arguments: &Arguments) -> SqlResult<()> {
    let id = arguments.integer(0)?.and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    let host = arguments.text(1)?.ok_or_else(|| {
        SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "node name cannot be NULL")
    })?;
    let port =
        arguments.integer(2)?.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "node port must be 0 to 65535")
        })?;
    let state = session.state();
    let node =
        state.node(NodeId(id)).ok_or_else(|| SqlError::internal(format!("node {id} not found")))?;
    if node.is_worker()
        && let Ok(worker) = session.cluster.workers.probe(&Node::worker_at(&host, port))
        && let Ok(status) = worker.status().await
        && node.directory.as_ref().is_some_and(|known| *known != status.directory)
    {
        return Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("the worker at \"{host}:{port}\" is not node {id}"),
        )
        .detail("Its data directory is another one."));
    }
    change(session, NodeId(id), NodeChange::Address { host, port }).await
}

fn coordinator_id(arguments: &Arguments) -> SqlResult<NodeId> {
    let id = arguments.integer(0)?.and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0);
    id.map(NodeId).ok_or_else(|| {
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "node ids of coordinators count from 1")
    })
}

/// A coordinator's id and its gRPC address.
fn coordinator_address(arguments: &Arguments) -> SqlResult<CoordinatorAddress> {
    let node = coordinator_id(arguments)?;
    let grpc = arguments.text(1)?.unwrap_or_default();
    let host = match grpc.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => host.to_owned(),
        _ => {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("\"{grpc}\" is not a host and a port"),
            ));
        }
    };
    Ok(CoordinatorAddress { node, host, port: 0, grpc })
}

/// Whether a worker says who it is.
async fn answers(worker: SqlResult<Arc<dyn Worker>>) -> bool {
    let Ok(worker) = worker else { return false };
    matches!(tokio::time::timeout(HEALTH_PATIENCE, worker.status()).await, Ok(Ok(_)))
}

/// Whether this coordinator reaches each worker.
async fn health(session: &ClusterSession) -> Rows {
    let state = session.state();
    let own = state.node(session.cluster.node);
    let from = own.map_or_else(Default::default, |node| (node.host.clone(), node.port));
    let asked = state.workers().map(|node| {
        // The client that statements use: it knows already which worker hangs.
        let worker = session.cluster.workers.any_client(node);
        async move { (node.host.clone(), node.port, answers(worker).await) }
    });
    let answers = futures::future::join_all(asked).await;
    answers
        .into_iter()
        .map(|(host, port, reached)| {
            vec![
                Datum::Text(from.0.clone()),
                Datum::Int4(i32::from(from.1)),
                Datum::Text(host),
                Datum::Int4(i32::from(port)),
                Datum::Bool(reached),
            ]
        })
        .collect()
}
