//! Owns the sum of the memory that waits to be sent: whoever holds some says how much, and when it changes.
//! Knows nothing of who holds it and why.

use std::cell::Cell;
use std::rc::Rc;

/// A sum that many add to, so that it is known at any time and nobody has to be asked.
///
/// ```
/// use mynah::fanout::{Feed, Log, Tally};
///
/// let (tally, mut feed) = (Tally::default(), Feed::default());
/// feed.push_private(&Log::new(), b"hello", &tally);
/// assert!(tally.bytes() > "hello".len());
/// feed.abandon();
/// assert_eq!(tally.bytes(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tally(Rc<Cell<usize>>);

/// What one holder adds to a [`Tally`], until it is dropped.
#[derive(Debug)]
pub struct Share {
    tally: Tally,
    bytes: usize,
}

impl Tally {
    /// All that is held now.
    pub fn bytes(&self) -> usize {
        self.0.get()
    }

    /// For one who holds nothing yet.
    pub fn share(&self) -> Share {
        Share {
            tally: self.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    /// So much is held from now on.
    pub fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            let sum = &self.tally.0;
            sum.set(sum.get() - self.bytes + bytes);
            self.bytes = bytes;
        }
    }

    /// What it was set to.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_of_what_is_held() {
        let tally = Tally::default();
        let (mut one, mut other) = (tally.share(), tally.share());
        one.set(5);
        other.set(7);
        one.set(3);
        assert_eq!((tally.bytes(), one.bytes()), (10, 3));
        drop(other);
        assert_eq!(tally.bytes(), 3);
        drop(one);
        assert_eq!(tally.bytes(), 0);
    }
}
