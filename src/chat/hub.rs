//! Owns who is in which room under which name, and what follows when somebody comes, speaks or goes.
//! Knows no bytes and no connections: a member is reached at its *seat*, whatever that is to the owner.
//!
//! ```text
//!            enter                    appear                     leave
//!  (nobody) ───────▶ holds the name ─────────▶ is heard, hears ─────────▶ (nobody)
//!                          │                                                 ▲
//!                          └──────────────────── leave ──────────────────────┘
//! ```
//!
//! Most protocols appear as they enter; in TCRP the name is held from the token on, and its owner is
//! heard and announced once it has shown its UDP address.

use std::hash::RandomState;
use std::num::NonZeroU32;

use hashbrown::HashTable;
use slab::Slab;

use super::room::Room;
use super::{
    Choice, Contact, Deliver, Event, History, Name, Refusal, Roster, Said, TimeOfDay, harmless,
};

/// The room that always exists and has no host.
pub const LOBBY: RoomId = RoomId(0);

/// Who somebody is, while they are in. Counted from one, so that nobody takes no room beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId(NonZeroU32);

/// Which room, while it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomId(u32);

/// How much the hub holds at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubLimits {
    /// Rooms, the lobby among them. Each may come to cost one backlog of memory.
    pub rooms: usize,
    /// Members of one room: what one process has descriptors for.
    pub members_per_room: usize,
}

impl Default for HubLimits {
    fn default() -> Self {
        HubLimits {
            rooms: 4096,
            members_per_room: 19_000,
        }
    }
}

/// Everybody who is in, and where. `Seat` is how the owner reaches a member.
#[derive(Debug)]
pub struct Hub<Seat> {
    limits: HubLimits,
    members: Slab<Member<Seat>>,
    rooms: Slab<Room>,
    /// Members by (room, name). Only numbers: the names stand with the members, once.
    by_name: HashTable<MemberId>,
    /// Rooms by name.
    rooms_by_name: HashTable<RoomId>,
    /// Peers choose the names, so the hash is keyed.
    hasher: RandomState,
    /// How many are heard.
    heard: usize,
}

#[derive(Debug)]
struct Member<Seat> {
    name: Name,
    room: RoomId,
    contact: Contact,
    seat: Seat,
    appeared: bool,
    previous: Option<MemberId>,
    next: Option<MemberId>,
}

/// The table of members begins with this many, which is memory of its own that is resident only where it is used
/// (mallopt(3), `M_MMAP_THRESHOLD`): a small table that grows leaves holes in the heap.
const FIRST: usize = 4096;

/// It grows by this many: doubling would waste as much as it holds.
const CHUNK: usize = 256;

impl<Seat: Copy + PartialEq> Hub<Seat> {
    /// A hub with an empty lobby.
    pub fn new(limits: HubLimits) -> Hub<Seat> {
        let mut hub = Hub {
            limits,
            members: Slab::new(),
            rooms: Slab::new(),
            by_name: HashTable::new(),
            rooms_by_name: HashTable::new(),
            hasher: RandomState::new(),
            heard: 0,
        };
        let lobby = Name::parse("lobby").expect("invariant: `lobby` is a name");
        let id = hub.add_room(lobby);
        debug_assert_eq!(id, LOBBY, "invariant: the lobby is the first room");
        hub
    }

    /// Holds no more than that from now on. Who and what is over it stays, and nobody and nothing more comes in until it
    /// is not.
    pub fn set_limits(&mut self, limits: HubLimits) {
        self.limits = limits;
    }

    /// Gives somebody a name in a room, and lets them be heard there at once: see
    /// [`hold`](Hub::hold) and [`appear`](Hub::appear).
    pub fn enter(
        &mut self,
        choice: Choice<'_>,
        name: Name,
        contact: Contact,
        seat: Seat,
        out: &mut impl Deliver<Seat>,
    ) -> Result<MemberId, Refusal> {
        let member = self.hold(choice, name, contact, seat)?;
        self.appear(member, seat, out);
        Ok(member)
    }

