//! Owns the server's state and the turn: what comes in, what is decided, what falls due.
//! How it goes out is in `sending`, how connections end in `closing`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::access::Gate;
use super::accounts::Accounts;
use super::address::{Census, PeerAddress};
use super::bans::Bans;
use super::budget::Stuck;
use super::connection::{Carry, CloseReason, Connection, Offered, Place, State};
use super::control::Orders;
use super::counters::Counters;
use super::entropy::Entropy;
use super::exchange::{Delivery, Exchange, Post};
use super::guest::{GuestPlace, Moment};
use super::limits::{Advertise, Limits};
use super::notes::Notes;
use super::order::Bar;
use super::port::{Allowances, Port, Ports};
use super::sources::Sources;
use super::tenants::Tenants;
use crate::chat::{Hub, RoomId, TimeOfDay};
use crate::fanout::{Stall, Tally};
use crate::protocol::registry::Protocol;
use crate::protocol::{Datagrams, Deadline, Patience, Secret, ServerSession, Step};
use crate::reactor::{DatagramPort, Inbox, Key, Readiness, Stream, Timers, UdpPort};

/// Everything that is taken from one connection in one turn. Enough that a burst is gathered, little
/// enough that a flooder keeps nobody waiting.
const READ_BYTES: usize = 64 * 1024;

/// What all connections together may bring in one turn, read and appended. Well under the backlog
/// limit, also with the notices that wait ([`Gathering::bytes`](super::limits::Gathering::bytes)), so that nobody becomes
/// a slow consumer by what it was never offered.
pub(super) const TURN_BYTES: usize = 256 * 1024;

