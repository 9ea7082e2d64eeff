//! ALTER SYSTEM and ALTER DATABASE .. SET, whose settings are written as those of ALTER ROLE.

use satsuma_common::SqlResult;
use sqlparser::ast::{self, Ident};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::{self, is_word};
use super::{Source, role, with_parser};

/// What sessions start with.
#[derive(Clone, Debug)]
pub struct Configure {
    /// Of this database; of all without it.
    pub database: Option<Ident>,
    /// SET or RESET.
    pub change: ast::AlterRoleOperation,
}

/// `None`: not one of these statements.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Configure>> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let sets = |at: usize| word(at, "set") || word(at, "reset");
    let is_system = word(1, "system");
    let is_it = word(0, "alter")
        && (is_system && sets(2) || word(1, "database") && sets(3) && !word(4, "tablespace"));
    if !is_it {
        return Ok(None);
    }
    let mut tokens = tokens.to_vec();
    tokens[1].token = Token::make_keyword("ROLE");
    if is_system {
        let name = TokenWithSpan { token: Token::make_word("system", None), span: tokens[1].span };
        tokens.insert(2, name);
    }
    let parsed = with_parser(source, &tokens::adapt(role::adapt(tokens)), operation)?;
    let (name, change) = parsed;
    Ok(Some(Configure { database: (!is_system).then_some(name), change }))
}

fn operation(parser: &mut Parser<'_>) -> Result<(Ident, ast::AlterRoleOperation), ParserError> {
    match parser.parse_statement()? {
        ast::Statement::AlterRole { name, operation } => Ok((name, operation)),
        other => Err(ParserError::ParserError(format!("unexpected {other}"))),
    }
}
