//! Where segments and manifests are kept: large segments in files, small ones in the store.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StorageError};
use crate::kv::{Batch, Kv};
use crate::manifest::{self, Manifest, MarksPlace, SegmentRef};
use crate::segment::{Marks, Segment};
use crate::shard::{Contents, Shard, Stored};
use crate::txn::LoadedFile;

const ARRIVED_DAMAGED: StorageError = StorageError::CopyBroken("a segment arrived damaged");
/// Marks up to this many are in the manifest itself.
const FEW_MARKS: usize = 2000;
/// Files are synced whenever so many bytes of them were written. The log's next sync may have to
/// wait until the file system has stored what others wrote, and commits wait with it.
const SYNC_BYTES: usize = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// Segment files and the key-value store.
#[derive(Debug)]
pub struct Store {
    pub disk: Arc<dyn Disk>,
    pub kv: Arc<Kv>,
    pub dir: PathBuf,
    /// Segments up to this size live in the key-value store.
    small_segment: u64,
    next_number: AtomicU64,
}

impl Store {
    pub fn new(disk: Arc<dyn Disk>, kv: Arc<Kv>, dir: PathBuf, small_segment: u64) -> Self {
        Self { disk, kv, dir, small_segment, next_number: AtomicU64::new(1) }
    }

    pub fn unnamed(&self) -> Unnamed<'_> {
        Unnamed { store: self, numbers: BTreeSet::new() }
    }

    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// A segment that is to be written as it comes.
    pub fn growing(&self) -> GrowingSegment<'_> {
        GrowingSegment { store: self, id: self.number(), bytes: Vec::new(), written: 0, file: None }
    }

    pub(super) fn remove(&self, path: &std::path::Path) -> Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::io(path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Stores the segment of a load in a file, whatever its size. It is durable after
    /// [`Self::sync_names`].
    pub fn put_loaded(&self, bytes: Vec<u8>) -> Result<(Segment, LoadedFile)> {
        let id = self.number();
        let path = manifest::segment_file(&self.dir, id);
        self.write_file(&path, &bytes)?;
        let file = LoadedFile { disk: self.disk.clone(), path, kept: AtomicBool::new(false) };
        Ok((self.open_segment(id)?, file))
    }

    /// The file of a loaded segment that a record names.
    pub fn kept_file(&self, id: u64) -> LoadedFile {
        let path = manifest::segment_file(&self.dir, id);
        LoadedFile { disk: self.disk.clone(), path, kept: AtomicBool::new(true) }
    }

    /// Opens a segment file.
    pub fn open_segment(&self, id: u64) -> Result<Segment> {
        let path = manifest::segment_file(&self.dir, id);
        let bytes = self.disk.map(&path).map_err(|e| StorageError::io(&path, &e))?;
        Segment::open(id, path, bytes, Marks::default())
    }

    /// Whether the segment file of a load is there.
    pub fn has_loaded(&self, id: u64) -> bool {
        self.disk.open(&manifest::segment_file(&self.dir, id)).is_ok()
    }

    /// Room for a segment that arrives in pieces.
    pub fn incoming(&self, size: u64) -> Result<IncomingSegment> {
        let id = self.number();
        let place = if size > self.small_segment {
            let path = manifest::segment_file(&self.dir, id);
            let file = self.disk.create(&path).map_err(|e| StorageError::io(&path, &e))?;
            IncomingPlace::File { path, file }
        } else {
            IncomingPlace::Memory(Vec::new())
        };
        Ok(IncomingSegment { id, size, at: 0, synced: 0, crc: 0, place })
    }

    /// Opens a segment that has arrived whole; as durable as after [`GrowingSegment::finish`].
    pub fn finish(
        &self,
        incoming: IncomingSegment,
        crc: u32,
        batch: &mut Batch,
    ) -> Result<Segment> {
        let IncomingSegment { id, size, at, crc: found, place, .. } = incoming;
        let is_whole = at == size && found == crc;
        let (path, file) = match place {
            IncomingPlace::Memory(bytes) if is_whole => {
                let bytes = Bytes::from(bytes);
                batch.push((manifest::segment_key(id), Some(bytes.clone())));
                return Segment::open(id, kv_path(id), bytes, Marks::default());
            }
            IncomingPlace::Memory(_) => return Err(ARRIVED_DAMAGED),
            IncomingPlace::File { path, file } => (path, file),
        };
        let synced = match is_whole {
            true => file.sync().map_err(|e| StorageError::io(&path, &e)),
            false => Err(ARRIVED_DAMAGED),
        };
        synced.and_then(|()| self.open_segment(id)).inspect_err(|_| self.forget([path]))
    }

    /// Removes files of segments that came to nothing.
    pub fn forget(&self, files: impl IntoIterator<Item = PathBuf>) {
        for path in files.into_iter().filter(|path| path.starts_with(&self.dir)) {
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!(file = %path.display(), %error, "an orphan was left behind");
            }
        }
    }

    /// Whether a segment is in a file of its own.
    pub fn is_in_file(&self, segment: &Segment) -> bool {
        segment.path.starts_with(&self.dir)
    }

    pub(super) fn write_file(&self, path: &std::path::Path, bytes: &[u8]) -> Result<()> {
        let write = || {
            let file = self.disk.create(path)?;
            let mut at = 0;
            for piece in bytes.chunks(SYNC_BYTES) {
                file.write_at(piece, at)?;
                file.sync()?;
                at += piece.len() as u64;
            }
            Ok(())
        };
        write().map_err(|error| {
            // What is left of it would only take the room that is missing.
            let _ = self.disk.remove(path);
            StorageError::io(path, &error)
        })
    }

    pub fn sync_names(&self) -> Result<()> {
        self.disk.sync_dir(&self.dir).map_err(|e| StorageError::io(&self.dir, &e))
    }

    /// A manifest of these segments with their marks as they are now, which may be in a file that
    /// is durable after [`Self::sync_names`].
    pub fn manifest(
        &self,
        shard: &Shard,
        contents: &Contents,
        segments: &[Arc<Segment>],
        sealed: u64,
    ) -> Result<Manifest> {
        let marks: Vec<Marks> = segments.iter().map(|segment| (*segment.marks()).clone()).collect();
        let marks = if marks.iter().map(Marks::len).sum::<usize>() <= FEW_MARKS {
            MarksPlace::Here(marks)
        } else {
            let number = self.number();
            let path = manifest::marks_file(&self.dir, number);
            self.write_file(&path, &manifest::encode(&marks)?)?;
            MarksPlace::File(number)
        };
        Ok(Manifest {
            created: shard.created.0,
            sealed,
            next_row_id: shard.next_row_id(),
            truncations: contents.truncations.iter().map(|ts| ts.0).collect(),
            segments: segments
                .iter()
                .map(|segment| SegmentRef {
                    id: segment.id,
                    size: segment.size(),
                    in_file: self.is_in_file(segment),
                    committed: segment.committed(),
                })
                .collect(),
            marks,
            attached: contents.attached.iter().filter(|(lsn, _)| *lsn > sealed).copied().collect(),
        })
    }

    /// Opens what a manifest names.
    pub fn open(&self, manifest: &Manifest) -> Result<Stored> {
        let marks = match &manifest.marks {
            MarksPlace::Here(marks) => marks.clone(),
            MarksPlace::File(number) => {
                let path = manifest::marks_file(&self.dir, *number);
                let bytes = self.disk.read(&path).map_err(|e| StorageError::io(&path, &e))?;
                manifest::decode(&path.to_string_lossy(), &bytes)?
            }
        };
        let mut segments = Vec::with_capacity(manifest.segments.len());
        for (index, at) in manifest.segments.iter().enumerate() {
            let (path, bytes) = if at.in_file {
                let path = manifest::segment_file(&self.dir, at.id);
                let bytes = self.disk.map(&path).map_err(|e| StorageError::io(&path, &e))?;
                (path, bytes)
            } else {
                let bytes = self.kv.get(&manifest::segment_key(at.id))?;
                let missing = || StorageError::corrupt(kv_path(at.id), 0, "segment is missing");
                (kv_path(at.id), bytes.ok_or_else(missing)?.into())
            };
            let marks = marks.get(index).cloned().unwrap_or_default();
            let segment = Segment::open(at.id, path, bytes, marks)?;
            segment.set_committed(satsuma_common::Timestamp(at.committed));
            segments.push(Arc::new(segment));
        }
        Ok(Stored {
            segments,
            truncations: manifest
                .truncations
                .iter()
                .map(|ts| satsuma_common::Timestamp(*ts))
                .collect(),
            sealed: manifest.sealed,
            next_row_id: manifest.next_row_id,
            attached: manifest.attached.clone(),
        })
    }

    /// Removes files and entries that neither a manifest nor the log names, and goes on with fresh
    /// numbers. Nothing is removed where a manifest is damaged, or the log is not whole: what it
    /// named may be saved yet.
    pub fn sweep(
        &self,
        manifests: &[&Result<Manifest>],
        logged: &BTreeSet<u64>,
        is_whole: bool,
    ) -> Result<()> {
        let all_known = is_whole && manifests.iter().all(|manifest| manifest.is_ok());
        let manifests = || manifests.iter().filter_map(|manifest| manifest.as_ref().ok());
        let mut used = logged.clone();
        used.extend(manifests().flat_map(|m| &m.segments).map(|at| at.id));
        used.extend(manifests().filter_map(|manifest| match manifest.marks {
            MarksPlace::File(number) => Some(number),
            MarksPlace::Here(_) => None,
        }));
        let is_orphan = |number: &u64| all_known && !used.contains(number);
        let io = |e: std::io::Error| StorageError::io(&self.dir, &e);
        let mut highest = used.last().copied().unwrap_or(0);
        for path in self.disk.list(&self.dir).map_err(io)? {
            let Some(number) = manifest::file_number(&path) else { continue };
            highest = highest.max(number);
            if is_orphan(&number) {
                tracing::info!(file = %path.display(), "remove an orphan");
                self.disk.remove(&path).map_err(|e| StorageError::io(&path, &e))?;
            }
        }
        // A number that comes again must not find the run of an earlier segment.
        self.remove_runs(|segment, _| {
            highest = highest.max(segment);
            is_orphan(&segment)
        })?;
        let mut orphans = Batch::new();
        for (key, _) in self.kv.scan(b"s")? {
            let Some(number) = manifest::number_of(&key) else { continue };
            highest = highest.max(number);
            if is_orphan(&number) {
                orphans.push((key, None));
            }
        }
        if !orphans.is_empty() {
            self.kv.write(orphans)?;
        }
        self.next_number.fetch_max(highest + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Removes what a manifest that has been replaced named and its successor does not.
    pub fn discard(&self, old: &Manifest, new: &Manifest) -> Result<()> {
        let kept: BTreeSet<u64> = new.segments.iter().map(|at| at.id).collect();
        let mut batch = Batch::new();
        let mut files = Vec::new();
        for at in old.segments.iter().filter(|at| !kept.contains(&at.id)) {
            match at.in_file {
                true => files.push(manifest::segment_file(&self.dir, at.id)),
                false => batch.push((manifest::segment_key(at.id), None)),
            }
        }
        if let MarksPlace::File(number) = old.marks
            && old.marks != new.marks
        {
            files.push(manifest::marks_file(&self.dir, number));
        }
        let gone: BTreeSet<u64> = old
            .segments
            .iter()
            .filter(|at| at.in_file && !kept.contains(&at.id))
            .map(|at| at.id)
            .collect();
        if !gone.is_empty() {
            self.remove_runs(|segment, _| gone.contains(&segment))?;
        }
        for path in files {
            self.remove(&path)?;
        }
        if batch.is_empty() { Ok(()) } else { self.kv.write(batch) }
    }
}

/// Files that are made for a manifest and that none names yet. They go with this.
pub struct Unnamed<'a> {
    store: &'a Store,
    numbers: BTreeSet<u64>,
}

