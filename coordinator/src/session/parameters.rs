//! The settings that exist, with PostgreSQL's and Citus's names and defaults.

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Flag,
    Integer(i64, i64),
    /// A duration of at least so many milliseconds, which are the unit where none is given.
    Millis(i64),
    /// The same in whole seconds, at most so many.
    Seconds(i64, i64),
    /// Of at least so many kilobytes, which are the unit where none is given.
    Memory(i64),
    Real(f64, f64),
    Choice(&'static [&'static str]),
    Encoding,
    TimeZone,
    DateStyle,
}

#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    /// Told to clients by ParameterStatus.
    pub reported: bool,
    pub change: Change,
    pub description: &'static str,
}

/// Who may give a setting another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Session,
    /// ALTER SYSTEM alone.
    System,
    Nobody,
}

const fn plain(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Parameter {
    Parameter { name, default, kind, reported: false, change: Change::Session, description }
}

const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Parameter {
    Parameter { name, default, kind, reported: true, change: Change::Session, description }
}

const fn fixed(
    name: &'static str,
    default: &'static str,
    is_reported: bool,
    description: &'static str,
) -> Parameter {
    Parameter {
        name,
        default,
        kind: Kind::Text,
        reported: is_reported,
        change: Change::Nobody,
        description,
    }
}

const fn of_system(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Parameter {
    Parameter { name, default, kind, reported: false, change: Change::System, description }
}

pub use satsuma_sql::functions::{SERVER_VERSION, SERVER_VERSION_NUM};

const ISOLATION_LEVELS: Kind =
    Kind::Choice(&["serializable", "repeatable read", "read committed", "read uncommitted"]);
const MESSAGE_LEVELS: Kind = Kind::Choice(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
]);
const SERVER_LEVELS: Kind = Kind::Choice(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log",
    "fatal", "panic",
]);
const ON_OFF_AUTO: Kind = Kind::Choice(&["on", "off", "auto"]);
const COST: Kind = Kind::Real(0.0, f64::MAX);
const ANY_INT: Kind = Kind::Integer(0, i32::MAX as i64);

