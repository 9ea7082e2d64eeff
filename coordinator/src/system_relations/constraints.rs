//! pg_constraint.

use std::ops::ControlFlow;

use satsuma_common::table::{ForeignKeyAction, Timing};
use satsuma_common::{ColumnId, Oid, SqlResult};
use satsuma_sql::{bind, parse};
use sqlparser::ast;

use super::definitions::{Constraint, constraints};
use super::rows::{Rows, row};
use super::{Fill, Source};
use crate::catalog::Table;

pub(super) fn fill(name: &str) -> Option<Fill> {
    (name == "pg_constraint").then_some(constraint as Fill)
}

fn action(action: ForeignKeyAction) -> char {
    match action {
        ForeignKeyAction::NoAction => 'a',
        ForeignKeyAction::Restrict => 'r',
        ForeignKeyAction::Cascade => 'c',
        ForeignKeyAction::SetNull => 'n',
        ForeignKeyAction::SetDefault => 'd',
    }
}

fn numbers(columns: &[ColumnId]) -> Vec<i16> {
    columns.iter().map(|column| column.0 as i16).collect()
}

/// The columns that a condition names, in their order there.
fn mentioned(table: &Table, condition: &str) -> Vec<i16> {
    let mut found: Vec<i16> = Vec::new();
    let Ok((expr, _)) = parse::parse_expression(condition) else { return found };
    let _ = ast::visit_expressions(&expr, |expr| {
        let name = match expr {
            ast::Expr::Identifier(name) => Some(name),
            ast::Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        let column = name.and_then(|name| table.shape.column_named(&bind::fold(name)));
        if let Some(column) = column
            && !found.contains(&(column.id.0 as i16))
        {
            found.push(column.id.0 as i16);
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn constraint(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for table in source.state.tables() {
        for (oid, name, constraint) in constraints(source.state, table) {
            let mut kind = 'c';
            let columns;
            let mut index = Oid(0);
            let (mut target, mut target_columns) = (Oid(0), None);
            let (mut on_update, mut on_delete, mut match_type) = (' ', ' ', ' ');
            let (mut expression, mut set_on_delete) = (None, None);
            let mut timing = Timing::NotDeferrable;
            match constraint {
                Constraint::Key(key) => {
                    kind = if key.primary { 'p' } else { 'u' };
                    let keys = super::relations::index_columns(key);
                    columns = Some(keys.into_iter().take(key.keys.len()).collect::<Vec<i16>>());
                    index = key.oid;
                }
                Constraint::Check(check) => {
                    columns = Some(mentioned(table, &check.condition));
                    expression = Some(&check.condition);
                }
                Constraint::ForeignKey(key) => {
                    kind = 'f';
                    columns = Some(numbers(&key.columns));
                    target = Oid(key.target.0);
                    target_columns = Some(numbers(&key.target_columns));
                    on_update = action(key.on_update);
                    on_delete = action(key.on_delete);
                    match_type = if key.full { 'f' } else { 's' };
                    if !key.set_on_delete.is_empty() {
                        set_on_delete = Some(numbers(&key.set_on_delete));
                    }
                    timing = key.timing;
                    let matching = source.state.indexes_of(key.target).find(|index| {
                        let mut held = super::relations::index_columns(index);
                        let mut wanted = numbers(&key.target_columns);
                        held.sort_unstable();
                        wanted.sort_unstable();
                        index.unique && held == wanted
                    });
                    index = matching.map_or(Oid(0), |index| index.oid);
                }
            }
            row!(
                rows,
                oid = oid,
                conname = name,
                connamespace = table.schema,
                contype = kind,
                condeferrable = timing.is_deferrable(),
                condeferred = timing == Timing::Deferred,
                convalidated = !table.not_valid.contains(name),
                conrelid = Oid(table.id().0),
                contypid = Oid(0),
                conindid = index,
                conparentid = Oid(0),
                confrelid = target,
                confupdtype = on_update,
                confdeltype = on_delete,
                confmatchtype = match_type,
                conislocal = true,
                coninhcount = 0,
                connoinherit = kind != 'c',
                conkey = columns,
                confkey = target_columns,
                confdelsetcols = set_on_delete,
                conbin = expression,
            )?;
        }
    }
    Ok(())
}
