//! Values of type record: their text behind a key that orders them.
//!
//! ```text
//! 008000000100 (1,"a b")     hexadecimal bytes in the order of the fields, then what is shown
//! ```
//!
//! Fields of records have no types once they are together, so that only the key can tell that
//! (9) comes before (10), and that (1.0) is (1.00).

use std::fmt::Write;

/// A record as it is stored. What is shown begins with a parenthesis.
pub fn with_key(key: &[u8], shown: &str) -> String {
    let mut record = String::with_capacity(2 * key.len() + shown.len());
    for byte in key {
        // Writing to a string does not fail.
        let _ = write!(record, "{byte:02x}");
    }
    record.push_str(shown);
    record
}

/// What a stored record is compared by: its key, or what is shown where it has none.
pub fn key(record: &str) -> &str {
    match record.find('(') {
        Some(at) if at > 0 => &record[..at],
        _ => record,
    }
}

/// What is shown of a stored record.
pub fn shown(record: &str) -> &str {
    record.find('(').map_or(record, |at| &record[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_in_the_order_of_their_keys_and_shown_without() {
        let (nine, ten) = (with_key(&[0, 9], "(9)"), with_key(&[0, 10], "(10)"));
        assert!(nine < ten);
        assert_eq!((shown(&nine), shown(&ten), shown("()")), ("(9)", "(10)", "()"));
        assert_eq!((key(&nine), key(&ten), key("()")), ("0009", "000a", "()"));
    }
}
