//! What the grammar behind takes and PostgreSQL does not, refused at the token that PostgreSQL
//! stumbles over.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::{is_keyword, is_word};
use super::{Source, error, keywords};

/// What a statement may begin with.
const STATEMENTS: [&str; 51] = [
    "abort",
    "alter",
    "analyse",
    "analyze",
    "begin",
    "call",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "discard",
    "do",
    "drop",
    "end",
    "execute",
    "explain",
    "fetch",
    "grant",
    "import",
    "insert",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "select",
    "set",
    "show",
    "start",
    "table",
    "truncate",
    "unlisten",
    "update",
    "vacuum",
];

/// 42601 for what is no statement of PostgreSQL's.
pub fn refuse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    refuse_check_option(source, tokens)?;
    refuse_kind(tokens)?;
    refuse_exclusion(source, tokens)?;
    let found = verb(tokens)
        .or_else(|| setting(tokens))
        .or_else(|| distinct_rows(tokens))
        .or_else(|| array_without_word(tokens))
        .or_else(|| modified_integer(tokens))
        .or_else(|| open_ended_fetch(tokens))
        .or_else(|| clause_for_table(tokens));
    match found {
        Some(at) => Err(at_token(source, tokens, at)),
        None => limit_with_comma(source, tokens),
    }
}

fn at_token(source: &Source, tokens: &[TokenWithSpan], at: usize) -> SqlError {
    match tokens.get(at) {
        Some(token) => error::near(source, tokens, token.span.start),
        None => error::end_of_input(source, tokens),
    }
}

/// A first word that begins nothing, or a second that cannot follow it.
fn verb(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let first = tokens.first()?;
    let begins = first.token == Token::LParen
        || is(0, "values")
        || is(0, "with")
        || STATEMENTS.iter().any(|verb| is(0, verb));
    if !begins {
        return Some(0);
    }
    let lacks = is(0, "insert") && !is(1, "into") || is(0, "delete") && !is(1, "from");
    lacks.then_some(1)
}

/// A word that begins a clause, where a table must be named.
fn clause_for_table(tokens: &[TokenWithSpan]) -> Option<usize> {
    const BEFORE: [&str; 3] = ["from", "join", "into"];
    const CLAUSES: [&str; 12] = [
        "where",
        "group",
        "order",
        "having",
        "limit",
        "offset",
        "union",
        "intersect",
        "except",
        "on",
        "using",
        "from",
    ];
    let is_one = |at: usize, words: &[&str]| {
        tokens.get(at).is_some_and(|it| words.iter().any(|word| is_word(&it.token, word)))
    };
    // Behind AS and a dot, these are names.
    let is_name = |at: usize| {
        let before = at.checked_sub(1).map(|before| &tokens[before].token);
        before.is_some_and(|it| *it == Token::Period || is_keyword(it, Keyword::AS))
    };
    // REVOKE .. FROM GROUP role
    let takes_group = is_one(0, &["revoke"]);
    (1..tokens.len()).find(|at| {
        is_one(at - 1, &BEFORE)
            && is_one(*at, &CLAUSES)
            && !is_name(at - 1)
            && !(takes_group && is_one(*at, &["group"]))
    })
}

/// SHOW has one name behind it; other databases show lists.
fn setting(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if !is(0, "show") || is(1, "time") || is(1, "transaction") || is(1, "session") {
        return None;
    }
    let mut end = 2;
    while tokens.get(end).is_some_and(|it| it.token == Token::Period) {
        end += 2;
    }
    (end < tokens.len()).then_some(end)
}

/// `count(DISTINCT *)`.
fn distinct_rows(tokens: &[TokenWithSpan]) -> Option<usize> {
    let found = tokens.windows(4).position(|it| {
        it[0].token == Token::LParen
            && is_keyword(&it[1].token, Keyword::DISTINCT)
            && it[2].token == Token::Mul
            && it[3].token == Token::RParen
    });
    found.map(|at| at + 2)
}

/// `[1, 2]`, which is an array with ARRAY before it, or within another.
fn array_without_word(tokens: &[TokenWithSpan]) -> Option<usize> {
    if !tokens.iter().any(|it| it.token == Token::LBracket) {
        return None;
    }
    // Whether each of the open brackets and parentheses is that of an array.
    let mut open: Vec<bool> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBrace => open.push(false),
            Token::RParen | Token::RBrace | Token::RBracket => drop(open.pop()),
            Token::LBracket => {
                let before = at.checked_sub(1).map(|before| &tokens[before].token);
                let in_array = open.last() == Some(&true);
                let array = match before {
                    Some(Token::Word(word)) if word.quote_style.is_none() => {
                        let is_array = word.keyword == Keyword::ARRAY;
                        if !is_array && keywords::RESERVED.contains(&word.keyword) {
                            return Some(at);
                        }
                        is_array
                    }
                    Some(Token::LBracket | Token::Comma) if in_array => true,
                    Some(
                        Token::Word(_)
                        | Token::RParen
                        | Token::RBracket
                        | Token::Placeholder(_)
                        | Token::SingleQuotedString(_),
                    ) => false,
                    _ => return Some(at),
                };
                open.push(array);
            }
            _ => {}
        }
    }
    None
}

