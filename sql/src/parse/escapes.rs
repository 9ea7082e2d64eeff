//! `E'..'` strings as PostgreSQL reads them: `\xff` and `\377` are bytes, which must make UTF-8 in
//! the end.
//!
//! sqlparser takes most of them itself. Where it gives up, the strings are masked for it by others
//! of the same length, so that every token keeps its place, and put back decoded.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use satsuma_common::{SqlError, SqlResult, SqlState, utf8};
use sqlparser::tokenizer::Location;

use super::Source;

/// The text with its `E'..'` strings masked, and what each is, by where it starts.
pub fn mask(source: &Source) -> SqlResult<(String, BTreeMap<Location, String>)> {
    let text = source.text();
    let mut masked = String::with_capacity(text.len());
    let mut strings = BTreeMap::new();
    let mut at = Cursor { rest: text, line: 1, column: 1 };
    let mut in_word = false;
    while let Some(c) = at.rest.chars().next() {
        let escaped = !in_word && matches!(c, 'e' | 'E') && at.rest[1..].starts_with('\'');
        if escaped {
            let start = Location { line: at.line, column: at.column };
            at.take(2, &mut masked);
            let body = body_len(at.rest).unwrap_or(at.rest.len());
            let decoded = read(&at.rest[..body], source.position(start))?;
            strings.insert(start, decoded);
            let hidden: String =
                at.rest[..body].chars().map(|c| if c == '\n' { '\n' } else { 'x' }).collect();
            masked.push_str(&hidden);
            at.skip(body);
        } else {
            let length = match c {
                '\'' | '"' => quoted_len(at.rest, c),
                '-' if at.rest.starts_with("--") => at.rest.find('\n'),
                '/' if at.rest.starts_with("/*") => comment_len(at.rest),
                '$' if !in_word => dollar_len(at.rest),
                _ => Some(c.len_utf8()),
            };
            at.take(length.unwrap_or(at.rest.len()), &mut masked);
        }
        in_word = c.is_alphanumeric() || c == '_' || (in_word && c == '$');
    }
    Ok((masked, strings))
}

/// The first string, name or comment that never ends: what it is, and its byte.
pub fn unterminated(text: &str) -> Option<(&'static str, usize)> {
    let mut at = 0;
    let mut in_word = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let prefix = if in_word { 0 } else { prefix_len(rest) };
        let open = &rest[prefix..];
        let (kind, length) = match open.chars().next() {
            Some('\'') => match c {
                'e' | 'E' => (QUOTED_STRING, body_len(&open[1..]).map(|body| body + 2)),
                'b' | 'B' => ("bit string literal", quoted_len(open, '\'')),
                'x' | 'X' => ("hexadecimal string literal", quoted_len(open, '\'')),
                _ => (QUOTED_STRING, quoted_len(open, '\'')),
            },
            Some('"') => ("quoted identifier", quoted_len(open, '"')),
            Some('-') if rest.starts_with("--") => {
                ("", Some(rest.find('\n').unwrap_or(rest.len())))
            }
            Some('/') if rest.starts_with("/*") => ("/* comment", comment_len(rest)),
            Some('$') if !in_word => ("dollar-quoted string", dollar_len(rest)),
            _ => ("", Some(c.len_utf8())),
        };
        let Some(length) = length else { return Some((kind, at)) };
        in_word = prefix == 0 && (c.is_alphanumeric() || c == '_' || (in_word && c == '$'));
        at += prefix + length;
    }
    None
}

const QUOTED_STRING: &str = "quoted string";

/// Bytes of what tells the kind of the string or name that opens behind it.
fn prefix_len(text: &str) -> usize {
    match text.as_bytes() {
        [b'e' | b'E' | b'b' | b'B' | b'x' | b'X', b'\'', ..] => 1,
        [b'u' | b'U', b'&', b'\'' | b'"', ..] => 2,
        _ => 0,
    }
}

/// Where the text is read.
struct Cursor<'a> {
    rest: &'a str,
    line: u64,
    column: u64,
}

impl Cursor<'_> {
    fn take(&mut self, length: usize, out: &mut String) {
        out.push_str(&self.rest[..length]);
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        for c in self.rest[..length].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = &self.rest[length..];
    }
}

/// Bytes up to the quote that ends an escape string whose opening quote was read.
fn body_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn quoted_len(text: &str, quote: char) -> Option<usize> {
    let mut rest = &text[1..];
    while let Some(end) = rest.find(quote) {
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(doubled) => rest = doubled,
            None => return Some(text.len() - rest.len()),
        }
    }
    None
}

