//! Constraints whose checks wait for the end of the transaction. The workers keep the checks;
//! which constraints wait is said here, and travels with every statement.

use futures::future::try_join_all;
use satsuma_common::table::{ConstraintModes, ConstraintRef, TableShape};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::TxnAction;

use super::Transaction;
use crate::cluster::Cluster;

impl Transaction {
    pub fn constraints(&self) -> &ConstraintModes {
        &self.constraints
    }

    /// Rows of the table are written.
    pub fn writes_to(&mut self, shape: &TableShape) {
        self.may_put_off |= has_deferrable(shape);
    }

    /// Whether checks may wait for the commit.
    pub fn may_put_off(&self) -> bool {
        self.may_put_off
    }

    /// SET CONSTRAINTS of some constraints, or of all. What has waited for those that are
    /// IMMEDIATE now is checked at once.
    pub async fn set_constraints(
        &mut self,
        cluster: &Cluster,
        only: Option<Vec<ConstraintRef>>,
        deferred: bool,
    ) -> SqlResult<()> {
        match &only {
            None => self.constraints.set_all(deferred),
            Some(only) => {
                for constraint in only {
                    self.constraints.set(constraint.clone(), deferred);
                }
            }
        }
        if deferred { Ok(()) } else { self.check_deferred(cluster, only).await }
    }

    /// Checks what waits for some constraints, or for all.
    pub async fn check_deferred(
        &mut self,
        cluster: &Cluster,
        only: Option<Vec<ConstraintRef>>,
    ) -> SqlResult<()> {
        if !self.writes {
            return Ok(());
        }
        let (_, statement) = self.next_statement(cluster).await?;
        self.tell_all(TxnAction::CheckDeferred { statement, only }).await
    }

    /// 55006 while checks of the table's rows wait.
    pub async fn refuse_pending(&self, shape: &TableShape, statement: &str) -> SqlResult<()> {
        if !self.writes || !has_deferrable(shape) {
            return Ok(());
        }
        let ask = TxnAction::PendingOn(shape.table);
        let id = self.known_id()?;
        let answers = self.participants.values().map(|worker| worker.transact(id, ask.clone()));
        match try_join_all(answers).await?.iter().any(|answer| answer.pending) {
            true => Err(SqlError::new(
                SqlState::OBJECT_IN_USE,
                format!(
                    "cannot {statement} \"{}\" because it has pending trigger events",
                    shape.name
                ),
            )),
            false => Ok(()),
        }
    }
}

fn has_deferrable(shape: &TableShape) -> bool {
    let mut keys = shape.foreign_keys.iter().chain(&shape.referenced_by);
    keys.any(|key| key.timing.is_deferrable())
}
