//! The front end as a Flight SQL client sees it, over a session in memory.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementIngest, CommandStatementUpdate, ProstMessageExt, SqlInfo};
use datafusion::arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint, Server};

use super::*;
use crate::fake_session::FakeFactory;

type Client = FlightSqlServiceClient<Channel>;

async fn start(password: Option<&str>) -> (Arc<FakeFactory>, Client) {
    let (factory, channel) = start_channel(password).await;
    (factory, FlightSqlServiceClient::new(channel))
}

/// A connection that several clients can share.
async fn start_channel(password: Option<&str>) -> (Arc<FakeFactory>, Channel) {
    let factory = Arc::new(FakeFactory::default());
    let authenticator = Authenticator::new(factory.clone(), "boss", password).unwrap();
    let connections = Connections::default();
    let directory = tempfile::tempdir().unwrap();
    let identity = crate::tls::identity(None, directory.path()).unwrap();
    let config = FlightConfig {
        factory: factory.clone(),
        authenticator: Arc::new(authenticator),
        registry: Registry::default(),
        permits: Arc::new(Semaphore::new(10)),
        superuser: "boss".into(),
        database: "db".into(),
        connections: connections.clone(),
        shutdown: CancellationToken::new(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let incoming = connections.track(incoming, identity.grpc);
    tokio::spawn(Server::builder().add_service(service(config)).serve_with_incoming(incoming));
    let channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (factory, channel)
}

/// What ingestion without the name of a transaction says: the fake knows no table.
async fn ingested(client: &mut Client) -> String {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let command = CommandStatementIngest { table: "t".into(), ..Default::default() };
    let done = client.execute_ingest(command, stream::iter([Ok(batch)])).await;
    done.unwrap_err().to_string()
}

async fn rows(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let info = client.execute(sql.into(), None).await.map_err(|error| error.to_string())?;
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.map_err(|error| error.to_string())?;
    stream.try_collect().await.map_err(|error| error.to_string())
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn queries_give_plain_arrow_with_type_names() {
    let (_, mut client) = start(None).await;
    let batches = rows(&mut client, "series 2500").await.unwrap();
    assert_eq!(count(&batches), 2500);
    let schema = batches[0].schema();
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    assert_eq!(schema.field(1).metadata()["pg.type_name"], "text");
    assert_eq!(batches[0].column(0).as_primitive::<Int32Type>().value(41), 42);
    assert_eq!(client.execute_update("notice x".into(), None).await.unwrap(), 0);
}

#[tokio::test]
async fn errors_carry_their_state() {
    let (_, mut client) = start(None).await;
    let error = rows(&mut client, "nonsense").await.unwrap_err();
    assert!(error.contains("42601: syntax error"), "{error}");
    let error = rows(&mut client, "fail 3").await.unwrap_err();
    assert!(error.contains("22012: division by zero"), "{error}");
    let error = rows(&mut client, "panic").await.unwrap_err();
    assert!(error.contains("XX000"), "{error}");
    assert_eq!(count(&rows(&mut client, "series 1").await.unwrap()), 1);
}

#[tokio::test]
async fn a_token_keeps_its_session() {
    let (_, mut client) = start(Some("sesame")).await;
    assert!(rows(&mut client, "series 1").await.unwrap_err().contains("28P01"));
    assert!(client.handshake("boss", "wrong").await.is_err());
    client.handshake("boss", "sesame").await.unwrap();
    client.execute_update("begin".into(), None).await.unwrap();
    assert!(rows(&mut client, "fail").await.is_err());
    // The block is failed now: this is the same session.
    assert!(rows(&mut client, "series 1").await.unwrap_err().contains("25P02"));
    client.execute_update("rollback".into(), None).await.unwrap();
    assert_eq!(count(&rows(&mut client, "series 1").await.unwrap()), 1);
}

#[tokio::test]
async fn commands_run_when_their_info_is_asked_for() {
    let (_, mut client) = start(Some("sesame")).await;
    client.handshake("boss", "sesame").await.unwrap();
    let info = client.execute("begin".into(), None).await.unwrap();
    assert!(rows(&mut client, "fail").await.is_err());
    // In a block, therefore failed: `begin` has run, though nobody has fetched its result.
    assert!(rows(&mut client, "series 1").await.unwrap_err().contains("25P02"));
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let fetched: Vec<_> = client.do_get(ticket.clone()).await.unwrap().try_collect().await.unwrap();
    assert_eq!(count(&fetched), 0);
    let again = client.do_get(ticket).await.map(|_| ()).unwrap_err().to_string();
    assert!(again.contains("55000"), "{again}");
}

#[tokio::test]
async fn prepared_statements_take_parameters() {
    let (_, mut client) = start(None).await;
    let mut statement = client.prepare("echo $1 $2".into(), None).await.unwrap();
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 2);
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("$1", Arc::new(Int32Array::from(vec![7]))),
        ("$2", Arc::new(StringArray::from(vec![None::<&str>]))),
    ];
    statement
        .set_parameters(
            RecordBatch::try_from_iter_with_nullable(
                arrays.into_iter().map(|(name, array)| (name, array, true)),
            )
            .unwrap(),
        )
        .unwrap();
    let info = statement.execute().await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int32Type>().value(0), 7);
    assert!(batches[0].column(1).is_null(0));
}

