//! How the sides of a join come together that are not co-located.
//!
//! | way | what travels | fits |
//! |---|---|---|
//! | gather | both sides, to the coordinator | small sides, and every join |
//! | copies | one side, to every worker of the other | a small side whose unmatched rows do not count |
//! | one side by hash | that side, into the other's shard layout | an equality with the other's distribution column |
//! | both by hash | both, into the shard layout of one of them | any equality |
//!
//! A way costs the bytes that travel and those that one machine has to work on; sizes are
//! guesses ([`super::estimate`]). A wrong guess costs time: every way is right, and what does not
//! fit into memory goes to disk.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::{Expr, ExprSchemable, Join};
use satsuma_common::{GroupId, HashRange, NumericMod, PgType, SqlResult};

use super::choice::{self, Apart, Candidate, Choice, Relations};
use super::distribute::Placed;
use super::estimate::width;
use super::exchange::{Exchange, Spread};
use super::join::{self, aligned_output, key_position};
use super::locus::{GroupSet, Hashed, Locus, hash_class};
use super::topology::Topology;

/// Rows that weigh fewer exchanges than these are grouped at the coordinator.
const REGROUPED_EXCHANGES: f64 = 64.0;
/// What a byte costs that the coordinator joins, measured in bytes that travel: it joins for
/// everybody, with one thread for each query.
const COORDINATOR_WORK: f64 = 2.0;
/// Tasks that a worker runs at once, assumed.
const TASKS_AT_ONCE: f64 = 2.0;

/// Ranges of hash tokens and their groups.
type Ranges = Arc<[(HashRange, GroupId)]>;

/// A way to join, with what it needs.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Way {
    CopyLeft { groups: usize },
    CopyRight { groups: usize },
    Hash { left: Arrival, right: Arrival },
}

/// How a side gets into the layout that the join runs in.
enum Arrival {
    /// It is there.
    InPlace(Hashed),
    Moved {
        key: Expr,
        ty: PgType,
        ranges: Ranges,
        to: Hashed,
    },
}

/// How the sides of a join meet.
pub(super) struct Meeting {
    /// Both where they meet, and where that is; `None` when it is the coordinator.
    pub on_workers: Option<(Placed, Placed, Locus)>,
    pub choice: Arc<Choice>,
}

/// Brings the sides of a join together in the cheapest way.
pub(super) fn meeting(
    node: &Join,
    left: &Placed,
    right: &Placed,
    topology: &dyn Topology,
) -> SqlResult<Meeting> {
    let costs = Costs::new(node, left, right, topology);
    let gather = costs.gather();
    let mut others = vec![gather.candidate(choice::Way::AtCoordinator)];
    let mut best = (gather.all, None);
    for (cost, way) in costs.ways(node, left, right, topology) {
        others.push(cost.candidate(way.shown(&costs)));
        if cost.all < best.0 {
            best = (cost.all, Some((others.len() - 1, way)));
        }
    }
    let (taken, way) = match best.1 {
        Some((taken, way)) => (taken, Some(way)),
        None => (0, None),
    };
    let taken = others.remove(taken);
    others.sort_by_key(|other| other.cost);
    let choice = Arc::new(Choice::Join {
        taken,
        others: distinct(taken, others),
        left: Relations::of(&left.plan),
        right: Relations::of(&right.plan),
        apart: Apart::of(node, left, right),
    });
    let on_workers = match way {
        Some(way) => way.bring(node, left, right, &choice)?,
        None => None,
    };
    Ok(Meeting { on_workers, choice })
}

/// The cheapest of each kind.
fn distinct(taken: Candidate, others: Vec<Candidate>) -> Vec<Candidate> {
    let mut ways = vec![taken.way];
    let mut is_new = |way| {
        !ways.contains(&way) && {
            ways.push(way);
            true
        }
    };
    others.into_iter().filter(|other| is_new(other.way)).collect()
}

impl Way {
    fn shown(&self, costs: &Costs) -> choice::Way {
        let nodes = |groups: usize| costs.workers.min(groups as f64) as u64;
        match self {
            Self::CopyLeft { groups } => choice::Way::CopyLeft { nodes: nodes(*groups) },
            Self::CopyRight { groups } => choice::Way::CopyRight { nodes: nodes(*groups) },
            Self::Hash { left: Arrival::Moved { .. }, right: Arrival::InPlace(_) } => {
                choice::Way::LeftByHash
            }
            Self::Hash { left: Arrival::InPlace(_), .. } => choice::Way::RightByHash,
            Self::Hash { .. } => choice::Way::BothByHash,
        }
    }

