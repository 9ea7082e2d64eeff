//! CREATE INDEX: recorded in the catalog, told to the workers, and built over the rows there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use satsuma_common::table::ForeignKey;
use satsuma_common::{ColumnId, Oid, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bind::{self, BindContext, ExpressionColumn, ExpressionUse};
use satsuma_sql::parse::Source;
use sqlparser::ast;

use super::operator_class::AccessMethod;
use super::stored_text::without_parentheses;
use super::{Ddl, names};
use crate::catalog::{Command, Index, IndexKey, IndexValue, RelationRef, Table};
use crate::session_api::{Notice, Severity};

/// Most columns of an index, as in PostgreSQL.
const MAX_KEYS: usize = 32;

pub async fn create_index(ddl: &mut Ddl<'_>, create: &ast::CreateIndex) -> SqlResult<()> {
    if !create.index_options.is_empty() {
        return Err(SqlError::unsupported("options of indexes are not supported"));
    }
    let method = access_method(create.using.as_ref())?;
    create.with.iter().try_for_each(|parameter| check_parameter(parameter, method))?;
    check_method(create, method)?;
    let table = indexed_table(ddl, &create.table_name)?;
    ddl.require_table_owner(&table)?;
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

    ddl.txn.refuse_pending(&table.shape, "CREATE INDEX").await?;
    let columns = expression_columns(&table);
    let context =
        BindContext { catalog: &ddl.snapshot, env: &ddl.env, param_types: None, param_values: &[] };
    let mut key_names = Vec::new();
    let mut keys = Vec::new();
    for column in &create.columns {
        let key = index_key(&table, &columns, column, method, &context, &ddl.source)?;
        if let IndexValue::Expression(_) = key.value {
            let expr = without_parentheses(collated(&column.column.expr)?);
            ddl.refuse_changing(expr, &columns, ExpressionUse::Index)?;
        }
        keys.push(key);
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
            let source = &ddl.source;
            bind::check_parsed_expression(predicate, &columns, usage, None, &context, source)?;
            ddl.refuse_changing(predicate, &columns, usage)?;
            Some(without_parentheses(predicate).to_string())
        }
        None => None,
    };
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
    if index.unique {
        check_unique(&table, &index)?;
    }
    add_index(ddl, &table, index, !create.concurrently || create.unique).await
}

/// Adds an index to a table. Its rows are looked at now where `build` says so, else in the
/// background.
///
/// Writers wait until the transaction ends, because a unique index must see all there is; readers
/// do not.
pub(super) async fn add_index(
    ddl: &mut Ddl<'_>,
    table: &Table,
    index: Index,
    build: bool,
) -> SqlResult<()> {
    ddl.lock_table(table).await?;
    let (id, oid) = (index.table, index.oid);
    ddl.apply(Command::CreateIndex(index))?;
    if ddl.state().table(id).is_some_and(|table| table.shape.index(oid).is_some()) {
        ddl.tell_workers().await?;
        if build {
            ddl.build_indexes(id, vec![oid]).await?;
        }
    }
    Ok(())
}

/// Takes an index away from its table.
pub(super) async fn remove_index(ddl: &mut Ddl<'_>, oid: Oid) -> SqlResult<()> {
    let state = ddl.state();
    let Some(index) = state.index(oid) else { return Ok(()) };
    let Some(table) = state.table_arc(index.table) else { return Ok(()) };
    ddl.lock_table(&table).await?;
    ddl.apply(Command::DropIndex { oid })?;
    ddl.tell_workers().await
}

/// The table that refers to another by the columns of a unique index, if no other index holds
/// them.
pub(super) fn referring_key<'a>(table: &'a Table, index: &Index) -> Option<&'a ForeignKey> {
    let set = |columns: &[ColumnId]| columns.iter().copied().collect::<BTreeSet<_>>();
    let held = set(&index.columns().filter(|_| index.unique && index.predicate.is_none())?);
    let elsewhere = set(&table.shape.primary_key) == held
        || table.shape.indexes.iter().any(|other| {
            other.id != index.oid
                && other.is_plain_unique()
                && other.columns().is_some_and(|columns| set(&columns) == held)
        });
    let mut keys = table.shape.referenced_by.iter();
    keys.find(|key| !elsewhere && set(&key.target_columns) == held)
}

/// Whether storage can keep the index unique, and a distributed table's shards can each by
/// itself.
pub(super) fn check_unique(table: &Table, index: &Index) -> SqlResult<()> {
    if index.shape(&table.shape).is_none() {
        return Err(SqlError::unsupported(
            "unique indexes on columns of this type are not supported",
        )
        .hint("Types without an order of their values, such as jsonb, cannot be unique."));
    }
    match table.distribution().column() {
        Some(column) if !index.has_column(column) && index.constraint => {
            Err(constraint_not_distributed(&table.shape.name))
        }
        Some(column) if !index.has_column(column) => Err(SqlError::unsupported(
            "creating unique indexes on non-partition columns is currently not supported",
        )
        .hint("Add the distribution column to the index.")),
        _ => Ok(()),
    }
}

