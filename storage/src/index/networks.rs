//! Networks: an address is in at most 33 of them, or 129, one of each prefix length, so that those
//! that hold it are found by looking for each. No tree of rectangles is needed.
//!
//! ```text
//! entry = family | network, host bits zero | prefix length      (how the sortable form begins)
//! ```

use satsuma_common::inet::{FAMILY_V4, Inet};

use crate::shard::KeyRange;

/// How an indexed network is compared with a given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkTest {
    /// `column >> given` or `>>=`.
    Holds,
    /// `column << given` or `<<=`.
    Within,
    /// `column && given`.
    Overlaps,
    Equals,
}

/// Length of an entry of this family.
fn length(family: u8) -> usize {
    if family == FAMILY_V4 { 6 } else { 18 }
}

/// The entry of an address in its sortable form.
pub(super) fn entry(sortable: &[u8]) -> Option<Vec<u8>> {
    Some(sortable.get(..length(*sortable.first()?))?.to_vec())
}

/// What networks that hold the same addresses have in common. Of the network's host bits none may
/// be set.
pub fn network_entry(network: &Inet) -> Option<Vec<u8>> {
    entry(&network.to_sortable())
}

/// Ranges of entries that satisfy the test; some that do not may be among them.
pub fn network_probe(test: NetworkTest, given: &Inet) -> Vec<KeyRange> {
    match test {
        NetworkTest::Holds => holding(given),
        NetworkTest::Within => vec![within(given)],
        NetworkTest::Overlaps => {
            let mut ranges = holding(given);
            ranges.push(within(given));
            ranges
        }
        NetworkTest::Equals => {
            entry(&given.to_sortable()).map(KeyRange::prefix).into_iter().collect()
        }
    }
}

fn holding(given: &Inet) -> Vec<KeyRange> {
    let shorter = |prefix| Some(Inet::new(given.address, prefix)?.network().to_sortable());
    (0..=given.prefix).filter_map(|prefix| entry(&shorter(prefix)?)).map(KeyRange::prefix).collect()
}

/// From the first to the last address of the network.
fn within(given: &Inet) -> KeyRange {
    use std::ops::Bound;
    let network = |inet: Inet| {
        let sortable = Inet::host_address(inet.address).to_sortable();
        entry(&sortable).unwrap_or_default()
    };
    let mut from = network(given.network());
    from.pop();
    let to = network(given.broadcast());
    KeyRange { from: Bound::Included(from), to: Bound::Included(to) }
}

#[cfg(test)]
mod tests {
    use super::super::definition::half_open;
    use super::*;

    fn inet(text: &str) -> Inet {
        Inet::parse(text).unwrap()
    }

    #[test]
    fn every_network_that_satisfies_a_test_is_in_its_ranges() {
        let networks = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3",
            "10.1.2.3/16",
            "10.255.255.255",
            "11.0.0.0/8",
            "192.168.0.0/16",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1",
            "fe80::/10",
        ];
        for test in
            [NetworkTest::Holds, NetworkTest::Within, NetworkTest::Overlaps, NetworkTest::Equals]
        {
            for given in networks.map(inet) {
                let ranges = network_probe(test, &given);
                let found = |column: &Inet| {
                    let entry = entry(&column.to_sortable()).unwrap();
                    ranges.iter().any(|range| {
                        let (from, to) = half_open(range);
                        entry[..] >= *from && to.is_none_or(|to| entry[..] < *to)
                    })
                };
                let mut extra = 0;
                for column in networks.map(inet) {
                    let wanted = match test {
                        NetworkTest::Holds => column.contains_or_equals(&given),
                        NetworkTest::Within => given.contains_or_equals(&column),
                        NetworkTest::Overlaps => column.overlaps(&given),
                        NetworkTest::Equals => column == given,
                    };
                    assert!(!wanted || found(&column), "{test:?} {column:?} {given:?}");
                    extra += usize::from(found(&column) && !wanted);
                }
                // Addresses with host bits share the entry of their network.
                assert!(extra <= 2, "{test:?} {given:?}: {extra}");
            }
        }
    }

    use proptest::prelude::*;

    /// Near each other, of both families, with host bits or without.
    fn addresses() -> impl Strategy<Value = Inet> {
        let v4 = (any::<u32>(), 0u8..=32, any::<bool>()).prop_map(|(bits, prefix, near)| {
            let bits = if near { 0x0a01_0200 | bits & 0x1ff } else { bits };
            Inet::new(std::net::Ipv4Addr::from(bits).into(), prefix).unwrap()
        });
        let v6 = (any::<u128>(), 0u8..=128, any::<bool>()).prop_map(|(bits, prefix, near)| {
            let bits = if near { 0x2001_0db8 << 96 | bits & 0x1ff } else { bits };
            Inet::new(std::net::Ipv6Addr::from(bits).into(), prefix).unwrap()
        });
        let either = prop_oneof![v4, v6];
        (either, any::<bool>()).prop_map(|(inet, bare)| if bare { inet.network() } else { inet })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn no_address_that_satisfies_a_test_is_left_out(
            column in addresses(),
            given in addresses(),
        ) {
            let entry = entry(&column.to_sortable()).unwrap();
            let tests = [
                (NetworkTest::Holds, column.contains_or_equals(&given)),
                (NetworkTest::Within, given.contains_or_equals(&column)),
                (NetworkTest::Overlaps, column.overlaps(&given)),
                (NetworkTest::Equals, column == given),
            ];
            for (test, wanted) in tests {
                let found = network_probe(test, &given).iter().any(|range| {
                    let (from, to) = half_open(range);
                    entry[..] >= *from && to.is_none_or(|to| entry[..] < *to)
                });
                prop_assert!(!wanted || found, "{test:?} {column:?} {given:?}");
            }
        }
    }
}
