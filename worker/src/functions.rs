//! The functions that fragments may name: those that coordinator and worker share.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use satsuma_sql::codec::FunctionLookup;
use satsuma_sql::functions::registry;

#[derive(Debug)]
struct Shared;

impl FunctionLookup for Shared {
    fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        registry().udf(name).ok()
    }

    fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        registry().udaf(name).ok()
    }

    fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().udwf(name).ok()
    }
}

pub(crate) fn lookup() -> Arc<dyn FunctionLookup> {
    Arc::new(Shared)
}
