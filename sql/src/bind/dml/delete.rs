//! DELETE.

use datafusion::logical_expr::Expr;
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{Delete, FromTable};

use super::Binder;
use super::update::{distribution_column, key_of, reads_others};
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::Context;
use crate::bind::plan;
use crate::bind::window::NamedWindows;
use crate::bound::BoundDelete;
use crate::catalog_view::Access;

impl Binder<'_> {
    pub fn delete(&self, delete: &Delete, ctes: &Ctes<'_>) -> SqlResult<BoundDelete> {
        let FromTable::WithFromKeyword(tables) = &delete.from else {
            return Err(foreign());
        };
        let [table] = tables.as_slice() else { return Err(foreign()) };
        if !delete.tables.is_empty()
            || !table.joins.is_empty()
            || delete.output.is_some()
            || !delete.order_by.is_empty()
            || delete.limit.is_some()
        {
            return Err(foreign());
        }
        let (table, from) = self.target(&table.relation, "delete from")?;
        self.check_access(&table, Access::Delete)?;
        self.note_changed(&table);
        let using = delete.using.as_deref().unwrap_or(&[]);
        let (mut plan, scope) = self.with_sources(from, using, ctes)?;
        if let Some(condition) = &delete.selection {
            let windows = NamedWindows::default();
            let cx = Context::new(&scope, ctes, &windows, Clause::Where);
            let condition = self.qualification(condition, "WHERE", cx)?;
            plan = self.filter(plan, condition)?;
        }
        let target = &scope.entries[0];
        let key = key_of(target)?;
        if !using.is_empty() {
            plan = self.first_per_row(plan, &table, target, &key)?;
        }
        let (returning, extras) = match &delete.returning {
            None => (None, Vec::new()),
            Some(items) => {
                let (returning, extras) =
                    self.returning(items, &table, target, &scope.entries[1..], ctes)?;
                (Some(returning), extras)
            }
        };
        let mut exprs = vec![Expr::Column(key)];
        exprs.extend(extras.into_iter().map(Expr::Column));
        let located = match distribution_column(&table, target) {
            Some((_, column)) if reads_others(&plan)? => {
                let fresh = self.fresh("located");
                let last = Expr::Column(column).alias(&fresh.name);
                let exprs = exprs.iter().cloned().chain([last]).collect();
                Some(plan::project(plan.clone(), exprs)?)
            }
            _ => None,
        };
        let source = plan::project(plan, exprs)?;
        Ok(BoundDelete { table, source, located, returning })
    }
}

fn foreign() -> SqlError {
    SqlError::new(
        SqlState::SYNTAX_ERROR,
        "syntax error in DELETE: a clause that PostgreSQL does not have",
    )
}
