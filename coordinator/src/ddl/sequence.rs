//! Sequences: CREATE SEQUENCE, their options, and the default that draws from one.

use satsuma_common::{ColumnId, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bind;
use satsuma_sql::parse::SequenceOption;
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{Command, IdRequest, Sequence, State, quote_identifier};
use crate::session_api::{Notice, Severity};

pub async fn create_sequence(ddl: &mut Ddl<'_>, statement: &ast::Statement) -> SqlResult<()> {
    let ast::Statement::CreateSequence {
        temporary,
        if_not_exists,
        name,
        data_type,
        sequence_options,
        owned_by,
    } = statement
    else {
        return Err(SqlError::internal("not a CREATE SEQUENCE"));
    };
    let (schema, name) = names::split(name)?;
    let schema = ddl.schema_for(schema.as_deref(), *temporary).await?;
    let state = ddl.state();
    if state.schema(schema).is_some_and(|schema| schema.relation(&name).is_some()) {
        let message = format!("relation \"{name}\" already exists");
        if !if_not_exists {
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
        }
        let notice = SqlError::new(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
        ddl.notices.push(Notice::new(Severity::Notice, notice));
        return Ok(());
    }
    let ty = match data_type {
        Some(ty) => ddl.data_type(ty)?,
        None => PgType::Int8,
    };
    let owned_by = match owned_by {
        Some(owner) => owner_column(ddl, schema, owner)?,
        None => None,
    };
    let id = ddl.reserve(IdRequest::oids(1)).await?.sequence()?;
    let mut sequence = Sequence {
        id,
        name,
        schema,
        owner: ddl.snapshot.user,
        max: largest(&ty)?,
        ty,
        start: 1,
        increment: 1,
        min: 1,
        cache: 1,
        cycle: false,
        owned_by,
    };
    apply_options(&mut sequence, sequence_options)?;
    ddl.apply(Command::CreateSequence(sequence))?;
    Ok(())
}

/// The largest value of a sequence's type.
fn largest(ty: &PgType) -> SqlResult<i64> {
    match ty {
        PgType::Int2 => Ok(i64::from(i16::MAX)),
        PgType::Int4 => Ok(i64::from(i32::MAX)),
        PgType::Int8 => Ok(i64::MAX),
        _ => Err(invalid("sequence type must be smallint, integer, or bigint")),
    }
}

/// A sequence as CREATE SEQUENCE without options makes it.
pub(super) fn fresh(
    id: SequenceId,
    name: String,
    schema: Oid,
    owner: Oid,
    ty: PgType,
) -> SqlResult<Sequence> {
    Ok(Sequence {
        id,
        name,
        schema,
        owner,
        max: largest(&ty)?,
        ty,
        start: 1,
        increment: 1,
        min: 1,
        cache: 1,
        cycle: false,
        owned_by: None,
    })
}

/// The sequence's type becomes another one: bounds that were the old type's become the new one's.
pub(super) fn retype(sequence: &mut Sequence, ty: &PgType) -> SqlResult<()> {
    let (old, new) = (largest(&sequence.ty)?, largest(ty)?);
    if sequence.max == old || sequence.max > new {
        sequence.max = if sequence.increment > 0 { new } else { sequence.max };
    }
    if sequence.min == -old - 1 || sequence.min < -new - 1 {
        sequence.min = -new - 1;
    }
    sequence.ty = ty.clone();
    Ok(())
}

/// Changes a sequence by the options of ALTER SEQUENCE; `new` where it has not been used, so that
/// it starts where its bounds say. Answers with where it is to start over.
pub(super) fn change(
    sequence: &mut Sequence,
    options: &[SequenceOption],
    new: bool,
) -> SqlResult<Option<i64>> {
    let mut start = None;
    let mut restart = None;
    for option in options {
        match option {
            SequenceOption::Increment(0) => return Err(invalid("INCREMENT must not be zero")),
            SequenceOption::Increment(by) => {
                sequence.increment = *by;
                if new && *by < 0 {
                    (sequence.min, sequence.max) = (-largest(&sequence.ty)? - 1, -1);
                }
            }
            SequenceOption::Min(Some(min)) => sequence.min = *min,
            SequenceOption::Max(Some(max)) => sequence.max = *max,
            SequenceOption::Min(None) => {
                let lowest = -largest(&sequence.ty)? - 1;
                sequence.min = if sequence.increment > 0 { 1 } else { lowest };
            }
            SequenceOption::Max(None) => {
                let highest = largest(&sequence.ty)?;
                sequence.max = if sequence.increment > 0 { highest } else { -1 };
            }
            SequenceOption::Start(value) => start = Some(*value),
            SequenceOption::Restart(value) => restart = Some(*value),
            SequenceOption::Cache(cache) => sequence.cache = *cache,
            SequenceOption::Cycle(cycle) => sequence.cycle = *cycle,
            SequenceOption::Type(_) | SequenceOption::OwnedBy(_) => {}
            // Whoever makes the sequence has looked at it.
            SequenceOption::Name(_) if new => {}
            SequenceOption::Name(_) => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "invalid sequence option SEQUENCE NAME",
                ));
            }
        }
    }
    let first = if sequence.increment > 0 { sequence.min } else { sequence.max };
    match start {
        Some(start) => sequence.start = start,
        None if new => sequence.start = first,
        None => {}
    }
    check_bounds(sequence)?;
    Ok(restart.map(|value| value.unwrap_or(sequence.start)))
}

