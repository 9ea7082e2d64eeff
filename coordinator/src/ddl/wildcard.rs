//! `SELECT *` in a view's query becomes the columns that it means when the view is made, so that
//! tables can be added to later.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use satsuma_sql::parse;
use sqlparser::ast::{
    self, Expr, JoinConstraint, JoinOperator, SelectItem, SelectItemQualifiedWildcardKind,
    TableFactor,
};

use super::names;
use super::stored_text::{ident, without_parentheses};
use crate::catalog::{RelationRef, State};

/// Writes out the stars whose meaning is plain: those over tables and views under ON joins. Others
/// stay.
pub fn expand(state: &State, search_path: &[String], query: &mut ast::Query) {
    let mut ctes = CteNames(BTreeSet::new());
    let _ = ast::VisitMut::visit(query, &mut ctes);
    let mut expand = Expand { state, search_path, ctes: ctes.0 };
    let _ = ast::VisitMut::visit(query, &mut expand);
}

/// Names that WITH gives anywhere: they may hide relations.
struct CteNames(BTreeSet<String>);

impl ast::VisitorMut for CteNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(tables.map(|table| names::fold(&table.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Expand<'a> {
    state: &'a State,
    search_path: &'a [String],
    ctes: BTreeSet<String>,
}

/// What a table in FROM is called, and its columns.
type Source = (String, Vec<String>);

impl Expand<'_> {
    /// The tables of FROM in order; `None` where one is of another kind.
    fn sources(&self, from: &[ast::TableWithJoins]) -> Option<Vec<Source>> {
        let mut sources = Vec::new();
        for item in from {
            sources.push(self.source(&item.relation)?);
            for join in &item.joins {
                let constraint = match &join.join_operator {
                    JoinOperator::Join(constraint)
                    | JoinOperator::Inner(constraint)
                    | JoinOperator::Left(constraint)
                    | JoinOperator::LeftOuter(constraint)
                    | JoinOperator::Right(constraint)
                    | JoinOperator::RightOuter(constraint)
                    | JoinOperator::FullOuter(constraint)
                    | JoinOperator::CrossJoin(constraint) => constraint,
                    _ => return None,
                };
                if !matches!(constraint, JoinConstraint::On(_) | JoinConstraint::None) {
                    return None;
                }
                sources.push(self.source(&join.relation)?);
            }
        }
        Some(sources)
    }

    fn source(&self, factor: &TableFactor) -> Option<Source> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
        let (schema, relation) = names::split(name).ok()?;
        if schema.is_none() && self.ctes.contains(&relation) {
            return None;
        }
        let found = self.state.relation_by_name(self.search_path, schema.as_deref(), &relation)?;
        let columns = match found {
            RelationRef::Table(id) => {
                let columns = self.state.table(id)?.shape.columns.iter();
                columns.map(|column| column.name.clone()).collect()
            }
            RelationRef::View(oid) => {
                self.state.view(oid)?.columns.iter().map(|(name, _)| name.clone()).collect()
            }
            RelationRef::Index(_) | RelationRef::Sequence(_) => return None,
        };
        match alias {
            Some(alias) if !alias.columns.is_empty() => None,
            Some(alias) => Some((names::fold(&alias.name), columns)),
            None => Some((relation, columns)),
        }
    }
}

fn items(source: &Source) -> impl Iterator<Item = SelectItem> + '_ {
    let (alias, columns) = source;
    columns.iter().map(move |column| {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![ident(alias), ident(column)]))
    })
}

/// The source whose row a name stands for: one that no column has.
fn row_of<'s>(row: &Expr, sources: &'s [Source]) -> Option<&'s Source> {
    let Expr::Identifier(name) = row else { return None };
    let name = names::fold(name);
    let is_column = sources.iter().any(|(_, columns)| columns.contains(&name));
    sources.iter().find(|(alias, _)| *alias == name && !is_column)
}

impl ast::VisitorMut for Expand<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let Some(sources) = self.sources(&select.from) else { return ControlFlow::Continue(()) };
        let mut expanded = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match &item {
                SelectItem::UnnamedExpr(expr) => {
                    let row = parse::all_fields(expr).map(without_parentheses);
                    match row.and_then(|row| row_of(row, &sources)) {
                        Some(source) => expanded.extend(items(source)),
                        None => expanded.push(item),
                    }
                }
                SelectItem::Wildcard(_) => expanded.extend(sources.iter().flat_map(items)),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let wanted = match name.0.as_slice() {
                        [one] => one.as_ident().map(names::fold),
                        _ => None,
                    };
                    let source = sources.iter().find(|(alias, _)| Some(alias) == wanted.as_ref());
                    match source {
                        Some(source) => expanded.extend(items(source)),
                        None => expanded.push(item),
                    }
                }
                _ => expanded.push(item),
            }
        }
        select.projection = expanded;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::fixture;

    #[test]
    fn stars_become_columns() {
        let mut state = fixture::cluster(1);
        fixture::create_local(&mut state, "t");
        let expanded = |sql: &str| {
            let parsed = satsuma_sql::parse::parse(sql).unwrap();
            let satsuma_sql::parse::Statement::Sql(statement) = &parsed[0].statement else {
                panic!("{sql}")
            };
            let ast::Statement::Query(query) = statement.as_ref() else { panic!("{sql}") };
            let mut query = query.as_ref().clone();
            expand(&state, &["public".into()], &mut query);
            query.to_string()
        };
        assert_eq!(expanded("SELECT * FROM t"), "SELECT t.id, t.company_id FROM t");
        assert_eq!(
            expanded("SELECT a.*, count(*) FROM t AS a GROUP BY 1, 2"),
            "SELECT a.id, a.company_id, count(*) FROM t AS a GROUP BY 1, 2"
        );
        assert_eq!(expanded("SELECT (a).* FROM t AS a"), "SELECT a.id, a.company_id FROM t AS a");
        let hidden = "WITH t AS (SELECT 1 AS x) SELECT * FROM t";
        assert_eq!(expanded(hidden), hidden);
    }
}