    /// Gives somebody a name in a room. They hear nothing and nobody hears of them yet.
    pub fn hold(
        &mut self,
        choice: Choice<'_>,
        name: Name,
        contact: Contact,
        seat: Seat,
    ) -> Result<MemberId, Refusal> {
        let (room, created) = self.choose(choice)?;
        if self.find(room, name.as_str()).is_some() {
            return Err(Refusal::NameTaken);
        }
        let limit = self.limits.members_per_room;
        if self.room(room).is_some_and(|room| room.count >= limit) {
            return Err(Refusal::RoomFull { limit });
        }
        let id = self.add_member(name, room, contact, seat);
        if created && let Some(room) = self.rooms.get_mut(room.index()) {
            room.host = Some(id);
        }
        Ok(id)
    }

    /// Lets a member that holds its name be heard, at `seat` from now on. Nothing happens to one
    /// that appeared before, but that its seat may be another.
    pub fn appear(&mut self, id: MemberId, seat: Seat, out: &mut impl Deliver<Seat>) {
        let Some(member) = self.members.get_mut(id.index()) else {
            return;
        };
        member.seat = seat;
        if member.appeared {
            return;
        }
        member.appeared = true;
        self.heard += 1;
        if let Some(room) = self.rooms.get_mut(member.room.index()) {
            room.heard += 1;
        }
        let (room, name, contact) = (member.room, member.name.as_str(), member.contact);
        out.to_room(room, Event::Arrived { name, contact }, seat);
        out.seat(seat, room, id);
    }

    /// Says something to a member's room. `time` is when it was said, by whoever knows best.
    pub fn say(
        &mut self,
        id: MemberId,
        text: &str,
        time: TimeOfDay,
        out: &mut impl Deliver<Seat>,
    ) -> Said {
        let text = harmless(text);
        let Some(member) = self
            .members
            .get(id.index())
            .filter(|member| member.appeared)
        else {
            return Said::NobodyThere;
        };
        let Some(room) = self.rooms.get_mut(member.room.index()) else {
            return Said::NobodyThere;
        };
        if text.is_empty() {
            return Said::Nothing;
        }
        let from = member.name.as_str();
        room.history.push(time, from, &text);
        let said = Event::Said {
            from,
            text: &text,
            time,
        };
        out.to_room(member.room, said, member.seat);
        Said::ToOthers(room.heard.saturating_sub(1))
    }

    /// Says something to one member of the same room. It enters no history.
    pub fn direct(
        &mut self,
        id: MemberId,
        to: &str,
        text: &str,
        time: TimeOfDay,
        out: &mut impl Deliver<Seat>,
    ) -> Said {
        let text = harmless(text);
        let Some(member) = self
            .members
            .get(id.index())
            .filter(|member| member.appeared)
        else {
            return Said::NobodyThere;
        };
        let receiver = self
            .find(member.room, to)
            .and_then(|id| self.members.get(id.index()));
        let Some(receiver) = receiver.filter(|receiver| receiver.appeared) else {
            return Said::NobodyThere;
        };
        if text.is_empty() {
            return Said::Nothing;
        }
        let from = member.name.as_str();
        let direct = Event::Direct {
            from,
            text: &text,
            time,
        };
        match out.to_member(receiver.seat, direct) {
            true => Said::ToOthers(1),
            false => Said::NobodyThere,
        }
    }

    /// Frees a member's name, and tells the others if they had heard of it. When it was the host of
    /// its room, the room closes: everybody else in it is told and is in none. Nothing happens for
    /// one that is gone.
    pub fn leave(&mut self, id: MemberId, out: &mut impl Deliver<Seat>) {
        let Some(member) = self.remove_member(id) else {
            return;
        };
        if member.appeared {
            out.unseat(member.seat, member.room);
        }
        if self
            .room(member.room)
            .is_some_and(|room| room.host == Some(id))
        {
            self.close_room(member.room, member.seat, out);
        } else if member.appeared {
            let (name, contact) = (member.name.as_str(), member.contact);
            out.to_room(member.room, Event::Left { name, contact }, member.seat);
        }
    }

    /// Who somebody is.
    pub fn name(&self, id: MemberId) -> Option<&Name> {
        self.members.get(id.index()).map(|member| &member.name)
    }

