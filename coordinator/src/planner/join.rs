//! Which joins are right where their inputs are.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
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
    let aligned = left.key == right.key && joins_on_distribution(join, left, right);
    (same_group || aligned).then(|| aligned_output(join, left, right))
}

/// The locus of a join whose matching rows are in the same group on both sides.
pub fn aligned_output(join: &Join, left: &Hashed, right: &Hashed) -> Locus {
    let groups = match join.join_type {
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => {
            left.groups.intersection(&right.groups).or_one_of(&left.groups)
        }
        JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => left.groups.clone(),
        JoinType::Right | JoinType::RightAnti | JoinType::RightMark => right.groups.clone(),
        JoinType::Full => left.groups.union(&right.groups),
    };
    let key = if left.key == right.key { left.key.clone() } else { None };
    let rows = Hashed { colocation: left.colocation, groups, columns: BTreeSet::new(), key };
    output(join, Some(left), Some(right), rows)
}

/// Whether some pair of join keys equates a distribution column of each side.
fn joins_on_distribution(join: &Join, left: &Hashed, right: &Hashed) -> bool {
    join.on.iter().any(|(left_key, right_key)| {
        let left_at = key_position(join.left.schema(), left_key);
        let right_at = key_position(join.right.schema(), right_key);
        left_at.is_some_and(|at| left.columns.contains(&at))
            && right_at.is_some_and(|at| right.columns.contains(&at))
    })
}

/// Where a key is a column of the side, or an integer column as a wider integer: both hash alike.
pub fn key_position(side: &DFSchema, key: &Expr) -> Option<usize> {
    match key {
        Expr::Column(column) => side.maybe_index_of_column(column),
        Expr::Alias(alias) => key_position(side, &alias.expr),
        Expr::Cast(cast) => {
            let at = key_position(side, &cast.expr)?;
            let (from, to) = (side.field(at).data_type(), cast.field.data_type());
            use datafusion::arrow::datatypes::DataType::{Int16, Int32, Int64};
            matches!((from, to), (Int16, Int32 | Int64) | (Int32, Int64)).then_some(at)
        }
        _ => None,
    }
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
    let columns = left_columns.copied().chain(right_columns.map(|column| column + right_offset));
    // Without a common hash, no column tells anything.
    let columns = columns.filter(|_| rows.key.is_some()).collect();
    Locus::Hashed(Hashed { columns, ..rows })
}
