//! Owns the words between a client session of any protocol and the person (or pipe) that uses it, and between
//! the session and whatever carries its bytes.
//! Knows no protocol, no socket, no clock and no terminal.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::chat::TimeOfDay;

/// What a person asks of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Say this to the room. Not empty.
    Say(&'a str),
    /// Say this to one member.
    Direct { to: &'a str, text: &'a str },
    /// Who is here?
    Who,
    /// Begin to talk with one member without the server.
    Start { to: &'a str },
    /// Say this to one member without the server.
    Chat { to: &'a str, text: &'a str },
    /// End talking with one member without the server.
    End { with: &'a str },
    /// Leave politely.
    Leave,
}

/// What a session tells the person. Texts are as they came: whoever shows them makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// We are in.
    Joined { name: String, room: String },
    /// Somebody said something to the room (we ourselves, where the protocol echoes).
    Message {
        from: String,
        text: String,
        time: Option<String>,
        /// From before we came.
        history: bool,
    },
    /// Somebody said something to us alone.
    Direct { from: String, text: String },
    /// Somebody came.
    Arrived { name: String },
    /// Somebody went.
    Left { name: String },
    /// Who is here.
    Members { names: Vec<String> },
    /// Whatever else the server says, or what became of what we asked.
    Notice { text: String },
    /// The server would not have us (exit status 3); the session is over.
    Refused { reason: String },
    /// The conversation was ended properly by the other side: a room closed by its host. The session is over.
    Closed { reason: String },
    /// What went wrong without the connection's telling (exit status 1); the session is over.
    Lost { reason: String },
}

/// The protocol has nothing for this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// A stream between this client and another, beside the one to the server. Numbered by the session, from
/// 0 on, never again in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerLink(pub u32);

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The server's datagram port.
    Server,
    /// Everybody on the network.
    Broadcast,
    /// Another client.
    Peer(SocketAddr),
}

/// What a session wants done about streams to other clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Take one connection from that IP on a port of the kernel's choice, then close the listener. Answered by
    /// [`PeerEvent::Listening`], then `Connected` or `Closed`.
    Listen { link: PeerLink, from: SocketAddr },
    /// Connect there. Answered by [`PeerEvent::Connected`] or `Closed`.
    Connect { link: PeerLink, to: SocketAddr },
    /// Send these bytes, behind those before.
    Send { link: PeerLink, bytes: Vec<u8> },
    /// Send what is to be sent, then close. Not answered.
    Close { link: PeerLink },
}

/// What became of a stream to another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent<'a> {
    /// One connection is waited for on this TCP port.
    Listening { port: u16 },
    /// The stream stands.
    Connected,
    /// All bytes that came and were not used yet.
    Bytes(&'a [u8]),
    /// The stream, or the waiting for it, is over. Not told after [`Call::Close`].
    Closed,
}

/// Everything that a session wants carried. Whoever owns the sockets drains it after each call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// For the stream to the server.
    pub stream: Vec<u8>,
    /// In this order.
    pub datagrams: Vec<(Destination, Vec<u8>)>,
    /// In this order.
    pub calls: Vec<Call>,
}

impl Outbound {
    /// Adds a datagram to the server.
    pub fn to_server(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.datagram(Destination::Server, encode);
    }

    /// Adds a datagram.
    pub fn datagram(&mut self, to: Destination, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.datagrams.push((to, bytes));
    }
}

/// What a session is lent while it handles something.
#[derive(Debug)]
pub struct Context<'a> {
    /// Now, on a clock that never goes back.
    pub now: Instant,
    /// The local time.
    pub time: TimeOfDay,
    /// What the person is told, in order.
    pub told: &'a mut Vec<Told>,
    /// What is to be carried.
    pub out: &'a mut Outbound,
}

/// The client half of a protocol, over whatever carries it.
///
/// Driving it: [`start`](ClientSession::start) once when connected; then, for whatever comes, one input
/// and all that it put into the [`Context`], before the next input. When
/// [`next_deadline`](ClientSession::next_deadline) is past, [`handle_timeout`](ClientSession::handle_timeout).
pub trait ClientSession {
    /// What the server broke, by name.
    type Violation: fmt::Display;

    /// The first things to send.
    fn start(&mut self, context: &mut Context<'_>);

    /// Takes all whole frames from the front of `input`, which came over the stream to the server, and
    /// returns how many bytes that was; the rest is given again with more behind it.
    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Self::Violation> {
        let _ = context;
        Ok(input.len())
    }

    /// The server has ended its half of the stream, all whole frames having been handled. Whether that is
    /// as it should be, and the conversation goes on (over datagrams).
    fn handle_stream_end(&mut self, context: &mut Context<'_>) -> bool {
        let _ = context;
        false
    }

    /// Takes a datagram. One that makes no sense is dropped: anybody may send those.
    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        let _ = (from, datagram, context);
    }

    /// Takes what became of a stream to another client; returns how many of its bytes were used.
    fn handle_peer(
        &mut self,
        link: PeerLink,
        event: PeerEvent<'_>,
        context: &mut Context<'_>,
    ) -> usize {
        let _ = (link, event, context);
        0
    }

    /// Takes a command of the person's. Before [`is_joined`](ClientSession::is_joined) there is only `Leave`.
    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported>;

    /// Something is due: a repeat, a keep-alive, the end of patience.
    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// When something will be due.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether we are in: before that, commands wait.
    fn is_joined(&self) -> bool;

    /// How many of our own messages and requests are not confirmed yet, where the protocol confirms
    /// them (or the session still waits for it).
    fn unanswered(&self) -> usize;

    /// Whether, after a `Leave`, nothing more is to be waited for. Over a stream its end says so, and this
    /// stays false.
    fn has_left(&self) -> bool {
        false
    }
}

/// A session of whatever protocol: what drives it is one piece of code, not one for each.
pub type AnySession = Box<dyn ClientSession<Violation = String>>;

/// Forgets which protocol a session is of: its violations are their words from here on.
pub fn any_session(session: impl ClientSession + 'static) -> AnySession {
    Box::new(Erased(session))
}

struct Erased<S>(S);

impl<S: ClientSession> ClientSession for Erased<S> {
    type Violation = String;

    fn start(&mut self, context: &mut Context<'_>) {
        self.0.start(context);
    }

    fn handle_bytes(&mut self, input: &[u8], context: &mut Context<'_>) -> Result<usize, String> {
        let used = self.0.handle_bytes(input, context);
        used.map_err(|violation| violation.to_string())
    }

    fn handle_stream_end(&mut self, context: &mut Context<'_>) -> bool {
        self.0.handle_stream_end(context)
    }

    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        self.0.handle_datagram(from, datagram, context);
    }

    fn handle_peer(
        &mut self,
        link: PeerLink,
        event: PeerEvent<'_>,
        context: &mut Context<'_>,
    ) -> usize {
        self.0.handle_peer(link, event, context)
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        self.0.handle_command(command, context)
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.0.handle_timeout(context);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.next_deadline()
    }

    fn is_joined(&self) -> bool {
        self.0.is_joined()
    }

    fn unanswered(&self) -> usize {
        self.0.unanswered()
    }

    fn has_left(&self) -> bool {
        self.0.has_left()
    }
}
