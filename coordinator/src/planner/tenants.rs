//! Which tenant a plan is about, for counting.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use satsuma_common::{ColocationId, Datum, GroupId, PgType, SqlResult};
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::functions::columns::from_scalar;
use satsuma_sql::table::{Scan, ScanSource};

use super::pruning;
use super::topology::{PlaceKind, Topology};

/// A value of a distribution column, and where its rows are.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    pub colocation: ColocationId,
    pub group: GroupId,
    pub value: Datum,
    pub ty: PgType,
}

/// Those whose rows a statement asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Tenants {
    /// It asks for rows of no hash-distributed table.
    #[default]
    None,
    One(Tenant),
    /// Of several, or of all.
    Many,
}

impl Tenants {
    pub fn join(&mut self, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::None, one) | (one, Self::None) => one,
            (Self::One(one), Self::One(other)) if one == other => Self::One(one),
            _ => Self::Many,
        }
    }

    /// Those of an optimized plan: each scan says by its filters which.
    pub fn of(plan: &LogicalPlan, topology: &dyn Topology) -> SqlResult<Self> {
        let mut all = Self::None;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                all.join(Self::of_scan(scan, topology));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(to_sql)?;
        Ok(all)
    }

    fn of_scan(scan: &TableScan, topology: &dyn Topology) -> Self {
        let Some(Scan::Table(info)) =
            scan.source.downcast_ref::<ScanSource>().map(|source| &source.scan)
        else {
            return Self::None;
        };
        let Some(place) = topology.place(info.shape.table) else { return Self::None };
        let PlaceKind::Hash { column, ty } = &place.kind else { return Self::None };
        let name = info.shape.column(*column).map(|column| column.name.as_str());
        let is_key =
            |expr: &Expr| matches!(expr, Expr::Column(key) if Some(key.name.as_str()) == name);
        let asked = pruning::value(&place, ty, &scan.filters, &is_key);
        match asked.and_then(|(value, group)| Some((datum(&value, ty)?, group))) {
            Some((value, group)) => {
                Self::One(Tenant { colocation: place.colocation, group, value, ty: ty.clone() })
            }
            None => Self::Many,
        }
    }
}

/// A narrower integer than the column's is one of the column.
fn datum(value: &ScalarValue, ty: &PgType) -> Option<Datum> {
    let value = value.cast_to(&satsuma_common::arrow_types::data_type(ty)).ok()?;
    from_scalar(ty, &value).ok()
}
