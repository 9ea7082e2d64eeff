//! Whole queries: FROM, WHERE, grouping, windows, set operations, WITH.

use rand::Rng;
use rand::rngs::StdRng;

use super::TABLES;
use super::expression::{
    Column, Type, aggregate, any_type, column, constant, pick, predicate, scalar,
};

/// A query with an order that leaves nothing to chance, or with none.
pub fn query(rng: &mut StdRng) -> String {
    let mut names = 0;
    let mut writer = Writer { rng, names: &mut names };
    let with = if writer.rng.random_bool(0.15) { Some(writer.with()) } else { None };
    let (body, types) = match &with {
        Some((_, named)) => writer.body(2, std::slice::from_ref(named)),
        None => writer.body(2, &[]),
    };
    let with = with.map(|(text, _)| text).unwrap_or_default();
    let positions: Vec<String> = (1..=types.len()).map(|position| position.to_string()).collect();
    // PostgreSQL 15 leaves keys out of a sort that are constant or equal below grouping sets; above
    // them they are not (`tests/slt/basics/grouping_sets.slt`).
    if body.contains("ROLLUP (") || body.contains("CUBE (") {
        return format!("{with}{body}");
    }
    let ending = match writer.rng.random_range(0..4) {
        0 => format!(" ORDER BY {}", positions.join(", ")),
        1 => {
            let limit = writer.rng.random_range(0..12);
            let offset = writer.rng.random_range(0..4);
            format!(" ORDER BY {} LIMIT {limit} OFFSET {offset}", positions.join(", "))
        }
        _ => String::new(),
    };
    format!("{with}{body}{ending}")
}

/// A change of some rows of a table, and the table.
pub fn change(rng: &mut StdRng) -> (String, &'static str) {
    let mut names = 0;
    let mut writer = Writer { rng, names: &mut names };
    let target = pick(writer.rng, &TABLES).0;
    let columns = qualified(target, table(target).columns.into_iter());
    let mut condition = if writer.rng.random_bool(0.6) {
        writer.subquery_predicate(1, &[], &columns)
    } else {
        predicate(writer.rng, &columns, 2)
    };
    let key = if target == "t" { "s" } else { "k" };
    let sql = match writer.rng.random_range(0..6) {
        0 | 1 => {
            let value = if writer.rng.random_bool(0.4) {
                writer.scalar_subquery(1, &[], &columns)
            } else {
                scalar(writer.rng, &columns, Type::Int, 2)
            };
            format!("UPDATE {target} SET v = ({value}) % 1000, n = n + 1 WHERE {condition}")
        }
        // What r's key becomes may be there already, depending on which row comes first.
        2 if target != "r" => {
            // The distribution column: rows move.
            let value = match key {
                "s" => format!("{} || 'm'", "t.s"),
                _ => format!("{target}.k + {}", writer.rng.random_range(1..9)),
            };
            format!("UPDATE {target} SET {key} = {value} WHERE {condition}")
        }
        2 | 3 => {
            let part = writer.rng.random_range(0..4);
            condition = format!("({condition}) AND {target}.k % 4 = {part}");
            format!("DELETE FROM {target} WHERE {condition}")
        }
        _ => {
            let source = pick(writer.rng, &TABLES).0;
            let columns = qualified(source, table(source).columns.into_iter());
            let condition = predicate(writer.rng, &columns, 1);
            format!(
                "INSERT INTO {target} SELECT k, v, w, coalesce(s, 'i'), n FROM {source} \
                 WHERE ({condition}) AND k % 5 = {}",
                writer.rng.random_range(0..5)
            )
        }
    };
    (sql, target)
}

/// A name that FROM can read, with its columns' types.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    columns: Vec<(String, Type)>,
}

fn table(name: &str) -> Named {
    let columns = [
        ("k", Type::Int),
        ("v", Type::Int),
        ("w", Type::Int),
        ("s", Type::Text),
        ("n", Type::Numeric),
    ];
    let columns = columns.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
    Named { name: name.to_owned(), columns }
}

struct Writer<'a> {
    rng: &'a mut StdRng,
    /// Aliases given out.
    names: &'a mut u32,
}

