//! Owns the floor under every server: a bare loop that hands on what it is sent and does nothing else, and the crowd
//! that talks to it. Knows no name, no room, no history and no log: what it costs is what the kernel costs.
//!
//! Over a stream a frame is its length (four bytes, little-endian, of the rest) and the rest. The first frame of a
//! member is a hello of one byte, which says whether it is to be sent its own frames; it is answered with one. Every
//! other frame is handed on as it is. Over datagrams it is the same without the length, and what is short is a hello or the end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::Arc;
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
    /// All frames that are there, whoever sent them, then one send to each member with all of them: the floor for
    /// bursts, and for a rate.
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

/// Read at once, and gathered before it is handed on: who sends more than that in one turn does not make others wait.
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
            let mut room = Room::new();
            if floor == Floor::Gathering {
                room.gathered = Some(Gathered::default());
            }
            room.serve(poller, &listener)
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
struct Room<S> {
    /// Of who gathers, what came in this turn.
    gathered: Option<Gathered>,
    /// Small, and one behind the other: this is what is gone through for every frame.
    members: Vec<Option<Seat<S>>>,
    vacant: Vec<usize>,
    /// What has come of a frame that is not whole, and what could not be sent: mostly nothing, of nobody.
    halves: HashMap<usize, Vec<u8>>,
    unsent: HashMap<usize, Vec<u8>>,
    gone: Vec<usize>,
}

/// What is to be handed on at the end of a turn.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// What of it came from members that are not sent their own frames.
    own: Vec<(usize, Range<usize>)>,
}

struct Seat<S> {
    stream: S,
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

impl Room<TcpStream> {
    fn serve(mut self, mut poller: Poller, listener: &TcpListener) -> io::Result<Infallible> {
        let mut buffer = vec![0; BUFFER];
        let mut ready: Vec<Readiness> = Vec::new();
        loop {
            ready.clear();
            ready.extend(poller.wait(None)?);
            if ready.iter().any(|readiness| readiness.token == LISTENER) {
                self.accept(&poller, listener)?;
            }
            self.turn(&ready, &mut buffer);
        }
    }

    fn accept(&mut self, poller: &Poller, listener: &TcpListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let number = self.vacant.last().copied();
                    let number = number.unwrap_or(self.members.len());
                    poller.register(&mut stream, Token(number))?;
                    self.admit(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<S: Stream> Room<S> {
    fn new() -> Room<S> {
        Room {
            gathered: None,
            members: Vec::new(),
            vacant: Vec::new(),
            halves: HashMap::new(),
            unsent: HashMap::new(),
            gone: Vec::new(),
        }
    }

    /// Gives somebody who is there the last seat that became vacant, or a new one.
    fn admit(&mut self, stream: S) {
        let state = SeatState::New;
        let seat = Some(Seat { stream, state });
        let vacant = self.vacant.pop();
        match vacant.and_then(|number| self.members.get_mut(number)) {
            Some(place) => *place = seat,
            None => self.members.push(seat),
        }
    }

    /// All that is ready, then what was gathered of it.
    fn turn(&mut self, ready: &[Readiness], buffer: &mut [u8]) {
        for readiness in ready {
            let number = readiness.token.0;
            if readiness.writable && self.unsent.contains_key(&number) {
                self.send_unsent(number);
            }
            if readiness.readable || readiness.read_closed {
                self.read(number, buffer, readiness.read_closed);
            }
        }
        self.hand_out();
        // Only now, so that nobody else has the seat of whom something was gathered.
        while let Some(gone) = self.gone.pop() {
            self.remove(gone);
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
                _ if self.gathered.is_some() => {}
                _ => self.hand_on(number, frame),
            }
        }
        let end = bytes.len() - rest.len();
        self.gather(number, bytes.get(whole..end).unwrap_or_default());
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
                self.keep(number, sent, &[IoSlice::new(bytes)]);
            }
        }
    }

