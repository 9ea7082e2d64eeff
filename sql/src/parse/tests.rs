use super::*;

fn one(sql: &str) -> Statement {
    let mut all = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0).statement
}

fn fails(sql: &str, message: &str, position: u32) {
    let error = parse(sql).expect_err(sql);
    assert_eq!((error.message(), error.fields().position), (message, Some(position)), "{sql}");
    assert_eq!(error.state(), SqlState::SYNTAX_ERROR);
}

#[test]
fn splits_and_keeps_positions() {
    let all = parse("select 1;; -- nothing\n select 'a;b' ; ").unwrap();
    let texts: Vec<_> = all.iter().map(|parsed| (parsed.text.as_str(), parsed.offset)).collect();
    assert_eq!(texts, [("select 1", 0), ("select 'a;b'", 23)]);
    assert!(parse(" ; -- only a comment").unwrap().is_empty());
}

#[test]
fn syntax_errors_are_postgresqls() {
    fails("SELEC 1", "syntax error at or near \"SELEC\"", 1);
    fails("select 1; selec 2", "syntax error at or near \"selec\"", 11);
    fails("select distinct", "syntax error at end of input", 16);
    fails("select (1", "syntax error at end of input", 10);
    fails("select 1 1", "syntax error at or near \"1\"", 10);
    fails("select * from", "syntax error at end of input", 14);
    fails("select * from;", "syntax error at or near \";\"", 14);
    fails("select 'abc", "unterminated quoted string at or near \"'abc\"", 8);
    let comment = "unterminated /* comment at or near \"/* c /* d */\"";
    fails("select 'é' /* c /* d */", comment, 12);
    fails("select 1 -- it's\n, \"a", "unterminated quoted identifier at or near \"\"a\"", 20);
    fails("select E'a\\'", "unterminated quoted string at or near \"E'a\\'\"", 8);
    fails("select $x$a $$", "unterminated dollar-quoted string at or near \"$x$a $$\"", 8);
    fails("select b'0", "unterminated bit string literal at or near \"b'0\"", 8);
    fails("fetch 2 from", "syntax error at end of input", 13);
}

