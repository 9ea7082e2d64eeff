//! Expressions with their types, and with the casts that PostgreSQL inserts.

use satsuma_common::PgType;

use super::query::{Query, Sort};

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

/// Which rows a window function looks at.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Over {
    /// Of the WINDOW clause.
    Named(String),
    Window(Box<Window>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    /// The window that this one goes on from.
    pub base: Option<String>,
    pub partition_by: Vec<Node>,
    pub order_by: Vec<Sort>,
    pub frame: Option<Frame>,
}

/// `ROWS BETWEEN start AND end EXCLUDE ..`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub units: &'static str,
    pub start: Bound,
    pub end: Option<Bound>,
    pub exclude: Option<&'static str>,
}

/// `1 PRECEDING`, `CURRENT ROW`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub distance: Option<Node>,
    pub words: &'static str,
}

/// What is asked of a subquery.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    /// Its only value.
    Value,
    Array,
    Exists,
    /// Whether a value, or a row of some, is related so to any or to all of its rows.
    Compared {
        left: Vec<Node>,
        operator: String,
        all: bool,
    },
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
        order_by: Vec<Sort>,
        filter: Option<Box<Node>>,
    },
    /// A call over the rows of a window.
    Windowed {
        call: Box<Node>,
        over: Over,
    },
    /// A query where a value stands.
    Subquery {
        test: Subject,
        query: Box<Query>,
    },
    /// The column at a place, from 1.
    Place(usize),
    /// ROLLUP, CUBE or GROUPING SETS, in GROUP BY.
    Grouping {
        word: &'static str,
        sets: Vec<Vec<Node>>,
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

    /// Whether a column may be anywhere in it.
    pub fn has_column(&self) -> bool {
        if matches!(self.kind, Kind::Column { .. } | Kind::Subquery { .. }) {
            return true;
        }
        self.children().any(Node::has_column)
    }

    pub fn children(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match &self.kind {
            Kind::Column { .. }
            | Kind::Constant(_)
            | Kind::Word(_)
            | Kind::Place(_)
            | Kind::Subquery { test: Subject::Value | Subject::Array | Subject::Exists, .. } => {
                Box::new(std::iter::empty())
            }
            Kind::Subquery { test: Subject::Compared { left, .. }, .. } => Box::new(left.iter()),
            Kind::Grouping { sets, .. } => Box::new(sets.iter().flatten()),
            Kind::Windowed { call, .. } => Box::new(std::iter::once(call.as_ref())),
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
