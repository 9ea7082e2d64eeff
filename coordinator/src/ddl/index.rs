//! CREATE INDEX. The index is recorded and shown; storage reads tables by their primary key and
//! does not build or use others yet. So the one uniqueness that can be promised is the key's.

use std::collections::BTreeSet;

use satsuma_common::{ColumnId, SqlError, SqlResult, SqlState};
use satsuma_sql::bind::{self, BindContext, ExpressionColumn, ExpressionUse};
use sqlparser::ast;

use super::operator_class::AccessMethod;
use super::{Ddl, names};
use crate::catalog::{Command, Index, IndexKey, IndexValue, RelationRef, Table};
use crate::session_api::{Notice, Severity};

/// Most columns of an index, as in PostgreSQL.
const MAX_KEYS: usize = 32;

pub async fn create_index(ddl: &mut Ddl<'_>, create: &ast::CreateIndex) -> SqlResult<()> {
    if create.concurrently && ddl.txn.is_block {
        return Err(SqlError::new(
            SqlState::ACTIVE_SQL_TRANSACTION,
            "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
        ));
    }
    if !create.with.is_empty() || !create.index_options.is_empty() {
        return Err(SqlError::unsupported("storage parameters of indexes are not supported"));
    }
    let method = access_method(create.using.as_ref())?;
    check_method(create, method)?;
    let table = indexed_table(ddl, &create.table_name)?;
    ddl.require_owner(table.owner, "table", &table.shape.name)?;
    let label = create.name.as_ref().map(index_name).transpose()?;
    let state = ddl.state();
    let taken = |name: &str| {
        state.schema(table.schema).is_some_and(|schema| schema.relation(name).is_some())
    };
    if let Some(name) = label.as_deref().filter(|name| taken(name)) {
        let message = format!("relation \"{name}\" already exists");
        if !create.if_not_exists {
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
        }
        let notice = SqlError::new(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
        ddl.notices.push(Notice::new(Severity::Notice, notice));
        return Ok(());
    }

    let columns = expression_columns(&table);
    let context = BindContext { catalog: &ddl.snapshot, env: &ddl.env, param_types: &[] };
    let mut key_names = Vec::new();
    let mut keys = Vec::new();
    for column in &create.columns {
        keys.push(index_key(&table, &columns, column, method, &context)?);
        key_names.push(key_name(&column.column.expr, &key_names));
    }
    let mut include = Vec::new();
    for column in &create.include {
        let name = names::fold(column);
        include.push(column_id(&table, &name)?);
        let label = unique_label(&name, &key_names);
        key_names.push(label);
    }
    let predicate = match &create.predicate {
        Some(predicate) => {
            let usage = ExpressionUse::IndexPredicate;
            bind::check_parsed_expression(predicate, &columns, usage, None, &context)?;
            Some(without_parentheses(predicate).to_string())
        }
        None => None,
    };
    if create.unique {
        require_primary_key(&table, &keys)?;
    }
    let name = label.unwrap_or_else(|| {
        names::choose(&table.shape.name, Some(&key_names.join("_")), "idx", taken)
    });
    let index = Index {
        oid: ddl.oid().await?,
        name,
        schema: table.schema,
        table: table.id(),
        method: method.name().into(),
        keys,
        include,
        unique: create.unique,
        primary: false,
        constraint: false,
        nulls_not_distinct: create.nulls_distinct == Some(false),
        predicate,
    };
    ddl.apply(Command::CreateIndex(index))?;
    Ok(())
}

fn access_method(using: Option<&ast::IndexType>) -> SqlResult<AccessMethod> {
    match using {
        None => Ok(AccessMethod::Btree),
        Some(ast::IndexType::Custom(name)) => AccessMethod::by_name(&names::fold(name)),
        Some(known) => AccessMethod::by_name(&known.to_string().to_ascii_lowercase()),
    }
}

/// What the access method can do of what the statement asks.
fn check_method(create: &ast::CreateIndex, method: AccessMethod) -> SqlResult<()> {
    let name = method.name();
    let refuse = |what: &str| {
        Err(SqlError::unsupported(format!("access method \"{name}\" does not support {what}")))
    };
    if create.columns.len() + create.include.len() > MAX_KEYS {
        return Err(SqlError::new(
            SqlState(*b"54011"),
            format!("cannot use more than {MAX_KEYS} columns in an index"),
        ));
    }
    if create.unique && !method.is_ordered() {
        return refuse("unique indexes");
    }
    if !create.include.is_empty() && !method.takes_included_columns() {
        return refuse("included columns");
    }
    if create.columns.len() > 1 && !method.takes_several_columns() {
        return refuse("multicolumn indexes");
    }
    if !method.is_ordered() {
        let options = || create.columns.iter().map(|column| &column.column.options);
        if options().any(|options| options.asc.is_some()) {
            return refuse("ASC/DESC options");
        }
        if options().any(|options| options.nulls_first.is_some()) {
            return refuse("NULLS FIRST/LAST options");
        }
    }
    Ok(())
}

fn indexed_table(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<std::sync::Arc<Table>> {
    let (schema, relation) = names::split(name)?;
    let state = ddl.state();
    let found = state.relation_by_name(&ddl.snapshot.search_path, schema.as_deref(), &relation);
    let kind = match found {
        Some(RelationRef::Table(_)) | None => return ddl.table(name),
        Some(RelationRef::View(_)) => "views",
        Some(RelationRef::Index(_)) => "indexes",
        Some(RelationRef::Sequence(_)) => "sequences",
    };
    Err(SqlError::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("cannot create index on relation \"{relation}\""),
    )
    .detail(format!("This operation is not supported for {kind}.")))
}

/// An index goes to its table's schema, so its own name has none.
fn index_name(name: &ast::ObjectName) -> SqlResult<String> {
    match names::split(name)? {
        (None, name) => Ok(name),
        (Some(_), _) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \".\"")),
    }
}

