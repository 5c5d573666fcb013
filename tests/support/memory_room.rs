//! The whole server on streams in memory that take everything at once: what a delivery costs without a
//! kernel. For a test and a bench.

#![allow(dead_code, reason = "each user takes its part")]

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::time::Instant;

use mynah::chat::TimeOfDay;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame;
use mynah::reactor::{Key, Readiness, Stream};
use mynah::server::{Limits, Server};

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
    /// The server said no more, or has let go.
    closed: bool,
}

impl Eager {
    /// Bytes for the server to read.
    pub fn give(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_server.extend_from_slice(bytes);
    }

    /// Nothing more for the server to read.
    pub fn end(&self) {
        self.0.borrow_mut().ended = true;
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
        if ends.to_server.is_empty() {
            return match ends.ended {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let count = ends.to_server.len();
        buffer[..count].copy_from_slice(&ends.to_server);
        ends.to_server.clear();
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
        ends.delivered += bytes;
        ends.writes += 1;
        Ok(bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().closed = true;
        Ok(())
    }
}

/// The whole server with a lobby full of members, in memory.
pub struct Room {
    server: Server<Eager>,
    members: Vec<(Key, Eager)>,
    now: Instant,
}

impl Room {
    /// A lobby with that many members.
    pub fn with(members: usize) -> Room {
        let now = Instant::now();
        let mut room = Room {
            server: Server::new(Limits::default(), false, now),
            members: Vec::new(),
            now,
        };
        for n in 0..members {
            let stream = Eager::default();
            let peer = "127.0.0.1:1".parse().unwrap();
            let key = room
                .server
                .accept(stream.clone(), peer, Protocol::TcpRoom, now)
                .unwrap();
            room.members.push((key, stream));
            let mut join = Vec::new();
            frame::encode_join(&format!("member{n}"), &mut join);
            room.says(n, &join);
        }
        room
    }

    /// One member sends these bytes, and the server takes a turn.
    pub fn says(&mut self, member: usize, bytes: &[u8]) {
        let (key, stream) = &self.members[member];
        stream.0.borrow_mut().to_server.extend_from_slice(bytes);
        let readiness = Readiness {
            token: key.token(),
            readable: true,
            writable: true,
            read_closed: false,
        };
        self.server.handle_readiness(*key, readiness);
        self.server.turn(self.now, TimeOfDay::MIDNIGHT);
    }

    /// Bytes and writes so far, of all members.
    pub fn delivered(&self) -> (usize, usize) {
        let ends = self.members.iter().map(|(_, stream)| stream.0.borrow());
        ends.fold((0, 0), |(bytes, writes), ends| {
            (bytes + ends.delivered, writes + ends.writes)
        })
    }
}
