//! Rows of generate_series, made as they are read.
//!
//! A set-returning function is a list to unnest. The lists of generate_series may be longer than
//! memory, so that a physical plan makes none:
//!
//! ```text
//!   Unnest                                  SeriesExec
//!     Projection series(1, n), x     ->       rows with n and x
//!       rows with n and x
//! ```
//!
//! Other lists of the same unnest, whose values are in memory already, are made for a batch of rows
//! as before, and so is what tells positions (WITH ORDINALITY).

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{NullHandling, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::stream::{self, StreamExt};
use satsuma_common::{Datum, PgType, SqlResult, arrow_types};

use crate::engine_error::from_sql;
use crate::functions::Settings;
use crate::functions::columns::{Reader, collect};
use crate::functions::series::{self, Series};
use crate::functions::udf::PgScalar;
use crate::interrupt;

/// Stands where nothing looks at lists any more.
#[derive(Debug)]
pub(crate) struct UnnestSeries;

impl PhysicalOptimizerRule for UnnestSeries {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let series = node.downcast_ref::<UnnestExec>().map(SeriesExec::of).transpose()?;
            Ok(match series.flatten() {
                Some(series) => {
                    Transformed::yes(Arc::new(CooperativeExec::new(Arc::new(series))) as _)
                }
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "unnest_series"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// An output column.
#[derive(Clone, Debug)]
enum Output {
    /// The same for all rows that come of one.
    Kept(Arc<dyn PhysicalExpr>),
    Series(SeriesCall),
    List(Arc<dyn PhysicalExpr>),
    /// The number of the row among those that come of one.
    Position,
}

#[derive(Clone, Debug)]
struct SeriesCall {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    types: Vec<PgType>,
    element: PgType,
    /// The session's settings come last.
    has_settings: bool,
}

impl SeriesCall {
    fn of(expr: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
        let function = call.fun().inner().downcast_ref::<PgScalar>()?;
        let PgType::Array(element) = function.result() else { return None };
        let definition = function.definition();
        (definition.signature.name == series::LIST).then(|| Self {
            arguments: call.args().to_vec(),
            types: function.arguments().to_vec(),
            element: element.as_ref().clone(),
            has_settings: definition.uses_settings,
        })
    }
}

/// Unnests lists, of which some are series.
#[derive(Debug)]
struct SeriesExec {
    input: Arc<dyn ExecutionPlan>,
    outputs: Arc<[Output]>,
    properties: Arc<PlanProperties>,
}

impl SeriesExec {
    /// `None` where no list is a series.
    fn of(unnest: &UnnestExec) -> Result<Option<Self>> {
        let lists = unnest.list_column_indices();
        let plain = unnest.struct_column_indices().is_empty()
            && lists.iter().all(|list| list.depth == 1)
            && matches!(unnest.options().null_handling, NullHandling::Drop);
        let Some(projection) = unnest.input().downcast_ref::<ProjectionExec>() else {
            return Ok(None);
        };
        if !plain || unnest.schema().fields().len() != projection.expr().len() {
            return Ok(None);
        }
        let (exprs, input) = whole(projection)?;
        let is_list = |at: usize| lists.iter().any(|list| list.index_in_input_schema == at);
        let lists: Vec<_> =
            exprs.iter().enumerate().filter(|(at, _)| is_list(*at)).map(|(_, e)| e).collect();
        let outputs: Arc<[Output]> = exprs
            .iter()
            .enumerate()
            .map(|(at, expr)| match SeriesCall::of(expr) {
                _ if !is_list(at) => Output::Kept(expr.clone()),
                Some(series) => Output::Series(series),
                None if tells_positions(expr, &lists) => Output::Position,
                None => Output::List(expr.clone()),
            })
            .collect();
        if !outputs.iter().any(|output| matches!(output, Output::Series(_))) {
            return Ok(None);
        }
        Ok(Some(Self::new(input, outputs, unnest.schema())))
    }

    fn new(input: Arc<dyn ExecutionPlan>, outputs: Arc<[Output]>, schema: SchemaRef) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, outputs, properties: Arc::new(properties) }
    }
}

type Exprs = Vec<Arc<dyn PhysicalExpr>>;

/// What a projection computes, over the first input below that is none.
fn whole(projection: &ProjectionExec) -> Result<(Exprs, Arc<dyn ExecutionPlan>)> {
    let mut exprs: Vec<_> = projection.expr().iter().map(|column| column.expr.clone()).collect();
    let mut input = projection.input().clone();
    // A list that is needed twice is computed by a projection of its own.
    while let Some(below) = input.downcast_ref::<ProjectionExec>() {
        if below.expr().iter().any(|column| is_volatile(&column.expr)) {
            break;
        }
        let replace = |expr: Arc<dyn PhysicalExpr>| {
            let replaced = expr.transform_up(|expr| {
                let column = expr.downcast_ref::<Column>().map(Column::index);
                Ok(match column.and_then(|at| below.expr().get(at)) {
                    Some(found) => Transformed::yes(found.expr.clone()),
                    None => Transformed::no(expr),
                })
            });
            replaced.data()
        };
        exprs = exprs.into_iter().map(replace).collect::<Result<_>>()?;
        input = below.input().clone();
    }
    Ok((exprs, input))
}

/// Whether this is the list of numbers from 1 up to the length of the longest of the other lists,
/// as the binder writes WITH ORDINALITY.
fn tells_positions(expr: &Arc<dyn PhysicalExpr>, lists: &[&Arc<dyn PhysicalExpr>]) -> bool {
    let is_series = expr
        .downcast_ref::<ScalarFunctionExpr>()
        .is_some_and(|call| call.fun().name() == "generate_series");
    let mut measured = Vec::new();
    let walked = expr.apply(|node| {
        if let Some(call) = node.downcast_ref::<ScalarFunctionExpr>()
            && call.fun().name() == "array_length"
        {
            measured.extend(call.args().first().cloned());
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    is_series
        && walked.is_ok()
        && lists.iter().all(|list| *list == expr || measured.iter().any(|one| one == *list))
}

impl DisplayAs for SeriesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeriesExec")
    }
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &str {
        "SeriesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return internal_err!("series come of one input");
        };
        Ok(Arc::new(Self::new(input, self.outputs.clone(), self.schema())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, recompute)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = context.session_config().batch_size();
        let (schema, outputs) = (self.schema(), self.outputs.clone());
        let start = (self.input.execute(partition, context)?, None);
        let batches = stream::try_unfold(start, move |(mut input, mut current)| {
            let (schema, outputs) = (schema.clone(), outputs.clone());
            async move {
                loop {
                    let mut batch: Batch = match current.take() {
                        Some(batch) => batch,
                        None => match input.next().await {
                            Some(batch) => Batch::new(&batch?, &outputs)?,
                            None => return Ok(None),
                        },
                    };
                    if let Some(made) = batch.next(rows, &schema)? {
                        return Ok(Some((made, (input, Some(batch)))));
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }
}

/// Rows of the input that are being unnested.
struct Batch {
    columns: Vec<Values>,
    rows: usize,
    /// The row at work, and how many rows came of it.
    row: usize,
    made: i64,
    /// What is left of its lists, a part for each column that unnests.
    parts: Vec<Part>,
    started: bool,
}

/// An output column's values for all rows of the input.
enum Values {
    Kept(ArrayRef),
    Series { call: SeriesCall, arguments: Vec<ArrayRef>, settings: Settings },
    List { lists: ArrayRef, element: PgType },
    Position,
}

/// Of one row's list.
enum Part {
    None,
    Series(Series),
    List(VecDeque<Datum>),
}

impl Part {
    fn take(&mut self) -> SqlResult<Option<Datum>> {
        match self {
            Self::None => Ok(None),
            Self::Series(series) => series.take(),
            Self::List(values) => Ok(values.pop_front()),
        }
    }
}

impl Batch {
    fn new(batch: &RecordBatch, outputs: &[Output]) -> Result<Self> {
        let rows = batch.num_rows();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let columns = outputs
            .iter()
            .map(|output| {
                Ok(match output {
                    Output::Kept(expr) => Values::Kept(evaluate(expr)?),
                    Output::Position => Values::Position,
                    Output::List(expr) => {
                        let ty = expr.return_field(&batch.schema())?;
                        let ty = arrow_types::pg_type(&ty);
                        let PgType::Array(element) = ty else {
                            return internal_err!("a list to unnest is none");
                        };
                        Values::List { lists: evaluate(expr)?, element: *element }
                    }
                    Output::Series(call) => {
                        let mut arguments =
                            call.arguments.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
                        let mut settings = Settings::default();
                        if call.has_settings
                            && let Some(last) = arguments.pop()
                            && rows > 0
                        {
                            let text = Reader::new(&last, &PgType::Text).get(0);
                            if let Datum::Text(text) = text.map_err(from_sql)? {
                                settings = Settings::decode(&text).map_err(from_sql)?;
                            }
                        }
                        Values::Series { call: call.clone(), arguments, settings }
                    }
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { columns, rows, row: 0, made: 0, parts: Vec::new(), started: false })
    }

    /// The next rows, at most so many; `None` when there are no more.
    fn next(&mut self, most: usize, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        interrupt::check().map_err(from_sql)?;
        let mut origins: Vec<u32> = Vec::new();
        let mut values: Vec<Vec<Datum>> = self.columns.iter().map(|_| Vec::new()).collect();
        while origins.len() < most && self.row < self.rows {
            if !self.started {
                self.start().map_err(from_sql)?;
            }
            if !self.step(&mut values).map_err(from_sql)? {
                (self.row, self.started) = (self.row + 1, false);
                continue;
            }
            origins.push(u32::try_from(self.row).unwrap_or(u32::MAX));
        }
        if origins.is_empty() {
            return Ok(None);
        }
        let origins = UInt32Array::from(origins);
        let columns = self.columns.iter().zip(values).map(|(column, values)| match column {
            Values::Kept(array) => Ok(take(array, &origins, None)?),
            Values::Series { call, .. } => collect(&call.element, values).map_err(from_sql),
            Values::List { element, .. } => collect(element, values).map_err(from_sql),
            Values::Position => collect(&PgType::Int8, values).map_err(from_sql),
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(Some(RecordBatch::try_new(schema.clone(), columns)?))
    }

    fn start(&mut self) -> SqlResult<()> {
        let row = self.row;
        let part = |column: &Values| {
            Ok(match column {
                Values::Kept(_) | Values::Position => Part::None,
                Values::List { lists, element } => {
                    let ty = PgType::Array(Box::new(element.clone()));
                    match Reader::new(lists, &ty).get(row)? {
                        Datum::Array(array) => Part::List(array.values.into()),
                        _ => Part::None,
                    }
                }
                Values::Series { call, arguments, settings } => {
                    let read = |(array, ty)| Reader::new(array, ty).get(row);
                    let values = arguments
                        .iter()
                        .zip(&call.types)
                        .map(read)
                        .collect::<SqlResult<Vec<_>>>()?;
                    match values.iter().any(Datum::is_null) {
                        true => Part::None,
                        false => {
                            let context = settings.context();
                            Part::Series(Series::new(&values, &call.element, &context)?)
                        }
                    }
                }
            })
        };
        self.parts = self.columns.iter().map(part).collect::<SqlResult<_>>()?;
        (self.made, self.started) = (0, true);
        Ok(())
    }

    /// Adds a row of the row at work, unless all of its lists have ended.
    fn step(&mut self, values: &mut [Vec<Datum>]) -> SqlResult<bool> {
        let taken = self.parts.iter_mut().map(Part::take).collect::<SqlResult<Vec<_>>>()?;
        if taken.iter().all(Option::is_none) {
            return Ok(false);
        }
        self.made += 1;
        for ((column, taken), values) in self.columns.iter().zip(taken).zip(values) {
            match column {
                Values::Kept(_) => {}
                Values::Position => values.push(Datum::Int8(self.made)),
                Values::Series { .. } | Values::List { .. } => {
                    values.push(taken.unwrap_or(Datum::Null));
                }
            }
        }
        Ok(true)
    }
}
