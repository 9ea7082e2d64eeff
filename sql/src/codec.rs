//! Fragments on the wire: logical plans over named scans, as `datafusion-proto` writes them.
//!
//! A scan travels as a [`ScanName`]; the receiver supplies the provider that reads it. Functions
//! travel by name and are found in the receiver's [`FunctionLookup`], so both sides must run the
//! same version. Bytes may come from anyone: decoding gives an error, never a panic.

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::{DefaultTableSource, provider_as_source};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::{FunctionRegistry, TaskContext};
use datafusion::logical_expr::{
    AggregateUDF, EmptyRelation, Expr, Extension, LogicalPlan, ScalarUDF, TableScan, WindowUDF,
};
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::logical_plan::from_proto::parse_expr;
use datafusion_proto::logical_plan::to_proto::serialize_expr;
use datafusion_proto::protobuf::LogicalExprNode;
use prost::Message as _;
use satsuma_common::{SqlError, SqlResult, SqlState, TableId};

use crate::engine_error;
use crate::functions::registry;
use crate::outline::expression::{self, OutlinedExpression};
use crate::outline::{Outlined, inline, outline};
use crate::table::{Scan, ScanSource, renamed_scan};

/// What a scan of a fragment reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScanName {
    /// The table's shard in the group at hand.
    Table(TableId),
    /// Rows handed in with the fragment ([`crate::table::INPUT`]).
    Input,
    /// The fragment's n-th input, which travels beside it.
    Exchanged(u32),
    /// No rows.
    Nothing,
}

/// Gives the provider that reads a scan of the given full schema.
pub type ScanResolver =
    Arc<dyn Fn(ScanName, SchemaRef) -> SqlResult<Arc<dyn TableProvider>> + Send + Sync>;

/// Functions by their unique name.
pub trait FunctionLookup: fmt::Debug + Send + Sync + 'static {
    fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>>;
    fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>>;
    fn window(&self, name: &str) -> Option<Arc<WindowUDF>>;
}

/// Writes a plan whose scans are all [`ScanSource`]s of tables or input.
pub fn encode(plan: &LogicalPlan) -> SqlResult<Bytes> {
    let codec = FragmentCodec::default();
    let write = |expr: &Expr| {
        let written = serialize_expr(expr, &codec);
        written.map(|message| message.encode_to_vec()).map_err(|error| malformed(error.to_string()))
    };
    name_scans(plan.clone())
        .and_then(|plan| expression::outline(plan, &write))
        .and_then(outline)
        .and_then(|plan| logical_plan_to_bytes_with_extension_codec(&plan, &codec))
        .map_err(engine_error::to_sql)
}

/// Writes constants that were lifted out of a plan.
pub fn encode_constants(constants: &[ScalarValue]) -> SqlResult<Vec<Bytes>> {
    let codec = FragmentCodec::default();
    let write = |constant: &ScalarValue| {
        let written = serialize_expr(&Expr::Literal(constant.clone(), None), &codec);
        let bytes = written.map(|message| Bytes::from(message.encode_to_vec()));
        bytes.map_err(|error| engine_error::to_sql(malformed(error.to_string())))
    };
    constants.iter().map(write).collect()
}

/// Reads what [`encode_constants`] wrote.
pub fn decode_constants(constants: &[Bytes]) -> SqlResult<Vec<ScalarValue>> {
    let codec = FragmentCodec::default();
    constants
        .iter()
        .map(|bytes| {
            let message =
                LogicalExprNode::decode(bytes.as_ref()).map_err(|e| malformed(e.to_string()));
            let read = message.and_then(|message| {
                parse_expr(&message, &CONTEXT, &codec).map_err(|error| malformed(error.to_string()))
            });
            match read {
                Ok(Expr::Literal(constant, _)) => Ok(constant),
                Ok(other) => {
                    Err(engine_error::to_sql(malformed(format!("{other} is no constant"))))
                }
                Err(error) => Err(engine_error::to_sql(error)),
            }
        })
        .collect()
}

