//! Types of users in messages. Where a message is made there is often no catalog at hand, and such a
//! type prints as `enum 16655`; before the message goes to a client, that becomes its name.

use std::fmt::Write as _;

use satsuma_common::{Oid, PgType, SqlError};
use satsuma_sql::catalog_view::CatalogView;

use super::ClusterSession;

/// What stands before the oid.
const MARK: &str = "enum ";

/// The text with names for the oids that have one.
fn named(text: &str, name_of: impl Fn(u32) -> Option<String>) -> String {
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, marked) = rest.split_at(at);
        named.push_str(before);
        let number = &marked[MARK.len()..];
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let name = number[..end].parse().ok().and_then(&name_of);
        match name {
            Some(name) => named.push_str(&name),
            None => drop(write!(named, "{MARK}{}", &number[..end])),
        }
        rest = &number[end..];
    }
    named + rest
}

impl ClusterSession {
    pub(super) fn with_type_names(&self, mut error: SqlError) -> SqlError {
        let fields = error.fields_mut();
        let texts = [Some(&mut fields.message), fields.detail.as_mut(), fields.hint.as_mut()];
        let marked = texts.into_iter().flatten().filter(|text| text.contains(MARK));
        let mut catalog = None;
        for text in marked {
            let catalog = catalog.get_or_insert_with(|| self.snapshot());
            *text = named(text, |oid| match catalog.state.enum_type(Oid(oid)) {
                Some(_) => catalog.oid_name(&PgType::Regtype, oid),
                None => None,
            });
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn known_types_have_names() {
        let name_of = |oid: u32| (oid == 16_655).then(|| "mood".to_owned());
        let named = |text| named(text, name_of);
        assert_eq!(
            named("operator does not exist: enum 16655 + integer"),
            "operator does not exist: mood + integer"
        );
        assert_eq!(named("enum 16655[] = enum 16655"), "mood[] = mood");
        assert_eq!(named("enum 7, enum x, enum 16655"), "enum 7, enum x, mood");
    }
}
