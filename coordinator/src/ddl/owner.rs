//! Who owns what, and who may therefore change it.

use std::fmt::Display;

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{RelationRef, Role, Table, is_member};

impl Ddl<'_> {
    /// 42501 unless the current role owns the object, which is a `kind` of this name.
    pub(super) fn require_owner(
        &mut self,
        owner: Oid,
        kind: impl Display,
        name: &str,
    ) -> SqlResult<()> {
        let (state, user) = (self.state(), self.snapshot.user);
        if is_member(&state, user, owner) {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("must be owner of {kind} {name}"),
        ))
    }

    /// The same of a table or materialized view.
    pub(super) fn require_table_owner(&mut self, table: &Table) -> SqlResult<()> {
        let kind = self.state().kind(RelationRef::Table(table.id()));
        self.require_owner(table.owner, kind, &table.shape.name)
    }

    /// 42501 unless the current role may create in the schema.
    pub(super) fn require_create(&mut self, schema: Oid) -> SqlResult<()> {
        let (state, user) = (self.state(), self.snapshot.user);
        let Some(schema) = state.schema(schema) else { return Ok(()) };
        if crate::catalog::may(&state, user, schema.address(), 'C') {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for schema {}", schema.name),
        ))
    }

    /// The role that OWNER TO names; the current role must be a member of it.
    pub(super) fn new_owner(&mut self, name: &ast::Ident) -> SqlResult<Role> {
        let current = super::role::current_role(self)?;
        let role = match names::fold(name).as_str() {
            "current_user" | "current_role" if name.quote_style.is_none() => current.clone(),
            "session_user" if name.quote_style.is_none() => {
                let session = self.env.identity.session_user.clone();
                super::role::find(self, &session)?
            }
            name => super::role::find(self, name)?,
        };
        let state = self.state();
        if !is_member(&state, current.oid, role.oid) {
            return Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("must be member of role \"{}\"", role.name),
            ));
        }
        Ok(role)
    }

    /// What goes with what is dropped, as PostgreSQL tells it.
    pub(super) fn cascade_notice(&mut self, names: &[String]) {
        match names {
            [] => {}
            [one] => self.notice(format!("drop cascades to {one}")),
            many => {
                let lines: Vec<String> =
                    many.iter().map(|name| format!("drop cascades to {name}")).collect();
                let mut notice = crate::session_api::Notice::plain(format!(
                    "drop cascades to {} other objects",
                    many.len()
                ));
                notice.fields.detail = Some(lines.join("\n"));
                self.notices.push(notice);
            }
        }
    }
}
