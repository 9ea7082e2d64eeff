//! `SELECT *` in a query that is stored: the columns that it means when the query is made, so that
//! what it reads may get more of them later.
//!
//! The binder knows what a star means. It notes that by the star's place in the text, and the
//! parser's tree is rewritten by these notes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use satsuma_common::SqlResult;
use sqlparser::ast::{self, Expr, Ident, JoinConstraint, JoinOperator, SelectItem, Spanned};
use sqlparser::tokenizer::Span;

use super::binder::Binder;
use super::names::fold;
use super::scope::{Entry, Scope};
use super::{BindContext, ScopeColumn};
use crate::functions::quote_ident;
use crate::parse::{Parsed, Source, Statement};

/// Line and column of an item of a select list.
type Place = (u64, u64);

#[derive(Debug, Default)]
pub(super) struct Stars {
    /// The columns that they stand for, where all of them have names.
    columns: RefCell<BTreeMap<Place, Option<Vec<SelectItem>>>>,
    /// The columns that natural joins merge, by where the right side begins.
    merged: RefCell<BTreeMap<Place, Vec<Ident>>>,
}

/// Writes out the stars of a query from `source`. Those stay whose columns have no names of their
/// own.
pub fn expand_stars(
    query: &mut ast::Query,
    source: &Arc<Source>,
    context: &BindContext<'_>,
) -> SqlResult<()> {
    let mut binder = Binder::new(context, source.clone());
    let stars = Rc::new(Stars::default());
    binder.stars = Some(stars.clone());
    binder.checks_access = false;
    binder.keeps_queries.set(false);
    let statement = ast::Statement::Query(Box::new(query.clone()));
    let parsed = Parsed {
        statement: Statement::Sql(Box::new(statement)),
        text: String::new(),
        offset: 0,
        source: source.clone(),
        long_names: Vec::new(),
    };
    super::bind_with(&binder, &parsed)?;
    let (columns, merged) = (stars.columns.borrow(), stars.merged.borrow());
    let _ = ast::VisitMut::visit(query, &mut Rewrite { columns: &columns, merged: &merged });
    Ok(())
}

fn start_of(span: Span) -> Option<Place> {
    (span.start.line > 0).then_some((span.start.line, span.start.column))
}

fn place(item: &SelectItem) -> Option<Place> {
    start_of(match item {
        SelectItem::QualifiedWildcard(
            ast::SelectItemQualifiedWildcardKind::ObjectName(name),
            _,
        ) => name.span(),
        _ => item.span(),
    })
}

struct Rewrite<'a> {
    columns: &'a BTreeMap<Place, Option<Vec<SelectItem>>>,
    merged: &'a BTreeMap<Place, Vec<Ident>>,
}

impl Rewrite<'_> {
    fn join(&self, join: &mut ast::Join) {
        let noted = start_of(join.relation.span()).and_then(|place| self.merged.get(&place));
        let (Some(names), Some(constraint)) = (noted, constraint_of(&mut join.join_operator))
        else {
            return;
        };
        if !matches!(constraint, JoinConstraint::Natural) {
            return;
        }
        *constraint = match names.is_empty() {
            false => JoinConstraint::Using(
                names.iter().map(|name| ast::ObjectName::from(vec![name.clone()])).collect(),
            ),
            true => JoinConstraint::On(Expr::Value(ast::Value::Boolean(true).into())),
        };
        if let (true, JoinOperator::Join(_) | JoinOperator::Inner(_)) =
            (names.is_empty(), &join.join_operator)
        {
            join.join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
        }
    }
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

impl ast::VisitorMut for Rewrite<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let items = std::mem::take(&mut select.projection);
        for item in items {
            let noted = place(&item).and_then(|place| self.columns.get(&place));
            match noted {
                Some(Some(columns)) => select.projection.extend(columns.iter().cloned()),
                _ => select.projection.push(item),
            }
        }
        select.from.iter_mut().flat_map(|item| &mut item.joins).for_each(|join| self.join(join));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::NestedJoin { table_with_joins, .. } = factor {
            table_with_joins.joins.iter_mut().for_each(|join| self.join(join));
        }
        ControlFlow::Continue(())
    }
}

impl Binder<'_> {
    /// Notes that a star stands for the columns of these entries.
    pub(super) fn note_star<'e>(
        &self,
        item: &SelectItem,
        entries: impl Iterator<Item = &'e Entry>,
        scope: &Scope<'_>,
    ) {
        let (Some(stars), Some(place)) = (&self.stars, place(item)) else { return };
        let columns = entries.flat_map(|entry| {
            let shown =
                entry.columns.iter().filter(|column| !super::search_cycle::is_hidden(&column.name));
            shown.map(move |column| spelled(entry, column, scope))
        });
        let columns: Option<Vec<SelectItem>> = columns.collect();
        stars.columns.borrow_mut().insert(place, columns);
    }

    /// Notes what columns a natural join merges.
    pub(super) fn note_natural(&self, right: &ast::TableFactor, names: &[String]) {
        if let (Some(stars), Some(place)) = (&self.stars, start_of(right.span())) {
            let names = names.iter().map(|name| written(name)).collect();
            stars.merged.borrow_mut().insert(place, names);
        }
    }

    /// The same of `(row).*`, where the row is that of an entry.
    pub(super) fn note_row(&self, item: &SelectItem, row: &Expr, scope: &Scope<'_>) {
        let mut row = row;
        while let Expr::Nested(inner) = row {
            row = inner;
        }
        let Expr::Identifier(name) = row else { return };
        if self.stars.is_none() || matches!(scope.column(name, 0), Ok(Some(_)) | Err(_)) {
            return;
        }
        if let Ok(Some((entry, _))) = scope.relation(None, &fold(name), 0) {
            self.note_star(item, std::iter::once(entry), scope);
        }
    }
}

/// How a column of an entry is named; `None` where no name is its alone.
fn spelled(entry: &Entry, column: &ScopeColumn, scope: &Scope<'_>) -> Option<SelectItem> {
    // A join's columns are those of its sides, but for what USING merges.
    let qualified = std::iter::once(entry).chain(&scope.entries).find(|candidate| {
        let same = |other: &ScopeColumn| other.column == column.column && other.name == column.name;
        let named = candidate.columns.iter().filter(|other| other.name == column.name);
        // Tables of several schemas may go by one name.
        let alike = scope.entries.iter().filter(|other| other.alias == candidate.alias);
        !candidate.alias.is_empty()
            && candidate.by_relation
            && alike.count() <= 1
            && candidate.columns.iter().any(same)
            && named.count() == 1
    });
    let expr = match qualified {
        Some(entry) => Expr::CompoundIdentifier(vec![written(&entry.alias), written(&column.name)]),
        None => {
            let bare = scope.entries.iter().filter(|entry| entry.by_column);
            let named = bare.flat_map(|entry| &entry.columns);
            if named.filter(|other| other.name == column.name).count() != 1 {
                return None;
            }
            Expr::Identifier(written(&column.name))
        }
    };
    Some(SelectItem::UnnamedExpr(expr))
}

fn written(name: &str) -> Ident {
    match quote_ident(name) == name {
        true => Ident::new(name),
        false => Ident::with_quote('"', name),
    }
}
