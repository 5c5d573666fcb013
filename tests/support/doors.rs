//! People at the door of each of the six protocols, on the whole server in memory: they come in by our own client
//! sessions and may have other bytes put in the place of what they say.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mynah::chat::{Name, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::{
    AnySession, Command, Context, Destination, Outbound, Told, any_session, group, tcp_room, tcrp,
    udp_login, udp_mesh, udp_room,
};

use crate::memory_house::{House, MESH_BROADCAST, OWN, Peer, address};

/// Every protocol with its own way in.
pub const DOORS: [Protocol; 6] = [
    Protocol::TcpRoom,
    Protocol::Group,
    Protocol::UdpRoom,
    Protocol::UdpLogin,
    Protocol::Tcrp,
    Protocol::UdpMesh,
];

/// What is spoken at each port of the house.
const PORTS: [Protocol; 5] = [
    Protocol::UdpRoom,
    Protocol::UdpLogin,
    Protocol::Ucrp,
    Protocol::Ucrp,
    Protocol::UdpMesh,
];

pub struct Doors {
    house: House,
    pub people: Vec<Person>,
    /// On its way from one peer to others: from where, and where to.
    air: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    comers: u16,
}

/// Somebody with the client of a protocol.
pub struct Person {
    pub protocol: Protocol,
    pub name: String,
    session: AnySession,
    told: Vec<Told>,
    address: SocketAddr,
    line: Option<Line>,
    /// What its client writes, and what goes instead, of the same length.
    disguise: Option<(Vec<u8>, Vec<u8>)>,
}

struct Line {
    peer: Peer,
    carry: Vec<u8>,
    is_over: bool,
}

impl Doors {
    /// An empty lobby.
    pub fn open() -> Doors {
        Doors {
            house: House::new(),
            people: Vec::new(),
            air: Vec::new(),
            comers: 0,
        }
    }

    /// Somebody comes to a door and asks to be let in, in these bytes instead of its name. Its number.
    pub fn come(&mut self, protocol: Protocol, name: &str, bytes: &[u8]) -> usize {
        self.comers += 1;
        let [high, low] = self.comers.to_be_bytes();
        // Members of a mesh are known by their IP, and all have one port.
        let address = match protocol {
            Protocol::UdpMesh => SocketAddr::from(([127, 2, high, low], 5238)),
            _ => SocketAddr::from(([127, 1, high, low], 1000)),
        };
        let line = protocol.session().map(|_| {
            let peer = self.house.come(protocol, &address.to_string());
            let peer = peer.expect("this machine's own are not limited");
            peer.stream.keep();
            Line {
                peer,
                carry: Vec::new(),
                is_over: false,
            }
        });
        assert_eq!(name.len(), bytes.len());
        self.people.push(Person {
            protocol,
            name: name.to_owned(),
            session: session(protocol, name, address, self.house.now),
            told: Vec::new(),
            address,
            line,
            disguise: Some((name.into(), bytes.into())),
        });
        let number = self.people.len() - 1;
        self.with(number, |session, context| session.start(context));
        self.settle();
        // A peer of a mesh waits for two seconds, and a member of udp-login for its password to be looked at.
        for _ in 0..8 {
            if self.people[number].session.is_joined() || self.people[number].is_over() {
                break;
            }
            self.pass(Duration::from_millis(500));
        }
        self.people[number].disguise = None;
        number
    }

    /// Somebody comes in.
    pub fn enter(&mut self, protocol: Protocol, name: &str) -> usize {
        let number = self.come(protocol, name, name.as_bytes());
        assert!(self.people[number].is_in(), "{protocol} {name}");
        number
    }

    /// A member says these bytes, by way of its client.
    pub fn say(&mut self, number: usize, bytes: &[u8]) {
        let placeholder = "Q".repeat(bytes.len());
        let person = &mut self.people[number];
        person.disguise = Some((placeholder.clone().into(), bytes.into()));
        let command = Command::Say(&placeholder);
        self.with(number, |session, context| {
            session.handle_command(command, context).unwrap();
        });
        self.settle();
        // Its client waits for what was never said to be said back, and asks again for what is never answered.
        let waits = |person: &Person| {
            let is_guest = matches!(person.protocol, Protocol::UdpRoom | Protocol::UdpLogin);
            is_guest && !person.is_over() && person.session.unanswered() > 0
        };
        for _ in 0..20 {
            if !waits(&self.people[number]) {
                break;
            }
            self.pass(Duration::from_millis(500));
        }
        self.people[number].disguise = None;
        self.pass(Duration::from_millis(10));
    }

