//! ALTER TABLE's actions on columns.

use datafusion::common::Column;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder};
use satsuma_common::row::encode_value;
use satsuma_common::{
    ColumnId, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState, arrow_types, arrow_values,
};
use satsuma_sql::bind::{self, BindContext, ExpressionColumn, ExpressionUse};
use satsuma_sql::parse::SequenceOption;
use sqlparser::ast;

use super::alter_table::Altering;
use super::create_table::Draft;
use super::names::fold;
use super::rows::qualified;
use super::stored_text::{self, ident};
use super::{Ddl, sequence, view};
use crate::catalog::{
    Command, IdRequest, Index, IndexValue, ObjectAddress, ObjectClass, Sequence, State, Table,
    quote_identifier,
};
use crate::session_api::{Notice, Severity};

const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"];

pub(super) fn no_column(table: &Table, name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_COLUMN,
        format!("column \"{name}\" of relation \"{}\" does not exist", table.shape.name),
    )
}

/// Position of a column that an action names.
pub(super) fn position(table: &Table, name: &ast::Ident) -> SqlResult<usize> {
    let name = fold(name);
    let found = table.shape.columns.iter().position(|column| column.name == name);
    found.ok_or_else(|| {
        if SYSTEM_COLUMNS.contains(&name.as_str()) {
            return SqlError::unsupported(format!("cannot alter system column \"{name}\""));
        }
        no_column(table, &name)
    })
}

/// Citus's words for what would change where rows live.
fn refuse_distribution_column(table: &Table, column: ColumnId) -> SqlResult<()> {
    match table.distribution().column() {
        Some(distribution) if distribution == column => {
            Err(SqlError::internal("cannot execute ALTER TABLE command involving partition column"))
        }
        _ => Ok(()),
    }
}

fn contains_nulls(table: &Table, column: &str) -> SqlError {
    let shape = &table.shape;
    SqlError::new(
        SqlState::NOT_NULL_VIOLATION,
        format!("column \"{column}\" of relation \"{}\" contains null values", shape.name),
    )
    .table(&shape.schema_name, &shape.name)
    .column(column)
}

pub(super) fn expression_columns(table: &Table) -> Vec<ExpressionColumn> {
    let columns = table.shape.columns.iter();
    columns
        .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
        .collect()
}

/// Whether an index has the column in its keys, expressions, predicate or included columns.
pub(super) fn index_uses(index: &Index, id: ColumnId, name: &str) -> SqlResult<bool> {
    if index.include.contains(&id) {
        return Ok(true);
    }
    for key in &index.keys {
        let uses = match &key.value {
            IndexValue::Column(column) => *column == id,
            IndexValue::Expression(text) => stored_text::text_mentions(text, name)?,
        };
        if uses {
            return Ok(true);
        }
    }
    match &index.predicate {
        Some(predicate) => stored_text::text_mentions(predicate, name),
        None => Ok(false),
    }
}

/// The sequence behind an identity column.
fn identity_sequence(state: &State, table: &Table, column: ColumnId) -> Option<Sequence> {
    let mut owned = state.sequences_of(table.id());
    owned.find(|sequence| sequence.owned_by.is_some_and(|(_, of)| of == column)).cloned()
}

