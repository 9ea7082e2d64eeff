//! `INSERT .. OVERRIDING SYSTEM VALUE`, which the grammar behind does not know: it goes into the
//! list of columns, which that one reads.
//!
//! ```text
//! INSERT INTO t (a, b) OVERRIDING USER VALUE VALUES (1, 2)
//!   ->  INSERT INTO t ("overriding user", a, b) VALUES (1, 2)
//! ```
//!
//! The name begins with a NUL, which no query string can have.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::{is_keyword, is_word};

/// What becomes of values for identity columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overriding {
    /// GENERATED ALWAYS takes none.
    #[default]
    Nothing,
    /// They are stored.
    System,
    /// They give way to the columns' own.
    User,
}

const SYSTEM: &str = "\0overriding system";
const USER: &str = "\0overriding user";

/// What the statement said, and the columns that it named.
pub fn overriding(columns: &[ObjectName]) -> (Overriding, &[ObjectName]) {
    let Some((first, rest)) = columns.split_first() else { return (Overriding::Nothing, columns) };
    let mark = match first.0.as_slice() {
        [ObjectNamePart::Identifier(Ident { value, .. })] => value.as_str(),
        _ => "",
    };
    match mark {
        SYSTEM => (Overriding::System, rest),
        USER => (Overriding::User, rest),
        _ => (Overriding::Nothing, columns),
    }
}

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let clause = |it: &[TokenWithSpan]| {
        is_word(&it[0].token, "overriding")
            && (is_word(&it[1].token, "system") || is_word(&it[1].token, "user"))
            && is_word(&it[2].token, "value")
    };
    let mut from = 0;
    while let Some(at) = tokens.get(from..).and_then(|rest| rest.windows(3).position(clause)) {
        let at = from + at;
        let span = tokens[at].span;
        let mark = if is_word(&tokens[at + 1].token, "system") { SYSTEM } else { USER };
        tokens.drain(at..at + 3);
        let of = |token| TokenWithSpan { token, span };
        let name = of(Token::Word(Word {
            value: mark.into(),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        }));
        let open = tokens[..at].iter().rposition(|it| it.token == Token::LParen);
        match open.filter(|_| at > 0 && tokens[at - 1].token == Token::RParen) {
            Some(open) => drop(tokens.splice(open + 1..open + 1, [name, of(Token::Comma)])),
            // DEFAULT VALUES gives no value to any column.
            None if tokens.get(at).is_some_and(|it| is_keyword(&it.token, Keyword::DEFAULT)) => {}
            None => drop(tokens.splice(at..at, [of(Token::LParen), name, of(Token::RParen)])),
        }
        from = at;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Statement, parse};

    fn read(sql: &str) -> (Overriding, usize) {
        let parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let Some(Statement::Sql(statement)) = parsed.into_iter().next().map(|it| it.statement)
        else {
            panic!("{sql}: no SQL")
        };
        let sqlparser::ast::Statement::Insert(insert) = *statement else { panic!("{sql}") };
        let (found, columns) = overriding(&insert.columns);
        (found, columns.len())
    }

    #[test]
    fn columns_are_told_from_what_is_overridden() {
        for (sql, found) in [
            ("INSERT INTO t VALUES (1)", (Overriding::Nothing, 0)),
            ("INSERT INTO t (a) VALUES (1)", (Overriding::Nothing, 1)),
            ("INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1)", (Overriding::System, 0)),
            ("INSERT INTO t (a, b) OVERRIDING USER VALUE SELECT 1, 2", (Overriding::User, 2)),
            ("INSERT INTO t AS x OVERRIDING USER VALUE SELECT 1, 2", (Overriding::User, 0)),
            ("INSERT INTO t OVERRIDING USER VALUE DEFAULT VALUES", (Overriding::Nothing, 0)),
        ] {
            assert_eq!(read(sql), found, "{sql}");
        }
    }
}
