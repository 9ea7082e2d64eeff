//! Cuts one line into fields and takes their quoting off.

use satsuma_sql::bound::CopyOptions;

/// Where a field's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the line itself: nothing had to be taken off.
    Line,
    /// In the scratch buffer.
    Scratch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub place: Place,
    pub start: usize,
    pub end: usize,
    pub is_null: bool,
    /// A csv field with quotes in it; such a field is NULL only where FORCE_NULL says so.
    pub quoted: bool,
}

/// The fields of one line; its buffers are used again for the next.
#[derive(Default)]
pub struct Fields {
    pub fields: Vec<Field>,
    scratch: Vec<u8>,
    /// Escapes made bytes that the check of the line has not seen.
    pub needs_check: bool,
    /// The line ended inside a quoted field.
    pub unterminated: bool,
}

/// The first of two bytes, which mostly is a few bytes away: a call of `memchr` takes longer than
/// to look at those.
pub(super) fn find_near(one: u8, other: u8, bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 16;
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let is_one = |byte: &u8| *byte == one || *byte == other;
    near.iter()
        .position(is_one)
        .or_else(|| memchr::memchr2(one, other, far).map(|at| at + near.len()))
}

impl Fields {
    fn clear(&mut self) {
        self.fields.clear();
        self.scratch.clear();
        self.needs_check = false;
        self.unterminated = false;
    }

    pub fn bytes<'a>(&'a self, field: &Field, line: &'a [u8]) -> &'a [u8] {
        match field.place {
            Place::Line => &line[field.start..field.end],
            Place::Scratch => &self.scratch[field.start..field.end],
        }
    }

    /// Text format: fields end at the delimiter, backslashes quote.
    pub fn split_text(&mut self, line: &[u8], options: &CopyOptions) {
        self.clear();
        let null = options.null.as_bytes();
        if memchr::memchr(b'\\', line).is_none() {
            let mut start = 0;
            loop {
                let end = memchr::memchr(options.delimiter, &line[start..])
                    .map_or(line.len(), |offset| start + offset);
                self.plain(line, start, end, null);
                if end == line.len() {
                    return;
                }
                start = end + 1;
            }
        }
        let mut at = 0;
        loop {
            let (start, scratch_start) = (at, self.scratch.len());
            let mut escaped = false;
            while at < line.len() && line[at] != options.delimiter {
                if line[at] == b'\\' {
                    escaped = true;
                    at = self.unescape(line, at + 1);
                } else {
                    self.scratch.push(line[at]);
                    at += 1;
                }
            }
            // The null string is looked for in the field as it was written.
            if escaped && &line[start..at] != null {
                self.fields.push(Field {
                    place: Place::Scratch,
                    start: scratch_start,
                    end: self.scratch.len(),
                    is_null: false,
                    quoted: false,
                });
            } else {
                self.scratch.truncate(scratch_start);
                self.plain(line, start, at, null);
            }
            if at >= line.len() {
                return;
            }
            at += 1;
        }
    }

    fn plain(&mut self, line: &[u8], start: usize, end: usize, null: &[u8]) {
        let is_null = &line[start..end] == null;
        self.fields.push(Field { place: Place::Line, start, end, is_null, quoted: false });
    }

    /// Takes off one escape whose backslash is before `at`; answers where to go on.
    fn unescape(&mut self, line: &[u8], at: usize) -> usize {
        // One that ends the file escapes nothing.
        let Some(&byte) = line.get(at) else { return at };
        let plain = match byte {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => return self.numeric_escape(line, at, 8, 3),
            b'x' if line.get(at + 1).is_some_and(u8::is_ascii_hexdigit) => {
                return self.numeric_escape(line, at + 1, 16, 2);
            }
            other => other,
        };
        self.scratch.push(plain);
        at + 1
    }

    fn numeric_escape(&mut self, line: &[u8], mut at: usize, radix: u32, digits: usize) -> usize {
        let mut value = 0_u32;
        for _ in 0..digits {
            let Some(digit) = line.get(at).and_then(|byte| char::from(*byte).to_digit(radix))
            else {
                break;
            };
            value = value * radix + digit;
            at += 1;
        }
        let byte = (value & 0xff) as u8;
        if byte == 0 || byte >= 0x80 {
            self.needs_check = true;
        }
        self.scratch.push(byte);
        at
    }

