//! Table shapes.

use std::collections::BTreeSet;

use satsuma_common::index::{IndexKeyShape, IndexMethod, IndexShape, IndexedValue};
use satsuma_common::table::{Check, Column, ForeignKey, ForeignKeyAction, TableShape, Timing};
use satsuma_common::{ColumnId, Oid, PgType, TableId};

use super::{Wire, list, need, text};
use crate::error::WireError;
use crate::pb::types as pb;

impl From<&PgType> for pb::PgType {
    fn from(ty: &PgType) -> Self {
        let (element, is_array) = match ty {
            PgType::Array(element) => (element.as_ref(), true),
            scalar => (scalar, false),
        };
        let is_enum = matches!(element, PgType::Enum(_));
        Self { oid: element.oid(), typmod: element.typmod(), is_enum, is_array }
    }
}

impl TryFrom<pb::PgType> for PgType {
    type Error = WireError;

    fn try_from(ty: pb::PgType) -> Wire<Self> {
        let element = if ty.is_enum {
            PgType::Enum(Oid(ty.oid))
        } else {
            PgType::from_oid(ty.oid)
                .filter(|found| !found.is_array())
                .ok_or(WireError::Unknown("type"))?
                .with_typmod(ty.typmod)
        };
        Ok(if ty.is_array { PgType::Array(Box::new(element)) } else { element })
    }
}

fn column_id(id: u32) -> Wire<ColumnId> {
    u16::try_from(id).map(ColumnId).map_err(|_| WireError::OutOfRange("column number"))
}

impl From<ForeignKey> for pb::ForeignKey {
    fn from(key: ForeignKey) -> Self {
        fn action(action: ForeignKeyAction) -> i32 {
            let action = match action {
                ForeignKeyAction::NoAction => pb::ForeignKeyAction::NoAction,
                ForeignKeyAction::Restrict => pb::ForeignKeyAction::Restrict,
                ForeignKeyAction::Cascade => pb::ForeignKeyAction::Cascade,
                ForeignKeyAction::SetNull => pb::ForeignKeyAction::SetNull,
                ForeignKeyAction::SetDefault => pb::ForeignKeyAction::SetDefault,
            };
            action.into()
        }
        Self {
            name: key.name,
            table: key.table.0,
            table_name: key.table_name,
            columns: key.columns.iter().map(|id| id.0.into()).collect(),
            target: key.target.0,
            target_name: key.target_name,
            target_columns: key.target_columns.iter().map(|id| id.0.into()).collect(),
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            full: key.full,
            set_on_delete: key.set_on_delete.iter().map(|id| id.0.into()).collect(),
            defaults: key
                .defaults
                .into_iter()
                .map(|value| pb::ForeignKeyDefault { value: value.map(Into::into) })
                .collect(),
            timing: match key.timing {
                Timing::NotDeferrable => pb::ForeignKeyTiming::NotDeferrable,
                Timing::Immediate => pb::ForeignKeyTiming::InitiallyImmediate,
                Timing::Deferred => pb::ForeignKeyTiming::InitiallyDeferred,
            }
            .into(),
        }
    }
}

impl TryFrom<pb::ForeignKey> for ForeignKey {
    type Error = WireError;

    fn try_from(key: pb::ForeignKey) -> Wire<Self> {
        fn action(action: i32) -> Wire<ForeignKeyAction> {
            let action = pb::ForeignKeyAction::try_from(action)
                .map_err(|_| WireError::Unknown("foreign key action"))?;
            Ok(match action {
                pb::ForeignKeyAction::NoAction => ForeignKeyAction::NoAction,
                pb::ForeignKeyAction::Restrict => ForeignKeyAction::Restrict,
                pb::ForeignKeyAction::Cascade => ForeignKeyAction::Cascade,
                pb::ForeignKeyAction::SetNull => ForeignKeyAction::SetNull,
                pb::ForeignKeyAction::SetDefault => ForeignKeyAction::SetDefault,
            })
        }
        if key.columns.is_empty() || key.columns.len() != key.target_columns.len() {
            return Err(WireError::OutOfRange("foreign key columns"));
        }
        if !key.defaults.is_empty() && key.defaults.len() != key.columns.len() {
            return Err(WireError::OutOfRange("foreign key defaults"));
        }
        let timing = pb::ForeignKeyTiming::try_from(key.timing)
            .map_err(|_| WireError::Unknown("foreign key timing"))?;
        let timing = match timing {
            pb::ForeignKeyTiming::NotDeferrable => Timing::NotDeferrable,
            pb::ForeignKeyTiming::InitiallyImmediate => Timing::Immediate,
            pb::ForeignKeyTiming::InitiallyDeferred => Timing::Deferred,
        };
        Ok(Self {
            name: text(key.name)?,
            table: TableId(key.table),
            table_name: text(key.table_name)?,
            columns: list(key.columns, column_id)?,
            target: TableId(key.target),
            target_name: text(key.target_name)?,
            target_columns: list(key.target_columns, column_id)?,
            on_delete: action(key.on_delete)?,
            on_update: action(key.on_update)?,
            set_on_delete: list(key.set_on_delete, column_id)?,
            defaults: key
                .defaults
                .into_iter()
                .map(|default| default.value.map(Into::into))
                .collect(),
            full: key.full,
            timing,
        })
    }
}

