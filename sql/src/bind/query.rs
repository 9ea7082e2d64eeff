//! Queries: WITH, a body, ORDER BY, LIMIT.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};
use datafusion::prelude::lit;
use datafusion::scalar::ScalarValue;
use satsuma_common::{ColumnId, PgType, SqlError, SqlResult, SqlState, TableId};
use sqlparser::ast::{self, Fetch, LimitClause, OrderByKind, SetExpr, Spanned};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::names::fold;
use super::plan;
use super::scope::{Entry, Scope};
use super::window::NamedWindows;
use crate::bound::{BoundQuery, OutputColumn};
use crate::casts::CastKind;
use crate::functions::{OrderBy, Typed};
use crate::known_value;

/// A column of a bound query.
#[derive(Clone, Debug)]
pub(super) struct RowsColumn {
    pub name: String,
    pub column: Column,
    /// Unknown where the query is a branch whose literals are still to be typed.
    pub ty: PgType,
    pub origin: Option<(TableId, ColumnId)>,
    /// See [`OutputColumn::typmod`].
    pub typmod: i32,
    /// Where the select list has it.
    pub position: u32,
}

/// A bound query: a plan, and which of its columns are the query's.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub plan: LogicalPlan,
    pub columns: Vec<RowsColumn>,
    /// What ORDER BY sorts the plan's rows by, over its own columns.
    pub order: Vec<SortExpr>,
    /// The order that the rows come in, over the plan's own columns: ORDER BY's, or that of the
    /// only thing they were read from.
    pub arrival: Vec<OrderBy>,
}

impl Rows {
    /// The plan with the query's columns only, in their order.
    pub fn exact(self) -> SqlResult<Self> {
        let wanted: Vec<Column> = self.columns.iter().map(|c| c.column.clone()).collect();
        if self.plan.schema().columns() == wanted {
            return Ok(self);
        }
        let kept = |key: &OrderBy| matches!(&key.value.expr, Expr::Column(column) if wanted.contains(column));
        let lost = self.arrival.iter().position(|key| !kept(key)).unwrap_or(self.arrival.len());
        let arrival = self.arrival[..lost].to_vec();
        let exprs = wanted.into_iter().map(Expr::Column).collect();
        Ok(Self { plan: plan::project(self.plan, exprs)?, arrival, ..self })
    }

    /// The plan with the query's columns in their order, then those that the rows are sorted by.
    pub fn with_arrival(self) -> SqlResult<Self> {
        let mut wanted: Vec<Column> = self.columns.iter().map(|c| c.column.clone()).collect();
        for key in &self.arrival {
            for column in plan::columns_of(&key.value.expr) {
                if !wanted.contains(&column) {
                    wanted.push(column);
                }
            }
        }
        if self.plan.schema().columns() == wanted {
            return Ok(self);
        }
        let exprs = wanted.into_iter().map(Expr::Column).collect();
        Ok(Self { plan: plan::project(self.plan, exprs)?, ..self })
    }

    pub fn into_bound(self) -> SqlResult<BoundQuery> {
        let rows = self.exact()?;
        if rows.columns.len() > MAX_TARGETS {
            return Err(SqlError::new(
                SqlState::TOO_MANY_COLUMNS,
                format!("target lists can have at most {MAX_TARGETS} entries"),
            ));
        }
        let columns = rows
            .columns
            .into_iter()
            .map(|c| OutputColumn { name: c.name, ty: c.ty, origin: c.origin, typmod: c.typmod })
            .collect();
        Ok(BoundQuery { plan: rows.plan, columns })
    }
}

/// PostgreSQL's `MaxTupleAttributeNumber`. The protocol counts columns in 16 bits.
const MAX_TARGETS: usize = 1664;

/// How a query's result is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknowns {
    /// Untyped literals of the select list become text.
    Resolve,
    /// They are typed by what the rows go into: set operations, INSERT .. SELECT.
    Keep,
}

