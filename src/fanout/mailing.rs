//! Owns what one datagram port has still to send: one log with message boundaries, and a queue that says
//! who gets which message, in one order for all.
//! Knows no socket: it hands out datagrams and is told how many went.
//!
//! A message to a whole room stands in the log once and in the queue once, as (message, next reader): ten
//! thousand deliveries cost one entry. Readers remember from where and until where in the log they
//! are in, so who comes later gets nothing from before, and who goes gets what was said until then. What waits
//! is bounded; beyond the bound the oldest message goes, for datagrams may be lost and nobody
//! waits for a slow one.

use std::collections::VecDeque;

use super::Log;

/// Everything that one port has to send.
///
/// `M` is whatever the owner knows a member by, `A` what the port sends to, and `W` whatever says who
/// pays for it. Rooms are numbers of the owner's, small ones.
#[derive(Debug)]
pub struct Mailing<M, A, W> {
    log: Log,
    queue: VecDeque<Entry<M, A>>,
    /// The next reader of the first entry.
    next: usize,
    rooms: Vec<Readers<M, A, W>>,
    /// Bytes that may wait.
    limit: usize,
}

/// One datagram to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter<'a, A, W> {
    pub address: A,
    /// Who pays; nobody for one that was paid when it was written.
    pub allowance: Option<W>,
    pub bytes: &'a [u8],
}

/// A reader's place, until somebody in its room goes: see [`Mailing::leave`].
pub type Seat = usize;

/// One message and who gets it.
#[derive(Clone, Copy, Debug)]
struct Entry<M, A> {
    from: u64,
    until: u64,
    to: To<M, A>,
}

#[derive(Clone, Copy, Debug)]
enum To<M, A> {
    One(A),
    Room { room: usize, except: Option<M> },
}

/// Who reads, where, and when.
#[derive(Clone, Copy, Debug)]
struct Reader<M, A, W> {
    address: A,
    member: M,
    allowance: Option<W>,
    /// The log offset at which it came.
    from: u64,
    /// The log offset at which it went; the greatest of all while it is in.
    until: u64,
}

/// The readers of one room.
#[derive(Debug)]
struct Readers<M, A, W> {
    list: Vec<Reader<M, A, W>>,
    /// How many of them are gone, and stand here until they are swept out.
    gone: usize,
    /// How many of those were still due something when that was last done.
    due: usize,
}

impl<M, A, W> Default for Readers<M, A, W> {
    fn default() -> Self {
        Readers {
            list: Vec::new(),
            gone: 0,
            due: 0,
        }
    }
}

/// Tables of readers grow by this many: doubling would waste as much as it holds.
const CHUNK: usize = 64;

impl<M: Copy + PartialEq, A: Copy, W: Copy> Mailing<M, A, W> {
    /// Nothing to send and nobody to send to. `limit` is in bytes.
    pub fn new(limit: usize) -> Mailing<M, A, W> {
        Mailing {
            log: Log::new(),
            queue: VecDeque::new(),
            next: 0,
            rooms: Vec::new(),
            limit,
        }
    }

    /// Takes a reader into a room and returns its seat. It gets what is said from now on.
    pub fn join(&mut self, room: usize, member: M, address: A, allowance: Option<W>) -> Seat {
        if self.rooms.len() <= room {
            self.rooms.resize_with(room + 1, Readers::default);
        }
        let from = self.log.end();
        let Some(Readers { list, .. }) = self.rooms.get_mut(room) else {
            return 0;
        };
        if list.len() == list.capacity() {
            list.reserve_exact(CHUNK);
        }
        list.push(Reader {
            address,
            member,
            allowance,
            from,
            until: u64::MAX,
        });
        list.len() - 1
    }

    /// Lets the reader of that seat go: it gets what was said until now. Calls `moved` with every
    /// member that sits elsewhere from now on, and where.
    pub fn leave(&mut self, room: usize, seat: Seat, moved: impl FnMut(M, Seat)) {
        let end = self.log.end();
        let Some(Readers { list, gone, due }) = self.rooms.get_mut(room) else {
            return;
        };
        if let Some(reader) = list.get_mut(seat)
            && reader.until == u64::MAX
        {
            reader.until = end;
            *gone += 1;
        }
        // When there are as many as of those who stay: then a departure costs the same on average, however
        // many there are. Those who could not be swept out the last time do not count.
        if *gone - *due > list.len() / 2 || *gone == list.len() {
            self.sweep(room, moved);
        }
    }

