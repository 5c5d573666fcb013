//! Owns one member's position: what it was sent, what it is due, and the few things that only it hears.
//! Knows nothing of the other members.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use super::{Log, Share, Shared, Tally};

/// What one connection is due: the log of its audience from a cursor on, with detours.
///
/// A *detour* is a private frame (welcome, direct message, error) or a [roll](super::Roll) at its place in the log's
/// order, or a range of the log that this member must not hear (its own words, where the protocol does not echo).
/// A member at the end of the log has no detours and no memory but the cursor.
///
/// Without an audience the log is an empty one, and only private frames are sent.
///
/// Driving it: [`pieces`](Feed::pieces), one write of them, [`advance`](Feed::advance) by what the
/// kernel took; again while [`is_done`](Feed::is_done) is false and the kernel takes everything.
#[derive(Debug, Default)]
pub struct Feed {
    /// Everything of the log before this is sent, skipped, or was before our time.
    cursor: u64,
    /// Boxed, because almost nobody has any: 8 bytes per idle member.
    detours: Option<Box<Detours>>,
}

/// Those that lie ahead, and the memory that they take.
#[derive(Debug)]
struct Detours {
    /// In order.
    queue: VecDeque<Detour>,
    /// What is reserved for their bytes.
    reserved: usize,
    share: Share,
}

#[derive(Debug)]
enum Detour {
    /// Sent once the cursor is at `at`; `sent` bytes of it are gone already.
    Private {
        at: u64,
        bytes: Vec<u8>,
        sent: usize,
    },
    /// The same with bytes that others are sent too.
    Shared { at: u64, bytes: Shared },
    /// The cursor jumps from `from` to `to`.
    Skip { from: u64, to: u64 },
}

/// The slices of one write, in order.
#[derive(Debug)]
pub struct Pieces<'a> {
    slices: [IoSlice<'a>; MAX_PIECES],
    count: usize,
    bytes: usize,
}

/// Slices per write. More than a handful only happens to a member that talks much where the protocol
/// does not echo while it lags; the rest goes with the next write.
const MAX_PIECES: usize = 16;

/// The end of a skip that never ends: how a member leaves.
const FOR_EVER: u64 = u64::MAX;

impl Feed {
    /// Begins to follow a log at `cursor`. Private frames not sent yet stay before everything that
    /// the log brings.
    pub fn join(&mut self, cursor: u64) {
        self.cursor = cursor;
        let Some(detours) = &mut self.detours else {
            return;
        };
        // What was to be skipped, for ever perhaps, was to be skipped in another log.
        let queue = &mut detours.queue;
        queue.retain(|detour| !matches!(detour, Detour::Skip { .. }));
        for detour in queue.iter_mut() {
            if let Detour::Private { at, .. } | Detour::Shared { at, .. } = detour {
                *at = cursor;
            }
        }
        if queue.is_empty() {
            self.detours = None;
        }
    }

    /// Appends a frame for this member alone at the log's present end, behind all it was due so far. What waits is
    /// counted by `tally`.
    pub fn push_private(&mut self, log: &Log, frame: &[u8], tally: &Tally) {
        if frame.is_empty() || self.has_ended() {
            return;
        }
        let here = log.end().max(self.cursor);
        let detours = self.detours_or_new(tally);
        match detours.queue.back_mut() {
            Some(Detour::Private { at, bytes, .. }) if *at == here => {
                let before = bytes.capacity();
                bytes.extend_from_slice(frame);
                detours.reserved += bytes.capacity() - before;
                detours.count();
            }
            _ => detours.push(Detour::Private {
                at: here,
                bytes: frame.to_vec(),
                sent: 0,
            }),
        }
    }

    /// The same as [`push_private`](Feed::push_private) with what others are sent too. Only what is not theirs counts as
    /// waiting for this one alone.
    pub fn push_shared(&mut self, log: &Log, bytes: Shared, tally: &Tally) {
        if self.has_ended() || bytes.unsent() == 0 {
            return;
        }
        let at = log.end().max(self.cursor);
        let detours = self.detours_or_new(tally);
        detours.push(Detour::Shared { at, bytes });
    }

    /// Keeps the range just appended from this member. Ranges come in the log's order.
    pub fn skip(&mut self, range: Range<u64>, tally: &Tally) {
        if range.is_empty() || self.has_ended() {
            return;
        }
        if self.detours.is_none() && self.cursor == range.start {
            self.cursor = range.end;
            return;
        }
        let detours = self.detours_or_new(tally);
        match detours.queue.back_mut() {
            Some(Detour::Skip { to, .. }) if *to == range.start => *to = range.end,
            _ => detours.push(Detour::Skip {
                from: range.start,
                to: range.end,
            }),
        }
    }

