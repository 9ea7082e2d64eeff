//! Joins that go to disk when memory is short.
//!
//! DataFusion's hash join keeps one side in memory and fails when it does not fit. A plan made
//! under this rule joins by sorting both sides and merging them instead, which is slower and
//! needs memory for a few batches only.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};

#[derive(Debug)]
pub(super) struct MergeInsteadOfHash;

impl PhysicalOptimizerRule for MergeInsteadOfHash {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else {
                return Ok(Transformed::no(node));
            };
            // A join of NULL-aware semantics exists as a hash join only.
            if join.null_aware || join.contains_projection() {
                return Ok(Transformed::no(node));
            }
            let merged = SortMergeJoinExec::try_new(
                join.left().clone(),
                join.right().clone(),
                join.on().to_vec(),
                join.filter().map(of_missing_rows),
                *join.join_type(),
                vec![SortOptions::default(); join.on().len()],
                join.null_equality(),
            )?;
            Ok(Transformed::yes(Arc::new(merged) as Arc<dyn ExecutionPlan>))
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "merge_instead_of_hash"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same condition over columns that may be NULL: a merge join puts rows without a partner in
/// one batch with the others, and asks for their columns' schema only.
fn of_missing_rows(filter: &JoinFilter) -> JoinFilter {
    let fields = filter.schema().fields().iter();
    let fields: Vec<_> = fields.map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(Schema::new(fields));
    JoinFilter::new(filter.expression().clone(), filter.column_indices().to_vec(), schema)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::common::JoinType;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext, col};

    use super::*;
    use crate::joins::spilling_config;
    use crate::memory::{NodeMemory, QueryPool};

    fn context(memory: usize, spilling: bool) -> SessionContext {
        let node = Arc::new(NodeMemory::new(memory as u64));
        let pool = Arc::new(QueryPool::new(memory as u64, node));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let mut config = SessionConfig::new().with_target_partitions(1);
        if spilling {
            config = spilling_config(config);
        }
        let mut state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(runtime);
        if spilling {
            state = state.with_physical_optimizer_rules(crate::joins::spilling_rules());
        }
        SessionContext::new_with_state(state.build())
    }

    /// Batches that share no memory: every tenth key is NULL, others occur twice.
    fn table(rows: i64, name: &str) -> Vec<RecordBatch> {
        const BATCH: i64 = 1000;
        let starts = (0..rows).step_by(BATCH as usize);
        starts
            .map(|start| {
                let rows = start..rows.min(start + BATCH);
                let keys = rows.clone().map(|row| (row % 10 != 0).then_some(row / 2));
                let keys: ArrayRef = Arc::new(Int64Array::from_iter(keys));
                let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
                RecordBatch::try_from_iter_with_nullable([
                    (format!("{name}k"), keys, true),
                    (format!("{name}v"), values, false),
                ])
                .unwrap()
            })
            .collect()
    }

    async fn joined(
        context: &SessionContext,
        rows: i64,
        join_type: JoinType,
    ) -> Result<Vec<RecordBatch>> {
        let left = context.read_batches(table(rows, "l"))?;
        let right = context.read_batches(table(rows / 2, "r"))?;
        let filter = col("lv").gt(col("rv"));
        left.join(right, join_type, &["lk"], &["rk"], Some(filter))?.collect().await
    }

    fn sorted(batches: &[RecordBatch]) -> Vec<String> {
        let text = pretty_format_batches(batches).unwrap().to_string();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[tokio::test]
    async fn they_give_the_rows_of_hash_joins() {
        for join_type in [
            JoinType::Inner,
            JoinType::Left,
            JoinType::Right,
            JoinType::Full,
            JoinType::LeftSemi,
            JoinType::RightSemi,
            JoinType::LeftAnti,
            JoinType::RightAnti,
        ] {
            let hash = joined(&context(64 << 20, false), 4000, join_type).await.unwrap();
            let merge = joined(&context(64 << 20, true), 4000, join_type).await.unwrap();
            assert_eq!(sorted(&hash), sorted(&merge), "{join_type}");
        }
    }

    #[tokio::test]
    async fn they_need_a_tenth_of_the_memory() {
        const ROWS: i64 = 2_000_000;
        let memory = 4 << 20;
        let error = joined(&context(memory, false), ROWS, JoinType::Inner).await.unwrap_err();
        assert!(error.to_string().contains("Resources exhausted"), "{error}");
        let rows = joined(&context(memory, true), ROWS, JoinType::Inner).await.unwrap();
        assert!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() > 100_000);
    }
}
