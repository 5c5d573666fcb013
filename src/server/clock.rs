//! Owns the wall clock: the local time that a line of chat carries when its sender has none.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{Local, Timelike};

use crate::chat::TimeOfDay;

/// The local time of day. The time zone is looked up once a second at the most, since a turn takes
/// microseconds.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    second: u64,
    time: TimeOfDay,
}

impl WallClock {
    pub(super) fn time_of_day(&mut self) -> TimeOfDay {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = since.map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.time = now();
        }
        self.time
    }
}

/// A leap second is the second before it: these protocols have none.
fn now() -> TimeOfDay {
    let now = Local::now();
    TimeOfDay::new(now.hour(), now.minute(), now.second()).unwrap_or_default()
}
