//! Runs what is below `FOR UPDATE`, locks the rows in their order, and puts those that it got in
//! the plan's place of the node.
//!
//! A row that was changed after the statement's snapshot ends the attempt; the session runs the
//! statement again on a new snapshot, with the locks that it has by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{
    Expr, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, SkipType, lit,
};
use futures::future::{BoxFuture, try_join_all};
use futures::stream::StreamExt;
use satsuma_common::{GroupId, NodeId, SqlError, SqlResult};
use satsuma_proto::worker::{LockRequest, LockTarget, LockWait, RowLockMode, Worker};
use satsuma_sql::bound::LockStrength;
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};
use satsuma_sql::lock_rows::{self, LockRows, LockedTable};

use super::{Executor, Scope, conform, gate, route};
use crate::catalog::Table;
use crate::executor::modify::nullable;
use crate::txn::{Isolation, Transaction};

/// Rows that are offered to a worker at once where some may be passed over.
const CANDIDATES: usize = 128;

/// How locked rows stand in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsAs {
    /// A table in memory, which only this coordinator reads.
    Table,
    /// Literals, which can travel to where the rest of the plan runs.
    Values,
}

/// The locking of one statement.
pub struct Locking<'a> {
    pub executor: &'a Executor,
    pub scope: &'a Arc<Scope>,
    pub txn: &'a mut Transaction,
    pub rows_as: RowsAs,
}

