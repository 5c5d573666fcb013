//! Owns what becomes of datagrams: who sent one, and what its session makes of it. What it asks for is decided in
//! `deciding`; how connections are read from is in `core`.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::address::PeerAddress;
use super::core::Server;
use super::guest::{Departure, Guest, GuestPlace};
use super::order::Bar;
use super::port::{AMPLIFICATION, Port, PortId};
use crate::chat::{Refusal, Request, RoomId};
use crate::protocol::registry::{Protocol, Sender};
use crate::protocol::{
    AfterVerdict, Answer, DatagramSession, Datagrams, DropKind, Dropped, Secret,
};
use crate::reactor::{DatagramPort, Inbox, Incoming, Key, Readiness, Stream};

/// Why a datagram is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum DropReason {
    /// An answer to it would be answered, for ever.
    OwnPort,
    /// Nobody is let in from its source.
    Barred(Bar),
    TooMany,
    TooLong,
    NoToken,
    BadToken,
    RoomClosed,
    /// A mesh's, which speaks under a name that somebody else holds.
    NameTaken,
    /// A mesh's, whose name is not let in.
    NotLetIn,
    /// What its session has against it.
    Session(Dropped),
}

impl DropReason {
    /// Whether its sender is, or may be, not who it says: so speaks an attack, not what is merely broken.
    pub(super) fn is_forged(self) -> bool {
        match self {
            DropReason::OwnPort | DropReason::BadToken => true,
            DropReason::Session(dropped) => dropped.kind == DropKind::Forged,
            DropReason::Barred(_)
            | DropReason::TooMany
            | DropReason::TooLong
            | DropReason::NoToken
            | DropReason::RoomClosed
            | DropReason::NameTaken
            | DropReason::NotLetIn => false,
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::OwnPort => f.write_str("its source is forged: it is one of our own ports"),
            DropReason::Barred(bar) => bar.fmt(f),
            DropReason::TooMany => f.write_str("its network sends too many"),
            DropReason::TooLong => f.write_str("longer than any of the protocol"),
            DropReason::NoToken => f.write_str("without a token"),
            DropReason::BadToken => f.write_str("with a token that is not valid there"),
            DropReason::RoomClosed => f.write_str("its room has closed"),
            DropReason::NameTaken => f.write_str("its name is somebody else's"),
            DropReason::NotLetIn => f.write_str("its name was not let in"),
            DropReason::Session(dropped) => dropped.fmt(f),
        }
    }
}

