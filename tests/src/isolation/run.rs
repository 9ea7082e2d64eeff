//! Running a case: one thread a session, and a further session that asks who waits.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::script::{Case, Script};
use super::{Place, Step};
use crate::cluster::Address;
use crate::wire::{Answer, Client, Outcome};

/// A step that neither answers nor waits for a lock for this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// A wait counts when it is seen this often in a row.
const SEEN: u32 = 3;

/// An answer that is not the expected one.
#[derive(Clone, Debug)]
pub struct Problem {
    pub place: &'static str,
    pub case: String,
    pub step: Step,
    pub found: Vec<String>,
}

struct Session {
    statements: Sender<String>,
    answers: Receiver<String>,
    process_id: i32,
    is_waiting: bool,
}

impl Session {
    fn start(address: &Address) -> Self {
        let mut client = address.client().unwrap_or_else(|error| panic!("{error}"));
        let process_id = client
            .value("SELECT pg_backend_pid()")
            .ok()
            .flatten()
            .and_then(|id| id.parse().ok())
            .expect("a process id");
        let (statements, received) = channel::<String>();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for sql in received {
                let answer = match client.query(&sql) {
                    Ok(answer) => shown(&answer),
                    Err(error) => format!("connection lost: {error}"),
                };
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        Self { statements, answers, process_id, is_waiting: false }
    }
}

/// Rows, tags and errors, a line each.
fn shown(answer: &Answer) -> String {
    let mut lines = Vec::new();
    for outcome in &answer.outcomes {
        match outcome {
            Outcome::Rows { rows, tag, .. } => {
                for row in rows {
                    let values = row.iter().map(|value| value.as_deref().unwrap_or("NULL"));
                    let line = values.collect::<Vec<_>>().join(",");
                    // Functions without a result.
                    let is_void = line.is_empty() || line == "NULL";
                    lines.push(if is_void { "nothing".into() } else { line });
                }
                if rows.is_empty() {
                    lines.push("no rows".into());
                }
                if !tag.starts_with("SELECT") && !tag.starts_with("SHOW") {
                    lines.push(tag.clone());
                }
            }
            Outcome::Command { tag } => {
                let silent = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET"];
                if !silent.contains(&tag.as_str()) {
                    lines.push(tag.clone());
                }
            }
            Outcome::Error(fields) => {
                lines.push(format!("{}: {}", fields.code(), fields.message()));
            }
            Outcome::CopyOut { data, .. } => lines.extend(data.lines().map(str::to_owned)),
            Outcome::Empty => {}
        }
    }
    lines.join("\n")
}

/// Runs the case on a fresh set of tables.
pub fn run(script: &Script, case: &Case, place: Place, address: &Address) -> Vec<Problem> {
    let mut control = address.client().unwrap_or_else(|error| panic!("{error}"));
    prepare(script, place, &mut control);
    let mut sessions: BTreeMap<&str, Session> = BTreeMap::new();
    let mut problems = Vec::new();
    for step in &case.steps {
        let name = step.session.as_str();
        let session = sessions.entry(name).or_insert_with(|| Session::start(address));
        let mut found = Vec::new();
        if session.is_waiting {
            found.push("still waits for its last statement".to_owned());
        } else {
            session.statements.send(step.sql.clone()).expect("the session's thread");
            session.is_waiting = true;
            found.extend(settle(&mut sessions, name, &mut control));
        }
        if found != step.expected {
            let (place, case, step) = (place.name(), case.name.clone(), step.clone());
            problems.push(Problem { place, case, step, found });
        }
    }
    drop(sessions);
    problems
}

fn prepare(script: &Script, place: Place, control: &mut Client) {
    for (table, _) in script.tables.iter().rev() {
        let dropped = format!("DROP TABLE IF EXISTS {table} CASCADE");
        let deadline = Instant::now() + PATIENCE;
        // The sessions of the case before may still be closing.
        while let Some(error) = control.query(&dropped).expect("an answer").error() {
            assert!(Instant::now() < deadline, "{dropped}: {}", error.message());
            std::thread::sleep(PAUSE);
        }
    }
    let is_create = |sql: &&String| sql.starts_with("CREATE TABLE");
    for sql in script.setup.iter().filter(is_create) {
        control.must(sql);
        if let Place::Satsuma(placement) = place {
            let placed = script.tables.iter().find(|(table, _)| {
                sql.split([' ', '(']).nth(2).is_some_and(|created| created == table)
            });
            if let Some((table, column)) = placed
                && let Some(place) = placement.statement(table, Some(column))
            {
                control.must(&place);
            }
        }
    }
    for sql in script.setup.iter().filter(|sql| !is_create(sql)) {
        control.must(sql);
    }
}

/// Waits until every session that is at work has answered, or waits for a lock that nobody gives
/// up by himself. Tells what they answered; `name` ran the step.
fn settle(sessions: &mut BTreeMap<&str, Session>, name: &str, control: &mut Client) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut own = Vec::new();
    let mut others = Vec::new();
    let mut seen = 0;
    loop {
        for (other, session) in sessions.iter_mut().filter(|(_, session)| session.is_waiting) {
            let answer = match session.answers.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Disconnected) => "the session is gone".into(),
            };
            session.is_waiting = false;
            seen = 0;
            if *other == name {
                own.extend(answer.lines().map(str::to_owned));
            } else {
                let lines = answer.lines().map(|line| format!("{other}: {line}"));
                others.extend(lines);
                if answer.is_empty() {
                    others.push(format!("{other}: done"));
                }
            }
        }
        let waiting: Vec<i32> = sessions
            .values()
            .filter(|session| session.is_waiting)
            .map(|session| session.process_id)
            .collect();
        seen = if all_blocked(&waiting, control) { seen + 1 } else { 0 };
        if waiting.is_empty() || seen >= SEEN {
            break;
        }
        assert!(Instant::now() < deadline, "a step of {name} hangs");
        std::thread::sleep(PAUSE);
    }
    if sessions.get(name).is_some_and(|session| session.is_waiting) {
        own.push("waits".into());
    }
    own.extend(others);
    own
}

/// Whether all of them wait, and not in a circle, which does not last.
fn all_blocked(waiting: &[i32], control: &mut Client) -> bool {
    let mut blocked: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process_id in waiting {
        let asked = format!("SELECT unnest(pg_blocking_pids({process_id}))");
        let answer = control.must(&asked);
        let by = answer.rows().iter().flatten().flatten().filter_map(|id| id.parse().ok());
        let by: Vec<i32> = by.collect();
        if by.is_empty() {
            return false;
        }
        blocked.insert(*process_id, by);
    }
    // Whoever waits for nobody that waits can go; what is left then is a circle.
    loop {
        let free: Vec<i32> = blocked
            .iter()
            .filter(|(_, by)| by.iter().all(|holder| !blocked.contains_key(holder)))
            .map(|(process_id, _)| *process_id)
            .collect();
        if free.is_empty() {
            return blocked.is_empty();
        }
        free.iter().for_each(|process_id| {
            blocked.remove(process_id);
        });
    }
}
