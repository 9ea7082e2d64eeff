//! CREATE VIEW. A view is its query's text and the search path it was made with; its columns and
//! their types are settled here.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use satsuma_common::{Oid, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::Bound;
use satsuma_sql::parse;
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{Command, RelationRef, State, View};

pub async fn create_view(ddl: &mut Ddl<'_>, create: &ast::CreateView) -> SqlResult<()> {
    refuse_unsupported(create)?;
    let state = ddl.state();
    let (schema, name) = names::split(&create.name)?;
    let schema = names::creation_schema(&state, &ddl.snapshot.search_path, schema.as_deref())?;
    let before = match schema.relation(&name) {
        None => None,
        Some(_) if !create.or_replace => {
            return Err(SqlError::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            ));
        }
        Some(RelationRef::View(oid)) => state.view(oid),
        Some(_) => {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{name}\" is not a view"),
            ));
        }
    };
    let definition = create.query.to_string();
    let columns = columns(ddl, create, &definition)?;
    let mut depends_on = relations(ddl, &state, &create.query)?;
    columns.iter().for_each(|(_, ty)| depends_on.extend(user_type(ty)));
    let mut view = View {
        oid: Oid(0),
        name,
        schema: schema.oid,
        owner: ddl.snapshot.user,
        columns,
        definition,
        search_path: ddl.snapshot.search_path.clone(),
        depends_on: depends_on.into_iter().collect(),
    };
    let Some(before) = before else {
        view.oid = ddl.oid().await?;
        ddl.apply(Command::CreateView(view))?;
        return Ok(());
    };
    view.oid = before.oid;
    view.owner = before.owner;
    check_replacement(&before.columns, &view.columns)?;
    if reads(&state, &view.depends_on, view.oid) {
        return Err(SqlError::new(
            SqlState::INVALID_OBJECT_DEFINITION,
            format!("infinite recursion detected in rules for relation \"{}\"", view.name),
        ));
    }
    if view.columns.len() > before.columns.len() {
        refuse_wildcards_over(&state, view.oid, &view.name)?;
    }
    ddl.apply(Command::AlterView(view))?;
    Ok(())
}

fn refuse_unsupported(create: &ast::CreateView) -> SqlResult<()> {
    let refused = [
        (create.materialized, "materialized views"),
        (create.temporary, "temporary views"),
        (create.if_not_exists, "CREATE VIEW IF NOT EXISTS"),
        (create.options != ast::CreateTableOptions::None, "options of views"),
        (
            create.or_alter
                || create.secure
                || create.copy_grants
                || create.to.is_some()
                || create.with_no_schema_binding
                || create.comment.is_some()
                || create.params.is_some()
                || !create.cluster_by.is_empty(),
            "clauses of CREATE VIEW that PostgreSQL does not have",
        ),
    ];
    match refused.iter().find(|(is_used, _)| *is_used) {
        Some((_, what)) => Err(SqlError::unsupported(format!("{what} are not supported"))),
        None => Ok(()),
    }
}

/// Names and types of the view's columns. Binds the text that is stored, not what it came from.
fn columns(
    ddl: &Ddl<'_>,
    create: &ast::CreateView,
    definition: &str,
) -> SqlResult<Vec<(String, PgType)>> {
    let parsed = parse::parse(definition)?;
    let [parsed] = parsed.as_slice() else {
        return Err(SqlError::internal("a view's query does not parse as one statement"));
    };
    let context = BindContext { catalog: &ddl.snapshot, env: &ddl.env, param_types: &[] };
    let (bound, parameters) = bind::bind(parsed, &context)?;
    let Bound::Query(query) = bound else {
        return Err(SqlError::unsupported("a view must be defined by a query that only reads"));
    };
    if !parameters.is_empty() {
        return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
    }
    if create.columns.len() > query.columns.len() {
        return Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    let mut columns: Vec<(String, PgType)> = Vec::new();
    for (position, column) in query.columns.into_iter().enumerate() {
        let name =
            create.columns.get(position).map_or(column.name, |named| names::fold(&named.name));
        if columns.iter().any(|(known, _)| *known == name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        if matches!(column.ty, PgType::Record | PgType::Void | PgType::Unknown) {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("column \"{name}\" has pseudo-type {}", column.ty),
            ));
        }
        columns.push((name, column.ty));
    }
    Ok(columns)
}

