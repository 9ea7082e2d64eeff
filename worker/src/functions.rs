//! The functions that fragments may name.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use satsuma_sql::codec::FunctionLookup;

/// By the name that a plan's encoding uses.
#[derive(Debug)]
struct Shared {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    windows: BTreeMap<String, Arc<WindowUDF>>,
}

impl FunctionLookup for Shared {
    fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(name).cloned()
    }
}

static SHARED: LazyLock<Arc<Shared>> = LazyLock::new(|| {
    let scalars = datafusion::functions::all_default_functions();
    let nested = datafusion::functions_nested::all_default_nested_functions();
    let aggregates = datafusion::functions_aggregate::all_default_aggregate_functions();
    let windows = datafusion::functions_window::all_default_window_functions();
    Arc::new(Shared {
        scalars: scalars.into_iter().chain(nested).map(|f| (f.name().to_string(), f)).collect(),
        aggregates: aggregates.into_iter().map(|f| (f.name().to_string(), f)).collect(),
        windows: windows.into_iter().map(|f| (f.name().to_string(), f)).collect(),
    })
});

pub(crate) fn lookup() -> Arc<dyn FunctionLookup> {
    SHARED.clone()
}