fn comment_len(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

/// `$tag$..$tag$`, or the dollar alone.
fn dollar_len(text: &str) -> Option<usize> {
    let Some(end) = text[1..].find('$') else { return Some(1) };
    let tag = &text[..end + 2];
    let inside = &tag[1..tag.len() - 1];
    if !inside.chars().all(|c| c.is_alphanumeric() || c == '_')
        || inside.starts_with(|c: char| c.is_ascii_digit())
    {
        return Some(1);
    }
    text[tag.len()..].find(tag).map(|found| found + 2 * tag.len())
}

/// `first` and the digits that follow, `most` in all.
fn digits(chars: &mut Peekable<Chars<'_>>, radix: u32, first: Option<char>, most: usize) -> String {
    let mut text: String = first.into_iter().collect();
    while text.len() < most
        && let Some(digit) = chars.next_if(|c| c.is_digit(radix))
    {
        text.push(digit);
    }
    text
}

/// The second half of a character in two escapes, `\ud83d\ude00`.
fn low_surrogate(chars: &mut Peekable<Chars<'_>>) -> Option<u32> {
    chars.next_if_eq(&'\\')?;
    let most = match chars.next()? {
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let text = digits(chars, 16, None, most);
    let code = u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == most);
    code.filter(|code| (0xdc00..=0xdfff).contains(code))
}

/// What stands between the quotes of an escape string at `position`, decoded.
pub(super) fn read(body: &str, position: u32) -> SqlResult<String> {
    decode(body).map_err(|error| error.at_if_syntax(position))
}

fn decode(body: &str) -> Result<String, DecodeError> {
    let mut bytes: Vec<u8> = Vec::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            // Doubled.
            chars.next();
        }
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next() {
            None => break,
            Some('b') => bytes.push(8),
            Some('f') => bytes.push(12),
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('x') => match u8::from_str_radix(&digits(&mut chars, 16, None, 2), 16) {
                Ok(byte) => bytes.push(byte),
                Err(_) => bytes.push(b'x'),
            },
            Some(first @ '0'..='7') => {
                let value =
                    u32::from_str_radix(&digits(&mut chars, 8, Some(first), 3), 8).unwrap_or(0);
                bytes.push((value & 0xff) as u8);
            }
            Some(kind @ ('u' | 'U')) => {
                let most = if kind == 'u' { 4 } else { 8 };
                let text = digits(&mut chars, 16, None, most);
                if text.len() != most {
                    return Err(DecodeError::Digits);
                }
                let mut code = u32::from_str_radix(&text, 16).unwrap_or(0);
                if (0xd800..=0xdbff).contains(&code) {
                    let low = low_surrogate(&mut chars).ok_or(DecodeError::Pair)?;
                    code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
                } else if (0xdc00..=0xdfff).contains(&code) {
                    return Err(DecodeError::Pair);
                }
                let c = char::from_u32(code).filter(|c| *c != '\0').ok_or(DecodeError::Value)?;
                bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(other) => bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    utf8::check(&bytes).map(str::to_owned).map_err(DecodeError::Bytes)
}

enum DecodeError {
    /// Too few digits of a Unicode escape.
    Digits,
    /// Half of a character that takes two escapes.
    Pair,
    /// No character has that number.
    Value,
    Bytes(SqlError),
}

impl DecodeError {
    fn at_if_syntax(self, position: u32) -> SqlError {
        match self {
            Self::Digits => SqlError::new(SqlState(*b"22025"), "invalid Unicode escape")
                .hint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX.")
                .at(position),
            Self::Pair => {
                SqlError::new(SqlState::SYNTAX_ERROR, "invalid Unicode surrogate pair").at(position)
            }
            Self::Value => {
                SqlError::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape value").at(position)
            }
            Self::Bytes(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_make_characters() {
        let source = Source::new("SELECT $a$E'$a$, 'E''', E'\\xc3\\xa9\\'\n', /* E' */ e'\\101'");
        let (masked, strings) = mask(&source).expect("it is right");
        assert_eq!(masked.chars().count(), source.text().chars().count());
        assert!(masked.contains("E'xxxxxxxxxx\n'"), "{masked}");
        let strings: Vec<&str> = strings.values().map(String::as_str).collect();
        assert_eq!(strings, ["é'\n", "A"]);
    }

    #[test]
    fn wrong_bytes_are_named() {
        for (text, message) in [
            ("E'\\xff'", "invalid byte sequence for encoding \"UTF8\": 0xff"),
            ("E'a\\000'", "invalid byte sequence for encoding \"UTF8\": 0x00"),
            ("E'\\xc3('", "invalid byte sequence for encoding \"UTF8\": 0xc3 0x28"),
            ("E'\\u12'", "invalid Unicode escape"),
        ] {
            let error = mask(&Source::new(text)).expect_err(text);
            assert_eq!(error.message(), message, "{text}");
        }
    }
}
