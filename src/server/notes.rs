//! Owns what the log is told of connections: how loudly, and how often at the most, since peers can make
//! each of these happen as often as they like.

use std::fmt;
use std::time::Instant;

use log::Level;

use super::connection::CloseReason;
use crate::journal::Limited;

/// One limit per class, so that a flood of one hides no other.
#[derive(Debug)]
pub(super) struct Notes {
    turned_away: Limited,
    over_rate: Limited,
    violations: Limited,
    timed_out: Limited,
    slow: Limited,
    closed_late: Limited,
}

impl Notes {
    pub(super) fn new() -> Notes {
        Notes {
            turned_away: Limited::new("connections turned away"),
            over_rate: Limited::new("messages over their rate"),
            violations: Limited::new("violations"),
            timed_out: Limited::new("connections timed out"),
            slow: Limited::new("slow consumers"),
            closed_late: Limited::new("connections closed late"),
        }
    }

    /// A connection that was not taken in.
    pub(super) fn turned_away(&mut self, now: Instant, who: fmt::Arguments<'_>) {
        let what =
            format_args!("{who}: turned away, its address has as many connections as it may");
        self.turned_away.log(now, Level::Warn, what);
    }

    /// A message that was dropped.
    pub(super) fn over_rate(&mut self, now: Instant, who: fmt::Arguments<'_>) {
        let what = format_args!("{who}: speaks too fast, a message is dropped");
        self.over_rate.log(now, Level::Info, what);
    }

    /// The end of a connection: what we did to it is told loudly, what it did itself quietly.
    pub(super) fn end(&mut self, now: Instant, who: fmt::Arguments<'_>, reason: &CloseReason) {
        let (class, level) = match reason {
            CloseReason::Violation(_) => (&mut self.violations, Level::Info),
            CloseReason::TimedOut { .. } => (&mut self.timed_out, Level::Info),
            CloseReason::Slow(_) => (&mut self.slow, Level::Warn),
            CloseReason::ClosedLate => (&mut self.closed_late, Level::Info),
            CloseReason::Left
            | CloseReason::Asked
            | CloseReason::Refused(_)
            | CloseReason::Lost(_)
            | CloseReason::Stopping => {
                log::debug!("{who}: {reason}");
                return;
            }
        };
        class.log(now, level, format_args!("{who}: {reason}"));
    }

    /// Whether something was suppressed that is not told yet.
    pub(super) fn owes(&self) -> bool {
        let Notes {
            turned_away,
            over_rate,
            violations,
            timed_out,
            slow,
            closed_late,
        } = self;
        let classes = [
            turned_away,
            over_rate,
            violations,
            timed_out,
            slow,
            closed_late,
        ];
        classes.iter().any(|class| class.owes())
    }

    /// Tells what was suppressed, once it is time.
    pub(super) fn catch_up(&mut self, now: Instant) {
        let Notes {
            turned_away,
            over_rate,
            violations,
            timed_out,
            slow,
            closed_late,
        } = self;
        for class in [
            turned_away,
            over_rate,
            violations,
            timed_out,
            slow,
            closed_late,
        ] {
            class.catch_up(now);
        }
    }
}
