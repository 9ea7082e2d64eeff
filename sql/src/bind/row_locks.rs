//! FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE and FOR KEY SHARE: which rows are locked, and how.

use std::collections::BTreeSet;

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, JoinOperator, LockClause, LockType, NonBlock, TableFactor, TableWithJoins,
};

use super::binder::Binder;
use super::decorrelate::outer_columns;
use super::names::{self, fold};
use super::scope::{Entry, Scope};
use super::select::Item;
use crate::bound::LockStrength;
use crate::catalog_view::{Access, Distribution, Relation};
use crate::lock_rows::{LockRows, LockWait, LockedTable};
use crate::parse::{LockedName, locked_name};
use crate::table::KEY_COLUMN;

impl LockStrength {
    fn clause(self) -> &'static str {
        match self {
            Self::KeyShare => "FOR KEY SHARE",
            Self::Share => "FOR SHARE",
            Self::NoKeyUpdate => "FOR NO KEY UPDATE",
            Self::Update => "FOR UPDATE",
        }
    }
}

fn not_allowed_with(strength: LockStrength, what: &str) -> SqlError {
    SqlError::unsupported(format!("{} is not allowed with {what}", strength.clause()))
}

/// A locking clause read.
struct Clause<'a> {
    strength: LockStrength,
    wait: LockWait,
    of: LockedName<'a>,
}

fn clause(lock: &LockClause) -> SqlResult<Clause<'_>> {
    let mut of = LockedName { weaker: false, table: None };
    if let Some(name) = &lock.of {
        of = locked_name(&names::parts(name)?).ok_or_else(|| {
            SqlError::new(
                SqlState::SYNTAX_ERROR,
                "FOR UPDATE must specify unqualified relation names",
            )
        })?;
    }
    let strength = match (&lock.lock_type, of.weaker) {
        (LockType::Update, false) => LockStrength::Update,
        (LockType::Update, true) => LockStrength::NoKeyUpdate,
        (LockType::Share, false) => LockStrength::Share,
        (LockType::Share, true) => LockStrength::KeyShare,
    };
    let wait = match lock.nonblock {
        None => LockWait::Wait,
        Some(NonBlock::Nowait) => LockWait::NoWait,
        Some(NonBlock::SkipLocked) => LockWait::SkipLocked,
    };
    Ok(Clause { strength, wait, of })
}

/// A set operation or VALUES locks nothing.
pub(super) fn refuse_without_select(locks: &[LockClause]) -> SqlResult<()> {
    match locks.first() {
        None => Ok(()),
        Some(lock) => Err(not_allowed_with(clause(lock)?.strength, "UNION/INTERSECT/EXCEPT")),
    }
}

/// Nor does an operand of one.
pub(super) fn refuse_in_operand(mut operand: &ast::SetExpr) -> SqlResult<()> {
    while let ast::SetExpr::Query(query) = operand {
        refuse_without_select(&query.locks)?;
        operand = &query.body;
    }
    Ok(())
}

impl Binder<'_> {
    /// The tables of FROM that the clauses lock, their columns as FROM's plan has them.
    pub(super) fn row_locks(
        &self,
        clauses: &[LockClause],
        select: &ast::Select,
        items: &[Item],
        scope: &Scope<'_>,
    ) -> SqlResult<Vec<LockedTable>> {
        let clauses = clauses.iter().map(clause).collect::<SqlResult<Vec<_>>>()?;
        let Some(first) = clauses.first() else { return Ok(Vec::new()) };
        refuse_what_has_no_rows(first.strength, select, items)?;
        let mut optional = BTreeSet::new();
        for table in &select.from {
            optional_names(table, false, &mut optional);
        }
        let mut locked: Vec<(String, LockedTable)> = Vec::new();
        for Clause { strength, wait, of } in clauses {
            let wanted = of.table.map(fold);
            let entries = scope.entries.iter().filter(|entry| {
                entry.by_relation && wanted.as_ref().is_none_or(|name| *name == entry.alias)
            });
            let mut found = false;
            for entry in entries {
                found = true;
                if optional.contains(&entry.alias) {
                    return Err(SqlError::unsupported(format!(
                        "{} cannot be applied to the nullable side of an outer join",
                        strength.clause()
                    )));
                }
                let Some(table) = locked_table(entry, strength, wait) else {
                    self.refuse_hidden_tables(select, entry, strength, wanted.is_some())?;
                    continue;
                };
                if let Some(info) = &entry.table {
                    self.check_columns(info, Access::Update, std::iter::empty())?;
                }
                if self.catalog.is_materialized(table.table) {
                    let name = entry.table.as_ref().map_or("", |table| &table.shape.name);
                    return Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("cannot lock rows in materialized view \"{name}\""),
                    ));
                }
                match locked
                    .iter_mut()
                    .find(|(alias, other)| *alias == entry.alias && other.table == table.table)
                {
                    Some((_, other)) => {
                        other.strength = other.strength.max(strength);
                        other.wait = other.wait.max(wait);
                    }
                    None => locked.push((entry.alias.clone(), table)),
                }
            }
            if let (false, Some(name)) = (found, wanted) {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_TABLE,
                    format!(
                        "relation \"{name}\" in {} clause not found in FROM clause",
                        strength.clause()
                    ),
                ));
            }
        }
        Ok(locked.into_iter().map(|(_, table)| table).collect())
    }

    /// What is no table is passed over when no name asks for it, except where tables are behind
    /// it, which PostgreSQL would lock.
    fn refuse_hidden_tables(
        &self,
        select: &ast::Select,
        entry: &Entry,
        strength: LockStrength,
        by_name: bool,
    ) -> SqlResult<()> {
        let factors = select.from.iter().flat_map(factors);
        for factor in factors {
            let hides = match factor {
                TableFactor::Derived { alias: Some(alias), .. } => fold(&alias.name) == entry.alias,
                TableFactor::Derived { alias: None, .. } => entry.alias.is_empty(),
                TableFactor::Table { name, alias, args: None, .. } => {
                    let (schema, relation) = names::qualified(name, &self.env.identity.database)?;
                    let shown = alias.as_ref().map_or_else(|| relation.clone(), |a| fold(&a.name));
                    let found = self.relation(schema.as_deref(), &relation);
                    shown == entry.alias && matches!(found, Some(Relation::View(_)))
                }
                _ => false,
            };
            if hides {
                return Err(SqlError::unsupported(format!(
                    "{} on a subquery or a view is not supported",
                    strength.clause()
                ))
                .hint("Write the clause into the subquery, or name tables with OF."));
            }
        }
        if by_name {
            return Err(SqlError::unsupported(format!(
                "{} cannot be applied to \"{}\", which is not a table",
                strength.clause(),
                entry.alias
            )));
        }
        Ok(())
    }

    /// The plan with the locked tables' keys among its columns, named in `locks` from now on.
    pub(super) fn lock_columns(
        &self,
        plan: &LogicalPlan,
        locks: &mut [LockedTable],
        projection: &mut Vec<Expr>,
    ) -> SqlResult<()> {
        for lock in locks {
            if !plan.schema().has_column(&lock.key) {
                return Err(not_allowed_with(lock.strength, "aggregate functions"));
            }
            for column in std::iter::once(&mut lock.key).chain(&mut lock.distribution) {
                let fresh = self.fresh(&column.name);
                projection.push(Expr::Column(column.clone()).alias(&fresh.name));
                *column = fresh;
            }
        }
        Ok(())
    }

    pub(super) fn lock_rows(
        &self,
        plan: LogicalPlan,
        tables: Vec<LockedTable>,
    ) -> SqlResult<LogicalPlan> {
        if tables.is_empty() {
            return Ok(plan);
        }
        if !outer_columns(&plan)?.is_empty() {
            return Err(SqlError::unsupported(
                "FOR UPDATE in a subquery that depends on the outer query is not supported",
            )
            .hint("Lock the rows in a query of their own first."));
        }
        Ok(LockRows { input: plan.into(), tables }.into_plan())
    }
}

