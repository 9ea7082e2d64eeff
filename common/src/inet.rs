//! `inet` and `cidr` values.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{SqlError, SqlState};

/// An address with its network prefix length in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inet {
    pub address: IpAddr,
    pub prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InetError {
    #[error("invalid input syntax for type inet: \"{0}\"")]
    Inet(String),
    #[error("invalid input syntax for type cidr: \"{0}\"")]
    Cidr(String),
    #[error("invalid cidr value: \"{0}\"")]
    HostBits(String),
    #[error("invalid mask length: {0}")]
    MaskLength(i64),
    #[error("cannot AND inet values of different sizes")]
    AndSizes,
    #[error("cannot OR inet values of different sizes")]
    OrSizes,
    #[error("cannot subtract inet values of different sizes")]
    SubtractSizes,
    #[error("cannot merge addresses from different families")]
    MergeFamilies,
    #[error("result is out of range")]
    OutOfRange,
}

impl From<InetError> for SqlError {
    fn from(error: InetError) -> Self {
        let message = error.to_string();
        match error {
            InetError::Inet(_) | InetError::Cidr(_) => {
                SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
            }
            InetError::HostBits(_) => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
                .detail("Value has bits set to right of mask."),
            InetError::OutOfRange => SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message),
            InetError::MaskLength(_)
            | InetError::AndSizes
            | InetError::OrSizes
            | InetError::SubtractSizes
            | InetError::MergeFamilies => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message),
        }
    }
}

type Result<T> = std::result::Result<T, InetError>;

/// PostgreSQL's family byte of IPv4 addresses, in hashes and on the wire.
pub const FAMILY_V4: u8 = 2;
/// PostgreSQL's family byte of IPv6 addresses.
pub const FAMILY_V6: u8 = 3;

