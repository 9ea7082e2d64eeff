//! `(start, end) OVERLAPS (start, end)`.

use std::cmp::Ordering;

use satsuma_common::{Datum, SqlResult};

use super::error::unexpected_value;
use super::library::Builder;

pub(crate) fn install(b: &mut Builder) {
    b.called_on_null(|b| {
        for ty in ["timestamp", "timestamptz", "time"] {
            b.row(&format!("overlaps({ty},{ty},{ty},{ty}) bool"), |args, _| {
                let mut ends = [None; 4];
                for (end, arg) in ends.iter_mut().zip(args) {
                    *end = match arg {
                        Datum::Null => None,
                        Datum::Timestamp(at) | Datum::Time(at) => Some(*at),
                        _ => return Err(unexpected_value("overlaps")),
                    };
                }
                let [s1, e1, s2, e2] = ends;
                overlaps((s1, e1), (s2, e2))
            });
        }
    });
}

/// The known ends of a period, the earlier one first; `None` if both are NULL.
fn ordered((start, end): (Option<i64>, Option<i64>)) -> Option<(i64, Option<i64>)> {
    match (start, end) {
        (None, None) => None,
        (None, Some(only)) | (Some(only), None) => Some((only, None)),
        (Some(a), Some(b)) => Some((a.min(b), Some(a.max(b)))),
    }
}

/// Periods are half open, one of no length counts as its moment, and NULL is an end not known.
fn overlaps(
    first: (Option<i64>, Option<i64>),
    second: (Option<i64>, Option<i64>),
) -> SqlResult<Datum> {
    let (Some(first), Some(second)) = (ordered(first), ordered(second)) else {
        return Ok(Datum::Null);
    };
    let (earlier, later) = match first.0.cmp(&second.0) {
        Ordering::Equal => {
            let known = first.1.is_some() && second.1.is_some();
            return Ok(if known { Datum::Bool(true) } else { Datum::Null });
        }
        Ordering::Less => (first, second),
        Ordering::Greater => (second, first),
    };
    Ok(match earlier.1 {
        None => Datum::Null,
        Some(end) if later.0 < end => Datum::Bool(true),
        Some(_) if later.1.is_none() => Datum::Null,
        Some(_) => Datum::Bool(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_periods_do_not_overlap() {
        let of = |a: (i64, i64), b: (i64, i64)| {
            overlaps((Some(a.0), Some(a.1)), (Some(b.0), Some(b.1))).expect("no error")
        };
        assert_eq!(of((1, 3), (2, 4)), Datum::Bool(true));
        assert_eq!(of((1, 2), (2, 4)), Datum::Bool(false));
        assert_eq!(of((3, 1), (2, 2)), Datum::Bool(true));
        assert_eq!(of((1, 1), (1, 1)), Datum::Bool(true));
        let open = overlaps((Some(1), None), (Some(2), Some(3))).expect("no error");
        assert_eq!(open, Datum::Null);
    }
}
