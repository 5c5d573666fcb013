//! Owns what the log is told of connections: how loudly, and how often at the most, since peers can make
//! each of these happen as often as they like.

use std::fmt;
use std::time::Instant;

use log::Level;

use super::connection::CloseReason;
use crate::chat::Refusal;
use crate::journal::Limited;

/// One limit per class, so that a flood of one hides no other.
#[derive(Debug)]
pub(super) struct Notes {
    classes: [Limited; 9],
}

/// What peers can make happen, in the order of the classes.
#[derive(Clone, Copy, Debug)]
enum Class {
    TurnedAway,
    RoomRefused,
    OverRate,
    Violation,
    TimedOut,
    Slow,
    ClosedLate,
    Dropped,
    NotSent,
}

impl Notes {
    pub(super) fn new() -> Notes {
        let names = [
            "members turned away",
            "rooms refused",
            "messages over their rate",
            "violations",
            "connections timed out",
            "slow consumers",
            "connections closed late",
            "datagrams dropped",
            "turns with datagrams not sent",
        ];
        Notes {
            classes: names.map(Limited::new),
        }
    }

    /// A connection or a guest that was not taken in.
    pub(super) fn turned_away(&mut self, now: Instant, who: fmt::Arguments<'_>) {
        let what = format_args!("{who}: turned away, its address has as many members as it may");
        self.log(Class::TurnedAway, now, Level::Warn, what);
    }

    /// A room that was not opened.
    pub(super) fn room_refused(&mut self, now: Instant, who: fmt::Arguments<'_>, refusal: Refusal) {
        let what = format_args!("{who}: no room opened, {refusal}");
        self.log(Class::RoomRefused, now, Level::Warn, what);
    }

    /// A message that was dropped.
    pub(super) fn over_rate(&mut self, now: Instant, who: fmt::Arguments<'_>) {
        let what = format_args!("{who}: speaks too fast, a message is dropped");
        self.log(Class::OverRate, now, Level::Info, what);
    }

    /// A datagram that is not answered.
    pub(super) fn dropped(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::Dropped, now, Level::Debug, what);
    }

    /// Datagrams that were due and not sent.
    pub(super) fn not_sent(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::NotSent, now, Level::Info, what);
    }

    /// The end of a connection: what we did to it is told loudly, what it did itself quietly.
    pub(super) fn end(&mut self, now: Instant, who: fmt::Arguments<'_>, reason: &CloseReason) {
        let (class, level) = match reason {
            CloseReason::Violation(_) => (Class::Violation, Level::Info),
            CloseReason::TimedOut { .. } => (Class::TimedOut, Level::Info),
            CloseReason::Slow(_) => (Class::Slow, Level::Warn),
            CloseReason::ClosedLate => (Class::ClosedLate, Level::Info),
            CloseReason::Left
            | CloseReason::Asked
            | CloseReason::Answered
            | CloseReason::Refused(_)
            | CloseReason::Lost(_)
            | CloseReason::Stopping => {
                log::debug!("{who}: {reason}");
                return;
            }
        };
        self.log(class, now, level, format_args!("{who}: {reason}"));
    }

    /// Whether something was suppressed that is not told yet.
    pub(super) fn owes(&self) -> bool {
        self.classes.iter().any(Limited::owes)
    }

    /// Tells what was suppressed, once it is time.
    pub(super) fn catch_up(&mut self, now: Instant) {
        self.classes
            .iter_mut()
            .for_each(|class| class.catch_up(now));
    }

    fn log(&mut self, class: Class, now: Instant, level: Level, what: fmt::Arguments<'_>) {
        if let Some(class) = self.classes.get_mut(class as usize) {
            class.log(now, level, what);
        }
    }
}
