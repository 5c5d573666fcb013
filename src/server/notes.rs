//! Owns what the log is told of connections: how loudly, and how often at the most, since peers can make
//! each of these happen as often as they like.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use log::Level;

use super::connection::CloseReason;
use super::order::Bar;
use super::receiving::DropReason;
use crate::chat::{Name, Refusal};
use crate::journal::{Limited, MAX_BYTES_PER_MINUTE};
use crate::protocol::DropKind;
use crate::store::HashError;

/// One limit per class, so that a flood of one hides no other.
#[derive(Debug)]
pub(super) struct Notes {
    classes: [Limited; CLASSES],
}

/// What peers can make happen, in the order of the classes.
#[derive(Clone, Copy, Debug)]
enum Class {
    TurnedAway,
    NoRoom,
    OverRate,
    Violation,
    TimedOut,
    GuestGone,
    Slow,
    ClosedLate,
    Dropped,
    Forged,
    NotSent,
    NotReceived,
    NotLetIn,
    Registered,
    NotHashed,
    NotSaved,
    NotAccepted,
    Barred,
    PutOut,
}

/// The module that ends connections.
const CLOSING: &str = "server::closing";

const CLASSES: usize = Class::PutOut as usize + 1;

// Whatever peers do, the log does not grow by more than 100 kB in a minute.
const _: () = assert!(CLASSES * MAX_BYTES_PER_MINUTE <= 100_000);

impl Notes {
    pub(super) fn new() -> Notes {
        let classes = const {
            [
                Limited::new("server::core", "members turned away"),
                Limited::new("server::hosting", "rooms not opened"),
                Limited::new("server::deciding", "messages over their rate"),
                Limited::new(CLOSING, "violations"),
                Limited::new(CLOSING, "connections timed out"),
                Limited::new("server::hosting", "guests silent or unreachable"),
                Limited::new(CLOSING, "slow consumers"),
                Limited::new(CLOSING, "connections closed late"),
                Limited::new("server::receiving", "datagrams dropped"),
                Limited::new("server::receiving", "datagrams forged, or with a bad token"),
                Limited::new("server::posting", "turns with datagrams not sent"),
                Limited::new("server::posting", "turns with datagrams not received"),
                Limited::new("server::login", "logins refused"),
                Limited::new("server::accounts", "accounts made"),
                Limited::new("server::login", "passwords not looked at"),
                Limited::new("server::accounts", "times that accounts were not saved"),
                Limited::new("server::core", "times that no connection was accepted"),
                Limited::new(
                    "server::core",
                    "connections and datagrams from where nobody is let in",
                ),
                Limited::new(CLOSING, "members put out"),
            ]
        };
        Notes { classes }
    }

    /// A connection or a guest that was not taken in.
    pub(super) fn turned_away(&mut self, now: Instant, who: fmt::Arguments<'_>) {
        let what = format_args!("{who}: turned away, its address has as many members as it may");
        self.log(Class::TurnedAway, now, Level::Warn, what);
    }

    /// A connection from where nobody is let in.
    pub(super) fn barred(&mut self, now: Instant, who: fmt::Arguments<'_>, bar: Bar) {
        let what = format_args!("{who}: not let in, {bar}");
        self.log(Class::Barred, now, Level::Info, what);
    }

