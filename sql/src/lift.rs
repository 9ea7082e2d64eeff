//! Constants apart from the plan that they are in: statements that differ in nothing else have one
//! plan, which need not be made anew for each.
//!
//! ```text
//!   Filter: company_id = 5 AND at > '2026-01-01'   ->   Filter: company_id = $1 AND at > $2
//!                                                       [5, '2026-01-01']
//! ```
//!
//! Only what plain columns are compared with is lifted, so that a plan that is right for one value
//! is right for all. Plans with outer joins and subqueries stay as they are: there the optimizer
//! tries conditions out, on rows of NULLs, to see how far they may go.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, JoinType, ScalarValue, internal_err};
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, Filter, Join, LogicalPlan, Operator, TableScan,
};

/// Of operators and expressions. Longer plans seldom come twice, and are not worth the keeping.
const MOST_NODES: usize = 2000;

/// The plan without its constants, and these. A plan with nothing to lift comes back as it was.
pub fn lift(plan: LogicalPlan) -> EngineResult<(LogicalPlan, Vec<ScalarValue>)> {
    if !is_plain(&plan)? {
        return Ok((plan, Vec::new()));
    }
    let mut constants = Vec::new();
    let lifted = plan.transform_down(|node| {
        Ok(match node {
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let of = |column: &Column| type_in(input.schema(), column);
                let lifted = lift_condition(predicate, &of, &mut constants)?;
                let filter = LogicalPlan::Filter(Filter::try_new(lifted.data, input)?);
                Transformed::new(filter, lifted.transformed, TreeNodeRecursion::Continue)
            }
            LogicalPlan::TableScan(mut scan) => {
                let schema = scan.source.schema();
                let of = |column: &Column| {
                    schema.field_with_name(&column.name).ok().map(|field| field.data_type().clone())
                };
                let mut changed = false;
                let mut filters = Vec::with_capacity(scan.filters.len());
                for filter in std::mem::take(&mut scan.filters) {
                    let lifted = lift_condition(filter, &of, &mut constants)?;
                    changed |= lifted.transformed;
                    filters.push(lifted.data);
                }
                scan.filters = filters;
                Transformed::new(LogicalPlan::TableScan(scan), changed, TreeNodeRecursion::Continue)
            }
            node => Transformed::no(node),
        })
    })?;
    Ok((lifted.data, constants))
}

/// The plan that [`lift`] took the constants from, or one made of it, with these constants.
pub fn settle(plan: LogicalPlan, constants: &[ScalarValue]) -> EngineResult<LogicalPlan> {
    if constants.is_empty() {
        return Ok(plan);
    }
    let settled = plan.transform_down(|node| {
        let is_condition = matches!(
            node,
            LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(TableScan { .. })
                | LogicalPlan::Join(_)
        );
        node.map_expressions(|expr| {
            expr.transform_down(|expr| {
                let Expr::Placeholder(Placeholder { id, .. }) = &expr else {
                    return Ok(Transformed::no(expr));
                };
                let constant = place(id).and_then(|at| constants.get(at));
                match constant {
                    Some(constant) if is_condition => {
                        Ok(Transformed::yes(Expr::Literal(constant.clone(), None)))
                    }
                    // Elsewhere a column's name could depend on it.
                    Some(_) => internal_err!("a constant of a condition has become a value"),
                    None => internal_err!("a plan has no constant {id}"),
                }
            })
        })
    })?;
    Ok(settled.data)
}

