//! Statements: which kind, and what each becomes.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, SetExpr, Spanned};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::expr::Context;
use super::scope::{Entry, Scope, ScopeColumn};
use super::window::NamedWindows;
use super::{ExpressionColumn, ExpressionUse, names};
use crate::bound::Bound;
use crate::casts::CastKind;
use crate::catalog_view::{Access, Relation, TableInfo};
use crate::functions;
use crate::parse::{Command, CreateTable, Statement};

impl Binder<'_> {
    pub fn statement(&self, statement: &Statement) -> SqlResult<Bound> {
        match statement {
            Statement::Sql(sql) => self.sql(sql, statement),
            Statement::Copy(copy) => self.copy(copy),
            Statement::Command(command) => match command.as_ref() {
                Command::Merge(merge) => Ok(Bound::Merge(self.merge(merge)?)),
                Command::Declare { query, .. } => self.utility_of(query, statement),
                Command::CreateTable(CreateTable::As(create)) => {
                    if create.materialized_view && has_parameters(&create.query) {
                        return Err(SqlError::unsupported(
                            "materialized views may not be defined using bound parameters",
                        ));
                    }
                    self.utility_of(&create.query, statement)
                }
                _ => Ok(Bound::Utility(Box::new(statement.clone()))),
            },
        }
    }

    fn sql(&self, sql: &ast::Statement, whole: &Statement) -> SqlResult<Bound> {
        match sql {
            ast::Statement::Query(query) if has_into(query) => {
                let mut rows = query.clone();
                if let SetExpr::Select(select) = rows.body.as_mut() {
                    select.into = None;
                }
                self.utility_of(&rows, whole)
            }
            ast::Statement::Query(query) => self.query_statement(query),
            ast::Statement::Insert(insert) => {
                let ctes = Ctes::top_for_calls();
                let insert = Bound::Insert(self.insert(insert, &ctes)?);
                Ok(with_changes(ctes.into_changes(), insert))
            }
            ast::Statement::Update(update) => {
                let ctes = Ctes::top_for_calls();
                let update = Bound::Update(self.update(update, &ctes)?);
                Ok(with_changes(ctes.into_changes(), update))
            }
            ast::Statement::Delete(delete) => {
                let ctes = Ctes::top_for_calls();
                let delete = Bound::Delete(self.delete(delete, &ctes)?);
                Ok(with_changes(ctes.into_changes(), delete))
            }
            ast::Statement::Truncate(truncate) => self.truncate(truncate),
            ast::Statement::Explain { .. } => self.explain(sql),
            ast::Statement::Call(call) => Err(self.no_procedure(call)?),
            _ => Ok(Bound::Utility(Box::new(whole.clone()))),
        }
    }

    /// A utility statement with a query, which is bound when it runs. What it asks of parameters
    /// is known before.
    fn utility_of(&self, query: &ast::Query, whole: &Statement) -> SqlResult<Bound> {
        self.query_statement(query)?;
        Ok(Bound::Utility(Box::new(whole.clone())))
    }

    /// CALL: what it says where there are no procedures.
    fn no_procedure(&self, call: &ast::Function) -> SqlResult<SqlError> {
        let position = self.position(call.name.span());
        let (scope, ctes, windows) = Default::default();
        let cx = Context::new(&scope, &ctes, &windows, Clause::Call);
        let values = self.bare_values(&self.arguments(call)?, cx)?;
        let types: Vec<PgType> = values.into_iter().map(|value| value.ty).collect();
        let text = functions::call_text(&call.name.to_string(), &types);
        let error = match functions::is_known(&names::last(&call.name)?) {
            true => {
                SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("{text} is not a procedure"))
                    .hint("To call a function, use SELECT.")
            }
            false => SqlError::new(
                SqlState::UNDEFINED_FUNCTION,
                format!("procedure {text} does not exist"),
            )
            .hint(
                "No procedure matches the given name and argument types. You might need to add \
                 explicit type casts.",
            ),
        };
        Ok(self.at(error, position))
    }

    pub fn query_statement(&self, query: &ast::Query) -> SqlResult<Bound> {
        // WITH .. INSERT parses as a query with a statement for its body.
        let modifying = matches!(
            query.body.as_ref(),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        );
        if modifying {
            let ctes = Ctes::top();
            self.with(query, None, &ctes)?;
            let statement = self.change_statement(query.body.as_ref(), &ctes)?;
            return Ok(with_changes(ctes.into_changes(), statement));
        }
        if let Some(call) = self.cluster_call(query)? {
            return Ok(Bound::Call(call));
        }
        let ctes = Ctes::top();
        let rows = self.query(query, None, &ctes)?;
        Ok(with_changes(ctes.into_changes(), Bound::Query(rows.into_bound()?)))
    }

    /// INSERT, UPDATE or DELETE where a query could stand.
    pub fn change_statement(&self, body: &SetExpr, ctes: &Ctes<'_>) -> SqlResult<Bound> {
        match body {
            SetExpr::Insert(ast::Statement::Insert(insert)) => {
                Ok(Bound::Insert(self.insert(insert, ctes)?))
            }
            SetExpr::Update(ast::Statement::Update(update)) => {
                Ok(Bound::Update(self.update(update, ctes)?))
            }
            SetExpr::Delete(ast::Statement::Delete(delete)) => {
                Ok(Bound::Delete(self.delete(delete, ctes)?))
            }
            _ => Err(SqlError::unsupported("MERGE is not supported")),
        }
    }

    fn truncate(&self, truncate: &ast::Truncate) -> SqlResult<Bound> {
        if truncate.partitions.is_some() || truncate.if_exists || truncate.on_cluster.is_some() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "syntax error in TRUNCATE: a clause that PostgreSQL does not have",
            ));
        }
        let mut tables: Vec<Arc<TableInfo>> = Vec::new();
        for target in &truncate.table_names {
            let table = self.target_table(&target.name, "truncate")?;
            self.check_access(&table, Access::Truncate)?;
            if !tables.iter().any(|known| known.shape.table == table.shape.table) {
                tables.push(table);
            }
        }
        Ok(Bound::Truncate {
            tables,
            cascade: matches!(truncate.cascade, Some(ast::CascadeOption::Cascade)),
            restart_identity: matches!(
                truncate.identity,
                Some(ast::TruncateIdentityOption::Restart)
            ),
        })
    }

    /// The table that a statement changes.
    pub fn target_table(&self, name: &ast::ObjectName, verb: &str) -> SqlResult<Arc<TableInfo>> {
        let position = self.position(name.span());
        let (schema, relation) = names::qualified(name, &self.env.identity.database)
            .map_err(|error| self.at(error, position))?;
        match self.relation_or_error(schema.as_deref(), &relation, position)? {
            Relation::Table(info) if self.catalog.is_materialized(info.shape.table) => {
                Err(materialized(&relation, verb))
            }
            Relation::Table(info) => Ok(info),
            Relation::View(_) if verb == "truncate" => Err(not_a_table(&relation)),
            Relation::View(_) if verb == "copy to" => Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot copy to view \"{relation}\""),
            )
            .hint("To enable copying to a view, provide an INSTEAD OF INSERT trigger.")),
            Relation::View(_) => Err(SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("cannot {verb} view \"{relation}\""),
            )
            .detail("Views are read only.")),
            Relation::Sequence(_) if verb == "truncate" => Err(not_a_table(&relation)),
            Relation::Sequence(_) => Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot change sequence \"{relation}\""),
            )),
            Relation::System(_) => Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{relation}\" is a system catalog"),
            )),
        }
    }

    /// An expression of a table definition: see [`super::check_expression`].
    pub fn table_expression(
        &self,
        expr: &ast::Expr,
        columns: &[ExpressionColumn],
        usage: ExpressionUse,
        to: Option<&PgType>,
    ) -> SqlResult<(Expr, PgType)> {
        let clause = match usage {
            ExpressionUse::Check => Clause::Check,
            ExpressionUse::Default => Clause::Default,
            ExpressionUse::Generated => Clause::Generated,
            ExpressionUse::Using => Clause::Transform,
            ExpressionUse::Index => Clause::Index,
            ExpressionUse::IndexPredicate => Clause::IndexPredicate,
        };
        let mut entries = Vec::new();
        if usage != ExpressionUse::Default {
            let columns = columns
                .iter()
                .map(|column| ScopeColumn {
                    name: column.name.clone(),
                    column: Column::new_unqualified(&column.name),
                    ty: column.ty.clone(),
                    origin: None,
                    typmod: column.ty.typmod(),
                })
                .collect();
            entries.push(Entry::new("", columns));
        }
        let scope = Scope::new(None, entries);
        let (ctes, windows) = (Ctes::default(), NamedWindows::default());
        let cx = Context::new(&scope, &ctes, &windows, clause);
        let typed = match usage {
            ExpressionUse::Check | ExpressionUse::IndexPredicate => {
                let what = if usage == ExpressionUse::Check { "CHECK" } else { "WHERE" };
                let condition = self.condition(expr, what, cx)?;
                return Ok((condition, PgType::Bool));
            }
            _ => self.expr(expr, cx).map_err(|error| match usage {
                ExpressionUse::Default if error.state() == SqlState::UNDEFINED_COLUMN => self.at(
                    SqlError::unsupported("cannot use column reference in DEFAULT expression"),
                    self.start(expr),
                ),
                _ => error,
            })?,
        };
        let volatile = typed.expr.is_volatile();
        if volatile && usage == ExpressionUse::Generated {
            return Err(SqlError::new(
                SqlState::INVALID_OBJECT_DEFINITION,
                "generation expression is not immutable",
            ));
        }
        if volatile && usage == ExpressionUse::Index {
            return Err(SqlError::new(
                SqlState::INVALID_OBJECT_DEFINITION,
                "functions in index expression must be marked IMMUTABLE",
            ));
        }
        let typed = match to {
            Some(ty) => {
                let from = typed.ty.clone();
                self.cast_at(typed, ty, CastKind::Assignment, self.start(expr)).map_err(
                    |error| {
                        if error.state() != SqlState::CANNOT_COERCE {
                            return error;
                        }
                        // PostgreSQL says so of generation expressions, too.
                        SqlError::new(
                            SqlState::DATATYPE_MISMATCH,
                            format!(
                                "column is of type {ty} but default expression is of type {from}"
                            ),
                        )
                        .hint("You will need to rewrite or cast the expression.")
                    },
                )?
            }
            None => self.resolve_unknown(typed)?,
        };
        Ok((typed.expr, typed.ty))
    }
}

fn with_changes(changes: Vec<Bound>, statement: Bound) -> Bound {
    match changes.is_empty() {
        true => statement,
        false => Bound::WithChanges { changes, statement: Box::new(statement) },
    }
}

fn has_parameters(query: &ast::Query) -> bool {
    ast::visit_expressions(query, |expr| match expr {
        ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// SELECT .. INTO makes a table.
fn has_into(query: &ast::Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::Select(select) if select.into.is_some())
}

/// What a statement that would change a materialized view is told.
fn materialized(view: &str, verb: &str) -> SqlError {
    let refuse = |message| SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
    match verb {
        "truncate" => not_a_table(view),
        "copy to" => refuse(format!("cannot copy to materialized view \"{view}\"")),
        "merge into" => {
            SqlError::unsupported(format!("cannot execute MERGE on relation \"{view}\""))
                .detail("This operation is not supported for materialized views.")
        }
        _ => refuse(format!("cannot change materialized view \"{view}\"")),
    }
}

fn not_a_table(relation: &str) -> SqlError {
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{relation}\" is not a table"))
}