    /// A member says something, in these bytes instead of its name.
    pub fn say_as(&mut self, number: usize, name: &[u8], text: &str) {
        let person = &mut self.people[number];
        person.disguise = Some((person.name.clone().into(), name.into()));
        self.with(number, |session, context| {
            session.handle_command(Command::Say(text), context).unwrap();
        });
        self.settle();
        self.people[number].disguise = None;
    }

    /// A member leaves as its client leaves, under the name that it goes by.
    pub fn leave(&mut self, number: usize) {
        self.with(number, |session, context| {
            let _ = session.handle_command(Command::Leave, context);
        });
        if let Some(line) = &self.people[number].line {
            line.peer.stream.end();
            self.wake(number);
        }
        self.settle();
    }

    /// What its client was told since this was asked before.
    pub fn told(&mut self, number: usize) -> Vec<Told> {
        std::mem::take(&mut self.people[number].told)
    }

    /// Who is in the lobby.
    pub fn names(&self) -> Vec<String> {
        self.house.names()
    }

    /// Time goes by.
    pub fn pass(&mut self, time: Duration) {
        self.house.now += time;
        for number in 0..self.people.len() {
            let due = |person: &Person, now| {
                let deadline = person.session.next_deadline();
                !person.is_over() && deadline.is_some_and(|due| due <= now)
            };
            while due(&self.people[number], self.house.now) {
                self.with(number, |session, context| session.handle_timeout(context));
            }
        }
        self.settle();
    }

    /// Everybody takes what has arrived, until nothing is on its way.
    fn settle(&mut self) {
        loop {
            self.house.turn();
            while let Some(job) = self.house.server.next_job() {
                self.house.server.handle_done(job.run(), self.house.now);
                self.house.turn();
            }
            let mut is_quiet = true;
            for number in 0..self.people.len() {
                is_quiet &= !self.take_stream(number);
            }
            for (port, protocol) in (0..).zip(PORTS) {
                let own = address(OWN);
                let from = SocketAddr::new(own.ip(), own.port() + u16::from(port));
                for (to, datagram) in self.house.port(port).take() {
                    check_datagram(protocol, &datagram);
                    is_quiet = false;
                    self.deliver(from, to, &datagram);
                }
            }
            for (from, to, datagram) in std::mem::take(&mut self.air) {
                is_quiet = false;
                self.deliver(from, to, &datagram);
            }
            let due = self.house.server.next_deadline();
            if is_quiet && due.is_none_or(|due| due > self.house.now) {
                return;
            }
        }
    }

    /// Gives a datagram to whom it is for.
    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let is_for_all = to == address(MESH_BROADCAST);
        for number in 0..self.people.len() {
            let person = &self.people[number];
            let hears = match is_for_all {
                true => person.protocol == Protocol::UdpMesh,
                false => person.address == to,
            };
            if hears && !person.is_over() {
                self.with(number, |session, context| {
                    session.handle_datagram(from, datagram, context);
                });
            }
        }
    }

    /// Gives somebody what came over its stream; whether anything did.
    fn take_stream(&mut self, number: usize) -> bool {
        let person = &mut self.people[number];
        let Some(line) = &mut person.line else {
            return false;
        };
        let received = line.peer.stream.received();
        line.peer.stream.keep();
        let is_over = line.peer.stream.is_closed() && !line.is_over;
        line.is_over |= is_over;
        if received.is_empty() && !is_over {
            return false;
        }
        if person.protocol == Protocol::Group {
            check_lines(&received);
        }
        line.carry.extend(received);
        let carry = std::mem::take(&mut line.carry);
        let used = self.with(number, |session, context| {
            let used = session.handle_bytes(&carry, context);
            used.unwrap_or_else(|violation| panic!("the server broke a rule: {violation}"))
        });
        let line = self.people[number].line.as_mut().unwrap();
        line.carry = carry[used..].to_vec();
        if is_over {
            assert!(line.carry.is_empty(), "the server stopped in mid-frame");
            line.peer.stream.end();
            self.wake(number);
            self.with(number, |session, context| {
                session.handle_stream_end(context);
            });
        }
        true
    }

    fn wake(&mut self, number: usize) {
        if let Some(line) = &self.people[number].line {
            self.house.wake(&line.peer);
        }
    }

    fn with<T>(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut AnySession, &mut Context<'_>) -> T,
    ) -> T {
        let person = &mut self.people[number];
        let mut out = Outbound::default();
        let result = act(
            &mut person.session,
            &mut Context {
                now: self.house.now,
                time: TimeOfDay::MIDNIGHT,
                told: &mut person.told,
                out: &mut out,
            },
        );
        let (from, protocol) = (person.address, person.protocol);
        if !out.stream.is_empty()
            && let Some(line) = &person.line
        {
            line.peer.stream.give(&person.disguised(out.stream));
            self.wake(number);
        }
        for (to, datagram) in out.datagrams {
            let datagram = self.people[number].disguised(datagram);
            let carrier = match protocol {
                Protocol::Tcrp => Protocol::Ucrp,
                other => other,
            };
            let port = PORTS.iter().position(|port| *port == carrier).unwrap();
            match to {
                Destination::Server => {}
                // Peers of a mesh hear each other without the server.
                Destination::Peer(peer) => {
                    self.air.push((from, peer, datagram));
                    continue;
                }
                Destination::Broadcast => {
                    let all = address(MESH_BROADCAST);
                    self.air.push((from, all, datagram.clone()));
                }
            }
            let port = u8::try_from(port).unwrap();
            self.house.port(port).give(from, &datagram);
            self.house.edge(port);
        }
        result
    }
}

