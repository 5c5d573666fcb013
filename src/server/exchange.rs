//! Owns the audiences of one hub's rooms, and carries the hub's events to them.
//! Knows connections as keys and what they are due; encodes, but decides nothing.

use std::net::SocketAddr;
use std::time::Instant;

use super::connection::Place;
use super::counters::Counters;
use super::guest::GuestPlace;
use super::port::{Allowances, PortId, Ports};
use super::tenants::Tenants;
use crate::chat::{Deliver, Event, LOBBY, MemberId, RoomId, Roster};
use crate::fanout::{Audience, Log, Roll, Shared, Tally};
use crate::protocol::registry::Protocol;
use crate::protocol::{Datagrams, RollCall};
use crate::reactor::{Key, Stream};

/// The audiences of all rooms of one hub.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// By the room's number. Audiences outlive their rooms: those who were in one may still be due
    /// something, and who comes into the next room of that number reads on from there.
    rooms: Vec<RoomAudiences>,
    /// Rooms in whose audiences something happened this turn.
    touched: Vec<RoomId>,
    /// Rooms with notices that wait for more of their kind.
    postponed: Vec<RoomId>,
    /// Bytes appended to the logs: what the turn's intake has come to.
    appended: usize,
    /// The same of notices of who went, apart.
    departures: usize,
    /// Where frames for one member are encoded.
    frame: Vec<u8>,
    /// Counts the memory of what waits to be sent.
    tally: Tally,
}

/// Those who hear one room, by wire format: few, so a list.
#[derive(Debug, Default)]
struct RoomAudiences {
    by_format: Vec<Hearers>,
    touched: bool,
    /// It stands in the list of those whose notices wait.
    postponed: bool,
}

/// Those who hear one room in one wire format.
#[derive(Debug)]
struct Hearers {
    format: Protocol,
    audience: Audience<Key>,
    /// What those who join them are sent of those who are in the room, in any format.
    roll: Roll,
}

/// The exchange at work: with those that it delivers to.
pub(super) struct Delivery<'a, S, D> {
    pub(super) house: usize,
    pub(super) exchange: &'a mut Exchange,
    pub(super) tenants: &'a mut Tenants<S>,
    /// Those to whom something is to be sent apart from their audience.
    pub(super) pending: &'a mut Vec<Key>,
    pub(super) post: Post<'a, D>,
    /// Guests to let go at the end of the turn.
    pub(super) doomed: &'a mut Vec<Key>,
}

/// The part of it that deals in datagrams.
pub(super) struct Post<'a, D> {
    pub(super) ports: &'a mut Ports<D>,
    pub(super) allowances: &'a mut Allowances,
    pub(super) counters: &'a mut Counters,
    /// Where an event's datagrams are encoded.
    pub(super) datagrams: &'a mut Datagrams,
    pub(super) now: Instant,
}

/// What somebody reads who is in no room.
static NO_LOG: Log = Log::new();

impl Exchange {
    /// Without rooms; what waits to be sent is counted by `tally`.
    pub(super) fn new(tally: &Tally) -> Exchange {
        Exchange {
            tally: tally.clone(),
            ..Exchange::default()
        }
    }

    /// The log that members of a room read in that format.
    pub(super) fn log(&self, room: Option<RoomId>, format: Protocol) -> &Log {
        room.and_then(|room| self.audience(room, format))
            .map_or(&NO_LOG, Audience::log)
    }

    pub(super) fn audience(&self, room: RoomId, format: Protocol) -> Option<&Audience<Key>> {
        let room = self.rooms.get(room.index())?;
        let found = room.by_format.iter().find(|of| of.format == format);
        found.map(|of| &of.audience)
    }

    pub(super) fn audience_mut(
        &mut self,
        room: RoomId,
        format: Protocol,
    ) -> Option<&mut Audience<Key>> {
        self.hearers_mut(room, format).map(|of| &mut of.audience)
    }

    fn hearers_mut(&mut self, room: RoomId, format: Protocol) -> Option<&mut Hearers> {
        let room = self.rooms.get_mut(room.index())?;
        room.by_format.iter_mut().find(|of| of.format == format)
    }

    /// The audiences of a room, whether or not anybody is in them.
    pub(super) fn audiences_mut(
        &mut self,
        room: RoomId,
    ) -> impl Iterator<Item = &mut Audience<Key>> {
        let room = self.rooms.get_mut(room.index());
        let all = room.into_iter().flat_map(|room| room.by_format.iter_mut());
        all.map(|of| &mut of.audience)
    }

    /// Remembers that the room's audiences are to be offered what is new, and settled.
    pub(super) fn touch(&mut self, id: RoomId) {
        if let Some(room) = self.rooms.get_mut(id.index())
            && !std::mem::replace(&mut room.touched, true)
        {
            self.touched.push(id);
        }
    }

