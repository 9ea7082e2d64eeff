//! The typed tree as text, by the rules of PostgreSQL's own printer: which parentheses, which
//! casts, which line breaks.

use satsuma_common::PgType;

use super::node::{Kind, Node, Over, Subject, Way};
use super::query::Query;
use super::{Style, World};
use crate::functions::quote_ident;

/// How far CASE moves its branches in.
const STEP: usize = 4;

pub(super) fn print(node: &Node, world: &dyn World, style: Style) -> String {
    let mut printer = Printer { text: String::new(), world, style, level: 0 };
    printer.node(node, false);
    printer.text
}

/// A query, as a view's definition shows it.
pub(super) fn print_query(query: &Query, world: &dyn World, style: Style) -> String {
    let mut printer = Printer { text: String::new(), world, style, level: 0 };
    printer.query(query, 0);
    printer.text
}

pub(super) struct Printer<'a> {
    pub text: String,
    pub world: &'a dyn World,
    pub style: Style,
    pub level: usize,
}

impl Printer<'_> {
    pub fn word(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Parentheses that pretty printing leaves out.
    fn plain_parenthesis(&mut self, parenthesis: char) {
        if !self.style.pretty {
            self.text.push(parenthesis);
        }
    }

    /// A key word of a CASE, on a line of its own where lines are broken.
    fn line(&mut self, word: &str) {
        if !self.style.indent {
            self.word(word);
            return;
        }
        self.break_line(self.level);
        self.word(word);
    }

    /// A new line, moved in.
    pub fn break_line(&mut self, level: usize) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', level));
    }

    /// `shown`: casts that nobody wrote are shown, too.
    #[recursive::recursive]
    pub fn node(&mut self, node: &Node, shown: bool) {
        match &node.kind {
            Kind::Column { qualifier, name } => {
                if let Some(qualifier) = qualifier {
                    self.word(&quote_ident(qualifier));
                    self.text.push('.');
                }
                self.word(&quote_ident(name));
            }
            Kind::Constant(text) => self.constant(text.as_deref(), &node.ty, true),
            Kind::Cast { value, explicit, .. } => {
                if *explicit || shown {
                    self.cast(value, node)
                } else {
                    self.inner(value, node, false)
                }
            }
            Kind::Operator { name, left, right } => {
                self.plain_parenthesis('(');
                match left {
                    Some(left) => {
                        self.inner(left, node, true);
                        self.word(&format!(" {name} "));
                    }
                    None => self.word(&format!("{name} ")),
                }
                self.inner(right, node, true);
                self.plain_parenthesis(')');
            }
            Kind::Call { name, args, variadic } => {
                self.word(&quote_ident(name));
                self.text.push('(');
                for (at, arg) in args.iter().enumerate() {
                    if at > 0 {
                        self.word(", ");
                    }
                    if *variadic && at + 1 == args.len() {
                        self.word("VARIADIC ");
                    }
                    self.node(arg, true);
                }
                self.text.push(')');
            }
            Kind::Aggregate { name, args, distinct, star, order_by, filter } => {
                self.word(&quote_ident(name));
                self.word(if *distinct { "(DISTINCT " } else { "(" });
                if *star {
                    self.text.push('*');
                }
                self.list(args, true);
                if !order_by.is_empty() {
                    self.word(" ORDER BY ");
                    self.sorts(order_by);
                }
                self.text.push(')');
                if let Some(filter) = filter {
                    self.word(" FILTER (WHERE ");
                    self.node(filter, false);
                    self.text.push(')');
                }
            }
            Kind::Windowed { call, over } => {
                self.node(call, true);
                self.word(" OVER ");
                match over {
                    Over::Named(name) => self.word(&quote_ident(name)),
                    Over::Window(window) => self.window(window),
                }
            }
            Kind::Subquery { test, query } => self.subquery(test, query, node),
            Kind::Place(place) => self.word(&place.to_string()),
            Kind::Grouping { .. } => self.key(node),
            Kind::Syntax { opening, parts, closing } => {
                self.word(opening);
                for (word, part) in parts {
                    self.word(word);
                    self.node(part, false);
                }
                self.word(closing);
            }
            Kind::AtTimeZone { value, zone } => {
                self.text.push('(');
                self.inner(value, node, false);
                self.word(" AT TIME ZONE ");
                self.inner(zone, node, false);
                self.text.push(')');
            }
            Kind::And(args) => self.connected(args, " AND ", node),
            Kind::Or(args) => self.connected(args, " OR ", node),
            Kind::Not(value) => {
                self.plain_parenthesis('(');
                self.word("NOT ");
                self.inner(value, node, false);
                self.plain_parenthesis(')');
            }
            Kind::NullTest { value, negated } => {
                self.plain_parenthesis('(');
                self.inner(value, node, true);
                self.word(if *negated { " IS NOT NULL" } else { " IS NULL" });
                self.plain_parenthesis(')');
            }
            Kind::TruthTest { value, test } => {
                self.plain_parenthesis('(');
                self.inner(value, node, false);
                self.word(if test.negated { " IS NOT " } else { " IS " });
                self.word(test.word);
                self.plain_parenthesis(')');
            }
            Kind::Distinct { left, right } => {
                self.plain_parenthesis('(');
                self.inner(left, node, true);
                self.word(" IS DISTINCT FROM ");
                self.inner(right, node, true);
                self.plain_parenthesis(')');
            }
            Kind::Quantified { operator, left, right, all } => {
                self.plain_parenthesis('(');
                self.inner(left, node, true);
                self.word(&format!(" {operator} {} (", if *all { "ALL" } else { "ANY" }));
                self.inner(right, node, true);
                self.text.push(')');
                self.plain_parenthesis(')');
            }
            Kind::Array(values) => {
                self.word("ARRAY[");
                self.list(values, true);
                self.text.push(']');
                if values.is_empty() {
                    self.label(&node.ty);
                }
            }
            Kind::Special { name, args } => {
                self.word(name);
                self.text.push('(');
                self.list(args, true);
                self.text.push(')');
            }
            Kind::Word(word) => self.word(word),
            Kind::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise);
            }
            Kind::Subscript { value, index } => {
                let bare = matches!(value.kind, Kind::Column { .. });
                if !bare {
                    self.text.push('(');
                }
                self.node(value, shown);
                if !bare {
                    self.text.push(')');
                }
                self.text.push('[');
                self.node(index, false);
                self.text.push(']');
            }
            Kind::Row(values) => {
                self.word("ROW(");
                self.list(values, true);
                self.text.push(')');
            }
            Kind::RowCompare { operator, left, right } => {
                self.word("(ROW(");
                self.list(left, true);
                self.word(&format!(") {operator} ROW("));
                self.list(right, true);
                self.word("))");
            }
        }
    }

    fn subquery(&mut self, test: &Subject, query: &Query, node: &Node) {
        self.word(if *test == Subject::Array { "ARRAY(" } else { "(" });
        let encloses = match test {
            Subject::Value | Subject::Array => false,
            Subject::Exists => {
                self.word("EXISTS (");
                true
            }
            Subject::Compared { left, operator, all } => {
                match left.as_slice() {
                    [left] => self.inner(left, node, true),
                    row => {
                        self.word("(");
                        self.list(row, true);
                        self.word(")");
                    }
                }
                match (operator.as_str(), all) {
                    ("=", false) => self.word(" IN ("),
                    (operator, false) => self.word(&format!(" {operator} ANY (")),
                    (operator, true) => self.word(&format!(" {operator} ALL (")),
                }
                true
            }
        };
        self.query(query, self.level);
        self.word(if encloses { "))" } else { ")" });
    }

    fn list(&mut self, values: &[Node], shown: bool) {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.word(", ");
            }
            self.node(value, shown);
        }
    }

    fn connected(&mut self, args: &[Node], word: &str, node: &Node) {
        self.plain_parenthesis('(');
        for (at, arg) in args.iter().enumerate() {
            if at > 0 {
                self.word(word);
            }
            self.inner(arg, node, false);
        }
        self.plain_parenthesis(')');
    }

    fn case(&mut self, operand: Option<&Node>, branches: &[(Node, Node)], otherwise: &Node) {
        self.line("CASE");
        self.level += STEP;
        if let Some(operand) = operand {
            self.text.push(' ');
            self.node(operand, true);
        }
        for (when, then) in branches {
            if !self.style.indent {
                self.text.push(' ');
            }
            self.line("WHEN ");
            self.node(when, false);
            self.word(" THEN ");
            self.node(then, true);
        }
        if !self.style.indent {
            self.text.push(' ');
        }
        self.line("ELSE ");
        self.node(otherwise, true);
        if !self.style.indent {
            self.text.push(' ');
        }
        self.level = self.level.saturating_sub(STEP);
        self.line("END");
    }

    /// An operand, in parentheses where pretty printing cannot do without.
    fn inner(&mut self, node: &Node, parent: &Node, shown: bool) {
        let needs = self.style.pretty && !is_simple(node, parent);
        if needs {
            self.text.push('(');
        }
        self.node(node, shown);
        if needs {
            self.text.push(')');
        }
    }

    /// `(value)::type`.
    fn cast(&mut self, value: &Node, cast: &Node) {
        match &value.kind {
            // A constant under the function that gives it its length.
            Kind::Constant(text) if value.ty == cast.ty.without_modifier() => {
                self.constant(text.as_deref(), &value.ty, false);
            }
            _ => {
                self.plain_parenthesis('(');
                self.inner(value, cast, false);
                self.plain_parenthesis(')');
            }
        }
        self.label(&cast.ty);
    }

    pub(super) fn label(&mut self, ty: &PgType) {
        self.word("::");
        let name = self.type_name(ty);
        self.word(&name);
    }

    fn type_name(&self, ty: &PgType) -> String {
        match ty {
            PgType::Bpchar(None) => "bpchar".to_owned(),
            PgType::Enum(oid) => self.world.type_name(*oid).unwrap_or_else(|| ty.to_string()),
            PgType::Array(element) => format!("{}[]", self.type_name(element)),
            _ => ty.to_string(),
        }
    }

    pub(super) fn constant(&mut self, text: Option<&str>, ty: &PgType, labelled: bool) {
        let Some(text) = text else {
            self.word("NULL");
            if labelled && *ty != PgType::Unknown {
                self.label(ty);
            }
            return;
        };
        let is_labelled = match ty {
            PgType::Bool => {
                self.word(if text == "t" { "true" } else { "false" });
                return;
            }
            PgType::Int4 if !text.starts_with('-') => {
                self.word(text);
                false
            }
            // What looks like a number with a fraction is one.
            PgType::Numeric(_)
                if text.starts_with(|c: char| c.is_ascii_digit())
                    && text.contains(['e', 'E', '.']) =>
            {
                self.word(text);
                false
            }
            _ => {
                self.word(&format!("'{}'", text.replace('\'', "''")));
                *ty != PgType::Unknown
            }
        };
        if is_labelled && labelled {
            self.label(ty);
        }
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between commas or brackets.
    Separated,
    Connective,
    /// A cast, or a syntax of its own.
    Cast,
    Other,
}

