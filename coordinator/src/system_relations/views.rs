//! PostgreSQL's views over the catalogs: pg_tables, pg_views, pg_matviews, pg_indexes,
//! pg_sequences, pg_stats.

use satsuma_common::text::{TextContext, to_text};
use satsuma_common::{Array, Datum, Oid, PgType, SqlResult};

use super::definitions::{index_definition, view_definition};
use super::layout::Layouts;
use super::rows::{Rows, row};
use super::{Fill, Source};
use crate::catalog::{ObjectAddress, RelationRef, may};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_tables" => tables,
        "pg_views" => views,
        "pg_matviews" => materialized_views,
        "pg_indexes" => indexes,
        "pg_sequences" => sequences,
        "pg_stats" => statistics,
        _ => return None,
    })
}

fn owner<'a>(source: &'a Source<'_>, oid: Oid) -> Option<&'a String> {
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
    for table in source.state.plain_tables() {
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
            definition = view_definition(source.names(), view, false),
        )?;
    }
    Ok(())
}

fn materialized_views(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    for table in state.tables() {
        let (Some(is_populated), Some(view)) =
            (state.is_populated(table.id()), state.view(Oid(table.id().0)))
        else {
            continue;
        };
        row!(
            rows,
            schemaname = &table.shape.schema_name,
            matviewname = &table.shape.name,
            matviewowner = owner(source, table.owner),
            hasindexes = state.indexes_of(table.id()).next().is_some(),
            ispopulated = is_populated,
            definition = view_definition(source.names(), view, false),
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
            indexdef = index_definition(source.names(), index, false),
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
            data_type = Oid(sequence.ty.oid()),
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

/// What ANALYZE found, of columns that the role may read.
fn statistics(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let text_array = PgType::Array(Box::new(PgType::Text));
    for table in source.state.tables() {
        let Some(statistics) = source.state.statistics(table.id()) else { continue };
        let relation = ObjectAddress::relation(RelationRef::Table(table.id()));
        let role = source.around.role();
        let may_read = |object| role.is_none_or(|role| may(source.state, role, object, 'r'));
        let may_read_all = may_read(relation);
        for column in &table.shape.columns {
            let part = i32::from(column.id.0);
            if !may_read_all && !may_read(ObjectAddress { part, ..relation }) {
                continue;
            }
            let Some(found) = statistics.columns.get(&column.id) else { continue };
            if found.ty != column.ty {
                continue;
            }
            // As the text of an array of the column's type, which `anyarray` stands for.
            let list = |values: Vec<&String>| {
                let values = values.into_iter().cloned().map(Datum::Text).collect();
                let array = Datum::Array(Array { element: PgType::Text, values });
                to_text(&text_array, &array, &TextContext::default())
            };
            let common = found.common.iter().map(|(value, _)| value).collect();
            let shares: Vec<f32> = found.common.iter().map(|(_, share)| *share).collect();
            let bounds = found.bounds.iter().collect();
            row!(
                rows,
                schemaname = &table.shape.schema_name,
                tablename = &table.shape.name,
                attname = &column.name,
                inherited = false,
                null_frac = found.null_fraction,
                avg_width = found.average_width,
                n_distinct = found.distinct,
                most_common_vals = (!shares.is_empty()).then(|| list(common)).transpose()?,
                most_common_freqs = (!shares.is_empty()).then_some(shares),
                histogram_bounds = (!found.bounds.is_empty()).then(|| list(bounds)).transpose()?,
            )?;
        }
    }
    Ok(())
}