    /// Somebody who was put out, and for what.
    pub(super) fn put_out(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::PutOut, now, Level::Info, what);
    }

    /// A guest that was not taken in: anybody may have sent what it asked with.
    pub(super) fn unproven_away(&mut self, now: Instant, who: fmt::Arguments<'_>, limit: usize) {
        let what =
            format_args!("{who}: turned away, {limit} from other machines are in, without proof");
        self.log(Class::TurnedAway, now, Level::Warn, what);
    }

    /// A room that was not opened.
    pub(super) fn room_refused(&mut self, now: Instant, who: fmt::Arguments<'_>, refusal: Refusal) {
        let what = format_args!("{who}: no room opened, {refusal}");
        self.log(Class::NoRoom, now, Level::Warn, what);
    }

    /// A message that was dropped.
    pub(super) fn over_rate(&mut self, now: Instant, who: fmt::Arguments<'_>) {
        let what = format_args!("{who}: speaks too fast, a message is dropped");
        self.log(Class::OverRate, now, Level::Info, what);
    }

    /// A datagram that is not answered.
    pub(super) fn dropped(&mut self, now: Instant, from: fmt::Arguments<'_>, why: DropReason) {
        // A network that repeats and reorders makes such of what good clients send.
        let routine = matches!(
            why,
            DropReason::Session(dropped)
                if matches!(dropped.kind, DropKind::OutOfTurn | DropKind::TooSoon)
        );
        let level = match routine {
            true => Level::Debug,
            false => Level::Info,
        };
        let class = match why {
            DropReason::Barred(_) => Class::Barred,
            why if why.is_forged() => Class::Forged,
            _ => Class::Dropped,
        };
        let what = format_args!("{from}: a datagram is dropped: {why}");
        self.log(class, now, level, what);
    }

    /// Somebody who wanted to log in or register, and may not.
    pub(super) fn login_refused(&mut self, now: Instant, who: fmt::Arguments<'_>, why: Refusal) {
        self.log(
            Class::NotLetIn,
            now,
            Level::Info,
            format_args!("{who}: login refused: {why}"),
        );
    }

    /// An account that is on the disk now.
    pub(super) fn registered(&mut self, now: Instant, from: IpAddr, name: &Name) {
        let what = format_args!("{from}: account {name} made");
        self.log(Class::Registered, now, Level::Info, what);
    }

    /// A password that could not be looked at or hashed.
    pub(super) fn not_hashed(&mut self, now: Instant, error: &HashError) {
        let what = format_args!("a password was not looked at: {error}");
        self.log(Class::NotHashed, now, Level::Error, what);
    }

    /// The accounts could not be written.
    pub(super) fn not_saved(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::NotSaved, now, Level::Error, what);
    }

    /// A connection could not be accepted.
    pub(super) fn not_accepted(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::NotAccepted, now, Level::Warn, what);
    }

    /// Datagrams that were due and not sent.
    pub(super) fn not_sent(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::NotSent, now, Level::Info, what);
    }

    /// Errors that came instead of datagrams.
    pub(super) fn not_received(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::NotReceived, now, Level::Info, what);
    }

    /// A guest that was let go without having said so.
    pub(super) fn guest_gone(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.log(Class::GuestGone, now, Level::Info, what);
    }

    /// The end of a connection: what we did to it is told loudly, what it did itself quietly.
    pub(super) fn end(&mut self, now: Instant, who: fmt::Arguments<'_>, reason: &CloseReason) {
        let (class, level) = match reason {
            CloseReason::Violation(_) => (Class::Violation, Level::Info),
            CloseReason::TimedOut(_) => (Class::TimedOut, Level::Info),
            CloseReason::Slow(_) => (Class::Slow, Level::Warn),
            CloseReason::ClosedLate => (Class::ClosedLate, Level::Info),
            CloseReason::Kicked { .. } => (Class::PutOut, Level::Info),
            CloseReason::Left
            | CloseReason::Asked
            | CloseReason::Answered
            | CloseReason::Refused(_)
            | CloseReason::Lost(_)
            | CloseReason::Stopping => {
                log::debug!(target: CLOSING, "{who}: {reason}");
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

    /// Tells what was suppressed, for there is no later time.
    pub(super) fn tell_the_rest(&mut self, now: Instant) {
        self.classes.iter_mut().for_each(|class| class.tell(now));
    }

    fn log(&mut self, class: Class, now: Instant, level: Level, what: fmt::Arguments<'_>) {
        if let Some(class) = self.classes.get_mut(class as usize) {
            class.log(now, level, what);
        }
    }
}
