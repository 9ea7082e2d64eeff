//! The front end as tokio-postgres and psql see it, over a session in memory.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt, pin_mut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState as ClientState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::{Registry, Server, serve};
use crate::auth::Authenticator;
use crate::fake_session::FakeFactory;
use crate::tls;

struct Running {
    port: u16,
    factory: Arc<FakeFactory>,
    shutdown: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn start_with(password: Option<&str>, sessions: usize) -> Running {
    let factory = Arc::new(FakeFactory::default());
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let started = CancellationToken::new();
    started.cancel();
    let server = Server {
        factory: factory.clone(),
        authenticator: Arc::new(Authenticator::new(factory.clone(), "boss", password).unwrap()),
        tls: Some(tls::identity(None, dir.path()).unwrap()),
        registry: Registry::default(),
        sessions: Arc::new(Semaphore::new(sessions)),
        started,
        shutdown: shutdown.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(Arc::new(server), listener));
    Running { port, factory, shutdown, _dir: dir }
}

async fn start() -> Running {
    start_with(None, 10).await
}

impl Running {
    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("boss").dbname("db");
        config
    }

    async fn client(&self) -> Client {
        connect(&self.config()).await.unwrap()
    }
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn state(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("none", ClientState::code)
}

/// Values of the second column, and the last command's row count.
async fn simple(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let texts = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(1).map(str::to_owned),
        _ => None,
    });
    Ok(texts.collect())
}

#[tokio::test]
async fn simple_queries_run_in_order_and_stop_at_an_error() {
    let server = start().await;
    let client = server.client().await;
    let texts = simple(&client, "series 2; series 1").await.unwrap();
    assert_eq!(texts, ["row 1", "row 2", "row 1"]);
    let error = simple(&client, "series 1; fail; panic").await.unwrap_err();
    assert_eq!(state(&error), "22012");
    let position = error.as_db_error().unwrap().position().unwrap().clone();
    assert_eq!(position, tokio_postgres::error::ErrorPosition::Original(3 + 9));
    assert_eq!(simple(&client, " ; ").await.unwrap().len(), 0);
    assert_eq!(simple(&client, "series 1").await.unwrap(), ["row 1"]);
}

#[tokio::test]
async fn large_results_stream_whole() {
    let server = start().await;
    let client = server.client().await;
    assert_eq!(simple(&client, "series 50000").await.unwrap().len(), 50_000);
    let rows = client.query("series 50000", &[]).await.unwrap();
    assert_eq!(rows.last().unwrap().get::<_, &str>("t"), "row 50000");
    assert_eq!(rows[41].get::<_, i32>(0), 42);
}

#[tokio::test]
async fn parameters_travel_in_binary_and_null() {
    let server = start().await;
    let client = server.client().await;
    let statement = client.prepare("echo $1 $2").await.unwrap();
    assert_eq!(statement.params().len(), 2);
    let row = client.query_one(&statement, &[&7_i32, &"x"]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (7, "x"));
    let row = client.query_one(&statement, &[&None::<i32>, &None::<&str>]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>(1), None);
}

#[tokio::test]
async fn portals_hand_out_rows_in_portions() {
    let server = start().await;
    let mut client = server.client().await;
    let transaction = client.transaction().await;
    // The fake takes `begin` in lower case only.
    assert!(transaction.is_err());
    drop(transaction);
    client.simple_query("begin").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    raw.query("begin").await;
    raw.send(&[
        parse("", "series 5"),
        bind("p", ""),
        execute("p", 2),
        execute("p", 2),
        execute("p", 2),
        execute("p", 2),
        sync(),
    ])
    .await;
    assert_eq!(raw.kinds().await, "12DDsDDsDCCZ");
}

#[tokio::test]
async fn an_error_skips_to_sync() {
    let server = start().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&[parse("", "nonsense"), bind("", ""), execute("", 0), sync()]).await;
    assert_eq!(raw.kinds().await, "EZ");
    raw.send(&[bind("", "nope"), sync()]).await;
    assert_eq!(raw.error().await, "26000 prepared statement \"nope\" does not exist");
    raw.send(&[execute("nope", 0), sync()]).await;
    assert_eq!(raw.error().await, "34000 portal \"nope\" does not exist");
    raw.send(&[parse("s", "series 1"), parse("s", "series 1"), sync()]).await;
    assert_eq!(raw.error().await, "42P05 prepared statement \"s\" already exists");
    raw.send(&[parse("", "echo"), bind("", ""), sync()]).await;
    let expected =
        "08P01 bind message supplies 0 parameters, but prepared statement \"\" requires 2";
    assert_eq!(raw.error().await, expected);
    raw.send(&[
        parse("", "notice x"),
        describe('S', ""),
        bind("", ""),
        execute("", 0),
        execute("", 0),
        sync(),
    ])
    .await;
    assert_eq!(raw.kinds().await, "1tn2NCEZ");
}