    /// The rooms touched since this was asked before.
    pub(super) fn take_touched(&mut self, into: &mut Vec<RoomId>) {
        into.append(&mut self.touched);
        for id in into {
            if let Some(room) = self.rooms.get_mut(id.index()) {
                room.touched = false;
            }
        }
    }

    /// Has the notices of a room wait for more.
    pub(super) fn postpone(&mut self, id: RoomId) {
        if let Some(room) = self.rooms.get_mut(id.index())
            && !std::mem::replace(&mut room.postponed, true)
        {
            self.postponed.push(id);
        }
    }

    /// Whether notices of a room wait for more.
    pub(super) fn is_postponed(&self, id: RoomId) -> bool {
        self.rooms
            .get(id.index())
            .is_some_and(|room| room.postponed)
    }

    /// Has notices wait no longer.
    pub(super) fn recall_postponed(&mut self) {
        while let Some(id) = self.postponed.pop() {
            if let Some(room) = self.rooms.get_mut(id.index()) {
                room.postponed = false;
            }
            self.touch(id);
        }
    }

    /// Has those who leave from now on sent the notices, too, that wait.
    pub(super) fn owe_notices(&mut self) {
        let all = self.rooms.iter_mut().flat_map(|room| &mut room.by_format);
        all.for_each(|of| of.audience.owe_notices());
    }

    /// What a newcomer to a room is sent of those who are in, if its protocol has that.
    pub(super) fn roll(
        &mut self,
        room: RoomId,
        format: Protocol,
        members: &dyn Roster,
    ) -> Option<Shared> {
        let RollCall { begin, encode, end } = format.roll_call()?;
        let roll = &mut self.hearers_mut(room, format)?.roll;
        if !roll.is_current() {
            roll.begin(begin);
            let mut entry = Vec::new();
            members.tell(&mut |name, contact| {
                entry.clear();
                encode(name, contact, &mut entry);
                roll.append(&entry);
            });
        }
        Some(roll.share(end))
    }

    /// Whether something happened that was not offered yet.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Has all logs give back what they do not need.
    pub(super) fn shrink(&mut self) {
        let all = self.rooms.iter_mut().flat_map(|room| &mut room.by_format);
        all.for_each(|of| of.audience.shrink());
    }

    /// The memory of all logs, in bytes.
    pub(super) fn log_memory(&self) -> usize {
        let all = self.rooms.iter().flat_map(|room| room.by_format.iter());
        all.map(|of| of.audience.log().memory()).sum()
    }

    /// The bytes appended to all logs since this was asked before, but for notices of who went.
    pub(super) fn take_appended(&mut self) -> usize {
        std::mem::take(&mut self.appended)
    }

    /// The bytes of notices of who went that were appended since this was asked before.
    pub(super) fn take_departures(&mut self) -> usize {
        std::mem::take(&mut self.departures)
    }

    /// The audience of a format in a room, made if it is the first of its kind.
    fn audience_or_new(&mut self, id: RoomId, format: Protocol) -> Option<&mut Audience<Key>> {
        if self.rooms.len() <= id.index() {
            self.rooms
                .resize_with(id.index() + 1, RoomAudiences::default);
        }
        let room = self.rooms.get_mut(id.index())?;
        let index = match room.by_format.iter().position(|of| of.format == format) {
            Some(index) => index,
            None => {
                room.by_format.push(Hearers {
                    format,
                    audience: Audience::counted_by(&self.tally),
                    roll: Roll::counted_by(&self.tally),
                });
                room.by_format.len() - 1
            }
        };
        room.by_format.get_mut(index).map(|of| &mut of.audience)
    }
}

impl Hearers {
    /// Keeps the roll true, or lets it go.
    fn keep_roll(&mut self, event: &Event<'_>) {
        let (name, contact, comes) = match event {
            Event::Arrived { name, contact } => (*name, *contact, true),
            Event::Left { name, contact } => (*name, *contact, false),
            Event::RoomClosed => return self.roll.clear(),
            Event::Said { .. } | Event::Direct { .. } | Event::NameAsked | Event::Notice { .. } => {
                return;
            }
        };
        if self.audience.members().is_empty() {
            return self.roll.clear();
        }
        if let Some(RollCall { encode, .. }) = self.format.roll_call()
            && self.roll.is_current()
        {
            let mut entry = Vec::new();
            encode(name, contact, &mut entry);
            match comes {
                true => self.roll.append(&entry),
                false => self.roll.remove(&entry),
            }
        }
    }
}

