//! Changes rows: plans where the change runs, sends it there, and gathers what RETURNING wants.
//!
//! A change whose rows can be worked out where they are (one fragment over co-located tables)
//! travels as that fragment, once per shard group. Rows that come from elsewhere (VALUES, another
//! table) are worked out first and sent to the groups they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use futures::stream::{self, StreamExt};
use satsuma_common::{GroupId, NodeId, SqlError, SqlResult, TableId, Timestamp};
use satsuma_proto::worker::{
    Change, Fragment, FragmentMode, GroupRef, ModifyReply, ModifyRequest, OnConflict, RowSource,
    Worker,
};
use satsuma_sql::bound::{BoundDelete, BoundInsert, BoundOnConflict, BoundUpdate};
use satsuma_sql::catalog_view::{Distribution, TableInfo};
use satsuma_sql::codec;

use super::change_elsewhere::{Elsewhere, Verb};
use super::gate::{self, Gate};
use super::load::Loads;
use super::route;
use super::scope::Scope;
use super::{Executor, conform};
use crate::catalog::{Table, TableDistribution};
use crate::planner::{self, GroupSet};
use crate::session_api::Interrupt;
use crate::txn::Transaction;

/// Requests of one statement that are under way at once.
const CONCURRENT_REQUESTS: usize = 64;
/// Rows of an INSERT that are sent in one go.
const INSERT_ROWS: usize = 8192;

/// What a change did.
#[derive(Debug, Default)]
pub struct Modified {
    pub count: u64,
    /// The changed rows and extra columns, when asked for.
    pub returned: Vec<RecordBatch>,
    /// The one request was the whole transaction, and it is committed.
    pub committed: Option<Timestamp>,
}

/// One statement's change on its way.
pub struct Modification<'a> {
    pub executor: &'a Executor,
    pub scope: &'a Arc<Scope>,
    pub txn: &'a mut Transaction,
    /// Nothing follows in this transaction: a single request may commit with itself.
    pub commit: bool,
    /// Stops such a request, unless it is too late.
    pub interrupt: Interrupt,
    pub returning: bool,
}

/// A request and where it goes.
pub struct Addressed {
    node: NodeId,
    worker: Arc<dyn Worker>,
    request: ModifyRequest,
    /// Of several copies of a reference table, only the first one's answer counts.
    counts: bool,
}

