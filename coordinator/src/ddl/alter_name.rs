//! Names, schemas and owners of relations, and names of columns.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Alter, AlterAction};
use sqlparser::ast;

use super::alter_object::schema_of;
use super::alter_table::Altering;
use super::{Ddl, names, sequence, stored_text, view};
use crate::catalog::{Command, Index, IndexValue, RelationRef, Sequence, State, View, split_name};

pub(super) fn owner(state: &State, relation: RelationRef) -> Option<Oid> {
    match relation {
        RelationRef::Table(id) => state.table(id).map(|table| table.owner),
        RelationRef::Index(oid) => {
            let index = state.index(oid)?;
            state.table(index.table).map(|table| table.owner)
        }
        RelationRef::View(oid) => state.view(oid).map(|view| view.owner),
        RelationRef::Sequence(id) => state.sequence(id).map(|sequence| sequence.owner),
    }
}

fn refuse_taken(state: &State, schema: Oid, name: &str) -> SqlResult<()> {
    match state.schema(schema).and_then(|schema| schema.relation(name)) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(
            SqlState::DUPLICATE_TABLE,
            format!("relation \"{name}\" already exists"),
        )),
    }
}

pub(super) async fn rename(ddl: &mut Ddl<'_>, relation: RelationRef, to: String) -> SqlResult<()> {
    let state = ddl.state();
    let Some(schema) = schema_of(&state, relation) else { return Ok(()) };
    refuse_taken(&state, schema, &to)?;
    match relation {
        RelationRef::Table(id) => {
            let Some(table) = state.table_arc(id) else { return Ok(()) };
            let mut def = table.def().clone();
            def.shape.make_mut().name.clone_from(&to);
            let schema = table.shape.schema_name.clone();
            follow_relation(ddl, Oid(id.0), (&schema, &to), |ddl| {
                ddl.apply(Command::AlterTable(def)).map(|_| ())
            })
            .await
        }
        RelationRef::Index(oid) => {
            let index = state.index(oid).cloned();
            index.map_or(Ok(()), |index| ddl.rename_index(index, to))
        }
        RelationRef::View(oid) => {
            let Some(view) = state.view(oid).cloned() else { return Ok(()) };
            let schema = state.schema(view.schema).map_or("", |schema| schema.name.as_str());
            follow_relation(ddl, oid, (schema, &to.clone()), |ddl| {
                ddl.apply(Command::AlterView(View { name: to, ..view })).map(|_| ())
            })
            .await
        }
        RelationRef::Sequence(id) => {
            let Some(sequence) = state.sequence(id).cloned() else { return Ok(()) };
            move_sequence(ddl, &sequence, Sequence { name: to, ..sequence.clone() })
        }
    }
}

/// Changes a relation's name or schema, in the texts of views too.
async fn follow_relation(
    ddl: &mut Ddl<'_>,
    oid: Oid,
    to: (&str, &str),
    change: impl FnOnce(&mut Ddl<'_>) -> SqlResult<()>,
) -> SqlResult<()> {
    let readers = ddl.views_reading(oid, None).await?;
    ddl.with_views_renamed(
        &readers,
        |state, reader, query| {
            view::rename_relation_in(state, reader, query, oid, to);
            Ok(())
        },
        change,
    )
}

pub(super) async fn set_schema(
    ddl: &mut Ddl<'_>,
    relation: RelationRef,
    schema: &str,
) -> SqlResult<()> {
    let state = ddl.state();
    let to = names::creation_schema(&state, &[], Some(schema))?;
    let Some((from, name)) = state.relation_name(relation) else { return Ok(()) };
    if from.oid == to.oid {
        return Ok(());
    }
    if to.relation(name).is_some() {
        return Err(SqlError::new(
            SqlState::DUPLICATE_TABLE,
            format!("relation \"{name}\" already exists in schema \"{schema}\""),
        ));
    }
    match relation {
        RelationRef::Table(id) => {
            let Some(table) = state.table_arc(id) else { return Ok(()) };
            let mut def = table.def().clone();
            def.schema = to.oid;
            let owned: Vec<Sequence> = state.sequences_of(id).cloned().collect();
            follow_relation(ddl, Oid(id.0), (schema, name), |ddl| {
                ddl.apply(Command::AlterTable(def)).map(|_| ())
            })
            .await?;
            let path = ddl.snapshot.search_path.clone();
            for sequence in owned {
                retarget_defaults(ddl, &state, &path, &sequence, to.oid, &sequence.name)?;
            }
            Ok(())
        }
        RelationRef::Index(_) => Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("cannot change schema of index \"{name}\""),
        )
        .hint("Change the schema of the table instead.")),
        RelationRef::View(oid) => {
            let Some(view) = state.view(oid).cloned() else { return Ok(()) };
            follow_relation(ddl, oid, (schema, name), |ddl| {
                ddl.apply(Command::AlterView(View { schema: to.oid, ..view })).map(|_| ())
            })
            .await
        }
        RelationRef::Sequence(id) => {
            let Some(sequence) = state.sequence(id).cloned() else { return Ok(()) };
            if sequence.owned_by.is_some() {
                return Err(SqlError::unsupported(
                    "cannot move an owned sequence into another schema",
                )
                .detail(ddl.linked_to(&sequence)));
            }
            move_sequence(ddl, &sequence, Sequence { schema: to.oid, ..sequence.clone() })
        }
    }
}

