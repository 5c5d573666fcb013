//! Owns the modes of the terminal: raw while somebody types into our editor, and as it was before on every
//! way out. Knows nothing of what is typed.

use std::env;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Whether the screen is ours, all of it. Static for the same reason.
static SCREEN_TAKEN: AtomicBool = AtomicBool::new(false);

static RESTORE_ON_PANIC: Once = Once::new();

/// Another screen than the one of the shell, without a cursor (xterm).
const TAKE_SCREEN: &[u8] = b"\x1b[?1049h\x1b[?25l";
const GIVE_SCREEN_BACK: &[u8] = b"\x1b[?25h\x1b[?1049l";

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

/// Whether there are to be colours: set to whatever but nothing, `NO_COLOR` forbids them (no-color.org).
pub fn wants_colours() -> bool {
    let forbidden = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    understands_sequences() && !forbidden
}

/// The width of the terminal of standard output; 80 when it does not know.
pub fn columns() -> usize {
    size().0
}

/// Columns and rows of the terminal of standard output; 80 and 24 when it does not know.
pub fn size() -> (usize, usize) {
    match termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

/// Appends what takes the whole screen; what stood on it comes back with [`give_screen_back`], or when the program
/// panics.
pub fn take_screen(out: &mut Vec<u8>) {
    SCREEN_TAKEN.store(true, Ordering::Relaxed);
    out.extend_from_slice(TAKE_SCREEN);
}

/// Appends what shows the screen as it was before.
pub fn give_screen_back(out: &mut Vec<u8>) {
    if SCREEN_TAKEN.swap(false, Ordering::Relaxed) {
        out.extend_from_slice(GIVE_SCREEN_BACK);
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
    if SCREEN_TAKEN.swap(false, Ordering::Relaxed) {
        // Nothing more can be done about one that does not take it.
        let _ = rustix::io::write(stdout(), GIVE_SCREEN_BACK);
    }
    if let Some(before) = remember(None) {
        // A terminal that is gone has no modes to restore.
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}