    /// Hears nothing of the log from `at` on: what is due until there is still sent, and so is what it was given for
    /// itself alone, with all that the log has before that.
    pub fn end(&mut self, at: u64, tally: &Tally) {
        let last = self.last_detour();
        let last = last.map_or(self.cursor, Detour::resumes_at);
        self.skip(at.max(last)..FOR_EVER, tally);
    }

    /// Drops all that is due, as for a connection that is dead.
    pub fn abandon(&mut self) {
        self.cursor = FOR_EVER;
        self.detours = None;
    }

    /// What the next write is to offer. Empty exactly when [`is_done`](Feed::is_done).
    pub fn pieces<'a>(&'a self, log: &'a Log) -> Pieces<'a> {
        let mut pieces = Pieces {
            slices: [IoSlice::new(&[]); MAX_PIECES],
            count: 0,
            bytes: 0,
        };
        let mut cursor = self.cursor;
        for detour in self.queue() {
            let complete = match detour {
                Detour::Private { at, bytes, sent } => {
                    pieces.push(log.slice(cursor, *at))
                        && pieces.push(bytes.get(*sent..).unwrap_or_default())
                }
                Detour::Shared { at, bytes } => {
                    pieces.push(log.slice(cursor, *at))
                        && bytes.slices().all(|slice| pieces.push(slice))
                }
                Detour::Skip { from, .. } => pieces.push(log.slice(cursor, *from)),
            };
            if !complete {
                return pieces;
            }
            cursor = detour.resumes_at();
        }
        if cursor < log.end() {
            pieces.push(log.slice(cursor, log.end()));
        }
        pieces
    }

    /// The kernel took `bytes` bytes of the last [`pieces`](Feed::pieces).
    pub fn advance(&mut self, log: &Log, mut bytes: usize) {
        while let Some(detours) = &mut self.detours {
            let Some(front) = detours.queue.front_mut() else {
                self.detours = None;
                break;
            };
            // First what the log brings before the detour, then the detour itself.
            let before = usize::try_from(front.begins_at() - self.cursor).unwrap_or(usize::MAX);
            if bytes < before {
                break;
            }
            bytes -= before;
            self.cursor = front.begins_at();
            match front {
                Detour::Private {
                    bytes: frame, sent, ..
                } => {
                    let taken = bytes.min(frame.len() - *sent);
                    *sent += taken;
                    bytes -= taken;
                    if *sent < frame.len() {
                        return;
                    }
                }
                Detour::Shared { bytes: shared, .. } => {
                    bytes = shared.advance(bytes);
                    if shared.unsent() > 0 {
                        return;
                    }
                }
                Detour::Skip { .. } => {}
            }
            self.cursor = front.resumes_at();
            detours.pop();
        }
        self.cursor += bytes as u64;
        debug_assert!(
            self.cursor <= log.end() || self.has_ended(),
            "invariant: nobody is sent what is not there"
        );
    }

    /// Whether everything due is sent.
    pub fn is_done(&self, log: &Log) -> bool {
        self.detours.is_none() && self.cursor >= log.end()
    }

    /// Whether [`end`](Feed::end) or [`abandon`](Feed::abandon) was called: nothing more will become due.
    pub fn has_ended(&self) -> bool {
        match self.last_detour() {
            Some(Detour::Skip { to, .. }) => *to == FOR_EVER,
            Some(Detour::Private { .. } | Detour::Shared { .. }) => false,
            None => self.cursor == FOR_EVER,
        }
    }

    /// The first offset of the log that this member still needs; past every end if it needs none.
    pub fn needs_from(&self) -> u64 {
        let mut cursor = self.cursor;
        for detour in self.queue() {
            if detour.begins_at() != cursor {
                break;
            }
            cursor = detour.resumes_at();
        }
        cursor
    }

    /// How far the log's end is ahead, in bytes, whatever of it will be skipped: what is kept for
    /// this member's sake.
    pub fn behind(&self, log: &Log) -> usize {
        usize::try_from(log.end().saturating_sub(self.needs_from())).unwrap_or(usize::MAX)
    }