/// Rows of different shards are not compared with each other.
pub(super) fn constraint_not_distributed(table: &str) -> SqlError {
    SqlError::unsupported(format!("cannot create constraint on \"{table}\"")).detail(
        "Distributed relations cannot have UNIQUE, EXCLUDE, or PRIMARY KEY constraints that do \
         not include the partition column (with an equality operator if EXCLUDE).",
    )
}

/// REINDEX: builds indexes anew from the rows, and checks the unique ones.
pub async fn reindex(
    ddl: &mut Ddl<'_>,
    kind: &str,
    name: Option<&ast::ObjectName>,
) -> SqlResult<()> {
    let state = ddl.state();
    let chosen: Vec<(TableId, Oid)> = match (kind, name) {
        ("index", Some(name)) => {
            let (schema, relation) = names::split(name)?;
            let path = &ddl.snapshot.search_path;
            match state.relation_by_name(path, schema.as_deref(), &relation) {
                Some(RelationRef::Index(oid)) => {
                    state.index(oid).map(|index| (index.table, oid)).into_iter().collect()
                }
                Some(_) => {
                    return Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("\"{relation}\" is not an index"),
                    ));
                }
                None => return Err(names::no_relation(schema.as_deref(), &relation)),
            }
        }
        ("table", Some(name)) => {
            let id = ddl.table(name)?.id();
            state.indexes_of(id).map(|index| (id, index.oid)).collect()
        }
        ("schema", Some(name)) => {
            let (_, name) = names::split(name)?;
            let schema = state.schema_by_name(&name).ok_or_else(|| {
                SqlError::new(
                    SqlState::INVALID_SCHEMA_NAME,
                    format!("schema \"{name}\" does not exist"),
                )
            })?;
            let oid = schema.oid;
            let within = state.indexes().filter(|index| index.schema == oid);
            within.map(|index| (index.table, index.oid)).collect()
        }
        _ => state.indexes().map(|index| (index.table, index.oid)).collect(),
    };
    let mut by_table: BTreeMap<TableId, Vec<Oid>> = BTreeMap::new();
    for (table, index) in chosen {
        by_table.entry(table).or_default().push(index);
    }
    for (id, mut indexes) in by_table {
        let Some(table) = state.table_arc(id) else { continue };
        indexes.retain(|index| table.shape.index(*index).is_some());
        if !indexes.is_empty() {
            ddl.lock_table(&table).await?;
            ddl.build_indexes(id, indexes).await?;
        }
    }
    Ok(())
}

fn access_method(using: Option<&ast::IndexType>) -> SqlResult<AccessMethod> {
    match using {
        None => Ok(AccessMethod::Btree),
        Some(ast::IndexType::Custom(name)) => AccessMethod::by_name(&names::fold(name)),
        Some(known) => AccessMethod::by_name(&known.to_string().to_ascii_lowercase()),
    }
}

/// A storage parameter, which PostgreSQL is told about its pages and means nothing here.
fn check_parameter(parameter: &ast::Expr, method: AccessMethod) -> SqlResult<()> {
    let name = match parameter {
        ast::Expr::BinaryOp { left, .. } => left.as_ref(),
        other => other,
    };
    let name = match name {
        ast::Expr::Identifier(name) => names::fold(name),
        other => other.to_string(),
    };
    if method.parameters().contains(&name.as_str()) {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unrecognized parameter \"{name}\""),
    ))
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

fn indexed_table(ddl: &mut Ddl<'_>, name: &ast::ObjectName) -> SqlResult<Arc<Table>> {
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

fn index_key(
    table: &Table,
    columns: &[ExpressionColumn],
    column: &ast::IndexColumn,
    method: AccessMethod,
    context: &BindContext<'_>,
    source: &Arc<Source>,
) -> SqlResult<IndexKey> {
    let (value, ty) = match collated(&column.column.expr)? {
        ast::Expr::Identifier(ident) => {
            let id = column_id(table, &names::fold(ident))?;
            let ty = table.shape.column(id).map(|column| column.ty.clone());
            let ty = ty.ok_or_else(|| SqlError::internal("the indexed column is gone"))?;
            (IndexValue::Column(id), ty)
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
            let (_, ty) =
                bind::check_parsed_expression(inner, columns, usage, None, context, source)?;
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
    let expression_type = matches!(value, IndexValue::Expression(_)).then(|| ty.clone());
    let options = &column.column.options;
    let descending = options.asc == Some(false);
    Ok(IndexKey {
        value,
        expression_type,
        operator_class: method.operator_class(&ty, class.as_deref())?,
        descending,
        nulls_first: options.nulls_first.unwrap_or(descending),
    })
}

/// A key without its COLLATE: the order is the same with each collation that there is.
fn collated(expr: &ast::Expr) -> SqlResult<&ast::Expr> {
    match expr {
        ast::Expr::Collate { expr, collation } => {
            bind::check_collation(collation)?;
            Ok(expr)
        }
        expr => Ok(expr),
    }
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
        ast::Expr::Collate { expr, .. } => return key_name(expr, taken),
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
