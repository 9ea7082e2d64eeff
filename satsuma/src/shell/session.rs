//! Runs what is typed, one statement or command after the other.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt};
use futures::stream;
use satsuma_common::{SqlError, SqlResult};

use super::backslash::{self, Backslash, HELP, Place};
use super::client::{Answer, Client};
use super::complain;
use super::split::{Splitter, State, Statement};
use super::table::{self, Style};

/// Bytes of a file in one message.
const CHUNK: usize = 256 << 10;
/// Scripts that include scripts: how deep.
const DEEPEST_INCLUDE: usize = 16;

/// Where text comes from: decides how errors are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Terminal,
    Command,
    File(String),
}

/// Why not to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Quit,
    /// A statement failed, and was complained about.
    Failed,
    /// The connection is gone.
    Lost,
}

pub struct Shell {
    client: Client,
    splitter: Splitter,
    style: Style,
    timing: bool,
    /// `I`, `T` or `E`, as the server last said.
    status: String,
    depth: usize,
}

impl Shell {
    pub fn new(client: Client, bare: bool) -> Self {
        Self {
            client,
            splitter: Splitter::default(),
            style: Style { expanded: false, bare },
            timing: false,
            status: "I".into(),
            depth: 0,
        }
    }

    pub async fn close(&mut self) {
        self.client.close().await;
    }

    pub fn is_between_statements(&self) -> bool {
        matches!(self.splitter.state(), State::Empty)
    }

    pub fn prompt(&self) -> String {
        let inside = match self.splitter.state() {
            State::Empty => "=",
            State::Statement => "-",
            State::SingleQuote => "'",
            State::DoubleQuote => "\"",
            State::DollarQuote => "$",
            State::Comment => "*",
            State::Parenthesis => "(",
        };
        let transaction = match self.status.as_str() {
            "T" => "*",
            "E" => "!",
            _ => "",
        };
        format!("satsuma{inside}{transaction}> ")
    }

    /// Forgets a statement that is not complete.
    pub fn forget(&mut self) {
        self.splitter.forget();
    }

