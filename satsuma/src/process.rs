//! What every program does around its work: logging, signals, and one clear line when it fails.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use satsuma_common::SqlError;
use tracing_subscriber::EnvFilter;

/// Why a program ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Options(#[from] crate::options::OptionsError),
    #[error("{}", one_line(.0))]
    Sql(#[from] SqlError),
    #[error("bad log filter: {0}")]
    LogFilter(String),
    #[error("{0}")]
    Other(String),
    /// Said already; only the exit code is left.
    #[error("exit {0}")]
    Exit(u8),
}

/// The message with its detail and hint, in one line.
fn one_line(error: &SqlError) -> String {
    let fields = error.fields();
    let mut line = fields.message.clone();
    for more in [&fields.detail, &fields.hint].into_iter().flatten() {
        line.push_str(". ");
        line.push_str(more.trim_end_matches('.'));
    }
    line.replace('\n', " ")
}

/// Parses the command line; a mistake is told in one line.
pub fn parse<P: clap::Parser>(program: &str) -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
        _ => {
            let text = error.render().to_string();
            let said: Vec<&str> =
                text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            let line = said.join(" ");
            let line = line.strip_prefix("error: ").unwrap_or(&line);
            let known = |word: &String| P::command().find_subcommand(word).is_some();
            let subcommand = std::env::args().nth(1).filter(known);
            let of = subcommand.map(|name| format!(" {name}")).unwrap_or_default();
            eprintln!("{program}: {line} (see {program}{of} --help)");
            ExitCode::from(2)
        }
    })
}

/// Ends the program: silently after success, with one line after a failure.
pub fn exit(program: &str, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Exit(code)) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{program}: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `tracing` to stderr.
pub fn start_logging(filter: &str, json: bool) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| Failure::LogFilter(error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call, in tests, keeps the first subscriber.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
    Ok(())
}

/// Prints the line that scripts wait for. A closed stdout is no reason to stop serving.
pub fn print_ready(what: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "ready {what}");
    let _ = stdout.flush();
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn stop_signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};

    let failed =
        |error: std::io::Error| Failure::Other(format!("could not watch signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The runtime of a node's connections. It leaves half of the cores to queries and to the log:
/// a request that goes on to another node gains more from threads that need not wake each other
/// than from more threads.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    runtime_of(cores() / 2)
}

/// A runtime of at least one thread.
pub fn runtime_of(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .thread_name("satsuma-io")
        // Statements are bound here, by recursion over what clients wrote.
        .thread_stack_size(32 << 20)
        .build()
        .map_err(|error| Failure::Other(format!("could not start threads: {error}")))
}

/// Memory for a process's queries where nobody says how much, in bytes: an eighth of what the
/// machine has, so that a coordinator and two workers on it leave most for data in the page cache.
pub fn query_memory() -> u64 {
    let kilobytes = |text: &str| -> Option<u64> {
        text.lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text));
    (machine.unwrap_or(0) * 1024 / 8).max(1 << 30)
}

/// First line of a password file.
pub fn read_password(path: &std::path::Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Other(format!("could not read {}: {error}", path.display())))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::Other(format!("{} holds no password", path.display())));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use satsuma_common::SqlState;

    #[test]
    fn failures_are_one_line() {
        let error = SqlError::new(SqlState::IO_ERROR, "could not open d").detail("It is\nin use.");
        assert_eq!(Failure::from(error).to_string(), "could not open d. It is in use");
    }

    #[test]
    fn a_password_file_needs_a_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        std::fs::write(&path, "sesame\nignored\n").unwrap();
        assert_eq!(read_password(&path).unwrap(), "sesame");
        std::fs::write(&path, "\n").unwrap();
        assert!(read_password(&path).unwrap_err().to_string().contains("no password"));
    }
}
