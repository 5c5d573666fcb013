//! Owns the members of a run: their sockets, their sessions, and what goes between the two. Knows neither how many
//! come in at a time nor who talks when.
//!
//! ```text
//!          open           connected          its session is in
//!   Away ───────▶ Connecting ─────▶ Asking ───────────────────▶ In
//!     │ datagrams alone              ▲ │                        │
//!     └──────────────────────────────┘ │ refused, ended         │ ended
//!                                      ▼                        ▼
//!                                    Gone ◀─────────────────── Gone
//! ```
//!
//! What is touched for every receipt (a socket, what is remembered of its stream) lies close together, apart from the
//! rest.

mod hearing;
mod passage;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use crate::chat::TimeOfDay;
use crate::load::crowd::{Crowd, Datagrams, Transport};
use crate::load::failure::Failure;
use crate::load::ledger::Ledger;
use crate::load::scan::{ROOM, Scan, Scanner};
use crate::protocol::{ClientSession, Command, Context, Destination, Outbound, Told};
use crate::reactor::{
    DatagramPort, Inbox, Outgoing, Poller, Readiness, Stream, TimerId, Timers, UdpPort,
};

/// All members.
pub struct Crew<'c, C: Crowd> {
    crowd: &'c C,
    poller: Poller,
    ready: Vec<Readiness>,
    streams: Vec<Option<TcpStream>>,
    scans: Vec<Scan>,
    ports: Vec<Option<UdpPort>>,
    members: Vec<Member<C::Session>>,
    /// Sessions of members from that number on are dropped when they are in and need none.
    talkers: usize,
    timers: Timers<u32>,
    due: Vec<u32>,
    scanner: Scanner,
    ledger: Ledger,
    /// Whether messages are looked for.
    listening: bool,
    /// What all streams are read to.
    buffer: Box<[u8]>,
    inbox: Option<Inbox>,
    told: Vec<Told>,
    out: Outbound,
    answers: Vec<u8>,
    /// Members who have something to send.
    unsent: Vec<usize>,
    /// How many of them wait until the kernel takes more.
    blocked: usize,
    /// Whose conversation is over, and nobody has looked yet.
    over: VecDeque<Over>,
    start: Instant,
    now: Instant,
    tally: Tally,
}

/// What one member has that is not touched for every receipt.
struct Member<S> {
    state: State,
    session: Option<S>,
    /// Received and not understood yet, until it is in.
    pending: Vec<u8>,
    /// To be sent over the stream, from `sent` on.
    stream: Vec<u8>,
    sent: usize,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Once everything is sent, its stream's sending half ends.
    finishes: bool,
    /// It is in the list of those who have something to send.
    listed: bool,
    /// It waits until the kernel takes more.
    blocked: bool,
    /// When its session wants to be called.
    deadline: Option<(Instant, TimerId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Connecting,
    Asking,
    In,
    Gone,
}

/// The end of a member's conversation.
#[derive(Debug)]
pub struct Over {
    pub member: usize,
    pub why: Why,
}

#[derive(Debug)]
pub enum Why {
    /// The server would not have it, in its words.
    Refused(String),
    /// Nobody listens there, or the way is barred.
    Unreachable(io::Error),
    /// The server ended it, or broke the protocol.
    Lost(String),
}

/// What is counted of all members together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Members that are in.
    pub inside: usize,
    /// What was received.
    pub bytes: u64,
    /// Reads that brought something.
    pub reads: u64,
    /// When something was received last.
    pub heard_at: Option<Instant>,
}

/// Read at once: far more than a burst of messages to one member.
const BUFFER: usize = 128 * 1024;

/// With more than this waiting to be sent, a member says no more: the server, or the way to it, is full.
const CONGESTED_BYTES: usize = 256 * 1024;
const CONGESTED_DATAGRAMS: usize = 256;

