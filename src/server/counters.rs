//! Owns the numbers that tell how the server fares.

use std::fmt;
use std::io::{self, ErrorKind};

use super::connection::CloseReason;
use super::guest::Departure;
use super::order::Bar;
use super::receiving::DropReason;
use crate::chat::{Refusal, Said};
use crate::fanout::SlowConsumer;
use crate::protocol::registry::ViolationKind;
use crate::protocol::{Deadline, DropKind, Dropped};
use crate::reactor::SendFailure;

/// Counters by their names and what they count: a struct with a field for each, and a list of them all.
macro_rules! counters {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// What happened since the start. Every limit that was reached stands here.
        ///
        /// A connection that was taken in ends once, for one reason: see [`ended`](Counters::ended).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $what])+ pub $name: u64,)+
        }

        impl Counters {
            /// Each with its name, whether it happened or not.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }

            /// Each name with what is counted, in the order of [`all`](Counters::all).
            pub fn told() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), concat!($($what),+).trim_ascii()),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Connections taken in.
    accepted,
    /// Connections and guests turned away: their address had as many as it may.
    turned_away,
    /// Connections turned away: their address is banned.
    banned,
    /// Connections turned away: nobody is let in from their address.
    not_allowed,
    /// Guests turned away: as many were in as may be whose protocol has no proof of their address.
    unproven_away,
    /// Times that a connection could not be taken in for want of descriptors or memory.
    shed,
    /// Joins refused, of whatever reason.
    refused,
    /// Of these: the name breaks the rules for names.
    refused_bad_name,
    /// Of these: the name is somebody else's.
    refused_name_taken,
    /// Of these: that room was open already.
    refused_room_exists,
    /// Of these: nobody has opened that room.
    refused_no_such_room,
    /// Of these: the room had as many members as it may.
    refused_room_full,
    /// Of these: there were as many rooms as there may be.
    refused_too_many_rooms,
    /// Of these: their address had opened as many rooms as it may.
    refused_rooms_of_address,
    /// Of these, and logins denied: a wrong password, or one whose account is in or cannot be made.
    denied,
    /// Of these: after too many wrong passwords, or registrations, too soon.
    refused_try_again,
    /// Of these: too many passwords waited to be looked at, or the memory failed.
    refused_busy,
    /// Of these: registrations that the disk did not take.
    refused_not_saved,
    /// Of these: their address had as many members, or names kept for it, as it may.
    refused_from_address,
    /// Of these: nobody is let in any more, until the server stops.
    refused_draining,
    /// Joins.
    joined,
    /// Messages that rooms and members were told.
    messages,
    /// Deliveries: to how many others each message went, all together.
    deliveries,
    /// Bytes read from connections.
    received_tcp_bytes,
    /// Bytes that the kernel took from us for connections.
    sent_tcp_bytes,
    /// Bytes of datagrams received, whatever became of them.
    received_udp_bytes,
    /// Bytes of datagrams sent.
    sent_udp_bytes,
    /// Messages dropped: their sender was over its rate.
    over_rate,
    /// Messages that bore the name of somebody other than their sender: not obeyed.
    forged,
    /// Connections ended: they went by themselves.
    left,
    /// Connections ended: they had what they had asked for.
    answered,
    /// Connections ended: they were not let in.
    not_let_in,
    /// Connections ended: a rule of their protocol was broken.
    violations,
    /// Of these: something longer than it may be.
    violations_over_limit,
    /// Of these: bytes that are no UTF-8.
    violations_not_utf8,
    /// Of these: no frame of the protocol.
    violations_malformed,
    /// Of these: a frame that had no place there.
    violations_out_of_turn,
    /// Connections ended: they took too long.
    timed_out,
    /// Of these: for their first words.
    timed_out_first_words,
    /// Of these: for a name.
    timed_out_name,
    /// Of these: for the first frame.
    timed_out_first_frame,
    /// Of these: for another try at coming in.
    timed_out_joining,
    /// Of these: for the rest of a frame.
    timed_out_frame,
    /// Connections ended: slow consumers.
    slow,
    /// Of these: too far behind their room.
    slow_backlog,
    /// Of these: too much waited for them alone.
    slow_outbox,
    /// Of these: behind by more than a little for too long.
    slow_stalled,
    /// Of these: all that waits to be sent was over its budget, and they kept the most of it.
    slow_over_budget,
    /// Connections ended already, for whatever reason, that did not take what was still due and were cut.
    closed_late,
    /// Connections ended: they died.
    lost,
    /// Of these: reset by their peers.
    lost_reset,
    /// Of these: their peers were not heard of any more, or not to be reached.
    lost_unheard,
    /// Of these: anything else.
    lost_otherwise,
    /// Connections ended: put out.
    kicked,
    /// Connections ended, for the server stopped.
    stopped,
    /// Datagrams received.
    datagrams,
    /// Datagrams of a mesh, the same as one of our own broadcasts of the last minute.
    mesh_echoes,
    /// Datagrams that made no sense, or that nobody could have sent: not answered.
    dropped,
    /// Of these: their source is one of our own ports.
    dropped_own_port,
    /// Of these, and not looked at: their address is banned.
    dropped_banned,
    /// Of these, and not looked at: nobody is let in from their address.
    dropped_not_allowed,
    /// Of these, and not looked at: their network sends too many.
    floods,
    /// Of these: longer than any of the protocol.
    dropped_too_long,
    /// Of these: without a token.
    dropped_no_token,
    /// Of these: with a token that is not valid there.
    dropped_bad_token,
    /// Of these: their room had closed.
    dropped_room_closed,
    /// Of these: a mesh's, in a name that is somebody else's.
    dropped_name_taken,
    /// Of these: a mesh's, whose name was not let in.
    dropped_not_let_in,
    /// Of these: none of the protocol.
    dropped_malformed,
    /// Of these: one that had no place there.
    dropped_out_of_turn,
    /// Of these: asked again before it may be answered again.
    dropped_too_soon,
    /// Of these: who it says it is from, it is not.
    dropped_forged,
    /// Datagrams not sent: their address had not shown that it receives there, or was sent enough already.
    withheld,
    /// Messages not sent to all of their room, or to a guest: too much waited on its port.
    overflowed,
    /// Datagrams sent.
    datagrams_sent,
    /// Datagrams that the kernel would not send.
    failed_sends,
    /// Of these: one before had been answered that nobody is there.
    failed_sends_nobody,
    /// Of these: it had no memory.
    failed_sends_no_memory,
    /// Of these: too long for the way.
    failed_sends_too_long,
    /// Of these: there is no way, or it may not be gone.
    failed_sends_no_route,
    /// Of these: anything else.
    failed_sends_otherwise,
    /// Errors told by a datagram port.
    failed_receives,
    /// Guests that went by themselves.
    guests_left,
    /// Guests let go: not heard of for long.
    silent,
    /// Guests let go: nobody receives at their address.
    unreachable,
    /// Accounts made.
    registered,
    /// Passwords that could not be looked at or hashed, for want of memory.
    not_hashed,
    /// Times that the accounts could not be written.
    not_saved,
    /// Names free again: who they were kept for never came.
    never_came,
    /// Guests let go: their room closed.
    room_closed,
    /// Guests let go: put out.
    guests_kicked,
    /// Guests let go: their port closed.
    port_closed,
}

