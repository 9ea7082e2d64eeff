//! Tokens of a query string: splitting, nesting, and small rewrites of what the grammar behind
//! lacks.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::{DIALECT, Source};
use crate::bind::NAME_BYTES;

pub fn tokenize(source: &Source) -> SqlResult<Vec<TokenWithSpan>> {
    let failed = match Tokenizer::new(&DIALECT, source.text()).tokenize_with_location() {
        Ok(tokens) => return scanned(source, tokens),
        Err(error) => error,
    };
    let (masked, mut strings) = super::escapes::mask(source)?;
    let again = if strings.is_empty() {
        Err(failed)
    } else {
        Tokenizer::new(&DIALECT, &masked).tokenize_with_location()
    };
    let tokens = again.map_err(|error| {
        let text = source.text();
        let (kind, start) = match super::escapes::unterminated(text) {
            Some((what, start)) => (format!("unterminated {what}"), start),
            None => ("syntax error".into(), source.byte(error.location)),
        };
        let rest = text.get(start..).unwrap_or("");
        let before = text.get(..start).unwrap_or(text).chars().count();
        SqlError::new(SqlState::SYNTAX_ERROR, format!("{kind} at or near \"{rest}\""))
            .at(u32::try_from(before + 1).unwrap_or(0))
    })?;
    let unmasked = tokens.into_iter().map(|mut token| {
        if let Token::EscapedStringLiteral(text) = &mut token.token
            && let Some(decoded) = strings.remove(&token.span.start)
        {
            *text = decoded;
        }
        token
    });
    scanned(source, unmasked.collect())
}

/// The tokens as PostgreSQL's scanner has them.
fn scanned(source: &Source, tokens: Vec<TokenWithSpan>) -> SqlResult<Vec<TokenWithSpan>> {
    super::numbers::refuse_junk(source, &tokens)?;
    let nameless = |it: &&TokenWithSpan| matches!(&it.token, Token::Word(word) if word.value.is_empty() && word.quote_style.is_some());
    if let Some(token) = tokens.iter().find(nameless) {
        return Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            "zero-length delimited identifier at or near \"\"\"\"",
        )
        .at(source.position(token.span.start)));
    }
    super::strings::join(source, super::operators::read(source, tokens))
}

/// Identifiers that are longer than names may be, as they count otherwise.
pub fn long_names(tokens: &[TokenWithSpan]) -> Vec<String> {
    let name = |it: &TokenWithSpan| match &it.token {
        Token::Word(word) if word.value.len() > NAME_BYTES => Some(match word.quote_style {
            Some(_) => word.value.clone(),
            None => word.value.to_lowercase(),
        }),
        _ => None,
    };
    tokens.iter().filter_map(name).collect()
}

/// Without NO INHERIT behind conditions of CHECK, as there is nothing that inherits, and COMPRESSION
/// behind types of columns, as storage compresses by itself.
pub fn plain_columns(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let is_table = (word(0, "create") || word(0, "alter"))
        && tokens.iter().take(4).any(|it| is_word(&it.token, "table"));
    if !is_table {
        return tokens;
    }
    let found = |tokens: &[TokenWithSpan]| {
        tokens.windows(3).position(|it| {
            it[0].token == Token::RParen
                && is_word(&it[1].token, "no")
                && is_word(&it[2].token, "inherit")
        })
    };
    while let Some(at) = found(&tokens) {
        tokens.drain(at + 1..at + 3);
    }
    let compressed = |tokens: &[TokenWithSpan]| {
        tokens.windows(3).position(|it| {
            matches!(it[0].token, Token::Word(_) | Token::RParen)
                && is_word(&it[1].token, "compression")
                && ["pglz", "lz4", "default"].iter().any(|way| is_word(&it[2].token, way))
        })
    };
    // `ALTER COLUMN .. SET COMPRESSION` is an action of its own.
    while let Some(at) = compressed(&tokens).filter(|at| !is_word(&tokens[*at].token, "set")) {
        tokens.drain(at + 1..at + 3);
    }
    tokens
}

