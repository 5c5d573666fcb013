//! Owns the words between a client session of any protocol and the person (or pipe) that uses it.
//! Knows no protocol, no socket and no terminal.

use std::fmt;

use crate::chat::TimeOfDay;

/// What a person asks of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Say this to the room. Not empty.
    Say(&'a str),
    /// Say this to one member.
    Direct { to: &'a str, text: &'a str },
    /// Who is here?
    Who,
    /// Leave politely.
    Leave,
}

/// What a session tells the person. Texts are as they came: whoever shows them makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// We are in.
    Joined { name: String, room: String },
    /// Somebody said something to the room (we ourselves, where the protocol echoes).
    Message {
        from: String,
        text: String,
        time: Option<String>,
        /// From before we came.
        history: bool,
    },
    /// Somebody said something to us alone.
    Direct { from: String, text: String },
    /// Somebody came.
    Arrived { name: String },
    /// Somebody went.
    Left { name: String },
    /// Who is here.
    Members { names: Vec<String> },
    /// Whatever else the server says.
    Notice { text: String },
    /// The server would not have us (exit status 3); the session is over.
    Refused { reason: String },
}

/// The protocol has nothing for this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// The client half of a stream protocol.
///
/// Driving it: [`start`](ClientSession::start) once when connected; then, for whatever comes, one input
/// and all that it put into the output arguments, before the next input.
pub trait ClientSession {
    /// What the server broke, by name.
    type Violation: fmt::Display;

    /// The first bytes to send.
    fn start(&mut self, out: &mut Vec<u8>);

    /// Takes all whole frames from the front of `input` and returns how many bytes that was; the
    /// rest is given again with more behind it.
    fn handle_bytes(
        &mut self,
        input: &[u8],
        told: &mut Vec<Told>,
    ) -> Result<usize, Self::Violation>;

    /// Puts a command's bytes into `out`. `now` is the local time.
    fn handle_command(
        &mut self,
        command: Command<'_>,
        now: TimeOfDay,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Whether the server let us in: before that, commands wait.
    fn is_joined(&self) -> bool;

    /// How many of our own messages the server has not confirmed yet, where the protocol confirms them.
    fn unanswered(&self) -> usize;
}