/// What has a reason counts for all of its kind and for that reason, here and nowhere else.
impl Counters {
    /// Connections that ended. Those that were accepted are these and those that are in conversation.
    pub fn ended(&self) -> u64 {
        let by_themselves = self.left + self.answered + self.lost;
        let by_us = self.not_let_in + self.violations + self.timed_out + self.slow;
        let by_us = by_us + self.kicked + self.stopped;
        by_themselves + by_us
    }

    pub(super) fn count_refusal(&mut self, refusal: Refusal) {
        self.refused += 1;
        *match refusal {
            Refusal::NotAName(_) => &mut self.refused_bad_name,
            Refusal::NameTaken => &mut self.refused_name_taken,
            Refusal::RoomExists => &mut self.refused_room_exists,
            Refusal::NoSuchRoom => &mut self.refused_no_such_room,
            Refusal::RoomFull { .. } => &mut self.refused_room_full,
            Refusal::TooManyRooms { .. } => &mut self.refused_too_many_rooms,
            Refusal::TooManyRoomsOfAddress { .. } => &mut self.refused_rooms_of_address,
            Refusal::Denied => &mut self.denied,
            Refusal::TryAgain { .. } => &mut self.refused_try_again,
            Refusal::Busy => &mut self.refused_busy,
            Refusal::NotSaved => &mut self.refused_not_saved,
            Refusal::TooManyFromAddress { .. } => &mut self.refused_from_address,
            Refusal::Draining => &mut self.refused_draining,
        } += 1;
    }

    /// A connection that was not taken in for where it comes from.
    pub(super) fn count_barred(&mut self, bar: Bar) {
        *match bar {
            Bar::Banned => &mut self.banned,
            Bar::NotAllowed => &mut self.not_allowed,
        } += 1;
    }

    /// What became of something said.
    pub(super) fn count_said(&mut self, said: Said) {
        if let Said::ToOthers(others) = said {
            self.messages += 1;
            self.deliveries += others as u64;
        }
    }

