//! Owns the server's state and the turn: what comes in, what is decided, what falls due.
//! How it goes out is in `sending`, how connections end in `closing`.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::address::{Census, PeerAddress};
use super::closing::Who;
use super::connection::{Carry, CloseReason, Connection, Offered, Place, State};
use super::counters::Counters;
use super::entropy::Entropy;
use super::exchange::{Delivery, Exchange, Post};
use super::limits::{Advertise, Limits};
use super::login::Accounts;
use super::notes::Notes;
use super::port::{Allowances, Port};
use super::tenants::Tenants;
use crate::chat::{
    Choice, Contact, Deliver, Event, Hub, LOBBY, Name, Refusal, Request, RoomId, Said, TimeOfDay,
};
use crate::fanout::Stall;
use crate::protocol::registry::{Protocol, Session, Violation};
use crate::protocol::{AfterVerdict, Datagrams, Patience, Secret, ServerSession, Step, Welcome};
use crate::reactor::{DatagramPort, Inbox, Key, Readiness, Stream, Timers, UdpPort};

/// Everything that is taken from one connection in one turn. Enough that a burst is gathered, little
/// enough that a flooder keeps nobody waiting.
const READ_BYTES: usize = 64 * 1024;

/// What all connections together may bring in one turn, read and appended. Well under the backlog
/// limit, so that nobody becomes a slow consumer by what it was never offered.
const TURN_BYTES: usize = 256 * 1024;

/// The longest frame of any protocol that a server takes; an unfinished one is put before what is read,
/// so that sessions always see one slice.
const LONGEST_FRAME: usize = 16 * 1024;

/// For those whose protocol gives out none.
pub(super) const NO_SECRET: Secret = Secret::new([0; 16]);

/// How often those that lag are looked at.
pub(super) const LAGGARDS_TICK: Duration = Duration::from_secs(1);

/// The server, driven by whoever owns the sockets.
///
/// Driving it: [`accept`](Server::accept) what connects, pass on every
/// [`handle_readiness`](Server::handle_readiness), then take one [`turn`](Server::turn); again at the latest at
/// [`next_deadline`](Server::next_deadline).
#[derive(Debug)]
pub struct Server<S, D = UdpPort> {
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    pub(super) tenants: Tenants<S>,
    pub(super) ports: Vec<Port<D>>,
    pub(super) allowances: Allowances,
    /// Guests by the secrets that their datagrams carry. Nobody can choose those, but anybody can try.
    pub(super) secrets: HashMap<u128, Key>,
    /// Secrets given out and not shown, by network.
    pub(super) unshown: Census,
    pub(super) accounts: Option<Accounts>,
    pub(super) entropy: Entropy,
    /// One for all protocols, or one for each.
    pub(super) houses: Vec<House>,
    pub(super) timers: Timers<Timer>,
    /// Connections to read from, in turn. Each stands here once.
    pub(super) ready: VecDeque<Key>,
    /// Connections to send to apart from their audience. Each stands here once.
    pub(super) pending: Vec<Key>,
    /// Connections whose last send was refused, watched for stalling.
    pub(super) laggards: Vec<(Key, Stall)>,
    pub(super) laggards_watched: bool,
    /// Connections to let go at the end of the turn.
    pub(super) doomed: Vec<Key>,
    pub(super) stopping: bool,
    /// When it all began: what the milliseconds of rates count from.
    pub(super) start: Instant,
    pub(super) notes: Notes,
    pub(super) notes_due: bool,
    pub(super) now: Instant,
    pub(super) wall: TimeOfDay,
    pub(super) census: Census,
    /// One buffer for all reads.
    scratch: Box<[u8]>,
    /// Working memory of a turn, kept between turns.
    pub(super) offers: Vec<(Key, Offered)>,
    pub(super) rooms: Vec<RoomId>,
    pub(super) spare: Vec<Key>,
    due: Vec<Timer>,
    /// One set of buffers for all datagrams; there once there is a port.
    pub(super) inbox: Option<Box<Inbox>>,
    /// Where answers are written.
    pub(super) replies: Datagrams,
    pub(super) event_datagrams: Datagrams,
}

