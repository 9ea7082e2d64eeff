//! `geo_ips`: disjoint networks with a place each, and the addresses in them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::csv::Row;
use super::random::Random;
use super::{Error, Options};

/// Each network lies in a slot of its own: a /20 for IPv4, from 1.0.0.0 up to 222.255.255.255.
pub const MAX_NETWORKS: u64 = (223 - 1) << 12;

pub enum Network {
    V4 { base: u32, bits: u32 },
    V6 { base: u128, bits: u32 },
}

pub struct Networks {
    list: Vec<Network>,
}

/// `inet` text of one host.
pub enum Address {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
        }
    }
}

impl Networks {
    pub fn plan(count: u64, seed: u64) -> Self {
        let mut random = Random::new(seed, "geo_ips.networks");
        let list = (0..count)
            .map(|slot| match random.below(20) {
                // 2001:db8::/32 is set aside for documentation; a /56 slot each.
                0 => {
                    let bits = 56 + random.below(41) as u32;
                    let base = (0x2001_0db8_u128 << 96) | (u128::from(slot) << 72);
                    Network::V6 { base, bits }
                }
                _ => {
                    let bits = 20 + random.below(9) as u32;
                    let base = (1 << 24) + (slot << 12);
                    Network::V4 { base: base as u32, bits }
                }
            })
            .collect();
        Self { list }
    }

    /// A host in one of the networks, strictly inside it.
    pub fn pick_address(&self, random: &mut Random) -> Address {
        let Some(network) = self.list.get(random.below(self.list.len() as u64) as usize) else {
            return Address::V4(Ipv4Addr::from(random.bits() as u32));
        };
        match *network {
            Network::V4 { base, bits } => {
                let host = random.below(1 << (32 - bits)) as u32;
                Address::V4(Ipv4Addr::from(base | host))
            }
            Network::V6 { base, bits } => {
                let host = u128::from(random.bits()) & ((1 << (128 - bits)) - 1);
                Address::V6(Ipv6Addr::from(base | host))
            }
        }
    }

    pub fn write(&self, options: &Options) -> Result<(), Error> {
        let mut random = Random::new(options.seed, "geo_ips");
        let mut table = options.table("geo_ips", self.list.len() as u64)?;
        let mut row = Row::default();
        for network in &self.list {
            row.start();
            match *network {
                Network::V4 { base, bits } => {
                    row.plain(format_args!("{}/{bits}", Ipv4Addr::from(base)));
                }
                Network::V6 { base, bits } => {
                    row.plain(format_args!("{}/{bits}", Ipv6Addr::from(base)));
                }
            }
            let latitude = random.below(180_000_001) as i64 - 90_000_000;
            let longitude = random.below(360_000_001) as i64 - 180_000_000;
            row.text(format_args!("({},{})", Millionths(latitude), Millionths(longitude)));
            table.push(&mut row)?;
        }
        table.finish()
    }
}

/// A decimal fraction, written exactly.
struct Millionths(i64);

impl fmt::Display for Millionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.abs() / 1_000_000, self.0.abs() % 1_000_000);
        write!(f, "{sign}{whole}.{fraction:06}")
    }
}
