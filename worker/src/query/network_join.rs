//! Joins by containment of networks, where no index can be probed: a table of the networks by
//! length and prefix, instead of a look at every pair.
//!
//! ```text
//! networks --all--> table: entry of the network -> rows
//! addresses --batch--> for each length that occurs: the entry of the address so cut -> rows
//!                      --the join's whole condition--> pairs
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::concat_batches;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, ScalarFunctionExpr, split_conjunction,
};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryFutureExt, stream};
use satsuma_common::inet::Inet;
use satsuma_storage::index::network_entry;
use tokio::sync::OnceCell;

use super::index_join::{Expr, Plan, over_side};
use super::pairs::PairFilter;
use super::runtime::Cancelled;
use crate::index::inet;

/// Pairs that are looked at together.
const PAIRS: usize = 16_384;

#[derive(Debug)]
pub(crate) struct NetworkJoinExec {
    networks: Plan,
    addresses: Plan,
    /// Over the columns of `networks`.
    network: Expr,
    /// Over the columns of `addresses`.
    address: Expr,
    /// What the table answers, as it stands in the join's condition.
    condition: Expr,
    pairs: Arc<PairFilter>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Made by the partition that comes first.
    table: Arc<OnceCell<Arc<Table>>>,
}

/// Replaces a nested loop whose condition says that a value of one side contains one of the other.
pub(super) fn by_containment(join: &NestedLoopJoinExec) -> Option<NetworkJoinExec> {
    if *join.join_type() != JoinType::Inner {
        return None;
    }
    let filter = join.filter()?;
    let (condition, side, network, address) =
        split_conjunction(filter.expression()).into_iter().find_map(|condition| {
            let (container, contained) = containment(condition)?;
            [(JoinSide::Left, JoinSide::Right), (JoinSide::Right, JoinSide::Left)]
                .into_iter()
                .find_map(|(side, other)| {
                    let network = over_side(container, filter, side)?;
                    let address = over_side(contained, filter, other)?;
                    Some((condition.clone(), side, network, address))
                })
        })?;
    let (networks, addresses) = match side {
        JoinSide::Left => (join.left().clone(), join.right().clone()),
        _ => (join.right().clone(), join.left().clone()),
    };
    let pairs = PairFilter {
        outer_side: side.negate(),
        filter: Arc::new(filter.clone()),
        schema: join.schema(),
        projection: join.projection().as_ref().map(|columns| columns.to_vec()),
    };
    Some(NetworkJoinExec::new(networks, addresses, network, address, condition, Arc::new(pairs)))
}

/// The containing and the contained side of a condition on networks.
fn containment(condition: &Expr) -> Option<(&Expr, &Expr)> {
    let call = condition.downcast_ref::<ScalarFunctionExpr>()?;
    let [left, right] = call.args() else { return None };
    match call.fun().name().strip_prefix("operator ")?.strip_suffix("(inet,inet)")? {
        ">>" | ">>=" => Some((left, right)),
        "<<" | "<<=" => Some((right, left)),
        _ => None,
    }
}

impl NetworkJoinExec {
    fn new(
        networks: Plan,
        addresses: Plan,
        network: Expr,
        address: Expr,
        condition: Expr,
        pairs: Arc<PairFilter>,
    ) -> Self {
        let partitions = addresses.properties().output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(pairs.schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            networks,
            addresses,
            network,
            address,
            condition,
            pairs,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            table: Arc::default(),
        }
    }

    /// What the table answers.
    pub fn condition(&self) -> &Expr {
        &self.condition
    }

    /// The whole condition.
    pub fn filter(&self) -> &Expr {
        self.pairs.filter.expression()
    }

    fn with_children(&self, children: Vec<Plan>) -> Result<Plan> {
        match <[Plan; 2]>::try_from(children) {
            Ok([networks, addresses]) => Ok(Arc::new(Self::new(
                networks,
                addresses,
                self.network.clone(),
                self.address.clone(),
                self.condition.clone(),
                self.pairs.clone(),
            ))),
            Err(children) => internal_err!("a network join has two inputs, not {}", children.len()),
        }
    }
}

impl DisplayAs for NetworkJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkJoinExec: {}", self.condition)
    }
}

