//! Aggregates over a table that PostgreSQL 15 aggregated too, in two phases over three parts.
//!
//! `golden/aggregates.txt` is of the form of the functions' golden files; `regenerate.sh` there
//! makes its answers, over the table `t` that `golden/table.sql` creates.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::Column;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionConfig;
use satsuma_common::arrow_values::datum_at;
use satsuma_common::text::TextContext;
use satsuma_common::{PgType, SqlResult, arrow_types};

use super::{AggregateCall, OrderBy};
use crate::casts::convert::{input, output};
use crate::functions::columns::collect;
use crate::functions::error::from_datafusion;
use crate::functions::tests::{Source, bind, env, parse};
use crate::functions::{FunctionEnv, Typed};
use sqlparser::ast;

const COLUMNS: &[(&str, &str)] = &[
    ("g", "int4"),
    ("i", "int4"),
    ("s", "int2"),
    ("b", "int8"),
    ("n", "numeric"),
    ("d", "numeric(10,2)"),
    ("f", "float8"),
    ("r", "float4"),
    ("t", "text"),
    ("bo", "bool"),
    ("dt", "date"),
    ("ts", "timestamp"),
    ("iv", "interval"),
    ("j", "jsonb"),
    ("ar", "_int4"),
    ("ip", "inet"),
];

/// The rows of `table.sql`, which COPY reads as they are.
const ROWS: &str = include_str!("golden/rows.txt");

fn types() -> Vec<(String, PgType)> {
    COLUMNS
        .iter()
        .map(|(name, ty)| {
            let ty = match *ty {
                "numeric(10,2)" => PgType::Numeric(None).with_typmod(((10 << 16) | 2) + 4),
                other => PgType::parse_name(other).expect("a type"),
            };
            (name.to_string(), ty)
        })
        .collect()
}

