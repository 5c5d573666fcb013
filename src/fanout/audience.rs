//! Owns who hears one log: the members of a room that share a wire format. Knows members as numbers.

use std::ops::Range;

use super::{Log, Share, Tally};

/// A log and its readers.
///
/// `M` is whatever the owner finds a member by. Members sit in one contiguous table in no order;
/// each is told its seat, and the seat of whoever was moved when somebody leaves.
#[derive(Debug)]
pub struct Audience<M> {
    log: Log,
    /// The log's memory.
    share: Share,
    members: Vec<M>,
    /// Those that need bytes of the log before its end, members or just leaving: few, and the log's
    /// start is the least of what they need.
    behind: Vec<M>,
    /// What was appended that members were not offered yet.
    news: News,
    /// See [`owed`](Audience::owed).
    owed: u64,
}

/// What is new, and whether it can wait for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing.
    #[default]
    None,
    /// Who came and who went: nobody waits for that.
    Notices,
    /// What somebody said.
    Messages,
}

/// Tables of members grow by this many, or by an eighth: doubling would waste as much as they hold.
const CHUNK: usize = 256;

impl<M> Default for Audience<M> {
    fn default() -> Self {
        Audience::counted_by(&Tally::default())
    }
}

impl<M> Audience<M> {
    /// Nobody; what the log comes to take is counted by `tally`.
    pub fn counted_by(tally: &Tally) -> Self {
        Audience {
            log: Log::new(),
            share: tally.share(),
            members: Vec::new(),
            behind: Vec::new(),
            news: News::None,
            owed: 0,
        }
    }
}

impl<M: Copy + PartialEq> Audience<M> {
    /// Nobody, no memory.
    pub fn new() -> Audience<M> {
        Audience::default()
    }

    /// The log that all of them read.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Everybody that is in, in no particular order.
    pub fn members(&self) -> &[M] {
        &self.members
    }

    /// Says something to everybody: encoded once, appended once. Without members nothing is kept.
    pub fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Range<u64> {
        self.append_news(News::Messages, encode)
    }

