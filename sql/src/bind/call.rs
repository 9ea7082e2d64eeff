//! Functions that act on the cluster: carried out by the session, as a statement of their own or
//! before the statement that reads what they answer.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, arrow_types};
use sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, GroupByExpr, SelectItem, SetExpr, Spanned,
    TableFactor,
};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::from::From;
use super::names::{self, fold};
use super::plan;
use super::scope::{Entry, Scope, ScopeColumn};
use super::window::NamedWindows;
use crate::bound::{Bound, BoundCall};
use crate::casts::CastKind;
use crate::functions::Typed;
use crate::table::ScanSource;

/// A parameter: its name, its type, and whether it may be left out.
type Parameter = (&'static str, PgType, bool);

const fn required(name: &'static str, ty: PgType) -> Parameter {
    (name, ty, false)
}

const fn optional(name: &'static str, ty: PgType) -> Parameter {
    (name, ty, true)
}

/// One bigint, or two integers.
const ADVISORY: &[Parameter] = &[required("key", PgType::Int8), optional("key2", PgType::Int4)];

/// Functions and their parameters, as Citus 13 and PostgreSQL declare them.
const FUNCTIONS: &[(&str, &[Parameter])] = &[
    (
        "create_distributed_table",
        &[
            required("table_name", PgType::Regclass),
            required("distribution_column", PgType::Text),
            optional("distribution_type", PgType::Text),
            optional("colocate_with", PgType::Text),
            optional("shard_count", PgType::Int4),
        ],
    ),
    (
        "create_distributed_table_concurrently",
        &[
            required("table_name", PgType::Regclass),
            required("distribution_column", PgType::Text),
            optional("distribution_type", PgType::Text),
            optional("colocate_with", PgType::Text),
            optional("shard_count", PgType::Int4),
        ],
    ),
    ("create_reference_table", &[required("table_name", PgType::Regclass)]),
    (
        "citus_add_local_table_to_metadata",
        &[
            required("table_name", PgType::Regclass),
            optional("cascade_via_foreign_keys", PgType::Bool),
        ],
    ),
    (
        "undistribute_table",
        &[
            required("table_name", PgType::Regclass),
            optional("cascade_via_foreign_keys", PgType::Bool),
        ],
    ),
    (
        "alter_distributed_table",
        &[
            required("table_name", PgType::Regclass),
            optional("distribution_column", PgType::Text),
            optional("shard_count", PgType::Int4),
            optional("colocate_with", PgType::Text),
            optional("cascade_to_colocated", PgType::Bool),
        ],
    ),
    (
        "update_distributed_table_colocation",
        &[required("table_name", PgType::Regclass), required("colocate_with", PgType::Text)],
    ),
    (
        "truncate_local_data_after_distributing_table",
        &[required("function_name", PgType::Regclass)],
    ),
    (
        "citus_add_node",
        &[
            required("nodename", PgType::Text),
            required("nodeport", PgType::Int4),
            optional("groupid", PgType::Int4),
            optional("noderole", PgType::Text),
            optional("nodecluster", PgType::Name),
        ],
    ),
    (
        "citus_add_inactive_node",
        &[
            required("nodename", PgType::Text),
            required("nodeport", PgType::Int4),
            optional("groupid", PgType::Int4),
            optional("noderole", PgType::Text),
            optional("nodecluster", PgType::Name),
        ],
    ),
    (
        "citus_activate_node",
        &[required("nodename", PgType::Text), required("nodeport", PgType::Int4)],
    ),
    (
        "citus_disable_node",
        &[
            required("nodename", PgType::Text),
            required("nodeport", PgType::Int4),
            optional("synchronous", PgType::Bool),
        ],
    ),
    (
        "citus_remove_node",
        &[required("nodename", PgType::Text), required("nodeport", PgType::Int4)],
    ),
    (
        "citus_update_node",
        &[
            required("node_id", PgType::Int4),
            required("new_node_name", PgType::Text),
            required("new_node_port", PgType::Int4),
            optional("force", PgType::Bool),
            optional("lock_cooldown", PgType::Int4),
        ],
    ),
    (
        "citus_set_node_property",
        &[
            required("nodename", PgType::Text),
            required("nodeport", PgType::Int4),
            required("property", PgType::Text),
            required("value", PgType::Bool),
        ],
    ),
    (
        "citus_set_coordinator_host",
        &[
            required("host", PgType::Text),
            optional("port", PgType::Int4),
            optional("node_role", PgType::Text),
            optional("node_cluster", PgType::Name),
        ],
    ),
    (
        "citus_drain_node",
        &[
            required("nodename", PgType::Text),
            required("nodeport", PgType::Int4),
            optional("shard_transfer_mode", PgType::Text),
            optional("rebalance_strategy", PgType::Name),
        ],
    ),
    (
        "rebalance_table_shards",
        &[
            optional("relation", PgType::Regclass),
            optional("threshold", PgType::Float4),
            optional("max_shard_moves", PgType::Int4),
            optional("excluded_shard_list", PgType::Text),
            optional("shard_transfer_mode", PgType::Text),
            optional("drain_only", PgType::Bool),
            optional("rebalance_strategy", PgType::Name),
        ],
    ),
    (
        "get_rebalance_table_shards_plan",
        &[
            optional("relation", PgType::Regclass),
            optional("threshold", PgType::Float4),
            optional("max_shard_moves", PgType::Int4),
            optional("excluded_shard_list", PgType::Text),
            optional("drain_only", PgType::Bool),
            optional("rebalance_strategy", PgType::Name),
            optional("improvement_threshold", PgType::Float4),
        ],
    ),
    ("get_rebalance_progress", &[]),
    (
        "citus_rebalance_start",
        &[
            optional("rebalance_strategy", PgType::Name),
            optional("drain_only", PgType::Bool),
            optional("shard_transfer_mode", PgType::Text),
        ],
    ),
    ("citus_rebalance_stop", &[]),
    ("citus_rebalance_wait", &[]),
    ("citus_rebalance_status", &[optional("raw", PgType::Bool)]),
    (
        "citus_move_shard_placement",
        &[
            required("shard_id", PgType::Int8),
            required("source_node_name", PgType::Text),
            required("source_node_port", PgType::Int4),
            required("target_node_name", PgType::Text),
            required("target_node_port", PgType::Int4),
            optional("shard_transfer_mode", PgType::Text),
        ],
    ),
    (
        "citus_move_shard_placement",
        &[
            required("shard_id", PgType::Int8),
            required("source_node_id", PgType::Int4),
            required("target_node_id", PgType::Int4),
            optional("shard_transfer_mode", PgType::Text),
        ],
    ),
    (
        "run_command_on_workers",
        &[required("command", PgType::Text), optional("parallel", PgType::Bool)],
    ),
    (
        "run_command_on_coordinator",
        &[required("command", PgType::Text), optional("parallel", PgType::Bool)],
    ),
    (
        "run_command_on_placements",
        &[
            required("table_name", PgType::Regclass),
            required("command", PgType::Text),
            optional("parallel", PgType::Bool),
        ],
    ),
    (
        "run_command_on_all_nodes",
        &[
            required("command", PgType::Text),
            optional("parallel", PgType::Bool),
            optional("give_warning_for_connection_errors", PgType::Bool),
        ],
    ),
    (
        "run_command_on_shards",
        &[
            required("table_name", PgType::Regclass),
            required("command", PgType::Text),
            optional("parallel", PgType::Bool),
        ],
    ),
    ("citus_cleanup_orphaned_resources", &[]),
    (
        "isolate_tenant_to_new_shard",
        &[
            required("table_name", PgType::Regclass),
            required("tenant_id", PgType::Text),
            optional("cascade_option", PgType::Text),
            optional("shard_transfer_mode", PgType::Text),
        ],
    ),
    (
        "citus_split_shard_by_split_points",
        &[
            required("shard_id", PgType::Int8),
            required("split_points", PgType::Text),
            required("node_ids", PgType::Text),
            optional("shard_transfer_mode", PgType::Text),
        ],
    ),
    ("citus_stat_statements_reset", &[]),
    ("citus_stat_tenants_reset", &[]),
    ("satsuma_backup", &[]),
    ("satsuma_coordinators", &[]),
    ("satsuma_catalog_digest", &[]),
    (
        "satsuma_add_coordinator",
        &[required("nodeid", PgType::Int4), required("grpc_address", PgType::Text)],
    ),
    (
        "satsuma_update_coordinator",
        &[required("nodeid", PgType::Int4), required("grpc_address", PgType::Text)],
    ),
    ("satsuma_remove_coordinator", &[required("nodeid", PgType::Int4)]),
    (
        "citus_check_connection_to_node",
        &[required("nodename", PgType::Text), optional("nodeport", PgType::Int4)],
    ),
    ("replicate_reference_tables", &[optional("shard_transfer_mode", PgType::Text)]),
    ("citus_get_active_worker_nodes", &[]),
    ("citus_check_cluster_node_health", &[]),
    (
        "citus_job_wait",
        &[required("jobid", PgType::Int8), optional("desired_status", PgType::Text)],
    ),
    ("citus_job_cancel", &[required("jobid", PgType::Int8)]),
    ("citus_job_list", &[]),
    ("citus_job_status", &[required("job_id", PgType::Int8), optional("raw", PgType::Bool)]),
    ("pg_cancel_backend", &[required("pid", PgType::Int8)]),
    ("pg_terminate_backend", &[required("pid", PgType::Int8), optional("timeout", PgType::Int8)]),
    ("pg_advisory_lock", ADVISORY),
    ("pg_advisory_lock_shared", ADVISORY),
    ("pg_advisory_xact_lock", ADVISORY),
    ("pg_advisory_xact_lock_shared", ADVISORY),
    ("pg_try_advisory_lock", ADVISORY),
    ("pg_try_advisory_lock_shared", ADVISORY),
    ("pg_try_advisory_xact_lock", ADVISORY),
    ("pg_try_advisory_xact_lock_shared", ADVISORY),
    ("pg_advisory_unlock", ADVISORY),
    ("pg_advisory_unlock_shared", ADVISORY),
    ("pg_advisory_unlock_all", &[]),
    ("pg_sleep", &[required("seconds", PgType::Float8)]),
    ("pg_sleep_for", &[required("duration", PgType::Interval)]),
    ("pg_sleep_until", &[required("moment", PgType::Timestamptz)]),
    ("pg_reload_conf", &[]),
];

/// Names that older versions of Citus used.
const OLD_NAMES: &[(&str, &str)] = &[
    ("master_add_node", "citus_add_node"),
    ("master_remove_node", "citus_remove_node"),
    ("master_activate_node", "citus_activate_node"),
    ("master_disable_node", "citus_disable_node"),
    ("master_drain_node", "citus_drain_node"),
    ("master_update_node", "citus_update_node"),
    ("master_move_shard_placement", "citus_move_shard_placement"),
    ("master_set_node_property", "citus_set_node_property"),
    ("master_get_active_worker_nodes", "citus_get_active_worker_nodes"),
];

/// A cluster function.
struct Known {
    /// As it was called.
    name: String,
    canonical: &'static str,
    parameters: &'static [Parameter],
}

impl Known {
    /// Whether it is no function of values besides.
    fn is_of_the_cluster(&self) -> bool {
        crate::functions::library::functions().named(self.canonical).is_empty()
    }

    fn misplaced(&self) -> SqlError {
        misplaced(&self.name)
    }
}

fn misplaced(name: &str) -> SqlError {
    SqlError::unsupported(format!("function {name} acts on the cluster and cannot be called here"))
        .hint("Call it in a SELECT of its own.")
}

/// Whether there is a function of that name that acts on the cluster.
pub fn is_cluster_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _)| *known == name)
        || OLD_NAMES.iter().any(|(old, _)| *old == name)
}

