//! Calls of functions, and the syntax that stands for some of them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use satsuma_common::PgType;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, TrimWhereField};

use super::coerce::{coerce, settled, unified};
use super::node::{Bound, Frame, Kind, Node, Over, Window};
use super::query::Sort;
use super::resolve::Resolver;
use crate::bind;
use crate::casts::CastKind;
use crate::declared::{self, Procedure};
use crate::functions::signature::{Choice, Pattern, choose_function};
use crate::parse::{Exclude, VARIADIC};

/// Functions that are called as words, and what they give.
const WORDS: &[(&str, PgType)] = &[
    ("current_date", PgType::Date),
    ("current_timestamp", PgType::Timestamptz),
    ("localtimestamp", PgType::Timestamp),
    ("localtime", PgType::Time),
    ("current_user", PgType::Name),
    ("session_user", PgType::Name),
    ("current_role", PgType::Name),
    ("user", PgType::Name),
    ("current_catalog", PgType::Name),
    ("current_schema", PgType::Name),
];

static FUNCTIONS: LazyLock<BTreeMap<String, Vec<Arc<Procedure>>>> = LazyLock::new(|| {
    let mut all: BTreeMap<String, Vec<Arc<Procedure>>> = BTreeMap::new();
    for procedure in declared::functions() {
        all.entry(procedure.name.clone()).or_default().push(Arc::new(procedure));
    }
    all
});

/// Whether the function that is called with these arguments is immutable.
pub(super) fn is_immutable(name: &str, args: &[Node]) -> bool {
    let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
    let Some(candidates) = FUNCTIONS.get(name) else { return true };
    match choose_function(candidates, &types) {
        Choice::One(procedure) => procedure.volatility == 'i',
        // An array of arguments.
        Choice::None | Choice::Ambiguous => {
            candidates.iter().all(|procedure| procedure.volatility == 'i')
        }
    }
}

