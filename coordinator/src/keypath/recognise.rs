//! From a bound statement to its key path, where it has one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, Projection, TableScanBuilder, Values,
};
use satsuma_common::{PgType, SequenceId, arrow_types};
use satsuma_proto::worker::{OnConflict, Program};
use satsuma_sql::bound::{
    Bound, BoundDelete, BoundInsert, BoundOnConflict, BoundQuery, BoundUpdate, Returning,
};
use satsuma_sql::catalog_view::{Distribution, TableInfo};
use satsuma_sql::codec;
use satsuma_sql::functions::{drawn_sequences, is_session_bound};
use satsuma_sql::table::{INPUT, Scan, ScanSource};

use super::cell::{Cell, needs_plan, param_index, strip_alias};
use super::programs::Programs;
use super::statement::{Asked, KeyAction, KeyStatement, KeyTable, Returned};

/// Rows of VALUES; more go by the general path, which streams.
const MAX_ROWS: usize = 1000;

/// The key path of a statement whose parameters are of types `params`; `None`: it has none.
pub fn recognise(bound: &Bound, params: &[PgType], programs: &Programs) -> Option<KeyStatement> {
    match bound {
        Bound::Query(query) => select(query, params),
        Bound::Insert(insert) => self::insert(insert, params),
        Bound::Update(update) => self::update(update, params, programs),
        Bound::Delete(delete) => self::delete(delete, params),
        Bound::WithChanges { .. }
        | Bound::Truncate { .. }
        | Bound::CopyFrom(_)
        | Bound::CopyTo { .. }
        | Bound::Call(_)
        | Bound::Explain { .. }
        | Bound::Merge(_)
        | Bound::Utility(_) => None,
    }
}

fn select(query: &BoundQuery, params: &[PgType]) -> Option<KeyStatement> {
    let rows = Rows::of(&query.plan)?;
    let table = KeyTable::new(rows.info.clone())?;
    let key = rows.key(&table, params)?;
    let width = rows.info.shape.columns.len();
    if rows.columns.iter().any(|position| *position >= width) {
        return None;
    }
    let action =
        KeyAction::Select { key, output: rows.columns, columns: query.columns.clone().into() };
    Some(KeyStatement { table, action })
}

fn insert(insert: &BoundInsert, params: &[PgType]) -> Option<KeyStatement> {
    let info = &insert.table;
    if !is_written_here(info) {
        return None;
    }
    let on_conflict = match &insert.on_conflict {
        BoundOnConflict::Fail => OnConflict::Fail,
        BoundOnConflict::DoNothing { arbiters } => {
            OnConflict::DoNothing { arbiters: arbiters.clone() }
        }
        BoundOnConflict::DoUpdate { .. } => return None,
    };
    let made;
    let cells: &[Vec<Expr>] = match &insert.source {
        LogicalPlan::Projection(Projection { expr, input, .. }) => match input.as_ref() {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => {
                made = vec![expr.clone()];
                &made
            }
            // Columns in another order, or with defaults between them.
            LogicalPlan::Values(values) if values.values.len() <= MAX_ROWS => {
                let of_row = |row: &Vec<Expr>| {
                    expr.iter().map(|expr| over_row(expr, values, row)).collect::<Option<Vec<_>>>()
                };
                made = values.values.iter().map(of_row).collect::<Option<Vec<_>>>()?;
                &made
            }
            _ => return None,
        },
        LogicalPlan::Values(values) if values.values.len() <= MAX_ROWS => &values.values,
        _ => return None,
    };
    let columns = &info.shape.columns;
    let rows = cells
        .iter()
        .map(|row| {
            if row.len() != columns.len() {
                return None;
            }
            row.iter().zip(columns).map(|(cell, c)| Cell::new(cell, &c.ty, params)).collect()
        })
        .collect::<Option<Vec<Vec<Cell>>>>()?;
    let asked = asked(cells);
    let returning = returned(insert.returning.as_ref(), info)?;
    let table = KeyTable::new(info.clone())?;
    Some(KeyStatement { table, action: KeyAction::Insert { rows, asked, on_conflict, returning } })
}

