//! Owns the bytes of an input, which choose. At their end everything that is chosen is the first of its kind.

/// What is left of them.
pub struct Input<'a>(&'a [u8]);

/// A count from here on says how often the byte behind it stands there, times [`FILLER_STEP`].
const FILLERS: u8 = 240;

const FILLER_STEP: usize = 1100;

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    /// The next, unless it is over.
    pub fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// Less than `count`, which is no more than 256.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Some bytes: so many of the next as a byte says, or one of them many times.
    pub fn bytes(&mut self) -> Vec<u8> {
        let count = self.byte();
        if let Some(steps) = count.checked_sub(FILLERS) {
            return vec![self.byte(); FILLER_STEP * (1 + usize::from(steps))];
        }
        let (front, rest) = self.0.split_at(self.0.len().min(count.into()));
        self.0 = rest;
        front.to_vec()
    }

    /// The same as text: a byte that is no part of one is a letter that is not in ASCII.
    pub fn text(&mut self) -> String {
        let bytes = self.bytes();
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error
                .as_bytes()
                .iter()
                .map(|byte| char::from(*byte))
                .collect(),
        }
    }
}
