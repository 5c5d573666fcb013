//! Owns the answer of every stream decoder. Knows no protocol.

/// What a decoder made of the bytes at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<T> {
    /// A whole frame, and how many bytes it took: never more than there were.
    Done { frame: T, used: usize },
    /// The frame is not whole. It has at least `needed` bytes: until there are as many, asking
    /// again is in vain, so a peer that drips bytes costs linear time.
    NeedMore { needed: usize },
}

impl<T> Decoded<T> {
    /// The same answer about another frame.
    pub fn map<U>(self, frame_of: impl FnOnce(T) -> U) -> Decoded<U> {
        match self {
            Decoded::Done { frame, used } => Decoded::Done {
                frame: frame_of(frame),
                used,
            },
            Decoded::NeedMore { needed } => Decoded::NeedMore { needed },
        }
    }
}
