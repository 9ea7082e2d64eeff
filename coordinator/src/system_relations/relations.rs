//! Relations and where they are listed: pg_class, pg_index, pg_namespace, pg_database, ...

use satsuma_common::{ColumnId, Oid, PgType, SqlResult};
use satsuma_sql::declared::description;

use super::layout::Layouts;
use super::row_types::{has_row_type, row_type};
use super::rows::{Rows, row};
use super::surroundings::size_of_relation;
use super::{Fill, Source};
use crate::catalog::{
    DATABASE_OID, Index, IndexValue, ObjectAddress, ObjectClass, PG_CATALOG_OID, PUBLIC_SCHEMA_OID,
    RelationRef, SUPERUSER_OID, State, Table,
};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_class" => class,
        "pg_index" => index,
        "pg_available_extensions" => available_extensions,
        "pg_extension" => extensions,
        "pg_namespace" => namespace,
        "pg_sequence" => sequence,
        "pg_database" => database,
        "pg_tablespace" => tablespace,
        "pg_am" => access_method,
        "pg_description" => descriptions,
        "pg_shdescription" => shared_description,
        "pg_depend" => depend,
        _ => return None,
    })
}

/// Heap, and the index methods of PostgreSQL: oid, name, kind, and the handler with its oid.
pub(super) const ACCESS_METHODS: &[(u32, &str, char, u32, &str)] = &[
    (2, "heap", 't', 3, "heap_tableam_handler"),
    (403, "btree", 'i', 330, "bthandler"),
    (405, "hash", 'i', 331, "hashhandler"),
    (783, "gist", 'i', 332, "gisthandler"),
    (2742, "gin", 'i', 333, "ginhandler"),
    (3580, "brin", 'i', 335, "brinhandler"),
];

fn access_method_oid(name: &str) -> Oid {
    Oid(ACCESS_METHODS.iter().find(|(_, method, ..)| *method == name).map_or(0, |(oid, ..)| *oid))
}

/// What differs between kinds of relations in `pg_class`.
struct Class<'a> {
    oid: Oid,
    name: &'a str,
    schema: Oid,
    owner: Oid,
    method: Oid,
    kind: char,
    tuples: f32,
    pages: i32,
    has_index: bool,
    columns: usize,
    checks: usize,
    populated: bool,
    has_rules: bool,
    has_triggers: bool,
    options: Option<Vec<String>>,
    grants: Option<Vec<String>>,
}

impl<'a> Class<'a> {
    fn new(oid: Oid, name: &'a str, schema: Oid, owner: Oid, kind: char, columns: usize) -> Self {
        Self {
            oid,
            name,
            schema,
            owner,
            method: Oid(0),
            kind,
            tuples: 0.0,
            pages: 0,
            has_index: false,
            columns,
            checks: 0,
            populated: true,
            has_rules: false,
            has_triggers: false,
            options: None,
            grants: None,
        }
    }

    fn push(self, state: &State, rows: &mut Rows<'_>) -> SqlResult<()> {
        let stored = self.kind != 'v';
        let schema = state.schema(self.schema);
        let is_temporary =
            schema.is_some_and(|schema| crate::ddl::temporary::is_temporary(&schema.name));
        row!(
            rows,
            oid = self.oid,
            relname = self.name,
            relnamespace = self.schema,
            reltype = if has_row_type(self.kind) { row_type(self.oid) } else { Oid(0) },
            reloftype = Oid(0),
            relowner = self.owner,
            relam = self.method,
            relfilenode = if stored { self.oid } else { Oid(0) },
            reltablespace = Oid(0),
            relpages = self.pages,
            reltuples = self.tuples,
            relallvisible = 0,
            reltoastrelid = Oid(0),
            relhasindex = self.has_index,
            relisshared = false,
            relpersistence = if is_temporary { 't' } else { 'p' },
            relkind = self.kind,
            relnatts = self.columns as i16,
            relchecks = self.checks as i16,
            relhasrules = self.has_rules,
            relhastriggers = self.has_triggers,
            relhassubclass = false,
            relrowsecurity = false,
            relforcerowsecurity = false,
            relispopulated = self.populated,
            relreplident = if matches!(self.kind, 'r' | 'm') { 'd' } else { 'n' },
            relispartition = false,
            relrewrite = Oid(0),
            relfrozenxid = Oid(0),
            relminmxid = Oid(0),
            relacl = self.grants,
            reloptions = self.options,
        )
    }
}

