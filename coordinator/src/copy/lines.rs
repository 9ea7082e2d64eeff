//! Finds the ends of lines in a stream that arrives in chunks of any cut.
//!
//! What a newline is depends on the format: in text a backslash takes it away, in csv it belongs
//! to the field while a quote is open. The first line end decides the style (`\n`, `\r\n`, `\r`)
//! for the whole file; another style is an error. `\.` alone on a line ends the data.

use satsuma_common::{SqlError, SqlState};

use super::fields::find_near;

/// A line longer than this is not data but an attack or a missing quote.
const LONGEST_LINE: usize = 256 << 20;

/// How lines end, once known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eol {
    Unknown,
    Nl,
    CrNl,
    Cr,
}

/// What quoting means for line ends.
#[derive(Clone, Copy, Debug)]
pub enum Quoting {
    Text,
    Csv { quote: u8, escape: u8 },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The line without its end is at this range of [`LineReader::bytes`].
    Found(std::ops::Range<usize>),
    NeedMore,
    /// No further line comes.
    End,
}

pub struct LineReader {
    buffer: Vec<u8>,
    /// Start of the line being looked for.
    start: usize,
    /// Everything from `start` to here was looked at.
    at: usize,
    in_quote: bool,
    after_escape: bool,
    quoting: Quoting,
    eol: Eol,
    /// Lines read so far. Line ends inside quotes count once it is known how lines end.
    pub line: u64,
    /// No more input comes.
    ended: bool,
    /// `\.` was seen: the rest of the input is passed over.
    marked: bool,
}

