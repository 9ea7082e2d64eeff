//! Window functions: OVER and WINDOW, frames, and the plan node that computes them.

use std::cell::Cell;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{
    Expr, LogicalPlan, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use datafusion::scalar::ScalarValue;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, arrow_types};
use sqlparser::ast::{
    self, Function, NamedWindowDefinition, NamedWindowExpr, WindowSpec, WindowType,
};

use super::binder::Binder;
use super::clause::Clause;
use super::expr::function::Arguments;
use super::expr::{Context, Within};
use super::names::fold;
use super::plan;
use super::select::Item;
use super::window_distance::in_numbers;
use crate::casts::CastKind;
use crate::functions::{self, OrderBy, Typed, WindowCall};
use crate::known_value;
use crate::operators;
use crate::parse::{Exclude, excluded};

/// The WINDOW clause, bound where it is used.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedWindows {
    definitions: Vec<(String, NamedWindowExpr)>,
    /// Guards against definitions that refer to each other in a circle.
    depth: Cell<u32>,
}

impl NamedWindows {
    pub fn new(definitions: &[NamedWindowDefinition]) -> SqlResult<Self> {
        let mut windows = Self::default();
        for NamedWindowDefinition(name, window) in definitions {
            let name = fold(name);
            if windows.find(&name).is_some() {
                return Err(SqlError::new(
                    SqlState::WINDOWING_ERROR,
                    format!("window \"{name}\" is already defined"),
                ));
            }
            windows.definitions.push((name, window.clone()));
        }
        Ok(windows)
    }

    fn find(&self, name: &str) -> Option<&NamedWindowExpr> {
        self.definitions.iter().find(|(known, _)| known == name).map(|(_, window)| window)
    }
}

/// A window bound.
#[derive(Clone, Debug, Default)]
struct Bound {
    partition_by: Vec<Expr>,
    order_by: Vec<SortExpr>,
    /// The only sort key as it is, for offsets of RANGE.
    range_key: Option<Typed>,
    /// The first sort key is of a type in whose terms the engine cannot measure.
    is_unmeasured: bool,
    frame: Option<ast::WindowFrame>,
    exclude: Option<Exclude>,
}