fn class(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    for layout in Layouts::all().iter() {
        let schema = state.schema_by_name(layout.schema).map_or(PG_CATALOG_OID, |s| s.oid);
        let kind = if layout.is_view { 'v' } else { 'r' };
        let columns = layout.columns.len();
        let class = Class::new(layout.oid, layout.name, schema, SUPERUSER_OID, kind, columns);
        let method = if layout.is_view { Oid(0) } else { Oid(2) };
        Class { method, has_rules: layout.is_view, ..class }.push(state, rows)?;
    }
    let sizes = source.around.estimated_sizes();
    for table in state.tables() {
        let size = size_of_relation(state, table, &sizes);
        let populated = state.is_populated(table.id());
        let shape = &table.shape;
        let options: Vec<_> =
            table.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Class {
            method: Oid(2),
            tuples: if size == Default::default() { -1.0 } else { size.rows as f32 },
            pages: size.bytes.div_ceil(8192).min(i32::MAX as u64) as i32,
            has_index: state.indexes_of(table.id()).next().is_some(),
            populated: populated.unwrap_or(true),
            has_rules: populated.is_some(),
            checks: shape.checks.len(),
            has_triggers: !shape.foreign_keys.is_empty() || !shape.referenced_by.is_empty(),
            options: (!options.is_empty()).then_some(options),
            grants: super::roles::access_list(state, ObjectClass::Relation, Oid(table.id().0)),
            ..Class::new(
                Oid(table.id().0),
                &shape.name,
                table.schema,
                table.owner,
                if populated.is_some() { 'm' } else { 'r' },
                usize::from(table.next_column.0.saturating_sub(1)),
            )
        }
        .push(state, rows)?;
    }
    for index in state.indexes() {
        let owner = state.table(index.table).map_or(SUPERUSER_OID, |table| table.owner);
        let columns = index.keys.len() + index.include.len();
        let class = Class::new(index.oid, &index.name, index.schema, owner, 'i', columns);
        Class { method: access_method_oid(&index.method), ..class }.push(state, rows)?;
    }
    for view in state.views() {
        let columns = view.columns.len();
        let class = Class::new(view.oid, &view.name, view.schema, view.owner, 'v', columns);
        let grants = super::roles::access_list(state, ObjectClass::Relation, view.oid);
        Class { has_rules: true, grants, ..class }.push(state, rows)?;
    }
    for sequence in state.sequences() {
        let oid = Oid(sequence.id.0);
        let class = Class::new(oid, &sequence.name, sequence.schema, sequence.owner, 'S', 3);
        let grants = super::roles::access_list(state, ObjectClass::Relation, oid);
        Class { tuples: 1.0, pages: 1, grants, ..class }.push(state, rows)?;
    }
    Ok(())
}

/// `indoption`: bit 0 descending, bit 1 nulls first.
fn index_options(index: &Index) -> Vec<i16> {
    let option = |key: &crate::catalog::IndexKey| {
        i16::from(key.descending) | (i16::from(key.nulls_first) << 1)
    };
    index.keys.iter().map(option).collect()
}

/// Attribute numbers of an index; 0 stands for an expression.
pub(super) fn index_columns(index: &Index) -> Vec<i16> {
    let keys = index.keys.iter().map(|key| match &key.value {
        IndexValue::Column(column) => column.0 as i16,
        IndexValue::Expression(_) => 0,
    });
    keys.chain(index.include.iter().map(|column| column.0 as i16)).collect()
}

/// Type of an index key, where it is a column.
pub(super) fn index_key_type(table: &Table, value: &IndexValue) -> Option<PgType> {
    match value {
        IndexValue::Column(column) => table.shape.column(*column).map(|c| c.ty.clone()),
        IndexValue::Expression(_) => None,
    }
}

