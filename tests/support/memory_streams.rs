//! The whole server on streams in memory and a clock that the test holds, for peers of every byte-stream
//! protocol, and what each of these protocols' peers says.

#![allow(dead_code, reason = "each user takes its part")]

use std::time::{Duration, Instant};

use mynah::chat::TimeOfDay;
use mynah::protocol::registry::Protocol;
use mynah::reactor::{Key, Readiness};
use mynah::server::{Limits, Server};

#[path = "memory_stream.rs"]
mod memory_stream;

pub use memory_stream::Eager;

/// Those that are spoken over a connection.
pub const STREAMS: [Protocol; 3] = [Protocol::TcpRoom, Protocol::Group, Protocol::Tcrp];

pub struct House {
    pub server: Server<Eager>,
    pub now: Instant,
}

/// The far end of a connection.
pub struct Peer {
    pub key: Key,
    pub stream: Eager,
}

impl House {
    /// With the limits that it has by default, and secrets that are the same in every run.
    pub fn new() -> House {
        let now = Instant::now();
        let mut server = Server::new(Limits::default(), false, now);
        let mut drawn = 0_u128;
        server.draw_secrets_from(move || {
            drawn += 1;
            drawn.to_be_bytes()
        });
        House { server, now }
    }

    /// Somebody of this machine connects.
    pub fn come(&mut self, protocol: Protocol) -> Peer {
        let stream = Eager::default();
        let from = "127.0.0.1:1".parse().unwrap();
        let key = self
            .server
            .accept(stream.clone(), from, protocol, self.now)
            .unwrap();
        Peer { key, stream }
    }

    /// Somebody who is let in.
    pub fn join(&mut self, protocol: Protocol, name: &str) -> Peer {
        let peer = self.come(protocol);
        self.send(&peer, &enter(protocol, name));
        peer
    }

    /// Bytes for the server, which hears of them and has a turn.
    pub fn send(&mut self, peer: &Peer, bytes: &[u8]) {
        self.give(peer, bytes);
        self.turn();
    }

    /// The same without a turn.
    pub fn give(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.stream.give(bytes);
        self.server.handle_readiness(peer.key, readable(peer.key));
    }

    /// A peer ends, and the server hears of it, without a turn.
    pub fn end(&mut self, peer: &Peer) {
        peer.stream.end();
        let readiness = Readiness {
            read_closed: true,
            ..readable(peer.key)
        };
        self.server.handle_readiness(peer.key, readiness);
    }

    pub fn turn(&mut self) {
        self.server.turn(self.now, TimeOfDay::MIDNIGHT);
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

pub fn readable(key: Key) -> Readiness {
    Readiness {
        token: key.token(),
        readable: true,
        writable: true,
        read_closed: false,
    }
}

/// What somebody says first: that it comes, or that it reserves a name.
pub fn enter(protocol: Protocol, name: &str) -> Vec<u8> {
    match protocol {
        Protocol::TcpRoom => [&471_i32.to_le_bytes()[..], &string(name)].concat(),
        Protocol::Group => format!("REGISTER:{name}:0.0.0.0:0\r\n").into_bytes(),
        Protocol::Tcrp => reserve(1, "tea", name),
        other => panic!("{other} has no connections"),
    }
}

/// What a member says; in TCRP nobody does.
pub fn say(protocol: Protocol, name: &str, text: &str) -> Vec<u8> {
    match protocol {
        Protocol::TcpRoom => message(472, name, text),
        Protocol::Group => format!("BROADCAST:{name}:{}:{text}\r\n", text.len()).into_bytes(),
        other => panic!("nothing is said in {other}"),
    }
}

/// What everybody in `tcp-room` hears of that.
pub fn said_by(name: &str, text: &str) -> Vec<u8> {
    message(372, name, text)
}

/// A TCRP request with a header of 32 bytes.
pub fn reserve(operation: u8, room: &str, name: &str) -> Vec<u8> {
    let payload = format!("\"{name}\"");
    let mut bytes = vec![room.len() as u8, operation, 0];
    bytes.resize(31, 0);
    bytes.push(payload.len() as u8);
    bytes.extend(room.bytes());
    bytes.extend(payload.bytes());
    bytes
}

fn message(number: i32, name: &str, text: &str) -> Vec<u8> {
    let numbers = [number, 3].map(i32::to_le_bytes).concat();
    let strings = ["00:00:00", name, text].map(string).concat();
    [numbers, strings].concat()
}

fn string(text: &str) -> Vec<u8> {
    let length = i32::try_from(text.len()).unwrap();
    [&length.to_le_bytes()[..], text.as_bytes()].concat()
}