fn place(parent: &Node) -> Place {
    match parent.kind {
        Kind::Call { .. }
        | Kind::Aggregate { .. }
        | Kind::Windowed { .. }
        | Kind::Array(_)
        | Kind::Special { .. }
        | Kind::Row(_)
        | Kind::Case { .. }
        | Kind::Subscript { .. } => Place::Separated,
        Kind::And(_) | Kind::Or(_) | Kind::Not(_) => Place::Connective,
        Kind::Cast { way: Way::Function, .. } | Kind::Syntax { .. } | Kind::AtTimeZone { .. } => {
            Place::Cast
        }
        _ => Place::Other,
    }
}

/// Whether it is read as one without parentheses around it.
fn is_simple(node: &Node, parent: &Node) -> bool {
    match &node.kind {
        Kind::Column { .. }
        | Kind::Constant(_)
        | Kind::Call { .. }
        | Kind::Aggregate { .. }
        | Kind::Windowed { .. }
        | Kind::Place(_)
        | Kind::Grouping { .. }
        | Kind::Syntax { .. }
        | Kind::AtTimeZone { .. }
        | Kind::Array(_)
        | Kind::Special { .. }
        | Kind::Word(_)
        | Kind::Case { .. }
        | Kind::Subscript { .. }
        | Kind::Row(_) => true,
        Kind::Cast { way: Way::Function, .. } => true,
        Kind::Cast { value, way: Way::Through, .. } => is_simple(value, node),
        Kind::Operator { name, left, .. } => {
            if let Kind::Operator { name: outer, left: outer_left, .. } = &parent.kind {
                let is_binary = left.is_some() && outer_left.is_some();
                let is_left = outer_left.as_deref().is_some_and(|left| std::ptr::eq(left, node));
                return is_binary && binds_within(name, outer, is_left);
            }
            matches!(place(parent), Place::Separated | Place::Connective)
        }
        Kind::NullTest { .. }
        | Kind::TruthTest { .. }
        | Kind::Distinct { .. }
        | Kind::Subquery { .. } => {
            matches!(place(parent), Place::Separated | Place::Connective)
        }
        Kind::And(_) | Kind::Or(_) | Kind::Not(_) => match place(parent) {
            Place::Separated => true,
            Place::Connective => match (&node.kind, &parent.kind) {
                (Kind::Or(_), Kind::Or(_)) => true,
                (Kind::Or(_), _) => false,
                (_, Kind::And(_) | Kind::Or(_)) => true,
                _ => false,
            },
            Place::Cast | Place::Other => false,
        },
        // Printed with parentheses, or by itself.
        Kind::Quantified { .. } | Kind::RowCompare { .. } => false,
    }
}

/// Whether `inner` may stand unparenthesized as an operand of `outer`, by what everybody knows of
/// arithmetic.
fn binds_within(inner: &str, outer: &str, is_first: bool) -> bool {
    let rank = |name: &str| match name {
        "+" | "-" => Some(1),
        "*" | "/" | "%" => Some(2),
        _ => None,
    };
    match (rank(inner), rank(outer)) {
        (Some(inner), Some(outer)) => inner > outer || inner == outer && is_first,
        _ => false,
    }
}
