//! Rows as servers wrote them, and whether two servers gave the same.

pub type Rows = Vec<Vec<Option<String>>>;

/// What counts as the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    Text,
    /// Numbers with fractions within [`TOLERANCE`]: engines average with different scales. Blanks
    /// at the end, which not all know as part of `char(n)`, do not count.
    Number,
}

/// Largest relative difference of the same number.
const TOLERANCE: f64 = 1e-6;

/// What is the first difference, in words.
pub fn difference(expected: &Rows, found: &Rows, sameness: Sameness) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("{} rows, not {}", found.len(), expected.len()));
    }
    let same = |a: &Vec<_>, b: &Vec<_>| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b, sameness))
    };
    let at = expected.iter().zip(found).position(|(a, b)| !same(a, b))?;
    Some(format!("row {at} is {:?}, not {:?}", found[at], expected[at]))
}

fn is_same(a: &Option<String>, b: &Option<String>, sameness: Sameness) -> bool {
    match (a, b, sameness) {
        (Some(a), Some(b), Sameness::Number) => {
            let (a, b) = (a.trim_end_matches(' '), b.trim_end_matches(' '));
            a == b || is_same_number(a, b)
        }
        (a, b, _) => a == b,
    }
}

/// Whole numbers are keys and counts: those must be equal.
fn is_same_number(a: &str, b: &str) -> bool {
    let (Ok(x), Ok(y)) = (a.parse::<f64>(), b.parse::<f64>()) else { return false };
    let has_fraction = [a, b].iter().any(|text| text.contains(['.', 'e', 'E']));
    has_fraction && (x - y).abs() <= TOLERANCE * x.abs().max(y.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[&str]) -> Rows {
        values.iter().map(|value| vec![Some((*value).to_owned())]).collect()
    }

    #[test]
    fn numbers_may_differ_in_scale_but_not_in_value() {
        let same = |a, b| difference(&rows(&[a]), &rows(&[b]), Sameness::Number).is_none();
        assert!(same("25.5000000000000000", "25.5") && same("0.00", "0"));
        assert!(same("0.1234567890123456", "0.1234567890123") && same("ASIA    ", "ASIA"));
        assert!(!same("25.5001", "25.5") && !same("6000000", "6000001") && !same("A", "B"));
        assert!(!same("1996-01-02", "1996-01-03") && !same("", "0"));
        assert!(difference(&rows(&["1.0"]), &rows(&["1"]), Sameness::Text).is_some());
    }

    #[test]
    fn the_first_row_that_differs_is_told() {
        let expected = rows(&["1", "2", "3"]);
        let told = |found: &[&str]| difference(&expected, &rows(found), Sameness::Number);
        assert_eq!(told(&["1", "2", "3"]), None);
        assert_eq!(told(&["1"]).as_deref(), Some("1 rows, not 3"));
        let swapped = told(&["1", "3", "2"]);
        assert_eq!(swapped.as_deref(), Some("row 1 is [Some(\"3\")], not [Some(\"2\")]"));
        let null = difference(&rows(&["0"]), &vec![vec![None]], Sameness::Number);
        assert_eq!(null.as_deref(), Some("row 0 is [None], not [Some(\"0\")]"));
    }
}
