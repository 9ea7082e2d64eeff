//! The text of a path as a tree.

use satsuma_common::numeric::Numeric;
use satsuma_common::{SqlError, SqlResult, SqlState, jsonb};

/// Deepest nesting of parentheses, filters and signs.
const MAX_DEPTH: usize = 64;
/// Longest path, in tokens: chains of operators nest to the left.
const MAX_TOKENS: usize = 1000;

#[derive(Debug)]
pub struct Path {
    pub strict: bool,
    pub root: Node,
}

#[derive(Debug)]
pub enum Node {
    /// `$`
    Root,
    /// `@`
    Current,
    Variable(String),
    /// A literal, as JSON.
    Literal(String),
    /// `base` followed by accessors.
    Access(Box<Node>, Vec<Step>),
    Negate(Box<Node>),
    Plus(Box<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    Predicate(Predicate),
    /// `last` within a subscript.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub enum Predicate {
    And(Box<Predicate>, Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
    Not(Box<Predicate>),
    IsUnknown(Box<Predicate>),
    Exists(Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    StartsWith(Box<Node>, Box<Node>),
    LikeRegex(Box<Node>, String, String),
}

#[derive(Debug)]
pub enum Step {
    Member(String),
    AnyMember,
    /// `.**`, with the levels from and to.
    Recursive(usize, usize),
    AnyElement,
    Elements(Vec<(Node, Option<Node>)>),
    Filter(Predicate),
    Method(Method),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Type,
    Size,
    Double,
    Ceiling,
    Floor,
    Abs,
    KeyValue,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// Unquoted.
    Text(String),
    Number(String),
    Variable(String),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 24] = [
    "**", "==", "!=", "<>", "<=", ">=", "&&", "||", "$", "@", ".", "*", "[", "]", "(", ")", "?",
    "<", ">", "!", "+", "-", "/", "%",
];

pub fn parse(text: &str) -> SqlResult<Path> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let strict = parser.word("strict");
    if !strict {
        parser.word("lax");
    }
    let root = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(Path { strict, root: root.into_node() }),
        _ => Err(parser.error()),
    }
}

fn tokens(text: &str) -> SqlResult<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let word_len = |s: &str| {
            s.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(s.len())
        };
        if c == '"' {
            let length = string_len(rest).ok_or_else(|| syntax("unterminated quoted string"))?;
            let quoted = &rest[..length];
            jsonb::validate(quoted).map_err(|_| syntax("invalid string"))?;
            tokens.push(Token::Text(jsonb::unquote(quoted).into_owned()));
            rest = &rest[length..];
        } else if c.is_ascii_digit()
            || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let mut length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if rest[length..].starts_with('.')
                && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit())
            {
                let fraction = &rest[length + 1..];
                length +=
                    1 + fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            }
            if let Some(exponent) = rest[length..].strip_prefix(['e', 'E']) {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                if count > 0 {
                    length += 1 + (exponent.len() - digits.len()) + count;
                }
            }
            tokens.push(Token::Number(rest[..length].to_string()));
            rest = &rest[length..];
        } else if c == '$'
            && rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"')
        {
            let name = &rest[1..];
            let (name, length) = if name.starts_with('"') {
                let length =
                    string_len(name).ok_or_else(|| syntax("unterminated quoted string"))?;
                (jsonb::unquote(&name[..length]).into_owned(), length)
            } else {
                let length = word_len(name);
                (name[..length].to_string(), length)
            };
            tokens.push(Token::Variable(name));
            rest = &rest[1 + length..];
        } else if c.is_alphabetic() || c == '_' {
            let length = word_len(rest);
            tokens.push(Token::Word(rest[..length].to_string()));
            rest = &rest[length..];
        } else if c == ',' || c == '{' || c == '}' {
            tokens.push(Token::Symbol(match c {
                ',' => ",",
                '{' => "{",
                _ => "}",
            }));
            rest = &rest[1..];
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            return Err(syntax(format!("syntax error at or near \"{c}\" of jsonpath input")));
        }
        if tokens.len() > MAX_TOKENS {
            return Err(too_complex());
        }
        rest = rest.trim_start();
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// Bytes of the string that `text` begins with, quotes included.
fn string_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn too_complex() -> SqlError {
    SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
        .detail("The jsonpath is too long or nested too deeply.")
}

fn syntax(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, message)
}

/// What was parsed where both a value and a predicate may stand.
enum Either {
    Node(Node),
    Predicate(Predicate),
}

