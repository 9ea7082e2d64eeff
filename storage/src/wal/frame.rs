//! Frames and file headers of the log.
//!
//! ```text
//! file  = "SATWAL" u16:format | u64:first lsn | u32:crc of the 16 bytes before | 4 zero bytes
//! frame = u32:payload length | u32:crc of everything after | u64:lsn | u64:durable | payload | 0..7 zero bytes
//! ```
//!
//! Numbers are little endian. Frames start at multiples of 8; a length of 0 ends the file.

pub const FILE_HEADER: usize = 24;
pub const FRAME_HEADER: usize = 24;
pub const FORMAT: u16 = 2;
/// Longest payload of one frame. Larger transactions are logged in parts.
pub const MAX_PAYLOAD: usize = 64 << 20;

const MAGIC: &[u8; 6] = b"SATWAL";

/// A frame as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub lsn: u64,
    /// Highest LSN that was durable when this frame was written.
    pub durable: u64,
    pub payload: &'a [u8],
    /// Bytes that the frame takes, padding included.
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Zero bytes where the next frame would start.
    End,
    Bad(&'static str),
}

/// Bytes of a frame with a payload of this length.
pub fn size(payload: usize) -> u64 {
    (FRAME_HEADER + payload).next_multiple_of(8) as u64
}

pub fn put(out: &mut Vec<u8>, lsn: u64, durable: u64, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = checksum(&out[start..start + 4], &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + (out.len() - start).next_multiple_of(8), 0);
}

/// The frame at the start of `bytes`.
pub fn take(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let Some(header) = bytes.get(..FRAME_HEADER) else {
        return if bytes.iter().all(|b| *b == 0) {
            Err(FrameError::End)
        } else {
            Err(FrameError::Bad("frame header is cut off"))
        };
    };
    let len = u32_at(header, 0) as usize;
    if len == 0 {
        return if header.iter().all(|b| *b == 0) {
            Err(FrameError::End)
        } else {
            Err(FrameError::Bad("frame has no length"))
        };
    }
    if len > MAX_PAYLOAD {
        return Err(FrameError::Bad("frame length is out of bounds"));
    }
    let end = FRAME_HEADER + len;
    let Some(body) = bytes.get(8..end) else {
        return Err(FrameError::Bad("frame is cut off"));
    };
    if checksum(&header[..4], body) != u32_at(header, 4) {
        return Err(FrameError::Bad("checksum does not match"));
    }
    Ok(Frame {
        lsn: u64_at(header, 8),
        durable: u64_at(header, 16),
        payload: &bytes[FRAME_HEADER..end],
        size: end.next_multiple_of(8).min(bytes.len()),
    })
}

fn checksum(length: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length), body)
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

/// The first LSN of a file, from its header.
pub fn read_file_header(bytes: &[u8]) -> Result<u64, &'static str> {
    let header = bytes.get(..FILE_HEADER).ok_or("file header is cut off")?;
    if &header[..6] != MAGIC {
        return Err("not a log file");
    }
    if crc32c::crc32c(&header[..16]) != u32_at(header, 16) {
        return Err("checksum of the file header does not match");
    }
    if u16::from_le_bytes([header[6], header[7]]) != FORMAT {
        return Err("log format is not known to this program");
    }
    Ok(u64_at(header, 8))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
