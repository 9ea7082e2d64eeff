//! Materialized views: a local table with the rows that a query gave, and that query as a view
//! under the table's oid.
//!
//! REFRESH empties the table and fills it again, in one transaction. It truncates, for which
//! readers wait; with CONCURRENTLY it deletes row by row, and who reads meanwhile goes on with the
//! rows from before.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use satsuma_common::{Oid, SqlError, SqlResult, SqlState, TableId};
use satsuma_proto::worker::{LockWait, TableLockMode};
use satsuma_sql::bind;
use satsuma_sql::bound::{BoundDelete, BoundInsert, BoundOnConflict, BoundQuery};
use satsuma_sql::catalog_view::TableInfo;
use satsuma_sql::parse::Refresh;
use satsuma_sql::table::{KEY_COLUMN, ScanSource};
use sqlparser::ast;

use super::{Ddl, names, view};
use crate::catalog::{Command, IndexValue, RelationRef, State, Table, View, quote_identifier};
use crate::executor::modify::Modification;
use crate::session_api::Interrupt;

/// Refuses queries that only this statement, or this session, could run.
pub(super) fn check_query(ddl: &mut Ddl<'_>, query: &ast::Query) -> SqlResult<()> {
    if view::reads_temporary(ddl, query)? {
        let message = "materialized views must not use temporary tables or views";
        return Err(SqlError::unsupported(message));
    }
    Ok(())
}

/// Makes a table, which has the query's columns, a materialized view without rows.
pub(super) fn keep_query(ddl: &mut Ddl<'_>, table: TableId, query: &ast::Query) -> SqlResult<()> {
    let definition = view::text_to_keep(ddl, query)?;
    let state = ddl.state();
    let mut depends_on = view::relations(ddl, &state, query)?;
    depends_on.extend(view::sequences(&state, &ddl.snapshot.search_path, query));
    let Some(stored) = state.table(table) else {
        return Err(SqlError::internal("the new table is not there"));
    };
    let types = stored.shape.columns.iter().filter_map(|column| view::user_type(&column.ty));
    depends_on.extend(types);
    let view = View {
        oid: Oid(table.0),
        name: stored.shape.name.clone(),
        schema: stored.schema,
        owner: stored.owner,
        columns: Vec::new(),
        definition,
        search_path: ddl.snapshot.search_path.clone(),
        depends_on: depends_on.into_iter().collect(),
    };
    ddl.apply(Command::Materialize(view)).map(|_| ())
}

/// Inserts what a query gives; answers with the number of rows.
pub(super) async fn fill(ddl: &mut Ddl<'_>, table: TableId, query: BoundQuery) -> SqlResult<u64> {
    ddl.tell_workers().await?;
    ddl.next_step().await?;
    let info = ddl.state().table(table).map(|table| table.info().clone());
    let info = info.ok_or_else(|| SqlError::internal("the new table is not there"))?;
    let insert = BoundInsert {
        table: info,
        source: query.plan,
        on_conflict: BoundOnConflict::Fail,
        returning: None,
    };
    let cluster = ddl.cluster.clone();
    Ok(modification(ddl, &cluster).insert(&insert).await?.count)
}

fn modification<'a>(
    ddl: &'a mut Ddl<'_>,
    cluster: &'a crate::cluster::Cluster,
) -> Modification<'a> {
    Modification {
        executor: &cluster.executor,
        scope: &ddl.scope,
        txn: ddl.txn,
        commit: false,
        interrupt: Interrupt::default(),
        returning: false,
    }
}

pub async fn refresh(ddl: &mut Ddl<'_>, refresh: &Refresh) -> SqlResult<()> {
    let id = find(ddl, &refresh.name)?;
    let state = ddl.state();
    let Some(table) = state.table_arc(id) else { return Ok(()) };
    if refresh.concurrently {
        check_concurrent(&state, id, refresh.with_data)?;
    }
    // Two that refresh the same view take turns.
    let mode = match refresh.concurrently {
        true => TableLockMode::Exclusive,
        false => TableLockMode::AccessExclusive,
    };
    ddl.lock_table_in(&table, mode, LockWait::Wait).await?;
    let state = ddl.state();
    let (Some(table), Some(view)) = (state.table_arc(id), state.view(Oid(id.0))) else {
        return Err(names::no_relation(None, &table.shape.name));
    };
    let query = match refresh.with_data {
        true => Some(bind::in_declared_types(ddl.bind_view(view)?, &ddl.env)?),
        false => None,
    };
    empty(ddl, table.info(), refresh.concurrently).await?;
    if let Some(query) = query {
        match fill(ddl, id, query).await {
            Ok(_) => {}
            Err(error) if error.state() != SqlState::UNIQUE_VIOLATION => return Err(error),
            Err(error) if !refresh.concurrently => return Err(as_rebuilt(error)),
            Err(error) => return Err(equal_rows(ddl, view, &table).await.unwrap_or(error)),
        }
    }
    if state.is_populated(id) != Some(refresh.with_data) {
        ddl.apply(Command::SetPopulated { table: id, populated: refresh.with_data })?;
    }
    Ok(())
}

