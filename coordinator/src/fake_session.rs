//! A session in memory for tests of the front ends: a handful of statements, no SQL.
//!
//! | statement | does |
//! |---|---|
//! | `series N` | rows `i` int4, `t` text, from 1 to N, in batches of 1000 |
//! | `echo $1 $2` | one row of its parameters, int4 and text |
//! | `begin`, `commit`, `rollback`, in capitals too | move the transaction status |
//! | `fail`, `fail N` | 22012; as a stream, after N rows |
//! | `sleep` | runs until it is interrupted |
//! | `panic` | panics |
//! | `notice TEXT` | sends a notice |
//! | `set NAME VALUE` | reports a parameter |
//! | `copy in`, `copy in csv` | takes rows of `a` int4, `b` text into a table all sessions share |
//! | `copy out` | gives the table |
//! | `timeout MS` | sets statement_timeout |

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, AsArray, Int32Array, RecordBatch, StringViewArray, UInt32Array,
};
use datafusion::arrow::datatypes::{Int32Type, Schema};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, arrow_types};
use satsuma_sql::bound::OutputColumn;

use crate::auth::Verifier;
use crate::copy::{csv_options, text_options};
use crate::session_api::*;
use crate::value_io::TextSettings;

type Table = Arc<Mutex<Vec<(Option<i32>, Option<String>)>>>;

/// Roles: `boss` without a password, `ann` with `secret`. Database: `db`.
#[derive(Default)]
pub struct FakeFactory {
    pub table: Table,
    pub interrupted: Arc<Mutex<Vec<SqlError>>>,
}

#[async_trait]
impl SessionFactory for FakeFactory {
    async fn login_role(&self, user: &str) -> SqlResult<Option<LoginRole>> {
        let verifier = match user {
            "boss" => None,
            "ann" => Some(Verifier::from_password("secret").to_string()),
            _ => return Ok(None),
        };
        Ok(Some(LoginRole { verifier, can_login: true, is_expired: false }))
    }

    async fn connect(&self, info: ConnectInfo) -> SqlResult<Box<dyn Session>> {
        if info.database != "db" {
            return Err(SqlError::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", info.database),
            ));
        }
        Ok(Box::new(FakeSession {
            table: self.table.clone(),
            interrupted: self.interrupted.clone(),
            status: TransactionStatus::Idle,
            statements: NamedStatements::default(),
            notices: vec![],
            changes: vec![
                ("server_version".into(), "15.0".into()),
                ("client_encoding".into(), "UTF8".into()),
            ],
            timeouts: Timeouts::default(),
        }))
    }
}

pub struct FakeSession {
    table: Table,
    interrupted: Arc<Mutex<Vec<SqlError>>>,
    status: TransactionStatus,
    statements: NamedStatements,
    notices: Vec<Notice>,
    changes: Vec<(String, String)>,
    timeouts: Timeouts,
}

fn columns(names: [&str; 2]) -> Arc<[OutputColumn]> {
    let column = |name: &str, ty| OutputColumn::new(name, ty);
    Arc::new([column(names[0], PgType::Int4), column(names[1], PgType::Text)])
}

fn batch(rows: Vec<(Option<i32>, Option<String>)>) -> RecordBatch {
    let fields = [
        arrow_types::field("i", &PgType::Int4, true),
        arrow_types::field("t", &PgType::Text, true),
    ];
    let (numbers, texts): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(numbers)),
        Arc::new(texts.into_iter().collect::<StringViewArray>()),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), arrays).unwrap()
}

fn series(from: i32, to: i32) -> RecordBatch {
    batch((from..=to).map(|i| (Some(i), Some(format!("row {i}")))).collect())
}

fn rows(stream: BatchStream) -> Execution {
    Execution::Rows(Rows { columns: columns(["i", "t"]), stream, tag: "SELECT" })
}

fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero").at(3)
}

#[async_trait]
impl Session for FakeSession {
    fn split(&self, sql: &str) -> SqlResult<Vec<BatchStatement>> {
        let mut offset = 0;
        let mut statements = vec![];
        for piece in sql.split(';') {
            if !piece.trim().is_empty() {
                statements.push(BatchStatement { sql: piece.into(), offset });
            }
            offset += piece.chars().count() as u32 + 1;
        }
        Ok(statements)
    }

