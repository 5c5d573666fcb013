//! Owns how often one class of records may be repeated. Knows no clock: time comes in as an argument.

use std::fmt;
use std::time::{Duration, Instant};

use log::Level;

use super::{filter, line};

/// A class of records that somebody outside can cause at will: of those, so many bytes are logged, and the rest are
/// counted. After a quiet while some fifteen lines go at once, then two in five seconds.
#[derive(Debug)]
pub struct Limited {
    target: &'static str,
    class: &'static str,
    /// When all of the burst is there again.
    full_at: Option<Instant>,
    suppressed: u64,
    /// When that is told next; and when it was told last, it was not before this.
    tell_at: Option<Instant>,
}

/// Enough to see what happens: fifteen lines of a hundred bytes.
const BURST_BYTES: usize = 1500;

/// What it comes to in the long run, counts of what was suppressed included.
const BYTES_PER_SECOND: usize = 40;

/// What a class can come to in any minute. The last line may be longer than what is left, and a count is told whatever
/// is left: one after such a line, and one at the end, for between two others more comes back than they take. All
/// classes of a server together are to stay under 100 kB.
pub const MAX_BYTES_PER_MINUTE: usize =
    BURST_BYTES + 60 * BYTES_PER_SECOND + line::MAX_LINE_BYTES + 2 * MAX_TELLING_BYTES;

/// What stands around a message: time, level, target, the end of the line.
pub(super) const AROUND: usize =
    "2026-02-03T04:05:06.789Z [ERROR] : \n".len() + filter::MAX_TARGET_BYTES;

/// The longest name of a class, and a line that tells how many of it were suppressed.
const MAX_CLASS_BYTES: usize = 64;
const MAX_TELLING_BYTES: usize =
    MAX_CLASS_BYTES + ": 18446744073709551615 suppressed".len() + AROUND;
const _: () = assert!(MAX_TELLING_BYTES <= BYTES_PER_SECOND * NEXT_TELLING.as_secs() as usize);

/// How soon what was suppressed is told first, and how often while it goes on.
const FIRST_TELLING: Duration = Duration::from_secs(1);
const NEXT_TELLING: Duration = Duration::from_secs(10);

impl Limited {
    /// `target` is the module by which they are asked for, one of [`TARGETS`](super::TARGETS), and `class` says what
    /// the suppressed ones were: "accept failed".
    ///
    /// # Panics
    ///
    /// When that is longer than 64 bytes. Such a constant does not compile.
    pub const fn new(target: &'static str, class: &'static str) -> Limited {
        assert!(class.len() <= MAX_CLASS_BYTES);
        Limited {
            target,
            class,
            full_at: None,
            suppressed: 0,
            tell_at: None,
        }
    }

    /// Logs the message, or counts it. Nothing is counted that would not be logged.
    pub fn log(&mut self, now: Instant, level: Level, message: fmt::Arguments<'_>) {
        if !log::log_enabled!(target: self.target, level) {
            return;
        }
        self.catch_up(now);
        if !self.admit(now) {
            return;
        }
        let message = line::harmless(message);
        self.pay(message.len(), now);
        log::log!(target: self.target, level, "{message}");
    }

    /// Logs how many were suppressed, once it is time. To be called now and then (as with
    /// every turn of a slow timer), or the end of a burst is only told with the next one.
    pub fn catch_up(&mut self, now: Instant) {
        if self.tell_at.is_some_and(|tell_at| now >= tell_at) {
            self.tell(now);
        }
    }

    /// Logs how many were suppressed, if any were: there will be no other time.
    pub fn tell(&mut self, now: Instant) {
        if self.suppressed == 0 {
            return;
        }
        let told = self.telling();
        self.suppressed = 0;
        self.tell_at = Some(now + NEXT_TELLING);
        self.pay(told.len(), now);
        log::warn!(target: self.target, "{told}");
    }

    fn telling(&self) -> String {
        format!("{}: {} suppressed", self.class, self.suppressed)
    }

    /// Whether something was suppressed that is not told yet.
    pub fn owes(&self) -> bool {
        self.suppressed > 0
    }

