//! State of binding one statement: fresh names, parameter types, positions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Placeholder;
use satsuma_common::{ColumnId, Oid, PgType, SqlError, SqlResult, SqlState, TableId, arrow_types};
use sqlparser::ast::{self, Ident, Spanned};
use sqlparser::tokenizer::Span;

use super::BindContext;
use super::stars::Stars;
use crate::catalog_view::{CatalogView, Relation};
use crate::functions::{FunctionEnv, ParameterTypes, Typed};
use crate::parse::Source;

/// Highest parameter number that PostgreSQL's protocol can send.
const MAX_PARAMETERS: usize = 65_535;

pub(super) struct Binder<'a> {
    pub catalog: &'a dyn CatalogView,
    pub env: FunctionEnv,
    pub source: Arc<Source>,
    parameters: Arc<Parameters>,
    next: Rc<Cell<usize>>,
    /// Nodes of the plans that views and WITH queries stood for, so far.
    pub(super) referenced_nodes: Rc<Cell<usize>>,
    /// Whether WITH queries may be evaluated before the statement; not where a query alone can
    /// stand.
    pub(super) keeps_queries: Rc<Cell<bool>>,
    /// Schemas to look in for unqualified names, where that is not the session's path.
    pub search_path: Option<Vec<String>>,
    /// Views within views so far.
    pub view_depth: u32,
    /// The view whose text is bound.
    pub view: Option<Oid>,
    /// `false` for the query of a view that is made: who reads it later must be allowed to.
    pub(super) checks_access: bool,
    /// Tables and views that may be read in part, by the columns that may be.
    pub(super) read_in_part: Rc<RefCell<BTreeMap<TableId, Vec<ColumnId>>>>,
    /// Where what stars mean is noted, for a query that is to be stored.
    pub(super) stars: Option<Rc<Stars>>,
    /// `false` inside a view: positions there mean nothing to the user.
    positions: bool,
}

impl<'a> Binder<'a> {
    pub fn new(context: &BindContext<'a>, source: Arc<Source>) -> Self {
        let parameters = match context.param_types {
            Some(types) => Parameters::new(types, context.param_values),
            None => Parameters::none(),
        };
        let parameters = Arc::new(parameters);
        let mut env = context.env.clone();
        env.parameters = Some(parameters.clone());
        Self {
            catalog: context.catalog,
            env,
            source,
            parameters,
            next: Rc::default(),
            referenced_nodes: Rc::default(),
            keeps_queries: Rc::new(Cell::new(true)),
            search_path: None,
            view_depth: 0,
            view: None,
            checks_access: true,
            read_in_part: Rc::default(),
            stars: None,
            positions: true,
        }
    }

    /// A binder for a view's text, which shares names but has no parameters and no positions.
    pub fn for_view(&self, source: Arc<Source>, search_path: Vec<String>, view: Oid) -> Self {
        let mut env = self.env.clone();
        env.search_path = Arc::new(search_path.clone());
        Self {
            catalog: self.catalog,
            env,
            source,
            parameters: Arc::new(Parameters::none()),
            next: self.next.clone(),
            referenced_nodes: self.referenced_nodes.clone(),
            keeps_queries: self.keeps_queries.clone(),
            search_path: Some(search_path),
            view_depth: self.view_depth + 1,
            view: Some(view),
            checks_access: self.checks_access,
            read_in_part: Rc::default(),
            stars: None,
            positions: false,
        }
    }

    /// A binder for a text that stands for the statement: its parameters are the statement's, its
    /// positions mean nothing to the user.
    pub fn for_rewritten_text(&self, source: Arc<Source>) -> Self {
        let parameters = self.parameters.clone();
        Self { env: self.env.clone(), parameters, ..self.for_stored_text(source) }
    }

    /// A binder for an expression that the catalog holds as text.
    pub fn for_stored_text(&self, source: Arc<Source>) -> Self {
        Self {
            catalog: self.catalog,
            env: self.env.clone(),
            source,
            parameters: Arc::new(Parameters::none()),
            next: self.next.clone(),
            referenced_nodes: self.referenced_nodes.clone(),
            keeps_queries: self.keeps_queries.clone(),
            search_path: self.search_path.clone(),
            view_depth: self.view_depth,
            view: self.view,
            checks_access: self.checks_access,
            read_in_part: self.read_in_part.clone(),
            stars: None,
            positions: false,
        }
    }

    /// A number that no other name of this statement has.
    pub fn number(&self) -> usize {
        let next = self.next.get() + 1;
        self.next.set(next);
        next
    }

    /// A fresh column, named after `name` for people who read plans.
    pub fn fresh(&self, name: &str) -> Column {
        Column::new_unqualified(format!("{name}#{}", self.number()))
    }

    /// Position of the word before the parenthesis or bracket that opens in front of a span.
    pub fn position_of_opening_word(&self, span: Span) -> u32 {
        if self.positions { self.source.word_before(span.start) } else { 0 }
    }

