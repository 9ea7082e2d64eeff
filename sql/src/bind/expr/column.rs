//! Column references, with PostgreSQL's errors and hints for those that do not resolve.

use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{Ident, ObjectName};

use super::{Binder, Context};
use crate::bind::names::fold;
use crate::bind::scope::{Entry, Scope};
use crate::bind::search_cycle::is_hidden;
use crate::functions::{self, Typed};

/// Columns that every PostgreSQL table has and ours do not.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"];

/// Words that are calls without parentheses.
const BARE_CALLS: [&str; 11] = [
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
];

/// Whether a name in FROM is one of these words, which no table can have without quotes.
pub(in crate::bind) fn is_bare_call(name: &ObjectName) -> bool {
    match name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| {
            ident.quote_style.is_none() && BARE_CALLS.contains(&fold(ident).as_str())
        }),
        _ => false,
    }
}

impl Binder<'_> {
    pub fn column(&self, ident: &Ident, cx: Context<'_>) -> SqlResult<Typed> {
        let position = self.ident_position(ident);
        if let Some(found) = cx.scope.column(ident, position)? {
            return self.reference(cx.scope, found.column, found.level, position);
        }
        let name = fold(ident);
        if ident.quote_style.is_none() && BARE_CALLS.contains(&name.as_str()) {
            let call = functions::scalar(&name, Vec::new(), &self.env)?;
            return call.ok_or_else(|| {
                self.at(SqlError::unsupported(format!("{name} is not supported")), position)
            });
        }
        if let Some((entry, level)) = cx.scope.relation(None, &name, position)? {
            return self.whole_row(entry, level, cx.scope, position);
        }
        if let ("tableoid", [entry]) = (name.as_str(), cx.scope.entries.as_slice())
            && entry.oid.is_some()
        {
            return self.table_oid(entry);
        }
        if SYSTEM_COLUMNS.contains(&name.as_str()) && !cx.scope.entries.is_empty() {
            return Err(self.at(system_column(&name), position));
        }
        Err(self.at(undefined_column(None, &name, cx.scope), position))
    }

    /// `relation.column`, `schema.relation.column`; a subscript or field may follow no column
    /// type that we have.
    pub fn compound(&self, parts: &[Ident], cx: Context<'_>) -> SqlResult<Typed> {
        let Some(first) = parts.first() else {
            return Err(SqlError::internal("column reference without a name"));
        };
        let position = self.ident_position(first);
        let (schema, relation, column) = match parts {
            [relation, column] => (None, relation, column),
            [schema, relation, column] => (Some(fold(schema)), relation, column),
            [database, schema, relation, column] => {
                if fold(database) != self.env.identity.database {
                    let text: Vec<_> = parts.iter().map(fold).collect();
                    return Err(self.at(
                        SqlError::unsupported(format!(
                            "cross-database references are not implemented: {}",
                            text.join(".")
                        )),
                        position,
                    ));
                }
                (Some(fold(schema)), relation, column)
            }
            _ => {
                let text: Vec<_> = parts.iter().map(fold).collect();
                return Err(self.at(
                    SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "improper qualified name (too many dotted names): {}",
                            text.join(".")
                        ),
                    ),
                    position,
                ));
            }
        };
        let relation = fold(relation);
        let Some((entry, level)) = cx.scope.relation(schema.as_deref(), &relation, position)?
        else {
            return Err(self.at(missing_relation(&relation, cx.scope), position));
        };
        let name = fold(column);
        let mut found = entry.columns.iter().filter(|candidate| candidate.name == name);
        match (found.next(), found.next()) {
            (Some(column), None) => self.reference(cx.scope, column, level, position),
            (Some(_), Some(_)) => {
                Err(self.at(crate::bind::scope::ambiguous_column(&name), position))
            }
            (None, _) if name == "tableoid" && entry.oid.is_some() => self.table_oid(entry),
            (None, _) if SYSTEM_COLUMNS.contains(&name.as_str()) => {
                Err(self.at(system_column(&name), position))
            }
            (None, _) => Err(self.at(undefined_column(Some(&relation), &name, cx.scope), position)),
        }
    }

    fn table_oid(&self, entry: &Entry) -> SqlResult<Typed> {
        self.check_system_column(entry)?;
        Typed::constant(Datum::Oid(entry.oid.unwrap_or(0)), PgType::Oid)
    }

    /// The columns that `*` or `relation.*` stands for, with their names.
    pub fn expand_entry(
        &self,
        entry: &Entry,
        level: usize,
        scope: &Scope<'_>,
        position: u32,
    ) -> SqlResult<Vec<(String, Typed)>> {
        entry
            .columns
            .iter()
            .filter(|column| !is_hidden(&column.name))
            .map(|column| {
                let value = self.reference(scope, column, level, position)?;
                Ok((column.name.clone(), value))
            })
            .collect()
    }

    /// An entry of FROM as a value: a record of its columns, or a function's only one.
    pub fn whole_row(
        &self,
        entry: &Entry,
        level: usize,
        scope: &Scope<'_>,
        position: u32,
    ) -> SqlResult<Typed> {
        if let (true, [column]) = (entry.scalar, entry.columns.as_slice()) {
            return self.reference(scope, column, level, position);
        }
        let fields = self.expand_entry(entry, level, scope, position)?;
        functions::records::record(fields, entry.optional, &self.env)
            .map_err(|error| self.at(error, position))
    }
}

