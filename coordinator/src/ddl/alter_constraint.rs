//! ALTER TABLE's actions on constraints. Existing rows are checked before the constraint is made:
//! the table's lock keeps others from adding rows in between.

use std::collections::BTreeSet;

use datafusion::logical_expr::Expr;
use satsuma_common::table::{Check, Column, ForeignKey};
use satsuma_common::{ColumnId, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bind::{self, BindContext, ExpressionUse};
use sqlparser::ast;

use super::alter_column::{expression_columns, same_column};
use super::alter_table::Altering;
use super::create_table::{KeyColumns, Unique};
use super::names::{self, fold};
use super::rows::qualified;
use super::{Ddl, create_table, distribute, foreign_key, index, stored_text, using_index};
use crate::catalog::{
    Command, IdRequest, Index, IndexKey, State, Table, TableDef, TableDistribution,
    quote_identifier,
};

/// A constraint as a statement names it.
pub(super) enum NewConstraint {
    PrimaryKey {
        name: Option<String>,
        columns: KeyColumns,
    },
    Unique(Unique),
    Check {
        name: Option<String>,
        /// The column that it was written beside.
        column: Option<String>,
        condition: Box<ast::Expr>,
    },
    ForeignKey {
        name: Option<String>,
        columns: Vec<String>,
        key: Box<ast::ForeignKeyConstraint>,
    },
}

impl NewConstraint {
    fn of(constraint: &ast::TableConstraint) -> SqlResult<Self> {
        Ok(match constraint {
            ast::TableConstraint::PrimaryKey(key) => {
                create_table::refuse_deferrable(key.characteristics.as_ref(), "primary keys")?;
                Self::PrimaryKey {
                    name: key.name.as_ref().map(fold),
                    columns: create_table::key_columns(&key.columns)?,
                }
            }
            ast::TableConstraint::Unique(unique) => {
                let columns = create_table::key_columns(&unique.columns)?;
                Self::Unique(Unique::new(unique.name.as_ref().map(fold), columns, unique)?)
            }
            ast::TableConstraint::Check(check) => Self::Check {
                name: check.name.as_ref().map(fold),
                column: None,
                condition: check.expr.clone(),
            },
            ast::TableConstraint::ForeignKey(key) => Self::ForeignKey {
                name: key.name.as_ref().map(fold),
                columns: key.columns.iter().map(fold).collect(),
                key: Box::new(key.clone()),
            },
            other => {
                return Err(SqlError::unsupported(format!("constraint {other} is not supported")));
            }
        })
    }
}

fn no_constraint(table: &Table, name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("constraint \"{name}\" of relation \"{}\" does not exist", table.shape.name),
    )
}

fn refuse_taken(table: &Table, name: &str) -> SqlResult<()> {
    if !table.constraint_oids.contains_key(name) {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::DUPLICATE_OBJECT,
        format!("constraint \"{name}\" for relation \"{}\" already exists", table.shape.name),
    ))
}

fn key_column<'t>(table: &'t Table, name: &str) -> SqlResult<&'t Column> {
    table.shape.column_named(name).ok_or_else(|| {
        SqlError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" named in key does not exist"),
        )
    })
}

/// The columns of a new key.
fn key_ids(table: &Table, columns: &[String], of: &str) -> SqlResult<Vec<ColumnId>> {
    let mut key: Vec<ColumnId> = Vec::new();
    for name in columns {
        let column = key_column(table, name)?;
        if key.contains(&column.id) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in {of}"),
            ));
        }
        key.push(column.id);
    }
    Ok(key)
}

fn included_ids(table: &Table, key: &KeyColumns) -> SqlResult<Vec<ColumnId>> {
    key.included.iter().map(|name| Ok(key_column(table, name)?.id)).collect()
}

/// The rule of distribution for keys.
pub(super) fn refuse_key_without_distribution_column(
    table: &Table,
    key: &[ColumnId],
) -> SqlResult<()> {
    match table.distribution() {
        TableDistribution::Hash(column) if !key.contains(&column) => {
            Err(index::constraint_not_distributed(&table.shape.name))
        }
        _ => Ok(()),
    }
}

/// `a, b` of these columns, quoted.
fn column_list(table: &Table, columns: &[ColumnId], prefix: &str) -> Vec<String> {
    columns
        .iter()
        .filter_map(|id| table.shape.column(*id))
        .map(|column| format!("{prefix}{}", quote_identifier(&column.name)))
        .collect()
}

