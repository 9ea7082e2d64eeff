//! DROP of relations and schemas, with what depends on them.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use satsuma_common::{ColumnId, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::{bind, functions};
use sqlparser::ast;

use super::{Ddl, alter_name, names, stored_text};
use crate::catalog::{
    Command, RelationKind, RelationRef, State, Table, TableDef, is_member, split_name,
};
use crate::session_api::{Notice, Severity};

pub async fn drop(
    ddl: &mut Ddl<'_>,
    kind: &ast::ObjectType,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<String> {
    match kind {
        ast::ObjectType::Table => {
            drop_tables(ddl, RelationKind::Table, objects, if_exists, cascade).await?
        }
        ast::ObjectType::Schema => drop_schemas(ddl, objects, if_exists, cascade).await?,
        ast::ObjectType::Sequence => drop_sequences(ddl, objects, if_exists, cascade).await?,
        ast::ObjectType::View => drop_views(ddl, objects, if_exists, cascade).await?,
        ast::ObjectType::Index => drop_indexes(ddl, objects, if_exists).await?,
        ast::ObjectType::Type => {
            super::enum_type::drop_types(ddl, objects, if_exists, cascade).await?;
        }
        ast::ObjectType::Role | ast::ObjectType::User => {
            super::role::drop_roles(ddl, objects, if_exists)?;
            return Ok("DROP ROLE".into());
        }
        ast::ObjectType::Database => drop_databases(ddl, objects, if_exists)?,
        ast::ObjectType::MaterializedView => {
            drop_tables(ddl, RelationKind::MaterializedView, objects, if_exists, cascade).await?;
        }
        other => return Err(SqlError::unsupported(format!("DROP {other} is not supported"))),
    }
    Ok(format!("DROP {kind}"))
}

fn missing(ddl: &mut Ddl<'_>, kind: &str, name: &str, if_exists: bool) -> SqlResult<()> {
    let state = match kind {
        "schema" => SqlState::INVALID_SCHEMA_NAME,
        "database" => SqlState::INVALID_CATALOG_NAME,
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
    kind: RelationKind,
    name: &ast::ObjectName,
    if_exists: bool,
) -> SqlResult<Option<RelationRef>> {
    let (schema, relation) = names::split(name)?;
    let state = ddl.state();
    let path = ddl.snapshot.search_path.clone();
    let found = state.relation_by_name(&path, schema.as_deref(), &relation);
    let Some(found) = found else {
        let full = schema.map_or_else(|| relation.clone(), |schema| format!("{schema}.{relation}"));
        missing(ddl, kind.name(), &full, if_exists)?;
        return Ok(None);
    };
    let actual = state.kind(found);
    if actual != kind {
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{relation}\" is not {}", kind.with_article()),
        )
        .hint(format!(
            "Use DROP {} to remove {}.",
            actual.name().to_uppercase(),
            actual.with_article()
        )));
    }
    Ok(Some(found))
}

/// There is one database, in which the statement runs.
fn drop_databases(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
) -> SqlResult<()> {
    for name in objects {
        let name = names::split(name)?.1;
        if name == ddl.state().cluster().database {
            return Err(SqlError::new(
                SqlState::OBJECT_IN_USE,
                "cannot drop the currently open database",
            ));
        }
        missing(ddl, "database", &name, if_exists)?;
    }
    Ok(())
}

/// DROP FUNCTION and PROCEDURE: there are no functions but those that come with the database.
pub fn drop_functions(
    ddl: &mut Ddl<'_>,
    kind: &str,
    functions: &[ast::FunctionDesc],
    if_exists: bool,
) -> SqlResult<()> {
    for function in functions {
        let name = names::split(&function.name)?.1;
        let (found, text, noticed) = match &function.args {
            None => {
                let found = format!("could not find a {kind} named \"{name}\"");
                (found, name.clone(), format!("{name}()"))
            }
            Some(args) => {
                let of =
                    |arg: &ast::OperateFunctionArg| bind::data_type(&arg.data_type, &ddl.snapshot);
                let types = args.iter().map(of).collect::<SqlResult<Vec<_>>>()?;
                let text = functions::call_text(&name, &types);
                let written: Vec<_> = args.iter().map(|arg| arg.data_type.clone()).collect();
                let noticed = super::absent::written_call(&name, &written, &types);
                (format!("{kind} {text} does not exist"), text, noticed)
            }
        };
        if kind == "function" && functions::is_known(&name) {
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop function {text} because it is required by the database system"
                ),
            ));
        }
        if !if_exists {
            return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, found));
        }
        ddl.notice(format!("{kind} {noticed} does not exist, skipping"));
    }
    Ok(())
}