impl From<IndexShape> for pb::Index {
    fn from(index: IndexShape) -> Self {
        let method = match index.method {
            IndexMethod::Ordered => pb::IndexMethod::Ordered,
            IndexMethod::Documents => pb::IndexMethod::Documents,
            IndexMethod::Networks => pb::IndexMethod::Networks,
        };
        let key = |key: IndexKeyShape| pb::IndexKey {
            r#type: Some((&key.ty).into()),
            value: Some(match key.value {
                IndexedValue::Column(column) => pb::index_key::Value::Column(column.0.into()),
                IndexedValue::Expression(text) => pb::index_key::Value::Expression(text),
            }),
        };
        Self {
            id: index.id.0,
            name: index.name,
            method: method.into(),
            keys: index.keys.into_iter().map(key).collect(),
            unique: index.unique,
            nulls_not_distinct: index.nulls_not_distinct,
            constraint: index.constraint,
            predicate: index.predicate,
        }
    }
}

impl TryFrom<pb::Index> for IndexShape {
    type Error = WireError;

    fn try_from(index: pb::Index) -> Wire<Self> {
        let method = pb::IndexMethod::try_from(index.method)
            .map_err(|_| WireError::Unknown("index method"))?;
        let key = |key: pb::IndexKey| {
            Ok(IndexKeyShape {
                ty: need(key.r#type, "index key type")?.try_into()?,
                value: match need(key.value, "index key")? {
                    pb::index_key::Value::Column(id) => IndexedValue::Column(column_id(id)?),
                    pb::index_key::Value::Expression(sql) => IndexedValue::Expression(text(sql)?),
                },
            })
        };
        if index.keys.is_empty() {
            return Err(WireError::OutOfRange("index keys"));
        }
        Ok(Self {
            id: Oid(index.id),
            name: text(index.name)?,
            method: match method {
                pb::IndexMethod::Ordered => IndexMethod::Ordered,
                pb::IndexMethod::Documents => IndexMethod::Documents,
                pb::IndexMethod::Networks => IndexMethod::Networks,
            },
            keys: list(index.keys, key)?,
            unique: index.unique,
            nulls_not_distinct: index.nulls_not_distinct,
            constraint: index.constraint,
            predicate: index.predicate.map(text).transpose()?,
        })
    }
}

impl From<TableShape> for pb::TableShape {
    fn from(shape: TableShape) -> Self {
        let column = |column: Column| pb::Column {
            id: column.id.0.into(),
            name: column.name,
            r#type: Some((&column.ty).into()),
            not_null: column.not_null,
            missing: column.missing.map(Into::into),
        };
        let check = |check: Check| pb::Check { name: check.name, condition: check.condition };
        Self {
            table: shape.table.0,
            version: shape.version,
            schema_name: shape.schema_name,
            name: shape.name,
            columns: shape.columns.into_iter().map(column).collect(),
            primary_key: shape.primary_key.iter().map(|id| id.0.into()).collect(),
            primary_key_name: shape.primary_key_name,
            checks: shape.checks.into_iter().map(check).collect(),
            foreign_keys: shape.foreign_keys.into_iter().map(Into::into).collect(),
            referenced_by: shape.referenced_by.into_iter().map(Into::into).collect(),
            indexes: shape.indexes.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::TableShape> for TableShape {
    type Error = WireError;

    fn try_from(shape: pb::TableShape) -> Wire<Self> {
        let columns = list(shape.columns, |column| {
            Ok(Column {
                id: column_id(column.id)?,
                name: text(column.name)?,
                ty: need(column.r#type, "column type")?.try_into()?,
                not_null: column.not_null,
                missing: column.missing.map(Into::into),
            })
        })?;
        let known: BTreeSet<_> = columns.iter().map(|column| column.id).collect();
        if known.len() != columns.len() {
            return Err(WireError::OutOfRange("column number"));
        }
        let primary_key = list(shape.primary_key, column_id)?;
        let distinct: BTreeSet<_> = primary_key.iter().collect();
        if distinct.len() != primary_key.len() || !primary_key.iter().all(|id| known.contains(id)) {
            return Err(WireError::OutOfRange("primary key column"));
        }
        let foreign_keys = list(shape.foreign_keys, ForeignKey::try_from)?;
        if foreign_keys.iter().any(|key| !key.columns.iter().all(|id| known.contains(id))) {
            return Err(WireError::OutOfRange("foreign key column"));
        }
        let referenced_by = list(shape.referenced_by, ForeignKey::try_from)?;
        if referenced_by.iter().any(|key| !key.target_columns.iter().all(|id| known.contains(id))) {
            return Err(WireError::OutOfRange("referenced column"));
        }
        let indexes = list(shape.indexes, IndexShape::try_from)?;
        let columns_of = |index: &IndexShape| {
            index.keys.iter().all(|key| match key.value {
                IndexedValue::Column(id) => known.contains(&id),
                IndexedValue::Expression(_) => true,
            })
        };
        let ids: BTreeSet<_> = indexes.iter().map(|index| index.id).collect();
        if ids.len() != indexes.len() || !indexes.iter().all(columns_of) {
            return Err(WireError::OutOfRange("index"));
        }
        Ok(Self {
            table: TableId(shape.table),
            version: shape.version,
            schema_name: text(shape.schema_name)?,
            name: text(shape.name)?,
            columns,
            primary_key,
            primary_key_name: shape.primary_key_name.map(text).transpose()?,
            checks: list(shape.checks, |check| {
                Ok(Check { name: text(check.name)?, condition: text(check.condition)? })
            })?,
            foreign_keys,
            referenced_by,
            indexes,
        })
    }
}
