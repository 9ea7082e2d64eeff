//! SELECT without a list, GROUP BY DISTINCT, and all fields of a row, which the grammar behind does
//! not know: each is written as one name more, which that one reads.
//!
//! ```text
//! SELECT WHERE true         ->  SELECT "nothing" WHERE true
//! GROUP BY DISTINCT a, b    ->  GROUP BY "distinct", a, b
//! SELECT (row).*            ->  SELECT (row)."fields"
//! ```
//!
//! The names begin with a NUL, which no query string can have.

use sqlparser::ast::{AccessExpr, Expr};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::is_keyword;

const NOTHING: &str = "\0nothing";
const DISTINCT: &str = "\0distinct";
const FIELDS: &str = "\0fields";

/// What follows a list that may be left out; so may be the end.
const AFTER_LIST: [Keyword; 12] = [
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::WINDOW,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::FOR,
];

/// Whether this stands for a list that was left out.
pub fn is_nothing(expr: &Expr) -> bool {
    is_name(expr, NOTHING)
}

/// The elements of GROUP BY, and whether equal grouping sets count once.
pub fn group_by(exprs: &[Expr]) -> (bool, &[Expr]) {
    match exprs.split_first() {
        Some((first, rest)) if is_name(first, DISTINCT) => (true, rest),
        _ => (false, exprs),
    }
}

/// The row that a `(row).*` is of.
pub fn all_fields(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.as_slice() {
            [AccessExpr::Dot(field)] if is_all_fields(field) => Some(root),
            _ => None,
        },
        _ => None,
    }
}

/// Whether this is the star of `(row).*`.
pub fn is_all_fields(field: &Expr) -> bool {
    is_name(field, FIELDS)
}

/// The SQL text of what was read with such a name, as it was written.
pub fn written(text: &str) -> String {
    text.replace(&format!(".\"{FIELDS}\""), ".*")
}

fn is_name(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.value == name)
}

pub fn adapt(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let ends = |token: &Token| match token {
        Token::RParen => true,
        Token::Word(word) => word.quote_style.is_none() && AFTER_LIST.contains(&word.keyword),
        _ => false,
    };
    let mut adapted: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let span = token.span;
        let name = |text: &str| TokenWithSpan {
            token: Token::Word(Word {
                value: text.into(),
                quote_style: Some('"'),
                keyword: Keyword::NoKeyword,
            }),
            span,
        };
        let is_select = is_keyword(&token.token, Keyword::SELECT);
        let groups = is_keyword(&token.token, Keyword::BY)
            && adapted.last().is_some_and(|before| is_keyword(&before.token, Keyword::GROUP));
        let is_row = token.token == Token::Period
            && adapted.last().is_some_and(|before| before.token == Token::RParen);
        adapted.push(token);
        if is_row && rest.next_if(|next| next.token == Token::Mul).is_some() {
            adapted.push(name(FIELDS));
        } else if is_select && rest.peek().is_none_or(|next| ends(&next.token)) {
            adapted.push(name(NOTHING));
        } else if groups
            && rest.next_if(|next| is_keyword(&next.token, Keyword::DISTINCT)).is_some()
        {
            adapted.push(name(DISTINCT));
            adapted.push(TokenWithSpan { token: Token::Comma, span });
        } else if groups {
            // ALL is what is done anyway.
            let _ = rest.next_if(|next| is_keyword(&next.token, Keyword::ALL));
        }
    }
    adapted
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn lists_may_be_left_out() {
        for sql in [
            "select",
            "select where true",
            "select union all select",
            "select 1 where exists (select) order by 1",
            "select count(*) from t group by distinct rollup (a), a",
            "select a from t group by all a",
            "select (t).*, (f(a)).* from t",
        ] {
            parse(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        for sql in ["select a from t group by all", "select a from t group by distinct"] {
            assert!(parse(sql).is_err(), "{sql}");
        }
    }
}
