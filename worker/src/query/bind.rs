//! From a fragment's bytes to a physical plan on groups' shards.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, LogicalPlan, TableScan};
use datafusion::physical_plan::ExecutionPlan;
use satsuma_common::SqlResult;
use satsuma_proto::worker::{Fragment, FragmentMode};
use satsuma_sql::codec::{self, ScanName};
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::lift;
use satsuma_sql::split_aggregate::SplitAggregate;
use satsuma_sql::value_size;
use satsuma_storage::{Engine, ReadView};

use super::index_join;
use super::input::{InputRows, InputTable};
use super::runtime::QueryRuntime;
use super::shard_table::{ShardTable, TableSlot};
use super::spool::{InputSlot, SpooledTable, Spools};
use crate::error::{malformed, stale};
use crate::placement::{PlacedGroup, PlacedTable};

/// The most bytes of a plan.
const MAX_PLAN_BYTES: usize = 256 << 20;

/// A fragment that is decoded and optimised, but not bound to shards yet.
#[derive(Debug)]
pub(crate) struct Template {
    plan: LogicalPlan,
    /// The plan is the input of this aggregate, whose states are wanted.
    partial: Option<SplitAggregate>,
}

/// How a plan joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    /// With one side in memory: fast, and an error when it does not fit.
    InMemory,
    /// By sorting and merging, on disk where need be.
    Spilling,
}

/// What one scan of a fragment reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScannedRows {
    pub rows: u64,
    /// The same rows for every group: those of a reference table.
    pub shared: bool,
}

/// What scans are bound to.
#[derive(Clone)]
pub(crate) struct Source<'a> {
    pub engine: &'a Arc<Engine>,
    /// A scan reads its table's shards of all of these.
    pub groups: &'a [PlacedGroup],
    pub view: ReadView,
    /// Threads that the plan is for.
    pub threads: usize,
    pub joins: Joins,
    /// What the fragment reads beside the groups' shards.
    pub inputs: &'a Arc<Spools>,
}

impl Template {
    /// The fragment, decoded now or lately.
    pub async fn of(fragment: &Fragment, runtime: &QueryRuntime) -> SqlResult<Arc<Self>> {
        if let Some(known) = Self::known(fragment, runtime)? {
            return Ok(known);
        }
        let template = Arc::new(Self::decode(fragment, runtime, None, &[]).await?);
        runtime.templates().put(fragment, template.clone());
        match template.settled(fragment)? {
            Some(settled) => Ok(settled),
            None => {
                let constants = codec::decode_constants(&fragment.constants)?;
                Self::decode(fragment, runtime, None, &constants).await.map(Arc::new)
            }
        }
    }

    /// The fragment, if it was decoded lately.
    pub fn known(fragment: &Fragment, runtime: &QueryRuntime) -> SqlResult<Option<Arc<Self>>> {
        match runtime.templates().get(fragment) {
            Some(template) => template.settled(fragment),
            None => Ok(None),
        }
    }

    /// With the fragment's constants; `None` where the optimiser made values of them.
    fn settled(self: Arc<Self>, fragment: &Fragment) -> SqlResult<Option<Arc<Self>>> {
        if fragment.constants.is_empty() {
            return Ok(Some(self));
        }
        let constants = codec::decode_constants(&fragment.constants)?;
        let settled = lift::settle(self.plan.clone(), &constants).ok();
        Ok(settled.map(|plan| Arc::new(Self { plan, partial: self.partial.clone() })))
    }

    /// `input` is what scans of handed-in rows read; without it they are refused.
    pub async fn decode(
        fragment: &Fragment,
        runtime: &QueryRuntime,
        input: Option<InputRows>,
        constants: &[ScalarValue],
    ) -> SqlResult<Self> {
        let plan = lift::settle(Self::read(fragment, input)?, constants).map_err(to_sql)?;
        match fragment.mode {
            FragmentMode::Rows => Ok(Self { plan: optimise(plan, runtime)?, partial: None }),
            FragmentMode::PartialAggregate => {
                let LogicalPlan::Aggregate(aggregate) = plan else {
                    return Err(malformed("a fragment for partial aggregation has no aggregate"));
                };
                let partial = SplitAggregate::new(&aggregate).await?;
                let Aggregate { input, .. } = aggregate;
                let plan = optimise(Arc::unwrap_or_clone(input), runtime)?;
                Ok(Self { plan, partial: Some(partial) })
            }
        }
    }

    /// The fragment's plan as it was sent.
    pub fn read(fragment: &Fragment, input: Option<InputRows>) -> SqlResult<LogicalPlan> {
        if fragment.plan.len() > MAX_PLAN_BYTES {
            return Err(malformed("a fragment is too large"));
        }
        let resolver = move |name: ScanName, schema: SchemaRef| match (name, &input) {
            (ScanName::Table(table), _) => {
                Ok(Arc::new(TableSlot { table, schema }) as Arc<dyn TableProvider>)
            }
            (ScanName::Input, Some(rows)) => {
                Ok(Arc::new(InputTable { schema, rows: rows.clone() }) as Arc<dyn TableProvider>)
            }
            (ScanName::Exchanged(number), _) => {
                Ok(Arc::new(InputSlot { number: number as usize, schema })
                    as Arc<dyn TableProvider>)
            }
            (ScanName::Nothing, _) => Err(malformed("a scan of nothing has no provider")),
            (ScanName::Input, None) => Err(malformed("a fragment reads rows that it is not given")),
        };
        codec::decode(&fragment.plan, codec::library(), Arc::new(resolver))
    }

