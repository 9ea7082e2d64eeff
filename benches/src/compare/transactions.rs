//! Part `transactions`: short transactions of many clients, by pgbench with prepared statements.

use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;

use super::servers::Server;
use super::{Error, Lineup, pgbench};

const PART: &str = "transactions";
const TENANTS: u64 = 1000;
const ACCOUNTS_PER_TENANT: u64 = 100;
const BRANCHES: u64 = 100;
const TELLERS_PER_BRANCH: u64 = 10;
const ACCOUNTS_PER_BRANCH: u64 = 1000;

const TABLES: &[&str] = &[
    "CREATE TABLE accounts (tenant bigint NOT NULL, id bigint NOT NULL, balance bigint NOT NULL,
     name text NOT NULL, PRIMARY KEY (tenant, id))",
    "CREATE TABLE events (tenant bigint NOT NULL, id bigint NOT NULL, kind text NOT NULL,
     amount integer NOT NULL, note text, PRIMARY KEY (tenant, id))",
    "CREATE TABLE branches (bid integer PRIMARY KEY, bbalance bigint NOT NULL, filler text)",
    "CREATE TABLE tellers (bid integer NOT NULL, tid integer NOT NULL, tbalance bigint NOT NULL,
     filler text, PRIMARY KEY (bid, tid))",
    "CREATE TABLE customers (bid integer NOT NULL, aid integer NOT NULL, abalance bigint NOT NULL,
     filler text, PRIMARY KEY (bid, aid))",
    "CREATE TABLE history (tid integer, bid integer, aid integer, delta integer,
     mtime timestamp, filler text)",
];

const DISTRIBUTION: &[&str] = &[
    "SELECT create_distributed_table('accounts', 'tenant')",
    "SELECT create_distributed_table('events', 'tenant')",
    "SELECT create_distributed_table('branches', 'bid')",
    "SELECT create_distributed_table('tellers', 'bid')",
    "SELECT create_distributed_table('customers', 'bid')",
    "SELECT create_distributed_table('history', 'bid')",
];

struct Workload {
    name: &'static str,
    script: &'static str,
    /// A query whose number grows by one with each transaction, if there is one.
    counter: Option<&'static str>,
    /// Queries with a fixed answer, whatever ran.
    invariants: &'static [(&'static str, &'static str)],
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "point select",
        script: "\\set tenant random(1, 1000)\n\\set id random(1, 100)\n\
            SELECT balance, name FROM accounts WHERE tenant = :tenant AND id = :id;\n",
        counter: None,
        invariants: &[("SELECT count(*) FROM accounts", "100000")],
    },
    Workload {
        name: "insert",
        script: "\\set tenant random(1, 1000)\n\\set id random(1, 9000000000000000000)\n\
            \\set amount random(1, 1000)\n\
            INSERT INTO events (tenant, id, kind, amount, note)\
            \x20VALUES (:tenant, :id, 'click', :amount, 'seen on the front page');\n",
        counter: Some("SELECT count(*) FROM events"),
        invariants: &[],
    },
    Workload {
        name: "tenant update",
        script: "\\set tenant random(1, 1000)\n\\set id random(1, 100)\n\\set delta 1\n\
            UPDATE accounts SET balance = balance + :delta WHERE tenant = :tenant AND id = :id;\n",
        counter: Some("SELECT sum(balance) FROM accounts"),
        invariants: &[],
    },
    Workload {
        name: "two-shard transfer",
        script: "\\set a random(1, 1000)\n\\set b 1 + (:a + random(1, 998)) % 1000\n\
            \\set i random(1, 100)\n\\set j random(1, 100)\n\\set delta random(-50, 50)\n\
            BEGIN;\n\
            UPDATE accounts SET balance = balance - :delta WHERE tenant = :a AND id = :i;\n\
            UPDATE accounts SET balance = balance + :delta WHERE tenant = :b AND id = :j;\n\
            COMMIT;\n",
        counter: None,
        invariants: &[],
    },
    Workload {
        name: "TPC-B-like",
        script: "\\set bid random(1, 100)\n\\set tid random(1, 10)\n\
            \\set aid random(1, 1000)\n\\set delta random(-5000, 5000)\n\
            BEGIN;\n\
            UPDATE customers SET abalance = abalance + :delta WHERE bid = :bid AND aid = :aid;\n\
            SELECT abalance FROM customers WHERE bid = :bid AND aid = :aid;\n\
            UPDATE tellers SET tbalance = tbalance + :delta WHERE bid = :bid AND tid = :tid;\n\
            UPDATE branches SET bbalance = bbalance + :delta WHERE bid = :bid;\n\
            INSERT INTO history (tid, bid, aid, delta, mtime)\
            \x20VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);\n\
            COMMIT;\n",
        counter: Some("SELECT count(*) FROM history"),
        invariants: &[
            (
                "SELECT (SELECT sum(bbalance) FROM branches) = (SELECT sum(tbalance) FROM tellers)",
                "t",
            ),
            (
                "SELECT (SELECT sum(bbalance) FROM branches) = \
                 (SELECT sum(abalance) FROM customers)",
                "t",
            ),
        ],
    },
];

