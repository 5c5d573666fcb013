//! Owns the bytes that an audience is due, once for all members, at offsets that never change.
//! Knows nothing of who reads them: somebody else says how far back they are still needed.

use std::ops::Range;

/// An append-only byte log with absolute offsets in one contiguous buffer.
///
/// Contiguous, so that whatever a member is due is one slice and one `write`. Offsets count from the
/// audience's beginning and are never reused; trimming moves [`start`](Log::start), not them.
#[derive(Debug, Default)]
pub struct Log {
    /// The bytes from offset `base` on.
    bytes: Vec<u8>,
    /// The offset of `bytes[0]`; at most `start`.
    base: u64,
    /// The first offset that somebody still needs.
    start: u64,
}

/// A buffer of at most this capacity is kept when everybody is at the end: it is the working memory
/// of a busy room and stays hot in the cache. What a burst grew beyond it is given back.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Beyond that capacity it grows by a quarter when less than this is free: doubling would have what a room is behind
/// cost twice.
const FREE: usize = 16 * 1024;

impl Log {
    /// Nothing yet, no memory.
    pub const fn new() -> Log {
        Log {
            bytes: Vec::new(),
            base: 0,
            start: 0,
        }
    }

    /// The first offset that can still be read.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The offset behind the last byte: where a member is that has everything.
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Lets `encode` append whole frames, and returns where they stand (an empty range if it wrote none).
    ///
    /// `encode` only appends.
    pub fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Range<u64> {
        let from = self.end();
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity - length < FREE && capacity >= KEPT_CAPACITY {
            self.bytes.reserve_exact(FREE.max(length / 4));
        }
        encode(&mut self.bytes);
        debug_assert!(from <= self.end(), "invariant: encoders only append");
        from..self.end()
    }

    /// The bytes between two offsets. What was trimmed or is not there yet is not given.
    pub fn slice(&self, from: u64, to: u64) -> &[u8] {
        debug_assert!(
            from >= self.start || from >= to,
            "invariant: nobody reads what was trimmed"
        );
        let index = |offset: u64| usize::try_from(offset.saturating_sub(self.base)).ok();
        match (index(from), index(to.min(self.end()))) {
            (Some(from), Some(to)) => self.bytes.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Forgets what lies before `offset`: everybody still there has it.
    ///
    /// With nothing left the buffer is begun anew; otherwise it is compacted once more than half of
    /// it is dead, so each byte is moved at most once on average.
    pub fn trim(&mut self, offset: u64) {
        let end = self.end();
        self.start = offset.clamp(self.start, end);
        let dead = usize::try_from(self.start - self.base).unwrap_or(usize::MAX);
        if self.start == end {
            self.base = end;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_CAPACITY {
                self.bytes.shrink_to(KEPT_CAPACITY);
            }
        } else if dead > self.bytes.len() / 2 {
            self.compact();
        }
    }

    /// Gives back all memory but that of what is still needed.
    pub fn shrink(&mut self) {
        self.compact();
        self.bytes.shrink_to_fit();
    }

    fn compact(&mut self) {
        let dead = usize::try_from(self.start - self.base).unwrap_or(usize::MAX);
        self.bytes.drain(..dead.min(self.bytes.len()));
        self.base = self.start;
    }

    /// The memory it holds, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(log: &mut Log, text: &str) -> Range<u64> {
        log.append(|bytes| bytes.extend_from_slice(text.as_bytes()))
    }

    #[test]
    fn offsets_stay_when_the_front_goes() {
        let mut log = Log::new();
        assert_eq!(append(&mut log, "0123"), 0..4);
        assert_eq!(append(&mut log, "456789"), 4..10);
        log.trim(3);
        assert_eq!((log.start(), log.slice(4, 7)), (3, &b"456"[..]));
        log.trim(8);
        assert_eq!(log.slice(8, 10), b"89", "after compaction too");
        assert_eq!(log.slice(8, 99), b"89", "only what is there");
        log.trim(5);
        assert_eq!(log.start(), 8, "trimming never goes back");
        log.trim(u64::MAX);
        assert_eq!((log.start(), log.end()), (10, 10));
        assert_eq!(append(&mut log, "ab"), 10..12);
        assert_eq!(log.slice(10, 12), b"ab");
    }

    #[test]
    fn a_burst_leaves_no_more_than_the_kept_capacity() {
        let mut log = Log::new();
        log.append(|bytes| bytes.resize(1 << 20, 7));
        log.trim(1 << 20);
        assert!(log.memory() <= KEPT_CAPACITY, "{}", log.memory());
        append(&mut log, "warm");
        log.trim(log.end());
        assert!(log.memory() >= 4, "working memory is kept");
    }
}
