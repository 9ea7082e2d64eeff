//! Validation of `json` and normalisation of `jsonb` input, with PostgreSQL's complaints.

use std::borrow::Cow;

use crate::error::{SqlError, SqlState};
use crate::numeric::Numeric;

use super::scan::quote_into;

/// Nesting beyond this is refused: the parser is recursive and the input hostile.
const MAX_DEPTH: usize = 1000;

/// Why a text is not JSON. `detail` is PostgreSQL's sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("invalid input syntax for type json")]
    Syntax { detail: String, context: String },
    #[error("unsupported Unicode escape sequence")]
    UnsupportedEscape { detail: String, context: String },
    #[error("stack depth limit exceeded")]
    TooDeep,
    #[error("value overflows numeric format")]
    NumberOverflow,
}

impl From<JsonError> for SqlError {
    fn from(error: JsonError) -> Self {
        let message = error.to_string();
        match error {
            JsonError::Syntax { detail, context } => {
                SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
                    .detail(detail)
                    .context(context)
            }
            JsonError::UnsupportedEscape { detail, context } => {
                SqlError::new(SqlState::UNTRANSLATABLE_CHARACTER, message)
                    .detail(detail)
                    .context(context)
            }
            JsonError::TooDeep => SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message)
                .hint(format!("JSON values may be nested {MAX_DEPTH} levels deep.")),
            JsonError::NumberOverflow => {
                SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
            }
        }
    }
}

type Result<T> = std::result::Result<T, JsonError>;

/// Whether `text` is valid for type `json`.
pub fn validate(text: &str) -> Result<()> {
    let mut parser = Parser { text, at: 0, start: 0, out: None };
    parser.document()
}

/// The output form of `text` as jsonb.
pub fn normalize(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    normalize_into(text, &mut out)?;
    Ok(out)
}

/// Appends the output form of `text` as jsonb; leaves `out` in an unspecified state on errors.
pub fn normalize_into(text: &str, out: &mut String) -> Result<()> {
    let mut parser = Parser { text, at: 0, start: 0, out: Some(out) };
    parser.document()
}

/// Where a member of the object being written lies in the output.
struct Member<'a> {
    key: Cow<'a, str>,
    start: usize,
    end: usize,
}

struct Parser<'a, 'o> {
    text: &'a str,
    at: usize,
    /// Start of the current token.
    start: usize,
    /// Absent when only validating.
    out: Option<&'o mut String>,
}

