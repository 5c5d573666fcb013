//! Owns one connection: its stream, its session, its place in a room, and what it is due.
//! Knows nothing of the other connections.

use std::fmt;
use std::io;

use super::address::PeerAddress;
use super::limits::Bucket;
use crate::chat::{MemberId, Refusal, RoomId};
use crate::fanout::{Feed, Log, SlowConsumer};
use crate::protocol::Deadline;
use crate::protocol::registry::{Protocol, Session, Violation};
use crate::reactor::{Stream, TimerId};

/// Everything about one connection. There are thousands of these and most are idle, so what only a
/// busy one needs is boxed and given back; what the fan-out touches stands first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Connection<S> {
    pub(super) feed: Feed,
    pub(super) stream: S,
    pub(super) state: State,
    /// The last send was refused: wait for the writable edge.
    pub(super) blocked: bool,
    /// It stands in the list of those to be sent to.
    pub(super) in_pending: bool,
    /// Its audience knows that it is behind.
    pub(super) behind: bool,
    /// It stands in the list of those that are watched for stalling.
    pub(super) lagging: bool,
    /// The kernel has bytes for us that we have not read.
    pub(super) readable: bool,
    /// The kernel said that the peer has ended: a short read is not the last.
    pub(super) read_closed: bool,
    /// It stands in the list of those to be read.
    pub(super) in_ready: bool,
    /// Which of the server's houses it belongs to.
    house: u8,
    pub(super) protocol: Protocol,
    // In an order that leaves no holes.
    pub(super) peer: PeerAddress,
    /// What happens if the peer takes too long.
    pub(super) deadline: Option<TimerId>,
    pub(super) rate: Bucket,
    pub(super) session: Session,
    pub(super) place: Place,
    /// The bytes of an unfinished frame.
    pub(super) carry: Option<Box<Carry>>,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In conversation.
    Open,
    /// Nothing more becomes due; what is due goes out. What the peer says is not heard; it may have
    /// said all it will.
    Closing { peer_ended: bool },
    /// Everything is out and our half is ended; the peer's half is drained.
    Lingering,
    /// Nothing can be done for it; it is let go at the end of the turn.
    Dead,
}

/// Where a connection hears from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In no room yet.
    Nowhere,
    /// A member, with its seat in the audience.
    In {
        room: RoomId,
        id: MemberId,
        seat: u32,
    },
    /// Not a member any more, but there may be something due from before.
    Leaving { room: RoomId },
}

/// The beginning of a frame whose rest has not come.
#[derive(Debug)]
pub(super) struct Carry {
    pub(super) bytes: Vec<u8>,
    /// Until there are as many, the session need not be asked.
    pub(super) needed: usize,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum CloseReason {
    /// The peer ended its half.
    Left,
    /// The peer said that it goes.
    Asked,
    /// It has what it asked for, and that was all.
    Answered,
    /// It was not let in.
    Refused(Refusal),
    /// It broke a rule of its protocol.
    Violation(Violation),
    /// It took too long.
    TimedOut(Deadline),
    /// It does not read what it is due.
    Slow(SlowConsumer),
    /// It did not take what was due in the time it had.
    ClosedLate,
    /// The connection died.
    Lost(io::Error),
    /// It was put out: `kicked` or `banned`, and for what.
    Kicked { why: Box<str> },
    /// We are going.
    Stopping,
}

/// The bytes of a log from an offset to its end, while they are offered to one member after the other; and how many bytes
/// the kernel took. That costs those nothing who take all of it, as almost all do: they are counted by how many others
/// there are.
#[derive(Debug)]
pub(super) struct Tail<'a> {
    from: u64,
    bytes: &'a [u8],
    /// How many members were left to be offered something when it was these bytes for the first time, and how many of those
    /// since did not take just these.
    left: usize,
    others: usize,
    /// What was taken of other bytes before, and of what these others were offered.
    sent: u64,
}

impl Tail<'_> {
    /// That of nobody: there is no such offset.
    pub(super) const NONE: Tail<'static> = Tail {
        from: u64::MAX,
        bytes: &[],
        left: 0,
        others: 0,
        sent: 0,
    };

    /// One of the members was not offered anything.
    #[inline]
    pub(super) fn pass_over(&mut self) {
        self.others += 1;
    }

    /// How many bytes the kernel took, once `left` members are left.
    pub(super) fn sent(&self, left: usize) -> u64 {
        let whole = self.left.saturating_sub(left + self.others);
        self.sent + (whole * self.bytes.len()) as u64
    }
}

impl<'a> Tail<'a> {
    /// Other bytes from now on, when there are `left` members, the one among them that needs them.
    #[cold]
    fn turn(&mut self, log: &'a Log, from: u64, left: usize) {
        *self = Tail {
            from,
            bytes: log.slice(from, log.end()),
            left,
            others: 0,
            sent: self.sent(left),
        };
    }
}

