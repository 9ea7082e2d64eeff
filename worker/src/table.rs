//! Shards of an engine as a table of DataFusion's, as queries here read them but without a
//! cluster: what benchmarks compare with other tables.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use satsuma_common::{ShardId, SqlResult};
use satsuma_storage::{Engine, ReadView, StorageError};

use crate::error;
use crate::index::IndexEvaluator;
use crate::placement::PlacedTable;
use crate::query::ShardTable;

/// The rows of some shards of one table. Its last column is the hidden key; `threads` may read at
/// the same time.
pub fn table(
    engine: &Arc<Engine>,
    shards: &[ShardId],
    view: ReadView,
    threads: usize,
) -> SqlResult<Arc<dyn TableProvider>> {
    let infos = engine.shards();
    let placed = shards.iter().map(|shard| {
        let info = infos.iter().find(|info| info.shard == *shard);
        let meta = engine.table_of_shard(*shard);
        let (info, meta) = info.zip(meta).ok_or(StorageError::NoSuchShard(*shard))?;
        Ok(PlacedTable { shard: *shard, group: info.group, meta })
    });
    let shards: Vec<_> = placed.collect::<Result<_, StorageError>>().map_err(error::storage)?;
    let first = shards.first().ok_or_else(|| error::malformed("a table of no shards"))?;
    let schema = first.meta.decoder().schema_with_key();
    let indexes = Arc::new(IndexEvaluator::default());
    Ok(Arc::new(ShardTable { engine: engine.clone(), indexes, shards, view, schema, threads }))
}
