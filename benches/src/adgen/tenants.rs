//! Companies, their campaigns and their ads: the tree that everything else hangs on.

use super::csv::Row;
use super::random::{Random, Zipf};
use super::{Error, Options, tracking};

const DAY_US: i64 = 86_400_000_000;

/// The tutorial queries this company and this ad.
const TUTORIAL_COMPANY: u64 = 5;
const TUTORIAL_AD: u64 = 290;

const ADJECTIVES: [&str; 12] = [
    "Amber", "Brisk", "Copper", "Distant", "Early", "Frank", "Golden", "Humble", "Ivory", "Jolly",
    "Keen", "Lucid",
];
const NOUNS: [&str; 12] = [
    "Anchor",
    "Bakery",
    "Cabinet",
    "Dynamo",
    "Engine",
    "Foundry",
    "Garden",
    "Harbour",
    "Institute",
    "Junction",
    "Kiosk",
    "Lantern",
];
/// The last ones need quoting in CSV, escaping in arrays, or more than one byte a character.
const FORMS: [&str; 10] = [
    "Inc.",
    "Ltd",
    "Group",
    "Partners",
    "GmbH",
    "LLC",
    "& Sons",
    "Co., Ltd",
    "\"The Original\"",
    "Société Générale d'Été",
];
const SITES: [&str; 16] = [
    "news.example",
    "weather.example",
    "maps.example",
    "recipes.example",
    "films.example",
    "travel.example",
    "sports.example",
    "games.example",
    "music.example",
    "books.example",
    "forum.example",
    "health.example",
    "autos.example",
    "homes.example",
    "jobs.example",
    "пример.example",
];

/// Ids are positions plus one.
pub struct Tenants {
    /// Company position of every campaign.
    campaigns: Vec<u32>,
    /// Company and campaign position of every ad.
    ads: Vec<(u32, u32)>,
    /// Companies that own ads, largest first.
    owners: Vec<u32>,
    owner_weight: Zipf,
    /// Ad positions by company, most shown first, each with its weights.
    ads_of: Vec<(Vec<u32>, Zipf)>,
}

impl Tenants {
    pub fn plan(options: &Options) -> Self {
        let companies = options.companies as usize;
        let by_size = companies_by_size(options);
        let weight = Zipf::new(companies);

        let mut random = Random::new(options.seed, "campaigns.company");
        let mut campaigns = Vec::with_capacity(options.campaigns as usize);
        let mut campaigns_of = vec![Vec::new(); companies];
        for position in 0..options.campaigns as usize {
            // Every company has a campaign before one has two.
            let company =
                by_size.get(position).copied().unwrap_or_else(|| by_size[weight.pick(&mut random)]);
            campaigns_of[company as usize].push(position as u32);
            campaigns.push(company);
        }

        let mut random = Random::new(options.seed, "ads.campaign");
        let advertisers: Vec<u32> = by_size
            .iter()
            .copied()
            .filter(|&company| !campaigns_of[company as usize].is_empty())
            .collect();
        let advertiser_weight = Zipf::new(advertisers.len());
        let campaign_weights: Vec<Zipf> =
            campaigns_of.iter().map(|list| Zipf::new(list.len())).collect();
        let mut ads = Vec::with_capacity(options.ads as usize);
        let mut ads_of = vec![Vec::new(); companies];
        for position in 0..options.ads as usize {
            let drawn = advertisers[advertiser_weight.pick(&mut random)];
            let tutorial = position as u64 + 1 == TUTORIAL_AD
                && advertisers.contains(&((TUTORIAL_COMPANY - 1) as u32));
            let company = if tutorial { (TUTORIAL_COMPANY - 1) as u32 } else { drawn };
            let own = &campaigns_of[company as usize];
            let campaign = own[campaign_weights[company as usize].pick(&mut random)];
            ads_of[company as usize].push(position as u32);
            ads.push((company, campaign));
        }

        let ads_of: Vec<(Vec<u32>, Zipf)> = ads_of
            .into_iter()
            .map(|mut list| {
                random.shuffle(&mut list);
                // The tutorial's ad is popular in its company.
                if let Some(at) = list.iter().position(|&ad| u64::from(ad) + 1 == TUTORIAL_AD) {
                    list.swap(at, 0);
                }
                let weight = Zipf::new(list.len());
                (list, weight)
            })
            .collect();
        let owners: Vec<u32> =
            by_size.into_iter().filter(|&company| !ads_of[company as usize].0.is_empty()).collect();
        let owner_weight = Zipf::new(owners.len());
        Self { campaigns, ads, owners, owner_weight, ads_of }
    }

    /// Position of the ad that a visitor sees next.
    pub fn pick_ad(&self, random: &mut Random) -> usize {
        let company = self.owners[self.owner_weight.pick(random)];
        let (ads, weight) = &self.ads_of[company as usize];
        ads[weight.pick(random)] as usize
    }

    /// Company id of the ad at a position.
    pub fn company_id(&self, ad: usize) -> u64 {
        u64::from(self.ads[ad].0) + 1
    }

    pub fn ad_count(&self) -> usize {
        self.ads.len()
    }

    pub fn write(&self, options: &Options) -> Result<(), Error> {
        write_companies(options)?;
        self.write_campaigns(options)?;
        self.write_ads(options)
    }

