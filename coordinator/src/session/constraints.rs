//! SET CONSTRAINTS.

use std::collections::BTreeSet;

use satsuma_common::table::ConstraintRef;
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::ObjectName;

use super::ClusterSession;
use crate::catalog::{State, Table};
use crate::ddl::names;
use crate::session_api::{ExecuteOptions, Notice};

impl ClusterSession {
    pub(super) async fn set_constraints(
        &mut self,
        names: Option<&[ObjectName]>,
        deferred: bool,
        options: &ExecuteOptions,
    ) -> SqlResult<()> {
        if !self.in_block() {
            self.notice(Notice::warning(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET CONSTRAINTS can only be used in transaction blocks",
            ));
        }
        let cluster = self.cluster.clone();
        self.transaction().await?;
        let snapshot = self.snapshot();
        let only = match names {
            Some(names) => Some(named(&snapshot.state, &snapshot.search_path, names, deferred)?),
            None => None,
        };
        let set = self.transaction().await?.set_constraints(&cluster, only, deferred);
        tokio::select! {
            biased;
            () = options.interrupt.wait() => return Err(options.interrupt.error()),
            set = set => set?,
        }
        self.finish_statement(options).await
    }

    /// The checks that were put off, before a commit, which can no longer be stopped: checks wait
    /// for locks of others. The transaction ends where one fails.
    pub(super) async fn check_put_off(&mut self, options: &ExecuteOptions) -> SqlResult<()> {
        let cluster = self.cluster.clone();
        let Some(txn) = self.txn.as_mut().filter(|txn| txn.may_put_off()) else { return Ok(()) };
        options.interrupt.run_untimed();
        let checked = tokio::select! {
            biased;
            () = options.interrupt.wait() => Err(options.interrupt.error()),
            checked = txn.check_deferred(&cluster, None) => checked.map_err(crate::executor::for_client),
        };
        if checked.is_err() {
            self.rollback().await;
        }
        checked
    }
}

/// The foreign keys that may be deferred among the constraints with these names. Without a schema
/// the first one on the search path counts that has any constraint of the name.
fn named(
    state: &State,
    search_path: &[String],
    names: &[ObjectName],
    deferred: bool,
) -> SqlResult<Vec<ConstraintRef>> {
    let mut found = BTreeSet::new();
    for name in names {
        let (schema, name) = names::split(name)?;
        let path = match &schema {
            Some(schema) if state.schema_by_name(schema).is_none() => {
                return Err(SqlError::new(
                    SqlState::INVALID_SCHEMA_NAME,
                    format!("schema \"{schema}\" does not exist"),
                ));
            }
            Some(schema) => std::slice::from_ref(schema),
            None => search_path,
        };
        let tables = |schema: &String| -> Vec<&Table> {
            let tables = state.tables().filter(|table| table.shape.schema_name == *schema);
            tables.filter(|table| table.constraint_oids.contains_key(&name)).collect()
        };
        let tables = path.iter().map(tables).find(|tables| !tables.is_empty());
        let tables = tables.ok_or_else(|| {
            SqlError::new(
                SqlState::UNDEFINED_OBJECT,
                format!("constraint \"{name}\" does not exist"),
            )
        })?;
        for table in tables {
            let key = table.shape.foreign_keys.iter().find(|key| key.name == name);
            match key.filter(|key| key.timing.is_deferrable()) {
                Some(key) => _ = found.insert(key.reference()),
                None if deferred => {
                    return Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("constraint \"{name}\" is not deferrable"),
                    ));
                }
                None => {}
            }
        }
    }
    Ok(found.into_iter().collect())
}
