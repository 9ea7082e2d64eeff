//! AND, OR, NOT, truth tests and CASE.
//!
//! DataFusion evaluates both sides of AND over a whole batch, and turns a boolean CASE into ANDs
//! and ORs. Where an operand can fail (`x <> 0 AND 10 / x > 1`), that would raise errors that
//! PostgreSQL does not. So conditions are bound as [`Logic`] first, and what can fail in them is
//! evaluated by a CASE that the optimizer leaves alone.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, lit};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use super::compare::{all, any};
use crate::casts::{self, CastKind, is_fallible};
use crate::functions::{FunctionEnv, Typed};

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
    if ty == PgType::Bool && fallible {
        let branches = branches.into_iter().map(|(when, then)| (when, as_integer(then))).collect();
        return Typed::new(integer_case(branches, otherwise.map(as_integer)), ty);
    }
    let boxed = |(when, then)| (Box::new(when), Box::new(then));
    let expr = Expr::Case(Case {
        expr: None,
        when_then_expr: branches.into_iter().map(boxed).collect(),
        else_expr: otherwise.map(Box::new),
    });
    Typed::new(expr, ty)
}

fn as_integer(expr: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), DataType::Int16))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connective {
    And,
    Or,
}

/// `IS TRUE` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    NotTrue,
    False,
    NotFalse,
    Unknown,
    NotUnknown,
}

/// A condition as far as AND, OR, NOT and truth tests go, each operand once.
///
/// Its reader says how ([`Reading`]): PostgreSQL's answer to `a AND b` is NULL, not false, where `a`
/// is NULL and `b` true, and it evaluates `b` there. Where NULL is as good as false, one look at
/// each operand is enough:
///
/// ```text
/// WHERE a AND b AND c    ->    CASE WHEN a IS NOT TRUE THEN 0 WHEN b IS NOT TRUE THEN 0 ELSE c END > 0
/// ```
///
/// That holds for operands of operands, too, with false and true changing places below NOT. So a
/// value that may be NULL is put together from two such readings, and no condition grows by more
/// than a factor, however deep it is.
#[derive(Clone, Debug)]
pub struct Logic {
    form: Form,
    fallible: bool,
}

#[derive(Clone, Debug)]
enum Form {
    Leaf(Expr),
    /// No operand is a chain of the same connective.
    Chain(Connective, Vec<Logic>),
    Not(Box<Logic>),
    Test(Truth, Box<Logic>),
}

/// What the reader of a condition tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// False, NULL and true.
    Exact,
    /// True from the rest: NULL and false may stand for each other.
    Passes,
    /// False from the rest: NULL and true may stand for each other.
    Allows,
}

impl Logic {
    pub fn leaf(expr: Expr) -> Self {
        Self { fallible: is_fallible(&expr), form: Form::Leaf(expr) }
    }

    pub fn chain(connective: Connective, operands: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(operands.len());
        for operand in operands {
            match operand.form {
                Form::Chain(own, operands) if own == connective => flat.extend(operands),
                _ => flat.push(operand),
            }
        }
        Self { fallible: flat.iter().any(|it| it.fallible), form: Form::Chain(connective, flat) }
    }

    pub fn negation(operand: Self) -> Self {
        Self { fallible: operand.fallible, form: Form::Not(Box::new(operand)) }
    }

    pub fn test(truth: Truth, operand: Self) -> Self {
        Self { fallible: operand.fallible, form: Form::Test(truth, Box::new(operand)) }
    }

    /// The condition's value.
    pub fn value(self) -> Expr {
        self.read(Reading::Exact)
    }

    /// An expression that is true where the condition is, as CASE and FILTER ask.
    pub fn passes(self) -> Expr {
        self.read(Reading::Passes)
    }