    /// Whether there is anything left of the budget; what is admitted may overdraw it.
    fn admit(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.unwrap_or(now);
        if full_at.saturating_duration_since(now) < time_for(BURST_BYTES) {
            return true;
        }
        self.suppressed += 1;
        let soon = now + FIRST_TELLING;
        // One that is still to come stands.
        if self.suppressed == 1 {
            self.tell_at = Some(self.tell_at.map_or(soon, |told| told.max(soon)));
        }
        false
    }

    fn pay(&mut self, message_bytes: usize, now: Instant) {
        let full_at = self.full_at.unwrap_or(now).max(now);
        self.full_at = Some(full_at + time_for(message_bytes + AROUND));
    }
}

/// How long it takes until so many bytes are there again.
fn time_for(bytes: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX)
        / u32::try_from(BYTES_PER_SECOND).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record of so many bytes, if it is admitted.
    fn record(limited: &mut Limited, bytes: usize, now: Instant) -> bool {
        let admitted = limited.admit(now);
        if admitted {
            limited.pay(bytes - AROUND, now);
        }
        admitted
    }

    #[test]
    fn fifteen_lines_at_once_then_two_in_five_seconds_and_the_rest_are_counted() {
        let start = Instant::now();
        let mut limited = Limited::new("server", "test");
        let at = |millis| start + Duration::from_millis(millis);
        let admitted = |limited: &mut Limited, from: u64, to: u64| {
            (from..to).filter(|n| record(limited, 100, at(*n))).count()
        };
        let at_once = admitted(&mut limited, 0, 1000);
        assert!((15..=16).contains(&at_once), "{at_once} at once");
        assert_eq!(limited.suppressed, 1000 - at_once as u64);
        limited.catch_up(at(1000));
        assert!(limited.owes(), "not before a second is over");
        limited.catch_up(at(1100));
        assert!(!limited.owes(), "told");
        let later = admitted(&mut limited, 1100, 61_100);
        assert!((22..=26).contains(&later), "{later} in a minute of flood");
        // It is told again, but not with every second.
        let mut told = 0;
        for second in 62..122 {
            record(&mut limited, 100, at(second * 1000));
            limited.suppressed += 1;
            limited.catch_up(at(second * 1000));
            told += u32::from(!limited.owes());
        }
        assert!((5..=7).contains(&told), "told {told} times in a minute");
        // After a quiet while there is a burst again.
        assert_eq!(admitted(&mut limited, 200_000, 201_000), at_once);
    }

    #[test]
    fn a_slow_class_is_never_suppressed() {
        let start = Instant::now();
        let mut limited = Limited::new("server", "test");
        for n in 0..1000 {
            assert!(record(
                &mut limited,
                100,
                start + n * Duration::from_millis(2500)
            ));
        }
        assert!(!limited.owes());
    }

    #[test]
    fn r40_no_minute_has_more_than_it_may_however_long_the_lines_and_the_class() {
        for bytes in [60, 100, 400, line::MAX_LINE_BYTES] {
            let start = Instant::now();
            const CLASS: [u8; MAX_CLASS_BYTES] = [b'x'; MAX_CLASS_BYTES];
            let mut limited = Limited::new("server", std::str::from_utf8(&CLASS).unwrap());
            let mut written = Vec::new();
            for millis in 0..300_000 {
                let now = start + Duration::from_millis(millis);
                if limited.tell_at.is_some_and(|at| now >= at) && limited.owes() {
                    written.push((millis, limited.telling().len() + AROUND));
                    limited.tell(now);
                }
                if record(&mut limited, bytes, now) {
                    written.push((millis, bytes));
                }
            }
            for begin in (0..300_000).step_by(1000) {
                let minute = written
                    .iter()
                    .filter(|(at, _)| (begin..begin + 60_000).contains(at));
                let sum: usize = minute.map(|(_, bytes)| bytes).sum();
                // The server may end at any moment, and tells the rest then.
                assert!(
                    sum + MAX_TELLING_BYTES <= MAX_BYTES_PER_MINUTE,
                    "{sum} with lines of {bytes}"
                );
            }
        }
    }
}
