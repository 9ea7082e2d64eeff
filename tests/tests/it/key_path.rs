//! Prepared statements on single rows: what they answer, and what they hold on to.

use satsuma_tests::cluster::{Cluster, Layout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn with_stock(cluster: &Cluster) -> Client {
    let client = cluster.address().connect().await.expect("a connection");
    client
        .batch_execute(
            "CREATE TABLE stock (shop bigint, item int, amount int NOT NULL CHECK (amount >= 0),
                 note varchar(8) DEFAULT 'new', PRIMARY KEY (shop, item));
             SELECT create_distributed_table('stock', 'shop')",
        )
        .await
        .expect("a table");
    client
}

async fn amount(client: &Client, shop: i64, item: i32) -> Option<i32> {
    let sql = "SELECT amount FROM stock WHERE shop = $1 AND item = $2";
    let row = client.query_opt(sql, &[&shop, &item]).await.expect("an answer");
    row.map(|row| row.get(0))
}

fn code(error: &tokio_postgres::Error) -> SqlState {
    error.code().cloned().unwrap_or_else(|| panic!("no SQLSTATE: {error}"))
}

#[test]
fn rows_are_written_and_checked_as_by_any_statement() {
    let cluster = Layout::processes(1, 2).start();
    runtime().block_on(async {
        let client = with_stock(&cluster).await;
        let insert = "INSERT INTO stock (item, shop, amount) VALUES ($1, $2, $3) \
                      RETURNING note, shop";
        let insert = client.prepare(insert).await.expect("a statement");
        for shop in 1..=20i64 {
            let row = client.query_one(&insert, &[&7i32, &shop, &5i32]).await.expect("a row");
            assert_eq!((row.get::<_, &str>(0), row.get::<_, i64>(1)), ("new", shop));
        }
        let taken = client.query(&insert, &[&7i32, &3i64, &5i32]).await.unwrap_err();
        assert_eq!(code(&taken), SqlState::UNIQUE_VIOLATION);
        let detail = taken.as_db_error().and_then(|error| error.detail());
        assert_eq!(detail, Some("Key (shop, item)=(3, 7) already exists."));
        let negative = client.query(&insert, &[&8i32, &3i64, &-1i32]).await.unwrap_err();
        assert_eq!(code(&negative), SqlState::CHECK_VIOLATION);
        let missing = client.query(&insert, &[&8i32, &3i64, &None::<i32>]).await.unwrap_err();
        assert_eq!(code(&missing), SqlState::NOT_NULL_VIOLATION);

        let update = "UPDATE stock SET amount = amount + $1, note = $2 \
                      WHERE shop = $3 AND item = 7 RETURNING amount, note";
        let update = client.prepare(update).await.expect("a statement");
        let row = client.query_one(&update, &[&2i32, &"more", &4i64]).await.expect("a row");
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (7, "more"));
        assert!(client.query(&update, &[&2i32, &"x", &99i64]).await.expect("rows").is_empty());
        assert!(client.query(&update, &[&2i32, &"x", &None::<i64>]).await.expect("rows").is_empty());
        let fails = async |amount: i32, note: &str| {
            code(&client.query(&update, &[&amount, &note, &4i64]).await.unwrap_err())
        };
        assert_eq!(fails(i32::MAX, "x").await, SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(fails(-8, "x").await, SqlState::CHECK_VIOLATION);
        assert_eq!(fails(1, "too long a note").await, SqlState::STRING_DATA_RIGHT_TRUNCATION);
        assert_eq!(amount(&client, 4, 7).await, Some(7), "failed statements left nothing");

        let delete = "DELETE FROM stock WHERE item = $1 AND shop = $2 RETURNING amount";
        let gone = client.query(delete, &[&7i32, &4i64]).await.expect("rows");
        assert_eq!(gone.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [7]);
        assert_eq!(amount(&client, 4, 7).await, None);
        let count = client.query_one("SELECT count(*) FROM stock", &[]).await.expect("a row");
        assert_eq!(count.get::<_, i64>(0), 19);
    });
}

