//! From text to statements: splits a query string, parses each statement, and says what
//! PostgreSQL says where that fails.
//!
//! The grammar is sqlparser's PostgreSQL dialect, corrected by [`dialect`]. What it does not take as
//! clients send it (COPY, cursors, VACUUM, ...) is recognised before it, by [`command`] and
//! [`copy`], from the same tokens. Positions are characters from 1 into the whole query string, as clients expect them.
//!
//! Everything here comes from outside: text size and nesting are bounded, and a statement that is
//! nested deeply is parsed on a stack of its own.

mod absent;
mod alter;
mod chain;
mod command;
mod comment;
mod configure;
mod conflict;
mod copy;
mod create_table;
pub(crate) mod dialect;
mod error;
mod escapes;
mod exclude;
mod grant;
mod included;
mod keywords;
mod merge;
mod numbers;
mod operators;
mod overriding;
mod prepare;
mod refused;
mod role;
mod row_locks;
mod rows_from;
mod schema_elements;
mod search_cycle;
mod select_parts;
mod sequence;
mod set_on_delete;
mod source;
mod strings;
mod subscripted;
mod toast;
mod tokens;
mod transaction;
mod using_alias;
mod views;

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

pub use absent::{Absent, DropAbsent};
pub use alter::{Alter, AlterAction, AlterKind, LabelPlace, SequenceOption, Triggers};
pub use command::{Command, CreateExtension, CursorDirection, LockTarget, Owned, Refresh};
pub use comment::{Comment, CommentTarget};
pub use configure::Configure;
pub use conflict::{ConflictElement, conflict_element};
pub use copy::{CopyEndpoint, CopySource, CopyStatement, CopyValue};
pub use create_table::{CreateTable, CreateTableAs, CreateTableLike, Including, Like};
pub use dialect::VARIADIC;
pub use exclude::{Exclude, excluded};
pub use grant::{Grant, GrantTarget, Granted, NewObjects, Privilege};
pub use included::included;
pub use merge::{Merge, MergeAction, MergeClause};
pub use overriding::{Overriding, overriding};
pub use prepare::Prepare;
pub use row_locks::{LockedName, locked_name};
pub use rows_from::ROWS_FROM;
pub use schema_elements::CreateSchema;
pub use search_cycle::{Cycle, Search, SearchCycle, search_cycle};
pub use select_parts::{all_fields, group_by, is_all_fields, is_nothing};
pub use set_on_delete::set_on_delete;
pub use source::Source;
pub use subscripted::subscripts;
use tokens::Chains;
pub use using_alias::using_alias;

/// Longest query string, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 20;
/// Deepest nesting of parentheses, brackets and CASE.
const MAX_NESTING: usize = 200;
/// Longest chain of AND and OR where they are balanced, which deep recursion is not needed for.
pub const MAX_LOGICAL_CHAIN: usize = 20_000;
/// Longest chain of set operations: each is a plan.
const MAX_SET_CHAIN: usize = 200;
/// Most tests, casts and subscripts in a row: each is a level of an expression.
const MAX_TESTS: usize = 100;
/// Longest chain of other operators. They nest as deeply, and statements are copied, bound and
/// dropped recursively. PostgreSQL's stack is enough for some 4,000.
pub const MAX_CHAIN: usize = 2_500;
/// How deep chains within parentheses within chains may go together.
const MAX_DEPTH: usize = 3_000;
/// sqlparser's own recursion counter; it decreases several times per level of parentheses.
const PARSER_RECURSION: usize = 4 * MAX_NESTING;
/// Nesting that is parsed on the caller's stack.
const SHALLOW: usize = 8;
/// Chains that are.
const SHORT: usize = 50;
const DEEP_STACK_BYTES: usize = 64 << 20;

pub static DIALECT: dialect::PgDialect = dialect::PgDialect;

/// One statement of a query string.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub statement: Statement,
    /// The statement's own text, without the semicolon.
    pub text: String,
    /// Characters of the query string before `text`.
    pub offset: u32,
    /// The query string, for positions.
    pub source: Arc<Source>,
    /// Identifiers that are cut.
    pub long_names: Vec<String>,
}

/// A statement as parsed.
#[derive(Clone, Debug)]
pub enum Statement {
    Sql(Box<ast::Statement>),
    Copy(Box<CopyStatement>),
    Command(Box<Command>),
}

/// All statements of `sql`; empty ones (only white space, comments) are left out.
pub fn parse(sql: &str) -> SqlResult<Vec<Parsed>> {
    if sql.len() > MAX_TEXT_BYTES {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("query string is longer than {MAX_TEXT_BYTES} bytes"),
        ));
    }
    let source = Arc::new(Source::new(sql));
    let tokens = tokens::tokenize(&source)?;
    let mut statements = Vec::new();
    for group in tokens::split(tokens) {
        let (first, last) = match (group.first(), group.last()) {
            (Some(first), Some(last)) => (first.span.start, last.span.end),
            _ => continue,
        };
        let text = source.slice(first, last).to_string();
        let offset = source.position(first).saturating_sub(1);
        let long_names = tokens::long_names(&group);
        let statement = parse_statement(&source, group)?;
        let source = source.clone();
        statements.push(Parsed { statement, text, offset, source, long_names });
    }
    Ok(statements)
}