async fn drop_tables(
    ddl: &mut Ddl<'_>,
    kind: RelationKind,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    let mut tables: Vec<Arc<Table>> = Vec::new();
    for name in objects {
        if let Some(RelationRef::Table(id)) = find(ddl, kind, name, if_exists)?
            && let Some(table) = ddl.state().table_arc(id)
            && !tables.iter().any(|known| known.id() == id)
        {
            require_owner(ddl, RelationRef::Table(id))?;
            tables.push(table);
        }
    }
    remove_tables(ddl, &tables, cascade).await
}

/// 42501 unless the current role owns the relation or its schema.
fn require_owner(ddl: &mut Ddl<'_>, relation: RelationRef) -> SqlResult<()> {
    let state = ddl.state();
    let Some((schema, name)) = state.relation_name(relation) else { return Ok(()) };
    if is_member(&state, ddl.snapshot.user, schema.owner) {
        return Ok(());
    }
    match alter_name::owner(&state, relation) {
        Some(owner) => ddl.require_owner(owner, state.kind(relation), name),
        None => Ok(()),
    }
}

/// Something that cannot stay without what is dropped.
struct Dependent {
    oid: Oid,
    /// `view v`, `constraint c on table t`
    name: String,
    on: String,
    what: What,
}

enum What {
    View,
    ForeignKey(TableId, String),
    Default(TableId, ColumnId),
}

/// What depends on the relations and on the sequences that go with them, and on that in turn, in
/// the order it was made.
fn dependents(ddl: &mut Ddl<'_>, roots: &[RelationRef]) -> SqlResult<Vec<Dependent>> {
    let state = ddl.state();
    let mut found: Vec<Dependent> = Vec::new();
    let mut waiting: Vec<RelationRef> = roots.to_vec();
    for root in roots {
        if let RelationRef::Table(id) = root {
            waiting.extend(state.sequences_of(*id).map(|it| RelationRef::Sequence(it.id)));
        }
    }
    while let Some(relation) = waiting.pop() {
        let on = describe(ddl, relation);
        let oid = relation.oid();
        for view in state.stored_queries().filter(|view| view.depends_on.contains(&oid)) {
            let Some(reader) = state.relation(view.oid) else { continue };
            let known = found.iter().any(|known| known.oid == view.oid) || roots.contains(&reader);
            if !known {
                let name = describe(ddl, reader);
                found.push(Dependent { oid: view.oid, name, on: on.clone(), what: What::View });
                waiting.push(reader);
            }
        }
        match relation {
            RelationRef::Table(id) => {
                let Some(table) = state.table(id) else { continue };
                for key in &table.shape.referenced_by {
                    if roots.contains(&RelationRef::Table(key.table)) {
                        continue;
                    }
                    let child = describe(ddl, RelationRef::Table(key.table));
                    let oid = state
                        .table(key.table)
                        .and_then(|table| table.constraint_oids.get(&key.name).copied());
                    found.push(Dependent {
                        oid: oid.unwrap_or(Oid(0)),
                        name: format!("constraint {} on {child}", key.name),
                        on: on.clone(),
                        what: What::ForeignKey(key.table, key.name.clone()),
                    });
                }
            }
            RelationRef::Sequence(id) => {
                for (table, column) in defaults_of(ddl, id)? {
                    if roots.contains(&RelationRef::Table(table)) {
                        continue;
                    }
                    let name = state
                        .table(table)
                        .and_then(|table| table.shape.column(column))
                        .map_or("", |column| column.name.as_str());
                    let of = describe(ddl, RelationRef::Table(table));
                    found.push(Dependent {
                        oid: Oid(table.0),
                        name: format!("default value for column {name} of {of}"),
                        on: on.clone(),
                        what: What::Default(table, column),
                    });
                }
            }
            RelationRef::View(_) | RelationRef::Index(_) => {}
        }
    }
    found.sort_by_key(|dependent| dependent.oid);
    Ok(found)
}

