//! How long a start takes when nothing was sealed since the log began.

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use satsuma_common::PgType;
use satsuma_storage::{ConflictPolicy, Options};

use crate::{points, store};

#[divan::bench(sample_count = 5, sample_size = 1)]
fn restart_with_a_full_delta(bencher: Bencher) {
    let dir = store::directory();
    let options = || Options { maintenance: false, ..Options::default() };
    let (most_log, most_delta) = (options().checkpoint_bytes, options().delta_bytes);
    let engine = store::open(dir.path(), options());
    let shape = store::shape(1, PgType::Text);
    let mut rows = 0;
    store::runtime(0).block_on(async {
        let shard = store::create(&engine, &shape).await;
        // Where a checkpoint would be made, or the delta sealed.
        while engine.stats().wal.bytes < most_log && engine.stats().delta_bytes < most_delta {
            let context = store::begin();
            let batch = points::batch(&shape, rows..rows + 1000);
            engine.insert(&context, shard, &batch, ConflictPolicy::Fail).await.expect("rows");
            store::commit(&engine, &context).await;
            rows += 1000;
        }
    });
    let bytes = engine.stats().wal.bytes;
    engine.close();
    drop(engine);
    bencher.counter(ItemsCount::new(rows as usize)).counter(BytesCount::new(bytes)).bench_local(
        || {
            let engine = store::open(dir.path(), options());
            assert_eq!(engine.stats().segments, 0);
            engine.close();
        },
    );
}
