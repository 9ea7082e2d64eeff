//! Where new shards go: which co-location a table joins, and which nodes a new one is laid over.
//!
//! Pure planning on a state. Asking for ids comes between [`plan`] and
//! [`DistributionPlan::commands`], because workers must know the shards before the catalog does.

use satsuma_common::{ColocationId, HashRange, NodeId, PgType, TableId};

use super::colocation::{Colocation, ColocationKind, Group, LOCAL_COLOCATION};
use super::command::Command;
use super::ids::{IdRequest, Ids};
use super::rejection::Rejection;
use super::state::State;
use super::table::{Shard, TableDistribution, TablePlacement};

/// `colocate_with`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColocateWith {
    Default,
    None,
    Table(TableId),
}

/// How to place a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DistributionRequest {
    pub distribution: TableDistribution,
    /// Type of the distribution column.
    pub column_type: Option<PgType>,
    pub shard_count: u32,
    pub colocate_with: ColocateWith,
}

/// A table's future place.
#[derive(Clone, Debug, PartialEq)]
pub enum DistributionPlan {
    /// Shards in groups that exist.
    Join { distribution: TableDistribution, colocation: ColocationId },
    /// A new co-location with a group per range, each with its nodes.
    New {
        distribution: TableDistribution,
        kind: ColocationKind,
        column_type: Option<PgType>,
        is_default: bool,
        groups: Vec<(HashRange, Vec<NodeId>)>,
    },
}

/// The place of a table, as commands: co-location first, if it is new.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub colocation: Option<Command>,
    pub placement: TablePlacement,
}

/// Decides where a table shall be.
pub fn plan(state: &State, request: &DistributionRequest) -> Result<DistributionPlan, Rejection> {
    let distribution = request.distribution;
    let join = |colocation| Ok(DistributionPlan::Join { distribution, colocation });
    let workers: Vec<NodeId> = state.shard_nodes().map(|node| node.id).collect();
    match distribution {
        TableDistribution::Local => match state.colocation(LOCAL_COLOCATION) {
            Some(local) => join(local.id),
            None => Err(Rejection::NoWorkers),
        },
        TableDistribution::Reference => match state.reference_colocation() {
            Some(reference) => join(reference.id),
            None => {
                let nodes: Vec<_> =
                    state.workers().filter(|node| node.is_active).map(|node| node.id).collect();
                new(request, ColocationKind::Reference, vec![(HashRange::FULL, nodes)])
            }
        },
        TableDistribution::SingleShard => match request.colocate_with {
            ColocateWith::Table(table) => {
                colocation_of(state, table, ColocationKind::Single).and_then(join)
            }
            ColocateWith::Default | ColocateWith::None => {
                // Spread over the nodes by the id the co-location will have, as Citus does.
                let next = state.counters().colocation as usize;
                let node = workers.get(next % workers.len().max(1)).copied();
                let nodes = node.into_iter().collect();
                new(request, ColocationKind::Single, vec![(HashRange::FULL, nodes)])
            }
        },
        TableDistribution::Hash(_) => {
            let ty = request.column_type.as_ref();
            let ty = ty.ok_or(Rejection::Malformed("a distribution column without type"))?;
            match request.colocate_with {
                ColocateWith::Table(table) => {
                    colocation_of(state, table, ColocationKind::Hash).and_then(join)
                }
                ColocateWith::Default => {
                    match state.default_colocation(ty, request.shard_count as usize) {
                        Some(default) => join(default.id),
                        None => new_hash(request, &workers),
                    }
                }
                ColocateWith::None => new_hash(request, &workers),
            }
        }
    }
}

fn colocation_of(
    state: &State,
    table: TableId,
    kind: ColocationKind,
) -> Result<ColocationId, Rejection> {
    let table = state.table(table).ok_or_else(|| Rejection::relation_is_gone(table.0))?;
    match state.colocation(table.colocation()) {
        Some(colocation) if colocation.kind == kind => Ok(colocation.id),
        _ => Err(Rejection::Malformed("co-location with a table of another kind")),
    }
}

