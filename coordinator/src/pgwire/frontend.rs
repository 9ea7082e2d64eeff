//! Messages from the client, decoded from one complete frame each.
//!
//! Every length and count is checked against the frame's own bytes before anything is allocated,
//! so that a hostile message costs nothing but its own bytes. The errors are PostgreSQL's; the
//! frame boundary holds, so the connection can go on after one.

use bytes::{Buf, Bytes};
use satsuma_common::{SqlError, SqlResult, SqlState, utf8};

/// Longest message of the kinds that carry statements and data.
pub const LARGE_MESSAGE_LIMIT: usize = 256 << 20;
/// Longest message of every other kind, startup included.
pub const SMALL_MESSAGE_LIMIT: usize = 10_000;

/// Formats of parameters and result columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
    /// Refused where a value in it is needed.
    Unknown(i16),
}

impl Format {
    fn from_code(code: i16) -> Self {
        match code {
            0 => Self::Text,
            1 => Self::Binary,
            other => Self::Unknown(other),
        }
    }

    pub fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
            Self::Unknown(code) => code,
        }
    }
}

pub fn unsupported_format(code: i16) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {code}"))
}

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

#[derive(Debug, PartialEq)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    pub param_formats: Vec<Format>,
    pub params: Vec<Option<Bytes>>,
    pub result_formats: Vec<Format>,
}

#[derive(Debug, PartialEq)]
pub enum Frontend {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target, String),
    Close(Target, String),
    Execute {
        portal: String,
        /// 0: all rows.
        max_rows: usize,
    },
    Flush,
    Sync,
    Terminate,
    FunctionCall,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    /// Password or SASL response; its content depends on the state of authentication.
    Password(Bytes),
}

/// Longest frame of this type, or `None` for a type that no client may send.
pub fn length_limit(kind: u8) -> Option<usize> {
    match kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' => Some(LARGE_MESSAGE_LIMIT),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' | b'p' => Some(SMALL_MESSAGE_LIMIT),
        _ => None,
    }
}

/// Whether a message belongs to the extended protocol: after an error those are skipped up to
/// Sync.
pub fn is_extended(kind: u8) -> bool {
    matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
}

pub fn decode(kind: u8, body: Bytes) -> SqlResult<Frontend> {
    let mut body = Body(body);
    let message = match kind {
        b'Q' => Frontend::Query(body.string()?),
        b'P' => decode_parse(&mut body)?,
        b'B' => Frontend::Bind(decode_bind(&mut body)?),
        b'D' => Frontend::Describe(body.target("DESCRIBE")?, body.string()?),
        b'C' => Frontend::Close(body.target("CLOSE")?, body.string()?),
        b'E' => Frontend::Execute {
            portal: body.string()?,
            max_rows: usize::try_from(body.i32()?).unwrap_or(0),
        },
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => return Ok(Frontend::Terminate),
        b'F' => return Ok(Frontend::FunctionCall),
        b'd' => return Ok(Frontend::CopyData(body.0)),
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(body.string()?),
        b'p' => return Ok(Frontend::Password(body.0)),
        other => return Err(violation(format!("invalid frontend message type {other}"))),
    };
    body.end()?;
    Ok(message)
}

fn decode_parse(body: &mut Body) -> SqlResult<Frontend> {
    let name = body.string()?;
    let sql = body.string()?;
    let count = body.count(4)?;
    let types = (0..count).map(|_| body.u32()).collect::<SqlResult<_>>()?;
    Ok(Frontend::Parse { name, sql, types })
}

fn decode_bind(body: &mut Body) -> SqlResult<Bind> {
    let portal = body.string()?;
    let statement = body.string()?;
    let param_formats = body.formats()?;
    let count = body.count(4)?;
    let params = (0..count).map(|_| body.value()).collect::<SqlResult<_>>()?;
    let result_formats = body.formats()?;
    Ok(Bind { portal, statement, param_formats, params, result_formats })
}

/// The rest of a frame.
struct Body(Bytes);

impl Body {
    fn string(&mut self) -> SqlResult<String> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| violation("invalid string in message"))?;
        let raw = self.0.split_to(end);
        self.0.advance(1);
        utf8::check(&raw).map(str::to_owned)
    }

    fn need(&self, bytes: usize) -> SqlResult<()> {
        if self.0.len() < bytes {
            return Err(violation("insufficient data left in message"));
        }
        Ok(())
    }

    fn u16(&mut self) -> SqlResult<u16> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    fn u32(&mut self) -> SqlResult<u32> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    fn i32(&mut self) -> SqlResult<i32> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    /// A 16-bit count of items that take at least `item` bytes each.
    fn count(&mut self, item: usize) -> SqlResult<usize> {
        let count = usize::from(self.u16()?);
        self.need(count * item)?;
        Ok(count)
    }

    fn formats(&mut self) -> SqlResult<Vec<Format>> {
        let count = self.count(2)?;
        (0..count).map(|_| self.u16().map(|code| Format::from_code(code as i16))).collect()
    }

    /// A value with its length; -1 is NULL.
    fn value(&mut self) -> SqlResult<Option<Bytes>> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length =
            usize::try_from(length).map_err(|_| violation("insufficient data left in message"))?;
        self.need(length)?;
        Ok(Some(self.0.split_to(length)))
    }

    fn target(&mut self, message: &str) -> SqlResult<Target> {
        self.need(1)?;
        match self.0.get_u8() {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(violation(format!("invalid {message} message subtype {other}"))),
        }
    }

    fn end(&self) -> SqlResult<()> {
        if self.0.is_empty() { Ok(()) } else { Err(violation("invalid message format")) }
    }
}

pub fn violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(raw: &'static [u8]) -> Bytes {
        Bytes::from_static(raw)
    }

    #[test]
    fn bind_is_decoded_whole() {
        let raw = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01\0\0";
        let Frontend::Bind(bind) = decode(b'B', body(raw)).unwrap() else { panic!() };
        assert_eq!((bind.portal.as_str(), bind.statement.as_str()), ("p", "s"));
        assert_eq!(bind.param_formats, [Format::Binary]);
        assert_eq!(bind.params, [Some(body(b"\0\0\0\x07")), None]);
        assert_eq!(bind.result_formats, [Format::Text]);
    }

    #[test]
    fn malformed_messages_are_protocol_violations() {
        for (kind, raw) in [
            (b'Q', &b"no end"[..]),
            (b'Q', b"select 1\0more"),
            (b'P', b"n\0sql\0\xff\xff\0\0"),
            (b'B', b"p\0s\0\0\0\0\x01\0\0\0\x09abc\0\0"),
            (b'B', b"p\0s\0\0\0\0\x01\xff\xff\xff\xfeabc\0\0"),
            (b'B', b"p\0s\0\xff\xff"),
            (b'D', b"Z\0"),
            (b'E', b"p\0\0\0"),
            (b'?', b""),
        ] {
            let error = decode(kind, Bytes::copy_from_slice(raw)).unwrap_err();
            assert_eq!(error.state(), SqlState::PROTOCOL_VIOLATION, "{}", kind as char);
        }
    }

    #[test]
    fn bad_utf8_names_the_bytes() {
        let error = decode(b'Q', body(b"select '\xe4bc'\0")).unwrap_err();
        assert_eq!(error.message(), "invalid byte sequence for encoding \"UTF8\": 0xe4 0x62 0x63");
        assert_eq!(error.state(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    }
}
