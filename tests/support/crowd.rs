//! Members of one protocol on loopback, with real sockets, who say something and hear all that comes of it.

#![allow(dead_code, reason = "each user takes its part")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use mynah::chat::{Event, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::{Datagrams, Decoded, Secret, tcrp, udp_login};

use super::speech::{self, Speech, TEXT};

/// Where the server of a protocol is; of `ucrp` also where its tokens are had.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub protocol: Protocol,
    pub address: SocketAddr,
    pub tokens: Option<SocketAddr>,
}

/// Everybody. The first one speaks.
pub struct Crowd {
    place: Place,
    members: Vec<Member>,
    speech: Option<Speech>,
    /// Of the next request, in the protocol that numbers them.
    number: u64,
    /// One message as it is heard.
    heard: Vec<u8>,
    buffer: Vec<u8>,
}

struct Member {
    socket: Socket,
    secret: Secret,
}

enum Socket {
    Stream(TcpStream),
    Datagrams(UdpSocket),
}

/// On loopback everything comes at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest datagram, and more than any member is told at once while it waits.
const BUFFER: usize = 64 * 1024;

impl Crowd {
    /// Nobody yet.
    pub fn new(place: Place) -> Crowd {
        let heard = as_heard(place.protocol, &speech::name(0), TEXT);
        Crowd {
            place,
            members: Vec::new(),
            speech: None,
            number: speech::FIRST_NUMBER,
            heard,
            buffer: vec![0; BUFFER],
        }
    }

    /// So many are in, and have heard of each other.
    pub fn grow_to(&mut self, members: usize) {
        while self.members.len() < members {
            let member = self.join(self.members.len());
            self.members.push(member);
        }
        let speech = Speech::new(
            self.place.protocol,
            &speech::name(0),
            self.members[0].secret,
            TEXT,
            1,
        );
        self.speech = Some(speech);
        self.hear_of_each_other();
    }

    /// The first one says something, and everybody hears it.
    pub fn says_and_hears(&mut self) {
        let Crowd {
            place,
            members,
            speech,
            number,
            heard,
            buffer,
        } = self;
        let speech = speech.as_mut().expect("somebody is in");
        speech.number(number);
        members[0].send(speech);
        let deaf = usize::from(!place.protocol.echoes());
        for member in &mut members[deaf..] {
            member.hear(heard, buffer);
        }
        // Each of its requests was answered.
        if place.protocol == Protocol::UdpLogin {
            members[0].drain(buffer);
        }
    }

    /// Everybody hears all that it is due: what the second one says after the first is the last of it.
    fn hear_of_each_other(&mut self) {
        let mut buffer = vec![0; BUFFER];
        let members = self.members.len();
        for speaker in [0, 1] {
            let name = speech::name(speaker);
            let text = format!("all {members} are in, says {speaker}");
            let (protocol, secret) = (self.place.protocol, self.members[speaker].secret);
            let mut marker = Speech::new(protocol, &name, secret, &text, 1);
            marker.number(&mut self.number);
            let heard = as_heard(protocol, &name, &text);
            for member in &mut self.members {
                member.drain(&mut buffer);
            }
            self.members[speaker].send(&marker);
            for (number, member) in self.members.iter_mut().enumerate() {
                if number != speaker || protocol.echoes() {
                    member.hear_up_to(&heard, &mut buffer);
                }
            }
        }
        for member in &mut self.members {
            member.drain(&mut buffer);
        }
    }

    fn join(&self, number: usize) -> Member {
        let Place {
            protocol,
            address,
            tokens,
        } = self.place;
        let name = speech::name(number);
        let mut buffer = vec![0; BUFFER];
        let nobodys = Secret::new([0; 16]);
        if protocol.session().is_some() {
            let mut stream = connect(address);
            let enter = speech::enter(protocol, &name, nobodys);
            stream.write_all(&enter).expect("the server reads");
            // Whatever it is told, once it is told something it is in.
            let told = stream.read(&mut buffer).expect("a welcome");
            assert!(told > 0, "{name} is let in");
            return Member {
                socket: Socket::Stream(stream),
                secret: nobodys,
            };
        }
        let secret = match tokens {
            Some(tokens) => token(tokens, &name, number == 0),
            None => nobodys,
        };
        let socket = UdpSocket::bind((address.ip(), 0)).expect("a port is free");
        socket.connect(address).expect("loopback is up");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("more than nothing");
        let enter = speech::enter(protocol, &name, secret);
        socket.send(&enter).expect("the server is there");
        let mut member = Member {
            socket: Socket::Datagrams(socket),
            secret,
        };
        match protocol {
            Protocol::UdpLogin => {
                member.secret = member.hear_secret(&mut buffer);
                member.send_datagram(&speech::prove(member.secret));
                member.receive(&mut buffer);
            }
            // It is told nothing: what it says comes after its registering.
            Protocol::Ucrp => {}
            _ => {
                member.receive(&mut buffer);
            }
        }
        member
    }
}