/// `int(11)`: integers have no modifiers, and are no functions.
fn modified_integer(tokens: &[TokenWithSpan]) -> Option<usize> {
    const NAMES: [&str; 6] = ["bigint", "boolean", "int", "integer", "real", "smallint"];
    let found = tokens.windows(3).position(|it| {
        NAMES.iter().any(|name| is_word(&it[0].token, name))
            && it[1].token == Token::LParen
            && matches!(it[2].token, Token::Number(..))
    });
    found.map(|at| at + 1)
}

/// `FETCH FIRST 3 ROWS` of a query ends in ONLY or WITH TIES.
fn open_ended_fetch(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let mut starts = (1..tokens.len())
        .filter(|at| is(*at, "fetch") && (is(at + 1, "first") || is(at + 1, "next")));
    starts.find_map(|start| {
        let mut depth = 0usize;
        let rows = (start + 2..tokens.len()).find(|at| {
            match tokens[*at].token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && (is(*at, "row") || is(*at, "rows"))
        });
        let Some(rows) = rows else { return Some(tokens.len()) };
        let ends = is(rows + 1, "only") || is(rows + 1, "with") && is(rows + 2, "ties");
        (!ends).then_some(rows + 1)
    })
}

/// CREATE VIEW .. WITH CHECK OPTION is about what is written through the view.
fn refuse_check_option(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let is_view = tokens.iter().take(5).any(|it| is_word(&it.token, "view"));
    if let [.., with, kind, check, option] = tokens
        && is_view
        && is_word(&check.token, "check")
        && is_word(&option.token, "option")
    {
        let plain = is_keyword(&kind.token, Keyword::WITH);
        let start = if plain { kind } else { with };
        return Err(SqlError::unsupported("WITH CHECK OPTION is not supported")
            .hint("Nothing is written through views.")
            .at(source.position(start.span.start)));
    }
    Ok(())
}

