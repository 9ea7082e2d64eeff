//! Results out, loads in.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::stream::{self, Stream, StreamExt};
use satsuma_common::{GroupId, SqlError, SqlResult};
use tonic::{Status, Streaming};

use super::clients::Clients;
use crate::batches::{decode_batch, decode_schema, encode_batch, encode_schema};
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::report::ReportWanted;
use crate::worker::{BatchStream, InputRows, InputStream, LoadRequest, QueryRequest, Worker};

/// A result as messages: its schema before the first batch, an error or the report last.
pub(super) fn parts(
    batches: BatchStream,
    report: Option<ReportWanted>,
) -> impl Stream<Item = Result<pb::Rows, Status>> {
    use pb::rows::Part;
    let last = stream::once(async move { report?.take() })
        .filter_map(|report| async { Some(Part::Report(report?.into())) });
    let mut announced: Option<SchemaRef> = None;
    batches
        .map(move |batch| {
            message_parts(&mut announced, batch)
                .unwrap_or_else(|error| vec![Part::Error(error.into())])
        })
        .flat_map(stream::iter)
        .chain(last)
        .map(|part| Ok(pb::Rows { part: Some(part) }))
}

fn message_parts(
    announced: &mut Option<SchemaRef>,
    batch: SqlResult<RecordBatch>,
) -> SqlResult<Vec<pb::rows::Part>> {
    let batch = batch?;
    let mut parts = Vec::new();
    match announced {
        Some(schema) if schema.fields() == batch.schema_ref().fields() => {}
        Some(_) => return Err(SqlError::internal("batches of different schemas in one result")),
        None => {
            parts.push(pb::rows::Part::Schema(encode_schema(batch.schema_ref())));
            *announced = Some(batch.schema());
        }
    }
    parts.extend(encode_batch(&batch)?.into_iter().map(pb::rows::Part::Batch));
    Ok(parts)
}

pub(super) async fn query_over<W: Worker>(
    worker: &W,
    mut parts: Streaming<pb::QueryPart>,
) -> SqlResult<(BatchStream, Option<ReportWanted>)> {
    let first = parts.message().await.map_err(broken)?.and_then(|part| part.part);
    let request = match first {
        Some(pb::query_part::Part::Request(request)) => QueryRequest::try_from(request)?,
        Some(pb::query_part::Part::Error(error)) => return Err(error.into()),
        Some(pb::query_part::Part::Rows(_) | pb::query_part::Part::End(_)) | None => {
            return Err(WireError::Missing("request of a query").into());
        }
    };
    let schemas: Vec<SchemaRef> = request
        .inputs
        .iter()
        .map(|input| if input.by_group { with_group(&input.schema) } else { input.schema.clone() })
        .collect();
    let inputs: InputStream = stream::unfold(Some((parts, schemas)), |state| async move {
        let (mut parts, schemas) = state?;
        let part = match parts.message().await {
            Ok(Some(part)) => part.part,
            Ok(None) => return Some((Err(cut_off()), None)),
            Err(status) => return Some((Err(broken(status)), None)),
        };
        match input_rows(&schemas, part) {
            Ok(Some(rows)) => Some((Ok(rows), Some((parts, schemas)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed();
    let report = request.report.clone();
    Ok((worker.query_over(request, inputs).await?, report))
}

/// The schema of an input's batches, with the column that tells each row's group.
fn with_group(schema: &SchemaRef) -> SchemaRef {
    let group = Field::new("group", DataType::UInt32, false);
    let fields: Vec<_> =
        schema.fields().iter().cloned().chain([std::sync::Arc::new(group)]).collect();
    std::sync::Arc::new(Schema::new(fields))
}

/// The rows in a part; `None` at the end.
fn input_rows(
    schemas: &[SchemaRef],
    part: Option<pb::query_part::Part>,
) -> SqlResult<Option<InputRows>> {
    match part.ok_or(WireError::Missing("part of a query"))? {
        pb::query_part::Part::Request(_) => Err(WireError::Unknown("second request").into()),
        pb::query_part::Part::Rows(rows) => {
            let input = usize::try_from(rows.input).unwrap_or(usize::MAX);
            let schema = schemas.get(input).ok_or(WireError::Unknown("input"))?;
            let batch = rows.batch.ok_or(WireError::Missing("batch of an input"))?;
            Ok(Some(InputRows { input, rows: decode_batch(schema, batch)? }))
        }
        pb::query_part::Part::Error(error) => Err(error.into()),
        pb::query_part::Part::End(pb::InputEnd {}) => Ok(None),
    }
}

pub(super) async fn load<W: Worker>(
    worker: &W,
    clients: &Clients<W>,
    client: u64,
    mut parts: Streaming<pb::LoadPart>,
) -> SqlResult<u64> {
    let first = parts.message().await.map_err(broken)?.and_then(|part| part.part);
    let request = match first {
        Some(pb::load_part::Part::Request(request)) => request,
        Some(pb::load_part::Part::Error(error)) => return Err(error.into()),
        Some(pb::load_part::Part::Rows(_) | pb::load_part::Part::End(_)) | None => {
            return Err(WireError::Missing("request of a load").into());
        }
    };
    let schema =
        if request.schema.is_empty() { None } else { Some(decode_schema(&request.schema)?) };
    let request = LoadRequest::try_from(request)?;
    clients.opened(client, request.context.txn);
    let rows = stream::unfold(Some((parts, schema)), |state| async move {
        let (mut parts, schema) = state?;
        let part = match parts.message().await {
            Ok(Some(part)) => part.part,
            Ok(None) => return Some((Err(cut_off()), None)),
            Err(status) => return Some((Err(broken(status)), None)),
        };
        match rows_of(schema.as_ref(), part) {
            Ok(Some(rows)) => Some((Ok(rows), Some((parts, schema)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    worker.load(request, rows.boxed()).await
}

/// The rows in a part; `None` at the end.
fn rows_of(
    schema: Option<&SchemaRef>,
    part: Option<pb::load_part::Part>,
) -> SqlResult<Option<(GroupId, RecordBatch)>> {
    match part.ok_or(WireError::Missing("part of a load"))? {
        pb::load_part::Part::Request(_) => Err(WireError::Unknown("second request").into()),
        pb::load_part::Part::Rows(rows) => {
            let schema = schema.ok_or(WireError::Missing("schema of a load"))?;
            let batch = rows.batch.ok_or(WireError::Missing("batch of a load"))?;
            Ok(Some((GroupId(rows.group), decode_batch(schema, batch)?)))
        }
        pb::load_part::Part::Error(error) => Err(error.into()),
        pb::load_part::Part::End(pb::LoadEnd {}) => Ok(None),
    }
}

fn cut_off() -> SqlError {
    broken(Status::cancelled("the stream of rows was cut off"))
}

fn broken(status: Status) -> SqlError {
    let state = satsuma_common::SqlState::CONNECTION_FAILURE;
    SqlError::new(state, format!("rows on their way were cut off: {}", status.message()))
}
