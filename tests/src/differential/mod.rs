//! The same statements to PostgreSQL 15 and to Satsuma, and every difference.
//!
//! ```text
//! -- name: what this shows          starts a record: one simple query message
//! -- tables: t by a, u by b         Satsuma places these tables after the record
//! -- only: satsuma                  not sent to PostgreSQL (or: postgres), not compared
//! -- unordered                      the rows have no order although there is an ORDER BY
//! -- differs: reason                a known difference: it fails the day it is gone
//! -- differs distributed: reason    the same, with this placement of the tables only
//! -- message differs: reason        only the text of the error is another
//! -- data ... -- end                what COPY FROM STDIN reads
//! ```
//!
//! A file with tables runs once with each [`Placement`]: a statement means the same whether its
//! tables are local, distributed or reference tables.

mod compare;
mod script;

use std::fmt::Write;
use std::path::Path;

pub use compare::difference;
pub use script::{Only, Record, Script, ScriptError};

use crate::cluster::Address;
use crate::wire::{Answer, Client};

/// Where Satsuma puts the tables of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Local,
    Distributed,
    Reference,
}

impl Placement {
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Distributed => "distributed",
            Self::Reference => "reference",
        }
    }

    pub fn statement(self, table: &str, column: Option<&str>) -> Option<String> {
        match (self, column) {
            (Self::Distributed, Some(column)) => {
                Some(format!("SELECT create_distributed_table('{table}', '{column}')"))
            }
            (Self::Reference, Some(_)) => Some(format!("SELECT create_reference_table('{table}')")),
            (Self::Local, _) | (_, None) => None,
        }
    }
}

/// What came of one script.
#[derive(Debug, Default)]
pub struct Report {
    pub statements: usize,
    /// One readable paragraph for each difference.
    pub differences: Vec<String>,
}

/// Runs a script on both servers.
pub fn run(script: &Script, placement: Placement, oracle: &Address, satsuma: &Address) -> Report {
    let mut report = Report::default();
    let mut run = match Run::connect(script, placement, oracle, satsuma) {
        Ok(run) => run,
        Err(error) => {
            report.differences.push(format!("{}: {error}", script.name));
            return report;
        }
    };
    for record in &script.records {
        report.statements += 1;
        if let Err(problem) = run.record(record) {
            let mut text = String::new();
            let place = format!("{}:{} [{}]", script.name, record.line, placement.name());
            let _ = writeln!(text, "{place} {}\n{}", record.name, record.sql.trim());
            let _ = writeln!(text, "{problem}");
            report.differences.push(text);
        }
    }
    run.clean_up();
    report
}

struct Run<'a> {
    script: &'a Script,
    placement: Placement,
    oracle: Client,
    satsuma: Client,
    address: &'a Address,
}

impl<'a> Run<'a> {
    fn connect(
        script: &'a Script,
        placement: Placement,
        oracle: &Address,
        address: &'a Address,
    ) -> Result<Self, String> {
        let oracle = oracle.client().map_err(|error| format!("PostgreSQL: {error}"))?;
        let satsuma = address.client().map_err(|error| format!("Satsuma: {error}"))?;
        let mut run = Self { script, placement, oracle, satsuma, address };
        run.clean_up();
        Ok(run)
    }

