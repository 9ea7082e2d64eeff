//! Values between Arrow and the clients' text and binary forms. Integers and text only, until
//! every type's input and output are here.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Builder, StringViewBuilder};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

#[derive(Clone, Debug, Default)]
pub struct TextSettings {}

pub fn parse_text(text: &str, ty: &PgType, _: &TextSettings) -> SqlResult<Datum> {
    match ty {
        PgType::Int4 => text.parse().map(Datum::Int4).map_err(|_| bad(text, ty)),
        PgType::Int8 => text.parse().map(Datum::Int8).map_err(|_| bad(text, ty)),
        PgType::Text | PgType::Varchar(None) => Ok(Datum::Text(text.into())),
        _ => Err(not_yet(ty)),
    }
}
fn not_yet(ty: &PgType) -> SqlError {
    SqlError::unsupported(format!("type {ty} cannot travel yet"))
}

fn bad(text: &str, ty: &PgType) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {ty}: \"{text}\""),
    )
}
pub fn parse_binary(raw: &[u8], ty: &PgType) -> SqlResult<Datum> {
    let wrong =
        || SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format");
    match ty {
        PgType::Int4 => Ok(Datum::Int4(i32::from_be_bytes(raw.try_into().map_err(|_| wrong())?))),
        PgType::Text | PgType::Varchar(None) => {
            Ok(Datum::Text(String::from_utf8(raw.to_vec()).map_err(|_| wrong())?))
        }
        _ => Err(not_yet(ty)),
    }
}

pub struct ValueWriter<'a> {
    array: &'a ArrayRef,
}

impl<'a> ValueWriter<'a> {
    pub fn new(array: &'a ArrayRef, _ty: &'a PgType, _settings: &'a TextSettings) -> Self {
        Self { array }
    }
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }
    pub fn write_text(&self, row: usize, output: &mut BytesMut) -> SqlResult<()> {
        if let Some(a) = self.array.as_primitive_opt::<Int32Type>() {
            output.put_slice(a.value(row).to_string().as_bytes());
        } else if let Some(a) = self.array.as_primitive_opt::<Int64Type>() {
            output.put_slice(a.value(row).to_string().as_bytes());
        } else if let Some(a) = self.array.as_string_view_opt() {
            output.put_slice(a.value(row).as_bytes());
        } else {
            return Err(SqlError::unsupported("type"));
        }
        Ok(())
    }
    pub fn write_binary(&self, row: usize, output: &mut BytesMut) -> SqlResult<()> {
        if let Some(a) = self.array.as_primitive_opt::<Int32Type>() {
            output.put_i32(a.value(row));
        } else if let Some(a) = self.array.as_primitive_opt::<Int64Type>() {
            output.put_i64(a.value(row));
        } else if let Some(a) = self.array.as_string_view_opt() {
            output.put_slice(a.value(row).as_bytes());
        } else {
            return Err(SqlError::unsupported("type"));
        }
        Ok(())
    }
}

pub enum ValueBuilder {
    Int(Int32Builder),
    Text(StringViewBuilder),
}

impl ValueBuilder {
    pub fn new(ty: &PgType, _capacity: usize) -> Self {
        match ty {
            PgType::Int4 => Self::Int(Int32Builder::new()),
            _ => Self::Text(StringViewBuilder::new()),
        }
    }
    pub fn append_null(&mut self) {
        match self {
            Self::Int(b) => b.append_null(),
            Self::Text(b) => b.append_null(),
        }
    }
    pub fn append_text(&mut self, text: &str, _: &TextSettings) -> SqlResult<()> {
        match self {
            Self::Int(b) => {
                b.append_value(text.trim().parse().map_err(|_| bad(text, &PgType::Int4))?)
            }
            Self::Text(b) => b.append_value(text),
        }
        Ok(())
    }
    pub fn finish(self) -> SqlResult<ArrayRef> {
        Ok(match self {
            Self::Int(mut b) => std::sync::Arc::new(b.finish()),
            Self::Text(mut b) => std::sync::Arc::new(b.finish()),
        })
    }
}
