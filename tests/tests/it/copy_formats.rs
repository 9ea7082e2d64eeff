//! What COPY FROM STDIN makes of files that are wrong, byte by byte: message, line and column are
//! PostgreSQL's.

use satsuma_tests::frames::{Frame, copy_data, copy_done, copy_fail, query};

use crate::protocol::Pair;

const TEXT: &str = "COPY framed (id, name) FROM STDIN";
const CSV: &str = "COPY framed (id, name) FROM STDIN (FORMAT csv)";
const BINARY: &str = "COPY framed (id, name) FROM STDIN (FORMAT binary)";

/// The file, what came of it, and away with it.
fn load(copy: &str, file: &[u8]) -> Vec<Frame> {
    vec![
        query(copy),
        copy_data(file),
        copy_done(),
        query("SELECT id, name FROM framed WHERE id >= 500 ORDER BY id"),
        query("DELETE FROM framed WHERE id >= 500"),
    ]
}

/// A file that the client gives up.
fn given_up(copy: &str, file: &[u8]) -> Vec<Frame> {
    vec![
        query(copy),
        copy_data(file),
        copy_fail("no more"),
        query("SELECT count(*) FROM framed WHERE id >= 500"),
    ]
}

fn same(pair: &Pair, copy: &str, files: &[&[u8]]) {
    let beginning = |file: &[u8]| file[..file.len().min(80)].escape_ascii().to_string();
    let names: Vec<String> =
        files.iter().map(|file| format!("{copy}: \"{}\"", beginning(file))).collect();
    let conversations: Vec<(&str, Vec<Frame>)> =
        names.iter().zip(files).map(|(name, file)| (name.as_str(), load(copy, file))).collect();
    pair.same(&conversations);
}

#[test]
fn lines_and_fields_are_judged_as_postgresql_does() {
    let Some(pair) = Pair::prepare("lines_and_fields_are_judged_as_postgresql_does") else {
        return;
    };
    let long = [b"501\tx\n".as_slice(), &[b'x'; 150], b"\t1\n"].concat();
    same(
        &pair,
        TEXT,
        &[
            // Fields are read from the left; what is missing comes after what is wrong.
            b"x\n",
            b"99999999999999999999\n",
            b"501\n",
            b"x\ty\tz\n",
            b"x\t\\xff\n",
            b"501\t\\0\n",
            b"501\t\\xff\tz\n",
            b"501\ta\n502\t\xff\n",
            b"501\ta\n502\t\xe9abc\n",
            b"501\ta\n502\t\0\n",
            // The end marker.
            b"501\ta\n\\.",
            b"501\ta\\.\n502\tb\n",
            b"501\ta\r\n\\.\n",
            b"501\ta\r\n\\.\r\n",
            b"501\ta\r\n\\.\r",
            b"501\ta\r\n\\.x",
            b"501\ta\n\\.\r\n",
            b"501\ta\r\\.\n",
            b"501\ta\n\\.x\n",
            b"\\.\r\n",
            // Ends of lines.
            b"501\ta\n502\tb\r\n",
            b"501\ta\r\n502\tb\n",
            b"501\ta\r502\tb\n",
            b"501\ta\\",
            &long,
            "501\té\né".as_bytes(),
        ],
    );
    same(
        &pair,
        CSV,
        &[
            b"x\n",
            b"501,a\n\\.",
            b"501,a\r\n\\.\n",
            b"501,a\r\n\\.\r\n",
            b"501,a\r\n\\.\rx\r\n",
            b"501,a\n\\.\r\n",
            b"501,a\r\n502,b\n",
            b"501,a\n502,b\r\n",
            b"501,a\r\n502,b\r503,c\r\n",
            b"501,\"a\nb",
            b"500,x\r\n501,\"a\nb\r\n",
        ],
    );
    let with = |options: &str| format!("COPY framed (id, name) FROM STDIN ({options})");
    same(&pair, &with("FORMAT csv, HEADER"), &[b"a,\xff\n501,x\n", b"a,\"b\n", b"a\n501,x\n"]);
    same(&pair, &with("HEADER"), &[b"a\t\xe9\n501\tx\n", b"a\t\\xff\n501\tx\n"]);
    same(
        &pair,
        &with("FORMAT csv, HEADER match"),
        &[b"id,\xff\n", b"id,\"b\n", b"id,name,c\n", b"id,\n", b"id,NAME\n", b"id,name\n501,x\n"],
    );
    same(&pair, &with("HEADER match"), &[b"id\t\\xff\n", b"id\tn\\x61me\n501\tx\n"]);
}

