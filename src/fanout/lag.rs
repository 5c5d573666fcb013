//! Owns the judgement on those that lag: who is a slow consumer. Knows no clock: it is told the time.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Feed, Log};

/// How far a member may lag. Judged only after a send that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagLimits {
    /// Bytes of the room's log that the slowest may be behind: what one room can cost, however many
    /// lag. 1 MiB is a hundred thousand chat lines and a few seconds of a dead link.
    pub backlog_bytes: usize,
    /// Bytes of its own (direct messages, replies) that may wait for one member.
    pub outbox_bytes: usize,
    /// Who is behind by more than this for all of `stall_time` reads too slowly, too; what it is sent that others are sent
    /// as well counts here, for it keeps that from being let go.
    pub stall_bytes: usize,
    /// See `stall_bytes`.
    pub stall_time: Duration,
}

impl Default for LagLimits {
    fn default() -> Self {
        LagLimits {
            backlog_bytes: 1024 * 1024,
            outbox_bytes: 256 * 1024,
            stall_bytes: 64 * 1024,
            stall_time: Duration::from_secs(30),
        }
    }
}

/// Why a member is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowConsumer {
    /// Further behind the room than the backlog reaches.
    Backlog { behind: usize, limit: usize },
    /// Too much waits for it alone.
    Outbox { waiting: usize, limit: usize },
    /// Behind by more than a little for too long.
    Stalled { behind: usize, since: Duration },
    /// All that waits for everybody is too much, and it keeps the most of it.
    OverBudget { kept: usize, limit: usize },
}

/// How long a member has been behind by more than [`LagLimits::stall_bytes`]; kept by the owner for
/// those that are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall(Option<Instant>);

impl LagLimits {
    /// Judges by size a member whose last send the kernel did not take whole.
    pub fn judge(&self, feed: &Feed, log: &Log) -> Result<(), SlowConsumer> {
        let (behind, limit) = (feed.behind(log), self.backlog_bytes);
        if behind > limit {
            return Err(SlowConsumer::Backlog { behind, limit });
        }
        let (waiting, limit) = (waiting(feed), self.outbox_bytes);
        if waiting > limit {
            return Err(SlowConsumer::Outbox { waiting, limit });
        }
        Ok(())
    }

    /// Judges by time, every now and then, a member whose last send the kernel did not take whole.
    pub fn judge_stall(
        &self,
        feed: &Feed,
        log: &Log,
        stall: &mut Stall,
        now: Instant,
    ) -> Result<(), SlowConsumer> {
        let behind = feed.behind(log).max(waiting(feed)).max(feed.held_bytes());
        if behind <= self.stall_bytes {
            stall.0 = None;
            return Ok(());
        }
        let since = now.saturating_duration_since(*stall.0.get_or_insert(now));
        if since > self.stall_time {
            return Err(SlowConsumer::Stalled { behind, since });
        }
        Ok(())
    }
}

/// What waits for this member alone. Each direct message and each own word between others' takes memory
/// of its own while it lags, so a detour counts as if it were at least so long.
fn waiting(feed: &Feed) -> usize {
    const DETOUR_BYTES: usize = 48;
    feed.private_bytes() + feed.detours() * DETOUR_BYTES
}

impl fmt::Display for SlowConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlowConsumer::Backlog { behind, limit } => {
                write!(f, "{behind} bytes behind the room, the limit is {limit}")
            }
            SlowConsumer::Outbox { waiting, limit } => {
                write!(
                    f,
                    "{waiting} bytes waiting for it alone, the limit is {limit}"
                )
            }
            SlowConsumer::Stalled { behind, since } => {
                write!(f, "{behind} bytes behind for {} s", since.as_secs())
            }
            SlowConsumer::OverBudget { kept, limit } => {
                write!(
                    f,
                    "keeps {kept} bytes, and all that waits is over the limit of {limit}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::Tally;

    #[test]
    fn each_limit_is_judged() {
        let limits = LagLimits::default();
        let (start, mut stall) = (Instant::now(), Stall::default());
        let mut log = Log::new();
        let mut feed = Feed::default();

        log.append(|bytes| bytes.resize(limits.stall_bytes, 0));
        assert_eq!(limits.judge_stall(&feed, &log, &mut stall, start), Ok(()));
        assert_eq!(stall, Stall::default());

        log.append(|bytes| bytes.push(0));
        assert_eq!(limits.judge_stall(&feed, &log, &mut stall, start), Ok(()));
        let just = start + limits.stall_time;
        assert_eq!(limits.judge_stall(&feed, &log, &mut stall, just), Ok(()));
        let late = just + Duration::from_millis(1);
        assert!(matches!(
            limits.judge_stall(&feed, &log, &mut stall, late),
            Err(SlowConsumer::Stalled { .. })
        ));

        feed.advance(&log, 1);
        assert_eq!(limits.judge_stall(&feed, &log, &mut stall, late), Ok(()));
        assert_eq!(stall, Stall::default(), "who catches up begins anew");

        assert_eq!(limits.judge(&feed, &log), Ok(()));
        log.append(|bytes| bytes.resize(bytes.len() + limits.backlog_bytes, 0));
        assert!(matches!(
            limits.judge(&feed, &log),
            Err(SlowConsumer::Backlog { .. })
        ));

        let mut feed = Feed::default();
        feed.join(log.end());
        feed.push_private(&log, &vec![0; limits.outbox_bytes], &Tally::default());
        assert!(matches!(
            limits.judge(&feed, &log),
            Err(SlowConsumer::Outbox { .. })
        ));
    }
}
