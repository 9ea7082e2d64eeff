//! Whether two copies of a group hold the same rows at a snapshot.

use std::time::Instant;

use satsuma_common::{GroupId, ShardId, Timestamp};

use super::super::Engine;
use crate::error::Result;
use crate::shard::{ReadView, ScanOptions};

/// A shard's rows at a snapshot: how many, and a sum over their contents that does not depend on
/// their order or on how they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardSum {
    pub shard: ShardId,
    pub rows: u64,
    pub sum: u64,
}

impl Engine {
    /// Of each of the group's shards, in the order of ids. Reads every row: not for threads that
    /// others wait for. Leaves them as much time as it takes.
    pub async fn checksum(&self, group: GroupId, snapshot: Timestamp) -> Result<Vec<ShardSum>> {
        let shards = self.shards_of(group);
        self.begin_read(&shards, snapshot, None).await?;
        let mut sums = Vec::with_capacity(shards.len());
        for shard in shards {
            let (_, table) = self.shard_and_table(shard)?;
            let mut total = ShardSum { shard, rows: 0, sum: 0 };
            let mut started = Instant::now();
            for batch in self.scan(shard, &ReadView::new(snapshot), &ScanOptions::default())? {
                for row in table.encoder.encode_batch(&batch?)? {
                    total.rows += 1;
                    total.sum = total.sum.wrapping_add(row_sum(&row));
                }
                tokio::time::sleep(started.elapsed()).await;
                started = Instant::now();
            }
            sums.push(total);
        }
        Ok(sums)
    }
}

/// Two checksums of the row's bytes that do not follow from each other.
fn row_sum(row: &[u8]) -> u64 {
    let forward = crc32c::crc32c(row);
    let (head, tail) = row.split_at(row.len() / 2);
    let turned = crc32c::crc32c_append(crc32c::crc32c_append(!0, tail), head);
    u64::from(forward) << 32 | u64::from(turned)
}
