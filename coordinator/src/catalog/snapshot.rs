//! The catalog as one session's binder sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use satsuma_common::types::PseudoType;
use satsuma_common::{Oid, PgType, SequenceId, ShardId, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::bound::{BoundCall, OutputColumn};
use satsuma_sql::catalog_view::{
    Access, Allowed, CatalogView, Relation, SystemRelation, TableInfo, ViewInfo,
};

use super::objects::{ObjectAddress, ObjectClass, RelationKind, RelationRef};
use super::privileges;
use super::quote_identifier;
use super::state::State;
use super::table::{Shard, Table};
use crate::system_relations::{
    function_by_signature, function_name, function_named, function_with_arguments,
};

/// Computes system relations; the session brings what the catalog does not know (itself, its
/// neighbours, sizes).
pub trait SystemRelations: Send + Sync {
    /// Names are lower case; `schema` is `pg_catalog` or `information_schema`.
    fn relation(&self, state: &Arc<State>, schema: &str, name: &str)
    -> Option<Arc<SystemRelation>>;

    /// Oid of a system relation.
    fn oid(&self, schema: &str, name: &str) -> Option<Oid>;

    /// Schema and name of the system relation with this oid.
    fn name(&self, oid: Oid) -> Option<(&'static str, &'static str)>;
}

/// A state, and where a session looks for names.
#[derive(Clone)]
pub struct CatalogSnapshot {
    pub state: Arc<State>,
    /// Schemas in the order of the search path, without those that do not exist; `pg_catalog` is
    /// in it only where the user put it.
    /// The session's schema of temporary relations is first, if there is one.
    pub search_path: Vec<String>,
    pub user: Oid,
    pub system: Arc<dyn SystemRelations>,
    /// Labels of enum types that the session's transaction has added.
    pub new_labels: Arc<BTreeSet<(Oid, String)>>,
}

impl CatalogSnapshot {
    /// The search path with `pg_catalog` where it is looked up.
    fn path(&self) -> impl Iterator<Item = &str> {
        let implied = !self.search_path.iter().any(|schema| schema == "pg_catalog");
        implied
            .then_some("pg_catalog")
            .into_iter()
            .chain(self.search_path.iter().map(String::as_str))
    }

    fn relation_in(&self, schema: &str, name: &str) -> Option<Relation> {
        if let Some(system) = self.system.relation(&self.state, schema, name) {
            return Some(Relation::System(system));
        }
        match self.state.schema_by_name(schema)?.relation(name)? {
            RelationRef::Table(id) => Some(Relation::Table(self.state.table(id)?.info().clone())),
            RelationRef::View(oid) => self.view(oid).map(Relation::View),
            RelationRef::Sequence(id) => Some(Relation::Sequence(id)),
            RelationRef::Index(_) => None,
        }
    }

    fn shard_named(&self, schema: &str, name: &str) -> Option<(&Table, &Shard)> {
        let (table_name, shard) = name.rsplit_once('_')?;
        let (table, shard) = self.state.shard(ShardId(shard.parse().ok()?))?;
        let shape = &table.info().shape;
        (shape.name == table_name && shape.schema_name == schema).then_some((table, shard))
    }

    /// Whether a name that no relation has is a shard's.
    pub fn is_shard(&self, schema: Option<&str>, name: &str) -> bool {
        match schema {
            Some(schema) => self.shard_named(schema, name).is_some(),
            None => self.path().any(|schema| self.shard_named(schema, name).is_some()),
        }
    }

    /// A shard under its name, as a view of its table.
    fn shard(&self, schema: &str, name: &str) -> Option<Relation> {
        let (table, shard) = self.shard_named(schema, name)?;
        let shape = &table.info().shape;
        let table_name = &shape.name;
        let from = format!("{}.{}", quote_identifier(schema), quote_identifier(table_name));
        let definition = match table.distribution_column() {
            Some(column) => {
                let (range, column) =
                    (self.state.group(shard.group)?.range, quote_identifier(&column.name));
                let (low, high) = (range.low(), range.high());
                format!(
                    "SELECT * FROM {from} WHERE worker_hash({column}) >= {low} \
                     AND worker_hash({column}) <= {high}"
                )
            }
            None => format!("SELECT * FROM {from}"),
        };
        Some(Relation::View(Arc::new(ViewInfo {
            oid: Oid(table.id().0),
            schema_name: schema.to_owned(),
            name: name.to_owned(),
            columns: shape.columns.iter().map(|column| column.name.clone()).collect(),
            definition,
            search_path: Vec::new(),
        })))
    }

    fn view(&self, oid: Oid) -> Option<Arc<ViewInfo>> {
        let view = self.state.view(oid)?;
        Some(Arc::new(ViewInfo {
            oid,
            schema_name: self.state.schema(view.schema)?.name.clone(),
            name: view.name.clone(),
            columns: view.columns.iter().map(|(name, _)| name.clone()).collect(),
            definition: view.definition.clone(),
            search_path: view.search_path.clone(),
        }))
    }

    /// Who must be allowed what a query does: the owner of the view that it is, or the user.
    fn reader(&self, view: Option<Oid>) -> Oid {
        let view = view.and_then(|view| self.state.view(view));
        view.map_or(self.user, |view| view.owner)
    }

    /// Oid of the relation that a name stands for, system relations included.
    pub fn relation_oid(&self, schema: Option<&str>, name: &str) -> Option<Oid> {
        let find = |schema: &str| {
            self.system
                .oid(schema, name)
                .or_else(|| self.state.schema_by_name(schema)?.relation(name).map(RelationRef::oid))
        };
        match schema {
            Some(schema) => find(schema),
            None => self.path().find_map(find),
        }
    }

    /// Schema and name of a relation, system relations included.
    pub fn relation_name(&self, oid: Oid) -> Option<(String, String)> {
        if let Some((schema, name)) = self.system.name(oid) {
            return Some((schema.into(), name.into()));
        }
        let (schema, name) = self.state.relation_name(self.state.relation(oid)?)?;
        Some((schema.name.clone(), name.to_owned()))
    }

    /// Whether the bare name finds this relation.
    pub fn is_visible(&self, oid: Oid) -> bool {
        self.relation_name(oid).is_some_and(|(_, name)| self.relation_oid(None, &name) == Some(oid))
    }

    /// A type's name as `format_type` prints it.
    pub fn type_name(&self, ty: &PgType) -> String {
        match ty {
            PgType::Array(element) => format!("{}[]", self.type_name(element)),
            PgType::Enum(oid) => self.enum_name(*oid).unwrap_or_else(|| "???".into()),
            other => other.to_string(),
        }
    }

    fn enum_name(&self, oid: Oid) -> Option<String> {
        let ty = self.state.enum_type(oid)?;
        let schema = &self.state.schema(ty.schema)?.name;
        let found =
            self.path().find_map(|schema| self.state.schema_by_name(schema)?.user_type(&ty.name));
        Some(if found == Some(oid) {
            quote_identifier(&ty.name)
        } else {
            format!("{}.{}", quote_identifier(schema), quote_identifier(&ty.name))
        })
    }
}

impl CatalogView for CatalogSnapshot {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Relation> {
        match schema {
            Some("pg_temp") => self.relation_in(temporary_of(&self.search_path)?, name),
            Some(schema) => self.relation_in(schema, name).or_else(|| self.shard(schema, name)),
            None => self
                .path()
                .find_map(|schema| self.relation_in(schema, name))
                .or_else(|| self.path().find_map(|schema| self.shard(schema, name))),
        }
    }

    fn table(&self, id: TableId) -> Option<Arc<TableInfo>> {
        Some(self.state.table(id)?.info().clone())
    }

    fn is_materialized(&self, table: TableId) -> bool {
        self.state.is_populated(table).is_some()
    }

    fn sequence(&self, schema: Option<&str>, name: &str) -> Option<SequenceId> {
        match self.state.relation_by_name(&self.search_path, schema, name)? {
            RelationRef::Sequence(id) => Some(id),
            RelationRef::Table(_) | RelationRef::Index(_) | RelationRef::View(_) => None,
        }
    }

    fn schema_exists(&self, name: &str) -> bool {
        self.state.schema_by_name(name).is_some()
    }

    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType> {
        let ty = self.state.enum_by_name(&self.search_path, schema, name)?;
        Some(PgType::Enum(ty.oid))
    }

    fn allowed(&self, relation: Oid, access: Access, view: Option<Oid>) -> Allowed {
        let (state, role) = (&self.state, self.reader(view));
        let object = ObjectAddress::whole(ObjectClass::Relation, relation);
        if privileges::may(state, role, object, access.letter()) {
            return Allowed::All;
        }
        Allowed::Columns(privileges::columns_allowed(state, role, relation, access.letter()))
    }

    fn permission_denied(&self, relation: Oid) -> SqlError {
        let state = &self.state;
        let relation = state.relation(relation);
        let name = relation.and_then(|relation| state.relation_name(relation));
        let kind = relation.map_or(RelationKind::Table, |relation| state.kind(relation));
        let name = name.map_or("", |(_, name)| name);
        SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for {kind} {name}"),
        )
    }

    fn check_system(&self, name: &str, view: Option<Oid>) -> SqlResult<()> {
        // With the roles' passwords.
        let kind = match name {
            "pg_authid" => "table",
            "pg_shadow" => "view",
            _ => return Ok(()),
        };
        if privileges::is_superuser(&self.state, self.reader(view)) {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for {kind} {name}"),
        ))
    }

    fn check_schema(&self, schema: &str) -> SqlResult<()> {
        let Some(known) = self.state.schema_by_name(schema) else { return Ok(()) };
        if privileges::may(&self.state, self.user, known.address(), 'U') {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for schema {schema}"),
        ))
    }

    fn columns_of_call(&self, call: &BoundCall) -> SqlResult<Vec<OutputColumn>> {
        crate::session::columns_of_call(call)
    }

    fn enum_labels(&self, oid: Oid) -> Option<Arc<Vec<String>>> {
        Some(Arc::new(self.state.enum_type(oid)?.labels.clone()))
    }

    fn is_new_label(&self, oid: Oid, label: &str) -> bool {
        !self.new_labels.is_empty() && self.new_labels.contains(&(oid, label.to_owned()))
    }

    fn oid_name(&self, ty: &PgType, oid: u32) -> Option<String> {
        match ty {
            _ if oid == 0 => Some("-".into()),
            PgType::Regclass => {
                let (schema, name) = self.relation_name(Oid(oid))?;
                Some(if self.is_visible(Oid(oid)) {
                    quote_identifier(&name)
                } else {
                    format!("{}.{}", quote_identifier(&schema), quote_identifier(&name))
                })
            }
            PgType::Regtype => match PgType::from_oid(oid) {
                Some(ty) => Some(ty.to_string()),
                None if PseudoType::by_oid(oid).is_some() => {
                    PseudoType::by_oid(oid).map(|ty| ty.sql_name.to_owned())
                }
                None if self.state.enum_type(Oid(oid)).is_some() => self.enum_name(Oid(oid)),
                None => match crate::system_relations::relation_of(Oid(oid)) {
                    Some(relation) => self.oid_name(&PgType::Regclass, relation.0),
                    None => Some(format!("{}[]", self.enum_name(Oid(oid.checked_sub(1)?))?)),
                },
            },
            PgType::Regproc => function_name(oid),
            PgType::Regprocedure => function_with_arguments(oid),
            PgType::Regnamespace => Some(quote_identifier(&self.state.schema(Oid(oid))?.name)),
            PgType::Regrole => Some(quote_identifier(&self.state.role(Oid(oid))?.name)),
            _ => None,
        }
    }

    fn procedure_oid(&self, ty: &PgType, text: &str) -> SqlResult<Option<u32>> {
        match ty {
            PgType::Regproc => function_named(text),
            _ => function_by_signature(text, |name| {
                let (schema, bare) = split_name(name)?;
                self.user_type(schema.as_deref(), &bare)
            }),
        }
    }

    fn oid_of(&self, ty: &PgType, name: &str) -> Option<u32> {
        let (schema, bare) = split_name(name)?;
        match ty {
            PgType::Regclass => self.relation_oid(schema.as_deref(), &bare).map(|oid| oid.0),
            PgType::Regtype => {
                let built_in = match schema.as_deref() {
                    None | Some("pg_catalog") => PgType::parse_name(name.trim()),
                    Some(_) => None,
                };
                built_in
                    .or_else(|| self.user_type(schema.as_deref(), &bare))
                    .map(|ty| ty.without_modifier().oid())
                    .or_else(|| Some(PseudoType::by_name(&bare)?.oid))
            }
            PgType::Regnamespace if schema.is_none() => {
                self.state.schema_by_name(&bare).map(|schema| schema.oid.0)
            }
            PgType::Regrole if schema.is_none() => {
                self.state.role_by_name(&bare).map(|role| role.oid.0)
            }
            _ => None,
        }
    }
}

