//! CREATE TABLE AS and SELECT INTO: a table with a query's columns and rows.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::{BoundInsert, BoundOnConflict, BoundQuery};
use satsuma_sql::parse::{CreateTableAs, Parsed, Statement};
use sqlparser::ast;

use super::create_table::{Draft, NewTable};
use super::{Ddl, names};
use crate::executor::modify::Modification;
use crate::session_api::Interrupt;

/// Answers with the command tag.
pub async fn create_table_as(ddl: &mut Ddl<'_>, create: &CreateTableAs) -> SqlResult<String> {
    let new = NewTable {
        name: &create.name,
        temporary: create.temporary,
        if_not_exists: create.if_not_exists,
        on_commit: create.on_commit,
    };
    let Some((schema, name)) = super::create_table::place_for(ddl, &new).await? else {
        return Ok("CREATE TABLE AS".into());
    };
    let query = bind_query(ddl, &create.query)?;
    if create.columns.len() > query.columns.len() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "too many column names were specified"));
    }
    let mut draft = Draft::new(ddl, schema, name);
    for (position, column) in query.columns.iter().enumerate() {
        let name = create.columns.get(position).map_or(column.name.clone(), names::fold);
        // An untyped literal is text, as in PostgreSQL.
        let ty = match &column.ty {
            PgType::Unknown => PgType::Text,
            ty => ty.clone(),
        };
        draft.plain_column(name, ty)?;
    }
    let table = super::create_table::create_from(ddl, schema, draft, &new).await?;
    if !create.with_data {
        return Ok("CREATE TABLE AS".into());
    }
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
    let modification = Modification {
        executor: &cluster.executor,
        scope: &ddl.scope,
        txn: ddl.txn,
        commit: false,
        interrupt: Interrupt::default(),
        returning: false,
    };
    let modified = modification.insert(&insert).await?;
    Ok(format!("SELECT {}", modified.count))
}

fn bind_query(ddl: &Ddl<'_>, query: &ast::Query) -> SqlResult<BoundQuery> {
    let parsed = Parsed {
        statement: Statement::Sql(Box::new(ast::Statement::Query(Box::new(query.clone())))),
        text: String::new(),
        offset: 0,
        source: std::sync::Arc::default(),
    };
    let context = BindContext { catalog: &ddl.snapshot, env: &ddl.env, param_types: None };
    let query = bind::bind_query(&parsed, &context)?;
    let query = query
        .ok_or_else(|| SqlError::unsupported("CREATE TABLE AS takes a query that only reads"))?;
    bind::in_declared_types(query, &ddl.env)
}

/// SELECT .. INTO as CREATE TABLE .. AS; `None` for other queries.
pub fn select_into(query: &ast::Query) -> Option<CreateTableAs> {
    let mut query = query.clone();
    let ast::SetExpr::Select(select) = query.body.as_mut() else { return None };
    let into = select.into.take()?;
    Some(CreateTableAs {
        temporary: into.temporary,
        if_not_exists: false,
        name: into.name,
        columns: Vec::new(),
        query: Box::new(query),
        with_data: true,
        on_commit: None,
    })
}
