//! Vocabulary that every crate shares: identities, PostgreSQL types and values, errors, hash ranges.
//!
//! Nothing here does I/O, knows about async, or depends on DataFusion. Everything is a value or a
//! pure function, so that the storage engine, the planner and the wire protocols agree by
//! construction on what a row, a key, a hash or an error is.

pub mod arrow_size;
pub mod arrow_types;
pub mod arrow_values;
pub mod binary;
pub mod datetime;
pub mod datum;
pub mod details;
pub mod encoding;
pub mod error;
pub mod foreign_key;
pub mod hash;
pub mod hash_range;
pub mod ids;
pub mod index;
pub mod inet;
pub mod jsonb;
pub mod key;
pub mod numeric;
pub mod prometheus;
pub mod recent;
pub mod record;
pub mod row;
pub mod table;
pub mod text;
pub mod types;
pub mod utf8;

pub use datum::{Array, Datum};
pub use error::{SqlError, SqlResult, SqlState};
pub use hash_range::HashRange;
pub use ids::{
    ColocationId, ColumnId, Epoch, Generation, GroupId, Lsn, MoveId, NodeId, Oid, PlacementId,
    SequenceId, ShardId, TableId, Timestamp, TxnId,
};
pub use recent::Recent;
pub use types::{NumericMod, PgType, TimeType};
