//! AND, OR, NOT and CASE.
//!
//! DataFusion evaluates both sides of AND over a whole batch, and turns a boolean CASE into ANDs
//! and ORs. Where an operand can fail (`x <> 0 AND 10 / x > 1`), that would raise errors that
//! PostgreSQL does not: such operands are evaluated under a CASE that the optimizer leaves alone.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, binary_expr, lit, not as df_not};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use crate::casts::{self, CastKind, is_fallible};
use crate::functions::{FunctionEnv, Typed};

/// `left AND right`.
pub fn and(left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let (left, right) = (condition(left, "AND", env)?, condition(right, "AND", env)?);
    Ok(Typed::bool(connected(left, right, Connective::And)))
}

/// `left OR right`.
pub fn or(left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let (left, right) = (condition(left, "OR", env)?, condition(right, "OR", env)?);
    Ok(Typed::bool(connected(left, right, Connective::Or)))
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

#[derive(Clone, Copy)]
enum Connective {
    And,
    Or,
}

impl Connective {
    fn operator(self) -> Operator {
        match self {
            Self::And => Operator::And,
            Self::Or => Operator::Or,
        }
    }

    /// The left side does not decide.
    fn is_open(self, left: Expr) -> Expr {
        match self {
            Self::And => left.is_not_false(),
            Self::Or => left.is_not_true(),
        }
    }

    fn decided(self) -> Expr {
        lit(matches!(self, Self::Or))
    }
}

/// `left AND right`, where a right side that can fail is evaluated for the rows only that the left
/// one leaves open. In a chain, what is guarded already takes the next one in, and what cannot fail
/// comes before it: so each operand stands there twice, as itself and as a guard.
///
/// ```text
/// a AND b AND c    ->    a AND CASE WHEN a IS NOT FALSE
///                              THEN b AND CASE WHEN b IS NOT FALSE THEN c ELSE false END
///                              ELSE false END
/// ```
#[recursive::recursive]
fn connected(left: Expr, right: Expr, connective: Connective) -> Expr {
    let operator = connective.operator();
    if !looks_at_no_more_than(&right, &left) {
        return binary_expr(left, operator, right);
    }
    let fails = is_fallible(&right);
    let (first, rest) = match split_guarded(left, connective) {
        Ok((first, rest)) if fails => (first, connected(rest, right, connective)),
        Ok((first, rest)) => (binary_expr(first, operator, right), rest),
        Err(left) if fails => (left, right),
        Err(left) => return binary_expr(left, operator, right),
    };
    let rest = lazily(connective.is_open(first.clone()), rest, connective.decided());
    binary_expr(first, operator, rest)
}

/// `first AND rest guarded by first` as these two, or the expression as it was.
fn split_guarded(expr: Expr, connective: Connective) -> Result<(Expr, Expr), Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left: first, op, right: rest })
            if op == connective.operator() =>
        {
            match guarded_by(*rest, &first, connective) {
                Ok(rest) => Ok((*first, rest)),
                Err(rest) => Err(binary_expr(*first, op, rest)),
            }
        }
        other => Err(other),
    }
}

/// What is evaluated where `first` does not decide, or the expression as it was.
fn guarded_by(expr: Expr, first: &Expr, connective: Connective) -> Result<Expr, Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, .. }) = &expr else {
        return Err(expr);
    };
    let Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(otherwise) }) = left.as_ref()
    else {
        return Err(expr);
    };
    match (when_then_expr.as_slice(), otherwise.as_ref()) {
        ([(when, then)], Expr::Cast(otherwise))
            if **when == connective.is_open(first.clone())
                && *otherwise.expr == connective.decided() =>
        {
            match then.as_ref() {
                Expr::Cast(rest) => Ok(rest.expr.as_ref().clone()),
                _ => Err(expr),
            }
        }
        _ => Err(expr),
    }
}

/// `CASE WHEN when THEN then ELSE otherwise END`, hidden from the optimizer's rewriting of
/// boolean CASEs by a detour through integers.
fn lazily(when: Expr, then: Expr, otherwise: Expr) -> Expr {
    case(vec![(when, then)], Some(otherwise), PgType::Bool).expr
}

/// Whether a condition looks at relations that the other one does, too, which may be there to
/// prevent that it fails. A condition on other relations is left alone: it may be a join condition.
fn looks_at_no_more_than(condition: &Expr, other: &Expr) -> bool {
    let relations = |expr: &Expr| -> BTreeSet<String> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        expr.add_column_ref_names(&mut names);
        names
    };
    relations(condition).is_subset(&relations(other))
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

#[cfg(test)]
mod tests {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    use datafusion::logical_expr::col;

    use super::*;

    fn nodes(expr: &Expr) -> usize {
        let mut count = 0;
        let counted = expr.apply(|_| {
            count += 1;
            Ok(TreeNodeRecursion::Continue)
        });
        counted.map(|_| count).unwrap()
    }

    #[test]
    fn chains_of_conditions_that_can_fail_grow_by_a_constant() {
        let env = crate::functions::tests::env();
        let column = Typed::new(col("t.a"), PgType::Int4);
        let quotient = crate::operators::binary("/", column.clone(), column.clone(), &env).unwrap();
        let fails = Typed::bool(quotient.expr.gt(lit(1i32)));
        assert!(is_fallible(&fails.expr));
        let safe = Typed::bool(column.expr.gt(lit(0i32)));
        let size = |length: usize, connect: fn(Typed, Typed, &FunctionEnv) -> SqlResult<Typed>| {
            let chain = (0..length).fold(safe.clone(), |chain, at| {
                let next = if at % 2 == 0 { fails.clone() } else { safe.clone() };
                connect(chain, next, &env).unwrap()
            });
            nodes(&chain.expr)
        };
        for connect in [and, or] {
            assert!(size(40, connect) < 3 * size(20, connect), "{}", size(40, connect));
        }
    }
}
