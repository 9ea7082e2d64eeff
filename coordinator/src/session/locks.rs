//! LOCK TABLE, and the rows that FOR UPDATE and its relatives lock.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{LockWait, STALE_PLACEMENT, TableLockMode};
use satsuma_sql::bound::{Bound, LockStrength};
use satsuma_sql::catalog_view::TableInfo;
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
        let wait = if target.no_wait { LockWait::NoWait } else { LockWait::Wait };
        let mut ddl = self.ddl().await?;
        let lock = async {
            for name in &target.tables {
                let table = ddl.table(name)?;
                if ddl.state().is_populated(table.id()).is_some() {
                    return Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("cannot lock relation \"{}\"", table.shape.name),
                    )
                    .detail("This operation is not supported for materialized views."));
                }
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

    /// Keeps everybody out of the tables, which are in the order of their ids: shard by shard, as
    /// definitions do, so that two who do so never wait for each other.
    pub(super) async fn lock_whole(
        &mut self,
        tables: &[Arc<TableInfo>],
        scope: &Arc<Scope>,
        options: &ExecuteOptions,
    ) -> SqlResult<()> {
        let mut ddl = self.ddl_within(scope.clone())?;
        let lock = async {
            for info in tables {
                let table = ddl.scope.state.table_arc(info.shape.table);
                let gone = || SqlError::new(STALE_PLACEMENT, "a table is gone");
                let table = table.ok_or_else(gone)?;
                ddl.lock_table(&table).await?;
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
        let Some(strength) = LockRows::first_strength(plan)? else {
            return Ok(plan.clone());
        };
        self.writable(match strength {
            LockStrength::KeyShare => "SELECT FOR KEY SHARE",
            LockStrength::Share => "SELECT FOR SHARE",
            LockStrength::NoKeyUpdate => "SELECT FOR NO KEY UPDATE",
            LockStrength::Update => "SELECT FOR UPDATE",
        })?;
        let executor = self.cluster.executor.clone();
        let txn = self
            .txn
            .as_mut()
            .ok_or_else(|| SqlError::internal("rows are locked without a transaction"))?;
        Locking { executor: &executor, scope, txn, rows_as }.resolve(plan.clone()).await
    }

    /// The sources of an UPDATE or DELETE, with and without the column that tells where rows are.
    pub(super) async fn place_with_rows_locked(
        &mut self,
        source: &LogicalPlan,
        located: &Option<LogicalPlan>,
        scope: &Arc<Scope>,
    ) -> SqlResult<(LogicalPlan, Option<LogicalPlan>)> {
        match located {
            Some(located) if LockRows::is_in(located)? => {
                let located = self.with_rows_locked(located, scope, RowsAs::Values).await?;
                Ok((without_last(&located)?, Some(located)))
            }
            _ => {
                let source = self.with_rows_locked(source, scope, RowsAs::Values).await?;
                Ok((source, located.clone()))
            }
        }
    }

    /// A change with the rows locked that its queries ask for.
    pub(super) async fn change_with_rows_locked(
        &mut self,
        change: Bound,
        scope: &Arc<Scope>,
    ) -> SqlResult<Bound> {
        Ok(match change {
            Bound::Insert(mut insert) => {
                insert.source = self.with_rows_locked(&insert.source, scope, RowsAs::Table).await?;
                Bound::Insert(insert)
            }
            Bound::Update(mut update) => {
                (update.source, update.located) =
                    self.place_with_rows_locked(&update.source, &update.located, scope).await?;
                Bound::Update(update)
            }
            Bound::Delete(mut delete) => {
                (delete.source, delete.located) =
                    self.place_with_rows_locked(&delete.source, &delete.located, scope).await?;
                Bound::Delete(delete)
            }
            other => other,
        })
    }
}

fn without_last(plan: &LogicalPlan) -> SqlResult<LogicalPlan> {
    let mut columns = plan.schema().columns();
    columns.pop();
    let exprs = columns.into_iter().map(Expr::Column).collect();
    let projection = Projection::try_new(exprs, Arc::new(plan.clone()));
    projection.map(LogicalPlan::Projection).map_err(satsuma_sql::engine_error::to_sql)
}
