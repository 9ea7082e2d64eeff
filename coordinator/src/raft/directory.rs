//! A coordinator's data directory: whose it is, and that nobody else is using it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use satsuma_common::NodeId;
use serde::{Deserialize, Serialize};

use super::error::RaftError;

/// Format of everything in the directory. An unknown one is refused.
pub const FORMAT: u32 = 3;

/// `identity.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    format: u32,
    kind: String,
    node: NodeId,
    /// Counts the starts of this node: see [`crate::catalog::RequestId`].
    boot: u64,
    /// Tells this directory from a later one of the same node. Empty before its first start with
    /// a version that writes it.
    #[serde(default)]
    directory: String,
    /// CRC32C of what is before, as [`Identity::checksum`] writes it.
    crc32c: u32,
}

impl Identity {
    fn new(node: NodeId, boot: u64, directory: String) -> Self {
        let kind = "coordinator".into();
        let mut new = Self { format: FORMAT, kind, node, boot, directory, crc32c: 0 };
        new.crc32c = new.checksum();
        new
    }

    fn checksum(&self) -> u32 {
        let Self { format, kind, node, boot, directory, .. } = self;
        let before = if directory.is_empty() { "" } else { " " };
        crc32c::crc32c(format!("{format} {kind} {} {boot}{before}{directory}", node.0).as_bytes())
    }
}

/// A locked directory. The lock goes with the value, or with the process.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Identity of the directory, made at its first start.
    pub id: String,
    pub boot: u64,
    /// Whether this is its first start.
    pub is_new: bool,
    _lock: File,
}

impl Directory {
    /// Locks the directory, making it if needed, and counts one more start.
    pub fn open(path: &Path, node: NodeId) -> Result<Self, RaftError> {
        let fail = |source| RaftError::Directory { path: path.into(), source };
        fs::create_dir_all(path).map_err(fail)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(fail)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RaftError::InUse(path.into()),
            TryLockError::Error(source) => fail(source),
        })?;
        let known = read_identity(path)?;
        let is_new = known.is_none();
        let (boot, id) = match known {
            None => (1, String::new()),
            Some(known) if known.node != node => {
                return Err(RaftError::OtherNode {
                    path: path.into(),
                    found: known.node,
                    wanted: node,
                });
            }
            Some(known) => (known.boot + 1, known.directory),
        };
        let id = if id.is_empty() { uuid::Uuid::new_v4().to_string() } else { id };
        write_identity(path, &Identity::new(node, boot, id.clone())).map_err(fail)?;
        Ok(Self { path: path.into(), id, boot, is_new, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_identity(path: &Path) -> Result<Option<Identity>, RaftError> {
    let bytes = match fs::read(path.join("identity.json")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RaftError::Directory { path: path.into(), source }),
    };
    let foreign = |reason: String| RaftError::NotCoordinator { path: path.into(), reason };
    // The format is read on its own first: what follows may look different in another one.
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| foreign(error.to_string()))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    match format.and_then(|format| u32::try_from(format).ok()) {
        Some(FORMAT) => {}
        Some(found) => {
            return Err(RaftError::Format { path: path.into(), found, known: FORMAT });
        }
        None => return Err(foreign("identity.json has no format".into())),
    }
    let kind = value.get("kind").and_then(serde_json::Value::as_str).unwrap_or("nothing known");
    if kind != "coordinator" {
        return Err(foreign(format!("it holds a {kind}")));
    }
    let identity: Identity =
        serde_json::from_value(value).map_err(|error| foreign(error.to_string()))?;
    match identity.crc32c == identity.checksum() {
        true => Ok(Some(identity)),
        false => Err(foreign("the checksum of identity.json does not match".into())),
    }
}

fn write_identity(path: &Path, identity: &Identity) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(identity)?;
    replace_file(path, "identity.json", &bytes)
}

/// Puts a file in place so that a crash leaves the old or the new one, whole.
pub(super) fn replace_file(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    sync_directory(directory)
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_knows_its_node_and_counts_its_starts() {
        let home = tempfile::tempdir().expect("directory");
        let first = Directory::open(home.path(), NodeId(1)).expect("first start");
        assert!(first.is_new);
        let id = first.id.clone();
        assert!(matches!(Directory::open(home.path(), NodeId(1)), Err(RaftError::InUse(_))));
        drop(first);
        let second = Directory::open(home.path(), NodeId(1)).expect("second start");
        assert_eq!((second.boot, second.is_new), (2, false));
        assert_eq!(second.id, id);
        drop(second);
        let other = Directory::open(home.path(), NodeId(2)).expect_err("another node");
        assert!(other.to_string().contains("belongs to coordinator n1, not n2"), "{other}");
    }

    #[test]
    fn unknown_formats_and_other_kinds_are_refused() {
        let home = tempfile::tempdir().expect("directory");
        let open = |identity: &str| {
            fs::write(home.path().join("identity.json"), identity).expect("write");
            Directory::open(home.path(), NodeId(1)).expect_err("refused")
        };
        let newer = open(r#"{"format": 9, "something": "else"}"#);
        assert!(matches!(newer, RaftError::Format { found: 9, .. }));
        let older = open(r#"{"format": 2, "kind": "coordinator", "node": 1, "boot": 1}"#);
        assert!(matches!(older, RaftError::Format { found: 2, .. }));
        let worker = open(r#"{"format": 3, "kind": "worker"}"#);
        assert!(worker.to_string().ends_with("it holds a worker"), "{worker}");
        assert!(matches!(open("not json"), RaftError::NotCoordinator { .. }));
    }

    #[test]
    fn a_flipped_bit_is_told_or_makes_no_difference() {
        let home = tempfile::tempdir().expect("directory");
        drop(Directory::open(home.path(), NodeId(1)).expect("first start"));
        let path = home.path().join("identity.json");
        let whole = fs::read(&path).expect("identity");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).expect("write");
            if let Ok(open) = Directory::open(home.path(), NodeId(1)) {
                assert_eq!((open.boot, open.is_new), (2, false), "bit {bit}");
            }
        }
    }
}