/// Without white space and comments.
pub fn significant(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect()
}

/// Cuts at semicolons. White space stays out, except optimizer hints, which are comments too.
pub fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut groups = vec![Vec::new()];
    for token in tokens {
        match token.token {
            Token::SemiColon => groups.push(Vec::new()),
            Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab)
            | Token::Whitespace(_)
            | Token::EOF => {}
            _ => {
                if let Some(group) = groups.last_mut() {
                    group.push(token);
                }
            }
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// How deeply parentheses, brackets and CASE nest, with chains of prefix operators counted in.
pub fn nesting(tokens: &[TokenWithSpan]) -> usize {
    let (mut depth, mut deepest, mut prefixes) = (0usize, 0usize, 0usize);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::CASE => depth += 1,
            Token::Word(word) if word.keyword == Keyword::END => depth = depth.saturating_sub(1),
            _ => {}
        }
        match &token.token {
            Token::Minus | Token::Plus | Token::Tilde => prefixes += 1,
            Token::Word(word) if word.keyword == Keyword::NOT => prefixes += 1,
            Token::LParen => {}
            _ => prefixes = 0,
        }
        deepest = deepest.max(depth + prefixes);
    }
    deepest
}

/// What of a text makes its tree deep.
#[derive(Debug, Default)]
pub struct Chains {
    /// The longest chain of AND and OR.
    pub logical: usize,
    /// How many set operations there are, which nest to the left.
    pub sets: usize,
    /// The longest chain of other operators between these.
    pub other: usize,
    /// The most tests, casts and subscripts between these, each of which may be a level of a plan.
    pub tests: usize,
    /// How deep chains within parentheses within chains go together, about.
    pub depth: usize,
}

/// Measures the chains of a statement. Where those of AND and OR are `balanced`, they are not deep.
pub fn chains(tokens: &[TokenWithSpan], balanced: bool) -> Chains {
    /// What stands between a pair of parentheses.
    #[derive(Default)]
    struct Part {
        logical: usize,
        other: usize,
        tests: usize,
        /// The deepest of the elements so far, and of what is in parentheses within.
        deepest: usize,
        inner: usize,
    }
    impl Part {
        fn depth(&self) -> usize {
            self.inner + self.deepest
        }
    }
    let mut parts = vec![Part::default()];
    let mut longest = Chains::default();
    for token in tokens {
        let nesting = parts.len();
        let Some(part) = parts.last_mut() else { break };
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // A subscript is an operator, too.
                if token.token == Token::LBracket {
                    part.other += 1;
                    part.tests += 1;
                }
                longest.other = longest.other.max(part.other);
                parts.push(Part::default());
                continue;
            }
            Token::RParen | Token::RBracket | Token::RBrace if nesting > 1 => {
                let closed = parts.pop().unwrap_or_default().depth() + 1;
                if let Some(outer) = parts.last_mut() {
                    outer.inner = outer.inner.max(closed);
                }
                continue;
            }
            Token::Comma => (part.logical, part.other, part.tests) = (0, 0, 0),
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => longest.sets += 1,
                Keyword::AND | Keyword::OR => {
                    part.logical += 1;
                    (part.other, part.tests) = (0, 0);
                }
                Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::COLLATE
                | Keyword::AT => {
                    part.other += 1;
                    part.tests += 1;
                }
                _ => {}
            },
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period => {}
            Token::DoubleColon
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::Gt
            | Token::LtEq
            | Token::GtEq => {
                part.other += 1;
                part.tests += 1;
            }
            _ => part.other += 1,
        }
        let logical = if balanced { 0 } else { part.logical };
        part.deepest = part.deepest.max(logical + part.other);
        longest.logical = longest.logical.max(part.logical);
        longest.other = longest.other.max(part.other);
        longest.tests = longest.tests.max(part.tests);
        longest.depth = longest.depth.max(part.depth());
    }
    longest
}

