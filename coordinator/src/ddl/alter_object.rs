//! ALTER: which object, and what of it.

use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Alter, AlterAction, AlterKind};

use super::{Ddl, alter_name, alter_table, names};
use crate::catalog::{RelationKind, RelationRef, State};

/// Answers with the command tag.
pub async fn alter(ddl: &mut Ddl<'_>, alter: &Alter) -> SqlResult<String> {
    let tag = format!("ALTER {}", alter.kind.name());
    match alter.kind {
        AlterKind::Schema => alter_name::alter_schema(ddl, alter)?,
        AlterKind::Type => super::enum_type::alter_type(ddl, alter).await?,
        AlterKind::Table
        | AlterKind::Index
        | AlterKind::Sequence
        | AlterKind::View
        | AlterKind::MaterializedView => alter_relation(ddl, alter).await?,
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
    let kind = state.kind(found);
    check_kind(relation_kind(alter.kind), kind, &name)?;
    if let RelationRef::Table(id) = found {
        if kind == RelationKind::MaterializedView
            && let Some(action) = alter.actions.iter().find(|action| !fits_materialized(action))
        {
            return Err(wrong_action(action, kind, &name));
        }
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
                ddl.require_owner(owner, state.kind(found), &name)?;
                alter_name::rename(ddl, found, names::fold(new)).await?;
            }
            AlterAction::SetSchema { schema } => {
                ddl.require_owner(owner, state.kind(found), &name)?;
                alter_name::set_schema(ddl, found, &names::fold(schema)).await?;
            }
            AlterAction::OwnerTo { role } => {
                ddl.require_owner(owner, state.kind(found), &name)?;
                alter_name::set_owner(ddl, found, role)?;
            }
            AlterAction::Sequence { options } => match found {
                RelationRef::Sequence(id) => {
                    ddl.require_owner(owner, "sequence", &name)?;
                    if let Some(sequence) = state.sequence(id) {
                        ddl.change_sequence(sequence.clone(), options)?;
                    }
                }
                _ => return Err(wrong_action(action, kind, &name)),
            },
            AlterAction::RenameColumn { from, to } if matches!(found, RelationRef::View(_)) => {
                ddl.require_owner(owner, "view", &name)?;
                alter_name::rename_view_column(ddl, found, from, to)?;
            }
            action if !matches!(found, RelationRef::Table(_)) => {
                return Err(wrong_action(action, kind, &name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the statement says that it alters; `None` for ALTER TABLE, which works on every kind of
/// relation, as far as its actions do.
fn relation_kind(kind: AlterKind) -> Option<RelationKind> {
    match kind {
        AlterKind::Index => Some(RelationKind::Index),
        AlterKind::Sequence => Some(RelationKind::Sequence),
        AlterKind::View => Some(RelationKind::View),
        AlterKind::MaterializedView => Some(RelationKind::MaterializedView),
        AlterKind::Table | AlterKind::Schema | AlterKind::Type => None,
    }
}

fn check_kind(wanted: Option<RelationKind>, found: RelationKind, name: &str) -> SqlResult<()> {
    match wanted {
        Some(wanted) if wanted != found => Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{name}\" is not {}", wanted.with_article()),
        )),
        _ => Ok(()),
    }
}

/// Whether the action leaves the rows and their types to the query.
fn fits_materialized(action: &AlterAction) -> bool {
    matches!(
        action,
        AlterAction::RenameTo { .. }
            | AlterAction::RenameColumn { .. }
            | AlterAction::OwnerTo { .. }
            | AlterAction::SetSchema { .. }
            | AlterAction::SetOptions { .. }
            | AlterAction::TuneColumn { .. }
            | AlterAction::ClusterOn { .. }
            | AlterAction::Unsupported { .. }
    )
}

fn wrong_action(action: &AlterAction, kind: RelationKind, name: &str) -> SqlError {
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
    let kinds = match kind {
        RelationKind::Index => "indexes".into(),
        kind => format!("{kind}s"),
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
