//! What a member of any protocol sends, by our own codecs: how it gets in, and how it talks.

#![allow(dead_code, reason = "each user takes its part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mynah::chat::{Contact, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::udp_login::frame::Password;
use mynah::protocol::{Secret, group, tcp_room, tcrp, udp_login, udp_room};

/// The protocols in which the server tells a room what one of it says, member by member.
pub const FANNED_OUT: [Protocol; 5] = [
    Protocol::TcpRoom,
    Protocol::Group,
    Protocol::UdpRoom,
    Protocol::UdpLogin,
    Protocol::Ucrp,
];

/// A payload of the usual size in such measurements.
pub const TEXT: &str = "0123456789012345678901234567890123456789012345678901234567890123";

/// Where those meet whose protocol has rooms to choose from.
pub const ROOM: &str = "den";

/// The password of everybody.
pub const PASSWORD: &str = "a long enough password";

/// The first number of requests that are numbered. All that come have as many digits.
pub const FIRST_NUMBER: u64 = 10u64.pow(DIGITS as u32 - 1);

const DIGITS: usize = 12;

/// Everybody's name is of the same length.
pub fn name(member: usize) -> String {
    format!("member{member:05}")
}

/// How many of so many members hear what one of them says.
pub fn listeners(protocol: Protocol, members: usize) -> usize {
    members - usize::from(!protocol.echoes())
}

/// What gets a member in. A `ucrp` member shows the token that it has got by [`reserve`].
pub fn enter(protocol: Protocol, name: &str, secret: Secret) -> Vec<u8> {
    let mut bytes = Vec::new();
    let out = &mut bytes;
    match protocol {
        Protocol::TcpRoom => tcp_room::frame::encode_join(name, out),
        Protocol::Group => {
            let Contact { ip, port } = Contact::NONE;
            group::frame::encode_register(name, IpAddr::V4(ip), port, out);
        }
        Protocol::UdpRoom => {
            udp_room::frame::encode_asked(&udp_room::frame::Asked::Join { name }, out);
        }
        Protocol::UdpLogin => {
            let (seq, password) = (1, Password(PASSWORD));
            let pass = udp_login::frame::Asked::Pass {
                seq,
                name,
                password,
            };
            udp_login::frame::encode_asked(&pass, out);
        }
        Protocol::Ucrp => {
            let register = tcrp::datagram::REGISTER;
            tcrp::datagram::encode_to_server(ROOM, &token(secret), register, out);
        }
        Protocol::Tcrp | Protocol::UdpMesh => panic!("nobody is in a room of {protocol}"),
    }
    bytes
}

/// What has `tcrp` keep a name in [`ROOM`], which the first one opens.
pub fn reserve(name: &str, is_first: bool) -> Vec<u8> {
    use tcrp::frame::{Form, Operation};
    let operation = match is_first {
        true => Operation::Create,
        false => Operation::Join,
    };
    let mut bytes = Vec::new();
    tcrp::frame::encode_request(Form::Long, operation, ROOM, name, &mut bytes);
    bytes
}

/// What shows that a newcomer of `udp-login` receives at its address, beyond which it is sent everything.
pub fn prove(secret: Secret) -> Vec<u8> {
    use udp_login::frame::{Asked, Wants, encode_asked};
    let (seq, sid, wants) = (2, Some(secret), Wants::Ping);
    let mut bytes = Vec::new();
    encode_asked(&Asked::Session { seq, sid, wants }, &mut bytes);
    bytes
}

/// One or more messages of one member, ready to be sent in one go, again and again.
#[derive(Clone, Debug)]
pub struct Speech {
    /// One for a stream; for datagrams each of them.
    pieces: Vec<Vec<u8>>,
    is_numbered: bool,
}

impl Speech {
    /// The same text so many times.
    pub fn new(
        protocol: Protocol,
        name: &str,
        secret: Secret,
        text: &str,
        messages: usize,
    ) -> Speech {
        let mut pieces = Vec::new();
        for _ in 0..messages {
            say(protocol, name, secret, text, &mut pieces);
        }
        if protocol.session().is_some() {
            pieces = vec![pieces.concat()];
        }
        Speech {
            pieces,
            is_numbered: protocol == Protocol::UdpLogin,
        }
    }

    /// All of it, in order.
    pub fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// Gives every request the next number where they have one: what has been said is not said again.
    pub fn number(&mut self, next: &mut u64) {
        if !self.is_numbered {
            return;
        }
        for piece in &mut self.pieces {
            let mut rest = *next;
            *next += 1;
            // `C 100000000000 …`
            for digit in piece[2..][..DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

fn say(protocol: Protocol, name: &str, secret: Secret, text: &str, pieces: &mut Vec<Vec<u8>>) {
    let mut bytes = Vec::new();
    match protocol {
        Protocol::TcpRoom => {
            tcp_room::frame::encode_say(TimeOfDay::MIDNIGHT, name, text, &mut bytes);
        }
        Protocol::Group => group::frame::encode_broadcast(name, &[text], &mut bytes),
        Protocol::UdpRoom => {
            let claimed = Some(name);
            let say = udp_room::frame::Asked::Say { claimed, text };
            udp_room::frame::encode_asked(&say, &mut bytes);
        }
        Protocol::UdpLogin => {
            use udp_login::frame::{Asked, Wants, encode_asked};
            let (seq, sid) = (FIRST_NUMBER, Some(secret));
            let mut mode = Vec::new();
            let wants = Wants::Public;
            encode_asked(&Asked::Session { seq, sid, wants }, &mut mode);
            pieces.push(mode);
            let wants = Wants::Data { rest: text };
            encode_asked(&Asked::Session { seq, sid, wants }, &mut bytes);
        }
        Protocol::Ucrp => {
            tcrp::datagram::encode_to_server(ROOM, &token(secret), text, &mut bytes);
        }
        Protocol::Tcrp | Protocol::UdpMesh => panic!("nobody is in a room of {protocol}"),
    }
    pieces.push(bytes);
}

fn token(secret: Secret) -> String {
    let mut token = Vec::new();
    tcrp::frame::encode_token(secret, &mut token);
    String::from_utf8(token).expect("invariant: a token is ASCII")
}

/// An address of loopback that nobody else here has.
pub fn address_of(member: usize) -> SocketAddr {
    let [high, low] = u16::try_from(member).expect("a few thousand").to_be_bytes();
    (Ipv4Addr::new(127, 1, high, low), 1000).into()
}