    fn bring(
        self,
        node: &Join,
        left: &Placed,
        right: &Placed,
        choice: &Arc<Choice>,
    ) -> SqlResult<Option<(Placed, Placed, Locus)>> {
        let way = self;
        let exchanged =
            |side: &Placed, spread, locus| exchanged(side, spread, locus, choice.clone());
        let arrive = |side: &Placed, arrival: &Arrival| -> SqlResult<(Placed, Hashed)> {
            match arrival {
                Arrival::InPlace(hashed) => Ok((side.clone(), hashed.clone())),
                Arrival::Moved { key, ty, ranges, to } => {
                    let spread =
                        Spread::ByHash { key: key.clone(), ty: ty.clone(), ranges: ranges.clone() };
                    Ok((exchanged(side, spread, Locus::Hashed(to.clone()))?, to.clone()))
                }
            }
        };
        let copied = |side: &Placed| exchanged(side, Spread::Copies, Locus::Replicated);
        let (left, right, locus) = match way {
            Way::CopyLeft { .. } => {
                (copied(left)?, right.clone(), join::locus(node, &Locus::Replicated, &right.locus))
            }
            Way::CopyRight { .. } => {
                (left.clone(), copied(right)?, join::locus(node, &left.locus, &Locus::Replicated))
            }
            Way::Hash { left: left_arrival, right: right_arrival } => {
                let (left, left_hashed) = arrive(left, &left_arrival)?;
                let (right, right_hashed) = arrive(right, &right_arrival)?;
                (left, right, Some(aligned_output(node, &left_hashed, &right_hashed)))
            }
        };
        Ok(locus.map(|locus| (left, right, locus)))
    }
}

/// What the cheapest way to join costs, in bytes.
pub(super) fn cost(node: &Join, left: &Placed, right: &Placed, topology: &dyn Topology) -> f64 {
    let costs = Costs::new(node, left, right, topology);
    let ways = costs.ways(node, left, right, topology);
    ways.into_iter().map(|(cost, _)| cost.all).fold(costs.gather().all, f64::min)
}

/// Many rows moved to where those of the same key are, for an operator that needs them together:
/// `keys` are columns that each will do. `None` when there is no such key, or when the rows are few
/// enough to meet at the coordinator.
pub(super) fn by_key(
    rows: &Placed,
    keys: &[&Expr],
    topology: &dyn Topology,
) -> SqlResult<Option<Placed>> {
    let Locus::Hashed(hashed) = &rows.locus else { return Ok(None) };
    let schema = rows.plan.schema();
    let bytes = rows.size.rows * width(schema);
    let most = REGROUPED_EXCHANGES * topology.exchange_cost();
    if hashed.is_single() || bytes < most {
        return Ok(None);
    }
    let Some(ranges) = topology.ranges(hashed.colocation).filter(|ranges| ranges.len() > 1) else {
        return Ok(None);
    };
    let usable = keys.iter().find_map(|key| {
        key_position(schema, key)?;
        Some((*key, canonical(&key.get_type(schema).ok()?)?))
    });
    let Some((key, ty)) = usable else { return Ok(None) };
    match arrival(key, ty, ranges, hashed, schema) {
        Arrival::Moved { key, ty, ranges, to } => {
            let spread = Spread::ByHash { key, ty, ranges };
            let choice = Choice::ByKey { bytes: bytes as u64, most: most as u64 };
            exchanged(rows, spread, Locus::Hashed(to), Arc::new(choice)).map(Some)
        }
        Arrival::InPlace(_) => Ok(None),
    }
}

fn exchanged(
    side: &Placed,
    spread: Spread,
    locus: Locus,
    choice: Arc<Choice>,
) -> SqlResult<Placed> {
    let gathered = side.clone().gather()?;
    let plan = Exchange::new(gathered, spread, choice).into_plan();
    Ok(Placed { plan, locus, size: side.size.clone() })
}

/// Bytes that travel for a way, and with what else it costs.
#[derive(Clone, Copy)]
struct Cost {
    travel: f64,
    all: f64,
}