impl Binder<'_> {
    pub fn window_function(
        &self,
        name: &str,
        call: &Function,
        arguments: &Arguments<'_>,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<Typed> {
        if cx.clause == Clause::WindowDefinition {
            return Err(self.at(cx.clause.no_windows(), position));
        }
        match cx.within {
            Within::Aggregate => {
                return Err(self.at(
                    SqlError::new(
                        SqlState::GROUPING_ERROR,
                        "aggregate function calls cannot contain window function calls",
                    ),
                    position,
                ));
            }
            Within::Window => {
                return Err(self.at(
                    SqlError::new(
                        SqlState::WINDOWING_ERROR,
                        "window function calls cannot be nested",
                    ),
                    position,
                ));
            }
            Within::Nothing => {}
        }
        if !cx.clause.allows_windows() {
            return Err(self.at(cx.clause.no_windows(), position));
        }
        if arguments.distinct {
            return Err(self.at(
                SqlError::unsupported("DISTINCT is not implemented for window functions"),
                position,
            ));
        }
        if !arguments.order_by.is_empty() || !call.within_group.is_empty() {
            return Err(self.at(
                SqlError::unsupported("aggregate ORDER BY is not implemented for window functions"),
                position,
            ));
        }
        if matches!(arguments.respect_nulls, Some(ast::NullTreatment::IgnoreNulls)) {
            return Err(self.at(SqlError::unsupported("IGNORE NULLS is not supported"), position));
        }
        let inner = cx.within(Within::Window);
        let definition = inner.clause(Clause::WindowDefinition);
        let mut bound = match &call.over {
            Some(WindowType::NamedWindow(window)) => self.named_window(window, definition)?,
            Some(WindowType::WindowSpec(spec)) => self.window_spec(spec, definition)?,
            None => Bound::default(),
        };
        let filter = match &call.filter {
            Some(filter) => Some(self.test(filter, "FILTER", inner.clause(Clause::Filter))?),
            None => None,
        };
        let args = self.bare_values(arguments, inner)?;
        let frame = self.frame(&bound)?;
        let frame = in_numbers(frame, bound.range_key.as_ref(), &mut bound.order_by)?;
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let window = WindowCall {
            args,
            distinct: false,
            filter,
            partition_by: bound.partition_by,
            order_by: bound.order_by,
            frame,
            exclude: bound.exclude,
        };
        // What is wrong with a value has no place in the text.
        let located = |error: SqlError| match &error.state().0 {
            b"22014" | b"22016" => error,
            _ => self.at(error, position),
        };
        let typed = functions::window(name, window, &self.env).map_err(located)?;
        if let Some(typed) = typed {
            return Ok(typed);
        }
        let args = self.bare_values(arguments, inner)?;
        let scalar = functions::scalar(name, args, &self.env);
        Err(self.at(
            match scalar {
                Ok(Some(_)) => SqlError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!(
                        "OVER specified, but {name} is not a window function nor an aggregate \
                         function"
                    ),
                ),
                _ => functions::undefined(name, &types),
            },
            position,
        ))
    }

    fn named_window(&self, name: &ast::Ident, cx: Context<'_>) -> SqlResult<Bound> {
        let folded = fold(name);
        let depth = cx.windows.depth.get();
        let Some(definition) = cx.windows.find(&folded).filter(|_| depth < 100) else {
            return Err(self.at(
                SqlError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("window \"{folded}\" does not exist"),
                ),
                self.ident_position(name),
            ));
        };
        cx.windows.depth.set(depth + 1);
        let bound = match definition {
            NamedWindowExpr::NamedWindow(other) => self.named_window(other, cx),
            NamedWindowExpr::WindowSpec(spec) => self.window_spec(spec, cx),
        };
        cx.windows.depth.set(depth);
        bound
    }

    fn window_spec(&self, spec: &WindowSpec, cx: Context<'_>) -> SqlResult<Bound> {
        let (name, exclude) = excluded(spec.window_name.as_ref());
        let mut bound = match &name {
            Some(name) => {
                let base = self.named_window(name, cx)?;
                let folded = fold(name);
                let clash = if !spec.partition_by.is_empty() {
                    Some(format!("cannot override PARTITION BY clause of window \"{folded}\""))
                } else if !spec.order_by.is_empty() && !base.order_by.is_empty() {
                    Some(format!("cannot override ORDER BY clause of window \"{folded}\""))
                } else if base.frame.is_some() {
                    Some(format!("cannot copy window \"{folded}\" because it has a frame clause"))
                } else {
                    None
                };
                if let Some(message) = clash {
                    return Err(self.at(
                        SqlError::new(SqlState::WINDOWING_ERROR, message),
                        self.ident_position(name),
                    ));
                }
                base
            }
            None => Bound::default(),
        };
        for expr in &spec.partition_by {
            let position = self.start(expr);
            let value = self.resolved(expr, cx)?;
            self.comparable(&value.ty, position)?;
            bound.partition_by.push(operators::grouping_key(&value).unwrap_or(value.expr));
        }
        for key in &spec.order_by {
            let position = self.start(&key.expr);
            let value = self.resolved(&key.expr, cx)?;
            if bound.order_by.is_empty() {
                bound.is_unmeasured = !is_measured(&value.ty);
            }
            bound.range_key = bound.order_by.is_empty().then(|| value.clone());
            bound.order_by.push(self.sort_key(value, key, position)?);
        }
        if spec.window_frame.is_some() {
            bound.frame.clone_from(&spec.window_frame);
            bound.exclude = exclude;
        }
        Ok(bound)
    }

    fn frame(&self, bound: &Bound) -> SqlResult<WindowFrame> {
        let Some(frame) = &bound.frame else {
            let strict = (!bound.order_by.is_empty()).then_some(false);
            return Ok(by_peers(WindowFrame::new(strict), bound));
        };
        let units = match frame.units {
            ast::WindowFrameUnits::Rows => WindowFrameUnits::Rows,
            ast::WindowFrameUnits::Range => WindowFrameUnits::Range,
            ast::WindowFrameUnits::Groups => WindowFrameUnits::Groups,
        };
        if units == WindowFrameUnits::Groups && bound.order_by.is_empty() {
            return Err(SqlError::new(
                SqlState::WINDOWING_ERROR,
                "GROUPS mode requires an ORDER BY clause",
            ));
        }
        let start = self.frame_bound(&frame.start_bound, units, bound, true)?;
        let end = match &frame.end_bound {
            Some(end) => self.frame_bound(end, units, bound, false)?,
            None => WindowFrameBound::CurrentRow,
        };
        let invalid = match (&start, &end) {
            (WindowFrameBound::CurrentRow, WindowFrameBound::Preceding(_)) => {
                Some("frame starting from current row cannot have preceding rows")
            }
            (WindowFrameBound::Following(_), WindowFrameBound::Preceding(_))
            | (WindowFrameBound::Following(_), WindowFrameBound::CurrentRow) => {
                Some("frame starting from following row cannot have preceding rows")
            }
            _ => None,
        };
        if let Some(message) = invalid {
            return Err(SqlError::new(SqlState::WINDOWING_ERROR, message));
        }
        Ok(by_peers(WindowFrame::new_bounds(units, start, end), bound))
    }

    fn frame_bound(
        &self,
        bound: &ast::WindowFrameBound,
        units: WindowFrameUnits,
        window: &Bound,
        is_start: bool,
    ) -> SqlResult<WindowFrameBound> {
        let unbounded = ScalarValue::UInt64(None);
        Ok(match bound {
            ast::WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
            ast::WindowFrameBound::Preceding(None) => {
                if !is_start {
                    return Err(SqlError::new(
                        SqlState::WINDOWING_ERROR,
                        "frame end cannot be UNBOUNDED PRECEDING",
                    ));
                }
                WindowFrameBound::Preceding(unbounded)
            }
            ast::WindowFrameBound::Following(None) => {
                if is_start {
                    return Err(SqlError::new(
                        SqlState::WINDOWING_ERROR,
                        "frame start cannot be UNBOUNDED FOLLOWING",
                    ));
                }
                WindowFrameBound::Following(unbounded)
            }
            ast::WindowFrameBound::Preceding(Some(offset)) => {
                WindowFrameBound::Preceding(self.frame_offset(offset, units, window)?)
            }
            ast::WindowFrameBound::Following(Some(offset)) => {
                WindowFrameBound::Following(self.frame_offset(offset, units, window)?)
            }
        })
    }

    /// How far a frame reaches: rows, groups, or a distance in the sort key's terms.
    fn frame_offset(
        &self,
        offset: &ast::Expr,
        units: WindowFrameUnits,
        window: &Bound,
    ) -> SqlResult<ScalarValue> {
        let position = self.start(offset);
        let scope = super::scope::Scope::default();
        let ctes = super::cte::Ctes::default();
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, &ctes, &windows, Clause::WindowDefinition);
        let value = self.expr(offset, cx)?;
        let wanted = match units {
            WindowFrameUnits::Rows | WindowFrameUnits::Groups => PgType::Int8,
            WindowFrameUnits::Range => {
                match window.range_key.as_ref().map(|key| key.ty.without_precision()) {
                    Some(ty @ PgType::Numeric(_)) if !is_measured(ty) => {
                        return Err(self.at(
                            SqlError::unsupported(format!(
                                "RANGE with an offset over a column of type {ty} is not supported"
                            ))
                            .hint("Sort by a numeric of a certain scale, such as numeric(20,6)."),
                            position,
                        ));
                    }
                    Some(PgType::Date | PgType::Time | PgType::Timestamp | PgType::Timestamptz) => {
                        PgType::Interval
                    }
                    Some(ty) if ty.is_numeric() || *ty == PgType::Interval => ty.clone(),
                    Some(ty) => {
                        return Err(self.at(
                            SqlError::unsupported(format!(
                                "RANGE with offset PRECEDING/FOLLOWING is not supported for column \
                             type {ty}"
                            )),
                            position,
                        ));
                    }
                    None => {
                        return Err(self.at(
                        SqlError::new(
                            SqlState::WINDOWING_ERROR,
                            "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY \
                             column",
                        ),
                        position,
                    ));
                    }
                }
            }
        };
        let from = value.ty.clone();
        let is_range = units == WindowFrameUnits::Range;
        // Distances are of the key's type, or of one that differs in width.
        let kind = match is_range && !differs_in_width(&from, &wanted) {
            true => CastKind::Implicit,
            false => CastKind::Assignment,
        };
        let value = self.cast_at(value, &wanted, kind, position).map_err(|error| {
            let key = window.range_key.as_ref().filter(|_| is_range);
            match key.filter(|_| error.state() == SqlState::CANNOT_COERCE) {
                Some(key) => self.at(
                    SqlError::unsupported(format!(
                        "RANGE with offset PRECEDING/FOLLOWING is not supported for column type \
                         {} and offset type {}",
                        key.ty.without_modifier(),
                        from.without_modifier()
                    ))
                    .hint("Cast the offset value to an appropriate type."),
                    position,
                ),
                None => error,
            }
        })?;
        let Expr::Literal(scalar, _) = known_value::known(value, &self.env)?.expr else {
            return Err(self.at(SqlError::unsupported("frame offsets must be constants"), position));
        };
        let what = if units == WindowFrameUnits::Range { "RANGE" } else { "frame" };
        if scalar.is_null() {
            return Err(SqlError::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "frame starting offset must not be null",
            ));
        }
        match (units, &scalar) {
            (WindowFrameUnits::Range, _) => {
                let negative = ScalarValue::new_zero(&scalar.data_type())
                    .ok()
                    .and_then(|zero| scalar.partial_cmp(&zero))
                    .is_some_and(std::cmp::Ordering::is_lt);
                let is_nan = match scalar {
                    ScalarValue::Float32(Some(distance)) => distance.is_nan(),
                    ScalarValue::Float64(Some(distance)) => distance.is_nan(),
                    _ => false,
                };
                if negative || is_nan {
                    return Err(negative_offset(what));
                }
                Ok(scalar)
            }
            (_, ScalarValue::Int64(Some(n))) => match u64::try_from(*n) {
                Ok(n) => Ok(ScalarValue::UInt64(Some(n))),
                Err(_) => Err(negative_offset(what)),
            },
            _ => Err(SqlError::internal("frame offset of an unexpected type")),
        }
    }

    /// Windows without an order of their own have that of FROM's rows. To peers nothing changes:
    /// functions of them are left alone, and frames still reach as far.
    pub fn order_windows(&self, items: &mut [Item], arrival: &[OrderBy]) -> SqlResult<()> {
        if arrival.is_empty() {
            return Ok(());
        }
        let order_by = arrival
            .iter()
            .map(|key| {
                let value = self.orderable(key.value.clone(), 0)?;
                Ok(value.expr.sort(key.ascending, key.nulls_first))
            })
            .collect::<SqlResult<Vec<SortExpr>>>()?;
        for item in items {
            let expr = std::mem::take(&mut item.value.expr);
            item.value.expr = plan::replace(expr, |node| {
                let Expr::WindowFunction(call) = node else { return Ok(None) };
                let name = functions::display_name(call.fun.name()).to_owned();
                let is_of_peers = name.starts_with("exclude ")
                    || matches!(
                        name.as_str(),
                        "rank" | "dense_rank" | "percent_rank" | "cume_dist"
                    );
                if is_of_peers || !call.params.order_by.is_empty() {
                    return Ok(None);
                }
                let mut call = call.clone();
                call.params.order_by.clone_from(&order_by);
                if call.params.window_frame.units != WindowFrameUnits::Rows {
                    call.params.window_frame = WindowFrame::new_bounds(
                        WindowFrameUnits::Rows,
                        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
                        WindowFrameBound::Following(ScalarValue::UInt64(None)),
                    );
                }
                Ok(Some(Expr::WindowFunction(call)))
            })?;
        }
        Ok(())
    }

    /// Puts window nodes over `plan` for the items' window functions.
    pub fn windows(&self, plan: LogicalPlan, items: &mut [Item]) -> SqlResult<LogicalPlan> {
        let mut calls: Vec<Expr> = Vec::new();
        for item in items.iter() {
            plan::df(item.value.expr.apply(|node| {
                if matches!(node, Expr::WindowFunction(_)) {
                    if !calls.contains(node) {
                        calls.push(node.clone());
                    }
                    return Ok(TreeNodeRecursion::Jump);
                }
                Ok(TreeNodeRecursion::Continue)
            }))?;
        }
        if calls.is_empty() {
            return Ok(plan);
        }
        // Subqueries within are joined below; `attach` looks into the call's expressions.
        let mut plan = plan;
        let mut computed = Vec::with_capacity(calls.len());
        for call in &calls {
            let (attached, call) = self.attach_one(plan, call.clone())?;
            plan = attached;
            computed.push(call);
        }
        for item in items.iter_mut() {
            let expr = std::mem::take(&mut item.value.expr);
            item.value.expr = plan::replace(expr, |node| {
                let found = calls.iter().position(|call| call == node);
                Ok(found.map(|index| Expr::Column(plan::output_column(&computed[index]))))
            })?;
        }
        let mut unique: Vec<Expr> = Vec::new();
        for call in computed {
            if !unique.contains(&call) {
                unique.push(call);
            }
        }
        plan::window(plan, unique)
    }
}

