//! Statements that no transaction block may be around: what they do stays, whatever becomes of it.
//! Several statements of one query string are a block, too.

use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Command, Statement};
use sqlparser::ast;

use super::ClusterSession;
use crate::session_api::ExecuteOptions;

impl ClusterSession {
    pub(super) fn refuse_within_block(
        &self,
        statement: &Statement,
        options: &ExecuteOptions,
    ) -> SqlResult<()> {
        if !self.in_block() && !options.one_of_several {
            return Ok(());
        }
        match stands_alone(statement) {
            None => Ok(()),
            Some(command) => Err(SqlError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                format!("{command} cannot run inside a transaction block"),
            )),
        }
    }
}

/// What PostgreSQL calls a statement that runs in no block.
fn stands_alone(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Sql(statement) => match statement.as_ref() {
            ast::Statement::CreateIndex(create) if create.concurrently => {
                Some("CREATE INDEX CONCURRENTLY")
            }
            ast::Statement::Drop { object_type: ast::ObjectType::Database, .. } => {
                Some("DROP DATABASE")
            }
            _ => None,
        },
        Statement::Command(command) => match command.as_ref() {
            Command::Maintain { vacuum: true, .. } => Some("VACUUM"),
            Command::DropIndexConcurrently(_) => Some("DROP INDEX CONCURRENTLY"),
            Command::Configure(it) if it.database.is_none() => Some("ALTER SYSTEM"),
            Command::Discard { what: "all" } => Some("DISCARD ALL"),
            Command::Reorganise { alone, .. } => *alone,
            _ => None,
        },
        Statement::Copy(_) => None,
    }
}
