//! Owns the numbers that tell how the server fares.

use std::fmt;

/// Counters by their names and what they count: a struct with a field for each, and a list of them all.
macro_rules! counters {
    ($($(#[$what:meta])+ $name:ident,)+) => {
        /// What happened since the start. Every limit that was reached stands here.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$what])+ pub $name: u64,)+
        }

        impl Counters {
            /// Each with its name, in the order of the log's last line.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Connections taken in.
    accepted,
    /// Connections and guests turned away: their address had as many as it may.
    turned_away,
    /// Times that a connection could not be taken in for want of descriptors or memory.
    shed,
    /// Joins refused, of whatever reason.
    refused,
    /// Of those, rooms not opened: there were as many as there may be, or as many of that address.
    rooms_refused,
    /// Joins.
    joined,
    /// Messages that rooms and members were told.
    messages,
    /// Messages dropped: their sender was over its rate.
    over_rate,
    /// Messages that bore the name of somebody other than their sender: not obeyed.
    forged,
    /// Connections ended: a rule of their protocol was broken.
    violations,
    /// Connections ended: they took too long for a frame.
    timed_out,
    /// Connections cut: slow consumers.
    slow,
    /// Connections cut: all that waits to be sent was over its budget, and they kept the most of it.
    over_budget,
    /// Connections cut: closing, and what was due was not taken in time.
    closed_late,
    /// Connections that died.
    lost,
    /// Datagrams received.
    datagrams,
    /// Datagrams that made no sense, or that nobody could have sent: not answered.
    dropped,
    /// Datagrams not looked at: their network sends too many.
    floods,
    /// Datagrams not sent: their address had not shown that it receives there, or was sent enough already.
    withheld,
    /// Messages not sent to all of their room, or to a guest: too much waited on its port.
    overflowed,
    /// Datagrams sent.
    datagrams_sent,
    /// Datagrams that the kernel would not send.
    failed_sends,
    /// Errors told by a datagram port.
    failed_receives,
    /// Guests let go: not heard of for long.
    silent,
    /// Guests let go: nobody receives at their address.
    unreachable,
    /// Logins denied.
    denied,
    /// Accounts made.
    registered,
    /// Names free again: who they were kept for never came.
    never_came,
}

/// As `name=number` for each, with spaces between.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, count)) in self.all().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{name}={count}")?;
        }
        Ok(())
    }
}