impl Inet {
    /// `None` when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits_of(address)).then_some(Self { address, prefix })
    }

    pub fn host_address(address: IpAddr) -> Self {
        Self { address, prefix: bits_of(address) }
    }

    /// Input of type `inet`.
    pub fn parse(text: &str) -> Result<Self> {
        parse_address(text, false).ok_or_else(|| InetError::Inet(text.to_owned()))
    }

    /// Input of type `cidr`: octets may be left out, bits right of the mask must be zero.
    pub fn parse_cidr(text: &str) -> Result<Self> {
        let value = parse_address(text, true).ok_or_else(|| InetError::Cidr(text.to_owned()))?;
        if value.raw() != value.raw() & value.mask() {
            return Err(InetError::HostBits(text.to_owned()));
        }
        Ok(value)
    }

    /// 4 or 6.
    pub fn family(&self) -> i32 {
        if self.is_v4() { 4 } else { 6 }
    }

    fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Bits of an address of this family: 32 or 128.
    pub fn max_bits(&self) -> u8 {
        bits_of(self.address)
    }

    /// The address as a number; an IPv4 address takes the low 32 bits.
    fn raw(&self) -> u128 {
        match self.address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6),
        }
    }

    fn full(&self) -> u128 {
        if self.is_v4() { u128::from(u32::MAX) } else { u128::MAX }
    }

    fn mask(&self) -> u128 {
        mask(self.max_bits(), self.prefix)
    }

    fn with_raw(&self, raw: u128, prefix: u8) -> Self {
        let address = if self.is_v4() {
            IpAddr::V4(Ipv4Addr::from(raw as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from(raw))
        };
        Self { address, prefix }
    }

    /// The network the address is in, as `network(inet)`.
    pub fn network(&self) -> Self {
        self.with_raw(self.raw() & self.mask(), self.prefix)
    }

    /// `broadcast(inet)`: all host bits set, same prefix.
    pub fn broadcast(&self) -> Self {
        self.with_raw(self.raw() | (self.full() & !self.mask()), self.prefix)
    }

    pub fn netmask(&self) -> Self {
        self.with_raw(self.mask(), self.max_bits())
    }

    pub fn hostmask(&self) -> Self {
        self.with_raw(self.full() & !self.mask(), self.max_bits())
    }

    /// `host(inet)`: the address without the prefix.
    pub fn host(&self) -> String {
        format_address(self.address)
    }

    /// `text(inet)`: always with the prefix.
    pub fn text(&self) -> String {
        format!("{}/{}", self.host(), self.prefix)
    }

    /// `abbrev(inet)`.
    pub fn abbrev(&self) -> String {
        self.to_string()
    }

    /// `abbrev(cidr)`: IPv4 networks without their zero octets.
    pub fn abbrev_cidr(&self) -> String {
        match self.address {
            IpAddr::V4(v4) => {
                let shown = usize::from(self.prefix.div_ceil(8)).max(1);
                let octets = &v4.octets()[..shown];
                let parts: Vec<String> = octets.iter().map(u8::to_string).collect();
                format!("{}/{}", parts.join("."), self.prefix)
            }
            IpAddr::V6(v6) => v6_abbrev(v6, self.prefix),
        }
    }

    /// Output of type `cidr`: the prefix is always shown.
    pub fn cidr_text(&self) -> String {
        self.text()
    }

    /// `set_masklen(inet, integer)`; -1 means all bits.
    pub fn set_masklen(&self, bits: i32) -> Result<Self> {
        let prefix = self.check_masklen(bits)?;
        Ok(Self { address: self.address, prefix })
    }

    /// `set_masklen(cidr, integer)`: clears the host bits.
    pub fn set_masklen_cidr(&self, bits: i32) -> Result<Self> {
        Ok(self.set_masklen(bits)?.network())
    }

    fn check_masklen(&self, bits: i32) -> Result<u8> {
        if bits == -1 {
            return Ok(self.max_bits());
        }
        u8::try_from(bits)
            .ok()
            .filter(|bits| *bits <= self.max_bits())
            .ok_or(InetError::MaskLength(i64::from(bits)))
    }

    /// `self >>= other`: the network of `self` contains or equals that of `other`.
    pub fn contains_or_equals(&self, other: &Self) -> bool {
        self.is_v4() == other.is_v4()
            && self.prefix <= other.prefix
            && (self.raw() ^ other.raw()) & self.mask() == 0
    }

    /// `self >> other`.
    pub fn contains(&self, other: &Self) -> bool {
        self.prefix < other.prefix && self.contains_or_equals(other)
    }

    /// `self && other`: either network contains the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains_or_equals(other) || other.contains_or_equals(self)
    }

    /// `inet_same_family`.
    pub fn same_family(&self, other: &Self) -> bool {
        self.is_v4() == other.is_v4()
    }

    /// `inet_merge`: the smallest network that holds both.
    pub fn merge(&self, other: &Self) -> Result<Self> {
        if !self.same_family(other) {
            return Err(InetError::MergeFamilies);
        }
        let unused = 128 - u32::from(self.max_bits());
        let common = ((self.raw() ^ other.raw()).leading_zeros() - unused) as u8;
        let prefix = common.min(self.prefix).min(other.prefix);
        Ok(Self { address: self.address, prefix }.network())
    }

    /// `~ inet`.
    pub fn not(&self) -> Self {
        self.with_raw(self.full() & !self.raw(), self.prefix)
    }

    /// `inet & inet`.
    pub fn and(&self, other: &Self) -> Result<Self> {
        if !self.same_family(other) {
            return Err(InetError::AndSizes);
        }
        Ok(self.with_raw(self.raw() & other.raw(), self.prefix.max(other.prefix)))
    }

    /// `inet | inet`.
    pub fn or(&self, other: &Self) -> Result<Self> {
        if !self.same_family(other) {
            return Err(InetError::OrSizes);
        }
        Ok(self.with_raw(self.raw() | other.raw(), self.prefix.max(other.prefix)))
    }

    /// `inet + bigint` (or minus, with a negative `offset`).
    pub fn add(&self, offset: i64) -> Result<Self> {
        let raw = self.raw();
        let moved = if offset >= 0 {
            raw.checked_add(u128::from(offset.unsigned_abs()))
        } else {
            raw.checked_sub(u128::from(offset.unsigned_abs()))
        };
        let moved = moved.filter(|raw| *raw <= self.full()).ok_or(InetError::OutOfRange)?;
        Ok(self.with_raw(moved, self.prefix))
    }

    /// `inet - inet`.
    pub fn distance(&self, other: &Self) -> Result<i64> {
        if !self.same_family(other) {
            return Err(InetError::SubtractSizes);
        }
        let (a, b) = (self.raw(), other.raw());
        let magnitude = i128::try_from(a.abs_diff(b)).map_err(|_| InetError::OutOfRange)?;
        let signed = if a < b { -magnitude } else { magnitude };
        i64::try_from(signed).map_err(|_| InetError::OutOfRange)
    }

    /// The order-preserving form: family, masked network, prefix length, full address.
    /// 10 bytes for IPv4, 34 for IPv6.
    pub fn to_sortable(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(34);
        self.append_sortable(&mut out);
        out
    }

    pub fn append_sortable(&self, out: &mut Vec<u8>) {
        let masked = self.raw() & self.mask();
        match self.address {
            IpAddr::V4(v4) => {
                out.push(FAMILY_V4);
                out.extend_from_slice(&(masked as u32).to_be_bytes());
                out.push(self.prefix);
                out.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                out.push(FAMILY_V6);
                out.extend_from_slice(&masked.to_be_bytes());
                out.push(self.prefix);
                out.extend_from_slice(&v6.octets());
            }
        }
    }

    /// `None` when `bytes` is not what [`Self::to_sortable`] writes.
    pub fn from_sortable(bytes: &[u8]) -> Option<Self> {
        let value = match *bytes.first()? {
            FAMILY_V4 => {
                let address: [u8; 4] = bytes.get(6..)?.try_into().ok()?;
                Self::new(IpAddr::from(address), bytes[5])?
            }
            FAMILY_V6 => {
                let address: [u8; 16] = bytes.get(18..)?.try_into().ok()?;
                Self::new(IpAddr::from(address), bytes[17])?
            }
            _ => return None,
        };
        let masked = value.raw() & value.mask();
        let network_matches = if value.is_v4() {
            bytes[1..5] == (masked as u32).to_be_bytes()
        } else {
            bytes[1..17] == masked.to_be_bytes()
        };
        network_matches.then_some(value)
    }

    /// What PostgreSQL's `hashinet` hashes: family, prefix, address bytes.
    pub fn hash_bytes(&self) -> ([u8; 18], usize) {
        let mut out = [0; 18];
        out[1] = self.prefix;
        match self.address {
            IpAddr::V4(v4) => {
                out[0] = FAMILY_V4;
                out[2..6].copy_from_slice(&v4.octets());
                (out, 6)
            }
            IpAddr::V6(v6) => {
                out[0] = FAMILY_V6;
                out[2..18].copy_from_slice(&v6.octets());
                (out, 18)
            }
        }
    }
}