impl Locking<'_> {
    /// The plan without nodes that lock: their rows are locked and in it.
    pub fn resolve(&mut self, plan: LogicalPlan) -> BoxFuture<'_, SqlResult<LogicalPlan>> {
        Box::pin(async move {
            let mut locked: HashMap<LockRows, Vec<RecordBatch>> = HashMap::new();
            for (node, limit) in outermost(&plan)? {
                if locked.contains_key(&node) {
                    continue;
                }
                let input = self.resolve(node.input.as_ref().clone()).await?;
                let rows = self.lock(&node, input, limit).await?;
                locked.insert(node, rows);
            }
            if locked.is_empty() {
                return Ok(plan);
            }
            let rows_as = self.rows_as;
            plan.transform_down_with_subqueries(|node| {
                let Some(lock) = LockRows::of(&node) else { return Ok(Transformed::no(node)) };
                let rows = locked.get(lock).map(Vec::as_slice).unwrap_or_default();
                let schema = node.schema();
                let replaced = match rows_as {
                    RowsAs::Table => as_table(schema, rows),
                    RowsAs::Values => as_values(schema, rows),
                };
                let replaced = replaced.map_err(satsuma_sql::engine_error::from_sql)?;
                Ok(Transformed::new(replaced, true, TreeNodeRecursion::Jump))
            })
            .map(|transformed| transformed.data)
            .map_err(to_sql)
        })
    }

    /// The rows of `input` that are locked now, at most `limit` of them.
    async fn lock(
        &mut self,
        node: &LockRows,
        input: LogicalPlan,
        limit: Option<usize>,
    ) -> SqlResult<Vec<RecordBatch>> {
        let Some(limit) = limit else {
            if matches!(node.input.as_ref(), LogicalPlan::Sort(_)) {
                return Ok(self.lock_in_order(node, input, None).await?.0);
            }
            let (schema, mut rows) = self.executor.run(input, self.scope).await?;
            let mut batches = Vec::new();
            while let Some(batch) = rows.next().await {
                batches.push(batch?);
            }
            let all = concat_batches(&schema, &batches).map_err(arrow_to_sql)?;
            let survivors = self.lock_batch(node, &all, Order::Free, None).await?;
            return Ok(vec![filter_record_batch(&all, &survivors).map_err(arrow_to_sql)?]);
        };
        // Workers send no more rows than are likely to be needed. When too many of them are taken,
        // all are looked at; those that are locked by now are had at once.
        let first = limit.saturating_mul(2).saturating_add(CANDIDATES);
        let some = LogicalPlan::Limit(Limit {
            skip: None,
            fetch: Some(Box::new(lit(i64::try_from(first).unwrap_or(i64::MAX)))),
            input: Arc::new(input.clone()),
        });
        let (kept, read) = self.lock_in_order(node, some, Some(limit)).await?;
        let had: usize = kept.iter().map(RecordBatch::num_rows).sum();
        if had >= limit || read < first {
            return Ok(kept);
        }
        Ok(self.lock_in_order(node, input, Some(limit)).await?.0)
    }

    /// The rows of `input` that are locked now, in their order, at most `limit` of them; and how
    /// many were looked at.
    async fn lock_in_order(
        &mut self,
        node: &LockRows,
        input: LogicalPlan,
        limit: Option<usize>,
    ) -> SqlResult<(Vec<RecordBatch>, usize)> {
        let (_, mut rows) = self.executor.run(input, self.scope).await?;
        let (mut kept, mut read) = (Vec::new(), 0);
        let mut missing = limit;
        let may_skip = node.tables.iter().any(|t| t.wait == lock_rows::LockWait::SkipLocked);
        while missing != Some(0)
            && let Some(batch) = rows.next().await
        {
            let batch = batch?;
            let mut from = 0;
            while from < batch.num_rows() && missing != Some(0) {
                let wanted = missing.unwrap_or(usize::MAX);
                let ahead = if may_skip { wanted.max(CANDIDATES) } else { wanted };
                // Of several tables each must be had: no row is offered in vain.
                let ahead = if node.tables.len() > 1 { wanted } else { ahead };
                let count = ahead.min(batch.num_rows() - from);
                let offered = batch.slice(from, count);
                from += count;
                read += count;
                let survivors = self.lock_batch(node, &offered, Order::Given, missing).await?;
                let part = filter_record_batch(&offered, &survivors).map_err(arrow_to_sql)?;
                missing = missing.map(|missing| missing.saturating_sub(part.num_rows()));
                kept.push(part);
            }
        }
        Ok((kept, read))
    }

    /// Which rows of the batch are locked now, at most `limit`.
    async fn lock_batch(
        &mut self,
        node: &LockRows,
        batch: &RecordBatch,
        order: Order,
        limit: Option<usize>,
    ) -> SqlResult<BooleanArray> {
        let mut survivors = vec![true; batch.num_rows()];
        for table in &node.tables {
            let runs = self.runs(node, table, batch, &survivors, order)?;
            let mut left = limit;
            survivors.iter_mut().for_each(|survives| *survives = false);
            let in_turn = runs.len() > 1
                && table.wait == lock_rows::LockWait::Wait
                && table.strength != LockStrength::KeyShare;
            for run in runs {
                if left == Some(0) {
                    break;
                }
                let locked = self.lock_run(table, &run, in_turn, left).await?;
                for (row, key) in &run.rows {
                    if left != Some(0) && locked.contains(key) {
                        survivors[*row] = true;
                        left = left.map(|left| left - 1);
                    }
                }
            }
        }
        Ok(BooleanArray::from(survivors))
    }

    /// The rows that survive so far, cut into runs that one worker can lock in one go.
    fn runs(
        &self,
        node: &LockRows,
        table: &LockedTable,
        batch: &RecordBatch,
        survivors: &[bool],
        order: Order,
    ) -> SqlResult<Vec<Run>> {
        let stored = self.table(table)?;
        let column = |column: &Column| {
            let at = node.input.schema().maybe_index_of_column(column);
            at.and_then(|at| batch.columns().get(at)).ok_or_else(|| {
                SqlError::internal("the rows to lock lack a column that was asked for")
            })
        };
        let keys = column(&table.key)?;
        let keys = keys
            .as_binary_opt::<i32>()
            .ok_or_else(|| SqlError::internal("the keys of the rows to lock are no keys"))?;
        let groups = match &table.distribution {
            Some(distribution) => {
                route::groups_of(&self.scope.state, &stored, column(distribution)?.as_ref())?
            }
            None => {
                let group = stored.shards().first().map(|shard| shard.group);
                let group = group.ok_or_else(|| SqlError::internal("a table without shards"))?;
                vec![group; batch.num_rows()]
            }
        };
        let mut runs: Vec<Run> = Vec::new();
        let rows = (0..batch.num_rows()).filter(|row| survivors[*row] && keys.is_valid(*row));
        match order {
            Order::Given => {
                for row in rows {
                    let entry = (row, keys.value(row).to_vec());
                    match runs.last_mut() {
                        Some(run) if run.group == groups[row] => run.rows.push(entry),
                        _ => runs.push(Run { group: groups[row], rows: vec![entry] }),
                    }
                }
            }
            Order::Free => {
                let mut by_group: BTreeMap<GroupId, Vec<(usize, Vec<u8>)>> = BTreeMap::new();
                for row in rows {
                    let entry = (row, keys.value(row).to_vec());
                    by_group.entry(groups[row]).or_default().push(entry);
                }
                for (group, mut rows) in by_group {
                    rows.sort_by(|a, b| a.1.cmp(&b.1));
                    runs.push(Run { group, rows });
                }
                let state = &self.scope.state;
                runs.sort_by_key(|run| state.group(run.group).map(gate::turn));
            }
        }
        Ok(runs)
    }

    fn table(&self, table: &LockedTable) -> SqlResult<Arc<Table>> {
        self.scope
            .state
            .table_arc(table.table)
            .ok_or_else(|| SqlError::internal(format!("table {} is gone", table.table)))
    }

    /// Locks rows at every copy of their group, the first copy before the others: whoever has a
    /// row there is not kept waiting at another.
    async fn lock_run(
        &mut self,
        table: &LockedTable,
        run: &Run,
        in_turn: bool,
        limit: Option<usize>,
    ) -> SqlResult<BTreeSet<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(run.rows.len());
        let mut seen = BTreeSet::new();
        for (_, key) in &run.rows {
            if seen.insert(key) {
                keys.push(key.clone());
            }
        }
        let stored = self.table(table)?;
        let group = self.scope.group(run.group)?;
        let tables = BTreeMap::from([(stored.id(), stored.shape.version)]);
        let group_ref = self.scope.group_ref(group, &tables)?;
        let copies: Vec<NodeId> = group.finalized().collect();
        let skip_deleted = self.txn.isolation == Isolation::ReadCommitted;
        let request = |keys: Vec<Vec<u8>>, wait, limit: Option<usize>| LockRequest {
            context: self.scope.statement.clone(),
            group: group_ref.clone(),
            table: stored.id(),
            target: LockTarget::Rows(keys, mode(table.strength)),
            wait,
            limit: limit.and_then(|limit| u32::try_from(limit).ok()),
            skip_deleted,
            in_turn,
        };
        let wait = match table.wait {
            lock_rows::LockWait::Wait => LockWait::Wait,
            lock_rows::LockWait::SkipLocked => LockWait::SkipLocked,
            lock_rows::LockWait::NoWait => LockWait::NoWait,
        };
        let mut workers: Vec<Arc<dyn Worker>> = Vec::with_capacity(copies.len());
        for node in &copies {
            let worker = self.scope.worker(*node)?;
            self.txn.touch_to_lock(*node, &worker);
            workers.push(worker);
        }
        let Some((first, others)) = workers.split_first() else {
            return Err(SqlError::internal(format!("group {} has no copy", run.group)));
        };
        let locked = first.lock(request(keys, wait, limit)).await?;
        if !others.is_empty() && !locked.is_empty() {
            // At another copy they may wait for a foreign key's lock, which is short.
            let rest = others
                .iter()
                .map(|worker| worker.lock(request(locked.clone(), LockWait::Wait, None)));
            try_join_all(rest).await?;
        }
        Ok(locked.into_iter().collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// As the query orders its rows.
    Given,
    /// In the order of [`gate::turn`] and by key, so that two that lock the same rows do it in the
    /// same order.
    Free,
}

