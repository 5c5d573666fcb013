//! Owns streams in memory that behave to the server as edge-triggered epoll and TCP do, and to the test
//! as badly as it likes.
//!
//! What is modelled, because the server relies on it: an edge is told once; an edge of readability says
//! writable too; a short read means that there is no more; a refused or shortened send is followed by a
//! writable edge once a third of the buffer is free, and not before; closing with unread input destroys
//! what the peer has not read yet (the reset).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use mynah::reactor::{Key, Readiness, Stream};

/// Both directions of one connection, as they stand.
#[derive(Default)]
pub struct Link {
    /// Arrived at the server and not read by it.
    to_server: VecDeque<u8>,
    /// The peer has ended its half, and that has arrived.
    peer_ended: bool,
    /// The peer's machine has sent a reset.
    reset: bool,
    /// In the server's kernel buffer or on the way.
    from_server: VecDeque<u8>,
    /// What the server's kernel takes before it refuses.
    capacity: usize,
    /// A send was refused or shortened: a writable edge is owed.
    no_space: bool,
    /// Edges not told yet.
    readable_edge: bool,
    writable_edge: bool,
    /// The server has ended its half, or is gone altogether.
    pub server_ended: bool,
    pub server_gone: bool,
    /// Every so many bytes the kernel takes less than it has room for.
    miserly: usize,
}

/// The server's end.
#[derive(Clone)]
pub struct SimStream(Rc<RefCell<Link>>);

/// The peer's end.
#[derive(Clone)]
pub struct PeerEnd(Rc<RefCell<Link>>);

pub fn link(capacity: usize, miserly: usize) -> (SimStream, PeerEnd) {
    let link = Rc::new(RefCell::new(Link {
        capacity,
        miserly,
        // The edge that registration gives.
        writable_edge: true,
        ..Link::default()
    }));
    (SimStream(link.clone()), PeerEnd(link))
}

impl Stream for SimStream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut link = self.0.borrow_mut();
        if link.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if link.to_server.is_empty() {
            return match link.peer_ended {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        }
        Ok(take(&mut link.to_server, buffer))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_vectored(&[IoSlice::new(bytes)])
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut link = self.0.borrow_mut();
        assert!(!link.server_ended, "sent after the end");
        if link.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(
            offered > 0,
            "a write of nothing is a system call for nothing"
        );
        let mut room = link.capacity - link.from_server.len();
        if link.miserly > 0 {
            room = room.min(1 + (link.from_server.len() * 7 + offered) % link.miserly);
        }
        let taken = offered.min(room);
        let mut left = taken;
        for piece in pieces {
            let part = &piece[..piece.len().min(left)];
            link.from_server.extend(part);
            left -= part.len();
        }
        if taken < offered {
            link.no_space = true;
        }
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut link = self.0.borrow_mut();
        link.server_ended = true;
        match link.reset {
            true => Err(ErrorKind::NotConnected.into()),
            false => Ok(()),
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut link = self.0.borrow_mut();
        if !link.to_server.is_empty() {
            link.from_server.clear();
        }
        link.server_gone = true;
    }
}

impl PeerEnd {
    /// Bytes arrive at the server.
    pub fn send(&self, bytes: &[u8]) {
        let mut link = self.0.borrow_mut();
        link.to_server.extend(bytes);
        link.readable_edge = true;
    }

    /// The peer says that it will send no more.
    pub fn end(&self) {
        let mut link = self.0.borrow_mut();
        link.peer_ended = true;
        link.readable_edge = true;
    }

    /// The peer's process is killed: epoll tells of it in every direction.
    pub fn reset(&self) {
        let mut link = self.0.borrow_mut();
        link.reset = true;
        link.no_space = false;
        link.readable_edge = true;
        link.from_server.clear();
    }

    /// Reads at most so many bytes of what the server has sent.
    pub fn receive(&self, limit: usize, into: &mut Vec<u8>) {
        let mut link = self.0.borrow_mut();
        let before = into.len();
        into.resize(before + link.from_server.len().min(limit), 0);
        take(&mut link.from_server, &mut into[before..]);
        if link.no_space && link.capacity - link.from_server.len() > link.capacity / 3 {
            link.no_space = false;
            link.writable_edge = true;
        }
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        let link = self.0.borrow();
        link.from_server.is_empty() && (link.server_ended || link.server_gone)
    }

    pub fn server_gone(&self) -> bool {
        self.0.borrow().server_gone
    }

    /// What epoll would tell of this connection now, once.
    pub fn take_edge(&self, key: Key) -> Option<Readiness> {
        let mut link = self.0.borrow_mut();
        if link.server_gone || !(link.readable_edge || link.writable_edge) {
            return None;
        }
        let readable = std::mem::take(&mut link.readable_edge);
        link.writable_edge = false;
        Some(Readiness {
            token: key.token(),
            readable,
            // Every event on epoll says so when there is room (and room there is unless a send was
            // refused).
            writable: !link.no_space,
            read_closed: readable && (link.peer_ended || link.reset),
        })
    }
}

/// Moves as many bytes as there are and fit. In two pieces, for the queue is a ring.
fn take(queue: &mut VecDeque<u8>, into: &mut [u8]) -> usize {
    let count = queue.len().min(into.len());
    let (front, back) = queue.as_slices();
    let middle = count.min(front.len());
    into[..middle].copy_from_slice(&front[..middle]);
    into[middle..count].copy_from_slice(&back[..count - middle]);
    queue.drain(..count);
    count
}
