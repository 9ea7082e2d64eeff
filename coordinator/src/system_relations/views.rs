//! PostgreSQL's views over the catalogs: pg_tables, pg_views, pg_indexes, pg_sequences.

use satsuma_common::SqlResult;

use super::definitions::index_definition;
use super::layout::Layouts;
use super::rows::{Rows, row};
use super::{Fill, Source};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_tables" => tables,
        "pg_views" => views,
        "pg_indexes" => indexes,
        "pg_sequences" => sequences,
        _ => return None,
    })
}

fn owner<'a>(source: &'a Source<'_>, oid: satsuma_common::Oid) -> Option<&'a String> {
    source.state.role(oid).map(|role| &role.name)
}

fn tables(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let superuser = owner(source, crate::catalog::SUPERUSER_OID);
    for layout in Layouts::all().iter().filter(|layout| !layout.is_view) {
        row!(
            rows,
            schemaname = layout.schema,
            tablename = layout.name,
            tableowner = superuser,
            hasindexes = false,
            hasrules = false,
            hastriggers = false,
            rowsecurity = false,
        )?;
    }
    for table in source.state.tables() {
        let shape = &table.shape;
        row!(
            rows,
            schemaname = &shape.schema_name,
            tablename = &shape.name,
            tableowner = owner(source, table.owner),
            hasindexes = source.state.indexes_of(table.id()).next().is_some(),
            hasrules = false,
            hastriggers = !shape.foreign_keys.is_empty() || !shape.referenced_by.is_empty(),
            rowsecurity = false,
        )?;
    }
    Ok(())
}

fn views(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for view in source.state.views() {
        row!(
            rows,
            schemaname = source.state.schema(view.schema).map(|schema| &schema.name),
            viewname = &view.name,
            viewowner = owner(source, view.owner),
            definition = &view.definition,
        )?;
    }
    Ok(())
}

fn indexes(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for index in source.state.indexes() {
        let Some(table) = source.state.table(index.table) else { continue };
        row!(
            rows,
            schemaname = &table.shape.schema_name,
            tablename = &table.shape.name,
            indexname = &index.name,
            indexdef = index_definition(source.state, index),
        )?;
    }
    Ok(())
}

fn sequences(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for sequence in source.state.sequences() {
        let position = source.state.sequence_position(sequence.id);
        row!(
            rows,
            schemaname = source.state.schema(sequence.schema).map(|schema| &schema.name),
            sequencename = &sequence.name,
            sequenceowner = owner(source, sequence.owner),
            data_type = satsuma_common::Oid(sequence.ty.oid()),
            start_value = sequence.start,
            min_value = sequence.min,
            max_value = sequence.max,
            increment_by = sequence.increment,
            cycle = sequence.cycle,
            cache_size = sequence.cache,
            last_value = position.filter(|at| at.is_called).map(|at| at.last_value),
        )?;
    }
    Ok(())
}
