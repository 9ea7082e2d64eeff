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
    /// What a use is resolved by.
    pub signature: Signature,
}

impl Candidate for Operator {
    fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// `+ 551(int4,int4)int4 692(int8,int8)int8 ..`: a name, then its operators.
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
    let (operands, result) = rest.split_once(')')?;
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
    Some(Operator { oid: oid.parse().ok()?, name, left, right, result, signature })
}
