//! `CREATE SCHEMA name CREATE TABLE .. CREATE VIEW ..`: the schema with what is made in it.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::Command;
use super::create_table::CreateTable;
use super::tokens::is_word;
use super::{Source, Statement, error, with_parser};

#[derive(Clone, Debug)]
pub struct CreateSchema {
    pub name: ast::SchemaName,
    /// In the order that they are made in: each kind may need those before it.
    pub elements: Vec<Statement>,
}

/// `None`: another statement, or a schema without elements.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<CreateSchema>> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if !is(0, "create") || !is(1, "schema") {
        return Ok(None);
    }
    let mut depth = 0usize;
    let mut starts = Vec::new();
    for (at, token) in tokens.iter().enumerate().skip(2) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth == 0 && (is(at, "create") || is(at, "grant")) => starts.push(at),
            _ => {}
        }
    }
    let Some(first) = starts.first().copied() else { return Ok(None) };
    let head = with_parser(source, &tokens[..first], |parser| parser.parse_statement())?;
    let ast::Statement::CreateSchema { schema_name, if_not_exists, .. } = head else {
        return Ok(None);
    };
    if if_not_exists {
        return Err(SqlError::unsupported(
            "CREATE SCHEMA IF NOT EXISTS cannot include schema elements",
        )
        .at(source.position(tokens[first].span.start)));
    }
    starts.push(tokens.len());
    let mut elements = Vec::with_capacity(starts.len());
    for part in starts.windows(2) {
        let part = &tokens[part[0]..part[1]];
        let element = super::parse_statement(source, part.to_vec())?;
        let Some(rank) = rank(&element) else {
            let at = part.get(1).unwrap_or(&part[0]);
            return Err(error::near(source, tokens, at.span.start));
        };
        elements.push((rank, element));
    }
    elements.sort_by_key(|(rank, _)| *rank);
    let elements: Vec<_> = elements.into_iter().map(|(_, element)| element).collect();
    let schema = match &schema_name {
        ast::SchemaName::Simple(name) | ast::SchemaName::NamedAuthorization(name, _) => {
            name.0.last().and_then(|part| part.as_ident()).cloned()
        }
        ast::SchemaName::UnnamedAuthorization(role) => Some(role.clone()),
    };
    let schema = schema.map(|name| crate::bind::fold(&name)).unwrap_or_default();
    elements.iter().try_for_each(|element| refuse_elsewhere(element, &schema))?;
    Ok(Some(CreateSchema { name: schema_name, elements }))
}

/// When an element is made; `None` of what cannot be one.
fn rank(element: &Statement) -> Option<u8> {
    match element {
        Statement::Sql(statement) => match statement.as_ref() {
            ast::Statement::CreateSequence { .. } => Some(0),
            ast::Statement::CreateTable(create) if create.query.is_none() => Some(1),
            ast::Statement::CreateView(_) => Some(2),
            ast::Statement::CreateIndex(create) if !create.concurrently => Some(3),
            _ => None,
        },
        Statement::Command(command) => match command.as_ref() {
            Command::CreateTable(CreateTable::Like(_)) => Some(1),
            Command::Grant(_) => Some(4),
            _ => None,
        },
        Statement::Copy(_) => None,
    }
}

/// What is made belongs to the schema, whether its name says so or not.
fn refuse_elsewhere(element: &Statement, schema: &str) -> SqlResult<()> {
    let name = match element {
        Statement::Sql(statement) => match statement.as_ref() {
            ast::Statement::CreateSequence { name, .. } => Some(name),
            ast::Statement::CreateTable(create) => Some(&create.name),
            ast::Statement::CreateView(create) => Some(&create.name),
            ast::Statement::CreateIndex(create) => Some(&create.table_name),
            _ => None,
        },
        Statement::Command(command) => match command.as_ref() {
            Command::CreateTable(CreateTable::Like(create)) => Some(&create.create.name),
            _ => None,
        },
        Statement::Copy(_) => None,
    };
    let named = name.and_then(|name| name.0.iter().rev().nth(1)).and_then(|part| part.as_ident());
    match named.map(crate::bind::fold).filter(|named| named != schema) {
        None => Ok(()),
        Some(named) => Err(SqlError::new(
            SqlState(*b"42P15"),
            format!(
                "CREATE specifies a schema ({named}) different from the one being created \
                 ({schema})"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(sql: &str) -> Vec<u8> {
        let mut parsed = crate::parse::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let Some(Statement::Command(command)) = parsed.pop().map(|it| it.statement) else {
            panic!("{sql}: no command")
        };
        let Command::CreateSchema(create) = *command else { panic!("{sql}") };
        create.elements.iter().filter_map(rank).collect()
    }

    #[test]
    fn elements_are_made_in_an_order_of_their_kinds() {
        assert_eq!(
            ranks(
                "create schema s grant select on t to public create view v as select 1 create \
                 index on t (a) create table t (a int) create sequence q"
            ),
            [0, 1, 2, 3, 4]
        );
        assert_eq!(ranks("create schema s authorization x create table s.t (a int)"), [1]);
    }

    #[test]
    fn other_elements_are_refused() {
        for (sql, state) in [
            ("create schema s create table other.t (a int)", SqlState(*b"42P15")),
            ("create schema s create role r", SqlState::SYNTAX_ERROR),
            ("create schema if not exists s create table t (a int)", SqlState(*b"0A000")),
        ] {
            assert_eq!(crate::parse::parse(sql).unwrap_err().state(), state, "{sql}");
        }
    }
}
