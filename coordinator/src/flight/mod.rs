//! The Arrow Flight SQL front end, on the coordinator's gRPC port.
//!
//! ```text
//! Handshake                      -> token of a session             sessions.rs
//! GetFlightInfo(query)           -> schema, and a ticket that holds the statement itself
//! DoGet(ticket)                  -> runs it, streams its rows       run.rs, edge.rs
//! GetFlightInfo(anything else)   -> runs it, keeps its result for the ticket    kept.rs
//! DoPut(update | prepared | ingest | COPY data)                     put.rs
//! DoAction(prepare, close, begin, end, cancel)                      actions.rs
//! GetFlightInfo/DoGet(catalogs, schemas, tables, ...)               metadata.rs
//! ```
//!
//! Tickets of queries are self-contained, so an ad-hoc query leaves nothing behind on the server.
//! Every other statement has run when GetFlightInfo answers: a driver's `execute` is that call, and
//! whether the result is ever fetched is up to the application. Errors
//! travel as [`status`] says. A client that sends [`REPORT_HEADER`] gets one more message after
//! the rows, whose `app_metadata` is a [`run::Report`] in JSON: our own shell's command tags and
//! notices.

mod actions;
mod connections;
mod edge;
mod kept;
mod metadata;
mod put;
mod run;
mod sessions;
pub mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionCancelQueryRequest,
    ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndTransactionRequest, CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys,
    CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
    CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt,
    SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, Ticket,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use prost::Message;
use satsuma_common::{SqlError, SqlResult, SqlState};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::Authenticator;
use crate::pgwire::Registry;
use crate::session_api::{Interrupt, SessionFactory};
pub use connections::Connections;
use kept::{Kept, ResultId};
pub use run::{COPY_COLUMN, Report, ReportNotice};
use run::{Started, Statement};
pub use sessions::{DATABASE_HEADER, basic_credentials};
use sessions::{Sessions, Taken};
use status::to_status;

/// Ask for a [`Report`] after the rows.
pub const REPORT_HEADER: &str = "satsuma-report";
/// Ask for every value as text, as PostgreSQL would print it under the session's settings.
pub const TEXT_HEADER: &str = "satsuma-text";
/// Largest message from a client.
const MESSAGE_LIMIT: usize = 64 << 20;
/// Statements that one server keeps prepared for its Flight clients: beyond, those of clients that
/// are gone are forgotten.
const MOST_PREPARED: usize = 10_000;

/// What the front end needs of the house.
pub struct FlightConfig {
    pub factory: Arc<dyn SessionFactory>,
    pub authenticator: Arc<Authenticator>,
    pub registry: Registry,
    pub permits: Arc<Semaphore>,
    pub superuser: String,
    pub database: String,
    pub connections: Connections,
    pub shutdown: CancellationToken,
}

/// The gRPC service.
pub fn service(config: FlightConfig) -> FlightServiceServer<impl FlightService> {
    let flight = Flight {
        sessions: Sessions::new(
            config.factory,
            config.authenticator,
            config.registry,
            config.permits,
            &config.superuser,
            &config.database,
            config.connections,
        ),
        database: config.database,
        shutdown: config.shutdown,
        running: Mutex::default(),
        prepared: Mutex::default(),
        kept: Kept::default(),
    };
    FlightServiceServer::new(flight).max_decoding_message_size(MESSAGE_LIMIT)
}

struct Flight {
    sessions: Arc<Sessions>,
    database: String,
    shutdown: CancellationToken,
    /// Interrupts of running queries by their ticket's id, for cancel actions.
    running: Mutex<BTreeMap<[u8; 16], Interrupt>>,
    prepared: Mutex<BTreeMap<Vec<u8>, PreparedEntry>>,
    /// Results of statements that ran before they were fetched.
    kept: Kept,
}

/// A prepared statement of a client. Planned anew when it runs: its session may differ.
#[derive(Clone)]
struct PreparedEntry {
    sql: String,
    within: Within,
    parameters: Option<RecordBatch>,
    /// Who prepared it.
    client: Option<SocketAddr>,
}

