//! sqlparser's PostgreSQL dialect, with PostgreSQL's grammar where that one has another: typed
//! literals of any type, which words may be an alias or a name, the rank of prefix and pattern
//! operators, BETWEEN SYMMETRIC, IS DISTINCT FROM, any operator before ANY and ALL.
//!
//! Plain names and literals are answered here without trying the rest of the grammar.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr, Ident, TrimWhereField, TypedString, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Word};

use super::keywords;

#[derive(Debug)]
pub struct PgDialect;

const BASE: PostgreSqlDialect = PostgreSqlDialect {};

/// Signs bind more tightly than `^`, AT TIME ZONE and COLLATE; `::` and subscripts more tightly.
const SIGN: u8 = 125;
/// Operators without a rank of their own.
const OTHER: u8 = 70;
const BETWEEN: u8 = 60;
const IS: u8 = 40;

/// The prefix of an argument that is an array of arguments.
pub const VARIADIC: &str = "variadic";

type Parsed<T> = Result<T, ParserError>;

/// Methods of [`PostgreSqlDialect`] that stay as they are.
macro_rules! as_in_postgresql {
    ($($name:ident),* $(,)?) => { $(fn $name(&self) -> bool { BASE.$name() })* };
}

impl Dialect for PgDialect {
    fn dialect(&self) -> TypeId {
        BASE.dialect()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        BASE.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        BASE.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        BASE.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        BASE.is_identifier_part(ch)
    }

    /// The tokenizer cuts the operators it knows; [`super::operators`] puts longer ones together.
    fn is_custom_operator_part(&self, _: char) -> bool {
        false
    }

    /// What begins with a reserved word and goes wrong is wrong there, and no name.
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        BASE.is_reserved_for_identifier(keyword) || keywords::RESERVED.contains(&keyword)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        BASE.prec_value(precedence)
    }

    as_in_postgresql!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_comma_separated_trim,
    );

    /// The name behind a WITH query that SEARCH and CYCLE go into.
    fn supports_from_first_insert(&self) -> bool {
        true
    }

    /// `f(name := value)`, as `name => value` was written first.
    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    /// `SELECT 1 name`: any word but those that PostgreSQL wants AS before.
    fn is_column_alias(&self, keyword: &Keyword, _: &mut Parser) -> bool {
        !keywords::NEEDS_AS.contains(keyword)
    }

    /// `FROM t name`: any word but the reserved ones and those of joins.
    fn is_table_alias(&self, keyword: &Keyword, _: &mut Parser) -> bool {
        !keywords::RESERVED.contains(keyword) && !keywords::FUNCTION_OR_TYPE.contains(keyword)
    }

    /// AS changes nothing here, other than in a select list.
    fn is_table_factor_alias(&self, _: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        self.is_table_alias(keyword, parser)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Parsed<u8>> {
        match &parser.peek_token_ref().token {
            Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk => Some(Ok(OTHER)),
            Token::Word(word) if word.keyword == Keyword::OPERATOR => Some(Ok(OTHER)),
            // Between the name and the value of an argument, it is no operator.
            Token::Assignment => Some(Ok(0)),
            _ => BASE.get_next_precedence(parser),
        }
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Parsed<Expr>> {
        let next = &parser.peek_nth_token_ref(1).token;
        let (is_call, is_literal) = (*next == Token::LParen, is_string(next));
        let operator = match &parser.peek_token_ref().token {
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {
                return Some(parser.parse_value().map(Expr::Value));
            }
            Token::Minus => Some((UnaryOperator::Minus, SIGN)),
            Token::Plus => Some((UnaryOperator::Plus, SIGN)),
            Token::Tilde => Some((UnaryOperator::BitwiseNot, OTHER)),
            Token::AtSign => Some((UnaryOperator::PGAbs, OTHER)),
            Token::PGSquareRoot => Some((UnaryOperator::PGSquareRoot, OTHER)),
            Token::PGCubeRoot => Some((UnaryOperator::PGCubeRoot, OTHER)),
            Token::Word(word) if word.quote_style.is_some() => None,
            // A query in parentheses that is a list of rows.
            Token::Word(word)
                if word.keyword == Keyword::VALUES
                    && is_call
                    && parser.get_current_token().token == Token::LParen =>
            {
                return Some(parser.parse_query().map(Expr::Subquery));
            }
            Token::Word(word) if keywords::is_never_a_value(word, is_call) => {
                return Some(parser.expected_ref("an expression", parser.peek_token_ref()));
            }
            Token::Word(word) if word.keyword == Keyword::ROW && is_call => {
                return Some(row(parser));
            }
            Token::Word(word) if word.keyword == Keyword::TRIM && is_call => {
                return trim(parser);
            }
            _ => None,
        };
        if let Some((op, rank)) = operator {
            parser.advance_token();
            return Some(operand(parser, rank).map(|expr| Expr::UnaryOp { op, expr }));
        }
        let token = parser.peek_token_ref().clone();
        if let Token::CustomBinaryOperator(name) = &token.token {
            parser.advance_token();
            let prefix = Ident::with_span(token.span, name);
            return Some(operand(parser, OTHER).map(|value| Expr::Prefixed { prefix, value }));
        }
        if keyword(&token.token) == Keyword::VARIADIC {
            return Some(variadic(parser));
        }
        let Token::Word(word) = &token.token else { return None };
        let is_precise_interval = word.keyword == Keyword::INTERVAL
            && word.quote_style.is_none()
            && is_call
            && matches!(parser.peek_nth_token_ref(2).token, Token::Number(..))
            && parser.peek_nth_token_ref(3).token == Token::RParen
            && is_string(&parser.peek_nth_token_ref(4).token);
        if is_literal && may_be_a_type(word) || is_precise_interval {
            return Some(typed_literal(parser));
        }
        // A name, unless a parenthesis, a string or an arrow makes something else of it.
        let plain = word.keyword == Keyword::NoKeyword || word.quote_style.is_some();
        if plain && !is_call && !is_literal {
            parser.advance_token();
            return Some(Ok(Expr::Identifier(word.to_ident(token.span))));
        }
        None
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, rank: u8) -> Option<Parsed<Expr>> {
        let next = keyword(&parser.peek_nth_token_ref(1).token);
        let here = keyword(&parser.peek_token_ref().token);
        match (here, next) {
            (Keyword::BETWEEN, Keyword::SYMMETRIC | Keyword::ASYMMETRIC) => {
                Some(between(parser, left, false))
            }
            (Keyword::NOT, Keyword::BETWEEN)
                if matches!(
                    keyword(&parser.peek_nth_token_ref(2).token),
                    Keyword::SYMMETRIC | Keyword::ASYMMETRIC
                ) =>
            {
                parser.advance_token();
                Some(between(parser, left, true))
            }
            (Keyword::COLLATE, _) => Some(collated(parser, left)),
            (Keyword::SIMILAR, next) if next != Keyword::TO => Some(similar(parser, left, rank)),
            (Keyword::IS, Keyword::DISTINCT) => Some(distinct_from(parser, left, false)),
            (Keyword::IS, Keyword::NOT)
                if keyword(&parser.peek_nth_token_ref(2).token) == Keyword::DISTINCT =>
            {
                Some(distinct_from(parser, left, true))
            }
            (Keyword::NoKeyword, Keyword::ANY | Keyword::SOME | Keyword::ALL)
                if parser.peek_nth_token_ref(2).token == Token::LParen =>
            {
                let op = unusual_quantified(&parser.peek_token_ref().token)?;
                Some(quantified(parser, left, op, rank))
            }
            _ => None,
        }
    }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(Word { keyword, quote_style: None, .. }) => *keyword,
        _ => Keyword::NoKeyword,
    }
}

fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::DollarQuotedString(_)
    )
}

/// Whether `word 'text'` is a literal of type `word`. Types that are several words, or have a
/// grammar of their own, are left to sqlparser.
fn may_be_a_type(word: &Word) -> bool {
    word.quote_style.is_some()
        || !keywords::RESERVED.contains(&word.keyword)
            && !keywords::FUNCTION_OR_TYPE.contains(&word.keyword)
            && !matches!(
                word.keyword,
                Keyword::INTERVAL | Keyword::VALUES | Keyword::ESCAPE | Keyword::BETWEEN
            )
}

/// `VARIADIC array`, which is the last argument of a call.
fn variadic(parser: &mut Parser) -> Parsed<Expr> {
    let begins = matches!(parser.get_current_token().token, Token::LParen | Token::Comma);
    let token = parser.peek_token();
    if !begins {
        return parser.expected("an expression", token);
    }
    parser.advance_token();
    let value = Box::new(parser.parse_expr()?);
    if parser.peek_token_ref().token == Token::Comma {
        return parser.expected_ref("the end of the arguments", parser.peek_token_ref());
    }
    Ok(Expr::Prefixed { prefix: Ident::with_span(token.span, VARIADIC), value })
}

/// What a prefix operator stands before. Another one is put in parentheses: `~ -1`, written as a
/// stored expression is, would be read as one operator.
fn operand(parser: &mut Parser, rank: u8) -> Parsed<Box<Expr>> {
    let operand = Box::new(parser.parse_subexpr(rank)?);
    Ok(match operand.as_ref() {
        Expr::UnaryOp { .. } => Box::new(Expr::Nested(operand)),
        _ => operand,
    })
}

/// `ROW(..)`, of any number of fields.
fn row(parser: &mut Parser) -> Parsed<Expr> {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let fields = parser.parse_comma_separated0(Parser::parse_expr, Token::RParen)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Tuple(fields))
}

/// `inet '10.0.0.1'`, `interval(0) '1.5 s'`.
fn typed_literal(parser: &mut Parser) -> Parsed<Expr> {
    let data_type = parser.parse_data_type()?;
    let value = parser.parse_value()?;
    Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
}

