//! Enum types: CREATE TYPE .. AS ENUM, ALTER TYPE, DROP TYPE.

use std::collections::BTreeSet;

use satsuma_common::{Oid, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Alter, AlterAction, LabelPlace};
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{Command, EnumType, IdRequest};
use crate::session_api::{Notice, Severity};

/// Longest label in bytes.
const MAX_LABEL: usize = 63;

fn check_label(label: &str) -> SqlResult<()> {
    if label.len() <= MAX_LABEL {
        return Ok(());
    }
    Err(SqlError::new(SqlState::RESERVED_NAME, format!("invalid enum label \"{label}\""))
        .detail("Labels must be 63 bytes or less."))
}

fn no_type(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn type_exists(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_OBJECT, format!("type \"{name}\" already exists"))
}

pub async fn create_enum(
    ddl: &mut Ddl<'_>,
    name: &ast::ObjectName,
    labels: &[ast::Ident],
) -> SqlResult<()> {
    let state = ddl.state();
    let (schema, name) = names::split(name)?;
    let schema = names::creation_schema(&state, &ddl.snapshot.search_path, schema.as_deref())?;
    ddl.require_create(schema.oid)?;
    if schema.user_type(&name).is_some() || schema.relation(&name).is_some() {
        return Err(type_exists(&name));
    }
    let labels: Vec<String> = labels.iter().map(|label| label.value.clone()).collect();
    for (at, label) in labels.iter().enumerate() {
        check_label(label)?;
        if labels[..at].contains(label) {
            return Err(SqlError::new(
                SqlState::UNIQUE_VIOLATION,
                "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"",
            )
            .detail(format!("Key (enumtypid, enumlabel)=(0, {label}) already exists.")));
        }
    }
    // The array type has the oid after the type's own.
    let mut ids = ddl.reserve(IdRequest::oids(2)).await?;
    let oid = ids.oid()?;
    ids.oid()?;
    let owner = ddl.snapshot.user;
    ddl.apply(Command::CreateEnum(EnumType { oid, name, schema: schema.oid, owner, labels }))?;
    Ok(())
}

pub(super) fn find(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<EnumType> {
    let (schema, bare) = names::split(name)?;
    let state = ddl.state();
    let path = &ddl.snapshot.search_path;
    let full = schema.as_ref().map_or_else(|| bare.clone(), |schema| format!("{schema}.{bare}"));
    let found = state.enum_by_name(path, schema.as_deref(), &bare);
    found.cloned().ok_or_else(|| no_type(&full))
}

pub async fn alter_type(ddl: &mut Ddl<'_>, alter: &Alter) -> SqlResult<()> {
    let mut ty = find(ddl, &alter.name)?;
    ddl.require_owner(ty.owner, "type", &ty.name)?;
    for action in &alter.actions {
        match action {
            AlterAction::AddValue { label, if_not_exists, place } => {
                check_label(label)?;
                if ty.labels.contains(label) {
                    let message = format!("enum label \"{label}\" already exists");
                    if !if_not_exists {
                        return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
                    }
                    let skipped =
                        SqlError::new(SqlState::DUPLICATE_OBJECT, format!("{message}, skipping"));
                    ddl.notices.push(Notice::new(Severity::Notice, skipped));
                    return Ok(());
                }
                let at = |neighbour: &String| {
                    ty.labels.iter().position(|known| known == neighbour).ok_or_else(|| {
                        SqlError::new(
                            SqlState::INVALID_PARAMETER_VALUE,
                            format!("\"{neighbour}\" is not an existing enum label"),
                        )
                    })
                };
                let at = match place {
                    LabelPlace::Last => ty.labels.len(),
                    LabelPlace::Before(neighbour) => at(neighbour)?,
                    LabelPlace::After(neighbour) => at(neighbour)? + 1,
                };
                ty.labels.insert(at, label.clone());
            }
            AlterAction::RenameValue { from, to } => {
                check_label(to)?;
                let Some(at) = ty.labels.iter().position(|known| known == from) else {
                    return Err(SqlError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("\"{from}\" is not an existing enum label"),
                    ));
                };
                if ty.labels.contains(to) {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_OBJECT,
                        format!("enum label \"{to}\" already exists"),
                    ));
                }
                if is_used(ddl, ty.oid) {
                    return Err(SqlError::unsupported(
                        "renaming a label is not supported while a table has a column of the type",
                    )
                    .hint("Rows hold the label itself: add a new label and update them."));
                }
                ty.labels[at].clone_from(to);
            }
            AlterAction::RenameTo { name } => {
                let name = names::fold(name);
                let state = ddl.state();
                let schema = state.schema(ty.schema);
                let taken = schema.is_some_and(|schema| {
                    schema.user_type(&name).is_some() || schema.relation(&name).is_some()
                });
                if taken {
                    return Err(type_exists(&name));
                }
                ty.name = name;
            }
            AlterAction::OwnerTo { role } => ty.owner = ddl.new_owner(role)?.oid,
            AlterAction::SetSchema { schema } => {
                let state = ddl.state();
                let schema = names::creation_schema(&state, &[], Some(&names::fold(schema)))?;
                ty.schema = schema.oid;
            }
            _ => return Err(SqlError::unsupported("this action of ALTER TYPE is not supported")),
        }
    }
    let before = ddl.state();
    ddl.apply(Command::AlterEnum(ty))?;
    ddl.respell_defaults(&before)
}