    /// A reader is to be found elsewhere, from now on and for what still waits.
    pub fn readdress(&mut self, room: usize, seat: Seat, address: A) {
        let readers = self.rooms.get_mut(room);
        if let Some(reader) = readers.and_then(|readers| readers.list.get_mut(seat)) {
            reader.address = address;
        }
    }

    /// A reader's letters are paid by nobody from now on.
    pub fn set_free(&mut self, room: usize, seat: Seat) {
        let readers = self.rooms.get_mut(room);
        if let Some(reader) = readers.and_then(|readers| readers.list.get_mut(seat)) {
            reader.allowance = None;
        }
    }

    /// Who sits there. For tests.
    pub fn member(&self, room: usize, seat: Seat) -> Option<M> {
        let reader = self.rooms.get(room)?.list.get(seat)?;
        (reader.until == u64::MAX).then_some(reader.member)
    }

    /// How many rooms there ever were: they are numbered below that.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Whether somebody reads in that room.
    pub fn has_readers(&self, room: usize) -> bool {
        let readers = self.rooms.get(room);
        readers.is_some_and(|readers| readers.list.len() > readers.gone)
    }

    /// Says something to everybody in a room but one. Returns how many messages had to go for it.
    pub fn push_to_room(&mut self, room: usize, except: Option<M>, datagram: &[u8]) -> usize {
        self.push(To::Room { room, except }, datagram)
    }

    /// Says something to one address. Returns how many messages had to go for it.
    pub fn push_to_one(&mut self, address: A, datagram: &[u8]) -> usize {
        self.push(To::One(address), datagram)
    }

