//! What functions may know of the session and the catalog.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::ScalarValue;
use satsuma_common::{Datum, Oid, PgType, SqlError, SqlResult, SqlState};

use satsuma_common::datetime::{DateFormat, DateOrder, IntervalStyle, TimeZone};
use satsuma_common::text::TextContext;

use crate::catalog_view::CatalogView;

/// Settings that change what functions, casts and output say. Travels inside plans as text (see
/// [`Settings::encode`]), so that a worker computes what the coordinator would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub time_zone: String,
    pub date_style: String,
    pub interval_style: String,
    pub extra_float_digits: i32,
    pub bytea_output: String,
    /// Start of the transaction: `now()`. Microseconds since 1970.
    pub transaction_micros: i64,
    /// Start of the statement: `statement_timestamp()`.
    pub statement_micros: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: "UTC".into(),
            date_style: "ISO, MDY".into(),
            interval_style: "postgres".into(),
            extra_float_digits: 1,
            bytea_output: "hex".into(),
            transaction_micros: 0,
            statement_micros: 0,
        }
    }
}

impl Settings {
    /// The settings as text forms need them. Names that mean nothing were refused by SET.
    pub fn context(&self) -> TextContext {
        let style = self.date_style.to_ascii_lowercase();
        let date_format = match style.split([',', ' ']).next().unwrap_or_default() {
            "sql" => DateFormat::Sql,
            "postgres" => DateFormat::Postgres,
            "german" => DateFormat::German,
            _ => DateFormat::Iso,
        };
        let has = |word: &str| style.contains(word);
        let date_order = if has("dmy") || date_format == DateFormat::German && !has("mdy") {
            DateOrder::Dmy
        } else if has("ymd") {
            DateOrder::Ymd
        } else {
            DateOrder::Mdy
        };
        let interval_style = match self.interval_style.to_ascii_lowercase().as_str() {
            "postgres_verbose" => IntervalStyle::PostgresVerbose,
            "sql_standard" => IntervalStyle::SqlStandard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => IntervalStyle::Postgres,
        };
        TextContext {
            date_format,
            date_order,
            interval_style,
            time_zone: self.zone(),
            now: self.transaction_micros,
            extra_float_digits: self.extra_float_digits,
            bytea_escape: self.bytea_output.eq_ignore_ascii_case("escape"),
        }
    }

    pub fn zone(&self) -> TimeZone {
        TimeZone::parse_setting(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    /// One line that [`Settings::decode`] reads.
    pub fn encode(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}|{}|{}",
            self.time_zone,
            self.date_style,
            self.interval_style,
            self.extra_float_digits,
            self.bytea_output,
            self.transaction_micros,
            self.statement_micros
        )
    }

    pub fn decode(text: &str) -> SqlResult<Self> {
        let parse = || -> Option<Self> {
            let mut parts = text.split('|');
            Some(Self {
                time_zone: parts.next()?.into(),
                date_style: parts.next()?.into(),
                interval_style: parts.next()?.into(),
                extra_float_digits: parts.next()?.parse().ok()?,
                bytea_output: parts.next()?.into(),
                transaction_micros: parts.next()?.parse().ok()?,
                statement_micros: parts.next()?.parse().ok()?,
            })
        };
        parse().ok_or_else(|| {
            SqlError::new(SqlState::INTERNAL_ERROR, "malformed session settings in a plan")
        })
    }
}

/// Who asks: what `current_user` and its relatives answer.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub user: String,
    pub session_user: String,
    pub database: String,
    pub backend_pid: i32,
    pub client_address: Option<String>,
    pub client_port: Option<u16>,
    /// Address and port that the client connected to.
    pub server: Option<(String, u16)>,
    pub application_name: String,
}

/// Everything a call may need at bind time.
#[derive(Clone)]
pub struct FunctionEnv {
    pub settings: Arc<Settings>,
    pub identity: Arc<Identity>,
    pub search_path: Arc<Vec<String>>,
    pub catalog: Arc<dyn CatalogView>,
    pub catalog_functions: Arc<dyn CatalogFunctions>,
    pub sequences: Arc<dyn SequenceAccess>,
    /// Told the type of each parameter that was of unknown type until it was used.
    pub parameters: Option<Arc<dyn ParameterTypes>>,
    /// Set when a bound expression depends on the session's settings or the time, so that it
    /// must be bound again when these change.
    pub depends_on_session: Arc<AtomicBool>,
}

