//! Declared operators, read from `operators.txt`.

use crate::functions::signature::{Candidate, Pattern, Signature};

const DECLARED: &str = include_str!("operators.txt");

/// A row of `pg_operator`. Without a left operand it stands before the right one.
#[derive(Clone, Debug)]
pub struct Operator {
    pub oid: u32,
    pub name: &'static str,
    /// The `typname`s of what it takes and gives.
    pub left: Option<&'static str>,
    pub right: &'static str,
    pub result: &'static str,
    /// What PostgreSQL works it out by, as catalogs name it.
    pub function: OperatorFunction,
    /// What a use is resolved by.
    pub signature: Signature,
}

#[derive(Clone, Copy, Debug)]
pub struct OperatorFunction {
    pub oid: u32,
    /// `i` or `s`, as `pg_proc.provolatile`.
    pub volatility: char,
    pub name: &'static str,
}

impl Candidate for Operator {
    fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// `+ 551(int4,int4)int4:177i:int4pl 692(..)..`: a name, then its operators.
fn written() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = DECLARED.lines().filter(|line| !line.starts_with("-- "));
    lines.flat_map(|line| {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        rest.split(' ').map(move |text| (name, text))
    })
}

pub fn operators() -> impl Iterator<Item = Operator> {
    written().filter_map(|(name, text)| parse(name, text))
}

#[cfg(test)]
pub(super) fn count() -> usize {
    written().count()
}

fn parse(name: &'static str, text: &'static str) -> Option<Operator> {
    let (oid, rest) = text.split_once('(')?;
    let (operands, rest) = rest.split_once(')')?;
    let (result, function) = rest.split_once(':')?;
    let (function, function_name) = function.split_once(':')?;
    let volatility = function.chars().last()?;
    let function = OperatorFunction {
        oid: function.strip_suffix(volatility)?.parse().ok()?,
        volatility,
        name: function_name,
    };
    let (left, right) = match operands.split_once(',') {
        Some((left, right)) => (Some(left), right),
        None => (None, operands),
    };
    let parameters = left.into_iter().chain([right]).map(Pattern::parse).collect::<Option<_>>()?;
    let signature = Signature {
        name: name.to_owned(),
        parameters,
        variadic: false,
        result: Pattern::parse(result)?,
    };
    let oid = oid.parse().ok()?;
    Some(Operator { oid, name, left, right, result, function, signature })
}
