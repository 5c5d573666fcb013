//! Owns the datagrams of a run: ports that behave to the server as UDP sockets under edge-triggered epoll
//! do, and the ways between them and the peers, on which datagrams are lost, doubled, delayed and overtake
//! each other, or on which nothing ever happens.
//!
//! It keeps the books, too: what each address has sent and was sent, whether it has proved itself, of whom it was
//! told that nobody is there. An address that is sent more than it may be fails the run at once, and so does a
//! datagram that cannot be read or has control characters in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mynah::protocol::Secret;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcrp::datagram::{ToMember, decode_to_member};
use mynah::protocol::udp_login::frame::{Asked, Heard, Reply, decode_asked, decode_heard};
use mynah::protocol::{udp_mesh, udp_room};
use mynah::reactor::{
    BATCH, DatagramPort, Inbox, MAX_DATAGRAM, Outgoing, Readiness, SEND_BATCH, Told,
};

use crate::peers::is_harmless;
use crate::rng::Rng;
use crate::stream::Telling;

/// Where the mesh hears.
pub const BROADCAST: &str = "192.0.2.255:5238";
/// From where our own broadcasts come back.
const GATEWAY: &str = "192.0.2.1:5238";

/// How a peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything arrives once, in order, soon.
    Perfect,
    Lossy,
}

/// What befell datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    pub lost: u64,
    pub doubled: u64,
    pub late: u64,
    /// Sends refused for want of room, and batches taken in part.
    pub refused: u64,
    /// Sends that were tried again when nothing was told.
    pub retried: u64,
    pub short: u64,
    /// Errors of sends and receives that the server was told.
    pub send_errors: u64,
    pub receive_errors: u64,
    /// Datagrams that the server took in and sent.
    pub received: u64,
    pub sent: u64,
    /// ICMP: nobody receives there. Told by who is asked, and by who lies.
    pub unreachable: u64,
    pub unreachable_forged: u64,
    /// How often a guest might be let go for it, at the most.
    pub doubted_twice: u64,
}

/// From one port in one turn, at the most: one batch.
const RECEIVES_PER_TURN: usize = BATCH;
/// Through one port in one turn, but for what the last batch is too much.
const SENDS_PER_TURN: usize = 4096 + SEND_BATCH;
/// For as long a guest may say something of whom somebody said that nobody is there.
const DOUBT_TIME: Duration = Duration::from_secs(2);

/// All ports and all ways.
pub struct Air {
    rng: Rng,
    now: Instant,
    /// The kernel and the ways are as bad as they get.
    pub fierce: bool,
    ports: Vec<SocketState>,
    flights: BTreeMap<(Instant, u64), Flight>,
    flown: u64,
    ways: HashMap<SocketAddr, Way>,
    inboxes: HashMap<SocketAddr, Vec<Vec<u8>>>,
    /// How many datagrams lie in them: none, most of the time.
    unread: usize,
    /// Peers of the mesh, who hear its broadcasts.
    mesh: Vec<SocketAddr>,
    /// Of whom lies are told: a stranger who knows where they are.
    pub maligned: Vec<(u8, SocketAddr)>,
    /// Where nobody receives any more, and the machine says so.
    deserted: HashSet<SocketAddr>,
    /// When the server was told for the first time, since it last heard of them, that nobody is there.
    doubts: HashMap<(u8, SocketAddr), Instant>,
    books: HashMap<(u8, SocketAddr), Book>,
    paces: HashMap<IpAddr, Pace>,
    /// Addresses that say something to everybody and never ask to be let in.
    pub strangers: HashSet<SocketAddr>,
    /// What honest peers sent last, for those who repeat it elsewhere.
    pub overheard: VecDeque<(u8, Vec<u8>)>,
    pub weather: Weather,
}

/// The kernel's side of one port.
struct SocketState {
    protocol: Protocol,
    arrived: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Errors to collect before datagrams.
    errors: usize,
    readable_edge: bool,
    writable_edge: bool,
    /// Datagrams that are taken before the next refusal.
    room: usize,
    /// A send was refused: there will be room then, and a writable edge, unless the kernel is one that does not tell.
    room_again: Option<Instant>,
    tells: bool,
    /// It was refused in this turn.
    refused: bool,
    /// What ICMP has told, to be asked for.
    unreachable: VecDeque<SocketAddr>,
    error_edge: bool,
    /// Datagrams in this turn.
    received: usize,
    sent: usize,
}

