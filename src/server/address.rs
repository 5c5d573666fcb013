//! Owns what a peer's address is to the server: something to log, and something to count by.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address in 18 bytes instead of the 32 of a `SocketAddr`: there is one per connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerAddress {
    /// IPv4 in its mapped form.
    ip: [u8; 16],
    port: [u8; 2],
}

/// Whom a limit per address counts as one: an IPv4 address, or the /64 that one IPv6 host has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network([u8; 16]);

/// How many connections each network has.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Peers may choose their addresses, within limits; the hash is keyed.
    counts: HashMap<Network, usize>,
}

impl PeerAddress {
    pub(super) fn new(address: SocketAddr) -> PeerAddress {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        PeerAddress {
            ip: ip.octets(),
            port: address.port().to_be_bytes(),
        }
    }

    pub(super) fn ip(&self) -> IpAddr {
        Ipv6Addr::from(self.ip).to_canonical()
    }

    pub(super) fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), u16::from_be_bytes(self.port))
    }

    pub(super) fn network(&self) -> Network {
        match self.ip() {
            IpAddr::V4(_) => Network(self.ip),
            IpAddr::V6(ip) => Network(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).octets()),
        }
    }

    /// Whether the peer is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.ip().is_loopback()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_address().fmt(f)
    }
}

impl Census {
    /// Counts one more, unless its network has `limit` already. This machine is not counted.
    pub(super) fn enter(&mut self, peer: &PeerAddress, limit: usize) -> bool {
        if peer.is_loopback() {
            return true;
        }
        let count = self.counts.entry(peer.network()).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    /// Whether nobody is counted.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts one less.
    pub(super) fn leave(&mut self, peer: &PeerAddress) {
        if let Some(count) = self.counts.get_mut(&peer.network()) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&peer.network());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> PeerAddress {
        PeerAddress::new(text.parse().unwrap())
    }

    #[test]
    fn one_identity_per_address_however_it_is_written() {
        assert_eq!(peer("[::ffff:192.0.2.7]:80"), peer("192.0.2.7:80"));
        assert_eq!(peer("[::ffff:192.0.2.7]:80").to_string(), "192.0.2.7:80");
        assert_eq!(peer("[2001:db8::1]:80").to_string(), "[2001:db8::1]:80");
        assert!(peer("127.3.2.1:80").is_loopback() && peer("[::1]:80").is_loopback());
        assert_eq!(size_of::<PeerAddress>(), 18);
    }

    #[test]
    fn a_network_is_counted_as_one_and_loopback_not_at_all() {
        let mut census = Census::default();
        assert!(census.enter(&peer("[2001:db8::1]:1"), 2));
        assert!(census.enter(&peer("[2001:db8::2]:1"), 2));
        assert!(!census.enter(&peer("[2001:db8::3]:1"), 2));
        assert!(census.enter(&peer("[2001:db8:0:1::1]:1"), 2));
        assert!(census.enter(&peer("192.0.2.1:1"), 1));
        assert!(!census.enter(&peer("192.0.2.1:2"), 1));
        assert!((0..9).all(|_| census.enter(&peer("127.0.0.1:2"), 1)));
        census.leave(&peer("192.0.2.1:1"));
        assert!(census.enter(&peer("192.0.2.1:3"), 1));
    }
}
