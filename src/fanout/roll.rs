//! Owns what everybody who comes is sent alike, kept once however many are still being sent it.
//! Knows nothing of what it says: a list of members, for those protocols that have one.

use std::collections::VecDeque;
use std::ops::Deref;
use std::rc::Rc;

use memchr::memmem;

use super::{Share, Tally};

/// Entries one behind the other in the order in which they came, which newcomers share.
///
/// It is *current* from [`begin`](Roll::begin) to [`clear`](Roll::clear), in which time entries come and go. It stands
/// in pieces. What was shared stays as it was: a piece in which an entry is no more is a new one, and all others are
/// still everybody's.
///
/// ```
/// use mynah::fanout::{Feed, Log, Roll, Tally};
///
/// let (mut roll, log, tally) = (Roll::new(), Log::new(), Tally::default());
/// roll.begin(b"here are:");
/// roll.append(b" amy");
/// let mut newcomer = Feed::default();
/// newcomer.push_shared(&log, roll.share(b"."), &tally);
/// roll.append(b" bob");
/// assert_eq!(newcomer.pieces(&log).bytes(), "here are: amy.".len());
/// ```
#[derive(Debug, Default)]
pub struct Roll {
    /// What stands before all entries, while it is current.
    head: Option<Rc<Counted>>,
    /// Pieces that only get shorter.
    sealed: Vec<Piece<Rc<Counted>>>,
    /// What is no whole piece yet.
    open: Piece<Vec<u8>>,
    /// Entries that are to go before the roll is shared again.
    gone: Vec<Box<[u8]>>,
    /// Counts what was shared for as long as anybody holds it.
    tally: Tally,
}

/// Bytes that many hold, counted once.
#[derive(Debug)]
struct Counted {
    bytes: Box<[u8]>,
    _share: Share,
}

/// Some entries.
#[derive(Debug, Default)]
struct Piece<B> {
    bytes: B,
    /// Where each of them ends.
    ends: Vec<u16>,
}

/// A roll as it was at some time, as far as it is not sent. Whole pieces are let go as they are sent.
#[derive(Clone, Debug)]
pub struct Shared {
    /// None of them empty.
    pieces: VecDeque<Rc<Counted>>,
    /// What is sent of the first.
    sent: usize,
    /// The length of the last, which is nobody else's.
    own: usize,
}

/// The bytes of a piece, about. A newcomer has a copy of what is no whole piece yet, and a departure makes one piece anew,
/// so they are to be short; ten thousand members come to three writes.
const PIECE: usize = if cfg!(test) { 100 } else { 8 * 1024 };

/// When more go than this before somebody comes, it is cheaper to begin anew.
const MOST_GONE: usize = 32;

impl Roll {
    /// Not current, no memory.
    pub fn new() -> Roll {
        Roll::default()
    }

    /// The same; what is shared is counted by `tally`.
    pub fn counted_by(tally: &Tally) -> Roll {
        Roll {
            tally: tally.clone(),
            ..Roll::default()
        }
    }

    /// Whether it says what there is to say.
    pub fn is_current(&self) -> bool {
        self.head.is_some()
    }

    /// Begins anew, without entries, and is current.
    pub fn begin(&mut self, head: &[u8]) {
        self.clear();
        self.head = Some(self.counted(head.into()));
    }

    /// Adds an entry behind the others, if it is current. No two are alike.
    pub fn append(&mut self, entry: &[u8]) {
        if !self.is_current() || entry.is_empty() {
            return;
        }
        self.open.bytes.extend_from_slice(entry);
        match u16::try_from(self.open.bytes.len()) {
            Ok(end) => self.open.ends.push(end),
            // So long an entry is nobody's name.
            Err(_) => return self.clear(),
        }
        if self.open.bytes.len() >= PIECE {
            let Piece { bytes, ends } = std::mem::take(&mut self.open);
            self.sealed.push(Piece {
                bytes: self.counted(bytes),
                ends: ends.into_boxed_slice().into_vec(),
            });
        }
    }

    /// Takes an entry out, if it is current.
    pub fn remove(&mut self, entry: &[u8]) {
        if !self.is_current() {
            return;
        }
        match self.gone.len() < MOST_GONE {
            true => self.gone.push(entry.into()),
            false => self.clear(),
        }
    }

