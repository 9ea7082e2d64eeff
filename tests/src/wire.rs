//! A PostgreSQL client that hides nothing: type oids, command tags, every error field.
//!
//! Blocking, text format, protocol 3.0, trust or cleartext password. Drivers normalise what they
//! receive; a comparison with PostgreSQL must see it as sent. It also speaks deliberately wrong:
//! [`Client::raw`] gives out the socket.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::Address;

/// One column of a row description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
    pub type_len: i16,
    pub typmod: i32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// Fields of an error or notice by their letter: `C` SQLSTATE, `M` message, `D` detail, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub BTreeMap<char, String>);

impl Fields {
    pub fn get(&self, letter: char) -> &str {
        self.0.get(&letter).map_or("", String::as_str)
    }

    pub fn code(&self) -> &str {
        self.get('C')
    }

    pub fn message(&self) -> &str {
        self.get('M')
    }
}

pub type Row = Vec<Option<String>>;

/// What one statement answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Rows { columns: Vec<Column>, rows: Vec<Row>, tag: String },
    Command { tag: String },
    CopyOut { data: String, tag: String },
    Error(Fields),
    Empty,
}

/// What one message of statements answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub outcomes: Vec<Outcome>,
    pub notices: Vec<Fields>,
    /// Transaction status at the end: `I`, `T` or `E`.
    pub status: char,
}

impl Answer {
    pub fn error(&self) -> Option<&Fields> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Error(fields) => Some(fields),
            _ => None,
        })
    }

    /// The same answer without the modifiers of its columns' types.
    pub fn without_modifiers(mut self) -> Self {
        for outcome in &mut self.outcomes {
            if let Outcome::Rows { columns, .. } = outcome {
                columns.iter_mut().for_each(|column| column.typmod = -1);
            }
        }
        self
    }

    /// Rows of the last statement that has some.
    pub fn rows(&self) -> &[Row] {
        let rows = self.outcomes.iter().rev().find_map(|outcome| match outcome {
            Outcome::Rows { rows, .. } => Some(rows.as_slice()),
            _ => None,
        });
        rows.unwrap_or_default()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    #[error("{} {}", .0.code(), .0.message())]
    Server(Fields),
    #[error("unexpected message {0:?} ({1})")]
    Protocol(char, &'static str),
}

pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    /// ParameterStatus messages so far.
    pub parameters: BTreeMap<String, String>,
    /// Process id and secret for a cancel request.
    pub cancel_key: Option<(i32, i32)>,
}

impl Client {
    pub fn connect(address: &Address) -> Result<Self, WireError> {
        let mut client = Self::open(address)?;
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for text in ["user", &address.user, "database", &address.database] {
            push_text(&mut body, text);
        }
        body.push(0);
        client.write_frame(None, &body)?;
        client.finish_startup(address)?;
        Ok(client)
    }