/// `CREATE UNLOGGED TABLE` is CREATE TABLE: every table is logged.
pub fn logged(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if is(0, "create") && is(1, "unlogged") && is(2, "table") {
        tokens.remove(1);
    }
    tokens
}

/// `SHOW tables` is SHOW of a setting of that name, as of every other.
pub fn shown(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if let [show, setting] = tokens.as_mut_slice()
        && is_word(&show.token, "show")
        && let Token::Word(word) = &mut setting.token
    {
        word.keyword = Keyword::NoKeyword;
    }
    tokens
}

/// `WHERE CURRENT OF cursor`, which the grammar behind takes for a column.
pub fn refuse_current_of(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let changes = tokens
        .first()
        .is_some_and(|it| is_word(&it.token, "update") || is_word(&it.token, "delete"));
    let found = tokens.windows(3).find(|it| {
        is_keyword(&it[0].token, Keyword::WHERE)
            && is_word(&it[1].token, "current")
            && is_keyword(&it[2].token, Keyword::OF)
    });
    match found.filter(|_| changes) {
        None => Ok(()),
        Some(words) => Err(SqlError::unsupported("WHERE CURRENT OF is not supported")
            .hint("Name the row by its primary key.")
            .at(source.position(words[1].span.start))),
    }
}

/// Replaces what sqlparser does not know by what it does: `ISNULL` becomes `IS NULL`, `TABLE t` a
/// query, `ORDER BY a USING <` the order of that operator, and `ONLY t` is `t`, as no table inherits
/// from another.
pub fn adapt(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let tokens = plain_offsets(without_only(bare_comparisons(tokens)));
    let mut adapted: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is_only = is_keyword(&token.token, Keyword::ONLY)
            && adapted.last().is_some_and(|before| takes_only(&before.token))
            && rest.peek().is_some_and(|next| matches!(next.token, Token::Word(_)));
        if is_only {
            continue;
        }
        let direction = match rest.peek().map(|next| &next.token) {
            Some(Token::Lt) => Some("ASC"),
            Some(Token::Gt) => Some("DESC"),
            _ => None,
        };
        if is_keyword(&token.token, Keyword::USING)
            && let Some(direction) = direction
        {
            rest.next();
            let token = TokenWithSpan { token: Token::make_keyword(direction), span: token.span };
            adapted.push(token);
        } else if is_keyword(&token.token, Keyword::TABLE)
            && takes_query(&adapted)
            && rest.peek().is_some_and(|next| matches!(next.token, Token::Word(_)))
        {
            for word in ["SELECT", "FROM"] {
                let span = token.span;
                adapted.push(TokenWithSpan { token: Token::make_keyword(word), span });
                if word == "SELECT" {
                    adapted.push(TokenWithSpan { token: Token::Mul, span });
                }
            }
        } else if is_word(&token.token, "isnull")
            && rest.peek().is_some_and(|next| next.token == Token::LParen)
            && !adapted.last().is_some_and(|before| ends_operand(&before.token))
        {
            // A function, which PostgreSQL has not.
            let name = Token::make_word("isnull", Some('"'));
            adapted.push(TokenWithSpan { token: name, span: token.span });
        } else if is_word(&token.token, "isnull") {
            adapted.push(TokenWithSpan { token: Token::make_keyword("IS"), span: token.span });
            adapted.push(TokenWithSpan { token: Token::make_keyword("NULL"), span: token.span });
        } else {
            let TokenWithSpan { token, span } = token;
            let token = match token {
                Token::Word(word) => Token::Word(super::keywords::as_name(word)),
                other => other,
            };
            adapted.push(TokenWithSpan { token, span });
        }
    }
    super::using_alias::adapt(super::select_parts::adapt(adapted))
}

fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || word.keyword == Keyword::NoKeyword,
        Token::RParen
        | Token::RBracket
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_) => true,
        _ => false,
    }
}

