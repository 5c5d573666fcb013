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

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::crowd::{Crowd, Datagrams, Ends, Transport};
use super::failure::Failure;
use super::ledger::Ledger;
use super::scan::{Heard, ROOM, Scan, Scanner};
use super::text::Id;
use crate::chat::TimeOfDay;
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

/// So many leave at once, with a rest behind them: the server's buffer for datagrams holds a few hundred.
const LEAVING: usize = 32;
const LEAVING_REST: Duration = Duration::from_millis(1);

/// Long enough for a server to have read the last of them.
const FAREWELL: Duration = Duration::from_millis(100);

/// But that is all the time that leaving takes once everybody has said so.
const LEAVING_TIME: Duration = Duration::from_secs(1);

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

    /// Has a member come in.
    pub fn open(&mut self, member: usize) -> Result<(), Failure> {
        let transport = self.crowd.transport(member);
        if let Some(datagrams) = transport.datagrams {
            let mut port = open_port(datagrams).map_err(|error| Failure::Unreachable {
                address: transport.place(),
                error,
            })?;
            self.poller
                .register(&mut port, port_token(member))
                .map_err(Failure::system("watching a port"))?;
            self.ports[member] = Some(port);
        }
        match transport.stream {
            None => self.begin(member),
            Some(address) => {
                let unreachable = |error| Failure::Unreachable {
                    address: address.to_string(),
                    error,
                };
                let mut stream = TcpStream::connect(address).map_err(unreachable)?;
                self.poller
                    .register(&mut stream, stream_token(member))
                    .map_err(Failure::system("watching a connection"))?;
                self.streams[member] = Some(stream);
                self.members[member].state = State::Connecting;
            }
        }
        Ok(())
    }

    /// What carries it stands: its session starts.
    fn begin(&mut self, member: usize) {
        let stream = self.streams[member].as_ref();
        let ends = Ends {
            stream: stream.and_then(|stream| stream.local_addr().ok()),
            datagrams: self.ports[member]
                .as_ref()
                .and_then(|port| port.local_addr().ok()),
        };
        self.members[member].session = Some(self.crowd.session(member, &ends));
        self.members[member].state = State::Asking;
        self.with(member, |session, context| session.start(context));
        self.look(member);
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

    /// Whether this member has just come in.
    fn look(&mut self, number: usize) {
        let member = &mut self.members[number];
        if member.state != State::Asking
            || !member.session.as_ref().is_some_and(C::Session::is_joined)
        {
            return;
        }
        member.state = State::In;
        member.pending = Vec::new();
        self.tally.inside += 1;
        if number >= self.talkers && !self.crowd.needs_session(number) {
            self.rearm(number, None);
            self.members[number].session = None;
        }
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

    /// Whether a stream stands; one that has just come to stand is begun with.
    fn is_connected(&mut self, number: usize) -> bool {
        if self.members[number].state != State::Connecting {
            return true;
        }
        let Some(stream) = &self.streams[number] else {
            return false;
        };
        match connected(stream) {
            Ok(true) => {
                self.begin(number);
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.end(number, Why::Unreachable(error));
                false
            }
        }
    }

    fn read_stream(&mut self, number: usize, read_closed: bool) {
        while let Some(stream) = self.streams[number].as_mut() {
            let from = self.scans[number].restore(&mut self.buffer);
            match stream.recv(&mut self.buffer[ROOM..]) {
                Ok(0) => return self.end_stream(number, "the server has ended the connection"),
                Ok(length) => {
                    self.tally.bytes += length as u64;
                    self.tally.reads += 1;
                    if self.listening {
                        self.hear(number, from, ROOM + length);
                    } else {
                        self.take(number, length);
                    }
                    // The kernel has no more, or it will say so.
                    if length < BUFFER && !read_closed {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.end_stream(number, &error.to_string()),
            }
        }
    }

    /// Bytes of a member that is in, while messages are sent.
    fn hear(&mut self, number: usize, from: usize, to: usize) {
        let now = self.start.elapsed().as_nanos() as u64;
        self.ledger.set_now(now);
        let mut listener = Listener {
            crowd: self.crowd,
            ledger: &mut self.ledger,
            member: number,
            answers: &mut self.answers,
        };
        let bytes = &self.buffer[from..to];
        self.scanner
            .scan(&mut self.scans[number], bytes, &mut listener);
        if !self.answers.is_empty() {
            self.send_answers(number);
        }
    }

    /// Bytes before messages are sent.
    fn take(&mut self, number: usize, length: usize) {
        self.tally.heard_at = Some(self.now);
        let bytes = &self.buffer[ROOM..ROOM + length];
        if self.members[number].state != State::Asking {
            self.crowd.answer(number, bytes, &mut self.answers);
            return self.send_answers(number);
        }
        let mut pending = std::mem::take(&mut self.members[number].pending);
        pending.extend_from_slice(bytes);
        let used = self.with(number, |session, context| {
            session.handle_bytes(&pending, context)
        });
        match used {
            Some(Ok(used)) => {
                pending.drain(..used);
            }
            Some(Err(violation)) => {
                let reason = format!("the server breaks the protocol: {violation}");
                self.end(number, Why::Lost(reason));
            }
            None => {}
        }
        self.members[number].pending = pending;
        self.look(number);
    }

    fn send_answers(&mut self, number: usize) {
        if self.answers.is_empty() {
            return;
        }
        let member = &mut self.members[number];
        member.stream.append(&mut self.answers);
        if !member.listed {
            member.listed = true;
            self.unsent.push(number);
        }
    }

    fn read_port(&mut self, number: usize) {
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        while let Some(port) = self.ports[number].as_mut() {
            match port.recv_batch(&mut inbox) {
                Ok(()) => {
                    self.tally.reads += 1;
                    self.tally.heard_at = Some(self.now);
                    if self.listening {
                        let now = self.start.elapsed().as_nanos() as u64;
                        self.ledger.set_now(now);
                    }
                    for datagram in inbox.iter() {
                        self.tally.bytes += datagram.bytes.len() as u64;
                        self.hear_datagram(number, datagram.from, datagram.bytes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.end(number, Why::Unreachable(error));
                }
                // It concerns one datagram, which is lost.
                Err(_) => {}
            }
        }
        self.inbox = Some(inbox);
    }

    fn hear_datagram(&mut self, number: usize, from: SocketAddr, datagram: &[u8]) {
        if self.listening
            && let Some(id) = self.scanner.find(datagram)
        {
            self.ledger.receive(number, id);
            let is_own = usize::from(id.sender) == number;
            if !is_own || !self.crowd.needs_own_words(number) {
                return;
            }
        }
        self.with(number, |session, context| {
            session.handle_datagram(from, datagram, context);
        });
        self.look(number);
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

    /// Has everybody leave, so that their names are free when this returns: datagrams say so, streams end. A server
    /// that does not answer is not waited for long.
    pub fn leave(&mut self) -> Result<(), Failure> {
        self.listening = false;
        for number in 0..self.members.len() {
            let is_in = self.members[number].state == State::In;
            if is_in && self.streams[number].is_some() {
                // Whatever else it sends is read until it ends, too.
                self.members[number].finishes = true;
                self.flush(number);
            } else {
                self.streams[number] = None;
            }
            if self.ports[number].is_some() {
                let _ = self.with(number, |session, context| {
                    session.handle_command(Command::Leave, context)
                });
            }
            if number % LEAVING == LEAVING - 1 {
                self.send_out();
                self.take_in(Some(LEAVING_REST))?;
            }
        }
        self.send_out();
        // Most protocols do not answer a farewell over datagrams.
        let has_ports = self.ports.iter().any(Option::is_some);
        let said = self.now();
        let quiet = said + if has_ports { FAREWELL } else { Duration::ZERO };
        while self.now() < said + LEAVING_TIME && (self.now < quiet || self.are_some_left()) {
            self.send_out();
            self.take_in(Some(LEAVING_REST))?;
            self.fall_due(self.now);
        }
        Ok(())
    }

    fn are_some_left(&self) -> bool {
        let waits = |member: &Member<C::Session>| {
            let session = member.session.as_ref();
            !member.datagrams.is_empty() || session.is_some_and(|session| !session.has_left())
        };
        let mut ports = self.ports.iter().zip(&self.members);
        self.streams.iter().any(Option::is_some)
            || !self.unsent.is_empty()
            || ports.any(|(port, member)| port.is_some() && waits(member))
    }

    /// A member is gone: its sockets are closed and its session is dropped. Whether it was in.
    pub fn let_go(&mut self, number: usize) -> bool {
        self.streams[number] = None;
        self.ports[number] = None;
        self.rearm(number, None);
        let was_blocked = self.members[number].blocked;
        self.blocked -= usize::from(was_blocked);
        let listed = self.members[number].listed;
        let gone = Member {
            state: State::Gone,
            listed,
            ..Member::away()
        };
        let before = std::mem::replace(&mut self.members[number], gone);
        let was_in = before.state == State::In;
        self.tally.inside -= usize::from(was_in);
        was_in
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

/// Enters what one member hears into the ledger.
struct Listener<'a, C> {
    crowd: &'a C,
    ledger: &'a mut Ledger,
    member: usize,
    answers: &'a mut Vec<u8>,
}

impl<C: Crowd> Heard for Listener<'_, C> {
    fn expected(&self, sender: u16) -> u32 {
        self.ledger.expected(self.member, sender)
    }

    fn run(&mut self, sender: u16, first: u32, end: u32) {
        self.ledger.receive_run(self.member, sender, first, end);
    }

    fn message(&mut self, id: Id) {
        self.ledger.receive(self.member, id);
    }

    fn between(&mut self, bytes: &[u8]) {
        self.crowd.answer(self.member, bytes, self.answers);
    }
}

fn stream_token(member: usize) -> Token {
    Token(member << 1)
}

fn port_token(member: usize) -> Token {
    Token(member << 1 | 1)
}

fn open_port(datagrams: Datagrams) -> io::Result<UdpPort> {
    match datagrams {
        Datagrams::Server(server) => {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            UdpPort::connect(SocketAddr::new(any, 0), server)
        }
        Datagrams::Broadcast {
            bind,
            broadcast,
            port,
        } => {
            let mut own = UdpPort::bind_broadcast(SocketAddrV4::new(bind, port))?;
            own.hear_also(UdpPort::bind_broadcast(SocketAddrV4::new(broadcast, port))?);
            Ok(own)
        }
    }
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

/// Whether a connection under way has come about; an error when it never will.
fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => {
            // A message is one small write, and nothing comes behind it that it could wait for.
            stream.set_nodelay(true)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::load::floor::{Floor, FloorCrowd};
    use crate::load::text::Marking;

    #[test]
    fn whatever_was_said_goes_out_before_a_member_leaves() {
        const TEXT: usize = 1000;
        const MESSAGES: usize = 8000;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let crowd = FloorCrowd::new(Floor::Stream, listener.local_addr().unwrap(), 0, true);
        let mut crew = Crew::new(
            &crowd,
            1,
            1,
            Scanner::new(Marking::new(1, TEXT)),
            Ledger::new(1, &[true]),
        )
        .unwrap();
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut hello = [0; 4];
            stream.read_exact(&mut hello).unwrap();
            let length = u32::from_le_bytes(hello) as usize;
            stream.read_exact(&mut vec![0; length]).unwrap();
            stream.write_all(&[1, 0, 0, 0, b'A']).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).map(|_| rest)
        });
        crew.open(0).unwrap();
        while crew.tally().inside == 0 {
            crew.send_out();
            crew.take_in(Some(Duration::from_millis(10))).unwrap();
        }
        let text = "x".repeat(TEXT);
        for _ in 0..MESSAGES {
            crew.say(0, &text);
        }
        crew.leave().unwrap();
        drop(crew);
        let rest = server.join().unwrap().unwrap();
        let said = rest.iter().filter(|byte| **byte == b'x').count();
        assert_eq!(said, MESSAGES * TEXT);
    }
}
