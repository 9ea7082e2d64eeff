//! Results and loads: a stream each, at the pace of the slower end.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use satsuma_common::{GroupId, SqlError, SqlResult};
use tonic::Streaming;

use super::Caller;
use super::connection::{Connection, Link};
use crate::batches::{MAX_BATCH_BYTES, decode_batch, decode_schema, encode_batch, encode_schema};
use crate::convert::load_request;
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::pb::worker::worker_client::WorkerClient;
use crate::report::ReportWanted;
use crate::server::{QUERY_BYTES, message_limit};
use crate::worker::{BatchStream, InputStream, LoadRequest, QueryRequest};

pub(super) async fn query(
    connection: &Connection,
    caller: Caller,
    request: QueryRequest,
) -> SqlResult<BatchStream> {
    let report = request.report.clone();
    let request = pb::QueryRequest::from(request);
    if prost::Message::encoded_len(&request) > QUERY_BYTES {
        return Err(WireError::TooLarge { limit: QUERY_BYTES }.into());
    }
    let link = connection.link().await?;
    let mut rpc = WorkerClient::new(link.channel.clone())
        .max_decoding_message_size(message_limit(MAX_BATCH_BYTES))
        .max_encoding_message_size(message_limit(QUERY_BYTES));
    let parts = match rpc.query(caller.request(request)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(connection.explain_failure(&link, status).await),
    };
    Ok(batches(connection.clone(), link, parts, Hopes { failure: None, report }))
}

/// What may come of a query beside its rows.
struct Hopes {
    /// What the sender of the query's inputs knows better than the broken stream does.
    failure: Option<Failure>,
    report: Option<ReportWanted>,
}

