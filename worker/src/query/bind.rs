//! From a fragment's bytes to a physical plan on a group's shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Aggregate, LogicalPlan, TableScan};
use datafusion::physical_plan::ExecutionPlan;
use satsuma_common::{ShardId, SqlError, SqlResult};
use satsuma_proto::worker::{Fragment, FragmentMode};
use satsuma_sql::codec::{self, ScanName};
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::split_aggregate::SplitAggregate;
use satsuma_storage::{Engine, ReadView};

use super::index_join;
use super::input::{InputRows, InputTable};
use super::runtime::QueryRuntime;
use super::shard_table::{ShardTable, TableSlot};
use super::spool::{InputSlot, SpooledTable, Spools};
use crate::error::{malformed, stale};
use crate::placement::PlacedGroup;

/// The most bytes of a plan.
const MAX_PLAN_BYTES: usize = 256 << 20;

/// A fragment that is decoded and optimised, but not bound to shards yet.
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

/// What scans are bound to.
pub(crate) struct Source<'a> {
    pub engine: &'a Arc<Engine>,
    pub group: &'a PlacedGroup,
    pub view: ReadView,
    /// Live rows per shard, estimated.
    pub rows: &'a BTreeMap<ShardId, u64>,
    /// What the fragment reads beside the group's shards.
    pub inputs: &'a Arc<Spools>,
}

impl Template {
    /// `input` is what scans of handed-in rows read; without it they are refused.
    pub async fn decode(
        fragment: &Fragment,
        runtime: &QueryRuntime,
        input: Option<InputRows>,
    ) -> SqlResult<Self> {
        let plan = Self::read(fragment, input)?;
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

    /// The plan for one group.
    pub async fn bind(
        &self,
        source: &Source<'_>,
        runtime: &QueryRuntime,
        joins: Joins,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let bound = self.plan.clone().transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
            let provider = codec::provider(&scan);
            let input = provider.as_ref().and_then(|provider| provider.downcast_ref::<InputSlot>());
            if let Some(InputSlot { number, schema }) = input {
                let table = SpooledTable {
                    spools: source.inputs.clone(),
                    number: *number,
                    groups: vec![source.group.group],
                    schema: schema.clone(),
                };
                let source = provider_as_source(Arc::new(table));
                return Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })));
            }
            let slot = provider.as_ref().and_then(|provider| provider.downcast_ref::<TableSlot>());
            let Some(slot) = slot else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let table = shard_table(slot, source, runtime).map_err(from_sql)?;
            let source = provider_as_source(Arc::new(table));
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
        });
        let bound = bound.map_err(to_sql)?.data;
        let state = runtime.state_for(joins);
        let plan =
            state.query_planner().create_physical_plan(&bound, state).await.map_err(to_sql)?;
        let plan = index_join::use_indexes(plan).map_err(to_sql)?;
        match &self.partial {
            Some(partial) => partial.partial(plan),
            None => Ok(plan),
        }
    }
}

fn shard_table(
    slot: &TableSlot,
    source: &Source<'_>,
    runtime: &QueryRuntime,
) -> SqlResult<ShardTable> {
    let placed = source.group.table(slot.table)?.clone();
    let here = placed.meta.decoder().schema_with_key();
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
        rows: source.rows.get(&placed.shard).copied().unwrap_or_default(),
        placed,
        view: source.view,
        schema: slot.schema.clone(),
    })
}

/// Types are decided by whoever bound the statement: the optimiser runs, the analyser does not.
fn optimise(plan: LogicalPlan, runtime: &QueryRuntime) -> SqlResult<LogicalPlan> {
    let state = runtime.state();
    state.optimizer().optimize(plan, state, |_, _| {}).map_err(to_sql)
}

/// A plan that yields other columns than the coordinator expects.
pub(crate) fn mismatch(expected: &SchemaRef, found: &SchemaRef) -> SqlError {
    SqlError::internal(format!("a fragment yields {found}, not {expected}"))
}
