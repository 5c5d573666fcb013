//! Owns the signals that the program catches, as one more source of readiness. Knows nothing of what
//! they make the program do.
//!
//! SIGPIPE is not among them: the standard library ignores it, so that a write to a closed
//! connection is an ordinary error.

use std::fmt;
use std::io;

use mio::Token;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal as Number;
use signal_hook_mio::v1_0;

use super::Poller;
use super::sys;

/// A signal that somebody sent us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: control-C at the terminal.
    Interrupt,
    /// SIGTERM: end in good order.
    Terminate,
    /// SIGHUP: the terminal is gone; a daemon is to read its configuration again.
    Hangup,
    /// SIGUSR2: what the program says it is.
    User2,
    /// SIGWINCH: the terminal has another size.
    WindowChange,
}

impl Signal {
    const ALL: [Signal; 5] = [
        Signal::Interrupt,
        Signal::Terminate,
        Signal::Hangup,
        Signal::User2,
        Signal::WindowChange,
    ];

    fn number(self) -> i32 {
        let number = match self {
            Signal::Interrupt => Number::INT,
            Signal::Terminate => Number::TERM,
            Signal::Hangup => Number::HUP,
            Signal::User2 => Number::USR2,
            Signal::WindowChange => Number::WINCH,
        };
        number.as_raw()
    }

    fn from_number(number: i32) -> Option<Signal> {
        Signal::ALL.into_iter().find(|s| s.number() == number)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
            Signal::User2 => "SIGUSR2",
            Signal::WindowChange => "SIGWINCH",
        })
    }
}

/// Whether the process was told to ignore it, as nohup(1) tells SIGHUP. To be asked before it is caught.
pub fn is_ignored(signal: Signal) -> bool {
    sys::is_ignored(signal.number())
}

/// The terminal that has control of this process (tty(4)), if one had when this was made.
#[derive(Debug)]
pub struct ControllingTerminal {
    was_there: bool,
}

impl ControllingTerminal {
    /// As it is now.
    pub fn of_process() -> ControllingTerminal {
        ControllingTerminal {
            was_there: matches!(open_terminal(), Ok(())),
        }
    }

    /// Whether it was there and is not any more: its window was closed, or the connection to it was lost. Of that the
    /// kernel tells by a [`Signal::Hangup`], as others do who want something else.
    pub fn is_gone(&self) -> bool {
        // Anything else, as a want of descriptors, says nothing about it.
        let gone = [Errno::NXIO, Errno::IO].map(Err);
        self.was_there && gone.contains(&open_terminal())
    }
}

/// Opens the terminal and closes it again.
fn open_terminal() -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open("/dev/tty", flags, Mode::empty()).map(drop)
}

/// Those of the signals that this program catches. What is not caught does what it always does.
pub struct Signals {
    inner: v1_0::Signals,
}

impl Signals {
    /// From now on the signals of `catch` make `token` readable instead of ending the process, for
    /// the process's whole life: even after this is dropped they end nothing.
    ///
    /// Fails when the kernel has no descriptors for the pipe between.
    pub fn new(poller: &Poller, token: Token, catch: &[Signal]) -> io::Result<Signals> {
        let mut inner = v1_0::Signals::new(catch.iter().map(|s| s.number()))?;
        poller.register_reading(&mut inner, token)?;
        Ok(Signals { inner })
    }

    /// The same for more of them, from now on.
    pub fn catch_also(&self, signals: &[Signal]) -> io::Result<()> {
        let mut numbers = signals.iter().map(|signal| signal.number());
        numbers.try_for_each(|number| self.inner.add_signal(number))
    }

    /// What came since the last call. The same signal sent several times may come once, and there is
    /// no order among different ones.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> + '_ {
        self.inner.pending().filter_map(Signal::from_number)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::process::{getpid, kill_process};

    use super::*;

    const SIGNALS: Token = Token(3);

    #[test]
    fn a_caught_signal_makes_its_token_ready() {
        let mut poller = Poller::new().unwrap();
        let mut signals = Signals::new(&poller, SIGNALS, &[Signal::WindowChange]).unwrap();
        assert_eq!(signals.pending().count(), 0);
        // Twice, for the edge must come back after a pending() that found something. WINCH only:
        // it is the one that harms no other test if it gets here before the handler.
        for _ in 0..2 {
            kill_process(getpid(), Number::WINCH).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let mut caught = Vec::new();
            while caught.is_empty() {
                let left = deadline.saturating_duration_since(Instant::now());
                assert!(!left.is_zero(), "the signal never came");
                let ready = poller.wait(Some(left)).unwrap().any(|r| r.token == SIGNALS);
                if ready {
                    caught.extend(signals.pending());
                }
            }
            assert_eq!(caught, [Signal::WindowChange]);
        }
    }

    #[test]
    fn what_is_ignored_is_known() {
        // The standard library has SIGPIPE ignored.
        assert!(sys::is_ignored(Number::PIPE.as_raw()));
        assert!(!sys::is_ignored(Number::TERM.as_raw()));
    }

    #[test]
    fn every_signal_comes_back_by_its_number() {
        for signal in Signal::ALL {
            assert_eq!(Signal::from_number(signal.number()), Some(signal));
        }
        assert_eq!(Signal::from_number(Number::USR1.as_raw()), None);
    }
}
