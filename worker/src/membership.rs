//! What the worker remembers of its cluster: which it is, its node id, and where the coordinators
//! are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::Membership;
use satsuma_storage::disk::Disk;
use serde::{Deserialize, Serialize};

const FILE: &str = "MEMBERSHIP";
/// More is not a file of ours.
const MAX_BYTES: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Stored {
    cluster: String,
    node: NodeId,
    coordinators: Vec<String>,
}

/// The membership, on disk and in memory.
pub(crate) struct Remembered {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    current: RwLock<Option<Membership>>,
}

impl Remembered {
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> SqlResult<Self> {
        let path = dir.join(FILE);
        let current = match disk.read(&path) {
            Ok(bytes) => Some(decode(&path, &bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(&path, &error)),
        };
        Ok(Self { path, disk, current: RwLock::new(current) })
    }

    pub fn get(&self) -> Option<Membership> {
        self.current.read().clone()
    }

    pub fn node(&self) -> Option<NodeId> {
        self.current.read().as_ref().map(|membership| membership.node)
    }

    /// Durable when it returns. A node keeps its cluster and its id for life.
    pub fn set(&self, membership: Membership) -> SqlResult<()> {
        let mut current = self.current.write();
        if let Some(known) = &*current {
            if known.cluster != membership.cluster {
                return Err(SqlError::new(
                    SqlState::CONNECTION_REJECTED,
                    "the worker belongs to another cluster",
                )
                .hint("Start it with an empty data directory to add it to this one."));
            }
            if known.node != membership.node {
                return Err(SqlError::new(
                    SqlState::CONNECTION_REJECTED,
                    format!("worker is node {} already", known.node.0),
                )
                .hint("Start it with an empty data directory to add it as another node."));
            }
            if *known == membership {
                return Ok(());
            }
        }
        let Membership { cluster, node, coordinators } = membership.clone();
        let stored = Stored { cluster, node, coordinators };
        let body = postcard::to_stdvec(&stored)
            .map_err(|error| SqlError::internal(format!("cannot encode membership: {error}")))?;
        let bytes = [&crc32c::crc32c(&body).to_le_bytes()[..], &body].concat();
        self.disk.replace(&self.path, &bytes).map_err(|error| io(&self.path, &error))?;
        *current = Some(membership);
        Ok(())
    }
}

fn decode(path: &Path, bytes: &[u8]) -> SqlResult<Membership> {
    let damaged =
        || SqlError::new(SqlState::DATA_CORRUPTED, format!("{} is damaged", path.display()));
    let (crc, body) = bytes.split_first_chunk().ok_or_else(damaged)?;
    if body.len() > MAX_BYTES || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    let stored: Stored = postcard::from_bytes(body).map_err(|_| damaged())?;
    let Stored { cluster, node, coordinators } = stored;
    Ok(Membership { cluster, node, coordinators })
}

fn io(path: &Path, error: &std::io::Error) -> SqlError {
    SqlError::new(SqlState::IO_ERROR, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use satsuma_storage::disk::faulty::FaultyDisk;

    use super::*;

    #[test]
    fn a_flipped_bit_is_told() {
        let disk = FaultyDisk::default();
        let open = |disk: &FaultyDisk| Remembered::open(Path::new("/data"), Arc::new(disk.clone()));
        let membership = Membership {
            cluster: "tests".into(),
            node: NodeId(3),
            coordinators: vec!["10.0.0.1:5433".into()],
        };
        open(&disk).unwrap().set(membership.clone()).unwrap();
        let path = Path::new("/data").join(FILE);
        for bit in 0..disk.read(&path).unwrap().len() as u64 * 8 {
            let disk = disk.crash(bit);
            assert_eq!(open(&disk).unwrap().get(), Some(membership.clone()));
            disk.flip(&path, bit);
            let Err(error) = open(&disk) else { panic!("bit {bit} was not told") };
            assert_eq!(error.state(), SqlState::DATA_CORRUPTED);
        }
    }
}
