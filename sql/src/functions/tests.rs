//! Expressions against golden answers of PostgreSQL 15.
//!
//! `golden/*.txt` hold one case per line, `expression => text`, `expression => NULL` or
//! `expression => error SQLSTATE`. `golden/regenerate.sh` asks a PostgreSQL server for all of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{ColumnarValue, Expr};
use satsuma_common::{Datum, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState, TableId};
use sqlparser::ast::{self, DataType, Value};

use super::error::from_datafusion;
use super::{CatalogFunction, CatalogFunctions, FunctionEnv, SequenceAccess, Settings, Typed};
use crate::casts::{self, CastKind};
use crate::catalog_view::{CatalogView, Relation, TableInfo};
use crate::operators::{self, Connective, Logic};

#[derive(Debug)]
struct NoCatalog;

impl CatalogView for NoCatalog {
    fn relation(&self, _: Option<&str>, _: &str) -> Option<Relation> {
        None
    }
    fn table(&self, _: TableId) -> Option<Arc<TableInfo>> {
        None
    }
    fn sequence(&self, _: Option<&str>, _: &str) -> Option<SequenceId> {
        None
    }
    fn schema_exists(&self, _: &str) -> bool {
        false
    }
    fn user_type(&self, _: Option<&str>, _: &str) -> Option<PgType> {
        None
    }
    fn enum_labels(&self, _: Oid) -> Option<Arc<Vec<String>>> {
        None
    }
    fn oid_name(&self, _: &PgType, _: u32) -> Option<String> {
        None
    }
    fn oid_of(&self, _: &PgType, _: &str) -> Option<u32> {
        None
    }
}

fn absent<T>() -> SqlResult<T> {
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "no catalog in this test"))
}

impl CatalogFunctions for NoCatalog {
    fn call(&self, _: CatalogFunction, _: &[Datum]) -> SqlResult<Datum> {
        absent()
    }
}

impl SequenceAccess for NoCatalog {
    fn next_value(&self, _: Oid) -> SqlResult<i64> {
        absent()
    }
    fn current_value(&self, _: Oid) -> SqlResult<i64> {
        absent()
    }
    fn set_value(&self, _: Oid, _: i64, _: bool) -> SqlResult<i64> {
        absent()
    }
    fn last_value(&self) -> SqlResult<i64> {
        absent()
    }
}

/// Columns that a test's expressions may name.
pub(crate) struct Source(pub Option<Columns>);

type Columns = Box<dyn Fn(&str) -> Option<Typed>>;

pub(crate) fn env() -> FunctionEnv {
    let nothing = Arc::new(NoCatalog);
    FunctionEnv {
        settings: Arc::new(Settings { time_zone: "UTC".into(), ..Settings::default() }),
        identity: Arc::default(),
        search_path: Arc::new(vec!["public".into()]),
        catalog: nothing.clone(),
        catalog_functions: nothing.clone(),
        sequences: nothing,
        parameters: None,
        depends_on_session: Arc::new(AtomicBool::new(false)),
    }
}

pub(crate) fn parse(text: &str) -> ast::Expr {
    let parsed = crate::parse::parse_expression(text);
    parsed.unwrap_or_else(|error| panic!("{text}: {error}")).0
}

fn ty(data_type: &DataType) -> PgType {
    let text = data_type.to_string().to_lowercase();
    let (bare, modifier) = match text.split_once('(') {
        Some((bare, rest)) => {
            let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{}{after}", bare.trim()), Some(inside.to_string()))
        }
        None => (text.clone(), None),
    };
    let bare = match bare.trim_matches('"') {
        "timestamp with time zone" => "timestamptz".into(),
        "timestamp without time zone" => "timestamp".into(),
        other => other.to_string(),
    };
    let ty = PgType::parse_name(&bare).unwrap_or_else(|| panic!("no type {text}"));
    let numbers: Vec<i32> = modifier
        .map(|m| m.split(',').map(|n| n.trim().parse().expect("a modifier")).collect())
        .unwrap_or_default();
    let element = match &ty {
        PgType::Array(element) => element.as_ref().clone(),
        other => other.clone(),
    };
    match (&element, numbers.as_slice()) {
        (PgType::Numeric(_), [p]) => ty.with_typmod((p << 16) + 4),
        (PgType::Numeric(_), [p, s]) => ty.with_typmod(((p << 16) | (s & 0x7ff)) + 4),
        (_, [n]) => ty.without_modifier().with_typmod(n + 4),
        _ => ty,
    }
}

