//! Results as psql prints them.

use std::fmt::Write;

use satsuma_common::PgType;
use unicode_width::UnicodeWidthStr;

use super::client::Column;

/// How results look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// One line per column, records under each other.
    pub expanded: bool,
    /// Values alone, between `|`.
    pub bare: bool,
}

pub fn render(columns: &[Column], rows: &[Vec<Option<String>>], style: Style) -> String {
    if style.bare {
        bare(rows)
    } else if style.expanded {
        expanded(columns, rows)
    } else {
        aligned(columns, rows)
    }
}

fn bare(rows: &[Vec<Option<String>>]) -> String {
    let mut out = String::new();
    for row in rows {
        let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("")).collect();
        out.push_str(&values.join("|"));
        out.push('\n');
    }
    out
}

fn lines(value: Option<&str>) -> Vec<&str> {
    value.unwrap_or("").split('\n').collect()
}

/// Width of the widest line.
fn width(value: &str) -> usize {
    value.split('\n').map(UnicodeWidthStr::width).max().unwrap_or(0)
}

fn is_right_aligned(ty: &PgType) -> bool {
    ty.is_numeric() || matches!(ty, PgType::Oid)
}

fn aligned(columns: &[Column], rows: &[Vec<Option<String>>]) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let values = rows.iter().filter_map(|row| row.get(index)?.as_deref());
            values.map(width).max().unwrap_or(0).max(width(&column.name))
        })
        .collect();
    let mut out = String::new();
    header(columns, &widths, &mut out);
    let right: Vec<bool> = columns.iter().map(|column| is_right_aligned(&column.ty)).collect();
    for row in rows {
        let cells: Vec<Vec<&str>> = row.iter().map(|value| lines(value.as_deref())).collect();
        write_row(&cells, &widths, &right, &mut out);
    }
    let plural = if rows.len() == 1 { "row" } else { "rows" };
    let _ = writeln!(out, "({} {plural})", rows.len());
    out.push('\n');
    out
}

fn header(columns: &[Column], widths: &[usize], out: &mut String) {
    let names: Vec<String> = columns
        .iter()
        .zip(widths)
        .map(|(column, wide)| {
            let space = wide - width(&column.name);
            let left = space / 2;
            format!(" {}{}{} ", " ".repeat(left), column.name, " ".repeat(space - left))
        })
        .collect();
    out.push_str(&names.join("|"));
    out.push('\n');
    let rules: Vec<String> = widths.iter().map(|wide| "-".repeat(wide + 2)).collect();
    out.push_str(&rules.join("+"));
    out.push('\n');
}

/// A row whose cells may have several lines; `+` marks a cell that goes on below.
fn write_row(cells: &[Vec<&str>], widths: &[usize], right: &[bool], out: &mut String) {
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    for line in 0..height {
        for (index, cell) in cells.iter().enumerate() {
            let text = cell.get(line).copied().unwrap_or("");
            let goes_on = line + 1 < cell.len();
            let last = index + 1 == cells.len();
            let space = " ".repeat(widths[index].saturating_sub(text.width()));
            out.push(' ');
            if right[index] {
                out.push_str(&space);
                out.push_str(text);
            } else {
                out.push_str(text);
                if !last || goes_on {
                    out.push_str(&space);
                }
            }
            if goes_on {
                out.push('+');
            } else if !last {
                out.push(' ');
            }
            if !last {
                out.push('|');
            }
        }
        out.push('\n');
    }
}

fn expanded(columns: &[Column], rows: &[Vec<Option<String>>]) -> String {
    let mut out = String::new();
    if rows.is_empty() {
        return "(0 rows)\n\n".into();
    }
    let names = columns.iter().map(|column| width(&column.name)).max().unwrap_or(0);
    let values =
        rows.iter().flatten().map(|value| value.as_deref().map_or(0, width)).max().unwrap_or(0);
    for (index, row) in rows.iter().enumerate() {
        let title = format!("-[ RECORD {} ]", index + 1);
        // The rule has its crossing where names and values meet.
        let mut rule: Vec<char> = "-".repeat(names + 3 + values).chars().collect();
        if let Some(crossing) = rule.get_mut(names + 1) {
            *crossing = '+';
        }
        let title_length = title.chars().count();
        let rest: String = rule.iter().skip(title_length).collect();
        let _ = writeln!(out, "{title}{rest}");
        for (column, value) in columns.iter().zip(row) {
            let space = " ".repeat(names - width(&column.name));
            for (line, text) in lines(value.as_deref()).into_iter().enumerate() {
                if line == 0 {
                    let _ = writeln!(out, "{}{space} | {text}", column.name);
                } else {
                    let _ = writeln!(out, "{} | {text}", " ".repeat(names));
                }
            }
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column { name: "id".into(), ty: PgType::Int8 },
            Column { name: "name".into(), ty: PgType::Text },
        ]
    }

    fn row(id: &str, name: Option<&str>) -> Vec<Option<String>> {
        vec![Some(id.into()), name.map(Into::into)]
    }

    /// As psql 15 prints it.
    #[test]
    fn aligned_as_psql() {
        let rows = [row("1", Some("ann")), row("1234", None), row("5", Some("two\nlines"))];
        let expected = "  id  | name  \n------+-------\n    1 | ann\n 1234 | \n    5 | two  +\n      | lines\n(3 rows)\n\n";
        assert_eq!(render(&columns(), &rows, Style::default()), expected);
        let one = [row("7", Some("é"))];
        let expected = " id | name \n----+------\n  7 | é\n(1 row)\n\n";
        assert_eq!(render(&columns(), &one, Style::default()), expected);
    }

    #[test]
    fn expanded_as_psql() {
        let rows = [row("1", Some("ann")), row("2", None)];
        let style = Style { expanded: true, bare: false };
        let expected = "-[ RECORD 1 ]\nid   | 1\nname | ann\n-[ RECORD 2 ]\nid   | 2\nname | \n\n";
        assert_eq!(render(&columns(), &rows, style), expected);
    }

    #[test]
    fn bare_values_only() {
        let style = Style { expanded: false, bare: true };
        assert_eq!(render(&columns(), &[row("1", None)], style), "1|\n");
    }
}
