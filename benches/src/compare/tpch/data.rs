//! TPC-H's rows: written to files once, then loaded into every server.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use satsuma_bench::tpch::{Layout, SCHEMA, TABLES, tables};

use super::entrant::{Engine, Entrant};
use crate::compare::duckdb::DuckDb;
use crate::compare::figures::Run;
use crate::compare::servers::Server;
use crate::compare::{Error, Options};

/// Writes the files, unless they are there.
pub fn files(options: &Options) -> Result<PathBuf, Error> {
    let (directory, complete) = options.files_directory("tpch");
    if complete {
        return Ok(directory);
    }
    println!("Writing TPC-H's rows to {}.", directory.display());
    std::fs::create_dir_all(&directory).map_err(Error::io(directory.display().to_string()))?;
    for (table, lines) in tables(options.scale) {
        let path = file(&directory, table);
        let io = || Error::io(path.display().to_string());
        let mut out = BufWriter::new(File::create(&path).map_err(io())?);
        for line in lines {
            out.write_all(line.as_bytes()).map_err(io())?;
        }
        out.flush().map_err(io())?;
    }
    options.files_are_complete(&directory)?;
    Ok(directory)
}

fn file(directory: &Path, table: &str) -> PathBuf {
    directory.join(format!("{table}.tbl"))
}

/// Makes the tables anew and fills them; tells what that took.
pub fn load(entrant: &mut Entrant<'_>, layout: Layout, files: &Path) -> Result<Run, Error> {
    match &mut entrant.engine {
        Engine::DuckDb(duckdb) => load_duckdb(duckdb, files),
        Engine::Server { server, runtime, .. } => {
            runtime.block_on(create(server, layout))?;
            let before = server.usage();
            let started = Instant::now();
            for table in TABLES {
                server.copy(table, &file(files, table), "(delimiter '|')")?;
            }
            let analyze = if server.kind.is_satsuma() { "ANALYZE" } else { "VACUUM ANALYZE" };
            runtime.block_on(server.run(&[analyze]))?;
            let elapsed = started.elapsed();
            let after = server.usage();
            let cpu = after.cpu.saturating_sub(before.cpu);
            Ok(Run { operations: 1, elapsed, latency: elapsed, cpu, memory: after.memory })
        }
    }
}

async fn create(server: &Server, layout: Layout) -> Result<(), Error> {
    let drop = format!("DROP TABLE IF EXISTS {}", TABLES.join(", "));
    server.run(&[&drop, SCHEMA]).await?;
    if !server.kind.is_satsuma() {
        return Ok(());
    }
    for statement in layout.statements() {
        server.run(&[&statement]).await?;
    }
    Ok(())
}

fn load_duckdb(duckdb: &mut DuckDb, files: &Path) -> Result<Run, Error> {
    let (_, mut total) = duckdb.ask(SCHEMA, None)?;
    (total.elapsed, total.cpu) = (Duration::ZERO, Duration::ZERO);
    for table in TABLES {
        let file = file(files, table);
        let copy = format!(
            "COPY {table} FROM '{}' (FORMAT csv, DELIMITER '|', HEADER false, QUOTE '', ESCAPE '')",
            file.display()
        );
        let (_, run) = duckdb.ask(&copy, None)?;
        total.elapsed += run.elapsed;
        total.cpu += run.cpu;
        total.memory = run.memory;
    }
    Ok(Run { latency: total.elapsed, ..total })
}