    /// All that is due, if it is one slice of the log and no more: what almost every send is.
    pub fn plain<'a>(&self, log: &'a Log) -> Option<&'a [u8]> {
        match self.detours {
            None if self.cursor < log.end() => Some(log.slice(self.cursor, log.end())),
            _ => None,
        }
    }

    /// From where the log is due, if nothing else is.
    pub fn cursor(&self) -> Option<u64> {
        self.detours.is_none().then_some(self.cursor)
    }

    /// The kernel took all of the log; there was nothing else.
    pub fn reach_end(&mut self, log: &Log) {
        debug_assert!(self.detours.is_none(), "invariant: asked before");
        self.cursor = self.cursor.max(log.end());
    }

    /// Bytes due and not sent: of the log, and of private frames.
    pub fn unsent(&self, log: &Log) -> usize {
        let mut unsent = 0u64;
        let mut cursor = self.cursor;
        for detour in self.queue() {
            unsent += detour.begins_at() - cursor;
            unsent += detour.unsent() as u64;
            cursor = detour.resumes_at();
        }
        unsent += log.end().saturating_sub(cursor);
        usize::try_from(unsent).unwrap_or(usize::MAX)
    }

    /// Bytes of private frames not sent: what this member costs alone.
    pub fn private_bytes(&self) -> usize {
        let own = self.queue().map(|detour| match detour {
            Detour::Private { bytes, sent, .. } => bytes.len() - sent,
            Detour::Shared { bytes, .. } => bytes.own(),
            Detour::Skip { .. } => 0,
        });
        own.sum()
    }

    /// Bytes of its own and of others' that this member keeps from being let go.
    pub fn held_bytes(&self) -> usize {
        let held = self.queue().map(|detour| match detour {
            Detour::Private { bytes, sent, .. } => bytes.len() - sent,
            Detour::Shared { bytes, .. } => bytes.held(),
            Detour::Skip { .. } => 0,
        });
        held.sum()
    }

    /// The memory that it takes beside the log: its own, and its part of what others are being sent as well.
    pub fn memory(&self) -> usize {
        let parts = self.queue().map(|detour| match detour {
            Detour::Shared { bytes, .. } => bytes.part(),
            Detour::Private { .. } | Detour::Skip { .. } => 0,
        });
        let own = self.detours.as_ref();
        own.map_or(0, |detours| detours.share.bytes()) + parts.sum::<usize>()
    }

    /// How many detours lie ahead: bounded by the owner, as they take memory.
    pub fn detours(&self) -> usize {
        let detours = self.detours.as_ref();
        detours.map_or(0, |detours| detours.queue.len())
    }

    fn queue(&self) -> impl Iterator<Item = &Detour> {
        let detours = self.detours.iter();
        detours.flat_map(|detours| detours.queue.iter())
    }

    fn last_detour(&self) -> Option<&Detour> {
        self.detours.as_ref()?.queue.back()
    }

    fn detours_or_new(&mut self, tally: &Tally) -> &mut Detours {
        self.detours.get_or_insert_with(|| {
            Box::new(Detours {
                queue: VecDeque::new(),
                reserved: 0,
                share: tally.share(),
            })
        })
    }
}

impl Detours {
    fn push(&mut self, detour: Detour) {
        self.reserved += detour.reserved();
        self.queue.push_back(detour);
        self.count();
    }

    /// The first is done with.
    fn pop(&mut self) {
        if let Some(detour) = self.queue.pop_front() {
            self.reserved -= detour.reserved();
            self.count();
        }
    }

    fn count(&mut self) {
        let places = self.queue.capacity() * size_of::<Detour>();
        self.share
            .set(size_of::<Detours>() + places + self.reserved);
    }
}

impl Detour {
    fn begins_at(&self) -> u64 {
        match self {
            Detour::Private { at, .. } | Detour::Shared { at, .. } => *at,
            Detour::Skip { from, .. } => *from,
        }
    }

    fn resumes_at(&self) -> u64 {
        match self {
            Detour::Private { at, .. } | Detour::Shared { at, .. } => *at,
            Detour::Skip { to, .. } => *to,
        }
    }

    /// The memory that its bytes take, without what others are sent too.
    fn reserved(&self) -> usize {
        match self {
            Detour::Private { bytes, .. } => bytes.capacity(),
            Detour::Shared { bytes, .. } => bytes.memory(),
            Detour::Skip { .. } => 0,
        }
    }

    /// What is not sent of its own bytes.
    fn unsent(&self) -> usize {
        match self {
            Detour::Private { bytes, sent, .. } => bytes.len() - sent,
            Detour::Shared { bytes, .. } => bytes.unsent(),
            Detour::Skip { .. } => 0,
        }
    }
}

impl<'a> Pieces<'a> {
    /// The slices, none of them empty.
    pub fn slices(&self) -> &[IoSlice<'a>] {
        self.slices.get(..self.count).unwrap_or_default()
    }