/// Reads a plan that [`encode`] wrote, with every scan bound to the resolver's provider.
pub fn decode(
    bytes: &[u8],
    functions: Arc<dyn FunctionLookup>,
    resolver: ScanResolver,
) -> SqlResult<LogicalPlan> {
    let codec = FragmentCodec {
        functions: Some(functions),
        resolver: Some(resolver),
        ..FragmentCodec::default()
    };
    let plan = logical_plan_from_bytes_with_extension_codec(bytes, &CONTEXT, &codec);
    let plan = plan.and_then(inline).and_then(expression::inline);
    plan.map_err(|error| match codec.failure.get() {
        Some(failure) => failure.clone(),
        None => unreadable(error),
    })
}

fn unreadable(error: DataFusionError) -> SqlError {
    // prost gives no other sign of messages that nest too deeply for it.
    match error.to_string().contains("recursion limit reached") {
        true => SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
            .hint("Write shorter chains of operators, or fewer queries within each other."),
        false => engine_error::to_sql(error),
    }
}

/// `datafusion-proto` writes only scans of providers: put one in that carries the name. It writes
/// an empty relation without its columns: a scan of nothing has them.
fn name_scans(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        if let LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }) = &node
            && !schema.fields().is_empty()
        {
            let named = |fields: SchemaRef| {
                let empty = EmptyTable::new(fields);
                provider_as_source(Arc::new(NamedScan { name: ScanName::Nothing, empty }))
            };
            return renamed_scan("__nothing", named, schema).map(Transformed::yes);
        }
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let Some(source) = scan.source.downcast_ref::<ScanSource>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let name = match &source.scan {
            Scan::Table(info) => ScanName::Table(info.shape.table),
            Scan::Input => ScanName::Input,
            Scan::Exchanged(number) => ScanName::Exchanged(*number),
            Scan::Returned(_) => {
                return Err(engine_error::from_sql(SqlError::internal(
                    "rows that a WITH query returned are read at the coordinator only",
                )));
            }
            Scan::System(relation) => {
                return Err(engine_error::from_sql(SqlError::internal(format!(
                    "system relation {relation:?} cannot be read on a worker"
                ))));
            }
        };
        let provider = Arc::new(NamedScan { name, empty: EmptyTable::new(scan.source.schema()) });
        let source = provider_as_source(provider);
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
    })
    .map(|transformed| transformed.data)
}

/// Carries a [`ScanName`] through the encoder; never executed.
#[derive(Debug)]
struct NamedScan {
    name: ScanName,
    empty: EmptyTable,
}

#[async_trait::async_trait]
impl TableProvider for NamedScan {
    fn schema(&self) -> SchemaRef {
        self.empty.schema()
    }

    fn table_type(&self) -> datafusion::logical_expr::TableType {
        datafusion::logical_expr::TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn datafusion::catalog::Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[datafusion::logical_expr::Expr],
        _limit: Option<usize>,
    ) -> EngineResult<Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
        Err(DataFusionError::Internal("a fragment's scan was not bound to a shard".into()))
    }
}

#[derive(Default)]
struct FragmentCodec {
    functions: Option<Arc<dyn FunctionLookup>>,
    resolver: Option<ScanResolver>,
    /// How deep in plans within plans the reader is.
    depth: AtomicU32,
    /// What was wrong with the innermost part that could not be read.
    failure: OnceLock<SqlError>,
}

impl fmt::Debug for FragmentCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FragmentCodec")
    }
}

impl FragmentCodec {
    /// Reads something that was outlined.
    fn deeper<T>(&self, read: impl FnOnce() -> EngineResult<T>) -> EngineResult<T> {
        if self.depth.fetch_add(1, Relaxed) >= MOST_OUTLINED {
            let error =
                SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded");
            self.failure.get_or_init(|| error);
            return Err(malformed("too deep"));
        }
        let read = stacker::maybe_grow(OUTLINED_STACK_BYTES, 8 * OUTLINED_STACK_BYTES, read);
        self.depth.fetch_sub(1, Relaxed);
        // Errors would be quoted within each other as often as parts are deep.
        read.map_err(|error| {
            self.failure.get_or_init(|| unreadable(error));
            malformed("part")
        })
    }

