//! DuckDB, as a Python module: how fast a single-node column store that does not have to be durable
//! answers the same questions.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::answers::Rows;
use super::figures::Run;
use super::servers::ServerKind;
use super::{Error, process};

const SCRIPT: &str = include_str!("duckdb.py");
const THREADS: &str = "2";

/// A Python process that runs DuckDB; ended when dropped.
pub struct DuckDb {
    child: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seconds: f64,
    #[serde(default)]
    rows: Rows,
    error: Option<String>,
    #[serde(default)]
    timed_out: bool,
}

impl DuckDb {
    /// A database in a file. `None`, with a note, where the module is not installed. `SATSUMA_PYTHON`
    /// names the interpreter that has it.
    pub fn start(directory: &Path) -> Result<Option<Self>, Error> {
        let python = std::env::var_os("SATSUMA_PYTHON").unwrap_or_else(|| "python3".into());
        let spawned = Command::new(python)
            .args(["-c", SCRIPT])
            .arg(directory.join("duckdb"))
            .arg(THREADS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("There is no Python: DuckDB is left out.");
            return Ok(None);
        };
        let (Some(statements), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(wrong("it has no pipes"));
        };
        let mut duckdb = Self { child, statements, answers: BufReader::new(answers) };
        if duckdb.line()?.trim() != "ready" {
            println!("DuckDB is not installed in Python: left out.");
            return Ok(None);
        }
        Ok(Some(duckdb))
    }

    /// Runs a statement to its end, or until its time is up.
    pub fn ask(&mut self, statement: &str, limit: Option<Duration>) -> Result<(Rows, Run), Error> {
        let before = self.usage();
        let line = format!("{}\n", serde_json::json!([statement, limit.map(|l| l.as_secs())]));
        self.statements.write_all(line.as_bytes()).map_err(Error::io("DuckDB"))?;
        let answer: Answer =
            serde_json::from_str(&self.line()?).map_err(|error| wrong(&error.to_string()))?;
        if answer.timed_out {
            return Err(Error::TimedOut { server: ServerKind::DuckDb.name() });
        }
        if let Some(error) = answer.error {
            return Err(wrong(&error));
        }
        let elapsed = Duration::from_secs_f64(answer.seconds);
        let after = self.usage();
        let cpu = after.cpu.saturating_sub(before.cpu);
        let run = Run { operations: 1, elapsed, latency: elapsed, cpu, memory: after.memory };
        Ok((answer.rows, run))
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(Error::io("DuckDB"))?;
        Ok(line)
    }

    fn usage(&self) -> process::Usage {
        process::usage(&[self.child.id()])
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wrong(output: &str) -> Error {
    Error::Program { program: "DuckDB".into(), output: output.into() }
}
