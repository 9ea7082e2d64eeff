//! Records of the log, and its files.

use std::path::Path;

use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::wal::frame::{FILE_HEADER, FRAME_HEADER, file_header};
use crate::wal::record::Record;
use crate::wal::{Replayed, replay};

/// A record, and the frames of a log file behind its header.
pub fn log(bytes: &[u8]) {
    record(bytes);
    frames(bytes);
}

fn record(payload: &[u8]) {
    let decoded = Record::decode(payload);
    let passed = Record::decode_sections(payload, |_| false);
    assert_eq!(decoded.is_ok(), passed.is_ok(), "operations are read as they are passed over");
    if let Ok(record) = decoded {
        let again = record.encode().expect("what was read can be written");
        assert_eq!(Record::decode(&again).expect("what was written can be read"), record);
    }
}

fn frames(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), with_checksums(bytes)] {
        let disk = FaultyDisk::default();
        let path = Path::new("/wal/00000000000000000001.wal");
        let file = disk.create(path).expect("a file in memory");
        let image = [&file_header(1)[..], &bytes].concat();
        file.write_at(&image, 0).expect("a file in memory");
        let Ok((replayed, records)) = read(&disk) else { continue };
        // A torn tail was cut: another start finds the same.
        assert_eq!(read(&disk).expect("the log again"), (replayed, records));
    }
}

fn read(disk: &FaultyDisk) -> crate::Result<(Replayed, Vec<Vec<u8>>)> {
    let mut records = Vec::new();
    let replayed = replay(disk, Path::new("/wal"), 1, |_, payload| {
        records.push(payload.to_vec());
        Ok(())
    })?;
    Ok((replayed, records))
}

/// The same with the checksum of each frame, as far as one follows the other.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Frames lie at multiples of 8 of the file, as does the end of its header.
    const { assert!(FILE_HEADER.is_multiple_of(8)) };
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 4) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at + FRAME_HEADER + len;
        let Some(body) = bytes.get(at + 8..end) else { break };
        let crc = crc32c::crc32c_append(crc32c::crc32c(head), body);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = end.next_multiple_of(8);
    }
    bytes
}