impl Resolver<'_> {
    /// A function by name, with the arguments cast to what it is declared for.
    pub fn call(&self, name: &str, args: Vec<Node>) -> Option<Node> {
        self.call_of(name, args, false)
    }

    /// The same in FROM, where sets of values may stand, which are of no composite type.
    pub fn call_in_from(&self, name: &str, args: Vec<Node>) -> Option<Node> {
        let call = self.call_of(name, args, true)?;
        let is_plain = matches!(call.kind, Kind::Call { .. });
        (is_plain && call.ty != PgType::Record).then_some(call)
    }

    fn call_of(&self, name: &str, args: Vec<Node>, sets: bool) -> Option<Node> {
        if name == "grouping" {
            let words = std::iter::once("").chain(std::iter::repeat(", "));
            let (opening, parts) = ("GROUPING(".to_owned(), words.zip(args).collect());
            return Some(Node::new(Kind::Syntax { opening, parts, closing: ")" }, PgType::Int4));
        }
        if let ("like_escape", [pattern, escape]) = (name, args.as_slice()) {
            let args =
                [pattern, escape].map(|arg| coerce(arg.clone(), &PgType::Text, CastKind::Implicit));
            let args = args.into_iter().collect::<Option<_>>()?;
            return Some(Node::new(
                Kind::Call { name: name.to_owned(), args, variadic: false },
                PgType::Text,
            ));
        }
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let candidates = FUNCTIONS.get(name)?;
        let Choice::One(procedure) = choose_function(candidates, &types) else { return None };
        if procedure.kind != declared::Kind::Plain || procedure.returns_set && !sets {
            return None;
        }
        let signature = &procedure.signature;
        let (parameters, ty) = signature.resolve(&types)?;
        let fixed = signature.parameters.len().saturating_sub(usize::from(signature.variadic));
        let mut given = Vec::with_capacity(args.len());
        for (at, (arg, parameter)) in args.into_iter().zip(&parameters).enumerate() {
            let pattern = signature.parameters.get(at).or(signature.parameters.last());
            // What may be anything stays a literal of no type.
            given.push(match pattern {
                Some(Pattern::Any) => arg,
                _ => coerce(arg, parameter, CastKind::Implicit)?,
            });
        }
        let spread =
            signature.variadic && !matches!(signature.parameters.last(), Some(Pattern::Any));
        if spread {
            let rest = given.split_off(fixed);
            let element = rest.first()?.ty.without_modifier();
            given.push(Node::new(Kind::Array(rest), PgType::Array(Box::new(element))));
        }
        Some(Node::new(Kind::Call { name: name.to_owned(), args: given, variadic: spread }, ty))
    }

    /// A call whose last argument is an array of arguments.
    fn spread_call(&self, name: &str, mut args: Vec<Node>) -> Option<Node> {
        let array = args.pop()?;
        let PgType::Array(element) = &array.ty else { return None };
        args.push(Node::new(Kind::Constant(None), element.as_ref().clone()));
        let mut call = self.call(name, args)?;
        if let Kind::Call { args, variadic, .. } = &mut call.kind {
            args.pop();
            args.push(array);
            *variadic = true;
        }
        Some(call)
    }

    /// What is written in a way of its own.
    pub fn syntax(&self, expr: &ast::Expr) -> Option<Node> {
        match expr {
            ast::Expr::Function(call) => self.function(call),
            ast::Expr::Ceil { expr, .. } => self.call("ceil", vec![self.node(expr)?]),
            ast::Expr::Floor { expr, .. } => self.call("floor", vec![self.node(expr)?]),
            ast::Expr::Extract { field, expr, .. } => {
                let field = field.to_string().to_lowercase();
                let name = Node::new(Kind::Constant(Some(field.clone())), PgType::Unknown);
                let (mut args, ty) = self.arguments("extract", vec![name, self.node(expr)?])?;
                let opening = format!("EXTRACT({field} FROM ");
                let parts = vec![("", args.pop()?)];
                Some(Node::new(Kind::Syntax { opening, parts, closing: ")" }, ty))
            }
            ast::Expr::AtTimeZone { timestamp, time_zone } => {
                let args = vec![self.node(time_zone)?, self.node(timestamp)?];
                let (mut args, ty) = self.arguments("timezone", args)?;
                let (value, zone) = (Box::new(args.pop()?), Box::new(args.pop()?));
                Some(Node::new(Kind::AtTimeZone { value, zone }, ty))
            }
            ast::Expr::Position { expr, r#in } => {
                let args = vec![self.node(r#in)?, self.node(expr)?];
                let (mut args, ty) = self.arguments("position", args)?;
                let parts = vec![("", args.pop()?), (") IN (", args.pop()?)];
                let opening = "POSITION((".to_owned();
                Some(Node::new(Kind::Syntax { opening, parts, closing: "))" }, ty))
            }
            ast::Expr::Substring { expr, substring_from, substring_for, special, shorthand } => {
                self.substring(
                    expr,
                    substring_from.as_deref()?,
                    substring_for.as_deref(),
                    (*special, *shorthand),
                )
            }
            ast::Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args =
                    vec![self.node(expr)?, self.node(overlay_what)?, self.node(overlay_from)?];
                if let Some(length) = overlay_for {
                    args.push(self.node(length)?);
                }
                let (args, ty) = self.arguments("overlay", args)?;
                let words = ["", " PLACING ", " FROM ", " FOR "];
                let parts = words.into_iter().zip(args).collect();
                let opening = "OVERLAY(".to_owned();
                Some(Node::new(Kind::Syntax { opening, parts, closing: ")" }, ty))
            }
            ast::Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                self.trim(*trim_where, trim_what.as_deref(), expr)
            }
            _ => None,
        }
    }

    /// The arguments of a function cast, and its result.
    fn arguments(&self, name: &str, args: Vec<Node>) -> Option<(Vec<Node>, PgType)> {
        let call = self.call(name, args)?;
        match call.kind {
            Kind::Call { args, .. } => Some((args, call.ty)),
            _ => None,
        }
    }

    fn substring(
        &self,
        value: &ast::Expr,
        from: &ast::Expr,
        length: Option<&ast::Expr>,
        (is_call, is_short): (bool, bool),
    ) -> Option<Node> {
        let mut args = vec![self.node(value)?, self.node(from)?];
        if let Some(length) = length {
            args.push(self.node(length)?);
        }
        let by_place = args[1].ty.is_integer();
        if is_short {
            return self.call("substr", args);
        }
        if is_call || !by_place {
            return self.call("substring", args);
        }
        let (args, ty) = self.arguments("substring", args)?;
        let parts = ["", " FROM ", " FOR "].into_iter().zip(args).collect();
        let opening = "SUBSTRING(".to_owned();
        Some(Node::new(Kind::Syntax { opening, parts, closing: ")" }, ty))
    }

    fn trim(
        &self,
        side: Option<TrimWhereField>,
        what: Option<&ast::Expr>,
        value: &ast::Expr,
    ) -> Option<Node> {
        let (name, word) = match side {
            None | Some(TrimWhereField::Both) => ("btrim", "TRIM(BOTH "),
            Some(TrimWhereField::Leading) => ("ltrim", "TRIM(LEADING "),
            Some(TrimWhereField::Trailing) => ("rtrim", "TRIM(TRAILING "),
        };
        let mut args = vec![self.node(value)?];
        if let Some(what) = what {
            args.push(self.node(what)?);
        }
        let (args, ty) = self.arguments(name, args)?;
        let mut args = args.into_iter();
        let value = args.next()?;
        let parts = match args.next() {
            Some(what) => vec![("", what), (" FROM ", value)],
            None => vec![("FROM ", value)],
        };
        Some(Node::new(Kind::Syntax { opening: word.to_owned(), parts, closing: ")" }, ty))
    }

    /// An aggregate over rows; `None` for another function, and for what is rare of aggregates.
    fn aggregate(&self, name: &str, call: &ast::Function) -> Option<Node> {
        let FunctionArguments::List(list) = &call.args else { return None };
        let mut order_by = Vec::new();
        for clause in &list.clauses {
            let ast::FunctionArgumentClause::OrderBy(keys) = clause else { return None };
            order_by.extend(self.sorts(keys)?);
        }
        let mut args = Vec::new();
        let mut star = false;
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => args.push(self.node(value)?),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => star = true,
                _ => return None,
            }
        }
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let candidates = candidates(name, declared::Kind::Aggregate)?;
        let Choice::One(procedure) = choose_function(&candidates, &types) else { return None };
        let (parameters, ty) = procedure.signature.resolve(&types)?;
        let args = args
            .into_iter()
            .zip(&parameters)
            .map(|(arg, parameter)| match procedure.signature.parameters.first() {
                Some(Pattern::Any) => Some(arg),
                _ => coerce(arg, parameter, CastKind::Implicit),
            })
            .collect::<Option<_>>()?;
        let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let filter = match &call.filter {
            Some(filter) => Some(Box::new(self.boolean(filter)?)),
            None => None,
        };
        let name = name.to_owned();
        Some(Node::new(Kind::Aggregate { name, args, distinct, star, order_by, filter }, ty))
    }

    /// A function over the rows of a window.
    fn windowed(&self, call: &ast::Function, over: &ast::WindowType) -> Option<Node> {
        let (schema, name) = bind::qualified_name(&call.name, "").ok()?;
        let is_plain = schema.is_none()
            && call.within_group.is_empty()
            && call.null_treatment.is_none()
            && call.parameters == FunctionArguments::None;
        if !is_plain {
            return None;
        }
        let over = match over {
            ast::WindowType::NamedWindow(name) => Over::Named(bind::fold(name)),
            ast::WindowType::WindowSpec(window) => Over::Window(Box::new(self.window(window)?)),
        };
        let called = match crate::aggregates::is_aggregate(&name) {
            true => self.aggregate(&name, call)?,
            false => self.window_call(&name, call)?,
        };
        let ty = called.ty.clone();
        Some(Node::new(Kind::Windowed { call: Box::new(called), over }, ty))
    }

    /// A function that is for windows alone.
    fn window_call(&self, name: &str, call: &ast::Function) -> Option<Node> {
        let FunctionArguments::List(list) = &call.args else { return None };
        if !list.clauses.is_empty() || list.duplicate_treatment.is_some() || call.filter.is_some() {
            return None;
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = arg else { return None };
            args.push(self.node(value)?);
        }
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let candidates = candidates(name, declared::Kind::Window)?;
        let Choice::One(procedure) = choose_function(&candidates, &types) else { return None };
        let (parameters, ty) = procedure.signature.resolve(&types)?;
        let args = args
            .into_iter()
            .zip(&parameters)
            .map(|(arg, parameter)| coerce(arg, parameter, CastKind::Implicit))
            .collect::<Option<_>>()?;
        Some(Node::new(Kind::Call { name: name.to_owned(), args, variadic: false }, ty))
    }

    /// What OVER or WINDOW says.
    pub fn window(&self, window: &ast::WindowSpec) -> Option<Window> {
        let (base, exclude) = crate::parse::excluded(window.window_name.as_ref());
        let partition_by = window
            .partition_by
            .iter()
            .map(|key| settled(self.node(key)?))
            .collect::<Option<_>>()?;
        let frame = match &window.window_frame {
            Some(frame) => Some(self.frame(frame, exclude)?),
            None => None,
        };
        Some(Window {
            base: base.as_ref().map(bind::fold),
            partition_by,
            order_by: self.sorts(&window.order_by)?,
            frame,
        })
    }

    fn sorts(&self, keys: &[ast::OrderByExpr]) -> Option<Vec<Sort>> {
        let sort =
            |key: &ast::OrderByExpr| Some(Sort::new(settled(self.node(&key.expr)?)?, &key.options));
        keys.iter().map(sort).collect()
    }

    fn frame(&self, frame: &ast::WindowFrame, exclude: Option<Exclude>) -> Option<Frame> {
        let units = match frame.units {
            ast::WindowFrameUnits::Rows => "ROWS",
            ast::WindowFrameUnits::Range => "RANGE",
            ast::WindowFrameUnits::Groups => "GROUPS",
        };
        let bound = |bound: &ast::WindowFrameBound| {
            let (distance, all, some) = match bound {
                ast::WindowFrameBound::CurrentRow => {
                    return Some(Bound { distance: None, words: "CURRENT ROW" });
                }
                ast::WindowFrameBound::Preceding(distance) => {
                    (distance, "UNBOUNDED PRECEDING", "PRECEDING")
                }
                ast::WindowFrameBound::Following(distance) => {
                    (distance, "UNBOUNDED FOLLOWING", "FOLLOWING")
                }
            };
            let Some(distance) = distance else {
                return Some(Bound { distance: None, words: all });
            };
            let distance = self.node(distance)?;
            // Rows and groups are counted; a range has the type that is added to the column's.
            let distance = match frame.units {
                ast::WindowFrameUnits::Range if distance.ty == PgType::Unknown => return None,
                ast::WindowFrameUnits::Range => distance,
                _ => coerce(distance, &PgType::Int8, CastKind::Implicit)?,
            };
            Some(Bound { distance: Some(distance), words: some })
        };
        Some(Frame {
            units,
            start: bound(&frame.start_bound)?,
            end: match &frame.end_bound {
                Some(end) => Some(bound(end)?),
                None => None,
            },
            exclude: exclude.map(|exclude| match exclude {
                Exclude::CurrentRow => "CURRENT ROW",
                Exclude::Group => "GROUP",
                Exclude::Ties => "TIES",
            }),
        })
    }

    fn function(&self, call: &ast::Function) -> Option<Node> {
        if let Some(over) = &call.over {
            return self.windowed(call, over);
        }
        let (schema, name) = bind::qualified_name(&call.name, "").ok()?;
        if schema.is_none()
            && call.within_group.is_empty()
            && crate::aggregates::is_aggregate(&name)
        {
            return self.aggregate(&name, call);
        }
        let is_plain = call.filter.is_none()
            && call.within_group.is_empty()
            && call.null_treatment.is_none()
            && call.parameters == FunctionArguments::None;
        if !is_plain || !matches!(schema.as_deref(), None | Some("pg_catalog")) {
            return None;
        }
        let list = match &call.args {
            FunctionArguments::None => {
                let (word, ty) = WORDS.iter().find(|(word, _)| *word == name)?;
                return Some(Node::new(Kind::Word(word.to_uppercase()), ty.clone()));
            }
            FunctionArguments::Subquery(query) if name == "array" && schema.is_none() => {
                return self.array_of(query);
            }
            FunctionArguments::Subquery(_) => return None,
            FunctionArguments::List(list) => list,
        };
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return None;
        }
        let mut args = Vec::with_capacity(list.args.len());
        let mut spread = false;
        for arg in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = arg else { return None };
            args.push(match value {
                ast::Expr::Prefixed { prefix, value } if prefix.value == VARIADIC => {
                    spread = true;
                    self.node(value)?
                }
                value => self.node(value)?,
            });
        }
        if spread {
            return self.spread_call(&name, args);
        }
        match name.as_str() {
            "coalesce" => self.special("COALESCE", args),
            "greatest" => self.special("GREATEST", args),
            "least" => self.special("LEAST", args),
            "nullif" => {
                let [value, other] = <[Node; 2]>::try_from(args).ok()?;
                let equal = self.operator("=", Some(value), other)?;
                let Kind::Operator { left, right, .. } = equal.kind else { return None };
                let args = vec![*left?, *right];
                let ty = args[0].ty.clone();
                Some(Node::new(Kind::Special { name: "NULLIF", args }, ty))
            }
            "row" => {
                let fields = args.into_iter().map(settled).collect::<Option<_>>()?;
                Some(Node::new(Kind::Row(fields), PgType::Record))
            }
            // A precision after the word.
            _ if WORDS.iter().any(|(word, _)| *word == name) => None,
            _ => self.call(&name, args),
        }
    }

    fn special(&self, name: &'static str, args: Vec<Node>) -> Option<Node> {
        let (args, ty) = unified(args)?;
        Some(Node::new(Kind::Special { name, args }, ty))
    }
}

/// The functions of a name and a kind.
fn candidates(name: &str, kind: declared::Kind) -> Option<Vec<Arc<Procedure>>> {
    Some(FUNCTIONS.get(name)?.iter().filter(|procedure| procedure.kind == kind).cloned().collect())
}