/// Rows of one group, in the order in which they are to be locked.
struct Run {
    group: GroupId,
    rows: Vec<(usize, Vec<u8>)>,
}

fn mode(strength: LockStrength) -> RowLockMode {
    match strength {
        LockStrength::KeyShare => RowLockMode::KeyShare,
        LockStrength::Share => RowLockMode::Share,
        LockStrength::NoKeyUpdate => RowLockMode::NoKeyUpdate,
        LockStrength::Update => RowLockMode::Update,
    }
}

/// The nodes that lock and are below no other one, each with the number of rows that a LIMIT
/// right above it wants.
fn outermost(plan: &LogicalPlan) -> SqlResult<Vec<(LockRows, Option<usize>)>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(lock) = LockRows::of(node) {
            found.push((lock.clone(), None));
            return Ok(TreeNodeRecursion::Jump);
        }
        if let LogicalPlan::Limit(limit) = node
            && let Some(lock) = LockRows::of(&limit.input)
        {
            let wanted = match (limit.get_skip_type()?, limit.get_fetch_type()?) {
                (SkipType::Literal(skip), FetchType::Literal(Some(fetch))) => {
                    Some(skip.saturating_add(fetch))
                }
                _ => None,
            };
            found.push((lock.clone(), wanted));
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    Ok(found)
}

