//! Owns the words between a server session of any protocol and the server that drives it: one trait for
//! streams, one for datagrams.
//! Knows no protocol and no socket.

use std::fmt;

use super::{Datagrams, Secret};
use crate::chat::{Contact, History, Refusal, Request, Roster, Said};

/// What a session made of the bytes at the front of its input.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Not a whole frame; see [`Decoded::NeedMore`](super::Decoded::NeedMore).
    NeedMore { needed: usize },
    /// A frame of `used` bytes, and what it asks for, if anything.
    Frame {
        used: usize,
        request: Option<Request<'a>>,
    },
}

/// How long a peer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as it likes.
    ForEver,
    /// As long as the driver gives for that, from now, whatever it says meanwhile that does not change the answer.
    Limited(Deadline),
}

/// What a peer has to be done with in time. How much time that is, the driver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Its first words, where a person types before the program speaks.
    FirstWords,
    /// The name that a person is asked for.
    Name,
    /// Its first whole frame, where the program knows all of it before it connects.
    FirstFrame,
    /// Another try at coming in.
    Joining,
    /// The rest of a frame that it began.
    Frame,
}

/// What was not there in time.
impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deadline::FirstWords => "nothing sent",
            Deadline::Name => "no name sent",
            Deadline::FirstFrame => "no whole frame",
            Deadline::Joining => "not registered",
            Deadline::Frame => "a frame begun and not finished",
        })
    }
}

/// What somebody finds who is let in.
#[derive(Clone, Copy)]
pub struct Welcome<'a> {
    /// What was said before, oldest first.
    pub history: &'a History,
    /// Who is in, the newcomer too unless its name is only kept for it.
    pub members: &'a dyn Roster,
    /// What will prove that it is the same person, where the protocol hands that out: drawn for it alone.
    pub secret: Secret,
}

impl fmt::Debug for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome").finish_non_exhaustive()
    }
}

/// The server half of a stream protocol: one peer's conversation, no more.
///
/// Driving it: give it what arrived by [`handle_bytes`](ServerSession::handle_bytes), frame by frame; carry
/// out the request; answer an `Enter` or `Reserve` with [`handle_verdict`](ServerSession::handle_verdict) before the
/// next bytes. After a violation the session answers nothing more: tell the peer
/// [`farewell`](ServerSession::farewell) and close.
pub trait ServerSession {
    /// What the peer broke, by name.
    type Violation: fmt::Display;

    /// Takes at most one frame from the front of `input`. Appends to `out` what the peer is told
    /// whatever the hub thinks of it: an error that does not end the conversation.
    fn handle_bytes<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<'a>, Self::Violation>;

    /// The hub has let the peer in, or not. Appends what the peer is told. The answer says whether the
    /// connection stays.
    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict;

    /// The peer said something faster than it may, and it went nowhere. Appends what it is told, where the
    /// protocol has a way.
    fn handle_too_fast(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Appends what the peer is told of its violation, where the protocol has a way.
    fn farewell(violation: &Self::Violation, out: &mut Vec<u8>);

    /// How long the peer may take from here, with `partial` bytes of the next frame there already.
    fn patience(&self, partial: usize) -> Patience;
}

/// What becomes of the conversation after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterVerdict {
    /// It goes on.
    Stay,
    /// It is over once everything is sent.
    Close,
}

/// What everybody who is let in is sent alike after its own welcome: the members' list of a protocol that has one.
/// Whoever drives the sessions keeps it once for all of them.
#[derive(Clone, Copy)]
pub struct RollCall {
    /// What it begins with.
    pub begin: &'static [u8],
    /// Appends one member; the newcomer is one of them.
    pub encode: fn(&str, Contact, &mut Vec<u8>),
    /// What it ends with.
    pub end: &'static [u8],
}

impl fmt::Debug for RollCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RollCall").finish_non_exhaustive()
    }
}

/// What became of a request that came in a datagram.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// To `Enter`, `Authenticate` and `Appear`: in.
    Entered(Welcome<'a>),
    /// To the same: not let in, and why.
    Refused(Refusal),
    /// To `FindAccount`.
    Account { exists: bool },
    /// To `Members`.
    Members(&'a dyn Roster),
    /// To `Say` and `Direct`.
    Said(Said),
    /// To `Leave`: the name is free. The session is over, whatever it says.
    Gone,
}

impl fmt::Debug for dyn Roster + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roster")
    }
}

/// A datagram that is not answered, only counted; and why, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub kind: DropKind,
    pub why: &'static str,
}

/// What is wrong with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    /// It is none of the protocol.
    Malformed,
    /// It is one, but not now.
    OutOfTurn,
    /// Its sender was answered a moment ago.
    TooSoon,
    /// Who it says it is from, it is not.
    Forged,
}

impl Dropped {
    /// None of the protocol.
    pub const fn malformed(why: &'static str) -> Dropped {
        let kind = DropKind::Malformed;
        Dropped { kind, why }
    }

    /// One that has no place there.
    pub const fn out_of_turn(why: &'static str) -> Dropped {
        let kind = DropKind::OutOfTurn;
        Dropped { kind, why }
    }

    /// One whose sender was answered a moment ago.
    pub const fn too_soon(why: &'static str) -> Dropped {
        let kind = DropKind::TooSoon;
        Dropped { kind, why }
    }

    /// One from somebody else than it says.
    pub const fn forged(why: &'static str) -> Dropped {
        let kind = DropKind::Forged;
        Dropped { kind, why }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

/// The server half of a datagram protocol: one peer's conversation, no more.
///
/// A peer is known by its source address, or by a secret that its datagrams carry. A datagram from nobody
/// known is given to a fresh session, which is kept only if it asks to be let in; so a stranger costs nothing.
///
/// Driving it: one datagram by [`handle_datagram`](DatagramSession::handle_datagram), then what it appended to `out` is
/// sent to where the datagram came from and the request is carried out; every request is answered by
/// [`handle_answer`](DatagramSession::handle_answer) (`KeepAlive` is not), which appends to `out` likewise. An
/// `Authenticate` is answered later; until then more datagrams may come.
pub trait DatagramSession {
    /// Takes one datagram. What it asks for is carried out before the next one.
    fn handle_datagram<'a>(
        &mut self,
        datagram: &'a [u8],
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped>;

    /// Takes what became of the request.
    fn handle_answer(&mut self, answer: Answer<'_>, out: &mut Datagrams) -> AfterVerdict;

    /// Whether the peer has shown that it receives at its address (RFC 9000, 8.1). One that has not is
    /// sent at most three times the bytes that it sent. Always true where the protocol has no proof and other
    /// limits stand for it.
    fn is_proven(&self) -> bool;
}
