//! Syntax errors as PostgreSQL words them.

use satsuma_common::{SqlError, SqlState};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::Source;

/// What PostgreSQL says of a parse that failed: `syntax error at or near "..."`.
pub fn syntax(
    source: &Source,
    tokens: &[TokenWithSpan],
    parser: &Parser<'_>,
    error: &ParserError,
) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded");
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    if message.contains("found: EOF") {
        return end_of_input(source, tokens);
    }
    match location_in(message) {
        Some(location) => near(source, tokens, location),
        None => {
            let token = parser.peek_token();
            if token.token == Token::EOF {
                end_of_input(source, tokens)
            } else {
                near(source, tokens, token.span.start)
            }
        }
    }
}

/// `syntax error at or near "token"`, at the token that starts at or covers `location`.
pub fn near(source: &Source, tokens: &[TokenWithSpan], location: Location) -> SqlError {
    let token = tokens.iter().find(|token| token.span.end > location);
    match token {
        Some(token) => {
            let text = source.slice(token.span.start, token.span.end);
            SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{text}\""))
                .at(source.position(token.span.start))
        }
        None => end_of_input(source, tokens),
    }
}

pub fn end_of_input(source: &Source, tokens: &[TokenWithSpan]) -> SqlError {
    let position = tokens.last().map_or(source.end(), |last| source.position(last.span.end));
    // A semicolon after the statement is where PostgreSQL stumbles.
    let rest = tokens.last().map_or("", |last| &source.text()[source.byte(last.span.end)..]);
    let blank = rest.len() - rest.trim_start().len();
    if rest.trim_start().starts_with(';') {
        let blanks = u32::try_from(rest[..blank].chars().count()).unwrap_or(0);
        return SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \";\"")
            .at(position + blanks);
    }
    SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").at(source.end())
}

/// The `at Line: 1, Column: 8` that sqlparser puts at the end of its messages.
fn location_in(message: &str) -> Option<Location> {
    let (_, tail) = message.rsplit_once("at Line: ")?;
    let (line, column) = tail.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.trim().parse().ok()?, column: digits.parse().ok()? })
}