impl<S: Stream, D> Delivery<'_, S, D> {
    /// Gives one connection what is everybody's who comes, behind all it is due so far.
    pub(super) fn push_shared(&mut self, key: Key, shared: Shared) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let log = self.exchange.log(connection.room(), connection.protocol);
        let tally = &self.exchange.tally;
        connection.feed.push_shared(log, shared, tally);
        if !std::mem::replace(&mut connection.in_pending, true) {
            self.pending.push(key);
        }
    }

    /// Gives a frame to one connection, behind all it is due so far.
    pub(super) fn push_private(&mut self, key: Key, encode: impl FnOnce(Protocol, &mut Vec<u8>)) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let mut frame = std::mem::take(&mut self.exchange.frame);
        encode(connection.protocol, &mut frame);
        if !frame.is_empty() {
            let log = self.exchange.log(connection.room(), connection.protocol);
            let tally = &self.exchange.tally;
            connection.feed.push_private(log, &frame, tally);
            if !std::mem::replace(&mut connection.in_pending, true) {
                self.pending.push(key);
            }
        }
        frame.clear();
        frame.shrink_to(KEPT_FRAME_CAPACITY);
        self.exchange.frame = frame;
    }
}

/// What is kept of the buffer for frames to one member: a welcome with ten ordinary lines.
const KEPT_FRAME_CAPACITY: usize = 4096;

impl<D> Post<'_, D> {
    /// Has a datagram sent to a guest, if it may be sent that much.
    pub(super) fn send_to(
        &mut self,
        (port, address): (PortId, SocketAddr),
        allowance: Option<super::port::AllowanceId>,
        datagram: &[u8],
    ) {
        let Some(port) = self.ports.get_mut(port) else {
            return;
        };
        if let Some(allowance) = allowance
            && !self.allowances.take(allowance, datagram.len(), self.now)
        {
            self.counters.withheld += 1;
            return;
        }
        self.counters.overflowed += port.mailing.push_to_one(address.into(), datagram) as u64;
    }

    /// Has an event sent to those in a room who came by datagram ports of that house. Returns its bytes.
    fn send_to_room(
        &mut self,
        house: usize,
        room: RoomId,
        event: &Event<'_>,
        actor: Option<Key>,
        actors_protocol: Option<Protocol>,
    ) -> usize {
        let mut appended = 0;
        let ports = self.ports.iter_mut().filter(|port| port.house == house);
        for port in ports {
            let format = port.protocol;
            // What the mesh says it has heard; what the others say is told to all of it at once.
            let mesh = port
                .gateway
                .as_mut()
                .filter(|_| room == LOBBY && actors_protocol != Some(format));
            if mesh.is_none() && !port.mailing.has_readers(room.index()) {
                continue;
            }
            match (&mesh, event) {
                (Some(mesh), Event::Notice { text, .. }) => {
                    mesh.session.encode_notice(text, self.datagrams);
                }
                _ => format.encode_datagrams(event, self.datagrams),
            }
            let own_words = matches!(event, Event::Said { .. }) && !format.echoes();
            let except = actor.filter(|_| own_words);
            appended += self.datagrams.total_bytes();
            let mut dropped = 0;
            if let Some(mesh) = mesh {
                for datagram in self.datagrams.iter() {
                    mesh.session.note_sent(datagram, self.now);
                    dropped += port.mailing.push_to_one(mesh.broadcast.into(), datagram);
                }
            } else {
                for datagram in self.datagrams.iter() {
                    dropped += port.mailing.push_to_room(room.index(), except, datagram);
                }
            }
            self.counters.overflowed += dropped as u64;
            self.datagrams.clear();
        }
        appended
    }
}

