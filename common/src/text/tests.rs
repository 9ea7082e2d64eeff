use super::*;
use crate::arrow_values::{DatumBuilder, datum_at};
use crate::binary::{binary_input, binary_output};

fn text_of(ty: &str, text: &str) -> SqlResult<String> {
    let ty = PgType::parse_name(ty).unwrap();
    let context = TextContext::default();
    Ok(to_text(&ty, &input(&ty, text, &context)?, &context)?.unwrap_or_default())
}

/// What PostgreSQL 15 makes of inputs: `type, input, OK, output` or
/// `type, input, ERROR, SQLSTATE, message, detail, hint`, tab separated, below lines `#settings`.
const ORACLE: &str = include_str!("oracle.golden");

fn type_named(name: &str) -> PgType {
    if let Some(element) = name.strip_suffix("[]") {
        return PgType::Array(Box::new(type_named(element)));
    }
    let Some((base, modifier)) = name.split_once('(') else {
        return PgType::parse_name(name).unwrap();
    };
    let mut numbers = modifier.trim_end_matches(')').split(',');
    let first: i32 = numbers.next().unwrap().parse().unwrap();
    match (base, numbers.next()) {
        ("varchar", _) => PgType::Varchar(Some(first as u32)),
        ("char", _) => PgType::Bpchar(Some(first as u32)),
        (_, scale) => PgType::Numeric(Some(crate::types::NumericMod {
            precision: first as u16,
            scale: scale.unwrap().parse().unwrap(),
        })),
    }
}

fn context_of(settings: &str) -> TextContext {
    let mut context = TextContext::default();
    for setting in settings.split(';').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap();
        match (name, value) {
            ("TimeZone", zone) => context.time_zone = TimeZone::parse(zone).unwrap(),
            ("extra_float_digits", digits) => context.extra_float_digits = digits.parse().unwrap(),
            ("bytea_output", _) => context.bytea_escape = true,
            ("IntervalStyle", "iso_8601") => context.interval_style = IntervalStyle::Iso8601,
            ("IntervalStyle", "sql_standard") => {
                context.interval_style = IntervalStyle::SqlStandard;
            }
            ("IntervalStyle", _) => context.interval_style = IntervalStyle::PostgresVerbose,
            _ => {
                let (format, order) = value.split_once(',').unwrap();
                context.date_format = match format {
                    "SQL" => DateFormat::Sql,
                    "Postgres" => DateFormat::Postgres,
                    "German" => DateFormat::German,
                    _ => DateFormat::Iso,
                };
                context.date_order = match order {
                    "DMY" => DateOrder::Dmy,
                    "YMD" => DateOrder::Ymd,
                    _ => DateOrder::Mdy,
                };
            }
        }
    }
    context
}

/// Input, output, the Arrow path and the wire, against what PostgreSQL answers.
#[test]
fn texts_are_postgresql_s() {
    let mut context = TextContext::default();
    let mut settings = "";
    let mut wrong = Vec::new();
    for line in ORACLE.lines() {
        if let Some(changed) = line.strip_prefix('#') {
            settings = changed;
            context = context_of(settings);
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let (ty, text, expected) =
            (type_named(fields[0]), unescape_keeping(fields[1]), &fields[2..]);
        let actual = match input(&ty, &text, &context) {
            Ok(value) => {
                let shown = to_text(&ty, &value, &context).unwrap().unwrap_or_default();
                check_other_ways(&ty, &text, &value, &context);
                format!("OK\t{}", shown.replace('\\', "\\\\").replace('\n', "\\n"))
            }
            Err(error) => {
                let fields = error.fields();
                let optional = |field: &Option<String>| field.clone().unwrap_or_default();
                let all = format!(
                    "ERROR\t{}\t{}\t{}\t{}",
                    fields.state,
                    fields.message,
                    optional(&fields.detail),
                    optional(&fields.hint)
                );
                all.replace('\\', "\\\\").replace('\n', "\\n")
            }
        };
        let expected = expected.join("\t");
        if actual != expected {
            wrong
                .push(format!("[{settings}] {ty} {:?}\n  is {actual}\n not {expected}", fields[1]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The inverse of the escapes in the file, one pass.
fn unescape_keeping(text: &str) -> String {
    text.replace("\\\\", "\u{1}").replace("\\n", "\n").replace("\\t", "\t").replace('\u{1}', "\\")
}

/// Text straight to Arrow, and there and back over the wire, must agree with the plain way.
fn check_other_ways(ty: &PgType, text: &str, value: &Datum, context: &TextContext) {
    let mut builder = DatumBuilder::new(ty, 1);
    match append_text(&mut builder, text, context) {
        Ok(()) => {
            let column = builder.finish().unwrap();
            let stored = datum_at(column.as_ref(), 0, ty).unwrap();
            let mut plain = Vec::new();
            let mut direct = Vec::new();
            output_bytes(ty, value, context, &mut plain).unwrap();
            format_array(column.as_ref(), 0, ty, context, &mut direct).unwrap();
            assert_eq!(String::from_utf8(direct), String::from_utf8(plain.clone()), "{ty} {text}");
            let mut stored_text = Vec::new();
            output_bytes(ty, &stored, context, &mut stored_text).unwrap();
            assert_eq!(stored_text, plain);
        }
        // Arrow's columns hold less: NaN in a decimal, intervals beyond 292 years of time.
        Err(error) => assert!(matches!(ty, PgType::Numeric(Some(_)) | PgType::Interval), "{error}"),
    }
    let mut wire = Vec::new();
    binary_output(ty, value, &mut wire).unwrap();
    let back = binary_input(ty, &wire).unwrap();
    let shown = |value| to_text(ty, value, context).unwrap();
    assert_eq!(shown(&back), shown(value), "{ty} {text}");
}

#[test]
fn relative_days_follow_the_clock_of_the_zone() {
    // 2001-02-03 23:30 UTC is the next day in Berlin.
    let now = 981_243_000_000_000;
    let mut context = TextContext { now, ..TextContext::default() };
    let today = |context: &TextContext| {
        let value = input(&PgType::Date, "today", context).unwrap();
        to_text(&PgType::Date, &value, context).unwrap().unwrap()
    };
    assert_eq!(today(&context), "2001-02-03");
    context.time_zone = TimeZone::parse("Europe/Berlin").unwrap();
    assert_eq!(today(&context), "2001-02-04");
    let tomorrow = input(&PgType::Timestamp, "tomorrow 10:00", &context).unwrap();
    let shown = to_text(&PgType::Timestamp, &tomorrow, &context).unwrap();
    assert_eq!(shown.as_deref(), Some("2001-02-05 10:00:00"));
    let value = input(&PgType::Timestamptz, "now", &context).unwrap();
    assert_eq!(value, Datum::Timestamp(now));
}

#[test]
fn length_limits() {
    let context = TextContext::default();
    let fit = |ty: PgType, text: &str| input(&ty, text, &context);
    assert_eq!(fit(PgType::Name, &"ä".repeat(40)).unwrap(), Datum::Text("ä".repeat(31)));
    assert!(fit(PgType::Text, "a\0").is_err());
}

#[test]
fn arrays_of_more_dimensions_are_refused() {
    assert_eq!(
        text_of("int[]", "{{1,2},{3,4}}").unwrap_err().state(),
        SqlState::FEATURE_NOT_SUPPORTED
    );
}
