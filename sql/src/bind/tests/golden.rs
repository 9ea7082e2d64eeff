//! The golden files: a statement, then `name:type` of its columns and its rows, or its error.

use super::world::World;
use super::{Answer, answer};

/// What a statement gave, as the golden files have it. Rows without ORDER BY are sorted.
fn outcome(sql: &str, world: &World) -> Vec<String> {
    match answer(sql, world) {
        Ok(Answer { columns, rows }) => {
            let header: Vec<String> = columns
                .iter()
                .map(|column| format!("{}:{}", column.name, column.ty.without_modifier()))
                .collect();
            let lines = rows.iter().map(|row| row.join("|")).collect();
            let mut all = vec![header.join("|")];
            all.extend(in_order(sql, lines));
            all
        }
        Err(error) => {
            let fields = error.fields();
            let mut lines = vec![format!("ERROR {}: {}", error.state(), error.message())];
            if let Some(position) = fields.position {
                lines[0].push_str(&format!(" @{position}"));
            }
            lines.extend(fields.detail.iter().map(|text| format!("DETAIL: {text}")));
            lines.extend(fields.hint.iter().map(|text| format!("HINT: {text}")));
            lines
        }
    }
}

fn in_order(sql: &str, mut rows: Vec<String>) -> Vec<String> {
    if !sql.to_lowercase().contains("order by") {
        rows.sort();
    }
    rows
}

fn check(name: &str, text: &str) {
    let world = World::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in text.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let mut lines = case.lines().filter(|line| !line.starts_with("--"));
        let Some(sql) = lines.next().map(|line| line.trim_start_matches("> ")) else { continue };
        let mut expected: Vec<String> = lines.map(str::to_string).collect();
        if !expected.first().is_some_and(|line| line.starts_with("ERROR")) && !expected.is_empty() {
            let rows = expected.split_off(1);
            expected.extend(in_order(sql, rows));
        }
        count += 1;
        let got = outcome(sql, &world);
        if got != expected {
            wrong.push(format!(
                "> {sql}\n  expected\n    {}\n  got\n    {}",
                expected.join("\n    "),
                got.join("\n    ")
            ));
        }
    }
    assert!(count > 0, "{name} is empty");
    assert!(wrong.is_empty(), "{name}: {} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! golden {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("../golden/", stringify!($name), ".txt")));
        }
    )*};
}

golden!(select, joins, grouping, subqueries, sets, errors, windows, types);
