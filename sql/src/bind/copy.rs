//! COPY: what is read or written, and the options checked against each other.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use satsuma_common::encoding::Encoding;
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{Ident, ObjectName, Spanned};

use super::binder::Binder;
use super::clause::Clause;
use super::cte::Ctes;
use super::dml::{input_column, input_scan};
use super::expr::Context;
use super::names::{self, fold};
use super::plan;
use super::query::{Rows, RowsColumn};
use super::scope::{Entry, Scope, ScopeColumn};
use super::window::NamedWindows;
use crate::bound::{
    Bound, BoundCopyFrom, CopyFormat, CopyHeader, CopyOptions, ForceColumns, OutputColumn,
};
use crate::catalog_view::{Access, Relation, TableInfo};
use crate::parse::{CopyEndpoint, CopySource, CopyStatement, CopyValue};

impl Binder<'_> {
    pub fn copy(&self, copy: &CopyStatement) -> SqlResult<Bound> {
        refuse_server_side(&copy.endpoint)?;
        match (&copy.source, copy.from) {
            (CopySource::Table { name, columns }, true) => self.copy_from(copy, name, columns),
            (CopySource::Table { name, columns }, false) => {
                let (rows, table) = self.copy_table(name, columns)?;
                let query = rows.into_bound()?;
                let columns = Columns::of_rows(&query.columns, Some(&table));
                let options = self.copy_options(copy, &columns)?;
                Ok(Bound::CopyTo { statement: Box::new(Bound::Query(query)), options })
            }
            (CopySource::Query(query), _) => {
                let statement = self.query_statement(query)?;
                let columns = match (&statement, statement.columns()) {
                    (_, Some(columns)) => Columns::of_rows(columns, None),
                    (Bound::Call(_), None) => {
                        return Err(SqlError::unsupported(
                            "COPY of a function that acts on the cluster is not supported",
                        )
                        .hint("Call it in a SELECT of its own."));
                    }
                    (_, None) => {
                        return Err(SqlError::unsupported(
                            "COPY query must have a RETURNING clause",
                        ));
                    }
                };
                let options = self.copy_options(copy, &columns)?;
                Ok(Bound::CopyTo { statement: Box::new(statement), options })
            }
        }
    }

    fn copy_from(
        &self,
        copy: &CopyStatement,
        name: &ObjectName,
        columns: &[Ident],
    ) -> SqlResult<Bound> {
        let table = self.target_table(name, "copy to").map_err(without_position)?;
        let indexes = self.copy_columns(&table, columns)?;
        self.check_columns(&table, Access::Insert, indexes.iter().copied())?;
        self.note_changed(&table);
        let names = indexes.iter().map(|i| table.shape.columns[*i].name.clone()).collect();
        let options = self.copy_options(copy, &Columns { names, relation: Some(&table) })?;
        let fields: Vec<_> = indexes
            .iter()
            .map(|i| (table.shape.columns[*i].name.clone(), table.shape.columns[*i].ty.clone()))
            .collect();
        let input = input_scan(&fields)?;
        let mut exprs = Vec::with_capacity(table.shape.columns.len());
        let mut values = Vec::with_capacity(table.shape.columns.len());
        for (index, column) in table.shape.columns.iter().enumerate() {
            let value = if indexes.contains(&index) {
                Expr::Column(input_column(&column.name))
            } else if table.generated.get(index).is_some_and(Option::is_some) {
                crate::functions::Typed::null(column.ty.clone())?.expr
            } else {
                self.default_value(&table, index)?.expr
            };
            let fresh = self.fresh(&column.name);
            exprs.push(value.alias(&fresh.name));
            values.push(fresh);
        }
        let complete = plan::project(input, exprs)?;
        let (mut complete, values) = self.generate(complete, &table, values, Vec::new())?;
        if let Some(condition) = &copy.filter {
            let columns = table
                .shape
                .columns
                .iter()
                .zip(&values)
                .map(|(column, value)| ScopeColumn {
                    name: column.name.clone(),
                    column: value.clone(),
                    ty: column.ty.clone(),
                    origin: Some((table.shape.table, column.id)),
                    typmod: column.ty.typmod(),
                })
                .collect();
            let entry = Entry::new(table.shape.name.clone(), columns);
            let scope = Scope::new(None, vec![entry]);
            let (ctes, windows) = (Ctes::default(), NamedWindows::default());
            let cx = Context::new(&scope, &ctes, &windows, Clause::CopyWhere);
            let condition = self.qualification(condition, "WHERE", cx)?;
            complete = plan::filter(complete, condition)?;
        }
        let columns = indexes.iter().map(|i| table.shape.columns[*i].id).collect();
        Ok(Bound::CopyFrom(BoundCopyFrom {
            table,
            columns,
            options,
            complete,
            filtered: copy.filter.is_some(),
        }))
    }

    /// Columns of the file: as named, or all that are not generated.
    fn copy_columns(&self, table: &TableInfo, columns: &[Ident]) -> SqlResult<Vec<usize>> {
        let generated = |index: usize| table.generated.get(index).is_some_and(Option::is_some);
        if columns.is_empty() {
            return Ok((0..table.shape.columns.len()).filter(|i| !generated(*i)).collect());
        }
        let mut indexes = Vec::with_capacity(columns.len());
        for ident in columns {
            let name = fold(ident);
            let Some(index) = table.shape.columns.iter().position(|c| c.name == name) else {
                return Err(unknown_column(&name, table));
            };
            if generated(index) {
                return Err(SqlError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    format!("column \"{name}\" is a generated column"),
                )
                .detail("Generated columns cannot be used in COPY."));
            }
            if indexes.contains(&index) {
                return Err(twice(&name));
            }
            indexes.push(index);
        }
        Ok(indexes)
    }

    fn copy_table(
        &self,
        name: &ObjectName,
        columns: &[Ident],
    ) -> SqlResult<(Rows, Arc<TableInfo>)> {
        let position = self.position(name.span());
        let (schema, relation) = names::qualified(name, &self.env.identity.database)
            .map_err(|error| self.at(error, position))?;
        let found = self.relation_or_error(schema.as_deref(), &relation, position);
        match found.map_err(without_position)? {
            Relation::Table(table) if self.catalog.is_materialized(table.shape.table) => {
                Err(SqlError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("cannot copy from materialized view \"{relation}\""),
                )
                .hint("Try the COPY (SELECT ...) TO variant."))
            }
            Relation::Table(table) => {
                let indexes = self.copy_columns(&table, columns)?;
                self.check_columns(&table, Access::Select, indexes.iter().copied())?;
                let from = self.scan_table(&table)?;
                let entry = &from.entries[0];
                let picked = indexes
                    .into_iter()
                    .map(|index| {
                        let column = &entry.columns[index];
                        RowsColumn {
                            name: column.name.clone(),
                            column: column.column.clone(),
                            ty: column.ty.clone(),
                            origin: column.origin,
                            typmod: column.typmod,
                            position: 0,
                        }
                    })
                    .collect();
                let rows = Rows {
                    plan: from.plan,
                    columns: picked,
                    order: Vec::new(),
                    arrival: Vec::new(),
                };
                Ok((rows, table))
            }
            Relation::View(_) => Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot copy from view \"{relation}\""),
            )
            .hint("Try the COPY (SELECT ...) TO variant.")),
            Relation::Sequence(_) => Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot copy from sequence \"{relation}\""),
            )),
            Relation::System(_) => Err(SqlError::unsupported(format!(
                "cannot copy from system relation \"{relation}\""
            ))
            .hint("Try the COPY (SELECT ...) TO variant.")),
        }
    }

    fn copy_options(&self, copy: &CopyStatement, columns: &Columns<'_>) -> SqlResult<CopyOptions> {
        let mut given = Given::default();
        for (name, value) in &copy.options {
            let position = self.ident_position(name);
            given.set(&name.value, value).map_err(|wrong| match wrong {
                WrongOption::Name(error) => self.at(error, position),
                WrongOption::Value(error) => error,
            })?;
        }
        given.finish(copy.from, columns)
    }
}

