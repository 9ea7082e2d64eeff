//! Casts as `pg_cast` lists them: those of PostgreSQL's that are between types of here, in
//! `casts.txt`. How they are done is in [`crate::casts`].

const WRITTEN: &str = include_str!("casts.txt");

/// A cast from one type to another, or of one type to a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    pub oid: u32,
    pub source: u32,
    pub target: u32,
    /// 0 where none is called.
    pub function: u32,
    /// `i` implicit, `a` in assignments, `e` where it is written.
    pub context: char,
    /// `f` by a function, `b` of the same bytes, `i` through text.
    pub method: char,
}

pub fn casts() -> impl Iterator<Item = Cast> {
    WRITTEN.lines().filter_map(parse)
}

/// `10003 20 21 714 a f`
fn parse(line: &str) -> Option<Cast> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    let (oid, source, target, function) = (number()?, number()?, number()?, number()?);
    let mut letter = || words.next()?.chars().next();
    Some(Cast { oid, source, target, function, context: letter()?, method: letter()? })
}

#[cfg(test)]
mod tests {
    use satsuma_common::PgType;

    use super::*;
    use crate::casts::{CastKind, can_coerce};

    #[test]
    fn casts_are_as_willing_as_they_are_said_to_be() {
        assert_eq!(casts().count(), WRITTEN.lines().count(), "every line is understood");
        let mut others = Vec::new();
        for cast in casts().filter(|cast| cast.source != cast.target) {
            let types = (PgType::from_oid(cast.source), PgType::from_oid(cast.target));
            let (Some(from), Some(to)) = types else { panic!("{cast:?}") };
            let implicit = can_coerce(&from, &to, CastKind::Implicit);
            let assignment = can_coerce(&from, &to, CastKind::Assignment);
            let context = match (implicit, assignment) {
                (true, _) => 'i',
                (false, true) => 'a',
                (false, false) => 'e',
            };
            if context != cast.context {
                others.push(format!("{from} to {to}: {context}"));
            }
        }
        assert!(others.is_empty(), "{others:#?}");
    }
}
