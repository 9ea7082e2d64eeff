//! COPY's file formats, text and csv, as streams: bytes in, Arrow batches out, and back.
//!
//! ```text
//! chunks (any cut) -> lines.rs: where a line ends -> fields.rs: where its fields end
//!   -> reader.rs: values into columns, a batch at a time, errors with line and column
//! batches -> writer.rs -> one line per row
//! ```
//!
//! Both follow PostgreSQL 15's `copyfromparse.c` and `copyto.c` in what they accept and say.
//! The binary format is not supported: 0A000.

mod fields;
mod lines;
mod reader;
mod writer;

use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::bound::{CopyFormat, CopyOptions};

pub use reader::CopyReader;
pub use writer::CopyWriter;

fn refuse_binary(options: &CopyOptions) -> SqlResult<()> {
    match options.format {
        CopyFormat::Text | CopyFormat::Csv => Ok(()),
        CopyFormat::Binary => Err(SqlError::unsupported("COPY format \"binary\" is not supported")
            .hint("Use FORMAT text or FORMAT csv.")),
    }
}

#[cfg(test)]
pub(crate) fn text_options() -> CopyOptions {
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
        file: None,
    }
}

#[cfg(test)]
pub(crate) fn csv_options() -> CopyOptions {
    CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text_options() }
}
