//! Owns what everybody who comes is sent alike, kept once however many are still being sent it.
//! Knows nothing of what it says: a list of members, for those protocols that have one.

use std::rc::Rc;

/// Bytes that grow as members come, and that newcomers share.
///
/// It is *current* from [`begin`](Roll::begin) to [`clear`](Roll::clear): between these it only grows, so whoever was
/// given it as it was then needs no copy of his own. What has grown to a piece is never changed again.
///
/// ```
/// use mynah::fanout::{Feed, Log, Roll};
///
/// let (mut roll, log) = (Roll::new(), Log::new());
/// roll.begin(|bytes| bytes.extend_from_slice(b"here are: amy"));
/// let mut newcomer = Feed::default();
/// newcomer.push_shared(&log, roll.share(b"."));
/// roll.append(|bytes| bytes.extend_from_slice(b", bob"));
/// assert_eq!(newcomer.pieces(&log).bytes(), "here are: amy.".len());
/// ```
#[derive(Debug, Default)]
pub struct Roll {
    sealed: Vec<Rc<[u8]>>,
    /// What is no whole piece yet.
    open: Vec<u8>,
    is_current: bool,
}

/// A roll as it was at some time. Copying it costs a pointer for each piece.
#[derive(Clone, Debug)]
pub struct Shared {
    pieces: Box<[Rc<[u8]>]>,
}

/// The bytes of a piece, about. A newcomer has a copy of what is no whole piece yet, so that is to be short; ten thousand
/// members come to three writes.
const PIECE: usize = if cfg!(test) { 100 } else { 8 * 1024 };

impl Roll {
    /// Not current, no memory.
    pub fn new() -> Roll {
        Roll::default()
    }

    /// Whether it says what there is to say.
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// Begins anew with what `encode` appends, and is current.
    pub fn begin(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.clear();
        self.is_current = true;
        self.append(encode);
    }

    /// Grows by what `encode` appends, if it is current.
    pub fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.is_current {
            return;
        }
        encode(&mut self.open);
        if self.open.len() >= PIECE {
            self.sealed.push(Rc::from(self.open.as_slice()));
            self.open.clear();
        }
    }

    /// Is not current any more; what was shared of it lasts as long as it is needed.
    pub fn clear(&mut self) {
        *self = Roll::new();
    }

    /// All of it as it is now, with `end` behind it.
    pub fn share(&mut self, end: &[u8]) -> Shared {
        let last: Rc<[u8]> = match self.open.is_empty() {
            true => end.into(),
            false => {
                let open = self.open.len();
                self.open.extend_from_slice(end);
                let last = Rc::from(self.open.as_slice());
                self.open.truncate(open);
                last
            }
        };
        let pieces = self.sealed.iter().cloned().chain([last]);
        Shared {
            pieces: pieces.filter(|piece| !piece.is_empty()).collect(),
        }
    }

    /// The memory it holds, in bytes, without what only others hold of it.
    pub fn memory(&self) -> usize {
        self.sealed.iter().map(|piece| piece.len()).sum::<usize>() + self.open.capacity()
    }
}

impl Shared {
    /// Its bytes from `sent` on, in order, none of the slices empty.
    pub(super) fn slices(&self, sent: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = sent;
        self.pieces.iter().filter_map(move |piece| {
            let rest = piece.get(skip..);
            skip = skip.saturating_sub(piece.len());
            rest.filter(|rest| !rest.is_empty())
        })
    }

    /// How many bytes it is.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shared: &Shared, sent: usize) -> Vec<u8> {
        shared.slices(sent).flatten().copied().collect()
    }

    #[test]
    fn what_was_shared_stays_as_it_was() {
        let mut roll = Roll::new();
        roll.append(|bytes| bytes.extend_from_slice(b"nobody asked"));
        assert_eq!((roll.is_current(), roll.memory()), (false, 0));
        roll.begin(|bytes| bytes.extend_from_slice(b"LIST"));
        let first = roll.share(b".");
        roll.append(|bytes| bytes.extend_from_slice(b" amy"));
        let second = roll.share(b"!");
        roll.clear();
        assert_eq!((roll.is_current(), roll.memory()), (false, 0));
        assert_eq!((text(&first, 0), first.len()), (b"LIST.".to_vec(), 5));
        assert_eq!(text(&second, 0), b"LIST amy!");
    }

    #[test]
    fn pieces_are_shared_and_read_from_anywhere() {
        let mut roll = Roll::new();
        let mut wanted = b"LIST".to_vec();
        roll.begin(|bytes| bytes.extend_from_slice(b"LIST"));
        for n in 0..100 {
            let entry = format!(":member{n}:0.0.0.0:0");
            roll.append(|bytes| bytes.extend_from_slice(entry.as_bytes()));
            wanted.extend_from_slice(entry.as_bytes());
        }
        let shared = roll.share(b"\r\n");
        let again = roll.share(b"\r\n");
        wanted.extend_from_slice(b"\r\n");
        assert_eq!(shared.len(), wanted.len());
        assert!(shared.pieces.len() > 4);
        let common = shared.pieces.iter().zip(&again.pieces);
        let common = common.filter(|(one, other)| Rc::ptr_eq(one, other)).count();
        assert_eq!(common, shared.pieces.len() - 1, "all but the open end");
        for sent in [
            0,
            1,
            PIECE,
            PIECE + 7,
            2 * PIECE + 40,
            wanted.len() - 1,
            wanted.len(),
        ] {
            assert_eq!(text(&shared, sent), &wanted[sent..], "from {sent}");
            assert!(shared.slices(sent).all(|slice| !slice.is_empty()));
        }
    }

    #[test]
    fn an_end_that_falls_on_a_piece_is_no_empty_slice() {
        let mut roll = Roll::new();
        roll.begin(|bytes| bytes.resize(PIECE, b'x'));
        assert_eq!(roll.share(b"").slices(0).count(), 1);
        assert_eq!(roll.share(b"!").slices(0).count(), 2);
    }
}
