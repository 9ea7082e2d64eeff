//! Rows of system relations that follow from the catalog's state alone, kept until it changes:
//! psql's questions read the same ones again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use datafusion::arrow::array::RecordBatch;
use parking_lot::Mutex;
use satsuma_common::{Oid, SqlResult};

use super::Layout;
use crate::catalog::State;

/// The largest of them. No session, setting or size may show in their rows.
const KEPT: [&str; 4] = ["pg_attribute", "pg_constraint", "pg_index", "pg_type"];

/// Those of the state that was last asked for.
#[derive(Default)]
pub struct KeptRows(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Weak, but its place is not given to another state meanwhile.
    state: Weak<State>,
    relations: BTreeMap<Oid, RecordBatch>,
}

impl KeptRows {
    pub fn get(
        &self,
        state: &Arc<State>,
        layout: &Layout,
        read: impl FnOnce() -> SqlResult<RecordBatch>,
    ) -> SqlResult<RecordBatch> {
        if layout.schema != "pg_catalog" || !KEPT.contains(&layout.name) {
            return read();
        }
        let is_it = |kept: &Kept| std::ptr::eq(kept.state.as_ptr(), Arc::as_ptr(state));
        {
            let kept = self.0.lock();
            if is_it(&kept)
                && let Some(rows) = kept.relations.get(&layout.oid)
            {
                return Ok(rows.clone());
            }
        }
        let rows = read()?;
        let mut kept = self.0.lock();
        if !is_it(&kept) {
            *kept = Kept { state: Arc::downgrade(state), ..Kept::default() };
        }
        kept.relations.insert(layout.oid, rows.clone());
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::{Layouts, Nobody, Source, rows};
    use super::*;
    use crate::catalog::tests::cluster;

    #[test]
    fn another_state_is_read_anew() {
        let kept = KeptRows::default();
        let count = Cell::new(0);
        let read = |state: &Arc<State>, name: &str| {
            let layout = Layouts::all().get("pg_catalog", name).expect("layout");
            let read = || {
                count.set(count.get() + 1);
                let source = Source { state, around: &Nobody };
                rows(&source, "pg_catalog", name).expect("rows")
            };
            kept.get(state, layout, read).expect("rows");
            count.get()
        };
        let (one, other) = (Arc::new(cluster(1)), Arc::new(cluster(2)));
        assert_eq!([read(&one, "pg_type"), read(&one, "pg_type")], [1, 1]);
        assert_eq!([read(&one, "pg_index"), read(&one, "pg_type")], [2, 2]);
        assert_eq!([read(&other, "pg_type"), read(&one, "pg_type")], [3, 4]);
        assert_eq!([read(&one, "pg_class"), read(&one, "pg_class")], [5, 6]);
    }
}
