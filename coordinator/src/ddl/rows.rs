//! Rows that a definition must look at: existing rows against new constraints.
//!
//! Statements are SQL texts over names that are quoted here; they are bound on the transaction's
//! own catalog, so that they mean what the user's would.

use datafusion::arrow::array::RecordBatch;
use futures::stream::TryStreamExt;
use satsuma_common::table::TableShape;
use satsuma_common::text::{TextContext, to_text};
use satsuma_common::{SqlError, SqlResult, arrow_types, arrow_values};
use satsuma_proto::worker::BatchStream;
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::Bound;
use satsuma_sql::parse;

use super::Ddl;
use crate::catalog::quote_identifier;

/// `schema.table`, quoted.
pub fn qualified(shape: &TableShape) -> String {
    format!("{}.{}", quote_identifier(&shape.schema_name), quote_identifier(&shape.name))
}

impl Ddl<'_> {
    fn bind_text(&self, sql: &str) -> SqlResult<Bound> {
        let parsed = parse::parse(sql)?;
        let [parsed] = parsed.as_slice() else {
            return Err(SqlError::internal("one statement was expected"));
        };
        let context = BindContext {
            catalog: &self.snapshot,
            env: &self.env,
            param_types: None,
            param_values: &[],
        };
        Ok(bind::bind(parsed, &context)?.0)
    }

    /// Rows of a query, of which there must be few.
    pub async fn select(&mut self, sql: &str) -> SqlResult<Vec<RecordBatch>> {
        self.query(sql).await?.try_collect().await
    }

    /// Rows of a query.
    pub async fn query(&mut self, sql: &str) -> SqlResult<BatchStream> {
        self.tell_workers().await?;
        let Bound::Query(query) = self.bind_text(sql)? else {
            return Err(SqlError::internal("a query was expected"));
        };
        let (_, rows) = self.cluster.executor.run(query.plan, &self.scope).await?;
        Ok(rows)
    }

    /// The first row of a query as texts, NULL as `null`; `None` when there is no row.
    pub async fn first_row(&mut self, sql: &str) -> SqlResult<Option<Vec<String>>> {
        let batches = self.select(sql).await?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
            return Ok(None);
        };
        let schema = batch.schema();
        let values = batch.columns().iter().zip(schema.fields()).map(|(array, field)| {
            let ty = arrow_types::pg_type(field);
            let value = arrow_values::datum_at(array.as_ref(), 0, &ty)?;
            let text = to_text(&ty, &value, &TextContext::default())?;
            Ok(text.unwrap_or_else(|| "null".into()))
        });
        values.collect::<SqlResult<Vec<_>>>().map(Some)
    }
}
