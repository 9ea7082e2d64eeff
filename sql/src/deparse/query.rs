//! Queries: from the parser's tree to one whose expressions are typed. What is rare is not
//! understood: the text of such a query is shown as it was written.

use std::collections::VecDeque;

use satsuma_common::PgType;
use sqlparser::ast::{self, GroupByExpr, JoinConstraint, JoinOperator, SelectItem, SetExpr};

use super::coerce::{coerce, settled, unified};
use super::node::{Kind, Node, Window};
use super::resolve::Resolver;
use super::{Scope, Subquery, World};
use crate::bind;
use crate::casts::{self, CastKind};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    /// WITH RECURSIVE.
    pub recursive: bool,
    pub with: Vec<With>,
    pub body: Body,
    pub order_by: Vec<Sort>,
    pub limit: Option<Node>,
    /// FETCH FIRST .. WITH TIES.
    pub with_ties: bool,
    pub offset: Option<Node>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct With {
    pub name: String,
    pub columns: Vec<String>,
    pub materialized: Option<bool>,
    pub query: Query,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Select(Box<Select>),
    /// A query in parentheses, with an order or a limit of its own.
    Query(Box<Query>),
    Set {
        operator: &'static str,
        all: bool,
        left: Box<Body>,
        right: Box<Body>,
    },
    Values(Vec<Vec<Node>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    pub distinct: bool,
    pub distinct_on: Vec<Node>,
    pub targets: Vec<Target>,
    pub from: Vec<Item>,
    pub selection: Option<Node>,
    pub group_by: Vec<Node>,
    pub having: Option<Node>,
    /// Those of the WINDOW clause.
    pub windows: Vec<(String, Window)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub value: Node,
    /// As the view calls its column.
    pub name: String,
    /// As the query itself does, and ORDER BY in it.
    written: String,
    /// Whether somebody reads it by its name.
    named: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Relation { name: String, alias: Option<String> },
    Query { query: Box<Query>, alias: String, columns: Vec<String>, lateral: bool },
    Function { call: Node, alias: String, columns: Vec<String> },
    Join { left: Box<Item>, right: Box<Item>, word: &'static str, on: On },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum On {
    /// Of a cross join.
    Nothing,
    Condition(Node),
    Using(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sort {
    pub value: Node,
    pub descending: bool,
    pub nulls_first: bool,
}

type Columns = Vec<(String, PgType)>;

/// What a name in FROM gives.
#[derive(Clone)]
struct Entry {
    name: String,
    /// As it is shown: another name where a query around this one has the same.
    shown: String,
    columns: Columns,
}

/// The relations of a query, and those around it.
#[derive(Default)]
struct Level<'a> {
    entries: Vec<Entry>,
    outer: Option<&'a Level<'a>>,
    /// Queries that WITH has named so far, and the names of all of them.
    with: Vec<(String, Columns)>,
    with_names: Vec<String>,
    /// What the entries of FROM will be shown as, those that are still to come in `coming`.
    taken: Vec<String>,
    coming: VecDeque<String>,
    /// Columns that USING has merged, and the entry that each is shown to be of.
    merged: Vec<(String, String, PgType)>,
}

impl Level<'_> {
    fn with_query(&self, name: &str) -> Option<&Columns> {
        match self.with.iter().rev().find(|(known, _)| known == name) {
            Some((_, columns)) => Some(columns),
            None => self.outer?.with_query(name),
        }
    }

    fn is_with_name(&self, name: &str) -> bool {
        self.with_names.iter().any(|known| known == name)
            || self.outer.is_some_and(|outer| outer.is_with_name(name))
    }

    fn is_taken(&self, name: &str) -> bool {
        self.taken.iter().any(|known| known == name)
            || self.outer.is_some_and(|outer| outer.is_taken(name))
    }

    /// Names for the entries of FROM that nothing around them has.
    fn name_entries(&mut self, names: Vec<String>) {
        for name in names {
            let numbered = (1..).map(|number| format!("{name}_{number}"));
            let mut names = std::iter::once(name.clone()).chain(numbered);
            if let Some(free) = names.find(|name| !self.is_taken(name)) {
                self.taken.push(free.clone());
                self.coming.push_back(free);
            }
        }
    }

    /// Adds an entry under the next of these names.
    fn add(&mut self, name: String, columns: Columns) -> Option<String> {
        let shown = self.coming.pop_front()?;
        self.entries.push(Entry { name, shown: shown.clone(), columns });
        Some(shown)
    }

    /// The only column of the name among `entries`, or the merged one.
    fn unqualified(&self, entries: &[Entry], name: &str) -> Option<(String, PgType)> {
        if let Some((_, shown, ty)) = self.merged.iter().rev().find(|(known, ..)| known == name) {
            return Some((shown.clone(), ty.clone()));
        }
        let mut found = entries.iter().filter_map(|entry| {
            let (_, ty) = entry.columns.iter().find(|(known, _)| known == name)?;
            Some((entry.shown.clone(), ty.clone()))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

impl Scope for Level<'_> {
    fn column(&self, qualifier: Option<&str>, name: &str) -> Option<(Option<String>, PgType)> {
        let is_it = |entry: &&Entry| {
            qualifier.is_none_or(|qualifier| entry.name == qualifier)
                && entry.columns.iter().any(|(known, _)| known == name)
        };
        if !self.entries.iter().any(|entry| is_it(&entry)) {
            return self.outer?.column(qualifier, name);
        }
        let (shown, ty) = match qualifier {
            None => self.unqualified(&self.entries, name)?,
            Some(_) => {
                let entry = self.entries.iter().find(is_it)?;
                let (_, ty) = entry.columns.iter().find(|(known, _)| known == name)?;
                (entry.shown.clone(), ty.clone())
            }
        };
        Some((Some(shown), ty))
    }

    fn subquery(&self, query: &ast::Query, world: &dyn World) -> Option<Subquery> {
        let (mut query, columns) = read_query(query, None, self, world)?;
        query.body.hide_names();
        Some(Subquery { query, types: columns.into_iter().map(|(_, ty)| ty).collect() })
    }
}

/// What the entries of a FROM clause are called, in their order.
fn entry_names(select: &ast::Select) -> Option<Vec<String>> {
    let factors = select.from.iter().flat_map(|item| {
        std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation))
    });
    let name = |factor: &ast::TableFactor| match factor {
        ast::TableFactor::Table { alias: Some(alias), .. }
        | ast::TableFactor::Function { alias: Some(alias), .. }
        | ast::TableFactor::Derived { alias: Some(alias), .. } => Some(bind::fold(&alias.name)),
        ast::TableFactor::Table { name, .. } | ast::TableFactor::Function { name, .. } => {
            bind::last_name(name).ok()
        }
        _ => None,
    };
    factors.map(name).collect()
}

/// A query, whose columns are called `names`.
pub(super) fn query(
    query: &ast::Query,
    names: Option<&[&str]>,
    world: &dyn World,
) -> Option<Query> {
    Some(read_query(query, names, &Level::default(), world)?.0)
}

#[recursive::recursive]
fn read_query(
    query: &ast::Query,
    names: Option<&[&str]>,
    outer: &Level<'_>,
    world: &dyn World,
) -> Option<(Query, Columns)> {
    let is_plain = query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    if !is_plain {
        return None;
    }
    let mut level = Level { outer: Some(outer), ..Level::default() };
    let mut with = Vec::new();
    if let Some(clause) = &query.with {
        let named = clause.cte_tables.iter().map(|table| bind::fold(&table.alias.name));
        level.with_names = named.collect();
        // The queries are within the one that they are named for.
        if let SetExpr::Select(select) = query.body.as_ref() {
            level.name_entries(entry_names(select)?);
        }
        for table in &clause.cte_tables {
            let name = bind::fold(&table.alias.name);
            let named: Vec<String> =
                table.alias.columns.iter().map(|column| bind::fold(&column.name)).collect();
            let under_names = |mut columns: Columns| {
                for (column, name) in columns.iter_mut().zip(&named) {
                    column.0.clone_from(name);
                }
                (name.clone(), columns)
            };
            // What a recursive query reads of itself is known by the rows that it begins with.
            let first = match table.query.body.as_ref() {
                SetExpr::SetOperation { left, .. } if clause.recursive => {
                    read_body(left, None, &level, world).map(|(_, columns, _)| columns)
                }
                _ => None,
            };
            let reads_itself = first.is_some();
            level.with.extend(first.map(under_names));
            let (query, columns) = read_query(&table.query, None, &level, world)?;
            if reads_itself {
                level.with.pop();
            }
            level.with.push(under_names(columns));
            let materialized = table
                .materialized
                .as_ref()
                .map(|way| matches!(way, ast::CteAsMaterialized::Materialized));
            with.push(With { name, columns: named, materialized, query });
        }
        level.taken.clear();
        level.coming.clear();
    }
    let (body, columns, inner) = read_body(&query.body, names, &level, world)?;
    let mut order_by = Vec::new();
    if let Some(clause) = &query.order_by {
        let ast::OrderByKind::Expressions(keys) = &clause.kind else { return None };
        for key in keys {
            let value = match (&body, &inner) {
                (Body::Select(select), Some(inner)) => {
                    sorted_by(&key.expr, select, &Resolver { scope: inner, world })?
                }
                (Body::Set { .. } | Body::Values(_), _) => place_of(&key.expr, &columns)?,
                _ => return None,
            };
            order_by.push(Sort::new(value, &key.options));
        }
    }
    let (mut limit, mut offset) = (None, None);
    match &query.limit_clause {
        None => {}
        Some(ast::LimitClause::LimitOffset { limit: count, offset: start, limit_by })
            if limit_by.is_empty() =>
        {
            let resolver = Resolver { scope: &level, world };
            let read = |expr: &ast::Expr| {
                coerce(resolver.node(expr)?, &PgType::Int8, CastKind::Assignment)
            };
            if let Some(count) = count {
                limit = Some(read(count)?);
            }
            if let Some(start) = start {
                offset = Some(read(&start.value)?);
            }
        }
        Some(_) => return None,
    }
    let mut with_ties = false;
    if let Some(fetch) = &query.fetch {
        if fetch.percent || limit.is_some() {
            return None;
        }
        let resolver = Resolver { scope: &level, world };
        let one = ast::Expr::Value(ast::Value::Number("1".into(), false).into());
        let count = resolver.node(fetch.quantity.as_ref().unwrap_or(&one))?;
        limit = Some(coerce(count, &PgType::Int8, CastKind::Assignment)?);
        with_ties = fetch.with_ties;
    }
    let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
    Some((Query { recursive, with, body, order_by, limit, with_ties, offset }, columns))
}

/// A key of ORDER BY or GROUP BY: a column's name or number, or an expression.
fn sorted_by(expr: &ast::Expr, select: &Select, resolver: &Resolver<'_>) -> Option<Node> {
    match expr {
        ast::Expr::Value(value) => {
            let ast::Value::Number(number, _) = &value.value else { return None };
            let place = number.parse::<usize>().ok()?.checked_sub(1)?;
            Some(select.targets.get(place)?.value.clone())
        }
        ast::Expr::Identifier(name) => {
            let name = bind::fold(name);
            let named = select.targets.iter().find(|target| target.written == name);
            match named {
                Some(target) => Some(target.value.clone()),
                None => resolver.node(expr),
            }
        }
        _ => settled(resolver.node(expr)?),
    }
}

/// A key of GROUP BY: a column of a relation goes before one of the result.
fn grouped_by(key: &ast::Expr, select: &Select, resolver: &Resolver<'_>) -> Option<Node> {
    let column = match key {
        ast::Expr::Identifier(_) => resolver.node(key),
        _ => None,
    };
    column.or_else(|| sorted_by(key, select, resolver))
}

/// A column of a set operation, by its name or place: no name is of one of its queries.
fn place_of(expr: &ast::Expr, columns: &Columns) -> Option<Node> {
    let place = match expr {
        ast::Expr::Identifier(name) => {
            let name = bind::fold(name);
            columns.iter().position(|(known, _)| *known == name)?
        }
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1)?,
            _ => return None,
        },
        _ => return None,
    };
    let (_, ty) = columns.get(place)?;
    Some(Node::new(Kind::Place(place + 1), ty.clone()))
}

impl Body {
    /// Nobody reads the columns by their names.
    fn hide_names(&mut self) {
        match self {
            Self::Select(select) => {
                select.targets.iter_mut().for_each(|target| target.named = false);
            }
            Self::Query(query) => query.body.hide_names(),
            Self::Set { left, right, .. } => {
                left.hide_names();
                right.hide_names();
            }
            Self::Values(_) => {}
        }
    }

    /// Whether a literal that nothing gave a type is the column at this place in one of its
    /// queries: set operations give it that of the others.
    fn has_literal(&self, place: usize) -> bool {
        match self {
            Self::Select(select) => select.targets.get(place).is_some_and(|target| {
                target.value.ty == PgType::Text && matches!(target.value.kind, Kind::Constant(_))
            }),
            Self::Query(query) => query.body.has_literal(place),
            Self::Set { left, right, .. } => left.has_literal(place) || right.has_literal(place),
            Self::Values(_) => false,
        }
    }
}

impl Sort {
    pub fn new(value: Node, options: &ast::OrderByOptions) -> Self {
        let descending = options.asc == Some(false);
        Self { value, descending, nulls_first: options.nulls_first.unwrap_or(descending) }
    }
}

type Read<'a> = (Body, Columns, Option<Level<'a>>);

