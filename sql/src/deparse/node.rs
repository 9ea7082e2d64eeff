//! Expressions with their types, and with the casts that PostgreSQL inserts.

use satsuma_common::PgType;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub kind: Kind,
    pub ty: PgType,
}

/// How a cast is carried out, which decides about parentheses around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a function: stands like a call.
    Function,
    /// Of the same bytes, through text, or element by element: stands like its argument.
    Through,
}

/// A truth test: `IS [NOT] TRUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub word: &'static str,
    pub negated: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Column {
        qualifier: Option<String>,
        name: String,
    },
    /// The value's text; `None` is NULL.
    Constant(Option<String>),
    Cast {
        value: Box<Node>,
        way: Way,
        explicit: bool,
    },
    Operator {
        name: String,
        left: Option<Box<Node>>,
        right: Box<Node>,
    },
    Call {
        name: String,
        args: Vec<Node>,
        variadic: bool,
    },
    Aggregate {
        name: String,
        args: Vec<Node>,
        distinct: bool,
        /// `count(*)`.
        star: bool,
        filter: Option<Box<Node>>,
    },
    /// Functions with a syntax of their own: words and arguments in turn.
    Syntax {
        opening: String,
        parts: Vec<(&'static str, Node)>,
        closing: &'static str,
    },
    /// `(a AT TIME ZONE b)`: always in parentheses.
    AtTimeZone {
        value: Box<Node>,
        zone: Box<Node>,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    NullTest {
        value: Box<Node>,
        negated: bool,
    },
    TruthTest {
        value: Box<Node>,
        test: Test,
    },
    Distinct {
        left: Box<Node>,
        right: Box<Node>,
    },
    Quantified {
        operator: String,
        left: Box<Node>,
        right: Box<Node>,
        all: bool,
    },
    Array(Vec<Node>),
    Case {
        operand: Option<Box<Node>>,
        branches: Vec<(Node, Node)>,
        otherwise: Box<Node>,
    },
    /// COALESCE, GREATEST, LEAST, NULLIF.
    Special {
        name: &'static str,
        args: Vec<Node>,
    },
    /// CURRENT_DATE and its relatives.
    Word(String),
    Subscript {
        value: Box<Node>,
        index: Box<Node>,
    },
    Row(Vec<Node>),
    RowCompare {
        operator: String,
        left: Vec<Node>,
        right: Vec<Node>,
    },
}

impl Node {
    pub fn new(kind: Kind, ty: PgType) -> Self {
        Self { kind, ty }
    }

    pub fn bool(kind: Kind) -> Self {
        Self::new(kind, PgType::Bool)
    }

    /// Whether a column is anywhere in it.
    pub fn has_column(&self) -> bool {
        if matches!(self.kind, Kind::Column { .. }) {
            return true;
        }
        self.children().any(Node::has_column)
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match &self.kind {
            Kind::Column { .. } | Kind::Constant(_) | Kind::Word(_) => Box::new(std::iter::empty()),
            Kind::Cast { value, .. }
            | Kind::Not(value)
            | Kind::NullTest { value, .. }
            | Kind::TruthTest { value, .. } => Box::new(std::iter::once(value.as_ref())),
            Kind::Operator { left, right, .. } => {
                Box::new(left.as_deref().into_iter().chain([right.as_ref()]))
            }
            Kind::Call { args, .. }
            | Kind::And(args)
            | Kind::Or(args)
            | Kind::Array(args)
            | Kind::Special { args, .. }
            | Kind::Row(args) => Box::new(args.iter()),
            Kind::Aggregate { args, filter, .. } => Box::new(args.iter().chain(filter.as_deref())),
            Kind::Syntax { parts, .. } => Box::new(parts.iter().map(|(_, node)| node)),
            Kind::AtTimeZone { value: left, zone: right }
            | Kind::Distinct { left, right }
            | Kind::Quantified { left, right, .. }
            | Kind::Subscript { value: left, index: right } => {
                Box::new([left.as_ref(), right.as_ref()].into_iter())
            }
            Kind::Case { operand, branches, otherwise } => Box::new(
                operand
                    .as_deref()
                    .into_iter()
                    .chain(branches.iter().flat_map(|(when, then)| [when, then]))
                    .chain([otherwise.as_ref()]),
            ),
            Kind::RowCompare { left, right, .. } => Box::new(left.iter().chain(right)),
        }
    }
}
