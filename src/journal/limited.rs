//! Owns how often one class of records may be repeated. Knows no clock: time comes in as an argument.

use std::fmt;
use std::time::{Duration, Instant};

use log::Level;

/// A class of records that somebody outside can cause at will: of those, so many are logged in a
/// second, and the rest are counted.
#[derive(Debug)]
pub struct Limited {
    class: &'static str,
    second: Option<Second>,
    suppressed: u64,
}

/// A second that began with a record.
#[derive(Clone, Copy, Debug)]
struct Second {
    begin: Instant,
    logged: u32,
}

/// Enough to see what happens; under attack, with lines of 80 bytes, 100 kB a minute.
const PER_SECOND: u32 = 20;

impl Limited {
    /// `class` says what the suppressed ones were: "accept failed".
    pub fn new(class: &'static str) -> Limited {
        Limited {
            class,
            second: None,
            suppressed: 0,
        }
    }

    /// Logs the message, or counts it.
    pub fn log(&mut self, now: Instant, level: Level, message: fmt::Arguments<'_>) {
        self.catch_up(now);
        if self.admit(now) {
            log::log!(level, "{message}");
        }
    }

    /// Logs how many were suppressed, once their second is over. To be called now and then (as with
    /// every turn of a slow timer), or the end of a burst is only told with the next one.
    pub fn catch_up(&mut self, now: Instant) {
        if let Some(count) = self.take_suppressed(now) {
            log::warn!("{}: {count} suppressed", self.class);
        }
    }

    /// Whether something was suppressed that is not told yet.
    pub fn owes(&self) -> bool {
        self.suppressed > 0
    }

    fn admit(&mut self, now: Instant) -> bool {
        let fresh = Second {
            begin: now,
            logged: 0,
        };
        let second = self.second.get_or_insert(fresh);
        if second.is_over(now) {
            *second = fresh;
        }
        if second.logged < PER_SECOND {
            second.logged += 1;
            return true;
        }
        self.suppressed += 1;
        false
    }

    fn take_suppressed(&mut self, now: Instant) -> Option<u64> {
        if self.suppressed == 0 || self.second.is_some_and(|second| !second.is_over(now)) {
            return None;
        }
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl Second {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begin) >= Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_and_the_rest_are_counted() {
        let start = Instant::now();
        let mut limited = Limited::new("test");
        let at = |millis| start + Duration::from_millis(millis);
        let admitted = (0..100).filter(|n| limited.admit(at(*n))).count();
        assert_eq!(admitted, 20);
        assert_eq!(
            limited.take_suppressed(at(999)),
            None,
            "not before the second is over"
        );
        assert_eq!(limited.take_suppressed(at(1000)), Some(80));
        assert_eq!(limited.take_suppressed(at(1000)), None, "told once");
        assert!(limited.admit(at(1000)));
    }

    #[test]
    fn a_slow_class_is_never_suppressed() {
        let start = Instant::now();
        let mut limited = Limited::new("test");
        for n in 0..1000 {
            assert!(limited.admit(start + n * Duration::from_millis(51)));
        }
        assert_eq!(
            limited.take_suppressed(start + Duration::from_secs(60)),
            None
        );
    }
}