fn is_used(ddl: &mut Ddl<'_>, oid: Oid) -> bool {
    let state = ddl.state();
    let mut columns = state.tables().flat_map(|table| &table.shape.columns);
    columns.any(|column| is_of(&column.ty, oid))
}

pub async fn drop_types(
    ddl: &mut Ddl<'_>,
    objects: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> SqlResult<()> {
    let mut types = Vec::new();
    for name in objects {
        let ty = match find(ddl, name) {
            Ok(ty) => ty,
            Err(error) if if_exists => {
                ddl.notice(format!("{}, skipping", error.message()));
                continue;
            }
            Err(error) => return Err(error),
        };
        ddl.require_owner(ty.owner, "type", &ty.name)?;
        if !types.iter().any(|known: &EnumType| known.oid == ty.oid) {
            types.push(ty);
        }
    }
    for ty in types {
        drop_type(ddl, &ty, cascade).await?;
    }
    Ok(())
}

pub(super) async fn drop_type(ddl: &mut Ddl<'_>, ty: &EnumType, cascade: bool) -> SqlResult<()> {
    if cascade {
        drop_users_of(ddl, ty).await?;
    }
    ddl.apply(Command::DropEnum { oid: ty.oid })?;
    Ok(())
}

/// DROP TYPE .. CASCADE drops the columns of the type, and the views that name it.
async fn drop_users_of(ddl: &mut Ddl<'_>, ty: &EnumType) -> SqlResult<()> {
    let state = ddl.state();
    let (mut names, mut drops) = (Vec::new(), Vec::new());
    let roots = state.stored_queries().filter(|view| view.depends_on.contains(&ty.oid));
    let views: BTreeSet<Oid> = roots.flat_map(|view| ddl.view_tree(view.oid)).collect();
    for relation in views.iter().filter_map(|view| state.relation(*view)) {
        let name = state.relation_name(relation).map_or("", |(_, name)| name);
        names.push(format!("{} {name}", state.kind(relation)));
    }
    for table in state.plain_tables() {
        for column in &table.shape.columns {
            if is_of(&column.ty, ty.oid) {
                names.push(format!("column {} of table {}", column.name, table.shape.name));
                drops.push((table.id(), column.name.clone()));
            }
        }
    }
    ddl.cascade_notice(&names);
    for view in views {
        ddl.drop_view_tree(view).await?;
    }
    for (table, column) in drops {
        super::alter_table::drop_column(ddl, table, &column).await?;
    }
    Ok(())
}

fn is_of(ty: &PgType, oid: Oid) -> bool {
    match ty {
        PgType::Enum(used) => *used == oid,
        PgType::Array(element) => is_of(element, oid),
        _ => false,
    }
}