    /// Csv: fields end at the delimiter outside quotes.
    pub fn split_csv(&mut self, line: &[u8], options: &CopyOptions) {
        self.clear();
        let null = options.null.as_bytes();
        let mut at = 0;
        loop {
            let start = at;
            at +=
                find_near(options.delimiter, options.quote, &line[at..]).unwrap_or(line.len() - at);
            if line.get(at) == Some(&options.quote) {
                at = self.quoted(line, start, at, options);
            } else {
                self.plain(line, start, at, null);
            }
            if at >= line.len() {
                return;
            }
            at += 1;
        }
    }

    /// A field with a quote at `at`.
    fn quoted(&mut self, line: &[u8], start: usize, mut at: usize, options: &CopyOptions) -> usize {
        let scratch_start = self.scratch.len();
        self.scratch.extend_from_slice(&line[start..at]);
        let mut in_quote = false;
        while at < line.len() {
            let byte = line[at];
            if !in_quote {
                if byte == options.delimiter {
                    break;
                }
                if byte == options.quote {
                    in_quote = true;
                } else {
                    self.scratch.push(byte);
                }
                at += 1;
                continue;
            }
            let next = line.get(at + 1).copied();
            if byte == options.escape
                && next.is_some_and(|next| next == options.quote || next == options.escape)
            {
                self.scratch.extend(next);
                at += 2;
                continue;
            }
            if byte == options.quote {
                in_quote = false;
            } else {
                self.scratch.push(byte);
            }
            at += 1;
        }
        self.unterminated |= in_quote;
        let end = self.scratch.len();
        let is_null = &self.scratch[scratch_start..end] == options.null.as_bytes();
        self.fields.push(Field {
            place: Place::Scratch,
            start: scratch_start,
            end,
            is_null,
            quoted: true,
        });
        at
    }
}

#[cfg(test)]
mod tests {
    use super::super::{csv_options, text_options};
    use super::*;

    fn read(fields: &Fields, line: &[u8]) -> Vec<Option<String>> {
        let value = |field: &Field| {
            (!field.is_null || field.quoted)
                .then(|| String::from_utf8_lossy(fields.bytes(field, line)).into_owned())
        };
        fields.fields.iter().map(value).collect()
    }

    fn some(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    #[test]
    fn text_fields_lose_their_escapes() {
        let mut fields = Fields::default();
        for (line, expected) in [
            (&b"a\tb\t"[..], some(&["a", "b", ""])),
            (b"a\\tb\tc", some(&["a\tb", "c"])),
            (b"\\x41\\102\\\\\tx\\", some(&["AB\\", "x"])),
            (b"a\\\tb", some(&["a\tb"])),
            (b"", some(&[""])),
        ] {
            fields.split_text(line, &text_options());
            assert_eq!(read(&fields, line), expected);
        }
        fields.split_text(b"\\N\t\\\\N\tN", &text_options());
        assert_eq!(read(&fields, b"\\N\t\\\\N\tN"), [None, Some("\\N".into()), Some("N".into())]);
    }

    #[test]
    fn csv_fields_lose_their_quotes() {
        let mut fields = Fields::default();
        for (line, expected) in [
            (&b"a,\"b,c\",\"d\"\"e\""[..], some(&["a", "b,c", "d\"e"])),
            (b"x\"y,\"z,w", some(&["xy,z", "w"])),
            (b"\"\"", some(&[""])),
        ] {
            fields.split_csv(line, &csv_options());
            assert_eq!(read(&fields, line), expected);
        }
        fields.split_csv(b"a,\"b", &csv_options());
        assert!(fields.unterminated);
        fields.split_csv(b",\"\",", &csv_options());
        assert!(!fields.unterminated);
        assert_eq!(read(&fields, b",\"\","), [None, Some(String::new()), None]);
    }

    #[test]
    fn an_escape_may_differ_from_the_quote() {
        let options =
            satsuma_sql::bound::CopyOptions { quote: b'\'', escape: b'\\', ..csv_options() };
        let mut fields = Fields::default();
        let line = b"'it\\'s \\n',b";
        fields.split_csv(line, &options);
        assert_eq!(read(&fields, line), some(&["it's \\n", "b"]));
    }
}
