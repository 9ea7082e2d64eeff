//! CREATE TABLE in the forms that sqlparser does not take: `(LIKE t INCLUDING ALL, ..)`, and
//! `AS query` with a list of column names or WITH NO DATA; CREATE MATERIALIZED VIEW, which is the
//! latter with a query that is kept.

use satsuma_common::{SqlError, SqlResult};
use sqlparser::ast::{self, Ident, ObjectName, Query};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{expect, parse_query, take};
use super::tokens::is_word;
use super::{Source, error, keywords, tokens, with_parser};

/// CREATE TABLE .. AS, SELECT .. INTO, and CREATE MATERIALIZED VIEW.
#[derive(Clone, Debug)]
pub struct CreateTableAs {
    pub materialized_view: bool,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    /// Names for the query's first columns.
    pub columns: Vec<Ident>,
    pub query: Box<Query>,
    pub with_data: bool,
    pub on_commit: Option<ast::OnCommit>,
    /// Storage parameters, with names in lower case.
    pub options: Vec<(String, Option<String>)>,
}

/// CREATE TABLE with the columns of other tables among its own.
#[derive(Clone, Debug)]
pub struct CreateTableLike {
    pub create: Box<ast::CreateTable>,
    pub likes: Vec<Like>,
}

#[derive(Clone, Debug)]
pub struct Like {
    pub source: ObjectName,
    /// How many of the table's own columns stand before it.
    pub position: usize,
    pub including: Including,
}

/// What comes along besides names, types and NOT NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Including {
    pub comments: bool,
    pub constraints: bool,
    pub defaults: bool,
    pub generated: bool,
    pub identity: bool,
    pub indexes: bool,
}

#[derive(Clone, Debug)]
pub enum CreateTable {
    As(CreateTableAs),
    Like(CreateTableLike),
}

/// `None`: another statement, or a form that sqlparser takes.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<CreateTable>> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if !is(0, "create") {
        return Ok(None);
    }
    if let Some(at) = (1..tokens.len().min(5)).find(|at| is(*at, "materialized"))
        && is(at + 1, "view")
    {
        return materialized_view(source, tokens, at).map(|create| Some(CreateTable::As(create)));
    }
    let modifiers = ["global", "local", "temporary", "temp", "unlogged"];
    let table = (1..tokens.len().min(4)).find(|at| is(*at, "table"));
    let Some(table) = table
        .filter(|table| (1..*table).all(|at| modifiers.iter().any(|modifier| is(at, modifier))))
    else {
        return Ok(None);
    };
    // sqlparser takes any word for a name.
    let name = if is(table + 1, "if") { table + 4 } else { table + 1 };
    if let Some(TokenWithSpan { token: Token::Word(word), span }) = tokens.get(name)
        && word.quote_style.is_none()
        && keywords::RESERVED.contains(&word.keyword)
    {
        return Err(error::near(source, tokens, span.start));
    }
    if let Some(at) = misplaced(tokens, name) {
        return Err(error::near(source, tokens, tokens[at].span.start));
    }
    let temporary = (1..table).any(|at| is(at, "temporary") || is(at, "temp"));
    if let Some(body) = query_start(tokens, table) {
        let head = with_parser(source, &tokens[table + 1..body], head)?;
        let create = as_query(source, &tokens[body + 1..], head)?;
        return Ok(Some(CreateTable::As(CreateTableAs { temporary, ..create })));
    }
    with_likes(source, tokens, table)
}

/// CREATE MATERIALIZED VIEW; `at` is where its second word stands.
fn materialized_view(
    source: &Source,
    tokens: &[TokenWithSpan],
    at: usize,
) -> SqlResult<CreateTableAs> {
    let view = at + 1;
    let is_unlogged = at == 2 && is_word(&tokens[1].token, "unlogged");
    if at != 1 && !is_unlogged {
        return Err(error::near(source, tokens, tokens[at].span.start));
    }
    let body = query_start(tokens, view).unwrap_or(tokens.len());
    let head = with_parser(source, &tokens[view + 1..body], head_of_view)?;
    let query = tokens.get(body + 1..).unwrap_or_default();
    if query.is_empty() {
        return Err(error::end_of_input(source, tokens));
    }
    let create = as_query(source, query, head)?;
    if is_unlogged {
        return Err(SqlError::unsupported("materialized views cannot be unlogged"));
    }
    Ok(CreateTableAs { materialized_view: true, ..create })
}

