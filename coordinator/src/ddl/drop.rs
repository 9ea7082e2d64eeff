//! DROP of tables and schemas.

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult, SqlState, TableId};
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{Command, RelationRef, Table, TableDef};
use crate::session_api::{Notice, Severity};

pub async fn drop(
    ddl: &mut Ddl<'_>,
    kind: &ast::ObjectType,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<String> {
    match kind {
        ast::ObjectType::Table => drop_tables(ddl, objects, if_exists, cascade).await?,
        ast::ObjectType::Schema => drop_schemas(ddl, objects, if_exists, cascade).await?,
        ast::ObjectType::Sequence => drop_sequences(ddl, objects, if_exists)?,
        ast::ObjectType::View => drop_views(ddl, objects, if_exists)?,
        ast::ObjectType::Index => drop_indexes(ddl, objects, if_exists).await?,
        ast::ObjectType::Role | ast::ObjectType::User => {
            super::role::drop_roles(ddl, objects, if_exists)?;
            return Ok("DROP ROLE".into());
        }
        other => return Err(SqlError::unsupported(format!("DROP {other} is not supported"))),
    }
    Ok(format!("DROP {kind}"))
}

fn missing(ddl: &mut Ddl<'_>, kind: &str, name: &str, if_exists: bool) -> SqlResult<()> {
    let state = match kind {
        "schema" => SqlState::INVALID_SCHEMA_NAME,
        "index" => SqlState::UNDEFINED_OBJECT,
        _ => SqlState::UNDEFINED_TABLE,
    };
    if !if_exists {
        return Err(SqlError::new(state, format!("{kind} \"{name}\" does not exist")));
    }
    ddl.notices.push(Notice::new(
        Severity::Notice,
        SqlError::new(
            SqlState::SUCCESSFUL_COMPLETION,
            format!("{kind} \"{name}\" does not exist, skipping"),
        ),
    ));
    Ok(())
}

/// Finds a relation of one kind; a relation of another kind under the name is 42809.
fn find(
    ddl: &mut Ddl<'_>,
    kind: &str,
    name: &ast::ObjectName,
    if_exists: bool,
) -> SqlResult<Option<RelationRef>> {
    let (schema, relation) = names::split(name)?;
    let state = ddl.state();
    let path = ddl.snapshot.search_path.clone();
    let found = state.relation_by_name(&path, schema.as_deref(), &relation);
    let Some(found) = found else {
        let full = schema.map_or_else(|| relation.clone(), |schema| format!("{schema}.{relation}"));
        missing(ddl, kind, &full, if_exists)?;
        return Ok(None);
    };
    let actual = match found {
        RelationRef::Table(_) => "table",
        RelationRef::Index(_) => "index",
        RelationRef::View(_) => "view",
        RelationRef::Sequence(_) => "sequence",
    };
    if actual != kind {
        let article = |word: &str| if word == "index" { "an" } else { "a" };
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{relation}\" is not {} {kind}", article(kind)),
        )
        .hint(format!(
            "Use DROP {} to remove {} {actual}.",
            actual.to_uppercase(),
            article(actual)
        )));
    }
    Ok(Some(found))
}

async fn drop_tables(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    let mut tables: Vec<Arc<Table>> = Vec::new();
    for name in objects {
        if let Some(RelationRef::Table(id)) = find(ddl, "table", name, if_exists)?
            && let Some(table) = ddl.state().table_arc(id)
            && !tables.iter().any(|known| known.id() == id)
        {
            tables.push(table);
        }
    }
    remove_tables(ddl, &tables, cascade).await
}

