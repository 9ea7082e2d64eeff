//! Definitions as SQL text: what `pg_get_constraintdef`, `pg_get_indexdef` and `pg_get_viewdef`
//! print. Names have their schema where a search path does not find them.

use satsuma_common::table::{Column, ForeignKey, ForeignKeyAction, Timing};
use satsuma_common::{ColumnId, Oid};

use satsuma_sql::bind::{fold, output_name};
use satsuma_sql::{deparse, parse};
use sqlparser::ast::{self, SelectItem, SetExpr};

use super::printed::Printer;
use super::spelling::{Names, Spelling};
use crate::catalog::{
    Index, IndexKey, IndexValue, RelationRef, State, Table, View, quote_identifier,
};
use crate::ddl::ident;

/// A constraint of a table, found by name among the things it can be.
pub enum Constraint<'a> {
    Key(&'a Index),
    Check(&'a satsuma_common::table::Check),
    ForeignKey(&'a ForeignKey),
}

/// Every constraint of a table with its oid, in the order of names.
pub fn constraints<'a>(
    state: &'a State,
    table: &'a Table,
) -> impl Iterator<Item = (Oid, &'a str, Constraint<'a>)> {
    table.constraint_oids.iter().filter_map(move |(name, oid)| {
        let shape = &table.shape;
        let check = shape.checks.iter().find(|check| check.name == *name);
        let foreign = shape.foreign_keys.iter().find(|key| key.name == *name);
        let key =
            state.indexes_of(table.id()).find(|index| index.constraint && index.name == *name);
        let constraint = check
            .map(Constraint::Check)
            .or(foreign.map(Constraint::ForeignKey))
            .or(key.map(Constraint::Key))?;
        Some((*oid, name.as_str(), constraint))
    })
}

/// A column's default as `pg_get_expr` prints it; identity columns have none.
pub fn shown_default(
    names: Names<'_>,
    table: &Table,
    column: &Column,
    default: Option<&String>,
) -> Option<String> {
    let position = table.shape.position(column.id)?;
    if table.identity.get(position).copied().flatten().is_some() {
        return None;
    }
    let printer = Printer { names, table: None, pretty: false };
    let shown = printer.expression(default?, Some(&column.ty));
    // What is NULL anyway is no default.
    let is_null = shown.eq_ignore_ascii_case("null") || shown.starts_with("NULL::");
    (!is_null).then_some(shown)
}

fn column_names(table: &Table, columns: impl IntoIterator<Item = ColumnId>) -> String {
    let names: Vec<_> = columns
        .into_iter()
        .filter_map(|id| table.shape.column(id))
        .map(|column| quote_identifier(&column.name))
        .collect();
    names.join(", ")
}

fn key_columns(index: &Index) -> impl Iterator<Item = ColumnId> + '_ {
    index.keys.iter().filter_map(|key| match &key.value {
        IndexValue::Column(column) => Some(*column),
        IndexValue::Expression(_) => None,
    })
}

/// `PRIMARY KEY (id)`, `FOREIGN KEY (a) REFERENCES t(b) ON DELETE CASCADE`, ...
pub fn constraint_definition(
    names: Names<'_>,
    table: &Table,
    constraint: &Constraint<'_>,
    pretty: bool,
) -> String {
    let name = match constraint {
        Constraint::Key(index) => &index.name,
        Constraint::Check(check) => &check.name,
        Constraint::ForeignKey(key) => &key.name,
    };
    let text = definition(names, table, constraint, pretty);
    if table.not_valid.contains(name) { format!("{text} NOT VALID") } else { text }
}

fn definition(
    names: Names<'_>,
    table: &Table,
    constraint: &Constraint<'_>,
    pretty: bool,
) -> String {
    match constraint {
        Constraint::Key(index) => {
            let kind = match (index.primary, index.nulls_not_distinct) {
                (true, _) => "PRIMARY KEY",
                (false, true) => "UNIQUE NULLS NOT DISTINCT",
                (false, false) => "UNIQUE",
            };
            let mut text = format!("{kind} ({})", column_names(table, key_columns(index)));
            if !index.include.is_empty() {
                let include = column_names(table, index.include.iter().copied());
                text += &format!(" INCLUDE ({include})");
            }
            text
        }
        Constraint::Check(check) => {
            format!("CHECK ({})", Printer::of(names, table, pretty).condition(&check.condition))
        }
        Constraint::ForeignKey(key) => foreign_key(names, table, key),
    }
}

fn foreign_key(names: Names<'_>, table: &Table, key: &ForeignKey) -> String {
    let columns = column_names(table, key.columns.iter().copied());
    let target = names.of_relation(RelationRef::Table(key.target));
    let target = target.map_or_else(|| quote_identifier(&key.target_name), |name| name.to_string());
    let target_columns = match names.state.table(key.target) {
        Some(target) => column_names(target, key.target_columns.iter().copied()),
        None => String::new(),
    };
    let mut text = format!("FOREIGN KEY ({columns}) REFERENCES {target}({target_columns})");
    if key.full {
        text += " MATCH FULL";
    }
    for (event, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let action = match action {
            ForeignKeyAction::NoAction => continue,
            ForeignKeyAction::Restrict => "RESTRICT",
            ForeignKeyAction::Cascade => "CASCADE",
            ForeignKeyAction::SetNull => "SET NULL",
            ForeignKeyAction::SetDefault => "SET DEFAULT",
        };
        text += &format!(" ON {event} {action}");
        if event == "DELETE" && !key.set_on_delete.is_empty() {
            text += &format!(" ({})", column_names(table, key.set_on_delete.iter().copied()));
        }
    }
    text + match key.timing {
        Timing::NotDeferrable => "",
        Timing::Immediate => " DEFERRABLE",
        Timing::Deferred => " DEFERRABLE INITIALLY DEFERRED",
    }
}

