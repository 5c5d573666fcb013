//! Owns the pickles of this protocol in both directions: a dict of a number, a name, and a text or lines.
//! Knows nothing of what they mean. A pickle is a program; the decoder is no interpreter for it but reads
//! the few instructions that such a dict needs, and refuses all others unread. It never panics, borrows
//! every string from its input, and takes no memory for a length before it was compared with what is there.

mod decode;
mod encode;
mod opcode;

use std::fmt;

pub use decode::{MAX_DEPTH, MAX_ITEMS, MAX_MEMO, decode};
pub use encode::encode;

/// The dict, its keys in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dict<'a> {
    pub protocol_num: i64,
    pub username: &'a str,
    pub message: Message<'a>,
}

/// What stands under `message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Text(&'a str),
    Lines(Vec<&'a str>),
}

/// A key of the dict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    ProtocolNum,
    Username,
    Message,
}

/// An instruction, by its byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Opcode(pub u8);

/// Which rule a pickle breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It does not say its protocol first: protocol 0 or 1, or no pickle at all.
    NoProtocol,
    /// It says a protocol that is not one of 2 to 5.
    UnknownProtocol { got: u8 },
    /// An instruction that this dict has no need of. What names or calls Python objects is among them.
    Forbidden { opcode: Opcode, at: usize },
    /// It ends before it is over.
    Truncated,
    /// An instruction goes on behind the end of its frame, or a frame begins in a frame.
    FrameBroken { at: usize },
    /// A length beyond what is there.
    LengthOverInput { got: u64, left: usize },
    /// A string that is no UTF-8; surrogates are none.
    NotUtf8,
    /// A number of more than eight bytes.
    NumberTooLong { bytes: u8 },
    /// Marks upon marks.
    TooDeep { limit: usize },
    /// Too many values in a list or on the way into one.
    TooManyItems { limit: usize },
    /// Too many values that are kept to be used again.
    MemoFull { limit: usize },
    /// Kept under another number than the next one.
    MemoNotDense { got: u32, next: usize },
    /// Fetches what was not kept, or is no string or number.
    NotInMemo { got: u32 },
    /// What was used again makes the lines longer than the pickle.
    Multiplied { limit: usize },
    /// A second dict, or a second list.
    SecondContainer { opcode: Opcode },
    /// An instruction that does not find what it works on.
    Misplaced { opcode: Opcode },
    /// A key that is none of the three.
    UnknownKey,
    /// A key for the second time.
    DuplicateKey { key: Key },
    /// A value that its key does not have.
    WrongType { key: Key },
    /// No such key.
    MissingKey { key: Key },
    /// Bytes behind the end.
    TrailingBytes { count: usize },
}

impl Key {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Key::ProtocolNum => "protocol_num",
            Key::Username => "username",
            Key::Message => "message",
        }
    }
}

impl Opcode {
    /// As Python's `pickletools` calls it; `None` for a byte that is no instruction in protocols 0 to 5.
    pub fn name(self) -> Option<&'static str> {
        let found = opcode::NAMES.iter().find(|(code, _)| *code == self.0);
        found.map(|(_, name)| *name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown opcode 0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opcode({self})")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NoProtocol => write!(f, "no pickle of protocol 2 or later"),
            Violation::UnknownProtocol { got } => write!(f, "pickle protocol {got}"),
            Violation::Forbidden { opcode, at } => write!(f, "{opcode} at byte {at}"),
            Violation::Truncated => write!(f, "the pickle ends early"),
            Violation::FrameBroken { at } => write!(f, "a frame is broken at byte {at}"),
            Violation::LengthOverInput { got, left } => {
                write!(f, "a length of {got} where {left} bytes are left")
            }
            Violation::NotUtf8 => write!(f, "a string is not UTF-8"),
            Violation::NumberTooLong { bytes } => write!(f, "a number of {bytes} bytes"),
            Violation::TooDeep { limit } => write!(f, "nested deeper than {limit}"),
            Violation::TooManyItems { limit } => write!(f, "more than {limit} items"),
            Violation::MemoFull { limit } => write!(f, "more than {limit} memo entries"),
            Violation::MemoNotDense { got, next } => {
                write!(f, "memo entry {got}, the next is {next}")
            }
            Violation::NotInMemo { got } => write!(f, "no string in memo entry {got}"),
            Violation::Multiplied { limit } => {
                write!(f, "lines of more than the {limit} bytes that came")
            }
            Violation::SecondContainer { opcode } => write!(f, "a second {opcode}"),
            Violation::Misplaced { opcode } => write!(f, "{opcode} has nothing to work on"),
            Violation::UnknownKey => write!(f, "an unknown key"),
            Violation::DuplicateKey { key } => write!(f, "{key} twice"),
            Violation::WrongType { key } => write!(f, "{key} is of the wrong type"),
            Violation::MissingKey { key } => write!(f, "{key} is missing"),
            Violation::TrailingBytes { count } => write!(f, "{count} bytes behind the end"),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests;
