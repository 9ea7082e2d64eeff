//! Engines on a disk, and tables in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use satsuma_common::table::{Column, TableShape};
use satsuma_common::{
    ColumnId, Generation, GroupId, NodeId, PgType, ShardId, TableId, Timestamp, TxnId,
};
use satsuma_storage::disk::RealDisk;
use satsuma_storage::{Engine, Options, WriteContext};
use tempfile::TempDir;

pub fn directory() -> TempDir {
    let place = std::env::var_os("SATSUMA_BENCH_DIR");
    let usual = || option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, Into::into);
    let place = place.map_or_else(usual, PathBuf::from);
    TempDir::new_in(place).expect("a directory for the benchmark")
}

/// A directory that takes no time to sync, where there is one.
pub fn directory_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).expect("a directory in memory")
    } else {
        directory()
    }
}

pub fn runtime(threads: usize) -> tokio::runtime::Runtime {
    let mut builder = match threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.max(1)).enable_all().build().expect("a runtime")
}

pub fn open(dir: &Path, options: Options) -> Arc<Engine> {
    Engine::open(dir, Arc::new(RealDisk), options).expect("the engine opens")
}

/// `id int8 PRIMARY KEY` and a column.
pub fn shape(table: u32, ty: PgType) -> TableShape {
    let column = |id, name: &str, ty| Column {
        id: ColumnId(id),
        name: name.into(),
        ty,
        not_null: id == 1,
        missing: None,
    };
    TableShape {
        table: TableId(table),
        version: 1,
        schema_name: "public".into(),
        name: format!("t{table}"),
        columns: vec![column(1, "id", PgType::Int8), column(2, "value", ty)],
        primary_key: vec![ColumnId(1)],
        primary_key_name: Some("t_pkey".into()),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}

/// The table in one shard of the same number.
pub async fn create(engine: &Arc<Engine>, shape: &TableShape) -> ShardId {
    let shard = ShardId(u64::from(shape.table.0));
    let shards = [(shard, GroupId(shard.0), Generation(1))];
    engine.create_shards(shape, &shards).await.expect("a shard");
    shard
}

/// A transaction of its own.
pub fn begin() -> WriteContext {
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    let start = Timestamp(NEXT.fetch_add(1, Ordering::Relaxed));
    let txn = TxnId { start, coordinator: NodeId(1) };
    WriteContext { txn, statement: 1, snapshot: Timestamp(1 << 40), lock_timeout: None }
}

pub async fn commit(engine: &Arc<Engine>, context: &WriteContext) -> Timestamp {
    engine.commit(context.txn, context.txn.start).await.expect("a commit")
}