impl FunctionEnv {
    pub fn note_session_dependence(&self) {
        self.depends_on_session.store(true, Ordering::Relaxed);
    }

    /// Whether anything bound so far depends on settings or time.
    pub fn is_session_dependent(&self) -> bool {
        self.depends_on_session.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for FunctionEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionEnv")
            .field("settings", &self.settings)
            .field("identity", &self.identity)
            .field("search_path", &self.search_path)
            .finish_non_exhaustive()
    }
}

/// Parameter types as the binder infers them.
pub trait ParameterTypes: Send + Sync {
    /// `$n` (with the dollar) is used as a `ty`. An error if that contradicts an earlier use.
    fn infer(&self, id: &str, ty: &PgType) -> SqlResult<PgType>;

    /// The value of `$n` where the statement is bound to be executed.
    fn value(&self, id: &str) -> Option<ScalarValue>;
}

/// What one of the functions that ask for privileges asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileged {
    Table,
    AnyColumn,
    Column,
    Sequence,
    Schema,
    Database,
    Function,
    Type,
    Language,
    Tablespace,
    Role,
}

impl Privileged {
    pub const ALL: [Self; 11] = [
        Self::Table,
        Self::AnyColumn,
        Self::Column,
        Self::Sequence,
        Self::Schema,
        Self::Database,
        Self::Function,
        Self::Type,
        Self::Language,
        Self::Tablespace,
        Self::Role,
    ];

    pub fn function(self) -> &'static str {
        match self {
            Self::Table => "has_table_privilege",
            Self::AnyColumn => "has_any_column_privilege",
            Self::Column => "has_column_privilege",
            Self::Sequence => "has_sequence_privilege",
            Self::Schema => "has_schema_privilege",
            Self::Database => "has_database_privilege",
            Self::Function => "has_function_privilege",
            Self::Type => "has_type_privilege",
            Self::Language => "has_language_privilege",
            Self::Tablespace => "has_tablespace_privilege",
            Self::Role => "pg_has_role",
        }
    }

    /// The signatures of its forms.
    pub fn signatures(self) -> Vec<String> {
        let named = if self == Self::Role { "name" } else { "text" };
        let columns: &[&str] = if self == Self::Column { &["text,", "int2,"] } else { &[""] };
        let mut all = Vec::new();
        for role in ["", "name,", "oid,"] {
            for object in [named, "oid"] {
                for column in columns {
                    all.push(format!("{}({role}{object},{column}text) bool", self.function()));
                }
            }
        }
        all
    }
}

/// Functions that the catalog answers; evaluated at the coordinator only.
pub trait CatalogFunctions: Send + Sync + fmt::Debug {
    /// `arguments` are of the types that the signature in [`super::catalog`] names.
    fn call(&self, function: CatalogFunction, arguments: &[Datum]) -> SqlResult<Datum>;

    /// `has_table_privilege` and its relatives: a role or none, an object by its oid or by name, of
    /// a column its number or name, and privileges.
    fn privilege(&self, of: Privileged, _arguments: &[Datum]) -> SqlResult<Datum> {
        Err(SqlError::unsupported(format!("{}() cannot be called here", of.function())))
    }

    /// `pg_advisory_lock` and its relatives. They may wait.
    fn advisory(&self, name: &str, _arguments: &[Datum]) -> SqlResult<Datum> {
        Err(SqlError::unsupported(format!("{name}() cannot be called here")))
    }
}

