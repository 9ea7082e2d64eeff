//! What a scan's filters say of the primary key: equality on its first columns, and a range on
//! the next one, become a range of encoded keys.

use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use satsuma_common::arrow_types;
use satsuma_common::key::{KeyEncoder, prefix_end};
use satsuma_storage::{KeyRange, TableMeta};

/// Rows outside of the range match no filter. `None`: all keys may.
pub(super) fn key_range(meta: &TableMeta, filters: &[Expr]) -> Result<Option<KeyRange>> {
    let shape = &meta.shape;
    if shape.primary_key.is_empty() || filters.is_empty() {
        return Ok(None);
    }
    let mut conditions = Vec::new();
    for filter in filters {
        for part in split_conjunction(filter) {
            conditions_of(part, &mut conditions);
        }
    }
    let mut prefix = Prefix::default();
    for position in shape.key_positions() {
        let column = &shape.columns[position];
        let data_type = arrow_types::data_type(&column.ty);
        let of_column: Vec<_> = conditions
            .iter()
            .filter(|condition| condition.column == column.name)
            .filter_map(|condition| {
                let value = comparable(&condition.value, &data_type)?;
                Some((condition.op, value))
            })
            .collect();
        let equal = of_column.iter().find(|(op, _)| *op == Operator::Eq);
        if let Some((_, value)) = equal {
            if !prefix.push(&column.ty, value) {
                break;
            }
            continue;
        }
        return Ok(prefix.range(&column.ty, &of_column));
    }
    Ok(prefix.whole())
}

struct Condition {
    column: String,
    op: Operator,
    value: ScalarValue,
}

fn conditions_of(filter: &Expr, into: &mut Vec<Condition>) {
    let mut add = |column: &Expr, op: Operator, value: &Expr| {
        if let (Expr::Column(column), Expr::Literal(value, _)) = (column, value)
            && !value.is_null()
        {
            let (column, value) = (column.name.clone(), value.clone());
            into.push(Condition { column, op, value });
        }
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(_), Expr::Literal(..)) => add(left, *op, right),
            (Expr::Literal(..), Expr::Column(_)) => {
                if let Some(op) = op.swap() {
                    add(right, op, left);
                }
            }
            _ => {}
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            add(expr, Operator::GtEq, low);
            add(expr, Operator::LtEq, high);
        }
        _ => {}
    }
}

/// The literal as a value of the column, when that changes nothing about the comparison.
pub(crate) fn comparable(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    use DataType::{LargeUtf8, Utf8, Utf8View};
    let string = |ty: &DataType| matches!(ty, Utf8 | LargeUtf8 | Utf8View);
    let found = value.data_type();
    if found == *data_type {
        return Some(value.clone());
    }
    (string(&found) && string(data_type)).then(|| value.cast_to(data_type).ok()).flatten()
}

/// Values of the first key columns.
#[derive(Clone, Default)]
pub(crate) struct Prefix {
    types: Vec<satsuma_common::PgType>,
    values: Vec<ScalarValue>,
}

impl Prefix {
    pub fn push(&mut self, ty: &satsuma_common::PgType, value: &ScalarValue) -> bool {
        self.types.push(ty.clone());
        self.values.push(value.clone());
        self.encode(&[]).is_some()
    }

    /// The encoded prefix with further values. `None` where a value has no key form.
    fn encode(&self, more: &[(&satsuma_common::PgType, &ScalarValue)]) -> Option<Vec<u8>> {
        let types = self.types.iter().chain(more.iter().map(|(ty, _)| *ty));
        let encoder = KeyEncoder::new(types.cloned()).ok()?;
        let values = self.values.iter().chain(more.iter().map(|(_, value)| *value));
        let columns = values.map(|value| value.to_array().ok()).collect::<Option<Vec<_>>>()?;
        let fields: Vec<_> = columns
            .iter()
            .map(|column| Field::new("k", column.data_type().clone(), true))
            .collect();
        let positions: Vec<_> = (0..columns.len()).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()?;
        encoder.encode_batch(&batch, &positions).ok()?.pop()
    }

    /// Keys that start with the values.
    pub fn whole(&self) -> Option<KeyRange> {
        if self.values.is_empty() { None } else { self.encode(&[]).map(KeyRange::prefix) }
    }

