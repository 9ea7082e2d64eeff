//! Results and loads: a stream each, at the pace of the slower end.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use satsuma_common::{GroupId, SqlError, SqlResult};

use super::CLIENT_KEY;
use super::connection::Connection;
use crate::batches::{MAX_BATCH_BYTES, decode_batch, decode_schema, encode_batch, encode_schema};
use crate::convert::load_request;
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::pb::worker::worker_client::WorkerClient;
use crate::server::{QUERY_BYTES, message_limit};
use crate::worker::{BatchStream, LoadRequest, QueryRequest};

pub(super) async fn query(
    connection: &Connection,
    request: QueryRequest,
) -> SqlResult<BatchStream> {
    let request = pb::QueryRequest::from(request);
    if prost::Message::encoded_len(&request) > QUERY_BYTES {
        return Err(WireError::TooLarge { limit: QUERY_BYTES }.into());
    }
    let link = connection.link().await?;
    let mut rpc = WorkerClient::new(link.channel.clone())
        .max_decoding_message_size(message_limit(MAX_BATCH_BYTES))
        .max_encoding_message_size(message_limit(QUERY_BYTES));
    let parts = match rpc.query(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(connection.explain_failure(&link, status).await),
    };
    let state = Some((connection.clone(), link, parts, None::<SchemaRef>));
    Ok(stream::unfold(state, |state| async move {
        let (connection, link, mut parts, mut schema) = state?;
        loop {
            let part = match parts.message().await {
                Ok(Some(part)) => part,
                Ok(None) => return None,
                Err(status) => {
                    let error = connection.explain_failure(&link, status).await;
                    return Some((Err(error), None));
                }
            };
            match row_part(&mut schema, part) {
                Ok(None) => {}
                Ok(Some(batch)) => {
                    return Some((Ok(batch), Some((connection, link, parts, schema))));
                }
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
    .boxed())
}

/// The batch in a part, if it has one.
fn row_part(schema: &mut Option<SchemaRef>, part: pb::Rows) -> SqlResult<Option<RecordBatch>> {
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
    }
}

pub(super) async fn load(
    connection: &Connection,
    client: u64,
    request: LoadRequest,
    rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
) -> SqlResult<u64> {
    let link = connection.link().await?;
    // The worker answers with the error that it is sent; a stream that merely breaks would hide
    // it, so the first error of the source is also kept here.
    let failure = Arc::new(Mutex::new(None));
    let mut message = tonic::Request::new(load_parts(request, rows, failure.clone()));
    message.metadata_mut().insert(CLIENT_KEY, client.into());
    let mut rpc = WorkerClient::new(link.channel.clone())
        .max_encoding_message_size(message_limit(MAX_BATCH_BYTES));
    let reply = rpc.load(message).await;
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
    failure: Arc<Mutex<Option<SqlError>>>,
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
    let mut over = false;
    parts
        .map(move |result| {
            result.unwrap_or_else(|error| {
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.clone());
                vec![Part::Error(error.into())]
            })
        })
        .flat_map(stream::iter)
        .take_while(move |part| {
            let go_on = !over;
            over = matches!(part, Part::Error(_));
            std::future::ready(go_on)
        })
        .map(|part| pb::LoadPart { part: Some(part) })
}
