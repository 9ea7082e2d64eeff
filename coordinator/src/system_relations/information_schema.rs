//! The SQL standard's view of the catalog.

use satsuma_common::table::Timing;
use satsuma_common::{ColumnId, NumericMod, PgType, SqlResult};

use super::definitions::{Constraint, constraints, shown_default, view_definition};
use super::layout::Layouts;
use super::printed::Printer;
use super::relations::user_relations;
use super::rows::{Rows, row};
use super::{Fill, Source};
use crate::catalog::{
    Grant, ObjectAddress, PUBLIC, RelationRef, Sequence, State, Table, access_list, is_superuser,
    owner, roles_of,
};
use crate::ddl::text_mentions;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "information_schema_catalog_name" => catalog_name,
        "schemata" => schemata,
        "tables" => tables,
        "columns" => columns,
        "views" => views,
        "sequences" => sequences,
        "table_constraints" => table_constraints,
        "key_column_usage" => key_column_usage,
        "constraint_column_usage" => constraint_column_usage,
        "role_table_grants" => role_table_grants,
        "table_privileges" => table_privileges,
        "referential_constraints" => referential_constraints,
        "check_constraints" => check_constraints,
        _ => return super::information_usage::fill(name),
    })
}

pub(super) fn database<'a>(source: &'a Source<'_>) -> &'a String {
    &source.state.cluster().database
}

pub(super) fn yes_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

fn catalog_name(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    row!(rows, catalog_name = database(source))
}

fn schemata(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for schema in source.state.schemas() {
        row!(
            rows,
            catalog_name = database(source),
            schema_name = &schema.name,
            schema_owner = source.state.role(schema.owner).map(|role| &role.name),
        )?;
    }
    Ok(())
}

fn tables(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let mut push = |schema: &str, name: &str, kind: &str, insertable: bool| {
        row!(
            rows,
            table_catalog = database(source),
            table_schema = schema,
            table_name = name,
            table_type = kind,
            is_insertable_into = yes_no(insertable),
            is_typed = "NO",
        )
    };
    for layout in Layouts::all().iter() {
        let kind = if layout.is_view { "VIEW" } else { "BASE TABLE" };
        push(layout.schema, layout.name, kind, false)?;
    }
    for (schema, name, relation) in user_relations(source.state) {
        match relation {
            RelationRef::Table(_) => push(schema, name, "BASE TABLE", true)?,
            RelationRef::View(_) => push(schema, name, "VIEW", false)?,
            RelationRef::Index(_) | RelationRef::Sequence(_) => {}
        }
    }
    Ok(())
}

/// Length, precision and scale as information_schema.columns tells them.
#[derive(Default)]
struct Limits {
    characters: Option<i32>,
    octets: Option<i32>,
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
    datetime: Option<i32>,
}

fn limits(ty: &PgType) -> Limits {
    let integer = |bits| Limits {
        precision: Some(bits),
        radix: Some(2),
        scale: Some(0),
        ..Limits::default()
    };
    let float = |bits| Limits { precision: Some(bits), radix: Some(2), ..Limits::default() };
    match ty {
        PgType::Int2 => integer(16),
        PgType::Int4 => integer(32),
        PgType::Int8 => integer(64),
        PgType::Float4 => float(24),
        PgType::Float8 => float(53),
        PgType::Numeric(Some(NumericMod { precision, scale })) => Limits {
            precision: Some(i32::from(*precision)),
            radix: Some(10),
            scale: Some(i32::from(*scale)),
            ..Limits::default()
        },
        PgType::Numeric(None) => Limits { radix: Some(10), ..Limits::default() },
        PgType::Varchar(Some(length)) | PgType::Bpchar(Some(length)) => {
            let characters = *length as i32;
            let octets = characters.saturating_mul(4);
            Limits { characters: Some(characters), octets: Some(octets), ..Limits::default() }
        }
        PgType::Text | PgType::Varchar(None) | PgType::Bpchar(None) => {
            Limits { octets: Some(1 << 30), ..Limits::default() }
        }
        PgType::Date => Limits { datetime: Some(0), ..Limits::default() },
        PgType::Time | PgType::Timestamp | PgType::Timestamptz | PgType::Interval => {
            Limits { datetime: Some(6), ..Limits::default() }
        }
        PgType::Precise(_, digits) => {
            Limits { datetime: Some(i32::from(*digits)), ..Limits::default() }
        }
        _ => Limits::default(),
    }
}

