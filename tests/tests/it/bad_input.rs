//! Input that is wrong, on purpose or not: a clear error on that session, and all others go on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::cluster::{Address, Layout, shared_up};
use satsuma_tests::frames;
use satsuma_tests::wire::{Client, WireError};

fn still_serves(address: &Address) {
    let mut client = address.client().expect("another session connects");
    assert_eq!(client.value("SELECT 1").expect("it answers").as_deref(), Some("1"));
}

/// Sends bytes to a fresh connection, and what comes back until the server closes it.
fn send(address: &Address, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect((address.host.as_str(), address.port)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

fn startup(parameters: &[&str], version: i32) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for text in parameters {
        body.extend(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = (body.len() as i32 + 4).to_be_bytes().to_vec();
    message.extend(body);
    message
}

#[test]
fn a_malformed_startup_ends_only_that_connection() {
    let cluster = shared_up();
    let address = cluster.address();
    let huge = [0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0];
    let negative = [0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0];
    let short = [0, 0, 0, 3];
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let unterminated = [0, 0, 0, 12, 0, 3, 0, 0, b'u', b's', b'e', b'r'];
    let cases: [&[u8]; 7] = [&huge, &negative, &short, http, &unterminated, b"", &[0; 64]];
    for bytes in cases {
        let started = Instant::now();
        let answer = send(&address, bytes);
        assert!(started.elapsed() < Duration::from_secs(15), "{bytes:?} keeps a connection");
        assert!(answer.len() < 10_000, "{bytes:?} is answered with {} bytes", answer.len());
        still_serves(&address);
    }
    let no_user = send(&address, &startup(&["database", "satsuma"], 196_608));
    assert!(String::from_utf8_lossy(&no_user).contains("28000"), "{no_user:?}");
    let version_9 = send(&address, &startup(&["user", "satsuma"], 9 << 16));
    assert!(String::from_utf8_lossy(&version_9).contains("0A000"), "{version_9:?}");
    still_serves(&address);
}

#[test]
fn malformed_messages_are_protocol_violations() {
    let cluster = shared_up();
    let address = cluster.address();
    // (type, body): not zero-terminated, counts that promise more, types that do not exist.
    let cases: [(char, &[u8]); 8] = [
        ('Q', b"SELECT 1"),
        ('P', b"name"),
        ('P', b"\0SELECT 1\0\x7f\xff"),
        ('B', b"\0\0\0\x01"),
        ('B', b"\0\0\0\0\x7f\xff\0\0"),
        ('D', b"X\0"),
        ('E', b"\0"),
        ('y', b""),
    ];
    for (kind, body) in cases {
        let mut client = address.client().expect("a connection");
        // A statement to bind to.
        let (parse, statement) = frames::parse("", "SELECT 1", &[]);
        client.write_frame(Some(parse), &statement).expect("it is sent");
        client.write_frame(Some(kind), body).expect("it is sent");
        let _ = client.write_frame(Some('S'), &[]);
        match client.read_answer("") {
            Ok(answer) => {
                let error = answer.error().unwrap_or_else(|| panic!("{kind} {body:?}: {answer:?}"));
                assert!(error.code().starts_with("08"), "{kind} {body:?}: {error:?}");
            }
            // Closed: also an answer to what cannot be understood.
            Err(WireError::Io(_)) => {}
            Err(error) => panic!("{kind} {body:?}: {error}"),
        }
        still_serves(&address);
    }
}

#[test]
fn a_huge_length_does_not_reserve_memory() {
    let cluster = shared_up();
    let address = cluster.address();
    for length in [i32::MAX, i32::MAX - 4, -1, 0, 3] {
        let mut client = address.client().expect("a connection");
        let mut frame = vec![b'Q'];
        frame.extend(length.to_be_bytes());
        frame.extend(b"SELECT 1\0");
        client.raw().write_all(&frame).expect("it is sent");
        client.raw().shutdown(Shutdown::Write).expect("half closed");
        let answer = client.read_answer("");
        let served = answer.is_ok_and(|answer| answer.error().is_none());
        assert!(!served, "a message of length {length} was served");
        still_serves(&address);
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let cluster = shared_up();
    let address = cluster.address();
    let seed = rand::rng().random_range(0..1_000_000);
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let kinds = b"QPBDESHCFdcfXp";
    for _ in 0..60 {
        let mut client = address.client().expect("a connection");
        for _ in 0..random.random_range(1..8) {
            let kind = kinds[random.random_range(0..kinds.len())] as char;
            let body: Vec<u8> = (0..random.random_range(0..40)).map(|_| random.random()).collect();
            if client.write_frame(Some(kind), &body).is_err() {
                break;
            }
        }
    }
    still_serves(&address);
}

#[test]
fn an_unknown_database_is_refused() {
    let cluster = shared_up();
    let mut address = cluster.address();
    address.database = "no_such_database".into();
    match Client::connect(&address) {
        Err(WireError::Server(fields)) => {
            assert_eq!(fields.code(), "3D000");
            assert_eq!(fields.get('S'), "FATAL");
            assert_eq!(fields.message(), "database \"no_such_database\" does not exist");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it connected"),
    }
}

#[test]
fn an_unknown_user_is_refused() {
    let cluster = shared_up();
    let mut address = cluster.address();
    address.user = "nobody_here".into();
    match Client::connect(&address) {
        Err(WireError::Server(fields)) => {
            assert_eq!(fields.code(), "28000");
            assert_eq!(fields.message(), "role \"nobody_here\" does not exist");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it connected"),
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_is_not() {
    let layout = Layout { password: Some("correct horse".into()), ..Layout::up() };
    // The harness's own client cannot do SCRAM: no waiting for workers over it.
    let cluster = tokio::task::spawn_blocking(move || layout.start_without_waiting())
        .await
        .expect("the cluster starts");
    let client = cluster.address().connect().await.expect("the right password connects");
    let row = client.query_one("SELECT current_user::text", &[]).await.expect("it answers");
    assert_eq!(row.get::<_, String>(0), "satsuma");
    for password in [Some("wrong"), Some(""), None] {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(cluster.address().port).user("satsuma").dbname("satsuma");
        if let Some(password) = password {
            config.password(password);
        }
        let error = config.connect(tokio_postgres::NoTls).await.err().expect("it is refused");
        if let Some(db) = error.as_db_error() {
            assert_eq!(db.code().code(), "28P01", "{db:?}");
        } else {
            assert_eq!(password, None, "{error}: only a missing password fails in the client");
        }
    }
    // An unknown user looks the same as a wrong password.
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(cluster.address().port).user("nobody").dbname("satsuma");
    config.password("x");
    let error = config.connect(tokio_postgres::NoTls).await.err().expect("it is refused");
    let code = error.as_db_error().map(|db| db.code().code().to_owned());
    assert_eq!(code.as_deref(), Some("28P01"));
}

#[test]
fn bad_csv_names_line_and_column_and_loads_nothing() {
    let cluster = shared_up();
    let mut client = cluster.client();
    client.must("CREATE TABLE bad_csv (id int PRIMARY KEY, made date, name text)");
    client.must("SELECT create_distributed_table('bad_csv', 'id')");
    let good: String = (1..=500).map(|id| format!("{id},2024-01-01,row {id}\n")).collect();
    let cases = [
        ("501,2024-01-01\n", "22P04", "missing data for column \"name\"", "COPY bad_csv, line 501"),
        (
            "501,2024-01-01,a,b\n",
            "22P04",
            "extra data after last expected column",
            "COPY bad_csv, line 501",
        ),
        (
            "501,nonsense,a\n",
            "22007",
            "invalid input syntax for type date: \"nonsense\"",
            "COPY bad_csv, line 501, column made: \"nonsense\"",
        ),
        (
            "five,2024-01-01,a\n",
            "22P02",
            "invalid input syntax for type integer: \"five\"",
            "COPY bad_csv, line 501, column id: \"five\"",
        ),
        (
            "501,2024-01-01,\"open\n",
            "22P04",
            "unterminated CSV quoted field",
            "COPY bad_csv, line 502",
        ),
    ];
    for (line, code, message, context) in cases {
        let data = format!("{good}{line}");
        let answer = client.query_with_data("COPY bad_csv FROM STDIN WITH CSV", &data);
        let answer = answer.expect("an answer");
        let error = answer.error().unwrap_or_else(|| panic!("{line:?} was loaded"));
        assert_eq!((error.code(), error.message()), (code, message), "{line:?}");
        assert!(error.get('W').starts_with(context), "{line:?}: context {:?}", error.get('W'));
        let count = client.value("SELECT count(*) FROM bad_csv").expect("a count");
        assert_eq!(count.as_deref(), Some("0"), "{line:?} left rows");
    }
    client.must("DROP TABLE bad_csv");
}

#[tokio::test]
async fn a_cancel_request_ends_a_statement() {
    let cluster = tokio::task::spawn_blocking(shared_up).await.expect("a cluster");
    let client = cluster.address().connect().await.expect("a connection");
    let token = client.cancel_token();
    let canceller = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(tokio_postgres::NoTls).await
    });
    let started = Instant::now();
    let error = client.batch_execute("SELECT pg_sleep(30)").await.expect_err("it is cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    canceller.await.expect("a task").expect("the request is taken");
    client.batch_execute("SELECT 1").await.expect("the session goes on");
}

#[test]
fn a_statement_timeout_ends_a_long_query() {
    let cluster = shared_up();
    let mut client = cluster.client();
    client.must("SET statement_timeout = '300ms'");
    let started = Instant::now();
    let long = "SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b WHERE a + b = 7";
    let answer = client.query(long).expect("an answer");
    let error = answer.error().expect("it is cancelled");
    assert_eq!(error.code(), "57014", "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    client.must("RESET statement_timeout");
    client.must("SELECT 1");
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    let cluster = shared_up();
    let address = cluster.address();
    for depth in [500, 20_000] {
        let parentheses = format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        let minus = format!("SELECT {}1", "- ".repeat(depth));
        let and = format!("SELECT true{}", " AND true".repeat(depth));
        for sql in [parentheses, minus, and] {
            let mut client = address.client().expect("a connection");
            // An answer or an error, but an answer.
            client.query(&sql).unwrap_or_else(|error| panic!("depth {depth}: {error}"));
            still_serves(&address);
        }
    }
}

#[test]
fn hostile_values_are_errors() {
    let cluster = shared_up();
    let mut client = cluster.client();
    for (sql, code) in [
        ("SELECT repeat('x', 2000000000)", "54000"),
        ("SELECT lpad('x', 2000000000)", "54000"),
        ("SELECT '[1'::jsonb", "22P02"),
        ("SELECT array_fill(1, array[2000000000])", "54000"),
        ("SELECT 1e131073::numeric", "22003"),
        ("SELECT '99999999999-01-01'::date", "22008"),
        ("SELECT E'\\xff'", "22021"),
        ("SELECT to_char(now(), repeat('Y', 100000)) = ''", ""),
    ] {
        let answer = client.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        if let Some(error) = answer.error() {
            assert!(!error.code().starts_with("XX"), "{sql}: {error:?}");
            assert!(code.is_empty() || error.code() == code, "{sql}: {error:?}, not {code}");
        } else {
            assert!(code.is_empty(), "{sql} has an answer");
        }
    }
}
