//! Owns the numbers that tell how the server fares.

use std::fmt;

/// What happened since the start. Every limit that was reached stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections taken in.
    pub accepted: u64,
    /// Connections and guests turned away: their address had as many as it may.
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
    /// Messages that bore the name of somebody other than their sender: not obeyed.
    pub forged: u64,
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
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams that made no sense, or that nobody could have sent: not answered.
    pub dropped: u64,
    /// Datagrams not looked at: their network sends too many.
    pub floods: u64,
    /// Datagrams not sent: their address had not shown that it receives there, or was sent enough already.
    pub withheld: u64,
    /// Messages not sent to all of their room, or to a guest: too much waited on its port.
    pub overflowed: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the kernel would not send.
    pub failed_sends: u64,
    /// Errors told by a datagram port.
    pub failed_receives: u64,
    /// Guests let go: not heard of for long.
    pub silent: u64,
    /// Guests let go: nobody receives at their address.
    pub unreachable: u64,
    /// Logins denied.
    pub denied: u64,
    /// Accounts made.
    pub registered: u64,
    /// Names free again: who they were kept for never came.
    pub never_came: u64,
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
            forged,
            violations,
            timed_out,
            slow,
            closed_late,
            lost,
            datagrams,
            dropped,
            floods,
            withheld,
            overflowed,
            datagrams_sent,
            failed_sends,
            failed_receives,
            silent,
            unreachable,
            denied,
            registered,
            never_came,
        } = self;
        write!(
            f,
            "accepted={accepted} turned_away={turned_away} shed={shed} refused={refused} joined={joined} \
             messages={messages} over_rate={over_rate} forged={forged} violations={violations} \
             timed_out={timed_out} slow={slow} closed_late={closed_late} lost={lost} datagrams={datagrams} dropped={dropped} floods={floods} withheld={withheld} overflowed={overflowed} \
             datagrams_sent={datagrams_sent} failed_sends={failed_sends} failed_receives={failed_receives} silent={silent} unreachable={unreachable} denied={denied} registered={registered} never_came={never_came}"
        )
    }
}