    /// Is not current any more; what was shared of it lasts as long as it is needed.
    pub fn clear(&mut self) {
        *self = Roll::counted_by(&self.tally);
    }

    /// All of it as it is now, with `end` behind it. Nothing but that if it is not current.
    pub fn share(&mut self, end: &[u8]) -> Shared {
        for entry in std::mem::take(&mut self.gone) {
            self.strike(&entry);
        }
        let mut last = Vec::with_capacity(self.open.bytes.len() + end.len());
        last.extend_from_slice(&self.open.bytes);
        last.extend_from_slice(end);
        let own = last.len();
        let pieces = self.head.iter().cloned();
        let pieces = pieces.chain(self.sealed.iter().map(|piece| piece.bytes.clone()));
        let pieces = pieces.chain([self.counted(last)]);
        Shared {
            pieces: pieces.filter(|piece| !piece.is_empty()).collect(),
            sent: 0,
            own,
        }
    }

    /// The memory it holds, in bytes, without what only others hold of it.
    pub fn memory(&self) -> usize {
        let sealed = self.sealed.iter();
        let sealed: usize = sealed
            .map(|piece| piece.bytes.len() + 2 * piece.ends.capacity())
            .sum();
        sealed + self.open.bytes.capacity() + 2 * self.open.ends.capacity()
    }

    fn counted(&self, bytes: Vec<u8>) -> Rc<Counted> {
        let mut share = self.tally.share();
        share.set(bytes.len());
        Rc::new(Counted {
            bytes: bytes.into(),
            _share: share,
        })
    }

    /// Makes the piece anew in which the entry stands. To look through all of them takes some 20 us with ten thousand
    /// members, less than it takes to tell anybody.
    fn strike(&mut self, entry: &[u8]) {
        let found = (0..).zip(&self.sealed);
        let mut found = found.filter_map(|(number, piece)| {
            let index = find(&piece.bytes, &piece.ends, entry)?;
            Some((number, index))
        });
        if let Some((number, index)) = found.next() {
            let Some(piece) = self.sealed.get_mut(number) else {
                return;
            };
            let mut bytes = piece.bytes.to_vec();
            cut(&mut bytes, &mut piece.ends, index);
            let is_empty = bytes.is_empty();
            let bytes = self.counted(bytes);
            if let Some(piece) = self.sealed.get_mut(number) {
                piece.bytes = bytes;
            }
            if is_empty {
                self.sealed.remove(number);
            }
            self.join_up(number);
        } else if let Some(index) = find(&self.open.bytes, &self.open.ends, entry) {
            cut(&mut self.open.bytes, &mut self.open.ends, index);
        } else {
            debug_assert!(false, "invariant: who went had come");
            self.clear();
        }
    }

    /// Makes one of two neighbours that are short by now, so that pieces are never many more than they need be.
    fn join_up(&mut self, number: usize) {
        let short =
            |piece: Option<&Piece<Rc<Counted>>>| piece.is_some_and(|p| p.bytes.len() < PIECE / 2);
        for first in [number.checked_sub(1), Some(number)].into_iter().flatten() {
            if !short(self.sealed.get(first)) || !short(self.sealed.get(first + 1)) {
                continue;
            }
            let second = self.sealed.remove(first + 1);
            let Some(bytes) = self.sealed.get(first).map(|first| &first.bytes) else {
                continue;
            };
            // Both together are shorter than a piece, whose ends fit.
            let offset = bytes.len() as u16;
            let bytes = self.counted([&bytes[..], &second.bytes[..]].concat());
            if let Some(first) = self.sealed.get_mut(first) {
                first.bytes = bytes;
                first
                    .ends
                    .extend(second.ends.iter().map(|end| end + offset));
            }
        }
    }
}

/// Which of the entries it is.
fn find(bytes: &[u8], ends: &[u16], entry: &[u8]) -> Option<usize> {
    memmem::find_iter(bytes, entry).find_map(|at| {
        // It stands there by itself, not within another one or across two.
        let index = match at {
            0 => 0,
            at => 1 + ends.binary_search(&u16::try_from(at).ok()?).ok()?,
        };
        let end = usize::from(*ends.get(index)?);
        (end == at + entry.len()).then_some(index)
    })
}