    /// Only the socket: nothing has been said yet.
    pub fn open(address: &Address) -> Result<Self, WireError> {
        let writer = TcpStream::connect((address.host.as_str(), address.port))?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(Duration::from_secs(120)))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { reader, writer, parameters: BTreeMap::new(), cancel_key: None })
    }

    pub fn raw(&mut self) -> &mut TcpStream {
        &mut self.writer
    }

    fn finish_startup(&mut self, address: &Address) -> Result<(), WireError> {
        loop {
            let (kind, body) = self.read_frame()?;
            match kind {
                'R' => match int32(&body, 0) {
                    0 => {}
                    3 => {
                        let mut password = Vec::new();
                        push_text(&mut password, address.password.as_deref().unwrap_or(""));
                        self.write_frame(Some('p'), &password)?;
                    }
                    _ => return Err(WireError::Protocol(kind, "authentication not known here")),
                },
                'S' => {
                    let mut texts = texts(&body);
                    if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                        self.parameters.insert(name, value);
                    }
                }
                'K' => self.cancel_key = Some((int32(&body, 0), int32(&body, 4))),
                'N' => {}
                'E' => return Err(WireError::Server(error_fields(&body))),
                'Z' => return Ok(()),
                other => return Err(WireError::Protocol(other, "startup")),
            }
        }
    }

    /// Sends statements in one simple query message.
    pub fn query(&mut self, sql: &str) -> Result<Answer, WireError> {
        self.query_with_data(sql, "")
    }

    /// The same, and `data` for the first COPY FROM STDIN among them.
    pub fn query_with_data(&mut self, sql: &str, data: &str) -> Result<Answer, WireError> {
        let mut body = Vec::new();
        push_text(&mut body, sql);
        self.write_frame(Some('Q'), &body)?;
        self.read_answer(data)
    }

    /// Parse, Bind, Describe, Execute and Sync with parameters in text format.
    pub fn extended(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
    ) -> Result<Answer, WireError> {
        let mut parse = vec![0];
        push_text(&mut parse, sql);
        parse.extend(0_i16.to_be_bytes());
        self.write_frame(Some('P'), &parse)?;
        let mut bind = vec![0, 0];
        bind.extend(0_i16.to_be_bytes());
        bind.extend((parameters.len() as i16).to_be_bytes());
        for parameter in parameters {
            match parameter {
                None => bind.extend((-1_i32).to_be_bytes()),
                Some(text) => {
                    bind.extend((text.len() as i32).to_be_bytes());
                    bind.extend(text.as_bytes());
                }
            }
        }
        bind.extend(0_i16.to_be_bytes());
        self.write_frame(Some('B'), &bind)?;
        self.write_frame(Some('D'), b"P\0")?;
        self.write_frame(Some('E'), &[0, 0, 0, 0, 0])?;
        self.write_frame(Some('S'), &[])?;
        self.read_answer("")
    }

    /// The first value of the first row; `None` when it is NULL or there is no row.
    pub fn value(&mut self, sql: &str) -> Result<Option<String>, WireError> {
        let answer = self.query(sql)?;
        match answer.error() {
            Some(fields) => Err(WireError::Server(fields.clone())),
            None => Ok(answer.rows().first().and_then(|row| row.first().cloned()).flatten()),
        }
    }

    /// Runs statements that must succeed.
    ///
    /// # Panics
    /// When one does not.
    pub fn must(&mut self, sql: &str) -> Answer {
        let answer = self.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        if let Some(fields) = answer.error() {
            panic!("{sql}: {} {}", fields.code(), fields.message());
        }
        answer
    }

    /// Reads up to the next ReadyForQuery.
    pub fn read_answer(&mut self, data: &str) -> Result<Answer, WireError> {
        let mut answer = Answer::default();
        let mut columns = None;
        let mut rows = Vec::new();
        let mut copied: Option<Vec<u8>> = None;
        loop {
            let (kind, body) = self.read_frame()?;
            match kind {
                'T' => columns = Some(row_description(&body)),
                'D' => rows.push(data_row(&body)),
                'C' => {
                    let tag = texts(&body).next().unwrap_or_default();
                    let outcome = match (columns.take(), copied.take()) {
                        (Some(columns), _) => {
                            Outcome::Rows { columns, rows: std::mem::take(&mut rows), tag }
                        }
                        (None, Some(data)) => Outcome::CopyOut {
                            data: String::from_utf8_lossy(&data).into_owned(),
                            tag,
                        },
                        (None, None) => Outcome::Command { tag },
                    };
                    answer.outcomes.push(outcome);
                }
                'E' => {
                    columns = None;
                    copied = None;
                    rows.clear();
                    answer.outcomes.push(Outcome::Error(error_fields(&body)));
                }
                'I' => answer.outcomes.push(Outcome::Empty),
                'N' => answer.notices.push(error_fields(&body)),
                'G' => {
                    self.write_frame(Some('d'), data.as_bytes())?;
                    self.write_frame(Some('c'), &[])?;
                }
                'H' => copied = Some(Vec::new()),
                'd' => {
                    if let Some(copied) = &mut copied {
                        copied.extend(body);
                    }
                }
                'Z' => {
                    answer.status = body.first().map_or('?', |&byte| byte.into());
                    return Ok(answer);
                }
                // Parse, bind and close complete, no data, copy done, parameter, notification.
                '1' | '2' | '3' | 'n' | 'c' | 'S' | 'A' | 't' | 's' => {}
                other => return Err(WireError::Protocol(other, "answer to a query")),
            }
        }
    }

    /// Writes one message; startup messages have no type byte.
    pub fn write_frame(&mut self, kind: Option<char>, body: &[u8]) -> Result<(), WireError> {
        let mut frame = Vec::with_capacity(body.len() + 5);
        frame.extend(kind.map(|kind| kind as u8));
        frame.extend((body.len() as i32 + 4).to_be_bytes());
        frame.extend(body);
        Ok(self.writer.write_all(&frame)?)
    }

    /// Reads one message.
    pub fn read_frame(&mut self) -> Result<(char, Vec<u8>), WireError> {
        let mut head = [0; 5];
        self.reader.read_exact(&mut head)?;
        let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length - 4)
            .map_err(|_| WireError::Protocol(head[0].into(), "length below 4"))?;
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok((head[0].into(), body))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.write_frame(Some('X'), &[]);
    }
}

fn push_text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.as_bytes());
    body.push(0);
}

fn int32(body: &[u8], at: usize) -> i32 {
    let bytes = body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    i32::from_be_bytes(bytes.unwrap_or_default())
}

fn int16(body: &[u8], at: usize) -> i16 {
    let bytes = body.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    i16::from_be_bytes(bytes.unwrap_or_default())
}

/// The zero-terminated strings of a message.
fn texts(body: &[u8]) -> impl Iterator<Item = String> {
    body.split(|&byte| byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
}

/// The fields of an ErrorResponse or NoticeResponse.
pub fn error_fields(body: &[u8]) -> Fields {
    let pairs = texts(body).filter_map(|text| {
        let mut chars = text.chars();
        chars.next().map(|letter| (letter, chars.collect()))
    });
    Fields(pairs.collect())
}

/// The columns of a RowDescription.
pub fn row_description(body: &[u8]) -> Vec<Column> {
    let mut at = 2;
    (0..int16(body, 0))
        .map(|_| {
            let name = texts(&body[at..]).next().unwrap_or_default();
            at += name.len() + 1;
            // table oid (4), column number (2), type oid (4), length (2), typmod (4), format (2)
            let column = Column {
                name,
                type_oid: int32(body, at + 6) as u32,
                type_len: int16(body, at + 10),
                typmod: int32(body, at + 12),
                format: int16(body, at + 16),
            };
            at += 18;
            column
        })
        .collect()
}

fn data_row(body: &[u8]) -> Row {
    let mut at = 2;
    (0..int16(body, 0))
        .map(|_| {
            let length = int32(body, at);
            at += 4;
            let length = usize::try_from(length).ok()?;
            let text = String::from_utf8_lossy(&body[at..at + length]).into_owned();
            at += length;
            Some(text)
        })
        .collect()
}
