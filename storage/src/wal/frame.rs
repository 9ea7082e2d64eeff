//! Frames and file headers of the log.
//!
//! ```text
//! file  = "SATWAL" u16:format | u64:first lsn | u32:crc of the 16 bytes before | 4 zero bytes
//! frame = head | notes | payload | 0..7 zero bytes
//! head  = u32:length of payload | u32:length of notes | u64:lsn | u32:lag
//!       | u32:crc of notes | u32:crc of payload | u32:crc of the head before, begun with the key
//! ```
//!
//! Numbers are little endian. Frames start at multiples of 8; zeros end the file. The lag is how
//! far the record is ahead of the highest LSN that was durable when it was written.
//!
//! A head that checks out was written here: the key of a directory is known to nobody who writes
//! rows, so that no payload can hold what looks like one. It says where the next frame is, even
//! where notes or payload are damaged.

use super::scope::Notes;

pub const FILE_HEADER: usize = 24;
pub const FRAME_HEAD: usize = 32;
pub const FORMAT: u16 = 3;
/// Longest payload of one frame. Larger transactions are logged in parts.
pub const MAX_PAYLOAD: usize = 64 << 20;

const MAGIC: &[u8; 6] = b"SATWAL";

/// What the checksums of a directory's heads begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogKey(pub u32);

/// A frame's head as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub lsn: u64,
    /// Highest LSN that was durable when this frame was written.
    pub durable: u64,
    notes: usize,
    payload: usize,
    notes_crc: u32,
    payload_crc: u32,
}

impl Head {
    /// The head at the start of `bytes`.
    pub fn take(key: LogKey, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEAD)?;
        let (payload, notes) = (u32_at(bytes, 0) as usize, u32_at(bytes, 4) as usize);
        let (lsn, lag) = (u64_at(bytes, 8), u32_at(bytes, 16));
        let is_plausible = payload > 0
            && payload <= MAX_PAYLOAD
            && notes <= Notes::MAX_BYTES
            && lag > 0
            && u64::from(lag) <= lsn
            && lsn < u64::MAX;
        if !is_plausible || crc32c::crc32c_append(key.0, &bytes[..28]) != u32_at(bytes, 28) {
            return None;
        }
        let (notes_crc, payload_crc) = (u32_at(bytes, 20), u32_at(bytes, 24));
        Some(Self { lsn, durable: lsn - u64::from(lag), notes, payload, notes_crc, payload_crc })
    }

    /// Bytes that the frame takes, padding included.
    pub fn size(&self) -> usize {
        self.len().next_multiple_of(8)
    }

    /// The same without padding.
    pub fn len(&self) -> usize {
        FRAME_HEAD + self.notes + self.payload
    }

    /// Bytes of the head and the notes.
    pub fn told(&self) -> usize {
        FRAME_HEAD + self.notes
    }

    /// The notes of the frame at the start of `bytes`, if they are what was written.
    pub fn notes(&self, bytes: &[u8]) -> Option<Notes> {
        let notes = bytes.get(FRAME_HEAD..FRAME_HEAD + self.notes)?;
        (crc32c::crc32c(notes) == self.notes_crc).then(|| Notes::decode(notes))?
    }

    /// The payload of the frame at the start of `bytes`, if it is what was written.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let payload = bytes.get(FRAME_HEAD + self.notes..self.len()).ok_or("frame is cut off")?;
        match crc32c::crc32c(payload) == self.payload_crc {
            true => Ok(payload),
            false => Err("checksum does not match"),
        }
    }
}

/// Why there is no head at the start of `bytes`.
pub fn no_head(bytes: &[u8]) -> &'static str {
    match bytes.get(..FRAME_HEAD) {
        None => "frame is cut off",
        Some(head) if head.iter().all(|b| *b == 0) => "a record is missing",
        Some(_) => "checksum of the frame's head does not match",
    }
}

/// The first head in `bytes` from `at` on whose record is `lsn` or a later one.
pub fn find_head(key: LogKey, bytes: &[u8], at: usize, lsn: u64) -> Option<(usize, Head)> {
    let places = (at.next_multiple_of(8)..bytes.len()).step_by(8);
    places.filter_map(|at| Some((at, Head::take(key, &bytes[at..])?))).find(|(_, h)| h.lsn >= lsn)
}

/// Bytes of a frame, padding included.
pub fn size(notes: usize, payload: usize) -> u64 {
    (FRAME_HEAD + notes + payload).next_multiple_of(8) as u64
}

pub fn put(out: &mut Vec<u8>, key: LogKey, lsn: u64, durable: u64, notes: &[u8], payload: &[u8]) {
    let start = out.len();
    let lag = u32::try_from(lsn - durable).unwrap_or(u32::MAX);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&(notes.len() as u32).to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&lag.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(notes).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let crc = crc32c::crc32c_append(key.0, &out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(notes);
    out.extend_from_slice(payload);
    out.resize(start + (out.len() - start).next_multiple_of(8), 0);
}

pub fn file_header(first_lsn: u64) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..6].copy_from_slice(MAGIC);
    header[6..8].copy_from_slice(&FORMAT.to_le_bytes());
    header[8..16].copy_from_slice(&first_lsn.to_le_bytes());
    let crc = crc32c::crc32c(&header[..16]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileHeader {
    /// The first LSN.
    First(u64),
    /// Of a format that is not this program's.
    Foreign,
    Damaged,
}

pub fn read_file_header(bytes: &[u8]) -> FileHeader {
    let Some(header) = bytes.get(..FILE_HEADER) else { return FileHeader::Damaged };
    if &header[..6] != MAGIC || crc32c::crc32c(&header[..16]) != u32_at(header, 16) {
        FileHeader::Damaged
    } else if u16::from_le_bytes([header[6], header[7]]) != FORMAT {
        FileHeader::Foreign
    } else {
        FileHeader::First(u64_at(header, 8))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
