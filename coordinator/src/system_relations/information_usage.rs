//! The parts of the information schema about what uses what: element types of arrays, relations
//! that views read, types of columns, privileges on columns.

use std::collections::BTreeSet;

use satsuma_common::{PgType, SqlResult};

use super::Fill;
use super::Source;
use super::information_schema::{database, letter_name, table_access, udt, yes_no};
use super::layout::Layouts;
use super::relations::user_relations;
use super::rows::{Rows, row};
use crate::catalog::{COLUMN_PRIVILEGES, RelationRef};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "character_sets" => character_sets,
        "column_privileges" => column_privileges,
        "role_column_grants" => role_column_grants,
        "column_udt_usage" => column_udt_usage,
        "element_types" => element_types,
        "view_table_usage" => view_table_usage,
        _ => return None,
    })
}

fn character_sets(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    row!(
        rows,
        character_set_name = "UTF8",
        character_repertoire = "UCS",
        form_of_use = "UTF8",
        default_collate_catalog = database(source),
    )
}

/// A column: of which schema and relation, which number and name, and its type.
struct Column<'a> {
    schema: &'a str,
    relation: &'a str,
    is_view: bool,
    number: i32,
    name: &'a str,
    ty: &'a PgType,
}

fn user_columns<'a>(source: &Source<'a>) -> Vec<Column<'a>> {
    let mut found = Vec::new();
    for (schema, relation, reference) in user_relations(source.state) {
        match reference {
            RelationRef::Table(id) => {
                let columns = source.state.table(id).map(|table| &table.shape.columns);
                found.extend(columns.into_iter().flatten().map(|column| Column {
                    schema,
                    relation,
                    is_view: false,
                    number: i32::from(column.id.0),
                    name: &column.name,
                    ty: &column.ty,
                }));
            }
            RelationRef::View(oid) => {
                let columns = source.state.view(oid).map(|view| &view.columns);
                let columns = (1..).zip(columns.into_iter().flatten());
                found.extend(columns.map(|(number, (name, ty))| Column {
                    schema,
                    relation,
                    is_view: true,
                    number,
                    name,
                    ty,
                }));
            }
            RelationRef::Index(_) | RelationRef::Sequence(_) => {}
        }
    }
    found
}

fn system_columns<'a>() -> impl Iterator<Item = Column<'a>> {
    Layouts::all().iter().flat_map(|layout| {
        (1..).zip(&layout.columns).map(|(number, column)| Column {
            schema: layout.schema,
            relation: layout.name,
            is_view: layout.is_view,
            number,
            name: column.name,
            ty: &column.ty,
        })
    })
}

fn element_types(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for column in user_columns(source).into_iter().chain(system_columns()) {
        let PgType::Array(element) = column.ty else { continue };
        let (data_type, udt_schema, udt_name) = udt(source, element);
        row!(
            rows,
            object_catalog = database(source),
            object_schema = column.schema,
            object_name = column.relation,
            object_type = if column.is_view { "VIEW" } else { "TABLE" },
            collection_type_identifier = column.number.to_string(),
            data_type = data_type,
            udt_catalog = database(source),
            udt_schema = udt_schema,
            udt_name = udt_name,
            dtd_identifier = format!("a{}", column.number),
        )?;
    }
    Ok(())
}

fn column_udt_usage(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for column in user_columns(source).into_iter().chain(system_columns()) {
        let (schema, name) = match column.ty {
            // An array of a user's type is in that type's schema.
            PgType::Array(element) if matches!(**element, PgType::Enum(_)) => {
                let (_, schema, name) = udt(source, element);
                (schema, format!("_{name}"))
            }
            ty => {
                let (_, schema, name) = udt(source, ty);
                (schema, name)
            }
        };
        row!(
            rows,
            udt_catalog = database(source),
            udt_schema = schema,
            udt_name = name,
            table_catalog = database(source),
            table_schema = column.schema,
            table_name = column.relation,
            column_name = column.name,
        )?;
    }
    Ok(())
}

fn view_table_usage(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    for view in state.views() {
        for oid in &view.depends_on {
            let Some(read @ (RelationRef::Table(_) | RelationRef::View(_))) = state.relation(*oid)
            else {
                continue;
            };
            let Some((schema, name)) = state.relation_name(read) else { continue };
            row!(
                rows,
                view_catalog = database(source),
                view_schema = state.schema(view.schema).map(|schema| &schema.name),
                view_name = &view.name,
                table_catalog = database(source),
                table_schema = &schema.name,
                table_name = name,
            )?;
        }
    }
    Ok(())
}

/// What may be done with a table may be done with each of its columns.
fn column_privileges(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    column_grants(source, rows, true)
}

fn role_column_grants(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    column_grants(source, rows, false)
}

fn column_grants(source: &Source<'_>, rows: &mut Rows<'_>, of_all: bool) -> SqlResult<()> {
    let columns = user_columns(source);
    // What is granted on the table and on the column alike is said once.
    let mut said = BTreeSet::new();
    table_access(source, of_all, &mut |(schema, relation), only, grant, owns| {
        let role = |oid| match source.state.role(oid) {
            Some(role) => role.name.as_str(),
            None => "PUBLIC",
        };
        let own = columns.iter().filter(|it| it.schema == schema && it.relation == relation);
        for column in own.filter(|it| only.is_none_or(|only| only == it.name)) {
            let letters = grant.privileges.chars();
            for letter in letters.filter(|letter| COLUMN_PRIVILEGES.contains(*letter)) {
                let grantable = owns || grant.grantable.contains(letter);
                let place = (schema, relation, column.number);
                if !said.insert((place, grant.grantor, grant.grantee, letter, grantable)) {
                    continue;
                }
                row!(
                    rows,
                    grantor = role(grant.grantor),
                    grantee = role(grant.grantee),
                    table_catalog = database(source),
                    table_schema = schema,
                    table_name = relation,
                    column_name = column.name,
                    privilege_type = letter_name(letter),
                    is_grantable = yes_no(grantable),
                )?;
            }
        }
        Ok(())
    })
}
