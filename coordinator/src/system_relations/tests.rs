use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use satsuma_common::arrow_values::datum_at;
use satsuma_common::{Datum, TableId};

use super::*;
use crate::catalog::tests::*;
use crate::catalog::{
    ColocateWith, Command, IdRequest, TableDistribution, check_invariants, quote_identifier,
};
use crate::session::ListedSetting;

/// Two workers, `companies` and `campaigns` with a foreign key, `geo_ips` for reference and a
/// local table.
fn tutorial() -> (State, TableId, TableId) {
    let mut state = cluster(2);
    let companies = create_distributed(&mut state, "companies");
    let campaigns = create_distributed(&mut state, "campaigns");
    let geo_ips = create_local(&mut state, "geo_ips");
    distribute(&mut state, geo_ips, &request(TableDistribution::Reference, ColocateWith::Default));
    create_local(&mut state, "notes");
    let mut def = state.table(campaigns).expect("campaigns").def().clone();
    let target = state.table(companies).expect("companies");
    let key = foreign_key("campaigns_company_id_fkey", &def, target);
    let oid = reserve(&mut state, IdRequest::oids(1)).oid().expect("oid");
    def.constraint_oids.insert(key.name.clone(), oid);
    def.shape.make_mut().foreign_keys.push(key);
    def.shape
        .make_mut()
        .checks
        .push(satsuma_common::table::Check { name: "positive".into(), condition: "id > 0".into() });
    let oid = reserve(&mut state, IdRequest::oids(1)).oid().expect("oid");
    def.constraint_oids.insert("positive".into(), oid);
    accept(&mut state, Command::AlterTable(def));
    assert_eq!(check_invariants(&state), Ok(()));
    (state, companies, campaigns)
}

fn read(state: &State, schema: &str, name: &str) -> RecordBatch {
    let source = Source { state, around: &Nobody };
    rows(&source, schema, name).expect("a relation").expect("rows")
}

/// The named columns of every row, as text.
fn select(state: &State, name: &str, columns: &[&str]) -> Vec<String> {
    let schema = if Layouts::all().get("pg_catalog", name).is_some() {
        "pg_catalog"
    } else {
        "information_schema"
    };
    let batch = read(state, schema, name);
    let layout = Layouts::all().get(schema, name).expect("layout");
    let value = |row: usize, column: &&str| {
        let index = layout.columns.iter().position(|c| c.name == *column).expect("column");
        match datum_at(batch.column(index), row, &layout.columns[index].ty).expect("value") {
            Datum::Null => "-".to_owned(),
            Datum::Text(text) => text,
            Datum::Oid(oid) => oid.to_string(),
            Datum::Int2(value) => value.to_string(),
            Datum::Int4(value) => value.to_string(),
            Datum::Int8(value) => value.to_string(),
            Datum::Bool(value) => if value { "t" } else { "f" }.to_owned(),
            other => format!("{other:?}"),
        }
    };
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|c| value(row, c)).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Every relation can be computed, and no NOT NULL column is left out: [`Rows::push`] checks.
#[test]
fn every_relation_has_rows_of_its_layout() {
    let (state, ..) = tutorial();
    for layout in Layouts::all().iter() {
        let batch = read(&state, layout.schema, layout.name);
        assert_eq!(batch.num_columns(), layout.columns.len(), "{}", layout.name);
        for (field, column) in batch.schema().fields().iter().zip(&layout.columns) {
            assert_eq!(field.name(), column.name);
            assert_eq!(satsuma_common::arrow_types::pg_type(field), column.ty);
        }
    }
}