/// `(a, b)=(1, 2)`
fn key_text(table: &Table, columns: &[ColumnId], values: &[String]) -> String {
    let names: Vec<&str> = columns
        .iter()
        .filter_map(|id| table.shape.column(*id))
        .map(|column| column.name.as_str())
        .collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

impl Altering<'_, '_> {
    pub(super) async fn add_constraint(
        &mut self,
        constraint: &ast::TableConstraint,
        not_valid: bool,
    ) -> SqlResult<()> {
        let (using, primary) = match constraint {
            ast::TableConstraint::PrimaryKeyUsingIndex(using) => (Some(using), true),
            ast::TableConstraint::UniqueUsingIndex(using) => (Some(using), false),
            _ => (None, false),
        };
        let new = match using {
            Some(using) => {
                create_table::refuse_deferrable(
                    using.characteristics.as_ref(),
                    if primary { "primary keys" } else { "unique constraints" },
                )?;
                let table = self.current()?;
                using_index::constraint(self.ddl, &table, using, primary).await?
            }
            None => NewConstraint::of(constraint)?,
        };
        self.add(new, not_valid).await
    }

    pub(super) async fn add(
        &mut self,
        constraint: NewConstraint,
        not_valid: bool,
    ) -> SqlResult<()> {
        match constraint {
            NewConstraint::PrimaryKey { name, columns } => {
                self.add_primary_key(name, &columns).await
            }
            NewConstraint::Unique(unique) => self.add_unique(unique).await,
            NewConstraint::Check { name, column, condition } => {
                self.add_check(name, column, &condition, not_valid).await
            }
            NewConstraint::ForeignKey { name, columns, key } => {
                self.add_foreign_key(name, &columns, &key, not_valid).await
            }
        }
    }

    async fn add_check(
        &mut self,
        name: Option<String>,
        column: Option<String>,
        condition: &ast::Expr,
        not_valid: bool,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let columns = expression_columns(&table);
        let ddl = &self.ddl;
        let context = BindContext {
            catalog: &ddl.snapshot,
            env: &ddl.env,
            param_types: None,
            param_values: &[],
        };
        let usage = ExpressionUse::Check;
        bind::check_parsed_expression(condition, &columns, usage, None, &context, &ddl.source)?;
        let name = match name {
            Some(name) => {
                refuse_taken(&table, &name)?;
                name
            }
            None => {
                let column = column.or_else(|| only_column(&table, condition));
                names::choose(&table.shape.name, column.as_deref(), "check", |name| {
                    table.constraint_oids.contains_key(name)
                })
            }
        };
        let condition = stored_text::without_parentheses(condition).to_string();
        let check = Check { name: name.clone(), condition };
        if !not_valid {
            self.ddl.check_rows(&table, &check).await?;
        }
        let mut def = table.def().clone();
        def.shape.make_mut().checks.push(check);
        def.constraint_oids.insert(name.clone(), self.ddl.oid().await?);
        if not_valid {
            def.not_valid.insert(name);
        }
        self.put(def)
    }

    async fn add_foreign_key(
        &mut self,
        name: Option<String>,
        columns: &[String],
        key: &ast::ForeignKeyConstraint,
        not_valid: bool,
    ) -> SqlResult<()> {
        let table = self.current()?;
        if let Some(name) = &name {
            refuse_taken(&table, name)?;
        }
        let state = self.ddl.state();
        let resolve = |ddl: &Ddl<'_>, state: &State, table: &Table| {
            let taken = &table.constraint_oids;
            foreign_key::resolve(ddl, state, &table.shape, name.clone(), columns, key, taken)
        };
        let first = resolve(self.ddl, &state, &table)?;
        if let Some(target) = state.table_arc(first.target) {
            self.ddl.lock_table(&target).await?;
        }
        // Looked at again: the target may have changed until it was locked.
        let (state, table) = (self.ddl.state(), self.current()?);
        let key = resolve(self.ddl, &state, &table)?;
        let mut def = table.def().clone();
        def.shape.make_mut().foreign_keys.push(key.clone());
        distribute::check_foreign_keys(&state, &def, table.id(), table.placement())?;
        if !not_valid {
            self.ddl.check_references(&table, &key).await?;
        }
        def.constraint_oids.insert(key.name.clone(), self.ddl.oid().await?);
        if not_valid {
            def.not_valid.insert(key.name);
        }
        self.put(def)
    }

    async fn add_primary_key(
        &mut self,
        name: Option<String>,
        columns: &KeyColumns,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let shape = &table.shape;
        if !shape.primary_key.is_empty() {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{}\" are not allowed", shape.name),
            ));
        }
        let key = key_ids(&table, &columns.columns, "primary key constraint")?;
        let include = included_ids(&table, columns)?;
        refuse_key_without_distribution_column(&table, &key)?;
        let name = self.index_name(&table, name, None, "pkey")?;
        for name in &columns.columns {
            self.set_not_null(&stored_text::ident(name)).await?;
        }
        self.ddl.check_unique(&table, &key, &name).await?;
        let mut ids = self.ddl.reserve(IdRequest::oids(2)).await?;
        let table = self.current()?;
        let mut def = table.def().clone();
        let shape = def.shape.make_mut();
        shape.primary_key.clone_from(&key);
        shape.primary_key_name = Some(name.clone());
        def.constraint_oids.insert(name.clone(), ids.oid()?);
        self.ddl.apply(Command::CreateIndex(Index {
            oid: ids.oid()?,
            name,
            schema: table.schema,
            table: table.id(),
            method: "btree".into(),
            keys: key.iter().copied().map(IndexKey::column).collect(),
            include,
            unique: true,
            primary: true,
            constraint: true,
            nulls_not_distinct: false,
            predicate: None,
        }))?;
        self.rekey(&table, def).await
    }

    async fn add_unique(&mut self, unique: Unique) -> SqlResult<()> {
        let table = self.current()?;
        let key = key_ids(&table, &unique.key.columns, "unique constraint")?;
        let include = included_ids(&table, &unique.key)?;
        let columns = unique.key.label();
        let name = self.index_name(&table, unique.name, Some(&columns), "key")?;
        let mut ids = self.ddl.reserve(IdRequest::oids(2)).await?;
        let constraint = ids.oid()?;
        let index = Index {
            oid: ids.oid()?,
            name: name.clone(),
            schema: table.schema,
            table: table.id(),
            method: "btree".into(),
            keys: key.into_iter().map(IndexKey::column).collect(),
            include,
            unique: true,
            primary: false,
            constraint: true,
            nulls_not_distinct: unique.nulls_not_distinct,
            predicate: None,
        };
        index::check_unique(&table, &index)?;
        let oid = index.oid;
        self.ddl.apply(Command::CreateIndex(index))?;
        let mut def = self.current()?.def().clone();
        def.constraint_oids.insert(name, constraint);
        self.put(def)?;
        self.ddl.tell_workers().await?;
        self.ddl.build_indexes(table.id(), vec![oid]).await
    }

    /// The name of a key's index.
    fn index_name(
        &mut self,
        table: &Table,
        name: Option<String>,
        columns: Option<&str>,
        label: &str,
    ) -> SqlResult<String> {
        let state = self.ddl.state();
        let taken = |name: &str| {
            state.schema(table.schema).is_some_and(|schema| schema.relation(name).is_some())
        };
        match name {
            Some(name) if taken(&name) => Err(SqlError::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            )),
            Some(name) => Ok(name),
            None => Ok(names::choose(&table.shape.name, columns, label, taken)),
        }
    }

    /// Rows go under other keys.
    async fn rekey(&mut self, table: &std::sync::Arc<Table>, def: TableDef) -> SqlResult<()> {
        let columns = table.shape.columns.iter();
        let values: Vec<Expr> = columns.map(|column| same_column(&column.name)).collect();
        self.ddl.rewrite(table, def, values).await
    }

    pub(super) async fn drop_constraint(
        &mut self,
        name: &ast::Ident,
        if_exists: bool,
        cascade: bool,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let name = fold(name);
        if !table.constraint_oids.contains_key(&name) {
            if !if_exists {
                return Err(no_constraint(&table, &name));
            }
            self.ddl.notice(format!(
                "constraint \"{name}\" of relation \"{}\" does not exist, skipping",
                table.shape.name
            ));
            return Ok(());
        }
        let state = self.ddl.state();
        let own_index =
            state.indexes_of(table.id()).find(|index| index.constraint && index.name == name);
        if let Some(index) = own_index {
            self.drop_referring(&table, index, cascade)?;
        }
        let table = self.current()?;
        let mut def = table.def().clone();
        def.constraint_oids.remove(&name);
        def.not_valid.remove(&name);
        let shape = def.shape.make_mut();
        shape.checks.retain(|check| check.name != name);
        shape.foreign_keys.retain(|key| key.name != name);
        let Some(index) = own_index else { return self.put(def) };
        self.ddl.apply(Command::DropIndex { oid: index.oid })?;
        if !index.primary {
            return self.put(def);
        }
        let shape = def.shape.make_mut();
        shape.primary_key.clear();
        shape.primary_key_name = None;
        self.rekey(&table, def).await
    }

    /// Foreign keys that rely on a key go with CASCADE.
    fn drop_referring(&mut self, table: &Table, index: &Index, cascade: bool) -> SqlResult<()> {
        let columns: BTreeSet<ColumnId> = index
            .keys
            .iter()
            .filter_map(|key| match key.value {
                crate::catalog::IndexValue::Column(column) => Some(column),
                crate::catalog::IndexValue::Expression(_) => None,
            })
            .collect();
        let relying: Vec<ForeignKey> = table
            .shape
            .referenced_by
            .iter()
            .filter(|key| key.target_columns.iter().copied().collect::<BTreeSet<_>>() == columns)
            .cloned()
            .collect();
        if relying.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = relying
            .iter()
            .map(|key| format!("constraint {} on table {}", key.name, key.table_name))
            .collect();
        if !cascade {
            let lines: Vec<String> = names
                .iter()
                .map(|name| format!("{name} depends on index {}", index.name))
                .collect();
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop constraint {} on table {} because other objects depend on it",
                    index.name, table.shape.name
                ),
            )
            .detail(lines.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        self.ddl.cascade_notice(&names);
        relying.iter().try_for_each(|key| self.ddl.drop_foreign_key(key.table, &key.name))
    }

    pub(super) async fn validate_constraint(&mut self, name: &ast::Ident) -> SqlResult<()> {
        let table = self.current()?;
        let name = fold(name);
        let check = table.shape.checks.iter().find(|check| check.name == name);
        let key = table.shape.foreign_keys.iter().find(|key| key.name == name);
        match (check, key) {
            (None, None) if table.constraint_oids.contains_key(&name) => {
                return Err(SqlError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!(
                        "constraint \"{name}\" of relation \"{}\" is not a foreign key or check \
                         constraint",
                        table.shape.name
                    ),
                ));
            }
            (None, None) => return Err(no_constraint(&table, &name)),
            _ if !table.not_valid.contains(&name) => return Ok(()),
            (Some(check), _) => self.ddl.check_rows(&table, check).await?,
            (None, Some(key)) => self.ddl.check_references(&table, key).await?,
        }
        let mut def = table.def().clone();
        def.not_valid.remove(&name);
        self.put(def)
    }

    /// ALTER CONSTRAINT: when a foreign key is checked.
    pub(super) async fn alter_constraint(
        &mut self,
        name: &ast::Ident,
        characteristics: Option<&ast::ConstraintCharacteristics>,
    ) -> SqlResult<()> {
        let timing = foreign_key::timing(characteristics)?;
        let table = self.current()?;
        let name = fold(name);
        if !table.constraint_oids.contains_key(&name) {
            return Err(no_constraint(&table, &name));
        }
        let key = table.shape.foreign_keys.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| {
            SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "constraint \"{name}\" of relation \"{}\" is not a foreign key constraint",
                    table.shape.name
                ),
            )
        })?;
        if let Some(target) = self.ddl.state().table_arc(key.target) {
            self.ddl.lock_table(&target).await?;
        }
        let mut def = self.current()?.def().clone();
        for key in &mut def.shape.make_mut().foreign_keys {
            if key.name == name {
                key.timing = timing;
                foreign_key::refuse_late_full(key)?;
            }
        }
        self.put(def)
    }

    pub(super) fn rename_constraint(
        &mut self,
        from: &ast::Ident,
        to: &ast::Ident,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let (from, to) = (fold(from), fold(to));
        if !table.constraint_oids.contains_key(&from) {
            return Err(SqlError::new(
                SqlState::UNDEFINED_OBJECT,
                format!("constraint \"{from}\" for table \"{}\" does not exist", table.shape.name),
            ));
        }
        let state = self.ddl.state();
        let own_index =
            state.indexes_of(table.id()).find(|index| index.constraint && index.name == from);
        match own_index {
            Some(index) => self.ddl.rename_index(index.clone(), to),
            None => {
                refuse_taken(&table, &to)?;
                let mut def = table.def().clone();
                if let Some(oid) = def.constraint_oids.remove(&from) {
                    def.constraint_oids.insert(to.clone(), oid);
                }
                if def.not_valid.remove(&from) {
                    def.not_valid.insert(to.clone());
                }
                let shape = def.shape.make_mut();
                for check in shape.checks.iter_mut().filter(|check| check.name == from) {
                    check.name.clone_from(&to);
                }
                for key in shape.foreign_keys.iter_mut().filter(|key| key.name == from) {
                    key.name.clone_from(&to);
                }
                self.put(def)
            }
        }
    }
}

