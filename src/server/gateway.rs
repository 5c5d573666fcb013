//! Owns the server as one peer of a mesh, who speaks for the whole lobby: what peers ask is answered as the
//! lobby would, what they say is said there, and what is said there is broadcast to them.
//! Knows the mesh by its datagrams; who is in the lobby is the hub's.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::PeerAddress;
use super::core::Server;
use super::guest::{Guest, GuestPlace};
use super::port::PortId;
use crate::chat::{Choice, Contact, LOBBY, MemberId, Name, Said};
use crate::protocol::registry::Protocol;
use crate::protocol::udp_mesh::askers::Askers;
use crate::protocol::udp_mesh::frame::{self, Frame, Violation};
use crate::reactor::{DatagramPort, Key, Stream};

/// What a gateway is besides a port.
#[derive(Debug)]
pub(super) struct Gateway {
    /// As whom it answers those who come.
    name: Name,
    /// Where everybody hears it. Those who ask are answered at the same port of theirs.
    broadcast: SocketAddr,
    askers: Askers,
    /// What it has broadcast and may hear again: broadcasts come back.
    sent: VecDeque<(Instant, u64)>,
    hasher: RandomState,
}

/// How long a broadcast may take to come back.
const ECHO_TIME: Duration = Duration::from_secs(2);

/// Broadcasts remembered for that long. What is forgotten is still not relayed: its name is held by a member
/// who is no peer of the mesh.
const MAX_ECHOES: usize = 4096;

impl Gateway {
    pub(super) fn new(name: Name, broadcast: SocketAddr) -> Gateway {
        Gateway {
            name,
            broadcast,
            askers: Askers::default(),
            sent: VecDeque::new(),
            hasher: RandomState::new(),
        }
    }

    /// Where everybody hears it.
    pub(super) fn broadcast(&self) -> SocketAddr {
        self.broadcast
    }

    /// That is going to be broadcast.
    pub(super) fn note_sent(&mut self, datagram: &[u8], now: Instant) {
        if self.sent.len() == MAX_ECHOES {
            self.sent.pop_front();
        }
        self.sent.push_back((now, self.hasher.hash_one(datagram)));
    }

    /// Whether this is one of its own that came back: each does once on most networks, and twice where
    /// datagrams are doubled or two ways lead there.
    fn is_echo(&mut self, datagram: &[u8], now: Instant) -> bool {
        while let Some((sent, _)) = self.sent.front()
            && now.saturating_duration_since(*sent) > ECHO_TIME
        {
            self.sent.pop_front();
        }
        let hash = self.hasher.hash_one(datagram);
        self.sent.iter().any(|(_, sent)| *sent == hash)
    }
}

/// Who holds a name in the lobby, as seen from one peer of the mesh.
enum Holder {
    Nobody,
    /// The peer itself.
    Peer(Key, MemberId),
    SomebodyElse,
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Takes in a port of a mesh, and returns its number, as [`open_port`](Server::open_port) does. `name` is
    /// who it says it is, `broadcast` where all peers hear it.
    pub fn open_gateway(&mut self, socket: D, name: Name, broadcast: SocketAddr) -> u8 {
        let id = self.open_port(Protocol::UdpMesh, socket);
        if let Some(port) = self.ports.get_mut(usize::from(id)) {
            port.gateway = Some(Gateway::new(name, broadcast));
        }
        id
    }

    /// A datagram on a port of a mesh.
    pub(super) fn handle_mesh_datagram(&mut self, id: PortId, from: SocketAddr, bytes: &[u8]) {
        let port = self.ports.get_mut(usize::from(id));
        let Some(gateway) = port.and_then(|port| port.gateway.as_mut()) else {
            return;
        };
        if gateway.is_echo(bytes, self.now) {
            return;
        }
        match frame::decode(bytes) {
            Ok(Frame::Join { username }) => self.answer_newcomer(id, from, Some(username)),
            Err(Violation::NotAName {
                number: frame::JOIN,
                ..
            }) => self.answer_newcomer(id, from, None),
            Ok(Frame::Say { username, text }) => self.say_for_peer(id, from, username, text),
            // To peers who join; the lobby is in already.
            Ok(Frame::NameTaken | Frame::Welcome { .. }) => {}
            Err(_) => self.drop_datagram(id, from, "no datagram of the mesh"),
        }
    }

