//! `satsuma status`: what the cluster looks like now.

use satsuma_common::SqlResult;

use crate::process::Failure;
use crate::shell::client::{Client, Target};
use crate::shell::table::{self, Style};

/// Where to look.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusOptions {
    /// gRPC address of a coordinator
    #[arg(long, env = "SATSUMA_URL", default_value = "grpc://127.0.0.1:7432")]
    pub url: String,
    /// Role to connect as [default: the superuser, where it is trusted]
    #[arg(short = 'U', long, env = "SATSUMA_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// Password
    #[arg(long, env = "SATSUMA_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

/// What is shown, part by part.
const PARTS: [(&str, &str); 3] = [
    (
        "Nodes",
        "SELECT nodeid AS node, nodename AS host, nodeport AS port, noderole AS role, \
         isactive AS active, shouldhaveshards AS \"holds shards\" \
         FROM pg_catalog.pg_dist_node ORDER BY nodeid",
    ),
    (
        "Tables",
        "SELECT table_name::text AS table, citus_table_type AS type, \
         distribution_column AS \"distributed by\", colocation_id AS colocation, shard_count AS shards \
         FROM citus_tables ORDER BY 1",
    ),
    (
        "Shards",
        "SELECT nodename AS host, nodeport AS port, count(*) AS shards, \
         count(DISTINCT table_name) AS tables \
         FROM citus_shards GROUP BY nodename, nodeport ORDER BY 1, 2",
    ),
];

pub fn run(options: &StatusOptions) -> Result<(), Failure> {
    let target = Target {
        url: options.url.clone(),
        user: options.user.clone(),
        password: options.password.clone(),
        database: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("could not start: {error}")))?;
    let text = runtime.block_on(report(target))?;
    print!("{text}");
    Ok(())
}

async fn report(target: Target) -> SqlResult<String> {
    let mut client = Client::connect(target).await?;
    let mut text = String::new();
    for (title, sql) in PARTS {
        let answer = client.query(sql).await?;
        text.push_str(title);
        text.push('\n');
        text.push_str(&table::render(&answer.columns, &answer.rows, Style::default()));
    }
    client.close().await;
    Ok(text)
}