    /// A whole text; stops at the first failure.
    pub fn run_text<'a>(
        &'a mut self,
        text: &'a str,
        origin: &'a Origin,
    ) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            let outer = std::mem::take(&mut self.splitter);
            let mut result = Ok(());
            for line in text.lines() {
                result = self.feed(line, origin).await;
                if result.is_err() {
                    break;
                }
            }
            if result.is_ok() {
                result = self.finish(origin).await;
            }
            self.splitter = outer;
            result
        }
        .boxed()
    }

    /// One line of input.
    pub async fn feed(&mut self, line: &str, origin: &Origin) -> Result<(), Stop> {
        if line.trim_start().starts_with('\\') && self.splitter.state() == State::Empty {
            // Counted as a line, so that later statements know theirs.
            self.splitter.push_line("");
            return self.backslash(line, origin).await;
        }
        for statement in self.splitter.push_line(line) {
            self.statement(&statement, origin).await?;
        }
        Ok(())
    }

    /// The end of the input: a last statement needs no `;`.
    pub async fn finish(&mut self, origin: &Origin) -> Result<(), Stop> {
        match self.splitter.finish() {
            Some(statement) => self.statement(&statement, origin).await,
            None => Ok(()),
        }
    }

    async fn statement(&mut self, statement: &Statement, origin: &Origin) -> Result<(), Stop> {
        let started = Instant::now();
        let result = self.query(&statement.sql).await;
        let elapsed = started.elapsed();
        match result {
            Ok(answer) => self.show(&answer, None),
            Err(error) => return self.failed(&error, &statement.sql, statement.line, origin),
        }
        if self.timing {
            println!("Time: {:.3} ms", elapsed.as_secs_f64() * 1000.0);
        }
        Ok(())
    }

    /// Ctrl-C drops the call, which cancels the statement.
    async fn query(&mut self, sql: &str) -> SqlResult<Answer> {
        let interrupted = async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let result = tokio::select! {
            result = self.client.query(sql) => result,
            () = interrupted => Err(SqlError::new(
                satsuma_common::SqlState::QUERY_CANCELED,
                "canceling statement due to user request",
            )),
        };
        match &result {
            Ok(answer) => self.status = answer.report.status.clone(),
            Err(_) if self.status == "T" => self.status = "E".into(),
            Err(_) => {}
        }
        result
    }

    fn failed(
        &self,
        error: &SqlError,
        sql: &str,
        line: usize,
        origin: &Origin,
    ) -> Result<(), Stop> {
        let prefix = match origin {
            Origin::File(name) => format!("satsuma:{name}:{line}: "),
            Origin::Terminal | Origin::Command => String::new(),
        };
        eprint!("{prefix}{}", complain::error(error, sql));
        Err(if complain::is_lost(error) { Stop::Lost } else { Stop::Failed })
    }

    fn show(&self, answer: &Answer, title: Option<&str>) {
        for notice in &answer.report.notices {
            eprint!("{}", complain::notice(&notice.severity, &notice.fields));
        }
        let mut stdout = std::io::stdout().lock();
        // A closed pipe ends the program at its next write; nothing to do here.
        let _ = if answer.report.copy {
            stdout.write_all(&answer.copy)
        } else if answer.columns.is_empty() {
            match answer.report.tag.as_str() {
                "" => Ok(()),
                _ if self.style.bare => Ok(()),
                tag => writeln!(stdout, "{tag}"),
            }
        } else {
            let mut text = table::render(&answer.columns, &answer.rows, self.style);
            if let Some(title) = title.filter(|_| !self.style.bare) {
                let width = text.lines().next().map_or(0, |line| line.chars().count());
                let space = width.saturating_sub(title.chars().count()) / 2;
                text = format!("{}{title}\n{text}", " ".repeat(space));
            }
            let changed = !answer.report.tag.starts_with("SELECT")
                && !matches!(answer.report.tag.as_str(), "EXPLAIN" | "SHOW" | "")
                && !answer.report.tag.starts_with("FETCH");
            if changed && !self.style.bare {
                // RETURNING shows its rows and then its tag.
                text.push_str(&answer.report.tag);
                text.push('\n');
            }
            stdout.write_all(text.as_bytes())
        };
        let _ = stdout.flush();
    }

    async fn backslash(&mut self, line: &str, origin: &Origin) -> Result<(), Stop> {
        match backslash::parse(line) {
            Backslash::Quit => Err(Stop::Quit),
            Backslash::Help => {
                print!("{HELP}");
                Ok(())
            }
            Backslash::Expanded => {
                self.style.expanded = !self.style.expanded;
                self.told("Expanded display", self.style.expanded)
            }
            Backslash::TuplesOnly => {
                self.style.bare = !self.style.bare;
                self.told("Tuples only", self.style.bare)
            }
            Backslash::Timing => {
                self.timing = !self.timing;
                self.told("Timing", self.timing)
            }
            Backslash::Echo(text) => {
                println!("{text}");
                Ok(())
            }
            Backslash::Include(path) => self.include(&path).await,
            Backslash::Connection => {
                self.show_query(
                    "SELECT current_user AS \"User\", current_database() AS \"Database\"",
                    None,
                    origin,
                )
                .await
            }
            Backslash::Query { title, sql } => {
                self.show_query(&sql, title.as_deref(), origin).await
            }
            Backslash::CopyFrom { sql, source } => self.copy_from(&sql, &source, origin).await,
            Backslash::CopyTo { sql, target } => self.copy_to(&sql, &target, origin).await,
            Backslash::Wrong(message) => {
                eprintln!("{message}. Try \\? for help.");
                Err(Stop::Failed)
            }
        }
    }

    fn told(&self, what: &str, on: bool) -> Result<(), Stop> {
        println!("{what} is {}.", if on { "on" } else { "off" });
        Ok(())
    }

    async fn show_query(
        &mut self,
        sql: &str,
        title: Option<&str>,
        origin: &Origin,
    ) -> Result<(), Stop> {
        match self.query(sql).await {
            Ok(answer) => {
                self.show(&answer, title);
                Ok(())
            }
            Err(error) => self.failed(&error, "", 1, origin),
        }
    }

    async fn include(&mut self, path: &str) -> Result<(), Stop> {
        if self.depth >= DEEPEST_INCLUDE {
            eprintln!("\\i: scripts include each other too deeply");
            return Err(Stop::Failed);
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            eprintln!("{path}: {error}");
            Stop::Failed
        })?;
        self.depth += 1;
        let result = self.run_text(&text, &Origin::File(path.to_owned())).await;
        self.depth -= 1;
        match result {
            Err(Stop::Quit) => Ok(()),
            other => other,
        }
    }

    async fn copy_from(&mut self, sql: &str, source: &Place, origin: &Origin) -> Result<(), Stop> {
        let reader: Box<dyn Read + Send> = match source {
            Place::Standard => Box::new(std::io::stdin()),
            Place::File(path) => Box::new(File::open(path).map_err(|error| {
                eprintln!("{path}: {error}");
                Stop::Failed
            })?),
        };
        match self.client.copy_in(sql, chunks(reader)).await {
            Ok(count) => {
                if !self.style.bare {
                    println!("COPY {count}");
                }
                Ok(())
            }
            Err(error) => {
                if self.status == "T" {
                    self.status = "E".into();
                }
                self.failed(&error, "", 1, origin)
            }
        }
    }

    async fn copy_to(&mut self, sql: &str, target: &Place, origin: &Origin) -> Result<(), Stop> {
        let answer = match self.query(sql).await {
            Ok(answer) => answer,
            Err(error) => return self.failed(&error, "", 1, origin),
        };
        match target {
            Place::Standard => self.show(&answer, None),
            Place::File(path) => {
                std::fs::write(path, &answer.copy).map_err(|error| {
                    eprintln!("{path}: {error}");
                    Stop::Failed
                })?;
                if !self.style.bare {
                    println!("{}", answer.report.tag);
                }
            }
        }
        Ok(())
    }
}

/// A file in pieces.
fn chunks(
    reader: Box<dyn Read + Send>,
) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + Send {
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let mut chunk = vec![0; CHUNK];
        match reader.read(&mut chunk) {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(chunk), Some(reader)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}
