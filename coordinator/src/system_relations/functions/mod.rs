//! Functions that the catalog answers: `pg_get_indexdef`, `has_table_privilege`, ...

mod privileges;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use satsuma_common::text::{TextContext, input};
use satsuma_common::{
    Array, Datum, NodeId, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState, TableId, hash,
};
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::declared::description;
use satsuma_sql::functions::{CatalogFunction, CatalogFunctions, Privileged};

use super::definitions::{
    constraint_definition_by_oid, index_column_definition, index_definition, view_definition,
};
use super::locks::GLOBAL_PID_NODE;
use super::printed::Printer;
use super::procedures;
use super::roles::default_access_list;
use super::spelling::Names;
use super::surroundings::{Surroundings, size_of_relation};
use crate::catalog::{
    CatalogSnapshot, DATABASE_OID, ObjectAddress, ObjectClass, State, Table, TableDistribution,
    quote_identifier, split_name,
};
use crate::session::Listed;

/// The catalog's functions for one session's statement.
pub struct SessionFunctions {
    catalog: CatalogSnapshot,
    around: Arc<dyn Surroundings>,
    settings: Listed,
}

impl SessionFunctions {
    pub fn new(catalog: CatalogSnapshot, around: Arc<dyn Surroundings>, settings: Listed) -> Self {
        Self { catalog, around, settings }
    }

    fn state(&self) -> &State {
        &self.catalog.state
    }

    /// Where the session looks for names.
    fn names(&self) -> Names<'_> {
        Names { state: self.state(), path: &self.catalog.search_path }
    }

    fn table(&self, oid: Oid) -> Option<&Table> {
        self.state().table(TableId(oid.0))
    }

    /// The relation that a text names, as regclass input reads it.
    fn named_relation(&self, text: &str) -> SqlResult<Oid> {
        self.catalog.oid_of(&PgType::Regclass, text).map(Oid).ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{text}\" does not exist"))
        })
    }
}

impl fmt::Debug for SessionFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFunctions")
            .field("version", &self.catalog.state.version())
            .finish_non_exhaustive()
    }
}

/// Arguments by position; a value of another kind than the signature says is a bug of the caller.
struct Arguments<'a>(&'a [Datum]);

impl Arguments<'_> {
    fn wrong(&self) -> SqlError {
        SqlError::internal("a catalog function got arguments of other types than its own")
    }

    fn oid(&self, at: usize) -> SqlResult<Oid> {
        match self.0.get(at) {
            Some(Datum::Oid(oid)) => Ok(Oid(*oid)),
            _ => Err(self.wrong()),
        }
    }

    fn text(&self, at: usize) -> SqlResult<&str> {
        match self.0.get(at) {
            Some(Datum::Text(text)) => Ok(text),
            _ => Err(self.wrong()),
        }
    }

    fn int(&self, at: usize) -> SqlResult<i32> {
        match self.0.get(at) {
            Some(Datum::Int4(value)) => Ok(*value),
            Some(Datum::Int2(value)) => Ok(i32::from(*value)),
            _ => Err(self.wrong()),
        }
    }

    fn long(&self, at: usize) -> SqlResult<i64> {
        match self.0.get(at) {
            Some(Datum::Int8(value)) => Ok(*value),
            _ => self.int(at).map(i64::from),
        }
    }

    fn bool(&self, at: usize) -> SqlResult<bool> {
        match self.0.get(at) {
            Some(Datum::Bool(value)) => Ok(*value),
            _ => Err(self.wrong()),
        }
    }
}

fn text(value: Option<impl Into<String>>) -> Datum {
    value.map_or(Datum::Null, |value| Datum::Text(value.into()))
}

fn oid(value: Option<u32>) -> Datum {
    value.map_or(Datum::Null, Datum::Oid)
}

impl CatalogFunctions for SessionFunctions {
    fn call(&self, function: CatalogFunction, arguments: &[Datum]) -> SqlResult<Datum> {
        self.describe(function, &Arguments(arguments))
    }

    fn privilege(&self, of: Privileged, arguments: &[Datum]) -> SqlResult<Datum> {
        Ok(self.has_privilege(of, arguments)?.map_or(Datum::Null, Datum::Bool))
    }