/// One column of any relation.
struct Listed<'a> {
    schema: &'a str,
    table: &'a str,
    position: i32,
    name: &'a str,
    ty: &'a PgType,
    not_null: bool,
    default: Option<String>,
    generated: Option<String>,
    identity: Option<bool>,
    updatable: bool,
}

impl Listed<'_> {
    fn push(self, source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
        let limits = limits(self.ty);
        let (data_type, udt_schema, udt_name) = udt(source, self.ty);
        row!(
            rows,
            table_catalog = database(source),
            table_schema = self.schema,
            table_name = self.table,
            column_name = self.name,
            ordinal_position = self.position,
            column_default = self.default,
            is_nullable = yes_no(!self.not_null),
            data_type = data_type,
            character_maximum_length = limits.characters,
            character_octet_length = limits.octets,
            numeric_precision = limits.precision,
            numeric_precision_radix = limits.radix,
            numeric_scale = limits.scale,
            datetime_precision = limits.datetime,
            udt_catalog = database(source),
            udt_schema = udt_schema,
            udt_name = udt_name,
            dtd_identifier = self.position.to_string(),
            is_self_referencing = "NO",
            is_identity = yes_no(self.identity.is_some()),
            identity_generation =
                self.identity.map(|always| if always { "ALWAYS" } else { "BY DEFAULT" }),
            identity_cycle = "NO",
            is_generated = if self.generated.is_some() { "ALWAYS" } else { "NEVER" },
            generation_expression = self.generated.as_ref(),
            is_updatable = yes_no(self.updatable),
        )
    }
}

/// A type as `data_type` shows it, and its schema and name.
pub(super) fn udt<'a>(source: &Source<'a>, ty: &PgType) -> (String, &'a str, String) {
    match ty {
        PgType::Array(_) => ("ARRAY".to_owned(), "pg_catalog", ty.name()),
        PgType::Enum(oid) => {
            let ty = source.state.enum_type(*oid);
            let schema = ty.and_then(|ty| source.state.schema(ty.schema));
            (
                "USER-DEFINED".to_owned(),
                schema.map_or("public", |schema| schema.name.as_str()),
                ty.map_or_else(String::new, |ty| ty.name.clone()),
            )
        }
        ty => (ty.without_modifier().to_string(), "pg_catalog", ty.name()),
    }
}

fn columns(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for layout in Layouts::all().iter() {
        for (position, column) in (1..).zip(&layout.columns) {
            Listed {
                schema: layout.schema,
                table: layout.name,
                position,
                name: column.name,
                ty: &column.ty,
                not_null: column.not_null,
                default: None,
                generated: None,
                identity: None,
                updatable: false,
            }
            .push(source, rows)?;
        }
    }
    for (schema, name, relation) in user_relations(source.state) {
        match relation {
            RelationRef::Table(id) => {
                let Some(table) = source.state.table(id) else { continue };
                table_columns(source, rows, schema, name, table)?;
            }
            RelationRef::View(oid) => {
                let Some(view) = source.state.view(oid) else { continue };
                for (position, (column, ty)) in (1..).zip(&view.columns) {
                    Listed {
                        schema,
                        table: name,
                        position,
                        name: column,
                        ty,
                        not_null: false,
                        default: None,
                        generated: None,
                        identity: None,
                        updatable: false,
                    }
                    .push(source, rows)?;
                }
            }
            RelationRef::Index(_) | RelationRef::Sequence(_) => {}
        }
    }
    Ok(())
}