fn read_body<'a>(
    body: &ast::SetExpr,
    names: Option<&[&str]>,
    level: &'a Level<'a>,
    world: &dyn World,
) -> Option<Read<'a>> {
    match body {
        SetExpr::Select(select) => {
            let (select, columns, inner) = read_select(select, names, level, world)?;
            Some((Body::Select(Box::new(select)), columns, Some(inner)))
        }
        SetExpr::Query(query) => {
            let (query, columns) = read_query(query, names, level, world)?;
            let is_bare = query.order_by.is_empty()
                && query.limit.is_none()
                && query.offset.is_none()
                && query.with.is_empty();
            let body = if is_bare { query.body } else { Body::Query(Box::new(query)) };
            Some((body, columns, None))
        }
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            let operator = match op {
                ast::SetOperator::Union => "UNION ",
                ast::SetOperator::Except => "EXCEPT ",
                ast::SetOperator::Intersect => "INTERSECT ",
                ast::SetOperator::Minus => return None,
            };
            let all = match set_quantifier {
                ast::SetQuantifier::All => true,
                ast::SetQuantifier::None | ast::SetQuantifier::Distinct => false,
                _ => return None,
            };
            let (left, columns, _) = read_body(left, names, level, world)?;
            let (mut right, others, _) = read_body(right, names, level, world)?;
            // The left side names the columns.
            right.hide_names();
            if columns.len() != others.len() {
                return None;
            }
            // Columns of other types are cast when it runs: what is printed is without that.
            let mut common = Vec::with_capacity(columns.len());
            for (place, ((name, ty), (_, other))) in columns.into_iter().zip(others).enumerate() {
                if ty == other {
                    common.push((name, ty));
                    continue;
                }
                if left.has_literal(place) || right.has_literal(place) {
                    return None;
                }
                common.push((name, casts::common_type(&[ty, other]).ok()?));
            }
            let body = Body::Set { operator, all, left: Box::new(left), right: Box::new(right) };
            Some((body, common, None))
        }
        SetExpr::Values(values) if !values.value_keyword => {
            let resolver = Resolver { scope: level, world };
            let mut rows: Vec<Vec<Node>> = Vec::new();
            for row in &values.rows {
                rows.push(row.iter().map(|value| resolver.node(value)).collect::<Option<_>>()?);
            }
            let width = rows.first()?.len();
            if rows.iter().any(|row| row.len() != width) {
                return None;
            }
            let mut columns = Vec::with_capacity(width);
            for place in 0..width {
                let values = rows.iter().map(|row| row[place].clone()).collect();
                let (values, ty) = unified(values)?;
                for (row, value) in rows.iter_mut().zip(values) {
                    row[place] = value;
                }
                columns.push((format!("column{}", place + 1), ty));
            }
            Some((Body::Values(rows), columns, None))
        }
        _ => None,
    }
}