/// The part of a binder that expressions without columns need.
pub(crate) fn bind(expr: &ast::Expr, env: &FunctionEnv, source: &Source) -> SqlResult<Typed> {
    match expr {
        ast::Expr::Identifier(name) => Ok(source
            .0
            .as_ref()
            .and_then(|columns| columns(&name.value))
            .unwrap_or_else(|| panic!("no column {name}"))),
        ast::Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Typed::number(text),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Ok(Typed::unknown(text.clone()))
            }
            Value::Boolean(value) => Typed::constant(Datum::Bool(*value), PgType::Bool),
            Value::Null => Ok(Typed::unknown_null()),
            other => panic!("literal {other}"),
        },
        ast::Expr::Nested(inner) => bind(inner, env, source),
        ast::Expr::Cast { expr, data_type, .. } => {
            casts::cast(bind(expr, env, source)?, &ty(data_type), CastKind::Explicit, env)
        }
        ast::Expr::TypedString(typed) => {
            let text = typed.value.value.clone().into_string().expect("a string");
            casts::cast(Typed::unknown(text), &ty(&typed.data_type), CastKind::Explicit, env)
        }
        ast::Expr::Interval(interval) => casts::cast(
            bind(&interval.value, env, source)?,
            &PgType::Interval,
            CastKind::Explicit,
            env,
        ),
        ast::Expr::Array(array) => {
            let items: Vec<Typed> =
                array.elem.iter().map(|item| bind(item, env, source)).collect::<SqlResult<_>>()?;
            operators::array(items, env)
        }
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Not, expr } => {
            let operand = operators::condition(bind(expr, env, source)?, "NOT", env)?;
            Ok(Typed::bool(Logic::negation(Logic::leaf(operand)).value()))
        }
        ast::Expr::UnaryOp { op, expr } => {
            operators::unary(&op.to_string(), bind(expr, env, source)?, env)
        }
        ast::Expr::BinaryOp { left, op, right } => {
            let (left, right) = (bind(left, env, source)?, bind(right, env, source)?);
            match op {
                ast::BinaryOperator::And => both(Connective::And, left, right, env),
                ast::BinaryOperator::Or => both(Connective::Or, left, right, env),
                op => operators::binary(&op.to_string(), left, right, env),
            }
        }
        ast::Expr::Like { negated, expr, pattern, .. } => operators::like(
            bind(expr, env, source)?,
            bind(pattern, env, source)?,
            None,
            *negated,
            false,
            env,
        ),
        ast::Expr::ILike { negated, expr, pattern, .. } => operators::like(
            bind(expr, env, source)?,
            bind(pattern, env, source)?,
            None,
            *negated,
            true,
            env,
        ),
        ast::Expr::IsDistinctFrom(left, right) => {
            operators::distinct(bind(left, env, source)?, bind(right, env, source)?, false, env)
        }
        ast::Expr::InList { expr, list, negated } => {
            let list = list.iter().map(|item| bind(item, env, source)).collect::<SqlResult<_>>()?;
            operators::in_list(bind(expr, env, source)?, list, *negated, env)
        }
        ast::Expr::AnyOp { left, compare_op, right, .. } => {
            let (left, right) = (bind(left, env, source)?, bind(right, env, source)?);
            operators::quantified(&compare_op.to_string(), left, right, false, env)
        }
        ast::Expr::AllOp { left, compare_op, right } => {
            let (left, right) = (bind(left, env, source)?, bind(right, env, source)?);
            operators::quantified(&compare_op.to_string(), left, right, true, env)
        }
        ast::Expr::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            let name = name.strip_prefix("pg_catalog.").unwrap_or(&name).to_string();
            let mut args = Vec::new();
            if let ast::FunctionArguments::List(list) = &call.args {
                for arg in &list.args {
                    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg else {
                        panic!("argument {arg}")
                    };
                    args.push(bind(arg, env, source)?);
                }
            }
            let types: Vec<PgType> = args.iter().map(|a| a.ty.clone()).collect();
            super::scalar(&name, args, env)?.ok_or_else(|| super::undefined(&name, &types))
        }
        ast::Expr::Substring { expr, substring_from, substring_for, .. } => {
            let mut args = vec![bind(expr, env, source)?];
            for part in [substring_from, substring_for].into_iter().flatten() {
                args.push(bind(part, env, source)?);
            }
            super::scalar("substring", args, env).map(|value| value.expect("substring"))
        }
        ast::Expr::Extract { field, expr, .. } => {
            let args =
                vec![Typed::text(field.to_string().to_lowercase()), bind(expr, env, source)?];
            super::scalar("extract", args, env).map(|value| value.expect("extract"))
        }
        ast::Expr::AtTimeZone { timestamp, time_zone } => {
            let args = vec![bind(time_zone, env, source)?, bind(timestamp, env, source)?];
            super::scalar("timezone", args, env).map(|value| value.expect("timezone"))
        }
        ast::Expr::Ceil { expr, .. } => call1("ceil", expr, env, source),
        ast::Expr::Floor { expr, .. } => call1("floor", expr, env, source),
        ast::Expr::Position { expr, r#in } => {
            let args = vec![bind(r#in, env, source)?, bind(expr, env, source)?];
            super::scalar("position", args, env).map(|value| value.expect("position"))
        }
        ast::Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut args = vec![
                bind(expr, env, source)?,
                bind(overlay_what, env, source)?,
                bind(overlay_from, env, source)?,
            ];
            if let Some(count) = overlay_for {
                args.push(bind(count, env, source)?);
            }
            super::scalar("overlay", args, env).map(|value| value.expect("overlay"))
        }
        ast::Expr::Trim { expr, trim_where, trim_what, .. } => {
            let name = match trim_where {
                Some(ast::TrimWhereField::Leading) => "ltrim",
                Some(ast::TrimWhereField::Trailing) => "rtrim",
                _ => "btrim",
            };
            let mut args = vec![bind(expr, env, source)?];
            if let Some(what) = trim_what {
                args.push(bind(what, env, source)?);
            }
            super::scalar(name, args, env).map(|value| value.expect("trim"))
        }
        ast::Expr::IsNotNull(inner) => {
            Ok(Typed::bool(Expr::IsNotNull(Box::new(bind(inner, env, source)?.expr))))
        }
        ast::Expr::Case { operand: None, conditions, else_result: Some(otherwise), .. } => {
            let mut values = vec![bind(otherwise, env, source)?];
            for branch in conditions {
                values.push(bind(&branch.result, env, source)?);
            }
            let (mut values, ty) = super::special::unified("CASE", values, env)?;
            let otherwise = values.remove(0).expr;
            let mut branches = Vec::new();
            for (branch, value) in conditions.iter().zip(values) {
                branches.push((bind(&branch.condition, env, source)?.expr, value.expr));
            }
            Ok(operators::case(branches, Some(otherwise), ty))
        }
        other => panic!("the test binder does not know {other:?}"),
    }
}

