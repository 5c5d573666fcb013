//! Owns streams in memory that behave to the server as edge-triggered epoll and TCP do, and to the test
//! as badly as it likes.
//!
//! What is modelled, because the server relies on it: an edge is told once; an edge of readability says
//! writable too; a short read means that there is no more; a refused or shortened send is followed by a
//! writable edge once a third of the buffer is free, and not before; closing with unread input destroys
//! what the peer has not read yet (the reset). Edges may come late, and twice.
//!
//! What the server takes in is measured: more than its share of a turn fails the run at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use mynah::reactor::{Key, Readiness, Stream};

/// What all connections together brought in the present turn.
#[derive(Default)]
pub struct Meter {
    /// Counts the turns, so that nobody has to be told of a new one.
    turn: Cell<u64>,
    bytes: Cell<usize>,
    /// Turns that had their fill.
    pub full_turns: Cell<u64>,
    /// Connections that died while they were sent to.
    pub died_in_send: Cell<u64>,
}

/// From one connection in one turn, at the most.
const READ_BYTES: usize = 64 * 1024;
/// From all of them: beyond that nobody is read from any more.
const TURN_BYTES: usize = 256 * 1024;

impl Meter {
    pub fn begin_turn(&self) {
        self.turn.set(self.turn.get() + 1);
        self.bytes.set(0);
    }

    fn count(&self, bytes: usize) {
        assert!(
            self.bytes.get() < TURN_BYTES,
            "read on when the turn had its fill"
        );
        let before = self.bytes.replace(self.bytes.get() + bytes);
        // What is said is appended for each format, and counts again.
        let full = before < TURN_BYTES / 3 && self.bytes.get() >= TURN_BYTES / 3;
        self.full_turns.set(self.full_turns.get() + u64::from(full));
    }
}

/// How the kernel tells of what there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Once,
    /// And again, when there is nothing any more.
    Twice,
    /// Another time.
    Late,
}

/// Both directions of one connection, as they stand.
#[derive(Default)]
pub struct Link {
    meter: Rc<Meter>,
    /// When it was last read from, and how much it brought then.
    read_in: (u64, usize),
    /// It dies in the middle of the send after so many.
    fuse: Option<u32>,
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

pub fn link(meter: &Rc<Meter>, capacity: usize, miserly: usize) -> (SimStream, PeerEnd) {
    let link = Rc::new(RefCell::new(Link {
        meter: meter.clone(),
        capacity,
        miserly,
        // The edge that registration gives.
        writable_edge: true,
        ..Link::default()
    }));
    (SimStream(link.clone()), PeerEnd(link))
}

impl Link {
    fn die(&mut self) {
        self.reset = true;
        self.no_space = false;
        self.readable_edge = true;
        self.from_server.clear();
    }
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
        let taken = take(&mut link.to_server, buffer);
        let turn = link.meter.turn.get();
        let before = match link.read_in {
            (last, bytes) if last == turn => bytes,
            _ => 0,
        };
        link.read_in = (turn, before + taken);
        assert!(
            link.read_in.1 <= READ_BYTES,
            "one connection had more than its share of a turn"
        );
        link.meter.count(taken);
        Ok(taken)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_vectored(&[IoSlice::new(bytes)])
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut link = self.0.borrow_mut();
        assert!(!link.server_ended, "sent after the end");
        match &mut link.fuse {
            Some(0) => {
                link.fuse = None;
                link.die();
                let died = &link.meter.died_in_send;
                died.set(died.get() + 1);
            }
            Some(left) => *left -= 1,
            None => {}
        }
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
        self.0.borrow_mut().die();
    }

    /// It is killed while it is sent something, after so many sends more.
    pub fn reset_in_send(&self, sends: u32) {
        self.0.borrow_mut().fuse = Some(sends);
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

    /// What epoll would tell of this connection now.
    pub fn take_edge(&self, key: Key, telling: impl FnOnce() -> Telling) -> Option<Readiness> {
        let mut link = self.0.borrow_mut();
        if link.server_gone || !(link.readable_edge || link.writable_edge) {
            return None;
        }
        let readable = link.readable_edge;
        match telling() {
            Telling::Late => return None,
            Telling::Twice => {}
            Telling::Once => (link.readable_edge, link.writable_edge) = (false, false),
        }
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