    async fn prepare(&mut self, sql: &str, _: Option<&[Option<PgType>]>) -> SqlResult<Prepared> {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let first = words.first().copied().unwrap_or_default();
        if self.status == TransactionStatus::Failed
            && !matches!(first, "commit" | "rollback" | "COMMIT" | "ROLLBACK")
        {
            return Err(SqlError::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        let (params, has_rows): (Vec<PgType>, bool) = match first {
            "echo" => (vec![PgType::Int4, PgType::Text], true),
            "series" => (vec![], true),
            "fail" => (vec![], words.len() > 1),
            "BEGIN" | "COMMIT" | "ROLLBACK" => (vec![], false),
            "begin" | "commit" | "rollback" | "sleep" | "panic" | "notice" | "set" | "copy"
            | "timeout" | "" => (vec![], false),
            other => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!("syntax error at or near \"{other}\""),
                )
                .at(1));
            }
        };
        Ok(Prepared {
            sql: sql.into(),
            params: params.into(),
            columns: has_rows.then(|| columns(["i", "t"])),
            plan: Arc::new(()),
            is_empty: words.is_empty(),
        })
    }

    fn only_reads(&self, prepared: &Prepared) -> SqlResult<bool> {
        let first = prepared.sql.split_whitespace().next().unwrap_or_default();
        Ok(matches!(first, "" | "echo" | "series" | "fail" | "sleep")
            || &*prepared.sql == "copy out")
    }

    async fn execute(
        &mut self,
        prepared: &Prepared,
        params: Vec<Datum>,
        options: ExecuteOptions,
    ) -> SqlResult<Execution> {
        let words: Vec<&str> = prepared.sql.split_whitespace().collect();
        let command = |tag: &str| Ok(Execution::Command(tag.into()));
        match words.as_slice() {
            [] => Ok(Execution::Empty),
            ["begin" | "BEGIN"] => {
                self.status = TransactionStatus::InTransaction;
                command("BEGIN")
            }
            ["commit" | "rollback" | "COMMIT" | "ROLLBACK"] => {
                self.status = TransactionStatus::Idle;
                command("COMMIT")
            }
            ["series", count] => {
                let count: i32 = count.parse().unwrap();
                let batches = (0..count)
                    .step_by(1000)
                    .map(move |from| Ok(series(from + 1, (from + 1000).min(count))));
                Ok(rows(stream::iter(batches).boxed()))
            }
            ["echo", ..] => {
                let number = match &params[0] {
                    Datum::Int4(number) => Some(*number),
                    _ => None,
                };
                let text = match &params[1] {
                    Datum::Text(text) => Some(text.clone()),
                    _ => None,
                };
                Ok(rows(stream::iter([Ok(batch(vec![(number, text)]))]).boxed()))
            }
            ["fail"] => Err(division_by_zero()),
            ["fail", count] => {
                let batches = [Ok(series(1, count.parse().unwrap())), Err(division_by_zero())];
                Ok(rows(stream::iter(batches).boxed()))
            }
            ["sleep"] => {
                options.interrupt.wait().await;
                self.interrupted.lock().push(options.interrupt.error());
                Err(options.interrupt.error())
            }
            ["panic"] => panic!("as asked"),
            ["notice", text @ ..] => {
                self.notices.push(Notice::plain(text.join(" ")));
                command("NOTICE")
            }
            ["set", name, value] => {
                self.changes.push(((*name).into(), (*value).into()));
                command("SET")
            }
            ["timeout", millis] => {
                self.timeouts.statement = Some(Duration::from_millis(millis.parse().unwrap()));
                command("SET")
            }
            ["copy", "in", format @ ..] => Ok(Execution::CopyIn(CopyIn {
                table: "t".into(),
                columns: columns(["a", "b"]),
                options: if format == ["csv"] { csv_options() } else { text_options() },
                sink: Box::new(FakeSink { table: self.table.clone(), rows: vec![] }),
            })),
            ["copy", "out"] => {
                let rows = batch(self.table.lock().clone());
                Ok(Execution::CopyOut(CopyOut {
                    columns: columns(["a", "b"]),
                    options: text_options(),
                    stream: stream::iter([Ok(rows)]).boxed(),
                }))
            }
            _ => Err(SqlError::unsupported("unknown statement")),
        }
    }

    async fn end_batch(&mut self) -> SqlResult<()> {
        Ok(())
    }

    async fn fail(&mut self) {
        if self.status == TransactionStatus::InTransaction {
            self.status = TransactionStatus::Failed;
        }
    }

    fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    fn statements(&mut self) -> &mut NamedStatements {
        &mut self.statements
    }

    fn cursor_columns(&self, _: &str) -> Option<Arc<[OutputColumn]>> {
        None
    }

    fn fetch_cursor(&mut self, name: &str, _: usize) -> SqlResult<Rows> {
        Err(SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("no cursor {name}")))
    }

    fn close_cursor(&mut self, _: &str) {}

    fn refuse_if_failed(&self, _: &Prepared) -> SqlResult<()> {
        Ok(())
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changes)
    }

    fn text_settings(&self) -> TextSettings {
        TextSettings::default()
    }

    fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    async fn close(&mut self) {}
}

/// Keeps nothing unless it is finished.
struct FakeSink {
    table: Table,
    rows: Vec<(Option<i32>, Option<String>)>,
}

#[async_trait]
impl CopySink for FakeSink {
    async fn check(&mut self, _: RecordBatch) -> Result<(), Refused> {
        Ok(())
    }

    async fn write(&mut self, batch: RecordBatch, _: Option<UInt32Array>) -> Result<(), Refused> {
        let numbers = batch.column(0).as_primitive::<Int32Type>();
        let texts = batch.column(1).as_string_view();
        self.rows.extend(numbers.iter().zip(texts.iter().map(|text| text.map(str::to_owned))));
        Ok(())
    }

    async fn finish(self: Box<Self>) -> SqlResult<u64> {
        let count = self.rows.len() as u64;
        self.table.lock().extend(self.rows);
        Ok(count)
    }
}
