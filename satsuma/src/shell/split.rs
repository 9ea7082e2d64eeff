//! Where statements end: at a `;` outside quotes, comments and parentheses, as in psql.

/// Collects lines until a statement is complete.
#[derive(Debug, Default)]
pub struct Splitter {
    text: String,
    /// Line of the input that `text` begins at.
    first_line: usize,
    lines: usize,
}

/// A complete statement, without its `;`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    /// Line of the input, from 1, that the statement begins at.
    pub line: usize,
}

/// What a piece of text is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing at all.
    Empty,
    Statement,
    SingleQuote,
    DoubleQuote,
    DollarQuote,
    Comment,
    Parenthesis,
}

impl Splitter {
    /// Takes a line; gives the statements that it completes.
    pub fn push_line(&mut self, line: &str) -> Vec<Statement> {
        self.lines += 1;
        if self.text.is_empty() {
            self.first_line = self.lines;
        }
        self.text.push_str(line);
        self.text.push('\n');
        let mut statements = Vec::new();
        while let Scan::Complete(end) = scan(&self.text) {
            let rest = self.text.split_off(end + 1);
            self.text.truncate(end);
            statements.extend(self.take());
            self.first_line = self.lines;
            self.text = rest;
        }
        if self.state() == State::Empty {
            self.text.clear();
        }
        statements
    }

    /// What is left at the end of the input, if it is more than blanks and comments.
    pub fn finish(&mut self) -> Option<Statement> {
        self.take()
    }

    pub fn forget(&mut self) {
        self.text.clear();
    }

    pub fn state(&self) -> State {
        match scan(&self.text) {
            Scan::Complete(_) => State::Statement,
            Scan::Open(state) => state,
        }
    }

    fn take(&mut self) -> Option<Statement> {
        let text = std::mem::take(&mut self.text);
        if matches!(scan(&text), Scan::Open(State::Empty)) {
            return None;
        }
        let blank = text.len() - text.trim_start().len();
        let line = self.first_line + text[..blank].matches('\n').count();
        Some(Statement { sql: text.trim().to_owned(), line })
    }
}

enum Scan {
    /// The first statement ends at this byte, a `;`.
    Complete(usize),
    Open(State),
}

fn scan(text: &str) -> Scan {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0_usize;
    let mut seen = false;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' => {
                seen = true;
                let escapes =
                    at > 0 && matches!(bytes[at - 1], b'e' | b'E') && begins_word(bytes, at - 1);
                match quoted(bytes, at, b'\'', escapes) {
                    Some(end) => at = end,
                    None => return Scan::Open(State::SingleQuote),
                }
            }
            b'"' => {
                seen = true;
                match quoted(bytes, at, b'"', false) {
                    Some(end) => at = end,
                    None => return Scan::Open(State::DoubleQuote),
                }
            }
            b'$' if begins_word(bytes, at) => {
                seen = true;
                match dollar_tag(bytes, at) {
                    None => at += 1,
                    Some(tag) => {
                        let body = at + tag.len();
                        match find(&bytes[body..], tag) {
                            Some(offset) => at = body + offset + tag.len(),
                            None => return Scan::Open(State::DollarQuote),
                        }
                    }
                }
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n);
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => match comment(bytes, at) {
                Some(end) => at = end,
                None => return Scan::Open(State::Comment),
            },
            b'(' => {
                seen = true;
                depth += 1;
                at += 1;
            }
            b')' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b';' if depth == 0 => return Scan::Complete(at),
            byte => {
                seen |= !byte.is_ascii_whitespace();
                at += 1;
            }
        }
    }
    Scan::Open(match (seen, depth) {
        (false, _) => State::Empty,
        (true, 0) => State::Statement,
        (true, _) => State::Parenthesis,
    })
}

/// Whether the byte at `at` is not inside an identifier.
fn begins_word(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'_' | b'$'))
}

/// The byte after a quoted piece; a doubled quote stays inside.
fn quoted(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
    None
}

/// `$$` or `$name$` at `at`.
fn dollar_tag(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = &bytes[at + 1..];
    let end = rest.iter().position(|byte| *byte == b'$')?;
    let name = &rest[..end];
    let valid = name.iter().enumerate().all(|(index, byte)| {
        byte.is_ascii_alphabetic()
            || *byte == b'_'
            || *byte >= 0x80
            || (index > 0 && byte.is_ascii_digit())
    });
    valid.then(|| &bytes[at..at + end + 2])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The byte after a comment; they nest.
fn comment(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => {
                depth += 1;
                at += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(usize, String)> {
        let mut splitter = Splitter::default();
        let mut found: Vec<Statement> =
            text.lines().flat_map(|line| splitter.push_line(line)).collect();
        found.extend(splitter.finish());
        found.into_iter().map(|statement| (statement.line, statement.sql)).collect()
    }

    #[test]
    fn semicolons_inside_quotes_do_not_count() {
        for text in [
            "select ';'",
            "select e'\\';'",
            "select \";\"",
            "select $$;$$",
            "select $a$ ; $$ ; $a$",
            "select 1 /* ; /* ; */ ; */ + 1",
            "select (1; 2)",
            "select 1 -- ;\n+ 1",
        ] {
            assert_eq!(split(&format!("{text};")), [(1, text.to_owned())], "{text}");
        }
    }

    #[test]
    fn statements_know_their_line() {
        let found = split("-- hello\n\nselect 1;\nselect\n2; select 3;\n\nselect 4");
        let sql: Vec<(usize, &str)> =
            found.iter().map(|(line, sql)| (*line, sql.as_str())).collect();
        assert_eq!(sql[0], (3, "select 1"));
        assert_eq!(sql[1], (4, "select\n2"));
        assert_eq!(sql[2], (5, "select 3"));
        assert_eq!(sql[3], (7, "select 4"));
    }

    #[test]
    fn blanks_and_comments_are_no_statement() {
        assert_eq!(split(";; -- x\n /* y */ ;\n"), []);
        let mut splitter = Splitter::default();
        splitter.push_line("select 'a");
        assert_eq!(splitter.state(), State::SingleQuote);
        splitter.push_line("b' (");
        assert_eq!(splitter.state(), State::Parenthesis);
        splitter.forget();
        assert_eq!(splitter.state(), State::Empty);
    }
}
