//! Indexes where they are SQL: their expressions, and which of them a scan's filters can use.

mod expressions;
mod jsonb;
mod networks;
mod path;

pub(crate) use expressions::IndexEvaluator;
pub(crate) use networks::inet;
pub(crate) use path::{IndexPath, choose};
