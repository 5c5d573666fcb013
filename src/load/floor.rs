//! Owns the floor under every server: a bare loop that hands on what it is sent and does nothing else, and the crowd
//! that talks to it. Knows no name, no room, no history and no log: what it costs is what the kernel costs.
//!
//! Over a stream a frame is its length (four bytes, little-endian, of the rest) and the rest. The first frame of a
//! member is a hello of one byte, which says whether it is to be sent its own frames; it is answered with one. Every
//! other frame is handed on as it is. Over datagrams it is the same without the length, and what is short is a hello or the end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::{TcpListener, TcpStream};

use super::crowd::{Crowd, Ends, Transport};
use super::plan::Plan;
use crate::protocol::{ClientSession, Command, Context, Told, Unsupported};
use crate::reactor::{Poller, Readiness, Stream, raise_descriptor_limit};

/// What is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// For each frame that came one send to each member: the floor for one message at a time.
    Stream,
    /// All frames that a read brought, then one send to each member with all of them: the floor for bursts.
    Gathering,
    /// For each datagram that came one to each member.
    Datagrams,
}

/// What a member says first: whether it wants its own frames.
const ECHOES: u8 = b'E';
const SILENT: u8 = b'S';

/// What it says last, over datagrams.
const LEAVING: u8 = b'L';

/// And what its hello is answered.
const ANSWER: u8 = b'A';

/// The bytes of a length.
const LENGTH: usize = 4;

/// A frame is not longer than a text and what any protocol puts around it.
const MAX_FRAME: usize = 2 * Plan::MOST_PAYLOAD;

const LISTENER: Token = Token(usize::MAX);

/// Read at once.
const BUFFER: usize = 256 * 1024;

/// More unsent than that, and a member is gone: it does not read.
const MAX_UNSENT: usize = 8 * 1024 * 1024;