impl Either {
    fn into_node(self) -> Node {
        match self {
            Self::Node(node) => node,
            Self::Predicate(predicate) => Node::Predicate(predicate),
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(own) if *own == symbol);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(own) if own.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> SqlResult<()> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> SqlError {
        match self.peek() {
            Token::End => syntax("syntax error at end of jsonpath input"),
            Token::Word(text) | Token::Number(text) | Token::Text(text) => {
                syntax(format!("syntax error at or near \"{text}\" of jsonpath input"))
            }
            Token::Variable(name) => {
                syntax(format!("syntax error at or near \"${name}\" of jsonpath input"))
            }
            Token::Symbol(symbol) => {
                syntax(format!("syntax error at or near \"{symbol}\" of jsonpath input"))
            }
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> SqlResult<T>) -> SqlResult<T> {
        if self.depth >= MAX_DEPTH {
            return Err(too_complex());
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expression(&mut self) -> SqlResult<Either> {
        self.deeper(Self::or)
    }

    fn or(&mut self) -> SqlResult<Either> {
        let mut left = self.and()?;
        while self.symbol("||") {
            let right = self.and()?;
            let (l, r) = (self.predicate(left)?, self.predicate(right)?);
            left = Either::Predicate(Predicate::Or(Box::new(l), Box::new(r)));
        }
        Ok(left)
    }

    fn and(&mut self) -> SqlResult<Either> {
        let mut left = self.not()?;
        while self.symbol("&&") {
            let right = self.not()?;
            let (l, r) = (self.predicate(left)?, self.predicate(right)?);
            left = Either::Predicate(Predicate::And(Box::new(l), Box::new(r)));
        }
        Ok(left)
    }

    fn predicate(&self, either: Either) -> SqlResult<Predicate> {
        match either {
            Either::Predicate(predicate) => Ok(predicate),
            Either::Node(_) => Err(self.error()),
        }
    }

    fn not(&mut self) -> SqlResult<Either> {
        if !self.symbol("!") {
            return self.comparison();
        }
        let inner = self.deeper(Self::not)?;
        let inner = self.predicate(inner)?;
        Ok(Either::Predicate(Predicate::Not(Box::new(inner))))
    }

    fn comparison(&mut self) -> SqlResult<Either> {
        if self.word("exists") {
            self.expect("(")?;
            let inner = self.expression()?.into_node();
            self.expect(")")?;
            return Ok(Either::Predicate(Predicate::Exists(Box::new(inner))));
        }
        let left = self.additive()?;
        let left = match left {
            Either::Predicate(predicate) => {
                if self.word("is") {
                    if !self.word("unknown") {
                        return Err(self.error());
                    }
                    return Ok(Either::Predicate(Predicate::IsUnknown(Box::new(predicate))));
                }
                return Ok(Either::Predicate(predicate));
            }
            Either::Node(node) => node,
        };
        let comparison = match self.peek() {
            Token::Symbol("==") => Comparison::Equal,
            Token::Symbol("!=" | "<>") => Comparison::NotEqual,
            Token::Symbol("<") => Comparison::Less,
            Token::Symbol("<=") => Comparison::LessOrEqual,
            Token::Symbol(">") => Comparison::Greater,
            Token::Symbol(">=") => Comparison::GreaterOrEqual,
            _ => return self.string_test(left),
        };
        self.at += 1;
        let right = self.additive()?.into_node();
        let test = Predicate::Compare(comparison, Box::new(left), Box::new(right));
        Ok(Either::Predicate(test))
    }

    fn string_test(&mut self, left: Node) -> SqlResult<Either> {
        if self.word("starts") {
            if !self.word("with") {
                return Err(self.error());
            }
            let prefix = match self.next() {
                Token::Text(text) => Node::Literal(jsonb::quote(&text)),
                Token::Variable(name) => Node::Variable(name),
                _ => {
                    self.at -= 1;
                    return Err(self.error());
                }
            };
            return Ok(Either::Predicate(Predicate::StartsWith(Box::new(left), Box::new(prefix))));
        }
        if self.word("like_regex") {
            let Token::Text(pattern) = self.next() else {
                self.at -= 1;
                return Err(self.error());
            };
            let flags = if self.word("flag") {
                match self.next() {
                    Token::Text(flags) => flags,
                    _ => {
                        self.at -= 1;
                        return Err(self.error());
                    }
                }
            } else {
                String::new()
            };
            let test = Predicate::LikeRegex(Box::new(left), pattern, flags);
            return Ok(Either::Predicate(test));
        }
        Ok(Either::Node(left))
    }

    fn additive(&mut self) -> SqlResult<Either> {
        let mut left = self.multiplicative()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("+") => Operator::Add,
                Token::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.multiplicative()?.into_node();
            left = Either::Node(Node::Arithmetic(
                operator,
                Box::new(left.into_node()),
                Box::new(right),
            ));
        }
    }

    fn multiplicative(&mut self) -> SqlResult<Either> {
        let mut left = self.unary()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("*") => Operator::Multiply,
                Token::Symbol("/") => Operator::Divide,
                Token::Symbol("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.unary()?.into_node();
            left = Either::Node(Node::Arithmetic(
                operator,
                Box::new(left.into_node()),
                Box::new(right),
            ));
        }
    }

    fn unary(&mut self) -> SqlResult<Either> {
        if self.symbol("-") {
            let inner = self.deeper(Self::unary)?.into_node();
            return Ok(Either::Node(Node::Negate(Box::new(inner))));
        }
        if self.symbol("+") {
            let inner = self.deeper(Self::unary)?.into_node();
            return Ok(Either::Node(Node::Plus(Box::new(inner))));
        }
        self.access()
    }

    fn access(&mut self) -> SqlResult<Either> {
        let base = match self.next() {
            Token::Symbol("$") => Node::Root,
            Token::Symbol("@") => Node::Current,
            Token::Variable(name) => Node::Variable(name),
            Token::Text(text) => Node::Literal(jsonb::quote(&text)),
            Token::Number(digits) => Node::Literal(Numeric::parse(&digits)?.to_string()),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" | "false" | "null" => Node::Literal(word.to_ascii_lowercase()),
                "last" => Node::Last,
                _ => {
                    self.at -= 1;
                    return Err(self.error());
                }
            },
            Token::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                match inner {
                    Either::Node(node) => node,
                    // Only a test for unknown, or accessors, may follow.
                    Either::Predicate(predicate) => match self.peek() {
                        Token::Symbol("." | "[" | "?") => Node::Predicate(predicate),
                        _ => return Ok(Either::Predicate(predicate)),
                    },
                }
            }
            _ => {
                self.at -= 1;
                return Err(self.error());
            }
        };
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        let node = if steps.is_empty() { base } else { Node::Access(Box::new(base), steps) };
        Ok(Either::Node(node))
    }

    fn step(&mut self) -> SqlResult<Option<Step>> {
        if self.symbol(".") {
            return self.member().map(Some);
        }
        if self.symbol("?") {
            self.expect("(")?;
            let inner = self.expression()?;
            let filter = self.predicate(inner)?;
            self.expect(")")?;
            return Ok(Some(Step::Filter(filter)));
        }
        if !self.symbol("[") {
            return Ok(None);
        }
        if self.symbol("*") {
            self.expect("]")?;
            return Ok(Some(Step::AnyElement));
        }
        let mut ranges = Vec::new();
        loop {
            let from = self.deeper(Self::additive)?.into_node();
            let to =
                if self.word("to") { Some(self.deeper(Self::additive)?.into_node()) } else { None };
            ranges.push((from, to));
            if !self.symbol(",") {
                break;
            }
        }
        self.expect("]")?;
        Ok(Some(Step::Elements(ranges)))
    }

    fn member(&mut self) -> SqlResult<Step> {
        let name = match self.next() {
            Token::Symbol("*") => return Ok(Step::AnyMember),
            Token::Symbol("**") => return self.levels(),
            Token::Text(name) => return Ok(Step::Member(name)),
            Token::Word(name) => name,
            _ => {
                self.at -= 1;
                return Err(self.error());
            }
        };
        if !self.symbol("(") {
            return Ok(Step::Member(name));
        }
        let method = match name.as_str() {
            "type" => Method::Type,
            "size" => Method::Size,
            "double" => Method::Double,
            "ceiling" => Method::Ceiling,
            "floor" => Method::Floor,
            "abs" => Method::Abs,
            "keyvalue" => Method::KeyValue,
            "datetime" => {
                return Err(SqlError::unsupported(
                    "jsonpath item method .datetime() is not supported",
                ));
            }
            _ => {
                self.at -= 1;
                return Err(self.error());
            }
        };
        self.expect(")")?;
        Ok(Step::Method(method))
    }

    /// `{2}`, `{1 to 3}`, `{2 to last}` after `.**`.
    fn levels(&mut self) -> SqlResult<Step> {
        if !self.symbol("{") {
            return Ok(Step::Recursive(0, usize::MAX));
        }
        let from = self.level()?;
        let to = if self.word("to") { self.level()? } else { from };
        self.expect("}")?;
        Ok(Step::Recursive(from, to))
    }

    fn level(&mut self) -> SqlResult<usize> {
        if self.word("last") {
            return Ok(usize::MAX);
        }
        match self.next() {
            Token::Number(digits) => digits.parse().map_err(|_| syntax("invalid level of .**")),
            _ => {
                self.at -= 1;
                Err(self.error())
            }
        }
    }
}
