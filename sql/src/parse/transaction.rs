//! Of transactions, what the grammar behind does not know: ABORT, which is ROLLBACK, and
//! `[NOT] DEFERRABLE`, which says how a SERIALIZABLE READ ONLY transaction may begin, and means
//! nothing to all others.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::{is_keyword, is_word};

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let first = |text| tokens.first().is_some_and(|token| is_word(&token.token, text));
    let second = |text| tokens.get(1).is_some_and(|token| is_word(&token.token, text));
    if first("abort") && !second("to") {
        tokens[0].token = Token::make_keyword("ROLLBACK");
        return tokens;
    }
    let begins = first("begin") || (first("start") && second("transaction"));
    let sets = first("set") && (second("transaction") || second("session"));
    if !begins && !sets {
        return tokens;
    }
    while let Some(at) = tokens.iter().position(|token| is_word(&token.token, "deferrable")) {
        let negated = at > 0 && is_keyword(&tokens[at - 1].token, Keyword::NOT);
        let start = at - usize::from(negated);
        let after_comma = start > 0 && tokens[start - 1].token == Token::Comma;
        let before_comma = tokens.get(at + 1).is_some_and(|next| next.token == Token::Comma);
        let start = start - usize::from(after_comma);
        let end = at + 1 + usize::from(before_comma && !after_comma);
        tokens.drain(start..end);
    }
    tokens
}