#[tokio::test]
async fn malformed_messages_are_answered_and_lengths_refused() {
    let server = start().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&[message(b'B', b"\0\0\0\x05"), sync()]).await;
    assert_eq!(raw.error().await, "08P01 insufficient data left in message");
    raw.send(&[b"Q\x7f\xff\xff\xff".to_vec()]).await;
    assert_eq!(raw.error().await, "08P01 invalid message length");
    let mut raw = Raw::connect(&server).await;
    raw.send(&[b"!\0\0\0\x04".to_vec()]).await;
    assert_eq!(raw.error().await, "08P01 invalid frontend message type 33");
    assert_eq!(simple(&server.client().await, "series 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_transaction_says_so_until_it_ends() {
    let server = start().await;
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.query("begin").await, "CZT");
    assert_eq!(raw.query("fail 3").await, "TDDDEZE");
    assert_eq!(raw.query("series 1").await, "EZE");
    assert_eq!(raw.query("rollback").await, "CZI");
}

#[tokio::test]
async fn notices_and_parameter_changes_arrive() {
    let server = start().await;
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.query("notice hello").await, "NCZI");
    assert_eq!(raw.query("set DateStyle ISO").await, "CSZI");
}

#[tokio::test]
async fn cancel_reaches_a_running_statement() {
    let server = start().await;
    let client = server.client().await;
    let token = client.cancel_token();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let (result, ()) = tokio::join!(client.simple_query("sleep"), cancel);
    let error = result.unwrap_err();
    assert_eq!(state(&error), "57014");
    assert_eq!(simple(&client, "series 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn cancel_reaches_a_result_that_nobody_reads() {
    let server = start().await;
    let client = server.client().await;
    let token = client.cancel_token();
    let rows = client.query_raw("series 2000000", Vec::<i32>::new()).await.unwrap();
    pin_mut!(rows);
    assert!(rows.next().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(100)).await;
    token.cancel_query(NoTls).await.unwrap();
    let mut count = 1;
    let error = loop {
        match rows.next().await {
            Some(Ok(_)) => count += 1,
            Some(Err(error)) => break error,
            None => panic!("{count} rows and no error"),
        }
    };
    assert_eq!(state(&error), "57014");
}

#[tokio::test]
async fn statement_timeout_and_a_lost_client_stop_the_statement() {
    let server = start().await;
    let client = server.client().await;
    client.simple_query("timeout 50").await.unwrap();
    let error = client.simple_query("sleep").await.unwrap_err();
    let message = error.as_db_error().unwrap().message().to_owned();
    assert_eq!(message, "canceling statement due to statement timeout");

    let mut raw = Raw::connect(&server).await;
    raw.send(&[message_of_query("sleep")]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(raw);
    for _ in 0..100 {
        if server.factory.interrupted.lock().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let gone = server.factory.interrupted.lock().last().unwrap().clone();
    assert_eq!(gone.message(), "connection to client lost");
}

#[tokio::test]
async fn a_panic_ends_one_session_only() {
    let server = start().await;
    let (one, other) = (server.client().await, server.client().await);
    let error = one.simple_query("panic").await.unwrap_err();
    assert_eq!(state(&error), "XX000");
    assert_eq!(simple(&other, "series 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn copy_moves_rows_both_ways() {
    let server = start().await;
    let client = server.client().await;
    let sink = client.copy_in::<_, Bytes>("copy in").await.unwrap();
    pin_mut!(sink);
    for chunk in ["1\tx", "\n2\t\\", "N\n"] {
        sink.send(Bytes::from_static(chunk.as_bytes())).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 2);
    let out = client.copy_out("copy out").await.unwrap();
    let chunks: Vec<Bytes> = out.try_collect().await.unwrap();
    assert_eq!(chunks, ["1\tx\n", "2\t\\N\n"]);
}

#[tokio::test]
async fn a_bad_row_leaves_nothing_behind() {
    let server = start().await;
    let client = server.client().await;
    let sink = client.copy_in::<_, Bytes>("copy in csv").await.unwrap();
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"1,x\nabc,y\n")).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "22P02");
    assert_eq!(error.where_(), Some("COPY t, line 2, column a: \"abc\""));
    assert!(server.factory.table.lock().is_empty());
    assert_eq!(simple(&client, "series 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn passwords_are_checked_by_scram() {
    let server = start_with(Some("sesame"), 10).await;
    let right = connect(server.config().password("sesame")).await;
    assert!(right.is_ok());
    let wrong = connect(server.config().password("wrong")).await.unwrap_err();
    assert_eq!(state(&wrong), "28P01");
    let message = wrong.as_db_error().unwrap().message().to_owned();
    assert_eq!(message, "password authentication failed for user \"boss\"");
    let nobody = connect(server.config().user("eve").password("x")).await.unwrap_err();
    assert_eq!(state(&nobody), "28P01");
    assert!(connect(server.config().user("ann").password("secret")).await.is_ok());
}

#[tokio::test]
async fn unknown_databases_and_too_many_clients_are_refused() {
    let server = start_with(None, 1).await;
    let error = connect(server.config().dbname("other")).await.unwrap_err();
    assert_eq!(state(&error), "3D000");
    let first = server.client().await;
    let error = connect(&server.config()).await.unwrap_err();
    assert_eq!(state(&error), "53300");
    drop(first);
    for _ in 0..100 {
        if connect(&server.config()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the permit did not come back");
}

#[tokio::test]
async fn shutdown_tells_idle_clients() {
    let server = start().await;
    let mut raw = Raw::connect(&server).await;
    server.shutdown.cancel();
    assert_eq!(raw.error().await, "57P01 terminating connection due to administrator command");
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_connects_under_tls() {
    let server = start_with(Some("sesame"), 10).await;
    let url = format!(
        "host=127.0.0.1 port={} user=boss dbname=db sslmode=require channel_binding=require",
        server.port
    );
    let command = tokio::process::Command::new("psql")
        .args(["-X", "-A", "-t", "-c", "series 2", "-c", "fail", &url])
        .env("PGPASSWORD", "sesame")
        .stdin(Stdio::null())
        .output()
        .await;
    let output = match command {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: no psql here");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1|row 1\n2|row 2\n", "{errors}");
    assert!(errors.contains("ERROR:  division by zero"), "{errors}");
}

/// A client that speaks bytes.
struct Raw(TcpStream);

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((body.len() as i32 + 4).to_be_bytes());
    message.extend(body);
    message
}

fn message_of_query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn describe(target: char, name: &str) -> Vec<u8> {
    message(b'D', format!("{target}{name}\0").as_bytes())
}

fn execute(portal: &str, rows: i32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(rows.to_be_bytes());
    message(b'E', &body)
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

impl Raw {
    async fn connect(server: &Running) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        let parameters = b"\0\x03\0\0user\0boss\0database\0db\0\0";
        socket.write_all(&(parameters.len() as i32 + 4).to_be_bytes()).await.unwrap();
        socket.write_all(parameters).await.unwrap();
        let mut raw = Self(socket);
        while raw.next().await.unwrap().0 != b'Z' {}
        raw
    }

    async fn send(&mut self, messages: &[Vec<u8>]) {
        self.0.write_all(&messages.concat()).await.unwrap();
    }

    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.0.read_u8().await.ok()?;
        let length = self.0.read_i32().await.ok()? as usize - 4;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some((kind, body))
    }

    /// Types of the messages up to ReadyForQuery.
    async fn kinds(&mut self) -> String {
        let mut kinds = String::new();
        while let Some((kind, _)) = self.next().await {
            kinds.push(char::from(kind));
            if kind == b'Z' {
                break;
            }
        }
        kinds
    }

    /// The same for a simple query, with the transaction status at the end.
    async fn query(&mut self, sql: &str) -> String {
        self.send(&[message_of_query(sql)]).await;
        let mut kinds = String::new();
        while let Some((kind, body)) = self.next().await {
            kinds.push(char::from(kind));
            if kind == b'Z' {
                kinds.push(char::from(body[0]));
                break;
            }
        }
        kinds
    }

    /// SQLSTATE and message of the first error; reads up to ReadyForQuery or the end.
    async fn error(&mut self) -> String {
        let mut found = String::new();
        while let Some((kind, body)) = self.next().await {
            if kind == b'E' {
                let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
                let field = |code: u8| {
                    let field = fields.clone().find(|field| field[0] == code).unwrap();
                    String::from_utf8_lossy(&field[1..]).into_owned()
                };
                found = format!("{} {}", field(b'C'), field(b'M'));
            }
            if kind == b'Z' {
                break;
            }
        }
        found
    }
}

#[tokio::test]
async fn silent_sockets_keep_nobody_out() {
    let server = start_with(Some("sesame"), 4).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(("127.0.0.1", server.port)).await.unwrap());
    }
    let limit = Duration::from_secs(10);
    let mut config = server.config();
    let client = tokio::time::timeout(limit, connect(config.password("sesame"))).await;
    let client = client.expect("it is not kept waiting").unwrap();
    assert_eq!(simple(&client, "series 1").await.unwrap().len(), 1);
    let first = tokio::time::timeout(limit, silent[0].read(&mut [0])).await;
    assert_eq!(first.expect("the first one is closed").unwrap_or(0), 0);
    let mut buffer = [0];
    let last = silent.last_mut().unwrap().read(&mut buffer);
    let waits = tokio::time::timeout(Duration::from_millis(100), last).await;
    assert!(waits.is_err(), "the last one may still speak");
}
