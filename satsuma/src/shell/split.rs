//! Where statements end: at a `;` outside quotes, comments and parentheses, as in psql.

/// Collects lines until a statement is complete.
#[derive(Debug, Default)]
pub struct Splitter {
    text: String,
    scanner: Scanner,
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
        while let Some(end) = self.scanner.advance(self.text.as_bytes()) {
            let rest = self.text.split_off(end + 1);
            self.text.truncate(end);
            statements.extend(self.take());
            self.first_line = self.lines;
            self.text = rest;
        }
        if self.state() == State::Empty {
            self.forget();
        }
        statements
    }

    /// What is left at the end of the input, if it is more than blanks and comments.
    pub fn finish(&mut self) -> Option<Statement> {
        self.take()
    }

    pub fn forget(&mut self) {
        self.text.clear();
        self.scanner = Scanner::default();
    }

    pub fn state(&self) -> State {
        self.scanner.state()
    }

    fn take(&mut self) -> Option<Statement> {
        let text = std::mem::take(&mut self.text);
        if std::mem::take(&mut self.scanner).state() == State::Empty {
            return None;
        }
        let blank = text.len() - text.trim_start().len();
        let line = self.first_line + text[..blank].matches('\n').count();
        Some(Statement { sql: text.trim().to_owned(), line })
    }
}

/// Where the scan of a statement stands. It goes on line by line: nothing that is longer than a
/// byte and has a meaning reaches over the end of a line.
#[derive(Debug, Default)]
struct Scanner {
    at: usize,
    depth: usize,
    /// There was more than blanks and comments.
    seen: bool,
    inside: Option<Inside>,
}

#[derive(Debug)]
enum Inside {
    Quotes {
        quote: u8,
        escapes: bool,
    },
    Dollars(Vec<u8>),
    /// So many deep.
    Comment(usize),
}

impl Scanner {
    fn state(&self) -> State {
        match (&self.inside, self.seen, self.depth) {
            (Some(Inside::Quotes { quote: b'"', .. }), ..) => State::DoubleQuote,
            (Some(Inside::Quotes { .. }), ..) => State::SingleQuote,
            (Some(Inside::Dollars(_)), ..) => State::DollarQuote,
            (Some(Inside::Comment(_)), ..) => State::Comment,
            (None, false, _) => State::Empty,
            (None, true, 0) => State::Statement,
            (None, true, _) => State::Parenthesis,
        }
    }

    /// Goes on to the `;` that ends the statement, or to the end of the text.
    fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        while self.at < bytes.len() {
            let at = self.at;
            if let Some(inside) = &mut self.inside {
                let (at, is_over) = inside.pass(bytes, at);
                self.at = at.min(bytes.len());
                if is_over {
                    self.inside = None;
                }
                continue;
            }
            self.at += 1;
            match bytes[at] {
                quote @ (b'\'' | b'"') => {
                    self.seen = true;
                    let escapes = quote == b'\''
                        && at > 0
                        && matches!(bytes[at - 1], b'e' | b'E')
                        && begins_word(bytes, at - 1);
                    self.inside = Some(Inside::Quotes { quote, escapes });
                }
                b'$' if begins_word(bytes, at) => {
                    self.seen = true;
                    if let Some(tag) = dollar_tag(bytes, at) {
                        self.at = at + tag.len();
                        self.inside = Some(Inside::Dollars(tag.to_vec()));
                    }
                }
                b'-' if bytes.get(at + 1) == Some(&b'-') => {
                    let end = bytes[at..].iter().position(|byte| *byte == b'\n');
                    self.at = end.map_or(bytes.len(), |end| at + end);
                }
                b'/' if bytes.get(at + 1) == Some(&b'*') => {
                    self.at = at + 2;
                    self.inside = Some(Inside::Comment(1));
                }
                b'(' => {
                    self.seen = true;
                    self.depth += 1;
                }
                b')' => self.depth = self.depth.saturating_sub(1),
                b';' if self.depth == 0 => return Some(at),
                byte => self.seen |= !byte.is_ascii_whitespace(),
            }
        }
        None
    }
}

impl Inside {
    /// The byte to go on at, and whether it is behind the end of this.
    fn pass(&mut self, bytes: &[u8], mut at: usize) -> (usize, bool) {
        match self {
            Self::Quotes { quote, escapes } => {
                while at < bytes.len() {
                    if *escapes && bytes[at] == b'\\' {
                        at += 2;
                    } else if bytes[at] != *quote {
                        at += 1;
                    } else if bytes.get(at + 1) == Some(quote) {
                        at += 2;
                    } else {
                        return (at + 1, true);
                    }
                }
            }
            Self::Dollars(tag) => {
                while at < bytes.len() {
                    if bytes[at..].starts_with(tag) {
                        return (at + tag.len(), true);
                    }
                    at += 1;
                }
            }
            Self::Comment(depth) => {
                while at < bytes.len() {
                    if bytes[at..].starts_with(b"/*") {
                        *depth += 1;
                        at += 2;
                    } else if bytes[at..].starts_with(b"*/") {
                        *depth -= 1;
                        at += 2;
                        if *depth == 0 {
                            return (at, true);
                        }
                    } else {
                        at += 1;
                    }
                }
            }
        }
        (at, false)
    }
}

/// Whether the byte at `at` is not inside an identifier.
fn begins_word(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'_' | b'$'))
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
    fn what_is_open_stays_open_over_lines() {
        let text = "select 'a;\n''b;' || e'\\\n;' || $x$;\n$y$;$x$ /* ;\n/* ;\n*/ ; */ || \"c;\n\"";
        assert_eq!(
            split(&format!("{text};\nselect 2;")),
            [(1, text.to_owned()), (8, "select 2".to_owned())]
        );
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
