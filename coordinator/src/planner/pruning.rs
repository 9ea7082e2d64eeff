//! Which shard groups can hold rows that satisfy a predicate.
//!
//! Only equality tells: `column = constant`, `IN`, `= ANY (array)`, and their combinations with
//! AND and OR; a comparison with NULL is never true, and the column itself is never NULL. So do
//! comparisons of the column's hash (`worker_hash`). All else says nothing, which keeps every group.

use datafusion::arrow::array::Array;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use satsuma_common::hash::partition_hash_array;
use satsuma_common::{GroupId, PgType};

use super::locus::GroupSet;
use super::topology::TablePlace;

/// The name of `value = ANY (array)` where the array is not written out in the plan.
const EQUALS_ANY: &str = "any =(anyelement,anyarray)";

/// The name of the column's hash, before the types that it was called with.
const TOKEN: &str = "worker_hash(any)";

/// The groups of `place` that can hold rows for which every predicate is true, at least one. `is_key` tells
/// whether an expression is the distribution column, whose type is `ty`.
pub fn groups(
    place: &TablePlace,
    ty: &PgType,
    predicates: &[Expr],
    is_key: &dyn Fn(&Expr) -> bool,
) -> GroupSet {
    let pruning = Pruning { place, ty, is_key };
    let all = GroupSet(place.groups.iter().map(|(_, group)| *group).collect());
    predicates
        .iter()
        .filter_map(|predicate| pruning.of(predicate))
        .fold(all.clone(), |groups, some| groups.intersection(&some))
        .or_one_of(&all)
}

/// The one value that the column must have for every predicate to be true, and its group.
pub fn value(
    place: &TablePlace,
    ty: &PgType,
    predicates: &[Expr],
    is_key: &dyn Fn(&Expr) -> bool,
) -> Option<(ScalarValue, GroupId)> {
    let pruning = Pruning { place, ty, is_key };
    let value = predicates.iter().find_map(|predicate| pruning.value(predicate))?;
    let group = pruning.of_value(value)?.0.first().copied()?;
    Some((value.clone(), group))
}

struct Pruning<'a> {
    place: &'a TablePlace,
    ty: &'a PgType,
    is_key: &'a dyn Fn(&Expr) -> bool,
}

impl Pruning<'_> {
    /// `None`: the predicate says nothing.
    fn of(&self, predicate: &Expr) -> Option<GroupSet> {
        match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                match (self.of(left), self.of(right)) {
                    (Some(left), Some(right)) => Some(left.intersection(&right)),
                    (one, other) => one.or(other),
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                Some(self.of(left)?.union(&self.of(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (key, Expr::Literal(value, _)) if self.is_key(key) => self.of_value(value),
                    (Expr::Literal(value, _), key) if self.is_key(key) => self.of_value(value),
                    (token, Expr::Literal(bound, _)) if self.is_token(token) => {
                        self.of_tokens(Operator::Eq, bound)
                    }
                    _ => None,
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match right.as_ref() {
                Expr::Literal(bound, _) if self.is_token(left) => self.of_tokens(*op, bound),
                _ => None,
            },
            Expr::InList(InList { expr, list, negated: false }) if self.is_key(expr) => {
                list.iter().try_fold(GroupSet::default(), |groups, item| match item {
                    Expr::Literal(value, _) => Some(groups.union(&self.of_value(value)?)),
                    _ => None,
                })
            }
            Expr::ScalarFunction(call) if call.name().starts_with(EQUALS_ANY) => {
                match &call.args[..] {
                    [key, Expr::Literal(values, _)] if self.is_key(key) => self.of_array(values),
                    _ => None,
                }
            }
            Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) => Some(GroupSet::default()),
            Expr::IsNull(key) if self.is_key(key) => Some(GroupSet::default()),
            Expr::Alias(alias) => self.of(&alias.expr),
            _ => None,
        }
    }

    /// The value that the predicate requires.
    fn value<'e>(&self, predicate: &'e Expr) -> Option<&'e ScalarValue> {
        match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.value(left).or_else(|| self.value(right))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (key, Expr::Literal(value, _)) | (Expr::Literal(value, _), key) => {
                        self.is_key(key).then_some(value)
                    }
                    _ => None,
                }
            }
            Expr::Alias(alias) => self.value(&alias.expr),
            _ => None,
        }
    }

    /// The column, or an integer column as a wider integer: equal values hash alike.
    fn is_key(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Cast(cast) if self.ty.is_integer() && cast.field.data_type().is_integer() => {
                (self.is_key)(&cast.expr)
            }
            other => (self.is_key)(other),
        }
    }

    fn is_token(&self, expr: &Expr) -> bool {
        let Expr::ScalarFunction(call) = expr else { return false };
        call.name().starts_with(TOKEN) && matches!(&call.args[..], [key] if self.is_key(key))
    }

    fn of_array(&self, values: &ScalarValue) -> Option<GroupSet> {
        let ScalarValue::List(list) = values else { return None };
        if list.is_null(0) {
            return Some(GroupSet::default());
        }
        let items = list.value(0);
        (0..items.len()).try_fold(GroupSet::default(), |groups, at| {
            let value = ScalarValue::try_from_array(&items, at).ok()?;
            Some(groups.union(&self.of_value(&value)?))
        })
    }

    /// The groups of tokens that compare so with `bound`.
    fn of_tokens(&self, op: Operator, bound: &ScalarValue) -> Option<GroupSet> {
        let bound = match bound {
            ScalarValue::Int32(bound) => i64::from((*bound)?),
            ScalarValue::Int64(bound) => (*bound)?,
            _ => return None,
        };
        let may_hold = |low: i64, high: i64| match op {
            Operator::Eq => Some(low <= bound && bound <= high),
            Operator::Lt => Some(low < bound),
            Operator::LtEq => Some(low <= bound),
            Operator::Gt => Some(high > bound),
            Operator::GtEq => Some(high >= bound),
            _ => None,
        };
        let mut groups = GroupSet::default();
        for (range, group) in self.place.groups.iter() {
            if may_hold(range.low().into(), range.high().into())? {
                groups.0.insert(*group);
            }
        }
        Some(groups)
    }

    /// The group of one value; a comparison with NULL is never true.
    fn of_value(&self, value: &ScalarValue) -> Option<GroupSet> {
        if value.is_null() {
            return Some(GroupSet::default());
        }
        let array = value.to_array().ok()?;
        let integers = self.ty.is_integer() && array.data_type().is_integer();
        if !integers && array.data_type() != &satsuma_common::arrow_types::data_type(self.ty) {
            return None;
        }
        let token = partition_hash_array(array.as_ref(), self.ty).ok()?.first().copied()??;
        let index = self.place.groups.partition_point(|(range, _)| range.low() <= token);
        let (_, group) = self.place.groups.get(index.checked_sub(1)?)?;
        Some(GroupSet([*group].into()))
    }
}