    /// Who holds a name in a room, heard or not.
    pub fn find(&self, room: RoomId, name: &str) -> Option<MemberId> {
        let hash = self.member_hash(room, name);
        let is_it = |id: &MemberId| {
            self.members
                .get(id.index())
                .is_some_and(|member| member.room == room && member.name.same_as(name))
        };
        self.by_name.find(hash, is_it).copied()
    }

    /// Everybody who is heard in a room, in the order of their joining, and where they can be reached.
    pub fn members(&self, room: RoomId) -> impl Iterator<Item = (&Name, Contact)> {
        let mut next = self.room(room).and_then(|room| room.first);
        std::iter::from_fn(move || {
            let member = self.members.get(next?.index())?;
            next = member.next;
            Some(member)
        })
        .filter(|member| member.appeared)
        .map(|member| (&member.name, member.contact))
    }

    /// The same, for those who need not know what a hub is.
    pub fn roster(&self, room: RoomId) -> impl Roster {
        RoomRoster { hub: self, room }
    }

    /// Where somebody is reached.
    pub fn seat(&self, id: MemberId) -> Option<Seat> {
        self.members.get(id.index()).map(|member| member.seat)
    }

    /// The rooms that stand.
    pub fn rooms(&self) -> impl Iterator<Item = RoomId> {
        self.rooms.iter().map(|(index, _)| RoomId(number(index)))
    }

    /// What a room is called.
    pub fn room_name(&self, room: RoomId) -> Option<&Name> {
        self.room(room).map(|room| &room.name)
    }

    /// Which room somebody holds a name in.
    pub fn room_of(&self, id: MemberId) -> Option<RoomId> {
        self.members.get(id.index()).map(|member| member.room)
    }

    /// What was last said in a room.
    pub fn history(&self, room: RoomId) -> Option<&History> {
        self.room(room).map(|room| &room.history)
    }

    /// How many hold a name in any room.
    pub fn total(&self) -> usize {
        self.members.len()
    }

    /// How many of them are heard.
    pub fn heard(&self) -> usize {
        self.heard
    }

    /// How many rooms there are, the lobby among them.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// How many hold a name in a room.
    pub fn count(&self, room: RoomId) -> usize {
        self.room(room).map_or(0, |room| room.count)
    }

    /// How many are heard in a room.
    pub fn heard_in(&self, room: RoomId) -> usize {
        self.room(room).map_or(0, |room| room.heard)
    }

    fn room(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(id.index())
    }

    /// The room somebody wants, and whether it was opened for it.
    fn choose(&mut self, choice: Choice<'_>) -> Result<(RoomId, bool), Refusal> {
        match choice {
            Choice::Lobby => Ok((LOBBY, false)),
            Choice::Join(name) => match self.find_room(name) {
                Some(room) => Ok((room, false)),
                None => Err(Refusal::NoSuchRoom),
            },
            Choice::Create(name) => {
                if self.find_room(name).is_some() {
                    return Err(Refusal::RoomExists);
                }
                let limit = self.limits.rooms;
                if self.rooms.len() >= limit {
                    return Err(Refusal::TooManyRooms { limit });
                }
                let name = Name::parse(name).map_err(Refusal::NotAName)?;
                Ok((self.add_room(name), true))
            }
        }
    }

    fn find_room(&self, name: &str) -> Option<RoomId> {
        let hash = Name::hash_of(name, &self.hasher);
        let is_it = |id: &RoomId| self.room(*id).is_some_and(|room| room.name.same_as(name));
        self.rooms_by_name.find(hash, is_it).copied()
    }

    fn add_room(&mut self, name: Name) -> RoomId {
        let hash = Name::hash_of(name.as_str(), &self.hasher);
        let id = RoomId(number(self.rooms.insert(Room::new(name))));
        let (rooms, hasher) = (&self.rooms, &self.hasher);
        self.rooms_by_name.insert_unique(hash, id, |id| {
            let room = rooms.get(id.index());
            room.map_or(0, |room| Name::hash_of(room.name.as_str(), hasher))
        });
        id
    }