    /// Position of a span's start, 0 where there is none.
    pub fn position(&self, span: Span) -> u32 {
        if self.positions { self.source.position(span.start) } else { 0 }
    }

    pub fn ident_position(&self, ident: &Ident) -> u32 {
        self.position(ident.span)
    }

    /// Position of the operator that follows an operand.
    pub fn operator_position(&self, left: &impl Spanned) -> u32 {
        let end = left.span().end;
        if !self.positions || end.line == 0 { 0 } else { self.source.operator_after(end) }
    }

    /// Position of the cast that follows an operand.
    pub fn cast_position(&self, operand: &ast::Expr) -> u32 {
        let end = operand.span().end;
        let (mut inner, mut casts) = (operand, 0);
        loop {
            inner = match inner {
                ast::Expr::Nested(inner) => inner,
                ast::Expr::Cast { expr, .. } => {
                    casts += 1;
                    expr
                }
                _ => break,
            };
        }
        if !self.positions || end.line == 0 { 0 } else { self.source.cast_after(end, casts) }
    }

    pub fn relation(&self, schema: Option<&str>, name: &str) -> Option<Relation> {
        match (&self.search_path, schema) {
            (Some(path), None) => self
                .catalog
                .relation(Some("pg_catalog"), name)
                .or_else(|| path.iter().find_map(|s| self.catalog.relation(Some(s), name))),
            _ => self.catalog.relation(schema, name),
        }
    }

    /// `$n`.
    pub fn parameter(&self, text: &str) -> SqlResult<Typed> {
        let number = text.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let number = match number {
            Some(n) if (1..=MAX_PARAMETERS).contains(&n) && self.parameters.accepted => n,
            _ => {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_PARAMETER,
                    format!("there is no parameter {text}"),
                ));
            }
        };
        let id = format!("${number}");
        let ty = self.parameters.use_number(number)?;
        let field = ty.as_ref().map(|ty| arrow_types::field_ref(&id, ty, true));
        let expr = Expr::Placeholder(Placeholder { id, field });
        Ok(Typed { expr, ty: ty.unwrap_or(PgType::Unknown) })
    }

    /// Types of `$1` up to the highest that was used; 42P18 where one was never given a type.
    pub fn finish_parameters(&self) -> SqlResult<Vec<PgType>> {
        self.parameters.finish()
    }
}

/// Types of the statement's parameters, shared with `casts`, which tell what an untyped one is
/// used as.
struct Parameters {
    accepted: bool,
    /// Types that are declared or inferred; `None` until then.
    types: Mutex<Vec<Option<PgType>>>,
    /// Empty until the statement is executed.
    values: Vec<ScalarValue>,
}

impl Parameters {
    fn new(declared: &[Option<PgType>], values: &[ScalarValue]) -> Self {
        let types =
            declared.iter().map(|ty| ty.clone().filter(|ty| *ty != PgType::Unknown)).collect();
        Self { accepted: true, types: Mutex::new(types), values: values.to_vec() }
    }

    fn none() -> Self {
        Self { accepted: false, types: Mutex::default(), values: Vec::new() }
    }

    fn types(&self) -> std::sync::MutexGuard<'_, Vec<Option<PgType>>> {
        self.types.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn use_number(&self, number: usize) -> SqlResult<Option<PgType>> {
        let mut types = self.types();
        if types.len() < number {
            types.resize(number, None);
        }
        Ok(types[number - 1].clone())
    }

    fn finish(&self) -> SqlResult<Vec<PgType>> {
        self.types()
            .iter()
            .enumerate()
            .map(|(i, ty)| {
                ty.clone().ok_or_else(|| {
                    SqlError::new(
                        SqlState::INDETERMINATE_DATATYPE,
                        format!("could not determine data type of parameter ${}", i + 1),
                    )
                })
            })
            .collect()
    }
}

impl ParameterTypes for Parameters {
    fn infer(&self, id: &str, ty: &PgType) -> SqlResult<PgType> {
        let mut types = self.types();
        let slot = index_of(id).and_then(|at| types.get_mut(at));
        let Some(slot) = slot else {
            return Err(SqlError::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter {id}"),
            ));
        };
        let bare = ty.without_modifier();
        match slot {
            None => {
                *slot = Some(bare.clone());
                Ok(bare)
            }
            Some(known) if *known == bare => Ok(bare),
            Some(known) => Err(SqlError::new(
                SqlState::AMBIGUOUS_PARAMETER,
                format!("inconsistent types deduced for parameter {id}"),
            )
            .detail(format!("{known} versus {bare}"))),
        }
    }
    fn value(&self, id: &str) -> Option<ScalarValue> {
        index_of(id).and_then(|at| self.values.get(at)).cloned()
    }
}

/// The place of `$n` among the parameters.
fn index_of(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}
