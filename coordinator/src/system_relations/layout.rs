//! The columns of every system relation, from `columns.txt`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use satsuma_common::types::VECTORS;
use satsuma_common::{Oid, PgType};

/// A system relation's shape.
#[derive(Debug)]
pub struct Layout {
    pub schema: &'static str,
    pub name: &'static str,
    pub is_view: bool,
    pub oid: Oid,
    pub columns: Vec<LayoutColumn>,
}

#[derive(Debug)]
pub struct LayoutColumn {
    pub name: &'static str,
    pub ty: PgType,
    /// The oid of the type as PostgreSQL has it, where that is an array to expressions alone.
    pub vector: Option<u32>,
    pub not_null: bool,
}

#[derive(Debug, Default)]
pub struct Layouts {
    by_name: BTreeMap<&'static str, BTreeMap<&'static str, Layout>>,
    by_oid: BTreeMap<Oid, (&'static str, &'static str)>,
}

impl Layouts {
    /// All of them, read once.
    pub fn all() -> &'static Self {
        static ALL: OnceLock<Layouts> = OnceLock::new();
        ALL.get_or_init(|| Self::read(include_str!("columns.txt")))
    }

    fn read(text: &'static str) -> Self {
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(layout) = parse_line(line) {
                all.by_oid.insert(layout.oid, (layout.schema, layout.name));
                all.by_name.entry(layout.schema).or_default().insert(layout.name, layout);
            }
        }
        all
    }

    pub fn get(&self, schema: &str, name: &str) -> Option<&Layout> {
        self.by_name.get(schema)?.get(name)
    }

    pub fn by_oid(&self, oid: Oid) -> Option<&Layout> {
        let (schema, name) = *self.by_oid.get(&oid)?;
        self.get(schema, name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Layout> {
        self.by_name.values().flat_map(BTreeMap::values)
    }
}

/// `schema name kind oid column:type! ...`
fn parse_line(line: &'static str) -> Option<Layout> {
    let mut words = line.split(' ');
    let (schema, name, kind) = (words.next()?, words.next()?, words.next()?);
    let oid = Oid(words.next()?.parse().ok()?);
    let columns = words
        .map(|word| {
            let (name, ty) = word.split_once(':')?;
            let not_null = ty.ends_with('!');
            let ty = ty.trim_end_matches('!');
            let vector = VECTORS.iter().find(|(vector, ..)| vector.name == ty);
            let vector = vector.map(|(vector, ..)| vector.oid);
            Some(LayoutColumn { name, ty: column_type(ty), vector, not_null })
        })
        .collect::<Option<_>>()?;
    Some(Layout { schema, name, is_view: kind == "v", oid, columns })
}

/// A type of PostgreSQL's catalogs. What Satsuma does not have becomes what reads the same.
fn column_type(name: &str) -> PgType {
    match name {
        "xid" | "cid" => PgType::Oid,
        "oidvector" => PgType::Array(Box::new(PgType::Oid)),
        "int2vector" => PgType::Array(Box::new(PgType::Int2)),
        "_aclitem" | "_pg_statistic" => PgType::Array(Box::new(PgType::Text)),
        // "char" rather than the SQL type char(1) that the bare word means.
        "char" => PgType::Char,
        "_char" => PgType::Array(Box::new(PgType::Char)),
        _ => PgType::parse_name(name).unwrap_or(PgType::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let lines =
            include_str!("columns.txt").lines().filter(|line| !line.starts_with('#')).count();
        let all = Layouts::all();
        assert_eq!(all.iter().count(), lines);
        assert_eq!(all.by_oid.len(), lines, "oids are unique");
        let class = all.get("pg_catalog", "pg_class").expect("pg_class");
        assert_eq!((class.oid, class.columns.len(), class.is_view), (Oid(1259), 33, false));
        assert_eq!(class.columns[1].ty, PgType::Name);
        assert_eq!(all.by_oid(Oid(1249)).map(|layout| layout.name), Some("pg_attribute"));
    }

    /// Only types that Satsuma does not have may come out as text.
    #[test]
    fn unknown_types_are_known_ones() {
        const AS_TEXT: &[&str] = &[
            "pg_node_tree",
            "pg_lsn",
            "anyarray",
            "pg_ndistinct",
            "pg_dependencies",
            "pg_mcv_list",
        ];
        for line in include_str!("columns.txt").lines().filter(|line| !line.starts_with('#')) {
            for word in line.split(' ').skip(4) {
                let ty = word.split_once(':').expect("a type").1.trim_end_matches('!');
                let known = column_type(ty) != PgType::Text || ty == "text";
                assert!(known || AS_TEXT.contains(&ty), "{ty}");
            }
        }
    }
}
