//! Owns how guests come and go: names kept for who shows a secret, welcomes, proofs, silence, and the end.
//! What they say in between is in `receiving`.

use std::net::SocketAddr;
use std::time::Duration;

use super::address::PeerAddress;
use super::core::{Server, Timer};
use super::guest::{Departure, Guest, GuestPlace};
use super::limits::Limits;
use super::port::PortId;
use crate::chat::{Choice, Contact, Event, Name, Refusal};
use crate::protocol::registry::Silence;
use crate::protocol::{AfterVerdict, Answer, DatagramSession, Secret, Welcome};
use crate::reactor::{DatagramPort, Key, Stream, Told};

/// How long a guest has to be heard of who is said not to be there.
const DOUBT_TIME: Duration = Duration::from_secs(2);

/// What the kernel has told of a port's datagrams that is looked at in one turn, whatever it is about; it costs a system
/// call each, and ICMP can be forged by the thousand.
const TOLD_PER_TURN: usize = 64;

impl<S: Stream, D: DatagramPort> Server<S, D> {
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
        if self.draining {
            return Err(Refusal::Draining);
        }
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
        let is_host = matches!(choice, Choice::Create(_));
        let limit = self.limits.rooms_per_address;
        if is_host && !self.hosts.enter(&peer, limit) {
            self.census.leave(&peer);
            self.unshown.leave(&peer);
            let refusal = Refusal::TooManyRoomsOfAddress { limit };
            self.note_room_refused(connection, refusal);
            return Err(refusal);
        }
        let secret = self.entropy.secret();
        let mut guest = Guest::new(protocol, house, session, peer, self.moment());
        guest.secret = Some(secret);
        guest.is_host = is_host;
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
                if let Refusal::TooManyRooms { .. } = refusal {
                    self.note_room_refused(connection, refusal);
                }
                Err(refusal)
            }
        }
    }

    /// Has the log told of a room that was not opened.
    fn note_room_refused(&mut self, connection: Key, refusal: Refusal) {
        if let Some(asker) = self.tenants.get(connection) {
            let who = format_args!("{} {}", asker.protocol, asker.peer);
            self.notes.room_refused(self.now, who, refusal);
            self.watch_notes();
        }
    }

    /// A guest has shown its secret: it is heard, and reached where it did so from now on.
    pub(super) fn appear(&mut self, key: Key, found_at: (PortId, SocketAddr)) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        let (house, place, before) = (guest.house(), guest.place, guest.found_at);
        // The IP is the same: that was looked at.
        guest.peer = PeerAddress::new(found_at.1);
        match place {
            GuestPlace::Nowhere | GuestPlace::Gone => {}
            GuestPlace::Held { id } => {
                guest.found_at = Some(found_at);
                let peer = guest.peer;
                self.move_to(key, before, found_at);
                self.unshown.leave(&peer);
                if let Some((hub, mut delivery)) = self.desk(house) {
                    hub.appear(id, key, &mut delivery);
                }
                self.welcome(key, None);
            }
            GuestPlace::In { room, id, seat } => {
                self.move_to(key, before, found_at);
                let Some(guest) = self.tenants.guest_mut(key) else {
                    return;
                };
                let port = found_at.0;
                if before.map(|(port, _)| port) == Some(port) {
                    guest.found_at = Some(found_at);
                    if let (Some(port), Some(seat)) = (self.ports.get_mut(port), seat) {
                        let seat = seat as usize;
                        port.mailing
                            .readdress(room.index(), seat, found_at.1.into());
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
                    let seat =
                        port.mailing
                            .join(room.index(), key, found_at.1.into(), guest.allowance);
                    let seat = Some(u32::try_from(seat).expect("invariant: rooms are bounded"));
                    guest.place = GuestPlace::In { room, id, seat };
                }
            }
        }
    }

    /// Remembers where a guest is reached that is not known by that: only what the kernel tells of the address
    /// is looked up there.
    fn move_to(
        &mut self,
        key: Key,
        before: Option<(PortId, SocketAddr)>,
        (port, address): (PortId, SocketAddr),
    ) {
        if let Some((port, address)) = before
            && let Some(port) = self.ports.get_mut(port)
            && port.guests.get(&address) == Some(&key)
        {
            port.guests.remove(&address);
        }
        if let Some(port) = self.ports.get_mut(port) {
            port.guests.insert(address, key);
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
        if self.is_proven(key) {
            self.greet(key);
        }
        self.look_after(key);
    }

    /// Whether a guest may be sent as much as anybody.
    fn is_proven(&self, key: Key) -> bool {
        let guest = self.tenants.guest(key);
        guest.is_some_and(|guest| guest.session.is_proven())
    }

    /// Tells a guest that it is not let in, and forgets it. Nothing was done for it: whoever floods us with
    /// forged addresses shall leave nothing behind.
    pub(super) fn refuse(&mut self, key: Key, refusal: Refusal) {
        self.tell_refused(key, refusal);
        self.dismiss(key, Departure::Refused);
    }

    /// The same to one whose request was executed, whatever came of it: it is remembered for a while. Asked again in
    /// the same words, it is told the same again and nothing is done again.
    pub(super) fn refuse_and_remember(&mut self, key: Key, refusal: Refusal) {
        match self.tell_refused(key, refusal) {
            AfterVerdict::Stay => self.look_again(key, self.limits.answer_keeping_time),
            AfterVerdict::Close => self.dismiss(key, Departure::Refused),
        }
    }

    fn tell_refused(&mut self, key: Key, refusal: Refusal) -> AfterVerdict {
        self.counters.count_refusal(refusal);
        self.note_refused(key, refusal);
        self.answer(key, Answer::Refused(refusal))
    }

    /// Has the log told who was not let in: of logins loudly, for somebody may be guessing.
    fn note_refused(&mut self, key: Key, refusal: Refusal) {
        self.note(key, |notes, now, who| match refusal {
            Refusal::Denied | Refusal::TryAgain { .. } | Refusal::Busy => {
                notes.login_refused(now, format_args!("{who}"), refusal);
            }
            Refusal::NotAName(_)
            | Refusal::NameTaken
            | Refusal::RoomExists
            | Refusal::NoSuchRoom
            | Refusal::RoomFull { .. }
            | Refusal::TooManyRooms { .. }
            | Refusal::TooManyRoomsOfAddress { .. }
            | Refusal::NotSaved
            | Refusal::TooManyFromAddress { .. }
            | Refusal::Draining => log::debug!("{who}: refused: {refusal}"),
        });
    }

    /// Once a guest has proved its address nothing limits what it is sent.
    pub(super) fn take_note_of_proof(&mut self, key: Key) {
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
        if let GuestPlace::In {
            room,
            seat: Some(seat),
            ..
        } = guest.place
            && let Some((port, _)) = guest.found_at
            && let Some(port) = self.ports.get_mut(port)
        {
            port.mailing.set_free(room.index(), seat as usize);
        }
        self.greet(key);
    }

    /// Lets a guest go: its name is free at once.
    pub(super) fn dismiss(&mut self, key: Key, why: Departure) {
        let Some(guest) = self.tenants.guest(key) else {
            return;
        };
        let (house, id) = (guest.house(), guest.id());
        self.note_departure(key, why);
        if let Some(id) = id
            && let Some((hub, mut delivery)) = self.desk(house)
        {
            hub.leave(id, &mut delivery);
        }
        self.remove_guest(key);
    }

    /// Counts why a guest is let go, and tells the log: what we did to it loudly, what it did itself quietly.
    pub(super) fn note_departure(&mut self, key: Key, why: Departure) {
        self.counters.count_departure(why);
        let what = why.as_str();
        self.note(key, |notes, now, who| match why {
            Departure::Asked
            | Departure::Refused
            | Departure::RoomClosed
            | Departure::PortClosed => log::debug!("{who}: {what}"),
            // For what it was, whoever did it has told.
            Departure::Kicked => {}
            Departure::Silent | Departure::Unreachable | Departure::NeverCame => {
                notes.guest_gone(now, format_args!("{who}: {what}"));
            }
        });
    }

    /// Forgets a guest that is in no room any more. Nothing happens to what is not one.
    pub(super) fn remove_guest(&mut self, key: Key) {
        let Some(guest) = self.tenants.remove_guest(key) else {
            return;
        };
        if let Some((port, address)) = guest.found_at
            && let Some(port) = self.ports.get_mut(port)
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
        if guest.is_host {
            self.hosts.leave(&guest.peer);
        }
        if let Some(allowance) = guest.allowance {
            self.allowances.release(allowance, self.now);
        }
        if let Some(deadline) = guest.deadline {
            self.timers.cancel(deadline);
        }
        match guest.protocol.hears_together() {
            true => self.mesh_names.leave(&guest.peer),
            false => self.census.leave(&guest.peer),
        }
    }

    /// Sets when a guest's silence is looked at: on loopback never, for there the kernel tells of a program that is gone
    /// (see [`let_the_unreachable_go`](Server::let_the_unreachable_go)); unless even one that lives would not say
    /// that it goes.
    pub(super) fn look_after(&mut self, key: Key) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        match guest.peer.is_loopback() && guest.protocol.says_goodbye() {
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

    /// Has guests looked for sooner who may be silent for less long than they might be: each has all of the new time from
    /// now. For who may be silent for longer nothing has to be done, it is looked at when it was to be.
    pub(super) fn look_sooner(&mut self) {
        let sooner = self.tenants.iter_guests().filter_map(|(key, guest)| {
            let GuestPlace::In { .. } = guest.place else {
                return None;
            };
            let time = patience_with(guest, &self.limits);
            let due = self.timers.deadline(guest.deadline?)?;
            (self.now + time < due).then_some((key, time))
        });
        for (key, time) in sooner.collect::<Vec<_>>() {
            self.look_again(key, time);
        }
    }

    /// Step 4: a guest may have been silent for too long.
    pub(super) fn look_for_guest(&mut self, key: Key) {
        let now = self.moment();
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
                let silent = guest.heard.before(now);
                match allowed.checked_sub(silent).filter(|left| !left.is_zero()) {
                    Some(left) => self.look_again(key, left),
                    None => {
                        self.dismiss(key, Departure::Silent);
                    }
                }
            }
            GuestPlace::Nowhere | GuestPlace::Held { .. } if guest.pending => {}
            GuestPlace::Nowhere => self.dismiss(key, Departure::Refused),
            GuestPlace::Gone => {}
            GuestPlace::Held { .. } => {
                self.dismiss(key, Departure::NeverCame);
            }
        }
    }

    /// Lets those go of whom the kernel has heard twice that nobody receives at their address, some time apart, and
    /// who were not heard of in between: ICMP can be forged, what a member says cannot be made unsaid.
    pub(super) fn let_the_unreachable_go(&mut self) {
        for id in self.ports.ids() {
            let Some(port) = self.ports.get_mut(id) else {
                continue;
            };
            if !port.erred {
                continue;
            }
            let mut doubtful = Vec::new();
            for _ in 0..TOLD_PER_TURN {
                match port.socket.next_told() {
                    Told::Nothing => {
                        port.erred = false;
                        break;
                    }
                    Told::NobodyAt(address) => doubtful.extend(port.guests.get(&address).copied()),
                    Told::Other => {}
                }
            }
            for key in doubtful {
                let now = self.moment();
                let Some(guest) = self.tenants.guest_mut(key).filter(|guest| !guest.pending) else {
                    continue;
                };
                let (doubted, silent) = (guest.doubted, guest.heard.before(now));
                let doubted = doubted.map(|doubted| doubted.before(now));
                match doubted.filter(|doubted| silent > *doubted) {
                    None => guest.doubted = Some(now),
                    Some(doubted) if doubted < DOUBT_TIME => {}
                    Some(_) => {
                        self.dismiss(key, Departure::Unreachable);
                    }
                }
            }
        }
    }

    /// Tells all rooms of the ports that they close, where the protocol has a word for it: we are going.
    pub(super) fn close_rooms(&mut self) {
        let mut datagrams = std::mem::take(&mut self.event_datagrams);
        for port in self.ports.iter_mut() {
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
