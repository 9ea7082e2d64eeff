//! CREATE TABLE.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::table::{Check, Column, TableShape};
use satsuma_common::{ColumnId, Oid, PgType, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bind::{self, BindContext, ExpressionColumn, ExpressionUse};
use satsuma_sql::parse::{self, Like};
use sqlparser::ast;

use super::alter_column::named_mismatch;
use super::alter_constraint::NewConstraint;
use super::{Ddl, foreign_key, like_table, names, storage_parameters, stored_text};
use crate::catalog::{
    ColocateWith, Command, DistributionRequest, IdRequest, Ids, Index, IndexKey, Sequence, Shared,
    State, Table, TableDef, TableDistribution, plan,
};
use crate::session_api::{Notice, Severity};

/// Most columns of a table, as in PostgreSQL.
const MAX_COLUMNS: usize = 1600;

/// A table as it is put together.
pub(super) struct Draft {
    schema_name: String,
    name: String,
    pub columns: Vec<Column>,
    pub defaults: Vec<Option<String>>,
    pub generated: Vec<Option<String>>,
    pub identity: Vec<Option<bool>>,
    /// Defaults and generation expressions of the statement's own text, by column.
    written: BTreeMap<usize, ast::Expr>,
    pub serials: Vec<Serial>,
    primary_key: Option<(Option<String>, KeyColumns)>,
    unique: Vec<Unique>,
    checks: Vec<(Option<String>, Option<String>, ast::Expr)>,
    foreign_keys: Vec<(Option<String>, Vec<String>, ast::ForeignKeyConstraint)>,
}

/// The names of a key's columns, and of those that its index has besides.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyColumns {
    pub columns: Vec<String>,
    pub included: Vec<String>,
}

impl KeyColumns {
    fn one(column: String) -> Self {
        Self { columns: vec![column], included: Vec::new() }
    }

    /// What the names of constraints have of it.
    pub fn label(&self) -> String {
        let all: Vec<&str> =
            self.columns.iter().chain(&self.included).map(String::as_str).collect();
        all.join("_")
    }
}

/// A UNIQUE constraint.
pub(super) struct Unique {
    pub name: Option<String>,
    pub key: KeyColumns,
    pub nulls_not_distinct: bool,
}

/// A column whose values come from a sequence of its own.
pub(super) struct Serial {
    pub column: usize,
    pub ty: PgType,
    pub options: Vec<ast::SequenceOptions>,
}

/// What CREATE TABLE and CREATE TABLE AS say of the table as a whole.
pub(super) struct NewTable<'a> {
    pub name: &'a ast::ObjectName,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub on_commit: Option<ast::OnCommit>,
}

pub async fn create_table(
    ddl: &mut Ddl<'_>,
    create: &ast::CreateTable,
    likes: &[Like],
) -> SqlResult<()> {
    refuse_unsupported(create)?;
    let parameters = storage_parameters::of_create(&create.table_options)?;
    let new = NewTable {
        name: &create.name,
        temporary: create.temporary,
        if_not_exists: create.if_not_exists,
        on_commit: create.on_commit,
    };
    let Some((schema, name)) = place_for(ddl, &new).await? else { return Ok(()) };
    let mut draft = Draft::new(ddl, schema, name);
    let mut copied = Vec::new();
    let count = create.columns.len();
    for position in 0..=count {
        for like in likes.iter().filter(|like| like.position.min(count) == position) {
            copied.push(like_table::copy_columns(ddl, &mut draft, like)?);
        }
        if let Some(column) = create.columns.get(position) {
            draft.column(ddl, column)?;
        }
    }
    if draft.columns.len() > MAX_COLUMNS {
        return Err(SqlError::new(
            SqlState(*b"54011"),
            format!("tables can have at most {MAX_COLUMNS} columns"),
        ));
    }
    for constraint in &create.constraints {
        draft.constraint(constraint)?;
    }
    let table = create_from(ddl, schema, draft, &new).await?;
    ddl.set_options(table, &parameters)?;
    for like in copied {
        like_table::copy_rest(ddl, table, like).await?;
    }
    Ok(())
}