/// What came of offering a connection what it is due.
#[derive(Debug)]
pub(super) enum Offered {
    /// It has everything.
    Done,
    /// It took all that one write offers, and there is more.
    More,
    /// The kernel took less than was offered.
    Refused,
    /// The connection is dead.
    Lost(io::Error),
}

impl<S> Connection<S> {
    /// Which of the server's houses it belongs to.
    pub(super) fn house(&self) -> usize {
        usize::from(self.house)
    }
}

impl<S: Stream> Connection<S> {
    pub(super) fn new(
        stream: S,
        session: Session,
        peer: PeerAddress,
        protocol: Protocol,
        house: usize,
    ) -> Connection<S> {
        Connection {
            feed: Feed::default(),
            stream,
            state: State::Open,
            blocked: false,
            in_pending: false,
            behind: false,
            lagging: false,
            readable: false,
            read_closed: false,
            in_ready: false,
            house: u8::try_from(house).expect("invariant: a house per protocol at the most"),
            protocol,
            session,
            place: Place::Nowhere,
            carry: None,
            deadline: None,
            peer,
            rate: Bucket::default(),
        }
    }

    /// One write for all that is due; what it came to for the one before is `news`, and almost always the same here.
    /// `left` are those who are to be offered news after this one.
    #[inline]
    pub(super) fn offer_news<'a>(
        &mut self,
        log: &'a Log,
        news: &mut Tail<'a>,
        left: impl ExactSizeIterator,
    ) -> Offered {
        let Some(cursor) = self.feed.cursor() else {
            news.others += 1;
            return self.offer(log, &mut news.sent);
        };
        if cursor != news.from {
            news.turn(log, cursor, left.len() + 1);
        }
        if news.bytes.is_empty() {
            return Offered::Done;
        }
        match self.stream.send(news.bytes) {
            Ok(sent) if sent == news.bytes.len() => {
                self.feed.reach_end(log);
                Offered::Done
            }
            result => {
                news.others += 1;
                self.note_sent(log, news.bytes.len(), result, &mut news.sent)
            }
        }
    }

    /// One write for all that is due. Adds what was taken of it to `sent_bytes`.
    pub(super) fn offer(&mut self, log: &Log, sent_bytes: &mut u64) -> Offered {
        let (offered, result) = if let Some(plain) = self.feed.plain(log) {
            (plain.len(), self.stream.send(plain))
        } else {
            let pieces = self.feed.pieces(log);
            let result = match pieces.slices() {
                [] => Ok(0),
                [one] => self.stream.send(one),
                many => self.stream.send_vectored(many),
            };
            (pieces.bytes(), result)
        };
        self.note_sent(log, offered, result, sent_bytes)
    }

    fn note_sent(
        &mut self,
        log: &Log,
        offered: usize,
        result: io::Result<usize>,
        sent_bytes: &mut u64,
    ) -> Offered {
        match result {
            Ok(sent) => {
                *sent_bytes += sent as u64;
                self.feed.advance(log, sent);
                if sent < offered {
                    self.blocked = true;
                    Offered::Refused
                } else if self.feed.is_done(log) {
                    Offered::Done
                } else {
                    Offered::More
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Offered::Refused
            }
            Err(error) => Offered::Lost(error),
        }
    }

    /// Whether it takes what it is due, but for `unsent_bytes` at the most. What it was not offered yet, notices that
    /// wait among it, is not its fault.
    pub(super) fn listens(&self, log: &Log, unsent_bytes: usize) -> bool {
        !self.lagging || self.feed.unsent(log) <= unsent_bytes
    }

    /// How many bytes of an unfinished frame there are.
    pub(super) fn partial(&self) -> usize {
        self.carry.as_ref().map_or(0, |carry| carry.bytes.len())
    }

    /// Whether it is in a room.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.place, Place::In { .. })
    }

    /// Whose log it hears, if any.
    pub(super) fn room(&self) -> Option<RoomId> {
        match self.place {
            Place::Nowhere => None,
            Place::In { room, .. } | Place::Leaving { room } => Some(room),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Left | CloseReason::Asked => write!(f, "left"),
            CloseReason::Answered => write!(f, "answered"),
            CloseReason::Refused(refusal) => write!(f, "refused: {refusal}"),
            CloseReason::Violation(violation) => write!(f, "violation: {violation}"),
            CloseReason::TimedOut(deadline) => write!(f, "timed out: {deadline}"),
            CloseReason::Slow(slow) => write!(f, "slow consumer: {slow}"),
            CloseReason::ClosedLate => write!(f, "did not take what was due while closing"),
            CloseReason::Lost(error) => write!(f, "lost: {error}"),
            CloseReason::Kicked { why } => write!(f, "{why}"),
            CloseReason::Stopping => write!(f, "the server is stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // What 10,000 idle members cost is this, the slab's share, a name and its index.
        let size = size_of::<Connection<mio::net::TcpStream>>();
        // A stream of mio's knows its poll where assertions are on.
        let most = if cfg!(debug_assertions) { 112 } else { 96 };
        assert!(size <= most, "a connection takes {size} bytes");
    }
}
