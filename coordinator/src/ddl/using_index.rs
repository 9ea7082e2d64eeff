//! ADD PRIMARY KEY and ADD UNIQUE .. USING INDEX: the constraint takes the place of an index that
//! is there, under its own name. Its index is built anew: rows lie in the order of a primary key.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::ConstraintUsingIndex;

use super::Ddl;
use super::alter_constraint::NewConstraint;
use super::create_table::{KeyColumns, Unique};
use super::names::fold;
use crate::catalog::{IndexValue, Table};

/// The constraint that an index becomes; the index is gone.
pub(super) async fn constraint(
    ddl: &mut Ddl<'_>,
    table: &Table,
    using: &ConstraintUsingIndex,
    primary: bool,
) -> SqlResult<NewConstraint> {
    let named = fold(&using.index_name);
    let state = ddl.state();
    let index = state.indexes_of(table.id()).find(|index| index.name == named);
    let Some(index) = index else {
        return Err(SqlError::new(
            SqlState::UNDEFINED_OBJECT,
            format!("index \"{named}\" does not exist"),
        ));
    };
    let unfit = |what: &str| {
        SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{named}\" {what}"))
            .detail("Cannot create a primary key or unique constraint using such an index.")
    };
    if index.constraint {
        return Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("index \"{named}\" is already associated with a constraint"),
        ));
    }
    if !index.unique {
        return Err(unfit("is not a unique index"));
    }
    if index.predicate.is_some() {
        return Err(unfit("is a partial index"));
    }
    let column = |id| table.shape.column(id).map(|column| column.name.clone());
    let mut key = KeyColumns { columns: Vec::new(), included: Vec::new() };
    for part in &index.keys {
        let IndexValue::Column(id) = part.value else {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("index \"{named}\" contains expressions"),
            )
            .detail("Cannot create a primary key or unique constraint using such an index."));
        };
        if part.descending || part.nulls_first || part.operator_class.is_some() {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "index \"{named}\" column number {} does not have default sorting behavior",
                    key.columns.len() + 1
                ),
            )
            .detail("Cannot create a primary key or unique constraint using such an index."));
        }
        key.columns.extend(column(id));
    }
    key.included = index.include.iter().filter_map(|id| column(*id)).collect();
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
