//! Calls: scalar functions, aggregates, window functions, set-returning functions.

use std::borrow::Cow;

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Unnest;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Spanned,
};

use super::{Binder, Context, Within};

use crate::bind::clause::Clause;
use crate::bind::names;
use crate::casts;
use crate::functions::{self, AggregateCall, OrderBy, Typed};
use crate::parse::VARIADIC;

/// The arguments of a call, taken apart.
pub(in crate::bind) struct Arguments<'e> {
    pub values: Vec<Cow<'e, ast::Expr>>,
    /// Names of arguments given as `name => value`, as long as `values`.
    pub names: Vec<Option<String>>,
    pub star: bool,
    /// VARIADIC: the last is an array of arguments.
    pub variadic: bool,
    pub distinct: bool,
    pub order_by: &'e [ast::OrderByExpr],
    pub respect_nulls: Option<&'e ast::NullTreatment>,
}

/// A parameter of type void is where a JDBC CallableStatement wants the result: no argument.
pub(in crate::bind) fn is_output_parameter(value: &Typed) -> bool {
    value.ty == PgType::Void && matches!(value.expr, Expr::Placeholder(_))
}

impl Binder<'_> {
    pub fn function(&self, call: &Function, cx: Context<'_>) -> SqlResult<Typed> {
        let position = self.position(call.name.span());
        let name = self.function_name(call, position)?;
        if let FunctionArguments::Subquery(query) = &call.args {
            if name == "array" {
                return self.array_subquery(query, cx);
            }
            return Err(self.not_postgresql(&call.name));
        }
        let arguments = self.arguments(call)?;
        if let ("normalize", [value, form]) = (name.as_str(), arguments.values.as_slice())
            && let ast::Expr::Identifier(form) = form.as_ref()
        {
            let args = vec![self.expr(value, cx)?, Typed::text(names::fold(form))];
            return self.call("normalize", args, position);
        }
        if name == "grouping" {
            return self.grouping(&arguments, cx, position);
        }
        let typed = if call.over.is_some() && !arguments.variadic {
            self.window_function(&name, call, &arguments, cx, position)
        } else {
            self.plain_call(&name, call, &arguments, cx, position)
        };
        typed.map_err(|mut error| {
            // As it was written.
            let is_qualified = names::parts(&call.name).is_ok_and(|parts| parts.len() > 1);
            let rest = error.message().strip_prefix(&format!("function {name}("));
            if let Some(rest) = rest.filter(|_| is_qualified) {
                let message = format!("function pg_catalog.{name}({rest}");
                error.fields_mut().message = message;
            }
            error
        })
    }

    /// An aggregate, a scalar function or a set-returning one, whichever has the name.
    fn plain_call(
        &self,
        name: &str,
        call: &Function,
        arguments: &Arguments<'_>,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<Typed> {
        let inner = cx.within(Within::Aggregate);
        let is_hypothetical = !call.within_group.is_empty() && functions::is_hypothetical(name);
        let is_aggregate = functions::is_aggregate(name) || is_hypothetical;
        if is_aggregate && !arguments.variadic {
            let is_bare = arguments.values.is_empty() && !arguments.star;
            if is_bare && call.within_group.is_empty() {
                return Err(self.at(
                    SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!(
                            "{name}(*) must be used to call a parameterless aggregate function"
                        ),
                    ),
                    position,
                ));
            }
            let aggregate = self.aggregate_call(call, arguments, inner)?;
            let level = self.aggregate_level(&aggregate, cx, position)?;
            let mut aggregate = self.of_level(aggregate, level, cx.scope)?;
            if aggregate.order_by.is_empty() && !aggregate.distinct && !aggregate.within_group {
                aggregate.order_by.clone_from(&cx.scope.outwards(level).arrival);
            }
            let typed = functions::aggregate(name, aggregate, &self.env)
                .map_err(|error| self.at(error, position))?;
            let typed = typed.ok_or_else(|| self.at(functions::undefined(name, &[]), position))?;
            return Ok(self.placed(typed, name, level, cx.scope, position));
        }
        self.refuse_aggregate_syntax(name, call, arguments, position)?;
        if let FunctionArguments::List(list) = &call.args
            && let Some(value) = self.call_as_value(&call.name, &list.args, cx)?
        {
            return Ok(value);
        }
        if functions::is_window(name) {
            return Err(self.at(
                SqlError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("window function {name} requires an OVER clause"),
                ),
                position,
            ));
        }
        let args = self.call_values(name, arguments, cx, position)?;
        if name == "coalesce" {
            for (value, arg) in arguments.values.iter().zip(&args) {
                self.refuse_set(&arg.expr, "COALESCE", self.start(value.as_ref()))?;
            }
        }
        if let Some(subscript) = self.call_with_vector(name, &args, cx, position)? {
            return Ok(subscript);
        }
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let call = if arguments.variadic { functions::variadic } else { functions::scalar };
        let scalar = call(name, args.clone(), &self.env).map_err(|error| {
            let values = arguments.values.iter().map(AsRef::as_ref).zip(&types);
            let position = match (name, casts::unmatched(&types)) {
                ("coalesce" | "greatest" | "least", Some(at)) => {
                    arguments.values.get(at).map_or(position, |value| self.start(value.as_ref()))
                }
                _ => self.blame(&error, values, position),
            };
            self.at(error, position)
        })?;
        if let Some(typed) = scalar {
            return Ok(typed);
        }
        if arguments.variadic {
            return Err(self.at(functions::undefined(name, &types), position));
        }
        let (called, args) = self.series_over_vector(name, args, cx, position)?;
        let table =
            functions::table(called, args, &self.env).map_err(|error| self.at(error, position))?;
        let Some(table) = table else {
            return Err(self.at(functions::undefined(name, &types), position));
        };
        let calls = match cx.within {
            _ if !cx.clause.allows_sets() => return Err(self.at(cx.clause.no_sets(), position)),
            Within::Nothing => None,
            Within::Aggregate => Some("aggregate"),
            Within::Window => Some("window"),
        };
        if let Some(calls) = calls {
            let message =
                format!("{calls} function calls cannot contain set-returning function calls");
            return Err(self.at(Clause::no_sets_within(message), position));
        }
        let value = |list| Expr::Unnest(Unnest { expr: Box::new(list), outer: false });
        let mut columns = table.columns;
        if columns.len() == 1
            && let Some(column) = columns.pop()
        {
            return Ok(Typed { expr: value(column.list), ty: column.ty });
        }
        // Several arrays are unnested side by side in FROM only.
        if name == "unnest" {
            return Err(self.at(functions::undefined(name, &types), position));
        }
        let fields = columns
            .into_iter()
            .map(|column| (column.name, Typed { expr: value(column.list), ty: column.ty }));
        // Rows that other sets fill up have no record. Each of these functions has a column that is
        // never NULL.
        functions::records::record(fields.collect(), true, &self.env)
            .map_err(|error| self.at(error, position))
    }

    fn aggregate_call(
        &self,
        call: &Function,
        arguments: &Arguments<'_>,
        cx: Context<'_>,
    ) -> SqlResult<AggregateCall> {
        let filter = match &call.filter {
            Some(filter) => Some(self.test(filter, "FILTER", cx.clause(Clause::Filter))?),
            None => None,
        };
        let (order_by, within_group) = if call.within_group.is_empty() {
            (arguments.order_by, false)
        } else {
            (call.within_group.as_slice(), true)
        };
        let args = self.bare_values(arguments, cx)?;
        let keys = order_by;
        let order_by = self.sort_expressions(keys, cx)?;
        if arguments.distinct {
            // A bare literal is the same as another only where both stay without a type.
            let takes_any = names::last(&call.name).is_ok_and(|name| {
                matches!(&*name, "count" | "json_object_agg" | "jsonb_object_agg")
            });
            let is_argument = |(key, written): (&OrderBy, &ast::OrderByExpr)| {
                (takes_any || !is_untyped(&written.expr))
                    && args.iter().any(|arg| arg.expr == key.value.expr)
            };
            let wrong = order_by.iter().zip(keys).position(|pair| !is_argument(pair));
            if let Some(at) = wrong {
                let error = SqlError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument \
                     list",
                );
                return Err(self.at(error, self.start(&keys[at].expr)));
            }
        }
        Ok(AggregateCall { args, distinct: arguments.distinct, filter, order_by, within_group })
    }

    /// Sort keys that are expressions only: inside aggregates and windows, numbers are constants.
    pub fn sort_expressions(
        &self,
        keys: &[ast::OrderByExpr],
        cx: Context<'_>,
    ) -> SqlResult<Vec<OrderBy>> {
        keys.iter()
            .map(|key| {
                let value = self.resolved(&key.expr, cx)?;
                let ascending = key.options.asc.unwrap_or(true);
                Ok(OrderBy {
                    value,
                    ascending,
                    nulls_first: key.options.nulls_first.unwrap_or(!ascending),
                })
            })
            .collect()
    }

    fn refuse_aggregate_syntax(
        &self,
        name: &str,
        call: &Function,
        arguments: &Arguments<'_>,
        position: u32,
    ) -> SqlResult<()> {
        if arguments.star {
            return Err(self.at(functions::undefined(name, &[]), position));
        }
        let what = if arguments.distinct {
            format!("DISTINCT specified, but {name} is not an aggregate function")
        } else if !call.within_group.is_empty() {
            format!("WITHIN GROUP specified, but {name} is not an aggregate function")
        } else if !arguments.order_by.is_empty() {
            format!("ORDER BY specified, but {name} is not an aggregate function")
        } else if call.filter.is_some() {
            format!("FILTER specified, but {name} is not an aggregate function")
        } else {
            return Ok(());
        };
        Err(self.at(SqlError::new(SqlState::WRONG_OBJECT_TYPE, what), position))
    }

    /// Argument values in positional order.
    pub fn bare_values(&self, arguments: &Arguments<'_>, cx: Context<'_>) -> SqlResult<Vec<Typed>> {
        let values = arguments.values.iter().map(|value| self.expr(value, cx));
        values.filter(|value| !value.as_ref().is_ok_and(is_output_parameter)).collect()
    }

    /// Argument values with named ones put in their places.
    fn call_values(
        &self,
        name: &str,
        arguments: &Arguments<'_>,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<Vec<Typed>> {
        let values = self.bare_values(arguments, cx)?;
        self.in_their_places(name, values, &arguments.names, position)
    }

    /// A function's name without `pg_catalog`; other schemas hold none.
    fn function_name(&self, call: &Function, position: u32) -> SqlResult<String> {
        let (schema, name) = names::qualified(&call.name, &self.env.identity.database)
            .map_err(|error| self.at(error, position))?;
        match schema.as_deref() {
            None | Some("pg_catalog" | "information_schema") => Ok(name),
            Some("citus" | "public") if functions::is_known(&name) => Ok(name),
            Some(schema) if !self.catalog.schema_exists(schema) => {
                let message = format!("schema \"{schema}\" does not exist");
                Err(self.at(SqlError::new(SqlState::INVALID_SCHEMA_NAME, message), position))
            }
            Some(schema) => {
                Err(self.at(functions::undefined(&format!("{schema}.{name}"), &[]), position))
            }
        }
    }

    /// Takes the arguments apart and refuses what PostgreSQL does not have.
    pub fn arguments<'e>(&self, call: &'e Function) -> SqlResult<Arguments<'e>> {
        let mut arguments = Arguments {
            values: Vec::new(),
            names: Vec::new(),
            star: false,
            variadic: false,
            distinct: false,
            order_by: &[],
            respect_nulls: call.null_treatment.as_ref(),
        };
        if call.parameters != FunctionArguments::None {
            return Err(self.not_postgresql(&call.name));
        }
        let FunctionArguments::List(list) = &call.args else { return Ok(arguments) };
        arguments.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(keys) => arguments.order_by = keys,
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    arguments.respect_nulls = Some(treatment);
                }
                _ => return Err(self.not_postgresql(&call.name)),
            }
        }
        for (at, arg) in list.args.iter().enumerate() {
            let (name, value) = match arg {
                FunctionArg::Unnamed(value) => (None, value),
                FunctionArg::Named { name, arg, .. } => (Some(names::fold(name)), arg),
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => {
                    (Some(names::fold(name)), arg)
                }
                FunctionArg::ExprNamed { .. } => return Err(self.not_postgresql(&call.name)),
            };
            match value {
                FunctionArgExpr::Expr(ast::Expr::Prefixed { prefix, value })
                    if prefix.value == VARIADIC && at + 1 == list.args.len() =>
                {
                    arguments.variadic = true;
                    arguments.values.push(Cow::Borrowed(value));
                    arguments.names.push(name);
                }
                FunctionArgExpr::Expr(value) => {
                    arguments.values.push(Cow::Borrowed(value));
                    arguments.names.push(name);
                }
                FunctionArgExpr::Wildcard if name.is_none() => arguments.star = true,
                FunctionArgExpr::QualifiedWildcard(relation) => {
                    let parts = names::parts(relation)?;
                    let row = match parts.as_slice() {
                        [relation] => ast::Expr::Identifier((*relation).clone()),
                        _ => return Err(self.not_postgresql(&call.name)),
                    };
                    arguments.values.push(Cow::Owned(row));
                    arguments.names.push(name);
                }
                FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_) => {
                    return Err(self.not_postgresql(&call.name));
                }
            }
        }
        Ok(arguments)
    }
}

/// Whether it is a string or NULL without a type of its own.
fn is_untyped(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => is_untyped(inner),
        ast::Expr::Value(value) => !matches!(
            value.value,
            ast::Value::Number(..) | ast::Value::Boolean(_) | ast::Value::Placeholder(_)
        ),
        _ => false,
    }
}