/// `pg_get_constraintdef(oid, pretty)`.
pub fn constraint_definition_by_oid(names: Names<'_>, oid: Oid, pretty: bool) -> Option<String> {
    names.state.tables().find_map(|table| {
        let found = constraints(names.state, table).find(|(known, ..)| *known == oid)?;
        Some(constraint_definition(names, table, &found.2, pretty))
    })
}

/// `pg_get_viewdef(oid)`: the view's query, whose columns are called as the view's.
pub fn view_definition(names: Names<'_>, view: &View, pretty: bool) -> String {
    let parsed = parse::parse(&view.definition).ok().and_then(|parsed| parsed.into_iter().next());
    let Some(parse::Statement::Sql(statement)) = parsed.map(|parsed| parsed.statement) else {
        return format!(" {};", view.definition);
    };
    let ast::Statement::Query(mut query) = *statement else {
        return format!(" {};", view.definition);
    };
    let from = Names { state: names.state, path: &view.search_path };
    Spelling { from, to: names }.rewrite(&mut query);
    let columns: Vec<&str> = view.columns.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(printed) = deparse::view(&query, &columns, &names, pretty) {
        return format!("{printed};");
    }
    if call_columns(&mut query, &columns) {
        return format!(" {};", parse::written(&query.to_string()));
    }
    let list: Vec<_> = columns.iter().map(|name| quote_identifier(name)).collect();
    let list = list.join(", ");
    let (name, query) = (quote_identifier(&view.name), parse::written(&query.to_string()));
    format!(" SELECT {list} FROM ({query}) AS {name}({list});")
}

/// Gives the query's columns these names; `false` where that takes a query around it.
fn call_columns(query: &mut ast::Query, columns: &[&str]) -> bool {
    let is_ordered = query.order_by.is_some();
    let mut body = &mut *query.body;
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(inner) if inner.order_by.is_none() => body = &mut inner.body,
            _ => return false,
        }
    };
    if select.projection.len() != columns.len() {
        return false;
    }
    for (item, column) in select.projection.iter_mut().zip(columns) {
        match item {
            SelectItem::ExprWithAlias { alias, .. } if fold(alias) == *column => {}
            SelectItem::UnnamedExpr(expr) if output_name(expr) == *column => {}
            SelectItem::UnnamedExpr(expr) if !is_ordered => {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: ident(column) };
            }
            _ => return false,
        }
    }
    true
}

fn key_text(names: Names<'_>, table: &Table, key: &IndexKey, pretty: bool) -> String {
    match &key.value {
        IndexValue::Column(column) => column_names(table, [*column]),
        IndexValue::Expression(text) => Printer::of(names, table, pretty).key(text),
    }
}

/// `pg_get_indexdef(oid, number, pretty)`: one column, from 1. `None` beyond the last.
pub fn index_column_definition(
    names: Names<'_>,
    index: &Index,
    number: usize,
    pretty: bool,
) -> Option<String> {
    let table = names.state.table(index.table)?;
    let position = number.checked_sub(1)?;
    match index.keys.get(position) {
        Some(key) => Some(key_text(names, table, key, pretty)),
        None => {
            let column = index.include.get(position - index.keys.len())?;
            Some(column_names(table, [*column]))
        }
    }
}

/// `CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)`.
pub fn index_definition(names: Names<'_>, index: &Index, pretty: bool) -> Option<String> {
    let table = names.state.table(index.table)?;
    let keys: Vec<_> = index
        .keys
        .iter()
        .map(|key| {
            let mut text = key_text(names, table, key, pretty);
            if let Some(class) = &key.operator_class {
                text += &format!(" {}", quote_identifier(class));
            }
            match (key.descending, key.nulls_first) {
                (true, true) => text += " DESC",
                (true, false) => text += " DESC NULLS LAST",
                (false, true) => text += " NULLS FIRST",
                (false, false) => {}
            }
            text
        })
        .collect();
    // Pretty, the schema is left out where the search path finds the table.
    let shown = if pretty { names } else { Names::qualified(names.state) };
    let relation = shown.of_relation(RelationRef::Table(table.id()))?;
    let mut text = format!(
        "CREATE {}INDEX {} ON {relation} USING {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quote_identifier(&index.name),
        index.method,
        keys.join(", "),
    );
    if !index.include.is_empty() {
        text += &format!(" INCLUDE ({})", column_names(table, index.include.iter().copied()));
    }
    if index.nulls_not_distinct {
        text += " NULLS NOT DISTINCT";
    }
    if let Some(predicate) = &index.predicate {
        text += " WHERE ";
        text += &Printer::of(names, table, pretty).condition(predicate);
    }
    Some(text)
}
