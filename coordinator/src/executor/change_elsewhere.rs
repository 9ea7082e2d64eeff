//! Changes of rows that cannot be worked out where they are.
//!
//! The source is run as a query; its rows (keys, new values) go from the coordinator to the groups
//! that hold them. The query and the changes have the same snapshot: a row that somebody else
//! changed in between is noticed by its worker, and the statement starts again.
//!
//! ```text
//! source rows ──▶ by the distribution column as it was ──▶ UPDATE or DELETE at its group
//!                   └ new value belongs to another group ──▶ MoveOut there, INSERT here
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::take_record_batch;
use datafusion::logical_expr::LogicalPlan;
use futures::stream::StreamExt;
use satsuma_common::table::ForeignKeyAction;
use satsuma_common::{ColumnId, GroupId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{Change, OnConflict, RowSource};
use satsuma_sql::engine_error::arrow_to_sql;

use super::modify::{Modification, Modified};
use super::route;
use crate::catalog::{Table, TableDistribution};

/// Rows of a change that are sent in one go.
const ROWS: usize = 8192;
/// Moved rows that wait until all others have left their places.
const WAITING_ROWS: usize = 200_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Update,
    Delete,
}

/// A change whose rows come to the coordinator first.
pub(super) struct Elsewhere<'a> {
    pub table: &'a Arc<Table>,
    pub verb: Verb,
    /// Yields the key, for an update the table's columns, then what RETURNING wants, then (in a
    /// distributed table) the distribution column as it was.
    pub source: &'a LogicalPlan,
    /// The distribution column, when the update gives it new values.
    pub moves: Option<ColumnId>,
}

impl Elsewhere<'_> {
    /// 0A000 for what cannot be done in this way.
    fn check(&self) -> SqlResult<()> {
        let table = &self.table.shape;
        if self.table.distribution() == TableDistribution::Reference && table.primary_key.is_empty()
        {
            return Err(SqlError::unsupported(format!(
                "reference table \"{}\" has no primary key by which its copies could be changed \
                 alike",
                table.name
            ))
            .hint("Change it by a condition on its own columns and other reference tables."));
        }
        let acts =
            |action| !matches!(action, ForeignKeyAction::NoAction | ForeignKeyAction::Restrict);
        let followed = table.referenced_by.iter().find(|key| acts(key.on_update));
        match followed.filter(|_| self.moves.is_some()) {
            Some(key) => Err(SqlError::unsupported(format!(
                "modifying the partition value of rows that foreign key \"{}\" follows is not \
                 supported",
                key.name
            ))
            .hint("Change the referencing rows first.")),
            None => Ok(()),
        }
    }
}

impl Modification<'_> {
    pub(super) async fn change_elsewhere(mut self, change: &Elsewhere<'_>) -> SqlResult<Modified> {
        change.check()?;
        self.commit = false;
        let (_, mut rows) = self.executor.run(change.source.clone(), self.scope).await?;
        let mut modified = Modified::default();
        let mut arriving = Arriving::default();
        let (mut pending, mut count) = (Vec::new(), 0);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            count += batch.num_rows();
            pending.push(batch);
            if count >= ROWS {
                count = 0;
                let batches = std::mem::take(&mut pending);
                self.send_changes(change, batches, &mut arriving, &mut modified).await?;
            }
            if arriving.rows >= WAITING_ROWS {
                self.send_arriving(change, &mut arriving, &mut modified).await?;
            }
        }
        self.send_changes(change, pending, &mut arriving, &mut modified).await?;
        self.send_arriving(change, &mut arriving, &mut modified).await?;
        Ok(modified)
    }

    async fn send_changes(
        &mut self,
        change: &Elsewhere<'_>,
        batches: Vec<RecordBatch>,
        arriving: &mut Arriving,
        modified: &mut Modified,
    ) -> SqlResult<()> {
        let (mut staying, mut leaving) = (ByGroup::new(), ByGroup::new());
        for batch in batches {
            change.sort_out(self, &batch, &mut staying, &mut leaving, arriving)?;
        }
        let mut requests = Vec::new();
        for (group, batches) in staying {
            let rows = RowSource::Batches(batches);
            let changed = match change.verb {
                Verb::Update => Change::Update { rows },
                Verb::Delete => Change::Delete { rows },
            };
            requests.extend(self.address(change.table, group, changed, &BTreeMap::new())?);
        }
        self.send(requests, modified).await?;
        let mut requests = Vec::new();
        let mut expected = 0;
        for (group, batches) in leaving {
            expected += batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
            let moved = Change::MoveOut { rows: RowSource::Batches(batches) };
            requests.extend(self.address(change.table, group, moved, &BTreeMap::new())?);
        }
        let mut left = Modified::default();
        self.send(requests, &mut left).await?;
        if left.count != expected {
            return Err(SqlError::new(
                SqlState::SERIALIZATION_FAILURE,
                "a row was changed twice by a statement that moves it",
            ));
        }
        Ok(())
    }

    async fn send_arriving(
        &mut self,
        change: &Elsewhere<'_>,
        arriving: &mut Arriving,
        modified: &mut Modified,
    ) -> SqlResult<()> {
        let mut requests = Vec::new();
        for (group, batches) in std::mem::take(arriving).batches {
            let rows = RowSource::Batches(batches);
            let insert = Change::Insert { rows, on_conflict: OnConflict::Fail };
            requests.extend(self.address(change.table, group, insert, &BTreeMap::new())?);
        }
        self.send(requests, modified).await
    }
}

