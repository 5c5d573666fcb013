//! The whole server in memory, on a clock that the test holds: peers who connect, a port of every datagram protocol,
//! accounts in a folder of their own, and the work that a real server gives its helper.

#![allow(dead_code, reason = "each user takes its part")]

#[path = "frames.rs"]
pub mod frames;
#[path = "memory_port.rs"]
mod memory_port;
#[path = "memory_stream.rs"]
mod memory_stream;

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mynah::chat::{LOBBY, TimeOfDay};
use mynah::config::{Registration, Settings};
use mynah::protocol::registry::Protocol;
use mynah::reactor::{Key, Readiness};
use mynah::server::{AccountSettings, Limits, Server};
use mynah::store::{self, Done, HashCost, HashError, Job};

pub use memory_port::MemoryPort;
pub use memory_stream::{Eager, readable};

pub struct House {
    pub server: Server<Eager, MemoryPort>,
    pub ports: Vec<MemoryPort>,
    pub now: Instant,
    /// What the time of day is said to be.
    pub wall: TimeOfDay,
    folder: Option<tempfile::TempDir>,
}

/// The far end of a connection.
#[derive(Clone)]
pub struct Peer {
    pub key: Key,
    pub stream: Eager,
}

/// The ports, by their number.
pub const UDP_ROOM: u8 = 0;
pub const UDP_LOGIN: u8 = 1;
pub const UCRP: u8 = 2;
pub const UCRP_TOO: u8 = 3;
pub const MESH: u8 = 4;

/// Where the first of them is; the others have the next port numbers.
pub const OWN: &str = "198.51.100.1:7000";

pub const MESH_BROADCAST: &str = "192.0.2.255:5238";

/// Where people are: three of the world, and one of this machine.
pub const ANN: &str = "192.0.2.1:1000";
pub const BOB: &str = "192.0.2.2:1000";
pub const EVE: &str = "192.0.2.66:1000";
pub const HERE: &str = "127.0.0.1:1000";

pub const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

pub const SECOND: Duration = Duration::from_secs(1);

impl House {
    pub fn new() -> House {
        House::with(Limits::default())
    }

    pub fn with(limits: Limits) -> House {
        House::keeping(limits, |_| ())
    }

    /// One whose accounts are not as usual.
    pub fn keeping(limits: Limits, change: impl FnOnce(&mut AccountSettings)) -> House {
        let mut settings = Settings {
            limits,
            hash_cost: CHEAP,
            ..Settings::default()
        };
        let broadcast: SocketAddrV4 = MESH_BROADCAST.parse().unwrap();
        settings.mesh.broadcast = *broadcast.ip();
        House::of(&settings, change)
    }

    /// One that is as a configuration says, but for where it listens.
    pub fn of(settings: &Settings, change: impl FnOnce(&mut AccountSettings)) -> House {
        let mut house = House::bare(settings.limits, settings.isolate);
        house.reconfigure(settings);
        let own = address(OWN);
        house.ports = (0..5)
            .map(|n| MemoryPort::at(SocketAddr::new(own.ip(), own.port() + n)))
            .collect();
        let kinds = [
            Protocol::UdpRoom,
            Protocol::UdpLogin,
            Protocol::Ucrp,
            Protocol::Ucrp,
        ];
        for (port, protocol) in house.ports.iter().zip(kinds) {
            house.server.open_port(protocol, port.clone());
        }
        let (gateway, name) = (house.port(MESH).clone(), settings.mesh.name.clone());
        let broadcast =
            SocketAddrV4::new(settings.mesh.broadcast, Protocol::UdpMesh.default_port());
        house.server.open_gateway(gateway, name, broadcast.into());
        house.folder = Some(tempfile::tempdir().unwrap());
        let mut accounts = AccountSettings {
            accounts: store::Accounts::new(),
            path: house.account_file(),
            served: true,
            kept: true,
            open: settings.registration == Registration::Open,
            cost: settings.hash_cost,
        };
        change(&mut accounts);
        house.server.keep_accounts(accounts);
        house
    }

    /// The configuration is another one from now on, as it is after a reload.
    pub fn reconfigure(&mut self, settings: &Settings) {
        self.server.go_by(&settings.terms(), self.now);
    }

    /// One without ports or accounts, for connections alone.
    pub fn of_streams() -> House {
        House::bare(Limits::default(), false)
    }

    /// Its secrets are the same in every run.
    fn bare(limits: Limits, isolate: bool) -> House {
        let now = Instant::now();
        let mut server = Server::new(limits, isolate, now);
        let mut drawn = 0_u128;
        server.draw_secrets_from(move || {
            drawn += 1;
            drawn.to_be_bytes()
        });
        House {
            server,
            ports: Vec::new(),
            now,
            wall: TimeOfDay::MIDNIGHT,
            folder: None,
        }
    }

    pub fn port(&self, port: u8) -> &MemoryPort {
        &self.ports[usize::from(port)]
    }

    pub fn account_file(&self) -> PathBuf {
        let folder = self.folder.as_ref().expect("it keeps accounts");
        folder.path().join(store::FILE_NAME)
    }

    /// How often that has happened.
    pub fn count(&self, counter: &str) -> u64 {
        let mut all = self.server.counters().all();
        let found = all.find(|(name, _)| *name == counter);
        found.unwrap_or_else(|| panic!("no counter is {counter}")).1
    }

