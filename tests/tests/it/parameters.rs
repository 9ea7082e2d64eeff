//! Parameters and formats that clients rarely send, and where errors about them are: PostgreSQL
//! 15 and Satsuma get the same frames.

use satsuma_tests::frames::{Frame, bind, describe, execute, parse, query, sync};

use crate::protocol::Pair;

const INT4_ARRAY: u32 = 1007;
const NUMERIC: u32 = 1700;

/// The value as a parameter of the type, read back as text.
fn echoed(oid: u32, format: i16, value: &[u8]) -> Vec<Frame> {
    vec![
        parse("", "SELECT $1 AS v", &[oid]),
        bind("", "", &[format], &[Some(value)], &[]),
        execute("", 0),
        sync(),
    ]
}

fn numeric(weight: i16, sign: u16, scale: u16, digits: &[i16]) -> Vec<u8> {
    let count = i16::try_from(digits.len()).expect("a few digits");
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(scale.to_be_bytes());
    digits.iter().for_each(|digit| bytes.extend(digit.to_be_bytes()));
    bytes
}

#[test]
fn numerics_in_binary_are_judged_as_postgresql_does() {
    let Some(pair) = Pair::prepare("numerics_in_binary_are_judged_as_postgresql_does") else {
        return;
    };
    let trailing = [numeric(0, 0, 0, &[1]), vec![b'x']].concat();
    let cases = [
        ("NaN", numeric(0, 0xC000, 0, &[])),
        ("NaN with digits", numeric(3, 0xC000, 5, &[1, 2])),
        ("NaN with a wrong digit", numeric(0, 0xC000, 0, &[10_000])),
        ("NaN with a wrong scale", numeric(0, 0xC000, 0x4000, &[])),
        ("infinity with digits", numeric(0, 0xD000, 0, &[1])),
        ("-infinity with digits", numeric(0, 0xF000, 0x20, &[1])),
        ("a wrong sign", numeric(0, 0xE000, 0, &[1])),
        ("a negative digit", numeric(0, 0, 0, &[-1])),
        ("more digits than the scale", numeric(0, 0, 2, &[1, 3456])),
        ("zero with a scale", numeric(0, 0x4000, 3, &[])),
        ("something behind it", trailing),
    ];
    let conversations: Vec<(&str, Vec<Frame>)> =
        cases.iter().map(|(name, value)| (*name, echoed(NUMERIC, 1, value))).collect();
    pair.same(&conversations);
}

/// An array of int4 in binary: `dimensions` are lengths with lower bounds.
fn array(flags: i32, element: u32, dimensions: &[(i32, i32)], values: &[&[u8]]) -> Vec<u8> {
    let count = i32::try_from(dimensions.len()).expect("a few dimensions");
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(element.to_be_bytes());
    for (length, low) in dimensions {
        bytes.extend(length.to_be_bytes());
        bytes.extend(low.to_be_bytes());
    }
    for value in values {
        bytes.extend(i32::try_from(value.len()).expect("a short value").to_be_bytes());
        bytes.extend(*value);
    }
    bytes
}

#[test]
fn arrays_in_binary_are_judged_as_postgresql_does() {
    let Some(pair) = Pair::prepare("arrays_in_binary_are_judged_as_postgresql_does") else {
        return;
    };
    let one: &[u8] = &[0, 0, 0, 1];
    let cases = [
        ("one dimension", array(0, 23, &[(2, 1)], &[one, one])),
        ("none", array(0, 23, &[], &[])),
        ("an empty dimension", array(0, 23, &[(0, 1)], &[])),
        ("seven dimensions", array(0, 23, &[(1, 1); 7], &[one])),
        ("nine dimensions", array(0, 23, &[(1, 1); 9], &[one])),
        ("less than none", (-1_i32).to_be_bytes().into_iter().chain([0; 8]).collect()),
        ("a lower bound too high", array(0, 23, &[(2, i32::MAX)], &[one, one])),
        ("unknown flags", array(2, 23, &[(1, 1)], &[one])),
        ("elements of another type", array(0, 25, &[(1, 1)], &[b"x"])),
        ("elements of a user's type", array(0, 99_999, &[(1, 1)], &[one])),
        ("a negative length", array(0, 23, &[(-1, 1)], &[])),
        ("too many elements", array(0, 23, &[(2_000_000_000, 1)], &[])),
        ("too many in two dimensions", array(0, 23, &[(100_000, 1), (100_000, 1)], &[])),
        ("fewer elements than said", array(0, 23, &[(2, 1)], &[one])),
        ("a short element", array(0, 23, &[(1, 1)], &[b"ab"])),
        ("a long element", array(0, 23, &[(1, 1)], &[b"abcdef"])),
        (
            "an element cut off",
            array(0, 23, &[(1, 1)], &[]).into_iter().chain([0, 0, 0, 4, 1]).collect(),
        ),
        ("something behind it", array(0, 23, &[(1, 1)], &[one]).into_iter().chain(*b"x").collect()),
    ];
    let conversations: Vec<(&str, Vec<Frame>)> =
        cases.iter().map(|(name, value)| (*name, echoed(INT4_ARRAY, 1, value))).collect();
    pair.same(&conversations);

    // PostgreSQL takes these; here they are refused as what they are.
    let mut client = pair.satsuma();
    for value in [array(0, 23, &[(2, 0)], &[one, one]), array(0, 23, &[(1, 1), (1, 1)], &[one])] {
        let frames = echoed(INT4_ARRAY, 1, &value);
        let answer = satsuma_tests::frames::exchange(&mut client, &frames, 1).expect("an answer");
        assert!(answer[1].starts_with("E ERROR 0A000"), "{answer:?}");
    }
}

