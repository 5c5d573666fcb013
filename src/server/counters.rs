//! Owns the numbers that tell how the server fares.

use std::fmt;

/// What happened since the start. Every limit that was reached stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections taken in.
    pub accepted: u64,
    /// Connections turned away: their address had as many as it may.
    pub turned_away: u64,
    /// Times that a connection could not be taken in for want of descriptors or memory.
    pub shed: u64,
    /// Joins refused, of whatever reason.
    pub refused: u64,
    /// Joins.
    pub joined: u64,
    /// Messages that rooms and members were told.
    pub messages: u64,
    /// Messages dropped: their sender was over its rate.
    pub over_rate: u64,
    /// Connections ended: a rule of their protocol was broken.
    pub violations: u64,
    /// Connections ended: they took too long for a frame.
    pub timed_out: u64,
    /// Connections cut: slow consumers.
    pub slow: u64,
    /// Connections cut: closing, and what was due was not taken in time.
    pub closed_late: u64,
    /// Connections that died.
    pub lost: u64,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counters {
            accepted,
            turned_away,
            shed,
            refused,
            joined,
            messages,
            over_rate,
            violations,
            timed_out,
            slow,
            closed_late,
            lost,
        } = self;
        write!(
            f,
            "accepted={accepted} turned_away={turned_away} shed={shed} refused={refused} joined={joined} \
             messages={messages} over_rate={over_rate} violations={violations} \
             timed_out={timed_out} slow={slow} closed_late={closed_late} lost={lost}"
        )
    }
}