/// Columns whose default draws from the sequence.
fn defaults_of(ddl: &mut Ddl<'_>, id: SequenceId) -> SqlResult<Vec<(TableId, ColumnId)>> {
    let state = ddl.state();
    let path = ddl.snapshot.search_path.clone();
    let is_it = |text: &str| {
        split_name(text).is_some_and(|(schema, name)| {
            state.relation_by_name(&path, schema.as_deref(), &name)
                == Some(RelationRef::Sequence(id))
        })
    };
    let mut found = Vec::new();
    for table in state.tables() {
        for (column, default) in table.shape.columns.iter().zip(&table.defaults) {
            if let Some(text) = default
                && stored_text::rename_sequence(text, &is_it, "")?.is_some()
            {
                found.push((table.id(), column.id));
            }
        }
    }
    Ok(found)
}

/// `table t`, with its schema where the search path does not find it.
fn describe(ddl: &mut Ddl<'_>, relation: RelationRef) -> String {
    let kind = ddl.state().kind(relation);
    let name = ddl.snapshot.oid_name(&PgType::Regclass, relation.oid().0);
    format!("{kind} {}", name.unwrap_or_default())
}

/// Makes room for dropping the relations: dependents go with CASCADE, and are an error without.
async fn drop_dependents(ddl: &mut Ddl<'_>, roots: &[RelationRef], cascade: bool) -> SqlResult<()> {
    let found = dependents(ddl, roots)?;
    if found.is_empty() {
        return Ok(());
    }
    if !cascade {
        let message = match roots {
            [one] => {
                format!("cannot drop {} because other objects depend on it", describe(ddl, *one))
            }
            _ => "cannot drop desired object(s) because other objects depend on them".into(),
        };
        let lines: Vec<String> =
            found.iter().map(|one| format!("{} depends on {}", one.name, one.on)).collect();
        return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .detail(lines.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    let names: Vec<String> = found.iter().map(|one| one.name.clone()).collect();
    ddl.cascade_notice(&names);
    for dependent in found {
        match dependent.what {
            What::View => ddl.drop_view_tree(dependent.oid).await?,
            What::ForeignKey(table, name) => ddl.drop_foreign_key(table, &name)?,
            What::Default(table, column) => {
                let state = ddl.state();
                let Some(table) = state.table(table) else { continue };
                let mut def: TableDef = table.def().clone();
                if let Some(at) = table.shape.position(column) {
                    def.defaults[at] = None;
                    def.identity[at] = None;
                }
                ddl.apply(Command::AlterTable(def))?;
            }
        }
    }
    Ok(())
}

/// Drops the tables with what belongs to them.
pub async fn remove_tables(
    ddl: &mut Ddl<'_>,
    tables: &[Arc<Table>],
    cascade: bool,
) -> SqlResult<()> {
    for table in tables {
        ddl.txn.refuse_pending(&table.shape, "DROP TABLE").await?;
        ddl.lock_table(table).await?;
    }
    let roots: Vec<RelationRef> =
        tables.iter().map(|table| RelationRef::Table(table.id())).collect();
    drop_dependents(ddl, &roots, cascade).await?;
    // Foreign keys first, so that tables that refer to each other can go in any order.
    let state = ddl.state();
    for table in tables.iter().filter_map(|table| state.table(table.id())) {
        for key in &table.shape.foreign_keys {
            ddl.drop_foreign_key(table.id(), &key.name)?;
        }
    }
    // A materialized view is younger than the tables that it reads.
    let youngest_first: BTreeSet<_> = tables.iter().map(|table| Reverse(table.id())).collect();
    for Reverse(id) in youngest_first {
        let state = ddl.state();
        let Some(table) = state.table(id) else { continue };
        ddl.drop_shards(table);
        for sequence in state.sequences_of(table.id()) {
            ddl.apply(Command::DropSequence { sequence: sequence.id })?;
        }
        ddl.apply(Command::DropTable { table: id })?;
    }
    Ok(())
}

/// Drops relations of any kinds together: they may depend on each other.
pub(super) async fn drop_relations(
    ddl: &mut Ddl<'_>,
    relations: &[RelationRef],
    cascade: bool,
) -> SqlResult<()> {
    drop_dependents(ddl, relations, cascade).await?;
    for relation in relations {
        let state = ddl.state();
        match relation {
            RelationRef::View(oid) if state.view(*oid).is_some() => {
                ddl.drop_view_tree(*oid).await?;
            }
            RelationRef::Sequence(id) if state.sequence(*id).is_some() => {
                drop_dependents(ddl, &[*relation], true).await?;
                ddl.apply(Command::DropSequence { sequence: *id })?;
            }
            _ => {}
        }
    }
    let tables = tables_of(&ddl.state(), relations);
    remove_tables(ddl, &tables, true).await
}

/// The tables among relations, as far as they are there.
fn tables_of(state: &State, relations: &[RelationRef]) -> Vec<Arc<Table>> {
    let table = |relation: &RelationRef| match relation {
        RelationRef::Table(id) => state.table_arc(*id),
        _ => None,
    };
    relations.iter().filter_map(table).collect()
}

/// Drops tables that nobody is told of.
pub async fn drop_silently(ddl: &mut Ddl<'_>, tables: &[TableId]) -> SqlResult<()> {
    let notices = ddl.notices.len();
    let state = ddl.state();
    let tables: Vec<_> = tables.iter().filter_map(|table| state.table_arc(*table)).collect();
    remove_tables(ddl, &tables, true).await?;
    ddl.tell_workers().await?;
    ddl.notices.truncate(notices);
    Ok(())
}

/// A schema's relations, each followed by what depends on it elsewhere, and its types, in the
/// order they were made.
fn named_with(
    ddl: &mut Ddl<'_>,
    relations: &[RelationRef],
    types: &[(Oid, String)],
) -> SqlResult<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut types = types.iter().peekable();
    for relation in relations {
        while let Some((_, ty)) = types.next_if(|(oid, _)| *oid < relation.oid()) {
            names.push(ty.clone());
        }
        names.push(describe(ddl, *relation));
        for dependent in dependents(ddl, &[*relation])? {
            let owner = match dependent.what {
                What::View => dependent.oid,
                What::ForeignKey(table, _) | What::Default(table, _) => Oid(table.0),
            };
            let is_own = relations.iter().any(|relation| relation.oid() == owner);
            if !is_own && !names.contains(&dependent.name) {
                names.push(dependent.name);
            }
        }
    }
    names.extend(types.map(|(_, ty)| ty.clone()));
    Ok(names)
}

pub(super) async fn drop_schemas(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    let names = objects.iter().map(|name| names::split(name).map(|(_, name)| name));
    let mut names = names.collect::<SqlResult<Vec<_>>>()?;
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    for name in names {
        let state = ddl.state();
        let Some(schema) = state.schema_by_name(&name) else {
            missing(ddl, "schema", &name, if_exists)?;
            continue;
        };
        ddl.require_owner(schema.owner, "schema", &name)?;
        // What belongs to a table is told with it.
        let mut relations: Vec<RelationRef> = schema
            .relations()
            .map(|(_, relation)| relation)
            .filter(|relation| match relation {
                RelationRef::Index(_) => false,
                RelationRef::Sequence(id) => {
                    state.sequence(*id).is_some_and(|sequence| sequence.owned_by.is_none())
                }
                RelationRef::Table(_) | RelationRef::View(_) => true,
            })
            .collect();
        relations.sort_by_key(|relation| relation.oid());
        let types: Vec<_> = state.enums().filter(|ty| ty.schema == schema.oid).collect();
        let mut types_named: Vec<(Oid, String)> = types
            .iter()
            .map(|ty| {
                let shown = ddl.snapshot.oid_name(&PgType::Regtype, ty.oid.0);
                (ty.oid, format!("type {}", shown.unwrap_or_else(|| ty.name.clone())))
            })
            .collect();
        types_named.sort();
        let mut names: Vec<(Oid, String)> =
            relations.iter().map(|relation| (relation.oid(), describe(ddl, *relation))).collect();
        names.extend(types_named.iter().cloned());
        names.sort_by_key(|(oid, _)| *oid);
        if !names.is_empty() && !cascade {
            let detail: Vec<String> =
                names.iter().map(|(_, one)| format!("{one} depends on schema {name}")).collect();
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop schema {name} because other objects depend on it"),
            )
            .detail(detail.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let names = named_with(ddl, &relations, &types_named)?;
        ddl.cascade_notice(&names);
        let notices = ddl.notices.len();
        for relation in &relations {
            if let RelationRef::View(oid) = relation {
                ddl.drop_view_tree(*oid).await?;
            }
        }
        let tables = tables_of(&ddl.state(), &relations);
        remove_tables(ddl, &tables, true).await?;
        for relation in relations {
            if let RelationRef::Sequence(sequence) = relation {
                drop_dependents(ddl, &[relation], true).await?;
                ddl.apply(Command::DropSequence { sequence })?;
            }
        }
        // They have been told of.
        ddl.notices.truncate(notices);
        for ty in types {
            super::enum_type::drop_type(ddl, ty, true).await?;
        }
        let oid = state
            .schema_by_name(&name)
            .map(|schema| schema.oid)
            .ok_or_else(|| SqlError::internal("the schema is gone"))?;
        ddl.apply(Command::DropSchema { oid })?;
    }
    Ok(())
}

async fn drop_sequences(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    let mut sequences = Vec::new();
    for name in objects {
        let Some(found) = find(ddl, RelationKind::Sequence, name, if_exists)? else { continue };
        let RelationRef::Sequence(id) = found else { continue };
        require_owner(ddl, found)?;
        let state = ddl.state();
        if let Some(sequence) = state.sequence(id)
            && ddl.is_identity(sequence)
            && let Some((table, column)) = sequence.owned_by
            && let Some(table) = state.table(table)
        {
            let column = table.shape.column(column).map_or("", |column| column.name.as_str());
            let of = format!("column {column} of table {}", table.shape.name);
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop sequence {} because {of} requires it", sequence.name),
            )
            .hint(format!("You can drop {of} instead.")));
        }
        if !sequences.contains(&id) {
            sequences.push(id);
        }
    }
    let roots: Vec<RelationRef> = sequences.iter().copied().map(RelationRef::Sequence).collect();
    drop_dependents(ddl, &roots, cascade).await?;
    for sequence in sequences {
        ddl.apply(Command::DropSequence { sequence })?;
    }
    Ok(())
}

async fn drop_views(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    let mut views = Vec::new();
    for name in objects {
        if let Some(view) = find(ddl, RelationKind::View, name, if_exists)? {
            require_owner(ddl, view)?;
            if !views.contains(&view) {
                views.push(view);
            }
        }
    }
    drop_dependents(ddl, &views, cascade).await?;
    for view in views {
        ddl.drop_view_tree(view.oid()).await?;
    }
    Ok(())
}

async fn drop_indexes(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
) -> SqlResult<()> {
    let mut indexes = Vec::new();
    for name in objects {
        if let Some(RelationRef::Index(oid)) = find(ddl, RelationKind::Index, name, if_exists)?
            && !indexes.contains(&oid)
        {
            indexes.push(oid);
        }
    }
    for oid in indexes {
        require_owner(ddl, RelationRef::Index(oid))?;
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
