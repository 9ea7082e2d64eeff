//! Queries: from the parser's tree to one whose expressions are typed. What is rare is not
//! understood: the text of such a query is shown as it was written.

use satsuma_common::PgType;
use sqlparser::ast::{self, GroupByExpr, JoinConstraint, JoinOperator, SelectItem, SetExpr};

use super::coerce::{coerce, settled};
use super::node::{Kind, Node};
use super::resolve::Resolver;
use super::{Scope, World};
use crate::bind;
use crate::casts::CastKind;

pub(super) struct Query {
    pub with: Vec<With>,
    pub body: Body,
    pub order_by: Vec<Sort>,
    pub limit: Option<Node>,
    pub offset: Option<Node>,
}

pub(super) struct With {
    pub name: String,
    pub query: Query,
}

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
}

pub(super) struct Select {
    pub distinct: bool,
    pub targets: Vec<Target>,
    pub from: Vec<Item>,
    pub selection: Option<Node>,
    pub group_by: Vec<Node>,
    pub having: Option<Node>,
}

pub(super) struct Target {
    pub value: Node,
    /// As the view calls its column.
    pub name: String,
    /// As the query itself does, and ORDER BY in it.
    written: String,
}

pub(super) enum Item {
    Relation { name: String, alias: Option<String> },
    Query { query: Box<Query>, alias: String },
    Join { left: Box<Item>, right: Box<Item>, word: &'static str, on: Option<Node> },
}

pub(super) struct Sort {
    pub value: Node,
    pub descending: bool,
    pub nulls_first: bool,
}

type Columns = Vec<(String, PgType)>;

/// What a name in FROM gives.
struct Entry {
    name: String,
    columns: Columns,
}

/// The relations of a query, and those around it.
struct Level<'a> {
    entries: Vec<Entry>,
    outer: Option<&'a Level<'a>>,
    /// Queries that WITH has named so far.
    with: Vec<Entry>,
}

impl Level<'_> {
    fn with_query(&self, name: &str) -> Option<&Columns> {
        match self.with.iter().rev().find(|entry| entry.name == name) {
            Some(entry) => Some(&entry.columns),
            None => self.outer?.with_query(name),
        }
    }
}

impl Scope for Level<'_> {
    fn column(&self, qualifier: Option<&str>, name: &str) -> Option<(Option<String>, PgType)> {
        let named = |entry: &&Entry| qualifier.is_none_or(|qualifier| entry.name == qualifier);
        let mut found = self.entries.iter().filter(named).filter_map(|entry| {
            let (_, ty) = entry.columns.iter().find(|(known, _)| known == name)?;
            Some((entry.name.clone(), ty.clone()))
        });
        match (found.next(), found.next()) {
            (Some((name, ty)), None) => Some((Some(name), ty)),
            (Some(_), Some(_)) => None,
            (None, _) => self.outer?.column(qualifier, name),
        }
    }
}

/// A query, whose columns are called `names`.
pub(super) fn query(
    query: &ast::Query,
    names: Option<&[&str]>,
    world: &dyn World,
) -> Option<Query> {
    let outermost = Level { entries: Vec::new(), outer: None, with: Vec::new() };
    Some(read_query(query, names, &outermost, world)?.0)
}

#[recursive::recursive]
fn read_query(
    query: &ast::Query,
    names: Option<&[&str]>,
    outer: &Level<'_>,
    world: &dyn World,
) -> Option<(Query, Columns)> {
    let is_plain = query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    if !is_plain {
        return None;
    }
    let mut level = Level { entries: Vec::new(), outer: Some(outer), with: Vec::new() };
    let mut with = Vec::new();
    if let Some(clause) = &query.with {
        if clause.recursive {
            return None;
        }
        for table in &clause.cte_tables {
            if !table.alias.columns.is_empty() || table.materialized.is_some() {
                return None;
            }
            let (query, columns) = read_query(&table.query, None, &level, world)?;
            let name = bind::fold(&table.alias.name);
            level.with.push(Entry { name: name.clone(), columns });
            with.push(With { name, query });
        }
    }
    let (body, columns, inner) = read_body(&query.body, names, &level, world)?;
    let mut order_by = Vec::new();
    if let Some(clause) = &query.order_by {
        let ast::OrderByKind::Expressions(keys) = &clause.kind else { return None };
        // Of a set operation, the columns are sorted by: they are not printed by name.
        let (Body::Select(select), Some(inner)) = (&body, &inner) else { return None };
        let resolver = Resolver { scope: inner, world };
        for key in keys {
            let value = sorted_by(&key.expr, select, &resolver)?;
            let descending = key.options.asc == Some(false);
            let nulls_first = key.options.nulls_first.unwrap_or(descending);
            order_by.push(Sort { value, descending, nulls_first });
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
    Some((Query { with, body, order_by, limit, offset }, columns))
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
            let (right, others, _) = read_body(right, names, level, world)?;
            // Columns of other types are cast, which is not printed here.
            let same = columns.len() == others.len()
                && columns.iter().zip(&others).all(|((_, left), (_, right))| left == right);
            let body = Body::Set { operator, all, left: Box::new(left), right: Box::new(right) };
            same.then_some((body, columns, None))
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
    let is_plain = select.into.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.lateral_views.is_empty();
    let distinct = match &select.distinct {
        None | Some(ast::Distinct::All) => false,
        Some(ast::Distinct::Distinct) => true,
        Some(ast::Distinct::On(_)) => return None,
    };
    if !is_plain {
        return None;
    }
    let mut inner = Level { entries: Vec::new(), outer: Some(level), with: Vec::new() };
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
        targets.push(Target { value: settled(resolver.node(expr)?)?, name, written });
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
    let mut read = Select { distinct, targets, from, selection, group_by: Vec::new(), having };
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else { return None };
    if !modifiers.is_empty() {
        return None;
    }
    for key in keys {
        // A column of a relation goes before one of the result.
        let node = match key {
            ast::Expr::Identifier(_) => resolver.node(key),
            _ => None,
        };
        let node = match node {
            Some(node) => node,
            None => sorted_by(key, &read, &resolver)?,
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
        let (word, constraint) = match &join.join_operator {
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
                Some(Resolver { scope: &*level, world }.boolean(condition)?)
            }
            JoinConstraint::None if word == " CROSS JOIN " => None,
            JoinConstraint::None | JoinConstraint::Using(_) | JoinConstraint::Natural => {
                return None;
            }
        };
        left = Item::Join { left: Box::new(left), right: Box::new(right), word, on };
    }
    Some(left)
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
            let (shown, columns) = match with {
                Some(columns) => (crate::functions::quote_ident(&bare), columns),
                None => world.relation(name)?,
            };
            if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
                return None;
            }
            let alias = alias.as_ref().map(|alias| bind::fold(&alias.name));
            let entry = Entry { name: alias.clone().unwrap_or(bare), columns };
            level.entries.push(entry);
            Some(Item::Relation { name: shown, alias })
        }
        ast::TableFactor::Derived {
            lateral: false,
            subquery,
            alias: Some(alias),
            sample: None,
        } if alias.columns.is_empty() => {
            let outer = level.outer?;
            let (query, columns) = read_query(subquery, None, outer, world)?;
            let alias = bind::fold(&alias.name);
            level.entries.push(Entry { name: alias.clone(), columns });
            Some(Item::Query { query: Box::new(query), alias })
        }
        _ => None,
    }
}

impl Target {
    /// Whether its name must be said.
    pub fn is_renamed(&self) -> bool {
        match &self.value.kind {
            Kind::Column { name, .. } => *name != self.name,
            _ => self.name != "?column?",
        }
    }
}
