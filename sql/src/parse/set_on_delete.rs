//! `ON DELETE SET NULL (a, b)`, for a grammar behind that knows the action without its columns:
//! they stand before the name of the table that is referred to.
//!
//! ```text
//! REFERENCES t (x, y) ON DELETE SET NULL (a)  ->  REFERENCES "d:a".t (x, y) ON DELETE SET NULL
//! ```
//!
//! The names begin with a NUL, which no query string can have.

use sqlparser::ast::ObjectName;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::included::marked_list;
use super::tokens::is_word;

const MARK: &str = "\0d:";

/// The columns that are set, and the name of the table that is referred to.
pub fn set_on_delete(table: &ObjectName) -> (Vec<String>, ObjectName) {
    let column = |part: &sqlparser::ast::ObjectNamePart| {
        part.as_ident().and_then(|name| name.value.strip_prefix(MARK)).map(str::to_owned)
    };
    let columns: Vec<String> = table.0.iter().map_while(column).collect();
    let rest = table.0[columns.len()..].to_vec();
    (columns, ObjectName(rest))
}

pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |tokens: &[TokenWithSpan], at: usize, texts: &[&str]| {
        tokens.get(at).is_some_and(|it| texts.iter().any(|text| is_word(&it.token, text)))
    };
    if !is(&tokens, 0, &["create", "alter"]) {
        return tokens;
    }
    let mut at = 1;
    while at + 4 < tokens.len() {
        let on = at;
        at += 1;
        let is_it = is(&tokens, on, &["on"])
            && is(&tokens, on + 1, &["delete"])
            && is(&tokens, on + 2, &["set"])
            && is(&tokens, on + 3, &["null", "default"]);
        if !is_it {
            continue;
        }
        let Some(columns) = marked_list(&tokens[on + 4..], MARK) else { continue };
        let before = tokens[..on].iter().rposition(|it| is_word(&it.token, "references"));
        let Some(references) = before else { continue };
        tokens.drain(on + 4..on + 5 + 2 * columns.len());
        let parts = columns.into_iter().flat_map(|column| {
            let span = column.span;
            [column, TokenWithSpan { token: Token::Period, span }]
        });
        let parts: Vec<_> = parts.collect();
        at += parts.len();
        tokens.splice(references + 1..references + 1, parts);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn columns_stand_before_the_table() {
        let sql = "create table t (a int, b int, foreign key (a, b) references s.p (x, y) \
                   on update cascade on delete set null (B, \"C\") deferrable)";
        let parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let Some(Statement::Sql(statement)) = parsed.into_iter().next().map(|it| it.statement)
        else {
            panic!("{sql}: no SQL")
        };
        assert_eq!(
            statement.to_string().replace('\0', "!"),
            "CREATE TABLE t (a INT, b INT, FOREIGN KEY (a, b) REFERENCES \"!d:b\".\"!d:C\".s.p(x, y) \
             ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE)"
        );
    }
}