    fn advisory(&self, name: &str, arguments: &[Datum]) -> SqlResult<Datum> {
        self.around.advisory(name, arguments)
    }
}

/// Functions that describe objects and sessions.
impl SessionFunctions {
    fn describe(&self, function: CatalogFunction, arguments: &Arguments<'_>) -> SqlResult<Datum> {
        use CatalogFunction as F;
        let state = self.state();
        Ok(match function {
            F::GetUserById => {
                let role = arguments.oid(0)?;
                let name = state.role(role).map(|role| role.name.clone());
                text(Some(name.unwrap_or_else(|| format!("unknown (OID={})", role.0))))
            }
            F::AclDefault => {
                let (kind, owner) = (arguments.text(0)?, arguments.oid(1)?);
                let list = default_access_list(state, kind, owner).ok_or_else(|| {
                    let message = format!("unrecognized objtype abbreviation: {kind}");
                    SqlError::new(SqlState::INTERNAL_ERROR, message)
                })?;
                let values = list.into_iter().map(Datum::Text).collect();
                Datum::Array(Array { element: PgType::Text, values })
            }
            F::TableIsVisible => {
                let relation = arguments.oid(0)?;
                match self.catalog.relation_name(relation) {
                    Some(_) => Datum::Bool(self.catalog.is_visible(relation)),
                    None => Datum::Null,
                }
            }
            F::TypeIsVisible => self.type_is_visible(arguments.oid(0)?),
            F::FunctionIsVisible
            | F::OperatorIsVisible
            | F::CollationIsVisible
            | F::ConversionIsVisible
            | F::OpclassIsVisible
            | F::OpfamilyIsVisible
            | F::StatisticsObjIsVisible
            | F::TsConfigIsVisible
            | F::TsDictIsVisible
            | F::TsParserIsVisible
            | F::TsTemplateIsVisible => Datum::Bool(true),
            F::GetExpr | F::GetExprPretty => {
                let pretty = function == F::GetExprPretty && arguments.bool(2)?;
                let table = self.table(arguments.oid(1)?);
                let printer = Printer { names: self.names(), table, pretty };
                text(Some(printer.expression(arguments.text(0)?, None)))
            }
            F::GetConstraintDef => {
                text(constraint_definition_by_oid(self.names(), arguments.oid(0)?, false))
            }
            F::GetConstraintDefPretty => {
                let pretty = arguments.bool(1)?;
                text(constraint_definition_by_oid(self.names(), arguments.oid(0)?, pretty))
            }
            F::GetIndexDef => {
                let index = state.index(arguments.oid(0)?);
                text(index.and_then(|index| index_definition(self.names(), index, false)))
            }
            F::GetIndexDefColumn => {
                let Some(index) = state.index(arguments.oid(0)?) else { return Ok(Datum::Null) };
                match usize::try_from(arguments.int(1)?) {
                    Ok(0) => text(index_definition(self.names(), index, arguments.bool(2)?)),
                    Ok(number) => {
                        let pretty = arguments.bool(2)?;
                        let names = self.names();
                        let column = index_column_definition(names, index, number, pretty);
                        text(Some(column.unwrap_or_default()))
                    }
                    Err(_) => text(Some("")),
                }
            }
            F::GetViewDef | F::GetViewDefPretty | F::GetViewDefWrapped => {
                let view = state.view(arguments.oid(0)?);
                // Wrapped to a width, it is pretty.
                let pretty = match function {
                    F::GetViewDefPretty => arguments.bool(1)?,
                    F::GetViewDefWrapped => true,
                    _ => false,
                };
                text(view.map(|view| view_definition(self.names(), view, pretty)))
            }
            F::GetViewDefNamed | F::GetViewDefNamedPretty => {
                let view = self.named_relation(arguments.text(0)?)?;
                let pretty = function == F::GetViewDefNamedPretty && arguments.bool(1)?;
                text(state.view(view).map(|view| view_definition(self.names(), view, pretty)))
            }
            // There are no triggers, rules, user functions, partitions or extended statistics.
            F::GetTriggerDef
            | F::GetTriggerDefPretty
            | F::GetRuleDef
            | F::GetRuleDefPretty
            | F::PartitionRoot
            | F::GetStatisticsObjDefColumns
            | F::GetPartKeyDef => Datum::Null,
            F::GetFunctionDef => {
                let Some(procedure) = procedures::by_oid(arguments.oid(0)?.0) else {
                    return Ok(Datum::Null);
                };
                let definition = procedures::definition(procedure).ok_or_else(|| {
                    SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("\"{}\" is an aggregate function", procedure.name),
                    )
                })?;
                text(Some(definition))
            }
            F::GetFunctionArguments => {
                text(procedures::by_oid(arguments.oid(0)?.0).map(procedures::arguments))
            }
            F::GetFunctionIdentityArguments => {
                text(procedures::by_oid(arguments.oid(0)?.0).map(procedures::identity_arguments))
            }
            F::GetFunctionResult => {
                text(procedures::by_oid(arguments.oid(0)?.0).map(procedures::result))
            }
            F::GetFunctionArgDefault => {
                let (function, number) = (arguments.oid(0)?.0, arguments.int(1)?);
                let default = procedures::by_oid(function)
                    .and_then(|procedure| procedures::default_of_argument(procedure, number));
                text(default)
            }
            F::GetSerialSequence => self.serial_sequence(arguments.text(0)?, arguments.text(1)?)?,
            F::DescribeObject => {
                let class = arguments.oid(0)?;
                text(self.described(class, arguments.oid(1)?))
            }
            F::ObjDescription => {
                let described = |known: &BTreeMap<u32, &'static str>| -> SqlResult<Datum> {
                    Ok(text(known.get(&arguments.oid(0)?.0).copied()))
                };
                let class = match arguments.text(1)? {
                    "pg_proc" => return described(description::of_functions()),
                    "pg_operator" => return described(description::of_operators()),
                    "pg_type" if description::of_types().contains_key(&arguments.oid(0)?.0) => {
                        return described(description::of_types());
                    }
                    "pg_class" => ObjectClass::Relation,
                    "pg_namespace" => ObjectClass::Schema,
                    "pg_type" => ObjectClass::Type,
                    "pg_constraint" => ObjectClass::Constraint,
                    "pg_extension" => ObjectClass::Extension,
                    _ => return Ok(Datum::Null),
                };
                self.comment(class, arguments.oid(0)?, 0)
            }
            F::ObjDescriptionOld => self.comment(ObjectClass::Relation, arguments.oid(0)?, 0),
            F::ColDescription => {
                self.comment(ObjectClass::Relation, arguments.oid(0)?, arguments.int(1)?)
            }
            F::ShobjDescription => match arguments.text(1)? {
                "pg_database" => self.comment(ObjectClass::Database, arguments.oid(0)?, 0),
                "pg_authid" => self.comment(ObjectClass::Role, arguments.oid(0)?, 0),
                _ => Datum::Null,
            },
            F::RelationSize | F::TableSize => self.relation_size(arguments.oid(0)?),
            F::TotalRelationSize => {
                let relation = arguments.oid(0)?;
                self.with_indexes(relation, self.relation_size(relation))
            }
            F::RelationSizeFork => match arguments.text(1)? {
                "main" => self.relation_size(arguments.oid(0)?),
                "fsm" | "vm" | "init" => Datum::Int8(0),
                _ => {
                    return Err(SqlError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "invalid fork name",
                    )
                    .hint("Valid fork names are \"main\", \"fsm\", \"vm\", and \"init\"."));
                }
            },
            F::IndexesSize => self.indexes_size(arguments.oid(0)?),
            F::DatabaseSizeByName => {
                self.named_database(arguments.text(0)?)?;
                self.database_size()
            }
            F::DatabaseSize if arguments.oid(0)? != DATABASE_OID => Datum::Null,
            F::TablespaceSizeByName => {
                privileges::named_tablespace(arguments.text(0)?)?;
                self.database_size()
            }
            F::DatabaseSize | F::TablespaceSize => self.database_size(),
            F::RelationFilenode => self.file_number(arguments.oid(0)?),
            F::TablespaceLocation => text(Some("")),
            F::RelationIsPublishable | F::IsOtherTempSchema | F::IsInRecovery => Datum::Bool(false),
            F::CitusTableSize | F::CitusRelationSize => self.citus_size(arguments.oid(0)?)?,
            F::CitusTotalRelationSize => {
                let relation = arguments.oid(0)?;
                self.with_indexes(relation, self.citus_size(relation)?)
            }
            F::ShardIdForColumn => self.shard_for_value(arguments.oid(0)?, arguments.text(1)?)?,
            F::ShardIdForInteger => {
                let value = arguments.long(1)?.to_string();
                self.shard_for_value(arguments.oid(0)?, &value)?
            }
            F::IsCitusTable => Datum::Bool(self.catalog.is_visible(arguments.oid(0)?)),
            F::ColumnToColumnName => self.column_of_key(arguments.oid(0)?, arguments.text(1)?)?,
            F::CitusWorkerCount => {
                let active = state.workers().filter(|node| node.is_active).count();
                Datum::Int4(active as i32)
            }
            F::CitusNodeName => {
                let node = u32::try_from(arguments.int(0)?).ok().map(NodeId);
                text(node.and_then(|id| state.node(id)).map(|node| node.host.clone()))
            }
            F::CitusNodePort => {
                let node = u32::try_from(arguments.int(0)?).ok().map(NodeId);
                let port = node.and_then(|id| state.node(id)).map(|node| i32::from(node.port));
                port.map_or(Datum::Null, Datum::Int4)
            }
            // All coordinators are alike: the first stands for them.
            F::CitusCoordinatorNode => {
                let first = state.nodes().find(|node| !node.is_worker());
                let id = first.and_then(|node| i32::try_from(node.id.0).ok());
                id.map_or(Datum::Null, Datum::Int4)
            }
            F::CitusIsCoordinator => Datum::Bool(true),
            F::ToRegclass => oid(self.catalog.oid_of(&PgType::Regclass, arguments.text(0)?)),
            F::ToRegtype => oid(self.catalog.oid_of(&PgType::Regtype, arguments.text(0)?)),
            // A name of several functions is that of none; what is no signature is an error.
            F::ToRegproc => {
                let found = self.catalog.procedure_oid(&PgType::Regproc, arguments.text(0)?);
                oid(found.unwrap_or_default())
            }
            F::ToRegprocedure => {
                oid(self.catalog.procedure_oid(&PgType::Regprocedure, arguments.text(0)?)?)
            }
            F::ToRegnamespace => {
                oid(self.catalog.oid_of(&PgType::Regnamespace, arguments.text(0)?))
            }
            F::ToRegrole => oid(self.catalog.oid_of(&PgType::Regrole, arguments.text(0)?)),
            F::CurrentSetting => {
                let name = arguments.text(0)?;
                text(Some(self.setting(name).ok_or_else(|| {
                    SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("unrecognized configuration parameter \"{name}\""),
                    )
                })?))
            }
            F::CurrentSettingMissing => {
                let name = arguments.text(0)?;
                match (self.setting(name), arguments.bool(1)?) {
                    (None, false) => {
                        return Err(SqlError::new(
                            SqlState::UNDEFINED_OBJECT,
                            format!("unrecognized configuration parameter \"{name}\""),
                        ));
                    }
                    (value, _) => text(value),
                }
            }
            F::SetConfig => {
                return Err(SqlError::unsupported("set_config within a query is not supported")
                    .hint("Use SET, or call set_config alone."));
            }
            F::MyTempSchema => Datum::Oid(0),
            F::CancelBackend | F::CancelGlobal => self.signal(arguments.long(0)?, false)?,
            F::TerminateBackend
            | F::TerminateGlobal
            | F::TerminateBackendIn
            | F::TerminateGlobalIn => self.signal(arguments.long(0)?, true)?,
            F::CalculateGpid => {
                let (node, process) = (arguments.long(0)?, arguments.long(1)?);
                Datum::Int8(node * GLOBAL_PID_NODE + process)
            }
            F::NodeOfGpid => int4(arguments.long(0)? / GLOBAL_PID_NODE),
            F::PidOfGpid => int4(arguments.long(0)? % GLOBAL_PID_NODE),
            F::BlockingPids => {
                let pids = super::locks::blocking(self.around.as_ref(), arguments.int(0)?)?;
                let values = pids.into_iter().map(Datum::Int4).collect();
                Datum::Array(Array { element: PgType::Int4, values })
            }
            F::PostmasterStartTime | F::ConfLoadTime => Datum::Timestamp(self.around.started()),
            F::SequenceLastValue => {
                let id = SequenceId(arguments.oid(0)?.0);
                match state.sequence_position(id).filter(|position| position.is_called) {
                    Some(position) => Datum::Int8(position.last_value),
                    None => Datum::Null,
                }
            }
            F::StatGetNumscans => Datum::Int8(0),
            // What no other transaction has.
            F::TxidCurrent
            | F::CurrentXactId
            | F::TxidCurrentIfAssigned
            | F::CurrentXactIdIfAssigned => match self.around.transaction() {
                Some(txn) => Datum::Int8(i64::try_from(txn.start.0).unwrap_or(i64::MAX)),
                None => Datum::Null,
            },
        })
    }

    fn setting(&self, name: &str) -> Option<&str> {
        let wanted = self.settings.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        wanted.map(|setting| setting.value.as_str())
    }

    fn comment(&self, class: ObjectClass, oid: Oid, part: i32) -> Datum {
        text(self.state().comment(ObjectAddress { class, oid, part }))
    }

    fn type_is_visible(&self, oid: Oid) -> Datum {
        if PgType::from_oid(oid.0).is_some() {
            return Datum::Bool(true);
        }
        match self.state().enum_type(oid) {
            Some(ty) => {
                let found = self.catalog.user_type(None, &ty.name);
                Datum::Bool(found == Some(PgType::Enum(oid)))
            }
            None => {
                let relation = crate::system_relations::relation_of(oid);
                let known = relation.filter(|oid| self.catalog.relation_name(*oid).is_some());
                known.map_or(Datum::Null, |oid| Datum::Bool(self.catalog.is_visible(oid)))
            }
        }
    }

    fn serial_sequence(&self, table: &str, column: &str) -> SqlResult<Datum> {
        let relation = self.named_relation(table)?;
        let known = self
            .table(relation)
            .and_then(|table| Some((table.id(), table.shape.column_named(column)?.id)));
        let Some((table_id, column_id)) = known else {
            let name = split_name(table).map_or_else(|| table.to_owned(), |(_, name)| name);
            return Err(SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{column}\" of relation \"{name}\" does not exist"),
            ));
        };
        let state = self.state();
        let mut owned = state.sequences_of(table_id);
        let sequence = owned.find(|sequence| sequence.owned_by == Some((table_id, column_id)));
        Ok(text(sequence.and_then(|sequence| {
            let schema = &state.schema(sequence.schema)?.name;
            Some(format!("{}.{}", quote_identifier(schema), quote_identifier(&sequence.name)))
        })))
    }

    /// An object with its kind.
    fn described(&self, class: Oid, object: Oid) -> Option<String> {
        let state = self.state();
        let is = |known: ObjectClass| known.catalog_oid() == class;
        if is(ObjectClass::Relation) {
            let kind = state.kind(state.relation(object)?);
            let name = self.catalog.oid_name(&PgType::Regclass, object.0)?;
            return Some(format!("{kind} {name}"));
        }
        if is(ObjectClass::Type) {
            let name = self.catalog.oid_name(&PgType::Regtype, object.0)?;
            return Some(format!("type {name}"));
        }
        if is(ObjectClass::Schema) {
            return Some(format!("schema {}", state.schema(object)?.name));
        }
        if is(ObjectClass::Role) {
            return Some(format!("role {}", state.role(object)?.name));
        }
        None
    }

    fn relation_size(&self, relation: Oid) -> Datum {
        match self.table(relation) {
            Some(table) => {
                let sizes = self.around.shard_sizes();
                Datum::Int8(size_of_relation(self.state(), table, &sizes).bytes as i64)
            }
            None if self.state().index(relation).is_some() => {
                Datum::Int8(self.index_bytes(relation))
            }
            // A page of PostgreSQL's, which holds its one row.
            None if self.state().sequence(SequenceId(relation.0)).is_some() => Datum::Int8(8192),
            None if self.catalog.relation_name(relation).is_some() => Datum::Int8(0),
            None => Datum::Null,
        }
    }

    /// As `pg_class.relfilenode`, of what holds rows.
    fn file_number(&self, relation: Oid) -> Datum {
        let state = self.state();
        let stored = self.table(relation).is_some()
            || state.index(relation).is_some()
            || state.sequence(SequenceId(relation.0)).is_some();
        if stored { Datum::Oid(relation.0) } else { Datum::Null }
    }

    /// Bytes of an index on all nodes. That of a primary key takes none: rows lie in its order.
    fn index_bytes(&self, index: Oid) -> i64 {
        let sizes = self.around.index_sizes();
        let bytes: u64 =
            sizes.iter().filter(|((known, _), _)| *known == index).map(|(_, bytes)| bytes).sum();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    /// The size of a table and of its indexes.
    fn with_indexes(&self, relation: Oid, rows: Datum) -> Datum {
        match (rows, self.indexes_size(relation)) {
            (Datum::Int8(rows), Datum::Int8(indexes)) => Datum::Int8(rows.saturating_add(indexes)),
            (rows, _) => rows,
        }
    }

    fn indexes_size(&self, relation: Oid) -> Datum {
        match self.table(relation) {
            Some(table) => {
                let indexes = self.state().indexes_of(table.id());
                Datum::Int8(indexes.map(|index| self.index_bytes(index.oid)).sum())
            }
            None if self.catalog.relation_name(relation).is_some() => Datum::Int8(0),
            None => Datum::Null,
        }
    }

    fn database_size(&self) -> Datum {
        let bytes: u64 = self.around.shard_sizes().values().map(|size| size.bytes).sum();
        Datum::Int8(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    fn citus_size(&self, relation: Oid) -> SqlResult<Datum> {
        match self.table(relation) {
            Some(table) if table.distribution() != TableDistribution::Local => {
                Ok(self.relation_size(relation))
            }
            _ => Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot calculate the size because relation is not distributed",
            )),
        }
    }

    fn shard_for_value(&self, relation: Oid, value: &str) -> SqlResult<Datum> {
        let Some(table) = self.table(relation) else {
            return Err(not_distributed(&self.relation_text(relation)));
        };
        let Some(column) = table.distribution_column() else {
            return match table.distribution() {
                TableDistribution::Local => Err(not_distributed(&table.shape.name)),
                _ => Ok(table
                    .shards()
                    .first()
                    .map_or(Datum::Null, |shard| Datum::Int8(shard.id.0 as i64))),
            };
        };
        let datum = input(&column.ty, value, &TextContext::default())?;
        let token = hash::partition_hash(&datum, &column.ty);
        let shard = token.and_then(|token| self.state().shard_for_hash(table, token));
        Ok(shard.map_or(Datum::Null, |(_, shard)| Datum::Int8(shard.0 as i64)))
    }

    /// The column that a `pg_dist_partition.partkey` stands for.
    fn column_of_key(&self, relation: Oid, key: &str) -> SqlResult<Datum> {
        let mut words = key.split_whitespace();
        let number = words
            .find(|word| *word == ":varattno")
            .and_then(|_| words.next()?.parse().ok())
            .ok_or_else(|| {
                SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "not a valid partition key")
            })?;
        let column = satsuma_common::ColumnId(number);
        let table = self.table(relation);
        Ok(text(table.and_then(|table| Some(table.shape.column(column)?.name.as_str()))))
    }

    fn relation_text(&self, relation: Oid) -> String {
        self.catalog
            .oid_name(&PgType::Regclass, relation.0)
            .unwrap_or_else(|| relation.0.to_string())
    }

    /// `process` may have the coordinator's node id in front.
    fn signal(&self, process: i64, terminate: bool) -> SqlResult<Datum> {
        let Ok(process) = i32::try_from(process % GLOBAL_PID_NODE) else {
            return Ok(Datum::Bool(false));
        };
        let sessions = self.around.all_sessions()?;
        let target = sessions.iter().find(|session| session.process_id == process);
        if let Some(target) = target
            && !self.may_act_for(&target.user)
        {
            return Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "must be a member of the role whose process is being terminated or member of \
                 pg_signal_backend",
            ));
        }
        self.around.interrupt(process, terminate).map(Datum::Bool)
    }
}

fn int4(value: i64) -> Datum {
    i32::try_from(value).map_or(Datum::Null, Datum::Int4)
}

fn not_distributed(table: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TABLE_DEFINITION,
        format!("relation {table} is not a distributed table"),
    )
}
