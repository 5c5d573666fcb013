//! Owns what a line begins with, which depends on who reads it: a file or a person, or the system's journal. Knows
//! nothing of the message behind that.

use std::env;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use log::{Level, LevelFilter, Log, Record};
use rustix::stdio::stderr;
use simplelog::{ConfigBuilder, WriteLogger};
use time::macros::format_description;

use super::filter::below_crate;
use super::queue::{Lines, Queue};

/// Makes lines of records, for whoever reads them.
pub(super) struct Formatter {
    /// One for each level, the loudest first: the journal's prefixes differ.
    of_levels: [Box<WriteLogger<Lines>>; LEVELS.len()],
}

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A terminal, a file, whatever keeps bytes: it has to be told the time.
    Plain,
    /// systemd-journald(8). It knows the time, and takes a level from `<4>` before a line (sd-daemon(3)).
    Journal,
}

impl Form {
    /// That of standard error as it is now.
    pub(super) fn of_standard_error() -> Form {
        let said = env::var("JOURNAL_STREAM");
        match rustix::fs::fstat(stderr()) {
            Ok(stat) if said.is_ok_and(|said| is_stream(&said, stat.st_dev, stat.st_ino)) => {
                Form::Journal
            }
            _ => Form::Plain,
        }
    }

    /// Writes lines that begin with the time in UTC (RFC 3339, to the millisecond) or the journal's prefix, then how
    /// loud it is, and whose.
    pub(super) fn formatter(self, queue: &Arc<Queue>) -> Formatter {
        let mut config = ConfigBuilder::new();
        config
            .set_time_format_custom(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .set_target_level(LevelFilter::Error)
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off);
        if self == Form::Journal {
            config.set_time_level(LevelFilter::Off);
        }
        let config = config.build();
        let of_levels = LEVELS.map(|level| {
            let prefix = match self {
                Form::Plain => "",
                Form::Journal => prefix(level),
            };
            let lines = Lines::new(Arc::clone(queue), prefix);
            WriteLogger::new(LevelFilter::Trace, config.clone(), lines)
        });
        Formatter { of_levels }
    }

    /// What a line begins with that no record is behind: the same.
    pub(super) fn stamp(self, level: Level, target: &str) -> String {
        let target = below_crate(target);
        match self {
            Form::Plain => {
                let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
                format!("{now} [{level}] {target}: ")
            }
            Form::Journal => format!("{}[{level}] {target}: ", prefix(level)),
        }
    }

    /// What the last words of a process begin with that cannot go on.
    pub(super) fn last_stamp(self) -> &'static str {
        match self {
            Form::Plain => "mynah: ",
            Form::Journal => concat!("<3>", "mynah: "),
        }
    }
}

impl Formatter {
    /// Queues a record as a line. Its message has to be harmless.
    pub(super) fn log(&self, record: &Record<'_>) {
        let of_level = LEVELS.iter().zip(&self.of_levels);
        let mut of_level = of_level.filter(|(level, _)| **level == record.level());
        if let Some((_, formatter)) = of_level.next() {
            let target = below_crate(record.target());
            let mut named = Record::builder();
            named
                .level(record.level())
                .target(target)
                .args(*record.args());
            formatter.log(&named.build());
        }
    }
}

const LEVELS: [Level; 5] = [
    Level::Error,
    Level::Warn,
    Level::Info,
    Level::Debug,
    Level::Trace,
];

/// Whether standard error is what `JOURNAL_STREAM` says, `DEVICE:INODE` in decimal (systemd.exec(5)): who is started
/// by a service with its output elsewhere inherits the variable all the same.
fn is_stream(said: &str, device: u64, inode: u64) -> bool {
    let numbers = said.split_once(':');
    numbers.is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

/// The levels of syslog(3). There are two more below "error" and one between "warning" and "info", which `log` does
/// not have.
fn prefix(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_a_prefix_and_all_others_a_time_of_one_width() {
        let level = Level::Warn;
        let journal = Form::Journal.stamp(level, "mynah::server::driver");
        assert_eq!(journal, "<4>[WARN] server::driver: ");
        for _ in 0..100 {
            let plain = Form::Plain.stamp(level, "mynah::server::driver");
            let (time, rest) = plain.split_once(' ').unwrap();
            assert_eq!(rest, "[WARN] server::driver: ");
            assert_eq!(time.len(), "2026-02-03T04:05:06.789Z".len(), "{time}");
            let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            assert_eq!(time.offset().local_minus_utc(), 0);
        }
        for (level, prefix) in [
            (Level::Error, "<3>"),
            (Level::Info, "<6>"),
            (Level::Debug, "<7>"),
            (Level::Trace, "<7>"),
        ] {
            assert!(Form::Journal.stamp(level, "x").starts_with(prefix));
        }
    }

    #[test]
    fn standard_error_is_the_journal_only_when_it_is_that_very_stream() {
        assert!(is_stream("8:12345", 8, 12345));
        for other in [
            "", ":", "8", "8:", ":12345", "8:1", "9:12345", "8:12345:", "x",
        ] {
            assert!(!is_stream(other, 8, 12345), "{other:?}");
        }
    }
}
