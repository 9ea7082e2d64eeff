//! Signatures of functions and operators, and PostgreSQL's rules for choosing one of several.
//!
//! A signature is written as PostgreSQL's `\df` shows it, with `typname`s:
//! `substr(text,int4,int4) text`, `array_append(anycompatiblearray,anycompatible)
//! anycompatiblearray`, `concat(variadic any) text`. The choice follows "Function Type
//! Resolution" and "Operator Type Resolution" of PostgreSQL's manual: exact matches first, then
//! preferred types, then what the category of unknown literals suggests.

use std::sync::Arc;

use satsuma_common::PgType;

use crate::casts::{self, CastKind};

/// What a parameter accepts, or a result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Exact(PgType),
    /// `"any"`: each argument keeps its own type.
    Any,
    AnyElement,
    AnyNonArray,
    AnyArray,
    AnyEnum,
    AnyCompatible,
    AnyCompatibleNonArray,
    AnyCompatibleArray,
}

impl Pattern {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "anyelement" => Self::AnyElement,
            "anynonarray" => Self::AnyNonArray,
            "anyarray" => Self::AnyArray,
            "anyenum" => Self::AnyEnum,
            "anycompatible" => Self::AnyCompatible,
            "anycompatiblenonarray" => Self::AnyCompatibleNonArray,
            "anycompatiblearray" => Self::AnyCompatibleArray,
            "bpchar" => Self::Exact(PgType::Bpchar(None)),
            "\"char\"" => Self::Exact(PgType::Char),
            "_\"char\"" => Self::Exact(PgType::Array(Box::new(PgType::Char))),
            _ => Self::Exact(PgType::parse_name(name)?),
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Exact(PgType::Char) => "\"char\"".into(),
            Self::Exact(ty) => ty.name(),
            Self::Any => "any".into(),
            Self::AnyElement => "anyelement".into(),
            Self::AnyNonArray => "anynonarray".into(),
            Self::AnyArray => "anyarray".into(),
            Self::AnyEnum => "anyenum".into(),
            Self::AnyCompatible => "anycompatible".into(),
            Self::AnyCompatibleNonArray => "anycompatiblenonarray".into(),
            Self::AnyCompatibleArray => "anycompatiblearray".into(),
        }
    }

    pub fn is_polymorphic(&self) -> bool {
        !matches!(self, Self::Exact(_))
    }

    /// Whether `ty` is this very type: what counts as an exact match.
    fn is_exactly(&self, ty: &PgType) -> bool {
        matches!(self, Self::Exact(own) if *own == ty.without_modifier())
    }

    fn accepts(&self, ty: &PgType) -> bool {
        if *ty == PgType::Unknown {
            return true;
        }
        match self {
            Self::Exact(own) => casts::can_coerce(ty, own, CastKind::Implicit),
            Self::Any | Self::AnyElement | Self::AnyCompatible => true,
            Self::AnyNonArray | Self::AnyCompatibleNonArray => !ty.is_array(),
            Self::AnyArray | Self::AnyCompatibleArray => ty.is_array(),
            Self::AnyEnum => matches!(ty, PgType::Enum(_)),
        }
    }

    fn category(&self) -> char {
        match self {
            Self::Exact(ty) => ty.category(),
            _ => 'P',
        }
    }

    fn is_preferred_in(&self, category: char) -> bool {
        matches!(self, Self::Exact(ty) if ty.category() == category && ty.is_preferred())
    }
}

/// A name with parameter and result types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub parameters: Vec<Pattern>,
    /// The last parameter may be given any number of times, at least once.
    pub variadic: bool,
    pub result: Pattern,
}

