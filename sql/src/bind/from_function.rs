//! Functions in FROM: set-returning ones, scalar ones as a relation of one row, several side by
//! side.

use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, ObjectName, Spanned, TableAlias};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::expr::function::is_output_parameter;
use super::from::From;
use super::names::{self, fold};
use super::plan;
use super::record_function::gives_records;
use super::scope::{Entry, Scope, ScopeColumn};
use super::window::NamedWindows;
use crate::functions::{self, TableColumn, TableFunction};
use crate::parse::ROWS_FROM;

impl Binder<'_> {
    /// `f(..)` in FROM: a set-returning function, or a scalar one as a relation of one row.
    pub fn function_in_from(
        &self,
        name: &ObjectName,
        args: &[ast::FunctionArg],
        alias: Option<&TableAlias>,
        with_ordinality: bool,
        scope: &Scope<'_>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        let position = self.position(name.span());
        let (_, function) = names::qualified(name, &self.env.identity.database)
            .map_err(|error| self.at(error, position))?;
        if function == ROWS_FROM {
            return self.rows_from(args, alias, with_ordinality, scope, ctes);
        }
        if !with_ordinality && let Some(from) = self.call_in_from(name, args, ctes)? {
            return self.with_alias(from, alias);
        }
        let windows = NamedWindows::default();
        let cx = Context::new(scope, ctes, &windows, Clause::FromFunction);
        let (mut values, mut names) = (Vec::with_capacity(args.len()), Vec::new());
        for arg in args {
            let (name, value) = match arg {
                ast::FunctionArg::Unnamed(value) => (None, value),
                ast::FunctionArg::Named { name, arg, .. }
                | ast::FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => {
                    (Some(fold(name)), arg)
                }
                ast::FunctionArg::ExprNamed { .. } => return Err(self.not_postgresql(arg)),
            };
            let ast::FunctionArgExpr::Expr(value) = value else {
                return Err(self.at(functions::undefined(&function, &[]), position));
            };
            let value = self.expr(value, cx)?;
            if !is_output_parameter(&value) {
                values.push(value);
                names.push(name);
            }
        }
        let values = self.in_their_places(&function, values, &names, position)?;
        if gives_records(&function) && !with_ordinality {
            return self.records_in_from(&function, values, alias, position);
        }
        let (called, args) = self.series_over_vector(&function, values.clone(), cx, position)?;
        let set =
            functions::table(called, args, &self.env).map_err(|error| self.at(error, position))?;
        if let Some(set) = set {
            return self.set_in_from(&function, set, alias, with_ordinality);
        }
        let types: Vec<PgType> = values.iter().map(|value| value.ty.clone()).collect();
        let scalar = functions::scalar(&function, values, &self.env)
            .map_err(|error| self.at(error, position))?;
        let Some(value) = scalar else {
            return Err(self.at(functions::undefined(&function, &types), position));
        };
        // One row of one column, named after the alias.
        let column = self.fresh(&function);
        let (input, value_expr) = self.attach_one(plan::one_row(), value.expr)?;
        let mut exprs = vec![value_expr.alias(&column.name)];
        let name = alias.map_or_else(|| function.clone(), |alias| fold(&alias.name));
        let mut columns = vec![ScopeColumn {
            name: name.clone(),
            column,
            ty: value.ty,
            origin: None,
            typmod: -1,
        }];
        if with_ordinality {
            let column = self.fresh("ordinality");
            exprs.push(datafusion::prelude::lit(1i64).alias(&column.name));
            columns.push(ScopeColumn {
                name: "ordinality".into(),
                column,
                ty: PgType::Int8,
                origin: None,
                typmod: -1,
            });
        }
        let plan = plan::project(input, exprs)?;
        let mut entry = Entry::new(name, columns);
        entry.scalar = true;
        let from = From::new(plan, vec![entry]);
        self.with_alias(from, alias)
    }

    /// `ROWS FROM (f(..), g(..))`: the rows of functions side by side, the shorter ones filled up.
    fn rows_from(
        &self,
        calls: &[ast::FunctionArg],
        alias: Option<&TableAlias>,
        with_ordinality: bool,
        scope: &Scope<'_>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<From> {
        let windows = NamedWindows::default();
        let cx = Context::new(scope, ctes, &windows, Clause::FromFunction);
        let mut all = Vec::new();
        let (mut first, mut named) = (None, calls.len() > 1);
        for call in calls {
            let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Function(call))) =
                call
            else {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "syntax error in ROWS FROM: only calls of functions can stand there",
                ));
            };
            let position = self.position(call.name.span());
            let (_, function) = names::qualified(&call.name, &self.env.identity.database)
                .map_err(|error| self.at(error, position))?;
            let values = self.bare_values(&self.arguments(call)?, cx)?;
            let set = functions::table(&function, values.clone(), &self.env)
                .map_err(|error| self.at(error, position))?;
            match set {
                Some(set) => {
                    let own = set.columns.len() == 1 && !set.named;
                    named |= set.named;
                    all.extend(set.columns.into_iter().map(|column| TableColumn {
                        name: if own { function.clone() } else { column.name },
                        ..column
                    }));
                }
                None => {
                    let value = self.call(&function, values, position)?;
                    let ty = value.ty.clone();
                    let list = crate::operators::array(vec![value], &self.env)?.expr;
                    all.push(TableColumn { name: function.clone(), ty, list });
                }
            }
            first.get_or_insert(function);
        }
        let set = TableFunction { columns: all, named };
        self.set_in_from(&first.unwrap_or_default(), set, alias, with_ordinality)
    }

    pub fn set_in_from(
        &self,
        function: &str,
        set: TableFunction,
        alias: Option<&TableAlias>,
        with_ordinality: bool,
    ) -> SqlResult<From> {
        let single = set.columns.len() == 1;
        let entry_name = alias.map_or_else(|| function.to_string(), |alias| fold(&alias.name));
        let mut lists = Vec::new();
        let mut columns = Vec::new();
        let counted: Vec<Expr> = set.columns.iter().map(|column| column.list.clone()).collect();
        for column in set.columns {
            let fresh = self.fresh(&column.name);
            lists.push(column.list.alias(&fresh.name));
            // A function of one column gives it the alias's name, unless it names its output.
            let name = if single && !set.named { entry_name.clone() } else { column.name };
            let ty = column.ty;
            columns.push(ScopeColumn { name, column: fresh, ty, origin: None, typmod: -1 });
        }
        if with_ordinality {
            let fresh = self.fresh("ordinality");
            lists.push(super::lists::positions_of_longest(counted).alias(&fresh.name));
            columns.push(ScopeColumn {
                name: "ordinality".into(),
                column: fresh,
                ty: PgType::Int8,
                origin: None,
                typmod: -1,
            });
        }
        let plan = plan::project(plan::one_row(), lists)?;
        let plan = plan::unnest(plan, columns.iter().map(|c| c.column.clone()).collect())?;
        let mut entry = Entry::new(entry_name, columns);
        entry.scalar = true;
        let from = From::new(plan, vec![entry]);
        self.with_alias(from, alias)
    }
}
