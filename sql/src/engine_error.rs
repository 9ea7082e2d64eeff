//! Between DataFusion's errors and ours.
//!
//! Our own operators put a [`SqlError`] inside `DataFusionError::External`; it comes out again
//! unchanged, however deeply it was wrapped on the way. Errors of DataFusion's own making get
//! the nearest SQLSTATE.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use satsuma_common::{SqlError, SqlState};

/// The error that the user sees for `error`.
pub fn to_sql(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(error) => to_sql(*error),
                Err(inner) => SqlError::internal(inner.to_string()),
            },
        },
        DataFusionError::ArrowError(inner, _) => arrow_to_sql(*inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            to_sql(*inner)
        }
        DataFusionError::Shared(inner) => shared_to_sql(&inner),
        DataFusionError::Collection(errors) => {
            errors.into_iter().next().map_or_else(|| SqlError::internal("unknown error"), to_sql)
        }
        DataFusionError::NotImplemented(message) => SqlError::unsupported(message),
        DataFusionError::ResourcesExhausted(message) => {
            SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
                .detail(message)
                .hint("Raise the memory limit of the node or make the query read less.")
        }
        DataFusionError::IoError(inner) => io_to_sql(&inner),
        other => SqlError::internal(other.strip_backtrace()),
    }
}

/// `error` in a form that passes through DataFusion's operators.
pub fn from_sql(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// `error` in a form that passes through Arrow's kernels.
pub fn from_sql_to_arrow(error: SqlError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

pub fn arrow_to_sql(error: ArrowError) -> SqlError {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(error) => to_sql(*error),
                Err(inner) => SqlError::internal(inner.to_string()),
            },
        },
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => {
            SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range")
        }
        ArrowError::MemoryError(message) => SqlError::new(SqlState::OUT_OF_MEMORY, message),
        ArrowError::IoError(_, inner) => io_to_sql(&inner),
        other => SqlError::internal(other.to_string()),
    }
}

fn io_to_sql(error: &std::io::Error) -> SqlError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => {
            SqlError::new(SqlState::DISK_FULL, "could not write to file: No space left on device")
        }
        // The one bound that DataFusion reports like this: see `max_temp_directory_size`.
        std::io::ErrorKind::Other if error.to_string().contains("exceeded the allowable limit") => {
            SqlError::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "temporary files of queries exceed what a node allows",
            )
            .hint("Make the query read less, or join fewer rows with each other.")
        }
        _ => SqlError::new(SqlState::IO_ERROR, error.to_string()),
    }
}

/// A shared error cannot be taken apart, so the user's error is cloned out of it.
fn shared_to_sql(error: &DataFusionError) -> SqlError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(error) = current.downcast_ref::<SqlError>() {
            return error.clone();
        }
        source = current.source();
    }
    match error {
        DataFusionError::ResourcesExhausted(message) => {
            to_sql(DataFusionError::ResourcesExhausted(message.clone()))
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            shared_to_sql(inner)
        }
        DataFusionError::Shared(inner) => shared_to_sql(inner),
        DataFusionError::IoError(inner) => io_to_sql(inner),
        DataFusionError::ArrowError(inner, _) if let ArrowError::IoError(_, inner) = &**inner => {
            io_to_sql(inner)
        }
        other => SqlError::internal(other.strip_backtrace()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn sample() -> SqlError {
        SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero").detail("d")
    }

    #[test]
    fn an_error_of_ours_survives_every_wrapping() {
        let wrapped = [
            from_sql(sample()),
            from_sql(sample()).context("somewhere"),
            DataFusionError::Shared(Arc::new(from_sql(sample()).context("deep"))),
            DataFusionError::ArrowError(Box::new(from_sql_to_arrow(sample())), None),
            DataFusionError::External(Box::new(from_sql(sample()))),
            DataFusionError::Collection(vec![from_sql(sample())]),
        ];
        for error in wrapped {
            assert_eq!(to_sql(error), sample());
        }
    }

    #[test]
    fn foreign_errors_get_a_fitting_state() {
        let memory = to_sql(DataFusionError::ResourcesExhausted("x".into()));
        assert_eq!(memory.state(), SqlState::OUT_OF_MEMORY);
        let spilled = std::io::Error::other("... has exceeded the allowable limit of 4.0 GB");
        let spilled = ArrowError::IoError("spill".into(), spilled);
        let spilled = DataFusionError::ArrowError(Box::new(spilled), None);
        let spilled = to_sql(DataFusionError::Shared(Arc::new(spilled)));
        assert_eq!(spilled.state(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        let missing = to_sql(DataFusionError::NotImplemented("x".into()));
        assert_eq!(missing.state(), SqlState::FEATURE_NOT_SUPPORTED);
    }
}