type ByGroup = BTreeMap<GroupId, Vec<RecordBatch>>;

/// Rows that have left their groups and are to be inserted in others.
#[derive(Default)]
struct Arriving {
    batches: ByGroup,
    rows: usize,
}

impl Elsewhere<'_> {
    /// Sends each row of a batch of the source where it belongs.
    fn sort_out(
        &self,
        modification: &Modification<'_>,
        batch: &RecordBatch,
        staying: &mut ByGroup,
        leaving: &mut ByGroup,
        arriving: &mut Arriving,
    ) -> SqlResult<()> {
        let state = &modification.scope.state;
        let TableDistribution::Hash(column) = self.table.distribution() else {
            let group = self.table.shards().first().map(|shard| shard.group);
            let group = group.ok_or_else(|| SqlError::internal("a table without shards"))?;
            staying.entry(group).or_default().push(batch.clone());
            return Ok(());
        };
        let last = batch.num_columns().saturating_sub(1);
        let rows = batch.project(&(0..last).collect::<Vec<_>>()).map_err(arrow_to_sql)?;
        let old = route::groups(state, self.table, column, batch.column(last))?;
        let new = match self.moves {
            None => old.clone(),
            Some(_) => {
                let position = self.table.shape.position(column).unwrap_or_default();
                let values = batch.column(1 + position);
                let declared = self.table.shape.column(column);
                // NOT NULL is checked where the row is, so that the error can name it.
                let null = match declared.is_some_and(|column| column.not_null) {
                    true => values.logical_nulls(),
                    false => None,
                };
                match null {
                    None => route::groups(state, self.table, column, values)?,
                    Some(valid) => {
                        let kept = zip(
                            &BooleanArray::new(valid.into_inner(), None),
                            values,
                            batch.column(last),
                        )
                        .map_err(arrow_to_sql)?;
                        route::groups(state, self.table, column, &kept)?
                    }
                }
            }
        };
        let mut stay: BTreeMap<GroupId, Vec<u32>> = BTreeMap::new();
        let mut leave: BTreeMap<(GroupId, GroupId), Vec<u32>> = BTreeMap::new();
        for (row, (old, new)) in (0u32..).zip(old.into_iter().zip(new)) {
            if old == new {
                stay.entry(old).or_default().push(row);
            } else {
                leave.entry((old, new)).or_default().push(row);
            }
        }
        for (group, indices) in stay {
            staying.entry(group).or_default().push(take(&rows, indices)?);
        }
        for ((old, new), indices) in leave {
            let part = take(&rows, indices)?;
            arriving.rows += part.num_rows();
            let columns: Vec<usize> = (1..part.num_columns()).collect();
            let inserted = part.project(&columns).map_err(arrow_to_sql)?;
            leaving.entry(old).or_default().push(part);
            arriving.batches.entry(new).or_default().push(inserted);
        }
        Ok(())
    }
}

fn take(batch: &RecordBatch, rows: Vec<u32>) -> SqlResult<RecordBatch> {
    let rows = UInt32Array::from(rows);
    match rows.len() == batch.num_rows() {
        true => Ok(batch.clone()),
        false => take_record_batch(batch, &rows).map_err(arrow_to_sql),
    }
}
