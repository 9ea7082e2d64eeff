//! ADD PRIMARY KEY and ADD UNIQUE .. USING INDEX: the constraint takes the place of an index that
//! is there, under its own name. Its index is built anew: rows lie in the order of a primary key.

use satsuma_common::{ColumnId, SqlError, SqlResult, SqlState};
use sqlparser::ast::ConstraintUsingIndex;

use super::Ddl;
use super::alter_constraint::NewConstraint;
use super::create_table::{KeyColumns, Unique};
use super::names::fold;
use crate::catalog::{Index, IndexKey, IndexValue, State, Table};

/// The constraint that an index becomes; the index is gone.
pub(super) async fn constraint(
    ddl: &mut Ddl<'_>,
    table: &Table,
    using: &ConstraintUsingIndex,
    primary: bool,
) -> SqlResult<NewConstraint> {
    let named = fold(&using.index_name);
    let state = ddl.state();
    let (index, key) = fitting(&state, table, &named).map_err(|error| match &using.name {
        // Where CONSTRAINT stands.
        Some(name) => error.at(ddl.source.previous_word(name.span.start)),
        None => error,
    })?;
    let nulls_not_distinct = index.nulls_not_distinct;
    let oid = index.oid;
    let name = using.name.as_ref().map_or_else(|| named.clone(), fold);
    if name != named {
        ddl.notice(format!(
            "ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"{named}\" to \"{name}\""
        ));
    }
    super::index::remove_index(ddl, oid).await?;
    Ok(match primary {
        true => NewConstraint::PrimaryKey { name: Some(name), columns: key },
        false => NewConstraint::Unique(Unique { name: Some(name), key, nulls_not_distinct }),
    })
}

/// The index of that name, which must be one that a constraint could have made.
fn fitting<'s>(state: &'s State, table: &Table, named: &str) -> SqlResult<(&'s Index, KeyColumns)> {
    let in_schema = || state.indexes().filter(|index| index.schema == table.schema);
    let Some(index) = in_schema().find(|index| index.name == named) else {
        return Err(SqlError::new(
            SqlState::UNDEFINED_OBJECT,
            format!("index \"{named}\" does not exist"),
        ));
    };
    let not_ready = |what: String| SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, what);
    if index.table != table.id() {
        let message =
            format!("index \"{named}\" does not belong to table \"{}\"", table.shape.name);
        return Err(not_ready(message));
    }
    if index.constraint {
        return Err(not_ready(format!(
            "index \"{named}\" is already associated with a constraint"
        )));
    }
    let unfit = |what: String| {
        SqlError::new(SqlState::WRONG_OBJECT_TYPE, what)
            .detail("Cannot create a primary key or unique constraint using such an index.")
    };
    if !index.unique {
        return Err(unfit(format!("\"{named}\" is not a unique index")));
    }
    let of_columns = |key: &IndexKey| matches!(key.value, IndexValue::Column(_));
    if !index.keys.iter().all(of_columns) {
        return Err(unfit(format!("index \"{named}\" contains expressions")));
    }
    if index.predicate.is_some() {
        return Err(unfit(format!("\"{named}\" is a partial index")));
    }
    let is_default =
        |key: &IndexKey| !key.descending && !key.nulls_first && key.operator_class.is_none();
    if let Some(at) = index.keys.iter().position(|key| !is_default(key)) {
        return Err(unfit(format!(
            "index \"{named}\" column number {} does not have default sorting behavior",
            at + 1
        )));
    }
    let name = |id: ColumnId| table.shape.column(id).map(|column| column.name.clone());
    let names = |ids: &[ColumnId]| ids.iter().filter_map(|id| name(*id)).collect();
    let columns = names(&index.columns().unwrap_or_default());
    Ok((index, KeyColumns { columns, included: names(&index.include) }))
}