/// A string as the offset of a frame goes into parentheses: the grammar behind takes it for an
/// interval.
fn plain_offsets(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_one = |at: usize, words: &[&str], tokens: &[TokenWithSpan]| {
        tokens.get(at).is_some_and(|it| words.iter().any(|word| is_word(&it.token, word)))
    };
    let units = ["rows", "range", "groups"];
    for at in (1..tokens.len()).rev() {
        if !matches!(tokens[at].token, Token::SingleQuotedString(_)) {
            continue;
        }
        let begins = is_one(at - 1, &units, &tokens)
            || at > 1 && is_one(at - 1, &["between"], &tokens) && is_one(at - 2, &units, &tokens);
        let ends = is_one(at - 1, &["and"], &tokens)
            && is_one(at + 1, &["preceding", "following"], &tokens);
        if begins || ends {
            let span = tokens[at].span;
            tokens.insert(at + 1, TokenWithSpan { token: Token::RParen, span });
            tokens.insert(at, TokenWithSpan { token: Token::LParen, span });
        }
    }
    tokens
}

/// Whether a query may follow: TABLE begins one then.
fn takes_query(before: &[TokenWithSpan]) -> bool {
    let had = |keyword| before.iter().any(|it| is_keyword(&it.token, keyword));
    let last: Vec<_> = before.iter().rev().take(5).map(|token| &token.token).collect();
    let is_insert =
        |verb: &Token, into: &Token| is_word(verb, "insert") && is_keyword(into, Keyword::INTO);
    let is_set = |token: &Token| {
        [Keyword::UNION, Keyword::INTERSECT, Keyword::EXCEPT]
            .iter()
            .any(|keyword| is_keyword(token, *keyword))
    };
    match last.as_slice() {
        [] | [Token::LParen | Token::RParen, ..] => true,
        // INSERT INTO name, or schema.name
        [Token::Word(_), into, verb, ..] if is_insert(verb, into) => true,
        [Token::Word(_), Token::Period, _, into, verb] if is_insert(verb, into) => true,
        [all, set, ..] if is_set(set) && (is_word(all, "all") || is_word(all, "distinct")) => true,
        // CREATE .. AS; behind these words, AS names a column.
        [last, ..] if is_keyword(last, Keyword::AS) => {
            !had(Keyword::SELECT) && !had(Keyword::RETURNING)
        }
        [last, ..] => is_set(last),
    }
}

/// Whether a table may follow, and ONLY before it.
fn takes_only(token: &Token) -> bool {
    [Keyword::FROM, Keyword::JOIN, Keyword::UPDATE, Keyword::USING]
        .iter()
        .any(|keyword| is_keyword(token, *keyword))
}

/// `OPERATOR(pg_catalog.=) ANY (..)` becomes `= ANY (..)`.
fn bare_comparisons(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const LENGTH: usize = 7;
    let mut at = 0;
    while let Some([operator, open, schema, dot, _, close, quantifier]) =
        tokens.get(at..at + LENGTH)
    {
        let is_it = is_word(&operator.token, "operator")
            && open.token == Token::LParen
            && is_word(&schema.token, "pg_catalog")
            && dot.token == Token::Period
            && close.token == Token::RParen
            && ["any", "all", "some"].iter().any(|word| is_word(&quantifier.token, word));
        if is_it {
            tokens.remove(at + 5);
            tokens.drain(at..at + 4);
        }
        at += 1;
    }
    tokens
}

/// No table here has any that inherit from it: `FROM ONLY t` is `FROM t`.
fn without_only(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let before = &tokens[at - 1].token;
        let is_it = is_word(&tokens[at].token, "only")
            && ["from", "join", "update"].iter().any(|word| is_word(before, word))
            && matches!(tokens[at + 1].token, Token::Word(_));
        if is_it {
            tokens.remove(at);
        }
        at += 1;
    }
    tokens
}

pub fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}

/// Whether the token is this unquoted word, in any case.
pub fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(Word { value, quote_style: None, .. })
        if value.eq_ignore_ascii_case(text))
}
