//! Owns the audiences of one hub's rooms, and carries the hub's events to them.
//! Knows connections as keys and what they are due; encodes, but decides nothing.

use super::connection::{Connection, Place};
use crate::chat::{Deliver, Event, MemberId, RoomId};
use crate::fanout::{Audience, Log};
use crate::protocol::registry::Protocol;
use crate::reactor::{Key, Slots, Stream};

/// The audiences of all rooms of one hub.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// By the room's number. Audiences outlive their rooms: those who were in one may still be due
    /// something, and who comes into the next room of that number reads on from there.
    rooms: Vec<RoomAudiences>,
    /// Rooms in whose audiences something happened this turn.
    touched: Vec<RoomId>,
    /// Bytes appended to the logs: what the turn's intake has come to.
    appended: usize,
    /// Where frames for one member are encoded.
    frame: Vec<u8>,
}

/// Those who hear one room, by wire format: few, so a list.
#[derive(Debug, Default)]
struct RoomAudiences {
    by_format: Vec<(Protocol, Audience<Key>)>,
    touched: bool,
}

/// The exchange at work: with those that it delivers to.
pub(super) struct Delivery<'a, S> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) connections: &'a mut Slots<Connection<S>>,
    /// Those to whom something is to be sent apart from their audience.
    pub(super) pending: &'a mut Vec<Key>,
}

/// What somebody reads who is in no room.
static NO_LOG: Log = Log::new();

impl Exchange {
    /// The log that members of a room read in that format.
    pub(super) fn log(&self, room: Option<RoomId>, format: Protocol) -> &Log {
        room.and_then(|room| self.audience(room, format))
            .map_or(&NO_LOG, Audience::log)
    }

    pub(super) fn audience(&self, room: RoomId, format: Protocol) -> Option<&Audience<Key>> {
        let room = self.rooms.get(room.index())?;
        let found = room.by_format.iter().find(|(of, _)| *of == format);
        found.map(|(_, audience)| audience)
    }

    pub(super) fn audience_mut(
        &mut self,
        room: RoomId,
        format: Protocol,
    ) -> Option<&mut Audience<Key>> {
        let room = self.rooms.get_mut(room.index())?;
        let found = room.by_format.iter_mut().find(|(of, _)| *of == format);
        found.map(|(_, audience)| audience)
    }

    /// The audiences of a room, whether or not anybody is in them.
    pub(super) fn audiences_mut(
        &mut self,
        room: RoomId,
    ) -> impl Iterator<Item = &mut Audience<Key>> {
        let room = self.rooms.get_mut(room.index());
        let audiences = room.into_iter().flat_map(|room| room.by_format.iter_mut());
        audiences.map(|(_, audience)| audience)
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

    /// Whether something happened that was not offered yet.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The memory of all logs, in bytes.
    pub(super) fn log_memory(&self) -> usize {
        let audiences = self.rooms.iter().flat_map(|room| room.by_format.iter());
        audiences.map(|(_, audience)| audience.log().memory()).sum()
    }

    /// The bytes appended to all logs since this was asked before.
    pub(super) fn take_appended(&mut self) -> usize {
        std::mem::take(&mut self.appended)
    }

    /// The audience of a format in a room, made if it is the first of its kind.
    fn audience_or_new(&mut self, id: RoomId, format: Protocol) -> Option<&mut Audience<Key>> {
        if self.rooms.len() <= id.index() {
            self.rooms
                .resize_with(id.index() + 1, RoomAudiences::default);
        }
        let room = self.rooms.get_mut(id.index())?;
        let index = match room.by_format.iter().position(|(of, _)| *of == format) {
            Some(index) => index,
            None => {
                room.by_format.push((format, Audience::new()));
                room.by_format.len() - 1
            }
        };
        room.by_format.get_mut(index).map(|(_, audience)| audience)
    }
}

impl<S: Stream> Delivery<'_, S> {
    /// Gives a frame to one connection, behind all it is due so far.
    pub(super) fn push_private(&mut self, key: Key, encode: impl FnOnce(Protocol, &mut Vec<u8>)) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let mut frame = std::mem::take(&mut self.exchange.frame);
        encode(connection.protocol, &mut frame);
        let log = self.exchange.log(connection.room(), connection.protocol);
        connection.feed.push_private(log, &frame);
        if !std::mem::replace(&mut connection.in_pending, true) {
            self.pending.push(key);
        }
        frame.clear();
        frame.shrink_to(KEPT_FRAME_CAPACITY);
        self.exchange.frame = frame;
    }
}

/// What is kept of the buffer for frames to one member: a welcome with ten ordinary lines.
const KEPT_FRAME_CAPACITY: usize = 4096;

impl<S: Stream> Deliver<Key> for Delivery<'_, S> {
    fn to_room(&mut self, room: RoomId, event: Event<'_>, actor: Key) {
        let Some(audiences) = self.exchange.rooms.get_mut(room.index()) else {
            return;
        };
        let mut appended = 0;
        for (format, audience) in &mut audiences.by_format {
            let range = audience.append(|out| format.encode_event(&event, out));
            appended += (range.end - range.start) as usize;
            // The actor's own words are kept from it where its protocol does not echo. Its own
            // arrival it does not hear unless its seat comes before it: see `seat`.
            if matches!(event, Event::Said { .. })
                && !format.echoes()
                && let Some(actor) = self.connections.get_mut(actor)
                && actor.protocol == *format
            {
                actor.feed.skip(range);
            }
        }
        if appended > 0 {
            self.exchange.appended += appended;
            self.exchange.touch(room);
        }
    }

    fn to_member(&mut self, seat: Key, event: Event<'_>) {
        self.push_private(seat, |format, out| format.encode_event(&event, out));
    }

    fn seat(&mut self, key: Key, room: RoomId, id: MemberId) {
        let Some(connection) = self.connections.get_mut(key) else {
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
        let Some(connection) = self.connections.get_mut(key) else {
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
        connection.feed.end(audience.log());
        if let Some(moved) = audience.leave(seat as usize)
            && let Some(moved) = self.connections.get_mut(moved)
            && let Place::In { seat: place, .. } = &mut moved.place
        {
            *place = seat;
        }
    }
}
