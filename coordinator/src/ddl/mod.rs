//! Definitions: CREATE, ALTER, DROP, and the functions that distribute tables.
//!
//! Each statement becomes catalog commands in the transaction's overlay ([`Ddl::apply`]). Shards
//! that it needs are made at the workers at once, under ids that nobody else knows; shards it does
//! away with are dropped after the commit. A rollback drops what was made.
//!
//! ```text
//!  statement -> plan on the overlay's state -> reserve ids -> shards at workers -> commands
//!           -> shapes that changed to their workers, under the tables' locks
//! ```
//!
//! Whoever waited for a table's lock looks at the catalog again: [`Ddl::lock_table`] puts the
//! transaction's own definitions on top of what was committed meanwhile.

mod absent;
mod alter_column;
mod alter_constraint;
mod alter_name;
mod alter_object;
mod alter_table;
mod analyze;
mod comment;
mod configure;
mod create_table;
mod create_table_as;
mod distribute;
mod drop;
mod enum_type;
mod extension;
mod foreign_key;
mod grant;
mod index;
mod like_table;
mod materialized;
pub(crate) mod names;
mod operator_class;
mod owned;
mod owner;
mod role;
pub mod rows;
mod schema;
mod sequence;
mod split;
mod storage_parameters;
mod stored_text;
pub mod temporary;
mod using_index;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use satsuma_common::table::TableShape;
use satsuma_common::{NodeId, Oid, PgType, ShardId, SqlError, SqlResult, SqlState, TableId};
use satsuma_proto::worker::{
    GroupRef, LockRequest, LockTarget, LockWait, ShardAction, TableLockMode, TableShard,
};
use satsuma_sql::bind::BindContext;
use satsuma_sql::catalog_view::TableInfo;
use satsuma_sql::functions::FunctionEnv;
use satsuma_sql::parse::{
    Alter, Comment, Configure, CreateSchema, CreateTable, DropAbsent, Grant, Owned, Refresh, Source,
};
use sqlparser::ast::{self, Spanned};

pub use index::reindex;

pub use extension::{EXTENSIONS, installed as installed_extensions};

pub(crate) use stored_text::ident;

pub use distribute::{
    DistributeArguments, Redistribution, alter_distributed_table, create_distributed_table,
    create_reference_table, refuse_distributed, undistribute_table,
};
pub use drop::drop_silently;
pub use split::{isolate_tenant, split_shard};
pub(crate) use stored_text::text_mentions;

use crate::catalog::{
    CatalogSnapshot, Command, IdRequest, Ids, Outcome, State, Table, TableDef, TablePlacement,
};
use crate::cluster::Cluster;
use crate::executor::{Scope, gate};
use crate::session::{Params, SessionSequences, SessionSurroundings};
use crate::session_api::Notice;
use crate::txn::Transaction;

/// One statement's way to the catalog.
pub struct Ddl<'a> {
    pub cluster: Arc<Cluster>,
    pub txn: &'a mut Transaction,
    pub notices: &'a mut Vec<Notice>,
    /// Where names are looked up, and who asks.
    pub snapshot: CatalogSnapshot,
    pub env: FunctionEnv,
    pub(crate) sequences: SessionSequences,
    pub(crate) around: SessionSurroundings,
    pub scope: Arc<Scope>,
    /// `citus.shard_count`.
    pub shard_count: u32,
    /// Of the session's schema for temporary relations.
    pub temporary_name: String,
    /// Temporary tables that do not outlive a transaction, or whose rows do not.
    pub on_commit: &'a mut BTreeMap<TableId, ast::OnCommit>,
    /// The text that the statement was parsed from.
    pub source: Arc<Source>,
    /// Of the statement, for the query that it may have.
    pub(crate) params: Params,
    /// Sequences that wait for the table that will own them.
    pub(crate) pending_ownership: Vec<crate::catalog::Sequence>,
}

