//! Runs what is typed, one statement or command after the other.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt};
use futures::stream;
use satsuma_common::{SqlError, SqlResult};

use super::backslash::{self, Backslash, HELP, Place, Relation};
use super::client::{Answer, Client};
use super::complain;
use super::split::{Splitter, State, Statement};
use super::table::{self, Style};

/// Bytes of a file in one message.
const CHUNK: usize = 256 << 10;
/// Of a COPY before its FROM: a table with all its columns.
const MOST_WORDS: usize = 4000;
/// Scripts that include scripts: how deep.
const DEEPEST_INCLUDE: usize = 16;

/// Where text comes from: decides how errors are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Terminal,
    /// Given with `-c`.
    Command,
    /// Standard input that is no terminal.
    Pipe,
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
    /// A COPY whose data are the lines that follow.
    copying: Option<Copying>,
}

struct Copying {
    sql: String,
    data: Vec<u8>,
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
            copying: None,
        }
    }

    pub async fn close(&mut self) {
        self.client.close().await;
    }

    pub fn is_between_statements(&self) -> bool {
        self.copying.is_none() && matches!(self.splitter.state(), State::Empty)
    }

    pub fn prompt(&self) -> String {
        if self.copying.is_some() {
            return ">> ".into();
        }
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
        self.copying = None;
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
            // A carriage return may be part of a string.
            for line in text.split_terminator('\n') {
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

    /// What was given with one `-c`: several statements are one transaction, unless they say
    /// themselves where one begins or ends.
    pub async fn run_command(&mut self, text: &str) -> Result<(), Stop> {
        let mut splitter = Splitter::default();
        let mut statements: Vec<_> =
            text.split_terminator('\n').flat_map(|line| splitter.push_line(line)).collect();
        statements.extend(splitter.finish());
        let is_block = statements.len() > 1
            && !text.trim_start().starts_with('\\')
            && !statements.iter().any(|statement| controls_transaction(&statement.sql));
        if !is_block {
            return self.run_text(text, &Origin::Command).await;
        }
        if let Err(error) = self.query("BEGIN").await {
            return self.failed(&error, "", 1, &Origin::Command);
        }
        let result = self.run_text(text, &Origin::Command).await;
        let is_good = matches!(result, Ok(()) | Err(Stop::Quit));
        let end = if is_good { "COMMIT" } else { "ROLLBACK" };
        match self.query(end).await {
            Err(error) if is_good => self.failed(&error, "", 1, &Origin::Command),
            _ => result,
        }
    }

    /// One line of input, without its end.
    pub async fn feed(&mut self, line: &str, origin: &Origin) -> Result<(), Stop> {
        if let Some(mut copying) = self.copying.take() {
            // Counted as a line, so that later statements know theirs.
            self.splitter.push_line("");
            if line.strip_suffix('\r').unwrap_or(line) == "\\." {
                return self.copy_lines(copying, origin).await;
            }
            copying.data.extend_from_slice(line.as_bytes());
            copying.data.push(b'\n');
            self.copying = Some(copying);
            return Ok(());
        }
        if line.trim_start().starts_with('\\') && self.splitter.state() == State::Empty {
            // Counted as a line, so that later statements know theirs.
            self.splitter.push_line("");
            return self.backslash(line.trim_end(), origin).await;
        }
        for statement in self.splitter.push_line(line) {
            self.statement(&statement, origin).await?;
        }
        Ok(())
    }

    /// The end of the input: a last statement needs no `;`.
    pub async fn finish(&mut self, origin: &Origin) -> Result<(), Stop> {
        if let Some(statement) = self.splitter.finish() {
            self.statement(&statement, origin).await?;
        }
        match self.copying.take() {
            Some(copying) => self.copy_lines(copying, origin).await,
            None => Ok(()),
        }
    }

    async fn statement(&mut self, statement: &Statement, origin: &Origin) -> Result<(), Stop> {
        if reads_stdin(&statement.sql) {
            return self.copy_from(&statement.sql, &Place::Standard, origin).await;
        }
        let started = Instant::now();
        let result = self.query(&statement.sql).await;
        let elapsed = started.elapsed();
        match result {
            Ok(answer) => self.show(&answer, None)?,
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
            Origin::Terminal | Origin::Command | Origin::Pipe => String::new(),
        };
        eprint!("{prefix}{}", complain::error(error, sql));
        Err(if complain::is_lost(error) { Stop::Lost } else { Stop::Failed })
    }

    fn show(&self, answer: &Answer, title: Option<&str>) -> Result<(), Stop> {
        for notice in &answer.report.notices {
            eprint!("{}", complain::notice(&notice.severity, &notice.fields));
        }
        let mut stdout = std::io::stdout().lock();
        let written = if answer.report.copy {
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
        match written.and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            // Nobody reads any more.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Stop::Quit),
            Err(error) => {
                eprintln!("could not print the result: {error}");
                Err(Stop::Failed)
            }
        }
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
            Backslash::Describe(relation) => self.describe(&relation, origin).await,
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
            Ok(answer) if answer.rows.is_empty() && title.is_some() => {
                println!("Did not find any relations.");
                Ok(())
            }
            Ok(answer) => self.show(&answer, title),
            Err(error) => self.failed(&error, "", 1, origin),
        }
    }

    async fn describe(&mut self, relation: &Relation, origin: &Origin) -> Result<(), Stop> {
        let found = self.answer(&relation.lookup(), origin).await?;
        let [Some(oid), Some(title)] = found.rows.first().map_or(&[][..], Vec::as_slice) else {
            println!("{}", relation.missing());
            return Ok(());
        };
        let columns = self.answer(&backslash::columns_of(oid), origin).await?;
        self.show(&columns, Some(title))?;
        for (heading, sql) in backslash::belongings_of(oid) {
            let lines = self.answer(&sql, origin).await?;
            if !lines.rows.is_empty() {
                println!("{heading}:");
            }
            for line in lines.rows.iter().flatten().flatten() {
                println!("    {line}");
            }
        }
        Ok(())
    }

    async fn answer(&mut self, sql: &str, origin: &Origin) -> Result<Answer, Stop> {
        match self.query(sql).await {
            Ok(answer) => Ok(answer),
            Err(error) => match self.failed(&error, "", 1, origin) {
                Err(stop) => Err(stop),
                Ok(()) => Err(Stop::Failed),
            },
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
            Place::Standard if *origin != Origin::Command => {
                if *origin == Origin::Terminal {
                    println!("Enter data to be copied followed by a newline.");
                    println!("End with a backslash and a period on a line by itself.");
                }
                self.copying = Some(Copying { sql: sql.to_owned(), data: Vec::new() });
                return Ok(());
            }
            Place::Standard => Box::new(std::io::stdin()),
            Place::File(path) => Box::new(File::open(path).map_err(|error| {
                eprintln!("{path}: {error}");
                Stop::Failed
            })?),
        };
        self.copy_in(sql, reader, origin).await
    }

    async fn copy_lines(&mut self, copying: Copying, origin: &Origin) -> Result<(), Stop> {
        let data = std::io::Cursor::new(copying.data);
        self.copy_in(&copying.sql, Box::new(data), origin).await
    }

    async fn copy_in(
        &mut self,
        sql: &str,
        reader: Box<dyn Read + Send>,
        origin: &Origin,
    ) -> Result<(), Stop> {
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
            Place::Standard => self.show(&answer, None)?,
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

/// Whether a statement is COPY .. FROM STDIN.
fn reads_stdin(sql: &str) -> bool {
    let words: Vec<_> = sql.split_whitespace().take(MOST_WORDS).collect();
    words.first().is_some_and(|word| word.eq_ignore_ascii_case("copy"))
        && words.windows(2).any(|pair| {
            let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
            let source = pair[1].split(|c| !name(c)).next().unwrap_or_default();
            pair[0].eq_ignore_ascii_case("from") && source.eq_ignore_ascii_case("stdin")
        })
}

/// Whether a statement begins or ends a transaction, or cannot be in one with others.
fn controls_transaction(sql: &str) -> bool {
    const WORDS: [&str; 8] =
        ["begin", "start", "commit", "end", "rollback", "abort", "prepare", "vacuum"];
    let word = sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_what_follows_is_known() {
        for sql in [
            "COPY t FROM stdin",
            "copy public.t (a, b)\nfrom STDIN with (format csv)",
            "COPY t(a) FROM STDIN(FORMAT csv)",
        ] {
            assert!(reads_stdin(sql), "{sql}");
        }
        for sql in
            ["COPY t TO stdout", "COPY t FROM 'stdin'", "SELECT 1 FROM stdin", "COPY t FROM stdin2"]
        {
            assert!(!reads_stdin(sql), "{sql}");
        }
    }

    #[test]
    fn transactions_of_their_own_are_known() {
        assert!(controls_transaction("begin") && controls_transaction("ROLLBACK TO a"));
        assert!(!controls_transaction("beginning") && !controls_transaction("select 1"));
    }
}
