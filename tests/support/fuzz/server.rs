//! The whole server, fed by several peers who do whatever the bytes of an input say: over streams and datagrams, with a
//! clock that jumps and kernels that take little. Its promises are checked after every step: it knows what it knows
//! twice alike, keeps its limits, does not spin, and sends nothing but frames; in the end nothing of anybody is left.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mynah::chat::{Name, TimeOfDay};
use mynah::fanout::LagLimits;
use mynah::protocol::registry::Protocol;
use mynah::protocol::udp_login::frame::{Asked, decode_asked};
use mynah::reactor::{Key, Readiness};
use mynah::server::{AccountSettings, Limits, MessageRate, Server};
use mynah::store::{self, Done, HashCost, Job};

use super::heard::{read_datagram, read_stream};
use super::input::Input;
use super::memory_port::MemoryPort;
use super::stream::{Meter, PeerEnd, SimStream, Telling, link};
use super::words;

/// One run.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut world = World::new(&mut input);
    for _ in 0..STEPS {
        let Some(what) = input.next() else {
            break;
        };
        world.step(what, &mut input);
        world.settle();
    }
    world.end();
}

/// An input that has more is cut: it would be slow, and say no more than others.
const STEPS: usize = 300;

/// As many connections in one run.
const PEERS: usize = 24;

/// The ports, as they are numbered.
const PORTS: [Protocol; 4] = [
    Protocol::UdpRoom,
    Protocol::UdpLogin,
    Protocol::Ucrp,
    Protocol::UdpMesh,
];

const STREAMS: [Protocol; 3] = [Protocol::TcpRoom, Protocol::Group, Protocol::Tcrp];

/// Where the mesh hears.
const BROADCAST: &str = "192.0.2.255:5238";
/// From where our own broadcasts come back.
const GATEWAY: &str = "192.0.2.1:5238";

/// Whoever speaks does so from one of these. The last but one is on the machine itself.
const ADDRESSES: [&str; 8] = [
    "192.0.2.10:2000",
    "192.0.2.10:2001",
    "192.0.2.11:2000",
    "[2001:db8::1]:2000",
    "192.0.2.20:5238",
    "192.0.2.21:5238",
    "127.0.0.1:2000",
    GATEWAY,
];

/// How far the clock jumps.
const PAUSES: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(25),
    Duration::from_millis(400),
    Duration::from_millis(1100),
    Duration::from_secs(6),
    Duration::from_secs(31),
    Duration::from_secs(61),
    Duration::from_secs(16 * 60),
];

/// The least that Argon2 does.
const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

/// Turns at one instant without anything new beyond which the server spins.
const SPIN: usize = 200;

/// Appends of one turn beyond the backlog, at the most: see the turn's budget in the server.
const TURN_SLACK: usize = 1024 * 1024;

struct World {
    server: Server<SimStream, MemoryPort>,
    limits: Limits,
    /// Each protocol has rooms of its own.
    isolated: bool,
    /// Before the server stops; otherwise it stops on those who are there.
    all_go: bool,
    now: Instant,
    peers: Vec<Peer>,
    /// What all of them bring in a turn.
    meter: Rc<Meter>,
    ports: [MemoryPort; 4],
    /// Of which the server is to be told something.
    port_edges: [Option<Edge>; 4],
    books: HashMap<(usize, SocketAddr), Book>,
    jobs: VecDeque<Job>,
    /// Somebody spoke from the machine itself, where nobody is given up for their silence.
    at_home: bool,
}

/// The far end of a connection.
struct Peer {
    end: PeerEnd,
    /// None if the server would not have it.
    key: Option<Key>,
    protocol: Protocol,
    ip: IpAddr,
    received: Vec<u8>,
    /// It reads what it is sent.
    hears: bool,
    /// It did so all the time, and was there: it has got whatever was sent.
    heard_all: bool,
    /// It has ended its half, or is gone.
    ended: bool,
    /// The server has ended its own.
    was_ended: bool,
}

/// What the kernel tells of a port. That there is room it says of each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Room,
    Datagrams,
    /// Or an error, which reading brings out.
    Error,
}

/// What went to and fro between a port and an address.
#[derive(Default)]
struct Book {
    received: usize,
    sent: usize,
    /// Something came from there that had the form of the proof.
    may_be_proven: bool,
}

