//! Temporary relations: in a schema of the session's own, which goes when the session ends.

use satsuma_common::{NodeId, Oid, SqlError, SqlResult, SqlState};

use super::{Ddl, names};
use crate::catalog::Command;

/// Begins the name of every schema of temporary relations.
const PREFIX: &str = "pg_temp_";

/// Name of a session's schema. It tells the coordinator, which cleans up after sessions that
/// ended with it.
pub fn schema_name(node: NodeId, process: i32) -> String {
    format!("{}{process}", prefix_of(node))
}

/// Begins the names of all such schemas of a coordinator.
pub fn prefix_of(node: NodeId) -> String {
    format!("{PREFIX}{}_", node.0)
}

pub fn is_temporary(schema: &str) -> bool {
    schema.starts_with(PREFIX)
}

impl Ddl<'_> {
    /// The schema that a new relation goes to, which its creator may make it in.
    pub(super) async fn schema_for(
        &mut self,
        schema: Option<&str>,
        temporary: bool,
    ) -> SqlResult<Oid> {
        let in_temporary = schema == Some("pg_temp") || schema == Some(&self.temporary_name);
        if temporary && schema.is_some() && !in_temporary {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                "cannot create temporary relation in non-temporary schema",
            ));
        }
        if temporary || in_temporary {
            return self.temporary_schema().await;
        }
        let state = self.state();
        let oid = names::creation_schema(&state, &self.snapshot.search_path, schema)?.oid;
        self.require_create(oid)?;
        Ok(oid)
    }

    /// The session's schema for temporary relations, made at first use.
    pub(super) async fn temporary_schema(&mut self) -> SqlResult<Oid> {
        let name = self.temporary_name.clone();
        let state = self.state();
        if let Some(schema) = state.schema_by_name(&name) {
            return Ok(schema.oid);
        }
        let oid = self.oid().await?;
        let owner = self.snapshot.user;
        self.apply(Command::CreateSchema { oid, name: name.clone(), owner })?;
        self.snapshot.search_path.insert(0, name);
        Ok(oid)
    }
}
