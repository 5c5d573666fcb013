//! Owns what a byte stream is to those who use one: the first of the two transport traits, and its
//! production half, a TCP connection of mio. Knows nothing of the bytes.

use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

/// A stream that takes and gives bytes without ever blocking.
///
/// `WouldBlock` means: wait for readiness. Any other error means that the connection is dead.
/// `Interrupted` is never returned.
pub trait Stream {
    /// Takes bytes in; `Ok(0)` (for a buffer that is not empty) is the peer's end of sending.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Gives bytes out; fewer than offered when the kernel's buffer is full.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Gives out several pieces as if they were one.
    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends the sending half: the peer reads what was sent, then an end of file.
    fn finish(&mut self) -> io::Result<()>;

    /// Has the kernel forget what it has taken and not delivered as soon as the stream is dropped: the peer finds the
    /// connection reset. Otherwise that waits there for a peer that does not read, megabytes of it, until it is gone.
    fn forget_unsent(&mut self) {}
}

/// A connection of another machine, or of this one.
impl Stream for mio::net::TcpStream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_io(|| recv(&*self, buffer))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_io(|| send(&*self, bytes))
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        retrying(|| self.write_vectored(pieces))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn forget_unsent(&mut self) {
        // Where it fails the kernel keeps them a while longer, as it would have.
        let _ = SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }
}

/// The same over a Unix socket. What was sent there is the peer's already, so there is nothing to forget.
impl Stream for mio::net::UnixStream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_io(|| recv(&*self, buffer))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_io(|| send(&*self, bytes))
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        retrying(|| self.write_vectored(pieces))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// The system call itself, as [`send`] is, where others go through the C library: its `send` and `recv` are where a
/// thread may be cancelled (pthreads(7)), and to say so and unsay it costs more than all else that we do for a delivery.
#[inline]
fn recv(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    retrying(|| {
        let (count, _) = rustix::net::recv(&socket, &mut *buffer, RecvFlags::empty())?;
        Ok(count)
    })
}

#[inline]
fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    retrying(|| Ok(rustix::net::send(&socket, bytes, SendFlags::NOSIGNAL)?))
}

/// A system call again and again until no signal came between (signal(7)).
pub(super) fn retrying<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