impl Person {
    /// Whether the server let it in and has not let it go.
    pub fn is_in(&self) -> bool {
        self.session.is_joined() && !self.is_over()
    }

    /// Whether its session is over, one way or the other.
    fn is_over(&self) -> bool {
        let ends = |told: &Told| {
            matches!(
                told,
                Told::Refused { .. } | Told::Closed { .. } | Told::Lost { .. }
            )
        };
        let hung_up = self.protocol != Protocol::Tcrp;
        let line = self.line.as_ref();
        self.told.iter().any(ends)
            || self.session.has_left()
            || line.is_some_and(|line| line.is_over && hung_up)
    }

    /// What goes out where the client wrote that.
    fn disguised(&self, mut written: Vec<u8>) -> Vec<u8> {
        let Some((placeholder, bytes)) = &self.disguise else {
            return written;
        };
        let length = placeholder.len();
        let mut places = written.windows(length).rev();
        // What is said stands last, and nothing else is written in capitals.
        if let Some(behind) = places.position(|place| place == placeholder) {
            let at = written.len() - behind - length;
            written[at..at + length].copy_from_slice(bytes);
        }
        written
    }
}

fn session(protocol: Protocol, name: &str, address: SocketAddr, now: Instant) -> AnySession {
    match protocol {
        Protocol::TcpRoom => any_session(tcp_room::client::Session::new(name)),
        Protocol::Group => {
            let (ip, port) = (address.ip(), 4000);
            let draw = Box::new(|| [1; 16]);
            any_session(group::client::Session::new(name, ip, port, false, draw))
        }
        Protocol::UdpRoom => any_session(udp_room::client::Session::new(name)),
        Protocol::UdpLogin => {
            let password = "a long enough password".to_owned();
            any_session(udp_login::client::Session::new(name, password))
        }
        Protocol::Tcrp | Protocol::Ucrp => {
            let choice = mynah::chat::Choice::Lobby;
            any_session(tcrp::client::Session::new(name, choice))
        }
        Protocol::UdpMesh => {
            let name = Name::parse(name).unwrap();
            let own = vec![address.ip()];
            any_session(udp_mesh::client::Session::new(name, own, now))
        }
    }
}

/// What is text on the wire is valid UTF-8 and holds nothing that a terminal would obey.
fn check_datagram(protocol: Protocol, datagram: &[u8]) {
    let text = match protocol {
        Protocol::UdpRoom | Protocol::UdpLogin => datagram,
        // Behind the sender's name and its length.
        Protocol::Ucrp => &datagram[1..],
        // A pickle, whose strings the receiving client checks.
        _ => return,
    };
    let text = std::str::from_utf8(text).expect("valid UTF-8");
    assert_eq!(text, mynah::chat::harmless(text));
}

/// The same of a stream of lines.
fn check_lines(received: &[u8]) {
    let text = std::str::from_utf8(received).expect("valid UTF-8");
    for line in text.split("\r\n") {
        assert_eq!(line, mynah::chat::harmless(line));
    }
}