    /// Conditions that are all true where this one is, joined by AND, as WHERE and ON ask. What
    /// cannot fail stands by itself, for joins, indexes and the pruning of shards; what can is
    /// evaluated for rows only that the others pass, as far as they stand at the same place of a
    /// join or below it. Conditions that join are left alone: the join is by them.
    pub fn qualification(self) -> Expr {
        let operands = match self.form {
            Form::Chain(Connective::And, operands) => operands,
            form => vec![Self { form, fallible: self.fallible }],
        };
        let mut parts = Vec::with_capacity(operands.len());
        let mut guards: Vec<(Relations, Self)> = Vec::new();
        let mut guarded: Vec<(Relations, Vec<Self>)> = Vec::new();
        for operand in operands {
            if operand.is_join() {
                parts.push(operand.passes());
                continue;
            }
            let relations = operand.relations();
            if !operand.fallible {
                let part = operand.plain();
                if can_be_repeated(&part) {
                    let guard = Self { form: Form::Leaf(part.clone()), fallible: false };
                    guards.push((relations, guard));
                }
                parts.push(part);
                continue;
            }
            parts.extend(operand.implied());
            match guarded.iter_mut().find(|(known, _)| *known == relations) {
                Some((_, operands)) => operands.push(operand),
                None => guarded.push((relations, vec![operand])),
            }
        }
        for (relations, operands) in guarded {
            let before = guards.iter().filter(|(known, _)| known.is_subset(&relations));
            let operands = before.map(|(_, guard)| guard.clone()).chain(operands).collect();
            parts.push(Self::chain(Connective::And, operands).passes());
        }
        all(parts)
    }

    #[recursive::recursive]
    fn read(self, reading: Reading) -> Expr {
        if !self.fallible {
            return self.plain();
        }
        match self.form {
            Form::Leaf(expr) => expr,
            Form::Not(operand) => {
                let below = match reading {
                    Reading::Exact => Reading::Exact,
                    Reading::Passes => Reading::Allows,
                    Reading::Allows => Reading::Passes,
                };
                Expr::Not(Box::new(operand.read(below)))
            }
            Form::Test(truth, operand) => truth.of(operand.read(truth.reading())),
            Form::Chain(connective, operands) => read_chain(connective, operands, reading),
        }
    }

    /// Evaluated without regard to what can fail.
    #[recursive::recursive]
    fn plain(self) -> Expr {
        match self.form {
            Form::Leaf(expr) => expr,
            Form::Not(operand) => Expr::Not(Box::new(operand.plain())),
            Form::Test(truth, operand) => truth.of(operand.plain()),
            Form::Chain(connective, operands) => {
                connective.of(operands.into_iter().map(Self::plain).collect())
            }
        }
    }

    /// What cannot fail and is true wherever the condition is, if there is anything to say.
    #[recursive::recursive]
    fn implied(&self) -> Option<Expr> {
        match &self.form {
            _ if !self.fallible => Some(self.clone().plain()).filter(can_be_repeated),
            Form::Chain(Connective::And, operands) => {
                let parts: Vec<_> = operands.iter().filter_map(Self::implied).collect();
                (!parts.is_empty()).then(|| all(parts))
            }
            Form::Chain(Connective::Or, operands) => {
                operands.iter().map(Self::implied).collect::<Option<_>>().map(any)
            }
            Form::Leaf(_) | Form::Not(_) | Form::Test(..) => None,
        }
    }

    /// Whether it compares columns of some relations with those of others.
    fn is_join(&self) -> bool {
        let Form::Leaf(expr) = &self.form else { return false };
        let sides = match expr {
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => [left.as_ref(), right.as_ref()],
            Expr::ScalarFunction(call) => match call.args.as_slice() {
                [left, right] => [left, right],
                _ => return false,
            },
            _ => return false,
        };
        let [left, right] = sides.map(|side| {
            let mut relations = Relations::new();
            add_relations(side, &mut relations);
            relations
        });
        !left.is_empty() && !right.is_empty() && left.is_disjoint(&right)
    }

    fn relations(&self) -> Relations {
        let mut relations = Relations::new();
        self.add_relations(&mut relations);
        relations
    }

    #[recursive::recursive]
    fn add_relations(&self, relations: &mut Relations) {
        match &self.form {
            Form::Leaf(expr) => add_relations(expr, relations),
            Form::Not(operand) | Form::Test(_, operand) => operand.add_relations(relations),
            Form::Chain(_, operands) => operands.iter().for_each(|it| it.add_relations(relations)),
        }
    }

