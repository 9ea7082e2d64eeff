//! Declared functions, read from `functions.txt`.

use satsuma_common::PgType;

use super::type_oid;
use crate::functions::signature::{Candidate, Pattern, Signature};

const DECLARED: &str = include_str!("functions.txt");

/// What a function is called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Window,
    Aggregate,
    /// WITHIN GROUP (ORDER BY ..), its last argument.
    OrderedSet,
    /// WITHIN GROUP (ORDER BY ..), over as many values as there are arguments.
    Hypothetical,
}

impl Kind {
    /// `pg_proc.prokind`.
    pub fn letter(self) -> char {
        match self {
            Self::Plain => 'f',
            Self::Window => 'w',
            Self::Aggregate | Self::OrderedSet | Self::Hypothetical => 'a',
        }
    }
}

/// `pg_proc.proargmodes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    In,
    Out,
    Variadic,
}

#[derive(Clone, Debug)]
pub struct Parameter {
    pub mode: Mode,
    /// Empty where it has none.
    pub name: &'static str,
    /// The oid of its type; of `VARIADIC integer[]` that of the array.
    pub ty: u32,
    pub default: Option<&'static str>,
}

/// A row of `pg_proc`.
#[derive(Clone, Debug)]
pub struct Procedure {
    pub oid: u32,
    pub kind: Kind,
    /// `pg_proc.provolatile`.
    pub volatility: char,
    pub strict: bool,
    pub name: String,
    pub parameters: Vec<Parameter>,
    pub returns_set: bool,
    pub result: u32,
    /// What a call is resolved by.
    pub signature: Signature,
}

impl Procedure {
    /// What a call gives it.
    pub fn inputs(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.mode != Mode::Out)
    }
}

impl Candidate for Procedure {
    fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// All of them, in the order of the file.
pub fn functions() -> Vec<Procedure> {
    lines().filter_map(parse).collect()
}

pub(super) fn lines() -> impl Iterator<Item = &'static str> {
    DECLARED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// `1397 fis abs(int4) int4`: the oid; kind, volatility and whether it is strict; the signature.
pub(super) fn parse(line: &'static str) -> Option<Procedure> {
    let mut words = line.splitn(3, ' ');
    let oid = words.next()?.parse().ok()?;
    let mut flags = words.next()?.chars();
    let (kind, volatility, strict) = (flags.next()?, flags.next()?, flags.next()?);
    let kind = match kind {
        'f' => Kind::Plain,
        'w' => Kind::Window,
        'a' => Kind::Aggregate,
        'o' => Kind::OrderedSet,
        'h' => Kind::Hypothetical,
        _ => return None,
    };
    let (name, rest) = words.next()?.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ")?;
    let (returns_set, result) = match result.strip_prefix("setof ") {
        Some(result) => (true, result),
        None => (false, result),
    };
    let written: Vec<(Parameter, &str)> = arguments
        .split(", ")
        .filter(|text| !text.is_empty())
        .map(parameter)
        .collect::<Option<_>>()?;
    let inputs = written.iter().filter(|(parameter, _)| parameter.mode != Mode::Out);
    let patterns = inputs.map(|(_, ty)| Pattern::parse(ty)).collect::<Option<_>>()?;
    let variadic = written.iter().any(|(parameter, _)| parameter.mode == Mode::Variadic);
    let signature = Signature {
        name: name.to_owned(),
        parameters: patterns,
        variadic,
        result: Pattern::parse(result)?,
    };
    Some(Procedure {
        oid,
        kind,
        volatility,
        strict: strict == 's',
        name: name.to_owned(),
        parameters: written.into_iter().map(|(parameter, _)| parameter).collect(),
        returns_set,
        result: known(type_oid(result))?,
        signature,
    })
}

fn known(oid: u32) -> Option<u32> {
    (oid != 0).then_some(oid)
}

/// `path _text`, `out value json`, `variadic text`, `timeout int8 = 0`: the parameter, and the
/// type that an argument is of.
fn parameter(text: &'static str) -> Option<(Parameter, &'static str)> {
    let (declared, default) = match text.split_once(" = ") {
        Some((declared, default)) => (declared, Some(default)),
        None => (text, None),
    };
    let (mode, declared) = if let Some(rest) = declared.strip_prefix("out ") {
        (Mode::Out, rest)
    } else if let Some(rest) = declared.strip_prefix("variadic ") {
        (Mode::Variadic, rest)
    } else {
        (Mode::In, declared)
    };
    let (name, ty) = declared.rsplit_once(' ').unwrap_or(("", declared));
    let mut oid = known(type_oid(ty))?;
    if mode == Mode::Variadic
        && let Some(element) = PgType::from_oid(oid)
    {
        oid = PgType::Array(Box::new(element)).oid();
    }
    Some((Parameter { mode, name, ty: oid, default }, ty))
}
