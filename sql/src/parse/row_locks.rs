//! `FOR NO KEY UPDATE OF a, b SKIP LOCKED` and its relatives, written so that the grammar behind
//! reads them: that one knows UPDATE and SHARE, and one table after OF.
//!
//! ```text
//! FOR NO KEY UPDATE OF a, b NOWAIT  ->  FOR UPDATE OF weaker.a NOWAIT FOR UPDATE OF weaker.b NOWAIT
//! FOR KEY SHARE                     ->  FOR SHARE OF weaker.all
//! ```
//!
//! The two words have a NUL in them, which no query string can have.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::{is_keyword, is_word};

const WEAKER: &str = "\0weaker";
const ALL: &str = "\0all";

/// What stands after OF, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedName<'a> {
    /// NO KEY UPDATE where the clause says UPDATE, KEY SHARE where it says SHARE.
    pub weaker: bool,
    /// `None`: every table.
    pub table: Option<&'a Ident>,
}

/// `None` where a name is qualified, which PostgreSQL refuses.
pub fn locked_name<'a>(parts: &[&'a Ident]) -> Option<LockedName<'a>> {
    match parts {
        [mark, name] if mark.value == WEAKER => {
            Some(LockedName { weaker: true, table: (name.value != ALL).then_some(*name) })
        }
        [name] => Some(LockedName { weaker: false, table: Some(name) }),
        _ => None,
    }
}

pub fn adapt(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is_keyword(&token.token, Keyword::FOR)) {
        return tokens;
    }
    let mut adapted = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match clause(&tokens[at..]) {
            Some((length, clauses)) => {
                adapted.extend(clauses);
                at += length;
            }
            None => {
                adapted.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    limits_first(adapted)
}

/// `FOR UPDATE LIMIT 1` is `LIMIT 1 FOR UPDATE`: the grammar behind takes them in that order.
fn limits_first(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |at: usize, keyword| {
        tokens.get(at).is_some_and(|token: &TokenWithSpan| is_keyword(&token.token, keyword))
    };
    let is_lock =
        |at| is(at, Keyword::FOR) && (is(at + 1, Keyword::UPDATE) || is(at + 1, Keyword::SHARE));
    let is_limit = |at| is(at, Keyword::LIMIT) || is(at, Keyword::OFFSET) || is(at, Keyword::FETCH);
    let mut ordered: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if !is_lock(at) {
            ordered.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let limit = (at..tokens.len())
            .find(|at| {
                is_limit(*at) || !matches!(tokens[*at].token, Token::Word(_) | Token::Period)
            })
            .unwrap_or(tokens.len());
        let mut end = limit;
        if is_limit(limit) {
            let mut depth = 0usize;
            while end < tokens.len() && !is_lock(end) {
                match tokens[end].token {
                    Token::LParen => depth += 1,
                    Token::RParen if depth == 0 => break,
                    Token::RParen => depth -= 1,
                    _ => {}
                }
                end += 1;
            }
        }
        ordered.extend_from_slice(&tokens[limit..end]);
        ordered.extend_from_slice(&tokens[at..limit]);
        at = end;
    }
    ordered
}

/// The clause that the tokens begin with, if it must be written anew: its length, and what
/// replaces it.
fn clause(tokens: &[TokenWithSpan]) -> Option<(usize, Vec<TokenWithSpan>)> {
    let is = |at: usize, keyword| {
        tokens.get(at).is_some_and(|token: &TokenWithSpan| is_keyword(&token.token, keyword))
    };
    let word = |at: usize, text| {
        tokens.get(at).is_some_and(|token: &TokenWithSpan| is_word(&token.token, text))
    };
    if !is(0, Keyword::FOR) {
        return None;
    }
    let (weaker, strength) = if is(1, Keyword::UPDATE) || is(1, Keyword::SHARE) {
        (false, 1)
    } else if is(1, Keyword::NO) && is(2, Keyword::KEY) && is(3, Keyword::UPDATE) {
        (true, 3)
    } else if is(1, Keyword::KEY) && is(2, Keyword::SHARE) {
        (true, 2)
    } else {
        return None;
    };
    let mut end = strength + 1;
    let mut names: Vec<&[TokenWithSpan]> = Vec::new();
    if is(end, Keyword::OF) {
        end += 1;
        loop {
            let start = end;
            while matches!(tokens.get(end).map(|t| &t.token), Some(Token::Word(_) | Token::Period))
                && !word(end, "nowait")
                && !word(end, "skip")
                && !is(end, Keyword::FOR)
                && !is(end, Keyword::LIMIT)
            {
                end += 1;
            }
            names.push(&tokens[start..end]);
            if tokens.get(end).map(|token| &token.token) != Some(&Token::Comma) {
                break;
            }
            end += 1;
        }
    }
    if !weaker && names.len() < 2 {
        return None;
    }
    let wait = if word(end, "nowait") {
        1
    } else if word(end, "skip") && word(end + 1, "locked") {
        2
    } else {
        0
    };
    let (wait, length) = (&tokens[end..end + wait], end + wait);
    let span = tokens[0].span;
    let quoted = |value: &str| TokenWithSpan {
        token: Token::Word(Word {
            value: value.into(),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        }),
        span,
    };
    let all = [quoted(ALL)];
    if names.is_empty() {
        names.push(&all);
    }
    let mut clauses = Vec::new();
    for name in names {
        clauses.push(tokens[0].clone());
        clauses.push(tokens[strength].clone());
        clauses.push(TokenWithSpan { token: Token::make_keyword("OF"), span });
        if weaker {
            clauses.push(quoted(WEAKER));
            clauses.push(TokenWithSpan { token: Token::Period, span });
        }
        clauses.extend_from_slice(name);
        clauses.extend_from_slice(wait);
    }
    Some((length, clauses))
}
