//! Part `analytics`: the tutorial's questions and some more on 2 million clicks and 4 million
//! impressions, by one client. Every server must give the same rows.

use std::path::Path;

use tempfile::TempDir;
use tokio_postgres::Client;

use super::answers::{Rows, Sameness, difference};
use super::duckdb::DuckDb;
use super::figures::Figure;
use super::servers::{Server, ServerKind};
use super::{Error, Lineup, advertising};

const PART: &str = "analytics";

/// What the geometric mean is over.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "rank of a tenant's ads",
        "SELECT a.campaign_id, rank() OVER (PARTITION BY a.campaign_id ORDER BY count(*) DESC), \
         count(*) AS n_impressions, a.id FROM ads AS a JOIN impressions AS i \
         ON i.company_id = a.company_id AND i.ad_id = a.id WHERE a.company_id = 5 \
         GROUP BY a.campaign_id, a.id ORDER BY a.campaign_id, n_impressions DESC, a.id",
    ),
    (
        "places of an ad's clicks",
        "SELECT c.id, clicked_at, latlon FROM geo_ips, clicks c \
         WHERE addrs >> c.user_ip AND c.company_id = 5 AND c.ad_id = 290 ORDER BY c.id",
    ),
    (
        "a tenant's mobile clicks",
        "SELECT user_data->>'is_mobile' AS is_mobile, count(*) AS count FROM clicks \
         WHERE company_id = 5 GROUP BY user_data->>'is_mobile' ORDER BY count DESC",
    ),
    (
        "costs by tenant",
        "SELECT company_id, sum(cost_per_click_usd) AS costs FROM clicks \
         GROUP BY company_id ORDER BY costs DESC, company_id",
    ),
    ("count", "SELECT count(*) FROM impressions"),
    (
        "three-way join",
        "SELECT ca.state, count(*), sum(cl.cost_per_click_usd) FROM campaigns ca \
         JOIN ads a ON a.company_id = ca.company_id AND a.campaign_id = ca.id \
         JOIN clicks cl ON cl.company_id = a.company_id AND cl.ad_id = a.id \
         GROUP BY ca.state ORDER BY ca.state",
    ),
    ("distinct addresses", "SELECT count(DISTINCT user_ip) FROM impressions"),
    (
        "percentile",
        "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY cost_per_click_usd::float8) FROM clicks",
    ),
    (
        "rollup by day",
        "SELECT date_trunc('day', seen_at) AS day, count(*), sum(cost_per_impression_usd) \
         FROM impressions GROUP BY 1 ORDER BY 1",
    ),
];

/// Measured beside them.
const TINY: (&str, &str) = ("count of 100 rows", "SELECT count(*) FROM tiny");
const ROLLUP: &str = "INSERT INTO rollup SELECT company_id, clicked_at::date, site_url, count(*), \
     sum(cost_per_click_usd) FROM clicks GROUP BY 1, 2, 3";
const ROLLUP_SUM: &str = "SELECT count(*), sum(clicks), sum(costs) FROM rollup";

pub fn run(lineup: &mut Lineup<'_>) -> Result<(), Error> {
    let files = advertising::files(lineup)?;
    for server in &lineup.servers {
        advertising::provide(lineup, server, &files)?;
        lineup.runtime.block_on(prepare(server))?;
    }
    let directory = TempDir::new_in(&files).map_err(Error::io("a directory for DuckDB"))?;
    let mut duckdb = provide_duckdb(lineup, directory.path(), &files)?;
    let questions: Vec<_> = QUESTIONS.iter().chain([&TINY]).collect();
    for (name, question) in questions {
        if lineup.wants(name) {
            compare(lineup, &mut duckdb, name, question)?;
        }
    }
    if lineup.wants("insert of a rollup") {
        rollups(lineup)?;
    }
    summarize(lineup);
    Ok(())
}

/// DuckDB with the data, if it is wanted and installed.
fn provide_duckdb(
    lineup: &Lineup<'_>,
    directory: &Path,
    files: &Path,
) -> Result<Option<DuckDb>, Error> {
    if !lineup.options.wants_server(ServerKind::DuckDb) {
        return Ok(None);
    }
    let Some(mut duckdb) = DuckDb::start(directory)? else { return Ok(None) };
    for statement in advertising::duckdb_script(files) {
        duckdb.ask(&statement, None)?;
    }
    for statement in [
        "CREATE TABLE tiny (k bigint PRIMARY KEY, v bigint)",
        "INSERT INTO tiny SELECT i, i FROM generate_series(1, 100) s(i)",
    ] {
        duckdb.ask(statement, None)?;
    }
    Ok(Some(duckdb))
}

