//! A data directory made from a backup, before any worker serves it.

use std::path::Path;
use std::sync::Arc;

use satsuma_common::table::TableShape;
use satsuma_common::{Epoch, Generation, GroupId, ShardId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::Membership;
use satsuma_storage::disk::RealDisk;
use satsuma_storage::{CopyWriter, Engine, Options, StorageError};

use crate::error;
use crate::membership::Remembered;

/// A directory that is being filled.
pub struct Restore {
    engine: Arc<Engine>,
    membership: Remembered,
}

impl Restore {
    /// The directory must not hold anything yet.
    pub fn new(dir: &Path) -> SqlResult<Self> {
        if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            let message = format!("directory \"{}\" is not empty", dir.display());
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let disk = Arc::new(RealDisk);
        let engine = Engine::open(dir, disk.clone(), Options::default()).map_err(error::storage)?;
        Ok(Self { engine, membership: Remembered::open(dir, disk)? })
    }

    /// Identity of the directory.
    pub fn directory(&self) -> &str {
        self.engine.identity()
    }

    /// Fills a group from the chunks of a backup, in their order. XX001 where they are damaged.
    pub async fn fill(
        &self,
        group: GroupId,
        chunks: impl Iterator<Item = SqlResult<Vec<u8>>>,
    ) -> SqlResult<()> {
        let mut writer = CopyWriter::new(&self.engine, group);
        for chunk in chunks {
            writer.write(&chunk?).await.map_err(|error| match error {
                StorageError::CopyBroken(reason) => SqlError::new(SqlState::DATA_CORRUPTED, reason),
                other => error::storage(other),
            })?;
        }
        Ok(())
    }

    /// Makes the group what the catalog says: these shards and shapes, no others.
    pub async fn settle(
        &self,
        group: GroupId,
        generation: Generation,
        epoch: Epoch,
        tables: &[(TableShape, ShardId)],
    ) -> SqlResult<()> {
        let here = self.engine.shards_of(group);
        let wanted = |shard: &ShardId| tables.iter().any(|(_, known)| known == shard);
        let strange: Vec<_> = here.into_iter().filter(|shard| !wanted(shard)).collect();
        self.engine.drop_shards(&strange).await.map_err(error::storage)?;
        for (shape, shard) in tables {
            let shards = [(*shard, group, generation)];
            self.engine.create_shards(shape, &shards).await.map_err(error::storage)?;
            self.engine.alter_table(shape).await.map_err(error::storage)?;
        }
        self.engine.set_generation(group, generation, epoch).await.map_err(error::storage)
    }

    /// Makes everything durable; the directory is a worker's from now on.
    pub fn finish(self, membership: Membership) -> SqlResult<()> {
        self.membership.set(membership)?;
        self.engine.checkpoint().map_err(error::storage)?;
        self.engine.close();
        Ok(())
    }
}
