//! `inet` and `cidr` values.

use std::net::IpAddr;

/// An address with its network prefix length in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inet {
    pub address: IpAddr,
    pub prefix: u8,
}
