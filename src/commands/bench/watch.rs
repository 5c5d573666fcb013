//! Owns what somebody sees while it runs, one line on standard error that is written over, and the signals that
//! end it early.

use std::io::{self, IsTerminal, Write};
use std::mem;
use std::time::Duration;

use rustix::termios;

use crate::load::{Plan, Progress, Stage, Verdict};
use crate::reactor::{Poller, Signal, Signals};

/// Looks on.
pub struct Watch {
    signals: Signals,
    /// It is where the signals' pipe is registered.
    _poller: Poller,
    /// The first that came.
    interrupted: Option<Signal>,
    look: Look,
    /// Whether the line stands there.
    is_written: bool,
    /// Runs there are, and of them done.
    runs: usize,
    done: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Nothing,
    /// A line for each run that is done.
    Lines,
    /// One line that changes.
    Line,
}

impl Watch {
    /// From now on SIGINT, SIGTERM and SIGHUP do not end the process.
    pub fn new(quiet: bool, runs: usize) -> io::Result<Watch> {
        let poller = Poller::new()?;
        let caught = [Signal::Interrupt, Signal::Terminate, Signal::Hangup];
        let signals = Signals::new(&poller, mio::Token(0), &caught)?;
        let look = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Look::Nothing,
            (false, true) => Look::Line,
            (false, false) => Look::Lines,
        };
        Ok(Watch {
            signals,
            _poller: poller,
            interrupted: None,
            look,
            is_written: false,
            runs,
            done: 0,
        })
    }

    /// The signal that wants us to end, if one came.
    pub fn interrupted(&mut self) -> Option<Signal> {
        let came = self.signals.pending().last();
        self.interrupted = self.interrupted.or(came);
        self.interrupted
    }

    /// To be called a few times a second during a run.
    pub fn look(&mut self, title: &str, plan: &Plan, progress: &Progress) -> Verdict {
        if self.look == Look::Line {
            let (width, run) = (width(), self.done + 1);
            let line = line(title, plan, progress, (run, self.runs));
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            self.write(&format!("\r{line}\x1b[K"));
            self.is_written = true;
        }
        match self.interrupted() {
            Some(_) => Verdict::Stop,
            None => Verdict::GoOn,
        }
    }

    /// A run is done, and came to that.
    pub fn done(&mut self, said: &str) {
        self.done += 1;
        if self.look == Look::Lines {
            let line = format!("{}/{} {said}\n", self.done, self.runs);
            self.write(&line);
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if mem::take(&mut self.is_written) {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // Standard error may be closed, which changes nothing.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clear();
    }
}

fn width() -> usize {
    termios::tcgetwinsize(io::stderr())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

fn line(title: &str, plan: &Plan, progress: &Progress, (run, runs): (usize, usize)) -> String {
    let left = |of: Duration| {
        let left = of.saturating_sub(progress.elapsed);
        format!("{:.1} s left", left.as_secs_f64())
    };
    let stage = match progress.stage {
        Stage::ComingIn => format!("{} of {} in", progress.members, plan.members),
        Stage::WarmingUp => format!("warming up, {}", left(plan.warm_up)),
        Stage::Measuring => left(plan.duration),
        Stage::Finishing => "waiting for what is under way".to_string(),
    };
    let rate = match progress.stage {
        Stage::ComingIn => String::new(),
        _ => format!(
            ", {} deliveries/s",
            crate::report::with_thousands(progress.rate)
        ),
    };
    format!("{run}/{runs} {title}: {stage}{rate}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Pace;

    #[test]
    fn the_line_says_how_far_it_is() {
        let plan = Plan {
            members: 1000,
            senders: 1,
            pace: Pace::Window(16),
            payload: 64,
            duration: Duration::from_secs(2),
            warm_up: Duration::from_millis(500),
            logins_in_flight: 16,
            server: None,
        };
        let mut progress = Progress {
            stage: Stage::ComingIn,
            members: 40,
            received: 0,
            rate: 0.0,
            elapsed: Duration::from_millis(100),
        };
        let title = "tcp-room, 1000 members, window 16";
        let said = |progress: &Progress| line(title, &plan, progress, (2, 6));
        assert_eq!(
            said(&progress),
            "2/6 tcp-room, 1000 members, window 16: 40 of 1000 in"
        );
        progress.stage = Stage::Measuring;
        progress.rate = 6_612_345.0;
        assert_eq!(
            said(&progress),
            "2/6 tcp-room, 1000 members, window 16: 1.9 s left, 6.61 M deliveries/s"
        );
    }
}
