//! `satsuma sql`: a shell over gRPC that behaves as psql does where psql users would notice.
//!
//! | file | what |
//! |---|---|
//! | client.rs | the Flight SQL connection |
//! | split.rs | where a statement ends |
//! | table.rs | aligned and expanded output |
//! | complain.rs | errors and notices in psql's words |
//! | backslash.rs | `\d`, `\x`, `\copy` and their like |
//! | session.rs | runs statements and commands one after the other |
//!
//! Exit codes are psql's: 1 for a failed `-c`, 2 for a lost connection, 3 for a script that
//! stopped at an error.

mod backslash;
pub(crate) mod client;
mod complain;
mod session;
mod split;
pub(crate) mod table;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use client::{Client, Server};
use session::{Origin, Shell, Stop};

use crate::process::Failure;

/// Where to connect, and what to run there.
#[derive(Clone, Debug, clap::Args)]
pub struct ShellOptions {
    #[command(flatten)]
    pub server: Server,
    /// Run this SQL (or backslash command) and leave; may be given again
    #[arg(short = 'c', long, value_name = "SQL", conflicts_with = "file")]
    pub command: Vec<String>,
    /// Run this script and leave; stop at the first error. `-` reads standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Database [default: the cluster's]
    #[arg(short = 'd', long, env = "SATSUMA_DATABASE", value_name = "NAME")]
    pub database: Option<String>,
    /// Print rows only: unaligned, without header and command tags
    #[arg(short = 't', long)]
    pub tuples_only: bool,
}

pub fn run(options: ShellOptions) -> Result<(), Failure> {
    // With a thread of its own the connection answers the server while somebody types.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("could not start: {error}")))?;
    let client = match runtime
        .block_on(Client::connect(&options.server, options.database.as_deref()))
    {
        Ok(client) => client,
        Err(error) => {
            eprintln!("satsuma: connection to {} failed: {}", options.server.url, error.message());
            return Err(Failure::Exit(2));
        }
    };
    let mut shell = Shell::new(client, options.tuples_only);
    let outcome = if !options.command.is_empty() {
        run_commands(&runtime, &mut shell, &options.command)
    } else if let Some(path) = &options.file {
        run_script(&runtime, &mut shell, path)
    } else if std::io::stdin().is_terminal() {
        interact(&runtime, &mut shell)
    } else {
        run_stdin(&runtime, &mut shell)
    };
    runtime.block_on(shell.close());
    outcome
}

fn run_commands(
    runtime: &tokio::runtime::Runtime,
    shell: &mut Shell,
    commands: &[String],
) -> Result<(), Failure> {
    for command in commands {
        match runtime.block_on(shell.run_command(command)) {
            Ok(()) => {}
            Err(Stop::Quit) => return Ok(()),
            Err(Stop::Failed) => return Err(Failure::Exit(1)),
            Err(Stop::Lost) => return Err(Failure::Exit(2)),
        }
    }
    Ok(())
}

fn run_script(
    runtime: &tokio::runtime::Runtime,
    shell: &mut Shell,
    path: &std::path::Path,
) -> Result<(), Failure> {
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| {
        eprintln!("satsuma: {}: {error}", path.display());
        Failure::Exit(1)
    })?;
    match runtime.block_on(shell.run_text(&text, &Origin::File(path.display().to_string()))) {
        Ok(()) | Err(Stop::Quit) => Ok(()),
        Err(Stop::Failed) => Err(Failure::Exit(3)),
        Err(Stop::Lost) => Err(Failure::Exit(2)),
    }
}

/// Statements from a pipe: goes on after errors, as psql does.
fn run_stdin(runtime: &tokio::runtime::Runtime, shell: &mut Shell) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Other(format!("stdin: {error}"));
    for line in std::io::stdin().lock().split(b'\n') {
        let line = String::from_utf8(line.map_err(|error| failed(&error))?);
        let line = line.map_err(|error| failed(&error))?;
        match runtime.block_on(shell.feed(&line, &Origin::Pipe)) {
            Ok(()) | Err(Stop::Failed) => {}
            Err(Stop::Quit) => return Ok(()),
            Err(Stop::Lost) => return Err(Failure::Exit(2)),
        }
    }
    match runtime.block_on(shell.finish(&Origin::Pipe)) {
        Err(Stop::Lost) => Err(Failure::Exit(2)),
        _ => Ok(()),
    }
}

fn interact(runtime: &tokio::runtime::Runtime, shell: &mut Shell) -> Result<(), Failure> {
    use rustyline::error::ReadlineError;

    let failed = |error: ReadlineError| Failure::Other(format!("terminal: {error}"));
    let mut editor = rustyline::DefaultEditor::new().map_err(failed)?;
    let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".satsuma_history"));
    if let Some(history) = &history {
        // There is none at the first start.
        let _ = editor.load_history(history);
    }
    println!("satsuma {}. Type \\? for help.", env!("CARGO_PKG_VERSION"));
    loop {
        let line = match editor.readline(&shell.prompt()) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                shell.forget();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        let _ = editor.add_history_entry(&line);
        // As in psql: words alone, where a statement would begin.
        let word = line.trim().trim_end_matches(';').trim_end();
        if shell.is_between_statements() && matches!(word, "exit" | "quit") {
            break;
        }
        match runtime.block_on(shell.feed(&line, &Origin::Terminal)) {
            Ok(()) | Err(Stop::Failed) => {}
            Err(Stop::Quit) => break,
            Err(Stop::Lost) => return Err(Failure::Exit(2)),
        }
    }
    if let Some(history) = &history {
        let _ = editor.save_history(history);
    }
    Ok(())
}
