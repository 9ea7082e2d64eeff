//! EXCLUDE of window frames, which the grammar behind does not know: it goes into the window's
//! name, which that one reads.
//!
//! ```text
//! OVER (w ORDER BY a ROWS 1 PRECEDING EXCLUDE TIES)  ->  OVER ("ties:w" ORDER BY a ROWS 1 PRECEDING)
//! ```
//!
//! The name begins with a NUL, which no query string can have.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::is_word;

/// What a frame leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exclude {
    CurrentRow,
    /// The current row and its peers.
    Group,
    /// Its peers.
    Ties,
}

const MARKS: [(&str, Exclude); 3] = [
    ("\0current row:", Exclude::CurrentRow),
    ("\0group:", Exclude::Group),
    ("\0ties:", Exclude::Ties),
];

/// The window's name as it was written, and what its frame leaves out.
pub fn excluded(name: Option<&Ident>) -> (Option<Ident>, Option<Exclude>) {
    let Some(name) = name else { return (None, None) };
    for (mark, exclude) in MARKS {
        if let Some(rest) = name.value.strip_prefix(mark) {
            let mut written = name.clone();
            rest.clone_into(&mut written.value);
            return ((!rest.is_empty()).then_some(written), Some(exclude));
        }
    }
    (Some(name.clone()), None)
}

/// The SQL text of what was read with such names, as it was written.
pub fn written(text: &str) -> String {
    let mut text = text.to_owned();
    let words = ["CURRENT ROW", "GROUP", "TIES"];
    for ((mark, _), words) in MARKS.iter().zip(words) {
        let quoted = format!("\"{mark}");
        while let Some(start) = text.find(&quoted) {
            let name = start + quoted.len();
            let Some(close) = text[name..].find('"').map(|at| name + at) else { break };
            let Some(end) = closing_parenthesis(&text, close + 1) else { break };
            text.insert_str(end, &format!(" EXCLUDE {words}"));
            if close == name {
                text.replace_range(start..=close, "");
            } else {
                text.replace_range(start + 1..name, "");
            }
        }
    }
    text
}

/// Where the parenthesis closes that `from` is within. Quotes that are doubled open again.
fn closing_parenthesis(text: &str, from: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0usize, None);
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < from) {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Some(at),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 0;
    while let Some(found) = (at..tokens.len()).find(|at| is_word(&tokens[*at].token, "exclude")) {
        at = found + 1;
        let word = |offset: usize, text| {
            tokens.get(found + offset).is_some_and(|it| is_word(&it.token, text))
        };
        let (length, mark) = if word(1, "current") && word(2, "row") {
            (3, Some(0))
        } else if word(1, "group") {
            (2, Some(1))
        } else if word(1, "ties") {
            (2, Some(2))
        } else if word(1, "no") && word(2, "others") {
            (3, None)
        } else {
            continue;
        };
        let ends = tokens.get(found + length).is_some_and(|it| it.token == Token::RParen);
        let Some(open) = frame_before(&tokens, found).filter(|_| ends) else { continue };
        tokens.drain(found..found + length);
        at = found;
        let Some(mark) = mark else { continue };
        let first = tokens[open + 1].clone();
        let base = match &first.token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
            Token::Word(word) if word.keyword == Keyword::NoKeyword => {
                Some(word.value.to_lowercase())
            }
            _ => None,
        };
        let word = Word {
            value: format!("{}{}", MARKS[mark].0, base.as_deref().unwrap_or("")),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        };
        let name = TokenWithSpan { token: Token::Word(word), span: first.span };
        if base.is_some() {
            tokens[open + 1] = name;
        } else {
            tokens.insert(open + 1, name);
            at += 1;
        }
    }
    tokens
}

/// Where the window opens whose frame ends before `end`.
fn frame_before(tokens: &[TokenWithSpan], end: usize) -> Option<usize> {
    let (mut depth, mut has_frame) = (0usize, false);
    for at in (0..end).rev() {
        match &tokens[at].token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return has_frame.then_some(at),
            Token::LParen => depth -= 1,
            Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                has_frame |=
                    matches!(word.keyword, Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS);
            }
            _ => {}
        }
    }
    None
}