/// One expression, as a column default, a CHECK condition or an index expression is stored.
pub fn parse_expression(text: &str) -> SqlResult<(ast::Expr, Arc<Source>)> {
    let source = Arc::new(Source::new(text));
    let tokens = tokens::tokenize(&source)?;
    let tokens = tokens::significant(tokens);
    let expr = with_balancing_parser(&source, &tokens, |parser| parser.parse_expr())?;
    Ok((expr, source))
}

/// The SQL text of a statement that was read here, without what only this parser understands.
pub fn written(text: &str) -> String {
    let text = select_parts::written(&rows_from::written(text));
    using_alias::written(&search_cycle::written(&exclude::written(&text)))
}

/// A type name, as `regtype` input and `data_type` texts have it.
pub fn parse_data_type(text: &str) -> SqlResult<ast::DataType> {
    let source = Arc::new(Source::new(text));
    let tokens = tokens::tokenize(&source)?;
    with_parser(&source, &tokens::significant(tokens), |parser| parser.parse_data_type())
}

fn parse_statement(source: &Source, tokens: Vec<TokenWithSpan>) -> SqlResult<Statement> {
    if let Some(prepare) = prepare::parse(source, &tokens)? {
        return Ok(Statement::Command(Box::new(Command::Prepare(prepare))));
    }
    if let Some(create) = schema_elements::parse(source, &tokens)? {
        return Ok(Statement::Command(Box::new(Command::CreateSchema(create))));
    }
    if let Some(drop) = absent::parse(source, &tokens)? {
        return Ok(Statement::Command(Box::new(Command::DropAbsent(drop))));
    }
    let tokens = role::without_groups(tokens);
    let tokens = views::adapt(sequence::adapt(tokens::shown(tokens::logged(tokens))));
    let tokens = tokens::plain_columns(tokens);
    let tokens = toast::adapt(set_on_delete::adapt(included::adapt(tokens)));
    refused::refuse(source, &tokens)?;
    tokens::refuse_current_of(source, &tokens)?;
    strings::refuse_adjacent(source, &tokens)?;
    if let Some(copy) = copy::parse(source, &tokens)? {
        return Ok(Statement::Copy(Box::new(copy)));
    }
    if let Some(command) = command::parse(source, &tokens)? {
        return Ok(Statement::Command(Box::new(command)));
    }
    let tokens = tokens::adapt(row_locks::adapt(transaction::adapt(tokens)));
    let tokens = rows_from::adapt(exclude::adapt(tokens));
    let tokens = search_cycle::adapt(source, overriding::adapt(role::adapt(tokens)));
    let tokens = subscripted::adapt(source, conflict::adapt(source, tokens));
    let statement = with_balancing_parser(source, &tokens, |parser| parser.parse_statement())?;
    Ok(Statement::Sql(Box::new(statement)))
}

/// Runs `parse` over all of `tokens`; what is left over is a syntax error.
pub(crate) fn with_parser<T>(
    source: &Source,
    tokens: &[TokenWithSpan],
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
) -> SqlResult<T> {
    parse_within(source, tokens, false, parse)
}

/// As [`with_parser`], with chains of AND and OR balanced.
fn with_balancing_parser<T: ast::VisitMut>(
    source: &Source,
    tokens: &[TokenWithSpan],
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
) -> SqlResult<T> {
    parse_within(source, tokens, true, |parser| {
        let mut parsed = parse(parser)?;
        chain::balance(&mut parsed);
        Ok(parsed)
    })
}

fn parse_within<T>(
    source: &Source,
    tokens: &[TokenWithSpan],
    balanced: bool,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
) -> SqlResult<T> {
    let nesting = tokens::nesting(tokens);
    if nesting > MAX_NESTING {
        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
            .hint(format!("Nest parentheses, subqueries and CASE at most {MAX_NESTING} deep.")));
    }
    let most_logical = if balanced { MAX_LOGICAL_CHAIN } else { MAX_CHAIN };
    let Chains { logical, sets, other, tests, depth } = tokens::chains(tokens, balanced);
    let too_long = logical > most_logical || sets > MAX_SET_CHAIN || other > MAX_CHAIN;
    if too_long || tests > MAX_TESTS || depth > MAX_DEPTH {
        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
            .hint(format!(
                "Chain at most {most_logical} conditions, {MAX_SET_CHAIN} set operations, \
                 {MAX_TESTS} comparisons and casts, {MAX_CHAIN} other operators, and {MAX_DEPTH} in \
                 parentheses within each other; use IN, = ANY or VALUES for long lists."
            )));
    }
    let run = || {
        let mut parser = Parser::new(&DIALECT)
            .with_recursion_limit(PARSER_RECURSION)
            .with_tokens_with_locations(tokens.to_vec());
        let parsed =
            parse(&mut parser).map_err(|error| error::syntax(source, tokens, &parser, &error))?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            return Err(error::near(source, tokens, next.span.start));
        }
        Ok(parsed)
    };
    let shallow = nesting <= SHALLOW && depth <= SHORT && logical <= SHORT;
    if shallow { run() } else { stacker::grow(DEEP_STACK_BYTES, run) }
}

#[cfg(test)]
mod tests;
