//! Aggregates that gather values: array_agg, string_agg; and those that keep one: min and max by
//! a key, bool_and, bit_and and their relatives.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::library::{Builder, Transition, Types};
use crate::functions::error::unexpected_value;
use crate::operators::keys::compare_values;
use crate::value_size;

pub(crate) fn install(b: &mut Builder) {
    for name in ["bool_and", "every"] {
        b.simple(&format!("{name}(bool) bool"), same_state, |_| {
            folded(|a, b| bools(a, b, |x, y| x && y))
        });
    }
    b.simple("bool_or(bool) bool", same_state, |_| folded(|a, b| bools(a, b, |x, y| x || y)));
    for ty in ["int2", "int4", "int8"] {
        b.simple(&format!("bit_and({ty}) {ty}"), same_state, |_| {
            folded(|a, b| bits(a, b, |x, y| x & y))
        });
        b.simple(&format!("bit_or({ty}) {ty}"), same_state, |_| {
            folded(|a, b| bits(a, b, |x, y| x | y))
        });
        b.simple(&format!("bit_xor({ty}) {ty}"), same_state, |_| {
            folded(|a, b| bits(a, b, |x, y| x ^ y))
        });
    }
    for ty in ["float4", "float8", "interval", "bpchar", "anyarray"] {
        for (name, least) in [("min", true), ("max", false)] {
            b.simple(&format!("{name}({ty}) {ty}"), same_state, move |types| {
                Box::new(Extreme { ty: types.result.clone(), least, best: Datum::Null })
            });
        }
    }
    for element in ["anynonarray", "anyarray"] {
        b.with(
            &format!("array_agg({element}) anyarray"),
            |types| vec![PgType::Array(Box::new(argument(types)))],
            |types| Box::new(ArrayOf { element: argument(types), values: None, bytes: 0 }),
            |d| {
                d.strict = false;
                d.sorts = true;
                d.result = |arguments, result| match arguments.first() {
                    Some(PgType::Array(_)) | None => result,
                    Some(element) => PgType::Array(Box::new(element.clone())),
                };
            },
        );
    }
    for ty in ["text", "bytea"] {
        b.with(
            &format!("string_agg({ty},{ty}) {ty}"),
            |types| vec![PgType::Array(Box::new(types.result.clone())); 2],
            |types| Box::new(Joined { ty: types.result.clone(), parts: Vec::new(), bytes: 0 }),
            |d| {
                d.strict = false;
                d.sorts = true;
            },
        );
    }
}

fn same_state(types: &Types) -> Vec<PgType> {
    vec![types.result.clone()]
}

fn argument(types: &Types) -> PgType {
    types.arguments.first().cloned().unwrap_or(PgType::Text)
}

fn folded(f: fn(&Datum, &Datum) -> SqlResult<Datum>) -> Box<dyn Transition> {
    Box::new(Fold { f, value: Datum::Null })
}

/// Combines values two by two; the state is the result.
#[derive(Debug)]
struct Fold {
    f: fn(&Datum, &Datum) -> SqlResult<Datum>,
    value: Datum,
}

impl Transition for Fold {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args.iter().filter(|arg| !arg.is_null()) {
            self.value =
                if self.value.is_null() { arg.clone() } else { (self.f)(&self.value, arg)? };
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.value.clone()])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        self.update(state)
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.value.clone())
    }
}

fn bools(a: &Datum, b: &Datum, f: fn(bool, bool) -> bool) -> SqlResult<Datum> {
    match (a, b) {
        (Datum::Bool(a), Datum::Bool(b)) => Ok(Datum::Bool(f(*a, *b))),
        _ => Err(unexpected_value("boolean")),
    }
}

fn bits(a: &Datum, b: &Datum, f: fn(i64, i64) -> i64) -> SqlResult<Datum> {
    Ok(match (a, b) {
        (Datum::Int2(a), Datum::Int2(b)) => Datum::Int2(f(i64::from(*a), i64::from(*b)) as i16),
        (Datum::Int4(a), Datum::Int4(b)) => Datum::Int4(f(i64::from(*a), i64::from(*b)) as i32),
        (Datum::Int8(a), Datum::Int8(b)) => Datum::Int8(f(*a, *b)),
        _ => return Err(unexpected_value("an integer")),
    })
}

/// min or max of a type that Arrow does not order as PostgreSQL.
#[derive(Debug)]
struct Extreme {
    ty: PgType,
    least: bool,
    best: Datum,
}

impl Transition for Extreme {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args.iter().filter(|arg| !arg.is_null()) {
            let better = self.best.is_null() || {
                let ordering = compare_values(arg, &self.best, &self.ty)?;
                if self.least { ordering.is_lt() } else { ordering.is_gt() }
            };
            if better {
                self.best = arg.clone();
            }
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.best.clone()])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        self.update(state)
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.best.clone())
    }
}

/// array_agg. NULLs count; without any row the result is NULL.
#[derive(Debug)]
struct ArrayOf {
    element: PgType,
    values: Option<Vec<Datum>>,
    /// What the values take.
    bytes: usize,
}

impl ArrayOf {
    fn extend(&mut self, values: &[Datum]) {
        self.bytes += values.iter().map(value_size::of).sum::<usize>();
        self.values.get_or_insert_default().extend(values.iter().cloned());
    }
}

impl Transition for ArrayOf {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        if let (PgType::Array(_), Some(_)) = (&self.element, args.first()) {
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "array_agg of arrays is not supported: arrays have one dimension",
            ));
        }
        self.extend(args);
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![self.finish()?])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Array(array)] = state {
            self.extend(&array.values);
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(match &self.values {
            Some(values) => {
                Datum::Array(Array { element: self.element.clone(), values: values.clone() })
            }
            None => Datum::Null,
        })
    }

    fn heap_size(&self) -> usize {
        self.bytes
    }
}

/// string_agg: values and the delimiter that precedes each.
#[derive(Debug)]
struct Joined {
    ty: PgType,
    parts: Vec<(Datum, Datum)>,
    /// What they take.
    bytes: usize,
}

impl Joined {
    fn push(&mut self, value: &Datum, delimiter: &Datum) {
        self.bytes += value_size::of(value) + value_size::of(delimiter);
        self.parts.push((value.clone(), delimiter.clone()));
    }
}

impl Transition for Joined {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        match args {
            [Datum::Null, _] => {}
            [value, delimiter] => self.push(value, delimiter),
            _ => return Err(unexpected_value("string_agg")),
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        let list = |values: Vec<Datum>| Datum::Array(Array { element: self.ty.clone(), values });
        let (values, delimiters) = self.parts.iter().cloned().unzip();
        Ok(vec![list(values), list(delimiters)])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Array(values), Datum::Array(delimiters)] = state {
            for (value, delimiter) in values.values.iter().zip(&delimiters.values) {
                self.push(value, delimiter);
            }
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        if self.parts.is_empty() {
            return Ok(Datum::Null);
        }
        let mut bytes = Vec::new();
        for (i, (value, delimiter)) in self.parts.iter().enumerate() {
            for part in [delimiter, value].into_iter().skip(usize::from(i == 0)) {
                match part {
                    Datum::Text(text) => bytes.extend(text.as_bytes()),
                    Datum::Bytea(raw) => bytes.extend(raw),
                    _ => {}
                }
            }
        }
        if self.ty == PgType::Bytea {
            return Ok(Datum::Bytea(bytes));
        }
        String::from_utf8(bytes).map(Datum::Text).map_err(|_| unexpected_value("string_agg"))
    }

    fn heap_size(&self) -> usize {
        self.bytes
    }
}
