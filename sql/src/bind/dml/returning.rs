//! RETURNING: a plan over the changed rows, and what else the source must yield for it.

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use satsuma_common::SqlResult;
use sqlparser::ast::SelectItem;

use super::{Binder, input_column, input_scan};
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::Context;
use crate::bind::plan;
use crate::bind::scope::{Entry, Scope, ScopeColumn};
use crate::bind::select::origin;
use crate::bind::window::NamedWindows;
use crate::bound::{OutputColumn, Returning};
use crate::catalog_view::TableInfo;

impl Binder<'_> {
    /// `target` is the changed table as the statement names it, `sources` its other entries; the columns of theirs that RETURNING uses
    /// are given back, for the source to yield.
    pub(super) fn returning(
        &self,
        items: &[SelectItem],
        table: &TableInfo,
        target: &Entry,
        sources: &[Entry],
        ctes: &Ctes<'_>,
    ) -> SqlResult<(Returning, Vec<Column>)> {
        let mut entries = vec![input_entry(table, target)];
        entries.extend_from_slice(sources);
        let scope = Scope::new(None, entries);
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Returning);
        let mut bound = self.select_items(items, cx)?;

        let mut extras: Vec<&ScopeColumn> = Vec::new();
        for item in &mut bound {
            item.value = self.resolve_unknown(item.value.clone())?;
            for used in plan::columns_of(&item.value.expr) {
                let found = sources
                    .iter()
                    .flat_map(|entry| &entry.columns)
                    .find(|column| column.column == used);
                if let Some(column) = found
                    && !extras.iter().any(|known| known.column == column.column)
                {
                    extras.push(column);
                }
            }
        }
        let names: Vec<(Column, String)> = extras
            .iter()
            .map(|column| (column.column.clone(), self.fresh(&column.name).name))
            .collect();
        let mut fields: Vec<_> =
            table.shape.columns.iter().map(|c| (c.name.clone(), c.ty.clone())).collect();
        for (column, (_, name)) in extras.iter().zip(&names) {
            fields.push((name.clone(), column.ty.clone()));
        }
        let mut exprs = Vec::with_capacity(bound.len());
        let mut columns = Vec::with_capacity(bound.len());
        for item in bound {
            columns.push(OutputColumn {
                origin: origin(&item.value, &scope),
                typmod: item.typmod,
                name: item.name,
                ty: item.value.ty,
            });
            exprs.push(plan::replace(item.value.expr, |node| {
                let Expr::Column(column) = node else { return Ok(None) };
                let found = names.iter().find(|(known, _)| known == column);
                Ok(found.map(|(_, name)| Expr::Column(input_column(name))))
            })?);
        }
        let (input, exprs) = self.attach(input_scan(&fields)?, exprs)?;
        let named = exprs
            .into_iter()
            .zip(&columns)
            .map(|(expr, column)| expr.alias(self.fresh(&column.name).name))
            .collect();
        let returning = Returning { plan: plan::project(input, named)?, columns };
        Ok((returning, extras.into_iter().map(|column| column.column.clone()).collect()))
    }
}

/// The changed table's columns as the input yields them, under the names of `target`.
pub(super) fn input_entry(table: &TableInfo, target: &Entry) -> Entry {
    let columns = table
        .shape
        .columns
        .iter()
        .map(|column| ScopeColumn {
            name: column.name.clone(),
            column: input_column(&column.name),
            ty: column.ty.clone(),
            origin: Some((table.shape.table, column.id)),
            typmod: column.ty.typmod(),
        })
        .collect();
    Entry { columns, ..target.clone() }
}
