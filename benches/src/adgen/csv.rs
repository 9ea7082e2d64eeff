//! CSV as PostgreSQL's COPY reads it: NULL is an empty field without quotes, an empty string is
//! quoted, quotes are doubled.

use std::fmt::{Arguments, Write as _};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Datelike, Timelike};

use super::Error;

/// One row under construction.
#[derive(Default)]
pub struct Row {
    line: String,
    scratch: String,
}

impl Row {
    pub fn start(&mut self) {
        self.line.clear();
    }

    fn separate(&mut self) {
        if !self.line.is_empty() {
            self.line.push(',');
        }
    }

    /// A field that never needs quotes: a number, a boolean, an address.
    pub fn plain(&mut self, value: Arguments<'_>) {
        self.separate();
        let _ = self.line.write_fmt(value);
    }

    pub fn int(&mut self, value: u64) {
        self.plain(format_args!("{value}"));
    }

    /// Must not be the first field of a row.
    pub fn null(&mut self) {
        debug_assert!(!self.line.is_empty());
        self.line.push(',');
    }

    pub fn text(&mut self, value: Arguments<'_>) {
        self.separate();
        self.scratch.clear();
        let _ = self.scratch.write_fmt(value);
        let special = |c: char| matches!(c, ',' | '"' | '\n' | '\r' | '\\');
        if !self.scratch.is_empty() && !self.scratch.contains(special) {
            self.line.push_str(&self.scratch);
            return;
        }
        self.line.push('"');
        for c in self.scratch.chars() {
            if c == '"' {
                self.line.push('"');
            }
            self.line.push(c);
        }
        self.line.push('"');
    }

    /// `numeric(20,10)` from units of 1e-10, without trailing zeros.
    pub fn tenth_nanos(&mut self, units: u64) {
        let (whole, fraction) = (units / 10_000_000_000, units % 10_000_000_000);
        self.separate();
        self.scratch.clear();
        let _ = write!(self.scratch, "{whole}.{fraction:010}");
        let trimmed = self.scratch.trim_end_matches('0').trim_end_matches('.');
        self.line.push_str(trimmed);
    }

    /// `timestamp` from microseconds since 1970.
    pub fn timestamp(&mut self, us: i64) {
        self.separate();
        write_timestamp(&mut self.line, us);
    }
}

/// `2025-11-30 04:05:06.789012`.
pub fn write_timestamp(line: &mut String, us: i64) {
    let at = DateTime::from_timestamp_micros(us).unwrap_or_default();
    let _ = write!(
        line,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.timestamp_subsec_micros()
    );
}

/// One CSV file being written, with its progress.
pub struct Table {
    name: &'static str,
    path: PathBuf,
    file: BufWriter<File>,
    rows: u64,
    written: u64,
    bytes: u64,
    started: Instant,
    progress: Progress,
}

enum Progress {
    Off,
    /// A line that is overwritten.
    Terminal,
    /// Only the last line.
    Log,
}

impl Table {
    pub fn create(
        directory: &Path,
        name: &'static str,
        rows: u64,
        progress: bool,
    ) -> Result<Self, Error> {
        let path = directory.join(format!("{name}.csv"));
        let file =
            File::create(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let progress = match progress {
            false => Progress::Off,
            true if std::io::stderr().is_terminal() => Progress::Terminal,
            true => Progress::Log,
        };
        Ok(Self {
            name,
            path,
            file: BufWriter::with_capacity(1 << 20, file),
            rows,
            written: 0,
            bytes: 0,
            started: Instant::now(),
            progress,
        })
    }

    pub fn push(&mut self, row: &mut Row) -> Result<(), Error> {
        row.line.push('\n');
        self.file
            .write_all(row.line.as_bytes())
            .map_err(|source| Error::Io { path: self.path.clone(), source })?;
        self.written += 1;
        self.bytes += row.line.len() as u64;
        if self.written.is_multiple_of(100_000) && matches!(self.progress, Progress::Terminal) {
            eprint!("\r{:>12}  {:>12} of {} rows", self.name, self.written, self.rows);
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| Error::Io { path: self.path.clone(), source })?;
        let line = format!(
            "{:>12}  {:>12} rows  {:>8.1} MB  {:>6.2} s",
            self.name,
            self.written,
            self.bytes as f64 / 1e6,
            self.started.elapsed().as_secs_f64()
        );
        match self.progress {
            Progress::Off => {}
            Progress::Terminal => eprintln!("\r{line}"),
            Progress::Log => eprintln!("{line}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_as_copy_reads_them() {
        let mut row = Row::default();
        row.start();
        row.int(1);
        row.null();
        row.text(format_args!(""));
        row.text(format_args!("plain"));
        row.text(format_args!("a,\"b\"\\"));
        row.tenth_nanos(3_152_000_000);
        row.tenth_nanos(20_000_000_000);
        row.timestamp(1_700_000_000_000_042);
        assert_eq!(row.line, r#"1,,"",plain,"a,""b""\",0.3152,2,2023-11-14 22:13:20.000042"#);
    }
}
