//! Part `tpch`: the 22 queries of TPC-H by one client, on tables spread in three ways.
//!
//! Satsuma has one layout after the other; PostgreSQL and DuckDB, which know none, are measured
//! beside the first. A query that fails or takes too long costs its figure and no more, and so
//! does a wrong answer, which however ends the program with an error when all is measured.

mod data;
mod entrant;
mod totals;

use std::collections::BTreeMap;

use satsuma_bench::tpch::{Layout, queries};
use tempfile::TempDir;

use self::entrant::Entrant;
use super::answers::{Rows, Sameness, difference};
use super::duckdb::DuckDb;
use super::figures::{Contender, Failure};
use super::servers::ServerKind;
use super::{Error, Lineup, Options, report};

const PART: &str = "tpch";
const LOAD: &str = "TPC-H load";

pub fn run(lineup: &mut Lineup<'_>) -> Result<(), Error> {
    let files = data::files(lineup.options)?;
    let directory = TempDir::new_in(&files).map_err(Error::io("a directory for DuckDB"))?;
    let mut duckdb = match lineup.options.wants_server(ServerKind::DuckDb) {
        true => DuckDb::start(directory.path())?,
        false => None,
    };
    let questions: Vec<_> = queries()
        .map(|(number, question)| (format!("Q{number:02}"), question))
        .filter(|(name, _)| lineup.wants(name))
        .collect();
    let Lineup { options, runtime, servers, figures } = lineup;
    let mut answers = BTreeMap::new();
    for (pass, layout) in Layout::ALL.into_iter().enumerate() {
        let measured = servers.iter().filter(|server| pass == 0 || server.kind.is_satsuma());
        let mut entrants: Vec<_> =
            measured.map(|server| Entrant::server(server, runtime, layout)).collect();
        entrants.extend(duckdb.take().map(Entrant::duckdb));
        if entrants.is_empty() {
            continue;
        }
        entrants.retain_mut(|entrant| {
            let loaded = data::load(entrant, layout, &files);
            match loaded {
                Ok(run) => figures.add(PART, LOAD, 1, entrant.contender, run),
                Err(ref error) => {
                    let failure = Failure::Failed(error.to_string());
                    figures.fail(PART, LOAD, 1, entrant.contender, failure);
                }
            }
            loaded.is_ok()
        });
        report::print(figures, PART, LOAD, 1);
        for (name, question) in &questions {
            let known = answers.remove(name);
            let known = measure(options, figures, &mut entrants, (name, question), known);
            report::print(figures, PART, name, 1);
            answers.extend(known.map(|known| (name, known)));
        }
    }
    let names: Vec<_> = questions.into_iter().map(|(name, _)| name).collect();
    totals::add(figures, &names);
    Ok(())
}

/// An answer that others are held against, and whose it is.
type Known = (ServerKind, Rows);

/// Asks all in turn, round by round. PostgreSQL's answer is the right one, or DuckDB's where
/// PostgreSQL has none.
fn measure(
    options: &Options,
    figures: &mut super::Figures,
    entrants: &mut [Entrant<'_>],
    (name, question): (&str, &str),
    mut known: Option<Known>,
) -> Option<Known> {
    let mut left: Vec<_> = entrants.iter_mut().collect();
    for round in 0..=options.rounds.max(1) {
        let mut answers: Vec<(Contender, Rows)> = Vec::new();
        left.retain_mut(|entrant| {
            let asked = entrant.ask(question, options.limit());
            match asked {
                Ok((rows, run)) => {
                    // The first time is for warming up.
                    if round > 0 {
                        figures.add(PART, name, 1, entrant.contender, run);
                    }
                    answers.push((entrant.contender, rows));
                    true
                }
                Err(error) => {
                    let failure = match error {
                        Error::TimedOut { .. } => Failure::TimedOut(options.limit()),
                        error => Failure::Failed(error.to_string()),
                    };
                    figures.fail(PART, name, 1, entrant.contender, failure);
                    false
                }
            }
        });
        if known.is_none() {
            let best = answers.iter().min_by_key(|(contender, _)| authority(contender.server));
            known = best.map(|(contender, rows)| (contender.server, rows.clone()));
        }
        let Some((judge, expected)) = &known else { break };
        for (contender, rows) in &answers {
            let sameness = match [*judge, contender.server].contains(&ServerKind::DuckDb) {
                true => Sameness::Number,
                false => Sameness::Text,
            };
            if let Some(problem) = difference(expected, rows, sameness) {
                figures.fail(PART, name, 1, *contender, Failure::Wrong(problem));
                left.retain(|entrant| entrant.contender != *contender);
            }
        }
    }
    known
}

/// Whose answer is believed: the lowest.
fn authority(server: ServerKind) -> u8 {
    match server {
        ServerKind::Postgres => 0,
        ServerKind::DuckDb => 1,
        ServerKind::Processes | ServerKind::Embedded => 2,
    }
}
