//! Part `loading`: `\copy` of clicks and impressions into empty tables with primary keys, by one
//! and by four clients, and the bytes that they take on disk.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::figures::Run;
use super::servers::{Server, ServerKind};
use super::{Error, Lineup, advertising};

const PART: &str = "loading";

pub fn run(lineup: &mut Lineup<'_>) -> Result<(), Error> {
    let files = advertising::files(lineup)?;
    let directory = TempDir::new_in(&files).map_err(Error::io("a directory for parts"))?;
    for name in ["clicks", "impressions"] {
        if !lineup.wants(name) {
            continue;
        }
        let whole = files.join(format!("{name}.csv"));
        for parts in [vec![whole.clone()], split(&whole, directory.path(), 4)?] {
            measure(lineup, name, &parts)?;
        }
        for server in &lineup.servers {
            let bytes = lineup.runtime.block_on(size(server, name))?;
            let megabytes = bytes as f64 / f64::from(1 << 20);
            println!("{name:20} {:>20} {megabytes:.1} MB on disk with its key", server.name());
        }
    }
    Ok(())
}

fn measure(lineup: &mut Lineup<'_>, name: &'static str, parts: &[PathBuf]) -> Result<(), Error> {
    let clients = parts.len() as u32;
    for _ in 0..lineup.options.rounds.max(1) {
        let mut expected: Option<String> = None;
        for server in &lineup.servers {
            lineup.runtime.block_on(advertising::create(server, advertising::table(name)))?;
            let run = load(server, name, parts)?;
            let question = format!(
                "SELECT count(*) || ' ' || sum(id) || ' ' || max(user_ip) \
                || ' ' || sum(length(user_data::text)) FROM {name}"
            );
            let found = lineup.runtime.block_on(server.value(&question))?;
            let same = expected.get_or_insert_with(|| found.clone());
            if *same != found {
                let problem = format!("{found}, not {same}");
                let server = server.name();
                return Err(Error::Wrong { server, workload: name.into(), problem });
            }
            let rows = found.split(' ').next().and_then(|rows| rows.parse().ok());
            let run = Run { operations: rows.unwrap_or(0), ..run };
            lineup.figures.add(PART, name, clients, server.kind, run);
        }
    }
    super::report::print(&lineup.figures, PART, name, clients);
    Ok(())
}

/// All parts at the same time.
fn load(server: &Server, table: &str, parts: &[PathBuf]) -> Result<Run, Error> {
    let before = server.usage();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            parts.iter().map(|part| scope.spawn(move || server.copy(table, part, "csv"))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(loaded) => loaded,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let elapsed = started.elapsed();
    let after = server.usage();
    Ok(Run {
        operations: 0,
        elapsed,
        latency: elapsed,
        cpu: after.cpu.saturating_sub(before.cpu),
        memory: after.memory,
    })
}

async fn size(server: &Server, table: &str) -> Result<u64, Error> {
    match server.kind {
        ServerKind::Postgres => server.run(&["CHECKPOINT"]).await?,
        // Workers tell their sizes every few seconds.
        ServerKind::Processes | ServerKind::Embedded => {
            tokio::time::sleep(std::time::Duration::from_secs(12)).await;
        }
        ServerKind::DuckDb => return Ok(0),
    }
    let question = format!("SELECT pg_total_relation_size('{table}')");
    Ok(server.value(&question).await?.parse().unwrap_or(0))
}

/// Cuts a file of lines into parts of about the same size.
fn split(whole: &Path, directory: &Path, parts: usize) -> Result<Vec<PathBuf>, Error> {
    let io = || Error::io(whole.display().to_string());
    let stem = whole.file_stem().and_then(|stem| stem.to_str()).unwrap_or("part");
    let paths: Vec<_> =
        (0..parts).map(|part| directory.join(format!("{stem}-{part}.csv"))).collect();
    let mut reader = BufReader::new(File::open(whole).map_err(io())?);
    let bytes = std::fs::metadata(whole).map_err(io())?.len();
    let share = bytes / parts as u64 + 1;
    let mut line = Vec::new();
    for path in &paths {
        let mut out = BufWriter::new(File::create(path).map_err(io())?);
        let mut written = 0;
        while written < share {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(io())? == 0 {
                break;
            }
            out.write_all(&line).map_err(io())?;
            written += line.len() as u64;
        }
        out.flush().map_err(io())?;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_all_lines() {
        let directory = TempDir::new().unwrap();
        let whole = directory.path().join("rows.csv");
        let text: String = (0..101).map(|row| format!("{row},x\n")).collect();
        std::fs::write(&whole, &text).unwrap();
        let parts = split(&whole, directory.path(), 4).unwrap();
        let parts: Vec<_> = parts.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
        assert!(parts.iter().all(|part| !part.is_empty()));
        assert_eq!(parts.concat(), text);
    }
}
