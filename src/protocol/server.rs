//! Owns the words between a server session of any stream protocol and the server that drives it.
//! Knows no protocol and no socket.

use std::fmt;
use std::time::Duration;

use crate::chat::{History, Refusal, Request};

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
    /// This long from now, whatever it says meanwhile that does not change the answer.
    Limited { why: &'static str, time: Duration },
}

/// What somebody finds who is let in.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// What was said before, oldest first.
    pub history: &'a History,
}

/// The server half of a stream protocol: one peer's conversation, no more.
///
/// Driving it: give it what arrived by [`handle_bytes`](ServerSession::handle_bytes), frame by frame; carry
/// out the request; answer an `Enter` with [`handle_verdict`](ServerSession::handle_verdict) before the
/// next bytes. After a violation the session answers nothing more: tell the peer
/// [`farewell`](ServerSession::farewell) and close.
pub trait ServerSession {
    /// What the peer broke, by name.
    type Violation: fmt::Display;

    /// Takes at most one frame from the front of `input`.
    fn handle_bytes<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Self::Violation>;

    /// The hub has let the peer in, or not. Appends what the peer is told. After a refusal the
    /// answer says whether the connection stays.
    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict;

    /// Appends what the peer is told of its violation, where the protocol has a way.
    fn farewell(violation: &Self::Violation, out: &mut Vec<u8>);

    /// How long the peer may take from here, with `partial` bytes of the next frame there already.
    fn patience(&self, partial: usize) -> Patience;
}

/// What becomes of the connection after a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterVerdict {
    /// It goes on.
    Stay,
    /// It is closed once everything is sent.
    Close,
}