impl Modification<'_> {
    /// Its RETURNING is evaluated when the rows are written, and takes them back where it fails.
    pub fn judged_later(self) -> Self {
        Self { commit: self.commit && !self.returning, ..self }
    }

    pub async fn insert(mut self, bound: &BoundInsert) -> SqlResult<Modified> {
        let table = self.table(&bound.table)?;
        let on_conflict = match &bound.on_conflict {
            BoundOnConflict::Fail => OnConflict::Fail,
            BoundOnConflict::DoNothing { arbiters } => {
                OnConflict::DoNothing { arbiters: arbiters.clone() }
            }
            BoundOnConflict::DoUpdate { arbiters, plan } => {
                let plan = self.executor.with_constants(plan.clone(), self.scope).await?;
                refuse_tables_elsewhere(&plan, &bound.table)?;
                OnConflict::DoUpdate { arbiters: arbiters.clone(), fragment: fragment(&plan)? }
            }
        };
        // Rows that are stored already may go straight to where they belong.
        let (_, mut rows) = match planner::scanned_tables(&bound.source)?.is_empty() {
            true => self.executor.run(bound.source.clone(), self.scope).await?,
            false => {
                let source = self.executor.prepare(bound.source.clone(), self.scope).await?;
                if let Some(done) = self.insert_in_place(&table, &source, &on_conflict).await? {
                    return Ok(done);
                }
                self.executor.run_prepared(source, self.scope).await?
            }
        };
        let schema = bound.table.shape.arrow_schema();
        let mut modified = Modified::default();
        let mut pending: Vec<RecordBatch> = Vec::new();
        let mut pending_rows = 0;
        let mut loads: Option<Loads> = None;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let batch = RecordBatch::try_new(nullable(&schema), batch.columns().to_vec())
                .map_err(satsuma_sql::engine_error::arrow_to_sql)?;
            if let Some(loads) = &mut loads {
                loads.send(batch).await?;
                continue;
            }
            pending_rows += batch.num_rows();
            pending.push(batch);
            if pending_rows >= INSERT_ROWS && !self.returning && on_conflict == OnConflict::Fail {
                // Many rows: the rest of them follow, without an answer to each batch.
                self.commit = false;
                let load = Loads::start(self.txn, table.clone(), self.scope).await?;
                let load = loads.insert(load);
                for batch in std::mem::take(&mut pending) {
                    load.send(batch).await?;
                }
                pending_rows = 0;
            } else if pending_rows >= INSERT_ROWS {
                let batches = std::mem::take(&mut pending);
                pending_rows = 0;
                self.commit = false;
                self.insert_batches(&table, batches, &on_conflict, &mut modified).await?;
            }
        }
        if pending_rows > 0 {
            self.insert_batches(&table, pending, &on_conflict, &mut modified).await?;
        }
        if let Some(loads) = loads {
            modified.count += loads.finish().await?;
        }
        Ok(modified)
    }

    /// Has each group insert what it computes from its own rows, if those belong to it.
    async fn insert_in_place(
        &mut self,
        table: &Table,
        source: &datafusion::logical_expr::LogicalPlan,
        on_conflict: &OnConflict,
    ) -> SqlResult<Option<Modified>> {
        let column = match table.distribution() {
            TableDistribution::Reference => return Ok(None),
            TableDistribution::Hash(column) => table.shape.position(column),
            _ => None,
        };
        let functions = self.executor.functions().as_ref();
        let rows = planner::single_fragment(source, self.scope.state.as_ref(), functions)?
            .filter(|rows| rows.colocation == table.colocation())
            .filter(|rows| column.is_none_or(|column| rows.columns.contains(&column)));
        let Some(rows) = rows else { return Ok(None) };
        self.scope.note_tenants(source)?;
        let tables = planner::scanned_tables(source)?;
        let fragment = fragment(source)?;
        let mut requests = Vec::new();
        for group in rows.groups.0 {
            let rows = RowSource::Fragment(fragment.clone());
            let change = Change::Insert { rows, on_conflict: on_conflict.clone() };
            requests.extend(self.address(table, group, change, &tables)?);
        }
        let mut modified = Modified::default();
        self.send(requests, &mut modified).await?;
        Ok(Some(modified))
    }

    async fn insert_batches(
        &mut self,
        table: &Table,
        batches: Vec<RecordBatch>,
        on_conflict: &OnConflict,
        modified: &mut Modified,
    ) -> SqlResult<()> {
        let mut by_group: BTreeMap<GroupId, Vec<RecordBatch>> = BTreeMap::new();
        for batch in batches {
            for (group, part) in route::by_group(&self.scope.state, table, batch)? {
                by_group.entry(group).or_default().push(part);
            }
        }
        let mut requests = Vec::new();
        for (group, batches) in by_group {
            let change = Change::Insert {
                rows: RowSource::Batches(batches),
                on_conflict: on_conflict.clone(),
            };
            requests.extend(self.address(table, group, change, &BTreeMap::new())?);
        }
        self.send(requests, modified).await
    }

    pub async fn update(mut self, bound: &BoundUpdate) -> SqlResult<Modified> {
        let table = self.table(&bound.table)?;
        let moves = match bound.table.distribution {
            Distribution::Hash(column) => Some(column).filter(|id| bound.assigned.contains(id)),
            _ => None,
        };
        if moves.is_none() {
            let change = |fragment| Change::Update { rows: RowSource::Fragment(fragment) };
            if let Some(done) = self.change_in_place(&table, &bound.source, change).await? {
                return Ok(done);
            }
        }
        let source = bound.located.as_ref().unwrap_or(&bound.source);
        let elsewhere = Elsewhere { table: &table, verb: Verb::Update, source, moves };
        self.change_elsewhere(&elsewhere).await
    }

    pub async fn delete(mut self, bound: &BoundDelete) -> SqlResult<Modified> {
        let table = self.table(&bound.table)?;
        let change = |fragment| Change::Delete { rows: RowSource::Fragment(fragment) };
        if let Some(done) = self.change_in_place(&table, &bound.source, change).await? {
            return Ok(done);
        }
        let source = bound.located.as_ref().unwrap_or(&bound.source);
        let elsewhere = Elsewhere { table: &table, verb: Verb::Delete, source, moves: None };
        self.change_elsewhere(&elsewhere).await
    }

    pub async fn truncate(mut self, tables: &[Arc<TableInfo>]) -> SqlResult<Modified> {
        // What belongs to it at the coordinator (sequences) commits with it, and after it.
        self.commit = false;
        let mut modified = Modified::default();
        let mut requests = Vec::new();
        for info in tables {
            let table = self.table(info)?;
            for shard in table.shards() {
                requests.extend(self.address(
                    &table,
                    shard.group,
                    Change::Truncate,
                    &BTreeMap::new(),
                )?);
            }
        }
        self.send(requests, &mut modified).await?;
        Ok(modified)
    }

    /// Runs the source where the table's rows are and changes them there; `None` when the source
    /// needs rows from elsewhere.
    async fn change_in_place(
        &mut self,
        table: &Table,
        source: &LogicalPlan,
        change: impl Fn(Fragment) -> Change,
    ) -> SqlResult<Option<Modified>> {
        let source = self.executor.prepare(source.clone(), self.scope).await?;
        if is_empty(&source) {
            return Ok(Some(Modified::default()));
        }
        let functions = self.executor.functions().as_ref();
        let groups = match table.distribution() {
            TableDistribution::Reference => {
                planner::is_replicated(&source, self.scope.state.as_ref(), functions)?
                    .then(|| GroupSet(table.shards().iter().map(|shard| shard.group).collect()))
            }
            _ => planner::single_fragment(&source, self.scope.state.as_ref(), functions)?
                .filter(|rows| rows.colocation == table.colocation())
                .map(|rows| rows.groups),
        };
        let Some(groups) = groups else { return Ok(None) };
        self.scope.note_tenants(&source)?;
        let tables = planner::scanned_tables(&source)?;
        let fragment = fragment(&source)?;
        let mut requests = Vec::new();
        for group in groups.0 {
            requests.extend(self.address(table, group, change(fragment.clone()), &tables)?);
        }
        let mut modified = Modified::default();
        self.send(requests, &mut modified).await?;
        Ok(Some(modified))
    }

    fn table(&self, info: &TableInfo) -> SqlResult<Arc<Table>> {
        self.scope
            .state
            .table_arc(info.shape.table)
            .ok_or_else(|| SqlError::internal(format!("table {} is gone", info.shape.table)))
    }

    /// The request for a group, once for each copy of its rows.
    pub(super) fn address(
        &self,
        table: &Table,
        group: GroupId,
        change: Change,
        tables: &BTreeMap<TableId, u64>,
    ) -> SqlResult<Vec<Addressed>> {
        let mut tables = tables.clone();
        tables.insert(table.id(), table.shape.version);
        let group_ref = self.scope.group_ref(self.scope.group(group)?, &tables)?;
        self.address_group(table, group, change, group_ref)
    }

    /// The same with the group's shards known.
    pub fn address_group(
        &self,
        table: &Table,
        group: GroupId,
        change: Change,
        group_ref: GroupRef,
    ) -> SqlResult<Vec<Addressed>> {
        let group = self.scope.group(group)?;
        let copies: Vec<NodeId> = group.finalized().collect();
        let commit = self.commit && copies.len() == 1;
        copies
            .into_iter()
            .enumerate()
            .map(|(index, node)| {
                let request = ModifyRequest {
                    context: self.scope.statement.clone(),
                    group: group_ref.clone(),
                    table: table.id(),
                    change: change.clone(),
                    returning: self.returning && index == 0,
                    commit,
                    in_turn: false,
                };
                let worker = self.scope.worker(node)?;
                Ok(Addressed { node, worker, request, counts: index == 0 })
            })
            .collect()
    }

    /// Sends all requests, those to first copies ahead of the others: two that change the same
    /// row of a reference table meet at its first copy, and do not wait for each other at two.
    pub async fn send(
        &mut self,
        mut requests: Vec<Addressed>,
        modified: &mut Modified,
    ) -> SqlResult<()> {
        if let [_, _, ..] = requests.as_slice() {
            requests.iter_mut().for_each(|addressed| addressed.request.commit = false);
        }
        if requests.iter().any(|addressed| addressed.request.commit) {
            self.interrupt.commits();
        }
        let written = requests.first().map(|addressed| addressed.request.table);
        if let Some(table) = written.and_then(|table| self.scope.state.table(table)) {
            self.txn.writes_to(&table.shape);
        }
        if self.take_turns(&mut requests).await? {
            for addressed in requests {
                self.send_all(vec![addressed], modified).await?;
            }
            return Ok(());
        }
        let (first, others): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|addressed| addressed.counts);
        self.send_all(first, modified).await?;
        self.send_all(others, modified).await
    }

    /// Waits until the requests may go, and says whether one after the other, in this order.
    async fn take_turns(&mut self, requests: &mut [Addressed]) -> SqlResult<bool> {
        let Some(table) = requests.first().map(|addressed| addressed.request.table) else {
            return Ok(false);
        };
        let groups: BTreeSet<GroupId> = requests.iter().map(Addressed::group).collect();
        let is_new = match requests.first().map(|addressed| &addressed.request.change) {
            // The tables are locked already.
            None | Some(Change::Truncate) => return Ok(false),
            Some(Change::Insert { on_conflict: OnConflict::Fail, .. }) => true,
            Some(_) => false,
        };
        match groups.len() {
            0 | 1 => return Ok(false),
            2..=gate::FEW => {
                for addressed in requests.iter_mut() {
                    addressed.request.in_turn = !is_new;
                }
                let state = &self.scope.state;
                requests.sort_by_key(|addressed| state.group(addressed.group()).map(gate::turn));
                return Ok(true);
            }
            _ => {}
        }
        let table = self.scope.state.table_arc(table);
        let table = table.ok_or_else(|| SqlError::internal("a table is gone"))?;
        let mut gate = Gate { scope: self.scope, txn: &mut *self.txn, table: &table };
        match is_new {
            true => gate.first(&groups).await?,
            false => gate.alone(&groups).await?,
        }
        Ok(false)
    }

    /// Waits for every answer, the failed ones too: an answer that comes after the abort would
    /// leave locks behind.
    async fn send_all(
        &mut self,
        requests: Vec<Addressed>,
        modified: &mut Modified,
    ) -> SqlResult<()> {
        // Who is not sent anything has no part in the transaction.
        for addressed in &requests {
            self.txn.touch(addressed.node, &addressed.worker);
        }
        let interrupt = &self.interrupt;
        let answers: Vec<(bool, SqlResult<ModifyReply>)> = stream::iter(requests)
            .map(|Addressed { worker, request, counts, .. }| async move {
                let reply = match request.commit {
                    true => worker.modify_unless(request, interrupt.token()).await,
                    false => worker.modify(request).await,
                };
                (counts, reply)
            })
            .buffered(CONCURRENT_REQUESTS)
            .collect()
            .await;
        for (counts, answer) in answers {
            let reply = answer?;
            if counts {
                modified.count += reply.count;
                modified.returned.extend(reply.returned);
            }
            modified.committed = modified.committed.max(reply.commit_ts);
        }
        Ok(())
    }
}