    /// The plan over all groups of the source at once.
    pub async fn bind(
        &self,
        source: &Source<'_>,
        runtime: &QueryRuntime,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        self.finish(self.bind_rows(source, runtime).await?)
    }

    /// The plan without the aggregate above it.
    pub async fn bind_rows(
        &self,
        source: &Source<'_>,
        runtime: &QueryRuntime,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let bound = self.plan.clone().transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
            if let Some(table) = input_of(&scan, source) {
                let source = provider_as_source(Arc::new(table));
                return Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })));
            }
            let Some(table) = table_of(&scan, source, runtime) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let source = provider_as_source(Arc::new(table.map_err(from_sql)?));
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
        });
        let bound = bound.map_err(to_sql)?.data;
        let state = runtime.state(source.threads, source.joins);
        let plan =
            state.query_planner().create_physical_plan(&bound, state).await.map_err(to_sql)?;
        index_join::use_indexes(plan).map_err(to_sql)
    }

    /// The aggregate's first phase over the plan's rows, if there is one.
    pub fn finish(&self, rows: Arc<dyn ExecutionPlan>) -> SqlResult<Arc<dyn ExecutionPlan>> {
        match &self.partial {
            Some(partial) => partial.partial(rows),
            None => Ok(rows),
        }
    }

    /// Rows of every scan over these groups, estimated.
    pub fn scanned_rows(
        &self,
        source: &Source<'_>,
        runtime: &QueryRuntime,
    ) -> SqlResult<Vec<ScannedRows>> {
        let mut rows = Vec::new();
        self.plan
            .apply_with_subqueries(|node| {
                let LogicalPlan::TableScan(scan) = node else {
                    return Ok(TreeNodeRecursion::Continue);
                };
                if let Some(table) = table_of(scan, source, runtime) {
                    let table = table.map_err(from_sql)?;
                    let (within, _) = table.rows_under(&scan.filters)?;
                    rows.push(ScannedRows { rows: within, shared: table.is_in_one_shard() });
                } else if let Some(input) = input_of(scan, source) {
                    rows.push(ScannedRows { rows: input.rows() as u64, shared: false });
                }
                Ok(TreeNodeRecursion::Continue)
            })
            .map_err(to_sql)?;
        Ok(rows)
    }
}

/// The rows of an input that a scan is bound to; `None` where it is no scan of an input.
fn input_of(scan: &TableScan, source: &Source<'_>) -> Option<SpooledTable> {
    let provider = codec::provider(scan)?;
    let slot = provider.downcast_ref::<InputSlot>()?;
    Some(SpooledTable {
        spools: source.inputs.clone(),
        number: slot.number,
        groups: source.groups.iter().map(|group| group.group).collect(),
        schema: slot.schema.clone(),
    })
}

/// The shards that a scan is bound to; `None` where it is no scan of a table.
fn table_of(
    scan: &TableScan,
    source: &Source<'_>,
    runtime: &QueryRuntime,
) -> Option<SqlResult<ShardTable>> {
    let provider = codec::provider(scan)?;
    let slot = provider.downcast_ref::<TableSlot>()?;
    Some(shard_table(slot, source, runtime))
}

fn shard_table(
    slot: &TableSlot,
    source: &Source<'_>,
    runtime: &QueryRuntime,
) -> SqlResult<ShardTable> {
    let mut shards: Vec<PlacedTable> = Vec::with_capacity(source.groups.len());
    for group in source.groups {
        let placed = group.table(slot.table)?;
        // A reference table's one shard belongs to every group.
        if shards.iter().all(|known| known.shard != placed.shard) {
            shards.push(placed.clone());
        }
    }
    let first = shards.first().ok_or_else(|| malformed("a fragment is to run on no group"))?;
    let here = first.meta.decoder().schema_with_key();
    let same = here.fields().len() == slot.schema.fields().len()
        && here
            .fields()
            .iter()
            .zip(slot.schema.fields())
            .all(|(ours, theirs)| ours.data_type() == theirs.data_type());
    if !same {
        return Err(stale(format!("the columns of {} are others", slot.table)));
    }
    Ok(ShardTable {
        engine: source.engine.clone(),
        indexes: runtime.indexes.clone(),
        shards,
        view: source.view,
        schema: slot.schema.clone(),
        threads: source.threads,
    })
}

/// Types are decided by whoever bound the statement: the optimiser runs, the analyser does not.
fn optimise(plan: LogicalPlan, runtime: &QueryRuntime) -> SqlResult<LogicalPlan> {
    let state = runtime.state(1, Joins::InMemory);
    value_size::planning(|| state.optimizer().optimize(plan, state, |_, _| {})).map_err(to_sql)
}

/// A plan that yields other columns than the coordinator expects.
pub(crate) fn mismatch(expected: &SchemaRef, found: &SchemaRef) -> satsuma_common::SqlError {
    satsuma_common::SqlError::internal(format!("a fragment yields {found}, not {expected}"))
}
