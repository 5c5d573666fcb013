//! Owns what a run of the load generator is to do. Knows not how it is done.

use std::time::Duration;

/// One run: members come in, some of them talk at a pace for some time, all of them listen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// All that are in the room, senders among them. At least one, or two where senders do not hear themselves.
    pub members: usize,
    /// How many of them take turns at talking. Between one and `members`.
    pub senders: usize,
    /// How much is said.
    pub pace: Pace,
    /// The bytes of one message's text. At least [`Plan::LEAST_PAYLOAD`].
    pub payload: usize,
    /// How long messages are sent; what is still under way then is waited for.
    pub duration: Duration,
    /// How long messages are sent before anything is counted.
    pub warm_up: Duration,
    /// Members that may be on their way in at one time.
    pub logins_in_flight: usize,
    /// The server's process, where its processor time and memory are to be measured.
    pub server: Option<u32>,
}

impl Plan {
    /// The bytes by which a message is known again: who sent it, which of theirs it is, when it was to be sent.
    pub const LEAST_PAYLOAD: usize = 32;
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as it goes, with at most that many messages in flight: one is until everybody has it.
    Window(u32),
    /// That many messages a second, by all senders together, come what may: lateness counts from when a message
    /// should have been sent.
    Rate(f64),
}
