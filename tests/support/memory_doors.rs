//! The whole server in memory with a port of every datagram protocol, for streams and datagrams of any kind, on a clock
//! that the test holds.

#![allow(dead_code, reason = "each user takes its part")]

#[path = "memory_port.rs"]
mod memory_port;
#[path = "memory_stream.rs"]
mod memory_stream;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use memory_port::MemoryPort;
pub use memory_stream::Eager;
use mynah::chat::{Name, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::{tcp_room, tcrp, udp_mesh};
use mynah::reactor::{Key, Readiness};
use mynah::server::{AccountSettings, Limits, Server};
use mynah::store::{self, Done, HashCost, HashError, Job};

pub struct House {
    pub server: Server<Eager, MemoryPort>,
    ports: Vec<MemoryPort>,
    pub now: Instant,
    /// Where the accounts are.
    pub folder: tempfile::TempDir,
}

pub const UDP_ROOM: u8 = 0;
pub const UDP_LOGIN: u8 = 1;
pub const UCRP: u8 = 2;
pub const MESH: u8 = 3;

/// Where the ports are: with these port numbers.
pub const OWN: &str = "198.51.100.1:7000";

pub const SECOND: Duration = Duration::from_secs(1);

impl House {
    pub fn new() -> House {
        House::with(Limits::default())
    }

    pub fn with(limits: Limits) -> House {
        let now = Instant::now();
        let mut server = Server::new(limits, false, now);
        let own: SocketAddr = OWN.parse().unwrap();
        let ports: Vec<MemoryPort> = (0..4)
            .map(|n| MemoryPort::at(SocketAddr::new(own.ip(), own.port() + n)))
            .collect();
        let kinds = [Protocol::UdpRoom, Protocol::UdpLogin, Protocol::Ucrp];
        for (port, protocol) in ports.iter().zip(kinds) {
            server.open_port(protocol, port.clone());
        }
        let name = Name::parse("mynah").unwrap();
        let broadcast = "192.0.2.255:5238".parse().unwrap();
        server.open_gateway(ports[usize::from(MESH)].clone(), name, broadcast);
        let folder = tempfile::tempdir().unwrap();
        server.keep_accounts(AccountSettings {
            accounts: store::Accounts::new(),
            path: folder.path().join(store::FILE_NAME),
            served: true,
            open: true,
            cost: HashCost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
        });
        House {
            server,
            ports,
            now,
            folder,
        }
    }

    pub fn port(&self, port: u8) -> &MemoryPort {
        &self.ports[usize::from(port)]
    }

    /// How often that has happened.
    pub fn count(&self, counter: &str) -> u64 {
        let mut all = self.server.counters().all();
        let found = all.find(|(name, _)| *name == counter);
        found.unwrap_or_else(|| panic!("no counter is {counter}")).1
    }

    /// Somebody connects, unless it is turned away.
    pub fn come(&mut self, protocol: Protocol, from: &str) -> Option<(Key, Eager)> {
        let stream = Eager::default();
        let peer = from.parse().unwrap();
        let key = self
            .server
            .accept(stream.clone(), peer, protocol, self.now)?;
        Some((key, stream))
    }

    /// Somebody connects and says that.
    pub fn come_with(&mut self, protocol: Protocol, from: &str, bytes: &[u8]) -> (Key, Eager) {
        let (key, stream) = self.come(protocol, from).unwrap();
        self.say(key, &stream, bytes);
        (key, stream)
    }

    /// Joins in `tcp-room`.
    pub fn join(&mut self, from: &str, name: &str) -> (Key, Eager) {
        let mut bytes = Vec::new();
        tcp_room::frame::encode_join(name, &mut bytes);
        self.come_with(Protocol::TcpRoom, from, &bytes)
    }

    /// Asks in `tcrp` for a name in a room, and says that it says no more. The token, if there is one.
    pub fn reserve(
        &mut self,
        from: &str,
        operation: tcrp::frame::Operation,
        room: &str,
        name: &str,
    ) -> Option<String> {
        let mut request = Vec::new();
        let form = tcrp::frame::Form::Long;
        tcrp::frame::encode_request(form, operation, room, name, &mut request);
        let (key, stream) = self.come(Protocol::Tcrp, from)?;
        stream.keep();
        self.say(key, &stream, &request);
        stream.end();
        self.server.handle_readiness(key, readable(key.token()));
        self.turn();
        let answer = String::from_utf8_lossy(&stream.received()).into_owned();
        let at = answer.find("token_")?;
        Some(answer[at..at + "token_".len() + 32].to_string())
    }

    /// A connection brings bytes, and the server takes a turn.
    pub fn say(&mut self, key: Key, stream: &Eager, bytes: &[u8]) {
        stream.give(bytes);
        self.server.handle_readiness(key, readable(key.token()));
        self.turn();
    }

    /// A connection ends its half.
    pub fn end(&mut self, key: Key, stream: &Eager) {
        stream.end();
        self.server.handle_readiness(key, readable(key.token()));
        self.turn();
    }

    /// A datagram arrives, and the server takes a turn.
    pub fn send(&mut self, port: u8, from: &str, bytes: impl AsRef<[u8]>) {
        let from = from.parse().unwrap();
        self.port(port).give(from, bytes.as_ref());
        self.edge(port);
        self.turn();
    }

    /// Asks in a mesh as whom it may speak.
    pub fn ask_mesh(&mut self, from: &str, name: &str) {
        let mut bytes = Vec::new();
        udp_mesh::frame::encode_join(name, &mut bytes);
        self.send(MESH, from, bytes);
    }

    /// Speaks in a mesh.
    pub fn say_in_mesh(&mut self, from: &str, name: &str) {
        let mut bytes = Vec::new();
        udp_mesh::frame::encode_say(name, "hi", |datagram| bytes = datagram.to_vec());
        self.send(MESH, from, bytes);
    }

    /// The kernel has something to tell of a port.
    pub fn edge(&mut self, port: u8) {
        let readiness = Readiness {
            // Also what the kernel says of an error.
            read_closed: true,
            ..readable(mio::Token(0))
        };
        self.server.handle_port_readiness(port, readiness);
    }

    pub fn turn(&mut self) {
        self.server.turn(self.now, TimeOfDay::MIDNIGHT);
    }

    /// Does what the server wants done elsewhere, saves and all.
    pub fn work(&mut self) {
        while let Some(job) = self.server.next_job() {
            self.server.handle_done(job.run(), self.now);
        }
        self.turn();
    }

    /// The same, but the disk is one that says so of each save.
    pub fn work_with_disk(&mut self, save: fn() -> io::Result<()>) {
        while let Some(job) = self.server.next_job() {
            let done = match job {
                Job::Save {
                    ticket, snapshot, ..
                } => Done::Saved {
                    ticket,
                    generation: snapshot.generation(),
                    result: save(),
                },
                job @ (Job::Verify { .. } | Job::Hash { .. }) => job.run(),
            };
            self.server.handle_done(done, self.now);
        }
        self.turn();
    }

    /// The same, but there is no memory for a hash.
    pub fn fail_to_hash(&mut self) {
        let error = HashError;
        while let Some(job) = self.server.next_job() {
            let done = match job {
                Job::Verify { ticket, .. } | Job::Hash { ticket, .. } => {
                    Done::NotHashed { ticket, error }
                }
                save @ Job::Save { .. } => save.run(),
            };
            self.server.handle_done(done, self.now);
        }
        self.turn();
    }

    /// Something stands where the accounts are to be written.
    pub fn break_disk(&self) {
        let path = self.folder.path().join(store::FILE_NAME);
        std::fs::create_dir_all(path.join("in the way")).unwrap();
    }

    /// Time goes by, and the server has its turns when it wants them.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn();
        }
        self.now = until;
        self.turn();
    }
}

/// A message of `tcp-room`.
pub fn message(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    tcp_room::frame::encode_say(TimeOfDay::MIDNIGHT, name, text, &mut bytes);
    bytes
}

/// A datagram of `ucrp`.
pub fn ucrp(room: &str, token: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    tcrp::datagram::encode_to_server(room, token, text, &mut bytes);
    bytes
}

fn readable(token: mio::Token) -> Readiness {
    Readiness {
        token,
        readable: true,
        writable: true,
        read_closed: false,
    }
}