#[test]
fn nesting_is_bounded_and_deep_statements_parse() {
    let nested = |n: usize| format!("select {}1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(MAX_NESTING)).is_ok());
    let error = parse(&nested(MAX_NESTING + 1)).unwrap_err();
    assert_eq!(error.state(), SqlState::STATEMENT_TOO_COMPLEX);
    assert_eq!(
        parse(&format!("select {}1", "not ".repeat(100_000))).unwrap_err().state(),
        SqlState::STATEMENT_TOO_COMPLEX
    );
}

#[test]
fn chains_of_operators_are_bounded() {
    let chain = |n: usize| format!("select 1{}", " + 1".repeat(n));
    assert!(parse(&chain(MAX_CHAIN - 1)).is_ok());
    assert_eq!(parse(&chain(1_000_000)).unwrap_err().state(), SqlState::STATEMENT_TOO_COMPLEX);
    let conditions = |n: usize| format!("select 1 = 1{}", " and a = 1 or b = 1".repeat(n));
    assert!(parse(&conditions(MAX_LOGICAL_CHAIN / 2 - 1)).is_ok());
    let error = parse(&conditions(MAX_LOGICAL_CHAIN)).unwrap_err();
    assert_eq!(error.state(), SqlState::STATEMENT_TOO_COMPLEX);
    let unions = format!("select 1{}", " union all select 1, 2".repeat(100_000));
    assert_eq!(parse(&unions).unwrap_err().state(), SqlState::STATEMENT_TOO_COMPLEX);
    let chains_within_chains = |n: usize| {
        let deep =
            (0..n).fold("1".to_owned(), |inner, _| format!("({inner}{})", " + 1".repeat(90)));
        format!("select {deep}")
    };
    assert!(parse(&chains_within_chains(4)).is_ok());
    let error = parse(&chains_within_chains(60)).unwrap_err();
    assert_eq!(error.state(), SqlState::STATEMENT_TOO_COMPLEX);
    // Lists may be long.
    assert!(parse(&format!("select 1 in (1{})", ", 1".repeat(50_000))).is_ok());
}

#[test]
fn copy_takes_both_notations() {
    let Statement::Copy(new) = one("COPY s.t (a, b) FROM STDIN WITH (FORMAT csv, HEADER, NULL '')")
    else {
        panic!("not a COPY")
    };
    assert!(new.from);
    assert_eq!(new.endpoint, CopyEndpoint::Client);
    let names: Vec<_> = new.options.iter().map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(names, ["format", "header", "null"]);
    let Statement::Copy(old) = one("copy t to stdout delimiter '|' csv force quote a, b") else {
        panic!("not a COPY")
    };
    let names: Vec<_> = old.options.iter().map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(names, ["delimiter", "format", "force_quote"]);
    assert!(matches!(one("copy (select 1) to '/tmp/x'"), Statement::Copy(_)));
    fails("copy (select 1) from stdin", "syntax error at or near \"from\"", 17);
}

#[test]
fn commands_that_the_grammar_behind_lacks() {
    for sql in [
        "declare c no scroll cursor with hold for select 1",
        "fetch forward all from c",
        "move -3 in c",
        "close all",
        "vacuum (verbose, analyze) t (a, b), u",
        "analyze",
        "lock table t in row exclusive mode nowait",
        "discard all",
        "deallocate prepare all",
        "unlisten *",
        "notify ch, 'payload'",
        "set constraints all deferred",
    ] {
        assert!(matches!(one(sql), Statement::Command(_)), "{sql}");
    }
    let Statement::Command(command) = one("fetch backward all c") else { panic!("not a command") };
    assert!(matches!(
        *command,
        Command::Fetch { direction: CursorDirection::Forward(i64::MIN), discard: false, .. }
    ));
    assert_eq!(parse("do $$ begin end $$").unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn deferrable_means_nothing() {
    for (sql, without) in [
        ("begin read only deferrable", "BEGIN READ ONLY"),
        ("begin not deferrable", "BEGIN"),
        ("start transaction deferrable, read write", "START TRANSACTION READ WRITE"),
        ("set transaction read only, not deferrable", "SET TRANSACTION READ ONLY"),
    ] {
        let Statement::Sql(statement) = one(sql) else { panic!("not SQL") };
        assert_eq!(statement.to_string(), without);
    }
}

#[test]
fn row_locks_keep_their_strength_and_their_tables() {
    let locks = |sql: &str| {
        let Statement::Sql(statement) = one(sql) else { panic!("not SQL") };
        let sqlparser::ast::Statement::Query(query) = *statement else { panic!("not a query") };
        let name = |of: &sqlparser::ast::ObjectName| {
            let parts: Vec<_> = of.0.iter().filter_map(|part| part.as_ident()).collect();
            locked_name(&parts).map(|of| (of.weaker, of.table.map(|name| name.value.clone())))
        };
        let locks = query.locks.iter();
        locks
            .map(|lock| {
                format!("{} {:?} {:?}", lock.lock_type, lock.of.as_ref().map(name), lock.nonblock)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        locks("select 1 from t for no key update nowait"),
        ["UPDATE Some(Some((true, None))) Some(Nowait)"]
    );
    assert_eq!(
        locks("select 1 from a, b for key share of a, b skip locked for update of b"),
        [
            "SHARE Some(Some((true, Some(\"a\")))) Some(SkipLocked)",
            "SHARE Some(Some((true, Some(\"b\")))) Some(SkipLocked)",
            "UPDATE Some(Some((false, Some(\"b\")))) None",
        ]
    );
    assert_eq!(locks("select 1 from t for share"), ["SHARE None None"]);
    assert_eq!(locks("select 1 from t for update of s.t"), ["UPDATE Some(None) None"]);
    assert!(matches!(one("select a isnull from t"), Statement::Sql(_)));
}

fn expression(text: &str) -> ast::Expr {
    parse_expression(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).0
}

#[test]
fn operators_rank_as_in_postgresql() {
    use ast::{BinaryOperator as Op, Expr};
    let top = |text: &str| match expression(text) {
        Expr::BinaryOp { op, .. } => op,
        other => panic!("{text} is {other}"),
    };
    assert_eq!(top("-2 ^ 2"), Op::PGExp);
    assert_eq!(top("- a + b"), Op::Plus);
    assert_eq!(top("a IS DISTINCT FROM b AND c"), Op::And);
    assert_eq!(top("a IS NOT DISTINCT FROM b OR c"), Op::Or);
    assert_eq!(top("a || 'x' ~ b"), Op::PGRegexMatch);
    assert_eq!(top("a ~ b || c"), Op::StringConcat);
    assert_eq!(top("inet '10.0.0.1' + 5"), Op::Plus);
    assert!(matches!(expression("~ a + b"), Expr::UnaryOp { .. }));
    assert!(matches!(expression("-1::int"), Expr::UnaryOp { .. }));
    assert!(matches!(expression("x BETWEEN SYMMETRIC 5 AND 1"), Expr::Nested(_)));
    assert!(matches!(expression("a << ANY (b)"), Expr::AnyOp { .. }));
    assert!(matches!(expression("ROW(1)"), Expr::Tuple(fields) if fields.len() == 1));
    assert!(matches!(expression("trim(leading from a)"), Expr::Trim { .. }));
    assert!(matches!(expression("numeric '1'"), Expr::TypedString(_)));
}

#[test]
fn words_of_other_databases_are_names() {
    for text in [
        "SELECT top FROM t top",
        "SELECT 1 sort, 2 minus FROM a semi, b anti",
        "SELECT convert('a', 'b', 'c'), struct, map FROM qualify",
        "SELECT a.regexp FROM t a WHERE pivot = 1",
        "UPDATE t SET a = 1",
        "SELECT 1 AS select, 2 value",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }
    for text in ["SELECT 1 FROM t AS WHERE", "SELECT where", "SELECT 1 FROM t join"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_only_this_parser_understands_is_written_out() {
    for sql in [
        "SELECT * FROM ROWS FROM (generate_series(1, 2), f(3)) AS r (a, b)",
        "SELECT sum(a) OVER (w ORDER BY b ROWS UNBOUNDED PRECEDING EXCLUDE TIES) FROM t",
        "SELECT sum(a) OVER (PARTITION BY ')' ROWS UNBOUNDED PRECEDING EXCLUDE GROUP) FROM t",
    ] {
        let parsed = super::parse(sql).expect(sql);
        let super::Statement::Sql(statement) = &parsed[0].statement else { panic!("{sql}") };
        let written = super::written(&statement.to_string());
        assert_eq!(written.replace("( ", "(").replace("\"w\"", "w"), sql);
    }
}

#[test]
fn pg_dumps_spelling_of_comparisons_and_tables_is_read() {
    let written = |sql: &str| {
        let parsed = super::parse(sql).expect(sql);
        let super::Statement::Sql(statement) = &parsed[0].statement else { panic!("{sql}") };
        statement.to_string()
    };
    assert_eq!(
        written("SELECT 1 FROM ONLY \"A\".t WHERE a OPERATOR(pg_catalog.=) ANY (ARRAY['r'])"),
        "SELECT 1 FROM \"A\".t WHERE a = ANY(ARRAY['r'])"
    );
    assert_eq!(written("UPDATE ONLY t SET a = 1"), "UPDATE t SET a = 1");
}
