//! Behaviour of the catalog, and a fixture that other tests build on.

pub(crate) mod fixture;
mod placement;
mod properties;
mod transactions;

pub use fixture::*;
