//! Text forms of `inet` and `cidr`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Inet, InetError, Result};

impl Inet {
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
