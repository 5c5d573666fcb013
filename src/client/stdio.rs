//! Owns reading standard input and writing standard output without ever blocking and without changing them.
//! Knows nothing of the bytes.
//!
//! `O_NONBLOCK` belongs to the open file, which the shell and other programs share: switching it would break
//! them. So poll(2) with no timeout is asked before each read and each write, and a write is never longer
//! than what is sure to fit when it says yes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::termios;

use crate::reactor::Poller;

/// Standard input.
#[derive(Debug)]
pub struct Input {
    fd: BorrowedFd<'static>,
    ended: bool,
}

/// Standard output, and what it has not taken yet.
#[derive(Debug)]
pub struct Output {
    fd: BorrowedFd<'static>,
    /// Bytes that fit into one write for sure.
    piece: usize,
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    written: usize,
    /// Nobody will ever read it.
    gone: bool,
    /// A full disk, say: not just a reader that went away.
    failure: Option<io::Error>,
}

/// A pipe with room has room for this much without blocking (pipe(7), `PIPE_BUF`).
const PIPE_PIECE: usize = 4096;

/// A pseudo-terminal takes memory in steps of this size (tty_buffer.c), so that is what it has room for
/// when it has room at all; a longer write would sleep until somebody reads.
const TERMINAL_PIECE: usize = 256;

/// Written per call at most: there is other work in a turn.
const WRITE_BUDGET: usize = 64 * 1024;

impl Input {
    /// From now on, new input ends the poller's wait.
    pub fn open(poller: &Poller, token: Token) -> io::Result<Input> {
        let fd = rustix::stdio::stdin();
        watch(poller, fd, token, Interest::READABLE)?;
        Ok(Input { fd, ended: false })
    }

    /// Whether [`read`](Input::read) has something to say.
    pub fn is_ready(&self) -> bool {
        !self.ended && is_ready(self.fd, PollFlags::IN)
    }

    /// Whether there will be no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads once what is there. 0 is "nothing now", or the end: see [`has_ended`](Input::has_ended).
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        if !self.is_ready() {
            return 0;
        }
        match rustix::io::read(self.fd, buffer) {
            // Somebody else who shares it may have been faster, with O_NONBLOCK on.
            Err(Errno::INTR | Errno::AGAIN) => 0,
            // A terminal that was hung up says EIO: it is as much an end as any.
            Ok(0) | Err(_) => {
                self.ended = true;
                0
            }
            Ok(count) => count,
        }
    }
}

impl Output {
    /// From now on, room to write ends the poller's wait.
    pub fn open(poller: &Poller, token: Token) -> io::Result<Output> {
        let fd = rustix::stdio::stdout();
        watch(poller, fd, token, Interest::WRITABLE)?;
        let piece = match termios::isatty(fd) {
            true => TERMINAL_PIECE,
            false => PIPE_PIECE,
        };
        Ok(Output {
            fd,
            piece,
            waiting: Vec::new(),
            written: 0,
            gone: false,
            failure: None,
        })
    }

    /// Where to put what is to be written; it waits until [`write`](Output::write).
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// Whether [`write`](Output::write) has something that it could write.
    pub fn is_ready(&self) -> bool {
        self.waiting() > 0 && is_ready(self.fd, PollFlags::OUT)
    }

    /// Whether nobody will read it any more: then everything is thrown away.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Why it could not be written, unless its reader just went away.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Forgets what waits.
    pub fn abandon(&mut self) {
        self.waiting.clear();
        self.written = 0;
    }

    /// Writes as much as is taken without blocking, within a budget.
    pub fn write(&mut self) {
        let mut budget = WRITE_BUDGET;
        while budget > 0 && !self.gone && self.is_ready() {
            let rest = &self.waiting[self.written..];
            let piece = &rest[..rest.len().min(self.piece)];
            match rustix::io::write(self.fd, piece) {
                Ok(count) => {
                    self.written += count;
                    budget = budget.saturating_sub(count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // A reader that goes away has seen enough: `mynah chat … | head -1`.
                Err(Errno::PIPE) => self.gone = true,
                Err(error) => {
                    self.gone = true;
                    self.failure = Some(error.into());
                }
            }
        }
        if self.gone || self.waiting() == 0 {
            self.abandon();
        } else if self.written > self.waiting.len() / 2 {
            self.waiting.drain(..self.written);
            self.written = 0;
        }
    }
}

/// Epoll does not take regular files (EPERM). They are always ready, which poll(2) says too.
fn watch(
    poller: &Poller,
    fd: BorrowedFd<'static>,
    token: Token,
    interest: Interest,
) -> io::Result<()> {
    let raw = fd.as_raw_fd();
    match poller
        .registry()
        .register(&mut SourceFd(&raw), token, interest)
    {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

fn is_ready(fd: BorrowedFd<'static>, flags: PollFlags) -> bool {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&fd, flags)];
    // An error or a hang-up is something to find out about by reading or writing.
    matches!(rustix::event::poll(&mut fds, Some(&AT_ONCE)), Ok(1..))
}
