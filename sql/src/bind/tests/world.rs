//! The tables of `golden/schema.sql`, and a catalog of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use datafusion::datasource::{MemTable, TableProvider};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{
    ColumnId, Datum, NumericMod, Oid, PgType, SequenceId, SqlError, SqlResult, TableId,
};

use crate::casts::convert;
use crate::catalog_view::{CatalogView, Distribution, Relation, TableInfo, ViewInfo};
use crate::functions::{
    CatalogFunction, CatalogFunctions, FunctionEnv, SequenceAccess, Settings, columns,
};
use crate::table::ScanSource;

pub struct World {
    pub env: FunctionEnv,
    rows: BTreeMap<String, Arc<MemTable>>,
}

#[derive(Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<String, Arc<TableInfo>>,
    views: BTreeMap<String, Arc<ViewInfo>>,
}

impl World {
    pub fn new() -> Self {
        let numeric = |p, s| PgType::Numeric(Some(NumericMod { precision: p, scale: s }));
        let text_array = PgType::Array(Box::new(PgType::Text));
        let mut world = Builder::default();
        world.table(
            "dept",
            &[("id", PgType::Int4), ("name", PgType::Text), ("budget", numeric(12, 2))],
            &[&["1", "sales", "1000.50"], &["2", "research", "2500.00"], &["3", "empty", "NULL"]],
            true,
        );
        world.table(
            "emp",
            &[
                ("id", PgType::Int4),
                ("name", PgType::Text),
                ("dept_id", PgType::Int4),
                ("salary", numeric(10, 2)),
                ("hired", PgType::Date),
                ("boss", PgType::Int4),
            ],
            &[
                &["1", "ann", "1", "100.00", "2020-01-15", "NULL"],
                &["2", "bob", "1", "80.50", "2021-06-01", "1"],
                &["3", "cat", "2", "120.25", "2019-03-10", "1"],
                &["4", "dan", "2", "120.25", "2022-11-30", "3"],
                &["5", "eve", "NULL", "60.00", "2020-01-15", "3"],
            ],
            true,
        );
        world.table(
            "t",
            &[("a", PgType::Int4), ("b", PgType::Int8), ("c", PgType::Text), ("d", PgType::Float8)],
            &[
                &["1", "10", "x", "0.5"],
                &["1", "20", "y", "NULL"],
                &["2", "NULL", "x", "-0"],
                &["NULL", "30", "NULL", "2.25"],
                &["3", "10", "Zed", "1e10"],
            ],
            false,
        );
        world.table(
            "u",
            &[("a", PgType::Int4), ("c", PgType::Text), ("tags", text_array)],
            &[
                &["1", "one", "{p,q}"],
                &["2", "two", "{}"],
                &["4", "four", "NULL"],
                &["NULL", "none", "{r,NULL}"],
            ],
            false,
        );
        world.table(
            "geo",
            &[("addrs", PgType::Cidr), ("latlon", PgType::Point)],
            &[
                &["10.0.0.0/8", "(1.5,-2)"],
                &["10.1.0.0/16", "(90,180)"],
                &["2001:db8::/32", "(0,0)"],
            ],
            false,
        );
        world.table(
            "ev",
            &[
                ("id", PgType::Int4),
                ("data", PgType::Jsonb),
                ("ip", PgType::Inet),
                ("at", PgType::Timestamp),
                ("tz", PgType::Timestamptz),
            ],
            &[
                &[
                    "1",
                    r#"{"is_mobile": true, "o": {"k": [1, 2]}}"#,
                    "10.1.2.3",
                    "2020-01-01 10:00:00",
                    "2020-01-01 10:00:00+00",
                ],
                &[
                    "2",
                    r#"{"is_mobile": false, "n": 5}"#,
                    "10.2.0.1",
                    "2020-01-02 00:00:00.5",
                    "2020-06-01 00:00:00+00",
                ],
                &["3", r#"[1, "a"]"#, "2001:db8::1", "NULL", "NULL"],
            ],
            true,
        );
        world.catalog.views.insert(
            "v".into(),
            Arc::new(ViewInfo {
                oid: Oid(9999),
                schema_name: "public".into(),
                name: "v".into(),
                columns: vec!["name".into(), "dept".into()],
                definition: "SELECT e.name, d.name AS dept FROM emp e JOIN dept d ON d.id = \
                             e.dept_id"
                    .into(),
                search_path: vec!["public".into()],
            }),
        );
        world.build()
    }

    pub fn rows(&self, table: &str) -> Option<Arc<dyn TableProvider>> {
        Some(self.rows.get(table)?.clone())
    }

    pub fn table(&self, name: &str) -> Arc<TableInfo> {
        match self.env.catalog.relation(None, name) {
            Some(Relation::Table(info)) => info,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The world with a table changed: defaults, generated columns and their like.
    pub fn with_table(&self, name: &str, change: impl FnOnce(&mut TableInfo)) -> FunctionEnv {
        let mut info = self.table(name).as_ref().clone();
        change(&mut info);
        let mut catalog = Catalog::default();
        catalog.tables.insert(name.into(), Arc::new(info));
        FunctionEnv { catalog: Arc::new(catalog), ..self.env.clone() }
    }
}

#[derive(Default)]
struct Builder {
    catalog: Catalog,
    rows: BTreeMap<String, Arc<MemTable>>,
}

impl Builder {
    fn table(&mut self, name: &str, fields: &[(&str, PgType)], rows: &[&[&str]], keyed: bool) {
        let number = u32::try_from(self.rows.len()).unwrap_or(0) + 16384;
        let shape = Arc::new(TableShape {
            table: TableId(number),
            version: 1,
            schema_name: "public".into(),
            name: name.into(),
            columns: fields
                .iter()
                .zip(1..)
                .map(|((column, ty), id)| Column {
                    id: ColumnId(id),
                    name: (*column).into(),
                    ty: ty.clone(),
                    not_null: keyed && id == 1,
                    missing: None,
                })
                .collect(),
            primary_key: if keyed { vec![ColumnId(1)] } else { Vec::new() },
            primary_key_name: keyed.then(|| format!("{name}_pkey")),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            indexes: Vec::new(),
        });
        let info = Arc::new(TableInfo {
            shape,
            defaults: vec![None; fields.len()],
            generated: vec![None; fields.len()],
            identity: vec![None; fields.len()],
            distribution: Distribution::Single,
        });
        let settings = Settings::default();
        let mut arrays: Vec<ArrayRef> = fields
            .iter()
            .enumerate()
            .map(|(index, (_, ty))| {
                let values = rows.iter().map(|row| match row[index] {
                    "NULL" => Datum::Null,
                    text => {
                        let value =
                            convert::input(text, &ty.without_modifier(), &settings.context());
                        value.expect("a value")
                    }
                });
                columns::collect(ty, values).expect("a column")
            })
            .collect();
        let keys: Vec<Vec<u8>> = (0..rows.len()).map(|i| vec![i as u8]).collect();
        arrays.push(Arc::new(BinaryArray::from_iter_values(keys)));
        let schema =
            datafusion::logical_expr::TableSource::schema(ScanSource::table(info.clone()).as_ref());
        let batch = RecordBatch::try_new(schema.clone(), arrays).expect("a batch");
        let table = MemTable::try_new(schema, vec![vec![batch]]).expect("a table");
        self.catalog.tables.insert(name.into(), info);
        self.rows.insert(name.into(), Arc::new(table));
    }

    fn build(self) -> World {
        let env = FunctionEnv {
            settings: Arc::new(Settings { time_zone: "UTC".into(), ..Settings::default() }),
            identity: Arc::default(),
            search_path: Arc::new(vec!["public".into()]),
            catalog: Arc::new(self.catalog),
            catalog_functions: Arc::new(Nothing),
            sequences: Arc::new(Nothing),
            parameters: None,
            depends_on_session: Arc::new(AtomicBool::new(false)),
        };
        World { env, rows: self.rows }
    }
}

impl CatalogView for Catalog {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Relation> {
        if !matches!(schema, None | Some("public")) {
            return None;
        }
        let table = self.tables.get(name).cloned().map(Relation::Table);
        table.or_else(|| self.views.get(name).cloned().map(Relation::View))
    }
    fn table(&self, id: TableId) -> Option<Arc<TableInfo>> {
        self.tables.values().find(|info| info.shape.table == id).cloned()
    }
    fn sequence(&self, _: Option<&str>, _: &str) -> Option<SequenceId> {
        None
    }
    fn schema_exists(&self, name: &str) -> bool {
        name == "public"
    }
    fn user_type(&self, _: Option<&str>, _: &str) -> Option<PgType> {
        None
    }
    fn enum_labels(&self, _: Oid) -> Option<Arc<Vec<String>>> {
        None
    }
    fn oid_name(&self, _: &PgType, oid: u32) -> Option<String> {
        self.table(TableId(oid)).map(|info| info.shape.name.clone())
    }
    fn oid_of(&self, _: &PgType, name: &str) -> Option<u32> {
        self.tables.get(name).map(|info| info.shape.table.0)
    }
}

#[derive(Debug)]
struct Nothing;

fn absent<T>() -> SqlResult<T> {
    Err(SqlError::unsupported("not in this test"))
}

impl CatalogFunctions for Nothing {
    fn call(&self, _: CatalogFunction, _: &[Datum]) -> SqlResult<Datum> {
        absent()
    }
}

impl SequenceAccess for Nothing {
    fn next_value(&self, _: Oid) -> SqlResult<i64> {
        absent()
    }
    fn current_value(&self, _: Oid) -> SqlResult<i64> {
        absent()
    }
    fn set_value(&self, _: Oid, _: i64, _: bool) -> SqlResult<i64> {
        absent()
    }
    fn last_value(&self) -> SqlResult<i64> {
        absent()
    }
}