impl Cost {
    fn candidate(self, way: choice::Way) -> Candidate {
        Candidate { way, travel: self.travel as u64, cost: self.all as u64 }
    }
}

/// Bytes of the sides, and what it costs to have them where they are wanted.
struct Costs {
    left: f64,
    right: f64,
    fetch_left: f64,
    fetch_right: f64,
    workers: f64,
    exchange: f64,
}

impl Costs {
    fn new(node: &Join, left: &Placed, right: &Placed, topology: &dyn Topology) -> Self {
        let left_bytes = left.size.rows * width(node.left.schema());
        let right_bytes = right.size.rows * width(node.right.schema());
        let fetch = |side: &Placed, bytes| match side.locus {
            Locus::Anywhere | Locus::Coordinator => 0.0,
            Locus::Replicated | Locus::Hashed(_) => bytes,
        };
        Self {
            left: left_bytes,
            right: right_bytes,
            fetch_left: fetch(left, left_bytes),
            fetch_right: fetch(right, right_bytes),
            workers: topology.worker_count().max(1) as f64,
            exchange: topology.exchange_cost(),
        }
    }

    fn gather(&self) -> Cost {
        let travel = self.fetch_left + self.fetch_right;
        Cost { travel, all: travel + (self.left + self.right) * COORDINATOR_WORK }
    }

    /// Rows of `copied` at each group of `kept`.
    fn copies(&self, copied: f64, fetch: f64, kept: f64, groups: usize) -> Cost {
        let groups = groups as f64;
        let nodes = self.workers.min(groups);
        let parallel = (nodes * TASKS_AT_ONCE).min(groups);
        let travel = fetch + copied * nodes;
        Cost { travel, all: self.exchange + travel + (copied * groups + kept) / parallel }
    }

    fn by_hash(&self, left_moves: bool, right_moves: bool, groups: usize) -> Cost {
        let parallel = (self.workers * TASKS_AT_ONCE).min(groups as f64);
        let moved = |moves: bool, fetch: f64, bytes: f64| if moves { fetch + bytes } else { 0.0 };
        let travel = moved(left_moves, self.fetch_left, self.left)
            + moved(right_moves, self.fetch_right, self.right);
        Cost { travel, all: self.exchange + travel + (self.left + self.right) / parallel }
    }

    fn ways(
        &self,
        node: &Join,
        left: &Placed,
        right: &Placed,
        topology: &dyn Topology,
    ) -> Vec<(Cost, Way)> {
        let mut ways = Vec::new();
        if let Locus::Hashed(kept) = &left.locus
            && join::locus(node, &left.locus, &Locus::Replicated).is_some()
        {
            let groups = kept.groups.0.len();
            let cost = self.copies(self.right, self.fetch_right, self.left, groups);
            ways.push((cost, Way::CopyRight { groups }));
        }
        if let Locus::Hashed(kept) = &right.locus
            && join::locus(node, &Locus::Replicated, &right.locus).is_some()
        {
            let groups = kept.groups.0.len();
            let cost = self.copies(self.left, self.fetch_left, self.right, groups);
            ways.push((cost, Way::CopyLeft { groups }));
        }
        for (left_key, right_key) in &node.on {
            let key = Key { node, left_key, right_key };
            if let Some((arrival, groups)) = key.moved_to_left(&left.locus, topology)
                && let Locus::Hashed(kept) = &left.locus
            {
                let way = Way::Hash { left: Arrival::InPlace(kept.clone()), right: arrival };
                ways.push((self.by_hash(false, true, groups), way));
            }
            if let Some((arrival, groups)) = key.moved_to_right(&right.locus, topology)
                && let Locus::Hashed(kept) = &right.locus
            {
                let way = Way::Hash { left: arrival, right: Arrival::InPlace(kept.clone()) };
                ways.push((self.by_hash(true, false, groups), way));
            }
            for side in [&left.locus, &right.locus] {
                if let Some((left, right, groups)) = key.both_into(side, topology) {
                    ways.push((self.by_hash(true, true, groups), Way::Hash { left, right }));
                }
            }
        }
        ways
    }
}

/// One equality of a join.
struct Key<'a> {
    node: &'a Join,
    left_key: &'a Expr,
    right_key: &'a Expr,
}

