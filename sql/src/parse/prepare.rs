//! PREPARE.

use satsuma_common::SqlResult;
use sqlparser::ast::{DataType, Ident};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::expect;
use super::tokens::{is_keyword, is_word};
use super::{Source, Statement, error, parse_statement, with_parser};

#[derive(Clone, Debug)]
pub struct Prepare {
    pub name: Ident,
    pub data_types: Vec<DataType>,
    pub statement: Box<Statement>,
}

/// What can be prepared begins so, or with a parenthesis.
const PREPARABLE: [&str; 8] =
    ["select", "values", "table", "with", "insert", "update", "delete", "merge"];

/// `None`: not this statement.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Prepare>> {
    let is = |at: usize, text| tokens.get(at).is_some_and(|token| is_word(&token.token, text));
    if !is(0, "prepare") || is(1, "transaction") {
        return Ok(None);
    }
    let end = tokens.iter().position(|token| is_keyword(&token.token, Keyword::AS));
    let end = end.map_or(tokens.len(), |at| at + 1);
    let (head, rest) = tokens.split_at(end);
    let (name, data_types) = with_parser(source, head, prepare)?;
    match rest.first() {
        Some(first)
            if first.token == Token::LParen
                || PREPARABLE.iter().any(|word| is_word(&first.token, word)) =>
        {
            let statement = Box::new(parse_statement(source, rest.to_vec())?);
            Ok(Some(Prepare { name, data_types, statement }))
        }
        Some(first) => Err(error::near(source, tokens, first.span.start)),
        None => Err(error::end_of_input(source, tokens)),
    }
}

fn prepare(parser: &mut Parser<'_>) -> Result<(Ident, Vec<DataType>), ParserError> {
    expect(parser, "prepare")?;
    let name = parser.parse_identifier()?;
    let mut types = Vec::new();
    if parser.consume_token(&Token::LParen) {
        types = parser.parse_comma_separated(Parser::parse_data_type)?;
        parser.expect_token(&Token::RParen)?;
    }
    parser.expect_keyword(Keyword::AS)?;
    Ok((name, types))
}
