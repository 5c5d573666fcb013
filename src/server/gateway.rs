//! Owns the server as one peer of a mesh, who speaks for the whole lobby: whose name a peer may have, and who
//! speaks under it. What is said in the lobby goes there by `exchange`.
//! Knows nothing of datagrams: those are the protocol's. Who is in the lobby is the hub's.

use std::net::SocketAddr;

use super::address::PeerAddress;
use super::core::Server;
use super::guest::{Guest, GuestPlace};
use super::port::PortId;
use super::receiving::DropReason;
use crate::chat::{Choice, Contact, LOBBY, MemberId, Name, Refusal};
use crate::protocol::registry::Protocol;
use crate::protocol::udp_mesh::gateway::{Asked, Gateway as MeshSession};
use crate::reactor::{DatagramPort, Key, Stream};

/// What a gateway is besides a port.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Its conversation with the whole mesh.
    pub(super) session: MeshSession,
    /// Where everybody hears it. Those who ask are answered at the same port of theirs.
    pub(super) broadcast: SocketAddr,
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
        if let Some(port) = self.ports.get_mut(id) {
            let session = MeshSession::new(name);
            port.gateway = Some(Gateway { session, broadcast });
        }
        id
    }

    /// Whether the server itself speaks under that name to a mesh: nobody else in the lobby shall.
    pub(super) fn is_a_gateways(&self, house: usize, name: &str) -> bool {
        self.ports.iter().any(|port| {
            let gateway = port.gateway.as_ref().filter(|_| port.house == house);
            gateway.is_some_and(|gateway| gateway.session.is_called(name))
        })
    }

    /// A datagram on a port of a mesh.
    pub(super) fn handle_mesh_datagram(&mut self, id: PortId, from: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        let port = self.ports.get_mut(id);
        let Some(gateway) = port.and_then(|port| port.gateway.as_mut()) else {
            return;
        };
        match gateway.session.handle_datagram(from.ip(), bytes, now) {
            Ok(Asked::Nothing) => {}
            Ok(Asked::Echo) => self.counters.mesh_echoes += 1,
            Ok(Asked::Newcomer { username }) => self.answer_newcomer(id, from, username),
            Ok(Asked::Says { username, text }) => self.say_for_peer(id, from, username, text),
            Err(dropped) => self.drop_datagram(id, from, DropReason::Session(dropped)),
        }
    }

    /// Tells a newcomer that its name is taken, or what was said last. `None` is a name that breaks the rules.
    fn answer_newcomer(&mut self, id: PortId, from: SocketAddr, username: Option<&str>) {
        let Some(port) = self.ports.get(id) else {
            return;
        };
        let Some(gateway) = &port.gateway else {
            return;
        };
        let taken = username.is_none_or(|username| {
            let holder = self.holder(port.house, from, username);
            let kept = self.name_for(port.house, Choice::Lobby, username).is_err();
            kept || matches!(holder, Holder::SomebodyElse)
        });
        let mut replies = std::mem::take(&mut self.replies);
        if taken {
            gateway.session.answer_taken(&mut replies);
        } else if let Some(house) = self.houses.get(port.house)
            && let Some(history) = house.hub.history(LOBBY)
        {
            gateway
                .session
                .answer_welcome(history.lines(), &mut replies);
        }
        let to = SocketAddr::new(from.ip(), gateway.broadcast.port());
        for reply in replies.iter() {
            self.post().send_to((id, to), None, reply);
        }
        replies.clear();
        self.replies = replies;
    }

    /// A peer says something to the lobby, where its name is held from now on.
    fn say_for_peer(&mut self, id: PortId, from: SocketAddr, username: &str, text: &str) {
        let Some(house) = self.ports.get(id).map(|port| port.house) else {
            return;
        };
        let (key, member) = match self.holder(house, from, username) {
            Holder::Peer(key, member) => (key, member),
            Holder::SomebodyElse => {
                return self.drop_datagram(id, from, DropReason::NameTaken);
            }
            Holder::Nobody => match self.take_in_peer(id, house, from, username) {
                Some(peer) => peer,
                None => return self.drop_datagram(id, from, DropReason::NotLetIn),
            },
        };
        let now = self.moment();
        if let Some(guest) = self.tenants.guest_mut(key) {
            guest.heard = now;
        }
        self.say(key, house, member, text, None, None);
    }

    /// Gives a peer of the mesh its name in the lobby, if it can have it.
    fn take_in_peer(
        &mut self,
        id: PortId,
        house: usize,
        from: SocketAddr,
        username: &str,
    ) -> Option<(Key, MemberId)> {
        let name = match self.draining {
            true => Err(Refusal::Draining),
            false => self.name_for(house, Choice::Lobby, username),
        };
        let name = name.map_err(|refusal| self.counters.count_refusal(refusal));
        let name = name.ok()?;
        let protocol = self.ports.get(id)?.protocol;
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
        let mut guest = Guest::new(protocol, house, session, peer, self.moment());
        guest.found_at = Some((id, from));
        let key = self.tenants.insert_guest(guest);
        let (hub, mut delivery) = self.desk(house)?;
        match hub.enter(Choice::Lobby, name, Contact::NONE, key, &mut delivery) {
            Ok(member) => {
                self.welcome(key, None);
                Some((key, member))
            }
            Err(refusal) => {
                self.counters.count_refusal(refusal);
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
                if guest.protocol.hears_together()
                    && guest.peer.ip() == peer.ip()
                    && matches!(guest.place, GuestPlace::In { .. }) =>
            {
                Holder::Peer(key, member)
            }
            _ => Holder::SomebodyElse,
        }
    }
}
