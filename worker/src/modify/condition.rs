//! Expressions of a table's definition: SQL text to what is evaluated on its columns.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datafusion::logical_expr::Expr;
use satsuma_common::table::TableShape;
use satsuma_common::{Datum, Oid, PgType, SequenceId, SqlError, SqlResult, TableId};
use satsuma_proto::worker::StatementContext;
use satsuma_sql::bind::{BindContext, ExpressionColumn, ExpressionUse, check_expression};
use satsuma_sql::catalog_view::{CatalogView, Relation, TableInfo};
use satsuma_sql::functions::{
    CatalogFunction, CatalogFunctions, FunctionEnv, Identity, SequenceAccess, Settings,
};
use satsuma_sql::row_checks::RowChecks;

/// A table's CHECK constraints, and whether they mean the same to every statement: they do not where
/// they depend on the session's settings or the time.
pub(super) fn compile_checks(
    shape: &TableShape,
    context: &StatementContext,
) -> SqlResult<(RowChecks, bool)> {
    let env = environment(&context.time_zone, context.now_micros);
    let context =
        BindContext { catalog: &Nothing, env: &env, param_types: None, param_values: &[] };
    let checks = RowChecks::compile(shape, &context)?;
    Ok((checks, !env.is_session_dependent()))
}

/// An expression that means the same in every session: of an index.
pub(crate) fn bind_constant(
    text: &str,
    usage: ExpressionUse,
    shape: &TableShape,
) -> SqlResult<Expr> {
    let columns: Vec<_> = shape
        .columns
        .iter()
        .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
        .collect();
    let env = environment("UTC", 0);
    let context =
        BindContext { catalog: &Nothing, env: &env, param_types: None, param_values: &[] };
    Ok(check_expression(text, &columns, usage, None, &context)?.0)
}

fn environment(time_zone: &str, now_micros: i64) -> FunctionEnv {
    let settings = Settings {
        time_zone: time_zone.to_owned(),
        transaction_micros: now_micros,
        statement_micros: now_micros,
        ..Settings::default()
    };
    let nothing = Arc::new(Nothing);
    FunctionEnv {
        settings: Arc::new(settings),
        identity: Arc::new(Identity::default()),
        search_path: Arc::new(vec!["pg_catalog".into()]),
        catalog: nothing.clone(),
        catalog_functions: nothing.clone(),
        sequences: nothing,
        parameters: None,
        depends_on_session: Arc::new(AtomicBool::new(false)),
    }
}

/// A worker has no catalog: conditions were accepted by a coordinator that has one, and those
/// that would need it again are not evaluated here.
#[derive(Debug)]
struct Nothing;

impl CatalogView for Nothing {
    fn relation(&self, _schema: Option<&str>, _name: &str) -> Option<Relation> {
        None
    }

    fn table(&self, _id: TableId) -> Option<Arc<TableInfo>> {
        None
    }

    fn sequence(&self, _schema: Option<&str>, _name: &str) -> Option<SequenceId> {
        None
    }

    fn schema_exists(&self, _name: &str) -> bool {
        false
    }

    fn user_type(&self, _schema: Option<&str>, _name: &str) -> Option<PgType> {
        None
    }

    fn enum_labels(&self, _oid: Oid) -> Option<Arc<Vec<String>>> {
        None
    }

    fn oid_name(&self, _ty: &PgType, _oid: u32) -> Option<String> {
        None
    }

    fn oid_of(&self, _ty: &PgType, _name: &str) -> Option<u32> {
        None
    }
}

fn refused() -> SqlError {
    SqlError::unsupported("check constraints cannot use the catalog or sequences")
}

impl CatalogFunctions for Nothing {
    fn call(&self, _function: CatalogFunction, _arguments: &[Datum]) -> SqlResult<Datum> {
        Err(refused())
    }
}

impl SequenceAccess for Nothing {
    fn next_value(&self, _sequence: Oid) -> SqlResult<i64> {
        Err(refused())
    }

    fn current_value(&self, _sequence: Oid) -> SqlResult<i64> {
        Err(refused())
    }

    fn set_value(&self, _sequence: Oid, _value: i64, _is_called: bool) -> SqlResult<i64> {
        Err(refused())
    }

    fn last_value(&self) -> SqlResult<i64> {
        Err(refused())
    }
}
