//! What names mean at a place of a query: the entries of FROM, of enclosing queries, and WITH.
//!
//! Every column of a plan has a name that no other column of the statement has. A base table's
//! columns are qualified by an alias made up for that range-table entry; computed columns are
//! named after what users call them plus a number (`count#7`). So no join can mix columns up, and
//! a reference to an outer query's column is known by its name alone.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, Location, Span};
use datafusion::logical_expr::Expr;
use satsuma_common::{ColumnId, PgType, SqlError, SqlResult, SqlState, TableId, arrow_types};
use sqlparser::ast::Ident;

use super::clause::Clause;
use super::names::fold;
use super::plan;
use crate::catalog_view::TableInfo;
use crate::functions::{OrderBy, Typed};

/// A column of a range-table entry.
#[derive(Clone, Debug)]
pub struct ScopeColumn {
    pub name: String,
    /// The column of the plan.
    pub column: Column,
    pub ty: PgType,
    pub origin: Option<(TableId, ColumnId)>,
    /// See [`crate::bound::OutputColumn::typmod`].
    pub typmod: i32,
}

/// One entry of FROM as names see it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Empty for a join without an alias: only its columns can be named.
    pub alias: String,
    pub schema: Option<String>,
    pub columns: Vec<ScopeColumn>,
    /// `alias.column` finds it.
    pub by_relation: bool,
    /// `column` finds it.
    pub by_column: bool,
    /// Seen only by what is LATERAL to its right.
    pub lateral_only: bool,
    /// `false`: named from the right side of a join that LATERAL cannot reach.
    pub lateral_ok: bool,
    /// On the side of an outer join that may have no row.
    pub optional: bool,
    /// A function of one column: as a value it is that column, and no record.
    pub scalar: bool,
    pub table: Option<Arc<TableInfo>>,
    /// What `tableoid` says of each row.
    pub oid: Option<u32>,
}

impl Entry {
    pub fn new(alias: impl Into<String>, columns: Vec<ScopeColumn>) -> Self {
        Self {
            alias: alias.into(),
            schema: None,
            columns,
            by_relation: true,
            by_column: true,
            lateral_only: false,
            lateral_ok: true,
            optional: false,
            scalar: false,
            table: None,
            oid: None,
        }
    }

    /// A table under its own name, without its columns.
    pub fn of_table(info: &Arc<TableInfo>) -> Self {
        Self {
            schema: Some(info.shape.schema_name.clone()),
            table: Some(info.clone()),
            oid: Some(info.shape.table.0),
            ..Self::new(info.shape.name.clone(), Vec::new())
        }
    }
}

/// The names of one query level.
#[derive(Debug, Default)]
pub struct Scope<'p> {
    pub parent: Option<&'p Scope<'p>>,
    pub entries: Vec<Entry>,
    /// The order that rows of FROM come in, as far as it has one.
    pub arrival: Vec<OrderBy>,
    /// Columns of enclosing levels that this level or one within it used.
    pub outer_columns: RefCell<Vec<Column>>,
    /// Where the subquery stands that is being bound within this level.
    pub asked_from: Cell<Clause>,
    /// Aggregates of this level that subqueries call, and the columns that they are to be.
    pub aggregates: RefCell<Vec<(Column, Expr)>>,
}

/// What a reference to a plan's column is one to, and how many levels up.
pub enum Reference {
    Column(usize),
    Aggregate(usize),
}

/// What a column name was found to be.
pub struct Found<'s> {
    pub column: &'s ScopeColumn,
    /// Query levels up.
    pub level: usize,
}

impl<'p> Scope<'p> {
    /// The scope column that a plan's column is, on this level or an outer one.
    pub fn of_plan_column(&self, column: &Column) -> Option<&ScopeColumn> {
        let here = self.entries.iter().flat_map(|entry| &entry.columns);
        let found = here.into_iter().find(|candidate| candidate.column == *column);
        found.or_else(|| self.parent?.of_plan_column(column))
    }

    pub fn new(parent: Option<&'p Scope<'p>>, entries: Vec<Entry>) -> Self {
        Self { parent, entries, ..Self::default() }
    }

    /// Entries of a FROM clause as those to their right see them, who stand in `clause`.
    pub fn lateral(parent: Option<&'p Scope<'p>>, entries: &[Entry], clause: Clause) -> Self {
        Self { asked_from: Cell::new(clause), ..Self::new(parent, entries.to_vec()) }
    }

