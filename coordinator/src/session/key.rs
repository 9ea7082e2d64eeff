//! Runs statements that have a key path.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, row};
use satsuma_proto::worker::{
    Assignments, BatchStream, Change, GroupRef, KeyRead, KeyedRow, RowSource, STALE_PLACEMENT,
    TableShard, UNKNOWN_PROGRAM,
};

use super::ClusterSession;
use super::ready::Ready;
use crate::catalog::Table;
use crate::executor::Scope;
use crate::executor::modify::Modified;
use crate::keypath::{
    Asked, KeyAction, KeyStatement, KeyTable, Returned, SharedProgram, Target, Values,
};
use crate::planner::Tenant;
use crate::session_api::{ExecuteOptions, Execution, Rows};
use crate::txn::Isolation;

impl ClusterSession {
    /// One attempt at a statement. `params` has a value for each of `types`.
    pub(super) async fn run_key(
        &mut self,
        ready: &Arc<Ready>,
        statement: &KeyStatement,
        params: &[Datum],
        types: &[PgType],
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let scope = self.scope_of(ready).await?;
        let values = Values::new(params, types);
        let table = &statement.table;
        let stored = stored(&scope, table)?;
        match &statement.action {
            KeyAction::Select { key, output, columns } => {
                let row = match table.key(key, &values)? {
                    None => None,
                    Some((key, distribution)) => {
                        let target = table.target(&scope.state, &stored, &distribution)?;
                        note_tenant(&scope, table, &stored, target, &distribution);
                        drop(values);
                        read(&scope, table, &stored, target, key).await?
                    }
                };
                let stream: BatchStream = match row {
                    None => stream::empty().boxed(),
                    Some(row) => {
                        let batch = table.batch(&[row], output)?;
                        stream::once(std::future::ready(Ok(batch))).boxed()
                    }
                };
                Ok(Execution::Rows(Rows { columns: columns.clone(), stream, tag: "SELECT" }))
            }
            KeyAction::Insert { rows, asked, on_conflict, returning } => {
                let routed = if self.has_at_hand(asked) {
                    let note = |target, value: &Datum| {
                        note_tenant(&scope, table, &stored, target, value);
                    };
                    let routed = table.routed(rows, &values, &scope.state, &stored, &note)?;
                    drop(values);
                    routed
                } else {
                    drop(values);
                    self.route_on_cpu(ready, params, types, &scope, &stored).await?
                };
                let changes = routed
                    .into_iter()
                    .map(|(target, rows)| {
                        let rows = RowSource::Encoded(rows);
                        (target, Change::Insert { rows, on_conflict: on_conflict.clone() })
                    })
                    .collect();
                let modified =
                    self.change_keys(&scope, &stored, changes, returning, options).await?;
                self.keys_changed(modified, "INSERT 0", table, returning, options).await
            }
            KeyAction::Update { key, program, params, returning } => {
                let Some((key, distribution)) = table.key(key, &values)? else {
                    return self.no_key("UPDATE", table, returning, options).await;
                };
                let target = table.target(&scope.state, &stored, &distribution)?;
                note_tenant(&scope, table, &stored, target, &distribution);
                let params = params
                    .iter()
                    .map(|(cell, ty)| physical(&values.get(cell, ty)?, ty))
                    .collect::<SqlResult<Vec<_>>>()?;
                drop(values);
                let modified = self
                    .update_key(&scope, &stored, target, (key, program, params), returning, options)
                    .await?;
                self.keys_changed(modified, "UPDATE", table, returning, options).await
            }
            KeyAction::Delete { key, returning } => {
                let Some((key, distribution)) = table.key(key, &values)? else {
                    return self.no_key("DELETE", table, returning, options).await;
                };
                let target = table.target(&scope.state, &stored, &distribution)?;
                note_tenant(&scope, table, &stored, target, &distribution);
                drop(values);
                let row =
                    KeyedRow { key: key.into(), newest: self.reads_newest(), assignments: None };
                let change = Change::Delete { rows: RowSource::Keyed(row) };
                let changes = vec![(target, change)];
                let modified =
                    self.change_keys(&scope, &stored, changes, returning, options).await?;
                self.keys_changed(modified, "DELETE", table, returning, options).await
            }
        }
    }

    /// Whether what is asked can be had without waiting, or nearly always: another session may
    /// draw the values that were here.
    fn has_at_hand(&self, asked: &Asked) -> bool {
        match asked {
            Asked::Values(drawn) => {
                drawn.iter().all(|(sequence, count)| self.cluster.sequences.has(*sequence, *count))
            }
            Asked::Anything => false,
        }
    }

    /// The rows of an INSERT whose values may have to be waited for.
    async fn route_on_cpu(
        &self,
        ready: &Arc<Ready>,
        params: &[Datum],
        types: &[PgType],
        scope: &Arc<Scope>,
        stored: &Arc<Table>,
    ) -> SqlResult<Vec<(Target, Vec<Bytes>)>> {
        let (ready, params, types) = (ready.clone(), params.to_vec(), types.to_vec());
        let (scope, stored) = (scope.clone(), stored.clone());
        let work = move || match &ready.key {
            Some(KeyStatement { table, action: KeyAction::Insert { rows, .. } }) => {
                let note = |target, value: &Datum| {
                    note_tenant(&scope, table, &stored, target, value);
                };
                table.routed(rows, &Values::new(&params, &types), &scope.state, &stored, &note)
            }
            _ => Err(SqlError::internal("an insertion is something else")),
        };
        self.cluster.executor.on_cpu(work).await
    }