fn batches() -> (Arc<Schema>, Vec<Vec<RecordBatch>>) {
    let columns = types();
    let fields: Vec<_> =
        columns.iter().map(|(name, ty)| arrow_types::field(name, ty, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let context = TextContext::default();
    let lines: Vec<Vec<&str>> = ROWS.lines().map(|line| line.split('\t').collect()).collect();
    let part = |rows: &[Vec<&str>]| {
        let arrays = columns.iter().enumerate().map(|(i, (_, ty))| {
            let values = rows.iter().map(|row| match row[i] {
                "\\N" => satsuma_common::Datum::Null,
                text => input(text, ty, &context).expect(text),
            });
            collect(ty, values.collect::<Vec<_>>()).expect("an array")
        });
        vec![RecordBatch::try_new(schema.clone(), arrays.collect()).expect("a batch")]
    };
    let third = lines.len().div_ceil(3);
    (schema.clone(), lines.chunks(third).map(part).collect())
}

fn source() -> Source {
    let columns = types();
    Source(Some(Box::new(move |name| {
        let (_, ty) = columns.iter().find(|(column, _)| column == name)?;
        Some(Typed::new(Expr::Column(Column::from_name(name)), ty.clone()))
    })))
}

fn order(keys: &[ast::OrderByExpr], env: &FunctionEnv, source: &Source) -> SqlResult<Vec<OrderBy>> {
    keys.iter()
        .map(|key| {
            let ascending = key.options.asc.unwrap_or(true);
            Ok(OrderBy {
                value: bind(&key.expr, env, source)?,
                ascending,
                nulls_first: key.options.nulls_first.unwrap_or(!ascending),
            })
        })
        .collect()
}

fn call(text: &str, env: &FunctionEnv) -> SqlResult<Typed> {
    let source = source();
    let ast::Expr::Function(function) = parse(text) else { panic!("{text} is not a call") };
    let mut aggregate = AggregateCall::default();
    if let ast::FunctionArguments::List(list) = &function.args {
        aggregate.distinct =
            matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
        for arg in &list.args {
            if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg {
                aggregate.args.push(bind(arg, env, &source)?);
            }
        }
        for clause in &list.clauses {
            if let ast::FunctionArgumentClause::OrderBy(keys) = clause {
                aggregate.order_by = order(keys, env, &source)?;
            }
        }
    }
    if !function.within_group.is_empty() {
        aggregate.within_group = true;
        aggregate.order_by = order(&function.within_group, env, &source)?;
    }
    if let Some(filter) = &function.filter {
        aggregate.filter = Some(bind(filter, env, &source)?.expr);
    }
    let name = function.name.to_string().to_lowercase();
    super::aggregate(&name, aggregate, env)
        .map(|typed| typed.unwrap_or_else(|| panic!("no aggregate {name}")))
}

async fn evaluate(text: &str, env: &FunctionEnv, grouped: bool) -> SqlResult<String> {
    let typed = call(text, env)?;
    let (schema, parts) = batches();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    let table = MemTable::try_new(schema, parts).expect("a table");
    let frame = context.read_table(Arc::new(table)).map_err(from_datafusion)?;
    let group = if grouped { vec![Expr::Column(Column::from_name("g"))] } else { Vec::new() };
    let frame = frame
        .aggregate(group.clone(), vec![typed.expr.alias("result")])
        .map_err(from_datafusion)?;
    let frame = if grouped {
        frame.sort(vec![group[0].clone().sort(true, false)]).map_err(from_datafusion)?
    } else {
        frame
    };
    let frame = frame.select_columns(&["result"]).map_err(from_datafusion)?;
    let mut shown = Vec::new();
    for batch in frame.collect().await.map_err(from_datafusion)? {
        for row in 0..batch.num_rows() {
            let value = datum_at(batch.column(0).as_ref(), row, &typed.ty)?;
            shown.push(if value.is_null() {
                "NULL".into()
            } else {
                output(&value, &typed.ty, &env.settings.context())?
            });
        }
    }
    Ok(shown.join("\\n").replace('\n', "\\n"))
}

#[test]
fn aggregates_agree_with_postgresql() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let env = env();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("golden/aggregates.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (expr, expected) = line.rsplit_once(" => ").expect(line);
        let (expr, grouped) = match expr.strip_suffix(" from t group by g order by g") {
            Some(expr) => (expr, true),
            None => (expr.strip_suffix(" from t").expect(line), false),
        };
        count += 1;
        let (got, detail) = match runtime.block_on(evaluate(expr, &env, grouped)) {
            Ok(value) => (value, String::new()),
            Err(error) => (format!("error {}", error.state()), error.to_string()),
        };
        if got != expected {
            wrong.push(format!("{expr}\n    expected {expected}\n    got      {got} {detail}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_name_tells_the_whole_aggregate() {
    let env = env();
    for text in ["string_agg(distinct t, ',' order by t desc)", "sum(d)", "avg(i)", "array_agg(n)"]
    {
        let typed = call(text, &env).expect(text);
        let Expr::AggregateFunction(function) = typed.expr else { panic!("{text}") };
        let name = function.func.name();
        let found = super::udaf::PgAggregate::by_name(name).expect(name);
        assert_eq!(datafusion::logical_expr::AggregateUDFImpl::name(&found), name);
    }
}

/// `name(column) OVER (ORDER BY i, t ..frame)` for every row of the table, in that order.
async fn over(
    name: &str,
    args: Vec<Typed>,
    frame: datafusion::logical_expr::WindowFrame,
) -> String {
    let env = env();
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let order = vec![column("i").sort(true, false), column("t").sort(true, false)];
    let call = super::WindowCall {
        args,
        distinct: false,
        filter: None,
        partition_by: Vec::new(),
        order_by: order.clone(),
        frame,
        exclude: None,
    };
    let typed = super::window(name, call, &env).expect(name).expect(name);
    let (schema, parts) = batches();
    let table = Arc::new(MemTable::try_new(schema, parts).expect("a table"));
    let frame = SessionContext::new().read_table(table).expect("a table");
    // A cast stands above the window function, as the binder plans it.
    let (window, shown) = match typed.expr {
        Expr::Cast(cast) => {
            let window = cast.expr.as_ref().clone().alias("w");
            let field = cast.field.clone();
            let cast = datafusion::logical_expr::Cast::new_from_field(Box::new(column("w")), field);
            (window, Expr::Cast(cast))
        }
        window => (window.alias("w"), column("w")),
    };
    let rows = frame
        .window(vec![window])
        .and_then(|frame| frame.sort(order))
        .and_then(|frame| frame.select(vec![shown.alias("shown")]))
        .expect("a plan");
    let mut out = Vec::new();
    for batch in rows.collect().await.expect("rows") {
        for row in 0..batch.num_rows() {
            let value = datum_at(batch.column(0).as_ref(), row, &typed.ty).expect("a value");
            out.push(match value.is_null() {
                true => "NULL".to_string(),
                false => output(&value, &typed.ty, &TextContext::default()).expect("text"),
            });
        }
    }
    out.join(" ")
}

/// Answers of PostgreSQL: `select f over (order by i, t frame) from t order by i, t`.
#[test]
fn windows_agree_with_postgresql() {
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let column = |name: &str| source().0.and_then(|columns| columns(name)).expect(name);
    let preceding = |n| WindowFrameBound::Preceding(ScalarValue::UInt64(n));
    let sliding = || {
        WindowFrame::new_bounds(
            WindowFrameUnits::Rows,
            preceding(Some(1)),
            WindowFrameBound::CurrentRow,
        )
    };
    let growing = || WindowFrame::new(Some(false));
    let cases = [
        ("sum", vec![column("i")], sliding(), "-7 -4 6 8 10 13 8"),
        ("sum", vec![column("n")], sliding(), "-0.005 2.245 3.750 3.000 3.00 101.5 100"),
        (
            "avg",
            vec![column("i")],
            sliding(),
            "-7.0000000000000000 -2.0000000000000000 3.0000000000000000 4.0000000000000000 \
             5.0000000000000000 6.5000000000000000 8.0000000000000000",
        ),
        ("max", vec![column("iv")], sliding(), "-1 days 02:00:00 1 day 1 day 1 mon 1 mon 24:00:00"),
        ("count", vec![column("i")], sliding(), "1 2 2 2 2 2 1"),
        ("sum", vec![column("i")], growing(), "-7 -4 -1 4 9 17 17"),
        ("string_agg", vec![column("t"), Typed::text("")], sliding(), "zz zza ab bb bc ca a"),
        ("row_number", vec![], growing(), "1 2 3 4 5 6 7"),
        ("rank", vec![], growing(), "1 2 3 4 5 6 7"),
        ("ntile", vec![Typed::int4(3)], growing(), "1 1 1 2 2 3 3"),
        ("lag", vec![column("i")], growing(), "NULL -7 3 3 5 5 8"),
        ("lead", vec![column("i"), Typed::int4(2), Typed::int4(0)], growing(), "3 5 5 8 NULL 0 0"),
        ("first_value", vec![column("t")], growing(), "zz zz zz zz zz zz zz"),
        ("nth_value", vec![column("t"), Typed::int4(2)], growing(), "NULL a a a a a a"),
    ];
    for (name, args, frame, expected) in cases {
        assert_eq!(runtime.block_on(over(name, args, frame)), expected, "{name}");
    }
}
