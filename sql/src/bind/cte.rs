//! WITH: named queries, bound once where they are defined and read by each reference.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::metadata::FieldMetadata;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, RecursiveQuery};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, arrow_types};
use sqlparser::ast::{self, Cte, SetExpr, SetOperator, SetQuantifier, TableAliasColumnDef};

use super::binder::Binder;
use super::names::fold;
use super::plan;
use super::query::{Rows, RowsColumn, Unknowns};
use super::recursion;
use super::scope::Scope;
use super::search_cycle::Trail;
use crate::bound::{Bound, OutputColumn};
use crate::casts::CastKind;
use crate::functions::{OrderBy, Typed};
use crate::table::ScanSource;

/// The named queries that can be seen.
#[derive(Default)]
pub(super) struct Ctes<'p> {
    parent: Option<&'p Ctes<'p>>,
    list: RefCell<Vec<Rc<CteDefinition>>>,
    /// At the top of a statement: what its modifying WITH queries do, and the calls that are made
    /// before it.
    changes: Option<RefCell<Vec<Bound>>>,
    /// Calls only.
    only_calls: bool,
}

pub(super) struct CteDefinition {
    pub name: String,
    pub rows: Rows,
    /// References so far; a volatile query may have one.
    pub references: Cell<u32>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// The name inside its own recursive term: what each reference reads.
    Recursive,
    /// A change without RETURNING: nothing to read.
    Silent,
}

impl<'p> Ctes<'p> {
    pub fn new(parent: Option<&'p Ctes<'p>>) -> Self {
        Self { parent, list: RefCell::default(), changes: None, only_calls: false }
    }

    /// For the top of a statement, where WITH queries may change rows.
    pub fn top() -> Self {
        Self { changes: Some(RefCell::default()), ..Self::default() }
    }

    /// For the top of a statement whose query may not change rows by WITH.
    pub fn top_for_calls() -> Self {
        Self { only_calls: true, ..Self::top() }
    }

