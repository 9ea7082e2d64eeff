//! FOREIGN KEY: from a constraint as it is written to the columns that it joins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use satsuma_common::table::{ForeignKey, ForeignKeyAction, TableShape, Timing};
use satsuma_common::{ColumnId, Oid, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::set_on_delete;
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{self, ObjectAddress, RelationRef, State, Table, TableDef};

/// 42501 unless the role may refer to the columns.
fn check_references(state: &State, role: Oid, to: &Table, columns: &[ColumnId]) -> SqlResult<()> {
    let whole = ObjectAddress::relation(RelationRef::Table(to.id()));
    let may = |object| catalog::may(state, role, object, 'x');
    let column = |column: &ColumnId| ObjectAddress { part: i32::from(column.0), ..whole };
    if may(whole) || columns.iter().map(column).all(may) {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for table {}", to.shape.name),
    ))
}

/// Resolves a foreign key of `own` against the catalog.
pub(super) fn resolve(
    ddl: &Ddl<'_>,
    state: &State,
    own: &TableShape,
    name: Option<String>,
    columns: &[String],
    constraint: &ast::ForeignKeyConstraint,
    taken: &BTreeMap<String, Oid>,
) -> SqlResult<ForeignKey> {
    let (set_on_delete, foreign_table) = set_on_delete(&constraint.foreign_table);
    let (schema, target_name) = names::split(&foreign_table)?;
    let own_target =
        schema.as_deref().is_none_or(|schema| schema == own.schema_name) && target_name == own.name;
    let other: Option<Arc<Table>> = if own_target {
        None
    } else {
        let table = state
            .table_by_name(&ddl.snapshot.search_path, schema.as_deref(), &target_name)
            .ok_or_else(|| names::no_relation(schema.as_deref(), &target_name))?;
        state.table_arc(table.id())
    };
    if let Some(other) = &other
        && state.is_populated(other.id()).is_some()
    {
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("referenced relation \"{target_name}\" is not a table"),
        ));
    }
    let target = other.as_ref().map_or(own, |table| &table.shape);
    let column_ids = columns
        .iter()
        .map(|column| {
            own.column_named(column).map(|column| column.id).ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{column}\" referenced in foreign key constraint does not exist"
                    ),
                )
            })
        })
        .collect::<SqlResult<Vec<_>>>()?;
    let target_columns = if constraint.referred_columns.is_empty() {
        if target.primary_key.is_empty() {
            return Err(SqlError::new(
                SqlState::UNDEFINED_OBJECT,
                format!("there is no primary key for referenced table \"{}\"", target.name),
            ));
        }
        target.primary_key.clone()
    } else {
        constraint
            .referred_columns
            .iter()
            .map(|ident| {
                let column = names::fold(ident);
                target.column_named(&column).map(|column| column.id).ok_or_else(|| {
                    SqlError::new(
                        SqlState::UNDEFINED_COLUMN,
                        format!(
                            "column \"{column}\" referenced in foreign key constraint does not \
                             exist"
                        ),
                    )
                })
            })
            .collect::<SqlResult<Vec<_>>>()?
    };
    if column_ids.len() != target_columns.len() {
        return Err(SqlError::new(
            SqlState::INVALID_FOREIGN_KEY,
            "number of referencing and referenced columns for foreign key disagree",
        ));
    }
    let same_set = |a: &[ColumnId], b: &[ColumnId]| {
        a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
    };
    let is_unique = same_set(&target_columns, &target.primary_key)
        || target.indexes.iter().any(|index| {
            index.is_plain_unique()
                && index.columns().is_some_and(|columns| same_set(&target_columns, &columns))
        });
    if !is_unique {
        return Err(SqlError::new(
            SqlState::INVALID_FOREIGN_KEY,
            format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                target.name
            ),
        ));
    }
    if let Some(other) = &other {
        check_references(state, ddl.snapshot.user, other, &target_columns)?;
    }
    let name = name.unwrap_or_else(|| {
        names::choose(&own.name, Some(&columns.join("_")), "fkey", |name| taken.contains_key(name))
    });
    for (from, to) in column_ids.iter().zip(&target_columns) {
        let types = own.column(*from).zip(target.column(*to));
        if let Some((from, to)) = types
            && !comparable(&from.ty, &to.ty)
        {
            return Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("foreign key constraint \"{name}\" cannot be implemented"),
            )
            .detail(format!(
                "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                from.name, to.name, from.ty, to.ty
            )));
        }
    }
    let set_on_delete = set_on_delete
        .iter()
        .map(|column| {
            let id = own.column_named(column).map(|column| column.id).ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{column}\" referenced in foreign key constraint does not exist"
                    ),
                )
            })?;
            if column_ids.contains(&id) {
                return Ok(id);
            }
            Err(SqlError::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!(
                    "column \"{column}\" referenced in ON DELETE SET action must be part of \
                     foreign key"
                ),
            ))
        })
        .collect::<SqlResult<Vec<_>>>()?;
    let key = ForeignKey {
        name,
        table: own.table,
        table_name: own.name.clone(),
        columns: column_ids,
        target: target.table,
        target_name: target.name.clone(),
        target_columns,
        on_delete: action(constraint.on_delete)?,
        on_update: action(constraint.on_update)?,
        set_on_delete,
        defaults: Vec::new(),
        full: is_full(constraint)?,
        timing: timing(constraint.characteristics.as_ref())?,
    };
    refuse_late_full(&key)?;
    Ok(key)
}

