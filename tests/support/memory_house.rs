//! A whole server in memory with every datagram port, on a clock that the test holds, and guests who talk with it.

#![allow(dead_code, reason = "each user takes its part")]

#[path = "memory_port.rs"]
mod memory_port;
#[path = "memory_stream.rs"]
mod memory_stream;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mynah::chat::{LOBBY, Name, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::reactor::Readiness;
use mynah::server::{AccountSettings, Limits, Server};
use mynah::store::{self, Done, HashCost, HashError, Job};

pub use memory_port::MemoryPort;
pub use memory_stream::Eager;

pub struct House {
    pub server: Server<Eager, MemoryPort>,
    pub ports: Vec<MemoryPort>,
    pub now: Instant,
    pub folder: tempfile::TempDir,
}

pub const UDP_ROOM: u8 = 0;
pub const UDP_LOGIN: u8 = 1;
pub const UCRP: u8 = 2;
pub const UCRP_TOO: u8 = 3;
pub const MESH: u8 = 4;

// What TCRP is asked for.
pub const CREATE: u8 = 1;
pub const JOIN: u8 = 2;

pub const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

pub const MESH_BROADCAST: &str = "192.0.2.255:5238";

impl House {
    pub fn new() -> House {
        House::with(Limits::default())
    }

    pub fn with(limits: Limits) -> House {
        House::keeping(limits, |_| ())
    }

    /// One whose accounts are not as usual.
    pub fn keeping(limits: Limits, change: impl FnOnce(&mut AccountSettings)) -> House {
        let now = Instant::now();
        let mut server = Server::new(limits, false, now);
        let own = |n| address(&format!("198.51.100.1:{}", 7000 + n));
        let ports: Vec<MemoryPort> = (0..5).map(|n| MemoryPort::at(own(n))).collect();
        let kinds = [
            Protocol::UdpRoom,
            Protocol::UdpLogin,
            Protocol::Ucrp,
            Protocol::Ucrp,
        ];
        for (port, protocol) in ports.iter().zip(kinds) {
            server.open_port(protocol, port.clone());
        }
        let name = Name::parse("mynah").unwrap();
        server.open_gateway(ports[4].clone(), name, MESH_BROADCAST.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let mut settings = AccountSettings {
            accounts: store::Accounts::new(),
            path: folder.path().join(store::FILE_NAME),
            served: true,
            open: true,
            cost: CHEAP,
        };
        change(&mut settings);
        server.keep_accounts(settings);
        House {
            server,
            ports,
            now,
            folder,
        }
    }

    /// A datagram arrives, and the server takes a turn; what it sends there.
    pub fn send(&mut self, port: u8, from: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.give(port, from, bytes);
        self.ports[usize::from(port)].take_for(address(from))
    }

    pub fn give(&mut self, port: u8, from: &str, bytes: impl AsRef<[u8]>) {
        self.ports[usize::from(port)].give(address(from), bytes.as_ref());
        self.edge(port);
        self.turn();
    }

    pub fn edge(&mut self, port: u8) {
        let readiness = Readiness {
            token: mio::Token(0),
            readable: true,
            writable: true,
            // Also what the kernel says of an error.
            read_closed: true,
        };
        self.server.handle_port_readiness(port, readiness);
    }

    pub fn turn(&mut self) {
        self.server.turn(self.now, TimeOfDay::MIDNIGHT);
        self.server.audit();
    }

    /// Does what the server wants done elsewhere, saves and all.
    pub fn work(&mut self) {
        while let Some(job) = self.server.next_job() {
            self.server.handle_done(job.run(), self.now);
        }
        self.turn();
    }

    /// Does what the server wants done, but there is no memory for a hash.
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

    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn();
        }
        self.now = until;
        self.turn();
    }

    pub fn names(&self) -> Vec<String> {
        let hub = self.server.hub(Protocol::UdpRoom).unwrap();
        hub.members(LOBBY)
            .map(|(name, _)| name.to_string())
            .collect()
    }

    /// Logs somebody in, and returns the session's id.
    pub fn login(&mut self, from: &str, name: &str) -> String {
        self.give(
            UDP_LOGIN,
            from,
            format!("C 1 PASS {name} a long enough password"),
        );
        self.work();
        let replies = self.ports[usize::from(UDP_LOGIN)].take_for(address(from));
        match replies[0].strip_prefix("C 1 WELCOME ") {
            Some(sid) => sid.to_string(),
            None => panic!("{replies:?}"),
        }
    }

    /// Has TCRP keep a name, and returns the token.
    pub fn token(&mut self, from: &str, operation: u8, room: &str, name: &str) -> Option<String> {
        let answer = self.ask_tcrp(from, operation, room, name)?;
        let at = answer.find("token_")?;
        Some(answer[at..at + "token_".len() + 32].to_string())
    }

    /// Has TCRP keep a name, and returns all that it answers.
    pub fn ask_tcrp(
        &mut self,
        from: &str,
        operation: u8,
        room: &str,
        name: &str,
    ) -> Option<String> {
        let payload = format!("{{\"username\":\"{name}\"}}");
        let mut request = vec![room.len() as u8, operation, 0];
        request.extend([0; 28]);
        request.push(payload.len() as u8);
        request.extend_from_slice(room.as_bytes());
        request.extend_from_slice(payload.as_bytes());
        let stream = Eager::default();
        stream.keep();
        stream.give(&request);
        let peer = from.parse().unwrap();
        let key = self
            .server
            .accept(stream.clone(), peer, Protocol::Tcrp, self.now)?;
        let readiness = Readiness {
            token: key.token(),
            readable: true,
            writable: true,
            read_closed: false,
        };
        self.server.handle_readiness(key, readiness);
        self.turn();
        stream.end();
        self.server.handle_readiness(key, readiness);
        self.turn();
        Some(String::from_utf8_lossy(&stream.received()).into_owned())
    }
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn ucrp(room: &str, token: &str, text: &str) -> Vec<u8> {
    let mut datagram = vec![room.len() as u8, token.len() as u8];
    for part in [room, token, text] {
        datagram.extend_from_slice(part.as_bytes());
    }
    datagram
}

pub const ANN: &str = "192.0.2.1:1000";
pub const BOB: &str = "192.0.2.2:1000";
pub const EVE: &str = "192.0.2.66:1000";
