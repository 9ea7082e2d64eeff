//! `CREATE RECURSIVE VIEW`, which is a view of a query WITH RECURSIVE of its name, and options of
//! views, whose value may be left out where it is `true`.
//!
//! ```text
//! CREATE RECURSIVE VIEW s.v (a, b) AS query
//!   ->  CREATE VIEW s.v (a, b) AS WITH RECURSIVE v (a, b) AS (query) SELECT a, b FROM v
//! ```

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::is_word;

pub fn adapt(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.first().is_some_and(|it| is_word(&it.token, "create")) {
        return tokens;
    }
    options(recursive(tokens))
}

/// `WITH (security_barrier)` as `WITH (security_barrier = true)`.
fn options(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let find = |text: &str| tokens.iter().position(|it| is_word(&it.token, text));
    let (Some(view), Some(with), Some(query)) = (find("view"), find("with"), find("as")) else {
        return tokens;
    };
    let opens = tokens.get(with + 1).is_some_and(|it| it.token == Token::LParen);
    if view > 4 || with > query || !opens {
        return tokens;
    }
    let ends = |token: &Token| matches!(token, Token::Comma | Token::RParen);
    for at in (with + 2..query).rev() {
        let alone = matches!(tokens[at].token, Token::Word(_))
            && matches!(tokens[at - 1].token, Token::Comma | Token::LParen)
            && tokens.get(at + 1).is_some_and(|next| ends(&next.token));
        if alone {
            let span = tokens[at].span;
            let value = [Token::Eq, Token::make_keyword("TRUE")];
            let value = value.map(|token| TokenWithSpan { token, span });
            tokens.splice(at + 1..at + 1, value);
        }
    }
    tokens
}

fn recursive(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let recursive = if word(1, "or") { 3 } else { 1 };
    if !word(0, "create") || !word(recursive, "recursive") || !word(recursive + 1, "view") {
        return tokens;
    }
    let is_token = |at: usize, token: &Token| tokens.get(at).is_some_and(|it| it.token == *token);
    let mut name = recursive + 2;
    while is_token(name + 1, &Token::Period) {
        name += 2;
    }
    let (open, end) = (name + 1, tokens.len());
    let close = (open..end).find(|at| is_token(*at, &Token::RParen));
    let Some(close) = close.filter(|close| is_token(open, &Token::LParen) && word(close + 1, "as"))
    else {
        return tokens;
    };
    let span = tokens[recursive].span;
    let of = |token: Token| TokenWithSpan { token, span };
    let keyword = |text: &str| of(Token::make_keyword(text));
    let (name, columns) = (tokens[name].clone(), tokens[open..=close].to_vec());
    let query = tokens.split_off(close + 2);
    tokens.extend([keyword("WITH"), keyword("RECURSIVE"), name.clone()]);
    tokens.extend(columns.iter().cloned());
    tokens.extend([keyword("AS"), of(Token::LParen)]);
    tokens.extend(query);
    tokens.extend([of(Token::RParen), keyword("SELECT")]);
    tokens.extend_from_slice(&columns[1..columns.len() - 1]);
    tokens.extend([keyword("FROM"), name]);
    tokens.remove(recursive);
    tokens
}

#[cfg(test)]
mod tests {
    #[test]
    fn options_are_true_where_nothing_is_said() {
        let sql = "CREATE VIEW v (a) WITH (security_barrier, check_option=local) AS SELECT 1";
        let parsed = crate::parse::parse(sql).expect(sql);
        let [one] = parsed.as_slice() else { panic!("one statement") };
        let crate::parse::Statement::Sql(statement) = &one.statement else { panic!("SQL") };
        assert!(statement.to_string().contains("security_barrier = true"), "{statement}");
    }

    #[test]
    fn a_recursive_view_reads_itself() {
        let sql = "CREATE OR REPLACE RECURSIVE VIEW s.v (a) AS VALUES (1) UNION SELECT a FROM v";
        let parsed = crate::parse::parse(sql).expect(sql);
        let [one] = parsed.as_slice() else { panic!("one statement") };
        let crate::parse::Statement::Sql(statement) = &one.statement else { panic!("SQL") };
        assert_eq!(
            statement.to_string(),
            "CREATE OR REPLACE VIEW s.v (a) AS WITH RECURSIVE v (a) AS (VALUES (1) UNION SELECT a \
             FROM v) SELECT a FROM v"
        );
    }
}
