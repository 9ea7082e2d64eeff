//! Clients that people use: `satsuma sql`, psycopg 3, SQLAlchemy, asyncpg, pgjdbc, the ADBC Flight
//! SQL driver, psql over TLS.

use std::path::Path;
use std::process::{Command, Output};

use satsuma_tests::binaries::binary;
use satsuma_tests::cluster::{Cluster, shared_up};
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
         SELECT create_distributed_table('{name}', 'id');
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

#[test]
fn psql_describes_what_is_there() {
    if !psql::is_installed() {
        return skip("psql_describes_what_is_there", "psql is not installed");
    }
    let cluster = shared_up();
    table(&cluster, "described");
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
    ] {
        let output = psql::run(&cluster.address(), here, &["-c", command]);
        assert_eq!(output.status, 0, "{command}: {}", output.stderr);
        for text in texts {
            assert!(output.stdout.contains(text), "{command}: {text} in\n{}", output.stdout);
        }
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
