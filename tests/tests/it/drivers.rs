//! Clients that people use: `satsuma sql`, psycopg 3, SQLAlchemy, asyncpg, pgjdbc, the ADBC Flight
//! SQL driver, psql over TLS.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use satsuma_tests::binaries::binary;
use satsuma_tests::cluster::{Cluster, Layout, shared_up};
use satsuma_tests::psql;
use satsuma_tests::skip::skip;

/// Runs a Python program, or notes what is missing.
fn python(test: &str, module: &str, program: &str, arguments: &[&str]) -> Option<Output> {
    let python = std::env::var("SATSUMA_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if !import.is_ok_and(|output| output.status.success()) {
        skip(test, &format!("Python has no module {module}"));
        return None;
    }
    let output = Command::new(&python)
        .args(["-c", program])
        .args(arguments)
        .output()
        .expect("Python starts");
    Some(output)
}

fn succeeded(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn table(cluster: &Cluster, name: &str) {
    let mut client = cluster.client();
    client.must(&format!(
        "CREATE TABLE {name} (id bigint PRIMARY KEY, name text, price numeric(10,2), made timestamp, data jsonb, ip inet);
         SELECT create_distributed_table('{name}', 'id', colocate_with => 'none');
         INSERT INTO {name} SELECT g, 'row ' || g, g * 1.25, timestamp '2024-01-01' + g * interval '1 day', jsonb_build_object('n', g), ('10.0.0.' || g)::inet FROM generate_series(1, 50) g;
         INSERT INTO {name} (id) VALUES (51);"
    ));
}

const PSYCOPG: &str = r#"
import sys, datetime, decimal, ipaddress, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name, price, made, data, ip FROM by_psycopg WHERE id = %s", (7,))
        row = cursor.fetchone()
        assert row == (7, "row 7", decimal.Decimal("8.75"), datetime.datetime(2024, 1, 8), {"n": 7},
                       ipaddress.ip_address("10.0.0.7")), row
        cursor.execute("SELECT * FROM by_psycopg WHERE id = 51")
        assert cursor.fetchone() == (51, None, None, None, None, None)
        cursor.executemany("INSERT INTO by_psycopg (id, name) VALUES (%s, %s)", [(n, f"many {n}") for n in range(100, 120)])
        cursor.execute("SELECT count(*) FROM by_psycopg WHERE id >= 100")
        assert cursor.fetchone() == (20,)
        with cursor.copy("COPY by_psycopg (id, name) FROM STDIN") as copy:
            for n in range(200, 210):
                copy.write_row((n, "copied\tand escaped"))
        with cursor.copy("COPY (SELECT id, name FROM by_psycopg WHERE id >= 200 ORDER BY id) TO STDOUT") as copy:
            rows = list(copy.rows())
        assert rows[0] == ("200", "copied\tand escaped") and len(rows) == 10, rows
    connection.rollback()
    with connection.cursor(binary=True) as cursor:
        cursor.execute("SELECT count(*), sum(price), max(made) FROM by_psycopg WHERE id < %s", (60,))
        assert cursor.fetchone() == (51, decimal.Decimal("1593.75"), datetime.datetime(2024, 2, 20))
        try:
            cursor.execute("INSERT INTO by_psycopg (id) VALUES (1)")
        except psycopg.errors.UniqueViolation as error:
            assert error.diag.constraint_name == "by_psycopg_pkey", error.diag.constraint_name
        else:
            raise AssertionError("a duplicate was taken")
    connection.rollback()
    with connection.transaction():
        connection.execute("UPDATE by_psycopg SET name = 'changed' WHERE id = 1")
    with connection.cursor(name="portal") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT id FROM by_psycopg WHERE id < 60 ORDER BY id")
        assert [row[0] for row in cursor] == list(range(1, 52))
    with connection.cursor(name="of some") as cursor:
        cursor.execute("SELECT id, %s FROM by_psycopg WHERE id < %s ORDER BY id", ("x", 4))
        assert cursor.fetchall() == [(1, "x"), (2, "x"), (3, "x")]
    assert connection.execute("SELECT name FROM by_psycopg WHERE id = 1").fetchone() == ("changed",)
print("fine")
"#;

#[test]
fn psycopg_reads_and_writes() {
    let cluster = shared_up();
    table(&cluster, "by_psycopg");
    let address = cluster.address().to_string();
    let Some(output) = python("psycopg_reads_and_writes", "psycopg", PSYCOPG, &[&address]) else {
        return;
    };
    assert_eq!(succeeded(&output).trim(), "fine");
}

const ADBC: &str = r#"
import sys
import adbc_driver_flightsql.dbapi as flight
with flight.connect(sys.argv[1], db_kwargs={"username": "satsuma", "password": ""}, autocommit=True) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM by_adbc ORDER BY id")
        table = cursor.fetch_arrow_table()
        assert table.num_rows == 51, table.num_rows
        assert table.column_names == ["id", "name", "price", "made", "data", "ip"], table.column_names
        assert table.column("id").to_pylist() == list(range(1, 52))
        assert str(table.column("price")[6].as_py()) == "8.75"
        kinds = [b" ".join((field.metadata or {}).values()) for field in table.schema]
        assert b"jsonb" in kinds[4] and b"inet" in kinds[5], kinds
        cursor.execute("SELECT count(*) AS n, sum(price) AS total FROM by_adbc")
        print(cursor.fetchone())
        try:
            cursor.execute("SELECT nonsense FROM by_adbc")
            cursor.fetchall()
        except Exception as error:
            assert "nonsense" in str(error), error
        else:
            raise AssertionError("no error")
"#;

#[test]
fn adbc_reads_a_table_into_arrow() {
    let cluster = shared_up();
    table(&cluster, "by_adbc");
    let url = cluster.grpc_url(0).replace("grpc://", "grpc+tcp://");
    let Some(output) = python(
        "adbc_reads_a_table_into_arrow",
        "adbc_driver_flightsql.dbapi, pyarrow",
        ADBC,
        &[&url],
    ) else {
        return;
    };
    let printed = succeeded(&output);
    assert!(printed.contains("51") && printed.contains("1593.75"), "{printed}");
}

const ADBC_WRITES: &str = r#"
import sys, pyarrow
import adbc_driver_flightsql.dbapi as flight
import psycopg
uri, address = sys.argv[1:]
pg = psycopg.connect(address, autocommit=True)
count = lambda where="true": pg.execute(f"SELECT count(*) FROM adbc_writes WHERE {where}").fetchone()[0]
with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
    # Nothing is fetched: what the statements did must be there all the same.
    cursor.execute("CREATE TABLE adbc_writes (a int PRIMARY KEY)")
    assert pg.execute("SELECT to_regclass('adbc_writes')").fetchone()[0] == "adbc_writes"
    cursor.execute("SELECT create_distributed_table('adbc_writes', 'a')")
    assert pg.execute("SELECT count(*) FROM citus_tables WHERE table_name = 'adbc_writes'::regclass").fetchone()[0] == 1
    for n in range(20):
        cursor.execute(f"INSERT INTO adbc_writes VALUES ({n})")
    assert count() == 20, count()
    cursor.execute("INSERT INTO adbc_writes VALUES (100), (101) RETURNING a, a + 1 AS b")
    assert count() == 22
    assert sorted(cursor.fetchall()) == [(100, 101), (101, 102)]
    cursor.execute("WITH gone AS (DELETE FROM adbc_writes WHERE a >= 100 RETURNING a) SELECT count(*) FROM gone")
    assert count() == 20
    assert cursor.fetchall() == [(2,)]
    cursor.execute("INSERT INTO adbc_writes VALUES ($1)", (200,))
    assert count() == 21
    cursor.executemany("INSERT INTO adbc_writes VALUES ($1)", [(201,), (202,)])
    assert count() == 23
    try:
        cursor.execute("INSERT INTO adbc_writes VALUES (1)")
    except Exception as error:
        assert "23505" in str(error), error
    else:
        raise AssertionError("a duplicate was taken")
    cursor.execute("SELECT count(*) FROM adbc_writes")
    assert cursor.fetchall() == [(23,)]
with flight.connect(uri) as connection:
    with connection.cursor() as cursor:
        for n in range(1000, 1020):
            cursor.execute(f"INSERT INTO adbc_writes VALUES ({n})")
        assert count() == 23
        connection.commit()
        assert count() == 43, count()
        cursor.execute("DELETE FROM adbc_writes WHERE a >= 1010")
        connection.rollback()
        assert count() == 43
        # The same text on the same cursor: the driver keeps its prepared statement over the commit.
        for _ in range(3):
            cursor.execute("UPDATE adbc_writes SET a = a + 10000 WHERE a = (SELECT max(a) FROM adbc_writes WHERE a < 10000)")
            connection.commit()
        assert count("a > 10000") == 3, count("a > 10000")
        for _ in range(2):
            cursor.execute("SELECT count(*) FROM adbc_writes")
            assert cursor.fetchall() == [(43,)]
            connection.commit()
        cursor.execute("DELETE FROM adbc_writes WHERE a = 0")
        connection.rollback()
        cursor.execute("DELETE FROM adbc_writes WHERE a = 0")
        connection.commit()
        assert count("a = 0") == 0
        # Rows that are ingested are the transaction's, and meet what it has written.
        rows = lambda first: pyarrow.table({"a": pyarrow.array(range(first, first + 5), pyarrow.int32())})
        cursor.adbc_ingest("adbc_writes", rows(3000), mode="append")
        assert count("a >= 3000 AND a < 4000") == 0
        connection.rollback()
        assert count("a >= 3000 AND a < 4000") == 0
        cursor.execute("INSERT INTO adbc_writes VALUES (3000)")
        cursor.adbc_ingest("adbc_writes", rows(3001), mode="append")
        connection.commit()
        assert count("a >= 3000 AND a < 4000") == 6
        cursor.execute("INSERT INTO adbc_writes VALUES (3500)")
        try:
            cursor.adbc_ingest("adbc_writes", rows(3498), mode="append")
        except Exception as error:
            assert "23505" in str(error), error
        else:
            raise AssertionError("a duplicate was taken")
        connection.rollback()
        assert count("a >= 3000 AND a < 4000") == 6
# The old table goes only if its new rows have come.
def broken():
    yield rows(1).to_batches()[0]
    raise ValueError("no more rows")
before = count()
with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
    schema = pyarrow.schema([("a", pyarrow.int32())])
    try:
        cursor.adbc_ingest("adbc_writes", pyarrow.RecordBatchReader.from_batches(schema, broken()), mode="replace")
    except Exception:
        pass
    else:
        raise AssertionError("rows that did not come were taken")
assert count() == before, count()
with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("adbc_writes", rows(1), mode="replace")
    assert count() == 5
print("fine")
"#;

/// A driver's `execute` does what it says, whether or not the result is fetched.
#[test]
fn adbc_writes_without_fetching() {
    let cluster = shared_up();
    let url = cluster.grpc_url(0).replace("grpc://", "grpc+tcp://");
    let address = cluster.address().to_string();
    let output = python(
        "adbc_writes_without_fetching",
        "adbc_driver_flightsql.dbapi, pyarrow, psycopg",
        ADBC_WRITES,
        &[&url, &address],
    );
    let Some(output) = output else { return };
    assert_eq!(succeeded(&output).trim(), "fine");
}

const ADBC_LEAVES: &str = r#"
import sys, os, time
import adbc_driver_flightsql.dbapi as flight
import psycopg
uri, address = sys.argv[1:]
pg = psycopg.connect(address, autocommit=True)
pg.execute("CREATE TABLE adbc_leaves (a int PRIMARY KEY, b int)")
pg.execute("SELECT create_distributed_table('adbc_leaves', 'a')")
pg.execute("INSERT INTO adbc_leaves VALUES (1, 0)")
pg.execute("SET statement_timeout = '10s'")
others = lambda: pg.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%adbc_leaves%' AND pid <> pg_backend_pid()").fetchone()[0]

def begin():
    connection = flight.connect(uri)
    cursor = connection.cursor()
    cursor.execute("UPDATE adbc_leaves SET b = b + 100")
    return connection, cursor

# It goes without a word.
child = os.fork()
if child == 0:
    os.execv(sys.executable, [sys.executable, "-c", f"""
import os
import adbc_driver_flightsql.dbapi as flight
connection = flight.connect({uri!r})
connection.cursor().execute("UPDATE adbc_leaves SET b = b + 100")
os._exit(7)
"""])
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
pg.execute("UPDATE adbc_leaves SET b = b + 1")
# It says goodbye.
connection, cursor = begin()
cursor.close()
connection.close()
started = time.monotonic()
pg.execute("UPDATE adbc_leaves SET b = b + 1")
print("after a goodbye", round(time.monotonic() - started, 1), file=sys.stderr)
# It is terminated.
connection, cursor = begin()
pid = pg.execute("SELECT pid FROM pg_stat_activity WHERE query LIKE 'UPDATE adbc_leaves%' AND pid <> pg_backend_pid()").fetchone()[0]
assert pg.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone()[0]
pg.execute("UPDATE adbc_leaves SET b = b + 1")
assert pg.execute("SELECT b FROM adbc_leaves").fetchone() == (3,)
deadline = time.monotonic() + 10
while others() and time.monotonic() < deadline:
    time.sleep(0.1)
assert others() == 0
print("fine")
"#;

/// The end of a client is the end of its transaction and its locks.
#[test]
fn adbc_clients_that_leave_hold_nothing() {
    let cluster = shared_up();
    let url = cluster.grpc_url(0).replace("grpc://", "grpc+tcp://");
    let address = cluster.address().to_string();
    let output = python(
        "adbc_clients_that_leave_hold_nothing",
        "adbc_driver_flightsql.dbapi, pyarrow, psycopg",
        ADBC_LEAVES,
        &[&url, &address],
    );
    let Some(output) = output else { return };
    assert_eq!(succeeded(&output).trim(), "fine");
}

const COPY_IN_BINARY: &str = r#"
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    for query, rows in [
        ("SELECT g, g::text FROM generate_series(1, 3) g ORDER BY 1", [(1, "1"), (2, "2"), (3, "3")]),
        ("SELECT 1, 'x'::text WHERE false", []),
    ]:
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            found = list(copy.rows())
        assert found == rows, found
print("fine")
"#;

#[test]
fn psycopg_reads_binary_copies() {
    let cluster = shared_up();
    let address = cluster.address().to_string();
    let test = "psycopg_reads_binary_copies";
    let Some(output) = python(test, "psycopg", COPY_IN_BINARY, &[&address]) else { return };
    assert_eq!(succeeded(&output).trim(), "fine");
}

const TLS_FAREWELL: &str = r#"
import socket, ssl, struct, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
def connect():
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
    plain.sendall(struct.pack("!II", 8, 80877103))
    assert plain.recv(1) == b"S"
    # An end without close_notify is an error.
    return context.wrap_socket(plain, suppress_ragged_eofs=False)
def startup(user):
    body = struct.pack("!I", 3 << 16) + b"user\0" + user + b"\0database\0satsuma\0\0"
    return struct.pack("!I", len(body) + 4) + body
for name, packet in [
    ("cancel", struct.pack("!IIII", 16, 80877102, 1, 2)),
    ("nonsense", struct.pack("!I", 3)),
    ("nobody", startup(b"nobody")),
    ("terminate", startup(b"satsuma") + b"X" + struct.pack("!I", 4)),
]:
    stream = connect()
    stream.sendall(packet)
    while stream.recv(4096):
        pass
    print(name)
"#;

/// However a connection ends, TLS is told: libpq reports an error otherwise.
#[test]
fn tls_connections_end_with_a_farewell() {
    let cluster = shared_up();
    let port = cluster.address().port.to_string();
    let test = "tls_connections_end_with_a_farewell";
    let Some(output) = python(test, "ssl", TLS_FAREWELL, &[&port]) else { return };
    let said = succeeded(&output);
    assert_eq!(said.split_whitespace().count(), 4, "{said}");
}

#[test]
fn a_sqlalchemy_application_works() {
    let test = "a_sqlalchemy_application_works";
    let cluster = shared_up();
    let url = format!("postgresql+psycopg://satsuma@127.0.0.1:{}/satsuma", cluster.address().port);
    let program = include_str!("../../drivers/sqlalchemy_app.py");
    let Some(output) = python(test, "sqlalchemy, psycopg", program, &[&url]) else { return };
    assert_eq!(succeeded(&output).trim(), "fine");
}

#[test]
fn asyncpg_works() {
    let cluster = shared_up();
    let program = include_str!("../../drivers/asyncpg_app.py");
    let port = cluster.address().port.to_string();
    let Some(output) = python("asyncpg_works", "asyncpg", program, &[&port]) else { return };
    assert_eq!(succeeded(&output).trim(), "fine");
}

/// Where Debian's package libpostgresql-jdbc-java puts the driver.
const JDBC_DRIVER: &str = "/usr/share/java/postgresql.jar";

#[test]
fn jdbc_works() {
    let has_java = Command::new("javac").arg("-version").output().is_ok();
    if !has_java || !Path::new(JDBC_DRIVER).exists() {
        return skip("jdbc_works", "Java or its PostgreSQL driver is not installed");
    }
    let cluster = shared_up();
    let output = Command::new("java")
        .args(["-cp", JDBC_DRIVER])
        .arg(satsuma_tests::tests_path("drivers/Jdbc.java"))
        .arg(cluster.address().port.to_string())
        .output()
        .expect("Java starts");
    assert_eq!(succeeded(&output).trim(), "fine");
}

fn shell(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(binary("satsuma"))
        .args(["sql", "--url", &cluster.grpc_url(0)])
        .args(arguments)
        .output()
        .expect("satsuma sql starts")
}

#[test]
fn satsuma_sql_runs_statements_over_grpc() {
    let cluster = shared_up();
    table(&cluster, "by_shell");
    let one = succeeded(&shell(
        &cluster,
        &["-c", "SELECT id, name, price, ip FROM by_shell WHERE id = 7"],
    ));
    for text in ["id", "name", "price", "row 7", "8.75", "10.0.0.7"] {
        assert!(one.contains(text), "{text} in\n{one}");
    }
    let written = shell(&cluster, &["-c", "UPDATE by_shell SET name = 'changed' WHERE id <= 3"]);
    assert!(succeeded(&written).contains("UPDATE 3"), "{written:?}");

    let script = cluster.directory().join("script.sql");
    std::fs::write(
        &script,
        "-- a comment; with a semicolon\nBEGIN;\nINSERT INTO by_shell (id, name) VALUES (900, 'a;b');\nCOMMIT;\nSELECT name FROM by_shell WHERE id = 900;\n",
    )
    .expect("a script");
    let output = succeeded(&shell(&cluster, &["-f", &script.to_string_lossy()]));
    assert!(output.contains("a;b"), "{output}");

    let wrong = shell(&cluster, &["-c", "SELECT nonsense"]);
    assert!(!wrong.status.success(), "an error is a failure");
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(text.contains("column \"nonsense\" does not exist"), "{text}");
}

/// What pg_dump writes, and what psql users rely on.
#[test]
fn satsuma_sql_takes_scripts_as_psql_does() {
    let cluster = shared_up();
    let script = cluster.directory().join("with_data.sql");
    let text = "CREATE TABLE with_data (a int, b text);\n\
        COPY with_data (a, b) FROM stdin;\n1\tx;\n2\ty\n\\.\n\
        \\copy with_data from stdin\n3\tz\n\\.\n\
        INSERT INTO with_data VALUES (4, 'a\r\nb');\r\n\
        SELECT 'rows: ' || string_agg(b, '|' ORDER BY a) FROM with_data WHERE a < 4;\r\n\
        SELECT 'length: ' || length(b) FROM with_data WHERE a = 4;\n";
    std::fs::write(&script, text).expect("a script");
    let output = succeeded(&shell(&cluster, &["-f", &script.to_string_lossy()]));
    for expected in ["COPY 2", "COPY 1", "rows: x;|y|z", "length: 4"] {
        assert!(output.contains(expected), "{expected} in\n{output}");
    }
    // The statements of one -c are one transaction.
    let failed = shell(&cluster, &["-c", "DELETE FROM with_data; SELECT 1 / 0"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let count = shell(&cluster, &["-t", "-c", "SELECT count(*) FROM with_data"]);
    assert_eq!(succeeded(&count).trim(), "4");

    let rows: Vec<String> = (0..20_000).map(|row| format!("({row}, 'v')")).collect();
    let text = format!("INSERT INTO with_data VALUES\n{};\n", rows.join(",\n"));
    std::fs::write(&script, text).expect("a script");
    let output = succeeded(&shell(&cluster, &["-f", &script.to_string_lossy()]));
    assert!(output.contains("INSERT 0 20000"), "{output}");
}

#[test]
fn satsuma_sql_describes_relations() {
    let cluster = shared_up();
    let told = |script: &str| {
        let path = cluster.directory().join("describe.sql");
        std::fs::write(&path, script).expect("a script");
        succeeded(&shell(&cluster, &["-f", &path.to_string_lossy()]))
    };
    told("CREATE TABLE \"Owners\" (id int PRIMARY KEY, name varchar(20) UNIQUE);
          CREATE TABLE cars (id bigint, owner int REFERENCES \"Owners\", price numeric(8,2) CHECK (price > 0));
          CREATE VIEW cheap_cars AS SELECT * FROM cars WHERE price < 10;");
    let cars = told("\\d cars");
    for expected in [
        "Table \"public.cars\"",
        "numeric(8,2)",
        "\"cars_price_check\" CHECK ((price > (0)::numeric))",
        "\"cars_owner_fkey\" FOREIGN KEY (owner) REFERENCES \"Owners\"(id)",
    ] {
        assert!(cars.contains(expected), "{expected} in\n{cars}");
    }
    let owners = told("\\d public.\"Owners\"");
    for expected in
        ["character varying(20)", "\"Owners_pkey\" PRIMARY KEY, btree (id)", "TABLE cars"]
    {
        assert!(owners.contains(expected), "{expected} in\n{owners}");
    }
    assert!(told("\\dv").contains("cheap_cars") && !told("\\dv").contains("Owners"));
    assert!(told("\\di").contains("Owners_name_key"));
    let missing = told("\\d owners");
    assert_eq!(missing.trim(), "Did not find any relation named \"owners\".");
    let mut full = Command::new(binary("satsuma"));
    full.args(["sql", "--url", &cluster.grpc_url(0), "-c", "SELECT 1"]);
    let full = full.stdout(std::fs::File::create("/dev/full").expect("a full disk")).status();
    assert_eq!(full.expect("satsuma sql runs").code(), Some(1));
}

/// The server asks every five seconds whether its client is there.
#[test]
fn satsuma_sql_stays_connected_while_nobody_types() {
    let cluster = shared_up();
    let mut child = Command::new(binary("satsuma"))
        .args(["sql", "--url", &cluster.grpc_url(0)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("satsuma sql starts");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"SET application_name = 'kept';\n").expect("a line");
    std::thread::sleep(Duration::from_secs(13));
    input.write_all(b"SHOW application_name;\n").expect("a line");
    drop(input);
    let output = child.wait_with_output().expect("its output");
    assert!(succeeded(&output).contains("kept"), "{output:?}");
}

/// Lines that come while a statement runs, as one pastes them without bracketed paste.
#[test]
fn satsuma_sql_keeps_what_is_typed_ahead() {
    if Command::new("script").arg("--version").output().is_err() {
        return skip("satsuma_sql_keeps_what_is_typed_ahead", "script is not installed");
    }
    let cluster = shared_up();
    let program = binary("satsuma");
    let shell = format!("{} sql --url {}", program.display(), cluster.grpc_url(0));
    let mut script = Command::new("script")
        .args(["-qec", &shell, "/dev/null"])
        .env("TERM", "dumb")
        .env("HOME", cluster.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut terminal = script.stdin.take().expect("a terminal");
    let lines: String = (1..=30).map(|line| format!("SELECT {line} * 1001;\n")).collect();
    let ahead = "SELECT 'is' || pg_sleep(0.5)::text || 'up';\n";
    terminal.write_all(format!("{ahead}{lines}\\q\n").as_bytes()).expect("it is typed");
    std::thread::sleep(Duration::from_secs(3));
    // Should the last line be lost, too, this is the end.
    drop(terminal);
    let output = script.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in 1..=30 {
        assert!(shown.contains(&format!(" {}", line * 1001)), "line {line} is lost:\n{shown}");
    }
}

const ADBC_TLS: &str = r#"
import sys
import adbc_driver_flightsql.dbapi as flight
uri, certificate = sys.argv[1:]
trusted = {"adbc.flight.sql.client_option.tls_root_certs": open(certificate).read()}
with flight.connect(uri, db_kwargs=trusted, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT 40 + 2")
    assert cursor.fetchall() == [(42,)]
try:
    flight.connect(uri, autocommit=True).cursor().execute("SELECT 1")
except Exception as error:
    assert "certificate" in str(error), error
else:
    raise AssertionError("an unknown certificate was trusted")
print("fine")
"#;

#[test]
fn flight_sql_under_tls() {
    let cluster = shared_up();
    let url = cluster.grpc_url(0).replace("grpc://", "grpc+tls://");
    let certificate = cluster.directory().join("data/coordinator/server.crt");
    let certificate = certificate.to_str().expect("a path");
    let sql = |arguments: &[&str]| {
        let mut command = Command::new(binary("satsuma"));
        command.args(["sql", "--url", &url, "-c", "SELECT 40 + 2"]).args(arguments);
        command.output().expect("satsuma sql starts")
    };
    let answer = succeeded(&sql(&["--tls-ca", certificate]));
    assert!(answer.contains("42"), "{answer}");

    let own = "SELECT ssl, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let answer = succeeded(&sql(&["--tls-ca", certificate, "-c", own]));
    assert!(answer.contains("TLSv1.3") && answer.contains("TLS_"), "{answer}");

    let fails = |arguments: &[&str], what: &str| {
        let output = sql(arguments);
        assert!(!output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(what), "{text}");
    };
    fails(&[], "needs a certificate");
    fails(&["--tls-ca", "/nowhere"], "/nowhere");
    // That of somebody else.
    let other = Layout::up().start();
    let theirs = other.directory().join("data/coordinator/server.crt");
    fails(&["--tls-ca", theirs.to_str().expect("a path")], "certificate");

    let modules = "adbc_driver_flightsql.dbapi, pyarrow";
    let Some(output) = python("flight_sql_under_tls", modules, ADBC_TLS, &[&url, certificate])
    else {
        return;
    };
    assert_eq!(succeeded(&output).trim(), "fine");
}

#[test]
fn psql_describes_what_is_there() {
    if !psql::is_installed() {
        return skip("psql_describes_what_is_there", "psql is not installed");
    }
    let cluster = shared_up();
    table(&cluster, "described");
    cluster.client().must(
        "CREATE ROLE described_reader; CREATE SCHEMA described_schema;
         GRANT SELECT ON described TO described_reader;
         GRANT UPDATE (name) ON described TO described_reader;
         ALTER DEFAULT PRIVILEGES IN SCHEMA described_schema
           GRANT SELECT ON TABLES TO described_reader",
    );
    let here = Path::new(".");
    for (command, texts) in [
        ("\\dt described", &["described", "table", "satsuma"][..]),
        (
            "\\d described",
            &[
                "bigint",
                "numeric(10,2)",
                "timestamp without time zone",
                "\"described_pkey\" PRIMARY KEY",
            ],
        ),
        ("\\l", &["satsuma", "UTF8"]),
        ("\\du", &["satsuma", "Superuser"]),
        ("\\dn", &["public"]),
        ("\\conninfo", &["satsuma"]),
        ("\\df abs", &["pg_catalog", "double precision", "func"]),
        ("\\df citus_add_node", &["nodename text, nodeport integer, groupid integer DEFAULT"]),
        ("\\da string_agg", &["text, text"]),
        ("\\do @>", &["anyarray", "jsonb"]),
        ("\\do+ || jsonb jsonb", &["jsonb_concat", "concatenate"]),
        ("\\dp described", &["described_reader=r/satsuma", "name:", "described_reader=w/satsuma"]),
        ("\\ddp", &["described_reader=r/satsuma", "table"]),
    ] {
        let output = psql::run(&cluster.address(), here, &["-c", command]);
        assert_eq!(output.status, 0, "{command}: {}", output.stderr);
        for text in texts {
            assert!(output.stdout.contains(text), "{command}: {text} in\n{}", output.stdout);
        }
    }
}

#[test]
fn psql_points_at_what_is_wrong() {
    if !psql::is_installed() {
        return skip("psql_points_at_what_is_wrong", "psql is not installed");
    }
    let cluster = shared_up();
    cluster.client().must(
        "CREATE TABLE pointed (a int); CREATE INDEX pointed_a ON pointed (a);
         CREATE TABLE pointed_too (a int); CREATE UNIQUE INDEX pointed_too_a ON pointed_too (a)",
    );
    for (command, word) in [
        ("CREATE INDEX ON pointed ((a + 'x'))", "'x'"),
        ("CREATE INDEX ON pointed ((nope + 1))", "nope"),
        ("CREATE INDEX ON pointed (lower(a))", "lower"),
        ("SELECT a BETWEEN 'x' AND 3 FROM pointed", "'x'"),
        ("SELECT a BETWEEN 1 AND true FROM pointed", "BETWEEN"),
        ("ALTER TABLE pointed ADD CONSTRAINT u UNIQUE USING INDEX nope", "CONSTRAINT u"),
        ("ALTER TABLE pointed ADD CONSTRAINT u UNIQUE USING INDEX pointed_a", "CONSTRAINT u"),
        ("ALTER TABLE pointed ADD CONSTRAINT u UNIQUE USING INDEX pointed_too_a", "CONSTRAINT u"),
    ] {
        let output = psql::run(&cluster.address(), Path::new("."), &["-c", command]);
        let lines: Vec<&str> = output.stderr.lines().collect();
        let shown = lines.iter().position(|line| line.starts_with("LINE 1: "));
        let caret = shown.and_then(|at| lines.get(at + 1)?.find('^'));
        let wanted = command.find(word).map(|at| at + "LINE 1: ".len());
        assert_eq!(caret, wanted, "{command}: {}", output.stderr);
    }
}

#[test]
fn psql_connects_over_tls() {
    if !psql::is_installed() {
        return skip("psql_connects_over_tls", "psql is not installed");
    }
    let cluster = shared_up();
    let address = format!("{} sslmode=require", cluster.address());
    let output = Command::new("psql")
        .args(["--no-psqlrc", "-At", "-d", &address, "-c", "SELECT 'over tls'"])
        .output()
        .expect("psql starts");
    assert_eq!(succeeded(&output).trim(), "over tls");
}

#[test]
fn the_shell_takes_a_password_without_a_name() {
    let mut layout = Layout::up();
    layout.password = Some("sesame".into());
    // The harness's own client cannot do SCRAM: no waiting for workers over it.
    let cluster = layout.start_without_waiting();
    let sql = |arguments: &[&str]| {
        let mut command = Command::new(binary("satsuma"));
        command.args(["sql", "--url", &cluster.grpc_url(0), "-c", "SELECT 40 + 2"]);
        command.args(arguments).output().expect("satsuma sql starts")
    };
    assert!(succeeded(&sql(&["--password", "sesame"])).contains("42"));
    for wrong in [&["--password", "open"][..], &[]] {
        let output = sql(wrong);
        assert!(!output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("password authentication failed"), "{told}");
    }
}
