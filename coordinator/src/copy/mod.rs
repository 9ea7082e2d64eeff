//! COPY's file formats, text, csv and binary, as streams: bytes in, Arrow batches out, and back.
//!
//! ```text
//! chunks (any cut) -> lines.rs: where a line ends -> fields.rs: where its fields end
//!   -> reader.rs: values into columns, a batch at a time, errors with line and column
//! batches -> writer.rs -> one line per row
//! ```
//!
//! Both follow PostgreSQL 15's `copyfromparse.c` and `copyto.c` in what they accept and say.
//! The binary format has no lines: binary.rs stands in for the first two.

mod binary;
mod fields;
mod lines;
mod reader;
mod writer;

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
    }
}

#[cfg(test)]
pub(crate) fn csv_options() -> satsuma_sql::bound::CopyOptions {
    use satsuma_sql::bound::{CopyFormat, CopyOptions};
    CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text_options() }
}