impl Member {
    fn send(&mut self, speech: &Speech) {
        for piece in speech.pieces() {
            match &mut self.socket {
                Socket::Stream(stream) => stream.write_all(piece).expect("the server reads"),
                Socket::Datagrams(_) => self.send_datagram(piece),
            }
        }
    }

    fn send_datagram(&self, datagram: &[u8]) {
        if let Socket::Datagrams(socket) = &self.socket {
            socket.send(datagram).expect("the server is there");
        }
    }

    /// Hears exactly this, apart from what else comes in datagrams.
    fn hear(&mut self, heard: &[u8], buffer: &mut [u8]) {
        match &mut self.socket {
            Socket::Stream(stream) => {
                let room = &mut buffer[..heard.len()];
                stream.read_exact(room).expect("everybody hears it");
                debug_assert_eq!(room, heard);
            }
            Socket::Datagrams(_) => while self.receive(buffer) != heard {},
        }
    }

    /// Hears whatever comes until this has come.
    fn hear_up_to(&mut self, heard: &[u8], buffer: &mut [u8]) {
        let Socket::Stream(stream) = &mut self.socket else {
            return self.hear(heard, buffer);
        };
        let mut kept = 0;
        loop {
            let read = stream
                .read(&mut buffer[kept..])
                .expect("everybody hears it");
            assert!(read > 0, "the server stays");
            let end = kept + read;
            let found = buffer[..end]
                .windows(heard.len())
                .any(|window| window == heard);
            if found {
                return;
            }
            kept = end.min(heard.len());
            buffer.copy_within(end - kept..end, 0);
        }
    }

    /// Hears what is there.
    fn drain(&mut self, buffer: &mut [u8]) {
        let taken = match &mut self.socket {
            Socket::Stream(stream) => {
                stream.set_nonblocking(true).expect("the option exists");
                let end = loop {
                    match stream.read(buffer) {
                        Ok(0) => panic!("the server stays"),
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                stream.set_nonblocking(false).expect("the option exists");
                end
            }
            Socket::Datagrams(socket) => {
                socket.set_nonblocking(true).expect("the option exists");
                let end = loop {
                    if let Err(error) = socket.recv(buffer) {
                        break error;
                    }
                };
                socket.set_nonblocking(false).expect("the option exists");
                end
            }
        };
        assert_eq!(taken.kind(), ErrorKind::WouldBlock, "{taken}");
    }

    fn receive<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let Socket::Datagrams(socket) = &self.socket else {
            return &[];
        };
        let read = socket
            .recv(buffer)
            .expect("no datagram is lost on loopback");
        &buffer[..read]
    }

    /// The session that a `udp-login` server lets it into.
    fn hear_secret(&self, buffer: &mut [u8]) -> Secret {
        use udp_login::frame::{Heard, Reply, decode_heard};
        loop {
            if let Ok(Heard::Reply {
                reply: Reply::Welcome { sid },
                ..
            }) = decode_heard(self.receive(buffer))
            {
                return sid;
            }
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("the option exists");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("more than nothing");
    stream
}

/// The token that TCRP gives out for that name.
fn token(tokens: SocketAddr, name: &str, is_first: bool) -> Secret {
    use tcrp::frame::{Answer, Form, decode_answer};
    let mut stream = connect(tokens);
    let reserve = speech::reserve(name, is_first);
    stream.write_all(&reserve).expect("the server reads");
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("two answers");
    let mut rest = &answers[..];
    while let Ok(Decoded::Done { frame, used }) = decode_answer(rest, Form::Long) {
        rest = &rest[used..];
        if let Answer::Complete { token } = frame {
            let digits = token.0.strip_prefix(tcrp::frame::TOKEN_MARK);
            return digits
                .and_then(|digits| Secret::from_hex(digits.as_bytes()))
                .expect("a token");
        }
    }
    panic!("no token for {name}");
}

/// A message as members of that protocol hear it, in one piece.
fn as_heard(protocol: Protocol, from: &str, text: &str) -> Vec<u8> {
    let event = Event::Said {
        from,
        text,
        time: TimeOfDay::MIDNIGHT,
    };
    let mut bytes = Vec::new();
    protocol.encode_event(&event, &mut bytes);
    let mut datagrams = Datagrams::new();
    protocol.encode_datagrams(&event, &mut datagrams);
    datagrams
        .iter()
        .for_each(|datagram| bytes.extend_from_slice(datagram));
    bytes
}