impl Writer<'_> {
    fn alias(&mut self) -> String {
        *self.names += 1;
        format!("q{}", self.names)
    }

    fn with(&mut self) -> (String, Named) {
        let name = self.alias();
        let (body, types) = self.select(1, &[], &[], None);
        let columns: Vec<(String, Type)> =
            types.into_iter().enumerate().map(|(at, ty)| (format!("c{at}"), ty)).collect();
        let list: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        (format!("WITH {name} ({}) AS ({body}) ", list.join(", ")), Named { name, columns })
    }

    /// A SELECT, or two of the same types joined by a set operation.
    fn body(&mut self, depth: u32, named: &[Named]) -> (String, Vec<Type>) {
        let (first, types) = self.select(depth, named, &[], None);
        if !self.rng.random_bool(0.15) {
            return (first, types);
        }
        let (second, _) = self.select(depth, named, &[], Some(&types));
        let operator = pick(
            self.rng,
            &["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"],
        );
        (format!("({first}) {operator} ({second})"), types)
    }

    /// One SELECT. `outer` can be named too; `wanted` fixes the types of the output.
    fn select(
        &mut self,
        depth: u32,
        named: &[Named],
        outer: &[Column],
        wanted: Option<&[Type]>,
    ) -> (String, Vec<Type>) {
        let (from, columns) = self.from(depth, named);
        let mut conditions = Vec::new();
        let mut visible = columns.clone();
        if !outer.is_empty() {
            conditions.push(self.correlation(&columns, outer));
            if self.rng.random_bool(0.2) {
                visible.extend(outer.iter().cloned());
            }
        }
        for _ in 0..self.rng.random_range(0..3) {
            let condition = if depth > 0 && self.rng.random_bool(0.35) {
                self.subquery_predicate(depth - 1, named, &columns)
            } else {
                predicate(self.rng, &visible, 2)
            };
            conditions.push(condition);
        }
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let types: Vec<Type> = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => (0..self.rng.random_range(1..4)).map(|_| any_type(self.rng)).collect(),
        };
        if wanted.is_none() && self.rng.random_bool(0.45) {
            return self.grouped(&from, &filter, &columns);
        }
        let mut outputs: Vec<String> =
            types.iter().map(|ty| scalar(self.rng, &columns, *ty, 2)).collect();
        let mut types = types;
        if wanted.is_none() && self.rng.random_bool(0.2) {
            outputs.push(self.window(&columns));
            types.push(Type::Int);
        } else if wanted.is_none() && depth > 0 && self.rng.random_bool(0.2) {
            outputs.push(self.scalar_subquery(depth - 1, named, &columns));
            types.push(Type::Int);
        }
        let distinct = if self.rng.random_bool(0.2) { "DISTINCT " } else { "" };
        (format!("SELECT {distinct}{}{from}{filter}", outputs.join(", ")), types)
    }

    fn grouped(&mut self, from: &str, filter: &str, columns: &[Column]) -> (String, Vec<Type>) {
        let key_types: Vec<Type> =
            (0..self.rng.random_range(0..3)).map(|_| any_type(self.rng)).collect();
        let keys: Vec<String> = key_types
            .iter()
            .map(|ty| {
                if self.rng.random_bool(0.8) {
                    column(self.rng, columns, *ty)
                } else {
                    scalar(self.rng, columns, *ty, 1)
                }
            })
            .collect();
        let mut outputs = keys.clone();
        let mut types = key_types;
        for _ in 0..self.rng.random_range(1..4) {
            let (call, ty) = aggregate(self.rng, columns);
            outputs.push(call);
            types.push(ty);
        }
        let positions: Vec<String> = (1..=keys.len()).map(|at| at.to_string()).collect();
        let group = match keys.len() {
            0 => String::new(),
            _ if self.rng.random_bool(0.15) && keys.iter().all(|key| names_a_column(key)) => {
                // Expressions: grouping sets take no positions inside parentheses everywhere.
                let kind = pick(self.rng, &["ROLLUP", "CUBE"]);
                format!(" GROUP BY {kind} ({})", positions.join(", "))
            }
            _ => format!(" GROUP BY {}", positions.join(", ")),
        };
        let having = if self.rng.random_bool(0.25) {
            let least = self.rng.random_range(0..4);
            format!(" HAVING count(*) > {least}")
        } else {
            String::new()
        };
        (format!("SELECT {}{from}{filter}{group}{having}", outputs.join(", ")), types)
    }

    fn window(&mut self, columns: &[Column]) -> String {
        let ty = any_type(self.rng);
        let partition = column(self.rng, columns, ty);
        let order: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let all = order.join(", ");
        match self.rng.random_range(0..4) {
            0 => format!("rank() OVER (PARTITION BY {partition} ORDER BY {all})"),
            1 => {
                let value = column(self.rng, columns, Type::Int);
                format!("sum({value}) OVER (PARTITION BY {partition})")
            }
            2 => format!("count(*) OVER (ORDER BY {all})"),
            _ => format!("dense_rank() OVER (ORDER BY {partition})"),
        }
    }

    fn from(&mut self, depth: u32, named: &[Named]) -> (String, Vec<Column>) {
        let count = *pick(self.rng, &[1, 1, 2, 2, 2, 3, 3, 4]);
        let (mut text, mut columns) = self.relation(depth, named);
        for index in 1..count {
            let (relation, new) = self.relation(depth, named);
            // What multiplies rows without a key stays small.
            let kinds: &[&str] = if index == 1 && count == 2 {
                &["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LATERAL"]
            } else {
                &["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]
            };
            let kind = *pick(self.rng, kinds);
            if kind == "LATERAL" {
                let alias = self.alias();
                let (body, types) = self.select(0, named, &columns, None);
                let names: Vec<String> = (0..types.len()).map(|at| format!("c{at}")).collect();
                text = format!("{text}, LATERAL ({body}) AS {alias} ({})", names.join(", "));
                columns.extend(qualified(&alias, names.into_iter().zip(types)));
                continue;
            }
            let on = if kind == "CROSS JOIN" {
                String::new()
            } else {
                let mut on = equality(self.rng, &columns, &new);
                if kind != "FULL JOIN" && self.rng.random_bool(0.3) {
                    let all: Vec<Column> = columns.iter().chain(&new).cloned().collect();
                    on = format!("{on} AND {}", predicate(self.rng, &all, 1));
                }
                format!(" ON {on}")
            };
            text = format!("{text} {kind} {relation}{on}");
            columns.extend(new);
        }
        (format!(" FROM {text}"), columns)
    }

    fn relation(&mut self, depth: u32, named: &[Named]) -> (String, Vec<Column>) {
        let alias = self.alias();
        if depth > 0 && self.rng.random_bool(0.2) {
            let (body, types) = self.select(depth - 1, named, &[], None);
            let names: Vec<String> = (0..types.len()).map(|at| format!("c{at}")).collect();
            let text = format!("({body}) AS {alias} ({})", names.join(", "));
            return (text, qualified(&alias, names.into_iter().zip(types)));
        }
        let source = if !named.is_empty() && self.rng.random_bool(0.3) {
            pick(self.rng, named).clone()
        } else {
            table(pick(self.rng, &TABLES).0)
        };
        (format!("{} AS {alias}", source.name), qualified(&alias, source.columns.into_iter()))
    }

    /// Ties an inner query to the outer one.
    fn correlation(&mut self, inner: &[Column], outer: &[Column]) -> String {
        if self.rng.random_bool(0.8) {
            return equality(self.rng, inner, outer);
        }
        let ty = Type::Int;
        format!("{} < {}", column(self.rng, inner, ty), column(self.rng, outer, ty))
    }

    fn subquery_predicate(&mut self, depth: u32, named: &[Named], columns: &[Column]) -> String {
        let not = if self.rng.random_bool(0.4) { "NOT " } else { "" };
        match self.rng.random_range(0..4) {
            0 => {
                let (body, _) = self.select(depth, named, columns, Some(&[Type::Int]));
                format!("{not}EXISTS ({body})")
            }
            1 | 2 => {
                let ty = any_type(self.rng);
                let value = column(self.rng, columns, ty);
                let outer: &[Column] = if self.rng.random_bool(0.3) { columns } else { &[] };
                let (body, _) = self.select(depth, named, outer, Some(&[ty]));
                format!("{value} {not}IN ({body})")
            }
            _ => {
                let subquery = self.scalar_subquery(depth, named, columns);
                let value = column(self.rng, columns, Type::Int);
                let operator = pick(self.rng, &["<", ">", "=", "<>"]);
                format!("{value} {operator} {subquery}")
            }
        }
    }

    /// One value: an aggregate over all rows, correlated or not.
    fn scalar_subquery(&mut self, depth: u32, named: &[Named], outer: &[Column]) -> String {
        let (from, columns) = self.from(depth.min(1), named);
        let filter = if self.rng.random_bool(0.7) {
            format!(" WHERE {}", self.correlation(&columns, outer))
        } else {
            format!(" WHERE {}", predicate(self.rng, &columns, 1))
        };
        let value = column(self.rng, &columns, Type::Int);
        let call = pick(self.rng, &["max", "min", "count", "sum"]);
        format!("(SELECT {call}({value}){from}{filter})")
    }
}