/// The session's schema of temporary relations, which `pg_temp` stands for.
pub(super) fn temporary_of(search_path: &[String]) -> Option<&String> {
    search_path.iter().find(|schema| schema.starts_with("pg_temp_"))
}

/// `schema.table_102008`, without the schema for `public`, each quoted where needed.
pub fn shard_name(table: &Table, shard: &Shard) -> String {
    let shape = &table.info().shape;
    let name = quote_identifier(&format!("{}_{}", shape.name, shard.id.0));
    match shape.schema_name.as_str() {
        "public" => name,
        schema => format!("{}.{name}", quote_identifier(schema)),
    }
}

/// Splits `schema.name` as SQL reads it: quoted parts as they are, others in lower case. `None`
/// for more than two parts or a malformed one.
pub fn split_name(text: &str) -> Option<(Option<String>, String)> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].trim().to_lowercase(), &rest[end..])
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.trim_start().strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None if after.trim().is_empty() => break,
            None => return None,
        }
    }
    match parts.len() {
        1 => Some((None, parts.remove(0))),
        2 => {
            let name = parts.remove(1);
            Some((Some(parts.remove(0)), name))
        }
        _ => None,
    }
}

/// The text up to the closing quote, doubled quotes undone, and what follows.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            part.push(c);
        } else if text[at + 1..].starts_with('"') {
            part.push('"');
            chars.next();
        } else {
            return Some((part, &text[at + 1..]));
        }
    }
    None
}
