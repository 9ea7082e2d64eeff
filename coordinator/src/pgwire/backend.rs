//! Messages to the client, written into the connection's output buffer.
//!
//! The layouts are the `pgwire` crate's; only DataRow and CopyData, which come by the million,
//! are written in place by [`super::rows`] and [`crate::copy`].

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, ParameterDescription, RowDescription};
use pgwire::messages::response::{
    CommandComplete, ErrorResponse, NoticeResponse, ReadyForQuery,
    TransactionStatus as WireTransactionStatus,
};
use pgwire::messages::startup::{Authentication, ParameterStatus};
use satsuma_common::error::SqlErrorFields;
use satsuma_common::{PgType, SqlError};
use satsuma_sql::bound::OutputColumn;

use super::frontend::Format;
use crate::session_api::{Notice, TransactionStatus};

/// Messages without a body.
pub const PARSE_COMPLETE: u8 = b'1';
pub const BIND_COMPLETE: u8 = b'2';
pub const CLOSE_COMPLETE: u8 = b'3';
pub const NO_DATA: u8 = b'n';
pub const PORTAL_SUSPENDED: u8 = b's';
pub const EMPTY_QUERY: u8 = b'I';
pub const COPY_DONE: u8 = b'c';

/// Writes one message. A message that the codec refuses (one field beyond its limit) is left out
/// whole rather than sent broken.
pub fn put(output: &mut BytesMut, message: &impl Message) {
    let start = output.len();
    if let Err(error) = message.encode(output) {
        tracing::error!(%error, "message not sent");
        output.truncate(start);
    }
}

pub fn put_bare(output: &mut BytesMut, kind: u8) {
    output.put_u8(kind);
    output.put_i32(4);
}

pub fn put_authentication(output: &mut BytesMut, message: &Authentication) {
    put(output, message);
}

pub fn put_parameter_status(output: &mut BytesMut, name: String, value: String) {
    put(output, &ParameterStatus::new(name, value));
}

pub fn put_ready(output: &mut BytesMut, status: TransactionStatus) {
    let status = match status {
        TransactionStatus::Idle => WireTransactionStatus::Idle,
        TransactionStatus::InTransaction => WireTransactionStatus::Transaction,
        TransactionStatus::Failed => WireTransactionStatus::Error,
    };
    put(output, &ReadyForQuery::new(status));
}

pub fn put_complete(output: &mut BytesMut, tag: String) {
    put(output, &CommandComplete::new(tag));
}

pub fn put_error(output: &mut BytesMut, error: &SqlError) {
    put(output, &ErrorResponse::new(fields("ERROR", error.fields())));
}

/// An error that ends the connection.
pub fn put_fatal(output: &mut BytesMut, error: &SqlError) {
    put(output, &ErrorResponse::new(fields("FATAL", error.fields())));
}

pub fn put_notice(output: &mut BytesMut, notice: &Notice) {
    put(output, &NoticeResponse::new(fields(notice.severity.as_str(), &notice.fields)));
}

fn fields(severity: &str, error: &SqlErrorFields) -> Vec<(u8, String)> {
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.state.as_str().to_owned()),
        (b'M', error.message.clone()),
    ];
    let optional = [
        (b'D', &error.detail),
        (b'H', &error.hint),
        (b'P', &error.position.map(|position| position.to_string())),
        (b'W', &error.context),
        (b's', &error.schema),
        (b't', &error.table),
        (b'c', &error.column),
        (b'd', &error.data_type),
        (b'n', &error.constraint),
        (b'R', &error.routine),
    ];
    fields.extend(optional.into_iter().filter_map(|(code, value)| Some((code, value.clone()?))));
    // A NUL would end the field early and shift the rest.
    for (_, value) in &mut fields {
        if value.contains('\0') {
            *value = value.replace('\0', "\u{fffd}");
        }
    }
    fields
}

pub fn put_row_description(output: &mut BytesMut, columns: &[OutputColumn], formats: &[Format]) {
    let fields = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let (table, attribute) = match column.origin {
                Some((table, column)) => (table.0 as i32, column.0 as i16),
                None => (0, 0),
            };
            FieldDescription::new(
                column.name.clone(),
                table,
                attribute,
                if column.is_vector() { vector_oid(&column.ty) } else { wire_oid(&column.ty) },
                column.ty.byte_len(),
                column.typmod.max(-1),
                format_of(formats, index).code(),
            )
        })
        .collect();
    put(output, &RowDescription::new(fields));
}

pub fn put_parameter_description(output: &mut BytesMut, types: &[PgType]) {
    put(output, &ParameterDescription::new(types.iter().map(wire_oid).collect()));
}

/// PostgreSQL sends an unknown column as text.
fn wire_oid(ty: &PgType) -> u32 {
    match ty {
        PgType::Unknown => PgType::Text.oid(),
        other => other.oid(),
    }
}

/// int2vector, or oidvector.
fn vector_oid(ty: &PgType) -> u32 {
    match ty {
        PgType::Array(element) if **element == PgType::Oid => 30,
        _ => 22,
    }
}

pub fn put_copy_in(output: &mut BytesMut, columns: usize, is_binary: bool) {
    let (all, each) = (i8::from(is_binary), i16::from(is_binary));
    put(output, &CopyInResponse::new(all, columns as i16, vec![each; columns]));
}

pub fn put_copy_out(output: &mut BytesMut, columns: usize, is_binary: bool) {
    let (all, each) = (i8::from(is_binary), i16::from(is_binary));
    put(output, &CopyOutResponse::new(all, columns as i16, vec![each; columns]));
}

/// Format of a column when Bind gave none, one for all, or one each.
pub fn format_of(formats: &[Format], index: usize) -> Format {
    match formats {
        [] => Format::Text,
        [one] => *one,
        many => many.get(index).copied().unwrap_or(Format::Text),
    }
}