pub(super) fn set_owner(
    ddl: &mut Ddl<'_>,
    relation: RelationRef,
    role: &ast::Ident,
) -> SqlResult<()> {
    let owner = ddl.new_owner(role)?.oid;
    let state = ddl.state();
    match relation {
        RelationRef::Table(id) => {
            let Some(table) = state.table(id) else { return Ok(()) };
            let mut def = table.def().clone();
            def.owner = owner;
            ddl.apply(Command::AlterTable(def))?;
            for sequence in state.sequences_of(id) {
                let sequence = Sequence { owner, ..sequence.clone() };
                ddl.apply(Command::AlterSequence(sequence))?;
            }
        }
        RelationRef::Index(oid) => {
            let name = state.index(oid).map_or("", |index| index.name.as_str());
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot change owner of index \"{name}\""),
            )
            .hint("Change the ownership of the index's table instead."));
        }
        RelationRef::View(oid) => {
            if let Some(view) = state.view(oid) {
                ddl.apply(Command::AlterView(View { owner, ..view.clone() }))?;
            }
        }
        RelationRef::Sequence(id) => {
            let Some(sequence) = state.sequence(id).cloned() else { return Ok(()) };
            if sequence.owned_by.is_some() {
                return Err(SqlError::unsupported(
                    "cannot change owner of sequence \"".to_owned() + &sequence.name + "\"",
                )
                .detail(ddl.linked_to(&sequence)));
            }
            ddl.apply(Command::AlterSequence(Sequence { owner, ..sequence }))?;
        }
    }
    Ok(())
}

/// A sequence's new name or schema; defaults that draw from it follow.
fn move_sequence(ddl: &mut Ddl<'_>, from: &Sequence, to: Sequence) -> SqlResult<()> {
    let state = ddl.state();
    let path = ddl.snapshot.search_path.clone();
    let (schema, name) = (to.schema, to.name.clone());
    let oid = Oid(from.id.0);
    let readers = state.stored_queries().filter(|view| view.depends_on.contains(&oid));
    let readers: Vec<Oid> = readers.map(|view| view.oid).collect();
    let new = sequence::qualified_name(&state, schema, &name);
    ddl.with_views_renamed(
        &readers,
        |state, reader, query| {
            stored_text::each_sequence(query, |text| {
                let named = view::sequence_named(state, &reader.search_path, text);
                if named.is_some_and(|named| named.oid() == oid) {
                    text.clone_from(&new);
                }
            });
            Ok(())
        },
        |ddl| {
            ddl.apply(Command::AlterSequence(to))?;
            retarget_defaults(ddl, &state, &path, from, schema, &name)
        },
    )
}

/// Defaults that name a sequence, as it was in `before`, name it where it is now.
fn retarget_defaults(
    ddl: &mut Ddl<'_>,
    before: &State,
    path: &[String],
    sequence: &Sequence,
    schema: Oid,
    name: &str,
) -> SqlResult<()> {
    let is_it = |text: &str| {
        split_name(text).is_some_and(|(of, name)| {
            before.relation_by_name(path, of.as_deref(), &name)
                == Some(RelationRef::Sequence(sequence.id))
        })
    };
    let state = ddl.state();
    let new = sequence::qualified_name(&state, schema, name);
    for table in state.tables() {
        let mut def = table.def().clone();
        let mut changed = false;
        for text in def.defaults.iter_mut().flatten() {
            if let Some(renamed) = stored_text::rename_sequence(text, &is_it, &new)? {
                *text = renamed;
                changed = true;
            }
        }
        if changed {
            ddl.apply(Command::AlterTable(def))?;
        }
    }
    ddl.refresh_env();
    Ok(())
}

pub(super) fn rename_view_column(
    ddl: &mut Ddl<'_>,
    relation: RelationRef,
    from: &ast::Ident,
    to: &ast::Ident,
) -> SqlResult<()> {
    let state = ddl.state();
    let RelationRef::View(oid) = relation else { return Ok(()) };
    let Some(view) = state.view(oid) else { return Ok(()) };
    let (from, to) = (names::fold(from), names::fold(to));
    let mut view = view.clone();
    if view.columns.iter().any(|(name, _)| *name == to) {
        return Err(SqlError::new(
            SqlState::DUPLICATE_COLUMN,
            format!("column \"{to}\" of relation \"{}\" already exists", view.name),
        ));
    }
    let column = view.columns.iter_mut().find(|(name, _)| *name == from).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{from}\" does not exist"))
    })?;
    column.0.clone_from(&to);
    let readers: Vec<Oid> = state
        .stored_queries()
        .filter(|view| view.depends_on.contains(&oid))
        .map(|view| view.oid)
        .collect();
    ddl.with_views_renamed(
        &readers,
        |state, reader, query| {
            view::rename_column_in(state, reader, query, oid, (&from, &to));
            Ok(())
        },
        |ddl| ddl.apply(Command::AlterView(view)).map(|_| ()),
    )
}