/// Sequences as `nextval` and its relatives see them; a call may not block for long.
pub trait SequenceAccess: Send + Sync + fmt::Debug {
    fn next_value(&self, sequence: Oid) -> SqlResult<i64>;
    /// The same for an identity column, which asks for no privilege on its sequence.
    fn next_of_identity(&self, sequence: Oid) -> SqlResult<i64> {
        self.next_value(sequence)
    }
    /// 55000 if `nextval` was not called in this session.
    fn current_value(&self, sequence: Oid) -> SqlResult<i64>;
    fn set_value(&self, sequence: Oid, value: i64, is_called: bool) -> SqlResult<i64>;
    fn last_value(&self) -> SqlResult<i64>;
    /// The last value that was drawn, or with `false` the next one.
    fn position(&self, _sequence: Oid) -> SqlResult<(i64, bool)> {
        Err(SqlError::unsupported("sequences cannot be read here"))
    }
}

macro_rules! catalog_functions {
    ($($variant:ident = $signature:literal;)*) => {
        /// One function that the catalog answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CatalogFunction { $(#[doc = $signature] $variant,)* }

        impl CatalogFunction {
            pub const ALL: &'static [(CatalogFunction, &'static str)] =
                &[$((CatalogFunction::$variant, $signature),)*];
        }
    };
}