/// Takes one of the entries out.
fn cut(bytes: &mut Vec<u8>, ends: &mut Vec<u16>, index: usize) {
    let before = index.checked_sub(1).and_then(|before| ends.get(before));
    let from = before.copied().unwrap_or(0);
    let to = ends.remove(index);
    bytes.drain(usize::from(from)..usize::from(to));
    for end in ends.iter_mut().skip(index) {
        *end -= to - from;
    }
}

impl Deref for Counted {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Shared {
    /// What is not sent of it, in order, none of the slices empty.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut sent = self.sent;
        self.pieces.iter().map(move |piece| {
            let rest = piece.get(std::mem::take(&mut sent)..);
            rest.unwrap_or_default()
        })
    }

    /// So many bytes more are sent. Returns how many of them were not its own.
    pub(super) fn advance(&mut self, mut bytes: usize) -> usize {
        while let Some(first) = self.pieces.front() {
            let left = first.len() - self.sent;
            if bytes < left {
                self.sent += bytes;
                return 0;
            }
            bytes -= left;
            self.sent = 0;
            self.pieces.pop_front();
        }
        bytes
    }

    /// How many bytes are not sent.
    pub(super) fn unsent(&self) -> usize {
        self.held() - self.sent
    }

    /// How many bytes it keeps from being let go.
    pub(super) fn held(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// The same, each piece divided by how many keep it.
    pub(super) fn part(&self) -> usize {
        let parts = self.pieces.iter();
        parts.map(|p| p.len() / Rc::strong_count(p).max(1)).sum()
    }

    /// The memory of the list of its pieces.
    pub(super) fn memory(&self) -> usize {
        self.pieces.capacity() * size_of::<Rc<Counted>>()
    }

    /// How many of those are nobody else's.
    pub(super) fn own(&self) -> usize {
        match self.pieces.is_empty() {
            true => 0,
            false => self.own,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(shared: &Shared) -> String {
        let bytes = shared.slices().flatten().copied().collect();
        String::from_utf8(bytes).unwrap()
    }

    fn entry(n: usize) -> Vec<u8> {
        format!(":member{n}:0.0.0.0:0").into_bytes()
    }

    /// The roll of so many, and what it says.
    fn roll_of(members: usize) -> (Roll, String) {
        let (mut roll, mut wanted) = (Roll::new(), "LIST".to_string());
        roll.begin(b"LIST");
        for n in 0..members {
            roll.append(&entry(n));
            wanted += std::str::from_utf8(&entry(n)).unwrap();
        }
        (roll, wanted)
    }

    #[test]
    fn what_was_shared_stays_as_it_was() {
        let mut roll = Roll::new();
        roll.append(b"nobody asked");
        roll.remove(b"nobody asked");
        assert_eq!((roll.is_current(), roll.memory()), (false, 0));
        roll.begin(b"LIST");
        let first = roll.share(b".");
        roll.append(b" amy");
        let second = roll.share(b"!");
        roll.remove(b" amy");
        let third = roll.share(b"?");
        roll.clear();
        assert_eq!((roll.is_current(), roll.memory()), (false, 0));
        assert_eq!((text(&first), first.unsent()), ("LIST.".into(), 5));
        assert_eq!((text(&second), second.own()), ("LIST amy!".into(), 5));
        assert_eq!(text(&third), "LIST?");
    }

    #[test]
    fn pieces_are_shared_read_from_anywhere_and_let_go_as_they_are_sent() {
        let (mut roll, mut wanted) = roll_of(100);
        let (shared, again) = (roll.share(b"\r\n"), roll.share(b"\r\n"));
        wanted += "\r\n";
        assert_eq!(text(&shared), wanted);
        assert!(shared.pieces.len() > 4);
        let common = shared.pieces.iter().zip(&again.pieces);
        let common = common.filter(|(one, other)| Rc::ptr_eq(one, other)).count();
        assert_eq!(common, shared.pieces.len() - 1, "all but the open end");
        for sent in [0, 1, PIECE, PIECE + 7, 2 * PIECE + 40, wanted.len() - 1] {
            let mut shared = shared.clone();
            assert_eq!(shared.advance(sent), 0);
            assert_eq!(text(&shared), &wanted[sent..], "from {sent}");
            assert_eq!(shared.unsent(), wanted.len() - sent);
            assert!(
                shared.held() < shared.unsent() + 2 * PIECE,
                "no more than that"
            );
            assert!(shared.slices().all(|slice| !slice.is_empty()));
            assert_eq!(shared.advance(wanted.len() - sent + 3), 3, "not its own");
            assert_eq!((shared.unsent(), shared.held(), shared.own()), (0, 0, 0));
        }
    }

    #[test]
    fn what_many_keep_is_counted_once_and_each_has_its_part() {
        let tally = Tally::default();
        let mut roll = Roll::counted_by(&tally);
        roll.begin(b"LIST");
        (0..100).for_each(|n| roll.append(&entry(n)));
        let before = tally.bytes();
        let shared: Vec<_> = (0..9).map(|_| roll.share(b".")).collect();
        let own: usize = shared.iter().map(Shared::own).sum();
        assert_eq!(tally.bytes(), before + own);
        let (held, part) = (shared[0].held(), shared[0].part());
        assert!(part < shared[0].own() + held / 10, "the roll keeps it, too");
        roll.clear();
        assert!(tally.bytes() > held, "nine keep it");
        let parts: usize = shared.iter().map(Shared::part).sum();
        let pieces = shared[0].pieces.len();
        assert!(parts <= tally.bytes() && tally.bytes() - parts < 9 * pieces);
        drop(shared);
        assert_eq!(tally.bytes(), 0);
    }

    #[test]
    fn a_departure_costs_one_piece() {
        let (mut roll, wanted) = roll_of(100);
        let before = roll.share(b"");
        roll.remove(&entry(50));
        let after = roll.share(b"");
        assert_eq!(text(&before), wanted);
        assert_eq!(text(&after), wanted.replace(":member50:0.0.0.0:0", ""));
        let new = after.pieces.iter().filter(|piece| {
            let known = |other: &Rc<Counted>| Rc::ptr_eq(piece, other);
            !before.pieces.iter().any(known)
        });
        assert!(new.count() <= 2, "that one, and the open end");
    }

    #[test]
    fn who_is_called_like_a_part_of_another_is_not_mistaken() {
        let mut roll = Roll::new();
        roll.begin(b"");
        for entry in [":ab", ":a", ":b:a", ":b"] {
            roll.append(entry.as_bytes());
        }
        roll.remove(b":a");
        assert_eq!(text(&roll.share(b"")), ":ab:b:a:b");
        roll.remove(b":b");
        assert_eq!(text(&roll.share(b"")), ":ab:b:a");
    }

    #[test]
    fn a_crowd_that_goes_is_not_looked_for_one_by_one() {
        let (mut roll, _) = roll_of(100);
        for n in 0..=MOST_GONE {
            roll.remove(&entry(n));
        }
        assert!(!roll.is_current());
    }

    proptest! {
        #[test]
        fn it_says_who_is_there(steps in proptest::collection::vec((any::<bool>(), 0usize..1000), 1..400)) {
            let (mut roll, mut there, mut next) = (Roll::new(), Vec::new(), 0);
            roll.begin(b"LIST");
            for (comes, which) in steps {
                if comes || there.is_empty() {
                    roll.append(&entry(next));
                    there.push(next);
                    next += 1;
                } else {
                    let gone = there.remove(which % there.len());
                    roll.remove(&entry(gone));
                    if which % 3 == 0 {
                        roll.share(b"");
                    }
                }
                if !roll.is_current() {
                    roll.begin(b"LIST");
                    there.iter().for_each(|n| roll.append(&entry(*n)));
                }
            }
            let wanted: Vec<u8> = there.iter().flat_map(|n| entry(*n)).collect();
            let shared = roll.share(b"");
            prop_assert_eq!(text(&shared), "LIST".to_string() + std::str::from_utf8(&wanted).unwrap());
            let needed = 3 + 4 * wanted.len() / PIECE;
            prop_assert!(shared.pieces.len() <= needed, "{} pieces", shared.pieces.len());
        }
    }
}