impl LineReader {
    pub fn new(quoting: Quoting) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            at: 0,
            in_quote: false,
            after_escape: false,
            quoting,
            eol: Eol::Unknown,
            line: 0,
            ended: false,
            marked: false,
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if self.marked {
            return;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// Bytes of the lines since [`LineReader::take_read`].
    pub fn read_bytes(&self) -> usize {
        self.start
    }

    /// The bytes of the lines that were read, for which their ranges are. The next lines' ranges
    /// count from where these end.
    pub fn take_read(&mut self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(self.buffer.capacity());
        rest.extend_from_slice(&self.buffer[self.start..]);
        self.buffer.truncate(self.start);
        self.at -= self.start;
        self.start = 0;
        std::mem::replace(&mut self.buffer, rest)
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The next line. Its range is valid until [`LineReader::take_read`].
    pub fn next_line(&mut self) -> Result<Line, SqlError> {
        if self.marked {
            return Ok(Line::End);
        }
        if self.at == self.start {
            self.in_quote = false;
            self.after_escape = false;
        }
        loop {
            let Some(at) = self.next_special() else {
                self.at = self.buffer.len();
                return self.at_end_of_input();
            };
            self.at = at;
            let byte = self.buffer[at];
            match byte {
                b'\n' if !self.in_quote => return self.end_at_newline(at),
                b'\r' if !self.in_quote => match self.end_at_return(at)? {
                    Some(line) => return Ok(line),
                    None => return self.wait(),
                },
                b'\\' if self.may_mark(at) => match self.marker_at(at)? {
                    Marker::No { skip } => {
                        self.note_csv(byte);
                        self.at = at + skip;
                    }
                    Marker::Yes => {
                        self.marked = true;
                        if at > self.start {
                            return Ok(self.found(at, 0));
                        }
                        return Ok(Line::End);
                    }
                    Marker::NeedMore => return self.wait(),
                },
                _ => {
                    self.note_csv(byte);
                    if self.in_quote && byte == self.quoted_newline() {
                        self.line += 1;
                    }
                    self.at = at + 1;
                }
            }
        }
    }

    /// The next byte that can matter, from `at` on.
    fn next_special(&mut self) -> Option<usize> {
        let rest = self.buffer.get(self.at..)?;
        let found = match self.quoting {
            Quoting::Text => memchr::memchr3(b'\n', b'\r', b'\\', rest),
            Quoting::Csv { quote, escape } if quote == escape => {
                let first = find_near(b'\n', quote, rest);
                let before = &rest[..first.unwrap_or(rest.len())];
                memchr::memchr2(b'\r', b'\\', before).or(first)
            }
            Quoting::Csv { quote, escape } => {
                let special = |byte: &u8| {
                    matches!(*byte, b'\n' | b'\r' | b'\\') || *byte == quote || *byte == escape
                };
                // An escape only counts right before what follows it.
                if self.after_escape && rest.first().is_some_and(|byte| !special(byte)) {
                    self.after_escape = false;
                }
                let found = rest.iter().position(special);
                if found.is_some_and(|at| at > 0) {
                    self.after_escape = false;
                }
                found
            }
        };
        found.map(|offset| self.at + offset)
    }

    /// Keeps track of quotes, as `CopyReadLineText` does.
    fn note_csv(&mut self, byte: u8) {
        let Quoting::Csv { quote, escape } = self.quoting else { return };
        let escape = (escape != quote).then_some(escape);
        if self.in_quote && Some(byte) == escape {
            self.after_escape = !self.after_escape;
        }
        if byte == quote && !self.after_escape {
            self.in_quote = !self.in_quote;
        }
        if Some(byte) != escape {
            self.after_escape = false;
        }
    }

    fn quoted_newline(&self) -> u8 {
        match self.eol {
            Eol::Nl => b'\n',
            // As in PostgreSQL: while no line has ended, newlines do not count.
            Eol::Cr | Eol::CrNl | Eol::Unknown => b'\r',
        }
    }

    fn end_at_newline(&mut self, at: usize) -> Result<Line, SqlError> {
        match self.eol {
            Eol::Unknown | Eol::Nl => {
                self.eol = Eol::Nl;
                Ok(self.found(at, 1))
            }
            Eol::Cr | Eol::CrNl => Err(self.bad_style("newline", "\\n")),
        }
    }

    /// `None`: what follows must be seen first.
    fn end_at_return(&mut self, at: usize) -> Result<Option<Line>, SqlError> {
        let next = self.buffer.get(at + 1);
        if next.is_none() && !self.ended && matches!(self.eol, Eol::Unknown | Eol::CrNl) {
            return Ok(None);
        }
        let newline_follows = next == Some(&b'\n');
        match self.eol {
            Eol::Unknown if newline_follows => self.eol = Eol::CrNl,
            Eol::Unknown => self.eol = Eol::Cr,
            Eol::CrNl if newline_follows => {}
            Eol::Cr => {}
            Eol::CrNl | Eol::Nl => return Err(self.bad_style("carriage return", "\\r")),
        }
        let length = if self.eol == Eol::CrNl { 2 } else { 1 };
        Ok(Some(self.found(at, length)))
    }

    fn bad_style(&mut self, name: &str, code: &str) -> SqlError {
        self.line += 1;
        let (found, hint) = match self.quoting {
            Quoting::Text => (
                format!("literal {name} found in data"),
                format!("Use \"{code}\" to represent {name}."),
            ),
            Quoting::Csv { .. } => (
                format!("unquoted {name} found in data"),
                format!("Use quoted CSV field to represent {name}."),
            ),
        };
        SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, found).hint(hint)
    }

    fn found(&mut self, at: usize, eol_length: usize) -> Line {
        let range = self.start..at;
        self.start = at + eol_length;
        self.at = self.start;
        self.line += 1;
        Line::Found(range)
    }

    /// Whether a backslash here may begin `\.`: anywhere in text, at a line's start in csv.
    fn may_mark(&self, at: usize) -> bool {
        match self.quoting {
            Quoting::Text => true,
            Quoting::Csv { .. } => at == self.start,
        }
    }

    /// What the backslash here begins. A line end must follow `\.`, in text of the same style as
    /// before; in csv what has none is data.
    fn marker_at(&mut self, at: usize) -> Result<Marker, SqlError> {
        let csv = matches!(self.quoting, Quoting::Csv { .. });
        match self.buffer.get(at + 1) {
            None if self.ended => return Ok(Marker::No { skip: 1 }),
            None => return Ok(Marker::NeedMore),
            Some(b'.') => {}
            Some(_) => return Ok(Marker::No { skip: if csv { 1 } else { 2 } }),
        }
        let mut next = at + 2;
        if self.eol == Eol::CrNl {
            match self.buffer.get(next) {
                None if !self.ended => return Ok(Marker::NeedMore),
                Some(b'\r') => next += 1,
                _ if csv => return Ok(Marker::No { skip: 1 }),
                Some(b'\n') => return Err(self.bad_marker(OTHER_STYLE)),
                _ => return Err(self.bad_marker(CORRUPT)),
            }
        }
        let end = match self.buffer.get(next) {
            None if !self.ended => return Ok(Marker::NeedMore),
            Some(end @ (b'\n' | b'\r')) => *end,
            _ if csv => return Ok(Marker::No { skip: 1 }),
            _ => return Err(self.bad_marker(CORRUPT)),
        };
        let same_style = match self.eol {
            Eol::Unknown => true,
            Eol::Nl | Eol::CrNl => end == b'\n',
            Eol::Cr => end == b'\r',
        };
        if same_style { Ok(Marker::Yes) } else { Err(self.bad_marker(OTHER_STYLE)) }
    }

    fn bad_marker(&mut self, problem: &str) -> SqlError {
        self.line += 1;
        SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, format!("end-of-copy marker {problem}"))
    }