impl Unnamed<'_> {
    pub fn add(&mut self, at: SegmentRef) {
        self.numbers.insert(at.id);
    }

    pub fn add_segments<'s>(&mut self, segments: impl IntoIterator<Item = &'s Arc<Segment>>) {
        self.numbers.extend(segments.into_iter().map(|segment| segment.id));
    }

    pub fn add_marks(&mut self, manifest: &Manifest) {
        if let MarksPlace::File(number) = manifest.marks {
            self.numbers.insert(number);
        }
    }

    /// From now on a manifest may name them.
    pub fn named(&mut self) {
        self.numbers.clear();
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        let dir = &self.store.dir;
        let files = self.numbers.iter().flat_map(|number| {
            [manifest::segment_file(dir, *number), manifest::marks_file(dir, *number)]
        });
        let removed = files
            .into_iter()
            .try_for_each(|path| self.store.remove(&path))
            .and_then(|()| self.store.remove_runs(|segment, _| self.numbers.contains(&segment)));
        if let Err(error) = removed {
            tracing::warn!(%error, "orphans were left behind");
        }
    }
}

/// A segment that is being written, and that is held in memory only as far as it is small. What is
/// abandoned goes.
pub struct GrowingSegment<'a> {
    store: &'a Store,
    id: u64,
    /// What is not written yet.
    bytes: Vec<u8>,
    written: u64,
    file: Option<(PathBuf, Arc<dyn DiskFile>)>,
}

