//! Sequences: their options, and the default that draws from one.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use sqlparser::ast;

use crate::catalog::{Sequence, State, quote_identifier};

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
