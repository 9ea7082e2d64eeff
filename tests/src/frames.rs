//! Messages of the extended query protocol, built by hand, and answers made comparable.

use std::fmt::Write;

use crate::wire::{Client, WireError, error_fields, row_description};

/// A message from the front end.
pub type Frame = (char, Vec<u8>);

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.as_bytes());
    body.push(0);
}

pub fn query(sql: &str) -> Frame {
    let mut body = Vec::new();
    text(&mut body, sql);
    ('Q', body)
}

pub fn parse(name: &str, sql: &str, types: &[u32]) -> Frame {
    let mut body = Vec::new();
    text(&mut body, name);
    text(&mut body, sql);
    body.extend((types.len() as i16).to_be_bytes());
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    ('P', body)
}

/// Values are bytes in the format of their position: 0 text, 1 binary; one format is for all.
pub fn bind(
    portal: &str,
    statement: &str,
    formats: &[i16],
    values: &[Option<&[u8]>],
    result_formats: &[i16],
) -> Frame {
    let mut body = Vec::new();
    text(&mut body, portal);
    text(&mut body, statement);
    body.extend((formats.len() as i16).to_be_bytes());
    formats.iter().for_each(|format| body.extend(format.to_be_bytes()));
    body.extend((values.len() as i16).to_be_bytes());
    for value in values {
        match value {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(bytes) => {
                body.extend((bytes.len() as i32).to_be_bytes());
                body.extend(*bytes);
            }
        }
    }
    body.extend((result_formats.len() as i16).to_be_bytes());
    result_formats.iter().for_each(|format| body.extend(format.to_be_bytes()));
    ('B', body)
}

/// `kind` is `S` for a statement, `P` for a portal.
pub fn describe(kind: char, name: &str) -> Frame {
    let mut body = vec![kind as u8];
    text(&mut body, name);
    ('D', body)
}

/// At most `rows` rows; 0 is all.
pub fn execute(portal: &str, rows: i32) -> Frame {
    let mut body = Vec::new();
    text(&mut body, portal);
    body.extend(rows.to_be_bytes());
    ('E', body)
}

pub fn close(kind: char, name: &str) -> Frame {
    let mut body = vec![kind as u8];
    text(&mut body, name);
    ('C', body)
}

pub fn sync() -> Frame {
    ('S', Vec::new())
}

pub fn flush() -> Frame {
    ('H', Vec::new())
}

pub fn copy_data(data: impl AsRef<[u8]>) -> Frame {
    ('d', data.as_ref().to_vec())
}

pub fn copy_done() -> Frame {
    ('c', Vec::new())
}

pub fn copy_fail(reason: &str) -> Frame {
    let mut body = Vec::new();
    text(&mut body, reason);
    ('f', body)
}

/// Sends all frames at once and reads up to the `ready`-th ReadyForQuery. One line an answer:
/// what PostgreSQL decides freely (oids of tables, positions in source files) is left out.
pub fn exchange(
    client: &mut Client,
    frames: &[Frame],
    ready: usize,
) -> Result<Vec<String>, WireError> {
    for (kind, body) in frames {
        client.write_frame(Some(*kind), body)?;
    }
    let mut lines = Vec::new();
    let mut seen = 0;
    while seen < ready {
        let (kind, body) = client.read_frame()?;
        seen += usize::from(kind == 'Z');
        // Changed parameters and notices come at their own time.
        if kind != 'S' && kind != 'N' {
            lines.push(printed(kind, &body));
        }
    }
    Ok(lines)
}

fn printed(kind: char, body: &[u8]) -> String {
    match kind {
        'E' => {
            let fields = error_fields(body);
            let mut line = format!("E {} {} {}", fields.get('S'), fields.code(), fields.message());
            for (letter, what) in [('P', "at"), ('W', "within")] {
                if !fields.get(letter).is_empty() {
                    let _ = write!(line, " {what} {:?}", fields.get(letter));
                }
            }
            // The others are names of functions of PostgreSQL's that nobody asks for.
            if fields.get('R') == "RevalidateCachedQuery" {
                line.push_str(" by RevalidateCachedQuery");
            }
            line
        }
        'T' => row_description(body).iter().fold("T".to_owned(), |mut line, column| {
            let (oid, len, format) = (column.type_oid, column.type_len, column.format);
            let _ = write!(line, " [{} {oid} {len} {} {format}]", column.name, column.typmod);
            line
        }),
        _ => format!("{kind} {}", body.escape_ascii()),
    }
}
