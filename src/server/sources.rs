//! Owns how fast datagrams may come from each network: one bucket for each, in a table that is bounded, for
//! whoever forges addresses has as many as he likes. Knows nothing of what they say.

use std::collections::HashMap;
use std::time::Instant;

use super::address::{Network, PeerAddress};
use super::limits::{Bucket, MessageRate};

/// The buckets of those who were heard of lately.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Peers may forge addresses; the hashes are keyed.
    latest: HashMap<Network, Bucket>,
    /// Those heard of before the latest were so many; who is heard again is one of the latest again.
    earlier: HashMap<Network, Bucket>,
}

/// Networks in each half of the table: less than a megabyte in all. A forged flood that turns it over gives
/// every network a new burst, no more than that.
const HALF: usize = 8 * 1024;

impl Sources {
    /// Whether a datagram from there may be looked at. This machine's own always may.
    pub(super) fn may_send(
        &mut self,
        peer: &PeerAddress,
        rate: MessageRate,
        start: Instant,
        now: Instant,
    ) -> bool {
        if peer.is_loopback() {
            return true;
        }
        let network = peer.network();
        if self.latest.len() >= HALF && !self.latest.contains_key(&network) {
            self.earlier = std::mem::take(&mut self.latest);
        }
        let earlier = &mut self.earlier;
        let bucket = self
            .latest
            .entry(network)
            .or_insert_with(|| earlier.remove(&network).unwrap_or_default());
        bucket.take(rate, start, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r36_a_flood_of_addresses_fills_no_memory_and_hides_no_flooder() {
        let (mut sources, start) = (Sources::default(), Instant::now());
        let rate = MessageRate {
            burst: 10,
            per_second: 10,
        };
        let peer = |n: u32| {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            PeerAddress::new((ip, 1).into())
        };
        let mut passed = 0;
        for n in 0..2 * HALF as u32 {
            passed += usize::from(sources.may_send(&peer(0), rate, start, start));
            assert!(sources.may_send(&peer(n + 1), rate, start, start));
        }
        assert_eq!(passed, 10, "who goes on is remembered");
        assert!(sources.latest.len() + sources.earlier.len() <= 2 * HALF);
        // A hash table has an eighth more places than it gives out, with a byte for each.
        let place = size_of::<(Network, Bucket)>() + 1;
        let bytes = |table: &HashMap<_, _>| table.capacity() / 7 * 8 * place;
        let all = bytes(&sources.latest) + bytes(&sources.earlier);
        // One half is there twice while it grows.
        assert!(all + all / 4 <= 1024 * 1024, "{all}");
        let local = PeerAddress::new("127.0.0.1:1".parse().unwrap());
        assert!((0..100).all(|_| sources.may_send(&local, rate, start, start)));
    }
}
