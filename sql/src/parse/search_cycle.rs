//! SEARCH and CYCLE of recursive WITH queries, which the grammar behind does not know: their text
//! goes into a name behind the query, which that one reads.
//!
//! ```text
//! w AS (..) SEARCH DEPTH FIRST BY a SET o  ->  w AS (..) FROM "SEARCH DEPTH FIRST BY a SET o"
//! ```
//!
//! The name begins with a NUL, which no query string can have.

use std::sync::Arc;

use satsuma_common::SqlResult;
use sqlparser::ast::{Expr, Ident};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::{self, is_keyword, is_word};
use super::{Source, with_parser};

const MARK: &str = "\0trail:";

/// What is to be known of the way to a row.
#[derive(Clone, Debug, Default)]
pub struct SearchCycle {
    pub search: Option<Search>,
    pub cycle: Option<Cycle>,
}

/// `SEARCH DEPTH FIRST BY columns SET name`.
#[derive(Clone, Debug)]
pub struct Search {
    pub breadth: bool,
    pub columns: Vec<Ident>,
    pub name: Ident,
}

/// `CYCLE columns SET mark [TO value DEFAULT otherwise] USING path`.
#[derive(Clone, Debug)]
pub struct Cycle {
    pub columns: Vec<Ident>,
    pub mark: Ident,
    /// What the mark is where there is a cycle, and elsewhere; true and false if not given.
    pub values: Option<(Expr, Expr)>,
    pub path: Ident,
}

/// Reads the name that [`adapt`] has put behind a query; `None` for another name.
pub fn search_cycle(name: &Ident) -> SqlResult<Option<SearchCycle>> {
    let Some(text) = name.value.strip_prefix(MARK) else { return Ok(None) };
    let source = Arc::new(Source::new(text));
    let tokens = tokens::significant(tokens::tokenize(&source)?);
    with_parser(&source, &tokens, clauses).map(Some)
}

fn clauses(parser: &mut Parser<'_>) -> Result<SearchCycle, ParserError> {
    let mut read = SearchCycle::default();
    if takes(parser, "search") {
        let breadth = takes(parser, "breadth");
        // DEPTH, FIRST, BY were seen by `adapt`.
        let words = if breadth { 2 } else { 3 };
        (0..words).for_each(|_| drop(parser.next_token()));
        let columns = parser.parse_comma_separated(Parser::parse_identifier)?;
        parser.expect_keyword(Keyword::SET)?;
        read.search = Some(Search { breadth, columns, name: parser.parse_identifier()? });
    }
    if takes(parser, "cycle") {
        let columns = parser.parse_comma_separated(Parser::parse_identifier)?;
        parser.expect_keyword(Keyword::SET)?;
        let mark = parser.parse_identifier()?;
        let values = match parser.parse_keyword(Keyword::TO) {
            true => {
                let value = parser.parse_expr()?;
                parser.expect_keyword(Keyword::DEFAULT)?;
                Some((value, parser.parse_expr()?))
            }
            false => None,
        };
        parser.expect_keyword(Keyword::USING)?;
        read.cycle = Some(Cycle { columns, mark, values, path: parser.parse_identifier()? });
    }
    Ok(read)
}

fn takes(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = is_word(&parser.peek_token().token, word);
    if found {
        parser.next_token();
    }
    found
}

/// The SQL text of what was read with such names, as it was written.
pub fn written(text: &str) -> String {
    let mut text = text.to_owned();
    let before = format!("FROM \"{MARK}");
    while let Some(start) = text.find(&before) {
        let from = start + before.len();
        let mut end = from;
        // A quote that is doubled belongs to the name.
        while let Some(quote) = text[end..].find('"').map(|at| end + at) {
            end = quote + 1;
            if !text[end..].starts_with('"') {
                break;
            }
            end += 1;
        }
        if end == from {
            break;
        }
        let clause = text[from..end - 1].replace("\"\"", "\"");
        text.replace_range(start..end, &clause);
    }
    text
}

pub fn adapt(source: &Source, mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 1;
    while let Some(start) = (at..tokens.len()).find(|at| begins(&tokens, *at)) {
        let end = end_of(&tokens, start);
        let span = tokens[start].span;
        let text = source.slice(span.start, tokens[end - 1].span.end);
        let name = Word {
            value: format!("{MARK}{text}"),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        };
        let replacement = [Token::make_keyword("FROM"), Token::Word(name)];
        tokens.splice(start..end, replacement.map(|token| TokenWithSpan { token, span }));
        at = start + 2;
    }
    tokens
}

/// Whether a clause begins at a token, behind the parenthesis that closes a WITH query.
fn begins(tokens: &[TokenWithSpan], at: usize) -> bool {
    let word = |at: usize, text| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if tokens[at - 1].token != Token::RParen {
        return false;
    }
    let search = word(at, "search")
        && (word(at + 1, "depth") || word(at + 1, "breadth"))
        && word(at + 2, "first")
        && word(at + 3, "by");
    search || word(at, "cycle") && set_of(tokens, at + 1).is_some()
}

/// Where SET stands behind a list of columns.
fn set_of(tokens: &[TokenWithSpan], mut at: usize) -> Option<usize> {
    loop {
        matches!(tokens.get(at)?.token, Token::Word(_)).then_some(())?;
        match &tokens.get(at + 1)?.token {
            Token::Comma => at += 2,
            token if is_keyword(token, Keyword::SET) => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Where the clauses end: before the comma or the statement that goes on.
fn end_of(tokens: &[TokenWithSpan], start: usize) -> usize {
    let word = |at: usize, text| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let mut at = start;
    if word(at, "search") {
        match set_of(tokens, at + 4) {
            Some(set) => at = (set + 2).min(tokens.len()),
            None => return tokens.len(),
        }
    }
    if !word(at, "cycle") {
        return at;
    }
    let using = (at..tokens.len()).find(|at| is_keyword(&tokens[*at].token, Keyword::USING));
    using.map_or(tokens.len(), |using| (using + 2).min(tokens.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_read_and_written_back() {
        let clause =
            "SEARCH BREADTH FIRST BY a, \"b c\" SET o CYCLE a SET m TO 'y' DEFAULT 'n' USING p";
        let sql = format!("WITH RECURSIVE w AS (SELECT 1) {clause}, v AS (SELECT 2) SELECT 3");
        let parsed = crate::parse::parse(&sql).expect("a statement");
        let crate::parse::Statement::Sql(statement) = &parsed[0].statement else { panic!("SQL") };
        assert_eq!(crate::parse::written(&statement.to_string()), sql);
        let name = Ident::with_quote('"', format!("{MARK}{clause}"));
        let read = search_cycle(&name).expect("clauses").expect("a trail");
        let search = read.search.expect("SEARCH");
        assert!(search.breadth && search.columns.len() == 2 && search.name.value == "o");
        let cycle = read.cycle.expect("CYCLE");
        assert!(cycle.values.is_some() && cycle.path.value == "p");
    }
}