impl<S: Stream, D> Deliver<Key> for Delivery<'_, S, D> {
    fn to_room(&mut self, room: RoomId, event: Event<'_>, actor: Key) {
        self.carry(room, event, Some(actor));
    }

    fn to_member(&mut self, seat: Key, event: Event<'_>) -> bool {
        let Some(guest) = self.tenants.guest(seat) else {
            self.push_private(seat, |format, out| format.encode_event(&event, out));
            return true;
        };
        let Some(found_at) = guest.found_at else {
            return false;
        };
        guest.protocol.encode_datagrams(&event, self.post.datagrams);
        // Taken out for as long as they are sent.
        let datagrams = std::mem::take(self.post.datagrams);
        let allowance = guest.allowance;
        // Where all hear together one alone is not told.
        let told = !guest.protocol.hears_together();
        if told {
            for datagram in datagrams.iter() {
                self.post.send_to(found_at, allowance, datagram);
            }
        }
        *self.post.datagrams = datagrams;
        self.post.datagrams.clear();
        told
    }

    fn seat(&mut self, key: Key, room: RoomId, id: MemberId) {
        if let Some(guest) = self.tenants.guest_mut(key) {
            let Some((port, address)) = guest.found_at else {
                return;
            };
            let Some(port) = self.post.ports.get_mut(port) else {
                return;
            };
            let seat = (!guest.protocol.hears_together()).then(|| {
                let seat = port
                    .mailing
                    .join(room.index(), key, address.into(), guest.allowance);
                u32::try_from(seat).expect("invariant: rooms are bounded")
            });
            guest.place = GuestPlace::In { room, id, seat };
            return;
        }
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let Some(audience) = self.exchange.audience_or_new(room, connection.protocol) else {
            return;
        };
        connection.feed.join(audience.log().end());
        let seat = u32::try_from(audience.join(key)).expect("invariant: rooms are bounded");
        connection.place = Place::In { room, id, seat };
    }

    fn unseat(&mut self, key: Key, room: RoomId) {
        if self.tenants.guest(key).is_some() {
            self.unseat_guest(key);
            if let Some(guest) = self.tenants.guest_mut(key) {
                guest.place = GuestPlace::Gone;
            }
            self.doomed.push(key);
            return;
        }
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        // A name may be held in one room by somebody who sits in another.
        let Place::In {
            seat,
            room: sits_in,
            ..
        } = connection.place
        else {
            return;
        };
        if sits_in != room {
            return;
        }
        connection.place = Place::Leaving { room };
        let format = connection.protocol;
        let Some(audience) = self.exchange.audience_mut(room, format) else {
            return;
        };
        let (owed, moved) = (audience.owed(), audience.leave(seat as usize));
        connection.feed.end(owed, &self.exchange.tally);
        if let Some(moved) = moved
            && let Some(moved) = self.tenants.get_mut(moved)
            && let Place::In { seat: place, .. } = &mut moved.place
        {
            *place = seat;
        }
    }
}

impl<S: Stream, D> Delivery<'_, S, D> {
    /// Has everybody in a room told something that is nobody's doing.
    pub(super) fn announce(&mut self, room: RoomId, event: Event<'_>) {
        self.carry(room, event, None);
    }

    /// Has everybody in a room told an event, whoever did it.
    fn carry(&mut self, room: RoomId, event: Event<'_>, actor: Option<Key>) {
        let actors_protocol = actor.and_then(|actor| match self.tenants.guest(actor) {
            Some(guest) => Some(guest.protocol),
            None => self
                .tenants
                .get(actor)
                .map(|connection| connection.protocol),
        });
        self.exchange.appended +=
            self.post
                .send_to_room(self.house, room, &event, actor, actors_protocol);
        let Some(audiences) = self.exchange.rooms.get_mut(room.index()) else {
            return;
        };
        let mut appended = 0;
        for hearers in &mut audiences.by_format {
            hearers.keep_roll(&event);
            let Hearers {
                format, audience, ..
            } = hearers;
            let encode = |out: &mut Vec<u8>| format.encode_event(&event, out);
            let range = match event {
                Event::Arrived { .. } | Event::Left { .. } => audience.append_notice(encode),
                Event::Said { .. }
                | Event::Direct { .. }
                | Event::NameAsked
                | Event::Notice { .. }
                | Event::RoomClosed => audience.append(encode),
            };
            appended += (range.end - range.start) as usize;
            // The actor's own words are kept from it where its protocol does not echo. Its own
            // arrival it does not hear unless its seat comes before it: see `seat`.
            if matches!(event, Event::Said { .. })
                && !format.echoes()
                && actors_protocol == Some(*format)
                && let Some(actor) = actor.and_then(|actor| self.tenants.get_mut(actor))
            {
                actor.feed.skip(range, &self.exchange.tally);
            }
        }
        if appended > 0 {
            match event {
                Event::Left { .. } => self.exchange.departures += appended,
                Event::Arrived { .. }
                | Event::Said { .. }
                | Event::Direct { .. }
                | Event::NameAsked
                | Event::Notice { .. }
                | Event::RoomClosed => self.exchange.appended += appended,
            }
            self.exchange.touch(room);
        }
    }

    /// Takes a guest out of the mailing of its port.
    pub(super) fn unseat_guest(&mut self, key: Key) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        let place = std::mem::replace(&mut guest.place, GuestPlace::Nowhere);
        let found_at = guest.found_at;
        let GuestPlace::In {
            room,
            seat: Some(seat),
            ..
        } = place
        else {
            return;
        };
        let Some((port, _)) = found_at else {
            return;
        };
        let tenants = &mut *self.tenants;
        if let Some(port) = self.post.ports.get_mut(port) {
            port.mailing
                .leave(room.index(), seat as usize, |moved, to| {
                    tenants.reseat(moved, to);
                });
        }
    }
}