    /// The level that is so many further out.
    pub fn outwards(&self, levels: usize) -> &Scope<'p> {
        let mut scope = self;
        for _ in 0..levels {
            match scope.parent {
                Some(parent) => scope = parent,
                None => break,
            }
        }
        scope
    }

    fn has(&self, column: &Column) -> bool {
        self.entries.iter().flat_map(|entry| &entry.columns).any(|own| own.column == *column)
    }

    pub fn level_of(&self, column: &Column) -> Option<Reference> {
        let mut scope = self;
        for level in 0.. {
            if scope.has(column) {
                return Some(Reference::Column(level));
            }
            if scope.aggregates.borrow().iter().any(|(known, _)| known == column) {
                return Some(Reference::Aggregate(level));
            }
            scope = scope.parent?;
        }
        None
    }

    /// An expression from a level within as one of this level.
    pub fn own(&self, expr: Expr) -> SqlResult<Expr> {
        plan::replace(expr, |node| {
            Ok(match node {
                Expr::OuterReferenceColumn(_, column) if self.has(column) => {
                    Some(Expr::Column(column.clone()))
                }
                _ => None,
            })
        })
    }

    /// `name` alone.
    pub fn column(&self, ident: &Ident, position: u32) -> SqlResult<Option<Found<'_>>> {
        let name = fold(ident);
        let mut level = 0;
        let mut scope = Some(self);
        while let Some(here) = scope {
            let mut found: Option<Found<'_>> = None;
            for entry in here.entries.iter().filter(|entry| entry.by_column) {
                // A LATERAL-only entry is of this level, but seen from inside FROM.
                for column in entry.columns.iter().filter(|column| column.name == name) {
                    if found.is_some() {
                        return Err(ambiguous_column(&name).at(position));
                    }
                    check_lateral(entry, &name, position)?;
                    found = Some(Found { column, level });
                }
            }
            if found.is_some() {
                return Ok(found);
            }
            scope = here.parent;
            level += 1;
        }
        Ok(None)
    }

    /// The entry that `relation` names, innermost first.
    pub fn relation(
        &self,
        schema: Option<&str>,
        relation: &str,
        position: u32,
    ) -> SqlResult<Option<(&Entry, usize)>> {
        let mut level = 0;
        let mut scope = Some(self);
        while let Some(here) = scope {
            let mut found: Option<&Entry> = None;
            for entry in here.entries.iter().filter(|entry| entry.by_relation) {
                let schema_fits = match schema {
                    None => true,
                    Some(schema) => entry.schema.as_deref() == Some(schema),
                };
                if entry.alias == relation && schema_fits {
                    if found.is_some() {
                        return Err(SqlError::new(
                            SqlState::DUPLICATE_ALIAS,
                            format!("table reference \"{relation}\" is ambiguous"),
                        )
                        .at(position));
                    }
                    check_lateral(entry, relation, position)?;
                    found = Some(entry);
                }
            }
            if let Some(entry) = found {
                return Ok(Some((entry, level)));
            }
            scope = here.parent;
            level += 1;
        }
        Ok(None)
    }

    /// The plan expression of a found column: an outer reference if it is of an outer level.
    pub fn reference(&self, column: &ScopeColumn, level: usize, position: u32) -> Typed {
        let mut plain = column.column.clone();
        if position > 0 {
            plain.spans.add_span(span(position));
        }
        if level == 0 {
            return Typed { expr: Expr::Column(plain), ty: column.ty.clone() };
        }
        let mut scope = Some(self);
        for _ in 0..level {
            let Some(here) = scope else { break };
            let mut used = here.outer_columns.borrow_mut();
            if !used.contains(&plain) {
                used.push(plain.clone());
            }
            scope = here.parent;
        }
        let field = arrow_types::field_ref(&plain.name, &column.ty, true);
        Typed { expr: Expr::OuterReferenceColumn(field, plain), ty: column.ty.clone() }
    }

    /// Every name that could have been meant, for hints.
    pub fn candidates(&self) -> impl Iterator<Item = (&Entry, &ScopeColumn)> {
        self.entries
            .iter()
            .filter(|entry| !entry.alias.is_empty())
            .flat_map(|entry| entry.columns.iter().map(move |column| (entry, column)))
    }
}

fn check_lateral(entry: &Entry, name: &str, position: u32) -> SqlResult<()> {
    if entry.lateral_only && !entry.lateral_ok {
        return Err(SqlError::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            format!("invalid reference to FROM-clause entry for table \"{name}\""),
        )
        .detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference.")
        .at(position));
    }
    Ok(())
}

pub fn ambiguous_column(name: &str) -> SqlError {
    SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{name}\" is ambiguous"))
}

/// A span that carries a position of the query string in its column.
pub fn span(position: u32) -> Span {
    let location = Location { line: 0, column: u64::from(position) };
    Span::new(location, location)
}

/// The position that [`span`] put there.
pub fn position_of(column: &Column) -> Option<u32> {
    let location = column.spans.first()?.start;
    (location.line == 0).then(|| u32::try_from(location.column).ok()).flatten()
}

/// Outer references to columns of `schema` as plain columns.
pub fn outer_reference_to_self(expr: Expr, schema: &DFSchema) -> SqlResult<Expr> {
    plan::replace(expr, |node| {
        Ok(match node {
            Expr::OuterReferenceColumn(_, column) if schema.has_column(column) => {
                Some(Expr::Column(column.clone()))
            }
            _ => None,
        })
    })
}
