//! The ad-analytics data that `analytics` and `loading` work on: tables, files, and how they get in.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::servers::{Server, ServerKind};
use super::{Error, Lineup};
use crate::adgen;

pub struct Table {
    pub name: &'static str,
    columns: &'static str,
    /// `None` for a reference table.
    distribution: Option<&'static str>,
}

/// As in the tutorial; the foreign keys come after the rows, see [`FOREIGN_KEYS`].
pub const TABLES: &[Table] = &[
    Table {
        name: "campaigns",
        columns: "id bigint, company_id bigint, name text NOT NULL, cost_model text NOT NULL,
            state text NOT NULL, monthly_budget bigint, blacklisted_site_urls text[],
            created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
            PRIMARY KEY (company_id, id)",
        distribution: Some("company_id"),
    },
    Table {
        name: "ads",
        columns: "id bigint, company_id bigint, campaign_id bigint, name text NOT NULL,
            image_url text, target_url text, impressions_count bigint DEFAULT 0,
            clicks_count bigint DEFAULT 0, created_at timestamp NOT NULL,
            updated_at timestamp NOT NULL, PRIMARY KEY (company_id, id)",
        distribution: Some("company_id"),
    },
    Table {
        name: "clicks",
        columns: "id bigint, company_id bigint, ad_id bigint, clicked_at timestamp NOT NULL,
            site_url text NOT NULL, cost_per_click_usd numeric(20,10), user_ip inet NOT NULL,
            user_data jsonb NOT NULL, PRIMARY KEY (company_id, id)",
        distribution: Some("company_id"),
    },
    Table {
        name: "impressions",
        columns: "id bigint, company_id bigint, ad_id bigint, seen_at timestamp NOT NULL,
            site_url text NOT NULL, cost_per_impression_usd numeric(20,10), user_ip inet NOT NULL,
            user_data jsonb NOT NULL, PRIMARY KEY (company_id, id)",
        distribution: Some("company_id"),
    },
    Table {
        name: "geo_ips",
        columns: "addrs cidr NOT NULL PRIMARY KEY, latlon point NOT NULL",
        distribution: None,
    },
];

/// The tutorial's, added once the tables are full. PostgreSQL's estimates of joins rest on them:
/// without them it takes the three-way join for a few rows, and is at it for many minutes.
const FOREIGN_KEYS: [&str; 3] = [
    "ALTER TABLE ads ADD FOREIGN KEY (company_id, campaign_id) REFERENCES campaigns (company_id, id)",
    "ALTER TABLE clicks ADD FOREIGN KEY (company_id, ad_id) REFERENCES ads (company_id, id)",
    "ALTER TABLE impressions ADD FOREIGN KEY (company_id, ad_id) REFERENCES ads (company_id, id)",
];

pub fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.name == name).unwrap_or(&TABLES[0])
}

/// Writes the files, unless they are there.
pub fn files(lineup: &Lineup<'_>) -> Result<PathBuf, Error> {
    let options = lineup.options;
    let (directory, complete) = options.files_directory("advertising");
    if complete {
        return Ok(directory);
    }
    println!("Writing the data set to {}.", directory.display());
    let mut arguments = vec!["adgen".to_owned(), "--quiet".into(), "--out".into()];
    arguments.push(directory.display().to_string());
    for (table, rows) in [
        ("companies", 1e3),
        ("campaigns", 1e4),
        ("ads", 7e4),
        ("clicks", 2e6),
        ("impressions", 4e6),
        ("geo-ips", 1e4),
    ] {
        arguments.push(format!("--{table}"));
        arguments.push(((rows * options.scale) as u64).max(10).to_string());
    }
    let wrong = |error: String| Error::Program { program: "adgen".into(), output: error };
    let generator = Generator::try_parse_from(arguments).map_err(|e| wrong(e.to_string()))?;
    adgen::run(&generator.options).map_err(|error| wrong(error.to_string()))?;
    options.files_are_complete(&directory)?;
    Ok(directory)
}

#[derive(Parser)]
struct Generator {
    #[command(flatten)]
    options: adgen::Options,
}

/// An empty table, distributed where that is possible.
pub async fn create(server: &Server, table: &Table) -> Result<(), Error> {
    let Table { name, columns, distribution } = table;
    let drop = format!("DROP TABLE IF EXISTS {name}");
    let create = format!("CREATE TABLE {name} ({columns})");
    server.run(&[&drop, &create]).await?;
    let place = match distribution {
        _ if !server.kind.is_satsuma() => return Ok(()),
        Some(column) => format!("SELECT create_distributed_table('{name}', '{column}')"),
        None => format!("SELECT create_reference_table('{name}')"),
    };
    server.run(&[&place]).await
}

/// The tables' definitions and loads for DuckDB, which has no types for addresses and points: they
/// are text there.
pub fn duckdb_script(files: &Path) -> Vec<String> {
    let mut script = Vec::new();
    for Table { name, columns, .. } in TABLES {
        let columns = columns
            .replace("text[]", "text")
            .replace("inet", "text")
            .replace("cidr", "text")
            .replace("point", "text")
            .replace("jsonb", "json");
        script.push(format!("CREATE TABLE {name} ({columns})"));
        let file = files.join(format!("{name}.csv"));
        script.push(format!("COPY {name} FROM '{}' (FORMAT csv)", file.display()));
    }
    script
}

/// All tables, filled, on a server that does not have them.
pub fn provide(lineup: &Lineup<'_>, server: &Server, files: &Path) -> Result<(), Error> {
    let mut filled = false;
    for table in TABLES {
        let rows = format!("SELECT count(*) FROM {}", table.name);
        let there = lineup.runtime.block_on(server.value(&rows));
        if there.is_ok_and(|rows| rows != "0") {
            continue;
        }
        lineup.runtime.block_on(create(server, table))?;
        server.copy(table.name, &files.join(format!("{}.csv", table.name)), "csv")?;
        filled = true;
    }
    if filled {
        lineup.runtime.block_on(server.run(&FOREIGN_KEYS))?;
    }
    if server.kind == ServerKind::Postgres {
        lineup.runtime.block_on(server.run(&["VACUUM ANALYZE"]))?;
    }
    Ok(())
}