impl Signature {
    /// `None` for a text that is not a signature.
    pub fn parse(text: &str) -> Option<Self> {
        // An operator's name may hold anything but a parenthesis.
        let open = text.find('(')?;
        let close = text.rfind(')')?;
        let name = text[..open].trim().to_string();
        let mut variadic = false;
        let mut parameters = Vec::new();
        for part in text[open + 1..close].split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let part = match part.strip_prefix("variadic ") {
                Some(rest) => {
                    variadic = true;
                    rest
                }
                None => part,
            };
            parameters.push(Pattern::parse(part)?);
        }
        let result = Pattern::parse(text[close + 1..].trim())?;
        Some(Self { name, parameters, variadic, result })
    }

    /// `name(types)`, unique among all signatures.
    pub fn key(&self) -> String {
        let mut names: Vec<_> = self.parameters.iter().map(Pattern::name).collect();
        if self.variadic
            && let Some(last) = names.last_mut()
        {
            last.insert_str(0, "variadic ");
        }
        format!("{}({})", self.name, names.join(","))
    }

    pub fn is_polymorphic(&self) -> bool {
        self.result.is_polymorphic() || self.parameters.iter().any(Pattern::is_polymorphic)
    }

    fn parameter(&self, index: usize) -> Option<&Pattern> {
        match self.parameters.get(index) {
            Some(pattern) => Some(pattern),
            None if self.variadic => self.parameters.last(),
            None => None,
        }
    }

    fn takes(&self, count: usize) -> bool {
        if self.variadic { count >= self.parameters.len() } else { count == self.parameters.len() }
    }

    fn accepts(&self, types: &[PgType]) -> bool {
        self.takes(types.len())
            && types
                .iter()
                .enumerate()
                .all(|(i, ty)| self.parameter(i).is_some_and(|pattern| pattern.accepts(ty)))
            && self.resolve(types).is_some()
    }

    /// The concrete parameter and result types for arguments of these types; `None` if the
    /// polymorphic ones do not agree.
    pub fn resolve(&self, types: &[PgType]) -> Option<(Vec<PgType>, PgType)> {
        let mut element: Option<PgType> = None;
        let mut compatible: Vec<PgType> = Vec::new();
        for (i, ty) in types.iter().enumerate() {
            if *ty == PgType::Unknown {
                continue;
            }
            match self.parameter(i)? {
                Pattern::AnyElement | Pattern::AnyNonArray | Pattern::AnyEnum => {
                    element = Some(agree(element, ty)?);
                }
                Pattern::AnyArray => {
                    let PgType::Array(item) = ty else { return None };
                    element = Some(agree(element, item)?);
                }
                Pattern::AnyCompatible | Pattern::AnyCompatibleNonArray => {
                    compatible.push(ty.clone());
                }
                Pattern::AnyCompatibleArray => {
                    let PgType::Array(item) = ty else { return None };
                    compatible.push(item.as_ref().clone());
                }
                Pattern::Exact(_) | Pattern::Any => {}
            }
        }
        let compatible =
            if compatible.is_empty() { None } else { Some(casts::common_type(&compatible).ok()?) };
        let of = |pattern: &Pattern, own: Option<&PgType>| -> Option<PgType> {
            Some(match pattern {
                Pattern::Exact(ty) => ty.clone(),
                Pattern::Any => match own {
                    Some(PgType::Unknown) => PgType::Text,
                    Some(ty) => ty.clone(),
                    None => return None,
                },
                Pattern::AnyElement | Pattern::AnyNonArray | Pattern::AnyEnum => {
                    element.clone().unwrap_or(PgType::Text)
                }
                Pattern::AnyArray => PgType::Array(Box::new(element.clone()?)),
                Pattern::AnyCompatible | Pattern::AnyCompatibleNonArray => {
                    compatible.clone().unwrap_or(PgType::Text)
                }
                Pattern::AnyCompatibleArray => {
                    PgType::Array(Box::new(compatible.clone().unwrap_or(PgType::Text)))
                }
            })
        };
        let mut parameters = Vec::with_capacity(types.len());
        for (i, ty) in types.iter().enumerate() {
            parameters.push(of(self.parameter(i)?, Some(ty))?);
        }
        let result = of(&self.result, None)?;
        Some((parameters, result))
    }
}

/// `anyelement` and its relatives ask for one type everywhere; modifiers may differ.
fn agree(known: Option<PgType>, ty: &PgType) -> Option<PgType> {
    match known {
        None => Some(ty.clone()),
        Some(known) if known == *ty => Some(known),
        Some(known) if known.without_modifier() == ty.without_modifier() => {
            Some(known.without_modifier())
        }
        Some(_) => None,
    }
}

/// Something that is chosen by its signature.
pub trait Candidate {
    fn signature(&self) -> &Signature;
}

/// What the rules of resolution say.
pub enum Choice<D> {
    One(Arc<D>),
    None,
    Ambiguous,
}

/// Chooses among functions of one name for arguments of `types`.
pub fn choose_function<D: Candidate>(candidates: &[Arc<D>], types: &[PgType]) -> Choice<D> {
    let exact = candidates.iter().find(|c| is_exact(c.as_ref(), types));
    if let Some(exact) = exact {
        return Choice::One(exact.clone());
    }
    choose_inexact(candidates, types)
}

/// Chooses among operators of one name: an unknown operand is first taken to be of the type of
/// the other.
pub fn choose_operator<D: Candidate>(candidates: &[Arc<D>], types: &[PgType]) -> Choice<D> {
    let mut assumed = types.to_vec();
    if let [left, right] = assumed.as_mut_slice() {
        match (&*left, &*right) {
            (PgType::Unknown, known) if *known != PgType::Unknown => *left = known.clone(),
            (known, PgType::Unknown) if *known != PgType::Unknown => *right = known.clone(),
            _ => {}
        }
    }
    if let Some(exact) = candidates.iter().find(|c| is_exact(c.as_ref(), &assumed)) {
        return Choice::One(exact.clone());
    }
    choose_inexact(candidates, types)
}