pub(super) fn alter_schema(ddl: &mut Ddl<'_>, alter: &Alter) -> SqlResult<()> {
    let name = names::split(&alter.name)?.1;
    let state = ddl.state();
    let schema = state.schema_by_name(&name).ok_or_else(|| {
        SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
    })?;
    ddl.require_owner(schema.owner, "schema", &name)?;
    for action in &alter.actions {
        match action {
            AlterAction::RenameTo { name: to } => {
                let to = names::fold(to);
                names::refuse_reserved_schema(&to)?;
                if state.stored_queries().any(|view| mentions_schema(view, &name)) {
                    return Err(SqlError::unsupported(format!(
                        "schema \"{name}\" cannot be renamed while views name it"
                    ))
                    .hint("Drop the views first, and create them again afterwards."));
                }
                ddl.apply(Command::RenameSchema { oid: schema.oid, name: to })?;
                ddl.respell_defaults(&state)?;
            }
            AlterAction::OwnerTo { role } => {
                let owner = ddl.new_owner(role)?.oid;
                ddl.apply(Command::OwnSchema { oid: schema.oid, owner })?;
            }
            _ => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "ALTER SCHEMA takes RENAME TO and OWNER TO",
                ));
            }
        }
    }
    Ok(())
}

/// Whether the view's text or its search path has the schema's name in it.
fn mentions_schema(view: &View, schema: &str) -> bool {
    view.search_path.iter().any(|name| name == schema) || view.definition.contains(schema)
}

impl Ddl<'_> {
    pub(super) fn rename_index(&mut self, index: Index, to: String) -> SqlResult<()> {
        let state = self.state();
        refuse_taken(&state, index.schema, &to)?;
        let from = index.name.clone();
        let is_constraint = index.constraint;
        let table = index.table;
        // The constraint of a key has the index's name: one command at a time would part them.
        if !is_constraint {
            self.apply(Command::AlterIndex(Index { name: to, ..index }))?;
            return Ok(());
        }
        let Some(table) = state.table(table) else { return Ok(()) };
        let mut def = table.def().clone();
        if let Some(oid) = def.constraint_oids.remove(&from) {
            def.constraint_oids.insert(to.clone(), oid);
        }
        let shape = def.shape.make_mut();
        if shape.primary_key_name.as_ref() == Some(&from) {
            shape.primary_key_name = Some(to.clone());
        }
        self.apply(Command::AlterIndex(Index { name: to, ..index }))?;
        self.apply(Command::AlterTable(def))?;
        Ok(())
    }
}

impl Altering<'_, '_> {
    pub(super) async fn rename_column(
        &mut self,
        from: &ast::Ident,
        to: &ast::Ident,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let (from, to) = (names::fold(from), names::fold(to));
        let at = table.shape.columns.iter().position(|column| column.name == from);
        let at = at.ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{from}\" does not exist"))
        })?;
        if table.shape.column_named(&to).is_some() {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{to}\" of relation \"{}\" already exists", table.shape.name),
            ));
        }
        names::refuse_system_column(&to)?;
        let oid = Oid(table.id().0);
        let readers = self.ddl.views_reading(oid, Some(at)).await?;
        let mut def = table.def().clone();
        for text in def.generated.iter_mut().flatten() {
            *text = stored_text::rename_column(text, &from, &to)?;
        }
        let shape = def.shape.make_mut();
        shape.columns[at].name.clone_from(&to);
        for check in &mut shape.checks {
            check.condition = stored_text::rename_column(&check.condition, &from, &to)?;
        }
        let state = self.ddl.state();
        let mut indexes = Vec::new();
        for index in state.indexes_of(table.id()) {
            let mut renamed = index.clone();
            for key in &mut renamed.keys {
                if let IndexValue::Expression(text) = &mut key.value {
                    *text = stored_text::rename_column(text, &from, &to)?;
                }
            }
            if let Some(predicate) = &mut renamed.predicate {
                *predicate = stored_text::rename_column(predicate, &from, &to)?;
            }
            if renamed != *index {
                indexes.push(renamed);
            }
        }
        self.ddl.with_views_renamed(
            &readers,
            |state, reader, query| {
                view::rename_column_in(state, reader, query, oid, (&from, &to));
                Ok(())
            },
            |ddl| {
                ddl.apply(Command::AlterTable(def))?;
                indexes
                    .into_iter()
                    .try_for_each(|index| ddl.apply(Command::AlterIndex(index)).map(|_| ()))
            },
        )?;
        self.ddl.refresh_env();
        Ok(())
    }
}
