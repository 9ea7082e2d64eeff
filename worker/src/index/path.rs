//! Which index a scan's filters can use.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use satsuma_common::index::IndexMethod;
use satsuma_common::{PgType, arrow_types};
use satsuma_storage::index::Probe;
use satsuma_storage::{Engine, KeyRange};

use super::expressions::{BoundIndex, IndexEvaluator, normal};
use super::{jsonb, networks};
use crate::placement::PlacedTable;
use crate::query::pruning::{Prefix, comparable};

/// Ranges of one probe, at most: combinations of the values of IN lists.
const MOST_RANGES: usize = 256;
/// An index pays where it leaves out this share of the rows at least.
const WORTH: u64 = 4;

/// A way to the rows that match, through an index.
#[derive(Clone, Debug)]
pub(crate) struct IndexPath {
    pub probe: Probe,
    pub name: String,
    pub method: IndexMethod,
    /// The conditions that the index answers.
    pub conditions: Vec<Expr>,
    /// Conditions that hold for every row of the index.
    pub implied: Vec<Expr>,
    /// Rows that it finds, about.
    pub found: u64,
}

/// The index that finds the fewest rows of all these shards, if that is much fewer than a scan of
/// `key_range`, or of everything, would read.
pub(crate) fn choose(
    engine: &Engine,
    evaluator: &IndexEvaluator,
    shards: &[PlacedTable],
    filters: &[Expr],
    key_range: Option<&KeyRange>,
) -> Option<IndexPath> {
    let meta = &shards.first()?.meta;
    if filters.is_empty() || meta.indexes().is_empty() {
        return None;
    }
    let conjuncts: Vec<Expr> =
        filters.iter().flat_map(split_conjunction).cloned().map(normal).collect();
    let mut best: Option<IndexPath> = None;
    for index in meta.indexes() {
        let Ok(bound) = evaluator.bound(&meta.shape, &index.shape) else { continue };
        let Some(implied) = implied(&bound, &conjuncts) else { continue };
        let Some((clauses, conditions)) = probe(&bound, index.shape.method, &conjuncts) else {
            continue;
        };
        let probe = Probe { index: index.shape.id, clauses };
        let found = shards.iter().map(|placed| engine.index_estimate(placed.shard, &probe));
        let Ok(found) = found.collect::<Result<Vec<_>, _>>() else { continue };
        // Where it is still to be built in one of them, it is not used yet.
        let Some(found) = found.into_iter().sum::<Option<u64>>() else { continue };
        let method = index.shape.method;
        // Of two that find as many rows, an ordered one names them exactly.
        let cost = |found: u64, method: IndexMethod| (found, method != IndexMethod::Ordered);
        if best.as_ref().is_none_or(|best| cost(found, method) < cost(best.found, best.method)) {
            let name = index.shape.name.clone();
            best = Some(IndexPath { probe, name, method, conditions, implied, found });
        }
    }
    let best = best?;
    let scanned = shards.iter().map(|placed| engine.range_estimate(placed.shard, key_range));
    let scanned = scanned.sum::<Result<u64, _>>().ok()?;
    (best.found.saturating_mul(WORTH) <= scanned).then_some(best)
}

/// The filters that the index's predicate takes the place of; `None`: rows may match that are not
/// in the index.
fn implied(bound: &BoundIndex, conjuncts: &[Expr]) -> Option<Vec<Expr>> {
    let Some(predicate) = &bound.predicate else { return Some(Vec::new()) };
    let mut implied = Vec::new();
    for part in split_conjunction(predicate) {
        match part {
            same if conjuncts.contains(same) => implied.push(same.clone()),
            Expr::IsNotNull(value) if conjuncts.iter().any(|c| rejects_null(c, value)) => {}
            _ => return None,
        }
    }
    Some(implied)
}

/// Whether the condition is not true where `value` is NULL.
fn rejects_null(condition: &Expr, value: &Expr) -> bool {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let strict = matches!(
                op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            );
            strict && (left.as_ref() == value || right.as_ref() == value)
        }
        Expr::InList(InList { expr, negated: false, .. }) => expr.as_ref() == value,
        Expr::Between(Between { expr, negated: false, .. }) => expr.as_ref() == value,
        _ => false,
    }
}

type Clauses = Vec<Vec<KeyRange>>;