impl World {
    fn new(input: &mut Input<'_>) -> World {
        let (kind, now) = (input.byte(), Instant::now());
        let limits = limits(kind);
        let isolated = kind & 1 != 0;
        let mut server = Server::new(limits, isolated, now);
        let mut drawn = 0u128;
        server.draw_secrets_from(move || {
            drawn += 1;
            drawn.to_be_bytes()
        });
        let ports: [MemoryPort; 4] = Default::default();
        for (port, protocol) in ports.iter().zip(PORTS) {
            if protocol == Protocol::UdpMesh {
                let name = Name::parse("mynah").expect("a name");
                server.open_gateway(port.clone(), name, address(BROADCAST));
            } else {
                server.open_port(protocol, port.clone());
            }
        }
        server.keep_accounts(AccountSettings {
            accounts: store::Accounts::new(),
            path: "accounts in memory".into(),
            served: true,
            kept: true,
            open: kind & 2 == 0,
            cost: CHEAP,
        });
        World {
            server,
            limits,
            isolated,
            all_go: kind & 64 == 0,
            now,
            peers: Vec::new(),
            meter: Rc::default(),
            ports,
            // The edge that registration gives.
            port_edges: [Some(Edge::Room); 4],
            books: HashMap::new(),
            jobs: VecDeque::new(),
            at_home: false,
        }
    }

    /// One thing happens. The server has not had its turn then.
    fn step(&mut self, what: u8, input: &mut Input<'_>) {
        match what % 16 {
            0 | 1 => self.connect(input),
            2 => self.with_peer(input, |peer, input| peer.say(&input.bytes())),
            3..=5 => self.with_peer(input, |peer, input| {
                peer.say(&words::to_server(peer.protocol, input));
            }),
            6 => self.with_peer(input, |peer, _| {
                peer.end.end();
                peer.ended = true;
            }),
            7 => self.with_peer(input, |peer, _| peer.reset()),
            8 => self.with_peer(input, |peer, input| {
                peer.hears = !peer.hears;
                peer.heard_all = false;
                // A little all the same: less than the whole may leave the server blocked.
                let taste = usize::from(input.byte());
                peer.end.receive(taste, &mut peer.received);
            }),
            9 => {
                let port = input.below(PORTS.len());
                let datagram = input.bytes();
                self.give(port, input, &datagram);
            }
            10 | 11 => {
                let port = input.below(PORTS.len());
                let datagram = words::datagram_to_server(PORTS[port], input);
                self.give(port, input, &datagram);
            }
            12 => self.pass(input.pick(&PAUSES)),
            13 => {
                let failing = input.below(4) == 3;
                while let Some(job) = self.jobs.pop_front() {
                    self.work(job, failing);
                    self.settle();
                }
            }
            14 => self.trouble(input),
            _ => self.stale_edge(input),
        }
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        let protocol = input.pick(&STREAMS);
        let from = self.address(input);
        // What a kernel takes at once, and of what it takes how little.
        let (capacity, miserly) = input.pick(&[(1 << 20, 0), (5000, 0), (1000, 90), (200, 0)]);
        if self.peers.len() == PEERS {
            return;
        }
        let (stream, end) = link(&self.meter, capacity, miserly);
        let key = self.server.accept(stream, from, protocol, self.now);
        self.peers.push(Peer {
            end,
            key,
            protocol,
            ip: from.ip(),
            received: Vec::new(),
            hears: true,
            heard_all: true,
            ended: false,
            was_ended: false,
        });
    }

