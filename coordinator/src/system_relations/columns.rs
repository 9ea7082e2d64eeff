//! Columns: pg_attribute and pg_attrdef.

use satsuma_common::table::Column;
use satsuma_common::{ColumnId, Oid, PgType, SqlResult};

use super::definitions::shown_default;
use super::layout::Layouts;
use super::printed::Printer;
use super::roles::column_access_list;
use super::rows::{Rows, row};
use super::spelling::Names;
use super::types::{collation_of, physical};
use super::{Fill, Source};
use crate::catalog::{Index, IndexValue, State, Table};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_attribute" => attribute,
        "pg_attrdef" => default,
        _ => return None,
    })
}

struct Attribute<'a> {
    relation: Oid,
    number: i16,
    name: &'a str,
    ty: &'a PgType,
    /// In place of the type's own.
    type_oid: Option<u32>,
    not_null: bool,
    has_default: bool,
    has_missing: bool,
    identity: &'a str,
    generated: &'a str,
    dropped: bool,
    access: Option<Vec<String>>,
}

impl<'a> Attribute<'a> {
    fn new(relation: Oid, number: i16, name: &'a str, ty: &'a PgType) -> Self {
        Self {
            relation,
            number,
            name,
            ty,
            type_oid: None,
            not_null: false,
            has_default: false,
            has_missing: false,
            identity: "",
            generated: "",
            dropped: false,
            access: None,
        }
    }

    fn push(self, rows: &mut Rows<'_>) -> SqlResult<()> {
        let physical = physical(self.ty);
        row!(
            rows,
            attrelid = self.relation,
            attname = self.name,
            atttypid = Oid(match self.dropped {
                true => 0,
                false => self.type_oid.unwrap_or(self.ty.oid()),
            }),
            attstattarget = -1,
            attlen = self.ty.byte_len(),
            attnum = self.number,
            attndims = i32::from(self.ty.is_array()),
            attcacheoff = -1,
            atttypmod = self.ty.typmod(),
            attbyval = physical.by_value,
            attalign = physical.align,
            attstorage = physical.storage,
            attcompression = "",
            attnotnull = self.not_null,
            atthasdef = self.has_default,
            atthasmissing = self.has_missing,
            attidentity = self.identity,
            attgenerated = self.generated,
            attisdropped = self.dropped,
            attislocal = true,
            attinhcount = 0,
            attcollation = collation_of(self.ty),
            attacl = self.access,
        )
    }
}

fn attribute(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    for layout in Layouts::all().iter() {
        for (number, column) in (1..).zip(&layout.columns) {
            let attribute = Attribute::new(layout.oid, number, column.name, &column.ty);
            let (not_null, type_oid) = (column.not_null, column.vector);
            Attribute { not_null, type_oid, ..attribute }.push(rows)?;
        }
    }
    for table in state.tables() {
        table_columns(state, table, rows)?;
    }
    for index in state.indexes() {
        index_columns(state, index, rows)?;
    }
    for view in state.views() {
        for (number, (name, ty)) in (1..).zip(&view.columns) {
            let access = column_access_list(state, view.oid, number.into());
            Attribute { access, ..Attribute::new(view.oid, number, name, ty) }.push(rows)?;
        }
    }
    let sequence_columns =
        [("last_value", PgType::Int8), ("log_cnt", PgType::Int8), ("is_called", PgType::Bool)];
    for sequence in state.sequences() {
        for (number, (name, ty)) in (1..).zip(&sequence_columns) {
            let attribute = Attribute::new(Oid(sequence.id.0), number, name, ty);
            Attribute { not_null: true, ..attribute }.push(rows)?;
        }
    }
    Ok(())
}

fn table_columns(state: &State, table: &Table, rows: &mut Rows<'_>) -> SqlResult<()> {
    // What is left of dropped columns keeps the numbers of the others without a gap.
    for number in 1..table.next_column.0 {
        if table.shape.column(ColumnId(number)).is_none() {
            let name = format!("........pg.dropped.{number}........");
            let (relation, number) = (Oid(table.id().0), number as i16);
            let attribute = Attribute::new(relation, number, &name, &PgType::Text);
            Attribute { dropped: true, ..attribute }.push(rows)?;
        }
    }
    for (position, column) in table.shape.columns.iter().enumerate() {
        let number = column.id.0 as i16;
        let generated = table.generated.get(position).is_some_and(Option::is_some);
        let identity = table.identity.get(position).copied().flatten();
        let default =
            identity.is_none() && table.defaults.get(position).is_some_and(Option::is_some);
        Attribute {
            not_null: table.shape.is_required(column),
            has_default: default || generated,
            has_missing: column.missing.is_some(),
            identity: match identity {
                Some(true) => "a",
                Some(false) => "d",
                None => "",
            },
            generated: if generated { "s" } else { "" },
            access: column_access_list(state, Oid(table.id().0), number.into()),
            ..Attribute::new(Oid(table.id().0), number, &column.name, &column.ty)
        }
        .push(rows)?;
    }
    Ok(())
}

fn index_columns(state: &State, index: &Index, rows: &mut Rows<'_>) -> SqlResult<()> {
    let Some(table) = state.table(index.table) else { return Ok(()) };
    let included = index.include.iter().map(|column| IndexValue::Column(*column));
    let values = index.keys.iter().map(|key| key.value.clone()).chain(included);
    for (number, value) in (1..).zip(values) {
        let column = match &value {
            IndexValue::Column(column) => table.shape.column(*column),
            IndexValue::Expression(_) => None,
        };
        // The type of an expression is not kept; text is what most of them give.
        let (name, ty) = match (column, &value) {
            (Some(column), _) => (column.name.clone(), column.ty.clone()),
            (None, IndexValue::Expression(text)) => (expression_name(text), PgType::Text),
            (None, IndexValue::Column(_)) => ("expr".into(), PgType::Text),
        };
        Attribute::new(index.oid, number, &name, &ty).push(rows)?;
    }
    Ok(())
}

/// The column of an index expression is called like the function that it calls.
fn expression_name(text: &str) -> String {
    match satsuma_sql::parse::parse_expression(text) {
        Ok((expr, _)) => match satsuma_sql::bind::output_name(&expr) {
            unnamed if unnamed == "?column?" => "expr".into(),
            name => name,
        },
        Err(_) => "expr".into(),
    }
}

/// A default has no oid of its own in the catalog: this one is derived, and stable.
pub(super) fn default_oid(table: Oid, column: u16) -> Oid {
    Oid((1 << 31) | ((table.0 & 0x1f_ffff) << 10) | (u32::from(column) & 0x3ff))
}

/// Columns that have a default or are generated, and from what.
pub(super) fn shown_defaults<'a>(
    names: Names<'a>,
    table: &'a Table,
) -> impl Iterator<Item = (&'a Column, String)> {
    let defaults = table.defaults.iter().zip(&table.generated);
    table.shape.columns.iter().zip(defaults).filter_map(move |(column, (default, generated))| {
        let shown = match generated {
            Some(text) => Some(Printer::of(names, table, false).expression(text, Some(&column.ty))),
            None => shown_default(names, table, column, default.as_ref()),
        };
        Some((column, shown?))
    })
}

fn default(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for table in source.state.tables() {
        for (column, text) in shown_defaults(source.names(), table) {
            let relation = Oid(table.id().0);
            row!(
                rows,
                oid = default_oid(relation, column.id.0),
                adrelid = relation,
                adnum = column.id.0 as i16,
                adbin = text,
            )?;
        }
    }
    Ok(())
}
