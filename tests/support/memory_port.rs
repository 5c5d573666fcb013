//! A datagram port in memory: what is given arrives, what is sent is kept, and nothing is lost.

#![allow(dead_code, reason = "each user takes its part")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use mynah::reactor::{DatagramPort, Inbox, Outgoing, SEND_BATCH, Told};

/// Both ends of it.
#[derive(Clone, Default)]
pub struct MemoryPort(Rc<RefCell<Ends>>);

#[derive(Default)]
struct Ends {
    own: Option<SocketAddr>,
    arrived: VecDeque<(SocketAddr, Vec<u8>)>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    /// What the kernel says to the next sends.
    errors: VecDeque<io::Error>,
    /// What it says to the next receives.
    failures: VecDeque<io::Error>,
    /// What the kernel tells of those who were sent to.
    told: VecDeque<Told>,
    /// Datagrams that the kernel takes before it refuses.
    room: Option<usize>,
    /// What is sent is counted and not kept.
    only_counts: bool,
    /// Bytes and datagrams sent so far.
    delivered: (usize, usize),
    /// The memory of those that were received, for those to come.
    spare: Vec<Vec<u8>>,
}

impl MemoryPort {
    /// One that knows where it is.
    pub fn at(address: SocketAddr) -> MemoryPort {
        let port = MemoryPort::default();
        port.0.borrow_mut().own = Some(address);
        port
    }

    /// One that counts what is sent and forgets it.
    pub fn counting() -> MemoryPort {
        let port = MemoryPort::default();
        port.0.borrow_mut().only_counts = true;
        port
    }

    /// All bytes sent so far, and the datagrams that they were sent in.
    pub fn delivered(&self) -> (usize, usize) {
        self.0.borrow().delivered
    }

    /// A datagram arrives.
    pub fn give(&self, from: SocketAddr, bytes: &[u8]) {
        let mut ends = self.0.borrow_mut();
        let mut datagram = ends.spare.pop().unwrap_or_default();
        datagram.clear();
        datagram.extend_from_slice(bytes);
        ends.arrived.push_back((from, datagram));
    }

    /// What was sent since this was asked before.
    pub fn take(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }

    /// What was sent to one address since [`take`](MemoryPort::take), as text; it is taken.
    pub fn take_for(&self, to: SocketAddr) -> Vec<String> {
        let mut ends = self.0.borrow_mut();
        let (his, others) = std::mem::take(&mut ends.sent)
            .into_iter()
            .partition(|(address, _)| *address == to);
        ends.sent = others;
        let his: Vec<(SocketAddr, Vec<u8>)> = his;
        let texts = his
            .into_iter()
            .map(|(_, bytes)| String::from_utf8(bytes).unwrap());
        texts.collect()
    }

    /// The next send fails like this.
    pub fn fail(&self, error: impl Into<io::Error>) {
        self.0.borrow_mut().errors.push_back(error.into());
    }

    /// So does the next receive, although something may have arrived.
    pub fn fail_to_receive(&self, error: impl Into<io::Error>) {
        self.0.borrow_mut().failures.push_back(error.into());
    }

    /// The kernel hears that nobody is there.
    pub fn tell_unreachable(&self, address: SocketAddr) {
        self.tell(Told::NobodyAt(address));
    }

    /// The kernel has something to tell.
    pub fn tell(&self, word: Told) {
        self.0.borrow_mut().told.push_back(word);
    }

    /// How many of those nobody has asked for.
    pub fn untold(&self) -> usize {
        self.0.borrow().told.len()
    }

    /// The kernel takes so many datagrams more, and no others until it is told again.
    pub fn make_room(&self, datagrams: usize) {
        self.0.borrow_mut().room = Some(datagrams);
    }
}

impl DatagramPort for MemoryPort {
    fn recv_batch(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.clear();
        let mut ends = self.0.borrow_mut();
        if let Some(error) = ends.failures.pop_front() {
            return Err(error);
        }
        if ends.arrived.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        while !inbox.is_full()
            && let Some((from, bytes)) = ends.arrived.pop_front()
        {
            inbox.push(from, &bytes);
            ends.spare.push(bytes);
        }
        Ok(())
    }

    fn send_batch(&mut self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        if let Some(error) = ends.errors.pop_front() {
            return Err(error);
        }
        let room = ends.room.unwrap_or(SEND_BATCH).min(SEND_BATCH);
        let taken = outgoing.len().min(room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if let Some(room) = &mut ends.room {
            *room -= taken;
        }
        for one in outgoing.iter().take(taken) {
            ends.delivered.0 += one.bytes.len();
            ends.delivered.1 += 1;
            if !ends.only_counts {
                ends.sent.push((one.to.address(), one.bytes.to_vec()));
            }
        }
        Ok(taken)
    }

    fn own_address(&self) -> Option<SocketAddr> {
        self.0.borrow().own
    }

    fn next_told(&mut self) -> Told {
        let word = self.0.borrow_mut().told.pop_front();
        word.unwrap_or(Told::Nothing)
    }
}
