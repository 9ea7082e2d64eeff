//! `PRIMARY KEY (..) INCLUDE (..)` and `UNIQUE (..) INCLUDE (..)`, for a grammar behind that knows
//! INCLUDE of CREATE INDEX only: included columns stand among the key's, under names of their own.
//!
//! ```text
//! PRIMARY KEY (a) INCLUDE (b, c)  ->  PRIMARY KEY (a, "i:b", "i:c")
//! ```
//!
//! The names begin with a NUL, which no query string can have.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::is_word;

const MARK: &str = "\0i:";

/// The name of an included column.
pub fn included(name: &Ident) -> Option<&str> {
    name.value.strip_prefix(MARK)
}

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let defines = ["create", "alter"];
    let is_it =
        tokens.first().is_some_and(|it| defines.iter().any(|word| is_word(&it.token, word)));
    if !is_it {
        return tokens;
    }
    let mut at = 1;
    while let Some(found) = (at..tokens.len()).find(|at| is_word(&tokens[*at].token, "include")) {
        at = found + 1;
        if tokens[found - 1].token != Token::RParen || !follows_key(&tokens, found - 1) {
            continue;
        }
        let Some(columns) = marked_list(&tokens[found + 1..], MARK) else { continue };
        // From INCLUDE to the parenthesis that closes its list.
        let end = found + 1 + 2 * columns.len();
        let named = columns
            .into_iter()
            .flat_map(|column| [TokenWithSpan { token: Token::Comma, span: column.span }, column]);
        let close = tokens[found - 1].clone();
        let list: Vec<_> = named.chain([close]).collect();
        tokens.splice(found - 1..=end, list);
    }
    tokens
}

/// Whether the parentheses that close here are those of a key's columns.
fn follows_key(tokens: &[TokenWithSpan], close: usize) -> bool {
    let open = tokens[..close].iter().rposition(|it| it.token == Token::LParen);
    let before = open.and_then(|open| open.checked_sub(1)).map(|at| &tokens[at].token);
    before
        .is_some_and(|token| ["key", "unique", "distinct"].iter().any(|word| is_word(token, word)))
}

/// The names in a list in parentheses, with a mark before each.
pub(super) fn marked_list(tokens: &[TokenWithSpan], mark: &str) -> Option<Vec<TokenWithSpan>> {
    if tokens.first()?.token != Token::LParen {
        return None;
    }
    let mut names = Vec::new();
    for pair in tokens[1..].chunks(2) {
        let [name, next] = pair else { return None };
        let Token::Word(word) = &name.token else { return None };
        let value = match word.quote_style {
            Some(_) => word.value.clone(),
            None => word.value.to_lowercase(),
        };
        let marked = Word {
            value: format!("{mark}{value}"),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        };
        names.push(TokenWithSpan { token: Token::Word(marked), span: name.span });
        match next.token {
            Token::Comma => {}
            Token::RParen => return Some(names),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn included_columns_stand_among_the_keys() {
        for (sql, printed) in [
            (
                "create table t (a int, b int, primary key (a) include (b), unique (b) include (A, \"C\"))",
                r#"CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, "!i:b"), UNIQUE (b, "!i:a", "!i:C"))"#,
            ),
            ("create unique index on t (a) include (b)", "CREATE UNIQUE INDEX ON t(a) INCLUDE (b)"),
        ] {
            let parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            let Some(Statement::Sql(statement)) = parsed.into_iter().next().map(|it| it.statement)
            else {
                panic!("{sql}: no SQL")
            };
            assert_eq!(statement.to_string().replace('\0', "!"), printed);
        }
    }
}