impl PreparedEntry {
    /// A run for its rows.
    fn query(self) -> SqlResult<Statement> {
        if self.parameters.as_ref().is_some_and(|batch| batch.num_rows() > 1) {
            return Err(SqlError::unsupported("a query takes one row of parameters"));
        }
        Ok(self.update())
    }

    /// A run for each row of parameters.
    fn update(self) -> Statement {
        Statement { parameters: self.parameters.into(), ..Statement::new(self.sql) }
    }

    fn statement(self, described: &Description) -> SqlResult<Statement> {
        if described.result.fields().is_empty() { Ok(self.update()) } else { self.query() }
    }
}

/// Where a prepared statement runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Within {
    /// In the caller's session.
    Session,
    Transaction(Vec<u8>),
    /// Its transaction was ended by the client. Drivers keep the statement and go on in their next
    /// transaction, which no call names: the one that is open on the caller's connection.
    NextTransaction,
}

/// What a statement's ticket holds.
#[derive(Serialize, Deserialize)]
enum QueryTicket {
    /// Everything that DoGet needs to run a query.
    Run { id: [u8; 16], sql: String, transaction: Vec<u8> },
    /// The statement has run.
    Fetch(ResultId),
}

/// What is known of a statement before it runs.
struct Description {
    /// Empty for a statement without rows.
    result: SchemaRef,
    parameters: SchemaRef,
    only_reads: bool,
}

type DoGetStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

impl Flight {
    async fn take<T>(&self, request: &Request<T>, transaction: &[u8]) -> SqlResult<Taken> {
        self.sessions.take(request.metadata(), request.remote_addr(), Some(transaction)).await
    }

    async fn describe<T>(
        &self,
        request: &Request<T>,
        sql: &str,
        transaction: &[u8],
    ) -> SqlResult<Description> {
        let mut taken = self.take(request, transaction).await?;
        let prepared = taken.session.prepare(sql, Some(&[])).await;
        let prepared = prepared.and_then(|prepared| {
            let only_reads = taken.session.only_reads(&prepared)?;
            Ok((prepared, only_reads))
        });
        let (prepared, only_reads) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                taken.session.fail().await;
                taken.session.end_batch().await?;
                return Err(error);
            }
        };
        taken.session.end_batch().await?;
        let result = match &prepared.columns {
            Some(columns) => edge::schema(columns, edge::Shape::Arrow),
            None => Arc::new(Schema::empty()),
        };
        let parameters = prepared
            .params
            .iter()
            .enumerate()
            .map(|(index, ty)| edge::field(&format!("${}", index + 1), ty))
            .collect::<Vec<_>>();
        Ok(Description { result, parameters: Arc::new(Schema::new(parameters)), only_reads })
    }

    /// Runs a statement and streams its rows.
    async fn stream_statement<T>(
        &self,
        request: &Request<T>,
        statement: Statement,
        transaction: &[u8],
        id: Option<[u8; 16]>,
    ) -> Result<Response<DoGetStream>, Status> {
        let wants_report = request.metadata().contains_key(REPORT_HEADER);
        let statement =
            Statement { as_text: request.metadata().contains_key(TEXT_HEADER), ..statement };
        let taken = self.take(request, transaction).await.map_err(|error| to_status(&error))?;
        let interrupt = Interrupt::new();
        if let Some(id) = id {
            self.remember(id, interrupt.clone());
        }
        let started = run::start(taken, statement, interrupt, self.shutdown.clone())
            .await
            .map_err(|error| to_status(&error))?;
        Ok(Response::new(rows_stream(started, wants_report)))
    }

    fn remember(&self, id: [u8; 16], interrupt: Interrupt) {
        let mut running = self.running.lock();
        // A statement that has ended holds no clone of its interrupt any more.
        running.retain(|_, interrupt| interrupt.is_shared());
        running.insert(id, interrupt);
    }

    /// Runs a statement to its end.
    async fn complete<T>(
        &self,
        request: &Request<T>,
        statement: Statement,
        transaction: &[u8],
    ) -> SqlResult<Report> {
        let taken = self.take(request, transaction).await?;
        let started = run::start(taken, statement, Interrupt::new(), self.shutdown.clone()).await?;
        started.finish().await
    }

    /// Runs a statement to its end and answers with the ticket of its result.
    async fn run_now(
        &self,
        request: Request<FlightDescriptor>,
        statement: Statement,
        transaction: &[u8],
    ) -> Result<Response<FlightInfo>, Status> {
        let as_text = request.metadata().contains_key(TEXT_HEADER);
        let statement = Statement { as_text, ..statement };
        let run = async {
            let taken = self.take(&request, transaction).await?;
            let interrupt = Interrupt::new();
            run::start(taken, statement, interrupt, self.shutdown.clone()).await?.collect().await
        };
        let finished = run.await.map_err(|error| to_status(&error))?;
        let (id, schema) = (rand::random(), finished.schema.clone());
        self.kept.put(id, finished);
        flight_info(request.into_inner(), &schema, QueryTicket::Fetch(id).into_sql()?)
    }

    /// The transaction that a prepared statement runs in; empty for none.
    async fn transaction_of<T>(
        &self,
        entry: &PreparedEntry,
        request: &Request<T>,
    ) -> SqlResult<Vec<u8>> {
        match &entry.within {
            Within::Session => Ok(Vec::new()),
            Within::Transaction(id) => Ok(id.clone()),
            Within::NextTransaction => {
                self.sessions.open_transaction(request.metadata(), request.remote_addr()).await
            }
        }
    }

    fn prepared_entry(&self, handle: &[u8]) -> SqlResult<PreparedEntry> {
        self.prepared.lock().get(handle).cloned().ok_or_else(|| {
            SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, "prepared statement does not exist")
        })
    }
}

