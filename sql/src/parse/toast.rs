//! `WITH (toast.name = ..)`, for a grammar behind that knows no dots there: one name of both parts.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::is_word;

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let creates = tokens.first().is_some_and(|it| is_word(&it.token, "create"));
    let mut at = 1;
    while creates && let Some([before, toast, dot, name, ..]) = tokens.get(at..at + 4) {
        let is_it = matches!(before.token, Token::LParen | Token::Comma)
            && is_word(&toast.token, "toast")
            && dot.token == Token::Period;
        if let Token::Word(word) = &name.token
            && is_it
        {
            let value = format!("toast.{}", word.value.to_lowercase());
            let whole = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
            let span = toast.span;
            tokens.splice(at + 1..at + 4, [TokenWithSpan { token: Token::Word(whole), span }]);
        }
        at += 1;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn both_parts_are_one_name() {
        let sql = "create table t (a int) with (fillfactor = 70, toast.Vacuum_truncate = off)";
        let parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let Some(Statement::Sql(statement)) = parsed.into_iter().next().map(|it| it.statement)
        else {
            panic!("{sql}: no SQL")
        };
        assert_eq!(
            statement.to_string(),
            "CREATE TABLE t (a INT) WITH (fillfactor = 70, \"toast.vacuum_truncate\" = off)"
        );
    }
}