    /// One that was there once, at least.
    fn with_peer(&mut self, input: &mut Input<'_>, act: impl FnOnce(&mut Peer, &mut Input<'_>)) {
        if self.peers.is_empty() {
            return;
        }
        let which = input.below(self.peers.len());
        act(&mut self.peers[which], input);
    }

    fn address(&mut self, input: &mut Input<'_>) -> SocketAddr {
        let from = address(input.pick(&ADDRESSES));
        self.at_home |= from.ip().is_loopback();
        from
    }

    /// A datagram arrives.
    fn give(&mut self, port: usize, input: &mut Input<'_>, datagram: &[u8]) {
        let from = self.address(input);
        self.arrive(port, from, datagram);
    }

    fn arrive(&mut self, port: usize, from: SocketAddr, datagram: &[u8]) {
        let book = self.books.entry((port, from)).or_default();
        book.received += datagram.len();
        book.may_be_proven |= match PORTS[port] {
            Protocol::UdpLogin => matches!(
                decode_asked(datagram),
                Ok(Asked::Session { sid: Some(_), .. })
            ),
            Protocol::Ucrp => datagram.windows(6).any(|part| part == b"token_"),
            _ => false,
        };
        self.ports[port].give(from, datagram);
        self.port_edges[port] = Some(Edge::Datagrams);
    }

    /// The kernel is in trouble with a port, or no longer.
    fn trouble(&mut self, input: &mut Input<'_>) {
        let which = input.below(PORTS.len());
        let port = &self.ports[which];
        match input.below(5) {
            0 => port.make_room(input.byte().into()),
            1 => port.fail(ErrorKind::NetworkUnreachable),
            2 => port.fail(ErrorKind::OutOfMemory),
            3 => {
                let whom = address(input.pick(&ADDRESSES));
                port.tell_unreachable(whom);
                self.port_edges[which] = Some(Edge::Error);
                return;
            }
            _ => port.make_room(usize::MAX),
        }
        self.port_edges[which] = Some(Edge::Datagrams);
    }

    /// What the kernel had to tell of a connection comes after its end, or for no reason.
    fn stale_edge(&mut self, input: &mut Input<'_>) {
        let bits = input.byte();
        let mut key = None;
        self.with_peer(input, |peer, _| key = peer.key);
        if let Some(key) = key {
            let readiness = Readiness {
                token: key.token(),
                readable: bits & 1 != 0,
                writable: bits & 2 != 0,
                read_closed: false,
            };
            self.server.handle_readiness(key, readiness);
        }
    }

    fn work(&mut self, job: Job, failing: bool) {
        let done = match job {
            Job::Save {
                ticket, snapshot, ..
            } => {
                let written = store::encode(&snapshot);
                assert!(store::decode(&written).is_ok(), "what is saved is read");
                Done::Saved {
                    ticket,
                    generation: snapshot.generation(),
                    result: match failing {
                        true => Err(ErrorKind::StorageFull.into()),
                        false => Ok(()),
                    },
                }
            }
            job => job.run(),
        };
        self.server.handle_done(done, self.now);
        self.turn();
    }

    /// Time goes by as it would: the server is woken by edges and by its own deadlines, by nothing else.
    fn pass(&mut self, time: Duration) {
        self.settle();
        let until = self.now + time;
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn();
            self.settle();
        }
        self.now = until;
        self.settle();
    }

    /// Everything that can happen now without anybody's doing.
    fn settle(&mut self) {
        // The server's own wishes; whoever reads little at a time wakes it as often as that takes.
        let mut wished = 0;
        loop {
            if self.tell_edges() {
                self.turn();
                wished = 0;
            } else if self
                .server
                .next_deadline()
                .is_some_and(|due| due <= self.now)
            {
                self.turn();
                wished += 1;
                assert!(wished < SPIN, "the server spins");
            } else {
                return;
            }
        }
    }

    fn tell_edges(&mut self) -> bool {
        let mut told = false;
        for peer in &self.peers {
            if let Some(key) = peer.key
                && let Some(readiness) = peer.end.take_edge(key, || Telling::Once)
            {
                self.server.handle_readiness(key, readiness);
                told = true;
            }
        }
        for (id, edge) in self.port_edges.iter_mut().enumerate() {
            if let Some(edge) = edge.take() {
                let readiness = Readiness {
                    token: mio::Token(id),
                    readable: edge != Edge::Room,
                    writable: true,
                    read_closed: edge == Edge::Error,
                };
                let id = u8::try_from(id).expect("four of them");
                self.server.handle_port_readiness(id, readiness);
                told = true;
            }
        }
        told
    }

    fn turn(&mut self) {
        self.meter.begin_turn();
        self.server.turn(self.now, TimeOfDay::MIDNIGHT);
        self.server.audit();
        while let Some(job) = self.server.next_job() {
            self.jobs.push_back(job);
        }
        for peer in &mut self.peers {
            if peer.hears {
                peer.end.receive(usize::MAX, &mut peer.received);
                peer.was_ended |= peer.end.is_over() && !peer.end.server_gone();
            }
        }
        self.take_datagrams();
        self.check_limits();
    }

    fn take_datagrams(&mut self) {
        for (port, protocol) in PORTS.into_iter().enumerate() {
            for (to, datagram) in self.ports[port].take() {
                read_datagram(protocol, &datagram);
                self.keep_books(port, to, datagram.len());
                if to == address(BROADCAST) {
                    self.arrive(port, address(GATEWAY), &datagram);
                }
            }
        }
    }

    fn keep_books(&mut self, port: usize, to: SocketAddr, bytes: usize) {
        let protocol = PORTS[port];
        let book = self.books.entry((port, to)).or_default();
        book.sent += bytes;
        let Book { received, sent, .. } = *book;
        let good = match protocol {
            Protocol::UdpLogin => book.may_be_proven || sent <= 3 * received,
            Protocol::Ucrp => book.may_be_proven,
            Protocol::UdpMesh => to.port() == 5238,
            _ => received > 0,
        };
        assert!(good, "{protocol} {to}: sent {sent} for {received}");
    }

    fn check_limits(&self) {
        let houses = if self.isolated {
            Protocol::ALL.len()
        } else {
            1
        };
        let memory = self.server.log_memory();
        let bound = houses * 2 * (self.limits.lag.backlog_bytes + TURN_SLACK);
        assert!(memory <= bound, "{memory} bytes of log, {bound} allowed");
        let connected = self.peers.iter().filter(|peer| peer.is_connected());
        assert_eq!(self.server.len(), connected.count(), "a slot is leaked");
        let mut addresses: HashMap<IpAddr, usize> = HashMap::new();
        for peer in self.peers.iter().filter(|peer| peer.is_connected()) {
            *addresses.entry(peer.ip).or_default() += 1;
        }
        for (ip, count) in addresses {
            let allowed = ip.is_loopback() || count <= self.limits.max_per_address;
            assert!(allowed, "{count} connections from {ip}");
        }
    }

    /// Everybody goes, and nothing is left of anybody; then the server stops. Or it stops at once.
    fn end(mut self) {
        for (port, edge) in self.ports.iter().zip(&mut self.port_edges) {
            port.make_room(usize::MAX);
            *edge = Some(Edge::Datagrams);
        }
        if self.all_go {
            self.all_go();
        }
        self.server.stop(self.now);
        // Those who do not read hold it up no longer than it takes.
        self.pass(Duration::from_secs(10));
        assert!(self.server.is_empty(), "it does not stop");
        // Guests are told, and nothing more is done about them.
        self.fall_silent();
        for peer in &self.peers {
            peer.check();
        }
    }

    fn all_go(&mut self) {
        for peer in &mut self.peers {
            peer.hears = true;
            peer.end.receive(usize::MAX, &mut peer.received);
            // Some of them without a word.
            if !peer.ended {
                peer.end.end();
            }
        }
        self.pass(Duration::from_secs(10));
        assert_eq!(self.server.len(), 0, "a connection is left");
        self.fall_silent();
        if self.at_home {
            return;
        }
        assert_eq!(self.server.guests(), 0, "a guest is left");
        for protocol in Protocol::ALL {
            let total = self.server.hub(*protocol).map(|hub| hub.total());
            assert_eq!(total, Some(0), "names of {protocol} are held by nobody");
        }
        let memory = self.server.log_memory();
        assert!(memory <= 14 * 64 * 1024, "{memory} bytes of log for nobody");
    }

    /// Nobody says anything any more, and is given up for it; but for those on the machine itself. No timer is left then.
    fn fall_silent(&mut self) {
        // Some a while after the others, whose going they are told.
        for _ in 0..4 {
            self.finish_jobs();
            self.pass(Duration::from_secs(16 * 60));
        }
        assert_eq!(self.server.next_deadline(), None, "a timer is left");
    }

    fn finish_jobs(&mut self) {
        self.settle();
        while let Some(job) = self.jobs.pop_front() {
            self.work(job, false);
            self.settle();
        }
        // What was put off for a while.
        self.pass(Duration::from_secs(31));
        while let Some(job) = self.jobs.pop_front() {
            self.work(job, false);
            self.settle();
        }
    }
}

