//! What a path finds in a document.
//!
//! In lax mode arrays are taken apart where their elements are wanted, single values stand for
//! arrays of one, and what is missing is nothing. Predicates know three values: what cannot be
//! compared is unknown.

use std::borrow::Cow;
use std::cmp::Ordering;

use satsuma_common::jsonb::{self, Kind};
use satsuma_common::numeric::Numeric;
use satsuma_common::{SqlError, SqlResult, SqlState};

use super::parse::{Comparison, Method, Node, Operator, Path, Predicate, Step};
use crate::functions::regex;

/// An item: JSON text.
type Item<'d> = Cow<'d, str>;

/// Items that one path may find.
const MOST_ITEMS: usize = 10_000_000;

pub fn query(path: &Path, document: &str, variables: &str) -> SqlResult<Vec<String>> {
    let evaluation = Evaluation { strict: path.strict, document, variables };
    let place = Place { current: document, last: None };
    let items = evaluation.node(&path.root, place)?;
    Ok(items.into_iter().map(Cow::into_owned).collect())
}

/// Errors of the data, which `silent` and the operators swallow.
pub fn is_suppressible(error: &SqlError) -> bool {
    matches!(
        error.state(),
        SqlState::SQL_JSON_MEMBER_NOT_FOUND
            | SqlState::SQL_JSON_ARRAY_NOT_FOUND
            | SqlState::SQL_JSON_OBJECT_NOT_FOUND
            | SqlState::INVALID_SQL_JSON_SUBSCRIPT
            | SqlState::SINGLETON_SQL_JSON_ITEM_REQUIRED
            | SqlState::NON_NUMERIC_SQL_JSON_ITEM
            | SqlState::DIVISION_BY_ZERO
            | SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    )
}

struct Evaluation<'d> {
    strict: bool,
    document: &'d str,
    variables: &'d str,
}

/// What `@` and `last` mean.
#[derive(Clone, Copy)]
struct Place<'p> {
    current: &'p str,
    last: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

fn error(state: SqlState, message: impl Into<String>) -> SqlError {
    SqlError::new(state, message)
}

fn boolean(truth: Truth) -> Item<'static> {
    Cow::Borrowed(match truth {
        Truth::True => "true",
        Truth::False => "false",
        Truth::Unknown => "null",
    })
}

