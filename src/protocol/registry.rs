//! Owns the list of the protocols that there are, and hands what all of them share to the right one.
//! Knows each protocol's name and port, not its bytes.

use std::fmt;
use std::str::FromStr;

use super::{
    AfterVerdict, Answer, DatagramSession, Datagrams, Dropped, Patience, RollCall, Secret,
    ServerSession, Step, Welcome, group, tcp_room, tcrp, udp_login, udp_mesh, udp_room,
};
use crate::chat::{Event, Name, Refusal, Request};

/// A protocol that the server speaks; also the wire format of an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    TcpRoom,
    Group,
    UdpRoom,
    UdpLogin,
    /// The half of TCRP that gives out tokens.
    Tcrp,
    /// The half of TCRP where those who have one talk.
    Ucrp,
    UdpMesh,
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// How the sender of a datagram is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// By its source address.
    Address,
    /// By the secret in it.
    Secret(Secret),
    /// It should have a secret and has none.
    Nobody,
}

/// How long a guest may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Its program sends something by itself every now and then.
    KeepsAlive,
    /// It speaks when its person does.
    SpeaksWhenSpeaking,
}

impl Protocol {
    /// Every protocol, in the order of the README.
    pub const ALL: &'static [Protocol] = &[
        Protocol::TcpRoom,
        Protocol::Group,
        Protocol::UdpRoom,
        Protocol::UdpLogin,
        Protocol::Tcrp,
        Protocol::Ucrp,
        Protocol::UdpMesh,
    ];

    /// As it is called on the command line and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::TcpRoom => "tcp-room",
            Protocol::Group => "group",
            Protocol::UdpRoom => "udp-room",
            Protocol::UdpLogin => "udp-login",
            Protocol::Tcrp => "tcrp",
            Protocol::Ucrp => "ucrp",
            Protocol::UdpMesh => "udp-mesh",
        }
    }

    /// Where its programs expect a server.
    pub fn default_port(self) -> u16 {
        match self {
            Protocol::TcpRoom => 42069,
            Protocol::Group => 1337,
            Protocol::UdpRoom => 9999,
            Protocol::UdpLogin => 65015,
            Protocol::Tcrp => 9090,
            Protocol::Ucrp => 9091,
            Protocol::UdpMesh => 5238,
        }
    }

    /// Whether it is served without being named: a gateway to a network of equals is not.
    pub fn is_default(self) -> bool {
        self != Protocol::UdpMesh
    }

    /// The protocol whose rooms and names this one shares when each has its own.
    pub fn kin(self) -> Protocol {
        match self {
            Protocol::Ucrp => Protocol::Tcrp,
            other => other,
        }
    }

    /// What carries it.
    pub fn transport(self) -> Transport {
        match self {
            Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp => Transport::Tcp,
            Protocol::UdpRoom | Protocol::UdpLogin | Protocol::Ucrp | Protocol::UdpMesh => {
                Transport::Udp
            }
        }
    }

    /// A session for a connection just accepted, where connections are what carries the protocol.
    pub fn session(self) -> Option<Session> {
        match self {
            Protocol::TcpRoom => Some(Session::TcpRoom(tcp_room::server::Session::new())),
            Protocol::Group => Some(Session::Group(group::server::Session::new())),
            Protocol::Tcrp => Some(Session::Tcrp(Box::new(tcrp::server::Session::new()))),
            Protocol::UdpRoom | Protocol::UdpLogin | Protocol::Ucrp | Protocol::UdpMesh => None,
        }
    }

    /// A session for an address that nothing is known of, where addresses are what peers are known by.
    pub fn guest_session(self) -> Option<GuestSession> {
        match self {
            Protocol::UdpRoom => Some(GuestSession::UdpRoom(udp_room::server::Session::new())),
            Protocol::UdpLogin => Some(GuestSession::UdpLogin(udp_login::server::Session::new())),
            Protocol::UdpMesh => Some(GuestSession::UdpMesh),
            Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp | Protocol::Ucrp => None,
        }
    }

    /// A session for whoever will show the secret that this protocol has handed out for that room, and
    /// the protocol in which it is shown.
    pub fn reserved_session(self, room: &Name) -> Option<(Protocol, GuestSession)> {
        match self {
            Protocol::Tcrp => {
                let member = tcrp::member::Member::new(room);
                Some((Protocol::Ucrp, GuestSession::Ucrp(member)))
            }
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Ucrp
            | Protocol::UdpMesh => None,
        }
    }

    /// How the sender of that datagram is known.
    pub fn sender(self, datagram: &[u8]) -> Sender {
        match self {
            Protocol::Ucrp => match tcrp::member::Member::token(datagram) {
                Some(secret) => Sender::Secret(secret),
                None => Sender::Nobody,
            },
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::UdpMesh => Sender::Address,
        }
    }

    /// Whether there may be a password in a datagram to a server of this protocol.
    pub fn may_hold_password(self, datagram: &[u8]) -> bool {
        match self {
            Protocol::UdpLogin => udp_login::frame::may_hold_password(datagram),
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpRoom
            | Protocol::Tcrp
            | Protocol::Ucrp
            | Protocol::UdpMesh => false,
        }
    }

    /// How long a guest of this protocol may be silent.
    pub fn silence(self) -> Silence {
        match self {
            Protocol::UdpLogin => Silence::KeepsAlive,
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpRoom
            | Protocol::Tcrp
            | Protocol::Ucrp
            | Protocol::UdpMesh => Silence::SpeaksWhenSpeaking,
        }
    }

    /// Whether a guest can ever show that it receives at its address.
    pub fn has_proof(self) -> bool {
        self != Protocol::UdpRoom
    }

    /// Whether one broadcast is heard by all of it: then its guests have no seat in the mailing of their port,
    /// and none can be told something alone. They are known by their names.
    pub fn hears_together(self) -> bool {
        match self {
            Protocol::UdpMesh => true,
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp => false,
        }
    }

    /// Whether its programs say that they go. Whoever does not is known to have gone by its silence alone, even
    /// on one machine.
    pub fn says_goodbye(self) -> bool {
        match self {
            Protocol::UdpMesh => false,
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp => true,
        }
    }

    /// Whether members hear their own words.
    pub fn echoes(self) -> bool {
        match self {
            Protocol::TcpRoom | Protocol::UdpRoom => true,
            Protocol::Group
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp
            | Protocol::UdpMesh => false,
        }
    }

    /// Appends an event as members of this stream protocol hear it: whole frames, or nothing.
    pub fn encode_event(self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Protocol::TcpRoom => tcp_room::server::encode_event(event, out),
            Protocol::Group => group::server::encode_event(event, out),
            Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp
            | Protocol::UdpMesh => {}
        }
    }

    /// What newcomers to this stream protocol are sent of those who are in, if anything.
    pub fn roll_call(self) -> Option<RollCall> {
        match self {
            Protocol::Group => Some(group::server::ROLL_CALL),
            Protocol::TcpRoom
            | Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp
            | Protocol::UdpMesh => None,
        }
    }

    /// Adds the datagrams that an event is to members of this datagram protocol, if any.
    pub fn encode_datagrams(self, event: &Event<'_>, out: &mut Datagrams) {
        match self {
            Protocol::UdpRoom => udp_room::server::encode_event(event, out),
            Protocol::UdpLogin => udp_login::server::encode_event(event, out),
            Protocol::Ucrp => tcrp::member::encode_event(event, out),
            Protocol::UdpMesh => udp_mesh::gateway::encode_event(event, out),
            Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp => {}
        }
    }

    /// What a connection is told for which there is no room at all.
    pub fn no_room(self) -> &'static [u8] {
        match self {
            Protocol::TcpRoom => tcp_room::server::NO_ROOM,
            Protocol::Group => group::server::NO_ROOM,
            Protocol::UdpRoom
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp
            | Protocol::UdpMesh => &[],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Protocol, UnknownProtocol> {
        let found = Protocol::ALL
            .iter()
            .find(|protocol| protocol.name() == name);
        found.copied().ok_or(UnknownProtocol)
    }
}

