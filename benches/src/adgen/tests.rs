use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn options(out: &Path) -> Options {
    Options {
        out: out.into(),
        companies: 20,
        campaigns: 60,
        ads: 400,
        clicks: 3_000,
        impressions: 5_000,
        geo_ips: 200,
        events: 2_000,
        pages: 240,
        seed: 5,
        now: parse_now(DEFAULT_NOW).expect("the default is a time"),
        quiet: true,
    }
}

fn generate(change: impl FnOnce(&mut Options)) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(directory.path());
    change(&mut options);
    run(&options).expect("the data set");
    std::fs::read_dir(directory.path())
        .expect("the directory")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("text"))
        })
        .collect()
}

fn first_columns(csv: &str) -> Vec<[u64; 3]> {
    csv.lines()
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.parse().unwrap_or(0));
            std::array::from_fn(|_| fields.next().unwrap_or(0))
        })
        .collect()
}

#[test]
fn the_same_options_give_the_same_bytes() {
    assert_eq!(generate(|_| {}), generate(|_| {}));
}

#[test]
fn another_seed_gives_other_rows_and_one_table_does_not_disturb_another() {
    let base = generate(|_| {});
    let reseeded = generate(|options| options.seed = 6);
    let grown = generate(|options| options.events = 4_000);
    assert_ne!(base["companies"], reseeded["companies"]);
    assert_ne!(base["event"], grown["event"]);
    for table in ["companies", "campaigns", "ads", "clicks", "impressions", "geo_ips", "page"] {
        assert_eq!(base[table], grown[table], "{table}");
    }
}

#[test]
fn foreign_keys_hold_and_the_counts_are_true() {
    let files = generate(|_| {});
    let campaigns: BTreeMap<u64, u64> = first_columns(&files["campaigns"])
        .into_iter()
        .map(|[id, company, _]| (id, company))
        .collect();
    let ads: BTreeMap<u64, u64> = first_columns(&files["ads"])
        .into_iter()
        .map(|[id, company, campaign]| {
            assert_eq!(campaigns[&campaign], company);
            (id, company)
        })
        .collect();
    for table in ["clicks", "impressions"] {
        let rows = first_columns(&files[table]);
        assert!(rows.iter().all(|[_, company, ad]| ads[ad] == *company), "{table}");
    }
    assert_eq!(ads[&290], 5);
    let of_ad = first_columns(&files["clicks"]).iter().filter(|row| row[2] == 290).count();
    assert!(of_ad > 10, "{of_ad} clicks on the tutorial's ad");
    let line = files["ads"].lines().nth(289).expect("ad 290");
    let fields: Vec<&str> = line.rsplit(',').collect();
    assert_eq!(fields[2], of_ad.to_string(), "clicks_count in {line}");
}

#[test]
fn a_few_tenants_own_most_clicks() {
    let mut by_company = BTreeMap::<u64, u32>::new();
    for [_, company, _] in first_columns(&generate(|_| {})["clicks"]) {
        *by_company.entry(company).or_default() += 1;
    }
    let mut sizes: Vec<u32> = by_company.into_values().collect();
    sizes.sort_unstable();
    let largest_three: u32 = sizes.iter().rev().take(3).sum();
    assert!(sizes.len() > 10, "{sizes:?}");
    assert!(largest_three > 1_200 && largest_three < 2_400, "{sizes:?}");
}

#[test]
fn children_without_parents_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = run(&Options { ads: 0, ..options(directory.path()) });
    assert!(matches!(refused, Err(Error::Needs("clicks", "ads"))));
    assert!(parse_now("yesterday").is_err());
}
