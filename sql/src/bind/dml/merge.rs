//! MERGE, as the statements that it comes to: an UPDATE, DELETE or INSERT for each WHEN clause,
//! over the rows that no clause before it takes.
//!
//! They run as one statement: all see the rows as they were before it. A target row that two
//! source rows match is an error; it shows as fewer changed rows than [`BoundMerge::matches`].

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::is_default;
use crate::bind::binder::Binder;
use crate::bind::cte::Ctes;
use crate::bind::names::fold;
use crate::bound::{Bound, BoundMerge};
use crate::parse::{self, Merge, MergeAction, Source, Statement};

/// An identifier in double quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn conjunction(conditions: &[String]) -> String {
    match conditions {
        [] => "TRUE".into(),
        some => some.join(" AND "),
    }
}

impl Binder<'_> {
    pub fn merge(&self, merge: &Merge) -> SqlResult<BoundMerge> {
        let table = self.target_table(&merge.target, "merge into")?;
        let alias = match &merge.alias {
            Some(alias) => fold(alias),
            None => table.shape.name.clone(),
        };
        let target = format!("{} AS {}", merge.target, quoted(&alias));
        let (source, on) = (&merge.source, &merge.on);
        let (mut parts, mut changing) = (Vec::new(), Vec::new());
        // Conditions of the clauses so far, for rows that are matched and for those that are not.
        let (mut taken, mut is_full) = ([Vec::new(), Vec::new()], [false, false]);
        for clause in &merge.clauses {
            let side = usize::from(clause.matched);
            if is_full[side] {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "unreachable WHEN clause specified after unconditional WHEN clause",
                ));
            }
            let mut conditions: Vec<String> = taken[side].clone();
            match &clause.condition {
                Some(condition) => {
                    taken[side].push(format!("(({condition}) IS NOT TRUE)"));
                    conditions.push(format!("({condition})"));
                }
                None => is_full[side] = true,
            }
            let condition = conjunction(&conditions);
            let text = match &clause.action {
                MergeAction::DoNothing => continue,
                MergeAction::Update(assignments) => {
                    changing.push(format!("({condition})"));
                    let assignments: Vec<String> =
                        assignments.iter().map(ToString::to_string).collect();
                    format!(
                        "UPDATE {target} SET {} FROM {source} WHERE ({on}) AND {condition}",
                        assignments.join(", ")
                    )
                }
                MergeAction::Delete => {
                    changing.push(format!("({condition})"));
                    format!("DELETE FROM {target} USING {source} WHERE ({on}) AND {condition}")
                }
                MergeAction::Insert { columns, overriding, values } => {
                    let Some(values) = values else {
                        return Err(SqlError::unsupported(
                            "INSERT DEFAULT VALUES in MERGE is not supported",
                        )
                        .hint("Name a column, with DEFAULT for its value."));
                    };
                    let names: Vec<String> = match columns.is_empty() {
                        true => {
                            table.shape.columns.iter().map(|column| quoted(&column.name)).collect()
                        }
                        false => columns.iter().map(ToString::to_string).collect(),
                    };
                    if values.len() > names.len() {
                        return Err(SqlError::new(
                            SqlState::SYNTAX_ERROR,
                            "INSERT has more expressions than target columns",
                        ));
                    }
                    if !columns.is_empty() && values.len() < names.len() {
                        return Err(SqlError::new(
                            SqlState::SYNTAX_ERROR,
                            "INSERT has more target columns than expressions",
                        ));
                    }
                    // What is left out takes its default.
                    let given: Vec<(&String, &ast::Expr)> =
                        names.iter().zip(values).filter(|(_, value)| !is_default(value)).collect();
                    let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
                    let values: Vec<String> =
                        given.iter().map(|(_, value)| value.to_string()).collect();
                    if names.is_empty() {
                        return Err(SqlError::unsupported(
                            "INSERT of nothing but defaults in MERGE is not supported",
                        ));
                    }
                    format!(
                        "INSERT INTO {} ({}) {} SELECT {} FROM {source} WHERE NOT EXISTS (SELECT 1 \
                         FROM {target} WHERE {on}) AND {condition}",
                        merge.target,
                        names.join(", "),
                        overriding.as_deref().unwrap_or(""),
                        values.join(", "),
                    )
                }
            };
            parts.push(self.part(&text)?);
        }
        let matches = match changing.is_empty() {
            true => None,
            false => {
                let text = format!(
                    "SELECT count(*) FROM {target} JOIN {source} ON ({on}) WHERE {}",
                    changing.join(" OR ")
                );
                match self.part(&text)? {
                    Bound::Query(query) => Some(query),
                    _ => return Err(SqlError::internal("a count is no query")),
                }
            }
        };
        // Keys that are deleted or changed are free for what is inserted.
        parts.sort_by_key(|part| match part {
            Bound::Delete(_) => 0,
            Bound::Update(_) => 1,
            _ => 2,
        });
        Ok(BoundMerge { parts, matches })
    }

    /// Binds one of the statements, with this one's parameters.
    fn part(&self, text: &str) -> SqlResult<Bound> {
        let parsed = parse::parse(text)?;
        let Some(Statement::Sql(statement)) = parsed.into_iter().next().map(|one| one.statement)
        else {
            return Err(SqlError::internal("a part of MERGE does not parse"));
        };
        let binder = self.for_rewritten_text(Arc::new(Source::new(text)));
        let ctes = Ctes::default();
        match statement.as_ref() {
            ast::Statement::Update(update) => Ok(Bound::Update(binder.update(update, &ctes)?)),
            ast::Statement::Delete(delete) => Ok(Bound::Delete(binder.delete(delete, &ctes)?)),
            ast::Statement::Insert(insert) => Ok(Bound::Insert(binder.insert(insert, &ctes)?)),
            ast::Statement::Query(query) => {
                Ok(Bound::Query(binder.query(query, None, &ctes)?.into_bound()?))
            }
            _ => Err(SqlError::internal("a part of MERGE is another statement")),
        }
    }
}