fn negative_offset(what: &str) -> SqlError {
    let message = match what {
        "RANGE" => "invalid preceding or following size in window function",
        _ => "frame starting offset must not be negative",
    };
    SqlError::new(SqlState(*b"22013"), message)
}

fn differs_in_width(from: &PgType, to: &PgType) -> bool {
    let is_integer = |ty: &PgType| matches!(ty, PgType::Int2 | PgType::Int4 | PgType::Int8);
    let is_float = |ty: &PgType| matches!(ty, PgType::Float4 | PgType::Float8);
    is_integer(from) && is_integer(to) || is_float(from) && is_float(to)
}

/// Whether the engine takes ranges over sort keys of this type.
fn is_measured(ty: &PgType) -> bool {
    match ty.without_precision() {
        PgType::Numeric(modifier) => modifier.is_some_and(arrow_types::fits_decimal128),
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Float4
        | PgType::Float8
        | PgType::Text
        | PgType::Varchar(_)
        | PgType::Bpchar(_)
        | PgType::Name
        | PgType::Date
        | PgType::Timestamp
        | PgType::Timestamptz => true,
        _ => false,
    }
}

/// RANGE without distances counts peers, and so does GROUPS, which measures nothing.
fn by_peers(frame: WindowFrame, bound: &Bound) -> WindowFrame {
    let is_far = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => false,
        WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance) => {
            !distance.is_null()
        }
    };
    let counts_peers = frame.units == WindowFrameUnits::Range
        && bound.is_unmeasured
        && !is_far(&frame.start_bound)
        && !is_far(&frame.end_bound);
    match counts_peers {
        true => {
            let unbounded = |bound: WindowFrameBound| match bound {
                WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
                WindowFrameBound::Preceding(_) => {
                    WindowFrameBound::Preceding(ScalarValue::UInt64(None))
                }
                WindowFrameBound::Following(_) => {
                    WindowFrameBound::Following(ScalarValue::UInt64(None))
                }
            };
            let (start, end) = (unbounded(frame.start_bound), unbounded(frame.end_bound));
            WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end)
        }
        false => frame,
    }
}
