//! A server, or DuckDB, as one that is asked queries and must not take for ever.

use std::time::Duration;

use satsuma_bench::tpch::Layout;
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::compare::Error;
use crate::compare::answers::Rows;
use crate::compare::duckdb::DuckDb;
use crate::compare::figures::{Contender, Run};
use crate::compare::servers::{Server, ServerKind};

/// What a server gets beyond the time limit to end the statement by itself.
const GRACE: Duration = Duration::from_secs(30);

pub struct Entrant<'a> {
    pub contender: Contender,
    pub engine: Engine<'a>,
}

pub enum Engine<'a> {
    Server {
        server: &'a Server,
        runtime: &'a Runtime,
        /// The session of the queries so far; a failure ends it.
        session: Option<Client>,
    },
    DuckDb(DuckDb),
}

impl<'a> Entrant<'a> {
    pub fn server(server: &'a Server, runtime: &'a Runtime, layout: Layout) -> Self {
        let layout = server.kind.is_satsuma().then(|| layout.name());
        Self {
            contender: Contender { server: server.kind, layout },
            engine: Engine::Server { server, runtime, session: None },
        }
    }

    pub fn duckdb(duckdb: DuckDb) -> Self {
        Self { contender: ServerKind::DuckDb.into(), engine: Engine::DuckDb(duckdb) }
    }

    pub fn ask(&mut self, question: &str, limit: Duration) -> Result<(Rows, Run), Error> {
        match &mut self.engine {
            Engine::DuckDb(duckdb) => duckdb.ask(question, Some(limit)),
            Engine::Server { server, runtime, session } => runtime.block_on(async {
                let client = match session.take() {
                    Some(client) => client,
                    None => connect(server, limit).await?,
                };
                let answer = ask(server, &client, question, limit).await?;
                *session = Some(client);
                Ok(answer)
            }),
        }
    }
}

async fn connect(server: &Server, limit: Duration) -> Result<Client, Error> {
    let client = server.connect().await?;
    let setting = format!("SET statement_timeout = '{}s'", limit.as_secs());
    client.batch_execute(&setting).await.map_err(|source| server.sql(source))?;
    Ok(client)
}

async fn ask(
    server: &Server,
    client: &Client,
    question: &str,
    limit: Duration,
) -> Result<(Rows, Run), Error> {
    let timed_out = Error::TimedOut { server: server.name() };
    match tokio::time::timeout(limit + GRACE, server.ask(client, question)).await {
        Ok(Err(Error::Sql { source, .. })) if source.code() == Some(&SqlState::QUERY_CANCELED) => {
            Err(timed_out)
        }
        Ok(answer) => answer,
        Err(_) => {
            // It may be too stuck to take this: the others go on all the same.
            let _ = tokio::time::timeout(GRACE, client.cancel_token().cancel_query(NoTls)).await;
            Err(timed_out)
        }
    }
}
