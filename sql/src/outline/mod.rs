//! Deep plans on the wire. Messages nest as plans do, and those who read messages allow a hundred
//! levels: about forty plan nodes. So what is deep in a plan travels as bytes of its own, under a
//! node that stands for it.
//!
//! ```text
//! Join                        Join
//!   Join                        Join
//!     ..   (8 nodes)   ->         ..
//!       Join                        Outlined: bytes of Join .. -> Outlined: bytes of ..
//! ```

pub mod expression;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// How many nodes one message may have below each other.
const DEEPEST: usize = 8;

/// A plan that is written apart from the one that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outlined {
    pub plan: Arc<LogicalPlan>,
}

impl Outlined {
    pub fn into_extension(plan: LogicalPlan) -> Extension {
        Extension { node: Arc::new(Self { plan: Arc::new(plan) }) }
    }

    fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref::<Self>(),
            _ => None,
        }
    }
}

/// The plan with what is deep in it outlined.
pub fn outline(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    if height(&plan) <= DEEPEST { Ok(plan) } else { cut(plan).map(|(plan, _)| plan) }
}

/// The plan as it was before [`outline`].
pub fn inline(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let whole = plan.transform_up(|node| match Outlined::of(&node) {
        Some(outlined) => inline(outlined.plan.as_ref().clone()).map(Transformed::yes),
        None => Ok(Transformed::no(node)),
    })?;
    Ok(whole.data)
}

#[recursive::recursive]
fn height(plan: &LogicalPlan) -> usize {
    1 + plan.inputs().into_iter().map(height).max().unwrap_or(0)
}

/// The plan, and its height.
#[recursive::recursive]
fn cut(plan: LogicalPlan) -> EngineResult<(LogicalPlan, usize)> {
    let mut deepest = 0;
    let plan = plan.map_children(|child| {
        let (child, height) = cut(child)?;
        if height < DEEPEST {
            deepest = deepest.max(height);
            return Ok(Transformed::yes(child));
        }
        deepest = deepest.max(1);
        Ok(Transformed::yes(LogicalPlan::Extension(Outlined::into_extension(child))))
    })?;
    Ok((plan.data, deepest + 1))
}

impl PartialOrd for Outlined {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Outlined {
    fn name(&self) -> &str {
        "Outlined"
    }

    /// None: who walks the plan stops here.
    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.plan.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlined")
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> EngineResult<Self> {
        match inputs.is_empty() && expressions.is_empty() {
            true => Ok(self.clone()),
            false => Err(DataFusionError::Internal("Outlined has no input".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};

    use super::*;

    #[test]
    fn what_was_outlined_is_put_back() {
        let deep = |filters: usize| {
            let one = LogicalPlanBuilder::empty(true).project([lit(1).alias("a")]).unwrap();
            let deep = (0..filters).fold(one, |plan, _| plan.filter(lit(true)).unwrap());
            deep.build().unwrap()
        };
        let plan = deep(50);
        let outlined = outline(plan.clone()).unwrap();
        assert!(height(&outlined) <= DEEPEST);
        assert_eq!(inline(outlined).unwrap(), plan);
        assert_eq!(outline(deep(3)).unwrap(), deep(3));
    }
}