fn table_columns(
    source: &Source<'_>,
    rows: &mut Rows<'_>,
    schema: &str,
    name: &str,
    table: &Table,
) -> SqlResult<()> {
    let names = source.names();
    for (position, column) in table.shape.columns.iter().enumerate() {
        let generated = table.generated.get(position).and_then(Option::as_ref);
        let printer = Printer::of(names, table, false);
        let generated = generated.map(|text| printer.expression(text, Some(&column.ty)));
        Listed {
            schema,
            table: name,
            position: i32::from(column.id.0),
            name: &column.name,
            ty: &column.ty,
            not_null: table.shape.is_required(column),
            default: table
                .defaults
                .get(position)
                .and_then(|default| shown_default(names, table, column, default.as_ref())),
            generated,
            identity: table.identity.get(position).copied().flatten(),
            updatable: true,
        }
        .push(source, rows)?;
    }
    Ok(())
}

fn views(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for view in source.state.views() {
        row!(
            rows,
            table_catalog = database(source),
            table_schema = source.state.schema(view.schema).map(|schema| &schema.name),
            table_name = &view.name,
            view_definition = view_definition(source.names(), view, false),
            check_option = "NONE",
            is_updatable = "NO",
            is_insertable_into = "NO",
            is_trigger_updatable = "NO",
            is_trigger_deletable = "NO",
            is_trigger_insertable_into = "NO",
        )?;
    }
    Ok(())
}

fn sequences(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    // Those of identity columns are parts of their tables.
    let is_own = |sequence: &&Sequence| !is_identity(source.state, sequence);
    for sequence in source.state.sequences().filter(is_own) {
        row!(
            rows,
            sequence_catalog = database(source),
            sequence_schema = source.state.schema(sequence.schema).map(|schema| &schema.name),
            sequence_name = &sequence.name,
            data_type = sequence.ty.to_string(),
            numeric_precision = limits(&sequence.ty).precision,
            numeric_precision_radix = 2,
            numeric_scale = 0,
            start_value = sequence.start.to_string(),
            minimum_value = sequence.min.to_string(),
            maximum_value = sequence.max.to_string(),
            increment = sequence.increment.to_string(),
            cycle_option = yes_no(sequence.cycle),
        )?;
    }
    Ok(())
}

fn is_identity(state: &State, sequence: &Sequence) -> bool {
    let Some((table, column)) = sequence.owned_by else { return false };
    state.table(table).is_some_and(|table| {
        let at = table.shape.position(column);
        at.is_some_and(|at| table.identity.get(at).copied().flatten().is_some())
    })
}

/// Every constraint of every table.
fn all_constraints(state: &State) -> impl Iterator<Item = (&Table, &str, Constraint<'_>)> {
    state.tables().flat_map(move |table| {
        constraints(state, table).map(move |(_, name, constraint)| (table, name, constraint))
    })
}

fn table_constraints(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let mut push =
        |table: &Table, name: &str, kind: &str, distinct: Option<&str>, timing: Timing| {
            row!(
                rows,
                constraint_catalog = database(source),
                constraint_schema = &table.shape.schema_name,
                constraint_name = name,
                table_catalog = database(source),
                table_schema = &table.shape.schema_name,
                table_name = &table.shape.name,
                constraint_type = kind,
                is_deferrable = yes_no(timing.is_deferrable()),
                initially_deferred = yes_no(timing == Timing::Deferred),
                enforced = "YES",
                nulls_distinct = distinct,
            )
        };
    let never = Timing::NotDeferrable;
    for (table, name, constraint) in all_constraints(source.state) {
        match constraint {
            Constraint::Key(key) if key.primary => push(table, name, "PRIMARY KEY", None, never)?,
            Constraint::Key(key) => {
                let distinct = yes_no(!key.nulls_not_distinct);
                push(table, name, "UNIQUE", Some(distinct), never)?;
            }
            Constraint::Check(_) => push(table, name, "CHECK", None, never)?,
            Constraint::ForeignKey(key) => push(table, name, "FOREIGN KEY", None, key.timing)?,
        }
    }
    // The standard counts NOT NULL among the checks.
    for table in source.state.tables() {
        for column in &table.shape.columns {
            if table.shape.is_required(column) {
                push(table, &not_null_name(table, column.id), "CHECK", None, never)?;
            }
        }
    }
    Ok(())
}

fn not_null_name(table: &Table, column: ColumnId) -> String {
    format!("{}_{}_{}_not_null", table.schema.0, table.id().0, column.0)
}