/// A scan of the rows, under the names that the plan above knows them by.
fn as_table(schema: &DFSchemaRef, rows: &[RecordBatch]) -> SqlResult<LogicalPlan> {
    let arrow = nullable(schema.inner());
    let rows: Vec<RecordBatch> =
        rows.iter().map(|batch| conform(batch.clone(), &arrow)).collect::<SqlResult<_>>()?;
    let table = MemTable::try_new(arrow, vec![rows]).map_err(to_sql)?;
    let scan = LogicalPlanBuilder::scan("locked", provider_as_source(Arc::new(table)), None);
    renamed(scan.and_then(LogicalPlanBuilder::build).map_err(to_sql)?, schema)
}

/// The rows as VALUES. No row is one that a false condition drops.
fn as_values(schema: &DFSchemaRef, rows: &[RecordBatch]) -> SqlResult<LogicalPlan> {
    let mut values: Vec<Vec<Expr>> = Vec::new();
    for batch in rows {
        for row in 0..batch.num_rows() {
            let literal = |column: &Arc<dyn Array>| ScalarValue::try_from_array(column, row);
            let row: Result<Vec<_>, _> = batch.columns().iter().map(literal).collect();
            values.push(row.map_err(to_sql)?.into_iter().map(lit).collect());
        }
    }
    let is_empty = values.is_empty();
    if is_empty {
        let null = |field: &Arc<datafusion::arrow::datatypes::Field>| {
            ScalarValue::try_from(field.data_type()).map(lit)
        };
        let nulls: Result<Vec<_>, _> = schema.fields().iter().map(null).collect();
        values.push(nulls.map_err(to_sql)?);
    }
    let mut builder = LogicalPlanBuilder::values(values).map_err(to_sql)?;
    if is_empty {
        builder = builder.filter(lit(false)).map_err(to_sql)?;
    }
    renamed(builder.build().map_err(to_sql)?, schema)
}

fn renamed(plan: LogicalPlan, schema: &DFSchemaRef) -> SqlResult<LogicalPlan> {
    let columns = plan.schema().columns();
    let exprs: Vec<Expr> = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| Expr::Column(column).alias(field.name()))
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(to_sql)
}

/// The plan with its locking nodes left out: for EXPLAIN.
pub fn without_locks(plan: LogicalPlan) -> SqlResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        Ok(match LockRows::of(&node) {
            Some(lock) => Transformed::yes(lock.input.as_ref().clone()),
            None => Transformed::no(node),
        })
    })
    .map(|transformed| transformed.data)
    .map_err(to_sql)
}