/// The schema that a new table goes to, and its name; `None` when it is there and may be.
pub(super) async fn place_for(
    ddl: &mut Ddl<'_>,
    new: &NewTable<'_>,
) -> SqlResult<Option<(Oid, String)>> {
    let (schema, name) = names::split(new.name)?;
    let is_temporary = new.temporary || schema.as_deref() == Some("pg_temp");
    if new.on_commit.is_some() && !is_temporary {
        return Err(SqlError::new(
            SqlState::INVALID_TABLE_DEFINITION,
            "ON COMMIT can only be used on temporary tables",
        ));
    }
    let schema = ddl.schema_for(schema.as_deref(), new.temporary).await?;
    let state = ddl.state();
    let taken = |schema: &crate::catalog::Schema| {
        schema.relation(&name).is_some() || schema.user_type(&name).is_some()
    };
    if state.schema(schema).is_some_and(taken) {
        let message = format!("relation \"{name}\" already exists");
        if !new.if_not_exists {
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
        }
        let notice = SqlError::new(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
        ddl.notices.push(Notice::new(Severity::Notice, notice));
        return Ok(None);
    }
    Ok(Some((schema, name)))
}

/// Makes the table, with one shard, as a local one.
pub(super) async fn create_from(
    ddl: &mut Ddl<'_>,
    schema_oid: Oid,
    draft: Draft,
    new: &NewTable<'_>,
) -> SqlResult<TableId> {
    let state = ddl.state();
    let request = DistributionRequest {
        distribution: TableDistribution::Local,
        column_type: None,
        shard_count: 1,
        colocate_with: ColocateWith::Default,
    };
    let place = plan(&state, &request)?;
    let mut needed = place.ids(&state);
    // Table, row type's stand-in, sequences, index, and one oid per constraint.
    let constraints = 1 + draft.checks.len() + draft.foreign_keys.len() + 2 * draft.unique.len();
    needed += IdRequest::oids((2 + draft.serials.len() + constraints) as u32);
    let mut ids = ddl.reserve(needed).await?;
    let table = ids.table()?;

    let sequences = draft.sequences(&state, schema_oid, ddl.snapshot.user, table, &mut ids)?;
    let placed = place.commands(&state, &mut ids)?;
    let (mut def, indexes) = draft.finish(ddl, &state, schema_oid, table, &sequences, &mut ids)?;
    foreign_key::settle_defaults(ddl, &mut def).await?;

    if let Some(colocation) = placed.colocation {
        ddl.apply(colocation)?;
    }
    let parents: BTreeSet<TableId> =
        def.shape.foreign_keys.iter().map(|key| key.target).filter(|id| *id != table).collect();
    for parent in &parents {
        if let Some(parent) = state.table_arc(*parent) {
            ddl.lock_table(&parent).await?;
        }
    }
    let command =
        Command::CreateTable { def: def.clone(), placement: placed.placement.clone(), indexes };
    for sequence in sequences.into_iter().map(|(_, sequence)| sequence) {
        let owned_by = sequence.owned_by;
        ddl.apply(Command::CreateSequence(Sequence { owned_by: None, ..sequence.clone() }))?;
        // Ownership is set once there is a table to own it.
        ddl.pending_ownership.push(Sequence { owned_by, ..sequence });
    }
    ddl.apply(command)?;
    for sequence in std::mem::take(&mut ddl.pending_ownership) {
        ddl.apply(Command::AlterSequence(sequence))?;
    }
    let stored = ddl.state().table_arc(table);
    let stored = stored.ok_or_else(|| SqlError::internal("the new table is not there"))?;
    ddl.create_shards(stored.def(), stored.placement()).await?;
    if let Some(action) = new.on_commit.filter(|action| *action != ast::OnCommit::PreserveRows) {
        ddl.on_commit.insert(table, action);
    }
    ddl.refresh_env();
    Ok(table)
}

fn refuse_unsupported(create: &ast::CreateTable) -> SqlResult<()> {
    let refused = [
        (create.query.is_some(), "CREATE TABLE AS"),
        (create.like.is_some() || create.clone.is_some(), "CREATE TABLE ... LIKE"),
        (create.inherits.is_some(), "table inheritance"),
        (create.partition_by.is_some() || create.partition_of.is_some(), "declarative partitions"),
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (create.external, "foreign tables"),
    ];
    match refused.iter().find(|(is_used, _)| *is_used) {
        Some((_, what)) => Err(SqlError::unsupported(format!("{what} are not supported yet"))),
        None => Ok(()),
    }
}

/// The sequence type behind `serial` and its relatives.
fn serial_type(data_type: &ast::DataType) -> Option<PgType> {
    match data_type.to_string().to_ascii_lowercase().as_str() {
        "bigserial" | "serial8" => Some(PgType::Int8),
        "serial" | "serial4" => Some(PgType::Int4),
        "smallserial" | "serial2" => Some(PgType::Int2),
        _ => None,
    }
}

impl Draft {
    pub fn new(ddl: &mut Ddl<'_>, schema: Oid, name: String) -> Self {
        let state = ddl.state();
        Self {
            schema_name: state.schema(schema).map_or(String::new(), |schema| schema.name.clone()),
            name,
            columns: Vec::new(),
            defaults: Vec::new(),
            generated: Vec::new(),
            identity: Vec::new(),
            written: BTreeMap::new(),
            serials: Vec::new(),
            primary_key: None,
            unique: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
        }
    }

    /// A column of which only name and type are known.
    pub fn plain_column(&mut self, name: String, ty: PgType) -> SqlResult<()> {
        self.check_column_head(&name, &ty)?;
        self.columns.push(Column {
            id: ColumnId(u16::try_from(self.columns.len() + 1).unwrap_or(u16::MAX)),
            name,
            ty,
            not_null: false,
            missing: None,
        });
        self.defaults.push(None);
        self.generated.push(None);
        self.identity.push(None);
        Ok(())
    }

    /// A CHECK constraint as a statement would add it.
    pub fn add_check(&mut self, name: Option<String>, condition: ast::Expr) {
        self.checks.push((name, None, condition));
    }

    fn check_column_head(&self, name: &str, ty: &PgType) -> SqlResult<()> {
        if self.columns.iter().any(|known| known.name == name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        names::refuse_system_column(name)?;
        if matches!(ty, PgType::Unknown | PgType::Record | PgType::Void) {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("column \"{name}\" has pseudo-type {ty}"),
            ));
        }
        Ok(())
    }

    /// A table that is there, without its constraints: to add columns to.
    pub fn of(table: &Table) -> Self {
        Self {
            schema_name: table.shape.schema_name.clone(),
            name: table.shape.name.clone(),
            columns: table.shape.columns.clone(),
            defaults: table.defaults.clone(),
            generated: table.generated.clone(),
            identity: table.identity.clone(),
            written: BTreeMap::new(),
            serials: Vec::new(),
            primary_key: None,
            unique: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
        }
    }

    /// Constraints that came with the columns since [`Self::of`].
    pub fn new_constraints(&mut self) -> Vec<NewConstraint> {
        let key = self.primary_key.take();
        let key = key.map(|(name, columns)| NewConstraint::PrimaryKey { name, columns });
        let unique = std::mem::take(&mut self.unique).into_iter().map(NewConstraint::Unique);
        let checks = std::mem::take(&mut self.checks).into_iter();
        let checks = checks.map(|(name, column, condition)| NewConstraint::Check {
            name,
            column,
            condition: Box::new(condition),
        });
        let foreign = std::mem::take(&mut self.foreign_keys).into_iter();
        let foreign = foreign.map(|(name, columns, key)| NewConstraint::ForeignKey {
            name,
            columns,
            key: Box::new(key),
        });
        key.into_iter().chain(unique).chain(checks).chain(foreign).collect()
    }

    pub fn column(&mut self, ddl: &Ddl<'_>, column: &ast::ColumnDef) -> SqlResult<()> {
        let name = names::fold(&column.name);
        let position = self.columns.len();
        let serial = serial_type(&column.data_type);
        let ty = match &serial {
            Some(ty) => ty.clone(),
            None => ddl.data_type(&column.data_type)?,
        };
        self.check_column_head(&name, &ty)?;
        let mut not_null = serial.is_some();
        let mut nullable = false;
        let (mut default, mut generated, mut identity) = (None, None, None);
        for option in &column.options {
            let label = option.name.as_ref().map(names::fold);
            match &option.option {
                ast::ColumnOption::Null => nullable = true,
                ast::ColumnOption::NotNull => not_null = true,
                ast::ColumnOption::Default(_) if default.is_some() => {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "multiple default values specified for column \"{name}\" of table \
                             \"{}\"",
                            self.name
                        ),
                    ));
                }
                ast::ColumnOption::Default(expr) => {
                    self.written.insert(position, expr.clone());
                    let mut expr = expr.clone();
                    bind::settle_literals(&mut expr, Some(&ty), &ddl.bind_context());
                    ddl.qualify(&mut expr);
                    default = Some(expr.to_string());
                }
                ast::ColumnOption::PrimaryKey(key) => {
                    refuse_deferrable(key.characteristics.as_ref(), "primary keys")?;
                    self.set_primary_key(label, KeyColumns::one(name.clone()))?;
                }
                ast::ColumnOption::Check(check) => {
                    self.checks.push((label, Some(name.clone()), check.expr.as_ref().clone()));
                }
                ast::ColumnOption::ForeignKey(key) => {
                    self.foreign_keys.push((label, vec![name.clone()], key.clone()));
                }
                ast::ColumnOption::Unique(constraint) => {
                    let key = KeyColumns::one(name.clone());
                    self.unique.push(Unique::new(label, key, constraint)?);
                }
                ast::ColumnOption::Generated { generation_expr: Some(_), .. }
                    if generated.is_some() =>
                {
                    return Err(self.conflicting(&name, "multiple generation clauses specified"));
                }
                ast::ColumnOption::Generated { generation_expr: None, .. }
                    if identity.is_some() =>
                {
                    return Err(self.conflicting(&name, "multiple identity specifications"));
                }
                ast::ColumnOption::Generated { generation_expr: Some(expr), .. } => {
                    self.written.insert(position, expr.clone());
                    generated = Some(expr.to_string());
                }
                ast::ColumnOption::Generated { generated_as, sequence_options, .. } => {
                    identity = Some(*generated_as == ast::GeneratedAs::Always);
                    not_null = true;
                    self.serials.push(Serial {
                        column: position,
                        ty: ty.clone(),
                        options: sequence_options.clone().unwrap_or_default(),
                    });
                }
                ast::ColumnOption::Collation(collation) => {
                    bind::check_collation(collation)?;
                    bind::check_collatable(&ty)?;
                }
                other => {
                    return Err(SqlError::unsupported(format!(
                        "column option {other} is not supported"
                    )));
                }
            }
            let has_default = default.is_some() || serial.is_some();
            let both = match (has_default, identity.is_some(), generated.is_some()) {
                (true, true, _) => "both default and identity specified",
                (true, _, true) => "both default and generation expression specified",
                (_, true, true) => "both identity and generation expression specified",
                _ => continue,
            };
            return Err(self.conflicting(&name, both));
        }
        if identity.is_some() && !ty.is_integer() {
            return Err(super::sequence::not_an_identity_type());
        }
        if nullable && not_null {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "conflicting NULL/NOT NULL declarations for column \"{name}\" of table \"{}\"",
                    self.name
                ),
            ));
        }
        if let Some(ty) = serial {
            self.serials.push(Serial { column: position, ty, options: Vec::new() });
        }
        self.columns.push(Column {
            id: ColumnId(u16::try_from(position + 1).unwrap_or(u16::MAX)),
            name,
            ty,
            not_null,
            missing: None,
        });
        self.defaults.push(default);
        self.generated.push(generated);
        self.identity.push(identity);
        Ok(())
    }

    /// 42601 for clauses of a column that do not go together.
    fn conflicting(&self, column: &str, what: &str) -> SqlError {
        SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("{what} for column \"{column}\" of table \"{}\"", self.name),
        )
    }

    fn constraint(&mut self, constraint: &ast::TableConstraint) -> SqlResult<()> {
        match constraint {
            ast::TableConstraint::PrimaryKey(key) => {
                refuse_deferrable(key.characteristics.as_ref(), "primary keys")?;
                let columns = key_columns(&key.columns)?;
                self.set_primary_key(key.name.as_ref().map(names::fold), columns)
            }
            ast::TableConstraint::Check(check) => {
                let label = check.name.as_ref().map(names::fold);
                self.checks.push((label, None, check.expr.as_ref().clone()));
                Ok(())
            }
            ast::TableConstraint::ForeignKey(key) => {
                let columns = key.columns.iter().map(names::fold).collect();
                self.foreign_keys.push((key.name.as_ref().map(names::fold), columns, key.clone()));
                Ok(())
            }
            ast::TableConstraint::Unique(constraint) => {
                let name = constraint.name.as_ref().map(names::fold);
                let columns = key_columns(&constraint.columns)?;
                self.unique.push(Unique::new(name, columns, constraint)?);
                Ok(())
            }
            other => Err(SqlError::unsupported(format!("constraint {other} is not supported"))),
        }
    }

    fn set_primary_key(&mut self, name: Option<String>, columns: KeyColumns) -> SqlResult<()> {
        if self.primary_key.is_some() {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{}\" are not allowed", self.name),
            ));
        }
        self.primary_key = Some((name, columns));
        Ok(())
    }

    fn position(&self, column: &str) -> SqlResult<usize> {
        self.columns.iter().position(|known| known.name == column).ok_or_else(|| {
            SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{column}\" named in key does not exist"),
            )
        })
    }

    fn included(&self, key: &KeyColumns) -> SqlResult<Vec<ColumnId>> {
        key.included.iter().map(|name| Ok(self.columns[self.position(name)?].id)).collect()
    }

    /// Sequences of serial and identity columns, with the position of the column.
    pub fn sequences(
        &self,
        state: &State,
        schema: Oid,
        owner: Oid,
        table: TableId,
        ids: &mut Ids,
    ) -> SqlResult<Vec<(usize, Sequence)>> {
        let mut taken: Vec<String> = vec![self.name.clone()];
        let mut sequences = Vec::new();
        for serial in &self.serials {
            let column = &self.columns[serial.column];
            let name = names::choose(&self.name, Some(&column.name), "seq", |name| {
                taken.iter().any(|known| known == name)
                    || state.schema(schema).is_some_and(|schema| schema.relation(name).is_some())
            });
            taken.push(name.clone());
            let mut sequence = Sequence {
                id: ids.sequence()?,
                name,
                schema,
                owner,
                ty: serial.ty.clone(),
                start: 1,
                increment: 1,
                min: 1,
                max: match serial.ty {
                    PgType::Int2 => i64::from(i16::MAX),
                    PgType::Int4 => i64::from(i32::MAX),
                    _ => i64::MAX,
                },
                cache: 1,
                cycle: false,
                owned_by: Some((table, column.id)),
            };
            super::sequence::apply_options(&mut sequence, &serial.options)?;
            sequences.push((serial.column, sequence));
        }
        Ok(sequences)
    }

    /// Resolves constraints and defaults: the definition and the primary key's index.
    fn finish(
        mut self,
        ddl: &Ddl<'_>,
        state: &State,
        schema: Oid,
        table: TableId,
        sequences: &[(usize, Sequence)],
        ids: &mut Ids,
    ) -> SqlResult<(TableDef, Vec<Index>)> {
        for (position, sequence) in sequences {
            if self.identity[*position].is_some() {
                // Identity columns draw from their sequence without a default in the catalog.
                continue;
            }
            if self.defaults[*position].is_some() {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!(
                        "multiple default values specified for column \"{}\" of table \"{}\"",
                        self.columns[*position].name, self.name
                    ),
                ));
            }
            let default = super::sequence::nextval_of(state, schema, &sequence.name);
            self.defaults[*position] = Some(default);
        }
        for (position, sequence) in sequences {
            if self.identity[*position].is_some() {
                let default = super::sequence::nextval_of(state, schema, &sequence.name);
                self.defaults[*position] = Some(default);
            }
        }
        let mut constraint_oids = BTreeMap::new();
        let (mut primary_key, mut primary_key_name, mut indexes) = (Vec::new(), None, Vec::new());
        if let Some((name, key)) = self.primary_key.take() {
            let include = self.included(&key)?;
            for column in &key.columns {
                let position = self.position(column)?;
                let id = self.columns[position].id;
                if primary_key.contains(&id) {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_COLUMN,
                        format!("column \"{column}\" appears twice in primary key constraint"),
                    ));
                }
                self.columns[position].not_null = true;
                primary_key.push(id);
            }
            let name = name.unwrap_or_else(|| {
                names::choose(&self.name, None, "pkey", |name| {
                    state.schema(schema).is_some_and(|schema| schema.relation(name).is_some())
                })
            });
            constraint_oids.insert(name.clone(), ids.oid()?);
            indexes.push(Index {
                oid: ids.oid()?,
                name: name.clone(),
                schema,
                table,
                method: "btree".into(),
                keys: primary_key.iter().copied().map(IndexKey::column).collect(),
                include,
                unique: true,
                primary: true,
                constraint: true,
                nulls_not_distinct: false,
                predicate: None,
            });
            primary_key_name = Some(name);
        }
        self.unique_indexes(state, (schema, table), &mut constraint_oids, &mut indexes, ids)?;
        self.check_expressions(ddl)?;
        let checks = self.named_checks(&mut constraint_oids, ids)?;
        let mut own = TableShape {
            table,
            version: 1,
            schema_name: self.schema_name.clone(),
            name: self.name.clone(),
            columns: self.columns,
            primary_key,
            primary_key_name,
            checks,
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            indexes: Vec::new(),
        };
        own.indexes = indexes.iter().filter_map(|index| index.shape(&own)).collect();
        if let Some(index) =
            indexes.iter().find(|index| !index.primary && own.index(index.oid).is_none())
        {
            return Err(SqlError::unsupported(format!(
                "unique constraint \"{}\" is on a column whose type has no order",
                index.name
            )));
        }
        let mut foreign_keys = Vec::new();
        for (name, columns, constraint) in &self.foreign_keys {
            let key = foreign_key::resolve(
                ddl,
                state,
                &own,
                name.clone(),
                columns,
                constraint,
                &constraint_oids,
            )?;
            constraint_oids.insert(key.name.clone(), ids.oid()?);
            foreign_keys.push(key);
        }
        let next_column = ColumnId(u16::try_from(own.columns.len() + 1).unwrap_or(u16::MAX));
        let shape = TableShape { foreign_keys, ..own };
        let def = TableDef {
            shape: Shared::new(shape),
            schema,
            owner: ddl.snapshot.user,
            defaults: self.defaults,
            generated: self.generated,
            identity: self.identity,
            constraint_oids,
            next_column,
            options: Vec::new(),
            not_valid: BTreeSet::new(),
        };
        Ok((def, indexes))
    }

    /// The indexes of UNIQUE constraints. One that another key has already gets none.
    fn unique_indexes(
        &self,
        state: &State,
        (schema, table): (Oid, TableId),
        constraint_oids: &mut BTreeMap<String, Oid>,
        indexes: &mut Vec<Index>,
        ids: &mut Ids,
    ) -> SqlResult<()> {
        for unique in &self.unique {
            let include = self.included(&unique.key)?;
            let mut columns = Vec::with_capacity(unique.key.columns.len());
            for column in &unique.key.columns {
                let id = self.columns[self.position(column)?].id;
                if columns.contains(&id) {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_COLUMN,
                        format!("column \"{column}\" appears twice in unique constraint"),
                    ));
                }
                columns.push(id);
            }
            // PostgreSQL makes one index of two equal constraints.
            let same = indexes.iter().any(|index: &Index| {
                index.columns().as_ref() == Some(&columns)
                    && index.include == include
                    && index.nulls_not_distinct == unique.nulls_not_distinct
            });
            if same && unique.name.is_none() {
                continue;
            }
            let taken = |name: &str| {
                indexes.iter().any(|index| index.name == name)
                    || state.schema(schema).is_some_and(|schema| schema.relation(name).is_some())
            };
            let name = match &unique.name {
                Some(name) if taken(name) => {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_TABLE,
                        format!("relation \"{name}\" already exists"),
                    ));
                }
                Some(name) => name.clone(),
                None => names::choose(&self.name, Some(&unique.key.label()), "key", taken),
            };
            constraint_oids.insert(name.clone(), ids.oid()?);
            indexes.push(Index {
                oid: ids.oid()?,
                name,
                schema,
                table,
                method: "btree".into(),
                keys: columns.into_iter().map(IndexKey::column).collect(),
                include,
                unique: true,
                primary: false,
                constraint: true,
                nulls_not_distinct: unique.nulls_not_distinct,
                predicate: None,
            });
        }
        Ok(())
    }

    /// Defaults, generated columns and conditions must bind, now rather than at the first row.
    fn check_expressions(&self, ddl: &Ddl<'_>) -> SqlResult<()> {
        let columns: Vec<ExpressionColumn> = self
            .columns
            .iter()
            .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
            .collect();
        let context = BindContext {
            catalog: &ddl.snapshot,
            env: &ddl.env,
            param_types: None,
            param_values: &[],
        };
        (0..self.columns.len()).try_for_each(|position| self.check_column(ddl, position))?;
        for (_, _, condition) in &self.checks {
            let usage = ExpressionUse::Check;
            let source = &ddl.source;
            bind::check_parsed_expression(condition, &columns, usage, None, &context, source)?;
        }
        Ok(())
    }

    /// The column's default or generation expression must bind.
    pub fn check_column(&self, ddl: &Ddl<'_>, position: usize) -> SqlResult<()> {
        let columns: Vec<ExpressionColumn> = self
            .columns
            .iter()
            .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
            .collect();
        let context = BindContext {
            catalog: &ddl.snapshot,
            env: &ddl.env,
            param_types: None,
            param_values: &[],
        };
        let Column { name, ty, .. } = &self.columns[position];
        let is_serial = self.serials.iter().any(|serial| serial.column == position);
        let default = self.defaults[position].as_ref().filter(|_| !is_serial);
        let uses = [
            (ExpressionUse::Default, default),
            (ExpressionUse::Generated, self.generated[position].as_ref()),
        ];
        for (usage, text) in uses {
            let Some(text) = text else { continue };
            let checked = match self.written.get(&position) {
                Some(expr) => {
                    let (to, source) = (Some(ty), &ddl.source);
                    bind::check_parsed_expression(expr, &columns, usage, to, &context, source)
                }
                None => bind::check_expression(text, &columns, usage, Some(ty), &context),
            };
            checked.map_err(|error| named_mismatch(error, name))?;
            let parsed;
            let expr = match self.written.get(&position) {
                Some(expr) => expr,
                None => {
                    parsed = parse::parse_expression(text)?.0;
                    &parsed
                }
            };
            if usage == ExpressionUse::Generated {
                self.refuse_nested(ddl, expr)?;
            }
            ddl.refuse_changing(expr, &columns, usage)?;
        }
        Ok(())
    }

    /// 42P17 for a generated column that is made of another one.
    fn refuse_nested(&self, ddl: &Ddl<'_>, expr: &ast::Expr) -> SqlResult<()> {
        let generated = self.columns.iter().zip(&self.generated);
        let names = generated.filter(|(_, text)| text.is_some()).map(|(column, _)| &column.name);
        match names.into_iter().find(|name| stored_text::mentions(expr, name)) {
            None => Ok(()),
            Some(name) => Err(SqlError::new(
                SqlState::INVALID_OBJECT_DEFINITION,
                format!("cannot use generated column \"{name}\" in column generation expression"),
            )
            .detail("A generated column cannot reference another generated column.")
            .at(ddl.source.position(ast::Spanned::span(expr).start))),
        }
    }

    fn named_checks(
        &self,
        constraint_oids: &mut BTreeMap<String, Oid>,
        ids: &mut Ids,
    ) -> SqlResult<Vec<Check>> {
        let mut checks = Vec::new();
        for (name, column, condition) in &self.checks {
            let column = column.clone().or_else(|| self.only_column(condition));
            let name = match name {
                Some(name) if constraint_oids.contains_key(name) => {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_OBJECT,
                        format!(
                            "constraint \"{name}\" for relation \"{}\" already exists",
                            self.name
                        ),
                    ));
                }
                Some(name) => name.clone(),
                None => names::choose(&self.name, column.as_deref(), "check", |name| {
                    constraint_oids.contains_key(name)
                }),
            };
            constraint_oids.insert(name.clone(), ids.oid()?);
            let condition = stored_text::without_parentheses(condition).to_string();
            checks.push(Check { name, condition });
        }
        Ok(checks)
    }

    /// The one column that a condition names, for the constraint's name.
    fn only_column(&self, condition: &ast::Expr) -> Option<String> {
        let mut named = BTreeSet::new();
        let _ = ast::visit_expressions(condition, |expr| {
            if let ast::Expr::Identifier(ident) = expr {
                named.insert(names::fold(ident));
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        named.retain(|name| self.columns.iter().any(|column| column.name == *name));
        if named.len() == 1 { named.pop_first() } else { None }
    }
}

/// Names in the column list of a key.
pub(super) fn key_columns(columns: &[ast::IndexColumn]) -> SqlResult<KeyColumns> {
    let mut key = KeyColumns::default();
    for column in columns {
        match &column.column.expr {
            ast::Expr::Identifier(ident) => match parse::included(ident) {
                Some(name) => key.included.push(name.to_owned()),
                None => key.columns.push(names::fold(ident)),
            },
            other => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!("syntax error at or near \"{other}\""),
                ));
            }
        }
    }
    Ok(key)
}

pub(super) fn refuse_deferrable(
    characteristics: Option<&ast::ConstraintCharacteristics>,
    what: &str,
) -> SqlResult<()> {
    if foreign_key::timing(characteristics)?.is_deferrable() {
        return Err(SqlError::unsupported(format!("deferrable {what} are not supported"))
            .hint("Only foreign keys can be deferrable."));
    }
    Ok(())
}

impl Unique {
    pub fn new(
        name: Option<String>,
        key: KeyColumns,
        constraint: &ast::UniqueConstraint,
    ) -> SqlResult<Self> {
        refuse_deferrable(constraint.characteristics.as_ref(), "unique constraints")?;
        let nulls_not_distinct = constraint.nulls_distinct == ast::NullsDistinctOption::NotDistinct;
        Ok(Self { name, key, nulls_not_distinct })
    }
}
