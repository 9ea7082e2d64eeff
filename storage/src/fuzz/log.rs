//! Records of the log, and its files.

use std::path::Path;

use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::wal::frame::{FILE_HEADER, FRAME_HEAD, file_header};
use crate::wal::record::Record;
use crate::wal::scope::Notes;
use crate::wal::{Found, Known, LogKey, Replayed, replay};

pub const KEY: LogKey = LogKey(7);

/// A record, the notes of a frame, and the frames of a log file behind its header.
pub fn log(bytes: &[u8]) {
    record(bytes);
    if let Some(notes) = Notes::decode(bytes) {
        assert!(notes.tally.len() <= bytes.len());
    }
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

fn read(disk: &FaultyDisk) -> crate::Result<(Replayed, Vec<(u64, Vec<u8>)>)> {
    let mut records = Vec::new();
    let replayed =
        replay(disk, Path::new("/wal"), KEY, Known { from: 1, durable_before: 1 }, |found| {
            match found {
                Found::Record { lsn, payload } => records.push((lsn, payload.to_vec())),
                Found::Lost(lost) => assert!(lost.first <= lost.last, "{lost:?}"),
            }
            Ok(())
        })?;
    assert!(records.is_sorted_by_key(|(lsn, _)| *lsn));
    Ok((replayed, records))
}

/// The same with the checksums of each frame, as far as one follows the other.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Frames lie at multiples of 8 of the file, as does the end of its header.
    const { assert!(FILE_HEADER.is_multiple_of(8)) };
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + FRAME_HEAD) {
        let length = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i])) as usize;
        let notes = at + FRAME_HEAD;
        let payload = notes + length(4);
        let end = payload + length(0);
        let (Some(first), Some(second)) = (bytes.get(notes..payload), bytes.get(payload..end))
        else {
            break;
        };
        let (first, second) = (crc32c::crc32c(first), crc32c::crc32c(second));
        bytes[at + 20..at + 24].copy_from_slice(&first.to_le_bytes());
        bytes[at + 24..at + 28].copy_from_slice(&second.to_le_bytes());
        let crc = crc32c::crc32c_append(KEY.0, &bytes[at..at + 28]);
        bytes[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
        at = end.next_multiple_of(8);
    }
    bytes
}
