//! Owns the program's log: what a record looks like, and its way to standard error. Knows nothing of
//! what is logged, and relies on nobody: what peers wrote may stand in a record, so it is made
//! harmless here.
//! Whoever logs never waits, not even when standard error is a full pipe that nobody reads.
//!
//! ```text
//!  log::warn! ──▶ escaped, cut ──▶ time and level ──▶ queue ──▶ thread ──▶ one write(2) per record
//!                 (line.rs)        (simplelog)        (queue.rs)
//! ```
//!
//! The thread is the journal's own, not the helper's: a write to a full pipe may take for ever, and
//! must not stop saves; and a save that takes for ever is just what the log has to tell about.

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod filter;
mod form;
mod limited;
mod line;
mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use log::{Level, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stderr;

pub use filter::{Filter, FilterError, LEVELS, TARGETS};
pub use limited::{Limited, MAX_BYTES_PER_MINUTE};
pub use line::MAX_LINE_BYTES;

use form::{Form, Formatter};
use queue::Queue;

/// The log of a running program. Its end is the log's end: when it is dropped, what is still on its
/// way has half a second to get out.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<Queue>,
    filter: Arc<RwLock<Filter>>,
}

/// From now on what the filter lets through goes to standard error, one line per record:
/// `2026-02-03T04:05:06.789Z [WARN] server::driver: message`, with the module that has logged it. Where standard error is
/// the system's journal it is `<4>[WARN] server::driver: message`: the journal adds the time, and takes the prefix for the
/// level. What a panic says goes the same way, and so no text of anybody's reaches standard error but as such a line.
///
/// Fails when the system has no thread to give, or the process has a logger already.
pub fn start(filter: Filter) -> io::Result<Journal> {
    let form = Form::of_standard_error();
    let queue = Arc::new(Queue::new(move || form.stamp(Level::Warn, module_path!())));
    let theirs = Arc::clone(&queue);
    thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || theirs.drain(StandardError))?;
    let loudest = filter.max_level();
    let filter = Arc::new(RwLock::new(filter));
    let logger = Logger {
        formatter: form.formatter(&queue),
        filter: Arc::clone(&filter),
        queue: Arc::clone(&queue),
    };
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(loudest);
    let panics = Arc::clone(&queue);
    panic::set_hook(Box::new(move |panic| tell_panic(panic, form, &panics)));
    Ok(Journal { queue, filter })
}

impl Journal {
    /// From now on it is this that is let through.
    pub fn set_filter(&self, filter: Filter) {
        let loudest = filter.max_level();
        *self.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
        // What is louder costs whoever logs it no more than a look at this.
        log::set_max_level(loudest);
    }

    /// Waits until everything logged so far is written, half a second at most.
    pub fn flush(&self) {
        self.queue.flush();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Why this process cannot go on, in one line whatever stands in it: `mynah: reason`. What a path or a configuration
/// has in it is escaped like all else.
pub fn tell_last(reason: fmt::Arguments<'_>) {
    let stamp = Form::of_standard_error().last_stamp();
    let line = format!("{stamp}{}\n", line::harmless_and_whole(reason));
    // It may be closed, which changes nothing.
    let _ = StandardError.write_all(line.as_bytes());
}

/// A bug, in the line of a record like any other; a backtrace, if the environment asks for one, in more of them. What
/// is logged already goes out before, and standard error may hold this up for as long as the end of the program.
fn tell_panic(panic: &PanicHookInfo<'_>, form: Form, queue: &Queue) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    let tell = |what: fmt::Arguments<'_>| {
        let stamp = form.stamp(Level::Error, module_path!());
        queue.push(format!("{stamp}{}\n", line::harmless(what)).into_bytes());
    };
    tell(format_args!(
        "thread {thread} panicked at {place}: {message}"
    ));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let backtrace = backtrace.to_string();
        backtrace
            .lines()
            .for_each(|line| tell(format_args!("{line}")));
    }
    queue.flush();
}

/// Makes every message harmless before it is formatted into a line.
struct Logger {
    formatter: Formatter,
    filter: Arc<RwLock<Filter>>,
    queue: Arc<Queue>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let filter = self.filter.read().unwrap_or_else(PoisonError::into_inner);
        filter.lets_through(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = line::harmless(*record.args());
        self.formatter.log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .args(format_args!("{message}"))
                .build(),
        );
    }