fn asked(cells: &[Vec<Expr>]) -> Asked {
    let mut values = BTreeMap::new();
    for cell in cells.iter().flatten() {
        let Some(drawn) = drawn_sequences(cell) else { return Asked::Anything };
        for sequence in drawn {
            *values.entry(SequenceId(sequence.0)).or_insert(0) += 1;
        }
    }
    Asked::Values(values)
}

/// An expression over the columns of VALUES, for one row of them.
fn over_row(expr: &Expr, values: &Values, row: &[Expr]) -> Option<Expr> {
    let mut unknown = false;
    let replaced = expr.clone().transform_up(|part| match &part {
        Expr::Column(column) => {
            let cell = values.schema.index_of_column(column).ok().and_then(|at| row.get(at));
            unknown |= cell.is_none();
            Ok(cell.map_or_else(|| Transformed::no(part.clone()), |c| Transformed::yes(c.clone())))
        }
        _ => Ok(Transformed::no(part)),
    });
    replaced.ok().map(|replaced| replaced.data).filter(|_| !unknown)
}

fn delete(delete: &BoundDelete, params: &[PgType]) -> Option<KeyStatement> {
    if !is_written_here(&delete.table) {
        return None;
    }
    let rows = Rows::of(&delete.source)?;
    if rows.columns != [rows.info.shape.columns.len()] {
        return None;
    }
    let table = KeyTable::new(rows.info.clone())?;
    let key = rows.key(&table, params)?;
    let returning = returned(delete.returning.as_ref(), &rows.info)?;
    Some(KeyStatement { table, action: KeyAction::Delete { key, returning } })
}

fn update(update: &BoundUpdate, params: &[PgType], programs: &Programs) -> Option<KeyStatement> {
    let info = &update.table;
    let shape = &info.shape;
    if !is_written_here(info) {
        return None;
    }
    let LogicalPlan::Projection(Projection { expr, input, .. }) = &update.source else {
        return None;
    };
    let rows = Rows::of(input)?;
    if expr.len() != shape.columns.len() + 1 || rows.column(&expr[0])? != shape.columns.len() {
        return None;
    }
    let table = KeyTable::new(info.clone())?;
    let key = rows.key(&table, params)?;
    let mut builder = ProgramBuilder { rows: &rows, params, cells: Vec::new() };
    let mut inputs = Vec::new();
    let mut targets = Vec::new();
    let mut values = Vec::new();
    for (position, (value, column)) in expr[1..].iter().zip(&shape.columns).enumerate() {
        if !update.assigned.contains(&column.id) {
            if rows.column(value)? != position {
                return None;
            }
            continue;
        }
        let fixed =
            table.key_positions().contains(&position) || table.distribution() == Some(position);
        let value = strip_alias(value);
        if fixed || needs_plan(value) || is_session_bound(value) {
            return None;
        }
        // In the order of the table, so that equal statements make equal programs.
        let used = value.column_refs().into_iter().cloned().collect::<BTreeSet<_>>();
        for used in used {
            let used = rows.column(&Expr::Column(used))?;
            if used >= shape.columns.len() {
                return None;
            }
            if !inputs.contains(&used) {
                inputs.push(used);
            }
        }
        targets.push(u32::try_from(position).ok()?);
        values.push(builder.value(value, &column.ty)?);
    }
    let plan = builder.plan(&inputs, values)?;
    let inputs = inputs.into_iter().map(|at| u32::try_from(at).ok()).collect::<Option<Vec<_>>>()?;
    let program = Program { plan, inputs, targets };
    let program = programs.share(shape.table, shape.version, program);
    let returning = returned(update.returning.as_ref(), info)?;
    let action = KeyAction::Update { key, program, params: builder.cells, returning };
    Some(KeyStatement { table, action })
}

