//! What may not follow a number: `1a` is neither a number nor a number with an alias.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::Source;

/// 42601 for a number that a letter touches, with the word that begins so.
pub fn refuse_junk(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    for (at, token) in tokens.iter().enumerate() {
        let start = token.span.start;
        let end = match &token.token {
            // `10L` is one token to the grammar behind.
            Token::Number(_, true) => token.span.end,
            Token::Number(_, false) => match tokens.get(at + 1) {
                Some(TokenWithSpan { token: Token::Word(word), span })
                    if word.quote_style.is_none() && span.start == token.span.end =>
                {
                    span.end
                }
                _ => continue,
            },
            // `0x1F` is a number in later versions only; `x'1F'` is a bit string.
            Token::HexStringLiteral(_) if source.slice(start, token.span.end).starts_with('0') => {
                token.span.end
            }
            _ => continue,
        };
        let junk = source.slice(start, end);
        let message = format!("trailing junk after numeric literal at or near \"{junk}\"");
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(source.position(start)));
    }
    Ok(())
}
