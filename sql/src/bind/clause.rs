//! Where in a statement an expression stands: decides whether aggregates, window functions and
//! set-returning functions may appear, and how the refusal reads.

use satsuma_common::{SqlError, SqlState};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clause {
    #[default]
    Select,
    Where,
    Having,
    GroupBy,
    OrderBy,
    DistinctOn,
    JoinOn,
    FromFunction,
    /// A LATERAL subquery, of which the FROM clause is no level of its own.
    FromSubquery,
    Filter,
    WindowDefinition,
    Limit,
    Offset,
    Values,
    Returning,
    UpdateSet,
    CopyWhere,
    Default,
    Check,
    Generated,
    /// USING of ALTER COLUMN .. TYPE.
    Transform,
    Index,
    IndexPredicate,
    Call,
}

impl Clause {
    /// As PostgreSQL's `... are not allowed in %s`.
    fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Where => "WHERE",
            Self::Having => "HAVING",
            Self::GroupBy => "GROUP BY",
            Self::OrderBy => "ORDER BY",
            Self::DistinctOn => "DISTINCT ON",
            Self::JoinOn => "JOIN conditions",
            Self::FromFunction => "functions in FROM",
            Self::FromSubquery => "FROM clause of their own query level",
            Self::Filter => "FILTER",
            Self::WindowDefinition => "window definitions",
            Self::Limit => "LIMIT",
            Self::Offset => "OFFSET",
            Self::Values => "VALUES",
            Self::Returning => "RETURNING",
            Self::UpdateSet => "UPDATE",
            Self::CopyWhere => "COPY FROM WHERE conditions",
            Self::Default => "DEFAULT expressions",
            Self::Check => "check constraints",
            Self::Generated => "column generation expressions",
            Self::Transform => "transform expressions",
            Self::Index => "index expressions",
            Self::IndexPredicate => "index predicates",
            Self::Call => "CALL arguments",
        }
    }

    pub fn allows_aggregates(self) -> bool {
        matches!(
            self,
            Self::Select | Self::Having | Self::OrderBy | Self::DistinctOn | Self::WindowDefinition
        )
    }

    pub fn allows_windows(self) -> bool {
        matches!(self, Self::Select | Self::OrderBy | Self::DistinctOn)
    }

    pub fn allows_sets(self) -> bool {
        matches!(self, Self::Select | Self::OrderBy | Self::DistinctOn | Self::GroupBy)
    }

    pub fn allows_subqueries(self) -> bool {
        !matches!(
            self,
            Self::Default
                | Self::Check
                | Self::Generated
                | Self::Transform
                | Self::Index
                | Self::IndexPredicate
                | Self::CopyWhere
                | Self::Call
        )
    }

    pub fn no_aggregates(self) -> SqlError {
        SqlError::new(
            SqlState::GROUPING_ERROR,
            format!("aggregate functions are not allowed in {}", self.name()),
        )
    }

    pub fn no_windows(self) -> SqlError {
        SqlError::new(
            SqlState::WINDOWING_ERROR,
            format!("window functions are not allowed in {}", self.name()),
        )
    }

    pub fn no_sets(self) -> SqlError {
        SqlError::unsupported(format!("set-returning functions are not allowed in {}", self.name()))
    }

    /// Within an aggregate, a window function, or a construct that chooses among values.
    pub fn no_sets_within(message: impl Into<String>) -> SqlError {
        SqlError::unsupported(message)
            .hint("You might be able to move the set-returning function into a LATERAL FROM item.")
    }

    pub fn no_subqueries(self) -> SqlError {
        let place = match self {
            Self::Default => "DEFAULT expression",
            Self::Check => "check constraint",
            Self::Generated => "column generation expression",
            Self::Transform => "transform expression",
            Self::Index => "index expression",
            Self::IndexPredicate => "index predicate",
            Self::CopyWhere => "COPY FROM WHERE condition",
            _ => "these arguments",
        };
        SqlError::unsupported(format!("cannot use subquery in {place}"))
    }
}
