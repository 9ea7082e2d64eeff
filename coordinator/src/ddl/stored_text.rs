//! SQL that the catalog holds as text: conditions, defaults, expressions of indexes and generated
//! columns. They name columns without qualifier, or qualified by their own table.

use std::ops::ControlFlow;

use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::bind::{ExpressionColumn, ExpressionUse};
use satsuma_sql::deparse::{self, TableScope};
use satsuma_sql::parse;
use sqlparser::ast;

use super::Ddl;
use super::names::fold;
use crate::catalog::{CatalogSnapshot, Command, State, quote_identifier};
use crate::system_relations::{Names, Spelling};

/// The column that an expression node names.
fn named(expr: &ast::Expr) -> Option<&ast::Ident> {
    match expr {
        ast::Expr::Identifier(ident) => Some(ident),
        ast::Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

/// Whether a parsed expression names the column.
pub fn mentions(expr: &ast::Expr, column: &str) -> bool {
    ast::visit_expressions(expr, |expr| match named(expr) {
        Some(ident) if fold(ident) == column => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Whether a stored expression names the column.
pub fn text_mentions(text: &str, column: &str) -> SqlResult<bool> {
    Ok(mentions(&parse::parse_expression(text)?.0, column))
}

pub fn without_parentheses(mut expr: &ast::Expr) -> &ast::Expr {
    while let ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// An identifier that reads as `name`.
pub fn ident(name: &str) -> ast::Ident {
    let quoted = quote_identifier(name);
    if quoted == name { ast::Ident::new(name) } else { ast::Ident::with_quote('"', name) }
}

/// The text with the column under its new name.
pub fn rename_column(text: &str, from: &str, to: &str) -> SqlResult<String> {
    let (mut expr, _) = parse::parse_expression(text)?;
    if !mentions(&expr, from) {
        return Ok(text.to_owned());
    }
    let _ = ast::visit_expressions_mut(&mut expr, |expr| {
        let last = match expr {
            ast::Expr::Identifier(ident) => Some(ident),
            ast::Expr::CompoundIdentifier(parts) => parts.last_mut(),
            _ => None,
        };
        if let Some(last) = last.filter(|last| fold(last) == from) {
            *last = ident(to);
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(expr.to_string())
}

impl Ddl<'_> {
    /// Writes what an expression to be stored names with its schema, so that it means the same
    /// under every search path.
    pub(super) fn qualify(&self, expr: &mut ast::Expr) {
        let CatalogSnapshot { state, search_path, .. } = &self.snapshot;
        let from = Names { state, path: search_path };
        Spelling { from, to: Names::qualified(state) }.rewrite(expr);
    }

    /// 42P17 for what is stored of a row and would be another value at another time, or in another
    /// session. As in PostgreSQL, the cast to a generated column's type does not count.
    pub(super) fn refuse_changing(
        &self,
        expr: &ast::Expr,
        columns: &[ExpressionColumn],
        usage: ExpressionUse,
    ) -> SqlResult<()> {
        let message = match usage {
            ExpressionUse::Generated => "generation expression is not immutable",
            ExpressionUse::Index => "functions in index expression must be marked IMMUTABLE",
            ExpressionUse::IndexPredicate => {
                "functions in index predicate must be marked IMMUTABLE"
            }
            ExpressionUse::Check | ExpressionUse::Default | ExpressionUse::Using => return Ok(()),
        };
        let CatalogSnapshot { state, search_path, .. } = &self.snapshot;
        let world = Names { state, path: search_path };
        let columns: Vec<_> =
            columns.iter().map(|column| (column.name.as_str(), &column.ty)).collect();
        match deparse::is_immutable(expr, &TableScope { columns: &columns }, &world) {
            Some(false) => Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message)),
            Some(true) | None => Ok(()),
        }
    }

    /// Whether an expression without columns is worth the same whenever it is asked.
    pub(super) fn is_constant(&self, text: &str) -> SqlResult<bool> {
        let (expr, _) = satsuma_sql::parse::parse_expression(text)?;
        let CatalogSnapshot { state, search_path, .. } = &self.snapshot;
        let world = Names { state, path: search_path };
        Ok(deparse::is_immutable(&expr, &TableScope { columns: &[] }, &world) != Some(false))
    }

    /// Defaults that name what had other names `before` are written anew.
    pub(super) fn respell_defaults(&mut self, before: &State) -> SqlResult<()> {
        let state = self.state();
        let spelling = Spelling { from: Names::qualified(before), to: Names::qualified(&state) };
        for table in state.tables() {
            let mut def = table.def().clone();
            for text in def.defaults.iter_mut().flatten() {
                *text = spelling.expression(text);
            }
            if def.defaults != table.defaults {
                self.apply(Command::AlterTable(def))?;
            }
        }
        self.refresh_env();
        Ok(())
    }
}

/// The text with another name for the sequences that `is_it` recognises in `nextval` and its
/// relatives; `None` where there are none.
pub fn rename_sequence(
    text: &str,
    is_it: &dyn Fn(&str) -> bool,
    to: &str,
) -> SqlResult<Option<String>> {
    let (mut expr, _) = parse::parse_expression(text)?;
    let mut found = false;
    each_sequence(&mut expr, |name| {
        if is_it(name) {
            to.clone_into(name);
            found = true;
        }
    });
    // The parser's types are in capitals.
    Ok(found.then(|| expr.to_string().replace("::REGCLASS", "::regclass")))
}

/// The names that `nextval` and its relatives are called with.
pub fn each_sequence(node: &mut impl ast::VisitMut, mut visit: impl FnMut(&mut String)) {
    let _ = ast::visit_expressions_mut(node, |expr| {
        let ast::Expr::Function(call) = expr else { return ControlFlow::<()>::Continue(()) };
        let name = call.name.0.last().and_then(|part| part.as_ident()).map(fold);
        if !matches!(name.as_deref(), Some("nextval" | "currval" | "setval")) {
            return ControlFlow::Continue(());
        }
        if let ast::FunctionArguments::List(list) = &mut call.args
            && let Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))) =
                list.args.first_mut()
            && let Some(literal) = string_literal(argument)
        {
            visit(literal);
        }
        ControlFlow::Continue(())
    });
}

/// The string in `'s'` and `'s'::regclass`.
fn string_literal(expr: &mut ast::Expr) -> Option<&mut String> {
    match expr {
        ast::Expr::Cast { expr, .. } | ast::Expr::Nested(expr) => string_literal(expr),
        ast::Expr::Value(value) => match &mut value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_renamed_and_nothing_else_is() {
        let renamed = |text| rename_column(text, "a", "order").unwrap();
        assert_eq!(renamed("A > 0 AND b < t.a"), "\"order\" > 0 AND b < t.\"order\"");
        assert_eq!(renamed("lower('a') = b"), "lower('a') = b");
        assert!(text_mentions("coalesce(a, 0) > 1", "a").unwrap());
        assert!(!text_mentions("coalesce(\"A\", 0) > 1", "a").unwrap());
    }

    #[test]
    fn sequences_are_found_where_they_are_drawn_from() {
        let is_it = |name: &str| name == "s";
        let renamed = |text| rename_sequence(text, &is_it, "public.t").unwrap();
        let nextval = "nextval('s'::regclass)";
        assert_eq!(renamed(nextval).as_deref(), Some("nextval('public.t'::regclass)"));
        assert_eq!(renamed("'s' || nextval('other')"), None);
    }
}
