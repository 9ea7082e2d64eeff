//! AND, OR, NOT and CASE.
//!
//! DataFusion evaluates both sides of AND over a whole batch, and turns a boolean CASE into ANDs
//! and ORs. Where an operand can fail (`x <> 0 AND 10 / x > 1`), that would raise errors that
//! PostgreSQL does not: such operands are evaluated under a CASE that the optimizer leaves alone.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Cast, Expr, and as df_and, lit, not as df_not, or as df_or};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use crate::casts::{self, CastKind, is_fallible};
use crate::functions::{FunctionEnv, Typed};

/// `left AND right`.
pub fn and(left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let (left, right) = (condition(left, "AND", env)?, condition(right, "AND", env)?);
    if needs_guard(&left, &right) {
        let guarded = lazily(left.clone().is_not_false(), right, lit(false));
        return Ok(Typed::bool(df_and(left, guarded)));
    }
    Ok(Typed::bool(df_and(left, right)))
}

/// `left OR right`.
pub fn or(left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let (left, right) = (condition(left, "OR", env)?, condition(right, "OR", env)?);
    if needs_guard(&left, &right) {
        let guarded = lazily(left.clone().is_not_true(), right, lit(true));
        return Ok(Typed::bool(df_or(left, guarded)));
    }
    Ok(Typed::bool(df_or(left, right)))
}

pub fn not(operand: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    Ok(Typed::bool(df_not(condition(operand, "NOT", env)?)))
}

/// A boolean, as WHERE, AND and their like ask for it: 42804 `argument of WHERE must be type
/// boolean, not type integer`.
pub fn condition(value: Typed, construct: &str, env: &FunctionEnv) -> SqlResult<Expr> {
    if value.ty != PgType::Bool && value.ty != PgType::Unknown {
        return Err(SqlError::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "argument of {construct} must be type boolean, not type {}",
                value.ty.without_modifier()
            ),
        ));
    }
    Ok(casts::cast(value, &PgType::Bool, CastKind::Implicit, env)?.expr)
}

/// CASE WHEN .. THEN .. ELSE .. END over branches already of one type.
pub fn case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>, ty: PgType) -> Typed {
    let fallible = branches.iter().any(|(when, then)| is_fallible(when) || is_fallible(then))
        || otherwise.as_ref().is_some_and(is_fallible);
    let as_integers = ty == PgType::Bool && fallible;
    let wrap = |expr: Expr| if as_integers { as_integer(expr) } else { expr };
    let expr = Expr::Case(Case {
        expr: None,
        when_then_expr: branches
            .into_iter()
            .map(|(when, then)| (Box::new(when), Box::new(wrap(then))))
            .collect(),
        else_expr: otherwise.map(|expr| Box::new(wrap(expr))),
    });
    let expr = if as_integers { expr.eq(lit(1i16)) } else { expr };
    Typed::new(expr, ty)
}

fn as_integer(expr: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), DataType::Int16))
}

/// `CASE WHEN when THEN then ELSE otherwise END`, hidden from the optimizer's rewriting of
/// boolean CASEs by a detour through integers.
fn lazily(when: Expr, then: Expr, otherwise: Expr) -> Expr {
    case(vec![(when, then)], Some(otherwise), PgType::Bool).expr
}

/// The right side can fail, and the left one looks at the same relations, so that it may be there
/// to prevent that. A condition on other relations is left alone: it may be a join condition.
fn needs_guard(left: &Expr, right: &Expr) -> bool {
    if !is_fallible(right) {
        return false;
    }
    let relations = |expr: &Expr| -> BTreeSet<String> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        expr.add_column_ref_names(&mut names);
        names
    };
    relations(right).is_subset(&relations(left))
}

/// Relations that an expression looks at.
trait RelationNames {
    fn add_column_ref_names(&self, names: &mut BTreeSet<String>);
}

impl RelationNames for Expr {
    fn add_column_ref_names(&self, names: &mut BTreeSet<String>) {
        use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
        // The closure never fails.
        let _ = self.apply(|expr| {
            if let Expr::Column(column) = expr {
                names.insert(column.relation.as_ref().map(ToString::to_string).unwrap_or_default());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
}