/// A statement that defines.
#[derive(Clone, Copy)]
pub enum Definition<'a> {
    Sql(&'a ast::Statement),
    Alter(&'a Alter),
    CreateTable(&'a CreateTable),
    Grant(&'a Grant),
    Comment(&'a Comment),
    /// ALTER SYSTEM and ALTER DATABASE.
    Configure(&'a Configure),
    Refresh(&'a Refresh),
    /// DROP OWNED and REASSIGN OWNED.
    Owned(&'a Owned),
    /// DROP of what there can be none of.
    DropAbsent(&'a DropAbsent),
    /// CREATE SCHEMA with elements.
    Schema(&'a CreateSchema),
    /// CREATE EXTENSION and DROP EXTENSION.
    Extension(&'a satsuma_sql::parse::Command),
    /// ANALYZE of these columns.
    Analyze(&'a [(ast::ObjectName, Vec<ast::Ident>)]),
}

impl Definition<'_> {
    /// The command as PostgreSQL calls it in messages; `None` when it is not one of these, or not
    /// one that a read-only transaction must refuse.
    pub fn command(self) -> Option<String> {
        let name = match self {
            Self::Sql(statement) => return command(statement),
            // PostgreSQL lets a read-only transaction gather statistics.
            Self::Analyze(_) => return None,
            Self::Alter(alter) => return Some(format!("ALTER {}", alter.kind.name())),
            Self::CreateTable(CreateTable::As(create)) => create_table_as::command(create),
            Self::CreateTable(CreateTable::Like(_)) => "CREATE TABLE",
            Self::Grant(grant) if grant.is_of_defaults() => "ALTER DEFAULT PRIVILEGES",
            Self::Grant(Grant { revoke: true, .. }) => "REVOKE",
            Self::Grant(_) => "GRANT",
            Self::Comment(_) => "COMMENT",
            Self::Configure(Configure { database: None, .. }) => "ALTER SYSTEM",
            Self::Configure(_) => "ALTER DATABASE",
            Self::Refresh(_) => "REFRESH MATERIALIZED VIEW",
            Self::Owned(owned) if owned.to.is_some() => "REASSIGN OWNED",
            Self::Owned(_) => "DROP OWNED",
            Self::DropAbsent(drop) => return Some(format!("DROP {}", drop.kind)),
            Self::Schema(_) => "CREATE SCHEMA",
            Self::Extension(satsuma_sql::parse::Command::DropExtension { .. }) => "DROP EXTENSION",
            Self::Extension(_) => "CREATE EXTENSION",
        };
        Some(name.into())
    }
}

fn command(statement: &ast::Statement) -> Option<String> {
    let name = match statement {
        ast::Statement::CreateTable(_) => "CREATE TABLE",
        ast::Statement::Query(query) => {
            return create_table_as::select_into(query).map(|_| "SELECT INTO".into());
        }
        ast::Statement::CreateSchema { .. } => "CREATE SCHEMA",
        ast::Statement::CreateIndex(_) => "CREATE INDEX",
        ast::Statement::CreateView(_) => "CREATE VIEW",
        ast::Statement::CreateType { .. } => "CREATE TYPE",
        ast::Statement::CreateSequence { .. } => "CREATE SEQUENCE",
        ast::Statement::CreateRole(_) => "CREATE ROLE",
        ast::Statement::AlterRole { .. } => "ALTER ROLE",
        ast::Statement::Drop { object_type, .. } => return Some(format!("DROP {object_type}")),
        _ => return None,
    };
    Some(name.into())
}

/// Runs a definition statement; `None` when it is not one. Answers with the command tag.
pub async fn execute(ddl: &mut Ddl<'_>, definition: Definition<'_>) -> SqlResult<Option<String>> {
    let tag = match definition {
        Definition::Sql(statement) => define(ddl, statement).await?,
        Definition::Alter(alter) => Some(alter_object::alter(ddl, alter).await?),
        Definition::CreateTable(CreateTable::As(create)) => {
            Some(create_table_as::create_table_as(ddl, create).await?)
        }
        Definition::CreateTable(CreateTable::Like(like)) => {
            create_table::create_table(ddl, &like.create, &like.likes).await?;
            Some("CREATE TABLE".into())
        }
        Definition::Extension(command) => Some(extension::execute(ddl, command)?.into()),
        Definition::Grant(grant) => Some(grant::grant(ddl, grant)?.into()),
        Definition::Comment(comment) => {
            comment::comment(ddl, comment)?;
            Some("COMMENT".into())
        }
        Definition::Configure(statement) => Some(configure::configure(ddl, statement)?.into()),
        Definition::Refresh(refresh) => {
            materialized::refresh(ddl, refresh).await?;
            Some("REFRESH MATERIALIZED VIEW".into())
        }
        Definition::Owned(statement) => Some(Box::pin(owned::owned(ddl, statement)).await?.into()),
        Definition::DropAbsent(drop) => Some(absent::drop_absent(ddl, drop)?),
        Definition::Schema(create) => {
            Box::pin(schema::create(ddl, create)).await?;
            Some("CREATE SCHEMA".into())
        }
        Definition::Analyze(tables) => {
            analyze::analyze(ddl, tables).await?;
            Some("ANALYZE".into())
        }
    };
    ddl.tell_workers().await?;
    Ok(tag)
}

async fn define(ddl: &mut Ddl<'_>, statement: &ast::Statement) -> SqlResult<Option<String>> {
    match statement {
        ast::Statement::CreateTable(create) => {
            create_table::create_table(ddl, create, &[]).await?;
            Ok(Some("CREATE TABLE".into()))
        }
        ast::Statement::Query(query) => match create_table_as::select_into(query) {
            Some(create) => create_table_as::create_table_as(ddl, &create).await.map(Some),
            None => Ok(None),
        },
        ast::Statement::CreateSchema { schema_name, if_not_exists, .. } => {
            names::create_schema(ddl, schema_name, *if_not_exists).await?;
            Ok(Some("CREATE SCHEMA".into()))
        }
        ast::Statement::CreateIndex(create) => {
            index::create_index(ddl, create).await?;
            Ok(Some("CREATE INDEX".into()))
        }
        ast::Statement::CreateView(create) => {
            view::create_view(ddl, create).await?;
            Ok(Some("CREATE VIEW".into()))
        }
        ast::Statement::CreateType {
            name,
            representation: Some(ast::UserDefinedTypeRepresentation::Enum { labels }),
        } => {
            enum_type::create_enum(ddl, name, labels).await?;
            Ok(Some("CREATE TYPE".into()))
        }
        ast::Statement::CreateSequence { .. } => {
            sequence::create_sequence(ddl, statement).await?;
            Ok(Some("CREATE SEQUENCE".into()))
        }
        ast::Statement::CreateRole(create) => {
            role::create_role(ddl, create).await?;
            Ok(Some("CREATE ROLE".into()))
        }
        ast::Statement::AlterRole { name, operation } => {
            role::alter_role(ddl, name, operation)?;
            Ok(Some("ALTER ROLE".into()))
        }
        ast::Statement::Drop { object_type, if_exists, names, cascade, .. } => {
            drop::drop(ddl, object_type, names, *if_exists, *cascade).await.map(Some)
        }
        ast::Statement::DropFunction(dropped) => {
            drop::drop_functions(ddl, "function", &dropped.func_desc, dropped.if_exists)?;
            Ok(Some("DROP FUNCTION".into()))
        }
        ast::Statement::DropProcedure { if_exists, proc_desc, .. } => {
            drop::drop_functions(ddl, "procedure", proc_desc, *if_exists)?;
            Ok(Some("DROP PROCEDURE".into()))
        }
        _ => Ok(None),
    }
}

impl Ddl<'_> {
    /// The catalog with this transaction's changes so far.
    pub fn state(&mut self) -> Arc<State> {
        let cluster = self.cluster.clone();
        self.txn.overlay_mut(&cluster).state().clone()
    }

    /// Changes the transaction's catalog.
    pub fn apply(&mut self, command: Command) -> SqlResult<Outcome> {
        let cluster = self.cluster.clone();
        let outcome = self.txn.overlay_mut(&cluster).apply(command)?;
        self.snapshot.state = self.state();
        Ok(outcome)
    }

    /// What expressions of definitions are bound against.
    pub fn bind_context(&self) -> BindContext<'_> {
        BindContext {
            catalog: &self.snapshot,
            env: &self.env,
            param_types: None,
            param_values: &[],
        }
    }

    /// The type that a statement names.
    pub fn data_type(&self, ty: &ast::DataType) -> SqlResult<PgType> {
        satsuma_sql::bind::data_type(ty, &self.snapshot).map_err(|error| match ty {
            ast::DataType::Custom(name, _) => error.at(self.source.position(name.span().start)),
            _ => error,
        })
    }

    /// Binds what follows on the catalog as it is now.
    fn refresh_env(&mut self) {
        self.env.catalog = Arc::new(self.snapshot.clone());
        self.env.sequences = Arc::new(self.sequences.on(&self.snapshot));
    }

    pub async fn reserve(&self, request: IdRequest) -> SqlResult<Ids> {
        if request.is_empty() {
            return Ok(Ids::default());
        }
        self.cluster.catalog.propose(Command::Reserve(request)).await?.ids()
    }

    pub async fn oid(&self) -> SqlResult<Oid> {
        Ok(self.reserve(IdRequest::oids(1)).await?.oid()?)
    }

    pub fn warning(&mut self, message: impl Into<String>) {
        self.notices.push(Notice::warning(SqlState::WARNING, message));
    }

    pub fn notice(&mut self, message: impl Into<String>) {
        self.notices.push(Notice::plain(message));
    }

    /// The table that a name stands for; 42P01 when there is none.
    pub fn table(&mut self, name: &ast::ObjectName) -> SqlResult<Arc<Table>> {
        let state = self.state();
        let (schema, relation) = names::split(name)?;
        let found = state
            .table_by_name(&self.snapshot.search_path, schema.as_deref(), &relation)
            .ok_or_else(|| names::no_relation(schema.as_deref(), &relation))?;
        Ok(Arc::new(found.clone()))
    }

    /// Makes a table's shards at their workers, without what is NOT VALID: the rows that go into
    /// them are not checked for that. The workers are told of it after them
    /// ([`Ddl::tell_workers`]).
    pub async fn create_shards(
        &mut self,
        def: &TableDef,
        placement: &TablePlacement,
    ) -> SqlResult<()> {
        let state = self.state();
        let mut by_node: BTreeMap<NodeId, Vec<_>> = BTreeMap::new();
        for shard in &placement.shards {
            let group = state.group(shard.group).ok_or_else(|| {
                SqlError::internal(format!("shard group {} is not in the catalog", shard.group))
            })?;
            for node in group.finalized() {
                by_node.entry(node).or_default().push((shard.id, group.id, group.generation));
            }
        }
        let mut known = def.shape.clone();
        if !def.not_valid.is_empty() {
            let shape = known.make_mut();
            shape.foreign_keys.retain(|key| !def.not_valid.contains(&key.name));
            shape.checks.retain(|check| !def.not_valid.contains(&check.name));
        }
        let cluster = self.cluster.clone();
        let mut requests = Vec::new();
        for (node, shards) in by_node {
            let stored = state
                .node(node)
                .ok_or_else(|| SqlError::internal(format!("node {node} is not in the catalog")))?;
            let worker = cluster.workers.client(stored)?;
            let overlay = self.txn.overlay_mut(&cluster);
            shards.iter().for_each(|(shard, _, _)| overlay.shard_created(node, *shard));
            let shape = TableShape::clone(&known);
            requests.push(async move {
                worker.shards(ShardAction::Create { shape, shards }).await.map(|_| ())
            });
        }
        futures::future::join_all(requests).await.into_iter().collect::<SqlResult<()>>()?;
        self.txn.overlay_mut(&cluster).shape_told(known);
        Ok(())
    }

    /// Tells the workers every shape that this transaction has changed since it last told them.
    pub async fn tell_workers(&mut self) -> SqlResult<()> {
        let untold = match self.txn.overlay() {
            Some(overlay) => overlay.untold(),
            None => return Ok(()),
        };
        let cluster = self.cluster.clone();
        for id in untold {
            let Some(table) = self.state().table_arc(id) else { continue };
            self.lock_table(&table).await?;
            let state = self.state();
            let Some(table) = state.table(id) else { continue };
            let mut nodes = std::collections::BTreeSet::new();
            for (_, group) in state.shards_of(table) {
                nodes.extend(group.finalized());
            }
            // Told before the answers are in: what reached only some must be taken back, too.
            self.txn.overlay_mut(&cluster).table_told(id);
            let mut requests = Vec::new();
            for node in nodes {
                let worker = self.scope.worker(node)?;
                let shape = TableShape::clone(&table.shape);
                let alter = ShardAction::Alter { shape, by: self.txn.id() };
                requests.push(async move { worker.shards(alter).await });
            }
            for answer in futures::future::join_all(requests).await {
                answer?;
            }
        }
        self.scope = Arc::new(Scope { state: self.state(), ..self.scope.as_ref().clone() });
        Ok(())
    }

    /// What the next step of this statement runs with: it sees the steps before it.
    pub async fn next_step(&mut self) -> SqlResult<()> {
        let cluster = self.cluster.clone();
        let (_, number) = self.txn.next_step(&cluster).await?;
        let mut scope = self.scope.as_ref().clone();
        scope.state = self.state();
        scope.statement.statement = number;
        self.scope = Arc::new(scope);
        Ok(())
    }

    /// Builds indexes over the rows that the table's shards hold; 23505 when a unique one does not
    /// hold. The workers know them already.
    pub async fn build_indexes(&mut self, table: TableId, indexes: Vec<Oid>) -> SqlResult<()> {
        let state = self.state();
        let Some(table) = state.table(table) else { return Ok(()) };
        let mut nodes = std::collections::BTreeSet::new();
        for (_, group) in state.shards_of(table) {
            nodes.extend(group.finalized());
        }
        let txn = self.scope.statement.txn;
        let mut requests = Vec::new();
        for node in nodes {
            let worker = self.scope.worker(node)?;
            let (table, indexes) = (table.id(), indexes.clone());
            requests.push(async move {
                let action = ShardAction::BuildIndexes { table, indexes, txn };
                worker.shards(action).await.map(|_| ())
            });
        }
        futures::future::join_all(requests).await.into_iter().collect()
    }

    /// A table's shards go when the transaction commits.
    pub fn drop_shards(&mut self, table: &Table) {
        let state = self.state();
        let cluster = self.cluster.clone();
        let overlay = self.txn.overlay_mut(&cluster);
        for (shard, group) in state.shards_of(table) {
            for placement in &group.placements {
                overlay.shard_dropped(placement.node, shard.id);
            }
        }
    }

    /// The table that a name stands for, locked: as it is once nobody else can change it.
    pub async fn open_table(&mut self, name: &ast::ObjectName) -> SqlResult<Arc<Table>> {
        loop {
            let table = self.table(name)?;
            self.lock_table(&table).await?;
            let now = self.table(name)?;
            if now.id() == table.id() {
                return Ok(now);
            }
        }
    }

    /// Keeps everybody else from writing to the table until the transaction ends, and catches up
    /// with what was committed until now. Shards that this transaction made need no lock: nobody
    /// knows them.
    pub async fn lock_table(&mut self, table: &Table) -> SqlResult<()> {
        self.lock_table_in(table, TableLockMode::AccessExclusive, LockWait::Wait).await
    }

    /// Locks every shard of the table, one after the other, so that two which do it do not wait
    /// for each other (see [`gate`]). Shards that this transaction made need no lock: nobody knows
    /// them.
    pub async fn lock_table_in(
        &mut self,
        table: &Table,
        mode: TableLockMode,
        wait: LockWait,
    ) -> SqlResult<()> {
        let is_exclusive = mode == TableLockMode::AccessExclusive;
        if is_exclusive && self.txn.has_locked(table.id()) {
            return Ok(());
        }
        let cluster = self.cluster.clone();
        crate::leftovers::wait_until_clean(&cluster).await;
        let state = self.state();
        let overlay = self.txn.overlay();
        let created: Vec<(NodeId, ShardId)> =
            overlay.map(|overlay| overlay.created().to_vec()).unwrap_or_default();
        let told = overlay.and_then(|overlay| overlay.told_shape(table.id()));
        let version = told.map_or(table.shape.version, |shape| shape.version);
        let mut shards: Vec<_> = state.shards_of(table).collect();
        shards.sort_by_key(|(_, group)| gate::turn(group));
        for (shard, group) in shards {
            for node in group.finalized() {
                if created.contains(&(node, shard.id)) {
                    continue;
                }
                let worker = self.scope.worker(node)?;
                self.txn.touch_to_lock(node, &worker);
                let shards = vec![TableShard { table: table.id(), shard: shard.id, version }];
                let request = LockRequest {
                    context: self.scope.statement.clone(),
                    group: GroupRef { group: group.id, generation: group.generation, shards },
                    table: table.id(),
                    target: LockTarget::Shard(mode),
                    wait,
                    limit: None,
                    skip_deleted: false,
                    in_turn: false,
                };
                worker.lock(request).await?;
            }
        }
        if is_exclusive {
            self.txn.table_locked(table.id());
        }
        self.catch_up().await
    }

    /// Looks at the catalog and the rows as they are now: a lock that was waited for may have
    /// been another definition's, or a writer's.
    async fn catch_up(&mut self) -> SqlResult<()> {
        let cluster = self.cluster.clone();
        cluster.catalog.read().await?;
        self.txn.rebase(&cluster)?;
        let mut scope = self.scope.as_ref().clone();
        scope.state = self.state();
        scope.statement.snapshot = cluster.oracle.timestamp().await?;
        self.scope = Arc::new(scope);
        self.snapshot.state = self.state();
        Ok(())
    }
}

/// The tables that TRUNCATE empties: those named and, with CASCADE, those that refer to them, of
/// which the notices tell, step by step.
pub fn truncate_targets(
    state: &State,
    named: &[Arc<TableInfo>],
    cascade: bool,
    notices: &mut Vec<Notice>,
) -> SqlResult<Vec<Arc<TableInfo>>> {
    let mut targets: BTreeMap<TableId, Arc<TableInfo>> =
        named.iter().map(|info| (info.shape.table, info.clone())).collect();
    let mut step: Vec<Arc<TableInfo>> = named.to_vec();
    while !step.is_empty() {
        let mut next: BTreeMap<TableId, Arc<TableInfo>> = BTreeMap::new();
        for info in &step {
            let mut keys: Vec<_> = info.shape.referenced_by.iter().collect();
            keys.sort_by_key(|key| key.table);
            for key in keys.into_iter().filter(|key| !targets.contains_key(&key.table)) {
                if !cascade {
                    return Err(referenced_by(info, &key.table_name));
                }
                if let Some(table) = state.table(key.table) {
                    next.insert(key.table, table.info().clone());
                }
            }
        }
        for info in next.values() {
            let name = &info.shape.name;
            notices.push(Notice::plain(format!("truncate cascades to table \"{name}\"")));
        }
        step = next.values().cloned().collect();
        targets.extend(next);
    }
    Ok(targets.into_values().collect())
}

fn referenced_by(info: &TableInfo, by: &str) -> SqlError {
    SqlError::unsupported("cannot truncate a table referenced in a foreign key constraint")
        .detail(format!("Table \"{by}\" references \"{}\".", info.shape.name))
        .hint(format!("Truncate table \"{by}\" at the same time, or use TRUNCATE ... CASCADE."))
}

/// RESTART IDENTITY: sequences that the tables own start over.
pub fn restart_sequences(mut ddl: Ddl<'_>, tables: &[Arc<TableInfo>]) -> SqlResult<()> {
    let state = ddl.state();
    for info in tables {
        for sequence in state.sequences_of(info.shape.table) {
            ddl.apply(Command::SetSequence {
                sequence: sequence.id,
                value: sequence.start,
                is_called: false,
            })?;
        }
    }
    Ok(())
}