#[test]
fn types_and_formats_that_do_not_exist() {
    let Some(pair) = Pair::prepare("types_and_formats_that_do_not_exist") else { return };
    let with_formats = |results: &[i16]| {
        vec![
            parse("", "SELECT id, name FROM framed WHERE id = 1", &[]),
            bind("", "", &[], &[], results),
            describe('P', ""),
            execute("", 0),
            sync(),
        ]
    };
    let parameter = |format: i16, value: Option<&[u8]>| {
        vec![
            parse("", "SELECT $1::int AS v", &[]),
            bind("", "", &[format], &[value], &[]),
            execute("", 0),
            sync(),
        ]
    };
    pair.same(&[
        ("an unknown type", vec![parse("", "SELECT $1 AS v", &[99_999]), sync()]),
        ("an unknown built-in type", vec![parse("", "SELECT $1 AS v", &[1]), sync()]),
        ("an unknown result format", with_formats(&[5])),
        ("an unknown format of a column", with_formats(&[0, -1])),
        ("an unknown parameter format", parameter(5, Some(b"1"))),
        ("an unknown format of NULL", parameter(2, None)),
        (
            "an unknown format of no rows",
            vec![
                parse("", "SELECT id FROM framed WHERE false", &[]),
                bind("", "", &[], &[], &[5]),
                execute("", 0),
                sync(),
            ],
        ),
        (
            "an unknown format of nothing",
            vec![
                parse("", "SET work_mem = 1024", &[]),
                bind("", "", &[], &[], &[5]),
                execute("", 0),
                sync(),
            ],
        ),
    ]);
}

#[test]
fn errors_of_parameters_and_of_what_never_ends_say_where() {
    let Some(pair) = Pair::prepare("errors_of_parameters_and_of_what_never_ends_say_where") else {
        return;
    };
    let simple = [
        "SELECT $1",
        "SELECT 1, $1",
        "SELECT 'é', $1",
        "SELECT 1 AS a; SELECT $2",
        "SELECT id FROM framed WHERE id = $3",
        "SELECT $0",
        "BEGIN; DECLARE c CURSOR FOR SELECT $1",
        "COPY (SELECT $1) TO STDOUT",
        "EXPLAIN SELECT $1",
        "INSERT INTO nothing_here VALUES ($1)",
        "PREPARE p AS SELECT nothing_here",
        "SELECT 1 /* abc",
        "/* abc",
        "SELECT 1; /* abc /* d */ x",
        "SELECT 'é' /* abc",
        "SELECT 1 /* a\nb",
        "\n\n  SELECT 1 -- x\n /* y",
        "SELECT 'abc",
        "SELECT \"abc",
        "SELECT $$abc",
        "SELECT $x$abc $$",
        "SELECT E'abc",
        "SELECT E'\\'",
        "SELECT U&'abc",
        "SELECT b'01",
        "SELECT x'0",
        "SELECT /* a */ 'x",
        "SELECT 'a' 'b",
    ];
    let mut conversations: Vec<(&str, Vec<Frame>)> =
        simple.iter().map(|sql| (*sql, vec![query(sql)])).collect();
    for sql in ["SELECT $0", "SELECT $2 + 1", "SELECT $1::nothing_here", "SELECT nothing_here($1)"]
    {
        conversations.push((sql, vec![parse("", sql, &[]), sync()]));
    }
    pair.same(&conversations);
}