/// The one column that a condition names, for the constraint's name.
fn only_column(table: &Table, condition: &ast::Expr) -> Option<String> {
    let columns = table.shape.columns.iter();
    let mut named = columns.filter(|column| stored_text::mentions(condition, &column.name));
    let first = named.next()?;
    named.next().is_none().then(|| first.name.clone())
}

impl Ddl<'_> {
    /// Every row satisfies the condition.
    pub(super) async fn check_rows(&mut self, table: &Table, check: &Check) -> SqlResult<()> {
        let name = qualified(&table.shape);
        let failing = format!("SELECT 1 FROM {name} WHERE NOT ({}) LIMIT 1", check.condition);
        if self.first_row(&failing).await?.is_none() {
            return Ok(());
        }
        let shape = &table.shape;
        Err(SqlError::new(
            SqlState::CHECK_VIOLATION,
            format!(
                "check constraint \"{}\" of relation \"{}\" is violated by some row",
                check.name, shape.name
            ),
        )
        .table(&shape.schema_name, &shape.name)
        .constraint(&check.name))
    }

    /// Every row refers to a row that is there.
    pub(super) async fn check_references(
        &mut self,
        table: &Table,
        key: &ForeignKey,
    ) -> SqlResult<()> {
        let state = self.state();
        let Some(target) = state.table_arc(key.target) else {
            return Err(SqlError::internal("the target of a foreign key is gone"));
        };
        let own = column_list(table, &key.columns, "c.");
        let theirs = column_list(&target, &key.target_columns, "p.");
        let not_null: Vec<String> = own.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        if key.full {
            let nulls = format!("num_nulls({})", own.join(", "));
            let mixed = format!(
                "SELECT 1 FROM {} c WHERE {nulls} > 0 AND {nulls} < {} LIMIT 1",
                qualified(&table.shape),
                own.len()
            );
            if self.first_row(&mixed).await?.is_some() {
                return Err(refused(table, key)
                    .detail("MATCH FULL does not allow mixing of null and nonnull key values."));
            }
        }
        let equal: Vec<String> =
            own.iter().zip(&theirs).map(|(own, their)| format!("{their} = {own}")).collect();
        let orphan = format!(
            "SELECT {} FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {}) LIMIT 1",
            own.join(", "),
            qualified(&table.shape),
            not_null.join(" AND "),
            qualified(&target.shape),
            equal.join(" AND "),
        );
        let Some(values) = self.first_row(&orphan).await? else { return Ok(()) };
        Err(refused(table, key).detail(format!(
            "Key {} is not present in table \"{}\".",
            key_text(table, &key.columns, &values),
            target.shape.name
        )))
    }

    /// No two rows have the same key.
    pub(super) async fn check_unique(
        &mut self,
        table: &Table,
        key: &[ColumnId],
        name: &str,
    ) -> SqlResult<()> {
        let columns = column_list(table, key, "").join(", ");
        let twice = format!(
            "SELECT {columns} FROM {} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1",
            qualified(&table.shape)
        );
        let Some(values) = self.first_row(&twice).await? else { return Ok(()) };
        let shape = &table.shape;
        Err(SqlError::new(
            SqlState::UNIQUE_VIOLATION,
            format!("could not create unique index \"{name}\""),
        )
        .detail(format!("Key {} is duplicated.", key_text(table, key, &values)))
        .table(&shape.schema_name, &shape.name)
        .constraint(name))
    }

    pub(super) fn drop_foreign_key(&mut self, table: TableId, name: &str) -> SqlResult<()> {
        let state = self.state();
        let Some(table) = state.table(table) else { return Ok(()) };
        let mut def = table.def().clone();
        def.shape.make_mut().foreign_keys.retain(|key| key.name != name);
        def.constraint_oids.remove(name);
        def.not_valid.remove(name);
        self.apply(Command::AlterTable(def))?;
        Ok(())
    }
}

/// 23503 for a row of the table.
fn refused(table: &Table, key: &ForeignKey) -> SqlError {
    let (shape, name) = (&table.shape, &key.name);
    SqlError::new(
        SqlState::FOREIGN_KEY_VIOLATION,
        format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{name}\"",
            shape.name
        ),
    )
    .table(&shape.schema_name, &shape.name)
    .constraint(name)
}
