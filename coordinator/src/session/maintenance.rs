//! VACUUM, ANALYZE, REINDEX and CLUSTER: storage keeps itself in order, so that all there is to do
//! is to say whether the statement makes sense.

use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::bind;
use sqlparser::ast::{Ident, ObjectName};

use crate::catalog::{CatalogSnapshot, ObjectAddress, RelationRef, is_member, owner};
use crate::session_api::Notice;

const VACUUM_OPTIONS: &[&str] = &[
    "analyze",
    "analyse",
    "disable_page_skipping",
    "freeze",
    "full",
    "index_cleanup",
    "parallel",
    "process_toast",
    "skip_locked",
    "truncate",
    "verbose",
];
const ANALYZE_OPTIONS: &[&str] = &["skip_locked", "verbose"];

fn find(catalog: &CatalogSnapshot, name: &ObjectName) -> SqlResult<(RelationRef, String)> {
    let (schema, relation) = bind::qualified_name(name, &catalog.state.cluster().database)?;
    let found = catalog.state.relation_by_name(&catalog.search_path, schema.as_deref(), &relation);
    found.map(|found| (found, relation.clone())).ok_or_else(|| {
        let full = schema.map_or_else(|| relation.clone(), |schema| format!("{schema}.{relation}"));
        SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{full}\" does not exist"))
    })
}

/// Tables and options of VACUUM or ANALYZE.
pub fn check(
    catalog: &CatalogSnapshot,
    vacuum: bool,
    options: &[(String, Option<String>)],
    tables: &[(ObjectName, Vec<Ident>)],
) -> SqlResult<()> {
    let (command, known) =
        if vacuum { ("VACUUM", VACUUM_OPTIONS) } else { ("ANALYZE", ANALYZE_OPTIONS) };
    if let Some((unknown, _)) = options.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("unrecognized {command} option \"{unknown}\""),
        ));
    }
    for (name, columns) in tables {
        let (relation, _) = find(catalog, name)?;
        let RelationRef::Table(id) = relation else { continue };
        let Some(table) = catalog.state.table(id) else { continue };
        for column in columns {
            let column = bind::fold(column);
            if table.shape.column_named(&column).is_none() {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{column}\" of relation \"{}\" does not exist",
                        table.shape.name
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Takes out the tables that the user may not vacuum, and says so of each.
pub fn skip(
    catalog: &CatalogSnapshot,
    tables: &mut Vec<(ObjectName, Vec<Ident>)>,
) -> SqlResult<Vec<Notice>> {
    let mut warnings = Vec::new();
    let mut kept = Vec::with_capacity(tables.len());
    for (name, columns) in tables.drain(..) {
        let (relation, shown) = find(catalog, &name)?;
        let owner = owner(&catalog.state, ObjectAddress::relation(relation));
        match owner {
            Some(owner) if !is_member(&catalog.state, catalog.user, owner) => {
                warnings.push(Notice::warning(
                    SqlState::WARNING,
                    format!("skipping \"{shown}\" --- only table or database owner can vacuum it"),
                ));
            }
            _ => kept.push((name, columns)),
        }
    }
    *tables = kept;
    Ok(warnings)
}

fn refuse_for_others(
    catalog: &CatalogSnapshot,
    relation: RelationRef,
    kind: &str,
    name: &str,
) -> SqlResult<()> {
    match owner(&catalog.state, ObjectAddress::relation(relation)) {
        Some(owner) if !is_member(&catalog.state, catalog.user, owner) => Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("must be owner of {kind} {name}"),
        )),
        _ => Ok(()),
    }
}

/// What REINDEX or CLUSTER names.
pub fn check_reorganised(
    catalog: &CatalogSnapshot,
    name: Option<&ObjectName>,
    kind: &str,
) -> SqlResult<()> {
    let Some(name) = name else { return Ok(()) };
    let state = &catalog.state;
    match kind {
        "schema" => {
            let name = bind::last_name(name)?;
            match state.schema_by_name(&name) {
                Some(_) => Ok(()),
                None => Err(SqlError::new(
                    SqlState::INVALID_SCHEMA_NAME,
                    format!("schema \"{name}\" does not exist"),
                )),
            }
        }
        "database" | "system" => {
            let name = bind::last_name(name)?;
            if name == state.cluster().database {
                return Ok(());
            }
            Err(SqlError::unsupported("can only reindex the currently open database"))
        }
        _ => {
            let (found, name) = find(catalog, name)?;
            let fits = match found {
                RelationRef::Index(_) => kind == "index",
                RelationRef::Table(_) => kind == "table",
                RelationRef::View(_) | RelationRef::Sequence(_) => false,
            };
            if fits {
                return refuse_for_others(catalog, found, kind, &name);
            }
            let what = if kind == "index" { "an index" } else { "a table" };
            Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not {what}")))
        }
    }
}
