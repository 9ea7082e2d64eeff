//! ALTER: which object, and what of it.

use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Alter, AlterAction, AlterKind};

use super::{Ddl, alter_name, alter_table, names};
use crate::catalog::{RelationRef, State};

/// Answers with the command tag.
pub async fn alter(ddl: &mut Ddl<'_>, alter: &Alter) -> SqlResult<String> {
    let tag = format!("ALTER {}", alter.kind.name());
    match alter.kind {
        AlterKind::Schema => alter_name::alter_schema(ddl, alter)?,
        AlterKind::Type => super::enum_type::alter_type(ddl, alter).await?,
        AlterKind::MaterializedView => {
            return Err(SqlError::unsupported("materialized views are not supported"));
        }
        AlterKind::Table | AlterKind::Index | AlterKind::Sequence | AlterKind::View => {
            alter_relation(ddl, alter).await?;
        }
    }
    Ok(tag)
}

async fn alter_relation(ddl: &mut Ddl<'_>, alter: &Alter) -> SqlResult<()> {
    let (schema, name) = names::split(&alter.name)?;
    let state = ddl.state();
    let path = ddl.snapshot.search_path.clone();
    let Some(found) = state.relation_by_name(&path, schema.as_deref(), &name) else {
        let missing = names::no_relation(schema.as_deref(), &name);
        if !alter.if_exists {
            return Err(missing);
        }
        ddl.notice(format!("{}, skipping", missing.message()));
        return Ok(());
    };
    check_kind(alter.kind, found, &name)?;
    if let RelationRef::Table(id) = found {
        let own = |action: &&AlterAction| {
            !matches!(
                action,
                AlterAction::RenameTo { .. }
                    | AlterAction::OwnerTo { .. }
                    | AlterAction::SetSchema { .. }
            )
        };
        let actions: Vec<AlterAction> = alter.actions.iter().filter(own).cloned().collect();
        if !actions.is_empty() {
            alter_table::alter_table(ddl, &alter.name, &actions).await?;
        } else if let Some(table) = state.table_arc(id) {
            ddl.lock_table(&table).await?;
        }
    }
    for action in &alter.actions {
        let state = ddl.state();
        let Some(owner) = alter_name::owner(&state, found) else { continue };
        match action {
            AlterAction::RenameTo { name: new } => {
                ddl.require_owner(owner, alter_name::kind(found), &name)?;
                alter_name::rename(ddl, found, names::fold(new)).await?;
            }
            AlterAction::SetSchema { schema } => {
                ddl.require_owner(owner, alter_name::kind(found), &name)?;
                alter_name::set_schema(ddl, found, &names::fold(schema)).await?;
            }
            AlterAction::OwnerTo { role } => {
                ddl.require_owner(owner, alter_name::kind(found), &name)?;
                alter_name::set_owner(ddl, found, role)?;
            }
            AlterAction::Sequence { options } => match found {
                RelationRef::Sequence(id) => {
                    ddl.require_owner(owner, "sequence", &name)?;
                    if let Some(sequence) = state.sequence(id) {
                        ddl.change_sequence(sequence.clone(), options)?;
                    }
                }
                _ => return Err(wrong_action(action, found, &name)),
            },
            AlterAction::RenameColumn { from, to } if matches!(found, RelationRef::View(_)) => {
                ddl.require_owner(owner, "view", &name)?;
                alter_name::rename_view_column(ddl, found, from, to)?;
            }
            action if !matches!(found, RelationRef::Table(_)) => {
                return Err(wrong_action(action, found, &name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// ALTER TABLE works on every kind of relation, as far as its actions do.
fn check_kind(kind: AlterKind, found: RelationRef, name: &str) -> SqlResult<()> {
    let fits = match kind {
        AlterKind::Table => true,
        AlterKind::Index => matches!(found, RelationRef::Index(_)),
        AlterKind::Sequence => matches!(found, RelationRef::Sequence(_)),
        AlterKind::View => matches!(found, RelationRef::View(_)),
        AlterKind::MaterializedView | AlterKind::Schema | AlterKind::Type => false,
    };
    if fits {
        return Ok(());
    }
    let wanted = kind.name().to_ascii_lowercase();
    let article = if kind == AlterKind::Index { "an" } else { "a" };
    Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not {article} {wanted}")))
}

fn wrong_action(action: &AlterAction, found: RelationRef, name: &str) -> SqlError {
    let what = match action {
        AlterAction::AddColumn { .. } => "ADD COLUMN",
        AlterAction::DropColumn { .. } => "DROP COLUMN",
        AlterAction::SetDefault { .. } | AlterAction::DropDefault { .. } => {
            "ALTER COLUMN ... SET DEFAULT"
        }
        AlterAction::SetNotNull { .. } => "ALTER COLUMN ... SET NOT NULL",
        AlterAction::DropNotNull { .. } => "ALTER COLUMN ... DROP NOT NULL",
        AlterAction::SetType { .. } => "ALTER COLUMN ... SET DATA TYPE",
        AlterAction::AddConstraint { .. } => "ADD CONSTRAINT",
        AlterAction::DropConstraint { .. } => "DROP CONSTRAINT",
        AlterAction::ValidateConstraint { .. } => "VALIDATE CONSTRAINT",
        AlterAction::AlterConstraint { .. } => "ALTER CONSTRAINT",
        _ => "this action",
    };
    let kinds = match found {
        RelationRef::Table(_) => "tables",
        RelationRef::Index(_) => "indexes",
        RelationRef::View(_) => "views",
        RelationRef::Sequence(_) => "sequences",
    };
    SqlError::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("ALTER action {what} cannot be performed on relation \"{name}\""),
    )
    .detail(format!("This operation is not supported for {kinds}."))
}

/// The schema of a relation.
pub(super) fn schema_of(state: &State, relation: RelationRef) -> Option<satsuma_common::Oid> {
    state.relation_name(relation).map(|(schema, _)| schema.oid)
}