impl<'c, C: Crowd> Crew<'c, C> {
    /// So many members, all away.
    pub fn new(
        crowd: &'c C,
        members: usize,
        talkers: usize,
        scanner: Scanner,
        ledger: Ledger,
    ) -> Result<Crew<'c, C>, Failure> {
        let start = Instant::now();
        Ok(Crew {
            crowd,
            poller: Poller::new().map_err(Failure::system("opening a poll"))?,
            ready: Vec::new(),
            streams: (0..members).map(|_| None).collect(),
            scans: vec![Scan::default(); members],
            ports: (0..members).map(|_| None).collect(),
            members: (0..members).map(|_| Member::away()).collect(),
            talkers,
            timers: Timers::new(start),
            due: Vec::new(),
            scanner,
            ledger,
            listening: false,
            buffer: vec![0; ROOM + BUFFER].into_boxed_slice(),
            inbox: Some(Inbox::new()),
            told: Vec::new(),
            out: Outbound::default(),
            answers: Vec::new(),
            unsent: Vec::new(),
            blocked: 0,
            over: VecDeque::new(),
            start,
            now: start,
            tally: Tally::default(),
        })
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// From when the times of messages are counted.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Reads the clock, for the sessions too.
    pub fn now(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    /// Counts receipts from now on, and what is received.
    pub fn listen(&mut self) {
        self.listening = true;
        self.ledger.begin();
        self.tally.bytes = 0;
        self.tally.reads = 0;
    }

    /// Whose conversation has ended, and was not asked for yet: the first thing that was told of it.
    pub fn take_over(&mut self) -> Option<Over> {
        self.over.pop_front()
    }

    /// Where a member goes, for people.
    pub fn place(&self, member: usize) -> String {
        self.crowd.transport(member).place()
    }

    /// Whether so much waits to be sent that this member should say no more.
    pub fn is_congested(&self, member: usize) -> bool {
        let member = &self.members[member];
        member.stream.len() - member.sent > CONGESTED_BYTES
            || member.datagrams.len() > CONGESTED_DATAGRAMS
    }

    /// Has a member say something. It goes out with [`send_out`](Crew::send_out).
    pub fn say(&mut self, member: usize, text: &str) {
        // That a protocol can say nothing at all is not known.
        let _ = self.with(member, |session, context| {
            session.handle_command(Command::Say(text), context)
        });
    }

    /// One input of a session, and all that comes of it.
    fn with<R>(
        &mut self,
        number: usize,
        input: impl FnOnce(&mut C::Session, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let member = &mut self.members[number];
        let session = member.session.as_mut()?;
        let mut context = Context {
            now: self.now,
            time: TimeOfDay::MIDNIGHT,
            told: &mut self.told,
            out: &mut self.out,
        };
        let result = input(session, &mut context);
        let deadline = session.next_deadline();
        member.stream.append(&mut self.out.stream);
        let transport = || self.crowd.transport(number);
        for (to, bytes) in self.out.datagrams.drain(..) {
            if let Some(to) = destination(to, transport) {
                member.datagrams.push_back((to, bytes));
            }
        }
        // Nobody here talks without the server.
        self.out.calls.clear();
        let has_unsent = member.sent < member.stream.len() || !member.datagrams.is_empty();
        if has_unsent && !member.listed {
            member.listed = true;
            self.unsent.push(number);
        }
        for told in self.told.drain(..) {
            let why = match told {
                Told::Refused { reason } => Why::Refused(reason),
                Told::Closed { reason } | Told::Lost { reason } => Why::Lost(reason),
                _ => continue,
            };
            self.over.push_back(Over {
                member: number,
                why,
            });
        }
        self.rearm(number, deadline);
        Some(result)
    }

    fn rearm(&mut self, number: usize, deadline: Option<Instant>) {
        let member = &mut self.members[number];
        if member.deadline.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some((_, timer)) = member.deadline.take() {
            self.timers.cancel(timer);
        }
        member.deadline = deadline.map(|at| (at, self.timers.arm(at, number as u32)));
    }

    /// Waits for at most that long (`None` is for ever), and takes in what has come. Returns how many sockets were
    /// ready, and when the waiting was over.
    pub fn take_in(&mut self, timeout: Option<Duration>) -> Result<(usize, Instant), Failure> {
        self.ready.clear();
        let ready = self
            .poller
            .wait(timeout)
            .map_err(Failure::system("waiting"))?;
        self.ready.extend(ready);
        let count = self.ready.len();
        let woken = Instant::now();
        self.now = woken;
        let ready = std::mem::take(&mut self.ready);
        for readiness in &ready {
            let (number, is_port) = (readiness.token.0 >> 1, readiness.token.0 & 1 == 1);
            if is_port {
                self.read_port(number);
            } else if self.listening || self.is_connected(number) {
                if readiness.readable || readiness.read_closed {
                    self.read_stream(number, readiness.read_closed);
                }
            } else {
                continue;
            }
            if readiness.writable && self.blocked > 0 && self.members[number].blocked {
                self.flush(number);
            }
        }
        self.ready = ready;
        Ok((count, woken))
    }

    /// Calls the sessions whose time has come.
    pub fn fall_due(&mut self, now: Instant) {
        self.now = now;
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(now, &mut due);
        for number in due.drain(..) {
            let number = number as usize;
            self.members[number].deadline = None;
            self.with(number, |session, context| session.handle_timeout(context));
            self.look(number);
        }
        self.due = due;
    }

    /// When [`fall_due`](Crew::fall_due) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Sends whatever was made to be sent.
    pub fn send_out(&mut self) {
        while let Some(number) = self.unsent.pop() {
            self.members[number].listed = false;
            self.flush(number);
        }
    }

    fn flush(&mut self, number: usize) {
        let was_blocked = std::mem::take(&mut self.members[number].blocked);
        self.blocked -= usize::from(was_blocked);
        match self.try_flush(number) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.members[number].blocked = true;
                self.blocked += 1;
            }
            Err(error) => self.end(number, Why::Lost(error.to_string())),
        }
    }

