//! SELECT: from FROM to the select list, with grouping, windows, DISTINCT and ORDER BY.

use std::collections::BTreeSet;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};
use satsuma_common::{ColumnId, PgType, SqlError, SqlResult, SqlState, TableId};
use sqlparser::ast::{
    self, Distinct, GroupByExpr, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind,
    Spanned, WildcardAdditionalOptions,
};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::expr::operator::unnested;
use super::names::{self, fold};
use super::naming::output_name;
use super::plan;
use super::query::{Rows, RowsColumn, Unknowns, ambiguous_output};
use super::scope::Scope;
use super::window::NamedWindows;
use crate::functions::{OrderBy, Typed};
use crate::parse::{self, all_fields, is_nothing};

/// An entry of the select list, stars expanded.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub name: String,
    pub value: Typed,
    /// See [`crate::bound::OutputColumn::typmod`].
    pub typmod: i32,
    pub position: u32,
}

/// One key of ORDER BY or DISTINCT ON: which output column, or hidden one, and how.
struct OrderKey {
    index: usize,
    ascending: bool,
    nulls_first: bool,
    position: u32,
}

impl OrderKey {
    /// The key over the columns that it names.
    fn over(&self, columns: &[(Item, Column)]) -> OrderBy {
        let (item, column) = &columns[self.index];
        OrderBy {
            value: Typed { expr: Expr::Column(column.clone()), ty: item.value.ty.clone() },
            ascending: self.ascending,
            nulls_first: self.nulls_first,
        }
    }
}