/// Shard `i` on worker `i` modulo their number, in the order of node ids, as Citus places them.
fn new_hash(
    request: &DistributionRequest,
    workers: &[NodeId],
) -> Result<DistributionPlan, Rejection> {
    let groups = HashRange::tile(request.shard_count)
        .into_iter()
        .enumerate()
        .map(|(index, range)| {
            let node = workers.get(index % workers.len().max(1)).copied();
            (range, node.into_iter().collect())
        })
        .collect();
    new(request, ColocationKind::Hash, groups)
}

fn new(
    request: &DistributionRequest,
    kind: ColocationKind,
    groups: Vec<(HashRange, Vec<NodeId>)>,
) -> Result<DistributionPlan, Rejection> {
    if groups.iter().any(|(_, nodes)| nodes.is_empty()) {
        return Err(Rejection::NoWorkers);
    }
    Ok(DistributionPlan::New {
        distribution: request.distribution,
        kind,
        column_type: request.column_type.as_ref().map(PgType::without_modifier),
        is_default: request.colocate_with == ColocateWith::Default,
        groups,
    })
}

impl DistributionPlan {
    fn distribution(&self) -> TableDistribution {
        match self {
            Self::Join { distribution, .. } | Self::New { distribution, .. } => *distribution,
        }
    }

    /// Ids to reserve before [`Self::commands`].
    pub fn ids(&self, state: &State) -> IdRequest {
        let (shards, groups, colocations) = match self {
            Self::Join { colocation, .. } => {
                (state.colocation(*colocation).map_or(0, Colocation::shard_count), 0, 0)
            }
            Self::New { groups, .. } => (groups.len(), groups.len(), 1),
        };
        let (shards, groups) = (shards as u32, groups as u32);
        let is_local = self.distribution() == TableDistribution::Local;
        IdRequest {
            oids: 0,
            shards: if is_local { 0 } else { shards },
            local_shards: if is_local { shards } else { 0 },
            groups,
            colocations,
        }
    }

    /// Turns the plan into commands, with the reserved ids.
    pub fn commands(&self, state: &State, ids: &mut Ids) -> Result<Placed, Rejection> {
        let distribution = self.distribution();
        let (id, groups, command) = match self {
            Self::Join { colocation, .. } => {
                let known = state.colocation(*colocation);
                let known = known.ok_or(Rejection::Malformed("no such co-location"))?;
                let groups = known.groups.iter().map(|(_, group)| *group).collect::<Vec<_>>();
                (*colocation, groups, None)
            }
            Self::New { kind, column_type, is_default, groups: ranges, .. } => {
                let id = ids.colocation()?;
                let mut groups = Vec::with_capacity(ranges.len());
                for (range, nodes) in ranges {
                    let (primary, others) = nodes.split_first().ok_or(Rejection::NoWorkers)?;
                    let others = others.iter().copied();
                    groups.push(Group::new(ids.group()?, id, *range, *primary, others));
                }
                let colocation = Colocation {
                    id,
                    kind: *kind,
                    replication_factor: if *kind == ColocationKind::Reference { -1 } else { 1 },
                    distribution_type: column_type.clone(),
                    is_default: *is_default,
                    groups: groups.iter().map(|group| (group.range, group.id)).collect(),
                };
                let list = groups.iter().map(|group| group.id).collect();
                (id, list, Some(Command::CreateColocation { colocation, groups }))
            }
        };
        let is_local = distribution == TableDistribution::Local;
        let mut shards = Vec::with_capacity(groups.len());
        for group in groups {
            let shard = if is_local { ids.local_shard()? } else { ids.shard()? };
            shards.push(Shard::new(shard, group));
        }
        let placement = TablePlacement { distribution, colocation: id, shards };
        Ok(Placed { colocation: command, placement })
    }
}
