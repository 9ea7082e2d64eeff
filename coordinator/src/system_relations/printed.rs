//! Stored expressions as PostgreSQL prints them, over the columns of their table. What cannot be
//! printed that way is shown as it was written.

use satsuma_common::{Oid, PgType};
use satsuma_sql::deparse::{self, Style, TableScope, World};
use satsuma_sql::parse;
use sqlparser::ast;

use super::layout::Layouts;
use super::spelling::{Names, Spelling};
use crate::catalog::{RelationRef, Table};

impl World for Names<'_> {
    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType> {
        self.state.enum_by_name(self.path, schema, name).map(|ty| PgType::Enum(ty.oid))
    }

    fn type_name(&self, oid: Oid) -> Option<String> {
        self.of_type(oid).map(|name| name.to_string())
    }

    fn relation(&self, name: &ast::ObjectName) -> Option<(String, Vec<(String, PgType)>)> {
        let (schema, bare) = super::spelling::parts(name)?;
        let Some(relation) = self.lookup(schema.as_deref(), &bare) else {
            let layout = Layouts::all().get(schema.as_deref().unwrap_or("pg_catalog"), &bare)?;
            let columns = layout.columns.iter();
            let columns = columns.map(|column| (column.name.to_owned(), column.ty.clone()));
            return Some((name.to_string(), columns.collect()));
        };
        let columns = match relation {
            RelationRef::Table(id) => {
                let columns = self.state.table(id)?.shape.columns.iter();
                columns.map(|column| (column.name.clone(), column.ty.clone())).collect()
            }
            RelationRef::View(oid) => self.state.view(oid)?.columns.clone(),
            _ => return None,
        };
        Some((self.of_relation(relation)?.to_string(), columns))
    }
}

/// Prints expressions over one table's columns, or over none.
#[derive(Clone, Copy)]
pub struct Printer<'a> {
    pub names: Names<'a>,
    pub table: Option<&'a Table>,
    pub pretty: bool,
}

impl<'a> Printer<'a> {
    pub fn of(names: Names<'a>, table: &'a Table, pretty: bool) -> Self {
        Self { names, table: Some(table), pretty }
    }

    /// An expression that is stored into a column of type `to`, or into none.
    pub fn expression(&self, text: &str, to: Option<&PgType>) -> String {
        let printed = self.printed(text, |expr, scope| {
            let style = Style { pretty: self.pretty, indent: true };
            deparse::expression(expr, to, scope, &self.names, style)
        });
        match printed {
            Shown::Printed(text) | Shown::AsWritten { text, .. } => text,
        }
    }

    pub fn condition(&self, text: &str) -> String {
        self.expression(text, Some(&PgType::Bool))
    }

    /// An expression of an index: in parentheses unless it is a call.
    pub fn key(&self, text: &str) -> String {
        let style = Style { pretty: self.pretty, indent: false };
        let printed = self.printed(text, |expr, scope| {
            let text = deparse::expression(expr, None, scope, &self.names, style)?;
            let is_call = deparse::is_call(expr, scope, &self.names)?;
            Some(if is_call { text } else { format!("({text})") })
        });
        match printed {
            Shown::Printed(text) | Shown::AsWritten { text, is_call: true } => text,
            Shown::AsWritten { text, is_call: false } => format!("({text})"),
        }
    }

    fn printed(
        &self,
        text: &str,
        print: impl FnOnce(&ast::Expr, &TableScope<'_>) -> Option<String>,
    ) -> Shown {
        let Ok((mut expr, _)) = parse::parse_expression(text) else {
            return Shown::AsWritten { text: text.to_owned(), is_call: false };
        };
        let respelled = Spelling { from: self.names, to: self.names }.rewrite(&mut expr);
        let columns: Vec<_> = self
            .table
            .into_iter()
            .flat_map(|table| &table.shape.columns)
            .map(|column| (column.name.as_str(), &column.ty))
            .collect();
        match print(&expr, &TableScope { columns: &columns }) {
            Some(printed) => Shown::Printed(printed),
            None => Shown::AsWritten {
                text: if respelled { expr.to_string() } else { text.to_owned() },
                is_call: matches!(expr, ast::Expr::Function(_)),
            },
        }
    }
}

/// How a text came to be shown.
enum Shown {
    Printed(String),
    AsWritten { text: String, is_call: bool },
}