fn probe(
    bound: &BoundIndex,
    method: IndexMethod,
    conjuncts: &[Expr],
) -> Option<(Clauses, Vec<Expr>)> {
    if method == IndexMethod::Ordered {
        return ordered(bound, conjuncts);
    }
    let [(key, _)] = &bound.keys[..] else { return None };
    let mut clauses = Vec::new();
    let mut used = Vec::new();
    for condition in conjuncts {
        let found = match method {
            IndexMethod::Documents => jsonb::clauses(condition, key),
            _ => networks::ranges(condition, key).map(|ranges| vec![ranges]),
        };
        if let Some(found) = found {
            clauses.extend(found);
            used.push(condition.clone());
        }
    }
    (!clauses.is_empty()).then_some((clauses, used))
}

/// Equality on the first keys, and a range on the next.
fn ordered(bound: &BoundIndex, conjuncts: &[Expr]) -> Option<(Clauses, Vec<Expr>)> {
    let mut prefixes = vec![Prefix::default()];
    let mut used = Vec::new();
    let mut keys = bound.keys.iter();
    let mut next = None;
    for (key, ty) in &mut keys {
        let found = conjuncts.iter().find_map(|condition| {
            let values = equalities(condition, key, ty)?;
            (values.len() * prefixes.len() <= MOST_RANGES).then_some((condition, values))
        });
        let Some((condition, values)) = found else {
            next = Some((key, ty));
            break;
        };
        let mut longer = Vec::with_capacity(prefixes.len() * values.len());
        for prefix in &prefixes {
            for value in &values {
                let mut prefix = prefix.clone();
                if !prefix.push(ty, value) {
                    return None;
                }
                longer.push(prefix);
            }
        }
        prefixes = longer;
        used.push(condition.clone());
    }
    let mut bounds = Vec::new();
    if let Some((key, ty)) = next {
        for condition in conjuncts {
            let found = comparisons(condition, key, ty);
            if !found.is_empty() {
                bounds.extend(found);
                used.push(condition.clone());
            }
        }
    }
    if used.is_empty() {
        return None;
    }
    let ranges = prefixes
        .iter()
        .map(|prefix| match next {
            Some((_, ty)) if !bounds.is_empty() => prefix.range(ty, &bounds),
            _ => prefix.whole(),
        })
        .collect::<Option<Vec<_>>>()?;
    Some((vec![ranges], used))
}

/// Values one of which the key must have: `=`, IN, a disjunction of them, IS NULL.
fn equalities(condition: &Expr, key: &Expr, ty: &PgType) -> Option<Vec<ScalarValue>> {
    let data_type = arrow_types::data_type(ty);
    let value = |expr: &Expr| match expr {
        Expr::Literal(value, _) if !value.is_null() => comparable(value, &data_type),
        _ => None,
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            if left.as_ref() == key {
                Some(vec![value(right)?])
            } else if right.as_ref() == key {
                Some(vec![value(left)?])
            } else {
                None
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut values = equalities(left, key, ty)?;
            values.extend(equalities(right, key, ty)?);
            distinct(values)
        }
        Expr::InList(InList { expr, list, negated: false }) if expr.as_ref() == key => {
            // A NULL in the list matches nothing.
            let given =
                list.iter().filter(|item| !matches!(item, Expr::Literal(v, _) if v.is_null()));
            distinct(given.map(value).collect::<Option<Vec<_>>>()?)
        }
        Expr::IsNull(expr) if expr.as_ref() == key => {
            Some(vec![ScalarValue::try_new_null(&data_type).ok()?])
        }
        _ => None,
    }
}

fn distinct(values: Vec<ScalarValue>) -> Option<Vec<ScalarValue>> {
    let mut seen = Vec::with_capacity(values.len());
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    (!seen.is_empty() && seen.len() <= MOST_RANGES).then_some(seen)
}

/// Comparisons of the key with constants.
fn comparisons(condition: &Expr, key: &Expr, ty: &PgType) -> Vec<(Operator, ScalarValue)> {
    let data_type = arrow_types::data_type(ty);
    let value = |expr: &Expr| match expr {
        Expr::Literal(value, _) if !value.is_null() => comparable(value, &data_type),
        _ => None,
    };
    let is_bound =
        |op: &Operator| matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_bound(op) => {
            if left.as_ref() == key {
                value(right).map(|value| (*op, value)).into_iter().collect()
            } else if right.as_ref() == key {
                let swapped = op.swap().zip(value(left));
                swapped.into_iter().collect()
            } else {
                Vec::new()
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) if expr.as_ref() == key => {
            match (value(low), value(high)) {
                (Some(low), Some(high)) => vec![(Operator::GtEq, low), (Operator::LtEq, high)],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}
