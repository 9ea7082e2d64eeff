//! From text to statements: splits a query string, parses each statement, and says what
//! PostgreSQL says where that fails.
//!
//! The grammar is sqlparser's PostgreSQL dialect, corrected by [`dialect`]. What it does not take as
//! clients send it (COPY, cursors, VACUUM, ...) is recognised before it, by [`command`] and
//! [`copy`], from the same tokens. Positions are characters from 1 into the whole query string, as clients expect them.
//!
//! Everything here comes from outside: text size and nesting are bounded, and a statement that is
//! nested deeply is parsed on a stack of its own.

mod alter;
mod command;
mod conflict;
mod copy;
mod create_table;
mod dialect;
mod error;
mod escapes;
mod exclude;
mod grant;
mod keywords;
mod merge;
mod role;
mod row_locks;
mod rows_from;
mod sequence;
mod source;
mod strings;
mod tokens;
mod transaction;

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

pub use alter::{Alter, AlterAction, AlterKind, LabelPlace, SequenceOption};
pub use command::{Command, CreateExtension, CursorDirection, LockTarget};
pub use conflict::{ConflictElement, conflict_element};
pub use copy::{CopyEndpoint, CopySource, CopyStatement, CopyValue};
pub use create_table::{CreateTable, CreateTableAs, CreateTableLike, Including, Like};
pub use escapes::invalid_utf8;
pub use exclude::{Exclude, excluded};
pub use grant::{Grant, GrantTarget, Granted, Privilege};
pub use merge::{Merge, MergeAction, MergeClause};
pub use row_locks::{LockedName, locked_name};
pub use rows_from::ROWS_FROM;
pub use source::Source;
use tokens::Chains;

/// Longest query string, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 20;
/// Deepest nesting of parentheses, brackets and CASE.
const MAX_NESTING: usize = 200;
/// Longest chain of AND and OR, and of set operations: `a OR b OR ..` nests as deeply, and
/// statements are copied and dropped recursively, on whatever stack there is.
pub const MAX_LOGICAL_CHAIN: usize = 200;
/// Longest chain of other operators.
pub const MAX_CHAIN: usize = 100;
/// How deep chains within parentheses within chains may go together.
const MAX_DEPTH: usize = 400;
/// sqlparser's own recursion counter; it decreases several times per level of parentheses.
const PARSER_RECURSION: usize = 4 * MAX_NESTING;
/// Nesting that is parsed on the caller's stack.
const SHALLOW: usize = 8;
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
        let statement = parse_statement(&source, group)?;
        statements.push(Parsed { statement, text, offset, source: source.clone() });
    }
    Ok(statements)
}

/// One expression, as a column default, a CHECK condition or an index expression is stored.
pub fn parse_expression(text: &str) -> SqlResult<(ast::Expr, Arc<Source>)> {
    let source = Arc::new(Source::new(text));
    let tokens = tokens::tokenize(&source)?;
    let tokens = tokens::significant(tokens);
    let expr = with_parser(&source, &tokens, |parser| parser.parse_expr())?;
    Ok((expr, source))
}

/// A type name, as `regtype` input and `data_type` texts have it.
pub fn parse_data_type(text: &str) -> SqlResult<ast::DataType> {
    let source = Arc::new(Source::new(text));
    let tokens = tokens::tokenize(&source)?;
    with_parser(&source, &tokens::significant(tokens), |parser| parser.parse_data_type())
}

fn parse_statement(source: &Source, tokens: Vec<TokenWithSpan>) -> SqlResult<Statement> {
    let tokens = tokens::logged(tokens);
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
    let tokens = conflict::adapt(source, sequence::adapt(role::adapt(tokens)));
    let statement = with_parser(source, &tokens, |parser| parser.parse_statement())?;
    Ok(Statement::Sql(Box::new(statement)))
}

/// Runs `parse` over all of `tokens`; what is left over is a syntax error.
pub(crate) fn with_parser<T>(
    source: &Source,
    tokens: &[TokenWithSpan],
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
) -> SqlResult<T> {
    let nesting = tokens::nesting(tokens);
    if nesting > MAX_NESTING {
        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
            .hint(format!("Nest parentheses, subqueries and CASE at most {MAX_NESTING} deep.")));
    }
    let Chains { logical, other, depth } = tokens::chains(tokens);
    if logical > MAX_LOGICAL_CHAIN || other > MAX_CHAIN || depth > MAX_DEPTH {
        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
            .hint(format!(
                "Chain at most {MAX_LOGICAL_CHAIN} conditions or set operations, {MAX_CHAIN} other \
                 operators, and {MAX_DEPTH} in parentheses within each other; use IN, = ANY or \
                 VALUES for long lists."
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
    if nesting <= SHALLOW { run() } else { stacker::grow(DEEP_STACK_BYTES, run) }
}

#[cfg(test)]
mod tests;