fn read_select<'a>(
    select: &ast::Select,
    names: Option<&[&str]>,
    level: &'a Level<'a>,
    world: &dyn World,
) -> Option<(Select, Columns, Level<'a>)> {
    let is_plain =
        select.into.is_none() && select.qualify.is_none() && select.lateral_views.is_empty();
    if !is_plain {
        return None;
    }
    let mut inner = Level { outer: Some(level), ..Level::default() };
    inner.name_entries(entry_names(select)?);
    let mut from = Vec::new();
    for item in &select.from {
        from.push(read_joins(item, &mut inner, world)?);
    }
    let resolver = Resolver { scope: &inner, world };
    let mut targets = Vec::new();
    for (place, item) in select.projection.iter().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, bind::output_name(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr, bind::fold(alias)),
            _ => return None,
        };
        let given = names.and_then(|names| names.get(place));
        let written = name.clone();
        let name = given.map_or(name, |name| (*name).to_owned());
        let value = settled(resolver.node(expr)?)?;
        targets.push(Target { value, name, written, named: true });
    }
    let selection = match &select.selection {
        Some(condition) => Some(resolver.boolean(condition)?),
        None => None,
    };
    let having = match &select.having {
        Some(condition) => Some(resolver.boolean(condition)?),
        None => None,
    };
    let columns =
        targets.iter().map(|target| (target.name.clone(), target.value.ty.clone())).collect();
    let mut windows = Vec::new();
    for ast::NamedWindowDefinition(name, window) in &select.named_window {
        let ast::NamedWindowExpr::WindowSpec(window) = window else { return None };
        windows.push((bind::fold(name), resolver.window(window)?));
    }
    let mut read = Select {
        distinct: matches!(select.distinct, Some(ast::Distinct::Distinct)),
        distinct_on: Vec::new(),
        targets,
        from,
        selection,
        group_by: Vec::new(),
        having,
        windows,
    };
    if let Some(ast::Distinct::On(keys)) = &select.distinct {
        let keys = keys.iter().map(|key| sorted_by(key, &read, &resolver));
        read.distinct_on = keys.collect::<Option<_>>()?;
    }
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else { return None };
    if !modifiers.is_empty() {
        return None;
    }
    for key in keys {
        let sets = match key {
            ast::Expr::Rollup(sets) => Some(("ROLLUP", sets)),
            ast::Expr::Cube(sets) => Some(("CUBE", sets)),
            ast::Expr::GroupingSets(sets) => Some(("GROUPING SETS", sets)),
            _ => None,
        };
        let node = match sets {
            None => grouped_by(key, &read, &resolver)?,
            Some((word, sets)) => {
                let set = |keys: &Vec<ast::Expr>| {
                    keys.iter().map(|key| grouped_by(key, &read, &resolver)).collect()
                };
                let sets = sets.iter().map(set).collect::<Option<_>>()?;
                Node::new(Kind::Grouping { word, sets }, PgType::Void)
            }
        };
        read.group_by.push(node);
    }
    Some((read, columns, inner))
}

