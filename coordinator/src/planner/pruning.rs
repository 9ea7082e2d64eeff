//! Which shard groups can hold rows that satisfy a predicate.
//!
//! Only equality tells: `column = constant`, `IN`, and their combinations with AND and OR. All
//! else says nothing, which keeps every group.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use satsuma_common::PgType;
use satsuma_common::hash::partition_hash_array;

use super::locus::GroupSet;
use super::topology::TablePlace;

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
                    (key, Expr::Literal(value, _)) if (self.is_key)(key) => self.of_value(value),
                    (Expr::Literal(value, _), key) if (self.is_key)(key) => self.of_value(value),
                    _ => None,
                }
            }
            Expr::InList(InList { expr, list, negated: false }) if (self.is_key)(expr) => {
                list.iter().try_fold(GroupSet::default(), |groups, item| match item {
                    Expr::Literal(value, _) => Some(groups.union(&self.of_value(value)?)),
                    _ => None,
                })
            }
            Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) => Some(GroupSet::default()),
            _ => None,
        }
    }

    /// The group of one value; a comparison with NULL is never true.
    fn of_value(&self, value: &ScalarValue) -> Option<GroupSet> {
        if value.is_null() {
            return Some(GroupSet::default());
        }
        let array = value.to_array().ok()?;
        if array.data_type() != &satsuma_common::arrow_types::data_type(self.ty) {
            return None;
        }
        let token = partition_hash_array(array.as_ref(), self.ty).ok()?.first().copied()??;
        let index = self.place.groups.partition_point(|(range, _)| range.low() <= token);
        let (_, group) = self.place.groups.get(index.checked_sub(1)?)?;
        Some(GroupSet([*group].into()))
    }
}