impl Binder<'_> {
    pub fn select(
        &self,
        select: &Select,
        order_by: &[ast::OrderByExpr],
        locks: &[ast::LockClause],
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
        unknowns: Unknowns,
    ) -> SqlResult<Rows> {
        self.refuse_foreign_syntax(select)?;
        let from = self.from(&select.from, outer, ctes)?;
        let scope = Scope { arrival: from.arrival, ..Scope::new(outer, from.entries) };
        let windows = NamedWindows::new(&select.named_window)?;
        let cx = Context::new(&scope, ctes, &windows, Clause::Select);
        let mut plan = from.plan;

        if let Some(condition) = &select.selection {
            let condition = self.qualification(condition, "WHERE", cx.clause(Clause::Where))?;
            plan = self.filter(plan, condition)?;
        }
        let mut items = self.select_items(&select.projection, cx)?;
        if unknowns == Unknowns::Resolve {
            for item in &mut items {
                item.value = self.resolve_unknown(item.value.clone())?;
            }
        }
        let visible = items.len();
        let group_by = match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => {
                self.group_by(exprs, &items, cx.clause(Clause::GroupBy))?
            }
            _ => return Err(self.not_postgresql(select)),
        };
        let having = match &select.having {
            Some(having) => Some(self.test(having, "HAVING", cx.clause(Clause::Having))?),
            None => None,
        };
        let order = self.output_keys(
            order_by,
            "ORDER BY",
            &mut items,
            visible,
            cx.clause(Clause::OrderBy),
        )?;
        let distinct_on = match &select.distinct {
            Some(Distinct::On(exprs)) => {
                let keys: Vec<_> = exprs.iter().map(plain_key).collect();
                let cx = cx.clause(Clause::DistinctOn);
                Some(self.output_keys(&keys, "DISTINCT ON", &mut items, visible, cx)?)
            }
            _ => None,
        };
        if matches!(select.distinct, Some(Distinct::Distinct)) && items.len() > visible {
            let hidden = order.iter().find(|key| key.index >= visible);
            return Err(self.at(
                SqlError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                ),
                hidden.map_or(0, |key| key.position),
            ));
        }
        let origins: Vec<_> = items[..visible]
            .iter()
            .map(|item| (origin(&item.value, &scope), item.typmod))
            .collect();

        let is_plain = !group_by.present
            && having.is_none()
            && scope.aggregates.borrow().is_empty()
            && !items.iter().any(|item| super::group::contains_aggregate(&item.value.expr));
        let keeps_order = is_plain
            && order.is_empty()
            && select.distinct.is_none()
            && !items.iter().any(|item| contains_set(&item.value.expr));
        let mut locks = self.row_locks(locks, select, &items, &scope)?;
        let plan = self.group(plan, &group_by, having, &mut items, &scope)?;
        if is_plain {
            self.order_windows(&mut items, &scope.arrival)?;
        }
        let plan = self.windows(plan, &mut items)?;
        let sets = items.iter_mut().map(|item| &mut item.value.expr).collect();
        let plan = self.expand_sets(plan, sets)?;
        let exprs: Vec<Expr> = items.iter().map(|item| item.value.expr.clone()).collect();
        let (plan, exprs) = self.attach(plan, exprs)?;

        let mut columns = Vec::with_capacity(items.len());
        let mut projection = Vec::with_capacity(items.len());
        for (item, expr) in items.into_iter().zip(exprs) {
            let column = self.fresh(&item.name);
            projection.push(expr.alias(&column.name));
            columns.push((item, column));
        }
        let arrival = match keeps_order {
            true => self.inherited_order(&plan, &scope.arrival, &columns, &mut projection),
            false => order.iter().map(|key| key.over(&columns)).collect(),
        };
        self.lock_columns(&plan, &mut locks, &mut projection)?;
        let mut plan = plan::project(plan, projection)?;
        if matches!(select.distinct, Some(Distinct::Distinct)) {
            for (item, _) in &columns {
                self.comparable(&item.value.ty, item.position)?;
            }
            let typed: Vec<_> =
                columns.iter().map(|(item, c)| (c.clone(), item.value.ty.clone())).collect();
            plan = self.distinct_rows(plan, &typed)?;
        }
        let order = self.sort_exprs(&order, &columns)?;
        if let Some(keys) = distinct_on {
            plan = self.distinct_on(plan, &keys, &columns, &order)?;
        }
        if !order.is_empty() {
            plan = plan::sort(plan, order.clone());
        }
        let plan = self.lock_rows(plan, locks)?;
        let columns = columns
            .into_iter()
            .take(visible)
            .zip(origins)
            .map(|((item, column), (origin, typmod))| RowsColumn {
                name: item.name,
                column,
                ty: item.value.ty,
                origin,
                typmod,
                position: item.position,
            })
            .collect();
        Ok(Rows { plan, columns, order, arrival })
    }

    /// The order of FROM's rows in terms of the output; what that lacks is added.
    fn inherited_order(
        &self,
        plan: &LogicalPlan,
        arrival: &[OrderBy],
        columns: &[(Item, Column)],
        projection: &mut Vec<Expr>,
    ) -> Vec<OrderBy> {
        let mut inherited = Vec::with_capacity(arrival.len());
        for key in arrival {
            let shown = projection.iter().zip(columns).find(|(expr, _)| match expr {
                Expr::Alias(alias) => *alias.expr == key.value.expr,
                _ => false,
            });
            let column = match (shown, &key.value.expr) {
                (Some((_, (_, column))), _) => column.clone(),
                (None, Expr::Column(hidden)) if plan.schema().has_column(hidden) => {
                    let column = self.fresh("sort");
                    projection.push(key.value.expr.clone().alias(&column.name));
                    column
                }
                _ => break,
            };
            let value = Typed { expr: Expr::Column(column), ty: key.value.ty.clone() };
            inherited.push(OrderBy { value, ..key.clone() });
        }
        inherited
    }

    /// The select list with its stars expanded.
    pub fn select_items(&self, projection: &[SelectItem], cx: Context<'_>) -> SqlResult<Vec<Item>> {
        let mut items = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) if is_nothing(expr) => {}
                SelectItem::UnnamedExpr(expr) => match all_fields(expr) {
                    Some(row) => {
                        self.note_row(item, row, cx.scope);
                        items.extend(self.fields_of(row, cx)?);
                    }
                    None => items.push(self.select_item(output_name(expr), expr, cx)?),
                },
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(self.select_item(fold(alias), expr, cx)?);
                }
                SelectItem::Wildcard(options) => {
                    self.refuse_wildcard_options(options, item)?;
                    let position = self.position(item.span());
                    if cx.scope.entries.is_empty() {
                        return Err(self.at(
                            SqlError::new(
                                SqlState::SYNTAX_ERROR,
                                "SELECT * with no tables specified is not valid",
                            ),
                            position,
                        ));
                    }
                    let entries = || cx.scope.entries.iter().filter(|entry| entry.by_column);
                    self.note_star(item, entries(), cx.scope);
                    for entry in entries() {
                        for (name, value) in self.expand_entry(entry, 0, cx.scope, position)? {
                            let typmod = column_typmod(&value, cx.scope);
                            items.push(Item { name, value, typmod, position });
                        }
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    self.refuse_wildcard_options(options, item)?;
                    let position = self.position(name.span());
                    let (schema, relation) = names::qualified(name, &self.env.identity.database)?;
                    let found = cx.scope.relation(schema.as_deref(), &relation, position)?;
                    let Some((entry, level)) = found else {
                        return Err(self.at(
                            super::expr::column::missing_relation(&relation, cx.scope),
                            position,
                        ));
                    };
                    self.note_star(item, std::iter::once(entry), cx.scope);
                    for (name, value) in self.expand_entry(entry, level, cx.scope, position)? {
                        let typmod = column_typmod(&value, cx.scope);
                        items.push(Item { name, value, typmod, position });
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                    items.extend(self.fields_of(expr, cx)?);
                }
                SelectItem::ExprWithAliases { .. } => return Err(self.not_postgresql(item)),
            }
        }
        Ok(items)
    }

    /// `(row).*`
    fn fields_of(&self, row: &ast::Expr, cx: Context<'_>) -> SqlResult<Vec<Item>> {
        let position = self.start(row);
        let row = self.expr(row, cx)?;
        let fields = crate::functions::records::fields(&row)
            .ok_or_else(|| self.at(super::expr::access::not_composite(&row.ty), position))?;
        let item = |(name, value)| {
            let typmod = column_typmod(&value, cx.scope);
            Item { name, value, typmod, position }
        };
        Ok(fields.into_iter().map(item).collect())
    }

    fn select_item(&self, name: String, expr: &ast::Expr, cx: Context<'_>) -> SqlResult<Item> {
        let value = self.expr(expr, cx)?;
        let typmod = typmod(expr, &value, cx.scope);
        Ok(Item { name, value, typmod, position: self.start(expr) })
    }

    /// Binds keys of ORDER BY or DISTINCT ON: an output name, a position, or an expression, which
    /// becomes a hidden item if the select list does not have it.
    fn output_keys(
        &self,
        keys: &[ast::OrderByExpr],
        clause: &str,
        items: &mut Vec<Item>,
        visible: usize,
        cx: Context<'_>,
    ) -> SqlResult<Vec<OrderKey>> {
        let mut bound = Vec::with_capacity(keys.len());
        for key in keys {
            if key.with_fill.is_some() {
                return Err(self.not_postgresql(key));
            }
            let position = self.start(&key.expr);
            let index = self.output_key(&key.expr, clause, items, visible, cx, position)?;
            let ascending = key.options.asc.unwrap_or(true);
            bound.push(OrderKey {
                index,
                ascending,
                nulls_first: key.options.nulls_first.unwrap_or(!ascending),
                position,
            });
        }
        Ok(bound)
    }

    fn output_key(
        &self,
        expr: &ast::Expr,
        clause: &str,
        items: &mut Vec<Item>,
        visible: usize,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<usize> {
        if let ast::Expr::Value(value) = expr
            && !matches!(value.value, ast::Value::Placeholder(_))
        {
            return self.ordinal(value, clause, visible);
        }
        if let ast::Expr::Identifier(ident) = expr
            && let Some(index) = self.output_named(ident, &items[..visible], clause, position)?
        {
            return Ok(index);
        }
        let value = self.resolved(expr, cx)?;
        if let Some(index) = items.iter().position(|item| item.value == value) {
            return Ok(index);
        }
        items.push(Item { name: "sort".into(), value, typmod: -1, position });
        Ok(items.len() - 1)
    }

    /// The first column of the result that has the name; 42702 where another value has it, too.
    fn output_named(
        &self,
        ident: &ast::Ident,
        items: &[Item],
        clause: &str,
        position: u32,
    ) -> SqlResult<Option<usize>> {
        let name = fold(ident);
        let mut named = items.iter().enumerate().filter(|(_, item)| item.name == name);
        let Some((index, first)) = named.next() else { return Ok(None) };
        match named.any(|(_, item)| item.value.expr != first.value.expr) {
            true => Err(self.at(ambiguous_output(clause, &name), position)),
            false => Ok(Some(index)),
        }
    }

    fn sort_exprs(
        &self,
        keys: &[OrderKey],
        columns: &[(Item, Column)],
    ) -> SqlResult<Vec<SortExpr>> {
        keys.iter()
            .map(|key| {
                let (item, column) = &columns[key.index];
                let value = Typed { expr: Expr::Column(column.clone()), ty: item.value.ty.clone() };
                let value = self.orderable(value, key.position)?;
                Ok(value.expr.sort(key.ascending, key.nulls_first))
            })
            .collect()
    }

    /// DISTINCT ON keeps the first row of each group in the order of ORDER BY.
    fn distinct_on(
        &self,
        plan: LogicalPlan,
        keys: &[OrderKey],
        columns: &[(Item, Column)],
        order: &[SortExpr],
    ) -> SqlResult<LogicalPlan> {
        let groups: Vec<Expr> =
            keys.iter().map(|key| Expr::Column(columns[key.index].1.clone())).collect();
        let partition = keys
            .iter()
            .zip(&groups)
            .map(|(key, group)| {
                let ty = columns[key.index].0.value.ty.clone();
                let value = Typed { expr: group.clone(), ty };
                crate::operators::grouping_key(&value).unwrap_or(value.expr)
            })
            .collect();
        // ORDER BY must start with the groups' columns, in any order.
        for (at, sort) in order.iter().enumerate().take(groups.len()) {
            let is_key = sort
                .expr
                .column_refs()
                .iter()
                .all(|c| groups.contains(&Expr::Column((*c).clone())));
            let earlier_all = groups.iter().all(|group| {
                order[..at].iter().any(|sort| {
                    sort.expr.column_refs().iter().any(|c| *group == Expr::Column((*c).clone()))
                })
            });
            if !is_key && !earlier_all {
                return Err(self.at(
                    SqlError::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    ),
                    keys.get(at).map_or(0, |key| key.position),
                ));
            }
        }
        let number = plan::row_number(partition, order.to_vec())?;
        plan::keep_rows(plan, number, 0, Some(1))
    }

    /// Refuses types without equality in DISTINCT, GROUP BY and set operations.
    pub fn comparable(&self, ty: &PgType, position: u32) -> SqlResult<()> {
        match ty {
            PgType::Json | PgType::Point => Err(self.at(
                SqlError::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!("could not identify an equality operator for type {ty}"),
                ),
                position,
            )),
            _ => Ok(()),
        }
    }

    /// Calls that return sets, in the select list or among what is grouped by: rows side by side,
    /// shorter ones filled up. Those within others come first.
    pub fn expand_sets(
        &self,
        mut plan: LogicalPlan,
        mut exprs: Vec<&mut Expr>,
    ) -> SqlResult<LogicalPlan> {
        loop {
            let mut lists: Vec<(Expr, Column)> = Vec::new();
            for expr in &mut exprs {
                **expr = plan::replace(std::mem::take(*expr), |node| {
                    let Expr::Unnest(call) = node else { return Ok(None) };
                    if contains_set(&call.expr) {
                        return Ok(None);
                    }
                    if let Some((_, column)) = lists.iter().find(|(list, _)| *list == *call.expr) {
                        return Ok(Some(Expr::Column(column.clone())));
                    }
                    let column = self.fresh("element");
                    lists.push((call.expr.as_ref().clone(), column.clone()));
                    Ok(Some(Expr::Column(column)))
                })?;
            }
            if lists.is_empty() {
                return Ok(plan);
            }
            let (lists, columns): (Vec<Expr>, Vec<Column>) = lists.into_iter().unzip();
            let (attached, lists) = self.attach(plan, lists)?;
            let named = lists.into_iter().zip(&columns).map(|(e, c)| e.alias(&c.name)).collect();
            plan = plan::unnest(plan::extend(attached, named)?, columns)?;
        }
    }

    fn refuse_foreign_syntax(&self, select: &Select) -> SqlResult<()> {
        if let Some(into) = &select.into {
            let _ = into;
            return Err(
                SqlError::unsupported("SELECT INTO is not supported").hint("Use CREATE TABLE AS.")
            );
        }
        if select.top.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || !matches!(select.flavor, SelectFlavor::Standard)
            || select.select_modifiers.is_some()
        {
            return Err(self.not_postgresql(select));
        }
        Ok(())
    }

    fn refuse_wildcard_options(
        &self,
        options: &WildcardAdditionalOptions,
        item: &SelectItem,
    ) -> SqlResult<()> {
        if options.opt_ilike.is_some()
            || options.opt_exclude.is_some()
            || options.opt_except.is_some()
            || options.opt_replace.is_some()
            || options.opt_rename.is_some()
            || options.opt_alias.is_some()
        {
            return Err(self.not_postgresql(item));
        }
        Ok(())
    }

    /// Binds GROUP BY, as sets of expressions: one set without GROUPING SETS.
    fn group_by(
        &self,
        exprs: &[ast::Expr],
        items: &[Item],
        cx: Context<'_>,
    ) -> SqlResult<Grouping> {
        let (distinct, exprs) = parse::group_by(exprs);
        let mut grouping = Grouping { present: !exprs.is_empty(), ..Grouping::default() };
        // Each item is a list of sets; the result is their cross product.
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        for expr in exprs {
            let choices = self.grouping_element(expr, items, cx, &mut grouping)?;
            let mut product = Vec::with_capacity(sets.len() * choices.len());
            for set in &sets {
                for choice in &choices {
                    let mut joined = set.clone();
                    joined.extend(choice.iter().filter(|i| !set.contains(i)));
                    product.push(joined);
                }
            }
            if product.len() > MAX_GROUPING_SETS {
                return Err(SqlError::new(
                    SqlState::STATEMENT_TOO_COMPLEX,
                    format!("too many grouping sets present (maximum {MAX_GROUPING_SETS})"),
                ));
            }
            sets = product;
        }
        if distinct {
            let mut seen = BTreeSet::new();
            sets.retain(|set| seen.insert(set.iter().copied().collect::<BTreeSet<_>>()));
        }
        grouping.sets = sets;
        Ok(grouping)
    }

    fn grouping_element(
        &self,
        expr: &ast::Expr,
        items: &[Item],
        cx: Context<'_>,
        grouping: &mut Grouping,
    ) -> SqlResult<Vec<Vec<usize>>> {
        let list = |exprs: &[ast::Expr], grouping: &mut Grouping| {
            exprs
                .iter()
                .map(|expr| self.grouping_key(expr, items, cx, grouping))
                .collect::<SqlResult<Vec<usize>>>()
        };
        match expr {
            ast::Expr::GroupingSets(sets) => {
                grouping.explicit = true;
                let mut all = Vec::new();
                for set in sets {
                    // A set may itself be ROLLUP or CUBE.
                    match sets_within(set) {
                        Some(inner) => {
                            all.extend(self.grouping_element(&inner, items, cx, grouping)?);
                        }
                        None => all.push(list(set, grouping)?),
                    }
                }
                Ok(all)
            }
            ast::Expr::Rollup(parts) => {
                grouping.explicit = true;
                let parts =
                    parts.iter().map(|part| list(part, grouping)).collect::<SqlResult<Vec<_>>>()?;
                Ok((0..=parts.len()).rev().map(|n| parts[..n].concat()).collect())
            }
            ast::Expr::Cube(parts) => {
                grouping.explicit = true;
                let parts =
                    parts.iter().map(|part| list(part, grouping)).collect::<SqlResult<Vec<_>>>()?;
                if parts.len() > 12 {
                    return Err(SqlError::new(
                        SqlState::STATEMENT_TOO_COMPLEX,
                        "CUBE is limited to 12 elements",
                    ));
                }
                let count = 1usize << parts.len();
                Ok((0..count)
                    .rev()
                    .map(|mask| {
                        let chosen = parts
                            .iter()
                            .enumerate()
                            .filter(|(i, _)| mask & (1 << (parts.len() - 1 - i)) != 0);
                        chosen.flat_map(|(_, part)| part.iter().copied()).collect()
                    })
                    .collect())
            }
            ast::Expr::Tuple(exprs) => Ok(vec![list(exprs, grouping)?]),
            other => Ok(vec![vec![self.grouping_key(other, items, cx, grouping)?]]),
        }
    }

    /// A grouping expression: a position, an input column, an output name, or an expression.
    fn grouping_key(
        &self,
        expr: &ast::Expr,
        items: &[Item],
        cx: Context<'_>,
        grouping: &mut Grouping,
    ) -> SqlResult<usize> {
        let position = self.start(expr);
        let mut named = None;
        let value = match unnested(expr) {
            ast::Expr::Value(value) if !matches!(value.value, ast::Value::Placeholder(_)) => {
                let index = self.ordinal(value, "GROUP BY", items.len())?;
                named = Some(index);
                self.grouped_item(&items[index], cx)?
            }
            ast::Expr::Identifier(ident) => {
                let input = cx.scope.column(ident, position)?;
                match input.filter(|found| found.level == 0) {
                    Some(found) => self.reference(cx.scope, found.column, 0, position)?,
                    None => match self.output_named(ident, items, "GROUP BY", position)? {
                        Some(index) => {
                            named = Some(index);
                            self.grouped_item(&items[index], cx)?
                        }
                        None => self.resolved(expr, cx)?,
                    },
                }
            }
            _ => self.resolved(expr, cx)?,
        };
        self.comparable(&value.ty, position)?;
        // An expression means the first item that is equal to it.
        let item = named.or_else(|| items.iter().position(|item| item.value.expr == value.expr));
        Ok(grouping.add(value, item))
    }

    fn grouped_item(&self, item: &Item, cx: Context<'_>) -> SqlResult<Typed> {
        if self.has_aggregate(&item.value.expr, cx.scope)? {
            return Err(self.at(cx.clause.no_aggregates(), item.position));
        }
        self.resolve_unknown(item.value.clone())
    }
}

