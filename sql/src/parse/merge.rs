//! MERGE, in PostgreSQL's grammar.

use satsuma_common::SqlResult;
use sqlparser::ast::{self, Expr, Ident, ObjectName, TableFactor};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{expect, take};
use super::tokens::{self, is_word};
use super::{Source, with_parser};

#[derive(Clone, Debug)]
pub struct Merge {
    pub target: ObjectName,
    pub alias: Option<Ident>,
    pub source: TableFactor,
    pub on: Expr,
    pub clauses: Vec<MergeClause>,
}

/// WHEN [NOT] MATCHED [AND condition] THEN action.
#[derive(Clone, Debug)]
pub struct MergeClause {
    pub matched: bool,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

#[derive(Clone, Debug)]
pub enum MergeAction {
    Update(Vec<ast::Assignment>),
    Delete,
    Insert {
        columns: Vec<ObjectName>,
        /// `OVERRIDING SYSTEM VALUE` and its like, as written.
        overriding: Option<String>,
        /// `None`: DEFAULT VALUES.
        values: Option<Vec<Expr>>,
    },
    DoNothing,
}

/// `None`: another statement.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Merge>> {
    if !tokens.first().is_some_and(|first| is_word(&first.token, "merge")) {
        return Ok(None);
    }
    let tokens = super::subscripted::adapt(source, tokens::adapt(tokens.to_vec()));
    with_parser(source, &tokens, merge).map(Some)
}

fn merge(parser: &mut Parser<'_>) -> Result<Merge, ParserError> {
    parser.next_token();
    expect(parser, "into")?;
    take(parser, "only");
    let target = parser.parse_object_name(false)?;
    let mut alias = None;
    if take(parser, "as") || !is_word(&parser.peek_token_ref().token, "using") {
        alias = Some(parser.parse_identifier()?);
    }
    expect(parser, "using")?;
    let source = parser.parse_table_factor()?;
    expect(parser, "on")?;
    let on = parser.parse_expr()?;
    let mut clauses = Vec::new();
    while take(parser, "when") {
        clauses.push(clause(parser)?);
    }
    if clauses.is_empty() {
        let token = parser.peek_token();
        return parser.expected("WHEN", token);
    }
    Ok(Merge { target, alias, source, on, clauses })
}

fn clause(parser: &mut Parser<'_>) -> Result<MergeClause, ParserError> {
    let matched = !take(parser, "not");
    expect(parser, "matched")?;
    let condition = if take(parser, "and") { Some(parser.parse_expr()?) } else { None };
    expect(parser, "then")?;
    let action = if take(parser, "do") {
        expect(parser, "nothing")?;
        MergeAction::DoNothing
    } else if matched && take(parser, "update") {
        expect(parser, "set")?;
        MergeAction::Update(parser.parse_comma_separated(Parser::parse_assignment)?)
    } else if matched && take(parser, "delete") {
        MergeAction::Delete
    } else if !matched && take(parser, "insert") {
        insert(parser)?
    } else {
        let wanted = if matched { "UPDATE, DELETE or DO NOTHING" } else { "INSERT or DO NOTHING" };
        let token = parser.peek_token();
        return parser.expected(wanted, token);
    };
    Ok(MergeClause { matched, condition, action })
}

fn insert(parser: &mut Parser<'_>) -> Result<MergeAction, ParserError> {
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) {
        columns = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
        parser.expect_token(&Token::RParen)?;
    }
    let mut overriding = None;
    if take(parser, "overriding") {
        let kind = if take(parser, "user") { "USER" } else { "SYSTEM" };
        if kind == "SYSTEM" {
            expect(parser, "system")?;
        }
        expect(parser, "value")?;
        overriding = Some(format!("OVERRIDING {kind} VALUE"));
    }
    if take(parser, "default") {
        expect(parser, "values")?;
        return Ok(MergeAction::Insert { columns, overriding, values: None });
    }
    expect(parser, "values")?;
    parser.expect_token(&Token::LParen)?;
    let values = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(MergeAction::Insert { columns, overriding, values: Some(values) })
}