/// No protocol has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProtocol;

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the protocols are:")?;
        Protocol::ALL
            .iter()
            .try_for_each(|protocol| write!(f, " {protocol}"))
    }
}

impl std::error::Error for UnknownProtocol {}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        })
    }
}

/// A server session of any stream protocol.
#[derive(Debug)]
pub enum Session {
    TcpRoom(tcp_room::server::Session),
    Group(group::server::Session),
    /// Boxed: it lasts a moment, and every connection has room for its session.
    Tcrp(Box<tcrp::server::Session>),
}

/// What a peer of any stream protocol broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    TcpRoom(tcp_room::frame::Violation),
    Group(group::frame::Violation),
    Tcrp(tcrp::frame::Violation),
}

/// What is wrong with what broke a rule, in whatever protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// Something is longer, or more, than it may be.
    OverLimit,
    /// Bytes are no UTF-8.
    NotUtf8,
    /// It is no frame of the protocol.
    Malformed,
    /// It is a frame that has no place there.
    OutOfTurn,
}

impl Violation {
    /// Of what kind it is.
    pub fn kind(&self) -> ViolationKind {
        use ViolationKind::{Malformed, NotUtf8, OutOfTurn, OverLimit};
        match self {
            Violation::TcpRoom(violation) => match violation {
                tcp_room::frame::Violation::LengthOverLimit { .. } => OverLimit,
                tcp_room::frame::Violation::NotUtf8 { .. } => NotUtf8,
                tcp_room::frame::Violation::NotBool { .. }
                | tcp_room::frame::Violation::NegativeLength { .. }
                | tcp_room::frame::Violation::NotThreeStrings { .. } => Malformed,
                tcp_room::frame::Violation::NotJoin { .. }
                | tcp_room::frame::Violation::JoinedTwice
                | tcp_room::frame::Violation::UnknownNumber { .. }
                | tcp_room::frame::Violation::AfterTheEnd => OutOfTurn,
            },
            Violation::Group(violation) => match violation {
                group::frame::Violation::OverLimit { .. }
                | group::frame::Violation::TooManyParticipants { .. } => OverLimit,
                group::frame::Violation::NotUtf8 => NotUtf8,
                group::frame::Violation::LengthOutOfRange
                | group::frame::Violation::LengthFitsNothing { .. }
                | group::frame::Violation::MalformedList => Malformed,
                group::frame::Violation::AfterTheEnd => OutOfTurn,
            },
            Violation::Tcrp(violation) => match violation.rule {
                tcrp::frame::Rule::PayloadOverLimit { .. }
                | tcrp::frame::Rule::UsernameTooLong { .. } => OverLimit,
                tcrp::frame::Rule::RoomNotUtf8 => NotUtf8,
                tcrp::frame::Rule::UnknownOperation { .. }
                | tcrp::frame::Rule::NotARequest { .. }
                | tcrp::frame::Rule::NotAUsername
                | tcrp::frame::Rule::NotAnAnswer { .. }
                | tcrp::frame::Rule::UnknownAnswer => Malformed,
                tcrp::frame::Rule::AfterTheEnd => OutOfTurn,
            },
        }
    }
}

