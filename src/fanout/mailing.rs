//! Owns what one datagram port has still to send: one log with message boundaries, and a queue that says
//! who gets which message, for each reader in one order.
//! Knows no socket: it hands out datagrams and is told how many went.
//!
//! A message to a whole room stands in the log once and in the queue once: ten thousand deliveries cost one entry.
//! Readers remember from where and until where in the log they are in, so who comes later gets nothing
//! from before, and who goes gets what was said until then. What waits is bounded; beyond the bound the oldest message
//! goes, for datagrams may be lost and nobody waits for a slow one.
//!
//! Messages to one room that stand one behind the other are a run: each reader is sent all of it before
//! the next reader is looked at, so that the kernel finds what it needs for a receiver in the cache. Sixteen messages on
//! loopback cost 700 ns a datagram to 1,000 readers instead of 775, and 748 instead of 881 to 5,000.

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
    /// How far the first entries are.
    next: Place,
    rooms: Vec<Readers<M, A, W>>,
    /// Rooms where more than half of the readers are gone and could not be swept out yet.
    unswept: Vec<usize>,
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

/// How far the letters are that were handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// So many entries are done with.
    entries: usize,
    /// So many entries behind those are being given to their readers, together.
    run: usize,
    /// The next reader.
    reader: usize,
    /// The next entry of the run for that reader.
    within: usize,
}

impl Place {
    /// How many letters each reader gets of the run that was being given out since `before`, and how many letters of it lie
    /// in between, if it was one run all the time.
    pub fn run_since(self, before: Place) -> Option<(usize, usize)> {
        let is_same = before.run == self.run || before.run == 0;
        if self.run == 0 || self.entries != before.entries || !is_same {
            return None;
        }
        let number = |place: Place| place.reader * self.run + place.within;
        Some((self.run, number(self).checked_sub(number(before))?))
    }
}

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
    /// The log offset at which it came.
    from: u64,
    /// The log offset at which it went; the greatest of all while it is in.
    until: u64,
    member: M,
    allowance: Option<W>,
    address: A,
}

/// The readers of one room.
#[derive(Debug)]
struct Readers<M, A, W> {
    /// In the order in which they came.
    list: Vec<Reader<M, A, W>>,
    /// How many of them are gone, and stand here until they are swept out.
    gone: usize,
    /// How many of those were still due something when that was last done, and until where.
    due: usize,
    due_until: u64,
    /// It is one of the unswept.
    unswept: bool,
}

impl<M, A, W> Default for Readers<M, A, W> {
    fn default() -> Self {
        Readers {
            list: Vec::new(),
            gone: 0,
            due: 0,
            due_until: 0,
            unswept: false,
        }
    }
}

impl<M, A, W> Readers<M, A, W> {
    fn most_are_gone(&self) -> bool {
        self.gone > self.list.len() / 2
    }

    /// Whether it has become one of the unswept now.
    fn is_newly_unswept(&mut self) -> bool {
        self.most_are_gone() && !std::mem::replace(&mut self.unswept, true)
    }
}

/// Tables of readers grow by this many: doubling would waste as much as it holds.
const CHUNK: usize = 64;

/// The longest run. All that comes in while one is sent waits behind it.
const RUN: usize = 16;

impl<M: Copy + PartialEq, A: Copy, W: Copy> Mailing<M, A, W> {
    /// Nothing to send and nobody to send to. `limit` is in bytes.
    pub fn new(limit: usize) -> Mailing<M, A, W> {
        Mailing {
            log: Log::new(),
            queue: VecDeque::new(),
            next: Place::default(),
            rooms: Vec::new(),
            unswept: Vec::new(),
            limit,
        }
    }