impl ExecutionPlan for NetworkJoinExec {
    fn name(&self) -> &str {
        "NetworkJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.networks, &self.addresses]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Plan>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Plan> {
        self.with_children(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        self.with_children(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let cancelled = context.session_config().get_extension::<Cancelled>();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let addresses = self.addresses.execute(partition, context.clone())?;
        let networks: Plan = Arc::new(CoalescePartitionsExec::new(self.networks.clone()));
        let (table, network) = (self.table.clone(), self.network.clone());
        let (pairs, address) = (self.pairs.clone(), self.address.clone());
        let joined = async move {
            let table = table.get_or_try_init(|| Table::collect(networks, network, context));
            let table = table.await?.clone();
            Ok(addresses.flat_map(move |batch| {
                let probe = batch.and_then(|batch| {
                    let given = address.evaluate(&batch)?.into_array(batch.num_rows())?;
                    let (table, pairs) = (table.clone(), pairs.clone());
                    Ok(Probe { table, pairs, cancelled: cancelled.clone(), batch, given, at: 0 })
                });
                match probe {
                    Ok(probe) => stream::iter(probe).left_stream(),
                    Err(error) => stream::iter([Err(error)]).right_stream(),
                }
            }))
        };
        let joined = joined.try_flatten_stream();
        let joined = joined.map(move |batch| {
            let _timer = metrics.elapsed_compute().timer();
            batch.inspect(|batch| metrics.record_output(batch.num_rows()))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.pairs.schema.clone(), joined)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn reset_state(self: Arc<Self>) -> Result<Plan> {
        let (networks, addresses) = (self.networks.clone(), self.addresses.clone());
        self.with_children(vec![networks, addresses])
    }
}

/// The side with the networks.
#[derive(Debug)]
struct Table {
    rows: RecordBatch,
    by_entry: HashMap<Vec<u8>, Vec<u32>>,
    /// That occur.
    lengths: BTreeSet<u8>,
    _memory: MemoryReservation,
}

impl Table {
    async fn collect(
        networks: Plan,
        network: Expr,
        context: Arc<TaskContext>,
    ) -> Result<Arc<Self>> {
        let memory = MemoryConsumer::new("NetworkJoin").register(context.memory_pool());
        let schema = networks.schema();
        let mut stream = networks.execute(0, context)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            // The rows, their copy in one batch, and their entries.
            memory.try_grow(2 * batch.get_array_memory_size() + 64 * batch.num_rows())?;
            batches.push(batch);
        }
        let rows = concat_batches(&schema, &batches)?;
        let values = network.evaluate(&rows)?.into_array(rows.num_rows())?;
        let mut by_entry: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        let mut lengths = BTreeSet::new();
        for row in 0..values.len() {
            if let Some(network) = value(&values, row)?
                && let Some(entry) = network_entry(&network.network())
            {
                lengths.insert(network.prefix);
                by_entry.entry(entry).or_default().push(row as u32);
            }
        }
        Ok(Arc::new(Self { rows, by_entry, lengths, _memory: memory }))
    }

    /// Rows with a network that may hold the address.
    fn candidates(&self, address: &Inet) -> impl Iterator<Item = u32> {
        self.lengths
            .range(..=address.prefix)
            .filter_map(|prefix| {
                let cut = Inet::new(address.address, *prefix)?.network();
                self.by_entry.get(&network_entry(&cut)?)
            })
            .flatten()
            .copied()
    }
}

/// `None` for NULL.
fn value(values: &ArrayRef, row: usize) -> Result<Option<Inet>> {
    if values.is_null(row) {
        return Ok(None);
    }
    match inet(&ScalarValue::try_from_array(values, row)?) {
        Some(value) => Ok(Some(value)),
        None => internal_err!("a value of a network join is no address"),
    }
}

/// The joined rows of one batch of addresses, some at a time.
struct Probe {
    table: Arc<Table>,
    pairs: Arc<PairFilter>,
    cancelled: Option<Arc<Cancelled>>,
    batch: RecordBatch,
    given: ArrayRef,
    /// The next row.
    at: usize,
}

impl Probe {
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        while self.at < self.given.len() {
            Cancelled::check(self.cancelled.as_deref())?;
            let (mut addresses, mut networks) = (Vec::new(), Vec::new());
            while self.at < self.given.len() && addresses.len() < PAIRS {
                if let Some(address) = value(&self.given, self.at)? {
                    networks.extend(self.table.candidates(&address));
                    addresses.resize(networks.len(), self.at as u32);
                }
                self.at += 1;
            }
            if addresses.is_empty() {
                continue;
            }
            let (addresses, networks) = (UInt32Array::from(addresses), UInt32Array::from(networks));
            let kept = self.pairs.keep((&self.batch, &addresses), (&self.table.rows, &networks))?;
            if kept.num_rows() > 0 {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }
}

impl Iterator for Probe {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.at = self.given.len();
        }
        step.transpose()
    }
}