impl ServerSession for Session {
    type Violation = Violation;

    fn handle_bytes<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<'a>, Violation> {
        match self {
            Session::TcpRoom(session) => {
                session.handle_bytes(input, out).map_err(Violation::TcpRoom)
            }
            Session::Group(session) => session.handle_bytes(input, out).map_err(Violation::Group),
            Session::Tcrp(session) => session.handle_bytes(input, out).map_err(Violation::Tcrp),
        }
    }

    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict {
        match self {
            Session::TcpRoom(session) => session.handle_verdict(verdict, out),
            Session::Group(session) => session.handle_verdict(verdict, out),
            Session::Tcrp(session) => session.handle_verdict(verdict, out),
        }
    }

    fn handle_too_fast(&mut self, out: &mut Vec<u8>) {
        match self {
            Session::TcpRoom(session) => session.handle_too_fast(out),
            Session::Group(session) => session.handle_too_fast(out),
            Session::Tcrp(session) => session.handle_too_fast(out),
        }
    }

    fn farewell(violation: &Violation, out: &mut Vec<u8>) {
        match violation {
            Violation::TcpRoom(violation) => tcp_room::server::Session::farewell(violation, out),
            Violation::Group(violation) => group::server::Session::farewell(violation, out),
            Violation::Tcrp(violation) => tcrp::server::Session::farewell(violation, out),
        }
    }

    fn patience(&self, partial: usize) -> Patience {
        match self {
            Session::TcpRoom(session) => session.patience(partial),
            Session::Group(session) => session.patience(partial),
            Session::Tcrp(session) => session.patience(partial),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TcpRoom(violation) => violation.fmt(f),
            Violation::Group(violation) => violation.fmt(f),
            Violation::Tcrp(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for Violation {}

/// A server session of any datagram protocol.
#[derive(Debug)]
pub enum GuestSession {
    UdpRoom(udp_room::server::Session),
    UdpLogin(udp_login::server::Session),
    Ucrp(tcrp::member::Member),
    /// No session of its own: a peer of a mesh is a guest like any other where names, silence and limits are
    /// concerned, but all of them talk with one [`Gateway`](udp_mesh::gateway::Gateway), which takes their
    /// datagrams and answers them. This one is never given any; without it every other guest's session would be
    /// one that might not be there.
    UdpMesh,
}

impl DatagramSession for GuestSession {
    fn handle_datagram<'a>(
        &mut self,
        datagram: &'a [u8],
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        match self {
            GuestSession::UdpRoom(session) => session.handle_datagram(datagram, out),
            GuestSession::UdpLogin(session) => session.handle_datagram(datagram, out),
            GuestSession::Ucrp(session) => session.handle_datagram(datagram, out),
            GuestSession::UdpMesh => Ok(None),
        }
    }

    fn handle_answer(&mut self, answer: Answer<'_>, out: &mut Datagrams) -> AfterVerdict {
        match self {
            GuestSession::UdpRoom(session) => session.handle_answer(answer, out),
            GuestSession::UdpLogin(session) => session.handle_answer(answer, out),
            GuestSession::Ucrp(session) => session.handle_answer(answer, out),
            GuestSession::UdpMesh => AfterVerdict::Stay,
        }
    }

    fn is_proven(&self) -> bool {
        match self {
            GuestSession::UdpRoom(session) => session.is_proven(),
            GuestSession::UdpLogin(session) => session.is_proven(),
            GuestSession::Ucrp(session) => session.is_proven(),
            GuestSession::UdpMesh => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_found_by_its_name() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.name().parse(), Ok(*protocol));
        }
        let error = "tcp-rom".parse::<Protocol>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the protocols are: tcp-room group udp-room udp-login tcrp ucrp udp-mesh"
        );
    }
}