/// PostgreSQL's order: family, common network bits, prefix length, address.
impl Ord for Inet {
    fn cmp(&self, other: &Self) -> Ordering {
        let key =
            |value: &Self| (!value.is_v4(), value.raw() & value.mask(), value.prefix, value.raw());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Inet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Output of type `inet`: the prefix is left out when it covers the whole address.
impl fmt::Display for Inet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host())?;
        if self.prefix != self.max_bits() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(bits: u8, prefix: u8) -> u128 {
    let ones = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let host = u32::from(bits - prefix);
    ones & u128::MAX.checked_shl(host).unwrap_or(0)
}

fn format_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6_text(v6),
    }
}

/// As BIND's `inet_ntop` prints: like Rust, but `::a.b.c.d` also for compatible addresses whose
/// low part is more than one group.
fn v6_text(v6: Ipv6Addr) -> String {
    let groups = v6.segments();
    let compatible = groups[..6].iter().all(|group| *group == 0) && groups[6] != 0;
    if compatible {
        let [.., a, b, c, d] = v6.octets();
        return format!("::{a}.{b}.{c}.{d}");
    }
    v6.to_string()
}

/// `abbrev(cidr)` of an IPv6 network: only the groups that the prefix covers, at least two.
fn v6_abbrev(v6: Ipv6Addr, prefix: u8) -> String {
    if prefix == 0 {
        return "::/0".into();
    }
    let groups = v6.segments();
    let shown = usize::from(prefix.div_ceil(16)).max(2);
    if shown == 8 {
        return format!("{}/{prefix}", v6_text(v6));
    }
    let groups = &groups[..shown];
    let (start, len) = longest_zero_run(groups);
    let mut out = String::new();
    for (at, group) in groups.iter().enumerate() {
        if len != 0 && (start..start + len).contains(&at) {
            if at == start {
                out.push(':');
            }
            if at == shown - 1 {
                out.push(':');
            }
            continue;
        }
        if !out.is_empty() {
            out.push(':');
        }
        out.push_str(&format!("{group:x}"));
    }
    format!("{out}/{prefix}")
}