impl GrowingSegment<'_> {
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(SYNC_BYTES) {
            self.bytes.extend_from_slice(piece);
            let all = self.written + self.bytes.len() as u64;
            if self.bytes.len() >= SYNC_BYTES && all > self.store.small_segment {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let (path, file) = match &self.file {
            Some(open) => open,
            None => {
                let path = manifest::segment_file(&self.store.dir, self.id);
                let file =
                    self.store.disk.create(&path).map_err(|e| StorageError::io(&path, &e))?;
                self.file.insert((path, file))
            }
        };
        let written = file.write_at(&self.bytes, self.written).and_then(|()| file.sync());
        written.map_err(|e| StorageError::io(path, &e))?;
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    /// A file is durable after [`Store::sync_names`], an entry of the key-value store, which is
    /// added to `batch`, when that is written and flushed.
    pub fn finish(mut self, batch: &mut Batch) -> Result<(SegmentRef, Segment)> {
        let id = self.id;
        let size = self.written + self.bytes.len() as u64;
        let in_file = size > self.store.small_segment;
        let at = SegmentRef { id, size, in_file, committed: 0 };
        if !in_file {
            let bytes = Bytes::from(std::mem::take(&mut self.bytes));
            batch.push((manifest::segment_key(id), Some(bytes.clone())));
            return Ok((at, Segment::open(id, kv_path(id), bytes, Marks::default())?));
        }
        if !self.bytes.is_empty() {
            self.write()?;
        }
        let segment = self.store.open_segment(id)?;
        self.file = None;
        Ok((at, segment))
    }
}

impl Drop for GrowingSegment<'_> {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.take() {
            self.store.forget([path]);
        }
    }
}

