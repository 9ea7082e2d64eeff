//! SEARCH and CYCLE of a recursive WITH query: columns that tell the way to each row.
//!
//! ```text
//! w AS (first UNION ALL step) SEARCH DEPTH FIRST BY a SET seq CYCLE a SET mark USING path
//!
//!   first:  seq  = ARRAY[ROW(a)]          mark = false               path = ARRAY[ROW(a)]
//!   step:   seq  = w.seq || ROW(a)        mark = ROW(a) = ANY(w.path)  path = w.path || ROW(a)
//!           where w.mark is not yet true
//! ```
//!
//! as PostgreSQL rewrites it. Breadth first, `seq` is the depth and the columns. The step reads
//! these columns of the rows before under names that no query string can have, so that `*` does
//! not show them.

use datafusion::logical_expr::{Expr, lit};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Cte, Ident, SelectItem, SetExpr, TableFactor};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::names::fold;
use super::plan;
use super::query::{Rows, RowsColumn};
use super::scope::Scope;
use super::window::NamedWindows;
use crate::casts::CastKind;
use crate::functions::{Typed, records};
use crate::operators;
use crate::parse::{SearchCycle, search_cycle};

/// What the columns are called inside the step: no query string has a NUL.
const HIDDEN: char = '\0';

/// Whether `*` passes over a column.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(HIDDEN)
}

/// The columns that SEARCH and CYCLE add to a query, by what they are computed from.
pub(super) struct Trail {
    search: Option<Search>,
    cycle: Option<Cycle>,
}

struct Search {
    breadth: bool,
    /// Places of the columns in the query.
    columns: Vec<usize>,
    name: String,
}

struct Cycle {
    columns: Vec<usize>,
    mark: String,
    path: String,
    /// The mark where there is a cycle, and elsewhere.
    values: (Typed, Typed),
}

/// A column that is added: its name, and whether it is only carried from step to step.
struct Added {
    name: String,
    internal: bool,
}

impl Trail {
    fn added(&self) -> Vec<Added> {
        let shown = |name: &str| Added { name: name.to_owned(), internal: false };
        let mut added = Vec::new();
        if let Some(search) = &self.search {
            added.push(shown(&search.name));
            if search.breadth {
                added.push(Added { name: "depth".into(), internal: true });
            }
        }
        if let Some(cycle) = &self.cycle {
            added.extend([shown(&cycle.mark), shown(&cycle.path)]);
        }
        added
    }

    /// The column at `place` behind the query's own, as the step names it.
    pub fn hidden_name(place: usize) -> String {
        format!("{HIDDEN}{place}")
    }

    /// Without what is only carried from step to step.
    pub fn shown(&self, mut columns: Vec<RowsColumn>, own: usize) -> Vec<RowsColumn> {
        for (place, added) in self.added().iter().enumerate().rev() {
            if added.internal {
                columns.remove(own + place);
            }
        }
        columns
    }

    /// The step, which also gives what it reads of these columns.
    pub fn reading(&self, step: &SetExpr, name: &str) -> SqlResult<SetExpr> {
        let SetExpr::Select(select) = step else {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "with a SEARCH or CYCLE clause, the right side of the UNION must be a SELECT",
            ));
        };
        let mut select = select.clone();
        let factors = select.from.iter().flat_map(|item| {
            std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation))
        });
        let mut references = factors.filter_map(|factor| match factor {
            TableFactor::Table { name: table, alias, args: None, .. } => match table.0.as_slice() {
                [ast::ObjectNamePart::Identifier(ident)] if fold(ident) == name => {
                    Some(alias.as_ref().map_or(ident, |alias| &alias.name).clone())
                }
                _ => None,
            },
            _ => None,
        });
        let reference = references.next().ok_or_else(|| {
            SqlError::unsupported(format!(
                "with a SEARCH or CYCLE clause, the recursive reference to WITH query \"{name}\" \
                 must be at the top level of its right-hand SELECT"
            ))
        })?;
        for place in 0..self.added().len() {
            let column = Ident::with_quote('"', Self::hidden_name(place));
            let expr = ast::Expr::CompoundIdentifier(vec![reference.clone(), column]);
            select.projection.push(SelectItem::UnnamedExpr(expr));
        }
        Ok(SetExpr::Select(select))
    }
}