#[test]
fn errors_of_operators_and_views_say_where() {
    let Some(pair) = Pair::prepare("errors_of_operators_and_views_say_where") else { return };
    let simple = [
        "SELECT id::text + 1 FROM framed",
        "SELECT (id::text) + 1 FROM framed",
        "SELECT id::varchar(10) + 1 FROM framed",
        "SELECT tags::text[] + 1 FROM framed",
        "SELECT now()::timestamp(3) without time zone + 1",
        "SELECT CAST(id AS text) + 1 FROM framed",
        "SELECT id::text IN (1, 2) FROM framed",
        "SELECT id::text BETWEEN 1 AND 2 FROM framed",
        "SELECT id::text IS DISTINCT FROM 1 FROM framed",
        "SELECT id::text::int::date FROM framed",
        "SELECT lower(id::date) FROM framed",
        "SELECT 1 FROM framed f, (SELECT f.id) s",
        "SELECT 1 FROM framed f, (SELECT price) s",
        "CREATE TABLE x (a int(11))",
        "SELECT int(11)",
        "SELECT isnull(1)",
        "SELECT 1 WHERE isnull(id, 1)",
        "CREATE VIEW x AS SELECT nothing FROM framed",
        "CREATE VIEW x AS SELECT id, * FROM nothing",
        "CREATE OR REPLACE VIEW x AS SELECT id + name FROM framed",
        "PREPARE p (not_a_type) AS SELECT 1",
        "CREATE SEQUENCE s AS not_a_type",
    ];
    let conversations: Vec<(&str, Vec<Frame>)> =
        simple.iter().map(|sql| (*sql, vec![query(sql)])).collect();
    pair.same(&conversations);
}

/// A statement and what it is given, in text.
fn given(sql: &str, values: &[&str]) -> Vec<Frame> {
    let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_bytes())).collect();
    vec![
        parse("", sql, &[]),
        describe('S', ""),
        bind("", "", &[], &values, &[]),
        execute("", 0),
        sync(),
    ]
}

#[test]
fn queries_within_other_statements_take_parameters() {
    let Some(pair) = Pair::prepare("queries_within_other_statements_take_parameters") else {
        return;
    };
    let then = |sql: &str, values: &[&str], after: &str| -> Vec<Frame> {
        let mut frames = vec![query("BEGIN")];
        frames.extend(given(sql, values));
        frames.extend([query(after), query("ROLLBACK")]);
        frames
    };
    pair.same(&[
        (
            "a cursor",
            then(
                "DECLARE c CURSOR FOR SELECT id, $2::text AS t FROM framed WHERE id <= $1 ORDER BY id",
                &["3", "é"],
                "FETCH ALL FROM c",
            ),
        ),
        (
            "a cursor with a limit",
            then(
                "DECLARE c CURSOR FOR SELECT id FROM framed ORDER BY id LIMIT $1",
                &["2"],
                "FETCH ALL FROM c",
            ),
        ),
        (
            "CREATE TABLE AS",
            then(
                "CREATE TEMP TABLE made_so AS SELECT id, $1::numeric AS n FROM framed WHERE id < $2",
                &["1.50", "3"],
                "SELECT * FROM made_so ORDER BY id",
            ),
        ),
        (
            "SELECT INTO",
            then(
                "SELECT id INTO TEMP made_into FROM framed WHERE id = $1",
                &["7"],
                "SELECT * FROM made_into",
            ),
        ),
        (
            "a materialized view",
            then("CREATE MATERIALIZED VIEW made_view AS SELECT $1::int AS a", &["7"], "SELECT 1"),
        ),
        ("an unknown table", vec![parse("", "CREATE TABLE x AS SELECT * FROM not_there", &[]), sync()]),
    ]);
}