pub static PARAMETERS: &[Parameter] = &[
    reported("application_name", "", Kind::Text, "Name of the application, shown in statistics."),
    plain("array_nulls", "on", Kind::Flag, "Read NULL in array literals as a null element."),
    plain(
        "backslash_quote",
        "safe_encoding",
        Kind::Choice(&["safe_encoding", "on", "off"]),
        "Whether \\' is allowed in literals.",
    ),
    plain("bytea_output", "hex", Kind::Choice(&["escape", "hex"]), "Output format of bytea."),
    plain("check_function_bodies", "on", Kind::Flag, "Check function bodies at creation."),
    reported("client_encoding", "UTF8", Kind::Encoding, "The client's character set encoding."),
    plain("client_min_messages", "notice", MESSAGE_LEVELS, "Lowest level of messages sent."),
    reported(
        "DateStyle",
        "ISO, MDY",
        Kind::DateStyle,
        "Format of dates and order of their fields.",
    ),
    plain("default_table_access_method", "heap", Kind::Text, "Access method of new tables."),
    plain("default_tablespace", "", Kind::Text, "Accepted; there are no tablespaces."),
    plain("default_text_search_config", "pg_catalog.simple", Kind::Text, "Text search setting."),
    plain(
        "default_transaction_isolation",
        "read committed",
        ISOLATION_LEVELS,
        "Isolation level of new transactions.",
    ),
    reported(
        "default_transaction_read_only",
        "off",
        Kind::Flag,
        "Whether new transactions are read-only.",
    ),
    plain("default_transaction_deferrable", "off", Kind::Flag, "Accepted; has no effect."),
    plain("escape_string_warning", "on", Kind::Flag, "Accepted; has no effect."),
    plain("extra_float_digits", "1", Kind::Integer(-15, 3), "Digits shown of floats."),
    plain(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Millis(0),
        "Ends a session that idles in a transaction.",
    ),
    plain("idle_session_timeout", "0", Kind::Millis(0), "Ends a session that idles."),
    fixed("in_hot_standby", "off", true, "Whether this is a hot standby."),
    fixed("integer_datetimes", "on", true, "Whether datetimes are integers."),
    reported(
        "IntervalStyle",
        "postgres",
        Kind::Choice(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "Output format of intervals.",
    ),
    fixed("is_superuser", "off", true, "Whether the current user is a superuser."),
    plain("jit", "off", Kind::Flag, "Accepted; has no effect."),
    fixed("lc_collate", "C", false, "Collation order."),
    fixed("lc_ctype", "C", false, "Character classes."),
    plain("lc_messages", "C", Kind::Text, "Language of messages; English only."),
    plain("lc_monetary", "C", Kind::Text, "Accepted; has no effect."),
    plain("lc_numeric", "C", Kind::Text, "Accepted; has no effect."),
    plain("lc_time", "C", Kind::Text, "Accepted; has no effect."),
    plain("lock_timeout", "0", Kind::Millis(0), "How long to wait for a lock."),
    plain("log_statement", "none", Kind::Text, "Accepted; has no effect."),
    plain(
        "log_min_duration_statement",
        "-1",
        Kind::Millis(-1),
        "Statements that run for so long are logged; -1 turns it off.",
    ),
    plain(
        "maintenance_work_mem",
        "64MB",
        Kind::Memory(1024),
        "Accepted; memory is bounded per node.",
    ),
    fixed("max_connections", "100", false, "Most sessions at a time."),
    fixed("max_identifier_length", "63", false, "Longest identifier, in bytes."),
    fixed("max_index_keys", "32", false, "Most columns of an index."),
    plain("max_parallel_workers_per_gather", "2", ANY_INT, "Accepted; has no effect."),
    plain(
        "password_encryption",
        "scram-sha-256",
        Kind::Choice(&["scram-sha-256"]),
        "How passwords are kept.",
    ),
    plain(
        "plan_cache_mode",
        "auto",
        Kind::Choice(&["auto", "force_generic_plan", "force_custom_plan"]),
        "Accepted; has no effect.",
    ),
    fixed("port", "5432", false, "The PostgreSQL port."),
    plain("quote_all_identifiers", "off", Kind::Flag, "Accepted; has no effect."),
    plain("row_security", "on", Kind::Flag, "Accepted; there are no row policies."),
    plain(
        "search_path",
        "\"$user\", public",
        Kind::Text,
        "Schemas that unqualified names are looked up in.",
    ),
    fixed("server_encoding", "UTF8", true, "The database's character set encoding."),
    fixed("server_version", SERVER_VERSION, true, "The PostgreSQL version that is followed."),
    fixed("server_version_num", SERVER_VERSION_NUM, false, "The same as a number."),
    plain(
        "session_replication_role",
        "origin",
        Kind::Choice(&["origin", "replica", "local"]),
        "Accepted; there are no triggers.",
    ),
    fixed("session_authorization", "", true, "The session's user."),
    reported(
        "standard_conforming_strings",
        "on",
        Kind::Choice(&["on"]),
        "Backslashes are ordinary in '...'.",
    ),
    plain("statement_timeout", "0", Kind::Millis(0), "How long a statement may run."),
    plain("synchronize_seqscans", "on", Kind::Flag, "Accepted; has no effect."),
    plain(
        "synchronous_commit",
        "on",
        Kind::Choice(&["local", "remote_write", "remote_apply", "on", "off"]),
        "Accepted; every commit is durable.",
    ),
    reported("TimeZone", "UTC", Kind::TimeZone, "Time zone of displayed times."),
    plain(
        "transaction_isolation",
        "read committed",
        ISOLATION_LEVELS,
        "Isolation level of the current transaction.",
    ),
    plain("transaction_read_only", "off", Kind::Flag, "Whether the transaction is read-only."),
    plain("transaction_deferrable", "off", Kind::Flag, "Accepted; has no effect."),
    plain("vacuum_cost_delay", "0", Kind::Millis(0), "Accepted; has no effect."),
    plain("work_mem", "4MB", Kind::Memory(64), "Accepted; memory is bounded per node."),
    plain(
        "xmloption",
        "content",
        Kind::Choice(&["content", "document"]),
        "Accepted; there is no XML.",
    ),
    plain("xmlbinary", "base64", Kind::Choice(&["base64", "hex"]), "Accepted; there is no XML."),
    plain("enable_async_append", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_gathermerge", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_hashagg", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_incremental_sort", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_indexonlyscan", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_material", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_memoize", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_parallel_append", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_parallel_hash", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_partition_pruning", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_partitionwise_aggregate", "off", Kind::Flag, "Accepted; has no effect."),
    plain("enable_partitionwise_join", "off", Kind::Flag, "Accepted; has no effect."),
    plain("enable_sort", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_tidscan", "on", Kind::Flag, "Accepted; has no effect."),
    plain("geqo", "on", Kind::Flag, "Accepted; has no effect."),
    plain("parallel_leader_participation", "on", Kind::Flag, "Accepted; has no effect."),
    plain("cpu_index_tuple_cost", "0.005", COST, "Accepted; has no effect."),
    plain("cpu_operator_cost", "0.0025", COST, "Accepted; has no effect."),
    plain("cpu_tuple_cost", "0.01", COST, "Accepted; has no effect."),
    plain("parallel_setup_cost", "1000", COST, "Accepted; has no effect."),
    plain("parallel_tuple_cost", "0.1", COST, "Accepted; has no effect."),
    plain("random_page_cost", "4", COST, "Accepted; has no effect."),
    plain("seq_page_cost", "1", COST, "Accepted; has no effect."),
    plain("jit_above_cost", "100000", Kind::Real(-1.0, f64::MAX), "Accepted; has no effect."),
    plain(
        "jit_inline_above_cost",
        "500000",
        Kind::Real(-1.0, f64::MAX),
        "Accepted; has no effect.",
    ),
    plain(
        "jit_optimize_above_cost",
        "500000",
        Kind::Real(-1.0, f64::MAX),
        "Accepted; has no effect.",
    ),
    plain("default_statistics_target", "100", Kind::Integer(1, 10000), "Accepted; has no effect."),
    plain("effective_io_concurrency", "1", Kind::Integer(0, 1000), "Accepted; has no effect."),
    plain(
        "from_collapse_limit",
        "8",
        Kind::Integer(1, i32::MAX as i64),
        "Accepted; has no effect.",
    ),
    plain("geqo_threshold", "12", Kind::Integer(2, i32::MAX as i64), "Accepted; has no effect."),
    plain(
        "join_collapse_limit",
        "8",
        Kind::Integer(1, i32::MAX as i64),
        "Accepted; has no effect.",
    ),
    plain(
        "max_parallel_maintenance_workers",
        "2",
        Kind::Integer(0, 1024),
        "Accepted; has no effect.",
    ),
    plain("max_parallel_workers", "8", Kind::Integer(0, 1024), "Accepted; has no effect."),
    plain("effective_cache_size", "4GB", Kind::Memory(8), "Accepted; has no effect."),
    plain("logical_decoding_work_mem", "64MB", Kind::Memory(64), "Accepted; has no effect."),
    plain("min_parallel_index_scan_size", "512kB", Kind::Memory(0), "Accepted; has no effect."),
    plain("min_parallel_table_scan_size", "8MB", Kind::Memory(0), "Accepted; has no effect."),
    plain("temp_buffers", "8MB", Kind::Memory(800), "Accepted; has no effect."),
    plain("hash_mem_multiplier", "2", Kind::Real(1.0, 1000.0), "Accepted; has no effect."),
    plain(
        "constraint_exclusion",
        "partition",
        Kind::Choice(&["partition", "on", "off"]),
        "Accepted; has no effect.",
    ),
    plain("deadlock_timeout", "1s", Kind::Millis(1), "Accepted; has no effect."),
    plain("log_lock_waits", "off", Kind::Flag, "Accepted; has no effect."),
    plain("log_duration", "off", Kind::Flag, "Accepted; has no effect."),
    plain("log_min_messages", "warning", SERVER_LEVELS, "Accepted; has no effect."),
    plain("log_min_error_statement", "error", SERVER_LEVELS, "Accepted; has no effect."),
    plain("lo_compat_privileges", "off", Kind::Flag, "Accepted; has no effect."),
    plain("transform_null_equals", "off", Kind::Choice(&["off"]), "Accepted; has no effect."),
    plain("enable_seqscan", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_indexscan", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_bitmapscan", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_hashjoin", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_mergejoin", "on", Kind::Flag, "Accepted; has no effect."),
    plain("enable_nestloop", "on", Kind::Flag, "Accepted; has no effect."),
    plain(
        "satsuma.exchange_cost",
        "256kB",
        Kind::Memory(0),
        "What it costs to exchange rows between workers, beside the rows.",
    ),
    of_system("autovacuum", "on", Kind::Flag, "Analyze tables whose number of rows has changed."),
    of_system(
        "autovacuum_naptime",
        "1min",
        Kind::Seconds(1, 2_147_483),
        "Time between two looks at whether tables are to be analyzed.",
    ),
    plain("citus.shard_count", "32", Kind::Integer(1, 64000), "Shards of a new distributed table."),
    plain(
        "citus.shard_replication_factor",
        "1",
        Kind::Integer(1, 1),
        "Copies of each shard; only 1 is supported.",
    ),
    plain(
        "citus.enable_repartition_joins",
        "off",
        Kind::Flag,
        "Accepted; joins need no permission.",
    ),
    plain(
        "citus.multi_shard_modify_mode",
        "parallel",
        Kind::Choice(&["parallel", "sequential"]),
        "Accepted; has no effect.",
    ),
    plain(
        "citus.stat_statements_track",
        "all",
        Kind::Choice(&["all", "none"]),
        "Count statements for citus_stat_statements.",
    ),
    plain(
        "citus.stat_tenants_track",
        "none",
        Kind::Choice(&["none", "all"]),
        "Count the session's statements by tenant for citus_stat_tenants.",
    ),
    plain(
        "citus.stat_tenants_limit",
        "100",
        Kind::Integer(1, 1000),
        "Tenants that citus_stat_tenants shows, the busiest first.",
    ),
    fixed("citus.stat_tenants_period", "60", false, "Seconds of a period of citus_stat_tenants."),
    plain("citus.explain_all_tasks", "off", Kind::Flag, "Show every task in EXPLAIN."),
    plain(
        "citus.propagate_set_commands",
        "none",
        Kind::Choice(&["none", "local"]),
        "Accepted; has no effect.",
    ),
    plain(
        "citus.local_table_join_policy",
        "auto",
        Kind::Choice(&["never", "prefer-local", "prefer-distributed", "auto"]),
        "Accepted; has no effect.",
    ),
    plain("citus.max_adaptive_executor_pool_size", "16", ANY_INT, "Accepted; has no effect."),
    plain("citus.task_assignment_policy", "greedy", Kind::Text, "Accepted; has no effect."),
    plain("citus.use_citus_managed_tables", "off", Kind::Flag, "Accepted; has no effect."),
    plain(
        "citus.enable_ddl_propagation",
        "on",
        Kind::Choice(&["on"]),
        "Definitions always reach every node.",
    ),
    plain("citus.node_conninfo", "", Kind::Text, "Accepted; has no effect."),
    plain("citus.log_remote_commands", "off", Kind::Flag, "Accepted; has no effect."),
    plain("citus.limit_clause_row_fetch_count", "-1", Kind::Text, "Accepted; limits are exact."),
    plain("citus.count_distinct_error_rate", "0", Kind::Text, "Accepted; counts are exact."),
    plain("citus.enable_local_execution", "on", Kind::Flag, "Accepted; has no effect."),
    plain("debug_parallel_query", "off", ON_OFF_AUTO, "Accepted; has no effect."),
];
