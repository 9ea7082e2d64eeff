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
    /// A table, view, materialized view, index or sequence, which the word says in lower case.
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
    Ok(if take(parser, "materialized") {
        expect(parser, "view")?;
        CommentTarget::Relation("materialized view", parser.parse_object_name(false)?)
    } else if take(parser, "column") {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Command, Statement};

    fn comment(sql: &str) -> Comment {
        let parsed = crate::parse::parse(sql).expect(sql);
        let Statement::Command(command) = &parsed[0].statement else { panic!("{sql}") };
        let Command::Comment(comment) = command.as_ref() else { panic!("{sql}") };
        comment.clone()
    }

    #[test]
    fn what_is_commented_on() {
        let found = comment("COMMENT ON CONSTRAINT \"C\" ON public.t IS 'it''s'");
        let CommentTarget::Constraint { name, table } = &found.target else { panic!() };
        assert_eq!((name.value.as_str(), table.to_string().as_str()), ("C", "public.t"));
        assert_eq!(found.text.as_deref(), Some("it's"));
        let found = comment("comment on column a.b.c is null");
        assert!(matches!(found.target, CommentTarget::Column(name) if name.0.len() == 3));
        assert_eq!(found.text, None);
        assert_eq!(comment("COMMENT ON TABLE t IS ''").text, None);
        let found = comment("COMMENT ON FUNCTION f(int) IS 'x'");
        assert!(matches!(found.target, CommentTarget::Unsupported(what) if what == "FUNCTION"));
        assert!(crate::parse::parse("COMMENT ON TABLE t IS word").is_err());
    }
}
