//! Statement files: records with a name, their SQL and what is known about them.

use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Satsuma,
    Postgres,
}

/// One simple query message, with one or more statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Of the `-- name:` line, from 1.
    pub line: usize,
    pub name: String,
    pub sql: String,
    /// For COPY FROM STDIN.
    pub data: String,
    pub only: Option<Only>,
    pub unordered: bool,
    /// Why the two are known to differ: always, or with one placement of the tables.
    pub differs: Option<String>,
    pub differs_placed: Option<(String, String)>,
    /// Why only the message of the error is known to differ.
    pub message_differs: Option<String>,
    /// Tables that exist after this record, with their distribution columns.
    pub tables: Vec<(String, Option<String>)>,
}

impl Record {
    /// Whether it can be asked again without an effect: one SELECT, WITH or VALUES.
    pub fn is_query(&self) -> bool {
        let sql = self.sql.trim().to_ascii_lowercase();
        let starts = ["select", "with", "values"].iter().any(|word| sql.starts_with(word));
        let effects = ["nextval", "insert", "update", "delete", "setval"];
        starts
            && !sql.trim_end_matches(';').contains(';')
            && !effects.iter().any(|word| sql.contains(word))
    }

    /// Whether the last statement has an ORDER BY outside of parentheses and strings.
    pub fn is_ordered(&self) -> bool {
        if self.unordered {
            return false;
        }
        let mut depth = 0;
        let mut quoted = false;
        let outside: String = self
            .sql
            .to_ascii_lowercase()
            .chars()
            .filter(|&c| {
                match c {
                    '\'' => quoted = !quoted,
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth -= 1,
                    _ => {}
                }
                depth == 0 && !quoted
            })
            .collect();
        outside
            .split_whitespace()
            .collect::<Vec<_>>()
            .windows(2)
            .any(|pair| pair == ["order", "by"])
    }
}

/// A statement file.
#[derive(Clone, Debug)]
pub struct Script {
    /// File name without `.sql`.
    pub name: String,
    pub records: Vec<Record>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{name}:{line}: {problem}")]
    Syntax { name: String, line: usize, problem: String },
}

impl Script {
    /// All `*.sql` files of a directory, by name.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>, ScriptError> {
        let io = |source| ScriptError::Io { path: directory.into(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::Io { path: path.into(), source })?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into());
        Self::parse(&name, &text)
    }

    pub fn parse(name: &str, text: &str) -> Result<Self, ScriptError> {
        let mut records: Vec<Record> = Vec::new();
        let mut in_data = false;
        for (index, line) in text.lines().enumerate() {
            if let Some(title) = line.strip_prefix("-- name:") {
                let title = title.trim().to_owned();
                records.push(Record { line: index + 1, name: title, ..Record::default() });
                in_data = false;
                continue;
            }
            let Some(record) = records.last_mut() else { continue };
            match line.strip_prefix("-- ") {
                Some("data") => in_data = true,
                Some("end") => in_data = false,
                _ if in_data => {
                    record.data.push_str(line);
                    record.data.push('\n');
                }
                Some(directive) if record.sql.is_empty() => {
                    record.directive(directive).map_err(|problem| ScriptError::Syntax {
                        name: name.into(),
                        line: index + 1,
                        problem,
                    })?;
                }
                _ => {
                    record.sql.push_str(line);
                    record.sql.push('\n');
                }
            }
        }
        for record in &mut records {
            record.sql.truncate(record.sql.trim_end().len());
        }
        let unnamed = records.iter().find(|record| record.name.is_empty() || record.sql.is_empty());
        match unnamed {
            Some(record) => Err(ScriptError::Syntax {
                name: name.into(),
                line: record.line,
                problem: "a record needs a name and a statement".into(),
            }),
            None => Ok(Self { name: name.into(), records }),
        }
    }

    pub fn has_tables(&self) -> bool {
        self.records.iter().any(|record| !record.tables.is_empty())
    }
}

impl Record {
    fn directive(&mut self, text: &str) -> Result<(), String> {
        let (keyword, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.trim();
        match (keyword.trim(), value) {
            ("differs", reason) if !reason.is_empty() => self.differs = Some(reason.into()),
            ("message differs", reason) if !reason.is_empty() => {
                self.message_differs = Some(reason.into());
            }
            (keyword, reason) if keyword.starts_with("differs ") && !reason.is_empty() => {
                let placement = keyword.trim_start_matches("differs ").trim();
                self.differs_placed = Some((placement.into(), reason.into()));
            }
            ("differs" | "message differs", _) => return Err("a difference needs a reason".into()),
            ("only", "satsuma") => self.only = Some(Only::Satsuma),
            ("only", "postgres") => self.only = Some(Only::Postgres),
            ("unordered", _) => self.unordered = true,
            ("tables", list) => {
                self.tables = list
                    .split(',')
                    .map(|item| match item.trim().split_once(" by ") {
                        Some((table, column)) => (table.into(), Some(column.into())),
                        None => (item.trim().into(), None),
                    })
                    .collect();
            }
            // An ordinary comment.
            _ => {}
        }
        Ok(())
    }
}