/// Start and length of the first longest run of zero groups.
fn longest_zero_run(groups: &[u16]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (at, group) in groups.iter().enumerate() {
        run = match (*group, run) {
            (0, (start, len)) if len > 0 => (start, len + 1),
            (0, _) => (at, 1),
            _ => (0, 0),
        };
        if run.1 > best.1 {
            best = run;
        }
    }
    best
}

fn parse_address(text: &str, is_cidr: bool) -> Option<Inet> {
    if text.contains(':') { parse_v6(text) } else { parse_v4(text, is_cidr) }
}

fn parse_prefix(text: &str, max: u8) -> Option<u8> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Leading zeros are for IPv4 only.
    if !plain || (max == 128 && text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse::<u8>().ok().filter(|bits| *bits <= max)
}

fn parse_v6(text: &str) -> Option<Inet> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, parse_prefix(prefix, 128)?),
        None => (text, 128),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    Inet::new(IpAddr::V6(address), prefix)
}

fn parse_v4(text: &str, is_cidr: bool) -> Option<Inet> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(parse_prefix(prefix, 32)?)),
        None => (text, None),
    };
    let mut octets = [0u8; 4];
    let mut count = 0;
    let hex = address.strip_prefix("0x").or_else(|| address.strip_prefix("0X"));
    if let Some(digits) = hex.filter(|_| is_cidr) {
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain || digits.is_empty() || digits.len() > 8 {
            return None;
        }
        for pair in digits.as_bytes().chunks(2) {
            let nibbles = std::str::from_utf8(pair).ok()?;
            let value = u8::from_str_radix(nibbles, 16).ok()?;
            octets[count] = if pair.len() == 1 { value << 4 } else { value };
            count += 1;
        }
        return finish_v4(octets, count, prefix, is_cidr);
    }
    let address = match address.strip_suffix('.') {
        Some(shorter) if prefix.is_some() && !is_cidr => shorter,
        _ => address,
    };
    for part in address.split('.') {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if count == 4 || !plain {
            return None;
        }
        octets[count] = part.parse::<u32>().ok().and_then(|n| u8::try_from(n).ok())?;
        count += 1;
    }
    finish_v4(octets, count, prefix, is_cidr)
}