fn call1(name: &str, expr: &ast::Expr, env: &FunctionEnv, source: &Source) -> SqlResult<Typed> {
    super::scalar(name, vec![bind(expr, env, source)?], env).map(|value| value.expect("a function"))
}

/// Evaluates through DataFusion, optimizer and all, and prints as a client would see it.
fn evaluate(text: &str, env: &FunctionEnv) -> SqlResult<Option<String>> {
    let typed = bind(&parse(text), env, &Source(None))?;
    let typed = casts::relabel_unknown(typed);
    let context = SessionContext::new();
    let schema = DFSchema::empty();
    let physical =
        context.create_physical_expr(typed.expr.clone(), &schema).map_err(from_datafusion)?;
    let batch = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        Vec::<ArrayRef>::new(),
        &datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
    )
    .expect("a batch");
    let value = match physical.evaluate(&batch).map_err(from_datafusion)? {
        ColumnarValue::Scalar(scalar) => super::columns::from_scalar(&typed.ty, &scalar)?,
        ColumnarValue::Array(array) => {
            satsuma_common::arrow_values::datum_at(array.as_ref(), 0, &typed.ty)?
        }
    };
    if value.is_null() {
        return Ok(None);
    }
    casts::convert::output(&value, &typed.ty, &env.settings.context()).map(Some)
}

fn outcome(text: &str, env: &FunctionEnv) -> String {
    match evaluate(text, env) {
        Ok(Some(value)) => value.replace('\n', "\\n"),
        Ok(None) => "NULL".into(),
        Err(error) => format!("error {}", error.state()),
    }
}

fn check(file: &str, cases: &str) {
    let env = env();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expr, expected) = line.rsplit_once(" => ").expect(line);
        count += 1;
        let got = outcome(expr, &env);
        if got != expected {
            let detail = evaluate(expr, &env).err().map(|e| e.to_string()).unwrap_or_default();
            wrong.push(format!("{expr}\n    expected {expected}\n    got      {got} {detail}"));
        }
    }
    assert!(wrong.is_empty(), "{file}: {} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! golden {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("golden/", stringify!($name), ".txt")));
        }
    )*};
}

golden!(numbers, comparisons, strings, dates, json, arrays, network, regex, bytes, templates);

#[test]
fn every_signature_is_found_again_by_its_name() {
    use datafusion::execution::FunctionRegistry as _;
    for definition in super::library::functions().definitions() {
        if definition.signature.is_polymorphic()
            || definition.signature.variadic
            || matches!(definition.body, super::library::Body::Rewrite(_))
        {
            continue;
        }
        let key = definition.signature.key();
        assert_eq!(super::registry().udf(&key).expect(&key).name(), key);
    }
}

