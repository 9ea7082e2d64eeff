//! The extended query protocol, message by message: PostgreSQL 15 and Satsuma get the same
//! frames and must answer with the same ones.

use satsuma_tests::cluster::{Address, Cluster, Layout};
use satsuma_tests::frames::{
    Frame, bind, close, copy_data, copy_done, copy_fail, describe, exchange, execute, flush, parse,
    query, sync,
};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::wire::Client;

const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;
const TIMESTAMP: u32 = 1114;
const BOOL: u32 = 16;

const TABLE: &str = "
CREATE TABLE framed (id bigint PRIMARY KEY, name text, price numeric(10,2), made timestamp, flag bool, tags text[]);
";
const ROWS: &str = "
INSERT INTO framed SELECT g, 'row ' || g, g * 1.25, timestamp '2024-01-01' + g * interval '1 day', g % 2 = 0, array['t' || g, NULL] FROM generate_series(1, 10) g;
INSERT INTO framed (id) VALUES (11);
";

pub struct Pair {
    _oracle: std::sync::Arc<Oracle>,
    postgres: Address,
    cluster: Cluster,
}

impl Pair {
    /// Both with the table `framed`; Satsuma's is distributed.
    pub fn prepare(test: &str) -> Option<Self> {
        let oracle = Oracle::shared(test)?;
        let cluster = Layout::up().start();
        let postgres = oracle.database();
        let mut satsuma = cluster.client();
        satsuma.must(TABLE);
        satsuma.must("SELECT create_distributed_table('framed', 'id')");
        satsuma.must(ROWS);
        let mut client = postgres.client().expect("PostgreSQL");
        client.must(TABLE);
        client.must(ROWS);
        Some(Self { _oracle: oracle, postgres, cluster })
    }

    pub fn satsuma(&self) -> Client {
        self.cluster.client()
    }

    /// Runs each conversation on a fresh connection to both.
    pub fn same(&self, conversations: &[(&str, Vec<Frame>)]) {
        let mut problems = String::new();
        for (name, frames) in conversations {
            let ready = frames.iter().filter(|(kind, _)| matches!(kind, 'S' | 'Q')).count();
            let answers = [&self.postgres, &self.cluster.address()].map(|address| {
                let mut client = address.client().expect("a connection");
                exchange(&mut client, frames, ready).unwrap_or_else(|error| vec![error.to_string()])
            });
            let [expected, got] = answers;
            if expected != got {
                problems.push_str(&format!(
                    "{name}\n  PostgreSQL:\n    {}\n  Satsuma:\n    {}\n",
                    expected.join("\n    "),
                    got.join("\n    ")
                ));
            }
        }
        assert!(problems.is_empty(), "other frames than PostgreSQL's:\n{problems}");
    }
}

