//! COMMENT ON.

use satsuma_common::SqlResult;
use sqlparser::ast::{Ident, ObjectName};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{expect, take};
use super::tokens::is_word;
use super::{Source, with_parser};

#[derive(Clone, Debug)]
pub struct Comment {
    pub target: CommentTarget,
    /// `None`: the comment goes.
    pub text: Option<String>,
}

#[derive(Clone, Debug)]
pub enum CommentTarget {
    /// A table, view, index or sequence, which the word says in lower case.
    Relation(&'static str, ObjectName),
    Column(ObjectName),
    Constraint {
        name: Ident,
        table: ObjectName,
    },
    Type(ObjectName),
    Schema(Ident),
    Database(Ident),
    Role(Ident),
    Extension(Ident),
    /// What PostgreSQL knows and this does not.
    Unsupported(String),
}

/// `None`: not this statement.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Comment>> {
    let is = |at: usize, text| tokens.get(at).is_some_and(|token| is_word(&token.token, text));
    if !is(0, "comment") || !is(1, "on") {
        return Ok(None);
    }
    with_parser(source, tokens, comment).map(Some)
}

fn comment(parser: &mut Parser<'_>) -> Result<Comment, ParserError> {
    expect(parser, "comment")?;
    expect(parser, "on")?;
    let target = target(parser)?;
    if let CommentTarget::Unsupported(_) = target {
        while parser.next_token().token != Token::EOF {}
        return Ok(Comment { target, text: None });
    }
    expect(parser, "is")?;
    let text = match take(parser, "null") {
        true => None,
        false => Some(string(parser)?),
    };
    // An empty comment is none.
    Ok(Comment { target, text: text.filter(|text| !text.is_empty()) })
}

fn string(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text) => Ok(text),
        Token::DollarQuotedString(text) => Ok(text.value),
        _ => parser.expected("a string or NULL", token),
    }
}

fn target(parser: &mut Parser<'_>) -> Result<CommentTarget, ParserError> {
    for kind in ["table", "view", "index", "sequence"] {
        if take(parser, kind) {
            return Ok(CommentTarget::Relation(kind, parser.parse_object_name(false)?));
        }
    }
    Ok(if take(parser, "column") {
        CommentTarget::Column(parser.parse_object_name(false)?)
    } else if take(parser, "type") {
        CommentTarget::Type(parser.parse_object_name(false)?)
    } else if take(parser, "schema") {
        CommentTarget::Schema(parser.parse_identifier()?)
    } else if take(parser, "database") {
        CommentTarget::Database(parser.parse_identifier()?)
    } else if take(parser, "role") {
        CommentTarget::Role(parser.parse_identifier()?)
    } else if take(parser, "extension") {
        CommentTarget::Extension(parser.parse_identifier()?)
    } else if take(parser, "constraint") {
        let name = parser.parse_identifier()?;
        expect(parser, "on")?;
        if take(parser, "domain") {
            CommentTarget::Unsupported("CONSTRAINT ON DOMAIN".into())
        } else {
            CommentTarget::Constraint { name, table: parser.parse_object_name(false)? }
        }
    } else {
        let token = parser.next_token();
        match &token.token {
            Token::Word(word) if word.quote_style.is_none() => {
                CommentTarget::Unsupported(word.value.to_ascii_uppercase())
            }
            _ => return parser.expected("what the comment is on", token),
        }
    })
}