/// What a cluster function's call looks like in a query.
struct Written<'q> {
    name: &'q ast::ObjectName,
    args: &'q [FunctionArg],
    alias: Option<String>,
    as_relation: bool,
}

impl Binder<'_> {
    /// The call that a query consists of, if it is one of a cluster function.
    pub fn cluster_call(&self, query: &ast::Query) -> SqlResult<Option<BoundCall>> {
        match call_of(query) {
            Some(written) => self.written_call(written),
            None => self.call_for_each_row(query),
        }
    }

    fn written_call(&self, written: Written<'_>) -> SqlResult<Option<BoundCall>> {
        let Some(known) = self.known(written.name, written.args.len()) else { return Ok(None) };
        let position = self.position(written.name.span());
        let constant = |value: &ast::Expr| self.constant(value);
        let arguments = self.call_arguments(&known, written.args, position, constant)?;
        Ok(Some(BoundCall {
            name: known.canonical.to_string(),
            column: written.alias.unwrap_or(known.name),
            arguments,
            each: None,
            as_relation: written.as_relation,
        }))
    }

    /// The cluster function of that name, in the form that takes so many arguments.
    fn known(&self, name: &ast::ObjectName, given: usize) -> Option<Known> {
        let (schema, name) = names::qualified(name, &self.env.identity.database).ok()?;
        if !matches!(schema.as_deref(), None | Some("pg_catalog" | "citus" | "public")) {
            return None;
        }
        let canonical =
            OLD_NAMES.iter().find(|(old, _)| *old == name).map_or(name.as_str(), |n| n.1);
        let forms = || FUNCTIONS.iter().filter(|(known, _)| *known == canonical);
        let fits = |parameters: &[Parameter]| {
            let required = parameters.iter().filter(|(_, _, optional)| !optional).count();
            (required..=parameters.len()).contains(&given)
        };
        let fitting = forms().find(|(_, parameters)| fits(parameters));
        let (canonical, parameters) = *fitting.or_else(|| forms().next())?;
        Some(Known { name, canonical, parameters })
    }

    /// `SELECT f(a, ..) FROM ..`: a call for each row.
    fn call_for_each_row(&self, query: &ast::Query) -> SqlResult<Option<BoundCall>> {
        let Some(written) = call_over_rows(query) else { return Ok(None) };
        let Some(known) =
            self.known(written.name, written.args.len()).filter(Known::is_of_the_cluster)
        else {
            return Ok(None);
        };
        let position = self.position(written.name.span());
        // What reads no column is bound as in a call that stands alone.
        let values: Vec<&ast::Expr> = written
            .args
            .iter()
            .filter_map(value_of)
            .filter(|value| self.constant(value).is_err())
            .collect();
        let mut rows = query.clone();
        if let SetExpr::Select(select) = rows.body.as_mut() {
            select.projection =
                values.iter().map(|value| SelectItem::UnnamedExpr((*value).clone())).collect();
        }
        let ctes = Ctes::top();
        let rows = self.query(&rows, None, &ctes)?.into_bound()?;
        // A backup is one of the whole cluster.
        if known.canonical == "satsuma_backup" || !ctes.into_changes().is_empty() {
            return Err(self.at(known.misplaced(), position));
        }
        let mut columns = rows.plan.schema().columns().into_iter().zip(&rows.columns);
        let arguments = self.call_arguments(&known, written.args, position, |value| match self
            .constant(value)
        {
            Err(_) if values.contains(&value) => match columns.next() {
                Some((column, output)) => {
                    Ok(Typed { expr: Expr::Column(column), ty: output.ty.clone() })
                }
                None => Err(SqlError::internal("an argument is no column")),
            },
            constant => constant,
        })?;
        Ok(Some(BoundCall {
            name: known.canonical.to_string(),
            column: written.alias.unwrap_or(known.name),
            arguments,
            each: Some(rows.plan),
            as_relation: false,
        }))
    }

    /// A value in which nothing can be read.
    fn constant(&self, value: &ast::Expr) -> SqlResult<Typed> {
        let scope = Scope::default();
        let (ctes, windows) = (Ctes::default(), NamedWindows::default());
        self.expr(value, Context::new(&scope, &ctes, &windows, Clause::Call))
    }

    /// Such a function in FROM: it is called first, once, and the statement reads its rows. `None`
    /// for any other function.
    pub fn call_in_from(
        &self,
        name: &ast::ObjectName,
        args: &[FunctionArg],
        ctes: &Ctes<'_>,
    ) -> SqlResult<Option<From>> {
        let written = Written { name, args, alias: None, as_relation: true };
        let Some(call) = self.written_call(written)? else { return Ok(None) };
        let position = self.position(name.span());
        let shown = call.column.clone();
        let (scan, columns) = self.call_first(call, ctes, position)?;
        let is_scalar = columns.len() == 1;
        let mut entry = Entry::new(shown, columns);
        entry.scalar = is_scalar;
        Ok(Some(From::new(scan, vec![entry])))
    }

    /// Such a function as a value of a select list without FROM.
    pub fn call_as_value(
        &self,
        name: &ast::ObjectName,
        args: &[FunctionArg],
        cx: Context<'_>,
    ) -> SqlResult<Option<Typed>> {
        let is_alone =
            cx.clause == Clause::Select && cx.scope.parent.is_none() && cx.scope.entries.is_empty();
        if !is_alone {
            return match self.known(name, args.len()).filter(Known::is_of_the_cluster) {
                Some(known) => Err(self.at(known.misplaced(), self.position(name.span()))),
                None => Ok(None),
            };
        }
        let written = Written { name, args, alias: None, as_relation: false };
        let Some(call) = self.written_call(written)? else { return Ok(None) };
        let position = self.position(name.span());
        let shown = call.column.clone();
        let (scan, columns) = self.call_first(call, cx.ctes, position)?;
        let [column] = columns.as_slice() else {
            return Err(self.at(
                SqlError::unsupported(format!(
                    "function {shown} returns several columns and is supported in FROM only"
                )),
                position,
            ));
        };
        let value = plan::project(scan, vec![Expr::Column(column.column.clone())])?;
        let expr = Expr::ScalarSubquery(super::subquery::subquery(value));
        Ok(Some(Typed { expr, ty: column.ty.clone() }))
    }

    /// Notes the call as one to be made before the statement, and reads what it answers.
    fn call_first(
        &self,
        call: BoundCall,
        ctes: &Ctes<'_>,
        position: u32,
    ) -> SqlResult<(LogicalPlan, Vec<ScopeColumn>)> {
        let Some(changes) = ctes.calls() else {
            return Err(self.at(misplaced(&call.name), position));
        };
        let answered = self.catalog.columns_of_call(&call)?;
        let fields: Vec<_> = answered
            .iter()
            .enumerate()
            .map(|(at, column)| arrow_types::field(format!("c{at}"), &column.ty, true))
            .collect();
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
        let number = u32::try_from(changes.borrow().len()).unwrap_or(u32::MAX);
        let alias = format!("{}#{}", plan::safe_name(&call.name), self.number());
        let scan = plan::scan(&alias, ScanSource::returned(number, schema))?;
        let columns = answered
            .into_iter()
            .zip(scan.schema().columns())
            .map(|(column, read)| ScopeColumn {
                name: column.name,
                column: read,
                ty: column.ty,
                origin: None,
                typmod: -1,
            })
            .collect();
        changes.borrow_mut().push(Bound::Call(call));
        Ok((scan, columns))
    }

    /// The given arguments in the parameters' order; `bind` is asked for each as it is written.
    fn call_arguments(
        &self,
        known: &Known,
        args: &[FunctionArg],
        position: u32,
        mut bind: impl FnMut(&ast::Expr) -> SqlResult<Typed>,
    ) -> SqlResult<Vec<Option<Expr>>> {
        let Known { name, parameters, .. } = known;
        let mut slots = vec![None; parameters.len()];
        let mut types = Vec::new();
        let mut misfit = false;
        for (index, arg) in args.iter().enumerate() {
            let (slot, value) = match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(index), value),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    let name = fold(name);
                    (parameters.iter().position(|(p, _, _)| *p == name), value)
                }
                FunctionArg::ExprNamed {
                    name: ast::Expr::Identifier(name),
                    arg: FunctionArgExpr::Expr(value),
                    ..
                } => {
                    let name = fold(name);
                    (parameters.iter().position(|(p, _, _)| *p == name), value)
                }
                _ => return Err(self.at(crate::functions::undefined(name, &[]), position)),
            };
            let typed = bind(value)?;
            types.push(typed.ty.clone());
            let Some((slot, (parameter, ty, _))) =
                slot.and_then(|slot| Some((slot, parameters.get(slot)?)))
            else {
                misfit = true;
                continue;
            };
            if slots[slot].is_some() {
                misfit = true;
                continue;
            }
            // Of any type, and lists: as text.
            let as_text = matches!(
                *parameter,
                "tenant_id" | "split_points" | "node_ids" | "excluded_shard_list"
            );
            let kind = if as_text { CastKind::Explicit } else { CastKind::Implicit };
            match self.cast_at(typed, ty, kind, self.start(value)) {
                Ok(typed) => slots[slot] = Some(typed.expr),
                Err(error) if error.state() == SqlState::CANNOT_COERCE => misfit = true,
                Err(error) => return Err(error),
            }
        }
        let missing = slots
            .iter()
            .zip(*parameters)
            .any(|(slot, (_, _, optional))| slot.is_none() && !optional);
        if misfit || missing {
            return Err(self.at(crate::functions::undefined(name, &types), position));
        }
        Ok(slots)
    }
}