    fn wait(&self) -> Result<Line, SqlError> {
        if self.buffer.len() - self.start > LONGEST_LINE {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a line of COPY data is longer than {LONGEST_LINE} bytes"),
            ));
        }
        Ok(Line::NeedMore)
    }

    fn at_end_of_input(&mut self) -> Result<Line, SqlError> {
        if !self.ended {
            return self.wait();
        }
        if self.start == self.buffer.len() {
            return Ok(Line::End);
        }
        // A quote that is still open is for the one who splits the line to complain of.
        Ok(self.found(self.buffer.len(), 0))
    }
}

const CORRUPT: &str = "corrupt";
const OTHER_STYLE: &str = "does not match previous newline style";

enum Marker {
    Yes,
    No {
        /// Bytes to step over: a backslash in text takes the next byte with it.
        skip: usize,
    },
    NeedMore,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Quoting = Quoting::Csv { quote: b'"', escape: b'"' };

    fn lines(quoting: Quoting, input: &[u8], cut: usize) -> Result<Vec<String>, String> {
        let mut reader = LineReader::new(quoting);
        let mut lines = vec![];
        let mut chunks = input.chunks(cut);
        loop {
            match reader.next_line().map_err(|error| error.message().to_owned())? {
                Line::Found(range) => {
                    lines.push(String::from_utf8_lossy(&reader.bytes()[range]).into_owned());
                }
                Line::NeedMore => match chunks.next() {
                    Some(chunk) => reader.push(chunk),
                    None => reader.end(),
                },
                Line::End => return Ok(lines),
            }
        }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_input_is_cut() {
        let text: &[(&[u8], &[&str])] = &[
            (b"a\nb\n", &["a", "b"]),
            (b"a\r\nb", &["a", "b"]),
            (b"a\rb\r", &["a", "b"]),
            (b"a\\\nb\nc", &["a\\\nb", "c"]),
            (b"a\\\\\nb\n", &["a\\\\", "b"]),
            (b"a\n\\.\nrest", &["a"]),
            (b"a\n\n\\.\n", &["a", ""]),
            (b"a\r\n\\.\r\nrest", &["a"]),
            (b"a\\.\nrest", &["a"]),
            (b"", &[]),
        ];
        for (input, expected) in text {
            for cut in 1..5 {
                assert_eq!(lines(Quoting::Text, input, cut).unwrap(), *expected, "{input:?}");
            }
        }
        let csv: &[(&[u8], &[&str])] = &[
            (b"\"a\nb\",c\nd\n", &["\"a\nb\",c", "d"]),
            (b"\"a\"\"\nb\"\nc", &["\"a\"\"\nb\"", "c"]),
            (b"\\.x\n\\.\nrest", &["\\.x"]),
            (b"a\n\\.", &["a", "\\."]),
            (b"\"a\nb", &["\"a\nb"]),
            (b"a\\\nb\n", &["a\\", "b"]),
        ];
        for (input, expected) in csv {
            for cut in 1..5 {
                assert_eq!(lines(CSV, input, cut).unwrap(), *expected, "{input:?}");
            }
        }
    }

    #[test]
    fn an_escape_other_than_the_quote_is_heeded() {
        let quoting = Quoting::Csv { quote: b'\'', escape: b'\\' };
        for cut in 1..4 {
            let found = lines(quoting, b"'a\\'\nb'\nc", cut).unwrap();
            assert_eq!(found, ["'a\\'\nb'", "c"]);
            let found = lines(quoting, b"'a\\x'\nb\n", cut).unwrap();
            assert_eq!(found, ["'a\\x'", "b"]);
        }
    }

    #[test]
    fn mixed_and_broken_endings_are_errors() {
        let other_style = "end-of-copy marker does not match previous newline style";
        for (quoting, input, message) in [
            (Quoting::Text, &b"a\nb\r\n"[..], "literal carriage return found in data"),
            (Quoting::Text, b"a\r\nb\n", "literal newline found in data"),
            (CSV, b"a\nb\rc\n", "unquoted carriage return found in data"),
            (Quoting::Text, b"\\.x\n", "end-of-copy marker corrupt"),
            (Quoting::Text, b"a\n\\.", "end-of-copy marker corrupt"),
            (Quoting::Text, b"a\r\n\\.\r", "end-of-copy marker corrupt"),
            (Quoting::Text, b"a\r\n\\.\n", other_style),
            (Quoting::Text, b"a\n\\.\r\n", other_style),
            (Quoting::Text, b"a\r\\.\n", other_style),
            (CSV, b"a\n\\.\r\n", other_style),
            (CSV, b"a\r\n\\.\n", "unquoted newline found in data"),
        ] {
            for cut in 1..4 {
                assert_eq!(lines(quoting, input, cut).unwrap_err(), message);
            }
        }
    }
}