/// Serves until the process ends, at `listen`; `ready` is told where that is in the end. Meant for a process of its
/// own, so that what it costs can be told apart.
pub fn serve(
    floor: Floor,
    listen: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> io::Result<Infallible> {
    raise_descriptor_limit()?;
    match floor {
        Floor::Stream | Floor::Gathering => {
            let mut listener = TcpListener::bind(listen)?;
            let poller = Poller::new()?;
            poller.register_reading(&mut listener, LISTENER)?;
            ready(listener.local_addr()?);
            let gathers = floor == Floor::Gathering;
            Room::new(gathers).serve(poller, &listener)
        }
        Floor::Datagrams => {
            // It has nothing else to wait for, so it needs no poll.
            let socket = UdpSocket::bind(listen)?;
            ready(socket.local_addr()?);
            serve_datagrams(&socket)
        }
    }
}

/// Everybody connected.
struct Room {
    gathers: bool,
    /// Small, and one behind the other: this is what is gone through for every frame.
    members: Vec<Option<Seat>>,
    vacant: Vec<usize>,
    /// What has come of a frame that is not whole, and what could not be sent: mostly nothing, of nobody.
    halves: HashMap<usize, Vec<u8>>,
    unsent: HashMap<usize, Vec<u8>>,
    gone: Vec<usize>,
}

struct Seat {
    stream: TcpStream,
    state: SeatState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeatState {
    /// Its hello has not come.
    New,
    In {
        echoes: bool,
        /// Something could not be sent.
        waits: bool,
    },
}

impl Room {
    fn new(gathers: bool) -> Room {
        Room {
            gathers,
            members: Vec::new(),
            vacant: Vec::new(),
            halves: HashMap::new(),
            unsent: HashMap::new(),
            gone: Vec::new(),
        }
    }

    fn serve(mut self, mut poller: Poller, listener: &TcpListener) -> io::Result<Infallible> {
        let mut buffer = vec![0; BUFFER];
        let mut ready: Vec<Readiness> = Vec::new();
        loop {
            ready.clear();
            ready.extend(poller.wait(None)?);
            for readiness in &ready {
                if readiness.token == LISTENER {
                    self.accept(&poller, listener)?;
                    continue;
                }
                let number = readiness.token.0;
                if readiness.writable && self.unsent.contains_key(&number) {
                    self.send_unsent(number);
                }
                if readiness.readable || readiness.read_closed {
                    self.read(number, &mut buffer, readiness.read_closed);
                }
                while let Some(gone) = self.gone.pop() {
                    self.remove(gone);
                }
            }
        }
    }

    fn accept(&mut self, poller: &Poller, listener: &TcpListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let number = self.vacant.pop().unwrap_or(self.members.len());
                    poller.register(&mut stream, Token(number))?;
                    let state = SeatState::New;
                    let seat = Some(Seat { stream, state });
                    match self.members.get_mut(number) {
                        Some(place) => *place = seat,
                        None => self.members.push(seat),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, number: usize, buffer: &mut [u8], read_closed: bool) {
        while let Some(Some(seat)) = self.members.get_mut(number) {
            // Half a frame goes before what comes now.
            let half = self.halves.remove(&number).unwrap_or_default();
            let (front, room) = buffer.split_at_mut(half.len());
            front.copy_from_slice(&half);
            match seat.stream.recv(room) {
                Ok(length @ 1..) => {
                    let is_full = length == room.len();
                    let came = half.len() + length;
                    if !self.take(number, buffer.get(..came).unwrap_or_default()) {
                        return self.gone.push(number);
                    }
                    if !is_full && !read_closed {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !half.is_empty() {
                        self.halves.insert(number, half);
                    }
                    return;
                }
                Ok(0) | Err(_) => return self.gone.push(number),
            }
        }
    }

    /// Takes what came, and keeps what is not a whole frame. False is a peer that talks something else.
    fn take(&mut self, number: usize, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        let mut whole = 0;
        while let Some((length, _)) = rest.split_first_chunk::<LENGTH>() {
            let length = LENGTH + u32::from_le_bytes(*length) as usize;
            if length > MAX_FRAME {
                return false;
            }
            let Some((frame, behind)) = rest.split_at_checked(length) else {
                break;
            };
            rest = behind;
            match self.members.get_mut(number) {
                Some(Some(seat)) if seat.state == SeatState::New => {
                    let echoes = frame.last() == Some(&ECHOES);
                    seat.state = SeatState::In {
                        echoes,
                        waits: false,
                    };
                    self.send(number, &[1, 0, 0, 0, ANSWER]);
                    whole = bytes.len() - rest.len();
                }
                _ if self.gathers => {}
                _ => self.hand_on(number, frame),
            }
        }
        let end = bytes.len() - rest.len();
        if self.gathers && whole < end {
            self.hand_on(number, bytes.get(whole..end).unwrap_or_default());
        }
        if !rest.is_empty() {
            self.halves.insert(number, rest.to_vec());
        }
        true
    }

    /// The loop that all this is about.
    fn hand_on(&mut self, from: usize, bytes: &[u8]) {
        for number in 0..self.members.len() {
            let Some(Some(seat)) = self.members.get_mut(number) else {
                continue;
            };
            let SeatState::In { echoes, waits } = seat.state else {
                continue;
            };
            if number == from && !echoes {
                continue;
            }
            let sent = match waits {
                false => seat.stream.send(bytes),
                true => Ok(0),
            };
            if !matches!(sent, Ok(sent) if sent == bytes.len()) {
                self.keep(number, sent, bytes);
            }
        }
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        if let Some(Some(seat)) = self.members.get_mut(number) {
            let sent = seat.stream.send(bytes);
            if !matches!(sent, Ok(sent) if sent == bytes.len()) {
                self.keep(number, sent, bytes);
            }
        }
    }

    /// Not all of it could be sent.
    fn keep(&mut self, number: usize, sent: io::Result<usize>, bytes: &[u8]) {
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.gone.push(number),
        };
        let unsent = self.unsent.entry(number).or_default();
        unsent.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        if unsent.len() > MAX_UNSENT {
            self.gone.push(number);
        }
        if let Some(Some(seat)) = self.members.get_mut(number)
            && let SeatState::In { waits, .. } = &mut seat.state
        {
            *waits = true;
        }
    }

    fn send_unsent(&mut self, number: usize) {
        let Some(Some(seat)) = self.members.get_mut(number) else {
            return;
        };
        let Some(unsent) = self.unsent.get_mut(&number) else {
            return;
        };
        match seat.stream.send(unsent) {
            Ok(sent) if sent == unsent.len() => {
                self.unsent.remove(&number);
                if let SeatState::In { waits, .. } = &mut seat.state {
                    *waits = false;
                }
            }
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.gone.push(number),
        }
    }

    fn remove(&mut self, number: usize) {
        if let Some(place) = self.members.get_mut(number)
            && place.take().is_some()
        {
            self.vacant.push(number);
            self.halves.remove(&number);
            self.unsent.remove(&number);
        }
    }
}

fn serve_datagrams(socket: &UdpSocket) -> io::Result<Infallible> {
    let mut buffer = vec![0; MAX_FRAME];
    let mut members: Vec<(SocketAddr, bool)> = Vec::new();
    loop {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // It is told here that a member is gone, or a signal came.
            Err(_) => continue,
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        if length < Plan::LEAST_PAYLOAD {
            members.retain(|(member, _)| *member != from);
            if datagram != [LEAVING] {
                members.push((from, datagram == [ECHOES]));
                let _ = socket.send_to(&[ANSWER], from);
            }
            continue;
        }
        for (member, echoes) in &members {
            if *member != from || *echoes {
                // Who is gone is sent to in vain.
                let _ = socket.send_to(datagram, member);
            }
        }
    }
}

/// Members that talk to a [`Floor`].
#[derive(Clone, Copy, Debug)]
pub struct FloorCrowd {
    floor: Floor,
    address: SocketAddr,
    overhead: usize,
    echoes: bool,
}

impl FloorCrowd {
    /// What a frame over a stream has at the least beside its text.
    pub const LEAST_OVERHEAD: usize = LENGTH;

    /// Members at `address`, whose frames are `overhead` bytes longer than their texts, as those of the protocol are
    /// that is compared (over a stream [`LEAST_OVERHEAD`](FloorCrowd::LEAST_OVERHEAD) at the least), and who hear
    /// themselves if theirs do.
    pub fn new(floor: Floor, address: SocketAddr, overhead: usize, echoes: bool) -> FloorCrowd {
        FloorCrowd {
            floor,
            address,
            overhead: overhead.min(MAX_FRAME - Plan::MOST_PAYLOAD),
            echoes,
        }
    }
}

impl Crowd for FloorCrowd {
    type Session = FloorSession;

    fn transport(&self, _: usize) -> Transport {
        match self.floor {
            Floor::Stream | Floor::Gathering => Transport::stream(self.address),
            Floor::Datagrams => Transport::datagrams(self.address),
        }
    }

    fn session(&self, _: usize, _: &Ends) -> FloorSession {
        FloorSession {
            crowd: *self,
            state: State::Asking { next: None },
        }
    }

    fn echoes(&self, _: usize) -> bool {
        self.echoes
    }
}

/// A member of a [`FloorCrowd`].
#[derive(Debug)]
pub struct FloorSession {
    crowd: FloorCrowd,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Over datagrams the hello is repeated.
    Asking {
        next: Option<Instant>,
    },
    In,
    Left,
}

/// What is not answered by then is lost.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    pub got: u8,
}

impl FloorSession {
    fn is_over_stream(&self) -> bool {
        self.crowd.floor != Floor::Datagrams
    }

    fn send(&self, before: usize, bytes: &[u8], context: &mut Context<'_>) {
        match self.is_over_stream() {
            true => {
                let out = &mut context.out.stream;
                let filler = before.saturating_sub(LENGTH);
                let length = (filler + bytes.len()) as u32;
                out.extend_from_slice(&length.to_le_bytes());
                out.resize(out.len() + filler, b'.');
                out.extend_from_slice(bytes);
            }
            false => context.out.to_server(|out| {
                out.resize(before, b'.');
                out.extend_from_slice(bytes);
            }),
        }
    }

    fn ask(&mut self, context: &mut Context<'_>) {
        let hello = match self.crowd.echoes {
            true => ECHOES,
            false => SILENT,
        };
        self.send(0, &[hello], context);
        self.state = State::Asking {
            next: (!self.is_over_stream()).then(|| context.now + ASK_AGAIN),
        };
    }

    fn enter(&mut self, context: &mut Context<'_>) {
        if matches!(self.state, State::Asking { .. }) {
            self.state = State::In;
            context.told.push(Told::Joined {
                name: String::new(),
                room: String::new(),
            });
        }
    }
}

impl ClientSession for FloorSession {
    type Violation = NoAnswer;

    fn start(&mut self, context: &mut Context<'_>) {
        self.ask(context);
    }

    fn handle_bytes(&mut self, input: &[u8], context: &mut Context<'_>) -> Result<usize, NoAnswer> {
        match (&self.state, input.get(LENGTH)) {
            (State::Asking { .. }, Some(&ANSWER)) => {
                self.enter(context);
                Ok(LENGTH + 1)
            }
            (State::Asking { .. }, Some(&got)) => Err(NoAnswer { got }),
            (State::Asking { .. }, None) => Ok(0),
            (State::In | State::Left, _) => Ok(input.len()),
        }
    }

    fn handle_datagram(&mut self, _: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        if datagram == [ANSWER] {
            self.enter(context);
        }
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => {
                self.send(self.crowd.overhead, text.as_bytes(), context);
                Ok(())
            }
            Command::Leave => {
                if !self.is_over_stream() {
                    self.send(0, &[LEAVING], context);
                }
                self.state = State::Left;
                Ok(())
            }
            Command::Direct { .. }
            | Command::Who
            | Command::Start { .. }
            | Command::Chat { .. }
            | Command::End { .. } => Err(Unsupported),
        }
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if matches!(self.state, State::Asking { next: Some(next) } if next <= context.now) {
            self.ask(context);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Asking { next } => next,
            State::In | State::Left => None,
        }
    }

    fn is_joined(&self) -> bool {
        matches!(self.state, State::In)
    }

    fn unanswered(&self) -> usize {
        0
    }

    fn has_left(&self) -> bool {
        matches!(self.state, State::Left)
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#04x} instead of an answer to the hello", self.got)
    }
}