/// `SELECT f(..)` without FROM, or `SELECT * FROM f(..)`, and nothing else.
fn call_of(query: &ast::Query) -> Option<Written<'_>> {
    let bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain = select.distinct.is_none()
        && select.selection.is_none()
        && select.having.is_none()
        && select.named_window.is_empty()
        && matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    if !bare || !plain {
        return None;
    }
    let [item] = select.projection.as_slice() else { return None };
    match (item, select.from.as_slice()) {
        (SelectItem::UnnamedExpr(ast::Expr::Function(call)), []) => Some(Written {
            name: &call.name,
            args: args_of(call)?,
            alias: None,
            as_relation: false,
        }),
        (SelectItem::ExprWithAlias { expr: ast::Expr::Function(call), alias }, []) => {
            Some(Written {
                name: &call.name,
                args: args_of(call)?,
                alias: Some(fold(alias)),
                as_relation: false,
            })
        }
        (SelectItem::Wildcard(_), [table]) if table.joins.is_empty() => match &table.relation {
            TableFactor::Table {
                name, args: Some(args), alias, with_ordinality: false, ..
            } => Some(Written {
                name,
                args: &args.args,
                alias: alias.as_ref().map(|alias| fold(&alias.name)),
                as_relation: true,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// `SELECT f(..) FROM ..`.
fn call_over_rows(query: &ast::Query) -> Option<Written<'_>> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain = select.distinct.is_none()
        && select.having.is_none()
        && !select.from.is_empty()
        && matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    let [item] = select.projection.as_slice() else { return None };
    let (call, alias) = match item {
        SelectItem::UnnamedExpr(ast::Expr::Function(call)) => (call, None),
        SelectItem::ExprWithAlias { expr: ast::Expr::Function(call), alias } => {
            (call, Some(fold(alias)))
        }
        _ => return None,
    };
    let args = args_of(call).filter(|_| plain)?;
    Some(Written { name: &call.name, args, alias, as_relation: false })
}

fn value_of(arg: &FunctionArg) -> Option<&ast::Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(value), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(value), .. } => Some(value),
        _ => None,
    }
}

fn args_of(call: &Function) -> Option<&[FunctionArg]> {
    if call.over.is_some() || call.filter.is_some() {
        return None;
    }
    match &call.args {
        ast::FunctionArguments::List(list) if list.duplicate_treatment.is_none() => {
            Some(&list.args)
        }
        _ => None,
    }
}