impl QueryTicket {
    fn into_sql(self) -> Result<TicketStatementQuery, Status> {
        let handle =
            postcard::to_stdvec(&self).map_err(|error| Status::internal(error.to_string()))?;
        Ok(TicketStatementQuery { statement_handle: handle.into() })
    }
}

/// Rows as Flight messages, then the report if it is wanted.
fn rows_stream(started: Started, wants_report: bool) -> DoGetStream {
    let Started { schema, batches, report } = started;
    let batches = stream::unfold(batches, |mut batches| async {
        batches.recv().await.map(|batch| (batch, batches))
    })
    .map_err(|error| FlightError::Tonic(Box::new(to_status(&error))));
    let rows =
        FlightDataEncoderBuilder::new().with_schema(schema).build(batches).map_err(|error| {
            match error {
                FlightError::Tonic(status) => *status,
                other => Status::internal(other.to_string()),
            }
        });
    let last = stream::once(async move {
        let report = report.lock().take().filter(|_| wants_report);
        report
            .and_then(|report| serde_json::to_vec(&report).ok())
            .map(|json| Ok(FlightData { app_metadata: json.into(), ..FlightData::default() }))
    })
    .filter_map(|message| async { message });
    Box::pin(rows.chain(last))
}

/// A FlightInfo with one endpoint: here, by `ticket`.
fn flight_info(
    descriptor: FlightDescriptor,
    schema: &Schema,
    ticket: impl ProstMessageExt,
) -> Result<Response<FlightInfo>, Status> {
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| Status::internal(error.to_string()))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

fn one_batch(batch: RecordBatch) -> Response<DoGetStream> {
    let schema = batch.schema();
    let stream = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(stream::iter([Ok(batch)]))
        .map_err(|error| Status::internal(error.to_string()));
    Response::new(Box::pin(stream))
}

