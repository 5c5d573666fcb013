//! Owns what a run of the load generator came to. Knows not how it is shown.

use std::time::Duration;

use hdrhistogram::Histogram;

/// All that was measured in one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub logins: Logins,
    pub deliveries: Deliveries,
    /// How late each receipt was, and how late the last one of each message.
    pub lateness: Lateness,
    /// What the server spent, where its process is known.
    pub cost: Option<Cost>,
    /// The share of the measured time in which the generator did not wait for the kernel, or ask it in vain, from 0 to
    /// 1. Near one it may have been the bottleneck.
    pub busy: f64,
    /// Whether the generator, not the server, bounded the figures, as far as it can tell.
    ///
    /// With a window: it was busy for more than 0.95 of the time, and the server, if its process is known, used less
    /// than 0.9 of a processor. At a rate: it was busy for more than half of the time, and more than one message in a
    /// hundred, and at least ten, were made over five milliseconds late though the server took whatever was to be sent.
    pub is_bottleneck: bool,
    /// How long processors were wanted and not to be had while messages were sent and under way.
    pub waited: Waited,
}

/// How long threads that could run did not, since others ran: much of it (a hundredth of the time), and the machine was
/// not quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// All threads of the server together, where its process is known.
    pub server: Option<Duration>,
    /// The generator's thread.
    pub generator: Option<Duration>,
}

/// How the members came in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logins {
    /// Members that are in.
    pub members: usize,
    /// From the first one's coming to the last thing that any of them was sent.
    pub elapsed: Duration,
    /// The server's processor time in that time, where its process is known.
    pub cpu: Option<Duration>,
    /// What all members together were sent until the last was in and nothing more came.
    pub bytes: u64,
}

/// What was said and heard in the time that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deliveries {
    /// Messages sent.
    pub messages: u64,
    /// Messages that were due at a rate and were never sent: nobody who was to send them could, up to five seconds
    /// after the last was due. The server did not read, or had let all senders go.
    pub unsaid: u64,
    /// Receipts: one message to N members is N of them (or N - 1 where its sender does not hear it).
    pub received: u64,
    /// From the first message to the last receipt. At a rate it is at least the time in which messages were due.
    pub elapsed: Duration,
    /// Receipts that never came. Members that were cut should have had what was sent before that was known.
    pub lost: u64,
    /// Receipts beyond the first of one message by one member.
    pub doubled: u64,
    /// Receipts of a message later than one that its sender sent after it.
    pub disordered: u64,
    /// Members whom the server let go.
    pub cut: usize,
    /// What all members together received, in bytes.
    pub bytes: u64,
    /// Receipts per read of the generator's: how much was gathered on the way.
    pub per_read: f64,
}

/// How late things were, in nanoseconds from when a message was to be sent, exact to one in a thousand.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// Of each receipt.
    pub each: Histogram<u64>,
    /// Of the last receipt of each message, of those that everybody received who was there to the end.
    pub last: Histogram<u64>,
}

/// What the server spent. Memory is resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Its processor time, of all its threads, while messages were sent and under way.
    pub cpu: Duration,
    /// Before the first member came.
    pub memory_before: u64,
    /// With all members in, and quiet.
    pub memory_idle: u64,
    /// At its most while messages were sent, where the kernel lets us begin a new peak.
    pub memory_peak: Option<u64>,
}

/// How far a run is, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    pub stage: Stage,
    /// Members that are in.
    pub members: usize,
    /// Receipts so far.
    pub received: u64,
    /// Receipts a second, of late.
    pub rate: f64,
    /// How long this stage has lasted.
    pub elapsed: Duration,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    ComingIn,
    WarmingUp,
    Measuring,
    /// Nothing more is sent; what is under way is waited for.
    Finishing,
}