/// A word that cannot be a column's name, or that cannot follow the columns. The table's name
/// begins at `name`.
fn misplaced(tokens: &[TokenWithSpan], name: usize) -> Option<usize> {
    const ELEMENTS: [Keyword; 6] = [
        Keyword::CONSTRAINT,
        Keyword::PRIMARY,
        Keyword::UNIQUE,
        Keyword::CHECK,
        Keyword::FOREIGN,
        Keyword::LIKE,
    ];
    const OPTIONS: [&str; 8] =
        ["as", "inherits", "on", "partition", "tablespace", "using", "with", "without"];
    let is = |at: usize, token: &Token| tokens.get(at).is_some_and(|it| it.token == *token);
    let mut open = name + 1;
    while is(open, &Token::Period) {
        open += 2;
    }
    if !is(open, &Token::LParen) {
        return None;
    }
    let (mut depth, mut begins) = (0usize, true);
    for (at, token) in tokens.iter().enumerate().skip(open + 1) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => {
                let next = tokens.get(at + 1)?;
                let fits = OPTIONS.iter().any(|option| is_word(&next.token, option));
                return (!fits).then_some(at + 1);
            }
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => {
                begins = true;
                continue;
            }
            Token::Word(word)
                if begins && keywords::is_no_column(word) && !ELEMENTS.contains(&word.keyword) =>
            {
                return Some(at);
            }
            _ => {}
        }
        begins = false;
    }
    None
}

/// Where the AS of CREATE TABLE AS is: outside of parentheses, before a query.
fn query_start(tokens: &[TokenWithSpan], table: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(table) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            token if depth == 0 && is_word(token, "as") => return Some(at),
            _ => {}
        }
    }
    None
}

/// What stands before AS.
struct Head {
    if_not_exists: bool,
    name: ObjectName,
    columns: Vec<Ident>,
    on_commit: Option<ast::OnCommit>,
    options: Vec<(String, Option<String>)>,
}

/// Between TABLE and AS.
fn head(parser: &mut Parser<'_>) -> Result<Head, ParserError> {
    let mut head = name_and_columns(parser)?;
    if take(parser, "using") {
        expect(parser, "heap")?;
    }
    if take(parser, "with") {
        head.options = super::alter::options(parser)?;
    }
    if take(parser, "on") {
        expect(parser, "commit")?;
        head.on_commit = Some(if take(parser, "drop") {
            ast::OnCommit::Drop
        } else if take(parser, "delete") {
            expect(parser, "rows")?;
            ast::OnCommit::DeleteRows
        } else {
            expect(parser, "preserve")?;
            expect(parser, "rows")?;
            ast::OnCommit::PreserveRows
        });
    }
    Ok(head)
}

/// Between MATERIALIZED VIEW and AS. There is one access method, and one tablespace.
fn head_of_view(parser: &mut Parser<'_>) -> Result<Head, ParserError> {
    let mut head = name_and_columns(parser)?;
    if take(parser, "using") {
        expect(parser, "heap")?;
    }
    if take(parser, "with") {
        head.options = super::alter::options(parser)?;
    }
    if take(parser, "tablespace") {
        expect(parser, "pg_default")?;
    }
    Ok(head)
}

fn name_and_columns(parser: &mut Parser<'_>) -> Result<Head, ParserError> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_object_name(false)?;
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) {
        columns = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
        parser.expect_token(&Token::RParen)?;
    }
    Ok(Head { if_not_exists, name, columns, on_commit: None, options: Vec::new() })
}

fn as_query(source: &Source, tokens: &[TokenWithSpan], head: Head) -> SqlResult<CreateTableAs> {
    let ends_with = |words: &[&str]| {
        tokens.len() > words.len()
            && words
                .iter()
                .zip(&tokens[tokens.len() - words.len()..])
                .all(|(word, token)| is_word(&token.token, word))
    };
    let (with_data, cut) = if ends_with(&["with", "no", "data"]) {
        (false, 3)
    } else if ends_with(&["with", "data"]) {
        (true, 2)
    } else {
        (true, 0)
    };
    if tokens.first().is_some_and(|first| is_word(&first.token, "execute")) {
        return Err(SqlError::unsupported("CREATE TABLE AS EXECUTE is not supported")
            .hint("Write out the query."));
    }
    let query = parse_query(source, tokens, &tokens[..tokens.len() - cut])?;
    let Head { if_not_exists, name, columns, on_commit, options } = head;
    Ok(CreateTableAs {
        materialized_view: false,
        temporary: false,
        if_not_exists,
        name,
        columns,
        query,
        with_data,
        on_commit,
        options,
    })
}

