//! `inet` and `cidr` values: the type, networks and order. `inet/text.rs` reads and prints them.

mod text;

use std::cmp::Ordering;
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

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(bits: u8, prefix: u8) -> u128 {
    let ones = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let host = u32::from(bits - prefix);
    ones & u128::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests;
