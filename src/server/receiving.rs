//! Owns what becomes of datagrams: who sent one, what its session makes of it, and what guests ask for.
//! How connections are read from is in `core`.

use std::net::SocketAddr;
use std::time::Duration;

use super::address::PeerAddress;
use super::core::{Server, Timer};
use super::guest::{Departure, Guest, GuestPlace};
use super::limits::Limits;
use super::port::{AMPLIFICATION, Port, PortId};
use crate::chat::{Choice, Contact, Event, LOBBY, Name, Refusal, Request, RoomId, Said};
use crate::protocol::registry::{Protocol, Sender, Silence};
use crate::protocol::{AfterVerdict, Answer, DatagramSession, Datagrams, Secret, Welcome};
use crate::reactor::{DatagramPort, Inbox, Incoming, Key, Readiness, Stream};

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Takes a datagram port in, and returns its number: they count from zero. The owner registers the
    /// socket and tells of its readiness by that number.
    pub fn open_port(&mut self, protocol: Protocol, socket: D) -> u8 {
        let id = PortId::try_from(self.ports.len()).expect("invariant: a few ports at the most");
        let house = self.house_of(protocol);
        self.ports.push(Port::new(protocol, house, socket));
        self.inbox.get_or_insert_default();
        id
    }

    /// The socket of a port, to be registered.
    pub fn port_mut(&mut self, id: u8) -> Option<&mut D> {
        Some(&mut self.ports.get_mut(usize::from(id))?.socket)
    }

    /// Notes what the kernel told of a port; nothing is done before the turn.
    pub fn handle_port_readiness(&mut self, id: u8, readiness: Readiness) {
        if let Some(port) = self.ports.get_mut(usize::from(id)) {
            port.readable |= readiness.readable;
            port.blocked &= !readiness.writable;
        }
    }

    /// Steps 2 and 3 for datagrams: one batch of each port.
    pub(super) fn take_in_datagrams(&mut self) {
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        for id in 0..self.ports.len() as PortId {
            self.take_in_batch(id, &mut inbox);
        }
        self.inbox = Some(inbox);
    }

    fn take_in_batch(&mut self, id: PortId, inbox: &mut Inbox) {
        let port = self.ports.get(usize::from(id));
        if !port.is_some_and(|port| self.hears(port)) {
            return;
        }
        let Some(port) = self.ports.get_mut(usize::from(id)) else {
            return;
        };
        match port.socket.recv_batch(inbox) {
            Ok(()) => {
                for datagram in inbox.iter() {
                    self.handle_datagram(id, datagram);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => port.readable = false,
            // It concerns a datagram that we sent to somebody (ICMP), or one that is lost anyway.
            Err(_) => self.counters.failed_receives += 1,
        }
    }

    fn handle_datagram(&mut self, id: PortId, datagram: Incoming<'_>) {
        self.counters.datagrams += 1;
        let Incoming {
            from,
            bytes,
            truncated,
        } = datagram;
        let Some(port) = self.ports.get(usize::from(id)) else {
            return;
        };
        if truncated {
            return self.drop_datagram(id, from, "longer than any of the protocol");
        }
        if port.gateway.is_some() {
            return self.handle_mesh_datagram(id, from, bytes);
        }
        match port.protocol.sender(bytes) {
            Sender::Nobody => self.drop_datagram(id, from, "without a token"),
            Sender::Secret(secret) => match self.owner_of(secret, from) {
                Some(key) => self.hear(key, (id, from), bytes),
                None => self.drop_datagram(id, from, "with a token that is not valid there"),
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
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        if guest.place == GuestPlace::Gone {
            return self.drop_datagram(port, from, "its room has closed");
        }
        guest.heard = self.now;
        if let Some(allowance) = guest.allowance {
            self.allowances.received(allowance, bytes.len());
        }
        let mut replies = std::mem::take(&mut self.replies);
        let handled = guest.session.handle_datagram(bytes, &mut replies);
        self.take_note_of_proof(key);
        self.reply(key, &mut replies);
        self.replies = replies;
        match handled {
            Ok(Some(Request::Appear)) => self.appear(key, (port, from)),
            Ok(Some(request)) => self.decide_for_guest(key, request),
            Ok(None) => {}
            Err(dropped) => self.drop_datagram(port, from, dropped.why),
        }
    }

    /// A datagram from an address that nothing is known of. It becomes a guest if it asks to be let in.
    fn hear_stranger(&mut self, found_at: (PortId, SocketAddr), bytes: &[u8]) {
        let (id, from) = found_at;
        let Some(port) = self.ports.get(usize::from(id)) else {
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
                if self.census.enter(&peer, self.limits.max_per_address) {
                    let mut guest = Guest::new(protocol, house, session, peer, self.now);
                    guest.found_at = Some(found_at);
                    guest.allowance = match protocol.has_proof() {
                        true => Some(self.allowances.credit(bytes.len())),
                        false if peer.is_loopback() => None,
                        false => Some(self.allowances.pace(&peer, self.now)),
                    };
                    let key = self.tenants.insert_guest(guest);
                    if let Some(port) = self.ports.get_mut(usize::from(id)) {
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
            Err(dropped) => self.drop_datagram(id, from, dropped.why),
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

    /// What a guest's session asks for.
    fn decide_for_guest(&mut self, key: Key, request: Request<'_>) {
        let Some(guest) = self.tenants.guest(key) else {
            return;
        };
        let (house, id, wall) = (guest.house(), guest.id(), self.wall);
        match (request, id) {
            (
                Request::Enter {
                    choice,
                    name,
                    contact,
                },
                None,
            ) => {
                let entered = self.name_for(house, choice, name).and_then(|name| {
                    let (hub, mut delivery) = self.desk(house).ok_or(Refusal::NoSuchRoom)?;
                    hub.enter(choice, name, contact, key, &mut delivery)
                });
                if entered == Err(Refusal::NameTaken) {
                    self.tell_holder(house, choice, name);
                }
                match entered {
                    Ok(_) => self.welcome(key, None),
                    Err(refusal) => self.refuse(key, refusal),
                }
            }
            (Request::Say { text, time }, Some(id)) => {
                let mut said = Said::Nothing;
                if self.guest_has_rate_left(key)
                    && let Some((hub, mut delivery)) = self.desk(house)
                {
                    said = hub.say(id, text, time.unwrap_or(wall), &mut delivery);
                    self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
                }
                self.answer(key, |_| Some(Answer::Said(said)));
            }
            (Request::Direct { to, text }, Some(id)) => {
                let mut said = Said::Nothing;
                if self.guest_has_rate_left(key)
                    && let Some((hub, mut delivery)) = self.desk(house)
                {
                    said = hub.direct(id, to, text, wall, &mut delivery);
                    self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
                }
                self.answer(key, |_| Some(Answer::Said(said)));
            }
            (Request::Members, _) => {
                let room = id.and_then(|id| self.houses.get(house)?.hub.room_of(id));
                self.answer_with_roster(key, room.unwrap_or(LOBBY));
            }
            (Request::FindAccount { name }, _) => {
                let exists = self.account_exists(name);
                self.answer(key, |_| Some(Answer::Account { exists }));
            }
            (Request::Authenticate { name, password }, _) => self.authenticate(key, name, password),
            (Request::KeepAlive, _) => {}
            (Request::Leave, _) => {
                self.answer(key, |_| Some(Answer::Gone));
                self.dismiss(key, Departure::Asked);
            }
            (Request::Enter { .. }, Some(_))
            | (Request::Say { .. } | Request::Direct { .. }, None)
            | (Request::Appear | Request::Reserve { .. }, _) => {
                debug_assert!(false, "invariant: sessions ask for what they may");
            }
        }
    }

    /// Keeps a name for whoever shows the secret, at a datagram port of the same kind.
    pub(super) fn reserve(
        &mut self,
        connection: Key,
        choice: Choice<'_>,
        name: &str,
    ) -> Result<Secret, Refusal> {
        let Some(asker) = self.tenants.get(connection) else {
            return Err(Refusal::NoSuchRoom);
        };
        let (peer, protocol, house) = (asker.peer, asker.protocol, asker.house());
        let name = self.name_for(house, choice, name)?;
        let room = match choice {
            Choice::Lobby => "lobby",
            Choice::Join(room) | Choice::Create(room) => room,
        };
        let room = Name::parse(room).map_err(Refusal::NotAName)?;
        let (protocol, session) = protocol
            .reserved_session(&room)
            .ok_or(Refusal::NoSuchRoom)?;
        let Limits {
            max_per_address,
            secrets_per_address: limit,
            ..
        } = self.limits;
        // The connection that asks is one of its address's already, and goes.
        if !self.census.enter(&peer, max_per_address.saturating_add(1)) {
            let limit = max_per_address;
            return Err(Refusal::TooManyFromAddress { limit });
        }
        if !self.unshown.enter(&peer, limit) {
            self.census.leave(&peer);
            return Err(Refusal::TooManyFromAddress { limit });
        }
        let secret = self.entropy.secret();
        let mut guest = Guest::new(protocol, house, session, peer, self.now);
        guest.secret = Some(secret);
        let key = self.tenants.insert_guest(guest);
        self.secrets.insert(secret.bits(), key);
        let held = self
            .houses
            .get_mut(house)
            .ok_or(Refusal::NoSuchRoom)
            .and_then(|house| house.hub.hold(choice, name, Contact::NONE, key));
        match held {
            Ok(id) => {
                if let Some(guest) = self.tenants.guest_mut(key) {
                    guest.place = GuestPlace::Held { id };
                }
                self.look_again(key, self.limits.registering_time);
                Ok(secret)
            }
            Err(refusal) => {
                self.remove_guest(key);
                Err(refusal)
            }
        }
    }

    /// A guest has shown its secret: it is heard, and reached where it did so from now on.
    fn appear(&mut self, key: Key, found_at: (PortId, SocketAddr)) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        let (house, place, before) = (guest.house(), guest.place, guest.found_at);
        match place {
            GuestPlace::Nowhere | GuestPlace::Gone => {}
            GuestPlace::Held { id } => {
                guest.found_at = Some(found_at);
                let peer = guest.peer;
                self.unshown.leave(&peer);
                if let Some((hub, mut delivery)) = self.desk(house) {
                    hub.appear(id, key, &mut delivery);
                }
                self.welcome(key, None);
            }
            GuestPlace::In { room, id, seat } => {
                let port = usize::from(found_at.0);
                if before.map(|(port, _)| port) == Some(found_at.0) {
                    guest.found_at = Some(found_at);
                    if let Some(port) = self.ports.get_mut(port) {
                        let seat = seat as usize;
                        port.mailing.readdress(room.index(), seat, found_at.1);
                    }
                    return;
                }
                if let Some((_, mut delivery)) = self.desk(house) {
                    delivery.unseat_guest(key);
                }
                let Some(guest) = self.tenants.guest_mut(key) else {
                    return;
                };
                guest.found_at = Some(found_at);
                if let Some(port) = self.ports.get_mut(port) {
                    let seat = port
                        .mailing
                        .join(room.index(), key, found_at.1, guest.allowance);
                    let seat = u32::try_from(seat).expect("invariant: rooms are bounded");
                    guest.place = GuestPlace::In { room, id, seat };
                }
            }
        }
    }

    /// Tells a guest that it is in.
    pub(super) fn welcome(&mut self, key: Key, secret: Option<Secret>) {
        self.counters.joined += 1;
        log::debug!("{}: joined", self.who(key));
        let secret = secret.unwrap_or(super::core::NO_SECRET);
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        let GuestPlace::In { room, .. } = guest.place else {
            return;
        };
        let Some(house) = self.houses.get(guest.house()) else {
            return;
        };
        let mut replies = std::mem::take(&mut self.replies);
        if let Some(history) = house.hub.history(room) {
            let welcome = Welcome {
                history,
                members: &house.hub.roster(room),
                secret,
            };
            guest
                .session
                .handle_answer(Answer::Entered(welcome), &mut replies);
        }
        self.reply(key, &mut replies);
        self.replies = replies;
        self.look_after(key);
    }

    /// Tells a guest that it is not let in. One that may ask again in the same words is remembered for a
    /// while, so that it is told the same again.
    pub(super) fn refuse(&mut self, key: Key, refusal: Refusal) {
        self.counters.refused += 1;
        log::debug!("{}: refused: {refusal}", self.who(key));
        match self.answer(key, |_| Some(Answer::Refused(refusal))) {
            AfterVerdict::Stay => self.look_again(key, self.limits.answer_keeping_time),
            AfterVerdict::Close => self.dismiss(key, Departure::Refused),
        }
    }

    /// Gives a guest's session an answer, and sends what it makes of it.
    pub(super) fn answer(
        &mut self,
        key: Key,
        answer: impl FnOnce(&Guest) -> Option<Answer<'static>>,
    ) -> AfterVerdict {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return AfterVerdict::Close;
        };
        let Some(answer) = answer(guest) else {
            return AfterVerdict::Stay;
        };
        let mut replies = std::mem::take(&mut self.replies);
        let after = guest.session.handle_answer(answer, &mut replies);
        self.reply(key, &mut replies);
        self.replies = replies;
        after
    }

    fn answer_with_roster(&mut self, key: Key, room: RoomId) {
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
    fn reply(&mut self, key: Key, replies: &mut Datagrams) {
        let guest = self.tenants.guest(key);
        let sent_to = guest.and_then(|guest| Some((guest.found_at?, guest.allowance)));
        if let Some((found_at, allowance)) = sent_to {
            for reply in replies.iter() {
                self.post().send_to(found_at, allowance, reply);
            }
        }
        replies.clear();
    }

    /// Once a guest has proved its address nothing limits what it is sent.
    fn take_note_of_proof(&mut self, key: Key) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        if guest.proven || !guest.protocol.has_proof() || !guest.session.is_proven() {
            return;
        }
        guest.proven = true;
        let Some(allowance) = guest.allowance.take() else {
            return;
        };
        self.allowances.release(allowance, self.now);
        if let (GuestPlace::In { room, seat, .. }, Some((port, _))) = (guest.place, guest.found_at)
            && let Some(port) = self.ports.get_mut(usize::from(port))
        {
            port.mailing.set_free(room.index(), seat as usize);
        }
    }

    /// Lets a guest go: its name is free at once.
    pub(super) fn dismiss(&mut self, key: Key, why: Departure) {
        log::debug!("{}: {}", self.who(key), why.as_str());
        let Some(guest) = self.tenants.guest(key) else {
            return;
        };
        let (house, id) = (guest.house(), guest.id());
        if let Some(id) = id
            && let Some((hub, mut delivery)) = self.desk(house)
        {
            hub.leave(id, &mut delivery);
        }
        self.remove_guest(key);
    }

    /// Forgets a guest that is in no room any more. Nothing happens to what is not one.
    pub(super) fn remove_guest(&mut self, key: Key) {
        let Some(guest) = self.tenants.remove_guest(key) else {
            return;
        };
        if let Some((port, address)) = guest.found_at
            && let Some(port) = self.ports.get_mut(usize::from(port))
            && port.guests.get(&address) == Some(&key)
        {
            port.guests.remove(&address);
        }
        if let Some(secret) = guest.secret {
            self.secrets.remove(&secret.bits());
            if guest.found_at.is_none() {
                self.unshown.leave(&guest.peer);
            }
        }
        if let Some(allowance) = guest.allowance {
            self.allowances.release(allowance, self.now);
        }
        if let Some(deadline) = guest.deadline {
            self.timers.cancel(deadline);
        }
        self.census.leave(&guest.peer);
    }

    /// Sets when a guest's silence is looked at: in loopback never, a program that dies there leaves nobody waiting.
    fn look_after(&mut self, key: Key) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        // Peers of a mesh never say that they go.
        match guest.peer.is_loopback() && guest.protocol != Protocol::UdpMesh {
            true => {
                if let Some(armed) = guest.deadline.take() {
                    self.timers.cancel(armed);
                }
            }
            false => {
                let time = patience_with(guest, &self.limits);
                self.look_again(key, time);
            }
        }
    }

    /// Looks for a guest in that time, instead of whenever it was to be.
    pub(super) fn look_again(&mut self, key: Key, time: Duration) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        if let Some(armed) = guest.deadline.take() {
            self.timers.cancel(armed);
        }
        guest.deadline = Some(self.timers.arm(self.now + time, Timer::Guest(key)));
    }

    /// Step 4: a guest may have been silent for too long.
    pub(super) fn look_for_guest(&mut self, key: Key) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        guest.deadline = None;
        // Everybody has been told that it is over.
        if self.stopping {
            return;
        }
        match guest.place {
            GuestPlace::In { .. } => {
                let allowed = patience_with(guest, &self.limits);
                let silent = self.now.saturating_duration_since(guest.heard);
                match allowed.checked_sub(silent).filter(|left| !left.is_zero()) {
                    Some(left) => self.look_again(key, left),
                    None => {
                        self.counters.silent += 1;
                        self.dismiss(key, Departure::Silent);
                    }
                }
            }
            GuestPlace::Nowhere | GuestPlace::Held { .. } if guest.pending => {}
            GuestPlace::Nowhere => self.dismiss(key, Departure::Refused),
            GuestPlace::Gone => {}
            GuestPlace::Held { .. } => {
                self.counters.never_came += 1;
                self.dismiss(key, Departure::NeverCame);
            }
        }
    }

    /// Whether a guest may say one more thing now; what it may not is counted and dropped.
    pub(super) fn guest_has_rate_left(&mut self, key: Key) -> bool {
        let (Some(rate), Some(guest)) = (self.limits.message_rate, self.tenants.guest_mut(key))
        else {
            return true;
        };
        if guest.peer.is_loopback() || guest.rate.take(rate, self.start, self.now) {
            return true;
        }
        self.note_over_rate(key);
        false
    }

    /// Counts a datagram that is not answered.
    pub(super) fn drop_datagram(&mut self, port: PortId, from: SocketAddr, why: &'static str) {
        self.counters.dropped += 1;
        let protocol = self.ports.get(usize::from(port)).map(|port| port.protocol);
        if let Some(protocol) = protocol {
            let what = format_args!("{protocol} {from}: a datagram is dropped: {why}");
            self.notes.dropped(self.now, what);
            self.watch_notes();
        }
    }

    /// Tells all rooms of the ports that they close, where the protocol has a word for it: we are going.
    pub(super) fn close_rooms(&mut self) {
        let mut datagrams = std::mem::take(&mut self.event_datagrams);
        for port in &mut self.ports {
            port.protocol
                .encode_datagrams(&Event::RoomClosed, &mut datagrams);
            for datagram in datagrams.iter() {
                for room in 0..port.mailing.rooms() {
                    if port.mailing.has_readers(room) {
                        port.mailing.push_to_room(room, None, datagram);
                    }
                }
            }
            datagrams.clear();
        }
        self.event_datagrams = datagrams;
    }
}

/// How long a guest may be silent.
fn patience_with(guest: &Guest, limits: &Limits) -> Duration {
    match guest.protocol.silence() {
        Silence::KeepsAlive => limits.login_idle,
        Silence::SpeaksWhenSpeaking => limits.udp_idle,
    }
}