/// Adds the prefix that `count` written octets imply when none was given.
fn finish_v4(octets: [u8; 4], count: usize, prefix: Option<u8>, is_cidr: bool) -> Option<Inet> {
    let address = IpAddr::V4(Ipv4Addr::from(octets));
    if !is_cidr {
        // inet takes fewer octets only with a prefix that they (nearly) cover.
        let prefix = match prefix {
            Some(prefix) if usize::from(prefix / 8) <= count => prefix,
            None if count == 4 => 32,
            _ => return None,
        };
        return Inet::new(address, prefix);
    }
    let prefix = match prefix {
        Some(prefix) => prefix,
        None => {
            // The class of the network, but no less than the octets that are written.
            let class = match octets[0] {
                240.. => 32,
                224.. => 8,
                192.. => 24,
                128.. => 16,
                _ => 8,
            };
            let written = (count * 8) as u8;
            let bits = class.max(written);
            // A multicast network of one octet is the whole class D.
            if class == 8 && octets[0] == 224 && bits == 8 { 4 } else { bits }
        }
    };
    Inet::new(address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str) -> Inet {
        Inet::parse(text).unwrap()
    }

    #[test]
    fn text_round_trips() {
        for text in ["10.1.2.3", "10.1.2.3/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4/96", "::/0"]
        {
            assert_eq!(inet(text).to_string(), text);
        }
        assert_eq!(inet("10.1/16").to_string(), "10.1.0.0/16");
        for bad in ["", "10", "10.1", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/", "::1/129"]
        {
            assert_eq!(Inet::parse(bad), Err(InetError::Inet(bad.into())));
        }
    }

    #[test]
    fn cidr_fills_in_octets_and_refuses_host_bits() {
        let cidr = |text| Inet::parse_cidr(text).map(|value| value.cidr_text());
        assert_eq!(cidr("10").unwrap(), "10.0.0.0/8");
        assert_eq!(cidr("0x0a01").unwrap(), "10.1.0.0/16");
        assert_eq!(cidr("224").unwrap(), "224.0.0.0/4");
        assert_eq!(cidr("192.168").unwrap(), "192.168.0.0/24");
        assert_eq!(cidr("192.168.1.7").unwrap(), "192.168.1.7/32");
        assert_eq!(cidr("10.1.0.0/8"), Err(InetError::HostBits("10.1.0.0/8".into())));
    }

    #[test]
    fn abbreviations() {
        let abbrev = |text| Inet::parse_cidr(text).unwrap().abbrev_cidr();
        assert_eq!(abbrev("10.0.0.0/8"), "10/8");
        assert_eq!(abbrev("0.0.0.0/0"), "0/0");
        assert_eq!(abbrev("2001:db8::/32"), "2001:db8/32");
        assert_eq!(abbrev("1:2:3::/48"), "1:2:3/48");
        assert_eq!(inet("::1:2").to_string(), "::0.1.0.2");
    }

    #[test]
    fn containment() {
        assert!(inet("192.168.1/24").contains(&inet("192.168.1.5")));
        assert!(!inet("192.168.1/24").contains(&inet("192.168.1/24")));
        assert!(inet("192.168.1/24").contains_or_equals(&inet("192.168.1/24")));
        assert!(inet("192.168.1/28").overlaps(&inet("192.168.1/24")));
        assert!(!inet("::/0").overlaps(&inet("192.168.1/24")));
    }

    #[test]
    fn sortable_form_keeps_order() {
        let mut values: Vec<Inet> =
            ["10.1.0.0/8", "10.0.0.0/16", "10.0.0.0/8", "10.0.0.1", "9.9.9.9", "::1", "::/0"]
                .map(inet)
                .to_vec();
        values.sort();
        let encoded: Vec<_> = values.iter().map(Inet::to_sortable).collect();
        assert!(encoded.is_sorted());
        for (value, bytes) in values.iter().zip(&encoded) {
            assert_eq!(Inet::from_sortable(bytes), Some(*value));
            assert_eq!(Inet::from_sortable(&bytes[1..]), None);
        }
    }

    /// `operation, arguments, result`, tab separated; by PostgreSQL 15.
    const ORACLE: &str = include_str!("inet/oracle.golden");

    fn apply(operation: &str, a: &[&str]) -> Result<String> {
        let first = inet(a[0]);
        let second = || inet(a[1]);
        let truth = |value: bool| if value { "t" } else { "f" }.to_owned();
        Ok(match operation {
            "host" => first.host(),
            "network" => first.network().cidr_text(),
            "broadcast" => first.broadcast().to_string(),
            "netmask" => first.netmask().to_string(),
            "hostmask" => first.hostmask().to_string(),
            "masklen" => first.prefix.to_string(),
            "family" => first.family().to_string(),
            "abbrev" => first.abbrev(),
            "text" => first.text(),
            "abbrev_cidr" => first.network().abbrev_cidr(),
            "not" => first.not().to_string(),
            "set_masklen" => first.set_masklen(a[1].parse().unwrap())?.to_string(),
            "+" => first.add(a[1].parse().unwrap())?.to_string(),
            "-" => first.distance(&second())?.to_string(),
            "<<" => truth(second().contains(&first)),
            "<<=" => truth(second().contains_or_equals(&first)),
            ">>" => truth(first.contains(&second())),
            ">>=" => truth(first.contains_or_equals(&second())),
            "&&" => truth(first.overlaps(&second())),
            "cmp" => (first.cmp(&second()) as i32).to_string(),
            "merge" => first.merge(&second())?.cidr_text(),
            "and" => first.and(&second())?.to_string(),
            "or" => first.or(&second())?.to_string(),
            other => panic!("unknown operation {other}"),
        })
    }

    #[test]
    fn operations_are_postgresql_s() {
        for line in ORACLE.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let (operation, arguments) = (fields[0], &fields[1..fields.len() - 1]);
            let actual = apply(operation, arguments).unwrap_or_else(|error| {
                let error = SqlError::from(error);
                format!("ERROR {} {}", error.state(), error.message())
            });
            let mut expected = fields[fields.len() - 1].to_owned();
            if operation == "cmp" {
                // Only the sign tells.
                expected = expected.parse::<i32>().unwrap().signum().to_string();
            }
            assert_eq!(actual, expected, "{line}");
        }
    }
}
