//! The real psql: scripts in, what it printed out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::Address;

/// What psql printed.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

pub fn is_installed() -> bool {
    Command::new("psql")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs psql without a `.psqlrc` in a directory; `\copy` finds its files there.
///
/// # Panics
/// When psql cannot be started: ask [`is_installed`] first.
pub fn run(address: &Address, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("psql");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
        command.env_remove(name);
    }
    if let Some(password) = &address.password {
        command.env("PGPASSWORD", password);
    }
    let output = command
        .env("PGCLIENTENCODING", "UTF8")
        .env("PGCONNECT_TIMEOUT", "10")
        .args(["--no-psqlrc", "--no-password", "-P", "pager=off", "-d", &address.to_string()])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("psql starts");
    Output {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code().unwrap_or(-1),
    }
}

/// Runs a script file.
pub fn run_file(address: &Address, directory: &Path, script: &Path) -> Output {
    run(address, directory, &["-f", &script.to_string_lossy()])
}

impl Output {
    /// The output between lines `==== NAME`, as a script's `\echo ==== NAME` writes them, with
    /// the lines of each block sorted: most of the tutorial's queries leave the order of some
    /// rows open. What comes before the first such line is block "".
    pub fn blocks(&self) -> BTreeMap<String, Vec<String>> {
        let mut blocks = BTreeMap::<String, Vec<String>>::new();
        let mut name = String::new();
        for line in self.stdout.lines() {
            match line.strip_prefix("==== ") {
                Some(next) => name = next.trim().into(),
                None => blocks.entry(name.clone()).or_default().push(line.into()),
            }
        }
        blocks.values_mut().for_each(|lines| lines.sort());
        blocks
    }
}

/// Which blocks differ, with their first lines that do; `None` when all are the same.
pub fn difference(expected: &Output, got: &Output) -> Option<String> {
    let (expected_blocks, got_blocks) = (expected.blocks(), got.blocks());
    let mut problems = String::new();
    for (name, lines) in &expected_blocks {
        let empty = Vec::new();
        let answer = got_blocks.get(name).unwrap_or(&empty);
        if answer == lines {
            continue;
        }
        problems.push_str(&format!("==== {name}\n"));
        for (sign, from, without) in [("-", lines, answer), ("+", answer, lines)] {
            for line in from.iter().filter(|line| !without.contains(line)).take(12) {
                problems.push_str(&format!("{sign} {line}\n"));
            }
        }
        if answer.len() != lines.len() {
            problems.push_str(&format!("{} lines, not {}\n", answer.len(), lines.len()));
        }
    }
    let described = || format!("{problems}stderr:\n{}", got.stderr);
    (!problems.is_empty()).then(described)
}
