//! Assignments to parts of columns, for a grammar behind that knows whole columns only: the
//! subscripts go into a field's name, which that one reads.
//!
//! ```text
//! UPDATE t SET a[2] = 5, j['k'] = '1'   ->  UPDATE t SET a."s:[2]" = 5, j."s:['k']" = '1'
//! INSERT INTO t (a[1], a[2])            ->  INSERT INTO t (a."s:[1]", a."s:[2]")
//! ```
//!
//! The name begins with a NUL, which no query string can have.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::Source;
use super::tokens::{is_keyword, is_word};

const MARK: &str = "\0s:";

/// The text of the subscripts that a name stands for.
pub fn subscripts(name: &Ident) -> Option<&str> {
    name.value.strip_prefix(MARK)
}

pub fn adapt(source: &Source, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let assigns = ["update", "insert", "merge", "with", "explain"];
    let is_it = tokens.first().is_some_and(|it| assigns.iter().any(|w| is_word(&it.token, w)));
    if !is_it || !tokens.iter().any(|it| it.token == Token::LBracket) {
        return tokens;
    }
    let mut places = Vec::new();
    for at in 0..tokens.len() {
        if is_keyword(&tokens[at].token, Keyword::SET) {
            assignments(&tokens, at + 1, &mut places);
        } else if is_keyword(&tokens[at].token, Keyword::INSERT)
            && let Some(open) = list_of_insert(&tokens, at + 1)
        {
            targets(&tokens, open + 1, &mut places);
        }
    }
    let (mut adapted, mut rest) = (Vec::with_capacity(tokens.len()), 0);
    for (start, end) in places {
        adapted.extend_from_slice(&tokens[rest..start]);
        let (first, last) = (tokens[start].span, tokens[end - 1].span);
        let text = source.slice(first.start, last.end);
        let value = format!("{MARK}{text}");
        let name = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
        adapted.push(TokenWithSpan { token: Token::Period, span: first });
        adapted.push(TokenWithSpan { token: Token::Word(name), span: first });
        rest = end;
    }
    adapted.extend_from_slice(&tokens[rest..]);
    adapted
}

/// Where subscripts begin and end.
type Places = Vec<(usize, usize)>;

/// The subscripts in what follows SET.
fn assignments(tokens: &[TokenWithSpan], mut at: usize, places: &mut Places) {
    let is = |at: usize, token: &Token| tokens.get(at).is_some_and(|it| it.token == *token);
    loop {
        at = match is(at, &Token::LParen) {
            true => targets(tokens, at + 1, places) + 1,
            false => target(tokens, at, places),
        };
        if !is(at, &Token::Eq) {
            return;
        }
        match value_end(tokens, at + 1) {
            Some(comma) => at = comma + 1,
            None => return,
        }
    }
}

/// The comma after a value, if one follows.
fn value_end(tokens: &[TokenWithSpan], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    for at in start..tokens.len() {
        match &tokens[at].token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.checked_sub(1)?,
            Token::Comma if depth == 0 => return Some(at),
            token if depth == 0 => {
                let is_from = is_keyword(token, Keyword::FROM)
                    && !is_keyword(&tokens[at - 1].token, Keyword::DISTINCT);
                let ends = [Keyword::WHERE, Keyword::RETURNING, Keyword::SET];
                if is_from || ends.iter().any(|end| is_keyword(token, *end)) {
                    return None;
                }
            }
            _ => {}
        }
    }
    None
}

/// A list of targets in parentheses; gives where it closes.
fn targets(tokens: &[TokenWithSpan], mut at: usize, places: &mut Places) -> usize {
    loop {
        at = target(tokens, at, places);
        if tokens.get(at).is_none_or(|it| it.token != Token::Comma) {
            return at;
        }
        at += 1;
    }
}

/// One target, `a`, `a.b` or `a[1]`; gives where it ends.
fn target(tokens: &[TokenWithSpan], start: usize, places: &mut Places) -> usize {
    let is = |at: usize, token: &Token| tokens.get(at).is_some_and(|it| it.token == *token);
    let is_name = |at: usize| matches!(tokens.get(at).map(|it| &it.token), Some(Token::Word(_)));
    let mut at = start;
    while is_name(at) {
        at += 1;
        if !is(at, &Token::Period) {
            break;
        }
        at += 1;
    }
    let first = at;
    while at > start && is(at, &Token::LBracket) {
        let mut depth = 0usize;
        let close = (at..tokens.len()).find(|at| {
            match tokens[*at].token {
                Token::LBracket => depth += 1,
                Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        match close {
            Some(close) => at = close + 1,
            None => return at,
        }
    }
    if at > first {
        places.push((first, at));
    }
    at
}

/// Where the list of columns opens.
fn list_of_insert(tokens: &[TokenWithSpan], mut at: usize) -> Option<usize> {
    let is = |at: usize, token: &Token| tokens.get(at).is_some_and(|it| it.token == *token);
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if word(at, "into") {
        at += 2;
        while is(at, &Token::Period) {
            at += 2;
        }
        if word(at, "as") {
            at += 2;
        }
    }
    let is_query = ["select", "values", "with", "table"].iter().any(|it| word(at + 1, it));
    (is(at, &Token::LParen) && !is_query).then_some(at)
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    fn printed(sql: &str) -> String {
        let parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        match parsed.into_iter().next().map(|it| it.statement) {
            Some(Statement::Sql(statement)) => statement.to_string().replace('\0', "!"),
            _ => panic!("{sql}: no SQL"),
        }
    }

    #[test]
    fn subscripts_of_targets_become_names() {
        for (sql, printed_as) in [
            (
                "update t set a[1] = b[2], c = d[3] is distinct from 1, (e[4], f) = (g[5], 6) from u, v where w[7] = 8",
                r#"UPDATE t SET a."!s:[1]" = b[2], c = d[3] IS DISTINCT FROM 1, (e."!s:[4]", f) = (g[5], 6) FROM u, v WHERE w[7] = 8"#,
            ),
            (
                "insert into s.t as x (a[1:2], j['k'][0], b) select c[1], 2, 3",
                r#"INSERT INTO s.t AS x (a."!s:[1:2]", j."!s:['k'][0]", b) SELECT c[1], 2, 3"#,
            ),
            (
                "insert into t values (1) on conflict (k) do update set a[2] = excluded.a[1], b = 2",
                r#"INSERT INTO t VALUES (1) ON CONFLICT(k) DO UPDATE SET a."!s:[2]" = excluded.a[1], b = 2"#,
            ),
            ("insert into t (select a[1] from u)", "INSERT INTO t (SELECT a[1] FROM u)"),
        ] {
            assert_eq!(printed(sql), printed_as);
        }
    }
}