fn key_column_usage(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (table, name, constraint) in all_constraints(source.state) {
        let (columns, targets): (Vec<ColumnId>, Vec<Option<i32>>) = match constraint {
            Constraint::Check(_) => continue,
            Constraint::Key(key) => {
                let columns: Vec<_> = super::relations::index_columns(key)
                    .into_iter()
                    .take(key.keys.len())
                    .map(|number| ColumnId(number as u16))
                    .collect();
                let none = vec![None; columns.len()];
                (columns, none)
            }
            Constraint::ForeignKey(key) => {
                // Position of each target column within the key it belongs to.
                let target = source.state.table(key.target);
                let primary = target.map_or(&[][..], |t| t.shape.primary_key.as_slice());
                let position = |(index, column): (usize, &ColumnId)| {
                    let found = primary.iter().position(|other| other == column);
                    Some(found.unwrap_or(index) as i32 + 1)
                };
                let targets = key.target_columns.iter().enumerate().map(position).collect();
                (key.columns.clone(), targets)
            }
        };
        for (position, (column, target)) in (1..).zip(columns.iter().zip(targets)) {
            row!(
                rows,
                constraint_catalog = database(source),
                constraint_schema = &table.shape.schema_name,
                constraint_name = name,
                table_catalog = database(source),
                table_schema = &table.shape.schema_name,
                table_name = &table.shape.name,
                column_name = table.shape.column(*column).map(|column| &column.name),
                ordinal_position = position,
                position_in_unique_constraint = target,
            )?;
        }
    }
    Ok(())
}

fn constraint_column_usage(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (table, name, constraint) in all_constraints(source.state) {
        let (used, columns) = match constraint {
            Constraint::Check(check) => {
                let mut named = Vec::new();
                for column in &table.shape.columns {
                    if text_mentions(&check.condition, &column.name)? {
                        named.push(column.id);
                    }
                }
                (table, named)
            }
            Constraint::Key(key) => {
                let columns = super::relations::index_columns(key).into_iter();
                let columns = columns.take(key.keys.len()).map(|number| ColumnId(number as u16));
                (table, columns.collect::<Vec<_>>())
            }
            Constraint::ForeignKey(key) => {
                let Some(target) = source.state.table(key.target) else { continue };
                (target, key.target_columns.clone())
            }
        };
        for column in columns {
            row!(
                rows,
                table_catalog = database(source),
                table_schema = &used.shape.schema_name,
                table_name = &used.shape.name,
                column_name = used.shape.column(column).map(|column| &column.name),
                constraint_catalog = database(source),
                constraint_schema = &table.shape.schema_name,
                constraint_name = name,
            )?;
        }
    }
    Ok(())
}

fn referential_constraints(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    use satsuma_common::table::ForeignKeyAction as Action;
    let rule = |action: Action| match action {
        Action::NoAction => "NO ACTION",
        Action::Restrict => "RESTRICT",
        Action::Cascade => "CASCADE",
        Action::SetNull => "SET NULL",
        Action::SetDefault => "SET DEFAULT",
    };
    for (table, name, constraint) in all_constraints(source.state) {
        let Constraint::ForeignKey(key) = constraint else { continue };
        let target = source.state.table(key.target);
        row!(
            rows,
            constraint_catalog = database(source),
            constraint_schema = &table.shape.schema_name,
            constraint_name = name,
            unique_constraint_catalog = database(source),
            unique_constraint_schema = target.map(|target| &target.shape.schema_name),
            unique_constraint_name =
                target.and_then(|target| target.shape.primary_key_name.as_ref()),
            match_option = if key.full { "FULL" } else { "NONE" },
            update_rule = rule(key.on_update),
            delete_rule = rule(key.on_delete),
        )?;
    }
    Ok(())
}