/// People and rooms, and those who hear them.
#[derive(Debug)]
pub(super) struct House {
    pub(super) hub: Hub<Key>,
    pub(super) exchange: Exchange,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// A connection takes too long, whatever it is at.
    Connection(Key),
    /// A guest may have been silent for too long.
    Guest(Key),
    /// Time to look at the laggards.
    Laggards,
    /// Time to tell the log what was suppressed.
    Notes,
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// A server without connections. With `isolate` each protocol has rooms and names of its own.
    pub fn new(limits: Limits, isolate: bool, now: Instant) -> Server<S, D> {
        let houses = if isolate { Protocol::ALL.len() } else { 1 };
        let house = || House {
            hub: Hub::new(limits.hub),
            exchange: Exchange::default(),
        };
        Server {
            limits,
            counters: Counters::default(),
            tenants: Tenants::new(),
            ports: Vec::new(),
            allowances: Allowances::default(),
            secrets: HashMap::new(),
            unshown: Census::default(),
            accounts: None,
            entropy: Entropy::default(),
            houses: std::iter::repeat_with(house).take(houses).collect(),
            timers: Timers::new(now),
            ready: VecDeque::new(),
            pending: Vec::new(),
            laggards: Vec::new(),
            laggards_watched: false,
            doomed: Vec::new(),
            stopping: false,
            start: now,
            notes: Notes::new(),
            notes_due: false,
            now,
            wall: TimeOfDay::MIDNIGHT,
            census: Census::default(),
            scratch: vec![0; LONGEST_FRAME + READ_BYTES].into_boxed_slice(),
            offers: Vec::new(),
            rooms: Vec::new(),
            spare: Vec::new(),
            due: Vec::new(),
            inbox: None,
            replies: Datagrams::new(),
            event_datagrams: Datagrams::new(),
        }
    }

    /// Has secrets drawn from `draw` instead of the kernel: for tests, whose runs are to be repeated.
    pub fn draw_secrets_from(&mut self, draw: impl FnMut() -> [u8; 16] + 'static) {
        self.entropy = Entropy::new(draw);
    }

    /// Takes a connection in, unless its address has as many as it may: then it is told so, if its
    /// protocol can, and dropped. The owner registers the stream under the key it gets.
    pub fn accept(
        &mut self,
        mut stream: S,
        peer: SocketAddr,
        protocol: Protocol,
        now: Instant,
    ) -> Option<Key> {
        self.now = now;
        let peer = PeerAddress::new(peer);
        if !self.census.enter(&peer, self.limits.max_per_address) {
            self.counters.turned_away += 1;
            self.notes
                .turned_away(now, format_args!("{protocol} {peer}"));
            // Its buffer is empty: these few bytes are taken or the connection is dead. What it has
            // said already is read, or closing would be a reset and destroy the answer.
            if !protocol.no_room().is_empty() {
                let _ = stream.send(protocol.no_room());
            }
            let _ = stream.finish();
            let _ = stream.recv(&mut self.scratch);
            return None;
        }
        let Some(session) = protocol.session() else {
            debug_assert!(false, "invariant: only streams are accepted");
            return None;
        };
        self.counters.accepted += 1;
        log::debug!("{protocol} {peer}: connected");
        let house = self.house_of(protocol);
        let patience = session.patience(0);
        let connection = Connection::new(stream, session, peer, protocol, house);
        let key = self.tenants.insert(connection);
        self.be_patient(key, patience);
        Some(key)
    }

    /// The stream of a connection, to be registered.
    pub fn stream_mut(&mut self, key: Key) -> Option<&mut S> {
        Some(&mut self.tenants.get_mut(key)?.stream)
    }

