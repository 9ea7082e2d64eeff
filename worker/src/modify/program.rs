//! Programs: the expressions of an UPDATE by key, compiled once and evaluated on one row.
//!
//! ```text
//! row bytes --inputs--> a batch of one row, parameters beside --expressions--> values --> row bytes
//! ```
//!
//! A coordinator sends a program with its first use and only parameters after that. What is not
//! used for a while is forgotten here; the coordinator is told so and sends it again.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use parking_lot::Mutex;
use satsuma_common::row::source::ColumnSource;
use satsuma_common::row::{ColumnBuilder, RowError};
use satsuma_common::table::TableShape;
use satsuma_common::{Recent, SqlError, SqlResult, TableId, arrow_types};
use satsuma_proto::worker::{
    Assignments, Fragment, FragmentMode, Program, ProgramId, UNKNOWN_PROGRAM,
};
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};
use satsuma_storage::TableMeta;

use crate::error::malformed;
use crate::query::{InputRows, Template};

/// Programs that are kept.
const KEPT: usize = 4096;

/// A program, ready to run on rows of one version of a table's shape.
pub(crate) struct Compiled {
    table: TableId,
    version: u64,
    inputs: Vec<usize>,
    targets: Vec<usize>,
    /// The inputs, then the parameters.
    schema: SchemaRef,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
}

/// The programs that coordinators have sent.
pub(crate) struct Programs(Mutex<Recent<ProgramId, Arc<Compiled>>>);

impl Default for Programs {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(KEPT)))
    }
}

impl Programs {
    /// The program that the assignments name, for rows of `shape`.
    pub fn get(&self, assignments: &Assignments, shape: &TableShape) -> SqlResult<Arc<Compiled>> {
        let id = assignments.id;
        let known = self.0.lock().get(&id);
        let compiled = match (known, &assignments.program) {
            (Some(compiled), _) => compiled,
            (None, Some(program)) => {
                let compiled = Arc::new(Compiled::new(program, shape)?);
                self.0.lock().insert(id, compiled.clone());
                compiled
            }
            (None, None) => {
                return Err(SqlError::new(UNKNOWN_PROGRAM, "a program is not known here"));
            }
        };
        if (compiled.table, compiled.version) != (shape.table, shape.version) {
            return Err(malformed("a program is used on another table than it was made for"));
        }
        Ok(compiled)
    }
}

impl Compiled {
    fn new(program: &Program, shape: &TableShape) -> SqlResult<Self> {
        let fragment = Fragment {
            plan: program.plan.clone(),
            mode: FragmentMode::Rows,
            constants: Vec::new(),
        };
        let plan = Template::read(&fragment, Some(InputRows::default()))?;
        let LogicalPlan::Projection(projection) = plan else {
            return Err(malformed("a program is not a projection"));
        };
        let input = projection.input.schema();
        let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let expressions = projection
            .expr
            .iter()
            .map(|expr| create_physical_expr(expr, input, &props, &planning).map_err(to_sql))
            .collect::<SqlResult<Vec<_>>>()?;
        let fields: Vec<_> = input
            .fields()
            .iter()
            .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let inputs = positions(&program.inputs, shape)?;
        let targets = positions(&program.targets, shape)?;
        let key = shape.key_positions();
        if targets.iter().any(|target| key.contains(target)) {
            return Err(malformed("a program changes a primary key"));
        }
        let typed = inputs.len() <= schema.fields().len()
            && inputs.iter().zip(schema.fields()).all(|(position, field)| {
                *field.data_type() == arrow_types::data_type(&shape.columns[*position].ty)
            });
        if !typed || targets.len() != expressions.len() {
            return Err(malformed("a program does not fit its table"));
        }
        Ok(Self {
            table: shape.table,
            version: shape.version,
            inputs,
            targets,
            schema,
            expressions,
        })
    }

    /// What becomes of `row`.
    pub fn new_row(
        &self,
        meta: &TableMeta,
        row: &[u8],
        params: &[Option<Bytes>],
    ) -> SqlResult<Bytes> {
        let batch = self.input(meta, row, params).map_err(damaged)?;
        let mut assigned = Vec::with_capacity(self.targets.len());
        for (target, expression) in self.targets.iter().zip(&self.expressions) {
            let value = expression.evaluate(&batch).map_err(to_sql)?;
            let value = value.into_array(1).map_err(to_sql)?;
            let expected = arrow_types::data_type(&meta.shape.columns[*target].ty);
            if *value.data_type() != expected {
                return Err(malformed(format!(
                    "column \"{}\" is assigned {}, not {expected}",
                    meta.shape.columns[*target].name,
                    value.data_type()
                )));
            }
            assigned.push(ColumnSource::new(&value).map_err(damaged)?);
        }
        let mut values = Vec::with_capacity(meta.shape.columns.len());
        for position in 0..meta.shape.columns.len() {
            let value = match self.targets.iter().position(|target| *target == position) {
                Some(at) => assigned[at].value(0),
                None => meta.decoder().bytes(row, position).map(|v| v.map(Into::into)),
            };
            values.push(value.map_err(damaged)?);
        }
        let encoded = meta.encoder().encode_physical(|position| values[position].as_deref());
        encoded.map(Bytes::from).map_err(damaged)
    }

    /// The inputs of one row, and the parameters.
    fn input(
        &self,
        meta: &TableMeta,
        row: &[u8],
        params: &[Option<Bytes>],
    ) -> Result<RecordBatch, RowError> {
        let fields = self.schema.fields();
        if self.inputs.len() + params.len() != fields.len() {
            return Err(RowError::ColumnCount(self.inputs.len() + params.len(), fields.len()));
        }
        let mut columns = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let value = match self.inputs.get(index) {
                Some(position) => meta.decoder().bytes(row, *position)?,
                None => params[index - self.inputs.len()].as_deref(),
            };
            let mut builder = ColumnBuilder::new(field.data_type(), 1);
            builder.push(value)?;
            columns.push(builder.finish()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| RowError::Malformed(arrow_to_sql(error).to_string()))
    }
}

fn positions(columns: &[u32], shape: &TableShape) -> SqlResult<Vec<usize>> {
    columns
        .iter()
        .map(|position| {
            usize::try_from(*position)
                .ok()
                .filter(|position| *position < shape.columns.len())
                .ok_or_else(|| malformed("a program names a column that is not there"))
        })
        .collect()
}

fn damaged(error: RowError) -> SqlError {
    SqlError::new(satsuma_common::SqlState::DATA_CORRUPTED, error.to_string())
}