impl Binder<'_> {
    /// The SEARCH and CYCLE clauses behind a WITH query; `None` without them.
    pub(super) fn search_cycle(&self, cte: &Cte) -> SqlResult<Option<SearchCycle>> {
        let Some(ident) = &cte.from else { return Ok(None) };
        match search_cycle(ident).map_err(|error| self.at(error, self.ident_position(ident)))? {
            Some(clauses) => Ok(Some(clauses)),
            None => Err(self.not_postgresql(cte.query.as_ref())),
        }
    }

    /// What the query's SEARCH and CYCLE clauses ask for; `None` without them.
    pub(super) fn trail(&self, cte: &Cte, columns: &[RowsColumn]) -> SqlResult<Option<Trail>> {
        let (Some(ident), Some(clauses)) = (&cte.from, self.search_cycle(cte)?) else {
            return Ok(None);
        };
        let position = self.ident_position(ident);
        let trail = self.trail_of(clauses, columns).map_err(|error| self.at(error, position))?;
        Ok(Some(trail))
    }

    fn trail_of(&self, clauses: SearchCycle, columns: &[RowsColumn]) -> SqlResult<Trail> {
        let is_column = |name: &str| columns.iter().any(|column| column.name == name);
        let invalid = |message: String| SqlError::new(SqlState::SYNTAX_ERROR, message);
        let free = |what: &str, name: &str| match is_column(name) {
            true => Err(invalid(format!(
                "{what} name \"{name}\" already used in WITH query column list"
            ))),
            false => Ok(()),
        };
        let places = |what: &str, names: &[Ident]| {
            let mut places = Vec::with_capacity(names.len());
            for name in names.iter().map(fold) {
                let Some(place) = columns.iter().position(|column| column.name == name) else {
                    return Err(invalid(format!(
                        "{what} column \"{name}\" not in WITH query column list"
                    )));
                };
                if places.contains(&place) {
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_COLUMN,
                        format!("{what} column \"{name}\" specified more than once"),
                    ));
                }
                places.push(place);
            }
            Ok(places)
        };
        let mut trail = Trail { search: None, cycle: None };
        if let Some(search) = clauses.search {
            let columns = places("search", &search.columns)?;
            let name = fold(&search.name);
            free("search sequence column", &name)?;
            trail.search = Some(Search { breadth: search.breadth, columns, name });
        }
        if let Some(cycle) = clauses.cycle {
            let columns = places("cycle", &cycle.columns)?;
            let (mark, path) = (fold(&cycle.mark), fold(&cycle.path));
            free("cycle mark column", &mark)?;
            free("cycle path column", &path)?;
            if mark == path {
                return Err(invalid(
                    "cycle mark column name and cycle path column name are the same".into(),
                ));
            }
            if let Some(search) = &trail.search {
                for (what, name) in [("mark", &mark), ("path", &path)] {
                    if *name == search.name {
                        return Err(invalid(format!(
                            "search sequence column name and cycle {what} column name are the same"
                        )));
                    }
                }
            }
            let values = self.cycle_values(cycle.values)?;
            trail.cycle = Some(Cycle { columns, mark, path, values });
        }
        Ok(trail)
    }

    fn cycle_values(&self, written: Option<(ast::Expr, ast::Expr)>) -> SqlResult<(Typed, Typed)> {
        let Some((value, otherwise)) = written else {
            return Ok((Typed::bool(lit(true)), Typed::bool(lit(false))));
        };
        let (scope, ctes, windows) = (Scope::default(), Ctes::default(), NamedWindows::default());
        let cx = Context::new(&scope, &ctes, &windows, Clause::Select);
        let values = vec![(self.expr(&value, cx)?, 0), (self.expr(&otherwise, cx)?, 0)];
        let (values, ty) = self.unify(values, "CYCLE")?;
        let [value, otherwise] = <[Expr; 2]>::try_from(values)
            .map_err(|_| SqlError::internal("CYCLE has two values"))?;
        Ok((Typed::new(value, ty.clone()), Typed::new(otherwise, ty)))
    }

    /// The first term with the columns that each of its rows begins with.
    pub(super) fn begin_trail(&self, first: Rows, trail: &Trail) -> SqlResult<Rows> {
        let mut values = Vec::new();
        if let Some(search) = &trail.search {
            let row = self.row_of(&first.columns, &search.columns)?;
            if search.breadth {
                let depth = int8(0);
                values.push(self.row_at(depth.clone(), &first.columns, &search.columns)?);
                values.push(depth);
            } else {
                values.push(operators::array(vec![row], &self.env)?);
            }
        }
        if let Some(cycle) = &trail.cycle {
            let row = self.row_of(&first.columns, &cycle.columns)?;
            values.push(cycle.values.1.clone());
            values.push(operators::array(vec![row], &self.env)?);
        }
        let own = first.columns.clone();
        self.with_added(first, own, values, trail)
    }

    /// The step, whose last columns are those of the row before, with its own instead; rows that
    /// come after a cycle are left out.
    pub(super) fn go_on_trail(&self, step: Rows, first: &Rows, trail: &Trail) -> SqlResult<Rows> {
        let count = trail.added().len();
        let own = step.columns.len().checked_sub(count).ok_or_else(not_so_many)?;
        if own + count != first.columns.len() {
            return Err(not_so_many());
        }
        let mut columns = Vec::with_capacity(own);
        let mut exprs = Vec::with_capacity(own + count);
        // Rows are compared in the types of the first term.
        for (column, wanted) in step.columns[..own].iter().zip(&first.columns) {
            let value = value_of(column);
            let cast = self.cast_at(value.clone(), &wanted.ty, CastKind::Implicit, 0);
            let value = cast.unwrap_or(value);
            let fresh = self.fresh(&column.name);
            exprs.push(value.expr.alias(&fresh.name));
            columns.push(RowsColumn { column: fresh, ty: value.ty, ..column.clone() });
        }
        let before: Vec<Typed> = step.columns[own..].iter().map(value_of).collect();
        exprs.extend(before.iter().map(|value| value.expr.clone()));
        let mut rows = Rows { plan: plan::project(step.plan.clone(), exprs)?, ..step };
        let mut before = before.into_iter();
        let mut next = || before.next().ok_or_else(not_so_many);
        let mut values = Vec::with_capacity(count);
        if let Some(search) = &trail.search {
            let sequence = next()?;
            if search.breadth {
                let depth = operators::binary("+", next()?, int8(1), &self.env)?;
                values.push(self.row_at(depth.clone(), &columns, &search.columns)?);
                values.push(depth);
            } else {
                let row = self.row_of(&columns, &search.columns)?;
                values.push(operators::binary("||", sequence, row, &self.env)?);
            }
        }
        if let Some(cycle) = &trail.cycle {
            let (mark, path) = (next()?, next()?);
            let (value, otherwise) = cycle.values.clone();
            let goes_on = operators::binary("<>", mark, value.clone(), &self.env)?;
            rows.plan = plan::filter(rows.plan, goes_on.expr)?;
            let row = self.row_of(&columns, &cycle.columns)?;
            let (env, ty) = (&self.env, value.ty.clone());
            let seen = operators::quantified("=", row.clone(), path.clone(), false, env)?;
            values.push(operators::case(vec![(seen.expr, value.expr)], Some(otherwise.expr), ty));
            values.push(operators::binary("||", path, row, env)?);
        }
        self.with_added(rows, columns, values, trail)
    }

    /// The columns of `rows` that are its `own`, and the values behind them.
    fn with_added(
        &self,
        rows: Rows,
        own: Vec<RowsColumn>,
        values: Vec<Typed>,
        trail: &Trail,
    ) -> SqlResult<Rows> {
        let mut columns = own;
        let mut exprs: Vec<Expr> =
            columns.iter().map(|column| Expr::Column(column.column.clone())).collect();
        let position = columns.first().map_or(0, |column| column.position);
        for (value, added) in values.into_iter().zip(trail.added()) {
            let fresh = self.fresh(&added.name);
            exprs.push(value.expr.alias(&fresh.name));
            columns.push(RowsColumn {
                name: added.name,
                column: fresh,
                ty: value.ty,
                origin: None,
                typmod: -1,
                position,
            });
        }
        let plan = plan::project(rows.plan, exprs)?;
        Ok(Rows { plan, columns, order: Vec::new(), arrival: Vec::new() })
    }

    fn row_of(&self, columns: &[RowsColumn], places: &[usize]) -> SqlResult<Typed> {
        records::record(fields(columns, places), false, &self.env)
    }

    /// `ROW(depth, ..)`.
    fn row_at(&self, depth: Typed, columns: &[RowsColumn], places: &[usize]) -> SqlResult<Typed> {
        let mut all = vec![("depth".to_owned(), depth)];
        all.extend(fields(columns, places));
        records::record(all, false, &self.env)
    }
}

fn fields(columns: &[RowsColumn], places: &[usize]) -> Vec<(String, Typed)> {
    places.iter().map(|at| (columns[*at].name.clone(), value_of(&columns[*at]))).collect()
}

fn value_of(column: &RowsColumn) -> Typed {
    Typed::new(Expr::Column(column.column.clone()), column.ty.clone())
}

fn int8(value: i64) -> Typed {
    Typed::new(lit(value), PgType::Int8)
}

fn not_so_many() -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "each UNION query must have the same number of columns")
}
