//! Text from outside: UTF-8 without NUL, or PostgreSQL's complaint about the first wrong sequence.

use crate::error::{SqlError, SqlResult, SqlState};

pub fn check(raw: &[u8]) -> SqlResult<&str> {
    let sound = match std::str::from_utf8(raw) {
        Ok(text) if !raw.contains(&0) => return Ok(text),
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    let at = raw[..sound].iter().position(|byte| *byte == 0).unwrap_or(sound);
    Err(wrong_sequence(&raw[at..]))
}

/// 22021 for what begins here. It is shown as long as its first byte announces, whatever follows.
pub fn wrong_sequence(rest: &[u8]) -> SqlError {
    let length = match rest.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    let wrong = shown(&rest[..rest.len().min(length)]);
    SqlError::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {wrong}"),
    )
}

/// Bytes as errors show them.
pub fn shown(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_sequence_is_shown() {
        assert_eq!(check("é".as_bytes()).unwrap(), "é");
        for (raw, shown) in [
            (&b"a\xffb"[..], "0xff"),
            (b"a\xc3(b", "0xc3 0x28"),
            (b"\xe4bc", "0xe4 0x62 0x63"),
            (b"a\xe4", "0xe4"),
            (b"a\0\xff", "0x00"),
            (b"a\0", "0x00"),
        ] {
            let message = format!("invalid byte sequence for encoding \"UTF8\": {shown}");
            assert_eq!(check(raw).unwrap_err().message(), message);
        }
    }
}