fn read_joins(
    item: &ast::TableWithJoins,
    level: &mut Level<'_>,
    world: &dyn World,
) -> Option<Item> {
    let mut left = read_factor(&item.relation, level, world)?;
    for join in &item.joins {
        let right = read_factor(&join.relation, level, world)?;
        let (mut word, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                (" JOIN ", constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (" LEFT JOIN ", constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (" RIGHT JOIN ", constraint)
            }
            JoinOperator::FullOuter(constraint) => (" FULL JOIN ", constraint),
            JoinOperator::CrossJoin(constraint) => (" CROSS JOIN ", constraint),
            _ => return None,
        };
        let on = match constraint {
            JoinConstraint::On(condition) => {
                On::Condition(Resolver { scope: &*level, world }.boolean(condition)?)
            }
            JoinConstraint::Using(columns) => {
                let names = columns.iter().map(|name| bind::last_name(name).ok());
                On::Using(level.merge(&names.collect::<Option<Vec<_>>>()?, word)?)
            }
            JoinConstraint::Natural => {
                let names = level.common_names();
                match names.is_empty() {
                    false => On::Using(level.merge(&names, word)?),
                    true if word == " JOIN " => {
                        word = " CROSS JOIN ";
                        On::Nothing
                    }
                    true => {
                        let value = Kind::Constant(Some("true".into()));
                        On::Condition(Node::bool(value))
                    }
                }
            }
            JoinConstraint::None if word == " CROSS JOIN " => On::Nothing,
            JoinConstraint::None => return None,
        };
        left = Item::Join { left: Box::new(left), right: Box::new(right), word, on };
    }
    Some(left)
}

impl Level<'_> {
    /// Columns of the last entry that have the name of one before it.
    fn common_names(&self) -> Vec<String> {
        let Some((last, before)) = self.entries.split_last() else { return Vec::new() };
        let is_last = |name: &str| last.columns.iter().any(|(known, _)| known == name);
        let mut names: Vec<String> = Vec::new();
        for (name, _) in before.iter().flat_map(|entry| &entry.columns) {
            if is_last(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Merges columns of the last entry with those of the entries before it: where rows of both
    /// sides are there, the left one stands for them.
    fn merge(&mut self, names: &[String], word: &str) -> Option<Vec<String>> {
        let (last, before) = self.entries.split_last()?;
        let mut merged = Vec::new();
        for name in names {
            let (left, left_type) = self.unqualified(before, name)?;
            let (_, right_type) = last.columns.iter().find(|(known, _)| known == name)?;
            // A value of either side, or a cast: not the column of one.
            if word == " FULL JOIN " || left_type != *right_type {
                return None;
            }
            let shown = if word == " RIGHT JOIN " { last.shown.clone() } else { left };
            merged.push((name.clone(), shown, left_type));
        }
        self.merged.extend(merged);
        Some(names.to_vec())
    }
}

fn read_factor(
    factor: &ast::TableFactor,
    level: &mut Level<'_>,
    world: &dyn World,
) -> Option<Item> {
    match factor {
        ast::TableFactor::Table { name, alias, args: None, sample: None, .. } => {
            let bare = bind::last_name(name).ok()?;
            let with = if name.0.len() == 1 { level.with_query(&bare).cloned() } else { None };
            let is_relation = with.is_none();
            let (relation, columns) = match with {
                Some(columns) => (crate::functions::quote_ident(&bare), columns),
                None => world.relation(name)?,
            };
            // What is shown would be read as the query of that name.
            let is_hidden = is_relation && level.is_with_name(&relation);
            if is_hidden || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
                return None;
            }
            let written = alias.as_ref().map(|alias| bind::fold(&alias.name));
            let known = written.clone().unwrap_or_else(|| bare.clone());
            let shown = level.add(known, columns)?;
            let alias = (written.is_some() || shown != bare).then_some(shown);
            Some(Item::Relation { name: relation, alias })
        }
        ast::TableFactor::Derived { lateral, subquery, alias: Some(alias), sample: None } => {
            // Without LATERAL the entries before it cannot be named, but their names are taken.
            let hidden =
                Level { outer: level.outer, taken: level.taken.clone(), ..Level::default() };
            let around = if *lateral { &*level } else { &hidden };
            let (query, mut columns) = read_query(subquery, None, around, world)?;
            let named = alias.columns.iter().map(|column| bind::fold(&column.name));
            let mut is_renamed = false;
            for (column, name) in columns.iter_mut().zip(named) {
                is_renamed |= column.0 != name;
                column.0 = name;
            }
            let shown = match is_renamed {
                true => columns.iter().map(|(name, _)| name.clone()).collect(),
                false => Vec::new(),
            };
            let alias = level.add(bind::fold(&alias.name), columns)?;
            let query = Box::new(query);
            Some(Item::Query { query, alias, columns: shown, lateral: *lateral })
        }
        ast::TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality: false,
            sample: None,
            ..
        } if args.settings.is_none() => function(name, &args.args, alias.as_ref(), level, world),
        ast::TableFactor::Function { name, args, alias, with_ordinality: false, .. } => {
            function(name, args, alias.as_ref(), level, world)
        }
        _ => None,
    }
}

/// A function of one column in FROM.
fn function(
    name: &ast::ObjectName,
    args: &[ast::FunctionArg],
    alias: Option<&ast::TableAlias>,
    level: &mut Level<'_>,
    world: &dyn World,
) -> Option<Item> {
    let function = bind::last_name(name).ok()?;
    let resolver = Resolver { scope: &*level, world };
    let args = args.iter().map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)) => resolver.node(value),
        _ => None,
    });
    let call = resolver.call_in_from(&function, args.collect::<Option<_>>()?)?;
    let known = alias.map_or(function, |alias| bind::fold(&alias.name));
    let column = match alias.map(|alias| alias.columns.as_slice()) {
        Some([column]) if column.data_type.is_none() => bind::fold(&column.name),
        None | Some([]) => known.clone(),
        _ => return None,
    };
    let alias = level.add(known, vec![(column.clone(), call.ty.clone())])?;
    Some(Item::Function { call, alias, columns: vec![column] })
}

impl Target {
    /// Whether its name must be said.
    pub fn is_renamed(&self) -> bool {
        match &self.value.kind {
            Kind::Column { name, .. } => *name != self.name,
            _ => self.named || self.name != "?column?",
        }
    }
}