/// Writes go to one copy, and no column depends on others.
fn is_written_here(info: &TableInfo) -> bool {
    info.distribution != Distribution::Reference && info.generated.iter().all(Option::is_none)
}

/// RETURNING of plain columns: `Some(None)` without one, `None` for anything more.
fn returned(returning: Option<&Returning>, info: &TableInfo) -> Option<Option<Returned>> {
    let Some(returning) = returning else { return Some(None) };
    let LogicalPlan::Projection(Projection { expr, input, .. }) = &returning.plan else {
        return None;
    };
    let LogicalPlan::TableScan(scan) = input.as_ref() else { return None };
    let width = info.shape.columns.len();
    if scan.projection.is_some() || scan.projected_schema.fields().len() != width {
        return None;
    }
    let output = expr
        .iter()
        .map(|expr| match strip_alias(expr) {
            Expr::Column(column) => scan.projected_schema.index_of_column(column).ok(),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Some(Returned { output, columns: returning.columns.clone().into() }))
}

/// A plan that reads one table and filters it: its conditions, and which of the table's columns
/// its output columns are. The hidden key counts as the column after the last.
struct Rows<'a> {
    info: Arc<TableInfo>,
    plan: &'a LogicalPlan,
    columns: Vec<usize>,
    /// Both sides of each equality, where one is a column.
    equal: Vec<(usize, &'a Expr)>,
}

impl<'a> Rows<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let source = scan.source.downcast_ref::<ScanSource>()?;
                let Scan::Table(info) = &source.scan else { return None };
                let plain =
                    scan.projection.is_none() && scan.filters.is_empty() && scan.fetch.is_none();
                let columns = (0..=info.shape.columns.len()).collect();
                plain.then(|| Self { info: info.clone(), plan, columns, equal: Vec::new() })
            }
            LogicalPlan::Filter(filter) => {
                let mut rows = Self::of(&filter.input)?;
                for condition in split_conjunction(&filter.predicate) {
                    let equality = rows.equality(condition)?;
                    rows.equal.push(equality);
                }
                Some(Self { plan, ..rows })
            }
            LogicalPlan::Projection(projection) => {
                let rows = Self::of(&projection.input)?;
                let columns = projection
                    .expr
                    .iter()
                    .map(|expr| rows.column(expr))
                    .collect::<Option<Vec<_>>>()?;
                Some(Self { plan, columns, ..rows })
            }
            // A key has one row at most.
            LogicalPlan::Limit(limit) => {
                let none_skipped =
                    limit.skip.as_deref().is_none_or(|skip| is_count(skip, |n| n == 0));
                let some_fetched =
                    limit.fetch.as_deref().is_none_or(|fetch| is_count(fetch, |n| n > 0));
                let rows = Self::of(&limit.input)?;
                (none_skipped && some_fetched).then_some(Self { plan, ..rows })
            }
            _ => None,
        }
    }

    /// The table's column that an expression over this plan is.
    fn column(&self, expr: &Expr) -> Option<usize> {
        let Expr::Column(column) = strip_alias(expr) else { return None };
        let index = self.plan.schema().index_of_column(column).ok()?;
        self.columns.get(index).copied()
    }

    fn equality(&self, condition: &'a Expr) -> Option<(usize, &'a Expr)> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
            return None;
        };
        match (self.column(left), self.column(right)) {
            (Some(column), None) => Some((column, right)),
            (None, Some(column)) => Some((column, left)),
            _ => None,
        }
    }

    /// Values for each column of the primary key, when the conditions are just that.
    fn key(&self, table: &KeyTable, params: &[PgType]) -> Option<Vec<Cell>> {
        let positions = table.key_positions();
        let covered = table.distribution().is_none_or(|at| positions.contains(&at));
        if positions.is_empty() || self.equal.len() != positions.len() || !covered {
            return None;
        }
        let equal: BTreeMap<usize, &Expr> = self.equal.iter().copied().collect();
        positions
            .iter()
            .map(|position| {
                let ty = &self.info.shape.columns[*position].ty;
                let value = equal.get(position)?;
                let fixed = compares_by_key(ty) && !value.is_volatile();
                fixed.then(|| Cell::new(value, ty, params))?
            })
            .collect()
    }
}

