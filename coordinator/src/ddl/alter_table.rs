//! ALTER TABLE: its actions in PostgreSQL's order, each on the definition that the ones before it
//! left.
//!
//! ```text
//! drop -> types -> new columns -> properties of columns -> defaults -> constraints -> the rest
//! ```
//!
//! Existing rows are looked at under the table's lock before a definition that they must fit is
//! made. Added and dropped columns change no row. Where rows must change (a serial, `random()`, a
//! generated column, another type or another primary key), they are written anew into new shards:
//! [`Ddl::rewrite`].

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use futures::stream::StreamExt;
use satsuma_common::{SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bind::{self, BindContext, ExpressionUse};
use satsuma_sql::parse::{AlterAction, Triggers};
use satsuma_sql::table::ScanSource;
use sqlparser::ast;

use super::alter_column::{expression_columns, position, same_column};
use super::alter_constraint::NewConstraint;
use super::storage_parameters;
use super::{Ddl, names, rows};
use crate::catalog::{
    ColocateWith, Command, DistributionRequest, Table, TableDef, TableDistribution, plan,
};
use crate::executor::modify::nullable;
use crate::executor::{conform, route};

/// A table that is being altered.
pub(super) struct Altering<'a, 'b> {
    pub ddl: &'a mut Ddl<'b>,
    pub table: TableId,
    /// Constraints that came with new columns.
    pub constraints: Vec<NewConstraint>,
    /// New columns that each row computes its value of.
    pub fill: Vec<String>,
    /// Those of them that must not be NULL.
    pub fill_not_null: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    Drop,
    Type,
    Add,
    Column,
    Default,
    Constraint,
    Rest,
}

fn pass(action: &AlterAction) -> Pass {
    match action {
        AlterAction::DropColumn { .. }
        | AlterAction::DropConstraint { .. }
        | AlterAction::DropNotNull { .. }
        | AlterAction::DropDefault { .. }
        | AlterAction::DropIdentity { .. }
        | AlterAction::DropExpression { .. } => Pass::Drop,
        AlterAction::SetType { .. } => Pass::Type,
        AlterAction::AddColumn { .. } => Pass::Add,
        AlterAction::SetNotNull { .. } | AlterAction::SetIdentity { .. } => Pass::Column,
        AlterAction::SetDefault { .. } | AlterAction::AddIdentity { .. } => Pass::Default,
        AlterAction::AddConstraint { .. } => Pass::Constraint,
        _ => Pass::Rest,
    }
}

pub async fn alter_table(
    ddl: &mut Ddl<'_>,
    name: &ast::ObjectName,
    actions: &[AlterAction],
) -> SqlResult<()> {
    let table = ddl.open_table(name).await?;
    ddl.require_table_owner(&table)?;
    let renames = |action: &AlterAction| {
        matches!(action, AlterAction::RenameColumn { .. } | AlterAction::RenameConstraint { .. })
    };
    if !actions.iter().all(renames) {
        ddl.txn.refuse_pending(&table.shape, "ALTER TABLE").await?;
    }
    let mut altering = Altering::new(ddl, table.id());
    let mut actions: Vec<&AlterAction> = actions.iter().collect();
    actions.sort_by_key(|action| pass(action));
    let mut filled = false;
    for action in actions {
        if pass(action) >= Pass::Constraint && !filled {
            altering.fill_columns().await?;
            filled = true;
        }
        altering.action(action).await?;
    }
    if !filled {
        altering.fill_columns().await?;
    }
    altering.settle_defaults().await
}

/// Drops a column with what depends on it.
pub(super) async fn drop_column(ddl: &mut Ddl<'_>, table: TableId, column: &str) -> SqlResult<()> {
    let state = ddl.state();
    let Some(known) = state.table_arc(table) else { return Ok(()) };
    ddl.lock_table(&known).await?;
    let mut altering = Altering::new(ddl, table);
    altering.drop_column(&super::stored_text::ident(column), true, true).await
}

impl<'a, 'b> Altering<'a, 'b> {
    pub fn new(ddl: &'a mut Ddl<'b>, table: TableId) -> Self {
        Self { ddl, table, constraints: Vec::new(), fill: Vec::new(), fill_not_null: Vec::new() }
    }
}

impl Altering<'_, '_> {
    /// ENABLE and DISABLE TRIGGER. Those of foreign keys, which are all there are, stay enabled.
    fn switch_triggers(&mut self, triggers: &Triggers, enable: bool) -> SqlResult<()> {
        let table = self.current()?;
        match triggers {
            Triggers::Named(name) => Err(SqlError::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "trigger \"{}\" for table \"{}\" does not exist",
                    super::names::fold(name),
                    table.shape.name
                ),
            )),
            Triggers::All
                if !enable
                    && (!table.shape.foreign_keys.is_empty()
                        || !table.shape.referenced_by.is_empty()) =>
            {
                Err(SqlError::unsupported("foreign keys cannot be disabled").hint(
                    "Drop them, and add them again afterwards; deferrable ones are checked at \
                     commit.",
                ))
            }
            Triggers::All | Triggers::OfUsers => Ok(()),
        }
    }

    async fn action(&mut self, action: &AlterAction) -> SqlResult<()> {
        match action {
            AlterAction::AddColumn { column, if_not_exists } => {
                self.add_column(column, *if_not_exists).await
            }
            AlterAction::DropColumn { name, if_exists, cascade } => {
                self.drop_column(name, *if_exists, *cascade).await
            }
            AlterAction::SetDefault { column, value } => self.set_default(column, Some(value)),
            AlterAction::DropDefault { column } => self.set_default(column, None),
            AlterAction::SetNotNull { column } => self.set_not_null(column).await,
            AlterAction::DropNotNull { column } => self.drop_not_null(column),
            AlterAction::SetType { column, data_type, collation, using } => {
                if let Some(collation) = collation {
                    bind::check_collation(collation)?;
                    bind::check_collatable(&self.ddl.data_type(data_type)?)?;
                }
                self.set_type(column, data_type, using.as_ref()).await
            }
            AlterAction::AddIdentity { column, always, options } => {
                self.add_identity(column, *always, options).await
            }
            AlterAction::SetIdentity { column, always, options } => {
                self.set_identity(column, *always, options)
            }
            AlterAction::DropIdentity { column, if_exists } => {
                self.drop_identity(column, *if_exists)
            }
            AlterAction::DropExpression { column, if_exists } => {
                self.drop_expression(column, *if_exists)
            }
            AlterAction::AddConstraint { constraint, not_valid } => {
                self.add_constraint(constraint, *not_valid).await
            }
            AlterAction::DropConstraint { name, if_exists, cascade } => {
                self.drop_constraint(name, *if_exists, *cascade).await
            }
            AlterAction::ValidateConstraint { name } => self.validate_constraint(name).await,
            AlterAction::AlterConstraint { name, characteristics } => {
                self.alter_constraint(name, characteristics.as_ref()).await
            }
            AlterAction::RenameColumn { from, to } => self.rename_column(from, to).await,
            AlterAction::RenameConstraint { from, to } => self.rename_constraint(from, to),
            AlterAction::SetOptions { options } => self.ddl.set_options(self.table, options),
            AlterAction::TuneColumn { column } => {
                position(self.current()?.as_ref(), column).map(|_| ())
            }
            AlterAction::SwitchTriggers { triggers, enable } => {
                self.switch_triggers(triggers, *enable)
            }
            AlterAction::ClusterOn { index } => self.check_index(index),
            AlterAction::Unsupported { what } => {
                Err(SqlError::unsupported(format!("{what} is not supported")))
            }
            AlterAction::RenameTo { .. }
            | AlterAction::OwnerTo { .. }
            | AlterAction::SetSchema { .. }
            | AlterAction::Sequence { .. }
            | AlterAction::AddValue { .. }
            | AlterAction::RenameValue { .. } => {
                Err(SqlError::internal("an action of another statement"))
            }
        }
    }

    pub fn current(&mut self) -> SqlResult<Arc<Table>> {
        let table = self.ddl.state().table_arc(self.table);
        table.ok_or_else(|| SqlError::internal("the table that is altered is gone"))
    }

    /// Foreign keys that set defaults know those that the columns have now.
    async fn settle_defaults(&mut self) -> SqlResult<()> {
        let mut def = self.current()?.def().clone();
        match super::foreign_key::settle_defaults(self.ddl, &mut def).await? {
            true => self.put(def),
            false => Ok(()),
        }
    }

    pub fn put(&mut self, def: TableDef) -> SqlResult<()> {
        self.ddl.apply(Command::AlterTable(def))?;
        self.ddl.refresh_env();
        Ok(())
    }

    /// Whether the table has any row.
    pub async fn has_rows(&mut self) -> SqlResult<bool> {
        let name = rows::qualified(&self.current()?.shape);
        Ok(self.ddl.first_row(&format!("SELECT 1 FROM {name} LIMIT 1")).await?.is_some())
    }

    /// Values of new columns that differ by row; then what came with new columns.
    async fn fill_columns(&mut self) -> SqlResult<()> {
        let fill = std::mem::take(&mut self.fill);
        let table = self.current()?;
        let is_generated = |name: &String| {
            let at = table.shape.columns.iter().position(|column| column.name == *name);
            at.is_some_and(|at| table.generated[at].is_some())
        };
        // Generated columns see the values of the others.
        let (generated, plain): (Vec<String>, Vec<String>) =
            fill.into_iter().partition(is_generated);
        for columns in [plain, generated] {
            if columns.is_empty() {
                continue;
            }
            self.ddl.tell_workers().await?;
            let table = self.current()?;
            let values: Vec<Expr> = (0..table.shape.columns.len())
                .map(|at| self.fill_value(&table, at, &columns))
                .collect::<SqlResult<_>>()?;
            self.ddl.rewrite(&table, table.def().clone(), values).await?;
        }
        for column in std::mem::take(&mut self.fill_not_null) {
            self.set_not_null(&super::stored_text::ident(&column)).await?;
        }
        for constraint in std::mem::take(&mut self.constraints) {
            self.add(constraint, false).await?;
        }
        Ok(())
    }

    /// The value of a column of a rewritten row.
    fn fill_value(&self, table: &Table, at: usize, fill: &[String]) -> SqlResult<Expr> {
        let column = &table.shape.columns[at];
        if !fill.contains(&column.name) {
            return Ok(same_column(&column.name));
        }
        let (text, usage) = match (&table.generated[at], &table.defaults[at]) {
            (Some(generated), _) => (generated, ExpressionUse::Generated),
            (None, Some(default)) => (default, ExpressionUse::Default),
            (None, None) => return Err(SqlError::internal("a column to fill has no value")),
        };
        let ddl = &self.ddl;
        let context = BindContext {
            catalog: &ddl.snapshot,
            env: &ddl.env,
            param_types: None,
            param_values: &[],
        };
        let columns = expression_columns(table);
        Ok(bind::check_expression(text, &columns, usage, Some(&column.ty), &context)?.0)
    }

    /// 42704 for what is no index of the table.
    fn check_index(&mut self, index: &ast::Ident) -> SqlResult<()> {
        let (table, name) = (self.current()?, names::fold(index));
        let shape = &table.shape;
        let is_known = shape.primary_key_name.as_deref() == Some(name.as_str())
            || self.ddl.state().indexes_of(table.id()).any(|known| known.name == name);
        if is_known {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::UNDEFINED_OBJECT,
            format!("index \"{name}\" for table \"{}\" does not exist", shape.name),
        ))
    }
}