impl Peer {
    fn is_connected(&self) -> bool {
        self.key.is_some() && !self.end.server_gone()
    }

    fn say(&mut self, bytes: &[u8]) {
        if !self.ended && !bytes.is_empty() {
            self.end.send(bytes);
        }
    }

    fn reset(&mut self) {
        self.end.reset();
        self.ended = true;
        self.heard_all = false;
    }

    fn check(&self) {
        assert!(self.key.is_none() || self.end.server_gone());
        let left = read_stream(self.protocol, &self.received);
        // Whom it would not have it tells so once, whatever becomes of it.
        if self.key.is_some() && self.heard_all && self.was_ended {
            assert_eq!(left, 0, "{}: the last frame is torn", self.protocol);
        }
    }
}

/// As they are, or so small that a few messages reach them.
fn limits(kind: u8) -> Limits {
    let mut limits = Limits::default();
    if kind & 4 != 0 {
        limits.lag = LagLimits {
            backlog_bytes: 4000,
            outbox_bytes: 3000,
            stall_bytes: 700,
            stall_time: Duration::from_secs(30),
        };
        limits.unsent_bytes = 900;
        limits.mailing_bytes = 5000;
    }
    if kind & 8 != 0 {
        limits.max_per_address = 2;
        limits.mesh_names_per_address = 2;
        limits.secrets_per_address = 2;
        limits.hub.rooms = 2;
        limits.hub.members_per_room = 3;
    }
    if kind & 16 != 0 {
        let few = MessageRate {
            burst: 2,
            per_second: 1,
        };
        limits.message_rate = Some(few);
        limits.datagram_rate = Some(few);
    }
    if kind & 32 != 0 {
        limits.gathering.members = 2;
    }
    limits
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
