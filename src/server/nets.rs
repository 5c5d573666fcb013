//! Owns sets of prefixes of addresses, with something to each, and how an address is found in one. Knows nothing of what
//! they are for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Prefixes, and a `T` to each.
///
/// To look an address up costs one look into a table for each length of prefix that there is, however many there are of
/// them: ten thousand single addresses are one look.
#[derive(Clone, Debug)]
pub(super) struct Nets<T> {
    /// By the length of the prefix, the longest first.
    levels: Vec<Level<T>>,
}

/// The prefixes of one length.
#[derive(Clone, Debug)]
struct Level<T> {
    prefix: Prefix,
    nets: HashMap<u128, T>,
}

/// The length of a prefix, in bits of IPv6: an IPv4 address is what it is mapped to (RFC 4291, 2.5.5.2), so that it is the
/// same prefix however it is written.
type Prefix = u8;

/// What the shortest prefix of IPv4 addresses has. Prefixes that are shorter are IPv6's alone: `::/0` is not everybody.
const MAPPED: Prefix = 96;

impl<T> Default for Nets<T> {
    fn default() -> Self {
        Nets { levels: Vec::new() }
    }
}

impl<T> Nets<T> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.levels.iter().map(|level| level.nets.len()).sum()
    }

    /// What belongs to each, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.levels.iter().flat_map(|level| level.nets.values())
    }

    /// What belongs to each that an address is in, the longest first.
    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let bits = mapped(address);
        let shortest = match is_mapped(bits) {
            true => MAPPED,
            false => 0,
        };
        self.levels
            .iter()
            .take_while(move |level| level.prefix >= shortest)
            .filter_map(move |level| level.nets.get(&masked(bits, level.prefix)))
    }

    /// What belongs to exactly that prefix.
    pub(super) fn get(&self, net: IpNet) -> Option<&T> {
        let (prefix, bits) = key(net);
        let level = self.levels.iter().find(|level| level.prefix == prefix)?;
        level.nets.get(&bits)
    }

    /// Adds one, and returns what belonged to it before.
    pub(super) fn insert(&mut self, net: IpNet, value: T) -> Option<T> {
        let (prefix, bits) = key(net);
        let shorter = |level: &Level<T>| level.prefix <= prefix;
        let at = self.levels.iter().position(shorter);
        let at = at.unwrap_or(self.levels.len());
        if self
            .levels
            .get(at)
            .is_none_or(|level| level.prefix != prefix)
        {
            let nets = HashMap::new();
            self.levels.insert(at, Level { prefix, nets });
        }
        self.levels.get_mut(at)?.nets.insert(bits, value)
    }

    /// Takes exactly that prefix out.
    pub(super) fn remove(&mut self, net: IpNet) -> Option<T> {
        let (prefix, bits) = key(net);
        let at = |level: &Level<T>| level.prefix == prefix;
        let at = self.levels.iter().position(at)?;
        let level = self.levels.get_mut(at)?;
        let Entry::Occupied(found) = level.nets.entry(bits) else {
            return None;
        };
        let value = found.remove();
        if level.nets.is_empty() {
            self.levels.remove(at);
        }
        Some(value)
    }

    /// Keeps those of which that holds.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for level in &mut self.levels {
            level.nets.retain(|_, value| keep(value));
        }
        self.levels.retain(|level| !level.nets.is_empty());
    }
}

