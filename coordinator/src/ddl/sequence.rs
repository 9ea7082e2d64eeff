//! Sequences: CREATE SEQUENCE, their options, and the default that draws from one.

use satsuma_common::{ColumnId, Oid, PgType, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bind;
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
    if *temporary {
        return Err(SqlError::unsupported("temporary sequences are not supported"));
    }
    let state = ddl.state();
    let (schema, name) = names::split(name)?;
    let schema = names::creation_schema(&state, &ddl.snapshot.search_path, schema.as_deref())?;
    if schema.relation(&name).is_some() {
        let message = format!("relation \"{name}\" already exists");
        if !if_not_exists {
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
        }
        let notice = SqlError::new(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
        ddl.notices.push(Notice::new(Severity::Notice, notice));
        return Ok(());
    }
    let ty = match data_type {
        Some(ty) => bind::data_type(ty, &ddl.snapshot)?,
        None => PgType::Int8,
    };
    let owned_by = match owned_by {
        Some(owner) => owner_column(ddl, schema.oid, owner)?,
        None => None,
    };
    let id = ddl.reserve(IdRequest::oids(1)).await?.sequence()?;
    let mut sequence = Sequence {
        id,
        name,
        schema: schema.oid,
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

/// The default of a serial column, as psql shows it: without the schema where the search path
/// finds the sequence.
pub fn nextval_of(state: &State, search_path: &[String], schema: Oid, name: &str) -> String {
    let quoted = quote_identifier(name);
    let full = match state.schema(schema) {
        Some(schema) if search_path.first() != Some(&schema.name) => {
            format!("{}.{quoted}", quote_identifier(&schema.name))
        }
        _ => quoted,
    };
    format!("nextval('{}'::regclass)", full.replace('\'', "''"))
}
