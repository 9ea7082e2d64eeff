//! `pg_cast`.

use satsuma_common::{Oid, SqlResult};
use satsuma_sql::declared::casts;

use crate::system_relations::rows::{Rows, row};
use crate::system_relations::{Fill, Source};

pub(in crate::system_relations) fn fill(name: &str) -> Option<Fill> {
    (name == "pg_cast").then_some(rows as Fill)
}

fn rows(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for cast in casts() {
        row!(
            rows,
            oid = Oid(cast.oid),
            castsource = Oid(cast.source),
            casttarget = Oid(cast.target),
            castfunc = Oid(cast.function),
            castcontext = cast.context,
            castmethod = cast.method,
        )?;
    }
    Ok(())
}