    /// 471: the name is taken, or this is what was said last. `None` is a name that breaks the rules.
    fn answer_newcomer(&mut self, id: PortId, from: SocketAddr, username: Option<&str>) {
        let Some(house) = self.ports.get(usize::from(id)).map(|port| port.house) else {
            return;
        };
        let taken = username.is_none_or(|username| {
            let holder = self.holder(house, from, username);
            let kept = self.name_for(house, Choice::Lobby, username).is_err();
            kept || matches!(holder, Holder::SomebodyElse)
        });
        let port = self.ports.get_mut(usize::from(id));
        let Some(gateway) = port.and_then(|port| port.gateway.as_mut()) else {
            return;
        };
        if !gateway.askers.may_answer(from.ip(), self.now) {
            return self.drop_datagram(id, from, "it was answered within the last second");
        }
        let mut answer = Vec::new();
        if taken {
            frame::encode_taken(&mut answer);
        } else if let Some(history) = self
            .houses
            .get(house)
            .and_then(|house| house.hub.history(LOBBY))
        {
            frame::encode_welcome(gateway.name.as_str(), history.lines(), &mut answer);
        }
        let to = SocketAddr::new(from.ip(), gateway.broadcast.port());
        self.post().send_to((id, to), None, &answer);
    }

    /// 472: a peer says something to the lobby, where its name is held from now on.
    fn say_for_peer(&mut self, id: PortId, from: SocketAddr, username: &str, text: &str) {
        let Some(house) = self.ports.get(usize::from(id)).map(|port| port.house) else {
            return;
        };
        let (key, member) = match self.holder(house, from, username) {
            Holder::Peer(key, member) => (key, member),
            Holder::SomebodyElse => {
                return self.drop_datagram(id, from, "its name is somebody else's");
            }
            Holder::Nobody => match self.take_in_peer(id, house, from, username) {
                Some(peer) => peer,
                None => return self.drop_datagram(id, from, "its name was not let in"),
            },
        };
        if let Some(guest) = self.tenants.guest_mut(key) {
            guest.heard = self.now;
        }
        let wall = self.wall;
        if self.guest_has_rate_left(key)
            && let Some((hub, mut delivery)) = self.desk(house)
        {
            let said = hub.say(member, text, wall, &mut delivery);
            self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
        }
    }

    /// Gives a peer of the mesh its name in the lobby, if it can have it.
    fn take_in_peer(
        &mut self,
        id: PortId,
        house: usize,
        from: SocketAddr,
        username: &str,
    ) -> Option<(Key, MemberId)> {
        let name = self.name_for(house, Choice::Lobby, username).ok()?;
        let protocol = self.ports.get(usize::from(id))?.protocol;
        let session = protocol.guest_session()?;
        let peer = PeerAddress::new(from);
        let limit = self.limits.mesh_names_per_address;
        if !self.mesh_names.enter(&peer, limit) {
            self.counters.turned_away += 1;
            self.notes
                .turned_away(self.now, format_args!("{protocol} {peer}"));
            self.watch_notes();
            return None;
        }
        let mut guest = Guest::new(protocol, house, session, peer, self.now);
        guest.found_at = Some((id, from));
        let key = self.tenants.insert_guest(guest);
        let (hub, mut delivery) = self.desk(house)?;
        match hub.enter(Choice::Lobby, name, Contact::NONE, key, &mut delivery) {
            Ok(member) => {
                self.welcome(key, None);
                Some((key, member))
            }
            Err(_) => {
                self.counters.refused += 1;
                self.remove_guest(key);
                None
            }
        }
    }

    /// Who holds a name in the lobby. A peer is known by its name and its IP: its port is the same as
    /// everybody's.
    fn holder(&self, house: usize, from: SocketAddr, username: &str) -> Holder {
        let Some(hub) = self.houses.get(house).map(|house| &house.hub) else {
            return Holder::Nobody;
        };
        let Some(member) = hub.find(LOBBY, username) else {
            return Holder::Nobody;
        };
        let key = hub.seat(member);
        let peer = PeerAddress::new(from);
        match key.and_then(|key| Some((key, self.tenants.guest(key)?))) {
            Some((key, guest))
                if guest.protocol == Protocol::UdpMesh
                    && guest.peer.ip() == peer.ip()
                    && matches!(guest.place, GuestPlace::In { .. }) =>
            {
                Holder::Peer(key, member)
            }
            _ => Holder::SomebodyElse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_comes_back_soon_and_perhaps_twice() {
        let name = Name::parse("mynah").unwrap();
        let mut gateway = Gateway::new(name, "127.255.255.255:5238".parse().unwrap());
        let start = Instant::now();
        gateway.note_sent(b"one", start);
        gateway.note_sent(b"two", start);
        let soon = start + Duration::from_millis(1);
        let heard = [&b"one"[..], b"one", b"one", b"three"];
        assert_eq!(
            heard.map(|datagram| gateway.is_echo(datagram, soon)),
            [true, true, true, false]
        );
        let late = start + Duration::from_secs(3);
        assert!(!gateway.is_echo(b"two", late));
    }
}