    fn write_campaigns(&self, options: &Options) -> Result<(), Error> {
        let mut random = Random::new(options.seed, "campaigns");
        let mut table = options.table("campaigns", options.campaigns)?;
        let mut row = Row::default();
        for (position, &company) in self.campaigns.iter().enumerate() {
            row.start();
            row.int(position as u64 + 1);
            row.int(u64::from(company) + 1);
            let (adjective, noun) = (random.pick(&ADJECTIVES), random.pick(&NOUNS));
            row.text(format_args!("{adjective} {noun} {}", 1 + random.below(99)));
            row.text(format_args!(
                "{}",
                random.pick(&["cost_per_click", "cost_per_click", "cost_per_impression"])
            ));
            row.text(format_args!(
                "{}",
                random.pick(&["running", "running", "paused", "archived"])
            ));
            if random.percent(10) {
                row.null();
            } else {
                row.int((1 + random.below(400)) * 50);
            }
            write_site_list(&mut row, &mut random);
            write_lifetime(&mut row, &mut random, options.now_us());
            table.push(&mut row)?;
        }
        table.finish()
    }

    fn write_ads(&self, options: &Options) -> Result<(), Error> {
        let impressions =
            tracking::count_by_ad(self, options.seed, "impressions", options.impressions);
        let clicks = tracking::count_by_ad(self, options.seed, "clicks", options.clicks);
        let mut random = Random::new(options.seed, "ads");
        let mut table = options.table("ads", options.ads)?;
        let mut row = Row::default();
        for (position, &(company, campaign)) in self.ads.iter().enumerate() {
            row.start();
            row.int(position as u64 + 1);
            row.int(u64::from(company) + 1);
            row.int(u64::from(campaign) + 1);
            let name = (random.pick(&ADJECTIVES), random.pick(&NOUNS), random.pick(&FORMS));
            row.text(format_args!("{} {}, {}", name.0, name.1, name.2));
            write_image_url(&mut row, &mut random);
            match random.below(20) {
                0 => row.null(),
                1 => row.text(format_args!("")),
                _ => row.text(format_args!(
                    "https://{}/landing?ad={}&ref=a,b",
                    random.pick(&SITES),
                    position + 1
                )),
            }
            row.int(impressions[position]);
            row.int(clicks[position]);
            write_lifetime(&mut row, &mut random, options.now_us());
            table.push(&mut row)?;
        }
        table.finish()
    }
}

/// Company positions, largest tenant first, in no order of id. The tutorial's company is fifth.
fn companies_by_size(options: &Options) -> Vec<u32> {
    let mut order: Vec<u32> = (0..options.companies as u32).collect();
    Random::new(options.seed, "companies.size").shuffle(&mut order);
    let wanted = (TUTORIAL_COMPANY - 1) as u32;
    if let Some(at) = order.iter().position(|&company| company == wanted) {
        order.swap(at, 4);
    }
    order
}

fn write_companies(options: &Options) -> Result<(), Error> {
    let mut random = Random::new(options.seed, "companies");
    let mut table = options.table("companies", options.companies)?;
    let mut row = Row::default();
    for id in 1..=options.companies {
        row.start();
        row.int(id);
        let name = (random.pick(&ADJECTIVES), random.pick(&NOUNS), random.pick(&FORMS));
        row.text(format_args!("{} {} {}", name.0, name.1, name.2));
        write_image_url(&mut row, &mut random);
        write_lifetime(&mut row, &mut random, options.now_us());
        table.push(&mut row)?;
    }
    table.finish()
}

fn write_image_url(row: &mut Row, random: &mut Random) {
    if random.percent(8) {
        row.null();
    } else {
        let (site, picture) = (random.pick(&SITES), random.bits() as u32);
        row.text(format_args!("https://img.{site}/{picture:08x}.png"));
    }
}

/// `created_at` and `updated_at`: within two years before `now_us`.
fn write_lifetime(row: &mut Row, random: &mut Random, now_us: i64) {
    let age = 130 * DAY_US + random.below(600 * DAY_US as u64) as i64;
    // Whole seconds are as common in real data as fractions.
    let created =
        if random.percent(50) { now_us - age } else { (now_us - age) / 1_000_000 * 1_000_000 };
    row.timestamp(created);
    row.timestamp(created + random.below(age as u64) as i64);
}

/// `text[]`: NULL, empty, or some sites, now and then with an element that needs escaping.
fn write_site_list(row: &mut Row, random: &mut Random) {
    let count = match random.below(10) {
        0 => return row.null(),
        1 => 0,
        n => n / 2,
    };
    let mut list = String::from("{");
    for position in 0..count {
        if position > 0 {
            list.push(',');
        }
        match random.below(40) {
            0 => list.push_str("NULL"),
            1 => list.push_str(r#""http://odd.example/?q=\"a\",{b}""#),
            2 => list.push_str(r#""""#),
            _ => {
                list.push_str("http://");
                list.push_str(random.pick(&SITES));
            }
        }
    }
    list.push('}');
    row.text(format_args!("{list}"));
}

/// A site on which an ad was shown.
pub fn pick_site(random: &mut Random) -> &'static str {
    random.pick(&SITES)
}