    /// The bytes of all of them together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// False when there is no room left for it.
    fn push(&mut self, slice: &'a [u8]) -> bool {
        if slice.is_empty() {
            return true;
        }
        match self.slices.get_mut(self.count) {
            Some(place) => {
                *place = IoSlice::new(slice);
                self.count += 1;
                self.bytes += slice.len();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(log: &mut Log, text: &str) -> Range<u64> {
        log.append(|bytes| bytes.extend_from_slice(text.as_bytes()))
    }

    fn offered(feed: &Feed, log: &Log) -> String {
        let pieces = feed.pieces(log);
        let bytes = pieces
            .slices()
            .iter()
            .flat_map(|slice| slice.iter().copied());
        String::from_utf8(bytes.collect()).unwrap()
    }

    #[test]
    fn a_private_frame_stands_at_its_place_in_the_order() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        append(&mut log, "one ");
        feed.push_private(&log, b"(psst) ", &Tally::default());
        append(&mut log, "two ");
        assert_eq!(offered(&feed, &log), "one (psst) two ");
        assert_eq!(feed.unsent(&log), 15);
        assert_eq!(feed.private_bytes(), 7);
        feed.advance(&log, 6);
        assert_eq!(offered(&feed, &log), "sst) two ");
        assert_eq!(feed.needs_from(), 4);
        feed.advance(&log, 9);
        assert!(feed.is_done(&log));
        assert_eq!(feed.detours(), 0);
    }

    #[test]
    fn own_words_are_skipped_and_adjacent_skips_are_one() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        append(&mut log, "a ");
        let mine = append(&mut log, "mine ");
        feed.skip(mine, &Tally::default());
        let mine = append(&mut log, "mine too ");
        feed.skip(mine, &Tally::default());
        assert_eq!(feed.detours(), 1);
        append(&mut log, "b ");
        assert_eq!(offered(&feed, &log), "a b ");
        assert_eq!(feed.unsent(&log), 4);
        feed.advance(&log, 4);
        assert!(feed.is_done(&log));
    }

    #[test]
    fn a_member_at_the_end_skips_without_memory() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        let mine = append(&mut log, "mine");
        feed.skip(mine, &Tally::default());
        assert_eq!(feed.detours(), 0);
        assert!(feed.is_done(&log));
    }

    #[test]
    fn joining_puts_the_welcome_first() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        feed.push_private(&Log::new(), b"welcome ", &Tally::default());
        append(&mut log, "before my time ");
        feed.join(log.end());
        append(&mut log, "hello");
        assert_eq!(offered(&feed, &log), "welcome hello");
    }

    #[test]
    fn who_ends_before_the_end_hears_no_more_but_what_is_its_own() {
        let (mut log, mut feed, mut told) = (Log::new(), Feed::default(), Feed::default());
        let mut quick = Feed::default();
        append(&mut log, "hello ");
        let said = log.end();
        append(&mut log, "bob went ");
        quick.advance(&log, log.end() as usize);
        told.push_private(&log, b"(bye) ", &Tally::default());
        append(&mut log, "eve went ");
        feed.end(said, &Tally::default());
        assert_eq!(
            (offered(&feed, &log).as_str(), feed.has_ended()),
            ("hello ", true)
        );
        feed.advance(&log, 6);
        assert!(feed.is_done(&log));
        told.end(said, &Tally::default());
        assert_eq!(offered(&told, &log), "hello bob went (bye) ");
        told.advance(&log, 21);
        assert!(told.is_done(&log) && told.has_ended());
        quick.end(said, &Tally::default());
        assert!(quick.is_done(&log) && quick.has_ended());
    }

    #[test]
    fn who_has_left_may_join_again_and_hears() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        append(&mut log, "due ");
        feed.push_private(&log, b"bye ", &Tally::default());
        feed.end(log.end(), &Tally::default());
        feed.join(log.end());
        append(&mut log, "hello");
        assert!(!feed.has_ended());
        assert_eq!(offered(&feed, &log), "bye hello");
    }

    #[test]
    fn leaving_sends_what_was_due_and_nothing_after() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        append(&mut log, "due ");
        feed.push_private(&log, b"bye ", &Tally::default());
        feed.end(log.end(), &Tally::default());
        assert!(feed.has_ended());
        append(&mut log, "too late ");
        feed.push_private(&log, b"too late", &Tally::default());
        assert_eq!(offered(&feed, &log), "due bye ");
        feed.advance(&log, 8);
        assert!(feed.is_done(&log));
        assert!(feed.has_ended());
        append(&mut log, "much too late");
        assert!(feed.is_done(&log));
        assert_eq!(offered(&feed, &log), "");
    }

    #[test]
    fn more_detours_than_one_write_takes_go_with_the_next() {
        let (mut log, mut feed) = (Log::new(), Feed::default());
        let mut due = String::new();
        for n in 0..MAX_PIECES {
            append(&mut log, "public ");
            feed.push_private(&log, format!("private{n} ").as_bytes(), &Tally::default());
            due += &format!("public private{n} ");
        }
        let first = offered(&feed, &log);
        assert!(due.starts_with(&first) && first.len() < due.len());
        feed.advance(&log, first.len());
        assert_eq!(first + &offered(&feed, &log), due);
    }
}