#[test]
fn the_extended_protocol_answers_as_postgresql() {
    let Some(pair) = Pair::prepare("the_extended_protocol_answers_as_postgresql") else { return };
    let by_id = "SELECT id, name, price FROM framed WHERE id = $1";
    pair.same(&[
        ("describe a statement", vec![parse("", by_id, &[]), describe('S', ""), sync()]),
        (
            "describe a statement without rows",
            vec![parse("", "UPDATE framed SET name = $2 WHERE id = $1", &[]), describe('S', ""), sync()],
        ),
        (
            "parameters in text",
            vec![
                parse("", by_id, &[]),
                bind("", "", &[], &[Some(b"7")], &[]),
                describe('P', ""),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "parameters in binary, results in binary",
            vec![
                parse("", "SELECT id, name, price, made, flag, tags FROM framed WHERE id = $1", &[INT8]),
                bind("", "", &[1], &[Some(&7_i64.to_be_bytes())], &[1]),
                describe('P', ""),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "one format for each column",
            vec![
                parse("", "SELECT id, name, id FROM framed WHERE id < $1 ORDER BY id", &[INT4]),
                bind("", "", &[1], &[Some(&3_i32.to_be_bytes())], &[1, 0, 0]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "a null parameter",
            vec![
                parse("", "SELECT $1::int IS NULL AS missing, $2::text AS t", &[]),
                bind("", "", &[], &[None, Some(b"x")], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "parameter types are found",
            vec![
                parse("", "SELECT $1 + 1, $2 || 'x', $3::date, coalesce($4, 2.5), $5 LIKE 'a', $6 = ANY ('{1,2}'::int[])", &[]),
                describe('S', ""),
                sync(),
            ],
        ),
        (
            "parameter types in INSERT",
            vec![
                parse("", "INSERT INTO framed VALUES ($1, $2, $3, $4, $5, $6)", &[]),
                describe('S', ""),
                sync(),
            ],
        ),
        (
            "parameter types in LIMIT and IN",
            vec![
                parse("", "SELECT id FROM framed WHERE id IN ($1, $2) AND made > $3 LIMIT $4", &[]),
                describe('S', ""),
                sync(),
            ],
        ),
        (
            "a parameter that cannot be decided is text",
            vec![parse("", "SELECT $1", &[]), describe('S', ""), sync()],
        ),
        (
            "a portal in pieces",
            vec![
                parse("", "SELECT id FROM framed ORDER BY id", &[]),
                bind("p", "", &[], &[], &[]),
                execute("p", 4),
                execute("p", 4),
                execute("p", 4),
                sync(),
            ],
        ),
        (
            "a portal does not outlive its transaction",
            vec![
                parse("", "SELECT id FROM framed ORDER BY id", &[]),
                bind("p", "", &[], &[], &[]),
                execute("p", 2),
                sync(),
                execute("p", 2),
                sync(),
            ],
        ),
        (
            "a portal lives through a transaction",
            vec![
                query("BEGIN"),
                parse("", "SELECT id FROM framed ORDER BY id", &[]),
                bind("p", "", &[], &[], &[]),
                execute("p", 2),
                sync(),
                execute("p", 2),
                close('P', "p"),
                sync(),
                query("COMMIT"),
            ],
        ),
        (
            "named statements",
            vec![
                parse("one", "SELECT $1::int + 1 AS n", &[INT4]),
                sync(),
                bind("", "one", &[], &[Some(b"1")], &[]),
                execute("", 0),
                bind("", "one", &[], &[Some(b"2")], &[]),
                execute("", 0),
                sync(),
                close('S', "one"),
                bind("", "one", &[], &[Some(b"3")], &[]),
                sync(),
            ],
        ),
        (
            "a name twice",
            vec![parse("one", "SELECT 1", &[]), parse("one", "SELECT 2", &[]), sync()],
        ),
        (
            "closing what is not there",
            vec![close('S', "nothing"), close('P', "nothing"), sync()],
        ),
        (
            "an error skips to sync",
            vec![
                parse("", "SELECT 1 / (id - $1::int) FROM framed WHERE id = 1", &[]),
                bind("", "", &[], &[Some(b"1")], &[]),
                execute("", 0),
                execute("", 0),
                describe('P', ""),
                sync(),
                parse("", "SELECT 2 AS two", &[]),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
        ("a syntax error", vec![parse("", "SELEC 1", &[]), bind("", "", &[], &[], &[]), sync()]),
        ("an unknown table", vec![parse("", "SELECT * FROM nothing_here", &[]), sync()]),
        ("several statements", vec![parse("", "SELECT 1; SELECT 2", &[]), sync()]),
        (
            "an empty statement",
            vec![
                parse("", "", &[]),
                describe('S', ""),
                bind("", "", &[], &[], &[]),
                describe('P', ""),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "too few parameters",
            vec![parse("", by_id, &[]), bind("", "", &[], &[], &[]), sync()],
        ),
        (
            "a parameter that is no number",
            vec![parse("", by_id, &[]), bind("", "", &[], &[Some(b"seven")], &[]), sync()],
        ),
        (
            "a binary parameter of the wrong length",
            vec![parse("", by_id, &[INT8]), bind("", "", &[1], &[Some(&[1, 2])], &[]), sync()],
        ),
        (
            "an unknown statement",
            vec![bind("", "nothing", &[], &[], &[]), describe('S', "nothing"), sync()],
        ),
        ("an unknown portal", vec![execute("nothing", 0), sync()]),
        ("flush", vec![parse("", "SELECT 1 AS a", &[]), flush(), describe('S', ""), flush(), sync()]),
        (
            "rows of INSERT with RETURNING",
            vec![
                query("BEGIN"),
                parse("", "INSERT INTO framed (id, name) VALUES ($1, $2) RETURNING id, name", &[]),
                bind("", "", &[], &[Some(b"100"), Some(b"x")], &[]),
                describe('P', ""),
                execute("", 0),
                sync(),
                query("ROLLBACK"),
            ],
        ),
        (
            "a pipeline without syncs is one transaction",
            vec![
                parse("", "INSERT INTO framed (id) VALUES ($1)", &[INT8]),
                bind("", "", &[], &[Some(b"200")], &[]),
                execute("", 0),
                bind("", "", &[], &[Some(b"1")], &[]),
                execute("", 0),
                sync(),
                query("SELECT count(*) FROM framed WHERE id = 200"),
            ],
        ),
        (
            "begin and commit through the extended protocol",
            vec![
                parse("", "BEGIN", &[]),
                bind("", "", &[], &[], &[]),
                describe('P', ""),
                execute("", 0),
                sync(),
                parse("", "COMMIT", &[]),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
            ],
        ),
    ]);
}

#[test]
fn failed_transactions_answer_as_postgresql() {
    let Some(pair) = Pair::prepare("failed_transactions_answer_as_postgresql") else { return };
    let begun = |then: Vec<Frame>| {
        let before = vec![
            query("BEGIN"),
            parse("read", "SELECT 1 AS one", &[]),
            parse("write", "UPDATE framed SET flag = true WHERE id = $1", &[INT8]),
            parse("end", "ROLLBACK", &[]),
            bind("open", "read", &[], &[], &[]),
            sync(),
            query("SELECT 1 / 0"),
        ];
        [before, then].concat()
    };
    let undone = || [query("ROLLBACK"), describe('P', "open"), sync()];
    pair.same(&[
        (
            "bind",
            begun([vec![bind("", "read", &[], &[], &[]), sync()], undone().to_vec()].concat()),
        ),
        ("bind of a change", begun(vec![bind("", "write", &[], &[Some(b"no")], &[]), sync()])),
        ("bind with too few", begun(vec![bind("", "write", &[], &[], &[]), sync()])),
        ("describe", begun(vec![describe('S', "read"), sync()])),
        ("describe a change", begun(vec![describe('S', "write"), sync()])),
        ("describe a portal", begun(vec![describe('P', "open"), sync()])),
        ("execute", begun(vec![execute("open", 0), sync()])),
        ("close", begun(vec![close('P', "open"), close('S', "read"), sync()])),
        (
            "the end of it",
            begun(vec![
                describe('S', "end"),
                bind("", "end", &[], &[], &[]),
                describe('P', ""),
                execute("", 0),
                sync(),
                bind("open", "read", &[], &[], &[]),
                execute("open", 0),
                sync(),
            ]),
        ),
        (
            "back to a savepoint",
            vec![
                query("BEGIN; SAVEPOINT s"),
                parse("read", "SELECT 1 AS one", &[]),
                bind("open", "read", &[], &[], &[]),
                sync(),
                query("SELECT 1 / 0"),
                query("ROLLBACK TO s"),
                bind("open", "read", &[], &[], &[]),
                execute("open", 0),
                sync(),
            ],
        ),
    ]);
}

#[test]
fn cursors_are_portals_as_in_postgresql() {
    let Some(pair) = Pair::prepare("cursors_are_portals_as_in_postgresql") else { return };
    let declared = |then: Vec<Frame>| {
        let declare = "BEGIN; DECLARE c CURSOR FOR SELECT g, 'r' || g FROM generate_series(1, 5) g";
        [vec![query(declare)], then].concat()
    };
    pair.same(&[
        (
            "a name that is taken",
            declared(vec![
                parse("", "SELECT $1", &[INT4]),
                bind("c", "", &[], &[Some(b"x")], &[]),
                sync(),
            ]),
        ),
        (
            "read in portions",
            declared(vec![
                describe('P', "c"),
                execute("c", 2),
                execute("c", 2),
                sync(),
                execute("c", 2),
                execute("c", 2),
                sync(),
            ]),
        ),
        (
            "read by both",
            declared(vec![query("FETCH 2 FROM c"), execute("c", 0), execute("c", 0), sync()]),
        ),
        ("as many as there are", declared(vec![execute("c", 5), execute("c", 1), sync()])),
        ("closed", declared(vec![close('P', "c"), sync(), query("FETCH c")])),
        (
            "of a failed transaction",
            declared(vec![query("SELECT 1 / 0"), execute("c", 1), sync(), query("ROLLBACK")]),
        ),
    ]);
}

#[test]
fn lists_of_too_many_columns_are_refused() {
    let Some(pair) = Pair::prepare("lists_of_too_many_columns_are_refused") else { return };
    let wide = format!("SELECT {}", vec!["1"; 1665].join(", "));
    pair.same(&[
        ("a query", vec![query(&wide)]),
        ("a statement", vec![parse("", &wide, &[]), sync()]),
        ("a table made of it", vec![query(&format!("CREATE TABLE wide AS {wide}"))]),
    ]);
}

#[test]
fn values_in_binary_are_postgresqls() {
    let Some(pair) = Pair::prepare("values_in_binary_are_postgresqls") else { return };
    let values = [
        "true",
        "32767::int2",
        "-5",
        "9223372036854775807",
        "1.5::float4",
        "'NaN'::float8",
        "0::numeric",
        "1.10::numeric",
        "-12345678901234567890.000123::numeric",
        "'NaN'::numeric",
        "1e20::numeric",
        "0.00001::numeric(20,10)",
        "'héllo'",
        "'abc'::varchar(5)",
        "'ab'::char(4)",
        "'\\x00ff'::bytea",
        "date '2024-02-29'",
        "date '0001-01-01'",
        "time '23:59:59.999999'",
        "timestamp '1969-12-31 23:59:59.999999'",
        "timestamptz '2024-01-01 00:00:00+00'",
        "'infinity'::timestamp",
        "interval '1 mon -2 days 00:00:03.5'",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
        "'{\"b\": 1, \"a\": [1, null]}'::jsonb",
        "'{\"b\":  1}'::json",
        "'10.0.0.1/8'::inet",
        "'::1'::inet",
        "'10.0.0.0/8'::cidr",
        "point(1.5, -2)",
        "array[1, NULL, 3]",
        "array['a', '']",
        "'{}'::int[]",
        "array[1.5, 2]",
        "23::oid",
        "'int4'::regtype",
        "'x'::name",
        "NULL",
        "NULL::int",
    ];
    let conversations: Vec<(&str, Vec<Frame>)> = values
        .iter()
        .map(|value| {
            let sql = format!("SELECT {value} AS v");
            let frames = vec![
                parse("", &sql, &[]),
                bind("", "", &[], &[], &[1]),
                describe('P', ""),
                execute("", 0),
                sync(),
            ];
            (*value, frames)
        })
        .collect();
    pair.same(&conversations);
}

#[test]
fn parameters_in_binary_are_read_as_postgresql_reads_them() {
    let Some(pair) = Pair::prepare("parameters_in_binary_are_read_as_postgresql_reads_them") else {
        return;
    };
    // numeric 12.34: two digits of base 10000, weight 0, positive, display scale 2
    let numeric = [0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x0d, 0x48];
    let cases: [(&str, u32, &[u8]); 9] = [
        ("int4", INT4, &7_i32.to_be_bytes()),
        ("int8", INT8, &(-7_i64).to_be_bytes()),
        ("numeric", NUMERIC, &numeric),
        ("text", TEXT, "é".as_bytes()),
        ("bool", BOOL, &[1]),
        ("timestamp", TIMESTAMP, &757_382_400_000_000_i64.to_be_bytes()),
        ("text that is not UTF-8", TEXT, &[0xff]),
        ("numeric with a digit too large", NUMERIC, &[0, 1, 0, 0, 0, 0, 0, 0, 0x7f, 0xff]),
        ("numeric that is cut off", NUMERIC, &[0, 9, 0, 0]),
    ];
    let conversations: Vec<(&str, Vec<Frame>)> = cases
        .iter()
        .map(|(name, oid, bytes)| {
            let frames = vec![
                parse("", "SELECT $1 AS v", &[*oid]),
                bind("", "", &[1], &[Some(*bytes)], &[0]),
                execute("", 0),
                sync(),
            ];
            (*name, frames)
        })
        .collect();
    pair.same(&conversations);
}

#[test]
fn copy_answers_as_postgresql() {
    let Some(pair) = Pair::prepare("copy_answers_as_postgresql") else { return };
    let copy = "COPY framed (id, name) FROM STDIN";
    pair.same(&[
        (
            "rows cut anywhere",
            vec![
                query(copy),
                copy_data("500\tfi"),
                copy_data("ve\n50"),
                copy_data("1\tx\n"),
                copy_done(),
                query("SELECT id, name FROM framed WHERE id >= 500 ORDER BY id"),
                query("DELETE FROM framed WHERE id >= 500"),
            ],
        ),
        (
            "no newline at the end",
            vec![
                query(copy),
                copy_data("500\tfive"),
                copy_done(),
                query("DELETE FROM framed WHERE id >= 500"),
            ],
        ),
        (
            "the client gives up",
            vec![
                query(copy),
                copy_data("500\tfive\n"),
                copy_fail("no more"),
                query("SELECT count(*) FROM framed WHERE id >= 500"),
            ],
        ),
        (
            "an end marker inside the data",
            vec![
                query(copy),
                copy_data("500\tfive\n\\.\n"),
                copy_done(),
                query("DELETE FROM framed WHERE id >= 500"),
            ],
        ),
        (
            "out in text",
            vec![query(
                "COPY (SELECT id, name, tags FROM framed WHERE id > 8 ORDER BY id) TO STDOUT",
            )],
        ),
        (
            "out in binary",
            vec![
                query("COPY (SELECT id, name FROM framed WHERE id > 8 ORDER BY id) TO STDOUT (FORMAT binary)"),
                query("COPY (SELECT id FROM framed WHERE false) TO STDOUT (FORMAT binary)"),
                query("COPY (SELECT id FROM framed WHERE false) TO STDOUT (FORMAT csv, HEADER)"),
            ],
        ),
        (
            "copy between other statements",
            vec![
                query("SELECT 1 AS a; COPY framed (id) FROM STDIN; SELECT 2 AS b"),
                copy_data("600\n"),
                copy_done(),
                query("DELETE FROM framed WHERE id >= 500"),
            ],
        ),
        (
            "copy through the extended protocol",
            vec![
                parse("", copy, &[]),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                copy_data("700\tseven\n"),
                copy_done(),
                sync(),
                query("DELETE FROM framed WHERE id >= 500"),
            ],
        ),
    ]);
}
