//! System relations: the catalog as SQL sees it.
//!
//! Each family of relations is a file of pure functions from a [`Source`] (a catalog state and
//! what surrounds it) to rows. Their columns are in `columns.txt`; a relation without a function
//! is there with its columns and no rows, which is what PostgreSQL shows where a feature is not
//! used.

pub(crate) mod citus;
mod columns;
mod constraints;
mod definitions;
mod functions;
mod information_schema;
mod information_usage;
mod kept;
mod layout;
mod locks;
mod monitoring;
mod printed;
mod procedures;
mod relations;
mod roles;
mod row_types;
mod rows;
mod spelling;
mod surroundings;
#[cfg(test)]
mod tests;
mod types;
mod views;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
pub use definitions::{
    constraint_definition, constraint_definition_by_oid, index_column_definition, index_definition,
};
pub use functions::SessionFunctions;
pub use kept::KeptRows;
pub use layout::{Layout, LayoutColumn, Layouts};
pub(crate) use locks::GLOBAL_PID_NODE;
pub use procedures::{
    function_by_signature, function_name, function_named, function_with_arguments,
};
pub use row_types::relation_of;
use rows::Rows;
use satsuma_common::{Oid, SqlResult};
use satsuma_sql::catalog_view::SystemRelation;
pub use spelling::{Names, Spelling};
pub use surroundings::{
    CursorAbout, IndexSizes, Nobody, PreparedRow, RunningSession, SettingRow, ShardSize,
    ShardSizes, Surroundings, size_of_relation,
};

use crate::catalog::{State, SystemRelations};

/// What rows are computed from.
pub struct Source<'a> {
    pub state: &'a State,
    pub around: &'a dyn Surroundings,
}

impl<'a> Source<'a> {
    /// Where the session looks for names.
    fn names(&self) -> Names<'a> {
        Names { state: self.state, path: self.around.search_path() }
    }
}

type Fill = fn(&Source<'_>, &mut Rows<'_>) -> SqlResult<()>;

/// The relations that have rows.
fn fill(schema: &str, name: &str) -> Option<Fill> {
    if let Some(fill) = procedures::fill(schema, name) {
        return Some(fill);
    }
    if schema == "information_schema" {
        return information_schema::fill(name);
    }
    citus::fill(name)
        .or_else(|| relations::fill(name))
        .or_else(|| columns::fill(name))
        .or_else(|| constraints::fill(name))
        .or_else(|| types::fill(name))
        .or_else(|| roles::fill(name))
        .or_else(|| views::fill(name))
        .or_else(|| monitoring::fill(name))
        .or_else(|| locks::fill(name))
        .or_else(|| procedures::fill_operators(name))
}

/// All rows of a system relation; `None` if there is none of that name.
pub fn rows(source: &Source<'_>, schema: &str, name: &str) -> Option<SqlResult<RecordBatch>> {
    let layout = Layouts::all().get(schema, name)?;
    let mut rows = Rows::new(layout);
    let filled = match fill(schema, name) {
        Some(fill) => fill(source, &mut rows),
        None => Ok(()),
    };
    Some(filled.and_then(|()| rows.finish()))
}

/// System relations of one coordinator, or of one session of it.
#[derive(Clone)]
pub struct SystemCatalog {
    around: Arc<dyn Surroundings>,
}

impl SystemCatalog {
    pub fn new(around: Arc<dyn Surroundings>) -> Self {
        Self { around }
    }
}

/// Views that Citus makes in `public`.
fn home<'a>(schema: &'a str, name: &str) -> &'a str {
    match (schema, name) {
        ("public", "citus_tables" | "citus_schemas") => "pg_catalog",
        _ => schema,
    }
}

impl SystemRelations for SystemCatalog {
    fn relation(
        &self,
        state: &Arc<State>,
        schema: &str,
        name: &str,
    ) -> Option<Arc<SystemRelation>> {
        let layout = Layouts::all().get(home(schema, name), name)?;
        let (state, around) = (state.clone(), self.around.clone());
        Some(Arc::new(SystemRelation {
            schema_name: layout.schema.into(),
            name: layout.name.into(),
            columns: layout
                .columns
                .iter()
                .map(|column| (column.name.into(), column.ty.clone()))
                .collect(),
            rows: Arc::new(move || {
                let read = || {
                    let source = Source { state: &state, around: around.as_ref() };
                    let mut rows = Rows::new(layout);
                    if let Some(fill) = fill(layout.schema, layout.name) {
                        fill(&source, &mut rows)?;
                    }
                    rows.finish()
                };
                match around.kept_rows() {
                    Some(kept) => kept.get(&state, layout, read),
                    None => read(),
                }
            }),
        }))
    }

    fn oid(&self, schema: &str, name: &str) -> Option<Oid> {
        Layouts::all().get(home(schema, name), name).map(|layout| layout.oid)
    }

    fn name(&self, oid: Oid) -> Option<(&'static str, &'static str)> {
        Layouts::all().by_oid(oid).map(|layout| (layout.schema, layout.name))
    }
}