/// How often a port is asked for a batch in one turn: what ICMP has told comes instead of what has arrived, and whoever
/// sends much of it is not to keep the others from being heard.
const RECEIVE_TRIES: usize = 3;

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Takes a datagram port in, and returns its number: they count from zero. The owner registers the
    /// socket and tells of its readiness by that number.
    pub fn open_port(&mut self, protocol: Protocol, socket: D) -> u8 {
        let house = self.house_of(protocol);
        let mailing_bytes = self.limits.mailing_bytes;
        self.inbox.get_or_insert_default();
        let port = Port::new(protocol, house, socket, mailing_bytes);
        self.ports.insert(port)
    }

    /// Takes a datagram port out: those who are found there are told, where their protocol has a way, and let go; what
    /// waits there is tried once more. Returns the socket for the owner to deregister. Who has a token that it has not shown
    /// may still show it at another port of its kind.
    pub fn close_port(&mut self, id: u8, now: Instant) -> Option<D> {
        self.now = now;
        let found = self.tenants.iter_guests();
        let found = found.filter(|(_, guest)| guest.found_at.is_some_and(|(port, _)| port == id));
        let found: Vec<Key> = found.map(|(key, _)| key).collect();
        for key in found {
            self.notify(key, "the server is not here any more");
            self.dismiss(key, Departure::PortClosed);
        }
        self.send_out_last(id);
        Some(self.ports.remove(id)?.socket)
    }

    /// The socket of a port, to be registered.
    pub fn port_mut(&mut self, id: u8) -> Option<&mut D> {
        Some(&mut self.ports.get_mut(id)?.socket)
    }

    /// Notes what the kernel told of a port; nothing is done before the turn.
    pub fn handle_port_readiness(&mut self, id: u8, readiness: Readiness) {
        if let Some(port) = self.ports.get_mut(id) {
            port.readable |= readiness.readable;
            if readiness.writable {
                port.blocked = None;
            }
            port.erred |= readiness.read_closed;
        }
    }

    /// Steps 2 and 3 for datagrams: one batch of each port.
    pub(super) fn take_in_datagrams(&mut self) {
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        for id in self.ports.ids() {
            self.take_in_batch(id, &mut inbox);
        }
        self.inbox = Some(inbox);
        self.let_the_unreachable_go();
    }

    fn take_in_batch(&mut self, id: PortId, inbox: &mut Inbox) {
        let port = self.ports.get(id);
        if !port.is_some_and(|port| self.hears(port)) {
            return;
        }
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        let protocol = port.protocol;
        for _ in 0..RECEIVE_TRIES {
            match port.socket.recv_batch(inbox) {
                Ok(()) => {
                    port.failed_turns = 0;
                    let mut secret = false;
                    for datagram in inbox.iter() {
                        secret |= protocol.may_hold_password(datagram.bytes);
                        self.handle_datagram(id, datagram);
                    }
                    // It would stay where it was received until somebody sends more than that.
                    if secret {
                        inbox.wipe();
                    }
                    return;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    port.failed_turns = 0;
                    port.readable = false;
                    return;
                }
                // It concerns a datagram that we sent to somebody (ICMP), or one that is lost anyway.
                Err(error) => {
                    self.counters.failed_receives += 1;
                    port.erred = true;
                    port.last_error = Some(error);
                }
            }
        }
        port.failed_turns = port.failed_turns.saturating_add(1);
        if port.rests() {
            self.watch_ports();
        }
    }

    fn handle_datagram(&mut self, id: PortId, datagram: Incoming<'_>) {
        self.counters.datagrams += 1;
        let Incoming {
            from,
            bytes,
            truncated,
        } = datagram;
        self.counters.received_udp_bytes += bytes.len() as u64;
        let Some(port) = self.ports.get(id) else {
            return;
        };
        // An answer to it would be answered, for ever. To a mesh everybody talks from the same port, other programs
        // of this machine too; what a gateway has said itself it knows.
        if port.gateway.is_none() && self.ports.iter().any(|port| port.is_at(from)) {
            return self.drop_datagram(id, from, DropReason::OwnPort);
        }
        let peer = PeerAddress::new(from);
        if let Some(bar) = self.bars(port.protocol, &peer) {
            return self.drop_datagram(id, from, DropReason::Barred(bar));
        }
        if let Some(rate) = self.limits.datagram_rate
            && !self.sources.may_send(&peer, rate, self.start, self.now)
        {
            return self.drop_datagram(id, from, DropReason::TooMany);
        }
        if truncated {
            return self.drop_datagram(id, from, DropReason::TooLong);
        }
        if port.gateway.is_some() {
            return self.handle_mesh_datagram(id, from, bytes);
        }
        match port.protocol.sender(bytes) {
            Sender::Nobody => self.drop_datagram(id, from, DropReason::NoToken),
            Sender::Secret(secret) => match self.owner_of(secret, from) {
                Some(key) => self.hear(key, (id, from), bytes),
                None => self.drop_datagram(id, from, DropReason::BadToken),
            },
            Sender::Address => match port.guests.get(&from).copied() {
                Some(key) => self.hear(key, (id, from), bytes),
                None => self.hear_stranger((id, from), bytes),
            },
        }
    }

    /// Who was given that secret, if that address may show it: one that was read on the way is of no
    /// use to anybody elsewhere.
    fn owner_of(&self, secret: Secret, from: SocketAddr) -> Option<Key> {
        let key = *self.secrets.get(&secret.bits())?;
        let guest = self.tenants.guest(key)?;
        let same_address = guest.peer.ip() == PeerAddress::new(from).ip();
        same_address.then_some(key)
    }

    /// A datagram of a guest's.
    fn hear(&mut self, key: Key, (port, from): (PortId, SocketAddr), bytes: &[u8]) {
        let now = self.moment();
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        if guest.place == GuestPlace::Gone {
            return self.drop_datagram(port, from, DropReason::RoomClosed);
        }
        // Where the address is all that tells who it is, anybody can forge it; where there is a secret, only what
        // bears it is a sign of life.
        let is_known_by_address = !guest.protocol.has_proof();
        if is_known_by_address || guest.secret.is_some() {
            guest.heard = now;
        }
        if let Some(allowance) = guest.allowance {
            self.allowances.received(allowance, bytes.len());
        }
        let mut replies = std::mem::take(&mut self.replies);
        let handled = guest.session.handle_datagram(bytes, &mut replies);
        match handled {
            // Whoever has an account may be asked for by anybody.
            Ok(Some(Request::FindAccount { .. }) | None) | Err(_) => {}
            Ok(Some(_)) => guest.heard = now,
        }
        self.take_note_of_proof(key);
        self.reply(key, &mut replies);
        self.replies = replies;
        match handled {
            Ok(Some(Request::Appear)) => self.appear(key, (port, from)),
            Ok(Some(request)) => self.decide_for_guest(key, request),
            Ok(None) => {}
            Err(dropped) => self.drop_datagram(port, from, DropReason::Session(dropped)),
        }
    }

    /// A datagram from an address that nothing is known of. It becomes a guest if it asks to be let in.
    fn hear_stranger(&mut self, found_at: (PortId, SocketAddr), bytes: &[u8]) {
        let (id, from) = found_at;
        let Some(port) = self.ports.get(id) else {
            return;
        };
        let (protocol, house) = (port.protocol, port.house);
        let Some(mut session) = protocol.guest_session() else {
            return;
        };
        let mut replies = std::mem::take(&mut self.replies);
        match session.handle_datagram(bytes, &mut replies) {
            Ok(Some(request @ (Request::Enter { .. } | Request::Authenticate { .. }))) => {
                let peer = PeerAddress::new(from);
                let limit = self.limits.unproven_members;
                if !protocol.has_proof() && !peer.is_loopback() && self.allowances.paced() >= limit
                {
                    self.counters.unproven_away += 1;
                    let who = format_args!("{protocol} {peer}");
                    self.notes.unproven_away(self.now, who, limit);
                    self.watch_notes();
                    let refusal = Refusal::RoomFull { limit };
                    session.handle_answer(Answer::Refused(refusal), &mut replies);
                } else if self.census.enter(&peer, self.limits.max_per_address) {
                    let mut guest = Guest::new(protocol, house, session, peer, self.moment());
                    guest.found_at = Some(found_at);
                    guest.allowance = match protocol.has_proof() {
                        true => Some(self.allowances.credit(bytes.len())),
                        false if peer.is_loopback() => None,
                        false => Some(self.allowances.pace(&peer, self.now)),
                    };
                    let key = self.tenants.insert_guest(guest);
                    if let Some(port) = self.ports.get_mut(id) {
                        port.guests.insert(from, key);
                    }
                    self.decide_for_guest(key, request);
                } else {
                    self.counters.turned_away += 1;
                    self.notes
                        .turned_away(self.now, format_args!("{protocol} {peer}"));
                    self.watch_notes();
                    let limit = self.limits.max_per_address;
                    let refusal = Refusal::TooManyFromAddress { limit };
                    session.handle_answer(Answer::Refused(refusal), &mut replies);
                }
            }
            Ok(Some(Request::FindAccount { name })) => {
                let exists = self.account_exists(name);
                session.handle_answer(Answer::Account { exists }, &mut replies);
            }
            Ok(_) => {}
            Err(dropped) => self.drop_datagram(id, from, DropReason::Session(dropped)),
        }
        // Whatever its protocol, a stranger is not sent more than this.
        let mut allowed = bytes.len() * AMPLIFICATION;
        for reply in replies.iter() {
            match allowed.checked_sub(reply.len()) {
                Some(left) => {
                    allowed = left;
                    self.post().send_to(found_at, None, reply);
                }
                None => self.counters.withheld += 1,
            }
        }
        replies.clear();
        self.replies = replies;
    }

    /// Gives a guest's session an answer, and sends what it makes of it.
    pub(super) fn answer(&mut self, key: Key, answer: Answer<'_>) -> AfterVerdict {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return AfterVerdict::Close;
        };
        let mut replies = std::mem::take(&mut self.replies);
        let after = guest.session.handle_answer(answer, &mut replies);
        self.reply(key, &mut replies);
        self.replies = replies;
        after
    }

    pub(super) fn answer_with_roster(&mut self, key: Key, room: RoomId) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        let Some(house) = self.houses.get(guest.house()) else {
            return;
        };
        let mut replies = std::mem::take(&mut self.replies);
        let roster = house.hub.roster(room);
        guest
            .session
            .handle_answer(Answer::Members(&roster), &mut replies);
        drop(roster);
        self.reply(key, &mut replies);
        self.replies = replies;
    }

    /// Sends a guest what its session wants sent.
    pub(super) fn reply(&mut self, key: Key, replies: &mut Datagrams) {
        let guest = self.tenants.guest(key);
        let sent_to = guest.and_then(|guest| Some((guest.found_at?, guest.allowance)));
        if let Some((found_at, allowance)) = sent_to {
            for reply in replies.iter() {
                self.post().send_to(found_at, allowance, reply);
            }
        }
        replies.clear();
    }

    /// Counts a datagram that is not answered.
    pub(super) fn drop_datagram(&mut self, port: PortId, from: SocketAddr, why: DropReason) {
        self.counters.count_dropped(why);
        let protocol = self.ports.get(port).map(|port| port.protocol);
        if let Some(protocol) = protocol {
            self.notes
                .dropped(self.now, format_args!("{protocol} {from}"), why);
            self.watch_notes();
        }
    }
}
