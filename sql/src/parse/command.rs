//! Statements that are no queries and that sqlparser does not take, or not as PostgreSQL's
//! clients send them: cursors, maintenance, locks, channels.

use satsuma_common::{SqlError, SqlResult};
use sqlparser::ast::{Ident, ObjectName, ObjectType, Query, Statement};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::absent::DropAbsent;
use super::alter::{self, Alter};
use super::comment::{self, Comment};
use super::configure::{self, Configure};
use super::create_table::{self, CreateTable};
use super::grant::{self, Grant};
use super::merge::{self, Merge};
use super::prepare::Prepare;
use super::schema_elements::CreateSchema;
use super::{Source, error, parse_statement, tokens, with_parser};

#[derive(Clone, Debug)]
pub enum Command {
    /// DECLARE name CURSOR FOR query.
    Declare {
        name: Ident,
        binary: bool,
        scroll: Option<bool>,
        hold: bool,
        query: Box<Query>,
    },
    /// FETCH, and MOVE where `discard`.
    Fetch {
        cursor: Ident,
        direction: CursorDirection,
        discard: bool,
    },
    /// CLOSE name, or ALL.
    Close {
        cursor: Option<Ident>,
    },
    /// VACUUM and ANALYZE, with option names in lower case.
    Maintain {
        vacuum: bool,
        analyze: bool,
        options: Vec<(String, Option<String>)>,
        tables: Vec<(ObjectName, Vec<Ident>)>,
    },
    /// ALTER of a table, index, sequence, view, schema or type.
    Alter(Alter),
    /// CREATE TABLE .. AS and CREATE TABLE (LIKE ..).
    CreateTable(CreateTable),
    Comment(Comment),
    /// ALTER SYSTEM and ALTER DATABASE.
    Configure(Box<Configure>),
    Grant(Grant),
    Merge(Box<Merge>),
    Checkpoint,
    /// DROP INDEX CONCURRENTLY: the statement without the word.
    DropIndexConcurrently(Box<Statement>),
    /// CREATE EXTENSION.
    CreateExtension(CreateExtension),
    /// DROP EXTENSION.
    DropExtension {
        names: Vec<Ident>,
        if_exists: bool,
    },
    Lock(LockTarget),
    /// REINDEX of an index, table, schema, database or system (`kind`); CLUSTER, which storage
    /// does not need.
    Reorganise {
        tag: &'static str,
        name: Option<ObjectName>,
        /// `index`, `table`, `schema`, `database` or `system`; `None` of CLUSTER.
        kind: Option<&'static str>,
        /// What it is called where it must stand alone.
        alone: Option<&'static str>,
    },
    Refresh(Refresh),
    DropAbsent(DropAbsent),
    /// DROP OWNED, and REASSIGN OWNED where there is a role `to`.
    Owned(Owned),
    /// CREATE SCHEMA with what is made in it.
    CreateSchema(CreateSchema),
    /// DISCARD of `all`, `plans`, `sequences` or `temp`.
    Discard {
        what: &'static str,
    },
    Prepare(Prepare),
    /// DEALLOCATE name, or ALL.
    Deallocate {
        name: Option<Ident>,
    },
    Listen {
        channel: Ident,
    },
    /// UNLISTEN name, or `*`.
    Unlisten {
        channel: Option<Ident>,
    },
    Notify {
        channel: Ident,
        payload: Option<String>,
    },
    /// SET CONSTRAINTS; `None` is ALL.
    SetConstraints {
        names: Option<Vec<ObjectName>>,
        deferred: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorDirection {
    /// `n` rows forward, backward where negative; `i64::MAX` and `i64::MIN` are all of them.
    Forward(i64),
    Absolute(i64),
    Relative(i64),
}

/// REFRESH MATERIALIZED VIEW.
#[derive(Clone, Debug)]
pub struct Refresh {
    pub name: ObjectName,
    pub concurrently: bool,
    pub with_data: bool,
}

/// What some roles own.
#[derive(Clone, Debug)]
pub struct Owned {
    pub by: Vec<Ident>,
    pub to: Option<Ident>,
    pub cascade: bool,
}

/// CREATE EXTENSION.
#[derive(Clone, Debug)]
pub struct CreateExtension {
    pub name: Ident,
    pub if_not_exists: bool,
    pub schema: Option<Ident>,
}

/// LOCK TABLE.
#[derive(Clone, Debug)]
pub struct LockTarget {
    pub tables: Vec<ObjectName>,
    /// Upper case, `ACCESS EXCLUSIVE` where the statement names none.
    pub mode: String,
    pub no_wait: bool,
}

/// Statements of PostgreSQL's that are not here, by their first words.
const UNSUPPORTED: &[(&[&str], &str)] = &[
    (&["prepare", "transaction"], "PREPARE TRANSACTION"),
    (&["commit", "prepared"], "COMMIT PREPARED"),
    (&["rollback", "prepared"], "ROLLBACK PREPARED"),
    (&["do"], "DO"),
    (&["security", "label"], "SECURITY LABEL"),
    (&["import", "foreign"], "IMPORT FOREIGN SCHEMA"),
    (&["create", "database"], "CREATE DATABASE"),
    (&["create", "rule"], "CREATE RULE"),
    (&["create", "publication"], "CREATE PUBLICATION"),
    (&["create", "subscription"], "CREATE SUBSCRIPTION"),
    (&["create", "statistics"], "CREATE STATISTICS"),
    (&["create", "tablespace"], "CREATE TABLESPACE"),
    (&["create", "procedure"], "CREATE PROCEDURE"),
    (&["create", "or", "replace", "procedure"], "CREATE PROCEDURE"),
    (&["create", "aggregate"], "CREATE AGGREGATE"),
    (&["create", "or", "replace", "aggregate"], "CREATE AGGREGATE"),
    (&["create", "cast"], "CREATE CAST"),
    (&["create", "conversion"], "CREATE CONVERSION"),
    (&["create", "event", "trigger"], "CREATE EVENT TRIGGER"),
    (&["create", "foreign"], "CREATE FOREIGN TABLE"),
    (&["create", "language"], "CREATE LANGUAGE"),
    (&["create", "text", "search"], "CREATE TEXT SEARCH"),
    (&["create", "access", "method"], "CREATE ACCESS METHOD"),
];

/// What to do instead, where there is something.
const INSTEAD: &[(&str, &str)] = &[
    ("DO", "Run the statements one by one; psql's \\if and \\gexec choose and generate them."),
    ("CREATE DATABASE", "A cluster has one database: make a schema in it, or another cluster."),
];

/// `None`: not one of these statements.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Command>> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
        _ => String::new(),
    };
    for (words, name) in UNSUPPORTED {
        if words.iter().enumerate().all(|(at, text)| word(at) == *text) {
            let error = SqlError::unsupported(format!("{name} is not supported"));
            return Err(match INSTEAD.iter().find(|(other, _)| other == name) {
                Some((_, hint)) => error.hint(*hint),
                None => error,
            });
        }
    }
    if let Some(alter) = alter::parse(source, tokens)? {
        return Ok(Some(Command::Alter(alter)));
    }
    // Before what is adapted: `(VERBOSE) TABLE t` is no query in a query.
    if matches!(word(0).as_str(), "reindex" | "cluster") {
        return with_parser(source, tokens, reorganise).map(Some);
    }
    if word(0) == "declare" {
        return declare(source, tokens).map(Some);
    }
    if let Some(create) = create_table::parse(source, tokens)? {
        return Ok(Some(Command::CreateTable(create)));
    }
    if let Some(configure) = configure::parse(source, tokens)? {
        return Ok(Some(Command::Configure(Box::new(configure))));
    }
    if let Some(comment) = comment::parse(source, tokens)? {
        return Ok(Some(Command::Comment(comment)));
    }
    if let Some(merge) = merge::parse(source, tokens)? {
        return Ok(Some(Command::Merge(Box::new(merge))));
    }
    if let Some(grant) = grant::parse(source, tokens)? {
        return Ok(Some(Command::Grant(grant)));
    }
    let (first, second) = (word(0), word(1));
    let grammar: fn(&mut Parser<'_>) -> Result<Command, ParserError> = match first.as_str() {
        "fetch" | "move" => fetch,
        "close" => close,
        "vacuum" | "analyze" | "analyse" => maintain,
        "checkpoint" => checkpoint,
        "reassign" | "drop" if second == "owned" => owned,
        "drop" if second == "index" && word(2) == "concurrently" => drop_index_concurrently,
        "create" if second == "extension" => create_extension,
        "drop" if second == "extension" => drop_extension,
        "lock" => lock,
        "refresh" => refresh,
        "discard" => discard,
        "deallocate" => deallocate,
        "listen" | "unlisten" | "notify" => channel,
        "set" if second == "constraints" => set_constraints,
        _ => return Ok(None),
    };
    with_parser(source, &tokens::adapt(tokens.to_vec()), grammar).map(Some)
}