    fn try_flush(&mut self, number: usize) -> io::Result<()> {
        let member = &mut self.members[number];
        if let Some(stream) = &mut self.streams[number] {
            while member.sent < member.stream.len() {
                member.sent += stream.send(&member.stream[member.sent..])?;
            }
        }
        member.stream.clear();
        member.sent = 0;
        if let (true, Some(stream)) = (
            std::mem::take(&mut member.finishes),
            &mut self.streams[number],
        ) {
            let _ = stream.finish();
        }
        let Some(port) = &mut self.ports[number] else {
            return Ok(());
        };
        while !member.datagrams.is_empty() {
            let outgoing: Vec<Outgoing<'_>> = member
                .datagrams
                .iter()
                .take(crate::reactor::BATCH)
                .map(|(to, bytes)| Outgoing {
                    to: (*to).into(),
                    bytes,
                })
                .collect();
            match port.send_batch(&outgoing) {
                Ok(sent) => {
                    member.datagrams.drain(..sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // That one is lost, as it might be anywhere on its way.
                Err(_) => {
                    member.datagrams.pop_front();
                }
            }
        }
        Ok(())
    }

    fn end_stream(&mut self, number: usize, reason: &str) {
        let goes_on = match self.members[number].state {
            State::In => self.ports[number].is_some(),
            State::Asking => self
                .with(number, |session, context| {
                    session.handle_stream_end(context)
                })
                .unwrap_or(false),
            State::Away | State::Connecting | State::Gone => false,
        };
        if goes_on {
            self.streams[number] = None;
            self.members[number].stream.clear();
            self.members[number].sent = 0;
        } else {
            self.end(number, Why::Lost(reason.to_string()));
        }
    }

    fn end(&mut self, member: usize, why: Why) {
        // Nothing more is to be had from it.
        self.streams[member] = None;
        self.ports[member] = None;
        self.over.push_back(Over { member, why });
    }
}

impl<S> Member<S> {
    fn away() -> Member<S> {
        Member {
            state: State::Away,
            session: None,
            pending: Vec::new(),
            stream: Vec::new(),
            sent: 0,
            datagrams: VecDeque::new(),
            finishes: false,
            listed: false,
            blocked: false,
            deadline: None,
        }
    }
}

fn stream_token(member: usize) -> Token {
    Token(member << 1)
}

fn port_token(member: usize) -> Token {
    Token(member << 1 | 1)
}

fn destination(to: Destination, transport: impl FnOnce() -> Transport) -> Option<SocketAddr> {
    match (to, transport().datagrams?) {
        (Destination::Server, Datagrams::Server(server)) => Some(server),
        (
            Destination::Broadcast,
            Datagrams::Broadcast {
                broadcast, port, ..
            },
        ) => Some(SocketAddrV4::new(broadcast, port).into()),
        (Destination::Peer(peer), Datagrams::Broadcast { .. }) => Some(peer),
        // A session that was given another port than it needs.
        (Destination::Server, Datagrams::Broadcast { .. })
        | (Destination::Broadcast | Destination::Peer(_), Datagrams::Server(_)) => None,
    }
}