    fn close_room(&mut self, id: RoomId, host: Seat, out: &mut impl Deliver<Seat>) {
        out.to_room(id, Event::RoomClosed, host);
        while let Some(first) = self.room(id).and_then(|room| room.first) {
            if let Some(member) = self.remove_member(first) {
                out.unseat(member.seat, id);
            }
        }
        let Some(room) = self.rooms.try_remove(id.index()) else {
            return;
        };
        let hash = Name::hash_of(room.name.as_str(), &self.hasher);
        if let Ok(entry) = self.rooms_by_name.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    fn member_hash(&self, room: RoomId, name: &str) -> u64 {
        member_hash(&self.hasher, room, name)
    }

    fn add_member(&mut self, name: Name, room: RoomId, contact: Contact, seat: Seat) -> MemberId {
        if self.members.is_empty() && self.members.capacity() == 0 {
            self.members.reserve_exact(FIRST);
            // As many: one that doubled again and again would leave what it was before in the heap.
            self.by_name.reserve(FIRST, |_| 0);
        } else if self.members.len() == self.members.capacity() {
            self.members.reserve_exact(CHUNK);
        }
        let hash = self.member_hash(room, name.as_str());
        let previous = self.room(room).and_then(|room| room.last);
        let id = MemberId::at(number(self.members.insert(Member {
            name,
            room,
            contact,
            seat,
            appeared: false,
            previous,
            next: None,
        })));
        let (members, hasher) = (&self.members, &self.hasher);
        self.by_name.insert_unique(hash, id, |id| {
            let member = members.get(id.index());
            member.map_or(0, |member| {
                member_hash(hasher, member.room, member.name.as_str())
            })
        });
        if let Some(previous) = previous.and_then(|id| self.members.get_mut(id.index())) {
            previous.next = Some(id);
        }
        if let Some(room) = self.rooms.get_mut(room.index()) {
            room.first = room.first.or(Some(id));
            room.last = Some(id);
            room.count += 1;
        }
        id
    }

    fn remove_member(&mut self, id: MemberId) -> Option<Member<Seat>> {
        let member = self.members.try_remove(id.index())?;
        let hash = self.member_hash(member.room, member.name.as_str());
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        if let Some(previous) = member
            .previous
            .and_then(|id| self.members.get_mut(id.index()))
        {
            previous.next = member.next;
        }
        if let Some(next) = member.next.and_then(|id| self.members.get_mut(id.index())) {
            next.previous = member.previous;
        }
        self.heard -= usize::from(member.appeared);
        if let Some(room) = self.rooms.get_mut(member.room.index()) {
            if room.first == Some(id) {
                room.first = member.next;
            }
            if room.last == Some(id) {
                room.last = member.previous;
            }
            room.count -= 1;
            room.heard -= usize::from(member.appeared);
        }
        Some(member)
    }
}

/// One room's members, as a [`Roster`].
struct RoomRoster<'a, Seat> {
    hub: &'a Hub<Seat>,
    room: RoomId,
}

impl<Seat: Copy + PartialEq> Roster for RoomRoster<'_, Seat> {
    fn tell(&self, each: &mut dyn FnMut(&str, Contact)) {
        let members = self.hub.members(self.room);
        members.for_each(|(name, contact)| each(name.as_str(), contact));
    }
}

impl MemberId {
    fn at(index: u32) -> MemberId {
        MemberId(NonZeroU32::MIN.saturating_add(index))
    }

    fn index(self) -> usize {
        (self.0.get() - 1) as usize
    }
}