fn system_column(name: &str) -> SqlError {
    SqlError::unsupported(format!("system column \"{name}\" is not supported"))
}

/// `missing FROM-clause entry`, or what was probably meant.
pub(in crate::bind) fn missing_relation(relation: &str, scope: &Scope<'_>) -> SqlError {
    let mut here = Some(scope);
    while let Some(level) = here {
        // An alias hides the table's own name; an entry of the same FROM cannot be seen.
        let hidden = level.entries.iter().find(|entry| {
            entry.alias == relation
                || entry.table.as_ref().is_some_and(|table| table.shape.name == relation)
        });
        if let Some(entry) = hidden {
            let hint = match entry.alias == relation {
                true => format!(
                    "There is an entry for table \"{relation}\", but it cannot be referenced from \
                     this part of the query."
                ),
                false => {
                    format!("Perhaps you meant to reference the table alias \"{}\".", entry.alias)
                }
            };
            return SqlError::new(
                SqlState::UNDEFINED_TABLE,
                format!("invalid reference to FROM-clause entry for table \"{relation}\""),
            )
            .hint(hint);
        }
        here = level.parent;
    }
    SqlError::new(
        SqlState::UNDEFINED_TABLE,
        format!("missing FROM-clause entry for table \"{relation}\""),
    )
}

pub(in crate::bind) fn undefined_column(
    relation: Option<&str>,
    name: &str,
    scope: &Scope<'_>,
) -> SqlError {
    let message = match relation {
        Some(relation) => format!("column {relation}.{name} does not exist"),
        None => format!("column \"{name}\" does not exist"),
    };
    let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
    match column_hint(relation, name, scope) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// PostgreSQL's fuzzy search: names at a distance of at most half their length and three
/// characters; the nearest one, or two equally near ones.
fn column_hint(relation: Option<&str>, name: &str, scope: &Scope<'_>) -> Option<String> {
    let mut best = usize::MAX;
    let mut nearest: Vec<String> = Vec::new();
    let mut here = Some(scope);
    while let Some(level) = here {
        for (entry, column) in level.candidates() {
            let penalty = match relation {
                Some(relation) => distance(relation, &entry.alias),
                None => 0,
            };
            let own = distance(name, &column.name);
            // Half of the longer name differs: that is another name.
            if own > name.chars().count() / 2 {
                continue;
            }
            let total = own + penalty;
            if total > 3 {
                continue;
            }
            let text = format!("\"{}.{}\"", entry.alias, column.name);
            if total < best {
                best = total;
                nearest = vec![text];
            } else if total == best && !nearest.contains(&text) {
                nearest.push(text);
            }
        }
        here = level.parent;
    }
    match nearest.as_slice() {
        [one] => Some(format!("Perhaps you meant to reference the column {one}.")),
        [one, other] => {
            Some(format!("Perhaps you meant to reference the column {one} or the column {other}."))
        }
        _ => None,
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("name", "nmae"), 2);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("id", "ids"), 1);
    }
}
