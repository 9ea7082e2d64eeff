//! Parameter values take the place of `$1`, `$2`, ... in a bound statement.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, arrow_values};
use satsuma_sql::bound::{Bound, BoundMerge, BoundOnConflict, BoundQuery};
use satsuma_sql::engine_error::{from_sql, to_sql};

/// Values by parameter number, as DataFusion literals, with their types.
#[derive(Clone, Debug, Default)]
pub struct Params {
    values: Vec<ScalarValue>,
    types: Vec<Option<PgType>>,
}

/// A value for each parameter, or 08P01.
pub fn check_count(values: &[Datum], types: &[PgType]) -> SqlResult<()> {
    if values.len() != types.len() {
        return Err(SqlError::new(
            SqlState::PROTOCOL_VIOLATION,
            format!(
                "bind message supplies {} parameters, but prepared statement requires {}",
                values.len(),
                types.len()
            ),
        ));
    }
    Ok(())
}

impl Params {
    pub fn new(values: &[Datum], types: &[PgType]) -> SqlResult<Self> {
        check_count(values, types)?;
        let literals = values.iter().zip(types).map(|(value, ty)| {
            let array = arrow_values::array_from_datums(std::slice::from_ref(value), ty)?;
            ScalarValue::try_from_array(&array, 0).map_err(to_sql)
        });
        let values = literals.collect::<SqlResult<_>>()?;
        Ok(Self { values, types: types.iter().cloned().map(Some).collect() })
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn values(&self) -> &[ScalarValue] {
        &self.values
    }

    pub fn types(&self) -> &[Option<PgType>] {
        &self.types
    }

    fn value(&self, id: &str) -> SqlResult<ScalarValue> {
        id.strip_prefix('$')
            .and_then(|number| number.parse::<usize>().ok())
            .and_then(|number| self.values.get(number.checked_sub(1)?))
            .cloned()
            .ok_or_else(|| {
                SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {id}"))
            })
    }

    pub fn expr(&self, expr: Expr) -> SqlResult<Expr> {
        expr.transform_up(|expr| match &expr {
            Expr::Placeholder(placeholder) => {
                let value = self.value(&placeholder.id).map_err(from_sql)?;
                Ok(Transformed::yes(Expr::Literal(value, None)))
            }
            _ => Ok(Transformed::no(expr)),
        })
        .map(|transformed| transformed.data)
        .map_err(to_sql)
    }

    pub fn plan(&self, plan: LogicalPlan) -> SqlResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            let replaced = node.map_expressions(|expr| {
                let name = names.save(&expr);
                let replaced = self.expr(expr).map_err(from_sql)?;
                Ok(Transformed::yes(name.restore(replaced)))
            })?;
            Ok(replaced)
        })
        .map(|transformed| transformed.data)
        .map_err(to_sql)
    }

    pub fn query(&self, query: BoundQuery) -> SqlResult<BoundQuery> {
        match self.is_empty() {
            true => Ok(query),
            false => Ok(BoundQuery { plan: self.plan(query.plan)?, ..query }),
        }
    }

    /// The statement with every placeholder replaced.
    pub fn bind(&self, bound: Bound) -> SqlResult<Bound> {
        if self.is_empty() {
            return Ok(bound);
        }
        let returning = |returning: Option<satsuma_sql::bound::Returning>| {
            returning
                .map(|mut returning| {
                    returning.plan = self.plan(returning.plan)?;
                    SqlResult::Ok(returning)
                })
                .transpose()
        };
        Ok(match bound {
            Bound::Query(query) => Bound::Query(self.query(query)?),
            Bound::Insert(mut insert) => {
                insert.source = self.plan(insert.source)?;
                insert.on_conflict = match insert.on_conflict {
                    BoundOnConflict::DoUpdate { arbiters, plan } => {
                        BoundOnConflict::DoUpdate { arbiters, plan: self.plan(plan)? }
                    }
                    other => other,
                };
                insert.returning = returning(insert.returning)?;
                Bound::Insert(insert)
            }
            Bound::Update(mut update) => {
                update.source = self.plan(update.source)?;
                update.located = update.located.map(|plan| self.plan(plan)).transpose()?;
                update.returning = returning(update.returning)?;
                Bound::Update(update)
            }
            Bound::Delete(mut delete) => {
                delete.source = self.plan(delete.source)?;
                delete.located = delete.located.map(|plan| self.plan(plan)).transpose()?;
                delete.returning = returning(delete.returning)?;
                Bound::Delete(delete)
            }
            Bound::WithChanges { changes, statement } => Bound::WithChanges {
                changes: changes
                    .into_iter()
                    .map(|change| self.bind(change))
                    .collect::<SqlResult<_>>()?,
                statement: Box::new(self.bind(*statement)?),
            },
            Bound::Merge(merge) => {
                let parts = merge.parts.into_iter().map(|part| self.bind(part));
                let matches = merge.matches.map(|mut matches| {
                    matches.plan = self.plan(matches.plan)?;
                    SqlResult::Ok(matches)
                });
                Bound::Merge(BoundMerge {
                    parts: parts.collect::<SqlResult<_>>()?,
                    matches: matches.transpose()?,
                })
            }
            Bound::CopyTo { statement, options } => {
                Bound::CopyTo { statement: Box::new(self.bind(*statement)?), options }
            }
            Bound::Call(mut call) => {
                call.arguments = call
                    .arguments
                    .into_iter()
                    .map(|argument| argument.map(|expr| self.expr(expr)).transpose())
                    .collect::<SqlResult<_>>()?;
                call.each = call.each.map(|plan| self.plan(plan)).transpose()?;
                Bound::Call(call)
            }
            Bound::Explain { statement, options } => {
                Bound::Explain { statement: Box::new(self.bind(*statement)?), options }
            }
            other @ (Bound::Truncate { .. } | Bound::CopyFrom(_) | Bound::Utility(_)) => other,
        })
    }
}
