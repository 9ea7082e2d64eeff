//! Which joins are right where their inputs are.

use std::collections::BTreeSet;

use datafusion::logical_expr::{Expr, Join, JoinType};

use super::locus::{Hashed, Locus};

/// The locus of a join that runs where its inputs are, or `None` when it would be wrong there.
/// Output positions are those of the join.
pub fn locus(join: &Join, left: &Locus, right: &Locus) -> Option<Locus> {
    use Locus::{Anywhere, Coordinator, Hashed as Spread, Replicated};
    match (left, right) {
        (Coordinator, _) | (_, Coordinator) => None,
        (Anywhere, Anywhere) => Some(Anywhere),
        (Anywhere | Replicated, Anywhere | Replicated) => Some(Replicated),
        (Spread(hashed), Anywhere | Replicated) => {
            let right_side_is_kept = preserves_right(join.join_type);
            (hashed.is_single() || !right_side_is_kept)
                .then(|| output(join, Some(hashed), None, hashed.clone()))
        }
        (Anywhere | Replicated, Spread(hashed)) => {
            let left_side_is_kept = preserves_left(join.join_type);
            (hashed.is_single() || !left_side_is_kept)
                .then(|| output(join, None, Some(hashed), hashed.clone()))
        }
        (Spread(one), Spread(other)) => hashed(join, one, other),
    }
}

fn hashed(join: &Join, left: &Hashed, right: &Hashed) -> Option<Locus> {
    if left.colocation != right.colocation {
        return None;
    }
    let same_group = left.is_single() && right.is_single() && left.groups == right.groups;
    if !same_group && !joins_on_distribution(join, left, right) {
        return None;
    }
    let groups = match join.join_type {
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => {
            left.groups.intersection(&right.groups).or_one_of(&left.groups)
        }
        JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => left.groups.clone(),
        JoinType::Right | JoinType::RightAnti | JoinType::RightMark => right.groups.clone(),
        JoinType::Full => left.groups.union(&right.groups),
    };
    let rows = Hashed { colocation: left.colocation, groups, columns: BTreeSet::new() };
    Some(output(join, Some(left), Some(right), rows))
}

/// Whether some pair of join keys equates a distribution column of each side.
fn joins_on_distribution(join: &Join, left: &Hashed, right: &Hashed) -> bool {
    let position = |side: &datafusion::common::DFSchemaRef, key: &Expr| match key {
        Expr::Column(column) => side.maybe_index_of_column(column),
        _ => None,
    };
    join.on.iter().any(|(left_key, right_key)| {
        let left_at = position(join.left.schema(), left_key);
        let right_at = position(join.right.schema(), right_key);
        left_at.is_some_and(|at| left.columns.contains(&at))
            && right_at.is_some_and(|at| right.columns.contains(&at))
    })
}

/// Rows of the left side that match nothing appear in the result, or decide it by not matching.
fn preserves_left(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Left
        | JoinType::Full
        | JoinType::LeftSemi
        | JoinType::LeftAnti
        | JoinType::LeftMark => true,
        JoinType::Inner
        | JoinType::Right
        | JoinType::RightSemi
        | JoinType::RightAnti
        | JoinType::RightMark => false,
    }
}

fn preserves_right(join_type: JoinType) -> bool {
    preserves_left(join_type.swap())
}

/// `rows` with the distribution columns that come out of the join: those of a side whose rows
/// are never replaced by NULLs.
fn output(join: &Join, left: Option<&Hashed>, right: Option<&Hashed>, rows: Hashed) -> Locus {
    let (keeps_left, keeps_right) = match join.join_type {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            (true, false)
        }
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            (false, true)
        }
        JoinType::Full => (false, false),
    };
    let right_offset = match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
        _ => join.left.schema().fields().len(),
    };
    let left_columns = left.filter(|_| keeps_left).into_iter().flat_map(|side| &side.columns);
    let right_columns = right.filter(|_| keeps_right).into_iter().flat_map(|side| &side.columns);
    let columns =
        left_columns.copied().chain(right_columns.map(|column| column + right_offset)).collect();
    Locus::Hashed(Hashed { columns, ..rows })
}
