//! Valid bytes, changed by chance: what a fuzzer does for hours, for seconds.

use std::collections::BTreeSet;
use std::sync::Arc;

use satsuma_common::row::{Layouts, RowDecoder, RowEncoder};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{
    ColumnId, Epoch, Generation, GroupId, NodeId, PgType, ShardId, TableId, Timestamp, TxnId,
};

use super::allocations::most_bytes;
use super::input::Input;
use super::keys::{TYPES, value};
use crate::disk::faulty::Chance;
use crate::lock::RowLockMode;
use crate::seeds::for_each_seed;
use crate::segment::column::{Kind, encode};
use crate::segment::{SegmentWriter, StoredRow};
use crate::wal::frame;
use crate::wal::record::{Attached, LoggedLock, MetaChange, Op, Record, Section};
use crate::wal::scope::{Concern, Effect, Recent, Scope};

const ROUNDS: std::ops::Range<u64> = 0..4000;
const ROWS: usize = 90;

/// Bytes that a read may take: so many for each byte of input, and so many more.
const BYTES_PER_BYTE: usize = 100;
const BYTES_MORE: usize = 8 << 20;

fn survives(corpus: &[Vec<u8>], read: fn(&[u8])) {
    corpus.iter().for_each(|bytes| read(bytes));
    for_each_seed(ROUNDS, |seed| {
        let mut chance = Chance::new(seed);
        let bytes = changed(corpus, &mut chance);
        let taken = most_bytes(|| read(&bytes));
        let allowed = bytes.len() * BYTES_PER_BYTE + BYTES_MORE;
        assert!(taken <= allowed, "{taken} bytes of memory for {}", bytes.len());
    });
}

fn pick<'a>(corpus: &'a [Vec<u8>], chance: &mut Chance) -> &'a [u8] {
    &corpus[chance.below(corpus.len() as u64) as usize]
}

fn place(bytes: &[u8], chance: &mut Chance) -> usize {
    chance.below(bytes.len() as u64 + 1) as usize
}