/// Tells the keys of a table what SET DEFAULT sets: constants, which workers know beside them.
/// Whether any of it is new.
pub(super) async fn settle_defaults(ddl: &Ddl<'_>, def: &mut TableDef) -> SqlResult<bool> {
    let mut changed = false;
    for at in 0..def.shape.foreign_keys.len() {
        let key = &def.shape.foreign_keys[at];
        let mut defaults = Vec::new();
        if key.sets_defaults() {
            for column in &key.columns {
                let on_delete =
                    key.on_delete == ForeignKeyAction::SetDefault && key.sets(*column, true);
                let is_set = on_delete || key.on_update == ForeignKeyAction::SetDefault;
                defaults.push(match is_set {
                    true => constant_default(ddl, def, key, *column).await?,
                    false => None,
                });
            }
        }
        if defaults != key.defaults {
            def.shape.make_mut().foreign_keys[at].defaults = defaults;
            changed = true;
        }
    }
    Ok(changed)
}

/// The default of a column in the form that rows have it, which must be the same for every row.
async fn constant_default(
    ddl: &Ddl<'_>,
    def: &TableDef,
    key: &ForeignKey,
    column: ColumnId,
) -> SqlResult<Option<Vec<u8>>> {
    let Some(at) = def.shape.position(column) else { return Ok(None) };
    let column = &def.shape.columns[at];
    if def.generated[at].is_some() {
        let event = if key.on_update == ForeignKeyAction::SetDefault { "UPDATE" } else { "DELETE" };
        return Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!(
                "invalid ON {event} action for foreign key constraint containing generated column"
            ),
        ));
    }
    let Some(text) = &def.defaults[at] else { return Ok(None) };
    let changing = || {
        SqlError::unsupported(format!(
            "SET DEFAULT of foreign key constraint \"{}\" needs a constant default of column \"{}\"",
            key.name, column.name
        ))
        .hint("A default that draws from a sequence or asks for the time is not supported there.")
    };
    if def.identity[at].is_some() || !ddl.is_constant(text)? {
        return Err(changing());
    }
    super::alter_column::constant(ddl, text, &column.ty).await?.ok_or_else(changing)
}

/// Whether values of the two types are compared in their stored form.
fn comparable(from: &PgType, to: &PgType) -> bool {
    let (from, to) = (from.without_modifier(), to.without_modifier());
    from == to || (from.is_integer() && to.is_integer()) || (from.is_string() && to.is_string())
}

/// When a constraint is checked, as it was written.
pub(super) fn timing(
    characteristics: Option<&ast::ConstraintCharacteristics>,
) -> SqlResult<Timing> {
    let Some(characteristics) = characteristics else { return Ok(Timing::NotDeferrable) };
    let deferred = characteristics.initially == Some(ast::DeferrableInitial::Deferred);
    match (characteristics.deferrable, deferred) {
        (Some(false), true) => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
        )),
        (_, true) => Ok(Timing::Deferred),
        (Some(true), false) => Ok(Timing::Immediate),
        (None | Some(false), false) => Ok(Timing::NotDeferrable),
    }
}

fn is_full(constraint: &ast::ForeignKeyConstraint) -> SqlResult<bool> {
    match constraint.match_kind {
        None | Some(ast::ConstraintReferenceMatchKind::Simple) => Ok(false),
        Some(ast::ConstraintReferenceMatchKind::Full) => Ok(true),
        Some(ast::ConstraintReferenceMatchKind::Partial) => {
            Err(SqlError::unsupported("MATCH PARTIAL not yet implemented"))
        }
    }
}

/// 0A000 for MATCH FULL that would wait: workers look at the columns of a row as it comes.
pub(super) fn refuse_late_full(key: &ForeignKey) -> SqlResult<()> {
    if !(key.full && key.columns.len() > 1 && key.timing.is_deferrable()) {
        return Ok(());
    }
    Err(SqlError::unsupported("deferrable foreign keys with MATCH FULL are not supported")
        .hint("Add a CHECK constraint that the columns are NULL together."))
}

fn action(action: Option<ast::ReferentialAction>) -> SqlResult<ForeignKeyAction> {
    Ok(match action {
        None | Some(ast::ReferentialAction::NoAction) => ForeignKeyAction::NoAction,
        Some(ast::ReferentialAction::Restrict) => ForeignKeyAction::Restrict,
        Some(ast::ReferentialAction::Cascade) => ForeignKeyAction::Cascade,
        Some(ast::ReferentialAction::SetNull) => ForeignKeyAction::SetNull,
        Some(ast::ReferentialAction::SetDefault) => ForeignKeyAction::SetDefault,
    })
}