fn index(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for index in source.state.indexes() {
        let Some(table) = source.state.table(index.table) else { continue };
        let types = index.keys.iter().map(|key| index_key_type(table, &key.value));
        let collations: Vec<Oid> = types
            .clone()
            .map(|ty| ty.as_ref().map_or(Oid(0), super::types::collation_of))
            .collect();
        let classes: Vec<Oid> = types
            .map(|ty| ty.map_or(Oid(0), |ty| super::types::operator_class(&index.method, &ty)))
            .collect();
        let expressions: Vec<&str> = index
            .keys
            .iter()
            .filter_map(|key| match &key.value {
                IndexValue::Expression(text) => Some(text.as_str()),
                IndexValue::Column(_) => None,
            })
            .collect();
        row!(
            rows,
            indexrelid = index.oid,
            indrelid = Oid(index.table.0),
            indnatts = (index.keys.len() + index.include.len()) as i16,
            indnkeyatts = index.keys.len() as i16,
            indisunique = index.unique,
            indnullsnotdistinct = index.nulls_not_distinct,
            indisprimary = index.primary,
            indisexclusion = false,
            indimmediate = true,
            indisclustered = false,
            indisvalid = true,
            indcheckxmin = false,
            indisready = true,
            indislive = true,
            indisreplident = false,
            indkey = index_columns(index),
            indcollation = collations,
            indclass = classes,
            indoption = index_options(index),
            indexprs = (!expressions.is_empty()).then(|| expressions.join(", ")),
            indpred = index.predicate.as_ref(),
        )?;
    }
    Ok(())
}

fn extensions(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for extension in crate::ddl::installed_extensions(source.state) {
        row!(
            rows,
            oid = extension.oid,
            extname = extension.name,
            extowner = SUPERUSER_OID,
            extnamespace = if extension.fixed { PG_CATALOG_OID } else { PUBLIC_SCHEMA_OID },
            extrelocatable = false,
            extversion = extension.version,
        )?;
    }
    Ok(())
}

fn available_extensions(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for extension in &crate::ddl::EXTENSIONS {
        let mut installed = crate::ddl::installed_extensions(source.state);
        let is_installed = installed.any(|other| other.name == extension.name);
        row!(
            rows,
            name = extension.name,
            default_version = extension.version,
            installed_version = is_installed.then_some(extension.version),
            comment = extension.comment,
        )?;
    }
    Ok(())
}

fn namespace(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for schema in source.state.schemas() {
        row!(
            rows,
            oid = schema.oid,
            nspname = &schema.name,
            nspowner = schema.owner,
            nspacl = super::roles::schema_access_list(source.state, schema),
        )?;
    }
    Ok(())
}

fn sequence(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for sequence in source.state.sequences() {
        row!(
            rows,
            seqrelid = Oid(sequence.id.0),
            seqtypid = Oid(sequence.ty.oid()),
            seqstart = sequence.start,
            seqincrement = sequence.increment,
            seqmax = sequence.max,
            seqmin = sequence.min,
            seqcache = sequence.cache,
            seqcycle = sequence.cycle,
        )?;
    }
    Ok(())
}

fn database(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    row!(
        rows,
        oid = DATABASE_OID,
        datname = &source.state.cluster().database,
        datdba = SUPERUSER_OID,
        encoding = 6,
        datlocprovider = 'c',
        datistemplate = false,
        datallowconn = true,
        datconnlimit = -1,
        datfrozenxid = Oid(0),
        datminmxid = Oid(0),
        dattablespace = Oid(1663),
        datcollate = "C",
        datctype = "C",
        datacl = super::roles::access_list(source.state, ObjectClass::Database, DATABASE_OID),
    )
}

fn tablespace(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (oid, name) in [(1663, "pg_default"), (1664, "pg_global")] {
        row!(rows, oid = Oid(oid), spcname = name, spcowner = SUPERUSER_OID)?;
    }
    Ok(())
}

fn access_method(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (oid, name, kind, handler, _) in ACCESS_METHODS {
        row!(rows, oid = Oid(*oid), amname = *name, amhandler = Oid(*handler), amtype = *kind)?;
    }
    Ok(())
}

fn is_shared(object: &ObjectAddress) -> bool {
    matches!(object.class, ObjectClass::Role | ObjectClass::Database)
}

