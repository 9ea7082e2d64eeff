//! Physical plans in PostgreSQL's words, as coordinators and workers show them.
//!
//! ```text
//! physical plan -> measured -> run -> tree of nodes -> lines
//!                  (ANALYZE)
//! ```
//!
//! Operators of the engine are described here, those of other crates by their [`Operators`].
//! Operators that PostgreSQL does not have as nodes (filters, projections, exchanges between
//! threads) are properties of others, or left out.

mod expression;
mod joins;
mod measure;
mod operators;
mod origin;
mod printer;

pub use expression::{conjunction, conjuncts, expression};
pub use measure::{Measure, Plan, measured};
pub use printer::{Inputs, Operator, Operators, tree};

/// What is told of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The plan has been run: operators tell what they did.
    pub analyze: bool,
    /// And how long it took.
    pub timing: bool,
    pub verbose: bool,
}

/// An operator as it is shown.
#[derive(Debug, Default)]
pub struct Node {
    pub title: String,
    pub properties: Vec<String>,
    pub children: Vec<Child>,
}

#[derive(Debug)]
pub enum Child {
    Node(Node),
    /// A plan that was written elsewhere: its root at the margin.
    Written(Vec<String>),
}

impl Node {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    pub fn with(mut self, children: impl IntoIterator<Item = Node>) -> Self {
        self.children.extend(children.into_iter().map(Child::Node));
        self
    }

    /// One operator or property a line, as PostgreSQL indents them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(0, &mut lines);
        lines
    }

    fn write(&self, depth: usize, lines: &mut Vec<String>) {
        lines.push(format!("{}{}", arrow(depth), self.title));
        let inner = " ".repeat(6 * depth + 2);
        lines.extend(self.properties.iter().map(|property| format!("{inner}{property}")));
        for child in &self.children {
            match child {
                Child::Node(node) => node.write(depth + 1, lines),
                Child::Written(written) => {
                    let (first, rest) = (arrow(depth + 1), " ".repeat(6 * (depth + 1)));
                    let leads = std::iter::once(&first).chain(std::iter::repeat(&rest));
                    lines.extend(written.iter().zip(leads).map(|(line, lead)| lead.clone() + line));
                }
            }
        }
    }
}

/// The arrow of a node stands under the text of the one above it.
fn arrow(depth: usize) -> String {
    match depth {
        0 => String::new(),
        depth => format!("{}->  ", " ".repeat(6 * depth - 4)),
    }
}
