//! Owns one peer that is driven by the client session of its protocol, repeats and timeouts and all: over a
//! stream, over datagrams, or (tcrp) over one and then the other.

use std::net::SocketAddr;
use std::time::Instant;

use mynah::chat::{SERVER_NAME, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::{ClientSession, Command, Context, Outbound, Told};
use mynah::reactor::Key;

use super::{mutants, private_text, text};
use crate::air::{Air, Way};
use crate::order::is_notice;
use crate::rng::Rng;
use crate::stream::PeerEnd;

/// A client session of any protocol.
pub trait AnySession {
    fn start(&mut self, context: &mut Context<'_>);
    fn bytes(&mut self, bytes: &[u8], context: &mut Context<'_>) -> usize;
    fn stream_end(&mut self, context: &mut Context<'_>);
    fn datagram(&mut self, from: SocketAddr, bytes: &[u8], context: &mut Context<'_>);
    fn command(&mut self, command: Command<'_>, context: &mut Context<'_>);
    fn timeout(&mut self, context: &mut Context<'_>);
    fn deadline(&self) -> Option<Instant>;
    fn is_in(&self) -> bool;
    fn waits_for(&self) -> usize;
}

impl<C: ClientSession> AnySession for C {
    fn start(&mut self, context: &mut Context<'_>) {
        ClientSession::start(self, context);
    }

    fn bytes(&mut self, bytes: &[u8], context: &mut Context<'_>) -> usize {
        match self.handle_bytes(bytes, context) {
            Ok(used) => used,
            Err(violation) => panic!("the server broke a rule: {violation}"),
        }
    }

    fn stream_end(&mut self, context: &mut Context<'_>) {
        self.handle_stream_end(context);
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8], context: &mut Context<'_>) {
        self.handle_datagram(from, bytes, context);
    }

    fn command(&mut self, command: Command<'_>, context: &mut Context<'_>) {
        self.handle_command(command, context)
            .expect("only what the protocol has is asked for");
    }

    fn timeout(&mut self, context: &mut Context<'_>) {
        self.handle_timeout(context);
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    fn is_in(&self) -> bool {
        self.is_joined()
    }

    fn waits_for(&self) -> usize {
        self.unanswered()
    }
}

/// What becomes of a peer in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Says all, waits for what is to be confirmed, and leaves.
    Leaves,
    /// Is there until all go.
    Stays,
    /// Is killed: a stream is reset, an address falls silent.
    Dies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// Has said that it leaves.
    Left,
    Dead,
}

/// Where datagrams go and come from.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox {
    pub address: SocketAddr,
    pub port: u8,
    pub way: Way,
}

/// The stream to the server.
pub struct Line {
    pub end: PeerEnd,
    /// Where it comes from.
    pub from: SocketAddr,
    /// None if the server would not have it.
    pub key: Option<Key>,
    /// Bytes it reads at a time.
    pub appetite: usize,
    /// Read and not used by the session.
    carry: Vec<u8>,
    /// Not sent yet.
    waiting: Vec<u8>,
    over: bool,
}

impl Line {
    pub fn new(end: PeerEnd, from: SocketAddr, key: Option<Key>, appetite: usize) -> Line {
        Line {
            end,
            from,
            key,
            appetite,
            carry: Vec::new(),
            waiting: Vec::new(),
            over: false,
        }
    }
}

pub struct Client {
    /// In which it hears: `Ucrp` where it asked in `Tcrp`.
    pub protocol: Protocol,
    pub name: String,
    /// None is the lobby.
    pub room: Option<String>,
    pub is_host: bool,
    /// Its program is broken: what it sends is damaged, now and then, by these numbers.
    pub mad: Option<Rng>,
    /// Somebody has put it out.
    pub kicked: bool,
    /// It asks for what it must not get: the name of somebody's account.
    pub impostor: bool,
    pub fate: Fate,
    pub phase: Phase,
    /// It left when all that it had said was confirmed.
    pub left_at_ease: bool,
    pub line: Option<Line>,
    pub mailbox: Option<Mailbox>,
    /// Lines that it is still going to say.
    pub to_say: usize,
    pub said: Vec<String>,
    pub said_privately: Vec<String>,
    /// Having said all, it leaves once in so many moments.
    pub leisure: usize,
    pub told: Vec<Told>,
    /// How often the server itself said something to it.
    pub notices: u64,
    /// Every datagram that reached it.
    pub raw: Vec<Vec<u8>>,
    /// Every byte that it read.
    pub read: usize,
    session: Box<dyn AnySession>,
}

impl Client {
    pub fn new(
        protocol: Protocol,
        name: &str,
        session: Box<dyn AnySession>,
        line: Option<Line>,
        mailbox: Option<Mailbox>,
    ) -> Client {
        Client {
            protocol,
            name: name.to_string(),
            room: None,
            is_host: false,
            mad: None,
            kicked: false,
            impostor: false,
            fate: Fate::Leaves,
            phase: Phase::Running,
            left_at_ease: false,
            line,
            mailbox,
            to_say: 0,
            said: Vec::new(),
            said_privately: Vec::new(),
            leisure: 10,
            told: Vec::new(),
            notices: 0,
            raw: Vec::new(),
            read: 0,
            session,
        }
    }

    pub fn start(&mut self, air: &mut Air, now: Instant) {
        self.with(air, now, |session, context| session.start(context));
    }

    pub fn joined(&self) -> bool {
        self.told
            .iter()
            .any(|told| matches!(told, Told::Joined { .. }))
    }

    /// Whether the session is over for another reason than that it left.
    pub fn ended(&self) -> bool {
        self.told.iter().any(|told| {
            matches!(
                told,
                Told::Refused { .. } | Told::Closed { .. } | Told::Lost { .. }
            )
        })
    }

    /// Whether nothing comes between it and what it is due.
    pub fn is_perfect(&self) -> bool {
        let good_way = |mailbox: Mailbox| mailbox.way == Way::Perfect;
        self.mad.is_none() && !self.kicked && self.mailbox.is_none_or(good_way)
    }

    pub fn is_loopback(&self) -> bool {
        self.mailbox
            .is_some_and(|mailbox| mailbox.address.ip().is_loopback())
    }

    /// When its session wants to be called.
    pub fn next_due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running | Phase::Left => self.session.deadline(),
            Phase::Dead => None,
        }
    }

    /// Takes what has arrived and what is due.
    pub fn pump(&mut self, air: &mut Air, now: Instant) {
        if let Some(Mailbox { address, .. }) = self.mailbox {
            for datagram in air.receive(address) {
                if self.phase != Phase::Dead {
                    self.with(air, now, |session, context| {
                        session.datagram(address, &datagram, context);
                    });
                }
                if !is_notice(self.protocol, &datagram) {
                    self.raw.push(datagram);
                }
            }
        }
        if self.phase == Phase::Dead {
            return;
        }
        let mut times = 0;
        while self.session.deadline().is_some_and(|due| due <= now) {
            self.with(air, now, |session, context| session.timeout(context));
            times += 1;
            assert!(times < 100, "{} spins", self.name);
        }
    }

    /// Reads from its stream and writes to it, if it has one.
    pub fn move_bytes(&mut self, portion: usize, air: &mut Air, now: Instant) {
        let Some(line) = self.line.as_mut().filter(|_| self.phase != Phase::Dead) else {
            return;
        };
        let portion = portion.min(line.waiting.len());
        if portion > 0 {
            let bytes: Vec<u8> = line.waiting.drain(..portion).collect();
            line.end.send(&bytes);
        }
        if self.phase == Phase::Left && line.waiting.is_empty() {
            line.end.end();
        }
        let before = line.carry.len();
        let appetite = line.appetite;
        line.end.receive(appetite, &mut line.carry);
        self.read += line.carry.len() - before;
        let over = line.end.is_over();
        let carry = std::mem::take(&mut line.carry);
        let used = match carry.is_empty() {
            true => 0,
            false => self.with(air, now, |session, context| session.bytes(&carry, context)),
        };
        let line = self.line.as_mut().expect("it is there still");
        line.carry = carry[used..].to_vec();
        if over && !std::mem::replace(&mut line.over, true) {
            line.end.end();
            self.with(air, now, |session, context| session.stream_end(context));
        }
    }

    /// Whatever its person may do in a moment. `names` are those of others.
    pub fn act(&mut self, names: &[String], rng: &mut Rng, air: &mut Air, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        if self.fate == Fate::Dies && rng.once_in(60) {
            return self.die(air);
        }
        if !self.session.is_in() || self.ended() {
            return;
        }
        let knows_directs = matches!(self.protocol, Protocol::UdpRoom | Protocol::UdpLogin);
        if self.to_say > 0 {
            self.to_say -= 1;
            match rng.below(8) {
                0 | 1 if knows_directs && !names.is_empty() => {
                    let to = &names[rng.below(names.len())];
                    let text = private_text(&self.name, to, rng);
                    self.said_privately.push(text.clone());
                    let command = Command::Direct { to, text: &text };
                    self.with(air, now, |session, context| {
                        session.command(command, context)
                    });
                }
                2 if matches!(self.protocol, Protocol::UdpLogin | Protocol::Group) => {
                    self.with(air, now, |session, context| {
                        session.command(Command::Who, context);
                    });
                }
                _ => {
                    let longest = match self.mailbox {
                        Some(_) => 880,
                        None => 3800,
                    };
                    let begin = match &self.room {
                        Some(room) => format!("{room}/{}", self.name),
                        None => self.name.clone(),
                    };
                    let text = text(&begin, rng, longest);
                    let command = Command::Say(&text);
                    self.with(air, now, |session, context| {
                        session.command(command, context)
                    });
                    self.said.push(text);
                }
            }
        } else if self.fate == Fate::Leaves && self.may_leave() && rng.once_in(self.leisure) {
            self.leave(air, now);
        }
    }

    /// Leaves, whatever waits.
    pub fn leave(&mut self, air: &mut Air, now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::Left;
            self.left_at_ease = self.may_leave();
            self.with(air, now, |session, context| {
                session.command(Command::Leave, context);
            });
        }
    }

    /// Whether it may leave without losing what it said.
    pub fn may_leave(&self) -> bool {
        self.session.waits_for() == 0
    }

    /// Where it was nobody receives any more, and often the machine says so.
    pub fn die(&mut self, air: &mut Air) {
        self.phase = Phase::Dead;
        if let Some(Mailbox { address, .. }) = self.mailbox
            && (address.ip().is_loopback() || address.port().is_multiple_of(2))
        {
            air.desert(address);
        }
        if let Some(line) = &self.line {
            line.end.reset();
        }
    }

    fn with<T>(
        &mut self,
        air: &mut Air,
        now: Instant,
        act: impl FnOnce(&mut dyn AnySession, &mut Context<'_>) -> T,
    ) -> T {
        let mut out = Outbound::default();
        let result = act(
            &mut *self.session,
            &mut Context {
                now,
                time: TimeOfDay::MIDNIGHT,
                told: &mut self.told,
                out: &mut out,
            },
        );
        // What the server itself says is no part of what people say.
        let is_notice =
            |told: &mut Told| matches!(told, Told::Message { from, .. } if from == SERVER_NAME);
        self.notices += self.told.extract_if(.., is_notice).count() as u64;
        let Client { mad, protocol, .. } = self;
        let mut damaged = |bytes: Vec<u8>| match mad {
            Some(rng) if !bytes.is_empty() => match rng.once_in(4) {
                true => mutants::damaged(*protocol, bytes, rng),
                false => bytes,
            },
            _ => bytes,
        };
        if let Some(line) = &mut self.line {
            line.waiting.extend(damaged(out.stream));
        }
        if let Some(Mailbox { address, port, .. }) = self.mailbox {
            for (_, datagram) in out.datagrams {
                air.send(address, port, &damaged(datagram));
            }
        }
        result
    }
}
