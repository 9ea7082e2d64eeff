//! Secondary indexes: from the value of a key to the rows that may have it.
//!
//! ```text
//! probe --> entries of the active and the frozen delta --> primary keys --\
//!      \--> entries of each segment's run ---------------> row numbers ----> rows at a snapshot
//! ```
//!
//! An index answers with *candidates*. Each layer of a shard has its own index, over all versions
//! that the layer holds, visible or not: whether a candidate's row is there at a snapshot is
//! decided where rows are read ([`scan`]), and whether it matches by the filter that stays above.
//! So an index knows nothing of commits, marks and snapshots, and follows from rows alone: it is
//! neither logged nor named in a manifest, and whatever is missing is made again.
//!
//! - a delta's index ([`delta`]) is an ordered map that takes in what was written since it was
//!   last asked;
//! - a segment's index, its run ([`run`]), is as immutable as the segment, and lies in files
//!   beside it where the segment does;
//! - a row whose keys cannot be worked out is a candidate for every probe.
//!
//! What is not here: evaluation of expressions, which is SQL ([`IndexExpressions`]), and the
//! uniqueness of keys ([`crate::engine`]), which is a matter of locks.

mod definition;
mod delta;
mod documents;
mod networks;
mod run;
mod scan;

pub use definition::{Evaluated, IndexExpressions, NoExpressions, Probe, RowKeys, TableIndex};
pub use documents::{Wanted, document_probe};
pub use networks::{NetworkTest, network_entry, network_probe};
pub use scan::IndexScan;

pub(crate) use definition::Indexing;
pub(crate) use delta::{DeltaIndex, DeltaIndexes};
pub(crate) use run::{Run, RunBuilder, Runs};
pub(crate) use scan::Candidates;
