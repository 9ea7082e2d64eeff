//! COPY, with its options in both notations: `WITH (FORMAT csv, HEADER)` and the older
//! `WITH CSV HEADER`. Options are checked against each other where the statement is bound.

use satsuma_common::SqlResult;
use sqlparser::ast::{Expr, Ident, ObjectName, Query};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Source, tokens, with_parser};

#[derive(Clone, Debug)]
pub struct CopyStatement {
    pub source: CopySource,
    /// FROM (into the table) or TO.
    pub from: bool,
    pub endpoint: CopyEndpoint,
    /// Lower-case names, in order; duplicates are the binder's to refuse.
    pub options: Vec<(Ident, CopyValue)>,
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum CopySource {
    Table { name: ObjectName, columns: Vec<Ident> },
    Query(Box<Query>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyEndpoint {
    /// STDIN or STDOUT.
    Client,
    File(String),
    Program(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyValue {
    None,
    Text(String),
    Columns(Vec<Ident>),
    /// `*`
    All,
}

/// `None`: not a COPY.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<CopyStatement>> {
    if !tokens.first().is_some_and(|first| tokens::is_keyword(&first.token, Keyword::COPY)) {
        return Ok(None);
    }
    with_parser(source, &tokens::adapt(tokens.to_vec()), copy).map(Some)
}

fn copy(parser: &mut Parser<'_>) -> Result<CopyStatement, ParserError> {
    parser.expect_keyword_is(Keyword::COPY)?;
    let mut options = Vec::new();
    if parser.peek_keyword(Keyword::BINARY) {
        let token = parser.next_token();
        options.push((format_option(&token), CopyValue::Text("binary".into())));
    }
    let source = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        CopySource::Query(query)
    } else {
        let name = parser.parse_object_name(false)?;
        let columns =
            if parser.peek_token().token == Token::LParen { columns(parser)? } else { Vec::new() };
        CopySource::Table { name, columns }
    };
    let from = parser.expect_one_of_keywords(&[Keyword::FROM, Keyword::TO])? == Keyword::FROM;
    if from && matches!(source, CopySource::Query(_)) {
        parser.prev_token();
        let token = parser.peek_token();
        return parser.expected("TO", token);
    }
    let endpoint = endpoint(parser)?;
    if parser.parse_keyword(Keyword::USING) {
        let token = parser.next_token();
        if !tokens::is_word(&token.token, "delimiters") {
            return parser.expected("DELIMITERS", token);
        }
        options.push((named("delimiter", &token), CopyValue::Text(string(parser)?)));
    } else if tokens::is_word(&parser.peek_token_ref().token, "delimiters") {
        let token = parser.next_token();
        options.push((named("delimiter", &token), CopyValue::Text(string(parser)?)));
    }
    let _ = parser.parse_keyword(Keyword::WITH);
    if parser.consume_token(&Token::LParen) {
        loop {
            options.push(generic_option(parser)?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    } else {
        while let Some(option) = old_option(parser)? {
            options.push(option);
        }
    }
    let filter = if from && parser.parse_keyword(Keyword::WHERE) {
        Some(parser.parse_expr()?)
    } else {
        None
    };
    Ok(CopyStatement { source, from, endpoint, options, filter })
}

fn endpoint(parser: &mut Parser<'_>) -> Result<CopyEndpoint, ParserError> {
    if parser.parse_one_of_keywords(&[Keyword::STDIN, Keyword::STDOUT]).is_some() {
        Ok(CopyEndpoint::Client)
    } else if parser.parse_keyword(Keyword::PROGRAM) {
        Ok(CopyEndpoint::Program(string(parser)?))
    } else {
        Ok(CopyEndpoint::File(string(parser)?))
    }
}

/// `NAME [value]` of the parenthesised notation.
fn generic_option(parser: &mut Parser<'_>) -> Result<(Ident, CopyValue), ParserError> {
    let mut name = parser.parse_identifier()?;
    if name.quote_style.is_none() {
        name.value = name.value.to_ascii_lowercase();
    }
    let token = parser.peek_token();
    let value = match &token.token {
        Token::Comma | Token::RParen => CopyValue::None,
        Token::Mul => {
            parser.next_token();
            CopyValue::All
        }
        Token::LParen => CopyValue::Columns(columns(parser)?),
        Token::Word(word) => {
            parser.next_token();
            let folded = word.quote_style.is_none();
            CopyValue::Text(if folded {
                word.value.to_ascii_lowercase()
            } else {
                word.value.clone()
            })
        }
        Token::Number(number, _) => {
            parser.next_token();
            CopyValue::Text(number.clone())
        }
        _ => CopyValue::Text(string(parser)?),
    };
    Ok((name, value))
}

/// One option of the older notation; `None` at its end.
fn old_option(parser: &mut Parser<'_>) -> Result<Option<(Ident, CopyValue)>, ParserError> {
    let token = parser.peek_token();
    let Token::Word(word) = &token.token else { return Ok(None) };
    let text = word.value.to_ascii_lowercase();
    let option = match text.as_str() {
        "binary" | "csv" => {
            parser.next_token();
            (format_option(&token), CopyValue::Text(text))
        }
        "freeze" | "header" => {
            parser.next_token();
            (named(&text, &token), CopyValue::None)
        }
        "delimiter" | "null" | "quote" | "escape" => {
            parser.next_token();
            let _ = parser.parse_keyword(Keyword::AS);
            (named(&text, &token), CopyValue::Text(string(parser)?))
        }
        "encoding" => {
            parser.next_token();
            (named(&text, &token), CopyValue::Text(string(parser)?))
        }
        "force" => {
            parser.next_token();
            if parser.parse_keyword(Keyword::NOT) {
                parser.expect_keyword(Keyword::NULL)?;
                (named("force_not_null", &token), CopyValue::Columns(bare_columns(parser)?))
            } else if parser.parse_keyword(Keyword::NULL) {
                (named("force_null", &token), CopyValue::Columns(bare_columns(parser)?))
            } else {
                let quote = parser.peek_token();
                if !tokens::is_word(&quote.token, "quote") {
                    return parser.expected("QUOTE", quote);
                }
                parser.next_token();
                let value = if parser.consume_token(&Token::Mul) {
                    CopyValue::All
                } else {
                    CopyValue::Columns(bare_columns(parser)?)
                };
                (named("force_quote", &token), value)
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(option))
}

fn columns(parser: &mut Parser<'_>) -> Result<Vec<Ident>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let columns = bare_columns(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

fn bare_columns(parser: &mut Parser<'_>) -> Result<Vec<Ident>, ParserError> {
    parser.parse_comma_separated(|parser| parser.parse_identifier())
}

fn string(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok(text),
        Token::DollarQuotedString(quoted) => Ok(quoted.value),
        _ => parser.expected("a string", token),
    }
}

fn named(name: &str, token: &TokenWithSpan) -> Ident {
    Ident { value: name.into(), quote_style: None, span: token.span }
}

fn format_option(token: &TokenWithSpan) -> Ident {
    named("format", token)
}
