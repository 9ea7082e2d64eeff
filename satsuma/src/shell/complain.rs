//! Errors and notices in psql's words.

use std::fmt::Write;

use satsuma_common::error::SqlErrorFields;
use satsuma_common::{SqlError, SqlState};
use unicode_width::UnicodeWidthStr;

/// Longest part of a line that is shown around the place of an error.
const SHOWN_WIDTH: usize = 60;

/// `ERROR:  ..`, the place in `sql`, and what else the server said.
pub fn error(error: &SqlError, sql: &str) -> String {
    message("ERROR", error.fields(), sql)
}

pub fn notice(severity: &str, fields: &SqlErrorFields) -> String {
    message(severity, fields, "")
}

fn message(severity: &str, fields: &SqlErrorFields, sql: &str) -> String {
    let mut out = format!("{severity}:  {}\n", fields.message);
    if let Some(position) = fields.position.filter(|_| !sql.is_empty()) {
        place(sql, position as usize, &mut out);
    }
    let parts = [("DETAIL", &fields.detail), ("HINT", &fields.hint), ("CONTEXT", &fields.context)];
    for (label, value) in parts {
        // Contexts of notices are not shown, as in psql.
        if let Some(value) = value
            && (label != "CONTEXT" || severity == "ERROR")
        {
            let _ = writeln!(out, "{label}:  {value}");
        }
    }
    out
}

/// The line of `sql` with the character at `position` (from 1), and a caret below it.
fn place(sql: &str, position: usize, out: &mut String) {
    let before: String = sql.chars().take(position.saturating_sub(1)).collect();
    let line_number = before.matches('\n').count() + 1;
    let line = sql.split('\n').nth(line_number - 1).unwrap_or("");
    let column = before.rsplit('\n').next().unwrap_or("").chars().count();
    let line = line.trim_end_matches('\r').replace('\t', " ");

    // Cut a long line around the place.
    let characters: Vec<char> = line.chars().collect();
    let from = if characters.len() > SHOWN_WIDTH && column + 10 > SHOWN_WIDTH {
        (column + 10).min(characters.len()).saturating_sub(SHOWN_WIDTH)
    } else {
        0
    };
    let to = (from + SHOWN_WIDTH).min(characters.len());
    let shown: String = characters[from..to].iter().collect();
    let (head, tail) =
        (if from > 0 { "..." } else { "" }, if to < characters.len() { "..." } else { "" });
    let label = format!("LINE {line_number}: {head}");
    let lead: String = characters[from..column.clamp(from, to)].iter().collect();
    let _ = writeln!(out, "{label}{shown}{tail}");
    let _ = writeln!(out, "{}^", " ".repeat(label.width() + lead.width()));
}

/// Whether the connection is gone, so that going on makes no sense.
pub fn is_lost(error: &SqlError) -> bool {
    matches!(error.state(), SqlState::CONNECTION_FAILURE | SqlState::ADMIN_SHUTDOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked() {
        let problem = SqlError::new(SqlState::UNDEFINED_TABLE, "relation \"x\" does not exist")
            .at(24)
            .hint("Look again.");
        let shown = error(&problem, "select 1,\n 2\n     from x");
        let expected = "ERROR:  relation \"x\" does not exist\nLINE 3:      from x\n                  ^\nHINT:  Look again.\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let sql = format!("select {} oops", "x, ".repeat(50));
        let position = sql.find("oops").unwrap() as u32 + 1;
        let problem = SqlError::new(SqlState::SYNTAX_ERROR, "syntax error").at(position);
        let shown = error(&problem, &sql);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("LINE 1: ...") && lines[1].ends_with("oops"));
        assert_eq!(lines[2].find('^'), lines[1].find("oops"));
    }
}
