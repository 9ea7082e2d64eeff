//! Shards under their names.

use satsuma_tests::cluster::Layout;

/// A view would be left behind, broken, when the table goes or its shards are split.
#[test]
fn views_read_tables_not_shards() {
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    client.must(
        "CREATE TABLE clicks (id bigint PRIMARY KEY);
         SELECT create_distributed_table('clicks', 'id');",
    );
    for shard in ["clicks_102008", "public.clicks_102008"] {
        let answer = client
            .query(&format!("CREATE VIEW v AS SELECT * FROM (SELECT id FROM {shard}) s"))
            .expect("an answer");
        let error = answer.error().expect("a view over a shard is refused");
        assert_eq!(error.code(), "0A000");
        assert_eq!(error.message(), "a view cannot read shard \"clicks_102008\"");
    }
    client.must("CREATE TABLE clicks_102008 (id int); CREATE VIEW v AS TABLE clicks_102008");
}