fn qualified(alias: &str, columns: impl Iterator<Item = (String, Type)>) -> Vec<Column> {
    columns.map(|(name, ty)| Column { name: format!("{alias}.{name}"), ty }).collect()
}

/// `left = right` of the same type; of the keys more often than of other columns.
fn equality(rng: &mut StdRng, left: &[Column], right: &[Column]) -> String {
    let key = |columns: &[Column]| columns.iter().find(|c| c.name.ends_with(".k")).cloned();
    if rng.random_bool(0.5)
        && let (Some(left), Some(right)) = (key(left), key(right))
    {
        return format!("{} = {}", left.name, right.name);
    }
    let types = [Type::Int, Type::Int, Type::Text];
    let start = rng.random_range(0..types.len());
    for offset in 0..types.len() {
        let ty = types[(start + offset) % types.len()];
        let has = |columns: &[Column]| columns.iter().any(|column| column.ty == ty);
        if has(left) && has(right) {
            return format!("{} = {}", column(rng, left, ty), column(rng, right, ty));
        }
    }
    let left = column(rng, left, Type::Int);
    format!("{left} = {}", constant(rng, Type::Int))
}

/// Below UNION and its relatives PostgreSQL 15 gives a key that is constant also where a grouping
/// set leaves it out.
fn names_a_column(key: &str) -> bool {
    key.as_bytes().windows(2).any(|pair| pair[0] == b'q' && pair[1].is_ascii_digit())
}
