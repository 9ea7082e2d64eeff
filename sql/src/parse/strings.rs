//! Strings that go on after a line break (`'a'` newline `'b'` is `'ab'`), and what Unicode escapes
//! mean under another escape character.

use std::iter::Peekable;
use std::str::Chars;

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace, Word};

use super::Source;
use super::escapes;
use super::tokens::is_word;

/// Puts together what PostgreSQL's scanner reads as one literal or name.
pub fn join(source: &Source, tokens: Vec<TokenWithSpan>) -> SqlResult<Vec<TokenWithSpan>> {
    let concerns = |token: &TokenWithSpan| {
        matches!(token.token, Token::UnicodeStringLiteral(_))
            || is_word(&token.token, "u")
            || literal(&token.token).is_some()
    };
    if !tokens.iter().any(concerns) {
        return Ok(tokens);
    }
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(mut token) = rest.next() {
        // White space is only of use where it breaks a line.
        let mut held = Vec::new();
        if literal(&token.token).is_some() {
            let mut broken = false;
            while let Some(space) = rest.next_if(|next| is_space(&next.token)) {
                broken |= breaks_line(&space.token);
                held.push(space);
                let goes_on = rest
                    .next_if(|next| broken && matches!(next.token, Token::SingleQuotedString(_)));
                if let Some(next) = goes_on {
                    append(source, &mut token, &next)?;
                    held.clear();
                    broken = false;
                }
            }
        }
        if let Token::UnicodeStringLiteral(text) = &token.token
            && rest.peek().is_some_and(|next| is_word(&next.token, "uescape"))
        {
            let text = text.clone();
            rest.next();
            while rest.next_if(|next| is_space(&next.token)).is_some() {}
            let escape = rest.next().and_then(|next| match &next.token {
                Token::SingleQuotedString(escape) => {
                    token.span.end = next.span.end;
                    single(escape)
                }
                _ => None,
            });
            let position = source.position(token.span.start);
            let escape = escape.ok_or_else(|| invalid_escape_character(position))?;
            let decoded = unicode(&text, escape).ok_or_else(|| invalid(position))?;
            token.token = Token::SingleQuotedString(decoded);
            held.clear();
        }
        joined.push(token);
        joined.extend(held);
        quoted_name(source, &mut joined)?;
    }
    Ok(joined)
}

/// `U&"d\0061t"`, which comes as three tokens.
fn quoted_name(source: &Source, tokens: &mut Vec<TokenWithSpan>) -> SqlResult<()> {
    let [.., prefix, and, name] = tokens.as_slice() else { return Ok(()) };
    let Token::Word(Word { value, quote_style: Some('"'), .. }) = &name.token else {
        return Ok(());
    };
    let touches = prefix.span.end == and.span.start && and.span.end == name.span.start;
    if !touches || and.token != Token::Ampersand || !is_word(&prefix.token, "u") {
        return Ok(());
    }
    let position = source.position(prefix.span.start);
    let value = unicode(value, '\\').ok_or_else(|| invalid(position))?;
    let word = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
    let mut span = prefix.span;
    span.end = name.span.end;
    tokens.truncate(tokens.len() - 3);
    tokens.push(TokenWithSpan { token: Token::Word(word), span });
    Ok(())
}

/// 42601 for a string right after another, which the grammar behind takes for an alias.
pub fn refuse_adjacent(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let are_strings = |pair: &&[TokenWithSpan]| {
        literal(&pair[0].token).is_some() && matches!(pair[1].token, Token::SingleQuotedString(_))
    };
    match tokens.windows(2).find(are_strings) {
        None => Ok(()),
        Some(pair) => Err(super::error::near(source, tokens, pair[1].span.start)),
    }
}

fn literal(token: &Token) -> Option<&String> {
    match token {
        Token::SingleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text)
        | Token::NationalStringLiteral(text) => Some(text),
        _ => None,
    }
}

