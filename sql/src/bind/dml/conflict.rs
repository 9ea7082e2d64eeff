//! ON CONFLICT.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction_owned;
use satsuma_common::index::{IndexKeyShape, IndexShape, IndexedValue};
use satsuma_common::{ColumnId, Oid, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, ConflictTarget, DoUpdate, Ident, OnConflictAction, OnInsert, Spanned};

use super::returning::input_entry;
use super::{Binder, input_column, input_scan};
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::Context;
use crate::bind::expr::operator::unnested;
use crate::bind::names;
use crate::bind::plan;
use crate::bind::scope::{Entry, Scope, ScopeColumn};
use crate::bind::window::NamedWindows;
use crate::bind::{ExpressionColumn, ExpressionUse};
use crate::bound::BoundOnConflict;
use crate::catalog_view::{Access, TableInfo};
use crate::parse::{ConflictElement, conflict_element};

/// Stands for the primary key among unique indexes.
const PRIMARY_KEY: Oid = Oid(0);

const EXCLUDED: &str = "excluded";

/// What the target of ON CONFLICT asks of a unique index.
#[derive(Debug, Default)]
struct Inference {
    /// In order, each once.
    columns: Vec<ColumnId>,
    expressions: Vec<Expr>,
    /// Of WHERE: true of every row that matters.
    conditions: Vec<Expr>,
}

impl Inference {
    fn is_over(&self, mut columns: Vec<ColumnId>) -> bool {
        columns.sort_unstable();
        columns.dedup();
        columns == self.columns
    }
}

