//! A Flight SQL connection with a session of its own.

use std::path::PathBuf;

use arrow::array::{AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    CommandStatementQuery, CommandStatementUpdate, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{Action, FlightDescriptor, HandshakeRequest, Ticket};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, arrow_types};
use satsuma_coordinator::flight::status::from_status;
use satsuma_coordinator::flight::{
    COPY_COLUMN, DATABASE_HEADER, REPORT_HEADER, Report, TEXT_HEADER,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

const MESSAGE_LIMIT: usize = 256 << 20;

/// Where to connect, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Server {
    /// gRPC address of a coordinator; grpc+tls://HOST:PORT encrypts
    #[arg(long, env = "SATSUMA_URL", default_value = "grpc://127.0.0.1:7432")]
    pub url: String,
    /// Certificate to trust, in PEM, for grpc+tls: the coordinator's own or its authority's
    #[arg(long, env = "SATSUMA_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Role to connect as [default: the superuser]
    #[arg(short = 'U', long, env = "SATSUMA_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// Password
    #[arg(long, env = "SATSUMA_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

pub struct Client {
    flight: FlightServiceClient<Channel>,
    token: MetadataValue<Ascii>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub ty: PgType,
}

/// A statement's whole answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<String>>>,
    /// COPY TO STDOUT's data.
    pub copy: Vec<u8>,
    pub report: Report,
}

fn refused(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::CONNECTION_FAILURE, message)
}

fn status_error(status: Status) -> SqlError {
    from_status(&status)
}

fn flight_error(error: FlightError) -> SqlError {
    match error {
        FlightError::Tonic(status) => from_status(&status),
        other => refused(other.to_string()),
    }
}

/// What went wrong, without the layers around it.
fn innermost(error: tonic::transport::Error) -> SqlError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    refused(cause.to_string())
}

fn endpoint(server: &Server) -> SqlResult<Endpoint> {
    let (scheme, address) = match server.url.split_once("://") {
        Some(("grpc" | "grpc+tcp" | "http", address)) => ("http", address),
        Some(("grpc+tls" | "https", address)) => ("https", address),
        _ => {
            let message = format!("\"{}\" is not a URL like grpc://127.0.0.1:7432", server.url);
            return Err(refused(message));
        }
    };
    let url = format!("{scheme}://{}", address.trim_end_matches('/'));
    let endpoint = Endpoint::from_shared(url)
        .map_err(|error| refused(error.to_string()))?
        .tcp_nodelay(true)
        .connect_timeout(std::time::Duration::from_secs(10));
    if scheme == "http" {
        return Ok(endpoint);
    }
    let Some(path) = &server.tls_ca else {
        return Err(refused("grpc+tls needs a certificate to trust").hint(
            "Give --tls-ca the coordinator's certificate, server.crt in its data directory, or \
             that of the authority which signed it.",
        ));
    };
    let trusted = std::fs::read(path)
        .map_err(|error| refused(format!("could not read {}: {error}", path.display())))?;
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted));
    endpoint.tls_config(config).map_err(innermost)
}

