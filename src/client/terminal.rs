//! Owns the modes of the terminal: raw while somebody types into our editor, and as it was before on every
//! way out. Knows nothing of what is typed.

use std::env;
use std::io;
use std::panic;
use std::sync::{Mutex, Once, TryLockError};

use rustix::process::{self, Signal};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{self, OptionalActions, Termios};

/// The terminal of standard input in raw mode, until this is dropped.
///
/// Raw means that every key comes to us at once, Ctrl-C too, and that nothing is done to what we write:
/// a line ends with CR LF.
#[derive(Debug)]
pub struct RawMode(());

/// The modes before, while they are changed. Static, because a panic (which aborts a release build) and the
/// guard both have to get at it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

static RESTORE_ON_PANIC: Once = Once::new();

impl RawMode {
    /// Fails when standard input is no terminal, or one that is gone.
    pub fn enter() -> io::Result<RawMode> {
        RESTORE_ON_PANIC.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                restore();
                report(info);
            }));
        });
        let before = termios::tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        remember(Some(before));
        // At once: waiting until all output is read could be for ever.
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(RawMode(()))
    }

    /// Ctrl-Z: stops the process with the terminal as it was before, and comes back when it goes on.
    pub fn suspend(self) -> io::Result<RawMode> {
        drop(self);
        process::kill_process(process::getpid(), Signal::TSTP)?;
        RawMode::enter()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether a person sits there whose lines our editor can edit.
pub fn is_editable() -> bool {
    termios::isatty(stdin()) && understands_sequences()
}

/// Whether standard output is a terminal that knows more than printing.
pub fn understands_sequences() -> bool {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    termios::isatty(stdout()) && !dumb
}

/// The width of the terminal of standard output; 80 when it does not know.
pub fn columns() -> usize {
    match termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}

fn remember(modes: Option<Termios>) -> Option<Termios> {
    // Never waiting, for a panic may come here while it is locked.
    let mut before = match BEFORE.try_lock() {
        Ok(before) => before,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    std::mem::replace(&mut before, modes)
}

fn restore() {
    if let Some(before) = remember(None) {
        // A terminal that is gone has no modes to restore.
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}