/// Drops the tables with what belongs to them. Foreign keys of other tables that refer to them
/// go with CASCADE and are an error without.
pub async fn remove_tables(
    ddl: &mut Ddl<'_>,
    tables: &[Arc<Table>],
    cascade: bool,
) -> SqlResult<()> {
    let ids: Vec<TableId> = tables.iter().map(|table| table.id()).collect();
    for table in tables {
        ddl.lock_table(table).await?;
    }
    for table in tables {
        for key in &table.shape.referenced_by {
            if ids.contains(&key.table) {
                continue;
            }
            if !cascade {
                return Err(SqlError::new(
                    SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!(
                        "cannot drop table {} because other objects depend on it",
                        table.shape.name
                    ),
                )
                .detail(format!(
                    "constraint {} on table {} depends on table {}",
                    key.name, key.table_name, table.shape.name
                ))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            ddl.notice(format!(
                "drop cascades to constraint {} on table {}",
                key.name, key.table_name
            ));
        }
    }
    // Foreign keys first, so that tables that refer to each other can go in any order.
    let state = ddl.state();
    let referring: Vec<Arc<Table>> = state
        .tables()
        .filter(|table| table.shape.foreign_keys.iter().any(|key| ids.contains(&key.target)))
        .filter_map(|table| state.table_arc(table.id()))
        .collect();
    for table in referring {
        let mut def: TableDef = table.def().clone();
        let gone: Vec<String> = def
            .shape
            .foreign_keys
            .iter()
            .filter(|key| ids.contains(&key.target))
            .map(|key| key.name.clone())
            .collect();
        def.shape.make_mut().foreign_keys.retain(|key| !ids.contains(&key.target));
        gone.iter().for_each(|name| {
            def.constraint_oids.remove(name);
        });
        ddl.apply(Command::AlterTable(def))?;
        if !ids.contains(&table.id()) {
            ddl.alter_shards(table.id()).await?;
        }
    }
    for table in tables {
        ddl.drop_shards(table);
        let state = ddl.state();
        for sequence in state.sequences_of(table.id()) {
            ddl.apply(Command::DropSequence { sequence: sequence.id })?;
        }
        ddl.apply(Command::DropTable { table: table.id() })?;
    }
    Ok(())
}

async fn drop_schemas(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    for name in objects {
        let (_, name) = names::split(name)?;
        let state = ddl.state();
        let Some(schema) = state.schema_by_name(&name) else {
            missing(ddl, "schema", &name, if_exists)?;
            continue;
        };
        let relations: Vec<(String, RelationRef)> = schema
            .relations()
            .map(|(relation, reference)| (relation.to_owned(), reference))
            .collect();
        if !relations.is_empty() && !cascade {
            let detail: Vec<String> = relations
                .iter()
                .filter(|(_, reference)| matches!(reference, RelationRef::Table(_)))
                .map(|(relation, _)| format!("table {name}.{relation} depends on schema {name}"))
                .collect();
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop schema {name} because other objects depend on it"),
            )
            .detail(detail.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let tables: Vec<Arc<Table>> = relations
            .iter()
            .filter_map(|(_, reference)| match reference {
                RelationRef::Table(id) => state.table_arc(*id),
                _ => None,
            })
            .collect();
        match tables.as_slice() {
            [] => {}
            [table] => ddl.notice(format!("drop cascades to table {name}.{}", table.shape.name)),
            many => ddl.notice(format!("drop cascades to {} other objects", many.len())),
        }
        for (_, reference) in &relations {
            if let RelationRef::View(oid) = reference {
                ddl.apply(Command::DropView { oid: *oid })?;
            }
        }
        remove_tables(ddl, &tables, true).await?;
        let state = ddl.state();
        let left: Vec<RelationRef> = state
            .schema_by_name(&name)
            .map(|schema| schema.relations().map(|(_, reference)| reference).collect())
            .unwrap_or_default();
        for reference in left {
            if let RelationRef::Sequence(sequence) = reference {
                ddl.apply(Command::DropSequence { sequence })?;
            }
        }
        let oid = state
            .schema_by_name(&name)
            .map(|schema| schema.oid)
            .ok_or_else(|| SqlError::internal("the schema is gone"))?;
        ddl.apply(Command::DropSchema { oid })?;
    }
    Ok(())
}

fn drop_sequences(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
) -> SqlResult<()> {
    for name in objects {
        let Some(RelationRef::Sequence(id)) = find(ddl, "sequence", name, if_exists)? else {
            continue;
        };
        let state = ddl.state();
        if let Some(sequence) = state.sequence(id)
            && let Some((table, column)) = sequence.owned_by
            && let Some(table) = state.table(table)
        {
            let column = table.shape.column(column).map_or("", |column| column.name.as_str());
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop sequence {} because other objects depend on it",
                    sequence.name
                ),
            )
            .detail(format!(
                "default value for column {column} of table {} depends on sequence {}",
                table.shape.name, sequence.name
            ))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        ddl.apply(Command::DropSequence { sequence: id })?;
    }
    Ok(())
}

fn drop_views(ddl: &mut Ddl<'_>, objects: &[ast::ObjectName], if_exists: bool) -> SqlResult<()> {
    for name in objects {
        if let Some(RelationRef::View(oid)) = find(ddl, "view", name, if_exists)? {
            ddl.apply(Command::DropView { oid })?;
        }
    }
    Ok(())
}

async fn drop_indexes(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
) -> SqlResult<()> {
    for name in objects {
        let Some(RelationRef::Index(oid)) = find(ddl, "index", name, if_exists)? else { continue };
        let state = ddl.state();
        if let Some(index) = state.index(oid)
            && index.constraint
        {
            let table = state.table(index.table).map_or("", |table| table.shape.name.as_str());
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop index {0} because constraint {0} on table {table} requires it",
                    index.name
                ),
            )
            .hint(format!("You can drop constraint {} on table {table} instead.", index.name)));
        }
        if let Some(index) = state.index(oid)
            && let Some(table) = state.table(index.table)
            && let Some(key) = super::index::referring_key(table, index)
        {
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop index {} because other objects depend on it", index.name),
            )
            .detail(format!(
                "constraint {} on table {} depends on index {}",
                key.name, key.table_name, index.name
            ))
            .hint("Drop that constraint first."));
        }
        super::index::remove_index(ddl, oid).await?;
    }
    Ok(())
}