/// Files and programs of the server's machine are out of reach: tables live on many machines.
/// PostgreSQL says of relations that COPY names no place in the statement.
fn without_position(mut error: SqlError) -> SqlError {
    error.fields_mut().position = None;
    error
}

fn refuse_server_side(endpoint: &CopyEndpoint) -> SqlResult<()> {
    let what = match endpoint {
        CopyEndpoint::Client => return Ok(()),
        CopyEndpoint::File(_) => "a file of the server",
        CopyEndpoint::Program(_) => "an external program",
    };
    Err(SqlError::unsupported(format!("COPY to or from {what} is not supported"))
        .hint("Use psql's \\copy, or COPY .. TO STDOUT and COPY .. FROM STDIN."))
}

/// The file's columns, which FORCE_* may name.
struct Columns<'a> {
    names: Vec<String>,
    /// Whose columns they are; a query has no others.
    relation: Option<&'a TableInfo>,
}

impl<'a> Columns<'a> {
    fn of_rows(columns: &[OutputColumn], relation: Option<&'a TableInfo>) -> Self {
        Self { names: columns.iter().map(|column| column.name.clone()).collect(), relation }
    }

    /// Names that are there, each once.
    fn check(&self, option: &str, names: &[String]) -> SqlResult<()> {
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(twice(name));
            }
            let exists = match self.relation {
                Some(table) => table.shape.columns.iter().any(|column| column.name == *name),
                None => self.names.contains(name),
            };
            if !exists {
                return Err(self.unknown(name));
            }
        }
        match names.iter().find(|name| !self.names.contains(name)) {
            None => Ok(()),
            Some(name) => Err(SqlError::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("{option} column \"{name}\" not referenced by COPY"),
            )),
        }
    }

    fn unknown(&self, name: &str) -> SqlError {
        match self.relation {
            Some(table) => unknown_column(name, table),
            None => SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" does not exist"),
            ),
        }
    }
}

