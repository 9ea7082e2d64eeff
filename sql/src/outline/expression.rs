//! Deep expressions on the wire: as with plans, what is deep in one travels as bytes of its own.
//! A call of a function that is only there for this stands for it.
//!
//! ```text
//! +(+(+(.. (16 operators) ..)))    ->    +(+(.. outlined[bytes of +(+(.. outlined[..]))] ..))
//! ```

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// How many nodes one message may have below each other: it nests up to three times as deep, and
/// what stands around it nests, too.
const DEEPEST: usize = 16;

/// An expression that is written apart from the one that it is in.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct OutlinedExpression {
    content: Content,
    field: FieldRef,
    signature: Signature,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Content {
    /// On its way out.
    Written(Vec<u8>),
    /// On its way in; what is outlined in it still is.
    Read(Box<Expr>),
}

impl OutlinedExpression {
    pub const NAME: &str = "outlined";

    fn new(content: Content, field: FieldRef) -> Self {
        Self { content, field, signature: Signature::nullary(Volatility::Immutable) }
    }

    /// The bytes that stand for a function, if it is one of these.
    pub fn bytes(function: &ScalarUDF) -> Option<&[u8]> {
        match &function.inner().downcast_ref::<Self>()?.content {
            Content::Written(bytes) => Some(bytes),
            Content::Read(_) => None,
        }
    }

    /// The function that stands for what was written: an expression within a cast, which says what
    /// its type is.
    pub fn read(written: Expr) -> Option<ScalarUDF> {
        let Expr::Cast(Cast { expr, field }) = written else { return None };
        Some(ScalarUDF::new_from_impl(Self::new(Content::Read(expr), field)))
    }
}

/// The plan with what is deep in its expressions outlined. `write` gives an expression's bytes.
pub fn outline(
    plan: LogicalPlan,
    write: &dyn Fn(&Expr) -> EngineResult<Vec<u8>>,
) -> EngineResult<LogicalPlan> {
    let outlined = plan.transform_up_with_subqueries(|node| {
        let mut deep = false;
        node.apply_expressions(|expr| {
            deep |= height(expr) > DEEPEST;
            Ok(if deep { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !deep {
            return Ok(Transformed::no(node));
        }
        let schema = below(&node)?;
        node.map_expressions(|expr| {
            cut(expr, &schema, write).map(|(expr, _)| Transformed::yes(expr))
        })
    })?;
    Ok(outlined.data)
}

/// The plan as it was before [`outline`].
pub fn inline(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_down(|node| {
                let Expr::ScalarFunction(call) = &node else { return Ok(Transformed::no(node)) };
                let outlined = call.func.inner().downcast_ref::<OutlinedExpression>();
                match outlined.map(|outlined| &outlined.content) {
                    Some(Content::Read(expr)) => Ok(Transformed::yes(expr.as_ref().clone())),
                    _ => Ok(Transformed::no(node)),
                }
            })
        })
    })
    .data()
}

/// The columns that a node's expressions are over.
fn below(node: &LogicalPlan) -> EngineResult<DFSchema> {
    match node {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())
        }
        node if node.inputs().is_empty() => Ok(node.schema().as_ref().clone()),
        node => Ok(merge_schema(&node.inputs())),
    }
}

/// How many nodes it has below each other.
#[recursive::recursive]
pub fn height(expr: &Expr) -> usize {
    let mut deepest = 0;
    // The closure never fails.
    let _ = expr.apply_children(|child| {
        deepest = deepest.max(height(child));
        Ok(TreeNodeRecursion::Continue)
    });
    deepest + 1
}

/// The expression, and its height.
#[recursive::recursive]
fn cut(
    expr: Expr,
    schema: &DFSchema,
    write: &dyn Fn(&Expr) -> EngineResult<Vec<u8>>,
) -> EngineResult<(Expr, usize)> {
    let mut deepest = 0;
    let expr = expr.map_children(|child| {
        let (child, height) = cut(child, schema, write)?;
        if height < DEEPEST || !is_scalar(&child) {
            deepest = deepest.max(height);
            return Ok(Transformed::yes(child));
        }
        deepest = deepest.max(1);
        let (_, field) = child.to_field(schema)?;
        let bytes = write(&Expr::Cast(Cast::new_from_field(Box::new(child), field.clone())))?;
        let outlined = OutlinedExpression::new(Content::Written(bytes), field);
        let function = Arc::new(ScalarUDF::new_from_impl(outlined));
        let call = ScalarFunction::new_udf(function, Vec::new());
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    })?;
    Ok((expr.data, deepest + 1))
}

/// Whether it is a value of a row, and has no name that others know it by.
fn is_scalar(expr: &Expr) -> bool {
    let bound_to_place = |node: &Expr| {
        Ok(matches!(
            node,
            Expr::Alias(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::GroupingSet(_)
                | Expr::Unnest(_)
                | Expr::Lambda(_)
                | Expr::LambdaVariable(_)
        ))
    };
    !expr.exists(bound_to_place).unwrap_or(true)
}

impl ScalarUDFImpl for OutlinedExpression {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// That of the expression: columns are called by it.
    fn schema_name(&self, _: &[Expr]) -> EngineResult<String> {
        Ok(match &self.content {
            Content::Read(expr) => expr.schema_name().to_string(),
            Content::Written(_) => Self::NAME.to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> EngineResult<FieldRef> {
        Ok(self.field.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        Err(DataFusionError::Internal("an outlined expression was not put back".into()))
    }
}