/// ROLLUP or CUBE as a grouping set, which the grammar takes for a call.
fn sets_within(set: &[ast::Expr]) -> Option<ast::Expr> {
    let [ast::Expr::Function(call)] = set else { return None };
    let ast::FunctionArguments::List(list) = &call.args else { return None };
    let mut parts = Vec::with_capacity(list.args.len());
    for arg in &list.args {
        let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(part)) = arg else { return None };
        parts.push(match part {
            ast::Expr::Tuple(exprs) => exprs.clone(),
            expr => vec![expr.clone()],
        });
    }
    match call.name.to_string().to_ascii_lowercase().as_str() {
        "rollup" => Some(ast::Expr::Rollup(parts)),
        "cube" => Some(ast::Expr::Cube(parts)),
        _ => None,
    }
}

const MAX_GROUPING_SETS: usize = 4096;

/// GROUP BY bound: distinct expressions, and which of them each set groups by.
#[derive(Clone, Debug, Default)]
pub(super) struct Grouping {
    pub exprs: Vec<Typed>,
    /// The entry of the select list that each expression is, if it is one. Equal entries are
    /// different keys: a grouping set may have one and not the other.
    pub items: Vec<Option<usize>>,
    pub sets: Vec<Vec<usize>>,
    /// GROUPING SETS, ROLLUP or CUBE was written.
    pub explicit: bool,
    /// There is a GROUP BY.
    pub present: bool,
}