impl Key<'_> {
    fn moved_to_left(&self, left: &Locus, topology: &dyn Topology) -> Option<(Arrival, usize)> {
        let Locus::Hashed(kept) = left else { return None };
        let at = key_position(self.node.left.schema(), self.left_key)?;
        self.moved_to(kept, at, self.right_key, self.node.right.schema(), topology)
    }

    fn moved_to_right(&self, right: &Locus, topology: &dyn Topology) -> Option<(Arrival, usize)> {
        let Locus::Hashed(kept) = right else { return None };
        let at = key_position(self.node.right.schema(), self.right_key)?;
        self.moved_to(kept, at, self.left_key, self.node.left.schema(), topology)
    }

    /// The other side moved to where rows of `kept` with the same key are.
    fn moved_to(
        &self,
        kept: &Hashed,
        at: usize,
        moved: &Expr,
        schema: &datafusion::common::DFSchemaRef,
        topology: &dyn Topology,
    ) -> Option<(Arrival, usize)> {
        let class = kept.key.clone().filter(|_| kept.columns.contains(&at))?;
        let ty = canonical(&moved.get_type(schema).ok()?)?;
        if hash_class(&ty) != class && !same_form(&ty, &class) {
            return None;
        }
        // Integers hash by their own width, everything else as the layout's columns do.
        let ty = if ty.is_integer() { ty } else { class };
        let ranges = topology.ranges(kept.colocation)?;
        let groups = ranges.len();
        Some((arrival(moved, ty, ranges, kept, schema), groups))
    }

    /// Both sides moved into the layout of the tables that `side` comes from.
    fn both_into(
        &self,
        side: &Locus,
        topology: &dyn Topology,
    ) -> Option<(Arrival, Arrival, usize)> {
        let Locus::Hashed(layout) = side else { return None };
        let ranges = topology.ranges(layout.colocation).filter(|ranges| ranges.len() > 1)?;
        let (left, right) = (self.node.left.schema(), self.node.right.schema());
        let left_ty = canonical(&self.left_key.get_type(left).ok()?)?;
        let right_ty = canonical(&self.right_key.get_type(right).ok()?)?;
        if hash_class(&left_ty) != hash_class(&right_ty) {
            return None;
        }
        let groups = ranges.len();
        let left = arrival(self.left_key, left_ty, ranges.clone(), layout, left);
        let right = arrival(self.right_key, right_ty, ranges, layout, right);
        Some((left, right, groups))
    }
}

/// Rows moved to the groups of `ranges` by the hash of `key`.
fn arrival(
    key: &Expr,
    ty: PgType,
    ranges: Ranges,
    layout: &Hashed,
    schema: &datafusion::common::DFSchemaRef,
) -> Arrival {
    let to = Hashed {
        colocation: layout.colocation,
        groups: GroupSet(ranges.iter().map(|(_, group)| *group).collect()),
        columns: key_position(schema, key).into_iter().collect(),
        key: Some(hash_class(&ty)),
    };
    Arrival::Moved { key: key.clone(), ty, ranges, to }
}

/// Types that look the same in columns but hash each in its own way: the hash of the layout's
/// type is right for all of them, since a join compares what is in the columns.
fn same_form(ty: &PgType, class: &PgType) -> bool {
    *ty == PgType::Text && satsuma_common::arrow_types::data_type(class) == DataType::Utf8View
}

/// A type whose hash is equal for values that a join takes for equal.
fn canonical(ty: &DataType) -> Option<PgType> {
    Some(match ty {
        DataType::Boolean => PgType::Bool,
        DataType::Int16 => PgType::Int2,
        DataType::Int32 => PgType::Int4,
        DataType::Int64 => PgType::Int8,
        DataType::Float32 => PgType::Float4,
        DataType::Float64 => PgType::Float8,
        DataType::Decimal128(precision, scale) => PgType::Numeric(Some(NumericMod {
            precision: u16::from(*precision),
            scale: i16::from(*scale),
        })),
        DataType::Utf8View => PgType::Text,
        DataType::BinaryView => PgType::Bytea,
        DataType::Date32 => PgType::Date,
        DataType::Time64(TimeUnit::Microsecond) => PgType::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PgType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PgType::Timestamptz,
        DataType::FixedSizeBinary(16) => PgType::Uuid,
        _ => return None,
    })
}