fn is_exact<D: Candidate>(candidate: &D, types: &[PgType]) -> bool {
    let signature = candidate.signature();
    signature.takes(types.len())
        && types
            .iter()
            .enumerate()
            .all(|(i, ty)| signature.parameter(i).is_some_and(|pattern| pattern.is_exactly(ty)))
}

fn choose_inexact<D: Candidate>(candidates: &[Arc<D>], types: &[PgType]) -> Choice<D> {
    let mut left: Vec<&Arc<D>> =
        candidates.iter().filter(|c| c.signature().accepts(types)).collect();
    match left.as_slice() {
        [] => return Choice::None,
        [one] => return Choice::One((*one).clone()),
        _ => {}
    }
    // A variadic candidate gives way to one that takes the arguments as they are.
    if left.iter().any(|c| !c.signature().variadic) {
        left.retain(|c| !c.signature().variadic);
    }
    let known: Vec<usize> = (0..types.len()).filter(|&i| types[i] != PgType::Unknown).collect();
    keep_best(&mut left, |c| known.iter().filter(|&&i| matches_exactly(c, i, &types[i])).count());
    if let [one] = left.as_slice() {
        return Choice::One((*one).clone());
    }
    keep_best(&mut left, |c| {
        known
            .iter()
            .filter(|&&i| {
                matches_exactly(c, i, &types[i])
                    || c.signature()
                        .parameter(i)
                        .is_some_and(|p| p.is_preferred_in(types[i].category()))
            })
            .count()
    });
    if let [one] = left.as_slice() {
        return Choice::One((*one).clone());
    }
    if known.len() == types.len() {
        return Choice::Ambiguous;
    }
    choose_by_category(&mut left, types);
    if let [one] = left.as_slice() {
        return Choice::One((*one).clone());
    }
    // Last resort: take the unknowns to be of the type that all known arguments share.
    let mut shared = known.iter().map(|&i| types[i].without_modifier());
    if let Some(first) = shared.next()
        && shared.all(|ty| ty == first)
    {
        let all = vec![first; types.len()];
        let mut fitting = left.iter().filter(|c| c.signature().accepts(&all));
        if let (Some(one), None) = (fitting.next(), fitting.next()) {
            return Choice::One((*one).clone());
        }
    }
    Choice::Ambiguous
}

fn matches_exactly<D: Candidate>(candidate: &D, index: usize, ty: &PgType) -> bool {
    candidate.signature().parameter(index).is_some_and(|pattern| pattern.is_exactly(ty))
}

fn keep_best<D: Candidate>(left: &mut Vec<&Arc<D>>, score: impl Fn(&D) -> usize) {
    let best = left.iter().map(|c| score(c)).max().unwrap_or(0);
    left.retain(|c| score(c) == best);
}

/// Unknown literals look most like strings: where a candidate takes a string, or all agree on a
/// category, keep the candidates of that category, and among them those of preferred types.
fn choose_by_category<D: Candidate>(left: &mut Vec<&Arc<D>>, types: &[PgType]) {
    let mut wanted = Vec::new();
    for (i, _) in types.iter().enumerate().filter(|(_, ty)| **ty == PgType::Unknown) {
        let categories: Vec<char> = left
            .iter()
            .map(|c| c.signature().parameter(i).map_or('P', Pattern::category))
            .collect();
        let category = if categories.contains(&'S') {
            'S'
        } else if categories.windows(2).all(|pair| pair[0] == pair[1]) {
            categories.first().copied().unwrap_or('P')
        } else {
            return;
        };
        let preferred = left
            .iter()
            .any(|c| c.signature().parameter(i).is_some_and(|p| p.is_preferred_in(category)));
        wanted.push((i, category, preferred));
    }
    let fits = |c: &&Arc<D>| {
        wanted.iter().all(|&(i, category, preferred)| {
            c.signature().parameter(i).is_some_and(|p| {
                p.category() == category && (!preferred || p.is_preferred_in(category))
            })
        })
    };
    if left.iter().any(fits) {
        left.retain(fits);
    }
}

impl Signature {
    /// The parameter types, if none is polymorphic.
    pub fn exact_types(&self) -> Option<Vec<PgType>> {
        self.parameters
            .iter()
            .map(|pattern| match pattern {
                Pattern::Exact(ty) => Some(ty.clone()),
                _ => None,
            })
            .collect()
    }
}