#[test]
fn values_that_shape_a_plan_may_be_parameters() {
    let Some(pair) = Pair::prepare("values_that_shape_a_plan_may_be_parameters") else { return };
    let few = "(SELECT id FROM framed WHERE id <= 4) f";
    let cases: Vec<(String, &[&str])> = vec![
        (
            format!(
                "SELECT f.id, l.id FROM {few}, LATERAL (SELECT g.id FROM framed g WHERE g.id <= f.id ORDER BY g.id DESC LIMIT $1) l ORDER BY 1, 2"
            ),
            &["2"],
        ),
        (
            format!(
                "SELECT f.id, l.id FROM {few}, LATERAL (SELECT g.id FROM framed g WHERE g.id <= f.id ORDER BY g.id LIMIT $1 + 1 OFFSET $2) l ORDER BY 1, 2"
            ),
            &["1", "1"],
        ),
        (
            format!(
                "SELECT f.id, (SELECT g.id FROM framed g WHERE g.id <= f.id ORDER BY g.id DESC LIMIT $1) FROM {few} ORDER BY 1"
            ),
            &["1"],
        ),
        (
            format!(
                "SELECT f.id, ARRAY(SELECT g.id FROM framed g WHERE g.id <= f.id ORDER BY g.id DESC LIMIT $1) FROM {few} ORDER BY 1"
            ),
            &["2"],
        ),
        (
            format!(
                "SELECT f.id, ARRAY(SELECT g.id FROM framed g WHERE g.id <= f.id ORDER BY g.id LIMIT $1) FROM {few} ORDER BY 1"
            ),
            &["-1"],
        ),
        (format!("SELECT id, lag(id, $1) OVER (ORDER BY id) FROM {few} ORDER BY id"), &["2"]),
        (
            format!("SELECT id, lead(id, $1, $2) OVER (ORDER BY id) FROM {few} ORDER BY id"),
            &["1", "-7"],
        ),
        (format!("SELECT id, ntile($1) OVER (ORDER BY id) FROM {few} ORDER BY id"), &["3"]),
        (format!("SELECT id, ntile($1) OVER (ORDER BY id) FROM {few} ORDER BY id"), &["0"]),
        (format!("SELECT id, nth_value(id, $1) OVER (ORDER BY id) FROM {few} ORDER BY id"), &["2"]),
        (
            format!(
                "SELECT id, sum(id) OVER (ORDER BY id ROWS $1 PRECEDING) FROM {few} ORDER BY id"
            ),
            &["1"],
        ),
        (
            format!(
                "SELECT id, count(*) OVER (ORDER BY id ROWS BETWEEN $1 PRECEDING AND $2 FOLLOWING) FROM {few} ORDER BY id"
            ),
            &["1", "1"],
        ),
        (
            format!(
                "SELECT id, count(*) OVER (ORDER BY id RANGE BETWEEN $1 PRECEDING AND CURRENT ROW) FROM {few} ORDER BY id"
            ),
            &["2"],
        ),
        (
            format!(
                "SELECT id, count(*) OVER (ORDER BY id ROWS $1 PRECEDING) FROM {few} ORDER BY id"
            ),
            &["-1"],
        ),
        (format!("SELECT id / 2 AS h FROM {few} ORDER BY 1 FETCH FIRST $1 ROWS WITH TIES"), &["2"]),
        ("SELECT count(*) FROM framed TABLESAMPLE bernoulli ($1)".into(), &["100"]),
        ("SELECT count(*) FROM framed TABLESAMPLE bernoulli ($1)".into(), &["101"]),
    ];
    let conversations: Vec<(&str, Vec<Frame>)> =
        cases.iter().map(|(sql, values)| (sql.as_str(), given(sql, values))).collect();
    pair.same(&conversations);
    // A prepared one is bound with each of its values.
    let sql = "SELECT ARRAY(SELECT g.id FROM framed g WHERE g.id <= f.id ORDER BY g.id LIMIT $1) FROM framed f WHERE id = 9";
    let mut again = vec![parse("kept", sql, &[])];
    for value in ["1", "3", "2"] {
        again.extend([bind("", "kept", &[], &[Some(value.as_bytes())], &[]), execute("", 0)]);
    }
    again.push(sync());
    pair.same(&[("again and again", again)]);
}

#[test]
fn a_plan_whose_result_changed_names_the_routine() {
    let Some(pair) = Pair::prepare("a_plan_whose_result_changed_names_the_routine") else {
        return;
    };
    let run = || vec![bind("", "kept", &[], &[], &[]), execute("", 0), sync()];
    let mut frames = vec![
        query("DROP TABLE IF EXISTS grows; CREATE TABLE grows (a int)"),
        parse("kept", "SELECT * FROM grows", &[]),
    ];
    frames.extend(run());
    frames.push(query("ALTER TABLE grows ADD COLUMN b int"));
    frames.extend(run());
    // PostgreSQL says so at Bind, Satsuma at Execute.
    let answer =
        satsuma_tests::frames::exchange(&mut pair.satsuma(), &frames, 4).expect("an answer");
    let error = "E ERROR 0A000 cached plan must not change result type by RevalidateCachedQuery";
    assert!(answer.iter().any(|line| line == error), "{answer:#?}");
}