#[test]
fn no_update_of_a_contended_row_is_lost() {
    let cluster = Layout::processes(1, 2).start();
    runtime().block_on(async {
        let client = with_stock(&cluster).await;
        client.batch_execute("INSERT INTO stock VALUES (1, 1, 0), (2, 1, 0)").await.expect("rows");
        let mut tasks = Vec::new();
        for task in 0..8 {
            let client = cluster.address().connect().await.expect("a connection");
            tasks.push(tokio::spawn(async move {
                let sql = "UPDATE stock SET amount = amount + $1 WHERE shop = $2 AND item = 1";
                let update = client.prepare(sql).await?;
                for round in 0..25 {
                    let in_block = (task + round) % 2 == 0;
                    if in_block {
                        client.batch_execute("BEGIN").await?;
                    }
                    client.execute(&update, &[&1i32, &1i64]).await?;
                    if in_block {
                        // In the same order everywhere: no deadlock.
                        client.execute(&update, &[&1i32, &2i64]).await?;
                        client.batch_execute("COMMIT").await?;
                    }
                }
                Ok::<_, tokio_postgres::Error>(())
            }));
        }
        for task in tasks {
            task.await.expect("a task").expect("updates");
        }
        assert_eq!(amount(&client, 1, 1).await, Some(200));
        assert_eq!(amount(&client, 2, 1).await, Some(100));

        let other = cluster.address().connect().await.expect("a connection");
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("a block");
        assert_eq!(amount(&client, 1, 1).await, Some(200));
        let sql = "UPDATE stock SET amount = amount + 1 WHERE shop = 1 AND item = 1";
        other.execute(sql, &[]).await.expect("an update");
        assert_eq!(amount(&client, 1, 1).await, Some(200), "the snapshot stays");
        let lost = client.execute(sql, &[]).await.unwrap_err();
        assert_eq!(code(&lost), SqlState::T_R_SERIALIZATION_FAILURE);
        client.batch_execute("ROLLBACK").await.expect("the end");
    });
}

#[test]
fn a_restarted_worker_learns_programs_again() {
    let mut cluster = Layout::processes(1, 2).start();
    let runtime = runtime();
    let (client, update) = runtime.block_on(async {
        let client = with_stock(&cluster).await;
        client.batch_execute("INSERT INTO stock VALUES (1, 1, 0)").await.expect("a row");
        let sql = "UPDATE stock SET amount = amount + $1 WHERE shop = 1 AND item = 1";
        let update = client.prepare(sql).await.expect("a statement");
        client.execute(&update, &[&1i32]).await.expect("an update");
        (client, update)
    });
    for worker in &mut cluster.workers {
        worker.kill();
    }
    cluster.start_all();
    runtime.block_on(async {
        let mut failures = 0;
        while let Err(error) = client.execute(&update, &[&1i32]).await {
            // The connection of before is gone, and the new one takes a moment.
            assert!(failures < 100 && error.code() != Some(&SqlState::INTERNAL_ERROR), "{error}");
            failures += 1;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(amount(&client, 1, 1).await, Some(2));
    });
}

#[test]
fn prepared_statements_follow_the_catalog() {
    let cluster = Layout::processes(1, 2).start();
    runtime().block_on(async {
        let client = cluster.address().connect().await.expect("a connection");
        let run = async |sql: &str| client.batch_execute(sql).await.expect("a definition");
        run("CREATE SCHEMA other; CREATE TABLE t (k int PRIMARY KEY, v text); \
             CREATE TABLE other.t (k int PRIMARY KEY, v text); \
             INSERT INTO t VALUES (1, 'here'); INSERT INTO other.t VALUES (1, 'there')")
        .await;
        let select = client.prepare("SELECT v FROM t WHERE k = $1").await.expect("a statement");
        let value = async || {
            let row = client.query_opt(&select, &[&1i32]).await?;
            Ok::<_, tokio_postgres::Error>(row.map(|row| row.get::<_, String>(0)))
        };
        assert_eq!(value().await.expect("a row").as_deref(), Some("here"));
        run("SET search_path = other").await;
        assert_eq!(value().await.expect("a row").as_deref(), Some("there"));
        run("RESET search_path").await;
        run("BEGIN; DROP TABLE t; CREATE TABLE t (k int PRIMARY KEY, v text)").await;
        assert_eq!(value().await.expect("no row"), None, "the transaction's own table");
        run("ROLLBACK").await;
        assert_eq!(value().await.expect("a row").as_deref(), Some("here"));
        run("DROP TABLE t; CREATE TABLE t (k int PRIMARY KEY, v text); \
             SELECT create_distributed_table('t', 'k'); INSERT INTO t VALUES (1, 'anew')")
        .await;
        assert_eq!(value().await.expect("a row").as_deref(), Some("anew"));
        run("DROP TABLE t; CREATE TABLE t (k int PRIMARY KEY, v int)").await;
        let changed = value().await.unwrap_err();
        assert_eq!(code(&changed), SqlState::FEATURE_NOT_SUPPORTED);
        run("DROP TABLE t").await;
        assert_eq!(code(&value().await.unwrap_err()), SqlState::UNDEFINED_TABLE);
    });
}