fn declare(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Command> {
    let end = tokens.iter().position(|token| tokens::is_word(&token.token, "for"));
    let end = end.map_or(tokens.len(), |at| at + 1);
    let (head, rest) = tokens.split_at(end);
    let Cursor { name, binary, scroll, hold } = with_parser(source, head, cursor)?;
    let query = parse_query(source, tokens, rest)?;
    Ok(Command::Declare { name, binary, scroll, hold, query })
}

/// What DECLARE says of a cursor before its query.
struct Cursor {
    name: Ident,
    binary: bool,
    scroll: Option<bool>,
    hold: bool,
}

fn cursor(parser: &mut Parser<'_>) -> Result<Cursor, ParserError> {
    parser.next_token();
    let name = parser.parse_identifier()?;
    let (mut binary, mut scroll) = (false, None);
    loop {
        if take(parser, "binary") {
            binary = true;
        } else if take(parser, "insensitive") || take(parser, "asensitive") {
        } else if take(parser, "scroll") {
            scroll = Some(true);
        } else if take(parser, "no") {
            expect(parser, "scroll")?;
            scroll = Some(false);
        } else {
            break;
        }
    }
    expect(parser, "cursor")?;
    let hold = if take(parser, "with") {
        expect(parser, "hold")?;
        true
    } else {
        if take(parser, "without") {
            expect(parser, "hold")?;
        }
        false
    };
    parser.expect_keyword(Keyword::FOR)?;
    Ok(Cursor { name, binary, scroll, hold })
}

/// The query that ends a statement, `rest` of its tokens.
pub(super) fn parse_query(
    source: &Source,
    tokens: &[TokenWithSpan],
    rest: &[TokenWithSpan],
) -> SqlResult<Box<Query>> {
    let Some(first) = rest.first() else { return Err(error::end_of_input(source, tokens)) };
    match parse_statement(source, rest.to_vec())? {
        super::Statement::Sql(statement) => match *statement {
            Statement::Query(query) => Ok(query),
            _ => Err(error::near(source, tokens, first.span.start)),
        },
        _ => Err(error::near(source, tokens, first.span.start)),
    }
}

fn fetch(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let discard = tokens::is_word(&parser.next_token().token, "move");
    let direction = if take(parser, "next") {
        CursorDirection::Forward(1)
    } else if take(parser, "prior") {
        CursorDirection::Forward(-1)
    } else if take(parser, "first") {
        CursorDirection::Absolute(1)
    } else if take(parser, "last") {
        CursorDirection::Absolute(-1)
    } else if take(parser, "absolute") {
        CursorDirection::Absolute(count(parser)?)
    } else if take(parser, "relative") {
        CursorDirection::Relative(count(parser)?)
    } else if take(parser, "all") {
        CursorDirection::Forward(i64::MAX)
    } else if take(parser, "forward") {
        CursorDirection::Forward(steps(parser, i64::MAX)?)
    } else if take(parser, "backward") {
        match steps(parser, i64::MAX)? {
            i64::MAX => CursorDirection::Forward(i64::MIN),
            n => CursorDirection::Forward(n.saturating_neg()),
        }
    } else if matches!(parser.peek_token().token, Token::Number(..) | Token::Minus | Token::Plus) {
        CursorDirection::Forward(count(parser)?)
    } else {
        CursorDirection::Forward(1)
    };
    let _ = take(parser, "from") || take(parser, "in");
    Ok(Command::Fetch { cursor: parser.parse_identifier()?, direction, discard })
}

/// A count, ALL, or one step.
fn steps(parser: &mut Parser<'_>, all: i64) -> Result<i64, ParserError> {
    if take(parser, "all") {
        Ok(all)
    } else if matches!(parser.peek_token().token, Token::Number(..) | Token::Minus | Token::Plus) {
        count(parser)
    } else {
        Ok(1)
    }
}

fn count(parser: &mut Parser<'_>) -> Result<i64, ParserError> {
    let negative = parser.consume_token(&Token::Minus);
    if !negative {
        let _ = parser.consume_token(&Token::Plus);
    }
    let token = parser.next_token();
    let number = match &token.token {
        Token::Number(digits, _) => digits.parse::<i32>().ok(),
        _ => None,
    };
    match number {
        Some(n) if negative => Ok(-i64::from(n)),
        Some(n) => Ok(i64::from(n)),
        None => parser.expected("a count", token),
    }
}

fn close(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    parser.next_token();
    if take(parser, "all") {
        return Ok(Command::Close { cursor: None });
    }
    Ok(Command::Close { cursor: Some(parser.parse_identifier()?) })
}

fn maintain(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let vacuum = tokens::is_word(&parser.next_token().token, "vacuum");
    let mut analyze = !vacuum;
    let mut options = Vec::new();
    if parser.consume_token(&Token::LParen) {
        loop {
            let name = parser.parse_identifier()?.value.to_ascii_lowercase();
            let token = parser.peek_token();
            let value = match token.token {
                Token::Comma | Token::RParen => None,
                _ => Some(parser.next_token().token.to_string().to_ascii_lowercase()),
            };
            if name == "analyze" || name == "analyse" {
                analyze |= !matches!(value.as_deref(), Some("off" | "false" | "0"));
            }
            options.push((name, value));
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    } else {
        for name in ["full", "freeze", "verbose"] {
            if take(parser, name) {
                options.push((name.into(), None));
            }
        }
        if vacuum && (take(parser, "analyze") || take(parser, "analyse")) {
            analyze = true;
        }
    }
    let mut tables = Vec::new();
    while parser.peek_token().token != Token::EOF {
        let name = parser.parse_object_name(false)?;
        let mut columns = Vec::new();
        if parser.consume_token(&Token::LParen) {
            columns = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
            parser.expect_token(&Token::RParen)?;
        }
        tables.push((name, columns));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    Ok(Command::Maintain { vacuum, analyze, options, tables })
}

fn drop_index_concurrently(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    expect(parser, "drop")?;
    expect(parser, "index")?;
    expect(parser, "concurrently")?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let names = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
    let cascade = take(parser, "cascade");
    let restrict = !cascade && take(parser, "restrict");
    Ok(Command::DropIndexConcurrently(Box::new(Statement::Drop {
        object_type: ObjectType::Index,
        if_exists,
        names,
        cascade,
        restrict,
        purge: false,
        temporary: false,
        table: None,
    })))
}

fn create_extension(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    expect(parser, "create")?;
    expect(parser, "extension")?;
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_identifier()?;
    let mut schema = None;
    take(parser, "with");
    loop {
        if take(parser, "schema") {
            schema = Some(parser.parse_identifier()?);
        } else if take(parser, "version") {
            parser.next_token();
        } else if !take(parser, "cascade") {
            return Ok(Command::CreateExtension(CreateExtension { name, if_not_exists, schema }));
        }
    }
}

fn drop_extension(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    expect(parser, "drop")?;
    expect(parser, "extension")?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let names = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
    let _ = take(parser, "cascade") || take(parser, "restrict");
    Ok(Command::DropExtension { names, if_exists })
}

fn owned(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let reassign = tokens::is_word(&parser.next_token().token, "reassign");
    expect(parser, "owned")?;
    expect(parser, "by")?;
    let by = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
    if reassign {
        expect(parser, "to")?;
        let to = Some(parser.parse_identifier()?);
        return Ok(Command::Owned(Owned { by, to, cascade: false }));
    }
    let cascade = take(parser, "cascade");
    let _ = !cascade && take(parser, "restrict");
    Ok(Command::Owned(Owned { by, to: None, cascade }))
}

fn checkpoint(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    parser.next_token();
    Ok(Command::Checkpoint)
}

fn lock(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    parser.next_token();
    take(parser, "table");
    let tables = parser.parse_comma_separated(|parser| {
        take(parser, "only");
        let name = parser.parse_object_name(false)?;
        let _ = parser.consume_token(&Token::Mul);
        Ok(name)
    })?;
    let mut mode = String::from("ACCESS EXCLUSIVE");
    if take(parser, "in") {
        let mut words = Vec::new();
        while !take(parser, "mode") {
            let token = parser.next_token();
            match &token.token {
                Token::Word(word) => words.push(word.value.to_ascii_uppercase()),
                _ => return parser.expected("MODE", token),
            }
        }
        mode = words.join(" ");
        const MODES: [&str; 8] = [
            "ACCESS SHARE",
            "ROW SHARE",
            "ROW EXCLUSIVE",
            "SHARE UPDATE EXCLUSIVE",
            "SHARE",
            "SHARE ROW EXCLUSIVE",
            "EXCLUSIVE",
            "ACCESS EXCLUSIVE",
        ];
        if !MODES.contains(&mode.as_str()) {
            let token = parser.peek_token();
            return parser.expected("a lock mode", token);
        }
    }
    let no_wait = take(parser, "nowait");
    Ok(Command::Lock(LockTarget { tables, mode, no_wait }))
}

fn reorganise(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let reindex = tokens::is_word(&parser.next_token().token, "reindex");
    let tag = if reindex { "REINDEX" } else { "CLUSTER" };
    let mut concurrently = false;
    if parser.consume_token(&Token::LParen) {
        loop {
            let known = ["verbose", "concurrently", "tablespace"];
            let Some(option) = known.into_iter().find(|option| take(parser, option)) else {
                let token = parser.peek_token();
                return parser.expected("an option", token);
            };
            let is_off = take(parser, "off") || take(parser, "false");
            let _ = !is_off && (take(parser, "on") || take(parser, "true"));
            if option == "tablespace" {
                parser.parse_identifier()?;
            }
            concurrently |= option == "concurrently" && !is_off;
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    take(parser, "verbose");
    let (mut kind, mut alone) = (None, None);
    if reindex {
        let kinds = ["index", "table", "schema", "database", "system"];
        kind = kinds.into_iter().find(|kind| take(parser, kind));
        if kind.is_none() {
            let token = parser.peek_token();
            return parser.expected("TABLE or INDEX", token);
        }
        alone = match kind {
            _ if take(parser, "concurrently") || concurrently => Some("REINDEX CONCURRENTLY"),
            Some("schema") => Some("REINDEX SCHEMA"),
            Some("database") => Some("REINDEX DATABASE"),
            Some("system") => Some("REINDEX SYSTEM"),
            _ => None,
        };
    }
    let mut name = None;
    if parser.peek_token().token != Token::EOF {
        name = Some(parser.parse_object_name(false)?);
        if take(parser, "using") {
            parser.parse_identifier()?;
        }
    }
    if !reindex && name.is_none() {
        alone = Some("CLUSTER");
    }
    Ok(Command::Reorganise { tag, name, kind, alone })
}

fn refresh(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    for word in ["refresh", "materialized", "view"] {
        expect(parser, word)?;
    }
    let concurrently = take(parser, "concurrently");
    let name = parser.parse_object_name(false)?;
    let mut with_data = true;
    if take(parser, "with") {
        with_data = !take(parser, "no");
        expect(parser, "data")?;
    }
    Ok(Command::Refresh(Refresh { name, concurrently, with_data }))
}

fn discard(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    parser.next_token();
    for what in ["all", "plans", "sequences", "temp", "temporary"] {
        if take(parser, what) {
            let what = if what == "temporary" { "temp" } else { what };
            return Ok(Command::Discard { what });
        }
    }
    let token = parser.peek_token();
    parser.expected("ALL, PLANS, SEQUENCES or TEMP", token)
}

fn deallocate(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    parser.next_token();
    take(parser, "prepare");
    if take(parser, "all") {
        return Ok(Command::Deallocate { name: None });
    }
    Ok(Command::Deallocate { name: Some(parser.parse_identifier()?) })
}

fn channel(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    let token = parser.next_token();
    if tokens::is_word(&token.token, "listen") {
        return Ok(Command::Listen { channel: parser.parse_identifier()? });
    }
    if tokens::is_word(&token.token, "unlisten") {
        if parser.consume_token(&Token::Mul) {
            return Ok(Command::Unlisten { channel: None });
        }
        return Ok(Command::Unlisten { channel: Some(parser.parse_identifier()?) });
    }
    let channel = parser.parse_identifier()?;
    let mut payload = None;
    if parser.consume_token(&Token::Comma) {
        let token = parser.next_token();
        payload = match token.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text),
            _ => return parser.expected("a string", token),
        };
    }
    Ok(Command::Notify { channel, payload })
}

fn set_constraints(parser: &mut Parser<'_>) -> Result<Command, ParserError> {
    parser.next_token();
    parser.next_token();
    let names = if take(parser, "all") {
        None
    } else {
        Some(parser.parse_comma_separated(|parser| parser.parse_object_name(false))?)
    };
    let deferred = take(parser, "deferred");
    if !deferred {
        expect(parser, "immediate")?;
    }
    Ok(Command::SetConstraints { names, deferred })
}

/// Consumes the next token if it is this word.
pub(super) fn take(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = tokens::is_word(&parser.peek_token_ref().token, word);
    if found {
        parser.next_token();
    }
    found
}

pub(super) fn expect(parser: &mut Parser<'_>, word: &str) -> Result<(), ParserError> {
    if take(parser, word) {
        return Ok(());
    }
    let token = parser.peek_token();
    parser.expected(word, token)
}