async fn empty(ddl: &mut Ddl<'_>, table: &Arc<TableInfo>, concurrently: bool) -> SqlResult<()> {
    let cluster = ddl.cluster.clone();
    if !concurrently {
        modification(ddl, &cluster).truncate(std::slice::from_ref(table)).await?;
        ddl.txn.truncated(std::iter::once(table.shape.table));
        return Ok(());
    }
    let key = Expr::Column(Column::new(Some("old"), KEY_COLUMN));
    let source = LogicalPlanBuilder::scan("old", ScanSource::table(table.clone()), None)
        .and_then(|scan| scan.project([key]))
        .and_then(LogicalPlanBuilder::build)
        .map_err(satsuma_sql::engine_error::to_sql)?;
    let delete = BoundDelete { table: table.clone(), source, located: None, returning: None };
    modification(ddl, &cluster).delete(&delete).await?;
    Ok(())
}

/// The materialized view that a statement of its owner's names.
fn find(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<TableId> {
    let (schema, relation) = names::split(name)?;
    let state = ddl.state();
    let path = &ddl.snapshot.search_path;
    let found = state
        .relation_by_name(path, schema.as_deref(), &relation)
        .ok_or_else(|| names::no_relation(schema.as_deref(), &relation))?;
    let RelationRef::Table(id) = found else {
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{relation}\" is not a table or materialized view"),
        ));
    };
    if let Some(table) = state.table(id) {
        ddl.require_owner(table.owner, state.kind(found), &relation)?;
    }
    if state.is_populated(id).is_none() {
        let message = format!("\"{relation}\" is not a materialized view");
        return Err(SqlError::unsupported(message));
    }
    Ok(id)
}

fn check_concurrent(state: &State, id: TableId, with_data: bool) -> SqlResult<()> {
    if state.is_populated(id) != Some(true) {
        return Err(SqlError::unsupported(
            "CONCURRENTLY cannot be used when the materialized view is not populated",
        ));
    }
    if !with_data {
        return Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            "CONCURRENTLY and WITH NO DATA options cannot be used together",
        ));
    }
    let tells_rows_apart = state.indexes_of(id).any(|index| {
        index.unique
            && index.predicate.is_none()
            && index.keys.iter().all(|key| matches!(key.value, IndexValue::Column(_)))
    });
    if tells_rows_apart {
        return Ok(());
    }
    let name = state.relation_name(RelationRef::Table(id)).map_or(String::new(), |(of, name)| {
        format!("{}.{}", quote_identifier(&of.name), quote_identifier(name))
    });
    Err(SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("cannot refresh materialized view \"{name}\" concurrently"),
    )
    .hint(
        "Create a unique index with no WHERE clause on one or more columns of the materialized \
         view.",
    ))
}

/// What a concurrent REFRESH says of rows that are equal in all columns: it could not tell which of
/// them is which. `None` where there are none.
async fn equal_rows(ddl: &mut Ddl<'_>, view: &View, table: &Table) -> Option<SqlError> {
    let columns: Vec<String> =
        table.shape.columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let known: Vec<String> = columns.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    let names = columns.join(", ");
    let twice = format!(
        "SELECT {names} FROM ({}) new ({names}) WHERE {} GROUP BY {names} HAVING count(*) > 1 \
         LIMIT 1",
        view.definition,
        known.join(" AND ")
    );
    let path = std::mem::replace(&mut ddl.snapshot.search_path, view.search_path.clone());
    let found = ddl.first_row(&twice).await;
    ddl.snapshot.search_path = path;
    let values = found.ok().flatten()?;
    let message = format!(
        "new data for materialized view \"{}\" contains duplicate rows without any null columns",
        view.name
    );
    let error = SqlError::new(SqlState::CARDINALITY_VIOLATION, message);
    Some(error.detail(format!("Row: ({})", values.join(","))))
}

/// A plain REFRESH builds the indexes anew, and tells of duplicates as CREATE INDEX does.
fn as_rebuilt(mut error: SqlError) -> SqlError {
    if error.state() == SqlState::UNIQUE_VIOLATION {
        let fields = error.fields_mut();
        if let Some(index) = fields.message.split('"').nth(1) {
            fields.message = format!("could not create unique index \"{index}\"");
        }
        if let Some(key) =
            fields.detail.as_deref().and_then(|it| it.strip_suffix(" already exists."))
        {
            fields.detail = Some(format!("{key} is duplicated."));
        }
    }
    error
}