impl Altering<'_, '_> {
    pub(super) async fn add_column(
        &mut self,
        column: &ast::ColumnDef,
        if_not_exists: bool,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let name = fold(&column.name);
        if SYSTEM_COLUMNS.contains(&name.as_str()) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column name \"{name}\" conflicts with a system column name"),
            ));
        }
        if table.shape.column_named(&name).is_some() {
            let message =
                format!("column \"{name}\" of relation \"{}\" already exists", table.shape.name);
            if !if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            let skipped = SqlError::new(SqlState::DUPLICATE_COLUMN, format!("{message}, skipping"));
            self.ddl.notices.push(Notice::new(Severity::Notice, skipped));
            return Ok(());
        }
        let state = self.ddl.state();
        view::refuse_wildcards_over(&state, Oid(table.id().0), &table.shape.name)?;
        let mut draft = Draft::of(&table);
        draft.column(self.ddl, column)?;
        let at = draft.columns.len() - 1;
        draft.columns[at].id = table.next_column;
        draft.check_column(self.ddl, at)?;
        self.constraints.extend(draft.new_constraints());

        // A sequence of its own, for a serial or an identity column.
        let mut ids = self.ddl.reserve(IdRequest::oids(draft.serials.len() as u32)).await?;
        let sequences = draft.sequences(&state, table.schema, table.owner, table.id(), &mut ids)?;
        let default = match sequences.first() {
            Some((_, sequence)) => {
                if draft.defaults[at].is_some() {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "multiple default values specified for column \"{name}\" of table \
                             \"{}\"",
                            table.shape.name
                        ),
                    ));
                }
                Some(sequence::nextval_of(&state, table.schema, &sequence.name))
            }
            None => draft.defaults[at].clone(),
        };
        let mut new = draft.columns[at].clone();
        let by_row = match &default {
            _ if draft.generated[at].is_some() || !sequences.is_empty() => true,
            Some(text) => match constant(self.ddl, text, &new.ty).await? {
                Some(value) => {
                    new.missing = value;
                    false
                }
                None => true,
            },
            None => false,
        };
        let not_null = new.not_null;
        let has_rows = (by_row || not_null) && self.has_rows().await?;
        if has_rows && by_row {
            self.fill.push(name.clone());
            if not_null {
                self.fill_not_null.push(name.clone());
                new.not_null = false;
            }
        } else if has_rows && new.missing.is_none() {
            return Err(contains_nulls(&table, &name));
        }
        for (_, sequence) in &sequences {
            let free = Sequence { owned_by: None, ..sequence.clone() };
            self.ddl.apply(Command::CreateSequence(free))?;
        }
        let mut def = table.def().clone();
        let shape = def.shape.make_mut();
        shape.columns.push(new);
        def.defaults.push(default);
        def.generated.push(draft.generated[at].clone());
        def.identity.push(draft.identity[at]);
        def.next_column = ColumnId(def.next_column.0.checked_add(1).ok_or_else(|| {
            SqlError::new(SqlState::TOO_MANY_COLUMNS, "tables can have at most 1600 columns")
        })?);
        self.put(def)?;
        for (_, sequence) in sequences {
            self.ddl.apply(Command::AlterSequence(sequence))?;
        }
        self.ddl.refresh_env();
        Ok(())
    }

    pub(super) async fn drop_column(
        &mut self,
        name: &ast::Ident,
        if_exists: bool,
        cascade: bool,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let name = fold(name);
        let Some(at) = table.shape.columns.iter().position(|column| column.name == name) else {
            if SYSTEM_COLUMNS.contains(&name.as_str()) {
                return Err(SqlError::unsupported(format!("cannot drop system column \"{name}\"")));
            }
            if !if_exists {
                return Err(no_column(&table, &name));
            }
            self.ddl.notice(format!(
                "column \"{name}\" of relation \"{}\" does not exist, skipping",
                table.shape.name
            ));
            return Ok(());
        };
        let id = table.shape.columns[at].id;
        refuse_distribution_column(&table, id)?;
        self.drop_dependents(&table, at, cascade).await?;

        let table = self.current()?;
        let at = table.shape.position(id).ok_or_else(|| no_column(&table, &name))?;
        let mut def = table.def().clone();
        let mut gone = Vec::new();
        let key_goes = table.shape.primary_key.contains(&id);
        let shape = def.shape.make_mut();
        shape.columns.remove(at);
        let mut kept = Vec::new();
        for check in std::mem::take(&mut shape.checks) {
            match stored_text::text_mentions(&check.condition, &name)? {
                true => gone.push(check.name),
                false => kept.push(check),
            }
        }
        shape.checks = kept;
        gone.extend(
            shape
                .foreign_keys
                .iter()
                .filter(|key| key.columns.contains(&id))
                .map(|key| key.name.clone()),
        );
        shape.foreign_keys.retain(|key| !key.columns.contains(&id));
        if key_goes {
            shape.primary_key.clear();
            gone.extend(shape.primary_key_name.take());
        }
        def.defaults.remove(at);
        def.generated.remove(at);
        def.identity.remove(at);
        let state = self.ddl.state();
        let mut indexes = Vec::new();
        for index in state.indexes_of(table.id()) {
            if index_uses(index, id, &name)? {
                indexes.push(index.oid);
                if index.constraint {
                    gone.push(index.name.clone());
                }
            }
        }
        gone.iter().for_each(|name| {
            def.constraint_oids.remove(name);
        });
        for sequence in state.sequences_of(table.id()) {
            if sequence.owned_by.is_some_and(|(_, column)| column == id) {
                self.ddl.apply(Command::DropSequence { sequence: sequence.id })?;
            }
        }
        for oid in indexes {
            self.ddl.apply(Command::DropIndex { oid })?;
        }
        let object = ObjectAddress {
            class: ObjectClass::Relation,
            oid: Oid(table.id().0),
            part: i32::from(id.0),
        };
        self.ddl.apply(Command::SetComment { object, text: None })?;
        if key_goes {
            let values: Vec<Expr> =
                def.shape.columns.iter().map(|column| same_column(&column.name)).collect();
            return self.ddl.rewrite(&table, def, values).await;
        }
        self.put(def)
    }

    /// What others have made of a column goes with CASCADE, and is an error without.
    async fn drop_dependents(&mut self, table: &Table, at: usize, cascade: bool) -> SqlResult<()> {
        let state = self.ddl.state();
        let column = &table.shape.columns[at];
        let what = format!("column {} of table {}", column.name, table.shape.name);
        let mut found: Vec<(String, Dependent)> = Vec::new();
        for (other, generated) in table.shape.columns.iter().zip(&table.generated) {
            if let Some(text) = generated
                && stored_text::text_mentions(text, &column.name)?
                && other.id != column.id
            {
                found.push((
                    format!("column {} of table {}", other.name, table.shape.name),
                    Dependent::Column(other.name.clone()),
                ));
            }
        }
        for key in &table.shape.referenced_by {
            let own = key.table == table.id() && key.columns.contains(&column.id);
            if key.target_columns.contains(&column.id) && !own {
                found.push((
                    format!("constraint {} on table {}", key.name, key.table_name),
                    Dependent::ForeignKey(key.table, key.name.clone()),
                ));
            }
        }
        for oid in self.ddl.views_reading(Oid(table.id().0), Some(at)).await? {
            let Some(reader) = state.relation(oid) else { continue };
            let name = state.relation_name(reader).map_or("", |(_, name)| name);
            found.push((format!("{} {name}", state.kind(reader)), Dependent::View(oid)));
        }
        if found.is_empty() {
            return Ok(());
        }
        if !cascade {
            let lines: Vec<String> =
                found.iter().map(|(name, _)| format!("{name} depends on {what}")).collect();
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop {what} because other objects depend on it"),
            )
            .detail(lines.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        self.ddl.cascade_notice(&names);
        for (_, dependent) in found {
            match dependent {
                Dependent::Column(name) => {
                    Box::pin(self.drop_column(&ident(&name), true, true)).await?;
                }
                Dependent::ForeignKey(table, name) => self.ddl.drop_foreign_key(table, &name)?,
                Dependent::View(oid) => self.ddl.drop_view_tree(oid).await?,
            }
        }
        Ok(())
    }

    pub(super) fn set_default(
        &mut self,
        column: &ast::Ident,
        value: Option<&ast::Expr>,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let (name, ty) = (&table.shape.columns[at].name, &table.shape.columns[at].ty);
        if table.identity[at].is_some() {
            let error = SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "column \"{name}\" of relation \"{}\" is an identity column",
                    table.shape.name
                ),
            );
            return Err(match value {
                Some(_) => error,
                None => error.hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead."),
            });
        }
        if table.generated[at].is_some() {
            let error = SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "column \"{name}\" of relation \"{}\" is a generated column",
                    table.shape.name
                ),
            );
            return Err(match value {
                Some(_) => error,
                None => error.hint("Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead."),
            });
        }
        let mut value = value.cloned();
        if let Some(value) = &mut value {
            let context = self.ddl.bind_context();
            let (usage, source) = (ExpressionUse::Default, &self.ddl.source);
            bind::check_parsed_expression(value, &[], usage, Some(ty), &context, source)
                .map_err(|error| named_mismatch(error, name))?;
            bind::settle_literals(value, Some(ty), &context);
            self.ddl.qualify(value);
        }
        let mut def = table.def().clone();
        def.defaults[at] = value.map(|value| value.to_string());
        self.put(def)
    }

    pub(super) async fn set_not_null(&mut self, column: &ast::Ident) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        if table.shape.columns[at].not_null {
            return Ok(());
        }
        let name = table.shape.columns[at].name.clone();
        let nulls = format!(
            "SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1",
            qualified(&table.shape),
            quote_identifier(&name)
        );
        if self.ddl.first_row(&nulls).await?.is_some() {
            return Err(contains_nulls(&table, &name));
        }
        let mut def = table.def().clone();
        def.shape.make_mut().columns[at].not_null = true;
        self.put(def)
    }

    pub(super) fn drop_not_null(&mut self, column: &ast::Ident) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let column = &table.shape.columns[at];
        if table.shape.primary_key.contains(&column.id) {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("column \"{}\" is in a primary key", column.name),
            ));
        }
        if table.identity[at].is_some() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "column \"{}\" of relation \"{}\" is an identity column",
                    column.name, table.shape.name
                ),
            ));
        }
        if !column.not_null {
            return Ok(());
        }
        let mut def = table.def().clone();
        def.shape.make_mut().columns[at].not_null = false;
        self.put(def)
    }

    pub(super) async fn set_type(
        &mut self,
        column: &ast::Ident,
        data_type: &ast::DataType,
        using: Option<&ast::Expr>,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let ty = self.ddl.data_type(data_type)?;
        let old = table.shape.columns[at].clone();
        refuse_distribution_column(&table, old.id)?;
        let name = old.name.as_str();
        if table.generated[at].is_some() && using.is_some() {
            return Err(SqlError::new(
                SqlState::INVALID_COLUMN_DEFINITION,
                "cannot specify USING when altering type of generated column",
            )
            .detail(format!("Column \"{name}\" is a generated column.")));
        }
        for (other, text) in table.shape.columns.iter().zip(&table.generated) {
            if let Some(text) = text
                && stored_text::text_mentions(text, name)?
            {
                return Err(SqlError::unsupported(
                    "cannot alter type of a column used by a generated column",
                )
                .detail(format!(
                    "Column \"{name}\" is used by generated column \"{}\".",
                    other.name
                )));
            }
        }
        let readers = self.ddl.views_reading(Oid(table.id().0), Some(at)).await?;
        let state = self.ddl.state();
        if let Some(reader) = readers.first().and_then(|oid| state.relation(*oid)) {
            let view = state.relation_name(reader).map_or("", |(_, name)| name);
            let reader = format!("{} {view}", state.kind(reader));
            return Err(SqlError::unsupported(
                "cannot alter type of a column used by a view or rule",
            )
            .detail(format!("rule _RETURN on {reader} depends on column \"{name}\"")));
        }
        if old.ty == ty && using.is_none() {
            return Ok(());
        }
        let foreign = table.shape.foreign_keys.iter().filter(|key| key.columns.contains(&old.id));
        let referring =
            table.shape.referenced_by.iter().filter(|key| key.target_columns.contains(&old.id));
        if let Some(key) = foreign.chain(referring).next()
            && old.ty.without_modifier() != ty.without_modifier()
        {
            return Err(SqlError::unsupported(format!(
                "changing the type of column \"{name}\" is not supported while foreign key \"{}\" \
                 uses it",
                key.name
            ))
            .hint("Drop the constraint first, and add it again afterwards."));
        }
        let value = self.conversion(&table, at, &ty, using)?;
        let mut def = table.def().clone();
        if let Some(default) = &def.defaults[at]
            && table.identity[at].is_none()
        {
            let ddl = &self.ddl;
            let context = BindContext {
                catalog: &ddl.snapshot,
                env: &ddl.env,
                param_types: None,
                param_values: &[],
            };
            let usage = ExpressionUse::Default;
            bind::check_expression(default, &[], usage, Some(&ty), &context).map_err(|error| {
                if error.state() != SqlState::DATATYPE_MISMATCH {
                    return error;
                }
                SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "default for column \"{name}\" cannot be cast automatically to type {ty}"
                    ),
                )
            })?;
        }
        let shape = def.shape.make_mut();
        shape.columns[at].ty = ty.clone();
        shape.columns[at].missing = None;
        self.check_expressions_over(&table, name, &ty)?;
        if let Some(sequence) = identity_sequence(&self.ddl.state(), &table, old.id)
            && table.identity[at].is_some()
        {
            let mut sequence = sequence;
            sequence::retype(&mut sequence, &ty)?;
            self.ddl.apply(Command::AlterSequence(sequence))?;
        }
        if using.is_none() && table.generated[at].is_none() && is_wider(&old.ty, &ty) {
            def.shape.make_mut().columns[at].missing = old.missing;
            return self.put(def);
        }
        let columns = table.shape.columns.iter().enumerate();
        let values: Vec<Expr> = columns
            .map(|(position, column)| match position == at {
                true => value.clone(),
                false => same_column(&column.name),
            })
            .collect();
        self.ddl.rewrite(&table, def, values).await
    }

    /// The expression that turns the old value into one of the new type.
    fn conversion(
        &mut self,
        table: &Table,
        at: usize,
        ty: &PgType,
        using: Option<&ast::Expr>,
    ) -> SqlResult<Expr> {
        let column = &table.shape.columns[at];
        let source = match (using, &table.generated[at]) {
            (Some(using), _) => using.to_string(),
            (None, Some(generated)) => generated.clone(),
            (None, None) => quote_identifier(&column.name),
        };
        let ddl = &self.ddl;
        let context = BindContext {
            catalog: &ddl.snapshot,
            env: &ddl.env,
            param_types: None,
            param_values: &[],
        };
        let columns = expression_columns(table);
        let converted =
            bind::check_expression(&source, &columns, ExpressionUse::Using, Some(ty), &context);
        converted.map(|(expr, _)| expr).map_err(|error| {
            if error.state() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            let how = if using.is_some() {
                format!(
                    "result of USING clause for column \"{}\" cannot be cast automatically to \
                         type {ty}",
                    column.name
                )
            } else {
                format!("column \"{}\" cannot be cast automatically to type {ty}", column.name)
            };
            let hint = if using.is_some() {
                "You might need to add an explicit cast.".to_owned()
            } else {
                format!(
                    "You might need to specify \"USING {}::{ty}\".",
                    quote_identifier(&column.name)
                )
            };
            SqlError::new(SqlState::DATATYPE_MISMATCH, how).hint(hint)
        })
    }

    /// Conditions and index expressions must bind with the column's new type.
    fn check_expressions_over(&mut self, table: &Table, name: &str, ty: &PgType) -> SqlResult<()> {
        let mut columns = expression_columns(table);
        for column in &mut columns {
            if column.name == name {
                column.ty = ty.clone();
            }
        }
        let state = self.ddl.state();
        let ddl = &self.ddl;
        let context = BindContext {
            catalog: &ddl.snapshot,
            env: &ddl.env,
            param_types: None,
            param_values: &[],
        };
        for check in &table.shape.checks {
            let usage = ExpressionUse::Check;
            bind::check_expression(&check.condition, &columns, usage, None, &context)?;
        }
        for index in state.indexes_of(table.id()) {
            for key in &index.keys {
                if let IndexValue::Expression(text) = &key.value {
                    let usage = ExpressionUse::Index;
                    bind::check_expression(text, &columns, usage, None, &context)?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn add_identity(
        &mut self,
        column: &ast::Ident,
        always: bool,
        options: &[SequenceOption],
    ) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let column = table.shape.columns[at].clone();
        let of = format!("column \"{}\" of relation \"{}\"", column.name, table.shape.name);
        let prerequisite =
            |message: String| SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
        if !column.not_null {
            return Err(prerequisite(format!(
                "{of} must be declared NOT NULL before identity can be added"
            )));
        }
        if table.identity[at].is_some() {
            return Err(prerequisite(format!("{of} is already an identity column")));
        }
        if table.defaults[at].is_some() {
            return Err(prerequisite(format!("{of} already has a default value")));
        }
        if !column.ty.is_integer() {
            return Err(sequence::not_an_identity_type());
        }
        let state = self.ddl.state();
        let named = options.iter().find_map(|option| match option {
            SequenceOption::Name(name) => Some(name),
            _ => None,
        });
        let taken = |name: &str| {
            state.schema(table.schema).is_some_and(|schema| schema.relation(name).is_some())
        };
        let name = match named {
            None => super::names::choose(&table.shape.name, Some(&column.name), "seq", taken),
            Some(name) => {
                let (schema, name) = super::names::split(name)?;
                if schema.is_some_and(|schema| schema != table.shape.schema_name) {
                    return Err(prerequisite(
                        "sequence must be in same schema as table it is linked to".into(),
                    ));
                }
                if taken(&name) {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_TABLE,
                        format!("relation \"{name}\" already exists"),
                    ));
                }
                name
            }
        };
        let id: SequenceId = self.ddl.reserve(IdRequest::oids(1)).await?.sequence()?;
        let mut sequence = sequence::fresh(id, name, table.schema, table.owner, column.ty.clone())?;
        sequence::change(&mut sequence, options, true)?;
        self.ddl.apply(Command::CreateSequence(sequence.clone()))?;
        sequence.owned_by = Some((table.id(), column.id));
        let default = sequence::nextval_of(&state, table.schema, &sequence.name);
        self.ddl.apply(Command::AlterSequence(sequence))?;
        let mut def = table.def().clone();
        def.identity[at] = Some(always);
        def.defaults[at] = Some(default);
        self.put(def)
    }

    pub(super) fn set_identity(
        &mut self,
        column: &ast::Ident,
        always: Option<bool>,
        options: &[SequenceOption],
    ) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let column = &table.shape.columns[at];
        if table.identity[at].is_none() {
            return Err(not_identity(&table, &column.name));
        }
        if !options.is_empty()
            && let Some(sequence) = identity_sequence(&self.ddl.state(), &table, column.id)
        {
            self.ddl.change_sequence(sequence, options)?;
        }
        let mut def = table.def().clone();
        def.identity[at] = always.or(def.identity[at]);
        self.put(def)
    }

    pub(super) fn drop_identity(&mut self, column: &ast::Ident, if_exists: bool) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let column = &table.shape.columns[at];
        if table.identity[at].is_none() {
            if if_exists {
                self.ddl.notice(format!(
                    "column \"{}\" of relation \"{}\" is not an identity column, skipping",
                    column.name, table.shape.name
                ));
                return Ok(());
            }
            return Err(not_identity(&table, &column.name));
        }
        if let Some(sequence) = identity_sequence(&self.ddl.state(), &table, column.id) {
            self.ddl.apply(Command::DropSequence { sequence: sequence.id })?;
        }
        let mut def = table.def().clone();
        def.identity[at] = None;
        def.defaults[at] = None;
        self.put(def)
    }

    pub(super) fn drop_expression(
        &mut self,
        column: &ast::Ident,
        if_exists: bool,
    ) -> SqlResult<()> {
        let table = self.current()?;
        let at = position(&table, column)?;
        let column = &table.shape.columns[at];
        if table.generated[at].is_none() {
            let what = format!(
                "column \"{}\" of relation \"{}\" is not a stored generated column",
                column.name, table.shape.name
            );
            if if_exists {
                self.ddl.notice(format!("{what}, skipping"));
                return Ok(());
            }
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, what));
        }
        let mut def = table.def().clone();
        def.generated[at] = None;
        self.put(def)
    }
}

