//! Functions by name, as plan decoding asks for them: our instances, then DataFusion's own.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

use datafusion::common::{Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use super::chain::PgChain;
use super::udf::PgScalar;
use crate::aggregates::excluding::Excluding;
use crate::aggregates::udaf::PgAggregate;

/// Finds every function that a plan of ours can name. A function that only the coordinator can
/// evaluate (catalog, sequences) is not found: plans that hold one do not travel.
#[derive(Debug, Default)]
pub struct Registry {
    native_scalars: BTreeMap<String, Arc<ScalarUDF>>,
    native_aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    native_windows: BTreeMap<String, Arc<WindowUDF>>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::default();
    let nested = datafusion::functions_nested::all_default_nested_functions();
    for udf in datafusion::functions::all_default_functions().into_iter().chain(nested) {
        registry.native_scalars.insert(udf.name().to_string(), udf);
    }
    for udaf in datafusion::functions_aggregate::all_default_aggregate_functions() {
        registry.native_aggregates.insert(udaf.name().to_string(), udaf);
    }
    let only = AggregateUDF::new_from_impl(crate::aggregates::only::OnlyValue::default());
    registry.native_aggregates.insert(only.name().to_string(), Arc::new(only));
    for udwf in datafusion::functions_window::all_default_window_functions() {
        registry.native_windows.insert(udwf.name().to_string(), udwf);
    }
    registry
});

pub fn registry() -> &'static Registry {
    &REGISTRY
}

impl FunctionRegistry for Registry {
    fn udfs(&self) -> HashSet<String> {
        let own = super::library::functions().definitions().map(|d| d.signature.key());
        let operators = super::library::operators()
            .definitions()
            .map(|d| format!("operator {}", d.signature.key()));
        self.native_scalars.keys().cloned().chain(own).chain(operators).collect()
    }

    fn higher_order_function_names(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn udafs(&self) -> HashSet<String> {
        self.native_aggregates.keys().cloned().collect()
    }

    fn udwfs(&self) -> HashSet<String> {
        self.native_windows.keys().cloned().collect()
    }

    fn udf(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        if let Some(native) = self.native_scalars.get(name) {
            return Ok(native.clone());
        }
        if let Some(chain) = PgChain::by_name(name) {
            return Ok(Arc::new(ScalarUDF::new_from_impl(chain)));
        }
        match PgScalar::by_name(name) {
            Some(scalar) => Ok(Arc::new(ScalarUDF::new_from_impl(scalar))),
            None => plan_err!("there is no function {name} here"),
        }
    }

    fn higher_order_function(&self, name: &str) -> Result<Arc<HigherOrderUDF>> {
        plan_err!("there is no function {name} here")
    }

    fn udaf(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        if let Some(native) = self.native_aggregates.get(name) {
            return Ok(native.clone());
        }
        match PgAggregate::by_name(name) {
            Some(aggregate) => Ok(Arc::new(AggregateUDF::new_from_impl(aggregate))),
            None => plan_err!("there is no aggregate {name} here"),
        }
    }

    fn udwf(&self, name: &str) -> Result<Arc<WindowUDF>> {
        if let Some(native) = self.native_windows.get(name) {
            return Ok(native.clone());
        }
        match Excluding::by_name(name) {
            Some(excluding) => Ok(excluding.into_udwf()),
            None => plan_err!("there is no window function {name} here"),
        }
    }

    fn expr_planners(&self) -> Vec<Arc<dyn ExprPlanner>> {
        Vec::new()
    }
}
