//! DROP of what there can be none of: triggers, rules, domains, .... Scripts of migrations say
//! `DROP .. IF EXISTS` of them, and are answered as by a database that happens to have none.

use satsuma_common::SqlResult;
use sqlparser::ast::{DataType, Ident, ObjectName};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{expect, take};
use super::tokens::{self, is_word};
use super::{Source, with_parser};

#[derive(Clone, Debug)]
pub struct DropAbsent {
    /// Upper case, as in the command tag.
    pub kind: &'static str,
    pub if_exists: bool,
    pub objects: Vec<Absent>,
}

/// What is named, which is not there.
#[derive(Clone, Debug)]
pub enum Absent {
    Named(ObjectName),
    /// Of a table: a trigger, rule or policy.
    Of {
        name: Ident,
        table: ObjectName,
    },
    /// Told apart by the types of arguments; without them where only the name is given.
    Called {
        name: ObjectName,
        types: Option<Vec<DataType>>,
    },
    /// An operator class or family.
    Using {
        name: ObjectName,
        method: Ident,
    },
}

#[derive(Clone, Copy)]
enum Form {
    Named,
    Of,
    Called,
    Using,
}

/// Longer names before those that they begin with.
const KINDS: [(&[&str], &str, Form); 23] = [
    (&["access", "method"], "ACCESS METHOD", Form::Named),
    (&["aggregate"], "AGGREGATE", Form::Called),
    (&["collation"], "COLLATION", Form::Named),
    (&["conversion"], "CONVERSION", Form::Named),
    (&["domain"], "DOMAIN", Form::Named),
    (&["event", "trigger"], "EVENT TRIGGER", Form::Named),
    (&["foreign", "data", "wrapper"], "FOREIGN DATA WRAPPER", Form::Named),
    (&["foreign", "table"], "FOREIGN TABLE", Form::Named),
    (&["language"], "LANGUAGE", Form::Named),
    (&["operator", "class"], "OPERATOR CLASS", Form::Using),
    (&["operator", "family"], "OPERATOR FAMILY", Form::Using),
    (&["policy"], "POLICY", Form::Of),
    (&["publication"], "PUBLICATION", Form::Named),
    (&["routine"], "ROUTINE", Form::Called),
    (&["rule"], "RULE", Form::Of),
    (&["server"], "SERVER", Form::Named),
    (&["statistics"], "STATISTICS", Form::Named),
    (&["subscription"], "SUBSCRIPTION", Form::Named),
    (&["tablespace"], "TABLESPACE", Form::Named),
    (&["text", "search", "configuration"], "TEXT SEARCH CONFIGURATION", Form::Named),
    (&["text", "search", "dictionary"], "TEXT SEARCH DICTIONARY", Form::Named),
    (&["trigger"], "TRIGGER", Form::Of),
    (&["procedural", "language"], "LANGUAGE", Form::Named),
];

/// `None`: another statement.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<DropAbsent>> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if !is(0, "drop") {
        return Ok(None);
    }
    let found = KINDS
        .iter()
        .find(|(words, ..)| words.iter().enumerate().all(|(at, word)| is(at + 1, word)));
    let Some((words, kind, form)) = found else { return Ok(None) };
    let adapted = tokens::adapt(tokens[words.len() + 1..].to_vec());
    with_parser(source, &adapted, |parser| {
        let if_exists = take(parser, "if");
        if if_exists {
            expect(parser, "exists")?;
        }
        let objects = parser.parse_comma_separated(|parser| object(parser, *form))?;
        let _ = take(parser, "cascade") || take(parser, "restrict");
        Ok(DropAbsent { kind, if_exists, objects })
    })
    .map(Some)
}

fn object(parser: &mut Parser<'_>, form: Form) -> Result<Absent, ParserError> {
    match form {
        Form::Named => Ok(Absent::Named(parser.parse_object_name(false)?)),
        Form::Of => {
            let name = parser.parse_identifier()?;
            expect(parser, "on")?;
            Ok(Absent::Of { name, table: parser.parse_object_name(false)? })
        }
        Form::Using => {
            let name = parser.parse_object_name(false)?;
            expect(parser, "using")?;
            Ok(Absent::Using { name, method: parser.parse_identifier()? })
        }
        Form::Called => {
            let name = parser.parse_object_name(false)?;
            let mut types = None;
            if parser.consume_token(&Token::LParen) {
                let mut list = Vec::new();
                if !parser.consume_token(&Token::Mul) && parser.peek_token().token != Token::RParen
                {
                    list = parser.parse_comma_separated(Parser::parse_data_type)?;
                }
                parser.expect_token(&Token::RParen)?;
                types = Some(list);
            }
            Ok(Absent::Called { name, types })
        }
    }
}
