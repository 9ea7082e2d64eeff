//! Expressions of a wanted type over the columns in scope.

use rand::Rng;
use rand::rngs::StdRng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Int,
    Text,
    Numeric,
}

/// A column that an expression may name.
#[derive(Clone, Debug)]
pub struct Column {
    /// With its qualifier.
    pub name: String,
    pub ty: Type,
}

pub fn pick<'a, T>(rng: &mut StdRng, items: &'a [T]) -> &'a T {
    &items[rng.random_range(0..items.len())]
}

/// A column of the type, or a constant where there is none.
pub fn column(rng: &mut StdRng, columns: &[Column], ty: Type) -> String {
    let fitting: Vec<&Column> = columns.iter().filter(|column| column.ty == ty).collect();
    if fitting.is_empty() { constant(rng, ty) } else { pick(rng, &fitting).name.clone() }
}

pub fn constant(rng: &mut StdRng, ty: Type) -> String {
    match ty {
        Type::Int => rng.random_range(-3..20).to_string(),
        Type::Text => (*pick(rng, &["'x'", "'y'", "'zed'", "''", "'q'"])).to_owned(),
        Type::Numeric => format!("{}.5", rng.random_range(-3..40)),
    }
}

/// A value without aggregates, subqueries or errors.
pub fn scalar(rng: &mut StdRng, columns: &[Column], ty: Type, depth: u32) -> String {
    if depth == 0 || rng.random_bool(0.45) {
        return if rng.random_bool(0.85) { column(rng, columns, ty) } else { constant(rng, ty) };
    }
    let sub = |rng: &mut StdRng, ty| scalar(rng, columns, ty, depth - 1);
    match ty {
        Type::Int => match rng.random_range(0..6) {
            0 => format!("({} + {})", sub(rng, Type::Int), sub(rng, Type::Int)),
            1 => format!("({} - {})", sub(rng, Type::Int), sub(rng, Type::Int)),
            2 => format!("coalesce({}, {})", sub(rng, Type::Int), constant(rng, Type::Int)),
            3 => format!("length({})", sub(rng, Type::Text)),
            4 => format!("({} % 7)", sub(rng, Type::Int)),
            _ => {
                let test = predicate(rng, columns, depth - 1);
                format!("CASE WHEN {test} THEN {} ELSE {} END", sub(rng, ty), sub(rng, ty))
            }
        },
        Type::Text => match rng.random_range(0..4) {
            0 => format!("({} || {})", sub(rng, ty), constant(rng, ty)),
            1 => format!("upper({})", sub(rng, ty)),
            2 => format!("coalesce({}, 'none')", sub(rng, ty)),
            _ => format!("nullif({}, {})", sub(rng, ty), constant(rng, ty)),
        },
        Type::Numeric => match rng.random_range(0..4) {
            0 => format!("({} + {})", sub(rng, ty), sub(rng, ty)),
            1 => format!("({} * {})", sub(rng, ty), sub(rng, Type::Int)),
            2 => format!("round({})", sub(rng, ty)),
            _ => format!("abs({})", sub(rng, ty)),
        },
    }
}

pub fn any_type(rng: &mut StdRng) -> Type {
    *pick(rng, &[Type::Int, Type::Int, Type::Text, Type::Numeric])
}

/// A condition without subqueries.
pub fn predicate(rng: &mut StdRng, columns: &[Column], depth: u32) -> String {
    if depth > 0 && rng.random_bool(0.3) {
        let (left, right) =
            (predicate(rng, columns, depth - 1), predicate(rng, columns, depth - 1));
        return match rng.random_range(0..3) {
            0 => format!("({left} AND {right})"),
            1 => format!("({left} OR {right})"),
            _ => format!("NOT ({left})"),
        };
    }
    let ty = any_type(rng);
    let left = scalar(rng, columns, ty, depth.min(1));
    match rng.random_range(0..8) {
        0 => format!("{left} IS NULL"),
        1 => format!("{left} IS NOT NULL"),
        2 => {
            let items: Vec<String> = (0..3).map(|_| constant(rng, ty)).collect();
            let not = if rng.random_bool(0.3) { "NOT " } else { "" };
            format!("{left} {not}IN ({})", items.join(", "))
        }
        3 if ty == Type::Text => format!("{left} LIKE '%{}%'", pick(rng, &["x", "e", "n"])),
        3 => format!("{left} BETWEEN {} AND {}", constant(rng, ty), constant(rng, ty)),
        4 => format!("{left} IS DISTINCT FROM {}", scalar(rng, columns, ty, 0)),
        _ => {
            let operator = pick(rng, &["=", "=", "<", ">", "<=", "<>"]);
            format!("{left} {operator} {}", scalar(rng, columns, ty, depth.min(1)))
        }
    }
}

/// An aggregate whose result does not depend on the order of rows.
pub fn aggregate(rng: &mut StdRng, columns: &[Column]) -> (String, Type) {
    let filter = if rng.random_bool(0.15) {
        format!(" FILTER (WHERE {})", predicate(rng, columns, 1))
    } else {
        String::new()
    };
    let (call, ty) = match rng.random_range(0..12) {
        0 | 1 => ("count(*)".to_owned(), Type::Int),
        2 => {
            let ty = any_type(rng);
            (format!("count({})", scalar(rng, columns, ty, 1)), Type::Int)
        }
        3 => {
            let ty = any_type(rng);
            (format!("count(DISTINCT {})", scalar(rng, columns, ty, 0)), Type::Int)
        }
        4 | 5 => (format!("sum({})", scalar(rng, columns, Type::Int, 1)), Type::Int),
        6 => (format!("sum({})", scalar(rng, columns, Type::Numeric, 1)), Type::Numeric),
        7 => (format!("avg({})", scalar(rng, columns, Type::Int, 0)), Type::Numeric),
        8 => {
            let ty = any_type(rng);
            let which = pick(rng, &["min", "max"]);
            (format!("{which}({})", scalar(rng, columns, ty, 1)), ty)
        }
        9 => {
            let text = scalar(rng, columns, Type::Text, 0);
            (format!("string_agg({text}, ',' ORDER BY {text})"), Type::Text)
        }
        10 => (format!("sum(DISTINCT {})", scalar(rng, columns, Type::Int, 0)), Type::Int),
        _ => {
            let value = scalar(rng, columns, Type::Int, 0);
            return (format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {value})"), Type::Int);
        }
    };
    (call + &filter, ty)
}
