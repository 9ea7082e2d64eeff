//! sqllogictest over the PostgreSQL protocol, with tokio-postgres.
//!
//! Every column is compared as text, NULL prints as `NULL` and an empty string as `(empty)`.
//! Errors print as `SQLSTATE: message`, so that `statement error 23505` asks for a code.

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cluster::Address;

pub struct Database {
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{code}: {message}")]
    Statement { code: String, message: String },
    #[error("connection: {0}")]
    Connection(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::Statement {
                code: db.code().code().to_owned(),
                message: db.message().to_owned(),
            },
            None => Self::Connection(error),
        }
    }
}

impl Database {
    pub async fn connect(address: Address) -> Result<Self, Error> {
        Ok(Self { client: address.connect().await? })
    }
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let mut columns = None;
        let mut rows = Vec::new();
        let mut affected = 0;
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(description) => {
                    columns = Some(description.len());
                }
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|at| printed(row.get(at))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => affected = count,
                _ => {}
            }
        }
        Ok(match columns {
            Some(columns) => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            None => DBOutput::StatementComplete(affected),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "satsuma"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn printed(value: Option<&str>) -> String {
    match value {
        None => "NULL".into(),
        Some("") => "(empty)".into(),
        Some(text) => text.into(),
    }
}
