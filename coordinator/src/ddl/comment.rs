//! COMMENT ON.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Comment, CommentTarget};
use sqlparser::ast;

use super::{Ddl, extension, names, role};
use crate::catalog::{self, Command, DATABASE_OID, ObjectAddress, ObjectClass, RelationRef};

pub fn comment(ddl: &mut Ddl<'_>, comment: &Comment) -> SqlResult<()> {
    let (object, owner, name) = match &comment.target {
        CommentTarget::Relation(kind, name) => relation(ddl, kind, name)?,
        CommentTarget::Column(name) => column(ddl, name)?,
        CommentTarget::Constraint { name, table } => constraint(ddl, name, table)?,
        CommentTarget::Type(name) => {
            let ty = super::enum_type::find(ddl, name)?;
            (ObjectAddress::whole(ObjectClass::Type, ty.oid), Some(ty.owner), ty.name)
        }
        CommentTarget::Schema(name) => {
            let name = names::fold(name);
            let state = ddl.state();
            let schema = state.schema_by_name(&name).ok_or_else(|| {
                SqlError::new(
                    SqlState::INVALID_SCHEMA_NAME,
                    format!("schema \"{name}\" does not exist"),
                )
            })?;
            (schema.address(), Some(schema.owner), name)
        }
        CommentTarget::Database(name) => {
            let name = names::fold(name);
            if name != ddl.state().cluster().database {
                return Err(SqlError::new(
                    SqlState::INVALID_CATALOG_NAME,
                    format!("database \"{name}\" does not exist"),
                ));
            }
            whole(ddl, ObjectClass::Database, DATABASE_OID, name)
        }
        CommentTarget::Role(name) => {
            let role = role::find(ddl, &names::fold(name))?;
            let current = role::current_role(ddl)?;
            if !current.superuser && (role.superuser || !current.create_role) {
                let message = match role.superuser {
                    true => "must be superuser to comment on superuser roles".to_owned(),
                    false => "must have CREATEROLE privilege".to_owned(),
                };
                return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            whole(ddl, ObjectClass::Role, role.oid, role.name)
        }
        CommentTarget::Extension(name) => {
            let name = names::fold(name);
            let known = extension::find(&ddl.state(), &name)?;
            whole(ddl, ObjectClass::Extension, known.oid, name)
        }
        CommentTarget::Unsupported(kind) => {
            return Err(SqlError::unsupported(format!("COMMENT ON {kind} is not supported")));
        }
    };
    if let Some(owner) = owner {
        let kind = super::grant::kind(&ddl.state(), object);
        ddl.require_owner(owner, kind, &name)?;
    }
    ddl.apply(Command::SetComment { object, text: comment.text.clone() })?;
    Ok(())
}

/// What a comment is on, who owns that, and its name for messages.
type Target = (ObjectAddress, Option<Oid>, String);

fn whole(ddl: &mut Ddl<'_>, class: ObjectClass, oid: Oid, name: String) -> Target {
    let object = ObjectAddress::whole(class, oid);
    (object, catalog::owner(&ddl.state(), object), name)
}

fn find(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<(RelationRef, String)> {
    let (schema, relation) = names::split(name)?;
    let state = ddl.state();
    state
        .relation_by_name(&ddl.snapshot.search_path, schema.as_deref(), &relation)
        .map(|found| (found, relation.clone()))
        .ok_or_else(|| names::no_relation(schema.as_deref(), &relation))
}

fn relation(ddl: &mut Ddl<'_>, kind: &str, name: &ast::ObjectName) -> SqlResult<Target> {
    let (found, relation) = find(ddl, name)?;
    if ddl.state().kind(found).name() != kind {
        let article = if kind == "index" { "an" } else { "a" };
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{relation}\" is not {article} {kind}"),
        ));
    }
    Ok(whole(ddl, ObjectClass::Relation, found.oid(), relation))
}

/// `table.column`, of a table or a view.
fn column(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<Target> {
    let Some((last, rest)) = name.0.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "column name must be qualified"));
    };
    let wanted = last.as_ident().map(names::fold).unwrap_or_default();
    let (found, relation) = find(ddl, &ast::ObjectName(rest.to_vec()))?;
    let state = ddl.state();
    let number = match found {
        RelationRef::Table(id) => state
            .table(id)
            .and_then(|table| table.shape.column_named(&wanted))
            .map(|column| i32::from(column.id.0)),
        RelationRef::View(oid) => state
            .view(oid)
            .and_then(|view| view.columns.iter().position(|(name, _)| *name == wanted))
            .and_then(|position| i32::try_from(position + 1).ok()),
        RelationRef::Index(_) | RelationRef::Sequence(_) => {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot set comment on relation \"{relation}\""),
            ));
        }
    };
    let number = number.ok_or_else(|| {
        SqlError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{wanted}\" of relation \"{relation}\" does not exist"),
        )
    })?;
    let (object, owner, name) = whole(ddl, ObjectClass::Relation, found.oid(), relation);
    Ok((ObjectAddress { part: number, ..object }, owner, name))
}

fn constraint(ddl: &mut Ddl<'_>, name: &ast::Ident, of: &ast::ObjectName) -> SqlResult<Target> {
    let (name, table) = (names::fold(name), ddl.table(of)?);
    let relation = &table.shape.name;
    let oid = table.constraint_oids.get(&name).ok_or_else(|| {
        SqlError::new(
            SqlState::UNDEFINED_OBJECT,
            format!("constraint \"{name}\" for table \"{relation}\" does not exist"),
        )
    })?;
    let object = ObjectAddress::whole(ObjectClass::Constraint, *oid);
    Ok((object, Some(table.owner), relation.clone()))
}