#[test]
fn citus_catalogs_say_what_the_reference_says() {
    let (state, companies, _) = tutorial();
    let partition =
        select(&state, "pg_dist_partition", &["partmethod", "colocationid", "repmodel"]);
    assert_eq!(partition, ["h 1 s", "h 1 s", "n 2 t"]);
    let keys = select(&state, "pg_dist_partition", &["partkey"]);
    assert_eq!(
        keys[0],
        "{VAR :varno 1 :varattno 1 :vartype 20 :vartypmod -1 :varcollid 0 :varlevelsup 0 \
         :varnosyn 1 :varattnosyn 1 :location -1}"
    );
    let shards = select(
        &state,
        "pg_dist_shard",
        &["logicalrelid", "shardid", "shardstorage", "shardminvalue", "shardmaxvalue"],
    );
    assert_eq!(shards.len(), 65);
    assert_eq!(shards[0], format!("{} 102008 t -2147483648 -2013265921", companies.0));
    assert_eq!(shards[31], format!("{} 102039 t 2013265920 2147483647", companies.0));
    assert!(shards[64].ends_with(" 102072 t - -"));
    let placements =
        select(&state, "pg_dist_placement", &["shardid", "shardstate", "shardlength", "groupid"]);
    assert_eq!(placements.len(), 66);
    assert_eq!(placements[..3], ["102008 1 0 1", "102009 1 0 2", "102010 1 0 1"]);
    assert_eq!(
        select(&state, "pg_dist_node", &["nodeid", "groupid", "nodeport", "shouldhaveshards"]),
        ["1 0 9700 f", "2 1 9701 t", "3 2 9702 t"]
    );
    assert_eq!(
        select(
            &state,
            "pg_dist_colocation",
            &["colocationid", "shardcount", "replicationfactor", "distributioncolumntype"]
        ),
        ["1 32 1 20", "2 1 -1 0"]
    );
    assert_eq!(
        select(
            &state,
            "citus_tables",
            &[
                "citus_table_type",
                "distribution_column",
                "table_size",
                "shard_count",
                "table_owner"
            ]
        ),
        [
            "distributed id 0 bytes 32 citus",
            "distributed id 0 bytes 32 citus",
            "reference <none> 0 bytes 1 citus"
        ]
    );
    let shards = select(&state, "citus_shards", &["shardid", "shard_name", "nodeport"]);
    assert_eq!(shards.len(), 66);
    assert_eq!(shards[32], "102008 companies_102008 9701");
}