impl Ddl<'_> {
    /// ALTER SEQUENCE's options, on a sequence in use.
    pub(super) fn change_sequence(
        &mut self,
        mut sequence: Sequence,
        options: &[SequenceOption],
    ) -> SqlResult<()> {
        for option in options {
            match option {
                SequenceOption::Type(ty) => {
                    let ty = bind::data_type(ty, &self.snapshot)?;
                    largest(&ty)?;
                    retype(&mut sequence, &ty)?;
                }
                SequenceOption::OwnedBy(owner) => {
                    if self.is_identity(&sequence) {
                        return Err(SqlError::unsupported(
                            "cannot change ownership of identity sequence",
                        )
                        .detail(self.linked_to(&sequence)));
                    }
                    sequence.owned_by = match owner {
                        Some(owner) => owner_column(self, sequence.schema, owner)?,
                        None => None,
                    };
                }
                _ => {}
            }
        }
        let restart = change(&mut sequence, options, false)?;
        let id = sequence.id;
        let position = self.state().sequence_position(id);
        if let Some(value) = restart {
            if value < sequence.min {
                return Err(invalid(format!(
                    "RESTART value ({value}) cannot be less than MINVALUE ({})",
                    sequence.min
                )));
            }
            if value > sequence.max {
                return Err(invalid(format!(
                    "RESTART value ({value}) cannot be greater than MAXVALUE ({})",
                    sequence.max
                )));
            }
            // Between the two commands the old position may be out of the new bounds.
            let (min, max) = (sequence.min, sequence.max);
            if let Some(position) = position {
                sequence.min = min.min(position.last_value);
                sequence.max = max.max(position.last_value);
            }
            self.apply(Command::AlterSequence(sequence.clone()))?;
            self.apply(Command::SetSequence { sequence: id, value, is_called: false })?;
            (sequence.min, sequence.max) = (min, max);
        } else if let Some(last) = position.map(|position| position.last_value) {
            if last < sequence.min {
                return Err(invalid(format!(
                    "RESTART value ({last}) cannot be less than MINVALUE ({})",
                    sequence.min
                )));
            }
            if last > sequence.max {
                return Err(invalid(format!(
                    "RESTART value ({last}) cannot be greater than MAXVALUE ({})",
                    sequence.max
                )));
            }
        }
        self.apply(Command::AlterSequence(sequence))?;
        self.refresh_env();
        Ok(())
    }

    pub(super) fn is_identity(&mut self, sequence: &Sequence) -> bool {
        let state = self.state();
        let column = sequence.owned_by.and_then(|(table, column)| {
            let table = state.table(table)?;
            table.identity.get(table.shape.position(column)?).copied().flatten()
        });
        column.is_some()
    }

    /// `Sequence "s" is linked to table "t".`
    pub(super) fn linked_to(&mut self, sequence: &Sequence) -> String {
        let state = self.state();
        let table = sequence.owned_by.and_then(|(table, _)| state.table(table));
        let table = table.map_or("", |table| table.shape.name.as_str());
        format!("Sequence \"{}\" is linked to table \"{table}\".", sequence.name)
    }
}