impl Grouping {
    fn add(&mut self, value: Typed, item: Option<usize>) -> usize {
        let mut known = self.exprs.iter().zip(&self.items);
        if let Some(index) = known.position(|(e, i)| e.expr == value.expr && *i == item) {
            return index;
        }
        self.exprs.push(value);
        self.items.push(item);
        self.exprs.len() - 1
    }
}

pub fn contains_set(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| Ok(matches!(e, Expr::Unnest(_)))).unwrap_or(true)
}

fn plain_key(expr: &ast::Expr) -> ast::OrderByExpr {
    ast::OrderByExpr {
        expr: expr.clone(),
        options: ast::OrderByOptions { asc: None, nulls_first: None },
        with_fill: None,
    }
}

/// The modifier that clients are told: a column's own, and that of a cast.
fn typmod(expr: &ast::Expr, value: &Typed, scope: &Scope<'_>) -> i32 {
    match unnested(expr) {
        ast::Expr::Cast { .. } | ast::Expr::TypedString(_) => value.ty.typmod(),
        ast::Expr::Subquery(query) if gives_column(query) => value.ty.typmod(),
        ast::Expr::Function(call) => match names::last(&call.name).as_deref() {
            Ok("current_timestamp" | "localtimestamp" | "localtime") => value.ty.typmod(),
            // The first argument, or NULL.
            Ok("nullif") => match &value.expr {
                Expr::Case(case) => {
                    case.else_expr.as_deref().map_or(-1, |first| passed_on(first, scope))
                }
                _ => -1,
            },
            _ => column_typmod(value, scope),
        },
        _ => column_typmod(value, scope),
    }
}