    #[recursive::recursive]
    fn is_volatile(&self) -> bool {
        match &self.form {
            Form::Leaf(expr) => expr.is_volatile(),
            Form::Not(operand) | Form::Test(_, operand) => operand.is_volatile(),
            Form::Chain(_, operands) => operands.iter().any(Self::is_volatile),
        }
    }
}

/// A chain some operand of which can fail. What cannot comes first.
fn read_chain(connective: Connective, operands: Vec<Logic>, reading: Reading) -> Expr {
    if reading == Reading::Exact && operands.iter().any(Logic::is_volatile) {
        // One that is evaluated twice would be two values.
        return connective.of(operands.into_iter().map(Logic::value).collect());
    }
    let (mut fallible, safe): (Vec<_>, Vec<_>) = operands.into_iter().partition(|it| it.fallible);
    let safe: Vec<Expr> = safe.into_iter().map(Logic::plain).collect();
    let decides = |operand: Expr| match (connective, reading) {
        (Connective::And, Reading::Passes) => operand.is_not_true(),
        (Connective::And, Reading::Exact | Reading::Allows) => operand.is_false(),
        (Connective::Or, Reading::Passes | Reading::Exact) => operand.is_true(),
        (Connective::Or, Reading::Allows) => operand.is_not_false(),
    };
    let decided = || lit(i16::from(connective == Connective::Or));
    let last = fallible.pop();
    if reading == Reading::Exact {
        return match last {
            // One operand can be NULL in its own place.
            Some(last) if fallible.is_empty() => {
                let last = last.value();
                if safe.is_empty() {
                    return last;
                }
                let safe = connective.of(safe);
                let rest =
                    integer_case(vec![(decides(safe.clone()), decided())], Some(as_integer(last)));
                connective.of(vec![safe, rest])
            }
            last => {
                let leaf = |expr| Logic { form: Form::Leaf(expr), fallible: false };
                let operands = safe.into_iter().map(leaf).chain(fallible).chain(last).collect();
                let whole = Logic::chain(connective, operands);
                let is_true = whole.clone().read(Reading::Passes);
                let is_false = whole.read(Reading::Allows).is_false();
                integer_case(vec![(is_true, lit(1i16)), (is_false, lit(0i16))], None)
            }
        };
    }
    let safe = (!safe.is_empty()).then(|| connective.of(safe));
    let branches: Vec<_> = safe
        .into_iter()
        .chain(fallible.into_iter().map(|operand| operand.read(reading)))
        .map(|operand| (decides(operand), decided()))
        .collect();
    match last.map(|last| last.read(reading)) {
        Some(last) if branches.is_empty() => last,
        last => integer_case(branches, last.map(as_integer)),
    }
}

/// A boolean CASE, hidden from the optimizer's rewriting of these by a detour through integers.
fn integer_case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    let boxed = |(when, then)| (Box::new(when), Box::new(then));
    let case = Case {
        expr: None,
        when_then_expr: branches.into_iter().map(boxed).collect(),
        else_expr: otherwise.map(Box::new),
    };
    // Equality the optimizer would take into the branches, where all of these are constants.
    Expr::Case(case).gt(lit(0i16))
}

impl Connective {
    /// The operands in a tree as deep as the logarithm of their number.
    fn of(self, operands: Vec<Expr>) -> Expr {
        match self {
            Self::And => all(operands),
            Self::Or => any(operands),
        }
    }
}

impl Truth {
    fn of(self, operand: Expr) -> Expr {
        let operand = Box::new(operand);
        match self {
            Self::True => Expr::IsTrue(operand),
            Self::NotTrue => Expr::IsNotTrue(operand),
            Self::False => Expr::IsFalse(operand),
            Self::NotFalse => Expr::IsNotFalse(operand),
            Self::Unknown => Expr::IsUnknown(operand),
            Self::NotUnknown => Expr::IsNotUnknown(operand),
        }
    }

