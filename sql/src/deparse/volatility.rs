//! Whether an expression gives the same for the same row, whoever asks and when: what indexes and
//! generated columns hold must.

use satsuma_common::PgType;

use super::call;
use super::node::{Kind, Node};

impl Node {
    /// Whether all that is called in it is immutable, as PostgreSQL declares it.
    pub fn is_immutable(&self) -> bool {
        let own = match &self.kind {
            // CURRENT_DATE and its relatives.
            Kind::Word(_) => false,
            Kind::Cast { value, .. } => is_immutable_cast(&value.ty, &self.ty),
            Kind::Operator { name, left: Some(left), right } => {
                is_immutable_operator(name, &left.ty, &right.ty)
            }
            Kind::Quantified { operator, left, right, .. } => match &right.ty {
                PgType::Array(element) => is_immutable_operator(operator, &left.ty, element),
                _ => true,
            },
            Kind::Distinct { left, right } => is_immutable_operator("=", &left.ty, &right.ty),
            Kind::RowCompare { operator, left, right } => left
                .iter()
                .zip(right)
                .all(|(left, right)| is_immutable_operator(operator, &left.ty, &right.ty)),
            Kind::Call { name, args, .. } => call::is_immutable(name, args),
            // What is extracted from a moment depends on the time zone.
            Kind::Syntax { opening, parts, .. } if opening.starts_with("EXTRACT(") => {
                parts.iter().all(|(_, part)| !is_moment(&part.ty))
            }
            _ => true,
        };
        own && self.children().all(Node::is_immutable)
    }
}

fn is_moment(ty: &PgType) -> bool {
    matches!(ty, PgType::Timestamptz)
}

fn is_local(ty: &PgType) -> bool {
    matches!(ty.without_modifier(), PgType::Date | PgType::Timestamp)
}

fn is_immutable_operator(name: &str, left: &PgType, right: &PgType) -> bool {
    let moments = (is_moment(&left.without_modifier()), is_moment(&right.without_modifier()));
    match (name, moments) {
        // Days of an interval are of other lengths elsewhere.
        ("+" | "-", (true, false)) => *right != PgType::Interval,
        ("+", (false, true)) => *left != PgType::Interval,
        ("<" | "<=" | "=" | "<>" | ">=" | ">", (true, false)) => !is_local(right),
        ("<" | "<=" | "=" | "<>" | ">=" | ">", (false, true)) => !is_local(left),
        // Other values go through their text.
        ("||", _) => match (left.is_string(), right.is_string()) {
            (true, false) => right.is_array() || writes_alike(&right.without_modifier()),
            (false, true) => left.is_array() || writes_alike(&left.without_modifier()),
            _ => true,
        },
        _ => true,
    }
}

/// Of `pg_cast`, or through text by the functions that read and write the types.
fn is_immutable_cast(from: &PgType, to: &PgType) -> bool {
    let (from, to) = (from.without_modifier(), to.without_modifier());
    let is_time = |ty: &PgType| {
        matches!(ty, PgType::Date | PgType::Time | PgType::Timestamp | PgType::Timestamptz)
    };
    match (&from, &to) {
        _ if from == to => true,
        (PgType::Array(from), PgType::Array(to)) => is_immutable_cast(from, to),
        (from, to) if is_time(from) && is_time(to) => !is_moment(from) && !is_moment(to),
        (from, to) if to.is_string() && !from.is_string() => writes_alike(from),
        (from, to) if from.is_string() && !to.is_string() => reads_alike(to),
        _ => true,
    }
}

/// Whether the text of a value is the same in every session.
fn writes_alike(ty: &PgType) -> bool {
    !matches!(ty, PgType::Date | PgType::Timestamp | PgType::Timestamptz)
        && !matches!(ty, PgType::Enum(_) | PgType::Array(_) | PgType::Record)
        && !crate::casts::convert::names_object(ty)
}

fn reads_alike(ty: &PgType) -> bool {
    writes_alike(ty) && !matches!(ty, PgType::Time | PgType::Interval)
}