    /// Puts frames to those that are handed on together, where that is done.
    fn gather(&mut self, from: usize, frames: &[u8]) {
        let Some(gathered) = &mut self.gathered else {
            return;
        };
        let begin = gathered.bytes.len();
        gathered.bytes.extend_from_slice(frames);
        let end = gathered.bytes.len();
        if let Some(Some(seat)) = self.members.get(from)
            && matches!(seat.state, SeatState::In { echoes: false, .. })
            && begin < end
        {
            gathered.own.push((from, begin..end));
        }
        if end >= BUFFER {
            self.hand_out();
        }
    }

    /// The same loop for all that was gathered, each member's own left out for it where it does not want it.
    fn hand_out(&mut self) {
        let mut gathered = match &mut self.gathered {
            Some(gathered) if !gathered.bytes.is_empty() => mem::take(gathered),
            _ => return,
        };
        let Gathered { bytes, own } = &mut gathered;
        // By member, and of each in the order in which they came: they are met as the members are.
        own.sort_by_key(|(number, _)| *number);
        let mut own_ranges = own.as_slice();
        for number in 0..self.members.len() {
            let count = own_ranges.iter().take_while(|(of, _)| *of == number);
            let (its_own, others) = own_ranges.split_at(count.count());
            own_ranges = others;
            let Some(Some(seat)) = self.members.get_mut(number) else {
                continue;
            };
            let SeatState::In { waits, .. } = seat.state else {
                continue;
            };
            if its_own.is_empty() {
                let sent = match waits {
                    false => seat.stream.send(bytes),
                    true => Ok(0),
                };
                if !matches!(sent, Ok(sent) if sent == bytes.len()) {
                    self.keep(number, sent, &[IoSlice::new(bytes)]);
                }
                continue;
            }
            let pieces = between(bytes, its_own.iter().map(|(_, range)| range.clone()));
            let length: usize = pieces.iter().map(|piece| piece.len()).sum();
            let sent = match waits || length == 0 {
                false => seat.stream.send_vectored(&pieces),
                true => Ok(0),
            };
            if !matches!(sent, Ok(sent) if sent == length) {
                self.keep(number, sent, &pieces);
            }
        }
        // Their memory is for the next turn.
        gathered.bytes.clear();
        gathered.own.clear();
        self.gathered = Some(gathered);
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        if let Some(Some(seat)) = self.members.get_mut(number) {
            let sent = seat.stream.send(bytes);
            if !matches!(sent, Ok(sent) if sent == bytes.len()) {
                self.keep(number, sent, &[IoSlice::new(bytes)]);
            }
        }
    }

    /// Not all of it could be sent.
    fn keep(&mut self, number: usize, sent: io::Result<usize>, pieces: &[IoSlice<'_>]) {
        let mut sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.gone.push(number),
        };
        let unsent = self.unsent.entry(number).or_default();
        for piece in pieces {
            unsent.extend_from_slice(piece.get(sent..).unwrap_or_default());
            sent = sent.saturating_sub(piece.len());
        }
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

/// What of some bytes is outside of these ranges, which are in order.
fn between(bytes: &[u8], ranges: impl Iterator<Item = Range<usize>>) -> Vec<IoSlice<'_>> {
    let mut pieces = Vec::new();
    let mut end = 0;
    let behind = bytes.len()..bytes.len();
    for range in ranges.chain([behind]) {
        match bytes.get(end..range.start) {
            Some(piece) if !piece.is_empty() => pieces.push(IoSlice::new(piece)),
            _ => {}
        }
        end = range.end;
    }
    pieces
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
#[derive(Clone, Debug)]
pub struct FloorCrowd {
    floor: Floor,
    address: SocketAddr,
    overhead: usize,
    /// Whether each member hears itself, again and again.
    echoes: Arc<[bool]>,
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
            echoes: Arc::new([echoes]),
        }
    }

