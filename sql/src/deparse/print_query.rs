//! Queries as text, line by line as PostgreSQL breaks them.

use super::node::{Bound, Frame, Kind, Node, Window};
use super::print::Printer;
use super::query::{Body, Item, On, Query, Select, Sort};
use crate::functions::quote_ident;

/// How far a query is moved in.
const DEEPER: usize = 8;
/// How far the columns and relations after the first are.
const LISTED: usize = 4;

impl Printer<'_> {
    /// A new line, `plus` from where the clauses of the query begin.
    fn clause(&mut self, word: &str, plus: usize) {
        let level = self.level.saturating_sub(DEEPER);
        self.break_line(level + plus);
        self.word(word);
    }

    /// The query, `level` from the left.
    pub fn query(&mut self, query: &Query, level: usize) {
        let before = std::mem::replace(&mut self.level, level);
        self.with(query);
        match &query.body {
            Body::Select(select) => self.select(select),
            body => {
                self.body(body);
                self.level += DEEPER;
            }
        }
        if !query.order_by.is_empty() {
            self.clause(" ORDER BY ", 1);
            self.sorts(&query.order_by);
        }
        if let Some(count) = &query.offset {
            self.clause(" OFFSET ", 0);
            self.node(count, false);
        }
        if let Some(count) = &query.limit {
            self.clause(if query.with_ties { " FETCH FIRST (" } else { " LIMIT " }, 0);
            self.node(count, false);
            self.word(if query.with_ties { ") ROWS WITH TIES" } else { "" });
        }
        self.level = before;
    }

    fn with(&mut self, query: &Query) {
        if query.with.is_empty() {
            return;
        }
        self.level += DEEPER;
        self.word(" ");
        for (place, with) in query.with.iter().enumerate() {
            self.word(match (place, query.recursive) {
                (0, true) => "WITH RECURSIVE ",
                (0, false) => "WITH ",
                _ => ", ",
            });
            self.word(&quote_ident(&with.name));
            if !with.columns.is_empty() {
                self.names(&with.columns);
            }
            self.word(match with.materialized {
                None => " AS (",
                Some(true) => " AS MATERIALIZED (",
                Some(false) => " AS NOT MATERIALIZED (",
            });
            self.break_line(self.level);
            self.query(&with.query, self.level);
            self.break_line(self.level);
            self.word(")");
        }
        self.level -= DEEPER;
        self.break_line(self.level);
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Select(select) => {
                let before = self.level;
                self.select(select);
                self.level = before;
            }
            Body::Values(rows) => {
                self.word(" VALUES ");
                for (place, row) in rows.iter().enumerate() {
                    self.word(if place == 0 { "(" } else { ", (" });
                    for (place, value) in row.iter().enumerate() {
                        self.word(if place == 0 { "" } else { "," });
                        self.node(value, false);
                    }
                    self.word(")");
                }
            }
            Body::Query(query) => {
                self.word("(");
                self.query(query, self.level);
                self.word(")");
            }
            Body::Set { operator, all, left, right } => {
                let (left_nested, right_nested) = (nests(left, operator, *all), is_set(right));
                if left_nested {
                    self.word("(");
                    self.level += DEEPER;
                    self.break_line(self.level);
                }
                self.body(left);
                if left_nested {
                    self.level -= DEEPER;
                    self.break_line(self.level);
                    self.word(") ");
                } else {
                    self.break_line(self.level);
                }
                self.word(operator);
                if *all {
                    self.word("ALL ");
                }
                if right_nested {
                    self.word("(");
                    self.level += DEEPER;
                }
                self.break_line(self.level);
                self.body(right);
                if right_nested {
                    self.level -= DEEPER;
                    self.break_line(self.level);
                    self.word(")");
                }
            }
        }
    }

    fn select(&mut self, select: &Select) {
        self.level += DEEPER;
        self.word(" SELECT");
        if select.distinct {
            self.word(" DISTINCT");
        }
        if !select.distinct_on.is_empty() {
            self.word(" DISTINCT ON (");
            self.keys(&select.distinct_on);
            self.word(")");
        }
        self.word(" ");
        for (place, target) in select.targets.iter().enumerate() {
            if place > 0 {
                self.word(", ");
                // What begins with a line of its own needs no other.
                if !matches!(target.value.kind, Kind::Case { .. }) {
                    self.clause("", LISTED);
                }
            }
            self.node(&target.value, true);
            if target.is_renamed() {
                self.word(&format!(" AS {}", quote_ident(&target.name)));
            }
        }
        for (place, item) in select.from.iter().enumerate() {
            if place == 0 {
                self.clause(" FROM ", 2);
            } else {
                self.word(", ");
                self.clause("", LISTED);
            }
            self.item(item);
        }
        if let Some(condition) = &select.selection {
            self.clause(" WHERE ", 1);
            self.node(condition, false);
        }
        if !select.group_by.is_empty() {
            self.clause(" GROUP BY ", 1);
            self.keys(&select.group_by);
        }
        if let Some(condition) = &select.having {
            self.clause(" HAVING ", 0);
            self.node(condition, false);
        }
        for (place, (name, window)) in select.windows.iter().enumerate() {
            if place == 0 {
                self.clause(" WINDOW ", 1);
            } else {
                self.word(", ");
            }
            self.word(&format!("{} AS ", quote_ident(name)));
            self.window(window);
        }
    }

    fn keys(&mut self, keys: &[Node]) {
        for (place, key) in keys.iter().enumerate() {
            if place > 0 {
                self.word(", ");
            }
            self.key(key);
        }
    }

    fn names(&mut self, names: &[String]) {
        let names: Vec<_> = names.iter().map(|name| quote_ident(name)).collect();
        self.word(&format!("({})", names.join(", ")));
    }

    pub fn sorts(&mut self, sorts: &[Sort]) {
        for (place, sort) in sorts.iter().enumerate() {
            if place > 0 {
                self.word(", ");
            }
            self.sort(sort);
        }
    }

    pub fn window(&mut self, window: &Window) {
        let mut parts = 0;
        let mut begin = |printer: &mut Self, word: &str| {
            printer.word(if parts == 0 { "" } else { " " });
            printer.word(word);
            parts += 1;
        };
        self.word("(");
        if let Some(base) = &window.base {
            begin(self, &quote_ident(base));
        }
        if !window.partition_by.is_empty() {
            begin(self, "PARTITION BY ");
            self.keys(&window.partition_by);
        }
        if !window.order_by.is_empty() {
            begin(self, "ORDER BY ");
            self.sorts(&window.order_by);
        }
        if let Some(frame) = &window.frame {
            begin(self, frame.units);
            self.frame(frame);
        }
        self.word(")");
    }

    fn frame(&mut self, frame: &Frame) {
        self.word(if frame.end.is_some() { " BETWEEN " } else { " " });
        self.bound(&frame.start);
        if let Some(end) = &frame.end {
            self.word(" AND ");
            self.bound(end);
        }
        if let Some(exclude) = frame.exclude {
            self.word(&format!(" EXCLUDE {exclude}"));
        }
    }

    fn bound(&mut self, bound: &Bound) {
        if let Some(distance) = &bound.distance {
            self.node(distance, false);
            self.word(" ");
        }
        self.word(bound.words);
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Relation { name, alias } => {
                self.word(name);
                if let Some(alias) = alias {
                    self.word(&format!(" {}", quote_ident(alias)));
                }
            }
            Item::Query { query, alias, columns, lateral } => {
                self.word(if *lateral { "LATERAL (" } else { "(" });
                self.query(query, self.level);
                self.word(&format!(") {}", quote_ident(alias)));
                if !columns.is_empty() {
                    self.names(columns);
                }
            }
            Item::Function { call, alias, columns } => {
                self.node(call, true);
                self.word(&format!(" {}", quote_ident(alias)));
                self.names(columns);
            }
            Item::Join { left, right, word, on } => {
                let pretty = self.style.pretty;
                if !pretty {
                    self.word("(");
                }
                self.item(left);
                self.clause(word, LISTED);
                let nested = pretty && matches!(**right, Item::Join { .. });
                if nested {
                    self.word("(");
                }
                self.item(right);
                if nested {
                    self.word(")");
                }
                match on {
                    On::Nothing => {}
                    On::Condition(condition) => {
                        self.word(if pretty { " ON " } else { " ON (" });
                        self.node(condition, false);
                        self.word(if pretty { "" } else { ")" });
                    }
                    On::Using(names) => {
                        self.word(" USING ");
                        self.names(names);
                    }
                }
                if !pretty {
                    self.word(")");
                }
            }
        }
    }

    fn sort(&mut self, sort: &Sort) {
        self.key(&sort.value);
        match (sort.descending, sort.nulls_first) {
            (true, true) => self.word(" DESC"),
            (true, false) => self.word(" DESC NULLS LAST"),
            (false, true) => self.word(" NULLS FIRST"),
            (false, false) => {}
        }
    }

    /// What is sorted or grouped by: a column, or an expression in parentheses.
    pub fn key(&mut self, key: &Node) {
        let is_call = matches!(
            key.kind,
            Kind::Call { .. }
                | Kind::Aggregate { .. }
                | Kind::Windowed { .. }
                | Kind::Syntax { .. }
                | Kind::AtTimeZone { .. }
        ) || matches!(key.kind, Kind::Cast { way: super::node::Way::Function, .. });
        match &key.kind {
            Kind::Column { .. } | Kind::Place(_) => self.node(key, true),
            Kind::Grouping { word, sets } => {
                let of_sets = *word == "GROUPING SETS";
                self.word(word);
                self.word(if of_sets { " (" } else { "(" });
                for (place, set) in sets.iter().enumerate() {
                    self.word(if place == 0 { "" } else { ", " });
                    let is_row = of_sets || set.len() != 1;
                    self.word(if is_row { "(" } else { "" });
                    self.keys(set);
                    self.word(if is_row { ")" } else { "" });
                }
                self.word(")");
            }
            // A bare number would be the place of a column.
            Kind::Constant(text) => {
                self.constant(text.as_deref(), &key.ty, false);
                self.label(&key.ty);
            }
            _ if self.style.pretty || is_call => {
                self.word("(");
                self.node(key, true);
                self.word(")");
            }
            _ => self.node(key, true),
        }
    }
}

fn is_set(body: &Body) -> bool {
    matches!(body, Body::Set { .. })
}

/// Whether a set operation on the left stands in parentheses: unless it is the same again.
fn nests(left: &Body, operator: &str, all: bool) -> bool {
    match left {
        Body::Set { operator: inner, all: inner_all, .. } => {
            *inner != operator || *inner_all != all
        }
        _ => false,
    }
}
