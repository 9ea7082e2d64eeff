//! FROM: relations, subqueries, functions and joins, as a plan and the names it brings.

use std::sync::Arc;

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{ColumnId, Datum, Oid, PgType, SqlError, SqlResult, SqlState, TableId};
use sqlparser::ast::{
    self, Ident, JoinConstraint, JoinOperator, ObjectName, Spanned, TableAlias, TableFactor,
    TableSample, TableSampleKind, TableSampleMethod, TableWithJoins,
};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::expr::operator::all;
use super::names::{self, fold};
use super::plan;
use super::query::{Rows, RowsColumn, entry_of};
use super::scope::{Entry, Scope, ScopeColumn};
use super::sequence_relation::sequence_relation;
use super::window::NamedWindows;
use crate::bound::VECTOR;
use crate::casts::CastKind;
use crate::catalog_view::{Relation, SystemRelation, TableInfo, ViewInfo};
use crate::functions::{self, OrderBy, Typed};
use crate::known_value;
use crate::parse::using_alias;
use crate::table::ScanSource;

/// Columns of system catalogs that are of type int2vector or oidvector.
const VECTORS: [&str; 11] = [
    "indclass",
    "indcollation",
    "indkey",
    "indoption",
    "partattrs",
    "partclass",
    "partcollation",
    "prattrs",
    "proargtypes",
    "stxkeys",
    "tgattr",
];

/// Views within views, at most. None reads itself: that is refused where it is defined.
const MAX_VIEW_DEPTH: u32 = 500;

/// FROM bound.
pub(super) struct From {
    pub plan: LogicalPlan,
    pub entries: Vec<Entry>,
    /// The order that the rows come in where a subquery or view sorts them. PostgreSQL keeps it,
    /// and aggregates are written that rely on it.
    pub arrival: Vec<OrderBy>,
}

impl From {
    pub fn new(plan: LogicalPlan, entries: Vec<Entry>) -> Self {
        Self { plan, entries, arrival: Vec::new() }
    }
}

/// The order of joined rows: those of the left side in their order, each with those of the right
/// in theirs.
fn joined_arrival(left: Vec<OrderBy>, right: Vec<OrderBy>, kind: JoinType) -> Vec<OrderBy> {
    match kind {
        JoinType::Inner | JoinType::Left => left.into_iter().chain(right).collect(),
        _ => Vec::new(),
    }
}