    fn flush(&self) {
        self.queue.flush();
    }
}

/// Standard error without the lock and without the panic of the standard library's: the journal's
/// thread may be stuck in a write when another wants to say why it dies.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(stderr(), bytes) {
                Err(Errno::INTR) => {}
                // A terminal shares this mode with its standard input, which a client reads
                // without blocking.
                Err(Errno::AGAIN) => {
                    let mut writable = [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)];
                    match poll(&mut writable, None) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, Instant};

    use log::LevelFilter;

    use super::*;

    fn log(logger: &Logger, level: Level, message: &str) {
        logger.log(
            &Record::builder()
                .level(level)
                .target("mynah::test")
                .args(format_args!("{message}"))
                .build(),
        );
    }

    /// A logger whose records come out at the end of a pipe.
    fn piped(filter: impl Into<Filter>) -> (Logger, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let queue = Arc::new(Queue::new(String::new));
        let logger = Logger {
            formatter: Form::Plain.formatter(&queue),
            filter: Arc::new(RwLock::new(filter.into())),
            queue: Arc::clone(&queue),
        };
        thread::spawn(move || queue.drain(writer));
        (logger, reader)
    }

    /// What stands behind the time, which is checked for its shape.
    fn after_time(line: &str) -> &str {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!((&time[4..5], &time[10..11]), ("-", "T"), "{time}");
        assert!(time.ends_with('Z'), "{time}");
        rest
    }

    #[test]
    fn a_record_is_one_line_whatever_stands_in_it() {
        let (logger, mut reader) = piped(LevelFilter::Info);
        log(
            &logger,
            Level::Warn,
            "ada\n2026-02-03T04:05:06Z [ERROR] forged\u{1b}[2J",
        );
        log(&logger, Level::Debug, "not at this level");
        log(&logger, Level::Info, &"x".repeat(5000));
        logger.flush();
        let mut bytes = [0; 4096];
        let len = reader.read(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..len]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(
            after_time(lines[0]),
            r"[WARN] test: ada\n2026-02-03T04:05:06Z [ERROR] forged\u{1b}[2J"
        );
        assert!(lines[1].len() < MAX_LINE_BYTES);
        assert!(lines[1].ends_with("xxx…"));
    }

    #[test]
    fn a_pipe_that_nobody_reads_blocks_nobody() {
        const RECORDS: usize = 4000;
        let (logger, mut reader) = piped(LevelFilter::Info);
        let begin = Instant::now();
        for number in 0..RECORDS {
            log(
                &logger,
                Level::Info,
                &format!("{number} {}", "x".repeat(500)),
            );
        }
        logger.flush();
        assert!(begin.elapsed() < Duration::from_secs(5), "somebody waited");

        // Read at last: what was kept comes in order, and what was dropped is said.
        drop(logger);
        let mut text = String::new();
        let (mut next, mut missing) = (0, 0);
        while next + missing < RECORDS {
            let mut bytes = [0; 4096];
            let len = reader.read(&mut bytes).unwrap();
            text.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
            while let Some((line, rest)) = text.split_once('\n') {
                if let Some((count, _)) = line.split_once(" log records dropped") {
                    missing += count.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
                } else {
                    let message = after_time(line).strip_prefix("[INFO] test: ").unwrap();
                    let number: usize = message.split(' ').next().unwrap().parse().unwrap();
                    assert_eq!(number, next);
                    next += 1;
                }
                text = rest.to_owned();
            }
        }
        assert!(missing > 0 && next > 0);
    }
}
