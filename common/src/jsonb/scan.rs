//! Walking over JSON text that is known to be valid. Blanks between tokens are allowed, so it
//! serves `json` too. On text that is not valid the walk just ends early.

use std::borrow::Cow;

/// What `jsonb_typeof` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Null => "null",
        }
    }

    pub fn is_scalar(self) -> bool {
        !matches!(self, Self::Object | Self::Array)
    }
}

/// The kind of a valid value.
pub fn kind(text: &str) -> Kind {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    BeginObject,
    BeginArray,
    /// `}` or `]`.
    End,
    Comma,
    Colon,
    /// With its quotes.
    String(&'a str),
    Number(&'a str),
    True,
    False,
    Null,
}

pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        self.at = skip_blanks(bytes, self.at);
        let start = self.at;
        let token = match bytes.get(start)? {
            b'{' => Token::BeginObject,
            b'[' => Token::BeginArray,
            b'}' | b']' => Token::End,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => {
                self.at = string_end(bytes, start);
                return Some(Token::String(&self.text[start..self.at]));
            }
            _ => {
                self.at = scalar_end(bytes, start);
                return Some(match &self.text[start..self.at] {
                    "true" => Token::True,
                    "false" => Token::False,
                    "null" => Token::Null,
                    number => Token::Number(number),
                });
            }
        };
        self.at += 1;
        Some(token)
    }
}

pub(super) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Position behind the string that starts at `at`.
pub(super) fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Position behind the number or word that starts at `at`.
fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        if matches!(byte, b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r' | b'"') {
            break;
        }
        end += 1;
    }
    // Always move on, also over a stray quote.
    end.max(at + 1).min(bytes.len())
}

/// Position behind the value that starts at `at`.
pub(super) fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => {
            let (mut depth, mut at) = (0usize, at);
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'"' => {
                        at = string_end(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            bytes.len()
        }
        Some(_) => scalar_end(bytes, at),
        None => at,
    }
}

/// Elements of an array, as slices of its text.
pub(super) struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Elements<'a> {
    /// Nothing when `text` is not an array.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: open(text, b'[') }
    }
}

/// Position behind the opening bracket, or the end.
fn open(text: &str, bracket: u8) -> usize {
    let bytes = text.as_bytes();
    let start = skip_blanks(bytes, 0);
    if bytes.get(start) == Some(&bracket) { start + 1 } else { bytes.len() }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        self.at = skip_blanks(bytes, self.at);
        if bytes.get(self.at) == Some(&b',') {
            self.at = skip_blanks(bytes, self.at + 1);
        }
        if matches!(bytes.get(self.at)?, b']' | b'}') {
            return None;
        }
        let start = self.at;
        self.at = value_end(bytes, start);
        self.text.get(start..self.at)
    }
}

/// Members of an object: quoted key and value, as slices of its text.
pub(super) struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    /// Nothing when `text` is not an object.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: open(text, b'{') }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.text.as_bytes();
        self.at = skip_blanks(bytes, self.at);
        if bytes.get(self.at) == Some(&b',') {
            self.at = skip_blanks(bytes, self.at + 1);
        }
        if *bytes.get(self.at)? != b'"' {
            return None;
        }
        let start = self.at;
        let key_end = string_end(bytes, start);
        let colon = skip_blanks(bytes, key_end);
        if *bytes.get(colon)? != b':' {
            return None;
        }
        let value = skip_blanks(bytes, colon + 1);
        self.at = value_end(bytes, value);
        Some((self.text.get(start..key_end)?, self.text.get(value..self.at)?))
    }
}

/// The characters of a quoted string.
pub fn unquote(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return Cow::Borrowed(quoted) };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let Some(letter) = escape.chars().next() else { break };
        rest = &escape[letter.len_utf8()..];
        match letter {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let (character, used) = unicode_escape(rest);
                out.push(character);
                rest = rest.get(used..).unwrap_or("");
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of the four hex digits that `rest` starts with (and of the second half of a
/// surrogate pair), and how many bytes it took.
fn unicode_escape(rest: &str) -> (char, usize) {
    let unit = |text: Option<&str>| text.and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(rest.get(..4)) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if (0xd800..0xdc00).contains(&first)
        && rest.get(4..6) == Some("\\u")
        && let Some(second) = unit(rest.get(6..10))
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

/// `text` as a JSON string, with the escapes that PostgreSQL writes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(text, &mut out);
    out
}

pub fn quote_into(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}