/// OWNED BY table.column, or NONE.
fn owner_column(
    ddl: &mut Ddl<'_>,
    schema: Oid,
    owner: &ast::ObjectName,
) -> SqlResult<Option<(TableId, ColumnId)>> {
    let (column, table) = match owner.0.split_last() {
        Some((last, [])) if last.to_string().eq_ignore_ascii_case("none") => return Ok(None),
        Some((column, table)) if !table.is_empty() => (column, table.to_vec()),
        _ => {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                .hint("Specify OWNED BY table.column or OWNED BY NONE."));
        }
    };
    let table = ddl.table(&ast::ObjectName(table))?;
    if table.schema != schema {
        return Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "sequence must be in same schema as table it is linked to",
        ));
    }
    let name = column.as_ident().map(names::fold).unwrap_or_default();
    let column = table.shape.column_named(&name).ok_or_else(|| {
        SqlError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" of relation \"{}\" does not exist", table.shape.name),
        )
    })?;
    Ok(Some((table.id(), column.id)))
}

fn number(expr: &ast::Expr) -> SqlResult<i64> {
    expr.to_string()
        .replace(' ', "")
        .parse()
        .map_err(|_| SqlError::new(SqlState::SYNTAX_ERROR, format!("\"{expr}\" is not an integer")))
}

/// Changes a sequence by the options of CREATE SEQUENCE or GENERATED .. AS IDENTITY.
pub fn apply_options(sequence: &mut Sequence, options: &[ast::SequenceOptions]) -> SqlResult<()> {
    let type_max = sequence.max;
    let mut start = None;
    for option in options {
        match option {
            ast::SequenceOptions::IncrementBy(by, _) => {
                sequence.increment = number(by)?;
                if sequence.increment == 0 {
                    return Err(invalid("INCREMENT must not be zero"));
                }
                if sequence.increment < 0 {
                    (sequence.min, sequence.max) = (-type_max - 1, -1);
                }
            }
            ast::SequenceOptions::MinValue(Some(min)) => sequence.min = number(min)?,
            ast::SequenceOptions::MaxValue(Some(max)) => sequence.max = number(max)?,
            ast::SequenceOptions::MinValue(None) | ast::SequenceOptions::MaxValue(None) => {}
            ast::SequenceOptions::StartWith(with, _) => start = Some(number(with)?),
            ast::SequenceOptions::Cache(cache) => sequence.cache = number(cache)?,
            ast::SequenceOptions::Cycle(no) => sequence.cycle = !no,
        }
    }
    let first = if sequence.increment > 0 { sequence.min } else { sequence.max };
    sequence.start = start.unwrap_or(first);
    check_bounds(sequence)
}

/// 22023 for an identity column that no sequence can fill.
pub(super) fn not_an_identity_type() -> SqlError {
    invalid("identity column type must be smallint, integer, or bigint")
}

fn check_bounds(sequence: &Sequence) -> SqlResult<()> {
    let (most, ty) = (largest(&sequence.ty)?, &sequence.ty);
    for (name, value) in [("MAXVALUE", sequence.max), ("MINVALUE", sequence.min)] {
        if value > most || value < -most - 1 {
            let message = format!("{name} ({value}) is out of range for sequence data type {ty}");
            return Err(invalid(message));
        }
    }
    if sequence.min >= sequence.max {
        return Err(invalid(format!(
            "MINVALUE ({}) must be less than MAXVALUE ({})",
            sequence.min, sequence.max
        )));
    }
    if sequence.start < sequence.min {
        return Err(invalid(format!(
            "START value ({}) cannot be less than MINVALUE ({})",
            sequence.start, sequence.min
        )));
    }
    if sequence.start > sequence.max {
        return Err(invalid(format!(
            "START value ({}) cannot be greater than MAXVALUE ({})",
            sequence.start, sequence.max
        )));
    }
    if sequence.cache < 1 {
        return Err(invalid(format!("CACHE ({}) must be greater than zero", sequence.cache)));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// The default of a serial column, with the sequence's schema: it means the same under every
/// search path.
pub fn nextval_of(state: &State, schema: Oid, name: &str) -> String {
    let full = qualified_name(state, schema, name);
    format!("nextval('{}'::regclass)", full.replace('\'', "''"))
}

pub(super) fn qualified_name(state: &State, schema: Oid, name: &str) -> String {
    let schema = state.schema(schema).map_or("", |schema| schema.name.as_str());
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}