/// What notices of who goes may come to besides, under the backlog limit with the others. Ten thousand who go at once
/// are not halted halfway: the half that is left would be told of the other, to no use.
const TURN_DEPARTURE_BYTES: usize = 512 * 1024;

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
    pub(super) ports: Ports<D>,
    pub(super) allowances: Allowances,
    pub(super) advertise: Advertise,
    /// Guests by the secrets that their datagrams carry. Nobody can choose those, but anybody can try.
    pub(super) secrets: HashMap<u128, Key>,
    /// Secrets given out and not shown, by network.
    pub(super) unshown: Census,
    pub(super) sources: Sources,
    pub(super) accounts: Option<Accounts>,
    /// What an administrator has asked for.
    pub(super) orders: Orders,
    pub(super) entropy: Entropy,
    /// The memory of what waits to be sent to connections.
    pub(super) tally: Tally,
    /// It is too much, and nothing helps.
    pub(super) stuck: Option<Stuck>,
    /// One for all protocols, or one for each.
    pub(super) houses: Vec<House>,
    pub(super) timers: Timers<Timer>,
    /// Connections to read from, in turn. Each stands here once.
    pub(super) ready: VecDeque<Key>,
    /// Connections to send to apart from their audience. Each stands here once.
    pub(super) pending: Vec<Key>,
    /// When notices that wait for more of their kind have waited for long enough.
    pub(super) notices_due: Option<Instant>,
    /// Connections whose last send was refused, watched for stalling.
    pub(super) laggards: Vec<(Key, Stall)>,
    pub(super) laggards_watched: bool,
    /// A timer runs that has ports tried again.
    pub(super) ports_watched: bool,
    /// Connections to let go at the end of the turn.
    pub(super) doomed: Vec<Key>,
    pub(super) stopping: bool,
    /// Nobody is let in any more.
    pub(super) draining: bool,
    pub(super) bans: Bans,
    /// From where people may come, by the place of their protocol among all; from everywhere where there is none.
    pub(super) gates: Box<[Gate]>,
    /// What newcomers are told; mostly nothing.
    pub(super) greeting: Box<str>,
    /// When it all began: what the milliseconds of rates count from.
    pub(super) start: Instant,
    pub(super) notes: Notes,
    /// What the log knows of datagrams that were not sent or not received.
    pub(super) told_of_ports: [u64; 4],
    pub(super) notes_due: bool,
    pub(super) now: Instant,
    pub(super) wall: TimeOfDay,
    /// When it was that.
    wall_at: Instant,
    pub(super) census: Census,
    /// The same of rooms, by who opened them.
    pub(super) hosts: Census,
    /// The same of the names that came from a mesh.
    pub(super) mesh_names: Census,
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
    /// Time to try the ports again that the kernel refused.
    Ports,
    /// Time to tell the log what was suppressed.
    Notes,
    /// Passwords could not be hashed, or accounts not saved.
    Accounts,
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// A server without connections. With `isolate` each protocol has rooms and names of its own.
    pub fn new(limits: Limits, isolate: bool, now: Instant) -> Server<S, D> {
        let houses = if isolate { Protocol::ALL.len() } else { 1 };
        let tally = Tally::default();
        let house = || House {
            hub: Hub::new(limits.hub),
            exchange: Exchange::new(&tally),
        };
        Server {
            limits,
            counters: Counters::default(),
            tenants: Tenants::new(),
            ports: Ports::new(),
            allowances: Allowances::new(limits.pace),
            advertise: Advertise::default(),
            secrets: HashMap::new(),
            unshown: Census::default(),
            sources: Sources::default(),
            accounts: None,
            orders: Orders::default(),
            entropy: Entropy::default(),
            houses: std::iter::repeat_with(house).take(houses).collect(),
            tally,
            stuck: None,
            timers: Timers::new(now),
            ready: VecDeque::new(),
            pending: Vec::new(),
            notices_due: None,
            laggards: Vec::new(),
            laggards_watched: false,
            ports_watched: false,
            doomed: Vec::new(),
            stopping: false,
            draining: false,
            bans: Bans::default(),
            gates: Box::default(),
            greeting: Box::default(),
            start: now,
            notes: Notes::new(),
            told_of_ports: [0; 4],
            notes_due: false,
            now,
            wall: TimeOfDay::MIDNIGHT,
            wall_at: now,
            census: Census::default(),
            hosts: Census::default(),
            mesh_names: Census::default(),
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

    /// Has members who talk without the server told of addresses as `advertise` says.
    pub fn advertise(&mut self, advertise: Advertise) {
        self.advertise = advertise;
    }

    /// Has secrets drawn from `draw` instead of the kernel: for tests, whose runs are to be repeated.
    pub fn draw_secrets_from(&mut self, draw: impl FnMut() -> [u8; 16] + 'static) {
        self.entropy = Entropy::new(draw);
    }

    /// Takes a connection in, unless nobody is let in from its address: then it is dropped without a word. Or its address
    /// has as many as it may: then it is told so, if its protocol can, and dropped. The owner registers the stream under the key it gets.
    pub fn accept(
        &mut self,
        mut stream: S,
        peer: SocketAddr,
        protocol: Protocol,
        now: Instant,
    ) -> Option<Key> {
        self.now = now;
        let peer = PeerAddress::new(peer);
        if let Some(bar) = self.bars(protocol, &peer) {
            self.note_barred(format_args!("{protocol} {peer}"), bar);
            return None;
        }
        if !self.census.enter(&peer, self.limits.max_per_address) {
            self.counters.turned_away += 1;
            self.notes
                .turned_away(now, format_args!("{protocol} {peer}"));
            self.watch_notes();
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

    /// Counts a connection for something else than chat that the owner closed for where it comes from.
    pub(super) fn note_not_let_in(&mut self, who: impl fmt::Display, bar: Bar, now: Instant) {
        self.now = now;
        self.note_barred(format_args!("{who}"), bar);
    }

    fn note_barred(&mut self, who: fmt::Arguments<'_>, bar: Bar) {
        self.counters.count_barred(bar);
        self.notes.barred(self.now, who, bar);
        self.watch_notes();
    }

    /// Counts a connection that could not be taken in, and has the log told that for so long none will be.
    pub fn note_not_accepted(
        &mut self,
        whom: impl fmt::Display,
        error: &std::io::Error,
        pause: Duration,
        now: Instant,
    ) {
        self.now = now;
        self.counters.shed += 1;
        let what = format_args!("{whom}: not accepting for {pause:?}: {error}");
        self.notes.not_accepted(now, what);
        self.watch_notes();
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
                // Who goes goes first, lest it is still told what others say in the same turn.
                match readiness.read_closed {
                    true => self.ready.push_front(key),
                    false => self.ready.push_back(key),
                }
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
        self.wall_at = now;
        self.take_in();
        self.take_in_datagrams();
        self.fall_due();
        self.send_out();
        self.send_out_datagrams();
        self.keep_to_budget();
        self.let_go();
    }

    /// When the next turn is due at the latest: a past time is at once, `None` when something is ready.
    pub fn next_deadline(&self) -> Option<Instant> {
        let at_once = self
            .ports
            .iter()
            .any(|port| port.can_send() || port.erred || self.hears(port))
            || !self.ready.is_empty()
            || !self.pending.is_empty()
            || !self.doomed.is_empty()
            || self.has_answers()
            || self.houses.iter().any(|house| house.exchange.is_touched());
        if at_once {
            return Some(self.now);
        }
        self.timers
            .next_deadline()
            .into_iter()
            .chain(self.notices_due)
            .min()
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

    /// How many members there are, and in how many rooms: those who are heard there. A name that is only kept is nobody's
    /// yet.
    pub(super) fn population(&self) -> (usize, usize) {
        let hubs = self.houses.iter().map(|house| &house.hub);
        hubs.fold((0, 0), |(members, rooms), hub| {
            (members + hub.heard(), rooms + hub.room_count())
        })
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

    /// The memory of all that waits to be sent, in bytes: logs with what their buffers have to spare, what waits for one
    /// connection alone, lists of members, and datagrams. Costs next to nothing to ask.
    pub fn output_memory(&self) -> usize {
        let ports = self.ports.iter();
        let datagrams: usize = ports.map(|port| port.mailing.memory()).sum();
        self.tally.bytes() + datagrams
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
        let population = self.members().count();
        assert_eq!(self.population().0, population, "members are members");
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
            // Whom a gateway took in is found by its name alone.
            if let Some((port, address)) = guest.found_at
                && guest.secret.is_none()
                && let Some(port) = self.ports.get(port)
                && port.gateway.is_none()
            {
                let known = port.guests.get(&address);
                assert_eq!(known, Some(&key), "a guest is found where it is");
            }
            if let Some(secret) = guest.secret {
                assert_eq!(self.secrets.get(&secret.bits()), Some(&key));
            }
        }
        for id in self.ports.ids() {
            let Some(port) = self.ports.get(id) else {
                continue;
            };
            for (address, key) in &port.guests {
                let guest = self.tenants.guest(*key);
                let found_at = guest.and_then(|guest| guest.found_at);
                let here = (id, *address);
                assert_eq!(found_at, Some(here), "nobody is known who is not there");
            }
        }
        let with_secret = self.tenants.iter_guests();
        let with_secret = with_secret.filter(|(_, guest)| guest.secret.is_some());
        assert_eq!(
            self.secrets.len(),
            with_secret.count(),
            "no secret outlives its guest"
        );
        for (key, guest) in self.tenants.iter_guests() {
            let GuestPlace::In { room, seat, .. } = guest.place else {
                continue;
            };
            let port = guest.found_at.and_then(|(port, _)| self.ports.get(port));
            assert_eq!(seat.is_none(), guest.protocol.hears_together());
            if let Some(seat) = seat {
                let sits_there =
                    port.and_then(|port| port.mailing.member(room.index(), seat as usize));
                assert_eq!(
                    sits_there,
                    Some(key),
                    "a member sits where it thinks it does"
                );
            }
        }
        self.audit_timers();
        let limited = self.tenants.iter_guests();
        let limited = limited.filter(|(_, guest)| guest.allowance.is_some());
        self.allowances.audit(limited.count());
        if self.tenants.guests() + self.tenants.connections() == 0 {
            for port in self.ports.iter() {
                let mut rooms = 0..port.mailing.rooms();
                assert!(port.guests.is_empty(), "an address of nobody");
                assert!(
                    !rooms.any(|room| port.mailing.has_readers(room)),
                    "a seat of nobody"
                );
            }
            assert!(self.census.is_empty() && self.unshown.is_empty());
            assert!(self.mesh_names.is_empty() && self.hosts.is_empty());
        }
        let waits: usize = self.tenants.iter().map(|(_, c)| c.feed.memory()).sum();
        assert!(
            waits + self.log_memory() <= self.tally.bytes(),
            "what waits is counted"
        );
        let held: usize = self.houses.iter().map(|house| house.hub.total()).sum();
        assert_eq!(held, members, "names are held by those who are in");
    }

    /// Every timer is somebody's, and whoever has one has it armed.
    fn audit_timers(&self) {
        let connections = self.tenants.iter();
        let connections = connections.filter(|(_, connection)| connection.deadline.is_some());
        let guests = self.tenants.iter_guests();
        let guests = guests.filter(|(_, guest)| guest.deadline.is_some());
        let trying_again = self.accounts.as_ref().is_some_and(Accounts::tries_again);
        let others = [
            self.laggards_watched,
            self.ports_watched,
            self.notes_due,
            trying_again,
        ];
        let others = others.iter().filter(|armed| **armed);
        let known = connections.count() + guests.count() + others.count();
        assert_eq!(self.timers.armed(), known, "every timer is somebody's");
        assert!(
            self.notes_due || !self.notes.owes(),
            "what is suppressed is told some day"
        );
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

    /// What the clock on the wall shows now, between turns too.
    pub(super) fn wall_now(&self) -> TimeOfDay {
        let since = self.now.saturating_duration_since(self.wall_at);
        self.wall.after(since)
    }

    /// Now, as guests remember it.
    pub(super) fn moment(&self) -> Moment {
        Moment::new(self.start, self.now)
    }

    /// Arms the timer for what the session said, instead of whatever was armed.
    fn be_patient(&mut self, key: Key, patience: Patience) {
        let time = match patience {
            Patience::ForEver => None,
            Patience::Limited(deadline) => Some(self.limits.time_for(deadline)),
        };
        self.allow(key, time);
    }

    /// Gives a connection so much time from now for what it is at, instead of what it had; `None` is as much as it likes.
    pub(super) fn allow(&mut self, key: Key, time: Option<Duration>) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        if let Some(armed) = connection.deadline.take() {
            self.timers.cancel(armed);
        }
        if let Some(time) = time {
            let timer = Timer::Connection(key);
            connection.deadline = Some(self.timers.arm(self.now + time, timer));
        }
    }

    /// The same while the frame is not whole: more bytes of it buy no more time than there was, or who drips them just
    /// so would have the time for each of its parts.
    fn be_no_more_patient(&mut self, key: Key, patience: Patience) {
        let armed = self.tenants.get(key).and_then(|connection| {
            let armed = connection.deadline?;
            self.timers.deadline(armed)
        });
        let is_sooner = match (armed, patience) {
            (Some(armed), Patience::Limited(deadline)) => {
                self.now + self.limits.time_for(deadline) < armed
            }
            (Some(_) | None, _) => true,
        };
        if is_sooner {
            self.be_patient(key, patience);
        }
    }

    /// Steps 2 and 3: reads in turn, until everybody had theirs or the turn has its fill.
    fn take_in(&mut self) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (mut intake, mut departures) = (0, 0);
        let before = self.tally.bytes();
        for _ in 0..self.ready.len() {
            if intake >= TURN_BYTES || departures >= TURN_DEPARTURE_BYTES {
                break;
            }
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            intake += self.read(key, &mut scratch);
            for house in &mut self.houses {
                intake += house.exchange.take_appended();
                departures += house.exchange.take_departures();
            }
            if self.has_its_fill(before) {
                break;
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
            if !connection.listens(log, self.limits.unsent_bytes) {
                // It stays `readable` and is taken up again when enough is sent.
                return 0;
            }
        }
        let (_, room) = scratch.split_at_mut(LONGEST_FRAME);
        match connection.stream.recv(room) {
            Ok(0) if lingering => self.doom(key),
            Ok(0) => self.begin_close(key, CloseReason::Left),
            Ok(read) => {
                self.counters.received_tcp_bytes += read as u64;
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
                    self.be_no_more_patient(key, patience);
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
        if connection.state != State::Open {
            return;
        }
        if moved_on {
            let idle = after == Patience::ForEver && connection.deadline.is_none();
            if !idle {
                self.be_patient(key, after);
            }
        } else if before != after {
            self.be_no_more_patient(key, after);
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
                Timer::Ports => self.try_ports_again(),
                Timer::Accounts => self.look_at_accounts(),
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
                let patience = connection.session.patience(connection.partial());
                debug_assert_ne!(
                    patience,
                    Patience::ForEver,
                    "invariant: its timer is armed for what it says"
                );
                // Without a timer it would stay for ever: if that was wrong, better it goes.
                let deadline = match patience {
                    Patience::Limited(deadline) => deadline,
                    Patience::ForEver => Deadline::Frame,
                };
                self.begin_close(key, CloseReason::TimedOut(deadline));
            }
            State::Closing { .. } => {
                self.lose(key, CloseReason::ClosedLate);
            }
            State::Lingering | State::Dead => self.doom(key),
        }
    }
}
