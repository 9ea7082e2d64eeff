//! Batches as bytes.
//!
//! ```text
//! frame = u32 length of the entries | u32 crc of what follows | u64 number | u64 sum | entries
//! entry = u32 length of the key | u32 length of the value, or ffffffff: removed | key | value
//! ```
//!
//! Numbers are consecutive. The sum is that of all entries there are after the batch.

use bytes::Bytes;

const HEAD: usize = 24;
const REMOVED: u32 = u32::MAX;

/// A batch as it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub number: u64,
    pub sum: u64,
    pub entries: Vec<(Vec<u8>, Option<Bytes>)>,
    /// Its length in the file.
    pub len: usize,
}

/// `None` where it would be too long.
pub fn encode<'a>(
    number: u64,
    sum: u64,
    entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> Option<Vec<u8>> {
    let mut out = vec![0; HEAD];
    for (key, value) in entries {
        let len = value.map_or(Some(REMOVED), |value| u32::try_from(value.len()).ok())?;
        out.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.unwrap_or_default());
    }
    let len = u32::try_from(out.len() - HEAD).ok()?;
    out[..4].copy_from_slice(&len.to_le_bytes());
    out[8..16].copy_from_slice(&number.to_le_bytes());
    out[16..HEAD].copy_from_slice(&sum.to_le_bytes());
    let crc = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    Some(out)
}

/// The frame that `bytes` begin with; `None` where they do not.
pub fn decode(bytes: &[u8]) -> Option<Frame> {
    let mut rest = bytes;
    let (len, crc) = (number(&mut rest)?, number(&mut rest)?);
    let checked = rest.get(..(HEAD - 8).checked_add(len as usize)?)?;
    if crc32c::crc32c(checked) != crc {
        return None;
    }
    let (mut head, mut rest) = checked.split_at(HEAD - 8);
    let mut long = || Some(u64::from_le_bytes(take(&mut head, 8)?.try_into().ok()?));
    let (batch, sum) = (long()?, long()?);
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (key, value) = (number(&mut rest)?, number(&mut rest)?);
        let key = take(&mut rest, key as usize)?.to_vec();
        let value = match value {
            REMOVED => None,
            len => Some(Bytes::copy_from_slice(take(&mut rest, len as usize)?)),
        };
        entries.push((key, value));
    }
    Some(Frame { number: batch, sum, entries, len: 8 + checked.len() })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}