    /// How a connection ends. Why somebody was refused is counted when it is told.
    pub(super) fn count_end(&mut self, reason: &CloseReason) {
        *match reason {
            CloseReason::Left | CloseReason::Asked => &mut self.left,
            CloseReason::Answered => &mut self.answered,
            CloseReason::Refused(_) => &mut self.not_let_in,
            CloseReason::Violation(violation) => {
                self.violations += 1;
                match violation.kind() {
                    ViolationKind::OverLimit => &mut self.violations_over_limit,
                    ViolationKind::NotUtf8 => &mut self.violations_not_utf8,
                    ViolationKind::Malformed => &mut self.violations_malformed,
                    ViolationKind::OutOfTurn => &mut self.violations_out_of_turn,
                }
            }
            CloseReason::TimedOut(deadline) => {
                self.timed_out += 1;
                match deadline {
                    Deadline::FirstWords => &mut self.timed_out_first_words,
                    Deadline::Name => &mut self.timed_out_name,
                    Deadline::FirstFrame => &mut self.timed_out_first_frame,
                    Deadline::Joining => &mut self.timed_out_joining,
                    Deadline::Frame => &mut self.timed_out_frame,
                }
            }
            CloseReason::Slow(slow) => {
                self.slow += 1;
                match slow {
                    SlowConsumer::Backlog { .. } => &mut self.slow_backlog,
                    SlowConsumer::Outbox { .. } => &mut self.slow_outbox,
                    SlowConsumer::Stalled { .. } => &mut self.slow_stalled,
                    SlowConsumer::OverBudget { .. } => &mut self.slow_over_budget,
                }
            }
            CloseReason::ClosedLate => &mut self.closed_late,
            CloseReason::Lost(error) => {
                self.lost += 1;
                match error.kind() {
                    ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe => &mut self.lost_reset,
                    ErrorKind::TimedOut
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable => &mut self.lost_unheard,
                    _ => &mut self.lost_otherwise,
                }
            }
            CloseReason::Kicked { .. } => &mut self.kicked,
            CloseReason::Stopping => &mut self.stopped,
        } += 1;
    }

    /// Why a guest is let go. Who was refused is counted when it is told.
    pub(super) fn count_departure(&mut self, why: Departure) {
        *match why {
            Departure::Asked => &mut self.guests_left,
            Departure::Silent => &mut self.silent,
            Departure::Unreachable => &mut self.unreachable,
            Departure::NeverCame => &mut self.never_came,
            Departure::RoomClosed => &mut self.room_closed,
            Departure::Kicked => &mut self.guests_kicked,
            Departure::PortClosed => &mut self.port_closed,
            Departure::Refused => return,
        } += 1;
    }

    pub(super) fn count_dropped(&mut self, reason: DropReason) {
        self.dropped += 1;
        *match reason {
            DropReason::OwnPort => &mut self.dropped_own_port,
            DropReason::Barred(Bar::Banned) => &mut self.dropped_banned,
            DropReason::Barred(Bar::NotAllowed) => &mut self.dropped_not_allowed,
            DropReason::TooMany => &mut self.floods,
            DropReason::TooLong => &mut self.dropped_too_long,
            DropReason::NoToken => &mut self.dropped_no_token,
            DropReason::BadToken => &mut self.dropped_bad_token,
            DropReason::RoomClosed => &mut self.dropped_room_closed,
            DropReason::NameTaken => &mut self.dropped_name_taken,
            DropReason::NotLetIn => &mut self.dropped_not_let_in,
            DropReason::Session(Dropped { kind, .. }) => match kind {
                DropKind::Malformed => &mut self.dropped_malformed,
                DropKind::OutOfTurn => &mut self.dropped_out_of_turn,
                DropKind::TooSoon => &mut self.dropped_too_soon,
                DropKind::Forged => &mut self.dropped_forged,
            },
        } += 1;
    }

    /// The kernel would not send a datagram.
    pub(super) fn count_failed_send(&mut self, error: &io::Error) {
        self.failed_sends += 1;
        *match SendFailure::of(error) {
            SendFailure::NobodyThere => &mut self.failed_sends_nobody,
            SendFailure::NoMemory => &mut self.failed_sends_no_memory,
            SendFailure::TooLong => &mut self.failed_sends_too_long,
            SendFailure::NoRoute => &mut self.failed_sends_no_route,
            SendFailure::Other => &mut self.failed_sends_otherwise,
        } += 1;
    }
}

/// As `name=number` with spaces between, for each that is not zero.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for (name, count) in self.all().filter(|(_, count)| *count > 0) {
            write!(f, "{space}{name}={count}")?;
            space = " ";
        }
        match space {
            "" => f.write_str("nothing happened"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_what_happened_and_nothing_else() {
        let mut counters = Counters::default();
        assert_eq!(counters.to_string(), "nothing happened");
        counters.accepted = 3;
        counters.count_end(&CloseReason::TimedOut(Deadline::Frame));
        counters.count_refusal(Refusal::Busy);
        assert_eq!(
            counters.to_string(),
            "accepted=3 refused=1 refused_busy=1 timed_out=1 timed_out_frame=1"
        );
    }
}
