//! `page` and `event` of the co-location document: visits to the pages of a tenant.

use super::csv::{Row, write_timestamp};
use super::random::{Random, Zipf};
use super::{Error, Options};

const HOUR_US: i64 = 3_600_000_000;
/// How old an event can be.
const SPAN_US: i64 = 28 * 24 * HOUR_US;

const SECTIONS: [&str; 4] = ["/blog/post", "/products/item", "/docs/page", "/about/part"];

pub fn write(options: &Options) -> Result<(), Error> {
    let tenants = options.companies.min(options.pages.div_ceil(8)).max(1);
    write_pages(options, tenants)?;
    write_events(options, tenants)
}

/// Pages are dealt to the tenants in turn and numbered per tenant from 1.
fn pages_of(tenant: u64, tenants: u64, pages: u64) -> u64 {
    pages / tenants + u64::from(tenant <= pages % tenants)
}

fn write_pages(options: &Options, tenants: u64) -> Result<(), Error> {
    let mut table = options.table("page", options.pages)?;
    let mut random = Random::new(options.seed, "page");
    let mut row = Row::default();
    for position in 0..options.pages {
        let (tenant, page) = (position % tenants + 1, position / tenants + 1);
        row.start();
        row.int(tenant);
        row.int(page);
        let section = SECTIONS[(page % 4) as usize];
        match random.below(30) {
            0 => row.null(),
            1 => row.text(format_args!("{section}-{page}, \"draft\"")),
            _ => row.text(format_args!("{section}-{page}")),
        }
        table.push(&mut row)?;
    }
    table.finish()
}

fn write_events(options: &Options, tenants: u64) -> Result<(), Error> {
    let mut table = options.table("event", options.events)?;
    let mut random = Random::new(options.seed, "event");
    // Tenant 6 of the document is the third largest.
    let mut by_size: Vec<u64> = (1..=tenants).collect();
    random.shuffle(&mut by_size);
    if let Some(at) = by_size.iter().position(|&tenant| tenant == 6) {
        by_size.swap(at, 2);
    }
    let weight = Zipf::new(by_size.len());
    let mut row = Row::default();
    let mut payload = String::new();
    for position in 0..options.events {
        let tenant = by_size[weight.pick(&mut random)];
        row.start();
        row.int(tenant);
        row.int(position + 1);
        if random.percent(3) {
            row.null();
        } else {
            row.int(1 + random.below(pages_of(tenant, tenants, options.pages)));
        }
        if random.percent(1) {
            row.null();
        } else {
            write_payload(&mut payload, &mut random, options.now_us());
            row.text(format_args!("{payload}"));
        }
        table.push(&mut row)?;
    }
    table.finish()
}

/// `{"time": "2025-12-30 10:11:12.131415+00", "kind": "view", "ms": 120}`.
fn write_payload(payload: &mut String, random: &mut Random, now_us: i64) {
    let mut age = HOUR_US + random.below(SPAN_US as u64) as i64;
    let week = 7 * 24 * HOUR_US;
    if (age - week).abs() < 4 * HOUR_US {
        age += 8 * HOUR_US;
    }
    payload.clear();
    payload.push_str("{\"time\": \"");
    write_timestamp(payload, now_us - age);
    payload.push_str("+00\"");
    let kind = random.pick(&["view", "view", "view", "scroll", "submit"]);
    payload.push_str(&format!(", \"kind\": \"{kind}\", \"ms\": {}}}", random.below(5_000)));
}
