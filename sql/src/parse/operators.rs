//! Operators as PostgreSQL's scanner cuts them: as many characters of operators as touch each
//! other are one, but a `+` or `-` at its end belongs to it only where one of `~ ! @ # % ^ & | ? `
//! or a backtick is in it.
//!
//! ```text
//! 5>-1  ->  5 > -1        2^-1  ->  2 ^- 1        a->-1  ->  a -> -1
//! ```
//!
//! The tokenizer behind cuts by rules of its own; what it has cut is put together and cut anew.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::Source;

/// What makes a sign at the end of an operator part of it.
const SPECIAL: [char; 10] = ['~', '!', '@', '#', '%', '^', '&', '|', '`', '?'];

pub fn read(source: &Source, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_run = |pair: &[TokenWithSpan]| {
        pair[0].span.end == pair[1].span.start
            && is_operator(&pair[0].token)
            && is_operator(&pair[1].token)
    };
    if !tokens.iter().any(|it| is_misread(&it.token)) && !tokens.windows(2).any(is_run) {
        return tokens;
    }
    let mut read = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let mut end = at + 1;
        if is_operator(&tokens[at].token) {
            while tokens.get(end - 1..=end).is_some_and(is_run) {
                end += 1;
            }
        }
        if end > at + 1 || is_misread(&tokens[at].token) {
            cut(source, &tokens[at..end], &mut read);
        } else {
            read.push(tokens[at].clone());
        }
        at = end;
    }
    read
}

/// A single token that stands for another text than PostgreSQL takes it for.
fn is_misread(token: &Token) -> bool {
    matches!(token, Token::DoubleEq | Token::ShiftLeftVerticalBar)
}

fn cut(source: &Source, run: &[TokenWithSpan], read: &mut Vec<TokenWithSpan>) {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
    let mut rest = source.slice(first.span.start, last.span.end);
    let mut span = first.span;
    while !rest.is_empty() {
        let (operator, after) = rest.split_at(length(rest));
        span.end.column = span.start.column + operator.len() as u64;
        read.push(TokenWithSpan { token: token(operator), span });
        span.start = span.end;
        rest = after;
    }
}

/// How long the operator is that the text begins with, in characters and bytes.
fn length(text: &str) -> usize {
    if text.contains(SPECIAL) {
        return text.len();
    }
    text.trim_end_matches(['+', '-']).len().max(1)
}

/// Whether characters of operators make up the token.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Char(c) => *c == '`',
        Token::EOF
        | Token::Word(_)
        | Token::Number(..)
        | Token::Placeholder(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::Colon
        | Token::DoubleColon
        | Token::Assignment
        | Token::SemiColon
        | Token::Backslash
        | Token::LParen
        | Token::RParen
        | Token::LBracket
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace => false,
        _ => true,
    }
}

/// The token that the grammar behind knows the operator by.
fn token(operator: &str) -> Token {
    match operator {
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        "%" => Token::Mod,
        "^" => Token::Caret,
        "=" => Token::Eq,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" | "!=" => Token::Neq,
        "=>" => Token::RArrow,
        "<=>" => Token::Spaceship,
        "||" => Token::StringConcat,
        "|" => Token::Pipe,
        "&" => Token::Ampersand,
        "#" => Token::Sharp,
        "~" => Token::Tilde,
        "!" => Token::ExclamationMark,
        "!!" => Token::DoubleExclamationMark,
        "@" => Token::AtSign,
        "?" => Token::Question,
        "~*" => Token::TildeAsterisk,
        "!~" => Token::ExclamationMarkTilde,
        "!~*" => Token::ExclamationMarkTildeAsterisk,
        "~~" => Token::DoubleTilde,
        "~~*" => Token::DoubleTildeAsterisk,
        "!~~" => Token::ExclamationMarkDoubleTilde,
        "!~~*" => Token::ExclamationMarkDoubleTildeAsterisk,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        "&&" => Token::Overlap,
        "^@" => Token::CaretAt,
        "|/" => Token::PGSquareRoot,
        "||/" => Token::PGCubeRoot,
        "->" => Token::Arrow,
        "->>" => Token::LongArrow,
        "#>" => Token::HashArrow,
        "#>>" => Token::HashLongArrow,
        "#-" => Token::HashMinus,
        "@>" => Token::AtArrow,
        "<@" => Token::ArrowAt,
        "@?" => Token::AtQuestion,
        "@@" => Token::AtAt,
        "?&" => Token::QuestionAnd,
        "?|" => Token::QuestionPipe,
        "##" => Token::DoubleSharp,
        "@-@" => Token::AtDashAt,
        "<->" => Token::TwoWayArrow,
        "&<" => Token::AmpersandLeftAngleBracket,
        "&>" => Token::AmpersandRightAngleBracket,
        "&<|" => Token::AmpersandLeftAngleBracketVerticalBar,
        "|&>" => Token::VerticalBarAmpersandRightAngleBracket,
        "<<|" => Token::ShiftLeftVerticalBar,
        "|>>" => Token::VerticalBarShiftRight,
        "<^" => Token::LeftAngleBracketCaret,
        ">^" => Token::RightAngleBracketCaret,
        "?#" => Token::QuestionMarkSharp,
        "?-" => Token::QuestionMarkDash,
        "?-|" => Token::QuestionMarkDashVerticalBar,
        "?||" => Token::QuestionMarkDoubleVerticalBar,
        "~=" => Token::TildeEqual,
        other => Token::CustomBinaryOperator(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::{significant, tokenize};

    fn cut(sql: &str) -> Vec<String> {
        let tokens = significant(tokenize(&Source::new(sql)).expect("tokens"));
        let spelled = |it: TokenWithSpan| match it.token {
            Token::CustomBinaryOperator(name) => format!("custom {name}"),
            other => other.to_string(),
        };
        tokens.into_iter().map(spelled).collect()
    }

    #[test]
    fn a_sign_ends_an_operator_of_plain_characters() {
        assert_eq!(cut("5>-1"), ["5", ">", "-", "1"]);
        assert_eq!(cut("5>=-1"), ["5", ">=", "-", "1"]);
        assert_eq!(cut("5<>-+1"), ["5", "<>", "-", "+", "1"]);
        assert_eq!(cut("a->>-1"), ["a", "->>", "-", "1"]);
        assert_eq!(cut("x*-+y=>-2"), ["x", "*", "-", "+", "y", "=>", "-", "2"]);
        assert_eq!(cut("5>/* c */-1>--2\n3"), ["5", ">", "-", "1", ">", "3"]);
    }

    #[test]
    fn other_operators_are_as_long_as_can_be() {
        assert_eq!(cut("5!=-1"), ["5", "custom !=-", "1"]);
        assert_eq!(cut("2^-1"), ["2", "custom ^-", "1"]);
        assert_eq!(cut("a==b"), ["a", "custom ==", "b"]);
        assert_eq!(cut("a <| b <<| c"), ["a", "custom <|", "b", "<<|", "c"]);
        assert_eq!(cut("a!=b"), ["a", "<>", "b"]);
        assert_eq!(cut("count(*)-1"), ["count", "(", "*", ")", "-", "1"]);
    }
}