impl RoomId {
    /// Rooms are numbered from zero, the lobby, and numbers are used again.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A name is looked for within its room, so the same name in a thousand rooms is no collision.
fn member_hash(hasher: &RandomState, room: RoomId, name: &str) -> u64 {
    Name::hash_of(name, hasher) ^ u64::from(room.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: limits keep all tables below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seats are letters; what is delivered is written down as people would tell it.
    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Deliver<char> for Heard {
        fn to_room(&mut self, room: RoomId, event: Event<'_>, actor: char) {
            let what = match event {
                Event::Said { from, text, .. } => format!("{from} says {text}"),
                Event::Direct { .. } | Event::NameAsked => unreachable!(),
                Event::Arrived { name, .. } => format!("{name} arrived"),
                Event::Left { name, .. } => format!("{name} left"),
                Event::Notice { text, .. } => format!("! {text}"),
                Event::RoomClosed => "closed".to_string(),
            };
            self.0.push(format!("room {}: {what} ({actor})", room.0));
        }

        fn to_member(&mut self, seat: char, event: Event<'_>) -> bool {
            let Event::Direct { from, text, .. } = event else {
                unreachable!()
            };
            self.0.push(format!("{seat}: {from} whispers {text}"));
            true
        }

        fn seat(&mut self, seat: char, room: RoomId, _: MemberId) {
            self.0.push(format!("{seat} sits in {}", room.0));
        }

        fn unseat(&mut self, seat: char, room: RoomId) {
            self.0.push(format!("{seat} stands up in {}", room.0));
        }
    }

    impl Heard {
        fn take(&mut self) -> Vec<String> {
            std::mem::take(&mut self.0)
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn hub() -> (Hub<char>, Heard) {
        (Hub::new(HubLimits::default()), Heard::default())
    }

    const MIDNIGHT: TimeOfDay = TimeOfDay::MIDNIGHT;

    #[test]
    fn a_member_is_small() {
        // There are ten thousand of them. Seats are eight bytes, as the server's are.
        assert!(size_of::<Member<u64>>() <= 56);
    }

    #[test]
    fn a_name_is_held_by_one_and_free_at_once() {
        let (mut hub, mut heard) = hub();
        let alice = hub
            .enter(Choice::Lobby, name("Alice"), Contact::NONE, 'a', &mut heard)
            .unwrap();
        let taken = hub.enter(Choice::Lobby, name("aLICE"), Contact::NONE, 'b', &mut heard);
        assert_eq!(taken, Err(Refusal::NameTaken));
        hub.leave(alice, &mut heard);
        hub.leave(alice, &mut heard);
        assert!(
            hub.enter(Choice::Lobby, name("ALICE"), Contact::NONE, 'c', &mut heard)
                .is_ok()
        );
        assert_eq!(
            heard.take(),
            [
                "room 0: Alice arrived (a)",
                "a sits in 0",
                "a stands up in 0",
                "room 0: Alice left (a)",
                "room 0: ALICE arrived (c)",
                "c sits in 0",
            ]
        );
    }

    #[test]
    fn what_is_said_is_heard_and_remembered_harmless() {
        let (mut hub, mut heard) = hub();
        let alice = hub
            .enter(Choice::Lobby, name("alice"), Contact::NONE, 'a', &mut heard)
            .unwrap();
        hub.enter(
            Choice::Join("LOBBY"),
            name("bob"),
            Contact::NONE,
            'b',
            &mut heard,
        )
        .unwrap();
        heard.take();
        assert_eq!(
            hub.say(alice, "one\r\ntwo", MIDNIGHT, &mut heard),
            Said::ToOthers(1)
        );
        assert_eq!(hub.say(alice, "", MIDNIGHT, &mut heard), Said::Nothing);
        assert_eq!(heard.take(), ["room 0: alice says one two (a)"]);
        let lines: Vec<_> = hub.history(LOBBY).unwrap().lines().collect();
        assert_eq!((lines.len(), lines[0].text.as_str()), (1, "one two"));
    }

    #[test]
    fn direct_messages_reach_one_and_no_history() {
        let (mut hub, mut heard) = hub();
        let alice = hub
            .enter(Choice::Lobby, name("alice"), Contact::NONE, 'a', &mut heard)
            .unwrap();
        hub.enter(Choice::Lobby, name("Bob"), Contact::NONE, 'b', &mut heard)
            .unwrap();
        heard.take();
        assert_eq!(
            hub.direct(alice, "bob", "hi\u{7}", MIDNIGHT, &mut heard),
            Said::ToOthers(1)
        );
        assert_eq!(
            hub.direct(alice, "carol", "hi", MIDNIGHT, &mut heard),
            Said::NobodyThere
        );
        assert_eq!(
            hub.direct(alice, "bob", "", MIDNIGHT, &mut heard),
            Said::Nothing
        );
        assert_eq!(heard.take(), ["b: alice whispers hi\u{fffd}"]);
        assert_eq!(hub.history(LOBBY).unwrap().lines().len(), 0);
    }

    #[test]
    fn a_room_closes_with_its_host() {
        let (mut hub, mut heard) = hub();
        let host = hub
            .enter(
                Choice::Create("den"),
                name("host"),
                Contact::NONE,
                'h',
                &mut heard,
            )
            .unwrap();
        assert_eq!(
            hub.enter(
                Choice::Create("DEN"),
                name("x"),
                Contact::NONE,
                'x',
                &mut heard
            ),
            Err(Refusal::RoomExists)
        );
        assert_eq!(
            hub.enter(
                Choice::Create("lobby"),
                name("x"),
                Contact::NONE,
                'x',
                &mut heard
            ),
            Err(Refusal::RoomExists)
        );
        let guest = hub
            .enter(
                Choice::Join("Den"),
                name("guest"),
                Contact::NONE,
                'g',
                &mut heard,
            )
            .unwrap();
        let waiting = hub
            .hold(Choice::Join("den"), name("waiting"), Contact::NONE, 'w')
            .unwrap();
        heard.take();
        hub.leave(host, &mut heard);
        assert_eq!(
            heard.take(),
            [
                "h stands up in 1",
                "room 1: closed (h)",
                "g stands up in 1",
                "w stands up in 1"
            ]
        );
        assert_eq!(
            hub.say(guest, "hello?", MIDNIGHT, &mut heard),
            Said::NobodyThere
        );
        assert_eq!(hub.name(waiting), None);
        assert_eq!(
            hub.enter(
                Choice::Join("den"),
                name("x"),
                Contact::NONE,
                'x',
                &mut heard
            ),
            Err(Refusal::NoSuchRoom)
        );
        assert!(
            hub.enter(
                Choice::Create("den"),
                name("x"),
                Contact::NONE,
                'x',
                &mut heard
            )
            .is_ok()
        );
    }

    #[test]
    fn a_name_may_be_held_before_its_owner_appears() {
        let (mut hub, mut heard) = hub();
        let shy = hub
            .hold(Choice::Lobby, name("shy"), Contact::NONE, '?')
            .unwrap();
        assert_eq!(
            hub.enter(Choice::Lobby, name("Shy"), Contact::NONE, 'x', &mut heard),
            Err(Refusal::NameTaken)
        );
        assert_eq!(hub.say(shy, "hi", MIDNIGHT, &mut heard), Said::NobodyThere);
        assert_eq!(hub.members(LOBBY).count(), 0);
        assert!(heard.take().is_empty());
        hub.appear(shy, 's', &mut heard);
        hub.appear(shy, 't', &mut heard);
        assert_eq!(heard.take(), ["room 0: shy arrived (s)", "s sits in 0"]);
        hub.leave(shy, &mut heard);
        assert_eq!(heard.take(), ["t stands up in 0", "room 0: shy left (t)"]);
    }

    #[test]
    fn members_are_listed_in_the_order_of_joining_whoever_left() {
        let (mut hub, mut heard) = hub();
        let ids: Vec<MemberId> = ["a", "b", "c", "d", "e"]
            .map(|n| {
                hub.enter(Choice::Lobby, name(n), Contact::NONE, 'x', &mut heard)
                    .unwrap()
            })
            .to_vec();
        for gone in [ids[0], ids[2], ids[4]] {
            hub.leave(gone, &mut heard);
        }
        hub.enter(Choice::Lobby, name("f"), Contact::NONE, 'x', &mut heard)
            .unwrap();
        let names: Vec<&str> = hub.members(LOBBY).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "d", "f"]);
        assert_eq!(hub.count(LOBBY), 3);
    }

    #[test]
    fn limits_refuse_and_say_so() {
        let limits = HubLimits {
            rooms: 2,
            members_per_room: 1,
        };
        let (mut hub, mut heard) = (Hub::new(limits), Heard::default());
        hub.enter(Choice::Lobby, name("a"), Contact::NONE, 'a', &mut heard)
            .unwrap();
        assert_eq!(
            hub.enter(Choice::Lobby, name("b"), Contact::NONE, 'b', &mut heard),
            Err(Refusal::RoomFull { limit: 1 })
        );
        hub.enter(
            Choice::Create("den"),
            name("c"),
            Contact::NONE,
            'c',
            &mut heard,
        )
        .unwrap();
        assert_eq!(
            hub.enter(
                Choice::Create("pit"),
                name("d"),
                Contact::NONE,
                'd',
                &mut heard
            ),
            Err(Refusal::TooManyRooms { limit: 2 })
        );
    }
}