/// Objects of PostgreSQL's that there are none of, and whose statements the grammar behind does not
/// know.
fn refuse_kind(tokens: &[TokenWithSpan]) -> SqlResult<()> {
    const ALTERED: [&str; 17] = [
        "database",
        "domain",
        "event",
        "extension",
        "foreign",
        "language",
        "large",
        "procedure",
        "publication",
        "routine",
        "rule",
        "server",
        "statistics",
        "subscription",
        "tablespace",
        "text",
        "trigger",
    ];
    const DROPPED: [&str; 2] = ["cast", "transform"];
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let one_of = |kinds: &[&'static str]| kinds.iter().copied().find(|kind| is(1, kind));
    let configures = is(3, "set") && !is(4, "tablespace") || is(3, "reset");
    if is(0, "alter") && is(1, "database") && configures {
        return Ok(());
    }
    let is_mapping = is(1, "user") && is(2, "mapping");
    let (verb, kind) = if is(0, "alter") {
        ("ALTER", one_of(&ALTERED))
    } else if is(0, "drop") {
        ("DROP", one_of(&DROPPED))
    } else if is(0, "create") {
        ("CREATE", one_of(&["transform"]))
    } else {
        return Ok(());
    };
    // Words that begin the names of kinds.
    let rest = match kind {
        Some("access") => " METHOD",
        Some("event") => " TRIGGER",
        Some("foreign") if is(2, "data") => " DATA WRAPPER",
        Some("foreign") => " TABLE",
        Some("large") => " OBJECT",
        Some("text") => " SEARCH",
        _ => "",
    };
    match kind {
        Some(kind) => Err(SqlError::unsupported(format!(
            "{verb} {}{rest} is not supported",
            kind.to_uppercase()
        ))),
        None if is_mapping => {
            Err(SqlError::unsupported(format!("{verb} USER MAPPING is not supported")))
        }
        None => Ok(()),
    }
}

/// EXCLUDE among the constraints of a table.
fn refuse_exclusion(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let defines = ["create", "alter"].iter().any(|verb| is_word(&tokens[0].token, verb));
    let found = tokens.windows(3).find(|it| {
        let begins = matches!(it[0].token, Token::LParen | Token::Comma | Token::Word(_));
        let follows = it[2].token == Token::LParen || is_keyword(&it[2].token, Keyword::USING);
        begins && is_word(&it[1].token, "exclude") && follows
    });
    match found.filter(|_| defines) {
        None => Ok(()),
        Some(words) => Err(SqlError::unsupported("exclusion constraints are not supported")
            .at(source.position(words[1].span.start))),
    }
}

/// `LIMIT 5, 10`.
fn limit_with_comma(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    for (at, token) in tokens.iter().enumerate() {
        let begins = at > 0
            && is_keyword(&token.token, Keyword::LIMIT)
            && !matches!(
                tokens[at - 1].token,
                Token::LParen | Token::Comma | Token::Period | Token::Mul
            );
        if !begins || is_keyword(&tokens[at - 1].token, Keyword::AS) {
            continue;
        }
        let mut depth = 0usize;
        for next in &tokens[at + 1..] {
            match &next.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                Token::Word(word)
                    if depth == 0
                        && matches!(
                            word.keyword,
                            Keyword::OFFSET | Keyword::FOR | Keyword::ON | Keyword::RETURNING
                        ) =>
                {
                    break;
                }
                Token::SemiColon => break,
                Token::Comma if depth == 0 => {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        "LIMIT #,# syntax is not supported",
                    )
                    .hint("Use separate LIMIT and OFFSET clauses.")
                    .at(source.position(token.span.start)));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn other_databases_syntax_is_refused_where_postgresql_stumbles() {
        for (sql, message) in [
            ("describe t", "syntax error at or near \"describe\""),
            ("replace into t values (1)", "syntax error at or near \"replace\""),
            ("insert ignore into t values (1)", "syntax error at or near \"ignore\""),
            ("delete t where a = 1", "syntax error at or near \"t\""),
            ("show columns from t", "syntax error at or near \"from\""),
            ("select count(distinct *) from t", "syntax error at or near \"*\""),
            ("select [1]", "syntax error at or near \"[\""),
            ("select array[1], [1]", "syntax error at or near \"[\""),
            ("select 1 fetch first row", "syntax error at end of input"),
            ("select 1 limit 5, 10", "LIMIT #,# syntax is not supported"),
            ("select * form t", "syntax error at or near \"form\""),
            ("select case end", "syntax error at or near \"end\""),
            ("create table t (user text)", "syntax error at or near \"user\""),
            ("create table t (i int) engine=x", "syntax error at or near \"engine\""),
            ("create table t (i int auto_increment)", "syntax error at or near \"auto_increment\""),
            ("alter table t drop a, rename b to c", "syntax error at or near \"rename\""),
            ("alter table t drop a, set schema s", "syntax error at or near \"schema\""),
            ("select variadic array[1]", "syntax error at or near \"variadic\""),
            ("select f(variadic a, b)", "syntax error at or near \",\""),
            ("alter table t rename b to c, drop a", "syntax error at or near \",\""),
        ] {
            let error = parse(sql).expect_err(sql);
            assert_eq!(error.message(), message, "{sql}");
        }
    }

    #[test]
    fn what_there_is_nothing_of_is_not_supported() {
        for (sql, message) in [
            ("alter database d set tablespace t", "ALTER DATABASE is not supported"),
            ("alter database d rename to e", "ALTER DATABASE is not supported"),
            ("alter event trigger t disable", "ALTER EVENT TRIGGER is not supported"),
            ("drop cast (a as b)", "DROP CAST is not supported"),
            ("create table t as execute p", "CREATE TABLE AS EXECUTE is not supported"),
            ("create database d", "CREATE DATABASE is not supported"),
            ("create user mapping for u server s", "CREATE USER MAPPING is not supported"),
            (
                "create table t (a int, exclude using gist (a with =))",
                "exclusion constraints are not supported",
            ),
            (
                "alter table t add constraint e exclude (a with =)",
                "exclusion constraints are not supported",
            ),
        ] {
            let error = parse(sql).expect_err(sql);
            assert_eq!(error.message(), message, "{sql}");
            assert_eq!(error.state(), satsuma_common::SqlState(*b"0A000"), "{sql}");
        }
    }

    #[test]
    fn what_looks_alike_is_taken() {
        for sql in [
            "select array[[1, 2], [3]], a[1], (b)[1:2], '{1}'::int[], array[(select 1)][1]",
            "select 1 fetch next 2 rows with ties",
            "create table t (exclude int, b int)",
            "alter table t drop exclude",
            "select (select 1 limit 1), 2 limit 3 offset 4",
            "select distinct * from t",
            "create table t (set int, a int[] default array[1], check (a[1] > 0)) with (x = 1)",
            "create table if not exists s.t (primary key (a), a int) on commit drop",
            "create table t (a) as select 1",
            "create table t as select (1) + 2",
            "show a.b",
            "select f(a, variadic b), f(variadic array[1])",
            "select a as table from t",
            "select 1 as join where true",
            "select 1 as from from t",
            "select 1 as a into temp table x",
            "select 1 as a into temporary table x",
            "select 1 as a into unlogged table x",
            "select 1 as a into table x",
            "revoke select on t from group r",
            "select 1 union distinct table t",
            "select 1 union all table t",
            "insert into t table u",
            "insert into s.t table u",
            "create view v as table t",
            "explain create table v as table t",
            "insert into t values (1) returning a as table",
            "show transaction isolation level",
        ] {
            parse(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
}