impl Binder<'_> {
    pub fn from(
        &self,
        tables: &[TableWithJoins],
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        let mut from: Option<From> = None;
        for table in tables {
            let visible = from.as_ref().map_or(&[][..], |from| &from.entries);
            let next = self.table_with_joins(table, visible, outer, ctes)?;
            from = Some(match from {
                None => next,
                Some(from) => self.cross(from, next)?,
            });
        }
        Ok(from.unwrap_or_else(|| From::new(plan::one_row(), Vec::new())))
    }

    /// Combines two items of the FROM list; the right one may depend on the left one.
    fn cross(&self, left: From, right: From) -> SqlResult<From> {
        self.check_aliases(&left.entries, &right.entries)?;
        let plan = self.dependent_join(left.plan, right.plan, JoinType::Inner, None)?;
        let mut entries = left.entries;
        entries.extend(right.entries);
        let arrival = joined_arrival(left.arrival, right.arrival, JoinType::Inner);
        Ok(From { plan, entries, arrival })
    }

    pub fn check_aliases(&self, left: &[Entry], right: &[Entry]) -> SqlResult<()> {
        for entry in right.iter().filter(|entry| entry.by_relation && !entry.alias.is_empty()) {
            let clash = left.iter().any(|other| {
                let both_tables = entry.table.is_some() && other.table.is_some();
                other.by_relation
                    && other.alias == entry.alias
                    // `s.t, u.t` are told apart by their schemas.
                    && (!both_tables || other.schema == entry.schema)
            });
            if clash {
                return Err(SqlError::new(
                    SqlState::DUPLICATE_ALIAS,
                    format!("table name \"{}\" specified more than once", entry.alias),
                ));
            }
        }
        Ok(())
    }

    fn table_with_joins(
        &self,
        table: &TableWithJoins,
        lateral: &[Entry],
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        let mut left = self.factor(&table.relation, lateral, outer, ctes)?;
        for join in &table.joins {
            if join.global {
                return Err(self.not_postgresql(join));
            }
            let (kind, constraint) = self.join_kind(&join.join_operator, join)?;
            let mut visible: Vec<Entry> = lateral.to_vec();
            visible.extend(left.entries.iter().cloned().map(|mut entry| {
                entry.lateral_ok = matches!(kind, JoinType::Inner | JoinType::Left);
                entry.lateral_only = !entry.lateral_ok;
                entry
            }));
            let right = self.factor(&join.relation, &visible, outer, ctes)?;
            self.check_aliases(&left.entries, &right.entries)?;
            left = self.join(left, right, kind, constraint, &join.relation, outer, ctes)?;
        }
        Ok(left)
    }

    fn join_kind<'j>(
        &self,
        operator: &'j JoinOperator,
        join: &ast::Join,
    ) -> SqlResult<(JoinType, &'j JoinConstraint)> {
        Ok(match operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                (JoinType::Inner, constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (JoinType::Left, constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinType::Right, constraint)
            }
            JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
            JoinOperator::CrossJoin(constraint @ JoinConstraint::None) => {
                return Ok((JoinType::Inner, constraint));
            }
            _ => return Err(self.not_postgresql(join)),
        })
        .and_then(|(kind, constraint)| match constraint {
            JoinConstraint::None => Err(self.not_postgresql(join)),
            _ => Ok((kind, constraint)),
        })
    }

    fn join(
        &self,
        left: From,
        right: From,
        kind: JoinType,
        constraint: &JoinConstraint,
        relation: &TableFactor,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        let (mut left, mut right) = (left, right);
        let (left_may_lack, right_may_lack) = match kind {
            JoinType::Left => (false, true),
            JoinType::Right => (true, false),
            JoinType::Full => (true, true),
            _ => (false, false),
        };
        left.entries.iter_mut().for_each(|entry| entry.optional |= left_may_lack);
        right.entries.iter_mut().for_each(|entry| entry.optional |= right_may_lack);
        match constraint {
            JoinConstraint::None => self.cross(left, right),
            JoinConstraint::On(condition) => {
                let mut entries = left.entries;
                entries.extend(right.entries);
                let scope = Scope::new(outer, entries);
                let windows = NamedWindows::default();
                let cx = Context::new(&scope, ctes, &windows, Clause::JoinOn);
                let on = self.qualification(condition, "JOIN/ON", cx)?;
                let plan = self.join_on(left.plan, right.plan, kind, on)?;
                let arrival = joined_arrival(left.arrival, right.arrival, kind);
                Ok(From { plan, entries: scope.entries, arrival })
            }
            JoinConstraint::Using(columns) => {
                let (alias, columns) = using_alias(columns);
                let names = columns
                    .iter()
                    .map(|column| {
                        let parts = names::parts(column)?;
                        parts
                            .last()
                            .map(|ident| (fold(ident), self.ident_position(ident)))
                            .ok_or_else(|| SqlError::internal("USING without a name"))
                    })
                    .collect::<SqlResult<Vec<_>>>()?;
                self.join_using(left, right, kind, names, alias)
            }
            JoinConstraint::Natural => {
                let right_names: Vec<String> =
                    visible_columns(&right.entries).map(|column| column.name.clone()).collect();
                let mut shared = Vec::new();
                for column in visible_columns(&left.entries) {
                    if right_names.contains(&column.name)
                        && !shared.iter().any(|(name, _)| *name == column.name)
                    {
                        shared.push((column.name.clone(), 0));
                    }
                }
                let names: Vec<String> = shared.iter().map(|(name, _)| name.clone()).collect();
                self.note_natural(relation, &names);
                if shared.is_empty() {
                    let plan = self.join_plain(left.plan, right.plan, kind, None)?;
                    let mut entries = left.entries;
                    entries.extend(right.entries);
                    let arrival = joined_arrival(left.arrival, right.arrival, kind);
                    return Ok(From { plan, entries, arrival });
                }
                self.join_using(left, right, kind, shared, None)
            }
        }
    }

    fn join_plain(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        kind: JoinType,
        on: Option<Expr>,
    ) -> SqlResult<LogicalPlan> {
        self.dependent_join(left, right, kind, on)
    }

    /// ON with subqueries in it: these are joined to the side whose columns they need, which
    /// must be one.
    fn join_on(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        kind: JoinType,
        on: Expr,
    ) -> SqlResult<LogicalPlan> {
        if !super::setop::contains_subquery(&on) {
            return self.join_plain(left, right, kind, Some(on));
        }
        if kind == JoinType::Inner {
            let joined = self.join_plain(left, right, kind, None)?;
            return self.filter(joined, on);
        }
        let attached = self.attach_one(plan::one_row(), on.clone());
        match attached {
            // Only uncorrelated scalar subqueries: they stay in the expression.
            Ok((LogicalPlan::EmptyRelation(_), on)) => self.join_plain(left, right, kind, Some(on)),
            _ => Err(SqlError::unsupported(
                "correlated subqueries and EXISTS in the condition of an outer join are not \
                 supported",
            )),
        }
    }

    /// USING and NATURAL: one merged column for each pair.
    fn join_using(
        &self,
        left: From,
        right: From,
        kind: JoinType,
        names: Vec<(String, u32)>,
        alias: Option<&str>,
    ) -> SqlResult<From> {
        let mut tests = Vec::with_capacity(names.len());
        let mut pairs = Vec::with_capacity(names.len());
        for (index, (name, position)) in names.iter().enumerate() {
            if names[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(SqlError::new(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column name \"{name}\" appears more than once in USING clause"),
                ));
            }
            let l = self.using_column(&left.entries, name, "left")?;
            let r = self.using_column(&right.entries, name, "right")?;
            self.check_column(&l)?;
            self.check_column(&r)?;
            tests.push(self.operate("=", typed(&l), typed(&r), *position)?.expr);
            pairs.push((name.clone(), l, r));
        }
        let mut plan = self.join_plain(left.plan, right.plan, kind, Some(all(tests)))?;
        let mut merged = Vec::with_capacity(pairs.len());
        let mut computed = Vec::new();
        for (name, l, r) in &pairs {
            let ty = self.common_type([(&l.ty, 0), (&r.ty, 0)].into_iter(), "JOIN/USING")?;
            let of_left = l.ty == ty && kind != JoinType::Full && kind != JoinType::Right;
            let of_right = r.ty == ty && kind == JoinType::Right;
            if of_left || of_right {
                let side = if of_left { l } else { r };
                let origin = if kind == JoinType::Inner || of_left { side.origin } else { None };
                merged.push(ScopeColumn { name: name.clone(), origin, ..side.clone() });
                continue;
            }
            let value = match kind {
                JoinType::Full => self.call("coalesce", vec![typed(l), typed(r)], 0)?,
                JoinType::Right => typed(r),
                _ => typed(l),
            };
            let value = self.cast_at(value, &ty, crate::casts::CastKind::Implicit, 0)?;
            let column = self.fresh(name);
            computed.push(value.expr.alias(&column.name));
            let typmod = if l.typmod == r.typmod { l.typmod } else { -1 };
            merged.push(ScopeColumn { name: name.clone(), column, ty, origin: None, typmod });
        }
        plan = plan::extend(plan, computed)?;

        let named =
            alias.map(|alias| Entry { by_column: false, ..Entry::new(alias, merged.clone()) });
        // Merged columns first, then the left side's others, then the right side's.
        let mut columns = merged;
        for entries in [&left.entries, &right.entries] {
            for column in visible_columns(entries) {
                if !pairs.iter().any(|(name, _, _)| *name == column.name) {
                    columns.push(column.clone());
                }
            }
        }
        let mut entries = left.entries;
        entries.extend(right.entries);
        for entry in &mut entries {
            entry.by_column = false;
        }
        if let Some(named) = named {
            self.check_aliases(&entries, std::slice::from_ref(&named))?;
            entries.push(named);
        }
        let mut join = Entry::new("", columns);
        join.by_relation = false;
        entries.push(join);
        let arrival = joined_arrival(left.arrival, right.arrival, kind);
        Ok(From { plan, entries, arrival })
    }

    fn using_column(&self, entries: &[Entry], name: &str, side: &str) -> SqlResult<ScopeColumn> {
        let mut found = visible_columns(entries).filter(|column| column.name == name);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column.clone()),
            (Some(_), Some(_)) => Err(SqlError::new(
                SqlState::AMBIGUOUS_COLUMN,
                format!("common column name \"{name}\" appears more than once in {side} table"),
            )),
            (None, _) => Err(SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!(
                    "column \"{name}\" specified in USING clause does not exist in {side} table"
                ),
            )),
        }
    }

    fn factor(
        &self,
        factor: &TableFactor,
        lateral: &[Entry],
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                if sample.is_none() && super::expr::column::is_bare_call(name) {
                    let lateral = Scope::lateral(outer, lateral, Clause::FromFunction);
                    let scope = Scope::new(Some(&lateral), Vec::new());
                    return self.function_in_from(name, &[], alias.as_ref(), false, &scope, ctes);
                }
                let from = self.named_relation(name, alias.as_ref(), ctes)?;
                match sample {
                    Some(
                        TableSampleKind::BeforeTableAlias(sample)
                        | TableSampleKind::AfterTableAlias(sample),
                    ) => self.sampled(from, sample, ctes),
                    None => Ok(from),
                }
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality,
                sample: None,
                ..
            } if args.settings.is_none() => {
                let lateral = Scope::lateral(outer, lateral, Clause::FromFunction);
                let scope = Scope::new(Some(&lateral), Vec::new());
                self.function_in_from(
                    name,
                    &args.args,
                    alias.as_ref(),
                    *with_ordinality,
                    &scope,
                    ctes,
                )
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                let lateral = Scope::lateral(outer, lateral, Clause::FromFunction);
                let scope = Scope::new(Some(&lateral), Vec::new());
                self.function_in_from(name, args, alias.as_ref(), *with_ordinality, &scope, ctes)
            }
            TableFactor::UNNEST {
                alias, array_exprs, with_offset: false, with_ordinality, ..
            } => {
                let lateral = Scope::lateral(outer, lateral, Clause::FromFunction);
                let scope = Scope::new(Some(&lateral), Vec::new());
                let windows = NamedWindows::default();
                let cx = Context::new(&scope, ctes, &windows, Clause::FromFunction);
                let args =
                    array_exprs.iter().map(|e| self.expr(e, cx)).collect::<SqlResult<Vec<_>>>()?;
                let position = array_exprs.first().map_or(0, |e| self.start(e));
                let function = functions::table("unnest", args, &self.env)
                    .map_err(|error| self.at(error, position))?
                    .ok_or_else(|| SqlError::internal("unnest is missing"))?;
                self.set_in_from("unnest", function, alias.as_ref(), *with_ordinality)
            }
            TableFactor::Derived { lateral: is_lateral, subquery, alias, sample: None } => {
                let scope;
                let outer = if *is_lateral {
                    scope = Scope::lateral(outer, lateral, Clause::FromSubquery);
                    Some(&scope)
                } else {
                    outer
                };
                let Some(alias) = alias else {
                    return Err(self.at(
                        SqlError::new(
                            SqlState::SYNTAX_ERROR,
                            "subquery in FROM must have an alias",
                        )
                        .hint("For example, FROM (SELECT ...) [AS] foo."),
                        self.query_position(subquery).saturating_sub(1),
                    ));
                };
                let rows = self.query(subquery, outer, ctes).map_err(|error| {
                    if *is_lateral { error } else { out_of_reach(error, lateral) }
                })?;
                self.aliased(rows.with_arrival()?, alias)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let mut from = self.table_with_joins(table_with_joins, lateral, outer, ctes)?;
                if let Some(alias) = alias {
                    // An alias hides the names within.
                    let columns = visible_columns(&from.entries).cloned().collect::<Vec<_>>();
                    let entry = Entry::new(fold(&alias.name), columns);
                    let entry = self.rename_entry(entry, alias)?;
                    from.entries = vec![entry];
                }
                Ok(from)
            }
            other => Err(self.not_postgresql(other)),
        }
    }

    /// A subquery's rows under an alias.
    fn aliased(&self, rows: Rows, alias: &TableAlias) -> SqlResult<From> {
        let entry = entry_of(&rows, &fold(&alias.name));
        let entry = self.rename_entry(entry, alias)?;
        Ok(From { plan: rows.plan, entries: vec![entry], arrival: rows.arrival })
    }

    fn rename_entry(&self, mut entry: Entry, alias: &TableAlias) -> SqlResult<Entry> {
        if alias.columns.len() > entry.columns.len() {
            return Err(SqlError::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!(
                    "table \"{}\" has {} columns available but {} columns specified",
                    entry.alias,
                    entry.columns.len(),
                    alias.columns.len()
                ),
            ));
        }
        if alias.at.is_some() {
            return Err(self.not_postgresql(alias));
        }
        for (column, name) in entry.columns.iter_mut().zip(&alias.columns) {
            if name.data_type.is_some() {
                return Err(self.at(
                    SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        "a column definition list is only allowed for functions returning \
                         \"record\"",
                    ),
                    self.ident_position(&name.name),
                ));
            }
            column.name = fold(&name.name);
        }
        Ok(entry)
    }

    /// A name in FROM: a WITH query, a table, a view or a system relation.
    fn named_relation(
        &self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        let position = self.position(name.span());
        let (schema, relation) = names::qualified(name, &self.env.identity.database)
            .map_err(|error| self.at(error, position))?;
        if schema.is_none()
            && let Some(cte) = ctes.find(&relation)
        {
            let rows = self.read_cte(&cte)?;
            let entry = entry_of(&rows, &relation);
            let from = From { plan: rows.plan, entries: vec![entry], arrival: rows.arrival };
            return self.with_alias(from, alias);
        }
        let found = self.relation_or_error(schema.as_deref(), &relation, position)?;
        let from = match found {
            Relation::Table(info) => {
                self.check_read(Oid(info.shape.table.0))?;
                self.scan_table(&info)?
            }
            Relation::View(view) => {
                self.check_read(view.oid)?;
                self.read_view(&view)?
            }
            Relation::System(system) => {
                self.check_system(&system.name)?;
                let full = format!("{}.{}", system.schema_name, system.name);
                self.read_system(&system, self.catalog.oid_of(&PgType::Regclass, &full))?
            }
            Relation::Sequence(id) => {
                let (oid, schema) = (Oid(id.0), schema.unwrap_or_default());
                self.check_read(oid)?;
                self.env.note_session_dependence();
                let sequences = self.env.sequences.clone();
                let system = Arc::new(sequence_relation(sequences, oid, schema, relation));
                self.read_system(&system, Some(oid.0))?
            }
        };
        self.with_alias(from, alias)
    }

    fn read_system(&self, system: &Arc<SystemRelation>, oid: Option<u32>) -> SqlResult<From> {
        let id = self.number();
        let scan_alias = format!("{}#{id}", plan::safe_name(&system.name));
        let columns = system
            .columns
            .iter()
            .map(|(name, ty)| ScopeColumn {
                name: name.clone(),
                column: Column::new(Some(scan_alias.clone()), name),
                ty: ty.clone(),
                origin: None,
                typmod: if VECTORS.contains(&name.as_str()) { VECTOR } else { ty.typmod() },
            })
            .collect();
        let mut entry = Entry::new(system.name.clone(), columns);
        entry.schema = Some(system.schema_name.clone());
        entry.oid = oid;
        let plan = plan::scan(&scan_alias, ScanSource::system(system.clone()))?;
        Ok(From::new(plan, vec![entry]))
    }

    /// TABLESAMPLE: each row by chance, of blocks as of rows.
    fn sampled(&self, mut from: From, sample: &TableSample, ctes: &Ctes<'_>) -> SqlResult<From> {
        let (Some(method), Some(quantity)) = (sample.name, &sample.quantity) else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error in TABLESAMPLE"));
        };
        if !matches!(method, TableSampleMethod::Bernoulli | TableSampleMethod::System)
            || quantity.unit.is_some()
        {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error in TABLESAMPLE"));
        }
        if sample.seed.is_some() {
            return Err(SqlError::unsupported("TABLESAMPLE .. REPEATABLE is not supported"));
        }
        if from.entries.iter().any(|entry| entry.oid.is_none()) {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                "TABLESAMPLE clause can only be applied to tables and materialized views",
            ));
        }
        let (scope, windows) = (Scope::default(), NamedWindows::default());
        let cx = Context::new(&scope, ctes, &windows, Clause::FromFunction);
        let position = self.start(&quantity.value);
        let percent = self.expr(&quantity.value, cx)?;
        let percent = match percent.ty {
            PgType::Unknown => {
                self.cast_at(percent, &PgType::Float4, CastKind::Assignment, position)?
            }
            _ => percent,
        };
        let percent = self.cast_at(percent, &PgType::Float8, CastKind::Assignment, position)?;
        let share = match known_value::known(percent, &self.env)?.as_constant().transpose()? {
            Some(Datum::Float8(percent)) if (0.0..=100.0).contains(&percent) => percent / 100.0,
            Some(Datum::Null) => {
                return Err(SqlError::new(
                    SqlState(*b"2202H"),
                    "TABLESAMPLE parameter cannot be null",
                ));
            }
            Some(_) => {
                return Err(SqlError::new(
                    SqlState(*b"2202H"),
                    "sample percentage must be between 0 and 100",
                ));
            }
            None => {
                return Err(self.at(
                    SqlError::unsupported("the percentage of TABLESAMPLE must be a constant"),
                    position,
                ));
            }
        };
        let share = Typed::constant(Datum::Float8(share), PgType::Float8)?;
        let chosen = self.operate("<", self.call("random", Vec::new(), 0)?, share, 0)?;
        from.plan = plan::filter(from.plan, chosen.expr)?;
        Ok(from)
    }

    pub fn relation_or_error(
        &self,
        schema: Option<&str>,
        relation: &str,
        position: u32,
    ) -> SqlResult<Relation> {
        if let Some(schema) = schema
            && self.view.is_none()
        {
            self.catalog.check_schema(schema)?;
        }
        self.relation(schema, relation).ok_or_else(|| {
            let text = match schema {
                Some(schema) => format!("{schema}.{relation}"),
                None => relation.to_string(),
            };
            self.at(
                SqlError::new(
                    SqlState::UNDEFINED_TABLE,
                    format!("relation \"{text}\" does not exist"),
                ),
                position,
            )
        })
    }

    pub fn with_alias(&self, mut from: From, alias: Option<&TableAlias>) -> SqlResult<From> {
        let Some(alias) = alias else { return Ok(from) };
        let Some(mut entry) = from.entries.pop() else { return Ok(from) };
        entry.alias = fold(&alias.name);
        entry.schema = None;
        from.entries.push(self.rename_entry(entry, alias)?);
        Ok(from)
    }

    /// A scan of a user table under a made-up alias of its own.
    pub fn scan_table(&self, info: &Arc<TableInfo>) -> SqlResult<From> {
        let id = self.number();
        let shape = &info.shape;
        let scan_alias = format!("{}#{id}", plan::safe_name(&shape.name));
        let columns = shape
            .columns
            .iter()
            .map(|column| ScopeColumn {
                name: column.name.clone(),
                column: Column::new(Some(scan_alias.clone()), &column.name),
                ty: column.ty.clone(),
                origin: Some((shape.table, column.id)),
                typmod: column.ty.typmod(),
            })
            .collect();
        let entry = Entry { columns, ..Entry::of_table(info) };
        let plan = plan::scan(&scan_alias, ScanSource::table(info.clone()))?;
        Ok(From::new(plan, vec![entry]))
    }

    fn read_view(&self, view: &ViewInfo) -> SqlResult<From> {
        if self.view_depth >= MAX_VIEW_DEPTH {
            return Err(SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            )
            .hint(format!("Views may read other views at most {MAX_VIEW_DEPTH} deep.")));
        }
        let parsed = crate::parse::parse(&view.definition)?;
        let (Some(parsed), true) = (parsed.first(), parsed.len() == 1) else {
            return Err(SqlError::internal(format!("view {} has no definition", view.name)));
        };
        let crate::parse::Statement::Sql(statement) = &parsed.statement else {
            return Err(SqlError::internal(format!("view {} is no query", view.name)));
        };
        let ast::Statement::Query(query) = statement.as_ref() else {
            return Err(SqlError::internal(format!("view {} is no query", view.name)));
        };
        let binder = self.for_view(parsed.source.clone(), view.search_path.clone(), view.oid);
        let mut rows = binder.query(query, None, &Ctes::default())?.with_arrival()?;
        for (number, (column, name)) in (1..).zip(rows.columns.iter_mut().zip(&view.columns)) {
            column.name.clone_from(name);
            column.origin = Some((TableId(view.oid.0), ColumnId(number)));
        }
        let mut entry = entry_of(&rows, &view.name);
        entry.schema = Some(view.schema_name.clone());
        Ok(From { plan: rows.plan, entries: vec![entry], arrival: rows.arrival })
    }

    /// `TABLE name`.
    pub fn table_command(&self, table: &ast::Table, ctes: &Ctes<'_>) -> SqlResult<Rows> {
        let parts: Vec<Ident> =
            table.schema_name.iter().chain(&table.table_name).map(Ident::new).collect();
        let from = self.named_relation(&ObjectName::from(parts), None, ctes)?;
        for column in from.entries.iter().flat_map(|entry| &entry.columns) {
            self.check_column(column)?;
        }
        let columns = from
            .entries
            .iter()
            .flat_map(|entry| &entry.columns)
            .map(|column| RowsColumn {
                name: column.name.clone(),
                column: column.column.clone(),
                ty: column.ty.clone(),
                origin: column.origin,
                typmod: column.typmod,
                position: 0,
            })
            .collect();
        Rows { plan: from.plan, columns, order: Vec::new(), arrival: Vec::new() }.exact()
    }
}

