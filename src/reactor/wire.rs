//! Owns a stream of either kind, for who takes both: a TCP connection, or one of a Unix socket.

use std::io::{self, IoSlice};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::stream::Stream;

/// A connection, from wherever.
#[derive(Debug)]
pub enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream for Wire {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.recv(buffer),
            Wire::Unix(stream) => stream.recv(buffer),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.send(bytes),
            Wire::Unix(stream) => stream.send(bytes),
        }
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.send_vectored(pieces),
            Wire::Unix(stream) => stream.send_vectored(pieces),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.finish(),
            Wire::Unix(stream) => stream.finish(),
        }
    }

    fn forget_unsent(&mut self) {
        match self {
            Wire::Tcp(stream) => stream.forget_unsent(),
            Wire::Unix(stream) => stream.forget_unsent(),
        }
    }
}

impl Source for Wire {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.register(registry, token, what),
            Wire::Unix(stream) => stream.register(registry, token, what),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.reregister(registry, token, what),
            Wire::Unix(stream) => stream.reregister(registry, token, what),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.deregister(registry),
            Wire::Unix(stream) => stream.deregister(registry),
        }
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Wire {
        Wire::Tcp(stream)
    }
}

impl From<UnixStream> for Wire {
    fn from(stream: UnixStream) -> Wire {
        Wire::Unix(stream)
    }
}
