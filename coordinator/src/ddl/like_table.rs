//! `LIKE other` in CREATE TABLE: another table's columns, and what INCLUDING asks for of the rest.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::parse::{self, Including, Like};

use super::alter_constraint::NewConstraint;
use super::alter_table::Altering;
use super::create_table::{Draft, KeyColumns, Serial, Unique};
use super::{Ddl, names};
use crate::catalog::{Command, Index, IndexValue, ObjectAddress, ObjectClass, RelationRef, Table};

/// A source whose columns are in the table, and that has more to give.
pub(super) struct Copied {
    source: TableId,
    including: Including,
}

/// Columns with their types and NOT NULL, defaults and generation expressions.
pub(super) fn copy_columns(
    ddl: &mut Ddl<'_>,
    draft: &mut Draft,
    like: &Like,
) -> SqlResult<Option<Copied>> {
    let (schema, name) = names::split(&like.source)?;
    let state = ddl.state();
    let path = &ddl.snapshot.search_path;
    match state.relation_by_name(path, schema.as_deref(), &name) {
        Some(RelationRef::Table(id)) => {
            if let Some(table) = state.table(id) {
                copy_table(draft, table, like.including)?;
            }
            Ok(Some(Copied { source: id, including: like.including }))
        }
        Some(RelationRef::View(oid)) => {
            let columns = state.view(oid).map(|view| view.columns.clone()).unwrap_or_default();
            columns.into_iter().try_for_each(|(name, ty)| draft.plain_column(name, ty))?;
            Ok(None)
        }
        Some(_) => Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("relation \"{name}\" is invalid in LIKE clause"),
        )),
        None => Err(names::no_relation(schema.as_deref(), &name)),
    }
}

fn copy_table(draft: &mut Draft, table: &Table, including: Including) -> SqlResult<()> {
    for (at, column) in table.shape.columns.iter().enumerate() {
        draft.plain_column(column.name.clone(), column.ty.clone())?;
        let new = draft.columns.len() - 1;
        draft.columns[new].not_null = column.not_null;
        if including.generated {
            draft.generated[new].clone_from(&table.generated[at]);
        }
        match table.identity[at] {
            Some(always) if including.identity => {
                draft.identity[new] = Some(always);
                draft.serials.push(Serial {
                    column: new,
                    ty: column.ty.clone(),
                    options: Vec::new(),
                });
            }
            Some(_) => {}
            None if including.defaults => draft.defaults[new].clone_from(&table.defaults[at]),
            None => {}
        }
    }
    if including.constraints {
        for check in &table.shape.checks {
            let (condition, _) = parse::parse_expression(&check.condition)?;
            draft.add_check(Some(check.name.clone()), condition);
        }
    }
    Ok(())
}

/// Keys, indexes and comments, once the table is there.
pub(super) async fn copy_rest(
    ddl: &mut Ddl<'_>,
    table: TableId,
    copied: Option<Copied>,
) -> SqlResult<()> {
    let Some(Copied { source, including }) = copied else { return Ok(()) };
    let state = ddl.state();
    let Some(source) = state.table_arc(source) else { return Ok(()) };
    if including.indexes {
        for index in state.indexes_of(source.id()) {
            copy_index(ddl, &source, table, index).await?;
        }
    }
    if including.comments {
        copy_comments(ddl, &source, table)?;
    }
    Ok(())
}

async fn copy_index(
    ddl: &mut Ddl<'_>,
    source: &Table,
    table: TableId,
    index: &Index,
) -> SqlResult<()> {
    let names: Vec<String> = index
        .keys
        .iter()
        .filter_map(|key| match &key.value {
            IndexValue::Column(column) => Some(source.shape.column(*column)?.name.clone()),
            IndexValue::Expression(_) => None,
        })
        .collect();
    let included = index.include.iter().filter_map(|id| source.shape.column(*id));
    let included = included.map(|column| column.name.clone()).collect();
    let key = KeyColumns { columns: names.clone(), included };
    if index.primary {
        let mut altering = Altering::new(ddl, table);
        let key = NewConstraint::PrimaryKey { name: None, columns: key };
        return altering.add(key, false).await;
    }
    if index.constraint {
        let mut altering = Altering::new(ddl, table);
        let nulls_not_distinct = index.nulls_not_distinct;
        let unique = Unique { name: None, key, nulls_not_distinct };
        return altering.add(NewConstraint::Unique(unique), false).await;
    }
    let state = ddl.state();
    let Some(new) = state.table(table) else { return Ok(()) };
    let moved = |column| {
        let name = &source.shape.column(column)?.name;
        new.shape.column_named(name).map(|column| column.id)
    };
    let mut copy = index.clone();
    for key in &mut copy.keys {
        if let IndexValue::Column(column) = &mut key.value
            && let Some(new) = moved(*column)
        {
            *column = new;
        }
    }
    copy.include = index.include.iter().copied().filter_map(moved).collect();
    copy.table = table;
    copy.schema = new.schema;
    copy.oid = ddl.oid().await?;
    copy.name = names::choose(&new.shape.name, Some(&names.join("_")), "idx", |name| {
        state.schema(new.schema).is_some_and(|schema| schema.relation(name).is_some())
    });
    super::index::add_index(ddl, new, copy, true).await
}

fn copy_comments(ddl: &mut Ddl<'_>, source: &Table, table: TableId) -> SqlResult<()> {
    let state = ddl.state();
    let Some(new) = state.table(table) else { return Ok(()) };
    for column in &source.shape.columns {
        let of = |table: TableId, part: i32| ObjectAddress {
            class: ObjectClass::Relation,
            oid: Oid(table.0),
            part,
        };
        let text = state.comment(of(source.id(), i32::from(column.id.0)));
        if let Some(text) = text
            && let Some(target) = new.shape.column_named(&column.name)
        {
            let object = of(table, i32::from(target.id.0));
            ddl.apply(Command::SetComment { object, text: Some(text.to_owned()) })?;
        }
    }
    Ok(())
}
