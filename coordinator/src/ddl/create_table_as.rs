//! CREATE TABLE AS, SELECT INTO and CREATE MATERIALIZED VIEW: a table with a query's columns and
//! rows.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::BoundQuery;
use satsuma_sql::parse::{CreateTableAs, Parsed, Statement};
use sqlparser::ast;

use super::create_table::{Draft, NewTable};
use super::{Ddl, materialized, names};
use crate::catalog::Command;

/// The statement as PostgreSQL calls it.
pub fn command(create: &CreateTableAs) -> &'static str {
    if create.materialized_view { "CREATE MATERIALIZED VIEW" } else { "CREATE TABLE AS" }
}

/// Answers with the command tag.
pub async fn create_table_as(ddl: &mut Ddl<'_>, create: &CreateTableAs) -> SqlResult<String> {
    let new = NewTable {
        name: &create.name,
        temporary: create.temporary,
        if_not_exists: create.if_not_exists,
        on_commit: create.on_commit,
    };
    let Some((schema, name)) = super::create_table::place_for(ddl, &new).await? else {
        return Ok(command(create).into());
    };
    if create.materialized_view {
        materialized::check_query(ddl, &create.query)?;
    }
    let query = bind_query(ddl, create)?;
    if query.columns.is_empty() {
        return Err(SqlError::unsupported(format!(
            "{} of a query without columns is not supported",
            command(create)
        )));
    }
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
    ddl.set_options(table, &create.options)?;
    if create.materialized_view {
        materialized::keep_query(ddl, table, &create.query)?;
    }
    if !create.with_data {
        return Ok(command(create).into());
    }
    let count = materialized::fill(ddl, table, query).await?;
    if create.materialized_view {
        ddl.apply(Command::SetPopulated { table, populated: true })?;
    }
    Ok(format!("SELECT {count}"))
}

fn bind_query(ddl: &Ddl<'_>, create: &CreateTableAs) -> SqlResult<BoundQuery> {
    let query = &create.query;
    if !query.locks.is_empty() {
        return Err(SqlError::unsupported(format!(
            "FOR UPDATE and FOR SHARE in {} are not supported",
            command(create)
        )));
    }
    let parsed = Parsed {
        statement: Statement::Sql(Box::new(ast::Statement::Query(query.clone()))),
        text: String::new(),
        offset: 0,
        source: std::sync::Arc::default(),
        long_names: Vec::new(),
    };
    let context = BindContext {
        catalog: &ddl.snapshot,
        env: &ddl.env,
        param_types: Some(ddl.params.types()),
        param_values: ddl.params.values(),
    };
    let query = bind::bind_query(&parsed, &context)?;
    let query = query.ok_or_else(|| {
        SqlError::unsupported(match create.materialized_view {
            true => "materialized views must not use data-modifying statements in WITH",
            false => "CREATE TABLE AS takes a query that only reads",
        })
    })?;
    let query = bind::in_declared_types(query, &ddl.env)?;
    ddl.params.query(query)
}

/// SELECT .. INTO as CREATE TABLE .. AS; `None` for other queries.
pub fn select_into(query: &ast::Query) -> Option<CreateTableAs> {
    let mut query = query.clone();
    let ast::SetExpr::Select(select) = query.body.as_mut() else { return None };
    let into = select.into.take()?;
    Some(CreateTableAs {
        materialized_view: false,
        temporary: into.temporary,
        if_not_exists: false,
        name: into.name,
        columns: Vec::new(),
        query: Box::new(query),
        with_data: true,
        on_commit: None,
        options: Vec::new(),
    })
}
