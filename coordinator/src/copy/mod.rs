//! COPY's file formats, text, csv and binary, as streams: bytes in, Arrow batches out, and back.
//!
//! ```text
//! data (any cut) -> lines.rs: where a line ends -> reader.rs: lines by the thousand
//!   -> chunk.rs, on any thread: fields.rs: where fields end; values into columns (batch.rs),
//!      errors with line and column
//! batches -> writer.rs -> one line per row
//! ```
//!
//! Both follow PostgreSQL 15's `copyfromparse.c` and `copyto.c` in what they accept and say.
//! The binary format has no lines: binary.rs stands in for them.

mod batch;
mod binary;
mod chunk;
mod fields;
mod format;
mod lines;
mod reader;
mod writer;

pub use batch::Piece;
pub use reader::CopyReader;
pub use writer::CopyWriter;

#[cfg(test)]
pub(crate) fn text_options() -> satsuma_sql::bound::CopyOptions {
    use satsuma_sql::bound::{CopyFormat, CopyOptions};
    CopyOptions {
        format: CopyFormat::Text,
        delimiter: b'\t',
        null: "\\N".into(),
        header: satsuma_sql::bound::CopyHeader::No,
        quote: b'"',
        escape: b'"',
        force_quote: satsuma_sql::bound::ForceColumns::Named(vec![]),
        force_not_null: vec![],
        force_null: vec![],
        freeze: false,
        encoding: satsuma_common::encoding::Encoding::UTF8,
    }
}

#[cfg(test)]
pub(crate) fn csv_options() -> satsuma_sql::bound::CopyOptions {
    use satsuma_sql::bound::{CopyFormat, CopyOptions};
    CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text_options() }
}