/// A segment that arrives in pieces. Whoever abandons it forgets its file, too.
#[derive(Debug)]
pub struct IncomingSegment {
    id: u64,
    size: u64,
    at: u64,
    /// Durable up to here.
    synced: u64,
    crc: u32,
    place: IncomingPlace,
}

#[derive(Debug)]
enum IncomingPlace {
    Memory(Vec<u8>),
    File { path: PathBuf, file: Arc<dyn DiskFile> },
}

impl IncomingSegment {
    /// Its file, if it has one.
    pub fn into_path(self) -> Option<PathBuf> {
        match self.place {
            IncomingPlace::Memory(_) => None,
            IncomingPlace::File { path, .. } => Some(path),
        }
    }

    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        if self.at + piece.len() as u64 > self.size {
            return Err(StorageError::CopyBroken("a segment is longer than announced"));
        }
        match &mut self.place {
            IncomingPlace::Memory(bytes) => bytes.extend_from_slice(piece),
            IncomingPlace::File { path, file } => {
                let io = |e| StorageError::io(path.clone(), &e);
                file.write_at(piece, self.at).map_err(io)?;
                let written = self.at + piece.len() as u64;
                if written - self.synced >= SYNC_BYTES as u64 {
                    file.sync().map_err(io)?;
                    self.synced = written;
                }
            }
        }
        self.at += piece.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, piece);
        Ok(())
    }
}

fn kv_path(id: u64) -> PathBuf {
    PathBuf::from(format!("kv/s{id}"))
}