    /// What is to be sent next, in order. Ends early where a message has nobody left to get it: after
    /// [`advance`](Mailing::advance) ask again, until [`is_empty`](Mailing::is_empty).
    pub fn letters(&self) -> impl Iterator<Item = Letter<'_, A, W>> {
        let mut next = self.next;
        self.queue.iter().flat_map(move |entry| {
            let skipped = std::mem::take(&mut next);
            self.letters_of(entry, skipped).map(|(_, letter)| letter)
        })
    }

    /// The first so many letters are done with, sent or not.
    pub fn advance(&mut self, count: usize) {
        let mut left = count;
        while let Some(entry) = self.queue.front() {
            // The letters that are left of the first entry; one more than are done says it is not over.
            let mut last = None;
            let mut done = 0;
            let mut over = true;
            for (index, _) in self.letters_of(entry, self.next) {
                if done == left {
                    over = false;
                    break;
                }
                done += 1;
                last = Some(index);
            }
            left -= done;
            if !over {
                self.next = last.map_or(self.next, |index| index + 1);
                break;
            }
            self.pop();
        }
        let start = self
            .queue
            .front()
            .map_or(self.log.end(), |entry| entry.from);
        self.log.trim(start);
        if self.queue.is_empty() && self.queue.capacity() > KEPT_ENTRIES {
            self.queue = VecDeque::new();
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The bytes that wait, each message counted once.
    pub fn waiting_bytes(&self) -> usize {
        usize::try_from(self.log.end() - self.log.start()).unwrap_or(usize::MAX)
    }

    /// The memory of the log, in bytes.
    pub fn log_memory(&self) -> usize {
        self.log.memory()
    }

    fn push(&mut self, to: To<M, A>, datagram: &[u8]) -> usize {
        let range = self.log.append(|log| log.extend_from_slice(datagram));
        self.queue.push_back(Entry {
            from: range.start,
            until: range.end,
            to,
        });
        let mut dropped = 0;
        while self.waiting_bytes() > self.limit && self.queue.len() > 1 {
            self.pop();
            dropped += 1;
            let start = self
                .queue
                .front()
                .map_or(self.log.end(), |entry| entry.from);
            self.log.trim(start);
        }
        dropped
    }

    fn pop(&mut self) {
        self.queue.pop_front();
        self.next = 0;
    }

    /// What an entry comes to, from its `next`-th reader on, with each reader's index.
    fn letters_of<'a>(
        &'a self,
        entry: &Entry<M, A>,
        next: usize,
    ) -> impl Iterator<Item = (usize, Letter<'a, A, W>)> + use<'a, M, A, W> {
        let Entry { from, until, to } = *entry;
        let bytes = self.log.slice(from, until);
        let (one, room, except) = match to {
            To::One(address) => (Some(address), None, None),
            To::Room { room, except } => (None, self.rooms.get(room), except),
        };
        let one = one.filter(|_| next == 0).map(|address| {
            let allowance = None;
            (
                0,
                Letter {
                    address,
                    allowance,
                    bytes,
                },
            )
        });
        let readers = room.map_or(&[][..], |readers| &readers.list);
        let readers = readers.iter().enumerate().skip(next);
        let due = readers.filter(move |(_, reader)| {
            reader.from <= from && from < reader.until && except != Some(reader.member)
        });
        one.into_iter().chain(due.map(move |(index, reader)| {
            (
                index,
                Letter {
                    address: reader.address,
                    allowance: reader.allowance,
                    bytes,
                },
            )
        }))
    }

    /// Forgets the readers of a room that are gone and have all they were due.
    fn sweep(&mut self, room: usize, mut moved: impl FnMut(M, Seat)) {
        let first = self.queue.front();
        let start = first.map_or(self.log.end(), |entry| entry.from);
        let is_first =
            first.is_some_and(|entry| matches!(entry.to, To::Room { room: of, .. } if of == room));
        let Some(Readers { list, gone, due }) = self.rooms.get_mut(room) else {
            return;
        };
        let (mut index, mut kept, mut kept_before_next) = (0, 0, 0);
        list.retain(|reader| {
            let keep = reader.until > start;
            if keep {
                if kept != index && reader.until == u64::MAX {
                    moved(reader.member, kept);
                }
                kept_before_next += usize::from(index < self.next);
                kept += 1;
            }
            index += 1;
            keep
        });
        *gone -= index - kept;
        *due = *gone;
        if is_first {
            self.next = kept_before_next;
        }
        if list.is_empty() {
            *list = Vec::new();
        }
    }
}

/// What is kept of an empty queue.
const KEPT_ENTRIES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Mailing<char, u16, u8>;

    /// Everything that is due, sent `batch` letters at a time.
    fn drain(mailing: &mut Small, batch: usize) -> Vec<(u16, String)> {
        let mut sent = Vec::new();
        while !mailing.is_empty() {
            let before = sent.len();
            sent.extend(mailing.letters().take(batch).map(|letter| {
                let text = String::from_utf8(letter.bytes.to_vec()).unwrap();
                (letter.address, text)
            }));
            mailing.advance(sent.len() - before);
        }
        sent
    }

    fn sent(pairs: &[(u16, &str)]) -> Vec<(u16, String)> {
        let owned = pairs.iter().map(|(to, text)| (*to, text.to_string()));
        owned.collect()
    }

    #[test]
    fn one_message_goes_to_all_in_one_order() {
        for batch in 1..9 {
            let mut mailing = Small::new(1000);
            mailing.join(0, 'a', 1, None);
            mailing.join(0, 'b', 2, None);
            mailing.join(3, 'c', 3, None);
            mailing.push_to_room(0, None, b"one");
            mailing.push_to_one(9, b"reply");
            mailing.push_to_room(0, Some('a'), b"two");
            mailing.push_to_room(3, None, b"elsewhere");
            mailing.push_to_room(7, None, b"nobody there");
            assert_eq!(
                drain(&mut mailing, batch),
                sent(&[
                    (1, "one"),
                    (2, "one"),
                    (9, "reply"),
                    (2, "two"),
                    (3, "elsewhere")
                ])
            );
            assert_eq!(mailing.waiting_bytes(), 0);
        }
    }

    #[test]
    fn who_comes_later_gets_nothing_from_before_and_who_goes_what_was_said() {
        let mut mailing = Small::new(1000);
        let a = mailing.join(0, 'a', 1, None);
        mailing.join(0, 'b', 2, None);
        mailing.push_to_room(0, None, b"one");
        mailing.join(0, 'c', 3, None);
        mailing.push_to_room(0, None, b"two");
        mailing.leave(0, a, |_, _| panic!("one of three moves nobody"));
        mailing.push_to_room(0, None, b"three");
        assert_eq!(
            drain(&mut mailing, 2),
            sent(&[
                (1, "one"),
                (2, "one"),
                (1, "two"),
                (2, "two"),
                (3, "two"),
                (2, "three"),
                (3, "three")
            ])
        );
    }

    #[test]
    fn those_who_sat_behind_the_gone_are_told_their_seats() {
        let mut mailing = Small::new(1000);
        for (member, address) in [('a', 1), ('b', 2), ('c', 3)] {
            mailing.join(0, member, address, None);
        }
        let mut moves = Vec::new();
        mailing.leave(0, 0, |_, _| panic!("one of three is not swept out yet"));
        mailing.leave(0, 1, |member, seat| moves.push((member, seat)));
        assert_eq!(moves, [('c', 0)]);
        mailing.readdress(0, 0, 33);
        mailing.push_to_room(0, None, b"x");
        assert_eq!(drain(&mut mailing, 9), sent(&[(33, "x")]));
    }

    #[test]
    fn a_mass_departure_moves_nobody_more_than_a_few_times() {
        const MEMBERS: usize = 10_000;
        let mut mailing: Mailing<usize, u16, u8> = Mailing::new(1000);
        let mut seats: Vec<usize> = (0..MEMBERS)
            .map(|member| mailing.join(0, member, 1, None))
            .collect();
        for parked in [false, true] {
            if parked {
                mailing.push_to_room(0, None, b"waits");
            }
            let mut moves = 0;
            for member in 0..MEMBERS / 2 {
                let member = member + usize::from(parked) * MEMBERS / 2;
                let seat = seats[member];
                mailing.leave(0, seat, |member, seat| {
                    seats[member] = seat;
                    moves += 1;
                });
            }
            assert!(moves <= 2 * MEMBERS, "{moves}");
        }
        assert!(!mailing.has_readers(0));
    }

    #[test]
    fn leaving_in_the_middle_of_a_message_loses_and_doubles_nothing() {
        let mut mailing = Small::new(1000);
        for (member, address) in [('a', 1), ('b', 2), ('c', 3), ('d', 4)] {
            mailing.join(0, member, address, None);
        }
        mailing.push_to_room(0, None, b"x");
        mailing.advance(2);
        let mut seats: Vec<(char, usize)> = vec![('c', 2), ('d', 3)];
        for seat in [0, 1] {
            mailing.leave(0, seat, |member, seat| {
                let moved = seats.iter_mut().find(|(of, _)| *of == member).unwrap();
                moved.1 = seat;
            });
        }
        mailing.leave(0, seats[0].1, |_, _| {});
        mailing.push_to_room(0, None, b"y");
        assert_eq!(
            drain(&mut mailing, 1),
            sent(&[(3, "x"), (4, "x"), (4, "y")])
        );
    }

    #[test]
    fn beyond_the_bound_the_oldest_goes() {
        let mut mailing = Small::new(10);
        mailing.join(0, 'a', 1, None);
        assert_eq!(mailing.push_to_room(0, None, b"12345"), 0);
        assert_eq!(mailing.push_to_room(0, None, b"67890"), 0);
        assert_eq!(mailing.push_to_one(2, b"abcdefghi"), 2);
        assert_eq!(drain(&mut mailing, 5), sent(&[(2, "abcdefghi")]));
        assert_eq!(
            mailing.push_to_one(2, b"longer than all of it"),
            0,
            "the newest always goes out"
        );
    }

    #[test]
    fn an_idle_mailing_keeps_little() {
        let mut mailing = Small::new(1 << 20);
        let seat = mailing.join(0, 'a', 1, None);
        for _ in 0..2000 {
            mailing.push_to_room(0, None, &[b'x'; 100]);
        }
        drain(&mut mailing, 32);
        mailing.leave(0, seat, |_, _| {});
        assert!(!mailing.has_readers(0));
        assert!(mailing.log_memory() <= 64 * 1024);
        assert_eq!(mailing.rooms[0].list.capacity(), 0);
        assert!(mailing.queue.capacity() <= KEPT_ENTRIES);
    }
}
