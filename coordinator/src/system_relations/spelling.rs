//! Names in the SQL texts of definitions: the objects that they stand for under the search path
//! that a text was written with, written as another search path finds them.

use std::ops::ControlFlow;

use satsuma_common::Oid;
use satsuma_sql::bind::fold;
use satsuma_sql::parse;
use sqlparser::ast::{self, VisitMut};

use super::layout::Layouts;
use crate::catalog::{RelationRef, State, split_name};
use crate::ddl::ident;

/// Where names are looked up.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub state: &'a State,
    pub path: &'a [String],
}

impl<'a> Names<'a> {
    /// Every name with its schema.
    pub fn qualified(state: &'a State) -> Self {
        Self { state, path: &[] }
    }

    pub fn lookup(&self, schema: Option<&str>, name: &str) -> Option<RelationRef> {
        let is_system = schema.is_none()
            && !self.path.iter().any(|schema| schema == "pg_catalog")
            && Layouts::all().get("pg_catalog", name).is_some();
        if is_system { None } else { self.state.relation_by_name(self.path, schema, name) }
    }

    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<Oid> {
        self.state.enum_by_name(self.path, schema, name).map(|ty| ty.oid)
    }

    /// A relation's name, with its schema unless the bare name finds it.
    pub fn of_relation(&self, relation: RelationRef) -> Option<ast::ObjectName> {
        let (schema, name) = self.state.relation_name(relation)?;
        let bare = self.lookup(None, name) == Some(relation);
        Some(object_name((!bare).then_some(&schema.name), name))
    }

    pub fn of_type(&self, oid: Oid) -> Option<ast::ObjectName> {
        let ty = self.state.enum_type(oid)?;
        let bare = self.user_type(None, &ty.name) == Some(oid);
        let schema = &self.state.schema(ty.schema)?.name;
        Some(object_name((!bare).then_some(schema), &ty.name))
    }
}

fn object_name(schema: Option<&String>, name: &str) -> ast::ObjectName {
    let parts = schema.map(String::as_str).into_iter().chain([name]);
    ast::ObjectName::from(parts.map(ident).collect::<Vec<_>>())
}

pub(super) fn parts(name: &ast::ObjectName) -> Option<(Option<String>, String)> {
    let parts: Vec<String> =
        name.0.iter().map(|part| part.as_ident().map(fold)).collect::<Option<_>>()?;
    match parts.as_slice() {
        [name] => Some((None, name.clone())),
        [schema, name] => Some((Some(schema.clone()), name.clone())),
        _ => None,
    }
}

/// From one way to write names to another.
#[derive(Clone, Copy)]
pub struct Spelling<'a> {
    pub from: Names<'a>,
    pub to: Names<'a>,
}

impl Spelling<'_> {
    /// A stored expression. One that names nothing, or does not parse, stays as it is.
    pub fn expression(&self, text: &str) -> String {
        let Ok((mut expr, _)) = parse::parse_expression(text) else { return text.to_owned() };
        if self.rewrite(&mut expr) { expr.to_string() } else { text.to_owned() }
    }

    /// Writes the names in an expression or a query in place; whether there were any to change.
    pub fn rewrite(&self, node: &mut impl VisitMut) -> bool {
        let mut respell =
            Respell { spelling: *self, hidden: Vec::new(), withs: Vec::new(), changed: false };
        let _ = node.visit(&mut respell);
        respell.changed
    }
}

struct Respell<'a> {
    spelling: Spelling<'a>,
    /// Names of WITH queries that hide relations, by query level.
    hidden: Vec<Vec<String>>,
    /// The WITH clauses of the levels, which are gone through before the rest.
    withs: Vec<Option<ast::With>>,
    changed: bool,
}

impl Respell<'_> {
    fn replace(&mut self, name: &mut ast::ObjectName, new: Option<ast::ObjectName>) {
        if let Some(new) = new.filter(|new| new != name) {
            *name = new;
            self.changed = true;
        }
    }

    fn data_type(&mut self, ty: &mut ast::DataType) {
        match ty {
            ast::DataType::Custom(name, _) => {
                let Spelling { from, to } = self.spelling;
                let found = parts(name).and_then(|(schema, name)| {
                    to.of_type(from.user_type(schema.as_deref(), &name)?)
                });
                self.replace(name, found);
            }
            ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => {
                self.data_type(element);
            }
            _ => {}
        }
    }

    /// The relation that a string names: `nextval('s')`, `'s'::regclass`.
    fn literal(&mut self, expr: &mut ast::Expr) {
        let ast::Expr::Value(value) = expr else { return };
        let ast::Value::SingleQuotedString(text) = &mut value.value else { return };
        let Spelling { from, to } = self.spelling;
        let found = split_name(text)
            .and_then(|(schema, name)| to.of_relation(from.lookup(schema.as_deref(), &name)?));
        if let Some(name) = found.map(|name| name.to_string()).filter(|name| name != text) {
            *text = name;
            self.changed = true;
        }
    }
}