/// `$3` is the one at 2.
fn place(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// Whether the optimizer looks at no constant of the plan's conditions but to compute it.
fn is_plain(plan: &LogicalPlan) -> EngineResult<bool> {
    let (mut plain, mut nodes) = (true, 0);
    plan.apply(|node| {
        nodes += 1;
        plain &= nodes <= MOST_NODES;
        plain &= match node {
            LogicalPlan::Join(Join { join_type, .. }) => *join_type == JoinType::Inner,
            LogicalPlan::Extension(_) | LogicalPlan::Subquery(_) => false,
            LogicalPlan::RecursiveQuery(_) => false,
            _ => true,
        };
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                nodes += 1;
                plain &= nodes <= MOST_NODES;
                plain &= !matches!(
                    expr,
                    Expr::Placeholder(_)
                        | Expr::OuterReferenceColumn(..)
                        | Expr::Exists(_)
                        | Expr::InSubquery(_)
                        | Expr::ScalarSubquery(_)
                        | Expr::SetComparison(_)
                );
                Ok(if plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        })?;
        Ok(if plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(plain)
}

fn type_in(schema: &DFSchema, column: &Column) -> Option<DataType> {
    schema.field_from_column(column).ok().map(|field| field.data_type().clone())
}

/// Lifts out of a condition that is one of several which must all hold.
fn lift_condition(
    condition: Expr,
    type_of: &dyn Fn(&Column) -> Option<DataType>,
    constants: &mut Vec<ScalarValue>,
) -> EngineResult<Transformed<Expr>> {
    condition.transform_down(|expr| {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => Transformed::no(expr),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                let ty = column_type(&left, type_of);
                match ty.and_then(|ty| lift_constant(&right, &ty, constants)) {
                    Some(lifted) => {
                        let right = Box::new(lifted);
                        let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
                        Transformed::new(expr, true, TreeNodeRecursion::Jump)
                    }
                    None => jump(Expr::BinaryExpr(BinaryExpr { left, op, right })),
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let ty = column_type(&expr, type_of);
                let ends = ty.and_then(|ty| {
                    let before = constants.len();
                    let low = lift_constant(&low, &ty, constants)?;
                    let high = lift_constant(&high, &ty, constants);
                    if high.is_none() {
                        constants.truncate(before);
                    }
                    Some((low, high?))
                });
                match ends {
                    Some((low, high)) => {
                        let (low, high) = (Box::new(low), Box::new(high));
                        let expr = Expr::Between(Between { expr, negated: false, low, high });
                        Transformed::new(expr, true, TreeNodeRecursion::Jump)
                    }
                    None => jump(Expr::Between(Between { expr, negated: false, low, high })),
                }
            }
            expr => jump(expr),
        })
    })
}

fn jump(expr: Expr) -> Transformed<Expr> {
    Transformed::new(expr, false, TreeNodeRecursion::Jump)
}

fn is_comparison(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

fn column_type(expr: &Expr, type_of: &dyn Fn(&Column) -> Option<DataType>) -> Option<DataType> {
    match expr {
        Expr::Column(column) => type_of(column),
        _ => None,
    }
}

/// What stands for a constant of the column's own type. A condition on a boolean is the boolean,
/// as soon as its other side is known.
fn lift_constant(expr: &Expr, ty: &DataType, constants: &mut Vec<ScalarValue>) -> Option<Expr> {
    let value = match expr {
        Expr::Literal(value, _) => value.clone(),
        Expr::Cast(Cast { expr, field }) if field.data_type().is_integer() => match expr.as_ref() {
            Expr::Literal(value, _) if value.data_type().is_integer() => {
                value.cast_to(field.data_type()).ok()?
            }
            _ => return None,
        },
        _ => return None,
    };
    if value.is_null() || value.data_type() != *ty || *ty == DataType::Boolean {
        return None;
    }
    constants.push(value);
    let field = Field::new("", ty.clone(), false).into();
    let id = format!("${}", constants.len());
    Some(Expr::Placeholder(Placeholder::new_with_field(id, Some(field))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::Schema;
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};

    use super::*;
    use crate::table::ScanSource;

    fn scan(name: &str) -> LogicalPlanBuilder {
        let fields = vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8View, true),
            Field::new("c", DataType::Boolean, true),
        ];
        LogicalPlanBuilder::scan(name, ScanSource::input(Arc::new(Schema::new(fields))), None)
            .unwrap()
    }

    fn lifted(plan: LogicalPlan) -> (String, Vec<ScalarValue>) {
        let (shape, constants) = lift(plan.clone()).unwrap();
        assert_eq!(settle(shape.clone(), &constants).unwrap(), plan);
        (shape.to_string().lines().next().unwrap().to_owned(), constants)
    }

    #[test]
    fn constants_of_columns_own_types_are_lifted() {
        let text = |text: &str| lit(ScalarValue::Utf8View(Some(text.into())));
        let condition = col("a").eq(lit(5i64)).and(col("b").lt(text("x")));
        let plan = scan("t").filter(condition).unwrap().build().unwrap();
        let (shape, constants) = lifted(plan);
        assert_eq!(shape, "Filter: t.a = $1 AND t.b < $2");
        assert_eq!(constants.len(), 2);
        let plan = scan("t").filter(col("a").between(lit(5i64), lit(7i64))).unwrap();
        assert_eq!(lifted(plan.build().unwrap()).0, "Filter: t.a BETWEEN $1 AND $2");
    }

    #[test]
    fn the_rest_stays() {
        for condition in [
            col("a").eq(lit(5i64)).or(col("a").eq(lit(6i64))),
            col("a").eq(lit(ScalarValue::Int64(None))),
            col("c").eq(lit(true)),
            (col("a") + lit(1i64)).eq(lit(5i64)),
            col("a").not_eq(lit(5i64)),
            lit(5i64).eq(col("a")),
            col("a").not_between(lit(5i64), lit(7i64)),
        ] {
            let plan = scan("t").filter(condition).unwrap().build().unwrap();
            assert_eq!(
                lifted(plan.clone()),
                (plan.to_string().lines().next().unwrap().to_owned(), vec![])
            );
        }
        let on = (vec!["t.a"], vec!["u.a"]);
        let outer = scan("t").join(scan("u").build().unwrap(), JoinType::Left, on, None).unwrap();
        let plan = outer.filter(col("t.a").eq(lit(5i64))).unwrap().build().unwrap();
        assert!(lifted(plan).1.is_empty());
    }

    #[test]
    fn a_constant_that_is_missing_or_elsewhere_is_an_error() {
        let plan = scan("t").filter(col("a").eq(lit(5i64))).unwrap().build().unwrap();
        let (shape, constants) = lift(plan).unwrap();
        let longer = [constants.clone(), constants.clone()].concat();
        settle(shape.clone(), &longer).unwrap();
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = shape else {
            panic!("a filter")
        };
        let plan = LogicalPlanBuilder::from(input.as_ref().clone()).project([predicate]).unwrap();
        assert!(settle(plan.build().unwrap(), &constants).is_err());
    }
}