/// The batches of a result.
fn batches(
    connection: Connection,
    link: Link,
    parts: Streaming<pb::Rows>,
    hopes: Hopes,
) -> BatchStream {
    let state = Some((connection, link, parts, hopes, None::<SchemaRef>));
    stream::unfold(state, |state| async move {
        let (connection, link, mut parts, hopes, mut schema) = state?;
        loop {
            let part = match parts.message().await {
                Ok(Some(part)) => part,
                Ok(None) => return None,
                Err(status) => {
                    let known = hopes.failure.as_ref().and_then(taken);
                    let error = match known {
                        Some(error) => error,
                        None => connection.explain_failure(&link, status).await,
                    };
                    return Some((Err(error), None));
                }
            };
            match row_part(&mut schema, part, hopes.report.as_ref()) {
                Ok(None) => {}
                Ok(Some(batch)) => {
                    return Some((Ok(batch), Some((connection, link, parts, hopes, schema))));
                }
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
    .boxed()
}

/// The first error of what is sent, if it failed.
type Failure = Arc<Mutex<Option<SqlError>>>;

fn taken(failure: &Failure) -> Option<SqlError> {
    failure.lock().unwrap_or_else(PoisonError::into_inner).take()
}

pub(super) async fn query_over(
    connection: &Connection,
    caller: Caller,
    request: QueryRequest,
    inputs: InputStream,
) -> SqlResult<BatchStream> {
    let report = request.report.clone();
    let request = pb::QueryRequest::from(request);
    if prost::Message::encoded_len(&request) > QUERY_BYTES {
        return Err(WireError::TooLarge { limit: QUERY_BYTES }.into());
    }
    let link = connection.link().await?;
    let mut rpc = WorkerClient::new(link.channel.clone())
        .max_decoding_message_size(message_limit(MAX_BATCH_BYTES))
        .max_encoding_message_size(message_limit(QUERY_BYTES));
    let failure = Failure::default();
    let parts = caller.request(query_parts(request, inputs, failure.clone()));
    match rpc.query_over(parts).await {
        Ok(response) => {
            let hopes = Hopes { failure: Some(failure), report };
            Ok(batches(connection.clone(), link, response.into_inner(), hopes))
        }
        Err(status) => match taken(&failure) {
            Some(error) => Err(error),
            None => Err(connection.explain_failure(&link, status).await),
        },
    }
}

/// The query as messages: the request, the rows of its inputs, the end.
fn query_parts(
    request: pb::QueryRequest,
    inputs: InputStream,
    failure: Failure,
) -> impl Stream<Item = pb::QueryPart> {
    use pb::query_part::Part;
    let rows = inputs.map(|item| -> SqlResult<Vec<Part>> {
        let item = item?;
        let input = u32::try_from(item.input).map_err(|_| WireError::Unknown("input"))?;
        let batches = encode_batch(&item.rows)?.into_iter();
        let rows = |batch| Part::Rows(pb::InputRows { input, batch: Some(batch) });
        Ok(batches.map(rows).collect())
    });
    let first = stream::iter([Ok(vec![Part::Request(request)])]);
    let end = stream::iter([Ok(vec![Part::End(pb::InputEnd {})])]);
    up_to_error(first.chain(rows).chain(end), failure, Part::Error, |part| {
        matches!(part, Part::Error(_))
    })
    .map(|part| pb::QueryPart { part: Some(part) })
}

/// The parts of a stream, the last one its first error, which `failure` also keeps: the receiver
/// answers with the error that it is sent, and a stream that merely breaks would hide it.
fn up_to_error<P>(
    parts: impl Stream<Item = SqlResult<Vec<P>>>,
    failure: Failure,
    error_part: impl Fn(crate::pb::types::SqlError) -> P,
    is_error: impl Fn(&P) -> bool,
) -> impl Stream<Item = P> {
    let mut over = false;
    parts
        .map(move |result| {
            result.unwrap_or_else(|error| {
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.clone());
                vec![error_part(error.into())]
            })
        })
        .flat_map(stream::iter)
        .take_while(move |part| {
            let go_on = !over;
            over = is_error(part);
            std::future::ready(go_on)
        })
}

/// The batch in a part, if it has one.
fn row_part(
    schema: &mut Option<SchemaRef>,
    part: pb::Rows,
    wanted: Option<&ReportWanted>,
) -> SqlResult<Option<RecordBatch>> {
    match part.part.ok_or(WireError::Missing("part of a result"))? {
        pb::rows::Part::Schema(bytes) => {
            *schema = Some(decode_schema(&bytes)?);
            Ok(None)
        }
        pb::rows::Part::Batch(batch) => {
            let schema = schema.as_ref().ok_or(WireError::Missing("schema of a result"))?;
            Ok(Some(decode_batch(schema, batch)?))
        }
        pb::rows::Part::Error(error) => Err(error.into()),
        pb::rows::Part::Report(report) => {
            if let Some(wanted) = wanted {
                wanted.put(report.into());
            }
            Ok(None)
        }
    }
}

pub(super) async fn load(
    connection: &Connection,
    caller: Caller,
    request: LoadRequest,
    rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
) -> SqlResult<u64> {
    let link = connection.link().await?;
    let failure = Failure::default();
    let message = caller.request(load_parts(request, rows, failure.clone()));
    let mut rpc = WorkerClient::new(link.channel.clone())
        .max_encoding_message_size(message_limit(MAX_BATCH_BYTES));
    let reply = rpc.load(message).await;
    if let Some(error) = taken(&failure) {
        return Err(error);
    }
    match reply {
        Ok(reply) => match reply.into_inner().result {
            Some(pb::load_reply::Result::Count(count)) => Ok(count),
            Some(pb::load_reply::Result::Error(error)) => Err(error.into()),
            None => Err(WireError::Missing("result of a load").into()),
        },
        Err(status) => Err(connection.explain_failure(&link, status).await),
    }
}

/// The load as messages: the request with the schema of the first batch, the batches, the end.
fn load_parts(
    request: LoadRequest,
    rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
    failure: Failure,
) -> impl Stream<Item = pb::LoadPart> {
    use pb::load_part::Part;
    let mut opening = Some(request);
    let mut schema: Option<SchemaRef> = None;
    let ended = rows.map(Some).chain(stream::iter([None]));
    let parts = ended.map(move |item| -> SqlResult<Vec<Part>> {
        let mut parts = Vec::new();
        let item = item.transpose()?;
        let first = item.as_ref().map(|(_, batch)| batch.schema());
        if let Some(request) = opening.take() {
            let bytes = first.as_ref().map(|schema| encode_schema(schema)).unwrap_or_default();
            parts.push(Part::Request(load_request(request, bytes)));
            schema = first.clone();
        }
        let Some((group, batch)) = item else {
            parts.push(Part::End(pb::LoadEnd {}));
            return Ok(parts);
        };
        if schema.as_ref().map(|schema| schema.fields()) != Some(batch.schema().fields()) {
            return Err(SqlError::internal("batches of different schemas in one load"));
        }
        for batch in encode_batch(&batch)? {
            parts.push(Part::Rows(pb::LoadRows { group: group.0, batch: Some(batch) }));
        }
        Ok(parts)
    });
    up_to_error(parts, failure, Part::Error, |part| matches!(part, Part::Error(_)))
        .map(|part| pb::LoadPart { part: Some(part) })
}
