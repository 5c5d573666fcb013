//! The whole server in memory with a crowd of members, of `group` unless it is said otherwise, on a clock that the test
//! holds, behind streams that take as much as the test says and count what they are asked.

#![allow(dead_code, reason = "each user takes its part")]

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mynah::chat::{LOBBY, TimeOfDay};
use mynah::protocol::Decoded;
use mynah::protocol::group::frame::{self, FromServer};
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame as tcp_room;
use mynah::reactor::{Key, Readiness, Stream};
use mynah::server::{Limits, Server};

/// The server, and who came.
pub struct Crowd {
    pub server: Server<Wire>,
    pub members: Vec<Member>,
    pub now: Instant,
}

/// The far end of a connection.
pub struct Member {
    pub key: Key,
    ends: Rc<RefCell<Ends>>,
}

/// The server's end of it.
pub struct Wire(Rc<RefCell<Ends>>);

struct Ends {
    to_server: Vec<u8>,
    /// The peer says no more.
    ended: bool,
    /// So many bytes more are taken.
    room: usize,
    /// What came, since somebody wants to see it.
    received: Option<Vec<u8>>,
    counts: Counts,
    /// The server has let go.
    gone: bool,
}

/// What one stream, or all of them, were asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of whatever kind.
    pub calls: usize,
    /// That sent something.
    pub writes: usize,
    /// That were sent.
    pub bytes: usize,
}

/// What somebody heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    List(Vec<String>),
    Came(String),
    Went(String),
    Said(String, String),
}

impl Crowd {
    /// So many are in, and have heard of each other.
    pub fn of(members: usize) -> Crowd {
        Crowd::with(members, Limits::default(), false)
    }

    /// The same with other limits, or with rooms for each protocol.
    pub fn with(members: usize, limits: Limits, isolate: bool) -> Crowd {
        let now = Instant::now();
        let mut crowd = Crowd {
            server: Server::new(limits, isolate, now),
            members: Vec::new(),
            now,
        };
        while crowd.members.len() < members {
            let next = members.min(crowd.members.len() + 1000);
            while crowd.members.len() < next {
                crowd.come(usize::MAX);
            }
            crowd.pass(Duration::from_secs(1));
        }
        assert_eq!(crowd.inside(), members);
        crowd
    }

    /// One more connects and asks to be let in; its kernel takes so many bytes. Nothing is done before the turn.
    pub fn come(&mut self, room: usize) -> usize {
        let number = self.connect(Protocol::Group, room);
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.ask(number, |out| {
            frame::encode_register(&name(number), nowhere, 0, out);
        });
        number
    }

    /// The same of `tcp-room`.
    pub fn come_to_tcp_room(&mut self, room: usize) -> usize {
        let number = self.connect(Protocol::TcpRoom, room);
        self.ask(number, |out| tcp_room::encode_join(&name(number), out));
        number
    }