impl Addressed {
    fn group(&self) -> GroupId {
        self.request.group.group
    }
}

/// Whether the optimizer found that there is nothing to change.
fn is_empty(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(relation) => !relation.produce_one_row,
        LogicalPlan::Projection(node) => is_empty(&node.input),
        _ => false,
    }
}

/// What DO UPDATE reads for each row is read where the row is, which has one group of shards.
fn refuse_tables_elsewhere(plan: &LogicalPlan, target: &TableInfo) -> SqlResult<()> {
    let is_whole = !matches!(target.distribution, Distribution::Hash(_));
    let scanned = planner::scanned_tables(plan)?;
    if scanned.keys().all(|table| is_whole && *table == target.shape.table) {
        return Ok(());
    }
    Err(SqlError::unsupported(
        "correlated subqueries, EXISTS and IN (SELECT ..) in ON CONFLICT DO UPDATE are not \
         supported over other tables or other shards",
    )
    .hint("Change the rows that are there in an UPDATE."))
}

fn fragment(plan: &datafusion::logical_expr::LogicalPlan) -> SqlResult<Fragment> {
    Ok(Fragment { plan: codec::encode(plan)?, mode: FragmentMode::Rows, constants: Vec::new() })
}

/// The schema with every column nullable: NOT NULL is checked where rows are stored, so that the
/// error can name the row.
pub fn nullable(
    schema: &datafusion::arrow::datatypes::SchemaRef,
) -> datafusion::arrow::datatypes::SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    Arc::new(datafusion::arrow::datatypes::Schema::new(fields))
}

/// Batches of changed rows under the schema of RETURNING's input.
pub fn returned_rows(
    batches: Vec<RecordBatch>,
    schema: &datafusion::arrow::datatypes::SchemaRef,
) -> SqlResult<Vec<RecordBatch>> {
    batches.into_iter().map(|batch| conform(batch, schema)).collect()
}
