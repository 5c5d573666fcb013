//! Owns what is to be true after every turn, and once everybody has gone.

use std::collections::HashMap;
use std::net::IpAddr;

use mynah::chat::{LOBBY, Name};
use mynah::protocol::registry::Protocol;

use crate::arrivals::{EAR_OF_GROUP, EAR_OF_LOGIN};
use crate::world::World;

/// Appends of one turn beyond the backlog, at the most: see the turn's budget in the server.
const TURN_SLACK: usize = 1024 * 1024;

/// So many turns are taken before names are compared with each other again: each with each.
const NAMES_EVERY: u64 = 32;

impl World {
    pub(crate) fn check_turn(&self) {
        // One log for each format of those that go over streams; its memory grows by doubling.
        let bound = 2 * (2 * self.limits.lag.backlog_bytes + TURN_SLACK);
        let memory = self.server.log_memory();
        assert!(memory <= bound, "{memory} bytes of log, {bound} allowed");
        let (output, bound) = (self.server.output_memory(), self.limits.output_bytes);
        assert!(
            output <= bound + TURN_SLACK,
            "{output} bytes wait to be sent"
        );
        self.check_connections();
        self.check_datagrams();
        if self.turns.is_multiple_of(NAMES_EVERY) {
            self.check_names();
            self.check_drain();
        }
    }

    /// Drained is who drains and has nobody in, but for those of a mesh.
    fn check_drain(&self) {
        if self.server.is_drained() {
            let mut members = self.server.members();
            assert!(self.server.is_draining());
            assert!(members.all(|row| row.protocol == Protocol::UdpMesh));
        }
    }

    /// Every connection that was taken in is there or was let go, and no network has more than it may.
    fn check_connections(&self) {
        let counters = self.server.counters();
        let (mut accepted, mut open) = (0, 0);
        for (end, key) in self.lines() {
            accepted += u64::from(key.is_some());
            open += usize::from(key.is_some() && !end.server_gone());
        }
        assert_eq!(counters.accepted, accepted, "connections taken in");
        assert_eq!(self.server.len(), open, "connections that are there");
        // Each ends once, for one reason, and may stay a little to be told.
        let gone = accepted - open as u64;
        assert!((gone..=accepted).contains(&counters.ended()), "{counters}");
        let mut networks: HashMap<IpAddr, usize> = HashMap::new();
        let clients = self.clients.iter().filter_map(|client| {
            let line = client.line.as_ref()?;
            Some((&line.end, line.key, line.from))
        });
        let intruders = self.intruders.iter();
        let intruders = intruders.map(|peer| (&peer.end, peer.key, peer.from));
        for (end, key, from) in clients.chain(intruders) {
            if key.is_some() && !end.server_gone() && !from.ip().is_loopback() {
                *networks.entry(crate::air::network(from.ip())).or_default() += 1;
            }
        }
        for (network, count) in networks {
            let limit = self.limits.max_per_address;
            assert!(count <= limit, "{network} has {count} connections");
        }
    }

    /// What the kernel and the server have counted is the same.
    fn check_datagrams(&self) {
        let (counters, weather) = (self.server.counters(), self.air.borrow().weather);
        assert_eq!(counters.datagrams, weather.received, "datagrams taken in");
        assert_eq!(counters.datagrams_sent, weather.sent, "datagrams sent");
        assert_eq!(counters.failed_sends, weather.send_errors, "failed sends");
        assert_eq!(
            counters.failed_receives, weather.receive_errors,
            "failed receives"
        );
        assert!(
            counters.unreachable <= weather.doubted_twice,
            "somebody was let go of whom nobody is known to be gone: {} and {}",
            counters.unreachable,
            weather.doubted_twice
        );
        // In a crowd one may have more to read than it has time for.
        if self.calm && self.outcome.mass_joins == 0 {
            assert_eq!(counters.slow, 0, "somebody was cut who reads");
        }
    }

    /// No two who are in one lobby have names that are the same, by whatever door they came.
    fn check_names(&self) {
        let protocols = match self.isolate {
            true => Protocol::ALL,
            false => &Protocol::ALL[..1],
        };
        for protocol in protocols {
            let hub = self.server.hub(*protocol).expect("each has a house");
            let names: Vec<&Name> = hub.members(LOBBY).map(|(name, _)| name).collect();
            for (at, name) in names.iter().enumerate() {
                let twin = names[..at]
                    .iter()
                    .find(|other| name.same_as(other.as_str()));
                assert!(twin.is_none(), "{name:?} and {twin:?}");
            }
        }
    }

    /// Whoever is still there when all have gone.
    pub(crate) fn check_who_is_left(&self) {
        let everywhere: &[(Protocol, &[&str])] = match self.isolate {
            false => &[(Protocol::TcpRoom, &["witness", "ear"])],
            true => &[
                (Protocol::TcpRoom, &["witness"]),
                (Protocol::UdpRoom, &["ear"]),
                (Protocol::Group, &[EAR_OF_GROUP]),
                (Protocol::UdpLogin, &[EAR_OF_LOGIN]),
                (Protocol::Tcrp, &[]),
                (Protocol::UdpMesh, &[]),
            ],
        };
        for (protocol, residents) in everywhere {
            let hub = self.server.hub(*protocol).expect("each has a house");
            let left: Vec<_> = hub.members(LOBBY).map(|(name, _)| name.as_str()).collect();
            assert_eq!(left, *residents, "{protocol}: only they are left");
            assert_eq!(
                hub.total(),
                residents.len(),
                "{protocol}: nobody holds a name anywhere"
            );
        }
        let each = if self.isolate { 2 } else { 1 };
        let counters = self.server.counters();
        assert_eq!(
            counters.ended() + self.server.len() as u64,
            counters.accepted,
            "{counters}"
        );
        assert_eq!((self.server.len(), self.server.guests()), (each, each));
    }
}
