//! `pg_operator`: the operators that expressions can use.

use satsuma_common::{Oid, SqlResult};
use satsuma_sql::declared::{operators, type_oid};

use crate::catalog::{PG_CATALOG_OID, SUPERUSER_OID};
use crate::system_relations::rows::{Rows, row};
use crate::system_relations::{Fill, Source};

pub(in crate::system_relations) fn fill(name: &str) -> Option<Fill> {
    (name == "pg_operator").then_some(rows as Fill)
}

fn rows(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for operator in operators() {
        let is_equality = operator.name == "=";
        row!(
            rows,
            oid = Oid(operator.oid),
            oprname = operator.name,
            oprnamespace = PG_CATALOG_OID,
            oprowner = SUPERUSER_OID,
            oprkind = if operator.left.is_some() { 'b' } else { 'l' },
            oprcanmerge = is_equality,
            oprcanhash = is_equality,
            oprleft = Oid(operator.left.map_or(0, type_oid)),
            oprright = Oid(type_oid(operator.right)),
            oprresult = Oid(type_oid(operator.result)),
            oprcom = Oid(0),
            oprnegate = Oid(0),
            oprcode = Oid(operator.function.oid),
            oprrest = Oid(0),
            oprjoin = Oid(0),
        )?;
    }
    Ok(())
}
