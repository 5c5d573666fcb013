//! Owns the time of day that a line of chat carries. Knows no clock: somebody else reads it.

use std::fmt;
use std::time::Duration;

/// A local wall-clock time, 00:00:00 to 23:59:59, as `HH:MM:SS` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
    second: u8,
}

impl TimeOfDay {
    /// 00:00:00.
    pub const MIDNIGHT: TimeOfDay = TimeOfDay {
        hour: 0,
        minute: 0,
        second: 0,
    };

    /// `None` when a part is out of range (there is no leap second in these protocols).
    pub fn new(hour: u32, minute: u32, second: u32) -> Option<TimeOfDay> {
        let part = |value: u32, limit: u32| u8::try_from(value).ok().filter(|_| value < limit);
        Some(TimeOfDay {
            hour: part(hour, 24)?,
            minute: part(minute, 60)?,
            second: part(second, 60)?,
        })
    }

    /// What a clock shows so much later, whole seconds of it.
    pub fn after(self, time: Duration) -> TimeOfDay {
        let [hour, minute, second] = [self.hour, self.minute, self.second].map(u64::from);
        let seconds = (hour * 3600 + minute * 60 + second + time.as_secs()) % (24 * 3600);
        TimeOfDay {
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
        }
    }

    /// Reads exactly `HH:MM:SS`; anything else is `None`, and the server's own time is used.
    pub fn parse(text: &str) -> Option<TimeOfDay> {
        let &[h1, h2, b':', m1, m2, b':', s1, s2] = text.as_bytes() else {
            return None;
        };
        let pair = |tens: u8, ones: u8| {
            let digit = |byte: u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
            Some(digit(tens)? * 10 + digit(ones)?)
        };
        TimeOfDay::new(pair(h1, h2)?, pair(m1, m2)?, pair(s1, s2)?)
    }

    /// The eight ASCII bytes `HH:MM:SS`.
    pub fn to_ascii(self) -> [u8; 8] {
        let tens = |value: u8| b'0' + value / 10;
        let ones = |value: u8| b'0' + value % 10;
        [
            tens(self.hour),
            ones(self.hour),
            b':',
            tens(self.minute),
            ones(self.minute),
            b':',
            tens(self.second),
            ones(self.second),
        ]
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_over_midnight() {
        let at = |text| TimeOfDay::parse(text).unwrap();
        let after = |text, seconds| at(text).after(Duration::from_secs(seconds));
        assert_eq!(after("23:59:58", 1), at("23:59:59"));
        assert_eq!(after("23:59:58", 3 + 24 * 3600), at("00:00:01"));
        assert_eq!(after("12:34:56", 3725), at("13:37:01"));
    }

    #[test]
    fn only_the_exact_form_is_a_time() {
        for good in ["00:00:00", "12:34:56", "23:59:59"] {
            let time = TimeOfDay::parse(good).unwrap();
            assert_eq!(time.to_string(), good);
            assert_eq!(time.to_ascii(), good.as_bytes());
        }
        for bad in [
            "",
            "24:00:00",
            "12:60:00",
            "12:00:60",
            "1:00:00",
            "12:00",
            "12-00-00",
            "12:00:0x",
            "+1:00:00",
            "12:00:000",
            "１２:00:0",
            " 12:00:00",
        ] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad:?}");
        }
    }
}