fn append(source: &Source, token: &mut TokenWithSpan, next: &TokenWithSpan) -> SqlResult<()> {
    let Token::SingleQuotedString(more) = &next.token else { return Ok(()) };
    let position = source.position(next.span.start);
    match &mut token.token {
        Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => text.push_str(more),
        Token::EscapedStringLiteral(text) => {
            let written = source.slice(next.span.start, next.span.end);
            let body = written.strip_prefix('\'').and_then(|body| body.strip_suffix('\''));
            text.push_str(&escapes::read(body.unwrap_or(more), position)?);
        }
        Token::UnicodeStringLiteral(text) => {
            text.push_str(&unicode(more, '\\').ok_or_else(|| invalid(position))?);
        }
        _ => {}
    }
    token.span.end = next.span.end;
    Ok(())
}

fn is_space(token: &Token) -> bool {
    match token {
        Token::Whitespace(Whitespace::MultiLineComment(_)) => false,
        Token::Whitespace(_) => true,
        _ => false,
    }
}

fn breaks_line(token: &Token) -> bool {
    matches!(token, Token::Whitespace(Whitespace::Newline | Whitespace::SingleLineComment { .. }))
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let escape = chars.next().filter(|_| chars.next().is_none())?;
    let refused = escape.is_ascii_hexdigit()
        || matches!(escape, '+' | '\'' | '"')
        || escape.is_ascii_whitespace();
    (!refused).then_some(escape)
}

/// `\0061` and `\+000061`; a doubled escape character is one. `None`: malformed.
fn unicode(text: &str, escape: char) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let c = if c != escape {
            c
        } else if chars.next_if_eq(&escape).is_some() {
            escape
        } else {
            let length = if chars.next_if_eq(&'+').is_some() { 6 } else { 4 };
            let code = hex(&mut chars, length)?;
            // Halves of a pair make one character together.
            if let Ok(unit @ 0xd800..=0xdfff) = u16::try_from(code) {
                units.push(unit);
                continue;
            }
            char::from_u32(code).filter(|c| *c != '\0')?
        };
        units.extend(c.encode_utf16(&mut [0; 2]).iter());
    }
    String::from_utf16(&units).ok()
}

fn hex(chars: &mut Peekable<Chars<'_>>, length: usize) -> Option<u32> {
    let mut code = 0;
    for _ in 0..length {
        code = code * 16 + chars.next()?.to_digit(16)?;
    }
    Some(code)
}

fn invalid(position: u32) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape")
        .hint("Unicode escapes must be \\XXXX or \\+XXXXXX.")
        .at(position)
}

fn invalid_escape_character(position: u32) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape character").at(position)
}

#[cfg(test)]
mod tests {
    use sqlparser::tokenizer::Tokenizer;

    use super::super::DIALECT;
    use super::*;

    fn joined(sql: &str) -> Vec<String> {
        let source = Source::new(sql);
        let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().expect("tokens");
        let tokens = join(&source, tokens).expect("strings");
        let texts = tokens.iter().filter(|token| !is_space(&token.token));
        texts
            .map(|token| literal(&token.token).cloned().unwrap_or(token.token.to_string()))
            .collect()
    }

    #[test]
    fn a_string_goes_on_after_a_line_break_only() {
        assert_eq!(joined("'a'\n  'b'\n'c', 'd'"), ["abc", ",", "d"]);
        assert_eq!(joined("'a' -- or\n'b'"), ["ab"]);
        assert_eq!(joined("'a' 'b'"), ["a", "b"]);
        assert_eq!(joined("'a' /* \n */ 'b'"), ["a", "/* \n */", "b"]);
        assert_eq!(joined("E'a\\n'\n'b\\t'"), ["a\nb\t"]);
    }

    #[test]
    fn unicode_escapes() {
        assert_eq!(unicode("d\\0061t\\+01F600\\\\", '\\').as_deref(), Some("dat\u{1F600}\\"));
        assert_eq!(unicode("\\D83D\\DE00", '\\').as_deref(), Some("\u{1F600}"));
        assert_eq!(unicode("\\D83D", '\\'), None);
        assert_eq!(joined("U&'d!0061t' UESCAPE '!'"), ["dat"]);
        assert_eq!(joined("U&\"d\\0061t\""), ["\"dat\""]);
    }
}