/// One of the corpus with a few bits flipped, cut, spliced with another, with lengths that are huge.
fn changed(corpus: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = pick(corpus, chance).to_vec();
    for _ in 0..1 + chance.below(4) {
        let at = place(&bytes, chance);
        match chance.below(8) {
            0 => bytes.truncate(at),
            1 => {
                let other = pick(corpus, chance);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[place(other, chance)..]);
            }
            2 => {
                let filler = [0, 0x7f, 0x80, 0xff][chance.below(4) as usize];
                let end = bytes.len().min(at + 1 + chance.below(8) as usize);
                bytes[at..end].fill(filler);
            }
            // As postcard and the log write a length of many gigabytes.
            3 => drop(bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
            4 => {
                let end = bytes.len().min(at + chance.below(64) as usize);
                let piece = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn records_and_log_files_are_read_or_refused() {
    let records = records();
    let (mut file, mut recent, mut all_notes) = (Vec::new(), Recent::default(), Vec::new());
    for (lsn, record) in (1..).zip(&records) {
        let concern =
            Concern { group: GroupId(lsn), shard: ShardId(lsn * 100), effect: Effect::Rows };
        let notes = recent.next(&Scope::Shards(vec![concern]), record.len(), true);
        frame::put(&mut file, super::log::KEY, lsn, lsn - 1, &notes, record);
        all_notes.push(notes);
    }
    let files = vec![file; 6];
    let corpus: Vec<_> = records.into_iter().chain(files).chain(all_notes).collect();
    survives(&corpus, super::log);
}

#[test]
fn segments_are_read_or_refused() {
    let mut corpus = chunks();
    let image = [&[1], &image(&types())[..]].concat();
    // As often as chunks.
    corpus.extend(vec![image; corpus.len()]);
    survives(&corpus, super::segment);
}

#[test]
fn keys_are_read_or_refused_and_order_as_values_do() {
    let mut chance = Chance::new(1);
    let corpus: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let len = chance.below(200);
            (0..len).map(|_| chance.number() as u8).collect()
        })
        .collect();
    survives(&corpus, super::keys);
}

#[test]
fn thousands_of_nested_arrays_are_refused() {
    let array = PgType::Array(Box::new(PgType::Int4));
    let footer_at = |image: &[u8]| {
        let len = image[image.len() - 12..][..4].try_into().unwrap();
        image.len() - 16 - u32::from_le_bytes(len) as usize
    };
    let good = image(&[array]);
    let start = footer_at(&good);
    // version, number of columns, id, and then the type.
    let at = start + 3;
    assert_eq!(
        good[at..at + 2],
        postcard::to_stdvec(&PgType::Array(Box::new(PgType::Int4))).unwrap()
    );
    for depth in [1000, 100_000] {
        let mut bytes = good.clone();
        let nested = vec![good[at]; depth];
        drop(bytes.splice(at..at, nested));
        let end = bytes.len();
        let len = (end - 16 - start) as u32;
        let crc = crc32c::crc32c(&bytes[start..end - 16]);
        bytes[end - 16..end - 12].copy_from_slice(&crc.to_le_bytes());
        bytes[end - 12..end - 8].copy_from_slice(&len.to_le_bytes());
        let refused = crate::segment::footer::Footer::decode(&bytes).unwrap_err();
        assert!(refused.to_string().contains("malformed"), "{refused}");
        super::segment(&[&[1], &bytes[..]].concat());
    }
}

fn types() -> Vec<PgType> {
    let arrays = [PgType::Int4, PgType::Text].map(|ty| PgType::Array(Box::new(ty)));
    TYPES.iter().cloned().chain(arrays).filter(|ty| *ty != PgType::Void).collect()
}

fn shape(types: &[PgType]) -> TableShape {
    let column = |(number, ty): (u16, &PgType)| Column {
        id: ColumnId(number),
        name: format!("c{number}"),
        ty: ty.clone(),
        not_null: false,
        missing: None,
    };
    TableShape {
        table: TableId(1),
        version: 1,
        schema_name: "public".into(),
        name: "t".into(),
        columns: (1..).zip(types).map(column).collect(),
        primary_key: Vec::new(),
        primary_key_name: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}

/// Values by chance, without those that only keys may have.
fn values(ty: &PgType, chance: &mut Chance, count: usize) -> Vec<Option<Vec<u8>>> {
    let physical = satsuma_common::row::Physical::of(ty);
    (0..count)
        .map(|_| {
            let bytes: Vec<u8> = (0..60).map(|_| chance.number() as u8).collect();
            match ty {
                PgType::Point => return Some(bytes[..16].to_vec()),
                PgType::Void => return None,
                _ => {}
            }
            let datum = value(&mut Input::new(&bytes), ty);
            let encoded = satsuma_common::row::value::encode_value(&datum, ty).unwrap();
            encoded.inspect(|value| {
                assert!(physical.fixed_width().is_none_or(|width| width == value.len()));
            })
        })
        .collect()
}

/// A segment with a column of each type.
fn image(types: &[PgType]) -> Vec<u8> {
    let mut chance = Chance::new(7);
    let columns: Vec<_> = types.iter().map(|ty| values(ty, &mut chance, ROWS)).collect();
    let shape = shape(types);
    let encoder = RowEncoder::new(&shape);
    let layouts = Arc::new(Layouts::of(&shape));
    let mut writer = SegmentWriter::new(RowDecoder::new(Arc::new(shape), layouts));
    let row = |row: usize| encoder.encode_physical(|column| columns[column][row].as_deref());
    for (number, row) in (0u64..).zip((0..ROWS).map(row)) {
        let key = satsuma_common::key::row_id_key(number).into();
        writer
            .push(StoredRow { key, ts: Timestamp(number % 5), row: row.unwrap().into() })
            .unwrap();
    }
    writer.finish().unwrap()
}

/// Chunks of every type and every encoding, in the form that [`super::segment`] takes.
fn chunks() -> Vec<Vec<u8>> {
    let mut chance = Chance::new(3);
    let mut chunks = Vec::new();
    let mut encodings = BTreeSet::new();
    let mut symbols = false;
    for (number, ty) in (0u8..).zip(TYPES) {
        let kind = Kind::of(&satsuma_common::arrow_types::data_type(ty));
        let any = values(ty, &mut chance, ROWS);
        let few: Vec<_> = any.iter().cycle().take(3).cycle().take(ROWS).cloned().collect();
        let present: Vec<_> = any.iter().filter(|value| value.is_some()).cloned().collect();
        let mut columns = vec![any, few, present, vec![None; ROWS]];
        if kind == Kind::Text {
            let page = |n: usize| Some(format!("https://example.com/page/{}", n * n).into_bytes());
            columns.push((0..ROWS).map(page).collect());
            columns.push((0..ROWS).map(|n| Some(format!("code {n:04}").into_bytes())).collect());
        }
        for values in columns {
            let values: Vec<_> = values.iter().map(Option::as_deref).collect();
            let chunk = encode(kind, &values).unwrap();
            encodings.insert(chunk[0]);
            symbols |= chunk[..2] == [3, 0] && chunk[2] > 0;
            let rows = (values.len() as u16).to_le_bytes();
            chunks.push([&[0, number], &rows[..], &chunk].concat());
        }
    }
    assert_eq!(encodings, (0..=5).collect(), "every encoding is among them");
    assert!(symbols, "packed strings are among them");
    chunks
}

fn records() -> Vec<Vec<u8>> {
    let txn = TxnId { start: Timestamp(1000), coordinator: NodeId(3) };
    let ts = Timestamp(2000);
    let key = |n: u64| satsuma_common::key::row_id_key(n).into();
    let section = |shard| Section {
        group: GroupId(5),
        epoch: Epoch(2),
        shard: ShardId(shard),
        ops: vec![
            Op::Put { key: key(1), row: vec![1; 40].into() },
            Op::Delete { key: key(2) },
            Op::Truncate,
            Op::Attach(Attached { id: 9, size: 70_000, rows: 300, segment: None }),
        ],
    };
    let sections = vec![section(17), section(18)];
    let locks: Vec<_> = [RowLockMode::Update, RowLockMode::KeyShare]
        .map(|mode| LoggedLock { shard: ShardId(17), mode: mode.into(), key: key(3) })
        .into();
    let shape = Box::new(shape(&types()));
    let changes = [
        MetaChange::CreateShards {
            shape: shape.clone(),
            shards: vec![(ShardId(17), GroupId(5), Generation(1))],
        },
        MetaChange::AlterTable { shape: shape.clone(), by: Some(txn) },
        MetaChange::DropShards { shards: vec![ShardId(17), ShardId(18)] },
        MetaChange::SetGeneration {
            group: GroupId(5),
            generation: Generation(2),
            epoch: Epoch(3),
            held: Some(vec![ShardId(17)]),
        },
        MetaChange::CopyShards {
            layouts: Box::new(Layouts::of(&shape)),
            shape,
            shards: vec![(ShardId(17), GroupId(5))],
        },
        MetaChange::FenceGroup {
            group: GroupId(5),
            generation: Generation(2),
            held: vec![ShardId(17)],
        },
    ];
    [
        Record::Commit { txn, ts, sections: sections.clone() },
        Record::Part { txn, sections: sections.clone() },
        Record::Prepare { txn, ts, sections, locks: locks.clone() },
        Record::CommitPrepared { txn, ts },
        Record::Abort { txn },
        Record::Locks { txn, locks },
    ]
    .into_iter()
    .chain(changes.map(Record::Meta))
    .map(|record| record.encode().unwrap())
    .collect()
}
