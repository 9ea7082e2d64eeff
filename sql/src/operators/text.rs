//! Concatenation and LIKE.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Like};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use super::compare::balanced;
use crate::casts::{self, CastKind};
use crate::functions::error::unexpected_value;
use crate::functions::library::Builder;
use crate::functions::{self, FunctionEnv, Typed};

/// The function that `||` of two texts is.
const TEXTCAT: &str = "textcat(text,text)";

pub(crate) fn install(b: &mut Builder) {
    for signature in
        ["||(text,text) text", "||(text,anynonarray) text", "||(anynonarray,text) text"]
    {
        b.rewrite(signature, |args, _, env| {
            let as_text = |arg| casts::cast(arg, &PgType::Text, CastKind::Assignment, env);
            let texts = args.into_iter().map(as_text).collect::<SqlResult<_>>()?;
            shallow(functions::call_known(TEXTCAT, texts, env)?, env)
        });
    }
    for (op, negated, insensitive) in
        [("~~", false, false), ("!~~", true, false), ("~~*", false, true), ("!~~*", true, true)]
    {
        for ty in ["text", "bpchar", "name"] {
            b.rewrite(&format!("{op}({ty},text) bool"), move |args, _, _| {
                let Ok([value, pattern]) = <[Typed; 2]>::try_from(args) else {
                    return Err(unexpected_value("LIKE"));
                };
                Ok(matches(value.expr, pattern.expr, negated, insensitive))
            });
        }
    }
}

fn matches(value: Expr, pattern: Expr, negated: bool, insensitive: bool) -> Typed {
    let like = Like::new(negated, Box::new(value), Box::new(pattern), None, insensitive);
    // A column of patterns is left as it is for now, to be seen by the planner.
    let own = match like.pattern.as_ref() {
        Expr::Literal(..) => super::pattern::own_test(&like),
        _ => None,
    };
    Typed::bool(own.unwrap_or(Expr::Like(like)))
}

/// `value [NOT] [I]LIKE pattern [ESCAPE escape]`.
pub fn like(
    value: Typed,
    pattern: Typed,
    escape: Option<Typed>,
    negated: bool,
    insensitive: bool,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    let op = match (negated, insensitive) {
        (false, false) => "~~",
        (true, false) => "!~~",
        (false, true) => "~~*",
        (true, true) => "!~~*",
    };
    let pattern = match escape {
        None => pattern,
        Some(escape) => {
            let text = |value: Typed| casts::cast(value, &PgType::Text, CastKind::Implicit, env);
            let (pattern, escape) = (text(pattern)?, text(escape)?);
            match (constant_text(&pattern), constant_text(&escape)) {
                (Some(pattern), Some(escape)) => Typed::text(escape_pattern(&pattern, &escape)?),
                _ => crate::functions::call_known(
                    "like_escape(text,text)",
                    vec![pattern, escape],
                    env,
                )?,
            }
        }
    };
    super::binary(op, value, pattern, env)
}

fn constant_text(value: &Typed) -> Option<String> {
    match &value.expr {
        Expr::Literal(ScalarValue::Utf8View(Some(text)), _) => Some(text.clone()),
        _ => None,
    }
}

/// The pattern with backslash for escape that matches what `pattern` with `escape` does.
pub fn escape_pattern(pattern: &str, escape: &str) -> SqlResult<String> {
    let mut chars = escape.chars();
    let own = match (chars.next(), chars.next()) {
        (None, _) => None,
        (Some(c), None) => Some(c),
        _ => {
            return Err(SqlError::new(SqlState(*b"22025"), "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
    };
    let mut out = String::with_capacity(pattern.len());
    let mut after_escape = false;
    for c in pattern.chars() {
        if Some(c) == own && !after_escape {
            after_escape = true;
            out.push('\\');
            continue;
        }
        if c == '\\' && !after_escape {
            out.push('\\');
        }
        out.push(c);
        after_escape = false;
    }
    Ok(out)
}

/// The operands of a concatenation.
fn operands(text: &Expr) -> Option<&[Expr]> {
    match text {
        Expr::ScalarFunction(call) if call.func.name() == TEXTCAT => Some(&call.args),
        _ => None,
    }
}

/// A long chain of concatenations as a balanced tree, which is the same text.
fn shallow(text: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    const SHORT: usize = 32;
    let (mut depth, mut node) = (0, &text.expr);
    while let Some([left, _]) = operands(node) {
        (depth, node) = (depth + 1, left);
    }
    if depth < SHORT {
        return Ok(text);
    }
    let (mut parts, mut rest) = (Vec::new(), vec![&text.expr]);
    while let Some(next) = rest.pop() {
        match operands(next) {
            Some(pair) => rest.extend(pair.iter().rev()),
            None => parts.push(Typed::new(next.clone(), PgType::Text)),
        }
    }
    balanced(parts, |left, right| functions::call_known(TEXTCAT, vec![left, right], env))?
        .ok_or_else(|| unexpected_value("||"))
}