enum Flight {
    ToServer {
        port: u8,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    ToPeer {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// ICMP: what was sent to that address came to nothing.
    Unreachable {
        port: u8,
        at: SocketAddr,
    },
}

/// What went to and fro between a port and an address.
#[derive(Default)]
struct Book {
    received: usize,
    sent: usize,
    sid: Option<Secret>,
    proven: bool,
}

/// What `udp-room` has sent to one network.
struct Pace {
    since: Instant,
    /// Answers to strangers are not paced, but never more than three times this.
    received: usize,
    sent: usize,
}

/// One port, as the server has it.
#[derive(Clone)]
pub struct SimPort {
    air: Rc<RefCell<Air>>,
    id: u8,
}

impl Air {
    pub fn new(seed: u64, fierce: bool, now: Instant) -> Air {
        Air {
            rng: Rng::new(seed),
            now,
            fierce,
            ports: Vec::new(),
            flights: BTreeMap::new(),
            flown: 0,
            ways: HashMap::from([(BROADCAST.parse().unwrap(), Way::Perfect)]),
            inboxes: HashMap::new(),
            unread: 0,
            mesh: Vec::new(),
            maligned: Vec::new(),
            deserted: HashSet::new(),
            doubts: HashMap::new(),
            books: HashMap::new(),
            paces: HashMap::new(),
            strangers: HashSet::new(),
            overheard: VecDeque::new(),
            weather: Weather::default(),
        }
    }

    /// A peer takes an address. Only those that are taken receive anything.
    pub fn attach(&mut self, address: SocketAddr, way: Way, in_mesh: bool) {
        self.ways.insert(address, way);
        self.inboxes.insert(address, Vec::new());
        if in_mesh {
            self.mesh.push(address);
        }
    }

    /// Nobody is there any more, and the machine tells whoever sends something there.
    pub fn desert(&mut self, address: SocketAddr) {
        self.deserted.insert(address);
    }

    /// What the kernel says to whatever is sent to an address where a program has ended.
    pub fn tell_deserted(&mut self, port: u8, at: SocketAddr) {
        self.desert(at);
        self.weather.unreachable += 1;
        self.fly(Way::Perfect, || Flight::Unreachable { port, at });
    }

    /// Somebody lies about an address.
    pub fn malign(&mut self, port: u8, at: SocketAddr) {
        self.weather.unreachable_forged += 1;
        self.fly(Way::Perfect, || Flight::Unreachable { port, at });
    }

    /// The server is dead: what its kernel had of it is gone, and nobody is where they were. What flies lands
    /// nowhere.
    pub fn forget_all(&mut self) {
        self.ports.clear();
        self.flights.clear();
        self.ways
            .retain(|address, _| *address == BROADCAST.parse().unwrap());
        self.inboxes.clear();
        self.unread = 0;
        self.mesh.clear();
        self.maligned.clear();
        self.deserted.clear();
        self.doubts.clear();
        self.books.clear();
        self.paces.clear();
        self.strangers.clear();
        self.weather = Weather::default();
    }

    /// The server takes another turn.
    pub fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        for port in &mut self.ports {
            (port.received, port.sent) = (0, 0);
            port.refused = false;
        }
    }

    /// A peer sends a datagram to a port.
    pub fn send(&mut self, from: SocketAddr, port: u8, bytes: &[u8]) {
        let way = self.ways.get(&from).copied();
        if way.is_some() {
            if self.overheard.len() == 40 {
                self.overheard.pop_front();
            }
            self.overheard.push_back((port, bytes.to_vec()));
        }
        self.fly(way.unwrap_or(Way::Lossy), || Flight::ToServer {
            port,
            from,
            bytes: bytes.to_vec(),
        });
    }

    /// What has arrived at an address.
    pub fn receive(&mut self, at: SocketAddr) -> Vec<Vec<u8>> {
        if self.unread == 0 {
            return Vec::new();
        }
        let inbox = self.inboxes.get_mut(&at);
        let datagrams = inbox.map(std::mem::take).unwrap_or_default();
        self.unread -= datagrams.len();
        datagrams
    }

    /// When something happens here by itself.
    pub fn next_due(&self) -> Option<Instant> {
        let flight = self.flights.keys().next().map(|(due, _)| *due);
        let room = self.ports.iter().filter_map(|port| port.room_again).min();
        flight.into_iter().chain(room).min()
    }

    pub fn advance(&mut self, now: Instant) {
        self.now = now;
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Flight::ToServer { port, from, bytes } => {
                    let port = &mut self.ports[usize::from(port)];
                    port.arrived.push_back((from, bytes));
                    port.readable_edge = true;
                }
                Flight::Unreachable { port, at } => {
                    let port = &mut self.ports[usize::from(port)];
                    port.unreachable.push_back(at);
                    port.errors += 1;
                    (port.readable_edge, port.error_edge) = (true, true);
                }
                Flight::ToPeer { to, bytes } => {
                    if let Some(inbox) = self.inboxes.get_mut(&to) {
                        inbox.push(bytes);
                        self.unread += 1;
                    }
                }
            }
        }
        let fierce = self.fierce;
        for port in &mut self.ports {
            if port.room_again.take_if(|due| *due <= now).is_some() {
                port.writable_edge = port.tells;
                port.room = room(fierce, &mut self.rng);
            }
        }
    }

    /// What epoll would tell of a port now.
    pub fn take_edge(&mut self, id: u8, telling: impl FnOnce() -> Telling) -> Option<Readiness> {
        let port = &mut self.ports[usize::from(id)];
        if !(port.readable_edge || port.writable_edge) {
            return None;
        }
        let (readable, error) = (port.readable_edge, port.error_edge);
        match telling() {
            Telling::Late => return None,
            Telling::Twice => {}
            Telling::Once => {
                (port.readable_edge, port.writable_edge) = (false, false);
                port.error_edge = false;
            }
        }
        Some(Readiness {
            token: mio::Token(usize::from(id)),
            readable,
            writable: port.room_again.is_none(),
            read_closed: error,
        })
    }

    fn fly(&mut self, way: Way, flight: impl Fn() -> Flight) {
        let mut copies = 1;
        if self.fierce && way == Way::Lossy {
            match self.rng.below(10) {
                0 => {
                    self.weather.lost += 1;
                    return;
                }
                1 => {
                    self.weather.doubled += 1;
                    copies = 2;
                }
                _ => {}
            }
        }
        for _ in 0..copies {
            let mut delay = Duration::from_millis(1);
            if self.fierce && way == Way::Lossy && self.rng.once_in(4) {
                self.weather.late += 1;
                delay += Duration::from_millis(self.rng.below(900) as u64);
            }
            self.flown += 1;
            self.flights
                .insert((self.now + delay, self.flown), flight());
        }
    }

    fn way_to(&self, to: SocketAddr) -> Way {
        self.ways.get(&to).copied().unwrap_or(Way::Lossy)
    }

    fn recv(&mut self, id: u8, inbox: &mut Inbox) -> io::Result<()> {
        inbox.clear();
        let fierce = self.fierce;
        let port = &mut self.ports[usize::from(id)];
        if port.errors > 0 {
            port.errors -= 1;
            self.weather.receive_errors += 1;
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if port.arrived.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = match fierce {
            true => 1 + self.rng.below(BATCH),
            false => BATCH,
        };
        for _ in 0..count {
            let Some((from, bytes)) = port.arrived.pop_front() else {
                break;
            };
            port.received += 1;
            self.weather.received += 1;
            // Where there is a secret only what bears it shows that somebody is there.
            if bytes.len() <= MAX_DATAGRAM && port.protocol == Protocol::UdpRoom {
                self.doubts.remove(&(id, from));
            }
            let book = self.books.entry((id, from)).or_default();
            book.received += bytes.len();
            if port.protocol == Protocol::UdpRoom {
                let now = self.now;
                let pace = self.paces.entry(network(from.ip())).or_insert(Pace {
                    since: now,
                    received: 0,
                    sent: 0,
                });
                pace.received += bytes.len();
            }
            if let Ok(Asked::Session { sid: Some(sid), .. }) = decode_asked(&bytes) {
                book.proven |= book.sid == Some(sid);
            }
            // A socket of both families has it so.
            let mapped = match from {
                SocketAddr::V4(v4) if self.rng.once_in(3) => {
                    (v4.ip().to_ipv6_mapped(), v4.port()).into()
                }
                other => other,
            };
            inbox.push(mapped, &bytes);
        }
        assert!(
            port.received <= RECEIVES_PER_TURN,
            "one port had more than its share of a turn"
        );
        Ok(())
    }

    fn next_told(&mut self, id: u8) -> Told {
        let Some(at) = self.ports[usize::from(id)].unreachable.pop_front() else {
            return Told::Nothing;
        };
        let doubted = *self.doubts.entry((id, at)).or_insert(self.now);
        if self.now >= doubted + DOUBT_TIME {
            self.weather.doubted_twice += 1;
        }
        Told::NobodyAt(at)
    }

    fn send_batch(&mut self, id: u8, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        assert!(!outgoing.is_empty(), "a system call for nothing");
        let way = self.way_to(outgoing[0].to.address());
        let port = &mut self.ports[usize::from(id)];
        assert!(!port.refused, "sent again in the turn of a refusal");
        if port.room_again.is_some() {
            // Who is never told may try.
            self.weather.retried += 1;
            port.refused = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.fierce && way == Way::Lossy && self.rng.once_in(12) {
            // No buffers, unreachable, too long for the way, not allowed.
            let error = [105, 111, 90, 1][self.rng.below(4)];
            self.weather.send_errors += 1;
            if self.rng.once_in(2) {
                port.errors += 1;
                port.readable_edge = true;
            }
            return Err(io::Error::from_raw_os_error(error));
        }
        if port.room == 0 {
            self.weather.refused += 1;
            // The edge is late sometimes.
            let longest = if self.rng.once_in(20) { 5_000 } else { 20 };
            let pause = Duration::from_millis(1 + self.rng.below(longest) as u64);
            port.room_again = Some(self.now + pause);
            port.tells = !self.rng.once_in(4);
            port.refused = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let offered = outgoing.len().min(SEND_BATCH);
        let mut taken = offered.min(port.room);
        if self.fierce && self.rng.once_in(3) {
            taken = 1 + self.rng.below(taken);
        }
        self.weather.short += u64::from(taken < offered);
        port.room -= taken;
        port.sent += taken;
        assert!(
            port.sent <= SENDS_PER_TURN,
            "one port sent more than its share of a turn"
        );
        self.weather.sent += taken as u64;
        for datagram in &outgoing[..taken] {
            self.carry(id, datagram);
        }
        Ok(taken)
    }

    /// One datagram of the server's is on its way.
    fn carry(&mut self, id: u8, datagram: &Outgoing<'_>) {
        let (to, bytes) = (datagram.to.address(), datagram.bytes);
        self.keep_books(id, to, bytes);
        let protocol = self.ports[usize::from(id)].protocol;
        assert!(
            can_be_read(protocol, bytes),
            "{protocol} {to}: {:?}",
            String::from_utf8_lossy(bytes)
        );
        if to == BROADCAST.parse().unwrap() {
            for peer in self.mesh.clone() {
                let bytes = || bytes.to_vec();
                self.fly(self.way_to(peer), || Flight::ToPeer {
                    to: peer,
                    bytes: bytes(),
                });
            }
            self.fly(Way::Lossy, || Flight::ToServer {
                port: id,
                from: GATEWAY.parse().unwrap(),
                bytes: bytes.to_vec(),
            });
            return;
        }
        let unknown = !self.ways.contains_key(&to) && to.port().is_multiple_of(2);
        if unknown || self.deserted.contains(&to) {
            self.weather.unreachable += 1;
            self.fly(Way::Lossy, || Flight::Unreachable { port: id, at: to });
        } else if self.inboxes.contains_key(&to) {
            self.fly(self.way_to(to), || Flight::ToPeer {
                to,
                bytes: bytes.to_vec(),
            });
        }
    }

    fn keep_books(&mut self, id: u8, to: SocketAddr, bytes: &[u8]) {
        let protocol = self.ports[usize::from(id)].protocol;
        let honest = self.ways.contains_key(&to);
        let longest = match protocol {
            Protocol::UdpRoom => 1024,
            _ => 4096,
        };
        assert!(bytes.len() <= longest, "{protocol}: {} bytes", bytes.len());
        let book = self.books.entry((id, to)).or_default();
        book.sent += bytes.len();
        let (sent, received) = (book.sent, book.received);
        let now = self.now;
        let unproven = match protocol {
            Protocol::UdpLogin => {
                if let Ok(Heard::Reply {
                    reply: Reply::Welcome { sid },
                    ..
                }) = decode_heard(bytes)
                {
                    book.sid = Some(sid);
                }
                !book.proven
            }
            Protocol::Ucrp => {
                assert!(honest, "ucrp answered {to}, who has no token");
                false
            }
            Protocol::UdpRoom => {
                if !to.ip().is_loopback() {
                    let pace = self.paces.entry(network(to.ip())).or_insert(Pace {
                        since: now,
                        received: 0,
                        sent: 0,
                    });
                    pace.sent += bytes.len();
                    let seconds = now.duration_since(pace.since).as_secs_f64();
                    let answers = 3.0 * pace.received as f64;
                    let allowed = 64.0 * 1024.0 + 4096.0 * seconds + answers;
                    let sent = pace.sent;
                    assert!(sent as f64 <= allowed, "{to}: {sent} bytes in {seconds} s");
                }
                self.strangers.contains(&to)
            }
            Protocol::UdpMesh => {
                assert_eq!(to.port(), 5238, "the mesh is at one port");
                false
            }
            Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp => unreachable!(),
        };
        assert!(
            !unproven || sent <= 3 * received,
            "{protocol} {to}: sent {sent} for {received}, the last: {:?}",
            String::from_utf8_lossy(bytes)
        );
    }
}

/// Who shares a pace: an IPv4 address, or a /64.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

/// Whether a member's program can read it, and its terminal show it.
fn can_be_read(protocol: Protocol, bytes: &[u8]) -> bool {
    match protocol {
        Protocol::UdpRoom => {
            udp_room::frame::decode_heard(bytes).is_ok()
                && std::str::from_utf8(bytes).is_ok_and(is_harmless)
        }
        Protocol::UdpLogin => {
            decode_heard(bytes).is_ok() && std::str::from_utf8(bytes).is_ok_and(is_harmless)
        }
        Protocol::Ucrp => match decode_to_member(bytes) {
            Ok(ToMember::Said { sender, text }) => is_harmless(sender) && is_harmless(text),
            Ok(ToMember::RoomClosed) => true,
            Err(_) => false,
        },
        Protocol::UdpMesh => match udp_mesh::frame::decode(bytes) {
            Ok(udp_mesh::frame::Frame::Say { username, text }) => {
                is_harmless(username) && is_harmless(text)
            }
            other => other.is_ok(),
        },
        Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp => false,
    }
}

/// How much a kernel takes before it refuses.
fn room(fierce: bool, rng: &mut Rng) -> usize {
    match fierce {
        true => 1 + rng.below(150),
        false => usize::MAX,
    }
}

/// Opens a port. They count from zero, as the server's do.
pub fn open(air: &Rc<RefCell<Air>>, protocol: Protocol) -> SimPort {
    let mut state = air.borrow_mut();
    let id = u8::try_from(state.ports.len()).unwrap();
    let fierce = state.fierce;
    let room = room(fierce, &mut state.rng);
    state.ports.push(SocketState {
        protocol,
        arrived: VecDeque::new(),
        errors: 0,
        readable_edge: false,
        // The edge that registration gives.
        writable_edge: true,
        room,
        room_again: None,
        tells: true,
        refused: false,
        unreachable: VecDeque::new(),
        error_edge: false,
        received: 0,
        sent: 0,
    });
    SimPort {
        air: air.clone(),
        id,
    }
}

impl DatagramPort for SimPort {
    fn recv_batch(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        self.air.borrow_mut().recv(self.id, inbox)
    }

    fn send_batch(&mut self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        self.air.borrow_mut().send_batch(self.id, outgoing)
    }

    fn next_told(&mut self) -> Told {
        self.air.borrow_mut().next_told(self.id)
    }
}
