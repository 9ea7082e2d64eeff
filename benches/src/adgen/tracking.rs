//! Clicks and impressions: what happens to ads, in the order of time.

use std::fmt::Write;

use super::csv::{Row, Table};
use super::geo::Networks;
use super::random::Random;
use super::tenants::{Tenants, pick_site};
use super::{Error, Options};

const DAY_US: i64 = 86_400_000_000;
/// How far back the first click and impression go.
const SPAN_US: i64 = 120 * DAY_US;

const LOCATIONS: [&str; 14] =
    ["AU", "BR", "CA", "DE", "EG", "ES", "FR", "GB", "IN", "JP", "MX", "NL", "US", "ZA"];

/// How often each ad is hit by the first `rows` rows of `table`: the same draws the rows make.
pub fn count_by_ad(tenants: &Tenants, seed: u64, table: &str, rows: u64) -> Vec<u64> {
    let mut random = ad_stream(seed, table);
    let mut counts = vec![0; tenants.ad_count()];
    for _ in 0..rows {
        counts[tenants.pick_ad(&mut random)] += 1;
    }
    counts
}

fn ad_stream(seed: u64, table: &str) -> Random {
    Random::new(seed, &format!("{table}.ad"))
}

pub fn write_clicks(
    options: &Options,
    tenants: &Tenants,
    networks: &Networks,
) -> Result<(), Error> {
    // Up to 2.5 dollars a click.
    write(
        options,
        tenants,
        networks,
        options.table("clicks", options.clicks)?,
        "clicks",
        options.clicks,
        25_000_000_000,
    )
}

pub fn write_impressions(
    options: &Options,
    tenants: &Tenants,
    networks: &Networks,
) -> Result<(), Error> {
    // Up to two cents an impression.
    write(
        options,
        tenants,
        networks,
        options.table("impressions", options.impressions)?,
        "impressions",
        options.impressions,
        200_000_000,
    )
}

fn write(
    options: &Options,
    tenants: &Tenants,
    networks: &Networks,
    mut table: Table,
    name: &str,
    rows: u64,
    highest_cost: u64,
) -> Result<(), Error> {
    let mut ads = ad_stream(options.seed, name);
    let mut random = Random::new(options.seed, name);
    let mut row = Row::default();
    let mut user_data = String::new();
    let start = options.now_us() - SPAN_US;
    let step = SPAN_US / rows.max(1) as i64;
    for position in 0..rows {
        let ad = tenants.pick_ad(&mut ads);
        row.start();
        row.int(position + 1);
        row.int(tenants.company_id(ad));
        row.int(ad as u64 + 1);
        // Rows come in order of time but for a little jitter, as a log does.
        let jitter = random.below(step.max(1) as u64 * 8) as i64;
        row.timestamp((start + position as i64 * step + jitter).min(options.now_us()));
        row.text(format_args!("http://{}/{}", pick_site(&mut random), random.below(1000)));
        match random.below(50) {
            0 => row.null(),
            // Round prices and prices with all ten digits.
            1..=24 => row.tenth_nanos((1 + random.below(highest_cost / 100_000_000)) * 100_000_000),
            _ => row.tenth_nanos(1 + random.below(highest_cost)),
        }
        let address = networks.pick_address(&mut random);
        row.plain(format_args!("{address}"));
        write_user_data(&mut user_data, &mut random);
        row.text(format_args!("{user_data}"));
        table.push(&mut row)?;
    }
    table.finish()
}

/// `{"is_mobile": true, "location": "NL"}`: one tenant in ten keeps no `is_mobile`, and some
/// keep more, nested and with characters that need escaping.
fn write_user_data(json: &mut String, random: &mut Random) {
    json.clear();
    json.push('{');
    if random.percent(90) {
        let _ = write!(json, "\"is_mobile\": {}, ", random.percent(56));
    }
    let _ = write!(json, "\"location\": \"{}\"", random.pick(&LOCATIONS));
    match random.below(25) {
        0 => {
            let (width, height) = (random.below(4000), random.below(4000));
            let _ = write!(json, ", \"screen\": {{\"width\": {width}, \"height\": {height}}}");
        }
        1 => json.push_str(r#", "tags": ["a", "b\"c", null, 1.50, "日本"]"#),
        2 => json.push_str(r#", "referrer": null"#),
        _ => {}
    }
    json.push('}');
}