async fn prepare(server: &Server) -> Result<(), Error> {
    let is_satsuma = server.kind.is_satsuma();
    server
        .run(&[
            "DROP TABLE IF EXISTS tiny, rollup",
            "CREATE TABLE tiny (k bigint PRIMARY KEY, v bigint)",
            "CREATE TABLE rollup (company_id bigint, day date, site_url text, clicks bigint,
                costs numeric, PRIMARY KEY (company_id, day, site_url))",
        ])
        .await?;
    if is_satsuma {
        server
            .run(&[
                "SELECT create_distributed_table('tiny', 'k')",
                "SELECT create_distributed_table('rollup', 'company_id')",
            ])
            .await?;
    }
    server.run(&["INSERT INTO tiny SELECT i, i FROM generate_series(1, 100) i"]).await
}

fn compare(
    lineup: &mut Lineup<'_>,
    duckdb: &mut Option<DuckDb>,
    name: &'static str,
    question: &str,
) -> Result<(), Error> {
    let mut expected: Option<Rows> = None;
    let clients = connect(lineup)?;
    for round in 0..=lineup.options.rounds.max(1) {
        for (server, client) in lineup.servers.iter().zip(&clients) {
            let (rows, run) = lineup.runtime.block_on(server.ask(client, question))?;
            let same = expected.get_or_insert_with(|| rows.clone());
            if let Some(problem) = difference(same, &rows, Sameness::Text) {
                return Err(wrong(server.name(), name, problem));
            }
            // The first time is for warming up.
            if round > 0 {
                lineup.figures.add(PART, name, 1, server.kind, run);
            }
        }
        // DuckDB knows no networks.
        if let Some(duckdb) = duckdb.as_mut().filter(|_| !question.contains("addrs >>")) {
            let (rows, run) = duckdb.ask(question, None)?;
            let same = expected.get_or_insert_with(|| rows.clone());
            if let Some(problem) = difference(same, &rows, Sameness::Text) {
                return Err(wrong(ServerKind::DuckDb.name(), name, problem));
            }
            if round > 0 {
                lineup.figures.add(PART, name, 1, ServerKind::DuckDb, run);
            }
        }
    }
    super::report::print(&lineup.figures, PART, name, 1);
    Ok(())
}

fn rollups(lineup: &mut Lineup<'_>) -> Result<(), Error> {
    const NAME: &str = "insert of a rollup";
    let mut expected: Option<Rows> = None;
    let clients = connect(lineup)?;
    for _ in 0..lineup.options.rounds.max(1) {
        for (server, client) in lineup.servers.iter().zip(&clients) {
            lineup.runtime.block_on(server.run(&["TRUNCATE rollup"]))?;
            let (_, run) = lineup.runtime.block_on(server.ask(client, ROLLUP))?;
            lineup.figures.add(PART, NAME, 1, server.kind, run);
            let (rows, _) = lineup.runtime.block_on(server.ask(client, ROLLUP_SUM))?;
            let same = expected.get_or_insert_with(|| rows.clone());
            if let Some(problem) = difference(same, &rows, Sameness::Text) {
                return Err(wrong(server.name(), NAME, problem));
            }
        }
    }
    super::report::print(&lineup.figures, PART, NAME, 1);
    Ok(())
}

fn connect(lineup: &Lineup<'_>) -> Result<Vec<Client>, Error> {
    let servers = lineup.servers.iter();
    servers.map(|server| lineup.runtime.block_on(server.connect())).collect()
}

fn wrong(server: &'static str, workload: &str, problem: String) -> Error {
    Error::Wrong { server, workload: workload.into(), problem }
}

/// The geometric mean of the ratios to PostgreSQL.
fn summarize(lineup: &Lineup<'_>) {
    for kind in ServerKind::ALL.into_iter().filter(|kind| *kind != ServerKind::Postgres) {
        let asked = |figure: &&Figure| {
            figure.part == PART
                && figure.contender.server == kind
                && QUESTIONS.iter().any(|(name, _)| *name == figure.workload)
        };
        let figures = lineup.figures.0.iter().filter(asked);
        let ratios: Vec<f64> =
            figures.filter_map(|f| lineup.figures.ratio(f, ServerKind::Postgres)).collect();
        if !ratios.is_empty() {
            let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
            println!(
                "{}: geometric mean of {} questions, {:.2} times as fast as PostgreSQL",
                kind.name(),
                ratios.len(),
                mean.exp()
            );
        }
    }
}