#[test]
fn postgresql_catalogs_describe_tables() {
    let (state, companies, campaigns) = tutorial();
    let id = campaigns.0.to_string();
    let of = |rows: Vec<String>| {
        rows.into_iter()
            .filter_map(|row| row.strip_prefix(&format!("{id} ")).map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let class = select(
        &state,
        "pg_class",
        &["oid", "relname", "relkind", "relchecks", "relhasindex", "relhastriggers"],
    );
    assert_eq!(of(class), ["campaigns r 1 t t"]);
    let columns =
        ["attrelid", "attnum", "attname", "atttypid", "attnotnull", "attlen", "atthasdef"];
    assert_eq!(
        of(select(&state, "pg_attribute", &columns)),
        ["1 id 20 t 8 f", "2 company_id 20 f 8 f"]
    );
    let columns = ["conrelid", "conname", "contype", "confrelid", "confdeltype"];
    assert_eq!(
        of(select(&state, "pg_constraint", &columns)),
        [
            format!("campaigns_company_id_fkey f {} a", companies.0),
            "campaigns_pkey p 0  ".to_owned(),
            "positive c 0  ".to_owned(),
        ]
    );
    let indexes = select(&state, "pg_indexes", &["tablename", "indexdef"]);
    assert!(
        indexes.contains(
            &"campaigns CREATE UNIQUE INDEX campaigns_pkey ON public.campaigns USING btree (id)"
                .to_owned()
        )
    );
    let usage = select(&state, "key_column_usage", &["constraint_name", "column_name"]);
    assert!(usage.contains(&"campaigns_company_id_fkey company_id".to_owned()));
}

#[test]
fn constraints_read_as_sql() {
    let (state, _, campaigns) = tutorial();
    let table = state.table(campaigns).expect("campaigns");
    let text = |name: &str, pretty| {
        let path = ["public".to_owned()];
        let names = Names { state: &state, path: &path };
        constraint_definition_by_oid(names, table.constraint_oids[name], pretty).expect("text")
    };
    assert_eq!(
        text("campaigns_company_id_fkey", true),
        "FOREIGN KEY (company_id) REFERENCES companies(id)"
    );
    assert_eq!(text("campaigns_pkey", true), "PRIMARY KEY (id)");
    assert_eq!(text("positive", false), "CHECK ((id > 0))");
    assert_eq!(text("positive", true), "CHECK (id > 0)");
}

/// Oids that one catalog names are in the catalog that lists them: joins find their rows.
#[test]
fn catalogs_can_be_joined() {
    let (state, ..) = tutorial();
    let set = |name: &str, column: &str| {
        select(&state, name, &[column]).into_iter().collect::<std::collections::BTreeSet<_>>()
    };
    let classes = set("pg_class", "oid");
    for (name, column) in [
        ("pg_attribute", "attrelid"),
        ("pg_index", "indexrelid"),
        ("pg_index", "indrelid"),
        ("pg_constraint", "conrelid"),
        ("pg_dist_partition", "logicalrelid"),
        ("citus_shards", "table_name"),
    ] {
        assert!(set(name, column).is_subset(&classes), "{name}.{column}");
    }
    assert!(set("pg_attribute", "atttypid").is_subset(&set("pg_type", "oid")));
    assert!(set("pg_class", "relnamespace").is_subset(&set("pg_namespace", "oid")));
    assert!(set("pg_type", "typarray").contains("1016"));
    let unique = select(&state, "pg_class", &["oid"]).len();
    assert_eq!(unique, classes.len(), "oids of relations are unique");
}

#[test]
fn names_resolve_through_a_snapshot() {
    use satsuma_common::{Oid, PgType};
    use satsuma_sql::catalog_view::{CatalogView, Relation};

    let (state, companies, _) = tutorial();
    let snapshot = crate::catalog::CatalogSnapshot {
        state: Arc::new(state),
        search_path: vec!["public".into()],
        user: crate::catalog::SUPERUSER_OID,
        system: Arc::new(SystemCatalog::new(Arc::new(Nobody))),
        new_labels: Arc::default(),
    };
    assert!(matches!(snapshot.relation(None, "companies"), Some(Relation::Table(_))));
    assert!(matches!(snapshot.relation(None, "pg_class"), Some(Relation::System(_))));
    assert!(matches!(snapshot.relation(None, "citus_tables"), Some(Relation::System(_))));
    assert!(matches!(snapshot.relation(Some("public"), "citus_tables"), Some(Relation::System(_))));
    assert!(snapshot.relation(None, "columns").is_none());
    assert!(snapshot.relation(Some("information_schema"), "columns").is_some());
    let class = |name: &str| snapshot.oid_of(&PgType::Regclass, name);
    assert_eq!(class("companies"), Some(companies.0));
    assert_eq!(class("public.\"companies\""), Some(companies.0));
    assert_eq!(class("Companies"), Some(companies.0));
    assert_eq!(class("\"Companies\""), None);
    assert_eq!(class("pg_class"), Some(1259));
    assert_eq!(class("companies_pkey"), Some(companies.0 + 1));
    let name = |oid| snapshot.oid_name(&PgType::Regclass, oid);
    assert_eq!(name(companies.0).as_deref(), Some("companies"));
    assert_eq!(name(1259).as_deref(), Some("pg_class"));
    assert_eq!(name(4242), None);
    assert!(snapshot.is_visible(Oid(companies.0)));
    assert_eq!(snapshot.oid_of(&PgType::Regtype, "bigint"), Some(20));
    assert_eq!(snapshot.oid_of(&PgType::Regnamespace, "public"), Some(2200));
    assert_eq!(quote_identifier("Odd \"name\""), "\"Odd \"\"name\"\"\"");
    assert_eq!(quote_identifier("select"), "\"select\"");
}

#[test]
fn functions_answer_for_users_by_their_rights() {
    use satsuma_sql::functions::{CatalogFunction as F, CatalogFunctions, Privileged};

    use crate::catalog::{CatalogSnapshot, Grant, ObjectAddress, ObjectClass, Role};

    let (mut state, companies, campaigns) = tutorial();
    let bob = reserve(&mut state, IdRequest::oids(1)).oid().expect("oid");
    accept(&mut state, Command::CreateRole(Role::new(bob, "bob")));
    let grants = vec![Grant {
        grantee: bob,
        grantor: crate::catalog::SUPERUSER_OID,
        privileges: "r".into(),
        grantable: String::new(),
    }];
    let class = ObjectClass::Relation;
    let object = ObjectAddress { class, oid: Oid(companies.0), part: 0 };
    accept(&mut state, Command::SetGrants { object, grants });
    let state = Arc::new(state);
    let as_user = |user| {
        let catalog = CatalogSnapshot {
            state: state.clone(),
            search_path: vec!["public".into()],
            user,
            system: Arc::new(SystemCatalog::new(Arc::new(Nobody))),
            new_labels: Arc::default(),
        };
        let setting = ListedSetting {
            name: "a.b".into(),
            value: "1".into(),
            reset: "1".into(),
            description: "",
        };
        SessionFunctions::new(catalog, Arc::new(Nobody), Arc::new(vec![setting]))
    };
    let text = |text: &str| Datum::Text(text.into());
    let table = Datum::Oid(companies.0);
    let (boss, bob) = (as_user(crate::catalog::SUPERUSER_OID), as_user(bob));
    let may = |functions: &SessionFunctions, what: &str| {
        functions.privilege(Privileged::Table, &[table.clone(), text(what)]).expect("answer")
    };
    assert_eq!(may(&boss, "DELETE"), Datum::Bool(true));
    assert_eq!(may(&bob, "SELECT"), Datum::Bool(true));
    assert_eq!(may(&bob, "INSERT"), Datum::Bool(false));
    assert_eq!(may(&bob, "insert, select"), Datum::Bool(true));
    assert_eq!(may(&bob, "SELECT WITH GRANT OPTION"), Datum::Bool(false));
    assert!(bob.privilege(Privileged::Table, &[table.clone(), text("FLY")]).is_err());

    let call = |function, arguments: &[Datum]| boss.call(function, arguments).expect("answer");
    assert_eq!(call(F::GetUserById, &[Datum::Oid(10)]), text("citus"));
    assert_eq!(call(F::GetUserById, &[Datum::Oid(77)]), text("unknown (OID=77)"));
    let index = state.indexes_of(campaigns).next().expect("index").oid;
    assert_eq!(
        call(F::GetIndexDef, &[Datum::Oid(index.0)]),
        text("CREATE UNIQUE INDEX campaigns_pkey ON public.campaigns USING btree (id)")
    );
    let column = [Datum::Oid(index.0), Datum::Int4(1), Datum::Bool(true)];
    assert_eq!(call(F::GetIndexDefColumn, &column), text("id"));
    assert_eq!(call(F::ShardIdForColumn, &[table.clone(), text("5")]), Datum::Int8(102014));
    assert!(boss.call(F::ShardIdForColumn, &[table.clone(), text("x")]).is_err());
    let key = text("{VAR :varno 1 :varattno 2 :vartype 20}");
    assert_eq!(call(F::ColumnToColumnName, &[table.clone(), key]), text("company_id"));
    assert_eq!(call(F::CurrentSetting, &[text("A.B")]), text("1"));
    assert!(boss.call(F::CurrentSetting, &[text("no")]).is_err());
    assert_eq!(call(F::CurrentSettingMissing, &[text("no"), Datum::Bool(true)]), Datum::Null);
}
