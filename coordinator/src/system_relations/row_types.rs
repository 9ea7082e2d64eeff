//! Row types of relations, as far as the catalogs show them: `pg_class.reltype` and its row of
//! `pg_type`. SQL cannot use them.

use satsuma_common::{Oid, PgType, SqlResult};

use super::Source;
use super::layout::Layouts;
use super::rows::{Rows, row};
use super::types::io_functions;
use crate::catalog::{PG_CATALOG_OID, SUPERUSER_OID};

/// The oid of a relation's row type: no column has the number 0 that is in it.
pub fn row_type(relation: Oid) -> Oid {
    super::columns::default_oid(relation, 0)
}

/// What [`row_type`] was made of.
pub fn relation_of(row_type: Oid) -> Option<Oid> {
    let relation = Oid((row_type.0 >> 10) & 0x1f_ffff);
    (self::row_type(relation) == row_type).then_some(relation)
}

/// Whether relations of this `relkind` have a row type.
pub(super) fn has_row_type(kind: char) -> bool {
    matches!(kind, 'r' | 'v' | 'm')
}

pub(super) fn all(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    for layout in Layouts::all().iter() {
        let schema = state.schema_by_name(layout.schema).map_or(PG_CATALOG_OID, |s| s.oid);
        push(rows, layout.oid, layout.name, schema, SUPERUSER_OID)?;
    }
    for table in state.tables() {
        push(rows, Oid(table.id().0), &table.shape.name, table.schema, table.owner)?;
    }
    for view in state.views() {
        push(rows, view.oid, &view.name, view.schema, view.owner)?;
    }
    Ok(())
}

fn push(rows: &mut Rows<'_>, relation: Oid, name: &str, schema: Oid, owner: Oid) -> SqlResult<()> {
    let [input, output, receive, send] = io_functions(&PgType::Record);
    row!(
        rows,
        oid = row_type(relation),
        typrelid = relation,
        typname = name,
        typnamespace = schema,
        typowner = owner,
        typtype = 'c',
        typcategory = 'C',
        typlen = -1i16,
        typbyval = false,
        typalign = 'd',
        typstorage = 'x',
        typispreferred = false,
        typisdefined = true,
        typdelim = ',',
        typelem = Oid(0),
        typarray = Oid(0),
        typsubscript = Oid(0),
        typinput = Oid(input),
        typmodin = Oid(0),
        typoutput = Oid(output),
        typmodout = Oid(0),
        typreceive = Oid(receive),
        typsend = Oid(send),
        typanalyze = Oid(0),
        typcollation = Oid(0),
        typbasetype = Oid(0),
        typnotnull = false,
        typndims = 0,
        typtypmod = -1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_type_tells_its_relation() {
        for relation in [Oid(1259), Oid(16384), Oid(100_000)] {
            assert_eq!(relation_of(row_type(relation)), Some(relation));
        }
        assert_eq!(relation_of(Oid(23)), None);
        assert_eq!(relation_of(super::super::columns::default_oid(Oid(16384), 1)), None);
    }
}