    /// Under READ COMMITTED a row that has changed meanwhile is taken as it is now.
    fn reads_newest(&self) -> bool {
        self.txn.as_ref().is_none_or(|txn| txn.isolation == Isolation::ReadCommitted)
    }

    async fn update_key(
        &mut self,
        scope: &Arc<Scope>,
        stored: &Table,
        target: Target,
        (key, program, params): (Vec<u8>, &SharedProgram, Vec<Option<Bytes>>),
        returning: &Option<Returned>,
        options: &ExecuteOptions,
    ) -> SqlResult<Modified> {
        let node = scope.group(target.group)?.primary;
        let key = Bytes::from(key);
        let newest = self.reads_newest();
        let change = |params| {
            let assignments =
                Assignments { id: program.id, program: program.to_send(node), params };
            let row = KeyedRow { key: key.clone(), newest, assignments: Some(assignments) };
            vec![(target, Change::Update { rows: RowSource::Keyed(row) })]
        };
        let first = change(params.clone());
        match self.change_keys(scope, stored, first, returning, options).await {
            Err(error) if error.state() == UNKNOWN_PROGRAM => {
                program.forgotten_by(node);
                let again = change(params);
                self.change_keys(scope, stored, again, returning, options).await
            }
            result => result,
        }
    }

    async fn change_keys(
        &mut self,
        scope: &Arc<Scope>,
        stored: &Table,
        changes: Vec<(Target, Change)>,
        returning: &Option<Returned>,
        options: &ExecuteOptions,
    ) -> SqlResult<Modified> {
        let mut modification = self.modification(scope, options, returning.is_some())?;
        let mut requests = Vec::with_capacity(changes.len());
        for (target, change) in changes {
            let group_ref = group_ref(scope, stored, target)?;
            requests.extend(modification.address_group(stored, target.group, change, group_ref)?);
        }
        let mut modified = Modified::default();
        modification.send(requests, &mut modified).await?;
        Ok(modified)
    }

    /// A key with a NULL in it has no row.
    async fn no_key(
        &mut self,
        tag: &'static str,
        table: &KeyTable,
        returning: &Option<Returned>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        self.writable("this statement")?;
        self.keys_changed(Modified::default(), tag, table, returning, options).await
    }

    async fn keys_changed(
        &mut self,
        modified: Modified,
        tag: &'static str,
        table: &KeyTable,
        returning: &Option<Returned>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let answer = match returning {
            None => Execution::Command(format!("{tag} {}", modified.count)),
            Some(Returned { output, columns }) => {
                let width = table.info.shape.columns.len();
                let batches = modified
                    .returned
                    .into_iter()
                    .map(|batch| match batch.num_columns() {
                        found if found >= width => {
                            batch.project(output).map_err(satsuma_sql::engine_error::arrow_to_sql)
                        }
                        _ => Err(SqlError::internal("a changed row came back without a column")),
                    })
                    .collect::<SqlResult<Vec<_>>>()?;
                let stream = stream::iter(batches.into_iter().map(Ok)).boxed();
                Execution::Rows(Rows { columns: columns.clone(), stream, tag })
            }
        };
        self.changed(modified.committed, options).await?;
        Ok(answer)
    }
}

/// The table as the statement's catalog has it; it must be as it was when the statement was bound.
fn stored(scope: &Scope, table: &KeyTable) -> SqlResult<Arc<Table>> {
    let shape = &table.info.shape;
    scope
        .state
        .table_arc(shape.table)
        .filter(|stored| {
            let info = stored.info();
            info.shape.version == shape.version && info.distribution == table.info.distribution
        })
        .ok_or_else(|| SqlError::new(STALE_PLACEMENT, format!("table {} changed", shape.table)))
        .and_then(|stored| scope.check_readable(&stored).map(|()| stored))
}

/// Notes whose row is asked for, where that is counted.
fn note_tenant(scope: &Scope, table: &KeyTable, stored: &Table, target: Target, value: &Datum) {
    let Some(position) = table.distribution() else { return };
    scope.note_tenant(|| Tenant {
        colocation: stored.colocation(),
        group: target.group,
        value: value.clone(),
        ty: table.info.shape.columns[position].ty.clone(),
    });
}

fn group_ref(scope: &Scope, stored: &Table, target: Target) -> SqlResult<GroupRef> {
    let group = scope.group(target.group)?;
    let shard =
        stored.shards().get(target.index).filter(|shard| shard.group == target.group).ok_or_else(
            || SqlError::internal(format!("{} has no shard in {}", stored.id(), group.id)),
        )?;
    let shard =
        TableShard { table: stored.id(), shard: shard.id, version: stored.info().shape.version };
    Ok(GroupRef { group: group.id, generation: group.generation, shards: vec![shard] })
}

async fn read(
    scope: &Scope,
    table: &KeyTable,
    stored: &Table,
    target: Target,
    key: Vec<u8>,
) -> SqlResult<Option<Bytes>> {
    let worker = scope.worker(scope.group(target.group)?.primary)?;
    let request = KeyRead {
        context: scope.statement.clone(),
        group: group_ref(scope, stored, target)?,
        table: table.info.shape.table,
        key: key.into(),
    };
    worker.read_key(request).await
}

fn physical(value: &Datum, ty: &PgType) -> SqlResult<Option<Bytes>> {
    let encoded =
        row::encode_value(value, ty).map_err(|error| SqlError::internal(error.to_string()))?;
    Ok(encoded.map(Bytes::from))
}