enum Dependent {
    Column(String),
    ForeignKey(satsuma_common::TableId, String),
    View(Oid),
}

fn not_identity(table: &Table, column: &str) -> SqlError {
    SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!(
            "column \"{column}\" of relation \"{}\" is not an identity column",
            table.shape.name
        ),
    )
}

/// PostgreSQL names the column of a default that does not fit.
pub(super) fn named_mismatch(error: SqlError, column: &str) -> SqlError {
    if error.state() != SqlState::DATATYPE_MISMATCH {
        return error;
    }
    let message =
        error.message().replacen("column is of", &format!("column \"{column}\" is of"), 1);
    SqlError::new(SqlState::DATATYPE_MISMATCH, message)
        .hint("You will need to rewrite or cast the expression.")
}

/// Whether every stored value of the old type is one of the new, in the same form.
fn is_wider(old: &PgType, new: &PgType) -> bool {
    if old == new {
        return true;
    }
    match (old, new) {
        (PgType::Varchar(Some(old)), PgType::Varchar(Some(new))) => new >= old,
        (PgType::Varchar(_), PgType::Varchar(None) | PgType::Text)
        | (PgType::Text, PgType::Varchar(None)) => true,
        (PgType::Precise(..), _) | (_, PgType::Precise(..)) => {
            satsuma_sql::casts::matrix::is_relabelling(old, new)
        }
        _ => false,
    }
}

