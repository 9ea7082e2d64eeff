//! ON CONFLICT DO UPDATE: what a row becomes when a proposed one meets it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{CHANGED_SINCE_SNAPSHOT, Fragment, StatementContext};
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};
use satsuma_storage::Conflict;
use tokio_util::sync::CancellationToken;

use super::rows;
use crate::local::Shared;
use crate::placement::{PlacedGroup, PlacedTable};
use crate::query::{InputRows, Joins, Source, Template};

/// The fragment, planned once and run on one pair of rows at a time: its WHERE may drop the pair,
/// and only then is it known which.
pub(super) struct Updater {
    plan: Arc<dyn ExecutionPlan>,
    input: InputRows,
    context: Arc<TaskContext>,
}

impl Updater {
    pub async fn new(
        shared: &Shared,
        context: &StatementContext,
        group: &PlacedGroup,
        fragment: &Fragment,
    ) -> SqlResult<Self> {
        let input = InputRows::default();
        let template =
            Template::decode(fragment, &shared.queries, Some(input.clone()), &[]).await?;
        let source = Source {
            engine: &shared.engine,
            groups: std::slice::from_ref(group),
            view: crate::local::view(context),
            threads: 1,
            joins: Joins::InMemory,
            inputs: &Arc::default(),
        };
        let plan = template.bind(&source, &shared.queries).await?;
        let context = shared.queries.task_context(context.memory_limit, CancellationToken::new());
        Ok(Self { plan, input, context })
    }

    /// The row as it shall be; `None` to leave it as it is.
    pub async fn new_row(
        &self,
        target: &PlacedTable,
        batch: &RecordBatch,
        conflict: &Conflict,
    ) -> SqlResult<Option<RecordBatch>> {
        if conflict.same_statement {
            return Err(SqlError::new(
                SqlState::CARDINALITY_VIOLATION,
                "ON CONFLICT DO UPDATE command cannot affect row a second time",
            )
            .hint(
                "Ensure that no rows proposed for insertion within the same command have \
                 duplicate constrained values.",
            ));
        }
        if conflict.above_snapshot {
            return Err(SqlError::new(
                CHANGED_SINCE_SNAPSHOT,
                "could not serialize access due to concurrent update",
            ));
        }
        let existing = rows::decode(&target.meta, std::slice::from_ref(&conflict.existing))?;
        let proposed = rows::take(batch, &[conflict.row])?;
        *self.input.lock() = Some(pair(target, &existing, &proposed)?);
        let plan = reset_plan_states(self.plan.clone()).map_err(to_sql)?;
        let batches = collect(plan, self.context.clone()).await.map_err(to_sql)?;
        let Some(first) = batches.first() else { return Ok(None) };
        let result = concat_batches(first.schema_ref(), &batches).map_err(arrow_to_sql)?;
        match result.num_rows() {
            0 => Ok(None),
            1 => {
                rows::check_columns(&target.meta.shape, &result, 0)?;
                Ok(Some(result))
            }
            _ => Err(SqlError::internal("ON CONFLICT DO UPDATE made several rows of one")),
        }
    }
}

/// The existing row's columns, then the proposed row's.
fn pair(
    target: &PlacedTable,
    existing: &RecordBatch,
    proposed: &RecordBatch,
) -> SqlResult<RecordBatch> {
    let width = target.meta.shape.columns.len();
    let schema = target.meta.shape.arrow_schema();
    let fields: Vec<Arc<Field>> = schema
        .fields()
        .iter()
        .chain(schema.fields())
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    let columns =
        existing.columns().iter().chain(proposed.columns().iter().take(width)).cloned().collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_to_sql)
}
