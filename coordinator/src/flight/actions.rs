//! DoAction: prepared statements, transactions, cancel.

use arrow_flight::sql::{
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndTransactionRequest, Any, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo, IpcMessage,
    SchemaAsIpc,
};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use futures::stream;
use prost::Message;
use satsuma_common::{SqlError, SqlResult, SqlState};
use tonic::{Request, Response, Status};

use super::run::{self, Statement};
use super::status::to_status;
use super::{Description, Flight, MOST_PREPARED, PreparedEntry, QueryTicket, Within};
use crate::session_api::{Interrupt, InterruptReason};

/// `ActionCancelQueryResult.CancelResult`.
const CANCELLING: i32 = 2;
const NOT_CANCELLABLE: i32 = 3;

pub async fn prepare(
    flight: &Flight,
    query: ActionCreatePreparedStatementRequest,
    request: &Request<Action>,
) -> Result<ActionCreatePreparedStatementResult, Status> {
    let transaction = query.transaction_id.unwrap_or_default().to_vec();
    let Description { result, parameters, .. } = flight
        .describe(request, &query.query, &transaction)
        .await
        .map_err(|error| to_status(&error))?;
    let handle = rand::random::<[u8; 16]>().to_vec();
    let within = match transaction {
        none if none.is_empty() => Within::Session,
        id => Within::Transaction(id),
    };
    let entry =
        PreparedEntry { sql: query.query, within, parameters: None, client: request.remote_addr() };
    insert(flight, handle.clone(), entry).map_err(|error| to_status(&error))?;
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: handle.into(),
        dataset_schema: if result.fields().is_empty() {
            bytes::Bytes::new()
        } else {
            encoded(&result)?
        },
        parameter_schema: encoded(&parameters)?,
    })
}

fn insert(flight: &Flight, handle: Vec<u8>, entry: PreparedEntry) -> SqlResult<()> {
    let mut prepared = flight.prepared.lock();
    if prepared.len() >= MOST_PREPARED {
        prepared
            .retain(|_, entry| entry.client.is_none_or(|client| flight.sessions.is_open(client)));
    }
    if prepared.len() >= MOST_PREPARED {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "too many prepared statements",
        )
        .hint("Close prepared statements that are no longer used."));
    }
    prepared.insert(handle, entry);
    Ok(())
}

fn encoded(schema: &Schema) -> Result<bytes::Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error| Status::internal(format!("schema: {error}")))?;
    Ok(message.0)
}

pub async fn begin(
    flight: &Flight,
    request: &Request<Action>,
) -> Result<ActionBeginTransactionResult, Status> {
    let (id, taken) = flight
        .sessions
        .begin(request.metadata(), request.remote_addr())
        .await
        .map_err(|error| to_status(&error))?;
    let result = command(flight, taken, "BEGIN").await;
    if let Err(error) = result {
        flight.sessions.end(&id);
        return Err(to_status(&error));
    }
    Ok(ActionBeginTransactionResult { transaction_id: id.into() })
}

pub async fn end(
    flight: &Flight,
    query: ActionEndTransactionRequest,
    request: &Request<Action>,
) -> Result<(), Status> {
    use arrow_flight::sql::EndTransaction;

    let sql = match EndTransaction::try_from(query.action) {
        Ok(EndTransaction::Commit) => "COMMIT",
        Ok(EndTransaction::Rollback) => "ROLLBACK",
        Ok(EndTransaction::Unspecified) | Err(_) => {
            return Err(Status::invalid_argument("end a transaction by commit or rollback"));
        }
    };
    let taken =
        flight.take(request, &query.transaction_id).await.map_err(|error| to_status(&error))?;
    let result = command(flight, taken, sql).await;
    flight.sessions.end(&query.transaction_id);
    let ended = Within::Transaction(query.transaction_id.to_vec());
    for entry in flight.prepared.lock().values_mut().filter(|entry| entry.within == ended) {
        entry.within = Within::NextTransaction;
    }
    match result {
        // COMMIT of a failed transaction rolls back: the client must hear of it.
        Ok(tag) if sql == "COMMIT" && tag == "ROLLBACK" => Err(to_status(&SqlError::new(
            SqlState::IN_FAILED_SQL_TRANSACTION,
            "the transaction had failed and was rolled back",
        ))),
        Ok(_) => Ok(()),
        Err(error) => Err(to_status(&error)),
    }
}

async fn command(flight: &Flight, taken: super::sessions::Taken, sql: &str) -> SqlResult<String> {
    let started =
        run::start(taken, Statement::new(sql), Interrupt::new(), flight.shutdown.clone()).await?;
    Ok(started.finish().await?.tag)
}

pub fn cancel(
    flight: &Flight,
    query: ActionCancelQueryRequest,
) -> Result<ActionCancelQueryResult, Status> {
    let info = FlightInfo::decode(query.info)
        .map_err(|_| Status::invalid_argument("malformed flight info"))?;
    let result = if cancel_flight(flight, &info) { CANCELLING } else { NOT_CANCELLABLE };
    Ok(ActionCancelQueryResult { result })
}

/// Whether a statement of that flight was running. The ticket's random id is the proof that the
/// caller may: nobody else has seen it.
fn cancel_flight(flight: &Flight, info: &FlightInfo) -> bool {
    let mut found = false;
    for endpoint in &info.endpoint {
        let Some(ticket) = &endpoint.ticket else { continue };
        let id = Any::decode(ticket.ticket.as_ref())
            .ok()
            .and_then(|any| any.unpack::<TicketStatementQuery>().ok().flatten())
            .and_then(|ticket| postcard::from_bytes::<QueryTicket>(&ticket.statement_handle).ok())
            .and_then(|ticket| match ticket {
                QueryTicket::Run { id, .. } => Some(id),
                QueryTicket::Fetch(_) => None,
            });
        if let Some(interrupt) = id.and_then(|id| flight.running.lock().remove(&id)) {
            interrupt.fire(InterruptReason::UserRequest);
            found = true;
        }
    }
    found
}

type ActionStream =
    std::pin::Pin<Box<dyn futures::Stream<Item = Result<arrow_flight::Result, Status>> + Send>>;

/// Actions of Flight itself.
pub async fn other(
    flight: &Flight,
    request: Request<Action>,
) -> Result<Response<ActionStream>, Status> {
    let body = match request.get_ref().r#type.as_str() {
        "CancelFlightInfo" => {
            let asked = CancelFlightInfoRequest::decode(request.get_ref().body.clone())
                .map_err(|_| Status::invalid_argument("malformed request"))?;
            let found = asked.info.is_some_and(|info| cancel_flight(flight, &info));
            let status =
                if found { CancelStatus::Cancelling } else { CancelStatus::NotCancellable };
            CancelFlightInfoResult { status: status as i32 }.encode_to_vec()
        }
        "CloseSession" => {
            let (headers, client) = (request.metadata(), request.remote_addr());
            let closed = flight.sessions.close(headers, client).await;
            closed.map_err(|error| to_status(&error))?;
            // CloseSessionResult { status: CLOSED }
            vec![0x08, 0x01]
        }
        other => {
            return Err(Status::unimplemented(format!("there is no action \"{other}\"")));
        }
    };
    let result = arrow_flight::Result { body: body.into() };
    Ok(Response::new(Box::pin(stream::iter([Ok(result)]))))
}
