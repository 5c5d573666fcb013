//! Owns the list of those who are in, as whoever keeps order sees them, and how some of them are named.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::connection::{Connection, Place};
use super::core::Server;
use super::guest::{Guest, GuestPlace};
use super::nets;
use crate::chat::{MemberId, RoomId};
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};

/// One who is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRow<'a> {
    pub name: &'a str,
    pub protocol: Protocol,
    /// Where it comes from.
    pub address: SocketAddr,
    pub room: &'a str,
    /// Bytes that it was offered and has not taken, or is due and was not offered yet. `None` where datagrams carry the
    /// protocol: what is late there goes to nobody, so nobody lags.
    pub lag_bytes: Option<usize>,
}

/// Some of those who are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Who has that name, however it is written, in that room or in any.
    Name { name: String, room: Option<String> },
    /// All who come from there, those included who have connected and no name yet.
    From(IpNet),
    /// Who comes from that address and port.
    At(SocketAddr),
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Everybody who is in a room, and heard there: connections first, each in the order of their slots. It walks over
    /// all of them, which is for a person who asks, not for every turn.
    ///
    /// For how long they are in is not known: to remember it would cost each idle member memory.
    pub fn members(&self) -> impl Iterator<Item = MemberRow<'_>> {
        let connections = self.tenants.iter().filter_map(|(_, of)| self.connected(of));
        let guests = self.tenants.iter_guests();
        connections.chain(guests.filter_map(|(_, of)| self.without_connection(of)))
    }

    /// One of them, if it is still in.
    pub(super) fn member(&self, key: Key) -> Option<MemberRow<'_>> {
        match self.tenants.get(key) {
            Some(connection) => self.connected(connection),
            None => self.without_connection(self.tenants.guest(key)?),
        }
    }

    fn connected(&self, connection: &Connection<S>) -> Option<MemberRow<'_>> {
        let Place::In { room, id, .. } = connection.place else {
            return None;
        };
        let house = self.houses.get(connection.house())?;
        let log = house.exchange.log(Some(room), connection.protocol);
        let (name, room) = self.name_and_room(connection.house(), id, room)?;
        Some(MemberRow {
            name,
            protocol: connection.protocol,
            address: connection.peer.socket_address(),
            room,
            lag_bytes: Some(connection.feed.unsent(log)),
        })
    }

    fn without_connection(&self, guest: &Guest) -> Option<MemberRow<'_>> {
        let GuestPlace::In { room, id, .. } = guest.place else {
            return None;
        };
        let (name, room) = self.name_and_room(guest.house(), id, room)?;
        Some(MemberRow {
            name,
            protocol: guest.protocol,
            address: guest.peer.socket_address(),
            room,
            lag_bytes: None,
        })
    }

    fn name_and_room(&self, house: usize, id: MemberId, room: RoomId) -> Option<(&str, &str)> {
        let hub = &self.houses.get(house)?.hub;
        Some((hub.name(id)?.as_str(), hub.room_name(room)?.as_str()))
    }

    /// Those that are meant. It walks over all, once.
    pub(super) fn find(&self, whom: &Whom) -> Vec<Key> {
        let is_meant = |house: usize, id: Option<MemberId>, address: SocketAddr| match whom {
            Whom::From(net) => nets::contains(*net, address.ip()),
            Whom::At(at) => *at == address,
            Whom::Name { name, room } => {
                let hub = self.houses.get(house).map(|house| &house.hub);
                hub.zip(id).is_some_and(|(hub, id)| {
                    let in_room = |wanted: &String| {
                        let of = hub.room_of(id).and_then(|room| hub.room_name(room));
                        of.is_some_and(|room| room.same_as(wanted))
                    };
                    hub.name(id).is_some_and(|held| held.same_as(name))
                        && room.as_ref().is_none_or(in_room)
                })
            }
        };
        let connections = self.tenants.iter().filter(|(_, connection)| {
            let id = match connection.place {
                Place::In { id, .. } => Some(id),
                Place::Nowhere | Place::Leaving { .. } => None,
            };
            is_meant(connection.house(), id, connection.peer.socket_address())
        });
        let guests = self
            .tenants
            .iter_guests()
            .filter(|(_, guest)| is_meant(guest.house(), guest.id(), guest.peer.socket_address()));
        let connections = connections.map(|(key, _)| key);
        connections.chain(guests.map(|(key, _)| key)).collect()
    }
}