/// Whether an address is in a prefix, however either of them is written.
pub(super) fn contains(net: IpNet, address: IpAddr) -> bool {
    let (prefix, bits) = key(net);
    let address = mapped(address);
    masked(address, prefix) == bits && (prefix >= MAPPED || !is_mapped(address))
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn is_mapped(bits: u128) -> bool {
    Ipv6Addr::from_bits(bits).to_ipv4_mapped().is_some()
}

/// The first bits of an address, as many as the prefix has.
fn masked(bits: u128, prefix: Prefix) -> u128 {
    let rest = u32::from(128 - prefix.min(128));
    bits.checked_shr(rest)
        .unwrap_or(0)
        .checked_shl(rest)
        .unwrap_or(0)
}

fn key(net: IpNet) -> (Prefix, u128) {
    let prefix = match net {
        IpNet::V4(net) => MAPPED + net.prefix_len(),
        IpNet::V6(net) => net.prefix_len(),
    };
    (prefix, masked(mapped(net.addr()), prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn of(nets: &Nets<&'static str>, address: &str) -> Vec<&'static str> {
        nets.of(address.parse().unwrap()).copied().collect()
    }

    #[test]
    fn an_address_is_found_in_all_its_prefixes_the_longest_first() {
        let mut nets = Nets::default();
        for text in [
            "10.0.0.0/8",
            "10.1.2.3/32",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
            "10.1.0.0/16",
        ] {
            assert_eq!(nets.insert(net(text), text), None);
        }
        let all = ["10.1.2.3/32", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"];
        assert_eq!(of(&nets, "10.1.2.3"), all);
        assert_eq!(of(&nets, "::ffff:10.1.2.3"), all);
        assert_eq!(of(&nets, "11.1.2.3"), ["0.0.0.0/0"]);
        assert_eq!(of(&nets, "2001:db8::1"), ["2001:db8::/32", "::/0"]);
        assert_eq!(of(&nets, "::1"), ["::/0"]);
        assert_eq!(nets.len(), 6);
    }

    #[test]
    fn a_prefix_is_the_same_however_it_is_written() {
        let mut nets = Nets::default();
        nets.insert(net("10.1.2.3/8"), "one");
        assert_eq!(nets.insert(net("::ffff:10.0.0.0/104"), "two"), Some("one"));
        assert_eq!(nets.get(net("10.9.9.9/8")), Some(&"two"));
        assert_eq!(nets.get(net("10.0.0.0/9")), None);
        assert_eq!(nets.remove(net("10.0.0.0/9")), None);
        assert_eq!(nets.remove(net("10.0.0.0/8")), Some("two"));
        assert!(nets.is_empty() && nets.levels.is_empty());
    }

    #[test]
    fn ten_thousand_addresses_are_one_look() {
        let mut nets = Nets::default();
        for n in 0..10_000_u32 {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            nets.insert(IpNet::from(IpAddr::from(ip)), n);
        }
        assert_eq!((nets.len(), nets.levels.len()), (10_000, 1));
        nets.retain(|n| n % 2 == 0);
        assert_eq!(nets.len(), 5_000);
        nets.retain(|_| false);
        assert!(nets.is_empty());
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_at_each_finds(
            nets in proptest::collection::vec((any::<u32>(), 0u8..=32, any::<bool>()), 0..20),
            low in 0u32..256,
        ) {
            // Few bits of difference, so that some are found.
            let nets: Vec<IpNet> = nets.into_iter().map(|(bits, prefix, v6)| match v6 {
                true => IpNet::new(Ipv6Addr::from_bits(u128::from(bits & 0xff)).into(), prefix + 96).unwrap(),
                false => IpNet::new(std::net::Ipv4Addr::from(bits & 0xff).into(), prefix).unwrap(),
            }).collect();
            let mut set = Nets::default();
            for net in &nets {
                set.insert(*net, net.trunc());
            }
            for address in [
                IpAddr::from(std::net::Ipv4Addr::from(low)),
                Ipv6Addr::from_bits(u128::from(low)).into(),
            ] {
                let found: std::collections::BTreeSet<IpNet> = set.of(address).copied().collect();
                let wanted = nets.iter().filter(|net| net.contains(&address));
                prop_assert_eq!(found, wanted.map(|net| net.trunc()).collect());
                for net in &nets {
                    prop_assert_eq!(contains(*net, address), net.contains(&address));
                }
            }
        }
    }
}