/// Oids of the relations that a query names. A WITH query under a relation's name counts as that
/// relation: a dependency too many, never one too few.
fn relations(ddl: &Ddl<'_>, state: &State, query: &ast::Query) -> SqlResult<BTreeSet<Oid>> {
    let mut found = BTreeSet::new();
    let visited = ast::visit_relations(query, |name| match names::split(name) {
        Ok((schema, relation)) => {
            let path = &ddl.snapshot.search_path;
            let relation = state.relation_by_name(path, schema.as_deref(), &relation);
            found.extend(relation.map(RelationRef::oid));
            ControlFlow::Continue(())
        }
        Err(error) => ControlFlow::Break(error),
    });
    match visited {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(found),
    }
}

fn user_type(ty: &PgType) -> Option<Oid> {
    match ty {
        PgType::Enum(oid) => Some(*oid),
        PgType::Array(element) => user_type(element),
        _ => None,
    }
}

/// Whether what is read leads to `view`.
fn reads(state: &State, depends_on: &[Oid], view: Oid) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = depends_on.to_vec();
    while let Some(oid) = waiting.pop() {
        if oid == view {
            return true;
        }
        if seen.insert(oid)
            && let Some(inner) = state.view(oid)
        {
            waiting.extend(&inner.depends_on);
        }
    }
    false
}

/// OR REPLACE keeps the columns there are and may add some after them.
fn check_replacement(before: &[(String, PgType)], after: &[(String, PgType)]) -> SqlResult<()> {
    let refuse = |message: String| SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message);
    if after.len() < before.len() {
        return Err(refuse("cannot drop columns from view".into()));
    }
    for ((old, old_type), (new, new_type)) in before.iter().zip(after) {
        if old != new {
            return Err(refuse(format!(
                "cannot change name of view column \"{old}\" to \"{new}\""
            ))
            .hint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead."));
        }
        if old_type != new_type {
            return Err(refuse(format!(
                "cannot change data type of view column \"{old}\" from {old_type} to {new_type}"
            )));
        }
    }
    Ok(())
}

/// A view with `*` would change its columns with those of what it reads: refused, as the view's
/// are settled when it is made.
pub(super) fn refuse_wildcards_over(state: &State, relation: Oid, name: &str) -> SqlResult<()> {
    let reader = state
        .views()
        .find(|view| view.depends_on.contains(&relation) && has_wildcard(&view.definition));
    match reader {
        None => Ok(()),
        Some(view) => Err(SqlError::unsupported(format!(
            "adding a column to \"{name}\" is not supported: view \"{}\" reads all its columns",
            view.name
        ))
        .hint("Define the view with a list of columns instead of \"*\".")),
    }
}

/// Whether the text selects `*` or `t.*`. Looks at what stands before the star, which tells them
/// from `count(*)` and most products; a doubtful one counts.
fn has_wildcard(definition: &str) -> bool {
    definition.match_indices('*').any(|(at, _)| {
        let before = definition[..at].trim_end();
        [",", ".", ")", "SELECT", "DISTINCT", "ALL"].iter().any(|end| before.ends_with(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_may_only_add_columns() {
        let column = |name: &str, ty: PgType| (name.to_owned(), ty);
        let before = [column("a", PgType::Int4), column("b", PgType::Text)];
        let message = |after: &[(String, PgType)]| {
            check_replacement(&before, after).map_err(|error| error.fields().message.clone())
        };
        let mut longer = before.to_vec();
        longer.push(column("c", PgType::Bool));
        assert_eq!(message(&longer), Ok(()));
        assert_eq!(message(&before[..1]).unwrap_err(), "cannot drop columns from view");
        let renamed = [column("x", PgType::Int4), column("b", PgType::Text)];
        assert_eq!(
            message(&renamed).unwrap_err(),
            "cannot change name of view column \"a\" to \"x\""
        );
        let retyped = [column("a", PgType::Int8), column("b", PgType::Text)];
        assert_eq!(
            message(&retyped).unwrap_err(),
            "cannot change data type of view column \"a\" from integer to bigint"
        );
    }

    #[test]
    fn a_star_that_names_columns_is_told_from_other_stars() {
        assert!(has_wildcard("SELECT * FROM t"));
        assert!(has_wildcard("SELECT 1, t.* FROM t"));
        assert!(has_wildcard("SELECT DISTINCT ON (a) * FROM t"));
        assert!(!has_wildcard("SELECT count(*), a * 2 FROM t"));
    }
}