    /// Keys that start with the values, with bounds on the next column.
    pub fn range(
        &self,
        ty: &satsuma_common::PgType,
        bounds: &[(Operator, ScalarValue)],
    ) -> Option<KeyRange> {
        let (mut from, mut to) = match self.whole() {
            Some(range) => (range.from, range.to),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        for (op, value) in bounds {
            let Some(key) = self.encode(&[(ty, value)]) else { continue };
            // Longer keys with this value lie between `key` and its end.
            match op {
                Operator::Gt => {
                    if let Some(end) = prefix_end(&key) {
                        from = higher(from, end);
                    }
                }
                Operator::GtEq => from = higher(from, key),
                Operator::Lt => to = lower(to, key),
                Operator::LtEq => {
                    if let Some(end) = prefix_end(&key) {
                        to = lower(to, end);
                    }
                }
                _ => {}
            }
        }
        let unbounded = matches!((&from, &to), (Bound::Unbounded, Bound::Unbounded));
        (!unbounded).then_some(KeyRange { from, to })
    }
}

fn higher(present: Bound<Vec<u8>>, key: Vec<u8>) -> Bound<Vec<u8>> {
    match present {
        Bound::Included(old) => Bound::Included(old.max(key)),
        Bound::Excluded(old) if old >= key => Bound::Excluded(old),
        Bound::Excluded(_) | Bound::Unbounded => Bound::Included(key),
    }
}

fn lower(present: Bound<Vec<u8>>, key: Vec<u8>) -> Bound<Vec<u8>> {
    match present {
        Bound::Excluded(old) => Bound::Excluded(old.min(key)),
        Bound::Included(old) if old < key => Bound::Included(old),
        Bound::Included(_) | Bound::Unbounded => Bound::Excluded(key),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};
    use satsuma_common::table::{Column, TableShape};
    use satsuma_common::{ColumnId, Datum, PgType, TableId};

    use super::*;

    fn meta() -> TableMeta {
        let column = |id, name: &str, ty| Column {
            id: ColumnId(id),
            name: name.into(),
            ty,
            not_null: true,
            missing: None,
        };
        let shape = TableShape {
            table: TableId(1),
            version: 1,
            schema_name: "public".into(),
            name: "t".into(),
            columns: vec![
                column(1, "v", PgType::Text),
                column(2, "a", PgType::Int8),
                column(3, "b", PgType::Text),
            ],
            primary_key: vec![ColumnId(2), ColumnId(3)],
            primary_key_name: None,
            checks: vec![],
            foreign_keys: vec![],
            referenced_by: vec![],
            indexes: Vec::new(),
        };
        TableMeta::new(shape, Default::default()).unwrap()
    }

    /// Which of some keys a filter's range holds, against what the filter itself says.
    #[test]
    fn ranges_hold_every_match_and_little_else() {
        let meta = meta();
        let encoder = meta.key_encoder().unwrap();
        let rows: Vec<(i64, &str)> = [-1, 0, 5, 6, 7]
            .into_iter()
            .flat_map(|a| ["", "a", "ab", "b"].map(|b| (a, b)))
            .collect();
        let holds = |filters: &[Expr]| -> Vec<(i64, &str)> {
            use std::ops::RangeBounds;
            let range = key_range(&meta, filters).unwrap();
            rows.iter()
                .copied()
                .filter(|(a, b)| {
                    let key = encoder.encode(&[Datum::Int8(*a), Datum::Text((*b).into())]).unwrap();
                    range.as_ref().is_none_or(|r| (r.from.clone(), r.to.clone()).contains(&key))
                })
                .collect()
        };
        let expect = |wanted: &dyn Fn(i64, &str) -> bool| -> Vec<(i64, &str)> {
            rows.iter().copied().filter(|(a, b)| wanted(*a, b)).collect()
        };
        assert_eq!(holds(&[col("a").eq(lit(5i64))]), expect(&|a, _| a == 5));
        assert_eq!(holds(&[lit(5i64).lt(col("a"))]), expect(&|a, _| a > 5));
        assert_eq!(
            holds(&[col("a").between(lit(0i64), lit(6i64))]),
            expect(&|a, _| (0..=6).contains(&a))
        );
        assert_eq!(
            holds(&[col("a").lt_eq(lit(6i64)), col("a").gt_eq(lit(6i64))]),
            expect(&|a, _| a == 6)
        );
        let both = col("a").eq(lit(5i64)).and(col("b").gt(lit("a")));
        assert_eq!(holds(&[both]), expect(&|a, b| a == 5 && b > "a"));
        let point = [col("a").eq(lit(6i64)), col("b").eq(lit("ab"))];
        assert_eq!(holds(&point), [(6, "ab")]);
        // Nothing to go by: another type, another column, a disjunction.
        for filter in [
            col("a").eq(lit(5i32)),
            col("v").eq(lit("x")),
            col("b").eq(lit("a")),
            col("a").eq(lit(5i64)).or(col("a").eq(lit(6i64))),
        ] {
            assert_eq!(holds(&[filter]).len(), rows.len());
        }
    }
}
