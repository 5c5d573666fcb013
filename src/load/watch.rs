//! Owns when whoever watches a run is told of it, and what it answered. Knows not who that is.

use std::time::{Duration, Instant};

use super::outcome::{Progress, Stage};

/// What whoever watches wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    GoOn,
    /// The run ends, with what was measured so far.
    Stop,
}

/// How often it is told.
const INTERVAL: Duration = Duration::from_millis(200);

pub struct Watch<'a> {
    tell: &'a mut dyn FnMut(&Progress) -> Verdict,
    verdict: Verdict,
    stage: Stage,
    begun: Instant,
    next: Instant,
    last: Instant,
    received: u64,
}

impl<'a> Watch<'a> {
    pub fn new(now: Instant, tell: &'a mut dyn FnMut(&Progress) -> Verdict) -> Watch<'a> {
        Watch {
            tell,
            verdict: Verdict::GoOn,
            stage: Stage::ComingIn,
            begun: now,
            next: now + INTERVAL,
            last: now,
            received: 0,
        }
    }

    /// A stage begins.
    pub fn begin(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.begun = now;
        self.last = now;
        if stage != Stage::Finishing {
            self.received = 0;
        }
    }

    /// Whether it was to stop.
    pub fn is_stopped(&self) -> bool {
        self.verdict == Verdict::Stop
    }

    /// When it wants to be told again.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Tells, if it is time. Once it was to stop, it stays so.
    pub fn look(&mut self, now: Instant, members: usize, received: u64) -> Verdict {
        if now < self.next {
            return self.verdict;
        }
        self.next = now + INTERVAL;
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        let news = received.saturating_sub(self.received) as f64;
        let progress = Progress {
            stage: self.stage,
            members,
            received,
            rate: if seconds > 0.0 { news / seconds } else { 0.0 },
            elapsed: now.saturating_duration_since(self.begun),
        };
        (self.last, self.received) = (now, received);
        if (self.tell)(&progress) == Verdict::Stop {
            self.verdict = Verdict::Stop;
        }
        self.verdict
    }
}
