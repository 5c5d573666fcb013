//! Owns the slab of whatever has a socket, and the keys by which events find their way back.
//! Knows nothing of what it holds.

use std::num::NonZeroU32;

use mio::Token;
use slab::Slab;

/// Where a connection lives (slab index) and which of the slot's tenants it is (generation).
///
/// A key is what a mio token carries, so an event or timer for a connection that is gone finds
/// nothing instead of its successor (epoll(7), "event cache").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: NonZeroU32,
}

impl Key {
    /// The slab index alone, for tables of things that die with the connection.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// As a mio token: generation in the high half, which is never zero. Tokens below 2^32 are
    /// therefore free for listeners, ports and the waker.
    pub fn token(self) -> Token {
        Token((self.generation.get() as usize) << 32 | self.index as usize)
    }

    /// `None` for the tokens that are not connections.
    pub fn from_token(token: Token) -> Option<Key> {
        let generation = NonZeroU32::new((token.0 >> 32) as u32)?;
        Some(Key {
            index: token.0 as u32,
            generation,
        })
    }
}

/// A slab whose keys know their generation.
#[derive(Debug)]
pub struct Slots<T> {
    slab: Slab<(NonZeroU32, T)>,
    next_generation: NonZeroU32,
    /// What the keys count from.
    first: u32,
}

/// The slab begins with this many slots and grows by [`CHUNK`]. So large a piece of memory is the kernel's own
/// mapping (`M_MMAP_THRESHOLD` of mallopt(3)): resident only where slots are in use, and it grows in place or is
/// moved by mremap(2), while a small one that grows leaves one hole after the other in the heap.
const FIRST: usize = 4096;

/// Doubling would waste as much as the slab holds.
const CHUNK: usize = 256;

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            slab: Slab::new(),
            next_generation: NonZeroU32::MIN,
            first: 0,
        }
    }
}

impl<T> Slots<T> {
    /// No slots, no memory.
    pub fn new() -> Slots<T> {
        Slots::default()
    }

    /// The same, its keys counting from `first`: no key is one of other slots that never come as far.
    pub fn counting_from(first: u32) -> Slots<T> {
        Slots {
            first,
            ..Slots::default()
        }
    }

    /// How many are in use.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Takes a slot for what `make` builds with its own key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        if self.slab.len() == self.slab.capacity() {
            let more = if self.slab.is_empty() { FIRST } else { CHUNK };
            self.slab.reserve_exact(more);
        }
        let generation = self.next_generation;
        self.next_generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let entry = self.slab.vacant_entry();
        let index = u32::try_from(entry.key()).ok();
        let index = index.and_then(|index| index.checked_add(self.first));
        let index = index.expect("invariant: fewer than 2^31 of a kind");
        let key = Key { index, generation };
        entry.insert((generation, make(key)));
        key
    }

    /// The tenant of that generation, if it is still there.
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slab.get(self.slot(key)?) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The tenant of that generation, if it is still there.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slab.get_mut(self.slot(key)?) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Frees the slot; its key finds nothing from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.slab.remove(self.slot(key)?).1)
    }

    fn slot(&self, key: Key) -> Option<usize> {
        Some(key.index.checked_sub(self.first)? as usize)
    }

    /// All tenants, in slab order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slab.iter().map(|(index, (generation, value))| {
            let key = Key {
                index: index as u32 + self.first,
                generation: *generation,
            };
            (key, value)
        })
    }

    /// The keys of all tenants, in slab order.
    pub fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_two_kinds_do_not_take_each_others_keys() {
        let (mut low, mut high) = (Slots::new(), Slots::counting_from(1 << 31));
        let (one, other) = (low.insert_with(|_| 'l'), high.insert_with(|_| 'h'));
        assert_eq!((low.get(other), high.get(one)), (None, None));
        assert_eq!((low.remove(other), high.remove(one)), (None, None));
        assert_eq!(high.iter().next(), Some((other, &'h')));
        assert_eq!(high.remove(other), Some('h'));
    }

    #[test]
    fn a_reused_slot_is_not_its_former_tenant() {
        let mut slots = Slots::new();
        let first = slots.insert_with(|_| "first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert_with(|_| "second");
        assert_eq!(first.index(), second.index(), "the slot is used again");
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
    }

    #[test]
    fn a_key_survives_the_token_and_low_tokens_are_no_keys() {
        let mut slots = Slots::new();
        let key = slots.insert_with(|_| ());
        assert_eq!(Key::from_token(key.token()), Some(key));
        assert_eq!(Key::from_token(Token(0)), None);
        assert_eq!(Key::from_token(Token(u32::MAX as usize)), None);
    }

    #[test]
    fn growth_is_by_chunks() {
        let mut slots = Slots::new();
        for _ in 0..FIRST + 1 {
            slots.insert_with(|_| 0u64);
        }
        assert_eq!(slots.slab.capacity(), FIRST + CHUNK);
        assert_eq!(slots.len(), FIRST + 1);
    }
}
