//! Aggregation in two phases on two machines.
//!
//! A worker turns the rows of its shards into accumulator states ([`SplitAggregate::partial`]),
//! the coordinator turns states into results ([`SplitAggregate::finish`]). Both derive the
//! physical aggregate from the same logical node, so they agree on the layout of the states:
//!
//! ```text
//! worker       AggregateExec(Partial)   group keys, state columns of every accumulator
//!                    |  network, in any order
//! coordinator  AggregateExec(Final)     group keys, results
//! ```
//!
//! With group keys, the second phase runs in several partitions, each with some of the keys.
//!
//! Any aggregate function whose accumulator has a state can be split.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Aggregate, EmptyRelation, LogicalPlan};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::SessionConfig;
use satsuma_common::{SqlError, SqlResult};

use crate::engine_error::to_sql;

/// The physical form of one logical aggregate, without its input.
#[derive(Clone, Debug)]
pub struct SplitAggregate {
    /// `Partial` over an empty leaf.
    partial: Arc<dyn ExecutionPlan>,
    /// `Final` over `partial`.
    finish: Arc<dyn ExecutionPlan>,
}

impl SplitAggregate {
    /// Plans `aggregate` over a leaf that has its input's schema.
    pub async fn new(aggregate: &Aggregate) -> SqlResult<Self> {
        let leaf = LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema: aggregate.input.schema().clone(),
        });
        let over_leaf = Aggregate::try_new_with_schema(
            Arc::new(leaf),
            aggregate.group_expr.clone(),
            aggregate.aggr_expr.clone(),
            aggregate.schema.clone(),
        )
        .map_err(to_sql)?;
        let finish = bare_planner()
            .query_planner()
            .create_physical_plan(&LogicalPlan::Aggregate(over_leaf), &bare_planner())
            .await
            .map_err(to_sql)?;
        let partial = finish
            .children()
            .first()
            .map(|child| Arc::clone(child))
            .ok_or_else(|| SqlError::internal("an aggregate was planned without phases"))?;
        let split = Self { partial, finish };
        match (split.aggregate(&split.partial)?.mode(), split.aggregate(&split.finish)?.mode()) {
            (AggregateMode::Partial, AggregateMode::Final) => Ok(split),
            modes => Err(SqlError::internal(format!("an aggregate was planned as {modes:?}"))),
        }
    }

    fn aggregate<'a>(&self, plan: &'a Arc<dyn ExecutionPlan>) -> SqlResult<&'a AggregateExec> {
        plan.downcast_ref::<AggregateExec>()
            .ok_or_else(|| SqlError::internal("an aggregate was not planned as one"))
    }

    /// Group keys, then the states: what the first phase sends to the second.
    pub fn state_schema(&self) -> SchemaRef {
        self.partial.schema()
    }

    /// First phase: rows of the aggregate's input to states.
    pub fn partial(&self, input: Arc<dyn ExecutionPlan>) -> SqlResult<Arc<dyn ExecutionPlan>> {
        self.over(&self.partial, AggregateMode::Partial, input)
    }

    /// Second phase: states, in one partition, to results, in one partition. Up to `threads` work
    /// on it.
    pub fn finish(
        &self,
        states: Arc<dyn ExecutionPlan>,
        threads: usize,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let keys = self.aggregate(&self.finish)?.group_expr();
        if threads < 2 || keys.is_empty() {
            return self.over(&self.finish, AggregateMode::Final, states);
        }
        let keys = keys.expr().iter().map(|(key, _)| Arc::clone(key)).collect();
        let by_key =
            RepartitionExec::try_new(states, Partitioning::Hash(keys, threads)).map_err(to_sql)?;
        let mode = AggregateMode::FinalPartitioned;
        let finished = self.over(&self.finish, mode, Arc::new(by_key))?;
        Ok(Arc::new(CoalescePartitionsExec::new(finished)))
    }

    fn over(
        &self,
        template: &Arc<dyn ExecutionPlan>,
        mode: AggregateMode,
        input: Arc<dyn ExecutionPlan>,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let template = self.aggregate(template)?;
        let exec = AggregateExec::try_new(
            mode,
            template.group_expr().clone(),
            template.aggr_expr().to_vec(),
            template.filter_expr().to_vec(),
            input,
            template.input_schema(),
        )
        .map_err(to_sql)?;
        Ok(Arc::new(exec))
    }
}

/// Plans as written: one partition, no physical rewriting, which could fold an aggregate over an
/// empty leaf into a constant.
fn bare_planner() -> datafusion::execution::SessionState {
    SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_physical_optimizer_rules(Vec::new())
        .build()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::functions_aggregate::expr_fn::{avg, count_distinct, sum};
    use datafusion::physical_plan::union::UnionExec;
    use datafusion::physical_plan::{ExecutionPlanProperties, collect};
    use datafusion::prelude::{SessionContext, cast, col};

    use super::*;

    fn batch(rows: &[(i64, i64)]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("k", DataType::Int64, true),
            Field::new("v", DataType::Int64, true),
        ]);
        let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
        let values = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(values)]).unwrap()
    }

    #[tokio::test]
    async fn phases_on_parts_equal_one_phase_on_the_whole() {
        let parts = [batch(&[(1, 10), (2, 20), (1, 10)]), batch(&[(1, 30), (3, 5)])];
        let schema = parts[0].schema();
        let context = SessionContext::new();
        let table = MemTable::try_new(schema.clone(), vec![parts.to_vec()]).unwrap();
        let frame = context.read_table(Arc::new(table)).unwrap();
        let frame = frame
            .aggregate(
                vec![col("k")],
                vec![
                    sum(col("v")),
                    avg(cast(col("v"), DataType::Float64)),
                    count_distinct(col("v")),
                ],
            )
            .unwrap();
        let LogicalPlan::Aggregate(node) = frame.logical_plan().clone() else { panic!() };
        let split = SplitAggregate::new(&node).await.unwrap();

        let partials = parts
            .into_iter()
            .map(|part| {
                let input =
                    MemorySourceConfig::try_new_exec(&[vec![part]], schema.clone(), None).unwrap();
                split.partial(input).unwrap()
            })
            .collect();
        let states = UnionExec::try_new(partials).unwrap();
        let states: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(states));
        assert_eq!(states.schema(), split.state_schema());
        for threads in [1, 3] {
            let finish = split.finish(states.clone(), threads).unwrap();
            assert_eq!(finish.output_partitioning().partition_count(), 1);
            let result = collect(finish, context.task_ctx()).await.unwrap();
            assert_eq!(sorted_rows(&result), EXPECTED);
        }
    }

    const EXPECTED: [[&str; 4]; 3] =
        [["1", "50", "16.666666666666668", "2"], ["2", "20", "20.0", "1"], ["3", "5", "5.0", "1"]];

    fn sorted_rows(result: &[RecordBatch]) -> Vec<Vec<String>> {
        let printed = pretty_format_batches(result).unwrap().to_string();
        let cells = |line: &str| {
            line.split('|')
                .map(|cell| cell.trim().to_owned())
                .filter(|cell| !cell.is_empty())
                .collect()
        };
        let mut rows: Vec<Vec<String>> =
            printed.lines().skip(3).filter(|line| line.starts_with('|')).map(cells).collect();
        rows.sort();
        rows
    }
}
