//! INSERT, UPDATE, DELETE: a plan of the rows to write, and of what RETURNING gives.

mod assignment;
mod conflict;
mod delete;
mod insert;
mod merge;
mod returning;
mod update;

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{Oid, PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::plan;
use super::scope::{Entry, Scope, ScopeColumn};
use super::window::NamedWindows;
use crate::casts::CastKind;
use crate::catalog_view::TableInfo;
use crate::functions::{SequenceAccess, Typed};
use crate::parse::Overriding;
use crate::table::{INPUT, ScanSource};

/// Sequences as identity columns draw from them: for whoever may insert.
#[derive(Debug)]
struct OfIdentity(Arc<dyn SequenceAccess>);

impl SequenceAccess for OfIdentity {
    fn next_value(&self, sequence: Oid) -> SqlResult<i64> {
        self.0.next_of_identity(sequence)
    }

    fn next_of_identity(&self, sequence: Oid) -> SqlResult<i64> {
        self.0.next_of_identity(sequence)
    }

    fn current_value(&self, sequence: Oid) -> SqlResult<i64> {
        self.0.current_value(sequence)
    }

    fn set_value(&self, sequence: Oid, value: i64, is_called: bool) -> SqlResult<i64> {
        self.0.set_value(sequence, value, is_called)
    }

    fn last_value(&self) -> SqlResult<i64> {
        self.0.last_value()
    }
}

/// A write to a column that only takes its own value.
const GENERATED_ALWAYS: SqlState = SqlState(*b"428C9");

/// DEFAULT in place of a value.
pub(super) fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

impl Binder<'_> {
    /// A column's default: its expression, or NULL.
    pub(super) fn default_value(&self, table: &TableInfo, index: usize) -> SqlResult<Typed> {
        let column = column_at(table, index)?;
        match table.defaults.get(index).and_then(Option::as_ref) {
            Some(text) => {
                let (expr, source) = crate::parse::parse_expression(text)?;
                let mut binder = self.for_stored_text(source);
                if table.identity.get(index).copied().flatten().is_some() {
                    binder.env.sequences = Arc::new(OfIdentity(binder.env.sequences));
                }
                let (scope, ctes) = (Scope::default(), Ctes::default());
                let windows = NamedWindows::default();
                let cx = Context::new(&scope, &ctes, &windows, Clause::Default);
                let typed = binder.expr(&expr, cx)?;
                binder.cast_at(typed, &column.ty, CastKind::Assignment, 0)
            }
            None => Typed::null(column.ty.clone()),
        }
    }

    /// A value for a column, cast as an assignment.
    pub(super) fn assign(
        &self,
        value: Typed,
        table: &TableInfo,
        index: usize,
        position: u32,
    ) -> SqlResult<Expr> {
        let column = column_at(table, index)?;
        let from = value.ty.clone();
        let cast = self.cast_at(value, &column.ty, CastKind::Assignment, position);
        let cast = cast.map_err(|error| {
            if error.state() != SqlState::CANNOT_COERCE {
                return error;
            }
            self.at(
                SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "column \"{}\" is of type {} but expression is of type {}",
                        column.name,
                        column.ty.without_modifier(),
                        from.without_modifier()
                    ),
                )
                .hint("You will need to rewrite or cast the expression."),
                position,
            )
        })?;
        Ok(cast.expr)
    }

    /// Refuses a value for a column that INSERT may give none; `true` where one is given and does
    /// not count.
    fn check_insertable(
        &self,
        table: &TableInfo,
        index: usize,
        overriding: Overriding,
    ) -> SqlResult<bool> {
        match (overriding, table.identity.get(index).copied().flatten()) {
            (Overriding::System, Some(_)) => Ok(false),
            (Overriding::User, Some(_)) => Ok(true),
            _ => self.check_writable(table, index, true).map(|()| false),
        }
    }

    /// Refuses a value for a generated column, or for an identity column that takes none.
    fn check_writable(&self, table: &TableInfo, index: usize, insert: bool) -> SqlResult<()> {
        let name = &column_at(table, index)?.name;
        let message = if insert {
            format!("cannot insert a non-DEFAULT value into column \"{name}\"")
        } else {
            format!("column \"{name}\" can only be updated to DEFAULT")
        };
        let error = SqlError::new(GENERATED_ALWAYS, message);
        if table.generated.get(index).is_some_and(Option::is_some) {
            let detail = format!("Column \"{name}\" is a generated column.");
            return Err(error.detail(detail));
        }
        if table.identity.get(index).copied().flatten() == Some(true) {
            let detail =
                format!("Column \"{name}\" is an identity column defined as GENERATED ALWAYS.");
            let error = error.detail(detail);
            let error =
                if insert { error.hint("Use OVERRIDING SYSTEM VALUE to override.") } else { error };
            return Err(error);
        }
        Ok(())
    }

    /// Computes generated columns over a plan whose columns at `values` are the table's.
    pub(super) fn generate(
        &self,
        plan: LogicalPlan,
        table: &TableInfo,
        mut values: Vec<Column>,
        keep: Vec<Column>,
    ) -> SqlResult<(LogicalPlan, Vec<Column>)> {
        if table.generated.iter().all(Option::is_none) {
            return Ok((plan, values));
        }
        let entry = Entry::new(
            table.shape.name.clone(),
            table
                .shape
                .columns
                .iter()
                .zip(&values)
                .map(|(column, value)| ScopeColumn {
                    name: column.name.clone(),
                    column: value.clone(),
                    ty: column.ty.clone(),
                    origin: None,
                    typmod: column.ty.typmod(),
                })
                .collect(),
        );
        let scope = Scope::new(None, vec![entry]);
        let (ctes, windows) = (Ctes::default(), NamedWindows::default());
        let cx = Context::new(&scope, &ctes, &windows, Clause::Generated);
        let mut exprs: Vec<Expr> = keep.into_iter().map(Expr::Column).collect();
        let mut outputs = Vec::with_capacity(values.len());
        for (index, value) in values.drain(..).enumerate() {
            match table.generated.get(index).and_then(Option::as_ref) {
                None => {
                    exprs.push(Expr::Column(value.clone()));
                    outputs.push(value);
                }
                Some(text) => {
                    let (expr, source) = crate::parse::parse_expression(text)?;
                    let binder = self.for_stored_text(source);
                    let typed = binder.expr(&expr, cx)?;
                    let expr = binder.assign(typed, table, index, 0)?;
                    let column = self.fresh(&column_at(table, index)?.name);
                    exprs.push(expr.alias(&column.name));
                    outputs.push(column);
                }
            }
        }
        Ok((plan::project(plan, exprs)?, outputs))
    }

    /// Position of a column that a statement names.
    fn column_index(&self, table: &TableInfo, ident: &ast::Ident) -> SqlResult<usize> {
        let name = super::names::fold(ident);
        let found = table.shape.columns.iter().position(|column| column.name == name);
        found.ok_or_else(|| {
            self.at(
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{name}\" of relation \"{}\" does not exist",
                        table.shape.name
                    ),
                ),
                self.ident_position(ident),
            )
        })
    }

    /// One row per changed row: a join may have found several for it, and the first counts.
    fn first_per_row(
        &self,
        plan: LogicalPlan,
        table: &TableInfo,
        target: &Entry,
        key: &Column,
    ) -> SqlResult<LogicalPlan> {
        // A key is unique within its shard; the distribution column tells shards apart.
        let mut partition = vec![Expr::Column(key.clone())];
        if let crate::catalog_view::Distribution::Hash(id) = table.distribution
            && let Some(index) = table.shape.position(id)
        {
            partition.push(Expr::Column(target.columns[index].column.clone()));
        }
        let number = plan::row_number(partition, Vec::new())?;
        plan::keep_rows(plan, number, 0, Some(1))
    }
}

fn column_at(table: &TableInfo, index: usize) -> SqlResult<&satsuma_common::table::Column> {
    table.shape.columns.get(index).ok_or_else(|| {
        SqlError::internal(format!("table {} has no column {index}", table.shape.name))
    })
}

/// A scan of rows handed in, of columns with the given names and types.
pub(super) fn input_scan(columns: &[(String, PgType)]) -> SqlResult<LogicalPlan> {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, ty)| satsuma_common::arrow_types::field(name, ty, true))
        .collect();
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    plan::scan(INPUT, ScanSource::input(schema))
}

pub(super) fn input_column(name: &str) -> Column {
    Column::new(Some(INPUT), name)
}