// A call with a NULL argument gives NULL without asking the catalog.
catalog_functions! {
    GetUserById = "pg_get_userbyid(oid) name";
    TableIsVisible = "pg_table_is_visible(oid) bool";
    TypeIsVisible = "pg_type_is_visible(oid) bool";
    FunctionIsVisible = "pg_function_is_visible(oid) bool";
    OperatorIsVisible = "pg_operator_is_visible(oid) bool";
    CollationIsVisible = "pg_collation_is_visible(oid) bool";
    ConversionIsVisible = "pg_conversion_is_visible(oid) bool";
    OpclassIsVisible = "pg_opclass_is_visible(oid) bool";
    OpfamilyIsVisible = "pg_opfamily_is_visible(oid) bool";
    StatisticsObjIsVisible = "pg_statistics_obj_is_visible(oid) bool";
    TsConfigIsVisible = "pg_ts_config_is_visible(oid) bool";
    TsDictIsVisible = "pg_ts_dict_is_visible(oid) bool";
    TsParserIsVisible = "pg_ts_parser_is_visible(oid) bool";
    TsTemplateIsVisible = "pg_ts_template_is_visible(oid) bool";
    GetExpr = "pg_get_expr(text,oid) text";
    GetExprPretty = "pg_get_expr(text,oid,bool) text";
    GetConstraintDef = "pg_get_constraintdef(oid) text";
    GetConstraintDefPretty = "pg_get_constraintdef(oid,bool) text";
    GetIndexDef = "pg_get_indexdef(oid) text";
    GetIndexDefColumn = "pg_get_indexdef(oid,int4,bool) text";
    GetViewDef = "pg_get_viewdef(oid) text";
    GetViewDefPretty = "pg_get_viewdef(oid,bool) text";
    GetViewDefWrapped = "pg_get_viewdef(oid,int4) text";
    GetViewDefNamed = "pg_get_viewdef(text) text";
    GetViewDefNamedPretty = "pg_get_viewdef(text,bool) text";
    GetTriggerDef = "pg_get_triggerdef(oid) text";
    GetTriggerDefPretty = "pg_get_triggerdef(oid,bool) text";
    GetRuleDef = "pg_get_ruledef(oid) text";
    GetRuleDefPretty = "pg_get_ruledef(oid,bool) text";
    PartitionRoot = "pg_partition_root(regclass) regclass";
    GetFunctionDef = "pg_get_functiondef(oid) text";
    GetFunctionArguments = "pg_get_function_arguments(oid) text";
    GetFunctionIdentityArguments = "pg_get_function_identity_arguments(oid) text";
    GetFunctionResult = "pg_get_function_result(oid) text";
    GetFunctionArgDefault = "pg_get_function_arg_default(oid,int4) text";
    GetStatisticsObjDefColumns = "pg_get_statisticsobjdef_columns(oid) text";
    GetPartKeyDef = "pg_get_partkeydef(oid) text";
    GetSerialSequence = "pg_get_serial_sequence(text,text) text";
    ObjDescription = "obj_description(oid,name) text";
    ObjDescriptionOld = "obj_description(oid) text";
    ColDescription = "col_description(oid,int4) text";
    DescribeObject = "pg_describe_object(oid,oid,int4) text";
    ShobjDescription = "shobj_description(oid,name) text";
    RelationSize = "pg_relation_size(regclass) int8";
    RelationSizeFork = "pg_relation_size(regclass,text) int8";
    TableSize = "pg_table_size(regclass) int8";
    IndexesSize = "pg_indexes_size(regclass) int8";
    TotalRelationSize = "pg_total_relation_size(regclass) int8";
    DatabaseSizeByName = "pg_database_size(name) int8";
    DatabaseSize = "pg_database_size(oid) int8";
    TablespaceSize = "pg_tablespace_size(oid) int8";
    TablespaceSizeByName = "pg_tablespace_size(name) int8";
    RelationFilenode = "pg_relation_filenode(regclass) oid";
    TablespaceLocation = "pg_tablespace_location(oid) text";
    RelationIsPublishable = "pg_relation_is_publishable(regclass) bool";
    CitusTableSize = "citus_table_size(regclass) int8";
    CitusRelationSize = "citus_relation_size(regclass) int8";
    CitusTotalRelationSize = "citus_total_relation_size(regclass) int8";
    ShardIdForColumn = "get_shard_id_for_distribution_column(regclass,text) int8";
    ShardIdForInteger = "get_shard_id_for_distribution_column(regclass,int8) int8";
    IsCitusTable = "citus_table_is_visible(oid) bool";
    ColumnToColumnName = "column_to_column_name(regclass,text) text";
    CitusWorkerCount = "citus_get_active_worker_count() int4";
    CitusNodeName = "citus_nodename_for_nodeid(int4) text";
    CitusNodePort = "citus_nodeport_for_nodeid(int4) int4";
    CitusCoordinatorNode = "citus_coordinator_nodeid() int4";
    CitusIsCoordinator = "citus_is_coordinator() bool";
    AclDefault = "acldefault(\"char\",oid) _text";
    ToRegclass = "to_regclass(text) regclass";
    ToRegtype = "to_regtype(text) regtype";
    ToRegproc = "to_regproc(text) regproc";
    ToRegprocedure = "to_regprocedure(text) regprocedure";
    ToRegnamespace = "to_regnamespace(text) regnamespace";
    ToRegrole = "to_regrole(text) regrole";
    CurrentSetting = "current_setting(text) text";
    CurrentSettingMissing = "current_setting(text,bool) text";
    SetConfig = "set_config(text,text,bool) text";
    IsOtherTempSchema = "pg_is_other_temp_schema(oid) bool";
    MyTempSchema = "pg_my_temp_schema() oid";
    CancelBackend = "pg_cancel_backend(int4) bool";
    CancelGlobal = "pg_cancel_backend(int8) bool";
    TerminateBackend = "pg_terminate_backend(int4) bool";
    TerminateGlobal = "pg_terminate_backend(int8) bool";
    TerminateBackendIn = "pg_terminate_backend(int4,int8) bool";
    TerminateGlobalIn = "pg_terminate_backend(int8,int8) bool";
    CalculateGpid = "citus_calculate_gpid(int4,int4) int8";
    NodeOfGpid = "citus_nodeid_for_gpid(int8) int4";
    PidOfGpid = "citus_pid_for_gpid(int8) int4";
    BlockingPids = "pg_blocking_pids(int4) _int4";
    PostmasterStartTime = "pg_postmaster_start_time() timestamptz";
    ConfLoadTime = "pg_conf_load_time() timestamptz";
    IsInRecovery = "pg_is_in_recovery() bool";
    SequenceLastValue = "pg_sequence_last_value(regclass) int8";
    StatGetNumscans = "pg_stat_get_numscans(oid) int8";
    TxidCurrent = "txid_current() int8";
    CurrentXactId = "pg_current_xact_id() int8";
    TxidCurrentIfAssigned = "txid_current_if_assigned() int8";
    CurrentXactIdIfAssigned = "pg_current_xact_id_if_assigned() int8";
}
