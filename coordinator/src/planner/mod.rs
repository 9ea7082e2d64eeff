//! From an optimized logical plan to one that says what runs where. Pure: no I/O, no clock.
//!
//! ```text
//!   logical plan                      distributed plan
//!   Sort                              Sort                          coordinator
//!     Aggregate sum(b) by a             RemoteAggregate (final)     coordinator
//!       Filter            ->              '- Aggregate (partial)    each shard group
//!         Scan t                               Filter
//!                                                Scan t
//! ```
//!
//! Every node has a [`Locus`]: where its rows are. A node stays with its input as long as it
//! gives the right rows there ([`distribute`]); where it does not, the input becomes a
//! [`RemoteScan`] or [`RemoteAggregate`] leaf, and the node runs at the coordinator above it.
//! What becomes a leaf is as large as possible, so a query that meets one shard group in all its
//! tables travels whole.
//!
//! A join whose sides are not co-located has them brought together ([`movement`]): rows of a side
//! become an input of the task ([`Exchange`]), copied to every group or hashed into its layout. So
//! have many rows under a window, or under an aggregate that keeps all its values.

pub mod choice;
mod distribute;
mod estimate;
mod exchange;
mod join;
mod known;
mod locus;
mod movement;
mod order;
mod pruning;
mod reduce;
mod remote;
mod tenants;
mod topology;

pub use choice::Choice;
pub use distribute::{distribute, is_replicated, scanned_tables, single_fragment};
pub use exchange::{Exchange, Input, Spread};
pub use locus::{GroupSet, Hashed, Locus};
pub use remote::{RemoteAggregate, RemoteScan, RemoteTask, Target};
pub use tenants::{Tenant, Tenants};
pub use topology::{PlaceKind, TablePlace, Topology};

#[cfg(test)]
mod tests;
