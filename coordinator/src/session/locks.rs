//! LOCK TABLE, and the rows that FOR UPDATE and its relatives lock.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use satsuma_common::{SqlError, SqlResult};
use satsuma_proto::worker::{LockWait, TableLockMode};
use satsuma_sql::lock_rows::LockRows;
use satsuma_sql::parse::LockTarget;

use super::ClusterSession;
use crate::executor::Scope;
use crate::executor::lock_rows::{Locking, RowsAs};
use crate::session_api::ExecuteOptions;

fn table_mode(name: &str) -> SqlResult<TableLockMode> {
    Ok(match name {
        "ACCESS SHARE" => TableLockMode::AccessShare,
        "ROW SHARE" => TableLockMode::RowShare,
        "ROW EXCLUSIVE" => TableLockMode::RowExclusive,
        "SHARE UPDATE EXCLUSIVE" => TableLockMode::ShareUpdateExclusive,
        "SHARE" => TableLockMode::Share,
        "SHARE ROW EXCLUSIVE" => TableLockMode::ShareRowExclusive,
        "EXCLUSIVE" => TableLockMode::Exclusive,
        "ACCESS EXCLUSIVE" => TableLockMode::AccessExclusive,
        _ => return Err(SqlError::internal(format!("there is no lock mode {name}"))),
    })
}

impl ClusterSession {
    pub(super) async fn lock_tables(
        &mut self,
        target: &LockTarget,
        options: &ExecuteOptions,
    ) -> SqlResult<()> {
        let mode = table_mode(&target.mode)?;
        if !matches!(
            mode,
            TableLockMode::AccessShare | TableLockMode::RowShare | TableLockMode::RowExclusive
        ) {
            self.writable("LOCK TABLE")?;
        }
        let wait = if target.no_wait { LockWait::NoWait } else { LockWait::Wait };
        if target.no_wait {
            self.cluster.finishing.settled().await;
        }
        let mut ddl = self.ddl().await?;
        let lock = async {
            for name in &target.tables {
                let table = ddl.table(name)?;
                ddl.lock_table_in(&table, mode, wait).await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            () = options.interrupt.wait() => Err(options.interrupt.error()),
            locked = lock => locked,
        }
    }

    /// The plan with the rows locked that FOR UPDATE and its relatives in it ask for.
    pub(super) async fn with_rows_locked(
        &mut self,
        plan: &LogicalPlan,
        scope: &Arc<Scope>,
        rows_as: RowsAs,
    ) -> SqlResult<LogicalPlan> {
        if !LockRows::is_in(plan)? {
            return Ok(plan.clone());
        }
        self.writable("SELECT FOR UPDATE")?;
        if LockRows::is_impatient_in(plan)? {
            self.cluster.finishing.settled().await;
        }
        let executor = self.cluster.executor.clone();
        let txn = self
            .txn
            .as_mut()
            .ok_or_else(|| SqlError::internal("rows are locked without a transaction"))?;
        Locking { executor: &executor, scope, txn, rows_as }.resolve(plan.clone()).await
    }
}