impl Ddl<'_> {
    /// Sets storage parameters, and takes away those without a value.
    pub(super) fn set_options(
        &mut self,
        table: TableId,
        options: &[(String, Option<String>)],
    ) -> SqlResult<()> {
        if options.is_empty() {
            return Ok(());
        }
        for (name, value) in options {
            if let Some(value) = value {
                storage_parameters::check(name, value)?;
            }
        }
        let state = self.state();
        let Some(table) = state.table(table) else { return Ok(()) };
        let mut def = table.def().clone();
        for (name, value) in options.iter().filter(|(name, _)| storage_parameters::is_kept(name)) {
            def.options.retain(|(known, _)| known != name);
            def.options.extend(value.clone().map(|value| (name.clone(), value)));
        }
        self.apply(Command::AlterTable(def))?;
        self.refresh_env();
        Ok(())
    }

    /// Writes every row anew, into new shards beside the old ones, as `def` says. `values` are
    /// expressions over the old row, in the order of the new columns.
    pub(super) async fn rewrite(
        &mut self,
        table: &Arc<Table>,
        def: TableDef,
        values: Vec<Expr>,
    ) -> SqlResult<()> {
        self.tell_workers().await?;
        self.next_step().await?;
        let old = self.state().table_arc(table.id());
        let old = old.ok_or_else(|| SqlError::internal("the table is gone"))?;
        let columns: Vec<usize> = (0..old.shape.columns.len()).collect();
        let source = ScanSource::table(old.info().clone());
        let scan = LogicalPlanBuilder::scan("old", source, Some(columns))
            .and_then(|scan| scan.project(values))
            .and_then(LogicalPlanBuilder::build)
            .map_err(satsuma_sql::engine_error::to_sql)?;
        let reading = self.scope.clone();

        let state = self.state();
        let colocate_with = match old.distribution() {
            TableDistribution::Hash(_) | TableDistribution::SingleShard => {
                ColocateWith::Table(old.id())
            }
            TableDistribution::Local | TableDistribution::Reference => ColocateWith::Default,
        };
        let request = DistributionRequest {
            distribution: old.distribution(),
            column_type: old.distribution_column().map(|column| column.ty.without_modifier()),
            shard_count: self.shard_count,
            colocate_with,
        };
        let planned = plan(&state, &request)?;
        let mut ids = self.reserve(planned.ids(&state)).await?;
        let placed = planned.commands(&state, &mut ids)?;
        self.drop_shards(&old);
        self.apply(Command::AlterTable(def))?;
        self.apply(Command::PlaceTable { table: old.id(), placement: placed.placement })?;
        self.refresh_env();
        let new = self.state().table_arc(old.id());
        let new = new.ok_or_else(|| SqlError::internal("the table is gone"))?;
        self.create_shards(new.def(), new.placement()).await?;

        let (_, mut rows) = self.cluster.executor.run(scan, &reading).await?;
        let mut writing = reading.as_ref().clone();
        writing.state = self.state();
        writing.statement.rewrites = true;
        let schema = nullable(&new.shape.arrow_schema());
        while let Some(batch) = rows.next().await {
            let batch = conform(batch?, &schema)?;
            let parts: BTreeMap<_, _> =
                route::by_group(&writing.state, &new, batch)?.into_iter().collect();
            for (group, part) in parts {
                self.write_rows(&writing, &new, group, part).await?;
            }
        }
        writing.statement.rewrites = false;
        self.scope = Arc::new(writing);
        self.tell_workers().await
    }
}
