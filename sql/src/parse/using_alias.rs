//! `JOIN .. USING (a, b) AS x`, for a grammar behind that takes no name there: it goes before the
//! columns.
//!
//! ```text
//! USING (a, b) AS x  ->  USING ("u:x", a, b)
//! ```
//!
//! The name begins with a NUL, which no query string can have.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::is_keyword;

const MARK: &str = "\0u:";

/// The alias of the merged columns, and the columns.
pub fn using_alias(columns: &[ObjectName]) -> (Option<&str>, &[ObjectName]) {
    let Some((first, rest)) = columns.split_first() else { return (None, columns) };
    let alias = match first.0.as_slice() {
        [ObjectNamePart::Identifier(Ident { value, .. })] => value.strip_prefix(MARK),
        _ => None,
    };
    if alias.is_some() { (alias, rest) } else { (None, columns) }
}

/// The SQL text of what was read with such names, as it was written.
pub fn written(text: &str) -> String {
    let mut text = text.to_owned();
    let quoted = format!("\"{MARK}");
    while let Some(start) = text.find(&quoted) {
        let name = start + quoted.len();
        let Some(end) = text[name..].find("\", ").map(|at| name + at) else { break };
        let Some(close) = text[end..].find(')').map(|at| end + at) else { break };
        let alias = format!(" AS \"{}\"", &text[name..end]);
        text.insert_str(close + 1, &alias);
        text.replace_range(start..end + "\", ".len(), "");
    }
    text
}

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 0;
    while let Some(found) =
        (at..tokens.len()).find(|at| is_keyword(&tokens[*at].token, Keyword::USING))
    {
        at = found + 1;
        let Some(close) = list_end(&tokens, at) else { continue };
        let Some([word, alias]) = tokens.get(close + 1..close + 3) else { continue };
        let Token::Word(name) = &alias.token else { continue };
        if !is_keyword(&word.token, Keyword::AS) {
            continue;
        }
        let value = match name.quote_style {
            Some(_) => format!("{MARK}{}", name.value),
            None => format!("{MARK}{}", name.value.to_lowercase()),
        };
        let span = alias.span;
        let name = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
        tokens.drain(close + 1..close + 3);
        let marked = [Token::Word(name), Token::Comma].map(|token| TokenWithSpan { token, span });
        tokens.splice(at + 1..at + 1, marked);
    }
    tokens
}

/// Where a list of nothing but names closes.
fn list_end(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    if tokens.get(open)?.token != Token::LParen {
        return None;
    }
    let mut at = open + 1;
    loop {
        if !matches!(tokens.get(at)?.token, Token::Word(_)) {
            return None;
        }
        match tokens.get(at + 1)?.token {
            Token::Comma => at += 2,
            Token::RParen => return Some(at + 1),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse, written};

    #[test]
    fn the_alias_stands_among_the_columns_and_is_written_back() {
        let sql = "SELECT x.id FROM a JOIN b USING (id, k) AS X JOIN c USING (id)";
        let Some(Statement::Sql(statement)) =
            parse(sql).unwrap().into_iter().next().map(|it| it.statement)
        else {
            panic!("no SQL")
        };
        let text = statement.to_string();
        assert!(text.contains("USING(\"\0u:x\", id, k)"), "{text}");
        assert_eq!(
            written(&text),
            "SELECT x.id FROM a JOIN b USING(id, k) AS \"x\" JOIN c USING(id)"
        );
    }
}
