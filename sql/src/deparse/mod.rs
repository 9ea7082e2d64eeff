//! Stored expressions and queries as PostgreSQL prints them: every implicit cast written out,
//! constants with their types, parentheses where PostgreSQL puts them.
//!
//! ```text
//! ast::Expr --resolve--> Node (typed, casts inserted) --print--> CHECK ((price > (0)::numeric))
//! ```
//!
//! What is stored is the text as it was written; it is bound from that text, and only shown
//! otherwise. What is not understood here gives `None`: the reader sees the text as it is stored.
//!
//! | file | what |
//! |---|---|
//! | `node` | the typed tree |
//! | `resolve` | from the parser's tree to the typed one, by the declared functions and operators |
//! | `call` | calls of functions, and the syntax that stands for some of them |
//! | `coerce` | casts that PostgreSQL would insert |
//! | `query` | queries over typed expressions |
//! | `volatility` | whether a value is the same whoever asks |
//! | `print`, `print_query` | from the typed tree to text |

mod call;
mod coerce;
mod node;
mod print;
mod print_query;
mod query;
mod resolve;
#[cfg(test)]
mod tests;
mod volatility;

use satsuma_common::{Oid, PgType};
use sqlparser::ast;

use crate::casts::CastKind;
use node::Node;
use resolve::Resolver;

/// What names in a text stand for.
pub trait World: Send + Sync {
    /// A type of a user.
    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType>;

    /// The name of such a type, as it is to be shown.
    fn type_name(&self, oid: Oid) -> Option<String>;

    /// A relation as it is to be shown, and its columns.
    fn relation(&self, _name: &ast::ObjectName) -> Option<(String, Vec<(String, PgType)>)> {
        None
    }
}

/// Where a column may come from.
pub trait Scope {
    /// The column's qualifier as it is to be shown, and its type.
    fn column(&self, qualifier: Option<&str>, name: &str) -> Option<(Option<String>, PgType)>;

    /// A query that may name these columns; only queries may hold others.
    fn subquery(&self, _query: &ast::Query, _world: &dyn World) -> Option<Subquery> {
        None
    }
}

/// A query within an expression, and the types of its columns.
pub struct Subquery {
    query: query::Query,
    types: Vec<PgType>,
}

/// Columns of one table, which need no qualifier.
pub struct TableScope<'a> {
    pub columns: &'a [(&'a str, &'a PgType)],
}

impl Scope for TableScope<'_> {
    fn column(&self, _: Option<&str>, name: &str) -> Option<(Option<String>, PgType)> {
        let (_, ty) = self.columns.iter().find(|(known, _)| *known == name)?;
        Some((None, (*ty).clone()))
    }
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Only the parentheses that are needed.
    pub pretty: bool,
    /// CASE over several lines.
    pub indent: bool,
}

/// An expression over the columns of a scope; `to` is the type of the column that it is stored
/// into. `None` where something in it is not understood.
pub fn expression(
    expr: &ast::Expr,
    to: Option<&PgType>,
    scope: &dyn Scope,
    world: &dyn World,
    style: Style,
) -> Option<String> {
    let resolver = Resolver { scope, world };
    let mut node = resolver.node(expr)?;
    node = match to {
        Some(ty) => coerce::coerce(node, ty, CastKind::Assignment)?,
        None => coerce::settled(node)?,
    };
    Some(print::print(&node, world, style))
}

/// Whether an expression gives the same for the same row at all times and in all sessions.
pub fn is_immutable(expr: &ast::Expr, scope: &dyn Scope, world: &dyn World) -> Option<bool> {
    Some(Resolver { scope, world }.node(expr)?.is_immutable())
}

/// Whether an expression of an index stands there without parentheses: a call.
pub fn is_call(expr: &ast::Expr, scope: &dyn Scope, world: &dyn World) -> Option<bool> {
    let node = Resolver { scope, world }.node(expr)?;
    Some(matches!(node.kind, node::Kind::Call { .. }))
}

/// The query of a view whose columns have these names.
pub fn view(
    query: &ast::Query,
    columns: &[&str],
    world: &dyn World,
    pretty: bool,
) -> Option<String> {
    let query = query::query(query, Some(columns), world)?;
    Some(print::print_query(&query, world, Style { pretty, indent: true }))
}

/// A condition.
pub fn condition(
    expr: &ast::Expr,
    scope: &dyn Scope,
    world: &dyn World,
    style: Style,
) -> Option<String> {
    expression(expr, Some(&PgType::Bool), scope, world, style)
}

fn is_unknown_constant(node: &Node) -> bool {
    node.ty == PgType::Unknown && matches!(node.kind, node::Kind::Constant(_))
}