    /// The same where some hear themselves and others do not: member 0 as the first of these, and so on, from the first
    /// again behind the last. Without any it stays as it is.
    pub fn echoing(mut self, pattern: &[bool]) -> FloorCrowd {
        if !pattern.is_empty() {
            self.echoes = pattern.into();
        }
        self
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

    fn session(&self, member: usize, _: &Ends) -> FloorSession {
        FloorSession {
            floor: self.floor,
            overhead: self.overhead,
            echoes: self.echoes(member),
            state: State::Asking { next: None },
        }
    }

    fn echoes(&self, member: usize) -> bool {
        let turn = member.checked_rem(self.echoes.len());
        turn.and_then(|turn| self.echoes.get(turn).copied())
            .unwrap_or(true)
    }
}

/// A member of a [`FloorCrowd`].
#[derive(Debug)]
pub struct FloorSession {
    floor: Floor,
    overhead: usize,
    echoes: bool,
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
        self.floor != Floor::Datagrams
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
        let hello = match self.echoes {
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
                self.send(self.overhead, text.as_bytes(), context);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use super::*;

    /// A connection without a kernel: what the member has sent, and each send to it.
    #[derive(Clone, Default)]
    struct Wire(Rc<RefCell<Ends>>);

    #[derive(Default)]
    struct Ends {
        said: VecDeque<u8>,
        heard: Vec<Vec<u8>>,
        reads: usize,
        /// What the kernel takes of a send, where that is not all.
        takes: Option<usize>,
    }

    impl Stream for Wire {
        fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut ends = self.0.borrow_mut();
            let length = ends.said.len().min(buffer.len());
            ends.reads += 1;
            for (place, byte) in buffer.iter_mut().zip(ends.said.drain(..length)) {
                *place = byte;
            }
            match length {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(length),
            }
        }

        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.send_vectored(&[IoSlice::new(bytes)])
        }

        fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut ends = self.0.borrow_mut();
            let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            bytes.truncate(ends.takes.unwrap_or(bytes.len()));
            ends.heard.push(bytes);
            Ok(ends.heard.last().map_or(0, Vec::len))
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn frame(text: &str) -> Vec<u8> {
        [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    /// A floor and its members, all in.
    struct Hall {
        room: Room<Wire>,
        wires: Vec<Wire>,
    }

    impl Hall {
        fn new(gathers: bool, echoes: &[bool]) -> Hall {
            let mut room = Room::new();
            room.gathered = gathers.then(Gathered::default);
            let wires: Vec<Wire> = echoes.iter().map(|_| Wire::default()).collect();
            for (wire, echoes) in wires.iter().zip(echoes) {
                room.admit(wire.clone());
                let hello = if *echoes { "E" } else { "S" };
                wire.0.borrow_mut().said.extend(frame(hello));
            }
            let mut hall = Hall { room, wires };
            let all: Vec<usize> = (0..echoes.len()).collect();
            hall.turn(&all);
            for wire in &hall.wires {
                let mut ends = wire.0.borrow_mut();
                assert_eq!(mem::take(&mut ends.heard), [frame("A")]);
                ends.reads = 0;
            }
            hall
        }

        fn say(&self, member: usize, bytes: &[u8]) {
            self.wires[member].0.borrow_mut().said.extend(bytes);
        }

        fn turn(&mut self, ready: &[usize]) {
            let ready: Vec<Readiness> = ready
                .iter()
                .map(|number| Readiness {
                    token: Token(*number),
                    readable: true,
                    writable: true,
                    read_closed: false,
                })
                .collect();
            self.room.turn(&ready, &mut vec![0; BUFFER]);
        }

        /// Each send to a member since the last time.
        fn heard(&self, member: usize) -> Vec<String> {
            let heard = mem::take(&mut self.wires[member].0.borrow_mut().heard);
            let text = |bytes: &Vec<u8>| {
                let mut said = String::new();
                let mut rest = bytes.as_slice();
                while let Some((length, behind)) = rest.split_first_chunk::<LENGTH>() {
                    let (text, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
                    said.push_str(std::str::from_utf8(text).unwrap());
                    rest = behind;
                }
                said
            };
            heard.iter().map(text).collect()
        }
    }

    #[test]
    fn what_several_say_in_a_turn_is_one_send_to_each() {
        let mut hall = Hall::new(true, &[true, true, true, false]);
        for (member, text) in ["a", "b", "c"].iter().enumerate() {
            hall.say(member, &frame(text).repeat(2));
        }
        hall.turn(&[2, 0, 1]);
        for member in 0..4 {
            assert_eq!(hall.heard(member), ["ccaabb"], "{member}");
        }
        let reads = |wire: &Wire| wire.0.borrow().reads;
        let reads: Vec<usize> = hall.wires.iter().map(reads).collect();
        assert_eq!(reads, [1, 1, 1, 0], "one for each that said something");
        // Where nothing is gathered, it is a send for each message.
        let mut hall = Hall::new(false, &[true, true, true]);
        for member in 0..3 {
            hall.say(member, &frame("x").repeat(2));
        }
        hall.turn(&[0, 1, 2]);
        assert_eq!(hall.heard(1), ["x"; 6]);
    }

    #[test]
    fn who_does_not_hear_itself_is_sent_the_rest() {
        let mut hall = Hall::new(true, &[false, false, true, false]);
        hall.say(1, &frame("b"));
        hall.say(0, &frame("a"));
        hall.say(2, &frame("c"));
        hall.turn(&[1, 0, 2]);
        let heard: Vec<Vec<String>> = (0..4).map(|member| hall.heard(member)).collect();
        assert_eq!(heard, [["bc"], ["ac"], ["bac"], ["bac"]]);
        // One alone hears nothing, and nothing is left for the next turn.
        hall.say(0, &frame("d"));
        hall.turn(&[0]);
        let heard: Vec<Vec<String>> = (0..2).map(|member| hall.heard(member)).collect();
        assert_eq!(heard, [vec![], vec!["d".to_string()]]);
        hall.turn(&[0, 1, 2, 3]);
        assert!(hall.heard(1).is_empty());
    }

    #[test]
    fn what_the_kernel_does_not_take_comes_later_and_in_order() {
        for gathers in [true, false] {
            let mut hall = Hall::new(gathers, &[false, false, true]);
            let all = ["a", "c", "x", "y"].map(frame).concat();
            hall.wires[1].0.borrow_mut().takes = Some(3);
            for (member, text) in ["a", "b", "c"].iter().enumerate() {
                hall.say(member, &frame(text));
            }
            hall.turn(&[0, 1, 2]);
            hall.say(0, &frame("x"));
            hall.say(1, &frame("z"));
            hall.say(2, &frame("y"));
            hall.turn(&[0, 2]);
            hall.wires[1].0.borrow_mut().takes = None;
            hall.turn(&[1]);
            let heard = hall.wires[1].0.borrow().heard.concat();
            assert_eq!(heard, all, "gathers: {gathers}");
        }
    }

    #[test]
    fn a_turn_does_not_gather_without_end() {
        let mut hall = Hall::new(true, &[false, false, false]);
        let long = frame(&"l".repeat(4096));
        let many = long.repeat(1 + BUFFER / long.len());
        for member in [0, 1] {
            hall.say(member, &many);
        }
        hall.turn(&[0, 1]);
        let sends = hall.wires[2].0.borrow().heard.len();
        assert!((2..=4).contains(&sends), "{sends}");
        let heard = hall.wires[2].0.borrow().heard.concat();
        assert_eq!(heard.len(), 2 * many.len());
        assert_eq!(hall.wires[0].0.borrow().heard.concat(), many);
    }

    #[test]
    fn members_hear_themselves_as_the_pattern_says() {
        let address = "127.0.0.1:1".parse().unwrap();
        let crowd = FloorCrowd::new(Floor::Stream, address, 4, true);
        assert!((0..3).all(|member| crowd.echoes(member)));
        let crowd = crowd.echoing(&[true, false]).echoing(&[]);
        let echoes: Vec<bool> = (0..4).map(|member| crowd.echoes(member)).collect();
        assert_eq!(echoes, [true, false, true, false]);
    }
}