impl<'d> Evaluation<'d> {
    fn node<'p>(&self, node: &Node, place: Place<'p>) -> SqlResult<Vec<Item<'p>>>
    where
        'd: 'p,
    {
        Ok(match node {
            Node::Root => vec![Cow::Borrowed(self.document)],
            Node::Current => vec![Cow::Borrowed(place.current)],
            Node::Variable(name) => {
                let value = jsonb::get(self.variables, name).ok_or_else(|| {
                    error(
                        SqlState::UNDEFINED_OBJECT,
                        format!("could not find jsonpath variable \"{name}\""),
                    )
                })?;
                vec![Cow::Borrowed(value.trim())]
            }
            Node::Literal(text) => vec![Cow::Owned(text.clone())],
            Node::Last => {
                let last = place.last.ok_or_else(|| {
                    error(SqlState::SYNTAX_ERROR, "LAST is allowed only in array subscripts")
                })?;
                vec![Cow::Owned(last.to_string())]
            }
            Node::Access(base, steps) => {
                let mut items = self.node(base, place)?;
                for step in steps {
                    let mut found = Vec::new();
                    for item in &items {
                        self.step(step, item, place, &mut found)?;
                    }
                    if found.len() > MOST_ITEMS {
                        return Err(error(
                            SqlState::PROGRAM_LIMIT_EXCEEDED,
                            "a jsonpath finds too many items",
                        ));
                    }
                    items = found.into_iter().map(Cow::Owned).collect();
                }
                items
            }
            Node::Negate(inner) => self.numbers(inner, place, "-", |number| Ok(number.neg()))?,
            Node::Plus(inner) => self.numbers(inner, place, "+", Ok)?,
            Node::Arithmetic(operator, left, right) => {
                let left = self.number(left, place, *operator, "left")?;
                let right = self.number(right, place, *operator, "right")?;
                let result = match operator {
                    Operator::Add => left.add(&right),
                    Operator::Subtract => left.sub(&right),
                    Operator::Multiply => left.mul(&right),
                    Operator::Divide => left.div(&right),
                    Operator::Modulo => left.rem(&right),
                };
                vec![Cow::Owned(result?.to_string())]
            }
            Node::Predicate(predicate) => vec![boolean(self.predicate(predicate, place)?)],
        })
    }

    /// A sign before every item.
    fn numbers<'p>(
        &self,
        inner: &Node,
        place: Place<'p>,
        sign: &str,
        change: impl Fn(Numeric) -> SqlResult<Numeric>,
    ) -> SqlResult<Vec<Item<'p>>>
    where
        'd: 'p,
    {
        let items = self.unwrapped(self.node(inner, place)?);
        items
            .into_iter()
            .map(|item| {
                let number = number(&item).ok_or_else(|| {
                    error(
                        SqlState::NON_NUMERIC_SQL_JSON_ITEM,
                        format!("operand of unary jsonpath operator {sign} is not a numeric value"),
                    )
                })?;
                Ok(Cow::Owned(change(number)?.to_string()))
            })
            .collect()
    }

    fn number(
        &self,
        node: &Node,
        place: Place<'_>,
        operator: Operator,
        side: &str,
    ) -> SqlResult<Numeric> {
        let items = self.unwrapped(self.node(node, place)?);
        let single = match items.as_slice() {
            [only] => number(only),
            _ => None,
        };
        single.ok_or_else(|| {
            let operator = match operator {
                Operator::Add => "+",
                Operator::Subtract => "-",
                Operator::Multiply => "*",
                Operator::Divide => "/",
                Operator::Modulo => "%",
            };
            error(
                SqlState::SINGLETON_SQL_JSON_ITEM_REQUIRED,
                format!(
                    "{side} operand of jsonpath operator {operator} is not a single numeric value"
                ),
            )
        })
    }

    /// In lax mode, arrays as their elements.
    fn unwrapped<'p>(&self, items: Vec<Item<'p>>) -> Vec<Item<'p>> {
        if self.strict || items.iter().all(|item| jsonb::kind(item) != Kind::Array) {
            return items;
        }
        items
            .into_iter()
            .flat_map(|item| {
                if jsonb::kind(&item) != Kind::Array {
                    return vec![item];
                }
                let elements = jsonb::array_elements(&item);
                elements.map(|element| Cow::Owned(element.trim().to_string())).collect()
            })
            .collect()
    }

    fn step(
        &self,
        step: &Step,
        item: &str,
        place: Place<'_>,
        found: &mut Vec<String>,
    ) -> SqlResult<()> {
        let kind = jsonb::kind(item);
        let takes_elements = match step {
            Step::Member(_) | Step::AnyMember | Step::Filter(_) => true,
            Step::Method(method) => !matches!(method, Method::Type | Method::Size),
            Step::Recursive(..) | Step::AnyElement | Step::Elements(_) => false,
        };
        if takes_elements && kind == Kind::Array && !self.strict {
            for element in jsonb::array_elements(item) {
                self.step_on_one(step, element.trim(), place, found)?;
            }
            return Ok(());
        }
        self.step_on_one(step, item, place, found)
    }

    fn step_on_one(
        &self,
        step: &Step,
        item: &str,
        place: Place<'_>,
        found: &mut Vec<String>,
    ) -> SqlResult<()> {
        let kind = jsonb::kind(item);
        match step {
            Step::Member(name) if kind == Kind::Object => match jsonb::get(item, name) {
                Some(value) => found.push(value.trim().to_string()),
                None if self.strict => {
                    return Err(error(
                        SqlState::SQL_JSON_MEMBER_NOT_FOUND,
                        format!("JSON object does not contain key \"{name}\""),
                    ));
                }
                None => {}
            },
            Step::Member(_) if self.strict => {
                return Err(error(
                    SqlState::SQL_JSON_MEMBER_NOT_FOUND,
                    "jsonpath member accessor can only be applied to an object",
                ));
            }
            Step::AnyMember if kind == Kind::Object => {
                found.extend(jsonb::each(item).map(|(_, value)| value.trim().to_string()));
            }
            Step::AnyMember if self.strict => {
                return Err(error(
                    SqlState::SQL_JSON_OBJECT_NOT_FOUND,
                    "jsonpath wildcard member accessor can only be applied to an object",
                ));
            }
            Step::Member(_) | Step::AnyMember => {}
            Step::Recursive(from, to) => descend(item, 0, *from, *to, found),
            Step::AnyElement if kind == Kind::Array => {
                found.extend(jsonb::array_elements(item).map(|value| value.trim().to_string()));
            }
            Step::AnyElement if self.strict => {
                return Err(error(
                    SqlState::SQL_JSON_ARRAY_NOT_FOUND,
                    "jsonpath wildcard array accessor can only be applied to an array",
                ));
            }
            Step::AnyElement => found.push(item.to_string()),
            Step::Elements(ranges) => self.elements(ranges, item, place, found)?,
            Step::Filter(predicate) => {
                let place = Place { current: item, ..place };
                if self.predicate(predicate, place)? == Truth::True {
                    found.push(item.to_string());
                }
            }
            Step::Method(method) => self.method(*method, item, found)?,
        }
        Ok(())
    }

    fn elements(
        &self,
        ranges: &[(Node, Option<Node>)],
        item: &str,
        place: Place<'_>,
        found: &mut Vec<String>,
    ) -> SqlResult<()> {
        let elements: Vec<&str> = if jsonb::kind(item) == Kind::Array {
            jsonb::array_elements(item).map(str::trim).collect()
        } else if self.strict {
            return Err(error(
                SqlState::SQL_JSON_ARRAY_NOT_FOUND,
                "jsonpath array accessor can only be applied to an array",
            ));
        } else {
            vec![item]
        };
        let count = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        let place = Place { last: Some(count - 1), ..place };
        for (from, to) in ranges {
            let from = self.subscript(from, place)?;
            let to = match to {
                Some(to) => self.subscript(to, place)?,
                None => from,
            };
            if self.strict && (from < 0 || from > to || to >= count) {
                return Err(error(
                    SqlState::INVALID_SQL_JSON_SUBSCRIPT,
                    "jsonpath array subscript is out of bounds",
                ));
            }
            for index in from.max(0)..=to.min(count - 1) {
                if let Some(element) = usize::try_from(index).ok().and_then(|i| elements.get(i)) {
                    found.push((*element).to_string());
                }
            }
        }
        Ok(())
    }

    fn subscript(&self, node: &Node, place: Place<'_>) -> SqlResult<i64> {
        let items = self.node(node, place)?;
        let single = match items.as_slice() {
            [only] => number(only),
            _ => None,
        };
        let number = single.ok_or_else(|| {
            error(
                SqlState::INVALID_SQL_JSON_SUBSCRIPT,
                "jsonpath array subscript is not a single numeric value",
            )
        })?;
        number.trunc(0).to_i64().map_err(|_| {
            error(
                SqlState::INVALID_SQL_JSON_SUBSCRIPT,
                "jsonpath array subscript is out of integer range",
            )
        })
    }

    fn method(&self, method: Method, item: &str, found: &mut Vec<String>) -> SqlResult<()> {
        let kind = jsonb::kind(item);
        let name = match method {
            Method::Type => {
                found.push(jsonb::quote(jsonb::type_of(item)));
                return Ok(());
            }
            Method::Size => {
                match jsonb::array_length(item) {
                    Some(length) => found.push(length.to_string()),
                    None if self.strict => {
                        return Err(error(
                            SqlState::SQL_JSON_ARRAY_NOT_FOUND,
                            "jsonpath item method .size() can only be applied to an array",
                        ));
                    }
                    None => found.push("1".into()),
                }
                return Ok(());
            }
            Method::KeyValue => {
                if kind != Kind::Object {
                    return Err(error(
                        SqlState::SQL_JSON_OBJECT_NOT_FOUND,
                        "jsonpath item method .keyvalue() can only be applied to an object",
                    ));
                }
                for (key, value) in jsonb::each(item) {
                    let key = jsonb::quote(&key);
                    let value = value.trim();
                    found.push(format!("{{\"id\": 0, \"key\": {key}, \"value\": {value}}}"));
                }
                return Ok(());
            }
            Method::Double => "double",
            Method::Ceiling => "ceiling",
            Method::Floor => "floor",
            Method::Abs => "abs",
        };
        let value = match (method, kind) {
            (Method::Double, Kind::String) => Numeric::parse(jsonb::unquote(item).trim()).ok(),
            _ => number(item),
        };
        let value = value.ok_or_else(|| {
            let wanted = match method {
                Method::Double => "a string or numeric value",
                _ => "a numeric value",
            };
            error(
                SqlState::NON_NUMERIC_SQL_JSON_ITEM,
                format!("jsonpath item method .{name}() can only be applied to {wanted}"),
            )
        })?;
        found.push(
            match method {
                Method::Ceiling => value.ceil(),
                Method::Floor => value.floor(),
                Method::Abs => value.abs(),
                _ => value,
            }
            .to_string(),
        );
        Ok(())
    }

    fn predicate(&self, predicate: &Predicate, place: Place<'_>) -> SqlResult<Truth> {
        Ok(match predicate {
            Predicate::And(left, right) => match self.predicate(left, place)? {
                Truth::False => Truth::False,
                left => match (left, self.predicate(right, place)?) {
                    (_, Truth::False) => Truth::False,
                    (Truth::True, Truth::True) => Truth::True,
                    _ => Truth::Unknown,
                },
            },
            Predicate::Or(left, right) => match self.predicate(left, place)? {
                Truth::True => Truth::True,
                left => match (left, self.predicate(right, place)?) {
                    (_, Truth::True) => Truth::True,
                    (Truth::False, Truth::False) => Truth::False,
                    _ => Truth::Unknown,
                },
            },
            Predicate::Not(inner) => match self.predicate(inner, place)? {
                Truth::True => Truth::False,
                Truth::False => Truth::True,
                Truth::Unknown => Truth::Unknown,
            },
            Predicate::IsUnknown(inner) => (self.predicate(inner, place)? == Truth::Unknown).into(),
            Predicate::Exists(node) => match self.quietly(node, place)? {
                Some(items) => (!items.is_empty()).into(),
                None => Truth::Unknown,
            },
            Predicate::Compare(comparison, left, right) => {
                let (Some(left), Some(right)) =
                    (self.quietly(left, place)?, self.quietly(right, place)?)
                else {
                    return Ok(Truth::Unknown);
                };
                let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
                self.any(pairs.map(|(l, r)| Ok(compare(*comparison, l, r))))?
            }
            Predicate::StartsWith(value, prefix) => {
                let (Some(values), Some(prefixes)) =
                    (self.quietly(value, place)?, self.quietly(prefix, place)?)
                else {
                    return Ok(Truth::Unknown);
                };
                let prefix = prefixes.first().filter(|p| jsonb::kind(p) == Kind::String);
                let Some(prefix) = prefix else { return Ok(Truth::Unknown) };
                let prefix = jsonb::unquote(prefix);
                self.any(values.iter().map(|value| {
                    Ok(if jsonb::kind(value) == Kind::String {
                        jsonb::unquote(value).starts_with(prefix.as_ref()).into()
                    } else {
                        Truth::Unknown
                    })
                }))?
            }
            Predicate::LikeRegex(value, pattern, flags) => {
                let Some(values) = self.quietly(value, place)? else { return Ok(Truth::Unknown) };
                let flags: String = flags.chars().filter(|flag| *flag == 'i').collect();
                let regex = regex::compile(pattern, &flags)?;
                self.any(values.iter().map(|value| {
                    Ok(if jsonb::kind(value) == Kind::String {
                        regex.is_match(&jsonb::unquote(value)).into()
                    } else {
                        Truth::Unknown
                    })
                }))?
            }
        })
    }

    /// The items of an operand; `None` where the data make it fail.
    fn quietly<'p>(&self, node: &Node, place: Place<'p>) -> SqlResult<Option<Vec<Item<'p>>>>
    where
        'd: 'p,
    {
        match self.node(node, place) {
            Ok(items) => Ok(Some(self.unwrapped(items))),
            Err(error) if is_suppressible(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a test holds of any pair. In strict mode one that is unknown decides.
    fn any(&self, tests: impl Iterator<Item = SqlResult<Truth>>) -> SqlResult<Truth> {
        let (mut found, mut open) = (false, false);
        for test in tests {
            match test? {
                Truth::True if !self.strict => return Ok(Truth::True),
                Truth::True => found = true,
                Truth::Unknown if self.strict => return Ok(Truth::Unknown),
                Truth::Unknown => open = true,
                Truth::False => {}
            }
        }
        Ok(if found {
            Truth::True
        } else if open {
            Truth::Unknown
        } else {
            Truth::False
        })
    }
}

/// Everything within, level by level down.
fn descend(item: &str, level: usize, from: usize, to: usize, found: &mut Vec<String>) {
    if level >= from && level <= to {
        found.push(item.to_string());
    }
    if level >= to {
        return;
    }
    match jsonb::kind(item) {
        Kind::Object => {
            for (_, value) in jsonb::each(item) {
                descend(value.trim(), level + 1, from, to, found);
            }
        }
        Kind::Array => {
            for value in jsonb::array_elements(item) {
                descend(value.trim(), level + 1, from, to, found);
            }
        }
        _ => {}
    }
}

fn number(item: &str) -> Option<Numeric> {
    if jsonb::kind(item) == Kind::Number { Numeric::parse(item.trim()).ok() } else { None }
}

fn compare(comparison: Comparison, left: &str, right: &str) -> Truth {
    let (l, r) = (jsonb::kind(left), jsonb::kind(right));
    if l != r {
        // NULL is unequal to everything else; other types cannot be compared.
        return if l == Kind::Null || r == Kind::Null {
            (comparison == Comparison::NotEqual).into()
        } else {
            Truth::Unknown
        };
    }
    let ordering = match l {
        Kind::Null => Ordering::Equal,
        Kind::Object | Kind::Array => return Truth::Unknown,
        Kind::String => jsonb::unquote(left).cmp(&jsonb::unquote(right)),
        Kind::Number => match (number(left), number(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => return Truth::Unknown,
        },
        Kind::Boolean => left.cmp(right),
    };
    match comparison {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
    .into()
}