fn refuse_what_has_no_rows(
    strength: LockStrength,
    select: &ast::Select,
    items: &[Item],
) -> SqlResult<()> {
    let grouped = match &select.group_by {
        ast::GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
        ast::GroupByExpr::All(_) => true,
    };
    let any = |test: fn(&Expr) -> bool| {
        items.iter().any(|item| item.value.expr.exists(|expr| Ok(test(expr))).unwrap_or(false))
    };
    let refused = if select.distinct.is_some() {
        "DISTINCT clause"
    } else if grouped {
        "GROUP BY clause"
    } else if select.having.is_some() {
        "HAVING clause"
    } else if any(|expr| matches!(expr, Expr::AggregateFunction(_))) {
        "aggregate functions"
    } else if any(|expr| matches!(expr, Expr::WindowFunction(_))) {
        "window functions"
    } else if any(|expr| matches!(expr, Expr::Unnest(_))) {
        "set-returning functions in the target list"
    } else {
        return Ok(());
    };
    Err(not_allowed_with(strength, refused))
}

fn locked_table(entry: &Entry, strength: LockStrength, wait: LockWait) -> Option<LockedTable> {
    let info = entry.table.as_ref()?;
    let of_scan = |column: &super::scope::ScopeColumn| column.column.relation.clone();
    let relation = entry.columns.first().and_then(of_scan)?;
    let distribution = match info.distribution {
        Distribution::Hash(id) => {
            let stored = info.shape.column(id)?;
            Some(Column::new(Some(relation.clone()), &stored.name))
        }
        _ => None,
    };
    let key = Column::new(Some(relation), KEY_COLUMN);
    Some(LockedTable { table: info.shape.table, strength, wait, key, distribution })
}

fn factors(table: &TableWithJoins) -> Vec<&TableFactor> {
    let joined = table.joins.iter().map(|join| &join.relation);
    std::iter::once(&table.relation)
        .chain(joined)
        .flat_map(|factor| match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => factors(table_with_joins),
            other => vec![other],
        })
        .collect()
}

/// Names of relations whose rows an outer join may replace by NULLs.
fn optional_names(table: &TableWithJoins, optional: bool, names: &mut BTreeSet<String>) {
    let count = table.joins.len();
    // A RIGHT or FULL join makes all that is left of it optional.
    let null_extends_left = |join: &ast::Join| {
        matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        )
    };
    for at in 0..=count {
        let later = table.joins.iter().skip(at).any(null_extends_left);
        let own = at.checked_sub(1).is_some_and(|index| {
            matches!(
                table.joins[index].join_operator,
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) | JoinOperator::FullOuter(_)
            )
        });
        let factor = match at.checked_sub(1) {
            None => &table.relation,
            Some(index) => &table.joins[index].relation,
        };
        factor_names(factor, optional || later || own, names);
    }
}

fn factor_names(factor: &TableFactor, optional: bool, names: &mut BTreeSet<String>) {
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => {
            optional_names(table_with_joins, optional, names);
        }
        TableFactor::Table { name, alias, .. } if optional => {
            let shown = match alias {
                Some(alias) => Some(fold(&alias.name)),
                None => names::last(name).ok(),
            };
            names.extend(shown);
        }
        TableFactor::Derived { alias: Some(alias), .. } if optional => {
            names.insert(fold(&alias.name));
        }
        _ => {}
    }
}