/// Whether a subquery gives a column or a cast of one, whose type is as it was declared.
fn gives_column(query: &ast::Query) -> bool {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return false };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_slice()
    else {
        return false;
    };
    matches!(
        unnested(expr),
        ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::Cast { .. }
    )
}

/// The modifier of what is a column's value, or a choice of such that have the same.
pub(super) fn column_typmod(value: &Typed, scope: &Scope<'_>) -> i32 {
    match &value.expr {
        Expr::Case(_) if value.ty.typmod() < 0 => -1,
        expr => passed_on(expr, scope),
    }
}

fn passed_on(expr: &Expr, scope: &Scope<'_>) -> i32 {
    let common = |values: &mut dyn Iterator<Item = &Expr>| {
        let mut typmods = values.map(|value| passed_on(value, scope));
        let first = typmods.next().unwrap_or(-1);
        if typmods.all(|typmod| typmod == first) { first } else { -1 }
    };
    match expr {
        Expr::Column(column) | Expr::OuterReferenceColumn(_, column) => {
            scope.of_plan_column(column).map_or(-1, |column| column.typmod)
        }
        // Without ELSE there is a NULL, which has none.
        Expr::Case(case) if case.else_expr.is_some() => {
            let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            common(&mut results.chain(case.else_expr.as_deref()))
        }
        Expr::ScalarFunction(call) => {
            let chooses = |own: &&str| call.func.name().starts_with(*own);
            let chooses = ["greatest", "least", "make_array"].iter().any(chooses);
            if chooses { common(&mut call.args.iter()) } else { -1 }
        }
        _ => -1,
    }
}

/// The table column that an expression passes on unchanged.
pub(super) fn origin(value: &Typed, scope: &Scope<'_>) -> Option<(TableId, ColumnId)> {
    let Expr::Column(column) = &value.expr else { return None };
    scope
        .entries
        .iter()
        .flat_map(|entry| &entry.columns)
        .find(|candidate| candidate.column == *column)
        .and_then(|candidate| candidate.origin)
}
