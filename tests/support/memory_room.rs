//! The whole server in memory with a room full of members of one protocol: what a delivery costs without a
//! kernel. For tests and benches.

#![allow(dead_code, reason = "each user takes its part")]

#[path = "memory_port.rs"]
mod memory_port;
#[path = "memory_stream.rs"]
mod memory_stream;
#[path = "speech.rs"]
pub mod speech;

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

pub use memory_port::MemoryPort;
pub use memory_stream::Eager;
use memory_stream::readable;
use mynah::chat::{Name, TimeOfDay};
use mynah::protocol::Secret;
use mynah::protocol::registry::Protocol;
use mynah::reactor::Key;
use mynah::server::{AccountSettings, Limits, Server};
use mynah::store::{self, HashCost, Password};
use speech::Speech;

/// The whole server with members of one protocol, in memory.
pub struct Room {
    server: Server<Eager, MemoryPort>,
    /// Where those are who have no connection.
    port: MemoryPort,
    protocol: Protocol,
    members: Vec<Member>,
    /// The secret drawn last, which is that of whoever came last.
    drawn: Rc<Cell<u64>>,
    /// Of the next request, in the protocol that numbers them.
    number: u64,
    now: Instant,
}

enum Member {
    Connected { key: Key, stream: Eager },
    Guest { address: SocketAddr, secret: Secret },
}

/// The only datagram port.
const PORT: u8 = 0;

impl Room {
    /// A room with that many members, all that they are told of each other's coming delivered.
    pub fn with(protocol: Protocol, members: usize) -> Room {
        let now = Instant::now();
        let mut server = Server::new(Limits::default(), false, now);
        let drawn = Rc::new(Cell::new(0));
        let last = Rc::clone(&drawn);
        server.draw_secrets_from(move || {
            last.set(last.get() + 1);
            bits(last.get())
        });
        let port = MemoryPort::counting();
        if protocol.session().is_none() {
            server.open_port(protocol, port.clone());
        }
        if protocol == Protocol::UdpLogin {
            server.keep_accounts(accounts(members));
        }
        let mut room = Room {
            server,
            port,
            protocol,
            members: Vec::new(),
            drawn,
            number: speech::FIRST_NUMBER,
            now,
        };
        for member in 0..members {
            let member = room.join(member);
            room.members.push(member);
        }
        room
    }

    /// Something for a member to say, so many times in one go.
    pub fn speech(&self, member: usize, text: &str, messages: usize) -> Speech {
        let secret = match &self.members[member] {
            Member::Connected { .. } => Secret::new([0; 16]),
            Member::Guest { secret, .. } => *secret,
        };
        Speech::new(self.protocol, &speech::name(member), secret, text, messages)
    }

    /// One member says this in one go, and the server does all that comes of it.
    pub fn says(&mut self, member: usize, speech: &mut Speech) {
        speech.number(&mut self.number);
        let pieces = speech.pieces().iter();
        match &self.members[member] {
            Member::Connected { key, stream } => {
                pieces.for_each(|piece| stream.give(piece));
                let key = *key;
                self.server.handle_readiness(key, readable(key.token()));
            }
            Member::Guest { address, .. } => {
                pieces.for_each(|piece| self.port.give(*address, piece));
                self.server
                    .handle_port_readiness(PORT, readable(mio::Token(0)));
            }
        }
        self.settle();
    }

    /// How many hear what one of them says.
    pub fn listeners(&self) -> usize {
        speech::listeners(self.protocol, self.members.len())
    }

    /// Bytes so far of all members, and writes; or datagrams, which are that.
    pub fn delivered(&self) -> (usize, usize) {
        let mut delivered = self.port.delivered();
        for member in &self.members {
            if let Member::Connected { stream, .. } = member {
                let (bytes, writes) = stream.delivered();
                delivered.0 += bytes;
                delivered.1 += writes;
            }
        }
        delivered
    }

    /// Turns, until nothing is left to be done.
    fn settle(&mut self) {
        loop {
            self.server.turn(self.now, TimeOfDay::MIDNIGHT);
            if self.server.next_deadline().is_none_or(|due| due > self.now) {
                return;
            }
        }
    }

    fn join(&mut self, member: usize) -> Member {
        let name = speech::name(member);
        let address = speech::address_of(member);
        if self.protocol.session().is_some() {
            let enter = speech::enter(self.protocol, &name, Secret::new([0; 16]));
            let (key, stream) = self.connect(address, self.protocol, &enter);
            return Member::Connected { key, stream };
        }
        if self.protocol == Protocol::Ucrp {
            let (key, stream) = self.connect(
                address,
                Protocol::Tcrp,
                &speech::reserve(&name, member == 0),
            );
            stream.end();
            self.server.handle_readiness(key, readable(key.token()));
            self.settle();
        }
        let token = self.drawn();
        let enter = speech::enter(self.protocol, &name, token);
        self.receive(address, &enter);
        while let Some(job) = self.server.next_job() {
            self.server.handle_done(job.run(), self.now);
            self.settle();
        }
        // That of a `udp-login` session was drawn just now.
        let secret = self.drawn();
        if self.protocol == Protocol::UdpLogin {
            self.receive(address, &speech::prove(secret));
        }
        Member::Guest { address, secret }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.port.give(from, datagram);
        self.server
            .handle_port_readiness(PORT, readable(mio::Token(0)));
        self.settle();
    }

    fn connect(&mut self, from: SocketAddr, protocol: Protocol, bytes: &[u8]) -> (Key, Eager) {
        let stream = Eager::default();
        let key = self
            .server
            .accept(stream.clone(), from, protocol, self.now)
            .unwrap();
        stream.give(bytes);
        self.server.handle_readiness(key, readable(key.token()));
        self.settle();
        (key, stream)
    }

    fn drawn(&self) -> Secret {
        Secret::new(bits(self.drawn.get()))
    }
}

/// An account for everybody, whose passwords are looked at in no time.
pub fn accounts(members: usize) -> AccountSettings {
    let cost = HashCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    let password = Password::new(speech::PASSWORD).unwrap();
    let phc = store::hash(&password, [7; 16], cost).unwrap();
    let mut accounts = store::Accounts::new();
    for member in 0..members {
        let name = Name::parse(&speech::name(member)).unwrap();
        accounts.insert(name, phc.clone()).unwrap();
    }
    AccountSettings {
        accounts,
        // Nothing is ever saved: nobody registers.
        path: PathBuf::new(),
        served: true,
        kept: true,
        open: false,
        cost,
    }
}

fn bits(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}