/// The value of a default that is the same for every row, in the form rows have it; `None` where
/// it is not.
pub(super) async fn constant(
    ddl: &Ddl<'_>,
    text: &str,
    ty: &PgType,
) -> SqlResult<Option<Option<Vec<u8>>>> {
    let context =
        BindContext { catalog: &ddl.snapshot, env: &ddl.env, param_types: None, param_values: &[] };
    let (expr, _) = bind::check_expression(text, &[], ExpressionUse::Default, Some(ty), &context)?;
    if expr.is_volatile() {
        return Ok(None);
    }
    let value = evaluate(ddl, expr).await?;
    let bytes = encode_value(&value, ty)
        .map_err(|error| SqlError::internal(format!("a default is not a value: {error}")))?;
    Ok(Some(bytes))
}

/// Computes an expression over nothing.
async fn evaluate(ddl: &Ddl<'_>, expr: Expr) -> SqlResult<satsuma_common::Datum> {
    let to_sql = satsuma_sql::engine_error::to_sql;
    let one_row = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: true,
        schema: std::sync::Arc::new(datafusion::common::DFSchema::empty()),
    });
    let plan = LogicalPlanBuilder::from(one_row)
        .project([expr.alias("value")])
        .and_then(LogicalPlanBuilder::build)
        .map_err(to_sql)?;
    let rows = ddl.cluster.executor.run_local(&plan).await?;
    let row = rows.iter().find(|batch| batch.num_rows() == 1);
    let row = row.ok_or_else(|| SqlError::internal("a value has no row"))?;
    let ty = arrow_types::pg_type(row.schema().field(0));
    arrow_values::datum_at(row.column(0).as_ref(), 0, &ty)
}

/// A column of the old row as it is.
pub(super) fn same_column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