    /// Tables of a script must not stay: the next one may use the same names.
    fn clean_up(&mut self) {
        let _ = self.ask_satsuma("ROLLBACK", "");
        for (table, _) in self.script.records.iter().rev().flat_map(|record| &record.tables) {
            let _ = self.ask_satsuma(&format!("DROP TABLE IF EXISTS {table} CASCADE"), "");
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), String> {
        let sql = &record.sql;
        let expected = match record.only {
            Some(Only::Satsuma) => None,
            Some(Only::Postgres) | None => {
                let answer = self.oracle.query_with_data(sql, &record.data);
                Some(answer.map_err(|error| format!("PostgreSQL: {error}"))?)
            }
        };
        if record.only == Some(Only::Postgres) {
            return Ok(());
        }
        let got = self.ask_satsuma(sql, &record.data)?;
        self.place(record)?;
        let Some(expected) = expected else { return Ok(()) };
        if expected.status != got.status {
            // What follows would be compared in different transactions.
            let _ = self.oracle.query("ROLLBACK");
            let _ = self.ask_satsuma("ROLLBACK", "");
        }
        let mut problem = difference(record, &expected, &got);
        let repeatable = record.is_query() && expected.error().is_none();
        if problem.is_none() && self.placement == Placement::Distributed && repeatable {
            let prepared = self.satsuma.extended(sql, &[]);
            let prepared = prepared.map_err(|error| format!("extended protocol: {error}"))?;
            problem = difference(record, &expected, &prepared)
                .map(|problem| format!("extended protocol: {problem}"));
        }
        let placed = record.differs_placed.as_ref();
        let placed = placed.filter(|(placement, _)| placement == self.placement.name());
        match (problem, record.differs.as_ref().or(placed.map(|(_, reason)| reason))) {
            (None, None) | (Some(_), Some(_)) => Ok(()),
            (Some(problem), None) => Err(problem),
            (None, Some(reason)) => Err(format!("marked as differing ({reason}) but equal now")),
        }
    }

    fn place(&mut self, record: &Record) -> Result<(), String> {
        for (table, column) in &record.tables {
            if let Some(sql) = self.placement.statement(table, column.as_deref()) {
                let answer = self.ask_satsuma(&sql, "")?;
                if let Some(error) = answer.error() {
                    return Err(format!("{sql}: {} {}", error.code(), error.message()));
                }
            }
        }
        Ok(())
    }

    /// A lost connection is a difference, and the rest of the script deserves a new one.
    fn ask_satsuma(&mut self, sql: &str, data: &str) -> Result<Answer, String> {
        self.satsuma.query_with_data(sql, data).map_err(|error| {
            if let Ok(client) = self.address.client() {
                self.satsuma = client;
            }
            format!("Satsuma: {error}")
        })
    }
}

/// Runs every script of a directory and writes what differs to
/// `target/differential/PLACEMENT.txt`.
///
/// # Panics
/// When anything differs; the first differences are in the message.
pub fn assert_same(
    directory: &Path,
    placement: Placement,
    mut oracle: impl FnMut() -> Address,
    satsuma: &Address,
) {
    let scripts = Script::read_all(directory).unwrap_or_else(|error| panic!("{error}"));
    assert!(!scripts.is_empty(), "no scripts in {}", directory.display());
    let chosen = std::env::var("SATSUMA_DIFFERENTIAL").unwrap_or_default();
    let (mut statements, mut differences, mut summary) = (0, Vec::new(), String::new());
    for script in scripts.iter().filter(|script| script.name.contains(&chosen)) {
        // Without tables there is nothing to place: once is enough.
        if placement != Placement::Local && !script.has_tables() {
            continue;
        }
        let report = run(script, placement, &oracle(), satsuma);
        let (count, wrong) = (report.statements, report.differences.len());
        let _ = writeln!(summary, "{:>32}: {wrong:>4} of {count:>4} differ", script.name);
        statements += count;
        differences.extend(report.differences);
    }
    let path = crate::workspace().join("target/differential");
    let _ = std::fs::create_dir_all(&path);
    let text = format!("{summary}\n{}", differences.join("\n"));
    let _ = std::fs::write(path.join(format!("{}.txt", placement.name())), text);
    assert!(
        differences.is_empty(),
        "{} of {statements} statements differ from PostgreSQL ({} tables; all of them in \
         target/differential/{}.txt):\n{summary}\n{}",
        differences.len(),
        placement.name(),
        placement.name(),
        differences[..differences.len().min(8)].join("\n")
    );
}

#[cfg(test)]
mod tests;