    fn connect(&mut self, protocol: Protocol, room: usize) -> usize {
        let number = self.members.len();
        let ends = Rc::new(RefCell::new(Ends {
            to_server: Vec::new(),
            ended: false,
            room,
            received: None,
            counts: Counts::default(),
            gone: false,
        }));
        let wire = Wire(Rc::clone(&ends));
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        let from = SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 1000));
        let key = self.server.accept(wire, from, protocol, self.now);
        let key = key.expect("this machine's own connections are not limited");
        self.members.push(Member { key, ends });
        number
    }

    /// The next one comes, and the server has its turn.
    pub fn comes_in(&mut self) -> usize {
        let number = self.come(usize::MAX);
        self.settle();
        number
    }

    /// A member says something. Nothing is done before the turn.
    pub fn say(&mut self, member: usize, text: &str) {
        self.ask(member, |out| {
            frame::encode_broadcast(&name(member), &[text], out);
        });
    }

    /// The same of one of `tcp-room`.
    pub fn say_in_tcp_room(&mut self, member: usize, text: &str) {
        self.ask(member, |out| {
            tcp_room::encode_say(TimeOfDay::MIDNIGHT, &name(member), text, out);
        });
    }

    /// A member's kernel takes nothing more.
    pub fn stop_reading(&mut self, member: usize) {
        self.members[member].ends.borrow_mut().room = 0;
    }

    /// A member closes. Nothing is done before the turn.
    pub fn end(&mut self, member: usize) {
        let Member { key, ends } = &self.members[member];
        ends.borrow_mut().ended = true;
        let readiness = Readiness {
            read_closed: true,
            ..readable(*key)
        };
        self.server.handle_readiness(*key, readiness);
    }

    /// A member reads, so that its kernel takes more.
    pub fn read(&mut self, member: usize, bytes: usize) {
        let Member { key, ends } = &self.members[member];
        ends.borrow_mut().room += bytes;
        let readiness = Readiness {
            readable: false,
            ..readable(*key)
        };
        self.server.handle_readiness(*key, readiness);
    }

    pub fn turn(&mut self) {
        self.server.turn(self.now, TimeOfDay::MIDNIGHT);
    }

    /// Turns, until nothing is left to be done now.
    pub fn settle(&mut self) {
        self.turn();
        while self
            .server
            .next_deadline()
            .is_some_and(|due| due <= self.now)
        {
            self.turn();
        }
    }

    /// Time goes by, and the server has its turns when it wants them.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn();
        }
        self.now = until;
        self.settle();
    }

    /// How many are in.
    pub fn inside(&self) -> usize {
        let hub = self.server.hub(Protocol::Group);
        hub.map_or(0, |hub| hub.count(LOBBY))
    }

    /// What all streams were asked so far.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for member in &self.members {
            let Counts {
                calls,
                writes,
                bytes,
            } = member.counts();
            all.calls += calls;
            all.writes += writes;
            all.bytes += bytes;
        }
        all
    }

    fn ask(&mut self, member: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let Member { key, ends } = &self.members[member];
        encode(&mut ends.borrow_mut().to_server);
        self.server.handle_readiness(*key, readable(*key));
    }
}

impl Member {
    /// Keeps what comes from now on.
    pub fn listen(&self) {
        self.ends.borrow_mut().received = Some(Vec::new());
    }

    /// What came whole since [`listen`](Member::listen) or since this was asked before.
    pub fn heard(&self) -> Vec<Heard> {
        let mut ends = self.ends.borrow_mut();
        let received = ends.received.as_mut().expect("it listens");
        let (mut heard, mut at) = (Vec::new(), 0);
        while let Decoded::Done { frame, used } =
            frame::decode_from_server(&received[at..], 0).expect("what the protocol has")
        {
            at += used;
            heard.push(match frame {
                FromServer::List(all) => {
                    Heard::List(all.iter().map(|one| one.nickname.to_owned()).collect())
                }
                FromServer::Joined(who) => Heard::Came(who.nickname.to_owned()),
                FromServer::Left(who) => Heard::Went(who.nickname.to_owned()),
                FromServer::Broadcast { nickname, text } => {
                    Heard::Said(nickname.to_owned(), text.to_owned())
                }
                other => panic!("{other:?}"),
            });
        }
        received.drain(..at);
        heard
    }

    /// All that came since [`listen`](Member::listen), as it came.
    pub fn received(&self) -> Vec<u8> {
        let ends = self.ends.borrow();
        ends.received.clone().expect("it listens")
    }

    /// What its stream was asked so far.
    pub fn counts(&self) -> Counts {
        self.ends.borrow().counts
    }

    /// Whether the server has let go.
    pub fn is_gone(&self) -> bool {
        self.ends.borrow().gone
    }
}

/// Long enough for a `LIST` of ten thousand to be more than may wait for one member alone.
pub fn name(member: usize) -> String {
    format!("somebody-of-the-crowd-{member:05}")
}

impl Stream for Wire {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        ends.counts.calls += 1;
        if ends.to_server.is_empty() {
            return match ends.ended {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let count = ends.to_server.len();
        buffer[..count].copy_from_slice(&ends.to_server);
        ends.to_server.clear();
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_vectored(&[IoSlice::new(bytes)])
    }

    fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        ends.counts.calls += 1;
        let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(
            offered > 0,
            "a write of nothing is a system call for nothing"
        );
        let taken = offered.min(ends.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if ends.room != usize::MAX {
            ends.room -= taken;
        }
        if let Some(received) = &mut ends.received {
            let bytes = pieces.iter().flat_map(|piece| piece.iter());
            received.extend(bytes.take(taken));
        }
        ends.counts.writes += 1;
        ends.counts.bytes += taken;
        Ok(taken)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().counts.calls += 1;
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.borrow_mut().gone = true;
    }
}

fn readable(key: Key) -> Readiness {
    Readiness {
        token: key.token(),
        readable: true,
        writable: true,
        read_closed: false,
    }
}