impl Client {
    pub async fn connect(server: &Server, database: Option<&str>) -> SqlResult<Self> {
        let channel = endpoint(server)?.connect().await.map_err(innermost)?;
        let mut flight = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        let token = handshake(&mut flight, server, database).await?;
        Ok(Self { flight, token })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.clone());
        request
    }

    /// Runs one statement and collects its answer.
    pub async fn query(&mut self, sql: &str) -> SqlResult<Answer> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let mut request = self.request(descriptor);
        // Statements that change something run at once, and their rows are made then.
        request.metadata_mut().insert(TEXT_HEADER, MetadataValue::from_static("1"));
        let info = self.flight.get_flight_info(request).await.map_err(status_error)?.into_inner();
        let mut answer = Answer::default();
        for endpoint in info.endpoint {
            if let Some(ticket) = endpoint.ticket {
                self.fetch(ticket, &mut answer).await?;
            }
        }
        Ok(answer)
    }

    /// Runs one statement and hands on its rows as they come.
    pub async fn stream(
        &mut self,
        sql: &str,
        mut take: impl FnMut(&RecordBatch) -> SqlResult<()>,
    ) -> SqlResult<()> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let request = self.request(descriptor);
        let info = self.flight.get_flight_info(request).await.map_err(status_error)?.into_inner();
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            let request = self.request(ticket);
            let messages = self.flight.do_get(request).await.map_err(status_error)?.into_inner();
            let messages = messages.map_err(|status| FlightError::Tonic(Box::new(status)));
            let mut decoder = FlightDataDecoder::new(messages);
            while let Some(message) = decoder.next().await {
                if let DecodedPayload::RecordBatch(batch) = message.map_err(flight_error)?.payload {
                    take(&batch)?;
                }
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, ticket: Ticket, answer: &mut Answer) -> SqlResult<()> {
        let mut request = self.request(ticket);
        request.metadata_mut().insert(REPORT_HEADER, MetadataValue::from_static("1"));
        request.metadata_mut().insert(TEXT_HEADER, MetadataValue::from_static("1"));
        let messages = self.flight.do_get(request).await.map_err(status_error)?.into_inner();
        // The report is a message without Arrow data: kept from the decoder, which knows none.
        let report = std::sync::Arc::new(std::sync::Mutex::new(None::<Report>));
        let noted = report.clone();
        let messages = messages
            .map_err(|status| FlightError::Tonic(Box::new(status)))
            .try_filter_map(move |message| {
                let is_report = message.data_header.is_empty();
                if is_report
                    && let Ok(found) = serde_json::from_slice(&message.app_metadata)
                    && let Ok(mut slot) = noted.lock()
                {
                    *slot = Some(found);
                }
                futures::future::ready(Ok((!is_report).then_some(message)))
            });
        let mut decoder = FlightDataDecoder::new(messages);
        while let Some(message) = decoder.next().await {
            let message = message.map_err(flight_error)?;
            match message.payload {
                DecodedPayload::Schema(schema) => answer.columns = columns(&schema),
                DecodedPayload::RecordBatch(batch) => take_rows(&batch, answer)?,
                DecodedPayload::None => {}
            }
        }
        if let Some(report) = report.lock().ok().and_then(|mut slot| slot.take()) {
            answer.report = report;
        }
        Ok(())
    }

    /// Sends a file's bytes to `COPY .. FROM STDIN`; answers with the number of rows.
    pub async fn copy_in(
        &mut self,
        sql: &str,
        chunks: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
    ) -> SqlResult<i64> {
        let schema = copy_schema();
        let command = CommandStatementUpdate { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let failure = std::sync::Arc::new(std::sync::Mutex::new(None));
        let noted = failure.clone();
        let batch_schema = schema.clone();
        let batches = chunks.map(move |chunk| match chunk {
            Ok(bytes) => {
                let column = BinaryArray::from(vec![bytes.as_slice()]);
                RecordBatch::try_new(batch_schema.clone(), vec![std::sync::Arc::new(column)])
                    .map_err(FlightError::from)
            }
            Err(error) => Err(FlightError::from_external_error(Box::new(error))),
        });
        let messages = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(descriptor))
            .build(batches)
            // A file that cannot be read ends the stream early: the error is told below.
            .scan((), move |(), message| {
                let message = match message {
                    Ok(message) => Some(message),
                    Err(error) => {
                        if let Ok(mut slot) = noted.lock() {
                            *slot = Some(error.to_string());
                        }
                        None
                    }
                };
                futures::future::ready(message)
            });
        let answers = self.flight.do_put(self.request(messages)).await.map_err(status_error)?;
        let first = answers.into_inner().message().await.map_err(status_error)?;
        if let Some(error) = failure.lock().ok().and_then(|mut slot| slot.take()) {
            return Err(SqlError::new(SqlState::IO_ERROR, error));
        }
        let first = first.ok_or_else(|| refused("the server did not answer"))?;
        let result = DoPutUpdateResult::decode(first.app_metadata)
            .map_err(|error| refused(error.to_string()))?;
        Ok(result.record_count)
    }

    /// Gives the session back.
    pub async fn close(&mut self) {
        let action = Action { r#type: "CloseSession".into(), body: Default::default() };
        let _ = self.flight.do_action(self.request(action)).await;
    }
}

fn copy_schema() -> SchemaRef {
    std::sync::Arc::new(Schema::new(vec![Field::new(COPY_COLUMN, DataType::Binary, false)]))
}

async fn handshake(
    flight: &mut FlightServiceClient<Channel>,
    server: &Server,
    database: Option<&str>,
) -> SqlResult<MetadataValue<Ascii>> {
    let hello = HandshakeRequest { protocol_version: 0, payload: Default::default() };
    let mut request = Request::new(stream::iter([hello]));
    if server.user.is_some() || server.password.is_some() {
        // The server takes no name for the superuser's.
        let user = server.user.as_deref().unwrap_or_default();
        let password = server.password.as_deref().unwrap_or_default();
        let value = satsuma_coordinator::flight::basic_credentials(user, password);
        let value = value.parse().map_err(|_| refused("user or password cannot be sent"))?;
        request.metadata_mut().insert("authorization", value);
    }
    if let Some(database) = database {
        let value = database.parse().map_err(|_| refused("the database's name cannot be sent"))?;
        request.metadata_mut().insert(DATABASE_HEADER, value);
    }
    let response = flight.handshake(request).await.map_err(status_error)?;
    response
        .metadata()
        .get("authorization")
        .cloned()
        .ok_or_else(|| refused("the server gave no session"))
}

fn columns(schema: &Schema) -> Vec<Column> {
    schema
        .fields()
        .iter()
        .map(|field| Column { name: field.name().clone(), ty: arrow_types::pg_type(field) })
        .collect()
}

fn take_rows(batch: &RecordBatch, answer: &mut Answer) -> SqlResult<()> {
    let schema = batch.schema();
    let only = schema.fields().first().filter(|_| schema.fields().len() == 1);
    if only.is_some_and(|field| field.name() == COPY_COLUMN)
        && let Some(data) = batch.column(0).as_binary_opt::<i32>()
    {
        for chunk in data.iter().flatten() {
            answer.copy.extend_from_slice(chunk);
        }
        return Ok(());
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| {
            column.as_string_opt::<i32>().ok_or_else(|| refused("a column did not come as text"))
        })
        .collect::<SqlResult<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        let values = columns
            .iter()
            .map(|column| arrow::array::Array::is_valid(column, row).then(|| column.value(row)))
            .map(|value| value.map(str::to_owned))
            .collect();
        answer.rows.push(values);
    }
    Ok(())
}