impl Binder<'_> {
    pub(super) fn on_conflict(
        &self,
        on: &OnInsert,
        table: &TableInfo,
        target: &Entry,
        ctes: &Ctes<'_>,
    ) -> SqlResult<BoundOnConflict> {
        let OnInsert::OnConflict(conflict) = on else {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "syntax error at or near \"DUPLICATE\"",
            ));
        };
        let arbiters = match &conflict.conflict_target {
            Some(target) => Some(self.arbiters(target, table)?),
            None => None,
        };
        match &conflict.action {
            OnConflictAction::DoNothing => {
                Ok(BoundOnConflict::DoNothing { arbiters: arbiters.unwrap_or_default() })
            }
            OnConflictAction::DoUpdate(update) => {
                let Some(arbiters) = arbiters else {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        "ON CONFLICT DO UPDATE requires inference specification or constraint \
                         name",
                    )
                    .hint("For example, ON CONFLICT (column_name)."));
                };
                let plan = self.do_update(update, table, target, ctes)?;
                Ok(BoundOnConflict::DoUpdate { arbiters, plan })
            }
        }
    }

    /// The unique indexes that the target names.
    fn arbiters(&self, target: &ConflictTarget, table: &TableInfo) -> SqlResult<Vec<Oid>> {
        let shape = &table.shape;
        match target {
            ConflictTarget::Columns(elements) => {
                let inference = self.inference(elements, table)?;
                let mut found = Vec::new();
                if !shape.primary_key.is_empty()
                    && inference.expressions.is_empty()
                    && inference.is_over(shape.primary_key.clone())
                {
                    found.push(PRIMARY_KEY);
                }
                for index in shape.indexes.iter().filter(|index| index.unique) {
                    if self.fits(&inference, index, table)? {
                        found.push(index.id);
                    }
                }
                if found.is_empty() {
                    return Err(SqlError::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        "there is no unique or exclusion constraint matching the ON CONFLICT \
                         specification",
                    ));
                }
                Ok(found)
            }
            ConflictTarget::OnConstraint(name) => {
                let wanted = names::last(name)?;
                if shape.primary_key_name.as_deref() == Some(wanted.as_str()) {
                    self.check_arbiter(table, &shape.primary_key)?;
                    return Ok(vec![PRIMARY_KEY]);
                }
                let named = |index: &&IndexShape| index.constraint && index.name == wanted;
                if let Some(index) = shape.indexes.iter().find(named) {
                    let column = |key: &IndexKeyShape| match key.value {
                        IndexedValue::Column(column) => Some(column),
                        IndexedValue::Expression(_) => None,
                    };
                    let columns: Vec<_> = index.keys.iter().filter_map(column).collect();
                    self.check_arbiter(table, &columns)?;
                    return Ok(vec![index.id]);
                }
                Err(self.at(
                    SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "constraint \"{wanted}\" for table \"{}\" does not exist",
                            shape.name
                        ),
                    ),
                    self.position(name.span()),
                ))
            }
        }
    }

    /// What the elements of a target ask of an index.
    fn inference(&self, elements: &[Ident], table: &TableInfo) -> SqlResult<Inference> {
        let mut inference = Inference::default();
        for element in elements {
            match conflict_element(element) {
                ConflictElement::Column(name) => inference.columns.push(self.id_of(name, table)?),
                ConflictElement::Expression(text) => {
                    let (parsed, source) = crate::parse::parse_expression(text)?;
                    match unnested(&parsed) {
                        ast::Expr::Identifier(name) => {
                            inference.columns.push(self.id_of(name, table)?);
                        }
                        _ => inference.expressions.push(self.for_stored_text(source).over_row(
                            &parsed,
                            ExpressionUse::Index,
                            table,
                        )?),
                    }
                }
                ConflictElement::Condition(text) => {
                    let (parsed, source) = crate::parse::parse_expression(text)?;
                    let usage = ExpressionUse::IndexPredicate;
                    let condition = self.for_stored_text(source).over_row(&parsed, usage, table)?;
                    inference.conditions = split_conjunction_owned(condition);
                }
            }
        }
        inference.columns.sort_unstable();
        inference.columns.dedup();
        let named = inference.expressions.iter().chain(&inference.conditions);
        let named = named.flat_map(plan::columns_of);
        let mut read: Vec<ColumnId> =
            named.filter_map(|column| Some(table.shape.column_named(&column.name)?.id)).collect();
        read.extend(&inference.columns);
        self.check_arbiter(table, &read)?;
        Ok(inference)
    }

    /// The target tells which rows are there.
    fn check_arbiter(&self, table: &TableInfo, columns: &[ColumnId]) -> SqlResult<()> {
        let indexes = columns.iter().filter_map(|column| table.shape.position(*column));
        self.check_columns(table, Access::Select, indexes)
    }

    fn id_of(&self, name: &Ident, table: &TableInfo) -> SqlResult<ColumnId> {
        Ok(table.shape.columns[self.column_index(table, name)?].id)
    }

    /// Whether the index holds just what is asked for, of all rows that the condition is true of.
    fn fits(
        &self,
        inference: &Inference,
        index: &IndexShape,
        table: &TableInfo,
    ) -> SqlResult<bool> {
        let mut columns = Vec::new();
        let mut expressions = Vec::new();
        for key in &index.keys {
            match &key.value {
                IndexedValue::Column(column) => columns.push(*column),
                IndexedValue::Expression(text) => {
                    expressions.push(self.stored(text, ExpressionUse::Index, table)?);
                }
            }
        }
        let same = inference.is_over(columns)
            && expressions.iter().all(|own| inference.expressions.contains(own))
            && inference.expressions.iter().all(|asked| expressions.contains(asked));
        let Some(predicate) = index.predicate.as_ref().filter(|_| same) else { return Ok(same) };
        let predicate = self.stored(predicate, ExpressionUse::IndexPredicate, table)?;
        Ok(split_conjunction_owned(predicate)
            .iter()
            .all(|condition| inference.conditions.contains(condition)))
    }

    fn stored(&self, text: &str, usage: ExpressionUse, table: &TableInfo) -> SqlResult<Expr> {
        let (parsed, source) = crate::parse::parse_expression(text)?;
        self.for_stored_text(source).over_row(&parsed, usage, table)
    }

    /// An expression over the columns of a table.
    fn over_row(
        &self,
        expr: &ast::Expr,
        usage: ExpressionUse,
        table: &TableInfo,
    ) -> SqlResult<Expr> {
        let columns: Vec<ExpressionColumn> = table
            .shape
            .columns
            .iter()
            .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
            .collect();
        self.table_expression(expr, &columns, usage, None).map(|(expr, _)| expr)
    }

    /// The existing row as it shall be. Rows that WHERE refuses are filtered out.
    fn do_update(
        &self,
        update: &DoUpdate,
        table: &TableInfo,
        target: &Entry,
        ctes: &Ctes<'_>,
    ) -> SqlResult<datafusion::logical_expr::LogicalPlan> {
        let shape = &table.shape;
        let mut fields: Vec<_> =
            shape.columns.iter().map(|c| (c.name.clone(), c.ty.clone())).collect();
        let mut excluded = Vec::with_capacity(shape.columns.len());
        for column in &shape.columns {
            let name = self.fresh(&format!("{EXCLUDED}.{}", column.name)).name;
            excluded.push(ScopeColumn {
                name: column.name.clone(),
                column: input_column(&name),
                ty: column.ty.clone(),
                origin: Some((shape.table, column.id)),
                typmod: column.ty.typmod(),
            });
            fields.push((name, column.ty.clone()));
        }
        let existing = input_entry(table, target);
        let proposed = Entry::new(EXCLUDED, excluded);
        let scope = Scope::new(None, vec![existing, proposed]);
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Where);
        let mut plan = input_scan(&fields)?;
        if let Some(condition) = &update.selection {
            let condition = self.qualification(condition, "WHERE", cx)?;
            plan = self.filter(plan, condition)?;
        }
        let cx = cx.clause(Clause::UpdateSet);
        let mut values: Vec<Expr> =
            shape.columns.iter().map(|c| Expr::Column(input_column(&c.name))).collect();
        let assigned = self.assignments(&update.assignments, table, &mut values, cx)?;
        self.check_columns(table, Access::Update, assigned.into_iter())?;
        let (plan, values) = self.attach(plan, values)?;
        let mut exprs = Vec::with_capacity(values.len());
        let mut columns = Vec::with_capacity(values.len());
        for (value, column) in values.into_iter().zip(&shape.columns) {
            let fresh = self.fresh(&column.name);
            exprs.push(value.alias(&fresh.name));
            columns.push(fresh);
        }
        let plan = plan::project(plan, exprs)?;
        let (plan, _) = self.generate(plan, table, columns, Vec::new())?;
        Ok(plan)
    }
}