impl<'a> Parser<'a, '_> {
    fn document(&mut self) -> Result<()> {
        self.skip_blanks();
        self.value(0)?;
        self.skip_blanks();
        if self.at < self.text.len() {
            return self.unexpected("Expected end of input");
        }
        Ok(())
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn push(&mut self, text: &str) {
        if let Some(out) = self.out.as_deref_mut() {
            out.push_str(text);
        }
    }

    fn written(&self) -> usize {
        self.out.as_deref().map_or(0, String::len)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.start = self.at;
    }

    fn value(&mut self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let string = self.string()?;
                if let Some(out) = self.out.as_deref_mut() {
                    push_string(&string, matches!(string, Cow::Borrowed(_)), out);
                }
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'}' | b']' | b',' | b':') | None => self.unexpected("Expected JSON value"),
            Some(_) => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<()> {
        self.at += 1;
        self.push("{");
        let body = self.written();
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut sorted = true;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.push("}");
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.unexpected(if members.is_empty() && self.written() == body {
                    "Expected string or \"}\""
                } else {
                    "Expected string"
                });
            }
            let key = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return self.unexpected("Expected \":\"");
            }
            self.at += 1;
            self.skip_blanks();
            if self.written() > body {
                self.push(", ");
            }
            let start = self.written();
            if let Some(out) = self.out.as_deref_mut() {
                push_string(&key, matches!(key, Cow::Borrowed(_)), out);
                out.push_str(": ");
            }
            self.value(depth + 1)?;
            if self.out.is_some() {
                sorted &= members.last().is_none_or(|last| before(&last.key, &key));
                members.push(Member { key, start, end: self.written() });
            } else {
                // Only tells that a member was seen.
                members.push(Member { key: Cow::Borrowed(""), start: 0, end: 0 });
                members.truncate(1);
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_blanks();
                }
                Some(b'}') => break,
                _ => return self.unexpected("Expected \",\" or \"}\""),
            }
        }
        self.at += 1;
        if !sorted {
            self.sort_members(body, members);
        }
        self.push("}");
        Ok(())
    }

    /// Rewrites the members written since `body` in key order, the last of equal keys only.
    fn sort_members(&mut self, body: usize, mut members: Vec<Member<'a>>) {
        let Some(out) = self.out.as_deref_mut() else { return };
        // Stable: of equal keys the last one written stays last.
        members.sort_by(|a, b| order(&a.key, &b.key));
        let mut rewritten = String::with_capacity(out.len() - body);
        for (at, member) in members.iter().enumerate() {
            if members.get(at + 1).is_some_and(|next| next.key == member.key) {
                continue;
            }
            if !rewritten.is_empty() {
                rewritten.push_str(", ");
            }
            rewritten.push_str(&out[member.start..member.end]);
        }
        out.truncate(body);
        out.push_str(&rewritten);
    }

    fn array(&mut self, depth: usize) -> Result<()> {
        self.at += 1;
        self.push("[");
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.push("]");
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.push(", ");
                    self.skip_blanks();
                }
                Some(b']') => break,
                _ => return self.unexpected("Expected \",\" or \"]\""),
            }
        }
        self.at += 1;
        self.push("]");
        Ok(())
    }

    fn word(&mut self) -> Result<()> {
        let end = word_end(self.bytes(), self.at);
        let word = &self.text[self.at..end];
        if !matches!(word, "true" | "false" | "null") {
            return Err(self.invalid_token(end));
        }
        self.at = end;
        self.push(word);
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.bytes();
        let start = self.at;
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        let mut valid = true;
        if bytes.get(at) == Some(&b'0') {
            at += 1;
        } else {
            let end = digits(at);
            valid = end > at;
            at = end;
        }
        if bytes.get(at) == Some(&b'.') {
            let end = digits(at + 1);
            valid &= end > at + 1;
            at = end;
        }
        let mut has_exponent = false;
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            has_exponent = true;
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let end = digits(at);
            valid &= end > at;
            at = end;
        }
        let end = run_end(bytes, at);
        if !valid || end > at {
            return Err(self.invalid_token(end.max(start + 1)));
        }
        self.at = at;
        let number = &self.text[start..at];
        // -0 loses its sign, exponents are written out; everything else prints as it is.
        if has_exponent || number.starts_with("-0") || number.len() > 1000 {
            if self.out.is_some() {
                let value = Numeric::parse(number).map_err(|_| JsonError::NumberOverflow)?;
                self.push(&value.to_string());
            }
        } else {
            self.push(number);
        }
        Ok(())
    }

    /// The characters of the string that starts here.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.start = self.at;
        let bytes = self.bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            match bytes.get(at) {
                None => return Err(self.invalid_token(bytes.len())),
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => break,
                Some(0..0x20) => return Err(self.control_character(at)),
                Some(_) => at += 1,
            }
        }
        self.escaped_string(start, at)
    }

    /// The rest of a string whose first escape is at `at`.
    fn escaped_string(&mut self, start: usize, mut at: usize) -> Result<Cow<'a, str>> {
        let bytes = self.bytes();
        let mut out = self.text[start..at].to_owned();
        let mut high: Option<u32> = None;
        loop {
            let byte = *bytes.get(at).ok_or_else(|| self.invalid_token(bytes.len()))?;
            if high.is_some() && !self.text[at..].starts_with("\\u") {
                return Err(self.low_surrogate(at));
            }
            match byte {
                b'"' => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(out));
                }
                0..0x20 => return Err(self.control_character(at)),
                b'\\' => {
                    let letter = *bytes.get(at + 1).ok_or_else(|| self.invalid_token(at + 1))?;
                    at += 2;
                    match letter {
                        b'"' | b'\\' | b'/' => out.push(char::from(letter)),
                        b'b' => out.push('\u{8}'),
                        b'f' => out.push('\u{c}'),
                        b'n' => out.push('\n'),
                        b'r' => out.push('\r'),
                        b't' => out.push('\t'),
                        b'u' => {
                            let unit = self.hex_unit(at)?;
                            at += 4;
                            if self.out.is_some() {
                                self.unicode(unit, &mut high, &mut out, at)?;
                            }
                        }
                        _ => {
                            let letter = self.text[at - 1..].chars().next().unwrap_or('?');
                            let end = at - 1 + letter.len_utf8();
                            let detail = format!("Escape sequence \"\\{letter}\" is invalid.");
                            return Err(self.syntax(detail, end));
                        }
                    }
                }
                _ => {
                    let rest = &self.text[at..];
                    let stop = rest
                        .bytes()
                        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                        .unwrap_or(rest.len());
                    out.push_str(&rest[..stop]);
                    at += stop;
                }
            }
        }
    }

    fn hex_unit(&self, at: usize) -> Result<u32> {
        let mut unit = 0;
        for offset in 0..4 {
            let Some(byte) = self.bytes().get(at + offset) else {
                return Err(self.invalid_token(self.text.len()));
            };
            let Some(digit) = char::from(*byte).to_digit(16) else {
                let detail = "\"\\u\" must be followed by four hexadecimal digits.".to_owned();
                return Err(self.syntax(detail, at + offset + 1));
            };
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    fn unicode(
        &self,
        unit: u32,
        high: &mut Option<u32>,
        out: &mut String,
        end: usize,
    ) -> Result<()> {
        let code = match (*high, unit) {
            (None, 0xd800..0xdc00) => {
                *high = Some(unit);
                return Ok(());
            }
            (Some(_), 0xd800..0xdc00) => {
                let detail = "Unicode high surrogate must not follow a high surrogate.";
                return Err(self.syntax(detail.to_owned(), end));
            }
            (None, 0xdc00..0xe000) => return Err(self.low_surrogate(end)),
            (Some(high), 0xdc00..0xe000) => 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00),
            (Some(_), _) => return Err(self.low_surrogate(end)),
            (None, 0) => {
                return Err(JsonError::UnsupportedEscape {
                    detail: "\\u0000 cannot be converted to text.".into(),
                    context: self.context(end, false),
                });
            }
            (None, unit) => unit,
        };
        *high = None;
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(())
    }

    fn low_surrogate(&self, end: usize) -> JsonError {
        self.syntax("Unicode low surrogate must follow a high surrogate.".into(), end)
    }

    fn control_character(&self, at: usize) -> JsonError {
        let byte = self.bytes()[at];
        self.syntax(format!("Character with value 0x{byte:02x} must be escaped."), at)
    }

    fn invalid_token(&self, end: usize) -> JsonError {
        let token = self.slice(self.start, end);
        self.syntax(format!("Token \"{token}\" is invalid."), end)
    }

    /// The token at hand is not what the grammar wants, or the input is over.
    fn unexpected(&mut self, expected: &str) -> Result<()> {
        self.start = self.at;
        let Some(byte) = self.peek() else {
            let detail = "The input string ended unexpectedly.".to_owned();
            return Err(JsonError::Syntax { detail, context: self.context(self.at, true) });
        };
        let end = match byte {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => self.at + 1,
            b'"' => {
                self.string()?;
                self.at
            }
            b'-' | b'0'..=b'9' => {
                let out = self.out.take();
                let result = self.number();
                self.out = out;
                result?;
                self.at
            }
            _ => {
                let end = word_end(self.bytes(), self.at);
                let word = &self.text[self.at..end];
                if !matches!(word, "true" | "false" | "null") {
                    return Err(self.invalid_token(end));
                }
                end
            }
        };
        let token = self.slice(self.start, end);
        Err(self.syntax(format!("{expected}, but found \"{token}\"."), end))
    }

    fn slice(&self, start: usize, end: usize) -> String {
        String::from_utf8_lossy(self.bytes().get(start..end).unwrap_or(&[])).into_owned()
    }

    fn syntax(&self, detail: String, end: usize) -> JsonError {
        JsonError::Syntax { detail, context: self.context(end, false) }
    }

    /// The line up to `end`, at most some 50 characters of it.
    fn context(&self, end: usize, at_end: bool) -> String {
        let end = (0..=end.min(self.text.len()))
            .rev()
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(0);
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let mut from = line_start;
        while end - from >= 50 {
            from += self.text[from..].chars().next().map_or(1, char::len_utf8);
        }
        if from - line_start <= 3 {
            from = line_start;
        }
        let prefix = if from > line_start { "..." } else { "" };
        let next = self.bytes().get(end);
        let cut = !at_end && next.is_some_and(|byte| !matches!(byte, b'\n' | b'\r'));
        let suffix = if cut { "..." } else { "" };
        format!("JSON data, line {line}: {prefix}{}{suffix}", &self.text[from..end])
    }
}

/// Appends a string; one that was borrowed from the input has nothing to escape.
fn push_string(text: &str, borrowed: bool, out: &mut String) {
    if !borrowed {
        return quote_into(text, out);
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// Position behind the run of letters, digits and underscores at `at`.
fn run_end(bytes: &[u8], at: usize) -> usize {
    let run = bytes[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80)
        .count();
    at + run
}

/// As [`run_end`], but at least one character on.
fn word_end(bytes: &[u8], at: usize) -> usize {
    run_end(bytes, at).max(at + 1)
}

/// The order of keys in a jsonb object: by length, then by bytes.
pub(super) fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

fn before(a: &str, b: &str) -> bool {
    order(a, b).is_lt()
}
