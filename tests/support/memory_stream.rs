//! A stream in memory whose far end takes everything at once.

#![allow(dead_code, reason = "each user takes its part")]

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use mynah::reactor::{Readiness, Stream};

/// A peer that takes everything at once, and says what it is given to say.
#[derive(Clone, Default)]
pub struct Eager(Rc<RefCell<Ends>>);

#[derive(Default)]
struct Ends {
    to_server: Vec<u8>,
    delivered: usize,
    writes: usize,
    /// All that came, where somebody wants to see it.
    received: Option<Vec<u8>>,
    /// The first bytes that came.
    first: Option<u8>,
    /// The peer says no more.
    ended: bool,
    /// The peer's kernel takes nothing more.
    refuses: bool,
    /// What the kernel says to the next read.
    error: Option<io::Error>,
    /// The server said no more, or has let go.
    closed: bool,
}

impl Eager {
    /// All bytes that came so far, and the writes that they came in.
    pub fn delivered(&self) -> (usize, usize) {
        let ends = self.0.borrow();
        (ends.delivered, ends.writes)
    }

    /// Bytes for the server to read.
    pub fn give(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_server.extend_from_slice(bytes);
    }

    /// How much of that it has not read.
    pub fn unread(&self) -> usize {
        self.0.borrow().to_server.len()
    }

    /// Nothing more for the server to read.
    pub fn end(&self) {
        self.0.borrow_mut().ended = true;
    }

    /// The next read fails like this.
    pub fn fail(&self, error: impl Into<io::Error>) {
        self.0.borrow_mut().error = Some(error.into());
    }

    /// Takes nothing from now on.
    pub fn refuse(&self) {
        self.0.borrow_mut().refuses = true;
    }

    /// Keeps all that comes from now on.
    pub fn keep(&self) {
        self.0.borrow_mut().received = Some(Vec::new());
    }

    /// All that came since [`keep`](Eager::keep).
    pub fn received(&self) -> Vec<u8> {
        self.0.borrow().received.clone().unwrap_or_default()
    }

    /// Whether the server has ended this connection.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// The first byte that the server sent, if any.
    pub fn first(&self) -> Option<u8> {
        self.0.borrow().first
    }
}

impl Stream for Eager {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        if let Some(error) = ends.error.take() {
            return Err(error);
        }
        if ends.to_server.is_empty() {
            return match ends.ended {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let count = ends.to_server.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ends.to_server[..count]);
        ends.to_server.drain(..count);
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        if ends.refuses {
            return Err(ErrorKind::WouldBlock.into());
        }
        ends.first = ends.first.or(bytes.first().copied());
        if let Some(received) = &mut ends.received {
            received.extend_from_slice(bytes);
        }
        ends.delivered += bytes.len();
        ends.writes += 1;
        Ok(bytes.len())
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let mut ends = self.0.borrow_mut();
        if ends.refuses {
            return Err(ErrorKind::WouldBlock.into());
        }
        let first = pieces.iter().find_map(|piece| piece.first());
        ends.first = ends.first.or(first.copied());
        if let Some(received) = &mut ends.received {
            pieces
                .iter()
                .for_each(|piece| received.extend_from_slice(piece));
        }
        ends.delivered += bytes;
        ends.writes += 1;
        Ok(bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().closed = true;
        Ok(())
    }
}

/// What the kernel says of a socket that has brought something.
pub fn readable(token: mio::Token) -> Readiness {
    Readiness {
        token,
        readable: true,
        writable: true,
        read_closed: false,
    }
}