    /// The changes that were bound, to be done before the statement itself.
    pub fn into_changes(self) -> Vec<Bound> {
        self.changes.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Where changes that come before the statement are noted; `None` where there are none.
    fn changes(&self) -> Option<&RefCell<Vec<Bound>>> {
        let top = if self.changes.is_some() { self } else { self.parent? };
        top.changes.as_ref().filter(|_| !top.only_calls)
    }

    /// Where calls that come before the statement are noted, at any depth.
    pub fn calls(&self) -> Option<&RefCell<Vec<Bound>>> {
        self.changes.as_ref().or_else(|| self.parent?.calls())
    }

    pub fn find(&self, name: &str) -> Option<Rc<CteDefinition>> {
        let own = self.list.borrow().iter().rev().find(|cte| cte.name == name).cloned();
        own.or_else(|| self.parent?.find(name))
    }

    /// Whether a recursive query's own rows can be seen here.
    pub fn in_recursion(&self) -> bool {
        self.list.borrow().iter().any(|cte| cte.kind == Kind::Recursive)
            || self.parent.is_some_and(Ctes::in_recursion)
    }

    fn add(&self, name: String, rows: Rows, kind: Kind) {
        let cte = CteDefinition { name, rows, references: Cell::new(0), kind };
        self.list.borrow_mut().push(Rc::new(cte));
    }
}

impl Binder<'_> {
    /// Binds the WITH queries of a query.
    pub fn with(
        &self,
        query: &ast::Query,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<()> {
        let Some(with) = &query.with else { return Ok(()) };
        for cte in self.in_order(with)? {
            let name = fold(&cte.alias.name);
            let is_recursive = with.recursive && recursion::mentions(&cte.query, &name);
            let clauses = self.search_cycle(cte)?;
            if clauses.is_some() && !is_recursive {
                let error = SqlError::new(SqlState::SYNTAX_ERROR, "WITH query is not recursive");
                return Err(self.at(error, self.ident_position(&cte.alias.name)));
            }
            if matches!(
                cte.query.body.as_ref(),
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
            ) {
                if is_recursive {
                    let message = format!(
                        "recursive query \"{name}\" must not contain data-modifying statements"
                    );
                    let error = SqlError::new(SqlState::INVALID_RECURSION, message);
                    return Err(self.at(error, self.ident_position(&cte.alias.name)));
                }
                let (rows, kind) = self.change(cte, &name, ctes)?;
                ctes.add(name, rows, kind);
                continue;
            }
            let rows = match recursive_terms(cte) {
                Some(terms) if is_recursive => self.recursive(cte, &name, terms, outer, ctes)?,
                None if is_recursive => {
                    return Err(self.at(
                        SqlError::new(
                            SqlState::INVALID_RECURSION,
                            format!(
                                "recursive query \"{name}\" does not have the form \
                                 non-recursive-term UNION [ALL] recursive-term"
                            ),
                        ),
                        self.ident_position(&cte.alias.name),
                    ));
                }
                _ => {
                    let rows = self.query(&cte.query, outer, ctes)?.with_arrival()?;
                    let rows = self.rename_columns(rows, &name, &cte.alias)?;
                    self.kept_where_needed(rows, &name, query, outer, ctes)?
                }
            };
            ctes.add(name, rows, Kind::Plain);
        }
        Ok(())
    }

    /// The queries as they can be bound: under RECURSIVE each may read any other.
    fn in_order<'w>(&self, with: &'w ast::With) -> SqlResult<Vec<&'w Cte>> {
        let mut names: Vec<String> = Vec::with_capacity(with.cte_tables.len());
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            if names.contains(&name) {
                return Err(self.at(
                    SqlError::new(
                        SqlState::DUPLICATE_ALIAS,
                        format!("WITH query name \"{name}\" specified more than once"),
                    ),
                    self.ident_position(&cte.alias.name),
                ));
            }
            names.push(name);
        }
        if !with.recursive {
            return Ok(with.cte_tables.iter().collect());
        }
        let reads: Vec<Vec<usize>> = (0..names.len())
            .map(|one| {
                let query = &with.cte_tables[one].query;
                let others = (0..names.len()).filter(|other| *other != one);
                others.filter(|other| recursion::mentions(query, &names[*other])).collect()
            })
            .collect();
        let mut rest: Vec<usize> = (0..names.len()).collect();
        let mut ordered = Vec::with_capacity(names.len());
        while let Some(first) = rest.first() {
            let is_free = |one: &usize| !reads[*one].iter().any(|other| rest.contains(other));
            let Some(next) = rest.iter().position(is_free) else {
                let error =
                    SqlError::unsupported("mutual recursion between WITH items is not implemented");
                let position = self.ident_position(&with.cte_tables[*first].alias.name);
                return Err(self.at(error, position));
            };
            ordered.push(&with.cte_tables[rest.remove(next)]);
        }
        Ok(ordered)
    }

    /// A WITH query that changes rows: noted for the statement, and what reads its result.
    fn change(&self, cte: &Cte, name: &str, ctes: &Ctes<'_>) -> SqlResult<(Rows, Kind)> {
        let position = self.ident_position(&cte.alias.name);
        let Some(changes) = ctes.changes() else {
            return Err(self.at(
                SqlError::unsupported(
                    "WITH clause containing a data-modifying statement must be at the top level",
                ),
                position,
            ));
        };
        let own = Ctes::new(Some(ctes));
        self.with(&cte.query, None, &own)?;
        let change = self.change_statement(cte.query.body.as_ref(), &own)?;
        let returned = match &change {
            Bound::Insert(insert) => insert.returning.as_ref(),
            Bound::Update(update) => update.returning.as_ref(),
            Bound::Delete(delete) => delete.returning.as_ref(),
            _ => None,
        };
        let columns = returned.map_or(&[][..], |returning| &returning.columns);
        let number = changes.borrow().len();
        let rows = self.returned(name, number, columns, position)?;
        let kind = if returned.is_some() { Kind::Plain } else { Kind::Silent };
        let rows = self.rename_columns(rows, name, &cte.alias)?;
        changes.borrow_mut().push(change);
        Ok((rows, kind))
    }

    /// The rows of what is done before the statement as `number` in order.
    pub(super) fn returned(
        &self,
        name: &str,
        number: usize,
        columns: &[OutputColumn],
        position: u32,
    ) -> SqlResult<Rows> {
        let fields: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| arrow_types::field(format!("c{at}"), &column.ty, true))
            .collect();
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let alias = format!("{}#{}", plan::safe_name(name), self.number());
        let scan = plan::scan(&alias, ScanSource::returned(number, schema))?;
        let read = columns
            .iter()
            .zip(scan.schema().columns())
            .map(|(column, read)| RowsColumn {
                name: column.name.clone(),
                column: read,
                ty: column.ty.clone(),
                origin: None,
                typmod: column.typmod,
                position,
            })
            .collect();
        Ok(Rows { plan: scan, columns: read, order: Vec::new(), arrival: Vec::new() })
    }

    /// What a reference to the named query reads: its plan, with column names of its own.
    pub fn read_cte(&self, cte: &CteDefinition) -> SqlResult<Rows> {
        let references = cte.references.get() + 1;
        cte.references.set(references);
        if references > 1 && plan::is_volatile(&cte.rows.plan)? {
            return Err(SqlError::unsupported(format!(
                "WITH query \"{}\" calls a volatile function and is referenced more than once",
                cte.name
            ))
            .hint("Store its rows in a temporary table first."));
        }
        if cte.kind == Kind::Silent {
            return Err(SqlError::unsupported(format!(
                "WITH query \"{}\" does not have a RETURNING clause",
                cte.name
            )));
        }
        if cte.kind == Kind::Recursive && references > 1 {
            return Err(SqlError::new(
                SqlState::INVALID_RECURSION,
                format!(
                    "recursive reference to query \"{}\" must not appear more than once",
                    cte.name
                ),
            ));
        }
        self.renamed(&cte.rows)
    }

    /// The same rows under fresh column names.
    pub fn renamed(&self, rows: &Rows) -> SqlResult<Rows> {
        self.count_nodes(&rows.plan)?;
        let mut exprs = Vec::with_capacity(rows.columns.len());
        let mut columns = Vec::with_capacity(rows.columns.len());
        for column in &rows.columns {
            let fresh = self.fresh(&column.name);
            exprs.push(Expr::Column(column.column.clone()).alias(&fresh.name));
            columns.push(RowsColumn { column: fresh, ..column.clone() });
        }
        let mut arrival = Vec::with_capacity(rows.arrival.len());
        for key in &rows.arrival {
            let known = rows.columns.iter().zip(&columns).find(
                |(old, _)| matches!(&key.value.expr, Expr::Column(column) if *column == old.column),
            );
            let column = match known {
                Some((_, new)) => new.column.clone(),
                None => {
                    let fresh = self.fresh("sort");
                    exprs.push(key.value.expr.clone().alias(&fresh.name));
                    fresh
                }
            };
            let value = Typed { expr: Expr::Column(column), ty: key.value.ty.clone() };
            arrival.push(OrderBy { value, ..key.clone() });
        }
        let plan = plan::project(rows.plan.clone(), exprs)?;
        Ok(Rows { plan, columns, order: Vec::new(), arrival })
    }

    /// Applies a list of column aliases; fewer than columns is fine.
    pub fn rename_columns(
        &self,
        mut rows: Rows,
        table: &str,
        alias: &ast::TableAlias,
    ) -> SqlResult<Rows> {
        let aliases: &[TableAliasColumnDef] = &alias.columns;
        if aliases.len() > rows.columns.len() {
            let position = self.ident_position(&alias.name);
            return Err(self.at(
                SqlError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    format!(
                        "WITH query \"{table}\" has {} columns available but {} columns specified",
                        rows.columns.len(),
                        aliases.len()
                    ),
                ),
                position,
            ));
        }
        for (column, alias) in rows.columns.iter_mut().zip(aliases) {
            column.name = fold(&alias.name);
        }
        Ok(rows)
    }

    /// `first UNION [ALL] step`, where the step reads the name.
    fn recursive(
        &self,
        cte: &Cte,
        name: &str,
        terms: (&SetExpr, &SetExpr, SetQuantifier),
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<Rows> {
        let (first, step, quantifier) = terms;
        recursion::check(name, &cte.query, first, step)?;
        let own = Ctes::new(Some(ctes));
        self.with(&cte.query, outer, &own)?;
        let first = self.body(first, outer, &own, Unknowns::Resolve)?.exact()?;
        let first = self.rename_columns(first, name, &cte.alias)?;
        let shown = first.columns.len();
        let trail = self.trail(cte, &first.columns)?;
        let first = match &trail {
            Some(trail) => self.begin_trail(first, trail)?,
            None => first,
        };

        // Every iteration reads the rows of the one before, under these names.
        let table = format!("{name}#{}", self.number());
        let first = self.with_type_metadata(first)?;
        let fields: Vec<_> = first
            .columns
            .iter()
            .map(|column| arrow_types::field(&column.column.name, &column.ty, true))
            .collect();
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
        let work = Arc::new(CteWorkTable::new(&table, schema));
        let scan = plan::scan(&table, provider_as_source(work))?;
        let mut read: Vec<RowsColumn> = first
            .columns
            .iter()
            .zip(scan.schema().columns())
            .map(|(column, read)| RowsColumn { column: read, origin: None, ..column.clone() })
            .collect();
        for (place, column) in read.iter_mut().skip(shown).enumerate() {
            column.name = Trail::hidden_name(place);
        }
        let inside = Ctes::new(Some(&own));
        let rows = Rows { plan: scan, columns: read, order: Vec::new(), arrival: Vec::new() };
        inside.add(name.to_string(), rows, Kind::Recursive);
        let step = match &trail {
            Some(trail) => {
                let step = trail.reading(step, name)?;
                let step = self.body(&step, outer, &inside, Unknowns::Keep)?.exact()?;
                self.go_on_trail(step, &first, trail)?
            }
            None => self.body(step, outer, &inside, Unknowns::Keep)?.exact()?,
        };
        if step.columns.len() != first.columns.len() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "each UNION query must have the same number of columns",
            ));
        }
        let step = self.cast_step(step, &first, name)?;
        if plan::scans_of(&step, &table)? > 1 {
            return Err(SqlError::unsupported(format!(
                "the recursive term of \"{name}\" reads it by a WITH query that it refers to more \
                 than once"
            ))
            .hint("Refer to that query once."));
        }
        let is_distinct = quantifier != SetQuantifier::All;
        let query = plan::df(RecursiveQuery::try_new(
            table,
            Arc::new(first.plan.clone()),
            Arc::new(step),
            is_distinct,
        ))?;
        let plan = LogicalPlan::RecursiveQuery(query);
        let outputs: Vec<Column> = plan.schema().columns();
        let columns: Vec<RowsColumn> = first
            .columns
            .into_iter()
            .zip(outputs)
            .map(|(column, output)| RowsColumn { column: output, origin: None, ..column })
            .collect();
        let columns = match &trail {
            Some(trail) => trail.shown(columns, shown),
            None => columns,
        };
        Ok(Rows { plan, columns, order: Vec::new(), arrival: Vec::new() })
    }

    /// The same rows, their fields telling the PostgreSQL type: both terms must do so alike.
    fn with_type_metadata(&self, rows: Rows) -> SqlResult<Rows> {
        let mut exprs = Vec::with_capacity(rows.columns.len());
        let mut columns = Vec::with_capacity(rows.columns.len());
        for column in &rows.columns {
            let fresh = self.fresh(&column.name);
            exprs.push(labelled(Expr::Column(column.column.clone()), &fresh.name, &column.ty));
            columns.push(RowsColumn { column: fresh, ..column.clone() });
        }
        Ok(Rows { plan: plan::project(rows.plan, exprs)?, columns, ..rows })
    }

    /// The step's columns in the types of the first term.
    fn cast_step(&self, step: Rows, first: &Rows, name: &str) -> SqlResult<LogicalPlan> {
        let mut exprs = Vec::with_capacity(step.columns.len());
        for (index, (own, wanted)) in step.columns.iter().zip(&first.columns).enumerate() {
            let value = Typed { expr: Expr::Column(own.column.clone()), ty: own.ty.clone() };
            let same = own.ty == PgType::Unknown
                || own.ty.without_modifier() == wanted.ty.without_modifier()
                || self
                    .common_type([(&wanted.ty, 0), (&own.ty, 0)].into_iter(), "UNION")
                    .is_ok_and(|ty| ty == wanted.ty);
            if !same {
                let error = SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "recursive query \"{name}\" column {} has type {} in non-recursive term \
                         but type {} overall",
                        index + 1,
                        wanted.ty,
                        own.ty.without_modifier()
                    ),
                )
                .hint("Cast the output of the non-recursive term to the correct type.");
                return Err(self.at(error, wanted.position));
            }
            let cast = self.cast_at(value, &wanted.ty, CastKind::Assignment, 0)?;
            exprs.push(labelled(cast.expr, &wanted.column.name, &wanted.ty));
        }
        plan::project(step.plan, exprs)
    }
}

/// An alias whose field carries the type.
fn labelled(expr: Expr, name: &str, ty: &PgType) -> Expr {
    let metadata = FieldMetadata::new(arrow_types::metadata(ty).into_iter().collect());
    expr.alias_with_metadata(name, Some(metadata))
}

/// The two sides of a UNION that a recursive query has to be.
fn recursive_terms(cte: &Cte) -> Option<(&SetExpr, &SetExpr, SetQuantifier)> {
    match cte.query.body.as_ref() {
        SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } => {
            Some((left, right, *set_quantifier))
        }
        _ => None,
    }
}