fn unknown_column(name: &str, table: &TableInfo) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_COLUMN,
        format!("column \"{name}\" of relation \"{}\" does not exist", table.shape.name),
    )
}

fn twice(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
}

/// Options as given, before defaults.
#[derive(Default)]
struct Given {
    seen: Vec<String>,
    freeze: bool,
    format: Option<CopyFormat>,
    encoding: Option<Encoding>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<CopyHeader>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<ForceColumns>,
    force_not_null: Vec<String>,
    force_null: Vec<String>,
}

/// What is wrong with an option: PostgreSQL tells the place of the one, not of the other.
enum WrongOption {
    Name(SqlError),
    Value(SqlError),
}

impl From<SqlError> for WrongOption {
    fn from(error: SqlError) -> Self {
        Self::Value(error)
    }
}

impl Given {
    fn set(&mut self, name: &str, value: &CopyValue) -> Result<(), WrongOption> {
        if self.seen.iter().any(|seen| seen == name) {
            let error = SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options");
            return Err(WrongOption::Name(error));
        }
        self.seen.push(name.to_string());
        match name {
            "format" => {
                let text = text(name, value)?;
                self.format = Some(match text.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => {
                        return Err(WrongOption::Name(SqlError::new(
                            SqlState::INVALID_PARAMETER_VALUE,
                            format!("COPY format \"{text}\" not recognized"),
                        )));
                    }
                });
            }
            "freeze" => {
                self.freeze = switch(name, value)?;
            }
            "delimiter" => self.delimiter = Some(text(name, value)?),
            "null" => self.null = Some(text(name, value)?),
            "header" => {
                self.header = Some(match value {
                    CopyValue::Text(text) if text == "match" => CopyHeader::Match,
                    _ if switch(name, value)? => CopyHeader::Yes,
                    _ => CopyHeader::No,
                });
            }
            "quote" => self.quote = Some(text(name, value)?),
            "escape" => self.escape = Some(text(name, value)?),
            "force_quote" => {
                self.force_quote = Some(match value {
                    CopyValue::All => ForceColumns::All,
                    _ => ForceColumns::Named(list(name, value).map_err(WrongOption::Name)?),
                });
            }
            "force_not_null" => {
                self.force_not_null = list(name, value).map_err(WrongOption::Name)?
            }
            "force_null" => self.force_null = list(name, value).map_err(WrongOption::Name)?,
            "encoding" => {
                let found = Encoding::named(&text(name, value)?).map_err(WrongOption::Name)?;
                let unknown = || {
                    WrongOption::Name(SqlError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("argument to option \"{name}\" must be a valid encoding name"),
                    ))
                };
                self.encoding = Some(found.ok_or_else(unknown)?);
            }
            _ => {
                return Err(WrongOption::Name(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!("option \"{name}\" not recognized"),
                )));
            }
        }
        Ok(())
    }

    fn finish(self, from: bool, columns: &Columns<'_>) -> SqlResult<CopyOptions> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        let csv = format == CopyFormat::Csv;
        let invalid =
            |message: &str| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        let unsupported = |message: &str| Err(SqlError::unsupported(message));
        if format == CopyFormat::Binary {
            for (given, name) in [
                (self.delimiter.is_some(), "DELIMITER"),
                (self.null.is_some(), "NULL"),
                (self.header.is_some_and(|h| h != CopyHeader::No), "HEADER"),
            ] {
                if given {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!("cannot specify {name} in BINARY mode"),
                    ));
                }
            }
        }
        let delimiter = self.delimiter.unwrap_or_else(|| if csv { "," } else { "\t" }.into());
        let null = self.null.unwrap_or_else(|| if csv { "" } else { "\\N" }.into());
        let quote_given = self.quote.is_some();
        let quote = self.quote.unwrap_or_else(|| "\"".into());
        let escape_given = self.escape.is_some();
        let escape = self.escape.unwrap_or_else(|| quote.clone());
        let Some(delimiter) = one_byte(&delimiter) else {
            return unsupported("COPY delimiter must be a single one-byte character");
        };
        if delimiter == b'\n' || delimiter == b'\r' {
            return invalid("COPY delimiter cannot be newline or carriage return");
        }
        if null.contains(['\n', '\r']) {
            return invalid("COPY null representation cannot use newline or carriage return");
        }
        if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("COPY delimiter cannot be \"{}\"", char::from(delimiter)),
            ));
        }
        if !csv && quote_given {
            return unsupported("COPY quote available only in CSV mode");
        }
        let Some(quote) = one_byte(&quote) else {
            return unsupported("COPY quote must be a single one-byte character");
        };
        if csv && delimiter == quote {
            return invalid("COPY delimiter and quote must be different");
        }
        if !csv && escape_given {
            return unsupported("COPY escape available only in CSV mode");
        }
        let Some(escape) = one_byte(&escape) else {
            return unsupported("COPY escape must be a single one-byte character");
        };
        if self.force_quote.is_some() && !csv {
            return unsupported("COPY force quote available only in CSV mode");
        }
        if self.force_quote.is_some() && from {
            return unsupported("COPY force quote only available using COPY TO");
        }
        if !self.force_not_null.is_empty() && !csv {
            return unsupported("COPY force not null available only in CSV mode");
        }
        if !self.force_not_null.is_empty() && !from {
            return unsupported("COPY force not null only available using COPY FROM");
        }
        if !self.force_null.is_empty() && !csv {
            return unsupported("COPY force null available only in CSV mode");
        }
        if !self.force_null.is_empty() && !from {
            return unsupported("COPY force null only available using COPY FROM");
        }
        if null.as_bytes().contains(&delimiter) {
            return unsupported("COPY delimiter must not appear in the NULL specification");
        }
        if csv && null.as_bytes().contains(&quote) {
            return unsupported("CSV quote character must not appear in the NULL specification");
        }
        let header = self.header.unwrap_or(CopyHeader::No);
        if header == CopyHeader::Match && !from {
            return unsupported("cannot use \"match\" with HEADER in COPY TO");
        }
        let force_quote = self.force_quote.unwrap_or(ForceColumns::Named(Vec::new()));
        let forced = match &force_quote {
            ForceColumns::All => &[][..],
            ForceColumns::Named(names) => names,
        };
        for (what, names) in [
            ("FORCE_QUOTE", forced),
            ("FORCE_NOT_NULL", &self.force_not_null),
            ("FORCE_NULL", &self.force_null),
        ] {
            columns.check(what, names)?;
        }
        Ok(CopyOptions {
            format,
            delimiter,
            null,
            header,
            quote,
            escape,
            force_quote,
            force_not_null: self.force_not_null,
            force_null: self.force_null,
            freeze: from && self.freeze,
            encoding: self.encoding.unwrap_or(Encoding::UTF8),
        })
    }
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

fn text(name: &str, value: &CopyValue) -> SqlResult<String> {
    match value {
        CopyValue::Text(text) => Ok(text.clone()),
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} requires a parameter"))),
    }
}

fn switch(name: &str, value: &CopyValue) -> SqlResult<bool> {
    match value {
        CopyValue::None => Ok(true),
        CopyValue::Text(text) => match text.to_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ if name == "header" => Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "header requires a Boolean value or \"match\"",
            )),
            _ => Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!("{name} requires a Boolean value"),
            )),
        },
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
    }
}

fn list(name: &str, value: &CopyValue) -> SqlResult<Vec<String>> {
    match value {
        CopyValue::Columns(columns) => Ok(columns.iter().map(fold).collect()),
        _ => Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("argument to option \"{name}\" must be a list of column names"),
        )),
    }
}