    fn functions(&self) -> EngineResult<&dyn FunctionLookup> {
        self.functions.as_deref().ok_or_else(|| malformed("no functions to decode with"))
    }
}

fn malformed(message: impl Into<String>) -> DataFusionError {
    engine_error::from_sql(SqlError::internal(format!("malformed fragment: {}", message.into())))
}

fn no_function(name: &str) -> DataFusionError {
    malformed(format!("function {name} is not known here"))
}

/// What is read without: functions are the codec's to find.
static CONTEXT: LazyLock<TaskContext> = LazyLock::new(TaskContext::default);

/// Plans within plans and expressions within expressions, at most: some four thousand nodes.
const MOST_OUTLINED: u32 = 512;
/// What reading or writing a plan between two outlined ones may take.
const OUTLINED_STACK_BYTES: usize = 1 << 20;

const TAG_TABLE: u8 = 1;
const TAG_INPUT: u8 = 2;
const TAG_EXCHANGED: u8 = 3;
const TAG_NOTHING: u8 = 4;

impl LogicalExtensionCodec for FragmentCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[LogicalPlan],
        ctx: &TaskContext,
    ) -> EngineResult<Extension> {
        if !inputs.is_empty() {
            return Err(malformed("unknown plan node"));
        }
        let plan = self.deeper(|| logical_plan_from_bytes_with_extension_codec(buf, ctx, self))?;
        Ok(Outlined::into_extension(plan))
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> EngineResult<()> {
        let Some(outlined) = node.node.as_any().downcast_ref::<Outlined>() else {
            return Err(malformed(format!("plan node {} cannot travel", node.node.name())));
        };
        let bytes = stacker::maybe_grow(OUTLINED_STACK_BYTES, 8 * OUTLINED_STACK_BYTES, || {
            logical_plan_to_bytes_with_extension_codec(&outlined.plan, self)
        })?;
        buf.extend_from_slice(&bytes);
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        _table_ref: &TableReference,
        schema: SchemaRef,
        _ctx: &TaskContext,
    ) -> EngineResult<Arc<dyn TableProvider>> {
        let name = match buf {
            [TAG_TABLE, id @ ..] => {
                let id = <[u8; 4]>::try_from(id).map_err(|_| malformed("scan name"))?;
                ScanName::Table(TableId(u32::from_le_bytes(id)))
            }
            [TAG_INPUT] => ScanName::Input,
            [TAG_NOTHING] => return Ok(Arc::new(EmptyTable::new(schema))),
            [TAG_EXCHANGED, number @ ..] => {
                let number = <[u8; 4]>::try_from(number).map_err(|_| malformed("scan name"))?;
                ScanName::Exchanged(u32::from_le_bytes(number))
            }
            _ => return Err(malformed("scan name")),
        };
        let resolver = self.resolver.as_ref().ok_or_else(|| malformed("no scans to bind"))?;
        resolver(name, schema).map_err(engine_error::from_sql)
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> EngineResult<()> {
        match node.downcast_ref::<NamedScan>().map(|scan| scan.name) {
            Some(ScanName::Table(id)) => {
                buf.push(TAG_TABLE);
                buf.extend_from_slice(&id.0.to_le_bytes());
                Ok(())
            }
            Some(ScanName::Input) => {
                buf.push(TAG_INPUT);
                Ok(())
            }
            Some(ScanName::Nothing) => {
                buf.push(TAG_NOTHING);
                Ok(())
            }
            Some(ScanName::Exchanged(number)) => {
                buf.push(TAG_EXCHANGED);
                buf.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            None => Err(malformed(format!("scan of {table_ref} cannot travel"))),
        }
    }

    fn try_encode_udf(&self, function: &ScalarUDF, buf: &mut Vec<u8>) -> EngineResult<()> {
        buf.extend_from_slice(OutlinedExpression::bytes(function).unwrap_or_default());
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> EngineResult<Arc<ScalarUDF>> {
        if name == OutlinedExpression::NAME {
            let message =
                LogicalExprNode::decode(buf).map_err(|error| malformed(error.to_string()))?;
            let read = || {
                parse_expr(&message, &CONTEXT, self).map_err(|error| malformed(error.to_string()))
            };
            let function = OutlinedExpression::read(self.deeper(read)?);
            return function.map(Arc::new).ok_or_else(|| malformed("expression"));
        }
        self.functions()?.scalar(name).ok_or_else(|| no_function(name))
    }

    fn try_decode_udaf(&self, name: &str, _buf: &[u8]) -> EngineResult<Arc<AggregateUDF>> {
        self.functions()?.aggregate(name).ok_or_else(|| no_function(name))
    }

    fn try_decode_udwf(&self, name: &str, _buf: &[u8]) -> EngineResult<Arc<WindowUDF>> {
        self.functions()?.window(name).ok_or_else(|| no_function(name))
    }
}

/// Whether a scan of a decoded plan is bound to a provider, and to which.
pub fn provider(scan: &TableScan) -> Option<Arc<dyn TableProvider>> {
    scan.source.downcast_ref::<DefaultTableSource>().map(|source| source.table_provider.clone())
}

/// Every function that workers know: what plans of this dialect can name, less what only a
/// coordinator can answer.
pub fn library() -> Arc<dyn FunctionLookup> {
    Arc::new(Library)
}

#[derive(Debug)]
struct Library;

impl FunctionLookup for Library {
    fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        registry().udf(name).ok()
    }

    fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        registry().udaf(name).ok()
    }

    fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().udwf(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};

    use super::*;

    #[test]
    fn deep_plans_travel() {
        let one = LogicalPlanBuilder::empty(true).project([lit(1).alias("a")]).unwrap();
        let plan = (0..200).fold(one, |plan, _| plan.filter(lit(true)).unwrap());
        let plan = plan.build().unwrap();
        let nothing: ScanResolver = Arc::new(|_, _| Err(SqlError::internal("no scans")));
        assert_eq!(decode(&encode(&plan).unwrap(), library(), nothing).unwrap(), plan);
    }

    #[test]
    fn deep_expressions_travel() {
        let env = crate::functions::tests::env();
        // To the right, where they are no chain.
        let sum = |terms: usize| {
            let one = || crate::functions::Typed::new(col("a"), satsuma_common::PgType::Int4);
            (1..terms)
                .fold(one(), |sum, _| crate::operators::binary("+", one(), sum, &env).unwrap())
        };
        let over = |terms: usize| {
            let input = LogicalPlanBuilder::empty(true).project([lit(1i32).alias("a")]).unwrap();
            let sum = sum(terms).expr;
            let rows = input.filter(sum.clone().gt(lit(0i32))).unwrap();
            // A name that comes from the expression, and one that does not.
            let name = sum.schema_name().to_string();
            let named = rows.project([sum.clone(), sum.alias("b")]).unwrap();
            let column = datafusion::common::Column::new_unqualified(name);
            named.project([Expr::Column(column)]).unwrap().build().unwrap()
        };
        let nothing: ScanResolver = Arc::new(|_, _| Err(SqlError::internal("no scans")));
        let travelled = |plan: &LogicalPlan| decode(&encode(plan)?, library(), nothing.clone());
        // As large a stack as threads of servers have.
        stacker::grow(32 << 20, || {
            for terms in [10, 100, 300] {
                let plan = over(terms);
                assert_eq!(travelled(&plan).unwrap(), plan);
            }
        });
        let deep = stacker::grow(256 << 20, || {
            let deeper = (0..9_000).fold(lit(true), |deep, _| Expr::Not(Box::new(deep)));
            let plan = LogicalPlanBuilder::empty(true).filter(deeper).unwrap().build().unwrap();
            travelled(&plan).unwrap_err().state()
        });
        assert_eq!(deep, SqlState::STATEMENT_TOO_COMPLEX);
    }
}