impl ast::VisitorMut for Respell<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let mut with = query.with.take();
        let tables = with.as_mut().map(|with| (with.recursive, &mut with.cte_tables));
        self.hidden.push(Vec::new());
        let level = self.hidden.len() - 1;
        if let Some((recursive, tables)) = tables {
            if recursive {
                self.hidden[level] = tables.iter().map(|table| fold(&table.alias.name)).collect();
            }
            for table in tables {
                let _ = table.query.visit(self);
                self.hidden[level].push(fold(&table.alias.name));
            }
        }
        self.withs.push(with);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        query.with = self.withs.pop().flatten();
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, args: None, .. } = factor
            && let Some((schema, relation)) = parts(name)
            && (schema.is_some() || !self.hidden.iter().flatten().any(|name| *name == relation))
        {
            let Spelling { from, to } = self.spelling;
            let found = from.lookup(schema.as_deref(), &relation);
            self.replace(name, found.and_then(|found| to.of_relation(found)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Cast { expr: inner, data_type, .. } => {
                self.data_type(data_type);
                if *data_type == ast::DataType::Regclass {
                    self.literal(inner);
                    // The parser's own types are written in capitals, and psql shows this one.
                    *data_type = ast::DataType::Custom(object_name(None, "regclass"), Vec::new());
                }
            }
            ast::Expr::TypedString(typed) => self.data_type(&mut typed.data_type),
            ast::Expr::Function(call) => {
                let name = call.name.0.last().and_then(|part| part.as_ident()).map(fold);
                if matches!(name.as_deref(), Some("nextval" | "currval" | "setval"))
                    && let ast::FunctionArguments::List(list) = &mut call.args
                    && let Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(first))) =
                        list.args.first_mut()
                {
                    self.literal(first);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The relations that an expression names as strings: sequences that it draws from.
pub fn named_relations(state: &State, text: &str) -> Vec<RelationRef> {
    let Ok((expr, _)) = parse::parse_expression(text) else { return Vec::new() };
    let names = Names::qualified(state);
    let mut found = Vec::new();
    let _ = ast::visit_expressions(&expr, |expr| {
        if let ast::Expr::Value(value) = expr
            && let ast::Value::SingleQuotedString(text) = &value.value
            && let Some((Some(schema), name)) = split_name(text)
            && let Some(relation @ RelationRef::Sequence(_)) = names.lookup(Some(&schema), &name)
        {
            found.push(relation);
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::fixture;

    fn spelled(sql: &str, from: &[String], to: &[String]) -> String {
        let mut state = fixture::cluster(1);
        fixture::create_local(&mut state, "t");
        let state = &state;
        let parsed = parse::parse(sql).unwrap();
        let parse::Statement::Sql(statement) = &parsed[0].statement else { panic!("{sql}") };
        let mut statement = statement.clone();
        let spelling =
            Spelling { from: Names { state, path: from }, to: Names { state, path: to } };
        spelling.rewrite(&mut statement);
        statement.to_string()
    }

    #[test]
    fn relations_are_written_for_the_search_path() {
        let public = ["public".to_owned()];
        let qualified = "SELECT id FROM public.t WHERE id IN (SELECT t.id FROM public.t)";
        let bare = "SELECT id FROM t WHERE id IN (SELECT t.id FROM t)";
        assert_eq!(spelled(bare, &public, &[]), qualified);
        assert_eq!(spelled(qualified, &[], &public), bare);
        assert_eq!(spelled(bare, &[], &[]), bare);
        assert_eq!(spelled("SELECT 't'::regclass", &public, &[]), "SELECT 'public.t'::regclass");
        assert_eq!(spelled("SELECT 1 FROM pg_class", &public, &[]), "SELECT 1 FROM pg_class");
    }

    #[test]
    fn a_with_query_hides_a_relation_after_it_only() {
        let public = ["public".to_owned()];
        assert_eq!(
            spelled("WITH t AS (SELECT * FROM t) SELECT * FROM t", &public, &[]),
            "WITH t AS (SELECT * FROM public.t) SELECT * FROM t"
        );
        let recursive = "WITH RECURSIVE t AS (SELECT * FROM t) SELECT * FROM t";
        assert_eq!(spelled(recursive, &public, &[]), recursive);
    }
}
