//! Owns what the server tells of itself when somebody asks: who is there, what waits, and what was counted. It is looked
//! up then, and costs nothing before.

use super::connection::State;
use super::core::Server;
use super::counters::Counters;
use crate::protocol::registry::{Protocol, Transport};
use crate::reactor::{DatagramPort, Stream};

/// How the server fares at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Connections by protocol, of those that have some.
    pub connections: Vec<(Protocol, usize)>,
    /// Who is in a room, by protocol.
    pub members: Vec<(Protocol, usize)>,
    /// Rooms that are open, lobbies included.
    pub rooms: usize,
    /// What waits for the connection that lags most, in bytes.
    pub slowest_lag_bytes: usize,
    /// The memory of all that waits to be sent, in bytes.
    pub output_bytes: usize,
    /// Jobs for the helper thread, that it is at or that wait for it.
    pub helper_jobs: usize,
    /// What happened since the start.
    pub counters: Counters,
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Looks all of it up: walks once over everybody who is there.
    pub fn figures(&self) -> Figures {
        let mut connections = [0; Protocol::ALL.len()];
        let mut members = [0; Protocol::ALL.len()];
        let mut slowest = 0;
        for (_, connection) in self.tenants.iter() {
            count(&mut connections, connection.protocol);
            if connection.is_member() {
                count(&mut members, connection.protocol);
            }
            // Only of those that the kernel has refused something there is more to know.
            if connection.lagging
                && connection.state != State::Dead
                && let Some(house) = self.houses.get(connection.house())
            {
                let log = house.exchange.log(connection.room(), connection.protocol);
                slowest = slowest.max(connection.feed.unsent(log));
            }
        }
        for (_, guest) in self.tenants.iter_guests() {
            if guest.is_member() {
                count(&mut members, guest.protocol);
            }
        }
        let all = Protocol::ALL.iter().copied();
        let with_connections = all.clone().zip(connections);
        Figures {
            connections: with_connections
                .filter(|(protocol, _)| protocol.transport() == Transport::Tcp)
                .collect(),
            members: all.zip(members).collect(),
            rooms: self.houses.iter().map(|h| h.hub.rooms().count()).sum(),
            slowest_lag_bytes: slowest,
            output_bytes: self.output_memory(),
            helper_jobs: self.jobs(),
            counters: self.counters,
        }
    }
}

fn count(counts: &mut [usize], protocol: Protocol) {
    let at = Protocol::ALL.iter().position(|one| *one == protocol);
    if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
        *count += 1;
    }
}
