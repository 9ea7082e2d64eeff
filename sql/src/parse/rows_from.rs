//! `ROWS FROM (f(..), g(..))`, written as a call of a function, which the grammar behind reads.
//! The name has a NUL in it, which no query string can have.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::{is_keyword, is_word};

/// What the function is called.
pub const ROWS_FROM: &str = "\0rows from";

/// The SQL text of what was read with such a call, as it was written.
pub fn written(text: &str) -> String {
    text.replace(&format!("\"{ROWS_FROM}\"("), "ROWS FROM (")
}

pub fn adapt(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_it = |tokens: &[TokenWithSpan]| {
        is_word(&tokens[0].token, "rows")
            && is_keyword(&tokens[1].token, Keyword::FROM)
            && tokens[2].token == Token::LParen
    };
    if !tokens.windows(3).any(is_it) {
        return tokens;
    }
    let mut adapted = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if tokens.get(at..at + 3).is_some_and(is_it) {
            let word = Word {
                value: ROWS_FROM.into(),
                quote_style: Some('"'),
                keyword: Keyword::NoKeyword,
            };
            adapted.push(TokenWithSpan { token: Token::Word(word), span: tokens[at].span });
            at += 2;
        } else {
            adapted.push(tokens[at].clone());
            at += 1;
        }
    }
    adapted
}