fn typed(column: &ScopeColumn) -> Typed {
    Typed { expr: Expr::Column(column.column.clone()), ty: column.ty.clone() }
}

/// The columns that names alone find.
fn visible_columns(entries: &[Entry]) -> impl Iterator<Item = &ScopeColumn> {
    entries.iter().filter(|entry| entry.by_column).flat_map(|entry| &entry.columns)
}

/// A name that only LATERAL would find, as it is told.
fn out_of_reach(error: SqlError, beside: &[Entry]) -> SqlError {
    let message = error.message().to_owned();
    for entry in beside {
        let alias = &entry.alias;
        if message == format!("missing FROM-clause entry for table \"{alias}\"") {
            let mut error = error.hint(format!(
                "There is an entry for table \"{alias}\", but it cannot be referenced from this \
                 part of the query."
            ));
            error.fields_mut().message =
                format!("invalid reference to FROM-clause entry for table \"{alias}\"");
            return error;
        }
        let column = entry
            .columns
            .iter()
            .find(|column| message == format!("column \"{}\" does not exist", column.name));
        if let Some(column) = column {
            return error.hint(format!(
                "There is a column named \"{}\" in table \"{alias}\", but it cannot be referenced \
                 from this part of the query.",
                column.name
            ));
        }
    }
    error
}
