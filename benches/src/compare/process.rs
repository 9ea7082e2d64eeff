//! Programs that are started, watched and stopped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::Error;

/// Longest time until a server says that it is ready.
const START: Duration = Duration::from_secs(60);

/// A server process, stopped when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program and waits for its line `ready ...`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let name = command.get_program().to_string_lossy().into_owned();
        let errors = std::fs::File::create(log).map_err(Error::io(log.display().to_string()))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut process = Self { child: child.map_err(Error::io(&name))? };
        let stdout = process.child.stdout.take();
        let (ready, told) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end: a full pipe would stop the server.
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).flatten() {
                if line.starts_with("ready") {
                    let _ = ready.send(());
                }
            }
        });
        told.recv_timeout(START).map_err(|_| {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            Error::Unready(format!("{name} did not become ready: {log}"))
        })?;
        Ok(process)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and gives what it printed.
pub fn output(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(Error::io(&program))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Error::Program { program, output: format!("{text}{errors}") })
}

/// What a tree of processes has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// Bytes in memory now that no other process has too.
    pub memory: u64,
}

/// Usage of processes and of their children, the ended ones included.
pub fn usage(roots: &[u32]) -> Usage {
    let all: Vec<Stat> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Stat::read(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut usage = Usage::default();
    let mut open: Vec<u32> = roots.to_vec();
    while let Some(id) = open.pop() {
        if let Some(stat) = all.iter().find(|stat| stat.id == id) {
            usage.cpu += Duration::from_millis(stat.ticks * MILLIS_PER_TICK);
            usage.memory += private_memory(id);
        }
        open.extend(all.iter().filter(|stat| stat.parent == id).map(|stat| stat.id));
    }
    usage
}

/// Linux counts in hundredths of a second, whatever its clock.
const MILLIS_PER_TICK: u64 = 10;

/// A line of `/proc/<id>/stat`.
struct Stat {
    id: u32,
    parent: u32,
    /// User and system time, of ended children too.
    ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        Self::parse(id, &std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    fn parse(id: u32, line: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse().unwrap_or(0u64)).sum();
        Some(Self { id, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

fn private_memory(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let kilobytes = text
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_any_name() {
        let line = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!((stat.id, stat.parent, stat.ticks), (7, 3, 100));
        assert!(usage(&[std::process::id()]).memory > 0);
    }

    #[test]
    fn a_program_that_fails_tells_why() {
        let failed = output(Command::new("sh").args(["-c", "echo so; exit 3"])).unwrap_err();
        assert!(failed.to_string().contains("so"), "{failed}");
    }
}