fn descriptions(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    for (object, text) in state.comments().filter(|(object, _)| !is_shared(object)) {
        row!(
            rows,
            objoid = object.oid,
            classoid = object.class.catalog_oid(),
            objsubid = object.part,
            description = text,
        )?;
    }
    for extension in crate::ddl::installed_extensions(state) {
        let object = ObjectAddress::whole(ObjectClass::Extension, extension.oid);
        if state.comment(object).is_none() {
            row!(
                rows,
                objoid = extension.oid,
                classoid = object.class.catalog_oid(),
                objsubid = 0,
                description = extension.comment,
            )?;
        }
    }
    own_descriptions(rows)
}

/// What PostgreSQL says of its own functions, operators and types.
fn own_descriptions(rows: &mut Rows<'_>) -> SqlResult<()> {
    let classes = [
        (FUNCTION_CLASS, description::of_functions()),
        (OPERATOR_CLASS, description::of_operators()),
        (ObjectClass::Type.catalog_oid(), description::of_types()),
    ];
    for (class, described) in classes {
        for (oid, text) in described {
            row!(rows, objoid = Oid(*oid), classoid = class, objsubid = 0, description = *text,)?;
        }
    }
    Ok(())
}

/// pg_proc and pg_operator.
const FUNCTION_CLASS: Oid = Oid(1255);
const OPERATOR_CLASS: Oid = Oid(2617);

fn shared_description(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (object, text) in source.state.comments().filter(|(object, _)| is_shared(object)) {
        row!(rows, objoid = object.oid, classoid = object.class.catalog_oid(), description = text,)?;
    }
    Ok(())
}

/// pg_attrdef.
const DEFAULTS: Oid = Oid(2604);

/// What drivers and pg_dump look for in pg_depend: sequences and the columns they belong to, views
/// and what they read, indexes and their columns, defaults and the sequences they draw from.
fn depend(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let class = ObjectClass::Relation.catalog_oid();
    let mut push = |object: Oid, class_of: Oid, to: Oid, part: i32, kind: char| {
        row!(
            rows,
            classid = class_of,
            objid = object,
            objsubid = 0,
            refclassid = class,
            refobjid = to,
            refobjsubid = part,
            deptype = kind,
        )
    };
    for sequence in source.state.sequences() {
        if let Some((table, column)) = sequence.owned_by {
            let kind = if is_identity(source.state, table, column) { 'i' } else { 'a' };
            push(Oid(sequence.id.0), class, Oid(table.0), i32::from(column.0), kind)?;
        }
    }
    for view in source.state.stored_queries() {
        for oid in view.depends_on.iter().filter(|oid| source.state.relation(**oid).is_some()) {
            push(view.oid, class, *oid, 0, 'n')?;
        }
    }
    for index in source.state.indexes().filter(|index| !index.constraint) {
        for column in index_columns(index) {
            push(index.oid, class, Oid(index.table.0), i32::from(column), 'a')?;
        }
    }
    for table in source.state.tables() {
        for (column, text) in
            super::columns::shown_defaults(super::Names::qualified(source.state), table)
        {
            let relation = Oid(table.id().0);
            let default = super::columns::default_oid(relation, column.id.0);
            push(default, DEFAULTS, relation, i32::from(column.id.0), 'a')?;
            for named in super::spelling::named_relations(source.state, &text) {
                push(default, DEFAULTS, named.oid(), 0, 'n')?;
            }
        }
    }
    Ok(())
}

fn is_identity(state: &State, table: satsuma_common::TableId, column: ColumnId) -> bool {
    state.table(table).is_some_and(|table| {
        let position = table.shape.position(column);
        position.is_some_and(|position| table.identity.get(position).is_some_and(Option::is_some))
    })
}

/// Every relation of users that the SQL standard knows, with its schema and name: materialized
/// views it does not.
pub(super) fn user_relations(state: &State) -> impl Iterator<Item = (&str, &str, RelationRef)> {
    let known =
        |(_, _, relation): &(&str, &str, RelationRef)| !state.is_materialized(relation.oid());
    state
        .schemas()
        .flat_map(|schema| {
            let relations = schema.relations();
            relations.map(move |(name, relation)| (schema.name.as_str(), name, relation))
        })
        .filter(known)
}
