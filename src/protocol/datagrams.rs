//! Owns a few datagrams one behind the other in one buffer: what a session wants sent, or what one event
//! becomes in a datagram protocol. Knows no address and no socket.

use std::ops::Range;

/// Datagrams in the order in which they are to be sent. Used again and again: [`clear`](Datagrams::clear)
/// keeps the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    bytes: Vec<u8>,
    /// Where each one ends.
    ends: Vec<usize>,
}

impl Datagrams {
    /// None, no memory.
    pub const fn new() -> Datagrams {
        Datagrams {
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds one datagram, which `encode` appends to the buffer it gets. An empty one is none.
    pub fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        encode(&mut self.bytes);
        debug_assert!(from <= self.bytes.len(), "invariant: encoders only append");
        if self.bytes.len() > from {
            self.ends.push(self.bytes.len());
        }
    }

    /// Each datagram.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |&end| {
            let range: Range<usize> = std::mem::replace(&mut from, end)..end;
            self.bytes.get(range).unwrap_or_default()
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How long all of them are together, in bytes.
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_kept_and_nothing_is_no_datagram() {
        let mut datagrams = Datagrams::new();
        datagrams.push(|out| out.extend_from_slice(b"one"));
        datagrams.push(|_| {});
        datagrams.push(|out| out.push(b'2'));
        assert_eq!(datagrams.iter().collect::<Vec<_>>(), [&b"one"[..], b"2"]);
        assert_eq!((datagrams.len(), datagrams.total_bytes()), (2, 4));
        datagrams.clear();
        assert!(datagrams.is_empty() && datagrams.iter().next().is_none());
    }
}