    /// Lets so many bytes wait from now on. What is over goes with the next message.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
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
            from,
            until: u64::MAX,
            member,
            allowance,
            address,
        });
        list.len() - 1
    }

    /// Lets the reader of that seat go: it gets what was said until now. Calls `moved` with every
    /// member that sits elsewhere from now on, and where.
    pub fn leave(&mut self, room: usize, seat: Seat, moved: impl FnMut(M, Seat)) {
        let (start, end) = (self.start(), self.log.end());
        let Some(readers) = self.rooms.get_mut(room) else {
            return;
        };
        if let Some(reader) = readers.list.get_mut(seat)
            && reader.until == u64::MAX
        {
            reader.until = end;
            readers.gone += 1;
        }
        // When there are as many as of those who stay: then a departure costs the same on average, however
        // many there are. Those who could not be swept out the last time do not count while they still cannot.
        let due = match readers.due_until <= start {
            true => 0,
            false => readers.due,
        };
        if readers.gone - due > readers.list.len() / 2 {
            self.sweep(room, moved);
        } else if readers.is_newly_unswept() {
            self.unswept.push(room);
        }
    }

    /// Forgets those gone who now have all they were due, where they are in the way. To be called when something was
    /// sent; calls `moved` as [`leave`](Mailing::leave) does.
    pub fn tidy(&mut self, mut moved: impl FnMut(M, Seat)) {
        let start = self.start();
        for room in std::mem::take(&mut self.unswept) {
            let Some(readers) = self.rooms.get_mut(room) else {
                continue;
            };
            readers.unswept = readers.most_are_gone();
            match (readers.unswept, readers.due_until <= start) {
                (false, _) => {}
                (true, false) => self.unswept.push(room),
                (true, true) => {
                    readers.unswept = false;
                    self.sweep(room, &mut moved);
                }
            }
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

    /// What is to be sent next, in order.
    pub fn letters(&self) -> Letters<'_, M, A, W> {
        let mut letters = Letters {
            mailing: self,
            place: self.next,
            readers: &[],
            said: [Said::NOTHING; RUN],
        };
        if self.next.run > 0 {
            letters.open_run(self.next.run);
        }
        letters
    }

    /// The letters before that place are done with, sent or not; nothing else was changed since they were handed out.
    pub fn advance_to(&mut self, place: Place) {
        self.queue.drain(..place.entries.min(self.queue.len()));
        self.next = Place {
            entries: 0,
            ..place
        };
        self.log.trim(self.start());
        if self.queue.is_empty() && self.queue.capacity() > KEPT_ENTRIES {
            self.queue = VecDeque::new();
        }
    }

    /// The first so many letters are done with, sent or not.
    pub fn advance(&mut self, count: usize) {
        let mut letters = self.letters();
        letters.by_ref().take(count).for_each(drop);
        let mut place = letters.place();
        // Entries that nobody is left to get are done with, too.
        if letters.next().is_none() {
            place = letters.place();
        }
        self.advance_to(place);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The bytes that wait, each message counted once.
    pub fn waiting_bytes(&self) -> usize {
        usize::try_from(self.log.end() - self.log.start()).unwrap_or(usize::MAX)
    }

    /// The same, or what the queue of them takes if that is more: what is bounded. Of very short ones the queue is the
    /// larger part.
    pub fn load(&self) -> usize {
        let entries = self.queue.len().saturating_sub(KEPT_ENTRIES);
        self.waiting_bytes().max(entries * size_of::<Entry<M, A>>())
    }

    /// Drops the older half of what waits, and gives back the memory. Returns how many messages had to go.
    #[cold]
    pub fn shed(&mut self) -> usize {
        let (before, half) = (self.queue.len(), self.waiting_bytes() / 2);
        while self.queue.len() > before / 2 || self.waiting_bytes() > half {
            self.drop_oldest();
        }
        self.log.shrink();
        self.queue.shrink_to_fit();
        before - self.queue.len()
    }

    /// The memory of the log, in bytes.
    pub fn log_memory(&self) -> usize {
        self.log.memory()
    }

    /// The memory of all that waits, in bytes.
    pub fn memory(&self) -> usize {
        self.log.memory() + self.queue.capacity() * size_of::<Entry<M, A>>()
    }

    /// The first offset that somebody is still due.
    fn start(&self) -> u64 {
        let first = self.queue.front();
        first.map_or(self.log.end(), |entry| entry.from)
    }

    fn push(&mut self, to: To<M, A>, datagram: &[u8]) -> usize {
        debug_assert!(
            !datagram.is_empty(),
            "invariant: what is sent is counted in bytes"
        );
        let range = self.log.append(|log| log.extend_from_slice(datagram));
        self.queue.push_back(Entry {
            from: range.start,
            until: range.end,
            to,
        });
        let mut dropped = 0;
        while self.load() > self.limit && self.queue.len() > 1 {
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    #[cold]
    fn drop_oldest(&mut self) {
        self.queue.pop_front();
        self.next = match self.next.run {
            0 | 1 => Place::default(),
            run => Place {
                run: run - 1,
                within: self.next.within.saturating_sub(1),
                ..self.next
            },
        };
        self.log.trim(self.start());
    }

    /// Forgets the readers of a room that are gone and have all they were due.
    fn sweep(&mut self, room: usize, mut moved: impl FnMut(M, Seat)) {
        let start = self.start();
        let first = self.queue.front();
        let is_first =
            first.is_some_and(|entry| matches!(entry.to, To::Room { room: of, .. } if of == room));
        let next = self.next.reader;
        let Some(readers) = self.rooms.get_mut(room) else {
            return;
        };
        let (mut index, mut kept, mut kept_before_next) = (0, 0, 0);
        let (mut due_until, mut next_is_kept) = (0, false);
        readers.list.retain(|reader| {
            // Who came and went with nothing said in between is due nothing.
            let keep = reader.until > start.max(reader.from);
            if keep {
                match reader.until {
                    u64::MAX if kept != index => moved(reader.member, kept),
                    u64::MAX => {}
                    until => due_until = until.max(due_until),
                }
                kept_before_next += usize::from(index < next);
                next_is_kept |= index == next;
                kept += 1;
            }
            index += 1;
            keep
        });
        readers.gone -= index - kept;
        readers.due = readers.gone;
        readers.due_until = due_until;
        if is_first {
            self.next.reader = kept_before_next;
            if !next_is_kept {
                self.next.within = 0;
            }
        }
        if readers.list.is_empty() {
            readers.list = Vec::new();
        } else if readers.is_newly_unswept() {
            self.unswept.push(room);
        }
    }
}

/// What is to be sent, in order: see [`Mailing::letters`].
#[derive(Debug)]
pub struct Letters<'a, M, A, W> {
    mailing: &'a Mailing<M, A, W>,
    place: Place,
    /// Those of the run's room.
    readers: &'a [Reader<M, A, W>],
    /// The run, so that the log is not asked for each letter.
    said: [Said<'a, M>; RUN],
}

/// A message to a room.
#[derive(Clone, Copy, Debug)]
struct Said<'a, M> {
    from: u64,
    except: Option<M>,
    bytes: &'a [u8],
}

impl<M> Said<'_, M> {
    const NOTHING: Self = Said {
        from: 0,
        except: None,
        bytes: &[],
    };
}

impl<'a, M: Copy + PartialEq, A: Copy, W: Copy> Letters<'a, M, A, W> {
    /// Behind the last letter that was handed out.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Gives one letter after the other to `take`, until it wants no more behind the one that it got.
    pub fn hand_out(&mut self, mut take: impl FnMut(Letter<'a, A, W>) -> bool) {
        loop {
            let run = self.said.get(..self.place.run).unwrap_or_default();
            let readers = self.readers.get(self.place.reader..).unwrap_or_default();
            let (mut index, mut within) = (self.place.reader, self.place.within);
            // They stand in the order in which they came: who came behind the last of the run is due nothing of it.
            let until = run.last().map_or(0, |said| said.from);
            let due = readers.partition_point(|reader| reader.from <= until);
            for reader in readers.get(..due).unwrap_or_default() {
                for said in run.get(within..).unwrap_or_default() {
                    within += 1;
                    if !reader.is_due(said) {
                        continue;
                    }
                    let letter = Letter {
                        address: reader.address,
                        allowance: reader.allowance,
                        bytes: said.bytes,
                    };
                    if !take(letter) {
                        (self.place.reader, self.place.within) = (index, within);
                        return;
                    }
                }
                within = 0;
                index += 1;
            }
            self.place = Place {
                entries: self.place.entries + self.place.run,
                ..Place::default()
            };
            self.readers = &[];
            let Some(&Entry { from, until, to }) = self.mailing.queue.get(self.place.entries)
            else {
                return;
            };
            if let To::One(address) = to {
                self.place.entries += 1;
                let letter = Letter {
                    address,
                    allowance: None,
                    bytes: self.mailing.log.slice(from, until),
                };
                if !take(letter) {
                    return;
                }
            } else {
                self.open_run(RUN);
            }
        }
    }

    /// Makes what is said to the room of the first entry the run, `limit` messages at most.
    fn open_run(&mut self, limit: usize) {
        let queue = &self.mailing.queue;
        let mut entries = queue.range(self.place.entries.min(queue.len())..);
        let mut of = None;
        let mut run = 0;
        for (said, entry) in self.said.iter_mut().take(limit).zip(&mut entries) {
            let To::Room { room, except } = entry.to else {
                break;
            };
            if *of.get_or_insert(room) != room {
                break;
            }
            *said = Said {
                from: entry.from,
                except,
                bytes: self.mailing.log.slice(entry.from, entry.until),
            };
            run += 1;
        }
        let readers = of.and_then(|room| self.mailing.rooms.get(room));
        self.readers = readers.map_or(&[], |readers| &readers.list);
        self.place.run = run;
    }
}

impl<'a, M: Copy + PartialEq, A: Copy, W: Copy> Iterator for Letters<'a, M, A, W> {
    type Item = Letter<'a, A, W>;

    fn next(&mut self) -> Option<Letter<'a, A, W>> {
        let mut next = None;
        self.hand_out(|letter| {
            next = Some(letter);
            false
        });
        next
    }
}

impl<M: Copy + PartialEq, A, W> Reader<M, A, W> {
    fn is_due(&self, said: &Said<'_, M>) -> bool {
        self.from <= said.from && said.from < self.until && said.except != Some(self.member)
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
                (1, "two"),
                (2, "one"),
                (2, "two"),
                (2, "three"),
                (3, "two"),
                (3, "three")
            ])
        );
    }

    #[test]
    fn a_run_ends_with_its_room_and_at_what_is_said_to_one() {
        for batch in 1..9 {
            let mut mailing = Small::new(1000);
            mailing.join(0, 'a', 1, None);
            mailing.join(0, 'b', 2, None);
            mailing.push_to_room(0, Some('b'), b"x");
            mailing.push_to_room(0, None, b"y");
            mailing.push_to_one(2, b"reply");
            mailing.push_to_room(0, None, b"z");
            let wanted = [
                (1, "x"),
                (1, "y"),
                (2, "y"),
                (2, "reply"),
                (1, "z"),
                (2, "z"),
            ];
            assert_eq!(drain(&mut mailing, batch), sent(&wanted));
        }
    }

    #[test]
    fn what_is_said_in_the_middle_of_a_run_comes_behind_it() {
        let mut mailing = Small::new(1000);
        mailing.join(0, 'a', 1, None);
        mailing.join(0, 'b', 2, None);
        mailing.push_to_room(0, None, b"x");
        mailing.push_to_room(0, None, b"y");
        mailing.advance(1);
        mailing.push_to_room(0, None, b"z");
        let wanted = [(1, "y"), (2, "x"), (2, "y"), (1, "z"), (2, "z")];
        assert_eq!(drain(&mut mailing, 2), sent(&wanted));
    }

    #[test]
    fn who_goes_in_the_middle_of_its_run_takes_nothing_from_the_next() {
        let mut mailing = Small::new(1000);
        let a = mailing.join(0, 'a', 1, None);
        mailing.push_to_room(0, None, b"x");
        mailing.leave(0, a, |_, _| ());
        mailing.join(0, 'b', 2, None);
        mailing.push_to_room(0, None, b"y");
        mailing.push_to_room(0, None, b"z");
        mailing.advance(2);
        // Of the run b has y; a, who has all it was due, is swept out before it.
        mailing.tidy(|member, seat| assert_eq!((member, seat), ('b', 0)));
        assert_eq!(drain(&mut mailing, 2), sent(&[(2, "z")]));
    }

    #[test]
    fn beyond_the_bound_a_run_loses_its_oldest_for_those_who_do_not_have_it() {
        let mut mailing = Small::new(6);
        mailing.join(0, 'a', 1, None);
        mailing.join(0, 'b', 2, None);
        mailing.push_to_room(0, None, b"xx");
        mailing.push_to_room(0, None, b"yy");
        mailing.push_to_room(0, None, b"zz");
        mailing.advance(2);
        assert_eq!(mailing.push_to_room(0, None, b"!!"), 1);
        let wanted = [(1, "zz"), (2, "yy"), (2, "zz"), (1, "!!"), (2, "!!")];
        assert_eq!(drain(&mut mailing, 2), sent(&wanted));
    }

    #[test]
    fn a_room_that_everybody_left_keeps_nothing_once_they_have_what_they_were_due() {
        let mut mailing = Small::new(1000);
        let seats: Vec<Seat> = (0..100)
            .map(|n| mailing.join(0, 'a', n as u16, None))
            .collect();
        mailing.push_to_room(0, None, b"x");
        for seat in seats {
            mailing.leave(0, seat, |_, _| panic!("all are gone"));
        }
        mailing.tidy(|_, _| panic!("all are gone"));
        assert_eq!(drain(&mut mailing, 32).len(), 100);
        mailing.tidy(|_, _| panic!("all are gone"));
        assert_eq!(mailing.rooms[0].list.capacity(), 0);
    }

    #[test]
    fn coming_and_going_while_nothing_can_be_sent_keeps_nobody() {
        let mut mailing = Small::new(1000);
        mailing.join(0, 'a', 1, None);
        mailing.push_to_room(0, None, b"waits");
        for _ in 0..1000 {
            let seat = mailing.join(0, 'b', 2, None);
            mailing.leave(0, seat, |_, _| panic!("a stays where it is"));
        }
        assert!(mailing.rooms[0].list.len() < 5);
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
    fn very_short_messages_are_bounded_by_their_number() {
        const LIMIT: usize = 64 * 1024;
        let mut mailing = Small::new(LIMIT);
        let dropped: usize = (0..LIMIT).map(|_| mailing.push_to_one(1, b".")).sum();
        assert!(dropped > 0 && mailing.waiting_bytes() < LIMIT);
        assert!(mailing.load() <= LIMIT, "{}", mailing.load());
        assert!(mailing.memory() <= 4 * LIMIT, "{}", mailing.memory());
    }

    #[test]
    fn the_older_half_goes_with_its_memory() {
        let mut mailing = Small::new(1 << 20);
        for n in 0..1000u16 {
            mailing.push_to_one(n, &[7; 100]);
        }
        let before = mailing.memory();
        assert_eq!(mailing.shed(), 500);
        assert!(mailing.memory() <= before / 2);
        let first = mailing.letters().next().map(|letter| letter.address);
        assert_eq!((first, mailing.letters().count()), (Some(500), 500));
        while mailing.shed() > 0 {}
        assert_eq!((mailing.memory(), mailing.is_empty()), (0, true));
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
