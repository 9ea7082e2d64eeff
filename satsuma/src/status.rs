//! `satsuma status`: what the cluster looks like now.

use satsuma_common::SqlResult;

use crate::process::Failure;
use crate::shell::client::{Answer, Client, Server};
use crate::shell::table::{self, Style};

/// Where to look.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusOptions {
    #[command(flatten)]
    pub server: Server,
}

/// What is shown, part by part.
const PARTS: [(&str, &str); 6] = [
    ("Coordinators", "SELECT * FROM satsuma_coordinators()"),
    (
        "Workers",
        "SELECT n.nodeid AS node, n.nodename AS host, n.nodeport AS port, n.isactive AS active, \
         n.shouldhaveshards AS \"takes shards\", count(s.shardid) AS shards, \
         pg_size_pretty(coalesce(sum(s.shard_size), 0)::bigint) AS size \
         FROM pg_catalog.pg_dist_node n LEFT JOIN citus_shards s \
         ON s.nodename = n.nodename AND s.nodeport = n.nodeport \
         WHERE n.groupid > 0 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1",
    ),
    (
        "Workers that do not answer",
        "SELECT to_nodename AS host, to_nodeport AS port \
         FROM citus_check_cluster_node_health() WHERE NOT result",
    ),
    (
        "Tables",
        "SELECT table_name::text AS table, citus_table_type AS type, \
         distribution_column AS \"distributed by\", colocation_id AS colocation, \
         table_size AS size, shard_count AS shards FROM citus_tables ORDER BY 1",
    ),
    ("Moves", MOVES),
    ("Rebalance", "SELECT * FROM citus_rebalance_status()"),
];

const MOVES: &str = "SELECT * FROM get_rebalance_progress()";
/// Characters of a progress bar.
const BAR: u64 = 20;

pub fn run(options: &StatusOptions) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("could not start: {error}")))?;
    let text = runtime.block_on(report(&options.server))?;
    print!("{text}");
    Ok(())
}

async fn report(server: &Server) -> SqlResult<String> {
    let mut client = Client::connect(server, None).await?;
    let mut text = String::new();
    for (title, sql) in PARTS {
        let answer = client.query(sql).await?;
        if answer.rows.is_empty() {
            continue;
        }
        text.push_str(title);
        text.push('\n');
        if sql == MOVES {
            text.push_str(&moves(&answer));
        } else {
            text.push_str(&table::render(&answer.columns, &answer.rows, Style::default()));
        }
    }
    client.close().await;
    Ok(text)
}

/// A line for each shard that is moving.
fn moves(answer: &Answer) -> String {
    let at = |name: &str| answer.columns.iter().position(|column| column.name == name);
    let mut text = String::new();
    for row in &answer.rows {
        let value = |name: &str| at(name).and_then(|at| row.get(at)?.clone()).unwrap_or_default();
        let number = |name: &str| value(name).parse::<u64>().unwrap_or(0);
        let (there, whole) = (number("target_shard_size"), number("source_shard_size"));
        text.push_str(&format!(
            " {} {} from {}:{} to {}:{} {} {}\n",
            value("table_name"),
            value("shardid"),
            value("sourcename"),
            value("sourceport"),
            value("targetname"),
            value("targetport"),
            bar(there, whole),
            value("status"),
        ));
    }
    text.push('\n');
    text
}

fn bar(done: u64, whole: u64) -> String {
    let share = match whole {
        0 => BAR,
        whole => (done.min(whole) as u128 * u128::from(BAR) / u128::from(whole)) as u64,
    };
    let (full, rest) = (share as usize, (BAR - share) as usize);
    format!("[{}{}]", "#".repeat(full), ".".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill() {
        assert_eq!(bar(0, 100), "[....................]");
        assert_eq!(bar(50, 100), "[##########..........]");
        assert_eq!(bar(500, 100), "[####################]");
        assert_eq!(bar(0, 0), "[####################]");
    }
}