    /// Notes what the kernel told; nothing is done before the turn.
    pub fn handle_readiness(&mut self, key: Key, readiness: Readiness) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        if readiness.readable || readiness.read_closed {
            connection.readable = true;
            connection.read_closed |= readiness.read_closed;
            if !std::mem::replace(&mut connection.in_ready, true) {
                self.ready.push_back(key);
            }
        }
        if readiness.writable && std::mem::replace(&mut connection.blocked, false) {
            self.push_pending(key);
        }
    }

    /// Steps 2 to 6. `wall` is the local time, for those whose own is no good.
    pub fn turn(&mut self, now: Instant, wall: TimeOfDay) {
        self.now = now;
        self.wall = wall;
        self.take_in();
        self.take_in_datagrams();
        self.fall_due();
        self.send_out();
        self.send_out_datagrams();
        self.let_go();
    }

    /// When the next turn is due at the latest: a past time is at once, `None` when something is ready.
    pub fn next_deadline(&self) -> Option<Instant> {
        let at_once = self
            .ports
            .iter()
            .any(|port| port.can_send() || self.hears(port))
            || !self.ready.is_empty()
            || !self.pending.is_empty()
            || !self.doomed.is_empty()
            || self.houses.iter().any(|house| house.exchange.is_touched());
        if at_once {
            Some(self.now)
        } else {
            self.timers.next_deadline()
        }
    }

    /// Whether datagrams are to be taken in there now: once we are stopping nobody is heard any more.
    pub(super) fn hears(&self, port: &Port<D>) -> bool {
        !self.stopping && port.wants_datagrams()
    }

    /// Whether there are no connections and nothing waits to be sent on the ports.
    pub fn is_empty(&self) -> bool {
        self.tenants.connections() == 0 && self.ports.iter().all(|port| port.mailing.is_empty())
    }

    /// How many guests there are: peers without a connection.
    pub fn guests(&self) -> usize {
        self.tenants.guests()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.tenants.connections()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The memory of all rooms' logs, in bytes.
    pub fn log_memory(&self) -> usize {
        self.houses
            .iter()
            .map(|house| house.exchange.log_memory())
            .sum()
    }

    /// The people and rooms that a protocol sees.
    pub fn hub(&self, protocol: Protocol) -> Option<&Hub<Key>> {
        self.houses
            .get(self.house_of(protocol))
            .map(|house| &house.hub)
    }

    /// Checks that what is known twice is known alike. For tests: it walks over everything.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn audit(&self) {
        let mut members = 0;
        for (key, connection) in self.tenants.iter() {
            assert_ne!(
                connection.state,
                State::Dead,
                "the dead are let go in their turn"
            );
            let Place::In { room, id, seat } = connection.place else {
                continue;
            };
            members += 1;
            assert_eq!(connection.state, State::Open, "who closes has left");
            let house = self.houses.get(connection.house());
            let house = house.expect("invariant: each protocol has a house");
            assert!(house.hub.name(id).is_some(), "a member has a name");
            let audience = house.exchange.audience(room, connection.protocol);
            let seats = audience.map(|audience| audience.members());
            assert_eq!(seats.and_then(|seats| seats.get(seat as usize)), Some(&key));
        }
        for (key, guest) in self.tenants.iter_guests() {
            let house = self.houses.get(guest.house());
            let house = house.expect("invariant: each protocol has a house");
            if let Some(id) = guest.id() {
                members += 1;
                assert_eq!(house.hub.seat(id), Some(key), "a name's owner is its guest");
            }
            if let Some((port, address)) = guest.found_at
                && guest.secret.is_none()
                && guest.protocol != Protocol::UdpMesh
            {
                let port = self.ports.get(usize::from(port));
                let known = port.and_then(|port| port.guests.get(&address));
                assert_eq!(known, Some(&key), "a guest is found where it is");
            }
            if let Some(secret) = guest.secret {
                assert_eq!(self.secrets.get(&secret.bits()), Some(&key));
            }
        }
        let by_address: usize = self.ports.iter().map(|port| port.guests.len()).sum();
        let mesh = self.tenants.iter_guests();
        let mesh = mesh.filter(|(_, guest)| guest.protocol == Protocol::UdpMesh);
        assert_eq!(
            by_address + self.secrets.len() + mesh.count(),
            self.tenants.guests(),
            "nobody is known who is not there"
        );
        let held: usize = self.houses.iter().map(|house| house.hub.total()).sum();
        assert_eq!(held, members, "names are held by those who are in");
    }

    pub(super) fn house_of(&self, protocol: Protocol) -> usize {
        if self.houses.len() == 1 {
            return 0;
        }
        let kin = protocol.kin();
        let position = Protocol::ALL.iter().position(|other| *other == kin);
        position.unwrap_or_default()
    }

    pub(super) fn push_pending(&mut self, key: Key) {
        if let Some(connection) = self.tenants.get_mut(key)
            && !std::mem::replace(&mut connection.in_pending, true)
        {
            self.pending.push(key);
        }
    }

    /// Arms the timer for what the session said, instead of whatever was armed.
    pub(super) fn be_patient(&mut self, key: Key, patience: Patience) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        if let Some(armed) = connection.deadline.take() {
            self.timers.cancel(armed);
        }
        if let Patience::Limited { time, .. } = patience {
            let timer = Timer::Connection(key);
            connection.deadline = Some(self.timers.arm(self.now + time, timer));
        }
    }

    /// Steps 2 and 3: reads in turn, until everybody had theirs or the turn has its fill.
    fn take_in(&mut self) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut intake = 0;
        for _ in 0..self.ready.len() {
            if intake >= TURN_BYTES {
                break;
            }
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            intake += self.read(key, &mut scratch);
            for house in &mut self.houses {
                intake += house.exchange.take_appended();
            }
        }
        self.scratch = scratch;
    }

    /// Reads once from a connection and lets its session have it. Returns the bytes read.
    fn read(&mut self, key: Key, scratch: &mut [u8]) -> usize {
        let Some(connection) = self.tenants.get_mut(key) else {
            return 0;
        };
        connection.in_ready = false;
        let lingering = match connection.state {
            State::Open => false,
            State::Lingering => true,
            State::Closing { .. } | State::Dead => return 0,
        };
        if let Some(house) = self.houses.get(connection.house()) {
            let log = house.exchange.log(connection.room(), connection.protocol);
            if connection.feed.unsent(log) > self.limits.unsent_bytes {
                // It stays `readable` and is taken up again when enough is sent.
                return 0;
            }
        }
        let (_, room) = scratch.split_at_mut(LONGEST_FRAME);
        match connection.stream.recv(room) {
            Ok(0) if lingering => self.doom(key),
            Ok(0) => self.begin_close(key, CloseReason::Left),
            Ok(read) => {
                // A short read is the last one (epoll(7)), unless the peer has ended: of that the
                // kernel does not tell again.
                let more = read == room.len() || connection.read_closed;
                connection.readable = more;
                if more {
                    connection.in_ready = true;
                    self.ready.push_back(key);
                }
                if !lingering {
                    self.digest(key, scratch, read);
                }
                return read;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.readable = false;
                if lingering && self.stopping {
                    self.doom(key);
                }
            }
            Err(_) if lingering => self.doom(key),
            Err(error) => self.lose(key, CloseReason::Lost(error)),
        }
        0
    }

    /// Gives a session the bytes that were read behind those that it did not use before, frame by frame.
    fn digest(&mut self, key: Key, scratch: &mut [u8], read: usize) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let before = connection.session.patience(connection.partial());
        let (front, room) = scratch.split_at_mut(LONGEST_FRAME);
        let news = room.get(..read).unwrap_or_default();
        let mut carried = 0;
        if let Some(mut carry) = connection.carry.take() {
            if carry.bytes.len() + read < carry.needed {
                carry.bytes.extend_from_slice(news);
                let patience = connection.session.patience(carry.bytes.len());
                connection.carry = Some(carry);
                if patience != before {
                    self.be_patient(key, patience);
                }
                return;
            }
            carried = carry.bytes.len();
            debug_assert!(
                carried <= LONGEST_FRAME,
                "invariant: codecs bound their frames"
            );
            if let Some(place) = front.get_mut(LONGEST_FRAME - carried..) {
                place.copy_from_slice(&carry.bytes);
            }
        }
        let bytes = scratch.get(LONGEST_FRAME - carried..LONGEST_FRAME + read);
        let mut rest = bytes.unwrap_or_default();
        let mut moved_on = false;
        // What sessions answer by themselves: errors, rarely.
        let mut told = Vec::new();
        while !rest.is_empty() {
            let Some(connection) = self.tenants.get_mut(key) else {
                return;
            };
            if connection.state != State::Open {
                return;
            }
            match connection.session.handle_bytes(rest, &mut told) {
                Ok(Step::NeedMore { needed }) => {
                    connection.carry = Some(Box::new(Carry {
                        bytes: rest.to_vec(),
                        needed,
                    }));
                    break;
                }
                Ok(Step::Frame { used, request }) => {
                    rest = rest.get(used..).unwrap_or_default();
                    moved_on = true;
                    if !told.is_empty() {
                        self.push_private(key, &told);
                        told.clear();
                    }
                    if let Some(request) = request {
                        self.decide(key, request);
                    }
                }
                Err(violation) => {
                    self.end_for_violation(key, violation);
                    return;
                }
            }
        }
        let Some(connection) = self.tenants.get(key) else {
            return;
        };
        let after = connection.session.patience(connection.partial());
        if connection.state == State::Open && (moved_on || before != after) {
            let idle = after == Patience::ForEver && connection.deadline.is_none();
            if !idle {
                self.be_patient(key, after);
            }
        }
    }

    /// Step 3: what a session asks, the hub decides.
    fn decide(&mut self, key: Key, request: Request<'_>) {
        let Some(connection) = self.tenants.get(key) else {
            return;
        };
        let (house, place, wall) = (connection.house(), connection.place, self.wall);
        match (request, place) {
            (
                Request::Enter {
                    choice,
                    name,
                    contact,
                },
                _,
            ) => {
                let contact = self.contact_of(connection.peer, contact);
                let entered = self.name_for(house, choice, name).and_then(|name| {
                    let (hub, mut delivery) = self.desk(house).ok_or(Refusal::NoSuchRoom)?;
                    hub.enter(choice, name, contact, key, &mut delivery)
                });
                if entered == Err(Refusal::NameTaken) {
                    self.tell_holder(house, choice, name);
                }
                self.tell_verdict(key, entered.map(|_| NO_SECRET));
            }
            (Request::Reserve { choice, name }, _) => {
                let reserved = self.reserve(key, choice, &name);
                self.tell_verdict(key, reserved);
            }
            (Request::Say { text, time }, Place::In { id, .. }) => {
                if self.has_rate_left(key)
                    && let Some((hub, mut delivery)) = self.desk(house)
                {
                    let said = hub.say(id, text, time.unwrap_or(wall), &mut delivery);
                    self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
                }
            }
            (Request::Direct { to, text }, Place::In { id, .. }) => {
                if self.has_rate_left(key)
                    && let Some((hub, mut delivery)) = self.desk(house)
                {
                    let said = hub.direct(id, to, text, wall, &mut delivery);
                    self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
                }
            }
            (Request::Leave, _) => self.begin_close(key, CloseReason::Asked),
            (
                Request::Say { .. } | Request::Direct { .. },
                Place::Nowhere | Place::Leaving { .. },
            )
            | (
                Request::Appear
                | Request::FindAccount { .. }
                | Request::Authenticate { .. }
                | Request::Members
                | Request::KeepAlive,
                _,
            ) => {
                debug_assert!(false, "invariant: sessions let only members speak");
            }
        }
    }

    /// Tells a session what became of its peer's wish to come in.
    fn tell_verdict(&mut self, key: Key, entered: Result<Secret, Refusal>) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let room = connection.room().unwrap_or(LOBBY);
        let Some(house) = self.houses.get(connection.house()) else {
            return;
        };
        let roster = house.hub.roster(room);
        let verdict = entered.and_then(|secret| {
            let history = house.hub.history(room).ok_or(Refusal::NoSuchRoom)?;
            Ok(Welcome {
                history,
                members: &roster,
                secret,
            })
        });
        let mut frame = Vec::new();
        let after = connection.session.handle_verdict(verdict, &mut frame);
        drop(roster);
        self.push_private(key, &frame);
        match entered {
            Ok(_) => {
                let is_in = self.tenants.get(key).is_some_and(|c| c.room().is_some());
                if is_in {
                    self.counters.joined += 1;
                    log::debug!("{}: joined", self.who(key));
                }
                if after == AfterVerdict::Close {
                    self.begin_close(key, CloseReason::Answered);
                }
            }
            Err(refusal) => {
                self.counters.refused += 1;
                match after {
                    AfterVerdict::Close => self.begin_close(key, CloseReason::Refused(refusal)),
                    AfterVerdict::Stay => {}
                }
            }
        }
    }

    /// Where a peer can be reached by others: at the port that it says, at the address that it comes from, or a
    /// stranger's machine could be made the target of what they send there.
    fn contact_of(&self, peer: PeerAddress, claimed: Contact) -> Contact {
        match (self.limits.advertise, peer.ip()) {
            _ if claimed.port == 0 => Contact::NONE,
            (Advertise::Claimed, _) => claimed,
            (Advertise::Connection, IpAddr::V4(ip)) => Contact { ip, ..claimed },
            (Advertise::Connection, IpAddr::V6(_)) => Contact::NONE,
        }
    }

    /// The name somebody wants in a room, unless an account keeps it for somebody else.
    pub(super) fn name_for(
        &self,
        house: usize,
        choice: Choice<'_>,
        name: &str,
    ) -> Result<Name, Refusal> {
        let name = Name::parse(name).map_err(Refusal::NotAName)?;
        let lobby = match choice {
            Choice::Lobby => true,
            Choice::Join(room) => self.is_lobby(house, room),
            Choice::Create(_) => false,
        };
        let kept = self
            .accounts
            .as_ref()
            .is_some_and(|accounts| accounts.house() == house && accounts.exists(name.as_str()));
        match lobby && kept {
            true => Err(Refusal::NameTaken),
            false => Ok(name),
        }
    }

    fn is_lobby(&self, house: usize, room: &str) -> bool {
        let hub = self.houses.get(house).map(|house| &house.hub);
        let lobby = hub.and_then(|hub| hub.room_name(LOBBY));
        lobby.is_some_and(|lobby| lobby.same_as(room))
    }

    /// Tells whoever holds a name that somebody asked for it, where its protocol has a way.
    pub(super) fn tell_holder(&mut self, house: usize, choice: Choice<'_>, name: &str) {
        if choice != Choice::Lobby {
            return;
        }
        let Some((hub, mut delivery)) = self.desk(house) else {
            return;
        };
        if let Some(seat) = hub.find(LOBBY, name).and_then(|id| hub.seat(id)) {
            delivery.to_member(seat, Event::NameAsked);
        }
    }

    /// Whether a member may say one more thing now; what it may not is counted and dropped.
    fn has_rate_left(&mut self, key: Key) -> bool {
        let (Some(rate), Some(connection)) = (self.limits.message_rate, self.tenants.get_mut(key))
        else {
            return true;
        };
        if connection.peer.is_loopback() || connection.rate.take(rate, self.start, self.now) {
            return true;
        }
        self.note_over_rate(key);
        false
    }

    /// Counts a message that was dropped, and has the log told.
    pub(super) fn note_over_rate(&mut self, key: Key) {
        self.counters.over_rate += 1;
        let Server {
            tenants,
            houses,
            notes,
            now,
            ..
        } = self;
        let who = Who {
            tenants,
            houses,
            key,
        };
        notes.over_rate(*now, format_args!("{who}"));
        self.watch_notes();
    }

    fn end_for_violation(&mut self, key: Key, violation: Violation) {
        self.counters.violations += 1;
        let mut farewell = Vec::new();
        Session::farewell(&violation, &mut farewell);
        self.push_private(key, &farewell);
        self.begin_close(key, CloseReason::Violation(violation));
    }

    /// Gives one connection bytes of its own.
    fn push_private(&mut self, key: Key, frame: &[u8]) {
        let house = self.tenants.get(key).map(Connection::house);
        if let Some((_, mut delivery)) = house.and_then(|house| self.desk(house)) {
            delivery.push_private(key, |_, out| out.extend_from_slice(frame));
        }
    }

    /// A house's hub, and the hands that carry what it decides.
    pub(super) fn desk(&mut self, house: usize) -> Option<(&mut Hub<Key>, Delivery<'_, S, D>)> {
        let House { hub, exchange } = self.houses.get_mut(house)?;
        let delivery = Delivery {
            house,
            exchange,
            tenants: &mut self.tenants,
            pending: &mut self.pending,
            doomed: &mut self.doomed,
            post: Post {
                ports: &mut self.ports,
                allowances: &mut self.allowances,
                counters: &mut self.counters,
                datagrams: &mut self.event_datagrams,
                now: self.now,
            },
        };
        Some((hub, delivery))
    }

    /// Step 4: whatever takes too long.
    fn fall_due(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(self.now, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::Connection(key) => self.run_out_of_patience(key),
                Timer::Guest(key) => self.look_for_guest(key),
                Timer::Laggards => self.look_at_laggards(),
                Timer::Notes => {
                    self.notes_due = false;
                    self.notes.catch_up(self.now);
                    // What was suppressed since in a later second is told later.
                    self.watch_notes();
                }
            }
        }
        self.due = due;
    }

    fn run_out_of_patience(&mut self, key: Key) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        connection.deadline = None;
        match connection.state {
            State::Open => {
                let why = match connection.session.patience(connection.partial()) {
                    Patience::Limited { why, .. } => why,
                    Patience::ForEver => "",
                };
                self.counters.timed_out += 1;
                self.begin_close(key, CloseReason::TimedOut { why });
            }
            State::Closing { .. } => {
                self.counters.closed_late += 1;
                self.lose(key, CloseReason::ClosedLate);
            }
            State::Lingering | State::Dead => self.doom(key),
        }
    }
}
