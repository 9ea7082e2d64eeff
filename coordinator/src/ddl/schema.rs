//! CREATE SCHEMA with elements: what is named without a schema is of the new one, which is first on
//! the search path meanwhile, and belongs to its owner.

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::parse::{Command, CreateSchema, Statement};

use super::{Ddl, Definition, names};

pub async fn create(ddl: &mut Ddl<'_>, create: &CreateSchema) -> SqlResult<()> {
    let name = names::create_schema(ddl, &create.name, false).await?;
    let state = ddl.state();
    let owner = state.schema_by_name(&name).map(|schema| schema.owner);
    let (path, user) = (ddl.snapshot.search_path.clone(), ddl.snapshot.user);
    ddl.snapshot.search_path.insert(0, name);
    ddl.snapshot.user = owner.unwrap_or(user);
    let done = elements(ddl, &create.elements).await;
    (ddl.snapshot.search_path, ddl.snapshot.user) = (path, user);
    look_up_as_set(ddl);
    done
}

/// What expressions know of names, as the search path is now.
fn look_up_as_set(ddl: &mut Ddl<'_>) {
    ddl.env.search_path = Arc::new(ddl.snapshot.search_path.clone());
    ddl.env.catalog = Arc::new(ddl.snapshot.clone());
}

async fn elements(ddl: &mut Ddl<'_>, elements: &[Statement]) -> SqlResult<()> {
    for element in elements {
        let definition = match element {
            Statement::Sql(statement) => Definition::Sql(statement),
            Statement::Command(command) => match command.as_ref() {
                Command::CreateTable(create) => Definition::CreateTable(create),
                Command::Grant(grant) => Definition::Grant(grant),
                _ => return Err(SqlError::internal("no element of a schema")),
            },
            Statement::Copy(_) => return Err(SqlError::internal("no element of a schema")),
        };
        look_up_as_set(ddl);
        super::execute(ddl, definition).await?;
    }
    Ok(())
}