    /// Who is in the lobby.
    pub fn names(&self) -> Vec<String> {
        let hub = self.server.hub(Protocol::UdpRoom).unwrap();
        hub.members(LOBBY)
            .map(|(name, _)| name.to_string())
            .collect()
    }

    /// Somebody connects, unless it is turned away.
    pub fn come(&mut self, protocol: Protocol, from: &str) -> Option<Peer> {
        let stream = Eager::default();
        let (end, from) = (stream.clone(), address(from));
        let key = self.server.accept(end, from, protocol, self.now)?;
        Some(Peer { key, stream })
    }

    /// Somebody connects and says that.
    pub fn come_with(&mut self, protocol: Protocol, from: &str, bytes: &[u8]) -> Peer {
        let peer = self.come(protocol, from).unwrap();
        self.say(&peer, bytes);
        peer
    }

    /// Somebody connects and asks to be let in.
    pub fn join(&mut self, protocol: Protocol, from: &str, name: &str) -> Peer {
        self.come_with(protocol, from, &frames::enter(protocol, name))
    }

    /// A peer says something, and the server takes a turn.
    pub fn say(&mut self, peer: &Peer, bytes: &[u8]) {
        self.write(peer, bytes);
        self.turn();
    }

    /// Its bytes reach the server, which takes no turn.
    pub fn write(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.stream.give(bytes);
        self.wake(peer);
    }

    /// A peer says no more, and the server hears of it, without a turn.
    pub fn end(&mut self, peer: &Peer) {
        peer.stream.end();
        let readiness = Readiness {
            read_closed: true,
            ..readable(peer.key.token())
        };
        self.server.handle_readiness(peer.key, readiness);
    }

    /// The kernel has something to tell of a connection.
    pub fn wake(&mut self, peer: &Peer) {
        let readiness = readable(peer.key.token());
        self.server.handle_readiness(peer.key, readiness);
    }

    /// Somebody asks in TCRP for a name in a room, and goes; the token, if it was given one.
    pub fn reserve(&mut self, from: &str, operation: u8, room: &str, name: &str) -> Option<String> {
        let answer = self.ask_tcrp(from, operation, room, name)?;
        let at = answer.find("token_")?;
        Some(answer[at..at + "token_".len() + 32].to_owned())
    }

    /// The same, and all that it is answered.
    pub fn ask_tcrp(
        &mut self,
        from: &str,
        operation: u8,
        room: &str,
        name: &str,
    ) -> Option<String> {
        let peer = self.come(Protocol::Tcrp, from)?;
        peer.stream.keep();
        self.say(&peer, &frames::reserve(operation, room, name));
        self.end(&peer);
        self.turn();
        Some(String::from_utf8_lossy(&peer.stream.received()).into_owned())
    }

    /// A datagram arrives, and the server takes a turn; what it sends there.
    pub fn send(&mut self, port: u8, from: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.give(port, from, bytes);
        self.port(port).take_for(address(from))
    }

    /// The same, but what is sent is left where it is.
    pub fn give(&mut self, port: u8, from: &str, bytes: impl AsRef<[u8]>) {
        self.port(port).give(address(from), bytes.as_ref());
        self.edge(port);
        self.turn();
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

    /// Logs somebody in, and returns the session's id.
    pub fn login(&mut self, from: &str, name: &str) -> String {
        let request = format!("C 1 PASS {name} a long enough password");
        self.give(UDP_LOGIN, from, request);
        self.work();
        let replies = self.port(UDP_LOGIN).take_for(address(from));
        match replies[0].strip_prefix("C 1 WELCOME ") {
            Some(sid) => sid.to_string(),
            None => panic!("{replies:?}"),
        }
    }

    /// A turn and an audit, which looks at all that there is.
    pub fn turn(&mut self) {
        self.server.turn(self.now, self.wall);
        self.server.audit();
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

    /// Does what the server wants done elsewhere, saves and all.
    pub fn work(&mut self) {
        self.work_as(Job::run);
    }

    /// The same, but the disk is one that says so of each save.
    pub fn work_with_disk(&mut self, save: fn() -> io::Result<()>) {
        self.work_as(|job| match job {
            Job::Save {
                ticket, snapshot, ..
            } => Done::Saved {
                ticket,
                generation: snapshot.generation(),
                result: save(),
            },
            Job::SaveBans { ticket, .. } => Done::BansSaved {
                ticket,
                result: save(),
            },
            job @ (Job::Verify { .. } | Job::Hash { .. }) => job.run(),
        });
    }

    /// The same, but there is no memory for a hash.
    pub fn fail_to_hash(&mut self) {
        let error = HashError;
        self.work_as(|job| match job {
            Job::Verify { ticket, .. } | Job::Hash { ticket, .. } => {
                Done::NotHashed { ticket, error }
            }
            save @ (Job::Save { .. } | Job::SaveBans { .. }) => save.run(),
        });
    }

    fn work_as(&mut self, helper: impl Fn(Job) -> Done) {
        while let Some(job) = self.server.next_job() {
            self.server.handle_done(helper(job), self.now);
        }
        self.turn();
    }

    /// Something stands where the accounts are to be written.
    pub fn break_disk(&self) {
        std::fs::create_dir_all(self.account_file().join("in the way")).unwrap();
    }
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
