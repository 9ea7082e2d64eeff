//! The scripts in `tests/isolation`, on PostgreSQL 15 and on Satsuma with local, distributed and
//! reference tables.
//!
//! `SATSUMA_ISOLATION` restricts the run to files whose name contains it. With `SATSUMA_BLESS=1`
//! the answers of PostgreSQL (where a case differs: of Satsuma) are written into the files.

use std::fmt::Write;
use std::path::Path;

use satsuma_tests::cluster::{Cluster, Layout};
use satsuma_tests::isolation::{Case, Place, Problem, Script, run};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::tests_path;

#[test]
fn scripts_answer_as_expected() {
    let filter = std::env::var("SATSUMA_ISOLATION").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(tests_path("isolation"))
        .expect("the scripts")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| path.to_string_lossy().contains(&filter))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are scripts");
    let cluster = Layout::processes(1, 2).start();
    let oracle = Oracle::shared("isolation");
    let mut problems = String::new();
    for file in files {
        problems += &run_file(&file, &cluster, oracle.as_deref());
    }
    assert!(problems.is_empty(), "{problems}");
}

/// What is not as expected, as text.
fn run_file(path: &Path, cluster: &Cluster, oracle: Option<&Oracle>) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("a script");
    let mut script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bless = std::env::var("SATSUMA_BLESS").is_ok_and(|value| value == "1");
    let mut report = String::new();
    for index in 0..script.cases.len() {
        let case = script.cases[index].clone();
        if bless && let Some(place) = places(&case).next() {
            let address = address(place, cluster, oracle);
            let answers = address.map(|address| run(&script, &emptied(&case), place, &address));
            for problem in answers.into_iter().flatten() {
                set(&mut script.cases[index], &problem);
            }
            continue;
        }
        for place in places(&case) {
            let Some(address) = address(place, cluster, oracle) else { continue };
            for problem in run(&script, &case, place, &address) {
                let Problem { place, case, step, found } = problem;
                let _ = writeln!(
                    report,
                    "{name}, {case}, {place}: {}: {}\n  expected {:?}\n  found    {found:?}",
                    step.session, step.sql, step.expected
                );
            }
        }
    }
    if bless {
        std::fs::write(path, rewritten(&text, &script)).expect("the script is written");
    }
    report
}

fn places(case: &Case) -> impl Iterator<Item = Place> + '_ {
    Place::ALL.into_iter().filter(|place| {
        let named = case.only.is_empty() || case.only.iter().any(|only| only == place.name());
        named && (case.differs.is_none() || *place != Place::Postgres)
    })
}

fn address(
    place: Place,
    cluster: &Cluster,
    oracle: Option<&Oracle>,
) -> Option<satsuma_tests::cluster::Address> {
    match place {
        Place::Postgres => oracle.map(Oracle::database),
        Place::Satsuma(_) => Some(cluster.address()),
    }
}

/// The case with an answer expected of every step that no step gives.
fn emptied(case: &Case) -> Case {
    let mut case = case.clone();
    for (number, step) in case.steps.iter_mut().enumerate() {
        step.expected = vec![format!("step {number}")];
    }
    case
}

/// Puts the answer of a step of [`emptied`] where it belongs.
fn set(case: &mut Case, problem: &Problem) {
    let number = problem.step.expected.first().and_then(|text| text.strip_prefix("step "));
    if let Some(step) = number.and_then(|n| n.parse::<usize>().ok())
        && let Some(step) = case.steps.get_mut(step)
    {
        step.expected.clone_from(&problem.found);
    }
}

/// The text with the script's answers.
fn rewritten(text: &str, script: &Script) -> String {
    let mut steps = script.cases.iter().flat_map(|case| &case.steps);
    let mut next = steps.next();
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with("| ")) {
        let _ = writeln!(out, "{line}");
        if let Some(step) = next
            && line.trim_end() == format!("{}: {}", step.session, step.sql)
        {
            for answer in &step.expected {
                let _ = writeln!(out, "| {answer}");
            }
            next = steps.next();
        }
    }
    out
}
