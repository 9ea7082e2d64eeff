use bytes::Bytes;
use satsuma_common::row::{Layouts, RowDecoder, RowEncoder};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{ColumnId, PgType};

use super::*;
use crate::segment::{Marks, SegmentWriter, StoredRow};

fn shape() -> TableShape {
    let id = ColumnId(1);
    let ty = PgType::Int8;
    let column = Column { id, name: "id".into(), ty, not_null: false, missing: None };
    TableShape {
        table: TableId(1),
        version: 1,
        schema_name: "public".into(),
        name: "t".into(),
        columns: vec![column],
        primary_key: Vec::new(),
        primary_key_name: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}

/// A loaded segment with one row, whose key is the segment's number.
fn segment(id: u64) -> Arc<Segment> {
    let shape = Arc::new(shape());
    let layouts = Arc::new(Layouts::of(&shape));
    let row = RowEncoder::new(&shape).encode(&[Datum::Int8(7)]).unwrap().into();
    let mut writer = SegmentWriter::new(RowDecoder::new(shape, layouts));
    let key = key::row_id_key(id).into();
    writer.push(StoredRow { key, ts: Timestamp(0), row }).unwrap();
    let bytes = Bytes::from(writer.finish().unwrap());
    Arc::new(Segment::open(id, "s".into(), bytes, Marks::default()).unwrap())
}

#[test]
fn sealing_amid_a_record_leaves_the_rest_of_it_to_the_log() {
    let shard = Shard::new(ShardId(1), GroupId(1), TableId(1), Lsn(1));
    let (lsn, ts) = (Lsn(5), Timestamp(50));
    let segments = [segment(1), segment(2)];
    shard.attach(lsn, lsn, ts, &segments[0], true);
    let frozen = shard.freeze().unwrap();
    assert!(frozen.upto < lsn.0);
    shard.install(frozen.upto, None);
    let ops = segments.map(|segment| {
        let (id, size, rows) = (segment.id, segment.size(), segment.rows());
        Op::Attach(Attached { id, size, rows, segment: Some(segment) })
    });
    shard.apply(lsn, lsn, ts, &ops, true);
    for id in [1, 2] {
        assert!(shard.get(&key::row_id_key(id), ts).unwrap().is_some(), "row {id}");
    }
    assert_eq!(shard.freeze().unwrap().upto, lsn.0);
}