impl Binder<'_> {
    pub fn query(
        &self,
        query: &ast::Query,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<Rows> {
        self.query_with(query, outer, ctes, Unknowns::Resolve)
    }

    #[recursive::recursive]
    pub fn query_with(
        &self,
        query: &ast::Query,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
        unknowns: Unknowns,
    ) -> SqlResult<Rows> {
        if query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(self.not_postgresql(query));
        }
        let own = Ctes::new(Some(ctes));
        self.with(query, outer, &own)?;
        let order_by = self.order_by_keys(query)?;
        let windows = NamedWindows::default();
        let rows = match query.body.as_ref() {
            SetExpr::Select(select) => {
                self.select(select, order_by, &query.locks, outer, &own, unknowns)?
            }
            body => {
                super::row_locks::refuse_without_select(&query.locks)?;
                let rows = self.body(body, outer, &own, unknowns)?;
                self.order_output(rows, order_by, &own)?
            }
        };
        let scope = Scope::new(outer, Vec::new());
        let cx = Context::new(&scope, &own, &windows, Clause::Limit);
        self.limit(rows, query, cx)
    }

    /// What stands between WITH and ORDER BY.
    pub fn body(
        &self,
        body: &SetExpr,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
        unknowns: Unknowns,
    ) -> SqlResult<Rows> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], &[], outer, ctes, unknowns),
            SetExpr::Query(query) => self.query_with(query, outer, ctes, unknowns),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_operation(left, *op, *set_quantifier, right, outer, ctes, unknowns)
            }
            SetExpr::Values(values) => {
                let rows: Vec<&[ast::Expr]> =
                    values.rows.iter().map(|row| row.content.as_slice()).collect();
                self.values(&rows, outer, ctes, unknowns)
            }
            SetExpr::Table(table) => self.table_command(table, ctes),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(modifying_with())
            }
        }
    }

    fn order_by_keys<'q>(&self, query: &'q ast::Query) -> SqlResult<&'q [ast::OrderByExpr]> {
        let Some(order_by) = &query.order_by else { return Ok(&[]) };
        match &order_by.kind {
            OrderByKind::Expressions(keys) if order_by.interpolate.is_none() => Ok(keys),
            _ => Err(self.not_postgresql(query)),
        }
    }

    pub fn query_position(&self, query: &ast::Query) -> u32 {
        self.position(query.span())
    }

    /// ORDER BY of a set operation or VALUES: output names and positions only.
    fn order_output(
        &self,
        rows: Rows,
        keys: &[ast::OrderByExpr],
        ctes: &Ctes<'_>,
    ) -> SqlResult<Rows> {
        if keys.is_empty() {
            return Ok(rows);
        }
        let _ = ctes;
        let mut order = Vec::with_capacity(keys.len());
        let mut arrival = Vec::with_capacity(keys.len());
        for key in keys {
            let position = self.start(&key.expr);
            let column = match &key.expr {
                ast::Expr::Identifier(ident) => {
                    let name = fold(ident);
                    let mut found = rows.columns.iter().filter(|column| column.name == name);
                    let column = found.next();
                    if found.next().is_some() {
                        return Err(self.at(ambiguous_output("ORDER BY", &name), position));
                    }
                    column.ok_or_else(|| {
                        let error = SqlError::new(
                            SqlState::UNDEFINED_COLUMN,
                            format!("column \"{name}\" does not exist"),
                        );
                        self.at(error, position)
                    })?
                }
                ast::Expr::Value(value) => {
                    let index = self.ordinal(value, "ORDER BY", rows.columns.len())?;
                    &rows.columns[index]
                }
                _ => {
                    return Err(self.at(
                        SqlError::unsupported("invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                            .detail(
                                "Only result column names can be used, not expressions or \
                                 functions.",
                            )
                            .hint(
                                "Add the expression/function to every SELECT, or move the UNION \
                                 into a FROM clause.",
                            ),
                        position,
                    ));
                }
            };
            let typed = Typed { expr: Expr::Column(column.column.clone()), ty: column.ty.clone() };
            let sort = self.sort_key(typed.clone(), key, position)?;
            let (ascending, nulls_first) = (sort.asc, sort.nulls_first);
            arrival.push(OrderBy { value: typed, ascending, nulls_first });
            order.push(sort);
        }
        let plan = plan::sort(rows.plan, order.clone());
        Ok(Rows { plan, order, arrival, ..rows })
    }

    /// A constant in ORDER BY, GROUP BY or DISTINCT ON: a position in the select list, from 0.
    pub fn ordinal(
        &self,
        value: &ast::ValueWithSpan,
        clause: &str,
        columns: usize,
    ) -> SqlResult<usize> {
        let position = self.position(value.span);
        let ast::Value::Number(digits, _) = &value.value else {
            return Err(self.at(
                SqlError::new(SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}")),
                position,
            ));
        };
        match digits.parse::<usize>() {
            Ok(n) if (1..=columns).contains(&n) => Ok(n - 1),
            Ok(n) => Err(self.at(
                SqlError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    format!("{clause} position {n} is not in select list"),
                ),
                position,
            )),
            Err(_) => Err(self.at(
                SqlError::new(SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}")),
                position,
            )),
        }
    }

    /// A sort key; refuses types without an order.
    pub fn sort_key(
        &self,
        value: Typed,
        key: &ast::OrderByExpr,
        position: u32,
    ) -> SqlResult<SortExpr> {
        if key.with_fill.is_some() {
            return Err(self.not_postgresql(key));
        }
        let value = self.orderable(value, position)?;
        let ascending = key.options.asc.unwrap_or(true);
        let nulls_first = key.options.nulls_first.unwrap_or(!ascending);
        Ok(value.expr.sort(ascending, nulls_first))
    }

    /// A value that can be sorted by, in a form whose Arrow order is PostgreSQL's.
    pub fn orderable(&self, value: Typed, position: u32) -> SqlResult<Typed> {
        let value = self.resolve_unknown(value)?;
        match &value.ty {
            PgType::Json | PgType::Point => Err(self.at(
                SqlError::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!("could not identify an ordering operator for type {}", value.ty),
                )
                .hint("Use an explicit ordering operator or modify the query."),
                position,
            )),
            _ => match crate::operators::ordering_key(&value, &self.env) {
                Some(key) => Ok(Typed { expr: key, ty: value.ty }),
                None => Ok(value),
            },
        }
    }

    /// What a query's rows are sorted by, its own ORDER BY or not.
    pub fn sorted_by(&self, rows: &Rows) -> SqlResult<Vec<SortExpr>> {
        if !rows.order.is_empty() {
            return Ok(rows.order.clone());
        }
        let keys = rows.arrival.iter().map(|key| {
            let value = self.orderable(key.value.clone(), 0)?;
            Ok(value.expr.sort(key.ascending, key.nulls_first))
        });
        keys.collect()
    }

    fn limit(&self, rows: Rows, query: &ast::Query, cx: Context<'_>) -> SqlResult<Rows> {
        let (mut limit, mut offset) = (None, None);
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit: count, offset: skip, limit_by })
                if limit_by.is_empty() =>
            {
                limit = count.as_ref();
                offset = skip.as_ref().map(|skip| &skip.value);
            }
            Some(_) => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "LIMIT #,# syntax is not supported",
                )
                .hint("Use separate LIMIT and OFFSET clauses."));
            }
        }
        let one = ast::Expr::Value(ast::Value::Number("1".into(), false).into());
        let mut ties = false;
        if let Some(Fetch { with_ties, percent, quantity }) = &query.fetch {
            if *percent {
                return Err(self.not_postgresql(query));
            }
            if limit.is_some() {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "multiple LIMIT clauses not allowed",
                ));
            }
            ties = *with_ties;
            limit = Some(quantity.as_ref().unwrap_or(&one));
        }
        let fetch = self.row_count(limit, Clause::Limit, cx)?;
        let skip = self.row_count(offset, Clause::Offset, cx)?;
        if ties {
            return self.limit_with_ties(rows, fetch, skip);
        }
        if fetch.is_none() && skip.is_none() {
            return Ok(rows);
        }
        Ok(Rows { plan: plan::limit(rows.plan, skip, fetch), ..rows })
    }

    /// `None` is no limit: not given, or NULL.
    fn row_count(
        &self,
        expr: Option<&ast::Expr>,
        clause: Clause,
        cx: Context<'_>,
    ) -> SqlResult<Option<Expr>> {
        let Some(expr) = expr else { return Ok(None) };
        let name = count_name(clause);
        // `LIMIT ALL` reads as a column of that name.
        if let ast::Expr::Identifier(ident) = expr
            && fold(ident) == "all"
            && ident.quote_style.is_none()
        {
            return Ok(None);
        }
        let position = self.start(expr);
        let typed = self.expr(expr, cx.clause(clause)).map_err(|error| {
            if error.state() == SqlState::UNDEFINED_COLUMN {
                let message = format!("argument of {name} must not contain variables");
                return self
                    .at(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message), position);
            }
            error
        })?;
        if !crate::casts::can_coerce(&typed.ty, &PgType::Int8, CastKind::Assignment)
            && typed.ty != PgType::Unknown
        {
            return Err(self.at(
                SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!("argument of {name} must be type bigint, not type {}", typed.ty),
                ),
                position,
            ));
        }
        let count = self.cast_at(typed, &PgType::Int8, CastKind::Assignment, position)?.expr;
        match &count {
            Expr::Literal(ScalarValue::Int64(None), _) => Ok(None),
            Expr::Literal(ScalarValue::Int64(Some(n)), _) if *n < 0 => Err(negative_count(clause)),
            _ => Ok(Some(count)),
        }
    }

    /// FETCH FIRST n ROWS WITH TIES: rows of rank up to n, those that are skipped included.
    fn limit_with_ties(
        &self,
        rows: Rows,
        fetch: Option<Expr>,
        skip: Option<Expr>,
    ) -> SqlResult<Rows> {
        if rows.order.is_empty() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "WITH TIES cannot be specified without ORDER BY clause",
            ));
        }
        let fetch = self.known_count(fetch, Clause::Limit)?;
        let skip = self.known_count(skip, Clause::Offset)?;
        let mut plan = rows.plan;
        if let Some(fetch) = fetch.map(|fetch| lit(i64::try_from(fetch).unwrap_or(i64::MAX))) {
            // Whoever ties with the last row has its rank.
            let rank = plan::rank(rows.order.clone())?;
            let shown = plan.schema().columns().into_iter().map(Expr::Column).collect();
            let own = Expr::Column(plan::output_column(&rank));
            let own = datafusion::prelude::cast(own, DataType::Int64);
            let upto = match &skip {
                Some(skip) => own - lit(i64::try_from(*skip).unwrap_or(i64::MAX)),
                None => own,
            };
            let ranked = plan::window(plan, vec![rank])?;
            plan = plan::project(plan::filter(ranked, upto.lt_eq(fetch))?, shown)?;
        }
        let mut plan = plan::sort(plan, rows.order.clone());
        if let Some(skip) = skip {
            let skip = lit(i64::try_from(skip).unwrap_or(i64::MAX));
            plan = plan::limit(plan, Some(skip), None);
        }
        Ok(Rows { plan, ..rows })
    }

    /// A count that the plan is made with; `None` is no limit.
    pub(super) fn known_count(
        &self,
        count: Option<Expr>,
        clause: Clause,
    ) -> SqlResult<Option<u64>> {
        let Some(count) = count else { return Ok(None) };
        let known = known_value::known(Typed::new(count, PgType::Int8), &self.env)?;
        match known.expr {
            Expr::Literal(ScalarValue::Int64(None), _) => Ok(None),
            Expr::Literal(ScalarValue::Int64(Some(n)), _) => match u64::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(negative_count(clause)),
            },
            _ => Err(SqlError::unsupported(format!(
                "{} must be a constant or a parameter in correlated subqueries and WITH TIES",
                count_name(clause)
            ))),
        }
    }
}

fn count_name(clause: Clause) -> &'static str {
    if clause == Clause::Limit { "LIMIT" } else { "OFFSET" }
}

fn negative_count(clause: Clause) -> SqlError {
    let state = match clause {
        Clause::Limit => SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE,
        _ => SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE,
    };
    SqlError::new(state, format!("{} must not be negative", count_name(clause)))
}

/// A scope entry for the rows of a subquery, with column aliases applied.
pub(super) fn entry_of(rows: &Rows, alias: &str) -> Entry {
    let columns = rows
        .columns
        .iter()
        .map(|column| super::scope::ScopeColumn {
            name: column.name.clone(),
            column: column.column.clone(),
            ty: column.ty.clone(),
            origin: column.origin,
            typmod: column.typmod,
        })
        .collect();
    Entry::new(alias, columns)
}

/// A name that two different columns of the result have.
pub(super) fn ambiguous_output(clause: &str, name: &str) -> SqlError {
    SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("{clause} \"{name}\" is ambiguous"))
}

pub(super) fn modifying_with() -> SqlError {
    SqlError::unsupported("INSERT, UPDATE and DELETE inside WITH or FROM are not supported")
        .hint("Run them as statements of their own, in one transaction.")
}