pub fn run(lineup: &mut Lineup<'_>) -> Result<(), Error> {
    let scripts = TempDir::new().map_err(Error::io("a directory for scripts"))?;
    for server in &lineup.servers {
        lineup.runtime.block_on(load(server))?;
    }
    for workload in WORKLOADS {
        if !lineup.wants(workload.name) {
            continue;
        }
        let script = write_script(&scripts, workload)?;
        for clients in &lineup.options.clients {
            for _ in 0..lineup.options.rounds.max(1) {
                for server in &lineup.servers {
                    let before = count(lineup, server, workload)?;
                    let totals = transferred(lineup, server)?;
                    let run = pgbench::run(server, &script, *clients, lineup.options.seconds, &[])?;
                    let after = count(lineup, server, workload)?;
                    check(lineup, server, workload, run.operations, (before, after), &totals)?;
                    lineup.figures.add(PART, workload.name, *clients, server.kind, run);
                }
            }
            super::report::print(&lineup.figures, PART, workload.name, *clients);
        }
    }
    Ok(())
}

fn write_script(directory: &TempDir, workload: &Workload) -> Result<PathBuf, Error> {
    let path = directory.path().join(format!("{}.sql", workload.name.replace(' ', "-")));
    let written = std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(workload.script.as_bytes()));
    written.map_err(Error::io("a script"))?;
    Ok(path)
}

fn count(lineup: &Lineup<'_>, server: &Server, workload: &Workload) -> Result<u64, Error> {
    let Some(query) = workload.counter else { return Ok(0) };
    let value = lineup.runtime.block_on(server.value(query))?;
    Ok(value.parse().unwrap_or(0))
}

/// The sum that transfers keep.
fn transferred(lineup: &Lineup<'_>, server: &Server) -> Result<String, Error> {
    lineup.runtime.block_on(server.value("SELECT sum(balance) FROM accounts"))
}

fn check(
    lineup: &Lineup<'_>,
    server: &Server,
    workload: &Workload,
    operations: u64,
    (before, after): (u64, u64),
    total: &str,
) -> Result<(), Error> {
    let wrong = |problem: String| Error::Wrong {
        server: server.name(),
        workload: workload.name.into(),
        problem,
    };
    if workload.counter.is_some() && after - before != operations {
        return Err(wrong(format!("{operations} transactions, and {before} became {after}")));
    }
    if workload.name == "two-shard transfer" {
        let now = transferred(lineup, server)?;
        if now != total {
            return Err(wrong(format!("the sum of balances was {total} and is {now}")));
        }
    }
    for (query, expected) in workload.invariants {
        let found = lineup.runtime.block_on(server.value(query))?;
        if found != *expected {
            return Err(wrong(format!("{query} gives {found}, not {expected}")));
        }
    }
    Ok(())
}

/// Tables and rows, the same everywhere.
pub async fn load(server: &Server) -> Result<(), Error> {
    server.run(TABLES).await?;
    if server.kind.is_satsuma() {
        server.run(DISTRIBUTION).await?;
    }
    let accounts = (1..=TENANTS).flat_map(|tenant| {
        (1..=ACCOUNTS_PER_TENANT).map(move |id| format!("{tenant}\t{id}\t0\taccount {tenant}.{id}"))
    });
    copy(server, "accounts", accounts).await?;
    let branches = (1..=BRANCHES).map(|bid| format!("{bid}\t0\t{:88}", ""));
    copy(server, "branches", branches).await?;
    let tellers = (1..=BRANCHES).flat_map(|bid| {
        (1..=TELLERS_PER_BRANCH).map(move |tid| format!("{bid}\t{tid}\t0\t{:84}", ""))
    });
    copy(server, "tellers", tellers).await?;
    let customers = (1..=BRANCHES).flat_map(|bid| {
        (1..=ACCOUNTS_PER_BRANCH).map(move |aid| format!("{bid}\t{aid}\t0\t{:84}", ""))
    });
    copy(server, "customers", customers).await?;
    server.run(&["ANALYZE"]).await
}

async fn copy(
    server: &Server,
    table: &str,
    lines: impl Iterator<Item = String>,
) -> Result<(), Error> {
    use futures::SinkExt;
    let client = server.connect().await?;
    let statement = format!("COPY {table} FROM STDIN");
    let sink = client.copy_in(&statement).await.map_err(|source| server.sql(source))?;
    let mut sink = std::pin::pin!(sink);
    let mut chunk = String::new();
    for line in lines {
        chunk.push_str(&line);
        chunk.push('\n');
        if chunk.len() > 64 << 10 {
            let full = std::mem::take(&mut chunk);
            sink.send(std::io::Cursor::new(full)).await.map_err(|source| server.sql(source))?;
        }
    }
    sink.send(std::io::Cursor::new(chunk)).await.map_err(|source| server.sql(source))?;
    sink.finish().await.map_err(|source| server.sql(source))?;
    Ok(())
}