/// Takes the LIKE elements out of the list of columns; the rest is sqlparser's.
fn with_likes(
    source: &Source,
    tokens: &[TokenWithSpan],
    table: usize,
) -> SqlResult<Option<CreateTable>> {
    let Some(open) = tokens.iter().skip(table).position(|it| it.token == Token::LParen) else {
        return Ok(None);
    };
    let open = table + open;
    let mut elements: Vec<Vec<TokenWithSpan>> = vec![Vec::new()];
    let (mut depth, mut close) = (0usize, None);
    for (at, token) in tokens.iter().enumerate().skip(open + 1) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => {
                close = Some(at);
                break;
            }
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => {
                elements.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(element) = elements.last_mut() {
            element.push(token.clone());
        }
    }
    let Some(close) = close else { return Ok(None) };
    let first_is = |element: &[TokenWithSpan], text: &str| {
        element.first().is_some_and(|first| is_word(&first.token, text))
    };
    if !elements.iter().any(|element| first_is(element, "like")) {
        return Ok(None);
    }
    let constraint_words = ["constraint", "primary", "unique", "check", "foreign", "exclude"];
    let (mut likes, mut position, mut kept) = (Vec::new(), 0, Vec::new());
    for element in elements {
        if first_is(&element, "like") {
            let like = with_parser(source, &element, |parser| like(parser, position))?;
            likes.push(like);
            continue;
        }
        if !constraint_words.iter().any(|word| first_is(&element, word)) {
            position += 1;
        }
        kept.push(element);
    }
    let comma = |span| TokenWithSpan { token: Token::Comma, span };
    let mut rest = tokens[..=open].to_vec();
    for (at, element) in kept.into_iter().enumerate() {
        if at > 0
            && let Some(first) = element.first()
        {
            rest.push(comma(first.span));
        }
        rest.extend(element);
    }
    rest.extend(tokens[close..].iter().cloned());
    let statement = with_parser(source, &tokens::adapt(rest), |parser| parser.parse_statement())?;
    match statement {
        ast::Statement::CreateTable(create) => {
            let create = Box::new(create);
            Ok(Some(CreateTable::Like(CreateTableLike { create, likes })))
        }
        _ => Ok(None),
    }
}

fn like(parser: &mut Parser<'_>, position: usize) -> Result<Like, ParserError> {
    expect(parser, "like")?;
    let source = parser.parse_object_name(false)?;
    let mut including = Including::default();
    loop {
        let value = if take(parser, "including") {
            true
        } else if take(parser, "excluding") {
            false
        } else {
            return Ok(Like { source, position, including });
        };
        if take(parser, "all") {
            including = Including {
                comments: value,
                constraints: value,
                defaults: value,
                generated: value,
                identity: value,
                indexes: value,
            };
        } else if take(parser, "comments") {
            including.comments = value;
        } else if take(parser, "constraints") {
            including.constraints = value;
        } else if take(parser, "defaults") {
            including.defaults = value;
        } else if take(parser, "generated") {
            including.generated = value;
        } else if take(parser, "identity") {
            including.identity = value;
        } else if take(parser, "indexes") {
            including.indexes = value;
        } else if !["compression", "statistics", "storage"].iter().any(|word| take(parser, word)) {
            let token = parser.peek_token();
            return parser.expected("what to include", token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Command, Statement};

    fn create(sql: &str) -> CreateTable {
        let parsed = crate::parse::parse(sql).unwrap();
        let [one] = parsed.as_slice() else { panic!("one statement") };
        let Statement::Command(command) = &one.statement else { panic!("{sql}: no command") };
        let Command::CreateTable(create) = command.as_ref() else { panic!("{sql}") };
        create.clone()
    }

    #[test]
    fn a_query_may_name_its_columns() {
        let CreateTable::As(found) =
            create("CREATE TEMP TABLE IF NOT EXISTS t (a, b) AS SELECT 1, (2) AS c WITH NO DATA")
        else {
            panic!()
        };
        assert!(found.temporary && found.if_not_exists && !found.with_data);
        assert_eq!(found.columns.len(), 2);
        assert_eq!(found.query.to_string(), "SELECT 1, (2) AS c");
    }

    #[test]
    fn like_stands_among_columns() {
        let sql = "CREATE TABLE t (a int, LIKE other INCLUDING ALL EXCLUDING INDEXES, \
                   b int CHECK (b > 0), PRIMARY KEY (a, b))";
        let CreateTable::Like(found) = create(sql) else { panic!() };
        assert_eq!((found.create.columns.len(), found.create.constraints.len()), (2, 1));
        let like = &found.likes[0];
        assert_eq!(like.position, 1);
        assert!(like.including.defaults && !like.including.indexes);
    }
}