    /// The same with something that can wait for more of its kind.
    pub fn append_notice(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Range<u64> {
        self.append_news(News::Notices, encode)
    }

    fn append_news(&mut self, news: News, encode: impl FnOnce(&mut Vec<u8>)) -> Range<u64> {
        if self.members.is_empty() {
            return self.log.end()..self.log.end();
        }
        let range = self.log.append(encode);
        self.share.set(self.log.memory());
        if !range.is_empty() {
            self.news = self.news.max(news);
        }
        if news == News::Messages {
            self.owed = range.end;
        }
        range
    }

    /// Takes a member in and returns its seat. Its feed begins where the owner says.
    pub fn join(&mut self, member: M) -> usize {
        if self.members.len() == self.members.capacity() {
            self.members
                .reserve_exact(CHUNK.max(self.members.len() / 8));
        }
        self.members.push(member);
        self.members.len() - 1
    }

    /// Lets the member of that seat go; returns who sits there now, if somebody was moved.
    ///
    /// It may still be [behind](Audience::mark_behind) until it has what it was due.
    pub fn leave(&mut self, seat: usize) -> Option<M> {
        if seat < self.members.len() {
            self.members.swap_remove(seat);
        }
        if self.members.is_empty() {
            self.members = Vec::new();
        }
        self.members.get(seat).copied()
    }

    /// What there is that members were not offered yet.
    pub fn news(&self) -> News {
        self.news
    }

    /// Whether there is something that members were not offered yet; asking takes note of it.
    pub fn take_news(&mut self) -> bool {
        self.owed = self.log.end();
        std::mem::take(&mut self.news) != News::None
    }

    /// Where the log ends for who leaves now: all that was said, and all that was offered. Notices of others who came
    /// or went since it needs no more; when all leave at once, each would be told of all before it.
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// How many bytes of notices were appended that members were not offered yet, behind what was said last.
    pub fn waiting(&self) -> usize {
        usize::try_from(self.log.end() - self.owed).unwrap_or(usize::MAX)
    }

    /// Owes what there is to those, too, who leave from now on.
    pub fn owe_notices(&mut self) {
        self.owed = self.log.end();
    }

    /// Remembers a reader that did not get everything. Once only, until [`settle`](Audience::settle)
    /// found it done.
    pub fn mark_behind(&mut self, member: M) {
        debug_assert!(!self.behind.contains(&member), "invariant: marked once");
        self.behind.push(member);
    }

    /// Those behind.
    pub fn behind(&self) -> &[M] {
        &self.behind
    }

    /// Forgets what nobody needs any more, once everybody was offered what is new.
    ///
    /// `needs_from` says from which offset on a reader that was behind still needs the log, or `None`
    /// if it is gone or has everything: then it is behind no more.
    pub fn settle(&mut self, mut needs_from: impl FnMut(M) -> Option<u64>) {
        debug_assert_eq!(
            self.news,
            News::None,
            "invariant: offered first, settled then"
        );
        let mut least = self.log.end();
        self.behind.retain(|&member| match needs_from(member) {
            Some(offset) => {
                least = least.min(offset);
                true
            }
            None => false,
        });
        if self.behind.is_empty() {
            self.behind = Vec::new();
        }
        self.log.trim(least);
        if self.members.is_empty() && self.behind.is_empty() {
            self.log.shrink();
        }
        self.share.set(self.log.memory());
    }

    /// Gives back memory that holds nothing that anybody needs.
    pub fn shrink(&mut self) {
        self.log.shrink();
        self.share.set(self.log.memory());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_tells_who_was_moved() {
        let mut audience = Audience::new();
        for (seat, member) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(audience.join(member), seat);
        }
        assert_eq!(audience.leave(0), Some("c"));
        assert_eq!(audience.leave(1), None, "the last one moves nobody");
        assert_eq!(audience.members(), ["c"]);
        assert_eq!(audience.leave(7), None);
    }

    #[test]
    fn what_nobody_hears_is_not_kept() {
        let mut audience: Audience<u32> = Audience::new();
        assert!(audience.append(|bytes| bytes.push(1)).is_empty());
        assert!(!audience.take_news());
        assert_eq!(audience.log().memory(), 0);
    }

    #[test]
    fn what_somebody_said_does_not_wait_for_notices() {
        let mut audience = Audience::new();
        audience.join(1);
        audience.append_notice(|_| {});
        assert_eq!(audience.news(), News::None);
        audience.append_notice(|bytes| bytes.extend_from_slice(b"bob came"));
        assert_eq!(audience.news(), News::Notices);
        audience.append(|bytes| bytes.extend_from_slice(b"hello"));
        audience.append_notice(|bytes| bytes.extend_from_slice(b"eve came"));
        assert_eq!(audience.news(), News::Messages);
        assert!(audience.take_news());
        assert_eq!(audience.news(), News::None);
    }

    #[test]
    fn who_leaves_is_owed_what_was_said_and_no_later_notices() {
        let mut audience = Audience::new();
        audience.join(1);
        assert_eq!((audience.owed(), audience.waiting()), (0, 0));
        audience.append_notice(|bytes| bytes.extend_from_slice(b"bob came"));
        assert_eq!((audience.owed(), audience.waiting()), (0, 8));
        audience.append(|bytes| bytes.extend_from_slice(b"hello"));
        audience.append_notice(|bytes| bytes.extend_from_slice(b"bob went"));
        assert_eq!((audience.owed(), audience.waiting()), (13, 8));
        assert!(audience.take_news());
        assert_eq!((audience.owed(), audience.waiting()), (21, 0));
        audience.append_notice(|bytes| bytes.extend_from_slice(b"eve came"));
        audience.owe_notices();
        assert_eq!((audience.owed(), audience.waiting()), (29, 0));
        assert_eq!(audience.news(), News::Notices, "it waits all the same");
    }

    #[test]
    fn the_log_reaches_back_to_the_slowest() {
        let mut audience = Audience::new();
        audience.join(1);
        audience.join(2);
        audience.append(|bytes| bytes.extend_from_slice(b"0123456789"));
        assert!(audience.take_news());
        audience.mark_behind(1);
        audience.mark_behind(2);
        audience.settle(|member| Some(if member == 1 { 3 } else { 7 }));
        assert_eq!(audience.log().start(), 3);
        audience.settle(|member| (member == 2).then_some(7));
        assert_eq!((audience.log().start(), audience.behind()), (7, &[2][..]));
        audience.settle(|_| None);
        assert_eq!(audience.log().start(), audience.log().end());
        assert!(audience.behind().is_empty());
    }
}