#[tokio::test]
async fn transactions_have_sessions_of_their_own() {
    let (_, mut client) = start(None).await;
    let transaction = client.begin_transaction().await.unwrap();
    let within = client.execute_update("fail".into(), Some(transaction.clone())).await;
    assert!(within.is_err());
    assert_eq!(count(&rows(&mut client, "series 1").await.unwrap()), 1);
    let within = client.execute("series 1".into(), Some(transaction)).await;
    assert!(within.unwrap_err().to_string().contains("25P02"));
}

#[tokio::test]
async fn a_call_without_a_transaction_joins_only_its_callers_own() {
    let (_, channel) = start_channel(Some("sesame")).await;
    let mut boss = FlightSqlServiceClient::new(channel.clone());
    boss.handshake("boss", "sesame").await.unwrap();
    let transaction = boss.begin_transaction().await.unwrap();
    assert!(boss.execute_update("fail".into(), Some(transaction)).await.is_err());
    // Within the transaction, which has failed.
    let error = ingested(&mut boss).await;
    assert!(error.contains("25P02"), "{error}");
    // On the same connection: another user, and another session of the same.
    for (user, password) in [("ann", "secret"), ("boss", "sesame")] {
        let mut other = FlightSqlServiceClient::new(channel.clone());
        other.handshake(user, password).await.unwrap();
        let error = ingested(&mut other).await;
        assert!(error.contains("42601"), "{user}: {error}");
    }
}

#[tokio::test]
async fn copy_takes_bytes_and_ingestion_takes_rows() {
    let (factory, mut client) = start(None).await;
    let chunk = |bytes: &'static [u8]| {
        let column: ArrayRef = Arc::new(datafusion::arrow::array::BinaryArray::from(vec![bytes]));
        RecordBatch::try_from_iter([(COPY_COLUMN, column)]).unwrap()
    };
    let command = CommandStatementUpdate { query: "copy in csv".into(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let batches = [chunk(b"1,x\n2"), chunk(b",y\n")];
    let data = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .build(stream::iter(batches.map(Ok)))
        .map(|message| message.unwrap());
    let answers: Vec<_> = client.do_put(data).await.unwrap().try_collect().await.unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(factory.table.lock().len(), 2);
    assert_eq!(factory.table.lock()[1], (Some(2), Some("y".into())));

    let batches = rows(&mut client, "copy out").await.unwrap();
    let bytes = batches[0].column(0).as_binary::<i32>().value(0);
    assert_eq!(bytes, b"1\tx\n2\ty\n");
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_statement() {
    let (factory, mut client) = start(None).await;
    let sleeping = tokio::spawn(async move { rows(&mut client, "sleep").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    sleeping.abort();
    for _ in 0..100 {
        if let Some(error) = factory.interrupted.lock().first() {
            assert_eq!(error.message(), "connection to client lost");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the statement still runs");
}

#[tokio::test]
async fn server_information_is_there() {
    let (_, mut client) = start(None).await;
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert_eq!(count(&batches), 1);
}