fn both(connective: Connective, left: Typed, right: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let operands = [left, right]
        .map(|operand| operators::condition(operand, "AND", env).map(Logic::leaf))
        .into_iter()
        .collect::<SqlResult<_>>()?;
    Ok(Typed::bool(Logic::chain(connective, operands).value()))
}

#[test]
fn a_guard_is_not_evaluated_past() {
    let env = env();
    let column = |name: &str| {
        Typed::new(Expr::Column(datafusion::common::Column::from_name(name)), PgType::Int4)
    };
    let guard = operators::binary("<>", column("x"), Typed::int4(0), &env).expect("<>");
    let quotient = operators::binary("/", Typed::int4(10), column("x"), &env).expect("/");
    let test = operators::binary(">", quotient, Typed::int4(1), &env).expect(">");
    let both = both(Connective::And, guard, test, &env).expect("AND");
    let values: ArrayRef = Arc::new(datafusion::arrow::array::Int32Array::from(vec![
        Some(0),
        Some(2),
        None,
        Some(20),
    ]));
    let field = satsuma_common::arrow_types::field("x", &PgType::Int4, true);
    let arrow = Arc::new(Schema::new(vec![field]));
    let schema = DFSchema::try_from(arrow.as_ref().clone()).expect("a schema");
    let physical =
        SessionContext::new().create_physical_expr(both.expr, &schema).expect("physical");
    let batch = RecordBatch::try_new(arrow, vec![values]).expect("a batch");
    let result = physical.evaluate(&batch).expect("no error").into_array(4).expect("an array");
    let result: Vec<_> = datafusion::arrow::array::AsArray::as_boolean(&result).iter().collect();
    assert_eq!(result, [Some(false), Some(true), None, Some(false)]);
}

/// The elements that a set-returning function gives, as one array's text.
fn listed(call: &str) -> String {
    let env = env();
    let ast::Expr::Function(function) = parse(call) else { panic!("{call}") };
    let ast::FunctionArguments::List(list) = &function.args else { panic!("{call}") };
    let args = list
        .args
        .iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => {
                bind(arg, &env, &Source(None)).expect(call)
            }
            other => panic!("argument {other}"),
        })
        .collect();
    let table = match super::table(&function.name.to_string(), args, &env) {
        Ok(table) => table.expect(call),
        Err(error) => return format!("error {}", error.state()),
    };
    let shown = table.columns.into_iter().map(|column| {
        let ty = PgType::Array(Box::new(column.ty));
        let Expr::Literal(value, _) = super::fold_constant(column.list) else {
            return "error".into();
        };
        let value = super::columns::from_scalar(&ty, &value).expect(call);
        casts::convert::output(&value, &ty, &env.settings.context()).expect(call)
    });
    shown.collect::<Vec<String>>().join(" ")
}

/// As PostgreSQL's `select array_agg(x) from f(..) x` has it.
#[test]
fn sets_come_as_lists() {
    for (call, expected) in [
        ("generate_series(1, 5, 2)", "{1,3,5}"),
        ("generate_series(5, 1)", "{}"),
        ("generate_series(3, 1, -1)", "{3,2,1}"),
        ("generate_series(1, 2, 0)", "error"),
        (
            "generate_series(9223372036854775806, 9223372036854775807)",
            "{9223372036854775806,9223372036854775807}",
        ),
        ("generate_series(1.0, 2, 0.5)", "{1.0,1.5,2.0}"),
        (
            "generate_series(timestamp '2024-01-31', timestamp '2024-03-31', '1 month')",
            "{\"2024-01-31 00:00:00\",\"2024-02-29 00:00:00\",\"2024-03-29 00:00:00\"}",
        ),
        ("jsonb_array_elements('[1, \"a\", null]')", "{1,\"\\\"a\\\"\",\"null\"}"),
        ("jsonb_array_elements_text('[1, \"a\", null]')", "{1,a,NULL}"),
        ("jsonb_object_keys('{\"b\": 1, \"a\": 2}')", "{a,b}"),
        ("jsonb_each_text('{\"b\": 1, \"a\": null}')", "{a,b} {NULL,1}"),
        ("regexp_split_to_table('a b', ' ')", "{a,b}"),
        ("regexp_matches('a1b2', '([a-z])([0-9])', 'g')", "{\"{a,1}\",\"{b,2}\"}"),
        ("string_to_table('a,b', ',')", "{a,b}"),
        ("generate_subscripts(array[4,5], 1)", "{1,2}"),
    ] {
        assert_eq!(listed(call), expected, "{call}");
    }
}

#[test]
fn reserved_words_are_found() {
    for word in ["all", "authorization", "select", "user", "xmltable", "when"] {
        assert_eq!(super::quote_ident(word), format!("\"{word}\""));
    }
    assert_eq!(super::quote_ident("plain_1"), "plain_1");
}