fn check_constraints(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let mut push = |table: &Table, name: &str, clause: String| {
        row!(
            rows,
            constraint_catalog = database(source),
            constraint_schema = &table.shape.schema_name,
            constraint_name = name,
            check_clause = clause,
        )
    };
    for (table, name, constraint) in all_constraints(source.state) {
        if let Constraint::Check(check) = constraint {
            let printer = Printer::of(source.names(), table, false);
            push(table, name, format!("({})", printer.condition(&check.condition)))?;
        }
    }
    for table in source.state.tables() {
        for column in &table.shape.columns {
            if table.shape.is_required(column) {
                let name = not_null_name(table, column.id);
                push(table, &name, format!("{} IS NOT NULL", column.name))?;
            }
        }
    }
    Ok(())
}

/// Privileges on tables that the role, or what it is a member of, gave or got.
fn role_table_grants(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    table_grants(source, rows, false)
}

/// The same, and what everybody may.
fn table_privileges(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    table_grants(source, rows, true)
}

fn table_grants(source: &Source<'_>, rows: &mut Rows<'_>, of_all: bool) -> SqlResult<()> {
    table_access(source, of_all, &mut |table, column, grant, owns| match column {
        None => push_grant(source, rows, table, grant, owns),
        Some(_) => Ok(()),
    })
}

/// What [`table_access`] tells of each grant: schema and name of the table, the column, the grant,
/// and whether the grantee owns the table.
type Visit<'v, 'a> =
    dyn FnMut((&'a str, &'a str), Option<&'a str>, &Grant, bool) -> SqlResult<()> + 'v;

/// Calls `visit` with the schema and name of each table and view, with each grant on it and on its
/// columns that the role may see, and with whether the grantee owns it.
pub(super) fn table_access<'a>(
    source: &Source<'a>,
    of_all: bool,
    visit: &mut Visit<'_, 'a>,
) -> SqlResult<()> {
    let state = source.state;
    let enabled = source.around.role().filter(|role| !is_superuser(state, *role));
    let enabled = enabled.map(|role| roles_of(state, role, true));
    let is_enabled = |role| enabled.as_ref().is_none_or(|enabled| enabled.contains(&role));
    for (schema, name, relation) in user_relations(state) {
        if !matches!(relation, RelationRef::Table(_) | RelationRef::View(_)) {
            continue;
        }
        let object = ObjectAddress::relation(relation);
        let owner = owner(state, object);
        let whole = access_list(state, object).into_iter().map(|grant| (None, grant));
        let columns = state.column_grants(object.oid).flat_map(|(column, grants)| {
            let name = state.column_name(*column);
            grants.iter().map(move |grant| (name, grant.clone()))
        });
        for (column, grant) in whole.chain(columns) {
            let to_all = grant.grantee == PUBLIC;
            let by_role = is_enabled(grant.grantor) || !to_all && is_enabled(grant.grantee);
            if !(by_role || of_all && to_all) {
                continue;
            }
            let owns = owner.is_some_and(|owner| {
                grant.grantee == owner || roles_of(state, grant.grantee, true).contains(&owner)
            });
            visit((schema, name), column, &grant, owns)?;
        }
    }
    Ok(())
}

fn push_grant(
    source: &Source<'_>,
    rows: &mut Rows<'_>,
    (schema, table): (&str, &str),
    grant: &Grant,
    owns: bool,
) -> SqlResult<()> {
    let role = |oid| match source.state.role(oid) {
        Some(role) => role.name.as_str(),
        None => "PUBLIC",
    };
    for letter in grant.privileges.chars() {
        let Some(privilege) = letter_name(letter) else { continue };
        row!(
            rows,
            grantor = role(grant.grantor),
            grantee = role(grant.grantee),
            table_catalog = database(source),
            table_schema = schema,
            table_name = table,
            privilege_type = privilege,
            is_grantable = yes_no(owns || grant.grantable.contains(letter)),
            with_hierarchy = yes_no(letter == 'r'),
        )?;
    }
    Ok(())
}

/// A privilege on tables by its letter in access lists.
pub(super) fn letter_name(letter: char) -> Option<&'static str> {
    Some(match letter {
        'a' => "INSERT",
        'r' => "SELECT",
        'w' => "UPDATE",
        'd' => "DELETE",
        'D' => "TRUNCATE",
        'x' => "REFERENCES",
        't' => "TRIGGER",
        _ => return None,
    })
}