    /// What the test tells apart.
    fn reading(self) -> Reading {
        match self {
            Self::True | Self::NotTrue => Reading::Passes,
            Self::False | Self::NotFalse => Reading::Allows,
            Self::Unknown | Self::NotUnknown => Reading::Exact,
        }
    }
}

/// Names of relations that an expression looks at, those of outer queries among them.
type Relations = BTreeSet<String>;

fn add_relations(expr: &Expr, names: &mut Relations) {
    // The closure never fails.
    let _ = expr.apply(|expr| {
        let name = |relation: Option<&datafusion::common::TableReference>| {
            relation.map(ToString::to_string).unwrap_or_default()
        };
        if let Expr::Column(column) = expr {
            names.insert(name(column.relation.as_ref()));
        }
        if let Expr::OuterReferenceColumn(_, column) = expr {
            names.insert(format!("outer {}", name(column.relation.as_ref())));
        }
        Ok(TreeNodeRecursion::Continue)
    });
}

/// Whether a second evaluation is the same, and cheap: no subquery.
fn can_be_repeated(expr: &Expr) -> bool {
    let costly = |node: &Expr| {
        Ok(matches!(node, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))
    };
    !expr.is_volatile() && !expr.exists(costly).unwrap_or(true)
}

#[cfg(test)]
mod tests {
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

    fn can_fail() -> Logic {
        let env = crate::functions::tests::env();
        let column = Typed::new(col("t.a"), PgType::Int4);
        let quotient = crate::operators::binary("/", column.clone(), column, &env).unwrap();
        let logic = Logic::leaf(quotient.expr.gt(lit(1i32)));
        assert!(logic.fallible);
        logic
    }

    #[test]
    fn conditions_that_can_fail_grow_by_a_factor() {
        let (fails, safe) = (can_fail(), Logic::leaf(col("t.a").gt(lit(0i32))));
        let chain = |length: usize, connective: fn(usize) -> Connective| {
            (0..length).fold(safe.clone(), |chain, at| {
                let next = if at % 3 == 0 { safe.clone() } else { fails.clone() };
                Logic::chain(connective(at), vec![chain, next])
            })
        };
        let alternating =
            |at: usize| if at.is_multiple_of(2) { Connective::And } else { Connective::Or };
        for connective in [|_| Connective::And, |_| Connective::Or, alternating] {
            for read in [Logic::value, Logic::passes, Logic::qualification] {
                let size = |length: usize| nodes(&read(chain(length, connective)));
                assert!(size(200) < 3 * size(100), "{} {}", size(100), size(200));
            }
        }
    }

    #[test]
    fn what_cannot_fail_stands_by_itself_in_a_qualification() {
        let is = |value: i32| Logic::leaf(col("t.id").eq(lit(value)));
        let either = |value: i32| Logic::chain(Connective::And, vec![can_fail(), is(value)]);
        let or = Logic::chain(Connective::Or, vec![either(1), either(2)]);
        let whole = Logic::chain(Connective::And, vec![or, is(3)]).qualification();
        let parts = datafusion::logical_expr::utils::split_conjunction(&whole);
        let known = col("t.id").eq(lit(1i32)).or(col("t.id").eq(lit(2i32)));
        assert!(parts.contains(&&known), "{whole}");
        assert!(parts.contains(&&col("t.id").eq(lit(3i32))), "{whole}");
        assert_eq!(parts.len(), 3, "{whole}");
    }

    #[test]
    fn conditions_that_join_are_left_alone() {
        let env = crate::functions::tests::env();
        let column = |name: &str| Typed::new(col(name), PgType::Int4);
        let quotient = crate::operators::binary("/", column("u.a"), column("u.b"), &env).unwrap();
        let join = col("t.a").eq(quotient.expr);
        let safe = Logic::leaf(col("t.b").gt(lit(0i32)));
        let whole = Logic::chain(Connective::And, vec![safe, Logic::leaf(join.clone())]);
        let whole = whole.qualification();
        assert!(datafusion::logical_expr::utils::split_conjunction(&whole).contains(&&join));
    }
}