fn is_count(expr: &Expr, holds: impl Fn(i64) -> bool) -> bool {
    use datafusion::common::ScalarValue;
    matches!(expr, Expr::Literal(ScalarValue::Int64(Some(count)), _) if holds(*count))
}

/// Types of which two values of the column's Arrow type are equal just when their keys are.
fn compares_by_key(ty: &PgType) -> bool {
    matches!(
        ty.without_precision(),
        PgType::Bool
            | PgType::Int2
            | PgType::Int4
            | PgType::Int8
            | PgType::Text
            | PgType::Varchar(_)
            | PgType::Bytea
            | PgType::Date
            | PgType::Time
            | PgType::Timestamp
            | PgType::Timestamptz
            | PgType::Uuid
    )
}

/// Collects the values of an UPDATE as expressions over handed-in rows: the columns they use,
/// then what is known before the row is.
struct ProgramBuilder<'a> {
    rows: &'a Rows<'a>,
    params: &'a [PgType],
    cells: Vec<(Cell, PgType)>,
}

impl ProgramBuilder<'_> {
    /// The value with its columns and parameters replaced.
    fn value(&mut self, value: &Expr, ty: &PgType) -> Option<Expr> {
        // What does not depend on the row is better a parameter: the program stays the same when
        // it changes.
        if value.column_refs().is_empty() {
            let cell = Cell::new(value, ty, self.params)?;
            return Some(self.parameter(cell, ty.clone()));
        }
        let replaced = value.clone().transform_up(|expr| match &expr {
            Expr::Column(_) => Ok(match self.rows.column(&expr) {
                Some(position) => Transformed::yes(input(format!("c{position}"))),
                None => Transformed::no(expr),
            }),
            Expr::Placeholder(placeholder) => {
                let index = param_index(&placeholder.id);
                let ty = index.and_then(|index| self.params.get(index)).cloned();
                Ok(match index.zip(ty) {
                    Some((index, ty)) => Transformed::yes(self.parameter(Cell::Param(index), ty)),
                    None => Transformed::no(expr),
                })
            }
            _ => Ok(Transformed::no(expr)),
        });
        replaced.ok().map(|transformed| transformed.data)
    }

    fn parameter(&mut self, cell: Cell, ty: PgType) -> Expr {
        let same = |(known, _): &(Cell, PgType)| match (known, &cell) {
            (Cell::Param(known), Cell::Param(new)) => known == new,
            _ => false,
        };
        let index = self.cells.iter().position(same).unwrap_or_else(|| {
            self.cells.push((cell, ty));
            self.cells.len() - 1
        });
        input(format!("p{index}"))
    }

    /// The values as an encoded projection over the inputs and the parameters.
    fn plan(&self, inputs: &[usize], values: Vec<Expr>) -> Option<bytes::Bytes> {
        let columns = &self.rows.info.shape.columns;
        let inputs =
            inputs.iter().map(|at| arrow_types::field(format!("c{at}"), &columns[*at].ty, true));
        let params = self
            .cells
            .iter()
            .enumerate()
            .map(|(index, (_, ty))| arrow_types::field(format!("p{index}"), ty, true));
        let schema = Arc::new(Schema::new(inputs.chain(params).collect::<Vec<_>>()));
        let source = ScanSource::input(schema);
        let scan = TableScanBuilder::new(TableReference::bare(INPUT), source).build().ok()?;
        let values =
            values.into_iter().enumerate().map(|(at, value)| value.alias(format!("v{at}")));
        let scan = Arc::new(LogicalPlan::TableScan(scan));
        let plan = Projection::try_new(values.collect(), scan).ok()?;
        codec::encode(&LogicalPlan::Projection(plan)).ok()
    }
}

fn input(name: String) -> Expr {
    Expr::Column(Column::new(Some(INPUT), name))
}