#[tonic::async_trait]
impl FlightSqlService for Flight {
    type FlightService = Flight;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<
        Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>,
        Status,
    > {
        let token = self
            .sessions
            .handshake(request.metadata(), request.remote_addr())
            .await
            .map_err(|error| to_status(&error))?;
        let answer =
            HandshakeResponse { protocol_version: 0, payload: token.clone().into_bytes().into() };
        let stream: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream::iter([Ok(answer)]));
        let mut response = Response::new(stream);
        if let Ok(value) = format!("Bearer {token}").parse() {
            response.metadata_mut().insert("authorization", value);
        }
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let transaction = query.transaction_id.unwrap_or_default().to_vec();
        let described = self
            .describe(&request, &query.query, &transaction)
            .await
            .map_err(|error| to_status(&error))?;
        if !described.only_reads {
            return self.run_now(request, Statement::new(query.query), &transaction).await;
        }
        let ticket = QueryTicket::Run { id: rand::random(), sql: query.query, transaction };
        flight_info(request.into_inner(), &described.result, ticket.into_sql()?)
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let ticket: QueryTicket = postcard::from_bytes(&ticket.statement_handle)
            .map_err(|_| Status::invalid_argument("malformed ticket"))?;
        match ticket {
            QueryTicket::Run { id, sql, transaction } => {
                let statement = Statement::new(sql);
                self.stream_statement(&request, statement, &transaction, Some(id)).await
            }
            QueryTicket::Fetch(id) => {
                let fetched = async {
                    self.sessions.check(request.metadata(), request.remote_addr()).await?;
                    self.kept.take(id)
                };
                let finished = fetched.await.map_err(|error| to_status(&error))?;
                let wants_report = request.metadata().contains_key(REPORT_HEADER);
                Ok(Response::new(rows_stream(finished.replay(), wants_report)))
            }
        }
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let entry = self
            .prepared_entry(&query.prepared_statement_handle)
            .map_err(|error| to_status(&error))?;
        let described = async {
            let transaction = self.transaction_of(&entry, &request).await?;
            let described = self.describe(&request, &entry.sql, &transaction).await?;
            Ok::<_, SqlError>((transaction, described))
        };
        let (transaction, described) = described.await.map_err(|error| to_status(&error))?;
        if described.only_reads {
            return flight_info(request.into_inner(), &described.result, query);
        }
        let statement = entry.statement(&described).map_err(|error| to_status(&error))?;
        self.run_now(request, statement, &transaction).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let entry = self
            .prepared_entry(&query.prepared_statement_handle)
            .map_err(|error| to_status(&error))?;
        let transaction =
            self.transaction_of(&entry, &request).await.map_err(|error| to_status(&error))?;
        let statement = entry.query().map_err(|error| to_status(&error))?;
        self.stream_statement(&request, statement, &transaction, None).await
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        flight_info(request.into_inner(), &schema, query)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        metadata::catalogs(self, &request, query).await.map(one_batch)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        flight_info(request.into_inner(), &schema, query)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        metadata::schemas(self, &request, query).await.map(one_batch)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        flight_info(request.into_inner(), &schema, query)
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        metadata::tables(self, &request, query).await.map(one_batch)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        flight_info(request.into_inner(), &schema, query)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        metadata::table_types(query).map(one_batch)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        flight_info(request.into_inner(), &metadata::primary_keys_schema(), query)
    }

    async fn do_get_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        metadata::primary_keys(self, &request, query).await.map(one_batch)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder(metadata::sql_info()?).schema();
        flight_info(request.into_inner(), &schema, query)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let builder = query.into_builder(metadata::sql_info()?);
        builder.build().map(one_batch).map_err(|error| Status::internal(error.to_string()))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder(metadata::type_info()?).schema();
        flight_info(request.into_inner(), &schema, query)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let builder = query.into_builder(metadata::type_info()?);
        builder.build().map(one_batch).map_err(|error| Status::internal(error.to_string()))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        put::update(self, command, request).await
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        put::ingest(self, command, request).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        put::bind(self, query, request).await
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        put::prepared_update(self, query, request).await
    }

    async fn do_put_error_callback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(Status::invalid_argument(error.to_string()))
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        actions::prepare(self, query, &request).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.prepared.lock().remove(query.prepared_statement_handle.as_ref());
        Ok(())
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        actions::begin(self, &request).await
    }

    async fn do_action_end_transaction(
        &self,
        query: ActionEndTransactionRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        actions::end(self, query, &request).await
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        _request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        actions::cancel(self, query)
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        actions::other(self, request).await
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
