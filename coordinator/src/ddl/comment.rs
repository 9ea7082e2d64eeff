//! COMMENT ON.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{self, Command, ObjectAddress, ObjectClass, RelationRef};

pub fn comment(
    ddl: &mut Ddl<'_>,
    kind: &ast::CommentObject,
    name: &ast::ObjectName,
    text: Option<&String>,
) -> SqlResult<()> {
    let object = match kind {
        ast::CommentObject::Table => relation(ddl, "table", name)?,
        ast::CommentObject::View => relation(ddl, "view", name)?,
        ast::CommentObject::Index => relation(ddl, "index", name)?,
        ast::CommentObject::Sequence => relation(ddl, "sequence", name)?,
        ast::CommentObject::Column => column(ddl, name)?,
        ast::CommentObject::Schema => {
            let name = names::split(name)?.1;
            let oid = ddl.state().schema_by_name(&name).map(|schema| schema.oid);
            let oid = oid.ok_or_else(|| {
                SqlError::new(
                    SqlState::INVALID_SCHEMA_NAME,
                    format!("schema \"{name}\" does not exist"),
                )
            })?;
            ObjectAddress { class: ObjectClass::Schema, oid, part: 0 }
        }
        other => {
            return Err(SqlError::unsupported(format!("COMMENT ON {other} is not supported")));
        }
    };
    let state = ddl.state();
    if let Some(owner) = catalog::owner(&state, ObjectAddress { part: 0, ..object }) {
        let name = names::split(name)?.1;
        ddl.require_owner(owner, super::grant::kind(&state, object), &name)?;
    }
    ddl.apply(Command::SetComment { object, text: text.cloned() })?;
    Ok(())
}

fn find(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<(RelationRef, String)> {
    let (schema, relation) = names::split(name)?;
    let state = ddl.state();
    state
        .relation_by_name(&ddl.snapshot.search_path, schema.as_deref(), &relation)
        .map(|found| (found, relation.clone()))
        .ok_or_else(|| names::no_relation(schema.as_deref(), &relation))
}

fn address(oid: Oid, part: i32) -> ObjectAddress {
    ObjectAddress { class: ObjectClass::Relation, oid, part }
}

fn relation(ddl: &mut Ddl<'_>, kind: &str, name: &ast::ObjectName) -> SqlResult<ObjectAddress> {
    let (found, relation) = find(ddl, name)?;
    let actual = match found {
        RelationRef::Table(_) => "table",
        RelationRef::Index(_) => "index",
        RelationRef::View(_) => "view",
        RelationRef::Sequence(_) => "sequence",
    };
    if actual != kind {
        let article = if kind == "index" { "an" } else { "a" };
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{relation}\" is not {article} {kind}"),
        ));
    }
    Ok(address(found.oid(), 0))
}

/// `table.column`, of a table or a view.
fn column(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<ObjectAddress> {
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
    Ok(address(found.oid(), number))
}