pub(super) fn expression_columns(table: &Table) -> Vec<ExpressionColumn> {
    let columns = table.shape.columns.iter();
    columns
        .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
        .collect()
}

fn column_id(table: &Table, name: &str) -> SqlResult<ColumnId> {
    table.shape.column_named(name).map(|column| column.id).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
    })
}

fn without_parentheses(mut expr: &ast::Expr) -> &ast::Expr {
    while let ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn index_key(
    table: &Table,
    columns: &[ExpressionColumn],
    column: &ast::IndexColumn,
    method: AccessMethod,
    context: &BindContext<'_>,
) -> SqlResult<IndexKey> {
    let (value, ty) = match &column.column.expr {
        ast::Expr::Identifier(ident) => {
            let id = column_id(table, &names::fold(ident))?;
            let ty = table.shape.column(id).map(|column| column.ty.clone());
            let ty = ty.ok_or_else(|| SqlError::internal("the indexed column is gone"))?;
            (IndexValue::Column(id), ty)
        }
        ast::Expr::Collate { .. } => {
            return Err(SqlError::unsupported("COLLATE in an index is not supported")
                .hint("Text is ordered by its bytes, as collation \"C\" does."));
        }
        expr => {
            if needs_parentheses(expr) {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "an expression in an index must be in parentheses",
                ));
            }
            let inner = without_parentheses(expr);
            let usage = ExpressionUse::Index;
            let (_, ty) = bind::check_parsed_expression(inner, columns, usage, None, context)?;
            // `((a))` is the column, as PostgreSQL has it.
            match inner {
                ast::Expr::Identifier(ident) => {
                    (IndexValue::Column(column_id(table, &names::fold(ident))?), ty)
                }
                inner => (IndexValue::Expression(inner.to_string()), ty),
            }
        }
    };
    let class = match &column.operator_class {
        Some(class) => Some(names::split(class)?.1),
        None => None,
    };
    let options = &column.column.options;
    let descending = options.asc == Some(false);
    Ok(IndexKey {
        value,
        operator_class: method.operator_class(&ty, class.as_deref())?,
        descending,
        nulls_first: options.nulls_first.unwrap_or(descending),
    })
}

/// Function calls and what looks like them stand alone; operators do not.
fn needs_parentheses(expr: &ast::Expr) -> bool {
    matches!(
        expr,
        ast::Expr::BinaryOp { .. }
            | ast::Expr::UnaryOp { .. }
            | ast::Expr::Value(_)
            | ast::Expr::CompoundIdentifier(_)
            | ast::Expr::CompoundFieldAccess { .. }
            | ast::Expr::IsNull(_)
            | ast::Expr::IsNotNull(_)
            | ast::Expr::Between { .. }
            | ast::Expr::InList { .. }
            | ast::Expr::Case { .. }
            | ast::Expr::AtTimeZone { .. }
            | ast::Expr::Cast { kind: ast::CastKind::DoubleColon, .. }
    )
}

/// What a column contributes to the index's name.
fn key_name(expr: &ast::Expr, taken: &[String]) -> String {
    let name = match expr {
        ast::Expr::Identifier(ident) => names::fold(ident),
        other => match bind::output_name(other) {
            unnamed if unnamed == "?column?" => "expr".into(),
            name => name,
        },
    };
    unique_label(&name, taken)
}

fn unique_label(name: &str, taken: &[String]) -> String {
    let is_taken = |label: &String| taken.contains(label);
    let numbered = (1u32..).map(|number| format!("{name}{number}"));
    let mut labels = std::iter::once(name.to_owned()).chain(numbered);
    labels.find(|label| !is_taken(label)).unwrap_or_else(|| name.to_owned())
}

/// Rows are unique by their primary key and nothing else.
fn require_primary_key(table: &Table, keys: &[IndexKey]) -> SqlResult<()> {
    let columns: Option<BTreeSet<ColumnId>> = keys
        .iter()
        .map(|key| match key.value {
            IndexValue::Column(column) => Some(column),
            IndexValue::Expression(_) => None,
        })
        .collect();
    let primary: BTreeSet<ColumnId> = table.shape.primary_key.iter().copied().collect();
    if !primary.is_empty() && columns.is_some_and(|columns| columns == primary) {
        return Ok(());
    }
    Err(SqlError::unsupported("unique indexes other than on the primary key are not supported")
        .hint("Rows are unique by their PRIMARY KEY; it may have several columns."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(expressions: &[&str]) -> Vec<String> {
        let mut taken = Vec::new();
        for text in expressions {
            let (expr, _) = satsuma_sql::parse::parse_expression(text).unwrap();
            taken.push(key_name(&expr, &taken));
        }
        taken
    }

    #[test]
    fn columns_of_an_index_are_named_as_postgresql_names_them() {
        assert_eq!(
            named(&["a", "lower(b)", "(a || b)", "(b || a)"]),
            ["a", "lower", "expr", "expr1"]
        );
        assert_eq!(named(&["(user_data->>'is_mobile')"]), ["expr"]);
        assert_eq!(named(&["a", "A"]), ["a", "a1"]);
    }

    #[test]
    fn only_calls_stand_without_parentheses() {
        let bare =
            |text: &str| needs_parentheses(&satsuma_sql::parse::parse_expression(text).unwrap().0);
        assert!(bare("a + b") && bare("a::text") && bare("user_data->>'x'"));
        assert!(!bare("lower(a)") && !bare("(a + b)") && !bare("coalesce(a, b)"));
    }
}
