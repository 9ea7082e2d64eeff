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
        let bytes = postcard::to_stdvec(&stored)
            .map_err(|error| SqlError::internal(format!("cannot encode membership: {error}")))?;
        self.disk.replace(&self.path, &bytes).map_err(|error| io(&self.path, &error))?;
        *current = Some(membership);
        Ok(())
    }
}

fn decode(path: &Path, bytes: &[u8]) -> SqlResult<Membership> {
    let damaged =
        || SqlError::new(SqlState::DATA_CORRUPTED, format!("{} is damaged", path.display()));
    if bytes.len() > MAX_BYTES {
        return Err(damaged());
    }
    let stored: Stored = postcard::from_bytes(bytes).map_err(|_| damaged())?;
    let Stored { cluster, node, coordinators } = stored;
    Ok(Membership { cluster, node, coordinators })
}

fn io(path: &Path, error: &std::io::Error) -> SqlError {
    SqlError::new(SqlState::IO_ERROR, format!("{}: {error}", path.display()))
}