/// `trim([leading|trailing|both] from x)`, which names no characters; other forms are sqlparser's.
fn trim(parser: &mut Parser) -> Option<Parsed<Expr>> {
    let side = match keyword(&parser.peek_nth_token_ref(2).token) {
        Keyword::BOTH => Some(TrimWhereField::Both),
        Keyword::LEADING => Some(TrimWhereField::Leading),
        Keyword::TRAILING => Some(TrimWhereField::Trailing),
        _ => None,
    };
    let from = if side.is_some() { 3 } else { 2 };
    if keyword(&parser.peek_nth_token_ref(from).token) != Keyword::FROM {
        return None;
    }
    for _ in 0..=from {
        parser.advance_token();
    }
    let rest = (|| {
        let expr = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        Ok(expr)
    })();
    Some(rest.map(|expr| Expr::Trim {
        expr: Box::new(expr),
        trim_where: side,
        trim_what: None,
        trim_characters: None,
    }))
}

/// The name of the operator that [`similar`] makes: none that can be written.
pub const SIMILAR: &str = "similar";

/// `x SIMILAR pattern ESCAPE character`, which only `substring(..)` takes.
fn similar(parser: &mut Parser, value: &Expr, rank: u8) -> Parsed<Expr> {
    parser.expect_keyword_is(Keyword::SIMILAR)?;
    let pattern = parser.parse_subexpr(rank)?;
    parser.expect_keyword_is(Keyword::ESCAPE)?;
    let escape = parser.parse_subexpr(rank)?;
    Ok(Expr::BinaryOp {
        left: Box::new(value.clone()),
        op: BinaryOperator::Custom(SIMILAR.into()),
        right: Box::new(Expr::Tuple(vec![pattern, escape])),
    })
}

/// `x BETWEEN SYMMETRIC a AND b` as PostgreSQL rewrites it.
fn between(parser: &mut Parser, value: &Expr, negated: bool) -> Parsed<Expr> {
    parser.expect_keyword_is(Keyword::BETWEEN)?;
    let symmetric = parser.parse_keyword(Keyword::SYMMETRIC);
    if !symmetric {
        parser.expect_keyword_is(Keyword::ASYMMETRIC)?;
    }
    let low = parser.parse_subexpr(BETWEEN)?;
    parser.expect_keyword_is(Keyword::AND)?;
    let high = parser.parse_subexpr(BETWEEN)?;
    let within = |low: Expr, high: Expr| Expr::Between {
        expr: Box::new(value.clone()),
        negated,
        low: Box::new(low),
        high: Box::new(high),
    };
    if !symmetric {
        return Ok(within(low, high));
    }
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    Ok(Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(within(low.clone(), high.clone())),
        op,
        right: Box::new(within(high, low)),
    })))
}

/// `x COLLATE name` after what is more than a name or a value: sqlparser looks for it there only.
fn collated(parser: &mut Parser, value: &Expr) -> Parsed<Expr> {
    parser.expect_keyword_is(Keyword::COLLATE)?;
    let collation = parser.parse_object_name(false)?;
    Ok(Expr::Collate { expr: Box::new(value.clone()), collation })
}

fn distinct_from(parser: &mut Parser, left: &Expr, negated: bool) -> Parsed<Expr> {
    parser.expect_keyword_is(Keyword::IS)?;
    if negated {
        parser.expect_keyword_is(Keyword::NOT)?;
    }
    parser.expect_keywords(&[Keyword::DISTINCT, Keyword::FROM])?;
    let right = Box::new(parser.parse_subexpr(IS)?);
    let left = Box::new(left.clone());
    Ok(if negated {
        Expr::IsNotDistinctFrom(left, right)
    } else {
        Expr::IsDistinctFrom(left, right)
    })
}

/// Operators that sqlparser does not take before ANY and ALL.
fn unusual_quantified(token: &Token) -> Option<BinaryOperator> {
    Some(match token {
        Token::ShiftLeft => BinaryOperator::PGBitwiseShiftLeft,
        Token::ShiftRight => BinaryOperator::PGBitwiseShiftRight,
        Token::Overlap => BinaryOperator::PGOverlap,
        Token::AtArrow => BinaryOperator::AtArrow,
        Token::ArrowAt => BinaryOperator::ArrowAt,
        Token::Question => BinaryOperator::Question,
        Token::CaretAt => BinaryOperator::PGStartsWith,
        Token::CustomBinaryOperator(name) => BinaryOperator::Custom(name.clone()),
        _ => return None,
    })
}

fn quantified(
    parser: &mut Parser,
    left: &Expr,
    compare_op: BinaryOperator,
    rank: u8,
) -> Parsed<Expr> {
    parser.advance_token();
    let all = parser.parse_keyword(Keyword::ALL);
    let is_some = !all && parser.parse_keyword(Keyword::SOME);
    if !all && !is_some {
        parser.expect_keyword_is(Keyword::ANY)?;
    }
    let subquery = matches!(
        keyword(&parser.peek_nth_token_ref(1).token),
        Keyword::SELECT | Keyword::WITH | Keyword::VALUES
    );
    let right = if subquery {
        parser.parse_subexpr(rank)?
    } else {
        parser.expect_token(&Token::LParen)?;
        let right = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        right
    };
    let (left, right) = (Box::new(left.clone()), Box::new(right));
    Ok(if all {
        Expr::AllOp { left, compare_op, right }
    } else {
        Expr::AnyOp { left, compare_op, right, is_some }
    })
}