#[test]
fn binary_files_are_judged_as_postgresql_does() {
    let Some(pair) = Pair::prepare("binary_files_are_judged_as_postgresql_does") else { return };
    let signature = b"PGCOPY\n\xff\r\n\0".as_slice();
    let headed = |flags: u32, extension: &[u8]| {
        let length = i32::try_from(extension.len()).expect("a short one");
        [signature, &flags.to_be_bytes(), &length.to_be_bytes(), extension].concat()
    };
    let header = headed(0, b"");
    let row =
        |count: i16, fields: &[u8]| [&header, count.to_be_bytes().as_slice(), fields].concat();
    let end = [0xff, 0xff];
    let id = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0xf5];
    let files: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        signature[..5].to_vec(),
        b"501\tnot binary at all\n".to_vec(),
        signature.to_vec(),
        [signature, &[0, 0]].concat(),
        [&headed(1 << 16, b""), end.as_slice()].concat(),
        [&headed(1 << 20, b""), end.as_slice()].concat(),
        [&headed(5, b""), end.as_slice()].concat(),
        [signature, &[0; 4]].concat(),
        [signature, &[0; 4], &[0xff; 4]].concat(),
        [signature, &[0; 7], &[9], b"abc"].concat(),
        [&headed(0, b"abc"), end.as_slice()].concat(),
        header.clone(),
        [&header, [0].as_slice()].concat(),
        [&header, end.as_slice(), b"x"].concat(),
        row(3, b""),
        row(-2, b""),
        row(0, b""),
        row(2, &id),
        row(2, &[&id, [0].as_slice()].concat()),
        row(2, &[0xff, 0xff, 0xff, 0xfe]),
        row(2, &[0, 0, 0, 8, 1, 2]),
        row(2, &[0, 0, 0, 2, 1, 2, 0xff, 0xff, 0xff, 0xff]),
        row(2, &[0, 0, 0, 2, 1, 2]),
        row(2, &[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        row(2, &[id.as_slice(), &[0, 0, 0, 1, 0xff]].concat()),
        row(2, &[id.as_slice(), &[0, 0, 0, 1, b'x'], &end].concat()),
        row(2, &[0x7f, 0xff, 0xff, 0xff, 1]),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    same(&pair, BINARY, &files);
}

#[test]
fn a_client_that_gives_up_is_told_where() {
    let Some(pair) = Pair::prepare("a_client_that_gives_up_is_told_where") else { return };
    pair.same(&[
        ("before the first line", given_up(TEXT, b"")),
        ("between lines", given_up(TEXT, b"501\ta\n502\tb\n")),
        ("within a line", given_up(TEXT, b"501\ta\n502")),
        ("within a quoted field", given_up(CSV, b"501,a\n502,\"b\nc")),
        ("before a binary header", given_up(BINARY, b"PGCOPY")),
        ("after a binary header", given_up(BINARY, b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0")),
    ]);
}

#[test]
fn a_taken_key_is_told_by_its_line() {
    let Some(pair) = Pair::prepare("a_taken_key_is_told_by_its_line") else { return };
    let many: String = (500..20_500).map(|id| format!("{id},x\n")).collect();
    same(&pair, TEXT, &[b"501\ta\n502\tb\n501\tc\n", b"501\ta\n502\tb\n7\tc\n503\td\n"]);
    same(
        &pair,
        CSV,
        &[
            b"501,\"a\nb\"\n502,\"a\nb\"\n501,c\n",
            format!("{many}7,x\n").as_bytes(),
            format!("{many}777,x\n").as_bytes(),
        ],
    );
    same(&pair, "COPY framed (name, id) FROM STDIN (FORMAT csv, HEADER)", &[b"name,id\na,7\n"]);
}

#[test]
fn a_null_where_none_may_be_is_told_by_its_line() {
    let Some(pair) = Pair::prepare("a_null_where_none_may_be_is_told_by_its_line") else { return };
    let rest = "\t\\N\t\\N\t\\N\t\\N\n";
    let file = |rows: &[&str]| -> Vec<u8> {
        rows.iter().map(|row| format!("{row}{rest}")).collect::<String>().into_bytes()
    };
    let files = [
        file(&["501\ta", "\\N\tb", "503\tc"]),
        // What is wrong first is told.
        file(&["501\ta", "\\N\tb", "x\tc"]),
        file(&["501\ta", "x\tb", "\\N\tc"]),
        // A line's values are read before they are judged.
        file(&["\\N\t\\xff"]),
        [b"\\N\ta\tx".as_slice(), rest.as_bytes()].concat(),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    same(&pair, "COPY framed FROM STDIN", &files);
    let csv = "COPY framed FROM STDIN (FORMAT csv)";
    same(&pair, csv, &[b"501,a,,,,\n,\"b\nc\",1.5,,t,\"{a,b}\"\nx,d,,,,\n"]);
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let row = [b"\0\x06".as_slice(), &[0xff; 4], b"\0\0\0\x01x", &[0xff; 16]].concat();
    same(&pair, "COPY framed FROM STDIN (FORMAT binary)", &[&[header.as_slice(), &row].concat()]);
}

#[test]
fn a_row_that_a_check_refuses_is_told_by_its_line() {
    let name = "a_row_that_a_check_refuses_is_told_by_its_line";
    let Some(pair) = Pair::prepare(name) else { return };
    // The second cannot always be evaluated.
    pair.same(&[(
        "checks",
        vec![query(
            "ALTER TABLE framed ALTER name SET NOT NULL, ADD CONSTRAINT good CHECK (name <> 'bad'), \
             ADD CONSTRAINT ratio CHECK (100 / (id - 600) < 1000)",
        )],
    )]);
    same(
        &pair,
        TEXT,
        &[
            b"501\ta\n502\tbad\n503\tc\n",
            // What is wrong first is told, whatever it is.
            b"501\ta\n502\tbad\nx\tc\n",
            b"501\ta\n502\tbad\n503\t\\N\n",
            b"501\ta\n600\tb\n503\tbad\n",
            b"501\tbad\n600\tb\n",
            b"501\ta\nx\tb\n503\tbad\n",
            b"501\ta\n502\t\\N\n503\tbad\n",
        ],
    );
    same(&pair, CSV, &[b"501,\"a\nb\"\n502,bad\n", b"501,bad\n502,\"a"]);
    same(&pair, "COPY framed (name, id) FROM STDIN", &[b"a\t501\nbad\t502\n"]);
    same(&pair, "COPY framed (id) FROM STDIN", &[b"501\n"]);
    let refused = given_up(TEXT, b"501\ta\n502\tbad\n503\tc\n504");
    pair.same(&[("a client that gives up behind a refused row", refused)]);
}
