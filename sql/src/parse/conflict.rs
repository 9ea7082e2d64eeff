//! `ON CONFLICT (lower(email)) WHERE active`: a target of expressions or with a condition, written
//! so that the grammar behind, which knows columns only, reads it.
//!
//! ```text
//! ON CONFLICT (lower(a), b) WHERE c  ->  ON CONFLICT ("e:lower(a)", "e:b", "w:c")
//! ```
//!
//! The names begin with a NUL, which no query string can have.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::Source;
use super::tokens::{is_keyword, is_word};

const EXPRESSION: &str = "\0e:";
const CONDITION: &str = "\0w:";

/// An element of a target, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictElement<'a> {
    Column(&'a Ident),
    /// The text of an expression.
    Expression(&'a str),
    /// The text of the condition.
    Condition(&'a str),
}

pub fn conflict_element(name: &Ident) -> ConflictElement<'_> {
    if let Some(text) = name.value.strip_prefix(EXPRESSION) {
        return ConflictElement::Expression(text);
    }
    match name.value.strip_prefix(CONDITION) {
        Some(text) => ConflictElement::Condition(text),
        None => ConflictElement::Column(name),
    }
}

pub fn adapt(source: &Source, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let start = tokens.windows(3).position(|it| {
        is_keyword(&it[0].token, Keyword::ON)
            && is_word(&it[1].token, "conflict")
            && it[2].token == Token::LParen
    });
    match start.and_then(|start| target(source, &tokens, start + 3)) {
        Some((end, elements)) => {
            let open = start.map_or(0, |start| start + 3);
            let mut adapted = tokens[..open].to_vec();
            adapted.extend(elements);
            adapted.extend_from_slice(&tokens[end..]);
            adapted
        }
        None => tokens,
    }
}

/// The target whose elements begin at `start`, if it must be written anew: where it ends, and what
/// replaces it.
fn target(
    source: &Source,
    tokens: &[TokenWithSpan],
    start: usize,
) -> Option<(usize, Vec<TokenWithSpan>)> {
    let (mut depth, mut first) = (0usize, start);
    let mut parts: Vec<&[TokenWithSpan]> = Vec::new();
    let close = (start..tokens.len()).find(|at| {
        match tokens[*at].token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => {
                parts.push(&tokens[first..*at]);
                return true;
            }
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => {
                parts.push(&tokens[first..*at]);
                first = *at + 1;
            }
            _ => {}
        }
        false
    })?;
    let is_plain =
        |part: &&[TokenWithSpan]| matches!(part, [one] if matches!(one.token, Token::Word(_)));
    let has_condition =
        tokens.get(close + 1).is_some_and(|it| is_keyword(&it.token, Keyword::WHERE));
    if (parts.iter().all(is_plain) && !has_condition) || parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let mut elements = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            elements.push(TokenWithSpan { token: Token::Comma, span: part[0].span });
        }
        match is_plain(part) {
            true => elements.push(part[0].clone()),
            false => elements.push(named(source, EXPRESSION, part)?),
        }
    }
    let mut end = close + 1;
    if has_condition {
        let action = (end + 1..tokens.len()).find(|at| is_word(&tokens[*at].token, "do"))?;
        let condition = named(source, CONDITION, &tokens[end + 1..action])?;
        elements.push(TokenWithSpan { token: Token::Comma, span: condition.span });
        elements.push(condition);
        end = action;
    }
    elements.push(tokens[close].clone());
    Some((end, elements))
}

fn named(source: &Source, mark: &str, part: &[TokenWithSpan]) -> Option<TokenWithSpan> {
    let (first, last) = (part.first()?, part.last()?);
    let text = source.slice(first.span.start, last.span.end);
    let word = Word {
        value: format!("{mark}{text}"),
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    };
    Some(TokenWithSpan { token: Token::Word(word), span: first.span })
}
